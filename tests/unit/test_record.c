/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Record: what is written is read back, and nothing else is taken for a record.
 *
 * One story makes a record of every kind.  Each is looked at field by field, cut at every byte,
 * and changed at every byte in every way; a change that is still a record is replayed, and the
 * engine must live with it.
 */
#include <criterion/criterion.h>

#include "tests/unit/restore_kit.h"

KEPT_BENCH

#define PLACE_BYTES 16U /* at the end of a PRIMARY; older journals end before */

static struct tri_record_parts parts;

/* Everything that can befall "a", and a refusal of "r"; "g" and "b" are left open.  Then a
 * checkpoint. */
static void tell(void)
{
    struct tri_message message = kit_message("b", TRI_BEST_EFFORT);

    kit_submit(&kit, "r", TRI_GUARANTEED);
    (void)kit_reject(&kit, "r", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    kit_submit(&kit, "a", TRI_ALL_OR_NOTHING);
    kit_pass(&kit, 5000 + 1000);
    kit_all_ok(&kit, "a", TRI_PHASE_PREPARE, 2);
    (void)kit_ok(&kit, "a", 0, TRI_PHASE_COMMIT, 2);
    kit_pass(&kit, 10000);
    for (uint16_t chain = 0; chain < 3; chain++) {
        kit_undone(&kit, "a", chain, 2);
    }
    kit_pass(&kit, 2001);
    kit_all_ok(&kit, "a", TRI_PHASE_PREPARE, 3);
    kit_all_ok(&kit, "a", TRI_PHASE_COMMIT, 3);
    kit_all_ok(&kit, "a", TRI_PHASE_FINALIZE, 3);
    kit_submit(&kit, "g", TRI_GUARANTEED);
    kit_all_ok(&kit, "g", TRI_PHASE_PREPARE, 1);
    message.finalize_requested = true;
    (void)kit_submit_as(&kit, &message, 1);
    (void)kept_checkpoint(&kit);
}

static void read_back(const struct kept *record)
{
    const char *fault = NULL;

    cr_assert_eq(tri_record_decode(record->kind, (struct tri_bytes){record->at, record->bytes},
                                   &parts, &fault),
                 TRI_OK, "%s", fault);
    cr_assert_null(fault);
}

/* ---- field by field ---- */

ENGINE_TEST(record, D01_accept_keeps_what_the_message_is)
{
    const struct tri_record_content *content = &parts.content;

    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    read_back(&kept[0]);
    cr_assert_eq(kept[0].kind, TRI_RECORD_ACCEPT);
    cr_assert(parts.has_content && parts.has_standing && !parts.has_result);
    cr_assert_eq(parts.key.lo, kit_key(kit_text("m")).lo);
    cr_assert_eq(parts.key.hi, kit_key(kit_text("m")).hi);
    cr_assert_eq(content->type, TRI_TYPE_REGULATORY_ACTION);
    cr_assert_eq(content->atomicity, TRI_ALL_OR_NOTHING);
    cr_assert_eq(content->atomicity_declared, TRI_ALL_OR_NOTHING);
    cr_assert_eq(content->scope, TRI_SCOPE_ALL_CHAINS);
    cr_assert_eq(content->scope_declared, TRI_SCOPE_TARGETS);
    cr_assert_eq(content->ttl_ms, 311000U);
    cr_assert_eq(content->expires_at_ms, KIT_WALL_MS + 311000);
    cr_assert_eq(content->timeout_ms[TRI_PHASE_PREPARE], 5000U);
    cr_assert_eq(content->timeout_ms[TRI_PHASE_COMMIT], 10000U);
    cr_assert_eq(content->id_bytes, 1U);
    cr_assert_eq(content->canonical.at[content->id_at], 'm');
    cr_assert_not(content->finalize_requested);
    cr_assert_eq(parts.standing.stage, TRI_STAGE_UNDECIDED);
    cr_assert_eq(parts.standing.attempt, TRI_ATTEMPT(KIT_EPOCH, 1));
    cr_assert_eq(parts.standing.target_count, 3U);
    cr_assert_eq(parts.standing.ack_type, TRI_ACK_RECEIVED);
    cr_assert_eq(parts.standing.targets[2].chain, 2U);
}

ENGINE_TEST(record, D02_attempts_decisions_and_rollbacks_keep_where_it_stands)
{
    const struct tri_record_standing *standing = &parts.standing;

    tell();
    read_back(&kept[3]);
    cr_assert_eq(kept[3].kind, TRI_RECORD_ATTEMPT);
    cr_assert_eq(standing->stage, TRI_STAGE_UNDECIDED);
    cr_assert_eq(standing->attempt, TRI_ATTEMPT(KIT_EPOCH, 2));
    cr_assert_eq(standing->retries, 1U);
    cr_assert_eq(kept[3].bytes, 45U); /* 16 + 23 + 6 masks */
    cr_assert_not(parts.has_targets);
    read_back(&kept[4]);
    cr_assert_eq(kept[4].kind, TRI_RECORD_DECISION);
    cr_assert_eq(standing->stage, TRI_STAGE_DECIDED);
    cr_assert_eq(standing->prepared, 7U);
    cr_assert(parts.has_targets);
    cr_assert_eq(kept[4].bytes, 66U); /* 3 targets of 4, and their tokens of 3 */
    cr_assert_eq(standing->targets[1].token_set_bytes, 3U);
    cr_assert_eq(standing->targets[1].tokens[2], 'y');
    read_back(&kept[5]);
    cr_assert_eq(kept[5].kind, TRI_RECORD_ROLLBACK);
    cr_assert_eq(standing->stage, TRI_STAGE_ROLLING_BACK);
    cr_assert_eq(standing->affected, 7U);
    cr_assert_eq(standing->applied, 1U);
    cr_assert_geq(standing->window_end_ms, KIT_WALL_MS + 75990);
    cr_assert_leq(standing->window_end_ms, KIT_WALL_MS + 76000);
    cr_assert_eq(standing->targets[2].code, TRI_ERROR_NO_ANSWER);
    read_back(kept_last(TRI_RECORD_PRIMARY));
    cr_assert_eq(standing->stage, TRI_STAGE_RECORDED);
    cr_assert_eq(standing->attempt, TRI_ATTEMPT(KIT_EPOCH, 3));
    cr_assert_eq(standing->retries, 2U);
    cr_assert_eq(standing->applied, 7U);
    cr_assert_eq(kept_last(TRI_RECORD_PRIMARY)->bytes, 61U); /* and 16 of its place */
    cr_assert_not(parts.has_targets);
}

ENGINE_TEST(record, D04_a_primary_record_has_its_place_among_the_finality_records)
{
    tell();
    read_back(kept_last(TRI_RECORD_PRIMARY));
    cr_assert(parts.has_place);
    cr_assert_eq(parts.place.oss_epoch, 1U);
    cr_assert_geq(parts.place.issued_at_ms, KIT_WALL_MS);
    read_back(&kept[4]);
    cr_assert_not(parts.has_place);
}

ENGINE_TEST(record, D04_a_primary_record_of_an_older_journal_has_no_place)
{
    struct kept older;

    tell();
    older = *kept_last(TRI_RECORD_PRIMARY);
    older.bytes -= PLACE_BYTES;
    read_back(&older);
    cr_assert_not(parts.has_place);
    cr_assert_eq(parts.standing.stage, TRI_STAGE_RECORDED);
    cr_assert_eq(parts.standing.attempt, TRI_ATTEMPT(KIT_EPOCH, 3));
    cr_assert_eq(parts.standing.applied, 7U);
}

ENGINE_TEST(record, R01_R06_ends_keep_the_result_and_until_when)
{
    const struct tri_record_window *window = &parts.window;

    tell();
    read_back(&kept[1]);
    cr_assert_eq(kept[1].kind, TRI_RECORD_OUTCOME);
    cr_assert_eq(kept[1].bytes, 57U); /* 16 + 23 + 6 masks + 12 */
    cr_assert(parts.has_standing && parts.has_window && !parts.has_targets && !parts.has_result);
    cr_assert_eq(parts.standing.stage, TRI_STAGE_ENDED);
    cr_assert_eq(parts.standing.ack_type, TRI_ACK_REJECTED);
    cr_assert_eq(parts.standing.cause, TRI_ERROR_OPERATOR_REFUSED);
    cr_assert_eq(parts.standing.refused, 2U);
    cr_assert_eq(window->rest_ms, 312000U); /* the lock's TTL, in whole seconds */
    cr_assert_eq(window->forget_at_ms, KIT_WALL_MS + 312000);
    read_back(kept_last(TRI_RECORD_CLOSE));
    cr_assert(!parts.has_standing && parts.has_window && !parts.has_result);
    cr_assert_eq(kept_last(TRI_RECORD_CLOSE)->bytes, 28U); /* 16 + 12 */
    cr_assert_eq(window->rest_ms, 311999U);                /* it came 18001 ms later */
    cr_assert_eq(window->forget_at_ms, KIT_WALL_MS + 330000);
}

ENGINE_TEST(record, R01_R02_a_closed_message_is_remembered_with_its_result)
{
    const struct tri_record_result *result = &parts.result;
    const struct kept *record;

    tell();
    record = kept_last(TRI_RECORD_REMEMBER);
    read_back(record);
    cr_assert(!parts.has_standing && parts.has_window && parts.has_result);
    cr_assert_eq(record->bytes, 77U); /* 16 + 12 + 16 + 16 + 11 + 3 targets of 2 */
    cr_assert_eq(parts.window.forget_at_ms,
                 KIT_WALL_MS + 330000); /* whole seconds, as in its CLOSE */
    cr_assert_eq(result->code, TRI_ERROR_NONE);
    cr_assert_eq(result->done_mask, 7U);
    cr_assert_eq(result->refused_mask, 0U);
    cr_assert_eq(result->epoch, KIT_EPOCH);
    cr_assert_eq(result->attempt_n, 3U);
    cr_assert_eq(result->chain_count, 3U);
    cr_assert_eq(result->chains[2], 2U);
}

ENGINE_TEST(record, a_checkpoint_pictures_open_messages_and_remembers_closed_ones)
{
    uint32_t first = kept_count;

    tell();
    first = kept_count - 5;
    cr_assert_eq(kept[first].kind, TRI_RECORD_IMAGE);
    cr_assert_eq(kept[first + 1].kind, TRI_RECORD_IMAGE);
    cr_assert_eq(kept[first + 2].kind, TRI_RECORD_REMEMBER);
    cr_assert_eq(kept[first + 3].kind, TRI_RECORD_REMEMBER);
    cr_assert_eq(kept[first + 4].kind, TRI_RECORD_CHECKPOINT);
    cr_assert_eq(kept[first + 4].bytes, 8U);
    cr_assert_eq(kept[first + 4].at[0], first + 1); /* LSNs count from 1 */
    for (uint32_t i = 0; i < 2; i++) {
        read_back(&kept[first + i]);
        cr_assert_eq(parts.standing.stage, TRI_STAGE_DECIDED);
        cr_assert_eq(parts.content.finalize_requested, parts.content.atomicity == TRI_BEST_EFFORT);
    }
}

/* Whether the record names the place of its message: only an open one has a place. */
static void place_told(struct kit *it, const struct tri_effect *append)
{
    bool is_closed = append->append.kind == TRI_RECORD_CLOSE ||
                     append->append.kind == TRI_RECORD_CHECKPOINT ||
                     (append->append.kind == TRI_RECORD_REMEMBER && !kit_status(it, "m").is_open);

    cr_assert_eq(append->append.slot == UINT32_MAX, is_closed, "kind %d", (int)append->append.kind);
    kept_keep(it, append);
}

ENGINE_TEST(record, the_place_of_an_open_message_is_told)
{
    kit.on_append = place_told;
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_pass(&kit, 5000 + 1000);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 2);
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 2);
    (void)kept_checkpoint(&kit);
    kit_all_ok(&kit, "m", TRI_PHASE_FINALIZE, 2);
    (void)kept_checkpoint(&kit);
    kit_pass(&kit, 400000); /* the id comes again */
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit.wall_ms = KIT_WALL_MS;
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit.is_slow = true;
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    (void)kept_checkpoint(&kit); /* it waits for its outcome */
    cr_assert_eq(kept_last(TRI_RECORD_OUTCOME)->lsn + 1, kept_last(TRI_RECORD_REMEMBER)->lsn);
}

