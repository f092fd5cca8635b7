/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a chain that is killed at any moment goes on as if it had not been, as
 * far as anybody was told (P06, P10, P12, P13, D05).
 * Method: the stories of participant_judge.h with a journal and with crashes.
 * A crash keeps the durable records and, if the letter says so, those behind
 * them; everything else of the participant is lost, and the records make a new
 * one.  After every crash the judge asks again for every answer that was told.
 * Two kinds of ledger:
 *   - in the journal: what it did comes back with the record that tells of it
 *   - apart: it never forgets, works only on what is durable, and an operation
 *     that was done may not have been heard of
 */
#include <criterion/criterion.h>

#include "tests/unit/participant_judge.h"

/* More letters: y n = the ledger's verdict, Y = the ledger does it and nobody hears, x = the
 * reservation's time passes, o d = one more record is durable, all are, k K = a crash that keeps
 * the durable records, or all. */
#define NODES_MAX 64U
#define HELD_MAX  32U

/* The ledger as the judge sees it. */
struct books {
    bool held;
    bool applied;
    bool closed;
    tri_attempt held_by;
    tri_attempt applied_by;
};

/* A record, and the books at the end of its step.  A list from the end, because stories branch. */
struct node {
    uint32_t before; /* NODES_MAX = none */
    uint64_t lsn;
    enum tri_participant_record kind;
    uint32_t bytes;
    uint8_t payload[TRI_PARTICIPANT_RECORD_BYTES_MAX];
    struct books books;
};
static struct node nodes[NODES_MAX];

/* An answer that may wait for its record. */
struct said {
    uint64_t after_lsn;
    uint64_t now_ns;
    struct tri_participant_effect effect;
    uint8_t token[TRI_TOKENS_BYTES_MAX];
};

struct world {
    struct judge judge;
    uint32_t head; /* the last record */
    uint32_t node_count;
    uint32_t step_head; /* the last record before the step */
    uint32_t life_head; /* the last record before this life */
    uint64_t durable;   /* in this life */
    uint32_t instance;
    bool heard[TRI_CONTROL_COUNT][ATTEMPTS]; /* that control has arrived */
    bool is_apart;
    bool slow;
    bool is_done;        /* the operation that waits was done, and nobody heard */
    uint64_t op_after;   /* it waits for this record */
    uint32_t held_count; /* effects that wait; with a ledger in the journal: answers told or not */
    struct said held[HELD_MAX];
    struct stand stand;
};
static struct world world;
static struct world probed;
static size_t world_bytes;

static struct books books_of(const struct judge *judge)
{
    return (struct books){judge->held, judge->applied, judge->closed, judge->held_by,
                          judge->applied_by};
}

static bool is_answer(const struct tri_participant_effect *effect)
{
    return effect->type == TRI_PARTICIPANT_EFFECT_PHASE_ACK ||
           effect->type == TRI_PARTICIPANT_EFFECT_CONTROL_ACK;
}

/* A ledger apart may be told to release what it does not hold: nobody knows for sure any more. */
static void judge_happened(uint64_t now_ns, const struct tri_participant_effect *effect)
{
    struct judge *judge = &world.judge;

    if (world.is_apart && effect->type == TRI_PARTICIPANT_EFFECT_LEDGER &&
        effect->op == TRI_LEDGER_RELEASE) {
        JUDGE(!judge->op_open, "RELEASE while the ledger works");
        judge->held = false;
        return;
    }
    judge_effect(judge, now_ns, effect);
}

static void judge_said(struct said *said)
{
    said->effect.tokens.at = said->token;
    judge_happened(said->now_ns, &said->effect);
}

static void world_hold(const struct tri_participant_effect *effect)
{
    struct said *said = &world.held[world.held_count++];

    assert(world.held_count <= HELD_MAX);
    said->after_lsn = effect->after_lsn;
    said->now_ns = world.stand.now_ns;
    said->effect = *effect;
    memcpy(said->token, effect->tokens.at, effect->tokens.bytes);
}

