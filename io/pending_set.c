/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of each stream the records up to a cursor are secondary-final, and of those behind it some are:
 * the settlement need not go in order.  So a stream costs a few bits for each record between its
 * cursor and the last bit that is set, and nothing for the rest.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "io/pending_internal.h"

#define WORDS_ROOM   16U
#define STREAMS_ROOM 16U

/* ---- streams ---- */

uint64_t tri_pending_key(const struct pending_stream *stream)
{
    return ((uint64_t)stream->epoch << 32) | stream->shard;
}

uint32_t tri_pending_place(const struct tri_pending *pending, uint32_t epoch, uint32_t shard)
{
    uint64_t key = ((uint64_t)epoch << 32) | shard;
    uint32_t low = 0;
    uint32_t high = pending->stream_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (tri_pending_key(pending->streams[middle]) < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct pending_stream *tri_pending_find(const struct tri_pending *pending, uint32_t epoch,
                                        uint32_t shard)
{
    uint32_t place = tri_pending_place(pending, epoch, shard);
    struct pending_stream *stream = place < pending->stream_count ? pending->streams[place] : NULL;

    return stream != NULL && stream->epoch == epoch && stream->shard == shard ? stream : NULL;
}

struct pending_stream *tri_pending_stream(struct tri_pending *pending, uint32_t epoch,
                                          uint32_t shard)
{
    uint32_t place = tri_pending_place(pending, epoch, shard);
    struct pending_stream *stream = tri_pending_find(pending, epoch, shard);

    if (stream != NULL) {
        return stream;
    }
    if (pending->stream_count == pending->stream_room) {
        uint32_t room = pending->stream_room == 0 ? STREAMS_ROOM : 2 * pending->stream_room;
        struct pending_stream **more = realloc(pending->streams, room * sizeof(void *));

        if (more == NULL) {
            return NULL;
        }
        pending->streams = more;
        pending->stream_room = room;
    }
    stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return NULL;
    }
    stream->epoch = epoch;
    stream->shard = shard;
    stream->drive_from = 1;
    memmove(&pending->streams[place + 1], &pending->streams[place],
            (pending->stream_count - place) * sizeof(void *));
    pending->streams[place] = stream;
    pending->stream_count++;
    pending->stream_first = place < pending->stream_first ? place : pending->stream_first;
    return stream;
}

static bool stream_is_done(const struct pending_stream *stream)
{
    return stream->cursor == stream->last;
}

/* ---- bits ---- */

bool tri_pending_grow(struct pending_stream *stream, uint64_t oss_epoch)
{
    uint64_t index = (oss_epoch - 1 - stream->base) / PENDING_WORD_BITS;
    uint32_t room = stream->word_room == 0 ? WORDS_ROOM : stream->word_room;

    assert(oss_epoch > stream->base);
    if (index >= UINT32_MAX / 2) {
        return false;
    }
    while (room <= index) {
        room *= 2;
    }
    if (room != stream->word_room) {
        struct pending_word *more = realloc(stream->words, room * sizeof(*more));

        if (more == NULL) {
            return false;
        }
        stream->words = more;
        stream->word_room = room;
    }
    while (stream->word_count <= index) {
        stream->words[stream->word_count++] = (struct pending_word){0};
    }
    return true;
}

struct pending_word *tri_pending_word(const struct pending_stream *stream, uint64_t oss_epoch,
                                      uint64_t *bit)
{
    uint64_t index = oss_epoch - 1 - stream->base;

    assert(oss_epoch > stream->base);
    *bit = UINT64_C(1) << (index % PENDING_WORD_BITS);
    index /= PENDING_WORD_BITS;
    return index < stream->word_count ? &stream->words[index] : NULL;
}

bool tri_pending_note_forced(struct pending_stream *stream, uint64_t oss_epoch)
{
    struct pending_word *word = NULL;
    uint64_t bit = 0;

    if (!tri_pending_grow(stream, oss_epoch)) {
        return false;
    }
    word = tri_pending_word(stream, oss_epoch, &bit);
    word->forced |= bit;
    return true;
}

bool tri_pending_is_final(const struct pending_stream *stream, uint64_t oss_epoch)
{
    const struct pending_word *word = NULL;
    uint64_t bit = 0;

    if (oss_epoch <= stream->cursor) {
        return true;
    }
    word = tri_pending_word(stream, oss_epoch, &bit);
    return word != NULL && (word->final & bit) != 0;
}

bool tri_pending_is_unknown(const struct pending_stream *stream, uint64_t oss_epoch)
{
    return oss_epoch > stream->learned && oss_epoch <= stream->opened;
}

uint64_t tri_pending_final_count(const struct pending_stream *stream, uint64_t from, uint64_t to)
{
    uint64_t count = 0;

    while (from <= to) {
        uint64_t bit = 0;
        const struct pending_word *word = NULL;
        uint64_t bits = 0;
        uint64_t left = to - from;

        if (from <= stream->cursor) {
            uint64_t last = to < stream->cursor ? to : stream->cursor;

            count += last - from + 1;
            from = last + 1;
            continue;
        }
        word = tri_pending_word(stream, from, &bit);
        if (word == NULL) {
            return count;
        }
        bits = word->final >> __builtin_ctzll(bit);
        if (left < PENDING_WORD_BITS - 1) {
            bits &= (UINT64_C(2) << left) - 1;
        }
        count += (uint64_t)__builtin_popcountll(bits);
        from += PENDING_WORD_BITS - (uint64_t)__builtin_ctzll(bit);
    }
    return count;
}

bool tri_pending_is_held(const struct tri_pending *pending, const struct pending_stream *stream,
                         uint64_t oss_epoch)
{
    const struct pending_word *word = NULL;
    uint64_t bit = 0;

    if (pending->is_up || tri_pending_is_final(stream, oss_epoch)) {
        return false;
    }
    word = tri_pending_word(stream, oss_epoch, &bit);
    return tri_pending_is_unknown(stream, oss_epoch) || (word != NULL && (word->forced & bit) != 0);
}

uint64_t tri_pending_first(const struct tri_pending *pending, const struct pending_stream *stream,
                           uint64_t from, bool is_undriven)
{
    uint64_t next = from > stream->cursor ? from : stream->cursor + 1;

    while (next <= stream->written) {
        uint64_t bit = 0;
        const struct pending_word *word = tri_pending_word(stream, next, &bit);
        uint64_t passed = 0;

        if (!pending->is_up && tri_pending_is_unknown(stream, next)) {
            next = stream->opened + 1;
            continue;
        }
        if (word == NULL) {
            return next;
        }
        passed =
            word->final | (pending->is_up ? 0 : word->forced) | (is_undriven ? word->driven : 0);
        passed |= bit - 1; /* those before it */
        if ((passed & bit) == 0) {
            return next;
        }
        next += (passed == UINT64_MAX ? PENDING_WORD_BITS : (uint64_t)__builtin_ctzll(~passed)) -
                (uint64_t)__builtin_ctzll(bit);
    }
    return 0;
}

/* Gives words back that lie before the cursor, when they are half of all. */
static void stream_shift(struct pending_stream *stream)
{
    uint64_t words = (stream->cursor - stream->base) / PENDING_WORD_BITS;
    uint32_t gone = words < stream->word_count ? (uint32_t)words : stream->word_count;

    if (words == 0 || gone < stream->word_count / 2) {
        return;
    }
    memmove(stream->words, stream->words + gone,
            (stream->word_count - gone) * sizeof(*stream->words));
    stream->word_count -= gone;
    stream->base += words * PENDING_WORD_BITS;
}

void tri_pending_finish(struct tri_pending *pending, struct pending_stream *stream,
                        uint64_t oss_epoch)
{
    uint64_t bit = 0;
    struct pending_word *word = tri_pending_word(stream, oss_epoch, &bit);

    assert(word != NULL && (word->final & bit) == 0);
    assert(oss_epoch > stream->cursor && oss_epoch <= stream->last);
    word->final |= bit;
    stream->final_beyond++;
    assert(pending->records > 0);
    pending->records--;
    pending->settled++;
    while (stream->cursor < stream->last && tri_pending_is_final(stream, stream->cursor + 1)) {
        stream->cursor++;
        stream->final_beyond--;
    }
    stream_shift(stream);
    while (pending->stream_first < pending->stream_count &&
           stream_is_done(pending->streams[pending->stream_first])) {
        pending->stream_first++;
    }
}
