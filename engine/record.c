/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"
#include "engine/order.h"
#include "engine/record_bytes.h"
#include "engine/wire.h"

/* Everything but targets and canonical bytes. */
#define FIXED_BYTES_MAX  256U
#define TARGET_BYTES_MAX (4U + TRI_TOKENS_BYTES_MAX)
#define MASKS            6U

static_assert(FIXED_BYTES_MAX + TRI_TARGETS_MAX * (TARGET_BYTES_MAX + 2U) + TRI_FRAME_BYTES_MAX <=
                  TRI_RECORD_BYTES_MAX,
              "the largest message fits into a record");

/* The stages that a kind may show. */
#define AT(stage) (UINT32_C(1) << TRI_STAGE_##stage)
static const uint8_t stages_of[TRI_RECORD_COUNT] = {
    [TRI_RECORD_ACCEPT] = AT(UNDECIDED) | AT(DECIDED) | AT(HELD),
    [TRI_RECORD_ATTEMPT] = AT(UNDECIDED),
    [TRI_RECORD_DECISION] = AT(DECIDED),
    [TRI_RECORD_ROLLBACK] = AT(ROLLING_BACK),
    [TRI_RECORD_PRIMARY] = AT(RECORDED),
    [TRI_RECORD_OUTCOME] = AT(ENDED),
    [TRI_RECORD_IMAGE] =
        AT(UNDECIDED) | AT(DECIDED) | AT(ROLLING_BACK) | AT(RECORDED) | AT(BACKING_OFF) | AT(HELD),
};
#undef AT
static_assert(TRI_STAGE_COUNT <= 8, "a set of stages is a byte");

enum part {
    PART_CONTENT = 1,
    PART_STANDING = 2,
    PART_TARGETS = 4,
    PART_WINDOW = 8,
    PART_RESULT = 16,
    PART_PLACE = 32,
};

static const uint8_t parts_of[TRI_RECORD_COUNT] = {
    [TRI_RECORD_ACCEPT] = PART_CONTENT | PART_STANDING | PART_TARGETS,
    [TRI_RECORD_ATTEMPT] = PART_STANDING,
    [TRI_RECORD_DECISION] = PART_STANDING | PART_TARGETS,
    [TRI_RECORD_ROLLBACK] = PART_STANDING | PART_TARGETS,
    [TRI_RECORD_PRIMARY] = PART_STANDING | PART_PLACE,
    [TRI_RECORD_OUTCOME] = PART_STANDING | PART_WINDOW,
    [TRI_RECORD_CLOSE] = PART_WINDOW,
    [TRI_RECORD_IMAGE] = PART_CONTENT | PART_STANDING | PART_TARGETS,
    [TRI_RECORD_REMEMBER] = PART_WINDOW | PART_RESULT,
    [TRI_RECORD_CHECKPOINT] = 0,
};

/* Of the content, in one byte: older journals have the first bit alone. */
#define FLAG_FINALIZE 1U
#define FLAG_FORCED   2U

static const uint8_t stages[TRI_ROUND_STATE_COUNT] = {
    [TRI_ROUND_B_COMMITTING] = TRI_STAGE_DECIDED,
    [TRI_ROUND_BF_COMMITTING] = TRI_STAGE_DECIDED,
    [TRI_ROUND_BF_FINALIZING] = TRI_STAGE_DECIDED,
    [TRI_ROUND_G_HELD] = TRI_STAGE_HELD,
    [TRI_ROUND_G_PREPARING] = TRI_STAGE_UNDECIDED,
    [TRI_ROUND_G_COMMITTING] = TRI_STAGE_DECIDED,
    [TRI_ROUND_G_RECORDING] = TRI_STAGE_RECORDED,
    [TRI_ROUND_G_FINALIZING] = TRI_STAGE_RECORDED,
    [TRI_ROUND_G_BACKOFF] = TRI_STAGE_BACKING_OFF,
    [TRI_ROUND_A_HELD] = TRI_STAGE_HELD,
    [TRI_ROUND_A_PREPARING] = TRI_STAGE_UNDECIDED,
    [TRI_ROUND_A_COMMITTING] = TRI_STAGE_DECIDED,
    [TRI_ROUND_A_ROLLING_BACK] = TRI_STAGE_ROLLING_BACK,
    [TRI_ROUND_A_RECORDING] = TRI_STAGE_RECORDED,
    [TRI_ROUND_A_FINALIZING] = TRI_STAGE_RECORDED,
    [TRI_ROUND_A_BACKOFF] = TRI_STAGE_BACKING_OFF,
    [TRI_ROUND_CLOSING] = TRI_STAGE_ENDED,
    [TRI_ROUND_R_PREPARING] = TRI_STAGE_COUNT, /* F04: a redelivery leaves no record */
    [TRI_ROUND_R_COMMITTING] = TRI_STAGE_COUNT,
    [TRI_ROUND_R_FINALIZING] = TRI_STAGE_COUNT,
    [TRI_ROUND_STALLED] = TRI_STAGE_COUNT, /* D07: nothing is recorded any more */
};
static_assert(TRI_ROUND_STATE_COUNT == 21, "a new state needs its stage");

