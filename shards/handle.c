/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handle's end: everything runs on the thread that the handle belongs to.
 *
 * Why signals are counted: a shard takes the flag down and then makes the
 * event readable, and between the two the handle may find the flag down, read
 * the news and look at the event in vain.  It then owes one look more.  So it
 * counts the flags that it found down against the signals that it has taken
 * in, and looks at the event only while the two differ.
 */
#include "shards/handle.h"

#include <string.h>

#include "engine/order.h"
#include "shards/handle_record.h"
#include "shards/message.h"
#include "shards/state.h"

/* A message up to this size is written here first: field by field, into the nearest cache.  The
 * block in the pipe was last in the shard's cache; it takes the message in a few wide stores, for
 * which nobody has to wait. */
#define NEAR_BYTES 1024U

static_assert(sizeof(struct tri_handle_record) + TRI_FRAME_BYTES_MAX <= TRI_PIPE_RECORD_BYTES_MAX,
              "the largest message is one record");

/* ---- memory ---- */

static size_t handles_round_up(size_t bytes)
{
    return (bytes + TRI_CACHE_LINE - 1) / TRI_CACHE_LINE * TRI_CACHE_LINE;
}

static uint32_t handles_spool_places(uint32_t in_flight)
{
    return tri_spool_places(in_flight * TRI_NEWS_PER_CLIENT);
}

size_t tri_handles_footprint(uint32_t shards, uint32_t handles, uint32_t in_flight, uint32_t blocks)
{
    size_t lane_bytes = sizeof(struct tri_handle_lane) + tri_pipe_footprint(blocks) +
                        (size_t)handles_spool_places(in_flight) * sizeof(union tri_spool_record);

    assert(shards >= 1 && shards <= TRI_SHARDS_MAX);
    assert(handles >= 1 && handles <= TRI_HANDLES_MAX);
    assert(in_flight >= 1 && in_flight <= TRI_IN_FLIGHT_MAX);
    return handles_round_up(sizeof(struct tri_handles)) + handles * sizeof(struct tri_handle) +
           handles * handles_round_up((size_t)in_flight * sizeof(struct tri_in_flight)) +
           (size_t)shards * handles * lane_bytes;
}

struct tri_handles *tri_handles_init(void *memory, struct tri_shard_set *set, uint32_t shards,
                                     uint32_t handles, uint32_t in_flight, uint32_t blocks)
{
    struct tri_handles *all = memory;
    uint8_t *at = memory;

    assert((uintptr_t)memory % TRI_CACHE_LINE == 0);
    memset(all, 0, sizeof(*all));
    all->shards = shards;
    all->handles_max = handles;
    all->in_flight_max = in_flight;
    atomic_init(&all->open, 0);
    at += handles_round_up(sizeof(*all));
    all->at = (void *)at;
    at += handles * sizeof(struct tri_handle);
    all->lanes = (void *)at;
    at += (size_t)shards * handles * sizeof(struct tri_handle_lane);
    for (uint32_t i = 0; i < handles; i++) {
        struct tri_handle *handle = &all->at[i];

        memset(handle, 0, sizeof(*handle));
        handle->set = set;
        handle->index = i;
        handle->in_flight = (void *)at;
        atomic_init(&handle->is_claimed, 0);
        atomic_init(&handle->state, 0);
        atomic_init(&handle->let_go, 0);
        atomic_init(&handle->armed, 0);
        at += handles_round_up((size_t)in_flight * sizeof(struct tri_in_flight));
    }
    for (uint32_t i = 0; i < shards * handles; i++) {
        uint32_t places = handles_spool_places(in_flight);

        tri_pipe_init(&all->lanes[i].pipe, at, blocks, 0);
        at += tri_pipe_footprint(blocks);
        tri_spool_init(&all->lanes[i].spool, at, places, 0);
        at += (size_t)places * sizeof(union tri_spool_record);
    }
    assert(at == (uint8_t *)memory + tri_handles_footprint(shards, handles, in_flight, blocks));
    return all;
}

void tri_handles_attach(struct tri_shard_set *set, const struct tri_handle_ops *ops, void *context)
{
    assert(set->handles != NULL);
    assert(set->handles->ops == NULL);
    assert(ops->wake != NULL && ops->signal != NULL && ops->quiet != NULL);
    set->handles->ops = ops;
    set->handles->ops_context = context;
}

void *tri_handle_context(const struct tri_handle *handle)
{
    return handle->set->handles->ops_context;
}

static struct tri_handle_lane *handle_lane(const struct tri_handle *handle, uint32_t shard)
{
    const struct tri_handles *all = handle->set->handles;

