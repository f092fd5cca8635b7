/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: records between 2, 3 and 4 shards arrive once, in order, whole, with
 * as little as one block of credit; and a shard that sleeps is always woken.
 *
 * Method: each shard is a thread that sends numbered records of random size
 * to all others in both lanes.  A STEP record makes its consumer send a
 * DELIVER record back, and is taken only if there is room for that: the
 * mesh's promise that this cannot lock up is what the test waits for.  A
 * shard with nothing to do announces sleep and blocks on its bell without a
 * timeout of its own; only tri_mesh_sleepers() rings bells.  A lost wake-up
 * or a deadlock ends in the watchdog.
 *
 * Then the duel: one shard sends, the other takes, through one block.  The
 * sender sleeps until the block comes home and the taker until it comes, so
 * every record is a race between a push and a sleeper's last look, in both
 * roles.  Their bells are flags on which they spin: a kernel's bell would be
 * so slow that the race would hardly ever be run.
 */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shards/mesh.h"
#include "shards/ring.h"
#include "tests/tap.h"

#define SHARDS_MAX    4U
#define RECORD_MAX    3000U
#define WATCHDOG_S    40
#define DRAIN_MAX     16U
#define SEND_PER_TURN 8U

struct record {
    uint32_t number;
    uint32_t from;
    uint32_t bytes;
    uint32_t fill;
};

/* What one shard knows of one other. */
struct partner {
    uint32_t steps_sent;
    uint32_t steps_taken;
    uint32_t replies_sent; /* = steps taken from it */
    uint32_t replies_taken;
};

struct member {
    struct run *run;
    uint32_t index;
    uint32_t seed;
    uint64_t wrong;
    uint64_t sleeps;
    uint64_t rung;
    sem_t bell;
    struct partner partners[SHARDS_MAX];
};

struct run {
    struct tri_mesh *mesh;
    uint32_t shards;
    uint32_t records; /* per partner */
    atomic_uint done;
    atomic_bool is_stuck;
    struct member members[SHARDS_MAX];
};