static void world_append(const struct stand *stand, const struct tri_participant_effect *effect)
{
    struct node *node = &nodes[world.node_count];

    assert(world.node_count < NODES_MAX);
    node->before = world.head;
    node->lsn = effect->lsn;
    node->kind = effect->record;
    node->bytes = tri_participant_record(stand->participant, effect, node->payload);
    world.head = world.node_count++;
}

/* A ledger that looks first: what it has done already, it does not do again. */
static bool apart_has_done(const struct tri_participant_effect *effect)
{
    const struct judge *judge = &world.judge;

    switch (effect->op) {
    case TRI_LEDGER_APPLY:
    case TRI_LEDGER_APPLY_UNRESERVED:
        return judge->applied && judge->applied_by == effect->attempt;
    case TRI_LEDGER_UNDO:
        return !judge->applied;
    default:
        return false;
    }
}

static void watch_ledger_again(const struct tri_participant_effect *effect)
{
    struct judge *judge = &world.judge;

    JUDGE(effect->after_lsn == 0, "what is asked for again waits for nothing");
    if (effect->op == TRI_LEDGER_RELEASE) {
        JUDGE(world.is_apart, "a ledger in the journal forgot a release");
        judge->held = false;
        return;
    }
    world.op_after = 0;
    world.is_done = world.is_apart && apart_has_done(effect);
    if (world.is_done) {
        judge->op_open = true;
        judge->op = effect->op;
        judge->op_attempt = effect->attempt;
    } else {
        judge_effect(judge, 0, effect); /* L05: what is in work does not expire */
    }
}

static void watch(struct stand *stand, const struct tri_participant_effect *effect)
{
    bool is_ledger = effect->type == TRI_PARTICIPANT_EFFECT_LEDGER;

    if (effect->type == TRI_PARTICIPANT_EFFECT_APPEND) {
        world_append(stand, effect);
        return;
    }
    if (is_ledger && effect->is_again) {
        watch_ledger_again(effect);
        return;
    }
    if (is_ledger && effect->op != TRI_LEDGER_RELEASE) {
        world.op_after = effect->after_lsn;
        world.is_done = false;
        JUDGE((effect->after_lsn != 0) == world.is_apart, "an intent, exactly if it is apart");
    }
    if (world.is_apart && effect->after_lsn > world.durable) {
        world_hold(effect); /* the judge sees what has happened */
        return;
    }
    if (!world.is_apart && is_answer(effect)) {
        world_hold(effect); /* the judge sees what was decided, and forgets it in a crash */
    }
    judge_happened(stand->now_ns, effect);
}

/* The records of a step share what it did. */
static void step_done(void)
{
    for (uint32_t at = world.head; at != world.step_head; at = nodes[at].before) {
        nodes[at].books = books_of(&world.judge);
    }
    world.step_head = world.head;
}

/* ---- the journal ---- */

static void become_durable(uint64_t lsn)
{
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_DURABLE,
        .durable = {.lsn = lsn},
    };
    uint32_t kept = 0;

    world.durable = lsn;
    (void)stand_step(&world.stand, &event);
    if (!world.is_apart) {
        return;
    }
    for (uint32_t i = 0; i < world.held_count; i++) {
        if (world.held[i].after_lsn <= lsn) {
            judge_said(&world.held[i]);
        } else {
            world.held[kept++] = world.held[i];
        }
    }
    world.held_count = kept;
}

static void replay(uint32_t last)
{
    static uint32_t order[NODES_MAX];
    struct stand *stand = &world.stand;
    uint32_t count = 0;
    uint32_t entry;
    const char *fault;

    for (uint32_t at = last; at != NODES_MAX; at = nodes[at].before) {
        order[count++] = at;
    }
    while (count-- > 0) {
        const struct node *node = &nodes[order[count]];
        enum tri_result result = tri_participant_replay(
            stand->participant, node->kind, (struct tri_bytes){node->payload, node->bytes},
            stand->now_ns, stand->wall_ms, &entry, &fault);

        JUDGE(result == TRI_OK, "a record is not taken back");
    }
}

