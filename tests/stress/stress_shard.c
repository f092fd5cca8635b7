/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a whole node with a thread per shard: every message of every shard's
 * client runs to its end over chains that are connected to other shards, no
 * shard sleeps through its news, and the thread sanitizer sees no race.  A node
 * that one shard shuts down in the middle of that ends what is open, refuses
 * the rest, and all shards hear of it.
 *
 * Method: the kit of the unit tests, one per thread over one node.  Time
 * stands still, so that no timer can mend what was lost.  A shard with nothing
 * to do blocks on a bell that only ops->wake rings.
 */
#undef NDEBUG
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "tests/tap.h"
#include "tests/unit/shard_kit.h"

#define STRESS_SHARDS_MAX 3U
#define CLIENT            0U
#define CHAIN             1U
#define IN_FLIGHT         64U
#define WATCHDOG_S        60

struct member {
    struct kit *kit; /* its ports and buffers; the node is shared */
    uint32_t index;
    uint32_t messages;
    uint32_t submitted;
    uint32_t pause_at; /* submits no more than so many before the node is shut down */
    uint32_t drain_at; /* shuts it down when so many are processed */
    uint32_t processed;
    uint32_t refused; /* SHUTTING_DOWN */
    uint32_t others;  /* answers that are none of these, nor RECEIVED, nor NOTICE */
    uint64_t sleeps;
    sem_t bell;
};

static struct member members[STRESS_SHARDS_MAX];
static uint32_t member_count;
static atomic_uint finished;
static atomic_bool is_stuck;
static atomic_bool is_shut;

static void stress_wake(void *context, uint32_t shard)
{
    (void)context;
    (void)sem_post(&members[shard].bell);
}

static uint32_t own_turn(struct member *self)
{
    struct kit *kit = self->kit;

    return tri_shard_turn(kit_shard(kit, self->index), kit->now_ns, KIT_WALL_MS);
}

static uint32_t submit_some(struct member *self)
{
    uint32_t submitted_max = atomic_load(&is_shut) ? self->messages : self->pause_at;
    uint32_t work = 0;
    char id[32];

    while (self->submitted < submitted_max &&
           self->submitted - self->processed - self->refused < IN_FLIGHT) {
        (void)snprintf(id, sizeof(id), "m-%u-%u", self->index, self->submitted);
        if (kit_submit(self->kit, kit_port(self->index, CLIENT), id, 50) != TRI_OK) {
            break;
        }
        self->submitted++;
        work++;
    }
    return work;
}

/* Answers what the chains that are connected here got; a full shard takes turns until it is not. */
static uint32_t answer_some(struct member *self, uint16_t chain)
{
    struct kit *kit = self->kit;
    tri_port port = kit_port(self->index, CHAIN + chain);
    uint32_t work = 0;

    while (kit_at(kit, port)->used > 0 && kit_take(kit, port)) {
        struct tri_phase_frame phase = kit->frame.phase;
        char id[TRI_ID_BYTES_MAX + 1];

        assert(kit->frame.type == TRI_FRAME_PHASE);
        (void)snprintf(id, sizeof(id), "%.*s", (int)phase.id.bytes, phase.id.at);
        while (kit_phase_ack(kit, port, chain, id, phase.phase, phase.attempt,
                             (enum tri_ack_type)(TRI_ACK_PHASE_PREPARE_OK + (int)phase.phase)) ==
                   TRI_FULL &&
               !atomic_load(&is_stuck)) {
            (void)own_turn(self);
        }
        work++;
    }
    return work;
}

static void read_results(struct member *self)
{
    tri_port port = kit_port(self->index, CLIENT);

    while (kit_at(self->kit, port)->used > 0 && kit_take(self->kit, port)) {
        bool is_ack = self->kit->frame.type == TRI_FRAME_ACK;

        if (is_ack && self->kit->frame.ack.type == TRI_ACK_PROCESSED) {
            self->processed++;
        } else if (is_ack && self->kit->frame.ack.code == TRI_ERROR_SHUTTING_DOWN) {
            self->refused++;
        } else if (!(is_ack && self->kit->frame.ack.type == TRI_ACK_RECEIVED) &&
                   self->kit->frame.type != TRI_FRAME_NOTICE) {
            self->others++;
        }
    }
}

static void fall_asleep(struct member *self)
{
    struct tri_shard *shard = kit_shard(self->kit, self->index);
    struct timespec until;

    if (!tri_shard_sleep(shard)) {
        return;
    }
    self->sleeps++;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WATCHDOG_S;
    while (sem_timedwait(&self->bell, &until) != 0) {
        if (errno == ETIMEDOUT) {
            atomic_store(&is_stuck, true);
            break;
        }
    }
    tri_shard_awake(shard);
}

static void finish(struct member *self)
{
    (void)self;
    (void)atomic_fetch_add(&finished, 1U);
    for (uint32_t i = 0; i < member_count; i++) {
        (void)sem_post(&members[i].bell);
    }
}

static void *live(void *argument)
{
    struct member *self = argument;
    bool is_finished = false;
    bool is_draining = false;

    while (atomic_load(&finished) < member_count && !atomic_load(&is_stuck)) {
        uint32_t work = submit_some(self);

        for (uint16_t chain = 0; chain < KIT_CHAINS; chain++) {
            work += answer_some(self, chain);
        }
        work += own_turn(self);
        read_results(self);
        if (!is_draining && self->processed >= self->drain_at) {
            is_draining = true;
            atomic_store(&is_shut, true); /* before the others are woken */
            tri_shard_drain(kit_shard(self->kit, self->index));
        }
        if (!is_finished && self->processed + self->refused == self->messages) {
            is_finished = true;
            finish(self);
        }
        if (work == 0) {
            fall_asleep(self);
        }
    }
    return NULL;
}

