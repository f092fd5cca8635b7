/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node on a bench: its shards take turns in one thread, its ports are
 * arrays that keep every frame, and chains, clients and operators are the
 * test's own hands.
 *
 * A port is (shard, slot); it keeps what was sent to it until the test takes
 * it.  kit_rest() gives all shards turns until none has anything to do.
 */
#ifndef TRI_TESTS_SHARD_KIT_H
#define TRI_TESTS_SHARD_KIT_H

#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shards/journal.h"
#include "shards/shard.h"

#define KIT_WALL_MS     UINT64_C(1700000000000)
#define KIT_CHAINS      3U
#define KIT_SLOTS       32U
#define KIT_INBOX_BYTES (UINT32_C(4) << 20)
#define KIT_TURNS_MAX   100000U

struct kit_port {
    uint8_t *bytes; /* frames with their lengths */
    uint32_t used;
    uint32_t read;
    uint32_t reserved;
    uint32_t frames_max; /* room for so many untaken frames; 0 = no limit */
    uint32_t frames;     /* untaken */
    bool is_gone;
    uint32_t welcomes;
    uint32_t closes;
    enum tri_error why;
};

struct kit {
    struct tri_shard_set *set;
    void *memory;
    uint32_t shards;
    uint64_t now_ns;
    uint32_t wakes[TRI_SHARDS_MAX];
    struct tri_shard_set_options options;
    struct tri_engine_chain chains[KIT_CHAINS];
    uint16_t all[KIT_CHAINS];
    struct tri_engine_location locations[1];
    struct kit_port ports[8][KIT_SLOTS];
    uint8_t body[TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES];
    uint8_t payload[TRI_PAYLOAD_BYTES_MAX];
    struct tri_frame frame; /* the last one taken from a port */
    struct tri_frame made;  /* the last one given to a shard */
    struct tri_wire_fault fault;
    uint8_t token[4];       /* of the last answer made */
    tri_port internal_port; /* of the last frame for an internal port */
    uint32_t internal_bytes;
    uint32_t internal_frames;
    uint32_t fruitless_frames;
    enum tri_error refusal; /* of a PHASE_REJECT; NONE: OPERATOR_REFUSED */
    uint8_t internal_frame[TRI_FRAME_BYTES_MAX];
};

static inline struct tri_text kit_text(const char *text)
{
    return (struct tri_text){text, (uint32_t)strlen(text)};
}

static inline tri_port kit_port(uint32_t shard, uint32_t slot)
{
    return TRI_PORT(shard, 1, slot);
}

static inline struct kit_port *kit_at(struct kit *kit, tri_port port)
{
    assert(TRI_PORT_GENERATION(port) == 1);
    assert(TRI_PORT_SLOT(port) < KIT_SLOTS);
    return &kit->ports[TRI_PORT_SHARD(port)][TRI_PORT_SLOT(port)];
}

static inline uint8_t *kit_reserve(void *context, tri_port port, uint32_t bytes)
{
    struct kit_port *at = kit_at(context, port);

    assert(at->reserved == 0);
    if (at->is_gone || (at->frames_max != 0 && at->frames >= at->frames_max)) {
        return NULL;
    }
    if (at->bytes == NULL) {
        at->bytes = malloc(KIT_INBOX_BYTES);
    }
    assert(at->bytes != NULL);
    assert(at->used + bytes <= KIT_INBOX_BYTES);
    at->reserved = bytes;
    return at->bytes + at->used;
}

static inline void kit_commit(void *context, tri_port port, uint32_t bytes)
{
    struct kit_port *at = kit_at(context, port);

    assert(bytes <= at->reserved);
    at->reserved = 0;
    at->used += bytes;
    at->frames++;
}

static inline void kit_close(void *context, tri_port port, enum tri_error why)
{
    struct kit_port *at = kit_at(context, port);

    at->closes++;
    at->why = why;
}

static inline void kit_welcome(void *context, tri_port port, uint16_t chain)
{
    assert(chain < KIT_CHAINS);
    kit_at(context, port)->welcomes++;
}

static inline void kit_wake(void *context, uint32_t shard)
{
    ((struct kit *)context)->wakes[shard]++;
}

/* Internal ports of the test's own kind: what comes is kept, the last frame beside its count. */
static inline void kit_internal(void *context, tri_port port, const uint8_t *frame, uint32_t bytes)
{
    struct kit *kit = context;

    kit->internal_port = port;
    kit->internal_bytes = bytes;
    kit->internal_frames++;
    memcpy(kit->internal_frame, frame, bytes);
}

