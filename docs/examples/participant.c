/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two chains that keep accounts, each behind a participant: money moves from
 * an account of one to the same account of the other, on both or on neither.
 *
 * The participant knows the protocol: what a second PREPARE is answered, what a
 * tombstone refuses, when a reservation ends.  This file knows the ledger:
 * reserve, apply, undo, release.  Some transfers are refused for lack of money
 * (PREPARE), every fiftieth by the second chain at the last moment (COMMIT), so
 * that what the first has applied is rolled back.  In the end the accounts are
 * compared with what the submitter was told.
 *
 * The handler runs on the thread of every shard.  A message always comes on the
 * same one, so each shard has a participant of its own; the accounts are shared,
 * and one word per account says who holds it.
 */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tricast.h>
#include <tricast_participant.h>

enum { TRANSFERS = 20000, CHAINS = 2, SHARDS = 2, ACCOUNTS = 64, START_MONEY = 1000 };

/* What the reservation of a message is about, by the participant's entry. */
struct pending {
    uint32_t account;
    int32_t change;
};
struct shard {
    struct tri_participant *participant;
    struct tri_participant_effects effects;
    struct pending pending[TRANSFERS];
    uint64_t lsn;
};
struct account {
    atomic_bool is_held;
    int32_t money; /* belongs to who holds the account */
};
struct chain {
    uint32_t number;
    struct account accounts[ACCOUNTS];
    struct shard shards[SHARDS];
};

static const struct tri_engine_chain names[CHAINS] = {{{"eip155:1", 8}}, {{"eip155:10", 9}}};
static struct chain chains[CHAINS];
static int32_t told[CHAINS][ACCOUNTS]; /* the accounts as the submitter was told */

/* A transfer's payload. */
struct transfer {
    uint8_t from; /* the chain that pays */
    uint8_t account;
    uint8_t amount;
    uint8_t is_doomed; /* the second chain refuses its COMMIT */
};

static struct transfer transfer_of(const struct tri_order *order)
{
    struct transfer transfer;
    struct tri_content content;

    tri_order_content(order, &content);
    assert(content.payload.bytes == sizeof(transfer)); /* a real chain refuses: BAD_PAYLOAD */
    memcpy(&transfer, content.payload.at, sizeof(transfer));
    return transfer;
}

/* ---- the ledger ---- */

static enum tri_error ledger_reserve(struct chain *chain, struct pending *pending,
                                     const struct tri_order *order)
{
    struct transfer transfer = transfer_of(order);
    struct account *account = &chain->accounts[transfer.account];

    pending->account = transfer.account;
    pending->change = transfer.from == chain->number ? -transfer.amount : transfer.amount;
    if (atomic_exchange_explicit(&account->is_held, true, memory_order_acquire)) {
        return TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT; /* the message comes again */
    }
    if (account->money + pending->change < 0) {
        atomic_store_explicit(&account->is_held, false, memory_order_release);
        return TRI_ERROR_INVALID_STATE_TRANSITION; /* the message ends */
    }
    return TRI_ERROR_NONE;
}

static enum tri_error ledger_operate(struct chain *chain, struct shard *shard,
                                     const struct tri_participant_effect *effect,
                                     const struct tri_order *order)
{
    struct pending *pending = &shard->pending[effect->entry];
    struct account *account = &chain->accounts[pending->account];

    switch (effect->op) {
    case TRI_LEDGER_RESERVE:
        return ledger_reserve(chain, pending, order);
    case TRI_LEDGER_APPLY:
        if (chain->number == 1 && transfer_of(order).is_doomed) {
            return TRI_ERROR_OPERATOR_REFUSED;
        }
        account->money += pending->change;
        return TRI_ERROR_NONE; /* held until FINALIZE or ROLLBACK */
    case TRI_LEDGER_UNDO:
        account->money -= pending->change;
        break;
    case TRI_LEDGER_RELEASE:
        break;
    default: /* BEST_EFFORT is not used here */
        return TRI_ERROR_NOT_ALLOWED;
    }
    atomic_store_explicit(&account->is_held, false, memory_order_release);
    return TRI_ERROR_NONE;
}

