/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bad block means cannot be seen on the block itself: a write that was
 * under way when the power went leaves anything, and so does a disk that rots.
 * What tells them apart is whether the block was ever announced, and that stands
 * in the blocks behind it: each says up to which number all blocks were durable
 * when it was written.  At most TRI_LOG_FLIGHT_MAX blocks are under way at once,
 * so of any damage but that of the last blocks there is a witness.
 *
 * Segments may hold anything behind the stream's end: zeros, or the old blocks
 * of a segment that was used again.  These have lower numbers than the block
 * that is missed, so they are neither read nor witnesses.
 */
#include "shards/log_scan.h"

#include <assert.h>
#include <string.h>

#include "shards/log_format.h"

enum scan_stage {
    STAGE_SEGMENT, /* the head of next.segment */
    STAGE_BLOCK,   /* the block at next */
    STAGE_SEARCH,  /* behind a bad block: a witness in the page at next */
    STAGE_END,
    STAGE_DAMAGE,
    STAGE_VERSION,
};

/* What reading one piece has come to. */
enum scan_result {
    SCAN_GOOD,
    SCAN_WANTS, /* more bytes */
    SCAN_BAD,   /* torn or damaged: the search decides */
    SCAN_WRONG, /* no crash leaves this */
    SCAN_OTHER_VERSION,
};

/* The `count` bytes at scan->next; NULL if the window lacks them, or if the segment is too short
 * for them. */
static const uint8_t *scan_bytes(struct tri_log_scan *scan, const struct tri_log_window *window,
                                 uint64_t count, bool *is_short)
{
    uint64_t from = scan->next.offset;

    *is_short = false;
    scan->want = scan->next;
    scan->want.count = count;
    if (window->segment != scan->next.segment || from < window->offset ||
        from > window->offset + window->count) {
        return NULL;
    }
    if (window->offset + window->count - from >= count) {
        return window->bytes + (from - window->offset);
    }
    *is_short = window->is_end;
    return NULL;
}

/* `what` is kept: a static sentence that goes on behind the place. */
static enum tri_log_scan_step scan_damage(struct tri_log_scan *scan, struct tri_log_scan_place at,
                                          const char *what)
{
    scan->stage = STAGE_DAMAGE;
    scan->at = at;
    scan->what = what;
    return TRI_LOG_SCAN_DAMAGE;
}

static enum tri_log_scan_step scan_end(struct tri_log_scan *scan)
{
    const struct tri_log_scan_options *options = &scan->options;
    struct tri_log_scan_place before = {.segment = options->segment_first - 1};

    if (options->has_cut && (scan->seq != options->cut_seq || scan->lsn != options->cut_lsn)) {
        return scan_damage(scan, scan->at,
                           "the stream ends elsewhere than the manifest says: one of them is of "
                           "another time");
    }
    if (options->segment_first > 1 && (scan->blocks == 0 || scan->lsn_needed < scan->lsn_first)) {
        scan->is_missing = true;
        return scan_damage(scan, before,
                           "the segment is missing: records that are needed lie in it");
    }
    scan->stage = STAGE_END;
    return TRI_LOG_SCAN_END;
}

/* What stands at scan->next is not what comes next. */
static enum tri_log_scan_step scan_bad(struct tri_log_scan *scan)
{
    scan->at = scan->next;
    scan->at.count = 0;
    if (scan->options.has_cut || !scan->has_place) {
        return scan_damage(scan, scan->at, scan->what);
    }
    scan->stage = STAGE_SEARCH;
    return TRI_LOG_SCAN_BYTES; /* the caller goes on by the stage */
}

void tri_log_scan_init(struct tri_log_scan *scan, const struct tri_log_scan_options *options)
{
    assert(options->epoch >= 1);
    assert(options->segment_first >= 1);
    *scan = (struct tri_log_scan){
        .options = *options,
        .lsn_needed = 1,
        .lsn_first = 1,
        .stage = STAGE_SEGMENT,
        .has_place = options->segment_first == 1,
        .next = {.segment = options->segment_first},
    };
    if (options->has_cut && options->cut_seq == 0) {
        scan->stage = STAGE_END;
        scan->at = scan->next;
    } else if (options->segment_last < options->segment_first) {
        scan->is_missing = true;
        (void)scan_damage(scan, scan->next, "the segment is missing: the stream begins in it");
    }
}

/* ---- heads ---- */

