/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a fact that was made durable is read back as it was or the file is refused; what a crash
 * leaves of one is cut; nothing follows a failed write.
 *
 * Method: real files in a fresh directory, cut at every byte and changed in every bit; fdatasync()
 * is the test's own, so that it can fail.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/secondary.h"

#define FILE_BYTES_MAX 4096U
#define FACTS_MAX      8U

static char directory[64];
static char path[96];
static char trouble[TRI_ARCHIVE_TROUBLE_BYTES];
static bool is_flush_refused;
static struct taken {
    uint32_t count;
    struct tri_secondary_fact facts[FACTS_MAX]; /* without their texts */
} taken;

int fdatasync(int file)
{
    if (is_flush_refused) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, file);
}

static void setup(void)
{
    (void)snprintf(directory, sizeof(directory), "/tmp/tricast-secondary-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/secondary", directory);
}

static void teardown(void)
{
    (void)unlink(path);
    cr_assert_eq(rmdir(directory), 0, "something else was left behind");
}

TestSuite(secondary, .init = setup, .fini = teardown);

static const struct tri_secondary_fact settled = {
    .kind = TRI_SECONDARY_SETTLED,
    .epoch = 12,
    .shard = 3,
    .oss_epoch = 300,
    .root = {1, 2, 3, [31] = 32},
    .is_equal = true,
    .settled_at_ms = 1700000000123,
    .reference = {"block 7", 7},
    .name = {"bridge", 6},
    .at_ms = 1700000000456,
};
static const struct tri_secondary_fact handed = {
    .kind = TRI_SECONDARY_HANDED,
    .epoch = 4294967295,
    .shard = 63,
    .oss_epoch = 1,
    .id = {"order-1", 7},
    .chain = {"eip155:10", 9},
    .code = TRI_ERROR_BUSY,
    .at_ms = 5,
};
static const struct tri_secondary_fact down = {
    .kind = TRI_SECONDARY_SEQUENCER, .is_up = false, .name = {"eve", 3}, .at_ms = 0};

static const char *take(void *context, const struct tri_secondary_fact *fact)
{
    (void)context;
    cr_assert_lt(taken.count, FACTS_MAX);
    taken.facts[taken.count] = *fact;
    taken.facts[taken.count].reference.at = NULL;
    taken.facts[taken.count].id.at = NULL;
    taken.facts[taken.count].chain.at = NULL;
    taken.facts[taken.count].name.at = NULL;
    taken.count++;
    return NULL;
}

static const char *refuse(void *context, const struct tri_secondary_fact *fact)
{
    (void)context;
    return fact->kind == TRI_SECONDARY_HANDED ? "it cannot stand there" : NULL;
}

static int opened(struct tri_secondary **secondary)
{
    taken.count = 0;
    trouble[0] = '\0';
    return tri_secondary_open(secondary, directory, false, take, NULL, trouble);
}

static void append(struct tri_secondary *secondary, const struct tri_secondary_fact *fact)
{
    cr_assert_eq(tri_secondary_append(secondary, fact, trouble), 0, "%s", trouble);
}

/* Writes three facts; returns the file's bytes, and where each fact ends. */
static uint32_t written(uint8_t bytes[FILE_BYTES_MAX], uint32_t ends[3])
{
    struct tri_secondary *secondary = NULL;
    struct stat about;
    ssize_t got = 0;
    int file = 0;

    cr_assert_eq(opened(&secondary), 0, "%s", trouble);
    append(secondary, &settled);
    cr_assert_eq(tri_secondary_sync(secondary, trouble), 0);
    cr_assert_eq(stat(path, &about), 0);
    ends[0] = (uint32_t)about.st_size;
    append(secondary, &down);
    cr_assert_eq(tri_secondary_sync(secondary, trouble), 0);
    cr_assert_eq(stat(path, &about), 0);
    ends[1] = (uint32_t)about.st_size;
    append(secondary, &handed);
    cr_assert_eq(tri_secondary_sync(secondary, trouble), 0);
    tri_secondary_close(secondary);
    file = open(path, O_RDONLY);
    got = read(file, bytes, FILE_BYTES_MAX);
    cr_assert_gt(got, 0);
    (void)close(file);
    ends[2] = (uint32_t)got;
    return ends[2];
}

static void put(const uint8_t *bytes, uint32_t count)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    cr_assert_eq(write(file, bytes, count), (ssize_t)count);
    (void)close(file);
}

