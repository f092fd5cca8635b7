/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec against hostile bytes and against msgpack-c.
 *
 * Every frame is decoded from a heap block of exactly its size, so that the
 * address sanitizer sees any byte read behind it.  Random frames come from
 * TRI_SEED (default 1); a failure names the seed of its frame.  What the
 * published vectors cover is in test_wire_vectors.c.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/wire_oracle.h"

#define RANDOM_FRAMES 120000U
#define ROOM          (TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES)

static struct tri_oracle_memory memory;
static struct tri_frame drawn;
static struct tri_frame decoded;
static struct tri_wire_fault fault;
static uint8_t encoded[ROOM];
static uint8_t again[ROOM];

/* The seed of the run as a number: the first 15 hexadecimal digits. */
static uint64_t seed_of_run(void)
{
    const char *text = getenv("TRI_SEED");
    char digits[16] = "1";

    if (text != NULL && text[0] != '\0') {
        (void)snprintf(digits, sizeof digits, "%s", text);
    }
    return strtoull(digits, NULL, 16);
}

/* Decodes from a block that ends where the frame ends. */
static enum tri_result decode_exactly(const uint8_t *body, uint32_t bytes)
{
    uint8_t *copy = malloc(bytes);
    enum tri_result result;

    cr_assert_not_null(copy);
    memcpy(copy, body, bytes);
    result = tri_wire_decode(copy, bytes, &decoded, &fault);
    free(copy);
    return result;
}

/* A frame that was accepted means the same to msgpack-c, byte for byte. */
static bool agrees_with_oracle(const uint8_t *body, uint32_t bytes)
{
    msgpack_sbuffer buffer;
    bool is_same;

    msgpack_sbuffer_init(&buffer);
    tri_oracle_pack(&decoded, &buffer);
    is_same = buffer.size == bytes && memcmp(buffer.data, body, bytes) == 0;
    msgpack_sbuffer_destroy(&buffer);
    return is_same && tri_oracle_sees(body, bytes);
}

Test(wire, random_frames_are_what_msgpack_c_writes_and_reads)
{
    uint64_t seed = seed_of_run() * RANDOM_FRAMES;

    for (uint64_t i = 0; i < RANDOM_FRAMES; i++) {
        uint32_t bytes;

        tri_oracle_draw(seed + i, &memory, &drawn);
        decoded = drawn;
        bytes = tri_wire_encode(&drawn, encoded, ROOM);
        cr_assert(bytes > TRI_FRAME_HEADER_BYTES && agrees_with_oracle(encoded + 4, bytes - 4),
                  "frame of seed %llu is written otherwise", (unsigned long long)(seed + i));
        cr_assert(tri_wire_decode(encoded + 4, bytes - 4, &decoded, &fault) == TRI_OK,
                  "frame of seed %llu is refused: %s", (unsigned long long)(seed + i), fault.field);
        cr_assert(agrees_with_oracle(encoded + 4, bytes - 4),
                  "frame of seed %llu is read otherwise", (unsigned long long)(seed + i));
        cr_assert(tri_wire_encode(&decoded, again, ROOM) == bytes &&
                  memcmp(encoded, again, bytes) == 0);
        tri_oracle_strip(&decoded);
        cr_assert(tri_wire_encode(&decoded, again, ROOM) == bytes &&
                      memcmp(encoded, again, bytes) == 0,
                  "frame of seed %llu changes on its way", (unsigned long long)(seed + i));
    }
}

Test(wire, every_truncation_of_a_frame_is_refused)
{
    uint64_t seed = seed_of_run();
    uint64_t types_seen = 0;

    for (uint32_t i = 0; i < 120; i++) {
        uint32_t bytes;

        tri_oracle_draw(seed + i, &memory, &drawn);
        types_seen |= UINT64_C(1) << drawn.type;
        bytes = tri_wire_encode(&drawn, encoded, ROOM) - 4;
        for (uint32_t cut = 1; cut < bytes && cut < 6000; cut++) {
            cr_assert(decode_exactly(encoded + 4, cut) == TRI_VIOLATION,
                      "frame of seed %llu cut to %u", (unsigned long long)(seed + i), cut);
            cr_assert(fault.at <= cut);
            cr_assert_not_null(fault.field);
        }
    }
    cr_assert(__builtin_popcountll(types_seen) == 18, "%llx", (unsigned long long)types_seen);
}