/* ---- writing ---- */

/* Tokens are so short that a call, or an instruction for runs of any length, costs more. */
static uint8_t *put_tokens(uint8_t *at, const struct tri_target *target)
{
    const uint8_t *from = target->tokens;
    uint32_t bytes = target->token_set_bytes;

    if (bytes < 8) {
        for (uint32_t i = 0; i < bytes; i++) {
            at[i] = from[i];
        }
        return at + bytes;
    }
    for (uint32_t i = 0; i < bytes - 8; i += 8) {
        memcpy(at + i, from + i, 8);
    }
    memcpy(at + bytes - 8, from + bytes - 8, 8); /* the last one overlaps */
    return at + bytes;
}

static uint32_t mask_bytes(uint32_t targets)
{
    return (targets + 7U) / 8U;
}

static uint8_t *put_masks(uint8_t *at, const struct tri_round *round)
{
    const uint64_t masks[MASKS] = {round->refused, round->prepared, round->applied,
                                   round->final,   round->maybe,    round->affected};
    uint32_t width = mask_bytes(round->target_count);

    if (width == 1) { /* nearly always */
        for (uint32_t i = 0; i < MASKS; i++) {
            at[i] = (uint8_t)masks[i];
        }
        return at + MASKS;
    }
    for (uint32_t i = 0; i < MASKS; i++) {
        at = put_raw(at, &masks[i], width);
    }
    return at;
}

static uint8_t *put_content(uint8_t *at, const struct tri_round *round)
{
    bool finalize_requested =
        round->state == TRI_ROUND_BF_COMMITTING || round->state == TRI_ROUND_BF_FINALIZING;

    at = put_raw(at, tri_round_hash(round)->at, sizeof(struct tri_hash));
    at = put_u64(at, round->expires_at_ms);
    at = put_u32(at, round->ttl_ms);
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        at = put_u32(at, round->timeout_ms[phase]);
    }
    at = put_u8(at, round->type);
    at = put_u8(at, round->subtype);
    at = put_u8(at, round->priority);
    at = put_u8(at, round->atomicity);
    at = put_u8(at, round->atomicity_declared);
    at = put_u8(at, round->scope);
    at = put_u8(at, round->scope_declared);
    at =
        put_u8(at, (finalize_requested ? FLAG_FINALIZE : 0) | (round->is_forced ? FLAG_FORCED : 0));
    at = put_u16(at, round->inner_at);
    at = put_u8(at, round->id_at);
    at = put_u8(at, round->id_bytes);
    at = put_u32(at, round->canonical_bytes);
    return put_raw(at, tri_round_canonical(round), round->canonical_bytes);
}

static uint8_t *put_standing(uint8_t *at, const struct tri_round *round)
{
    /* What a restart has ended is as undecided to the next one: it uses up no retry either. */
    enum tri_record_stage stage =
        round->is_orphan ? TRI_STAGE_UNDECIDED : (enum tri_record_stage)stages[round->state];

    assert(stage < TRI_STAGE_COUNT);
    at = put_u8(at, stage);
    at = put_u64(at, round->attempt);
    at = put_u16(at, round->retries);
    at = put_u16(at, round->cause);
    at = put_u8(at, round->ack_type);
    at = put_u64(at, round->window_end_ms);
    at = put_u8(at, round->target_count);
    return put_masks(at, round);
}

