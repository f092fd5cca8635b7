/* SPDX-License-Identifier: Apache-2.0 */
#include "io/chain_parked.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int tri_parking_open(struct tri_parking *parking)
{
    memset(parking, 0, sizeof(*parking));
    parking->room = calloc(TRI_PARKED_MAX, TRI_FRAME_BYTES_MAX);
    return parking->room != NULL ? 0 : -ENOMEM;
}

void tri_parking_close(struct tri_parking *parking)
{
    free(parking->room);
    memset(parking, 0, sizeof(*parking));
}

uint8_t *tri_parking_room(struct tri_parking *parking, const struct tri_parked *parked)
{
    assert(parked >= parking->at && parked < parking->at + TRI_PARKED_MAX);
    return parking->room + (size_t)(parked - parking->at) * TRI_FRAME_BYTES_MAX;
}

struct tri_parked *tri_parking_put(struct tri_parking *parking, enum tri_parked_kind kind,
                                   uint64_t due_ns, const uint8_t *body, uint32_t bytes)
{
    assert(kind != TRI_PARKED_FREE);
    assert(bytes <= TRI_FRAME_BYTES_MAX);
    if (parking->room == NULL || parking->count == TRI_PARKED_MAX) {
        return NULL;
    }
    for (uint32_t i = 0; i < TRI_PARKED_MAX; i++) {
        struct tri_parked *parked = &parking->at[i];

        if (parked->kind != TRI_PARKED_FREE) {
            continue;
        }
        memset(parked, 0, sizeof(*parked));
        parked->kind = kind;
        parked->due_ns = due_ns;
        parked->bytes = bytes;
        if (bytes > 0U) {
            memcpy(tri_parking_room(parking, parked), body, bytes);
        }
        parking->count++;
        return parked;
    }
    assert(false);
    return NULL;
}

/* The place that is due first; TRI_PARKED_MAX if nothing is parked. */
static uint32_t parking_first(const struct tri_parking *parking)
{
    uint32_t first = TRI_PARKED_MAX;
    uint32_t left = parking->count;

    for (uint32_t i = 0; left > 0U; i++) {
        assert(i < TRI_PARKED_MAX);
        if (parking->at[i].kind == TRI_PARKED_FREE) {
            continue;
        }
        left--;
        if (first == TRI_PARKED_MAX || parking->at[i].due_ns < parking->at[first].due_ns) {
            first = i;
        }
    }
    return first;
}

struct tri_parked *tri_parking_first(struct tri_parking *parking)
{
    uint32_t first = parking_first(parking);

    return first == TRI_PARKED_MAX ? NULL : &parking->at[first];
}

uint64_t tri_parking_due_ns(const struct tri_parking *parking)
{
    uint32_t first = parking_first(parking);

    return first == TRI_PARKED_MAX ? TRI_NEVER : parking->at[first].due_ns;
}

void tri_parking_free(struct tri_parking *parking, struct tri_parked *parked)
{
    assert(parked->kind != TRI_PARKED_FREE);
    assert(parking->count > 0U);
    parked->kind = TRI_PARKED_FREE;
    parking->count--;
}

void tri_parking_release(struct tri_parking *parking)
{
    uint32_t left = parking->count;

    for (uint32_t i = 0; left > 0U; i++) {
        assert(i < TRI_PARKED_MAX);
        if (parking->at[i].kind == TRI_PARKED_FREE) {
            continue;
        }
        left--;
        if (parking->at[i].after_next) {
            parking->at[i].after_next = false;
            parking->at[i].due_ns = 0;
        }
    }
}
