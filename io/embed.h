/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Embed, inside: a node in a program, whose public face is in tricast.h.
 *
 * A runner is the thread of one shard.  It takes turns while there is work,
 * then sleeps in its loop until its shard's next deadline or until its bell
 * rings, an eventfd whose read is always armed.  Who has something for a shard
 * that sleeps rings it; while a shard is awake nobody does, so a busy node makes
 * no system call but to read the clocks, which is none either.
 *
 *   embed.c         runners, life of a node
 *   embed_handle.c  what of a handle needs the system: events, waiting
 *
 * Threads: as said in tricast.h.
 */
#ifndef TRI_IO_EMBED_H
#define TRI_IO_EMBED_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "io/loop.h"
#include "shards/handle.h"
#include "shards/shard.h"

struct tri_runner {
    struct tri_node *node;
    struct tri_shard *shard;
    uint32_t index;
    bool is_armed; /* the read of the bell is in the loop */
    int failed;    /* why it could not begin */
    struct tri_loop loop;
    int bell;
    uint64_t rings; /* what the read has got */
    pthread_t thread;
    /* While draining: open messages, as soon as nothing else was left to do; UINT32_MAX before. */
    alignas(TRI_CACHE_LINE) _Atomic uint32_t left_count;
};

struct tri_node {
    struct tri_shard_set *set;
    void *set_memory;
    size_t set_bytes;
    uint32_t shards;
    uint32_t handles_max;
    uint32_t begun; /* runners whose thread was begun */
    bool pins_threads;
    sem_t has_begun;
    _Atomic uint32_t stage; /* enum node_stage */
    int events[TRI_HANDLES_MAX];
    struct tri_runner *runners;
};

/* Events of the handles (embed_handle.c).  Both return 0 or -errno; the second accepts a node whose
 * first call has failed, or was never made with events at -1. */
int tri_node_events_open(struct tri_node *node);
void tri_node_events_close(struct tri_node *node);
extern const struct tri_handle_ops tri_node_handle_ops;

#endif
