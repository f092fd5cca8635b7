/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server, inside: what server.c (life and turns) and server_peers.c
 * (handshakes, frames, queues) share.  No other file includes this.
 */
#ifndef TRI_IO_SERVER_INTERNAL_H
#define TRI_IO_SERVER_INTERNAL_H

#include <assert.h>
#include <sys/signalfd.h>

#include "io/server.h"

#define SERVER_ENTRIES        1024U
#define SERVER_COMPLETIONS    8192U
#define SERVER_KIND_SIGNAL    16U
#define SERVER_KIND_HANDOVER  17U
#define SERVER_KIND_JOURNAL   18U
#define SERVER_HANDOVERS_MAX  64U
#define SERVER_STALL_NS       (1U * TRI_NS_PER_MS)
#define SERVER_BEGIN_POLL_NS  (50L * 1000)
#define SERVER_DRAIN_POLL_NS  (10U * TRI_NS_PER_MS)
#define SERVER_DRAIN_QUIET_NS (50U * TRI_NS_PER_MS) /* results cross the mesh and leave */
#define SERVER_CLOSE_NS       (3U * TRI_NS_PER_S)
#define SERVER_PEER_TEXT      64U
/* HELLOs judged in a turn: a HMAC costs as much as several rounds, and those who are there go
 * first. */
#define SERVER_TURN_HELLOS    2U
/* STATS costs as much as so many refused frames. */
#define SERVER_STATS_PRICE    32U
#define SERVER_NONE           UINT32_MAX

/* A connection on its way to another shard: written by the sender before the message leaves, read
 * by the receiver, then free again. */
struct server_handover {
    _Atomic uint32_t is_taken;
    int descriptor;
    struct tri_session session;
};

struct server_connection {
    struct tri_session session;
    struct tri_peer peer;
    bool has_peer;   /* the shard knows the port */
    bool is_fresh;   /* owed to the shard: chain_up, with what was sent before lost */
    bool is_greeted; /* WELCOME is queued and chain_up is owed */
    uint32_t next_greeted;
    tri_port port;
};

struct tri_server {
    struct tri_house *house;
    struct tri_shard *shard;
    uint32_t index;
    struct tri_loop loop;
    struct tri_net *net;
    struct tri_journal *journal; /* NULL = none */
    bool is_journal_failed;      /* as it was said */
    bool is_journal_starved;
    uint64_t journal_old_failed; /* attempts, as they were said */
    uint64_t now_ns;
    uint64_t wall_ms;
    enum tri_stage stage; /* the last that was acted upon */
    uint64_t drain_until_ns;
    uint64_t quiet_since_ns; /* shard 0: nothing is open any more; TRI_NEVER = something is */
    uint64_t close_until_ns;
    uint32_t greeted_first;
    uint32_t turn_hellos; /* judged in this turn */
    struct signalfd_siginfo signal;
    struct tri_server_counters counters;
    struct tri_frame scratch; /* too large for the stack of a turn */
    struct server_handover handovers[SERVER_HANDOVERS_MAX];
    struct server_connection *connections;
    uint64_t memory_bytes;
};

static inline void server_count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

extern const struct tri_net_ops tri_server_net_ops;
extern const struct tri_port_ops tri_server_port_ops;

/* Takes a connection over that another shard has detached. */
void tri_server_take_over(struct tri_server *server, uint32_t from, uint32_t slot);
/* Opens the journal of the server's shard, if the house has a keeper.  Returns 0 or -errno. */
int tri_server_journal_open(struct tri_server *server, char trouble[TRI_JOURNAL_TROUBLE_BYTES]);
/* Starts what the journal has to write, at the end of a turn. */
void tri_server_journal_turn(struct tri_server *server);
/* server_finality.c: tri_server_finality_ask passes a checked frame on, TRI_FULL = later;
 * _result the end of a redelivery; _turn takes what comes back, and returns how much. */
enum tri_result tri_server_finality_ask(struct tri_server *server, tri_port port,
                                        const struct tri_identity *identity, const uint8_t *body,
                                        uint32_t bytes);
void tri_server_finality_result(struct tri_server *server, tri_port port, const uint8_t *frame,
                                uint32_t bytes);
uint32_t tri_server_finality_turn(struct tri_server *server);
/* Tells the shard about chains that were greeted since its last turn. */
void tri_server_greet(struct tri_server *server);

#endif
