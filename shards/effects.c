/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Effects: from what the engine wants to deliveries.
 *
 * An effect is carried out in parts, one per destination shard, and the targets
 * that are done are remembered: when a part finds no room, the shard stops
 * there, steps no further, and goes on in a later turn with what is left.  So
 * a step never needs to know in advance how much room its effects will take,
 * and nothing is sent twice or left out.
 *
 * Only watchers may miss something: an event that finds no room is counted,
 * and the count is told with the next event.
 */
#include <string.h>

#include "shards/delivery.h"
#include "shards/frames.h"
#include "shards/handle.h"
#include "shards/local.h"
#include "shards/state.h"

/* The ports that a SEND effect still has to reach, in the order of its targets. */
struct send_list {
    uint32_t count;
    uint64_t shards;                /* those that own a port */
    uint64_t bits[TRI_TARGETS_MAX]; /* which target it is, as in `targets_done` */
    struct tri_delivery_target targets[TRI_TARGETS_MAX];
};

static void effects_send_add(struct tri_shard *shard, struct send_list *list, uint64_t bit,
                             tri_port port, const struct tri_target *tokens)
{
    struct tri_delivery_target *target = &list->targets[list->count];

    assert(list->count < TRI_TARGETS_MAX);
    if ((shard->pending.targets_done & bit) != 0) {
        return;
    }
    target->port = port;
    if (target->port == 0) {
        /* The chain has gone and the engine is about to hear of it: it will resend (P15). */
        shard->counters.frames_dropped++;
        shard->pending.targets_done |= bit;
        return;
    }
    target->missed = 0;
    target->token_bytes = tokens == NULL ? 0 : tokens->token_set_bytes;
    if (target->token_bytes > 0) {
        memcpy(target->tokens, tokens->tokens, target->token_bytes);
    }
    list->bits[list->count] = bit;
    list->shards |= UINT64_C(1) << TRI_PORT_SHARD(target->port);
    list->count++;
}

static void effects_send_list(struct tri_shard *shard, const struct tri_effect *effect,
                              struct send_list *list)
{
    /* P05: the tokens go with every frame but those that come before them. */
    bool has_tokens = effect->send.kind != TRI_SEND_PREPARE;

    list->count = 0;
    list->shards = 0;
    if (effect->send.is_stray) {
        effects_send_add(shard, list, 1, shard->answered, NULL);
        return;
    }
    for (uint64_t rest = effect->send.targets; rest != 0; rest &= rest - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(rest);
        const struct tri_target *target = &effect->round.targets[i];

        assert(i < effect->round.target_count);
        assert(target->chain < shard->chain_count);
        effects_send_add(shard, list, UINT64_C(1) << i, shard->seats[target->chain].route,
                         has_tokens ? target : NULL);
    }
}

/* The part of a SEND effect that goes to the ports of shard `to`. */
static bool effects_send_part(struct tri_shard *shard, const struct tri_effect *effect,
                              const struct send_list *list, struct tri_template template,
                              uint32_t to)
{
    struct tri_delivery delivery;
    uint64_t bits = 0;

    delivery.head = (struct tri_delivery_head){
        .kind = TRI_RECORD_FRAME,
        .field = TRI_FIELD_TOKENS,
        .before_bytes = template.before_bytes,
        .after_bytes = template.after_bytes,
    };
    delivery.before = shard->scratch;
    delivery.after = shard->scratch + template.before_bytes;
    for (uint32_t i = 0; i < list->count; i++) {
        if (TRI_PORT_SHARD(list->targets[i].port) == to) {
            delivery.targets[delivery.head.target_count] = list->targets[i];
            delivery.head.target_count++;
            bits |= list->bits[i];
        }
    }
    if (!tri_delivery_post(shard, to, effect->after_lsn, &delivery)) {
        return false;
    }
    shard->pending.targets_done |= bits;
    return true;
}

static bool effects_send(struct tri_shard *shard, const struct tri_effect *effect)
{
    struct tri_template template;
    struct send_list list;

    if (shard->local != NULL) {
        tri_local_send(shard, effect);
        return true;
    }
    effects_send_list(shard, effect, &list);
    if (list.count == 0) {
        return true;
    }
    template = tri_frames_send(effect, shard->chains, shard->scratch, TRI_FRAME_BYTES_MAX);
    for (uint64_t rest = list.shards; rest != 0; rest &= rest - 1) {
        if (!effects_send_part(shard, effect, &list, template, (uint32_t)__builtin_ctzll(rest))) {
            return false;
        }
    }
    return true;
}

/* A submit that was refused, or that repeats one. */
static bool effects_is_fruitless(const struct tri_effect *effect)
{
    return effect->notify.kind != TRI_NOTIFY_NOTICE &&
           (effect->notify.is_duplicate || effect->round.canonical.at == NULL);
}

/* Where finality records of the shard go, for its notices; empty: nowhere. */
static struct tri_text effects_stream(const struct tri_shard *shard)
{
    const struct tri_tape *tape = shard->journal_log.tape;

    return tape == NULL ? (struct tri_text){.at = "", .bytes = 0} : tri_tape_stream(tape);
}

