/* SPDX-License-Identifier: Apache-2.0 */
#include "shards/frames.h"

#include <string.h>

static const uint8_t tokens_none[] = {0x90}; /* an empty msgpack array */

static struct tri_text frames_text(const char *text)
{
    return (struct tri_text){.at = text, .bytes = (uint32_t)strlen(text)};
}

static void frames_put_chains(struct tri_writer *writer, const struct tri_round_view *round,
                              uint64_t mask, const struct tri_engine_chain *chains)
{
    tri_put_array(writer, (uint32_t)__builtin_popcountll(mask));
    for (uint64_t rest = mask; rest != 0; rest &= rest - 1) {
        uint32_t target = (uint32_t)__builtin_ctzll(rest);

        assert(target < round->target_count);
        tri_put_text(writer, chains[round->targets[target].chain].id);
    }
}

/* [32, id, phase, phaseSequence, attempt, atomicity, contentHash, expiresAtMs, reservationTtlMs,
 * system, type, subtype, assets, payload, envelope, signature, tokens]: the tokens come last. */
static void frames_put_phase(struct tri_writer *writer, const struct tri_effect *effect)
{
    const struct tri_round_view *round = &effect->round;
    bool is_prepare = effect->send.kind == TRI_SEND_PREPARE;

    tri_put_array(writer, 17);
    tri_put_uint(writer, TRI_FRAME_PHASE);
    tri_put_text(writer, round->id);
    tri_put_uint(writer, effect->send.kind);
    tri_put_uint(writer, effect->send.kind);
    tri_put_attempt(writer, effect->send.attempt);
    tri_put_uint(writer, round->atomicity);
    tri_put_bin(writer, (struct tri_bytes){.at = round->hash.at, .bytes = sizeof(round->hash.at)});
    tri_put_uint(writer, round->expires_at_ms);
    tri_put_uint(writer, is_prepare ? round->reservation_ttl_ms : 0);
    tri_put_bool(writer, false);
    tri_put_raw(writer, round->inner.at, round->inner.bytes);
}

static_assert(TRI_SEND_PREPARE == (int)TRI_PHASE_PREPARE &&
                  TRI_SEND_COMMIT == (int)TRI_PHASE_COMMIT &&
                  TRI_SEND_FINALIZE == (int)TRI_PHASE_FINALIZE,
              "the kind of a phase's frames is its number on the wire");

/* [34, id, kind, attempt, contentHash, expiresAtMs, tokens, reason, affectedChains, deadlineMs] */
static void frames_put_control(struct tri_writer *writer, const struct tri_effect *effect)
{
    const struct tri_round_view *round = &effect->round;
    bool is_rollback = effect->send.kind == TRI_SEND_ROLLBACK;

    tri_put_array(writer, 10);
    tri_put_uint(writer, TRI_FRAME_CONTROL);
    tri_put_text(writer, round->id);
    tri_put_uint(writer, is_rollback ? TRI_CONTROL_ROLLBACK : TRI_CONTROL_ABORT);
    tri_put_attempt(writer, effect->send.attempt);
    tri_put_bin(writer, (struct tri_bytes){.at = round->hash.at, .bytes = sizeof(round->hash.at)});
    tri_put_uint(writer, round->expires_at_ms);
}

static void frames_put_control_rest(struct tri_writer *writer, const struct tri_effect *effect,
                                    const struct tri_engine_chain *chains)
{
    const struct tri_round_view *round = &effect->round;
    bool is_rollback = effect->send.kind == TRI_SEND_ROLLBACK;

    tri_put_text(writer, frames_text(is_rollback ? tri_error_name(round->cause) : ""));
    frames_put_chains(writer, round, is_rollback ? effect->send.affected : 0, chains);
    tri_put_uint(writer, is_rollback ? round->rollback_deadline_ms : 0);
}

struct tri_template tri_frames_send(const struct tri_effect *effect,
                                    const struct tri_engine_chain *chains, uint8_t *to,
                                    uint32_t bytes_max)
{
    struct tri_writer writer = {.end = to + bytes_max, .failed = false};
    struct tri_template template = {0};
    bool is_control = effect->send.kind == TRI_SEND_ABORT || effect->send.kind == TRI_SEND_ROLLBACK;

    assert(effect->type == TRI_EFFECT_SEND);
    writer.at = to;
    if (is_control) {
        frames_put_control(&writer, effect);
    } else {
        frames_put_phase(&writer, effect);
    }
    template.before_bytes = (uint32_t)(writer.at - to);
    if (is_control) {
        frames_put_control_rest(&writer, effect, chains);
    }
    template.after_bytes = (uint32_t)(writer.at - to) - template.before_bytes;
    assert(!writer.failed); /* the largest message fits into a frame */
    return template;
}

