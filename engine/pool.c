/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beside the slots stand their links in the stack of free slots.  Slots from
 * `fresh` on were never taken and are not linked; init does not touch them.
 *
 * Two levels of bits find the taken slots: a bit per slot, and a bit per word of
 * those that is not zero.
 *
 *   header | words | summary | link of each slot | (64) slots
 */
#include "engine/pool.h"

#include <string.h>

#define SLOT_ALIGN     8U
#define SLOT_BYTES_MAX (UINT32_C(1) << 20)

struct tri_pool {
    unsigned char *slots;
    uint64_t *words;
    uint64_t *summary;
    uint32_t *links; /* the free slot below in the stack */
    uint32_t slot_bytes;
    uint32_t slots_max;
    uint32_t count;
    uint32_t free_head;
    uint32_t fresh;
};

static_assert(sizeof(struct tri_pool) % sizeof(uint64_t) == 0, "what follows must be aligned");

static size_t round_up(size_t bytes)
{
    return (bytes + TRI_CACHE_LINE - 1) / TRI_CACHE_LINE * TRI_CACHE_LINE;
}

static size_t word_count(size_t bits)
{
    return (bits + 63) / 64;
}

/* The offset of slot 0. */
static size_t slots_offset(uint32_t slots_max)
{
    size_t words = word_count(slots_max);

    return round_up(sizeof(struct tri_pool) + (words + word_count(words)) * sizeof(uint64_t) +
                    slots_max * sizeof(uint32_t));
}

size_t tri_pool_footprint(uint32_t slot_bytes, uint32_t slots_max)
{
    if (slot_bytes < SLOT_ALIGN || slot_bytes > SLOT_BYTES_MAX || slot_bytes % SLOT_ALIGN != 0) {
        return 0;
    }
    if (slots_max < 1 || slots_max > TRI_POOL_SLOTS_MAX) {
        return 0;
    }
    return round_up(slots_offset(slots_max) + (size_t)slots_max * slot_bytes);
}

struct tri_pool *tri_pool_init(void *memory, uint32_t slot_bytes, uint32_t slots_max)
{
    struct tri_pool *pool = memory;
    size_t words = word_count(slots_max);

    assert(memory != NULL);
    assert((uintptr_t)memory % TRI_CACHE_LINE == 0);
    assert(tri_pool_footprint(slot_bytes, slots_max) != 0);

    memset(memory, 0, slots_offset(slots_max));
    pool->words = (uint64_t *)(void *)(pool + 1);
    pool->summary = pool->words + words;
    pool->links = (uint32_t *)(void *)(pool->summary + word_count(words));
    pool->slots = (unsigned char *)memory + slots_offset(slots_max);
    pool->slot_bytes = slot_bytes;
    pool->slots_max = slots_max;
    pool->free_head = TRI_NONE_INDEX;
    assert((unsigned char *)(pool->links + slots_max) <= pool->slots);
    return pool;
}

static bool slot_is_taken(const struct tri_pool *pool, uint32_t index)
{
    return (pool->words[index / 64] >> (index % 64) & 1) != 0;
}

enum tri_result tri_pool_take(struct tri_pool *pool, uint32_t *index)
{
    uint32_t slot = pool->free_head;
    uint32_t word;

    assert(index != NULL);
    if (slot != TRI_NONE_INDEX) {
        pool->free_head = pool->links[slot];
    } else if (pool->fresh < pool->slots_max) {
        slot = pool->fresh++;
    } else {
        return TRI_FULL;
    }
    assert(slot < pool->slots_max);
    assert(!slot_is_taken(pool, slot));

    word = slot / 64;
    pool->words[word] |= UINT64_C(1) << (slot % 64);
    pool->summary[word / 64] |= UINT64_C(1) << (word % 64);
    pool->count++;
    memset(pool->slots + (size_t)slot * pool->slot_bytes, 0, pool->slot_bytes);
    *index = slot;
    return TRI_OK;
}

void tri_pool_give(struct tri_pool *pool, uint32_t index)
{
    uint32_t word = index / 64;

    assert(index < pool->slots_max);
    assert(slot_is_taken(pool, index));
    assert(pool->count > 0);

    pool->links[index] = pool->free_head;
    pool->free_head = index;
    pool->words[word] &= ~(UINT64_C(1) << (index % 64));
    if (pool->words[word] == 0) {
        pool->summary[word / 64] &= ~(UINT64_C(1) << (word % 64));
    }
    pool->count--;
}

/* The index of the first set bit at or after `from`, below bit_count words * 64; else
 * TRI_NONE_INDEX. */
static uint32_t bits_next(const uint64_t *words, size_t words_max, uint32_t from)
{
    size_t word = from / 64;
    uint64_t bits;

    if (word >= words_max) {
        return TRI_NONE_INDEX;
    }
    bits = words[word] & UINT64_MAX << (from % 64);
    while (bits == 0) {
        word++;
        if (word >= words_max) {
            return TRI_NONE_INDEX;
        }
        bits = words[word];
    }
    return (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(bits);
}

uint32_t tri_pool_next(const struct tri_pool *pool, uint32_t from)
{
    size_t words = word_count(pool->slots_max);
    uint32_t word = from / 64;
    uint64_t bits;

    if (from >= pool->slots_max) {
        return TRI_NONE_INDEX;
    }
    bits = pool->words[word] & UINT64_MAX << (from % 64);
    if (bits == 0) {
        word = bits_next(pool->summary, word_count(words), word + 1);
        if (word == TRI_NONE_INDEX) {
            return TRI_NONE_INDEX;
        }
        bits = pool->words[word];
        assert(bits != 0);
    }
    return word * 64 + (uint32_t)__builtin_ctzll(bits);
}

void *tri_pool_base(const struct tri_pool *pool)
{
    return pool->slots;
}

uint32_t tri_pool_count(const struct tri_pool *pool)
{
    return pool->count;
}
