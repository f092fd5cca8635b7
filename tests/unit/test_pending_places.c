/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: after every step each id of a record is in exactly one place, the one that a simple model
 * has it in, and what was told to be secondary-final stays so, whatever is reported, held, driven,
 * torn off or restarted.
 *
 * Method: seeded steps against real files; the model is an array of records, and after a restart it
 * is what the facts of the surviving file say, one by one.  Nothing is flushed: the page cache is
 * disk enough here.  TRI_SEED adds a seed.
 */
#include "tests/unit/pending_kit.h"

#define RECORDS_MAX   160U
#define COUNT_MAX     4U
#define UNDER_WAY_MAX 8U
#define STEPS         1500U
#define SEEDS         6U
#define WINDOW_MS     UINT64_C(40000)
#define REDELIVERIES  2U

TestSuite(pending_places, .init = kit_setup, .fini = kit_teardown);

struct model_record {
    uint32_t epoch;
    uint32_t shard;
    uint64_t oss_epoch;
    uint32_t count;
    uint64_t issued_at_ms;
    bool is_forced;
    bool is_written;
    bool is_final;
    bool is_told; /* to be final: what was made durable */
    bool is_contested;
    uint8_t root[TRI_DIGEST_BYTES];
    bool is_handed[COUNT_MAX];
    bool is_under_way[COUNT_MAX];
    uint32_t ended[COUNT_MAX]; /* redeliveries of this process */
    uint64_t due_ms[COUNT_MAX];
};

static struct model_record model[RECORDS_MAX];
static uint32_t model_count;
static bool is_up;
static uint64_t settled;
static uint64_t differences;
static uint64_t durable_bytes; /* of the file */
static uint64_t now_ms;
static uint64_t dice;
static struct tri_pending_redelivery under_way[UNDER_WAY_MAX];
static uint32_t under_way_count;
static uint32_t seen_handed;
static uint32_t seen_cut;
static uint32_t seen_held;

int fsync(int file)
{
    (void)file;
    return 0;
}

int fdatasync(int file)
{
    (void)file;
    return 0;
}

static uint32_t roll(uint32_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)((dice >> 11) % sides);
}

static struct model_record *find(uint32_t epoch, uint32_t shard, uint64_t oss_epoch)
{
    for (uint32_t i = 0; i < model_count; i++) {
        if (model[i].epoch == epoch && model[i].shard == shard && model[i].oss_epoch == oss_epoch) {
            return &model[i];
        }
    }
    return NULL;
}

static const char *secondary_path(void)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, TRI_SECONDARY_NAME);
    return path;
}

static uint64_t secondary_bytes(void)
{
    struct stat about;

    return stat(secondary_path(), &about) == 0 ? (uint64_t)about.st_size : 0;
}

/* ---- the check ---- */

static enum tri_pending_place expected_place(const struct model_record *record, uint32_t index)
{
    return record->is_final           ? TRI_PENDING_PLACE_SECONDARY_FINAL
           : record->is_handed[index] ? TRI_PENDING_PLACE_RECONCILIATION
                                      : TRI_PENDING_PLACE_PENDING;
}

