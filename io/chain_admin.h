/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Admin: where an operator looks into a chain's ledger.
 *
 * A listener of the chain itself, with the framing and handshake of the
 * coordinator (docs/wire.md).  The one identity is the role OPERATOR with the
 * name "operator" and the chain's own secret.  The one request is LEDGER_GET.
 *
 * A connection that does not greet, asks for something else or does not read
 * its answer is closed.  A page leaves when what it shows is durable.
 *
 * Threads: one at a time.
 */
#ifndef TRI_IO_CHAIN_ADMIN_H
#define TRI_IO_CHAIN_ADMIN_H

#include "io/chain_desk.h"
#include "io/flags.h"
#include "io/line.h"
#include "io/session.h"

#define TRI_ADMIN_LINES_MAX 8U
#define TRI_LEDGER_PAGE_MAX 256U

struct tri_admin_options {
    struct tri_text chain;
    const struct tri_secret *secret;
    uint32_t instance;
    const struct tri_book *book;
    const struct tri_desk *desk;
    int epoll_fd;
    uint64_t tag; /* epoll data of the listener; tag + 1 + n is that of line n */
};

struct tri_admin {
    struct tri_admin_options options;
    struct tri_identity identity;
    int listen_fd; /* -1: none */
    uint16_t port;
    struct {
        struct tri_line line;
        struct tri_session session;
        uint64_t due_ns; /* until then it must have greeted */
        uint64_t lsn;    /* what is queued waits for this record */
    } at[TRI_ADMIN_LINES_MAX];
};

/* tri_admin_open listens.  Returns 0 or -errno; admin->port is then the port. */
int tri_admin_open(struct tri_admin *admin, const struct tri_admin_options *options,
                   const struct tri_address *address);
/* Accepts a zeroed admin that never was open. */
void tri_admin_close(struct tri_admin *admin);

/* tri_admin_event takes an epoll event whose data is tag + `offset`. */
void tri_admin_event(struct tri_admin *admin, uint64_t offset, uint64_t now_ns);
/* tri_admin_tick ends a turn: it closes what has not greeted in time and sends what has become
 * durable. */
void tri_admin_tick(struct tri_admin *admin, uint64_t now_ns);
uint64_t tri_admin_deadline_ns(const struct tri_admin *admin);

#endif
