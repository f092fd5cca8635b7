/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hostile peers take from a well-behaved client: its p99, beside each of the attacks of
 * bench/attack.h.
 *
 * The client is an open loop at half the rate that a stage reached with 64 in flight (more in
 * flight share packets as an open loop cannot): it submits when a message is due, whatever has
 * become of the others, and a latency counts from when the message was due.
 *
 * Two stages stand beside each other, and only the second is attacked.  In a series they take
 * turns, 16 windows of 20 ms each, so that neighbours see the same machine, and the attackers rest
 * while the first is measured (connections, halves and whatever else stands stays).  The p99 of the
 * second over that of the first, of two neighbours, is a shift; a series gives the median of
 * its 16. Blocks of four series without the attack (A/A) alternate with blocks of four with it
 * (A/B): the median of A/B over the median of A/A is what the attack did.
 *
 * Estimate: an idle peer costs nothing; a stranger costs some 40 us from its accept to its close,
 * at 500 a second 2 % of a core, but one a turn; a refused submit 0.5 us, at 10,000 a second 0.5 %,
 * in runs of 64.  So the p99 should move by what one more packet a turn costs, some 1 %.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "bench/attack.h"
#include "bench/stage.h"

#define IN_FLIGHT       64U
#define SIDES           2U
#define PARTS           16U /* windows of a side in a series */
#define BLOCK_SERIES    4U
#define OPEN_MAX        65536U /* a power of two; messages open at once, and then some */
#define TICK_NS         100000U
#define PATIENCE_NS     UINT64_C(20000000000)
#define RATE_RUNS       5U
#define REST_MS         300 /* shared machines slow down who takes all of them for long */
#define SETTLE_MS       5
#define AFTERMATH_MS    500      /* until those who have gone are forgotten */
#define WINDOW_MAX      1000000U /* messages */
#define CONNECTIONS_MAX 10400U

struct window {
    uint64_t begin_ns;
    uint64_t interval_ns;
    uint32_t due; /* messages */
    uint32_t sent;
    uint32_t ended;
    uint64_t first; /* the number of the first */
    uint32_t *latencies_ns;
};

struct scene {
    const char *name;
    const char *aa_name;
    struct attack_options attack;
    uint32_t smoke_connections;
};

/* The limits that stand against them are the defaults, but where so many have to get in first. */
static const struct scene crowds[] = {
    {"hostile.idle_10000", "A/A", {ATTACK_IDLE, 0, 10000, 1}, 100},
    {"hostile.half_frames_10000", "A/A", {ATTACK_HALVES, 0, 10000, 1}, 100},
};
static const struct scene floods[] = {
    {"hostile.never_reads", "A/A", {ATTACK_NEVER_READS, 0, 16, 1}, 4},
    {"hostile.byte_a_second", "A/A", {ATTACK_DRIP, 0, 100, 1}, 10},
    {"hostile.hellos", "A/A", {ATTACK_HELLOS, 0, 8, 8}, 2},
    {"hostile.submits_to_the_dead", "A/A", {ATTACK_SUBMITS, 0, 4, 1}, 4},
    {"hostile.connection_storm", "A/A", {ATTACK_STORM, 0, 8, 8}, 2},
};

static const char crowd_limits[] = "limits: {acceptsPerSecond: 100000}\n";

