/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines: a hierarchical timing wheel, one per shard.
 *
 * A deadline is a node inside the caller's own object.  Nodes are named by a
 * 32-bit index and found at nodes_base + index * stride, so a wheel over a
 * pool uses the pool's indices.  A zeroed node is a disarmed one; between arm
 * and disarm (or pop) the node belongs to the wheel and must not be written.
 *
 * Time is exact: a node is never popped before its at_ns, and can be popped as
 * soon as now_ns >= at_ns.  Nodes come out ordered by (at_ns, index), whatever
 * the order in which they were armed, so a run can be repeated.
 *
 * Cost: arm and disarm O(1); a node moves at most five times in its life
 * toward the lowest wheel; a tick on which nothing is due costs nothing,
 * however far now_ns jumps and however many nodes are armed.
 *
 * Threads: a wheel belongs to one shard.
 */
#ifndef TRI_ENGINE_DEADLINES_H
#define TRI_ENGINE_DEADLINES_H

#include "engine/limits.h"

struct tri_deadlines;

/* Embed one in each object that has a deadline.  The fields are the wheel's own. */
struct tri_deadline {
    uint64_t at_ns;
    uint32_t next;
    uint32_t prev;
    uint32_t child;
    uint16_t place;
};
static_assert(sizeof(struct tri_deadline) == 24, "a deadline costs its object 24 bytes");

/* tri_deadlines_footprint returns the bytes of memory that a wheel needs (8-byte aligned). */
size_t tri_deadlines_footprint(void);

/*
 * tri_deadlines_init formats an empty wheel.
 *
 * memory      tri_deadlines_footprint() bytes, 8-byte aligned; borrowed for the wheel's life.
 * nodes_base  address of node 0, 8-byte aligned; borrowed for the wheel's life.
 * stride      bytes from one node to the next; a multiple of 8, >= 24.
 * start_ns    nanoseconds, monotonic: about now.
 */
struct tri_deadlines *tri_deadlines_init(void *memory, void *nodes_base, size_t stride,
                                         uint64_t start_ns);

/*
 * tri_deadlines_arm sets the deadline of node `index`, armed before or not.
 *
 * at_ns  nanoseconds, monotonic; may lie in the past.  TRI_NEVER disarms.
 */
void tri_deadlines_arm(struct tri_deadlines *deadlines, uint32_t index, uint64_t at_ns);

/* tri_deadlines_disarm takes node `index` out; nothing happens if it is not armed.  To be called
 * before the object's memory is given back. */
void tri_deadlines_disarm(struct tri_deadlines *deadlines, uint32_t index);

bool tri_deadlines_is_armed(const struct tri_deadlines *deadlines, uint32_t index);

/* tri_deadlines_at_ns returns the deadline of node `index`; TRI_NEVER if it is not armed. */
uint64_t tri_deadlines_at_ns(const struct tri_deadlines *deadlines, uint32_t index);

/*
 * tri_deadlines_next_ns says until when nothing can be popped.
 *
 * Returns a time not later than the earliest deadline, TRI_NEVER if no node is armed.  It may be
 * earlier than that deadline while it is far away: the caller sleeps until then, pops, and asks
 * again. Once tri_deadlines_pop(now_ns) has returned false, the answer is greater than now_ns, so
 * that loop always makes progress.  Cost: a few words per wheel, no loop over nodes.
 */
uint64_t tri_deadlines_next_ns(const struct tri_deadlines *deadlines);

/*
 * tri_deadlines_pop takes out the earliest node whose deadline has come.
 *
 * now_ns  nanoseconds, monotonic.
 * index   out; the node, disarmed.  Written only if the result is true.
 *
 * Returns true with one node: handle it and call again; false if no deadline has come.
 */
bool tri_deadlines_pop(struct tri_deadlines *deadlines, uint64_t now_ns, uint32_t *index);

#endif
