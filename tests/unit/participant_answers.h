/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stand, one message, and what was answered as text, so that a test reads
 * like the story it tells.
 */
#ifndef TESTS_UNIT_PARTICIPANT_ANSWERS_H
#define TESTS_UNIT_PARTICIPANT_ANSWERS_H

#include "tests/unit/participant_stand.h"

static struct stand stand;

/* ---- what was answered, as text ---- */

static inline const char *ack_text(enum tri_ack_type ack)
{
    static const char *const names[TRI_ACK_COUNT] = {"RECEIVED",    "PROCESSED",  "FAILED",
                                                     "REJECTED",    "PREPARE_OK", "COMMIT_OK",
                                                     "FINALIZE_OK", "REJECT"};

    return names[ack];
}

/* The answers since the last call, "" for none: "COMMIT_OK 2 already" "REJECT 1 code 53". */
static inline const char *answers(void)
{
    static char line[512];
    size_t at = 0;

    line[0] = '\0';
    for (uint32_t i = 0; i < stand.answer_count; i++) {
        const struct stand_answer *answer = &stand.answers[i];

        if (answer->type == TRI_PARTICIPANT_EFFECT_ASK) {
            at += (size_t)snprintf(line + at, sizeof(line) - at, "%sASK %s", at == 0 ? "" : "; ",
                                   answer->id);
            continue;
        }
        at += (size_t)snprintf(line + at, sizeof(line) - at, "%s%s %u", at == 0 ? "" : "; ",
                               ack_text(answer->ack), (unsigned)answer->attempt);
        if (answer->code != TRI_ERROR_NONE) {
            at += (size_t)snprintf(line + at, sizeof(line) - at, " code %u", answer->code);
        }
        if (answer->already_applied) {
            at += (size_t)snprintf(line + at, sizeof(line) - at, " already");
        }
        if (answer->retry_after_ms != 0) {
            at +=
                (size_t)snprintf(line + at, sizeof(line) - at, " retry %u", answer->retry_after_ms);
        }
    }
    stand.answer_count = 0;
    return line;
}

static inline const char *prepare(tri_attempt attempt)
{
    (void)stand_phase(&stand, 1, TRI_PHASE_PREPARE, attempt);
    return answers();
}

static inline const char *commit(tri_attempt attempt)
{
    (void)stand_phase(&stand, 1, TRI_PHASE_COMMIT, attempt);
    return answers();
}

static inline const char *finalize(tri_attempt attempt)
{
    (void)stand_phase(&stand, 1, TRI_PHASE_FINALIZE, attempt);
    return answers();
}

static inline const char *abort_(tri_attempt attempt)
{
    (void)stand_control(&stand, 1, TRI_CONTROL_ABORT, attempt);
    return answers();
}

static inline const char *rollback(tri_attempt attempt)
{
    (void)stand_control(&stand, 1, TRI_CONTROL_ROLLBACK, attempt);
    return answers();
}

static inline const char *verdict(enum tri_error code)
{
    stand_verdict(&stand, code);
    return answers();
}

static inline const struct tri_participant_counters *counters(void)
{
    return tri_participant_counters(stand.participant);
}

#endif
