/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the proofs of a handshake are HMAC-SHA256, of one piece or of several.
 * Method: the vectors of RFC 4231, with keys of less and of more than a block.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "io/secret.h"

static void expect_mac(const uint8_t mac[TRI_MAC_BYTES], const char *hex)
{
    char text[2 * TRI_MAC_BYTES + 1];

    for (uint32_t index = 0; index < TRI_MAC_BYTES; index++) {
        (void)snprintf(text + 2 * index, 3, "%02x", mac[index]);
    }
    cr_expect_str_eq(text, hex);
}

static struct tri_bytes bytes_of(const char *text)
{
    return (struct tri_bytes){(const uint8_t *)text, (uint32_t)strlen(text)};
}

Test(secret, short_key_is_rfc_4231_case_2)
{
    struct tri_secret secret = {.bytes = 4, .at = "Jefe"};
    struct tri_bytes part = bytes_of("what do ya want for nothing?");
    uint8_t mac[TRI_MAC_BYTES];

    tri_secret_mac(&secret, &part, 1, mac);
    expect_mac(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

Test(secret, parts_are_joined)
{
    struct tri_secret secret = {.bytes = 4, .at = "Jefe"};
    struct tri_bytes parts[] = {bytes_of("what do ya "), bytes_of(""),
                                bytes_of("want for nothing?")};
    uint8_t mac[TRI_MAC_BYTES];

    tri_secret_mac(&secret, parts, 3, mac);
    expect_mac(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

Test(secret, long_key_is_hashed_first)
{
    struct tri_secret secret = {.bytes = 128};
    struct tri_bytes part = bytes_of("Test Using Larger Than Block-Size Key - Hash Key First");
    uint8_t mac[TRI_MAC_BYTES];

    /* RFC 4231 case 6 with a key of 128 bytes instead of 131; computed with Python's hmac. */
    memset(secret.at, 0xaa, sizeof(secret.at));
    tri_secret_mac(&secret, &part, 1, mac);
    expect_mac(mac, "f4c628398866742a99f3e2550d7f6ca135a8995a3940a190d75636a4fe27d788");
}

Test(secret, equality_looks_at_every_byte)
{
    uint8_t one[TRI_MAC_BYTES] = {1, 2, 3};
    uint8_t other[TRI_MAC_BYTES] = {1, 2, 3};

    cr_expect(tri_secret_equal(one, other));
    for (uint32_t index = 0; index < TRI_MAC_BYTES; index++) {
        other[index] ^= 1;
        cr_expect_not(tri_secret_equal(one, other));
        other[index] ^= 1;
    }
}

Test(secret, random_bytes_differ)
{
    uint8_t one[32] = {0};
    uint8_t other[32] = {0};

    cr_assert_eq(tri_secret_random(one, sizeof(one)), 0);
    cr_assert_eq(tri_secret_random(other, sizeof(other)), 0);
    cr_expect_neq(memcmp(one, other, sizeof(one)), 0);
}
