/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing.  A record is made in the buffer as a whole, because its header needs the root of all its
 * leaves; the buffer is a row of pieces, each of one stream, and goes to the files stream by
 * stream, one system call for each.
 *
 * What writing or flushing once failed is never known to be on disk, whatever a second call returns
 * (D03): from then on every call returns the first failure.
 */
#include "io/archive.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/archive_internal.h"

/* ---- failures ---- */

int tri_archive_fail(struct tri_archive *archive, const char *name, int failed, const char *what)
{
    assert(failed < 0);
    assert(archive->failed == 0);
    archive->failed = tri_archive_say(archive, archive->trouble, name, failed,
                                      "%s: %s; the archive takes nothing more until the next start",
                                      what, strerror(-failed));
    return failed;
}

int tri_archive_failed(const struct tri_archive *archive, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    if (archive->failed != 0) {
        memcpy(trouble, archive->trouble, TRI_ARCHIVE_TROUBLE_BYTES);
    }
    return archive->failed;
}

static int archive_fail_stream(struct tri_archive *archive, const struct archive_stream *stream,
                               int failed, const char *what)
{
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];

    tri_archive_name_put(stream->epoch, stream->shard, stream->file_first, name);
    return tri_archive_fail(archive, name, failed, what);
}

/* ---- to the files ---- */

int tri_archive_write_all(int file, const void *bytes, size_t count, uint64_t offset)
{
    const uint8_t *at = bytes;

    while (count > 0) {
        ssize_t written = pwrite(file, at, count, (off_t)offset);

        if (written < 0 && errno != EINTR) {
            return -errno;
        }
        if (written > 0) {
            at += written;
            offset += (uint64_t)written;
            count -= (size_t)written;
        }
    }
    return 0;
}

static int write_open(struct tri_archive *archive, struct archive_stream *stream)
{
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];
    int flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW | (stream->is_made ? 0 : O_CREAT | O_EXCL);

    assert(stream->file_first != 0);
    tri_archive_name_put(stream->epoch, stream->shard, stream->file_first, name);
    stream->file = openat(archive->directory, name, flags, 0600);
    if (stream->file < 0) {
        return tri_archive_fail(archive, name, -errno, "cannot be opened for writing");
    }
    archive->is_directory_dirty = archive->is_directory_dirty || !stream->is_made;
    stream->is_made = true;
    return 0;
}

/* Writes `count` vectors, which it uses up. */
static int write_vectors(int file, struct iovec *vectors, uint32_t count, uint64_t offset)
{
    while (count > 0) {
        ssize_t written = pwritev(file, vectors, (int)count, (off_t)offset);

        if (written < 0 && errno != EINTR) {
            return -errno;
        }
        if (written < 0) {
            continue;
        }
        offset += (uint64_t)written;
        while (count > 0 && (size_t)written >= vectors->iov_len) {
            written -= (ssize_t)vectors->iov_len;
            vectors++;
            count--;
        }
        if (count > 0) {
            vectors->iov_base = (uint8_t *)vectors->iov_base + written;
            vectors->iov_len -= (size_t)written;
        }
    }
    return 0;
}

static int write_stream(struct tri_archive *archive, uint32_t index)
{
    struct archive_stream *stream = &archive->streams[index];
    uint32_t count = 0;
    uint64_t bytes = 0;
    int failed = stream->file < 0 ? write_open(archive, stream) : 0;

    if (failed != 0) {
        return failed;
    }
    for (uint32_t i = 0; i < archive->piece_count; i++) {
        const struct archive_piece *piece = &archive->pieces[i];

        if (piece->stream == index) {
            archive->vectors[count++] =
                (struct iovec){.iov_base = archive->buffer + piece->at, .iov_len = piece->bytes};
            bytes += piece->bytes;
        }
    }
    assert(count == stream->piece_count);
    stream->is_dirty = true;
    failed = write_vectors(stream->file, archive->vectors, count, stream->written_bytes);
    if (failed != 0) {
        return archive_fail_stream(archive, stream, failed, "cannot be written");
    }
    stream->written_bytes += bytes;
    stream->piece_count = 0;
    assert(stream->written_bytes == stream->file_bytes);
    return 0;
}

static int write_buffer(struct tri_archive *archive)
{
    for (uint32_t i = 0; archive->failed == 0 && i < archive->stream_count; i++) {
        if (archive->streams[i].piece_count > 0) {
            (void)write_stream(archive, i);
        }
    }
    if (archive->failed == 0) {
        archive->buffer_bytes = 0;
        archive->piece_count = 0;
    }
    return archive->failed;
}

