/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a node in this program under threads: every submit has its end and
 * exactly one, however small the rings are, whoever opens and closes handles
 * meanwhile, and whichever thread answers; and the thread sanitizer sees no
 * race.
 *
 * Method: public functions only.  Submitters keep books of what they were told
 * per message.  One chain answers at once, one later from a thread of its own,
 * one now so and now so.  Threads wait for events without a timeout of their
 * own, so a lost wake-up ends in the watchdog.
 */
#undef NDEBUG
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/tap.h"
#include "tricast.h"

#define CHAINS         3U
#define SUBMITTERS     3U
#define TICKETS_MAX    16384U
#define WATCHDOG_S     100U
#define NEWS_RECEIVED  1U
#define NEWS_FINAL     2U
#define NEWS_ENDED     4U
#define NEWS_PROCESSED 8U

static const struct tri_engine_chain chains[CHAINS] = {
    {{"eip155:8453", 11}}, {{"eip155:42161", 12}}, {{"eip155:10", 9}}};

/* Orders that the handlers left for the answering thread. */
static struct desk {
    pthread_mutex_t mutex;
    pthread_cond_t is_filled;
    struct tri_ticket tickets[TICKETS_MAX];
    uint32_t count;
    bool is_closed;
} desk = {.mutex = PTHREAD_MUTEX_INITIALIZER, .is_filled = PTHREAD_COND_INITIALIZER};

static atomic_uint draws;

static enum tri_reply leave_it(const struct tri_ticket *ticket)
{
    (void)pthread_mutex_lock(&desk.mutex);
    assert(desk.count < TICKETS_MAX);
    desk.tickets[desk.count] = *ticket;
    desk.count++;
    (void)pthread_cond_signal(&desk.is_filled);
    (void)pthread_mutex_unlock(&desk.mutex);
    return TRI_REPLY_LATER;
}

static enum tri_reply chain_handler(void *context, const struct tri_order *order,
                                    struct tri_answer *answer)
{
    bool is_later =
        context == &chains[1] || (context == &chains[2] && atomic_fetch_add(&draws, 1) % 3 == 0);

    if (order->ticket.kind <= TRI_SEND_FINALIZE) {
        struct tri_content content;

        tri_order_content(order, &content);
        assert(content.asset_count == 1);
    }
    return is_later ? leave_it(&order->ticket) : tri_answer_accept(&order->ticket, answer);
}

/* Takes one ticket; false: the desk is closed and empty. */
static bool take_it(struct tri_ticket *ticket)
{
    bool is_taken = false;

    (void)pthread_mutex_lock(&desk.mutex);
    while (desk.count == 0 && !desk.is_closed) {
        (void)pthread_cond_wait(&desk.is_filled, &desk.mutex);
    }
    if (desk.count > 0) {
        desk.count--;
        *ticket = desk.tickets[desk.count];
        is_taken = true;
    }
    (void)pthread_mutex_unlock(&desk.mutex);
    return is_taken;
}

static bool desk_is_empty(void)
{
    bool is_empty = false;

    (void)pthread_mutex_lock(&desk.mutex);
    is_empty = desk.count == 0;
    (void)pthread_mutex_unlock(&desk.mutex);
    return is_empty;
}

static void *answer_later(void *argument)
{
    struct tri_node *node = argument;
    struct tri_handle *handle = NULL;
    struct tri_ticket ticket;
    enum tri_result opened = tri_handle_open(node, &handle);

    assert(opened == TRI_OK);
    while (take_it(&ticket)) {
        struct tri_answer answer;

        (void)tri_answer_accept(&ticket, &answer);
        while (tri_handle_answer(handle, &ticket, &answer) != TRI_OK) {
            (void)tri_handle_wait(handle, -1); /* for room */
        }
        if (desk_is_empty()) {
            tri_handle_flush(handle);
        }
    }
    tri_handle_close(handle);
    return NULL;
}

/* ---- submitters ---- */

struct submitter {
    pthread_t thread;
    struct tri_node *node;
    uint32_t index;
    uint32_t messages;
    uint32_t wrong;
    uint32_t fulls;
    bool polls_fd; /* waits with poll(2) on the handle's descriptor */
    uint8_t *told; /* NEWS_*, by message */
};

static void fill(struct tri_message *message, char id[40], uint32_t submitter, uint32_t number)
{
    static const uint8_t payload[64];

    *message = (struct tri_message){.type = TRI_TYPE_REGULATORY_ACTION,
                                    .priority = TRI_PRIORITY_NORMAL,
                                    .atomicity = TRI_GUARANTEED,
                                    .ttl_s = 600,
                                    .timestamp_ms = (uint64_t)time(NULL) * 1000,
                                    .source_chain = {"eip155:1", 8},
                                    .source_node = {"node-1", 6},
                                    .target_count = CHAINS,
                                    .asset_count = 1,
                                    .assets = {{"bond-0001", 9}},
                                    .payload = {payload, number % sizeof(payload)}};
    message->id.at = id;
    message->id.bytes = (uint32_t)snprintf(id, 40, "message-%u-%u", submitter, number);
    for (uint32_t i = 0; i < CHAINS; i++) {
        message->targets[i] = chains[i].id;
    }
}

