/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a record that is read is the one that was written, and any other bytes are found out.
 *
 * Method: one record of three messages, two with contents; every beginning and every flipped bit of
 * it; and headers that are genuine but say something else than their leaves.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "io/archive_record.h"
#include "tests/unit/archive_kit.h"

#define RECORD_BYTES_MAX 4096U

static struct tri_signer signer;
static uint8_t frame[RECORD_BYTES_MAX];
static uint32_t body_bytes;

/* Messages 5, 6 and 7: chains 1 and 2, 1 and 3, 1 and 4. */
static struct tri_finality_header header_make(void)
{
    static const struct tri_text own[] = {
        {"eip155:1", 8}, {"eip155:2", 8}, {"eip155:3", 8}, {"eip155:4", 8}};
    struct tri_finality_header header = {.stream = {"12-0", 4},
                                         .oss_epoch = 9,
                                         .issued_at_ms = 1700000000007,
                                         .chain_count = 4,
                                         .chains = own,
                                         .message_count = 3};
    struct tri_tree tree;
    uint8_t hash[TRI_DIGEST_BYTES];

    memset(header.archive, 0xa1, sizeof(header.archive));
    memset(header.previous, 0xb2, sizeof(header.previous));
    memcpy(header.key, signer.public_key, sizeof(header.key));
    tri_tree_init(&tree);
    for (uint32_t i = 0; i < 3; i++) {
        tri_tree_leaf(kit_entries[i].leaf, hash);
        tri_tree_add(&tree, hash);
    }
    tri_tree_root(&tree, header.root);
    return header;
}

static void record_make(const struct tri_finality_header *header)
{
    static uint8_t bytes[TRI_FINALITY_HEADER_BYTES_MAX];
    struct tri_bytes made = {bytes, tri_finality_header_put(header, bytes)};
    uint8_t signature[TRI_SIGNER_SIGNATURE_BYTES];
    uint64_t all = tri_archive_record_bytes(made.bytes, kit_entries, 3, true);

    cr_assert_lt(all, sizeof(frame));
    tri_signer_sign(&signer, made.at, made.bytes, signature);
    tri_archive_record_put(made, signature, kit_entries, 3, true, frame);
    body_bytes = (uint32_t)all - TRI_ARCHIVE_FRAME_BYTES;
}

static void setup(void)
{
    struct tri_finality_header header;

    signer = kit_signer(3);
    kit_make(5, 3, true);
    kit_entries[1].content = (struct tri_bytes){0};
    header = header_make();
    record_make(&header);
}

TestSuite(archive_record, .init = setup);

static bool passes(const uint8_t *body, uint32_t bytes, const char **fault)
{
    struct tri_archive_record record;
    uint8_t *own = malloc(bytes + 1); /* of its own size, for a sanitizer */
    bool is_right = false;

    cr_assert_not_null(own);
    memcpy(own, body, bytes);
    *fault = NULL;
    is_right = tri_archive_record_get((struct tri_bytes){own, bytes}, &record, fault) &&
               tri_archive_record_check(&record, fault);
    cr_assert(is_right || (*fault != NULL && strlen(*fault) > 10));
    if (is_right && !tri_archive_record_is_signed(&record)) {
        *fault = "signature";
        is_right = false;
    }
    free(own);
    return is_right;
}

