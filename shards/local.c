/* SPDX-License-Identifier: Apache-2.0 */
#include "shards/local.h"

#include <stdalign.h>
#include <string.h>

#include "engine/order.h"
#include "shards/state.h"

/* See the bounds in the header: two answers per effect and target; a power of two. */
#define ANSWERS_MAX     4096U
#define WAITS_PER_ROUND 2U

static_assert(ANSWERS_MAX >= 2 * TRI_EFFECTS_MAX * TRI_TARGETS_MAX, "the line is never full");
static_assert((ANSWERS_MAX & (ANSWERS_MAX - 1)) == 0, "indices are masked");

/* An answer in the line; the tickets of one order's answers differ in the chain alone. */
struct local_answer {
    struct tri_answer answer;
    uint16_t chain;
    uint16_t ticket; /* where it lies */
};

/* The name of an order that waits for a record. */
struct local_wait {
    uint64_t lsn;
    struct tri_key key;
    tri_attempt attempt;
    uint64_t targets;
    uint64_t affected;
    uint8_t kind;
    uint8_t id_bytes;
    char id[TRI_ID_BYTES_MAX];
};

struct tri_local {
    const struct tri_chain_port *ports;
    uint32_t answer_first;
    uint32_t answer_count;
    uint32_t ticket_next;
    uint32_t wait_first;
    uint32_t wait_count;
    uint32_t waits_max;
    bool has_forgotten;    /* orders that found no place: their chains have to count as fresh */
    uint64_t released_lsn; /* the newest record that an order has waited for, or might have */
    struct local_answer *answers;
    struct tri_ticket *tickets; /* one per answer at most, so none is reused too early */
    struct local_wait *waits;
    struct tri_order order; /* the one that a handler looks at */
    uint16_t affected[TRI_TARGETS_MAX];
};

static const uint8_t tokens_none[] = {0x90}; /* an empty msgpack array */

static size_t local_round_up(size_t bytes)
{
    return (bytes + TRI_CACHE_LINE - 1) / TRI_CACHE_LINE * TRI_CACHE_LINE;
}

size_t tri_local_footprint(uint32_t rounds_max)
{
    return local_round_up(sizeof(struct tri_local)) +
           local_round_up(ANSWERS_MAX * sizeof(struct local_answer)) +
           local_round_up(ANSWERS_MAX * sizeof(struct tri_ticket)) +
           local_round_up((size_t)rounds_max * WAITS_PER_ROUND * sizeof(struct local_wait));
}

struct tri_local *tri_local_init(void *memory, uint32_t rounds_max,
                                 const struct tri_chain_port *ports)
{
    struct tri_local *local = memory;
    uint8_t *at = memory;

    assert((uintptr_t)memory % TRI_CACHE_LINE == 0);
    assert(rounds_max >= 1);
    memset(local, 0, sizeof(*local));
    local->ports = ports;
    at += local_round_up(sizeof(*local));
    local->answers = (void *)at;
    at += local_round_up(ANSWERS_MAX * sizeof(struct local_answer));
    local->tickets = (void *)at;
    at += local_round_up(ANSWERS_MAX * sizeof(struct tri_ticket));
    local->waits = (void *)at;
    local->waits_max = rounds_max * WAITS_PER_ROUND;
    return local;
}

/* ---- orders ---- */

/* Everything of an order but its chain and its tokens. */
static void local_order(struct tri_shard *shard, const struct tri_round_view *round,
                        enum tri_send kind, tri_attempt attempt, uint64_t affected)
{
    struct tri_order *order = &shard->local->order;
    bool is_phase = kind <= TRI_SEND_FINALIZE;
    bool is_rollback = kind == TRI_SEND_ROLLBACK;

    assert(round->id.bytes >= 1 && round->id.bytes <= TRI_ID_BYTES_MAX);
    order->ticket.key = round->key;
    order->ticket.attempt = attempt;
    order->ticket.kind = (uint8_t)kind;
    order->ticket.id_bytes = (uint8_t)round->id.bytes;
    memcpy(order->ticket.id, round->id.at, round->id.bytes);
    order->shard = shard->index;
    order->now_ns = shard->now_ns;
    order->wall_ms = shard->wall_ms;
    order->hash = round->hash;
    order->atomicity = round->atomicity;
    order->expires_at_ms = round->expires_at_ms;
    order->reservation_ttl_ms = kind == TRI_SEND_PREPARE ? round->reservation_ttl_ms : 0;
    order->inner = is_phase ? round->inner : (struct tri_bytes){.at = NULL, .bytes = 0};
    order->reason = is_rollback ? round->cause : TRI_ERROR_NONE;
    order->rollback_deadline_ms = is_rollback ? round->rollback_deadline_ms : 0;
    order->affected_count = 0;
    order->affected = shard->local->affected;
    for (uint64_t rest = is_rollback ? affected : 0; rest != 0; rest &= rest - 1) {
        uint32_t target = (uint32_t)__builtin_ctzll(rest);

        shard->local->affected[order->affected_count] = round->targets[target].chain;
        order->affected_count++;
    }
}

