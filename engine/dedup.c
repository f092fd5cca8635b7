/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index is open addressing with linear probing.  A bucket is eight bytes: the
 * low half of key.lo, which gives its home and makes a false hit rare, and the
 * number of a round or an entry.  A removal shifts back every following bucket
 * that does not thereby come before its home, so there are no tombstones and the
 * cost depends on the load alone, which is at most 3/4.
 *
 * Entries are slots of 52 bytes that never move.  Those given back form a stack:
 * the ones swept last are written first, while the cache still holds them.
 *
 * When is an entry forgotten?  Its window depends on its message, so the order of
 * closing is not the order of expiry.  A list per second would be one for each of
 * the four million seconds of the longest window; instead there is a list for each of
 * the next 2,048 seconds, and one for each run of 2,048 seconds behind.  The hand is
 * the second up to which everything has been looked at.  When it reaches the
 * beginning of a run, the run's entries move to the lists of its seconds.
 *
 *   header | lists of seconds | lists of runs | (64) index | (64) entries
 */
#include "engine/dedup.h"

#include <string.h>

#define SECONDS_BITS 11U
#define SECONDS      (1U << SECONDS_BITS)
#define RUNS         4096U
#define IS_ENTRY     TRI_DEDUP_ROUNDS_MAX /* the bit that no round has */
/* Entries whose index buckets are fetched together: a sweep waits for memory once, not each time.
 */
#define BATCH        16U

static_assert((uint64_t)SECONDS * (RUNS - 1) > UINT32_MAX / 1000U + 1U,
              "the longest window ends within the runs");
static_assert(TRI_DEDUP_ENTRIES_MAX < IS_ENTRY, "and no entry is TRI_NONE_INDEX with it");

struct bucket {
    uint32_t tag; /* the low half of key.lo */
    uint32_t at;  /* a round, IS_ENTRY | an entry, or TRI_NONE_INDEX */
};

struct tri_dedup {
    struct bucket *buckets;
    struct tri_dedup_entry *entries;
    const unsigned char *keys;
    size_t stride;
    uint32_t *owner_counts;
    uint32_t bucket_count;
    uint32_t entries_max;
    uint32_t count;     /* places taken or set aside */
    uint32_t listed;    /* closed messages in the lists */
    uint32_t free_head; /* of the places given back */
    uint32_t fresh;     /* places from here on were never taken */
    uint32_t hand;
    uint32_t next_s; /* nothing expires before */
    uint32_t due;    /* taken out of the lists, to be looked at now */
    uint32_t seconds[SECONDS];
    uint32_t runs[RUNS];
};

static size_t round_up(size_t bytes)
{
    return (bytes + TRI_CACHE_LINE - 1) / TRI_CACHE_LINE * TRI_CACHE_LINE;
}

/* At most 3/4 full; one bucket is always free, at which every look-up ends. */
static uint32_t index_buckets(uint32_t entries_max)
{
    return entries_max + entries_max / 3 + 1;
}

static size_t index_bytes(uint32_t entries_max)
{
    return round_up((size_t)index_buckets(entries_max) * sizeof(struct bucket));
}

size_t tri_dedup_footprint(uint32_t entries_max)
{
    if (entries_max < 1 || entries_max > TRI_DEDUP_ENTRIES_MAX) {
        return 0;
    }
    return round_up(sizeof(struct tri_dedup)) + index_bytes(entries_max) +
           round_up((size_t)entries_max * sizeof(struct tri_dedup_entry));
}

