/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of libFuzzer: a damaged journal whose checksums hold.
 *
 * The records are genuine: a story with every strategy and every way to the end, told once.  The
 * input says which of their bytes are changed, records left out or repeated.  Whatever is taken
 * back without a complaint, the engine must live with: connect, hear answers, let time pass, make a
 * checkpoint.  What must hold is in the engine's assertions.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/wire.h"

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer looks for this name */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHAINS       3U
#define RECORDS_MAX  128U
#define RECORD_BYTES 1024U
#define WALL_MS      UINT64_C(1700000000000)

struct stand {
    struct tri_engine *engine;
    struct tri_engine_options options;
    void *memory;
    struct tri_effects effects;
    uint64_t now_ns;
    uint64_t lsn;
    bool keeps; /* the records, in `kept` */
};

struct kept {
    enum tri_record kind;
    uint32_t bytes;
    uint8_t at[RECORD_BYTES];
};

static struct tri_engine_chain chain_names[CHAINS] = {
    {{"sim:1", 5}}, {{"sim:2", 5}}, {{"sim:3", 5}}};
static uint16_t all_chains[CHAINS] = {0, 1, 2};
static struct tri_engine_location location = {{"*", 1}, all_chains, CHAINS};
static struct kept kept[RECORDS_MAX];
static uint32_t kept_count;
static struct kept changed;
static struct tri_frame frame;

static void stand_init(struct stand *stand, uint32_t epoch)
{
    struct tri_engine_options *options = &stand->options;
    size_t bytes;

    *options = (struct tri_engine_options){
        .epoch = epoch,
        .rounds_max = 16,
        .dedup_entries_max = 32,
        .body_counts = {16, 16, 2, 0, 0},
        .waiters_max = 16,
        .envelopes_max = 3,
        .chains = chain_names,
        .chain_count = CHAINS,
        .locations = &location,
        .location_count = 1,
        .map_version = 1,
        .timeout_ms = {5000, 10000, 5000},
        .timeout_ms_max = {60000, 60000, 60000},
        .rollback_window_ms = 60000,
        .clock_allowance_ms = 1000,
        .chain_share_permille = 1000,
    };
    for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
        for (uint32_t subtype = 0; subtype < TRI_SUBTYPE_COUNT; subtype++) {
            options->policies[type][subtype] =
                (struct tri_engine_policy){2, 1000, 4000, 2000, 0, 0, 60000};
        }
    }
    assert(tri_engine_check(options) == NULL);
    bytes = tri_engine_footprint(options);
    if (stand->memory == NULL) {
        stand->memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
        assert(stand->memory != NULL);
    }
    stand->engine = tri_engine_init(stand->memory, options);
    stand->lsn = 0;
}

static void stand_step_one(struct stand *stand, struct tri_event *event)
{
    event->now_ns = stand->now_ns;
    event->wall_ms = WALL_MS + stand->now_ns / TRI_NS_PER_MS;
    (void)tri_engine_step(stand->engine, event, &stand->effects);
    for (uint32_t i = 0; i < stand->effects.count; i++) {
        const struct tri_effect *effect = &stand->effects.at[i];

        if (effect->type != TRI_EFFECT_APPEND) {
            continue;
        }
        stand->lsn++;
        assert(effect->append.lsn == stand->lsn);
        if (stand->keeps) {
            assert(kept_count < RECORDS_MAX);
            assert(tri_engine_record_bytes_max(stand->engine, effect) <= RECORD_BYTES);
            kept[kept_count].kind = effect->append.kind;
            kept[kept_count].bytes = tri_engine_record(stand->engine, effect, kept[kept_count].at);
            kept_count++;
        }
    }
}

/* What a step has appended is durable behind it. */
static void stand_step(struct stand *stand, struct tri_event *event)
{
    struct tri_event durable = {.type = TRI_EVENT_JOURNAL_DURABLE};

    stand_step_one(stand, event);
    durable.journal.lsn = stand->lsn;
    stand_step_one(stand, &durable);
}

