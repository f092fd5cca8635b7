/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults: how a chain is told to misbehave, for demonstrations and tests.
 *
 * A rule is text:
 *
 *     STEP:ACTION[:p=PROBABILITY][:count=N][:id=PREFIX]
 *
 *     STEP    PREPARE, COMMIT, FINALIZE, ABORT, ROLLBACK
 *     ACTION  refuse=CODE  the ledger refuses with that error (PREPARE, COMMIT, ROLLBACK); what is
 *                          refused is not done
 *             delay=MS     the ledger's verdict, or the answer, comes that much later
 *             hold=MS      the frame is taken in that much later
 *             drop         the frame is ignored as if it had never arrived
 *             duplicate    the frame is handled twice and so answered twice
 *             reorder      the frame is handled after the next one, or after 20 ms
 *             terminal     the answer is a terminal ackType (phases only)
 *             die          the process kills itself
 *
 * The first rule that matches a frame's step and id, is not used up and wins
 * its draw decides.  Draws come from the seed alone.
 *
 * Threads: one at a time.
 */
#ifndef TRI_IO_CHAIN_FAULTS_H
#define TRI_IO_CHAIN_FAULTS_H

#include "tricast/message.h"

enum tri_step {
    TRI_STEP_PREPARE = 0, /* 0..2 are the phases */
    TRI_STEP_COMMIT = 1,
    TRI_STEP_FINALIZE = 2,
    TRI_STEP_ABORT = 3, /* 3 and 4 are the controls */
    TRI_STEP_ROLLBACK = 4,
    TRI_STEP_COUNT = 5,
};

enum tri_fault {
    TRI_FAULT_NONE,
    TRI_FAULT_REFUSE,
    TRI_FAULT_DELAY,
    TRI_FAULT_HOLD,
    TRI_FAULT_DROP,
    TRI_FAULT_DUPLICATE,
    TRI_FAULT_REORDER,
    TRI_FAULT_TERMINAL,
    TRI_FAULT_DIE,
    TRI_FAULT_COUNT,
};

#define TRI_FAULT_RULES_MAX 32U
#define TRI_FAULT_MS_MAX    3600000U

struct tri_fault_rule {
    enum tri_step step;
    enum tri_fault fault;
    enum tri_error code; /* REFUSE */
    uint32_t ms;         /* DELAY, HOLD */
    double probability;  /* (0, 1] */
    uint64_t left;       /* UINT64_MAX = never used up */
    char prefix[TRI_ID_BYTES_MAX + 1U];
    uint32_t prefix_bytes;
};

/* Zeroed: no rules. */
struct tri_faults {
    uint64_t random; /* seed at first */
    uint32_t count;
    struct tri_fault_rule rules[TRI_FAULT_RULES_MAX];
};

/* tri_faults_add reads one rule.  Returns NULL, or a static sentence that says what is wrong. */
const char *tri_faults_add(struct tri_faults *faults, const char *text);

/* tri_faults_pick decides about one frame.  Returns the rule to follow, used once more by this
 * call, or NULL.  Borrowed until the next call. */
const struct tri_fault_rule *tri_faults_pick(struct tri_faults *faults, enum tri_step step,
                                             struct tri_text id);

#endif
