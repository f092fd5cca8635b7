/* SPDX-License-Identifier: Apache-2.0 */
/* The shard's end of the handles: everything runs on the shard's thread. */
#include <string.h>

#include "shards/delivery.h"
#include "shards/handle.h"
#include "shards/handle_record.h"
#include "shards/local.h"
#include "shards/state.h"

/* Of a client. */
static uint32_t client_handle(tri_port client)
{
    return TRI_PORT_SLOT(client) >> TRI_HANDLE_SLOT_BITS;
}

static uint32_t client_slot(tri_port client)
{
    return TRI_PORT_SLOT(client) & ((UINT32_C(1) << TRI_HANDLE_SLOT_BITS) - 1);
}

static uint64_t handles_bit(uint32_t handle)
{
    return UINT64_C(1) << handle;
}

/* ---- news ---- */

/* News as it is put together. */
struct news {
    struct tri_spool_news first;
    struct tri_spool_rest rest;
};

/* Puts news for a client into its spool; it is dropped if its handle has gone. */
static void news_tell(struct tri_shard *shard, tri_port client, const struct news *news)
{
    const struct tri_spool_rest *rest = &news->rest;
    uint32_t handle = client_handle(client);
    struct tri_spool *spool = &shard->lanes[handle].spool;
    union tri_spool_record *place = NULL;
    bool has_more =
        (rest->refused_mask | rest->unknown_mask | rest->undone_mask) != 0 || rest->text != NULL;

    assert(tri_handle_is_client(client));
    if ((shard->handles_seen & handles_bit(handle)) == 0 ||
        shard->handle_generations[handle] != TRI_PORT_GENERATION(client)) {
        shard->counters.news_dropped++;
        return;
    }
    place = tri_spool_put(spool);
    place->news = news->first;
    place->news.slot = client_slot(client);
    if (has_more) {
        place->news.flags |= TRI_SPOOL_MORE;
        tri_spool_put(spool)->rest = *rest;
    }
    shard->handles_told |= handles_bit(handle);
    shard->counters.news++;
}

static uint8_t news_kind(const struct tri_effect *effect)
{
    if (effect->notify.kind == TRI_NOTIFY_NOTICE) {
        return TRI_NEWS_FINAL;
    }
    return effect->notify.ack_type == TRI_ACK_RECEIVED ? TRI_NEWS_RECEIVED : TRI_NEWS_ENDED;
}

static void news_show(struct news *news, const struct tri_round_view *round, bool has_targets)
{
    news->first.target_count = has_targets ? (uint8_t)round->target_count : 0;
    news->first.retries = round->retries < UINT16_MAX ? (uint16_t)round->retries : UINT16_MAX;
    news->first.attempt = round->attempt;
    news->first.applied_mask = round->applied_mask;
    news->rest.refused_mask = round->refused_mask;
    news->rest.unknown_mask = round->unknown_mask;
    news->rest.undone_mask = round->undone_mask;
}

/* News that waits for the journal. */
struct held_news {
    uint32_t kind; /* TRI_RECORD_NEWS */
    uint32_t unused;
    tri_port client;
    struct news news;
};

bool tri_handles_notify(struct tri_shard *shard, const struct tri_effect *effect)
{
    struct news news = {.first = {.kind = news_kind(effect),
                                  .ack_type = (uint8_t)effect->notify.ack_type,
                                  .flags = effect->notify.is_duplicate ? TRI_SPOOL_DUPLICATE : 0,
                                  .code = (uint16_t)effect->notify.code}};
    struct held_news *held = NULL;

    news_show(&news, &effect->round, effect->notify.has_targets);
    if (effect->after_lsn <= shard->durable_lsn) {
        news_tell(shard, effect->notify.client, &news);
        return true;
    }
    held = tri_hold_push(&shard->hold, effect->after_lsn, shard->index, sizeof(*held));
    if (held == NULL) {
        return false;
    }
    *held =
        (struct held_news){.kind = TRI_RECORD_NEWS, .client = effect->notify.client, .news = news};
    shard->counters.effects_held++;
    return true;
}

void tri_handles_release(struct tri_shard *shard, const void *record, uint32_t bytes)
{
    const struct held_news *held = record;

    assert(bytes == sizeof(*held));
    news_tell(shard, held->client, &held->news);
}

/* Signals a handle that waits for one of `reasons`. */
static void handles_signal(struct tri_shard *shard, uint32_t handle, uint32_t reasons)
{
    struct tri_handles *all = shard->set->handles;
    _Atomic uint32_t *armed = &all->at[handle].armed;

    /* pairs with the release in tri_handle_arm */
    if ((atomic_load_explicit(armed, memory_order_acquire) & reasons) != 0 &&
        atomic_exchange_explicit(armed, 0, memory_order_relaxed) != 0) {
        all->ops->signal(all->ops_context, handle);
        shard->counters.handle_signals++;
    }
}

