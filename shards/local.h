/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local: chains with a handler in this process.
 *
 * A SEND effect towards such a chain is no frame: the handler is called with
 * an order made from the effect itself.  What it answers at once stands in
 * line and is given to the engine before anything else is, so one message runs
 * through all its phases while its round is in the nearest cache.
 *
 * An order that must wait for a record is remembered by its name alone.  The
 * round that waits for a record does not change before the record is durable
 * (engine/round_table.def), so the order is made when its time has come, from
 * what the engine then shows of the round.  Nothing is encoded on the way.
 *
 * Bounds.  The line of answers is empty when an event from outside is stepped,
 * and when a waiting order is made.  Such an event sends to as many rounds as
 * it has effects, each with 64 targets at most; after that a round sends again
 * only when its phase has ended, that is when all its answers have left the
 * line.  So the line holds an answer to a phase and one to an ABORT per effect
 * and target, and never more.  Orders wait at most twice per round; more of
 * them are repetitions for chains that came and went, and are forgotten like
 * frames on a broken connection: the chain counts as fresh afterwards (P15).
 *
 * All chains of a set are local, or none is.
 *
 * Threads: a shard's.  Handlers run on that thread.
 */
#ifndef TRI_SHARDS_LOCAL_H
#define TRI_SHARDS_LOCAL_H

#include "engine/limits.h"
#include "shards/shard.h"

struct tri_local;

/* Bytes, a multiple of 64, for one shard with so many rounds. */
size_t tri_local_footprint(uint32_t rounds_max);
/* tri_local_init formats `memory` (64-byte aligned, borrowed); `ports` are borrowed too. */
struct tri_local *tri_local_init(void *memory, uint32_t rounds_max,
                                 const struct tri_chain_port *ports);

/* tri_local_send carries a SEND effect out: now, or when its record is durable. */
void tri_local_send(struct tri_shard *shard, const struct tri_effect *effect);

/* tri_local_is_due tells whether tri_local_step() has something to do, an answer or an order whose
 * record is durable, and up to which record the engine has to know that it is durable before. */
bool tri_local_is_due(const struct tri_shard *shard, uint64_t *lsn);
/* tri_local_step makes an order, or steps answers up to the first that has effects. */
void tri_local_step(struct tri_shard *shard);

/* tri_local_answer steps a chain's answer, given at once or through a handle. */
void tri_local_answer(struct tri_shard *shard, const struct tri_ticket *ticket,
                      const struct tri_answer *answer);

/* tri_local_chain notes that a chain comes or goes; the engine is told by tri_seats_news(). */
void tri_local_chain(struct tri_shard *shard, uint16_t chain, bool is_up);

#endif