static bool effects_notify(struct tri_shard *shard, const struct tri_effect *effect)
{
    struct tri_delivery delivery;
    uint32_t to = TRI_PORT_SHARD(effect->notify.client);
    uint32_t bytes = 0;

    if (tri_handle_is_client(effect->notify.client)) {
        return tri_handles_notify(shard, effect);
    }
    tri_frames_notify(effect, shard->chains, effects_stream(shard), &shard->encoded);
    bytes = tri_wire_encode(&shard->encoded, shard->scratch, TRI_SCRATCH_BYTES);
    assert(bytes > 0);
    tri_delivery_frame(&delivery, effect->notify.client, shard->scratch, bytes);
    delivery.head.is_fruitless = !shard->pending.is_own && effects_is_fruitless(effect) ? 1 : 0;
    return tri_delivery_post(shard, to, effect->after_lsn, &delivery);
}

static bool effects_append(struct tri_shard *shard, const struct tri_effect *effect)
{
    /* A journal that has failed never takes the record: what waits for it is forgotten (D07), and
     * the engine can hear of the failure only when this effect is out of the way. */
    if (!shard->journal->append(shard->journal_context, effect) && shard->failed_lsn == 0) {
        return false;
    }
    shard->durable_lsn = shard->journal->durable(shard->journal_context);
    return true;
}

/* Tells every watcher of an effect; an event waits for what it shows (D01). */
static void effects_watch(struct tri_shard *shard, const struct tri_effect *effect)
{
    uint64_t after_lsn = effect->type == TRI_EFFECT_APPEND ? effect->append.lsn : effect->after_lsn;
    struct tri_template template;

    template = tri_frames_event(effect, shard->chains, shard->wall_ms, shard->scratch,
                                TRI_FRAME_BYTES_MAX);
    for (uint32_t i = 0; i < shard->watcher_count; i++) {
        struct tri_watcher *watcher = &shard->watchers[i];
        struct tri_delivery delivery;
        uint32_t to = TRI_PORT_SHARD(watcher->port);

        delivery.head = (struct tri_delivery_head){
            .kind = TRI_RECORD_FRAME,
            .field = TRI_FIELD_MISSED,
            .target_count = 1,
            .before_bytes = template.before_bytes,
        };
        delivery.before = shard->scratch;
        delivery.after = NULL;
        delivery.targets[0] = (struct tri_delivery_target){.port = watcher->port};
        if (to != shard->index) {
            /* A watcher of this shard has its count added where the frame is written. */
            delivery.targets[0].missed = watcher->missed;
        }
        if (!tri_delivery_post(shard, to, after_lsn, &delivery)) {
            watcher->missed++;
            shard->counters.watch_missed++;
        } else if (to != shard->index) {
            watcher->missed = 0;
        }
    }
}

static bool effects_carry_one(struct tri_shard *shard, const struct tri_effect *effect)
{
    bool is_done = false;

    switch (effect->type) {
    case TRI_EFFECT_SEND:
        is_done = effects_send(shard, effect);
        break;
    case TRI_EFFECT_NOTIFY:
        is_done = effects_notify(shard, effect);
        break;
    case TRI_EFFECT_APPEND:
        is_done = effects_append(shard, effect);
        break;
    case TRI_EFFECT_DELIVER:
        tri_envelopes_ask(shard, effect);
        is_done = true;
        break;
    }
    if (is_done && shard->watcher_count > 0 && tri_frames_is_event(effect)) {
        effects_watch(shard, effect);
    }
    return is_done;
}

/* A message that the engine does not store is named by the text of the event.  Such an effect never
 * has to wait: it answers the port that the event came from, and room for that was made sure of. */
static bool effects_may_wait(const struct tri_effect *effect)
{
    if (effect->type == TRI_EFFECT_NOTIFY && tri_handle_is_client(effect->notify.client)) {
        return true; /* a handle is not told the id */
    }
    return effect->type == TRI_EFFECT_APPEND || effect->round.canonical.at != NULL;
}

bool tri_effects_carry_out(struct tri_shard *shard)
{
    struct tri_pending *pending = &shard->pending;

    while (pending->next < pending->effects.count) {
        if (!effects_carry_one(shard, &pending->effects.at[pending->next])) {
            assert(effects_may_wait(&pending->effects.at[pending->next]));
            shard->is_blocked = true;
            return false;
        }
        pending->next++;
        pending->targets_done = 0;
    }
    return true;
}

bool tri_effects_release(struct tri_shard *shard)
{
    struct tri_hold_entry entry;

    while (tri_hold_peek(&shard->hold, &entry)) {
        bool is_lost = shard->failed_lsn != 0 && entry.lsn >= shard->failed_lsn;

        if (is_lost) {
            shard->counters.frames_dropped++; /* D07: it must never leave */
        } else if (entry.lsn > shard->durable_lsn) {
            return true;
        } else if (entry.shard == shard->index) {
            tri_delivery_take(shard, shard->index, entry.record, entry.bytes);
        } else {
            void *room = tri_mesh_reserve(shard->mesh, shard->index, entry.shard, TRI_LANE_DELIVER,
                                          entry.bytes);

            if (room == NULL) {
                shard->is_blocked = true;
                return false;
            }
            memcpy(room, entry.record, entry.bytes);
            tri_mesh_commit(shard->mesh, shard->index, entry.shard, TRI_LANE_DELIVER, entry.bytes);
        }
        tri_hold_pop(&shard->hold);
    }
    return true;
}
