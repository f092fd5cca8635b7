/* SPDX-License-Identifier: Apache-2.0 */
#include "io/chain_files.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "io/place.h"

int tri_files_open(struct tri_files *files, struct tri_book *book, struct tri_store *store,
                   uint32_t count)
{
    assert(count > 0U);
    assert(book->ledger != NULL);
    *files = (struct tri_files){book, store, count, tri_place_map(count * sizeof(*files->at))};
    return files->at != NULL ? tri_place_fill(files->at, count * sizeof(*files->at)) : -ENOMEM;
}

void tri_files_close(struct tri_files *files)
{
    tri_place_unmap(files->at, files->count * sizeof(*files->at));
    memset(files, 0, sizeof(*files));
}

static bool phase_names_asset(const struct tri_phase_frame *phase, struct tri_text asset)
{
    for (uint32_t i = 0; i < phase->asset_count; i++) {
        if (phase->assets[i].bytes == asset.bytes &&
            memcmp(phase->assets[i].at, asset.at, asset.bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* Finds the asset that a payload names, or the code to refuse it with. */
static enum tri_error file_read(const struct tri_files *files, struct tri_file *file,
                                const struct tri_phase_frame *phase)
{
    struct tri_action_payload payload;
    struct tri_asset_view view;
    enum tri_asset_action action;

    if (tri_action_decode(phase->payload, &payload) != TRI_OK ||
        !tri_asset_action_parse(payload.action, &action) ||
        !phase_names_asset(phase, payload.asset)) {
        return TRI_ERROR_BAD_PAYLOAD;
    }
    file->hash = tri_book_hash(files->book, payload.asset);
    if (!tri_ledger_find(files->book->ledger, file->hash, payload.asset, &view)) {
        return TRI_ERROR_UNKNOWN_ASSET;
    }
    file->asset = view.id.at; /* assets are never removed: it stays where it is */
    file->asset_bytes = (uint8_t)view.id.bytes;
    file->action = (uint8_t)action;
    return TRI_ERROR_NONE;
}

enum tri_error tri_files_fill(struct tri_files *files, uint32_t entry, struct tri_key key,
                              const struct tri_phase_frame *phase)
{
    struct tri_file *file = &files->at[entry];
    enum tri_error code;

    assert(entry < files->count);
    file->key = key;
    file->asset = NULL;
    file->id_bytes = (uint8_t)phase->id.bytes;
    memcpy(file->id, phase->id.at, phase->id.bytes);
    code = file_read(files, file, phase);
    file->refusal = (uint8_t)code;
    return code;
}

enum tri_error tri_files_refusal(const struct tri_files *files, uint32_t entry)
{
    assert(entry < files->count);
    assert(files->at[entry].id_bytes > 0U);
    return (enum tri_error)files->at[entry].refusal;
}

enum tri_error tri_files_operate(struct tri_files *files, uint32_t entry, enum tri_ledger_op op)
{
    const struct tri_file *file = &files->at[entry];
    struct tri_ledger *ledger = files->book->ledger;
    struct tri_text asset = {file->asset, file->asset_bytes};
    enum tri_asset_action action = (enum tri_asset_action)file->action;
    enum tri_error code = TRI_ERROR_NONE;

    assert(entry < files->count);
    if (file->asset == NULL) {
        assert(op == TRI_LEDGER_RELEASE || op == TRI_LEDGER_UNDO);
        return TRI_ERROR_NONE;
    }
    switch (op) {
    case TRI_LEDGER_RESERVE:
        return tri_ledger_reserve(ledger, file->hash, asset, action, file->key);
    case TRI_LEDGER_RELEASE:
        tri_ledger_release(ledger, file->hash, asset, file->key);
        return TRI_ERROR_NONE;
    case TRI_LEDGER_APPLY:
    case TRI_LEDGER_APPLY_UNRESERVED:
        if (!tri_store_has_room(files->store)) {
            return TRI_ERROR_BUSY;
        }
        code =
            tri_ledger_apply(ledger, file->hash, asset, action, file->key, op == TRI_LEDGER_APPLY);
        break;
    case TRI_LEDGER_UNDO:
        code = tri_ledger_undo(ledger, file->hash, asset, file->key);
        break;
    case TRI_LEDGER_OP_COUNT:
    default:
        assert(false);
        break;
    }
    if (code == TRI_ERROR_NONE) {
        tri_store_note(files->store, op, action, file->key, asset);
    }
    return code;
}

struct tri_text tri_files_holder(const struct tri_files *files, struct tri_key key)
{
    for (uint32_t i = 0; i < files->count; i++) {
        const struct tri_file *file = &files->at[i];

        if (file->id_bytes > 0U && file->key.lo == key.lo && file->key.hi == key.hi) {
            return (struct tri_text){file->id, file->id_bytes};
        }
    }
    return (struct tri_text){"", 0};
}
