/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log format: what stands in a segment, for log.c and log_scan.c alone
 * (docs/journal.md says the same in words).
 *
 *     segment = segment head | block | block | ... | rest
 *     block   = block head | record | record | ... | zeros up to a whole page
 *     record  = record head | payload | zeros up to a multiple of 8
 *
 * Numbers are little-endian.  The first 32 bytes of a segment head (magic, hash,
 * version, epoch) keep their places in every version, and so does what the hash
 * covers: everything behind itself, in a segment head the whole page.
 */
#ifndef TRI_SHARDS_LOG_FORMAT_H
#define TRI_SHARDS_LOG_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

#include "shards/log.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are written as they lie");

#define LOG_MAGIC_SEGMENT UINT64_C(0x0a4745532d495254) /* "TRI-SEG\n" */
#define LOG_MAGIC_BLOCK   UINT64_C(0x0a4b4c422d495254) /* "TRI-BLK\n" */

/* XXH3-128, low half first. */
struct log_hash {
    uint64_t lo;
    uint64_t hi;
};

struct log_segment_head {
    uint64_t magic;
    struct log_hash hash; /* of the page behind this field, seed 0 */
    uint32_t version;
    uint32_t epoch;
    uint32_t stream;
    uint32_t streams;
    uint32_t slot_first;
    uint32_t slot_last;
    uint32_t number;
    uint32_t block_bytes_max;
    uint64_t segment_bytes;
    uint64_t seed;          /* of the stream's blocks */
    uint64_t seq_first;     /* of the first block */
    uint64_t lsn_first;     /* of the first record */
    struct log_hash before; /* the last block's hash, zeros in segment 1 */
};

struct log_block_head {
    uint64_t magic;
    struct log_hash hash; /* of the block behind this field with the stream's seed */
    uint32_t count;       /* bytes of the block, whole pages */
    uint32_t used;        /* bytes of head and records */
    uint32_t epoch;
    uint32_t stream;
    uint32_t segment;
    uint32_t records;
    uint64_t seq;
    uint64_t lsn_first; /* lsn_last + 1 if the block has none */
    uint64_t lsn_last;
    uint64_t lsn_needed;
    uint64_t seq_durable;
    struct log_hash before; /* the hash of the block before, zeros in block 1 */
};

struct log_record_head {
    uint64_t hash; /* XXH3-64 of the head behind this field and the payload */
    uint32_t bytes;
    uint16_t type;
    uint16_t slot;
    uint64_t lsn;
};

static_assert(offsetof(struct log_segment_head, version) == 24, "of every version");
static_assert(offsetof(struct log_segment_head, epoch) == 28, "of every version");
static_assert(sizeof(struct log_segment_head) == 104, "no holes");
static_assert(sizeof(struct log_block_head) == 104, "no holes");
static_assert(sizeof(struct log_record_head) == 24, "no holes");

#define LOG_BLOCK_BYTES_MAX    (1U << 20)
#define LOG_HASHED_FROM        24U /* in segment and block */
#define LOG_RECORD_HASHED_FROM 8U

static inline struct log_hash log_hash_of(const void *bytes, size_t count, uint64_t seed)
{
    XXH128_hash_t hash;

    assert(count > LOG_HASHED_FROM);
    hash = XXH3_128bits_withSeed((const uint8_t *)bytes + LOG_HASHED_FROM, count - LOG_HASHED_FROM,
                                 seed);
    return (struct log_hash){hash.low64, hash.high64};
}

static inline uint32_t log_record_bytes(uint32_t payload_bytes)
{
    return (uint32_t)sizeof(struct log_record_head) + (payload_bytes + 7U) / 8U * 8U;
}

#endif
