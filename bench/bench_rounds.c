/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rounds over TCP as they are deployed (bench/stage.h); GUARANTEED, three phases, 1,024 in flight,
 * no journal.
 *
 * Estimate per round for the server: 1 SUBMIT and 9 PHASE_ACK in (800 bytes), 9 PHASE and 3 client
 * frames out (1,900 bytes): 0.7 us for bytes, 10 x 40 ns to decode and route, 0.5 us of engine, 9 x
 * 20 ns to encode, system calls shared by hundreds of frames: 1.8 us.  CPU 1 does nine participant
 * steps with decode, ledger and encode, about 120 ns each and 0.7 us for bytes: 1.9 us and the
 * client.
 *
 * Baseline: bench/bare.h in the same run, sample by sample.
 */
#include <stdio.h>

#include "bench/bare.h"
#include "bench/bench.h"
#include "bench/stage.h"

#define IN_FLIGHT 1024U

static int run_samples(struct stage *stage, struct bare *bare, const struct bench_run *run)
{
    static struct bench_series rounds;
    static struct bench_series limit;
    static struct bench_series cpu;
    static struct bench_series alone;
    static struct bench_series bare_alone;
    uint64_t duration_ns = run->is_smoke ? 50000000U : 1000000000U;
    uint32_t alone_rounds = run->is_smoke ? 20 : 1000;

    for (uint32_t i = 0; i <= run->sample_count; i++) {
        double cpu_us = stage_cpu_us(stage->server);
        int64_t ended = stage_run(stage, IN_FLIGHT, duration_ns);
        double lone_us = 0;

        cpu_us = stage_cpu_us(stage->server) - cpu_us;
        lone_us = ended > 0 ? stage_alone_us(stage, alone_rounds) : -1;
        if (lone_us <= 0) {
            (void)fprintf(stderr, "tricast-bench: no round was PROCESSED; others: %llu, last %s\n",
                          (unsigned long long)stage->others, tri_error_name(stage->other_code));
            return 1;
        }
        if (i == 0) {
            continue;
        }
        bench_add(&rounds, (double)ended * 1e9 / (double)duration_ns);
        bench_add(&cpu, cpu_us / (double)ended);
        bench_add(&alone, lone_us);
        bench_add(&limit,
                  (double)bare_run(bare, IN_FLIGHT, duration_ns) * 1e9 / (double)duration_ns);
        bench_add(&bare_alone, bare_alone_us(bare, alone_rounds));
    }
    bench_note("GUARANTEED, 3 chains, journal none, ttlSeconds 1, retries 0, dedup window 3.5 s, "
               "table 4194304");
    bench_note("work: %llu PROCESSED, %llu others (%s)", (unsigned long long)stage->processed,
               (unsigned long long)stage->others, tri_error_name(stage->other_code));
    bench_report("rounds.tcp", &rounds, "rounds/s", BENCH_HIGHER, "bare limit", &limit);
    bench_report("rounds.tcp_server_cpu", &cpu, "us/round", BENCH_LOWER, NULL, NULL);
    bench_report("rounds.tcp_alone", &alone, "us p50", BENCH_LOWER, "bare limit", &bare_alone);
    return stage->others == 0 ? 0 : 1;
}

int bench_rounds(const struct bench_run *run)
{
    static struct stage stage;
    struct stage_options options = stage_rounds(run);
    struct bare bare = {0};
    int result = 1;

    bench_pin(1);
    if (bare_start(&bare) && stage_open(&stage, &options, run)) {
        result = run_samples(&stage, &bare, run);
    }
    stage_close(&stage);
    bare_stop(&bare);
    return result;
}
