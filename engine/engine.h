/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the engine: what its files share.  The public face is tricast_engine.h.
 *
 *   engine.c   life cycle, the one entry, timers, the journal's events
 *   options.c  whether options can be used (L01, R06)
 *   admit.c    SUBMIT: duplicates, age, scope, capacity, the first frames
 *   answer.c   what chains say: phase answers, ABORT and ROLLBACK answers, questions
 *   verdict.c  tally -> event of the round table
 *   act.c      action of the round table -> effects
 *   resend.c   chains that come and go (P15)
 *   view.c     what effects and status show of a round
 *   envelope.c  several messages, one after the other (F07)
 *   force.c    a message that waits for the operator's verdict (F06)
 *   redeliver.c  a message behind its primary record, driven once more (F04)
 *   record.c   what a journal keeps of a message; restore.c takes it back, checkpoint.c repeats it
 */
#ifndef TRI_ENGINE_ENGINE_H
#define TRI_ENGINE_ENGINE_H

#include "engine/arena.h"
#include "engine/deadlines.h"
#include "engine/dedup.h"
#include "engine/envelope.h"
#include "engine/epoch.h"
#include "engine/location.h"
#include "engine/pool.h"
#include "engine/record.h"
#include "engine/round.h"
#include "engine/targets.h"
#include "tricast_engine.h"

/* A client that waits for a message beside the first one (R01). */
struct tri_waiter {
    uint64_t client;
    uint32_t next; /* or TRI_ROUND_NONE */
};

struct tri_chain {
    struct tri_text id;
    bool is_up;
    bool is_scanning;   /* the rounds behind `cursor` are still to be looked at */
    bool is_fresh_scan; /* frames sent before fresh_ns may be lost */
    uint32_t cursor;    /* pool index */
    uint64_t fresh_ns;
    uint64_t unsent_count; /* rounds whose frame waits for this chain */
    uint32_t
        waiting[TRI_ENGINE_BODY_CLASSES]; /* rounds that wait for its answer, by body class (R08) */
};

/* What the open messages and envelopes of one submitter hold (R08). */
struct tri_submitter {
    uint32_t open_count;
    uint32_t bodies[TRI_ENGINE_BODY_CLASSES];
    uint32_t envelope_bodies[TRI_ENGINE_BODY_CLASSES]; /* of its open envelopes (F07) */
};

/* What one transition may add: a record, two sends, a result or notice for every waiter. */
#define TRI_EFFECTS_PER_TRANSITION (3U + TRI_WAITERS_MAX)
static_assert(TRI_EFFECTS_MAX >= 2 * TRI_EFFECTS_PER_TRANSITION,
              "a TICK makes progress after one full transition");

/* A message on its way in: what it will be if it is admitted. */
struct tri_admission {
    struct tri_key key;
    const struct tri_hash *hash;
    const struct tri_message *message;
    uint64_t client;
    bool is_forced;               /* F06 */
    enum tri_atomicity atomicity; /* effective (A10) */
    enum tri_scope scope;         /* effective (A04) */
    uint16_t chains[TRI_TARGETS_MAX];
    uint32_t chain_count;
    uint64_t ttl_ms; /* of reservations (L01) */
    uint32_t timeout_ms[TRI_PHASE_COUNT];
};

/* A redelivery that runs.  It stands beside the dedup table, so that what is remembered of its
 * message stays as it is. */
struct tri_redelivery {
    struct tri_key key;
    uint32_t round; /* pool index */
};

struct tri_engine {
    struct tri_engine_options options; /* its chains and locations stay the caller's */
    struct tri_engine_counters counters;
    uint64_t now_ns;
    uint64_t wall_ms;
    uint64_t lsn;         /* of the last record */
    uint64_t durable_lsn; /* every record up to here is durable */
    struct tri_epoch epoch;
    uint64_t checkpoint_lsn;   /* where the running checkpoint began; 0 = none */
    uint32_t checkpoint_round; /* pool index, and place in the dedup table, to which it has come */
    uint32_t checkpoint_place;
    bool is_broken; /* D07 */
    bool is_draining;
    uint32_t held_count;  /* rounds that wait for the operator's verdict (F06) */
    uint32_t await_first; /* rounds that wait for a record, by LSN */
    uint32_t await_last;
    uint32_t scan_count;         /* chains that are scanning */
    uint64_t sweep_ns;           /* closed messages are not looked at again before */
    uint64_t swept_ns;           /* when they were last */
    struct tri_effects *effects; /* of the step that runs, else NULL */
    uint32_t spent_count;        /* bodies of closed rounds that effects of the last step show */
    uint32_t spent[TRI_EFFECTS_MAX];
    struct tri_pool *rounds_pool;
    struct tri_round *rounds;
    struct tri_round *found; /* by the last look-up, NULL = closed since: answers come in a row */
    struct tri_pool *waiters_pool;
    struct tri_waiter *waiters;
    struct tri_arena *bodies;
    struct tri_dedup *dedup;
    struct tri_deadlines *deadlines;
    struct tri_targets *target_sets;
    struct tri_location *locations;
    struct tri_chain *chains;
    uint16_t *chains_by_text;                          /* indices, sorted by id */
    struct tri_submitter *submitters;                  /* [0] is nobody */
    uint32_t *remembered;                              /* dedup entries by submitter */
    struct tri_target status_targets[TRI_TARGETS_MAX]; /* of the last status of a closed message */
    struct tri_envelopes envelopes;
    struct tri_record_parts replayed; /* the record that is being taken back */
    uint32_t redelivery_count;
    struct tri_redelivery redeliveries[TRI_REDELIVERIES_MAX];
};

