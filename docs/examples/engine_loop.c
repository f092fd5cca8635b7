/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine in a loop of the caller's own, in virtual time: no thread, no
 * socket, no clock.  A thousand messages go to three chains; the third never
 * gets the first PREPARE of every hundredth one, which the engine finds out by
 * its timeout and mends with a second attempt.  Virtual seconds pass in
 * milliseconds, and every run is the same.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tricast.h>
#include <tricast_engine.h>

#define NS_PER_MS UINT64_C(1000000)
#define START_NS  (1000 * NS_PER_MS)
#define START_MS  UINT64_C(1700000000000) /* the wall clock's time at START_NS */

enum { MESSAGES = 1000, LOST_EVERY = 100, CHAINS = 3, WIRE_MAX = 4 * MESSAGES };

/* Orders on their way to a chain and their answers on the way back take the same time, so a wire
 * is a queue. */
struct wire {
    uint32_t first, count;
    struct {
        uint64_t due_ns; /* when the answer arrives */
        struct tri_ticket ticket;
    } at[WIRE_MAX];
};

static const struct tri_engine_chain chains[CHAINS] = {
    {{"eip155:1", 8}}, {{"eip155:10", 9}}, {{"eip155:8453", 11}}};
static const uint64_t delay_ns[CHAINS] = {5 * NS_PER_MS, 15 * NS_PER_MS, 40 * NS_PER_MS};

static struct wire wires[CHAINS];
static struct tri_engine *engine;
static uint64_t now_ns = START_NS;
static uint64_t lsn, durable_lsn;
static uint32_t lost, processed, ended;

/* Puts what has to be sent to one chain on its wire.  Everything is copied: what an effect points
 * to is borrowed until the next step. */
static void send_one(const struct tri_effect *effect, uint16_t chain)
{
    struct wire *wire = &wires[chain];
    uint32_t slot = (wire->first + wire->count) % WIRE_MAX;
    struct tri_ticket *ticket = &wire->at[slot].ticket;

    assert(wire->count < WIRE_MAX);
    *ticket = (struct tri_ticket){.key = effect->round.key,
                                  .attempt = effect->send.attempt,
                                  .chain = chain,
                                  .kind = (uint8_t)effect->send.kind,
                                  .id_bytes = (uint8_t)effect->round.id.bytes};
    memcpy(ticket->id, effect->round.id.at, effect->round.id.bytes);
    if (chain == 2 && effect->send.kind == TRI_SEND_PREPARE &&
        TRI_ATTEMPT_N(effect->send.attempt) == 1 &&
        strtoul(ticket->id, NULL, 10) % LOST_EVERY == 0) {
        lost++;
        return;
    }
    wire->at[slot].due_ns = now_ns + delay_ns[chain];
    wire->count++;
}

static void carry_out(const struct tri_effect *effect)
{
    switch (effect->type) {
    case TRI_EFFECT_SEND:
        if (effect->send.is_stray) { send_one(effect, effect->send.chain); }
        for (uint32_t i = 0; i < effect->round.target_count && !effect->send.is_stray; i++) {
            if ((effect->send.targets >> i & 1) != 0) {
                send_one(effect, effect->round.targets[i].chain);
            }
        }
        break;
    case TRI_EFFECT_NOTIFY:
        if (effect->notify.kind == TRI_NOTIFY_ACK && effect->notify.ack_type != TRI_ACK_RECEIVED) {
            processed += effect->notify.ack_type == TRI_ACK_PROCESSED;
            ended++;
        }
        break;
    case TRI_EFFECT_APPEND: /* this program keeps no journal: the record is durable at once */
        lsn = effect->append.lsn;
        break;
    case TRI_EFFECT_DELIVER: /* it takes no envelopes */
        break;
    }
}

/* One event, and what follows from it.  A program with a journal would hold each effect until the
 * record `after_lsn` is durable, and step JOURNAL_DURABLE when its flush has returned. */
static void step(struct tri_event event)
{
    static struct tri_effects effects;

    for (;;) {
        event.now_ns = now_ns;
        event.wall_ms = START_MS + (now_ns - START_NS) / NS_PER_MS;
        (void)tri_engine_step(engine, &event, &effects);
        for (uint32_t i = 0; i < effects.count; i++) { carry_out(&effects.at[i]); }
        if (durable_lsn == lsn) { return; }
        durable_lsn = lsn;
        event = (struct tri_event){.type = TRI_EVENT_JOURNAL_DURABLE, .journal = {.lsn = lsn}};
    }
}

