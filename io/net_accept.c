/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How connections begin: accepted at a listener.
 *
 * Connections are accepted one a turn, so that a storm of them never holds up
 * those that are there, and no faster than the configured rate; what comes
 * faster waits in the kernel's backlog.  When the kernel fails an accept, most often because no
 * descriptor is free, it is tried anew after a moment.
 *
 * Connections in their handshake are few.  When there are as many as may be, the
 * oldest makes room: a peer that means it has proved itself long before, and
 * silent ones cannot keep others out.
 */
#include "io/net_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NET_BACKLOG_MIN 16U
#define NET_BACKLOG_MAX 1024U
/* How often a port that somebody holds is asked for, and how long in between. */
#define NET_PROBES      200U
#define NET_PROBE_NS    10000000L

/* A second's worth of connections may wait: after a storm, nobody waits for longer than that behind
 * connections that are long gone. */
static int net_backlog(const struct tri_net *net)
{
    uint32_t backlog = net->options.accepts_per_s;

    backlog = backlog < NET_BACKLOG_MIN ? NET_BACKLOG_MIN : backlog;
    return (int)(backlog > NET_BACKLOG_MAX ? NET_BACKLOG_MAX : backlog);
}

/* The options that an accepted socket inherits from its listener. */
static int net_socket_options(const struct tri_net *net, int descriptor)
{
    static const int yes = 1;
    static const int probes = 3;
    unsigned timeout_ms = net->options.peer_timeout_ms;
    int idle_s = (int)(timeout_ms / 2000) + 1;
    int between_s = (int)(timeout_ms / 6000) + 1;

    if (setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) != 0 ||
        setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes)) != 0 ||
        setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s)) != 0 ||
        setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, &between_s, sizeof(between_s)) != 0 ||
        setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes)) != 0 ||
        setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms)) !=
            0) {
        return -errno;
    }
    return 0;
}

/* Fills `any` from a numeric address; returns its size, 0 if it is none. */
static socklen_t net_address(const char *text, uint16_t port, struct sockaddr_in6 *any)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)any;

    memset(any, 0, sizeof(*any));
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return sizeof(*v4);
    }
    if (inet_pton(AF_INET6, text, &any->sin6_addr) == 1) {
        any->sin6_family = AF_INET6;
        any->sin6_port = htons(port);
        return sizeof(*any);
    }
    return 0;
}

static int net_listen_at(struct tri_net *net, int listener, const struct sockaddr_in6 *address,
                         socklen_t address_bytes, uint16_t *port)
{
    static const int yes = 1;
    struct sockaddr_in6 bound = {0};
    socklen_t bound_bytes = sizeof(bound);
    int failed = net_socket_options(net, listener);

    if (failed != 0) {
        return failed;
    }
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
        setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)) != 0 ||
        bind(listener, (const struct sockaddr *)(const void *)address, address_bytes) != 0 ||
        listen(listener, net_backlog(net)) != 0 ||
        getsockname(listener, (struct sockaddr *)(void *)&bound, &bound_bytes) != 0) {
        return -errno;
    }
    /* Both families keep the port at the same place. */
    *port = ntohs(bound.sin6_port);
    return 0;
}

static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port),
              "the port is read without a look at the family");

void net_accept_arm(struct tri_net *net)
{
    struct io_uring_sqe *request = NULL;

    if (net->listener < 0 || net->is_accepting || net->is_listen_ending) {
        return;
    }
    if (net->accepted_ns > net->now_ns + NET_ACCEPT_BURST_NS) {
        net->accept_again_ns = net->accepted_ns - NET_ACCEPT_BURST_NS;
        net_add(&net->counters.accepts_delayed, 1);
        return;
    }
    request = tri_loop_request(net->loop);
    io_uring_prep_accept(request, net->listener, NULL, NULL, SOCK_CLOEXEC);
    request->user_data = TRI_LOOP_DATA(NET_KIND_ACCEPT, 0);
    net->is_accepting = true;
    net->accept_again_ns = TRI_NEVER;
}

