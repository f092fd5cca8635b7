/* SPDX-License-Identifier: Apache-2.0 */
#include "io/archive_desk.h"

#include <assert.h>
#include <string.h>

#include "shards/finality.h"

#define QUESTION_BLOCKS 32U
#define RESULT_BLOCKS   TRI_DESK_FORWARDS_MAX
#define ORDER_BLOCKS    8U

struct question_head {
    tri_port port;
    uint32_t name_bytes;
    uint32_t frame_bytes;
};

struct order_head {
    tri_port port;
    tri_attempt attempt;
    uint64_t since_ms;
    uint32_t kind;
    uint32_t leaf_bytes;
    uint32_t bytes;
    uint32_t unused;
};

static_assert(sizeof(struct question_head) + TRI_IDENTITY_BYTES_MAX + TRI_FRAME_BYTES_MAX <=
                  TRI_PIPE_RECORD_BYTES_MAX,
              "any question fits");
static_assert(sizeof(struct order_head) + TRI_LEAF_BYTES_MAX + TRI_FRAME_BYTES_MAX +
                      TRI_FRAME_HEADER_BYTES <=
                  TRI_PIPE_RECORD_BYTES_MAX,
              "any order fits");
static_assert(RESULT_BLOCKS >= TRI_DESK_FORWARDS_MAX, "each result may take a block");

size_t tri_desk_footprint(void)
{
    return tri_pipe_footprint(QUESTION_BLOCKS) + tri_pipe_footprint(RESULT_BLOCKS) +
           tri_pipe_footprint(ORDER_BLOCKS);
}

void tri_desk_init(struct tri_desk *desk, void *memory)
{
    uint8_t *at = memory;

    tri_pipe_init(&desk->questions, at, QUESTION_BLOCKS, 0);
    at += tri_pipe_footprint(QUESTION_BLOCKS);
    tri_pipe_init(&desk->results, at, RESULT_BLOCKS, 0);
    at += tri_pipe_footprint(RESULT_BLOCKS);
    tri_pipe_init(&desk->orders, at, ORDER_BLOCKS, 0);
}

static bool question_put(struct tri_pipe *pipe, const struct tri_desk_question *question)
{
    struct question_head head = {
        .port = question->port,
        .name_bytes = question->name.bytes,
        .frame_bytes = question->frame.bytes,
    };
    uint32_t bytes = (uint32_t)sizeof(head) + head.name_bytes + head.frame_bytes;
    uint8_t *room = tri_pipe_reserve(pipe, bytes);

    if (room == NULL) {
        return false;
    }
    memcpy(room, &head, sizeof(head));
    if (head.name_bytes > 0) {
        memcpy(room + sizeof(head), question->name.at, head.name_bytes);
    }
    memcpy(room + sizeof(head) + head.name_bytes, question->frame.at, head.frame_bytes);
    (void)tri_pipe_commit(pipe, bytes);
    (void)tri_pipe_publish(pipe);
    return true;
}

static bool question_get(struct tri_pipe *pipe, struct tri_desk_question *question)
{
    struct question_head head;
    uint32_t bytes = 0;
    const uint8_t *record = tri_pipe_peek(pipe, &bytes);

    if (record == NULL) {
        return false;
    }
    memcpy(&head, record, sizeof(head));
    assert(bytes == sizeof(head) + head.name_bytes + head.frame_bytes);
    *question = (struct tri_desk_question){
        .port = head.port,
        .name = {.at = (const char *)record + sizeof(head), .bytes = head.name_bytes},
        .frame = {.at = record + sizeof(head) + head.name_bytes, .bytes = head.frame_bytes},
    };
    return true;
}

bool tri_desk_ask(struct tri_desk *desk, const struct tri_desk_question *question)
{
    return question_put(&desk->questions, question);
}

void tri_desk_result(struct tri_desk *desk, tri_port port, const uint8_t *frame, uint32_t bytes)
{
    struct tri_desk_question result = {.port = port, .frame = {.at = frame, .bytes = bytes}};
    bool is_put = question_put(&desk->results, &result);

    assert(is_put);
}

bool tri_desk_question(struct tri_desk *desk, struct tri_desk_question *question)
{
    return question_get(&desk->questions, question);
}

void tri_desk_question_done(struct tri_desk *desk)
{
    (void)tri_pipe_pop(&desk->questions);
}

bool tri_desk_result_next(struct tri_desk *desk, tri_port *port, struct tri_bytes *frame)
{
    struct tri_desk_question result;

    if (!question_get(&desk->results, &result)) {
        return false;
    }
    *port = result.port;
    *frame = result.frame;
    return true;
}

void tri_desk_result_done(struct tri_desk *desk)
{
    (void)tri_pipe_pop(&desk->results);
}

bool tri_desk_is_empty(const struct tri_desk *desk)
{
    return tri_pipe_is_empty(&desk->questions) && tri_pipe_is_empty(&desk->results);
}

bool tri_desk_has_room(struct tri_desk *desk)
{
    return tri_pipe_reserve(&desk->orders, TRI_PIPE_RECORD_BYTES_MAX) != NULL;
}

void tri_desk_order_put(struct tri_desk *desk, const struct tri_desk_order *order)
{
    struct order_head head = {
        .port = order->port,
        .attempt = order->attempt,
        .since_ms = order->since_ms,
        .kind = order->kind,
        .leaf_bytes = order->leaf.bytes,
        .bytes = order->bytes.bytes,
    };
    uint32_t bytes = (uint32_t)sizeof(head) + head.leaf_bytes + head.bytes;
    uint8_t *room = tri_pipe_reserve(&desk->orders, bytes);

    assert(room != NULL); /* tri_desk_has_room() has said so */
    memcpy(room, &head, sizeof(head));
    if (head.leaf_bytes > 0) {
        memcpy(room + sizeof(head), order->leaf.at, head.leaf_bytes);
    }
    memcpy(room + sizeof(head) + head.leaf_bytes, order->bytes.at, head.bytes);
    (void)tri_pipe_commit(&desk->orders, bytes);
}

bool tri_desk_publish(struct tri_desk *desk)
{
    return tri_pipe_publish(&desk->orders);
}

bool tri_desk_order(struct tri_desk *desk, struct tri_desk_order *order)
{
    struct order_head head;
    uint32_t bytes = 0;
    const uint8_t *record = tri_pipe_peek(&desk->orders, &bytes);

    if (record == NULL) {
        return false;
    }
    memcpy(&head, record, sizeof(head));
    assert(bytes == sizeof(head) + head.leaf_bytes + head.bytes);
    *order = (struct tri_desk_order){
        .kind = (enum tri_desk_order_kind)head.kind,
        .port = head.port,
        .attempt = head.attempt,
        .since_ms = head.since_ms,
        .leaf = {.at = record + sizeof(head), .bytes = head.leaf_bytes},
        .bytes = {.at = record + sizeof(head) + head.leaf_bytes, .bytes = head.bytes},
    };
    return true;
}

void tri_desk_order_done(struct tri_desk *desk)
{
    (void)tri_pipe_pop(&desk->orders);
}