/* ---- what has been taken back is written again ---- */

/* The picture of "m" of before a restart and of after it. */
static void written_again(void)
{
    struct kept before;
    struct kept after;

    (void)kept_checkpoint(&kit);
    before = *kept_last(TRI_RECORD_IMAGE);
    kept_restart(&kit);
    (void)kept_checkpoint(&kit);
    after = *kept_last(TRI_RECORD_IMAGE);
    cr_assert_neq(before.at, after.at);
    cr_assert_eq(before.bytes, after.bytes);
    cr_assert_arr_eq(before.at, after.at, before.bytes);
}

ENGINE_TEST(record, an_undecided_message_is_written_again_byte_for_byte)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_ok(&kit, "m", 1, TRI_PHASE_PREPARE, 1);
    written_again();
}

ENGINE_TEST(record, a_message_that_backs_off_is_written_again_byte_for_byte)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_pass(&kit, 5000);
    written_again();
}

ENGINE_TEST(record, a_decided_message_is_written_again_byte_for_byte)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    written_again();
}

ENGINE_TEST(record, a_message_that_is_rolled_back_is_written_again_byte_for_byte)
{
    kit_submit(&kit, "m", TRI_ALL_OR_NOTHING);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    (void)kit_ok(&kit, "m", 0, TRI_PHASE_COMMIT, 1);
    kit_pass(&kit, 10000);
    written_again();
}

