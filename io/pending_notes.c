/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is noted of single records: that they are contested, and which of their messages were handed
 * over.  A settlement may contest every record there is, so a note costs the same however many
 * there are.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "io/pending_internal.h"

#define NOTES_ROOM  64U
#define HANDED_ROOM 4U

/* ---- the table ---- */

/* Mixes so that every bit depends on all (the finalizer of splitmix64). */
static uint64_t notes_mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

static uint64_t notes_home(const struct pending_notes *notes, uint64_t stream, uint64_t oss_epoch)
{
    return notes_mix(notes_mix(stream ^ notes->random) ^ oss_epoch) & (notes->room - 1);
}

/* The slot of the record, or the free one where it belongs. */
static struct pending_note *notes_slot(const struct pending_notes *notes, uint64_t stream,
                                       uint64_t oss_epoch)
{
    uint64_t at = notes_home(notes, stream, oss_epoch);

    assert(notes->count < notes->room);
    while (notes->at[at].oss_epoch != 0 &&
           (notes->at[at].stream != stream || notes->at[at].oss_epoch != oss_epoch)) {
        at = (at + 1) & (notes->room - 1);
    }
    return &notes->at[at];
}

static bool notes_grow(struct pending_notes *notes)
{
    struct pending_notes wider = *notes;

    wider.room = notes->room == 0 ? NOTES_ROOM : 2 * notes->room;
    wider.at = calloc(wider.room, sizeof(*wider.at));
    if (wider.at == NULL) {
        return false;
    }
    for (uint64_t i = 0; i < notes->room; i++) {
        const struct pending_note *note = &notes->at[i];

        if (note->oss_epoch != 0) {
            *notes_slot(&wider, note->stream, note->oss_epoch) = *note;
        }
    }
    free(notes->at);
    *notes = wider;
    return true;
}

struct pending_note *tri_pending_notes_find(const struct pending_notes *notes, uint64_t stream,
                                            uint64_t oss_epoch)
{
    struct pending_note *note = NULL;

    if (notes->count == 0) {
        return NULL;
    }
    note = notes_slot(notes, stream, oss_epoch);
    return note->oss_epoch == 0 ? NULL : note;
}

struct pending_note *tri_pending_notes_make(struct pending_notes *notes, uint64_t stream,
                                            uint64_t oss_epoch)
{
    struct pending_note *note = tri_pending_notes_find(notes, stream, oss_epoch);

    assert(oss_epoch != 0);
    if (note != NULL) {
        return note;
    }
    if (notes->count >= notes->room / 4 * 3 && !notes_grow(notes)) {
        return NULL;
    }
    note = notes_slot(notes, stream, oss_epoch);
    *note = (struct pending_note){.stream = stream, .oss_epoch = oss_epoch};
    notes->count++;
    return note;
}

void tri_pending_notes_tidy(struct pending_notes *notes, struct pending_note *note)
{
    uint64_t mask = notes->room - 1;
    uint64_t hole = (uint64_t)(note - notes->at);

    assert(note->oss_epoch != 0);
    if (note->is_contested || note->handed != NULL) {
        return;
    }
    for (uint64_t at = (hole + 1) & mask; notes->at[at].oss_epoch != 0; at = (at + 1) & mask) {
        uint64_t home = notes_home(notes, notes->at[at].stream, notes->at[at].oss_epoch);

        if (((at - home) & mask) >= ((at - hole) & mask)) { /* who looks for it passes the hole */
            notes->at[hole] = notes->at[at];
            hole = at;
        }
    }
    notes->at[hole] = (struct pending_note){0};
    notes->count--;
}

void tri_pending_notes_free(struct pending_notes *notes)
{
    for (uint64_t i = 0; i < notes->room; i++) {
        free(notes->at[i].handed);
    }
    free(notes->at);
    *notes = (struct pending_notes){0};
}

/* ---- what was handed over ---- */

struct tri_hash tri_pending_id_hash(struct tri_text id)
{
    return tri_digest_content((struct tri_bytes){(const uint8_t *)id.at, id.bytes});
}

/* Where the id stands, or belongs. */
static uint32_t handed_place(const struct pending_handed *handed, const struct tri_hash *id)
{
    uint32_t low = 0;
    uint32_t high = handed == NULL ? 0 : handed->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (memcmp(&handed->at[middle], id, sizeof(*id)) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t tri_pending_note_handed(const struct pending_note *note)
{
    return note->handed == NULL ? 0 : note->handed->count;
}

bool tri_pending_note_has(const struct pending_note *note, const struct tri_hash *id)
{
    uint32_t place = handed_place(note->handed, id);

    return place < tri_pending_note_handed(note) &&
           memcmp(&note->handed->at[place], id, sizeof(*id)) == 0;
}

bool tri_pending_note_grow(struct pending_note *note)
{
    uint32_t count = tri_pending_note_handed(note);
    uint32_t room = note->handed == NULL ? HANDED_ROOM : 2 * note->handed->room;
    struct pending_handed *more = NULL;

    if (note->handed != NULL && count < note->handed->room) {
        return true;
    }
    more = realloc(note->handed, sizeof(*more) + room * sizeof(more->at[0]));
    if (more == NULL) {
        return false;
    }
    more->count = count;
    more->room = room;
    note->handed = more;
    return true;
}

void tri_pending_note_hand(struct pending_note *note, const struct tri_hash *id)
{
    struct pending_handed *handed = note->handed;
    uint32_t place = handed_place(handed, id);

    assert(handed != NULL && handed->count < handed->room);
    assert(!tri_pending_note_has(note, id));
    memmove(&handed->at[place + 1], &handed->at[place],
            (handed->count - place) * sizeof(handed->at[0]));
    handed->at[place] = *id;
    handed->count++;
}

void tri_pending_notes_settled(struct tri_pending *pending, struct pending_note *note)
{
    if (note == NULL) {
        return;
    }
    pending->contested -= note->is_contested ? 1 : 0;
    pending->handed -= tri_pending_note_handed(note);
    note->is_contested = false;
    free(note->handed);
    note->handed = NULL;
    tri_pending_notes_tidy(&pending->notes, note);
}