void tri_handles_publish(struct tri_shard *shard)
{
    uint64_t told = shard->handles_told;
    uint64_t fed = shard->handles_fed;

    if ((told | fed) == 0) {
        return;
    }
    shard->handles_told = 0;
    shard->handles_fed = 0;
    for (uint64_t rest = told; rest != 0; rest &= rest - 1) {
        tri_spool_publish(&shard->lanes[__builtin_ctzll(rest)].spool);
    }
    tri_ring_fence(); /* pairs with the fence in tri_handle_arm */
    for (uint64_t rest = told | fed; rest != 0; rest &= rest - 1) {
        uint32_t handle = (uint32_t)__builtin_ctzll(rest);

        handles_signal(shard, handle,
                       ((told & handles_bit(handle)) != 0 ? TRI_HANDLE_FOR_NEWS : 0) |
                           ((fed & handles_bit(handle)) != 0 ? TRI_HANDLE_FOR_ROOM : 0));
    }
}

/* ---- records ---- */

static void take_submit(struct tri_shard *shard, const struct tri_handle_record *record)
{
    struct tri_wire_fault fault;
    struct tri_event event;

    if (tri_wire_decode((const uint8_t *)(record + 1), record->body_bytes, &shard->decoded,
                        &fault) != TRI_OK) {
        struct news news = {.first = {.kind = TRI_NEWS_ENDED,
                                      .ack_type = TRI_ACK_REJECTED,
                                      .code = (uint16_t)fault.code},
                            .rest = {.text = fault.field}};

        shard->counters.frames_refused++;
        news_tell(shard, record->client, &news);
        return;
    }
    assert(shard->decoded.type == TRI_FRAME_SUBMIT);
    event.type = TRI_EVENT_SUBMIT;
    event.submit.key = record->key;
    event.submit.hash = record->hash;
    event.submit.message = &shard->decoded.submit;
    event.submit.client = record->client;
    event.submit.submitter = client_handle(record->client) + 1;
    event.submit.is_forced = false;
    (void)tri_shard_step(shard, &event);
}

static void take_status(struct tri_shard *shard, const struct tri_handle_record *record)
{
    struct tri_text id = {.at = (const char *)(record + 1), .bytes = record->body_bytes};
    struct news news = {.first = {.kind = TRI_NEWS_STATUS, .code = TRI_ERROR_UNKNOWN_MESSAGE}};
    struct tri_engine_status status;

    if (tri_engine_status(shard->engine, record->key, id, shard->now_ns, &status) == TRI_OK) {
        news.first.ack_type = (uint8_t)status.ack_type;
        news.first.code = (uint16_t)status.code;
        news.first.flags = status.is_open ? TRI_SPOOL_OPEN : 0;
        news.rest.text = status.round.state;
        news_show(&news, &status.round, status.has_targets);
    }
    news_tell(shard, record->client, &news);
}

static void take_ask(struct tri_shard *shard, const struct tri_ticket *ticket)
{
    struct tri_event event;

    event.type = TRI_EVENT_ASK;
    event.ask.key = ticket->key;
    event.ask.id = (struct tri_text){.at = ticket->id, .bytes = ticket->id_bytes};
    event.ask.chain = ticket->chain;
    event.ask.attempt = ticket->attempt;
    (void)tri_shard_step(shard, &event);
}

/* Whether a record tells the engine something of a chain. */
static bool record_is_of_chain(const struct tri_handle_record *record)
{
    return record->kind == TRI_HANDLE_ANSWER || record->kind == TRI_HANDLE_ASK;
}

/* Carries out one record; the shard is ready. */
static void handles_take(struct tri_shard *shard, const struct tri_handle_record *record)
{
    const struct tri_handle_answer *answer = (const void *)(record + 1);

    shard->counters.records++;
    switch (record->kind) {
    case TRI_HANDLE_SUBMIT:
        take_submit(shard, record);
        break;
    case TRI_HANDLE_STATUS:
        take_status(shard, record);
        break;
    case TRI_HANDLE_ANSWER:
        tri_local_answer(shard, &answer->ticket, &answer->answer);
        break;
    case TRI_HANDLE_ASK:
        take_ask(shard, (const void *)(record + 1));
        break;
    default:
        assert(record->kind == TRI_HANDLE_CHAIN);
        tri_local_chain(shard, record->chain.chain, record->chain.is_up);
        (void)tri_seats_news(shard);
        break;
    }
    (void)tri_shard_ready(shard, false);
}

