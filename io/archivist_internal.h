/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archivist, inside: what archivist.c (tapes to records, the thread) and archivist_desk.c (what
 * settlement and operators ask, messages that are driven forward again) share.  No other file
 * includes this.
 */
#ifndef TRI_IO_ARCHIVIST_INTERNAL_H
#define TRI_IO_ARCHIVIST_INTERNAL_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "engine/epoch.h"
#include "io/archivist.h"

/* Of each message of an epoch a leaf and the content: what the epoch counts of it twice at most,
 * and a little. */
#define ARCHIVIST_EPOCH_BYTES                                                \
    (2U * (TRI_EPOCH_BYTES_MAX + TRI_FRAME_BYTES_MAX + TRI_LEAF_BYTES_MAX) + \
     TRI_EPOCH_MESSAGES_MAX * 128U)
#define ARCHIVIST_FORWARDS_MAX (TRI_SHARDS_MAX * TRI_DESK_FORWARDS_MAX)

static_assert(ARCHIVIST_EPOCH_BYTES + TRI_FINALITY_HEADER_BYTES_MAX + TRI_EPOCH_MESSAGES_MAX * 16U <
                  TRI_ARCHIVE_RECORD_BYTES_MAX,
              "an epoch's record is no longer than allowed");
static_assert(TRI_EPOCH_MESSAGES_MAX == TRI_FINALITY_MESSAGES_MAX, "nor has it more messages");

/* The epoch of a shard that is being gathered. */
struct archivist_epoch {
    uint64_t number; /* 0 = none */
    uint64_t last_lsn;
    uint64_t appended_lsn; /* of the last entry that went into the archive */
    uint64_t flushing_lsn; /* of the last one that the flush under way, or the last, began with */
    uint32_t count;
    uint32_t used_bytes;
    struct tri_archive_entry entries[TRI_EPOCH_MESSAGES_MAX];
    uint8_t bytes[ARCHIVIST_EPOCH_BYTES];
};

static_assert(TRI_ID_BYTES_MAX <= UINT8_MAX, "its length fits into a byte");

/* A message that is being driven forward again. */
struct archivist_forward {
    bool is_taken;
    uint32_t generation; /* raised with each use: a late answer is nobody's */
    uint8_t id_bytes;
    char id[TRI_ID_BYTES_MAX]; /* of the message */
    struct tri_pending_redelivery what;
};

/* An answer that waits for a flush. */
#define ARCHIVIST_KEPT_MAX 32U
struct archivist_kept {
    tri_port port;
    struct tri_settled settled; /* its stream stands here: */
    char stream[TRI_STREAM_BYTES_MAX];
};

struct tri_archivist {
    struct tri_archivist_options options;
    struct tri_loop loop;
    pthread_t thread;
    bool has_thread;
    int end_event;
    uint64_t end_value;
    bool is_ending;
    bool is_dirty;    /* appended, not yet handed to the kernel */
    bool is_unsynced; /* no flush has begun with it */
    uint32_t flushes; /* files of the flush that is under way */
    int32_t flush_result;
    uint64_t now_ns;
    uint64_t written_ns;
    uint64_t synced_ns;
    size_t bytes; /* of this object */
    _Atomic uint32_t has_failed;
    _Atomic int32_t begun; /* 1: the thread runs; negative: why it cannot */
    char trouble[TRI_ARCHIVE_TROUBLE_BYTES];
    /* archivist_desk.c */
    bool was_gap;            /* as it was said */
    uint64_t forward_due_ms; /* wall time */
    uint64_t learn_due_ns;
    uint32_t forward_count; /* redeliveries asked for since the start: their attempts' numbers */
    struct archivist_forward forwards[ARCHIVIST_FORWARDS_MAX];
    struct tri_frame question;
    struct tri_frame answer;
    struct tri_pending_item items[TRI_PENDING_LIST_MAX];
    uint32_t kept_count;
    struct archivist_kept kept[ARCHIVIST_KEPT_MAX];
    uint8_t list[TRI_FRAME_BYTES_MAX];
    uint8_t frame[TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES];
    struct archivist_epoch epochs[]; /* by shard */
};

static inline bool archivist_has_failed(const struct tri_archivist *archivist)
{
    return atomic_load_explicit(&archivist->has_failed, memory_order_relaxed) != 0;
}

/* Stops everything; the reason stands in `trouble`. */
void tri_archivist_fail(struct tri_archivist *archivist);
/* The same if the queue said so: its reason. */
void tri_archivist_fail_pending(struct tri_archivist *archivist);

/* tri_archivist_desks answers what was asked and drives messages forward.  Returns the work done.
 */
uint32_t tri_archivist_desks(struct tri_archivist *archivist);
/* How long nothing is due there. */
uint64_t tri_archivist_desks_idle_ns(const struct tri_archivist *archivist);

#endif
