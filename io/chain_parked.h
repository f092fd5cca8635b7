/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parked: frames, verdicts and answers that a fault put aside until a time.
 *
 * A fixed number of places, each with room for the largest frame; the memory
 * behind a place costs nothing until it is used.
 *
 * Threads: one at a time.
 */
#ifndef TRI_IO_CHAIN_PARKED_H
#define TRI_IO_CHAIN_PARKED_H

#include "engine/limits.h"
#include "tricast_participant.h"

#define TRI_PARKED_MAX 512U

enum tri_parked_kind {
    TRI_PARKED_FREE,
    TRI_PARKED_FRAME,   /* to be handled */
    TRI_PARKED_VERDICT, /* a ledger operation to be carried out */
    TRI_PARKED_ANSWER,  /* encoded, to be sent */
};

struct tri_parked {
    enum tri_parked_kind kind;
    bool after_next; /* FRAME: due as soon as another frame was handled */
    uint64_t due_ns;
    uint32_t bytes;                       /* FRAME, ANSWER: in the place's room */
    struct tri_participant_effect effect; /* VERDICT: without its borrowed pointers */
    enum tri_error code;                  /* VERDICT: NONE = let the ledger decide */
};

/* Zeroed: nothing may be parked. */
struct tri_parking {
    uint8_t *room; /* TRI_PARKED_MAX * TRI_FRAME_BYTES_MAX */
    uint32_t count;
    struct tri_parked at[TRI_PARKED_MAX];
};

/* tri_parking_open acquires the room: 0 or -ENOMEM. */
int tri_parking_open(struct tri_parking *parking);
void tri_parking_close(struct tri_parking *parking);

/* tri_parking_put takes a place and copies `bytes` of `body` into it.  NULL if all are taken. */
struct tri_parked *tri_parking_put(struct tri_parking *parking, enum tri_parked_kind kind,
                                   uint64_t due_ns, const uint8_t *body, uint32_t bytes);
uint8_t *tri_parking_room(struct tri_parking *parking, const struct tri_parked *parked);

/* The earliest; NULL if nothing is parked. */
struct tri_parked *tri_parking_first(struct tri_parking *parking);
/* When it is due, monotonic; TRI_NEVER if nothing is parked. */
uint64_t tri_parking_due_ns(const struct tri_parking *parking);
/* tri_parking_free gives a place back; its room stays readable until the next put. */
void tri_parking_free(struct tri_parking *parking, struct tri_parked *parked);
/* tri_parking_release makes what waits for the next frame due at once. */
void tri_parking_release(struct tri_parking *parking);

#endif
