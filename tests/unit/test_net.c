/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever the pieces in which bytes arrive and leave, the same frames come
 * out in order; what cannot be taken waits; what is too much is refused; and a
 * connection's end is told exactly once.
 *
 * Method: a net on a real loop, its other end a plain socket of the test.  The
 * test takes turns until a condition holds, at most some seconds.
 */
#include "tests/unit/net_stand.h"

#include <pthread.h>
#include <time.h>

Test(net, frames_of_every_size_arrive_whole_and_in_order)
{
    static const uint32_t sizes[] = {1, 4095, 4092, 4096, 10000, 2, 81920, 3, 40000, 81919};
    uint64_t sum = 0;
    int descriptor = 0;

    start(4, 1000);
    descriptor = dial_streaming(65536);
    for (uint32_t index = 0; index < 10; index++) {
        put_frame(descriptor, sizes[index]);
        for (uint32_t byte = 0; byte < sizes[index]; byte++) {
            sum = sum * 31 + blob[byte];
        }
    }
    UNTIL(stand.frames == 10);
    for (uint32_t index = 0; index < 10; index++) {
        cr_expect_eq(stand.sizes[index], sizes[index]);
    }
    cr_expect_eq(stand.sum, sum);
    close_and_stop(descriptor);
}

Test(net, frames_behind_the_one_at_hand_are_announced_once)
{
    uint8_t bytes[10 * 14];
    uint32_t sum = 0;
    int descriptor = 0;

    start(4, 1000);
    descriptor = dial_streaming(65536);
    for (uint32_t index = 0; index < 10; index++) {
        uint8_t *at = bytes + (size_t)index * 14;

        memcpy(at, (const uint8_t[4]){0, 0, 0, 10}, 4);
        memset(at + 4, (int)index, 10);
        sum += index * 10;
    }
    cr_assert_eq(send(descriptor, bytes, sizeof(bytes), MSG_NOSIGNAL), (ssize_t)sizeof(bytes));
    UNTIL(stand.frames == 10);
    cr_expect_eq(stand.ahead_frames, 9U); /* all but the first, which nothing preceded */
    cr_expect_eq(stand.ahead_sum, sum);
    close_and_stop(descriptor);
}

