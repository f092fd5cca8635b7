/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tricast-sim: plays seeds and checks the protocol's promises in each.
 *
 *     tricast-sim --seed N [--trace]
 *     tricast-sim [--from N] [--seeds COUNT] [--coverage]
 *     tricast-sim --tap
 *
 * N is a number or a commit hash.  --tap is what the test suite runs: seeds
 * from the commit and a fixed range, one seed twice, and the list of what must
 * have occurred.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim.h"
#include "tests/tap.h"

#define BLOCK_SEEDS 500U

#if defined(__SANITIZE_ADDRESS__)
#define SLOWER 4U
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLOWER 4U
#endif
#endif
#ifndef SLOWER
#define SLOWER 1U
#endif

#define SUITE_COMMIT_SEEDS 20000U
#define SUITE_FIXED_SEEDS  4000U
#define DEEPER             10U

struct request {
    uint64_t from;
    uint64_t seeds;
    bool is_tracing;
    bool is_tap;
    bool shows_coverage;
};

/* Only the handler below reads it. */
static struct sim_world *aborting;

/* NOLINTBEGIN(bugprone-signal-handler, cert-sig30-c): assert() raises it in this thread, in code
 * that neither prints nor allocates. */
/* An assertion has failed: say where the history stood. */
static void on_abort(int number)
{
    (void)signal(number, SIG_DFL);
    if (aborting != NULL) {
        (void)printf("# seed %llu: an assertion failed\n", (unsigned long long)aborting->seed);
        sim_explain(aborting);
    }
    (void)raise(number);
}
/* NOLINTEND(bugprone-signal-handler, cert-sig30-c) */

/* A number, or a commit hash of which the first 16 digits count. */
static bool parse_seed(const char *text, uint64_t *seed)
{
    char first[17] = {0};
    bool is_hash = strlen(text) >= 20;
    char *end;

    memcpy(first, text, is_hash ? 16 : 0);
    *seed = strtoull(is_hash ? first : text, &end, is_hash ? 16 : 10);
    return text[0] >= '0' && *end == '\0';
}

static bool play(struct sim_world *world, struct sim_coverage *sum, uint64_t seed, bool is_tracing)
{
    bool is_kept = sim_run(world, seed, is_tracing);

    sim_coverage_add(sum, &world->coverage);
    return is_kept;
}

static bool suite_range(struct sim_world *world, struct sim_coverage *sum, uint64_t from,
                        uint64_t seeds)
{
    bool all_ok = true;

    for (uint64_t block = from; block - from < seeds; block += BLOCK_SEEDS) {
        bool is_kept = true;
        uint64_t seed = block;

        for (; is_kept && seed - block < BLOCK_SEEDS; seed++) {
            is_kept = play(world, sum, seed, false);
        }
        if (!tri_tap_ok(is_kept, "seeds %llu to %llu", (unsigned long long)block,
                        (unsigned long long)(block + BLOCK_SEEDS - 1))) {
            (void)printf("# ");
            sim_swarm_print(world);
            sim_explain(world);
            all_ok = false;
        }
    }
    return all_ok;
}

/* The same seed tells the same history. */
static void suite_twice(struct sim_world *world, uint64_t seed)
{
    uint64_t digest;
    uint64_t count;

    (void)sim_run(world, seed, false);
    digest = world->trace_digest;
    count = world->trace_count;
    (void)sim_run(world, seed + 1, false);
    (void)sim_run(world, seed, false);
    (void)tri_tap_ok(digest == world->trace_digest && count == world->trace_count,
                     "seed %llu tells the same %llu lines twice", (unsigned long long)seed,
                     (unsigned long long)count);
}

static int suite(struct sim_world *world, struct sim_coverage *sum)
{
    const char *commit = getenv("TRI_SEED");
    uint64_t times = getenv("TRI_DEEP") != NULL ? DEEPER : 1;
    uint64_t from_commit = SUITE_COMMIT_SEEDS * times / SLOWER;
    uint64_t fixed = SUITE_FIXED_SEEDS * times / SLOWER;
    uint64_t from = 0;
    uint64_t all;

    if (commit != NULL && !parse_seed(commit, &from)) {
        (void)fprintf(stderr, "tricast-sim: TRI_SEED: neither a number nor a commit hash\n");
        return 2;
    }
    from &= UINT64_MAX >> 8;
    all = from_commit + fixed;
    (void)suite_range(world, sum, from, from_commit);
    (void)suite_range(world, sum, 1, fixed);
    suite_twice(world, from);
    (void)tri_tap_ok(sim_coverage_is_enough(sum, all, stdout, "# "),
                     "everything that matters occurred in %llu seeds", (unsigned long long)all);
    sim_coverage_print(sum, stdout, "# ");
    return tri_tap_done();
}

static int range(struct sim_world *world, struct sim_coverage *sum, const struct request *request)
{
    for (uint64_t i = 0; i < request->seeds; i++) {
        if (!play(world, sum, request->from + i, request->is_tracing)) {
            if (!request->is_tracing) {
                sim_swarm_print(world);
            }
            sim_explain(world);
            return 1;
        }
    }
    (void)printf("%llu seeds from %llu: every promise held; digest of the last trace %016llx\n",
                 (unsigned long long)request->seeds, (unsigned long long)request->from,
                 (unsigned long long)world->trace_digest);
    if (request->shows_coverage) {
        sim_coverage_print(sum, stdout, "");
    }
    return 0;
}

static bool parse(int count, char **words, struct request *request)
{
    *request = (struct request){.from = 1, .seeds = 1};
    for (int i = 1; i < count; i++) {
        bool has_next = i + 1 < count;

        if (strcmp(words[i], "--trace") == 0) {
            request->is_tracing = true;
        } else if (strcmp(words[i], "--tap") == 0) {
            request->is_tap = true;
        } else if (strcmp(words[i], "--coverage") == 0) {
            request->shows_coverage = true;
        } else if (has_next &&
                   (strcmp(words[i], "--seed") == 0 || strcmp(words[i], "--from") == 0)) {
            if (!parse_seed(words[++i], &request->from)) {
                return false;
            }
        } else if (has_next && strcmp(words[i], "--seeds") == 0) {
            if (!parse_seed(words[++i], &request->seeds)) {
                return false;
            }
        } else {
            return false;
        }
    }
    return true;
}

int main(int count, char **words)
{
    struct sim_world *world = calloc(1, sizeof(*world));
    struct sim_coverage *sum = calloc(1, sizeof(*sum));
    struct request request;
    int code = 2;

    if (!parse(count, words, &request)) {
        (void)fprintf(stderr, "usage: tricast-sim --seed N [--trace] | [--from N] [--seeds COUNT] "
                              "[--coverage] | --tap\n");
    } else if (world == NULL || sum == NULL || !sim_open(world)) {
        (void)fprintf(stderr, "tricast-sim: out of memory\n");
    } else {
        aborting = world;
        (void)signal(SIGABRT, on_abort);
        code = request.is_tap ? suite(world, sum) : range(world, sum, &request);
        aborting = NULL;
        sim_close(world);
    }
    free(world);
    free(sum);
    return code;
}