static const char *frames_what(const struct tri_effect *effect)
{
    static const char *const sends[TRI_SEND_COUNT] = {
        [TRI_SEND_PREPARE] = "PREPARE",   [TRI_SEND_COMMIT] = "COMMIT",
        [TRI_SEND_FINALIZE] = "FINALIZE", [TRI_SEND_ABORT] = "ABORT",
        [TRI_SEND_ROLLBACK] = "ROLLBACK",
    };

    if (effect->type == TRI_EFFECT_SEND) {
        return sends[effect->send.kind];
    }
    if (effect->type == TRI_EFFECT_APPEND) {
        assert(effect->append.kind == TRI_RECORD_PRIMARY);
        return "PRIMARY";
    }
    return effect->notify.kind == TRI_NOTIFY_NOTICE ? "NOTICE"
                                                    : tri_ack_type_name(effect->notify.ack_type);
}

bool tri_frames_is_event(const struct tri_effect *effect)
{
    switch (effect->type) {
    case TRI_EFFECT_APPEND:
        return effect->append.kind == TRI_RECORD_PRIMARY;
    case TRI_EFFECT_NOTIFY:
        return effect->notify.kind == TRI_NOTIFY_ACK || effect->notify.kind == TRI_NOTIFY_NOTICE;
    case TRI_EFFECT_SEND:
        return true;
    case TRI_EFFECT_DELIVER:
        break;
    }
    return false; /* what becomes of deliveries is told of them as messages */
}

static uint64_t frames_event_targets(const struct tri_effect *effect)
{
    if (effect->type == TRI_EFFECT_SEND) {
        return effect->send.targets;
    }
    return effect->type == TRI_EFFECT_APPEND ? effect->round.applied_mask : 0;
}

struct tri_template tri_frames_event(const struct tri_effect *effect,
                                     const struct tri_engine_chain *chains, uint64_t at_ms,
                                     uint8_t *to, uint32_t bytes_max)
{
    struct tri_writer writer = {.at = to, .end = to + bytes_max, .failed = false};
    bool is_stray = effect->type == TRI_EFFECT_SEND && effect->send.is_stray;

    assert(tri_frames_is_event(effect));
    tri_put_array(&writer, 8);
    tri_put_uint(&writer, TRI_FRAME_EVENT);
    tri_put_text(&writer, effect->round.id);
    tri_put_uint(&writer, at_ms);
    tri_put_text(&writer, frames_text(frames_what(effect)));
    tri_put_attempt(&writer, effect->round.attempt);
    if (is_stray) {
        tri_put_array(&writer, 1);
        tri_put_text(&writer, chains[effect->send.chain].id);
    } else {
        frames_put_chains(&writer, &effect->round, frames_event_targets(effect), chains);
    }
    tri_put_uint(&writer,
                 effect->type == TRI_EFFECT_NOTIFY ? effect->notify.code : effect->round.cause);
    assert(!writer.failed);
    return (struct tri_template){.before_bytes = (uint32_t)(writer.at - to), .after_bytes = 0};
}

/* The strongest thing that is known of a target. */
static enum tri_target_state frames_target_state(const struct tri_round_view *round,
                                                 uint32_t target)
{
    uint64_t bit = UINT64_C(1) << target;

    if (round->final_mask & bit) {
        return TRI_TARGET_FINAL;
    }
    if (round->undone_mask & bit) {
        return TRI_TARGET_UNDONE;
    }
    if (round->unknown_mask & bit) {
        return TRI_TARGET_UNKNOWN;
    }
    if (round->applied_mask & bit) {
        return TRI_TARGET_APPLIED;
    }
    if (round->refused_mask & bit) {
        return TRI_TARGET_REFUSED;
    }
    return round->prepared_mask & bit ? TRI_TARGET_PREPARED : TRI_TARGET_OPEN;
}

