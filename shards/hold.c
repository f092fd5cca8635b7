/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A circle of bytes in which no entry is ever split: an entry that does not
 * fit before the end starts again at 0, and `wrap` remembers where the bytes
 * before it end.
 */
#include "shards/hold.h"

#include <string.h>

struct entry_head {
    uint64_t lsn;
    uint32_t shard;
    uint32_t bytes;
};

static_assert(sizeof(struct entry_head) == 16, "keeps what follows 8-byte aligned");

static uint32_t hold_entry_bytes(uint32_t bytes)
{
    return (uint32_t)sizeof(struct entry_head) + (bytes + 7U) / 8U * 8U;
}

void tri_hold_init(struct tri_hold *hold, void *memory, uint32_t capacity_bytes)
{
    assert(capacity_bytes % 8 == 0);
    assert((uintptr_t)memory % 8 == 0);
    *hold = (struct tri_hold){
        .memory = memory, .capacity_bytes = capacity_bytes, .wrap = capacity_bytes};
}

/* Where an entry of `bytes` can go; the capacity if nowhere. */
static uint32_t hold_place(const struct tri_hold *hold, uint32_t bytes)
{
    if (hold->entry_count == 0) {
        return bytes <= hold->capacity_bytes ? 0 : hold->capacity_bytes;
    }
    if (hold->tail > hold->head) {
        if (bytes <= hold->capacity_bytes - hold->tail) {
            return hold->tail;
        }
        return bytes <= hold->head ? 0 : hold->capacity_bytes;
    }
    return bytes <= hold->head - hold->tail ? hold->tail : hold->capacity_bytes;
}

void *tri_hold_push(struct tri_hold *hold, uint64_t lsn, uint32_t shard, uint32_t bytes)
{
    struct entry_head head = {.lsn = lsn, .shard = shard, .bytes = bytes};
    uint32_t at = hold_place(hold, hold_entry_bytes(bytes));

    assert(bytes >= 1);
    if (at == hold->capacity_bytes) {
        return NULL;
    }
    if (hold->entry_count == 0) {
        hold->head = 0;
        hold->wrap = hold->capacity_bytes;
    } else if (at == 0) {
        hold->wrap = hold->tail;
    }
    memcpy(hold->memory + at, &head, sizeof(head));
    hold->tail = at + hold_entry_bytes(bytes);
    hold->entry_count++;
    return hold->memory + at + sizeof(head);
}

bool tri_hold_peek(const struct tri_hold *hold, struct tri_hold_entry *entry)
{
    struct entry_head head;

    if (hold->entry_count == 0) {
        return false;
    }
    memcpy(&head, hold->memory + hold->head, sizeof(head));
    assert(head.bytes >= 1);
    *entry = (struct tri_hold_entry){.lsn = head.lsn,
                                     .shard = head.shard,
                                     .bytes = head.bytes,
                                     .record = hold->memory + hold->head + sizeof(head)};
    return true;
}

void tri_hold_pop(struct tri_hold *hold)
{
    struct entry_head head;

    assert(hold->entry_count > 0);
    memcpy(&head, hold->memory + hold->head, sizeof(head));
    hold->head += hold_entry_bytes(head.bytes);
    hold->entry_count--;
    assert(hold->head <= hold->wrap);
    if (hold->head == hold->wrap) {
        hold->head = 0;
        hold->wrap = hold->capacity_bytes;
    }
}
