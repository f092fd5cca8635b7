/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Net, inside: what net.c (life of connections), net_accept.c (how they begin),
 * net_recv.c (bytes in) and net_send.c (bytes out) share.  No other file
 * includes this.
 *
 * The life of a connection:
 *
 *     FREE -> OPEN -> FLUSHING -> LINGERING -> DEAD -> FREE
 *             OPEN -> DETACHED -> FREE
 *
 * OPEN hands frames out.  FLUSHING sends what is queued and drops what arrives;
 * LINGERING has closed its sending side and waits for the peer's end, because
 * closing a socket with unread bytes would reset it and destroy the last ERROR
 * on its way.  DEAD waits for the requests that the kernel still holds: a slot is
 * used again only when none is left, so a late completion never meets a
 * stranger.
 *
 * Every change that needs the kernel is noted by marking the connection dirty; tri_net_flush
 * visits the dirty ones.  So no callback runs, and no slot dies, under the feet of
 * a caller in the middle of a turn.
 */
#ifndef TRI_IO_NET_INTERNAL_H
#define TRI_IO_NET_INTERNAL_H

#include <assert.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "engine/arena.h"
#include "engine/stream.h"
#include "io/net.h"

#define NET_NONE UINT32_MAX

/* The account of a connection in its handshake; the others are options' accounts + 1. */
#define NET_ACCOUNT_STRANGERS 0U
#define NET_PARTIAL_CLASSES   3U

/* Kinds of completions. */
#define NET_KIND_ACCEPT 1U
#define NET_KIND_RECV   2U
#define NET_KIND_SEND   3U
#define NET_KIND_CANCEL 4U

#define NET_RECV_GROUP            0U
/* So many buffers a stalled connection may hold before its receive is cancelled. */
#define NET_HELD_MAX              4U
/* Frames are announced this far ahead: some ten answers, or four submits. */
#define NET_AHEAD_BYTES           1024
#define NET_SEND_RUNS_MAX         16U
#define NET_SCAN_NS               (100U * TRI_NS_PER_MS)
#define NET_FLUSHING_NS           (2U * TRI_NS_PER_S)
#define NET_LINGERING_NS          (1U * TRI_NS_PER_S)
#define NET_HANDSHAKE_BYTES_MAX   512U
#define NET_HANDSHAKE_QUEUE_BYTES 4096U
/* So much at once is within every rate. */
#define NET_ACCEPT_BURST_NS       (1U * TRI_NS_PER_S)
#define NET_CHARGE_BURST_NS       (TRI_NS_PER_S / 10)
/* No debt is deeper, so nobody is unread for longer. */
#define NET_DEBT_MAX_NS           (1U * TRI_NS_PER_S)
/* After a debt an account is watched for a while: its connections receive one buffer at a time. */
#define NET_WATCH_NS              (10U * TRI_NS_PER_S)
/* An account may always send one frame, however small its share. */
#define NET_SEND_SHARE_MIN        (UINT64_C(128) << 10)

enum net_state {
    NET_FREE = 0,
    NET_OPEN,
    NET_FLUSHING,
    NET_LINGERING,
    NET_DEAD,
    NET_DETACHED,
};

/* Lists that a connection may stand in, oldest first. */
enum net_link {
    NET_LINK_HANDSHAKE, /* connections in their handshake, until it is over or they die */
    NET_LINK_PARTIAL,   /* of an account and class: those that hold memory for a frame in pieces */
    NET_LINK_UNREAD,    /* of an account in debt: those that want to receive */
    NET_LINK_COUNT,
};

struct net_list {
    uint32_t oldest;
    uint32_t newest;
    uint32_t count;
};

struct net_account {
    uint32_t connections;
    bool is_in_debt;
    uint32_t next_in_debt;
    uint64_t charged_ns; /* every charge moves it on by its time; ahead of now it is a debt */
    uint64_t watched_ns; /* until then receives take one buffer at a time */
    uint64_t send_bytes; /* chunks */
    struct net_list unread;
    struct net_list partials[NET_PARTIAL_CLASSES];
};

