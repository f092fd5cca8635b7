/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dedup: every message that is open or was closed a short while ago, by key.
 *
 * An index names for each key the round of an open message or the entry of a
 * closed one.  An entry keeps what a duplicate needs (R01: the result; R02: the
 * content hash) for one dedup window (R06); its place is set aside when the
 * message is opened, so closing cannot fail.  The table never evicts: when it is
 * full the caller refuses new work (P13).
 *
 * Keys are keyed hashes, so no peer can choose where its messages land.  They are
 * told apart by 96 of their 128 bits, all but the upper half of key.lo: in a full
 * table two ids are taken for each other once in 2^70 look-ups, and then one of
 * them is refused as an equivocation.
 *
 * A message may have an owner, whose share of the table the caller bounds (R08):
 * the table counts the messages of each from their opening until they are
 * forgotten.
 *
 * Cost: a look-up reads one or two cache lines of the index and the round or
 * entry that it finds; one of an unknown key reads the index alone.  Forgetting
 * costs in proportion to what is forgotten, however large the table is.
 *
 * Threads: a table belongs to one shard.
 */
#ifndef TRI_ENGINE_DEDUP_H
#define TRI_ENGINE_DEDUP_H

#include "engine/limits.h"

#define TRI_DEDUP_ENTRIES_MAX    (UINT32_C(1) << 26)
#define TRI_DEDUP_ROUNDS_MAX     (UINT32_C(1) << 31)
/* Targets whose masks fit into an entry; a message with more takes a second place for them. */
#define TRI_DEDUP_NARROW_TARGETS 16U
/* Owners are 1..TRI_DEDUP_OWNERS_MAX; 0 is nobody. */
#define TRI_DEDUP_OWNERS_MAX     4095U
#define TRI_DEDUP_NEVER_S        UINT32_MAX

struct tri_dedup;

/* What a message holds of the table from its opening until it is forgotten. */
struct tri_dedup_hold {
    uint16_t places; /* 1, or 2 for masks of many targets: tri_dedup_places() */
    uint16_t owner;
};

/* A closed message.  Written by the caller when it has been closed, but for the table's own. */
struct tri_dedup_entry {
    uint32_t key[3];      /* the table's: the low half of key.lo, then key.hi */
    struct tri_hash hash; /* of the content (R02) */
    uint32_t epoch;       /* of its last attempt */
    uint32_t expires_s;   /* the table's: monotonic seconds; forgotten from then on */
    uint32_t next;        /* the table's: the list that the entry stands in */
    union {
        uint16_t masks[2]; /* tri_dedup_store() */
        uint32_t wide;     /* the table's: the second place, if is_wide */
    };
    uint16_t target_set;  /* tri_targets id, or TRI_TARGETS_NONE */
    uint16_t attempt_n;   /* n of its last attempt, 65535 = that or more */
    uint8_t code;         /* enum tri_error */
    uint8_t summary;      /* packed by engine/view.c */
    uint16_t kind : 2;    /* likewise */
    uint16_t owner : 12;  /* the table's */
    uint16_t is_wide : 1; /* the table's */
    uint16_t is_dead : 1; /* the table's: no message, or one that is not in the index any more */
};
static_assert(sizeof(struct tri_dedup_entry) == 52, "with its share of the index below 64 bytes");
static_assert(TRI_DEDUP_OWNERS_MAX < UINT32_C(1) << 12, "an owner is 12 bits of an entry");

enum tri_dedup_state {
    TRI_DEDUP_UNKNOWN,
    TRI_DEDUP_OPEN,
    TRI_DEDUP_CLOSED,
};

struct tri_dedup_found {
    enum tri_dedup_state state;
    uint32_t round;                /* OPEN: its index */
    struct tri_dedup_entry *entry; /* CLOSED */
};

/* tri_dedup_footprint returns the bytes of memory needed (64-byte aligned) for `entries_max`
 * places; 0 if that is not 1..TRI_DEDUP_ENTRIES_MAX. */
size_t tri_dedup_footprint(uint32_t entries_max);

/*
 * tri_dedup_init formats `memory`, borrowed for the table's life, as an empty table.
 *
 * keys    address of the key of round 0, 8-byte aligned; borrowed for the table's life.
 * stride  bytes from one round's key to the next; a multiple of 8, >= 16.
 */
struct tri_dedup *tri_dedup_init(void *memory, uint32_t entries_max, const void *keys,
                                 size_t stride);

/* tri_dedup_count_owners lets the table count in `counts`, borrowed for its life: counts[owner] are
 * the messages of an owner.  Before the first message that has one. */
