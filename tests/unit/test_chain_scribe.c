/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: participant, files and ledger come back together from the journal, as
 * they were (D05, S04).
 * Method: random messages on a few assets, lives that end after any of them,
 * and after each life a comparison of every asset and of what is noted of every
 * message; segments so small that checkpoints and dropped segments are part of
 * it.  And bytes that are no records.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/wire.h"
#include "io/chain_scribe.h"
#include "io/clock.h"

enum { ENTRIES = 32, ASSETS = 6, MESSAGES = 24 };

#define SEGMENT_BYTES (UINT64_C(1) << 20)
#define WALL_MS       UINT64_C(1750000000000)

static char path[64];
static char why[TRI_STORE_WHY_BYTES];
static struct tri_store store;
static struct tri_book book;
static struct tri_files files;
static struct tri_participant *participant;
static struct tri_scribe scribe;
static struct tri_participant_effects effects;
static uint64_t now_ns;
static uint64_t wall_ms;

static void make_directory(void)
{
    (void)snprintf(path, sizeof(path), "/tmp/tricast-scribe-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
}

static void remove_directory(void)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "rm -r '%s'", path);
    cr_assert_eq(system(command), 0);
}

TestSuite(chain_scribe, .init = make_directory, .fini = remove_directory);

/* ---- a chain without wires ---- */

static void open_chain(uint32_t instance)
{
    struct tri_participant_options options = {
        .entries_max = ENTRIES, .instance = instance, .dedup_window_ms = 1000};

    book = (struct tri_book){0};
    cr_assert_null(tri_book_collect_series(&book, "bond-", ASSETS));
    cr_assert_null(tri_book_open(&book, 7));
    cr_assert_eq(tri_files_open(&files, &book, ENTRIES), 0);
    participant =
        tri_participant_init(aligned_alloc(64, tri_participant_footprint(&options)), &options);
    tri_scribe_init(&scribe, participant, &files, &store);
}

static void close_chain(void)
{
    tri_files_close(&files);
    free(participant);
    free(book.ledger);
    free(book.ids);
    free(book.series);
}

static struct tri_text asset_of(uint32_t who)
{
    static char name[16];

    return (struct tri_text){
        name, (uint32_t)snprintf(name, sizeof(name), "bond-%06u", who % ASSETS)};
}

static void step(struct tri_participant_event *event, const struct tri_phase_frame *phase);

static void operate(const struct tri_participant_effect *effect, const struct tri_phase_frame *phase)
{
    struct tri_participant_event verdict = {
        .type = TRI_PARTICIPANT_LEDGER,
        .ledger = {effect->entry, effect->generation, effect->op, TRI_ERROR_NONE},
    };

    if (phase != NULL && effect->op != TRI_LEDGER_RELEASE && effect->op != TRI_LEDGER_UNDO) {
        verdict.ledger.code = tri_files_fill(&files, effect->entry, phase);
    }
    if (verdict.ledger.code == TRI_ERROR_NONE) {
        verdict.ledger.code =
            tri_files_operate(&files, effect->entry, effect->key, effect->op);
    }
    if (effect->op != TRI_LEDGER_RELEASE) {
        step(&verdict, NULL);
    }
}

/* One step, its records, and at the end what the ledger was asked for: at most one operation. */
static void step(struct tri_participant_event *event, const struct tri_phase_frame *phase)
{
    struct tri_participant_effect asked;
    bool is_asked = false;

    event->now_ns = now_ns;
    event->wall_ms = wall_ms;
    (void)tri_participant_step(participant, event, &effects);
    for (uint32_t i = 0; i < effects.count; i++) {
        const struct tri_participant_effect *effect = &effects.at[i];

        if (effect->type == TRI_PARTICIPANT_EFFECT_APPEND) {
            tri_scribe_append(&scribe, effect);
        } else if (effect->type == TRI_PARTICIPANT_EFFECT_LEDGER) {
            if (effect->op == TRI_LEDGER_RELEASE) {
                operate(effect, NULL);
            } else {
                asked = *effect;
                is_asked = true;
            }
        }
    }
    if (is_asked) {
        operate(&asked, phase);
    }
}

static struct tri_key key_of(uint32_t who)
{
    return (struct tri_key){who * UINT64_C(0x9e3779b97f4a7c15), (uint64_t)who << 50};
}

static void phase(uint32_t who, enum tri_phase which, tri_attempt attempt)
{
    static const char *const actions[] = {"FREEZE", "RELEASE", "MELT"};
    uint8_t payload[256];
    uint8_t tokens[TRI_TOKENS_BYTES_MAX] = {0x90};
    struct tri_text asset = asset_of(who);
    struct tri_text assets[1] = {asset};
    const char *action = actions[who / ASSETS % 3];
    struct tri_action_payload asked = {asset, {action, (uint32_t)strlen(action)}, {"r", 1}};
    struct tri_writer writer = {payload, payload + sizeof(payload), false};
    struct tri_phase_frame frame = {.asset_count = 1, .assets = assets};
    struct tri_participant_event event = {.type = TRI_PARTICIPANT_PHASE};
    char id[16];

    frame.payload.at = payload;
    frame.payload.bytes = tri_action_encode(&asked, payload, sizeof(payload));
    cr_assert_gt(frame.payload.bytes, 0);
    (void)writer;
    event.phase.key = key_of(who);
    event.phase.id = (struct tri_text){id, (uint32_t)snprintf(id, sizeof(id), "m%u", who)};
    event.phase.phase = which;
    event.phase.attempt = attempt;
    event.phase.atomicity = who % 5 == 0 ? TRI_BEST_EFFORT : TRI_ALL_OR_NOTHING;
    event.phase.expires_at_ms = wall_ms + 1000;
    event.phase.reservation_ttl_ms = 500;
    event.phase.tokens = (struct tri_bytes){tokens, 1};
    step(&event, &frame);
}