/* A run of bytes on its way out; the slot of the arena goes on behind the header. */
struct net_chunk {
    uint32_t next; /* handle or NET_NONE */
    uint32_t used;
    uint32_t room;
    uint32_t reserved;
    uint8_t bytes[];
};

struct net_connection {
    enum net_state state;
    int descriptor;
    int failed; /* why it is DEAD */
    uint32_t generation;
    uint32_t requests; /* held by the kernel: receive, send */
    uint32_t next_dirty;
    uint32_t next_stalled;
    bool is_dirty;      /* in the dirty list */
    bool is_in_stalled; /* in the stalled list */
    bool is_streaming;  /* the handshake is over */
    bool is_receiving;  /* a receive is armed */
    bool is_cancelling;
    bool is_paused;
    bool is_stalled;
    bool is_ended; /* the peer has sent its end */
    bool is_sending;
    bool is_high;
    bool is_lost;         /* a frame found no room since the last LOW */
    bool is_lost_told;    /* LOST was told */
    bool is_receiving_on; /* the receive goes on by itself */
    bool is_in_frame;     /* a frame has begun and has to end in time */
    uint32_t account;
    uint32_t links; /* a bit for each list that it stands in */
    struct {
        uint32_t older;
        uint32_t newer;
    } link[NET_LINK_COUNT];
    uint32_t turn;        /* the last in which frames were handed out */
    uint32_t turn_frames; /* in that turn */

    struct tri_stream stream;
    uint32_t lent;            /* handle of the buffer lent to the stream */
    struct tri_bytes pending; /* a frame that is to be offered */
    struct tri_bytes chunk;   /* what is left of held_first */
    const uint8_t *ahead;     /* in chunk: up to where frames were announced; NULL: none yet */
    uint32_t held_first;      /* received buffers not used up, in order */
    uint32_t held_last;
    uint32_t held_count;

    uint32_t send_first; /* chunks */
    uint32_t send_last;
    uint32_t send_offset; /* sent of the first chunk */
    uint32_t queued_bytes;
    uint32_t chunk_bytes; /* memory of the chunks */
    struct tri_net_limits limits;
    struct msghdr message;
    struct iovec runs[NET_SEND_RUNS_MAX];
};

struct net_buffer {
    uint32_t next;
    uint32_t bytes;
};

struct tri_net {
    struct tri_net_options options;
    struct tri_loop *loop;
    const struct tri_net_ops *ops;
    void *context;
    uint64_t now_ns;
    const uint8_t *refusal;
    uint32_t refusal_bytes;

    int listener; /* -1 = none */
    bool is_accepting;
    bool is_listen_ending;
    uint64_t accept_again_ns; /* TRI_NEVER = not waiting */
    uint64_t accepted_ns;     /* every accept moves it on by its time */

    struct net_account *accounts;
    uint32_t in_debt_first; /* accounts */
    uint64_t debt_due_ns;   /* when the first of them is out of it; TRI_NEVER = none */
    uint32_t turn;
    struct net_list handshakes;

    struct net_connection *connections;
    uint64_t *deadlines_ns; /* of each slot, TRI_NEVER = none; beside them, to be scanned fast */
    uint32_t *free_slots;   /* a stack */
    uint32_t free_count;
    uint32_t slots_used;  /* slots that were ever taken */
    uint32_t timed_count; /* connections with a deadline */
    uint64_t scan_ns;
    uint32_t dirty_first;
    uint32_t later_first; /* dirty again at the next flush */
    uint32_t stalled_first;
    uint32_t stalled_count;

    struct io_uring_buf_ring *ring; /* the kernel's view of the free receive buffers */
    uint8_t *buffers;
    struct net_buffer *buffer_states;
    uint32_t buffers_free;
    struct tri_arena *partials;
    struct tri_arena *chunks;

    struct tri_net_counters counters;
    void *memory;
    uint64_t memory_bytes;
};

