/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/envelope.h"

#include "engine/engine.h"
#include "engine/wire.h"

/* Until a delivery that found no room is submitted again; twice as long each time, up to 8 s. */
#define AGAIN_NS (UINT64_C(250) * TRI_NS_PER_MS)
static_assert(AGAIN_NS << (TRI_ENVELOPE_AGAIN_LISTS - 1) == 8 * TRI_NS_PER_S, "the longest wait");

/* ---- effects ---- */

static uint64_t envelope_append(struct tri_engine *engine, struct tri_envelope_slot *slot,
                                enum tri_record kind)
{
    struct tri_effect *effect = tri_engine_effect(engine, TRI_EFFECT_APPEND, 0);

    engine->lsn++;
    effect->append.kind = kind;
    effect->append.slot = tri_envelope_index(engine, slot);
    effect->append.lsn = engine->lsn;
    effect->round = (struct tri_round_view){.key = slot->key};
    slot->lsn = engine->lsn;
    return engine->lsn;
}

static struct tri_effect *envelope_tell(struct tri_engine *engine, uint64_t client,
                                        enum tri_ack_type type, enum tri_error code,
                                        uint64_t after_lsn)
{
    struct tri_effect *effect = tri_engine_effect(engine, TRI_EFFECT_NOTIFY, after_lsn);

    effect->notify.kind = TRI_NOTIFY_ENVELOPE;
    effect->notify.client = client;
    effect->notify.ack_type = type;
    effect->notify.code = code;
    effect->notify.is_duplicate = false;
    effect->notify.has_targets = false;
    effect->notify.row_count = 0;
    effect->notify.rows = engine->envelopes.rows;
    effect->round = (struct tri_round_view){0};
    return effect;
}

/* The effect shows a slot, which stays, instead of what the event brought. */
static void envelope_show(struct tri_engine *engine, const struct tri_envelope_slot *slot,
                          struct tri_effect *effect)
{
    effect->round.key = slot->key;
    effect->round.hash = slot->hash;
    effect->round.id = (struct tri_text){.at = slot->id, .bytes = slot->id_bytes};
    effect->round.canonical = (struct tri_bytes){.at = (const uint8_t *)slot->id, .bytes = 0};
    if (tri_envelope_is_open(slot)) {
        return;
    }
    effect->notify.row_count = slot->count;
    for (uint32_t i = 0; i < slot->count; i++) {
        const struct tri_envelope_delivery *delivery = &slot->deliveries[i];

        engine->envelopes.rows[i] = (struct tri_envelope_row){
            .id = {.at = delivery->id, .bytes = delivery->id_bytes},
            .type = (enum tri_ack_type)delivery->ack_type,
            .code = (enum tri_error)delivery->code,
        };
    }
}

static void envelope_deliver(struct tri_engine *engine, const struct tri_envelope_slot *slot,
                             uint32_t position, uint32_t submitters)
{
    struct tri_effect *effect = tri_engine_effect(engine, TRI_EFFECT_DELIVER, slot->lsn);

    effect->deliver.slot = tri_envelope_index(engine, slot);
    effect->deliver.generation = slot->generation;
    effect->deliver.position = position;
    effect->deliver.submitters = submitters;
    effect->round = (struct tri_round_view){.key = slot->key};
}

static uint32_t clients_of(const struct tri_envelope_slot *slot)
{
    return (UINT32_C(1) << slot->client_count) - 1U;
}

static uint32_t everybody(const struct tri_envelope_slot *slot)
{
    return clients_of(slot) | TRI_DELIVER_OWN;
}

/* ---- the life of an envelope ---- */

void tri_envelope_again(struct tri_engine *engine, struct tri_envelope_slot *slot,
                        uint32_t deliveries, uint64_t at_ns)
{
    struct tri_envelopes *envelopes = &engine->envelopes;
    struct tri_envelope_list *list;
    uint32_t index = tri_envelope_index(engine, slot);

    assert(deliveries != 0);
    if (slot->again != 0) {
        slot->again |= (uint16_t)deliveries; /* with those that wait already */
        return;
    }
    slot->again = (uint16_t)deliveries;
    slot->again_ns = at_ns;
    slot->again_list = slot->refused;
    slot->again_next = TRI_NONE_INDEX;
    list = &envelopes->again[slot->again_list];
    if (list->last == TRI_NONE_INDEX) {
        list->first = index;
    } else {
        envelopes->at[list->last].again_next = index;
    }
    list->last = index;
}