static int ascending(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

/* ---- the open loop ---- */

static bool window_send(struct stage *stage, struct window *window, uint64_t now_ns)
{
    stage_clock(stage);
    while (window->sent < window->due &&
           window->begin_ns + window->sent * window->interval_ns <= now_ns) {
        if (window->sent - window->ended >= OPEN_MAX || !stage_submit(stage)) {
            return false;
        }
        window->sent++;
    }
    return true;
}

static void window_take(struct stage *stage, struct window *window)
{
    const char *id = stage->client.frame.ack.id.at;
    uint64_t number = 0;
    uint64_t due_ns = 0;

    for (uint32_t digit = 0; digit < STAGE_NUMBER_DIGITS; digit++) {
        number = number * 10 + (uint64_t)(id[digit] - '0');
    }
    due_ns = window->begin_ns + (number - window->first) * window->interval_ns;
    window->latencies_ns[window->ended++] = (uint32_t)(bench_now_ns() - due_ns);
}

/* Plays one window; its p99 in microseconds, a negative number after a message if it broke. */
static double window_play(struct stage *stage, uint64_t interval_ns, uint64_t duration_ns)
{
    static uint32_t latencies_ns[WINDOW_MAX];
    struct window window = {.begin_ns = bench_now_ns(),
                            .interval_ns = interval_ns,
                            .due = (uint32_t)(duration_ns / interval_ns),
                            .first = stage->next,
                            .latencies_ns = latencies_ns};
    uint64_t others = stage->others;
    uint32_t rank = 0;

    while (window.ended < window.due) {
        uint64_t now_ns = bench_now_ns();
        struct timespec tick = {.tv_nsec = TICK_NS};
        struct pollfd wait = {.fd = stage->client.line.fd, .events = POLLIN};
        int result = 0;

        if (!window_send(stage, &window, now_ns) ||
            now_ns > window.begin_ns + duration_ns + PATIENCE_NS) {
            (void)fprintf(stderr,
                          "tricast-bench: %u of %u messages sent, %u ended, at half the "
                          "rate that was measured before\n",
                          window.sent, window.due, window.ended);
            return -1;
        }
        while ((result = tri_client_poll(&stage->client)) == 0) {
            if (stage_take(stage)) {
                window_take(stage, &window);
            }
        }
        if (result != -EAGAIN) {
            (void)fprintf(stderr, "tricast-bench: %s\n", stage->client.trouble);
            return -1;
        }
        if (window.ended < window.due) {
            (void)ppoll(&wait, 1, &tick, NULL);
        }
    }
    if (stage->others != others) {
        (void)fprintf(stderr, "tricast-bench: %llu messages were not PROCESSED, last %s\n",
                      (unsigned long long)(stage->others - others),
                      tri_error_name(stage->other_code));
        return -1;
    }
    qsort(latencies_ns, window.ended, sizeof(latencies_ns[0]), ascending);
    rank = window.ended - 1 - window.ended / 100;
    return (double)latencies_ns[rank] / 1e3;
}

/* Half the median of some closed loops, as an interval. */
static uint64_t stage_interval_ns(struct stage *stage, uint32_t runs, uint64_t duration_ns)
{
    uint32_t ended[RATE_RUNS];

    assert(runs >= 1 && runs <= RATE_RUNS);
    for (uint32_t i = 0; i < runs; i++) {
        int64_t here = stage_run(stage, IN_FLIGHT, duration_ns);

        if (here <= 0) {
            return 0;
        }
        ended[i] = (uint32_t)here;
    }
    qsort(ended, runs, sizeof(ended[0]), ascending);
    return 2 * duration_ns / ended[runs / 2];
}

/* ---- the scenes ---- */

static double memory_mib(pid_t pid)
{
    char path[64];
    char line[256];
    double mib = 0;
    FILE *file = NULL;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0) {
            mib = strtod(line + 6, NULL) / 1024;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return mib;
}

struct outcome {
    struct bench_series aa;
    struct bench_series ab;
    struct bench_series alone_us;
    struct bench_series beside_us;
    double memory_mib;
    uint64_t done;
};

/* One series: the stages take turns, and the attack, if there is one, rests while the first is
 * measured.  False if it broke. */
static bool series_play(struct stage *stages, const struct attack *attack, uint64_t interval_ns,
                        uint64_t duration_ns, struct outcome *outcome)
{
    double p99s_us[SIDES][PARTS];
    double shifts[PARTS];
    uint64_t order = bench_now_ns() / 1000 * UINT64_C(0x9e3779b97f4a7c15) >> 32;

    for (uint32_t i = 0; i < PARTS * SIDES; i++) {
        /* No rhythm of the machine's own may meet one of ours. */
        uint32_t side = (i + (order >> i / SIDES)) % SIDES;
        double *p99_us = &p99s_us[side][i / SIDES];

        if (attack != NULL) {
            attack_rest(attack, side == 0);
        }
        (void)poll(NULL, 0, SETTLE_MS);
        *p99_us = window_play(&stages[side], interval_ns, duration_ns / PARTS);
        if (*p99_us < 0) {
            return false;
        }
    }
    for (uint32_t i = 0; i < PARTS; i++) {
        shifts[i] = p99s_us[1][i] / p99s_us[0][i];
    }
    (void)poll(NULL, 0, REST_MS);
    bench_add(attack == NULL ? &outcome->aa : &outcome->ab, bench_middle(shifts, PARTS));
    if (attack != NULL) {
        bench_add(&outcome->alone_us, bench_middle(p99s_us[0], PARTS));
        bench_add(&outcome->beside_us, bench_middle(p99s_us[1], PARTS));
    }
    return true;
}

/* Some series without the attack, and as many with it. */
static bool block_play(struct stage *stages, const struct attack_options *options,
                       uint64_t interval_ns, uint64_t duration_ns, struct outcome *outcome)
{
    struct attack attack = {0};
    bool is_good = true;
    double memory = 0;

    for (uint32_t i = 0; i < BLOCK_SERIES && is_good; i++) {
        is_good = series_play(stages, NULL, interval_ns, duration_ns, outcome);
    }
    is_good = is_good && attack_start(&attack, options);
    for (uint32_t i = 0; i < BLOCK_SERIES && is_good; i++) {
        is_good = series_play(stages, &attack, interval_ns, duration_ns, outcome);
    }
    memory = memory_mib(stages[1].server);
    outcome->memory_mib = memory > outcome->memory_mib ? memory : outcome->memory_mib;
    outcome->done += attack_stop(&attack);
    (void)poll(NULL, 0, AFTERMATH_MS);
    return is_good;
}

static bool scene_play(struct stage *stages, const struct scene *scene, const struct bench_run *run)
{
    struct attack_options options = scene->attack;
    uint64_t duration_ns = run->is_smoke ? 20000000U : 320000000U;
    uint64_t interval_ns =
        stage_interval_ns(&stages[0], run->is_smoke ? 1 : RATE_RUNS, duration_ns / 2);
    struct outcome outcome = {0};
    double shift_aa = 0;
    double shift_ab = 0;

    options.port = stages[1].port;
    options.connections = run->is_smoke ? scene->smoke_connections : options.connections;
    options.processes =
        options.processes < options.connections ? options.processes : options.connections;
    if (interval_ns == 0 || window_play(&stages[0], interval_ns, duration_ns) < 0 ||
        window_play(&stages[1], interval_ns, duration_ns) < 0) {
        return false;
    }
    for (uint32_t i = 0; i < run->sample_count; i += BLOCK_SERIES) {
        if (!block_play(stages, &options, interval_ns, duration_ns, &outcome)) {
            return false;
        }
    }
    shift_aa = bench_median(&outcome.aa);
    shift_ab = bench_median(&outcome.ab);
    bench_report_median(scene->name, &outcome.ab, "x p99", BENCH_LOWER, scene->aa_name,
                        &outcome.aa);
    bench_note(
        "%.0f rounds/s, p99 %.0f us alone, %.0f us beside; shift A/A %+.1f %%, A/B %+.1f %%, "
        "beyond %+.1f %%; server %.0f MiB; %llu times",
        1e9 / (double)interval_ns, bench_median(&outcome.alone_us),
        bench_median(&outcome.beside_us), (shift_aa - 1) * 100, (shift_ab - 1) * 100,
        (shift_ab / shift_aa - 1) * 100, outcome.memory_mib, (unsigned long long)outcome.done);
    return true;
}

static int stage_scenes(const struct scene *scenes, size_t count, const char *limits,
                        const struct bench_run *run)
{
    static struct stage stages[SIDES];
    char capacities[256];
    struct stage_options options = {
        .capacities = capacities,
        .more = limits,
        .chains = attack_chains,
        .clients = attack_clients,
        .entries = run->is_smoke ? 262144U : 1048576U,
        .assets = OPEN_MAX - 1,
    };
    bool is_good = true;

    memset(stages, 0, sizeof(stages));
    (void)snprintf(capacities, sizeof(capacities),
                   "rounds: 262144, dedupEntries: 1048576, waiters: 262144, bodies416: 262144, "
                   "connections: %u",
                   CONNECTIONS_MAX);
    for (uint32_t side = 0; side < SIDES; side++) {
        is_good = is_good && stage_open(&stages[side], &options, run);
    }
    for (size_t i = 0; i < count && is_good; i++) {
        is_good = scene_play(stages, &scenes[i], run);
    }
    stage_close(&stages[0]);
    stage_close(&stages[1]);
    return is_good ? 0 : 1;
}

int bench_hostile(const struct bench_run *run)
{
    struct bench_run pairs = *run;
    int result = 0;

    /* A p99 varies more than a rate does. */
    pairs.sample_count = run->is_smoke ? 1 : run->sample_count * 3 / 2 + 1;
    pairs.sample_count = (pairs.sample_count + BLOCK_SERIES - 1) / BLOCK_SERIES * BLOCK_SERIES;
    pairs.sample_count =
        pairs.sample_count < BENCH_SAMPLES_MAX ? pairs.sample_count : BENCH_SAMPLES_MAX;
    bench_pin(1);
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    bench_note("GUARANTEED, 3 chains, journal none, ttlSeconds 1, retries 0, dedup window 3.5 s, "
               "%u series of %u pairs, of each kind",
               pairs.sample_count, PARTS);
    result = stage_scenes(crowds, sizeof(crowds) / sizeof(crowds[0]), crowd_limits, &pairs);
    if (result == 0) {
        result = stage_scenes(floods, sizeof(floods) / sizeof(floods[0]), "", &pairs);
    }
    return result;
}
