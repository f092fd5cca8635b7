/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers form a ring of blocks that are counted from 0 for ever; block number
 * n has seq n + 1 and lies in buffer n modulo their count:
 *
 *      durable          under way           closed          open
 *     ---------- | ----------------- | ---------------- | -------
 *              first               sealed                      opened
 *
 * Where a block lies is decided when it is opened: the blocks before it are
 * closed by then, so their sizes are known.  A segment ends where less than a
 * largest block would fit, so a reader knows it too.  Everything else of a
 * block's head is decided when it is sealed, as late as possible: it then tells
 * the most about the blocks before it.
 */
#include "shards/log.h"

#include <string.h>

#include "engine/limits.h"
#include "shards/log_format.h"

#define LOG_BLOCK_BYTES_DEFAULT      (128U * 1024U)
#define LOG_BLOCK_BYTES_MIN          (2U * TRI_LOG_PAGE_BYTES)
#define LOG_BLOCKS_DEFAULT           8U
#define LOG_BLOCKS_MAX               TRI_LOG_TICKET_PREPARE
#define LOG_SEGMENT_BYTES_DEFAULT    (UINT64_C(64) << 20)
#define LOG_SEGMENT_FIRST_DEFAULT    (UINT64_C(4) << 20)
#define LOG_SEGMENT_BYTES_MAX        (UINT64_C(1) << 40)
#define LOG_CHECKPOINT_BYTES_DEFAULT (UINT64_C(64) << 20)
#define LOG_CHECKPOINT_RATIO         2U

static_assert(LOG_BLOCKS_DEFAULT > TRI_LOG_FLIGHT_MAX, "one fills while the others are written");

struct log_buffer {
    uint8_t *block; /* the page before it is for the head of a segment */
    uint32_t used;
    uint32_t count; /* whole pages; once closed */
    uint32_t records;
    uint32_t segment;
    uint64_t offset;
    uint64_t lsn_first;
    uint64_t lsn_last;
    uint64_t lsn_needed; /* as sealed */
    uint32_t segment_needed;
    bool is_first;    /* in its segment: the segment's head is written with it */
    bool has_content; /* of the user, or the END record */
    bool is_done;     /* the write has ended well */
};

struct tri_log {
    struct tri_log_options options; /* defaults filled in */
    uint64_t first;
    uint64_t sealed;
    uint64_t opened;
    bool is_open; /* the last opened block takes records */
    uint32_t reserved_bytes;
    uint64_t lsn_last;
    uint64_t lsn_durable;
    uint32_t segment; /* of the last opened block, 0 at first */
    uint64_t offset;  /* where the next block goes in it */
    uint32_t segment_prepared;
    bool is_preparing;
    bool has_prepare_failed;
    uint32_t segment_dropped;
    bool is_dropping;
    struct log_hash hash; /* of the last sealed block */
    uint32_t flight;
    bool is_failing;     /* a write has failed: nothing is started any more */
    uint64_t failed_at;  /* block number of the earliest failed write */
    uint64_t failed_lsn; /* of that block */
    bool is_ending;
    bool is_end_appended;
    /* Checkpoints. */
    bool is_checkpointing;
    bool has_checkpointed;
    uint64_t root_lsn;  /* where the first whole one begins */
    uint64_t begin_lsn; /* of the checkpoint that goes on, or of the last one */
    uint32_t begin_segment;
    uint64_t begin_bytes;        /* counts.bytes then */
    uint64_t checkpoint_bytes;   /* of the last whole one */
    uint64_t lsn_needed_wanted;  /* what the next block will say */
    uint64_t lsn_needed_sealed;  /* what the last block says */
    uint64_t lsn_needed_durable; /* what a durable block says */
    uint32_t segment_needed_wanted;
    uint32_t segment_needed_durable;
    struct tri_log_counts counts;
    const uint8_t *chains;
    struct log_buffer buffers[LOG_BLOCKS_MAX];
};

static size_t log_pages(size_t bytes)
{
    return (bytes + TRI_LOG_PAGE_BYTES - 1) / TRI_LOG_PAGE_BYTES * TRI_LOG_PAGE_BYTES;
}

