/* SPDX-License-Identifier: Apache-2.0 */
#include "io/archive_manifest.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/clock.h"

#define MANIFEST_LABEL        "tricast-manifest-1" /* signed with its terminating zero */
#define MANIFEST_STREAMS_ROOM 64U

/* ---- hexadecimal ---- */

void tri_hex_put(const uint8_t *bytes, uint32_t count, char *to)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < count; i++) {
        to[2 * i] = digits[bytes[i] >> 4];
        to[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool tri_hex_get(const char *text, uint32_t digits, uint8_t *bytes)
{
    assert(digits % 2 == 0);
    for (uint32_t i = 0; i < digits; i += 2) {
        int high = hex_digit(text[i]);
        int low = high < 0 ? -1 : hex_digit(text[i + 1]);

        if (low < 0) {
            return false;
        }
        bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* ---- a line ---- */

static void line_chain(const uint8_t before[TRI_DIGEST_BYTES], struct tri_text fact,
                       uint8_t chain[TRI_DIGEST_BYTES])
{
    uint8_t input[TRI_DIGEST_BYTES + TRI_ARCHIVE_LINE_BYTES_MAX];

    assert(fact.bytes <= TRI_ARCHIVE_LINE_BYTES_MAX);
    memcpy(input, before, TRI_DIGEST_BYTES);
    memcpy(input + TRI_DIGEST_BYTES, fact.at, fact.bytes);
    tri_digest_sha256(input, TRI_DIGEST_BYTES + fact.bytes, chain);
}

/* What is signed. */
static void line_signed(const uint8_t chain[TRI_DIGEST_BYTES],
                        uint8_t input[sizeof(MANIFEST_LABEL) + TRI_DIGEST_BYTES])
{
    memcpy(input, MANIFEST_LABEL, sizeof(MANIFEST_LABEL));
    memcpy(input + sizeof(MANIFEST_LABEL), chain, TRI_DIGEST_BYTES);
}

/* A line that is being written, one space between its words. */
struct line_writer {
    char text[TRI_ARCHIVE_LINE_BYTES_MAX];
    uint32_t bytes;
};

__attribute__((format(printf, 2, 3))) static void put_words(struct line_writer *writer,
                                                            const char *format, ...)
{
    va_list arguments;
    int bytes = 0;

    va_start(arguments, format);
    bytes = vsnprintf(writer->text + writer->bytes, TRI_ARCHIVE_LINE_BYTES_MAX - writer->bytes,
                      format, arguments);
    va_end(arguments);
    assert(bytes > 0);
    assert((uint32_t)bytes < TRI_ARCHIVE_LINE_BYTES_MAX - writer->bytes);
    writer->bytes += (uint32_t)bytes;
}

static void put_hex(struct line_writer *writer, const uint8_t *bytes, uint32_t count)
{
    assert(writer->bytes + 2 * count < TRI_ARCHIVE_LINE_BYTES_MAX);
    tri_hex_put(bytes, count, writer->text + writer->bytes);
    writer->bytes += 2 * count;
}

uint32_t tri_archive_line_put(struct tri_archive_line *line, const uint8_t before[TRI_DIGEST_BYTES],
                              const struct tri_signer *signer, char to[TRI_ARCHIVE_LINE_BYTES_MAX])
{
    struct line_writer writer = {.bytes = 0};
    uint8_t input[sizeof(MANIFEST_LABEL) + TRI_DIGEST_BYTES];
    char at[TRI_CLOCK_TEXT_BYTES];

    assert(line != NULL && signer != NULL);
    memcpy(line->key, signer->public_key, sizeof(line->key));
    if (line->fact == TRI_ARCHIVE_FACT_ARCHIVE) {
        put_words(&writer, "archive ");
        put_hex(&writer, line->archive, sizeof(line->archive));
        put_words(&writer, " version %u", TRI_ARCHIVE_VERSION);
    } else if (line->fact == TRI_ARCHIVE_FACT_OPEN) {
        put_words(&writer, "open %" PRIu32 "-%" PRIu32 " contents %s", line->epoch, line->shard,
                  line->is_content_kept ? "kept" : "omitted");
    } else {
        assert(line->fact == TRI_ARCHIVE_FACT_CLOSE);
        put_words(&writer,
                  "close %" PRIu32 "-%" PRIu32 " records %" PRIu64 " messages %" PRIu64 " head ",
                  line->epoch, line->shard, line->records, line->messages);
        put_hex(&writer, line->head, sizeof(line->head));
    }
    tri_clock_text(line->at_ms, at);
    put_words(&writer, " at %s key ", at);
    put_hex(&writer, line->key, sizeof(line->key));
    line_chain(before, (struct tri_text){writer.text, writer.bytes}, line->chain);
    line_signed(line->chain, input);
    tri_signer_sign(signer, input, sizeof(input), line->signature);
    put_words(&writer, " chain ");
    put_hex(&writer, line->chain, sizeof(line->chain));
    put_words(&writer, " sign ");
    put_hex(&writer, line->signature, sizeof(line->signature));
    put_words(&writer, "\n");
    memcpy(to, writer.text, writer.bytes);
    return writer.bytes;
}

/* A cursor on a line; once it has failed it stays so. */
struct line_reader {
    const char *at;
    const char *end;
    bool has_failed;
};

static bool read_is_next(const struct line_reader *reader, const char *word)
{
    size_t bytes = strlen(word);

    return !reader->has_failed && (size_t)(reader->end - reader->at) >= bytes &&
           memcmp(reader->at, word, bytes) == 0;
}

static void read_word(struct line_reader *reader, const char *word)
{
    if (read_is_next(reader, word)) {
        reader->at += strlen(word);
    } else {
        reader->has_failed = true;
    }
}

/* Decimal without leading zeros. */
static uint64_t read_number(struct line_reader *reader)
{
    const char *begin = reader->at;
    uint64_t value = 0;

    while (!reader->has_failed && reader->at < reader->end && *reader->at >= '0' &&
           *reader->at <= '9') {
        uint64_t digit = (uint64_t)(*reader->at - '0');

        reader->has_failed =
            value > (UINT64_MAX - digit) / 10U || (value == 0 && reader->at > begin);
        value = value * 10U + digit;
        reader->at++;
    }
    reader->has_failed = reader->has_failed || reader->at == begin;
    return value;
}

static void read_hex(struct line_reader *reader, uint8_t *bytes, uint32_t count)
{
    if (reader->has_failed || (size_t)(reader->end - reader->at) < 2 * (size_t)count ||
        !tri_hex_get(reader->at, 2 * count, bytes)) {
        reader->has_failed = true;
        return;
    }
    reader->at += 2 * (size_t)count;
}

static void read_stream(struct line_reader *reader, struct tri_archive_line *line)
{
    struct tri_text stream = {.at = reader->at};

    while (reader->at < reader->end && *reader->at != ' ') {
        reader->at++;
    }
    stream.bytes = (uint32_t)(reader->at - stream.at);
    if (reader->has_failed || !tri_stream_get(stream, &line->epoch, &line->shard)) {
        reader->has_failed = true;
    }
}

static void read_fact(struct line_reader *reader, struct tri_archive_line *line)
{
    if (read_is_next(reader, "archive ")) {
        line->fact = TRI_ARCHIVE_FACT_ARCHIVE;
        read_word(reader, "archive ");
        read_hex(reader, line->archive, sizeof(line->archive));
        read_word(reader, " version 1");
    } else if (read_is_next(reader, "open ")) {
        line->fact = TRI_ARCHIVE_FACT_OPEN;
        read_word(reader, "open ");
        read_stream(reader, line);
        read_word(reader, " contents ");
        line->is_content_kept = read_is_next(reader, "kept");
        read_word(reader, line->is_content_kept ? "kept" : "omitted");
    } else {
        line->fact = TRI_ARCHIVE_FACT_CLOSE;
        read_word(reader, "close ");
        read_stream(reader, line);
        read_word(reader, " records ");
        line->records = read_number(reader);
        read_word(reader, " messages ");
        line->messages = read_number(reader);
        read_word(reader, " head ");
        read_hex(reader, line->head, sizeof(line->head));
    }
}

bool tri_archive_line_get(struct tri_text text, struct tri_archive_line *line, const char **fault)
{
    struct line_reader reader = {.at = text.at, .end = text.at + text.bytes};

    assert(line != NULL && fault != NULL);
    *line = (struct tri_archive_line){.text = {.at = text.at}};
    *fault = "it is no line of an archive's manifest of version 1";
    if (text.bytes >= TRI_ARCHIVE_LINE_BYTES_MAX) {
        return false;
    }
    read_fact(&reader, line);
    read_word(&reader, " at ");
    if (!reader.has_failed && (reader.end - reader.at < (ptrdiff_t)TRI_CLOCK_TEXT_BYTES - 1 ||
                               !tri_clock_parse(reader.at, &line->at_ms))) {
        *fault = "its time is none";
        return false;
    }
    reader.at += reader.has_failed ? 0 : TRI_CLOCK_TEXT_BYTES - 1;
    read_word(&reader, " key ");
    read_hex(&reader, line->key, sizeof(line->key));
    line->text.bytes = (uint32_t)(reader.at - text.at);
    read_word(&reader, " chain ");
    read_hex(&reader, line->chain, sizeof(line->chain));
    read_word(&reader, " sign ");
    read_hex(&reader, line->signature, sizeof(line->signature));
    return !reader.has_failed && reader.at == reader.end;
}

bool tri_archive_line_check(const struct tri_archive_line *line,
                            const uint8_t before[TRI_DIGEST_BYTES], const char **fault)
{
    uint8_t chain[TRI_DIGEST_BYTES];
    uint8_t input[sizeof(MANIFEST_LABEL) + TRI_DIGEST_BYTES];

    assert(line->text.at != NULL);
    line_chain(before, line->text, chain);
    if (memcmp(chain, line->chain, sizeof(chain)) != 0) {
        *fault = "it does not follow the line before it: one of the two has been changed, or lines "
                 "are missing between them";
        return false;
    }
    line_signed(chain, input);
    if (!tri_signer_verify(line->key, input, sizeof(input), line->signature)) {
        *fault = "its signature is not by its key";
        return false;
    }
    return true;
}

/* ---- all of them ---- */

/* The index of the first stream that is not before (epoch, shard). */
static uint32_t manifest_place(const struct tri_archive_manifest *manifest, uint32_t epoch,
                               uint32_t shard)
{
    uint32_t low = 0;
    uint32_t high = manifest->stream_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct tri_archive_stream *stream = &manifest->streams[middle];

        if (stream->epoch < epoch || (stream->epoch == epoch && stream->shard < shard)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct tri_archive_stream *tri_archive_manifest_find(const struct tri_archive_manifest *manifest,
                                                     uint32_t epoch, uint32_t shard)
{
    uint32_t place = manifest_place(manifest, epoch, shard);

    if (place == manifest->stream_count || manifest->streams[place].epoch != epoch ||
        manifest->streams[place].shard != shard) {
        return NULL;
    }
    return &manifest->streams[place];
}

static int manifest_open(struct tri_archive_manifest *manifest, const struct tri_archive_line *line)
{
    uint32_t place = manifest_place(manifest, line->epoch, line->shard);
    struct tri_archive_stream *stream = NULL;

    if (manifest->stream_count == manifest->stream_room) {
        uint32_t room =
            manifest->stream_room == 0 ? MANIFEST_STREAMS_ROOM : manifest->stream_room * 2;
        struct tri_archive_stream *streams =
            room > manifest->stream_room
                ? realloc(manifest->streams, room * sizeof(*manifest->streams))
                : NULL;

        if (streams == NULL) {
            return -ENOMEM;
        }
        manifest->streams = streams;
        manifest->stream_room = room;
    }
    stream = &manifest->streams[place];
    memmove(stream + 1, stream, (manifest->stream_count - place) * sizeof(*stream));
    *stream = (struct tri_archive_stream){
        .epoch = line->epoch, .shard = line->shard, .is_content_kept = line->is_content_kept};
    memcpy(stream->origin, line->chain, sizeof(stream->origin));
    manifest->stream_count++;
    return 0;
}

int tri_archive_manifest_add(struct tri_archive_manifest *manifest,
                             const struct tri_archive_line *line, const char **fault)
{
    struct tri_archive_stream *stream = NULL;
    int failed = 0;

    *fault = "an archive's manifest begins with its archive line, and has no other";
    if ((line->fact == TRI_ARCHIVE_FACT_ARCHIVE) != (manifest->line_count == 0)) {
        return -EBADMSG;
    }
    if (line->fact == TRI_ARCHIVE_FACT_ARCHIVE) {
        memcpy(manifest->archive, line->archive, sizeof(manifest->archive));
    } else {
        stream = tri_archive_manifest_find(manifest, line->epoch, line->shard);
    }
    if (line->fact == TRI_ARCHIVE_FACT_OPEN) {
        *fault = "its stream was opened before";
        failed = stream != NULL ? -EBADMSG : manifest_open(manifest, line);
    }
    if (line->fact == TRI_ARCHIVE_FACT_CLOSE) {
        *fault = "its numbers of records and messages contradict each other";
        if (line->messages < line->records || (line->records == 0) != (line->messages == 0)) {
            return -EBADMSG;
        }
        *fault = "its stream is not open";
        if (stream == NULL || stream->is_closed) {
            return -EBADMSG;
        }
        stream->is_closed = true;
        stream->records = line->records;
        stream->messages = line->messages;
        memcpy(stream->head, line->head, sizeof(stream->head));
    }
    if (failed == 0) {
        memcpy(manifest->chain, line->chain, sizeof(manifest->chain));
        memcpy(manifest->key, line->key, sizeof(manifest->key));
        manifest->line_count++;
    }
    return failed;
}

/* A torn line is a part of one, perhaps with zeros behind it where the file grew before its bytes
 * came.  If a whole one stands there and only its newline is another byte, that was changed later.
 */
static bool manifest_is_tail_damaged(struct tri_text tail)
{
    struct tri_archive_line line;
    const char *fault = NULL;

    while (tail.bytes > 0 && tail.at[tail.bytes - 1] == '\0') {
        tail.bytes--;
    }
    if (tail.bytes > 0 && tail.bytes < TRI_ARCHIVE_LINE_BYTES_MAX) {
        tail.bytes--;
        return tri_archive_line_get(tail, &line, &fault);
    }
    return tail.bytes > 0;
}

int tri_archive_manifest_read(struct tri_archive_manifest *manifest, const char *text, size_t bytes,
                              const char **fault)
{
    struct tri_archive_line line;
    const char *newline = NULL;

    assert(manifest != NULL && fault != NULL);
    *manifest = (struct tri_archive_manifest){0};
    while (bytes > 0 && (newline = memchr(text, '\n', bytes)) != NULL) {
        size_t length = (size_t)(newline - text);
        int failed = 0;

        if (length > UINT32_MAX ||
            !tri_archive_line_get((struct tri_text){text, (uint32_t)length}, &line, fault) ||
            !tri_archive_line_check(&line, manifest->chain, fault)) {
            return -EBADMSG;
        }
        failed = tri_archive_manifest_add(manifest, &line, fault);
        if (failed != 0) {
            return failed;
        }
        manifest->bytes += length + 1;
        bytes -= length + 1;
        text = newline + 1;
    }
    manifest->is_torn = bytes > 0;
    if (bytes > UINT32_MAX || manifest_is_tail_damaged((struct tri_text){text, (uint32_t)bytes})) {
        *fault = "behind the last line stand bytes that are no part of a line";
        return -EBADMSG;
    }
    return 0;
}

void tri_archive_manifest_fini(struct tri_archive_manifest *manifest)
{
    free(manifest->streams);
    *manifest = (struct tri_archive_manifest){0};
}