static void hear(struct submitter *self, const struct tri_news *news, uint32_t *ended)
{
    uint8_t *told = &self->told[news->cookie];
    uint8_t bit = news->kind == TRI_NEWS_RECEIVED ? NEWS_RECEIVED
                  : news->kind == TRI_NEWS_FINAL  ? NEWS_FINAL
                                                  : NEWS_ENDED;

    /* Each once, in this order, none behind the end. */
    self->wrong += news->cookie >= self->messages || news->kind == TRI_NEWS_STATUS ||
                           (*told & ~NEWS_PROCESSED) != bit - 1U
                       ? 1
                       : 0;
    *told |= bit;
    if (news->kind == TRI_NEWS_ENDED) {
        *told |= news->ack_type == TRI_ACK_PROCESSED ? NEWS_PROCESSED : 0;
        ++*ended;
    }
}

static void wait_for_news(const struct submitter *self, struct tri_handle *handle)
{
    if (self->polls_fd) {
        struct pollfd event = {.fd = tri_handle_fd(handle), .events = POLLIN};

        (void)poll(&event, 1, -1);
    } else {
        (void)tri_handle_wait(handle, -1);
    }
}

static void *submit_all(void *argument)
{
    struct submitter *self = argument;
    struct tri_handle *handle = NULL;
    struct tri_message message;
    struct tri_news news[7];
    uint32_t submitted = 0;
    uint32_t ended = 0;
    char id[40];
    enum tri_result opened = tri_handle_open(self->node, &handle);

    assert(opened == TRI_OK);
    while (ended < self->messages) {
        uint32_t count = 0;

        for (; submitted < self->messages; submitted++) {
            fill(&message, id, self->index, submitted);
            if (tri_handle_submit(handle, &message, submitted) != TRI_OK) {
                self->fulls++;
                break;
            }
        }
        do {
            count = tri_handle_poll(handle, news, 7);
            for (uint32_t i = 0; i < count; i++) {
                hear(self, &news[i], &ended);
            }
        } while (count > 0);
        if (ended < self->messages) {
            wait_for_news(self, handle);
        }
    }
    tri_handle_close(handle);
    return NULL;
}

static struct tri_node *node_of(uint32_t shards, uint32_t in_flight, uint32_t messages)
{
    static const struct tri_chain_port ports[CHAINS] = {{chain_handler, (void *)&chains[0]},
                                                        {chain_handler, (void *)&chains[1]},
                                                        {chain_handler, (void *)&chains[2]}};
    struct tri_node_options options;
    struct tri_node *node = NULL;
    char trouble[TRI_TROUBLE_BYTES];

    tri_node_defaults(&options);
    options.shards = shards;
    options.handles_max = 16;
    options.in_flight_max = in_flight;
    /* One shard may get all that is open at once, and nobody is to be refused. */
    options.engine.rounds_max = shards * 2048;
    options.engine.waiters_max = shards * 2048;
    options.engine.dedup_entries_max = 2 * messages + shards * 2048;
    memcpy(options.engine.body_counts, (uint32_t[]){shards * 2048, 64, 0, 0, 0},
           sizeof(options.engine.body_counts));
    options.engine.chains = chains;
    options.engine.chain_count = CHAINS;
    options.engine.chain_share_permille = 1000;
    options.ports = ports;
    desk.is_closed = false;
    if (tri_node_open(&options, &node, trouble) != 0) {
        (void)printf("# %s\n", trouble);
        exit(77);
    }
    return node;
}

static void desk_close(pthread_t answerer)
{
    (void)pthread_mutex_lock(&desk.mutex);
    desk.is_closed = true;
    (void)pthread_cond_broadcast(&desk.is_filled);
    (void)pthread_mutex_unlock(&desk.mutex);
    (void)pthread_join(answerer, NULL);
}

static uint64_t counter_of(const struct tri_node *node, const char *name)
{
    struct tri_counter_view view;
    uint64_t sum = 0;

    for (uint32_t shard = 0; shard < tri_node_shard_count(node); shard++) {
        for (uint32_t i = 0; tri_node_counter(node, shard, i, &view); i++) {
            sum += strcmp(view.name, name) == 0 ? view.value : 0;
        }
    }
    return sum;
}

