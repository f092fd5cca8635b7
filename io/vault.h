/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vault: what a server keeps of finality, put together (docs/finality.md).
 *
 *     DATA/finality-key     signs the records; made together with the archive, if nobody has put
 * one there, and never after that DATA/finality         the archive, and what the settlement has
 * said DATA/finality-id      which archive that is (io/archive_id.h)
 *
 * and, while the server runs, the shards' tapes and desks, the pending sync queue, and the thread
 * that serves them.
 *
 * Threads: open, begin and end by one thread; what lies in it belongs to the shards and the
 * archivist in between, as their headers say.
 */
#ifndef TRI_IO_VAULT_H
#define TRI_IO_VAULT_H

#include "io/archivist.h"

struct tri_vault {
    struct tri_signer signer;
    struct tri_archive *archive;
    struct tri_pending *pending;
    struct tri_tape *tapes; /* one per shard */
    struct tri_desk *desks; /* likewise */
    struct tri_archivist *archivist;
    void *memory; /* of tapes and desks */
    size_t bytes;
};

/*
 * tri_vault_open opens the key and the archive of the data directory, which must exist.
 *
 * vault  zeroed; give it to tri_vault_end(), whatever is returned.
 *
 * Returns 0 or -errno with a line in `trouble`: see tri_signer_open() and tri_archive_open();
 * -ENOKEY: the archive is there, its key is not.
 */
int tri_vault_open(struct tri_vault *vault, const char *data_dir,
                   char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);

struct tri_vault_options {
    const char *data_dir;
    uint32_t shards;
    uint32_t epoch;                     /* of this start */
    struct tri_pending_options pending; /* is_on: a settlement is configured */
    const struct tri_shard_set *set;
    void (*wake)(void *context, struct tri_loop *loop, uint32_t shard); /* as the archivist's */
    void *context;
};

/* tri_vault_begin makes the tapes and desks and finds the queue; behind tri_archive_begin(), before
 * the shards' journals are opened.  Returns 0 or -errno with a line in `trouble`. */
int tri_vault_begin(struct tri_vault *vault, const struct tri_vault_options *options,
                    char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);
/* tri_vault_run starts the thread, when all that `wake` wakes is there.  Returns 0 or -errno with a
 * line in `trouble`. */
int tri_vault_run(struct tri_vault *vault, const struct tri_vault_options *options,
                  char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);

/* tri_vault_end archives what the shards have left and gives everything back; accepts a zeroed
 * vault.  After the shards' threads have ended, and before their loops are given back: the
 * archivist may wake them until then. */
void tri_vault_end(struct tri_vault *vault);

#endif