Test(net, a_frame_in_single_bytes_arrives)
{
    static const uint8_t frame[9] = {0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o'};
    int descriptor = 0;

    start(4, 1000);
    descriptor = dial_streaming(65536);
    for (uint32_t index = 0; index < 9; index++) {
        cr_expect_eq(stand.frames, 0);
        cr_assert_eq(send(descriptor, &frame[index], 1, MSG_NOSIGNAL), 1);
        turn();
        turn();
    }
    UNTIL(stand.frames == 1);
    cr_expect_eq(stand.sizes[0], 5);
    close_and_stop(descriptor);
}

Test(net, what_finds_no_room_waits_and_nothing_is_lost)
{
    int descriptor = 0;

    start(4, 1000);
    descriptor = dial_streaming(65536);
    stand.full = 50;
    for (uint32_t index = 0; index < 1000; index++) {
        put_frame(descriptor, 100);
    }
    UNTIL(stand.frames == 1000);
    cr_expect_eq(stand.full, 0);
    cr_expect_geq(atomic_load(&tri_net_counters(stand.net)->recv_stalls), 1);
    close_and_stop(descriptor);
}

Test(net, R07_a_stalled_connection_does_not_stop_another)
{
    int stalled = 0;
    int other = 0;

    start(4, 1000);
    stalled = dial_streaming(65536);
    stand.full = UINT32_MAX;
    for (uint32_t index = 0; index < 20; index++) {
        put_frame(stalled, 1000);
    }
    for (uint32_t index = 0; index < 200; index++) {
        turn();
    }
    other = dial_streaming(65536);
    stand.full = 0;
    cr_expect_eq(stand.frames, 0);
    put_frame(other, 50);
    UNTIL(stand.frames == 21);
    cr_assert_eq(close(other), 0);
    UNTIL(stand.closed == 1);
    close_and_stop(stalled);
}

Test(net, an_overlong_frame_is_refused_with_a_word)
{
    char text[16] = "";
    int descriptor = 0;

    start(4, 1000);
    descriptor = dial_streaming(65536);
    cr_assert_eq(send(descriptor, "\0\1\100\1", 4, MSG_NOSIGNAL), 4); /* 81921 */
    UNTIL(stand.refused != TRI_ERROR_NONE);
    cr_expect_eq(stand.refused, TRI_ERROR_FRAME_TOO_LONG);
    for (uint32_t index = 0; index < 20; index++) {
        turn();
    }
    cr_assert_eq(recv(descriptor, text, sizeof(text), MSG_WAITALL), 3);
    cr_expect_str_eq(text, "bad");
    close_and_stop(descriptor);
}

Test(net, before_the_handshake_ends_frames_are_short)
{
    int descriptor = 0;

    start(4, 1000);
    descriptor = dial();
    cr_assert_eq(send(descriptor, "\0\0\2\1", 4, MSG_NOSIGNAL), 4); /* 513 */
    UNTIL(stand.refused != TRI_ERROR_NONE);
    cr_expect_eq(stand.refused, TRI_ERROR_FRAME_TOO_LONG);
    close_and_stop(descriptor);
}

Test(net, a_peer_that_says_nothing_is_closed)
{
    int descriptor = 0;

    start(4, 150);
    descriptor = dial();
    UNTIL(stand.refused == TRI_ERROR_HANDSHAKE_TIMEOUT);
    UNTIL(stand.closed == 1);
    cr_expect_eq(atomic_load(&tri_net_counters(stand.net)->handshake_timeouts), 1);
    cr_assert_eq(close(descriptor), 0);
    stop();
}

Test(net, more_connections_than_slots_are_told_so)
{
    char text[16] = "";
    int first = 0;
    int second = 0;

    start(1, 1000);
    first = dial_streaming(65536);
    second = dial();
    UNTIL(atomic_load(&tri_net_counters(stand.net)->accepts_refused) == 1);
    cr_assert_eq(recv(second, text, sizeof(text), 0), 4);
    cr_expect_str_eq(text, "full");
    cr_assert_eq(recv(second, text, sizeof(text), 0), 0);
    cr_assert_eq(close(second), 0);
    close_and_stop(first);
}

Test(net, a_slot_is_used_again_under_another_name)
{
    tri_port first = 0;
    int descriptor = 0;

    start(1, 1000);
    descriptor = dial_streaming(65536);
    first = stand.port;
    cr_assert_eq(close(descriptor), 0);
    UNTIL(stand.closed == 1);
    descriptor = dial_streaming(65536);
    cr_expect_neq(stand.port, first);
    cr_expect_eq(TRI_PORT_SHARD(first), 3);
    cr_expect_null(tri_net_reserve(stand.net, first, 1));
    cr_expect_not_null(tri_net_reserve(stand.net, stand.port, 1));
    close_and_stop(descriptor);
}

static void queue(uint32_t bytes)
{
    uint8_t *room = tri_net_reserve(stand.net, stand.port, bytes);

    cr_assert_not_null(room);
    memcpy(room, blob, bytes);
    tri_net_commit(stand.net, stand.port, bytes);
}

static uint64_t received(int descriptor, uint64_t expected)
{
    static uint8_t into[65536];
    uint64_t begun_ns = tri_clock_now_ns();
    uint64_t total = 0;

    while (total < expected && tri_clock_now_ns() - begun_ns < PATIENCE_NS) {
        ssize_t got = recv(descriptor, into, sizeof(into), MSG_DONTWAIT);

        total += got > 0 ? (uint64_t)got : 0;
        turn();
    }
    return total;
}

Test(net, everything_queued_leaves_in_few_sends)
{
    int descriptor = 0;

    start(4, 1000);
    descriptor = dial_streaming(1 << 20);
    for (uint32_t index = 0; index < 1000; index++) {
        queue(100);
    }
    cr_expect_eq(received(descriptor, 100000), 100000);
    cr_expect_leq(atomic_load(&tri_net_counters(stand.net)->sends), 2);
    close_and_stop(descriptor);
}

Test(net, a_peer_that_does_not_read_meets_high_water_then_the_limit)
{
    uint64_t queued = 0;
    int descriptor = 0;

    start(4, 1000);
    descriptor = dial_streaming(2 << 20);
    while (stand.losts == 0) {
        uint8_t *room = tri_net_reserve(stand.net, stand.port, 50000);

        if (room != NULL) {
            memcpy(room, blob, 50000);
            tri_net_commit(stand.net, stand.port, 50000);
            queued += 50000;
        }
        turn();
    }
    cr_expect_eq(stand.highs, 1);
    cr_expect_eq(stand.lows, 0);
    cr_expect_eq(received(descriptor, queued), queued);
    UNTIL(stand.lows == 1);
    cr_expect_eq(stand.losts, 1);
    close_and_stop(descriptor);
}

Test(net, what_was_queued_leaves_before_a_close)
{
    int descriptor = 0;

    start(4, 1000);
    descriptor = dial_streaming(1 << 20);
    for (uint32_t index = 0; index < 10; index++) {
        queue(80000);
    }
    tri_net_close(stand.net, stand.port);
    cr_expect_null(tri_net_reserve(stand.net, stand.port, 1));
    cr_expect_eq(received(descriptor, 800000), 800000);
    cr_assert_eq(close(descriptor), 0);
    UNTIL(stand.closed == 1);
    cr_expect_eq(stand.failed, 0);
    stop();
}

Test(net, nothing_is_handed_out_behind_a_close)
{
    int descriptor = 0;

    start(4, 1000);
    descriptor = dial_streaming(65536);
    stand.is_closing_frames = true;
    for (uint32_t index = 0; index < 30; index++) {
        put_frame(descriptor, 10);
    }
    UNTIL(stand.closed == 1);
    cr_expect_eq(stand.frames, 1);
    cr_assert_eq(close(descriptor), 0);
    stop();
}

Test(net, a_paused_connection_is_not_read_until_resumed)
{
    int descriptor = 0;

    start(4, 1000);
    descriptor = dial_streaming(65536);
    put_frame(descriptor, 1);
    UNTIL(stand.frames == 1);
    tri_net_pause(stand.net, stand.port);
    turn();
    turn();
    put_frame(descriptor, 1);
    for (uint32_t index = 0; index < 20; index++) {
        turn();
    }
    cr_expect_eq(stand.frames, 1);
    tri_net_resume(stand.net, stand.port);
    UNTIL(stand.frames == 2);
    close_and_stop(descriptor);
}

Test(net, after_the_end_of_listening_open_connections_go_on)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int descriptor = 0;
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    start(4, 1000);
    descriptor = dial_streaming(65536);
    tri_net_listen_end(stand.net);
    turn();
    turn();
    address.sin_port = htons(stand.tcp_port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_expect_eq(connect(late, (struct sockaddr *)(void *)&address, sizeof(address)), -1);
    cr_expect_eq(errno, ECONNREFUSED);
    cr_assert_eq(close(late), 0);
    put_frame(descriptor, 5);
    UNTIL(stand.frames == 1);
    close_and_stop(descriptor);
}

Test(net, only_numeric_addresses_are_listened_at)
{
    uint16_t port = 0;

    start(4, 1000);
    tri_net_listen_end(stand.net);
    for (uint32_t index = 0; index < 5; index++) {
        turn();
    }
    cr_expect_eq(tri_net_listen(stand.net, "localhost", &port), -EINVAL);
    cr_expect_eq(tri_net_listen(stand.net, "203.0.113.1", &port), -EADDRNOTAVAIL);
    stop();
}

static void *let_go_of(void *holder)
{
    const struct timespec moment = {.tv_sec = 0, .tv_nsec = 50 * (long)TRI_NS_PER_MS};

    (void)nanosleep(&moment, NULL);
    (void)close(*(const int *)holder);
    return NULL;
}

Test(net, a_port_that_a_killed_server_still_holds_is_waited_for)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    int holder = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t thread;

    cr_assert_eq(bind(holder, (struct sockaddr *)&address, bytes), 0);
    cr_assert_eq(listen(holder, 1), 0);
    cr_assert_eq(getsockname(holder, (struct sockaddr *)&address, &bytes), 0);
    cr_assert_eq(pthread_create(&thread, NULL, let_go_of, &holder), 0);
    cr_expect_eq(tri_net_probe("127.0.0.1", ntohs(address.sin_port)), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

Test(net, a_connection_can_be_given_away_in_its_handshake)
{
    struct tri_net_limits limits = {TRI_FRAME_BYTES_MAX, 1000, 2000, 0};
    tri_port taken = 0;
    int descriptor = 0;

    start(4, 1000);
    descriptor = dial();
    UNTIL(stand.opened == 1);
    turn();
    cr_assert_eq(tri_net_detach(stand.net, stand.port), -EBUSY, "a receive is armed");
    stand.is_detaching_frames = true;
    put_frame(descriptor, 5);
    UNTIL(stand.frames == 1);
    cr_assert_geq(stand.given, 0);
    UNTIL(tri_net_count(stand.net) == 0);
    cr_expect_eq(stand.closed, 0);
    cr_assert_eq(tri_net_attach(stand.net, stand.given, &limits, &taken), 0);
    put_frame(descriptor, 6);
    UNTIL(stand.frames == 2);
    cr_expect_eq(stand.sizes[1], 6);
    close_and_stop(descriptor);
}