static uint8_t *put_targets(uint8_t *at, const struct tri_round *round)
{
    for (uint32_t i = 0; i < round->target_count; i++) {
        const struct tri_target *target = &round->targets[i];

        at = put_u16(at, target->chain);
        at = put_u8(at, target->code);
        at = put_u8(at, target->token_set_bytes);
        at = put_tokens(at, target);
    }
    return at;
}
static_assert(TRI_ERROR_VALUE_MAX <= UINT8_MAX, "a record keeps a code in one byte");

/* R06: when it may be forgotten.  Rounded down, as entries round up to seconds: else each restart
 * would add one. */
static uint8_t *put_window(uint8_t *at, const struct tri_engine *engine, uint32_t expires_s)
{
    uint64_t expires_ns = expires_s * TRI_NS_PER_S;
    uint64_t rest_ns = expires_ns <= engine->now_ns ? 0 : expires_ns - engine->now_ns;
    uint64_t rest_ms = rest_ns / TRI_NS_PER_MS;

    if (rest_ms > UINT32_MAX) {
        rest_ms = UINT32_MAX;
    }
    at = put_u64(at, engine->wall_ms + rest_ms);
    return put_u32(at, (uint32_t)rest_ms);
}

static uint8_t *put_result(uint8_t *at, const struct tri_engine *engine,
                           const struct tri_dedup_entry *entry, const uint64_t masks[2])
{
    uint32_t count = 0;
    const uint16_t *chains = entry->target_set == TRI_TARGETS_NONE
                                 ? NULL
                                 : tri_targets_get(engine->target_sets, entry->target_set, &count);

    at = put_raw(at, entry->hash.at, sizeof(entry->hash.at));
    at = put_u64(at, masks[0]);
    at = put_u64(at, masks[1]);
    at = put_u32(at, entry->epoch);
    at = put_u16(at, entry->attempt_n);
    at = put_u16(at, entry->code);
    at = put_u8(at, entry->summary);
    at = put_u8(at, entry->kind);
    at = put_u8(at, count);
    for (uint32_t i = 0; i < count; i++) {
        at = put_u16(at, chains[i]);
    }
    return at;
}

/* The open message that the record is about; NULL: it is closed, or there is none. */
static const struct tri_round *record_round(struct tri_engine *engine,
                                            const struct tri_effect *append)
{
    const struct tri_round *round;

    assert(append->type == TRI_EFFECT_APPEND);
    if (append->append.slot == TRI_NONE_INDEX) {
        assert((parts_of[append->append.kind] & (PART_CONTENT | PART_STANDING)) == 0);
        return NULL;
    }
    round = tri_engine_round(engine, append->append.slot);
    assert(round->key.lo == append->round.key.lo);
    assert(round->key.hi == append->round.key.hi);
    return round;
}

uint32_t tri_engine_record_bytes_max(struct tri_engine *engine, const struct tri_effect *append)
{
    uint8_t parts = parts_of[append->append.kind];
    const struct tri_round *round;
    uint32_t bytes = FIXED_BYTES_MAX;

    if (tri_envelope_is_record(append->append.kind)) {
        return tri_envelope_record_bytes_max(engine, append);
    }
    round = record_round(engine, append);

    if ((parts & PART_RESULT) != 0) {
        bytes += TRI_TARGETS_MAX * 2U;
    }
    if ((parts & PART_TARGETS) != 0) {
        bytes += round->target_count * TARGET_BYTES_MAX;
    }
    if ((parts & PART_CONTENT) != 0) {
        bytes += round->canonical_bytes;
    }
    return bytes;
}

/* REMEMBER: what a closed message has left, or what an open one leaves if it closes now. */
static uint8_t *record_remember(uint8_t *at, struct tri_engine *engine,
                                const struct tri_effect *append, const struct tri_round *round)
{
    struct tri_dedup_entry closing = {0};
    const struct tri_dedup_entry *entry = &closing;
    uint64_t masks[2];

    if (round != NULL) {
        closing.expires_s = tri_act_expires_s(engine, round);
        tri_view_pack(round, &closing, masks);
    } else {
        struct tri_dedup_found found = tri_dedup_find(engine->dedup, append->round.key);

        assert(found.state == TRI_DEDUP_CLOSED);
        entry = found.entry;
        tri_dedup_load(engine->dedup, entry, masks);
    }
    at = put_window(at, engine, entry->expires_s);
    return put_result(at, engine, entry, masks);
}

