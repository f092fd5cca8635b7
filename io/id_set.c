/* SPDX-License-Identifier: Apache-2.0 */
#include "io/id_set.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shards/digest.h"

#define ID_SET_ROOM_MIN 1024U

static_assert(sizeof(struct tri_hash) == 16, "half a SHA-256");

void tri_id_set_init(struct tri_id_set *set, uint64_t random)
{
    assert(set != NULL);
    *set = (struct tri_id_set){.factor = random | 1};
}

void tri_id_set_fini(struct tri_id_set *set)
{
    assert(set != NULL);
    free(set->digests);
    *set = (struct tri_id_set){0};
}

static bool digest_is_free(const struct tri_hash *digest)
{
    static const struct tri_hash none;

    return memcmp(digest, &none, sizeof(none)) == 0;
}

/* The place of the digest, or the free one where it belongs. */
static struct tri_hash *set_place(const struct tri_id_set *set, const struct tri_hash *digest)
{
    uint64_t number;
    uint64_t at;

    assert(set->count < set->room);
    memcpy(&number, digest->at, sizeof(number));
    number *= set->factor; /* the upper half is the well mixed one */
    at = (number >> 32 ^ number << 32) & (set->room - 1);
    while (!digest_is_free(&set->digests[at]) &&
           memcmp(&set->digests[at], digest, sizeof(*digest)) != 0) {
        at = (at + 1) & (set->room - 1);
    }
    return &set->digests[at];
}

static int set_grow(struct tri_id_set *set)
{
    struct tri_id_set wider = *set;

    wider.room = set->room == 0 ? ID_SET_ROOM_MIN : 2 * set->room;
    wider.digests = calloc(wider.room, sizeof(wider.digests[0]));
    if (wider.digests == NULL) {
        return -ENOMEM;
    }
    for (uint64_t i = 0; i < set->room; i++) {
        if (!digest_is_free(&set->digests[i])) {
            *set_place(&wider, &set->digests[i]) = set->digests[i];
        }
    }
    free(set->digests);
    *set = wider;
    return 0;
}

int tri_id_set_add(struct tri_id_set *set, struct tri_text id)
{
    struct tri_hash digest =
        tri_digest_content((struct tri_bytes){(const uint8_t *)id.at, id.bytes});
    struct tri_hash *place;

    assert(id.at != NULL);
    if (digest_is_free(&digest)) {
        digest.at[0] = 1;
    }
    if (set->count >= set->room / 4 * 3 && set_grow(set) != 0) {
        return -ENOMEM;
    }
    place = set_place(set, &digest);
    if (!digest_is_free(place)) {
        return 0;
    }
    *place = digest;
    set->count++;
    return 1;
}
