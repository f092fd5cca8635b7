/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/pipeline.h"

#include <assert.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "shards/ring.h"

#define PARTICIPANTS 3U
#define PHASES       3U
#define RING_SLOTS   (2 * BENCH_IN_FLIGHT)
#define QUEUE_PLACES (4 * BENCH_IN_FLIGHT)

/* One line, as any queue of pointers would have it. */
struct message {
    alignas(TRI_CACHE_LINE) uint64_t round;
    uint32_t slot;
    uint32_t participant;
    uint32_t phase;
    uint32_t answer;
};

TRI_RING_TYPED(message_ring, struct message);

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t not_empty;
    struct message *places[QUEUE_PLACES];
    uint32_t first;
    uint32_t count;
};

struct slot {
    uint64_t round;
    uint32_t phase;
    uint32_t answers;
    struct message messages[PARTICIPANTS];
};

static struct pipeline {
    struct slot slots[BENCH_IN_FLIGHT];
    uint64_t rounds;
    uint64_t begun;
    uint64_t done;
    uint64_t sum; /* of what the participants saw: the work was done */
    void (*send)(struct message *message);
    struct message_ring there[PARTICIPANTS];
    struct message_ring back[PARTICIPANTS];
    struct ck_ring_buffer buffers[2 * PARTICIPANTS][RING_SLOTS];
    struct queue there_queue;
    struct queue back_queue;
} it;

/* ---- the coordinator ---- */

static void slot_send(struct slot *slot)
{
    slot->answers = 0;
    for (uint32_t i = 0; i < PARTICIPANTS; i++) {
        slot->messages[i].round = slot->round;
        slot->messages[i].phase = slot->phase;
        it.send(&slot->messages[i]);
    }
}

static void slot_begin(struct slot *slot)
{
    slot->round = it.begun++;
    slot->phase = 0;
    slot_send(slot);
}

static void coordinate(const struct message *message)
{
    struct slot *slot = &it.slots[message->slot];

    assert(message->answer == message->phase + 4);
    slot->answers++;
    if (slot->answers < PARTICIPANTS) {
        return;
    }
    slot->phase++;
    if (slot->phase < PHASES) {
        slot_send(slot);
        return;
    }
    it.done++;
    if (it.begun < it.rounds) {
        slot_begin(slot);
    }
}

static void begin_all(void)
{
    for (uint32_t i = 0; i < BENCH_IN_FLIGHT && it.begun < it.rounds; i++) {
        slot_begin(&it.slots[i]);
    }
}

static void participate(struct message *message)
{
    it.sum += message->round + message->phase + message->participant;
    message->answer = message->phase + 4;
}

/* ---- rings ---- */

static void ring_send(struct message *message)
{
    bool is_pushed = message_ring_push(&it.there[message->participant], message);

    assert(is_pushed);
}

static void *ring_participants(void *argument)
{
    uint64_t left = it.rounds * PARTICIPANTS * PHASES;

    (void)argument;
    bench_pin(1);
    while (left > 0) {
        for (uint32_t i = 0; i < PARTICIPANTS; i++) {
            struct message *message;

            while ((message = message_ring_pop(&it.there[i])) != NULL) {
                participate(message);
                if (!message_ring_push(&it.back[i], message)) {
                    abort();
                }
                left--;
            }
        }
    }
    return NULL;
}

static void ring_coordinator(void)
{
    begin_all();
    while (it.done < it.rounds) {
        for (uint32_t i = 0; i < PARTICIPANTS; i++) {
            const struct message *message;

            while ((message = message_ring_pop(&it.back[i])) != NULL) {
                coordinate(message);
            }
        }
    }
}

/* ---- mutex and condition ---- */

static void queue_put(struct queue *queue, struct message *message)
{
    (void)pthread_mutex_lock(&queue->mutex);
    assert(queue->count < QUEUE_PLACES);
    queue->places[(queue->first + queue->count) % QUEUE_PLACES] = message;
    queue->count++;
    (void)pthread_cond_signal(&queue->not_empty);
    (void)pthread_mutex_unlock(&queue->mutex);
}

static struct message *queue_take(struct queue *queue)
{
    struct message *message;

    (void)pthread_mutex_lock(&queue->mutex);
    while (queue->count == 0) {
        (void)pthread_cond_wait(&queue->not_empty, &queue->mutex);
    }
    message = queue->places[queue->first];
    queue->first = (queue->first + 1) % QUEUE_PLACES;
    queue->count--;
    (void)pthread_mutex_unlock(&queue->mutex);
    return message;
}

static void queue_send(struct message *message)
{
    queue_put(&it.there_queue, message);
}

static void *queue_participants(void *argument)
{
    (void)argument;
    bench_pin(1);
    for (uint64_t left = it.rounds * PARTICIPANTS * PHASES; left > 0; left--) {
        struct message *message = queue_take(&it.there_queue);

        participate(message);
        queue_put(&it.back_queue, message);
    }
    return NULL;
}

static void queue_coordinator(void)
{
    begin_all();
    while (it.done < it.rounds) {
        coordinate(queue_take(&it.back_queue));
    }
}

/* ---- both ---- */

static void queue_init(struct queue *queue)
{
    queue->first = 0;
    queue->count = 0;
    (void)pthread_mutex_init(&queue->mutex, NULL);
    (void)pthread_cond_init(&queue->not_empty, NULL);
}

static void pipeline_init(uint64_t rounds)
{
    it.rounds = rounds;
    it.begun = 0;
    it.done = 0;
    it.sum = 0;
    queue_init(&it.there_queue);
    queue_init(&it.back_queue);
    for (uint32_t i = 0; i < PARTICIPANTS; i++) {
        message_ring_init(&it.there[i], it.buffers[(size_t)2 * i], RING_SLOTS, 0);
        message_ring_init(&it.back[i], it.buffers[(size_t)2 * i + 1], RING_SLOTS, 0);
    }
    for (uint32_t i = 0; i < BENCH_IN_FLIGHT; i++) {
        for (uint32_t j = 0; j < PARTICIPANTS; j++) {
            it.slots[i].messages[j].slot = i;
            it.slots[i].messages[j].participant = j;
        }
    }
}

static double pipeline_run(uint64_t rounds, void (*send)(struct message *message),
                           void *(*participants)(void *), void (*coordinator)(void))
{
    uint64_t start_ns = 0;
    pthread_t thread;

    pipeline_init(rounds);
    it.send = send;
    bench_pin(0);
    start_ns = bench_now_ns();
    if (pthread_create(&thread, NULL, participants, NULL) != 0) {
        (void)fprintf(stderr, "tricast-bench: no thread\n");
        exit(1);
    }
    coordinator();
    (void)pthread_join(thread, NULL);
    start_ns = bench_now_ns() - start_ns;
    if (it.sum != 9 * (rounds * (rounds - 1) / 2) + 18 * rounds) {
        (void)fprintf(stderr, "tricast-bench: messages were lost or changed\n");
        exit(1);
    }
    return (double)rounds * 1e9 / (double)start_ns;
}

double bench_pipeline_rings(uint64_t rounds)
{
    return pipeline_run(rounds, ring_send, ring_participants, ring_coordinator);
}

double bench_pipeline_mutex(uint64_t rounds)
{
    return pipeline_run(rounds, queue_send, queue_participants, queue_coordinator);
}
