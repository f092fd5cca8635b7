/* SPDX-License-Identifier: Apache-2.0 */
#include "io/embed.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "io/clock.h"
#include "io/place.h"
#include "io/secret.h"

#define RUNNER_ENTRIES     64U
#define RUNNER_COMPLETIONS 256U
#define RUNNER_KIND_BELL   16U
#define NODE_CLOSE_POLL_NS (1L * 1000 * 1000)

enum node_stage {
    NODE_RUN = 0,
    NODE_DRAIN = 1, /* open messages may end; runners say how many are left */
    NODE_STOP = 2,
};

static enum node_stage node_stage(const struct tri_node *node)
{
    /* pairs with the release in node_advance */
    return (enum node_stage)atomic_load_explicit(&node->stage, memory_order_acquire);
}

/* ---- runners ---- */

static void runner_ring(const struct tri_runner *runner)
{
    uint64_t one = 1;
    ssize_t written = write(runner->bell, &one, sizeof(one));

    assert(written == (ssize_t)sizeof(one) || errno == EAGAIN); /* full: it rings already */
}

static void node_wake(void *context, uint32_t shard)
{
    const struct tri_node *node = context;

    assert(shard < node->shards);
    runner_ring(&node->runners[shard]);
}

/* A node in a program has no connections. */
static uint8_t *node_port_reserve(void *context, tri_port port, uint32_t bytes)
{
    (void)context;
    (void)port;
    (void)bytes;
    return NULL;
}

static void node_port_commit(void *context, tri_port port, uint32_t bytes)
{
    (void)context;
    (void)port;
    (void)bytes;
    assert(false);
}

static void node_port_close(void *context, tri_port port, enum tri_error why)
{
    (void)context;
    (void)port;
    (void)why;
    assert(false);
}

static void node_port_welcome(void *context, tri_port port, uint16_t chain)
{
    (void)context;
    (void)port;
    (void)chain;
    assert(false);
}

static const struct tri_port_ops node_port_ops = {
    .reserve = node_port_reserve,
    .commit = node_port_commit,
    .close = node_port_close,
    .welcome = node_port_welcome,
    .wake = node_wake,
};

static void runner_complete(void *context, uint64_t user_data, int32_t result, uint32_t flags)
{
    struct tri_runner *runner = context;

    (void)flags;
    assert(TRI_LOOP_KIND(user_data) == RUNNER_KIND_BELL);
    assert(result == (int32_t)sizeof(runner->rings) || result == -EINTR || result == -EAGAIN);
    runner->is_armed = false;
}

static void runner_arm(struct tri_runner *runner)
{
    struct io_uring_sqe *request = NULL;

    if (runner->is_armed) {
        return;
    }
    request = tri_loop_request(&runner->loop);
    io_uring_prep_read(request, runner->bell, &runner->rings, sizeof(runner->rings), 0);
    request->user_data = TRI_LOOP_DATA(RUNNER_KIND_BELL, 0);
    runner->is_armed = true;
}

/* Sleeps until there is something to do, unless there is already. */
static void runner_rest(struct tri_runner *runner)
{
    uint64_t due_ns = tri_shard_deadline_ns(runner->shard);
    uint64_t now_ns = tri_clock_now_ns();

    if (due_ns <= now_ns) {
        return;
    }
    runner_arm(runner);
    if (tri_shard_sleep(runner->shard)) {
        tri_loop_wait(&runner->loop, due_ns == TRI_NEVER ? TRI_NEVER : due_ns - now_ns);
        tri_shard_awake(runner->shard);
    }
}

static bool runner_turn(struct tri_runner *runner)
{
    enum node_stage stage = node_stage(runner->node);
    uint32_t work = 0;

    if (stage == NODE_STOP) {
        return false;
    }
    (void)tri_loop_reap(&runner->loop, runner_complete, runner);
    work = tri_shard_turn(runner->shard, tri_clock_now_ns(), tri_clock_wall_ms());
    if (stage == NODE_DRAIN) {
        atomic_store_explicit(&runner->left_count,
                              work > 0 ? UINT32_MAX : tri_shard_open_count(runner->shard),
                              memory_order_relaxed);
    }
    if (work == 0) {
        runner_rest(runner);
    }
    return true;
}