Test(wire, no_changed_byte_is_read_otherwise_than_by_msgpack_c)
{
    uint64_t seed = seed_of_run() + 1000;
    uint32_t accepted = 0;

    for (uint32_t i = 0; i < 60; i++) {
        uint32_t bytes;

        tri_oracle_draw(seed + i, &memory, &drawn);
        bytes = tri_wire_encode(&drawn, encoded, ROOM) - 4;
        for (uint32_t at = 0; at < bytes && at < 1200; at++) {
            uint8_t byte = encoded[4 + at];
            uint8_t *copy = malloc(bytes);

            cr_assert_not_null(copy);
            for (uint32_t bit = 0; bit < 9; bit++) {
                encoded[4 + at] = bit == 8 ? 0xc1 : (uint8_t)(byte ^ (1U << bit));
                memcpy(copy, encoded + 4, bytes);
                if (tri_wire_decode(copy, bytes, &decoded, &fault) != TRI_OK) {
                    cr_assert(fault.code != TRI_ERROR_NONE && fault.at <= bytes);
                    continue;
                }
                accepted++;
                /* Another type may leave trailing elements, which only the reader sees. */
                cr_assert(decoded.type == drawn.type ? agrees_with_oracle(copy, bytes)
                                                     : tri_oracle_sees(copy, bytes),
                          "seed %llu, byte %u", (unsigned long long)(seed + i), at);
            }
            encoded[4 + at] = byte;
            free(copy);
        }
    }
    cr_assert_gt(accepted, 0);
}

Test(wire, hostile_counts_are_refused_before_anything_is_followed)
{
    static const struct {
        const char *bytes;
        uint32_t count;
    } bodies[] = {
        {"\xdd\x06\x00\x00\x00", 5},
        {"\xdd\xff\xff\xff\xff\x20", 6},
        {"\xdc\xff\xff\x10", 4},
        {"\x92\x18\xdd\xff\xff\xff\xff", 7},
        {"\x92\x18\xdf\x7f\xff\xff\xff", 7},
        {"\x92\x18\xc6\xff\xff\xff\xff", 7},
        {"\x92\x18\xc9\xff\xff\xff\xff", 7},
        {"\x92\x18\xdb\xff\xff\xff\xff", 7},
    };

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        cr_expect_eq(decode_exactly((const uint8_t *)bodies[i].bytes, bodies[i].count),
                     TRI_VIOLATION);
        cr_expect_eq(fault.code, TRI_ERROR_MALFORMED_FRAME);
    }
}

Test(wire, every_two_byte_body_is_judged)
{
    uint32_t accepted = 0;

    for (uint32_t i = 0; i < 65536; i++) {
        const uint8_t body[] = {(uint8_t)(i >> 8), (uint8_t)i};

        accepted += decode_exactly(body, 2) == TRI_OK;
    }
    cr_assert_eq(accepted, 3); /* WATCH, STATS_GET and FINALITY_GET */
}

/* STATS with `value` as its only field, and an EVENT with it as its last, a u64. */
static void judge_value(const uint8_t *value, uint32_t bytes)
{
    static const uint8_t stats[] = {0x92, TRI_FRAME_STATS};
    static const uint8_t event[] = {
        0x98, TRI_FRAME_EVENT, 0xa1, 'i', 0, 0xa1, 'w', 0x92, 0, 0, 0x90, 0};
    const bool is_container = value[0] >= 0xdc && value[0] <= 0xdf;
    const bool is_uint = value[0] < 0x80 || (value[0] >= 0xcc && value[0] <= 0xcf);
    bool is_canonical;

    memcpy(encoded, stats, sizeof stats);
    memcpy(encoded + sizeof stats, value, bytes);
    /* Counts in two or four bytes have no room for what they must announce. */
    is_canonical = !is_container && tri_oracle_sees(encoded, sizeof stats + bytes);
    cr_assert_eq(tri_wire_decode(encoded, sizeof stats + bytes, &decoded, &fault) == TRI_OK,
                 is_canonical, "%02x %02x %02x", value[0], value[1], value[2]);
    memcpy(encoded, event, sizeof event);
    memcpy(encoded + sizeof event, value, bytes);
    cr_assert_eq(tri_wire_decode(encoded, sizeof event + bytes, &decoded, &fault) == TRI_OK,
                 is_canonical && is_uint, "%02x %02x %02x", value[0], value[1], value[2]);
}

