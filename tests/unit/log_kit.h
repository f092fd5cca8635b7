/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log on segments in memory, for tests of the writing and the reading side.
 *
 * Requests are carried out by hand (kit_next, kit_write, kit_done) or all at
 * once (kit_flush).  Records are small and tell who they are: the payload of LSN
 * n is n bytes (at most KIT_PAYLOAD_MAX) of the value n.
 */
#ifndef TRI_TESTS_LOG_KIT_H
#define TRI_TESTS_LOG_KIT_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/limits.h"
#include "shards/log.h"
#include "shards/log_scan.h"

#define KIT_SEGMENTS    16U
#define KIT_PAYLOAD_MAX 200U
#define KIT_BLOCK       8192U
#define KIT_SEED        UINT64_C(0x0123456789abcdef)

struct kit_segment {
    uint8_t *bytes; /* NULL = there is no such segment */
    uint64_t count;
};

struct kit {
    struct tri_log_options options;
    void *memory;
    struct tri_log *log;
    struct kit_segment segments[KIT_SEGMENTS + 1];
};

__attribute__((unused)) static struct tri_log_options kit_options(void)
{
    return (struct tri_log_options){
        .epoch = 3,
        .stream = 1,
        .streams = 2,
        .slot_first = 2048,
        .slot_last = 4095,
        .seed = KIT_SEED,
        .block_bytes_max = KIT_BLOCK,
        .blocks = 6,
        .segment_bytes = 32768,
        .segment_bytes_first = 32768,
        .checkpoint_bytes = 65536,
    };
}

static inline void kit_segment_make(struct kit *kit, uint32_t segment, uint64_t count)
{
    cr_assert_leq(segment, KIT_SEGMENTS);
    kit->segments[segment].bytes = aligned_alloc(4096, count);
    cr_assert_not_null(kit->segments[segment].bytes);
    memset(kit->segments[segment].bytes, 0, count);
    kit->segments[segment].count = count;
}

__attribute__((unused)) static struct kit kit_open(const struct tri_log_options *options)
{
    struct kit kit = {.options = *options};
    size_t bytes = tri_log_footprint(options);

    cr_assert_gt(bytes, 0);
    kit.memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    cr_assert_not_null(kit.memory);
    kit.log = tri_log_init(kit.memory, options);
    kit_segment_make(&kit, 1, tri_log_segment_bytes(options, 1));
    return kit;
}

__attribute__((unused)) static void kit_close(struct kit *kit)
{
    for (uint32_t i = 0; i <= KIT_SEGMENTS; i++) {
        free(kit->segments[i].bytes);
    }
    free(kit->memory);
}

static inline uint32_t kit_payload_bytes(uint64_t lsn)
{
    return lsn < KIT_PAYLOAD_MAX ? (uint32_t)lsn : KIT_PAYLOAD_MAX;
}

/* Appends `bytes` bytes of the value of the next LSN; false if there is no room. */
static inline bool kit_append_bytes(struct kit *kit, uint32_t bytes)
{
    uint64_t lsn = tri_log_last_lsn(kit->log) + 1;
    uint8_t *payload = tri_log_reserve(kit->log, bytes);

    if (payload == NULL) {
        return false;
    }
    memset(payload, (int)(lsn & 0xff), bytes);
    tri_log_commit(kit->log, (uint16_t)(lsn % 7 + 1), (uint16_t)(2048 + lsn % 2048), lsn, bytes);
    return true;
}

__attribute__((unused)) static bool kit_append(struct kit *kit)
{
    return kit_append_bytes(kit, kit_payload_bytes(tri_log_last_lsn(kit->log) + 1));
}

__attribute__((unused)) static void kit_append_all(struct kit *kit, uint32_t records)
{
    for (uint32_t i = 0; i < records; i++) {
        cr_assert(kit_append(kit));
    }
}

/* Carries a request out, without telling the log. */
static inline void kit_write(struct kit *kit, const struct tri_log_request *request)
{
    struct kit_segment *segment = &kit->segments[request->segment];

    switch (request->type) {
    case TRI_LOG_WRITE:
        cr_assert_not_null(segment->bytes);
        cr_assert_eq(request->offset % 4096, 0);
        cr_assert_eq(request->count % 4096, 0);
        cr_assert_leq(request->offset + request->count, segment->count);
        memcpy(segment->bytes + request->offset, request->bytes, request->count);
        break;
    case TRI_LOG_PREPARE:
        cr_assert_null(segment->bytes);
        kit_segment_make(kit, request->segment, request->offset);
        break;
    case TRI_LOG_DROP:
    default:
        cr_assert_not_null(segment->bytes);
        free(segment->bytes);
        segment->bytes = NULL;
        break;
    }
}

