/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record in a block: u32 size, u32 zero, the bytes, padding to 8.
 */
#include "shards/pipe.h"

#include <string.h>

#define RECORD_HEAD_BYTES  8U
#define RECORD_ALIGN       8U
#define BLOCK_BYTES        90112U
#define RING_SLOTS_PER_MAX 512U
/* What is fetched of a record ahead of its turn: a usual message. */
#define AHEAD_BYTES        448U

struct tri_pipe_block {
    uint32_t used_bytes;
    uint32_t pad;
    uint8_t bytes[BLOCK_BYTES - 8];
};

static_assert(sizeof(struct tri_pipe_block) == BLOCK_BYTES, "no hidden padding");
static_assert(BLOCK_BYTES % TRI_CACHE_LINE == 0, "blocks of two pipes never share a cache line");
static_assert(TRI_PIPE_RECORD_BYTES_MAX % RECORD_ALIGN == 0,
              "the largest record is a whole number");
static_assert(TRI_PIPE_RECORD_BYTES_MAX + RECORD_HEAD_BYTES <= BLOCK_BYTES - 8,
              "the largest record fits into an empty block");
static_assert(RING_SLOTS_PER_MAX > TRI_PIPE_BLOCKS_MAX, "a ring holds all blocks of its pipe");

static uint32_t pipe_slots(uint32_t blocks)
{
    uint32_t slots = 2;

    while (slots < blocks + 1) {
        slots *= 2;
    }
    assert(slots <= RING_SLOTS_PER_MAX);
    return slots;
}

static size_t pipe_slot_bytes(uint32_t blocks)
{
    size_t bytes = pipe_slots(blocks) * sizeof(struct ck_ring_buffer);

    return (bytes + TRI_CACHE_LINE - 1) / TRI_CACHE_LINE * TRI_CACHE_LINE;
}

size_t tri_pipe_footprint(uint32_t blocks)
{
    assert(blocks >= 1);
    assert(blocks <= TRI_PIPE_BLOCKS_MAX);
    return 2 * pipe_slot_bytes(blocks) + blocks * sizeof(struct tri_pipe_block);
}

void tri_pipe_init(struct tri_pipe *pipe, void *memory, uint32_t blocks, unsigned int start)
{
    uint32_t slots = pipe_slots(blocks);
    uint8_t *at = memory;

    assert((uintptr_t)memory % TRI_CACHE_LINE == 0);
    memset(pipe, 0, sizeof(*pipe));
    tri_pipe_ring_init(&pipe->filled, (void *)at, slots, start);
    at += pipe_slot_bytes(blocks);
    tri_pipe_ring_init(&pipe->empty, (void *)at, slots, start);
    at += pipe_slot_bytes(blocks);
    for (uint32_t i = 0; i < blocks; i++) {
        struct tri_pipe_block *block = (void *)at;
        bool is_pushed = false;

        block->used_bytes = 0;
        block->pad = 0;
        is_pushed = tri_pipe_ring_push(&pipe->empty, block);
        assert(is_pushed);
        at += sizeof(*block);
    }
    assert(at == (uint8_t *)memory + tri_pipe_footprint(blocks));
}

/* Sends the open block. */
static void pipe_send(struct tri_pipe *pipe)
{
    bool is_pushed = false;

    assert(pipe->open->used_bytes > 0);
    is_pushed = tri_pipe_ring_push(&pipe->filled, pipe->open);
    assert(is_pushed); /* the ring holds all blocks of its pipe */
    pipe->open = NULL;
    pipe->has_sent = true;
    pipe->blocks_sent++;
}