uint32_t tri_engine_record(struct tri_engine *engine, const struct tri_effect *append, uint8_t *to)
{
    uint8_t parts = parts_of[append->append.kind];
    const struct tri_round *round;
    uint8_t *at = to;

    if (tri_envelope_is_record(append->append.kind)) {
        return tri_envelope_record(engine, append, to);
    }
    round = record_round(engine, append);
    if (parts == 0) {
        return (uint32_t)(put_u64(at, append->append.begin_lsn) - to);
    }
    at = put_key(at, append->round.key);
    if ((parts & PART_CONTENT) != 0) {
        at = put_content(at, round);
    }
    if ((parts & PART_STANDING) != 0) {
        at = put_standing(at, round);
    }
    if ((parts & PART_TARGETS) != 0) {
        at = put_targets(at, round);
    }
    if ((parts & PART_RESULT) != 0) {
        at = record_remember(at, engine, append, round);
    } else if ((parts & PART_WINDOW) != 0) {
        at =
            put_window(at, engine,
                       round == NULL ? append->append.expires_s : tri_act_expires_s(engine, round));
    }
    if ((parts & PART_PLACE) != 0) {
        at = put_u64(at, append->append.oss_epoch);
        at = put_u64(at, append->append.issued_at_ms);
    }
    return (uint32_t)(at - to);
}

/* ---- reading ---- */

static uint64_t get_below(struct reader *reader, uint32_t bytes, uint64_t limit, const char *fault)
{
    uint64_t value = get(reader, bytes);

    if (value >= limit) {
        reader_expect(reader, false, fault);
        return 0;
    }
    return value;
}

static void get_content(struct reader *reader, struct tri_record_content *content)
{
    uint32_t canonical_bytes;
    uint64_t flags;

    get_raw(reader, content->hash.at, sizeof(content->hash.at));
    content->expires_at_ms = get(reader, 8);
    content->ttl_ms = (uint32_t)get(reader, 4);
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        content->timeout_ms[phase] = (uint32_t)get(reader, 4);
    }
    content->type = (uint8_t)get_below(reader, 1, TRI_TYPE_COUNT, "no message type");
    content->subtype = (uint8_t)get_below(reader, 1, TRI_SUBTYPE_COUNT, "no subtype");
    content->priority = (uint8_t)get_below(reader, 1, TRI_PRIORITY_COUNT, "no priority");
    content->atomicity = (uint8_t)get_below(reader, 1, TRI_ATOMICITY_COUNT, "no atomicity");
    content->atomicity_declared =
        (uint8_t)get_below(reader, 1, TRI_ATOMICITY_COUNT, "no declared atomicity");
    content->scope = (uint8_t)get_below(reader, 1, TRI_SCOPE_COUNT, "no scope");
    content->scope_declared = (uint8_t)get_below(reader, 1, TRI_SCOPE_COUNT, "no declared scope");
    flags = get_below(reader, 1, (FLAG_FINALIZE | FLAG_FORCED) + 1, "no flags");
    content->finalize_requested = (flags & FLAG_FINALIZE) != 0;
    content->is_forced = (flags & FLAG_FORCED) != 0;
    content->inner_at = (uint16_t)get(reader, 2);
    content->id_at = (uint8_t)get(reader, 1);
    content->id_bytes = (uint8_t)get_below(reader, 1, TRI_ID_BYTES_MAX + 1U, "the id is too long");
    canonical_bytes =
        (uint32_t)get_below(reader, 4, TRI_FRAME_BYTES_MAX, "the message is too long");
    if ((size_t)(reader->end - reader->at) < canonical_bytes ||
        content->inner_at > canonical_bytes || content->id_bytes == 0 ||
        (uint32_t)content->id_at + content->id_bytes > canonical_bytes) {
        reader_expect(reader, false, "the message's parts lie outside");
        return;
    }
    content->canonical = (struct tri_bytes){.at = reader->at, .bytes = canonical_bytes};
    if (!tri_inner_is_whole((struct tri_bytes){.at = reader->at + content->inner_at,
                                               .bytes = canonical_bytes - content->inner_at})) {
        reader_expect(reader, false, "the message cannot be read");
    }
    reader->at += canonical_bytes;
}

/* H03: no chain is a target twice. */
static bool target_is_new(const struct tri_record_standing *standing, uint32_t index)
{
    uint32_t i = 0;

    while (i < index && standing->targets[i].chain != standing->targets[index].chain) {
        i++;
    }
    return i == index;
}

