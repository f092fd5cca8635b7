/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an asset moves only as section S allows, and undo restores exactly
 * what was there.  Method: the whole table against literals, each refusal by
 * name, and random operations against a model that keeps every state an asset
 * ever had.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/ledger.h"

static const struct tri_key alice = {1, 10};
static const struct tri_key bob = {2, 10};

static struct tri_ledger *make(uint32_t assets_max, uint32_t id_bytes)
{
    struct tri_ledger_options options = {assets_max, id_bytes};
    size_t bytes = tri_ledger_footprint(&options);
    void *memory = aligned_alloc(64, bytes);

    cr_assert_not_null(memory);
    memset(memory, 0xa5, bytes);
    return tri_ledger_init(memory, &options);
}

static struct tri_text text(const char *string)
{
    return (struct tri_text){string, (uint32_t)strlen(string)};
}

static struct tri_asset_view look(const struct tri_ledger *ledger, uint64_t hash, const char *id)
{
    struct tri_asset_view view;

    cr_assert(tri_ledger_find(ledger, hash, text(id), &view));
    return view;
}

/* The ways to every state that an asset can be in. */
struct way {
    enum tri_lock_state state;
    enum tri_secondary_state secondary;
    uint32_t count;
    enum tri_asset_action actions[3];
};
static const struct way ways[6] = {
    {TRI_LOCK_AVAILABLE, TRI_SECONDARY_NONE, 0, {TRI_ACTION_FREEZE}},
    {TRI_LOCK_RESERVED, TRI_SECONDARY_NONE, 1, {TRI_ACTION_RESERVE}},
    {TRI_LOCK_RESTRICTED, TRI_SECONDARY_FROZEN, 1, {TRI_ACTION_FREEZE}},
    {TRI_LOCK_RESTRICTED, TRI_SECONDARY_RESTRICTED, 1, {TRI_ACTION_RESTRICT}},
    {TRI_LOCK_SEIZED, TRI_SECONDARY_NONE, 2, {TRI_ACTION_FREEZE, TRI_ACTION_SEIZE}},
    {TRI_LOCK_TERMINATED, TRI_SECONDARY_NONE, 1, {TRI_ACTION_LIQUIDATE}},
};

/* A new asset "a" that went `way`, for a message of its own. */
static struct tri_ledger *walk(const struct way *way)
{
    struct tri_ledger *ledger = make(1, 8);

    cr_assert_eq(tri_ledger_add(ledger, 9, text("a")), TRI_OK);
    for (uint32_t i = 0; i < way->count; i++) {
        cr_assert_eq(tri_ledger_apply(ledger, 9, text("a"), way->actions[i], bob, false),
                     TRI_ERROR_NONE);
    }
    cr_assert_eq(look(ledger, 9, "a").state, way->state);
    cr_assert_eq(look(ledger, 9, "a").secondary, way->secondary);
    return ledger;
}

/* What each action does from each of the states above: a available, v reserVed, f frozen,
 * r restricted, s seized, t terminated; or E = ESCALATION_SEQUENCE, I = INVALID_STATE_TRANSITION.
 * The columns: FREEZE RESTRICT SEIZE CONFISCATE LIQUIDATE RECOVER RESERVE RELEASE. */
static const char matrix[6][TRI_ACTION_COUNT + 1] = {
    "frEEtIvI", /* AVAILABLE */
    "IIEEIIIa", /* RESERVED */
    "IIsEIaIa", /* RESTRICTED, frozen */
    "IIsEIaIa", /* RESTRICTED, restricted */
    "IIItIaII", /* SEIZED */
    "IIIIIIII", /* TERMINATED */
};

static enum tri_error refusal(char cell)
{
    if (cell == 'E') {
        return TRI_ERROR_ESCALATION_SEQUENCE;
    }
    return cell == 'I' ? TRI_ERROR_INVALID_STATE_TRANSITION : TRI_ERROR_NONE;
}

static char view_letter(const struct tri_asset_view *view)
{
    static const char letters[] = {'a', 'v', '?', 's', 't'};

    if (view->state == TRI_LOCK_RESTRICTED) {
        return view->secondary == TRI_SECONDARY_FROZEN ? 'f' : 'r';
    }
    return view->secondary == TRI_SECONDARY_NONE ? letters[view->state] : '?';
}

