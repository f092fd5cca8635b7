/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a settlement may report in any order: a record is found with a few reads wherever it
 * stands, at once in a file of this start, after one walk in an older one.
 *
 * Method: files of more records than lie between two known places; reads are counted.
 */
#include <sys/syscall.h>

#include "tests/unit/pending_kit.h"

#define RECORDS UINT64_C(1500)

TestSuite(pending_index, .init = kit_setup, .fini = kit_teardown);

static uint8_t roots[RECORDS][TRI_DIGEST_BYTES];
static uint32_t reads;
static uint64_t read_bytes;

ssize_t pread(int file, void *to, size_t count, off_t offset)
{
    ssize_t got = syscall(SYS_pread64, file, to, count, offset);

    reads++;
    read_bytes += got > 0 ? (uint64_t)got : 0;
    return got;
}

static void make(void)
{
    const struct kit_record record = {
        .count = 1, .issued_at_ms = KIT_START_MS, .chains = {"eip155:1"}};

    for (uint64_t i = 0; i < RECORDS; i++) {
        cr_assert_eq(kit_append(0, &record), i + 1);
        memcpy(roots[i], kit_appended, TRI_DIGEST_BYTES);
    }
    kit_write();
}

/* Settles a tenth of the records, those whose number has this rest, in an order of leaps; returns
 * the most reads that one of them took. */
static uint32_t leap(uint64_t rest)
{
    uint32_t most = 0;

    for (uint64_t i = 0; i < RECORDS / 10; i++) {
        uint64_t index = i * 67 % (RECORDS / 10) * 10 + rest;
        bool is_new = false;

        reads = 0;
        cr_assert_eq(kit_settle(1, 0, index + 1, roots[index], &is_new), TRI_PENDING_FINAL);
        cr_assert(is_new);
        most = reads > most ? reads : most;
    }
    return most;
}

Test(pending_index, F03_records_of_this_start_are_found_at_once)
{
    kit_file_bytes = UINT64_C(1) << 20;
    kit_start();
    make();
    cr_expect_leq(leap(3), 4);
}

Test(pending_index, F03_records_in_many_files_are_found_at_once)
{
    kit_file_bytes = UINT64_C(100000);
    kit_start();
    make();
    cr_expect_leq(leap(3), 5);
    kit_restart();
    (void)leap(4);
    cr_expect_leq(leap(5), 5);
}

Test(pending_index, F03_an_older_file_is_walked_through_once)
{
    uint8_t other[TRI_DIGEST_BYTES] = {0};
    bool is_new = false;

    kit_file_bytes = UINT64_C(1) << 20;
    kit_start();
    make();
    kit_restart();
    reads = 0;
    read_bytes = 0;
    cr_assert_eq(kit_settle(1, 0, RECORDS, other, &is_new), TRI_PENDING_DIFFERENT);
    cr_expect_leq(reads, 20, "in big reads, not one for each record: %u", reads);
    cr_expect_gt(read_bytes, 300000);
    read_bytes = 0;
    cr_expect_leq(leap(3), 4);
    cr_expect_lt(read_bytes / (RECORDS / 10), 70000, "no more than what lies between two places");
}
