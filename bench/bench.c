/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bench.h"

#include <assert.h>
#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#define REPORTS_MAX 128U
#define PING_PONGS  200000U

/* One figure as it goes into the JSON file. */
struct report {
    const char *name;
    const char *unit;
    enum bench_better better;
    uint32_t samples;
    double value;
    double min;
    double max;
    const char *baseline_name;
    double baseline_value;
    double ratio;
};

static struct report reports[REPORTS_MAX];
static uint32_t report_count;

uint64_t bench_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t bench_cpu_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* Of the process, before any thread was bound. */
static const cpu_set_t *allowed_cpus(void)
{
    static cpu_set_t allowed;
    static bool is_known;

    if (!is_known) {
        (void)sched_getaffinity(0, sizeof(allowed), &allowed);
        is_known = true;
    }
    return &allowed;
}

void bench_unpin(void)
{
    (void)sched_setaffinity(0, sizeof(cpu_set_t), allowed_cpus());
}

void bench_pin(uint32_t cpu)
{
    const cpu_set_t *allowed = allowed_cpus();
    cpu_set_t one;

    cpu %= (uint32_t)CPU_COUNT(allowed);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, allowed) && cpu-- == 0) {
            CPU_SET(i, &one);
            break;
        }
    }
    (void)sched_setaffinity(0, sizeof(one), &one);
}

void bench_add(struct bench_series *series, double value)
{
    assert(series->count < BENCH_SAMPLES_MAX);
    series->at[series->count++] = value;
}

void bench_note(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)printf("  ");
    (void)vprintf(format, arguments);
    (void)printf("\n");
    va_end(arguments);
    (void)fflush(stdout);
}

static int ascending(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return (left > right) - (left < right);
}

/* The third best sample, or the worst of fewer. */
static double third_best(const struct bench_series *series, enum bench_better better, double *min,
                         double *max)
{
    struct bench_series sorted = *series;
    uint32_t rank = sorted.count < 3 ? sorted.count - 1 : 2;

    assert(sorted.count > 0);
    qsort(sorted.at, sorted.count, sizeof(sorted.at[0]), ascending);
    *min = sorted.at[0];
    *max = sorted.at[sorted.count - 1];
    return better == BENCH_LOWER ? sorted.at[rank] : sorted.at[sorted.count - 1 - rank];
}

double bench_median(const struct bench_series *series)
{
    struct bench_series sorted = *series;

    assert(sorted.count > 0);
    qsort(sorted.at, sorted.count, sizeof(sorted.at[0]), ascending);
    return (sorted.at[(sorted.count - 1) / 2] + sorted.at[sorted.count / 2]) / 2;
}

double bench_middle(double *values, uint32_t count)
{
    assert(count > 0);
    qsort(values, count, sizeof(*values), ascending);
    return values[count / 2];
}

/* Prints and keeps a figure whose value, and baseline's, have been chosen. */
static void report_add(const char *name, const struct bench_series *series, const char *unit,
                       enum bench_better better, double value, const char *baseline_name,
                       double baseline_value)
{
    struct report *report = &reports[report_count++];

    assert(report_count <= REPORTS_MAX);
    *report = (struct report){name, unit, better,        series->count,  value,
                              0,    0,    baseline_name, baseline_value, 0};
    (void)third_best(series, better, &report->min, &report->max);
    (void)printf("%-36s %14.6g %-10s (%u samples, %.6g..%.6g)", name, report->value, unit,
                 report->samples, report->min, report->max);
    if (baseline_name != NULL) {
        report->ratio = better == BENCH_HIGHER ? report->value / report->baseline_value
                                               : report->baseline_value / report->value;
        (void)printf("  %.3g x %s (%.6g)", report->ratio, baseline_name, report->baseline_value);
    }
    (void)printf("\n");
    (void)fflush(stdout);
}

void bench_report(const char *name, const struct bench_series *series, const char *unit,
                  enum bench_better better, const char *baseline_name,
                  const struct bench_series *baseline)
{
    double min;
    double max;
    double value = third_best(series, better, &min, &max);

    report_add(name, series, unit, better, value, baseline_name,
               baseline_name == NULL ? 0 : third_best(baseline, better, &min, &max));
}

void bench_report_median(const char *name, const struct bench_series *series, const char *unit,
                         enum bench_better better, const char *baseline_name,
                         const struct bench_series *baseline)
{
    report_add(name, series, unit, better, bench_median(series), baseline_name,
               baseline_name == NULL ? 0 : bench_median(baseline));
}

/* ---- the machine ---- */

struct ping_pong {
    _Alignas(64) atomic_uint ping;
    _Alignas(64) atomic_uint pong;
};

static void *ping_pong_far(void *argument)
{
    struct ping_pong *table = argument;

    bench_pin(1);
    for (uint32_t i = 1; i <= PING_PONGS; i++) {
        while (atomic_load_explicit(&table->ping, memory_order_acquire) != i) {
        }
        atomic_store_explicit(&table->pong, i, memory_order_release);
    }
    return NULL;
}

/* One way between two cores in nanoseconds: how healthy the shared machine is now. */
static double ping_pong_ns(void)
{
    static struct ping_pong table;
    pthread_t thread;
    uint64_t start_ns;

    bench_pin(0);
    if (pthread_create(&thread, NULL, ping_pong_far, &table) != 0) {
        return -1;
    }
    start_ns = bench_now_ns();
    for (uint32_t i = 1; i <= PING_PONGS; i++) {
        atomic_store_explicit(&table.ping, i, memory_order_release);
        while (atomic_load_explicit(&table.pong, memory_order_acquire) != i) {
        }
    }
    start_ns = bench_now_ns() - start_ns;
    (void)pthread_join(thread, NULL);
    return (double)start_ns / PING_PONGS / 2;
}