/* The delivery found no room. */
static void envelope_wait(struct tri_engine *engine, struct tri_envelope_slot *slot,
                          uint32_t position)
{
    bool is_waiting = slot->again != 0;

    tri_envelope_again(engine, slot, UINT32_C(1) << position,
                       engine->now_ns + (AGAIN_NS << slot->refused));
    if (!is_waiting && slot->refused + 1U < TRI_ENVELOPE_AGAIN_LISTS) {
        slot->refused++;
    }
}

/* An envelope that has ended submits nothing again. */
static void envelope_unlist(struct tri_engine *engine, struct tri_envelope_slot *slot)
{
    struct tri_envelopes *envelopes = &engine->envelopes;
    struct tri_envelope_list *list = &envelopes->again[slot->again_list];
    uint32_t index = tri_envelope_index(engine, slot);
    uint32_t before = TRI_NONE_INDEX;

    for (uint32_t at = list->first; at != index; at = envelopes->at[at].again_next) {
        before = at;
    }
    if (before == TRI_NONE_INDEX) {
        list->first = slot->again_next;
    } else {
        envelopes->at[before].again_next = slot->again_next;
    }
    if (list->last == index) {
        list->last = before;
    }
    slot->again = 0;
}

/* The one that is due first, or NULL. */
static struct tri_envelope_slot *envelope_first_due(const struct tri_engine *engine)
{
    const struct tri_envelopes *envelopes = &engine->envelopes;
    struct tri_envelope_slot *first = NULL;

    for (uint32_t i = 0; i < TRI_ENVELOPE_AGAIN_LISTS; i++) {
        uint32_t index = envelopes->again[i].first;

        if (index != TRI_NONE_INDEX &&
            (first == NULL || envelopes->at[index].again_ns < first->again_ns)) {
            first = &envelopes->at[index];
        }
    }
    return first;
}

uint64_t tri_envelope_deadline_ns(const struct tri_engine *engine)
{
    const struct tri_envelope_slot *first = envelope_first_due(engine);

    return first == NULL || engine->is_broken ? TRI_NEVER : first->again_ns;
}

void tri_envelope_tick(struct tri_engine *engine)
{
    while (tri_envelope_deadline_ns(engine) <= engine->now_ns &&
           engine->effects->count + TRI_ENVELOPE_MAX <= TRI_EFFECTS_MAX) {
        struct tri_envelope_slot *slot = envelope_first_due(engine);
        uint32_t deliveries = slot->again;

        envelope_unlist(engine, slot);
        for (uint32_t i = 0; i < slot->count; i++) {
            if ((deliveries >> i & 1U) != 0 && slot->deliveries[i].state != TRI_DELIVERY_ENDED) {
                envelope_deliver(engine, slot, i, TRI_DELIVER_OWN);
                engine->counters.deliveries_again++;
            }
        }
    }
}
static_assert(TRI_EFFECTS_MAX >= TRI_ENVELOPE_MAX, "a TICK makes progress");

void tri_envelope_conclude(struct tri_envelope_slot *slot)
{
    uint32_t processed = 0;
    uint32_t began = 0;

    slot->code = TRI_ERROR_NONE;
    for (uint32_t i = 0; i < slot->count; i++) {
        const struct tri_envelope_delivery *delivery = &slot->deliveries[i];

        assert(delivery->state == TRI_DELIVERY_ENDED);
        processed += delivery->ack_type == TRI_ACK_PROCESSED ? 1 : 0;
        began += delivery->ack_type != TRI_ACK_REJECTED ? 1 : 0;
        if (delivery->ack_type != TRI_ACK_PROCESSED && slot->code == TRI_ERROR_NONE) {
            slot->code = delivery->code; /* what stopped it */
        }
    }
    if (processed == slot->count) {
        slot->ack_type = TRI_ACK_PROCESSED;
    } else {
        slot->ack_type = began > 0 ? TRI_ACK_FAILED : TRI_ACK_REJECTED;
    }
}

/* Until when it is remembered: as long as any message is (R06), and until no delivery could be
 * submitted anew. */
static uint32_t envelope_expires_s(const struct tri_engine *engine,
                                   const struct tri_envelope_slot *slot)
{
    uint32_t window_s = engine->envelopes.window_s;

    for (uint32_t i = 0; i < slot->count; i++) {
        struct tri_text id;
        uint32_t ttl_s;

        if (tri_wire_delivery(tri_envelope_bytes(engine, slot, i), &id, &ttl_s) &&
            ttl_s > window_s) {
            window_s = ttl_s;
        }
    }
    return (uint32_t)(engine->now_ns / TRI_NS_PER_S) + window_s;
}

