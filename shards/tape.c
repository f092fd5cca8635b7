/* SPDX-License-Identifier: Apache-2.0 */
#include "shards/tape.h"

#include <stdatomic.h>
#include <string.h>

#define TAPE_BLOCKS       TRI_PIPE_BLOCKS_MAX
/* With fewer blocks at home only full ones leave, so that they last while the reader is held up. */
#define TAPE_BLOCKS_SPARE (TAPE_BLOCKS / 2)

/* A record of the pipe: this, the leaf, the content. */
struct tape_head {
    uint64_t lsn;
    uint64_t oss_epoch;
    uint32_t leaf_bytes;
    uint32_t content_bytes;
};

static_assert(sizeof(struct tape_head) + TRI_LEAF_BYTES_MAX + TRI_FRAME_BYTES_MAX <=
                  TRI_PIPE_RECORD_BYTES_MAX,
              "the largest message fits");

size_t tri_tape_footprint(void)
{
    return tri_pipe_footprint(TAPE_BLOCKS);
}

void tri_tape_init(struct tri_tape *tape, void *memory, uint32_t epoch, uint32_t shard,
                   bool is_content_kept)
{
    memset(tape, 0, sizeof(*tape));
    tri_pipe_init(&tape->pipe, memory, TAPE_BLOCKS, 0);
    tape->stream_bytes = tri_stream_put(epoch, shard, tape->stream);
    tape->is_content_kept = is_content_kept;
    atomic_init(&tape->durable_lsn, 0);
    atomic_init(&tape->closed_epoch, 0);
    atomic_init(&tape->wanted_lsn, 0);
    atomic_init(&tape->archived_lsn, 0);
    atomic_init(&tape->is_asleep, 0);
    atomic_init(&tape->has_failed, 0);
}

uint32_t tri_leaf_of(const struct tri_round_view *round, uint64_t issued_at_ms,
                     const struct tri_engine_chain *chains, uint32_t chain_count, uint8_t *to)
{
    struct tri_leaf leaf;

    leaf.id = round->id;
    leaf.hash = round->hash;
    leaf.attempt = round->attempt;
    leaf.issued_at_ms = issued_at_ms;
    leaf.chain_count = round->target_count;
    leaf.applied = round->applied_mask;
    leaf.is_forced = round->is_forced;
    for (uint32_t i = 0; i < round->target_count; i++) {
        if (round->targets[i].chain >= chain_count) {
            return 0;
        }
        leaf.chains[i] = chains[round->targets[i].chain].id;
    }
    return tri_leaf_put(&leaf, to);
}

/* ---- the shard ---- */

bool tri_tape_reserve(struct tri_tape *tape, const struct tri_effect *append)
{
    uint32_t content_bytes = tape->is_content_kept ? append->round.canonical.bytes : 0;

    assert(append->append.kind == TRI_RECORD_PRIMARY);
    tape->room = tri_pipe_reserve(&tape->pipe, (uint32_t)sizeof(struct tape_head) +
                                                   TRI_LEAF_BYTES_MAX + content_bytes);
    return tape->room != NULL;
}

void tri_tape_commit(struct tri_tape *tape, const struct tri_effect *append,
                     const struct tri_engine_chain *chains, uint32_t chain_count)
{
    const struct tri_round_view *round = &append->round;
    uint8_t *leaf = tape->room + sizeof(struct tape_head);
    struct tape_head head = {
        .lsn = append->append.lsn,
        .oss_epoch = append->append.oss_epoch,
        .content_bytes = tape->is_content_kept ? round->canonical.bytes : 0,
    };

    assert(head.lsn > tape->last_lsn);
    head.leaf_bytes = tri_leaf_of(round, append->append.issued_at_ms, chains, chain_count, leaf);
    assert(head.leaf_bytes > 0);
    memcpy(tape->room, &head, sizeof(head));
    if (head.content_bytes > 0) {
        memcpy(leaf + head.leaf_bytes, round->canonical.at, head.content_bytes);
    }
    (void)tri_pipe_commit(&tape->pipe,
                          (uint32_t)sizeof(head) + head.leaf_bytes + head.content_bytes);
    tape->last_lsn = head.lsn;
    tape->last_epoch = head.oss_epoch;
}

bool tri_tape_is_asleep(const struct tri_tape *tape)
{
    tri_ring_fence(); /* pairs with the fence in tri_tape_sleep */
    return atomic_load_explicit(&tape->is_asleep, memory_order_relaxed) != 0;
}