static int net_probe_once(const struct sockaddr_in6 *address, socklen_t address_bytes)
{
    static const int yes = 1;
    int failed = 0;
    int probe = socket(address->sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (probe < 0) {
        return -errno;
    }
    /* Without SO_REUSEPORT, a listener that has it is in the way too. */
    if (setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
        bind(probe, (const struct sockaddr *)(const void *)address, address_bytes) != 0) {
        failed = -errno;
    }
    (void)close(probe);
    return failed;
}

int tri_net_probe(const char *address, uint16_t port)
{
    struct timespec between = {.tv_sec = 0, .tv_nsec = NET_PROBE_NS};
    struct sockaddr_in6 any;
    socklen_t bytes = net_address(address, port, &any);
    int failed = 0;

    if (bytes == 0) {
        return -EINVAL;
    }
    failed = net_probe_once(&any, bytes);
    /* When a server is killed, the kernel takes its rings apart behind its end, and closes the
     * listener with them: whoever starts it again at once finds the port still taken. */
    for (uint32_t i = 1; i < NET_PROBES && failed == -EADDRINUSE; i++) {
        (void)nanosleep(&between, NULL);
        failed = net_probe_once(&any, bytes);
    }
    return failed;
}

int tri_net_listen(struct tri_net *net, const char *address, uint16_t *port)
{
    struct sockaddr_in6 any;
    socklen_t bytes = net_address(address, *port, &any);
    int failed = 0;
    int listener = -1;

    assert(net->listener < 0);
    if (bytes == 0) {
        return -EINVAL;
    }
    listener = socket(any.sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0) {
        return -errno;
    }
    failed = net_listen_at(net, listener, &any, bytes, port);
    if (failed != 0) {
        (void)close(listener);
        return failed;
    }
    net->listener = listener;
    net_accept_arm(net);
    return 0;
}

void tri_net_listen_end(struct tri_net *net)
{
    struct io_uring_sqe *request = NULL;

    if (net->listener < 0 || net->is_listen_ending) {
        return;
    }
    net->is_listen_ending = true;
    net->accept_again_ns = TRI_NEVER;
    if (!net->is_accepting) {
        (void)close(net->listener);
        net->listener = -1;
        return;
    }
    request = tri_loop_request(net->loop);
    io_uring_prep_cancel64(request, TRI_LOOP_DATA(NET_KIND_ACCEPT, 0), 0);
    request->user_data = TRI_LOOP_DATA(NET_KIND_CANCEL, 0);
}

void net_handshake_over(struct tri_net *net, struct net_connection *connection)
{
    uint32_t count = net->handshakes.count;

    net_list_drop(net, &net->handshakes, NET_LINK_HANDSHAKE, connection);
    net_add(&net->counters.handshakes, (uint64_t)net->handshakes.count - count);
}

/* One frame fits into any fresh socket's buffer; if not, the close says enough. */
static void net_accept_refuse(const struct tri_net *net, int descriptor)
{
    (void)send(descriptor, net->refusal, net->refusal_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void net_accept_make_room(struct tri_net *net)
{
    struct net_connection *oldest = net_list_oldest(net, &net->handshakes);

    if (net->handshakes.count < net->options.handshakes_max) {
        return;
    }
    net_add(&net->counters.handshakes_evicted, 1);
    net_accept_refuse(net, oldest->descriptor);
    net_kill(net, oldest, 0);
}

static void net_accepted(struct tri_net *net, int descriptor)
{
    struct net_connection *connection = net_take(net, descriptor);

    if (net->accepted_ns < net->now_ns) {
        net->accepted_ns = net->now_ns;
    }
    net->accepted_ns += TRI_NS_PER_S / net->options.accepts_per_s;
    if (connection == NULL) {
        net_add(&net->counters.accepts_refused, 1);
        net_accept_refuse(net, descriptor);
        (void)close(descriptor);
        return;
    }
    net_accept_make_room(net);
    net_list_add(net, &net->handshakes, NET_LINK_HANDSHAKE, connection);
    net_add(&net->counters.handshakes, 1);
    net_add(&net->counters.accepts, 1);
    net_deadline_set(net, connection, net->now_ns + net->options.handshake_ms * TRI_NS_PER_MS);
    net_mark(net, connection);
    net->ops->opened(net->context, net_port(net, connection));
}

void net_accept_complete(struct tri_net *net, int32_t result)
{
    net->is_accepting = false;
    if (result >= 0) {
        if (net->is_listen_ending) {
            (void)close(result);
        } else {
            net_accepted(net, result);
        }
    } else if (result != -ECANCELED) {
        /* Most often too many open files: wait until some are closed. */
        net_add(&net->counters.accepts_failed, 1);
    }
    if (net->is_listen_ending) {
        (void)close(net->listener);
        net->listener = -1;
    } else if (result < 0) {
        net->accept_again_ns = net->now_ns + NET_SCAN_NS;
    } else {
        net_accept_arm(net);
    }
}