static void stand_pass(struct stand *stand, uint64_t ms)
{
    uint64_t end_ns = stand->now_ns + ms * TRI_NS_PER_MS;

    for (uint32_t turns = 0; tri_engine_deadline_ns(stand->engine) <= end_ns; turns++) {
        struct tri_event tick = {.type = TRI_EVENT_TICK};
        uint64_t next_ns = tri_engine_deadline_ns(stand->engine);

        assert(turns < 100000); /* it comes to an end */
        stand->now_ns = next_ns > stand->now_ns ? next_ns : stand->now_ns;
        stand_step(stand, &tick);
    }
    stand->now_ns = end_ns;
}

static void stand_connect(struct stand *stand)
{
    for (uint16_t chain = 0; chain < CHAINS; chain++) {
        struct tri_event up = {.type = TRI_EVENT_CHAIN_UP, .chain = {chain, true}};

        stand_step(stand, &up);
    }
    stand_pass(stand, 0);
}

static void stand_checkpoint(struct stand *stand)
{
    do {
        struct tri_event event = {.type = TRI_EVENT_CHECKPOINT};

        stand_step(stand, &event);
    } while (tri_engine_checkpoint_lsn(stand->engine) != 0);
}

/* ---- the story ---- */

static struct tri_key key_of(char name)
{
    return (struct tri_key){(uint64_t)name * UINT64_C(0x9e3779b97f4a7c15), (uint64_t)name << 40};
}

static void submit(struct stand *stand, char name, enum tri_atomicity atomicity)
{
    struct tri_message message = {
        .id = {&name, 1},
        .type = TRI_TYPE_REGULATORY_ACTION,
        .atomicity = atomicity,
        .ttl_s = 60,
        .timestamp_ms = WALL_MS,
        .source_chain = chain_names[0].id,
        .source_node = {"node", 4},
        .target_count = CHAINS,
        .targets = {{"sim:1", 5}, {"sim:2", 5}, {"sim:3", 5}},
        .asset_count = 1,
        .assets = {{"bond", 4}},
        .payload = {(const uint8_t *)"pay", 3},
        .finalize_requested = name == 'f',
    };
    struct tri_event event = {.type = TRI_EVENT_SUBMIT};
    struct tri_wire_fault fault;
    static uint8_t bytes[RECORD_BYTES];
    uint32_t count;

    frame.type = TRI_FRAME_SUBMIT;
    frame.submit = message;
    count = tri_wire_encode(&frame, bytes, sizeof(bytes));
    assert(count > 4);
    if (tri_wire_decode(bytes + 4, count - 4, &frame, &fault) != TRI_OK) {
        abort();
    }
    event.submit.key = key_of(name);
    memset(&event.submit.hash, name, sizeof(event.submit.hash));
    event.submit.message = &frame.submit;
    event.submit.client = 1;
    stand_step(stand, &event);
}

/* An envelope of two deliveries. */
static void wrap(struct stand *stand, char name)
{
    static uint8_t bytes[2][RECORD_BYTES];
    struct tri_envelope_part parts[2];
    struct tri_event event = {.type = TRI_EVENT_ENVELOPE};

    for (uint32_t i = 0; i < 2; i++) {
        struct tri_writer writer = {.at = bytes[i], .end = bytes[i] + RECORD_BYTES};
        struct tri_message message = {
            .id = {i == 0 ? "1" : "2", 1},
            .type = TRI_TYPE_REGULATORY_ACTION,
            .atomicity = TRI_GUARANTEED,
            .ttl_s = 60,
            .timestamp_ms = WALL_MS,
            .source_chain = chain_names[0].id,
            .source_node = {"node", 4},
            .target_count = 1,
            .targets = {{"sim:1", 5}},
            .asset_count = 1,
            .assets = {{"bond", 4}},
            .envelope = {true, {&name, 1}, i + 1, 2},
        };

        parts[i].canonical.at = tri_wire_put_submit(&writer, &message);
        parts[i].canonical.bytes = (uint32_t)(writer.at - parts[i].canonical.at);
        parts[i].id = message.id;
    }
    event.envelope.key = key_of(name);
    event.envelope.id = (struct tri_text){&name, 1};
    event.envelope.deliveries = parts;
    event.envelope.count = 2;
    event.envelope.client = 1;
    stand_step(stand, &event);
}

