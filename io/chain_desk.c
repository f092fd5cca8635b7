/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One frame is one turn.  The participant's effects are carried out in order;
 * the ledger's verdicts, which are events of their own, wait in a short queue
 * until the effects that are borrowed from the participant are used up.  So
 * there is no recursion, and nothing borrowed is read too late.
 */
#include "io/chain_desk.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "io/chain_files.h"
#include "io/chain_parked.h"
#include "io/log.h"
#include "io/place.h"
#include "shards/route.h"

#define REORDER_NS_MAX   (20U * TRI_NS_PER_MS)
/* Verdicts of one turn: one step asks the ledger at most once per effect. */
#define VERDICTS_MAX     (2U * TRI_PARTICIPANT_EFFECTS_MAX)
/* id 66, chain 43, tokens 42, attempt 11 and small integers */
#define ANSWER_BYTES_MAX 256U

static_assert(2U * 2U * TRI_PARTICIPANT_EFFECTS_MAX * ANSWER_BYTES_MAX <= TRI_DESK_OUT_BYTES,
              "two handlings of a frame, two steps with answers each");

struct tri_desk {
    struct tri_desk_options options;
    struct tri_participant *participant;
    struct tri_route route;
    struct tri_files files;
    struct tri_scribe scribe;
    uint64_t settled_lsn;
    struct tri_desk_counters counters;
    struct tri_participant_effects effects;
    uint32_t verdict_count;
    struct tri_participant_event verdicts[VERDICTS_MAX];
    struct tri_frame frame;  /* the one being handled */
    struct tri_frame answer; /* the one being written */
    struct tri_parking parking;
};

/* What one turn knows beside the desk. */
struct turn {
    uint64_t now_ns;
    uint64_t wall_ms;
    struct tri_writer *out;
    const struct tri_phase_frame *phase; /* NULL outside of a phase frame */
    const struct tri_fault_rule *rule;   /* NULL: behave */
    bool is_parked;                      /* the rule's delay has been spent */
};

struct tri_desk *tri_desk_open(const struct tri_desk_options *options)
{
    struct tri_desk *desk = calloc(1, sizeof(*desk));
    size_t footprint = tri_participant_footprint(&options->participant);
    void *memory;

    assert(footprint > 0U);
    if (desk == NULL) {
        return NULL;
    }
    desk->options = *options;
    memory = tri_place_map(footprint);
    if (memory != NULL && tri_place_fill(memory, footprint) == 0) {
        desk->participant = tri_participant_init(memory, &options->participant);
    }
    if (desk->participant == NULL ||
        tri_files_open(&desk->files, options->book, options->participant.entries_max) != 0 ||
        (options->faults->count > 0U && tri_parking_open(&desk->parking) != 0)) {
        tri_desk_close(desk);
        return NULL;
    }
    tri_route_init(&desk->route, options->store->secret, 1);
    tri_scribe_init(&desk->scribe, desk->participant, &desk->files, options->store);
    return desk;
}

void tri_desk_close(struct tri_desk *desk)
{
    if (desk != NULL) {
        tri_parking_close(&desk->parking);
        tri_files_close(&desk->files);
        tri_place_unmap(desk->participant, tri_participant_footprint(&desk->options.participant));
        free(desk);
    }
}

/* Writes desk->answer, or puts it aside. */
static void desk_answer(struct tri_desk *desk, struct turn *turn)
{
    struct tri_writer *out = turn->out;
    uint32_t bytes = tri_wire_encode(&desk->answer, out->at, (uint32_t)(out->end - out->at));

    assert(bytes > 0U); /* the caller promised the room */
    assert(bytes <= ANSWER_BYTES_MAX);
    desk->counters.answers++;
    if (turn->rule != NULL && turn->rule->fault == TRI_FAULT_DELAY && !turn->is_parked) {
        if (tri_parking_put(&desk->parking, TRI_PARKED_ANSWER,
                            turn->now_ns + turn->rule->ms * TRI_NS_PER_MS, out->at,
                            bytes) != NULL) {
            return;
        }
        desk->counters.parked_full++;
    }
    out->at += bytes;
}

