/* SPDX-License-Identifier: Apache-2.0 */
#include "shards/envelopes.h"

#include <string.h>

#include "shards/state.h"

/* Deliveries submitted in one turn; the others have the next one. */
#define SUBMITS_PER_TURN 256U
/* In a seat; the bits of the clients lie below. */
#define OWN              (1U << TRI_ENVELOPE_CLIENTS_MAX)

/* The generation of an envelope's port names the slot's use and the delivery. */
#define POSITION_BITS 4U
static_assert(TRI_ENVELOPE_MAX == 1U << POSITION_BITS &&
                  TRI_ENVELOPE_GENERATION_BITS + POSITION_BITS == 24,
              "both fit into the generation of a port");
static_assert(TRI_ENVELOPES_MAX == 65536U, "a slot is the number of an internal port");

void tri_envelope_desk_init(struct tri_envelope_desk *desk, void *seats, uint32_t count,
                            uint8_t *body)
{
    *desk = (struct tri_envelope_desk){.count = count, .seats = seats};
    desk->body = body;
    desk->asked_first = desk->asked_last = TRI_NONE_INDEX;
    desk->told_first = desk->told_last = TRI_NONE_INDEX;
    if (count > 0) {
        memset(seats, 0, count * sizeof(struct tri_envelope_seat));
    }
}

/* ---- what is asked for ---- */

/* The seat of a slot, emptied if it was for an envelope that has ended. */
static struct tri_envelope_seat *seat_of(struct tri_envelope_desk *desk, uint32_t slot,
                                         uint32_t generation)
{
    struct tri_envelope_seat *seat = &desk->seats[slot];

    assert(slot < desk->count);
    if (seat->generation != generation) {
        seat->generation = generation;
        seat->after_lsn = 0;
        memset(seat->asked, 0, sizeof(seat->asked));
        memset(seat->told, 0, sizeof(seat->told));
    }
    return seat;
}

void tri_envelopes_ask(struct tri_shard *shard, const struct tri_effect *effect)
{
    struct tri_envelope_desk *desk = &shard->envelopes;
    struct tri_envelope_seat *seat =
        seat_of(desk, effect->deliver.slot, effect->deliver.generation);
    uint32_t who = effect->deliver.submitters & (OWN - 1U);

    assert(effect->type == TRI_EFFECT_DELIVER);
    who |= (effect->deliver.submitters & TRI_DELIVER_OWN) != 0 ? OWN : 0;
    seat->asked[effect->deliver.position] |= (uint16_t)who;
    seat->after_lsn = effect->after_lsn > seat->after_lsn ? effect->after_lsn : seat->after_lsn;
    if (seat->is_asked) {
        return;
    }
    seat->is_asked = true;
    seat->next_asked = TRI_NONE_INDEX;
    if (desk->asked_last == TRI_NONE_INDEX) {
        desk->asked_first = effect->deliver.slot;
    } else {
        desk->seats[desk->asked_last].next_asked = effect->deliver.slot;
    }
    desk->asked_last = effect->deliver.slot;
}

/* Submits one delivery for one of those who wait for it; TRI_FULL: there is no room now. */
static enum tri_result submit_for(struct tri_shard *shard, uint32_t slot, uint32_t position,
                                  uint32_t who)
{
    struct tri_envelope_desk *desk = &shard->envelopes;
    uint32_t generation = desk->seats[slot].generation;
    struct tri_writer writer = {.at = desk->body, .end = desk->body + TRI_FRAME_BYTES_MAX};
    struct tri_engine_delivery asked;
    struct tri_peer peer = {.role = TRI_ROLE_CLIENT};
    tri_port port;

    if (tri_engine_delivery(shard->engine, slot, generation, position, &asked) != TRI_OK) {
        return TRI_OK; /* it has ended meanwhile */
    }
    port = who == OWN ? TRI_PORT_INTERNAL(shard->index, generation << POSITION_BITS | position,
                                          TRI_INTERNAL_ENVELOPE, slot)
                      : asked.clients[__builtin_ctz(who)];
    if (port == 0) {
        return TRI_OK;
    }
    peer.submitter = (uint16_t)asked.submitter;
    tri_wire_put_delivery(&writer, asked.delivery.canonical);
    assert(!writer.failed);
    return tri_intake_deliver(
        shard, port, &peer, asked.delivery.id,
        (struct tri_bytes){.at = desk->body, .bytes = (uint32_t)(writer.at - desk->body)});
}

/* Submits what is asked of one seat: each delivery for the clients first, so that they are the
 * first to submit it, and the envelope is one who repeats it.  False: there is no room now. */
static bool seat_submit(struct tri_shard *shard, uint32_t slot, uint32_t *submits)
{
    struct tri_envelope_seat *seat = &shard->envelopes.seats[slot];

    for (uint32_t position = 0; position < TRI_ENVELOPE_MAX; position++) {
        while (seat->asked[position] != 0) {
            uint32_t who = seat->asked[position] & (0U - seat->asked[position]);

            if (submit_for(shard, slot, position, who) != TRI_OK) {
                return false;
            }
            seat->asked[position] &= (uint16_t)~who;
            ++*submits;
        }
    }
    return true;
}

/* D07: what waits for a record that is lost never leaves. */
static bool seat_is_lost(const struct tri_shard *shard, const struct tri_envelope_seat *seat)
{
    return shard->failed_lsn != 0 && seat->after_lsn >= shard->failed_lsn;
}

