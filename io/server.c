/* SPDX-License-Identifier: Apache-2.0 */
#include "io/server_internal.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io/clock.h"
#include "io/log.h"
#include "io/place.h"

uint64_t tri_server_bytes(const struct tri_house *house)
{
    return tri_net_bytes(&house->net) + sizeof(struct tri_server) +
           (uint64_t)house->net.connections_max * sizeof(struct server_connection);
}

static void server_refusal_make(struct tri_house *house)
{
    const char *meaning = tri_error_meaning(TRI_ERROR_TOO_MANY_CONNECTIONS);
    struct tri_frame frame = {
        .type = TRI_FRAME_ERROR,
        .error = {.id = {"", 0},
                  .code = TRI_ERROR_TOO_MANY_CONNECTIONS,
                  .detail = {meaning, (uint32_t)strlen(meaning)}},
    };

    house->refusal_bytes = tri_wire_encode(&frame, house->refusal, sizeof(house->refusal));
    assert(house->refusal_bytes > 0);
}

int tri_server_open(struct tri_house *house, uint32_t shard, const char **advice,
                    char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    uint64_t bytes = sizeof(struct tri_server) +
                     (uint64_t)house->net.connections_max * sizeof(struct server_connection);
    struct tri_net_options net = house->net;
    struct tri_server *server = NULL;
    int failed = 0;

    assert(shard < house->shards && house->servers[shard] == NULL);
    server = tri_place_map(bytes);
    if (server == NULL) {
        *advice = "no memory for the connections: lower capacities.connections";
        return -ENOMEM;
    }
    server->house = house;
    server->index = shard;
    server->shard = tri_shard_set_at(house->set, shard);
    server->memory_bytes = bytes;
    server->connections = (struct server_connection *)(void *)(server + 1);
    server->greeted_first = SERVER_NONE;
    server->quiet_since_ns = TRI_NEVER;
    house->servers[shard] = server;
    failed = tri_loop_init(&server->loop, SERVER_ENTRIES, SERVER_COMPLETIONS, advice);
    if (failed == 0) {
        net.shard = shard;
        failed =
            tri_net_init(&server->net, &net, &server->loop, &tri_server_net_ops, server, advice);
    }
    if (failed != 0) {
        return failed;
    }
    failed = tri_server_journal_open(server, trouble);
    if (failed != 0) {
        *advice = trouble;
        return failed;
    }
    server_refusal_make(house);
    tri_net_refusal_set(server->net, house->refusal, house->refusal_bytes);
    tri_shard_attach(server->shard, &tri_server_port_ops, server);
    return 0;
}

int tri_server_listen(struct tri_server *server, const char *address, uint16_t *port)
{
    return tri_net_listen(server->net, address, port);
}

void tri_server_close(struct tri_server *server)
{
    if (server == NULL) {
        return;
    }
    tri_loop_fini(&server->loop);
    tri_net_fini(server->net);
    server->house->servers[server->index] = NULL;
    tri_place_unmap(server, server->memory_bytes);
}

void tri_server_wake(struct tri_server *server, struct tri_loop *loop)
{
    tri_loop_wake(loop, &server->loop);
}

const struct tri_server_counters *tri_server_counters(const struct tri_server *server)
{
    return &server->counters;
}

const struct tri_net *tri_server_net(const struct tri_server *server)
{
    return server->net;
}

/* Stages.  Shard 0 moves the house on; every shard follows at its next turn. */

static enum tri_stage server_house_stage(const struct tri_server *server)
{
    /* pairs with the release in server_advance */
    return (enum tri_stage)atomic_load_explicit(&server->house->stage, memory_order_acquire);
}

static void server_wake_others(struct tri_server *server)
{
    for (uint32_t shard = 0; shard < server->house->shards; shard++) {
        if (shard != server->index) {
            tri_loop_wake(&server->loop, &server->house->servers[shard]->loop);
        }
    }
}

static void server_advance(struct tri_server *server, enum tri_stage stage)
{
    assert(stage > server_house_stage(server));
    /* pairs with the acquire in server_house_stage */
    atomic_store_explicit(&server->house->stage, (uint32_t)stage, memory_order_release);
    server_wake_others(server);
}