Test(wire, a_value_is_accepted_exactly_in_its_shortest_form)
{
    static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff};

    for (uint32_t i = 0; i < 65536; i++) {
        judge_value((const uint8_t[]){(uint8_t)(i >> 8), (uint8_t)i, 0}, 2);
    }
    for (uint32_t i = 0; i < 65536; i++) {
        judge_value((const uint8_t[]){0xcd, (uint8_t)(i >> 8), (uint8_t)i}, 3);
        judge_value((const uint8_t[]){0xd1, (uint8_t)(i >> 8), (uint8_t)i}, 3);
    }
    /* All integers of four and eight bytes made of edges: a prefix, one byte, a suffix. */
    for (uint32_t i = 0; i < 8 * 125; i++) {
        uint8_t value[9] = {0};

        memset(value + 1, edges[i % 5], 8);
        value[1 + i / 125] = edges[i / 5 % 5];
        memset(value + 2 + i / 125, edges[i / 25 % 5], 7 - i / 125);
        for (uint8_t head = 0xce; head <= 0xd3; head++) {
            value[0] = head;
            judge_value(value, head == 0xce || head == 0xd2 ? 5 : 9);
        }
    }
}

/* Strings, binaries and extensions around the sizes where their forms change. */
Test(wire, a_length_is_accepted_exactly_in_its_shortest_form)
{
    static const uint8_t heads[] = {0xd9, 0xda, 0xdb, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9};
    static const uint32_t lengths[] = {0, 1, 2, 3, 4, 8, 15, 16, 31, 32, 255, 256, 65535, 65536};
    static const uint8_t widths[] = {1, 2, 4, 1, 2, 4, 1, 2, 4};

    for (size_t i = 0; i < sizeof heads * (sizeof lengths / sizeof lengths[0]); i++) {
        size_t form = i % sizeof heads;
        uint32_t length = lengths[i / sizeof heads];
        uint32_t at = 3;

        if (length >> (8 * widths[form] - 1) > 1) {
            continue;
        }
        memset(encoded, 0, sizeof encoded);
        encoded[0] = 0x92;
        encoded[1] = TRI_FRAME_STATS;
        encoded[2] = heads[form];
        for (uint32_t byte = widths[form]; byte > 0; byte--) {
            encoded[at++] = (uint8_t)(length >> (8 * (byte - 1)));
        }
        at += length + (heads[form] >= 0xc7 && heads[form] <= 0xc9 ? 1 : 0);
        cr_assert_eq(tri_wire_decode(encoded, at, &decoded, &fault) == TRI_OK,
                     tri_oracle_sees(encoded, at), "%02x of %u", heads[form], length);
        cr_assert_eq(decode_exactly(encoded, at - 1), TRI_VIOLATION);
    }
}

Test(wire, H01_payload_ends_at_64_KiB)
{
    static uint8_t payload[TRI_PAYLOAD_BYTES_MAX + 1];
    msgpack_sbuffer buffer;
    uint64_t seed = 0;

    do {
        tri_oracle_draw(seed++, &memory, &drawn);
    } while (drawn.type != TRI_FRAME_SUBMIT);

    for (uint32_t extra = 0; extra < 2; extra++) {
        drawn.submit.payload = (struct tri_bytes){payload, TRI_PAYLOAD_BYTES_MAX + extra};
        msgpack_sbuffer_init(&buffer);
        tri_oracle_pack(&drawn, &buffer);
        cr_assert_eq(decode_exactly((const uint8_t *)buffer.data, (uint32_t)buffer.size),
                     extra == 0 ? TRI_OK : TRI_VIOLATION);
        msgpack_sbuffer_destroy(&buffer);
    }
    cr_assert_eq(fault.code, TRI_ERROR_FIELD_OUT_OF_RANGE);
    cr_assert_str_eq(fault.field, "payload");
}

/* The verdict on `drawn` as msgpack-c writes it. */
static enum tri_result decode_drawn(uint32_t *bytes)
{
    msgpack_sbuffer buffer;

    msgpack_sbuffer_init(&buffer);
    tri_oracle_pack(&drawn, &buffer);
    cr_assert_leq(buffer.size, ROOM);
    *bytes = (uint32_t)buffer.size;
    memcpy(encoded, buffer.data, buffer.size);
    msgpack_sbuffer_destroy(&buffer);
    return decode_exactly(encoded, *bytes);
}

