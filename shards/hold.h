/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hold: encoded frames that wait for the journal, first in, first out.
 *
 * An effect whose record is not durable yet is encoded at once, because what
 * it borrows from the engine ends with the next step, and waits here under
 * its LSN.  The oldest entry leaves first; one behind it that could go
 * earlier waits with it, so frames to one port keep their order.
 *
 * Bounded: a full hold refuses, and the shard steps no further.
 *
 * Threads: a hold belongs to one thread.
 */
#ifndef TRI_SHARDS_HOLD_H
#define TRI_SHARDS_HOLD_H

#include "engine/limits.h"

struct tri_hold {
    uint8_t *memory;
    uint32_t capacity_bytes; /* a multiple of 8 */
    uint32_t head;           /* offset of the oldest entry */
    uint32_t tail;           /* offset behind the newest one */
    uint32_t wrap;           /* where the entries before the wrap end; capacity if none */
    uint32_t entry_count;
};

/* One entry as its owner sees it. */
struct tri_hold_entry {
    uint64_t lsn;   /* it waits for this record */
    uint32_t shard; /* where it goes */
    uint32_t bytes;
    const void *record;
};

/* tri_hold_init uses `memory` (8-byte aligned, borrowed). */
void tri_hold_init(struct tri_hold *hold, void *memory, uint32_t capacity_bytes);

/* tri_hold_push returns 8-byte aligned room for `bytes` (>= 1) of a new entry, NULL if there is no
 * room. */
void *tri_hold_push(struct tri_hold *hold, uint64_t lsn, uint32_t shard, uint32_t bytes);

/* tri_hold_peek shows the oldest entry, valid until it is popped; false if there is none. */
bool tri_hold_peek(const struct tri_hold *hold, struct tri_hold_entry *entry);
void tri_hold_pop(struct tri_hold *hold);

#endif
