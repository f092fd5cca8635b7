/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a power cut at any moment loses no record that was called durable, gives
 * none back that was never appended, none twice, none out of order, and none from
 * behind the end that an earlier recovery has found.
 * proves: D01 D03 D06 D07
 *
 * Method: the log, the scan and the manifest on a disk that tears (disk.h).  Two
 * lives follow each other, each with blocks in flight, segments that are switched,
 * dropped and used again, checkpoints, old sets that are retired, and an end in
 * order.  The power goes at every single boundary of the first life, in every
 * way; each torn disk is recovered and lives on, and there the power goes again at
 * every boundary.  Nothing is sampled but the ways in which sectors are lost.
 *
 * A disk that lies (writes that end and are not there) must be caught, or the
 * checks check nothing.
 */
#undef NDEBUG
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tap.h"
#include "tests/tear/life.h"

#define FIRST_TURNS  20U
#define SECOND_TURNS 7U

/* The places where work is done, made once. */
struct theatre {
    struct disk first;
    struct disk cut; /* of the first life, as its power went */
    struct disk second;
    struct disk cut_again;
};

struct run {
    struct theatre *theatre;
    struct life_coverage coverage;
    uint64_t seed;       /* of what arrives of a write: the lives are the same in every run */
    uint64_t boundaries; /* of the first life */
    uint64_t second_boundaries;
    uint64_t violations;
    bool is_shallow; /* no second life */
    enum disk_tear tear;
    char trouble[512];
};

static void run_note(struct run *run, const struct life *life, const char *which)
{
    if (run->violations++ == 0) {
        (void)snprintf(run->trouble, sizeof(run->trouble),
                       "seed %llu, boundary %llu, tear %d; %s boundary %llu: %s",
                       (unsigned long long)run->seed, (unsigned long long)run->boundaries,
                       (int)run->tear, which, (unsigned long long)run->second_boundaries,
                       life->trouble);
    }
}

/* The power goes in the second life. */
static void cut_again(struct life *life)
{
    struct run *run = life->context;
    struct theatre *theatre = run->theatre;

    run->second_boundaries++;
    for (enum disk_tear tear = 0; tear < DISK_TEAR_COUNT; tear++) {
        struct history history = *life->history;
        struct sim_random random = {run->seed ^ run->second_boundaries ^ tear};
        struct life after = {
            .disk = &theatre->cut_again, .history = &history, .coverage = &run->coverage};

        disk_copy(&theatre->cut_again, &theatre->second);
        disk_tear(&theatre->cut_again, tear, &random);
        if (!life_recover(&after)) {
            run_note(run, &after, "second");
        }
    }
}

/* The power goes in the first life: every torn disk lives on. */
static void cut_first(struct life *life)
{
    struct run *run = life->context;
    struct theatre *theatre = run->theatre;

    run->boundaries++;
    for (enum disk_tear tear = 0; tear < DISK_TEAR_COUNT; tear++) {
        struct history history = *life->history;
        struct sim_random random = {run->seed ^ run->boundaries ^ tear};
        struct life after = {
            .disk = &theatre->second,
            .history = &history,
            .coverage = &run->coverage,
            .random = {run->boundaries * DISK_TEAR_COUNT + tear},
            .epoch = 2,
            .turns = SECOND_TURNS,
            .boundary = cut_again,
            .context = run,
        };

        run->tear = tear;
        disk_copy(&theatre->second, &theatre->first);
        disk_tear(&theatre->second, tear, &random);
        run->second_boundaries = 0;
        if (run->is_shallow ? !life_recover(&after) : !life_run(&after)) {
            run_note(run, &after, "at its recovery, second");
        }
    }
}

static void play(struct run *run, bool is_liar)
{
    struct history history = {0};
    struct life life = {
        .disk = &run->theatre->first,
        .history = &history,
        .coverage = &run->coverage,
        .random = {1},
        .epoch = 1,
        .turns = FIRST_TURNS,
        .is_liar = is_liar,
        .boundary = cut_first,
        .context = run,
    };

    memset(run->theatre, 0, sizeof(*run->theatre));
    if (!life_run(&life)) {
        run_note(run, &life, "an empty disk,");
    }
}

static void report(struct run *run)
{
    const struct life_coverage *seen = &run->coverage;

    if (!tri_tap_ok(run->violations == 0 && seen->recoveries > 10000,
                    "D01 D03 power cuts at %llu boundaries, and at every one of the lives after "
                    "them: %llu recoveries keep every promise",
                    (unsigned long long)run->boundaries, (unsigned long long)seen->recoveries)) {
        (void)printf("# %llu broken, the first: %s\n", (unsigned long long)run->violations,
                     run->trouble);
    }
    (void)tri_tap_ok(seen->torn > 0, "D03 torn tails were cut: %llu",
                     (unsigned long long)seen->torn);
    (void)tri_tap_ok(seen->unannounced > 0, "records that nobody was told of came back: %llu",
                     (unsigned long long)seen->unannounced);
    (void)tri_tap_ok(seen->flight_max == TRI_LOG_FLIGHT_MAX && seen->out_of_order > 0,
                     "four writes were under way and ended in any order: %llu",
                     (unsigned long long)seen->out_of_order);
    (void)tri_tap_ok(seen->dropped > 0 && seen->recycled > 0,
                     "segments were dropped and used again: %llu",
                     (unsigned long long)seen->recycled);
    (void)tri_tap_ok(seen->two_sets > 0 && seen->retired > 0,
                     "D06 sets were recovered together and retired: %llu and %llu",
                     (unsigned long long)seen->two_sets, (unsigned long long)seen->retired);
    (void)tri_tap_ok(seen->ended > 0, "streams ended in order: %llu",
                     (unsigned long long)seen->ended);
    (void)tri_tap_ok(seen->refused > 0, "R08 there was no room at times: %llu",
                     (unsigned long long)seen->refused);
}

int main(void)
{
    struct run run = {.seed = 1};
    struct run lies = {.seed = 2, .is_shallow = true};
    const char *seed = getenv("TRI_SEED");

    run.theatre = calloc(1, sizeof(*run.theatre));
    lies.theatre = run.theatre;
    assert(run.theatre != NULL);
    for (; seed != NULL && *seed != '\0'; seed++) {
        run.seed = sim_mix(run.seed ^ (uint8_t)*seed);
    }
    (void)printf("# seed %llu\n", (unsigned long long)run.seed);
    play(&run, false);
    report(&run);
    play(&lies, true);
    (void)tri_tap_ok(lies.violations > 0, "a disk that lies is caught: %llu times",
                     (unsigned long long)lies.violations);
    free(run.theatre);
    return tri_tap_done();
}