struct tri_dedup *tri_dedup_init(void *memory, uint32_t entries_max, const void *keys,
                                 size_t stride)
{
    struct tri_dedup *dedup = memory;
    unsigned char *behind = (unsigned char *)memory + round_up(sizeof(*dedup));

    assert(memory != NULL);
    assert((uintptr_t)memory % TRI_CACHE_LINE == 0);
    assert(tri_dedup_footprint(entries_max) != 0);
    assert(keys != NULL);
    assert((uintptr_t)keys % _Alignof(struct tri_key) == 0);
    assert(stride >= sizeof(struct tri_key));
    assert(stride % _Alignof(struct tri_key) == 0);

    memset(dedup, 0, sizeof(*dedup));
    memset(dedup->seconds, 0xff, sizeof(dedup->seconds)); /* TRI_NONE_INDEX */
    memset(dedup->runs, 0xff, sizeof(dedup->runs));
    memset(behind, 0xff, index_bytes(entries_max));
    dedup->buckets = (struct bucket *)(void *)behind;
    dedup->entries = (struct tri_dedup_entry *)(void *)(behind + index_bytes(entries_max));
    dedup->keys = keys;
    dedup->stride = stride;
    dedup->bucket_count = index_buckets(entries_max);
    dedup->entries_max = entries_max;
    dedup->free_head = TRI_NONE_INDEX;
    dedup->due = TRI_NONE_INDEX;
    dedup->next_s = TRI_DEDUP_NEVER_S;
    return dedup;
}

/* ---- the index ---- */

static uint32_t index_home(const struct tri_dedup *dedup, uint32_t tag)
{
    return (uint32_t)((uint64_t)tag * dedup->bucket_count >> 32);
}

static uint32_t index_next(const struct tri_dedup *dedup, uint32_t place)
{
    return place + 1 == dedup->bucket_count ? 0 : place + 1;
}

/* How far `to` lies behind `from`. */
static uint32_t index_distance(const struct tri_dedup *dedup, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : to + (dedup->bucket_count - from);
}

static struct tri_dedup_entry *entry_at(const struct tri_dedup *dedup, uint32_t slot)
{
    assert(slot < dedup->fresh);
    return &dedup->entries[slot];
}

static bool bucket_has(const struct tri_dedup *dedup, const struct bucket *bucket,
                       struct tri_key key)
{
    if (bucket->tag != (uint32_t)key.lo) {
        return false;
    }
    if ((bucket->at & IS_ENTRY) != 0) {
        const struct tri_dedup_entry *entry = entry_at(dedup, bucket->at & ~IS_ENTRY);

        return entry->key[1] == (uint32_t)key.hi && entry->key[2] == (uint32_t)(key.hi >> 32);
    }
    return ((const struct tri_key *)(const void *)(dedup->keys + bucket->at * dedup->stride))->hi ==
           key.hi;
}

/* The bucket of `key`, or the free one at which the look-up ended. */
static struct bucket *index_find(const struct tri_dedup *dedup, struct tri_key key)
{
    uint32_t place = index_home(dedup, (uint32_t)key.lo);

    while (dedup->buckets[place].at != TRI_NONE_INDEX &&
           !bucket_has(dedup, &dedup->buckets[place], key)) {
        place = index_next(dedup, place);
    }
    return &dedup->buckets[place];
}

/* Takes the bucket out that names `at` and was entered under `tag`. */
static void index_remove(struct tri_dedup *dedup, uint32_t tag, uint32_t at)
{
    uint32_t hole = index_home(dedup, tag);
    uint32_t place;

    while (dedup->buckets[hole].at != at) {
        assert(dedup->buckets[hole].at != TRI_NONE_INDEX);
        hole = index_next(dedup, hole);
    }
    place = hole;
    for (;;) {
        const struct bucket *bucket;

        place = index_next(dedup, place);
        bucket = &dedup->buckets[place];
        if (bucket->at == TRI_NONE_INDEX) {
            break;
        }
        if (index_distance(dedup, index_home(dedup, bucket->tag), place) >=
            index_distance(dedup, hole, place)) {
            dedup->buckets[hole] = *bucket;
            hole = place;
        }
    }
    dedup->buckets[hole].at = TRI_NONE_INDEX;
}

void tri_dedup_prefetch(const struct tri_dedup *dedup, struct tri_key key)
{
    __builtin_prefetch(&dedup->buckets[index_home(dedup, (uint32_t)key.lo)]);
}

struct tri_dedup_found tri_dedup_find(const struct tri_dedup *dedup, struct tri_key key)
{
    uint32_t at = index_find(dedup, key)->at;