static int sync_stream(struct tri_archive *archive, struct archive_stream *stream)
{
    if (!stream->is_dirty) {
        return 0;
    }
    if (fdatasync(stream->file) != 0) {
        return archive_fail_stream(archive, stream, -errno, "cannot be flushed");
    }
    stream->is_dirty = false;
    return 0;
}

static int sync_directory(struct tri_archive *archive)
{
    if (!archive->is_directory_dirty) {
        return 0;
    }
    if (fsync(archive->directory) != 0) {
        return tri_archive_fail(archive, "", -errno, "cannot be flushed");
    }
    archive->is_directory_dirty = false;
    return 0;
}

int tri_archive_sync_all(struct tri_archive *archive)
{
    int failed = write_buffer(archive);

    for (uint32_t i = 0; failed == 0 && i < archive->stream_count; i++) {
        failed = sync_stream(archive, &archive->streams[i]);
    }
    return failed == 0 ? sync_directory(archive) : failed;
}

int tri_archive_write(struct tri_archive *archive, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    assert(archive != NULL && !archive->options.is_read_only);
    (void)write_buffer(archive);
    return tri_archive_failed(archive, trouble);
}

int tri_archive_sync(struct tri_archive *archive, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    assert(archive != NULL && !archive->options.is_read_only);
    archive->counts.syncs += tri_archive_sync_all(archive) == 0 ? 1 : 0;
    return tri_archive_failed(archive, trouble);
}

uint32_t tri_archive_flush_begin(struct tri_archive *archive, int files[TRI_ARCHIVE_FLUSH_MAX])
{
    uint32_t count = 0;

    assert(archive->failed == 0);
    assert(archive->stream_count < TRI_ARCHIVE_FLUSH_MAX);
    for (uint32_t i = 0; i < archive->stream_count; i++) {
        if (archive->streams[i].is_dirty) {
            archive->streams[i].is_dirty = false;
            files[count++] = archive->streams[i].file;
        }
    }
    if (archive->is_directory_dirty) {
        archive->is_directory_dirty = false;
        files[count++] = archive->directory;
    }
    return count;
}

int tri_archive_flush_end(struct tri_archive *archive, int result,
                          char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    if (result != 0 && archive->failed == 0) {
        (void)tri_archive_fail(archive, "", result, "cannot be flushed");
    }
    archive->counts.syncs += archive->failed == 0 ? 1 : 0;
    return tri_archive_failed(archive, trouble);
}

/* ---- records ---- */

static struct archive_stream *archive_find(const struct tri_archive *archive, uint32_t epoch,
                                           uint32_t shard)
{
    for (uint32_t i = 0; i < archive->stream_count; i++) {
        if (archive->streams[i].epoch == epoch && archive->streams[i].shard == shard) {
            return &archive->streams[i];
        }
    }
    return NULL;
}

uint64_t tri_archive_last(const struct tri_archive *archive, uint32_t epoch, uint32_t shard)
{
    const struct archive_stream *stream = archive_find(archive, epoch, shard);
    const struct tri_archive_stream *closed = NULL;

    if (stream != NULL) {
        return stream->last;
    }
    closed = tri_archive_manifest_find(&archive->manifest, epoch, shard);
    return closed == NULL ? 0 : closed->records;
}

void tri_archive_end_at(const struct tri_archive *archive, uint32_t epoch, uint32_t shard,
                        uint64_t *first, uint64_t *end)
{
    const struct archive_stream *stream = archive_find(archive, epoch, shard);

    assert(stream != NULL);
    *first = stream->file_first;
    *end = stream->file_bytes;
}

