/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The harness of the benchmarks: samples, baselines, output.
 *
 * A benchmark is a function of one name (bench.c lists them).  Every figure stands beside a
 * baseline that was measured in the same run, interleaved with it sample by sample, because the
 * machine is shared and noisy: the ratio is the result, the absolute number only says where it was
 * taken.  A ratio above 1 means better than the baseline, whichever direction is better.
 *
 * A figure is the third fastest of its samples; the first sample warms up and is thrown away. Every
 * parameter has a smoke value, for the tests, and a full one.
 *
 * Non-goals: absolute promises, automatic regression gates.
 */
#ifndef TRI_BENCH_BENCH_H
#define TRI_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_SAMPLES_MAX 64U

enum bench_better {
    BENCH_HIGHER, /* rates */
    BENCH_LOWER,  /* times, bytes */
};

/* What a benchmark is called with. */
struct bench_run {
    bool is_smoke;         /* small parameters: only that it runs */
    uint32_t sample_count; /* without the warm-up; >= 8 unless it is a smoke run */
    const char *build_dir; /* where the programs stand */
};

struct bench_series {
    uint32_t count;
    double at[BENCH_SAMPLES_MAX];
};

/* bench_add appends one sample. */
void bench_add(struct bench_series *series, double value);

/* bench_report prints one figure and keeps it for --json.  All texts are static.
 *
 * baseline  the series measured beside it, or NULL with baseline_name NULL: the figure is itself a
 *           baseline. */
void bench_report(const char *name, const struct bench_series *series, const char *unit,
                  enum bench_better better, const char *baseline_name,
                  const struct bench_series *baseline);

/* bench_report_median is the same for what may lie on either side of its baseline: the median of
 * the samples. */
void bench_report_median(const char *name, const struct bench_series *series, const char *unit,
                         enum bench_better better, const char *baseline_name,
                         const struct bench_series *baseline);
double bench_median(const struct bench_series *series);

/* bench_middle sorts values and returns the one in the middle. */
double bench_middle(double *values, uint32_t count);

/* bench_note prints a line that belongs to the figures: an estimate, a hash of the work done. */
void bench_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Monotonic nanoseconds, and CPU nanoseconds of this process. */
uint64_t bench_now_ns(void);
uint64_t bench_cpu_ns(void);
/* bench_pin binds the calling thread to the n-th CPU that this process may use. */
void bench_pin(uint32_t cpu);
/* bench_unpin lets it run on all of them again. */
void bench_unpin(void);

/* The benchmarks: 0, or 1 after a message if one could not run. */
int bench_affinity(const struct bench_run *run);
int bench_connections(const struct bench_run *run);
int bench_embed(const struct bench_run *run);
int bench_engine(const struct bench_run *run);
int bench_finality(const struct bench_run *run);
int bench_hostile(const struct bench_run *run);
int bench_journal(const struct bench_run *run);
int bench_memory(const struct bench_run *run);
int bench_recover(const struct bench_run *run);
int bench_ring(const struct bench_run *run);
int bench_rounds(const struct bench_run *run);
int bench_scale(const struct bench_run *run);
int bench_wire(const struct bench_run *run);

#endif
