/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the journal that lies in tests/vectors/journal: make_journal DIR
 *
 * Every byte follows from this file, so a change of the format shows as a
 * difference.  What is in it:
 *
 *     1-0  an old stream: segment 1 was dropped after a checkpoint and is used again
 *          as segment 5, which has not been begun; one whole block lies behind its
 *          cut
 *     2-0  ended in order; one block is full of one large record
 *     2-1  torn: of the last block only the first sector has arrived
 *
 * The store is as simple as one can be: a request is carried out at once.
 */
#undef NDEBUG
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/journal_manifest.h"
#include "shards/log.h"

#define SEGMENT_BYTES 20480U
#define BLOCK_BYTES   8192U

/* As shards/journal_log.h writes it: how many, and for each its length and its id. */
static const char chains[] = "\x02\x00\x08"
                             "eip155:1"
                             "\x09"
                             "eip155:10";

struct stream {
    int directory;
    struct tri_log_options options;
    void *memory;
    struct tri_log *log;
    uint32_t dropped; /* a segment to be used again */
    uint32_t torn;    /* writes of which only so many bytes arrive, 0 = all */
};

static void name_of(const struct stream *stream, uint32_t segment, char name[64])
{
    (void)snprintf(name, 64, "%u-%u-%u.seg", stream->options.epoch, stream->options.stream,
                   segment);
}

