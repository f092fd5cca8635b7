/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring: a bounded queue of pointers from one thread to one other.
 *
 * A thin wrapper over ck_ring in its single-producer, single-consumer form;
 * the only file that knows ck.  Indices run freely through the whole unsigned
 * range and are compared by difference, so a ring may start anywhere and tests
 * start it just below the wrap-around.
 *
 * ck moves its indices with assembly that the thread sanitizer cannot see.
 * Under the sanitizer ck's functions are therefore left out of its sight as a
 * whole, and the order that they establish is told to it: what the producer
 * did before tri_ring_push() happens before what the consumer does after
 * tri_ring_pop() of the same pointer.
 *
 * Threads: one producer thread, one consumer thread; both wait-free.
 */
#ifndef TRI_SHARDS_RING_H
#define TRI_SHARDS_RING_H

#include <assert.h>
#include <ck_cc.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/limits.h"

#if defined(__SANITIZE_THREAD__)
#define TRI_RING_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TRI_RING_SANITIZED 1
#endif
#endif

#ifdef TRI_RING_SANITIZED
/* ck marks all its functions with these two: so they are all left out. */
#undef CK_CC_INLINE
#undef CK_CC_FORCE_INLINE
#define CK_CC_INLINE       __attribute__((unused, no_sanitize("thread"))) inline
#define CK_CC_FORCE_INLINE CK_CC_INLINE
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define TRI_RING_ACQUIRE(address) __tsan_acquire(address)
#define TRI_RING_RELEASE(address) __tsan_release(address)
#else
#define TRI_RING_ACQUIRE(address) ((void)(address))
#define TRI_RING_RELEASE(address) ((void)(address))
#endif

#include <ck_pr.h>
#include <ck_ring.h>

struct tri_ring {
    alignas(TRI_CACHE_LINE) struct ck_ring ck;
    struct ck_ring_buffer *slots; /* shares the line of the constant size and mask */
};

static_assert(offsetof(struct ck_ring, p_tail) == TRI_CACHE_LINE,
              "the producer's index must not share the consumer's cache line");
static_assert(offsetof(struct ck_ring, size) == (size_t)2 * TRI_CACHE_LINE,
              "the constants must not share a line with an index");

/*
 * tri_ring_init prepares an empty ring.
 *
 * slots       in; memory for `slot_count` slots, borrowed for the ring's life.
 * slot_count  a power of two >= 2; the ring holds one pointer less.
 * start       where both indices begin; any value.
 *
 * Call before a second thread knows the ring.
 */
static inline void tri_ring_init(struct tri_ring *ring, struct ck_ring_buffer *slots,
                                 unsigned int slot_count, unsigned int start)
{
    assert(slot_count >= 2);
    assert((slot_count & (slot_count - 1)) == 0);
    ck_ring_init(&ring->ck, slot_count);
    ring->ck.c_head = start;
    ring->ck.p_head = start;
    ring->ck.p_tail = start;
    ring->slots = slots;
}

/* tri_ring_push appends a pointer, not NULL; producer only.  False: the ring is full and unchanged.
 */
static inline bool tri_ring_push(struct tri_ring *ring, void *pointer)
{
    assert(pointer != NULL);
    TRI_RING_RELEASE(ring); /* pairs with the acquire in tri_ring_pop */
    return ck_ring_enqueue_spsc(&ring->ck, ring->slots, pointer);
}

/* tri_ring_pop takes the oldest pointer, NULL if there is none; consumer only. */
static inline void *tri_ring_pop(struct tri_ring *ring)
{
    void *pointer = NULL;

    if (!ck_ring_dequeue_spsc(&ring->ck, ring->slots, &pointer)) {
        return NULL;
    }
    TRI_RING_ACQUIRE(ring); /* pairs with the release in tri_ring_push */
    assert(pointer != NULL);
    return pointer;
}

/* tri_ring_is_empty may run on either side; what it says of the other side's work may be old. */
static inline bool tri_ring_is_empty(const struct tri_ring *ring)
{
    return ck_ring_size(&ring->ck) == 0;
}

/* tri_ring_count likewise: how many pointers are in it. */
static inline uint32_t tri_ring_count(const struct tri_ring *ring)
{
    return ck_ring_size(&ring->ck);
}

/* tri_ring_fence lets no later load pass an earlier store, rings included: between a push and a
 * look at a sleeper's flag, and between raising that flag and a last look at the rings. */
static inline void tri_ring_fence(void)
{
    ck_pr_fence_store_load();
}

/*
 * TRI_RING_TYPED gives a ring of pointers to one type: `struct name`, name_init, name_push,
 * name_pop, name_is_empty and name_count, with the contracts above.  Only the last two may stay
 * unused.
 */
#define TRI_RING_TYPED(name, type)                                                        \
    struct name {                                                                         \
        struct tri_ring ring;                                                             \
    };                                                                                    \
    static inline void name##_init(struct name *typed, struct ck_ring_buffer *slots,      \
                                   unsigned int slot_count, unsigned int start)           \
    {                                                                                     \
        tri_ring_init(&typed->ring, slots, slot_count, start);                            \
    }                                                                                     \
    static inline bool name##_push(struct name *typed, type *pointer)                     \
    {                                                                                     \
        return tri_ring_push(&typed->ring, pointer);                                      \
    }                                                                                     \
    static inline type *name##_pop(struct name *typed)                                    \
    {                                                                                     \
        return tri_ring_pop(&typed->ring);                                                \
    }                                                                                     \
    __attribute__((unused)) static inline bool name##_is_empty(const struct name *typed)  \
    {                                                                                     \
        return tri_ring_is_empty(&typed->ring);                                           \
    }                                                                                     \
    __attribute__((unused)) static inline uint32_t name##_count(const struct name *typed) \
    {                                                                                     \
        return tri_ring_count(&typed->ring);                                              \
    }                                                                                     \
    static_assert(sizeof(type *) == sizeof(void *), "a slot holds one pointer")

#endif
