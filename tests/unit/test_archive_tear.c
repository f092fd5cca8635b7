/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a torn tail is cut and made again as it was, damage before it stops the start and is left
 * alone, and what once failed to reach the disk is not tried again.
 *
 * Method: real files, cut and changed at every byte; a limit on the size of files; flushes that
 * fail when they are told to (archive_stand.h).
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/archive_stand.h"

int fsync(int file)
{
    (void)file;
    return flush();
}

int fdatasync(int file)
{
    (void)file;
    return flush();
}

TestSuite(archive_tear, .init = setup, .fini = teardown);

/* ---- torn tails ---- */

Test(archive_tear, D03_a_tail_torn_at_any_byte_is_cut_and_made_again_as_it_was)
{
    struct tri_archive *archive = begun(1, 1);
    struct copy whole;
    size_t begin = 0;

    append_all(archive, 1, 0, 1, 4);
    synced(archive);
    tri_archive_close(archive);
    whole = copy_of("1-0.1.fin");
    begin = offset_of(&whole, 4);
    for (size_t bytes = begin; bytes < whole.bytes; bytes++) {
        put_back("1-0.1.fin", &whole, bytes);
        archive = opened();
        cr_assert_eq(tri_archive_last(archive, 1, 0), 3, "%zu bytes", bytes);
        cr_assert_eq(tri_archive_counts(archive).cut_bytes, bytes - begin);
        append_all(archive, 1, 0, 4, 4);
        synced(archive);
        tri_archive_close(archive);
        cr_assert(is_same("1-0.1.fin", &whole), "%zu bytes", bytes);
    }
    free(whole.at);
}

/* A file may have grown before its bytes came. */
Test(archive_tear, D03_a_tail_of_zeros_is_cut)
{
    struct tri_archive *archive = begun(1, 1);
    struct copy whole;
    size_t begin = 0;

    append_all(archive, 1, 0, 1, 4);
    synced(archive);
    tri_archive_close(archive);
    whole = copy_of("1-0.1.fin");
    begin = offset_of(&whole, 4);
    for (size_t from = begin; from < whole.bytes; from += 7) {
        struct copy torn = copy_of("1-0.1.fin");

        memset(torn.at + from, 0, torn.bytes - from);
        put_back("1-0.1.fin", &torn, torn.bytes);
        free(torn.at);
        archive = opened();
        cr_assert_eq(tri_archive_last(archive, 1, 0), 3, "from %zu", from);
        append_all(archive, 1, 0, 4, 4);
        synced(archive);
        tri_archive_close(archive);
        cr_assert(is_same("1-0.1.fin", &whole), "from %zu", from);
    }
    free(whole.at);
}

Test(archive_tear, D03_a_changed_byte_in_the_last_record_is_torn_and_before_it_is_damage)
{
    struct tri_archive *archive = begun(1, 1);
    struct copy whole;

    append_all(archive, 1, 0, 1, 3);
    synced(archive);
    tri_archive_close(archive);
    whole = copy_of("1-0.1.fin");
    for (size_t at = 0; at < whole.bytes; at++) {
        uint32_t record = at < offset_of(&whole, 2) ? 1 : at < offset_of(&whole, 3) ? 2 : 3;
        char expected[64];

        put_back("1-0.1.fin", &whole, whole.bytes);
        flip("1-0.1.fin", (off_t)at, (uint8_t)(1U << at % 8));
        (void)snprintf(expected, sizeof(expected),
                       "1-0.1.fin: offset %zu: ", offset_of(&whole, record));
        options.is_read_only = at % 2 == 0;
        if (open_fails() == 0) {
            archive = opened();
            cr_assert_eq(tri_archive_last(archive, 1, 0), 2, "byte %zu", at);
            cr_assert_eq(record, 3, "byte %zu", at);
            tri_archive_close(archive);
        } else {
            cr_assert_eq(open_fails(), -EBADMSG);
            cr_assert_lt(record, 3, "byte %zu: %s", at, trouble);
            cr_assert_not_null(strstr(trouble, expected), "byte %zu: %s", at, trouble);
            flip("1-0.1.fin", (off_t)at, (uint8_t)(1U << at % 8));
            cr_assert(is_same("1-0.1.fin", &whole), "nothing was cut");
        }
    }
    free(whole.at);
}

