/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it is worth that a chain opens a connection per shard.
 *
 * Two servers with two shards each take turns.  The chains of the first have one connection, so
 * half of all phase frames and their answers cross from one shard to the other in blocks of the
 * mesh; those of the second have two, and a round never leaves its core.
 *
 * Estimate per round: 9 frames out and 9 answers in, half of them cross: 9 x (copy of 200 bytes, a
 * share of a block, a look at a ring) is about 9 x 25 ns; against that stand twice as many sends
 * and receives for the chains, 5 us each, shared by hundreds of frames.
 *
 * Baseline: the chains with one connection, sample by sample.
 */
#include <stdio.h>

#include "bench/stage.h"

#define IN_FLIGHT 1024U
#define SIDES     2U

static int affinity_samples(struct stage stages[SIDES], const struct bench_run *run)
{
    static struct bench_series rates[SIDES];
    static struct bench_series cpus[SIDES];
    uint64_t duration_ns = run->is_smoke ? 50000000U : 1000000000U;

    for (uint32_t i = 0; i <= run->sample_count; i++) {
        for (uint32_t side = 0; side < SIDES; side++) {
            double cpu_us = stage_cpu_us(stages[side].server);
            int64_t ended = stage_run(&stages[side], IN_FLIGHT, duration_ns);

            if (ended <= 0) {
                (void)fprintf(stderr, "tricast-bench: no round was PROCESSED; others: %llu\n",
                              (unsigned long long)stages[side].others);
                return 1;
            }
            cpu_us = stage_cpu_us(stages[side].server) - cpu_us;
            if (i > 0) {
                bench_add(&rates[side], (double)ended * 1e9 / (double)duration_ns);
                bench_add(&cpus[side], cpu_us / (double)ended);
            }
        }
    }
    bench_note("GUARANTEED, 3 chains, 2 shards on 2 CPUs, journal none, %u in flight", IN_FLIGHT);
    bench_report("affinity.one", &rates[0], "rounds/s", BENCH_HIGHER, NULL, NULL);
    bench_report("affinity.one_per_shard", &rates[1], "rounds/s", BENCH_HIGHER, "one connection",
                 &rates[0]);
    bench_report("affinity.one_server_cpu", &cpus[0], "us/round", BENCH_LOWER, NULL, NULL);
    bench_report("affinity.one_per_shard_server_cpu", &cpus[1], "us/round", BENCH_LOWER,
                 "one connection", &cpus[0]);
    return stages[0].others + stages[1].others == 0 ? 0 : 1;
}

int bench_affinity(const struct bench_run *run)
{
    static struct stage stages[SIDES];
    struct stage_options options = stage_rounds(run);
    bool is_open = false;
    int result = 1;

    options.shards = 2;
    options.chain_connections = 1;
    bench_pin(1);
    is_open = stage_open(&stages[0], &options, run);
    options.chain_connections = 2;
    if (is_open && stage_open(&stages[1], &options, run)) {
        result = affinity_samples(stages, run);
    }
    stage_close(&stages[0]);
    stage_close(&stages[1]);
    return result;
}
