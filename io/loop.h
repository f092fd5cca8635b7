/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loop: one io_uring of one thread.
 *
 * A turn of its owner reaps what the kernel completed, works, prepares new
 * requests, and enters the kernel once.  The ring is made with SINGLE_ISSUER and
 * DEFER_TASKRUN where the kernel has them: completions are then posted only
 * when the owner asks, and never interrupt it.
 *
 * A sleeping owner is woken by another loop with MSG_RING: no eventfd, no
 * signal, no lock.
 *
 * The 64 bits of user data that come back with a completion are the caller's:
 * its kind in the top byte (io/net.h and the program share the numbers below),
 * the rest as it likes.
 *
 * Threads: a loop is initialised anywhere and then belongs to the thread that
 * calls tri_loop_enable(); tri_loop_wake() names another thread's loop but runs
 * on the caller's own.
 */
#ifndef TRI_IO_LOOP_H
#define TRI_IO_LOOP_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#define TRI_LOOP_KIND(user_data) ((uint32_t)((user_data) >> 56))
#define TRI_LOOP_DATA(kind, rest) \
    (((uint64_t)(kind) << 56) | ((uint64_t)(rest)&UINT64_C(0x00ffffffffffffff)))

/* Kinds of completions: 1..15 belong to net, 16.. to the program. */
#define TRI_LOOP_KIND_WAKE    0U
#define TRI_LOOP_KIND_NET_MAX 15U

struct tri_loop {
    struct io_uring ring;
    bool is_ready;    /* tri_loop_fini has something to undo */
    bool is_deferred; /* DEFER_TASKRUN */
    uint64_t enters;  /* times that the kernel was entered */
};

/*
 * tri_loop_init makes the ring, not yet enabled.
 *
 * entries      submissions per turn before an extra enter is needed, a power of two.
 * completions  completions that wait unreaped without the kernel's slow path, a power of two.
 * advice       out; on failure a static sentence: what to do about it.
 *
 * Returns 0 or -errno.
 */
int tri_loop_init(struct tri_loop *loop, uint32_t entries, uint32_t completions,
                  const char **advice);

/* tri_loop_enable makes the calling thread the owner.  Returns 0 or -errno. */
int tri_loop_enable(struct tri_loop *loop);

/* Accepts a zeroed loop. */
void tri_loop_fini(struct tri_loop *loop);

/* A zeroed request to fill in; never NULL: if the ring is full, what is there is submitted first.
 */
struct io_uring_sqe *tri_loop_request(struct tri_loop *loop);

/* tri_loop_reap hands every completion that is there to `complete` and returns how many. `complete`
 * may prepare requests. */
typedef void tri_loop_complete(void *context, uint64_t user_data, int32_t result, uint32_t flags);
uint32_t tri_loop_reap(struct tri_loop *loop, tri_loop_complete *complete, void *context);

/* tri_loop_submit submits what was prepared and collects completions, without waiting. */
void tri_loop_submit(struct tri_loop *loop);

/* tri_loop_wait submits what was prepared and waits for a completion, at most `timeout_ns`;
 * TRI_NEVER = as long as it takes. */
void tri_loop_wait(struct tri_loop *loop, uint64_t timeout_ns);

/* tri_loop_post makes a completion (user_data, result) appear at `other`; it leaves with this
 * loop's next submit. */
void tri_loop_post(struct tri_loop *loop, const struct tri_loop *other, uint64_t user_data,
                   uint32_t result);
/* The same with a completion of kind WAKE that means nothing but: take a turn. */
void tri_loop_wake(struct tri_loop *loop, const struct tri_loop *other);

#endif
