/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an encoded message is what the engine takes: canonical bytes, their
 * hash, and pointers that lie in them; what is no message is refused with the
 * name of its field.
 * Method: bytes and hash made independently with Python's msgpack and hashlib;
 * every field made too long; every room that is too small.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tricast/keys.h"

static uint8_t room[TRI_MESSAGE_BYTES_MAX + 1];
static char filler[TRI_PAYLOAD_BYTES_MAX + 1];

static struct tri_text text(const char *at)
{
    return (struct tri_text){at, (uint32_t)strlen(at)};
}

static struct tri_message message_of(void)
{
    return (struct tri_message){
        .id = text("id-1"),
        .type = TRI_TYPE_REGULATORY_ACTION,
        .priority = TRI_PRIORITY_NORMAL,
        .atomicity = TRI_GUARANTEED,
        .ttl_s = 60,
        .timestamp_ms = 1700000000000,
        .source_chain = text("eip155:1"),
        .source_node = text("node-1"),
        .target_count = 2,
        .targets = {text("eip155:1"), text("eip155:10")},
        .asset_count = 1,
        .assets = {text("bond-1")},
        .payload = {(const uint8_t *)"pay", 3},
    };
}

/* The field that `message` is refused for, NULL if it is not. */
static const char *refused(const struct tri_message *message)
{
    struct tri_message encoded;
    struct tri_hash hash;
    const char *field = NULL;
    enum tri_result result =
        tri_message_encode(message, room, TRI_MESSAGE_BYTES_MAX, &encoded, &hash, &field);

    cr_assert_eq(result, field == NULL ? TRI_OK : TRI_VIOLATION);
    return field;
}

Test(message, R02_the_hash_is_sha256_of_the_canonical_bytes)
{
    /* python3: msgpack.packb() of the fields of docs/wire.md in their order, joined; hashlib. */
    static const uint8_t digest[] = {0x45, 0x15, 0xf3, 0xdc, 0xb5, 0x2c, 0xd5, 0xfd,
                                     0x01, 0x97, 0x1c, 0xe1, 0xb7, 0xad, 0x61, 0x56};
    static const uint8_t inner[] = {0x01, 0x00, 0x91, 0xa6, 'b', 'o', 'n',  'd', '-',
                                    '1',  0xc4, 0x03, 'p',  'a', 'y', 0xc0, 0xc0};
    struct tri_message message = message_of();
    struct tri_message encoded;
    struct tri_hash hash;
    const char *field;

    cr_assert_eq(tri_message_encode(&message, room, sizeof(room), &encoded, &hash, &field), TRI_OK);
    cr_expect_eq(encoded.canonical.bytes, 82);
    cr_expect_arr_eq(hash.at, digest, sizeof(digest));
    cr_assert_eq(encoded.inner.bytes, sizeof(inner));
    cr_expect_arr_eq(encoded.inner.at, inner, sizeof(inner));
}

Test(message, encoded_says_the_same_and_borrows_nothing_of_the_original)
{
    struct tri_message message = message_of();
    struct tri_message encoded;
    struct tri_hash hash;
    const char *field;
    char id[] = "id-1";
    char asset[] = "bond-1";
    uint8_t payload[] = "pay";

    message.id.at = id;
    message.assets[0].at = asset;
    message.payload.at = payload;
    cr_assert_eq(tri_message_encode(&message, room, sizeof(room), &encoded, &hash, &field), TRI_OK);
    memset(id, '?', sizeof(id));
    memset(asset, '?', sizeof(asset));
    memset(payload, '?', sizeof(payload));
    cr_expect_eq(encoded.id.bytes, 4);
    cr_expect_arr_eq(encoded.id.at, "id-1", 4);
    cr_expect_eq((const uint8_t *)encoded.id.at - encoded.canonical.at, 1);
    cr_expect_arr_eq(encoded.assets[0].at, "bond-1", 6);
    cr_expect_arr_eq(encoded.payload.at, "pay", 3);
    cr_expect_eq(encoded.target_count, 2);
    cr_expect_arr_eq(encoded.targets[1].at, "eip155:10", 9);
    cr_expect_eq(encoded.atomicity, TRI_GUARANTEED);
    cr_expect_eq(encoded.ttl_s, 60);
    cr_expect_not(encoded.envelope.is_given);
    cr_expect_not(encoded.signature.is_given);
}

