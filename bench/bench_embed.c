/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node in this program: GUARANTEED rounds over three chains that answer at once, 64 bytes of
 * payload, from the submit to the result, with everything that a real one has: codec, content hash,
 * dedup table, timers, news.  Submitters and shards share two CPUs.
 *
 * Estimate per round, in one core's nanoseconds.  The submitter: an id 15, encoding 250 bytes 60,
 * SHA-256 of them 170, key and pipe 15, three pieces of news 30.  The shard: decoding 70, the
 * engine 450 (bench_engine), nine orders and answers 100, news 30.  Together 940: two cores
 * make 2.1 million rounds a second if neither waits.  Lines that cross between the cores if shard
 * and submitter are on different ones: 5 of the message, 3 of news; they come in a row, so the
 * prefetcher hides most of them.  System calls: one wake each way per 1,024 rounds.
 *
 * Baselines (pipeline.c): the same 18 messages and nothing else, over ck_ring and over mutex and
 * condition.
 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/bench.h"
#include "bench/pipeline.h"
#include "tricast.h"

#define SUBMITTERS_MAX 4U
#define ID_BYTES       36U
#define PAYLOAD_BYTES  64U
#define NEWS_MAX       64U

static const struct tri_engine_chain chains[3] = {
    {{"eip155:8453", 11}}, {{"eip155:42161", 12}}, {{"eip155:10", 9}}};

struct submitter {
    pthread_t thread;
    struct tri_node *node;
    uint32_t index;
    uint64_t rounds;
    uint64_t processed;
    uint64_t cookies; /* their sum, of what was processed */
};

static enum tri_reply answer_at_once(void *context, const struct tri_order *order,
                                     struct tri_answer *answer)
{
    (void)context;
    return tri_answer_accept(&order->ticket, answer);
}

static void stop(const char *why)
{
    (void)fprintf(stderr, "tricast-bench: %s\n", why);
    exit(1);
}

static void put_number(char *to, uint64_t number, uint32_t digits)
{
    static const char hex[] = "0123456789abcdef";

    for (uint32_t i = digits; i > 0; i--) {
        to[i - 1] = hex[number & 15U];
        number >>= 4;
    }
}

static void message_init(struct tri_message *message, char id[ID_BYTES], uint32_t submitter)
{
    static const uint8_t payload[PAYLOAD_BYTES];

    for (uint32_t i = 0; i < ID_BYTES; i++) {
        id[i] = i == 8 || i == 13 || i == 18 || i == 23 ? '-' : '0';
    }
    put_number(id, submitter, 8);
    *message = (struct tri_message){.id = {id, ID_BYTES},
                                    .type = TRI_TYPE_REGULATORY_ACTION,
                                    .priority = TRI_PRIORITY_NORMAL,
                                    .atomicity = TRI_GUARANTEED,
                                    .ttl_s = 600,
                                    .timestamp_ms = (uint64_t)time(NULL) * 1000,
                                    .source_chain = {"eip155:1", 8},
                                    .source_node = {"node-1", 6},
                                    .target_count = 3,
                                    .asset_count = 1,
                                    .assets = {{"bond-0001", 9}},
                                    .payload = {payload, PAYLOAD_BYTES}};
    for (uint32_t i = 0; i < 3; i++) {
        message->targets[i] = chains[i].id;
    }
}

static uint32_t take_news(struct submitter *self, struct tri_handle *handle)
{
    struct tri_news news[NEWS_MAX];
    uint32_t ended = 0;
    uint32_t count = tri_handle_poll(handle, news, NEWS_MAX);

    if (count == 0) {
        (void)tri_handle_wait(handle, -1);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (news[i].kind == TRI_NEWS_ENDED) {
            ended++;
            self->processed += news[i].ack_type == TRI_ACK_PROCESSED;
            self->cookies += news[i].cookie;
        }
    }
    return ended;
}

static void *submit_all(void *argument)
{
    struct submitter *self = argument;
    struct tri_message message;
    struct tri_handle *handle;
    uint64_t submitted = 0;
    uint64_t ended = 0;
    char id[ID_BYTES];

    bench_pin(self->index);
    message_init(&message, id, self->index);
    if (tri_handle_open(self->node, &handle) != TRI_OK) {
        stop("no handle");
    }
    while (ended < self->rounds) {
        while (submitted < self->rounds && submitted - ended < BENCH_IN_FLIGHT) {
            put_number(id + ID_BYTES - 12, submitted, 12);
            if (tri_handle_submit(handle, &message, submitted) != TRI_OK) {
                break;
            }
            submitted++;
        }
        ended += take_news(self, handle);
    }
    tri_handle_close(handle);
    return NULL;
}

static struct tri_node *open_node(uint32_t shards, uint64_t rounds)
{
    static const struct tri_chain_port ports[3] = {
        {answer_at_once, NULL}, {answer_at_once, NULL}, {answer_at_once, NULL}};
    char trouble[TRI_TROUBLE_BYTES];
    struct tri_node_options options;
    struct tri_node *node = NULL;