/* Fills defaults in; false if the options are invalid. */
static bool log_options(const struct tri_log_options *given, struct tri_log_options *options)
{
    uint64_t least = 0;

    *options = *given;
    options->block_bytes_max =
        options->block_bytes_max == 0 ? LOG_BLOCK_BYTES_DEFAULT : options->block_bytes_max;
    options->blocks = options->blocks == 0 ? LOG_BLOCKS_DEFAULT : options->blocks;
    options->segment_bytes =
        options->segment_bytes == 0 ? LOG_SEGMENT_BYTES_DEFAULT : options->segment_bytes;
    if (options->segment_bytes_first == 0) { /* quick to make, so that a start is quick */
        options->segment_bytes_first = options->segment_bytes < LOG_SEGMENT_FIRST_DEFAULT
                                           ? options->segment_bytes
                                           : LOG_SEGMENT_FIRST_DEFAULT;
    }
    options->checkpoint_bytes =
        options->checkpoint_bytes == 0 ? LOG_CHECKPOINT_BYTES_DEFAULT : options->checkpoint_bytes;
    if (options->chains_bytes > LOG_BLOCK_BYTES_MAX) {
        return false;
    }
    /* The chains may fill a block of their own; a record of any size must fit behind it. */
    least = TRI_LOG_PAGE_BYTES + (uint64_t)options->block_bytes_max;
    if (options->chains_bytes > 0) {
        least += log_pages(sizeof(struct log_block_head) + log_record_bytes(options->chains_bytes));
    }
    return options->epoch >= 1 && options->stream < options->streams &&
           options->slot_first <= options->slot_last && options->slot_last < TRI_SLOT_COUNT &&
           options->block_bytes_max % TRI_LOG_PAGE_BYTES == 0 &&
           options->block_bytes_max >= LOG_BLOCK_BYTES_MIN &&
           options->block_bytes_max <= LOG_BLOCK_BYTES_MAX && options->blocks >= 2 &&
           options->blocks <= LOG_BLOCKS_MAX && options->segment_bytes >= least &&
           options->segment_bytes <= LOG_SEGMENT_BYTES_MAX &&
           options->segment_bytes % TRI_LOG_PAGE_BYTES == 0 &&
           options->segment_bytes_first >= least &&
           options->segment_bytes_first <= LOG_SEGMENT_BYTES_MAX &&
           options->segment_bytes_first % TRI_LOG_PAGE_BYTES == 0 &&
           options->chains_bytes <= tri_log_payload_bytes_max(options->block_bytes_max);
}

uint32_t tri_log_payload_bytes_max(uint32_t block_bytes_max)
{
    uint32_t block_bytes = block_bytes_max == 0 ? LOG_BLOCK_BYTES_DEFAULT : block_bytes_max;
    uint32_t heads = (uint32_t)(sizeof(struct log_block_head) + sizeof(struct log_record_head));

    assert(block_bytes >= LOG_BLOCK_BYTES_MIN);
    return (block_bytes - heads) / 8U * 8U;
}

uint64_t tri_log_segment_bytes(const struct tri_log_options *given, uint32_t segment)
{
    struct tri_log_options options;
    bool is_valid = log_options(given, &options);

    assert(is_valid);
    return segment == 1 ? options.segment_bytes_first : options.segment_bytes;
}

size_t tri_log_footprint(const struct tri_log_options *given)
{
    struct tri_log_options options;

    assert(given != NULL);
    if (!log_options(given, &options)) {
        return 0;
    }
    return log_pages(sizeof(struct tri_log) + options.chains_bytes) +
           (size_t)options.blocks * (TRI_LOG_PAGE_BYTES + options.block_bytes_max);
}

struct tri_log *tri_log_init(void *memory, const struct tri_log_options *given)
{
    struct tri_log *log = memory;
    uint8_t *at = memory;
    bool is_valid = false;

    assert((uintptr_t)memory % TRI_LOG_PAGE_BYTES == 0);
    memset(log, 0, sizeof(*log));
    is_valid = log_options(given, &log->options);
    assert(is_valid); /* tri_log_footprint() has refused all others */
    at += sizeof(*log);
    if (log->options.chains_bytes > 0) {
        memcpy(at, given->chains, log->options.chains_bytes);
    }
    log->chains = at;
    log->options.chains = at;
    at = (uint8_t *)memory + log_pages(sizeof(*log) + log->options.chains_bytes);
    for (uint32_t index = 0; index < log->options.blocks; index++) {
        log->buffers[index].block = at + TRI_LOG_PAGE_BYTES;
        at += TRI_LOG_PAGE_BYTES + log->options.block_bytes_max;
    }
    log->segment_prepared = 1;
    log->lsn_needed_wanted = 1;
    log->lsn_needed_sealed = 1;
    log->lsn_needed_durable = 1;
    log->segment_needed_wanted = 1;
    log->segment_needed_durable = 1;
    log->begin_segment = 1;
    return log;
}