ENGINE_TEST(record, a_message_with_a_primary_record_is_written_again_byte_for_byte)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    kit_all_ok(&kit, "m", TRI_PHASE_COMMIT, 1);
    written_again();
}

/* ---- damage ---- */

static bool standing_is_sound(const struct tri_record_standing *standing, bool has_targets)
{
    uint64_t all = UINT64_MAX;

    if (standing->target_count < 1 || standing->target_count > TRI_TARGETS_MAX) {
        return false;
    }
    all >>= TRI_TARGETS_MAX - standing->target_count;
    for (uint32_t i = 0; i < standing->target_count && has_targets; i++) {
        if (standing->targets[i].token_set_bytes > TRI_TOKENS_BYTES_MAX ||
            !tri_error_known(standing->targets[i].code)) {
            return false;
        }
    }
    return standing->stage < TRI_STAGE_COUNT && tri_error_known(standing->cause) &&
           standing->ack_type <= TRI_ACK_REJECTED &&
           ((standing->refused | standing->prepared | standing->applied | standing->final |
             standing->maybe | standing->affected) &
            ~all) == 0;
}

static bool content_is_sound(const struct tri_record_content *content, const uint8_t *from,
                             const uint8_t *end)
{
    return content->type < TRI_TYPE_COUNT && content->subtype < TRI_SUBTYPE_COUNT &&
           content->priority < TRI_PRIORITY_COUNT && content->atomicity < TRI_ATOMICITY_COUNT &&
           content->atomicity_declared < TRI_ATOMICITY_COUNT && content->scope < TRI_SCOPE_COUNT &&
           content->scope_declared < TRI_SCOPE_COUNT && content->canonical.at >= from &&
           content->canonical.at + content->canonical.bytes <= end &&
           content->inner_at <= content->canonical.bytes && content->id_bytes >= 1 &&
           content->id_bytes <= TRI_ID_BYTES_MAX &&
           (uint32_t)content->id_at + content->id_bytes <= content->canonical.bytes;
}

