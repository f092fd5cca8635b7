/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeper, finality: the primary records that a start finds in the journals and not in the archive
 * (D04).  They are few: what the last seconds before a crash brought.
 *
 * Each shard of today reads those of its slots; together, in the order of stream and LSN, they are
 * the epochs as the shards of then closed them.
 *
 * Threads: a list belongs to one thread at a time.
 */
#ifndef TRI_IO_KEEPER_FINALITY_H
#define TRI_IO_KEEPER_FINALITY_H

#include "io/archive.h"
#include "io/keeper.h"

/* One primary record; its bytes lie in the list's. */
struct tri_finality_item {
    uint32_t epoch; /* with `shard` the stream */
    uint32_t shard;
    uint64_t lsn;
    uint64_t oss_epoch;
    size_t at; /* of the leaf, and behind it the content */
    uint32_t leaf_bytes;
    uint32_t content_bytes;
};

struct tri_finality_list {
    struct tri_finality_item *items;
    size_t count;
    size_t count_max;
    uint8_t *bytes;
    size_t used_bytes;
    size_t bytes_max;
};

/* tri_finality_list_add takes a record over, as `entry` brought it and `replayed` shows it. Returns
 * NULL or a static sentence: why the archive cannot be completed. */
const char *tri_finality_list_add(struct tri_finality_list *list,
                                  const struct tri_journal_entry *entry,
                                  const struct tri_replayed *replayed,
                                  const struct tri_keeper_options *options);
/* tri_finality_list_join moves what `from` has to `list`.  Returns 0 or -ENOMEM with a line in
 * `trouble`. */
int tri_finality_list_join(struct tri_finality_list *list, struct tri_finality_list *from,
                           char trouble[TRI_JOURNAL_TROUBLE_BYTES]);
/* tri_finality_list_archive makes finality records of the list and makes them durable; *records is
 * their number.  Returns 0 or -errno with a line in `trouble`. */
int tri_finality_list_archive(struct tri_finality_list *list, struct tri_archive *archive,
                              uint64_t *records, char trouble[TRI_JOURNAL_TROUBLE_BYTES]);
/* Accepts a zeroed list. */
void tri_finality_list_free(struct tri_finality_list *list);

#endif