/* Puts a chain into its place among those of the record, if it is not there.  False: too many. */
static bool append_chain(struct tri_archive *archive, uint32_t *count, struct tri_text chain)
{
    uint32_t low = 0;
    uint32_t high = *count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = tri_finality_chain_order(archive->chains[middle], chain);

        if (order == 0) {
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (*count == TRI_FINALITY_CHAINS_MAX) {
        return false;
    }
    memmove(&archive->chains[low + 1], &archive->chains[low],
            (*count - low) * sizeof(*archive->chains));
    archive->chains[low] = chain;
    (*count)++;
    return true;
}

/* Whether a stream may have the entry. */
static bool append_entry(const struct tri_archive_entry *entry, bool is_content_kept,
                         struct tri_leaf *leaf, const char **fault)
{
    struct tri_hash content;

    if (!tri_leaf_get(entry->leaf, leaf, fault)) {
        return false;
    }
    if (entry->content.bytes == 0) {
        *fault = "the message's content is missing, and the stream was opened to keep contents";
        return !is_content_kept;
    }
    content = tri_digest_content(entry->content);
    *fault = "the message's content has not its leaf's contentHash";
    return memcmp(content.at, leaf->hash.at, sizeof(content.at)) == 0;
}

/* Reads the leaves into the header's root, chains and time.  An entry that nobody could verify
 * later must not be written for ever. */
static int append_entries(struct tri_archive *archive, struct tri_finality_header *header,
                          const struct tri_archive_entry *entries, uint32_t count,
                          bool is_content_kept, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct tri_leaf leaf;
    struct tri_tree tree;
    uint8_t hash[TRI_DIGEST_BYTES];
    const char *fault = "";

    tri_tree_init(&tree);
    for (uint32_t i = 0; i < count; i++) {
        if (!append_entry(&entries[i], is_content_kept, &leaf, &fault)) {
            return tri_archive_say(archive, trouble, "", -EBADMSG,
                                   "entry %" PRIu32 " of record %" PRIu64 " of stream %.*s: %s", i,
                                   header->oss_epoch, (int)header->stream.bytes, header->stream.at,
                                   fault);
        }
        for (uint32_t chain = 0; chain < leaf.chain_count; chain++) {
            if (!append_chain(archive, &header->chain_count, leaf.chains[chain])) {
                return tri_archive_say(archive, trouble, "", -EMSGSIZE,
                                       "record %" PRIu64 " of stream %.*s has more than %u chains",
                                       header->oss_epoch, (int)header->stream.bytes,
                                       header->stream.at, TRI_FINALITY_CHAINS_MAX);
            }
        }
        if (leaf.issued_at_ms > header->issued_at_ms) {
            header->issued_at_ms = leaf.issued_at_ms;
        }
        tri_tree_leaf(entries[i].leaf, hash);
        tri_tree_add(&tree, hash);
    }
    tri_tree_root(&tree, header->root);
    return 0;
}

/* Makes the header's bytes in archive->header. */
static int append_header(struct tri_archive *archive, const struct archive_stream *stream,
                         const struct tri_archive_entry *entries, uint32_t count,
                         struct tri_bytes *made, char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct tri_finality_header header = {
        .oss_epoch = stream->last + 1, .chains = archive->chains, .message_count = count};
    const struct tri_archive_prover *prover = archive->options.prover;
    char name[TRI_STREAM_BYTES_MAX];
    int failed = 0;

    memcpy(header.archive, archive->manifest.archive, sizeof(header.archive));
    header.stream = (struct tri_text){name, tri_stream_put(stream->epoch, stream->shard, name)};
    memcpy(header.previous, stream->previous, sizeof(header.previous));
    memcpy(header.key, archive->options.signer->public_key, sizeof(header.key));
    failed = append_entries(archive, &header, entries, count, stream->is_content_kept, trouble);
    if (failed != 0) {
        return failed;
    }
    if (prover != NULL) {
        header.has_proof = prover->prove(prover->context, &header, header.proof);
    }
    *made = (struct tri_bytes){archive->header, tri_finality_header_put(&header, archive->header)};
    return 0;
}

/* Makes room for `bytes` of the stream: in its file, and in the buffer. */
static int append_room(struct tri_archive *archive, struct archive_stream *stream, uint64_t bytes)
{
    bool is_full = stream->file_first != 0 && stream->file_bytes >= archive->options.file_bytes;
    int failed = 0;

    if (is_full || archive->buffer_bytes + bytes > ARCHIVE_BUFFER_BYTES ||
        archive->piece_count == ARCHIVE_PIECES_MAX) {
        failed = write_buffer(archive);
    }
    if (failed == 0 && is_full) { /* whole and durable before the next begins */
        stream->is_dirty = true;  /* a flush that is under way may end later */
        failed = sync_stream(archive, stream);
        failed = failed == 0 ? sync_directory(archive) : failed;
        if (failed == 0 && stream->file >= 0) {
            (void)close(stream->file);
        }
        if (failed == 0) {
            stream->file = -1;
            stream->file_first = 0;
        }
    }
    if (failed == 0 && stream->file_first == 0) {
        stream->file_first = stream->last + 1;
        stream->file_bytes = 0;
        stream->written_bytes = 0;
        stream->is_made = false;
    }
    return failed;
}

static void append_piece(struct tri_archive *archive, struct archive_stream *stream, uint32_t bytes)
{
    uint32_t index = (uint32_t)(stream - archive->streams);
    struct archive_piece *before =
        archive->piece_count == 0 ? NULL : &archive->pieces[archive->piece_count - 1];

    if (before != NULL && before->stream == index) {
        before->bytes += bytes;
    } else {
        assert(archive->piece_count < ARCHIVE_PIECES_MAX);
        archive->pieces[archive->piece_count++] =
            (struct archive_piece){.stream = index, .at = archive->buffer_bytes, .bytes = bytes};
        stream->piece_count++;
    }
    archive->buffer_bytes += bytes;
    stream->file_bytes += bytes;
}

/* Makes the record and puts it into the buffer. */
static int append_record(struct tri_archive *archive, struct archive_stream *stream,
                         const struct tri_archive_entry *entries, uint32_t count,
                         char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    uint8_t signature[TRI_SIGNER_SIGNATURE_BYTES];
    struct tri_bytes header = {0};
    uint64_t bytes = 0;
    int failed = append_header(archive, stream, entries, count, &header, trouble);

    if (failed != 0) {
        return failed;
    }
    bytes = tri_archive_record_bytes(header.bytes, entries, count, stream->is_content_kept);
    if (bytes > TRI_ARCHIVE_FRAME_BYTES + TRI_ARCHIVE_RECORD_BYTES_MAX) {
        return tri_archive_say(archive, trouble, "", -EMSGSIZE,
                               "record %" PRIu64 " of stream %" PRIu32 "-%" PRIu32 " has %" PRIu64
                               " bytes, more than %u",
                               stream->last + 1, stream->epoch, stream->shard, bytes,
                               TRI_ARCHIVE_FRAME_BYTES + TRI_ARCHIVE_RECORD_BYTES_MAX);
    }
    if (append_room(archive, stream, bytes) != 0) {
        return tri_archive_failed(archive, trouble);
    }
    tri_signer_sign(archive->options.signer, header.at, header.bytes, signature);
    tri_archive_record_put(header, signature, entries, count, stream->is_content_kept,
                           archive->buffer + archive->buffer_bytes);
    append_piece(archive, stream, (uint32_t)bytes);
    tri_finality_header_hash(header, stream->previous);
    stream->last++;
    stream->messages += count;
    archive->counts.records++;
    archive->counts.messages += count;
    archive->counts.bytes += bytes;
    return 0;
}

int tri_archive_append(struct tri_archive *archive, uint32_t epoch, uint32_t shard,
                       uint64_t oss_epoch, const struct tri_archive_entry *entries, uint32_t count,
                       char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct archive_stream *stream = NULL;
    uint64_t last = 0;

    assert(archive != NULL && !archive->options.is_read_only);
    assert(oss_epoch >= 1);
    assert(count >= 1 && count <= TRI_FINALITY_MESSAGES_MAX);
    if (archive->failed != 0) {
        return tri_archive_failed(archive, trouble);
    }
    last = tri_archive_last(archive, epoch, shard);
    if (oss_epoch <= last) {
        return 0;
    }
    stream = archive_find(archive, epoch, shard);
    if (stream == NULL) {
        bool is_known = tri_archive_manifest_find(&archive->manifest, epoch, shard) != NULL;

        return tri_archive_say(
            archive, trouble, TRI_ARCHIVE_MANIFEST_NAME, is_known ? -ESTALE : -ENOENT,
            "record %" PRIu64 " of stream %" PRIu32 "-%" PRIu32 ": the stream %s", oss_epoch, epoch,
            shard,
            is_known ? "was closed with fewer records; restore the archive that "
                       "belongs to the journal"
                     : "was never opened; the archive is older than the journal: put its newest "
                       "copy back");
    }
    if (oss_epoch != last + 1) {
        return tri_archive_say(archive, trouble, "", -EEXIST,
                               "record %" PRIu64 " of stream %" PRIu32 "-%" PRIu32
                               " cannot follow record %" PRIu64 ": those between are missing; put "
                               "the archive's newest copy back",
                               oss_epoch, epoch, shard, last);
    }
    return append_record(archive, stream, entries, count, trouble);
}

struct tri_archive_counts tri_archive_counts(const struct tri_archive *archive)
{
    return archive->counts;
}
