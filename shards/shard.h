/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shard: one engine, its part of the mesh, and the way from frames to events
 * and from effects to frames.  No sockets: frames leave through ports.
 *
 * A shard set is the shards of a node, over one hash secret.  A message belongs to the
 * shard that its keyed hash names (shards/route.h); a frame that arrives at
 * another shard travels there as bytes with its hash, in a block of the mesh
 * (shards/mesh.h), and is decoded by its owner.  Frames towards a connection of
 * another shard travel the other way.
 *
 * A port is a place where frames leave: a connection, or a handler in the same
 * process.  Its owner (io/net, an embedding program, a test) implements
 * struct tri_port_ops and lives on one shard, which the port names.
 *
 * Back-pressure: no step begins before every effect of the one before has
 * found its room, so nothing is ever dropped inside the mesh; a frame that
 * finds the shard waiting for room is refused with TRI_FULL and its connection
 * is not read until there is some.  Why this cannot lock up stands in
 * shards/mesh.h.
 *
 * Threads: each shard is used by one thread only; shards share nothing but the
 * mesh's rings and the counters.
 */
#ifndef TRI_SHARDS_SHARD_H
#define TRI_SHARDS_SHARD_H

#include "engine/wire.h"
#include "tricast.h"
#include "tricast_engine.h"

/* shard (8 bits) | generation (24 bits) | slot (32 bits); 0 is no port. */
typedef uint64_t tri_port;
#define TRI_PORT(shard, generation, slot) \
    (((uint64_t)(shard) << 56) | (((uint64_t)(generation)&0xffffffU) << 32) | (uint32_t)(slot))
#define TRI_PORT_SHARD(port)      ((uint32_t)((port) >> 56))
#define TRI_PORT_GENERATION(port) ((uint32_t)((port) >> 32) & 0xffffffU)
#define TRI_PORT_SLOT(port)       ((uint32_t)(port))

/* Ports of clients within the node itself: slots that no connection has.  A frame for such a port
 * is not sent; it is handed to the code that the port's kind names.  Such a client submits by
 * tri_shard_frame(), as any other does.  The generation is its own to use. */
#define TRI_INTERNAL_SLOT_FIRST 0xff000000U
#define TRI_PORT_INTERNAL(shard, generation, kind, number) \
    TRI_PORT(shard, generation,                            \
             TRI_INTERNAL_SLOT_FIRST | ((uint32_t)(kind) << 16) | ((uint32_t)(number)&0xffffU))
#define TRI_PORT_IS_INTERNAL(port)     (TRI_PORT_SLOT(port) >= TRI_INTERNAL_SLOT_FIRST)
#define TRI_PORT_INTERNAL_KIND(port)   ((TRI_PORT_SLOT(port) >> 16) & 0xffU)
#define TRI_PORT_INTERNAL_NUMBER(port) (TRI_PORT_SLOT(port) & 0xffffU)
enum tri_internal_kind {
    TRI_INTERNAL_ENVELOPE = 0, /* an open envelope (shards/envelopes.h) */
    TRI_INTERNAL_OWNER = 1,    /* this one and higher: tri_port_ops.internal */
};

/* What the owner of the ports does for the shard; called on the shard's own thread, only from
 * within tri_shard_frame(), tri_shard_turn(), tri_shard_chain_hello() and tri_shard_drain(). */
struct tri_port_ops {
    /* reserve returns room for one frame, its length included, at the end of the port's send queue,
     * NULL if the port is gone or its queue is full: the frame is then counted as dropped, and a
     * chain's port has to report tri_shard_chain_up() with is_fresh once it has room again. */
    uint8_t *(*reserve)(void *context, tri_port port, uint32_t bytes);
    /* commit sends the `bytes` that were reserved; they leave at the end of the turn. */
    void (*commit)(void *context, tri_port port, uint32_t bytes);
    /* close ends a port after what it still has to send. */
    void (*close)(void *context, tri_port port, enum tri_error why);
    /* welcome: the registry accepted a chain's HELLO (P15); answer WELCOME and open the port. */
    void (*welcome)(void *context, tri_port port, uint16_t chain);
    /* wake makes another shard's thread take its next turn soon, if it sleeps. */
    void (*wake)(void *context, uint32_t shard);
    /* fruitless: a frame of the port began nothing: it was refused, a repetition, or a question.
     * NULL: nobody asks. */
    void (*fruitless)(void *context, tri_port port);
    /* internal: a frame for an internal port of a kind from TRI_INTERNAL_OWNER on, without its
     * length; borrowed until the call returns.  It must not call the shard back, nor fail: there
     * has to be room.  NULL: there are no such ports. */
    void (*internal)(void *context, tri_port port, const uint8_t *frame, uint32_t bytes);
};