static void cpu_model(char *text, size_t bytes)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];

    (void)snprintf(text, bytes, "unknown");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':') != NULL) {
            line[strcspn(line, "\n")] = '\0';
            (void)snprintf(text, bytes, "%s", strchr(line, ':') + 2);
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

static json_t *machine(double ping_pong)
{
    struct utsname system;
    char model[256];

    (void)uname(&system);
    cpu_model(model, sizeof(model));
    (void)printf("machine: %s, %s, compiler %s, core-to-core ping-pong %.0f ns one way\n", model,
                 system.release, __VERSION__, ping_pong);
    return json_pack("{s:{s:s, s:s, s:s, s:f}}", "machine", "cpu", model, "kernel", system.release,
                     "compiler", __VERSION__, "pingPongNs", ping_pong);
}

static int write_json(const char *path, json_t *about)
{
    json_t *all = json_array();
    int result;

    for (uint32_t i = 0; i < report_count; i++) {
        const struct report *it = &reports[i];
        json_t *row =
            json_pack("{s:s, s:f, s:s, s:s, s:i, s:f, s:f}", "name", it->name, "value", it->value,
                      "unit", it->unit, "better", it->better == BENCH_HIGHER ? "higher" : "lower",
                      "samples", (int)it->samples, "min", it->min, "max", it->max);

        if (it->baseline_name != NULL) {
            (void)json_object_set_new(row, "baseline_name", json_string(it->baseline_name));
            (void)json_object_set_new(row, "baseline_value", json_real(it->baseline_value));
            (void)json_object_set_new(row, "ratio", json_real(it->ratio));
        } else {
            (void)json_object_set_new(row, "baseline_name", json_null());
            (void)json_object_set_new(row, "baseline_value", json_null());
            (void)json_object_set_new(row, "ratio", json_null());
        }
        (void)json_array_append_new(all, row);
    }
    (void)json_array_append(all, about);
    result = json_dump_file(all, path, JSON_INDENT(1));
    json_decref(all);
    if (result != 0) {
        (void)fprintf(stderr, "tricast-bench: %s: cannot be written\n", path);
        return 1;
    }
    return 0;
}

/* ---- the program ---- */

struct entry {
    const char *name;
    int (*run)(const struct bench_run *run);
    const char *help;
};

static const struct entry entries[] = {
    {"affinity", bench_affinity, "rounds over TCP, a chain's connection for every shard"},
    {"connections", bench_connections, "what a round costs over 10 to 10,000 connections"},
    {"embed", bench_embed, "rounds through a node in this program"},
    {"engine", bench_engine, "rounds through tri_engine_step, no codec"},
    {"finality", bench_finality, "finality records: what the archive costs a message"},
    {"hostile", bench_hostile, "what hostile peers take from a client's p99"},
    {"journal", bench_journal, "records that become durable, and rounds that wait for them"},
    {"memory", bench_memory, "bytes of a message, open and remembered"},
    {"recover", bench_recover, "a start with a million messages open"},
    {"ring", bench_ring, "messages between two threads"},
    {"rounds", bench_rounds, "rounds over TCP: server, three chains, a client"},
    {"scale", bench_scale, "a node in this program, one shard against two"},
    {"wire", bench_wire, "frames encoded and decoded"},
};

static int usage(void)
{
    (void)fprintf(stderr, "usage: tricast-bench NAME [--json FILE] [--smoke] [--samples N]\n");
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        (void)fprintf(stderr, "  %-11s %s\n", entries[i].name, entries[i].help);
    }
    return 2;
}

/* The folder that this program stands in. */
static const char *own_folder(const char *program)
{
    static char folder[4096];
    char *slash;

    (void)snprintf(folder, sizeof(folder), "%s", program);
    slash = strrchr(folder, '/');
    if (slash == NULL) {
        return ".";
    }
    *slash = '\0';
    return folder;
}

int main(int argc, char **argv)
{
    struct bench_run run = {.sample_count = 10, .build_dir = own_folder(argv[0])};
    const struct entry *entry = NULL;
    const char *json_path = NULL;
    json_t *about;
    int result;

    for (size_t i = 0; argc > 1 && i < sizeof(entries) / sizeof(entries[0]); i++) {
        if (strcmp(argv[1], entries[i].name) == 0) {
            entry = &entries[i];
        }
    }
    if (entry == NULL) {
        return usage();
    }
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--smoke") == 0) {
            run.is_smoke = true;
            run.sample_count = 2;
        } else if (strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
            json_path = argv[++i];
        } else if (strcmp(argv[i], "--samples") == 0 && i + 1 < argc) {
            run.sample_count = (uint32_t)strtoul(argv[++i], NULL, 10);
            if (run.sample_count < 1 || run.sample_count > BENCH_SAMPLES_MAX) {
                (void)fprintf(stderr, "tricast-bench: --samples: must be 1..%u\n",
                              BENCH_SAMPLES_MAX);
                return 2;
            }
        } else {
            (void)fprintf(stderr, "tricast-bench: %s: unknown, or its value is missing\n", argv[i]);
            return usage();
        }
    }
    about = machine(ping_pong_ns());
    result = entry->run(&run);
    if (result == 0 && json_path != NULL) {
        result = write_json(json_path, about);
    }
    json_decref(about);
    return result;
}