static void desk_phase_ack(struct tri_desk *desk, struct turn *turn,
                           const struct tri_participant_effect *effect)
{
    enum tri_ack_type type = effect->ack_type;

    if (turn->rule != NULL && turn->rule->fault == TRI_FAULT_TERMINAL) {
        type = type == TRI_ACK_PHASE_REJECT ? TRI_ACK_REJECTED : TRI_ACK_PROCESSED;
    }
    desk->answer.type = TRI_FRAME_PHASE_ACK;
    desk->answer.phase_ack = (struct tri_phase_ack){
        .id = effect->id,
        .type = type,
        .phase = effect->phase,
        .attempt = effect->attempt,
        .chain = desk->options.chain,
        .code = effect->code,
        .already_applied = effect->already_applied,
        .tokens = effect->tokens,
        .retry_after_ms = effect->retry_after_ms,
    };
    desk_answer(desk, turn);
}

static void desk_control_ack(struct tri_desk *desk, struct turn *turn,
                             const struct tri_participant_effect *effect)
{
    desk->answer.type = TRI_FRAME_CONTROL_ACK;
    desk->answer.control_ack = (struct tri_control_ack){
        .id = effect->id,
        .type = effect->ack_type,
        .kind = effect->control,
        .attempt = effect->attempt,
        .chain = desk->options.chain,
        .code = effect->code,
    };
    desk_answer(desk, turn);
}

static void desk_ask(struct tri_desk *desk, struct turn *turn,
                     const struct tri_participant_effect *effect)
{
    desk->answer.type = TRI_FRAME_ASK;
    desk->answer.ask = (struct tri_ask){effect->id, effect->attempt, desk->options.chain};
    desk_answer(desk, turn);
}

static void desk_verdict(struct tri_desk *desk, const struct turn *turn,
                         const struct tri_participant_effect *effect, enum tri_error code)
{
    assert(desk->verdict_count < VERDICTS_MAX);
    desk->verdicts[desk->verdict_count++] = (struct tri_participant_event){
        .type = TRI_PARTICIPANT_LEDGER,
        .now_ns = turn->now_ns,
        .wall_ms = turn->wall_ms,
        .ledger = {effect->entry, effect->generation, effect->op, code},
    };
}

/* Puts the operation aside; false: carry it out now. */
static bool desk_delay(struct tri_desk *desk, struct turn *turn,
                       const struct tri_participant_effect *effect, enum tri_error code)
{
    struct tri_parked *parked;

    if (turn->rule == NULL || turn->rule->fault != TRI_FAULT_DELAY || turn->is_parked) {
        return false;
    }
    parked = tri_parking_put(&desk->parking, TRI_PARKED_VERDICT,
                             turn->now_ns + turn->rule->ms * TRI_NS_PER_MS, NULL, 0);
    if (parked == NULL) {
        desk->counters.parked_full++;
        return false;
    }
    parked->effect = *effect;
    parked->code = code;
    turn->is_parked = true;
    return true;
}

static void desk_ledger(struct tri_desk *desk, struct turn *turn,
                        const struct tri_participant_effect *effect)
{
    enum tri_error code = TRI_ERROR_NONE;

    if (effect->op == TRI_LEDGER_RELEASE) {
        (void)tri_files_operate(&desk->files, effect->entry, effect->key, TRI_LEDGER_RELEASE);
        return;
    }
    if (effect->op == TRI_LEDGER_RESERVE || effect->op == TRI_LEDGER_APPLY_UNRESERVED) {
        /* Without a frame: a PREPARE that waited for the verdict on an earlier attempt, or was
         * under way when the process died. */
        code = turn->phase != NULL ? tri_files_fill(&desk->files, effect->entry, turn->phase)
                                   : tri_files_refusal(&desk->files, effect->entry);
    }
    if (code == TRI_ERROR_NONE && turn->rule != NULL && turn->rule->fault == TRI_FAULT_REFUSE) {
        code = turn->rule->code;
    }
    if (desk_delay(desk, turn, effect, code)) {
        return;
    }
    if (code == TRI_ERROR_NONE) {
        code = tri_files_operate(&desk->files, effect->entry, effect->key, effect->op);
    }
    desk_verdict(desk, turn, effect, code);
}

