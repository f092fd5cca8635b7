/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a message may cost, with everything that grows with the number of messages: at most 768
 * bytes while it is open, at most 64 once it has ended.
 *
 * Method: the footprint of an engine with room for a million messages more, and as many messages as
 * a small one has room for, each with its chains' longest tokens.
 */
#include <criterion/criterion.h>

#include "tests/unit/engine_kit.h"

#define MILLION 1000000U
#define OPEN    512U

KIT_BENCH

/* Three targets, 64 bytes of payload, one asset, ids of 36 bytes: what the figures are about. */
static struct tri_message usual_message(const char *id)
{
    static const uint8_t payload[64];
    struct tri_message message = kit_message(id, TRI_GUARANTEED);

    message.assets[0] = kit_text("b1946ac9-2492-4d23-9c6f-235b4d2611aa");
    message.payload = (struct tri_bytes){payload, sizeof(payload)};
    return message;
}

/* An engine with room for `open` open messages of the smallest size. */
static void take_options(uint32_t open, uint32_t remembered)
{
    kit_options(&kit);
    kit.options.rounds_max = open;
    kit.options.dedup_entries_max = remembered;
    memset(kit.options.body_counts, 0, sizeof(kit.options.body_counts));
    kit.options.body_counts[0] = open;
}

static double footprint(uint32_t open, uint32_t remembered)
{
    take_options(open, remembered);
    cr_assert_null(tri_engine_check(&kit.options));
    return (double)tri_engine_footprint(&kit.options);
}

ENGINE_TEST(footprint, an_open_message_costs_at_most_768_bytes_with_everything)
{
    double few = footprint(OPEN, OPEN);
    double many = footprint(OPEN + MILLION, OPEN + MILLION);

    cr_assert_leq((many - few) / MILLION, 768.0, "%f", (many - few) / MILLION);
    cr_assert_leq(many, 768.0 * MILLION, "%f", many);
}

ENGINE_TEST(footprint, R06_a_remembered_message_costs_at_most_64_bytes_with_everything)
{
    double few = footprint(OPEN, OPEN);
    double many = footprint(OPEN, OPEN + MILLION);

    cr_assert_leq((many - few) / MILLION, 64.0, "%f", (many - few) / MILLION);
}

/* And this is the message that it is said of: every place of an engine can hold one. */
ENGINE_TEST(footprint, P05_the_smallest_body_holds_three_targets_with_their_longest_tokens)
{
    static uint8_t tokens[TRI_TOKENS_BYTES_MAX] = {0x91, 0xd9, TRI_TOKENS_BYTES_MAX - 3};
    char id[37];

    kit_fini(&kit);
    take_options(OPEN, OPEN);
    kit_start(&kit);
    memset(tokens + 3, 't', sizeof(tokens) - 3);
    for (uint32_t i = 0; i < OPEN; i++) {
        struct tri_message message;

        (void)snprintf(id, sizeof(id), "%08u-0000-4000-8000-000000000000", i);
        message = usual_message(id);
        (void)kit_submit_as(&kit, &message, 1);
        for (uint16_t chain = 0; chain < 2; chain++) {
            struct tri_event event = kit_ack(id, chain, TRI_PHASE_PREPARE, 1);

            event.phase_ack.tokens = (struct tri_bytes){tokens, sizeof(tokens)};
            cr_assert_eq(kit_step(&kit, &event), TRI_OK);
        }
        kit.log[0] = '\0';
    }
    cr_assert_eq(tri_engine_open_count(kit.engine), OPEN);
    cr_assert_eq(COUNT(refused), 0U);
    for (uint32_t i = 0; i < OPEN; i++) {
        struct tri_engine_status status;

        (void)snprintf(id, sizeof(id), "%08u-0000-4000-8000-000000000000", i);
        status = kit_status(&kit, id);
        cr_assert_eq(status.round.inner.at[status.round.inner.bytes - 1], 0xc0); /* no signature */
        for (uint32_t target = 0; target < 2; target++) {
            cr_assert_eq(status.round.targets[target].token_set_bytes, sizeof(tokens));
            cr_assert_eq(memcmp(status.round.targets[target].tokens, tokens, sizeof(tokens)), 0);
        }
    }
}
