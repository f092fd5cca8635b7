/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Journal log: a shard's journal that keeps its records in a log (shards/log.h).
 *
 * The log knows nothing of messages and the engine nothing of blocks; this is
 * what lies between them: an APPEND effect becomes a record under its message's
 * slot, a checkpoint begins when the log asks for one, and when its last record
 * is durable the log hears where recovery begins from then on.
 *
 * Primary records go onto a tape as well, if there is one (shards/tape.h).  A
 * checkpoint counts only when what it would drop is durable in the archive too
 * (D04), and an archive that has failed stops the shard as the log's own failure
 * does (D03).
 *
 * Records name chains by number.  The table from number to chain is the first
 * record of every segment: u16 count, then for each u8 length and the CAIP-2 id.
 *
 * Threads: as the shard.
 */
#ifndef TRI_SHARDS_JOURNAL_LOG_H
#define TRI_SHARDS_JOURNAL_LOG_H

#include "shards/journal.h"
#include "shards/log.h"
#include "shards/tape.h"

struct tri_journal_log {
    struct tri_engine *engine;
    struct tri_log *log;
    struct tri_tape *tape; /* NULL: nothing is archived */
    const struct tri_engine_chain *chains;
    uint32_t chain_count;
    uint64_t failed_lsn;       /* as it was told, 0 = not */
    uint64_t archive_lsn;      /* what the archive must have before the checkpoint counts */
    uint16_t slot_first;       /* of the shard: where the CHECKPOINT record stands */
    uint64_t begin_lsn;        /* of the checkpoint that runs or waits to be durable */
    uint64_t end_lsn;          /* its last record, 0 = it has none yet */
    uint64_t checkpoint_bytes; /* of its records */
};

extern const struct tri_journal_ops tri_journal_log_ops; /* context: struct tri_journal_log */

/* tri_journal_log_init binds a log that holds no record yet to the engine of one shard.  `tape` may
 * be NULL; `chains` are the engine's. */
void tri_journal_log_init(struct tri_journal_log *journal, struct tri_log *log,
                          struct tri_tape *tape, struct tri_engine *engine,
                          const struct tri_engine_chain *chains, uint32_t chain_count,
                          uint16_t slot_first);

/* tri_journal_log_publish shows the tape's reader how far things are, at the end of a turn; whether
 * the reader sleeps and has to be woken. */
bool tri_journal_log_publish(struct tri_journal_log *journal);

/* When a turn is due because the archive is waited for; TRI_NEVER = it is not. */
uint64_t tri_journal_log_due_ns(const struct tri_journal_log *journal, uint64_t now_ns);

/* The longest table of chains. */
#define TRI_CHAINS_TABLE_BYTES_MAX (2U + TRI_CHAINS_MAX * (1U + TRI_CHAIN_ID_BYTES_MAX))
/* tri_chains_table_put writes the table into `to`, TRI_CHAINS_TABLE_BYTES_MAX bytes of room;
 * returns its bytes. */
uint32_t tri_chains_table_put(const struct tri_engine_chain *chains, uint32_t chain_count,
                              uint8_t *to);
/*
 * tri_chains_table_get maps the numbers of a table to the configuration of today.
 *
 * map  out; TRI_CHAINS_MAX entries: the index in `chains`, UINT16_MAX = not configured any more.
 *
 * Returns how many numbers the table has; 0: the bytes are no table.
 */
uint32_t tri_chains_table_get(struct tri_bytes table, const struct tri_engine_chain *chains,
                              uint32_t chain_count, uint16_t *map);

#endif
