/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a chain appends comes back, in its order and as often as the
 * process starts; a directory belongs to one process of one chain.
 * Method: real directories; more records at once than the journal has room for;
 * lives that end in order and lives that just end.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/chain_store.h"
#include "io/clock.h"

#define SEGMENT_BYTES (UINT64_C(1) << 20)

static char path[64];
static struct tri_store store;
static char why[TRI_STORE_WHY_BYTES];

static void make_directory(void)
{
    (void)snprintf(path, sizeof(path), "/tmp/tricast-store-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
}

static int remove_one(const char *name, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(name);
}

static void remove_directory(void)
{
    cr_assert_eq(nftw(path, remove_one, 4, FTW_DEPTH | FTW_PHYS), 0);
}

TestSuite(chain_store, .init = make_directory, .fini = remove_directory);

static void open_store(uint32_t instance)
{
    int failed = tri_store_open(&store, path, "eip155:10", SEGMENT_BYTES, why);

    cr_assert_eq(failed, 0, "%s", why);
    cr_assert_eq(store.instance, instance);
}

static void begin_store(void)
{
    int failed = tri_store_begin(&store, why);

    cr_assert_eq(failed, 0, "%s", why);
}

/* Record n is n's digits, many times over. */
static uint32_t payload_of(uint64_t n, uint8_t to[TRI_STORE_RECORD_BYTES])
{
    uint32_t bytes = (uint32_t)(n * 37 % (TRI_STORE_RECORD_BYTES + 1));

    for (uint32_t i = 0; i < bytes; i++) {
        to[i] = (uint8_t)(n >> (i % 3 * 8));
    }
    return bytes;
}

static void append(uint64_t lsn, uint64_t n)
{
    uint8_t payload[TRI_STORE_RECORD_BYTES];
    uint32_t bytes = payload_of(n, payload);

    tri_store_append(&store, (uint16_t)(n % 5), (uint16_t)(n % TRI_SLOT_COUNT), lsn, payload,
                     bytes);
}

static int take(void *context, const struct tri_journal_entry *entry)
{
    uint64_t *next = context;
    uint8_t payload[TRI_STORE_RECORD_BYTES];
    uint32_t bytes;

    if (entry->record.type == TRI_LOG_TYPE_CHAINS) {
        return 0;
    }
    bytes = payload_of(*next, payload);
    cr_assert_eq(entry->record.type, *next % 5);
    cr_assert_eq(entry->record.slot, *next % TRI_SLOT_COUNT);
    cr_assert_eq(entry->record.bytes, bytes);
    cr_assert_arr_eq(entry->record.payload, payload, bytes);
    (*next)++;
    return 0;
}

static void expect_records(uint64_t count)
{
    uint64_t next = 0;
    int failed = tri_store_replay(&store, take, &next, why);

    cr_assert_eq(failed, 0, "%s", why);
    cr_assert_eq(next, count);
}

static void wait_durable(uint64_t lsn)
{
    while (tri_store_durable_lsn(&store) < lsn) {
        cr_assert_eq(tri_store_turn(&store, tri_clock_now_ns(), why), 0, "%s", why);
        if (tri_store_durable_lsn(&store) < lsn) {
            (void)tri_journal_wait(store.journal, TRI_NS_PER_S);
        }
    }
}

Test(chain_store, D05_every_life_takes_back_what_all_before_it_made_durable)
{
    uint64_t count = 0;

    for (uint32_t life = 1; life <= 5; life++) {
        open_store(life);
        expect_records(count);
        begin_store();
        for (uint64_t lsn = 1; lsn <= 100 * life; lsn++) {
            append(lsn, count++);
            if (lsn % 7 == 0) {
                cr_assert_eq(tri_store_turn(&store, tri_clock_now_ns(), why), 0);
            }
        }
        if (life % 2 == 0) {
            cr_assert_eq(tri_store_end(&store, why), 0, "%s", why);
            cr_assert_eq(tri_store_durable_lsn(&store), 100 * life);
        } else {
            wait_durable(100 * life);
        }
        tri_store_close(&store);
    }
    open_store(6);
    expect_records(count);
    tri_store_close(&store);
}

Test(chain_store, R08_what_the_journal_has_no_room_for_waits_and_is_not_lost)
{
    uint64_t count = 0;
    uint32_t fulls = 0;

    open_store(1);
    begin_store();
    while (fulls < 3) {
        while (!tri_store_is_full(&store)) {
            append(count + 1, count);
            count++;
        }
        fulls++;
        for (uint32_t i = 0; i < 1000; i++) { /* what was begun goes on */
            append(count + 1, count);
            count++;
        }
        cr_assert(tri_store_is_full(&store));
        while (tri_store_is_full(&store)) {
            cr_assert_eq(tri_store_turn(&store, tri_clock_now_ns(), why), 0, "%s", why);
            if (tri_store_is_full(&store)) {
                (void)tri_journal_wait(store.journal, TRI_NS_PER_S);
            }
        }
    }
    cr_assert_eq(tri_store_end(&store, why), 0, "%s", why);
    tri_store_close(&store);
    open_store(2);
    expect_records(count);
    tri_store_close(&store);
}

Test(chain_store, P15_a_directory_belongs_to_one_process_of_one_chain)
{
    static struct tri_store second;

    open_store(1);
    cr_assert_eq(tri_store_open(&second, path, "eip155:10", 0, why), -EWOULDBLOCK);
    cr_assert_not_null(strstr(why, "another process"));
    tri_store_close(&second);
    tri_store_close(&store);
    cr_assert_eq(tri_store_open(&second, path, "eip155:1", 0, why), -EINVAL);
    cr_assert_str_eq(why, "the directory belongs to 'eip155:10'");
    tri_store_close(&second);
    open_store(2);
    tri_store_close(&store);
}

Test(chain_store, P15_without_a_directory_everything_counts_as_durable)
{
    cr_assert_eq(tri_store_open(&store, NULL, "eip155:10", 0, why), 0);
    cr_assert_geq(store.instance, 1750000000);
    expect_records(0);
    begin_store();
    for (uint64_t lsn = 1; lsn <= 100000; lsn++) {
        append(lsn, lsn);
        cr_assert_not(tri_store_is_full(&store));
    }
    cr_assert_eq(tri_store_durable_lsn(&store), 100000);
    cr_assert_eq(tri_store_turn(&store, tri_clock_now_ns(), why), 0);
    cr_assert_eq(tri_store_descriptor(&store), -1);
    cr_assert_eq(tri_store_deadline_ns(&store), TRI_NEVER);
    cr_assert_eq(tri_store_end(&store, why), 0);
    tri_store_close(&store);
}