static void check(uint64_t seed, uint32_t step)
{
    struct tri_pending_view view = kit_view(now_ms);
    uint64_t records = 0;
    uint64_t messages = 0;
    uint64_t handed = 0;
    uint64_t held = 0;
    uint64_t contested = 0;

    for (uint32_t i = 0; i < model_count; i++) {
        const struct model_record *record = &model[i];
        bool is_held = record->is_forced && !is_up && !record->is_final;

        for (uint32_t index = 0; index < record->count; index++) {
            char id[48];
            struct tri_text text = {
                id, kit_id(record->epoch, record->shard, record->oss_epoch, index, id)};
            struct tri_pending_where where =
                tri_pending_where(pending, record->epoch, record->shard, record->oss_epoch, text);

            cr_assert_eq(where.place, expected_place(record, index), "seed %lu step %u: %s", seed,
                         step, id);
            cr_assert_eq(where.is_held, is_held, "seed %lu step %u: %s", seed, step, id);
            cr_assert_eq(where.is_contested, record->is_contested, "seed %lu step %u: %s", seed,
                         step, id);
            handed += where.place == TRI_PENDING_PLACE_RECONCILIATION ? 1 : 0;
            messages += where.place == TRI_PENDING_PLACE_PENDING ? 1 : 0;
        }
        cr_assert(record->is_final || !record->is_told, "seed %lu step %u", seed, step);
        records += record->is_final ? 0 : 1;
        held += is_held ? 1 : 0;
        contested += record->is_contested ? 1 : 0;
    }
    cr_assert_eq(view.records, records, "seed %lu step %u", seed, step);
    cr_assert_eq(view.messages, messages, "seed %lu step %u", seed, step);
    cr_assert_eq(view.handed_messages, handed, "seed %lu step %u", seed, step);
    cr_assert_eq(view.held_records, held, "seed %lu step %u", seed, step);
    cr_assert_eq(view.contested_records, contested, "seed %lu step %u", seed, step);
    cr_assert_eq(view.settled, settled, "seed %lu step %u", seed, step);
    cr_assert_eq(view.differences, differences, "seed %lu step %u", seed, step);
    cr_assert_eq(view.is_sequencer_up, is_up, "seed %lu step %u", seed, step);
    seen_held += held > 0 ? 1 : 0;
}

/* ---- steps ---- */

static void step_append(void)
{
    static const char *const chains[] = {"eip155:1", "eip155:2", "eip155:3"};
    struct model_record *record = &model[model_count];
    const struct kit_record made = {.count = 1 + roll(COUNT_MAX),
                                    .issued_at_ms = now_ms,
                                    .chains = {chains[roll(3)]},
                                    .is_forced = roll(4) == 0};

    if (model_count == RECORDS_MAX) {
        return;
    }
    *record = (struct model_record){.epoch = kit_epoch,
                                    .shard = roll(2),
                                    .count = made.count,
                                    .issued_at_ms = now_ms,
                                    .is_forced = made.is_forced};
    record->oss_epoch = kit_append(record->shard, &made);
    memcpy(record->root, kit_appended, sizeof(record->root));
    model_count++;
}

static void step_write(void)
{
    kit_write();
    for (uint32_t i = 0; i < model_count; i++) {
        model[i].is_written = true;
    }
}

static void step_settle(void)
{
    struct model_record *record = &model[roll(model_count)];
    uint8_t root[TRI_DIGEST_BYTES];
    bool is_right = roll(4) != 0;
    bool is_new = false;
    bool is_expected_new = false;
    enum tri_pending_verdict verdict = TRI_PENDING_OFF;

    memcpy(root, record->root, sizeof(root));
    root[0] = (uint8_t)(root[0] + (is_right ? 0 : 1 + roll(2)));
    verdict = kit_settle(record->epoch, record->shard, record->oss_epoch, root, &is_new);
    if (!record->is_written) {
        cr_assert_eq(verdict, TRI_PENDING_UNKNOWN);
    } else if (record->is_forced && !is_up && !record->is_final) {
        cr_assert_eq(verdict, TRI_PENDING_HELD);
    } else if (is_right) {
        cr_assert_eq(verdict, TRI_PENDING_FINAL);
        is_expected_new = !record->is_final || record->is_contested;
        settled += record->is_final ? 0 : 1;
        record->is_final = true;
        record->is_contested = false;
    } else {
        cr_assert_eq(verdict, TRI_PENDING_DIFFERENT);
        is_expected_new = !record->is_contested;
        record->is_contested = true;
        differences++;
    }
    cr_assert_eq(is_new, is_expected_new);
}

static void step_unknown(void)
{
    uint8_t root[TRI_DIGEST_BYTES] = {0};
    bool is_new = false;

    cr_assert_eq(kit_settle(kit_epoch + 1, 0, 1, root, &is_new), TRI_PENDING_UNKNOWN);
    cr_assert_eq(kit_settle(kit_epoch, 1, 1000, root, &is_new), TRI_PENDING_UNKNOWN);
}

