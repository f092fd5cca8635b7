/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a round costs the server when its clients come over 10, 100, 1,000 or 10,000 connections.
 *
 * Every connection is used in its turn: a client on it submits 64 messages at once and waits for
 * their results, then the next one does; 16 do so at a time, so 1,024 rounds are in flight whatever
 * the number.  All connections stand from the begin on, so the smaller numbers are measured beside
 * thousands that are silent.
 *
 * Estimate: a connection's 64 messages arrive in one or two receives and are answered in a few
 * sends, 5 us each; that is 0.3 us per round more than on a connection that never rests, and the
 * same for 10 and for 10,000 but for the cache: a connection's state is about 400 bytes, and 10,000
 * of them do not fit beside the tables.
 *
 * Baseline: the same with the 10 first connections, sample by sample.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/stage.h"

#define VISITS       16U
#define VISIT_ROUNDS 64U
#define LINE_BYTES   65536U
#define COUNTS       4U
#define WAIT_MS      10000

static const uint32_t counts[COUNTS] = {10, 100, 1000, 10000};
static const uint32_t counts_smoke[COUNTS] = {10, 20, 40, 80};
static const char *const rate_names[COUNTS] = {"connections.10", "connections.100",
                                               "connections.1000", "connections.10000"};
static const char *const cpu_names[COUNTS] = {
    "connections.10_server_cpu", "connections.100_server_cpu", "connections.1000_server_cpu",
    "connections.10000_server_cpu"};

struct crowd {
    struct stage *stage;
    struct tri_line *lines;
    uint32_t *open_counts; /* rounds that a connection waits for */
    uint32_t count;
    uint32_t next; /* who is visited next */
    int epoll;
};

/* The line of a connection takes the place of the stage's own while something is done on it. */
static void crowd_swap(struct crowd *crowd, uint32_t index)
{
    struct tri_line own = crowd->stage->client.line;

    crowd->stage->client.line = crowd->lines[index];
    crowd->lines[index] = own;
}

