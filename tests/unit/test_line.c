/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line over a socket pair: frames survive any cutting of the bytes, room is
 * bounded, and a peer that closes is noticed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/line.h"

static struct tri_line line;
static int peer;

static void open_line(uint32_t in_bytes, uint32_t out_bytes)
{
    int ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    cr_assert_eq(tri_line_init(&line, in_bytes, out_bytes), 0);
    tri_line_open(&line, ends[0]);
    peer = ends[1];
}

static void close_line(void)
{
    tri_line_fini(&line);
    (void)close(peer);
}

Test(line, frames_survive_every_cut)
{
    static const uint8_t bytes[] = {0, 0, 0, 3, 'o', 'n', 'e', 0, 0, 0, 5, 'o', 't', 'h', 'e', 'r'};

    for (size_t cut = 1; cut < sizeof(bytes); cut++) {
        struct tri_wire_fault fault;
        struct tri_bytes body;
        uint32_t frames = 0;

        open_line(64, 64);
        for (int part = 0; part < 2; part++) {
            const uint8_t *at = part == 0 ? bytes : bytes + cut;
            size_t count = part == 0 ? cut : sizeof(bytes) - cut;

            cr_assert_eq(write(peer, at, count), (ssize_t)count);
            cr_assert_eq(tri_line_receive(&line), 0);
            while (tri_line_next(&line, &body, &fault) == TRI_OK) {
                cr_assert_eq(memcmp(body.at, frames == 0 ? "one" : "other", body.bytes), 0);
                frames++;
            }
        }
        cr_assert_eq(frames, 2, "cut behind byte %zu", cut);
        cr_assert_eq(tri_line_receive(&line), -EAGAIN);
        close_line();
    }
}

Test(line, a_frame_of_no_bytes_is_a_violation)
{
    struct tri_wire_fault fault;
    struct tri_bytes body;

    open_line(64, 64);
    cr_assert_eq(write(peer, "\0\0\0\0", 4), 4);
    cr_assert_eq(tri_line_receive(&line), 0);
    cr_assert_eq(tri_line_next(&line, &body, &fault), TRI_VIOLATION);
    cr_assert_eq(fault.code, TRI_ERROR_MALFORMED_FRAME);
    close_line();
}

Test(line, the_peers_end_is_noticed)
{
    open_line(64, 64);
    (void)shutdown(peer, SHUT_RDWR);
    cr_assert_eq(tri_line_receive(&line), -ECONNRESET);
    close_line();
}

Test(line, what_does_not_fit_is_refused_until_something_has_left)
{
    struct tri_frame frame = {.type = TRI_FRAME_STATUS_GET, .status_get = {"12345678901", 11}};
    uint8_t got[64];

    open_line(64, 40);
    cr_assert_eq(tri_line_send_frame(&line, &frame), TRI_OK);
    cr_assert_eq(tri_line_send_frame(&line, &frame), TRI_OK);
    cr_assert_eq(tri_line_send_frame(&line, &frame), TRI_FULL);
    cr_assert_eq(tri_line_flush(&line), 0);
    cr_assert_eq(read(peer, got, sizeof(got)), 36);
    cr_assert_eq(memcmp(got, "\0\0\0\016\222\023\25312345678901", 18), 0);
    cr_assert_eq(tri_line_send_frame(&line, &frame), TRI_OK);
    close_line();
}

Test(line, D05_what_lies_behind_a_place_stays_here)
{
    struct tri_frame frame = {.type = TRI_FRAME_STATUS_GET, .status_get = {"12345678901", 11}};
    uint64_t place;
    uint8_t got[64];

    open_line(64, 60);
    cr_assert_eq(tri_line_place(&line), 0);
    cr_assert_eq(tri_line_flush_to(&line, 0), 0, "nothing");
    cr_assert_eq(tri_line_send_frame(&line, &frame), TRI_OK);
    place = tri_line_place(&line);
    cr_assert_eq(place, 18);
    cr_assert_eq(tri_line_send_frame(&line, &frame), TRI_OK);
    cr_assert_eq(tri_line_flush_to(&line, 0), 0);
    cr_assert_eq(read(peer, got, sizeof(got)), -1);
    cr_assert_eq(tri_line_flush_to(&line, place), 0);
    cr_assert_eq(read(peer, got, sizeof(got)), 18);
    cr_assert_eq(tri_line_send_frame(&line, &frame), TRI_OK);
    cr_assert_eq(tri_line_place(&line), 54, "places do not move with the bytes");
    cr_assert_eq(tri_line_send_frame(&line, &frame), TRI_OK, "the room of the first is used again");
    cr_assert_eq(tri_line_flush_to(&line, place), 0, "has left before");
    cr_assert_eq(read(peer, got, sizeof(got)), -1);
    cr_assert_eq(tri_line_flush_to(&line, 54), 0);
    cr_assert_eq(read(peer, got, sizeof(got)), 36);
    cr_assert_eq(tri_line_flush(&line), 0);
    cr_assert_eq(read(peer, got, sizeof(got)), 18);
    close_line();
}
