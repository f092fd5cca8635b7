/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what one identity takes is bounded, whoever wants more loses it to the
 * others and not the others to it, and every such loss is counted.
 *
 * Method: the stand of net_stand.h with small limits; account 1 is the greedy one, account 0 has to
 * notice nothing.
 */
#include "tests/unit/net_stand.h"

#define COUNTER(name) atomic_load(&tri_net_counters(stand.net)->name)

/* Frames in pieces of the longest kind: of 1 MiB there is room for 9 of them. */
#define LONG_SLOTS 9U

/* Reads up to `bytes` and returns how many came before the end or the pause. */
static uint32_t take(int descriptor, uint8_t *to, uint32_t bytes)
{
    uint32_t taken = 0;
    ssize_t now = 0;

    while (taken < bytes && (now = recv(descriptor, to + taken, bytes - taken, 0)) > 0) {
        taken += (uint32_t)now;
    }
    return taken;
}

/* Begins a frame of the longest kind and leaves it there. */
static void put_half(int descriptor)
{
    static const uint8_t head[4] = {0, 1, 0x38, 0x80}; /* 80,000 */

    cr_assert_eq(send(descriptor, head, sizeof(head), MSG_NOSIGNAL), (ssize_t)sizeof(head));
    cr_assert_eq(send(descriptor, blob, 1000, MSG_NOSIGNAL), 1000);
}

/* Ends it. */
static void put_rest(int descriptor)
{
    for (uint32_t sent = 1000; sent < 80000;) {
        ssize_t now = send(descriptor, blob + sent, 80000 - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        sent += now > 0 ? (uint32_t)now : 0;
        turn();
    }
}

Test(net_account, the_oldest_handshake_makes_room_for_a_new_one)
{
    struct tri_net_options options = stand_options(8, 5000);
    uint8_t told[8];
    int descriptors[3];

    options.handshakes_max = 2;
    start_with(&options);
    for (uint32_t i = 0; i < 3; i++) {
        descriptors[i] = dial();
        UNTIL(stand.opened == i + 1);
    }
    UNTIL(stand.closed == 1);
    cr_assert_eq(take(descriptors[0], told, sizeof(told)), 4);
    cr_assert_eq(memcmp(told, "full", 4), 0);
    cr_assert_eq(COUNTER(handshakes_evicted), 1);
    cr_assert_eq(COUNTER(handshakes), 2);
    put_frame(descriptors[1], 7);
    UNTIL(stand.frames == 1);
    stop();
}

Test(net_account, a_connection_that_has_proved_itself_is_no_handshake_any_more)
{
    struct tri_net_options options = stand_options(8, 5000);

    options.handshakes_max = 1;
    start_with(&options);
    for (uint32_t i = 0; i < 5; i++) {
        (void)dial_account(0, 65536);
    }
    cr_assert_eq(tri_net_count(stand.net), 5);
    cr_assert_eq(COUNTER(handshakes_evicted), 0);
    cr_assert_eq(COUNTER(handshakes), 0);
    stop();
}

Test(net_account, connections_above_the_rate_wait_and_are_not_refused)
{
    struct tri_net_options options = stand_options(64, 5000);

    options.accepts_per_s = 40; /* and so many may wait in the kernel */
    start_with(&options);
    for (uint32_t i = 0; i < 60; i++) {
        (void)dial();
        turn();
    }
    UNTIL(stand.opened == 60);
    cr_assert_gt(COUNTER(accepts_delayed), 0);
    cr_assert_eq(COUNTER(accepts_refused), 0);
    stop();
}

Test(net_account, who_accepts_no_more_waits_for_no_rate)
{
    struct tri_net_options options = stand_options(64, 60000);
    uint64_t now_ns = 0;

    options.accepts_per_s = 1;
    start_with(&options);
    for (uint32_t i = 0; i < 4; i++) {
        (void)dial();
        turn();
    }
    UNTIL(COUNTER(accepts_delayed) == 1);
    tri_net_listen_end(stand.net);
    for (uint32_t i = 0; i < stand.opened; i++) {
        tri_net_abort(stand.net, TRI_PORT(3, 1, i));
    }
    UNTIL(stand.closed == stand.opened);
    now_ns = tri_clock_now_ns();
    tri_net_flush(stand.net, now_ns);
    cr_assert_eq(tri_net_deadline_ns(stand.net), TRI_NEVER);
    stop();
}

Test(net_account, an_account_has_its_share_of_connections)
{
    struct tri_net_options options = stand_options(8, 5000);

    options.account_share_permille = 250;
    start_with(&options);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert(tri_net_admits(stand.net, 1));
        (void)dial_account(1, 65536);
    }
    cr_assert_not(tri_net_admits(stand.net, 1));
    cr_assert(tri_net_admits(stand.net, 0));
    tri_net_abort(stand.net, stand.port);
    UNTIL(stand.closed == 1);
    cr_assert(tri_net_admits(stand.net, 1));
    stop();
}

Test(net_account, who_holds_most_memory_for_pieces_loses_its_oldest)
{
    int modest = 0;
    int greedy[LONG_SLOTS];

    start(32, 5000);
    modest = dial_account(0, 65536);
    put_half(modest);
    UNTIL(COUNTER(partial_bytes) > 0);
    for (uint32_t i = 0; i < LONG_SLOTS; i++) {
        greedy[i] = dial_account(1, 65536);
        put_half(greedy[i]);
        UNTIL(COUNTER(recv_bytes) == (i + 2) * 1004);
    }
    UNTIL(COUNTER(partials_evicted) == 1);
    cr_assert_eq(stand.refused, TRI_ERROR_BUSY);
    cr_assert_eq(COUNTER(partial_bytes), LONG_SLOTS * TRI_FRAME_BYTES_MAX);
    put_rest(modest);
    UNTIL(stand.frames == 1);
    cr_assert_eq(stand.sizes[0], 80000);
    put_rest(greedy[LONG_SLOTS - 1]);
    UNTIL(stand.frames == 2);
    cr_assert_eq(COUNTER(partials_evicted), 1);
    stop();
}

