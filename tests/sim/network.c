/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network: one link between the coordinator and each chain.
 *
 * Streams keep their order and lose frames only with the link: what is on the
 * way when it breaks is gone, and the next connection begins with WELCOME.
 * Datagrams may be lost, doubled and overtaken at any time.  Links to clients
 * are dependable but slow.  A frame is bytes: the sender encodes it, the
 * receiver decodes it.
 */
#include "tests/sim/sim.h"

uint32_t sim_frame_copy(struct sim_world *world, const uint8_t *bytes, uint32_t count)
{
    uint32_t frame;

    assert(world->frame_free_count > 0);
    assert(count <= SIM_FRAME_BYTES);
    frame = world->frame_free[--world->frame_free_count];
    memcpy(world->frames[frame], bytes, count);
    world->frame_bytes[frame] = count;
    return frame;
}

uint32_t sim_frame_take(struct sim_world *world, const struct tri_frame *frame)
{
    uint32_t taken;

    assert(world->frame_free_count > 0);
    taken = world->frame_free[--world->frame_free_count];
    world->frame_bytes[taken] = tri_wire_encode(frame, world->frames[taken], SIM_FRAME_BYTES);
    assert(world->frame_bytes[taken] > 0);
    return taken;
}

void sim_frame_give(struct sim_world *world, uint32_t frame)
{
    assert(frame < SIM_FRAMES_MAX);
    assert(world->frame_free_count < SIM_FRAMES_MAX);
    world->frame_free[world->frame_free_count++] = frame;
}

void sim_frame_open(struct sim_world *world, uint32_t frame, struct tri_frame *to)
{
    struct tri_wire_fault fault = {TRI_ERROR_NONE, 0, ""};
    enum tri_result result =
        tri_wire_decode(world->frames[frame] + TRI_FRAME_HEADER_BYTES,
                        world->frame_bytes[frame] - TRI_FRAME_HEADER_BYTES, to, &fault);

    if (result != TRI_OK) {
        sim_break(world, "wire", "a frame that was encoded cannot be decoded: %s at %u in %s",
                  tri_error_name(fault.code), fault.at, fault.field);
    }
}

static uint64_t network_delay_ns(struct sim_world *world)
{
    struct sim_random *random = &world->random;
    uint64_t delay_us = 20 + sim_below(random, world->swarm.delay_us_max);

    if (!world->is_healed && sim_chance(random, world->swarm.slow_permille)) {
        delay_us += sim_below(random, world->swarm.slow_us_max);
        world->coverage.frames_late++;
    }
    return delay_us * 1000;
}

/* When a frame that leaves now arrives; streams keep their order. */
static uint64_t network_arrival_ns(struct sim_world *world, struct sim_link *link, uint32_t way)
{
    uint64_t at_ns = world->now_ns + network_delay_ns(world);

    if (way == 0 && link->is_blocked && at_ns < link->free_ns) {
        at_ns = link->free_ns;
    }
    if (!world->swarm.is_datagram) {
        if (at_ns <= link->last_ns[way]) {
            at_ns = link->last_ns[way] + 1;
        }
        link->last_ns[way] = at_ns;
    }
    return at_ns;
}

static void network_send(struct sim_world *world, enum sim_moment_kind kind, uint32_t chain,
                         uint32_t frame)
{
    struct sim_link *link = &world->links[chain];
    uint32_t way = kind == SIM_TO_CHAIN ? 0 : 1;
    uint32_t copies = 1;

    if (!link->is_up || (way == 1 && !link->is_welcomed)) {
        world->coverage.frames_lost++;
        sim_frame_give(world, frame);
        return;
    }
    if (!world->is_healed) {
        if (sim_chance(&world->random, world->swarm.loss_permille)) {
            world->coverage.frames_lost++;
            sim_frame_give(world, frame);
            return;
        }
        if (sim_chance(&world->random, world->swarm.duplicate_permille)) {
            world->coverage.frames_doubled++;
            copies += sim_between(&world->random, 1, 2);
        }
    }
    for (uint32_t i = 1; i < copies; i++) {
        uint32_t copy = sim_frame_copy(world, world->frames[frame], world->frame_bytes[frame]);

        sim_plan(world, network_arrival_ns(world, link, way) - world->now_ns, kind, chain, copy,
                 link->life);
    }
    sim_plan(world, network_arrival_ns(world, link, way) - world->now_ns, kind, chain, frame,
             link->life);
}

void sim_send_to_chain(struct sim_world *world, uint32_t chain, uint32_t frame)
{
    check_to_chain(world, chain, frame);
    network_send(world, SIM_TO_CHAIN, chain, frame);
}