/* All submitters at once, all messages to their end. */
static void stress(uint32_t shards, uint32_t in_flight, uint32_t messages)
{
    struct tri_node *node = node_of(shards, in_flight, SUBMITTERS * messages);
    struct submitter submitters[SUBMITTERS] = {0};
    pthread_t answerer;
    uint32_t processed = 0;
    uint32_t wrong = 0;
    uint32_t fulls = 0;
    int failed = pthread_create(&answerer, NULL, answer_later, node);

    for (uint32_t i = 0; i < SUBMITTERS; i++) {
        submitters[i] = (struct submitter){
            .node = node, .index = i, .messages = messages, .polls_fd = i % 2 == 1};
        submitters[i].told = calloc(messages, 1);
        assert(submitters[i].told != NULL);
        failed |= pthread_create(&submitters[i].thread, NULL, submit_all, &submitters[i]);
    }
    assert(failed == 0);
    for (uint32_t i = 0; i < SUBMITTERS; i++) {
        (void)pthread_join(submitters[i].thread, NULL);
        wrong += submitters[i].wrong;
        fulls += submitters[i].fulls;
        for (uint32_t k = 0; k < messages; k++) {
            processed += (submitters[i].told[k] & NEWS_PROCESSED) != 0 ? 1 : 0;
        }
        free(submitters[i].told);
    }
    desk_close(answerer);
    tri_tap_ok(processed == SUBMITTERS * messages && wrong == 0,
               "%u shards, %u in flight: %u messages, each told RECEIVED, FINAL, PROCESSED once",
               shards, in_flight, SUBMITTERS * messages);
    tri_tap_ok(fulls > 0, "%u shards, %u in flight: submitters met a full ring", shards, in_flight);
    tri_tap_ok(counter_of(node, "news_dropped") == 0 && tri_node_close(node, 0) == 0,
               "%u shards, %u in flight: nothing was dropped or left", shards, in_flight);
}

/* ---- handles that come and go ---- */

struct visitor {
    pthread_t thread;
    struct tri_node *node;
    uint32_t index;
    uint32_t visits;
    uint32_t submitted;
};

static void *visit(void *argument)
{
    struct visitor *self = argument;

    for (uint32_t i = 0; i < self->visits; i++) {
        struct tri_handle *handle = NULL;
        struct tri_message message;
        struct tri_news news;
        char id[40];

        if (tri_handle_open(self->node, &handle) != TRI_OK) {
            continue;
        }
        for (uint32_t k = 0; k < i % 5; k++) {
            fill(&message, id, self->index, self->submitted);
            self->submitted += tri_handle_submit(handle, &message, k) == TRI_OK ? 1 : 0;
        }
        if (i % 3 == 0) {
            (void)tri_handle_poll(handle, &news, 1);
        }
        tri_handle_close(handle); /* mostly with messages open */
    }
    return NULL;
}

static void come_and_go(uint32_t shards, uint32_t visits)
{
    struct tri_node *node = node_of(shards, 8, SUBMITTERS * visits * 3);
    struct visitor visitors[SUBMITTERS];
    pthread_t answerer;
    uint64_t submitted = 0;
    uint64_t left = 0;
    int failed = pthread_create(&answerer, NULL, answer_later, node);

    for (uint32_t i = 0; i < SUBMITTERS; i++) {
        visitors[i] = (struct visitor){.node = node, .index = 10 + i, .visits = visits};
        failed |= pthread_create(&visitors[i].thread, NULL, visit, &visitors[i]);
    }
    assert(failed == 0);
    for (uint32_t i = 0; i < SUBMITTERS; i++) {
        (void)pthread_join(visitors[i].thread, NULL);
        submitted += visitors[i].submitted;
    }
    while (counter_of(node, "processed") < submitted) {
        (void)usleep(1000); /* the watchdog ends it */
    }
    desk_close(answerer);
    tri_tap_ok(counter_of(node, "accepted") == submitted && submitted > visits,
               "%u shards: %u handles opened and closed, all that they submitted was processed",
               shards, SUBMITTERS * visits);
    left = tri_node_close(node, 1000);
    tri_tap_ok(left == 0, "%u shards: nothing was left open", shards);
}

/* ---- a node that ends while it works ---- */

static void close_under_load(uint32_t shards, bool is_received, uint32_t drain_ms)
{
    struct tri_node *node = node_of(shards, 256, 4096);
    struct tri_handle *handle = NULL;
    struct tri_message message;
    struct tri_news news;
    uint32_t received = 0;
    uint64_t left = 0;
    char id[40];
    enum tri_result opened = tri_handle_open(node, &handle);

    assert(opened == TRI_OK);
    for (uint32_t i = 0; i < 256; i++) {
        fill(&message, id, 20, i);
        if (tri_handle_submit(handle, &message, i) != TRI_OK) {
            break;
        }
    }
    tri_handle_flush(handle);
    while (is_received && received < 256 && tri_handle_wait(handle, -1)) {
        received += tri_handle_poll(handle, &news, 1);
    }
    left = tri_node_close(node, drain_ms); /* the handle ends with it; nobody answers the tickets */
    tri_tap_ok(is_received ? left == 256 : left <= 256,
               "%u shards: closed after %u ms with %u messages accepted and open", shards, drain_ms,
               received);
    desk.count = 0;
}

int main(void)
{
    (void)alarm(WATCHDOG_S);
    stress(2, 1, 400);
    stress(2, 64, 3000);
    stress(3, 512, 3000);
    stress(1, 512, 3000);
    come_and_go(2, 600);
    come_and_go(3, 300);
    for (uint32_t i = 0; i < 10; i++) {
        close_under_load(2, false, 0);
    }
    close_under_load(2, true, 0);
    close_under_load(2, true, 20);
    return tri_tap_done();
}
