/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unlike a server, which starts with a manifest only if all of it is right, whoever verifies wants
 * to know everything that is wrong.  So a line that does not hold is said, and what it says is
 * taken all the same: the lines and records behind it are judged by what it states.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/finality_internal.h"
#include "io/state.h"

#define MANIFEST_BYTES_MAX (UINT64_C(1) << 30)

/* Where the stream stands in the list, or belongs. */
static uint32_t streams_place(const struct tri_finality_verify_state *verify, uint32_t epoch,
                              uint32_t shard)
{
    uint32_t low = 0;
    uint32_t high = verify->stream_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct tri_archive_stream *stream = &verify->streams[middle];

        if (stream->epoch < epoch || (stream->epoch == epoch && stream->shard < shard)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct tri_archive_stream *tri_finality_stream_find(const struct tri_finality_verify_state *verify,
                                                    uint32_t epoch, uint32_t shard)
{
    uint32_t place = streams_place(verify, epoch, shard);

    if (place == verify->stream_count || verify->streams[place].epoch != epoch ||
        verify->streams[place].shard != shard) {
        return NULL;
    }
    return &verify->streams[place];
}

static void streams_open(struct tri_finality_verify_state *verify,
                         const struct tri_archive_line *line)
{
    uint32_t place = streams_place(verify, line->epoch, line->shard);
    struct tri_archive_stream *at;

    if (verify->stream_count == verify->stream_room) {
        uint32_t room = verify->stream_room == 0 ? 64 : 2 * verify->stream_room;

        at = realloc(verify->streams, room * sizeof(*at));
        if (at == NULL) {
            verify->is_memory_out = true;
            return;
        }
        verify->streams = at;
        verify->stream_room = room;
    }
    at = &verify->streams[place];
    memmove(at + 1, at, (verify->stream_count - place) * sizeof(*at));
    *at = (struct tri_archive_stream){
        .epoch = line->epoch, .shard = line->shard, .is_content_kept = line->is_content_kept};
    memcpy(at->origin, line->chain, sizeof(at->origin));
    verify->stream_count++;
}

/* Takes what a line says.  Returns NULL, or why it may not say that here. */
static const char *manifest_take(struct tri_finality_verify_state *verify,
                                 const struct tri_archive_line *line, bool is_first)
{
    struct tri_archive_stream *stream;

    if (is_first != (line->fact == TRI_ARCHIVE_FACT_ARCHIVE)) {
        return "the archive's own line stands first, and only there";
    }
    if (line->fact == TRI_ARCHIVE_FACT_ARCHIVE) {
        verify->total->has_archive = true;
        memcpy(verify->total->archive, line->archive, sizeof(line->archive));
        return NULL;
    }
    stream = tri_finality_stream_find(verify, line->epoch, line->shard);
    if (line->fact == TRI_ARCHIVE_FACT_OPEN) {
        if (stream != NULL) {
            return "the stream was opened before";
        }
        streams_open(verify, line);
        return NULL;
    }
    if (stream == NULL || stream->is_closed) {
        return stream == NULL ? "the stream was not opened" : "the stream was closed before";
    }
    stream->is_closed = true;
    stream->records = line->records;
    stream->messages = line->messages;
    memcpy(stream->head, line->head, sizeof(stream->head));
    return NULL;
}

/* The chain value that a line names which is otherwise none. */
static void manifest_chain_of(struct tri_text text, uint8_t chain[TRI_DIGEST_BYTES])
{
    static const char before_chain[] = " chain ";
    static const char before_sign[] = " sign ";
    const uint32_t chain_at = sizeof(before_chain) - 1;
    const uint32_t sign_at = chain_at + 2 * TRI_DIGEST_BYTES;
    const uint32_t digits_at = sign_at + sizeof(before_sign) - 1;
    const uint32_t whole = digits_at + 2 * TRI_SIGNER_SIGNATURE_BYTES;
    uint8_t signature[TRI_SIGNER_SIGNATURE_BYTES];
    uint8_t found[TRI_DIGEST_BYTES];
    const char *at;

    if (text.bytes < whole) {
        return;
    }
    at = text.at + text.bytes - whole;
    if (memcmp(at, before_chain, sizeof(before_chain) - 1) == 0 &&
        memcmp(at + sign_at, before_sign, sizeof(before_sign) - 1) == 0 &&
        tri_hex_get(at + chain_at, 2 * TRI_DIGEST_BYTES, found) &&
        tri_hex_get(at + digits_at, 2 * TRI_SIGNER_SIGNATURE_BYTES, signature)) {
        memcpy(chain, found, sizeof(found));
    }
}

static void manifest_line(struct tri_finality_verify_state *verify, struct tri_text text,
                          uint64_t offset)
{
    struct tri_finality_total *total = verify->total;
    struct tri_finality_finding finding = {
        .file = TRI_ARCHIVE_MANIFEST_NAME, .offset = offset, .line = total->lines};
    struct tri_archive_line line;

    if (!tri_archive_line_get(text, &line, &finding.sentence)) {
        manifest_chain_of(text, total->chain);
        tri_finality_fault(verify, finding);
        return;
    }
    if (!tri_archive_line_check(&line, total->chain, &finding.sentence)) {
        tri_finality_fault(verify, finding);
    }
    memcpy(total->chain, line.chain, sizeof(total->chain));
    tri_finality_key(verify, line.key, &finding);
    tri_finality_found_hash(verify, line.chain);
    finding.sentence = manifest_take(verify, &line, offset == 0);
    if (finding.sentence != NULL) {
        tri_finality_fault(verify, finding);
    }
}

/* What stands behind the last newline: the beginning of a line, or that newline itself, damaged. */
static void manifest_tail(struct tri_finality_verify_state *verify, struct tri_text tail,
                          uint64_t offset)
{
    struct tri_finality_finding finding = {.file = TRI_ARCHIVE_MANIFEST_NAME,
                                           .offset = offset,
                                           .line = verify->total->lines + 1,
                                           .sentence = "its last line is torn or being written"};
    bool is_line = true;

    for (uint32_t i = 0; i < tail.bytes; i++) {
        is_line &= tail.at[i] != '\0' &&
                   strchr("0123456789abcdefghijklmnopqrstuvwxyz -:.TZ", tail.at[i]) != NULL;
    }
    if (!is_line) {
        finding.sentence = "what stands behind the last line is no part of one";
    }
    if (!is_line || verify->options->is_complete) {
        tri_finality_fault(verify, finding);
    } else {
        verify->options->note(verify->options->context, &finding);
    }
}

void tri_finality_manifest_read(struct tri_finality_verify_state *verify)
{
    struct tri_finality_finding finding = {.file = TRI_ARCHIVE_MANIFEST_NAME};
    int file = tri_state_file(verify->dir.at, TRI_ARCHIVE_MANIFEST_NAME);
    int failed = file < 0 ? file : 0;
    char *text = NULL;
    size_t bytes = 0;
    size_t at = 0;

    if (failed == 0) {
        failed = tri_finality_read_all(file, MANIFEST_BYTES_MAX, &text, &bytes);
        (void)close(file);
    }
    if (failed != 0) {
        finding.sentence = tri_state_why(failed);
        tri_finality_fault(verify, finding);
        return;
    }
    for (const char *end; (end = memchr(text + at, '\n', bytes - at)) != NULL;) {
        size_t line_bytes = (size_t)(end - text) - at;

        verify->total->lines++;
        manifest_line(verify, (struct tri_text){text + at, (uint32_t)line_bytes}, at);
        at += line_bytes + 1;
    }
    if (at < bytes || bytes == 0) {
        manifest_tail(verify, (struct tri_text){text + at, (uint32_t)(bytes - at)}, at);
    }
    free(text);
}