static enum scan_result scan_head_check(struct tri_log_scan *scan,
                                        const struct log_segment_head *head)
{
    struct log_hash hash = log_hash_of(head, TRI_LOG_PAGE_BYTES, 0);

    scan->what = "no segment begins here";
    if (head->magic != LOG_MAGIC_SEGMENT) {
        return SCAN_BAD;
    }
    scan->what = "the bytes of the segment's head do not match their hash";
    if (head->hash.lo != hash.lo || head->hash.hi != hash.hi) {
        return SCAN_BAD;
    }
    if (head->version != TRI_LOG_VERSION) {
        scan->version = head->version;
        return SCAN_OTHER_VERSION;
    }
    scan->what = "the segment is of another stream than its name says";
    if (head->epoch != scan->options.epoch || head->stream != scan->options.stream ||
        head->seed != scan->options.seed) {
        return SCAN_WRONG;
    }
    /* A segment that is used again keeps its old head until its first block is written. */
    scan->what = "the segment has not been begun";
    if (head->number < scan->next.segment) {
        return SCAN_BAD;
    }
    scan->what = "the segment's head contradicts itself or the segment before";
    if (head->number != scan->next.segment || head->block_bytes_max < 2U * TRI_LOG_PAGE_BYTES ||
        head->block_bytes_max > LOG_BLOCK_BYTES_MAX ||
        head->segment_bytes < (uint64_t)TRI_LOG_PAGE_BYTES + head->block_bytes_max) {
        return SCAN_WRONG;
    }
    if (scan->has_place && (head->seq_first != scan->seq + 1 || head->lsn_first != scan->lsn + 1 ||
                            head->before.lo != scan->hash_lo || head->before.hi != scan->hash_hi)) {
        return SCAN_WRONG;
    }
    return SCAN_GOOD;
}

/* Reads the head of the segment at scan->next. */
static enum scan_result scan_segment(struct tri_log_scan *scan, const struct tri_log_window *window)
{
    bool is_short = false;
    const uint8_t *page = scan_bytes(scan, window, TRI_LOG_PAGE_BYTES, &is_short);
    const struct log_segment_head *head = (const struct log_segment_head *)(const void *)page;
    enum scan_result result = SCAN_GOOD;

    if (page == NULL) {
        scan->what = "the file is shorter than a segment's head";
        return is_short ? SCAN_BAD : SCAN_WANTS;
    }
    result = scan_head_check(scan, head);
    if (result != SCAN_GOOD) {
        return result;
    }
    if (!scan->has_place) {
        scan->has_place = true;
        scan->seq = head->seq_first - 1;
        scan->lsn = head->lsn_first - 1;
        scan->hash_lo = head->before.lo;
        scan->hash_hi = head->before.hi;
    }
    if (scan->next.segment == scan->options.segment_first) {
        scan->lsn_first = head->lsn_first;
    }
    scan->block_bytes_max = head->block_bytes_max;
    scan->segment_bytes = head->segment_bytes;
    scan->next.offset = TRI_LOG_PAGE_BYTES;
    scan->stage = STAGE_BLOCK;
    return SCAN_GOOD;
}

/* The head of the block in `page`, if its sizes make sense and it is of this stream; else NULL. */
static const struct log_block_head *scan_block_head(const struct tri_log_scan *scan,
                                                    const uint8_t *page, uint64_t bytes_max)
{
    const struct log_block_head *head = (const struct log_block_head *)(const void *)page;

    if (head->magic != LOG_MAGIC_BLOCK || head->epoch != scan->options.epoch ||
        head->stream != scan->options.stream || head->count % TRI_LOG_PAGE_BYTES != 0 ||
        head->count == 0 || head->count > bytes_max || head->used > head->count ||
        head->used < sizeof(*head)) {
        return NULL;
    }
    return head;
}

static bool scan_is_whole(const struct tri_log_scan *scan, const struct log_block_head *head)
{
    struct log_hash hash = log_hash_of(head, head->count, scan->options.seed);

    return head->hash.lo == hash.lo && head->hash.hi == hash.hi;
}

/* ---- blocks ---- */

static void scan_block_set(const struct tri_log_scan *scan, const struct log_block_head *head,
                           struct tri_log_block *block)
{
    *block = (struct tri_log_block){
        .segment = scan->next.segment,
        .offset = scan->next.offset,
        .seq = head->seq,
        .lsn_first = head->lsn_first,
        .lsn_last = head->lsn_last,
        .lsn_needed = head->lsn_needed,
        .seq_durable = head->seq_durable,
        .records = head->records,
        .bytes = (const uint8_t *)head,
        .used = head->used,
        .count = head->count,
    };
}

/* Whether the records of a whole block are what its head says.  A trusted scan has seen it before.
 */