/* ---- the handler: order -> event -> effects -> answer ---- */

/* Steps `event`, and the ledger's verdicts that follow from it; whether there is an answer. */
static bool step(struct chain *chain, struct shard *shard, const struct tri_order *order,
                 struct tri_participant_event *event, struct tri_answer *answer)
{
    bool is_answered = false;
    bool is_asked = true;

    while (is_asked) {
        is_asked = false;
        (void)tri_participant_step(shard->participant, event, &shard->effects);
        for (uint32_t i = 0; i < shard->effects.count; i++) {
            const struct tri_participant_effect *effect = &shard->effects.at[i];
            enum tri_error code;

            switch (effect->type) {
            case TRI_PARTICIPANT_EFFECT_LEDGER:
                code = ledger_operate(chain, shard, effect, order);
                if (effect->op != TRI_LEDGER_RELEASE) { /* its verdict is the next event */
                    event->type = TRI_PARTICIPANT_LEDGER;
                    event->ledger.entry = effect->entry;
                    event->ledger.generation = effect->generation;
                    event->ledger.op = effect->op;
                    event->ledger.code = code;
                    is_asked = true;
                }
                break;
            case TRI_PARTICIPANT_EFFECT_APPEND:
                shard->lsn = effect->lsn; /* no journal: a restart forgets, as the node does */
                break;
            default:
                tri_participant_to_answer(effect, answer);
                is_answered = true;
                break;
            }
        }
    }
    event->type = TRI_PARTICIPANT_DURABLE;
    event->durable.lsn = shard->lsn;
    (void)tri_participant_step(shard->participant, event, &shard->effects);
    return is_answered;
}

static enum tri_reply take_order(void *context, const struct tri_order *order,
                                 struct tri_answer *answer)
{
    struct chain *chain = context;
    struct shard *shard = &chain->shards[order->shard];
    struct tri_participant_event event;

    tri_participant_from_order(order, &event);
    while (tri_participant_deadline_ns(shard->participant) <= order->now_ns) {
        struct tri_participant_event tick = {
            .type = TRI_PARTICIPANT_TICK, .now_ns = order->now_ns, .wall_ms = order->wall_ms};

        (void)step(chain, shard, order, &tick, answer);
    }
    return step(chain, shard, order, &event, answer) ? TRI_REPLY_NOW : TRI_REPLY_LATER;
}

static bool open_chain(struct chain *chain, uint32_t number)
{
    struct tri_participant_options options = {.entries_max = TRANSFERS, .dedup_window_ms = 60000};

    chain->number = number;
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        chain->accounts[i].money = START_MONEY;
        told[number][i] = START_MONEY;
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        void *memory;

        /* Names the tokens.  A chain that lives longer than its process keeps a counter for this.
         */
        options.instance = 1 + i;
        memory = aligned_alloc(64, tri_participant_footprint(&options));
        if (memory == NULL) { return false; }
        chain->shards[i].participant = tri_participant_init(memory, &options);
    }
    return true;
}

/* ---- the submitter ---- */

static uint32_t random_below(uint32_t bound)
{
    static uint64_t state = 1;

    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((state >> 33) % bound);
}

static enum tri_result submit(struct tri_handle *handle, uint32_t number,
                              const struct transfer *transfer)
{
    char id[24];
    char asset[24];
    struct tri_message message = {.atomicity = TRI_ALL_OR_NOTHING,
                                  .ttl_s = 60,
                                  .timestamp_ms = (uint64_t)time(NULL) * 1000,
                                  .source_chain = names[0].id,
                                  .source_node = {"bank", 4},
                                  .target_count = CHAINS,
                                  .targets = {names[0].id, names[1].id},
                                  .asset_count = 1,
                                  .payload = {(const uint8_t *)transfer, sizeof(*transfer)}};

    message.id = (struct tri_text){id, (uint32_t)snprintf(id, sizeof(id), "transfer-%u", number)};
    message.assets[0] = (struct tri_text){
        asset, (uint32_t)snprintf(asset, sizeof(asset), "account:%u", transfer->account)};
    return tri_handle_submit(handle, &message, number);
}