Test(wire, H03_targets_are_1_to_64_different_chain_ids)
{
    static char ids[TRI_TARGETS_MAX][16];
    uint64_t seed = 0;
    uint32_t bytes;
    uint8_t *list;

    do {
        tri_oracle_draw(seed++, &memory, &drawn);
    } while (drawn.type != TRI_FRAME_SUBMIT);
    for (uint32_t i = 0; i < TRI_TARGETS_MAX; i++) {
        int length = snprintf(ids[i], sizeof ids[i], "eip155:%u", 1000 + i);

        drawn.submit.targets[i] = (struct tri_text){ids[i], (uint32_t)length};
    }
    drawn.submit.target_count = 1;
    cr_assert_eq(decode_drawn(&bytes), TRI_OK);
    drawn.submit.target_count = 0;
    cr_assert_eq(decode_drawn(&bytes), TRI_VIOLATION);
    cr_assert_str_eq(fault.field, "targets");
    drawn.submit.target_count = 64;
    cr_assert_eq(decode_drawn(&bytes), TRI_OK);

    list = memmem(encoded, bytes,
                  "\xdc\x00\x40\xab"
                  "eip155:1000",
                  15);
    cr_assert_not_null(list);
    list[2] = 65;
    cr_assert_eq(decode_exactly(encoded, bytes), TRI_VIOLATION);
    cr_assert_eq(fault.code, TRI_ERROR_FIELD_OUT_OF_RANGE);
    cr_assert_str_eq(fault.field, "targets");

    drawn.submit.targets[63] = drawn.submit.targets[0];
    cr_assert_eq(decode_drawn(&bytes), TRI_VIOLATION);
    cr_assert_eq(fault.code, TRI_ERROR_FIELD_OUT_OF_RANGE);
    cr_assert_str_eq(fault.field, "targets");
    drawn.submit.targets[63].bytes = 7; /* "eip155:" */
    cr_assert_eq(decode_drawn(&bytes), TRI_VIOLATION);
    cr_assert_str_eq(fault.field, "targets");
}

Test(wire, peek_finds_the_id_that_decode_finds)
{
    static const uint8_t no_id[] = {0x93, 25, 0xa1, 'x', 1};
    enum tri_frame_type type;
    struct tri_text id;

    for (uint64_t seed = 1; seed < 400; seed++) {
        uint32_t bytes;

        tri_oracle_draw(seed, &memory, &drawn);
        bytes = tri_wire_encode(&drawn, encoded, ROOM) - 4;
        cr_assert_eq(tri_wire_peek(encoded + 4, bytes, &type, &id, &fault), TRI_OK);
        cr_assert_eq(type, drawn.type);
        if (drawn.type > TRI_FRAME_WELCOME) { /* in every union member the id is the first field */
            cr_assert_eq(id.bytes, drawn.ask.id.bytes);
            cr_assert_eq(memcmp(id.at, drawn.ask.id.at, id.bytes), 0);
        } else {
            cr_assert_eq(id.bytes, 0);
        }
    }
    cr_assert_eq(tri_wire_peek(no_id, sizeof no_id, &type, &id, &fault), TRI_OK);
    cr_assert_eq(id.bytes, 0);
    cr_assert_eq(tri_wire_peek(no_id, 1, &type, &id, &fault), TRI_VIOLATION);
}

Test(wire, encode_refuses_every_buffer_that_is_too_small)
{
    for (uint64_t seed = 1; seed < 60; seed++) {
        uint32_t bytes;

        tri_oracle_draw(seed, &memory, &drawn);
        bytes = tri_wire_encode(&drawn, encoded, ROOM);
        for (uint32_t room = 0; room < bytes && room < 3000; room++) {
            uint8_t *to = malloc(room + 1);

            cr_assert_eq(tri_wire_encode(&drawn, to, room), 0);
            free(to);
        }
        cr_assert_eq(tri_wire_encode(&drawn, again, bytes), bytes);
    }
}