/* The next request of that type; PREPARE and DROP are carried out by the way. */
__attribute__((unused)) static bool kit_next(struct kit *kit, struct tri_log_request *request)
{
    while (tri_log_next(kit->log, request)) {
        if (request->type == TRI_LOG_WRITE) {
            return true;
        }
        kit_write(kit, request);
        tri_log_done(kit->log, request->ticket, TRI_LOG_DONE);
    }
    return false;
}

/* Writes all there is to write. */
__attribute__((unused)) static void kit_flush(struct kit *kit)
{
    struct tri_log_request request;

    while (kit_next(kit, &request)) {
        kit_write(kit, &request);
        tri_log_done(kit->log, request.ticket, TRI_LOG_DONE);
    }
}

/* One turn: what is there is written, one after the other. */
__attribute__((unused)) static void kit_turn(struct kit *kit, uint32_t records)
{
    kit_append_all(kit, records);
    kit_flush(kit);
}

/* How a scan ended. */
struct kit_end {
    enum tri_log_scan_step step;
    struct tri_log_scan scan;
    uint64_t lsn_first; /* of the records that were given, 0 = none */
    uint64_t lsn_last;
    uint32_t chains;
};

__attribute__((unused)) static struct tri_log_scan_options kit_scan_options(const struct kit *kit)
{
    struct tri_log_scan_options options = {
        .epoch = kit->options.epoch,
        .stream = kit->options.stream,
        .seed = kit->options.seed,
        .segment_first = 1,
    };

    while (options.segment_first < KIT_SEGMENTS &&
           kit->segments[options.segment_first].bytes == NULL) {
        options.segment_first++;
    }
    options.segment_last = options.segment_first - 1;
    while (options.segment_last < KIT_SEGMENTS &&
           kit->segments[options.segment_last + 1].bytes != NULL) {
        options.segment_last++;
    }
    return options;
}

/* Checks that a record is the one that was appended under its LSN. */
static inline void kit_check(const struct tri_log_record *record, uint64_t lsn)
{
    cr_assert_eq(record->lsn, lsn, "LSN %lu instead of %lu", (unsigned long)record->lsn,
                 (unsigned long)lsn);
    cr_assert_eq(record->type, lsn % 7 + 1);
    cr_assert_eq(record->slot, 2048 + lsn % 2048);
    cr_assert_eq((uintptr_t)record->payload % 8, 0);
    for (uint32_t i = 0; i < record->bytes; i++) {
        cr_assert_eq(record->payload[i], lsn & 0xff);
    }
}

/* Reads the segments, `window` bytes at a time, and checks every record. */
__attribute__((unused)) static struct kit_end
kit_scan_with(const struct kit *kit, const struct tri_log_scan_options *options, uint64_t window)
{
    struct kit_end end = {0};
    struct tri_log_window bytes = {0};
    struct tri_log_block block;

    tri_log_scan_init(&end.scan, options);
    while ((end.step = tri_log_scan_next(&end.scan, &bytes, &block)) <= TRI_LOG_SCAN_BLOCK) {
        struct tri_log_record record;
        uint32_t cursor = 0;

        if (end.step == TRI_LOG_SCAN_BYTES) {
            const struct tri_log_scan_place *want = &end.scan.want;
            const struct kit_segment *segment = &kit->segments[want->segment];
            uint64_t count = want->count > window ? want->count : window;

            cr_assert_not_null(segment->bytes);
            bytes = (struct tri_log_window){
                .segment = want->segment, .offset = want->offset, .bytes = segment->bytes};
            if (want->offset < segment->count) {
                bytes.bytes += want->offset;
                bytes.count = segment->count - want->offset;
            }
            bytes.is_end = bytes.count <= count;
            bytes.count = bytes.is_end ? bytes.count : count;
            continue;
        }
        while (tri_log_block_record(&block, &cursor, &record)) {
            if (record.type >= TRI_LOG_TYPE_OWN) {
                end.chains += record.type == TRI_LOG_TYPE_CHAINS ? 1U : 0U;
                continue;
            }
            end.lsn_first = end.lsn_first == 0 ? record.lsn : end.lsn_first;
            kit_check(&record, end.lsn_last == 0 ? end.lsn_first : end.lsn_last + 1);
            end.lsn_last = record.lsn;
        }
    }
    return end;
}

__attribute__((unused)) static struct kit_end kit_scan(const struct kit *kit)
{
    struct tri_log_scan_options options = kit_scan_options(kit);

    return kit_scan_with(kit, &options, 65536);
}

#endif