static struct log_buffer *log_buffer(struct tri_log *log, uint64_t number)
{
    return &log->buffers[number % log->options.blocks];
}

static uint64_t log_segment_bytes(const struct tri_log *log, uint32_t segment)
{
    return segment == 1 ? log->options.segment_bytes_first : log->options.segment_bytes;
}

/* Clears what is behind the payload up to a multiple of 8. */
static void log_pad(uint8_t *record, uint32_t exact)
{
    uint32_t rest = exact % 8;
    uint64_t last = 0;

    if (rest != 0) {
        memcpy(&last, record + exact - rest, sizeof(last));
        last &= (UINT64_C(1) << (8 * rest)) - 1;
        memcpy(record + exact - rest, &last, sizeof(last));
    }
}

/* Appends a record whose payload already lies behind its head. */
static void log_put(struct log_buffer *buffer, uint16_t type, uint16_t slot, uint64_t lsn,
                    uint32_t payload_bytes)
{
    struct log_record_head *head = (struct log_record_head *)(void *)(buffer->block + buffer->used);
    uint32_t bytes = log_record_bytes(payload_bytes);
    uint32_t exact = (uint32_t)sizeof(*head) + payload_bytes;

    head->bytes = payload_bytes;
    head->type = type;
    head->slot = slot;
    head->lsn = lsn;
    head->hash =
        XXH3_64bits((const uint8_t *)head + LOG_RECORD_HASHED_FROM, exact - LOG_RECORD_HASHED_FROM);
    log_pad((uint8_t *)head, exact);
    buffer->used += bytes;
    buffer->records++;
}

/* Opens the next block; false if all buffers are taken. */
static bool log_open(struct tri_log *log)
{
    struct log_buffer *buffer = log_buffer(log, log->opened);

    assert(!log->is_open);
    if (log->opened - log->first == log->options.blocks) {
        return false;
    }
    if (log->segment == 0 ||
        log_segment_bytes(log, log->segment) - log->offset < log->options.block_bytes_max) {
        log->segment++;
        log->offset = TRI_LOG_PAGE_BYTES;
    }
    buffer->used = sizeof(struct log_block_head);
    buffer->count = 0;
    buffer->records = 0;
    buffer->segment = log->segment;
    buffer->offset = log->offset;
    buffer->lsn_first = log->lsn_last + 1;
    buffer->lsn_last = log->lsn_last;
    buffer->is_first = log->offset == TRI_LOG_PAGE_BYTES;
    buffer->has_content = false;
    buffer->is_done = false;
    if (buffer->is_first && log->options.chains_bytes > 0) {
        memcpy(buffer->block + buffer->used + sizeof(struct log_record_head), log->chains,
               log->options.chains_bytes);
        log_put(buffer, TRI_LOG_TYPE_CHAINS, TRI_LOG_SLOT_NONE, log->lsn_last,
                log->options.chains_bytes);
    }
    log->opened++;
    log->is_open = true;
    return true;
}

static void log_close(struct tri_log *log)
{
    struct log_buffer *buffer = log_buffer(log, log->opened - 1);

    assert(log->is_open);
    assert(buffer->used <= log->options.block_bytes_max);
    buffer->count = (uint32_t)log_pages(buffer->used);
    memset(buffer->block + buffer->used, 0, buffer->count - buffer->used);
    log->offset += buffer->count;
    assert(log->offset <= log_segment_bytes(log, log->segment));
    log->is_open = false;
}

/* The open block with room for `bytes` more, NULL if there is none. */
static struct log_buffer *log_room(struct tri_log *log, uint32_t bytes)
{
    struct log_buffer *buffer = NULL;
    /* At most the third one is empty: before it, one that is full and one that the chains fill. */
    uint32_t tries = 0;

