/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages from one thread to another: the mesh's blocks of records against a ring of pointers and
 * a queue behind a mutex, with the same messages of 176 bytes, written by one side and summed by
 * the other.
 *
 * Estimate: a pointer hop moves one cache line of the ring per eight messages and three lines of
 * the message each: about 10 ns and the copy.  A block moves its records in one run: about 1 ns for
 * the hop and 3 lines that the hardware prefetches, about 10 ns.
 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "shards/mesh.h"
#include "shards/ring.h"

#define MESSAGE_BYTES 176U
#define RING_SLOTS    4096U
#define QUEUE_SLOTS   1024U
#define BATCH         64U /* messages of the mesh's producer per turn */
#define MESH_BLOCKS   16U

struct message {
    uint64_t at[MESSAGE_BYTES / 8];
};

TRI_RING_TYPED(message_ring, struct message);

/* The baseline that everybody writes first. */
struct mutex_queue {
    pthread_mutex_t mutex;
    pthread_cond_t not_empty;
    pthread_cond_t not_full;
    uint32_t head;
    uint32_t tail;
    struct message slots[QUEUE_SLOTS];
};

struct pipe {
    struct message_ring there;
    struct message_ring back;
    uint64_t messages;
    uint64_t sum; /* of the consumer */
    struct ck_ring_buffer slots[2][RING_SLOTS];
    struct message pool[RING_SLOTS - 1];
    struct mutex_queue queue;
    struct tri_mesh *mesh;
};

static struct pipe it;

static void fill(struct message *message, uint64_t number)
{
    for (uint32_t i = 0; i < MESSAGE_BYTES / 8; i++) {
        message->at[i] = number + i;
    }
}

static uint64_t sum_of(const struct message *message)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < MESSAGE_BYTES / 8; i++) {
        sum += message->at[i];
    }
    return sum;
}

/* ---- mutex and condition ---- */

static void *mutex_consumer(void *argument)
{
    struct mutex_queue *queue = &it.queue;

    (void)argument;
    bench_pin(1);
    for (uint64_t i = 0; i < it.messages; i++) {
        (void)pthread_mutex_lock(&queue->mutex);
        while (queue->head == queue->tail) {
            (void)pthread_cond_wait(&queue->not_empty, &queue->mutex);
        }
        it.sum += sum_of(&queue->slots[queue->tail++ % QUEUE_SLOTS]);
        (void)pthread_cond_signal(&queue->not_full);
        (void)pthread_mutex_unlock(&queue->mutex);
    }
    return NULL;
}

static void mutex_producer(void)
{
    struct mutex_queue *queue = &it.queue;

    for (uint64_t i = 0; i < it.messages; i++) {
        (void)pthread_mutex_lock(&queue->mutex);
        while (queue->head - queue->tail == QUEUE_SLOTS) {
            (void)pthread_cond_wait(&queue->not_full, &queue->mutex);
        }
        fill(&queue->slots[queue->head++ % QUEUE_SLOTS], i);
        (void)pthread_cond_signal(&queue->not_empty);
        (void)pthread_mutex_unlock(&queue->mutex);
    }
}

/* ---- a ring of pointers, with one back for the empty messages ---- */

static void *ring_consumer(void *argument)
{
    (void)argument;
    bench_pin(1);
    for (uint64_t i = 0; i < it.messages; i++) {
        struct message *message;

        while ((message = message_ring_pop(&it.there)) == NULL) {
        }
        it.sum += sum_of(message);
        while (!message_ring_push(&it.back, message)) {
        }
    }
    return NULL;
}

static void ring_producer(void)
{
    for (uint64_t i = 0; i < it.messages; i++) {
        struct message *message;

        while ((message = message_ring_pop(&it.back)) == NULL) {
        }
        fill(message, i);
        while (!message_ring_push(&it.there, message)) {
        }
    }
}

/* ---- the mesh ---- */

