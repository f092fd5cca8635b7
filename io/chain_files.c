/* SPDX-License-Identifier: Apache-2.0 */
#include "io/chain_files.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "io/place.h"

int tri_files_open(struct tri_files *files, struct tri_book *book, uint32_t count)
{
    assert(count > 0U);
    assert(book->ledger != NULL);
    *files = (struct tri_files){book, count, tri_place_map(count * sizeof(*files->at))};
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

bool tri_files_name(struct tri_files *files, uint32_t entry, struct tri_text asset)
{
    struct tri_file *file = &files->at[entry];
    struct tri_asset_view view;

    assert(entry < files->count);
    file->hash = tri_book_hash(files->book, asset);
    if (!tri_ledger_find(files->book->ledger, file->hash, asset, &view)) {
        return false;
    }
    file->asset = view.id.at; /* assets are never removed: it stays where it is */
    file->asset_bytes = (uint8_t)view.id.bytes;
    return true;
}

/* Finds the asset that a payload names, or the code to refuse it with. */
static enum tri_error file_read(struct tri_files *files, uint32_t entry,
                                const struct tri_phase_frame *phase)
{
    struct tri_action_payload payload;
    enum tri_asset_action action;

    if (tri_action_decode(phase->payload, &payload) != TRI_OK ||
        !tri_asset_action_parse(payload.action, &action) ||
        !phase_names_asset(phase, payload.asset)) {
        return TRI_ERROR_BAD_PAYLOAD;
    }
    if (!tri_files_name(files, entry, payload.asset)) {
        return TRI_ERROR_UNKNOWN_ASSET;
    }
    files->at[entry].action = (uint8_t)action;
    return TRI_ERROR_NONE;
}

enum tri_error tri_files_fill(struct tri_files *files, uint32_t entry,
                              const struct tri_phase_frame *phase)
{
    struct tri_file *file = &files->at[entry];
    enum tri_error code;

    assert(entry < files->count);
    *file = (struct tri_file){.is_filled = true};
    code = file_read(files, entry, phase);
    file->refusal = (uint8_t)code;
    return code;
}

enum tri_error tri_files_refusal(const struct tri_files *files, uint32_t entry)
{
    assert(entry < files->count);
    assert(files->at[entry].is_filled);
    return (enum tri_error)files->at[entry].refusal;
}

enum tri_error tri_files_operate(struct tri_files *files, uint32_t entry, struct tri_key key,
                                 enum tri_ledger_op op)
{
    const struct tri_file *file = &files->at[entry];
    struct tri_ledger *ledger = files->book->ledger;
    struct tri_text asset = {file->asset, file->asset_bytes};
    enum tri_asset_action action = (enum tri_asset_action)file->action;

    assert(entry < files->count);
    if (file->asset == NULL) {
        assert(op == TRI_LEDGER_RELEASE || op == TRI_LEDGER_UNDO);
        return TRI_ERROR_NONE;
    }
    switch (op) {
    case TRI_LEDGER_RESERVE:
        return tri_ledger_reserve(ledger, file->hash, asset, action, key);
    case TRI_LEDGER_APPLY:
    case TRI_LEDGER_APPLY_UNRESERVED:
        return tri_ledger_apply(ledger, file->hash, asset, action, key, op == TRI_LEDGER_APPLY);
    case TRI_LEDGER_UNDO:
        return tri_ledger_undo(ledger, file->hash, asset, key);
    default:
        assert(op == TRI_LEDGER_RELEASE);
        tri_ledger_release(ledger, file->hash, asset, key);
        return TRI_ERROR_NONE;
    }
}