/* What is not known to be told is not told: the rest is heard again in its order. */
static void judge_forget(uint64_t lsn)
{
    struct judge *judge = &world.judge;
    uint32_t kept = 0;

    memset(judge->phases, 0, sizeof(judge->phases));
    memset(judge->controls, 0, sizeof(judge->controls));
    judge->ended = 0;
    for (uint32_t i = 0; i < world.held_count; i++) {
        struct said *said = &world.held[i];
        const struct tri_participant_effect *effect = &said->effect;
        struct told *told = effect->type == TRI_PARTICIPANT_EFFECT_PHASE_ACK
                                ? &judge->phases[effect->phase][effect->attempt]
                                : &judge->controls[effect->control][effect->attempt];

        if (said->after_lsn > lsn || effect->code == TRI_ERROR_NO_RESERVATION ||
            (effect->phase == TRI_PHASE_FINALIZE && effect->ack_type == TRI_ACK_PHASE_REJECT)) {
            continue; /* was not told, or says nothing about the attempt */
        }
        said->after_lsn = 0;
        told->is_known = true;
        told->answer = (struct stand_answer){
            .ack = effect->ack_type,
            .code = effect->code,
            .already_applied = effect->already_applied,
            .token_bytes = effect->tokens.bytes,
        };
        memcpy(told->answer.token, said->token, effect->tokens.bytes);
        if (effect->ack_type == TRI_ACK_PROCESSED) {
            judge->ended = higher(judge->ended, effect->attempt);
        }
        if (kept != i) {
            world.held[kept] = *said;
        }
        kept++;
    }
    world.held_count = kept;
}

/* A new life: `keep` records of this one have reached the disk. */
static void crash(uint64_t keep)
{
    struct stand *stand = &world.stand;
    struct judge *judge = &world.judge;
    struct books none = {.held = false};
    struct tri_participant_options options = {
        .entries_max = 1,
        .instance = ++world.instance,
        .dedup_window_ms = STAND_WINDOW_MS,
        .ledger_is_apart = world.is_apart,
    };
    enum tri_result result = TRI_MORE;

    while (world.head != world.life_head && nodes[world.head].lsn > keep) {
        world.head = nodes[world.head].before;
    }
    world.life_head = world.head;
    if (!world.is_apart) {
        const struct books *books = world.head == NODES_MAX ? &none : &nodes[world.head].books;

        judge->held = books->held;
        judge->applied = books->applied;
        judge->closed = books->closed;
        judge->held_by = books->held_by;
        judge->applied_by = books->applied_by;
        judge_forget(keep);
    } else {
        world.held_count = 0;
        if (stand->is_waiting && world.is_done) {
            judge_verdict(judge, TRI_ERROR_NONE);
        }
    }
    for (uint32_t n = 1; n < ATTEMPTS; n++) {
        for (uint32_t kind = 0; kind < TRI_CONTROL_COUNT; kind++) {
            if (world.heard[kind][n] && !judge->controls[kind][n].is_known) {
                judge->ended_unsaid = higher(judge->ended_unsaid, n);
            }
        }
    }
    judge->op_open = false;
    stand->is_waiting = false;
    stand->lsn = 0;
    world.durable = 0;
    world.step_head = world.head;
    memset(stand->memory, 0xa5, stand->memory_bytes);
    stand->participant = tri_participant_init(stand->memory, &options);
    replay(world.head);
    while (result == TRI_MORE) {
        result = tri_participant_resume(stand->participant, stand->now_ns, stand->wall_ms,
                                        &stand->effects);
        stand_carry_out(stand);
    }
}

/* ---- promises ---- */

/* P06: every answer that was told is given again; the world is put back afterwards. */
static void probe(void)
{
    static const char letters[] = "pcf";
    struct judge *judge = &world.judge;

    memcpy(&probed, &world, world_bytes);
    for (tri_attempt n = 1; n < ATTEMPTS; n++) {
        for (uint32_t i = 0; i < 5; i++) {
            struct symbol symbol = {i < 3 ? letters[i] : i == 3 ? 'a' : 'r', n};
            const struct told *told =
                i < 3 ? &judge->phases[i][n] : &judge->controls[symbol.letter == 'r'][n];

            if (!told->is_known) {
                continue;
            }
            story_frame(&world.stand, symbol);
            memcpy(&world, &probed, world_bytes);
        }
    }
}