Test(archive_record, F02_a_record_is_read_as_it_was_written)
{
    struct tri_archive_record record;
    struct tri_archive_entry entry;
    struct tri_bytes rest;
    const char *fault = NULL;
    uint32_t count = 0;

    cr_assert_eq(tri_archive_frame_get(frame), body_bytes);
    cr_assert(tri_archive_record_get(
        (struct tri_bytes){frame + TRI_ARCHIVE_FRAME_BYTES, body_bytes}, &record, &fault));
    cr_expect(tri_archive_record_check(&record, &fault));
    cr_expect(tri_archive_record_is_signed(&record));
    cr_expect_eq(record.header.oss_epoch, 9);
    cr_expect_eq(record.header.message_count, 3);
    rest = record.entries;
    for (; tri_archive_entry_next(&rest, &entry); count++) {
        cr_assert_lt(count, 3);
        cr_expect_eq(entry.leaf.bytes, kit_entries[count].leaf.bytes);
        cr_expect_eq(memcmp(entry.leaf.at, kit_entries[count].leaf.at, entry.leaf.bytes), 0);
        cr_expect_eq(entry.content.bytes, kit_entries[count].content.bytes);
        cr_expect_eq(tri_leaf_is_forced(entry.leaf), count == 1, "every third message is");
    }
    cr_expect_eq(count, 3);
}

Test(archive_record, F02_a_record_cut_short_is_none)
{
    const char *fault = NULL;

    for (uint32_t bytes = 0; bytes < body_bytes; bytes++) {
        cr_expect_not(passes(frame + TRI_ARCHIVE_FRAME_BYTES, bytes, &fault), "%u bytes", bytes);
    }
    frame[TRI_ARCHIVE_FRAME_BYTES + body_bytes] = 0xc0;
    cr_expect_not(passes(frame + TRI_ARCHIVE_FRAME_BYTES, body_bytes + 1, &fault));
    cr_expect_not_null(strstr(fault, "more bytes"));
}

Test(archive_record, F02_every_flipped_bit_is_found)
{
    const char *fault = NULL;

    for (uint32_t bit = 0; bit < 8 * body_bytes; bit++) {
        uint8_t *byte = &frame[TRI_ARCHIVE_FRAME_BYTES + bit / 8];

        *byte ^= (uint8_t)(1U << bit % 8);
        cr_expect_not(passes(frame + TRI_ARCHIVE_FRAME_BYTES, body_bytes, &fault), "byte %u bit %u",
                      bit / 8, bit % 8);
        *byte ^= (uint8_t)(1U << bit % 8);
    }
    cr_expect(passes(frame + TRI_ARCHIVE_FRAME_BYTES, body_bytes, &fault));
}

static void expect_check_fails(const struct tri_finality_header *header, const char *expected)
{
    const char *fault = NULL;

    record_make(header);
    cr_expect_not(passes(frame + TRI_ARCHIVE_FRAME_BYTES, body_bytes, &fault), "%s", expected);
    cr_expect_not_null(strstr(fault, expected), "%s", fault);
}

Test(archive_record, F01_a_genuine_header_must_be_that_of_its_leaves)
{
    static const struct tri_text more[] = {
        {"eip155:1", 8}, {"eip155:2", 8}, {"eip155:3", 8}, {"eip155:4", 8}, {"eip155:5", 8}};
    struct tri_finality_header header = header_make();

    header.root[31] ^= 1;
    expect_check_fails(&header, "ossStateRoot");
    header = header_make();
    header.issued_at_ms++;
    expect_check_fails(&header, "issuedAt");
    header = header_make();
    header.issued_at_ms--;
    expect_check_fails(&header, "issuedAt");
    header = header_make();
    header.chains = more;
    header.chain_count = 5;
    expect_check_fails(&header, "that no leaf has");
    header.chains = more;
    header.chain_count = 3;
    expect_check_fails(&header, "lack one");
    header = header_make();
    header.message_count = 2;
    expect_check_fails(&header, "messageCount");
    header.message_count = 4;
    expect_check_fails(&header, "messageCount");
    kit_entries[0].content.bytes--;
    header = header_make();
    expect_check_fails(&header, "contentHash");
}

Test(archive_record, F02_the_header_stands_at_the_beginning)
{
    struct tri_archive_record record;
    const char *fault = NULL;
    uint32_t enough = 0;

    while (enough < body_bytes &&
           !tri_archive_record_peek((struct tri_bytes){frame + TRI_ARCHIVE_FRAME_BYTES, enough},
                                    &record, &fault)) {
        enough++;
    }
    cr_expect_lt(enough, 300);
    cr_expect_eq(record.header.oss_epoch, 9);
    cr_expect(tri_archive_record_is_signed(&record));
}

