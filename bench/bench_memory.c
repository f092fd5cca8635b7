/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a message costs while it is open and while it is remembered, in the real server, and what a
 * million open ones cost the others.
 *
 * A message goes to three chains that never connect, with 64 bytes of payload and ids of 36 bytes.
 * The server fills its tables at its start, so that nothing it does later adds to them: the bytes
 * of a message are the difference between a server that has room for `parked` messages more and one
 * that has not, with all of them open, divided by their number.  Everything that grows with them is
 * in it; what every server has is not, but is in the resident set that is printed beside it.
 *
 * Estimate for an open message: 256 bytes of round, 416 of content with room for the chains'
 * tokens, 52 that are set aside for its result, 11 of the index, 5 of the pools' links and bits:
 * 740.  Once it has ended: 63.
 *
 * Baseline: what one would write first, a struct, a hash table of chained nodes, and a malloc for
 * each thing of variable length; measured in a process of its own.
 *
 * CPU per round: two servers with the same capacities, one with the parked messages open, take
 * turns with 1,024 rounds in flight (bench/stage.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/park.h"
#include "bench/stage.h"

#define IN_FLIGHT         1024U
#define SPARE             4096U /* room of the server that has none for them */
#define MIB               (1024.0 * 1024.0)
#define GIB               (1024.0 * MIB)
/* The length, the array's head and the type, which are not stored. */
#define SUBMIT_HEAD_BYTES 8U

/* ---- the baseline ---- */

struct naive_target {
    char *chain;
    char *token;
    int state;
};

struct naive_round {
    struct naive_round *next; /* in the hash table */
    char *id;
    unsigned char *message;
    size_t message_bytes;
    unsigned char hash[32];
    struct naive_target *targets;
    size_t target_count;
    uint64_t attempt;
    uint64_t deadline_ns;
    size_t heap_index; /* of its timer */
    uint64_t expires_at_ms;
    void *client;
    int state;
    int retries;
};

struct naive_result {
    struct naive_result *next;
    char *id;
    unsigned char hash[32];
    int *states; /* of its targets */
    uint64_t expires_ns;
    int code;
};

static void *naive_bytes(size_t bytes)
{
    void *memory = malloc(bytes);

    if (memory == NULL) {
        _exit(1);
    }
    memset(memory, 1, bytes);
    return memory;
}

static void naive_open(void **table, void **timers, uint32_t at, uint32_t message_bytes)
{
    struct naive_round *round = naive_bytes(sizeof(*round));

    round->id = naive_bytes(37);
    round->message = naive_bytes(message_bytes);
    round->targets = naive_bytes(PARK_CHAINS * sizeof(*round->targets));
    for (uint32_t i = 0; i < PARK_CHAINS; i++) {
        round->targets[i].chain = naive_bytes(strlen(park_chain_ids[i]) + 1);
        round->targets[i].token = naive_bytes(37);
    }
    table[at] = round;
    timers[at] = round;
}

static void naive_remember(void **table, uint32_t at)
{
    struct naive_result *result = naive_bytes(sizeof(*result));

    result->id = naive_bytes(37);
    result->states = naive_bytes(PARK_CHAINS * sizeof(*result->states));
    table[at] = result;
}

/* Bytes of one of `count` messages; a hash table has a bucket for each. */
static double naive_cost(uint32_t count, uint32_t message_bytes, bool is_open)
{
    int pipes[2];
    double cost = 0;
    pid_t pid = -1;

    if (pipe(pipes) != 0) {
        return 0;
    }
    pid = fork();
    if (pid == 0) {
        double before = park_resident(getpid());
        void **table = naive_bytes(count * sizeof(*table));
        void **timers = is_open ? naive_bytes(count * sizeof(*timers)) : NULL;

        for (uint32_t i = 0; i < count; i++) {
            if (is_open) {
                naive_open(table, timers, i, message_bytes);
            } else {
                naive_remember(table, i);
            }
        }
        cost = (park_resident(getpid()) - before) / count;
        _exit(write(pipes[1], &cost, sizeof(cost)) == sizeof(cost) ? 0 : 1);
    }
    (void)close(pipes[1]);
    if (pid < 0 || read(pipes[0], &cost, sizeof(cost)) != sizeof(cost)) {
        cost = 0;
    }
    (void)close(pipes[0]);
    (void)waitpid(pid, NULL, 0);
    return cost;
}

/* ---- the servers ---- */

/* A server with room for `open` messages and for `remembered` ones. */
static bool server_open(struct stage *stage, const struct bench_run *run, uint32_t open,
                        uint32_t remembered, bool is_alone)
{
    char capacities[256];
    struct stage_options options = {
        .capacities = capacities,
        .more = "chainSharePermille: 1000\npeerSharePermille: 1000\n",
        .chains = park_chains,
        .clients = ", {name: park}",
        .entries = run->is_smoke ? 131072U : 1048576U,
        .is_alone = is_alone,
    };

    (void)snprintf(capacities, sizeof(capacities),
                   "rounds: %u, dedupEntries: %u, waiters: 1024, bodies416: %u, bodies1024: 64, "
                   "bodies4096: 16, bodies16384: 4, bodies86016: 4",
                   open, remembered, open);
    return stage_open(stage, &options, run);
}

/* Resident sets in bytes. */
struct residents {
    double few;        /* a server with room for SPARE messages */
    double remembered; /* with room for `parked` remembered ones more */
    double start;      /* with room for as many open ones more */
    double open;       /* the same with all of them open */
    double open_mapped;
};

static void report_bytes(const struct residents *at, uint32_t parked, uint32_t message_bytes)
{
    struct bench_series open = {0};
    struct bench_series remembered = {0};
    struct bench_series total = {0};
    struct bench_series naive_opened = {0};
    struct bench_series naive_remembered = {0};

    bench_add(&open, (at->open - at->few) / parked);
    bench_add(&remembered, (at->remembered - at->few) / parked);
    bench_add(&total, at->open / GIB);
    bench_add(&naive_opened, naive_cost(parked, message_bytes, true));
    bench_add(&naive_remembered, naive_cost(parked, message_bytes, false));
    bench_note("%u messages open at once: 3 targets, %u bytes of payload, %u stored", parked,
               PARK_PAYLOAD_BYTES, message_bytes);
    bench_note("VmRSS with room for %u messages %.1f MiB; with room for %u more %.1f MiB at the "
               "start, %.1f with all of them open (smaps_rollup: %.1f); with room to remember "
               "%u more %.1f",
               SPARE, at->few / MIB, parked, at->start / MIB, at->open / MIB, at->open_mapped / MIB,
               parked, at->remembered / MIB);
    bench_report("memory.open", &open, "bytes", BENCH_LOWER, "malloc", &naive_opened);
    bench_report("memory.remembered", &remembered, "bytes", BENCH_LOWER, "malloc",
                 &naive_remembered);
    bench_report("memory.all_open", &total, "GiB", BENCH_LOWER, NULL, NULL);
}

/* What a message costs, open and remembered. */
static bool measure_bytes(const struct bench_run *run, uint32_t parked)
{
    static struct stage few;
    static struct stage remembered;
    static struct stage open;
    static struct park park = {.type = TRI_TYPE_REGULATORY_ACTION, .ttl_s = 60};
    struct residents at = {0};
    uint8_t frame[STAGE_FRAME_BYTES];
    uint32_t message_bytes = park_frame(&park, 30000, frame) - SUBMIT_HEAD_BYTES;
    bool is_done = server_open(&few, run, SPARE, SPARE, true) &&
                   server_open(&remembered, run, SPARE, SPARE + parked, true) &&
                   server_open(&open, run, SPARE + parked, SPARE + parked, true);

    at.few = park_resident(few.server);
    at.remembered = park_resident(remembered.server);
    at.start = park_resident(open.server);
    is_done = is_done && park_open(&park, &open, parked, run->is_smoke ? 60000 : 30000);
    if (is_done) {
        at.open = park_resident(open.server);
        at.open_mapped = park_proc_bytes(open.server, "smaps_rollup", "Rss:");
        report_bytes(&at, parked, message_bytes);
    }
    while (is_done && !run->is_smoke && park.ended < parked) {
        is_done = park_receive(&park, bench_now_ns() + UINT64_C(60000000000));
    }
    if (is_done && !run->is_smoke) {
        bench_note("work: all of them ended, the last with %s; VmRSS then %.1f MiB",
                   tri_error_name(park.code), park_resident(open.server) / MIB);
    }
    tri_client_close(&park.client);
    stage_close(&few);
    stage_close(&remembered);
    stage_close(&open);
    return is_done;
}

/* One sample: server CPU per round in microseconds; a negative number after a message. */
static double sample_cpu(struct stage *stage, uint64_t duration_ns)
{
    double cpu_us = stage_cpu_us(stage->server);
    uint64_t processed = stage->processed;

    if (stage_run(stage, IN_FLIGHT, duration_ns) < 0 || stage->processed == processed ||
        stage->others > 0) {
        (void)fprintf(stderr, "tricast-bench: %llu rounds PROCESSED, %llu not: %s\n",
                      (unsigned long long)stage->processed, (unsigned long long)stage->others,
                      tri_error_name(stage->other_code));
        return -1;
    }
    return (stage_cpu_us(stage->server) - cpu_us) / (double)(stage->processed - processed);
}

/* What the parked messages cost the active ones. */
static bool measure_cpu(const struct bench_run *run, uint32_t parked)
{
    static struct stage alone;
    static struct stage beside;
    static struct park park = {.type = TRI_TYPE_REGULATORY_ACTION, .ttl_s = 60};
    struct bench_series with = {0};
    struct bench_series without = {0};
    uint64_t duration_ns = run->is_smoke ? 30000000U : 500000000U;
    uint32_t open = SPARE + parked;
    uint32_t remembered = open + (run->is_smoke ? 65536U : 2097152U);
    bool is_done = server_open(&alone, run, open, remembered, false) &&
                   server_open(&beside, run, open, remembered, false) &&
                   park_open(&park, &beside, parked, 60000);

    for (uint32_t i = 0; is_done && i <= run->sample_count; i++) {
        double alone_us = sample_cpu(&alone, duration_ns);
        double beside_us = alone_us < 0 ? -1 : sample_cpu(&beside, duration_ns);

        is_done = beside_us >= 0;
        if (is_done && i > 0) {
            bench_add(&without, alone_us);
            bench_add(&with, beside_us);
        }
    }
    while (is_done && tri_client_poll(&park.client) == 0) {
        park_take(&park);
    }
    if (is_done && park.ended > 0) {
        (void)fprintf(stderr, "tricast-bench: too slow: %llu parked messages ended\n",
                      (unsigned long long)park.ended);
        is_done = false;
    }
    if (is_done) {
        bench_note("work: %llu rounds PROCESSED beside %llu parked ones, %llu without",
                   (unsigned long long)beside.processed, (unsigned long long)park.heard,
                   (unsigned long long)alone.processed);
        bench_report("memory.parked_cpu", &with, "us/round", BENCH_LOWER, "without them", &without);
    }
    tri_client_close(&park.client);
    stage_close(&alone);
    stage_close(&beside);
    return is_done;
}

int bench_memory(const struct bench_run *run)
{
    uint32_t parked = run->is_smoke ? 100000 : 1000000;

    bench_pin(1);
    return measure_bytes(run, parked) && measure_cpu(run, parked) ? 0 : 1;
}
