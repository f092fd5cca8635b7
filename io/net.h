/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Net: the connections of one thread, over its loop.
 *
 * Bytes in: one multishot receive per connection fills buffers of a ring that
 * all connections share.  Whole frames are handed out where they lie; only a
 * frame that is spread over several buffers is put together in a slot of a
 * bounded arena.  A frame that its taker cannot take now (TRI_FULL) stays where it
 * is, the connection is not read any further, and the frame is offered again
 * by every tri_net_retry().
 *
 * Bytes out: frames are written straight into the connection's chain of
 * chunks (tri_net_reserve, tri_net_commit); tri_net_flush starts at most one
 * send per connection, of everything that is queued.  Two sends of one
 * connection never overlap.  Each queue has a hard limit and a high-water mark.
 *
 * A connection is named by a port (shards/shard.h); a port whose connection has
 * ended finds nothing.
 *
 * Memory is mapped by tri_net_init and bounded by its options; nothing is
 * allocated afterwards.
 *
 * What one peer can take from the others is bounded too.  Connections in their
 * handshake are few, and the oldest makes room for a new one; they are accepted
 * one a turn, and so many a second.  Afterwards a connection belongs to an account, the
 * identity that it has proved: an account holds its share of connections and
 * of memory for frames on their way out at most; when memory for frames in
 * pieces runs out, the account that holds most of it loses its oldest; and
 * an account whose frames begin nothing, as tri_net_charge() is told, is not read faster
 * than so many of them a second.
 *
 * Threads: a net belongs to the thread of its loop; all callbacks run there,
 * from within tri_net_complete(), tri_net_retry() and tri_net_flush().
 */
#ifndef TRI_IO_NET_H
#define TRI_IO_NET_H

#include "io/loop.h"
#include "shards/shard.h"
#include "tricast/message.h"

struct tri_net;

enum tri_net_pressure {
    TRI_NET_HIGH, /* the queue is above its high-water mark: send less, or read less */
    TRI_NET_LOW,  /* the queue has fallen below half of that mark */
    TRI_NET_LOST, /* a frame found no room; LOW follows when there is room again */
};

struct tri_net_ops {
    /* A connection was accepted. */
    void (*opened)(void *context, tri_port port);
    /* A frame, without its length, borrowed until the call returns.  TRI_OK: taken (or refused in a
     * way that the callee has dealt with); TRI_FULL: offer it again later. */
    enum tri_result (*frame)(void *context, tri_port port, const uint8_t *body, uint32_t bytes);
    /* A frame that will come soon: only to warm caches; it may still be refused. */
    void (*ahead)(void *context, tri_port port, const uint8_t *body, uint32_t bytes);
    /* The connection is about to be closed because of `why` (FRAME_TOO_LONG, MALFORMED_FRAME,
     * HANDSHAKE_TIMEOUT; BUSY: its frame in pieces had to make room): the callee may still queue an
     * ERROR. */
    void (*refused)(void *context, tri_port port, enum tri_error why);
    void (*pressure)(void *context, tri_port port, enum tri_net_pressure what);
    /* The connection has ended: 0 = by us or by the peer in good order, else -errno.  Last call for
     * this port. */
    void (*closed)(void *context, tri_port port, int failed);
};

struct tri_net_options {
    uint32_t shard;                  /* goes into the ports, 0..TRI_SHARDS_MAX - 1 */
    uint32_t connections_max;        /* 1..65536 */
    uint32_t recv_buffers;           /* a power of two, 2..32768 */
    uint32_t recv_buffer_bytes;      /* 4096..1 MiB */
    uint64_t partial_bytes;          /* memory for frames in pieces, >= 1 MiB */
    uint64_t send_bytes;             /* memory for frames on their way out, >= 1 MiB */
    uint32_t handshake_ms;           /* an accepted connection has so long until tri_net_stream() */
    uint32_t peer_timeout_ms;        /* unanswered bytes and keep-alives, and a frame that is not
                                      * finished, end a connection after this time */
    uint32_t handshakes_max;         /* connections in their handshake, >= 1 */
    uint32_t accepts_per_s;          /* 1..10^6 */
    uint32_t accounts;               /* 1..65535 */
    uint32_t account_share_permille; /* 1..1000: of connections_max and send_bytes */
    uint32_t charges_per_s;          /* of one account, 1..10^9 */
    uint32_t turn_frames_max;        /* frames of one connection in a turn, >= 1 */
};