Test(archive_record, F02_a_record_follows_one_other)
{
    struct tri_archive_record record;
    uint8_t archive[TRI_FINALITY_ARCHIVE_BYTES];
    uint8_t previous[TRI_DIGEST_BYTES];
    const char *fault = NULL;

    memset(archive, 0xa1, sizeof(archive));
    memset(previous, 0xb2, sizeof(previous));
    cr_assert(tri_archive_record_peek(
        (struct tri_bytes){frame + TRI_ARCHIVE_FRAME_BYTES, body_bytes}, &record, &fault));
    cr_expect(tri_archive_record_follows(&record, archive, 12, 0, 9, previous, &fault));
    cr_expect_not(tri_archive_record_follows(&record, archive, 12, 1, 9, previous, &fault));
    cr_expect_not_null(strstr(fault, "another stream"));
    cr_expect_not(tri_archive_record_follows(&record, archive, 11, 0, 9, previous, &fault));
    cr_expect_not(tri_archive_record_follows(&record, archive, 12, 0, 8, previous, &fault));
    cr_expect_not_null(strstr(fault, "ossEpoch"));
    previous[0] ^= 1;
    cr_expect_not(tri_archive_record_follows(&record, archive, 12, 0, 9, previous, &fault));
    cr_expect_not_null(strstr(fault, "does not follow"));
    archive[0] ^= 1;
    cr_expect_not(tri_archive_record_follows(&record, archive, 12, 0, 9, previous, &fault));
    cr_expect_not_null(strstr(fault, "another archive"));
}

Test(archive_record, a_length_lies_between_the_smallest_and_the_largest_record)
{
    static const struct {
        uint8_t frame[TRI_ARCHIVE_FRAME_BYTES];
        uint32_t bytes;
    } cases[] = {
        {{0, 0, 0, 0}, 0},        {{0, 0, 0, 169}, 0}, {{0, 0, 0, 170}, 170},
        {{0, 64, 0, 0}, 4194304}, {{0, 64, 0, 1}, 0},  {{255, 255, 255, 255}, 0},
    };

    for (uint32_t i = 0; i < 6; i++) {
        cr_expect_eq(tri_archive_frame_get(cases[i].frame), cases[i].bytes, "case %u", i);
    }
}

Test(archive_record, F08_a_file_has_its_streams_name_and_its_first_record)
{
    static const char *const names[] = {
        "manifest",
        "12-0.fin",
        "12-0.0.fin",
        "12-0.01.fin",
        "12-0.1.fin.new",
        "12-0.1.Fin",
        "012-0.1.fin",
        "12-64.1.fin",
        "12-0.-1.fin",
        "12-0.1 .fin",
        "12-0. 1.fin",
        "12-0.+1.fin",
        "12-0..fin",
        ".fin",
        "",
        "12-0.18446744073709551616.fin",
        "12-0.1",
        "12.1.fin",
        "0-0.1.fin",
    };
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];
    uint32_t epoch = 0;
    uint32_t shard = 0;
    uint64_t first = 0;

    tri_archive_name_put(4294967295U, 63, UINT64_MAX, name);
    cr_expect_str_eq(name, "4294967295-63.18446744073709551615.fin");
    cr_assert(tri_archive_name_get(name, &epoch, &shard, &first));
    cr_expect_eq(epoch, 4294967295U);
    cr_expect_eq(shard, 63);
    cr_expect_eq(first, UINT64_MAX);
    cr_expect(tri_archive_name_get("12-0.1.fin", &epoch, &shard, &first));
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cr_expect_not(tri_archive_name_get(names[i], &epoch, &shard, &first), "%s", names[i]);
    }
}