void tri_dedup_count_owners(struct tri_dedup *dedup, uint32_t *counts);

/* The places that a message takes. */
static inline uint16_t tri_dedup_places(uint32_t target_count)
{
    return target_count > TRI_DEDUP_NARROW_TARGETS ? 2 : 1;
}

/* tri_dedup_prefetch brings the index at `key` into the cache; call it some keys ahead. */
void tri_dedup_prefetch(const struct tri_dedup *dedup, struct tri_key key);

/*
 * tri_dedup_find says what is known of `key`.
 *
 * A closed message is found although its time is over, until it has been swept: the caller that
 * cares compares expires_s.  An entry is valid until it is forgotten; it does not move.
 */
struct tri_dedup_found tri_dedup_find(const struct tri_dedup *dedup, struct tri_key key);

/*
 * tri_dedup_open enters an open message and sets places aside for its end.
 *
 * key     must be unknown.
 * round   its index, below TRI_DEDUP_ROUNDS_MAX; its key, at keys + round * stride, must be `key`
 *         from the next look-up on until the message is closed.
 *
 * Returns TRI_OK, or TRI_FULL if not so many places are left: sweep, or refuse the work (BUSY).
 */
enum tri_result tri_dedup_open(struct tri_dedup *dedup, struct tri_key key, uint32_t round,
                               struct tri_dedup_hold hold);

/*
 * tri_dedup_close makes the entry of an open message, which is not told by its round from then on.
 *
 * hold       as when it was opened.
 * now_s      monotonic seconds.
 * expires_s  when it is forgotten.
 *
 * Returns the entry, zeroed but for what is the table's own.
 */
struct tri_dedup_entry *tri_dedup_close(struct tri_dedup *dedup, struct tri_key key,
                                        struct tri_dedup_hold hold, uint32_t now_s,
                                        uint32_t expires_s);

/* tri_dedup_drop takes an open message out as if it had never been; its hold is as when it was
 * opened. */
void tri_dedup_drop(struct tri_dedup *dedup, struct tri_key key, struct tri_dedup_hold hold);

/* tri_dedup_remember makes the entry of a message that was closed elsewhere, as tri_dedup_close()
 * does; NULL if not so many places are left.  The key must be unknown. */
struct tri_dedup_entry *tri_dedup_remember(struct tri_dedup *dedup, struct tri_key key,
                                           struct tri_dedup_hold hold, uint32_t now_s,
                                           uint32_t expires_s);

/* Two masks of a closed message, with a bit per target; an entry with one place keeps the bits of
 * the first TRI_DEDUP_NARROW_TARGETS targets, and no others may be set. */
void tri_dedup_store(struct tri_dedup *dedup, struct tri_dedup_entry *entry,
                     const uint64_t masks[2]);
void tri_dedup_load(const struct tri_dedup *dedup, const struct tri_dedup_entry *entry,
                    uint64_t masks[2]);

/* tri_dedup_forget lets a closed message be unknown at once; its places come back with the sweep
 * when it expires. */
void tri_dedup_forget(struct tri_dedup *dedup, struct tri_dedup_entry *entry);

/*
 * tri_dedup_sweep forgets closed messages with expires_s <= now_s.
 *
 * now_s     monotonic seconds; never goes back.
 * work_max  entries to look at, and seconds to pass, at most.
 *
 * Returns whether some may be left: sweep again soon.  Else there is nothing to do before the next
 * second.  Cost: an entry is looked at once when it expires, and once more before if its window is
 * longer than half an hour.
 */
bool tri_dedup_sweep(struct tri_dedup *dedup, uint32_t now_s, uint32_t work_max);

/* No message expires before this second; TRI_DEDUP_NEVER_S if none does. */
uint32_t tri_dedup_next_s(const struct tri_dedup *dedup);

/*
 * tri_dedup_walk goes over the closed messages while they come and go.
 *
 * place   in/out; begins at 0.
 * budget  in/out; the places that may be looked at; what is left of them.
 *
 * Returns the next entry, or NULL: the budget is used up or, if some of it is left, the walk is
 * over.  A message that was closed before the walk began and is not forgotten has been returned by
 * then; one that was closed since may or may not have been.
 */
const struct tri_dedup_entry *tri_dedup_walk(const struct tri_dedup *dedup, uint32_t *place,
                                             uint32_t *budget);
/* The key of a closed message, without the bits that do not tell it apart. */
struct tri_key tri_dedup_key(const struct tri_dedup_entry *entry);

/* Places taken or set aside now. */
uint32_t tri_dedup_count(const struct tri_dedup *dedup);

#endif
