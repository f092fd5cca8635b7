/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simulator: one coordinator, some chains and some clients in virtual time.
 *
 * Everything random comes from one generator that starts from the seed, there
 * is one clock, and what happens at the same time happens in the order in which
 * it was planned.  So a seed is a whole history, and can be told again.
 *
 *   swarm.c        which faults this seed has, and how heavy they are
 *   workload.c     what the clients will submit
 *   world.c        the clock, the calendar, the trace, the life of a run
 *   network.c      links between the coordinator and the chains, and their faults
 *   coordinator.c  the engine, as a server would run it
 *   journal.c      the coordinator's journal: records, their durability, checkpoints, replay
 *   recovery.c     the coordinator's life: start, crash, restart from the journal
 *   chain.c        a participant with its journal, crash and restart
 *   books.c        a chain's ledger
 *   checker.c      what the protocol promises, seen from the wires alone
 *   checker_restart.c  the same across restarts: what is durable, and what must follow from it
 *   verdict.c      the same, once everything has ended
 *   forced.c       forced messages and redeliveries, and what is promised of them
 *   coverage.c     what has occurred over all seeds
 *
 * Threads: one.
 */
#ifndef TRI_TESTS_SIM_SIM_H
#define TRI_TESTS_SIM_SIM_H

#include <assert.h>
#include <string.h>

#include "engine/ledger.h"
#include "engine/wire.h"
#include "tests/sim/coverage.h"
#include "tests/sim/random.h"
#include "tricast_engine.h"
#include "tricast_participant.h"

#define SIM_CHAINS_MAX    6U
#define SIM_CLIENTS_MAX   4U
#define SIM_MESSAGES_MAX  40U
#define SIM_ASSETS_MAX    12U
#define SIM_FRAME_BYTES   1280U /* the longest frame of the workload fits */
#define SIM_EPOCHS_MAX    64U
#define SIM_FRAMES_MAX    16384U
#define SIM_MOMENTS_MAX   32768U
#define SIM_HELD_MAX      4096U
#define SIM_PENDING_MAX   64U /* operations at a ledger at once */
#define SIM_TRACE_LINES   60U
#define SIM_ANSWERS_MAX   48U /* remembered per message and chain (P06) */
#define SIM_NO_FRAME      UINT32_MAX
#define SIM_WALL_START_MS UINT64_C(1800000000000)
#define SIM_OPERATOR      UINT64_C(1000) /* who gives verdicts (F06) */
#define SIM_QUEUE         UINT64_C(2000) /* who has message i redelivered: SIM_QUEUE + i (F04) */

/* What the seed has drawn. */
struct sim_swarm {
    uint32_t chain_count;
    uint32_t client_count;
    uint32_t message_count;
    uint32_t asset_count;
    bool is_datagram; /* any loss, duplication and order; else ordered, loss only with the link */
    uint32_t loss_permille;
    uint32_t duplicate_permille;
    uint32_t delay_us_max;
    uint32_t slow_permille; /* frames that take much longer */
    uint32_t slow_us_max;
    uint32_t cuts; /* links that break and come back */
    uint32_t cut_ms_max;
    uint32_t blocks; /* chains that take nothing for a while */
    uint32_t chain_crashes;
    uint32_t coordinator_crashes;   /* at any time */
    uint32_t crash_append_permille; /* crashes soon after a record, before or after it is durable */
    uint32_t crash_again_permille;  /* crashes during or soon after a recovery */
    uint32_t down_ms_max;
    uint32_t checkpoint_ms_max; /* the most between two steps; 0 = no checkpoints */
    bool permutes_chains;       /* each start numbers the chains anew */
    bool journal_fails;         /* of the coordinator (D07) */
    bool restarts_broken;       /* and is restarted after that */
    uint32_t wall_jumps;
    uint32_t journal_us_max; /* of the coordinator; 0 = durable at once */
    uint32_t chain_journal_us_max;
    uint32_t ledger_slow_permille;
    uint32_t ledger_ms_max;
    uint32_t refuse_permille; /* PREPARE refused by the ledger for no reason of its own */
    uint32_t refuse_commit_permille;
    uint32_t reject_permille; /* of those: for good */
    uint32_t fence_permille;  /* UNDO refused */
    uint32_t tick_lag_us;
    uint32_t span_ms; /* submits and faults fall into it; then the network heals */
    uint32_t duplicate_submits;
    uint32_t equivocations;
    uint32_t best_effort_permille;
    uint32_t guaranteed_permille; /* the rest is ALL_OR_NOTHING */
    uint32_t critical_permille;
    uint32_t rounds_max;
    uint32_t dedup_window_ms;
    uint32_t entries_max;
    uint32_t reservation_ttl_ms_max;
    uint32_t participant_window_ms;
    uint32_t retries_max;
    uint32_t backoff_ms_initial;
    uint32_t backoff_ms_max;
    uint32_t jitter_permille;
    uint32_t timeout_ms[TRI_PHASE_COUNT];
    uint32_t rollback_window_ms;
    uint32_t clock_allowance_ms;
    bool is_long;             /* a span in which results are forgotten */
    uint32_t forced_permille; /* messages on the forced path (F06) */
    uint32_t redeliveries;    /* F04 */
    bool has_tight_lock;      /* GOVERNANCE holds its locks so shortly that L04 bites */
};