static void deliver(struct stand *stand, uint32_t slot, uint32_t generation, uint32_t position,
                    enum tri_ack_type type)
{
    struct tri_event event = {.type = TRI_EVENT_DELIVERY};

    event.delivery.slot = slot;
    event.delivery.generation = generation;
    event.delivery.position = position;
    event.delivery.is_recorded = type == TRI_ACK_RECEIVED;
    event.delivery.type = type;
    event.delivery.code = type == TRI_ACK_FAILED ? TRI_ERROR_ROLLED_BACK : TRI_ERROR_NONE;
    stand_step(stand, &event);
}

static void answer(struct stand *stand, char name, uint16_t chain, enum tri_phase phase,
                   tri_attempt attempt, bool is_ok)
{
    struct tri_event event = {.type = TRI_EVENT_PHASE_ACK};

    event.phase_ack.key = key_of(name);
    event.phase_ack.id = (struct tri_text){&name, 1};
    event.phase_ack.chain = chain;
    event.phase_ack.phase = phase;
    event.phase_ack.attempt = attempt;
    event.phase_ack.type =
        is_ok ? (enum tri_ack_type)(TRI_ACK_PHASE_PREPARE_OK + (int)phase) : TRI_ACK_PHASE_REJECT;
    event.phase_ack.code = is_ok ? TRI_ERROR_NONE : TRI_ERROR_OPERATOR_REFUSED;
    event.phase_ack.tokens = (struct tri_bytes){(const uint8_t *)"\x91\xa1x", 3};
    stand_step(stand, &event);
}

static void all_answer(struct stand *stand, char name, enum tri_phase phase, tri_attempt attempt)
{
    for (uint16_t chain = 0; chain < CHAINS; chain++) {
        answer(stand, name, chain, phase, attempt, true);
    }
}

static void all_undone(struct stand *stand, char name, tri_attempt attempt)
{
    for (uint16_t chain = 0; chain < CHAINS; chain++) {
        struct tri_event event = {.type = TRI_EVENT_CONTROL_ACK};

        event.control_ack.key = key_of(name);
        event.control_ack.id = (struct tri_text){&name, 1};
        event.control_ack.chain = chain;
        event.control_ack.kind = TRI_CONTROL_ROLLBACK;
        event.control_ack.attempt = attempt;
        event.control_ack.type = TRI_ACK_PROCESSED;
        stand_step(stand, &event);
    }
}

/* r refused, p processed, u undone and tried again, k rolled back in the end, d decided, b and f
 * best effort, w waiting; the envelopes x, ended, and y, in its second delivery; a checkpoint in
 * the middle. */
static void tell(struct stand *stand)
{
    const tri_attempt first = TRI_ATTEMPT(1, 1);

    stand->keeps = true;
    stand->now_ns = TRI_NS_PER_S;
    stand_init(stand, 1);
    stand_connect(stand);
    submit(stand, 'r', TRI_GUARANTEED);
    answer(stand, 'r', 1, TRI_PHASE_PREPARE, first, false);
    submit(stand, 'p', TRI_ALL_OR_NOTHING);
    all_answer(stand, 'p', TRI_PHASE_PREPARE, first);
    all_answer(stand, 'p', TRI_PHASE_COMMIT, first);
    all_answer(stand, 'p', TRI_PHASE_FINALIZE, first);
    submit(stand, 'k', TRI_ALL_OR_NOTHING);
    all_answer(stand, 'k', TRI_PHASE_PREPARE, first);
    answer(stand, 'k', 0, TRI_PHASE_COMMIT, first, true);
    answer(stand, 'k', 1, TRI_PHASE_COMMIT, first, false);
    stand_pass(stand, 10000);
    all_undone(stand, 'k', first);
    submit(stand, 'u', TRI_ALL_OR_NOTHING);
    all_answer(stand, 'u', TRI_PHASE_PREPARE, first);
    answer(stand, 'u', 2, TRI_PHASE_COMMIT, first, true);
    submit(stand, 'd', TRI_GUARANTEED);
    all_answer(stand, 'd', TRI_PHASE_PREPARE, first);
    wrap(stand, 'x');
    wrap(stand, 'y');
    deliver(stand, 0, 1, 0, TRI_ACK_FAILED);
    stand_pass(stand, 10000);
    stand_checkpoint(stand);
    deliver(stand, 1, 2, 0, TRI_ACK_RECEIVED);
    all_undone(stand, 'u', first);
    stand_pass(stand, 1000);
    submit(stand, 'b', TRI_BEST_EFFORT);
    submit(stand, 'f', TRI_BEST_EFFORT);
    all_answer(stand, 'b', TRI_PHASE_COMMIT, first);
    submit(stand, 'w', TRI_GUARANTEED);
    submit(stand, 'l', TRI_ALL_OR_NOTHING);
    all_answer(stand, 'l', TRI_PHASE_PREPARE, first);
    all_answer(stand, 'l', TRI_PHASE_COMMIT, first);
    stand->keeps = false;
}