/* Every number that the engine would use is in its range. */
static bool is_sound(const uint8_t *at, uint32_t bytes)
{
    return (!parts.has_content || content_is_sound(&parts.content, at, at + bytes)) &&
           (!parts.has_standing || standing_is_sound(&parts.standing, parts.has_targets)) &&
           (!parts.has_result ||
            (parts.result.chain_count <= TRI_TARGETS_MAX && parts.result.kind < TRI_VIEW_KINDS &&
             tri_error_known(parts.result.code) && parts.result.attempt_n >= 1));
}

ENGINE_TEST(record, D03_no_beginning_of_a_record_is_a_record)
{
    tell();
    for (uint32_t i = 0; i < kept_count; i++) {
        for (uint32_t bytes = 0; bytes < kept[i].bytes; bytes++) {
            uint8_t *cut = malloc(bytes + 1); /* its end is where the sanitizer looks */
            bool is_older =
                kept[i].kind == TRI_RECORD_PRIMARY && bytes + PLACE_BYTES == kept[i].bytes;
            const char *fault = NULL;

            memcpy(cut, kept[i].at, bytes);
            cr_assert_eq(
                tri_record_decode(kept[i].kind, (struct tri_bytes){cut, bytes}, &parts, &fault),
                is_older ? TRI_OK : TRI_VIOLATION);
            cr_assert_eq(fault == NULL, is_older);
            free(cut);
        }
    }
}

ENGINE_TEST(record, D03_a_record_with_more_behind_it_is_none)
{
    tell();
    for (uint32_t i = 0; i < kept_count; i++) {
        uint8_t *longer = malloc(kept[i].bytes + 1);
        const char *fault = NULL;

        memcpy(longer, kept[i].at, kept[i].bytes);
        longer[kept[i].bytes] = 0;
        cr_assert_eq(tri_record_decode(kept[i].kind, (struct tri_bytes){longer, kept[i].bytes + 1},
                                       &parts, &fault),
                     TRI_VIOLATION);
        cr_assert_str_eq(fault, "the record is too long");
        free(longer);
    }
}

