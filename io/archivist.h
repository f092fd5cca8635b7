/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archivist: the thread that makes finality records of what the shards put onto their tapes (D04).
 *
 * It gathers each shard's epoch, and when that is closed and durable in the journal it makes the
 * record: tree, signature, bytes.  Records are handed to the kernel soon and flushed some times a
 * second: until then the journal has them, and keeps them until it hears that the archive has too.
 *
 * It also keeps the pending sync queue (io/pending.h): it answers what settlement and operators ask
 * over the shards' desks (io/archive_desk.h), and has messages driven forward again while there is
 * a gap (F04).
 *
 * An archive that fails is never written again (D03): the tapes are told, the shards take no new
 * messages (D07), and the next start completes the archive from the journal.
 *
 * Threads: tri_archivist_begin() and tri_archivist_end() by one thread; the archive belongs to the
 * archivist in between.
 */
#ifndef TRI_IO_ARCHIVIST_H
#define TRI_IO_ARCHIVIST_H

#include "io/archive.h"
#include "io/archive_desk.h"
#include "io/loop.h"
#include "io/pending.h"
#include "shards/tape.h"

struct tri_archivist;

struct tri_archivist_options {
    struct tri_archive *archive; /* borrowed until end; its streams of this start are open */
    struct tri_tape *tapes;      /* one per shard; likewise, and so are the rest */
    struct tri_desk *desks;      /* one per shard */
    struct tri_pending *pending;
    bool is_settled;                 /* a settlement is configured */
    const struct tri_shard_set *set; /* which shard owns a message */
    /* wake makes a shard's thread take a turn; it runs on the archivist's thread, with its loop. */
    void (*wake)(void *context, struct tri_loop *loop, uint32_t shard);
    void *context;
    uint32_t shards;
    uint32_t epoch; /* of this start */
};

/* tri_archivist_begin starts the thread.  Returns 0 or -errno with a line in `trouble`. */
int tri_archivist_begin(struct tri_archivist **archivist,
                        const struct tri_archivist_options *options,
                        char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);

/* tri_archivist_wait waits until the thread runs.  Returns 0, or -errno if it cannot. */
int tri_archivist_wait(const struct tri_archivist *archivist);

/* tri_archivist_wake lets it look at the tapes; on a shard's thread, with that shard's loop: it
 * leaves with the loop's next submit. */
void tri_archivist_wake(struct tri_archivist *archivist, struct tri_loop *loop);

/* tri_archivist_end archives what the shards, which have ended, have left, closes the streams if
 * nothing is missing, and ends the thread.  Accepts NULL. */
void tri_archivist_end(struct tri_archivist *archivist);

/* Whether it archives nothing more; any thread. */
bool tri_archivist_has_failed(const struct tri_archivist *archivist);

#endif
