/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoint: what stands behind its begin is enough.
 *
 * Messages come, go on, end and are forgotten at random while a checkpoint takes its steps.  When
 * its last record is there, an engine that has seen nothing but the records from its begin on must
 * know the same as the one that wrote them.
 */
#include <criterion/criterion.h>

#include "tests/sim/random.h"
#include "tests/unit/restore_kit.h"

KEPT_BENCH

/* ---- steps ---- */

ENGINE_TEST(checkpoint, of_nothing_is_one_record)
{
    cr_assert_eq(kept_checkpoint(&kit), 0U);
    SAID("CHECKPOINT=1");
    cr_assert_eq(kept[0].bytes, 8U);
    cr_assert_eq(kept[0].at[0], 1U); /* it begins with itself */
}

ENGINE_TEST(checkpoint, takes_a_few_messages_per_step_and_says_where_it_began)
{
    struct tri_event event = {.type = TRI_EVENT_CHECKPOINT};

    for (uint32_t i = 0; i < 20; i++) {
        char id[8];

        (void)snprintf(id, sizeof(id), "m%u", i);
        kit_submit(&kit, id, TRI_GUARANTEED);
    }
    for (uint32_t steps = 0; steps < 2; steps++) {
        (void)kit_step_only(&kit, &event);
        cr_assert_eq(kit.effects.count, 8U);
        cr_assert_eq(tri_engine_checkpoint_lsn(kit.engine), 21U);
        kit_durable(&kit);
    }
    kit_submit(&kit, "new", TRI_GUARANTEED);
    (void)kit_step_only(&kit, &event);
    cr_assert_eq(kit.effects.at[kit.effects.count - 1].append.kind, TRI_RECORD_CHECKPOINT);
    cr_assert_eq(kit.effects.at[kit.effects.count - 1].append.begin_lsn, 21U);
    cr_assert_eq(tri_engine_checkpoint_lsn(kit.engine), 0U);
}

ENGINE_TEST(checkpoint, D07_there_is_none_behind_a_failed_journal)
{
    struct tri_event failed = {.type = TRI_EVENT_JOURNAL_FAILED, .journal = {.lsn = 2}};
    struct tri_event event = {.type = TRI_EVENT_CHECKPOINT};

    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_step_only(&kit, &failed);
    cr_assert_eq(kit_step_only(&kit, &event), TRI_STALE);
    cr_assert_eq(kit.effects.count, 0U);
}

ENGINE_TEST(checkpoint, R06_leaves_out_what_is_over)
{
    kit_submit(&kit, "m", TRI_GUARANTEED);
    (void)kit_reject(&kit, "m", 1, TRI_PHASE_PREPARE, 1, TRI_ERROR_OPERATOR_REFUSED);
    (void)kit_said(&kit);
    kit.now_ns += 400000 * TRI_NS_PER_MS; /* and no TICK has swept it yet */
    (void)kept_checkpoint(&kit);
    SAID("CHECKPOINT=3");
}

/* ---- the same is known ---- */

struct story {
    struct sim_random random;
    uint32_t ids; /* submitted so far */
    uint64_t begin_lsn;
    uint32_t checkpoints;
};

static struct kit twin;

static const char *story_id(uint32_t number)
{
    static char id[12];

    (void)snprintf(id, sizeof(id), "m%u", number);
    return id;
}

/* Whether a restart may find an open message in `after` that stood in `before`: what has failed
 * without a record stands where its last record says. */
static bool may_follow(const char *before, const char *after)
{
    static const char *const pairs[][2] = {
        {"PREPARING", "BACKOFF"},         {"COMMITTING", "COMMITTING"},
        {"BACKOFF", "BACKOFF"},           {"BACKOFF", "COMMITTING"},
        {"BACKOFF", "ROLLING_BACK"},      {"RECORDING", "FINALIZING"},
        {"ROLLING_BACK", "ROLLING_BACK"}, {"FINALIZING", "FINALIZING"},
        {"FINALIZING", "COMMITTING"},
    };
    uint32_t i = 0;

    while (i < sizeof(pairs) / sizeof(pairs[0]) &&
           (strcmp(pairs[i][0], before) != 0 || strcmp(pairs[i][1], after) != 0)) {
        i++;
    }
    return i < sizeof(pairs) / sizeof(pairs[0]);
}