Test(ledger, S02_S03_every_action_from_every_state)
{
    for (uint32_t from = 0; from < 6; from++) {
        for (uint32_t i = 0; i < TRI_ACTION_COUNT; i++) {
            enum tri_asset_action action = (enum tri_asset_action)i;
            struct tri_ledger *ledger = walk(&ways[from]);
            struct tri_asset_view before = look(ledger, 9, "a");
            struct tri_asset_view after;
            enum tri_error expected = refusal(matrix[from][i]);

            cr_assert_eq(tri_ledger_apply(ledger, 9, text("a"), action, alice, false), expected,
                         "%s from way %u", tri_asset_action_name(action), from);
            after = look(ledger, 9, "a");
            if (expected != TRI_ERROR_NONE) {
                cr_assert_eq(after.state, before.state);
                cr_assert_eq(after.secondary, before.secondary);
                cr_assert_eq(after.version, before.version);
            } else {
                cr_assert_eq(view_letter(&after), matrix[from][i]);
                cr_assert_eq(after.version, before.version + 1);
            }
            free(ledger);
        }
    }
}

Test(ledger, S04_probing_says_what_applying_would_say)
{
    for (uint32_t from = 0; from < 6; from++) {
        for (uint32_t i = 0; i < TRI_ACTION_COUNT; i++) {
            enum tri_asset_action action = (enum tri_asset_action)i;
            struct tri_ledger *ledger = walk(&ways[from]);
            struct tri_asset_view before = look(ledger, 9, "a");
            struct tri_asset_view after;
            enum tri_error expected = refusal(matrix[from][i]);

            cr_assert_eq(tri_ledger_reserve(ledger, 9, text("a"), action, alice), expected);
            after = look(ledger, 9, "a");
            cr_assert_eq(after.is_reserved, expected == TRI_ERROR_NONE);
            cr_assert_eq(after.state, before.state, "a reservation stands beside the state");
            cr_assert_eq(after.secondary, before.secondary);
            cr_assert_eq(after.version, before.version);
            if (expected == TRI_ERROR_NONE) {
                cr_assert_eq(tri_ledger_apply(ledger, 9, text("a"), action, alice, true),
                             TRI_ERROR_NONE);
                after = look(ledger, 9, "a");
                cr_assert_eq(view_letter(&after), matrix[from][i]);
                cr_assert(after.is_reserved, "COMMIT keeps the reservation");
            }
            free(ledger);
        }
    }
}

Test(ledger, S04_undo_restores_state_and_secondary_from_every_cell)
{
    for (uint32_t from = 0; from < 6; from++) {
        for (uint32_t i = 0; i < TRI_ACTION_COUNT; i++) {
            enum tri_asset_action action = (enum tri_asset_action)i;
            struct tri_ledger *ledger = walk(&ways[from]);

            if (tri_ledger_reserve(ledger, 9, text("a"), action, alice) == TRI_ERROR_NONE) {
                cr_assert_eq(tri_ledger_apply(ledger, 9, text("a"), action, alice, true),
                             TRI_ERROR_NONE);
                cr_assert_eq(tri_ledger_undo(ledger, 9, text("a"), alice), TRI_ERROR_NONE);
                cr_assert_eq(look(ledger, 9, "a").state, ways[from].state);
                cr_assert_eq(look(ledger, 9, "a").secondary, ways[from].secondary);
                cr_assert_not(look(ledger, 9, "a").is_reserved, "undo frees the reservation");
                cr_assert_eq(tri_ledger_undo(ledger, 9, text("a"), alice),
                             TRI_ERROR_ROLLBACK_FENCED, "an undo is not undone");
            }
            free(ledger);
        }
    }
}