static bool scan_records_check(struct tri_log_scan *scan, const struct tri_log_block *block)
{
    struct tri_log_record record;
    uint64_t lsn = scan->lsn;
    uint32_t cursor = 0;
    uint32_t records = 0;

    if (scan->options.is_trusted) {
        return true;
    }
    while (tri_log_block_record(block, &cursor, &record)) {
        const uint8_t *head = record.payload - sizeof(struct log_record_head);
        uint64_t hash =
            XXH3_64bits(head + LOG_RECORD_HASHED_FROM,
                        sizeof(struct log_record_head) - LOG_RECORD_HASHED_FROM + record.bytes);

        lsn += record.type < TRI_LOG_TYPE_OWN ? 1U : 0U;
        if (((const struct log_record_head *)(const void *)head)->hash != hash ||
            record.lsn != lsn) {
            return false;
        }
        records++;
    }
    return cursor == block->used && records == block->records && lsn == block->lsn_last;
}

/* Reads the block at scan->next. */
static enum scan_result scan_block(struct tri_log_scan *scan, const struct tri_log_window *window,
                                   struct tri_log_block *block)
{
    uint64_t left = scan->segment_bytes - scan->next.offset;
    const struct log_block_head *head = NULL;
    const uint8_t *bytes = NULL;
    bool is_short = false;

    scan->what = "the file ends in the middle of a block";
    bytes = scan_bytes(scan, window, TRI_LOG_PAGE_BYTES, &is_short);
    if (bytes == NULL) {
        return is_short ? SCAN_BAD : SCAN_WANTS;
    }
    scan->what = "no block of this stream begins here";
    assert(left >= scan->block_bytes_max);
    head = scan_block_head(scan, bytes, scan->block_bytes_max);
    if (head == NULL) {
        return SCAN_BAD;
    }
    scan->what = "the file ends in the middle of a block";
    if (scan_bytes(scan, window, head->count, &is_short) == NULL) {
        return is_short ? SCAN_BAD : SCAN_WANTS;
    }
    scan->what = "the block's bytes do not match their hash";
    if (!scan->options.is_trusted && !scan_is_whole(scan, head)) {
        return SCAN_BAD;
    }
    scan->what = "another block stands here than the one that comes next";
    if (head->seq != scan->seq + 1) {
        return SCAN_BAD;
    }
    scan->what = "the block does not continue the block before it";
    if (head->before.lo != scan->hash_lo || head->before.hi != scan->hash_hi ||
        head->segment != scan->next.segment || head->lsn_first != scan->lsn + 1 ||
        head->seq_durable >= head->seq || head->lsn_needed < scan->lsn_needed ||
        head->lsn_needed > head->lsn_last + 1) {
        return SCAN_WRONG;
    }
    scan_block_set(scan, head, block);
    scan->what = "the block's records contradict its head";
    if (!scan_records_check(scan, block)) {
        return SCAN_WRONG;
    }
    return SCAN_GOOD;
}

/* Whether the block marks the end: no record of the user is beside that record. */
static bool scan_has_end(const struct tri_log_block *block)
{
    struct tri_log_record record = {0};
    uint32_t cursor = 0;

    if (block->lsn_last + 1 == block->lsn_first) {
        while (tri_log_block_record(block, &cursor, &record)) {
            /* the last one counts */
        }
    }
    return record.type == TRI_LOG_TYPE_END;
}

/* Moves on behind a good block. */
static void scan_take(struct tri_log_scan *scan, const struct tri_log_block *block)
{
    const struct log_block_head *head = (const struct log_block_head *)(const void *)block->bytes;

    scan->seq = block->seq;
    scan->lsn = block->lsn_last;
    scan->lsn_needed = block->lsn_needed;
    scan->hash_lo = head->hash.lo;
    scan->hash_hi = head->hash.hi;
    scan->blocks++;
    scan->records += block->lsn_last + 1 - block->lsn_first;
    scan->bytes += block->count;
    scan->next.offset += block->count;
    scan->is_ended = scan_has_end(block);
}

/* ---- the search for a witness ---- */

/* Looks at the page at scan->next. */
static enum tri_log_scan_step scan_search(struct tri_log_scan *scan,
                                          const struct tri_log_window *window)
{
    uint64_t bad_seq = scan->seq + 1;
    const struct log_block_head *head = NULL;
    bool is_short = false;
    const uint8_t *page = scan_bytes(scan, window, TRI_LOG_PAGE_BYTES, &is_short);

    if (page == NULL && !is_short) {
        return TRI_LOG_SCAN_BYTES;
    }
    if (page == NULL) { /* this segment is over */
        if (scan->next.segment == scan->options.segment_last) {
            return scan_end(scan);
        }
        scan->next = (struct tri_log_scan_place){.segment = scan->next.segment + 1};
        return TRI_LOG_SCAN_BLOCK;
    }
    head = scan_block_head(scan, page, LOG_BLOCK_BYTES_MAX);
    if (head != NULL && head->seq >= bad_seq) {
        if (scan_bytes(scan, window, head->count, &is_short) == NULL && !is_short) {
            return TRI_LOG_SCAN_BYTES;
        }
        scan->is_torn = true;
        if (!is_short && head->seq_durable >= bad_seq && head->seq_durable < head->seq &&
            scan_is_whole(scan, head)) {
            scan->witness = scan->next;
            return scan_damage(scan, scan->at, scan->what);
        }
    }
    scan->next.offset += TRI_LOG_PAGE_BYTES;
    return TRI_LOG_SCAN_BLOCK;
}