    if (at == TRI_NONE_INDEX) {
        return (struct tri_dedup_found){TRI_DEDUP_UNKNOWN, TRI_NONE_INDEX, NULL};
    }
    if ((at & IS_ENTRY) == 0) {
        return (struct tri_dedup_found){TRI_DEDUP_OPEN, at, NULL};
    }
    return (struct tri_dedup_found){TRI_DEDUP_CLOSED, TRI_NONE_INDEX,
                                    entry_at(dedup, at & ~IS_ENTRY)};
}

/* ---- owners and places ---- */

void tri_dedup_count_owners(struct tri_dedup *dedup, uint32_t *counts)
{
    assert(counts != NULL);
    dedup->owner_counts = counts;
}

static void owner_add(struct tri_dedup *dedup, uint32_t owner)
{
    if (owner != 0) {
        assert(owner <= TRI_DEDUP_OWNERS_MAX);
        assert(dedup->owner_counts != NULL);
        dedup->owner_counts[owner]++;
    }
}

static void owner_remove(struct tri_dedup *dedup, uint32_t owner)
{
    if (owner != 0) {
        assert(dedup->owner_counts[owner] > 0);
        dedup->owner_counts[owner]--;
    }
}

static bool places_are_left(const struct tri_dedup *dedup, struct tri_dedup_hold hold)
{
    assert(hold.places == 1 || hold.places == 2);
    return dedup->entries_max - dedup->count >= hold.places;
}

static uint32_t place_take(struct tri_dedup *dedup)
{
    uint32_t slot = dedup->free_head;

    if (slot != TRI_NONE_INDEX) {
        dedup->free_head = entry_at(dedup, slot)->next;
    } else {
        assert(dedup->fresh < dedup->entries_max); /* it was set aside */
        slot = dedup->fresh++;
    }
    return slot;
}

static void place_give(struct tri_dedup *dedup, uint32_t slot)
{
    assert(dedup->count > 0);
    entry_at(dedup, slot)->is_dead = 1;
    entry_at(dedup, slot)->next = dedup->free_head;
    dedup->free_head = slot;
    dedup->count--;
}

/* ---- the order of expiry ---- */

/* Puts an entry into the list that its expiry belongs to; one that is over already into the list of
 * the hand's own second, which is looked at first. */
static void list_put(struct tri_dedup *dedup, struct tri_dedup_entry *entry, uint32_t slot)
{
    uint32_t hand = dedup->hand;
    uint32_t at_s = entry->expires_s > hand ? entry->expires_s : hand;
    uint32_t *head = &dedup->seconds[at_s % SECONDS];

    if (at_s - hand >= SECONDS) {
        uint32_t run = at_s >> SECONDS_BITS;
        uint32_t last = (hand >> SECONDS_BITS) + RUNS - 1;

        head = &dedup->runs[(run < last ? run : last) % RUNS];
    }
    entry->next = *head;
    *head = slot;
}

/* Fetches the next list that may hold something to do; false if there is none before the next
 * second. */
static bool list_advance(struct tri_dedup *dedup, uint32_t now_s)
{
    uint32_t *head = &dedup->seconds[dedup->hand % SECONDS];

    assert(dedup->due == TRI_NONE_INDEX);
    if (*head == TRI_NONE_INDEX) {
        if (dedup->hand >= now_s) {
            return false;
        }
        if (dedup->listed == 0) {
            dedup->hand = now_s;
            return false;
        }
        dedup->hand++;
        if (dedup->hand % SECONDS != 0) {
            return true;
        }
        head = &dedup->runs[(dedup->hand >> SECONDS_BITS) % RUNS];
    }
    dedup->due = *head;
    *head = TRI_NONE_INDEX;
    return true;
}

/* The next second at which a list is to be looked at: its own, or the beginning of its run.  The
 * beginning of the next run is said without a look at the runs behind it. */
