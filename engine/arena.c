/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each class is an array of slots.  Free slots form a stack: those given back
 * are linked through their own first bytes, those never taken yet are simply
 * the ones from `fresh` on, so that init does not touch them.  One bit per slot
 * says that it is taken; it exists to catch a slot that is given back twice.
 *
 *   header | bits of class 0, 1, ... | (64) slots of class 0 | (64) class 1 | ...
 */
#include "engine/arena.h"

#include <string.h>

#define SLOT_MASK       ((UINT32_C(1) << TRI_ARENA_CLASS_SHIFT) - 1)
#define SLOT_ALIGN      8U
#define CLASS_BYTES_MAX (UINT32_C(1) << 24)

static_assert(TRI_ARENA_SLOTS_MAX <= SLOT_MASK, "a slot index must fit below the class");
static_assert(TRI_ARENA_CLASSES_MAX <= UINT32_MAX >> TRI_ARENA_CLASS_SHIFT,
              "a class must fit above the slot, and no handle be TRI_NONE_INDEX");

struct arena_class {
    unsigned char *slots;
    uint64_t *taken; /* a bit per slot */
    uint32_t slot_bytes;
    uint32_t slot_count;
    uint32_t free_count;
    uint32_t free_head; /* of the slots given back */
    uint32_t fresh;     /* slots from here on were never taken */
};

struct tri_arena {
    uint32_t class_count;
    struct arena_class classes[TRI_ARENA_CLASSES_MAX];
};

static size_t round_up(size_t bytes)
{
    return (bytes + TRI_CACHE_LINE - 1) / TRI_CACHE_LINE * TRI_CACHE_LINE;
}

static size_t taken_bytes(uint32_t slot_count)
{
    return ((size_t)slot_count + 63) / 64 * sizeof(uint64_t);
}

static bool options_are_valid(const struct tri_arena_options *options)
{
    uint32_t bytes_before = 0;
    uint64_t slots = 0;
    uint32_t i;

    if (options->class_count < 1 || options->class_count > TRI_ARENA_CLASSES_MAX) {
        return false;
    }
    for (i = 0; i < options->class_count; i++) {
        uint32_t bytes = options->class_bytes[i];

        if (bytes <= bytes_before || bytes % SLOT_ALIGN != 0 || bytes > CLASS_BYTES_MAX) {
            return false;
        }
        if (options->class_slots[i] > TRI_ARENA_SLOTS_MAX) {
            return false;
        }
        bytes_before = bytes;
        slots += options->class_slots[i];
    }
    return slots > 0;
}

size_t tri_arena_footprint(const struct tri_arena_options *options)
{
    size_t bytes = sizeof(struct tri_arena);
    uint32_t i;

    assert(options != NULL);
    if (!options_are_valid(options)) {
        return 0;
    }
    for (i = 0; i < options->class_count; i++) {
        bytes += taken_bytes(options->class_slots[i]);
    }
    for (i = 0; i < options->class_count; i++) {
        bytes = round_up(bytes) + (size_t)options->class_slots[i] * options->class_bytes[i];
    }
    return round_up(bytes);
}

struct tri_arena *tri_arena_init(void *memory, const struct tri_arena_options *options)
{
    struct tri_arena *arena = memory;
    size_t offset = sizeof(*arena);
    uint32_t i;

    assert(memory != NULL);
    assert((uintptr_t)memory % TRI_CACHE_LINE == 0);
    assert(options_are_valid(options));

    memset(arena, 0, sizeof(*arena));
    arena->class_count = options->class_count;
    for (i = 0; i < options->class_count; i++) {
        struct arena_class *class = &arena->classes[i];

        class->slot_bytes = options->class_bytes[i];
        class->slot_count = options->class_slots[i];
        class->free_count = class->slot_count;
        class->free_head = TRI_NONE_INDEX;
        class->taken = (uint64_t *)(void *)((unsigned char *)memory + offset);
        memset(class->taken, 0, taken_bytes(class->slot_count));
        offset += taken_bytes(class->slot_count);
    }
    for (i = 0; i < options->class_count; i++) {
        struct arena_class *class = &arena->classes[i];

        offset = round_up(offset);
        class->slots = (unsigned char *)memory + offset;
        offset += (size_t) class->slot_count * class->slot_bytes;
    }
    assert(round_up(offset) == tri_arena_footprint(options));
    return arena;
}

static unsigned char *slot_at(const struct arena_class *class, uint32_t slot)
{
    assert(slot < class->slot_count);
    return class->slots + (size_t)slot * class->slot_bytes;
}

static bool slot_is_taken(const struct arena_class *class, uint32_t slot)
{
    return (class->taken[slot / 64] >> (slot % 64) & 1) != 0;
}

enum tri_result tri_arena_take(struct tri_arena *arena, uint32_t bytes, uint32_t *handle)
{
    uint32_t i;

    assert(handle != NULL);
    for (i = 0; i < arena->class_count; i++) {
        struct arena_class *class = &arena->classes[i];
        uint32_t slot;

        if (class->slot_bytes < bytes || class->free_count == 0) {
            continue;
        }
        slot = class->free_head;
        if (slot != TRI_NONE_INDEX) {
            memcpy(&class->free_head, slot_at(class, slot), sizeof(class->free_head));
        } else {
            slot = class->fresh++;
        }
        assert(slot < class->slot_count);
        assert(!slot_is_taken(class, slot));
        class->taken[slot / 64] |= UINT64_C(1) << (slot % 64);
        class->free_count--;
        *handle = i << TRI_ARENA_CLASS_SHIFT | slot;
        return TRI_OK;
    }
    return TRI_FULL;
}

void tri_arena_give(struct tri_arena *arena, uint32_t handle)
{
    uint32_t slot = handle & SLOT_MASK;
    struct arena_class *class;

    assert(tri_arena_class(handle) < arena->class_count);
    class = &arena->classes[tri_arena_class(handle)];
    assert(slot < class->slot_count);
    assert(slot_is_taken(class, slot));

    class->taken[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    memcpy(slot_at(class, slot), &class->free_head, sizeof(class->free_head));
    class->free_head = slot;
    class->free_count++;
}

void *tri_arena_at(const struct tri_arena *arena, uint32_t handle)
{
    const struct arena_class *class;

    assert(tri_arena_class(handle) < arena->class_count);
    class = &arena->classes[tri_arena_class(handle)];
    assert((handle & SLOT_MASK) < class->fresh);
    return slot_at(class, handle & SLOT_MASK);
}

uint32_t tri_arena_class_bytes(const struct tri_arena *arena, uint32_t class_index)
{
    assert(class_index < arena->class_count);
    return arena->classes[class_index].slot_bytes;
}

uint32_t tri_arena_free_count(const struct tri_arena *arena, uint32_t class_index)
{
    assert(class_index < arena->class_count);
    return arena->classes[class_index].free_count;
}
