/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bench to put one engine on: three chains, a clock, a journal that is durable when told, and a
 * log of every effect as text.  A test tells a story and compares the log.
 *
 * One effect is one word group: "PREPARE#1>012" (attempt n, targets), "ACCEPT=1" (a record and its
 * LSN), "RECEIVED@1" (a result that waits for LSN 1), "COMMIT#1>012@2", "ABORT#1>012",
 * "ABORT#1>chain 2" (stray).
 */
#ifndef TRI_TESTS_ENGINE_KIT_H
#define TRI_TESTS_ENGINE_KIT_H

#undef NDEBUG
#include <assert.h>
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/wire.h"
#include "tricast_engine.h"

#define KIT_WALL_MS UINT64_C(1700000000000)
#define KIT_EPOCH   7U

struct kit {
    struct tri_engine *engine;
    void *memory;
    struct tri_effects effects;
    uint64_t now_ns;
    uint64_t wall_ms;
    uint64_t lsn;       /* of the last APPEND */
    uint32_t submitter; /* of the next SUBMIT */
    bool is_forced;     /* likewise (F06) */
    bool is_slow;       /* records become durable only by kit_durable() */
    void (*on_append)(struct kit *kit, const struct tri_effect *append); /* right after its step */
    char log[8192];
    struct tri_engine_options options;
    struct tri_engine_chain chains[3];
    struct tri_engine_location locations[2];
    uint16_t all[3];
    uint8_t bytes[TRI_FRAME_BYTES_MAX];
    struct tri_frame frame;
};

static inline struct tri_text kit_text(const char *text)
{
    return (struct tri_text){text, (uint32_t)strlen(text)};
}

static inline void kit_options(struct kit *kit)
{
    static const char *const ids[3] = {"eip155:8453", "eip155:42161", "eip155:10"};
    struct tri_engine_options *options = &kit->options;

    memset(kit, 0, sizeof(*kit));
    for (uint16_t i = 0; i < 3; i++) {
        kit->chains[i].id = kit_text(ids[i]);
        kit->all[i] = i;
    }
    kit->locations[0] = (struct tri_engine_location){kit_text("bond-*"), kit->all, 3};
    kit->locations[1] = (struct tri_engine_location){kit_text("pair-*"), kit->all, 2};
    options->epoch = KIT_EPOCH;
    options->rounds_max = 64;
    options->dedup_entries_max = 128;
    options->waiters_max = 64;
    options->body_counts[0] = 64;
    options->body_counts[1] = 64;
    options->chains = kit->chains;
    options->chain_count = 3;
    options->locations = kit->locations;
    options->location_count = 2;
    options->map_version = 3;
    for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
        for (uint32_t subtype = 0; subtype < TRI_SUBTYPE_COUNT; subtype++) {
            options->policies[type][subtype] = (struct tri_engine_policy){
                .retries_max = 2,
                .backoff_initial_ms = 1000,
                .backoff_max_ms = 4000,
                .multiplier_permille = 2000,
                .dedup_window_ms = 60000,
            };
        }
    }
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        options->timeout_ms[phase] = phase == TRI_PHASE_COMMIT ? 10000 : 5000; /* P08 */
        options->timeout_ms_max[phase] = 60000;
    }
    options->rollback_window_ms = 60000;
    options->clock_allowance_ms = 1000;
    options->chain_share_permille = 1000;
    kit->now_ns = 1000 * TRI_NS_PER_S;
    kit->wall_ms = KIT_WALL_MS;
}