ENGINE_TEST(record, D03_no_changed_byte_leaves_its_range)
{
    tell();
    for (uint32_t i = 0; i < kept_count; i++) {
        for (uint32_t at = 0; at < kept[i].bytes; at++) {
            for (uint32_t change = 1; change < 256; change++) {
                const char *fault = NULL;
                enum tri_result result;

                kept[i].at[at] ^= (uint8_t)change;
                result = tri_record_decode(
                    kept[i].kind, (struct tri_bytes){kept[i].at, kept[i].bytes}, &parts, &fault);
                cr_assert(result == TRI_OK ? is_sound(kept[i].at, kept[i].bytes) : fault != NULL,
                          "record %u byte %u ^ %u", i, at, change);
                kept[i].at[at] ^= (uint8_t)change;
            }
        }
    }
}

static void expect_fault(const struct kept *record, const char *expected)
{
    const char *fault = NULL;

    cr_assert_eq(tri_record_decode(record->kind, (struct tri_bytes){record->at, record->bytes},
                                   &parts, &fault),
                 TRI_VIOLATION);
    cr_assert_str_eq(fault, expected);
}

ENGINE_TEST(record, D03_a_message_or_tokens_that_no_chain_could_read_are_refused)
{
    struct kept *accept = &kept[0];
    struct kept *decision = &kept[1];
    uint8_t *inner;

    kit_submit(&kit, "m", TRI_GUARANTEED);
    kit_all_ok(&kit, "m", TRI_PHASE_PREPARE, 1);
    read_back(accept);
    inner = accept->at + (parts.content.canonical.at - accept->at) + parts.content.inner_at;
    inner[0] ^= 0xc1; /* its type */
    expect_fault(accept, "the message cannot be read");
    inner[0] ^= 0xc1;
    accept->at[16 + 16 + 8 + 4 + 12 + 8] += 1; /* where it begins */
    expect_fault(accept, "the message cannot be read");
    accept->at[16 + 16 + 8 + 4 + 12 + 8] -= 1;
    read_back(accept);
    decision->at[45 + 4] = 0x92; /* one token calls itself two */
    expect_fault(decision, "no tokens");
    decision->at[45 + 4] = 0x91;
    read_back(decision);
}

ENGINE_TEST(record, D03_an_unknown_kind_is_refused)
{
    const char *fault = NULL;

    cr_assert_eq(tri_record_decode(TRI_RECORD_COUNT, (struct tri_bytes){(const uint8_t *)"", 0},
                                   &parts, &fault),
                 TRI_VIOLATION);
    cr_assert_str_eq(fault, "no kind of record");
}

/* Takes all records back as they are, and lives for a while if they are accepted. */
static bool live_with_them(void)
{
    const char *fault = NULL;

    kept_init(&kit);
    for (uint32_t i = 0; i < kept_count; i++) {
        enum tri_result result = kept_replay(&kit, kept[i].kind, kept[i].at, kept[i].bytes, &fault);

        if (result != TRI_OK && result != TRI_STALE) {
            cr_assert_not_null(fault);
            return false;
        }
    }
    if (tri_engine_resume(kit.engine, kit.now_ns, kit.wall_ms) != TRI_OK) {
        return false;
    }
    kept_connect(&kit);
    kept_all_answer(&kit, "g", TRI_PHASE_COMMIT, TRI_ATTEMPT(KIT_EPOCH, 1));
    kit_pass(&kit, 100000);
    (void)kept_checkpoint(&kit);
    kit.now_ns -= 100000 * TRI_NS_PER_MS; /* for the next one */
    kit.wall_ms -= 100000;
    return true;
}

ENGINE_TEST(record, D03_the_engine_lives_with_what_is_still_a_record)
{
    static const uint8_t changes[] = {0x01, 0x80, 0xff};
    uint32_t accepted = 0;
    uint32_t refused = 0;

    kit_submit(&kit, "q", TRI_ALL_OR_NOTHING);
    tell();
    kit.on_append = NULL;
    for (uint32_t i = 0; i < kept_count; i++) {
        for (uint32_t at = 0; at < kept[i].bytes; at++) {
            for (uint32_t k = 0; k < sizeof(changes); k++) {
                kept[i].at[at] ^= changes[k];
                kit.options.epoch = KIT_EPOCH + 1;
                *(live_with_them() ? &accepted : &refused) += 1;
                kept[i].at[at] ^= changes[k];
            }
        }
    }
    cr_assert(live_with_them());
    cr_assert_gt(accepted, 1000U);
    cr_assert_gt(refused, 1000U);
}
