/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where messages are kept.
 *
 * Entries are places in one array; a place given back is used again before a
 * fresh one, so that a table far larger than its load touches little memory.
 * An open-addressed table of twice as many slots leads from the key to the
 * place.  A slot is one word, half of the key's low word and the place plus
 * one: probing and removing (by shifting back) read no entry but the one that
 * is meant.  The key is a keyed hash, so its bits need no further mixing.
 */
#include "engine/participant.h"

#include <assert.h>
#include <string.h>

#define ENTRIES_MAX      (UINT32_C(1) << 26)
#define WINDOW_MS_MAX    (UINT64_C(1) << 36) /* two years */
#define SEARCH_WORDS_MAX 256U                /* bitmap words looked at in one step */

static_assert(sizeof(size_t) == 8, "the largest table has more than 4 GiB");

struct layout {
    size_t slots;
    size_t entries;
    size_t rares;
    size_t reserved;
    size_t deadlines;
    size_t bytes;
};

static bool options_are_valid(const struct tri_participant_options *options)
{
    return options->entries_max >= 1 && options->entries_max <= ENTRIES_MAX &&
           options->instance >= 1 && options->dedup_window_ms <= WINDOW_MS_MAX;
}

static size_t line_up(size_t bytes)
{
    return (bytes + TRI_CACHE_LINE - 1) / TRI_CACHE_LINE * TRI_CACHE_LINE;
}

/* A power of two, at least twice the entries: a probe is short and always meets an empty slot. */
static uint32_t slot_count(uint32_t entries_max)
{
    uint32_t slots = 2;

    while (slots < 2 * entries_max) {
        slots *= 2;
    }
    return slots;
}

static size_t bitmap_words(uint32_t entries_max)
{
    return ((size_t)entries_max + 63) / 64;
}

static struct layout layout_of(const struct tri_participant_options *options)
{
    size_t entries = options->entries_max;
    struct layout layout;

    layout.slots = line_up(sizeof(struct tri_participant));
    layout.entries = layout.slots + line_up(slot_count(options->entries_max) * sizeof(uint64_t));
    layout.rares = layout.entries + entries * sizeof(struct tri_participant_entry);
    layout.reserved = layout.rares + line_up(entries * sizeof(struct tri_participant_rare));
    layout.deadlines = layout.reserved + line_up(bitmap_words(options->entries_max) * 8);
    layout.bytes = layout.deadlines + line_up(tri_deadlines_footprint());
    return layout;
}

size_t tri_participant_footprint(const struct tri_participant_options *options)
{
    assert(options != NULL);
    return options_are_valid(options) ? layout_of(options).bytes : 0;
}

struct tri_participant *tri_participant_init(void *memory,
                                             const struct tri_participant_options *options)
{
    struct tri_participant *participant = memory;
    unsigned char *base = memory;
    struct layout layout = layout_of(options);

    assert(memory != NULL);
    assert((uintptr_t)memory % TRI_CACHE_LINE == 0);
    assert(options_are_valid(options));
    memset(participant, 0, sizeof(*participant));
    participant->options = *options;
    participant->dedup_window_ns = options->dedup_window_ms * TRI_NS_PER_MS;
    participant->slots = (void *)(base + layout.slots);
    participant->entries = (void *)(base + layout.entries);
    participant->rares = (void *)(base + layout.rares);
    participant->reserved = (void *)(base + layout.reserved);
    participant->slot_mask = slot_count(options->entries_max) - 1;
    participant->free = TRI_PARTICIPANT_NOBODY;
    participant->ask = TRI_PARTICIPANT_NOBODY;
    participant->resume = TRI_PARTICIPANT_NOBODY;
    memset(participant->slots, 0, slot_count(options->entries_max) * sizeof(uint64_t));
    memset(participant->reserved, 0, bitmap_words(options->entries_max) * 8);
    participant->deadlines =
        tri_deadlines_init(base + layout.deadlines,
                           base + layout.entries + offsetof(struct tri_participant_entry, timer),
                           sizeof(struct tri_participant_entry), 0);
    return participant;
}

static uint64_t slot_word(struct tri_key key, uint32_t index)
{
    return key.lo << 32 | (index + 1);
}

static uint32_t slot_home(const struct tri_participant *participant, uint64_t word)
{
    return (uint32_t)(word >> 32) & participant->slot_mask;
}

void tri_participant_prefetch(const struct tri_participant *participant, struct tri_key key)
{
    assert(participant != NULL);
    __builtin_prefetch(&participant->slots[(uint32_t)key.lo & participant->slot_mask]);
}

uint32_t tri_participant_prefetch_entry(const struct tri_participant *participant,
                                        struct tri_key key)
{
    uint64_t word = participant->slots[(uint32_t)key.lo & participant->slot_mask];
    uint32_t index = (uint32_t)word - 1;

