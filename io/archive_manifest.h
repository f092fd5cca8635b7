/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archive manifest: which streams an archive has, as text that only grows (F08).
 *
 *     archive ARCHIVE version 1 at TIME key KEY chain CHAIN sign SIGNATURE       first, only there
 *     open STREAM contents kept|omitted at TIME key KEY chain ... sign ...
 *     close STREAM records N messages N head HASH at TIME key KEY chain ... sign ...
 *
 * What stands before " chain" is a line's fact.  CHAIN is the SHA-256 of the line before's CHAIN
 * (zeros before the first) and the fact; SIGNATURE is by KEY over "tricast-manifest-1", a zero byte
 * and CHAIN.  So no line can be changed, added, removed or moved but at the end, and a last line
 * without its newline is a write that a crash has torn, or that still runs.
 *
 * Threads: no state; a manifest belongs to one thread at a time.
 */
#ifndef TRI_IO_ARCHIVE_MANIFEST_H
#define TRI_IO_ARCHIVE_MANIFEST_H

#include "io/signer.h"
#include "shards/finality.h"

#define TRI_ARCHIVE_MANIFEST_NAME  "manifest"
#define TRI_ARCHIVE_VERSION        1U
#define TRI_ARCHIVE_LINE_BYTES_MAX 640U /* with its newline */

enum tri_archive_fact {
    TRI_ARCHIVE_FACT_ARCHIVE = 0,
    TRI_ARCHIVE_FACT_OPEN = 1,
    TRI_ARCHIVE_FACT_CLOSE = 2,
};

struct tri_archive_line {
    enum tri_archive_fact fact;
    uint8_t archive[TRI_FINALITY_ARCHIVE_BYTES]; /* ARCHIVE */
    uint32_t epoch;                              /* OPEN, CLOSE: the stream */
    uint32_t shard;
    bool is_content_kept;           /* OPEN */
    uint64_t records;               /* CLOSE: how many, which is the last one's ossEpoch */
    uint64_t messages;              /* CLOSE: in them */
    uint8_t head[TRI_DIGEST_BYTES]; /* CLOSE: hash of the last record's header, zeros if none */
    uint64_t at_ms;
    uint8_t key[TRI_SIGNER_PUBLIC_BYTES];
    uint8_t chain[TRI_DIGEST_BYTES];
    uint8_t signature[TRI_SIGNER_SIGNATURE_BYTES];
    struct tri_text text; /* get only: the fact's text, borrowed */
};

/* tri_archive_line_put writes a line with its newline; `line` has all but key, chain and signature,
 * which are filled in.  before: the chain value of the line before, zeros for the first.  Returns
 * its bytes. */
uint32_t tri_archive_line_put(struct tri_archive_line *line, const uint8_t before[TRI_DIGEST_BYTES],
                              const struct tri_signer *signer, char to[TRI_ARCHIVE_LINE_BYTES_MAX]);
/* tri_archive_line_get takes a line apart, given without its newline: its grammar alone.  False:
 * *fault is a static sentence. */
bool tri_archive_line_get(struct tri_text text, struct tri_archive_line *line, const char **fault);
/* tri_archive_line_check checks the chain and the signature of a line that was read. */
bool tri_archive_line_check(const struct tri_archive_line *line,
                            const uint8_t before[TRI_DIGEST_BYTES], const char **fault);

struct tri_archive_stream {
    uint32_t epoch;
    uint32_t shard;
    bool is_content_kept;
    bool is_closed;
    uint8_t origin[TRI_DIGEST_BYTES]; /* `previous` of its first record: its open line's chain */
    uint64_t records;                 /* these three if it is closed */
    uint64_t messages;
    uint8_t head[TRI_DIGEST_BYTES];
};

struct tri_archive_manifest {
    uint8_t archive[TRI_FINALITY_ARCHIVE_BYTES];
    uint8_t chain[TRI_DIGEST_BYTES];      /* of the last whole line */
    uint8_t key[TRI_SIGNER_PUBLIC_BYTES]; /* that signed it */
    uint64_t line_count;                  /* whole lines */
    uint64_t bytes;                       /* of the whole lines */
    bool is_torn;                         /* behind them stands a part of one */
    uint32_t stream_count;
    uint32_t stream_room;
    struct tri_archive_stream *streams; /* by epoch and shard; owned */
};

/*
 * tri_archive_manifest_read reads a whole manifest and checks every line.
 *
 * manifest  out; give it back with tri_archive_manifest_fini(), whatever is returned.
 * fault     out; if it fails, a static sentence; the line is manifest->line_count + 1.
 *
 * Returns 0, -EBADMSG or -ENOMEM.  No whole line at all is no fault: line_count is 0.
 */
int tri_archive_manifest_read(struct tri_archive_manifest *manifest, const char *text, size_t bytes,
                              const char **fault);
/* tri_archive_manifest_add takes one more line, which was checked or just put: what it may say at
 * this place.  Returns 0, -EBADMSG with *fault, or -ENOMEM. */
int tri_archive_manifest_add(struct tri_archive_manifest *manifest,
                             const struct tri_archive_line *line, const char **fault);
/* NULL: no such stream.  Valid until the next line is added. */
struct tri_archive_stream *tri_archive_manifest_find(const struct tri_archive_manifest *manifest,
                                                     uint32_t epoch, uint32_t shard);
/* Accepts a zeroed one. */
void tri_archive_manifest_fini(struct tri_archive_manifest *manifest);

/* Hexadecimal, lower case: 2 * count digits, without a terminating zero; and back, by the number of
 * digits, which is even: false if there is anything else. */
void tri_hex_put(const uint8_t *bytes, uint32_t count, char *to);
bool tri_hex_get(const char *text, uint32_t digits, uint8_t *bytes);

#endif