static inline void kit_fruitless(void *context, tri_port port)
{
    struct kit *kit = context;

    (void)port;
    kit->fruitless_frames++;
}

static const struct tri_port_ops kit_ops = {
    .reserve = kit_reserve,
    .commit = kit_commit,
    .close = kit_close,
    .welcome = kit_welcome,
    .wake = kit_wake,
    .internal = kit_internal,
    .fruitless = kit_fruitless,
};

static inline struct tri_shard *kit_shard(struct kit *kit, uint32_t shard)
{
    return tri_shard_set_at(kit->set, shard);
}

/* Fills the options; the test may change them before kit_start(). */
static inline struct kit *kit_new(uint32_t shards)
{
    static const char *const ids[KIT_CHAINS] = {"eip155:8453", "eip155:42161", "eip155:10"};
    struct kit *kit = calloc(1, sizeof(*kit));
    struct tri_engine_options *engine = &kit->options.engine;

    assert(kit != NULL);
    kit->shards = shards;
    kit->now_ns = 1000 * TRI_NS_PER_S;
    for (uint16_t i = 0; i < KIT_CHAINS; i++) {
        kit->chains[i].id = kit_text(ids[i]);
        kit->all[i] = i;
    }
    kit->locations[0] = (struct tri_engine_location){kit_text("bond-*"), kit->all, KIT_CHAINS};
    kit->options.shards = shards;
    memset(kit->options.hash_secret, 0x5a, sizeof(kit->options.hash_secret));
    engine->epoch = 7;
    engine->rounds_max = 8192;
    engine->dedup_entries_max = 16384;
    engine->waiters_max = 8192;
    engine->body_counts[0] = 8192;
    engine->body_counts[1] = 64;
    engine->body_counts[4] = 64;
    engine->chains = kit->chains;
    engine->chain_count = KIT_CHAINS;
    engine->locations = kit->locations;
    engine->location_count = 1;
    engine->map_version = 3;
    for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
        for (uint32_t subtype = 0; subtype < TRI_SUBTYPE_COUNT; subtype++) {
            engine->policies[type][subtype] = (struct tri_engine_policy){
                .retries_max = 2,
                .backoff_initial_ms = 1000,
                .backoff_max_ms = 4000,
                .multiplier_permille = 2000,
                .dedup_window_ms = 600000,
            };
        }
    }
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        engine->timeout_ms[phase] = phase == TRI_PHASE_COMMIT ? 10000 : 5000;
        engine->timeout_ms_max[phase] = 60000;
    }
    engine->rollback_window_ms = 60000;
    engine->clock_allowance_ms = 1000;
    engine->chain_share_permille = 1000;
    return kit;
}

static inline void kit_start(struct kit *kit)
{
    const char *fault = tri_shard_set_check(&kit->options);
    size_t bytes = tri_shard_set_footprint(&kit->options);

    if (fault != NULL) {
        (void)fprintf(stderr, "%s\n", fault);
    }
    assert(fault == NULL);
    kit->memory = aligned_alloc(TRI_CACHE_LINE, bytes);
    assert(kit->memory != NULL);
    kit->set = tri_shard_set_init(kit->memory, &kit->options);
    assert(kit->set != NULL);
    for (uint32_t i = 0; i < kit->shards; i++) {
        tri_shard_attach(kit_shard(kit, i), &kit_ops, kit);
    }
}

static inline void kit_free(struct kit *kit)
{
    for (uint32_t i = 0; i < 8; i++) {
        for (uint32_t j = 0; j < KIT_SLOTS; j++) {
            free(kit->ports[i][j].bytes);
        }
    }
    free(kit->memory);
    free(kit);
}

/* One turn of every shard; the amount of work. */
static inline uint32_t kit_turn(struct kit *kit)
{
    uint32_t work = 0;

    for (uint32_t i = 0; i < kit->shards; i++) {
        work += tri_shard_turn(kit_shard(kit, i), kit->now_ns,
                               KIT_WALL_MS + kit->now_ns / TRI_NS_PER_MS - 1000000);
    }
    return work;
}

static inline void kit_rest(struct kit *kit)
{
    uint32_t turns = 0;

    while (kit_turn(kit) > 0) {
        turns++;
        assert(turns < KIT_TURNS_MAX);
    }
}

static inline enum tri_result kit_give_bytes(struct kit *kit, tri_port port, enum tri_role role,
                                             uint16_t chain, const uint8_t *body, uint32_t bytes)
{
    struct tri_peer peer = {.role = role, .chain = chain};

    return tri_shard_frame(kit_shard(kit, TRI_PORT_SHARD(port)), port, &peer, body, bytes,
                           kit->now_ns, KIT_WALL_MS + kit->now_ns / TRI_NS_PER_MS - 1000000,
                           &kit->fault);
}

