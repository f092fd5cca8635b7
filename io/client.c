/* SPDX-License-Identifier: Apache-2.0 */
#include "io/client.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "io/clock.h"

#define CLIENT_IN_BYTES  (1U << 18)
#define CLIENT_OUT_BYTES (1U << 20)
#define WAIT_MS_MAX      60000U

/* Closes, notes why, and hands `failed` on. */
__attribute__((format(printf, 3, 4))) static int client_fail(struct tri_client *client, int failed,
                                                             const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(client->trouble, sizeof(client->trouble), format, arguments);
    va_end(arguments);
    tri_line_close(&client->line);
    return failed;
}

/* Waits for `events`: 0, -ETIMEDOUT (the connection stays), or another -errno. */
static int client_wait(struct tri_client *client, short events, uint64_t deadline_ns)
{
    struct pollfd poll_fd = {.fd = client->line.fd, .events = events};
    uint64_t now_ns = tri_clock_now_ns();
    uint64_t wait_ms = 0;
    int count;

    if (deadline_ns > now_ns) {
        wait_ms = (deadline_ns - now_ns + TRI_NS_PER_MS - 1U) / TRI_NS_PER_MS;
        wait_ms = wait_ms > WAIT_MS_MAX ? WAIT_MS_MAX : wait_ms;
    }
    count = poll(&poll_fd, 1, (int)wait_ms);
    if (count < 0 && errno != EINTR) {
        return client_fail(client, -errno, "poll: %s", strerror(errno));
    }
    return count <= 0 && tri_clock_now_ns() >= deadline_ns ? -ETIMEDOUT : 0;
}

static int client_connect(struct tri_client *client, const struct tri_client_options *options,
                          uint64_t deadline_ns)
{
    static const int yes = 1;
    int fd = socket(options->server.at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int failed = 0;
    socklen_t bytes = sizeof(failed);

    if (fd < 0) {
        return client_fail(client, -errno, "socket: %s", strerror(errno));
    }
    tri_line_open(&client->line, fd);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    if (connect(fd, (const struct sockaddr *)&options->server.at, options->server.bytes) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return client_fail(client, -errno, "connect: %s", strerror(errno));
    }
    failed = client_wait(client, POLLOUT, deadline_ns);
    if (failed != 0) {
        return client_fail(client, failed, "connect: no answer in time");
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &bytes) != 0) {
        failed = errno;
    }
    return failed == 0 ? 0 : client_fail(client, -failed, "connect: %s", strerror(failed));
}

/* The next frame's body: 0, or -errno as tri_client_receive(). */
static int client_body(struct tri_client *client, struct tri_bytes *body, uint64_t deadline_ns)
{
    struct tri_wire_fault fault;

    for (;;) {
        enum tri_result result = tri_line_next(&client->line, body, &fault);
        bool is_sending;
        int failed;

        if (result == TRI_OK) {
            return 0;
        }
        if (result == TRI_VIOLATION) {
            return client_fail(client, -EPROTO, "the server sent no frame: %s",
                               tri_error_meaning(fault.code));
        }
        failed = tri_line_flush(&client->line);
        if (failed != 0 && failed != -EAGAIN) {
            return client_fail(client, failed, "send: %s", strerror(-failed));
        }
        is_sending = failed == -EAGAIN;
        failed = tri_line_receive(&client->line);
        if (failed == -EAGAIN) {
            failed =
                client_wait(client, (short)(is_sending ? POLLIN | POLLOUT : POLLIN), deadline_ns);
        } else if (failed != 0) {
            failed = client_fail(client, failed, "the server closed the connection (%s)",
                                 strerror(-failed));
        }
        if (failed != 0) {
            return failed;
        }
    }
}

static int client_greet(struct tri_client *client, const struct tri_client_options *options,
                        uint64_t deadline_ns)
{
    struct tri_session_peer peer = {
        .role = options->role, .identity = options->identity, .secret = options->secret};
    int failed = tri_secret_random(peer.nonce, sizeof(peer.nonce));

    if (failed != 0) {
        return client_fail(client, failed, "no random bytes: %s", strerror(-failed));
    }
    while (!peer.is_open) {
        struct tri_wire_fault fault;
        struct tri_writer writer;
        struct tri_bytes body;
        uint32_t bytes;

        failed = client_body(client, &body, deadline_ns);
        if (failed == -ETIMEDOUT) {
            return client_fail(client, failed, "the server did not greet in time");
        }
        if (failed != 0) {
            return failed;
        }
        writer = tri_line_room(&client->line, TRI_SESSION_FRAME_BYTES_MAX);
        assert(writer.at != NULL);
        if (tri_session_peer_frame(&peer, body.at, body.bytes, writer.at,
                                   TRI_SESSION_FRAME_BYTES_MAX, &bytes, &fault) == TRI_VIOLATION) {
            return client_fail(client, -EACCES, "%s (%s)", tri_error_meaning(fault.code),
                               tri_error_name(fault.code));
        }
        writer.at += bytes;
        tri_line_put(&client->line, &writer);
    }
    client->welcome = peer.welcome;
    return 0;
}