static bool desk_may_submit(const struct tri_shard *shard)
{
    const struct tri_envelope_desk *desk = &shard->envelopes;

    return desk->asked_first != TRI_NONE_INDEX &&
           (desk->seats[desk->asked_first].after_lsn <= shard->durable_lsn ||
            seat_is_lost(shard, &desk->seats[desk->asked_first]));
}

static uint32_t desk_submit(struct tri_shard *shard)
{
    struct tri_envelope_desk *desk = &shard->envelopes;
    uint32_t submits = 0;

    desk->is_full = false;
    while (submits < SUBMITS_PER_TURN && desk_may_submit(shard)) {
        uint32_t slot = desk->asked_first;
        struct tri_envelope_seat *seat = &desk->seats[slot];

        if (seat_is_lost(shard, seat)) {
            memset(seat->asked, 0, sizeof(seat->asked));
        }
        if (!seat_submit(shard, slot, &submits)) {
            desk->is_full = true;
            break;
        }
        desk->asked_first = seat->next_asked;
        if (desk->asked_first == TRI_NONE_INDEX) {
            desk->asked_last = TRI_NONE_INDEX;
        }
        seat->is_asked = false;
    }
    return submits;
}

/* ---- what is told ---- */

void tri_envelopes_hear(struct tri_shard *shard, tri_port port, const uint8_t *frame,
                        uint32_t bytes)
{
    struct tri_envelope_desk *desk = &shard->envelopes;
    uint32_t slot = TRI_PORT_INTERNAL_NUMBER(port);
    uint32_t position = TRI_PORT_GENERATION(port) & (TRI_ENVELOPE_MAX - 1U);
    struct tri_envelope_seat *seat = &desk->seats[slot];
    struct tri_envelope_mail *mail = &seat->told[position];
    enum tri_frame_type type;
    struct tri_wire_answer answer;

    assert(slot < desk->count);
    if (seat->generation != TRI_PORT_GENERATION(port) >> POSITION_BITS ||
        !tri_wire_peek_answer(frame, bytes, &type, &answer)) {
        shard->counters.frames_dropped++; /* the envelope has ended */
        return;
    }
    if (type == TRI_FRAME_NOTICE) {
        mail->is_recorded = true;
    } else if (answer.type != TRI_ACK_RECEIVED) {
        mail->has_ended = true;
        mail->is_refusal = answer.is_refusal;
        mail->type = (uint8_t)answer.type;
        mail->code = (uint8_t)answer.code;
    } else if (!answer.is_duplicate) {
        mail->is_accepted = true;
    } else {
        return; /* who waits for the envelope has submitted it before */
    }
    if (seat->is_told) {
        return;
    }
    seat->is_told = true;
    seat->next_told = TRI_NONE_INDEX;
    if (desk->told_last == TRI_NONE_INDEX) {
        desk->told_first = slot;
    } else {
        desk->seats[desk->told_last].next_told = slot;
    }
    desk->told_last = slot;
}

/* Tells the engine one thing of one delivery, the oldest that it does not know. */
static void tell(struct tri_shard *shard, uint32_t slot, uint32_t position)
{
    struct tri_envelope_seat *seat = &shard->envelopes.seats[slot];
    struct tri_envelope_mail *mail = &seat->told[position];
    struct tri_event event = {.type = TRI_EVENT_DELIVERY};

    event.delivery.slot = slot;
    event.delivery.generation = seat->generation;
    event.delivery.position = position;
    if (mail->is_accepted) {
        event.delivery.type = TRI_ACK_RECEIVED;
        mail->is_accepted = false;
    } else if (mail->is_recorded) {
        event.delivery.is_recorded = true;
        mail->is_recorded = false;
    } else {
        event.delivery.is_refusal = mail->is_refusal;
        event.delivery.type = (enum tri_ack_type)mail->type;
        event.delivery.code = (enum tri_error)mail->code;
        mail->has_ended = false;
    }
    (void)tri_shard_step(shard, &event);
}

/* False: the shard is not ready. */
static bool seat_tell(struct tri_shard *shard, uint32_t slot, uint32_t *told)
{
    struct tri_envelope_seat *seat = &shard->envelopes.seats[slot];

    for (uint32_t position = 0; position < TRI_ENVELOPE_MAX; position++) {
        const struct tri_envelope_mail *mail = &seat->told[position];

        while (mail->is_accepted || mail->is_recorded || mail->has_ended) {
            if (!tri_shard_ready(shard, false)) {
                return false;
            }
            tell(shard, slot, position);
            ++*told;
            (void)tri_shard_ready(shard, false);
        }
    }
    return true;
}

static uint32_t desk_tell(struct tri_shard *shard)
{
    struct tri_envelope_desk *desk = &shard->envelopes;
    uint32_t told = 0;

    while (desk->told_first != TRI_NONE_INDEX) {
        struct tri_envelope_seat *seat = &desk->seats[desk->told_first];

        if (!seat_tell(shard, desk->told_first, &told)) {
            break;
        }
        desk->told_first = seat->next_told;
        if (desk->told_first == TRI_NONE_INDEX) {
            desk->told_last = TRI_NONE_INDEX;
        }
        seat->is_told = false;
    }
    return told;
}

uint32_t tri_envelopes_turn(struct tri_shard *shard)
{
    uint32_t work = desk_tell(shard);

    return work + desk_submit(shard);
}

bool tri_envelopes_are_due(const struct tri_shard *shard)
{
    const struct tri_envelope_desk *desk = &shard->envelopes;

    return desk->told_first != TRI_NONE_INDEX || (!desk->is_full && desk_may_submit(shard));
}