Test(archive_tear, D03_damage_of_a_length_hides_nothing_behind_it)
{
    static const uint8_t lengths[][4] = {
        {0, 0, 0, 0}, {255, 255, 255, 255}, {0, 0, 1, 0}, {0, 63, 0, 0}, {0, 0, 2, 0x11}};
    struct tri_archive *archive = begun(1, 1);
    struct copy whole;

    append_all(archive, 1, 0, 1, 20);
    synced(archive);
    tri_archive_close(archive);
    whole = copy_of("1-0.1.fin");
    for (uint32_t i = 0; i < 5; i++) {
        size_t at = offset_of(&whole, 5);
        char expected[64];
        struct copy damaged = copy_of("1-0.1.fin");

        memcpy(damaged.at + at, lengths[i], 4);
        put_back("1-0.1.fin", &damaged, damaged.bytes);
        cr_expect_eq(open_fails(), -EBADMSG, "case %u", i);
        (void)snprintf(expected, sizeof(expected), "offset %zu: ", at);
        cr_expect_not_null(strstr(trouble, expected), "%s", trouble);
        cr_expect(is_same("1-0.1.fin", &damaged), "nothing was cut");
        free(damaged.at);
        put_back("1-0.1.fin", &whole, whole.bytes);
    }
    free(whole.at);
}

Test(archive_tear, D03_a_record_of_another_archive_is_not_taken)
{
    struct tri_archive *archive = begun(1, 1);
    struct copy other;

    append_all(archive, 1, 0, 1, 3);
    synced(archive);
    tri_archive_close(archive);
    other = copy_of("1-0.1.fin");
    (void)each_file(remove_one);
    tri_archive_close(begun(1, 1));
    put_back("1-0.1.fin", &other, other.bytes);
    archive = opened();
    cr_expect_eq(tri_archive_last(archive, 1, 0), 0, "no record of this archive is behind it");
    cr_expect_not(exists("1-0.1.fin"));
    tri_archive_close(archive);
    free(other.at);
}

/* ---- files that are full ---- */

static uint32_t fin_count;
static void count_fin(const char *path)
{
    fin_count += strstr(path, ".fin") == NULL ? 0 : 1;
}

Test(archive_tear, F02_a_full_file_is_followed_by_another)
{
    struct tri_archive *archive = NULL;
    struct copy copy;

    options.file_bytes = 2000;
    archive = begun(1, 2);
    append_all(archive, 1, 0, 1, 30);
    append_all(archive, 1, 1, 1, 2);
    append_all(archive, 1, 0, 31, 40);
    synced(archive);
    tri_archive_close(archive);
    expect_stream(1, 0, 40, 80);
    expect_stream(1, 1, 2, 5);
    fin_count = 0;
    (void)each_file(count_fin);
    cr_expect_gt(fin_count, 8);
    copy = copy_of("1-0.1.fin");
    cr_expect_geq(copy.bytes, 2000);
    cr_expect_lt(copy.bytes, 3000);
    free(copy.at);
    archive = opened();
    cr_expect_eq(tri_archive_last(archive, 1, 0), 40);
    append_all(archive, 1, 0, 41, 45);
    cr_assert_eq(tri_archive_end(archive, trouble), 0);
    tri_archive_close(archive);
    expect_stream(1, 0, 45, 90);
}

/* The name of the file that holds record n. */
static void file_of(uint64_t n, char name[TRI_ARCHIVE_NAME_BYTES_MAX])
{
    do {
        tri_archive_name_put(1, 0, n, name);
        n--;
    } while (!exists(name));
}

Test(archive_tear, D03_a_file_that_is_torn_away_goes_back_to_the_one_before)
{
    struct tri_archive *archive = NULL;
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];
    struct copy whole;
    uint64_t first = 0;
    uint64_t messages = 0;
    uint32_t epoch = 0;
    uint32_t shard = 0;

    options.file_bytes = 2000;
    archive = begun(1, 1);
    append_all(archive, 1, 0, 1, 12);
    synced(archive);
    tri_archive_close(archive);
    file_of(12, name);
    cr_assert(tri_archive_name_get(name, &epoch, &shard, &first));
    cr_assert_gt(first, 1);
    whole = copy_of(name);
    for (size_t bytes = 0; bytes < offset_of(&whole, 2); bytes += 11) {
        put_back(name, &whole, bytes);
        archive = opened();
        cr_assert_eq(tri_archive_last(archive, 1, 0), first - 1);
        cr_assert_not(exists(name));
        append_all(archive, 1, 0, first, 12);
        synced(archive);
        tri_archive_close(archive);
        cr_assert(is_same(name, &whole));
    }
    put_back(name, &whole, 0);
    tri_archive_close(begun(2, 1));
    cr_expect_eq(stream_check(1, 0, &messages), first - 1);
    free(whole.at);
}

