/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes: their memory, their slots by key, and what they hold of the bodies. */
#include "engine/engine.h"

/* Envelopes that one submit forgets: more than it adds, and not so many that others wait. */
#define FORGET_MAX 256U

/* ---- memory ---- */

static uint32_t bucket_count_of(uint32_t slots)
{
    uint32_t count = 1;

    while (count < slots) {
        count *= 2;
    }
    return count;
}

static uint32_t slots_of(const struct tri_engine_options *options)
{
    return options->envelopes_max + options->envelopes_slack;
}

static size_t rounded(size_t bytes)
{
    return (bytes + TRI_CACHE_LINE - 1) / TRI_CACHE_LINE * TRI_CACHE_LINE;
}

size_t tri_envelopes_footprint(const struct tri_engine_options *options)
{
    if (options->envelopes_max == 0) {
        return 0;
    }
    return rounded(
               tri_pool_footprint((uint32_t)sizeof(struct tri_envelope_slot), slots_of(options))) +
           rounded(bucket_count_of(slots_of(options)) * sizeof(uint32_t)) +
           rounded(slots_of(options) * sizeof(uint32_t)) +
           rounded((options->submitters_max + 1) * sizeof(uint32_t));
}

void tri_envelopes_init(struct tri_envelopes *envelopes, void *memory,
                        const struct tri_engine_options *options)
{
    uint32_t slot_bytes = (uint32_t)sizeof(struct tri_envelope_slot);
    uint8_t *at = memory;
    uint64_t window_ms = 0;

    *envelopes = (struct tri_envelopes){0};
    for (uint32_t i = 0; i < TRI_ENVELOPE_AGAIN_LISTS; i++) {
        envelopes->again[i].first = envelopes->again[i].last = TRI_NONE_INDEX;
    }
    if (options->envelopes_max == 0) {
        return;
    }
    envelopes->pool = tri_pool_init(at, slot_bytes, slots_of(options));
    envelopes->at = tri_pool_base(envelopes->pool);
    at += rounded(tri_pool_footprint(slot_bytes, slots_of(options)));
    envelopes->bucket_count = bucket_count_of(slots_of(options));
    envelopes->buckets = (uint32_t *)(void *)at;
    memset(envelopes->buckets, 0xff, envelopes->bucket_count * sizeof(uint32_t));
    at += rounded(envelopes->bucket_count * sizeof(uint32_t));
    envelopes->ended = (uint32_t *)(void *)at; /* up to ended_count it is written */
    at += rounded(slots_of(options) * sizeof(uint32_t));
    envelopes->held = (uint32_t *)(void *)at;
    memset(envelopes->held, 0, (options->submitters_max + 1) * sizeof(uint32_t));
    for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
        for (uint32_t subtype = 0; subtype < TRI_SUBTYPE_COUNT; subtype++) {
            uint64_t own_ms = options->policies[type][subtype].dedup_window_ms;

            window_ms = own_ms > window_ms ? own_ms : window_ms;
        }
    }
    envelopes->window_s = (uint32_t)(window_ms / 1000) + 1;
}

/* ---- slots ---- */

uint32_t tri_envelope_index(const struct tri_engine *engine, const struct tri_envelope_slot *slot)
{
    assert(slot >= engine->envelopes.at);
    return (uint32_t)(slot - engine->envelopes.at);
}

static uint32_t *bucket_of(struct tri_engine *engine, struct tri_key key)
{
    return &engine->envelopes.buckets[key.hi & (engine->envelopes.bucket_count - 1)];
}

bool tri_envelope_is_over(const struct tri_engine *engine, const struct tri_envelope_slot *slot)
{
    return !tri_envelope_is_open(slot) && slot->expires_s <= engine->now_ns / TRI_NS_PER_S;
}

