/* SPDX-License-Identifier: Apache-2.0 */
#include "io/chain_link.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "io/log.h"

#define LINK_IN_BYTES       (1U << 20)
#define LINK_OUT_BYTES      (1U << 21)
#define LINK_BACKOFF_MS_MIN 20U
#define LINK_BACKOFF_MS_MAX 2000U
#define LINK_GREETING_MS    5000U

#define LINK_AHEAD 16U

/* Room for the answers of the frames looked at together, and for the end of the batch. */
#define LINK_ROOM_BYTES ((LINK_AHEAD + 1U) * TRI_DESK_OUT_BYTES)
static_assert(LINK_OUT_BYTES > 2U * LINK_ROOM_BYTES, "a batch is more than one frame");

int tri_link_init(struct tri_link *link, const struct tri_link_options *options, uint64_t now_ns)
{
    assert(link != NULL);
    assert(options->instance >= 1U);
    memset(link, 0, sizeof(*link));
    link->options = *options;
    link->due_ns = now_ns;
    link->backoff_ms = LINK_BACKOFF_MS_MIN;
    return tri_line_init(&link->line, LINK_IN_BYTES, LINK_OUT_BYTES);
}

void tri_link_fini(struct tri_link *link)
{
    tri_line_fini(&link->line);
}

/* Closes and waits before the next try; epoll forgets a closed socket by itself. */
static void link_lose(struct tri_link *link, uint64_t now_ns, const char *why)
{
    if (link->state == TRI_LINK_OPEN &&
        now_ns - link->open_ns >= LINK_BACKOFF_MS_MAX * TRI_NS_PER_MS) {
        link->backoff_ms = LINK_BACKOFF_MS_MIN;
    }
    TRI_LOG(TRI_LOG_WARN, "link_lost", "chain=%s why=\"%s\" retry_ms=%u", link->options.chain.at,
            why, link->backoff_ms);
    tri_line_close(&link->line);
    link->state = TRI_LINK_WAITING;
    link->due_ns = now_ns + link->backoff_ms * TRI_NS_PER_MS;
    link->backoff_ms =
        link->backoff_ms * 2U > LINK_BACKOFF_MS_MAX ? LINK_BACKOFF_MS_MAX : link->backoff_ms * 2U;
}

static void link_interest(struct tri_link *link, uint32_t interest, int operation)
{
    struct epoll_event event = {.events = interest, .data = {.u64 = link->options.tag}};

    if (operation == EPOLL_CTL_MOD && link->interest == interest) {
        return;
    }
    if (epoll_ctl(link->options.epoll_fd, operation, link->line.fd, &event) == 0) {
        link->interest = interest;
    } else {
        TRI_LOG(TRI_LOG_ERROR, "epoll", "why=\"%s\"", strerror(errno));
    }
}