Test(ledger, S04_a_reserved_asset_refuses_other_messages)
{
    struct tri_ledger *ledger = walk(&ways[0]);
    struct tri_asset_view view;

    cr_assert_eq(tri_ledger_reserve(ledger, 9, text("a"), TRI_ACTION_FREEZE, alice), 0);
    cr_assert_eq(tri_ledger_reserve(ledger, 9, text("a"), TRI_ACTION_FREEZE, bob),
                 TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT);
    cr_assert_eq(tri_ledger_apply(ledger, 9, text("a"), TRI_ACTION_FREEZE, bob, false),
                 TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT);
    view = look(ledger, 9, "a");
    cr_assert_eq(view.holder.lo, 1);
    cr_assert_eq(view.holder.hi, 10);
    cr_assert_eq(tri_ledger_reserve(ledger, 9, text("a"), TRI_ACTION_SEIZE, alice),
                 TRI_ERROR_ESCALATION_SEQUENCE, "its own holder is probed again");
    tri_ledger_release(ledger, 9, text("a"), bob);
    cr_assert(look(ledger, 9, "a").is_reserved, "released by its holder alone");
    tri_ledger_release(ledger, 9, text("a"), alice);
    tri_ledger_release(ledger, 9, text("a"), alice);
    cr_assert_eq(tri_ledger_reserve(ledger, 9, text("a"), TRI_ACTION_FREEZE, bob), 0);
    free(ledger);
}

Test(ledger, S04_undo_is_fenced_once_anything_else_changed_the_asset)
{
    struct tri_ledger *ledger = walk(&ways[0]);

    cr_assert_eq(tri_ledger_undo(ledger, 9, text("a"), alice), TRI_ERROR_ROLLBACK_FENCED,
                 "nothing was applied");
    cr_assert_eq(tri_ledger_apply(ledger, 9, text("a"), TRI_ACTION_FREEZE, alice, false), 0);
    cr_assert_eq(tri_ledger_apply(ledger, 9, text("a"), TRI_ACTION_SEIZE, bob, false), 0);
    cr_assert_eq(tri_ledger_undo(ledger, 9, text("a"), alice), TRI_ERROR_ROLLBACK_FENCED);
    cr_assert_eq(look(ledger, 9, "a").state, TRI_LOCK_SEIZED);
    cr_assert_eq(tri_ledger_undo(ledger, 9, text("a"), bob), TRI_ERROR_NONE);
    cr_assert_eq(tri_ledger_undo(ledger, 9, text("a"), alice), TRI_ERROR_ROLLBACK_FENCED,
                 "the asset is as alice left it, but it has been changed since");
    free(ledger);
}

Test(ledger, S04_undo_under_another_reservation_is_refused)
{
    struct tri_ledger *ledger = walk(&ways[0]);

    cr_assert_eq(tri_ledger_apply(ledger, 9, text("a"), TRI_ACTION_FREEZE, alice, false), 0);
    cr_assert_eq(tri_ledger_reserve(ledger, 9, text("a"), TRI_ACTION_SEIZE, bob), 0);
    cr_assert_eq(tri_ledger_undo(ledger, 9, text("a"), alice),
                 TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT);
    cr_assert_eq(tri_ledger_apply(ledger, 9, text("a"), TRI_ACTION_SEIZE, bob, true), 0,
                 "the reservation keeps its promise");
    free(ledger);
}

Test(ledger, unknown_assets_are_refused_by_every_operation)
{
    struct tri_ledger *ledger = walk(&ways[0]);
    struct tri_asset_view view;

    cr_assert_eq(tri_ledger_reserve(ledger, 8, text("b"), TRI_ACTION_FREEZE, alice),
                 TRI_ERROR_UNKNOWN_ASSET);
    cr_assert_eq(tri_ledger_apply(ledger, 8, text("b"), TRI_ACTION_FREEZE, alice, false),
                 TRI_ERROR_UNKNOWN_ASSET);
    cr_assert_eq(tri_ledger_undo(ledger, 8, text("b"), alice), TRI_ERROR_UNKNOWN_ASSET);
    tri_ledger_release(ledger, 8, text("b"), alice);
    cr_assert_not(tri_ledger_find(ledger, 8, text("b"), &view));
    cr_assert_not(tri_ledger_find(ledger, 9, text("b"), &view), "same hash, other id");
    free(ledger);
}

Test(ledger, adding_says_why_not)
{
    struct tri_ledger *ledger = make(2, 8);

    cr_assert_eq(tri_ledger_add(ledger, 1, text("")), TRI_VIOLATION);
    cr_assert_eq(tri_ledger_add(ledger, 1, text("123456789")), TRI_VIOLATION);
    cr_assert_eq(tri_ledger_add(ledger, 1, text("12345678")), TRI_OK);
    cr_assert_eq(tri_ledger_add(ledger, 1, text("12345678")), TRI_STALE);
    cr_assert_eq(tri_ledger_add(ledger, 1, text("other")), TRI_OK, "one hash, two ids");
    cr_assert_eq(tri_ledger_add(ledger, 1, text("third")), TRI_FULL);
    cr_assert_eq(tri_ledger_add(ledger, 1, text("other")), TRI_STALE, "known comes before full");
    free(ledger);
}