int tri_client_open(struct tri_client *client, const struct tri_client_options *options)
{
    uint64_t deadline_ns = tri_clock_now_ns() + options->timeout_ms * TRI_NS_PER_MS;
    int failed;

    assert(client != NULL);
    memset(client, 0, sizeof(*client));
    failed = tri_line_init(&client->line, CLIENT_IN_BYTES, CLIENT_OUT_BYTES);
    if (failed != 0) {
        return client_fail(client, failed, "no memory");
    }
    failed = client_connect(client, options, deadline_ns);
    return failed == 0 ? client_greet(client, options, deadline_ns) : failed;
}

void tri_client_close(struct tri_client *client)
{
    tri_line_fini(&client->line);
}

/* Makes room for `bytes` more and returns it; at == NULL after a failure. */
static struct tri_writer client_room(struct tri_client *client, uint32_t bytes,
                                     uint64_t deadline_ns, int *failed)
{
    struct tri_writer writer = tri_line_room(&client->line, bytes);

    *failed = 0;
    while (writer.at == NULL && *failed == 0) {
        *failed = tri_line_flush(&client->line);
        if (*failed == -EAGAIN) {
            *failed = client_wait(client, POLLOUT, deadline_ns);
        } else if (*failed != 0) {
            *failed = client_fail(client, *failed, "send: %s", strerror(-*failed));
        }
        if (*failed == 0) {
            writer = tri_line_room(&client->line, bytes);
        }
    }
    return writer;
}

int tri_client_send(struct tri_client *client, const struct tri_frame *frame, uint64_t deadline_ns)
{
    int failed;
    struct tri_writer writer =
        client_room(client, TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES, deadline_ns, &failed);
    uint32_t bytes;

    if (failed != 0) {
        return failed;
    }
    bytes = tri_wire_encode(frame, writer.at, (uint32_t)(writer.end - writer.at));
    assert(bytes > 0U);
    writer.at += bytes;
    tri_line_put(&client->line, &writer);
    return 0;
}

int tri_client_request(struct tri_client *client, enum tri_frame_type type, uint32_t count,
                       struct tri_bytes elements, uint64_t deadline_ns)
{
    int failed;
    struct tri_writer writer = client_room(client, elements.bytes + 64U, deadline_ns, &failed);
    uint8_t *head = writer.at;
    uint32_t bytes;

    if (failed != 0) {
        return failed;
    }
    writer.at += TRI_FRAME_HEADER_BYTES;
    tri_put_array(&writer, count + 1U);
    tri_put_uint(&writer, (uint64_t)type);
    tri_put_raw(&writer, elements.at, elements.bytes);
    assert(!writer.failed);
    bytes = (uint32_t)(writer.at - head) - TRI_FRAME_HEADER_BYTES;
    head[0] = (uint8_t)(bytes >> 24);
    head[1] = (uint8_t)(bytes >> 16);
    head[2] = (uint8_t)(bytes >> 8);
    head[3] = (uint8_t)bytes;
    tri_line_put(&client->line, &writer);
    return 0;
}

static int client_decode(struct tri_client *client, struct tri_bytes body)
{
    struct tri_wire_fault fault;

    if (tri_wire_decode(body.at, body.bytes, &client->frame, &fault) != TRI_OK) {
        return client_fail(client, -EPROTO, "the server sent a bad frame: %s in %s",
                           tri_error_meaning(fault.code), fault.field);
    }
    return 0;
}

int tri_client_receive(struct tri_client *client, uint64_t deadline_ns)
{
    struct tri_bytes body;
    int failed = client_body(client, &body, deadline_ns);

    return failed == 0 ? client_decode(client, body) : failed;
}

int tri_client_poll(struct tri_client *client)
{
    int failed = tri_client_receive(client, 0);

    return failed == -ETIMEDOUT ? -EAGAIN : failed;
}