/* Limits of a connection after its handshake. */
struct tri_net_limits {
    uint32_t frame_bytes_max; /* 1..TRI_FRAME_BYTES_MAX */
    uint32_t send_high_bytes; /* below send_max_bytes */
    uint32_t send_max_bytes;  /* queued and not yet taken by the kernel */
    uint32_t account;         /* whose connection it is, below options.accounts */
};

/* Counters of one net; single-writer. */
#define TRI_NET_COUNTERS(X)                                                                     \
    X(connections, "connections", "connections open now (a gauge)")                             \
    X(accepts, "connections", "connections accepted")                                           \
    X(handshakes, "connections", "connections in their handshake now (a gauge)")                \
    X(accepts_refused, "connections", "connections refused: all slots were taken")              \
    X(accepts_failed, "connections", "accepts that the kernel failed")                          \
    X(accepts_delayed, "times", "times that accepting waited for the rate of accepts")          \
    X(handshake_timeouts, "connections", "connections closed before they proved who they are")  \
    X(handshakes_evicted, "connections", "handshakes that made room for newer ones")            \
    X(peer_timeouts, "connections", "connections closed because the peer acknowledged nothing") \
    X(frame_timeouts, "connections", "connections closed because a frame stayed unfinished")    \
    X(recv_bytes, "bytes", "bytes received")                                                    \
    X(recv_frames, "frames", "frames received")                                                 \
    X(recv_frames_pieced, "frames", "frames put together from several buffers")                 \
    X(partial_bytes, "bytes", "memory taken by frames in pieces now (a gauge)")                 \
    X(partials_evicted, "connections", "connections closed: their frame in pieces made room")   \
    X(recv_yields, "times", "connections that had their share of a turn, with frames left")     \
    X(charges, "frames", "frames that began nothing")                                           \
    X(throttles, "times", "identities not read for a while: too many such frames")              \
    X(recv_buffers_out, "times", "receives that ended because no buffer was free")              \
    X(recv_stalls, "times", "connections not read for a time because a frame found no room")    \
    X(recv_faults, "connections", "connections closed because of their framing")                \
    X(sends, "calls", "send requests")                                                          \
    X(send_bytes, "bytes", "bytes sent")                                                        \
    X(send_frames, "frames", "frames queued to be sent")                                        \
    X(send_refused, "frames", "frames that found no room in a send queue")                      \
    X(send_share_refused, "frames", "of these: the identity held its share of send memory")     \
    X(send_high_waters, "times", "send queues that passed their high-water mark")               \
    X(resets, "connections", "connections that ended with an error")

struct tri_net_counters {
#define TRI_NET_COUNTER_FIELD(name, unit, help) _Atomic uint64_t name;
    TRI_NET_COUNTERS(TRI_NET_COUNTER_FIELD)
#undef TRI_NET_COUNTER_FIELD
};

/* tri_net_bytes is what tri_net_init will map at most, and touch only as needed. */
uint64_t tri_net_bytes(const struct tri_net_options *options);

/*
 * tri_net_init makes a net over `loop` (initialised, outlives the net).
 *
 * ops, context  called as described above.
 * net     out; on 0 only.
 * advice  out; on failure a static sentence.
 *
 * Returns 0 or -errno.  May run on another thread before the loop is enabled.
 */
int tri_net_init(struct tri_net **net, const struct tri_net_options *options, struct tri_loop *loop,
                 const struct tri_net_ops *ops, void *context, const char **advice);
/* After the loop's fini; accepts NULL. */
void tri_net_fini(struct tri_net *net);

/* The first frame that is sent to a connection beyond connections_max before it is closed, with its
 * length; borrowed. */
void tri_net_refusal_set(struct tri_net *net, const uint8_t *frame, uint32_t bytes);