Test(ledger, options_out_of_range_have_no_footprint)
{
    const struct tri_ledger_options bad[] = {{0, 64}, {(1U << 24) + 1, 64}, {1, 7}, {1, 129}};

    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(tri_ledger_footprint(&bad[i]), 0);
    }
    cr_assert_eq(tri_ledger_footprint(&(struct tri_ledger_options){1, 8}) % 64, 0);
    cr_assert_gt(tri_ledger_footprint(&(struct tri_ledger_options){1U << 24, 128}), UINT64_C(1)
                                                                                        << 31);
}

/* Four assets share a hash. */
static uint64_t shared_hash(uint32_t asset)
{
    return (asset / 4) * UINT64_C(0x9e3779b97f4a7c15);
}

Test(ledger, a_hundred_thousand_assets_are_found_and_listed_in_order)
{
    struct tri_ledger *ledger = make(100000, 16);
    struct tri_asset_view view;
    uint32_t cursor = 0;
    char id[17];

    for (uint32_t i = 0; i < 100000; i++) {
        (void)snprintf(id, sizeof(id), "asset-%u", i);
        cr_assert_eq(tri_ledger_add(ledger, shared_hash(i), text(id)), TRI_OK);
    }
    for (uint32_t i = 0; i < 100000; i += 7) {
        (void)snprintf(id, sizeof(id), "asset-%u", i);
        cr_assert(tri_ledger_find(ledger, shared_hash(i), text(id), &view));
        cr_assert_eq(view.id.bytes, strlen(id));
        cr_assert_eq(memcmp(view.id.at, id, strlen(id)), 0);
    }
    for (uint32_t i = 0; i < 100000; i++) {
        (void)snprintf(id, sizeof(id), "asset-%u", i);
        cr_assert(tri_ledger_next(ledger, &cursor, &view));
        cr_assert_eq(memcmp(view.id.at, id, view.id.bytes), 0);
    }
    cr_assert_not(tri_ledger_next(ledger, &cursor, &view));
    free(ledger);
}

Test(ledger, S01_states_have_their_names)
{
    static const char *const names[TRI_LOCK_STATE_COUNT] = {"AVAILABLE", "RESERVED", "RESTRICTED",
                                                            "SEIZED", "TERMINATED"};
    static const char *const seconds[TRI_SECONDARY_COUNT] = {"NONE", "FROZEN", "RESTRICTED"};

    for (uint32_t i = 0; i < TRI_LOCK_STATE_COUNT; i++) {
        cr_assert_str_eq(tri_lock_state_name((enum tri_lock_state)i), names[i]);
    }
    for (uint32_t i = 0; i < TRI_SECONDARY_COUNT; i++) {
        cr_assert_str_eq(tri_secondary_state_name((enum tri_secondary_state)i), seconds[i]);
    }
}

Test(ledger, S01_names_are_parsed_whole_or_not_at_all)
{
    enum tri_asset_action action;
    static const char *const names[TRI_ACTION_COUNT] = {
        "FREEZE", "RESTRICT", "SEIZE", "CONFISCATE", "LIQUIDATE", "RECOVER", "RESERVE", "RELEASE"};

    for (uint32_t i = 0; i < TRI_ACTION_COUNT; i++) {
        cr_assert(tri_asset_action_parse(text(names[i]), &action));
        cr_assert_eq(action, i);
    }
    cr_assert_not(tri_asset_action_parse(text("FREEZ"), &action));
    cr_assert_not(tri_asset_action_parse(text("FREEZEX"), &action));
    cr_assert_not(tri_asset_action_parse(text("freeze"), &action));
    cr_assert_not(tri_asset_action_parse((struct tri_text){NULL, 0}, &action));
}

/* ---- images ---- */