/* Who sits at a port, proved at HELLO. */
struct tri_peer {
    enum tri_role role;
    uint16_t chain;     /* role CHAIN: its index in the configuration */
    uint16_t submitter; /* CLIENT, OPERATOR: as in TRI_EVENT_SUBMIT (R08) */
};

struct tri_shard_set_options {
    uint32_t shards;                  /* 1..TRI_SHARDS_MAX */
    uint8_t hash_secret[32];          /* seeds the routing hash (D06); from a file of mode 0600 */
    struct tri_engine_options engine; /* capacities are for the whole node and are divided here */
    uint32_t inbox_drain_max;         /* messages taken from one inbox per turn, 0 = default */
    uint32_t mesh_blocks; /* blocks per ordered pair of shards and lane, 1..64, 0 = default */
    uint32_t hold_bytes;  /* per shard, for frames that wait for the journal, 0 = default */
    /* Chains with a handler in this process (shards/local.h), as many as the engine has; borrowed.
     * NULL: all chains are connections. */
    const struct tri_chain_port *ports;
    uint32_t handles_max;   /* handles open at once (shards/handle.h), 0..TRI_HANDLES_MAX */
    uint32_t in_flight_max; /* per handle, 1..2^20 */
    uint32_t handle_blocks; /* blocks per handle and shard, 1..64, 0 = default */
};

struct tri_shard_set;
struct tri_shard;

/* tri_shard_set_check returns NULL or a static sentence naming the field that is wrong. */
const char *tri_shard_set_check(const struct tri_shard_set_options *options);
/* tri_shard_set_footprint: bytes, 64-byte aligned; 0 if the options are invalid. */
size_t tri_shard_set_footprint(const struct tri_shard_set_options *options);
/* tri_shard_set_tables_at: where in that memory the tables begin, of which messages touch any
 * place. Before it lie buffers, of which little is ever touched. */
size_t tri_shard_set_tables_at(const struct tri_shard_set_options *options);
/* tri_shard_set_init formats `memory` (zeroed or not; borrowed).  Call before any thread runs. */
struct tri_shard_set *tri_shard_set_init(void *memory, const struct tri_shard_set_options *options);
struct tri_shard *tri_shard_set_at(struct tri_shard_set *set, uint32_t shard);

/* tri_shard_attach names the port owner of this shard.  Once, before the first turn. */
void tri_shard_attach(struct tri_shard *shard, const struct tri_port_ops *ops, void *context);
/* tri_shard_journal gives the shard a journal in place of the one that keeps nothing
 * (shards/journal.h). Before the first turn. */
struct tri_journal_ops;
void tri_shard_journal(struct tri_shard *shard, const struct tri_journal_ops *ops, void *context);
/* tri_shard_keep gives it a journal that keeps its records in `log`, which holds none yet and is
 * borrowed.  Primary records go onto `tape` as well (shards/tape.h), NULL = they are not archived.
 * Behind the replay, before the first turn. */
struct tri_log;
struct tri_tape;
void tri_shard_keep(struct tri_shard *shard, struct tri_log *log, struct tri_tape *tape);
/* tri_shard_publish shows the tape's reader what this turn brought, behind the turn and what the
 * log's store did in it; whether the reader sleeps and has to be woken. */
bool tri_shard_publish(struct tri_shard *shard);
/* When a turn is due, although nobody wakes the shard, because the archive is waited for; TRI_NEVER
 * = it is not. */