    do {
        assert(tries < 3);
        if (tries++ > 0) {
            log_close(log);
        }
        if (!log->is_open && !log_open(log)) {
            return NULL;
        }
        buffer = log_buffer(log, log->opened - 1);
    } while (log->options.block_bytes_max - buffer->used < bytes);
    return buffer;
}

uint8_t *tri_log_reserve(struct tri_log *log, uint32_t payload_bytes)
{
    struct log_buffer *buffer = NULL;

    assert(payload_bytes <= tri_log_payload_bytes_max(log->options.block_bytes_max));
    if (!log->is_failing && !log->is_ending) {
        buffer = log_room(log, log_record_bytes(payload_bytes));
    }
    if (buffer == NULL) {
        log->counts.refused++;
        return NULL;
    }
    log->reserved_bytes = payload_bytes;
    return buffer->block + buffer->used + sizeof(struct log_record_head);
}

void tri_log_commit(struct tri_log *log, uint16_t type, uint16_t slot, uint64_t lsn,
                    uint32_t payload_bytes)
{
    struct log_buffer *buffer = log_buffer(log, log->opened - 1);

    assert(log->is_open);
    assert(type < TRI_LOG_TYPE_OWN);
    assert(slot >= log->options.slot_first);
    assert(slot <= log->options.slot_last);
    assert(lsn == log->lsn_last + 1);
    assert(payload_bytes <= log->reserved_bytes);
    log_put(buffer, type, slot, lsn, payload_bytes);
    log->reserved_bytes = 0;
    log->lsn_last = lsn;
    buffer->lsn_last = lsn;
    buffer->has_content = true;
    log->counts.records++;
    log->counts.payload_bytes += payload_bytes;
}

/* ---- requests ---- */

static void log_segment_head(const struct tri_log *log, const struct log_buffer *buffer,
                             uint64_t seq)
{
    uint8_t *page = buffer->block - TRI_LOG_PAGE_BYTES;
    struct log_segment_head *head = (struct log_segment_head *)(void *)page;

    memset(page, 0, TRI_LOG_PAGE_BYTES);
    head->magic = LOG_MAGIC_SEGMENT;
    head->version = TRI_LOG_VERSION;
    head->epoch = log->options.epoch;
    head->stream = log->options.stream;
    head->streams = log->options.streams;
    head->slot_first = log->options.slot_first;
    head->slot_last = log->options.slot_last;
    head->number = buffer->segment;
    head->block_bytes_max = log->options.block_bytes_max;
    head->segment_bytes = log_segment_bytes(log, buffer->segment);
    head->seed = log->options.seed;
    head->seq_first = seq;
    head->lsn_first = buffer->lsn_first;
    head->before = log->hash;
    head->hash = log_hash_of(page, TRI_LOG_PAGE_BYTES, 0);
}

/* Gives the next block its place in the chain and makes the request that writes it. */
static void log_seal(struct tri_log *log, struct tri_log_request *request)
{
    struct log_buffer *buffer = log_buffer(log, log->sealed);
    struct log_block_head *head = (struct log_block_head *)(void *)buffer->block;
    uint64_t seq = log->sealed + 1;
    uint32_t before_bytes = buffer->is_first ? TRI_LOG_PAGE_BYTES : 0;

    if (buffer->is_first) {
        log_segment_head(log, buffer, seq);
        log->counts.segments_begun = buffer->segment;
    }
    buffer->lsn_needed = log->lsn_needed_wanted;
    buffer->segment_needed = log->segment_needed_wanted;
    *head = (struct log_block_head){
        .magic = LOG_MAGIC_BLOCK,
        .count = buffer->count,
        .used = buffer->used,
        .epoch = log->options.epoch,
        .stream = log->options.stream,
        .segment = buffer->segment,
        .records = buffer->records,
        .seq = seq,
        .lsn_first = buffer->lsn_first,
        .lsn_last = buffer->lsn_last,
        .lsn_needed = buffer->lsn_needed,
        .seq_durable = log->first,
        .before = log->hash,
    };
    head->hash = log_hash_of(buffer->block, buffer->count, log->options.seed);
    log->hash = head->hash;
    log->lsn_needed_sealed = buffer->lsn_needed;
    *request = (struct tri_log_request){
        .type = TRI_LOG_WRITE,
        .ticket = (uint32_t)(log->sealed % log->options.blocks),
        .segment = buffer->segment,
        .offset = buffer->offset - before_bytes,
        .count = buffer->count + before_bytes,
        .seq = seq,
        .bytes = buffer->block - before_bytes,
    };
    log->counts.flight_sum += log->flight;
    log->flight++;
    log->counts.blocks++;
    log->counts.bytes += request->count;
    log->sealed++;
}

