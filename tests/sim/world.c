/* SPDX-License-Identifier: Apache-2.0 */
/*
 * World: the clock, the calendar, and the life of a run.
 *
 * The calendar is a heap ordered by (time, order of planning).  Timers of the
 * engine and of the participants are not in it: their deadlines are asked for
 * before every step, as a real loop does.
 *
 * A run ends when the network has healed, every message has ended, nothing is
 * on its way, and so much time has passed that no reservation may be left.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim.h"

#define LIVELY_NS    (600 * TRI_NS_PER_S) /* everything has ended so long after the network healed */
#define AFTERMATH_NS (200 * TRI_NS_PER_S) /* no reservation and no window lasts longer */
#define STEPS_MAX    2000000U

/* ---- small things ---- */

uint64_t sim_digest(const void *bytes, size_t count, uint64_t start)
{
    const uint8_t *at = bytes;
    uint64_t digest = sim_mix(start + count + 1);

    while (count >= 8) {
        uint64_t word;

        memcpy(&word, at, 8);
        digest = (digest ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        digest ^= digest >> 29;
        at += 8;
        count -= 8;
    }
    for (; count > 0; count--, at++) {
        digest = (digest ^ *at) * UINT64_C(0x100000001b3);
    }
    return sim_mix(digest);
}

struct tri_key sim_key(struct tri_text id)
{
    return (struct tri_key){sim_digest(id.at, id.bytes, 1), sim_digest(id.at, id.bytes, 2)};
}

struct tri_hash sim_hash(struct tri_bytes bytes)
{
    uint64_t halves[2] = {sim_digest(bytes.at, bytes.bytes, 3),
                          sim_digest(bytes.at, bytes.bytes, 4)};
    struct tri_hash hash;

    static_assert(sizeof(halves) == sizeof(hash), "128 bits");
    memcpy(&hash, halves, sizeof(hash));
    return hash;
}

uint32_t sim_message_of(struct tri_text id)
{
    uint32_t number = 0;

    for (uint32_t i = 1; i < id.bytes && id.at[i] >= '0' && id.at[i] <= '9'; i++) {
        number = number * 10 + (uint32_t)(id.at[i] - '0');
    }
    return number < SIM_MESSAGES_MAX ? number : SIM_MESSAGES_MAX;
}

uint64_t sim_wall_ms(const struct sim_world *world, uint32_t who)
{
    return (uint64_t)((int64_t)(SIM_WALL_START_MS + world->now_ns / TRI_NS_PER_MS) +
                      world->wall_offset_ms[who]);
}

/* ---- trace ---- */

static void trace_print(const struct sim_trace_line *line)
{
    (void)printf("# %12.6f ms  %-28s", (double)line->at_ns / 1e6, line->what);
    if (line->message < SIM_MESSAGES_MAX) {
        (void)printf(" m%-3u", line->message);
    } else {
        (void)printf("     ");
    }
    (void)printf(" @%u", line->who);
    if (line->attempt != 0) {
        (void)printf(" attempt %u.%u", TRI_ATTEMPT_EPOCH(line->attempt),
                     TRI_ATTEMPT_N(line->attempt));
    }
    (void)printf(" %llu\n", (unsigned long long)line->value);
}

void sim_trace(struct sim_world *world, const char *what, uint32_t message, uint32_t who,
               tri_attempt attempt, uint64_t value)
{
    struct sim_trace_line *line = &world->trace[world->trace_count % SIM_TRACE_LINES];
    uint64_t numbers[5] = {world->now_ns, message, who, attempt, value};

    *line = (struct sim_trace_line){world->now_ns, what, message, who, attempt, value};
    world->trace_count++;
    world->trace_digest = sim_digest(what, strlen(what), world->trace_digest);
    world->trace_digest = sim_digest(numbers, sizeof(numbers), world->trace_digest);
    if (world->is_printing) {
        trace_print(line);
    }
}

void sim_explain(const struct sim_world *world)
{
    uint64_t count = world->trace_count < SIM_TRACE_LINES ? world->trace_count : SIM_TRACE_LINES;

    for (uint64_t i = 0; i < count; i++) {
        trace_print(&world->trace[(world->trace_count - count + i) % SIM_TRACE_LINES]);
    }
    if (world->has_failed) {
        (void)printf("# broken at %.6f ms: %s\n", (double)world->now_ns / 1e6, world->failure);
    }
    (void)printf("# build/tricast-sim --seed %llu --trace\n", (unsigned long long)world->seed);
    (void)fflush(stdout);
}

void sim_break(struct sim_world *world, const char *statement, const char *format, ...)
{
    va_list arguments;
    int used;

    if (world->has_failed) {
        return;
    }
    world->has_failed = true;
    used = snprintf(world->failure, sizeof(world->failure), "%s: ", statement);
    assert(used > 0);
    va_start(arguments, format);
    (void)vsnprintf(world->failure + used, sizeof(world->failure) - (size_t)used, format,
                    arguments);
    va_end(arguments);
}

/* ---- calendar ---- */

static bool is_earlier(const struct sim_moment *a, const struct sim_moment *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

void sim_plan(struct sim_world *world, uint64_t delay_ns, enum sim_moment_kind kind, uint32_t who,
              uint32_t what, uint64_t life)
{
    struct sim_moment moment = {
        .at_ns = world->now_ns + delay_ns,
        .order = world->moment_order++,
        .kind = kind,
        .who = who,
        .what = what,
        .life = life,
    };
    uint32_t hole = world->moment_count++;

    assert(world->moment_count <= SIM_MOMENTS_MAX);
    while (hole > 0 && is_earlier(&moment, &world->moments[(hole - 1) / 2])) {
        world->moments[hole] = world->moments[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    world->moments[hole] = moment;
}

static struct sim_moment calendar_take(struct sim_world *world)
{
    struct sim_moment first = world->moments[0];
    struct sim_moment last;
    uint32_t hole = 0;
    uint32_t child;

    assert(world->moment_count > 0);
    last = world->moments[--world->moment_count];
    while ((child = 2 * hole + 1) < world->moment_count) {
        if (child + 1 < world->moment_count &&
            is_earlier(&world->moments[child + 1], &world->moments[child])) {
            child++;
        }
        if (is_earlier(&last, &world->moments[child])) {
            break;
        }
        world->moments[hole] = world->moments[child];
        hole = child;
    }
    world->moments[hole] = last;
    return first;
}

/* ---- what happens ---- */

static void world_submit(struct sim_world *world, const struct sim_moment *moment)
{
    const struct sim_message *message = &world->messages[moment->what];
    bool is_forged = moment->life == 1;

    if (world->coordinator.is_down) {
        sim_plan(world, sim_between(&world->random, 1, 500) * TRI_NS_PER_MS, SIM_SUBMIT,
                 moment->who, moment->what, moment->life); /* the client tries again */
        return;
    }
    sim_trace(world, is_forged ? "SUBMIT with other content" : "SUBMIT", moment->what, moment->who,
              0, 0);
    sim_coordinator_submit(world, moment->who, is_forged ? message->forged : message->frame,
                           is_forged ? message->forged_bytes : message->frame_bytes);
}

static void world_wall_jump(struct sim_world *world, const struct sim_moment *moment)
{
    static const int64_t jumps_ms[] = {-3600000, -5000, -300, 300, 5000, 40000};

    world->wall_offset_ms[moment->who] += jumps_ms[moment->what];
    world->coverage.wall_jumps++;
    sim_trace(world, "wall clock jumps", SIM_MESSAGES_MAX, moment->who, 0, moment->what);
}

static void world_heal(struct sim_world *world)
{
    world->is_healed = true;
    sim_trace(world, "the network heals", SIM_MESSAGES_MAX, 0, 0, 0);
    for (uint32_t chain = 0; chain < world->swarm.chain_count; chain++) {
        if (!world->chains[chain].is_running) {
            sim_chain_restart(world, chain);
        } else if (!world->links[chain].is_up) {
            sim_plan(world, TRI_NS_PER_MS, SIM_LINK_UP, chain, 0, 0);
        }
    }
}

static void world_arrive(struct sim_world *world, const struct sim_moment *moment)
{
    bool is_alive = moment->kind == SIM_TO_CLIENT || world->links[moment->who].life == moment->life;

    if (moment->what == SIM_NO_FRAME) {
        if (is_alive) {
            sim_chain_welcome(world, moment->who);
        }
        return;
    }
    if (!is_alive) {
        world->coverage.frames_lost++;
    } else if (moment->kind == SIM_TO_CHAIN) {
        sim_chain_frame(world, moment->who, moment->what);
    } else if (moment->kind == SIM_TO_COORDINATOR) {
        sim_coordinator_frame(world, moment->who, moment->what);
    }
    sim_frame_give(world, moment->what);
}

static void world_happen(struct sim_world *world, const struct sim_moment *moment)
{
    switch (moment->kind) {
    case SIM_TO_CHAIN:
    case SIM_TO_COORDINATOR:
    case SIM_TO_CLIENT:
        world_arrive(world, moment);
        return;
    case SIM_SUBMIT:
        world_submit(world, moment);
        return;
    case SIM_JOURNAL_DONE:
        if (moment->life == world->coordinator.life) {
            sim_coordinator_durable(world);
        }
        return;
    case SIM_CHAIN_JOURNAL_DONE:
        if (moment->life == world->chains[moment->who].life) {
            sim_chain_durable(world, moment->who);
        }
        return;
    case SIM_LEDGER_DONE:
        if (moment->life == world->chains[moment->who].life) {
            sim_chain_verdict(world, moment->who, moment->what);
        }
        return;
    case SIM_LINK_CUT:
    case SIM_LINK_UP:
    case SIM_LINK_NOTICED:
    case SIM_LINK_BLOCK:
    case SIM_LINK_FREE:
        sim_network_moment(world, moment);
        return;
    case SIM_CHAIN_CRASH:
        sim_chain_crash(world, moment->who);
        return;
    case SIM_CHAIN_START:
        sim_chain_restart(world, moment->who);
        return;
    case SIM_COORDINATOR_CRASH:
        if (!world->is_healed || world->coordinator.is_broken) {
            sim_coordinator_crash(world);
        }
        return;
    case SIM_COORDINATOR_START:
        if (moment->life == world->coordinator.life) {
            sim_coordinator_restart(world);
        }
        return;
    case SIM_CHECKPOINT:
        if (moment->life == world->coordinator.life) {
            sim_checkpoint(world);
        }
        return;
    case SIM_JOURNAL_FAIL:
        sim_coordinator_break(world);
        return;
    case SIM_WALL_JUMP:
        world_wall_jump(world, moment);
        return;
    case SIM_VERDICT:
        sim_forced_verdict(world, moment);
        return;
    case SIM_REDELIVER:
        sim_forced_redeliver(world, moment);
        return;
    case SIM_HEAL:
        world_heal(world);
        return;
    }
    assert(moment->kind <= SIM_HEAL);
}

/* ---- a run ---- */

static void world_plan_faults(struct sim_world *world)
{
    struct sim_random *random = &world->random;
    uint32_t span_ms = world->swarm.span_ms;

    for (uint32_t i = 0; i < world->swarm.chain_crashes; i++) {
        sim_plan(world, sim_below(random, span_ms) * TRI_NS_PER_MS, SIM_CHAIN_CRASH,
                 sim_below(random, world->swarm.chain_count), 0, 0);
    }
    for (uint32_t i = 0; i < world->swarm.coordinator_crashes; i++) {
        sim_plan(world, sim_below(random, span_ms) * TRI_NS_PER_MS, SIM_COORDINATOR_CRASH, 0, 0, 0);
    }
    if (world->swarm.journal_fails) {
        sim_plan(world, sim_below(random, span_ms) * TRI_NS_PER_MS, SIM_JOURNAL_FAIL, 0, 0, 0);
    }
    for (uint32_t i = 0; i < world->swarm.wall_jumps; i++) {
        uint32_t who = sim_below(random, world->swarm.chain_count + 1);

        sim_plan(world, sim_below(random, span_ms) * TRI_NS_PER_MS, SIM_WALL_JUMP,
                 who == world->swarm.chain_count ? SIM_CHAINS_MAX : who, sim_below(random, 6), 0);
    }
    sim_plan(world, (span_ms + UINT64_C(1)) * TRI_NS_PER_MS, SIM_HEAL, 0, 0, 0);
}

static void world_start(struct sim_world *world, uint64_t seed, bool is_printing)
{
    world->seed = seed;
    world->random.state = sim_mix(seed + 1);
    world->now_ns = TRI_NS_PER_S;
    memset(world->wall_offset_ms, 0, sizeof(world->wall_offset_ms));
    world->is_healed = world->has_failed = false;
    world->is_printing = is_printing;
    world->moments_seen = 0;
    world->moment_count = 0;
    world->moment_order = 0;
    world->frame_free_count = 0;
    while (world->frame_free_count < SIM_FRAMES_MAX) {
        world->frame_free[world->frame_free_count] = world->frame_free_count;
        world->frame_free_count++;
    }
    memset(world->links, 0, sizeof(world->links));
    memset(&world->checker, 0, sizeof(world->checker));
    memset(&world->coverage, 0, sizeof(world->coverage));
    world->trace_digest = seed;
    world->trace_count = 0;
    sim_swarm_draw(world);
    sim_forced_draw(world);
    if (is_printing) {
        sim_swarm_print(world);
    }
    sim_workload_draw(world);
    sim_forced_plan(world);
    sim_coordinator_start(world);
    for (uint32_t chain = 0; chain < world->swarm.chain_count; chain++) {
        sim_chain_start(world, chain);
    }
    sim_network_start(world);
    world_plan_faults(world);
}

/* The earliest timer: whose it is, SIM_CHAINS_MAX for the coordinator. */
static uint64_t world_next_timer(const struct sim_world *world, uint32_t *who)
{
    uint64_t next_ns =
        world->coordinator.is_down ? TRI_NEVER : tri_engine_deadline_ns(world->coordinator.engine);

    *who = SIM_CHAINS_MAX;
    for (uint32_t chain = 0; chain < world->swarm.chain_count; chain++) {
        uint64_t at_ns = TRI_NEVER;

        if (world->chains[chain].is_running) {
            at_ns = tri_participant_deadline_ns(world->chains[chain].participant);
        }
        if (at_ns < next_ns) {
            next_ns = at_ns;
            *who = chain;
        }
    }
    if (next_ns != TRI_NEVER && next_ns > world->now_ns) {
        return next_ns + world->swarm.tick_lag_us * UINT64_C(1000);
    }
    return next_ns == TRI_NEVER ? TRI_NEVER : world->now_ns;
}

/* One thing happens; false when the run is over. */
static bool world_step(struct sim_world *world, uint64_t *end_ns)
{
    uint32_t who;
    uint64_t timer_ns = world_next_timer(world, &who);
    struct sim_moment moment;

    if (world->is_healed && world->moment_count == 0 && *end_ns == TRI_NEVER &&
        (world->coordinator.is_broken || tri_engine_open_count(world->coordinator.engine) == 0)) {
        *end_ns = world->now_ns + AFTERMATH_NS;
        check_calm(world);
    }
    if (world->moment_count > 0 && world->moments[0].at_ns <= timer_ns) {
        moment = calendar_take(world);
        assert(moment.at_ns >= world->now_ns);
        world->now_ns = moment.at_ns;
        world_happen(world, &moment);
        return true;
    }
    if (timer_ns > *end_ns || (timer_ns == TRI_NEVER && *end_ns != TRI_NEVER)) {
        world->now_ns = *end_ns;
        return false;
    }
    if (timer_ns == TRI_NEVER) {
        sim_break(world, "C04", "%u messages are open and no timer runs",
                  tri_engine_open_count(world->coordinator.engine));
        return false;
    }
    world->now_ns = timer_ns;
    if (who == SIM_CHAINS_MAX) {
        sim_coordinator_tick(world);
    } else {
        sim_chain_tick(world, who);
    }
    return true;
}

bool sim_run(struct sim_world *world, uint64_t seed, bool is_printing)
{
    uint64_t end_ns = TRI_NEVER;
    uint64_t late_ns;

    world_start(world, seed, is_printing);
    late_ns = world->now_ns + world->swarm.span_ms * TRI_NS_PER_MS + LIVELY_NS;
    while (!world->has_failed && world_step(world, &end_ns)) {
        world->moments_seen++;
        if (world->moments_seen > STEPS_MAX || (end_ns == TRI_NEVER && world->now_ns > late_ns)) {
            sim_break(world, "C04", "%u messages have not ended long after the network healed",
                      tri_engine_open_count(world->coordinator.engine));
        }
    }
    if (!world->has_failed) {
        check_end(world);
    }
    return !world->has_failed;
}

bool sim_open(struct sim_world *world)
{
    world->frames = calloc(SIM_FRAMES_MAX, SIM_FRAME_BYTES);
    return world->frames != NULL;
}

void sim_close(struct sim_world *world)
{
    free(world->frames);
    free(world->coordinator.memory);
    sim_journal_close(world);
    for (uint32_t chain = 0; chain < SIM_CHAINS_MAX; chain++) {
        free(world->chains[chain].memory);
        free(world->chains[chain].records);
        free(world->chains[chain].flushing);
        free(world->chains[chain].durable);
    }
}
