/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a node in a program keeps to itself: it names what is wrong with its
 * options, leaves signals, descriptors, threads and memory as they were, and
 * ends as tricast.h says.
 *
 * Method: a plain program, because a sanitizer looks for leaks at its end; the
 * descriptors and threads of the process are counted before and behind.
 */
#undef NDEBUG
#include <assert.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/tap.h"
#include "tricast.h"

#define CHAINS 2U

static const struct tri_engine_chain chains[CHAINS] = {{{"eip155:1", 8}}, {{"eip155:10", 9}}};

/* A chain that answers at once, or keeps its last order until the test answers it. */
struct chain {
    atomic_bool is_later;
    atomic_bool has_ticket;
    struct tri_ticket ticket;
};

static enum tri_reply chain_handler(void *context, const struct tri_order *order,
                                    struct tri_answer *answer)
{
    struct chain *chain = context;

    if (atomic_load(&chain->is_later)) {
        chain->ticket = order->ticket;
        atomic_store(&chain->has_ticket, true);
        return TRI_REPLY_LATER;
    }
    return tri_answer_accept(&order->ticket, answer);
}

static void options_of(struct tri_node_options *options, struct tri_chain_port ports[CHAINS],
                       struct chain *chain)
{
    tri_node_defaults(options);
    for (uint32_t i = 0; i < CHAINS; i++) {
        ports[i] = (struct tri_chain_port){chain_handler, chain};
    }
    options->shards = 2;
    options->handles_max = 2;
    options->in_flight_max = 64;
    options->engine.rounds_max = 256;
    options->engine.waiters_max = 256;
    options->engine.dedup_entries_max = 4096;
    memcpy(options->engine.body_counts, (uint32_t[]){256, 16, 0, 0, 0},
           sizeof(options->engine.body_counts));
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        options->engine.timeout_ms[phase] = 200;
    }
    options->engine.policies[TRI_TYPE_STATE_SYNC][TRI_SUBTYPE_NONE].backoff_initial_ms = 10;
    options->engine.chains = chains;
    options->engine.chain_count = CHAINS;
    options->ports = ports;
}

static struct tri_node *node_of(struct chain *chain)
{
    static struct tri_chain_port ports[CHAINS];
    struct tri_node_options options;
    struct tri_node *node = NULL;
    char trouble[TRI_TROUBLE_BYTES];
    int failed = 0;

    options_of(&options, ports, chain);
    failed = tri_node_open(&options, &node, trouble);
    if (failed != 0) {
        (void)printf("# %s\n", trouble);
    }
    assert(failed == 0);
    return node;
}

static uint32_t entries_of(const char *folder)
{
    DIR *open = opendir(folder);
    uint32_t count = 0;

    assert(open != NULL);
    while (readdir(open) != NULL) {
        count++;
    }
    (void)closedir(open);
    return count;
}

static void submit(struct tri_handle *handle, const char *id, uint64_t cookie)
{
    struct tri_message message = {.id = {id, (uint32_t)strlen(id)},
                                  .type = TRI_TYPE_STATE_SYNC,
                                  .atomicity = TRI_GUARANTEED,
                                  .ttl_s = 60,
                                  .timestamp_ms = (uint64_t)time(NULL) * 1000,
                                  .source_chain = chains[0].id,
                                  .source_node = {"n", 1},
                                  .target_count = CHAINS,
                                  .targets = {chains[0].id, chains[1].id},
                                  .asset_count = 1,
                                  .assets = {{"a", 1}}};
    enum tri_result result = tri_handle_submit(handle, &message, cookie);

    assert(result == TRI_OK);
}

/* Waits for the last news of one submit. */
static struct tri_news end_of(struct tri_handle *handle)
{
    struct tri_news news;

    do {
        while (tri_handle_poll(handle, &news, 1) == 0) {
            (void)tri_handle_wait(handle, -1);
        }
    } while (news.kind != TRI_NEWS_ENDED);
    return news;
}

static struct tri_handle *handle_of(struct tri_node *node)
{
    struct tri_handle *handle = NULL;
    enum tri_result opened = tri_handle_open(node, &handle);

    assert(opened == TRI_OK);
    return handle;
}

/* ---- options ---- */

static void is_named(struct tri_node_options *options, const char *expected)
{
    struct tri_node *node = NULL;
    char trouble[TRI_TROUBLE_BYTES] = "";
    int result = tri_node_open(options, &node, trouble);

    tri_tap_ok(result == TRI_VIOLATION && node == NULL && strcmp(trouble, expected) == 0,
               "refused with \"%s\"", expected);
    if (strcmp(trouble, expected) != 0) {
        (void)printf("# %s\n", trouble);
    }
}