Test(archive_tear, D03_damage_in_a_file_before_the_last_is_named)
{
    struct tri_archive *archive = NULL;
    char last[TRI_ARCHIVE_NAME_BYTES_MAX];
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];
    struct copy copy;

    options.file_bytes = 2000;
    archive = begun(1, 1);
    append_all(archive, 1, 0, 1, 20);
    synced(archive);
    tri_archive_close(archive);
    file_of(20, last);
    file_of(10, name);
    cr_assert_neq(strcmp(last, name), 0);
    copy = copy_of(name);
    put_back(name, &copy, copy.bytes - 1);
    cr_expect_eq(open_fails(), -EBADMSG, "it was durable before the next began");
    cr_expect_not_null(strstr(trouble, name), "%s", trouble);
    put_back(name, &copy, copy.bytes);
    flip(name, 60, 1);
    cr_expect_eq(open_fails(), -EBADMSG);
    cr_expect_not_null(strstr(trouble, "offset 0: "), "%s", trouble);
    cr_assert_eq(unlink(path_of(name)), 0);
    cr_expect_eq(open_fails(), -EBADMSG);
    cr_expect_not_null(strstr(trouble, "are missing before it"), "%s", trouble);
    put_back(name, &copy, copy.bytes);
    cr_expect_eq(open_fails(), 0);
    free(copy.at);
}

/* ---- disks that fail ---- */

static void limit_files(rlim_t bytes)
{
    struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};

    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(archive_tear, D03_a_full_disk_ends_the_writing_and_the_next_start_mends_it)
{
    struct tri_archive *archive = begun(1, 2);
    struct copy whole;

    append_all(archive, 1, 0, 1, 8);
    synced(archive);
    whole = copy_of("1-0.1.fin");
    cr_assert_eq(truncate(path_of("1-0.1.fin"), (off_t)offset_of(&whole, 3)), 0);
    tri_archive_close(archive);
    archive = opened();
    append_all(archive, 1, 0, 3, 8);
    limit_files(offset_of(&whole, 5) + 100);
    cr_expect_eq(tri_archive_write(archive, trouble), -EFBIG);
    cr_expect_not_null(strstr(trouble, "1-0.1.fin: cannot be written"), "%s", trouble);
    limit_files(RLIM_INFINITY);
    cr_expect_eq(tri_archive_write(archive, trouble), -EFBIG, "it is not tried again");
    cr_expect_eq(tri_archive_sync(archive, trouble), -EFBIG);
    cr_expect_eq(append(archive, 1, 0, 9), -EFBIG);
    cr_expect_eq(append(archive, 1, 1, 1), -EFBIG);
    cr_expect_eq(tri_archive_begin(archive, 2, 1, true, trouble), -EFBIG);
    cr_expect_eq(tri_archive_end(archive, trouble), -EFBIG);
    cr_expect_not_null(strstr(trouble, "until the next start"), "%s", trouble);
    tri_archive_close(archive);
    archive = opened();
    cr_expect_eq(tri_archive_last(archive, 1, 0), 4);
    append_all(archive, 1, 0, 5, 8);
    synced(archive);
    cr_expect(is_same("1-0.1.fin", &whole));
    tri_archive_close(archive);
    free(whole.at);
}

Test(archive_tear, D03_a_flush_that_failed_is_not_tried_again)
{
    uint32_t failed_count = 0;

    for (uint32_t n = 1; n <= 12; n++) {
        struct tri_archive *archive = begun(n, 2);
        int failed = 0;

        options.file_bytes = 700;
        flushes = 0;
        flush_that_fails = n;
        for (uint64_t record = 1; failed == 0 && record <= 3; record++) {
            failed = append(archive, n, 0, record);
            failed = failed == 0 ? tri_archive_sync(archive, trouble) : failed;
        }
        failed = failed == 0 ? tri_archive_end(archive, trouble) : failed;
        failed_count += failed != 0 ? 1 : 0;
        cr_expect(failed == 0 || failed == -EIO);
        cr_expect_eq(failed != 0, flushes >= n, "flush %u of %u", n, flushes);
        if (failed != 0) {
            uint32_t before = flushes;

            cr_expect_not_null(strstr(trouble, "cannot be flushed"), "%s", trouble);
            cr_expect_eq(tri_archive_sync(archive, trouble), -EIO);
            cr_expect_eq(tri_archive_end(archive, trouble), -EIO);
            cr_expect_eq(append(archive, n, 0, 4), -EIO);
            cr_expect_eq(flushes, before);
        }
        tri_archive_close(archive);
        flush_that_fails = 0;
    }
    cr_expect_gt(failed_count, 4);
}

Test(archive_tear, D03_a_flush_that_fails_at_the_opening_stops_the_start)
{
    struct tri_archive *archive = begun(1, 1);
    uint32_t needed = 0;

    append_all(archive, 1, 0, 1, 2);
    synced(archive);
    tri_archive_close(archive);
    flushes = 0;
    tri_archive_close(opened());
    needed = flushes;
    cr_expect_geq(needed, 3, "the manifest, the file and the directory");
    for (uint32_t n = 1; n <= needed; n++) {
        flushes = 0;
        flush_that_fails = n;
        cr_expect_eq(open_fails(), -EIO, "flush %u", n);
    }
}