static void *mesh_consumer(void *argument)
{
    uint64_t taken = 0;

    (void)argument;
    bench_pin(1);
    while (taken < it.messages) {
        uint32_t bytes;
        const struct message *message = tri_mesh_peek(it.mesh, 1, 0, TRI_LANE_DELIVER, &bytes);

        if (message == NULL) {
            continue;
        }
        it.sum += sum_of(message);
        tri_mesh_pop(it.mesh, 1, 0, TRI_LANE_DELIVER);
        taken++;
    }
    return NULL;
}

static void mesh_producer(void)
{
    for (uint64_t i = 0; i < it.messages; i++) {
        struct message *message;

        while ((message = tri_mesh_reserve(it.mesh, 0, 1, TRI_LANE_DELIVER, MESSAGE_BYTES)) ==
               NULL) {
        }
        fill(message, i);
        tri_mesh_commit(it.mesh, 0, 1, TRI_LANE_DELIVER, MESSAGE_BYTES);
        if (i % BATCH == BATCH - 1) {
            tri_mesh_publish(it.mesh, 0);
        }
    }
    tri_mesh_publish(it.mesh, 0);
}

/* Messages per second of one pair of threads. */
static double sample(void *(*consumer)(void *), void (*producer)(void))
{
    uint64_t start_ns = bench_now_ns();
    uint64_t expected = 0;
    pthread_t thread;

    it.sum = 0;
    bench_pin(0);
    if (pthread_create(&thread, NULL, consumer, NULL) != 0) {
        (void)fprintf(stderr, "tricast-bench: no thread\n");
        exit(1);
    }
    producer();
    (void)pthread_join(thread, NULL);
    start_ns = bench_now_ns() - start_ns;
    for (uint64_t i = 0; i < it.messages; i++) {
        expected += i * (MESSAGE_BYTES / 8) + (MESSAGE_BYTES / 8) * (MESSAGE_BYTES / 8 - 1) / 2;
    }
    if (it.sum != expected) {
        (void)fprintf(stderr, "tricast-bench: messages were lost or changed\n");
        exit(1);
    }
    return (double)it.messages * 1e9 / (double)start_ns;
}

static void pipe_init(void)
{
    size_t mesh_bytes = (tri_mesh_footprint(2, MESH_BLOCKS) + 63) / 64 * 64;
    void *memory = aligned_alloc(64, mesh_bytes);

    assert(memory != NULL);
    it.mesh = tri_mesh_init(memory, 2, MESH_BLOCKS, 0);
    message_ring_init(&it.there, it.slots[0], RING_SLOTS, 0);
    message_ring_init(&it.back, it.slots[1], RING_SLOTS, 0);
    for (uint32_t i = 0; i < RING_SLOTS - 1; i++) {
        (void)message_ring_push(&it.back, &it.pool[i]);
    }
    (void)pthread_mutex_init(&it.queue.mutex, NULL);
    (void)pthread_cond_init(&it.queue.not_empty, NULL);
    (void)pthread_cond_init(&it.queue.not_full, NULL);
}

int bench_ring(const struct bench_run *run)
{
    struct bench_series mutex = {0};
    struct bench_series ring = {0};
    struct bench_series mesh = {0};

    it.messages = run->is_smoke ? 20000 : 2000000;
    pipe_init();
    for (uint32_t i = 0; i <= run->sample_count; i++) {
        double with_mutex = sample(mutex_consumer, mutex_producer);
        double with_ring = sample(ring_consumer, ring_producer);
        double with_mesh = sample(mesh_consumer, mesh_producer);

        if (i > 0) {
            bench_add(&mutex, with_mutex);
            bench_add(&ring, with_ring);
            bench_add(&mesh, with_mesh);
        }
    }
    bench_note("%llu messages of %u bytes a sample, one producer, one consumer, all summed",
               (unsigned long long)it.messages, MESSAGE_BYTES);
    bench_report("ring.pointers", &ring, "messages/s", BENCH_HIGHER, "mutex and condition", &mutex);
    bench_report("ring.mesh", &mesh, "messages/s", BENCH_HIGHER, "ck_ring of pointers", &ring);
    return 0;
}
