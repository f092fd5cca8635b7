/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Participant, inside: what is remembered of a message, where it is kept, and
 * the guards that turn a frame into an event of participant_table.def.
 *
 * The public face is tricast_participant.h.  Five files share this header:
 * participant.c leads an event through the table, participant_events.c holds
 * the guards, participant_acts.c what the cells do, participant_store.c owns
 * the memory, participant_record.c is the way into a journal and back.
 *
 * Most answers are not stored but follow from an entry's state, which never
 * lets two of them differ: a repeated PREPARE of the entry's attempt gets its
 * token, a phase at or below the tombstone is refused.  What would not follow
 * is kept: the codes of a refused PREPARE and COMMIT, the last ROLLBACK that
 * did not succeed and the last ABORT that met an applied message.
 *
 * Threads: as the participant, one at a time.
 */
#ifndef TRI_ENGINE_PARTICIPANT_H
#define TRI_ENGINE_PARTICIPANT_H

#include "engine/deadlines.h"
#include "engine/limits.h"
#include "tricast_participant.h"

#define TRI_PARTICIPANT_NOBODY UINT32_MAX /* no entry */

/*
 * The acts of the table: name, function tri_participant_act_*, and whether it
 * leaves something behind, so that a message not known before gets an entry.
 */
#define TRI_PARTICIPANT_ACTS(X)                  \
    X(NEVER, never, 0)                           \
    X(REFUSE_MISMATCH, refuse_mismatch, 0)       \
    X(RESERVE, reserve, 1)                       \
    X(KEEP, keep, 0)                             \
    X(TAKE_OVER, take_over, 0)                   \
    X(REFUSE_STALE, refuse_stale, 0)             \
    X(REPLAY, replay, 0)                         \
    X(IGNORE, ignore, 0)                         \
    X(APPLY, apply, 0)                           \
    X(REFUSE_EXPIRED, refuse_expired, 0)         \
    X(REFUSE_UNKNOWN, refuse_unknown, 0)         \
    X(APPLY_ALONE, apply_alone, 1)               \
    X(REFUSE_ALONE_STALE, refuse_alone_stale, 1) \
    X(CLOSE, close, 0)                           \
    X(REFUSE_ENDED, refuse_ended, 0)             \
    X(END, end, 1)                               \
    X(CONFIRM, confirm, 0)                       \
    X(REFUSE_APPLIED, refuse_applied, 0)         \
    X(UNDO, undo, 0)                             \
    X(REFUSE_LOWER, refuse_lower, 0)             \
    X(REFUSE_FINAL, refuse_final, 0)             \
    X(TELL_PREPARED, tell_prepared, 0)           \
    X(TELL_NOT_PREPARED, tell_not_prepared, 0)   \
    X(TELL_APPLIED, tell_applied, 0)             \
    X(TELL_NOT_APPLIED, tell_not_applied, 0)     \
    X(TELL_UNDONE, tell_undone, 0)               \
    X(TELL_NOT_UNDONE, tell_not_undone, 0)       \
    X(WAIT, wait, 0)                             \
    X(EXPIRE, expire, 0)                         \
    X(DROP, drop, 0)                             \
    X(ASK_AGAIN, ask_again, 0)                   \
    X(LET_GO, let_go, 0)

enum tri_participant_flag {
    TRI_PARTICIPANT_HELD = 1,        /* the ledger holds a reservation for the message */
    TRI_PARTICIPANT_ALONE = 2,       /* COMMIT without PREPARE (A01) */
    TRI_PARTICIPANT_CLOSED = 4,      /* applied for good: FINALIZE answered, or ALONE (P13) */
    TRI_PARTICIPANT_RARE = 8,        /* the entry's struct tri_participant_rare is in use */
    TRI_PARTICIPANT_INTENT = 16,     /* a frame waits there for the ledger's verdict */
    TRI_PARTICIPANT_UNRECORDED = 32, /* changed since its last record: no answer before the next */
    TRI_PARTICIPANT_USED = 64,       /* the place holds a message */
};
/* What a record keeps of them. */
#define TRI_PARTICIPANT_FLAGS_KEPT                                                     \
    ((uint32_t)TRI_PARTICIPANT_HELD | TRI_PARTICIPANT_ALONE | TRI_PARTICIPANT_CLOSED | \
     TRI_PARTICIPANT_RARE)