uint64_t tri_shard_archive_due_ns(const struct tri_shard *shard, uint64_t now_ns);

/*
 * Recovery of one shard, before its first turn, by any thread: every record of its slots in the
 * order of (epoch, LSN), then the resume.  Both pass on what tri_engine_replay() and
 * tri_engine_resume() say; `chains` belongs to the records that follow.
 */
enum tri_result tri_shard_replay(struct tri_shard *shard, const struct tri_replay *replay,
                                 const char **fault);
enum tri_result tri_shard_resume(struct tri_shard *shard, uint64_t now_ns, uint64_t wall_ms);
/* As tri_engine_replayed(). */
void tri_shard_replayed(struct tri_shard *shard, struct tri_replayed *replayed);

/*
 * tri_shard_frame takes one frame body in.
 *
 * port   where it came from; answers go there.
 * peer   who sits there; borrowed until the call returns.
 * body   the frame without its length; `bytes` in 1..TRI_FRAME_BYTES_MAX; borrowed until the call
 *        returns.
 * fault  out; written on TRI_VIOLATION.
 *
 * Types: SUBMIT, STATUS_GET (client, operator); WATCH (operator); PHASE_ACK, CONTROL_ACK, ASK
 * (chain).  Only checked here are STATS_GET, SEQUENCER (operator), PENDING_GET, FINALITY_GET
 * (operator, settlement), SETTLE, HEARTBEAT (settlement): on TRI_OK the caller answers them.
 *
 * Returns TRI_OK; TRI_FULL: keep the bytes, stop reading the port, offer them again next
 * turn; TRI_VIOLATION: the shard has already sent ERROR to the port; the caller closes it if
 * tri_shard_fault_closes(fault->code).
 */
enum tri_result tri_shard_frame(struct tri_shard *shard, tri_port port, const struct tri_peer *peer,
                                const uint8_t *body, uint32_t bytes, uint64_t now_ns,
                                uint64_t wall_ms, struct tri_wire_fault *fault);
bool tri_shard_fault_closes(enum tri_error code);

/* A message that is driven forward again behind its primary record (F04). */
struct tri_shard_redelivery {
    tri_port client; /* an internal port of this shard: it gets one ACK */
    tri_attempt attempt;
    uint64_t since_ms;        /* issuedAt of its record */
    struct tri_bytes leaf;    /* docs/finality.md: which chains */
    struct tri_bytes content; /* its canonical bytes */
};
/*
 * tri_shard_redeliver steps TRI_EVENT_REDELIVER for a message that this shard owns.
 *
 * Returns TRI_OK: the client will be told; TRI_FULL: not now, try again next turn; TRI_STALE: as
 * the event says, and nothing will be told; TRI_VIOLATION: likewise, because the bytes are no
 * message, or a chain of it is not configured any more.
 */
enum tri_result tri_shard_redeliver(struct tri_shard *shard,
                                    const struct tri_shard_redelivery *what, uint64_t now_ns,
                                    uint64_t wall_ms);
/* Which shard owns the message `id`; any thread. */
uint32_t tri_shard_set_owner(const struct tri_shard_set *set, struct tri_text id);

/* tri_shard_prefetch brings what tri_shard_frame() will look up into the cache; call it some frames
 * ahead.  `body` may be anything. */
void tri_shard_prefetch(const struct tri_shard *shard, const uint8_t *body, uint32_t bytes);

/*
 * tri_shard_turn drains the inboxes, lets time pass, and publishes the outboxes.
 * Returns the number of things done; 0 = the caller may sleep until tri_shard_deadline_ns() after
 * it has called tri_shard_sleep().
 */
uint32_t tri_shard_turn(struct tri_shard *shard, uint64_t now_ns, uint64_t wall_ms);
uint64_t tri_shard_deadline_ns(const struct tri_shard *shard);

/* tri_shard_sleep announces that this shard is about to block: producers will wake() it.  Returns
 * false if work arrived meanwhile: take a turn instead.  tri_shard_awake takes it back after
 * blocking. */
