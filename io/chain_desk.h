/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Desk: the work of a chain between the wire and its books.
 *
 * A frame of the coordinator goes in; the participant decides what it means,
 * the ledger is asked, and the answers are written behind one another.  No
 * system call and no allocation after tri_desk_open().
 *
 * Faults (io/chain_faults.h) put frames, verdicts and answers aside; they come
 * back in tri_desk_tick().
 *
 * Threads: one at a time.
 */
#ifndef TRI_IO_CHAIN_DESK_H
#define TRI_IO_CHAIN_DESK_H

#include "engine/wire.h"
#include "io/chain_book.h"
#include "io/chain_faults.h"
#include "io/chain_scribe.h"
#include "tricast_participant.h"

/* Room that a writer must have for one call below. */
#define TRI_DESK_OUT_BYTES 32768U

struct tri_desk_options {
    struct tri_text chain;
    struct tri_participant_options participant;
    struct tri_book *book;     /* open; borrowed, as all below */
    struct tri_store *store;   /* open */
    struct tri_faults *faults; /* may have no rules */
};

/* Name, unit, help. */
#define TRI_DESK_COUNTERS(X)                                      \
    X(frames, "frames", "frames of the coordinator taken in")     \
    X(answers, "frames", "answers written")                       \
    X(errors, "frames", "ERROR frames of the coordinator")        \
    X(strangers, "frames", "frames that a chain does not take")   \
    X(faults, "frames", "frames that a --misbehave rule changed") \
    X(parked_full, "frames", "frames not put aside because the place for them was full")

struct tri_desk_counters {
#define TRI_DESK_COUNTER_FIELD(name, unit, help) uint64_t name;
    TRI_DESK_COUNTERS(TRI_DESK_COUNTER_FIELD)
#undef TRI_DESK_COUNTER_FIELD
};

struct tri_desk;

/* tri_desk_open acquires a desk; NULL when memory ran out.  The options are copied. */
struct tri_desk *tri_desk_open(const struct tri_desk_options *options);
void tri_desk_close(struct tri_desk *desk);

/* tri_desk_replay takes a record of the journal back, before anything else; tri_desk_resume then
 * goes on with what was under way: true = call it again, when the store is not full.  What it
 * writes was asked for in an earlier life.  Replay returns 0 or -errno with one line in `why`. */
int tri_desk_replay(struct tri_desk *desk, const struct tri_log_record *record, uint64_t now_ns,
                    uint64_t wall_ms, char why[TRI_STORE_WHY_BYTES]);
bool tri_desk_resume(struct tri_desk *desk, uint64_t now_ns, uint64_t wall_ms,
                     struct tri_writer *out);

/*
 * tri_desk_frame takes one frame.
 *
 * out  in/out; at least TRI_DESK_OUT_BYTES of room; answers are appended.
 *
 * Returns TRI_OK, or TRI_VIOLATION with *fault when the bytes are no frame: close the connection.
 */
enum tri_result tri_desk_frame(struct tri_desk *desk, struct tri_bytes body, uint64_t now_ns,
                               uint64_t wall_ms, struct tri_writer *out,
                               struct tri_wire_fault *fault);

/* Two steps that bring what a frame will need into the cache, some frames ahead; the first returns
 * the key that the second takes.  Bytes that are no frame do no harm. */
struct tri_key tri_desk_prefetch(const struct tri_desk *desk, struct tri_bytes body);
void tri_desk_prefetch_entry(const struct tri_desk *desk, struct tri_key key);

/* tri_desk_welcome tells that a coordinator welcomed the chain (P14). */
void tri_desk_welcome(struct tri_desk *desk, uint64_t now_ns, uint64_t wall_ms,
                      struct tri_writer *out);

/* tri_desk_settle ends a batch of frames: it goes on with a checkpoint and takes note of what has
 * become durable.  Call it when the store has taken its turn. */
void tri_desk_settle(struct tri_desk *desk, uint64_t now_ns, uint64_t wall_ms,
                     struct tri_writer *out);

/* The record that everything written so far waits for, the last durable one, and whether the
 * journal takes no more: then no frames and no time. */
uint64_t tri_desk_noted_lsn(const struct tri_desk *desk);
uint64_t tri_desk_durable_lsn(const struct tri_desk *desk);
bool tri_desk_is_full(const struct tri_desk *desk);
/* Whether a checkpoint wants the next turn at once. */
bool tri_desk_is_busy(const struct tri_desk *desk);

/* tri_desk_tick lets time pass once; call again while the deadline is not ahead of now. */
void tri_desk_tick(struct tri_desk *desk, uint64_t now_ns, uint64_t wall_ms,
                   struct tri_writer *out);
/* When tick is due, monotonic; 0 = at once, TRI_NEVER = no timer. */
uint64_t tri_desk_deadline_ns(const struct tri_desk *desk);

const struct tri_desk_counters *tri_desk_counters(const struct tri_desk *desk);
const struct tri_participant_counters *tri_desk_participant(const struct tri_desk *desk);

/* tri_desk_holder finds the id of the message `key`, which holds a reservation; empty if it is not
 * known.  Borrowed until the next frame. */
struct tri_text tri_desk_holder(const struct tri_desk *desk, struct tri_key key);

#endif