/* Whether a block waits and has something to say. */
static bool log_has_waiting(const struct tri_log *log)
{
    const struct log_buffer *last = &log->buffers[(log->opened - 1) % log->options.blocks];

    if (log->sealed == log->opened) {
        return false;
    }
    return log->opened - log->sealed > 1 || !log->is_open || last->has_content;
}

/* What the log itself has to say when the user's records are on their way. */
static void log_own_content(struct tri_log *log)
{
    struct log_buffer *buffer = NULL;

    if (log_has_waiting(log)) {
        return;
    }
    if (log->lsn_needed_wanted > log->lsn_needed_sealed) {
        buffer = log_room(log, 0);
    } else if (log->is_ending && !log->is_end_appended && log->flight == 0) {
        buffer = log_room(log, log_record_bytes(0));
        if (buffer != NULL) {
            log_put(buffer, TRI_LOG_TYPE_END, TRI_LOG_SLOT_NONE, log->lsn_last, 0);
            log->is_end_appended = true;
        }
    }
    if (buffer != NULL) {
        buffer->has_content = true;
    }
}

static void log_fail(struct tri_log *log, uint64_t number)
{
    if (!log->is_failing || number < log->failed_at) {
        log->failed_at = number;
        log->failed_lsn = log_buffer(log, number)->lsn_first;
    }
    log->is_failing = true;
}

static bool log_may_write(struct tri_log *log)
{
    const struct log_buffer *buffer = log_buffer(log, log->sealed);
    bool is_closed = false;

    if (!log_has_waiting(log)) {
        return false;
    }
    if (buffer->segment > log->segment_prepared) {
        if (log->has_prepare_failed) {
            log_fail(log, log->sealed);
        }
        return false;
    }
    is_closed = log->opened - log->sealed > 1 || !log->is_open;
    return log->flight == 0 || (log->flight == 1 && buffer->used <= TRI_LOG_LITTLE_BYTES) ||
           (log->flight < TRI_LOG_FLIGHT_MAX && (is_closed || buffer->used >= TRI_LOG_MUCH_BYTES));
}

/* One segment is kept ready ahead, so that no record waits for it; at the end only what is needed.
 */
static bool log_wants_segment(const struct tri_log *log)
{
    uint32_t written = log->segment == 0 ? 1 : log->segment;

    return !log->is_preparing && !log->has_prepare_failed &&
           (log->is_ending ? log->segment_prepared < written : log->segment_prepared <= written);
}

bool tri_log_next(struct tri_log *log, struct tri_log_request *request)
{
    if (log->is_failing) {
        return false;
    }
    log_own_content(log);
    if (log_may_write(log)) {
        if (log->opened - log->sealed == 1 && log->is_open) {
            log_close(log);
        }
        log_seal(log, request);
        return true;
    }
    if (log_wants_segment(log)) {
        uint32_t segment = log->segment_prepared + 1;

        log->is_preparing = true;
        *request = (struct tri_log_request){.type = TRI_LOG_PREPARE,
                                            .ticket = TRI_LOG_TICKET_PREPARE,
                                            .segment = segment,
                                            .offset = log_segment_bytes(log, segment)};
        return true;
    }
    if (!log->is_dropping && log->segment_dropped + 1 < log->segment_needed_durable) {
        log->is_dropping = true;
        *request = (struct tri_log_request){.type = TRI_LOG_DROP,
                                            .ticket = TRI_LOG_TICKET_DROP,
                                            .segment = log->segment_dropped + 1};
        return true;
    }
    return false;
}

/* Takes the writes that have ended well in order; nothing at or behind a failed one counts. */
static void log_advance(struct tri_log *log)
{
    while (log->first < log->sealed && log_buffer(log, log->first)->is_done &&
           (!log->is_failing || log->first < log->failed_at)) {
        const struct log_buffer *buffer = log_buffer(log, log->first);

        log->lsn_durable = buffer->lsn_last;
        log->lsn_needed_durable = buffer->lsn_needed;
        log->segment_needed_durable = buffer->segment_needed;
        log->first++;
    }
}