/* Takes records of one handle; false: the shard is not ready for more. */
static bool handles_drain(struct tri_shard *shard, uint32_t handle, uint32_t *taken)
{
    struct tri_pipe *pipe = &shard->lanes[handle].pipe;

    for (uint32_t i = 0; i < shard->inbox_drain_max; i++) {
        uint32_t bytes = 0;
        const struct tri_handle_record *record = tri_pipe_peek(pipe, &bytes);
        const struct tri_handle_record *next = NULL;

        if (record == NULL) {
            return true;
        }
        assert(bytes == sizeof(*record) + record->body_bytes);
        if (!tri_shard_ready(shard, record_is_of_chain(record))) {
            return false;
        }
        next = tri_pipe_ahead(pipe);
        if (next != NULL) {
            tri_engine_prefetch(shard->engine, next->key);
        }
        handles_take(shard, record);
        if (tri_pipe_pop(pipe)) {
            shard->handles_fed |= handles_bit(handle);
        }
        ++*taken;
    }
    return true;
}

static void handles_let_go(struct tri_shard *shard, uint32_t handle)
{
    struct tri_handles *all = shard->set->handles;
    uint64_t all_shards = all->shards == 64 ? UINT64_MAX : (UINT64_C(1) << all->shards) - 1;
    uint64_t bit = UINT64_C(1) << shard->index;
    uint64_t before = 0;

    shard->handles_seen &= ~handles_bit(handle);
    shard->handles_told &= ~handles_bit(handle);
    shard->handles_fed &= ~handles_bit(handle);
    /* pairs with the acquire in tri_handle_free, and with the other shards' releases */
    before = atomic_fetch_or_explicit(&all->at[handle].let_go, bit, memory_order_acq_rel);
    assert((before & bit) == 0);
    if ((before | bit) == all_shards) {
        all->ops->signal(all->ops_context, handle);
    }
}

/* The state of a handle as its thread has told last. */
static uint32_t handles_state(const struct tri_handles *all, uint32_t handle)
{
    /* pairs with the releases in tri_handle_claim and tri_handle_leave */
    return atomic_load_explicit(&all->at[handle].state, memory_order_acquire);
}

/* Notes who has a handle; false: there is nothing to serve. */
static bool handles_serve(struct tri_shard *shard, uint32_t handle, uint32_t state)
{
    uint32_t generation = TRI_HANDLE_STATE_GENERATION(state);

    if (state != 0 && generation != shard->handle_generations[handle]) {
        /* Who had it before was let go, else there would be no new one. */
        assert((shard->handles_seen & handles_bit(handle)) == 0);
        shard->handle_generations[handle] = generation;
        shard->handles_seen |= handles_bit(handle);
    }
    return (shard->handles_seen & handles_bit(handle)) != 0;
}

uint32_t tri_handles_turn(struct tri_shard *shard)
{
    const struct tri_handles *all = shard->set->handles;
    uint32_t taken = 0;
    uint64_t open = 0;

    if (all == NULL) {
        return 0;
    }
    open = atomic_load_explicit(&all->open, memory_order_acquire);
    for (uint32_t i = 0; open != 0 && i < all->handles_max; i++) {
        uint32_t handle = (shard->next_handle + i) % all->handles_max;
        uint32_t state = 0;

        if ((open & handles_bit(handle)) == 0) {
            continue;
        }
        state = handles_state(all, handle);
        if (!handles_serve(shard, handle, state)) {
            continue;
        }
        if (!handles_drain(shard, handle, &taken)) {
            break;
        }
        if (TRI_HANDLE_STATE_CLOSING(state) && tri_pipe_is_empty(&shard->lanes[handle].pipe)) {
            handles_let_go(shard, handle);
            taken++;
        }
    }
    assert(all->handles_max > 0);
    shard->next_handle = (shard->next_handle + 1) % all->handles_max;
    return taken;
}

bool tri_handles_wait_for(const struct tri_shard *shard)
{
    const struct tri_handles *all = shard->set->handles;
    uint64_t open = 0;

    if (all == NULL) {
        return false;
    }
    open = atomic_load_explicit(&all->open, memory_order_acquire);
    for (uint64_t rest = open; rest != 0; rest &= rest - 1) {
        uint32_t handle = (uint32_t)__builtin_ctzll(rest);
        uint32_t state = handles_state(all, handle);
        bool is_served = (shard->handles_seen & handles_bit(handle)) != 0;

        if (state != 0 && TRI_HANDLE_STATE_GENERATION(state) != shard->handle_generations[handle]) {
            return true;
        }
        if (is_served &&
            (TRI_HANDLE_STATE_CLOSING(state) || !tri_pipe_is_empty(&shard->lanes[handle].pipe))) {
            return true;
        }
    }
    return false;
}