/* engine.c */
struct tri_effect *tri_engine_effect(struct tri_engine *engine, enum tri_effect_type type,
                                     uint64_t after_lsn);
struct tri_round *tri_engine_round(struct tri_engine *engine, uint32_t index);
uint32_t tri_engine_round_index(const struct tri_engine *engine, const struct tri_round *round);
void tri_engine_await(struct tri_engine *engine, struct tri_round *round, uint64_t lsn);
/* tri_engine_take takes the slots of a new message whose body has been taken, and enters it under
 * `key`, which must not be known; NULL: a table is full, and the body has been given back.
 * tri_engine_untake takes it out of what is counted, before its slots are given back. */
struct tri_round *tri_engine_take(struct tri_engine *engine, struct tri_key key, uint32_t body,
                                  struct tri_dedup_hold hold);
void tri_engine_untake(struct tri_engine *engine, const struct tri_round *round);
/* tri_engine_apply feeds one event to the table and carries its action out. */
void tri_engine_apply(struct tri_engine *engine, struct tri_round *round,
                      enum tri_round_event event);
/* The open round of (key, id), or NULL; a redelivery is found by tri_redeliver_named(). */
struct tri_round *tri_engine_find(struct tri_engine *engine, struct tri_key key,
                                  struct tri_text id);
const struct tri_engine_policy *tri_engine_policy(const struct tri_engine *engine,
                                                  const struct tri_round *round);
/* Retries that the round may use: none for BEST_EFFORT (A01), nor for a redelivery (F04). */
uint32_t tri_engine_retries_max(const struct tri_engine *engine, const struct tri_round *round);
bool tri_engine_chain_find(const struct tri_engine *engine, struct tri_text id, uint16_t *chain);

/* admit.c */
enum tri_result tri_engine_submit(struct tri_engine *engine, const struct tri_event *event);
/* Whether a body of this class may be added to what a submitter holds (R08). */
bool tri_admit_has_own_share(const struct tri_engine *engine, uint32_t submitter,
                             uint32_t body_class);
void tri_admit_strategy(struct tri_admission *admission);
/* The lock's TTL and the timeouts, or why the configuration does not allow them (L01, H01). */
enum tri_error tri_admit_times(const struct tri_engine *engine, struct tri_admission *admission);
/* Whether a body of this class may be added to what waits for the targets (R08). */
bool tri_admit_has_share(const struct tri_engine *engine, const struct tri_admission *admission,
                         uint32_t body_class);
/* tri_admit_fill makes the round of a message whose slots have been taken: its first attempt. */
void tri_admit_fill(struct tri_engine *engine, struct tri_round *round,
                    const struct tri_admission *admission);

/* answer.c */
enum tri_result tri_engine_phase_ack(struct tri_engine *engine, const struct tri_event *event);
enum tri_result tri_engine_control_ack(struct tri_engine *engine, const struct tri_event *event);
enum tri_result tri_engine_ask(struct tri_engine *engine, const struct tri_event *event);

/* force.c */
enum tri_result tri_engine_verdict(struct tri_engine *engine, const struct tri_event *event);
/* The held message's TTL runs, or what is left of it (L07), and it waits for its targets (R08). */
void tri_force_hold(struct tri_engine *engine, struct tri_round *round);
/* How long the date of a forced message still lies ahead, the clocks allowed for.  What is
 * remembered of it counts from then: on the ordinary path it is new until its date and its TTL are
 * over (R05). */
uint64_t tri_force_ahead_ms(const struct tri_engine *engine, const struct tri_round *round);
void tri_force_begin(struct tri_engine *engine, struct tri_round *round); /* action BEGIN */

/* redeliver.c */
enum tri_result tri_engine_redeliver(struct tri_engine *engine, const struct tri_event *event);
/* The redelivery of `key`, or of (key, id), that runs, or NULL. */
struct tri_round *tri_redeliver_find(struct tri_engine *engine, struct tri_key key);
struct tri_round *tri_redeliver_named(struct tri_engine *engine, struct tri_key key,
                                      struct tri_text id);