static void desk_carry_out(struct tri_desk *desk, struct turn *turn)
{
    for (uint32_t i = 0; i < desk->effects.count; i++) {
        const struct tri_participant_effect *effect = &desk->effects.at[i];

        switch (effect->type) {
        case TRI_PARTICIPANT_EFFECT_LEDGER:
            desk_ledger(desk, turn, effect);
            break;
        case TRI_PARTICIPANT_EFFECT_PHASE_ACK:
            desk_phase_ack(desk, turn, effect);
            break;
        case TRI_PARTICIPANT_EFFECT_CONTROL_ACK:
            desk_control_ack(desk, turn, effect);
            break;
        case TRI_PARTICIPANT_EFFECT_ASK:
            desk_ask(desk, turn, effect);
            break;
        case TRI_PARTICIPANT_EFFECT_APPEND:
            tri_scribe_append(&desk->scribe, effect);
            break;
        default:
            assert(false);
            break;
        }
    }
}

/* Carries out the effects of the step just taken, and of the verdicts that follow from them. */
static void desk_finish(struct tri_desk *desk, struct turn *turn)
{
    desk_carry_out(desk, turn);
    for (uint32_t i = 0; i < desk->verdict_count; i++) {
        (void)tri_participant_step(desk->participant, &desk->verdicts[i], &desk->effects);
        desk_carry_out(desk, turn);
    }
    desk->verdict_count = 0;
}

static void desk_phase(struct tri_desk *desk, struct turn *turn)
{
    const struct tri_phase_frame *phase = &desk->frame.phase;
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_PHASE,
        .now_ns = turn->now_ns,
        .wall_ms = turn->wall_ms,
        .phase =
            {
                .key = tri_route_key(&desk->route, phase->id),
                .id = phase->id,
                .phase = phase->phase,
                .attempt = phase->attempt,
                .atomicity = phase->atomicity,
                .hash = phase->hash,
                .expires_at_ms = phase->expires_at_ms,
                .reservation_ttl_ms = phase->reservation_ttl_ms,
                .tokens = phase->tokens,
            },
    };

    turn->phase = phase;
    (void)tri_participant_step(desk->participant, &event, &desk->effects);
    desk_finish(desk, turn);
    turn->phase = NULL;
}

static void desk_control(struct tri_desk *desk, struct turn *turn)
{
    const struct tri_control_frame *control = &desk->frame.control;
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_CONTROL,
        .now_ns = turn->now_ns,
        .wall_ms = turn->wall_ms,
        .control =
            {
                .key = tri_route_key(&desk->route, control->id),
                .id = control->id,
                .kind = control->kind,
                .attempt = control->attempt,
                .hash = control->hash,
                .expires_at_ms = control->expires_at_ms,
            },
    };

    (void)tri_participant_step(desk->participant, &event, &desk->effects);
    desk_finish(desk, turn);
}

/* Handles desk->frame, which is a PHASE or a CONTROL. */
static void desk_handle(struct tri_desk *desk, struct turn *turn)
{
    if (desk->frame.type == TRI_FRAME_PHASE) {
        desk_phase(desk, turn);
    } else {
        assert(desk->frame.type == TRI_FRAME_CONTROL);
        desk_control(desk, turn);
    }
}

static enum tri_step frame_step(const struct tri_frame *frame)
{
    static_assert((int)TRI_STEP_FINALIZE == (int)TRI_PHASE_FINALIZE, "phases come first");
    static_assert((int)TRI_STEP_ABORT + TRI_CONTROL_ROLLBACK == TRI_STEP_ROLLBACK, "then controls");
    return frame->type == TRI_FRAME_PHASE
               ? (enum tri_step)frame->phase.phase
               : (enum tri_step)((uint32_t)TRI_STEP_ABORT + (uint32_t)frame->control.kind);
}

/* Keeps the frame for later; false: there is no place, handle it now. */
static bool desk_hold(struct tri_desk *desk, const struct turn *turn, struct tri_bytes body)
{
    bool after_next = turn->rule->fault == TRI_FAULT_REORDER;
    uint64_t wait_ns = after_next ? REORDER_NS_MAX : turn->rule->ms * TRI_NS_PER_MS;
    struct tri_parked *parked = tri_parking_put(&desk->parking, TRI_PARKED_FRAME,
                                                turn->now_ns + wait_ns, body.at, body.bytes);

    if (parked == NULL) {
        desk->counters.parked_full++;
        return false;
    }
    parked->after_next = after_next;
    return true;
}