    assert(shard < all->shards);
    return &all->lanes[(size_t)shard * all->handles_max + handle->index];
}

/* ---- life ---- */

static uint64_t handle_bit(const struct tri_handle *handle)
{
    return UINT64_C(1) << handle->index;
}

struct tri_handle *tri_handle_claim(struct tri_shard_set *set)
{
    struct tri_handles *all = set->handles;

    assert(all != NULL && all->ops != NULL);
    for (uint32_t i = 0; i < all->handles_max; i++) {
        struct tri_handle *handle = &all->at[i];

        /* pairs with the release in tri_handle_free */
        if (atomic_exchange_explicit(&handle->is_claimed, 1, memory_order_acquire) != 0) {
            continue;
        }
        handle->generation = handle->generation % 0xffffffU + 1;
        handle->free_first = TRI_NONE_INDEX;
        handle->fresh_first = 0;
        handle->next_shard = 0;
        handle->is_waiting = false;
        handle->lanes_open = 0;
        handle->lanes_full = 0;
        handle->wants_place = false;
        handle->room = TRI_HANDLE_ROOM_NONE;
        assert(handle->signals_due == 0);
        atomic_store_explicit(&handle->let_go, 0, memory_order_relaxed);
        atomic_store_explicit(&handle->armed, 0, memory_order_relaxed);
        /* pairs with the acquire in handles_state */
        atomic_store_explicit(&handle->state, TRI_HANDLE_STATE(handle->generation, false),
                              memory_order_release);
        (void)atomic_fetch_or_explicit(&all->open, handle_bit(handle), memory_order_release);
        return handle;
    }
    return NULL;
}

/* Wakes those of `shards` that sleep; what they are woken for is published. */
static void handle_rouse(struct tri_handle *handle, uint64_t shards)
{
    const struct tri_handles *all = handle->set->handles;

    tri_ring_fence(); /* pairs with the fence in tri_mesh_sleep */
    for (uint64_t rest = shards; rest != 0; rest &= rest - 1) {
        uint32_t shard = (uint32_t)__builtin_ctzll(rest);

        if (tri_mesh_rouse(handle->set->mesh, shard)) {
            all->ops->wake(all->ops_context, shard);
        }
    }
}

void tri_handle_flush(struct tri_handle *handle)
{
    uint64_t sent = handle->lanes_open;

    for (uint64_t rest = sent; rest != 0; rest &= rest - 1) {
        uint32_t shard = (uint32_t)__builtin_ctzll(rest);

        (void)tri_pipe_publish(&handle_lane(handle, shard)->pipe);
    }
    handle->lanes_open = 0;
    if (sent != 0) {
        handle_rouse(handle, sent);
    }
}

/* Takes signals in as long as there are some to come. */
static void handle_quiet(struct tri_handle *handle)
{
    const struct tri_handles *all = handle->set->handles;

    if (handle->signals_due > 0) {
        handle->signals_due -= (int32_t)all->ops->quiet(all->ops_context, handle->index);
    }
}

/* The flag goes down, if no shard has taken it down. */
static void handle_disarm(struct tri_handle *handle)
{
    if (!handle->is_waiting) {
        return;
    }
    handle->is_waiting = false;
    if (atomic_exchange_explicit(&handle->armed, 0, memory_order_relaxed) == 0) {
        handle->signals_due++;
    }
}

void tri_handle_leave(struct tri_handle *handle)
{
    struct tri_handles *all = handle->set->handles;
    uint64_t shards = all->shards == 64 ? UINT64_MAX : (UINT64_C(1) << all->shards) - 1;

    tri_handle_flush(handle);
    handle_disarm(handle);
    handle->signals_due++; /* of the last shard that lets go */
    /* pairs with the acquire in handles_state: what was sent before is seen */
    atomic_store_explicit(&handle->state, TRI_HANDLE_STATE(handle->generation, true),
                          memory_order_release);
    handle_rouse(handle, shards);
}

bool tri_handle_is_left(struct tri_handle *handle)
{
    handle_quiet(handle);
    assert(handle->signals_due >= 0);
    return handle->signals_due == 0;
}

