/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dedup: every message that is open or was closed a short while ago, by key.
 *
 * An entry of 64 bytes is made when a message is admitted.  While the message
 * is open it names the round; when the round ends, the same entry keeps what a
 * duplicate needs (R01: the result; R02: the content hash) for one dedup window
 * (R06).  The table never evicts: when it is full the caller refuses new work.
 *
 * Keys are keyed 128-bit hashes, so their low bits are the place in the table
 * and no peer can choose where its messages land.  Open addressing, linear
 * probing, deletion by shifting back: no tombstones, so the cost of a look-up
 * depends on the load alone (at most 7/8), never on the history.
 *
 * The number of places is a power of two.  A table for a power of two of entries
 * is at most half full: a look-up reads one or two cache lines.  One that is
 * filled to 7/8 reads some thirty before it knows that a key is absent.
 *
 * Threads: a table belongs to one shard.
 */
#ifndef TRI_ENGINE_DEDUP_H
#define TRI_ENGINE_DEDUP_H

#include "engine/limits.h"

#define TRI_DEDUP_ENTRIES_MAX (UINT32_C(1) << 26)

struct tri_dedup;

/* Flags of an entry; the bits that are not named here are the caller's. */
#define TRI_DEDUP_USED   0x80U /* the table's own */
#define TRI_DEDUP_CLOSED 0x40U /* set by the caller when the round has ended */

/* key and TRI_DEDUP_USED are the table's, everything else is the caller's.  Bit i of a mask is
 * target i of the target set (engine/targets.h). */
struct tri_dedup_entry {
    struct tri_key key;
    struct tri_hash hash;  /* of the content (R02) */
    uint64_t done_mask;    /* closed: with refused_mask two bits of what became of each target */
    uint64_t refused_mask; /* closed: which of them mean what says engine/view.c */
    union {
        uint32_t round; /* open: index of the round */
        uint32_t epoch; /* closed: epoch of its last attempt */
    };
    uint32_t expires_s;  /* closed: monotonic seconds; forgotten from then on */
    uint16_t target_set; /* closed: tri_targets id, or TRI_TARGETS_NONE */
    uint16_t code;       /* closed: enum tri_error */
    uint16_t attempt_n;  /* closed: n of its last attempt, 65535 = that or more */
    uint8_t summary;     /* closed: packed by engine/view.c */
    uint8_t flags;       /* TRI_DEDUP_* */
};
static_assert(sizeof(struct tri_dedup_entry) == TRI_CACHE_LINE, "an entry is one cache line");

/* tri_dedup_footprint returns the bytes of memory needed (64-byte aligned) for `entries_max`
 * entries; 0 if that is not 1..TRI_DEDUP_ENTRIES_MAX. */
size_t tri_dedup_footprint(uint32_t entries_max);

/* tri_dedup_init formats `memory`, borrowed for the table's life, as an empty table.  It writes all
 * of it. */
struct tri_dedup *tri_dedup_init(void *memory, uint32_t entries_max);

/* tri_dedup_prefetch brings the place of `key` into the cache; call it some keys ahead. */
void tri_dedup_prefetch(const struct tri_dedup *dedup, struct tri_key key);

/*
 * tri_dedup_find returns the entry of `key`, or NULL if there is none.
 *
 * A closed entry is returned although its time is over, until it has been swept: the caller that
 * cares compares expires_s.  Valid until the next insert, remove or sweep.
 */
struct tri_dedup_entry *tri_dedup_find(struct tri_dedup *dedup, struct tri_key key);

/*
 * tri_dedup_insert makes an entry for `key`, which must not have one.
 *
 * Returns it, zeroed but for the key and TRI_DEDUP_USED; NULL if the table holds entries_max
 * already: refuse the work (BUSY).  Valid until the next insert, remove or sweep.
 */
struct tri_dedup_entry *tri_dedup_insert(struct tri_dedup *dedup, struct tri_key key);

/* tri_dedup_remove takes the entry of `key` out; it must have one. */
void tri_dedup_remove(struct tri_dedup *dedup, struct tri_key key);

/*
 * tri_dedup_sweep looks at the next `buckets` places, going round and round, and removes the closed
 * entries with expires_s <= now_s.
 *
 * Returns the number removed.  Every entry is looked at once per capacity's worth of places, at
 * most one round later if a removal moved it across the end of the table.
 */
uint32_t tri_dedup_sweep(struct tri_dedup *dedup, uint32_t now_s, uint32_t buckets);

/* Entries now, and the places that one round of sweeping looks at. */
uint32_t tri_dedup_count(const struct tri_dedup *dedup);
uint32_t tri_dedup_bucket_count(const struct tri_dedup *dedup);

#endif