static void test_options(void)
{
    static struct chain chain;
    struct tri_chain_port ports[CHAINS];
    struct tri_node_options options;
    uint32_t before = entries_of("/proc/self/fd");

#define NAMED(change, sentence)              \
    do {                                     \
        options_of(&options, ports, &chain); \
        change;                              \
        is_named(&options, sentence);        \
    } while (0)
    NAMED(options.shards = 65, "shards: must be 0..64");
    NAMED(options.handles_max = 0, "handles_max: must be 1..64");
    NAMED(options.handles_max = 65, "handles_max: must be 1..64");
    NAMED(options.in_flight_max = 0, "in_flight_max: must be 1..2^20");
    NAMED(options.in_flight_max = (1U << 20) + 1, "in_flight_max: must be 1..2^20");
    NAMED(options.ports = NULL, "ports: must be one per chain");
    NAMED(ports[1].handler = NULL, "ports: every chain must have a handler");
    NAMED(options.engine.chain_share_permille = 0, "chain_share_permille: must be 1..1000");
    tri_tap_ok(entries_of("/proc/self/fd") == before, "refused options leave no descriptor open");
}

/* ---- life ---- */

static void test_traces(void)
{
    static struct chain chain;
    uint32_t descriptors = entries_of("/proc/self/fd");
    uint32_t threads = entries_of("/proc/self/task");

    for (uint32_t i = 0; i < 20; i++) {
        struct tri_node *nodes[2] = {node_of(&chain), node_of(&chain)};
        struct tri_handle *handle = handle_of(nodes[1]);

        submit(handle, "m", 1);
        assert(end_of(handle).ack_type == TRI_ACK_PROCESSED);
        if (i % 2 == 0) {
            tri_handle_close(handle);
        }
        (void)tri_node_close(nodes[0], 0);
        (void)tri_node_close(nodes[1], i % 3);
    }
    tri_tap_ok(entries_of("/proc/self/fd") == descriptors, "20 pairs of nodes leave no descriptor");
    tri_tap_ok(entries_of("/proc/self/task") == threads, "and no thread");
}

static void *answer_in_a_while(void *argument)
{
    struct chain *chain = argument;

    while (!atomic_load(&chain->has_ticket)) {
        (void)usleep(1000);
    }
    return NULL;
}

static void test_close(void)
{
    static struct chain chain;
    struct tri_node *node = node_of(&chain);
    struct tri_handle *handle = handle_of(node);
    pthread_t thread;
    int failed = 0;

    atomic_store(&chain.is_later, true);
    submit(handle, "m", 1);
    tri_handle_flush(handle);
    failed = pthread_create(&thread, NULL, answer_in_a_while, &chain);
    assert(failed == 0);
    (void)pthread_join(thread, NULL);
    tri_tap_ok(tri_node_close(node, 20) == 1, "a message that nobody answers is left");

    atomic_store(&chain.has_ticket, false);
    node = node_of(&chain);
    handle = handle_of(node);
    submit(handle, "m", 1);
    tri_handle_flush(handle);
    (void)answer_in_a_while(&chain);
    atomic_store(&chain.is_later, false); /* the redelivery is answered, after its timeout */
    tri_tap_ok(tri_node_close(node, 60000) == 0, "closing waits for what is open to end");
}

static void test_drain(void)
{
    static struct chain chain;
    struct tri_node *node = node_of(&chain);
    struct tri_handle *handle = handle_of(node);
    struct tri_news news;

    tri_node_drain(node);
    submit(handle, "m", 7);
    news = end_of(handle);
    tri_tap_ok(news.cookie == 7 && news.ack_type == TRI_ACK_REJECTED &&
                   news.code == TRI_ERROR_SHUTTING_DOWN,
               "a draining node takes nothing new");
    tri_tap_ok(tri_node_open_count(node) == 0, "nothing is open");
    (void)tri_node_close(node, 0);
}

/* ---- handles ---- */

static void test_waiting(void)
{
    static struct chain chain;
    struct tri_node *node = node_of(&chain);
    struct tri_handle *handle = handle_of(node);
    struct tri_handle *second = handle_of(node);
    struct tri_handle *third = NULL;
    struct pollfd event = {.events = POLLIN};
    struct tri_news news[8];

    tri_tap_ok(tri_handle_open(node, &third) == TRI_FULL, "handles_max are open");
    tri_tap_ok(!tri_handle_wait(handle, 10), "waiting ends with its time");
    event.fd = tri_handle_fd(handle);
    tri_tap_ok(poll(&event, 1, 0) == 0, "the descriptor is quiet");
    submit(handle, "m", 1);
    tri_handle_flush(handle);
    tri_tap_ok(poll(&event, 1, 10000) == 1, "the descriptor says that there is news");
    tri_tap_ok(tri_handle_poll(handle, news, 8) == 3, "the news is there");
    tri_tap_ok(tri_handle_poll(handle, news, 8) == 0, "and no more");
    tri_tap_ok(poll(&event, 1, 0) == 0, "the descriptor is quiet again");
    submit(handle, "n", 2);
    tri_tap_ok(tri_handle_wait(handle, 10000) && tri_handle_wait(handle, 0),
               "waiting ends with news");
    tri_handle_close(second);
    tri_tap_ok(tri_handle_open(node, &third) == TRI_OK, "a closed handle can be opened again");
    (void)tri_node_close(node, 0);
}