/* Handles desk->frame as its rule says. */
static void desk_misbehave(struct tri_desk *desk, struct turn *turn, struct tri_bytes body)
{
    struct tri_text id =
        desk->frame.type == TRI_FRAME_PHASE ? desk->frame.phase.id : desk->frame.control.id;

    turn->rule = tri_faults_pick(desk->options.faults, frame_step(&desk->frame), id);
    tri_parking_release(&desk->parking);
    if (turn->rule == NULL) {
        desk_handle(desk, turn);
        return;
    }
    desk->counters.faults++;
    switch (turn->rule->fault) {
    case TRI_FAULT_DIE:
        (void)raise(SIGKILL);
        return;
    case TRI_FAULT_DROP:
        return;
    case TRI_FAULT_HOLD:
    case TRI_FAULT_REORDER:
        if (!desk_hold(desk, turn, body)) {
            desk_handle(desk, turn);
        }
        return;
    case TRI_FAULT_DUPLICATE:
        desk_handle(desk, turn);
        desk_handle(desk, turn);
        return;
    default:
        desk_handle(desk, turn);
        return;
    }
}

enum tri_result tri_desk_frame(struct tri_desk *desk, struct tri_bytes body, uint64_t now_ns,
                               uint64_t wall_ms, struct tri_writer *out,
                               struct tri_wire_fault *fault)
{
    struct turn turn = {.now_ns = now_ns, .wall_ms = wall_ms, .out = out};

    assert(out->end - out->at >= (ptrdiff_t)TRI_DESK_OUT_BYTES);
    if (tri_wire_decode(body.at, body.bytes, &desk->frame, fault) != TRI_OK) {
        return TRI_VIOLATION;
    }
    desk->counters.frames++;
    switch (desk->frame.type) {
    case TRI_FRAME_PHASE:
    case TRI_FRAME_CONTROL:
        if (desk->options.faults->count > 0U) {
            desk_misbehave(desk, &turn, body);
        } else {
            desk_handle(desk, &turn);
        }
        break;
    case TRI_FRAME_ERROR:
        desk->counters.errors++;
        TRI_LOG(TRI_LOG_WARN, "coordinator_error", "id=\"%s\" code=%s",
                tri_log_quote(desk->frame.error.id).at, tri_error_name(desk->frame.error.code));
        break;
    default:
        desk->counters.strangers++;
        break;
    }
    return TRI_OK;
}

struct tri_key tri_desk_prefetch(const struct tri_desk *desk, struct tri_bytes body)
{
    struct tri_key key = {0, 0};
    struct tri_wire_fault fault;
    enum tri_frame_type type;
    struct tri_text id;

    if (tri_wire_peek(body.at, body.bytes, &type, &id, &fault) == TRI_OK && id.bytes > 0U) {
        key = tri_route_key(&desk->route, id);
        tri_participant_prefetch(desk->participant, key);
    }
    return key;
}

void tri_desk_prefetch_entry(const struct tri_desk *desk, struct tri_key key)
{
    uint32_t entry = tri_participant_prefetch_entry(desk->participant, key);

    if (entry < desk->files.count) {
        __builtin_prefetch(&desk->files.at[entry]);
    }
}

void tri_desk_welcome(struct tri_desk *desk, uint64_t now_ns, uint64_t wall_ms,
                      struct tri_writer *out)
{
    struct turn turn = {.now_ns = now_ns, .wall_ms = wall_ms, .out = out};
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_WELCOME,
        .now_ns = now_ns,
        .wall_ms = wall_ms,
    };

    assert(out->end - out->at >= (ptrdiff_t)TRI_DESK_OUT_BYTES);
    (void)tri_participant_step(desk->participant, &event, &desk->effects);
    desk_finish(desk, &turn);
}

int tri_desk_replay(struct tri_desk *desk, const struct tri_log_record *record, uint64_t now_ns,
                    uint64_t wall_ms, char why[TRI_STORE_WHY_BYTES])
{
    return tri_scribe_replay(&desk->scribe, record, now_ns, wall_ms, why);
}

bool tri_desk_resume(struct tri_desk *desk, uint64_t now_ns, uint64_t wall_ms,
                     struct tri_writer *out)
{
    struct turn turn = {.now_ns = now_ns, .wall_ms = wall_ms, .out = out};
    enum tri_result result =
        tri_participant_resume(desk->participant, now_ns, wall_ms, &desk->effects);

