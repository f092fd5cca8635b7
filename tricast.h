/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tricast: a node inside a program.
 *
 * A node is a coordinator with threads of its own, one per shard.  A message belongs to the shard
 * that the keyed hash of its id names, and never leaves it.
 *
 *   submitter threads         shard threads                chains
 *   tri_handle_submit()  -->  tri_engine_step()  --orders-->  tri_chain_handler of each chain
 *   tri_handle_poll()    <--     results         <-answers--  at once, or by tri_handle_answer()
 *
 * A program opens a node with its chains, opens a handle in each thread that submits or answers,
 * and reads results from the handle.  Between a handle and each shard runs one ring for one
 * producer and one consumer; there is no lock, no system call and no allocation per message.
 *
 * The library installs no signal handler, never exits and holds no global state: several nodes may
 * be open at once.  Its own mistakes, and calls against the rules below, end in an assertion.
 *
 * Threads: tri_node_open() and tri_node_close() by one thread; a handle by one thread at a time;
 * handlers run on the shard threads.  Everything else says so.
 *
 * A program with an event loop of its own takes tricast_engine.h instead, and a
 * chain's side is tricast_participant.h.
 */
#ifndef TRICAST_H
#define TRICAST_H

#include "tricast/message.h"
#include "tricast/options.h"
#include "tricast/order.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tri_node;
struct tri_handle;

#define TRI_HANDLES_MAX     64U
#define TRI_NODE_SHARDS_MAX 64U
#define TRI_TROUBLE_BYTES   256U

/*
 * tri_chain_handler speaks for a chain.
 *
 * context  in; as registered.
 * order    in; borrowed until the return.
 * answer   out; zeroed by the caller; read if the return is TRI_REPLY_NOW.
 *
 * The same order may come again (P06): answer it with the same bytes.  A chain that keeps state
 * drives a participant (tricast_participant.h) with its orders.
 *
 * Threads: called on the thread of every shard, on several at once; order->shard tells which.  It
 * must not block: a slow chain answers TRI_REPLY_LATER.  It may use a handle of its own per shard.
 */
typedef enum tri_reply tri_chain_handler(void *context, const struct tri_order *order,
                                         struct tri_answer *answer);

struct tri_chain_port {
    tri_chain_handler *handler;
    void *context;
};

struct tri_node_options {
    uint32_t shards;         /* 1..TRI_NODE_SHARDS_MAX; 0 = one per CPU that the process may use */
    bool pins_threads;       /* shard i stays on the i-th of these CPUs */
    uint32_t handles_max;    /* handles open at once, 1..TRI_HANDLES_MAX */
    uint32_t in_flight_max;  /* per handle: submits and questions without their end, 1..2^20 */
    uint8_t hash_secret[32]; /* seeds the routing hash; all zero = random at each open */
    /* Capacities are for the whole node.  epoch 0 = the seconds of the wall clock at open: enough
     * while nobody remembers anything over a restart.  Where chains do (tricast_participant.h with
     * records), the program keeps an epoch of its own and raises it at every open (P10). */
    struct tri_engine_options engine;
    const struct tri_chain_port *ports; /* engine.chain_count, borrowed until close */
};

/* tri_node_defaults fills *options with the defaults of docs/embedding.md: one shard per CPU, 16
 * handles, 65,536 open messages, a million remembered ones.  Chains and ports are left to the
 * caller. */
void tri_node_defaults(struct tri_node_options *options);

/*
 * tri_node_open makes a node and starts its threads.
 *
 * options  in; borrowed until the return, but for what it says itself.
 * node     out; written on 0 only; the caller ends it with tri_node_close().
 * trouble  out; a sentence that names what is wrong; written if the return is not 0.
 *
 * Returns 0; TRI_VIOLATION: an option is out of its range or breaks L01 or R06, correct it;
 * -ENOMEM: lower the capacities; -EAGAIN: no thread, raise `ulimit -u`; another -errno of the
 * system. Takes all memory that the node will ever use.
 */
int tri_node_open(const struct tri_node_options *options, struct tri_node **node,
                  char trouble[TRI_TROUBLE_BYTES]);

/* tri_node_drain lets the node take no new messages (SHUTTING_DOWN); open ones go on.  Any thread.
 */
void tri_node_drain(struct tri_node *node);

/* tri_node_open_count returns the open messages of all shards, as of their last turns.  Any thread.
 */
uint64_t tri_node_open_count(const struct tri_node *node);

/*
 * tri_node_close ends a node: it drains it, waits up to `drain_ms` for the open messages to end,
 * stops the threads and gives all memory back.
 *
 * Returns the number of messages that were still open.  No other thread may be in a call on the
 * node or its handles; handles that are still open end with it.  Results that are waiting are lost:
 * tri_node_drain() and poll first.
 */
uint64_t tri_node_close(struct tri_node *node, uint32_t drain_ms);

/* A counter of one shard. */
struct tri_counter_view {
    const char *name;
    const char *unit;
    const char *help;
    uint64_t value;
};

/* tri_node_counter reads counter `index` (0, 1, 2, ...) of a shard; false behind the last.  Any
 * thread, at no cost to the shard. */
bool tri_node_counter(const struct tri_node *node, uint32_t shard, uint32_t index,
                      struct tri_counter_view *view);
uint32_t tri_node_shard_count(const struct tri_node *node);

/*
 * tri_handle_open opens a handle for the calling thread.
 *
 * Returns TRI_OK with *handle, or TRI_FULL: handles_max are open.  Any thread.
 */