Test(ledger, D05_an_image_is_these_bytes)
{
    static const uint8_t expected[] = "\x01\0\0\0\0\0\0\0"                   /* version */
                                      "\x01\0\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0" /* alice holds */
                                      "\x02\0\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0" /* bob changed */
                                      "\x02\x01\0\0\x03"; /* frozen, was available */
    struct tri_ledger *ledger = make(1, 8);
    uint8_t image[TRI_LEDGER_IMAGE_BYTES];

    cr_assert_eq(tri_ledger_add(ledger, 9, text("a")), TRI_OK);
    (void)tri_ledger_apply(ledger, 9, text("a"), TRI_ACTION_FREEZE, bob, false);
    (void)tri_ledger_reserve(ledger, 9, text("a"), TRI_ACTION_SEIZE, alice);
    cr_assert(tri_ledger_image(ledger, 9, text("a"), image));
    cr_assert_eq(sizeof(expected) - 1, sizeof(image));
    cr_assert_arr_eq(image, expected, sizeof(image));
    cr_assert_not(tri_ledger_image(ledger, 9, text("b"), image));
    free(ledger);
}

Test(ledger, D03_bytes_that_are_no_image_change_nothing)
{
    struct tri_ledger *ledger = walk(&ways[2]);
    uint8_t image[TRI_LEDGER_IMAGE_BYTES];
    uint8_t after[TRI_LEDGER_IMAGE_BYTES];

    cr_assert(tri_ledger_image(ledger, 9, text("a"), image));
    for (uint32_t at = 40; at < TRI_LEDGER_IMAGE_BYTES; at++) {
        uint8_t bytes[TRI_LEDGER_IMAGE_BYTES];

        memcpy(bytes, image, sizeof(bytes));
        bytes[at] = at % 2 == 0 && at < 44 ? TRI_LOCK_STATE_COUNT : 4;
        cr_assert_eq(tri_ledger_restore(ledger, 9, text("a"), bytes), TRI_VIOLATION, "byte %u", at);
    }
    image[42] = TRI_LOCK_TERMINATED;
    cr_assert_eq(tri_ledger_restore(ledger, 9, text("a"), image), TRI_VIOLATION, "no way out");
    image[42] = TRI_LOCK_AVAILABLE;
    cr_assert_eq(tri_ledger_restore(ledger, 9, text("b"), image), TRI_GONE);
    cr_assert(tri_ledger_image(ledger, 9, text("a"), after));
    cr_assert_arr_eq(after, image, sizeof(after));
    free(ledger);
}

/* ---- random operations against a model ---- */

enum { MODEL_ASSETS = 5, MODEL_KEYS = 4, MODEL_STEPS = 50000 };

/* The model keeps every state that an asset had and who made it; no code is shared with the ledger.
 */
struct model {
    char trail[MODEL_STEPS + 1]; /* v reserVed a available f frozen r restricted s seized t */
    uint8_t by[MODEL_STEPS + 1]; /* message + 1; 0 = an undo */
    uint32_t top;
    uint32_t holder; /* message + 1; 0 = nobody */
};
static struct model models[MODEL_ASSETS];

static char model_after(char state, enum tri_asset_action action)
{
    static const char *const moves[] = {"af0f", "ar1r", "fs2s", "rs2s", "st3t", "at4t", "sa5a",
                                        "fa5a", "ra5a", "av6v", "va7a", "fa7a", "ra7a"};

    for (uint32_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
        if (moves[i][0] == state && moves[i][2] == (char)('0' + (int)action)) {
            return moves[i][3];
        }
    }
    if ((action == TRI_ACTION_SEIZE && strchr("av", state) != NULL) ||
        (action == TRI_ACTION_CONFISCATE && strchr("avfr", state) != NULL)) {
        return 'E';
    }
    return 'I';
}

static enum tri_error model_probe(const struct model *model, enum tri_asset_action action,
                                  uint32_t who, char *after)
{
    *after = model_after(model->trail[model->top], action);
    if (model->holder != 0 && model->holder != who + 1) {
        return TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT;
    }
    return *after == 'E'   ? TRI_ERROR_ESCALATION_SEQUENCE
           : *after == 'I' ? TRI_ERROR_INVALID_STATE_TRANSITION
                           : TRI_ERROR_NONE;
}

