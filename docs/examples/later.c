/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain that is slow: its handler does not wait for it, but gives the ticket
 * of each order to a thread of the chain's own, which answers through its own
 * handle when the chain has decided.
 *
 * The tickets travel through a pipe: a ticket is a plain value, and a write of
 * one is whole or not at all.  A chain that cannot take a PREPARE says BUSY and
 * is asked again later.  What it has prepared it must be able to take, so the
 * pipe has room for the orders of all messages in flight.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <threads.h>
#include <time.h>
#include <tricast.h>
#include <unistd.h>

enum { MESSAGES = 2000, IN_FLIGHT = 128, STOP = TRI_SEND_COUNT };
static const struct tri_engine_chain chains[] = {{{"eip155:1", 8}}, {{"eip155:10", 9}}};
static int tickets[2]; /* a pipe: handlers write, the slow chain's thread reads */

/* The quick chain. */
static enum tri_reply answer_now(void *context, const struct tri_order *order,
                                 struct tri_answer *answer)
{
    (void)context;
    return tri_answer_accept(&order->ticket, answer);
}

/* The slow one.  Runs on every shard's thread and must not block: the pipe does not. */
static enum tri_reply answer_later(void *context, const struct tri_order *order,
                                   struct tri_answer *answer)
{
    const struct tri_ticket *ticket = &order->ticket;

    (void)context;
    if (write(tickets[1], ticket, sizeof(*ticket)) != sizeof(*ticket) &&
        ticket->kind == TRI_SEND_PREPARE) {
        return tri_answer_refuse(ticket, TRI_ERROR_BUSY, answer);
    }
    return TRI_REPLY_LATER;
}

/* The slow chain: refuses every tenth message, and thinks about each. */
static void *decide(void *context)
{
    const struct timespec thought = {.tv_nsec = 20000};
    struct tri_handle *handle = context;
    struct tri_ticket ticket;
    struct tri_answer answer;
    struct tri_news news;

    while (read(tickets[0], &ticket, sizeof(ticket)) == sizeof(ticket) && ticket.kind != STOP) {
        (void)thrd_sleep(&thought, NULL);
        if (ticket.kind == TRI_SEND_PREPARE && ticket.id[ticket.id_bytes - 1] == '7') {
            (void)tri_answer_refuse(&ticket, TRI_ERROR_OPERATOR_REFUSED, &answer);
        } else {
            (void)tri_answer_accept(&ticket, &answer);
        }
        while (tri_handle_answer(handle, &ticket, &answer) == TRI_FULL) {
            (void)tri_handle_poll(handle, &news, 1);
        }
        tri_handle_flush(handle);
    }
    return NULL;
}

/* Submits all and reads news until all have ended; *processed and *refused count. */
static void submit_all(struct tri_handle *handle, uint32_t *processed, uint32_t *refused)
{
    char id[16];
    struct tri_message message = {.id = {id, 0}, .atomicity = TRI_GUARANTEED, .ttl_s = 60};
    uint32_t submitted = 0;
    struct tri_news news;

    message.source_chain = message.targets[message.target_count++] = chains[0].id;
    message.targets[message.target_count++] = chains[1].id;
    message.source_node = message.assets[message.asset_count++] = (struct tri_text){"bond-1", 6};
    do {
        while (tri_handle_poll(handle, &news, 1) > 0) {
            if (news.kind == TRI_NEWS_ENDED) {
                *processed += news.ack_type == TRI_ACK_PROCESSED;
                *refused += news.code == TRI_ERROR_OPERATOR_REFUSED;
            }
        }
        for (; submitted < MESSAGES; submitted++) {
            message.id.bytes = (uint32_t)snprintf(id, sizeof(id), "later-%u", submitted);
            message.timestamp_ms = (uint64_t)time(NULL) * 1000;
            if (tri_handle_submit(handle, &message, submitted) != TRI_OK) { break; }
        }
    } while (*processed + *refused < MESSAGES && tri_handle_wait(handle, 10000));
}

int main(void)
{
    const struct tri_chain_port ports[] = {{answer_now, NULL}, {answer_later, NULL}};
    struct tri_node_options options;
    struct tri_handle *handles[2]; /* one per thread that submits or answers */
    char trouble[TRI_TROUBLE_BYTES];
    uint32_t processed = 0, refused = 0;
    struct tri_node *node;
    pthread_t thread;

    if (pipe(tickets) != 0 || fcntl(tickets[1], F_SETFL, O_NONBLOCK) != 0) { return 1; }
    tri_node_defaults(&options);
    options.engine.chains = chains;
    options.engine.chain_count = 2;
    options.ports = ports;
    options.in_flight_max = IN_FLIGHT;
    if (tri_node_open(&options, &node, trouble) != 0) {
        fprintf(stderr, "%s\n", trouble);
        return 1;
    }
    if (tri_handle_open(node, &handles[0]) != TRI_OK ||
        tri_handle_open(node, &handles[1]) != TRI_OK ||
        pthread_create(&thread, NULL, decide, handles[1]) != 0) {
        return 1;
    }
    submit_all(handles[0], &processed, &refused);
    /* The slow chain's thread ends before the node: it holds a handle.  Orders that nobody waits
     * for any more may still be in the pipe. */
    if (write(tickets[1], &(struct tri_ticket){.kind = STOP}, sizeof(struct tri_ticket)) < 0) {
        return 1;
    }
    (void)pthread_join(thread, NULL);
    printf("%u processed, %u refused\n", processed, refused);
    return processed + refused == MESSAGES && refused == MESSAGES / 10 &&
                   tri_node_close(node, 0) == 0
               ? 0
               : 1;
}
