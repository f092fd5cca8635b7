/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: participant, files and ledger of a chain come back together from its
 * journal, as they were (P05, P06, D05, S04).
 * Method: a desk with a real journal and no wires.  Random frames on a few
 * assets over many lives; before each end everything is asked until the answers
 * do not change any more, and the next life must give the same bytes and have
 * the same ledger.  Segments are so small that checkpoints and dropped segments
 * are part of it.  And bytes that are no records.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/chain_desk.h"
#include "io/clock.h"

enum { ASSETS = 6, MESSAGES = 20, ATTEMPTS = 4, STEPS = 5, PASSES_MAX = 6, ENTRIES = 64 };

#define SEGMENT_BYTES (UINT64_C(1) << 20)
#define ANSWER_BYTES  256U
#define DAY_MS        UINT64_C(86400000)

struct answer {
    uint32_t bytes;
    uint8_t at[ANSWER_BYTES];
};

static char path[64];
static char why[TRI_STORE_WHY_BYTES];
static struct tri_store store;
static struct tri_book book;
static struct tri_faults faults;
static struct tri_desk *desk;
static uint64_t now_ns;
static uint64_t wall_ms;
static uint8_t out[4 * TRI_DESK_OUT_BYTES];
/* What PREPARE(n) named, as COMMIT(n) names it. */
static struct answer tokens[MESSAGES][ATTEMPTS];