void tri_envelope_hold(struct tri_engine *engine, struct tri_envelope_slot *slot, uint32_t body)
{
    slot->body = body;
    engine->envelopes.bodies[tri_arena_class(body)]++;
    engine->submitters[slot->submitter].envelope_bodies[tri_arena_class(body)]++;
}

void tri_envelope_unhold(struct tri_engine *engine, struct tri_envelope_slot *slot)
{
    uint32_t class = tri_arena_class(slot->body);

    assert(engine->envelopes.bodies[class] > 0);
    assert(engine->submitters[slot->submitter].envelope_bodies[class] > 0);
    engine->envelopes.bodies[class]--;
    engine->submitters[slot->submitter].envelope_bodies[class]--;
}

/* ---- the ended ones, by when they are forgotten: a heap ---- */

static bool ended_is_before(const struct tri_envelopes *envelopes, uint32_t place, uint32_t other)
{
    return envelopes->at[envelopes->ended[place]].expires_s <
           envelopes->at[envelopes->ended[other]].expires_s;
}

static void ended_put(struct tri_envelopes *envelopes, uint32_t place, uint32_t index)
{
    envelopes->ended[place] = index;
    envelopes->at[index].ended_at = place;
}

static void ended_swap(struct tri_envelopes *envelopes, uint32_t place, uint32_t other)
{
    uint32_t index = envelopes->ended[place];

    ended_put(envelopes, place, envelopes->ended[other]);
    ended_put(envelopes, other, index);
}

static void ended_rise(struct tri_envelopes *envelopes, uint32_t place)
{
    while (place > 0 && ended_is_before(envelopes, place, (place - 1) / 2)) {
        ended_swap(envelopes, place, (place - 1) / 2);
        place = (place - 1) / 2;
    }
}

static void ended_sink(struct tri_envelopes *envelopes, uint32_t place)
{
    for (;;) {
        uint32_t first = 2 * place + 1;

        if (first + 1 < envelopes->ended_count && ended_is_before(envelopes, first + 1, first)) {
            first++;
        }
        if (first >= envelopes->ended_count || !ended_is_before(envelopes, first, place)) {
            return;
        }
        ended_swap(envelopes, first, place);
        place = first;
    }
}

void tri_envelope_keep(struct tri_engine *engine, struct tri_envelope_slot *slot,
                       uint32_t expires_s)
{
    struct tri_envelopes *envelopes = &engine->envelopes;

    assert(!tri_envelope_is_open(slot));
    slot->expires_s = expires_s;
    ended_put(envelopes, envelopes->ended_count, tri_envelope_index(engine, slot));
    envelopes->ended_count++;
    ended_rise(envelopes, slot->ended_at);
}

static void envelope_unkeep(struct tri_engine *engine, const struct tri_envelope_slot *slot)
{
    struct tri_envelopes *envelopes = &engine->envelopes;
    uint32_t place = slot->ended_at;

    assert(place < envelopes->ended_count);
    assert(&envelopes->at[envelopes->ended[place]] == slot);
    envelopes->ended_count--;
    if (place < envelopes->ended_count) {
        ended_put(envelopes, place, envelopes->ended[envelopes->ended_count]);
        ended_rise(envelopes, place);
        ended_sink(envelopes, place);
    }
}

struct tri_envelope_slot *tri_envelope_first_over(const struct tri_engine *engine)
{
    const struct tri_envelopes *envelopes = &engine->envelopes;

    return envelopes->ended_count == 0 ? NULL : &envelopes->at[envelopes->ended[0]];
}

void tri_envelope_forget(struct tri_engine *engine)
{
    for (uint32_t i = 0; i < FORGET_MAX; i++) {
        struct tri_envelope_slot *slot = tri_envelope_first_over(engine);

        if (slot == NULL || !tri_envelope_is_over(engine, slot)) {
            return;
        }
        tri_envelope_give(engine, slot);
    }
}

/* ---- taken and given back ---- */

