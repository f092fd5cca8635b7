/* SPDX-License-Identifier: Apache-2.0 */
/* A million messages through a node in this program: four threads submit, two chains answer. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <tricast.h>
enum { THREADS = 4, EACH = 250000 };
static const struct tri_engine_chain chains[] = {{{"eip155:1", 8}}, {{"eip155:10", 9}}};
static struct tri_node *node;

static enum tri_reply chain(void *context, const struct tri_order *order, struct tri_answer *answer)
{
    (void)context;
    return tri_answer_accept(&order->ticket, answer);
}

static void *submitter(void *mine)
{
    char id[32];
    struct tri_message message = {.id = {id, 0}, .atomicity = TRI_GUARANTEED, .ttl_s = 3600};
    uint32_t submitted = 0, *processed = mine;
    struct tri_handle *handle;
    struct tri_news news;

    message.timestamp_ms = (uint64_t)time(NULL) * 1000;
    message.source_chain = message.targets[message.target_count++] = chains[0].id;
    message.targets[message.target_count++] = chains[1].id;
    message.source_node = message.assets[message.asset_count++] = (struct tri_text){"bond-1", 6};
    if (tri_handle_open(node, &handle) != TRI_OK) { return NULL; }
    do {
        while (tri_handle_poll(handle, &news, 1) > 0) {
            *processed += news.kind == TRI_NEWS_ENDED && news.ack_type == TRI_ACK_PROCESSED;
        }
        for (; submitted < EACH; submitted++) {
            message.id.bytes = (uint32_t)snprintf(id, sizeof(id), "%p/%u", mine, submitted);
            if (tri_handle_submit(handle, &message, 0) != TRI_OK) { break; } /* full: wait */
        }
    } while (*processed < EACH && tri_handle_wait(handle, 10000));
    return NULL;
}

int main(void)
{
    uint32_t processed[THREADS] = {0}, sum = 0;
    char trouble[TRI_TROUBLE_BYTES];
    struct tri_node_options options;
    pthread_t threads[THREADS];

    tri_node_defaults(&options);
    options.engine.chains = chains;
    options.engine.chain_count = 2;
    options.ports = (struct tri_chain_port[]){{chain, NULL}, {chain, NULL}};
    if (tri_node_open(&options, &node, trouble) != 0) { return puts(trouble), 1; }
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, submitter, &processed[i]) != 0) { return 1; }
    }
    for (int i = 0; i < THREADS; sum += processed[i++]) { pthread_join(threads[i], NULL); }
    printf("%u processed\n", sum);
    return sum == THREADS * EACH && tri_node_close(node, 0) == 0 ? 0 : 1;
}