void sim_send_to_coordinator(struct sim_world *world, uint32_t chain, uint32_t frame)
{
    check_from_chain(world, chain, frame);
    network_send(world, SIM_TO_COORDINATOR, chain, frame);
}

/* The engine learns of a break at once, later, or never before the next connection. */
void sim_link_cut(struct sim_world *world, uint32_t chain, uint64_t down_ns)
{
    struct sim_link *link = &world->links[chain];

    if (link->is_up) {
        link->is_up = false;
        link->is_welcomed = false;
        link->is_blocked = false;
        link->life++;
        world->coverage.links_cut++;
        sim_trace(world, "link is cut", SIM_MESSAGES_MAX, chain, 0, down_ns / TRI_NS_PER_MS);
        sim_plan(world,
                 sim_below(&world->random, 2) * TRI_NS_PER_MS * sim_below(&world->random, 40),
                 SIM_LINK_NOTICED, chain, 0, link->life);
    }
    sim_plan(world, down_ns, SIM_LINK_UP, chain, 0, link->life);
}

static void network_up(struct sim_world *world, uint32_t chain)
{
    struct sim_link *link = &world->links[chain];

    if (link->is_up || !world->chains[chain].is_running || world->coordinator.is_down) {
        return; /* whoever starts, a chain or the coordinator, connects by itself */
    }
    link->is_up = true;
    link->is_welcomed = false;
    link->life++;
    link->last_ns[0] = link->last_ns[1] = world->now_ns;
    sim_trace(world, "link is up", SIM_MESSAGES_MAX, chain, 0, world->chains[chain].instance);
    /* WELCOME goes first: what = SIM_NO_FRAME. */
    sim_plan(world, network_arrival_ns(world, link, 0) - world->now_ns, SIM_TO_CHAIN, chain,
             SIM_NO_FRAME, link->life);
    sim_coordinator_chain(world, chain, true, true);
}

static void network_block(struct sim_world *world, uint32_t chain, uint32_t ms)
{
    struct sim_link *link = &world->links[chain];

    if (!link->is_up || link->is_blocked || !link->is_told_up) {
        return;
    }
    link->is_blocked = true;
    link->free_ns = world->now_ns + ms * TRI_NS_PER_MS;
    world->coverage.links_blocked++;
    sim_coordinator_chain(world, chain, false, false);
    sim_plan(world, ms * TRI_NS_PER_MS, SIM_LINK_FREE, chain, 0, link->life);
}

void sim_network_moment(struct sim_world *world, const struct sim_moment *moment)
{
    struct sim_link *link = &world->links[moment->who];

    switch (moment->kind) {
    case SIM_LINK_CUT:
        sim_link_cut(world, moment->who, moment->what * TRI_NS_PER_MS);
        break;
    case SIM_LINK_UP:
        network_up(world, moment->who);
        break;
    case SIM_LINK_NOTICED:
        if (moment->life == link->life && link->is_told_up) {
            sim_coordinator_chain(world, moment->who, false, false);
        }
        break;
    case SIM_LINK_BLOCK:
        network_block(world, moment->who, moment->what);
        break;
    default:
        assert(moment->kind == SIM_LINK_FREE);
        if (moment->life == link->life && link->is_blocked) {
            link->is_blocked = false;
            sim_coordinator_chain(world, moment->who, true, false);
        }
        break;
    }
}

void sim_network_start(struct sim_world *world)
{
    struct sim_random *random = &world->random;
    uint64_t span_ms = world->swarm.span_ms;

    for (uint32_t chain = 0; chain < world->swarm.chain_count; chain++) {
        /* A chain may come late: phases for it are open before (P15). */
        sim_plan(world,
                 sim_chance(random, 800) ? 0
                                         : sim_below(random, world->swarm.span_ms) * TRI_NS_PER_MS,
                 SIM_LINK_UP, chain, 0, 0);
    }
    for (uint32_t i = 0; i < world->swarm.cuts; i++) {
        sim_plan(world, sim_below(random, (uint32_t)span_ms) * TRI_NS_PER_MS, SIM_LINK_CUT,
                 sim_below(random, world->swarm.chain_count),
                 sim_between(random, 1, world->swarm.cut_ms_max), 0);
    }
    for (uint32_t i = 0; i < world->swarm.blocks; i++) {
        sim_plan(world, sim_below(random, (uint32_t)span_ms) * TRI_NS_PER_MS, SIM_LINK_BLOCK,
                 sim_below(random, world->swarm.chain_count), sim_between(random, 1, 100), 0);
    }
}