static void step_sequencer(void)
{
    bool was_up = is_up;

    is_up = roll(2) == 0;
    cr_assert_eq(kit_sequencer(is_up), is_up != was_up);
}

/* Another one who looks at the same files sees the same. */
static void look_beside(void)
{
    struct tri_pending_options look = options;
    struct tri_pending *beside = NULL;
    struct tri_pending_view view;
    struct tri_pending_view own = kit_view(now_ms);

    look.is_read_only = true;
    cr_assert_eq(tri_pending_open(&beside, directory, &look, trouble), 0, "%s", trouble);
    (void)kit_learn(beside);
    cr_assert_eq(tri_pending_look(beside, now_ms, &view), 0);
    tri_pending_close(beside);
    cr_assert_eq(view.records, own.records);
    cr_assert_eq(view.messages, own.messages);
    cr_assert_eq(view.held_records, own.held_records);
    cr_assert_eq(view.oldest_ms, own.oldest_ms);
    cr_assert_eq(view.settled, own.settled);
}

static void step_sync(void)
{
    cr_assert_eq(tri_pending_sync(pending), 0);
    durable_bytes = secondary_bytes();
    for (uint32_t i = 0; i < model_count; i++) {
        model[i].is_told = model[i].is_final;
    }
    if (roll(8) == 0) {
        step_write();
        look_beside();
    }
}

static void step_next(void)
{
    struct tri_pending_redelivery what;
    uint64_t again_ms = 0;
    struct model_record *record = NULL;

    if (under_way_count == UNDER_WAY_MAX || !kit_next(now_ms, &what, &again_ms)) {
        return;
    }
    record = find(what.epoch, what.shard, what.oss_epoch);
    cr_assert_not_null(record);
    cr_assert_lt(what.index, record->count);
    cr_assert(record->is_written);
    cr_assert_not(record->is_final);
    cr_assert_not(record->is_forced && !is_up);
    cr_assert_not(record->is_handed[what.index]);
    cr_assert_not(record->is_under_way[what.index]);
    cr_assert_lt(record->ended[what.index], REDELIVERIES);
    cr_assert_geq(now_ms, record->due_ms[what.index]);
    cr_assert_lt(now_ms, record->issued_at_ms + WINDOW_MS);
    record->is_under_way[what.index] = true;
    under_way[under_way_count++] = what;
}

static void step_redelivered(void)
{
    static const enum tri_redelivered results[] = {TRI_REDELIVERED_AGREED, TRI_REDELIVERED_FAILED,
                                                   TRI_REDELIVERED_FAILED,
                                                   TRI_REDELIVERED_NOT_SENT};
    enum tri_redelivered result = results[roll(4)];
    enum tri_pending_outcome expected = TRI_PENDING_KEPT;
    struct tri_pending_redelivery what;
    struct model_record *record = NULL;
    uint32_t which = 0;

    if (under_way_count == 0) {
        return;
    }
    which = roll(under_way_count);
    what = under_way[which];
    under_way[which] = under_way[--under_way_count];
    record = find(what.epoch, what.shard, what.oss_epoch);
    record->is_under_way[what.index] = false;
    if (!record->is_final && result == TRI_REDELIVERED_NOT_SENT) {
        record->due_ms[what.index] = now_ms + 1000;
    } else if (!record->is_final) {
        uint32_t ended = ++record->ended[what.index];

        record->due_ms[what.index] = now_ms + 1000 * ended;
        if (ended == REDELIVERIES) {
            bool has_failed = result == TRI_REDELIVERED_FAILED;

            expected = has_failed ? TRI_PENDING_HANDED : TRI_PENDING_ALARMED;
            record->is_handed[what.index] = has_failed;
            seen_handed += has_failed ? 1 : 0;
        }
    }
    cr_assert_eq(kit_redelivered(&what, result, now_ms), expected);
}