/* A message of the workload; `bytes` is its SUBMIT. */
struct sim_message {
    uint32_t frame_bytes;
    uint8_t frame[SIM_FRAME_BYTES];
    uint32_t forged_bytes; /* the same id with other content; 0 = none */
    uint8_t forged[SIM_FRAME_BYTES];
    struct tri_key key;
    struct tri_text id; /* in `frame` */
    uint32_t client;
    uint64_t timestamp_ms;
    bool is_forced;
    uint32_t asset_count;
    uint8_t assets[4];
};

enum sim_moment_kind {
    SIM_TO_CHAIN,
    SIM_TO_COORDINATOR,
    SIM_TO_CLIENT,
    SIM_SUBMIT,
    SIM_JOURNAL_DONE,
    SIM_CHAIN_JOURNAL_DONE,
    SIM_LEDGER_DONE,
    SIM_LINK_CUT,
    SIM_LINK_UP,
    SIM_LINK_NOTICED,
    SIM_LINK_BLOCK,
    SIM_LINK_FREE,
    SIM_CHAIN_CRASH,
    SIM_CHAIN_START,
    SIM_COORDINATOR_CRASH,
    SIM_COORDINATOR_START,
    SIM_CHECKPOINT,
    SIM_JOURNAL_FAIL,
    SIM_WALL_JUMP,
    SIM_VERDICT,
    SIM_REDELIVER,
    SIM_HEAL,
};

/* Something that will happen.  What it was planned for may be gone by then (`life`). */
struct sim_moment {
    uint64_t at_ns;
    uint64_t order;
    enum sim_moment_kind kind;
    uint32_t who;
    uint32_t what; /* a frame, or a number that belongs to the kind */
    uint64_t life;
};

/* A frame that waits for a record. */
struct sim_held {
    uint64_t after_lsn;
    uint32_t to; /* chain or client */
    uint32_t frame;
    bool is_client;
};

struct sim_record {
    uint32_t epoch;
    enum tri_record kind;
    uint64_t lsn;
    uint64_t begin_lsn; /* CHECKPOINT only */
    size_t at;          /* of its payload */
    uint32_t bytes;
};

/* The streams of all epochs, in their order.  What stands before `first` has been dropped. */
struct sim_journal {
    struct sim_record *records;
    uint32_t first;
    uint32_t count;
    uint32_t count_max;
    uint8_t *payloads;
    size_t payload_bytes;
    size_t payload_bytes_max;
    uint16_t chains[SIM_EPOCHS_MAX][SIM_CHAINS_MAX]; /* that an epoch numbers so */
};

/* What an archive of finality records would have (archive.c). */
struct sim_archive {
    uint64_t epoch_last;   /* ossEpoch of the last primary record of this epoch */
    uint64_t epoch_closed; /* as the engine says */
    /* By epoch: it has every primary record up to here for certain. */
    uint64_t archived_lsn[SIM_EPOCHS_MAX];
};