/* One kit per shard over the node of the first; the chains lie on the shards in turn. */
static void stress_start(uint32_t shards, uint32_t blocks, uint32_t messages)
{
    static struct tri_port_ops ops;

    ops = kit_ops;
    ops.wake = stress_wake;
    member_count = shards;
    atomic_store(&finished, 0U);
    atomic_store(&is_stuck, false);
    atomic_store(&is_shut, false);
    for (uint32_t i = 0; i < shards; i++) {
        struct kit *kit = kit_new(shards);

        members[i] = (struct member){
            .kit = kit,
            .index = i,
            .messages = messages,
            .pause_at = messages,
            .drain_at = UINT32_MAX,
        };
        (void)sem_init(&members[i].bell, 0, 0);
        kit->options.mesh_blocks = blocks;
        kit->options.engine.rounds_max = IN_FLIGHT * shards * 2;
        kit->options.engine.waiters_max = kit->options.engine.rounds_max;
        kit->options.engine.body_counts[0] = kit->options.engine.rounds_max;
        kit->options.engine.dedup_entries_max = 2 * shards * messages + 1024;
        if (i == 0) {
            size_t bytes = tri_shard_set_footprint(&kit->options);

            kit->memory = aligned_alloc(TRI_CACHE_LINE, bytes);
            assert(kit->memory != NULL);
            kit->set = tri_shard_set_init(kit->memory, &kit->options);
        }
        kit->set = members[0].kit->set;
        tri_shard_attach(kit_shard(kit, i), &ops, kit);
    }
    for (uint16_t chain = 0; chain < KIT_CHAINS; chain++) {
        struct member *home = &members[chain % shards];
        tri_port port = kit_port(home->index, CHAIN + chain);

        for (uint32_t step = 0; step < 2; step++) {
            if (step == 0) {
                tri_shard_chain_hello(kit_shard(home->kit, home->index), port, chain, 1);
            } else {
                tri_shard_chain_up(kit_shard(home->kit, home->index), port, chain, true);
            }
            for (uint32_t turn = 0; turn < 4 * shards; turn++) {
                (void)own_turn(&members[turn % shards]);
            }
        }
        assert(kit_at(home->kit, port)->welcomes == 1);
    }
}

static void stress_run(uint32_t shards)
{
    pthread_t threads[STRESS_SHARDS_MAX];

    for (uint32_t i = 0; i < shards; i++) {
        int failed = pthread_create(&threads[i], NULL, live, &members[i]);

        assert(failed == 0);
    }
    for (uint32_t i = 0; i < shards; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    for (uint32_t i = 0; i < shards; i++) {
        (void)own_turn(&members[i]); /* publishes the counters */
    }
}

static void stress_end(uint32_t shards)
{
    free(members[0].kit->memory);
    for (uint32_t i = 0; i < shards; i++) {
        for (uint32_t j = 0; j < KIT_SLOTS; j++) {
            free(members[i].kit->ports[i][j].bytes);
        }
        free(members[i].kit);
    }
}

static void stress(uint32_t shards, uint32_t blocks, uint32_t messages)
{
    struct kit *first = NULL;
    uint32_t processed = 0;
    uint32_t others = 0;
    uint64_t sleeps = 0;

    stress_start(shards, blocks, messages);
    first = members[0].kit;
    stress_run(shards);
    for (uint32_t i = 0; i < shards; i++) {
        processed += members[i].processed;
        others += members[i].others + members[i].refused;
        sleeps += members[i].sleeps;
    }
    tri_tap_ok(!atomic_load(&is_stuck) && processed == shards * messages && others == 0,
               "%u shards, %u block(s): each of %u messages ended PROCESSED", shards, blocks,
               shards * messages);
    tri_tap_ok(kit_counter(first, "acks_repeated") == 0 && kit_counter(first, "acks_late") == 0 &&
                   kit_counter(first, "frames_dropped") == 0,
               "%u shards, %u block(s): no frame was lost or doubled", shards, blocks);
    tri_tap_ok(sleeps > 0, "%u shards, %u block(s): they slept and were woken", shards, blocks);
    stress_end(shards);
}

/* The last shard shuts the node down when half of its own messages are through.  The others keep
 * a quarter of theirs for what comes then. */
static void stress_drain(uint32_t shards, uint32_t blocks, uint32_t messages)
{
    bool all_ended = true;
    bool all_heard = true;
    uint32_t others = 0;

    stress_start(shards, blocks, messages);
    for (uint32_t i = 0; i < shards; i++) {
        members[i].pause_at = messages / 4 * 3;
    }
    members[shards - 1].drain_at = messages / 2;
    stress_run(shards);
    for (uint32_t i = 0; i < shards; i++) {
        const struct member *member = &members[i];

        all_ended = all_ended && member->processed + member->refused == messages;
        all_heard = all_heard && member->refused > 0;
        others += member->others + tri_shard_open_count(kit_shard(members[0].kit, i));
    }
    tri_tap_ok(!atomic_load(&is_stuck) && all_ended && others == 0,
               "%u shards, %u block(s): shut down under load, every message has its end", shards,
               blocks);
    tri_tap_ok(all_heard, "%u shards, %u block(s): the client of every shard was refused", shards,
               blocks);
    stress_end(shards);
}

int main(void)
{
    stress(2, 1, 5000);
    stress(2, 0, 5000);
    stress(3, 1, 3000);
    stress_drain(2, 1, 2000);
    stress_drain(3, 0, 2000);
    return tri_tap_done();
}