static enum tri_error model_do(struct model *model, uint32_t op, enum tri_asset_action action,
                               uint32_t who)
{
    char after;
    enum tri_error code = model_probe(model, action, who, &after);

    switch (op) {
    case 0:
        if (code == TRI_ERROR_NONE) {
            model->holder = who + 1;
        }
        return code;
    case 1:
        if (code == TRI_ERROR_NONE) {
            model->top++;
            model->trail[model->top] = after;
            model->by[model->top] = (uint8_t)(who + 1);
        }
        return code;
    case 2:
        if (model->by[model->top] != who + 1) {
            return TRI_ERROR_ROLLBACK_FENCED;
        }
        if (model->holder != 0 && model->holder != who + 1) {
            return TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT;
        }
        model->top++;
        model->trail[model->top] = model->trail[model->top - 2];
        model->by[model->top] = 0;
        model->holder = 0;
        return TRI_ERROR_NONE;
    default:
        if (model->holder == who + 1) {
            model->holder = 0;
        }
        return TRI_ERROR_NONE;
    }
}

/* A ledger of the same assets, made of the images of another, which is given back. */
static struct tri_ledger *from_images(struct tri_ledger *ledger)
{
    struct tri_ledger *made = make(MODEL_ASSETS, 8);
    uint8_t image[TRI_LEDGER_IMAGE_BYTES];

    for (uint32_t i = MODEL_ASSETS; i-- > 0;) { /* the order says nothing */
        struct tri_text id = {&"abcde"[i], 1};

        cr_assert_eq(tri_ledger_add(made, i, id), TRI_OK);
        cr_assert(tri_ledger_image(ledger, i, id, image));
        cr_assert_eq(tri_ledger_restore(made, i, id, image), TRI_OK);
    }
    free(ledger);
    return made;
}

Test(ledger, S04_random_operations_agree_with_a_model_that_forgets_nothing)
{
    struct tri_ledger *ledger = make(MODEL_ASSETS, 8);
    uint64_t seed = 0x9e3779b97f4a7c15;
    uint32_t undone = 0;

    memset(models, 0, sizeof(models));
    for (uint32_t i = 0; i < MODEL_ASSETS; i++) {
        models[i].trail[0] = 'a';
        cr_assert_eq(tri_ledger_add(ledger, i, (struct tri_text){&"abcde"[i], 1}), TRI_OK);
    }
    for (uint32_t step = 0; step < MODEL_STEPS; step++) {
        uint32_t which, op, who;
        enum tri_asset_action action;
        struct tri_text id;
        struct tri_key key;
        struct tri_asset_view view;
        struct model *model;
        enum tri_error code = TRI_ERROR_NONE;

        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        which = (uint32_t)(seed >> 60) % MODEL_ASSETS;
        op = (uint32_t)(seed >> 56) % 4;
        who = (uint32_t)(seed >> 52) % MODEL_KEYS;
        action = (enum tri_asset_action)((seed >> 48) % TRI_ACTION_COUNT);
        if (action == TRI_ACTION_LIQUIDATE || action == TRI_ACTION_CONFISCATE) {
            action =
                (seed >> 32) % 4096 == 0 ? action : TRI_ACTION_RELEASE; /* rarely: no way out */
        }
        id = (struct tri_text){&"abcde"[which], 1};
        key = (struct tri_key){who, 3};
        model = &models[which];
        switch (op) {
        case 0:
            code = tri_ledger_reserve(ledger, which, id, action, key);
            break;
        case 1:
            code = tri_ledger_apply(ledger, which, id, action, key, model->holder == who + 1);
            break;
        case 2:
            code = tri_ledger_undo(ledger, which, id, key);
            undone += code == TRI_ERROR_NONE;
            break;
        default:
            tri_ledger_release(ledger, which, id, key);
            break;
        }
        cr_assert_eq(code, model_do(model, op, action, who), "step %u", step);
        if (step % 8 == 0) {
            ledger = from_images(ledger);
        }
        cr_assert(tri_ledger_find(ledger, which, id, &view));
        cr_assert_eq(view_letter(&view), model->trail[model->top], "step %u", step);
        cr_assert_eq(view.version, model->top, "step %u", step);
        cr_assert_eq(view.is_reserved, model->holder != 0, "step %u", step);
        if (model->holder != 0) {
            cr_assert_eq(view.holder.lo, model->holder - 1);
        }
    }
    cr_assert_gt(undone, 500, "the walk undid %u times", undone);
    free(ledger);
}
