/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coverage: how often each thing that matters has occurred over all seeds.
 *
 * A run whose faults never bite proves nothing, so the list of what must have
 * occurred is part of the test.
 *
 * Threads: as the world that owns it.
 */
#ifndef TRI_TESTS_SIM_COVERAGE_H
#define TRI_TESTS_SIM_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SIM_COUNTED_ONLY UINT64_MAX /* nothing in the protocol makes it certain */

/* Name, the seeds after which it must have occurred, what it is. */
#define SIM_COVERAGE(X)                                                           \
    X(processed, 500, "PROCESSED")                                                \
    X(finalize_incomplete, 500, "PROCESSED with FINALIZE_INCOMPLETE")             \
    X(rejected, 500, "REJECTED after PREPARE")                                    \
    X(refused_commit, 500, "GUARANTEED: FAILED, every COMMIT refused")            \
    X(rolled_back, 500, "FAILED with ROLLED_BACK")                                \
    X(rollback_incomplete, 500, "FAILED with ROLLBACK_INCOMPLETE")                \
    X(reconciliation, 500, "FAILED with RECONCILIATION_REQUIRED")                 \
    X(retries_exceeded, 500, "FAILED with MAX_RETRIES_EXCEEDED")                  \
    X(none_applied, 500, "BEST_EFFORT: FAILED, nobody applied")                   \
    X(partly_applied, 500, "BEST_EFFORT: PROCESSED without all")                  \
    X(forced, 500, "CRITICAL forced ALL_OR_NOTHING")                              \
    X(redelivered, 500, "an attempt after the first")                             \
    X(redelivered_after_rollback, 1000, "an attempt after a rollback")            \
    X(redelivered_and_processed, 500, "PROCESSED in a later attempt")             \
    X(rolled_back_unknown, 500, "ROLLBACK to a chain that had not answered")      \
    X(rolled_back_frames, 500, "ROLLBACK frames")                                 \
    X(aborts, 500, "ABORT frames")                                                \
    X(stray_aborts, 500, "ABORT of an attempt that was not open")                 \
    X(finalize_again, 500, "FINALIZE sent again")                                 \
    X(rollback_again, 500, "ROLLBACK sent again")                                 \
    X(prepare_again, 500, "PREPARE sent again in its attempt")                    \
    X(commit_again, 500, "COMMIT sent again in its attempt")                      \
    X(tombstone_refusals, 500, "a phase refused by a tombstone")                  \
    X(already_applied, 500, "an answer marked ALREADY_APPLIED")                   \
    X(abort_met_applied, 500, "ABORT answered with ALREADY_APPLIED")              \
    X(unknown_commits, SIM_COUNTED_ONLY, "COMMIT answered with NO_RESERVATION")   \
    X(commit_expired, 500, "COMMIT refused because the reservation ran out")      \
    X(fenced_attempts, 500, "an attempt aborted by the fence of L04")             \
    X(fenced_rollbacks, 500, "ROLLBACK refused by the ledger")                    \
    X(asks, 500, "a question about a reservation")                                \
    X(busy_coordinator, 500, "SUBMIT refused with BUSY")                          \
    X(busy_participant, 500, "PREPARE or COMMIT refused with BUSY")               \
    X(conflicts, 500, "PREPARE refused because another message held the asset")   \
    X(duplicates, 500, "a duplicate submit attached or answered")                 \
    X(equivocations, 500, "the same id with other content refused")               \
    X(stale_submits, 500, "SUBMIT refused by age")                                \
    X(stale_prepares, 500, "PREPARE refused by expiry")                           \
    X(replays, 500, "the same answer given again")                                \
    X(expired, 500, "a reservation freed by its TTL")                             \
    X(forgotten, 500, "a message forgotten by a participant")                     \
    X(notices, 500, "finality notices")                                           \
    X(frames_lost, 500, "frames lost")                                            \
    X(frames_doubled, 500, "frames doubled")                                      \
    X(frames_late, 500, "frames much delayed")                                    \
    X(frames_held, 500, "frames held until their record was durable")             \
    X(links_cut, 500, "links cut")                                                \
    X(links_blocked, 500, "links blocked")                                        \
    X(chain_crashes, 500, "chains crashed")                                       \
    X(chain_lost_work, 500, "chains that lost work with their crash")             \
    X(coordinator_crashes, 500, "coordinators crashed")                           \
    X(crash_unaccepted, 500, "a crash forgot a message that was not accepted")    \
    X(crash_undecided, 500, "a crash in an undecided attempt")                    \
    X(crash_decided, 500, "a crash behind a decision")                            \
    X(crash_committed, 500, "a crash when all had applied, without a record")     \
    X(crash_rolling_back, 500, "a crash in a rollback")                           \
    X(crash_recorded, 500, "a crash behind a primary record")                     \
    X(crash_backing_off, 500, "a crash while the next attempt was waited for")    \
    X(crash_closing, 500, "a crash that lost an outcome record")                  \
    X(crash_untold, 500, "a crash between an outcome record and its result")      \
    X(crash_closed, 500, "a crash that lost the end behind a primary record")     \
    X(crash_broken, 500, "a restart behind a failed journal")                     \
    X(crashes_in_recovery, 500, "a recovery that crashed")                        \
    X(crashes_after_recovery, 500, "a crash soon after a recovery")               \
    X(recovered, 500, "open messages taken over by a restart")                    \
    X(recovered_from_checkpoint, 500, "restarts that need a checkpoint")          \
    X(checkpoints, 500, "checkpoints")                                            \
    X(records_lost, 500, "records lost by crashes")                               \
    X(records_dropped, 500, "records dropped behind checkpoints")                 \
    X(records_skipped, 500, "records skipped by a replay")                        \
    X(resumed_commits, 500, "COMMIT sent again by a restart")                     \
    X(resumed_rollbacks, 500, "ROLLBACK sent again by a restart")                 \
    X(resumed_finalizes, 500, "FINALIZE sent again by a restart")                 \
    X(resumed_attempts, 500, "an attempt that replaces one a restart ended")      \
    X(results_again, 500, "a result of an earlier start given to a duplicate")    \
    X(results_forgotten, 500, "a result forgotten in time")                       \
    X(journal_failures, 500, "journals failed")                                   \
    X(wall_jumps, 500, "wall clocks moved")                                       \
    X(slow_verdicts, 500, "verdicts that took their time")                        \
    X(held, 500, "a forced message accepted and held")                            \
    X(held_passed, 500, "a forced message that passed its check")                 \
    X(held_failed, 500, "a forced message that failed its check")                 \
    X(held_expired, 500, "a forced message that expired")                         \
    X(crash_held, 500, "a crash while a message was held")                        \
    X(forward_frames, 500, "frames of a redelivery behind a primary record")      \
    X(forward_applied_before, 500, "an ALREADY_APPLIED in such a redelivery")     \
    X(forwarded, 500, "such a redelivery that every chain answered OK")           \
    X(forwards_failed, 500, "such a redelivery that some chain did not")          \
    X(forwards_refused, SIM_COUNTED_ONLY, "such a redelivery that found no room") \
    X(epochs_shared, 50, "a primary record that joined an open epoch")            \
    X(primaries_replayed, 50, "a primary record that came back whole")

struct sim_coverage {
#define SIM_COVERAGE_FIELD(name, seeds, help) uint64_t name;
    SIM_COVERAGE(SIM_COVERAGE_FIELD)
#undef SIM_COVERAGE_FIELD
    uint64_t moves[32][32]; /* round states, from and to */
};

/* Adds one run's numbers to the sum. */
void sim_coverage_add(struct sim_coverage *sum, const struct sim_coverage *run);

/* Prints every number as a line that starts with `prefix`. */
void sim_coverage_print(const struct sim_coverage *sum, FILE *to, const char *prefix);

/* Whether everything that `seeds` runs must have met has occurred; prints what has not. */
bool sim_coverage_is_enough(const struct sim_coverage *sum, uint64_t seeds, FILE *to,
                            const char *prefix);

#endif
