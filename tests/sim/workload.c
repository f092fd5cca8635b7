/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workload: what the clients submit and when.
 *
 * A message's SUBMIT is encoded once; a duplicate is the same bytes, an equivocation the same id
 * with another payload.
 */
#include <stdio.h>

#include "tests/sim/sim.h"

#define REASON_BYTES_MAX 200U

struct draft {
    struct tri_message message;
    uint32_t asset_numbers[4];
    char id[TRI_ID_BYTES_MAX + 1];
    char reason[REASON_BYTES_MAX + 1];
    uint8_t payload[512];
};

static struct tri_text text_of(const char *at)
{
    return (struct tri_text){at, (uint32_t)strlen(at)};
}

static void draw_map(struct sim_world *world)
{
    struct sim_random *random = &world->random;
    uint32_t everybody = (1U << world->swarm.chain_count) - 1;

    memset(world->asset_turns, 0, sizeof(world->asset_turns));
    for (uint32_t i = 0; i < world->swarm.chain_count; i++) {
        (void)snprintf(world->chain_ids[i], sizeof(world->chain_ids[i]), "sim:%u", i + 1);
        world->chains_named[i].id = text_of(world->chain_ids[i]);
    }
    for (uint32_t i = 0; i < world->swarm.asset_count; i++) {
        uint32_t mask =
            sim_chance(random, 500) ? everybody : (uint32_t)sim_random(random) & everybody;

        if (mask == 0) {
            mask = 1;
        }
        (void)snprintf(world->asset_ids[i], sizeof(world->asset_ids[i]), "asset-%u", i);
        world->asset_chains[i] = mask;
    }
}

/* The id as it stands in the message's frame. */
static struct tri_text id_in(const struct sim_message *message)
{
    struct tri_text id = {NULL, 0};
    struct tri_wire_fault fault;
    enum tri_frame_type type;

    (void)tri_wire_peek(message->frame + TRI_FRAME_HEADER_BYTES,
                        message->frame_bytes - TRI_FRAME_HEADER_BYTES, &type, &id, &fault);
    return id;
}

static void draft_kind(struct sim_world *world, struct tri_message *message)
{
    static const enum tri_message_type types[] = {TRI_TYPE_STATE_SYNC, TRI_TYPE_REGULATORY_ACTION,
                                                  TRI_TYPE_GOVERNANCE};
    struct sim_random *random = &world->random;
    uint32_t draw = sim_below(random, 1000);

    message->type = types[sim_below(random, 3)];
    message->subtype = message->type == TRI_TYPE_GOVERNANCE && sim_chance(random, 500)
                           ? TRI_SUBTYPE_EXECUTE
                           : TRI_SUBTYPE_NONE;
    message->priority = sim_chance(random, world->swarm.critical_permille)
                            ? TRI_PRIORITY_CRITICAL
                            : (enum tri_priority)sim_below(random, 3);
    if (draw < world->swarm.best_effort_permille) {
        message->atomicity = TRI_BEST_EFFORT;
    } else if (draw < world->swarm.best_effort_permille + world->swarm.guaranteed_permille) {
        message->atomicity = TRI_GUARANTEED;
    } else {
        message->atomicity = TRI_ALL_OR_NOTHING;
    }
    message->scope = sim_chance(random, 500) ? TRI_SCOPE_ALL_CHAINS : TRI_SCOPE_TARGETS;
    message->finalize_requested = message->atomicity == TRI_BEST_EFFORT && sim_chance(random, 500);
    /* A lock of GOVERNANCE lasts 1,500 ms when locks are tight; a lock is never remembered for
     * shorter, so what is to be forgotten in a run must have a short one. */
    message->ttl_s = (world->swarm.has_tight_lock && message->type == TRI_TYPE_GOVERNANCE) ||
                             world->swarm.is_long
                         ? 1
                         : sim_between(random, 1, 20);
}

static void draft_scope(struct sim_world *world, struct draft *draft)
{
    struct sim_random *random = &world->random;
    struct tri_message *message = &draft->message;
    uint32_t mask = 0;

    message->asset_count = 0;
    for (uint32_t want = sim_chance(random, 700) ? 1 : sim_between(random, 1, 3); want > 0;
         want--) {
        uint32_t asset = sim_below(random, world->swarm.asset_count);
        uint32_t i = 0;

        while (i < message->asset_count && draft->asset_numbers[i] != asset) {
            i++;
        }
        if (i == message->asset_count) {
            draft->asset_numbers[i] = asset;
            message->assets[i] = text_of(world->asset_ids[asset]);
            message->asset_count++;
            mask |= world->asset_chains[asset];
        }
    }
    message->target_count = 0;
    for (uint32_t chain = 0; chain < world->swarm.chain_count; chain++) {
        if ((mask >> chain & 1U) != 0 && (message->target_count == 0 || sim_chance(random, 850))) {
            message->targets[message->target_count++] = world->chains_named[chain].id;
        }
    }
}