/* ---- the damage ---- */

/* Four bytes of input are one change: which record, where, and what to. */
static void damage(const uint8_t *data, size_t size, uint32_t record)
{
    for (size_t i = 0; i + 4 <= size; i += 4) {
        if (data[i] % kept_count == record) {
            uint32_t at = data[i + 1] + 256U * data[i + 2];

            changed.at[at % (changed.bytes + 1)] ^= data[i + 3];
            changed.bytes -= data[i + 3] == 0xa5 && changed.bytes > 0 ? 1 : 0;
        }
    }
}

static bool take_back(struct stand *stand, const uint8_t *data, size_t size)
{
    uint32_t first = size > 0 ? data[size - 1] % kept_count : 0;

    for (uint32_t i = size % 2 == 0 ? 0 : first; i < kept_count; i++) {
        const char *fault = NULL;
        struct tri_replay replay = {
            .chains = all_chains,
            .chain_count = CHAINS,
            .now_ns = stand->now_ns,
            .wall_ms = WALL_MS + stand->now_ns / TRI_NS_PER_MS,
        };
        enum tri_result result;

        changed = kept[i];
        damage(data, size, i);
        replay.kind = changed.kind;
        replay.payload = (struct tri_bytes){changed.at, changed.bytes};
        result = tri_engine_replay(stand->engine, &replay, &fault);
        if (result != TRI_OK && result != TRI_STALE) {
            assert(fault != NULL);
            return false;
        }
        if (replay.kind == TRI_RECORD_PRIMARY) {
            struct tri_replayed replayed;

            tri_engine_replayed(stand->engine, &replayed);
        }
    }
    return tri_engine_resume(stand->engine, stand->now_ns,
                             WALL_MS + stand->now_ns / TRI_NS_PER_MS) == TRI_OK;
}

/* NOLINTNEXTLINE(readability-identifier-naming) */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stand stand;

    if (kept_count == 0) {
        tell(&stand);
    }
    stand.now_ns = 40 * TRI_NS_PER_S;
    stand_init(&stand, 2);
    if (!take_back(&stand, data, size)) {
        return 0;
    }
    stand_connect(&stand);
    all_answer(&stand, 'd', TRI_PHASE_COMMIT, TRI_ATTEMPT(1, 1));
    all_answer(&stand, 'l', TRI_PHASE_FINALIZE, TRI_ATTEMPT(1, 1));
    for (uint32_t i = 0; i < 24; i++) {
        deliver(&stand, i / 2 % 3, 1 + i / 6, i % 2,
                i % 2 == 0 ? TRI_ACK_RECEIVED : TRI_ACK_PROCESSED);
    }
    wrap(&stand, 'z');
    stand_pass(&stand, 20000);
    stand_checkpoint(&stand);
    stand_pass(&stand, 600000);
    stand_checkpoint(&stand);
    return 0;
}