static bool crowd_connect(struct crowd *crowd, uint32_t index)
{
    static struct tri_client client;
    struct tri_client_options options = {
        .role = TRI_ROLE_CLIENT, .identity = {"bench", 5}, .timeout_ms = WAIT_MS};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    struct tri_line *line = &crowd->lines[index];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(crowd->stage->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd;

    memcpy(&options.server.at, &to, sizeof(to));
    options.server.bytes = sizeof(to);
    if (tri_client_open(&client, &options) != 0) {
        (void)fprintf(stderr, "tricast-bench: connection %u: %s\n", index, client.trouble);
        tri_client_close(&client);
        return false;
    }
    fd = dup(client.line.fd);
    tri_client_close(&client);
    if (fd < 0 || tri_line_init(line, LINE_BYTES, LINE_BYTES) != 0) {
        (void)fprintf(stderr, "tricast-bench: connection %u: %s\n", index, strerror(errno));
        return false;
    }
    tri_line_open(line, fd);
    return epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool crowd_open(struct crowd *crowd, struct stage *stage, uint32_t count)
{
    *crowd = (struct crowd){.stage = stage, .count = count, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    crowd->lines = calloc(count, sizeof(*crowd->lines));
    crowd->open_counts = calloc(count, sizeof(*crowd->open_counts));
    if (crowd->lines == NULL || crowd->open_counts == NULL || crowd->epoll < 0) {
        (void)fprintf(stderr, "tricast-bench: no memory for %u connections\n", count);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        crowd->lines[i].fd = -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!crowd_connect(crowd, i)) {
            return false;
        }
    }
    return true;
}

/* Accepts a zeroed crowd. */
static void crowd_close(struct crowd *crowd)
{
    for (uint32_t i = 0; crowd->lines != NULL && i < crowd->count; i++) {
        tri_line_fini(&crowd->lines[i]);
    }
    if (crowd->lines != NULL && crowd->epoll >= 0) {
        (void)close(crowd->epoll);
    }
    free(crowd->lines);
    free(crowd->open_counts);
}

/* The next of the first `count` connections submits. */
static bool crowd_visit(struct crowd *crowd, uint32_t count)
{
    uint32_t index = crowd->next++ % count;
    bool is_good = true;

    if (crowd->open_counts[index] > 0) {
        return false; /* fewer connections than visits: it is being visited */
    }
    crowd_swap(crowd, index);
    for (uint32_t i = 0; i < VISIT_ROUNDS && is_good; i++) {
        is_good = stage_submit(crowd->stage);
        crowd->open_counts[index] += is_good ? 1 : 0;
    }
    (void)tri_line_flush(&crowd->stage->client.line);
    crowd_swap(crowd, index);
    return true;
}

/* Takes what has come on a connection; returns the rounds that ended, UINT32_MAX if it broke. */
static uint32_t crowd_take(struct crowd *crowd, uint32_t index)
{
    struct tri_line *line = &crowd->lines[index];
    struct tri_wire_fault fault;
    struct tri_bytes body;
    uint32_t ended = 0;
    int received = tri_line_receive(line);

    while (received == 0) {
        enum tri_result result = tri_line_next(line, &body, &fault);

        if (result == TRI_MORE) {
            break;
        }
        if (result != TRI_OK ||
            tri_wire_decode(body.at, body.bytes, &crowd->stage->client.frame, &fault) != TRI_OK) {
            return UINT32_MAX;
        }
        ended += stage_take(crowd->stage) ? 1 : 0;
    }
    if ((received != 0 && received != -EAGAIN) || ended > crowd->open_counts[index]) {
        return UINT32_MAX;
    }
    crowd->open_counts[index] -= ended;
    return ended;
}

/* Visits for a while and waits for the last; returns the rounds, 0 after a message. */
static uint64_t crowd_run(struct crowd *crowd, uint32_t count, uint64_t duration_ns)
{
    uint64_t end_ns = bench_now_ns() + duration_ns;
    uint32_t visits = 0; /* under way */
    uint64_t ended = 0;

    do {
        struct epoll_event events[VISITS];
        bool goes_on = bench_now_ns() < end_ns;
        int ready = 0;

        stage_clock(crowd->stage);
        while (goes_on && visits < VISITS && crowd_visit(crowd, count)) {
            visits++;
        }
        ready = visits == 0 ? 0 : epoll_wait(crowd->epoll, events, VISITS, WAIT_MS);
        if (visits > 0 && ready <= 0) {
            (void)fprintf(stderr, "tricast-bench: %u visits wait for results\n", visits);
            return 0;
        }
        for (int i = 0; i < ready; i++) {
            uint32_t index = events[i].data.u32;
            uint32_t here = crowd_take(crowd, index);

            if (here == UINT32_MAX) {
                (void)fprintf(stderr, "tricast-bench: connection %u broke\n", index);
                return 0;
            }
            ended += here;
            visits -= here > 0 && crowd->open_counts[index] == 0 ? 1 : 0;
        }
    } while (visits > 0 || bench_now_ns() < end_ns);
    return ended;
}

static int crowd_samples(struct crowd *crowd, const struct bench_run *run, const uint32_t *sizes)
{
    static struct bench_series rates[COUNTS];
    static struct bench_series cpus[COUNTS];
    uint64_t duration_ns = run->is_smoke ? 50000000U : 1000000000U;

    for (uint32_t i = 0; i <= run->sample_count; i++) {
        for (uint32_t k = 0; k < COUNTS; k++) {
            double cpu_us = stage_cpu_us(crowd->stage->server);
            uint64_t begin_ns = bench_now_ns();
            uint64_t ended = crowd_run(crowd, sizes[k], duration_ns);
            double elapsed_ns = (double)(bench_now_ns() - begin_ns);

            if (ended == 0) {
                return 1;
            }
            cpu_us = stage_cpu_us(crowd->stage->server) - cpu_us;
            if (i > 0) {
                bench_add(&rates[k], (double)ended * 1e9 / elapsed_ns);
                bench_add(&cpus[k], cpu_us / (double)ended);
            }
        }
    }
    bench_note("GUARANTEED, 3 chains, journal none, %u connections stand, %u at a time submit %u "
               "rounds each",
               crowd->count, VISITS, VISIT_ROUNDS);
    bench_note("work: %llu PROCESSED, %llu others (%s)",
               (unsigned long long)crowd->stage->processed,
               (unsigned long long)crowd->stage->others, tri_error_name(crowd->stage->other_code));
    for (uint32_t k = 0; k < COUNTS; k++) {
        bench_report(rate_names[k], &rates[k], "rounds/s", BENCH_HIGHER,
                     k == 0 ? NULL : rate_names[0], k == 0 ? NULL : &rates[0]);
    }
    for (uint32_t k = 0; k < COUNTS; k++) {
        bench_report(cpu_names[k], &cpus[k], "us/round", BENCH_LOWER, k == 0 ? NULL : cpu_names[0],
                     k == 0 ? NULL : &cpus[0]);
    }
    return crowd->stage->others == 0 ? 0 : 1;
}

int bench_connections(const struct bench_run *run)
{
    static struct stage stage;
    const uint32_t *sizes = run->is_smoke ? counts_smoke : counts;
    struct stage_options options = {
        .capacities = "rounds: 16384, dedupEntries: 4194304, waiters: 16384, bodies416: 16384, "
                      "connections: 10240, sendBytes: 2147483648",
        .more = "chainSharePermille: 1000\npeerSharePermille: 1000\n"
                "limits: {acceptsPerSecond: 100000}\n",
        .chains = "",
        .clients = "",
        .entries = run->is_smoke ? 262144U : 2097152U,
    };
    struct rlimit files = {.rlim_cur = 16384, .rlim_max = 16384};
    struct crowd crowd = {0};
    int result = 1;

    bench_pin(1);
    (void)setrlimit(RLIMIT_NOFILE, &files);
    if (stage_open(&stage, &options, run) && crowd_open(&crowd, &stage, sizes[COUNTS - 1])) {
        result = crowd_samples(&crowd, run, sizes);
    }
    crowd_close(&crowd);
    stage_close(&stage);
    return result;
}