static uint32_t size(void)
{
    struct stat about;

    cr_assert_eq(stat(path, &about), 0);
    return (uint32_t)about.st_size;
}

Test(secondary, F03_the_bytes_of_a_fact_are_those_of_the_documentation)
{
    static const uint8_t expected[] = {
        0x00, 0x00, 0x00, 0x12,                /* 18 bytes */
        0x97, 0x01,                            /* handed */
        0xa3, '1',  '-',  '0',                 /* stream */
        0x7f,                                  /* ossEpoch 127 */
        0xa1, 'm',                             /* its id */
        0xa6, 'a',  'b',  'c',  ':', 'd', '1', /* the chain */
        0x00,                                  /* no answer */
        0x05,                                  /* its time */
    };
    struct tri_secondary_fact fact = {.kind = TRI_SECONDARY_HANDED,
                                      .epoch = 1,
                                      .oss_epoch = 127,
                                      .id = {"m", 1},
                                      .chain = {"abc:d1", 6},
                                      .at_ms = 5};
    uint8_t chain[TRI_DIGEST_BYTES] = {0};
    uint8_t bytes[TRI_SECONDARY_FACT_BYTES_MAX];
    uint8_t again[TRI_DIGEST_BYTES];
    uint8_t text[TRI_DIGEST_BYTES + 18] = {0};

    cr_assert_eq(tri_secondary_frame_put(&fact, chain, bytes), 4 + 18 + 32);
    cr_expect_eq(memcmp(bytes, expected, sizeof(expected)), 0);
    memcpy(text + TRI_DIGEST_BYTES, bytes + 4, 18);
    tri_digest_sha256(text, sizeof(text), again);
    cr_expect_eq(memcmp(bytes + 22, again, sizeof(again)), 0);
    cr_expect_eq(memcmp(chain, again, sizeof(again)), 0);
}

Test(secondary, D01_what_was_made_durable_is_read_back)
{
    uint8_t bytes[FILE_BYTES_MAX];
    uint32_t ends[3];
    struct tri_secondary *secondary = NULL;

    (void)written(bytes, ends);
    cr_assert_eq(opened(&secondary), 0, "%s", trouble);
    tri_secondary_close(secondary);
    cr_assert_eq(taken.count, 3);
    cr_expect_eq(taken.facts[0].kind, TRI_SECONDARY_SETTLED);
    cr_expect_eq(taken.facts[0].epoch, 12);
    cr_expect_eq(taken.facts[0].shard, 3);
    cr_expect_eq(taken.facts[0].oss_epoch, 300);
    cr_expect_eq(memcmp(taken.facts[0].root, settled.root, 32), 0);
    cr_expect(taken.facts[0].is_equal);
    cr_expect_eq(taken.facts[0].settled_at_ms, 1700000000123);
    cr_expect_eq(taken.facts[0].reference.bytes, 7);
    cr_expect_eq(taken.facts[0].name.bytes, 6);
    cr_expect_eq(taken.facts[0].at_ms, 1700000000456);
    cr_expect_eq(taken.facts[1].kind, TRI_SECONDARY_SEQUENCER);
    cr_expect_not(taken.facts[1].is_up);
    cr_expect_eq(taken.facts[2].kind, TRI_SECONDARY_HANDED);
    cr_expect_eq(taken.facts[2].epoch, 4294967295);
    cr_expect_eq(taken.facts[2].shard, 63);
    cr_expect_eq(taken.facts[2].id.bytes, 7);
    cr_expect_eq(taken.facts[2].code, TRI_ERROR_BUSY);
}

Test(secondary, D01_nothing_is_in_the_file_before_it_is_made_durable)
{
    struct tri_secondary *secondary = NULL;

    cr_assert_eq(opened(&secondary), 0);
    append(secondary, &settled);
    cr_expect_neq(access(path, F_OK), 0);
    cr_assert_eq(tri_secondary_sync(secondary, trouble), 0);
    append(secondary, &down);
    tri_secondary_close(secondary);
    cr_assert_eq(opened(&secondary), 0);
    tri_secondary_close(secondary);
    cr_expect_eq(taken.count, 1);
}