static uint32_t list_next_s(const struct tri_dedup *dedup)
{
    uint32_t left_s = SECONDS - dedup->hand % SECONDS; /* to the beginning of the next run */

    if (dedup->listed == 0) {
        return TRI_DEDUP_NEVER_S;
    }
    for (uint32_t i = 1; i < SECONDS; i++) {
        uint32_t run = (dedup->hand + i) >> SECONDS_BITS;

        if (dedup->seconds[(dedup->hand + i) % SECONDS] != TRI_NONE_INDEX ||
            (i == left_s && dedup->runs[run % RUNS] != TRI_NONE_INDEX)) {
            return dedup->hand + i;
        }
    }
    return dedup->hand + left_s;
}

/* ---- messages ---- */

/* The entry of a message whose bucket names it from now on and whose places are set aside. */
static struct tri_dedup_entry *entry_make(struct tri_dedup *dedup, struct bucket *bucket,
                                          struct tri_key key, struct tri_dedup_hold hold,
                                          uint32_t now_s, uint32_t expires_s)
{
    uint32_t slot = place_take(dedup);
    struct tri_dedup_entry *entry = entry_at(dedup, slot);

    memset(entry, 0, sizeof(*entry));
    entry->key[0] = (uint32_t)key.lo;
    entry->key[1] = (uint32_t)key.hi;
    entry->key[2] = (uint32_t)(key.hi >> 32);
    entry->expires_s = expires_s;
    entry->owner = hold.owner & TRI_DEDUP_OWNERS_MAX;
    if (hold.places == 2) {
        entry->is_wide = 1;
        entry->wide = place_take(dedup);
        entry_at(dedup, entry->wide)->is_dead = 1;
    }
    bucket->at = IS_ENTRY | slot;
    if (dedup->listed == 0 && dedup->hand < now_s) {
        dedup->hand = now_s;
    }
    list_put(dedup, entry, slot);
    dedup->listed++;
    if (expires_s < dedup->next_s) {
        dedup->next_s = expires_s;
    }
    return entry;
}

enum tri_result tri_dedup_open(struct tri_dedup *dedup, struct tri_key key, uint32_t round,
                               struct tri_dedup_hold hold)
{
    struct bucket *bucket;

    assert(round < TRI_DEDUP_ROUNDS_MAX);
    if (!places_are_left(dedup, hold)) {
        return TRI_FULL;
    }
    bucket = index_find(dedup, key);
    assert(bucket->at == TRI_NONE_INDEX);
    bucket->tag = (uint32_t)key.lo;
    bucket->at = round;
    dedup->count += hold.places;
    owner_add(dedup, hold.owner);
    return TRI_OK;
}

struct tri_dedup_entry *tri_dedup_close(struct tri_dedup *dedup, struct tri_key key,
                                        struct tri_dedup_hold hold, uint32_t now_s,
                                        uint32_t expires_s)
{
    struct bucket *bucket = index_find(dedup, key);

    assert(bucket->at < TRI_DEDUP_ROUNDS_MAX); /* it is open */
    return entry_make(dedup, bucket, key, hold, now_s, expires_s);
}

void tri_dedup_drop(struct tri_dedup *dedup, struct tri_key key, struct tri_dedup_hold hold)
{
    const struct bucket *bucket = index_find(dedup, key);

    assert(bucket->at < TRI_DEDUP_ROUNDS_MAX);
    assert(dedup->count >= hold.places);
    index_remove(dedup, bucket->tag, bucket->at);
    dedup->count -= hold.places;
    owner_remove(dedup, hold.owner);
}

struct tri_dedup_entry *tri_dedup_remember(struct tri_dedup *dedup, struct tri_key key,
                                           struct tri_dedup_hold hold, uint32_t now_s,
                                           uint32_t expires_s)
{
    struct bucket *bucket;

    if (!places_are_left(dedup, hold)) {
        return NULL;
    }
    bucket = index_find(dedup, key);
    assert(bucket->at == TRI_NONE_INDEX);
    bucket->tag = (uint32_t)key.lo;
    dedup->count += hold.places;
    owner_add(dedup, hold.owner);
    return entry_make(dedup, bucket, key, hold, now_s, expires_s);
}