Test(message, H01_a_field_that_is_too_long_is_named)
{
    static const struct tri_text long_text = {filler, 1025};
    struct tri_message message;

    memset(filler, 'x', sizeof(filler));
#define REFUSED(change, name)                      \
    do {                                           \
        message = message_of();                    \
        change;                                    \
        cr_expect_str_eq(refused(&message), name); \
    } while (0)
    REFUSED(message.id = long_text, "originalMessageId");
    REFUSED(message.source_chain = long_text, "sourceChainId");
    REFUSED(message.source_node = long_text, "sourceNodeId");
    REFUSED(message.target_count = 65, "targets");
    REFUSED(message.targets[1] = long_text, "targets");
    REFUSED(message.asset_count = 17, "assets");
    REFUSED(message.assets[0] = long_text, "assets");
    REFUSED(message.payload = ((struct tri_bytes){(const uint8_t *)filler, 65537}), "payload");
    REFUSED(message.envelope = ((struct tri_envelope){true, long_text, 1, 1}), "envelope");
    REFUSED((message.signature.is_given = true,
             message.signature.bytes = (struct tri_bytes){(const uint8_t *)filler, 1025}),
            "signature");
    REFUSED((message.signature.is_given = true, message.signature.bytes.at = (uint8_t *)filler,
             message.signature.bytes.bytes = 1, message.signature.signer_set = long_text),
            "signerSet");
}

Test(message, H01_a_field_that_is_not_well_formed_is_named)
{
    struct tri_message message;

    REFUSED(message.id.bytes = 0, "originalMessageId");
    REFUSED(message.ttl_s = 0, "ttlSeconds");
    REFUSED(message.priority = TRI_PRIORITY_COUNT, "priority");
    REFUSED(message.source_chain = text("base"), "sourceChainId");
    REFUSED(message.target_count = 0, "targets");
    REFUSED(message.targets[1] = text("eip155:1"), "targets"); /* H03: twice */
    REFUSED(message.asset_count = 0, "assets");
    REFUSED((message.asset_count = 2, message.assets[1] = text("bond-1")), "assets"); /* twice */
    REFUSED(message.subtype = TRI_SUBTYPE_EXECUTE, "subtype");
    REFUSED((message.envelope = (struct tri_envelope){true, {"e", 1}, 2, 1}), "envelope");
    message = message_of();
    cr_expect_null(refused(&message));
}

Test(message, room_that_is_too_small_is_not_written_past)
{
    struct tri_message message = message_of();
    struct tri_message encoded;
    struct tri_hash hash;
    const char *field;
    uint32_t bytes = 3 + 1 + 82; /* the array's head, the type, the canonical bytes */

    for (uint32_t less = 0; less < bytes; less++) {
        room[less] = 0xee;
        cr_expect_eq(tri_message_encode(&message, room, less, &encoded, &hash, &field), TRI_FULL);
        cr_expect_eq(room[less], 0xee, "room of %u", less);
    }
    cr_expect_eq(tri_message_encode(&message, room, bytes, &encoded, &hash, &field), TRI_OK);
}

Test(message, the_longest_message_fits)
{
    static char targets[TRI_TARGETS_MAX][TRI_CHAIN_ID_BYTES_MAX];
    static char assets[TRI_ASSETS_MAX][TRI_ASSET_ID_BYTES_MAX];
    struct tri_message message = message_of();

    memset(filler, 'x', sizeof(filler));
    message.id.bytes = TRI_ID_BYTES_MAX;
    message.id.at = filler;
    message.source_node = (struct tri_text){filler, TRI_NODE_ID_BYTES_MAX};
    message.timestamp_ms = UINT64_MAX;
    message.target_count = TRI_TARGETS_MAX;
    for (uint32_t i = 0; i < TRI_TARGETS_MAX; i++) {
        memset(targets[i], (int)('A' + i % 26), sizeof(targets[i]));
        memcpy(targets[i], "abcdefgh:", 9);
        targets[i][9] = (char)('a' + i / 26);
        message.targets[i] = (struct tri_text){targets[i], TRI_CHAIN_ID_BYTES_MAX};
    }
    message.asset_count = TRI_ASSETS_MAX;
    for (uint32_t i = 0; i < TRI_ASSETS_MAX; i++) {
        message.assets[i] = (struct tri_text){assets[i], TRI_ASSET_ID_BYTES_MAX};
        memset(assets[i], (int)('a' + i), sizeof(assets[i]));
    }
    message.payload = (struct tri_bytes){(const uint8_t *)filler, TRI_PAYLOAD_BYTES_MAX};
    message.envelope = (struct tri_envelope){true, {filler, TRI_ID_BYTES_MAX}, 1, 16};
    message.signature = (struct tri_signature){true,
                                               TRI_SIGNATURE_THRESHOLD,
                                               {(const uint8_t *)filler, TRI_SIGNATURE_BYTES_MAX},
                                               {filler, TRI_ID_BYTES_MAX},
                                               255};
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        message.timeout_ms[phase] = UINT32_MAX;
    }
    cr_expect_null(refused(&message));
}