Test(secondary, D03_a_file_that_ends_anywhere_is_cut_to_its_whole_facts)
{
    uint8_t bytes[FILE_BYTES_MAX];
    uint32_t ends[3];
    uint32_t count = written(bytes, ends);

    for (uint32_t cut = 0; cut <= count; cut++) {
        uint32_t whole = cut >= ends[2] ? 3 : cut >= ends[1] ? 2 : cut >= ends[0] ? 1 : 0;
        struct tri_secondary *secondary = NULL;

        put(bytes, cut);
        cr_assert_eq(opened(&secondary), 0, "%u: %s", cut, trouble);
        cr_expect_eq(taken.count, whole, "%u", cut);
        cr_expect_eq(size(), whole == 0 ? 0 : ends[whole - 1], "%u", cut);
        append(secondary, &down);
        cr_assert_eq(tri_secondary_sync(secondary, trouble), 0);
        tri_secondary_close(secondary);
        cr_assert_eq(opened(&secondary), 0, "%u: %s", cut, trouble);
        cr_expect_eq(taken.count, whole + 1, "%u", cut);
        tri_secondary_close(secondary);
    }
}

Test(secondary, D03_zeros_where_a_fact_was_to_be_are_cut)
{
    uint8_t bytes[FILE_BYTES_MAX];
    uint32_t ends[3];
    struct tri_secondary *secondary = NULL;

    (void)written(bytes, ends);
    for (uint32_t from = ends[2] - 1; from >= ends[1]; from--) {
        memset(bytes + from, 0, FILE_BYTES_MAX - from);
        put(bytes, FILE_BYTES_MAX);
        cr_assert_eq(opened(&secondary), 0, "%u: %s", from, trouble);
        cr_expect_eq(taken.count, 2, "%u", from);
        cr_expect_eq(size(), ends[1], "%u", from);
        tri_secondary_close(secondary);
    }
}

/* Zeros behind whole facts and behind every beginning of another, few or many. */
Test(secondary, D03_any_number_of_zeros_at_the_end_is_cut)
{
    uint8_t bytes[FILE_BYTES_MAX];
    uint8_t padded[2 * FILE_BYTES_MAX];
    uint32_t ends[3];
    struct tri_secondary *secondary = NULL;

    (void)written(bytes, ends);
    for (uint32_t from = ends[1]; from < ends[2]; from++) {
        for (uint32_t zeros = 1; zeros <= 64; zeros++) {
            if (zeros > 3 && zeros < 29 && from % 7 != 0) {
                continue;
            }
            memset(padded, 0, sizeof(padded));
            memcpy(padded, bytes, from);
            put(padded, from + zeros);
            cr_assert_eq(opened(&secondary), 0, "%u + %u: %s", from, zeros, trouble);
            cr_expect_eq(taken.count, 2, "%u + %u", from, zeros);
            cr_expect_eq(size(), ends[1], "%u + %u", from, zeros);
            tri_secondary_close(secondary);
        }
    }
}

Test(secondary, D03_a_megabyte_of_zeros_at_the_end_is_cut_and_no_other_byte_behind_it)
{
    static const uint32_t many = (1U << 20) + 4097;
    uint8_t bytes[FILE_BYTES_MAX];
    uint32_t ends[3];
    struct tri_secondary *secondary = NULL;

    (void)written(bytes, ends);
    for (uint32_t from = ends[1]; from < ends[2]; from += 5) {
        put(bytes, from);
        cr_assert_eq(truncate(path, (off_t)(from + many)), 0);
        cr_assert_eq(opened(&secondary), 0, "%u: %s", from, trouble);
        cr_expect_eq(taken.count, 2, "%u", from);
        cr_expect_eq(size(), ends[1], "%u", from);
        tri_secondary_close(secondary);
    }
    for (uint32_t at = 600; at <= many; at += many - 600) {
        uint8_t one = 1;
        int file = 0;

        put(bytes, ends[1]);
        cr_assert_eq(truncate(path, (off_t)(ends[1] + many + 1)), 0);
        file = open(path, O_WRONLY);
        cr_assert_eq(pwrite(file, &one, 1, (off_t)(ends[1] + at)), 1);
        (void)close(file);
        cr_expect_eq(opened(&secondary), -EBADMSG, "%u", at);
        cr_expect_eq(size(), ends[1] + many + 1, "nothing is touched");
    }
}

Test(secondary, D03_every_changed_bit_is_found)
{
    uint8_t bytes[FILE_BYTES_MAX];
    uint32_t ends[3];
    uint32_t count = written(bytes, ends);

    for (uint32_t bit = 0; bit < 8 * count; bit++) {
        struct tri_secondary *secondary = NULL;

        bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        put(bytes, count);
        bytes[bit / 8] ^= (uint8_t)(1U << (bit % 8));
        cr_assert_eq(opened(&secondary), -EBADMSG, "bit %u", bit);
        cr_assert_eq(size(), count, "bit %u: nothing is touched", bit);
        cr_assert_not_null(strstr(trouble, "/secondary: offset "), "%s", trouble);
    }
}

