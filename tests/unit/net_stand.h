/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A net on a real loop, its other end plain sockets of the test.  The test takes turns until a
 * condition holds, at most some seconds.
 */
#ifndef TRI_TESTS_NET_STAND_H
#define TRI_TESTS_NET_STAND_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/clock.h"
#include "io/net.h"

#define FRAMES_MAX  4096U
#define PATIENCE_NS (UINT64_C(10) * TRI_NS_PER_S)

struct stand {
    struct tri_loop loop;
    struct tri_net *net;
    uint16_t tcp_port;
    tri_port port; /* the last that opened */
    uint32_t opened;
    uint32_t closed;
    int failed;
    uint32_t ahead_frames;
    uint64_t ahead_sum;
    uint32_t frames;
    uint32_t sizes[FRAMES_MAX];
    uint64_t sum;  /* over all bodies, by position */
    uint32_t full; /* answer TRI_FULL so often */
    enum tri_error refused;
    uint32_t highs;
    uint32_t lows;
    uint32_t losts;
    bool is_closing_frames;   /* close the port at the first frame */
    bool is_detaching_frames; /* give its socket away at the first frame */
    bool is_charging;         /* frames begin nothing */
    tri_port last;            /* where the last frame came from */
    int given;
};

static struct stand stand;
static uint8_t blob[TRI_FRAME_BYTES_MAX + 64];

static inline void on_opened(void *context, tri_port port)
{
    struct stand *self = context;

    self->opened++;
    self->port = port;
}

static inline enum tri_result on_frame(void *context, tri_port port, const uint8_t *body,
                                       uint32_t bytes)
{
    struct stand *self = context;

    if (self->full > 0) {
        self->full--;
        return TRI_FULL;
    }
    cr_assert_lt(self->frames, FRAMES_MAX);
    self->sizes[self->frames++] = bytes;
    self->last = port;
    if (self->is_charging) {
        tri_net_charge(self->net, port, 1);
    }
    for (uint32_t index = 0; index < bytes; index++) {
        self->sum = self->sum * 31 + body[index];
    }
    if (self->is_detaching_frames) {
        self->is_detaching_frames = false;
        self->given = tri_net_detach(self->net, port);
    }
    if (self->is_closing_frames) {
        tri_net_close(self->net, port);
    }
    return TRI_OK;
}

/* Counts, and looks at every byte: what is announced must be readable. */
static inline void on_ahead(void *context, tri_port port, const uint8_t *body, uint32_t bytes)
{
    struct stand *self = context;
    uint32_t sum = 0;

    (void)port;
    for (uint32_t i = 0; i < bytes; i++) {
        sum += body[i];
    }
    self->ahead_frames++;
    self->ahead_sum += sum;
}

static inline void on_refused(void *context, tri_port port, enum tri_error why)
{
    static const uint8_t bad[] = {'b', 'a', 'd'};
    struct stand *self = context;
    uint8_t *room = tri_net_reserve(self->net, port, sizeof(bad));

    self->refused = why;
    cr_assert_not_null(room);
    memcpy(room, bad, sizeof(bad));
    tri_net_commit(self->net, port, sizeof(bad));
}

static inline void on_pressure(void *context, tri_port port, enum tri_net_pressure what)
{
    struct stand *self = context;

    (void)port;
    self->highs += what == TRI_NET_HIGH ? 1 : 0;
    self->lows += what == TRI_NET_LOW ? 1 : 0;
    self->losts += what == TRI_NET_LOST ? 1 : 0;
}

static inline void on_closed(void *context, tri_port port, int failed)
{
    struct stand *self = context;

    cr_assert_null(tri_net_reserve(self->net, port, 1));
    self->closed++;
    self->failed = failed;
}

static const struct tri_net_ops ops = {
    .opened = on_opened,
    .frame = on_frame,
    .ahead = on_ahead,
    .refused = on_refused,
    .pressure = on_pressure,
    .closed = on_closed,
};

static inline void complete(void *context, uint64_t user_data, int32_t result, uint32_t flags)
{
    struct stand *self = context;

    tri_net_complete(self->net, user_data, result, flags, tri_clock_now_ns());
}

