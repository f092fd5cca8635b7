/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Link: a chain's connection to the coordinator, which heals by itself.
 *
 *     WAITING --time--> CONNECTING --> GREETING --WELCOME--> OPEN
 *        ^__________________|______________|_________________|   on any failure
 *
 * The pause before the next try doubles from LINK_BACKOFF_MS_MIN to
 * LINK_BACKOFF_MS_MAX and starts again once a link was open for that long: two
 * processes that speak for one chain take turns slowly.
 *
 * While answers cannot leave, frames are not read: the coordinator's sends
 * stop, nothing grows here.
 *
 * What a turn has queued waits until its records are durable (D05).  Answers
 * leave in order, so a place in the queue and an LSN for each turn are enough.
 *
 * Threads: one at a time.
 */
#ifndef TRI_IO_CHAIN_LINK_H
#define TRI_IO_CHAIN_LINK_H

#include "io/chain_desk.h"
#include "io/flags.h"
#include "io/line.h"
#include "io/session.h"

enum tri_link_state {
    TRI_LINK_WAITING,
    TRI_LINK_CONNECTING,
    TRI_LINK_GREETING,
    TRI_LINK_OPEN,
};

struct tri_link_options {
    struct tri_address server;
    struct tri_text chain;
    const struct tri_secret *secret; /* no bytes: proves nothing */
    uint32_t instance;
    uint32_t shard; /* wished shard + 1, 0 = any */
    int epoll_fd;
    uint64_t tag; /* of this link's epoll events */
};

/* Turns whose records are under way at the same time; more are taken for one. */
#define TRI_LINK_MARKS_MAX 16U

/* What lies before `place` may leave when `lsn` is durable. */
struct tri_link_mark {
    uint64_t place;
    uint64_t lsn;
};

struct tri_link {
    struct tri_link_options options;
    enum tri_link_state state;
    uint64_t due_ns; /* WAITING: next try; CONNECTING, GREETING: give up */
    uint32_t backoff_ms;
    uint32_t interest; /* epoll events asked for */
    uint64_t open_ns;  /* OPEN: since when */
    struct tri_line line;
    uint64_t ready; /* the place up to which everything may leave */
    uint32_t mark_count;
    struct tri_link_mark marks[TRI_LINK_MARKS_MAX];
    struct tri_session_peer peer;
};

/* tri_link_init acquires buffers.  Returns 0 or -errno. */
int tri_link_init(struct tri_link *link, const struct tri_link_options *options, uint64_t now_ns);
void tri_link_fini(struct tri_link *link);

/* tri_link_event takes an epoll event.  Frames go to the desk; answers are queued, not yet sent. */
void tri_link_event(struct tri_link *link, struct tri_desk *desk, uint64_t now_ns,
                    uint64_t wall_ms);

/* tri_link_tick connects or gives up when it is time, and takes up frames that waited for room. */
void tri_link_tick(struct tri_link *link, struct tri_desk *desk, uint64_t now_ns, uint64_t wall_ms);
uint64_t tri_link_deadline_ns(const struct tri_link *link, const struct tri_desk *desk);

/*
 * tri_link_flush ends a turn: it sends what may leave and says to epoll what the link waits for.
 *
 * noted_lsn    what was queued waits for this record;
 * durable_lsn  this one and all before it are durable.
 */
void tri_link_flush(struct tri_link *link, uint64_t noted_lsn, uint64_t durable_lsn,
                    uint64_t now_ns);

#endif