static void server_signal_arm(struct tri_server *server)
{
    struct io_uring_sqe *request = NULL;

    if (server->index != 0 || server->house->signals < 0) {
        return;
    }
    request = tri_loop_request(&server->loop);
    io_uring_prep_read(request, server->house->signals, &server->signal, sizeof(server->signal), 0);
    request->user_data = TRI_LOOP_DATA(SERVER_KIND_SIGNAL, 0);
}

/* The first signal drains, the second one stops. */
static void server_signalled(struct tri_server *server, int32_t result)
{
    if (result == (int32_t)sizeof(server->signal)) {
        bool is_first = server_house_stage(server) == TRI_STAGE_RUN;

        TRI_LOG(TRI_LOG_INFO, "signal", "signal=%u action=%s", server->signal.ssi_signo,
                is_first ? "drain" : "stop");
        server_advance(server, is_first ? TRI_STAGE_DRAIN : TRI_STAGE_STOP);
    }
    if (server_house_stage(server) != TRI_STAGE_STOP) {
        server_signal_arm(server);
    }
}

static void server_enter_stage(struct tri_server *server, enum tri_stage stage)
{
    server->stage = stage;
    if (stage >= TRI_STAGE_DRAIN) {
        tri_net_listen_end(server->net);
        tri_shard_drain(server->shard);
        server->drain_until_ns = server->now_ns + server->house->drain_ms * TRI_NS_PER_MS;
    }
    if (stage >= TRI_STAGE_CLOSE) {
        tri_net_close_all(server->net, false);
        server->close_until_ns = server->now_ns + SERVER_CLOSE_NS;
        if (server->journal != NULL) {
            tri_journal_end(server->journal);
        }
    }
}

/* Shard 0: has the drain come to its end? */
static void server_drain_judge(struct tri_server *server)
{
    struct tri_house *house = server->house;
    uint64_t open = 0;

    for (uint32_t shard = 0; shard < house->shards; shard++) {
        open += atomic_load_explicit(&house->open_counts[shard], memory_order_relaxed);
    }
    if (open > 0) {
        server->quiet_since_ns = TRI_NEVER;
        if (server->now_ns >= server->drain_until_ns) {
            TRI_LOG(TRI_LOG_WARN, "drain-ended", "reason=drainMs open=%llu",
                    (unsigned long long)open);
            server_advance(server, TRI_STAGE_CLOSE);
        }
    } else if (server->quiet_since_ns == TRI_NEVER) {
        server->quiet_since_ns = server->now_ns;
    } else if (server->now_ns - server->quiet_since_ns >= SERVER_DRAIN_QUIET_NS) {
        TRI_LOG(TRI_LOG_INFO, "drained", "open=0");
        server_advance(server, TRI_STAGE_CLOSE);
    }
}

/* Returns false when this server is done. */
static bool server_stages(struct tri_server *server)
{
    enum tri_stage stage = server_house_stage(server);

    if (stage != server->stage && stage != TRI_STAGE_STOP) {
        server_enter_stage(server, stage);
    }
    if (stage == TRI_STAGE_DRAIN) {
        atomic_store_explicit(&server->house->open_counts[server->index],
                              tri_shard_ending_count(server->shard), memory_order_relaxed);
        if (server->index == 0) {
            server_drain_judge(server);
        }
    }
    if (stage == TRI_STAGE_CLOSE) {
        bool is_done = tri_net_count(server->net) == 0 &&
                       (server->journal == NULL || tri_journal_is_ended(server->journal));

        return !is_done && server->now_ns < server->close_until_ns;
    }
    return stage != TRI_STAGE_STOP;
}

/* Turns. */

static void server_complete(void *context, uint64_t user_data, int32_t result, uint32_t flags)
{
    struct tri_server *server = context;
    uint32_t kind = TRI_LOOP_KIND(user_data);

    if (kind == TRI_LOOP_KIND_WAKE) {
        return;
    }
    if (kind <= TRI_LOOP_KIND_NET_MAX) {
        tri_net_complete(server->net, user_data, result, flags, server->now_ns);
    } else if (kind == SERVER_KIND_JOURNAL) {
        tri_journal_complete(server->journal, user_data, result);
    } else if (kind == SERVER_KIND_HANDOVER) {
        tri_server_take_over(server, (uint32_t)user_data, (uint32_t)result);
    } else {
        assert(kind == SERVER_KIND_SIGNAL);
        server_signalled(server, result);
    }
}