static uint32_t draw(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

static void fill(struct member *self, void *room, uint32_t number, uint32_t bytes)
{
    struct record record = {
        .number = number, .from = self->index, .bytes = bytes, .fill = (number * 31U) & 0xffU};

    memset(room, (int)record.fill, bytes);
    memcpy(room, &record, sizeof(record));
}

static void check(struct member *self, const uint8_t *bytes, uint32_t count, uint32_t from,
                  uint32_t number)
{
    struct record record;

    memcpy(&record, bytes, sizeof(record));
    self->wrong += record.number != number || record.from != from || record.bytes != count;
    for (uint32_t i = sizeof(record); i < count; i++) {
        self->wrong += bytes[i] != record.fill;
    }
}

static uint32_t send_steps(struct member *self, uint32_t to)
{
    struct partner *partner = &self->partners[to];
    uint32_t sent = 0;

    while (sent < SEND_PER_TURN && partner->steps_sent < self->run->records) {
        uint32_t bytes = (uint32_t)sizeof(struct record) + draw(&self->seed) % (RECORD_MAX - 100U);
        void *room = tri_mesh_reserve(self->run->mesh, self->index, to, TRI_LANE_STEP, bytes);

        if (room == NULL) {
            break;
        }
        fill(self, room, partner->steps_sent, bytes);
        tri_mesh_commit(self->run->mesh, self->index, to, TRI_LANE_STEP, bytes);
        partner->steps_sent++;
        sent++;
    }
    return sent;
}

static uint32_t take_replies(struct member *self, uint32_t from)
{
    struct partner *partner = &self->partners[from];
    uint32_t taken = 0;
    uint32_t bytes = 0;
    const void *record = NULL;

    while (taken < DRAIN_MAX && (record = tri_mesh_peek(self->run->mesh, self->index, from,
                                                        TRI_LANE_DELIVER, &bytes)) != NULL) {
        check(self, record, bytes, from, partner->replies_taken);
        tri_mesh_pop(self->run->mesh, self->index, from, TRI_LANE_DELIVER);
        partner->replies_taken++;
        taken++;
    }
    return taken;
}

/* Takes steps while there is room to reply; *is_blocked if there was none. */
static uint32_t take_steps(struct member *self, uint32_t from, bool *is_blocked)
{
    struct partner *partner = &self->partners[from];
    uint32_t taken = 0;
    uint32_t bytes = 0;
    const void *record = NULL;

    while (taken < DRAIN_MAX && (record = tri_mesh_peek(self->run->mesh, self->index, from,
                                                        TRI_LANE_STEP, &bytes)) != NULL) {
        uint32_t reply_bytes = (uint32_t)sizeof(struct record) + draw(&self->seed) % 2000U;
        void *room =
            tri_mesh_reserve(self->run->mesh, self->index, from, TRI_LANE_DELIVER, reply_bytes);

        if (room == NULL) {
            *is_blocked = true;
            break;
        }
        check(self, record, bytes, from, partner->steps_taken);
        tri_mesh_pop(self->run->mesh, self->index, from, TRI_LANE_STEP);
        partner->steps_taken++;
        fill(self, room, partner->replies_sent, reply_bytes);
        tri_mesh_commit(self->run->mesh, self->index, from, TRI_LANE_DELIVER, reply_bytes);
        partner->replies_sent++;
        taken++;
    }
    return taken;
}

static bool is_finished(const struct member *self)
{
    for (uint32_t i = 0; i < self->run->shards; i++) {
        const struct partner *partner = &self->partners[i];

        if (i != self->index && (partner->replies_taken < self->run->records ||
                                 partner->replies_sent < self->run->records)) {
            return false;
        }
    }
    return true;
}

static void ring_bells(struct member *self)
{
    uint64_t sleepers = 0;

    tri_mesh_publish(self->run->mesh, self->index);
    sleepers = tri_mesh_sleepers(self->run->mesh, self->index);
    for (uint32_t i = 0; i < self->run->shards; i++) {
        if ((sleepers >> i & 1U) != 0) {
            (void)sem_post(&self->run->members[i].bell);
            self->rung++;
        }
    }
}

static void fall_asleep(struct member *self, bool is_blocked)
{
    struct timespec until;

    if (!tri_mesh_sleep(self->run->mesh, self->index, !is_blocked)) {
        return;
    }
    self->sleeps++;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WATCHDOG_S;
    while (sem_timedwait(&self->bell, &until) != 0) {
        if (errno == ETIMEDOUT) {
            atomic_store(&self->run->is_stuck, true);
            break;
        }
    }
    tri_mesh_awake(self->run->mesh, self->index);
}

static void *live(void *argument)
{
    struct member *self = argument;
    struct run *run = self->run;

    while (!is_finished(self) && !atomic_load(&run->is_stuck)) {
        bool is_blocked = false;
        uint32_t work = 0;

        for (uint32_t i = 0; i < run->shards; i++) {
            if (i != self->index) {
                work += take_replies(self, i);
                work += send_steps(self, i);
                work += take_steps(self, i, &is_blocked);
            }
        }
        ring_bells(self);
        if (work == 0 && !is_finished(self)) {
            fall_asleep(self, is_blocked);
        }
    }
    ring_bells(self);
    (void)atomic_fetch_add(&run->done, 1U);
    return NULL;
}

static void stress(uint32_t shards, uint32_t blocks, uint32_t records, unsigned int start)
{
    size_t bytes = tri_mesh_footprint(shards, blocks);
    void *memory = aligned_alloc(TRI_CACHE_LINE, bytes);
    struct run *run = calloc(1, sizeof(*run));
    pthread_t threads[SHARDS_MAX];
    uint64_t wrong = 0;
    uint64_t sleeps = 0;

    assert(memory != NULL && run != NULL);
    run->mesh = tri_mesh_init(memory, shards, blocks, start);
    run->shards = shards;
    run->records = records;
    for (uint32_t i = 0; i < shards; i++) {
        run->members[i].run = run;
        run->members[i].index = i;
        run->members[i].seed = 77U + i;
        (void)sem_init(&run->members[i].bell, 0, 0);
    }
    for (uint32_t i = 0; i < shards; i++) {
        int failed = pthread_create(&threads[i], NULL, live, &run->members[i]);

        assert(failed == 0);
    }
    for (uint32_t i = 0; i < shards; i++) {
        (void)pthread_join(threads[i], NULL);
        wrong += run->members[i].wrong;
        sleeps += run->members[i].sleeps;
    }
    tri_tap_ok(wrong == 0 && !atomic_load(&run->is_stuck) && atomic_load(&run->done) == shards,
               "%u shards, %u block(s) a lane, %u records to each other: once, in order, whole",
               shards, blocks, records);
    tri_tap_ok(sleeps > 0, "%u shards, %u block(s): they slept and were woken", shards, blocks);
    free(run);
    free(memory);
}

/* The thread sanitizer slows the race down so much that only its own reports are worth the time. */
#ifdef TRI_RING_SANITIZED
#define DUEL_RECORDS 100000U
#else
#define DUEL_RECORDS 2000000U
#endif
#define DUEL_BYTES TRI_MESH_BLOCK_FULL_BYTES /* one record is one block */
#define DUEL_LOOKS 4096U

struct duel {
    struct tri_mesh *mesh;
    alignas(TRI_CACHE_LINE) atomic_bool bells[2];
    atomic_bool is_stuck;
    uint64_t sleeps[2];
};

static void duel_ring(struct duel *duel, uint32_t self)
{
    tri_mesh_publish(duel->mesh, self);
    if (tri_mesh_sleepers(duel->mesh, self) != 0) {
        atomic_store(&duel->bells[1 - self], true);
    }
}

/* Spins until the bell rings, or until it is clear that it never will. */
static void duel_sleep(struct duel *duel, uint32_t self)
{
    time_t until = time(NULL) + WATCHDOG_S;

    if (!tri_mesh_sleep(duel->mesh, self, true)) {
        return;
    }
    duel->sleeps[self]++;
    for (uint32_t looks = 1; !atomic_load(&duel->bells[self]); looks++) {
        if (looks % DUEL_LOOKS == 0) {
            (void)sched_yield();
            if (time(NULL) > until || atomic_load(&duel->is_stuck)) {
                atomic_store(&duel->is_stuck, true);
                return;
            }
        }
    }
    atomic_store(&duel->bells[self], false);
    tri_mesh_awake(duel->mesh, self);
}

static void *duel_send(void *argument)
{
    struct duel *duel = argument;

    for (uint32_t sent = 0; sent < DUEL_RECORDS && !atomic_load(&duel->is_stuck);) {
        uint32_t *room = tri_mesh_reserve(duel->mesh, 0, 1, TRI_LANE_STEP, DUEL_BYTES);

        if (room == NULL) {
            duel_sleep(duel, 0);
            continue;
        }
        *room = sent;
        tri_mesh_commit(duel->mesh, 0, 1, TRI_LANE_STEP, DUEL_BYTES);
        sent++;
        duel_ring(duel, 0);
    }
    return NULL;
}

static void *duel_take(void *argument)
{
    struct duel *duel = argument;

    for (uint32_t taken = 0; taken < DUEL_RECORDS && !atomic_load(&duel->is_stuck);) {
        uint32_t bytes = 0;
        const uint32_t *record = tri_mesh_peek(duel->mesh, 1, 0, TRI_LANE_STEP, &bytes);

        if (record == NULL) {
            duel_sleep(duel, 1);
            continue;
        }
        assert(*record == taken);
        assert(bytes == DUEL_BYTES);
        tri_mesh_pop(duel->mesh, 1, 0, TRI_LANE_STEP);
        taken++;
        duel_ring(duel, 1);
    }
    return NULL;
}

static void fight_duel(void)
{
    struct duel *duel = aligned_alloc(TRI_CACHE_LINE, sizeof(*duel));
    void *memory = aligned_alloc(TRI_CACHE_LINE, tri_mesh_footprint(2, 1));
    pthread_t threads[2];
    int failed = 0;

    assert(duel != NULL && memory != NULL);
    memset(duel, 0, sizeof(*duel));
    duel->mesh = tri_mesh_init(memory, 2, 1, UINT_MAX - 1000);
    failed |= pthread_create(&threads[0], NULL, duel_send, duel);
    failed |= pthread_create(&threads[1], NULL, duel_take, duel);
    assert(failed == 0);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    tri_tap_ok(!atomic_load(&duel->is_stuck), "%u blocks in a duel: no wake-up is lost",
               DUEL_RECORDS);
    tri_tap_ok(duel->sleeps[0] > 0 && duel->sleeps[1] > 0, "both sides of the duel slept");
    free(memory);
    free(duel);
}

int main(void)
{
    fight_duel();
    stress(2, 1, 20000, UINT_MAX - 50);
    stress(2, 4, 20000, UINT_MAX - 50);
    stress(3, 1, 6000, UINT_MAX);
    stress(4, 1, 4000, UINT_MAX - 7);
    stress(4, 3, 4000, 0);
    return tri_tap_done();
}