void tri_handle_free(struct tri_handle *handle)
{
    struct tri_handles *all = handle->set->handles;

    assert(handle->signals_due == 0);
    /* pairs with the release in handles_let_go: the lanes are the caller's alone now */
    assert(__builtin_popcountll(atomic_load_explicit(&handle->let_go, memory_order_acquire)) ==
           (int)all->shards);
    for (uint32_t shard = 0; shard < all->shards; shard++) {
        struct tri_handle_lane *lane = handle_lane(handle, shard);

        assert(tri_pipe_is_empty(&lane->pipe));
        tri_spool_init(&lane->spool, lane->spool.records, lane->spool.mask + 1,
                       lane->spool.written);
    }
    (void)atomic_fetch_and_explicit(&all->open, ~handle_bit(handle), memory_order_relaxed);
    atomic_store_explicit(&handle->state, 0, memory_order_relaxed);
    /* pairs with the acquire in tri_handle_claim */
    atomic_store_explicit(&handle->is_claimed, 0, memory_order_release);
}

/* ---- what goes out ---- */

static bool handle_has_place(struct tri_handle *handle)
{
    handle->room = TRI_HANDLE_ROOM_NONE;
    handle->wants_place = handle->free_first == TRI_NONE_INDEX &&
                          handle->fresh_first == handle->set->handles->in_flight_max;
    return !handle->wants_place;
}

/* Takes a place for what is about to be sent, and names it to the shards. */
static tri_port handle_place(struct tri_handle *handle, uint64_t cookie)
{
    uint32_t slot = handle->free_first;
    struct tri_in_flight *place = NULL;

    if (slot != TRI_NONE_INDEX) {
        handle->free_first = handle->in_flight[slot].next_free;
    } else {
        slot = handle->fresh_first;
        handle->fresh_first++;
    }
    place = &handle->in_flight[slot];
    assert(slot < handle->set->handles->in_flight_max);
    *place = (struct tri_in_flight){.cookie = cookie, .is_used = true};
    return TRI_PORT(TRI_HANDLE_SHARD, handle->generation,
                    handle->index << TRI_HANDLE_SLOT_BITS | slot);
}

/* Room for a record towards `shard`, NULL if there is none. */
static struct tri_handle_record *handle_reserve(struct tri_handle *handle, uint32_t shard,
                                                uint32_t body_bytes)
{
    struct tri_pipe *pipe = &handle_lane(handle, shard)->pipe;
    struct tri_handle_record *record =
        tri_pipe_reserve(pipe, (uint32_t)sizeof(struct tri_handle_record) + body_bytes);

    handle->room = TRI_HANDLE_ROOM_NONE;
    if (record == NULL) {
        handle->lanes_full |= UINT64_C(1) << shard;
        tri_handle_flush(handle); /* whoever is told FULL may wait for what he has sent */
    }
    return record;
}

static void handle_commit(struct tri_handle *handle, uint32_t shard,
                          const struct tri_handle_record *record)
{
    uint64_t bit = UINT64_C(1) << shard;
    uint32_t bytes = (uint32_t)sizeof(*record) + record->body_bytes;

    if (tri_pipe_commit(&handle_lane(handle, shard)->pipe, bytes)) {
        handle->lanes_open &= ~bit;
        handle_rouse(handle, bit);
    } else {
        handle->lanes_open |= bit;
    }
}

enum tri_result tri_handle_submit(struct tri_handle *handle, const struct tri_message *message,
                                  uint64_t cookie)
{
    struct tri_handle_record *record = NULL;
    uint8_t near[NEAR_BYTES];
    struct tri_bytes canonical;
    struct tri_writer writer;
    struct tri_key key;
    uint8_t *body = NULL;
    uint32_t bytes = 0;
    uint32_t shard = 0;

    if (tri_message_fault(message, &bytes) != NULL) {
        return TRI_VIOLATION;
    }
    key = tri_route_key(&handle->set->route, message->id);
    shard = tri_route_shard(&handle->set->route, key);
    record = handle_has_place(handle) ? handle_reserve(handle, shard, bytes) : NULL;
    if (record == NULL) {
        return TRI_FULL;
    }
    body = bytes <= sizeof(near) ? near : (uint8_t *)(record + 1);
    writer.at = body;
    writer.end = writer.at + bytes;
    writer.failed = false;
    canonical.at = tri_wire_put_submit(&writer, message);
    assert(!writer.failed);
    canonical.bytes = (uint32_t)(writer.at - canonical.at);
    record->kind = TRI_HANDLE_SUBMIT;
    record->body_bytes = (uint32_t)(writer.at - body);
    record->client = handle_place(handle, cookie);
    record->key = key;
    record->hash = tri_digest_content(canonical);
    if (body == near) {
        memcpy(record + 1, near, record->body_bytes);
    }
    handle_commit(handle, shard, record);
    return TRI_OK;
}