static void get_targets(struct reader *reader, struct tri_record_standing *standing)
{
    for (uint32_t i = 0; i < standing->target_count; i++) {
        struct tri_target *target = &standing->targets[i];

        target->chain = (uint16_t)get(reader, 2);
        target->code = (uint16_t)get(reader, 1);
        target->token_set_bytes =
            (uint8_t)get_below(reader, 1, TRI_TOKENS_BYTES_MAX + 1U, "the tokens are too long");
        get_raw(reader, target->tokens, target->token_set_bytes);
        if (target->token_set_bytes > 0 &&
            !tri_tokens_are_whole((struct tri_bytes){target->tokens, target->token_set_bytes})) {
            reader_expect(reader, false, "no tokens");
        }
        if (!tri_error_known(target->code) || !target_is_new(standing, i)) {
            reader_expect(reader, false, "no error code, or a target twice");
        }
    }
}

static void get_standing(struct reader *reader, struct tri_record_standing *standing)
{
    uint64_t masks[MASKS];
    uint64_t all;

    standing->stage = (enum tri_record_stage)get_below(reader, 1, TRI_STAGE_COUNT, "no stage");
    standing->attempt = get(reader, 8);
    standing->retries = (uint16_t)get(reader, 2);
    standing->cause = (uint16_t)get(reader, 2);
    standing->ack_type = (uint8_t)get_below(reader, 1, TRI_ACK_PHASE_PREPARE_OK, "no result");
    standing->window_end_ms = get(reader, 8);
    standing->target_count =
        (uint8_t)get_below(reader, 1, TRI_TARGETS_MAX + 1U, "too many targets");
    if (standing->target_count == 0 || !tri_error_known(standing->cause)) {
        reader_expect(reader, false, "no targets, or no error code");
        return;
    }
    all = UINT64_MAX >> (TRI_TARGETS_MAX - standing->target_count);
    for (uint32_t i = 0; i < MASKS; i++) {
        masks[i] = get(reader, mask_bytes(standing->target_count));
        if ((masks[i] & ~all) != 0) {
            reader_expect(reader, false, "a mask names no target");
        }
    }
    standing->refused = masks[0];
    standing->prepared = masks[1];
    standing->applied = masks[2];
    standing->final = masks[3];
    standing->maybe = masks[4];
    standing->affected = masks[5];
}

/* What a stage says of the masks, as far as the engine relies on it. */
static const char *standing_fault(enum tri_record kind, const struct tri_record_standing *standing)
{
    uint64_t all = UINT64_MAX >> (TRI_TARGETS_MAX - standing->target_count);
    bool is_undoing = standing->stage == TRI_STAGE_ROLLING_BACK;
    bool may_have_undone = is_undoing || standing->stage == TRI_STAGE_BACKING_OFF ||
                           standing->stage == TRI_STAGE_ENDED;

    if ((stages_of[kind] >> standing->stage & 1U) == 0) {
        return "a record of this kind never shows this stage";
    }
    if ((standing->stage == TRI_STAGE_ENDED) != (standing->ack_type != TRI_ACK_RECEIVED)) {
        return "a result without an end, or the other way round";
    }
    if (TRI_ATTEMPT_EPOCH(standing->attempt) == 0 || TRI_ATTEMPT_N(standing->attempt) == 0) {
        return "no attempt";
    }
    if ((standing->affected != 0 && !may_have_undone) || (standing->affected == 0 && is_undoing)) {
        return "a rollback that affects nobody, or the other way round";
    }
    if (standing->final != 0 && (is_undoing || standing->stage == TRI_STAGE_UNDECIDED ||
                                 standing->stage == TRI_STAGE_BACKING_OFF)) {
        return "a FINALIZE before its time";
    }
    if (is_undoing && standing->applied != 0 &&
        (standing->affected | standing->applied | standing->refused) != all) {
        return "a rollback leaves a target out";
    }
    return NULL;
}

/* F06: who comes by the forced path is accepted held and with nothing sent, and nobody else is
 * held: no record leads around the verdict. */