/* Calls the handler of one chain; its answer, if it has one, stands in line and needs the ticket
 * that local_keep_ticket() keeps. */
static void local_call(struct tri_shard *shard, uint16_t chain, struct tri_bytes tokens)
{
    struct tri_local *local = shard->local;
    const struct tri_chain_port *port = &local->ports[chain];
    uint32_t last = (local->answer_first + local->answer_count) & (ANSWERS_MAX - 1);
    struct local_answer *place = &local->answers[last];

    assert(chain < shard->chain_count);
    assert(local->answer_count < ANSWERS_MAX);
    local->order.ticket.chain = chain;
    local->order.tokens = tokens;
    memset(&place->answer, 0, sizeof(place->answer));
    shard->counters.orders++;
    if (port->handler(port->context, &local->order, &place->answer) == TRI_REPLY_NOW) {
        assert(tri_answer_fits((enum tri_send)local->order.ticket.kind, &place->answer));
        place->chain = chain;
        place->ticket = (uint16_t)local->ticket_next;
        local->answer_count++;
    }
}

/* Behind the calls of one order: `before` were in the line. */
static void local_keep_ticket(struct tri_local *local, uint32_t before)
{
    if (local->answer_count > before) {
        local->tickets[local->ticket_next] = local->order.ticket;
        local->ticket_next = (local->ticket_next + 1) & (ANSWERS_MAX - 1);
    }
}

/* The order that was made, to all targets whose chain can be reached. */
static void local_call_all(struct tri_shard *shard, const struct tri_round_view *round,
                           enum tri_send kind, uint64_t targets)
{
    uint32_t before = shard->local->answer_count;

    for (uint64_t rest = targets; rest != 0; rest &= rest - 1) {
        const struct tri_target *target = &round->targets[__builtin_ctzll(rest)];
        /* P05: the tokens go with every order but those that come before them. */
        bool has_tokens = kind != TRI_SEND_PREPARE && target->token_set_bytes > 0;

        if (!shard->seats[target->chain].route_up) {
            shard->counters.frames_dropped++; /* the engine sends it again (P15) */
            continue;
        }
        local_call(shard, target->chain,
                   has_tokens
                       ? (struct tri_bytes){.at = target->tokens, .bytes = target->token_set_bytes}
                       : (struct tri_bytes){.at = tokens_none, .bytes = sizeof(tokens_none)});
    }
    local_keep_ticket(shard->local, before);
}

static void local_wait(struct tri_shard *shard, const struct tri_effect *effect)
{
    struct tri_local *local = shard->local;
    struct local_wait *wait = NULL;

    if (local->wait_count == local->waits_max) {
        local->has_forgotten = true;
        shard->counters.frames_dropped++;
        return;
    }
    wait = &local->waits[(local->wait_first + local->wait_count) % local->waits_max];
    local->wait_count++;
    shard->counters.effects_held++;
    wait->lsn = effect->after_lsn;
    wait->key = effect->round.key;
    wait->attempt = effect->send.attempt;
    wait->targets = effect->send.targets;
    wait->affected = effect->send.affected;
    wait->kind = (uint8_t)effect->send.kind;
    wait->id_bytes = (uint8_t)effect->round.id.bytes;
    memcpy(wait->id, effect->round.id.at, effect->round.id.bytes);
}

void tri_local_send(struct tri_shard *shard, const struct tri_effect *effect)
{
    enum tri_send kind = effect->send.kind;
    uint32_t before = shard->local->answer_count;

    if (effect->after_lsn > shard->durable_lsn) {
        assert(!effect->send.is_stray);
        local_wait(shard, effect);
        return;
    }
    if (effect->after_lsn > shard->local->released_lsn) {
        shard->local->released_lsn = effect->after_lsn;
    }
    local_order(shard, &effect->round, kind, effect->send.attempt, effect->send.affected);
    if (effect->send.is_stray) {
        /* It goes back to who has just spoken, whatever was said of his chain. */
        local_call(shard, effect->send.chain,
                   (struct tri_bytes){.at = tokens_none, .bytes = sizeof(tokens_none)});
        local_keep_ticket(shard->local, before);
        return;
    }
    local_call_all(shard, &effect->round, kind, effect->send.targets);
}

/* When nothing waits any more, the chains of forgotten orders are asked again. */
static void local_recall(struct tri_shard *shard)
{
    shard->local->has_forgotten = false;
    for (uint32_t chain = 0; chain < shard->chain_count; chain++) {
        if (shard->seats[chain].route_up) {
            tri_local_chain(shard, (uint16_t)chain, true);
        }
    }
}

