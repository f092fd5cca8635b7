/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine alone: GUARANTEED rounds over three chains through tri_engine_step, with no codec, no
 * socket and a journal that is durable at once.
 *
 * Estimate per round: 1 submit, 9 answers, 3 releases.  Each answer looks the message up (one line
 * of the dedup table), touches its round (three lines) and its target (one line), all in the
 * second-level cache at 1,024 in flight: about 20 ns.  Three transitions with a view and an arm of
 * the timer each: about 40 ns.  Submit copies 300 bytes and takes five objects: about 80 ns.
 * Together about 400 ns.
 *
 * Baseline: what the dedup table does for the same round (opened, found nine times, closed, swept)
 * and nothing else.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/bench.h"
#include "engine/dedup.h"
#include "engine/wire.h"
#include "tricast_engine.h"

#define HUGE_PAGE_BYTES (UINT64_C(2) << 20)
#define IN_FLIGHT       1024U
#define PREFETCH        8U /* submits ahead, as a runtime does that has a batch of frames in hand */
#define ID_BYTES        36U

struct load {
    struct tri_engine *engine;
    struct tri_message message; /* over `bytes`; the id changes in place */
    uint8_t bytes[1024];
    uint8_t *id;
    char ids[IN_FLIGHT][ID_BYTES]; /* of the messages in flight */
    uint64_t now_ns;
    uint64_t lsn;
    uint64_t processed;
    uint64_t effects_hash;
    struct tri_effects effects;
};

static struct tri_key load_key(uint64_t number)
{
    return (struct tri_key){number * UINT64_C(0x9e3779b97f4a7c15), number};
}

/* Writes the id of a message that begins. */
static void load_id(struct load *load, uint64_t number)
{
    static const char digits[] = "0123456789abcdef";

    for (uint32_t i = 0; i < 16; i++) {
        load->id[ID_BYTES - 1 - i] = (uint8_t)digits[(number >> (4 * i)) & 15U];
    }
    memcpy(load->ids[number % IN_FLIGHT], load->id, ID_BYTES);
}

static void load_step(struct load *load, struct tri_event *event)
{
    event->now_ns = load->now_ns;
    event->wall_ms = 1700000000000U;
    (void)tri_engine_step(load->engine, event, &load->effects);
    for (uint32_t i = 0; i < load->effects.count; i++) {
        const struct tri_effect *effect = &load->effects.at[i];

        load->effects_hash =
            (load->effects_hash + effect->type + effect->after_lsn) * 1099511628211U;
        if (effect->type == TRI_EFFECT_APPEND) {
            load->lsn = effect->append.lsn;
        }
        if (effect->type == TRI_EFFECT_NOTIFY && effect->notify.ack_type == TRI_ACK_PROCESSED) {
            load->processed++;
        }
    }
}

static void load_durable(struct load *load)
{
    struct tri_event event = {.type = TRI_EVENT_JOURNAL_DURABLE, .journal = {.lsn = load->lsn}};

    load_step(load, &event);
}

static void load_submit(struct load *load, uint64_t number)
{
    struct tri_event event = {.type = TRI_EVENT_SUBMIT};

    load_id(load, number);
    event.submit.key = load_key(number);
    memcpy(event.submit.hash.at, &number, sizeof(number));
    event.submit.message = &load->message;
    event.submit.client = 1;
    load_step(load, &event);
}

static void load_answer(struct load *load, uint64_t number, uint16_t chain, enum tri_phase phase)
{
    static const uint8_t token[] = {0x91, 0xa8, '1', '-', 'a', 'b', 'c', 'd', 'e', 'f'};
    struct tri_event event = {.type = TRI_EVENT_PHASE_ACK};

    event.phase_ack.key = load_key(number);
    event.phase_ack.id = (struct tri_text){load->ids[number % IN_FLIGHT], ID_BYTES};
    event.phase_ack.chain = chain;
    event.phase_ack.phase = phase;
    event.phase_ack.attempt = TRI_ATTEMPT(1, 1);
    event.phase_ack.type = (enum tri_ack_type)((int)TRI_ACK_PHASE_PREPARE_OK + (int)phase);
    if (phase == TRI_PHASE_PREPARE) {
        event.phase_ack.tokens = (struct tri_bytes){token, sizeof(token)};
    }
    load_step(load, &event);
}