static inline void net_add(_Atomic uint64_t *counter, uint64_t amount)
{
    /* One writer: no read-modify-write is needed, only that readers see whole numbers. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

static inline uint32_t net_slot(const struct tri_net *net, const struct net_connection *connection)
{
    return (uint32_t)(connection - net->connections);
}

static inline tri_port net_port(const struct tri_net *net, const struct net_connection *connection)
{
    return TRI_PORT(net->options.shard, connection->generation, net_slot(net, connection));
}

static inline uint64_t net_user_data(const struct tri_net *net,
                                     const struct net_connection *connection, uint32_t kind)
{
    return TRI_LOOP_DATA(kind, net_port(net, connection));
}

/* The connection of a port in one of the states that the owner may still name; NULL if it is gone.
 */
struct net_connection *net_find(const struct tri_net *net, tri_port port);
void net_mark(struct tri_net *net, struct net_connection *connection);
void net_deadline_set(struct tri_net *net, struct net_connection *connection, uint64_t deadline_ns);
/* Ends a connection now; `failed` 0 or -errno. */
void net_kill(struct tri_net *net, struct net_connection *connection, int failed);
/* Tells the owner why, then closes. */
void net_refuse(struct tri_net *net, struct net_connection *connection, enum tri_error why);

/* A fresh slot for `descriptor`; NULL if all are taken. */
struct net_connection *net_take(struct tri_net *net, int descriptor);

/* net_account.c */
/* Puts a connection at the end of a list, and takes it out if it is in. */
void net_list_add(struct tri_net *net, struct net_list *list, enum net_link which,
                  struct net_connection *connection);
void net_list_drop(struct tri_net *net, struct net_list *list, enum net_link which,
                   struct net_connection *connection);
struct net_connection *net_list_oldest(const struct tri_net *net, const struct net_list *list);
void net_accounts_init(struct tri_net *net);
/* Moves a connection, with what it holds, to `account`. */
void net_account_move(struct tri_net *net, struct net_connection *connection, uint32_t account);
/* The connection's slot becomes free: it holds nothing any more. */
void net_account_leave(struct tri_net *net, struct net_connection *connection);
/* Memory for a frame in pieces of `bytes`; the oldest of the account that holds most may have to
 * make room. */
void net_partial_take(struct tri_net *net, struct net_connection *connection, uint32_t bytes);
void net_partial_give(struct tri_net *net, struct net_connection *connection);
/* True if the account may take a chunk of `bytes`. */
bool net_account_has_send(const struct tri_net *net, const struct net_connection *connection,
                          uint32_t bytes);
void net_account_add_send(struct tri_net *net, struct net_connection *connection, int64_t bytes);
/* Not now: the account is in debt, and the connection is noted. */
bool net_account_is_unread(struct tri_net *net, struct net_connection *connection);
bool net_account_is_in_debt(const struct tri_net *net, const struct net_connection *connection);
bool net_account_is_watched(const struct tri_net *net, const struct net_connection *connection);
/* Lets accounts be read again whose debt is over. */
void net_accounts_settle(struct tri_net *net);

/* net_accept.c */
/* The connection proved who it is, or is about to go: it stands in nobody's way any more. */
void net_handshake_over(struct tri_net *net, struct net_connection *connection);
void net_accept_arm(struct tri_net *net);
void net_accept_complete(struct tri_net *net, int32_t result);

/* net_recv.c */
void net_recv_init(struct tri_net *net);
void net_recv_arm(struct tri_net *net, struct net_connection *connection);
void net_recv_complete(struct tri_net *net, struct net_connection *connection, int32_t result,
                       uint32_t flags);
void net_recv_cancel(struct tri_net *net, struct net_connection *connection);
/* Gives back what the connection holds of the receive side. */
void net_recv_drop(struct tri_net *net, struct net_connection *connection);
/* True if the connection wants to receive and cannot for lack of buffers. */
bool net_recv_starves(const struct tri_net *net, const struct net_connection *connection);

/* net_send.c */
void net_send_start(struct tri_net *net, struct net_connection *connection);
void net_send_complete(struct tri_net *net, struct net_connection *connection, int32_t result);
void net_send_drop(struct tri_net *net, struct net_connection *connection);
/* Tells the owner about the water marks; true if a LOW is still owed. */
bool net_send_pressure(struct tri_net *net, struct net_connection *connection);

#endif
