/* SPDX-License-Identifier: Apache-2.0 */
#include "io/chain_admin.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <msgpack.h>

#include "io/log.h"

#define ADMIN_IN_BYTES    4096U
#define ADMIN_OUT_BYTES   (2U * (TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES))
#define ADMIN_BACKLOG     16
#define ADMIN_GREETING_MS 5000U
#define ADMIN_EPOCH       1U /* a chain has no epochs; the field must hold a number */
#define COUNTER_BYTES_MAX 48U
#define ASSET_BYTES_MAX   (TRI_ASSET_ID_BYTES_MAX + TRI_ID_BYTES_MAX + 24U)

static_assert(TRI_LEDGER_PAGE_MAX * ASSET_BYTES_MAX + 64U * COUNTER_BYTES_MAX < TRI_FRAME_BYTES_MAX,
              "a full page must fit into a frame");

int tri_admin_open(struct tri_admin *admin, const struct tri_admin_options *options,
                   const struct tri_address *address)
{
    static const int yes = 1;
    struct sockaddr_storage bound;
    socklen_t bytes = sizeof(bound);
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = options->tag}};
    int fd = socket(address->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int failed = 0;

    memset(admin, 0, sizeof(*admin));
    admin->listen_fd = fd;
    admin->options = *options;
    admin->identity = (struct tri_identity){
        .role = TRI_ROLE_OPERATOR, .name = {"operator", 8}, .secret = *options->secret};
    for (uint32_t i = 0; i < TRI_ADMIN_LINES_MAX && failed == 0; i++) {
        failed = tri_line_init(&admin->at[i].line, ADMIN_IN_BYTES, ADMIN_OUT_BYTES);
    }
    if (failed != 0) {
        return failed;
    }
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
        bind(fd, (const struct sockaddr *)&address->at, address->bytes) != 0 ||
        listen(fd, ADMIN_BACKLOG) != 0 || getsockname(fd, (struct sockaddr *)&bound, &bytes) != 0 ||
        epoll_ctl(options->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        return -errno;
    }
    if (bound.ss_family == AF_INET) {
        struct sockaddr_in v4;

        memcpy(&v4, &bound, sizeof(v4));
        admin->port = ntohs(v4.sin_port);
    } else {
        struct sockaddr_in6 v6;

        memcpy(&v6, &bound, sizeof(v6));
        admin->port = ntohs(v6.sin6_port);
    }
    return 0;
}

void tri_admin_close(struct tri_admin *admin)
{
    if (admin->port == 0U && admin->listen_fd <= 0) {
        return;
    }
    if (admin->listen_fd >= 0) {
        (void)close(admin->listen_fd);
        admin->listen_fd = -1;
    }
    for (uint32_t i = 0; i < TRI_ADMIN_LINES_MAX; i++) {
        tri_line_fini(&admin->at[i].line);
    }
}