/*
 * One message.  Invariants:
 *   not APPLIED, UNDOING    tombstone + 1 >= attempt: a PREPARE ends what was before it (P14)
 *   APPLIED, UNDOING        tombstone + 1 == the attempt that applied; attempt = the last one that
 *                           took its number over (P10)
 */
struct tri_participant_entry {
    struct tri_key key;
    struct tri_hash hash;
    tri_attempt attempt;   /* the last one taken up; 0 = none */
    tri_attempt tombstone; /* this one and all before it have ended */
    uint64_t token;        /* of `attempt`, or of the one that applied; 0 = none */
    uint32_t generation;   /* counts the messages that lived in this place */
    uint8_t state;         /* enum tri_participant_state */
    uint8_t flags;
    uint8_t prepare_code; /* enum tri_error: PREPARE(attempt) was refused with it */
    uint8_t commit_code;  /* COMMIT(attempt) was refused with it */

    uint64_t lsn;       /* of the last record */
    uint64_t ttl_ns;    /* end of the reservation, monotonic */
    uint64_t forget_ns; /* not forgotten before, monotonic (P13) */
    struct tri_deadline timer;
    uint32_t id_bytes;
    uint32_t token_instance; /* that gave the token (P05) */
    uint32_t next_free;      /* of a place given back: the one before it */
    uint32_t unused;

    char id[TRI_ID_BYTES_MAX];
};
static_assert(TRI_ERROR_VALUE_MAX <= UINT8_MAX, "an entry keeps a code in one byte");
static_assert(sizeof(struct tri_participant_entry) == (size_t)3 * TRI_CACHE_LINE,
              "three lines an entry");
static_assert(offsetof(struct tri_participant_entry, lsn) == TRI_CACHE_LINE,
              "what every step reads lies in the first line");

/* A frame, reduced to what the protocol depends on. */
enum tri_participant_kind {
    TRI_PARTICIPANT_PREPARE, /* in this order a later one wins over an earlier one (KEEP) */
    TRI_PARTICIPANT_ABORT,
    TRI_PARTICIPANT_ROLLBACK,
    TRI_PARTICIPANT_COMMIT,
    TRI_PARTICIPANT_FINALIZE,
};

struct tri_participant_frame {
    enum tri_participant_kind kind;
    tri_attempt attempt;
    uint64_t ttl_ns;         /* PREPARE: the end of the reservation asked for, monotonic */
    uint64_t forget_ns;      /* the message's expiry and one window, monotonic (P13) */
    struct tri_bytes tokens; /* COMMIT */
    bool is_alone;           /* BEST_EFFORT */
    bool is_stale;           /* arrived after the message's expiry */
};

/* What few messages need; a parallel array whose pages stay untouched else. */
struct tri_participant_rare {
    struct tri_participant_frame intent;
    tri_attempt abort_refused;    /* the last ABORT answered with ALREADY_APPLIED; 0 = none */
    tri_attempt rollback_attempt; /* the last ROLLBACK taken up; 0 = none */
    tri_attempt rollback_low;     /* from here to rollback_attempt all have failed; 0 = none has */
    enum tri_error rollback_code; /* why it failed; NONE while it is at the ledger, or done */
};

/* Events of the table; each is a row. */
enum tri_participant_row {
#define ROW(event, none, reserving, reserved, applying, applied, undoing, undone) \
    TRI_PARTICIPANT_ROW_##event,
#include "engine/participant_table.def"
    TRI_PARTICIPANT_ROW_COUNT
};

/* An encoded reservedResources array of one token: "iiiiiiii-ssssssssssssssss" in lower-case hex,
 * the instance and a serial number, never 0. */
#define TRI_PARTICIPANT_TOKEN_BYTES 27U
static_assert(TRI_PARTICIPANT_TOKEN_BYTES <= TRI_TOKENS_BYTES_MAX, "the wire has room for a token");

struct tri_participant {
    struct tri_participant_options options;
    uint64_t dedup_window_ns;
    uint64_t lsn;
    uint64_t lsn_durable;
    uint64_t token;  /* last serial given */
    uint64_t now_ns; /* of the last step: what its records say about time */
    uint64_t wall_ms;
    uint64_t checkpoint_lsn; /* where the running checkpoint began, 0 = none runs */

