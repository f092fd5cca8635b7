/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assets lie in insertion order, each with the same room for its id; an
 * open-addressed table of twice as many slots leads from the hash to them.
 * Assets are never removed, so a probe ends at the first empty slot.
 *
 * A slot is one word: the upper half of the hash and the asset's number plus
 * one.  A probe therefore reads an asset only if half of the hash agrees.
 *
 * Undo needs no history.  Each apply leaves the state before it and the key of
 * its message in the asset; the next apply overwrites both.  What is found
 * there is by construction the last change, so "somebody else has changed the
 * asset" is one comparison of keys (S04).
 */
#include "engine/ledger.h"

#include <assert.h>
#include <string.h>

#include "engine/limits.h"

struct asset {
    uint64_t version;
    struct tri_key holder;  /* if is_reserved */
    struct tri_key changer; /* if can_undo: whose apply was the last change */
    uint8_t state;
    uint8_t secondary;
    uint8_t before_state; /* if can_undo */
    uint8_t before_secondary;
    bool is_reserved;
    bool can_undo;
    uint8_t id_bytes;
    char id[]; /* asset_id_bytes_max */
};

struct tri_ledger {
    struct tri_ledger_options options;
    uint32_t count;
    uint32_t slot_mask;
    size_t stride;
    uint64_t *slots;
    unsigned char *assets;
};

static_assert(sizeof(size_t) == 8, "the largest ledger has more than 4 GiB");
static_assert(TRI_ASSET_ID_BYTES_MAX <= UINT8_MAX, "the length of an id is kept in one byte");

struct cell {
    uint8_t code; /* enum tri_error; NONE = allowed */
    uint8_t state;
    uint8_t secondary;
};

#define GO(next, second)                                        \
    {                                                           \
        TRI_ERROR_NONE, TRI_LOCK_##next, TRI_SECONDARY_##second \
    }
#define SKIPS                               \
    {                                       \
        TRI_ERROR_ESCALATION_SEQUENCE, 0, 0 \
    }
#define NO                                       \
    {                                            \
        TRI_ERROR_INVALID_STATE_TRANSITION, 0, 0 \
    }

static const struct cell table[TRI_LOCK_STATE_COUNT][TRI_ACTION_COUNT] = {
#define ROW(state, freeze, restrict_, seize, confiscate, liquidate, recover, reserve, release) \
    [TRI_LOCK_##state] = {                                                                     \
        [TRI_ACTION_FREEZE] = freeze,       [TRI_ACTION_RESTRICT] = restrict_,                 \
        [TRI_ACTION_SEIZE] = seize,         [TRI_ACTION_CONFISCATE] = confiscate,              \
        [TRI_ACTION_LIQUIDATE] = liquidate, [TRI_ACTION_RECOVER] = recover,                    \
        [TRI_ACTION_RESERVE] = reserve,     [TRI_ACTION_RELEASE] = release,                    \
    },
#include "engine/ledger_table.def"
};

/* Total, proved by the compiler: a missing cell is a macro arity error, a repeated state is
 * -Woverride-init, a missing row is counted. */
static_assert(0
#define ROW(state, a, b, c, d, e, f, g, h) +1
#include "engine/ledger_table.def"
                  == TRI_LOCK_STATE_COUNT,
              "ledger_table.def lacks a state");
static_assert(TRI_ACTION_COUNT == 8, "a new action needs a new column");

