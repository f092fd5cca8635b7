/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand for a participant: virtual time, a ledger that does as it is told,
 * and every answer copied down as it leaves.
 *
 * With `slow` the ledger's verdicts wait until stand_verdict(); else each
 * operation is answered at once with `verdict`.
 */
#ifndef TESTS_UNIT_PARTICIPANT_STAND_H
#define TESTS_UNIT_PARTICIPANT_STAND_H

#include <assert.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "engine/limits.h"
#include "tricast_participant.h"

#define STAND_BYTES        (64U * 1024U)
#define STAND_ANSWERS_MAX  16U
#define STAND_ATTEMPTS_MAX 8U
#define STAND_TTL_MS       1000U
#define STAND_WINDOW_MS    5000U
#define STAND_WALL_MS      UINT64_C(1750000000000)
#define STAND_EXPIRES_MS   (STAND_WALL_MS + 60000)
#define STAND_START_NS     UINT64_C(77000000000)

struct stand_answer {
    enum tri_participant_effect_type type;
    enum tri_ack_type ack;
    enum tri_phase phase;
    enum tri_control control;
    tri_attempt attempt;
    enum tri_error code;
    bool already_applied;
    uint32_t retry_after_ms;
    uint32_t token_bytes;
    uint8_t token[TRI_TOKENS_BYTES_MAX];
    char id[TRI_ID_BYTES_MAX + 1];
    uint64_t after_lsn;
};

struct stand {
    struct tri_participant *participant;
    size_t memory_bytes;
    uint64_t now_ns;
    uint64_t wall_ms;
    uint64_t expires_ms;
    uint64_t lsn; /* of the last APPEND */
    enum tri_atomicity atomicity;
    uint8_t content; /* the content hash's bytes; 0 = a coordinator without a record */
    bool slow;
    enum tri_error verdict;
    bool is_waiting; /* the operation below waits for its verdict */
    struct tri_participant_event waiting;
    uint32_t ops[TRI_LEDGER_OP_COUNT]; /* how often each was asked for */
    tri_attempt op_attempt[TRI_LEDGER_OP_COUNT];
    struct tri_participant_effects effects;
    struct tri_bytes token[STAND_ATTEMPTS_MAX]; /* what PREPARE_OK of attempt n named last */
    uint8_t token_at[STAND_ATTEMPTS_MAX][TRI_TOKENS_BYTES_MAX];
    uint32_t answer_count;
    struct stand_answer answers[STAND_ANSWERS_MAX];
    alignas(64) unsigned char memory[STAND_BYTES]; /* last: what lies behind is not used */
};

/* Called on every effect before it is carried out; NULL for none. */
static void (*stand_watch)(struct stand *stand, const struct tri_participant_effect *effect);

static inline void stand_init_with(struct stand *stand, struct tri_participant_options options)
{
    size_t bytes = tri_participant_footprint(&options);

    memset(stand, 0, sizeof(*stand));
    assert(bytes > 0);
    assert(bytes <= sizeof(stand->memory));
    stand->memory_bytes = bytes;
    memset(stand->memory, 0xa5, sizeof(stand->memory)); /* init must not count on zeroes */
    stand->participant = tri_participant_init(stand->memory, &options);
    stand->now_ns = STAND_START_NS;
    stand->wall_ms = STAND_WALL_MS;
    stand->expires_ms = STAND_EXPIRES_MS;
    stand->atomicity = TRI_ALL_OR_NOTHING;
    stand->content = 1;
}

static inline void stand_init(struct stand *stand)
{
    stand_init_with(stand, (struct tri_participant_options){
                               .entries_max = 4,
                               .instance = 7,
                               .dedup_window_ms = STAND_WINDOW_MS,
                           });
}

static inline void stand_copy_answer(struct stand *stand,
                                     const struct tri_participant_effect *effect)
{
    struct stand_answer *answer = &stand->answers[stand->answer_count++ % STAND_ANSWERS_MAX];

    memset(answer, 0, sizeof(*answer));
    answer->type = effect->type;
    answer->ack = effect->ack_type;
    answer->phase = effect->phase;
    answer->control = effect->control;
    answer->attempt = effect->attempt;
    answer->code = effect->code;
    answer->already_applied = effect->already_applied;
    answer->retry_after_ms = effect->retry_after_ms;
    answer->after_lsn = effect->after_lsn;
    answer->token_bytes = effect->tokens.bytes;
    memcpy(answer->token, effect->tokens.at, effect->tokens.bytes);
    memcpy(answer->id, effect->id.at, effect->id.bytes);
    if (effect->type == TRI_PARTICIPANT_EFFECT_PHASE_ACK &&
        effect->ack_type == TRI_ACK_PHASE_PREPARE_OK && effect->attempt < STAND_ATTEMPTS_MAX) {
        memcpy(stand->token_at[effect->attempt], effect->tokens.at, effect->tokens.bytes);
        stand->token[effect->attempt] =
            (struct tri_bytes){stand->token_at[effect->attempt], effect->tokens.bytes};
    }
}