/* What the participant takes the ledger for is what it is, once nothing is under way. */
static void judge_state(void)
{
    const struct judge *judge = &world.judge;
    enum tri_participant_state state = stand_state(&world.stand, WHO);

    if (world.stand.is_waiting || (world.is_apart && world.held_count > 0)) {
        return;
    }
    JUDGE((state == TRI_PARTICIPANT_APPLIED) == judge->applied, "the applied mark is wrong");
    JUDGE(state != TRI_PARTICIPANT_RESERVED || judge->held, "reserved, not held");
    JUDGE(judge->held == (state == TRI_PARTICIPANT_RESERVED) || judge->applied, "held for nothing");
}

static bool tell_verdict(bool is_heard, enum tri_error code)
{
    struct stand *stand = &world.stand;

    if (!stand->is_waiting || world.op_after > world.durable || (!is_heard && !world.is_apart)) {
        return false;
    }
    if (world.is_done && (!is_heard || code != TRI_ERROR_NONE)) {
        return false;
    }
    if (is_heard) {
        judge_verdict(&world.judge, code);
        stand_verdict(stand, code);
    }
    world.is_done = !is_heard;
    return true;
}

static bool tell(struct symbol symbol)
{
    struct stand *stand = &world.stand;
    bool makes_sense = true;

    switch (symbol.letter) {
    case 'y':
    case 'n':
        makes_sense =
            tell_verdict(true, symbol.letter == 'y' ? TRI_ERROR_NONE : TRI_ERROR_ROLLBACK_FENCED);
        break;
    case 'Y':
        makes_sense = tell_verdict(false, TRI_ERROR_NONE);
        break;
    case 'x':
        stand_pass(stand, STAND_TTL_MS);
        break;
    case 'o':
        makes_sense = world.durable < stand->lsn;
        if (makes_sense) {
            become_durable(world.durable + 1);
        }
        break;
    case 'd':
        makes_sense = world.durable < stand->lsn;
        if (makes_sense) {
            become_durable(stand->lsn);
        }
        break;
    case 'k':
        crash(world.durable);
        break;
    case 'K':
        makes_sense = world.durable < stand->lsn;
        if (makes_sense) {
            crash(stand->lsn);
        }
        break;
    default:
        judge_hear(&world.judge, stand, symbol);
        if (symbol.letter == 'a' || symbol.letter == 'r') {
            world.heard[symbol.letter == 'r'][symbol.attempt] = true;
        }
        story_frame(stand, symbol);
        break;
    }
    while (!world.slow && stand->is_waiting && world.op_after <= world.durable) {
        step_done();
        (void)tell_verdict(true, TRI_ERROR_NONE);
    }
    step_done();
    if (makes_sense) {
        judge_state();
        if (symbol.letter == 'k' || symbol.letter == 'K') {
            probe();
        }
    }
    return makes_sense;
}

static void begin(bool is_apart, bool slow, enum tri_atomicity atomicity)
{
    memset(&world, 0, sizeof(world));
    world.head = NODES_MAX;
    world.step_head = NODES_MAX;
    world.life_head = NODES_MAX;
    world.is_apart = is_apart;
    world.slow = slow;
    world.instance = 1;
    stand_init_with(&world.stand, (struct tri_participant_options){
                                      .entries_max = 1,
                                      .instance = 1,
                                      .dedup_window_ms = STAND_WINDOW_MS,
                                      .ledger_is_apart = is_apart,
                                  });
    world.stand.slow = true; /* the judge hears each verdict first */
    world.stand.atomicity = atomicity;
    world_bytes = offsetof(struct world, stand.memory) + world.stand.memory_bytes;
    stand_watch = watch;
    stories = 0;
}