bool tri_tape_publish(struct tri_tape *tape, uint64_t durable_lsn, uint64_t closed_epoch)
{
    bool has_sent = tri_pipe_home(&tape->pipe) >= TAPE_BLOCKS_SPARE
                        ? tri_pipe_publish(&tape->pipe)
                        : tri_pipe_has_sent(&tape->pipe);

    /* A closed epoch has no entry that the reader cannot see. */
    if (tri_pipe_is_unpublished(&tape->pipe) && closed_epoch >= tape->last_epoch) {
        closed_epoch = tape->last_epoch - 1;
    }
    /* Behind the entries.  Both pair with the acquires in tri_tape_progress. */
    if (durable_lsn != tape->durable_told) {
        tape->durable_told = durable_lsn;
        atomic_store_explicit(&tape->durable_lsn, durable_lsn, memory_order_release);
    }
    if (closed_epoch != tape->closed_told) {
        tape->closed_told = closed_epoch;
        atomic_store_explicit(&tape->closed_epoch, closed_epoch, memory_order_release);
    }
    if (!has_sent) {
        return false;
    }
    /* Either the reader sees the entries, or this sees that it sleeps. */
    return tri_tape_is_asleep(tape);
}

void tri_tape_want(struct tri_tape *tape, uint64_t lsn)
{
    /* A hint: nothing else is published by it, so it needs no order. */
    atomic_store_explicit(&tape->wanted_lsn, lsn, memory_order_relaxed);
}

bool tri_tape_is_archived(const struct tri_tape *tape, uint64_t lsn)
{
    /* pairs with the release in tri_tape_archived */
    return atomic_load_explicit(&tape->archived_lsn, memory_order_acquire) >= lsn;
}

bool tri_tape_has_failed(const struct tri_tape *tape)
{
    return atomic_load_explicit(&tape->has_failed, memory_order_relaxed) != 0;
}

/* ---- the reader ---- */

void tri_tape_progress(struct tri_tape *tape, uint64_t *durable_lsn, uint64_t *closed_epoch)
{
    /* pair with the releases in tri_tape_publish */
    *closed_epoch = atomic_load_explicit(&tape->closed_epoch, memory_order_acquire);
    *durable_lsn = atomic_load_explicit(&tape->durable_lsn, memory_order_acquire);
}

bool tri_tape_peek(struct tri_tape *tape, struct tri_tape_entry *entry)
{
    uint32_t bytes = 0;
    const uint8_t *record = tri_pipe_peek(&tape->pipe, &bytes);
    struct tape_head head;

    if (record == NULL) {
        return false;
    }
    memcpy(&head, record, sizeof(head));
    assert(bytes == sizeof(head) + head.leaf_bytes + head.content_bytes);
    *entry = (struct tri_tape_entry){
        .lsn = head.lsn,
        .oss_epoch = head.oss_epoch,
        .leaf = {.at = record + sizeof(head), .bytes = head.leaf_bytes},
        .content = {.at = record + sizeof(head) + head.leaf_bytes, .bytes = head.content_bytes},
    };
    return true;
}

void tri_tape_pop(struct tri_tape *tape)
{
    (void)tri_pipe_pop(&tape->pipe);
}

bool tri_tape_sleep(struct tri_tape *tape)
{
    atomic_store_explicit(&tape->is_asleep, 1, memory_order_relaxed);
    tri_ring_fence(); /* pairs with the fence in tri_tape_publish */
    if (tri_pipe_is_empty(&tape->pipe)) {
        return true;
    }
    tri_tape_awake(tape);
    return false;
}

void tri_tape_awake(struct tri_tape *tape)
{
    atomic_store_explicit(&tape->is_asleep, 0, memory_order_relaxed);
}

void tri_tape_archived(struct tri_tape *tape, uint64_t lsn)
{
    /* pairs with the acquire in tri_tape_is_archived */
    atomic_store_explicit(&tape->archived_lsn, lsn, memory_order_release);
}

bool tri_tape_is_wanted(const struct tri_tape *tape)
{
    return atomic_load_explicit(&tape->wanted_lsn, memory_order_relaxed) >
           atomic_load_explicit(&tape->archived_lsn, memory_order_relaxed);
}

void tri_tape_fail(struct tri_tape *tape)
{
    /* Only a hint to stop: nothing else is published by it, so it needs no order. */
    atomic_store_explicit(&tape->has_failed, 1, memory_order_relaxed);
}