void tri_dedup_store(struct tri_dedup *dedup, struct tri_dedup_entry *entry,
                     const uint64_t masks[2])
{
    if (entry->is_wide) {
        memcpy(entry_at(dedup, entry->wide), masks, 2 * sizeof(masks[0]));
        return;
    }
    assert(masks[0] >> TRI_DEDUP_NARROW_TARGETS == 0);
    assert(masks[1] >> TRI_DEDUP_NARROW_TARGETS == 0);
    entry->masks[0] = (uint16_t)masks[0];
    entry->masks[1] = (uint16_t)masks[1];
}

void tri_dedup_load(const struct tri_dedup *dedup, const struct tri_dedup_entry *entry,
                    uint64_t masks[2])
{
    if (entry->is_wide) {
        memcpy(masks, entry_at(dedup, entry->wide), 2 * sizeof(masks[0]));
        return;
    }
    masks[0] = entry->masks[0];
    masks[1] = entry->masks[1];
}

void tri_dedup_forget(struct tri_dedup *dedup, struct tri_dedup_entry *entry)
{
    assert(entry->is_dead == 0);
    index_remove(dedup, entry->key[0], IS_ENTRY | (uint32_t)(entry - dedup->entries));
    owner_remove(dedup, entry->owner);
    entry->is_dead = 1;
}

/* Looks at up to `count` entries of the due list; those that are over are forgotten, the others
 * come into the list of their second. */
static uint32_t sweep_batch(struct tri_dedup *dedup, uint32_t count)
{
    uint32_t over[BATCH];
    uint32_t over_count = 0;
    uint32_t looked = 0;

    assert(count <= BATCH);
    for (; looked < count && dedup->due != TRI_NONE_INDEX; looked++) {
        uint32_t slot = dedup->due;
        struct tri_dedup_entry *entry = entry_at(dedup, slot);

        dedup->due = entry->next;
        if (entry->expires_s > dedup->hand) {
            list_put(dedup, entry, slot);
            continue;
        }
        __builtin_prefetch(&dedup->buckets[index_home(dedup, entry->key[0])], 1);
        over[over_count++] = slot;
    }
    for (uint32_t i = 0; i < over_count; i++) {
        const struct tri_dedup_entry *entry = entry_at(dedup, over[i]);

        if (entry->is_dead == 0) {
            index_remove(dedup, entry->key[0], IS_ENTRY | over[i]);
            owner_remove(dedup, entry->owner);
        }
        if (entry->is_wide) {
            place_give(dedup, entry->wide);
        }
        place_give(dedup, over[i]);
        dedup->listed--;
    }
    return looked;
}

bool tri_dedup_sweep(struct tri_dedup *dedup, uint32_t now_s, uint32_t work_max)
{
    uint32_t work = 0;

    while (work < work_max) {
        uint32_t left = work_max - work;

        if (dedup->due != TRI_NONE_INDEX) {
            work += sweep_batch(dedup, left < BATCH ? left : BATCH);
        } else if (list_advance(dedup, now_s)) {
            work++;
        } else {
            dedup->next_s = list_next_s(dedup);
            return false;
        }
    }
    return true;
}

uint32_t tri_dedup_next_s(const struct tri_dedup *dedup)
{
    return dedup->next_s;
}

const struct tri_dedup_entry *tri_dedup_walk(const struct tri_dedup *dedup, uint32_t *place,
                                             uint32_t *budget)
{
    while (*place<dedup->fresh && * budget> 0) {
        const struct tri_dedup_entry *entry = entry_at(dedup, *place);

        ++*place;
        --*budget;
        if (entry->is_dead == 0) {
            return entry;
        }
    }
    return NULL;
}

struct tri_key tri_dedup_key(const struct tri_dedup_entry *entry)
{
    return (struct tri_key){entry->key[0], (uint64_t)entry->key[2] << 32 | entry->key[1]};
}

uint32_t tri_dedup_count(const struct tri_dedup *dedup)
{
    return dedup->count;
}
