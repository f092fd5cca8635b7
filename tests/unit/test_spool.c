/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: records come out once and in order, when they are published; places
 * are reused only after they were returned.
 * Method: one thread plays both sides, from indices just below the
 * wrap-around; the threads' part is tests/stress/stress_embed.c.
 */
#include <criterion/criterion.h>
#include <signal.h>

#include "shards/spool.h"

static struct tri_spool *spool_of(uint32_t places)
{
    static struct tri_spool spool;
    static _Alignas(TRI_CACHE_LINE) union tri_spool_record memory[8];

    cr_assert_leq(places, 8);
    tri_spool_init(&spool, memory, places, UINT32_MAX - 2);
    return &spool;
}

static void put(struct tri_spool *spool, uint32_t slot)
{
    tri_spool_put(spool)->news = (struct tri_spool_news){.slot = slot};
}

/* The slot of the oldest record, which is taken away; UINT32_MAX: there is none. */
static uint32_t get(struct tri_spool *spool)
{
    const union tri_spool_record *record = tri_spool_peek(spool);
    uint32_t slot = record == NULL ? UINT32_MAX : record->news.slot;

    if (record != NULL) {
        tri_spool_pop(spool);
    }
    return slot;
}

Test(spool, places_are_a_power_of_two_that_suffices)
{
    cr_expect_eq(tri_spool_places(1), 1);
    cr_expect_eq(tri_spool_places(3), 4);
    cr_expect_eq(tri_spool_places(4), 4);
    cr_expect_eq(tri_spool_places(3145728), 4194304);
}

Test(spool, records_are_seen_when_they_are_published)
{
    struct tri_spool *spool = spool_of(4);

    put(spool, 1);
    put(spool, 2);
    cr_expect_eq(get(spool), UINT32_MAX);
    tri_spool_publish(spool);
    put(spool, 3);
    cr_expect_eq(get(spool), 1);
    cr_expect_eq(get(spool), 2);
    cr_expect_eq(get(spool), UINT32_MAX);
    tri_spool_publish(spool);
    cr_expect_eq(get(spool), 3);
    cr_expect_eq(get(spool), UINT32_MAX);
}

Test(spool, all_places_are_used_and_come_back)
{
    struct tri_spool *spool = spool_of(8);
    uint32_t next = 0;
    uint32_t expected = 0;

    for (uint32_t round = 0; round < 10; round++) {
        for (uint32_t i = 0; i < 8; i++) {
            put(spool, next);
            next++;
        }
        tri_spool_publish(spool);
        for (uint32_t i = 0; i < 8; i++) {
            cr_expect_eq(get(spool), expected);
            expected++;
        }
        tri_spool_return(spool);
    }
}

Test(spool, a_record_without_a_place_is_our_own_mistake, .signal = SIGABRT)
{
    struct tri_spool *spool = spool_of(2);

    put(spool, 1);
    put(spool, 2);
    tri_spool_publish(spool);
    (void)get(spool); /* read, but not returned */
    put(spool, 3);
}
