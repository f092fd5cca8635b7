/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of a coordinator: of an engine (tricast_engine.h), or of all shards of
 * a node together (tricast.h).
 */
#ifndef TRICAST_OPTIONS_H
#define TRICAST_OPTIONS_H

#include "tricast/message.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One chain of the deployment; its index in the options is its name below. */
struct tri_engine_chain {
    struct tri_text id; /* CAIP-2, unique */
};

/* One entry of the location map (A04): an asset id, or a prefix followed by '*'. */
struct tri_engine_location {
    struct tri_text pattern;
    const uint16_t *chains; /* indices, 1..64, ascending */
    uint32_t chain_count;
};

/* R03: one row per message type and subtype. */
struct tri_engine_policy {
    uint32_t retries_max;         /* 0..1000 */
    uint32_t backoff_initial_ms;  /* 1..backoff_max_ms */
    uint32_t backoff_max_ms;      /* <= 3 600 000 */
    uint32_t multiplier_permille; /* 1000..10000: growth of the backoff per retry */
    uint32_t jitter_permille;     /* 0..1000: the share of the backoff that varies by message */
    uint64_t lock_ttl_ms;         /* 0 = derived per message (L01); else fixed */
    uint64_t dedup_window_ms;     /* R06: >= the lock TTL of every admitted message of the type */
};

#define TRI_ENGINE_BODY_CLASSES 5U
/* Bytes of a body slot: the stored message, 16 bytes, and 48 per target. */
#define TRI_ENGINE_BODY_CLASS_BYTES   \
    {                                 \
        416, 1024, 4096, 16384, 86016 \
    }

struct tri_engine_options {
    uint32_t epoch;             /* P10: durable, raised at every start, >= 1 */
    uint32_t rounds_max;        /* open messages, 1..2^24 */
    uint32_t dedup_entries_max; /* open and remembered messages, rounds_max..2^26; one with more
                                 * than 16 targets counts twice */
    uint32_t body_counts[TRI_ENGINE_BODY_CLASSES]; /* slots per class; 0 = none of that size */
    uint32_t envelopes_max;   /* open and remembered envelopes (F07), 0..65536 */
    uint32_t envelopes_slack; /* more of them that a restart may find open: their records may come
                               * from several engines; with envelopes_max 0..65536 */
    uint32_t waiters_max;     /* clients beside the first, over all open messages, 1..2^26 */
    const struct tri_engine_chain *chains;       /* borrowed for the engine's life */
    uint32_t chain_count;                        /* 1..TRI_CHAINS_MAX */
    const struct tri_engine_location *locations; /* borrowed for the engine's life */
    uint32_t location_count;
    uint32_t map_version; /* H02 */
    struct tri_engine_policy policies[TRI_TYPE_COUNT][TRI_SUBTYPE_COUNT];
    uint32_t timeout_ms[TRI_PHASE_COUNT];     /* P08 defaults: 5000, 10000, 5000 */
    uint32_t timeout_ms_max[TRI_PHASE_COUNT]; /* H01: the most that a message may ask for */
    uint32_t rollback_window_ms;              /* A07: 60000 */
    uint32_t clock_allowance_ms;              /* R05, L04 */
    uint32_t chain_share_permille; /* R08: the most that messages waiting for one chain may hold of
                                    * any pool, 1..1000 */
    uint32_t submitters_max;       /* 0..4095 submitters are told apart */
    uint32_t submitter_share_permille; /* R08: the most that messages of one of them may hold of any
                                        * pool, open or remembered, 1..1000 if there are any */
};

#ifdef __cplusplus
}
#endif

#endif