static void admin_accept(struct tri_admin *admin, uint64_t now_ns)
{
    int fd = accept4(admin->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    uint8_t nonce[TRI_NONCE_BYTES];
    struct tri_writer writer;
    uint32_t i = 0;

    while (i < TRI_ADMIN_LINES_MAX && admin->at[i].line.fd >= 0) {
        i++;
    }
    event.data.u64 = admin->options.tag + 1U + i;
    if (fd < 0) {
        return;
    }
    if (i == TRI_ADMIN_LINES_MAX || tri_secret_random(nonce, sizeof(nonce)) != 0 ||
        epoll_ctl(admin->options.epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        TRI_LOG(TRI_LOG_WARN, "admin_refused", "lines_max=%u", TRI_ADMIN_LINES_MAX);
        (void)close(fd);
        return;
    }
    tri_line_open(&admin->at[i].line, fd);
    admin->at[i].lsn = 0;
    admin->at[i].due_ns = now_ns + ADMIN_GREETING_MS * TRI_NS_PER_MS;
    writer = tri_line_room(&admin->at[i].line, TRI_SESSION_FRAME_BYTES_MAX);
    assert(writer.at != NULL);
    writer.at +=
        tri_session_challenge(&admin->at[i].session, nonce, writer.at, TRI_SESSION_FRAME_BYTES_MAX);
    tri_line_put(&admin->at[i].line, &writer);
    (void)tri_line_flush(&admin->at[i].line);
}

static void put_name(struct tri_writer *writer, const char *name)
{
    tri_put_text(writer, (struct tri_text){name, (uint32_t)strlen(name)});
}

static void put_counter(struct tri_writer *writer, const char *name, uint64_t value)
{
    tri_put_array(writer, 2);
    put_name(writer, name);
    tri_put_uint(writer, value);
}

static void put_counters(struct tri_writer *writer, const struct tri_admin *admin)
{
    const struct tri_desk_counters *desk = tri_desk_counters(admin->options.desk);
    const struct tri_participant_counters *participant = tri_desk_participant(admin->options.desk);

    tri_put_array(writer,
                  (uint32_t)(2U + (sizeof(*desk) + sizeof(*participant)) / sizeof(uint64_t)));
    put_counter(writer, "instance", admin->options.instance);
    put_counter(writer, "assets", admin->options.book->count);
#define PUT_DESK(name, unit, help)        put_counter(writer, #name, desk->name);
#define PUT_PARTICIPANT(name, unit, help) put_counter(writer, #name, participant->name);
    TRI_DESK_COUNTERS(PUT_DESK)
    TRI_PARTICIPANT_COUNTERS(PUT_PARTICIPANT)
#undef PUT_DESK
#undef PUT_PARTICIPANT
}

static void put_asset(struct tri_writer *writer, const struct tri_admin *admin,
                      const struct tri_asset_view *view)
{
    struct tri_text holder = {"", 0};

    if (view->is_reserved) {
        holder = tri_desk_holder(admin->options.desk, view->holder);
    }
    tri_put_array(writer, 5);
    tri_put_text(writer, view->id);
    tri_put_uint(writer, view->state);
    tri_put_uint(writer, view->secondary);
    tri_put_uint(writer, view->version);
    tri_put_text(writer, holder);
}

/* Writes LEDGER [26, chain, more, assets, counters]. */
static void put_page(struct tri_writer *writer, const struct tri_admin *admin,
                     struct tri_text after, uint32_t limit)
{
    const struct tri_book *book = admin->options.book;
    uint32_t cursor = tri_book_after(book, after);
    uint32_t count = book->count - cursor < limit ? book->count - cursor : limit;
    uint8_t *head = writer->at;
    uint32_t bytes;

    writer->at += TRI_FRAME_HEADER_BYTES;
    tri_put_array(writer, 5);
    tri_put_uint(writer, TRI_FRAME_LEDGER);
    tri_put_text(writer, admin->options.chain);
    tri_put_bool(writer, cursor + count < book->count);
    tri_put_array(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        struct tri_asset_view view;
        bool found = tri_ledger_next(book->ledger, &cursor, &view);

        assert(found);
        put_asset(writer, admin, &view);
    }
    put_counters(writer, admin);
    assert(!writer->failed);
    bytes = (uint32_t)(writer->at - head) - TRI_FRAME_HEADER_BYTES;
    head[0] = (uint8_t)(bytes >> 24);
    head[1] = (uint8_t)(bytes >> 16);
    head[2] = (uint8_t)(bytes >> 8);
    head[3] = (uint8_t)bytes;
}

/* Reads LEDGER_GET's [after str, limit int]; false if they are something else. */
static bool read_ledger_get(struct tri_bytes rest, char after[TRI_ASSET_ID_BYTES_MAX],
                            struct tri_text *text, uint32_t *limit)
{
    msgpack_unpacked tree;
    size_t at = 0;
    bool ok;

    msgpack_unpacked_init(&tree);
    ok = msgpack_unpack_next(&tree, (const char *)rest.at, rest.bytes, &at) ==
             MSGPACK_UNPACK_SUCCESS &&
         tree.data.type == MSGPACK_OBJECT_STR && tree.data.via.str.size <= TRI_ASSET_ID_BYTES_MAX;
    if (ok) {
        if (tree.data.via.str.size > 0U) {
            memcpy(after, tree.data.via.str.ptr, tree.data.via.str.size);
        }
        *text = (struct tri_text){after, tree.data.via.str.size};
        ok = msgpack_unpack_next(&tree, (const char *)rest.at, rest.bytes, &at) ==
                 MSGPACK_UNPACK_SUCCESS &&
             tree.data.type == MSGPACK_OBJECT_POSITIVE_INTEGER && tree.data.via.u64 >= 1U &&
             tree.data.via.u64 <= TRI_LEDGER_PAGE_MAX;
        *limit = ok ? (uint32_t)tree.data.via.u64 : 0U;
    }
    msgpack_unpacked_destroy(&tree);
    return ok;
}

/* Answers one frame of an open session; an error code if it cannot. */
static enum tri_error admin_request(struct tri_admin *admin, uint32_t i, struct tri_bytes body)
{
    struct tri_line *line = &admin->at[i].line;
    char after[TRI_ASSET_ID_BYTES_MAX];
    struct tri_wire_fault fault;
    struct tri_writer writer;
    struct tri_frame frame;
    struct tri_text text;
    uint32_t limit;

    if (tri_wire_decode(body.at, body.bytes, &frame, &fault) != TRI_OK) {
        return fault.code;
    }
    if (frame.type != TRI_FRAME_LEDGER_GET) {
        return TRI_ERROR_WRONG_ROLE;
    }
    if (!read_ledger_get(frame.rest, after, &text, &limit)) {
        return TRI_ERROR_FIELD_OUT_OF_RANGE;
    }
    writer = tri_line_room(line, TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES);
    if (writer.at == NULL) {
        return TRI_ERROR_SLOW_CONSUMER;
    }
    put_page(&writer, admin, text, limit);
    tri_line_put(line, &writer);
    admin->at[i].lsn = tri_desk_noted_lsn(admin->options.desk);
    return TRI_ERROR_NONE;
}

/* Judges HELLO and answers WELCOME; an error code if it is refused. */
static enum tri_error admin_greet(struct tri_admin *admin, uint32_t i, struct tri_bytes body)
{
    static const struct tri_welcome welcome = {
        .epoch = ADMIN_EPOCH, .shards = 1, .frame_bytes_max = TRI_FRAME_BYTES_MAX};
    struct tri_writer writer;
    enum tri_error code =
        tri_session_hello(&admin->at[i].session, &admin->identity, 1, body.at, body.bytes);

    if (code != TRI_ERROR_NONE) {
        return code;
    }
    writer = tri_line_room(&admin->at[i].line, TRI_SESSION_FRAME_BYTES_MAX);
    if (writer.at == NULL) {
        return TRI_ERROR_SLOW_CONSUMER;
    }
    writer.at += tri_session_welcome(&admin->at[i].session, &welcome, writer.at,
                                     TRI_SESSION_FRAME_BYTES_MAX);
    tri_line_put(&admin->at[i].line, &writer);
    return TRI_ERROR_NONE;
}

/* Tells why, as far as the peer reads, and closes. */
static void admin_refuse(struct tri_line *line, enum tri_error code)
{
    struct tri_frame frame = {.type = TRI_FRAME_ERROR};
    const char *meaning = tri_error_meaning(code);

    frame.error = (struct tri_error_frame){{"", 0}, code, {meaning, (uint32_t)strlen(meaning)}};
    TRI_LOG(TRI_LOG_WARN, "admin_closed", "code=%s", tri_error_name(code));
    (void)tri_line_send_frame(line, &frame);
    (void)tri_line_flush(line);
    tri_line_close(line);
}

/* Whether the line has something to send that is durable. */
static bool admin_may_send(const struct tri_admin *admin, uint32_t i)
{
    const struct tri_line *line = &admin->at[i].line;

    return line->fd >= 0 && line->out_from < line->out_to &&
           admin->at[i].lsn <= tri_desk_durable_lsn(admin->options.desk);
}

static void admin_line(struct tri_admin *admin, uint32_t i)
{
    struct tri_line *line = &admin->at[i].line;
    struct tri_wire_fault fault = {TRI_ERROR_NONE, 0, NULL};
    struct tri_bytes body;
    int failed = tri_line_receive(line);

    if (failed == -EAGAIN) {
        return;
    }
    if (failed != 0) {
        tri_line_close(line);
        return;
    }
    while (fault.code == TRI_ERROR_NONE && tri_line_next(line, &body, &fault) == TRI_OK) {
        fault.code = admin->at[i].session.state == TRI_SESSION_OPEN ? admin_request(admin, i, body)
                                                                    : admin_greet(admin, i, body);
        failed = admin_may_send(admin, i) ? tri_line_flush(line) : 0;
        if (fault.code == TRI_ERROR_NONE && failed != 0 && failed != -EAGAIN) {
            tri_line_close(line);
            return;
        }
    }
    if (fault.code != TRI_ERROR_NONE) {
        admin_refuse(line, fault.code);
        return;
    }
    if (admin_may_send(admin, i)) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT,
                                    .data = {.u64 = admin->options.tag + 1U + i}};

        (void)epoll_ctl(admin->options.epoll_fd, EPOLL_CTL_MOD, line->fd, &event);
    }
}