static uint32_t pipe_record_bytes(uint32_t bytes)
{
    return RECORD_HEAD_BYTES + (bytes + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

void *tri_pipe_reserve(struct tri_pipe *pipe, uint32_t bytes)
{
    assert(bytes >= 1);
    assert(bytes <= TRI_PIPE_RECORD_BYTES_MAX);
    if (pipe->open != NULL &&
        pipe->open->used_bytes + pipe_record_bytes(bytes) > sizeof(pipe->open->bytes)) {
        pipe_send(pipe);
    }
    if (pipe->open == NULL) {
        pipe->open = tri_pipe_ring_pop(&pipe->empty);
        if (pipe->open == NULL) {
            pipe->is_starved = true;
            return NULL;
        }
        assert(pipe->open->used_bytes == 0);
    }
    pipe->is_starved = false;
    return pipe->open->bytes + pipe->open->used_bytes + RECORD_HEAD_BYTES;
}

bool tri_pipe_commit(struct tri_pipe *pipe, uint32_t bytes)
{
    uint32_t head[2] = {bytes, 0};

    assert(pipe->open != NULL);
    assert(bytes >= 1);
    assert(pipe->open->used_bytes + pipe_record_bytes(bytes) <= sizeof(pipe->open->bytes));
    memcpy(pipe->open->bytes + pipe->open->used_bytes, head, sizeof(head));
    pipe->open->used_bytes += pipe_record_bytes(bytes);
    if (pipe->open->used_bytes < TRI_PIPE_BLOCK_FULL_BYTES) {
        return false;
    }
    pipe_send(pipe);
    return true;
}

bool tri_pipe_is_unpublished(const struct tri_pipe *pipe)
{
    return pipe->open != NULL && pipe->open->used_bytes > 0;
}

bool tri_pipe_has_sent(struct tri_pipe *pipe)
{
    bool has_sent = pipe->has_sent;

    pipe->has_sent = false;
    return has_sent;
}

bool tri_pipe_publish(struct tri_pipe *pipe)
{
    if (tri_pipe_is_unpublished(pipe)) {
        pipe_send(pipe);
    }
    return tri_pipe_has_sent(pipe);
}

uint32_t tri_pipe_home(const struct tri_pipe *pipe)
{
    return tri_pipe_ring_count(&pipe->empty);
}

bool tri_pipe_is_fed(struct tri_pipe *pipe)
{
    if (!pipe->is_starved || tri_pipe_ring_is_empty(&pipe->empty)) {
        return false;
    }
    pipe->is_starved = false; /* told once: who still wants the room asks again */
    return true;
}

const void *tri_pipe_peek(struct tri_pipe *pipe, uint32_t *bytes)
{
    if (pipe->reading == NULL) {
        pipe->reading = tri_pipe_ring_pop(&pipe->filled);
        pipe->read_bytes = 0;
        if (pipe->reading == NULL) {
            return NULL;
        }
    }
    assert(pipe->read_bytes + RECORD_HEAD_BYTES <= pipe->reading->used_bytes);
    memcpy(bytes, pipe->reading->bytes + pipe->read_bytes, sizeof(*bytes));
    assert(*bytes >= 1);
    assert(pipe->read_bytes + pipe_record_bytes(*bytes) <= pipe->reading->used_bytes);
    return pipe->reading->bytes + pipe->read_bytes + RECORD_HEAD_BYTES;
}

static uint32_t pipe_bytes_at(const struct tri_pipe_block *block, uint32_t at)
{
    uint32_t bytes = 0;

    memcpy(&bytes, block->bytes + at, sizeof(bytes));
    return bytes;
}

/* Where the record behind the one being read begins. */
static uint32_t pipe_next_at(const struct tri_pipe *pipe)
{
    return pipe->read_bytes + pipe_record_bytes(pipe_bytes_at(pipe->reading, pipe->read_bytes));
}

const void *tri_pipe_ahead(const struct tri_pipe *pipe)
{
    const struct tri_pipe_block *block = pipe->reading;
    uint32_t at = 0;
    uint32_t behind = 0;

    assert(block != NULL);
    at = pipe_next_at(pipe);
    if (at >= block->used_bytes) {
        return NULL;
    }
    behind = at + pipe_record_bytes(pipe_bytes_at(block, at));
    for (uint32_t i = 0; i < AHEAD_BYTES && behind + i < block->used_bytes; i += TRI_CACHE_LINE) {
        __builtin_prefetch(block->bytes + behind + i);
    }
    return block->bytes + at + RECORD_HEAD_BYTES;
}

bool tri_pipe_pop(struct tri_pipe *pipe)
{
    bool is_pushed = false;

    assert(pipe->reading != NULL);
    pipe->read_bytes = pipe_next_at(pipe);
    if (pipe->read_bytes < pipe->reading->used_bytes) {
        return false;
    }
    assert(pipe->read_bytes == pipe->reading->used_bytes);
    pipe->reading->used_bytes = 0;
    is_pushed = tri_pipe_ring_push(&pipe->empty, pipe->reading);
    assert(is_pushed); /* the ring holds all blocks of its pipe */
    pipe->reading = NULL;
    return true;
}