static void *runner_main(void *context)
{
    struct tri_runner *runner = context;

    if (runner->node->pins_threads) {
        (void)tri_place_pin(runner->index); /* where it cannot be, it runs wherever it may */
    }
    runner->failed = tri_loop_enable(&runner->loop);
    (void)sem_post(&runner->node->has_begun);
    while (runner->failed == 0 && runner_turn(runner)) {
        /* the turn is all */
    }
    return NULL;
}

/* ---- life ---- */

static void node_advance(struct tri_node *node, enum node_stage stage)
{
    /* pairs with the acquire in node_stage */
    atomic_store_explicit(&node->stage, (uint32_t)stage, memory_order_release);
    for (uint32_t i = 0; i < node->shards; i++) {
        runner_ring(&node->runners[i]);
    }
}

/* Accepts a node at any stage of its opening. */
static void node_end(struct tri_node *node)
{
    if (node->begun > 0) {
        node_advance(node, NODE_STOP);
    }
    for (uint32_t i = 0; i < node->begun; i++) {
        (void)pthread_join(node->runners[i].thread, NULL);
    }
    for (uint32_t i = 0; node->runners != NULL && i < node->shards; i++) {
        tri_loop_fini(&node->runners[i].loop);
        if (node->runners[i].bell >= 0) {
            (void)close(node->runners[i].bell);
        }
    }
    tri_node_events_close(node);
    (void)sem_destroy(&node->has_begun);
    tri_place_unmap(node->set_memory, node->set_bytes);
    free(node->runners);
    free(node);
}

static int node_trouble(char trouble[TRI_TROUBLE_BYTES], const char *what, int failed)
{
    if (failed > 0) {
        (void)snprintf(trouble, TRI_TROUBLE_BYTES, "%s", what);
    } else {
        char reason[64];

        (void)snprintf(trouble, TRI_TROUBLE_BYTES, "%s (%s)", what,
                       strerror_r(-failed, reason, sizeof(reason)));
    }
    return failed;
}

/* What is wrong with options that tri_shard_set_check() does not know; NULL if nothing is. */
static const char *node_check(const struct tri_node_options *options)
{
    if (options->shards > TRI_NODE_SHARDS_MAX) {
        return "shards: must be 0..64";
    }
    if (options->handles_max < 1 || options->handles_max > TRI_HANDLES_MAX) {
        return "handles_max: must be 1..64";
    }
    if (options->ports == NULL) {
        return "ports: must be one per chain";
    }
    for (uint32_t i = 0; i < options->engine.chain_count; i++) {
        if (options->ports[i].handler == NULL) {
            return "ports: every chain must have a handler";
        }
    }
    return NULL;
}

static uint32_t node_shards(const struct tri_node_options *options)
{
    uint32_t cpus = 0;

    if (options->shards != 0) {
        return options->shards;
    }
    cpus = tri_place_cpus();
    return cpus < TRI_NODE_SHARDS_MAX ? cpus : TRI_NODE_SHARDS_MAX;
}

static int node_set_options(const struct tri_node_options *options,
                            struct tri_shard_set_options *set)
{
    static const uint8_t none[sizeof(set->hash_secret)];

    *set = (struct tri_shard_set_options){
        .shards = node_shards(options),
        .engine = options->engine,
        .ports = options->ports,
        .handles_max = options->handles_max,
        .in_flight_max = options->in_flight_max,
    };
    if (set->engine.epoch == 0) {
        set->engine.epoch = (uint32_t)(tri_clock_wall_ms() / 1000);
    }
    memcpy(set->hash_secret, options->hash_secret, sizeof(set->hash_secret));
    if (memcmp(set->hash_secret, none, sizeof(none)) == 0) {
        return tri_secret_random(set->hash_secret, sizeof(set->hash_secret));
    }
    return 0;
}

