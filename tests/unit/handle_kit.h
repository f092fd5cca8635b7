/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node with handles and chains in this process, on a bench: its shards take
 * turns in one thread, the chains answer as the test says and log what they
 * were told, and what handles ask of the system is counted.
 *
 *     stand_rest()  gives all shards turns until none has anything to do
 *     told          the orders in the order of their calls: "PREPARE#1>0[]"
 *     heard         what a handle was told: "1:RECEIVED 1:FINAL 1:PROCESSED"
 */
#ifndef TRI_TESTS_HANDLE_KIT_H
#define TRI_TESTS_HANDLE_KIT_H

#include "shards/handle.h"
#include "tests/unit/shard_kit.h"

#define STAND_CHAINS_MAX  64U
#define STAND_TICKETS_MAX 4096U
#define STAND_TEXT_BYTES  65536U

enum stand_mode {
    STAND_YES,   /* at once */
    STAND_NO,    /* at once, with the chain's code */
    STAND_LATER, /* keeps the ticket */
};

struct stand;

struct stand_chain {
    struct stand *stand;
    uint16_t index;
    enum stand_mode mode;
    enum tri_error code;
    enum tri_send no_to; /* STAND_NO: only to this kind, or to all if TRI_SEND_COUNT */
    struct tri_order last;
    struct tri_content content; /* of the last phase; its texts are borrowed from the message */
};

struct stand {
    struct kit *kit;
    struct tri_handle *handle; /* opened by stand_start() */
    struct stand_chain chains[STAND_CHAINS_MAX];
    struct tri_engine_chain engine_chains[STAND_CHAINS_MAX];
    char chain_ids[STAND_CHAINS_MAX][16];
    struct tri_chain_port ports[STAND_CHAINS_MAX];
    struct tri_ticket tickets[STAND_TICKETS_MAX]; /* of orders that were answered LATER */
    uint32_t ticket_count;
    uint32_t wakes[TRI_SHARDS_MAX];
    uint32_t signals[TRI_HANDLES_MAX]; /* sent */
    uint32_t readable[TRI_HANDLES_MAX];
    bool is_mute; /* do not log */
    char told[STAND_TEXT_BYTES];
};

static inline void stand_put(char *text, const char *word)
{
    size_t used = strlen(text);

    assert(used + strlen(word) + 2 < STAND_TEXT_BYTES);
    (void)snprintf(text + used, STAND_TEXT_BYTES - used, "%s%s", used == 0 ? "" : " ", word);
}

static inline enum tri_reply stand_handler(void *context, const struct tri_order *order,
                                           struct tri_answer *answer)
{
    static const char *const kinds[TRI_SEND_COUNT] = {"PREPARE", "COMMIT", "FINALIZE", "ABORT",
                                                      "ROLLBACK"};
    struct stand_chain *chain = context;
    struct stand *stand = chain->stand;
    struct tri_text tokens[TRI_TOKENS_MAX] = {{"", 0}};
    char word[128];

    assert(order->ticket.chain == chain->index);
    (void)tri_tokens_get(order->tokens, tokens);
    if (!stand->is_mute) {
        (void)snprintf(word, sizeof(word), "%s#%u>%u[%.*s]", kinds[order->ticket.kind],
                       TRI_ATTEMPT_N(order->ticket.attempt), chain->index, (int)tokens[0].bytes,
                       tokens[0].at);
        stand_put(stand->told, word);
    }
    chain->last = *order;
    if (order->ticket.kind <= TRI_SEND_FINALIZE) {
        tri_order_content(order, &chain->content);
    }
    if (chain->mode == STAND_LATER) {
        assert(stand->ticket_count < STAND_TICKETS_MAX);
        stand->tickets[stand->ticket_count] = order->ticket;
        stand->ticket_count++;
        return TRI_REPLY_LATER;
    }
    if (chain->mode == STAND_NO &&
        (chain->no_to == TRI_SEND_COUNT || chain->no_to == order->ticket.kind)) {
        return tri_answer_refuse(&order->ticket, chain->code, answer);
    }
    (void)tri_answer_accept(&order->ticket, answer);
    if (order->ticket.kind == TRI_SEND_PREPARE) {
        (void)snprintf(word, sizeof(word), "t%u", chain->index);
        tri_answer_token(answer, kit_text(word));
    }
    return TRI_REPLY_NOW;
}