struct sim_coordinator {
    struct tri_engine *engine;
    void *memory;
    size_t memory_bytes;
    struct tri_engine_options options;
    uint64_t lsn;
    uint64_t flushing_lsn; /* 0 = no flush in flight */
    uint64_t durable_lsn;
    uint64_t checkpoint_lsn; /* of the last CHECKPOINT record; 0 = none */
    uint64_t life;
    bool is_down;
    bool is_broken; /* its journal has failed */
    uint32_t crash_count;
    uint32_t recovered_count; /* open messages that this epoch has taken over */
    struct sim_journal journal;
    struct sim_archive archive;
    /* The engine numbers the chains otherwise than the world does. */
    uint16_t index_of[SIM_CHAINS_MAX];
    uint16_t chain_of[SIM_CHAINS_MAX];
    struct tri_engine_chain chains_named[SIM_CHAINS_MAX];
    uint16_t location_chains[SIM_ASSETS_MAX][SIM_CHAINS_MAX];
    struct tri_engine_location locations[SIM_ASSETS_MAX];
    uint32_t held_count;
    struct sim_held held[SIM_HELD_MAX];
    struct tri_effects effects;
    /* what each round was in last, for coverage */
    uint8_t round_state[SIM_MESSAGES_MAX + 1];
    uint64_t round_key[SIM_MESSAGES_MAX + 1];
};

struct sim_operation {
    bool is_used;
    struct tri_participant_effect effect; /* no pointer of it is read */
    struct tri_key key;
    uint32_t message;
    enum tri_error code; /* refuse with it */
};

/* What a chain keeps: everything in it is lost back to the last flush by a crash. */
struct sim_books {
    int32_t net[SIM_MESSAGES_MAX];    /* applications not rolled back */
    uint32_t changer[SIM_ASSETS_MAX]; /* message of the last apply that can be undone, + 1 */
    uint32_t changes[SIM_ASSETS_MAX];
    uint8_t action[SIM_MESSAGES_MAX];
    struct sim_operation pending[SIM_PENDING_MAX];
    uint64_t lsn;
};

/* A record of a chain's participant. */
struct sim_chain_record {
    uint64_t lsn; /* 0 = of an earlier life, and durable */
    enum tri_participant_record kind;
    uint32_t bytes;
    uint8_t payload[TRI_PARTICIPANT_RECORD_BYTES_MAX];
};

struct sim_chain {
    uint8_t *memory; /* participant, ledger, books: one block */
    size_t memory_bytes;
    struct sim_chain_record *records; /* if there are crashes */
    uint32_t record_count;
    uint32_t record_room;
    uint8_t *flushing; /* copies of the block */
    uint8_t *durable;
    struct tri_participant *participant;
    struct tri_ledger *ledger;
    struct sim_books *books;
    uint64_t flushing_lsn;
    uint64_t durable_lsn;
    uint64_t life; /* raised by a crash */
    uint32_t instance;
    bool is_running;
    uint32_t held_count;
    struct sim_held held[SIM_HELD_MAX];
    struct tri_participant_effects effects;
};

struct sim_link {
    bool is_up;        /* frames can pass */
    bool is_told_up;   /* what the engine has been told */
    bool is_blocked;   /* nothing is taken until free_ns */
    uint64_t free_ns;  /* if is_blocked */
    uint64_t life;     /* raised by a cut: what is on the way is lost */
    uint64_t downs;    /* CHAIN_DOWN events told */
    uint64_t fresh_ns; /* when CHAIN_UP of a new connection was told */
    uint64_t up_ns;    /* when CHAIN_UP was told last */
    uint64_t last_ns[2];
    bool is_welcomed;
};

struct sim_answer {
    tri_attempt attempt;
    uint64_t digest;
    uint8_t phase;
    bool is_used;
};

/*
 * What has crossed the wires about a message's newest attempt.  Masks have a bit per chain.
 *
 * The checker names a record by its stamp: the epoch above the LSN.
 */