static void load_options(struct tri_engine_options *options, const struct tri_engine_chain *chains)
{
    *options = (struct tri_engine_options){.epoch = 1,
                                           .rounds_max = 2 * IN_FLIGHT,
                                           .dedup_entries_max = 1U << 20,
                                           .waiters_max = IN_FLIGHT,
                                           .body_counts = {2 * IN_FLIGHT, 0, 0, 0, 0},
                                           .chains = chains,
                                           .chain_count = 3,
                                           .rollback_window_ms = 1000,
                                           .clock_allowance_ms = 100,
                                           .chain_share_permille = 1000};
    for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
        for (uint32_t subtype = 0; subtype < TRI_SUBTYPE_COUNT; subtype++) {
            options->policies[type][subtype] =
                (struct tri_engine_policy){.backoff_initial_ms = 1,
                                           .backoff_max_ms = 1,
                                           .multiplier_permille = 1000,
                                           .dedup_window_ms = 1000};
        }
    }
    for (uint32_t phase = 0; phase < TRI_PHASE_COUNT; phase++) {
        options->timeout_ms[phase] = 1000;
        options->timeout_ms_max[phase] = 1000;
    }
}

static void load_message(struct load *load)
{
    static const char *const targets[3] = {"eip155:8453", "eip155:42161", "eip155:10"};
    static uint8_t payload[64];
    struct tri_frame frame = {.type = TRI_FRAME_SUBMIT};
    struct tri_wire_fault fault;
    uint32_t bytes;

    frame.submit = (struct tri_message){.id = {"00000000-0000-0000-0000000000000000", ID_BYTES},
                                        .type = TRI_TYPE_REGULATORY_ACTION,
                                        .priority = TRI_PRIORITY_NORMAL,
                                        .atomicity = TRI_GUARANTEED,
                                        .ttl_s = 1,
                                        .timestamp_ms = 1700000000000U,
                                        .source_chain = {"eip155:1", 8},
                                        .source_node = {"node-1", 6},
                                        .target_count = 3,
                                        .asset_count = 1,
                                        .assets = {{"bond-0001", 9}},
                                        .payload = {payload, sizeof(payload)}};
    frame.submit.id = (struct tri_text){"00000000-0000-0000-0000-000000000000", ID_BYTES};
    for (uint32_t i = 0; i < 3; i++) {
        frame.submit.targets[i] = (struct tri_text){targets[i], (uint32_t)strlen(targets[i])};
    }
    bytes = tri_wire_encode(&frame, load->bytes, sizeof(load->bytes));
    assert(bytes > 0);
    if (tri_wire_decode(load->bytes + 4, bytes - 4, &frame, &fault) != TRI_OK) {
        abort();
    }
    load->message = frame.submit;
    load->id = load->bytes + ((const uint8_t *)frame.submit.id.at - load->bytes);
}

/* One sample: `rounds` rounds, IN_FLIGHT at a time, phase by phase.  Returns rounds per second. */
static double sample_engine(struct load *load, uint64_t first, uint64_t rounds)
{
    uint64_t start_ns = bench_now_ns();
    uint64_t processed = load->processed;

    for (uint64_t base = first; base < first + rounds; base += IN_FLIGHT) {
        load->now_ns += 1000000;
        for (uint64_t i = 0; i < IN_FLIGHT; i++) {
            tri_engine_prefetch(load->engine, load_key(base + i + PREFETCH));
            load_submit(load, base + i);
        }
        load_durable(load);
        for (int phase = 0; phase < (int)TRI_PHASE_COUNT; phase++) {
            for (uint16_t chain = 0; chain < 3; chain++) {
                for (uint64_t i = 0; i < IN_FLIGHT; i++) {
                    load_answer(load, base + i, chain, (enum tri_phase)phase);
                }
            }
            load_durable(load);
        }
    }
    assert(load->processed - processed == rounds);
    return (double)rounds * 1e9 / (double)(bench_now_ns() - start_ns);
}