    if (word == 0) {
        return UINT32_MAX;
    }
    for (size_t at = 0; at < sizeof(struct tri_participant_entry); at += TRI_CACHE_LINE) {
        __builtin_prefetch((const uint8_t *)&participant->entries[index] + at);
    }
    return index;
}

uint32_t tri_participant_find(const struct tri_participant *participant, struct tri_key key)
{
    uint32_t at = (uint32_t)key.lo & participant->slot_mask;
    uint64_t word;

    for (; (word = participant->slots[at]) != 0; at = (at + 1) & participant->slot_mask) {
        uint32_t index = (uint32_t)word - 1;

        if (word >> 32 == (uint32_t)key.lo && participant->entries[index].key.lo == key.lo &&
            participant->entries[index].key.hi == key.hi) {
            return index;
        }
    }
    return TRI_PARTICIPANT_NOBODY;
}

/* The slot that holds exactly `word`, or, for 0, the first empty one from `at` on. */
static uint32_t slot_of(const struct tri_participant *participant, uint32_t at, uint64_t word)
{
    while (participant->slots[at] != word) {
        assert(participant->slots[at] != 0);
        at = (at + 1) & participant->slot_mask;
    }
    return at;
}

uint32_t tri_participant_take(struct tri_participant *participant, struct tri_key key)
{
    uint32_t index = participant->free;
    uint32_t generation = 0;
    struct tri_participant_entry *entry;

    if (index != TRI_PARTICIPANT_NOBODY) {
        generation = participant->entries[index].generation;
        participant->free = participant->entries[index].next_free;
    } else if (participant->used < participant->options.entries_max) {
        index = participant->used++;
    } else {
        return TRI_PARTICIPANT_NOBODY;
    }
    entry = &participant->entries[index];
    memset(entry, 0, offsetof(struct tri_participant_entry, id));
    entry->key = key;
    entry->generation = generation + 1;
    entry->flags = TRI_PARTICIPANT_USED;
    participant->slots[slot_of(participant, (uint32_t)key.lo & participant->slot_mask, 0)] =
        slot_word(key, index);
    participant->count++;
    assert(participant->count <= participant->options.entries_max);
    return index;
}

void tri_participant_drop(struct tri_participant *participant, uint32_t index)
{
    struct tri_participant_entry *entry = &participant->entries[index];
    uint64_t *slots = participant->slots;
    uint32_t mask = participant->slot_mask;
    uint32_t hole;

    assert(index < participant->used);
    assert(!tri_deadlines_is_armed(participant->deadlines, index));
    assert(entry->state != TRI_PARTICIPANT_RESERVED);
    hole = slot_of(participant, (uint32_t)entry->key.lo & mask, slot_word(entry->key, index));
    for (uint32_t at = (hole + 1) & mask; slots[at] != 0; at = (at + 1) & mask) {
        /* Shift back what the hole would cut off from its home. */
        if (((at - slot_home(participant, slots[at])) & mask) >= ((at - hole) & mask)) {
            slots[hole] = slots[at];
            hole = at;
        }
    }
    slots[hole] = 0;
    entry->flags &= (uint8_t)~TRI_PARTICIPANT_USED; /* else it stays: its record may be written */
    entry->next_free = participant->free;
    participant->free = index;
    assert(participant->count > 0);
    participant->count--;
}

struct tri_participant_rare *tri_participant_rare(struct tri_participant *participant,
                                                  uint32_t index)
{
    struct tri_participant_entry *entry = &participant->entries[index];

    assert(index < participant->used);
    if ((entry->flags & TRI_PARTICIPANT_RARE) == 0) {
        memset(&participant->rares[index], 0, sizeof(participant->rares[index]));
        entry->flags |= TRI_PARTICIPANT_RARE;
    }
    return &participant->rares[index];
}

bool tri_participant_next_reserved(const struct tri_participant *participant, uint32_t from,
                                   uint32_t *found, uint32_t *next)
{
    uint32_t words = (uint32_t)bitmap_words(participant->used);
    uint32_t word = from / 64;

    for (uint32_t i = 0; word < words && i < SEARCH_WORDS_MAX; i++, word++) {
        uint64_t bits = participant->reserved[word];

        if (word == from / 64) {
            bits &= UINT64_MAX << (from % 64);
        }
        if (bits != 0) {
            *found = word * 64;
            while ((bits & 1) == 0) {
                bits >>= 1;
                (*found)++;
            }
            *next = *found + 1;
            return true;
        }
    }
    *next = word < words ? word * 64 : TRI_PARTICIPANT_NOBODY;
    return false;
}