/* The model is what the surviving facts say. */
static void model_rebuild(void)
{
    struct tri_secondary_reader reader;
    struct tri_secondary_fact fact;
    int at = open(directory, O_RDONLY | O_DIRECTORY);

    is_up = true;
    settled = 0;
    differences = 0;
    under_way_count = 0;
    for (uint32_t i = 0; i < model_count; i++) {
        struct model_record *record = &model[i];

        record->is_written = true;
        record->is_final = false;
        record->is_contested = false;
        memset(record->is_handed, 0, sizeof(record->is_handed));
        memset(record->is_under_way, 0, sizeof(record->is_under_way));
        memset(record->ended, 0, sizeof(record->ended));
        memset(record->due_ms, 0, sizeof(record->due_ms));
    }
    cr_assert_eq(tri_secondary_reader_open(&reader, at), 0);
    while (tri_secondary_next(&reader, &fact) == TRI_SECONDARY_NEXT_FACT) {
        struct model_record *record = find(fact.epoch, fact.shard, fact.oss_epoch);

        if (fact.kind == TRI_SECONDARY_SEQUENCER) {
            is_up = fact.is_up;
        } else if (fact.kind == TRI_SECONDARY_SETTLED) {
            record->is_contested = !fact.is_equal;
            settled += fact.is_equal && !record->is_final ? 1 : 0;
            record->is_final = record->is_final || fact.is_equal;
            differences += fact.is_equal ? 0 : 1;
        } else {
            for (uint32_t index = 0; index < record->count; index++) {
                char id[48];
                uint32_t bytes = kit_id(fact.epoch, fact.shard, fact.oss_epoch, index, id);

                record->is_handed[index] |=
                    bytes == fact.id.bytes && memcmp(id, fact.id.at, bytes) == 0;
            }
        }
    }
    tri_secondary_reader_fini(&reader);
    (void)close(at);
}

/* The process ends, perhaps within a write. */
static void step_restart(void)
{
    bool is_torn = roll(2) == 0;

    if (is_torn) {
        uint64_t bytes = 0;

        cr_assert_eq(tri_pending_sync(pending), 0);
        bytes = secondary_bytes();
        kit_stop();
        if (bytes > durable_bytes) {
            uint64_t cut = durable_bytes + roll((uint32_t)(bytes - durable_bytes));

            cr_assert_eq(truncate(secondary_path(), (off_t)cut), 0);
            seen_cut++;
        }
    } else {
        kit_stop();
    }
    kit_start();
    durable_bytes = secondary_bytes();
    model_rebuild();
    for (uint32_t i = 0; i < model_count; i++) {
        cr_assert(model[i].is_final || !model[i].is_told);
        model[i].is_told = model[i].is_final;
    }
}

static void story(uint64_t seed)
{
    dice = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    model_count = 0;
    under_way_count = 0;
    is_up = true;
    settled = 0;
    differences = 0;
    durable_bytes = 0;
    now_ms = KIT_START_MS;
    kit_start();
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t what = roll(100);

        now_ms += roll(500);
        if (what < 20 || model_count == 0) {
            step_append();
        } else if (what < 30) {
            step_write();
        } else if (what < 50) {
            step_settle();
        } else if (what < 52) {
            step_unknown();
        } else if (what < 56) {
            step_sequencer();
        } else if (what < 62) {
            step_sync();
        } else if (what < 65) {
            tri_pending_heartbeat(pending, roll(4) == 0 ? 0 : 301);
        } else if (what < 82) {
            step_next();
        } else if (what < 99) {
            step_redelivered();
        } else {
            step_restart();
        }
        check(seed, step);
    }
}

Test(pending_places, F05_every_id_is_in_exactly_one_place)
{
    const char *more = getenv("TRI_SEED");
    uint64_t last = SEEDS + (more == NULL ? 0 : 1);

    for (uint64_t i = 1; i <= last; i++) {
        if (i > 1) {
            kit_teardown();
            kit_setup();
        }
        options.window_ms = WINDOW_MS;
        options.redeliveries_max = REDELIVERIES;
        options.redelivery_pause_s = 1;
        story(i <= SEEDS ? i : strtoull(more, NULL, 0));
    }
    cr_expect_gt(seen_handed, 20);
    cr_expect_gt(seen_cut, 5);
    cr_expect_gt(seen_held, 100);
}