enum tri_result tri_handle_open(struct tri_node *node, struct tri_handle **handle);

/* tri_handle_close ends a handle.  Its messages go on; what they would tell it is dropped and
 * counted.  Waits until every shard has let go of it: not from a chain handler. */
void tri_handle_close(struct tri_handle *handle);

/*
 * tri_handle_submit submits a message (H01).
 *
 * message  in; borrowed until the return; `canonical` and `inner` are not read.
 * cookie   in; comes back with everything that is told about this submit.
 *
 * Returns TRI_OK: exactly one TRI_NEWS_ENDED with the cookie will come; TRI_FULL: the ring or
 * in_flight_max is full, poll, wait, and submit again; TRI_VIOLATION: a count or a length lies
 * outside its range, nothing was done.  What only the shard can see (an unknown chain, a stale
 * timestamp) is refused by TRI_NEWS_ENDED with REJECTED and a code.
 *
 * The message leaves with the next poll, wait or flush, or when some have gathered.  Cost: one
 * encoding, one SHA-256 and one keyed hash on this thread; no system call.
 */
enum tri_result tri_handle_submit(struct tri_handle *handle, const struct tri_message *message,
                                  uint64_t cookie);

/* tri_handle_ask_status asks what is known of a message: TRI_NEWS_STATUS will come.  Returns
 * TRI_OK, TRI_FULL or TRI_VIOLATION as tri_handle_submit() does. */
enum tri_result tri_handle_ask_status(struct tri_handle *handle, struct tri_text id,
                                      uint64_t cookie);

/*
 * tri_handle_answer gives the answer to an order that was answered TRI_REPLY_LATER.
 *
 * ticket  in; of the order.  Late, doubled and stray answers are counted and do no harm (P07).
 *
 * Returns TRI_OK; TRI_FULL: the ring is full, call again later; TRI_VIOLATION: the answer does not
 * fit the order's kind, nothing was done.
 */
enum tri_result tri_handle_answer(struct tri_handle *handle, const struct tri_ticket *ticket,
                                  const struct tri_answer *answer);

/* tri_handle_ask_reservation asks about a reservation that a chain holds from before a new epoch
 * (P14): the handler gets ABORT if the coordinator has no record of it.  TRI_OK, TRI_FULL, or
 * TRI_VIOLATION: it is no ticket. */
enum tri_result tri_handle_ask_reservation(struct tri_handle *handle,
                                           const struct tri_ticket *ticket);

/* tri_handle_chain tells the node that a chain cannot be reached, or can be again: orders wait
 * meanwhile, and unanswered ones are repeated (P15).  Chains begin reachable.  TRI_OK, TRI_FULL, or
 * TRI_VIOLATION: there is no such chain. */
enum tri_result tri_handle_chain(struct tri_handle *handle, uint16_t chain, bool is_up);

enum tri_news_kind {
    TRI_NEWS_RECEIVED, /* the message is accepted (R09) */
    TRI_NEWS_FINAL,    /* primary finality (F01): applied everywhere, before FINALIZE has ended */
    TRI_NEWS_ENDED,    /* the result; the last news of a submit */
    TRI_NEWS_STATUS,   /* the answer to tri_handle_ask_status() */
};

/* What a handle is told.  Masks have one bit per target, in the order of the message's targets, or
 * under ALL_CHAINS in the order of the options' chains. */
struct tri_news {
    enum tri_news_kind kind;
    enum tri_ack_type
        ack_type;          /* RECEIVED; ENDED and a closed STATUS: PROCESSED, FAILED, REJECTED */
    enum tri_error code;   /* why; STATUS of an unknown id: UNKNOWN_MESSAGE */
    bool is_duplicate;     /* the id had been submitted before (R01) */
    bool is_open;          /* STATUS: the message has not ended */
    uint16_t target_count; /* 0: not known any more, or never was */
    uint32_t retries;      /* redeliveries so far */
    uint64_t cookie;
    tri_attempt attempt;
    uint64_t applied_mask;
    uint64_t refused_mask;
    uint64_t unknown_mask; /* may have applied (P11) */
    uint64_t undone_mask;  /* rolled back */
    const char *state;     /* STATUS: the round table's name, static; else NULL */
    const char
        *field; /* ENDED by a malformed message: the field that is wrong, static; else NULL */
};

/*
 * tri_handle_poll takes up to `max` news.
 *
 * news  out; `max` entries, at least 1.
 *
 * Returns how many; 0: there is none now, and tri_handle_fd() will become readable with the next,
 * or, after a call that gave TRI_FULL, as soon as there is room.  Sends what was submitted.  No
 * system call unless a shard sleeps and has to be woken.
 */
uint32_t tri_handle_poll(struct tri_handle *handle, struct tri_news *news, uint32_t max);

/* tri_handle_fd returns an eventfd for an event loop: readable when news or room came after a poll
 * that returned 0.  Poll until 0 after it was readable; the poll resets it.  Owned by the handle.
 */
int tri_handle_fd(const struct tri_handle *handle);

/* tri_handle_wait sends what was submitted and blocks until there is news, or room after a call
 * that gave TRI_FULL, or `timeout_ms` (-1 = no limit) has passed.  False: the time has passed. */
bool tri_handle_wait(struct tri_handle *handle, int timeout_ms);

/* tri_handle_flush sends what was submitted, answered and asked. */
void tri_handle_flush(struct tri_handle *handle);

#ifdef __cplusplus
}
#endif

#endif
