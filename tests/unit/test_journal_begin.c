/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever a new manifest names is durable before it is, a start that
 * fails costs no space that the next one does not give back, and one that can
 * never succeed says what to do.
 *
 * Method: a fresh directory per test; fsync() and renameat() are the test's own, so that it sees
 * what was flushed before the manifest was replaced, and can let that fail.
 */
#include "tests/unit/journal_kit.h"

#include <errno.h>
#include <sys/syscall.h>

#include "io/journal_internal.h"

#define FLUSHES_MAX 256U

TestSuite(journal_begin, .init = kit_setup, .fini = kit_teardown);

static ino_t flushed[FLUSHES_MAX];
static uint32_t flush_count;
static uint32_t flush_count_at_rename; /* when the manifest was last replaced */
static bool is_rename_refused;

int fsync(int file)
{
    struct stat about;

    cr_assert_eq(fstat(file, &about), 0);
    cr_assert_lt(flush_count, FLUSHES_MAX);
    flushed[flush_count++] = about.st_ino;
    return (int)syscall(SYS_fsync, file);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    if (is_rename_refused) {
        errno = ENOSPC;
        return -1;
    }
    flush_count_at_rename = flush_count;
    return (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, 0);
}

/* How often the file was flushed before the manifest was replaced. */
static uint32_t flushes(const char *path)
{
    struct stat about;
    uint32_t count = 0;

    cr_assert_eq(stat(path, &about), 0, "%s", path);
    for (uint32_t i = 0; i < flush_count_at_rename; i++) {
        count += flushed[i] == about.st_ino ? 1 : 0;
    }
    return count;
}

Test(journal_begin, D03_what_a_manifest_cuts_is_flushed_before)
{
    for (uint32_t is_buffered = 0; is_buffered < 2; is_buffered++) {
        uint32_t epoch = is_buffered * 10 + 1;
        struct tri_journal_dir_options options = kit_options();
        struct kit kit;
        char name[32];

        options.is_buffered = is_buffered != 0;
        kit = kit_start_with(&options, epoch, 2);
        kit_write(&kit, 0, 300); /* goes on in a second segment */
        kit_kill(&kit);
        flush_count = 0;
        kit = kit_start_with(&options, epoch + 1, 2);
        for (uint32_t segment = 1; segment <= 2; segment++) {
            (void)snprintf(name, sizeof(name), "%u-0-%u.seg", epoch, segment);
            cr_expect_eq(flushes(kit_path(name)), 1, "%s", name);
        }
        kit_kill(&kit);
        flush_count = 0;
        kit = kit_start_with(&options, epoch + 2, 2);
        for (uint32_t segment = 1; segment <= 2; segment++) {
            (void)snprintf(name, sizeof(name), "%u-0-%u.seg", epoch, segment);
            cr_expect_eq(flushes(kit_path(name)), 0, "%s: its end was known before", name);
        }
        kit_kill(&kit);
    }
}

Test(journal_begin, D01_the_name_of_the_directory_is_durable_before_the_manifest)
{
    struct kit kit = kit_start(1, 1);

    cr_expect_geq(flushes(directory), 1);
    cr_expect_geq(flushes(kit_path("..")), 1);
    kit_kill(&kit);
}

Test(journal_begin, R08_starts_that_fail_add_up_to_no_more_than_one)
{
    struct kit kit = kit_start(1, 1);

    kit_write(&kit, 0, 10);
    kit_kill(&kit);
    is_rename_refused = true;
    for (uint32_t epoch = 2; epoch <= 6; epoch++) {
        kit.dir = kit_look();
        cr_expect_eq(tri_journal_dir_begin(kit.dir, epoch, 4, trouble), -ENOSPC);
        cr_expect_not_null(strstr(trouble, "manifest: cannot be written"));
        cr_expect_not_null(strstr(trouble, "make space on the journal's disk"));
        tri_journal_dir_close(kit.dir);
        cr_expect_leq(kit_files(NULL), 1 + 2 + 4 + 1, "epoch %u", epoch);
    }
    is_rename_refused = false;
    kit = kit_start(7, 1);
    cr_expect_not(kit_exists("6-0-1.seg"));
    cr_expect_eq(kit_replay(kit.dir, 0, 4095).records, 10);
    kit_kill(&kit);
}

/* A manifest of `count` streams of old sets, all but `empty_count` of them with a record. */
static struct tri_journal_dir *look_at_many(uint32_t count, uint32_t empty_count)
{
    static struct tri_manifest_stream streams[TRI_MANIFEST_STREAMS_MAX];
    static char text[TRI_MANIFEST_BYTES(TRI_MANIFEST_STREAMS_MAX)];
    struct tri_manifest manifest = {
        .epoch = count, .kind = "coordinator", .count = count, .streams = streams};
    struct tri_journal_dir_options options = kit_options();
    struct tri_journal_dir *dir = NULL;
    int file = open(kit_path("manifest"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    size_t bytes = 0;

    for (uint32_t i = 0; i < count; i++) {
        streams[i] = (struct tri_manifest_stream){
            .epoch = i + 1, .streams = 1, .slot_last = 4095, .has_cut = true};
    }
    bytes = tri_manifest_put(&manifest, text, sizeof(text));
    cr_assert_eq(write(file, text, bytes), (ssize_t)bytes);
    cr_assert_eq(close(file), 0);
    options.secret = NULL;
    cr_assert_eq(tri_journal_dir_open(&dir, directory, &options, trouble), 0, "%s", trouble);
    cr_assert_eq(tri_journal_dir_scan_all(dir, trouble), 0, "%s", trouble);
    for (uint32_t i = empty_count; i < count; i++) {
        dir->old[i].seen.lsn = 1; /* their files would take minutes to make */
    }
    return dir;
}

Test(journal_begin, D06_too_many_sets_are_refused_with_advice)
{
    struct tri_journal_dir *dir = look_at_many(8190, 0);

    cr_expect_eq(tri_journal_dir_begin(dir, 9000, 3, trouble), -EFBIG);
    cr_expect_not_null(strstr(trouble, "it would name 8193 streams, more than 8192"));
    cr_expect_not_null(strstr(trouble, "start with 2 shards at most"));
    tri_journal_dir_close(dir);
    cr_expect_eq(kit_files(NULL), 1, "and nothing is made");
    dir = look_at_many(8192, 0);
    cr_expect_eq(tri_journal_dir_begin(dir, 9000, 1, trouble), -EFBIG);
    cr_expect_not_null(strstr(trouble, "move the files of the journal away"));
    tri_journal_dir_close(dir);
    dir = look_at_many(8192, 3);
    cr_expect_eq(tri_journal_dir_begin(dir, 9000, 3, trouble), 0, "%s", trouble);
    tri_journal_dir_close(dir);
}