Test(participant_crash, D05_two_attempts_with_a_ledger_in_the_journal)
{
    static const struct symbol alphabet[] = {
        {'p', 1}, {'c', 1}, {'f', 1}, {'a', 1}, {'r', 1}, {'p', 2}, {'c', 2},
        {'a', 2}, {'r', 2}, {'x', 0}, {'d', 0}, {'k', 0}, {'K', 0},
    };

    begin(false, false, TRI_ALL_OR_NOTHING);
    story_tell_all(&world, world_bytes, tell, alphabet, 13, 6);
    cr_assert_gt(stories, UINT64_C(1500000));
}

/* Some symbols that every story begins with. */
static void tell_opening(const struct symbol *opening, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(tell(opening[i]));
    }
}

Test(participant_crash, D05_a_slow_ledger_in_the_journal)
{
    static const struct symbol alphabet[] = {
        {'p', 1}, {'c', 1}, {'a', 1}, {'r', 1}, {'p', 2}, {'r', 2},
        {'y', 0}, {'n', 0}, {'o', 0}, {'k', 0}, {'K', 0},
    };
    static const struct symbol opening[] = {{'p', 1}, {'y', 0}, {'d', 0}};

    begin(false, true, TRI_ALL_OR_NOTHING);
    story_tell_all(&world, world_bytes, tell, alphabet, 11, 6);
    cr_assert_gt(stories, UINT64_C(400000));
    begin(false, true, TRI_ALL_OR_NOTHING);
    tell_opening(opening, 3);
    story_tell_all(&world, world_bytes, tell, alphabet, 11, 6);
    cr_assert_gt(stories, UINT64_C(400000));
}

Test(participant_crash, D05_a_ledger_apart)
{
    static const struct symbol alphabet[] = {
        {'p', 1}, {'c', 1}, {'f', 1}, {'a', 1}, {'r', 1}, {'p', 2},
        {'r', 2}, {'x', 0}, {'d', 0}, {'k', 0}, {'K', 0},
    };
    static const struct symbol opening[] = {{'p', 1}, {'d', 0}, {'d', 0}};

    begin(true, false, TRI_ALL_OR_NOTHING);
    story_tell_all(&world, world_bytes, tell, alphabet, 11, 6);
    cr_assert_gt(stories, UINT64_C(900000));
    begin(true, false, TRI_ALL_OR_NOTHING);
    tell_opening(opening, 3);
    story_tell_all(&world, world_bytes, tell, alphabet, 11, 6);
    cr_assert_gt(stories, UINT64_C(900000));
}

/* What matters comes after APPLY was asked for: the stories begin there. */
Test(participant_crash, D05_a_ledger_apart_does_what_nobody_heard_of)
{
    static const struct symbol alphabet[] = {
        {'c', 1}, {'f', 1}, {'a', 1}, {'r', 1}, {'p', 2}, {'r', 2}, {'y', 0},
        {'Y', 0}, {'n', 0}, {'o', 0}, {'d', 0}, {'k', 0}, {'K', 0},
    };
    static const struct symbol opening[] = {{'p', 1}, {'d', 0}, {'y', 0}, {'c', 1}, {'d', 0}};

    begin(true, true, TRI_GUARANTEED);
    tell_opening(opening, 5);
    story_tell_all(&world, world_bytes, tell, alphabet, 13, 6);
    cr_assert_gt(stories, UINT64_C(900000));
}

Test(participant_crash, A01_best_effort_with_a_ledger_of_either_kind)
{
    static const struct symbol alphabet[] = {
        {'c', 1}, {'f', 1}, {'a', 1}, {'r', 1}, {'p', 2}, {'c', 2},
        {'y', 0}, {'Y', 0}, {'n', 0}, {'o', 0}, {'k', 0}, {'K', 0},
    };

    begin(false, true, TRI_BEST_EFFORT);
    story_tell_all(&world, world_bytes, tell, alphabet, 12, 6);
    cr_assert_gt(stories, UINT64_C(300000));
    begin(true, true, TRI_BEST_EFFORT);
    story_tell_all(&world, world_bytes, tell, alphabet, 12, 6);
    cr_assert_gt(stories, UINT64_C(300000));
}