struct check_attempt {
    tri_attempt attempt;
    uint64_t begun_ns;
    uint64_t record_lsn;
    uint64_t decision_lsn;
    uint64_t rollback_lsn;
    uint64_t primary_lsn;
    uint32_t prepare_ok;
    uint32_t prepare_no;
    uint32_t commit_ok;
    uint32_t commit_no;
    uint32_t commit_said; /* has answered COMMIT in any way */
    uint32_t ended_sent;  /* ABORT or ROLLBACK of this attempt */
    uint32_t affected;
    uint32_t undone;
    bool is_given_up;     /* ABORT has gone out for it */
    bool is_orphan;       /* a restart has ended it: nothing of it may leave any more (P10) */
    uint64_t deadline_ms; /* of the rollback, wall time (A07) */
    uint64_t opened_downs[SIM_CHAINS_MAX]; /* the link's downs + 1 when a phase was sent last */
    uint64_t sent_ns[SIM_CHAINS_MAX];      /* when the open phase was sent last */
    uint8_t token_bytes[SIM_CHAINS_MAX];
    uint8_t tokens[SIM_CHAINS_MAX][TRI_TOKENS_BYTES_MAX];
};

/* Where a message stands as far as a restart is concerned. */
enum check_stage {
    CHECK_NOTHING,
    CHECK_HELD, /* F06 */
    CHECK_UNDECIDED,
    CHECK_DECIDED,
    CHECK_ROLLING_BACK,
    CHECK_RECORDED,
    CHECK_BACKING_OFF,
    CHECK_ENDED,
};

/* How a message has ended, with its evidence: masks of chains. */
struct check_end {
    enum tri_ack_type type;
    enum tri_error code;
    uint32_t applied;
    uint32_t refused;
    uint32_t undone;
    uint32_t rest;
};

/* What a record keeps of a message. */
struct check_mark {
    uint64_t stamp;
    enum check_stage stage;
    uint32_t may;
    uint32_t retries;
    struct check_attempt now;
    struct check_end end;
};
#define CHECK_PENDING_MAX 8U

/* A redelivery behind the primary record (F04). */
struct check_forward {
    tri_attempt attempt; /* the highest that was used */
    bool is_open;
    uint32_t prepare_ok;
    uint32_t commit_ok;
    uint32_t final_ok;
};

struct check_client {
    uint32_t submits; /* delivered to the engine of this epoch */
    uint32_t receipts;
    uint32_t results;  /* not flagged as duplicates */
    uint32_t repeats;  /* flagged */
    uint32_t refusals; /* at admission */
};

struct check_message {
    bool is_known; /* a SUBMIT of it has crossed the wire */
    enum tri_atomicity atomicity;
    bool is_critical;
    bool is_held;    /* F06: nothing of it may leave */
    bool is_judged;  /* the operator's verdict is being stepped */
    bool has_passed; /* what it says */
    uint64_t held_until_ns;
    uint32_t ttl_s;
    uint64_t accepted_ms; /* wall time */
    uint64_t issued_ms;   /* of its primary record, wall time */
    struct check_forward forward;
    bool finalize_requested;
    uint32_t targets;
    uint32_t timeout_ms[TRI_PHASE_COUNT];
    uint64_t accept_lsn; /* 0 = not accepted, or forgotten by a crash */
    uint64_t outcome_lsn;
    uint64_t close_lsn;
    struct tri_hash hash; /* of the content that was accepted */
    bool has_primary;     /* durable, in any epoch */
    struct check_end end; /* as its last outcome record says */
    bool has_result;      /* a client has been told */
    struct check_end told;
    uint32_t may;            /* A11, as far as the wires show it */
    uint32_t retries;        /* used up so far (R03) */
    uint64_t window_end_ns;  /* A07: of the rollback that runs */
    uint64_t window_ms;      /* R06: for so long it is remembered when it has ended */
    uint64_t dated_ns;       /* F06: and when its date is over, the clocks allowed for */
    uint64_t ended_first_ns; /* when it may have ended first, and last */
    uint64_t ended_last_ns;
    enum check_stage resumed; /* how this epoch has found the open attempt */
    struct check_attempt now;
    struct check_mark kept; /* what a restart finds */
    uint32_t pending_count;
    struct check_mark pending[CHECK_PENDING_MAX]; /* on their way to be kept */
    struct check_client clients[SIM_CLIENTS_MAX];
    tri_attempt ended_at[SIM_CHAINS_MAX];  /* highest ABORT or ROLLBACK delivered */
    tri_attempt taken_at[SIM_CHAINS_MAX];  /* highest PREPARE or COMMIT delivered */
    tri_attempt buried_at[SIM_CHAINS_MAX]; /* highest attempt that the chain has called ended */
    struct sim_answer answers[SIM_CHAINS_MAX][SIM_ANSWERS_MAX];
    uint64_t sent[SIM_CHAINS_MAX][TRI_SEND_COUNT]; /* last attempt sent */
};