/* How the transfers ended. */
struct ends {
    uint32_t processed, refused, rolled_back, other;
};

static void note_end(struct ends *ends, const struct tri_news *news,
                     const struct transfer *transfer)
{
    int32_t amount = transfer->amount;

    if (news->ack_type == TRI_ACK_PROCESSED) {
        ends->processed++;
        told[transfer->from][transfer->account] -= amount;
        told[1 - transfer->from][transfer->account] += amount;
    } else if (news->code == TRI_ERROR_ROLLED_BACK) {
        ends->rolled_back++;
    } else if (news->code == TRI_ERROR_INVALID_STATE_TRANSITION) {
        ends->refused++;
    } else {
        fprintf(stderr, "%s %s\n", tri_ack_type_name(news->ack_type), tri_error_name(news->code));
        ends->other++;
    }
}

static struct ends run(struct tri_handle *handle)
{
    static struct transfer transfers[TRANSFERS];
    struct ends ends = {0, 0, 0, 0};
    uint32_t submitted = 0, ended = 0;
    struct tri_news news;

    for (uint32_t i = 0; i < TRANSFERS; i++) {
        transfers[i] = (struct transfer){.from = (uint8_t)random_below(CHAINS),
                                         .account = (uint8_t)random_below(ACCOUNTS),
                                         .amount = (uint8_t)(1 + random_below(200)),
                                         .is_doomed = i % 50 == 0};
    }
    do {
        while (tri_handle_poll(handle, &news, 1) > 0) {
            if (news.kind == TRI_NEWS_ENDED) {
                note_end(&ends, &news, &transfers[news.cookie]);
                ended++;
            }
        }
        while (submitted < TRANSFERS &&
               submit(handle, submitted, &transfers[submitted]) == TRI_OK) {
            submitted++;
        }
    } while (ended < TRANSFERS && tri_handle_wait(handle, 10000));
    return ends;
}

static struct tri_node *open_node(void)
{
    static const struct tri_chain_port ports[CHAINS] = {{take_order, &chains[0]},
                                                        {take_order, &chains[1]}};
    static const uint16_t everywhere[CHAINS] = {0, 1};
    static const struct tri_engine_location locations[] = {{{"account:*", 9}, everywhere, CHAINS}};
    struct tri_engine_policy *policy;
    struct tri_node_options options;
    char trouble[TRI_TROUBLE_BYTES];
    struct tri_node *node;

    tri_node_defaults(&options);
    options.shards = SHARDS;
    options.in_flight_max =
        32; /* half as many as accounts: some meet, and one of them comes again */
    options.engine.chains = names;
    options.engine.chain_count = CHAINS;
    options.engine.locations = locations; /* ALL_OR_NOTHING goes to all chains of an asset */
    options.engine.location_count = 1;
    options.ports = ports;
    policy = &options.engine.policies[TRI_TYPE_STATE_SYNC][TRI_SUBTYPE_NONE];
    policy->retries_max = 1000;
    policy->backoff_initial_ms = 1;
    policy->backoff_max_ms = 4;
    if (tri_node_open(&options, &node, trouble) != 0) {
        fprintf(stderr, "%s\n", trouble);
        return NULL;
    }
    return node;
}

int main(void)
{
    struct tri_handle *handle;
    struct tri_node *node;
    uint32_t wrong = 0;
    struct ends ends;

    if (!open_chain(&chains[0], 0) || !open_chain(&chains[1], 1)) { return 1; }
    node = open_node();
    if (node == NULL || tri_handle_open(node, &handle) != TRI_OK) { return 1; }
    ends = run(handle);
    wrong += tri_node_close(node, 10000) != 0;
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        for (uint32_t k = 0; k < CHAINS; k++) {
            wrong += chains[k].accounts[i].money != told[k][i] || told[k][i] < 0;
        }
    }
    printf("%u processed, %u refused, %u rolled back, %u otherwise; %u accounts wrong\n",
           ends.processed, ends.refused, ends.rolled_back, ends.other, wrong);
    return ends.processed + ends.refused + ends.rolled_back == TRANSFERS && wrong == 0 ? 0 : 1;
}
