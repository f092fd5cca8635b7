/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files: what the ledger has to know of a message, one per entry of the
 * participant.
 *
 * PREPARE, and COMMIT of BEST_EFFORT, bring a payload {assetId, action, reason}
 * (docs/wire.md); its asset must be one of the message's assets.  ABORT and
 * ROLLBACK do not repeat it, so it is noted here.
 * A PREPARE that waited for a verdict comes back without its frame, and finds here what its
 * content, which is the same in every attempt, asked for.
 *
 * Threads: one at a time.
 */
#ifndef TRI_IO_CHAIN_FILES_H
#define TRI_IO_CHAIN_FILES_H

#include "engine/wire.h"
#include "io/chain_book.h"
#include "tricast_participant.h"

/* Zeroed: nothing is noted. */
struct tri_file {
    uint64_t hash;     /* of the asset's id */
    const char *asset; /* in the ledger; NULL = the payload named no asset of ours */
    uint8_t asset_bytes;
    uint8_t action;
    uint8_t refusal; /* enum tri_error: why the payload names no asset of ours */
    bool is_filled;
};

struct tri_files {
    struct tri_book *book;
    uint32_t count;
    struct tri_file *at;
};

/* tri_files_open acquires `count` files; the book is open and borrowed.  Returns 0 or -ENOMEM. */
int tri_files_open(struct tri_files *files, struct tri_book *book, uint32_t count);
/* Accepts zeroed files. */
void tri_files_close(struct tri_files *files);

/* tri_files_fill notes what a payload asks for.  Returns TRI_ERROR_NONE or the code to refuse the
 * message with: BAD_PAYLOAD, UNKNOWN_ASSET; the file then names no asset. */
enum tri_error tri_files_fill(struct tri_files *files, uint32_t entry,
                              const struct tri_phase_frame *phase);

/* tri_files_refusal returns what filling the file returned; it was filled. */
enum tri_error tri_files_refusal(const struct tri_files *files, uint32_t entry);

/* tri_files_name makes the file name an asset of the ledger; false if it has no such asset. */
bool tri_files_name(struct tri_files *files, uint32_t entry, struct tri_text asset);

/* tri_files_operate carries one operation of the message `key` out on the ledger.  A file without
 * an asset has nothing to release or undo.  Returns TRI_ERROR_NONE or the code to refuse with;
 * RELEASE never fails. */
enum tri_error tri_files_operate(struct tri_files *files, uint32_t entry, struct tri_key key,
                                 enum tri_ledger_op op);

#endif
