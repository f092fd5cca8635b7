/* SPDX-License-Identifier: Apache-2.0 */
/* Between the orders of a node and a participant: one struct to the other, field by field. */
#include "tricast_participant.h"

#include <assert.h>
#include <string.h>

static_assert((int)TRI_SEND_PREPARE == (int)TRI_PHASE_PREPARE &&
                  (int)TRI_SEND_FINALIZE == (int)TRI_PHASE_FINALIZE,
              "the first three kinds of orders are the phases");

void tri_participant_from_order(const struct tri_order *order, struct tri_participant_event *event)
{
    const struct tri_ticket *ticket = &order->ticket;
    struct tri_text id = {.at = ticket->id, .bytes = ticket->id_bytes};

    assert(ticket->kind < TRI_SEND_COUNT);
    assert(ticket->id_bytes <= TRI_ID_BYTES_MAX);
    *event = (struct tri_participant_event){.now_ns = order->now_ns, .wall_ms = order->wall_ms};
    if (ticket->kind <= TRI_SEND_FINALIZE) {
        event->type = TRI_PARTICIPANT_PHASE;
        event->phase.key = ticket->key;
        event->phase.id = id;
        event->phase.phase = (enum tri_phase)ticket->kind;
        event->phase.attempt = ticket->attempt;
        event->phase.atomicity = order->atomicity;
        event->phase.hash = order->hash;
        event->phase.expires_at_ms = order->expires_at_ms;
        event->phase.reservation_ttl_ms = order->reservation_ttl_ms;
        event->phase.tokens = order->tokens;
    } else {
        event->type = TRI_PARTICIPANT_CONTROL;
        event->control.key = ticket->key;
        event->control.id = id;
        event->control.kind =
            ticket->kind == TRI_SEND_ABORT ? TRI_CONTROL_ABORT : TRI_CONTROL_ROLLBACK;
        event->control.attempt = ticket->attempt;
        event->control.hash = order->hash;
        event->control.expires_at_ms = order->expires_at_ms;
    }
}

void tri_participant_to_answer(const struct tri_participant_effect *effect,
                               struct tri_answer *answer)
{
    assert(effect->type == TRI_PARTICIPANT_EFFECT_PHASE_ACK ||
           effect->type == TRI_PARTICIPANT_EFFECT_CONTROL_ACK);
    *answer = (struct tri_answer){
        .type = effect->ack_type,
        .code = effect->code,
    };
    if (effect->type == TRI_PARTICIPANT_EFFECT_PHASE_ACK) {
        answer->already_applied = effect->already_applied;
    }
    if (effect->ack_type == TRI_ACK_PHASE_PREPARE_OK) {
        assert(effect->tokens.bytes <= sizeof(answer->tokens));
        answer->token_bytes = (uint8_t)effect->tokens.bytes;
        memcpy(answer->tokens, effect->tokens.at, effect->tokens.bytes);
    }
}

void tri_participant_to_ticket(const struct tri_participant_effect *effect, uint16_t chain,
                               struct tri_ticket *ticket)
{
    assert(effect->type != TRI_PARTICIPANT_EFFECT_LEDGER);
    assert(effect->type != TRI_PARTICIPANT_EFFECT_APPEND);
    assert(effect->id.bytes <= TRI_ID_BYTES_MAX);
    *ticket = (struct tri_ticket){
        .key = effect->key,
        .attempt = effect->attempt,
        .chain = chain,
        .kind = TRI_SEND_PREPARE, /* ASK: of the reservation */
        .id_bytes = (uint8_t)effect->id.bytes,
    };
    if (effect->type == TRI_PARTICIPANT_EFFECT_PHASE_ACK) {
        ticket->kind = (uint8_t)effect->phase;
    } else if (effect->type == TRI_PARTICIPANT_EFFECT_CONTROL_ACK) {
        ticket->kind =
            (uint8_t)(effect->control == TRI_CONTROL_ABORT ? TRI_SEND_ABORT : TRI_SEND_ROLLBACK);
    }
    memcpy(ticket->id, effect->id.at, effect->id.bytes);
}