/* Blocks until there is something to do, unless there is already. */
static void server_rest(struct tri_server *server)
{
    uint64_t due_ns = tri_shard_deadline_ns(server->shard);
    uint64_t net_ns = tri_net_deadline_ns(server->net);
    uint64_t now_ns = tri_clock_now_ns();

    due_ns = net_ns < due_ns ? net_ns : due_ns;
    if (server->journal != NULL && tri_journal_deadline_ns(server->journal) < due_ns) {
        due_ns = tri_journal_deadline_ns(server->journal);
    }
    if (tri_shard_archive_due_ns(server->shard, now_ns) < due_ns) {
        due_ns = tri_shard_archive_due_ns(server->shard, now_ns);
    }
    if (tri_net_is_stalled(server->net) && now_ns + SERVER_STALL_NS < due_ns) {
        due_ns = now_ns + SERVER_STALL_NS;
    }
    if (server->stage != TRI_STAGE_RUN && now_ns + SERVER_DRAIN_POLL_NS < due_ns) {
        due_ns = now_ns + SERVER_DRAIN_POLL_NS;
    }
    if (due_ns <= now_ns || !tri_shard_sleep(server->shard)) {
        tri_loop_submit(&server->loop);
        return;
    }
    server_count(&server->counters.sleeps);
    tri_loop_wait(&server->loop, due_ns == TRI_NEVER ? TRI_NEVER : due_ns - now_ns);
    tri_shard_awake(server->shard);
}

static bool server_turn(struct tri_server *server)
{
    uint32_t work = 0;
    bool goes_on = false;

    server->now_ns = tri_clock_now_ns();
    server->wall_ms = tri_clock_wall_ms();
    server->turn_hellos = 0;
    work += tri_loop_reap(&server->loop, server_complete, server);
    work += tri_net_retry(server->net);
    work += tri_server_finality_turn(server);
    work += tri_shard_turn(server->shard, server->now_ns, server->wall_ms);
    tri_server_greet(server);
    goes_on = server_stages(server);
    tri_server_journal_turn(server);
    tri_net_flush(server->net, server->now_ns);
    atomic_store_explicit(&server->counters.kernel_enters, server->loop.enters,
                          memory_order_relaxed);
    if (work > 0 || !goes_on) {
        tri_loop_submit(&server->loop);
    } else {
        server_rest(server);
    }
    return goes_on;
}

void tri_server_give_up(struct tri_house *house, uint32_t count)
{
    atomic_store_explicit(&house->failed, 1, memory_order_relaxed);
    /* pairs with the acquire in server_house_stage */
    atomic_store_explicit(&house->stage, TRI_STAGE_STOP, memory_order_release);
    /* pairs with the acquire in server_begin */
    (void)atomic_fetch_add_explicit(&house->begun, count, memory_order_release);
}

/* A shard that cannot run has no ring to wake others with, and a ring takes no message before its
 * thread has enabled it.  So nobody takes a turn, and sleeps, before all have come this far. */
static void server_begin(struct tri_server *server)
{
    struct tri_house *house = server->house;

    (void)atomic_fetch_add_explicit(&house->begun, 1, memory_order_release);
    /* pairs with the releases here and in tri_server_give_up */
    while (atomic_load_explicit(&house->begun, memory_order_acquire) < house->shards) {
        struct timespec pause = {.tv_sec = 0, .tv_nsec = SERVER_BEGIN_POLL_NS};

        (void)nanosleep(&pause, NULL);
    }
}

void tri_server_run(struct tri_server *server)
{
    int failed = 0;

    assert(server != NULL);
    (void)tri_place_pin(server->index);
    server->now_ns = tri_clock_now_ns();
    failed = tri_loop_enable(&server->loop);
    if (failed != 0) {
        TRI_LOG(TRI_LOG_ERROR, "failed", "shard=%u reason=\"io_uring cannot be enabled: %s\"",
                server->index, strerror(-failed));
        tri_server_give_up(server->house, 1);
        return;
    }
    server_begin(server);
    if (server_house_stage(server) == TRI_STAGE_STOP) {
        return; /* another one cannot run */
    }
    server_signal_arm(server);
    while (server_turn(server)) {
        /* the turn is all */
    }
}