#define SIM_TOKENS_MAX 65536U
struct check_token {
    uint64_t digest; /* of chain and token; 0 = free */
    uint32_t message;
    tri_attempt attempt;
};

struct sim_checker {
    struct check_message messages[SIM_MESSAGES_MAX];
    struct check_token tokens[SIM_TOKENS_MAX];
    uint32_t token_count;
    enum tri_event_type step;
    uint64_t acks;
    uint64_t control_acks;
    uint64_t asks;
    uint64_t submits;
    uint64_t repeats; /* frames of an attempt sent again */
    uint64_t strays;
    uint64_t resumed_ns; /* when this epoch began */
    uint32_t restarts;
    struct tri_frame frame;
};

struct sim_trace_line {
    uint64_t at_ns;
    const char *what; /* static */
    uint32_t message;
    uint32_t who;
    tri_attempt attempt;
    uint64_t value;
};

struct sim_world {
    uint64_t seed;
    struct sim_random random;
    struct sim_random aside; /* of forced.c */
    struct sim_swarm swarm;
    uint64_t now_ns;
    int64_t wall_offset_ms[SIM_CHAINS_MAX + 1]; /* the last one is the coordinator's */
    bool is_healed;
    bool is_printing;
    bool has_failed;
    char failure[512];
    uint64_t moments_seen;

    uint32_t moment_count;
    uint64_t moment_order;
    struct sim_moment moments[SIM_MOMENTS_MAX];
    uint32_t frame_free_count;
    uint32_t frame_free[SIM_FRAMES_MAX];
    uint32_t frame_bytes[SIM_FRAMES_MAX];
    uint8_t (*frames)[SIM_FRAME_BYTES];

    struct sim_message messages[SIM_MESSAGES_MAX];
    char chain_ids[SIM_CHAINS_MAX][16];
    struct tri_engine_chain chains_named[SIM_CHAINS_MAX];
    char asset_ids[SIM_ASSETS_MAX][16];
    uint32_t asset_chains[SIM_ASSETS_MAX]; /* mask */
    uint32_t asset_turns[SIM_ASSETS_MAX];  /* messages drawn for it */

    struct sim_coordinator coordinator;
    struct sim_chain chains[SIM_CHAINS_MAX];
    struct sim_link links[SIM_CHAINS_MAX];
    struct sim_checker checker;
    struct sim_coverage coverage;

    uint64_t trace_digest;
    uint64_t trace_count;
    struct sim_trace_line trace[SIM_TRACE_LINES];
    struct tri_frame frame; /* the one being made */
    struct tri_frame taken; /* the one that arrived */
};

/* ---- world.c ---- */

/* sim_run plays one seed in *world (zeroed before the first, else used before).  Returns whether
 * every promise held; else world->failure says which did not. */
bool sim_run(struct sim_world *world, uint64_t seed, bool is_printing);

/* sim_open acquires what outlives a run; false when memory ran out.  sim_close gives it back. */
bool sim_open(struct sim_world *world);
void sim_close(struct sim_world *world);

/* The last lines of the trace, and how to see the whole. */
void sim_explain(const struct sim_world *world);

void sim_plan(struct sim_world *world, uint64_t delay_ns, enum sim_moment_kind kind, uint32_t who,
              uint32_t what, uint64_t life);