/* Encodes kit->made and gives it to the port's shard. */
static inline enum tri_result kit_give(struct kit *kit, tri_port port, enum tri_role role,
                                       uint16_t chain)
{
    uint32_t bytes = tri_wire_encode(&kit->made, kit->body, sizeof(kit->body));

    assert(bytes > TRI_FRAME_HEADER_BYTES);
    return kit_give_bytes(kit, port, role, chain, kit->body + TRI_FRAME_HEADER_BYTES,
                          bytes - TRI_FRAME_HEADER_BYTES);
}

/* A GUARANTEED message to all chains. */
static inline enum tri_result kit_submit(struct kit *kit, tri_port port, const char *id,
                                         uint32_t payload_bytes)
{
    struct tri_message *message = &kit->made.submit;

    memset(&kit->made, 0, sizeof(kit->made));
    kit->made.type = TRI_FRAME_SUBMIT;
    message->id = kit_text(id);
    message->type = TRI_TYPE_REGULATORY_ACTION;
    message->priority = TRI_PRIORITY_NORMAL;
    message->scope = TRI_SCOPE_TARGETS;
    message->atomicity = TRI_GUARANTEED;
    message->ttl_s = 60;
    message->timestamp_ms = KIT_WALL_MS;
    message->source_chain = kit_text("eip155:1");
    message->source_node = kit_text("node-1");
    message->target_count = KIT_CHAINS;
    for (uint32_t i = 0; i < KIT_CHAINS; i++) {
        message->targets[i] = kit->chains[i].id;
    }
    message->asset_count = 1;
    message->assets[0] = kit_text("bond-1");
    message->payload = (struct tri_bytes){kit->payload, payload_bytes};
    return kit_give(kit, port, TRI_ROLE_CLIENT, 0);
}

static inline enum tri_result kit_phase_ack(struct kit *kit, tri_port port, uint16_t chain,
                                            const char *id, enum tri_phase phase,
                                            tri_attempt attempt, enum tri_ack_type type)
{
    static const uint8_t token[] = {0x91, 0xa2, 't', '0'}; /* ["t0"] */
    struct tri_phase_ack *ack = &kit->made.phase_ack;

    memset(&kit->made, 0, sizeof(kit->made));
    memcpy(kit->token, token, sizeof(token));
    kit->token[3] = (uint8_t)('0' + chain);
    kit->made.type = TRI_FRAME_PHASE_ACK;
    ack->id = kit_text(id);
    ack->type = type;
    ack->phase = phase;
    ack->attempt = attempt;
    ack->chain = kit->chains[chain].id;
    ack->code = type != TRI_ACK_PHASE_REJECT     ? TRI_ERROR_NONE
                : kit->refusal != TRI_ERROR_NONE ? kit->refusal
                                                 : TRI_ERROR_OPERATOR_REFUSED;
    ack->tokens = type == TRI_ACK_PHASE_PREPARE_OK ? (struct tri_bytes){kit->token, sizeof(token)}
                                                   : (struct tri_bytes){(const uint8_t *)"\x90", 1};
    return kit_give(kit, port, TRI_ROLE_CHAIN, chain);
}

/* Takes the oldest frame of a port into kit->frame; false if there is none. */
static inline bool kit_take(struct kit *kit, tri_port port)
{
    struct kit_port *at = kit_at(kit, port);
    const uint8_t *head = NULL;
    struct tri_wire_fault fault;
    uint32_t bytes = 0;
    enum tri_result result;

    if (at->read == at->used) {
        return false;
    }
    head = at->bytes + at->read;
    bytes = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
    assert(at->read + TRI_FRAME_HEADER_BYTES + bytes <= at->used);
    result = tri_wire_decode(head + TRI_FRAME_HEADER_BYTES, bytes, &kit->frame, &fault);
    if (result != TRI_OK) {
        (void)fprintf(stderr, "%s at %u\n", fault.field, fault.at);
    }
    assert(result == TRI_OK); /* what a shard sends can be read */
    at->read += TRI_FRAME_HEADER_BYTES + bytes;
    at->frames--;
    if (at->read == at->used) {
        at->read = 0;
        at->used = 0;
    }
    return true;
}

/* One frame as a word: "PREPARE#1[]", "COMMIT#1[t0]", "ABORT#1[t0]", "RECEIVED", "PROCESSED",
 * "NOTICE", "STATUS:state", "PREPARE!missed" for EVENT, "E:CODE" for ERROR. */