static double sample_lookups(struct tri_dedup *dedup, struct tri_key *keys, uint64_t first,
                             uint64_t rounds, uint64_t *found)
{
    static const struct tri_dedup_hold hold = {1, 0};
    static uint32_t now_s;
    uint64_t start_ns = bench_now_ns();

    for (uint64_t base = first; base < first + rounds; base += IN_FLIGHT) {
        for (uint32_t i = 0; i < IN_FLIGHT; i++) {
            tri_dedup_prefetch(dedup, load_key(base + i + PREFETCH));
            keys[i] = load_key(base + i);
            (void)tri_dedup_open(dedup, keys[i], i, hold);
        }
        for (uint32_t answer = 0; answer < 9; answer++) {
            for (uint64_t i = 0; i < IN_FLIGHT; i++) {
                *found += tri_dedup_find(dedup, load_key(base + i)).round == i;
            }
        }
        for (uint64_t i = 0; i < IN_FLIGHT; i++) {
            (void)tri_dedup_close(dedup, load_key(base + i), hold, now_s, now_s + 1);
        }
        now_s++;
        (void)tri_dedup_sweep(dedup, now_s, UINT32_MAX);
    }
    return (double)rounds * 1e9 / (double)(bench_now_ns() - start_ns);
}

static void *memory_of(size_t bytes)
{
    size_t rounded = (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    void *memory = aligned_alloc(HUGE_PAGE_BYTES, rounded);

    if (memory == NULL) {
        (void)fprintf(stderr, "tricast-bench: out of memory\n");
        exit(1);
    }
    (void)madvise(memory, rounded, MADV_HUGEPAGE);
    memset(memory, 0, rounded);
    return memory;
}

int bench_engine(const struct bench_run *run)
{
    static const struct tri_engine_chain chains[3] = {
        {{"eip155:8453", 11}}, {{"eip155:42161", 12}}, {{"eip155:10", 9}}};
    static struct load load;
    struct tri_engine_options options;
    struct bench_series engine = {0};
    struct bench_series lookups = {0};
    uint64_t rounds = run->is_smoke ? 4 * IN_FLIGHT : 64 * IN_FLIGHT;
    uint64_t number = 1;
    uint64_t found = 0;
    static struct tri_key keys[IN_FLIGHT];
    struct tri_dedup *dedup =
        tri_dedup_init(memory_of(tri_dedup_footprint(1U << 20)), 1U << 20, keys, sizeof(keys[0]));

    bench_pin(0);
    load_options(&options, chains);
    load.engine = tri_engine_init(memory_of(tri_engine_footprint(&options)), &options);
    load.now_ns = 1000000000;
    load_message(&load);
    for (uint16_t chain = 0; chain < 3; chain++) {
        struct tri_event event = {.type = TRI_EVENT_CHAIN_UP,
                                  .chain = {.chain = chain, .is_fresh = true}};

        load_step(&load, &event);
    }
    for (uint32_t i = 0; i <= run->sample_count; i++) {
        double with = sample_engine(&load, number, rounds);
        double without = sample_lookups(dedup, keys, number, rounds, &found);

        number += rounds;
        load.now_ns += 20000000000U; /* the dedup window of this sample ends */
        for (uint32_t tick = 0; tick < 2000; tick++) {
            struct tri_event event = {.type = TRI_EVENT_TICK};

            load.now_ns += 1000000;
            load_step(&load, &event);
        }
        if (i > 0) {
            bench_add(&engine, with);
            bench_add(&lookups, without);
        }
    }
    bench_note("GUARANTEED, 3 chains, %u in flight, %llu rounds a sample, no codec, no journal",
               IN_FLIGHT, (unsigned long long)rounds);
    bench_note("work: %llu rounds PROCESSED, effects hash %016llx, look-ups %llu",
               (unsigned long long)load.processed, (unsigned long long)load.effects_hash,
               (unsigned long long)found);
    bench_report("engine.rounds", &engine, "rounds/s", BENCH_HIGHER, "look-ups alone", &lookups);
    return 0;
}