void tri_envelope_give(struct tri_engine *engine, struct tri_envelope_slot *slot)
{
    uint32_t index = tri_envelope_index(engine, slot);
    uint32_t *link = bucket_of(engine, slot->key);

    assert(slot->again == 0);
    while (*link != index) {
        assert(*link != TRI_NONE_INDEX);
        link = &engine->envelopes.at[*link].next;
    }
    *link = slot->next;
    if (tri_envelope_is_open(slot)) {
        tri_envelope_unhold(engine, slot);
        tri_arena_give(engine->bodies, slot->body);
    } else {
        envelope_unkeep(engine, slot);
    }
    assert(engine->envelopes.held[slot->submitter] > 0);
    engine->envelopes.held[slot->submitter]--;
    tri_pool_give(engine->envelopes.pool, index);
}

struct tri_envelope_slot *tri_envelope_find(struct tri_engine *engine, struct tri_key key)
{
    uint32_t index = TRI_NONE_INDEX;

    if (engine->envelopes.pool == NULL) {
        return NULL;
    }
    for (index = *bucket_of(engine, key); index != TRI_NONE_INDEX;
         index = engine->envelopes.at[index].next) {
        struct tri_envelope_slot *slot = &engine->envelopes.at[index];

        if (slot->key.lo == key.lo && slot->key.hi == key.hi) {
            return slot;
        }
    }
    return NULL;
}

bool tri_envelope_has_room(const struct tri_engine *engine)
{
    return engine->envelopes.pool != NULL &&
           tri_pool_count(engine->envelopes.pool) < engine->options.envelopes_max;
}

struct tri_envelope_slot *tri_envelope_take(struct tri_engine *engine, struct tri_key key,
                                            uint32_t submitter)
{
    struct tri_envelopes *envelopes = &engine->envelopes;
    struct tri_envelope_slot *slot;
    uint32_t index;

    if (envelopes->pool == NULL) {
        return NULL;
    }
    if (tri_pool_take(envelopes->pool, &index) != TRI_OK) {
        return NULL;
    }
    slot = &envelopes->at[index];
    slot->key = key;
    slot->submitter = (uint16_t)submitter;
    slot->again_next = TRI_NONE_INDEX;
    slot->client_oldest = 1;
    envelopes->generation =
        (envelopes->generation + 1) & ((UINT32_C(1) << TRI_ENVELOPE_GENERATION_BITS) - 1);
    slot->generation = envelopes->generation;
    slot->next = *bucket_of(engine, key);
    *bucket_of(engine, key) = index;
    envelopes->held[submitter]++;
    return slot;
}

struct tri_bytes tri_envelope_bytes(const struct tri_engine *engine,
                                    const struct tri_envelope_slot *slot, uint32_t position)
{
    const struct tri_envelope_delivery *delivery = &slot->deliveries[position];
    const uint8_t *body = tri_arena_at(engine->bodies, slot->body);

    assert(tri_envelope_is_open(slot));
    assert(position < slot->count);
    return (struct tri_bytes){.at = body + delivery->at, .bytes = delivery->bytes};
}

enum tri_result tri_engine_delivery(const struct tri_engine *engine, uint32_t slot,
                                    uint32_t generation, uint32_t position,
                                    struct tri_engine_delivery *asked)
{
    const struct tri_envelope_slot *envelope;

    assert(slot < slots_of(&engine->options));
    envelope = &engine->envelopes.at[slot];
    if (envelope->generation != generation || !tri_envelope_is_open(envelope) ||
        position >= envelope->begun) {
        return TRI_GONE;
    }
    asked->delivery.canonical = tri_envelope_bytes(engine, envelope, position);
    asked->delivery.id = (struct tri_text){.at = envelope->deliveries[position].id,
                                           .bytes = envelope->deliveries[position].id_bytes};
    memcpy(asked->clients, envelope->clients, sizeof(asked->clients));
    asked->submitter = envelope->submitter;
    return TRI_OK;
}
