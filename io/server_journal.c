/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of a server's shard: its turns, its counters, and what is said when it fails. */
#include "io/log.h"
#include "io/server_internal.h"

int tri_server_journal_open(struct tri_server *server, char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    struct tri_house *house = server->house;
    int failed = 0;

    if (house->keeper == NULL) {
        return 0;
    }
    failed = tri_keeper_attach(house->keeper, house->set, server->index,
                               house->vault == NULL ? NULL : &house->vault->tapes[server->index],
                               &server->loop, SERVER_KIND_JOURNAL, trouble);
    if (failed == 0) {
        server->journal = tri_keeper_journal(house->keeper, server->index);
    }
    return failed;
}

static void journal_publish(struct tri_server *server, const struct tri_journal_counts *counts)
{
    struct tri_server_counters *to = &server->counters;

    atomic_store_explicit(&to->journal_records, counts->log.records, memory_order_relaxed);
    atomic_store_explicit(&to->journal_blocks, counts->log.blocks, memory_order_relaxed);
    atomic_store_explicit(&to->journal_bytes, counts->log.bytes, memory_order_relaxed);
    atomic_store_explicit(&to->journal_refused, counts->log.refused, memory_order_relaxed);
    atomic_store_explicit(&to->journal_segments, counts->log.segments_kept, memory_order_relaxed);
    atomic_store_explicit(&to->journal_disk_bytes, counts->disk_bytes, memory_order_relaxed);
    atomic_store_explicit(&to->journal_old_failed, counts->retires_failed, memory_order_relaxed);
    atomic_store_explicit(&to->journal_failed, counts->has_failed ? 1 : 0, memory_order_relaxed);
}

/* Whether records wait because a segment could not be made. */
static bool journal_waits(const struct tri_journal_counts *counts)
{
    return counts->is_starved && counts->prepares_failed > 0;
}

/* D03: a journal that fails is seen: in the log once, in the counters for ever. */
static void journal_say(struct tri_server *server, const struct tri_journal_counts *counts)
{
    if (counts->has_failed && !server->is_journal_failed) {
        server->is_journal_failed = true;
        TRI_LOG(TRI_LOG_ERROR, "journal-failed",
                "shard=%u reason=\"%s\" effect=\"the shard takes no new messages; restart when the "
                "cause is mended\"",
                server->index, tri_journal_trouble(server->journal));
    }
    if (journal_waits(counts) != server->is_journal_starved) {
        server->is_journal_starved = journal_waits(counts);
        if (!counts->has_failed) { /* else it does not wait any more because it has given up */
            TRI_LOG(journal_waits(counts) ? TRI_LOG_ERROR : TRI_LOG_INFO, "journal-space",
                    "shard=%u waits=%d reason=\"%s\"", server->index, journal_waits(counts) ? 1 : 0,
                    tri_journal_trouble(server->journal));
        }
    }
    if (counts->retires_failed != server->journal_old_failed) {
        server->journal_old_failed = counts->retires_failed;
        TRI_LOG(TRI_LOG_WARN, "journal-old-sets", "shard=%u reason=\"%s\"", server->index,
                tri_journal_old_trouble(server->journal));
    }
}

void tri_server_journal_turn(struct tri_server *server)
{
    struct tri_journal_counts counts;
    uint32_t work = 0;

    if (server->journal == NULL) {
        return;
    }
    work = tri_journal_turn(server->journal, server->now_ns);
    if (tri_shard_publish(server->shard)) {
        tri_archivist_wake(server->house->vault->archivist, &server->loop);
    }
    counts = tri_journal_counts(server->journal);
    /* A journal that has failed, or waits for space, starts nothing: that is when it has news. */
    if (work == 0 && counts.has_failed == server->is_journal_failed &&
        counts.retires_failed == server->journal_old_failed &&
        journal_waits(&counts) == server->is_journal_starved) {
        return;
    }
    journal_publish(server, &counts);
    journal_say(server, &counts);
}