static bool key_equal(struct tri_key a, struct tri_key b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

static bool options_are_valid(const struct tri_ledger_options *options)
{
    return options->assets_max >= 1 && options->assets_max <= TRI_LEDGER_ASSETS_MAX &&
           options->asset_id_bytes_max >= TRI_LEDGER_ID_BYTES_MIN &&
           options->asset_id_bytes_max <= TRI_ASSET_ID_BYTES_MAX;
}

/* A power of two, at least twice the assets: a probe is short and always meets an empty slot. */
static uint32_t slot_count(uint32_t assets_max)
{
    uint32_t slots = 2;

    while (slots < 2 * assets_max) {
        slots *= 2;
    }
    return slots;
}

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static size_t asset_stride(const struct tri_ledger_options *options)
{
    return round_up(offsetof(struct asset, id) + options->asset_id_bytes_max, 8);
}

size_t tri_ledger_footprint(const struct tri_ledger_options *options)
{
    assert(options != NULL);
    if (!options_are_valid(options)) {
        return 0;
    }
    return round_up(sizeof(struct tri_ledger), TRI_CACHE_LINE) +
           round_up(slot_count(options->assets_max) * sizeof(uint64_t), TRI_CACHE_LINE) +
           round_up(options->assets_max * asset_stride(options), TRI_CACHE_LINE);
}

struct tri_ledger *tri_ledger_init(void *memory, const struct tri_ledger_options *options)
{
    struct tri_ledger *ledger = memory;
    unsigned char *at = memory;
    size_t slots_bytes = slot_count(options->assets_max) * sizeof(uint64_t);

    assert(memory != NULL);
    assert((uintptr_t)memory % TRI_CACHE_LINE == 0);
    assert(options_are_valid(options));
    memset(ledger, 0, sizeof(*ledger));
    ledger->options = *options;
    ledger->slot_mask = slot_count(options->assets_max) - 1;
    ledger->stride = asset_stride(options);
    at += round_up(sizeof(struct tri_ledger), TRI_CACHE_LINE);
    ledger->slots = (void *)at;
    memset(ledger->slots, 0, slots_bytes);
    ledger->assets = at + round_up(slots_bytes, TRI_CACHE_LINE);
    return ledger;
}

static struct asset *asset_at(const struct tri_ledger *ledger, uint32_t index)
{
    assert(index < ledger->count);
    return (void *)(ledger->assets + index * ledger->stride);
}

/* The asset, or NULL; then *slot is where it would go. */
static struct asset *asset_find(const struct tri_ledger *ledger, uint64_t hash, struct tri_text id,
                                uint32_t *slot)
{
    uint32_t at = (uint32_t)hash & ledger->slot_mask;

    for (; ledger->slots[at] != 0; at = (at + 1) & ledger->slot_mask) {
        struct asset *asset;

        if (ledger->slots[at] >> 32 != hash >> 32) {
            continue;
        }
        asset = asset_at(ledger, (uint32_t)ledger->slots[at] - 1);
        if (asset->id_bytes == id.bytes && memcmp(asset->id, id.at, id.bytes) == 0) {
            return asset;
        }
    }
    *slot = at;
    return NULL;
}

enum tri_result tri_ledger_add(struct tri_ledger *ledger, uint64_t hash, struct tri_text id)
{
    struct asset *asset;
    uint32_t slot = 0;

    assert(ledger != NULL);
    if (id.bytes == 0 || id.bytes > ledger->options.asset_id_bytes_max) {
        return TRI_VIOLATION;
    }
    assert(id.at != NULL);
    if (asset_find(ledger, hash, id, &slot) != NULL) {
        return TRI_STALE;
    }
    if (ledger->count == ledger->options.assets_max) {
        return TRI_FULL;
    }
    ledger->count++;
    asset = asset_at(ledger, ledger->count - 1);
    memset(asset, 0, offsetof(struct asset, id));
    asset->id_bytes = (uint8_t)id.bytes;
    memcpy(asset->id, id.at, id.bytes);
    ledger->slots[slot] = (hash >> 32 << 32) | ledger->count;
    assert(ledger->count <= ledger->slot_mask);
    return TRI_OK;
}

/* Whether `holder` may do `action` now; *next is the cell that says so. */
static enum tri_error asset_probe(const struct asset *asset, enum tri_asset_action action,
                                  struct tri_key holder, const struct cell **next)
{
    assert(asset->state < TRI_LOCK_STATE_COUNT);
    assert(action < TRI_ACTION_COUNT);
    if (asset->is_reserved && !key_equal(asset->holder, holder)) {
        return TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT;
    }
    *next = &table[asset->state][action];
    return (enum tri_error)(*next)->code;
}

enum tri_error tri_ledger_reserve(struct tri_ledger *ledger, uint64_t hash, struct tri_text asset,
                                  enum tri_asset_action action, struct tri_key holder)
{
    const struct cell *next;
    uint32_t slot;
    struct asset *found = asset_find(ledger, hash, asset, &slot);
    enum tri_error code;

    if (found == NULL) {
        return TRI_ERROR_UNKNOWN_ASSET;
    }
    code = asset_probe(found, action, holder, &next);
    if (code == TRI_ERROR_NONE) {
        found->is_reserved = true;
        found->holder = holder;
    }
    return code;
}

enum tri_error tri_ledger_apply(struct tri_ledger *ledger, uint64_t hash, struct tri_text asset,
                                enum tri_asset_action action, struct tri_key holder, bool reserved)
{
    const struct cell *next;
    uint32_t slot;
    struct asset *found = asset_find(ledger, hash, asset, &slot);
    enum tri_error code;

    if (found == NULL) {
        assert(!reserved);
        return TRI_ERROR_UNKNOWN_ASSET;
    }
    if (reserved) {
        assert(found->is_reserved);
        assert(key_equal(found->holder, holder));
    }
    code = asset_probe(found, action, holder, &next);
    if (code != TRI_ERROR_NONE) {
        return code;
    }
    found->before_state = found->state;
    found->before_secondary = found->secondary;
    found->state = next->state;
    found->secondary = next->secondary;
    found->changer = holder;
    found->can_undo = true;
    found->version++;
    return TRI_ERROR_NONE;
}

enum tri_error tri_ledger_undo(struct tri_ledger *ledger, uint64_t hash, struct tri_text asset,
                               struct tri_key holder)
{
    uint32_t slot;
    struct asset *found = asset_find(ledger, hash, asset, &slot);

    if (found == NULL) {
        return TRI_ERROR_UNKNOWN_ASSET;
    }
    if (!found->can_undo || !key_equal(found->changer, holder)) {
        return TRI_ERROR_ROLLBACK_FENCED;
    }
    if (found->is_reserved && !key_equal(found->holder, holder)) {
        return TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT;
    }
    found->state = found->before_state;
    found->secondary = found->before_secondary;
    found->can_undo = false;
    found->is_reserved = false;
    found->version++;
    assert(found->state != TRI_LOCK_TERMINATED);
    return TRI_ERROR_NONE;
}

void tri_ledger_release(struct tri_ledger *ledger, uint64_t hash, struct tri_text asset,
                        struct tri_key holder)
{
    uint32_t slot;
    struct asset *found = asset_find(ledger, hash, asset, &slot);

    if (found != NULL && found->is_reserved && key_equal(found->holder, holder)) {
        found->is_reserved = false;
    }
}

static void asset_view(const struct asset *asset, struct tri_asset_view *view)
{
    view->id = (struct tri_text){asset->id, asset->id_bytes};
    view->state = (enum tri_lock_state)asset->state;
    view->secondary = (enum tri_secondary_state)asset->secondary;
    view->version = asset->version;
    view->is_reserved = asset->is_reserved;
    view->holder = asset->is_reserved ? asset->holder : (struct tri_key){0, 0};
}

bool tri_ledger_find(const struct tri_ledger *ledger, uint64_t hash, struct tri_text asset,
                     struct tri_asset_view *view)
{
    uint32_t slot;
    const struct asset *found = asset_find(ledger, hash, asset, &slot);

    if (found == NULL) {
        return false;
    }
    asset_view(found, view);
    return true;
}

bool tri_ledger_next(const struct tri_ledger *ledger, uint32_t *cursor, struct tri_asset_view *view)
{
    if (*cursor >= ledger->count) {
        return false;
    }
    asset_view(asset_at(ledger, *cursor), view);
    (*cursor)++;
    return true;
}

/* ---- images ---- */

enum image_flag { IMAGE_RESERVED = 1, IMAGE_CAN_UNDO = 2, IMAGE_FLAGS = 3 };

static void put64(uint8_t *to, uint64_t value)
{
    for (uint32_t i = 0; i < 8; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get64(const uint8_t *from)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < 8; i++) {
        value |= (uint64_t)from[i] << (8 * i);
    }
    return value;
}

bool tri_ledger_image(const struct tri_ledger *ledger, uint64_t hash, struct tri_text asset,
                      uint8_t to[TRI_LEDGER_IMAGE_BYTES])
{
    uint32_t slot;
    const struct asset *found = asset_find(ledger, hash, asset, &slot);

    if (found == NULL) {
        return false;
    }
    put64(to, found->version);
    put64(to + 8, found->holder.lo);
    put64(to + 16, found->holder.hi);
    put64(to + 24, found->changer.lo);
    put64(to + 32, found->changer.hi);
    to[40] = found->state;
    to[41] = found->secondary;
    to[42] = found->before_state;
    to[43] = found->before_secondary;
    to[44] = (uint8_t)((found->is_reserved ? IMAGE_RESERVED : 0) |
                       (found->can_undo ? IMAGE_CAN_UNDO : 0));
    return true;
}

enum tri_result tri_ledger_restore(struct tri_ledger *ledger, uint64_t hash, struct tri_text asset,
                                   const uint8_t from[TRI_LEDGER_IMAGE_BYTES])
{
    uint32_t slot;
    struct asset *found = asset_find(ledger, hash, asset, &slot);

    if (from[40] >= TRI_LOCK_STATE_COUNT || from[41] >= TRI_SECONDARY_COUNT ||
        from[42] >= TRI_LOCK_STATE_COUNT || from[43] >= TRI_SECONDARY_COUNT ||
        from[44] > IMAGE_FLAGS ||
        (from[42] == TRI_LOCK_TERMINATED && (from[44] & IMAGE_CAN_UNDO) != 0)) {
        return TRI_VIOLATION; /* nothing leads out of TERMINATED, so nothing goes back there */
    }
    if (found == NULL) {
        return TRI_GONE;
    }
    found->version = get64(from);
    found->holder = (struct tri_key){.lo = get64(from + 8), .hi = get64(from + 16)};
    found->changer = (struct tri_key){.lo = get64(from + 24), .hi = get64(from + 32)};
    found->state = from[40];
    found->secondary = from[41];
    found->before_state = from[42];
    found->before_secondary = from[43];
    found->is_reserved = (from[44] & IMAGE_RESERVED) != 0;
    found->can_undo = (from[44] & IMAGE_CAN_UNDO) != 0;
    return TRI_OK;
}

/* ---- names ---- */

const char *tri_lock_state_name(enum tri_lock_state state)
{
    static const char *const names[TRI_LOCK_STATE_COUNT] = {
        [TRI_LOCK_AVAILABLE] = "AVAILABLE",   [TRI_LOCK_RESERVED] = "RESERVED",
        [TRI_LOCK_RESTRICTED] = "RESTRICTED", [TRI_LOCK_SEIZED] = "SEIZED",
        [TRI_LOCK_TERMINATED] = "TERMINATED",
    };

    assert(state < TRI_LOCK_STATE_COUNT);
    return names[state];
}

const char *tri_secondary_state_name(enum tri_secondary_state state)
{
    static const char *const names[TRI_SECONDARY_COUNT] = {
        [TRI_SECONDARY_NONE] = "NONE",
        [TRI_SECONDARY_FROZEN] = "FROZEN",
        [TRI_SECONDARY_RESTRICTED] = "RESTRICTED",
    };

    assert(state < TRI_SECONDARY_COUNT);
    return names[state];
}

const char *tri_asset_action_name(enum tri_asset_action action)
{
    static const char *const names[TRI_ACTION_COUNT] = {
        [TRI_ACTION_FREEZE] = "FREEZE",       [TRI_ACTION_RESTRICT] = "RESTRICT",
        [TRI_ACTION_SEIZE] = "SEIZE",         [TRI_ACTION_CONFISCATE] = "CONFISCATE",
        [TRI_ACTION_LIQUIDATE] = "LIQUIDATE", [TRI_ACTION_RECOVER] = "RECOVER",
        [TRI_ACTION_RESERVE] = "RESERVE",     [TRI_ACTION_RELEASE] = "RELEASE",
    };

    assert(action < TRI_ACTION_COUNT);
    return names[action];
}

/* Compared letter by letter because the engine may call nothing but mem*. */
static bool text_is(struct tri_text text, const char *name)
{
    uint32_t i = 0;

    while (i < text.bytes && name[i] != '\0' && text.at[i] == name[i]) {
        i++;
    }
    return i == text.bytes && name[i] == '\0';
}

bool tri_asset_action_parse(struct tri_text name, enum tri_asset_action *action)
{
    for (uint32_t i = 0; i < TRI_ACTION_COUNT; i++) {
        if (text_is(name, tri_asset_action_name((enum tri_asset_action)i))) {
            *action = (enum tri_asset_action)i;
            return true;
        }
    }
    return false;
}
