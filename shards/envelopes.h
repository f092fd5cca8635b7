/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelopes: a shard submits the deliveries of its envelopes, and hears what
 * becomes of them (F07).
 *
 * The engine asks for a delivery by an effect; a seat notes it, one for each
 * slot of the engine's envelopes.  When it is durable that it was asked for,
 * the delivery goes the way of any SUBMIT: to the shard that owns its id.  It
 * is submitted for each client of the envelope, by the client's own port, so
 * that he gets what a submitter of it would get; and last for the envelope, by
 * an internal port.  What is told to that port comes back here and becomes
 * news for the engine.
 *
 * Neither way waits where it is noted: a seat has room for everything that can
 * be asked of its envelope and everything that can be told it.  That keeps the
 * promise of the DELIVER lane (shards/mesh.h), and no step of the engine waits
 * for room in a STEP lane.
 *
 * Threads: the shard's own.
 */
#ifndef TRI_SHARDS_ENVELOPES_H
#define TRI_SHARDS_ENVELOPES_H

#include "shards/shard.h"

/* What has been told of a delivery and is not known to the engine yet. */
struct tri_envelope_mail {
    bool is_accepted;
    bool is_recorded;
    bool has_ended;
    bool is_refusal; /* has_ended: the server's own, as in TRI_EVENT_DELIVERY */
    uint8_t type;    /* has_ended */
    uint8_t code;
};

/* Seats stand in two lists: with something to submit, and with something to tell the engine. */
struct tri_envelope_seat {
    uint64_t after_lsn;  /* what has to be durable before anything is submitted */
    uint32_t generation; /* of the engine's slot; older news are too late */
    uint32_t next_asked; /* in the list, or TRI_NONE_INDEX */
    uint32_t next_told;
    bool is_asked;
    bool is_told;
    uint16_t asked[TRI_ENVELOPE_MAX]; /* for whom: a bit for each client, and OWN */
    struct tri_envelope_mail told[TRI_ENVELOPE_MAX];
};

struct tri_envelope_desk {
    uint32_t count; /* 0: no envelopes here */
    struct tri_envelope_seat *seats;
    uint32_t asked_first;
    uint32_t asked_last;
    uint32_t told_first;
    uint32_t told_last;
    bool is_full;  /* the last look found no room for a delivery */
    uint8_t *body; /* TRI_FRAME_BYTES_MAX: of the SUBMIT that is being made */
};

struct tri_shard;

/* `seats` and `body` are borrowed; with a count of 0 both may be NULL. */
void tri_envelope_desk_init(struct tri_envelope_desk *desk, void *seats, uint32_t count,
                            uint8_t *body);

/* tri_envelopes_ask takes a DELIVER effect over. */
void tri_envelopes_ask(struct tri_shard *shard, const struct tri_effect *effect);
/* tri_envelopes_hear takes a frame for the internal port of an envelope. */
void tri_envelopes_hear(struct tri_shard *shard, tri_port port, const uint8_t *frame,
                        uint32_t bytes);
/* tri_envelopes_turn tells the engine what was heard and submits what was asked for, as far as
 * there is room.  Returns the number of things done. */
uint32_t tri_envelopes_turn(struct tri_shard *shard);
/* Whether there is something to do that needs nobody else. */
bool tri_envelopes_are_due(const struct tri_shard *shard);

#endif
