/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a manifest's lines can only be continued; every other change shows.
 *
 * Method: a literal first line by a fixed key; a manifest of seven lines, of which every bit is
 * flipped, every line left out, doubled and moved, and every beginning read.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "io/archive_manifest.h"
#include "tests/unit/archive_kit.h"

#define LINES 7U

static struct tri_signer signer;
static char text[LINES * TRI_ARCHIVE_LINE_BYTES_MAX];
static uint32_t ends[LINES]; /* behind each line */
static uint32_t text_bytes;

static void put(struct tri_archive_line line, uint8_t chain[TRI_DIGEST_BYTES])
{
    char one[TRI_ARCHIVE_LINE_BYTES_MAX];
    uint32_t bytes = 0;

    line.at_ms = 1700000000000;
    bytes = tri_archive_line_put(&line, chain, &signer, one);
    memcpy(text + text_bytes, one, bytes);
    text_bytes += bytes;
    memcpy(chain, line.chain, TRI_DIGEST_BYTES);
}

static void setup(void)
{
    static const struct tri_archive_line lines[LINES] = {
        {.fact = TRI_ARCHIVE_FACT_ARCHIVE, .archive = {0xab, 0xcd}},
        {.fact = TRI_ARCHIVE_FACT_OPEN, .epoch = 1, .shard = 0, .is_content_kept = true},
        {.fact = TRI_ARCHIVE_FACT_OPEN, .epoch = 1, .shard = 1, .is_content_kept = true},
        {.fact = TRI_ARCHIVE_FACT_CLOSE, .epoch = 1, .shard = 0},
        {.fact = TRI_ARCHIVE_FACT_CLOSE,
         .epoch = 1,
         .shard = 1,
         .records = 12,
         .messages = UINT64_MAX,
         .head = {1, 2, 3}},
        {.fact = TRI_ARCHIVE_FACT_OPEN, .epoch = 4294967295U, .shard = 63},
        {.fact = TRI_ARCHIVE_FACT_OPEN, .epoch = 2, .shard = 0},
    };
    uint8_t chain[TRI_DIGEST_BYTES] = {0};

    signer = kit_signer(7);
    text_bytes = 0;
    for (uint32_t i = 0; i < LINES; i++) {
        put(lines[i], chain);
        ends[i] = text_bytes;
    }
}

TestSuite(archive_manifest, .init = setup);

/* The text lies in memory of its own size, so that a sanitizer sees what is read beside it. */
static int read_of(struct tri_archive_manifest *manifest, const char *from, size_t bytes)
{
    const char *fault = NULL;
    char *own = malloc(bytes + 1);
    int failed = 0;

    cr_assert_not_null(own);
    if (bytes > 0) {
        memcpy(own + 1, from, bytes);
    }
    failed = tri_archive_manifest_read(manifest, own + 1, bytes, &fault);
    cr_assert(failed == 0 || (fault != NULL && strlen(fault) > 10));
    free(own);
    return failed;
}

static int read_once(const char *from, size_t bytes)
{
    struct tri_archive_manifest manifest;
    int failed = read_of(&manifest, from, bytes);

    tri_archive_manifest_fini(&manifest);
    return failed;
}

Test(archive_manifest, F08_lines_are_these)
{
    static const char expected[] =
        "archive abcd0000000000000000000000000000 version 1 at 2023-11-14T22:13:20.000Z key ";
    char second[64];

    cr_expect_eq(memcmp(text, expected, sizeof(expected) - 1), 0, "%s", text);
    memcpy(second, text + ends[0], 63);
    second[63] = '\0';
    cr_expect_str_eq(second, "open 1-0 contents kept at 2023-11-14T22:13:20.000Z key ea4a6c63");
    cr_expect_not_null(
        strstr(text + ends[3], "close 1-1 records 12 messages 18446744073709551615 head 010203"));
    cr_expect_not_null(strstr(text + ends[4], "open 4294967295-63 contents omitted at "));
}