static void link_connect(struct tri_link *link, uint64_t now_ns)
{
    static const int yes = 1;
    const struct tri_address *server = &link->options.server;
    int fd = socket(server->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        link_lose(link, now_ns, strerror(errno));
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    tri_line_open(&link->line, fd);
    link->ready = 0;
    link->mark_count = 0;
    if (connect(fd, (const struct sockaddr *)&server->at, server->bytes) != 0 &&
        errno != EINPROGRESS) {
        link_lose(link, now_ns, strerror(errno));
        return;
    }
    link->state = TRI_LINK_CONNECTING;
    link->due_ns = now_ns + LINK_GREETING_MS * TRI_NS_PER_MS;
    link_interest(link, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
}

static void link_connected(struct tri_link *link, uint64_t now_ns)
{
    int failed = 0;
    socklen_t bytes = sizeof(failed);

    if (getsockopt(link->line.fd, SOL_SOCKET, SO_ERROR, &failed, &bytes) != 0) {
        failed = errno;
    }
    link->peer = (struct tri_session_peer){
        .role = TRI_ROLE_CHAIN,
        .identity = link->options.chain,
        .secret = link->options.secret,
        .instance = link->options.instance,
        .shard = link->options.shard,
    };
    if (failed == 0) {
        failed = -tri_secret_random(link->peer.nonce, sizeof(link->peer.nonce));
    }
    if (failed != 0) {
        link_lose(link, now_ns, strerror(failed));
        return;
    }
    link->state = TRI_LINK_GREETING;
}

/* One frame of the handshake; false when the link was lost. */
static bool link_greet(struct tri_link *link, struct tri_bytes body, uint64_t now_ns)
{
    struct tri_writer writer = tri_line_room(&link->line, TRI_SESSION_FRAME_BYTES_MAX);
    struct tri_wire_fault fault;
    enum tri_result result;
    uint32_t bytes = 0;

    assert(writer.at != NULL); /* nothing but the handshake was queued */
    result = tri_session_peer_frame(&link->peer, body.at, body.bytes, writer.at,
                                    TRI_SESSION_FRAME_BYTES_MAX, &bytes, &fault);
    if (result == TRI_VIOLATION) {
        link_lose(link, now_ns, tri_error_meaning(fault.code));
        return false;
    }
    writer.at += bytes;
    tri_line_put(&link->line, &writer);
    if (result == TRI_OK) {
        link->state = TRI_LINK_OPEN;
        link->open_ns = now_ns;
        TRI_LOG(TRI_LOG_INFO, "link_open", "chain=%s instance=%u epoch=%u shard=%u",
                link->options.chain.at, link->options.instance, link->peer.welcome.epoch,
                link->peer.welcome.shard);
    }
    return true;
}

/* Collects frames that lie side by side and asks for what they will need, so that the memory is
 * there when their turn comes.  A frame that was put together from two receives goes alone, because
 * its buffer serves the next one. */
static enum tri_result link_collect(struct tri_link *link, const struct tri_desk *desk,
                                    struct tri_bytes bodies[LINK_AHEAD], uint32_t *count,
                                    struct tri_wire_fault *fault)
{
    struct tri_key keys[LINK_AHEAD];
    enum tri_result result = TRI_OK;

    *count = 0;
    while (*count < LINK_AHEAD &&
           (result = tri_line_next(&link->line, &bodies[*count], fault)) == TRI_OK) {
        keys[*count] = tri_desk_prefetch(desk, bodies[*count]);
        (*count)++;
        if (bodies[*count - 1U].at == link->line.straddle) {
            break;
        }
    }
    for (uint32_t i = 0; i < *count; i++) {
        tri_desk_prefetch_entry(desk, keys[i]);
    }
    return result;
}

/* Handles the frames that have arrived, as long as their answers find room. */
static void link_frames(struct tri_link *link, struct tri_desk *desk, uint64_t now_ns,
                        uint64_t wall_ms)
{
    struct tri_wire_fault fault = {TRI_ERROR_NONE, 0, NULL};
    struct tri_writer writer = tri_line_room(&link->line, LINK_ROOM_BYTES);
    struct tri_bytes bodies[LINK_AHEAD];
    enum tri_result result = TRI_OK;
    uint32_t count;

    while (result == TRI_OK && writer.at != NULL && !tri_desk_is_full(desk) &&
           writer.end - writer.at >= (ptrdiff_t)LINK_ROOM_BYTES) {
        enum tri_result taken = TRI_OK;

        result = link_collect(link, desk, bodies, &count, &fault);
        for (uint32_t i = 0; i < count && taken == TRI_OK; i++) {
            taken = tri_desk_frame(desk, bodies[i], now_ns, wall_ms, &writer, &fault);
        }
        result = taken == TRI_OK ? result : taken;
    }
    if (writer.at != NULL) {
        tri_line_put(&link->line, &writer);
    }
    if (result == TRI_VIOLATION) {
        link_lose(link, now_ns, tri_error_meaning(fault.code));
    }
}

void tri_link_event(struct tri_link *link, struct tri_desk *desk, uint64_t now_ns, uint64_t wall_ms)
{
    struct tri_wire_fault fault;
    struct tri_bytes body;
    enum tri_result result;
    int failed;

    if (link->state == TRI_LINK_CONNECTING) {
        link_connected(link, now_ns);
    }
    if (link->state == TRI_LINK_WAITING) {
        return; /* an event that was under way when the link was lost */
    }
    failed = tri_line_receive(&link->line);
    if (failed != 0 && failed != -EAGAIN) {
        link_lose(link, now_ns, strerror(-failed));
        return;
    }
    while (link->state == TRI_LINK_GREETING) {
        result = tri_line_next(&link->line, &body, &fault);
        if (result == TRI_MORE) {
            return;
        }
        if (result == TRI_VIOLATION) {
            link_lose(link, now_ns, tri_error_meaning(fault.code));
            return;
        }
        if (!link_greet(link, body, now_ns)) {
            return;
        }
        if (link->state == TRI_LINK_OPEN) {
            struct tri_writer writer = tri_line_room(&link->line, LINK_ROOM_BYTES);

            assert(writer.at != NULL);
            tri_desk_welcome(desk, now_ns, wall_ms, &writer);
            tri_line_put(&link->line, &writer);
        }
    }
    if (link->state == TRI_LINK_OPEN) {
        link_frames(link, desk, now_ns, wall_ms);
    }
}

/* Frames wait because their answers or records found no room, and now there is room. */
static bool link_is_stuck(const struct tri_link *link, const struct tri_desk *desk)
{
    return link->state == TRI_LINK_OPEN && link->line.chunk.bytes > 0U &&
           link->line.out_from == link->line.out_to && !tri_desk_is_full(desk);
}

void tri_link_tick(struct tri_link *link, struct tri_desk *desk, uint64_t now_ns, uint64_t wall_ms)
{
    if (link_is_stuck(link, desk)) {
        link_frames(link, desk, now_ns, wall_ms);
    }
    if (link->state == TRI_LINK_OPEN || link->due_ns > now_ns) {
        return;
    }
    if (link->state == TRI_LINK_WAITING) {
        link_connect(link, now_ns);
    } else {
        link_lose(link, now_ns, "no answer to the handshake");
    }
}

uint64_t tri_link_deadline_ns(const struct tri_link *link, const struct tri_desk *desk)
{
    if (link->state == TRI_LINK_OPEN) {
        return link_is_stuck(link, desk) ? 0 : TRI_NEVER;
    }
    return link->due_ns;
}

/* What this turn has queued waits for its records; what waits no more is ready. */
static void link_mark(struct tri_link *link, uint64_t noted_lsn, uint64_t durable_lsn)
{
    uint64_t place = tri_line_place(&link->line);
    uint64_t last = link->mark_count > 0U ? link->marks[link->mark_count - 1U].place : link->ready;
    uint32_t done = 0;

    if (place > last) {
        if (link->mark_count == TRI_LINK_MARKS_MAX) {
            link->mark_count--; /* waits with this turn */
        }
        link->marks[link->mark_count++] = (struct tri_link_mark){place, noted_lsn};
    }
    while (done < link->mark_count && link->marks[done].lsn <= durable_lsn) {
        link->ready = link->marks[done++].place;
    }
    link->mark_count -= done;
    memmove(link->marks, link->marks + done, link->mark_count * sizeof(link->marks[0]));
}

void tri_link_flush(struct tri_link *link, uint64_t noted_lsn, uint64_t durable_lsn,
                    uint64_t now_ns)
{
    bool has_frames;
    int failed;

    if (link->state == TRI_LINK_WAITING || link->state == TRI_LINK_CONNECTING) {
        return;
    }
    link_mark(link, noted_lsn, durable_lsn);
    failed = tri_line_flush_to(&link->line, link->ready);
    if (failed != 0 && failed != -EAGAIN) {
        link_lose(link, now_ns, strerror(-failed));
        return;
    }
    /* Frames that wait for room must not keep epoll awake. */
    has_frames = link->line.chunk.bytes > 0U;
    link_interest(
        link, (has_frames ? 0U : (uint32_t)EPOLLIN) | (failed == -EAGAIN ? (uint32_t)EPOLLOUT : 0U),
        EPOLL_CTL_MOD);
}