enum tri_result tri_handle_ask_status(struct tri_handle *handle, struct tri_text id,
                                      uint64_t cookie)
{
    struct tri_handle_record *record = NULL;
    struct tri_key key;
    uint32_t shard = 0;

    if (id.bytes < 1 || id.bytes > TRI_ID_BYTES_MAX) {
        return TRI_VIOLATION;
    }
    key = tri_route_key(&handle->set->route, id);
    shard = tri_route_shard(&handle->set->route, key);
    record = handle_has_place(handle) ? handle_reserve(handle, shard, id.bytes) : NULL;
    if (record == NULL) {
        return TRI_FULL;
    }
    record->kind = TRI_HANDLE_STATUS;
    record->body_bytes = id.bytes;
    record->client = handle_place(handle, cookie);
    record->key = key;
    memcpy(record + 1, id.at, id.bytes);
    handle_commit(handle, shard, record);
    return TRI_OK;
}

static bool handle_is_ticket(const struct tri_handle *handle, const struct tri_ticket *ticket)
{
    return ticket->chain < handle->set->members[0].chain_count && ticket->kind < TRI_SEND_COUNT &&
           ticket->id_bytes >= 1 && ticket->id_bytes <= TRI_ID_BYTES_MAX;
}

enum tri_result tri_handle_answer(struct tri_handle *handle, const struct tri_ticket *ticket,
                                  const struct tri_answer *answer)
{
    uint32_t shard = tri_route_shard(&handle->set->route, ticket->key);
    struct tri_handle_record *record = NULL;
    struct tri_handle_answer *body = NULL;

    if (!handle_is_ticket(handle, ticket) ||
        !tri_answer_fits((enum tri_send)ticket->kind, answer)) {
        return TRI_VIOLATION;
    }
    record = handle_reserve(handle, shard, sizeof(*body));
    if (record == NULL) {
        return TRI_FULL;
    }
    record->kind = TRI_HANDLE_ANSWER;
    record->body_bytes = sizeof(*body);
    record->client = 0;
    record->key = ticket->key;
    body = (void *)(record + 1);
    body->ticket = *ticket;
    body->answer = *answer;
    handle_commit(handle, shard, record);
    return TRI_OK;
}

enum tri_result tri_handle_ask_reservation(struct tri_handle *handle,
                                           const struct tri_ticket *ticket)
{
    uint32_t shard = tri_route_shard(&handle->set->route, ticket->key);
    struct tri_handle_record *record = NULL;

    if (!handle_is_ticket(handle, ticket)) {
        return TRI_VIOLATION;
    }
    record = handle_reserve(handle, shard, sizeof(*ticket));
    if (record == NULL) {
        return TRI_FULL;
    }
    record->kind = TRI_HANDLE_ASK;
    record->body_bytes = sizeof(*ticket);
    record->client = 0;
    record->key = ticket->key;
    memcpy(record + 1, ticket, sizeof(*ticket));
    handle_commit(handle, shard, record);
    return TRI_OK;
}

enum tri_result tri_handle_chain(struct tri_handle *handle, uint16_t chain, bool is_up)
{
    uint32_t shards = handle->set->shards;

    if (chain >= handle->set->members[0].chain_count) {
        return TRI_VIOLATION;
    }
    /* All shards or none: room that is not committed stays. */
    for (uint32_t shard = 0; shard < shards; shard++) {
        if (handle_reserve(handle, shard, 0) == NULL) {
            return TRI_FULL;
        }
    }
    for (uint32_t shard = 0; shard < shards; shard++) {
        struct tri_handle_record *record = handle_reserve(handle, shard, 0);

        assert(record != NULL);
        record->kind = TRI_HANDLE_CHAIN;
        record->body_bytes = 0;
        record->client = 0;
        record->chain = (struct tri_handle_chain_state){.chain = chain, .is_up = is_up};
        handle_commit(handle, shard, record);
    }
    return TRI_OK;
}

/* ---- what comes in ---- */

static bool handle_has_news(struct tri_handle *handle)
{
    for (uint32_t shard = 0; shard < handle->set->shards; shard++) {
        if (tri_spool_peek(&handle_lane(handle, shard)->spool) != NULL) {
            return true;
        }
    }
    return false;
}

/* Looks whether a pipe that gave no room has some again. */
static void handle_look_for_room(struct tri_handle *handle)
{
    for (uint64_t rest = handle->lanes_full; rest != 0; rest &= rest - 1) {
        uint32_t shard = (uint32_t)__builtin_ctzll(rest);
        struct tri_pipe *pipe = &handle_lane(handle, shard)->pipe;

        if (tri_pipe_is_fed(pipe)) {
            handle->room = TRI_HANDLE_ROOM_DUE;
        }
        if (!tri_pipe_is_starved(pipe)) {
            handle->lanes_full &= ~(UINT64_C(1) << shard);
        }
    }
}

