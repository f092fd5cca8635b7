/* SPDX-License-Identifier: Apache-2.0 */
#include "shards/journal_log.h"

#include <assert.h>
#include <string.h>

#include "engine/limits.h"
#include "shards/route.h"

/* Nobody wakes a shard that waits for the archive: it looks. */
#define STARVED_POLL_NS    (1U * TRI_NS_PER_MS)
#define CHECKPOINT_POLL_NS (100U * TRI_NS_PER_MS)

/* Where the record of an effect goes. */
static uint16_t log_slot(struct tri_journal_log *journal, const struct tri_effect *effect)
{
    if (effect->append.kind != TRI_RECORD_CHECKPOINT) {
        return (uint16_t)tri_route_slot(effect->round.key);
    }
    assert(journal->end_lsn == 0);
    journal->end_lsn = effect->append.lsn;
    journal->archive_lsn = journal->tape == NULL ? 0 : journal->tape->last_lsn;
    return journal->slot_first;
}

static bool log_append(void *context, const struct tri_effect *effect)
{
    struct tri_journal_log *journal = context;
    enum tri_record kind = effect->append.kind;
    bool is_taped = kind == TRI_RECORD_PRIMARY && journal->tape != NULL;
    uint32_t bytes_max = tri_engine_record_bytes_max(journal->engine, effect);
    uint32_t bytes;
    uint8_t *to;

    if (journal->failed_lsn != 0 || (is_taped && !tri_tape_reserve(journal->tape, effect))) {
        return false;
    }
    to = tri_log_reserve(journal->log, bytes_max);
    if (to == NULL) {
        return false;
    }
    bytes = tri_engine_record(journal->engine, effect, to);
    assert(bytes <= bytes_max);
    if (kind == TRI_RECORD_IMAGE || kind == TRI_RECORD_REMEMBER) {
        journal->checkpoint_bytes += bytes;
    }
    tri_log_commit(journal->log, (uint16_t)kind, log_slot(journal, effect), effect->append.lsn,
                   bytes);
    if (is_taped) {
        tri_tape_commit(journal->tape, effect, journal->chains, journal->chain_count);
    }
    return true;
}

static uint64_t log_durable(void *context)
{
    struct tri_journal_log *journal = context;
    uint64_t durable_lsn = tri_log_durable_lsn(journal->log);

    if (journal->end_lsn == 0 || durable_lsn < journal->end_lsn) {
        return durable_lsn;
    }
    if (journal->tape == NULL || tri_tape_is_archived(journal->tape, journal->archive_lsn)) {
        tri_log_checkpointed(journal->log, journal->begin_lsn, journal->checkpoint_bytes);
        journal->end_lsn = 0;
    } else {
        tri_tape_want(journal->tape, journal->archive_lsn);
    }
    return durable_lsn;
}

static uint64_t log_failed(void *context)
{
    struct tri_journal_log *journal = context;

    if (journal->failed_lsn == 0) {
        journal->failed_lsn = tri_log_failed_lsn(journal->log);
    }
    if (journal->failed_lsn == 0 && journal->tape != NULL && tri_tape_has_failed(journal->tape)) {
        journal->failed_lsn = tri_log_last_lsn(journal->log) + 1;
    }
    return journal->failed_lsn;
}

static bool log_begin_checkpoint(void *context)
{
    struct tri_journal_log *journal = context;

    if (!tri_log_wants_checkpoint(journal->log)) {
        return false;
    }
    assert(journal->end_lsn == 0);
    journal->begin_lsn = tri_log_checkpoint_begin(journal->log);
    journal->checkpoint_bytes = 0;
    return true;
}

const struct tri_journal_ops tri_journal_log_ops = {
    .append = log_append,
    .durable = log_durable,
    .failed = log_failed,
    .begin_checkpoint = log_begin_checkpoint,
};

void tri_journal_log_init(struct tri_journal_log *journal, struct tri_log *log,
                          struct tri_tape *tape, struct tri_engine *engine,
                          const struct tri_engine_chain *chains, uint32_t chain_count,
                          uint16_t slot_first)
{
    assert(slot_first < TRI_SLOT_COUNT);
    assert(tri_log_last_lsn(log) == 0);
    *journal = (struct tri_journal_log){.engine = engine,
                                        .log = log,
                                        .tape = tape,
                                        .chains = chains,
                                        .chain_count = chain_count,
                                        .slot_first = slot_first};
}

bool tri_journal_log_publish(struct tri_journal_log *journal)
{
    return journal->tape != NULL &&
           tri_tape_publish(journal->tape, tri_log_durable_lsn(journal->log),
                            tri_engine_epoch_closed(journal->engine));
}

uint64_t tri_journal_log_due_ns(const struct tri_journal_log *journal, uint64_t now_ns)
{
    if (journal->tape == NULL || journal->failed_lsn != 0) {
        return TRI_NEVER;
    }
    if (tri_tape_is_starved(journal->tape) || tri_tape_is_unpublished(journal->tape)) {
        return now_ns + STARVED_POLL_NS;
    }
    return journal->end_lsn != 0 ? now_ns + CHECKPOINT_POLL_NS : TRI_NEVER;
}

uint32_t tri_chains_table_put(const struct tri_engine_chain *chains, uint32_t chain_count,
                              uint8_t *to)
{
    uint8_t *at = to;

    assert(chain_count <= TRI_CHAINS_MAX);
    *at++ = (uint8_t)chain_count;
    *at++ = (uint8_t)(chain_count >> 8);
    for (uint32_t i = 0; i < chain_count; i++) {
        assert(chains[i].id.bytes <= TRI_CHAIN_ID_BYTES_MAX);
        *at++ = (uint8_t)chains[i].id.bytes;
        memcpy(at, chains[i].id.at, chains[i].id.bytes);
        at += chains[i].id.bytes;
    }
    return (uint32_t)(at - to);
}

static uint16_t table_find(struct tri_text id, const struct tri_engine_chain *chains,
                           uint32_t chain_count)
{
    for (uint32_t i = 0; i < chain_count; i++) {
        if (chains[i].id.bytes == id.bytes && memcmp(chains[i].id.at, id.at, id.bytes) == 0) {
            return (uint16_t)i;
        }
    }
    return UINT16_MAX;
}

uint32_t tri_chains_table_get(struct tri_bytes table, const struct tri_engine_chain *chains,
                              uint32_t chain_count, uint16_t *map)
{
    const uint8_t *at = table.at;
    const uint8_t *end = table.at + table.bytes;
    uint32_t count = 0;

    if (table.bytes < 2) {
        return 0;
    }
    count = (uint32_t)at[0] | (uint32_t)at[1] << 8;
    at += 2;
    if (count > TRI_CHAINS_MAX) {
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct tri_text id;

        if (at == end || *at > TRI_CHAIN_ID_BYTES_MAX || (size_t)(end - at) < *at + 1U) {
            return 0;
        }
        id = (struct tri_text){.at = (const char *)at + 1, .bytes = *at};
        map[i] = table_find(id, chains, chain_count);
        at += 1U + id.bytes;
    }
    return at == end ? count : 0;
}