/* Makes the oldest waiting order. */
static void local_release(struct tri_shard *shard)
{
    struct tri_local *local = shard->local;
    const struct local_wait *wait = &local->waits[local->wait_first];
    struct tri_text id = {.at = wait->id, .bytes = wait->id_bytes};
    struct tri_engine_status status;

    local->wait_first = (local->wait_first + 1) % local->waits_max;
    local->wait_count--;
    if (local->wait_count == 0 && local->has_forgotten) {
        local_recall(shard);
    }
    if (shard->failed_lsn != 0 && wait->lsn >= shard->failed_lsn) {
        shard->counters.frames_dropped++; /* D07: it must never leave */
        return;
    }
    if (tri_engine_status(shard->engine, wait->key, id, shard->now_ns, &status) != TRI_OK ||
        !status.is_open || status.round.attempt != wait->attempt) {
        return; /* its round has ended, and with it the order's sense */
    }
    local->released_lsn = wait->lsn;
    local_order(shard, &status.round, (enum tri_send)wait->kind, wait->attempt, wait->affected);
    local_call_all(shard, &status.round, (enum tri_send)wait->kind, wait->targets);
}

/* ---- answers ---- */

static void local_answer(struct tri_shard *shard, const struct tri_ticket *ticket, uint16_t chain,
                         const struct tri_answer *answer)
{
    struct tri_text id = {.at = ticket->id, .bytes = ticket->id_bytes};
    enum tri_result result = TRI_OK;
    struct tri_event event;

    if (ticket->kind <= TRI_SEND_FINALIZE) {
        event.type = TRI_EVENT_PHASE_ACK;
        event.phase_ack.key = ticket->key;
        event.phase_ack.id = id;
        event.phase_ack.chain = chain;
        event.phase_ack.phase = (enum tri_phase)ticket->kind;
        event.phase_ack.attempt = ticket->attempt;
        event.phase_ack.type = answer->type;
        event.phase_ack.code = answer->code;
        event.phase_ack.already_applied = answer->already_applied;
        event.phase_ack.tokens =
            (struct tri_bytes){.at = answer->tokens, .bytes = answer->token_bytes};
    } else {
        event.type = TRI_EVENT_CONTROL_ACK;
        event.control_ack.key = ticket->key;
        event.control_ack.id = id;
        event.control_ack.chain = chain;
        event.control_ack.kind =
            ticket->kind == TRI_SEND_ABORT ? TRI_CONTROL_ABORT : TRI_CONTROL_ROLLBACK;
        event.control_ack.attempt = ticket->attempt;
        event.control_ack.type = answer->type;
        event.control_ack.code = answer->code;
    }
    result = tri_shard_step(shard, &event);
    assert(result != TRI_VIOLATION); /* tri_answer_fits() has seen it */
}

void tri_local_answer(struct tri_shard *shard, const struct tri_ticket *ticket,
                      const struct tri_answer *answer)
{
    assert(tri_route_shard(shard->route, ticket->key) == shard->index);
    local_answer(shard, ticket, ticket->chain, answer);
}

bool tri_local_is_due(const struct tri_shard *shard, uint64_t *lsn)
{
    const struct tri_local *local = shard->local;
    uint64_t wait_lsn = 0;

    *lsn = local->released_lsn;
    if (local->answer_count > 0) {
        return true;
    }
    if (local->wait_count == 0) {
        return false;
    }
    wait_lsn = local->waits[local->wait_first].lsn;
    if (shard->failed_lsn != 0 && wait_lsn >= shard->failed_lsn) {
        return true; /* to be forgotten */
    }
    *lsn = wait_lsn;
    return wait_lsn <= shard->durable_lsn;
}

void tri_local_step(struct tri_shard *shard)
{
    struct tri_local *local = shard->local;

    if (local->answer_count == 0) {
        local_release(shard);
        return;
    }
    do {
        const struct local_answer *first = &local->answers[local->answer_first];

        local_answer(shard, &local->tickets[first->ticket], first->chain, &first->answer);
        shard->counters.answers_at_once++;
        local->answer_count--;
        local->answer_first = (local->answer_first + 1) & (ANSWERS_MAX - 1);
    } while (shard->pending.effects.count == 0 && local->answer_count > 0);
    if (local->answer_count == 0) { /* begin at the front again, where the memory is warm */
        local->answer_first = 0;
        local->ticket_next = 0;
    }
}

void tri_local_chain(struct tri_shard *shard, uint16_t chain, bool is_up)
{
    struct tri_route_news news = {.chain = chain, .is_up = is_up, .is_fresh = is_up, .port = 0};

    tri_seats_route(shard, &news);
}