/* Everything but the threads. */
static int node_build(struct tri_node *node, const struct tri_shard_set_options *options,
                      char trouble[TRI_TROUBLE_BYTES])
{
    const char *advice = NULL;
    size_t tables_at = 0;
    int failed = 0;

    node->set_bytes = tri_shard_set_footprint(options);
    node->set_memory = tri_place_map(node->set_bytes);
    if (node->set_memory == NULL) {
        return node_trouble(trouble, "no memory for the tables: lower the capacities", -ENOMEM);
    }
    tables_at = tri_shard_set_tables_at(options);
    tri_place_scatter(node->set_memory, tables_at);
    failed = tri_place_fill((uint8_t *)node->set_memory + tables_at, node->set_bytes - tables_at);
    if (failed != 0) {
        return node_trouble(trouble, "the machine lacks memory: lower the capacities", failed);
    }
    node->set = tri_shard_set_init(node->set_memory, options);
    tri_handles_attach(node->set, &tri_node_handle_ops, node);
    node->runners = aligned_alloc(TRI_CACHE_LINE, node->shards * sizeof(struct tri_runner));
    if (node->runners == NULL) {
        return node_trouble(trouble, "no memory for the shards", -ENOMEM);
    }
    memset(node->runners, 0, node->shards * sizeof(struct tri_runner));
    for (uint32_t i = 0; i < node->shards; i++) {
        node->runners[i].bell = -1;
    }
    for (uint32_t i = 0; i < node->shards; i++) {
        struct tri_runner *runner = &node->runners[i];

        runner->node = node;
        runner->index = i;
        runner->shard = tri_shard_set_at(node->set, i);
        atomic_init(&runner->left_count, UINT32_MAX);
        tri_shard_attach(runner->shard, &node_port_ops, node);
        runner->bell = eventfd(0, EFD_CLOEXEC);
        if (runner->bell < 0) {
            return node_trouble(trouble, "no eventfd for a shard: raise `ulimit -n`", -errno);
        }
        failed = tri_loop_init(&runner->loop, RUNNER_ENTRIES, RUNNER_COMPLETIONS, &advice);
        if (failed != 0) {
            return node_trouble(trouble, advice, failed);
        }
    }
    failed = tri_node_events_open(node);
    return failed == 0
               ? 0
               : node_trouble(trouble, "no eventfd for a handle: raise `ulimit -n`", failed);
}

/* Signals are the program's: its handlers run on its own threads.  Only what a thread does to
 * itself stays open, so that a program that reports its faults reports these too. */
static int node_begin(struct tri_node *node, char trouble[TRI_TROUBLE_BYTES])
{
    static const int own[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
    sigset_t all;
    sigset_t before;
    int failed = 0;

    (void)sigfillset(&all);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        (void)sigdelset(&all, own[i]);
    }
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (failed == 0 && node->begun < node->shards) {
        struct tri_runner *runner = &node->runners[node->begun];

        failed = pthread_create(&runner->thread, NULL, runner_main, runner);
        node->begun += failed == 0 ? 1 : 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    for (uint32_t i = 0; i < node->begun; i++) {
        while (sem_wait(&node->has_begun) != 0) {
            assert(errno == EINTR);
        }
    }
    if (failed != 0) {
        return node_trouble(trouble, "no thread for a shard: raise `ulimit -u`", -failed);
    }
    for (uint32_t i = 0; i < node->begun; i++) {
        if (node->runners[i].failed != 0) {
            return node_trouble(trouble, "io_uring cannot be enabled", node->runners[i].failed);
        }
    }
    return 0;
}

int tri_node_open(const struct tri_node_options *options, struct tri_node **node,
                  char trouble[TRI_TROUBLE_BYTES])
{
    struct tri_shard_set_options set;
    const char *wrong = node_check(options);
    struct tri_node *made = NULL;
    int failed = 0;

    if (wrong == NULL) {
        failed = node_set_options(options, &set);
        if (failed != 0) {
            return node_trouble(trouble, "no random bytes for the hash secret", failed);
        }
        wrong = tri_shard_set_check(&set);
    }
    if (wrong != NULL) {
        return node_trouble(trouble, wrong, TRI_VIOLATION);
    }
    made = calloc(1, sizeof(*made));
    if (made == NULL) {
        return node_trouble(trouble, "no memory for the node", -ENOMEM);
    }
    made->shards = set.shards;
    made->handles_max = set.handles_max;
    made->pins_threads = options->pins_threads;
    for (uint32_t i = 0; i < TRI_HANDLES_MAX; i++) {
        made->events[i] = -1;
    }
    (void)sem_init(&made->has_begun, 0, 0);
    atomic_init(&made->stage, NODE_RUN);
    failed = node_build(made, &set, trouble);
    if (failed == 0) {
        failed = node_begin(made, trouble);
    }
    if (failed != 0) {
        node_end(made);
        return failed;
    }
    *node = made;
    return 0;
}

void tri_node_drain(struct tri_node *node)
{
    tri_shard_set_drain(node->set);
    for (uint32_t i = 0; i < node->shards; i++) {
        runner_ring(&node->runners[i]);
    }
}

uint64_t tri_node_open_count(const struct tri_node *node)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < node->shards; i++) {
        count += tri_shard_set_open_count(node->set, i);
    }
    return count;
}