/* One line of the trace; `what` is a static text. */
void sim_trace(struct sim_world *world, const char *what, uint32_t message, uint32_t who,
               tri_attempt attempt, uint64_t value);

/* A broken promise: the first one is kept and ends the run. */
__attribute__((format(printf, 3, 4))) void sim_break(struct sim_world *world, const char *statement,
                                                     const char *format, ...);

uint64_t sim_wall_ms(const struct sim_world *world, uint32_t who);
uint64_t sim_digest(const void *bytes, size_t count, uint64_t start);
struct tri_key sim_key(struct tri_text id);
struct tri_hash sim_hash(struct tri_bytes bytes);
/* The number in an id; SIM_MESSAGES_MAX if it has none. */
uint32_t sim_message_of(struct tri_text id);

/* ---- swarm.c, workload.c ---- */
void sim_swarm_draw(struct sim_world *world);
void sim_swarm_print(const struct sim_world *world);
void sim_workload_draw(struct sim_world *world);

/* ---- network.c ---- */
uint32_t sim_frame_take(struct sim_world *world, const struct tri_frame *frame);
uint32_t sim_frame_copy(struct sim_world *world, const uint8_t *bytes, uint32_t count);
void sim_frame_give(struct sim_world *world, uint32_t frame);
/* Puts a frame on its way; it belongs to the network then. */
void sim_send_to_chain(struct sim_world *world, uint32_t chain, uint32_t frame);
void sim_send_to_coordinator(struct sim_world *world, uint32_t chain, uint32_t frame);
/* Decodes a frame into world->taken and gives it back; what is made must be readable. */
void sim_frame_open(struct sim_world *world, uint32_t frame, struct tri_frame *to);
void sim_network_start(struct sim_world *world);
void sim_network_moment(struct sim_world *world, const struct sim_moment *moment);
void sim_link_cut(struct sim_world *world, uint32_t chain, uint64_t down_ns);

/* ---- coordinator.c ---- */
enum tri_result sim_coordinator_step(struct sim_world *world, struct tri_event *event);
void sim_coordinator_frame(struct sim_world *world, uint32_t chain, uint32_t frame);
void sim_coordinator_submit(struct sim_world *world, uint32_t client, const uint8_t *bytes,
                            uint32_t count);
void sim_coordinator_chain(struct sim_world *world, uint32_t chain, bool is_up, bool is_fresh);
void sim_coordinator_tick(struct sim_world *world);
void sim_coordinator_durable(struct sim_world *world);

/* ---- journal.c ---- */
/* archive.c */
void sim_archive_begin(struct sim_world *world);
void sim_archive_append(struct sim_world *world, const struct tri_effect *effect);
void sim_archive_step(struct sim_world *world);
void sim_archive_checkpoint(struct sim_world *world, uint64_t lsn);
void sim_archive_replayed(struct sim_world *world, const struct sim_record *record);
void sim_archive_complete(struct sim_world *world);

void sim_journal_reset(struct sim_world *world);
void sim_journal_append(struct sim_world *world, const struct tri_effect *effect);
/* Drops what the newest durable checkpoint has made superfluous. */
void sim_journal_durable(struct sim_world *world);
/* Drops the records of this epoch above `lsn`. */
void sim_journal_cut(struct sim_world *world, uint64_t lsn);
/* Gives at most `count` records back to the engine; true if they were all. */
bool sim_journal_replay(struct sim_world *world, uint32_t count);
void sim_journal_close(struct sim_world *world);
void sim_checkpoint(struct sim_world *world);

/* ---- recovery.c ---- */
void sim_coordinator_start(struct sim_world *world);
void sim_coordinator_restart(struct sim_world *world);
void sim_coordinator_crash(struct sim_world *world);
void sim_coordinator_break(struct sim_world *world);

/* ---- chain.c ---- */
void sim_chain_start(struct sim_world *world, uint32_t chain);
void sim_chain_crash(struct sim_world *world, uint32_t chain);
void sim_chain_restart(struct sim_world *world, uint32_t chain);
void sim_chain_frame(struct sim_world *world, uint32_t chain, uint32_t frame);
void sim_chain_welcome(struct sim_world *world, uint32_t chain);
void sim_chain_tick(struct sim_world *world, uint32_t chain);
void sim_chain_durable(struct sim_world *world, uint32_t chain);
void sim_chain_verdict(struct sim_world *world, uint32_t chain, uint32_t operation);