/* tri_net_probe asks whether `address` and `port` can be listened at and nobody else does: what
 * several nets of one process may share, two processes would share without noticing.  Ask before
 * the first tri_net_listen.  Waits up to two seconds for whoever holds it to end.  Returns 0 or
 * -errno. */
int tri_net_probe(const char *address, uint16_t port);
/* tri_net_listen accepts connections at a numeric IPv4 or IPv6 `address`; several nets may share
 * one port.  `port` is in/out: 0 = any free one.  Returns 0 or -errno. */
int tri_net_listen(struct tri_net *net, const char *address, uint16_t *port);
/* Accepts no more connections; those that are open go on. */
void tri_net_listen_end(struct tri_net *net);

/* True if `account` may have one more connection; ask before tri_net_stream() and _attach(). */
bool tri_net_admits(const struct tri_net *net, uint32_t account);
/* The handshake is over: no more handshake limit, frames and queue as in `limits`. */
void tri_net_stream(struct tri_net *net, tri_port port, const struct tri_net_limits *limits);
/* A frame of the port began nothing: it was refused, a repetition, or a question.  Charges the
 * port's account for `frames` of them, what it cost; accepts a port that is gone or in its
 * handshake. */
void tri_net_charge(struct tri_net *net, tri_port port, uint32_t frames);

/* tri_net_reserve returns room for a frame of at most `bytes`, with its length (<=
 * TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES), at the end of the queue; NULL if the port is gone
 * or there is no room (LOST).  Valid until the next call for this net. */
uint8_t *tri_net_reserve(struct tri_net *net, tri_port port, uint32_t bytes);
/* tri_net_commit queues the first `bytes` (> 0) of the room. */
void tri_net_commit(struct tri_net *net, tri_port port, uint32_t bytes);

/* Stops reading the port, and goes on.  Frames that had arrived are still handed out. */
void tri_net_pause(struct tri_net *net, tri_port port);
void tri_net_resume(struct tri_net *net, tri_port port);

/* tri_net_close sends what is queued, then closes; nothing more is handed out.  tri_net_abort
 * closes at once.  `closed` follows; both accept a port that is gone. */
void tri_net_close(struct tri_net *net, tri_port port);
void tri_net_abort(struct tri_net *net, tri_port port);
/* Every connection; `is_abort` as above. */
void tri_net_close_all(struct tri_net *net, bool is_abort);

/* tri_net_detach gives the socket of a connection away that still is in its handshake: returns the
 * descriptor, which the caller owns, and frees the port without `closed`; -EBUSY if bytes are
 * queued, in flight or unread. */
int tri_net_detach(struct tri_net *net, tri_port port);
/* tri_net_attach takes such a descriptor over, streaming at once.  Returns 0 or -ENFILE (the
 * descriptor stays the caller's). */
int tri_net_attach(struct tri_net *net, int descriptor, const struct tri_net_limits *limits,
                   tri_port *port);

/* tri_net_complete takes a completion of kind 1..TRI_LOOP_KIND_NET_MAX. */
void tri_net_complete(struct tri_net *net, uint64_t user_data, int32_t result, uint32_t flags,
                      uint64_t now_ns);
/* Offers the frames again that were TRI_FULL; returns how many connections went on. */
uint32_t tri_net_retry(struct tri_net *net);
/* Starts sends and receives, ends connections; call once per turn, before the loop's submit. */
void tri_net_flush(struct tri_net *net, uint64_t now_ns);
/* When tri_net_flush() is due next although nothing happens; TRI_NEVER if it is not. */
uint64_t tri_net_deadline_ns(const struct tri_net *net);
/* True while a frame waits to be offered again: the caller must not sleep for long. */
bool tri_net_is_stalled(const struct tri_net *net);

/* Open connections, those on their way out included. */
uint32_t tri_net_count(const struct tri_net *net);
const struct tri_net_counters *tri_net_counters(const struct tri_net *net);
/* The peer's numeric address and port, for the log; "" if the port is gone. */
void tri_net_peer_text(const struct tri_net *net, tri_port port, char *text, uint32_t text_bytes);

#endif
