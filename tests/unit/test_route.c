/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the key depends on every bit of the secret and of the id and never
 * changes; slots are dealt evenly; the content hash is SHA-256.
 * Method: literal values, made independently with Python's hashlib; counts
 * over many ids.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "shards/digest.h"
#include "shards/route.h"

static struct tri_text text(const char *at)
{
    return (struct tri_text){at, (uint32_t)strlen(at)};
}

static struct tri_route *route_of(uint8_t fill, uint32_t shards)
{
    static struct tri_route route;
    uint8_t secret[TRI_ROUTE_SECRET_BYTES];

    memset(secret, fill, sizeof(secret));
    tri_route_init(&route, secret, shards);
    return &route;
}

Test(route, D06_secret_is_stretched_by_sha256_of_label_counter_and_secret)
{
    /* python3 -c 'import hashlib; print(hashlib.sha256(b"tricast route 1"+bytes([5])+b"\1"*32)
     * .hexdigest())' */
    static const uint8_t last[] = {0x13, 0x60, 0x74, 0xbd, 0x5f, 0x3a, 0x3e, 0x99, 0xeb, 0x46, 0x41,
                                   0x32, 0x45, 0x6e, 0xe4, 0x7d, 0x2c, 0xfe, 0xc4, 0x44, 0x53, 0x86,
                                   0xbf, 0x1a, 0x8c, 0xc7, 0x08, 0xd6, 0xe5, 0xd5, 0x6d, 0x67};
    const struct tri_route *route = route_of(1, 1);

    cr_expect_arr_eq(route->seed.at + 160, last, 32);
}

Test(route, H02_key_never_changes)
{
    struct tri_key key =
        tri_route_key(route_of(1, 1), text("123e4567-e89b-12d3-a456-426614174000"));

    cr_expect_eq(key.hi, UINT64_C(0x98ac8a23c2dadb61));
    cr_expect_eq(key.lo, UINT64_C(0x7c787bb3fc4a8a25));
}

Test(route, D06_another_secret_gives_another_key)
{
    struct tri_key first = tri_route_key(route_of(1, 1), text("id"));
    struct tri_key second;
    uint8_t secret[TRI_ROUTE_SECRET_BYTES];
    static struct tri_route route;

    for (uint32_t bit = 0; bit < 8 * TRI_ROUTE_SECRET_BYTES; bit++) {
        memset(secret, 1, sizeof(secret));
        secret[bit / 8] ^= (uint8_t)(1U << bit % 8);
        tri_route_init(&route, secret, 1);
        second = tri_route_key(&route, text("id"));
        cr_expect_neq(first.hi, second.hi);
        cr_expect_neq(first.lo, second.lo);
    }
}

Test(route, H02_shards_share_the_ids_evenly)
{
    static const uint32_t counts[] = {1, 2, 3, 7, 64};

    for (uint32_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        const struct tri_route *route = route_of(9, counts[i]);
        uint32_t owned[TRI_SHARDS_MAX] = {0};

        for (uint32_t j = 0; j < 64000; j++) {
            char id[16];
            uint32_t shard = 0;

            (void)snprintf(id, sizeof(id), "message-%u", j);
            shard = tri_route_shard(route, tri_route_key(route, text(id)));
            cr_assert_lt(shard, counts[i]);
            owned[shard]++;
        }
        for (uint32_t j = 0; j < counts[i]; j++) {
            cr_expect_gt(owned[j], 64000 / counts[i] * 8 / 10);
            cr_expect_lt(owned[j], 64000 / counts[i] * 12 / 10 + 1);
        }
    }
}

Test(route, slot_is_the_top_twelve_bits_and_runs_are_contiguous)
{
    const struct tri_route *route = route_of(9, 3);

    cr_expect_eq(tri_route_slot((struct tri_key){.lo = UINT64_MAX, .hi = 0}), 0);
    cr_expect_eq(tri_route_slot((struct tri_key){.lo = 0, .hi = UINT64_MAX}), 4095);
    cr_expect_eq(tri_route_slot((struct tri_key){.lo = 0, .hi = UINT64_C(1) << 52}), 1);
    cr_expect_eq(route->shard_of_slot[0], 0);
    cr_expect_eq(route->shard_of_slot[4095], 2);
    for (uint32_t slot = 1; slot < 4096; slot++) {
        cr_expect_geq(route->shard_of_slot[slot], route->shard_of_slot[slot - 1]);
    }
}

Test(route, R02_content_hash_is_sha256_cut_to_sixteen_bytes)
{
    /* SHA-256("abc") is a published example. */
    static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                                  0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23};
    struct tri_hash hash;

    hash = tri_digest_content((struct tri_bytes){(const uint8_t *)"abc", 3});
    cr_expect_arr_eq(hash.at, abc, 16);
    hash = tri_digest_content((struct tri_bytes){(const uint8_t *)"abd", 3});
    cr_expect_neq(hash.at[0], abc[0]);
}