/* Sends what an earlier turn could not. */
static void admin_flush(struct tri_admin *admin, uint32_t i)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = admin->options.tag + 1U + i}};
    struct tri_line *line = &admin->at[i].line;
    int failed;

    if (!admin_may_send(admin, i)) {
        return;
    }
    failed = tri_line_flush(line);
    if (failed == 0) {
        (void)epoll_ctl(admin->options.epoll_fd, EPOLL_CTL_MOD, line->fd, &event);
    } else if (failed != -EAGAIN) {
        tri_line_close(line);
    }
}

void tri_admin_event(struct tri_admin *admin, uint64_t offset, uint64_t now_ns)
{
    uint32_t i = (uint32_t)offset - 1U;

    assert(offset <= TRI_ADMIN_LINES_MAX);
    if (offset == 0U) {
        admin_accept(admin, now_ns);
        return;
    }
    if (admin->at[i].line.fd >= 0) {
        admin_flush(admin, i);
    }
    if (admin->at[i].line.fd >= 0) {
        admin_line(admin, i);
    }
}

void tri_admin_tick(struct tri_admin *admin, uint64_t now_ns)
{
    for (uint32_t i = 0; i < TRI_ADMIN_LINES_MAX; i++) {
        admin_flush(admin, i);
        if (admin->at[i].line.fd >= 0 && admin->at[i].session.state != TRI_SESSION_OPEN &&
            admin->at[i].due_ns <= now_ns) {
            admin_refuse(&admin->at[i].line, TRI_ERROR_HANDSHAKE_TIMEOUT);
        }
    }
}

uint64_t tri_admin_deadline_ns(const struct tri_admin *admin)
{
    uint64_t deadline_ns = TRI_NEVER;

    for (uint32_t i = 0; i < TRI_ADMIN_LINES_MAX; i++) {
        if (admin->at[i].line.fd >= 0 && admin->at[i].session.state != TRI_SESSION_OPEN &&
            admin->at[i].due_ns < deadline_ns) {
            deadline_ns = admin->at[i].due_ns;
        }
    }
    return deadline_ns;
}