Test(archive_manifest, F08_a_manifest_is_read_as_it_was_written)
{
    struct tri_archive_manifest manifest;
    const struct tri_archive_stream *stream = NULL;

    cr_assert_eq(read_of(&manifest, text, text_bytes), 0);
    cr_expect_eq(manifest.line_count, LINES);
    cr_expect_eq(manifest.bytes, text_bytes);
    cr_expect_not(manifest.is_torn);
    cr_expect_eq(manifest.archive[0], 0xab);
    cr_assert_eq(manifest.stream_count, 4);
    stream = tri_archive_manifest_find(&manifest, 1, 1);
    cr_assert_not_null(stream);
    cr_expect(stream->is_closed);
    cr_expect(stream->is_content_kept);
    cr_expect_eq(stream->records, 12);
    cr_expect_eq(stream->messages, UINT64_MAX);
    cr_expect_eq(stream->head[2], 3);
    stream = tri_archive_manifest_find(&manifest, 2, 0);
    cr_assert_not_null(stream);
    cr_expect_not(stream->is_closed);
    cr_expect_eq(memcmp(stream->origin, manifest.chain, TRI_DIGEST_BYTES), 0,
                 "its line is the last one");
    cr_expect_eq(manifest.streams[2].epoch, 2, "streams are in order, whatever the lines'");
    cr_expect_null(tri_archive_manifest_find(&manifest, 1, 2));
    tri_archive_manifest_fini(&manifest);
}

Test(archive_manifest, F08_every_flipped_bit_is_found)
{
    for (uint32_t bit = 0; bit < 8 * text_bytes; bit++) {
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        cr_expect_eq(read_once(text, text_bytes), -EBADMSG, "byte %u bit %u", bit / 8, bit % 8);
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
    }
    cr_expect_eq(read_once(text, text_bytes), 0);
}

Test(archive_manifest, F08_a_beginning_is_whole_lines_and_a_torn_one)
{
    uint32_t whole = 0;

    for (uint32_t bytes = 0; bytes <= text_bytes; bytes++) {
        struct tri_archive_manifest manifest;

        whole += whole < LINES && bytes == ends[whole] ? 1 : 0;
        cr_assert_eq(read_of(&manifest, text, bytes), 0, "%u bytes", bytes);
        cr_expect_eq(manifest.line_count, whole);
        cr_expect_eq(manifest.bytes, whole == 0 ? 0 : ends[whole - 1]);
        cr_expect_eq(manifest.is_torn, bytes > manifest.bytes);
        tri_archive_manifest_fini(&manifest);
    }
}

Test(archive_manifest, a_torn_line_may_end_in_zeros_and_in_nothing_else)
{
    char torn[2 * TRI_ARCHIVE_LINE_BYTES_MAX] = {0};
    struct tri_archive_manifest manifest;

    memcpy(torn, text, ends[0] + 30);
    cr_expect_eq(read_of(&manifest, torn, sizeof(torn)), 0);
    cr_expect_eq(manifest.bytes, ends[0]);
    cr_expect(manifest.is_torn);
    tri_archive_manifest_fini(&manifest);
    memset(torn + ends[0], 'x', sizeof(torn) - ends[0]);
    cr_expect_eq(read_once(torn, sizeof(torn)), -EBADMSG, "no line is so long");
}

Test(archive_manifest, F08_no_line_can_be_left_out_or_doubled_or_moved)
{
    char changed[sizeof(text)];

    for (uint32_t i = 0; i < LINES; i++) {
        uint32_t begin = i == 0 ? 0 : ends[i - 1];
        uint32_t length = ends[i] - begin;

        memcpy(changed, text, begin);
        memcpy(changed + begin, text + ends[i], text_bytes - ends[i]);
        cr_expect_eq(read_once(changed, text_bytes - length), i + 1 == LINES ? 0 : -EBADMSG,
                     "without line %u", i + 1);
        if (i + 1 < LINES) {
            uint32_t next = ends[i + 1] - ends[i];

            memcpy(changed, text, text_bytes);
            memcpy(changed + begin, text + ends[i], next);
            memcpy(changed + begin + next, text + begin, length);
            cr_expect_eq(read_once(changed, text_bytes), -EBADMSG, "line %u moved", i + 1);
        }
        memcpy(changed, text, ends[i]);
        memcpy(changed + ends[i], text + begin, length);
        cr_expect_eq(read_once(changed, ends[i] + length), -EBADMSG, "line %u twice", i + 1);
    }
}