static inline void stand_wake(void *context, uint32_t shard)
{
    ((struct stand *)context)->wakes[shard]++;
}

static inline void stand_signal(void *context, uint32_t handle)
{
    ((struct stand *)context)->signals[handle]++;
    ((struct stand *)context)->readable[handle]++;
}

static inline uint32_t stand_quiet(void *context, uint32_t handle)
{
    uint32_t signals = ((struct stand *)context)->readable[handle];

    ((struct stand *)context)->readable[handle] = 0;
    return signals;
}

static const struct tri_handle_ops stand_ops = {
    .wake = stand_wake, .signal = stand_signal, .quiet = stand_quiet};

/* Fills the options; the test may change them, and its chains, before stand_start(). */
static inline struct stand *stand_new(uint32_t shards, uint32_t chain_count)
{
    struct stand *stand = calloc(1, sizeof(*stand));

    assert(stand != NULL);
    assert(chain_count >= KIT_CHAINS && chain_count <= STAND_CHAINS_MAX);
    stand->kit = kit_new(shards);
    for (uint16_t i = 0; i < chain_count; i++) {
        (void)snprintf(stand->chain_ids[i], sizeof(stand->chain_ids[i]), "eip155:%u", 100U + i);
        stand->engine_chains[i].id = kit_text(stand->chain_ids[i]);
        stand->chains[i] = (struct stand_chain){.stand = stand,
                                                .index = i,
                                                .code = TRI_ERROR_OPERATOR_REFUSED,
                                                .no_to = TRI_SEND_COUNT};
        stand->ports[i] = (struct tri_chain_port){stand_handler, &stand->chains[i]};
    }
    stand->kit->options.engine.chains = stand->engine_chains;
    stand->kit->options.engine.chain_count = chain_count;
    stand->kit->options.ports = stand->ports;
    stand->kit->options.handles_max = 4;
    stand->kit->options.in_flight_max = 64;
    return stand;
}

static inline void stand_start(struct stand *stand)
{
    kit_start(stand->kit);
    tri_handles_attach(stand->kit->set, &stand_ops, stand);
    stand->handle = tri_handle_claim(stand->kit->set);
    assert(stand->handle != NULL);
}

static inline void stand_free(struct stand *stand)
{
    kit_free(stand->kit);
    free(stand);
}

static inline void stand_rest(struct stand *stand)
{
    kit_rest(stand->kit);
}

/* Lets time pass and timers run. */
static inline void stand_pass(struct stand *stand, uint64_t ms)
{
    stand->kit->now_ns += ms * TRI_NS_PER_MS;
    kit_rest(stand->kit);
}

/* A GUARANTEED message to the first three chains. */
static inline struct tri_message stand_message(const struct stand *stand, const char *id)
{
    struct tri_message message = {
        .id = kit_text(id),
        .type = TRI_TYPE_REGULATORY_ACTION,
        .priority = TRI_PRIORITY_NORMAL,
        .atomicity = TRI_GUARANTEED,
        .ttl_s = 60,
        .timestamp_ms = KIT_WALL_MS,
        .source_chain = kit_text("eip155:1"),
        .source_node = kit_text("node-1"),
        .target_count = KIT_CHAINS,
        .asset_count = 1,
        .assets = {kit_text("bond-1")},
        .payload = {(const uint8_t *)"payload", 7},
    };

    for (uint32_t i = 0; i < KIT_CHAINS; i++) {
        message.targets[i] = stand->engine_chains[i].id;
    }
    return message;
}

static inline enum tri_result stand_submit(struct stand *stand, const char *id, uint64_t cookie)
{
    struct tri_message message = stand_message(stand, id);

    return tri_handle_submit(stand->handle, &message, cookie);
}