    assert(out->end - out->at >= (ptrdiff_t)TRI_DESK_OUT_BYTES);
    desk_finish(desk, &turn);
    return result == TRI_MORE;
}

void tri_desk_settle(struct tri_desk *desk, uint64_t now_ns, uint64_t wall_ms,
                     struct tri_writer *out)
{
    struct turn turn = {.now_ns = now_ns, .wall_ms = wall_ms, .out = out};
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_DURABLE,
        .now_ns = now_ns,
        .wall_ms = wall_ms,
        .durable = {tri_store_durable_lsn(desk->options.store)},
    };

    tri_scribe_turn(&desk->scribe, now_ns, wall_ms);
    if (desk->settled_lsn == event.durable.lsn) {
        return;
    }
    desk->settled_lsn = event.durable.lsn;
    (void)tri_participant_step(desk->participant, &event, &desk->effects);
    desk_finish(desk, &turn);
}

uint64_t tri_desk_noted_lsn(const struct tri_desk *desk)
{
    return desk->options.store->noted_lsn;
}

uint64_t tri_desk_durable_lsn(const struct tri_desk *desk)
{
    return tri_store_durable_lsn(desk->options.store);
}

bool tri_desk_is_full(const struct tri_desk *desk)
{
    return tri_store_is_full(desk->options.store);
}

bool tri_desk_is_busy(const struct tri_desk *desk)
{
    return tri_scribe_is_busy(&desk->scribe);
}

/* Takes up one thing that was put aside and is due; false if there is none. */
static bool desk_resume(struct tri_desk *desk, struct turn *turn)
{
    struct tri_parked *parked = tri_parking_first(&desk->parking);
    struct tri_parked was;
    struct tri_wire_fault fault;
    enum tri_result result;
    const uint8_t *room;

    if (parked == NULL || parked->due_ns > turn->now_ns) {
        return false;
    }
    was = *parked;
    room = tri_parking_room(&desk->parking, parked);
    tri_parking_free(&desk->parking, parked);
    switch (was.kind) {
    case TRI_PARKED_FRAME:
        result = tri_wire_decode(room, was.bytes, &desk->frame, &fault);
        assert(result == TRI_OK); /* it was decoded when it arrived */
        desk_handle(desk, turn);
        break;
    case TRI_PARKED_VERDICT:
        if (was.code == TRI_ERROR_NONE) {
            was.code =
                tri_files_operate(&desk->files, was.effect.entry, was.effect.key, was.effect.op);
        }
        desk_verdict(desk, turn, &was.effect, was.code);
        desk->effects.count = 0;
        desk_finish(desk, turn);
        break;
    case TRI_PARKED_ANSWER:
        memcpy(turn->out->at, room, was.bytes);
        turn->out->at += was.bytes;
        break;
    case TRI_PARKED_FREE:
    default:
        assert(false);
        break;
    }
    return true;
}

void tri_desk_tick(struct tri_desk *desk, uint64_t now_ns, uint64_t wall_ms, struct tri_writer *out)
{
    struct turn turn = {.now_ns = now_ns, .wall_ms = wall_ms, .out = out};
    struct tri_participant_event event = {
        .type = TRI_PARTICIPANT_TICK,
        .now_ns = now_ns,
        .wall_ms = wall_ms,
    };

    assert(out->end - out->at >= (ptrdiff_t)TRI_DESK_OUT_BYTES);
    if (desk_resume(desk, &turn)) {
        return;
    }
    (void)tri_participant_step(desk->participant, &event, &desk->effects);
    desk_finish(desk, &turn);
}

uint64_t tri_desk_deadline_ns(const struct tri_desk *desk)
{
    uint64_t deadline_ns = tri_participant_deadline_ns(desk->participant);
    uint64_t parked_ns = tri_parking_due_ns(&desk->parking);

    if (tri_desk_is_full(desk)) {
        return TRI_NEVER; /* the store comes first */
    }
    return parked_ns < deadline_ns ? parked_ns : deadline_ns;
}

const struct tri_desk_counters *tri_desk_counters(const struct tri_desk *desk)
{
    return &desk->counters;
}

const struct tri_participant_counters *tri_desk_participant(const struct tri_desk *desk)
{
    return tri_participant_counters(desk->participant);
}

struct tri_text tri_desk_holder(const struct tri_desk *desk, struct tri_key key)
{
    return tri_participant_id(desk->participant, key);
}