static bool node_is_empty(const struct tri_node *node)
{
    for (uint32_t i = 0; i < node->shards; i++) {
        if (atomic_load_explicit(&node->runners[i].left_count, memory_order_relaxed) != 0) {
            return false;
        }
    }
    return true;
}

uint64_t tri_node_close(struct tri_node *node, uint32_t drain_ms)
{
    uint64_t until_ns = tri_clock_now_ns() + drain_ms * TRI_NS_PER_MS;
    uint64_t left = 0;

    tri_shard_set_drain(node->set);
    if (drain_ms > 0) {
        node_advance(node, NODE_DRAIN);
    }
    while (tri_clock_now_ns() < until_ns && !node_is_empty(node)) {
        struct timespec pause = {.tv_sec = 0, .tv_nsec = NODE_CLOSE_POLL_NS};

        (void)nanosleep(&pause, NULL);
    }
    node_advance(node, NODE_STOP);
    for (uint32_t i = 0; i < node->begun; i++) {
        (void)pthread_join(node->runners[i].thread, NULL);
        left += tri_shard_open_count(node->runners[i].shard);
    }
    node->begun = 0;
    node_end(node);
    return left;
}

bool tri_node_counter(const struct tri_node *node, uint32_t shard, uint32_t index,
                      struct tri_counter_view *view)
{
    assert(shard < node->shards);
    return tri_shard_set_counter_next(node->set, shard, &index, view);
}

uint32_t tri_node_shard_count(const struct tri_node *node)
{
    return node->shards;
}

void tri_node_defaults(struct tri_node_options *options)
{
    static const uint32_t bodies[TRI_ENGINE_BODY_CLASSES] = {65536, 16384, 4096, 512, 128};
    struct tri_engine_options *engine = &options->engine;

    *options = (struct tri_node_options){
        .shards = 0,
        .pins_threads = false,
        .handles_max = 16,
        .in_flight_max = 4096,
    };
    engine->rounds_max = 65536;
    engine->dedup_entries_max = 1048576;
    memcpy(engine->body_counts, bodies, sizeof(bodies));
    engine->waiters_max = 65536;
    engine->map_version = 1;
    for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
        for (uint32_t subtype = 0; subtype < TRI_SUBTYPE_COUNT; subtype++) {
            engine->policies[type][subtype] = (struct tri_engine_policy){
                .retries_max = subtype == TRI_SUBTYPE_EXECUTE ? 7 : 5, /* R03 */
                .backoff_initial_ms = 1000,
                .backoff_max_ms = 60000,
                .multiplier_permille = 2000,
                .jitter_permille = 200,
                .dedup_window_ms = 900000,
            };
        }
    }
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        engine->timeout_ms[phase] = phase == TRI_PHASE_COMMIT ? 10000 : 5000; /* P08 */
        engine->timeout_ms_max[phase] = 60000;
    }
    engine->rollback_window_ms = 60000; /* A07 */
    engine->clock_allowance_ms = 5000;
    engine->chain_share_permille = 500;
}