/* Every delivery has ended. */
static void envelope_end(struct tri_engine *engine, struct tri_envelope_slot *slot)
{
    uint32_t expires_s = envelope_expires_s(engine, slot);
    uint64_t lsn;

    if (slot->again != 0) {
        envelope_unlist(engine, slot);
    }
    tri_envelope_unhold(engine, slot);
    tri_envelope_conclude(slot);
    /* Effects of this step show the slot; the body goes once they are out. */
    assert(engine->spent_count < TRI_EFFECTS_MAX);
    engine->spent[engine->spent_count++] = slot->body;
    tri_envelope_keep(engine, slot, expires_s);
    lsn = envelope_append(engine, slot, TRI_RECORD_ENVELOPE_END);
    for (uint32_t i = 0; i < slot->client_count; i++) {
        envelope_show(engine, slot,
                      envelope_tell(engine, slot->clients[i], (enum tri_ack_type)slot->ack_type,
                                    (enum tri_error)slot->code, lsn));
    }
    slot->client_count = 0;
    engine->counters.envelopes_ended++;
}

/* One delivery more, or the end, or nothing yet. */
static void envelope_go_on(struct tri_engine *engine, struct tri_envelope_slot *slot)
{
    uint32_t ended = 0;

    for (uint32_t i = 0; i < slot->count; i++) {
        ended += slot->deliveries[i].state == TRI_DELIVERY_ENDED ? 1 : 0;
    }
    if (ended == slot->count) {
        envelope_end(engine, slot);
        return;
    }
    if (slot->begun < slot->count &&
        slot->deliveries[slot->begun - 1].state != TRI_DELIVERY_BEGUN) {
        slot->deliveries[slot->begun].state = TRI_DELIVERY_BEGUN;
        slot->begun++;
        (void)envelope_append(engine, slot, TRI_RECORD_ENVELOPE_STEP);
        envelope_deliver(engine, slot, slot->begun - 1U, everybody(slot));
        engine->counters.deliveries++;
    }
}

/* A failed delivery stops those not begun; those with a record stand. */
static void envelope_stop(struct tri_envelope_slot *slot)
{
    for (uint32_t i = slot->begun; i < slot->count; i++) {
        slot->deliveries[i].state = TRI_DELIVERY_ENDED;
        slot->deliveries[i].ack_type = TRI_ACK_REJECTED;
        slot->deliveries[i].code = TRI_ERROR_ENVELOPE_STOPPED;
    }
    slot->begun = slot->count;
}

/* Refusals that say nothing of the delivery: the server's own.  What a chain refuses with such a
 * code has ended the message like any other refusal. */
static bool news_are_passing(const struct tri_event *event)
{
    return event->delivery.type == TRI_ACK_REJECTED && event->delivery.is_refusal &&
           (event->delivery.code == TRI_ERROR_BUSY ||
            event->delivery.code == TRI_ERROR_SHUTTING_DOWN ||
            event->delivery.code == TRI_ERROR_JOURNAL_FAILED);
}

/* It has its primary record. */
static enum tri_result news_of_record(struct tri_engine *engine, struct tri_envelope_slot *slot,
                                      struct tri_envelope_delivery *delivery)
{
    uint32_t begun = slot->begun;

    if (delivery->state == TRI_DELIVERY_RECORDED) {
        return TRI_STALE;
    }
    delivery->state = TRI_DELIVERY_RECORDED;
    slot->refused = 0;
    envelope_go_on(engine, slot);
    if (slot->begun == begun) {
        /* A08: that it cannot fail any more holds behind a restart too. */
        (void)envelope_append(engine, slot, TRI_RECORD_ENVELOPE_STEP);
    }
    return TRI_OK;
}

/* It was accepted, and nobody had submitted it before: whoever was to be told of it was refused, or
 * came meanwhile. */
static enum tri_result news_of_acceptance(struct tri_engine *engine, struct tri_envelope_slot *slot,
                                          uint32_t position)
{
    slot->refused = 0;
    if (slot->client_count == 0) {
        return TRI_STALE;
    }
    envelope_deliver(engine, slot, position, clients_of(slot));
    return TRI_OK;
}

enum tri_result tri_envelope_news(struct tri_engine *engine, const struct tri_event *event)
{
    uint32_t position = event->delivery.position;
    struct tri_envelope_slot *slot;
    struct tri_envelope_delivery *delivery;