Test(wire, P05_an_encoded_list_of_tokens_is_split_into_them)
{
    static const char uuid[] = "\x91\xd9\x24"
                               "8f14e45f-ceea-467f-9b6d-1c2f3a4b5c6d";
    static const char four[] = "\x94\xa1w\xa1x\xa1y\xa2zz";
    struct tri_text tokens[TRI_TOKENS_MAX];

    cr_assert_eq(tri_tokens_get((struct tri_bytes){(const uint8_t *)uuid, 39}, tokens), 1);
    cr_assert_eq(tokens[0].bytes, 36);
    cr_assert_eq(memcmp(tokens[0].at, "8f14e45f-ceea-467f-9b6d-1c2f3a4b5c6d", 36), 0);
    cr_assert_eq(tri_tokens_get((struct tri_bytes){(const uint8_t *)four, 10}, tokens), 4);
    cr_assert_eq(tokens[3].bytes, 2);
    cr_assert_eq(memcmp(tokens[3].at, "zz", 2), 0);
    cr_assert_eq(tri_tokens_get((struct tri_bytes){(const uint8_t *)"\x90", 1}, tokens), 0);
    cr_assert_eq(tri_tokens_get((struct tri_bytes){(const uint8_t *)"\x95", 1}, tokens), 0);
    cr_assert_eq(tri_tokens_get((struct tri_bytes){NULL, 0}, tokens), 0);
}

Test(wire, text_rules)
{
    static const char *good[] = {"abc:1", "eip155:8453", "abcdefgh:-_aZ0"};
    static const char *bad[] = {
        "", ":", "ab:1", "abc:", "abc", "aBc:1", "abc:\xc3\xbc", "abcdefghi:1"};

    for (size_t i = 0; i < 3; i++) {
        cr_expect(tri_text_is_chain_id((struct tri_text){good[i], (uint32_t)strlen(good[i])}));
    }
    for (size_t i = 0; i < 8; i++) {
        cr_expect(!tri_text_is_chain_id((struct tri_text){bad[i], (uint32_t)strlen(bad[i])}));
    }
    cr_expect(tri_text_is_utf8((struct tri_text){"\xf4\x8f\xbf\xbf", 4}));
    cr_expect(!tri_text_is_utf8((struct tri_text){"\xf4\x90\x80\x80", 4}));
    cr_expect(!tri_text_is_utf8((struct tri_text){"\xf0\x80\x80\x80", 4}));
    cr_expect(!tri_text_is_utf8((struct tri_text){"\xe2\x82", 2}));
    cr_expect(!tri_text_is_utf8((struct tri_text){"\x80", 1}));
}

Test(wire, ledger_payload_is_a_map_of_exactly_three_texts)
{
    static const struct tri_action_payload action = {
        .asset = {"isin:1", 6}, .action = {"FREEZE", 6}, .reason = {"order 7", 7}};
    static const char *bad[] = {
        "\x80", /* empty */
        "\x83\xa7"
        "assetId\xa1"
        "a\xa6"
        "action\xa1"
        "b\xa6"
        "actio?\xa0", /* unknown key */
        "\x83\xa7"
        "assetId\xa1"
        "a\xa6"
        "action\xa1"
        "b\xa6"
        "action\xa1"
        "c", /* twice */
        "\x83\xa7"
        "assetId\xa0\xa6"
        "action\xa1"
        "b\xa6"
        "reason\xa1"
        "c", /* empty asset */
        "\x83\xa7"
        "assetId\xa1"
        "a\xa6"
        "action\xa1"
        "b\xa6"
        "reason\xa1"
        "cx", /* a byte more */
    };
    static const char swapped[] = "\x83\xa6"
                                  "reason\xa1"
                                  "c\xa6"
                                  "action\xa1"
                                  "b\xa7"
                                  "assetId\xa1"
                                  "a";
    struct tri_action_payload found;
    uint8_t to[64];
    uint32_t bytes = tri_action_encode(&action, to, sizeof to);

    cr_assert_eq(bytes, 1 + 8 + 7 + 7 + 7 + 7 + 8);
    cr_assert_eq(tri_action_decode((struct tri_bytes){to, bytes}, &found), TRI_OK);
    cr_assert_eq(memcmp(found.reason.at, "order 7", 7), 0);
    cr_assert_eq(memcmp(found.asset.at, "isin:1", 6), 0);
    for (uint32_t cut = 0; cut < bytes; cut++) {
        cr_expect_eq(tri_action_decode((struct tri_bytes){to, cut}, &found), TRI_VIOLATION);
        cr_expect_eq(tri_action_encode(&action, to, cut), 0);
        cr_assert_eq(tri_action_encode(&action, to, sizeof to), bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(
            tri_action_decode((struct tri_bytes){(const uint8_t *)bad[i], (uint32_t)strlen(bad[i])},
                              &found),
            TRI_VIOLATION, "payload %zu", i);
    }
    cr_assert_eq(
        tri_action_decode((struct tri_bytes){(const uint8_t *)swapped, sizeof swapped - 1}, &found),
        TRI_OK);
    cr_assert_eq(found.asset.at[0], 'a');
}