    tri_node_defaults(&options);
    options.shards = shards;
    options.pins_threads = true;
    options.handles_max = SUBMITTERS_MAX;
    options.in_flight_max = BENCH_IN_FLIGHT;
    options.engine.rounds_max = 8192;
    options.engine.waiters_max = 8192;
    /* What is forgotten only after the sample must find room: half full at its end, as a table that
     * runs for long is. */
    options.engine.dedup_entries_max = (uint32_t)(rounds + rounds / 4 + 8192);
    memcpy(options.engine.body_counts, (uint32_t[]){8192, 64, 64, 16, 16},
           sizeof(options.engine.body_counts));
    options.engine.chains = chains;
    options.engine.chain_count = 3;
    options.engine.chain_share_permille = 1000;
    options.ports = ports;
    bench_unpin(); /* the shards go where this thread may go */
    if (tri_node_open(&options, &node, trouble) != 0) {
        stop(trouble);
    }
    return node;
}

/* Rounds per second of `submitters` threads over `shards` shards; each submits rounds / submitters.
 */
static double sample(uint32_t shards, uint32_t submitters, uint64_t rounds, uint64_t *cookies,
                     double *cpu_us)
{
    struct tri_node *node = open_node(shards, rounds);
    struct submitter threads[SUBMITTERS_MAX] = {0};
    uint64_t start_ns = bench_now_ns();
    uint64_t cpu_ns = bench_cpu_ns();
    uint64_t processed = 0;

    for (uint32_t i = 0; i < submitters; i++) {
        threads[i].node = node;
        threads[i].index = i;
        threads[i].rounds = rounds / submitters;
        if (pthread_create(&threads[i].thread, NULL, submit_all, &threads[i]) != 0) {
            stop("no thread");
        }
    }
    for (uint32_t i = 0; i < submitters; i++) {
        (void)pthread_join(threads[i].thread, NULL);
        processed += threads[i].processed;
        *cookies += threads[i].cookies;
    }
    start_ns = bench_now_ns() - start_ns;
    *cpu_us = (double)(bench_cpu_ns() - cpu_ns) / 1000.0 / (double)rounds;
    if (processed != rounds / submitters * submitters || tri_node_close(node, 0) != 0) {
        stop("a message was not PROCESSED");
    }
    return (double)rounds * 1e9 / (double)start_ns;
}

int bench_embed(const struct bench_run *run)
{
    static const char *const names[SUBMITTERS_MAX + 1] = {
        [1] = "embed.one_submitter", [2] = "embed.two_submitters", [4] = "embed.four_submitters"};
    uint64_t rounds = run->is_smoke ? 8000 : 600000;
    struct bench_series series[SUBMITTERS_MAX + 1] = {0};
    struct bench_series cpu[SUBMITTERS_MAX + 1] = {0};
    struct bench_series mutex = {0};
    struct bench_series rings = {0};
    uint64_t cookies = 0;

    for (uint32_t i = 0; i <= run->sample_count; i++) {
        double with_rings = bench_pipeline_rings(rounds);
        double with_mutex = bench_pipeline_mutex(rounds / 8);

        for (uint32_t n = 1; n <= SUBMITTERS_MAX; n *= 2) {
            double cpu_us = 0;
            double rate = sample(2, n, rounds, &cookies, &cpu_us);

            if (i > 0) {
                bench_add(&series[n], rate);
                bench_add(&cpu[n], cpu_us);
            }
        }
        if (i > 0) {
            bench_add(&rings, with_rings);
            bench_add(&mutex, with_mutex);
        }
    }
    bench_note(
        "GUARANTEED, 3 chains answering at once, %u bytes of payload, 2 shards, %u in flight "
        "per submitter, no journal",
        PAYLOAD_BYTES, BENCH_IN_FLIGHT);
    bench_note("%llu rounds a sample, ids of %u bytes, all PROCESSED, cookies %llu",
               (unsigned long long)rounds, ID_BYTES, (unsigned long long)cookies);
    bench_report("embed.pipeline", &rings, "rounds/s", BENCH_HIGHER, "mutex and condition", &mutex);
    for (uint32_t n = 1; n <= SUBMITTERS_MAX; n *= 2) {
        bench_report(names[n], &series[n], "rounds/s", BENCH_HIGHER, "pipeline over ck_ring",
                     &rings);
    }
    bench_report("embed.cpu", &cpu[2], "us/round", BENCH_LOWER, NULL, NULL);
    return 0;
}

int bench_scale(const struct bench_run *run)
{
    uint64_t rounds = run->is_smoke ? 8000 : 400000;
    struct bench_series one = {0};
    struct bench_series two = {0};
    uint64_t cookies = 0;

    for (uint32_t i = 0; i <= run->sample_count; i++) {
        double cpu_us = 0;
        double with_one = sample(1, 1, rounds, &cookies, &cpu_us);
        double with_two = sample(2, 2, 2 * rounds, &cookies, &cpu_us);

        if (i > 0) {
            bench_add(&one, with_one);
            bench_add(&two, with_two);
        }
    }
    bench_note(
        "a shard and a submitter on CPU 0, against two of each on CPUs 0 and 1; each submitter "
        "%llu rounds a sample",
        (unsigned long long)rounds);
    bench_note("all PROCESSED, cookies %llu", (unsigned long long)cookies);
    bench_report("scale.one_shard", &one, "rounds/s", BENCH_HIGHER, NULL, NULL);
    bench_report("scale.two_shards", &two, "rounds/s", BENCH_HIGHER, "one shard", &one);
    return 0;
}