/* Submits one and lets it run. */
static inline void stand_run(struct stand *stand, const char *id, uint64_t cookie)
{
    enum tri_result result = stand_submit(stand, id, cookie);

    assert(result == TRI_OK);
    tri_handle_flush(stand->handle);
    stand_rest(stand);
}

static inline void stand_word(const struct tri_news *news, char word[128])
{
    static const char *const kinds[] = {"RECEIVED", "FINAL", "", "STATUS"};
    const char *what =
        news->kind == TRI_NEWS_ENDED ? tri_ack_type_name(news->ack_type) : kinds[news->kind];

    (void)snprintf(word, 128, "%u:%s%s%s%s%s%s%s", (unsigned)news->cookie, what,
                   news->state == NULL ? "" : "=", news->state == NULL ? "" : news->state,
                   news->code == TRI_ERROR_NONE ? "" : ":",
                   news->code == TRI_ERROR_NONE ? "" : tri_error_name(news->code),
                   news->field == NULL ? "" : "/", news->field == NULL ? "" : news->field);
    if (news->is_duplicate) {
        (void)snprintf(word + strlen(word), 128 - strlen(word), "(dup)");
    }
}

/* All news of a handle, in order. */
static inline const char *stand_heard(struct tri_handle *handle)
{
    static char heard[STAND_TEXT_BYTES];
    struct tri_news news[5];
    uint32_t count = 0;
    char word[128];

    heard[0] = '\0';
    while ((count = tri_handle_poll(handle, news, 5)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            stand_word(&news[i], word);
            stand_put(heard, word);
        }
    }
    return heard;
}

/* What the chains were told since the last look. */
static inline const char *stand_told(struct stand *stand)
{
    static char told[STAND_TEXT_BYTES];

    memcpy(told, stand->told, sizeof(told));
    stand->told[0] = '\0';
    return told;
}

/* Answers everything that was answered LATER with yes, through `handle`; the number answered. */
static inline uint32_t stand_answer_all(struct stand *stand, struct tri_handle *handle)
{
    uint32_t answered = stand->ticket_count;

    stand->ticket_count = 0;
    for (uint32_t i = 0; i < answered; i++) {
        struct tri_ticket ticket = stand->tickets[i];
        struct tri_answer answer;

        (void)tri_answer_accept(&ticket, &answer);
        while (tri_handle_answer(handle, &ticket, &answer) != TRI_OK) {
            (void)kit_turn(stand->kit);
        }
    }
    tri_handle_flush(handle);
    stand_rest(stand);
    return answered;
}

static inline const char *stand_name(uint32_t number)
{
    static char name[32];

    (void)snprintf(name, sizeof(name), "message-%u", number);
    return name;
}

/* A journal that is durable when it is told, one per shard. */
struct stand_journal {
    uint64_t appended;
    uint64_t durable;
    uint64_t failed;
};

static inline bool stand_append(void *context, const struct tri_effect *effect)
{
    struct stand_journal *journal = context;

    assert(effect->append.lsn == journal->appended + 1);
    journal->appended++;
    return true;
}

static inline uint64_t stand_durable(void *context)
{
    return ((struct stand_journal *)context)->durable;
}

static inline uint64_t stand_failed(void *context)
{
    return ((struct stand_journal *)context)->failed;
}

static const struct tri_journal_ops stand_journal_ops = {
    .append = stand_append, .durable = stand_durable, .failed = stand_failed};

/* Between stand_start() and the first turn. */
static inline void stand_keep(struct stand *stand, struct stand_journal *journals)
{
    for (uint32_t i = 0; i < stand->kit->shards; i++) {
        tri_shard_journal(kit_shard(stand->kit, i), &stand_journal_ops, &journals[i]);
    }
}

/* Everything appended so far is durable. */
static inline void stand_flush(struct stand *stand, struct stand_journal *journals)
{
    for (uint32_t i = 0; i < stand->kit->shards; i++) {
        journals[i].durable = journals[i].appended;
    }
    stand_rest(stand);
}

#endif