static pthread_t main_thread;
static atomic_uint signals_here;
static atomic_uint signals_elsewhere;

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(
        pthread_equal(pthread_self(), main_thread) ? &signals_here : &signals_elsewhere, 1);
}

/* The program's handlers run on its own threads, and an interrupted wait goes on. */
static void test_signals(void)
{
    static struct chain chain;
    struct tri_node *node = node_of(&chain);
    struct tri_handle *handle = handle_of(node);
    struct sigaction action = {.sa_handler = on_signal};
    uint32_t sent = 0;

    main_thread = pthread_self();
    (void)sigaction(SIGUSR1, &action, NULL);
    for (; sent < 50; sent++) {
        (void)kill(getpid(), SIGUSR1);
        submit(handle, (char[]){'m', (char)('0' + (int)sent), 0}, sent);
        assert(end_of(handle).ack_type == TRI_ACK_PROCESSED);
    }
    tri_tap_ok(atomic_load(&signals_here) == sent && atomic_load(&signals_elsewhere) == 0,
               "%u signals were handled by the thread that knows them", sent);
    (void)tri_node_close(node, 0);
}

/* The signals that every thread but this one blocks, as a mask; *threads: how many there are. */
static uint64_t blocked_elsewhere(uint32_t *threads)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *task = NULL;
    uint64_t blocked = UINT64_MAX;

    assert(tasks != NULL);
    *threads = 0;
    while ((task = readdir(tasks)) != NULL) {
        char path[300];
        char line[256];
        FILE *status = NULL;

        if (task->d_name[0] == '.' || strtol(task->d_name, NULL, 10) == getpid()) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", task->d_name);
        status = fopen(path, "re");
        assert(status != NULL);
        while (fgets(line, sizeof(line), status) != NULL) {
            if (strncmp(line, "SigBlk:", 7) == 0) {
                blocked &= strtoull(line + 7, NULL, 16);
                *threads += 1;
            }
        }
        (void)fclose(status);
    }
    (void)closedir(tasks);
    return blocked;
}

static uint64_t mask_of(const int *numbers, uint32_t count)
{
    uint64_t mask = 0;

    for (uint32_t i = 0; i < count; i++) {
        mask |= UINT64_C(1) << (numbers[i] - 1);
    }
    return mask;
}

/* A program that reports its own faults reports those on the library's threads too. */
static void test_masks(void)
{
    static const int own[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
    static const int closed[] = {SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
    static struct chain chain;
    struct tri_node *node = node_of(&chain);
    uint32_t threads = 0;
    uint64_t blocked = blocked_elsewhere(&threads);

    tri_tap_ok(threads == 2 && (blocked & mask_of(closed, 7)) == mask_of(closed, 7) &&
                   (blocked & mask_of(own, 7)) == 0,
               "a shard's thread blocks all signals but those of its own faults");
    (void)tri_node_close(node, 0);
}

static void test_counters(void)
{
    static struct chain chain;
    struct tri_node *node = node_of(&chain);
    struct tri_handle *handle = handle_of(node);
    struct tri_counter_view view;
    uint64_t processed = 0;
    uint32_t names = 0;

    for (uint32_t i = 0; i < 10; i++) {
        submit(handle, (char[]){'m', (char)('0' + (int)i), 0}, i);
        assert(end_of(handle).ack_type == TRI_ACK_PROCESSED);
    }
    tri_handle_close(handle); /* a shard that has let go has counted */
    for (uint32_t shard = 0; shard < tri_node_shard_count(node); shard++) {
        for (uint32_t i = 0; tri_node_counter(node, shard, i, &view); i++) {
            names++;
            processed += strcmp(view.name, "processed") == 0 ? view.value : 0;
        }
    }
    tri_tap_ok(tri_node_shard_count(node) == 2 && names > 80 && processed == 10,
               "counters of both shards can be read");
    (void)tri_node_close(node, 0);
}

int main(void)
{
    (void)alarm(100);
    test_options();
    test_traces();
    test_close();
    test_drain();
    test_waiting();
    test_signals();
    test_masks();
    test_counters();
    return tri_tap_done();
}
