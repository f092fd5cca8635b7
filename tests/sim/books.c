/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Books: a chain's ledger as the participant meets it.
 *
 * A message acts on those of its assets that live on the chain, on all or on
 * none of them.  Beside the ledger the books count the applications of each
 * message that have not been rolled back: what the checker reads at the end.
 */

#include "tests/sim/sim.h"

#define ASSET_HASH_SEED 7U

static uint64_t asset_hash(const struct sim_world *world, uint32_t asset)
{
    return sim_digest(world->asset_ids[asset], strlen(world->asset_ids[asset]), ASSET_HASH_SEED);
}

static struct tri_text asset_text(const struct sim_world *world, uint32_t asset)
{
    return (struct tri_text){world->asset_ids[asset], (uint32_t)strlen(world->asset_ids[asset])};
}

static bool asset_is_here(const struct sim_world *world, uint32_t chain, uint32_t asset)
{
    return (world->asset_chains[asset] >> chain & 1U) != 0;
}

size_t sim_books_bytes(void)
{
    struct tri_ledger_options options = {SIM_ASSETS_MAX, 16};

    return tri_ledger_footprint(&options) +
           (sizeof(struct sim_books) + TRI_CACHE_LINE - 1) / TRI_CACHE_LINE * TRI_CACHE_LINE;
}

void sim_books_init(struct sim_world *world, uint32_t chain, uint8_t *memory)
{
    struct tri_ledger_options options = {SIM_ASSETS_MAX, 16};
    struct sim_chain *it = &world->chains[chain];

    it->ledger = tri_ledger_init(memory, &options);
    it->books = (struct sim_books *)(void *)(memory + tri_ledger_footprint(&options));
    memset(it->books, 0, sizeof(*it->books));
    for (uint32_t asset = 0; asset < world->swarm.asset_count; asset++) {
        if (asset_is_here(world, chain, asset)) {
            enum tri_result result =
                tri_ledger_add(it->ledger, asset_hash(world, asset), asset_text(world, asset));

            assert(result == TRI_OK);
            (void)result;
        }
    }
}

enum tri_error sim_books_note(struct sim_world *world, uint32_t chain, uint32_t message,
                              const struct tri_phase_frame *phase)
{
    struct sim_books *books = world->chains[chain].books;
    struct tri_action_payload payload;
    enum tri_asset_action action;

    if (tri_action_decode(phase->payload, &payload) != TRI_OK ||
        !tri_asset_action_parse(payload.action, &action)) {
        sim_break(world, "H01", "the payload of m%u has changed on its way", message);
        return TRI_ERROR_BAD_PAYLOAD;
    }
    books->action[message] = (uint8_t)action;
    return TRI_ERROR_NONE;
}

static void books_release(struct sim_world *world, uint32_t chain, uint32_t message,
                          struct tri_key key)
{
    const struct sim_message *it = &world->messages[message];

    for (uint32_t i = 0; i < it->asset_count; i++) {
        tri_ledger_release(world->chains[chain].ledger, asset_hash(world, it->assets[i]),
                           asset_text(world, it->assets[i]), key);
    }
}

/* All of the message's assets that are here, or none. */
static enum tri_error books_reserve(struct sim_world *world, uint32_t chain, uint32_t message,
                                    struct tri_key key)
{
    const struct sim_message *it = &world->messages[message];
    enum tri_error code = TRI_ERROR_NONE;
    uint32_t here = 0;

    for (uint32_t i = 0; i < it->asset_count && code == TRI_ERROR_NONE; i++) {
        if (asset_is_here(world, chain, it->assets[i])) {
            here++;
            code = tri_ledger_reserve(
                world->chains[chain].ledger, asset_hash(world, it->assets[i]),
                asset_text(world, it->assets[i]),
                (enum tri_asset_action)world->chains[chain].books->action[message], key);
        }
    }
    if (here == 0) {
        code = TRI_ERROR_UNKNOWN_ASSET;
    }
    if (code != TRI_ERROR_NONE) {
        books_release(world, chain, message, key);
    }
    return code;
}