static inline void kit_log(struct kit *kit, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline void kit_log(struct kit *kit, const char *format, ...)
{
    size_t used = strlen(kit->log);
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(kit->log + used, sizeof(kit->log) - used, format, arguments);
    va_end(arguments);
}

static inline void kit_log_send(struct kit *kit, const struct tri_effect *effect)
{
    static const char *const names[] = {"PREPARE", "COMMIT", "FINALIZE", "ABORT", "ROLLBACK"};

    kit_log(kit, " %s#%u>", names[effect->send.kind], TRI_ATTEMPT_N(effect->send.attempt));
    if (effect->send.is_stray) {
        kit_log(kit, "chain %u", effect->send.chain);
    }
    for (uint32_t i = 0; i < effect->round.target_count; i++) {
        if ((effect->send.targets >> i) & 1U) {
            kit_log(kit, "%u", effect->round.targets[i].chain);
        }
    }
}

static inline void kit_log_effect(struct kit *kit, const struct tri_effect *effect)
{
    static const char *const records[TRI_RECORD_COUNT] = {
        "ACCEPT", "ATTEMPT",  "DECISION",   "ROLLBACK", "PRIMARY", "OUTCOME", "CLOSE",
        "IMAGE",  "REMEMBER", "CHECKPOINT", "ENVELOPE", "STEP",    "END"};

    switch (effect->type) {
    case TRI_EFFECT_SEND:
        kit_log_send(kit, effect);
        break;
    case TRI_EFFECT_APPEND:
        kit_log(kit, " %s=%u", records[effect->append.kind], (unsigned)effect->append.lsn);
        assert(effect->append.lsn == kit->lsn + 1);
        kit->lsn = effect->append.lsn;
        if (kit->on_append != NULL) {
            kit->on_append(kit, effect);
        }
        break;
    case TRI_EFFECT_NOTIFY:
        if (effect->notify.kind == TRI_NOTIFY_NOTICE) {
            kit_log(kit, " NOTICE");
        } else if (effect->notify.kind == TRI_NOTIFY_STATUS) {
            kit_log(kit, " STATUS:%s", effect->round.state);
        } else {
            kit_log(kit, " %s", tri_ack_type_name(effect->notify.ack_type));
            if (effect->notify.code != TRI_ERROR_NONE) {
                kit_log(kit, ":%s", tri_error_name(effect->notify.code));
            }
        }
        if (effect->notify.client != 1) {
            kit_log(kit, "!%u", (unsigned)effect->notify.client);
        }
        if (effect->notify.is_duplicate) {
            kit_log(kit, "(dup)");
        }
        break;
    case TRI_EFFECT_DELIVER:
        kit_log(kit, " DELIVER%u>", effect->deliver.position);
        for (uint32_t i = 0; i < TRI_ENVELOPE_CLIENTS_MAX; i++) {
            if ((effect->deliver.submitters >> i & 1U) != 0) {
                kit_log(kit, "%u", i);
            }
        }
        kit_log(kit, "%s", (effect->deliver.submitters & TRI_DELIVER_OWN) != 0 ? "own" : "");
        break;
    }
    if (effect->after_lsn != 0) {
        kit_log(kit, "@%u", (unsigned)effect->after_lsn);
    }
}

static inline enum tri_result kit_step_only(struct kit *kit, struct tri_event *event)
{
    enum tri_result result;

    event->now_ns = kit->now_ns;
    event->wall_ms = kit->wall_ms;
    result = tri_engine_step(kit->engine, event, &kit->effects);
    for (uint32_t i = 0; i < kit->effects.count; i++) {
        kit_log_effect(kit, &kit->effects.at[i]);
    }
    return result;
}

static inline void kit_durable(struct kit *kit)
{
    struct tri_event event = {.type = TRI_EVENT_JOURNAL_DURABLE, .journal = {.lsn = kit->lsn}};

    (void)kit_step_only(kit, &event);
}

static inline enum tri_result kit_step(struct kit *kit, struct tri_event *event)
{
    enum tri_result result = kit_step_only(kit, event);

    if (!kit->is_slow) {
        kit_durable(kit);
    }
    return result;
}

static inline void kit_chain(struct kit *kit, uint16_t chain, bool is_up, bool is_fresh)
{
    struct tri_event event = {.type = is_up ? TRI_EVENT_CHAIN_UP : TRI_EVENT_CHAIN_DOWN,
                              .chain = {.chain = chain, .is_fresh = is_fresh}};

    (void)kit_step(kit, &event);
}

static inline void kit_start(struct kit *kit)
{
    size_t bytes = tri_engine_footprint(&kit->options);

    assert(tri_engine_check(&kit->options) == NULL);
    assert(bytes > 0);
    kit->memory = aligned_alloc(64, bytes);
    assert(kit->memory != NULL);
    memset(kit->memory, 0xa5, bytes);
    kit->engine = tri_engine_init(kit->memory, &kit->options);
    for (uint16_t chain = 0; chain < 3; chain++) {
        kit_chain(kit, chain, true, true);
    }
    while (tri_engine_deadline_ns(kit->engine) <= kit->now_ns) {
        struct tri_event event = {.type = TRI_EVENT_TICK};

        (void)kit_step(kit, &event);
    }
    kit->log[0] = '\0';
}

static inline void kit_init(struct kit *kit)
{
    kit_options(kit);
    kit_start(kit);
}

static inline void kit_fini(struct kit *kit)
{
    free(kit->memory);
}

/* What happened since the last look. */
static inline const char *kit_said(struct kit *kit)
{
    static char said[sizeof(kit->log)];

    (void)snprintf(said, sizeof(said), "%s", kit->log[0] == ' ' ? kit->log + 1 : kit->log);
    kit->log[0] = '\0';
    return said;
}

/* A message for all three chains over the asset bond-1; tests change what they are about. */
static inline struct tri_message kit_message(const char *id, enum tri_atomicity atomicity)
{
    struct tri_message message = {
        .id = kit_text(id),
        .type = TRI_TYPE_REGULATORY_ACTION,
        .priority = TRI_PRIORITY_NORMAL,
        .atomicity = atomicity,
        .ttl_s = 60,
        .timestamp_ms = KIT_WALL_MS,
        .source_chain = kit_text("eip155:1"),
        .source_node = kit_text("node-1"),
        .target_count = 3,
        .targets = {kit_text("eip155:8453"), kit_text("eip155:42161"), kit_text("eip155:10")},
        .asset_count = 1,
        .assets = {kit_text("bond-1")},
        .payload = {(const uint8_t *)"pay", 3},
    };

    return message;
}

static inline struct tri_key kit_key(struct tri_text id)
{
    struct tri_key key = {5381, 0};

    for (uint32_t i = 0; i < id.bytes; i++) {
        key.lo = key.lo * 33 + (uint8_t)id.at[i];
        key.hi ^= key.lo << 7;
    }
    return key;
}

static inline enum tri_result kit_submit_as(struct kit *kit, const struct tri_message *message,
                                            uint64_t client)
{
    struct tri_frame frame = {.type = TRI_FRAME_SUBMIT, .submit = *message};
    uint32_t bytes = tri_wire_encode(&frame, kit->bytes, sizeof(kit->bytes));
    struct tri_wire_fault fault;
    struct tri_event event = {.type = TRI_EVENT_SUBMIT};
    uint64_t sum = 14695981039346656037U;

    assert(bytes > 4);
    if (tri_wire_decode(kit->bytes + 4, bytes - 4, &kit->frame, &fault) != TRI_OK) {
        (void)fprintf(stderr, "%s at %u\n", fault.field, fault.at);
        abort();
    }
    for (uint32_t i = 0; i < kit->frame.submit.canonical.bytes; i++) {
        sum = (sum ^ kit->frame.submit.canonical.at[i]) * 1099511628211U;
    }
    memcpy(event.submit.hash.at, &sum, sizeof(sum));
    event.submit.key = kit_key(kit->frame.submit.id);
    event.submit.message = &kit->frame.submit;
    event.submit.client = client;
    event.submit.submitter = kit->submitter;
    event.submit.is_forced = kit->is_forced;
    return kit_step(kit, &event);
}

static inline void kit_submit(struct kit *kit, const char *id, enum tri_atomicity atomicity)
{
    struct tri_message message = kit_message(id, atomicity);

    (void)kit_submit_as(kit, &message, 1);
}

static inline struct tri_event kit_ack(const char *id, uint16_t chain, enum tri_phase phase,
                                       uint32_t n)
{
    static const uint8_t tokens[3][3] = {{0x91, 0xa1, 'x'}, {0x91, 0xa1, 'y'}, {0x91, 0xa1, 'z'}};
    struct tri_event event = {.type = TRI_EVENT_PHASE_ACK};

    event.phase_ack.key = kit_key(kit_text(id));
    event.phase_ack.id = kit_text(id);
    event.phase_ack.chain = chain;
    event.phase_ack.phase = phase;
    event.phase_ack.attempt = TRI_ATTEMPT(KIT_EPOCH, n);
    event.phase_ack.type = (enum tri_ack_type)((int)TRI_ACK_PHASE_PREPARE_OK + (int)phase);
    if (phase == TRI_PHASE_PREPARE) {
        event.phase_ack.tokens = (struct tri_bytes){tokens[chain], 3};
    }
    return event;
}

static inline enum tri_result kit_ok(struct kit *kit, const char *id, uint16_t chain,
                                     enum tri_phase phase, uint32_t n)
{
    struct tri_event event = kit_ack(id, chain, phase, n);

    return kit_step(kit, &event);
}

static inline void kit_all_ok(struct kit *kit, const char *id, enum tri_phase phase, uint32_t n)
{
    for (uint16_t chain = 0; chain < 3; chain++) {
        (void)kit_ok(kit, id, chain, phase, n);
    }
}

static inline enum tri_result kit_reject(struct kit *kit, const char *id, uint16_t chain,
                                         enum tri_phase phase, uint32_t n, enum tri_error code)
{
    struct tri_event event = kit_ack(id, chain, phase, n);

    event.phase_ack.type = TRI_ACK_PHASE_REJECT;
    event.phase_ack.code = code;
    event.phase_ack.tokens = (struct tri_bytes){NULL, 0};
    return kit_step(kit, &event);
}

static inline enum tri_result kit_control(struct kit *kit, const char *id, uint16_t chain,
                                          enum tri_control kind, uint32_t n, enum tri_ack_type type,
                                          enum tri_error code)
{
    struct tri_event event = {.type = TRI_EVENT_CONTROL_ACK};

    event.control_ack.key = kit_key(kit_text(id));
    event.control_ack.id = kit_text(id);
    event.control_ack.chain = chain;
    event.control_ack.kind = kind;
    event.control_ack.attempt = TRI_ATTEMPT(KIT_EPOCH, n);
    event.control_ack.type = type;
    event.control_ack.code = code;
    return kit_step(kit, &event);
}

static inline void kit_undone(struct kit *kit, const char *id, uint16_t chain, uint32_t n)
{
    (void)kit_control(kit, id, chain, TRI_CONTROL_ROLLBACK, n, TRI_ACK_PROCESSED, TRI_ERROR_NONE);
}

static inline void kit_ask(struct kit *kit, const char *id, uint16_t chain, tri_attempt attempt)
{
    struct tri_event event = {.type = TRI_EVENT_ASK};

    event.ask.key = kit_key(kit_text(id));
    event.ask.id = kit_text(id);
    event.ask.chain = chain;
    event.ask.attempt = attempt;
    (void)kit_step(kit, &event);
}

/* Time passes, timer by timer. */
static inline void kit_pass(struct kit *kit, uint64_t ms)
{
    uint64_t end_ns = kit->now_ns + ms * TRI_NS_PER_MS;
    uint64_t wall_end_ms = kit->wall_ms + ms;

    for (;;) {
        struct tri_event event = {.type = TRI_EVENT_TICK};
        uint64_t next_ns = tri_engine_deadline_ns(kit->engine);

        if (next_ns > end_ns) {
            break;
        }
        if (next_ns > kit->now_ns) {
            kit->wall_ms += (next_ns - kit->now_ns) / TRI_NS_PER_MS;
            kit->now_ns = next_ns;
        }
        (void)kit_step(kit, &event);
    }
    kit->now_ns = end_ns;
    kit->wall_ms = wall_end_ms;
}

static inline struct tri_engine_status kit_status(struct kit *kit, const char *id)
{
    struct tri_engine_status status = {0};
    struct tri_text text = kit_text(id);

    if (tri_engine_status(kit->engine, kit_key(text), text, kit->now_ns, &status) == TRI_GONE) {
        status.round.state = "GONE";
    }
    return status;
}

/* The counter at `offset`, for COUNT(). */
static inline uint64_t kit_count(const struct kit *kit, size_t offset)
{
    uint64_t value;

    memcpy(&value, (const uint8_t *)tri_engine_counters(kit->engine) + offset, sizeof(value));
    return value;
}

/* A test of suite `suite` over the bench `kit` of its file, which kit_open() and kit_close() of the
 * file set up and take down: KIT_BENCH defines all three. */
#define KIT_BENCH               \
    static struct kit kit;      \
    static void kit_open(void)  \
    {                           \
        kit_init(&kit);         \
    }                           \
    static void kit_close(void) \
    {                           \
        kit_fini(&kit);         \
    }
#define ENGINE_TEST(suite, name) Test(suite, name, .init = kit_open, .fini = kit_close)
#define SAID(text)               cr_assert_str_eq(kit_said(&kit), text)
#define COUNT(field)             kit_count(&kit, offsetof(struct tri_engine_counters, field))

#endif
