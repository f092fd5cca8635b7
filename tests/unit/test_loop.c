/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a loop that sleeps is woken by another one, and what is posted arrives
 * with its number; a wait ends at its time.
 *
 * Method: two loops, one of them asleep in a thread of its own.
 */
#include <criterion/criterion.h>
#include <pthread.h>

#include "engine/limits.h"
#include "io/clock.h"
#include "io/loop.h"
#include "tricast/message.h"

static struct tri_loop sleeper;
static uint64_t got_data;
static int32_t got_result;

static void keep(void *context, uint64_t user_data, int32_t result, uint32_t flags)
{
    (void)context;
    (void)flags;
    got_data = user_data;
    got_result = result;
}

static void *sleep_until_woken(void *context)
{
    (void)context;
    if (tri_loop_enable(&sleeper) == 0) {
        while (tri_loop_reap(&sleeper, keep, NULL) == 0) {
            tri_loop_wait(&sleeper, TRI_NEVER);
        }
    }
    return NULL;
}

static void make(struct tri_loop *loop)
{
    const char *advice = "";

    if (tri_loop_init(loop, 8, 16, &advice) != 0) {
        cr_skip_test("io_uring: %s", advice);
    }
}

Test(loop, another_loop_wakes_a_sleeper)
{
    struct tri_loop loop;
    pthread_t thread;

    make(&loop);
    make(&sleeper);
    cr_assert_eq(tri_loop_enable(&loop), 0);
    cr_assert_eq(pthread_create(&thread, NULL, sleep_until_woken, NULL), 0);
    tri_loop_wait(&loop, 20 * TRI_NS_PER_MS); /* the sleeper most likely sleeps by now */
    tri_loop_post(&loop, &sleeper, TRI_LOOP_DATA(17, 4711), 42);
    tri_loop_submit(&loop);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_expect_eq(TRI_LOOP_KIND(got_data), 17);
    cr_expect_eq(got_data & 0xffffff, 4711);
    cr_expect_eq(got_result, 42);
    tri_loop_fini(&loop);
    tri_loop_fini(&sleeper);
}

Test(loop, a_wait_ends_at_its_time)
{
    struct tri_loop loop;
    uint64_t begun_ns = 0;

    make(&loop);
    cr_assert_eq(tri_loop_enable(&loop), 0);
    begun_ns = tri_clock_now_ns();
    tri_loop_wait(&loop, 30 * TRI_NS_PER_MS);
    cr_expect_geq(tri_clock_now_ns() - begun_ns, 30 * TRI_NS_PER_MS);
    cr_expect_eq(tri_loop_reap(&loop, keep, NULL), 0);
    tri_loop_fini(&loop);
}

Test(loop, more_requests_than_entries_are_all_carried_out)
{
    struct tri_loop loop;
    uint32_t reaped = 0;

    make(&loop);
    cr_assert_eq(tri_loop_enable(&loop), 0);
    for (uint32_t index = 0; index < 100; index++) {
        io_uring_prep_nop(tri_loop_request(&loop));
    }
    while (reaped < 100) {
        uint32_t now = tri_loop_reap(&loop, keep, NULL);

        reaped += now;
        if (now == 0) {
            tri_loop_wait(&loop, TRI_NS_PER_S);
        }
    }
    cr_expect_eq(reaped, 100);
    tri_loop_fini(&loop);
}

Test(loop, fini_accepts_a_zeroed_loop)
{
    struct tri_loop loop = {0};

    tri_loop_fini(&loop);
    cr_expect_not(loop.is_ready);
}