/* Fills `reports` with the targets; returns their count. */
static uint32_t frames_reports(const struct tri_round_view *round,
                               const struct tri_engine_chain *chains, bool with_tokens,
                               struct tri_target_report reports[TRI_TARGETS_MAX])
{
    assert(round->target_count <= TRI_TARGETS_MAX);
    for (uint32_t i = 0; i < round->target_count; i++) {
        const struct tri_target *target = &round->targets[i];
        bool has_tokens = with_tokens && target->token_set_bytes > 0;

        reports[i] = (struct tri_target_report){
            .chain = chains[target->chain].id,
            .state = frames_target_state(round, i),
            .code = (enum tri_error)target->code,
            .tokens = {.at = has_tokens ? target->tokens : tokens_none,
                       .bytes = has_tokens ? target->token_set_bytes : sizeof(tokens_none)},
        };
    }
    return round->target_count;
}

static void frames_envelope_ack(const struct tri_effect *effect, struct tri_frame *frame)
{
    struct tri_envelope_ack *ack = &frame->envelope_ack;

    frame->type = TRI_FRAME_ENVELOPE_ACK;
    ack->id = effect->round.id;
    ack->type = effect->notify.ack_type;
    ack->code = effect->notify.code;
    ack->duplicate = effect->notify.is_duplicate;
    ack->count = effect->notify.row_count;
    memcpy(ack->rows, effect->notify.rows, ack->count * sizeof(ack->rows[0]));
}

void tri_frames_notify(const struct tri_effect *effect, const struct tri_engine_chain *chains,
                       struct tri_text stream, struct tri_frame *frame)
{
    const struct tri_round_view *round = &effect->round;

    assert(effect->type == TRI_EFFECT_NOTIFY);
    if (effect->notify.kind == TRI_NOTIFY_NOTICE) {
        struct tri_notice *notice = &frame->notice;

        frame->type = TRI_FRAME_NOTICE;
        notice->id = round->id;
        notice->attempt = round->attempt;
        notice->issued_at_ms = effect->notify.issued_at_ms;
        notice->stream = stream;
        notice->oss_epoch = stream.bytes == 0 ? 0 : effect->notify.oss_epoch;
        notice->chain_count = 0;
        for (uint64_t rest = round->applied_mask; rest != 0; rest &= rest - 1) {
            uint32_t target = (uint32_t)__builtin_ctzll(rest);

            notice->chains[notice->chain_count] = chains[round->targets[target].chain].id;
            notice->chain_count++;
        }
        return;
    }
    if (effect->notify.kind == TRI_NOTIFY_ENVELOPE) {
        frames_envelope_ack(effect, frame);
        return;
    }
    if (effect->notify.kind == TRI_NOTIFY_STATUS) {
        struct tri_engine_status status = {.is_open = effect->notify.ack_type == TRI_ACK_RECEIVED,
                                           .ack_type = effect->notify.ack_type,
                                           .code = effect->notify.code,
                                           .has_targets = effect->notify.has_targets,
                                           .round = *round};

        tri_frames_status(&status, chains, frame);
        return;
    }
    frame->type = TRI_FRAME_ACK;
    frame->ack.id = round->id;
    frame->ack.type = effect->notify.ack_type;
    frame->ack.code = effect->notify.code;
    frame->ack.duplicate = effect->notify.is_duplicate;
    frame->ack.attempt = round->attempt;
    frame->ack.target_count = 0;
    if (effect->notify.has_targets && effect->notify.ack_type != TRI_ACK_RECEIVED) {
        frame->ack.target_count = frames_reports(round, chains, false, frame->ack.targets);
    }
}

void tri_frames_status(const struct tri_engine_status *status,
                       const struct tri_engine_chain *chains, struct tri_frame *frame)
{
    const struct tri_round_view *round = &status->round;
    struct tri_status *shown = &frame->status;

    frame->type = TRI_FRAME_STATUS;
    shown->id = round->id;
    shown->state =
        frames_text(status->is_open ? round->state : tri_ack_type_name(status->ack_type));
    shown->code = status->is_open ? round->cause : status->code;
    shown->attempt = round->attempt;
    shown->retries = round->retries;
    shown->scope_declared = round->scope_declared;
    shown->scope = round->scope;
    shown->atomicity_declared = round->atomicity_declared;
    shown->atomicity = round->atomicity;
    shown->map_version = round->map_version;
    shown->is_forced = round->is_forced;
    shown->target_count = 0;
    if (status->has_targets) {
        shown->target_count = frames_reports(round, chains, true, shown->targets);
    }
}