static inline void stand_ledger(struct stand *stand, const struct tri_participant_effect *effect)
{
    stand->ops[effect->op]++;
    stand->op_attempt[effect->op] = effect->attempt;
    if (effect->op == TRI_LEDGER_RELEASE) {
        return;
    }
    assert(!stand->is_waiting); /* one operation of a message at a time */
    stand->is_waiting = true;
    stand->waiting = (struct tri_participant_event){
        .type = TRI_PARTICIPANT_LEDGER,
        .ledger = {.entry = effect->entry, .generation = effect->generation, .op = effect->op},
    };
}

/* What stand->effects holds. */
static inline void stand_carry_out(struct stand *stand)
{
    for (uint32_t i = 0; i < stand->effects.count; i++) {
        const struct tri_participant_effect *effect = &stand->effects.at[i];

        if (stand_watch != NULL) {
            stand_watch(stand, effect);
        }
        switch (effect->type) {
        case TRI_PARTICIPANT_EFFECT_LEDGER:
            stand_ledger(stand, effect);
            break;
        case TRI_PARTICIPANT_EFFECT_APPEND:
            assert(effect->lsn == stand->lsn + 1);
            stand->lsn = effect->lsn;
            break;
        case TRI_PARTICIPANT_EFFECT_PHASE_ACK:
        case TRI_PARTICIPANT_EFFECT_CONTROL_ACK:
        case TRI_PARTICIPANT_EFFECT_ASK:
            stand_copy_answer(stand, effect);
            break;
        }
    }
}

/* One step and its effects, without any verdict. */
static inline enum tri_result stand_step(struct stand *stand, struct tri_participant_event *event)
{
    enum tri_result result;

    event->now_ns = stand->now_ns;
    event->wall_ms = stand->wall_ms;
    result = tri_participant_step(stand->participant, event, &stand->effects);
    stand_carry_out(stand);
    return result;
}

/* The verdict on the operation that waits. */
static inline void stand_verdict(struct stand *stand, enum tri_error code)
{
    struct tri_participant_event event = stand->waiting;

    assert(stand->is_waiting);
    stand->is_waiting = false;
    event.ledger.code = code;
    (void)stand_step(stand, &event);
}

static inline enum tri_result stand_do(struct stand *stand, struct tri_participant_event *event)
{
    enum tri_result result = stand_step(stand, event);

    while (stand->is_waiting && !stand->slow) {
        stand_verdict(stand, stand->verdict);
    }
    return result;
}

/* Message `who` has the key {who, ~who} and the id "m<who>". */
static inline enum tri_result stand_phase(struct stand *stand, uint32_t who, enum tri_phase phase,
                                          tri_attempt attempt)
{
    char id[16];
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_PHASE,
        .phase =
            {
                .key = {who, ~(uint64_t)who},
                .id = {id, (uint32_t)snprintf(id, sizeof(id), "m%u", who)},
                .phase = phase,
                .attempt = attempt,
                .atomicity = stand->atomicity,
                .expires_at_ms = stand->expires_ms,
                .reservation_ttl_ms = phase == TRI_PHASE_PREPARE ? STAND_TTL_MS : 0,
                .tokens = {(const uint8_t *)"\x90", 1},
            },
    };

    memset(event.phase.hash.at, stand->content, sizeof(event.phase.hash.at));
    if (phase != TRI_PHASE_PREPARE && attempt < STAND_ATTEMPTS_MAX &&
        stand->token[attempt].bytes != 0) {
        event.phase.tokens = stand->token[attempt];
    }
    return stand_do(stand, &event);
}

static inline enum tri_result stand_control(struct stand *stand, uint32_t who,
                                            enum tri_control kind, tri_attempt attempt)
{
    char id[16];
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_CONTROL,
        .control =
            {
                .key = {who, ~(uint64_t)who},
                .id = {id, (uint32_t)snprintf(id, sizeof(id), "m%u", who)},
                .kind = kind,
                .attempt = attempt,
                .expires_at_ms = stand->expires_ms,
            },
    };

    memset(event.control.hash.at, stand->content, sizeof(event.control.hash.at));
    return stand_do(stand, &event);
}

static inline enum tri_result stand_simple(struct stand *stand,
                                           enum tri_participant_event_type type)
{
    struct tri_participant_event event = {.type = type};

    return stand_do(stand, &event);
}

/* Time passes on both clocks; timers are served when they are due. */
static inline void stand_pass(struct stand *stand, uint64_t ms)
{
    stand->now_ns += ms * TRI_NS_PER_MS;
    stand->wall_ms += ms;
    while (tri_participant_deadline_ns(stand->participant) <= stand->now_ns) {
        (void)stand_simple(stand, TRI_PARTICIPANT_TICK);
    }
}

static inline void stand_durable(struct stand *stand)
{
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_DURABLE,
        .durable = {.lsn = stand->lsn},
    };

    (void)stand_do(stand, &event);
}

static inline enum tri_participant_state stand_state(const struct stand *stand, uint32_t who)
{
    tri_attempt attempt;

    return tri_participant_state(stand->participant, (struct tri_key){who, ~(uint64_t)who},
                                 &attempt);
}

#endif
