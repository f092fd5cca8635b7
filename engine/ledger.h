/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ledger: the states of a chain's assets (S01..S04), in the caller's memory.
 *
 * An asset has a PrimaryLockState and, beside it and never changing it, at
 * most one reservation, held by a message.  Allowed transitions are the table
 * engine/ledger_table.def.  An apply keeps the state before, so that undo can
 * restore exactly that, and is refused once anything else changed the asset.
 *
 * Threads: one at a time.
 */
#ifndef TRI_ENGINE_LEDGER_H
#define TRI_ENGINE_LEDGER_H

#include "tricast/message.h"

enum tri_lock_state { /* S01 */
                      TRI_LOCK_AVAILABLE = 0,
                      TRI_LOCK_RESERVED = 1,
                      TRI_LOCK_RESTRICTED = 2,
                      TRI_LOCK_SEIZED = 3,
                      TRI_LOCK_TERMINATED = 4,
                      TRI_LOCK_STATE_COUNT = 5,
};

enum tri_secondary_state { /* S02: how RESTRICTED was reached */
                           TRI_SECONDARY_NONE = 0,
                           TRI_SECONDARY_FROZEN = 1,
                           TRI_SECONDARY_RESTRICTED = 2,
                           TRI_SECONDARY_COUNT = 3,
};

enum tri_asset_action { /* S01 */
                        TRI_ACTION_FREEZE = 0,
                        TRI_ACTION_RESTRICT = 1,
                        TRI_ACTION_SEIZE = 2,
                        TRI_ACTION_CONFISCATE = 3,
                        TRI_ACTION_LIQUIDATE = 4,
                        TRI_ACTION_RECOVER = 5,
                        TRI_ACTION_RESERVE = 6,
                        TRI_ACTION_RELEASE = 7,
                        TRI_ACTION_COUNT = 8,
};

struct tri_ledger;

#define TRI_LEDGER_ASSETS_MAX   (UINT32_C(1) << 24)
#define TRI_LEDGER_ID_BYTES_MIN 8U

struct tri_ledger_options {
    uint32_t assets_max;         /* 1..TRI_LEDGER_ASSETS_MAX */
    uint32_t asset_id_bytes_max; /* room per asset id, 8..TRI_ASSET_ID_BYTES_MAX */
};

/* A view of one asset; the id is borrowed for the life of the ledger: assets are never removed. */
struct tri_asset_view {
    struct tri_text id;
    enum tri_lock_state state;
    enum tri_secondary_state secondary;
    uint64_t version; /* grows by one with every apply and undo */
    bool is_reserved;
    struct tri_key holder; /* message holding the reservation, if is_reserved */
};

/* tri_ledger_footprint returns the bytes of memory needed, a multiple of 64; 0 if an option lies
 * outside its range. */
size_t tri_ledger_footprint(const struct tri_ledger_options *options);

/* tri_ledger_init formats `memory` (64-byte aligned, tri_ledger_footprint bytes; borrowed for the
 * life of the ledger).  There is nothing to undo. */
struct tri_ledger *tri_ledger_init(void *memory, const struct tri_ledger_options *options);

/* tri_ledger_add registers an asset, AVAILABLE.  TRI_OK, TRI_STALE if it exists, TRI_FULL, or
 * TRI_VIOLATION if the id is empty or too long. `hash` is the caller's hash of the id. */
enum tri_result tri_ledger_add(struct tri_ledger *ledger, uint64_t hash, struct tri_text id);

/*
 * The four operations of a participant (tricast_participant.h); `holder` is the message's key.
 * Each returns TRI_ERROR_NONE or the code to refuse with:
 * reserve  UNKNOWN_ASSET, CROSS_CHAIN_STATE_CONFLICT (held by another), INVALID_STATE_TRANSITION,
 *          ESCALATION_SEQUENCE.  Reserving again for the same holder probes again.
 * apply    as reserve; with `reserved` the holder must hold the asset (asserted).
 * undo     ROLLBACK_FENCED when the holder's apply is not the last change;
 *          CROSS_CHAIN_STATE_CONFLICT when another has reserved the asset since, as its probe
 *          counts on the state that undo would take away.  Frees the reservation when it is done.
 * release  never fails; releasing what the holder does not hold changes nothing.
 */
enum tri_error tri_ledger_reserve(struct tri_ledger *ledger, uint64_t hash, struct tri_text asset,
                                  enum tri_asset_action action, struct tri_key holder);
enum tri_error tri_ledger_apply(struct tri_ledger *ledger, uint64_t hash, struct tri_text asset,
                                enum tri_asset_action action, struct tri_key holder, bool reserved);
enum tri_error tri_ledger_undo(struct tri_ledger *ledger, uint64_t hash, struct tri_text asset,
                               struct tri_key holder);
void tri_ledger_release(struct tri_ledger *ledger, uint64_t hash, struct tri_text asset,
                        struct tri_key holder);

/* Looking: one asset, or the next one by insertion order (`cursor` starts at 0 and is advanced). */
bool tri_ledger_find(const struct tri_ledger *ledger, uint64_t hash, struct tri_text asset,
                     struct tri_asset_view *view);
bool tri_ledger_next(const struct tri_ledger *ledger, uint32_t *cursor,
                     struct tri_asset_view *view);

/*
 * An asset as bytes for a journal: state, reservation and what undo needs.  Little endian:
 *
 *     version 8 | holder 16 | changer 16 | state 1 | secondary 1 | state before 1 | secondary
 *     before 1 | flags 1: 1 = reserved by the holder, 2 = the changer's apply can be undone
 */
#define TRI_LEDGER_IMAGE_BYTES 45U

/* tri_ledger_image writes the image of an asset.  False: there is no such asset. */
bool tri_ledger_image(const struct tri_ledger *ledger, uint64_t hash, struct tri_text asset,
                      uint8_t to[TRI_LEDGER_IMAGE_BYTES]);

/* tri_ledger_restore makes an asset what its image says.  TRI_OK; TRI_GONE: there is no such asset;
 * TRI_VIOLATION: the bytes are no image.  Then nothing has changed. */
enum tri_result tri_ledger_restore(struct tri_ledger *ledger, uint64_t hash, struct tri_text asset,
                                   const uint8_t from[TRI_LEDGER_IMAGE_BYTES]);

/* Names of S01; `*_parse` return false for an unknown name. */
const char *tri_lock_state_name(enum tri_lock_state state);
const char *tri_secondary_state_name(enum tri_secondary_state state);
const char *tri_asset_action_name(enum tri_asset_action action);
bool tri_asset_action_parse(struct tri_text name, enum tri_asset_action *action);

#endif
