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
#define NOTES_ROOM   16U

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

bool tri_pending_is_held(const struct tri_pending *pending, const struct pending_stream *stream,
                         uint64_t oss_epoch)
{
    const struct pending_word *word = NULL;
    uint64_t bit = 0;

    if (pending->is_up || oss_epoch <= stream->cursor) {
        return false;
    }
    word = tri_pending_word(stream, oss_epoch, &bit);
    return word != NULL && (word->forced & ~word->final & bit) != 0;
}

uint64_t tri_pending_first(const struct tri_pending *pending, const struct pending_stream *stream,
                           uint64_t from, bool is_undriven)
{
    uint64_t next = from > stream->cursor ? from : stream->cursor + 1;

    while (next <= stream->written) {
        uint64_t bit = 0;
        const struct pending_word *word = tri_pending_word(stream, next, &bit);
        uint64_t passed = 0;

        if (word == NULL) {
            return next;
        }
        passed =
            word->final | (pending->is_up ? 0 : word->forced) | (is_undriven ? word->driven : 0);
        passed |= bit - 1; /* those before it */
        if (passed != UINT64_MAX) {
            next += (uint64_t)__builtin_ctzll(~passed) - (uint64_t)__builtin_ctzll(bit);
            return next <= stream->written ? next : 0;
        }
        next += PENDING_WORD_BITS - (uint64_t)__builtin_ctzll(bit);
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

/* ---- notes ---- */

void tri_pending_id_value(struct tri_text id, uint8_t value[TRI_DIGEST_BYTES])
{
    tri_digest_sha256(id.at, id.bytes, value);
}

static int note_order(const struct pending_note *note, uint64_t stream, uint64_t oss_epoch,
                      const uint8_t *value)
{
    if (note->stream != stream) {
        return note->stream < stream ? -1 : 1;
    }
    if (note->oss_epoch != oss_epoch) {
        return note->oss_epoch < oss_epoch ? -1 : 1;
    }
    return value == NULL ? 1 : memcmp(note->value, value, sizeof(note->value));
}

uint32_t tri_pending_notes_place(const struct pending_notes *notes, uint64_t stream,
                                 uint64_t oss_epoch, const uint8_t *value)
{
    uint32_t low = 0;
    uint32_t high = notes->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (note_order(&notes->at[middle], stream, oss_epoch, value) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool tri_pending_notes_has(const struct pending_notes *notes, uint32_t place, uint64_t stream,
                           uint64_t oss_epoch, const uint8_t *value)
{
    const struct pending_note *note = NULL;

    if (place >= notes->count) {
        return false;
    }
    note = &notes->at[place];
    return note->stream == stream && note->oss_epoch == oss_epoch &&
           (value == NULL || memcmp(note->value, value, sizeof(note->value)) == 0);
}

bool tri_pending_notes_grow(struct pending_notes *notes)
{
    uint32_t room = notes->room == 0 ? NOTES_ROOM : 2 * notes->room;
    struct pending_note *more = NULL;

    if (notes->count < notes->room) {
        return true;
    }
    more = realloc(notes->at, room * sizeof(*more));
    if (more == NULL) {
        return false;
    }
    notes->at = more;
    notes->room = room;
    return true;
}

void tri_pending_notes_add(struct pending_notes *notes, uint64_t stream, uint64_t oss_epoch,
                           const uint8_t value[TRI_DIGEST_BYTES])
{
    uint32_t place = tri_pending_notes_place(notes, stream, oss_epoch, value);

    assert(notes->count < notes->room);
    assert(!tri_pending_notes_has(notes, place, stream, oss_epoch, value));
    memmove(&notes->at[place + 1], &notes->at[place], (notes->count - place) * sizeof(*notes->at));
    notes->at[place] = (struct pending_note){.stream = stream, .oss_epoch = oss_epoch};
    memcpy(notes->at[place].value, value, TRI_DIGEST_BYTES);
    notes->count++;
}

uint32_t tri_pending_notes_remove(struct pending_notes *notes, uint64_t stream, uint64_t oss_epoch)
{
    uint32_t place = tri_pending_notes_place(notes, stream, oss_epoch, NULL);
    uint32_t end = place;

    while (tri_pending_notes_has(notes, end, stream, oss_epoch, NULL)) {
        end++;
    }
    if (end > place) {
        memmove(&notes->at[place], &notes->at[end], (notes->count - end) * sizeof(*notes->at));
    }
    notes->count -= end - place;
    return end - place;
}