bool tri_handle_arm(struct tri_handle *handle)
{
    uint32_t reasons = TRI_HANDLE_FOR_NEWS | (handle->lanes_full == 0 ? 0 : TRI_HANDLE_FOR_ROOM);

    handle_quiet(handle);
    if (!handle->is_waiting ||
        atomic_load_explicit(&handle->armed, memory_order_relaxed) != reasons) {
        handle_disarm(handle);
        handle->is_waiting = true;
        /* pairs with the acquire in handles_signal */
        atomic_store_explicit(&handle->armed, reasons, memory_order_release);
        tri_ring_fence(); /* pairs with the fence in tri_handles_publish */
    }
    handle_look_for_room(handle);
    return handle->room != TRI_HANDLE_ROOM_NONE || handle_has_news(handle);
}

void tri_handle_waited(struct tri_handle *handle)
{
    handle->room = TRI_HANDLE_ROOM_NONE;
}

/* Makes news of what stands first in a spool, and takes it out. */
static void handle_unpack(struct tri_handle *handle, struct tri_spool *spool,
                          const struct tri_spool_news *packed, struct tri_news *news)
{
    struct tri_in_flight *place = &handle->in_flight[packed->slot];
    bool is_last = packed->kind == TRI_NEWS_ENDED || packed->kind == TRI_NEWS_STATUS;
    bool has_more = (packed->flags & TRI_SPOOL_MORE) != 0;

    assert(packed->slot < handle->fresh_first);
    assert(place->is_used);
    *news = (struct tri_news){
        .kind = (enum tri_news_kind)packed->kind,
        .ack_type = (enum tri_ack_type)packed->ack_type,
        .code = (enum tri_error)packed->code,
        .is_duplicate = (packed->flags & TRI_SPOOL_DUPLICATE) != 0,
        .is_open = (packed->flags & TRI_SPOOL_OPEN) != 0,
        .target_count = packed->target_count,
        .retries = packed->retries,
        .cookie = place->cookie,
        .attempt = packed->attempt,
        .applied_mask = packed->applied_mask,
        .refused_mask = 0,
        .unknown_mask = 0,
        .undone_mask = 0,
        .state = NULL,
        .field = NULL,
    };
    if (is_last) {
        place->is_used = false;
        place->next_free = handle->free_first;
        handle->free_first = packed->slot;
        if (handle->wants_place) {
            handle->wants_place = false;
            handle->room = TRI_HANDLE_ROOM_DUE;
        }
    }
    tri_spool_pop(spool);
    if (has_more) {
        const struct tri_spool_rest *rest = &tri_spool_peek(spool)->rest;

        news->refused_mask = rest->refused_mask;
        news->unknown_mask = rest->unknown_mask;
        news->undone_mask = rest->undone_mask;
        news->state = news->kind == TRI_NEWS_STATUS ? rest->text : NULL;
        news->field = news->kind == TRI_NEWS_ENDED ? rest->text : NULL;
        tri_spool_pop(spool);
    }
}

static uint32_t handle_take(struct tri_handle *handle, struct tri_news *news, uint32_t max)
{
    uint32_t shards = handle->set->shards;
    uint32_t count = 0;

    assert(shards >= 1);
    for (uint32_t i = 0; i < shards && count < max; i++) {
        uint32_t shard = (handle->next_shard + i) % shards;
        struct tri_spool *spool = &handle_lane(handle, shard)->spool;
        const union tri_spool_record *record = tri_spool_peek(spool);
        uint32_t before = count;

        for (; record != NULL && count < max; record = tri_spool_peek(spool)) {
            handle_unpack(handle, spool, &record->news, &news[count]);
            count++;
        }
        if (count > before) {
            tri_spool_return(spool);
        }
    }
    handle->next_shard = (handle->next_shard + 1) % shards;
    return count;
}

uint32_t tri_handle_poll(struct tri_handle *handle, struct tri_news *news, uint32_t max)
{
    const struct tri_handles *all = handle->set->handles;
    uint32_t count = 0;

    assert(max >= 1);
    tri_handle_flush(handle);
    handle_quiet(handle);
    count = handle_take(handle, news, max);
    if (count == 0 && tri_handle_arm(handle)) {
        count = handle_take(handle, news, max);
    }
    if (count > 0) {
        handle_disarm(handle);
    } else if (handle->room == TRI_HANDLE_ROOM_DUE) {
        handle->room = TRI_HANDLE_ROOM_SIGNALLED;
        all->ops->signal(all->ops_context, handle->index);
        handle->signals_due++;
    }
    return count;
}
