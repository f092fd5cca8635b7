/* SPDX-License-Identifier: Apache-2.0 */
#include "io/keeper_finality.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shards/tape.h"

#define ITEMS_FIRST 1024U
#define BYTES_FIRST (UINT32_C(1) << 20)

static_assert(TRI_JOURNAL_TROUBLE_BYTES == TRI_ARCHIVE_TROUBLE_BYTES, "lines fit into either");

/* Grows an array to hold `wanted` elements; false: no memory. */
static bool list_grow(void **array, size_t *max, size_t wanted, size_t first, size_t element_bytes)
{
    size_t grown = *max == 0 ? first : *max;
    void *moved = NULL;

    while (grown < wanted) {
        grown *= 2;
    }
    if (grown == *max) {
        return true;
    }
    moved = realloc(*array, grown * element_bytes);
    if (moved == NULL) {
        return false;
    }
    *array = moved;
    *max = grown;
    return true;
}

static bool list_room(struct tri_finality_list *list, size_t items, size_t bytes)
{
    return list_grow((void **)&list->items, &list->count_max, list->count + items, ITEMS_FIRST,
                     sizeof(*list->items)) &&
           list_grow((void **)&list->bytes, &list->bytes_max, list->used_bytes + bytes, BYTES_FIRST,
                     1);
}

const char *tri_finality_list_add(struct tri_finality_list *list,
                                  const struct tri_journal_entry *entry,
                                  const struct tri_replayed *replayed,
                                  const struct tri_keeper_options *options)
{
    const struct tri_round_view *round = &replayed->round;
    struct tri_finality_item *item = NULL;
    uint32_t content_bytes = round->canonical.bytes; /* its stream may keep contents, or drop it */

    if (!replayed->is_known) {
        return "the archive lacks this primary record, and its message is not in the journal any "
               "more; put the archive's newest copy back";
    }
    if (!list_room(list, 1, TRI_LEAF_BYTES_MAX + content_bytes)) {
        return "no memory for the records that the archive lacks";
    }
    item = &list->items[list->count];
    *item = (struct tri_finality_item){
        .epoch = entry->epoch,
        .shard = entry->stream,
        .lsn = entry->record.lsn,
        .oss_epoch = replayed->oss_epoch,
        .at = list->used_bytes,
        .leaf_bytes = tri_leaf_of(round, replayed->issued_at_ms, options->chains,
                                  options->chain_count, list->bytes + list->used_bytes),
        .content_bytes = content_bytes,
    };
    if (item->leaf_bytes == 0) {
        return "a target of this primary record is not configured any more; configure its chain "
               "again until the archive has it";
    }
    if (content_bytes > 0) {
        memcpy(list->bytes + item->at + item->leaf_bytes, round->canonical.at, content_bytes);
    }
    list->used_bytes += item->leaf_bytes + content_bytes;
    list->count++;
    return NULL;
}

int tri_finality_list_join(struct tri_finality_list *list, struct tri_finality_list *from,
                           char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    if (from->count == 0) {
        return 0;
    }
    if (!list_room(list, from->count, from->used_bytes)) {
        (void)snprintf(trouble, TRI_JOURNAL_TROUBLE_BYTES,
                       "no memory for the records that the archive lacks");
        return -ENOMEM;
    }
    memcpy(list->bytes + list->used_bytes, from->bytes, from->used_bytes);
    for (size_t i = 0; i < from->count; i++) {
        list->items[list->count] = from->items[i];
        list->items[list->count].at += list->used_bytes;
        list->count++;
    }
    list->used_bytes += from->used_bytes;
    tri_finality_list_free(from);
    return 0;
}

static int list_compare(const void *left, const void *right)
{
    const struct tri_finality_item *a = left;
    const struct tri_finality_item *b = right;

    if (a->epoch != b->epoch) {
        return a->epoch < b->epoch ? -1 : 1;
    }
    if (a->shard != b->shard) {
        return a->shard < b->shard ? -1 : 1;
    }
    return a->lsn < b->lsn ? -1 : a->lsn > b->lsn;
}

/* The items from `first` on that are one epoch. */
static size_t list_epoch(const struct tri_finality_list *list, size_t first)
{
    const struct tri_finality_item *begin = &list->items[first];
    size_t count = 1;

    while (first + count < list->count && begin[count].epoch == begin->epoch &&
           begin[count].shard == begin->shard && begin[count].oss_epoch == begin->oss_epoch) {
        count++;
    }
    return count;
}

int tri_finality_list_archive(struct tri_finality_list *list, struct tri_archive *archive,
                              uint64_t *records, char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    static const size_t entry_bytes = sizeof(struct tri_archive_entry);
    struct tri_archive_entry *entries = malloc(TRI_FINALITY_MESSAGES_MAX * entry_bytes);
    int failed = entries == NULL ? -ENOMEM : 0;
    size_t first = 0;

    *records = 0;
    if (failed != 0) {
        (void)snprintf(trouble, TRI_JOURNAL_TROUBLE_BYTES, "no memory for the archive");
    }
    if (list->count > 0) {
        qsort(list->items, list->count, sizeof(*list->items), list_compare);
    }
    while (failed == 0 && first < list->count) {
        const struct tri_finality_item *item = &list->items[first];
        size_t count = list_epoch(list, first);

        if (count > TRI_FINALITY_MESSAGES_MAX) {
            (void)snprintf(trouble, TRI_JOURNAL_TROUBLE_BYTES,
                           "stream %u of epoch %u: ossEpoch %llu holds %zu messages, more than %u",
                           item->shard, item->epoch, (unsigned long long)item->oss_epoch, count,
                           TRI_FINALITY_MESSAGES_MAX);
            failed = -EBADMSG;
            break;
        }
        for (size_t i = 0; i < count; i++) {
            const uint8_t *at = list->bytes + item[i].at;

            entries[i] = (struct tri_archive_entry){
                .leaf = {.at = at, .bytes = item[i].leaf_bytes},
                .content = {.at = at + item[i].leaf_bytes, .bytes = item[i].content_bytes},
            };
        }
        failed = tri_archive_append(archive, item->epoch, item->shard, item->oss_epoch, entries,
                                    (uint32_t)count, trouble);
        *records += failed == 0 ? 1 : 0;
        first += count;
    }
    free(entries);
    return failed == 0 ? tri_archive_sync(archive, trouble) : failed;
}

void tri_finality_list_free(struct tri_finality_list *list)
{
    free(list->items);
    free(list->bytes);
    *list = (struct tri_finality_list){0};
}