static void compare(const char *id)
{
    struct tri_engine_status before = kit_status(&kit, id);
    struct tri_engine_status after = kit_status(&twin, id);

    cr_assert_eq(strcmp(before.round.state, "GONE") == 0, strcmp(after.round.state, "GONE") == 0,
                 "%s is %s and %s", id, before.round.state, after.round.state);
    cr_assert_eq(before.is_open, after.is_open, "%s is %s and %s", id, before.round.state,
                 after.round.state);
    cr_assert_eq(before.round.attempt, after.round.attempt, "%s", id);
    if (before.is_open) {
        cr_assert(may_follow(before.round.state, after.round.state), "%s is %s and %s", id,
                  before.round.state, after.round.state);
        cr_assert_eq(before.round.retries, after.round.retries, "%s", id);
        return;
    }
    cr_assert_eq(before.ack_type, after.ack_type, "%s", id);
    cr_assert_eq(before.code, after.code, "%s", id);
    cr_assert_eq(before.round.applied_mask, after.round.applied_mask, "%s", id);
    cr_assert_eq(before.round.refused_mask, after.round.refused_mask, "%s", id);
    cr_assert_eq(before.round.undone_mask, after.round.undone_mask, "%s", id);
    cr_assert_eq(before.round.unknown_mask, after.round.unknown_mask, "%s", id);
}

/* The records from the begin on are all that is left. */
static void story_end_checkpoint(struct story *story)
{
    uint32_t first = 0;

    kit_durable(&kit);
    while (kept[first].lsn < story->begin_lsn) {
        first++;
    }
    kept_drop_until(first);
    twin.options = kit.options;
    twin.now_ns = kit.now_ns;
    twin.wall_ms = kit.wall_ms;
    kept_init(&twin);
    kept_replay_all(&twin, 0);
    kept_resume(&twin);
    cr_assert_eq(tri_engine_open_count(kit.engine), tri_engine_open_count(twin.engine));
    for (uint32_t i = 0; i < story->ids; i++) {
        compare(story_id(i));
    }
    story->checkpoints++;
}

static void story_checkpoint(struct story *story)
{
    struct tri_event event = {.type = TRI_EVENT_CHECKPOINT};

    if (tri_engine_checkpoint_lsn(kit.engine) == 0) {
        story->begin_lsn = kit.lsn + 1;
    }
    (void)kit_step_only(&kit, &event);
    if (tri_engine_checkpoint_lsn(kit.engine) == 0) {
        story_end_checkpoint(story);
    }
}

static void story_submit(struct story *story)
{
    struct tri_message message =
        kit_message(story_id(story->ids), (enum tri_atomicity)sim_below(&story->random, 3));

    message.timestamp_ms = kit.wall_ms;
    message.finalize_requested =
        message.atomicity == TRI_BEST_EFFORT && sim_chance(&story->random, 500);
    (void)kit_submit_as(&kit, &message, 1);
    story->ids++;
}

/* A chain says something about one of the newest messages; most of it fits. */
static void story_answer(struct story *story)
{
    uint32_t newest = story->ids < 24 ? story->ids : 24;
    const char *id = story_id(story->ids - 1 - sim_below(&story->random, newest));
    struct tri_engine_status status = kit_status(&kit, id);
    uint16_t chain = (uint16_t)sim_below(&story->random, 3);
    uint32_t n = TRI_ATTEMPT_N(status.round.attempt);
    enum tri_phase phase = TRI_PHASE_FINALIZE;

    if (!status.is_open) {
        return;
    }
    if (strcmp(status.round.state, "ROLLING_BACK") == 0) {
        kit_undone(&kit, id, chain, n);
        return;
    }
    if (strcmp(status.round.state, "PREPARING") == 0) {
        phase = TRI_PHASE_PREPARE;
    } else if (strcmp(status.round.state, "COMMITTING") == 0) {
        phase = TRI_PHASE_COMMIT;
    }
    if (sim_chance(&story->random, 60)) {
        (void)kit_reject(&kit, id, chain, phase, n,
                         sim_chance(&story->random, 500) ? TRI_ERROR_BUSY
                                                         : TRI_ERROR_OPERATOR_REFUSED);
    } else {
        (void)kit_ok(&kit, id, chain, phase, n);
    }
}

static void story_step(struct story *story)
{
    uint32_t draw = sim_below(&story->random, 100);

    kit.is_slow = sim_chance(&story->random, 300);
    if (draw < 12 || story->ids == 0) {
        story_submit(story);
    } else if (draw < 80) {
        story_answer(story);
    } else if (draw < 84) {
        kit_pass(&kit, sim_between(&story->random, 1, 3000));
    } else if (draw < 85) {
        kit_pass(&kit, sim_between(&story->random, 1000, 200000));
    } else {
        story_checkpoint(story);
    }
    kit.log[0] = '\0';
}

ENGINE_TEST(checkpoint, D01_R06_what_stands_behind_its_begin_is_enough)
{
    uint32_t checkpoints = 0;

    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct story story = {.random = {.state = seed}};

        for (uint32_t step = 0; step < 400 && kept_count < KEPT_MAX - 64; step++) {
            story_step(&story);
        }
        checkpoints += story.checkpoints;
        free(twin.memory);
        memset(&twin, 0, sizeof(twin));
        kept_close(&kit);
        kept_open(&kit);
    }
    cr_assert_gt(checkpoints, 2000U);
}