/* Lines that are chained and signed, but may not say that there. */
Test(archive_manifest, F08_a_stream_is_opened_once_and_closed_once)
{
    static const struct {
        struct tri_archive_line line;
        const char *fault;
    } cases[] = {
        {{.fact = TRI_ARCHIVE_FACT_ARCHIVE}, "has no other"},
        {{.fact = TRI_ARCHIVE_FACT_OPEN, .epoch = 1, .shard = 0}, "opened before"},
        {{.fact = TRI_ARCHIVE_FACT_OPEN, .epoch = 2, .shard = 0}, "opened before"},
        {{.fact = TRI_ARCHIVE_FACT_CLOSE, .epoch = 1, .shard = 0}, "not open"},
        {{.fact = TRI_ARCHIVE_FACT_CLOSE, .epoch = 3, .shard = 0}, "not open"},
        {{.fact = TRI_ARCHIVE_FACT_CLOSE, .epoch = 2, .shard = 0, .records = 2, .messages = 1},
         "contradict"},
        {{.fact = TRI_ARCHIVE_FACT_CLOSE, .epoch = 2, .shard = 0, .messages = 1}, "contradict"},
        {{.fact = TRI_ARCHIVE_FACT_CLOSE, .epoch = 2, .shard = 0, .records = 1, .messages = 1},
         NULL},
    };

    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tri_archive_manifest manifest;
        const char *fault = NULL;
        uint32_t bytes = text_bytes;
        char more[sizeof(text) + TRI_ARCHIVE_LINE_BYTES_MAX];
        struct tri_archive_line line = cases[i].line;

        cr_assert_eq(read_of(&manifest, text, text_bytes), 0);
        memcpy(more, text, text_bytes);
        bytes += tri_archive_line_put(&line, manifest.chain, &signer, more + text_bytes);
        tri_archive_manifest_fini(&manifest);
        cr_expect_eq(tri_archive_manifest_read(&manifest, more, bytes, &fault),
                     cases[i].fault == NULL ? 0 : -EBADMSG, "case %u", i);
        if (cases[i].fault != NULL) {
            cr_expect_not_null(strstr(fault, cases[i].fault), "case %u: %s", i, fault);
            cr_expect_eq(manifest.line_count, LINES);
        }
        tri_archive_manifest_fini(&manifest);
    }
}

Test(archive_manifest, F08_the_first_line_is_the_archives)
{
    struct tri_archive_line line = {
        .fact = TRI_ARCHIVE_FACT_OPEN, .epoch = 1, .at_ms = 1700000000000};
    uint8_t zeros[TRI_DIGEST_BYTES] = {0};
    char one[TRI_ARCHIVE_LINE_BYTES_MAX];

    cr_expect_eq(read_once(one, tri_archive_line_put(&line, zeros, &signer, one)), -EBADMSG);
}

Test(archive_manifest, a_line_has_one_form)
{
    static const char *const facts[] = {
        "close 1-1 records 012 messages 12 head ",
        "close 1-1 records 12  messages 12 head ",
        "close 1-1 records +12 messages 12 head ",
        "close 1-1 records 18446744073709551616 messages 12 head ",
        "close 1-1 records  messages 12 head ",
        "close 01-1 records 12 messages 12 head ",
        "close 1-64 records 12 messages 12 head ",
        " close 1-1 records 12 messages 12 head ",
    };
    const char *begin = text + ends[3];
    const char *rest = strstr(begin, "010203");
    char line[TRI_ARCHIVE_LINE_BYTES_MAX];
    struct tri_archive_line found;
    const char *fault = NULL;
    size_t rest_bytes = 0;

    cr_assert_not_null(rest);
    rest_bytes = (size_t)(text + ends[4] - 1 - rest);
    for (uint32_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        size_t bytes = strlen(facts[i]);

        memcpy(line, facts[i], bytes);
        memcpy(line + bytes, rest, rest_bytes);
        cr_expect_not(tri_archive_line_get((struct tri_text){line, (uint32_t)(bytes + rest_bytes)},
                                           &found, &fault),
                      "%s", facts[i]);
    }
    cr_expect(
        tri_archive_line_get((struct tri_text){begin, ends[4] - ends[3] - 1}, &found, &fault));
}

Test(archive_manifest, hexadecimal_is_lower_case)
{
    uint8_t bytes[2] = {0};
    char digits[4];

    cr_expect(tri_hex_get("09af", 4, bytes));
    cr_expect_eq(bytes[0], 0x09);
    cr_expect_eq(bytes[1], 0xaf);
    tri_hex_put(bytes, 2, digits);
    cr_expect_eq(memcmp(digits, "09af", 4), 0);
    cr_expect_not(tri_hex_get("09AF", 4, bytes));
    cr_expect_not(tri_hex_get("0g", 2, bytes));
    cr_expect_not(tri_hex_get("0", 2, bytes));
}