static inline void turn(void)
{
    uint32_t work = tri_loop_reap(&stand.loop, complete, &stand);

    work += tri_net_retry(stand.net);
    tri_net_flush(stand.net, tri_clock_now_ns());
    if (work > 0) {
        tri_loop_submit(&stand.loop);
    } else {
        tri_loop_wait(&stand.loop, 2 * TRI_NS_PER_MS);
    }
}

#define UNTIL(condition)                                                                        \
    do {                                                                                        \
        uint64_t begun_ns = tri_clock_now_ns();                                                 \
        while (!(condition)) {                                                                  \
            cr_assert_lt(tri_clock_now_ns() - begun_ns, PATIENCE_NS, "waited for " #condition); \
            turn();                                                                             \
        }                                                                                       \
    } while (0)

/* No limit that a test is not about. */
static inline struct tri_net_options stand_options(uint32_t connections, uint32_t handshake_ms)
{
    return (struct tri_net_options){
        .shard = 3,
        .connections_max = connections,
        .recv_buffers = 8,
        .recv_buffer_bytes = 4096,
        .partial_bytes = 1 << 20,
        .send_bytes = 4 << 20,
        .handshake_ms = handshake_ms,
        .peer_timeout_ms = 5000,
        .handshakes_max = connections,
        .accepts_per_s = 1000000,
        .accounts = 2,
        .account_share_permille = 1000,
        .charges_per_s = 1000000000,
        .turn_frames_max = FRAMES_MAX,
    };
}

static inline void start_with(const struct tri_net_options *options)
{
    const char *advice = "";
    int failed = 0;

    memset(&stand, 0, sizeof(stand));
    for (uint32_t index = 0; index < sizeof(blob); index++) {
        blob[index] = (uint8_t)(index * 7 + (index >> 8));
    }
    failed = tri_loop_init(&stand.loop, 64, 256, &advice);
    if (failed != 0) {
        cr_skip_test("io_uring: %s", advice);
    }
    cr_assert_eq(tri_net_init(&stand.net, options, &stand.loop, &ops, &stand, &advice), 0, "%s",
                 advice);
    tri_net_refusal_set(stand.net, (const uint8_t *)"full", 4);
    cr_assert_eq(tri_net_listen(stand.net, "127.0.0.1", &stand.tcp_port), 0);
    cr_assert_neq(stand.tcp_port, 0);
    cr_assert_eq(tri_loop_enable(&stand.loop), 0);
}

static inline void start(uint32_t connections, uint32_t handshake_ms)
{
    struct tri_net_options options = stand_options(connections, handshake_ms);

    start_with(&options);
}

static inline void stop(void)
{
    tri_loop_fini(&stand.loop);
    tri_net_fini(stand.net);
}

static inline int dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(stand.tcp_port)};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 5};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_geq(descriptor, 0);
    cr_assert_eq(setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    cr_assert_eq(connect(descriptor, (struct sockaddr *)(void *)&address, sizeof(address)), 0);
    return descriptor;
}

static inline int dial_account(uint32_t account, uint32_t send_max)
{
    struct tri_net_limits limits = {
        .account = account,
        .frame_bytes_max = TRI_FRAME_BYTES_MAX,
        .send_high_bytes = send_max / 2,
        .send_max_bytes = send_max,
    };
    uint32_t before = stand.opened;
    int descriptor = dial();

    UNTIL(stand.opened == before + 1);
    tri_net_stream(stand.net, stand.port, &limits);
    return descriptor;
}

static inline int dial_streaming(uint32_t send_max)
{
    return dial_account(0, send_max);
}

static inline void put_frame(int descriptor, uint32_t bytes)
{
    uint8_t head[4] = {(uint8_t)(bytes >> 24), (uint8_t)(bytes >> 16), (uint8_t)(bytes >> 8),
                       (uint8_t)bytes};

    cr_assert_eq(send(descriptor, head, 4, MSG_NOSIGNAL | MSG_MORE), 4);
    for (uint32_t sent = 0; sent < bytes;) {
        ssize_t now = send(descriptor, blob + sent, bytes - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (now > 0) {
            sent += (uint32_t)now;
        } else {
            cr_assert_eq(errno, EAGAIN);
            turn();
        }
    }
}

static inline void close_and_stop(int descriptor)
{
    uint32_t before = stand.closed;

    cr_assert_eq(close(descriptor), 0);
    UNTIL(stand.closed == before + 1);
    stop();
}

#endif