Test(net_account, a_modest_account_gets_memory_for_pieces_when_another_has_taken_all)
{
    int modest = 0;

    start(32, 5000);
    for (uint32_t i = 0; i < LONG_SLOTS; i++) {
        put_half(dial_account(1, 65536));
        UNTIL(COUNTER(recv_bytes) == (i + 1) * 1004);
    }
    cr_assert_eq(COUNTER(partials_evicted), 0);
    modest = dial_account(0, 65536);
    put_frame(modest, 80000);
    UNTIL(stand.frames == 1);
    cr_assert_eq(stand.sizes[0], 80000);
    cr_assert_eq(COUNTER(partials_evicted), 1);
    stop();
}

Test(net_account, a_frame_that_stays_unfinished_ends_its_connection)
{
    struct tri_net_options options = stand_options(8, 5000);
    int quiet = 0;
    int slow = 0;

    options.peer_timeout_ms = 300;
    start_with(&options);
    quiet = dial_account(0, 65536);
    slow = dial_account(1, 65536);
    cr_assert_eq(send(slow, "\0", 1, MSG_NOSIGNAL), 1); /* of its length, not even that is whole */
    UNTIL(stand.closed == 1);
    cr_assert_eq(COUNTER(frame_timeouts), 1);
    put_frame(quiet, 5);
    UNTIL(stand.frames == 1);
    stop();
}

Test(net_account, an_account_has_its_share_of_send_memory)
{
    struct tri_net_options options = stand_options(16, 5000);
    uint32_t queued = 0;
    tri_port modest = 0;
    tri_port greedy[4];

    options.account_share_permille = 250; /* of 4 MiB */
    start_with(&options);
    (void)dial_account(0, 1 << 20);
    modest = stand.port;
    for (uint32_t i = 0; i < 4; i++) {
        (void)dial_account(1, 1 << 20);
        greedy[i] = stand.port;
    }
    for (uint32_t i = 0; i < 4; i++) { /* without a turn, in which some of it would leave */
        while (tri_net_reserve(stand.net, greedy[i], 60000) != NULL) {
            tri_net_commit(stand.net, greedy[i], 60000);
            queued += 60000;
        }
    }
    cr_assert_eq(queued, 600000); /* ten chunks of 98,304 */
    cr_assert_eq(COUNTER(send_share_refused), 4);
    cr_assert_not_null(tri_net_reserve(stand.net, modest, 60000));
    stop();
}

Test(net_account, an_account_whose_frames_begin_nothing_is_read_slowly_and_nobody_else)
{
    struct tri_net_options options = stand_options(8, 5000);
    tri_port greedy_port = 0;
    uint32_t before = 0;
    int greedy = 0;
    int modest = 0;

    options.charges_per_s = 200;
    start_with(&options);
    greedy = dial_account(1, 65536);
    greedy_port = stand.port;
    modest = dial_account(0, 65536);
    stand.is_charging = true;
    for (uint32_t i = 0; i < 60; i++) {
        put_frame(greedy, 4000);
    }
    UNTIL(COUNTER(throttles) == 1);
    stand.is_charging = false;
    cr_assert_eq(stand.last, greedy_port);
    before = stand.frames;
    cr_assert_lt(before, 60);
    put_frame(modest, 9);
    UNTIL(stand.last != greedy_port);
    cr_assert_leq(stand.frames, before + 2); /* what had been received is handed out */
    UNTIL(stand.frames == 61);
    cr_assert_eq(COUNTER(throttles), 1);
    stop();
}

Test(net_account, a_connection_that_waits_for_its_debt_can_end)
{
    struct tri_net_options options = stand_options(8, 5000);
    int greedy = 0;

    options.charges_per_s = 10;
    start_with(&options);
    stand.is_charging = true;
    greedy = dial_account(1, 65536);
    for (uint32_t i = 0; i < 30; i++) {
        put_frame(greedy, 40);
    }
    UNTIL(COUNTER(throttles) == 1);
    for (uint32_t i = 0; i < 5; i++) {
        turn();
    }
    tri_net_abort(stand.net, stand.last);
    UNTIL(stand.closed == 1);
    (void)dial_account(1, 65536);
    (void)dial_account(0, 65536);
    cr_assert_eq(tri_net_count(stand.net), 2);
    UNTIL(COUNTER(throttles) == 1 && tri_net_deadline_ns(stand.net) == TRI_NEVER);
    stop();
}

Test(net_account, a_long_run_of_frames_is_spread_over_turns)
{
    struct tri_net_options options = stand_options(8, 5000);
    int descriptor = 0;

    options.turn_frames_max = 3;
    start_with(&options);
    descriptor = dial_account(0, 65536);
    for (uint32_t i = 0; i < 100; i++) {
        put_frame(descriptor, 20 + i);
    }
    UNTIL(stand.frames == 100);
    for (uint32_t i = 0; i < 100; i++) {
        cr_assert_eq(stand.sizes[i], 20 + i);
    }
    cr_assert_gt(COUNTER(recv_yields), 0);
    close_and_stop(descriptor);
}