/* tri_redeliver_end takes the redelivery `round` off the list; nothing else is left of it. */
void tri_redeliver_end(struct tri_engine *engine, const struct tri_round *round);
/* The actions FORWARD, FORWARD_DONE, FORWARD_FAILED. */
void tri_redeliver_forward(struct tri_engine *engine, struct tri_round *round);
void tri_redeliver_done(struct tri_engine *engine, struct tri_round *round);
void tri_redeliver_failed(struct tri_engine *engine, struct tri_round *round);

/* verdict.c: the event that ends the open phase, or the rollback, with what was answered. */
enum tri_round_event tri_verdict_prepare(struct tri_engine *engine, struct tri_round *round);
enum tri_round_event tri_verdict_commit(struct tri_engine *engine, struct tri_round *round);
enum tri_round_event tri_verdict_finalize(struct tri_engine *engine, struct tri_round *round);
enum tri_round_event tri_verdict_rollback(struct tri_engine *engine, struct tri_round *round);

/* act.c */
void tri_act(struct tri_engine *engine, struct tri_round *round, enum tri_round_action action);
/* tri_act_send sends the frames of `kind` to `targets`; those whose chain is down are marked unsent
 * if the state's own frames they are. */
void tri_act_send(struct tri_engine *engine, struct tri_round *round, enum tri_send kind,
                  uint64_t targets, uint64_t after_lsn);
/* tri_act_append appends a record of the round; returns its LSN. */
uint64_t tri_act_append(struct tri_engine *engine, struct tri_round *round, enum tri_record kind);
/* Tells everybody who waits for the round. */
void tri_act_notify(struct tri_engine *engine, struct tri_round *round, enum tri_notify kind,
                    uint64_t after_lsn);
void tri_act_timer(struct tri_engine *engine, struct tri_round *round, enum tri_round_timer kind,
                   uint64_t at_ns);
/* A new set of answers is expected from `targets`. */
void tri_act_open(struct tri_engine *engine, struct tri_round *round, uint64_t targets);
void tri_act_stray_abort(struct tri_engine *engine, const struct tri_event *event, uint16_t chain,
                         tri_attempt attempt);
void tri_act_start(struct tri_engine *engine, struct tri_round *round);
/* Who waits for the round's chains, for R08. */
void tri_act_wait_for(struct tri_engine *engine, struct tri_round *round, uint64_t targets);
void tri_act_close(struct tri_engine *engine, struct tri_round *round);
/* Until when the round is remembered if it closes now (R06). */
uint32_t tri_act_expires_s(const struct tri_engine *engine, const struct tri_round *round);
/* The frames of the state leave now, or its next attempt is waited for. */
void tri_act_arm(struct tri_engine *engine, struct tri_round *round);
void tri_act_arm_retry(struct tri_engine *engine, struct tri_round *round);
uint64_t tri_act_backoff_ns(const struct tri_engine *engine, const struct tri_round *round,
                            uint32_t retry);

/* resend.c */
enum tri_result tri_engine_chain_up(struct tri_engine *engine, uint16_t chain, bool is_fresh);
enum tri_result tri_engine_chain_down(struct tri_engine *engine, uint16_t chain);
void tri_engine_scan(struct tri_engine *engine);
void tri_resend_mark_unsent(struct tri_engine *engine, struct tri_round *round, uint64_t targets);
void tri_resend_clear_unsent(struct tri_engine *engine, struct tri_round *round, uint64_t targets);

/* view.c */
void tri_view_round(const struct tri_engine *engine, const struct tri_round *round,
                    struct tri_round_view *view);
/* Likewise for who asks: what a record on its way will say is not shown yet (D01). */
void tri_view_durable(const struct tri_engine *engine, const struct tri_round *round,
                      struct tri_round_view *view);
void tri_view_closed(struct tri_engine *engine, struct tri_key key,
                     const struct tri_dedup_entry *entry, struct tri_round_view *view,
                     bool *has_targets);
/* Which four things the masks of an entry tell apart: its kind is below. */
#define TRI_VIEW_KINDS 4U
/* Whether a summary has been packed by tri_view_store(). */
bool tri_view_summary_fits(uint8_t summary);
/* The terminal ackType of a closed message. */
enum tri_ack_type tri_view_result(const struct tri_dedup_entry *entry);
/* Whether the round has ended in a way that tri_view_store() can keep: any that the engine knows.
 */
bool tri_view_fits(const struct tri_round *round);
/* tri_view_pack makes of a round what its entry and its masks will be, and tri_view_store keeps
 * that, for tri_view_closed to show later. */
void tri_view_pack(const struct tri_round *round, struct tri_dedup_entry *entry, uint64_t masks[2]);
void tri_view_store(struct tri_engine *engine, const struct tri_round *round,
                    struct tri_dedup_entry *entry);

/* restore.c: takes a body, where need be by moving others to smaller slots. */
enum tri_result tri_restore_take_body(struct tri_engine *engine, uint32_t bytes, uint32_t *body);

/* checkpoint.c */
enum tri_result tri_engine_checkpoint(struct tri_engine *engine);

#endif