bool tri_shard_sleep(struct tri_shard *shard);
void tri_shard_awake(struct tri_shard *shard);

/* A chain's HELLO was proved at a port of this shard (P15).  The registry (at shard 0) answers by
 * ops->welcome(), or by ERROR INSTANCE_SUPERSEDED and ops->close(); older instances are closed. */
void tri_shard_chain_hello(struct tri_shard *shard, tri_port port, uint16_t chain,
                           uint64_t instance);
/* The chain's port can take frames (again): is_fresh after WELCOME was queued and after reserve()
 * returned NULL; false when it only was above its high-water mark.  down: it cannot. */
void tri_shard_chain_up(struct tri_shard *shard, tri_port port, uint16_t chain, bool is_fresh);
void tri_shard_chain_down(struct tri_shard *shard, tri_port port, uint16_t chain);
/* A port is gone: reserve() gives NULL for it from now on.  For every port that had a peer.
 * Messages that a client has open go on; what it is told is dropped. */
void tri_shard_port_gone(struct tri_shard *shard, tri_port port, const struct tri_peer *peer);

/* Take no new messages on any shard; open ones go on (SHUTTING_DOWN). */
void tri_shard_drain(struct tri_shard *shard);
/* The same from any thread; the caller wakes the shards. */
void tri_shard_set_drain(struct tri_shard_set *set);
/* Open messages of this shard. */
uint32_t tri_shard_open_count(const struct tri_shard *shard);
/* Those of them that are on their way to their end: a held one waits for an operator (F06). */
uint32_t tri_shard_ending_count(const struct tri_shard *shard);
/* The same as of its last turn with work.  Any thread. */
uint64_t tri_shard_set_open_count(const struct tri_shard_set *set, uint32_t shard);

/* Counters of the shard itself, beside those of its engine. */
#define TRI_SHARD_COUNTERS(X)                                                              \
    X(turns, "turns", "turns taken, those without work not counted")                       \
    X(turn_gap_max_us, "us", "longest time between two turns without sleep")               \
    X(frames, "frames", "frames taken in for this shard's messages")                       \
    X(frames_forwarded, "frames", "frames sent on to the shard that owns their message")   \
    X(answers_forwarded, "frames", "those of them that came from chains")                  \
    X(frames_refused, "frames", "frames answered with ERROR")                              \
    X(terminal_phase_acks, "answers", "terminal ackTypes in answer to a phase (P04)")      \
    X(foreign_answers, "answers", "answers in the name of another chain")                  \
    X(wrong_roles, "frames", "frames that the peer's role may not send")                   \
    X(instances_superseded, "connections", "chains closed for a newer connection (P15)")   \
    X(frames_sent, "frames", "frames handed to a port")                                    \
    X(frames_dropped, "frames", "frames for a port that was gone or full")                 \
    X(mesh_blocks, "blocks", "blocks published to other shards")                           \
    X(mesh_stalls, "turns", "turns in which work waited for another shard or the journal") \
    X(wakes, "wakes", "other shards woken from sleep")                                     \
    X(watch_missed, "events", "events that a slow watcher missed")                         \
    X(records, "records", "messages, answers and questions taken from handles")            \
    X(news, "records", "news told to handles")                                             \
    X(news_dropped, "records", "news for handles that were closed")                        \
    X(handle_signals, "signals", "waiting handles signalled")                              \
    X(orders, "orders", "calls of the handlers of chains in this process")                 \
    X(answers_at_once, "answers", "answers that those handlers gave at once")              \
    X(effects_held, "effects", "effects that waited for the journal")                      \
    X(checkpoints, "checkpoints", "checkpoints begun")                                     \
    X(open_messages, "messages", "messages open now (a gauge)")

/* tri_shard_set_counter_next walks all counters of one shard: engine's and shard's.  `index` starts
 * at 0; false at the end.  May run on any thread; values are read relaxed. */
bool tri_shard_set_counter_next(const struct tri_shard_set *set, uint32_t shard, uint32_t *index,
                                struct tri_counter_view *view);

#endif