    assert(event->delivery.slot < engine->options.envelopes_max + engine->options.envelopes_slack);
    slot = &engine->envelopes.at[event->delivery.slot];
    if (engine->is_broken || slot->generation != event->delivery.generation ||
        !tri_envelope_is_open(slot) || position >= slot->begun) {
        return TRI_STALE;
    }
    delivery = &slot->deliveries[position];
    if (delivery->state == TRI_DELIVERY_ENDED) {
        return TRI_STALE;
    }
    if (event->delivery.is_recorded) {
        return news_of_record(engine, slot, delivery);
    }
    if (event->delivery.type == TRI_ACK_RECEIVED) {
        return news_of_acceptance(engine, slot, position);
    }
    if (news_are_passing(event)) {
        envelope_wait(engine, slot, position);
        return TRI_OK;
    }
    assert(event->delivery.type <= TRI_ACK_REJECTED);
    delivery->ack_type = (uint8_t)event->delivery.type;
    delivery->code = (uint8_t)event->delivery.code;
    if (delivery->state == TRI_DELIVERY_RECORDED && delivery->ack_type != TRI_ACK_PROCESSED) {
        /* A08: it cannot have failed any more; its result has been forgotten meanwhile. */
        delivery->ack_type = TRI_ACK_PROCESSED;
        delivery->code = TRI_ERROR_NONE;
    }
    if (delivery->state == TRI_DELIVERY_BEGUN) {
        slot->refused = 0;
    }
    delivery->state = TRI_DELIVERY_ENDED;
    if (delivery->ack_type != TRI_ACK_PROCESSED) {
        envelope_stop(slot);
    }
    envelope_go_on(engine, slot);
    if (delivery->ack_type != TRI_ACK_PROCESSED && tri_envelope_is_open(slot)) {
        (void)envelope_append(engine, slot, TRI_RECORD_ENVELOPE_STEP);
    }
    return TRI_OK;
}

/* ---- admission ---- */

static enum tri_result envelope_refuse(struct tri_engine *engine, const struct tri_event *event,
                                       enum tri_error code)
{
    struct tri_effect *effect =
        envelope_tell(engine, event->envelope.client, TRI_ACK_REJECTED, code, 0);

    effect->round.key = event->envelope.key;
    effect->round.hash = event->envelope.hash;
    effect->round.id = event->envelope.id;
    engine->counters.envelopes_refused++;
    return TRI_OK;
}

/* As with messages (admit.c), the newest takes the place of the oldest beside the first; nobody
 * else moves, for what has been asked for names the places. */
static uint32_t envelope_attach(struct tri_engine *engine, struct tri_envelope_slot *slot,
                                uint64_t client)
{
    uint32_t place = slot->client_oldest;
    struct tri_effect *effect;

    if (slot->client_count < TRI_ENVELOPE_CLIENTS_MAX) {
        slot->clients[slot->client_count] = client;
        return slot->client_count++;
    }
    effect =
        envelope_tell(engine, slot->clients[place], TRI_ACK_REJECTED, TRI_ERROR_BUSY, slot->lsn);
    envelope_show(engine, slot, effect);
    effect->notify.is_duplicate = true;
    slot->clients[place] = client;
    slot->client_oldest = (uint8_t)(place + 1 < TRI_ENVELOPE_CLIENTS_MAX ? place + 1 : 1);
    engine->counters.waiters_replaced++;
    return place;
}

/* A known id (R01, R02).  Who attaches gets what a submitter of the deliveries that run would get.
 */
static enum tri_result envelope_known(struct tri_engine *engine, struct tri_envelope_slot *slot,
                                      const struct tri_event *event)
{
    struct tri_effect *effect;
    uint32_t place = 0;

    if (memcmp(&slot->hash, &event->envelope.hash, sizeof(slot->hash)) != 0) {
        engine->counters.equivocations++;
        return envelope_refuse(engine, event, TRI_ERROR_DUPLICATE_ID_MISMATCH);
    }
    engine->counters.duplicates++;
    while (place < slot->client_count && slot->clients[place] != event->envelope.client) {
        place++;
    }
    if (tri_envelope_is_open(slot) && place == slot->client_count) {
        place = envelope_attach(engine, slot, event->envelope.client);
        for (uint32_t i = 0; i < slot->begun; i++) {
            if (slot->deliveries[i].state != TRI_DELIVERY_ENDED) {
                envelope_deliver(engine, slot, i, UINT32_C(1) << place);
            }
        }
    }
    effect = envelope_tell(engine, event->envelope.client, (enum tri_ack_type)slot->ack_type,
                           (enum tri_error)slot->code, slot->lsn);
    envelope_show(engine, slot, effect);
    effect->notify.is_duplicate = true;
    return TRI_OK;
}
static_assert(TRI_EFFECTS_MAX >= TRI_ENVELOPE_MAX + 2, "they all find room");

