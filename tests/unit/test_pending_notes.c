/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what is noted of a record is found again, and nothing else, however records come and go;
 * and noting very many takes no longer for each.
 *
 * Method: a plain array as the model; seeded steps.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/pending_internal.h"

#define KEYS  700U
#define STEPS 60000U

TestSuite(pending_notes);

static struct tri_hash id_of(uint32_t number)
{
    char text[16];
    int bytes = snprintf(text, sizeof(text), "m-%u", number);

    return tri_pending_id_hash((struct tri_text){text, (uint32_t)bytes});
}

Test(pending_notes, F05_what_is_noted_of_a_record_is_found_as_others_come_and_go)
{
    static struct {
        bool is_contested;
        bool is_handed[6];
    } model[KEYS];
    struct pending_notes notes = {.random = 12345};
    struct tri_pending pending = {0};
    uint64_t dice = 88172645463325252U;

    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t key = (uint32_t)(dice >> 20) % KEYS;
        uint32_t id = (uint32_t)(dice >> 40) % 6;
        uint64_t stream = key % 3;
        uint64_t oss_epoch = key / 3 + 1;
        struct tri_hash hash = id_of(id);
        struct pending_note *note = tri_pending_notes_find(&notes, stream, oss_epoch);
        uint32_t handed = 0;

        for (uint32_t i = 0; i < 6; i++) {
            struct tri_hash other = id_of(i);

            handed += model[key].is_handed[i] ? 1 : 0;
            cr_assert_eq(note != NULL && tri_pending_note_has(note, &other),
                         model[key].is_handed[i], "step %u", step);
        }
        cr_assert_eq(note != NULL, model[key].is_contested || handed > 0, "step %u", step);
        cr_assert_eq(note != NULL && note->is_contested, model[key].is_contested, "step %u", step);
        switch ((dice >> 50) % 3) {
        case 0:
            note = tri_pending_notes_make(&notes, stream, oss_epoch);
            note->is_contested = true;
            model[key].is_contested = true;
            break;
        case 1:
            note = tri_pending_notes_make(&notes, stream, oss_epoch);
            if (!model[key].is_handed[id]) {
                cr_assert(tri_pending_note_grow(note));
                tri_pending_note_hand(note, &hash);
                model[key].is_handed[id] = true;
            }
            break;
        default:
            pending.notes = notes;
            pending.contested = 1;
            pending.handed = 6;
            tri_pending_notes_settled(&pending, note);
            cr_assert_eq(pending.handed, 6 - handed);
            cr_assert_eq(pending.contested, model[key].is_contested ? 0 : 1);
            notes = pending.notes;
            memset(&model[key], 0, sizeof(model[key]));
            break;
        }
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
    }
    tri_pending_notes_free(&notes);
}

/* A million of them in a sorted array would move terabytes. */
Test(pending_notes, F03_a_million_differences_are_noted, .timeout = 60)
{
    struct pending_notes notes = {.random = 1};

    for (uint64_t n = 1000000; n >= 1; n--) {
        struct pending_note *note = tri_pending_notes_make(&notes, 7, n);

        cr_assert_not_null(note);
        note->is_contested = true;
    }
    cr_expect_eq(notes.count, 1000000);
    for (uint64_t n = 1; n <= 1000000; n++) {
        cr_assert_not_null(tri_pending_notes_find(&notes, 7, n));
    }
    cr_expect_null(tri_pending_notes_find(&notes, 8, 1));
    cr_expect_null(tri_pending_notes_find(&notes, 7, 1000001));
    tri_pending_notes_free(&notes);
}