/* ---- books.c ---- */
size_t sim_books_bytes(void);
void sim_books_init(struct sim_world *world, uint32_t chain, uint8_t *memory);
/* Carries out one operation. */
enum tri_error sim_books_operate(struct sim_world *world, uint32_t chain, uint32_t message,
                                 struct tri_key key, enum tri_ledger_op op);
/* Notes what the payload asks for; NONE or the refusal. */
enum tri_error sim_books_note(struct sim_world *world, uint32_t chain, uint32_t message,
                              const struct tri_phase_frame *phase);

/* ---- forced.c ---- */
void sim_forced_draw(struct sim_world *world);
void sim_forced_plan(struct sim_world *world);
void sim_forced_verdict(struct sim_world *world, const struct sim_moment *moment);
void sim_forced_redeliver(struct sim_world *world, const struct sim_moment *moment);
/* A held message begins, or ends. */
void check_forced_begins(struct sim_world *world, uint32_t index);
void check_forced_ends(struct sim_world *world, uint32_t index);
/* Whether the frame belongs to the redelivery that runs; then it has been judged. */
bool check_forward_out(struct sim_world *world, uint32_t chain, uint32_t index,
                       const struct tri_phase_frame *phase);
void check_forward_in(struct sim_world *world, uint32_t chain, uint32_t index,
                      const struct tri_phase_ack *ack);
/* Whether the operator or the queue is told, and no client. */
bool check_forced_notify(struct sim_world *world, const struct tri_effect *effect);

/* ---- checker.c: taps on the wires and on the journal ---- */
void check_submit(struct sim_world *world, uint32_t client, const struct tri_message *message);
/* R01, R02: how the engine answers a SUBMIT with this content. */
void check_submitted(struct sim_world *world, uint32_t index, bool was_known,
                     const struct tri_hash *hash, const struct tri_effects *effects);
void check_append(struct sim_world *world, const struct tri_effect *effect);
void check_durable(struct sim_world *world);
void check_to_chain(struct sim_world *world, uint32_t chain, uint32_t frame);
void check_at_chain(struct sim_world *world, uint32_t chain, const struct tri_frame *frame);
void check_from_chain(struct sim_world *world, uint32_t chain, uint32_t frame);
void check_at_coordinator(struct sim_world *world, uint32_t chain, const struct tri_frame *frame);
void check_to_client(struct sim_world *world, uint32_t client, uint32_t frame);
uint32_t check_targets_mask(const struct sim_world *world, const struct tri_text *chains,
                            uint32_t count);

/* ---- checker_restart.c ---- */
uint64_t check_stamp(const struct sim_world *world, uint64_t lsn);
/* A record that keeps of the message what stands in the account now. */
void check_keep_mark(struct sim_world *world, struct check_message *it, uint64_t stamp,
                     enum check_stage stage);
/* An outcome record: how it says that the message has ended. */
void check_outcome(struct sim_world *world, uint32_t index, const struct tri_effect *effect);
enum check_stage check_stage_now(const struct check_message *it);
/* What is pending and durable is kept. */
void check_keep(struct sim_world *world, uint64_t lsn);
/* A decision that this epoch has taken over is settled: not before its COMMIT was answered. */
void check_settled(struct sim_world *world, uint32_t index);
/* How late a timer may be. */
uint64_t check_lag_ns(const struct sim_world *world);
void check_crashed(struct sim_world *world, uint64_t cut_lsn);
void check_recovered(struct sim_world *world);
/* R06: whether an ended message must be remembered, must be forgotten, or neither. */
bool check_must_know(const struct sim_world *world, const struct check_message *it);
bool check_must_forget(const struct sim_world *world, const struct check_message *it);

/* ---- verdict.c ---- */
void check_calm(struct sim_world *world);
void check_end(struct sim_world *world);

#endif