static const char *held_fault(enum tri_record kind, const struct tri_record_parts *parts)
{
    const struct tri_record_standing *standing = &parts->standing;
    uint64_t begun_ms = parts->content.expires_at_ms - parts->content.ttl_ms;
    bool is_held = standing->stage == TRI_STAGE_HELD;
    uint64_t dated_ms;

    if (parts->content.is_forced && !tri_message_dated(parts->content.canonical, &dated_ms)) {
        return "the message cannot be read";
    }
    if (is_held != parts->content.is_forced && (is_held || kind == TRI_RECORD_ACCEPT)) {
        return "a hold without a forced message, or the other way round";
    }
    if (!is_held) {
        return NULL;
    }
    if (standing->window_end_ms - begun_ms > TRI_TTL_S_MAX * UINT64_C(1000)) {
        return "a hold outside the life of its message";
    }
    if ((standing->refused | standing->prepared | standing->applied | standing->final |
         standing->maybe | standing->affected) != 0) {
        return "a held message that has been sent";
    }
    return NULL;
}

static void get_result(struct reader *reader, struct tri_record_result *result)
{
    get_raw(reader, result->hash.at, sizeof(result->hash.at));
    result->done_mask = get(reader, 8);
    result->refused_mask = get(reader, 8);
    result->epoch = (uint32_t)get(reader, 4);
    result->attempt_n = (uint16_t)get(reader, 2);
    result->code = (uint16_t)get(reader, 2);
    result->summary = (uint8_t)get(reader, 1);
    result->kind = (uint8_t)get_below(reader, 1, TRI_VIEW_KINDS, "no kind of result");
    result->chain_count = (uint32_t)get_below(reader, 1, TRI_TARGETS_MAX + 1U, "too many targets");
    for (uint32_t i = 0; i < result->chain_count; i++) {
        result->chains[i] = (uint16_t)get(reader, 2);
    }
    if (!tri_error_known(result->code) || !tri_view_summary_fits(result->summary) ||
        result->attempt_n == 0) {
        reader_expect(reader, false, "no result");
    }
    if (result->chain_count > 0 &&
        ((result->done_mask | result->refused_mask) &
         ~(UINT64_MAX >> (TRI_TARGETS_MAX - result->chain_count))) != 0) {
        reader_expect(reader, false, "a mask names no target");
    }
}

enum tri_result tri_record_decode(enum tri_record kind, struct tri_bytes payload,
                                  struct tri_record_parts *parts, const char **fault)
{
    struct reader reader = {.at = payload.at, .end = payload.at + payload.bytes, .fault = NULL};
    uint8_t has = 0;

    if (kind >= TRI_RECORD_COUNT || tri_envelope_is_record(kind)) {
        *fault = "no kind of record";
        return TRI_VIOLATION;
    }
    has = parts_of[kind];
    parts->has_content = (has & PART_CONTENT) != 0;
    parts->has_standing = (has & PART_STANDING) != 0;
    parts->has_targets = (has & PART_TARGETS) != 0;
    parts->has_window = (has & PART_WINDOW) != 0;
    parts->has_result = (has & PART_RESULT) != 0;
    parts->has_place = false;
    parts->key.lo = get(&reader, 8);
    if (kind != TRI_RECORD_CHECKPOINT) {
        parts->key.hi = get(&reader, 8);
    }
    if (parts->has_content) {
        get_content(&reader, &parts->content);
    }
    if (parts->has_standing && reader.fault == NULL) {
        get_standing(&reader, &parts->standing);
        if (reader.fault == NULL) {
            reader.fault = standing_fault(kind, &parts->standing);
        }
    }
    if (parts->has_content && reader.fault == NULL) {
        reader.fault = held_fault(kind, parts);
    }
    if (parts->has_targets && reader.fault == NULL) {
        get_targets(&reader, &parts->standing);
    }
    if (parts->has_window && reader.fault == NULL) {
        parts->window.forget_at_ms = get(&reader, 8);
        parts->window.rest_ms = (uint32_t)get(&reader, 4);
    }
    if (parts->has_result && reader.fault == NULL) {
        get_result(&reader, &parts->result);
    }
    /* Journals from before there were finality records end before it. */
    if ((has & PART_PLACE) != 0 && reader.fault == NULL && reader.at != reader.end) {
        parts->has_place = true;
        parts->place.oss_epoch = get(&reader, 8);
        parts->place.issued_at_ms = get(&reader, 8);
        reader_expect(&reader, parts->place.oss_epoch != 0, "no epoch");
    }
    return reader_end(&reader, fault);
}