static void file_make(const struct stream *stream, uint32_t segment)
{
    char name[64];
    int file = 0;

    name_of(stream, segment, name);
    file = openat(stream->directory, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert(file >= 0);
    assert(ftruncate(file, SEGMENT_BYTES) == 0);
    assert(close(file) == 0);
}

static struct stream stream_open(int directory, uint32_t epoch, uint32_t number, uint32_t streams)
{
    struct stream stream = {.directory = directory};

    stream.options = (struct tri_log_options){
        .epoch = epoch,
        .stream = number,
        .streams = streams,
        .slot_first = number * 4096 / streams,
        .slot_last = (number + 1) * 4096 / streams - 1,
        .seed = UINT64_C(0x1111111111111111) * ((uint64_t)epoch * 2 + number),
        .block_bytes_max = BLOCK_BYTES,
        .segment_bytes = SEGMENT_BYTES,
        .segment_bytes_first = SEGMENT_BYTES,
        .chains = chains,
        .chains_bytes = sizeof(chains) - 1,
    };
    stream.memory = aligned_alloc(4096, tri_log_footprint(&stream.options));
    assert(stream.memory != NULL);
    stream.log = tri_log_init(stream.memory, &stream.options);
    file_make(&stream, 1);
    return stream;
}

static void stream_close(struct stream *stream)
{
    free(stream->memory);
}

static void store(struct stream *stream, const struct tri_log_request *request)
{
    uint32_t count = stream->torn == 0 ? request->count : stream->torn;
    char name[64];
    char before[64];
    int file = 0;

    name_of(stream, request->segment, name);
    switch (request->type) {
    case TRI_LOG_WRITE:
        file = openat(stream->directory, name, O_WRONLY);
        assert(file >= 0);
        assert(pwrite(file, request->bytes, count, (off_t)request->offset) == (ssize_t)count);
        assert(close(file) == 0);
        break;
    case TRI_LOG_PREPARE:
        if (stream->dropped != 0) {
            name_of(stream, stream->dropped, before);
            assert(renameat(stream->directory, before, stream->directory, name) == 0);
            stream->dropped = 0;
        } else {
            file_make(stream, request->segment);
        }
        break;
    case TRI_LOG_DROP:
    default:
        assert(stream->dropped == 0);
        stream->dropped = request->segment;
        break;
    }
}

static void turn(struct stream *stream)
{
    struct tri_log_request request;

    while (tri_log_next(stream->log, &request)) {
        store(stream, &request);
        tri_log_done(stream->log, request.ticket, TRI_LOG_DONE);
    }
}

static void append(struct stream *stream, uint32_t bytes)
{
    uint64_t lsn = tri_log_last_lsn(stream->log) + 1;
    uint16_t slot = (uint16_t)(stream->options.slot_first + lsn * 97 % 2048);
    uint8_t *payload = tri_log_reserve(stream->log, bytes);

    assert(payload != NULL);
    for (uint32_t i = 0; i < bytes; i++) {
        payload[i] = (uint8_t)(stream->options.epoch * UINT64_C(100) + lsn + i);
    }
    tri_log_commit(stream->log, (uint16_t)(lsn % 12 + 1), slot, lsn, bytes);
}

/* A turn of some records of growing size. */
static void live(struct stream *stream, uint32_t records)
{
    for (uint32_t i = 0; i < records; i++) {
        append(stream, (uint32_t)(tri_log_last_lsn(stream->log) * 13 % 200));
    }
    turn(stream);
}

/* Returns what the manifest says of it. */
static struct tri_manifest_stream make_old(int directory)
{
    struct stream stream = stream_open(directory, 1, 0, 1);
    struct tri_manifest_stream named = {.epoch = 1, .streams = 1, .slot_last = 4095};
    uint64_t begin_lsn = 0;

    while (tri_log_counts(stream.log).segments_begun < 2) {
        live(&stream, 3);
    }
    begin_lsn = tri_log_checkpoint_begin(stream.log);
    live(&stream, 2);
    tri_log_checkpointed(stream.log, begin_lsn, 100);
    turn(&stream);
    while (tri_log_counts(stream.log).segments_begun < 4) {
        live(&stream, 4);
    }
    named.seed = stream.options.seed;
    named.has_cut = true;
    named.cut_seq = tri_log_counts(stream.log).blocks;
    named.cut_lsn = tri_log_last_lsn(stream.log);
    live(&stream, 1); /* it arrived, but a recovery could not read it: it does not count */
    stream_close(&stream);
    return named;
}

static struct tri_manifest_stream make_new(int directory, uint32_t number)
{
    struct stream stream = stream_open(directory, 2, number, 2);

    live(&stream, 5);
    if (number == 0) {
        append(&stream, tri_log_payload_bytes_max(BLOCK_BYTES));
        live(&stream, 0);
        tri_log_end(stream.log);
    } else {
        live(&stream, 30);
        append(&stream, 600);
        append(&stream, 0);
        stream.torn = 512;
    }
    turn(&stream);
    stream_close(&stream);
    return (struct tri_manifest_stream){.epoch = 2,
                                        .stream = number,
                                        .streams = 2,
                                        .slot_first = stream.options.slot_first,
                                        .slot_last = stream.options.slot_last,
                                        .seed = stream.options.seed};
}

int main(int argc, char **argv)
{
    struct tri_manifest_stream streams[3];
    struct tri_manifest manifest = {
        .epoch = 2, .kind = "coordinator", .has_secret = true, .count = 3, .streams = streams};
    char text[TRI_MANIFEST_BYTES(3)];
    uint8_t secret[32];
    size_t bytes = 0;
    int directory = 0;
    int file = 0;

    assert(argc == 2);
    directory = open(argv[1], O_RDONLY | O_DIRECTORY);
    assert(directory >= 0);
    streams[0] = make_old(directory);
    streams[1] = make_new(directory, 0);
    streams[2] = make_new(directory, 1);
    for (uint32_t i = 0; i < 32; i++) {
        secret[i] = (uint8_t)i;
    }
    tri_manifest_fingerprint(secret, manifest.fingerprint);
    bytes = tri_manifest_put(&manifest, text, sizeof(text));
    file = openat(directory, TRI_MANIFEST_NAME, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert(file >= 0);
    assert(write(file, text, bytes) == (ssize_t)bytes);
    assert(close(file) == 0);
    return 0;
}