/* R08: no submitter holds more than its share; and all envelopes together leave half of the bodies
 * of each size to the messages, which their deliveries are, and so do those of one submitter. */
static bool envelope_has_share(const struct tri_engine *engine, uint32_t submitter, uint32_t class)
{
    const struct tri_engine_options *options = &engine->options;
    uint64_t held = engine->envelopes.held[submitter];
    uint64_t bodies = engine->submitters[submitter].envelope_bodies[class];
    uint64_t permille = options->submitter_share_permille;

    if ((engine->envelopes.bodies[class] + UINT64_C(1)) * 2 > options->body_counts[class]) {
        return false;
    }
    return submitter == 0 ||
           ((held == 0 || (held + 1) * 1000 <= options->envelopes_max * permille) &&
            (bodies == 0 || (bodies + 1) * 2 * 1000 <= options->body_counts[class] * permille) &&
            tri_admit_has_own_share(engine, submitter, class));
}

static void envelope_fill(struct tri_engine *engine, struct tri_envelope_slot *slot,
                          const struct tri_event *event)
{
    uint8_t *body = tri_arena_at(engine->bodies, slot->body);
    uint32_t at = 0;

    slot->hash = event->envelope.hash;
    slot->id_bytes = (uint8_t)event->envelope.id.bytes;
    memcpy(slot->id, event->envelope.id.at, slot->id_bytes);
    slot->count = (uint8_t)event->envelope.count;
    slot->ack_type = TRI_ACK_RECEIVED;
    for (uint32_t i = 0; i < slot->count; i++) {
        const struct tri_envelope_part *from = &event->envelope.deliveries[i];
        struct tri_envelope_delivery *delivery = &slot->deliveries[i];

        delivery->at = at;
        delivery->bytes = from->canonical.bytes;
        delivery->id_bytes = (uint8_t)from->id.bytes;
        memcpy(delivery->id, from->id.at, from->id.bytes);
        memcpy(body + at, from->canonical.at, from->canonical.bytes);
        at += from->canonical.bytes;
    }
    slot->clients[0] = event->envelope.client;
    slot->client_count = 1;
}

/* All pools or none. */
static enum tri_result envelope_admit(struct tri_engine *engine, const struct tri_event *event)
{
    uint32_t submitter =
        event->envelope.submitter <= engine->options.submitters_max ? event->envelope.submitter : 0;
    struct tri_envelope_slot *slot = NULL;
    uint32_t bytes = 0;
    uint32_t body;

    for (uint32_t i = 0; i < event->envelope.count; i++) {
        bytes += event->envelope.deliveries[i].canonical.bytes;
    }
    tri_envelope_forget(engine);
    if (!tri_envelope_has_room(engine) || tri_arena_take(engine->bodies, bytes, &body) != TRI_OK) {
        return envelope_refuse(engine, event, TRI_ERROR_BUSY);
    }
    if (envelope_has_share(engine, submitter, tri_arena_class(body))) {
        slot = tri_envelope_take(engine, event->envelope.key, submitter);
    }
    if (slot == NULL) {
        tri_arena_give(engine->bodies, body);
        return envelope_refuse(engine, event, TRI_ERROR_BUSY);
    }
    tri_envelope_hold(engine, slot, body);
    envelope_fill(engine, slot, event);
    engine->counters.envelopes++;
    slot->deliveries[0].state = TRI_DELIVERY_BEGUN;
    slot->begun = 1;
    (void)envelope_append(engine, slot, TRI_RECORD_ENVELOPE);
    envelope_show(
        engine, slot,
        envelope_tell(engine, event->envelope.client, TRI_ACK_RECEIVED, TRI_ERROR_NONE, slot->lsn));
    envelope_deliver(engine, slot, 0, everybody(slot));
    engine->counters.deliveries++;
    return TRI_OK;
}

enum tri_result tri_envelope_submit(struct tri_engine *engine, const struct tri_event *event)
{
    struct tri_envelope_slot *slot = tri_envelope_find(engine, event->envelope.key);

    assert(event->envelope.client != 0);
    assert(event->envelope.count >= 1);
    assert(event->envelope.count <= TRI_ENVELOPE_MAX);
    if (slot != NULL && tri_envelope_is_over(engine, slot)) {
        tri_envelope_give(engine, slot);
        slot = NULL;
    }
    if (slot != NULL) {
        return envelope_known(engine, slot, event);
    }
    if (engine->is_broken || engine->is_draining) {
        return envelope_refuse(
            engine, event, engine->is_broken ? TRI_ERROR_JOURNAL_FAILED : TRI_ERROR_SHUTTING_DOWN);
    }
    return envelope_admit(engine, event);
}