static enum tri_error books_apply(struct sim_world *world, uint32_t chain, uint32_t message,
                                  struct tri_key key)
{
    const struct sim_message *it = &world->messages[message];
    struct sim_books *books = world->chains[chain].books;

    for (uint32_t i = 0; i < it->asset_count; i++) {
        enum tri_error code;

        if (!asset_is_here(world, chain, it->assets[i])) {
            continue;
        }
        code = tri_ledger_apply(world->chains[chain].ledger, asset_hash(world, it->assets[i]),
                                asset_text(world, it->assets[i]),
                                (enum tri_asset_action)books->action[message], key, true);
        if (code != TRI_ERROR_NONE) {
            sim_break(world, "S04", "chain %u reserved m%u and cannot apply it: %s", chain, message,
                      tri_error_name(code));
            return code;
        }
        books->changer[it->assets[i]] = message + 1;
        books->changes[it->assets[i]]++;
    }
    books->net[message]++;
    if (books->net[message] != 1) {
        sim_break(world, "P10", "chain %u has applied m%u %d times", chain, message,
                  books->net[message]);
    }
    return TRI_ERROR_NONE;
}

/* All or none again: the first pass only looks. */
static enum tri_error books_undo(struct sim_world *world, uint32_t chain, uint32_t message,
                                 struct tri_key key)
{
    const struct sim_message *it = &world->messages[message];
    struct sim_books *books = world->chains[chain].books;

    for (uint32_t i = 0; i < it->asset_count; i++) {
        struct tri_asset_view view;

        if (!asset_is_here(world, chain, it->assets[i]) ||
            !tri_ledger_find(world->chains[chain].ledger, asset_hash(world, it->assets[i]),
                             asset_text(world, it->assets[i]), &view)) {
            continue;
        }
        if (books->changer[it->assets[i]] != message + 1) {
            return TRI_ERROR_ROLLBACK_FENCED;
        }
        if (view.is_reserved && (view.holder.lo != key.lo || view.holder.hi != key.hi)) {
            return TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT;
        }
    }
    for (uint32_t i = 0; i < it->asset_count; i++) {
        if (asset_is_here(world, chain, it->assets[i])) {
            enum tri_error code =
                tri_ledger_undo(world->chains[chain].ledger, asset_hash(world, it->assets[i]),
                                asset_text(world, it->assets[i]), key);

            if (code != TRI_ERROR_NONE) {
                sim_break(world, "S04", "chain %u can undo only a part of m%u", chain, message);
            }
            books->changer[it->assets[i]] = 0;
            books->changes[it->assets[i]]++;
        }
    }
    books->net[message]--;
    if (books->net[message] != 0) {
        sim_break(world, "P10", "chain %u has undone m%u, which it had not applied", chain,
                  message);
    }
    return TRI_ERROR_NONE;
}

enum tri_error sim_books_operate(struct sim_world *world, uint32_t chain, uint32_t message,
                                 struct tri_key key, enum tri_ledger_op op)
{
    enum tri_error code;

    assert(message < SIM_MESSAGES_MAX);
    switch (op) {
    case TRI_LEDGER_RESERVE:
        return books_reserve(world, chain, message, key);
    case TRI_LEDGER_APPLY:
        return books_apply(world, chain, message, key);
    case TRI_LEDGER_APPLY_UNRESERVED:
        code = books_reserve(world, chain, message, key);
        if (code == TRI_ERROR_NONE) {
            code = books_apply(world, chain, message, key);
            books_release(world, chain, message, key);
        }
        return code;
    case TRI_LEDGER_UNDO:
        return books_undo(world, chain, message, key);
    case TRI_LEDGER_RELEASE:
        books_release(world, chain, message, key);
        return TRI_ERROR_NONE;
    case TRI_LEDGER_OP_COUNT:
        break;
    }
    assert(op < TRI_LEDGER_OP_COUNT);
    return TRI_ERROR_NONE;
}