static void make_directory(void)
{
    (void)snprintf(path, sizeof(path), "/tmp/tricast-desk-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
    now_ns = UINT64_C(1000000000);
    wall_ms = UINT64_C(1750000000000);
}

static int remove_one(const char *name, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(name);
}

static void remove_directory(void)
{
    cr_assert_eq(nftw(path, remove_one, 4, FTW_DEPTH | FTW_PHYS), 0);
}

TestSuite(chain_desk, .init = make_directory, .fini = remove_directory);

/* ---- lives ---- */

static void open_desk(void)
{
    int failed = tri_store_open(&store, path, "eip155:10", SEGMENT_BYTES, why);

    cr_assert_eq(failed, 0, "%s", why);
    book = (struct tri_book){0};
    cr_assert_null(tri_book_collect_series(&book, "bond-", ASSETS));
    cr_assert_null(tri_book_open(&book, 7));
    desk = tri_desk_open(&(struct tri_desk_options){
        .chain = {"eip155:10", 9},
        .participant = {.entries_max = ENTRIES,
                        .instance = store.instance,
                        .dedup_window_ms = 2 * DAY_MS},
        .book = &book,
        .store = &store,
        .faults = &faults,
    });
    cr_assert_not_null(desk);
}

static void close_desk(void)
{
    tri_desk_close(desk);
    tri_store_close(&store);
    free(book.ledger);
    free(book.ids);
    free(book.series);
}

static int take(void *context, const struct tri_journal_entry *entry)
{
    uint64_t *records = context;

    (*records)++;
    return tri_desk_replay(desk, &entry->record, now_ns, wall_ms, why);
}

/* Ends its turn; `all`: and waits until everything is durable. */
static void settle(bool all)
{
    struct tri_writer writer = {out, out + sizeof(out), false};

    do {
        cr_assert_eq(tri_store_turn(&store, tri_clock_now_ns(), why), 0, "%s", why);
        tri_desk_settle(desk, now_ns, wall_ms, &writer);
        if (all && tri_desk_durable_lsn(desk) < tri_desk_noted_lsn(desk)) {
            (void)tri_journal_wait(store.journal, TRI_NS_PER_S);
        }
    } while ((all && tri_desk_durable_lsn(desk) < tri_desk_noted_lsn(desk)) ||
             tri_desk_is_full(desk) || tri_desk_is_busy(desk));
}

/* A new life; how many records the replay took back. */
static uint64_t start(void)
{
    struct tri_writer writer = {out, out + sizeof(out), false};
    uint64_t records = 0;
    int failed;

    open_desk();
    failed = tri_store_replay(&store, take, &records, why);
    cr_assert_eq(failed, 0, "%s", why);
    failed = tri_store_begin(&store, why);
    cr_assert_eq(failed, 0, "%s", why);
    while (tri_desk_resume(desk, now_ns, wall_ms, &writer)) {
        writer.at = out;
    }
    return records;
}

/* ---- frames ---- */

/* One frame; *answer is what came, nothing if nothing came. */
static void say(const struct tri_frame *frame, struct answer *answer)
{
    static uint8_t body[4096];
    struct tri_writer writer = {out, out + sizeof(out), false};
    struct tri_wire_fault fault;
    uint32_t bytes = tri_wire_encode(frame, body, sizeof(body));
    enum tri_result result;

    cr_assert_gt(bytes, 0);
    result = tri_desk_frame(
        desk, (struct tri_bytes){body + TRI_FRAME_HEADER_BYTES, bytes - TRI_FRAME_HEADER_BYTES},
        now_ns, wall_ms, &writer, &fault);
    cr_assert_eq(result, TRI_OK);
    answer->bytes = (uint32_t)(writer.at - out);
    cr_assert_leq(answer->bytes, ANSWER_BYTES);
    memcpy(answer->at, out, answer->bytes);
    settle(false);
}

static void note_tokens(uint32_t who, uint32_t attempt, const struct answer *answer)
{
    struct tri_frame frame;
    struct tri_wire_fault fault;

    cr_assert_eq(tri_wire_decode(answer->at + TRI_FRAME_HEADER_BYTES,
                                 answer->bytes - TRI_FRAME_HEADER_BYTES, &frame, &fault),
                 TRI_OK);
    if (frame.phase_ack.type == TRI_ACK_PHASE_PREPARE_OK) {
        tokens[who][attempt].bytes = frame.phase_ack.tokens.bytes;
        memcpy(tokens[who][attempt].at, frame.phase_ack.tokens.at, frame.phase_ack.tokens.bytes);
    }
}

static void say_phase(uint32_t who, enum tri_phase phase, uint32_t attempt, struct answer *answer)
{
    static const char *const actions[] = {"FREEZE", "RELEASE", "MELT", "RESERVE"};
    const char *action = actions[who / 5 % 4];
    struct tri_frame frame = {.type = TRI_FRAME_PHASE};
    struct tri_phase_frame *to = &frame.phase;
    uint8_t payload[128];
    char id[16];
    char asset[16];

    to->id = (struct tri_text){id, (uint32_t)snprintf(id, sizeof(id), "m%u", who)};
    to->phase = phase;
    to->attempt = TRI_ATTEMPT(1, attempt);
    to->atomicity = who % 5 == 0 ? TRI_BEST_EFFORT : TRI_ALL_OR_NOTHING;
    to->expires_at_ms = UINT64_C(1750000000000) + DAY_MS;
    to->reservation_ttl_ms = phase == TRI_PHASE_PREPARE ? (uint32_t)DAY_MS : 0;
    to->type = TRI_TYPE_REGULATORY_ACTION;
    to->asset_count = 1;
    to->assets[0] = (struct tri_text){
        asset, (uint32_t)snprintf(asset, sizeof(asset), "bond-%06u", who % ASSETS)};
    to->payload.at = payload;
    to->payload.bytes = tri_action_encode(
        &(struct tri_action_payload){
            to->assets[0], {action, (uint32_t)strlen(action)}, {"because", 7}},
        payload, sizeof(payload));
    to->tokens = (struct tri_bytes){(const uint8_t *)"\x90", 1};
    if (to->atomicity == TRI_BEST_EFFORT) {
        to->phase = phase == TRI_PHASE_PREPARE ? TRI_PHASE_COMMIT : phase; /* it has no PREPARE */
        to->reservation_ttl_ms = 0;
    } else if (phase != TRI_PHASE_PREPARE) {
        to->tokens = tokens[who][attempt].bytes > 0
                         ? (struct tri_bytes){tokens[who][attempt].at, tokens[who][attempt].bytes}
                         : (struct tri_bytes){(const uint8_t *)"\x91\xa1?", 3};
    }
    say(&frame, answer);
    if (to->phase == TRI_PHASE_PREPARE && answer->bytes > 0) {
        note_tokens(who, attempt, answer);
    }
}

static void say_control(uint32_t who, enum tri_control kind, uint32_t attempt,
                        struct answer *answer)
{
    struct tri_frame frame = {.type = TRI_FRAME_CONTROL};
    char id[16];

    frame.control.id = (struct tri_text){id, (uint32_t)snprintf(id, sizeof(id), "m%u", who)};
    frame.control.kind = kind;
    frame.control.attempt = TRI_ATTEMPT(1, attempt);
    frame.control.expires_at_ms = UINT64_C(1750000000000) + DAY_MS;
    frame.control.tokens = (struct tri_bytes){(const uint8_t *)"\x90", 1};
    if (kind == TRI_CONTROL_ROLLBACK) {
        frame.control.reason = (struct tri_text){"because", 7};
        frame.control.chain_count = 1;
        frame.control.chains[0] = (struct tri_text){"eip155:10", 9};
        frame.control.deadline_ms = UINT64_C(1750000000000) + DAY_MS;
    }
    say(&frame, answer);
}

static void say_step(uint32_t who, uint32_t what, uint32_t attempt, struct answer *answer)
{
    if (what < TRI_PHASE_COUNT) {
        say_phase(who, (enum tri_phase)what, attempt, answer);
    } else {
        say_control(who, (enum tri_control)(what - TRI_PHASE_COUNT), attempt, answer);
    }
}

/* ---- lives compared ---- */

static struct answer before[MESSAGES][STEPS][ATTEMPTS];
static uint8_t images[ASSETS][TRI_LEDGER_IMAGE_BYTES];
static bool was_said[MESSAGES][STEPS][ATTEMPTS];

/* Asks everything that was said; how many answers are not those of `before`, which they become. */
static uint32_t ask_all(void)
{
    uint32_t changed = 0;

    for (uint32_t who = 0; who < MESSAGES; who++) {
        for (uint32_t attempt = 1; attempt < ATTEMPTS; attempt++) {
            for (uint32_t what = 0; what < STEPS; what++) {
                struct answer answer;

                if (!was_said[who][what][attempt]) {
                    continue;
                }
                say_step(who, what, attempt, &answer);
                if (answer.bytes != before[who][what][attempt].bytes ||
                    memcmp(answer.at, before[who][what][attempt].at, answer.bytes) != 0) {
                    changed++;
                    before[who][what][attempt] = answer;
                }
            }
        }
    }
    return changed;
}

static void image_all(uint8_t to[ASSETS][TRI_LEDGER_IMAGE_BYTES])
{
    for (uint32_t i = 0; i < ASSETS; i++) {
        struct tri_text id = book.ids[i];

        cr_assert(tri_ledger_image(book.ledger, tri_book_hash(&book, id), id, to[i]));
    }
}

static uint64_t draw(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static void play_a_life(uint64_t *seed, uint32_t frames)
{
    for (uint32_t i = 0; i < frames; i++) {
        uint32_t who = (uint32_t)(draw(seed) % MESSAGES);
        uint32_t what = (uint32_t)(draw(seed) % STEPS);
        uint32_t attempt = 1 + (uint32_t)(draw(seed) % (ATTEMPTS - 1));
        struct answer answer;

        now_ns += TRI_NS_PER_MS;
        wall_ms++;
        if (what == TRI_PHASE_COUNT && draw(seed) % 4 != 0) {
            continue; /* else most messages are aborted early */
        }
        say_step(who, what, attempt, &answer);
        was_said[who][what][attempt] = true;
    }
}

Test(chain_desk, P06_every_life_answers_with_the_bytes_of_the_one_before)
{
    uint64_t seed = 3;
    uint8_t found[ASSETS][TRI_LEDGER_IMAGE_BYTES];

    (void)start();
    for (uint32_t life = 1; life <= 40; life++) {
        uint32_t passes = 0;

        if (life % 8 == 1) { /* messages of new names: the old ones are said no more */
            memset(was_said, 0, sizeof(was_said));
            memset(tokens, 0, sizeof(tokens));
            close_desk();
            remove_directory();
            make_directory();
            (void)start();
        }
        play_a_life(&seed, 15);
        while (ask_all() > 0) {
            cr_assert_lt(++passes, PASSES_MAX, "life %u: the answers never settle", life);
        }
        image_all(images);
        settle(true);
        if (life % 3 == 0) {
            cr_assert_eq(tri_store_end(&store, why), 0, "%s", why);
        }
        close_desk();
        now_ns = UINT64_C(500000000) + draw(&seed) % TRI_NS_PER_S; /* another clock */
        (void)start();
        image_all(found);
        cr_assert_arr_eq(found, images, sizeof(images), "life %u: the ledger", life);
        cr_assert_eq(ask_all(), 0, "life %u: other answers", life);
        image_all(found);
        cr_assert_arr_eq(found, images, sizeof(images), "life %u: processed again", life);
    }
    close_desk();
}

Test(chain_desk, P13_checkpoints_bound_what_a_start_reads)
{
    uint64_t seed = 9;
    uint64_t frames = 0;
    uint64_t records;

    (void)start();
    while (tri_log_counts(store.log).segments_begun < 6) {
        struct answer answer;
        uint32_t who = (uint32_t)(draw(&seed) % MESSAGES);
        uint32_t attempt = (uint32_t)(++frames);
        struct tri_frame frame = {.type = TRI_FRAME_CONTROL};
        char id[16];

        /* ABORT of ever higher attempts: each is a record. */
        frame.control.id = (struct tri_text){id, (uint32_t)snprintf(id, sizeof(id), "a%u", who)};
        frame.control.kind = TRI_CONTROL_ABORT;
        frame.control.attempt = TRI_ATTEMPT(1, attempt);
        frame.control.expires_at_ms = UINT64_C(1750000000000) + DAY_MS;
        frame.control.tokens = (struct tri_bytes){(const uint8_t *)"\x90", 1};
        say(&frame, &answer);
    }
    settle(true);
    cr_assert_leq(tri_log_counts(store.log).segments_kept, 3);
    cr_assert_gt(tri_log_needed_lsn(store.log), frames / 2);
    close_desk();
    records = start();
    cr_assert_gt(frames, 15000);
    cr_assert_lt(records, frames / 2);
    close_desk();
}

Test(chain_desk, P14_the_holder_of_a_recovered_reservation_is_known)
{
    struct answer answer;
    struct tri_asset_view view;
    struct tri_text id = {"bond-000001", 11};

    (void)start();
    say_phase(1, TRI_PHASE_PREPARE, 1, &answer);
    settle(true);
    close_desk();
    (void)start();
    cr_assert(tri_ledger_find(book.ledger, tri_book_hash(&book, id), id, &view));
    cr_assert(view.is_reserved);
    id = tri_desk_holder(desk, view.holder);
    cr_assert_eq(id.bytes, 2);
    cr_assert_eq(memcmp(id.at, "m1", 2), 0);
    cr_assert_eq(tri_desk_holder(desk, (struct tri_key){1, 2}).bytes, 0);
    close_desk();
}

/* ---- bytes that are none ---- */

enum { KEPT_MAX = 64 };
static struct {
    struct tri_log_record record;
    uint8_t payload[TRI_STORE_RECORD_BYTES];
} kept[KEPT_MAX];
static uint32_t kept_count;

static int keep(void *context, const struct tri_journal_entry *entry)
{
    (void)context;
    if (kept_count < KEPT_MAX && entry->record.type != TRI_LOG_TYPE_CHAINS) {
        kept[kept_count].record = entry->record;
        memcpy(kept[kept_count].payload, entry->record.payload, entry->record.bytes);
        kept_count++;
    }
    return 0;
}

/* The payload lies at the end of its own memory, so that a sanitizer sees what is read. */
static int feed(const struct tri_log_record *record, const uint8_t *payload, uint32_t bytes)
{
    struct tri_log_record copy = *record;
    uint8_t *at = malloc(bytes == 0 ? 1 : bytes);
    int failed;

    memcpy(at, payload, bytes);
    copy.payload = at;
    copy.bytes = bytes;
    why[0] = '\0';
    failed = tri_desk_replay(desk, &copy, now_ns, wall_ms, why);
    cr_assert_eq(failed == 0, why[0] == '\0');
    free(at);
    return failed;
}

Test(chain_desk, D03_no_record_is_trusted)
{
    uint64_t seed = 21;
    uint32_t taken = 0;

    (void)start();
    play_a_life(&seed, 200);
    settle(true);
    close_desk();
    open_desk();
    kept_count = 0;
    cr_assert_eq(tri_store_replay(&store, keep, NULL, why), 0);
    cr_assert_gt(kept_count, 20);
    for (uint32_t i = 0; i < kept_count; i++) {
        for (uint32_t bytes = 0; bytes < kept[i].record.bytes; bytes++) {
            cr_assert_eq(feed(&kept[i].record, kept[i].payload, bytes), -EBADMSG);
        }
        cr_assert_eq(feed(&kept[i].record, kept[i].payload, kept[i].record.bytes), 0, "%s", why);
        cr_assert_eq(feed(&kept[i].record, kept[i].payload, kept[i].record.bytes + 1), -EBADMSG);
        for (uint32_t n = 0; n < 2000; n++) {
            uint8_t bytes[TRI_STORE_RECORD_BYTES];

            memcpy(bytes, kept[i].payload, kept[i].record.bytes);
            bytes[draw(&seed) % kept[i].record.bytes] = (uint8_t)draw(&seed);
            taken += feed(&kept[i].record, bytes, kept[i].record.bytes) == 0;
            if (n % 50 == 0) { /* never more messages than there are entries */
                close_desk();
                open_desk();
            }
        }
    }
    cr_assert_gt(taken, 1000);
    kept[0].record.type = 99;
    cr_assert_eq(feed(&kept[0].record, kept[0].payload, kept[0].record.bytes), -EBADMSG);
    close_desk();
}