/* The answer to the oldest order on a wire, which is always yes. */
static void answer_one(struct wire *wire)
{
    struct tri_ticket ticket = wire->at[wire->first].ticket;
    struct tri_text id = {ticket.id, ticket.id_bytes};
    struct tri_event event = {.type = TRI_EVENT_PHASE_ACK};
    struct tri_answer answer;

    wire->first = (wire->first + 1) % WIRE_MAX;
    wire->count--;
    (void)tri_answer_accept(&ticket, &answer);
    if (ticket.kind <= TRI_SEND_FINALIZE) {
        event.phase_ack.key = ticket.key;
        event.phase_ack.id = id;
        event.phase_ack.chain = ticket.chain;
        event.phase_ack.phase = (enum tri_phase)ticket.kind;
        event.phase_ack.attempt = ticket.attempt;
        event.phase_ack.type = answer.type;
        event.phase_ack.tokens = (struct tri_bytes){answer.tokens, answer.token_bytes};
    } else {
        event.type = TRI_EVENT_CONTROL_ACK;
        event.control_ack.key = ticket.key;
        event.control_ack.id = id;
        event.control_ack.chain = ticket.chain;
        event.control_ack.kind =
            ticket.kind == TRI_SEND_ABORT ? TRI_CONTROL_ABORT : TRI_CONTROL_ROLLBACK;
        event.control_ack.attempt = ticket.attempt;
        event.control_ack.type = answer.type;
    }
    step(event);
}

static void submit(uint32_t number)
{
    static const uint8_t secret[32] = "a real program takes random ones";
    static uint8_t bytes[TRI_MESSAGE_BYTES_MAX];
    struct tri_message message = {.type = TRI_TYPE_REGULATORY_ACTION,
                                  .atomicity = TRI_GUARANTEED,
                                  .ttl_s = 60,
                                  .source_chain = {"eip155:1", 8},
                                  .source_node = {"engine-loop", 11},
                                  .target_count = CHAINS,
                                  .asset_count = 1,
                                  .assets = {{"bond-1", 6}}};
    struct tri_event event = {.type = TRI_EVENT_SUBMIT, .submit = {.client = 1}};
    struct tri_message encoded;
    struct tri_seed seed;
    const char *field;
    char id[16];

    message.id = (struct tri_text){id, (uint32_t)snprintf(id, sizeof(id), "%u", number)};
    message.timestamp_ms = START_MS + (now_ns - START_NS) / NS_PER_MS;
    for (uint32_t i = 0; i < CHAINS; i++) { message.targets[i] = chains[i].id; }
    if (tri_message_encode(&message, bytes, sizeof(bytes), &encoded, &event.submit.hash, &field) !=
        TRI_OK) {
        fprintf(stderr, "no message: %s\n", field);
        exit(1);
    }
    tri_seed_init(&seed, secret);
    event.submit.key = tri_seed_key(&seed, message.id);
    event.submit.message = &encoded;
    step(event);
}

static bool start(void)
{
    struct tri_node_options defaults;
    struct tri_engine_options options;
    const char *trouble;
    void *memory;

    tri_node_defaults(&defaults);
    options = defaults.engine;
    options.epoch = 1; /* a program that keeps anything raises this at every start */
    options.rounds_max = MESSAGES;
    options.dedup_entries_max = 2 * MESSAGES;
    options.body_counts[0] = MESSAGES;
    options.chains = chains;
    options.chain_count = CHAINS;
    trouble = tri_engine_check(&options);
    if (trouble != NULL) {
        fprintf(stderr, "%s\n", trouble);
        return false;
    }
    memory = aligned_alloc(64, tri_engine_footprint(&options));
    if (memory == NULL) { return false; }
    engine = tri_engine_init(memory, &options);
    for (uint32_t i = 0; i < CHAINS; i++) {
        step((struct tri_event){.type = TRI_EVENT_CHAIN_UP, .chain = {(uint16_t)i, true}});
    }
    return true;
}

int main(void)
{
    uint32_t submitted = 0;

    if (!start()) { return 1; }
    while (ended < MESSAGES || tri_engine_open_count(engine) > 0) {
        uint64_t submit_ns = submitted < MESSAGES ? START_NS + submitted * NS_PER_MS : TRI_NEVER;
        uint64_t next_ns = tri_engine_deadline_ns(engine);
        struct wire *wire = NULL;

        for (uint32_t i = 0; i < CHAINS; i++) {
            if (wires[i].count > 0 && wires[i].at[wires[i].first].due_ns <= next_ns) {
                wire = &wires[i];
                next_ns = wire->at[wire->first].due_ns;
            }
        }
        if (submit_ns <= next_ns) {
            now_ns = submit_ns;
            submit(submitted++);
            continue;
        }
        if (next_ns == TRI_NEVER) { break; } /* nothing can happen any more */
        now_ns = next_ns > now_ns ? next_ns : now_ns;
        if (wire != NULL) {
            answer_one(wire);
        } else {
            step((struct tri_event){.type = TRI_EVENT_TICK});
        }
    }
    printf("%u messages: %u processed, %u PREPAREs lost, %llu redeliveries, %llu virtual ms\n",
           submitted, processed, lost,
           (unsigned long long)tri_engine_counters(engine)->redeliveries,
           (unsigned long long)((now_ns - START_NS) / NS_PER_MS));
    return processed == MESSAGES && lost == MESSAGES / LOST_EVERY ? 0 : 1;
}