void tri_log_done(struct tri_log *log, uint32_t ticket, enum tri_log_result result)
{
    uint64_t number = log->first;

    if (ticket == TRI_LOG_TICKET_DROP) {
        assert(log->is_dropping);
        log->is_dropping = false;
        log->segment_dropped++;
        return;
    }
    if (ticket == TRI_LOG_TICKET_PREPARE) {
        assert(log->is_preparing);
        log->is_preparing = false;
        if (result == TRI_LOG_DONE) {
            log->segment_prepared++;
        } else {
            log->has_prepare_failed = true;
        }
        return;
    }
    assert(ticket < log->options.blocks);
    number += (ticket + log->options.blocks - number % log->options.blocks) % log->options.blocks;
    assert(number < log->sealed);
    assert(!log_buffer(log, number)->is_done);
    assert(log->flight > 0);
    log->flight--;
    if (result == TRI_LOG_DONE) {
        log_buffer(log, number)->is_done = true;
    } else {
        log_fail(log, number);
    }
    log_advance(log);
}

/* ---- what is known ---- */

uint64_t tri_log_durable_lsn(const struct tri_log *log)
{
    return log->lsn_durable;
}

uint64_t tri_log_failed_lsn(const struct tri_log *log)
{
    /* The writes before the failed one have ended when they have all been taken. */
    return log->is_failing && log->first == log->failed_at ? log->failed_lsn : 0;
}

uint64_t tri_log_last_lsn(const struct tri_log *log)
{
    return log->lsn_last;
}

bool tri_log_is_starved(const struct tri_log *log)
{
    return !log->is_failing && log_has_waiting(log) &&
           log->buffers[log->sealed % log->options.blocks].segment > log->segment_prepared;
}

bool tri_log_is_quiet(const struct tri_log *log)
{
    if (log->flight > 0) {
        return false;
    }
    return log->is_failing ||
           (!log_has_waiting(log) && log->lsn_needed_wanted == log->lsn_needed_sealed &&
            (!log->is_ending || log->is_end_appended));
}

/* ---- checkpoints and the end ---- */

bool tri_log_wants_checkpoint(const struct tri_log *log)
{
    uint64_t least = LOG_CHECKPOINT_RATIO * log->checkpoint_bytes;

    if (log->is_checkpointing || log->is_failing || log->is_ending) {
        return false;
    }
    if (log->options.wants_checkpoint && !log->has_checkpointed) {
        return true;
    }
    least = least > log->options.checkpoint_bytes ? least : log->options.checkpoint_bytes;
    return log->counts.bytes - log->begin_bytes > least;
}

uint64_t tri_log_checkpoint_begin(struct tri_log *log)
{
    assert(!log->is_checkpointing);
    assert(!log->is_ending);
    log->is_checkpointing = true;
    log->begin_lsn = log->lsn_last + 1;
    log->begin_segment = log->segment == 0 ? 1 : log->segment;
    log->begin_bytes = log->counts.bytes;
    return log->begin_lsn;
}

void tri_log_checkpointed(struct tri_log *log, uint64_t begin_lsn, uint64_t bytes)
{
    assert(log->is_checkpointing);
    assert(begin_lsn == log->begin_lsn);
    assert(begin_lsn <= log->lsn_durable + 1); /* else a block before it could name it */
    if (!log->has_checkpointed) {
        log->has_checkpointed = true;
        log->root_lsn = begin_lsn;
    }
    log->is_checkpointing = false;
    log->checkpoint_bytes = bytes;
    log->lsn_needed_wanted = begin_lsn;
    log->segment_needed_wanted = log->begin_segment;
}

uint64_t tri_log_needed_lsn(const struct tri_log *log)
{
    return log->lsn_needed_durable;
}

bool tri_log_is_checkpointed(const struct tri_log *log)
{
    return log->has_checkpointed && log->lsn_needed_durable >= log->root_lsn;
}

void tri_log_end(struct tri_log *log)
{
    log->is_ending = true;
}

struct tri_log_counts tri_log_counts(const struct tri_log *log)
{
    struct tri_log_counts counts = log->counts;

    counts.segments_kept = counts.segments_begun - log->segment_dropped;
    counts.flight = log->flight;
    return counts;
}