static void draft_payload(struct sim_world *world, struct draft *draft)
{
    static const char *const first[] = {"FREEZE", "RESTRICT", "RESERVE", "FREEZE"};
    static const char *const any[] = {"RELEASE", "RECOVER", "SEIZE", "CONFISCATE"};
    uint32_t reason = sim_chance(&world->random, 800) ? 8 : REASON_BYTES_MAX;
    uint32_t *turns = &world->asset_turns[draft->asset_numbers[0]];
    const char *action = any[0];
    struct tri_action_payload payload;

    /* Mostly what the asset's state allows if the messages before have had their effect. */
    if (sim_chance(&world->random, 100)) {
        action = any[sim_below(&world->random, 4)];
    } else if (*turns % 2 == 0) {
        action = first[sim_below(&world->random, 4)];
    }
    *turns += 1;
    memset(draft->reason, 'r', reason);
    draft->reason[reason] = '\0';
    payload.asset = draft->message.assets[0];
    payload.action = text_of(action);
    payload.reason = text_of(draft->reason);
    draft->message.payload.at = draft->payload;
    draft->message.payload.bytes =
        tri_action_encode(&payload, draft->payload, (uint32_t)sizeof(draft->payload));
    assert(draft->message.payload.bytes > 0);
}

static uint32_t encode(struct sim_world *world, const struct draft *draft, uint8_t *to)
{
    uint32_t bytes;

    world->frame.type = TRI_FRAME_SUBMIT;
    world->frame.submit = draft->message;
    bytes = tri_wire_encode(&world->frame, to, SIM_FRAME_BYTES);
    assert(bytes > 0);
    return bytes;
}

static void draw_message(struct sim_world *world, uint32_t index)
{
    struct sim_random *random = &world->random;
    struct sim_message *message = &world->messages[index];
    struct draft draft = {.id = {0}};
    uint32_t step_ms = world->swarm.span_ms / world->swarm.message_count;
    uint32_t at_ms = step_ms * index + sim_below(random, 2 * step_ms + 1);
    uint32_t padding = sim_chance(random, 300) ? sim_between(random, 1, 50) : 0;
    uint32_t id_bytes = (uint32_t)snprintf(draft.id, sizeof(draft.id), "m%u-", index);

    memset(draft.id + id_bytes, 'x', padding);
    draft.message.id = (struct tri_text){draft.id, id_bytes + padding};
    draft.message.source_chain = world->chains_named[0].id;
    draft.message.source_node = text_of("sim");
    draft_kind(world, &draft.message);
    draft_scope(world, &draft);
    draft_payload(world, &draft);
    draft.message.timestamp_ms = SIM_WALL_START_MS + at_ms;
    if (sim_chance(random, 30)) {
        draft.message.timestamp_ms += sim_chance(random, 500) ? 3600000 : 0;
        draft.message.timestamp_ms -= sim_chance(random, 500) ? 3600000 : 0;
    }
    message->timestamp_ms = draft.message.timestamp_ms;
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        draft.message.timeout_ms[phase] = sim_chance(random, 200) ? sim_between(random, 2, 300) : 0;
    }
    message->client = sim_below(random, world->swarm.client_count);
    message->asset_count = draft.message.asset_count;
    for (uint32_t i = 0; i < message->asset_count; i++) {
        message->assets[i] = (uint8_t)draft.asset_numbers[i];
    }
    message->frame_bytes = encode(world, &draft, message->frame);
    message->key = sim_key(draft.message.id);
    message->id = id_in(message);
    draft.payload[draft.message.payload.bytes - 1] ^= 1U;
    message->forged_bytes = encode(world, &draft, message->forged);
    sim_plan(world, at_ms * TRI_NS_PER_MS, SIM_SUBMIT, message->client, index, 0);
}

void sim_workload_draw(struct sim_world *world)
{
    struct sim_random *random = &world->random;

    draw_map(world);
    for (uint32_t i = 0; i < world->swarm.message_count; i++) {
        draw_message(world, i);
    }
    for (uint32_t i = 0; i < world->swarm.duplicate_submits; i++) {
        sim_plan(world, sim_below(random, world->swarm.span_ms * 2) * TRI_NS_PER_MS, SIM_SUBMIT,
                 sim_below(random, world->swarm.client_count),
                 sim_below(random, world->swarm.message_count), 0);
    }
    for (uint32_t i = 0; i < world->swarm.equivocations; i++) {
        /* The life of a submit says whether it is forged. */
        sim_plan(world, sim_below(random, world->swarm.span_ms * 2) * TRI_NS_PER_MS, SIM_SUBMIT,
                 sim_below(random, world->swarm.client_count),
                 sim_below(random, world->swarm.message_count), 1);
    }
}
