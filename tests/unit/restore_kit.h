/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bench with a journal: engine_kit.h, and every record that its engine appends, as bytes.  A test
 * tells a story, restarts the engine from the records, and goes on with the next epoch.
 */
#ifndef TRI_TESTS_RESTORE_KIT_H
#define TRI_TESTS_RESTORE_KIT_H

#include "tests/unit/engine_kit.h"

#define KEPT_MAX    512U
#define KEPT_CHAINS 3U

struct kept {
    enum tri_record kind;
    uint64_t lsn;
    uint32_t bytes;
    uint8_t *at;
};

/* All of a bench's records, of all its epochs, and how the journal numbers the chains. */
static struct kept kept[KEPT_MAX];
static uint32_t kept_count;
static uint16_t kept_chains[KEPT_CHAINS];

static inline void kept_keep(struct kit *it, const struct tri_effect *append)
{
    uint32_t bytes_max = tri_engine_record_bytes_max(it->engine, append);
    struct kept *record = &kept[kept_count++];

    assert(kept_count <= KEPT_MAX);
    record->kind = append->append.kind;
    record->lsn = append->append.lsn;
    record->at = malloc(bytes_max);
    assert(record->at != NULL);
    record->bytes = tri_engine_record(it->engine, append, record->at);
    assert(record->bytes <= bytes_max);
    assert(bytes_max <= TRI_RECORD_BYTES_MAX);
}

static inline void kept_open(struct kit *it)
{
    kit_init(it);
    it->on_append = kept_keep;
    kept_count = 0;
    for (uint16_t i = 0; i < KEPT_CHAINS; i++) {
        kept_chains[i] = i;
    }
}

static inline void kept_close(struct kit *it)
{
    while (kept_count > 0) {
        free(kept[--kept_count].at);
    }
    kit_fini(it);
}

/* The last record of its kind. */
static inline const struct kept *kept_last(enum tri_record kind)
{
    uint32_t i = kept_count;

    while (i > 0 && kept[i - 1].kind != kind) {
        i--;
    }
    cr_assert(i > 0, "no record of kind %d", (int)kind);
    return &kept[i - 1];
}

/* A new engine of the next epoch that knows nothing yet. */
static inline void kept_init(struct kit *it)
{
    it->options.epoch++;
    cr_assert_null(tri_engine_check(&it->options));
    free(it->memory);
    it->memory = aligned_alloc(64, (tri_engine_footprint(&it->options) + 63) / 64 * 64);
    assert(it->memory != NULL);
    memset(it->memory, 0x5a, tri_engine_footprint(&it->options));
    it->engine = tri_engine_init(it->memory, &it->options);
    it->lsn = 0;
    it->log[0] = '\0';
}

static inline enum tri_result kept_replay(struct kit *it, enum tri_record kind, const void *at,
                                          uint32_t bytes, const char **fault)
{
    struct tri_replay replay = {
        .kind = kind,
        .payload = {at, bytes},
        .chains = kept_chains,
        .chain_count = KEPT_CHAINS,
        .now_ns = it->now_ns,
        .wall_ms = it->wall_ms,
    };

    return tri_engine_replay(it->engine, &replay, fault);
}

/* Takes the records from number `first` on back; each must be understood or skipped. */
static inline void kept_replay_all(struct kit *it, uint32_t first)
{
    for (uint32_t i = first; i < kept_count; i++) {
        const char *fault = NULL;
        enum tri_result result = kept_replay(it, kept[i].kind, kept[i].at, kept[i].bytes, &fault);

        cr_assert(result == TRI_OK || result == TRI_STALE, "record %u: %d: %s", i, (int)result,
                  fault);
    }
}

static inline void kept_resume(struct kit *it)
{
    cr_assert_eq(tri_engine_resume(it->engine, it->now_ns, it->wall_ms), TRI_OK);
}

/* The chains connect, and what is open is sent to them. */
static inline void kept_connect(struct kit *it)
{
    for (uint16_t chain = 0; chain < KEPT_CHAINS; chain++) {
        kit_chain(it, chain, true, true);
    }
    while (tri_engine_deadline_ns(it->engine) <= it->now_ns) {
        struct tri_event event = {.type = TRI_EVENT_TICK};

        (void)kit_step(it, &event);
    }
}

/* A crash and a restart in one: everything that was appended is there. */
static inline void kept_restart(struct kit *it)
{
    kept_init(it);
    kept_replay_all(it, 0);
    kept_resume(it);
    it->log[0] = '\0';
}

/* An answer for an attempt of any epoch. */
static inline void kept_answer(struct kit *it, const char *id, uint16_t chain, enum tri_phase phase,
                               tri_attempt attempt)
{
    struct tri_event event = kit_ack(id, chain, phase, 1);

    event.phase_ack.attempt = attempt;
    (void)kit_step(it, &event);
}

static inline void kept_all_answer(struct kit *it, const char *id, enum tri_phase phase,
                                   tri_attempt attempt)
{
    for (uint16_t chain = 0; chain < KEPT_CHAINS; chain++) {
        kept_answer(it, id, chain, phase, attempt);
    }
}

/* All steps of a checkpoint; returns the LSN at which it began. */
static inline uint64_t kept_checkpoint(struct kit *it)
{
    uint64_t begin_lsn = 0;

    do {
        struct tri_event event = {.type = TRI_EVENT_CHECKPOINT};

        cr_assert_eq(kit_step(it, &event), TRI_OK);
        begin_lsn = begin_lsn == 0 ? tri_engine_checkpoint_lsn(it->engine) : begin_lsn;
    } while (tri_engine_checkpoint_lsn(it->engine) != 0);
    return begin_lsn;
}

/* Drops all records but the last `count`. */
static inline void kept_drop_until(uint32_t first)
{
    for (uint32_t i = 0; i < first; i++) {
        free(kept[i].at);
    }
    memmove(kept, kept + first, (kept_count - first) * sizeof(kept[0]));
    kept_count -= first;
}

#define KEPT_BENCH              \
    static struct kit kit;      \
    static void kit_open(void)  \
    {                           \
        kept_open(&kit);        \
    }                           \
    static void kit_close(void) \
    {                           \
        kept_close(&kit);       \
    }

#endif
