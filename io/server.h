/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server: one shard of tricastd, from its sockets to its engine.
 *
 * A server ties a loop, a net and a shard of the node together: handshakes
 * (io/session.h) turn connections into ports, frames of proved peers go to the
 * shard, and the shard's frames go back through the port's send queue.
 *
 * One turn: reap what the kernel completed, let the shard work, start sends and
 * receives, enter the kernel once.  A server that finds nothing to do sleeps in
 * the kernel until its shard's next deadline; another shard's message or a
 * completion ends the sleep.
 *
 * What a slow reader meets: a chain above its high-water mark gets no new frames
 * until the queue is short again, and frames that found no room at all are sent
 * again by the engine (P15); a client is not read while it does not read, and is
 * closed with SLOW_CONSUMER counted when its queue is full; a watching operator
 * misses events and is told how many.
 *
 * The servers of one process share a house: options, stage, and each other's
 * loops.  The stages go one way only:
 *
 *     RUN -> DRAIN (no new work; open messages end) -> CLOSE (queues empty out) -> STOP
 *
 * Threads: tri_server_open() and tri_server_listen() on the main thread; then each
 * server belongs to the thread that calls tri_server_run().
 */
#ifndef TRI_IO_SERVER_H
#define TRI_IO_SERVER_H

#include <stdatomic.h>

#include "io/keeper.h"
#include "io/net.h"
#include "io/session.h"
#include "io/vault.h"
#include "shards/shard.h"

enum tri_stage {
    TRI_STAGE_RUN = 0,
    TRI_STAGE_DRAIN = 1,
    TRI_STAGE_CLOSE = 2,
    TRI_STAGE_STOP = 3,
};

struct tri_server;

/* What all servers of a process share. */
struct tri_house {
    struct tri_shard_set *set;
    uint32_t shards;
    uint32_t epoch;
    const struct tri_identity *identities;
    uint32_t identity_count;
    struct tri_net_options net; /* of each shard; `shard` is filled in */
    uint32_t chain_send_bytes;  /* the send queue of a chain; high water at half of it */
    uint32_t peer_send_bytes;   /* of a client or an operator */
    uint32_t drain_ms;
    int signals;               /* a signalfd with SIGTERM and SIGINT, read by shard 0; -1 = none */
    struct tri_keeper *keeper; /* the journals; NULL = none are kept */
    struct tri_vault *vault;   /* the archive of finality records; NULL with no keeper */

    _Atomic uint32_t begun;  /* shards that can run, or cannot: no turn before all are counted */
    _Atomic uint32_t stage;  /* enum tri_stage; written by shard 0 */
    _Atomic uint32_t failed; /* a shard could not run */
    /* While draining: open messages that are not held; UINT32_MAX = not yet known. */
    _Atomic uint32_t open_counts[TRI_SHARDS_MAX];
    struct tri_server *servers[TRI_SHARDS_MAX];
    uint8_t refusal[TRI_SESSION_FRAME_BYTES_MAX]; /* ERROR TOO_MANY_CONNECTIONS */
    uint32_t refusal_bytes;
};

/* Counters of one server, beside those of its net and its shard; single-writer. */
#define TRI_SERVER_COUNTERS(X)                                                            \
    X(hellos, "handshakes", "HELLOs accepted")                                            \
    X(hellos_unproved, "handshakes", "HELLOs with a wrong proof or an unknown name")      \
    X(hellos_unknown_chain, "handshakes", "HELLOs of chains that are not configured")     \
    X(hellos_wrong_version, "handshakes", "HELLOs in another protocol version")           \
    X(hellos_malformed, "handshakes", "HELLOs that could not be decoded or out of range") \
    X(hellos_missing, "handshakes", "connections whose first frame was no HELLO")         \
    X(hellos_over_share, "handshakes", "HELLOs refused: the identity has its share")      \
    X(hellos_delayed, "times", "HELLOs left for a later turn")                            \
    X(handovers, "connections", "connections handed to the shard that HELLO wished for")  \
    X(slow_consumers, "connections", "clients closed because they did not read")          \
    X(slow_chains, "times", "chains that were paused because they did not read")          \
    X(stats_views, "frames", "STATS sent")                                                \
    X(finality_dropped, "frames", "answers about finality for connections that had gone") \
    X(journal_records, "records", "records appended to the journal")                      \
    X(journal_blocks, "blocks", "blocks written to the journal")                          \
    X(journal_bytes, "bytes", "bytes written to the journal")                             \
    X(journal_refused, "records", "times that a record found no room in the journal")     \
    X(journal_segments, "files", "segments that recovery would need (a gauge)")           \
    X(journal_disk_bytes, "bytes", "bytes of the journal's files (a gauge)")              \
    X(journal_old_failed, "times", "times that old sets could not be removed")            \
    X(journal_failed, "0 or 1", "the journal has failed: no new messages (D07)")          \
    X(sleeps, "times", "times that the shard slept in the kernel")                        \
    X(kernel_enters, "calls", "times that the shard entered the kernel")

struct tri_server_counters {
#define TRI_SERVER_COUNTER_FIELD(name, unit, help) _Atomic uint64_t name;
    TRI_SERVER_COUNTERS(TRI_SERVER_COUNTER_FIELD)
#undef TRI_SERVER_COUNTER_FIELD
};

/* Bytes that one server maps at most. */
uint64_t tri_server_bytes(const struct tri_house *house);

/*
 * tri_server_open makes the server of `shard` and enters it into the house, whose fields down to
 * `keeper` are filled in and which outlives it.
 *
 * advice   out; on failure a sentence: what to do.
 * trouble  room for such a sentence.
 *
 * Returns 0 or -errno.
 */
int tri_server_open(struct tri_house *house, uint32_t shard, const char **advice,
                    char trouble[TRI_JOURNAL_TROUBLE_BYTES]);

/* tri_server_listen as tri_net_listen(). */
int tri_server_listen(struct tri_server *server, const char *address, uint16_t *port);

/* tri_server_run takes turns until the house's stage is STOP, or CLOSE and every queue is empty. If
 * the thread cannot run the loop, it sets `failed` and the stage STOP.  The first turn is taken
 * when every shard of the house has called it or was given up. */
void tri_server_run(struct tri_server *server);

/* tri_server_give_up ends the house: `count` shards will never run.  From any thread, while no turn
 * was taken. */
void tri_server_give_up(struct tri_house *house, uint32_t count);

/* tri_server_wake makes the server take a turn soon; from another thread, with that one's loop. */
void tri_server_wake(struct tri_server *server, struct tri_loop *loop);

/* Gives everything back; accepts NULL.  After every thread has ended. */
void tri_server_close(struct tri_server *server);

const struct tri_server_counters *tri_server_counters(const struct tri_server *server);
const struct tri_net *tri_server_net(const struct tri_server *server);

#endif