Test(secondary, D03_a_fact_that_is_gone_or_stands_elsewhere_is_found)
{
    uint8_t bytes[FILE_BYTES_MAX];
    uint8_t other[FILE_BYTES_MAX];
    uint32_t ends[3];
    uint32_t count = written(bytes, ends);
    struct tri_secondary *secondary = NULL;

    memcpy(other, bytes, ends[0]);
    memcpy(other + ends[0], bytes + ends[1], count - ends[1]);
    put(other, count - (ends[1] - ends[0]));
    cr_expect_eq(opened(&secondary), -EBADMSG);
    put(bytes + ends[0], count - ends[0]);
    cr_expect_eq(opened(&secondary), -EBADMSG);
    cr_expect_not_null(strstr(trouble, "offset 0: it does not follow"), "%s", trouble);
    memcpy(other, bytes, count);
    memcpy(other + count, bytes, ends[0]);
    put(other, count + ends[0]);
    cr_expect_eq(opened(&secondary), -EBADMSG);
}

Test(secondary, D03_what_the_caller_refuses_is_named)
{
    uint8_t bytes[FILE_BYTES_MAX];
    uint32_t ends[3];
    struct tri_secondary *secondary = NULL;
    char expected[64];

    (void)written(bytes, ends);
    cr_assert_eq(tri_secondary_open(&secondary, directory, true, refuse, NULL, trouble), -EBADMSG);
    (void)snprintf(expected, sizeof(expected), "offset %u: it cannot stand there", ends[1]);
    cr_expect_not_null(strstr(trouble, expected), "%s", trouble);
}

Test(secondary, D03_after_a_failed_flush_nothing_is_written)
{
    struct tri_secondary *secondary = NULL;
    uint32_t before = 0;

    cr_assert_eq(opened(&secondary), 0);
    append(secondary, &settled);
    is_flush_refused = true;
    cr_expect_eq(tri_secondary_sync(secondary, trouble), -EIO);
    is_flush_refused = false;
    before = size();
    cr_expect_eq(tri_secondary_append(secondary, &down, trouble), -EIO);
    cr_expect_eq(tri_secondary_sync(secondary, trouble), -EIO);
    cr_expect_not_null(strstr(trouble, "cannot be flushed"), "%s", trouble);
    cr_expect_eq(size(), before);
    tri_secondary_close(secondary);
}

Test(secondary, F03_a_body_that_is_not_canonical_is_refused)
{
    static const struct {
        const char *bytes;
        uint32_t count;
    } refused[] = {
        {"", 0},
        {"\x94\x03\xc3\xa1x\x00", 6},     /* no such kind */
        {"\x94\x02\xc3\xa0\x00", 5},      /* nobody */
        {"\x94\x02\x01\xa1x\x00", 6},     /* isUp is a number */
        {"\x94\xcc\x02\xc3\xa1x\x00", 7}, /* not the shortest form */
        {"\x95\x02\xc3\xa1x\x00\x00", 7}, /* an element more */
        {"\x94\x02\xc3\xa1x\x00\x00", 7}, /* a byte behind it */
        {"\x97\x01\xa4"
         "01-0"
         "\x01\xa1m\xa6"
         "abc:d1"
         "\x00\x00",
         20}, /* no stream's name */
        {"\x97\x01\xa3"
         "1-0"
         "\x00\xa1m\xa6"
         "abc:d1"
         "\x00\x00",
         19}, /* ossEpoch 0 */
        {"\x97\x01\xa3"
         "1-0"
         "\x01\xa1m\xa6"
         "abcdd1"
         "\x00\x00",
         19}, /* no chain's name */
        {"\x97\x01\xa3"
         "1-0"
         "\x01\xa1m\xa6"
         "abc:d1"
         "\x7e\x00",
         19}, /* no such error */
    };
    struct tri_secondary_fact fact;
    const char *fault = NULL;

    for (uint32_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct tri_bytes body = {(const uint8_t *)refused[i].bytes, refused[i].count};

        fault = NULL;
        cr_expect_not(tri_secondary_get(body, &fact, &fault), "%u", i);
        cr_expect_not_null(fault, "%u", i);
    }
}