static inline void kit_word(const struct tri_frame *frame, char word[128])
{
    struct tri_text tokens[TRI_TOKENS_MAX] = {{"", 0}};

    switch (frame->type) {
    case TRI_FRAME_PHASE:
        (void)tri_tokens_get(frame->phase.tokens, tokens);
        (void)snprintf(word, 128, "%s#%u[%.*s]", tri_phase_name(frame->phase.phase),
                       TRI_ATTEMPT_N(frame->phase.attempt), (int)tokens[0].bytes, tokens[0].at);
        break;
    case TRI_FRAME_CONTROL:
        (void)tri_tokens_get(frame->control.tokens, tokens);
        (void)snprintf(word, 128, "%s#%u[%.*s]",
                       frame->control.kind == TRI_CONTROL_ABORT ? "ABORT" : "ROLLBACK",
                       TRI_ATTEMPT_N(frame->control.attempt), (int)tokens[0].bytes, tokens[0].at);
        break;
    case TRI_FRAME_ACK:
        (void)snprintf(word, 128, "%s%s", tri_ack_type_name(frame->ack.type),
                       frame->ack.duplicate ? "+" : "");
        break;
    case TRI_FRAME_NOTICE:
        (void)snprintf(word, 128, "NOTICE");
        break;
    case TRI_FRAME_STATUS:
        (void)snprintf(word, 128, "STATUS:%.*s", (int)frame->status.state.bytes,
                       frame->status.state.at);
        break;
    case TRI_FRAME_EVENT:
        (void)snprintf(word, 128, "%.*s!%u", (int)frame->event.what.bytes, frame->event.what.at,
                       (unsigned)frame->event.missed);
        break;
    case TRI_FRAME_ERROR:
        (void)snprintf(word, 128, "E:%s", tri_error_name(frame->error.code));
        break;
    default:
        (void)snprintf(word, 128, "?%u", (unsigned)frame->type);
        break;
    }
}

/* Takes everything a port has got, as words in order. */
static inline const char *kit_words(struct kit *kit, tri_port port)
{
    static char words[65536];
    char word[128];

    words[0] = '\0';
    while (kit_take(kit, port)) {
        kit_word(&kit->frame, word);
        assert(strlen(words) + strlen(word) + 2 < sizeof(words));
        (void)strcat(words, words[0] == '\0' ? "" : " ");
        (void)strcat(words, word);
    }
    return words;
}

/* Connects a chain and waits until every shard knows. */
static inline void kit_chain_up(struct kit *kit, tri_port port, uint16_t chain, uint64_t instance)
{
    struct tri_shard *shard = kit_shard(kit, TRI_PORT_SHARD(port));
    uint32_t welcomes = kit_at(kit, port)->welcomes;

    tri_shard_chain_hello(shard, port, chain, instance);
    kit_rest(kit);
    if (kit_at(kit, port)->welcomes == welcomes + 1) {
        tri_shard_chain_up(shard, port, chain, true);
        kit_rest(kit);
    }
}

/* Answers every phase that waits at a chain's port with OK; the number answered.  FULL is tried
 * again after a turn. */
static inline uint32_t kit_answer(struct kit *kit, tri_port port, uint16_t chain)
{
    uint32_t answered = 0;

    while (kit_take(kit, port)) {
        struct tri_phase_frame phase = kit->frame.phase;
        char id[TRI_ID_BYTES_MAX + 1];

        assert(kit->frame.type == TRI_FRAME_PHASE);
        (void)snprintf(id, sizeof(id), "%.*s", (int)phase.id.bytes, phase.id.at);
        while (kit_phase_ack(kit, port, chain, id, phase.phase, phase.attempt,
                             (enum tri_ack_type)(TRI_ACK_PHASE_PREPARE_OK + (int)phase.phase)) ==
               TRI_FULL) {
            (void)kit_turn(kit);
        }
        answered++;
    }
    return answered;
}

static inline uint64_t kit_counter_of(struct kit *kit, uint32_t shard, const char *name)
{
    struct tri_counter_view view;
    uint32_t index = 0;

    while (tri_shard_set_counter_next(kit->set, shard, &index, &view)) {
        if (strcmp(view.name, name) == 0) {
            return view.value;
        }
    }
    (void)fprintf(stderr, "no counter is named %s\n", name);
    abort();
}

/* Over all shards. */
static inline uint64_t kit_counter(struct kit *kit, const char *name)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < kit->shards; i++) {
        sum += kit_counter_of(kit, i, name);
    }
    return sum;
}

#endif