    uint64_t *slots; /* key -> entry */
    struct tri_participant_entry *entries;
    struct tri_participant_rare *rares;
    uint64_t *reserved; /* one bit per entry in RESERVED (P14) */
    struct tri_deadlines *deadlines;
    uint32_t slot_mask;
    uint32_t used;       /* entries that were ever used */
    uint32_t count;      /* entries in use */
    uint32_t free;       /* first entry given back, or NOBODY */
    uint32_t ask;        /* next entry to ask about; NOBODY = asked about all */
    uint32_t resume;     /* next entry to take up after a replay; NOBODY = all are */
    uint32_t checkpoint; /* next entry of the running checkpoint */

    struct tri_participant_counters counters;
    struct tri_participant_entry nobody; /* stands for a message that is not known */
    uint8_t tokens[TRI_PARTICIPANT_EFFECTS_MAX][TRI_PARTICIPANT_TOKEN_BYTES];
};

/* What one event is about, from the guards to the last effect. */
struct tri_participant_turn {
    struct tri_participant *participant;
    struct tri_participant_effects *effects;
    struct tri_participant_entry *entry;
    const struct tri_participant_frame *frame; /* NULL for a verdict or a timer */
    uint64_t now_ns;
    uint32_t index;         /* of the entry; NOBODY if the message is not known */
    enum tri_error verdict; /* of the ledger */
    bool changed;           /* out: the entry is not what it was */
};

#define TRI_PARTICIPANT_ACT_DECLARE(name, function, leaves) \
    void tri_participant_act_##function(struct tri_participant_turn *turn);
TRI_PARTICIPANT_ACTS(TRI_PARTICIPANT_ACT_DECLARE)
#undef TRI_PARTICIPANT_ACT_DECLARE

/* Refuses turn->frame, whatever it is, with `code`, and counts it. */
void tri_participant_refuse(struct tri_participant_turn *turn, enum tri_error code);

/* Refuses turn->frame of a message for which there is no place, names the window, counts it (P13).
 */
void tri_participant_refuse_full(struct tri_participant_turn *turn);

/* Asks what became of the entry's reservation (P14). */
void tri_participant_ask(struct tri_participant_turn *turn);

/* Emits a record with the next LSN. */
struct tri_participant_effect *tri_participant_append(struct tri_participant_turn *turn,
                                                      enum tri_participant_record kind);

/* The operation that an entry waits for; RELEASE, which nobody waits for, if it waits for none. */
enum tri_ledger_op tri_participant_waits_for(const struct tri_participant_entry *entry);

/* tri_participant_classify is the guards: the row of *frame for *entry.  `rare` is NULL unless the
 * entry has one.  Reads only; the content hash has been compared by the caller. */
enum tri_participant_row tri_participant_classify(const struct tri_participant_entry *entry,
                                                  const struct tri_participant_rare *rare,
                                                  const struct tri_participant_frame *frame,
                                                  uint64_t now_ns);

/* tri_participant_token_put writes the encoded array of the one token `serial` of `instance`. */
void tri_participant_token_put(uint8_t to[TRI_PARTICIPANT_TOKEN_BYTES], uint32_t instance,
                               uint64_t serial);

/* The entry of `key`, or NOBODY. */
uint32_t tri_participant_find(const struct tri_participant *participant, struct tri_key key);

/* A new entry in NONE for `key`, which must be unknown; NOBODY if the table is full. */
uint32_t tri_participant_take(struct tri_participant *participant, struct tri_key key);

/* Forgets entry `index`; its timer must be disarmed. */
void tri_participant_drop(struct tri_participant *participant, uint32_t index);

/* The rare part of entry `index`, zeroed when first asked for. */
struct tri_participant_rare *tri_participant_rare(struct tri_participant *participant,
                                                  uint32_t index);

/* The first entry >= `from` in RESERVED, searching a bounded stretch.  False: none in the stretch.
 * *next is where to search on, NOBODY at the end. */
bool tri_participant_next_reserved(const struct tri_participant *participant, uint32_t from,
                                   uint32_t *found, uint32_t *next);

#endif