/* ---- the walk ---- */

/* Whether the stream ends before the block at scan->next; moves to the next segment at the end of
 * one. */
static bool scan_is_over(struct tri_log_scan *scan)
{
    if (scan->stage == STAGE_BLOCK &&
        scan->segment_bytes - scan->next.offset < scan->block_bytes_max) {
        scan->next = (struct tri_log_scan_place){.segment = scan->next.segment + 1};
        scan->stage = STAGE_SEGMENT;
    }
    return scan->is_ended ||
           (scan->options.has_cut && scan->has_place && scan->seq == scan->options.cut_seq) ||
           scan->next.segment > scan->options.segment_last;
}

/* One piece; TRI_LOG_SCAN_BLOCK without `is_block` means: go on. */
static enum tri_log_scan_step scan_read(struct tri_log_scan *scan,
                                        const struct tri_log_window *window,
                                        struct tri_log_block *block, bool *is_block)
{
    enum scan_result result = SCAN_GOOD;

    if (scan_is_over(scan)) {
        scan->at = scan->next;
        if (scan->options.has_cut && scan->seq < scan->options.cut_seq && !scan->is_ended) {
            scan->is_missing = true;
            return scan_damage(scan, scan->at,
                               "the segment is missing: the manifest tells of records in it");
        }
        return scan_end(scan);
    }
    *is_block = scan->stage == STAGE_BLOCK;
    result = *is_block ? scan_block(scan, window, block) : scan_segment(scan, window);
    switch (result) {
    case SCAN_GOOD:
        if (*is_block) {
            scan_take(scan, block);
        }
        return TRI_LOG_SCAN_BLOCK;
    case SCAN_WANTS:
        return TRI_LOG_SCAN_BYTES;
    case SCAN_OTHER_VERSION:
        scan->stage = STAGE_VERSION;
        scan->at = scan->next;
        return TRI_LOG_SCAN_VERSION;
    case SCAN_WRONG:
        scan->next.count = 0;
        return scan_damage(scan, scan->next, scan->what);
    case SCAN_BAD:
    default:
        *is_block = false;
        return scan_bad(scan) == TRI_LOG_SCAN_DAMAGE ? TRI_LOG_SCAN_DAMAGE : TRI_LOG_SCAN_BLOCK;
    }
}

enum tri_log_scan_step tri_log_scan_next(struct tri_log_scan *scan,
                                         const struct tri_log_window *window,
                                         struct tri_log_block *block)
{
    enum tri_log_scan_step step = TRI_LOG_SCAN_BLOCK;
    bool is_block = false;

    while (step == TRI_LOG_SCAN_BLOCK && !is_block) {
        switch ((enum scan_stage)scan->stage) {
        case STAGE_END:
            return TRI_LOG_SCAN_END;
        case STAGE_DAMAGE:
            return TRI_LOG_SCAN_DAMAGE;
        case STAGE_VERSION:
            return TRI_LOG_SCAN_VERSION;
        case STAGE_SEARCH:
            step = scan_search(scan, window);
            break;
        case STAGE_SEGMENT:
        case STAGE_BLOCK:
        default:
            step = scan_read(scan, window, block, &is_block);
            break;
        }
    }
    return step;
}

bool tri_log_block_record(const struct tri_log_block *block, uint32_t *cursor,
                          struct tri_log_record *record)
{
    const struct log_record_head *head = NULL;
    uint32_t at = *cursor == 0 ? (uint32_t)sizeof(struct log_block_head) : *cursor;
    uint32_t left = block->used - at;

    assert(at <= block->used);
    *cursor = at;
    if (left < sizeof(*head)) {
        return false;
    }
    head = (const struct log_record_head *)(const void *)(block->bytes + at);
    if (head->bytes > left - sizeof(*head) || log_record_bytes(head->bytes) > left) {
        return false;
    }
    *record = (struct tri_log_record){
        .lsn = head->lsn,
        .type = head->type,
        .slot = head->slot,
        .bytes = head->bytes,
        .at = at,
        .payload = (const uint8_t *)(head + 1),
    };
    *cursor = at + log_record_bytes(head->bytes);
    return true;
}
