/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an answer fits its order or is known not to; a token is what the codec
 * reads; the content of an order is what was submitted.
 * Method: every type of answer against every kind of order; tokens cut at
 * every byte.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "engine/order.h"
#include "engine/wire.h"

static struct tri_answer answer_of(enum tri_ack_type type, enum tri_error code)
{
    return (struct tri_answer){.type = type, .code = code};
}

static struct tri_text text(const char *at)
{
    return (struct tri_text){at, (uint32_t)strlen(at)};
}

Test(order, P04_each_order_has_its_own_yes)
{
    static const char fits[TRI_SEND_COUNT][TRI_ACK_COUNT + 1] = {
        /* RECEIVED PROCESSED FAILED REJECTED PREPARE_OK COMMIT_OK FINALIZE_OK PHASE_REJECT */
        [TRI_SEND_PREPARE] = "....1..c",  [TRI_SEND_COMMIT] = ".....1.c",
        [TRI_SEND_FINALIZE] = "......1c", [TRI_SEND_ABORT] = ".1cc....",
        [TRI_SEND_ROLLBACK] = ".1cc....",
    };

    for (uint32_t kind = 0; kind < TRI_SEND_COUNT; kind++) {
        for (uint32_t type = 0; type < TRI_ACK_COUNT; type++) {
            struct tri_answer plain = answer_of((enum tri_ack_type)type, TRI_ERROR_NONE);
            struct tri_answer coded = answer_of((enum tri_ack_type)type, TRI_ERROR_BUSY);

            if (type == TRI_ACK_PHASE_PREPARE_OK) {
                tri_answer_token(&plain, text("t"));
                tri_answer_token(&coded, text("t"));
            }
            cr_expect_eq(tri_answer_fits((enum tri_send)kind, &plain), fits[kind][type] == '1',
                         "kind %u type %u", kind, type);
            cr_expect_eq(tri_answer_fits((enum tri_send)kind, &coded), fits[kind][type] == 'c',
                         "kind %u type %u with a code", kind, type);
        }
    }
}

Test(order, P05_only_prepare_ok_has_tokens_and_they_are_whole)
{
    struct tri_answer answer = answer_of(TRI_ACK_PHASE_PREPARE_OK, TRI_ERROR_NONE);
    struct tri_answer cut;

    cr_expect_not(tri_answer_fits(TRI_SEND_PREPARE, &answer)); /* none */
    tri_answer_token(&answer, text("0123456789"));
    cr_assert_eq(answer.token_bytes, 12);
    cr_expect(tri_answer_fits(TRI_SEND_PREPARE, &answer));
    for (uint8_t bytes = 0; bytes <= TRI_TOKENS_BYTES_MAX + 1; bytes++) {
        cut = answer;
        cut.token_bytes = bytes;
        cr_expect_eq(tri_answer_fits(TRI_SEND_PREPARE, &cut), bytes == 12, "%u bytes", bytes);
    }
    cut = answer;
    cut.type = TRI_ACK_PHASE_COMMIT_OK;
    cr_expect_not(tri_answer_fits(TRI_SEND_COMMIT, &cut));
    cut = answer;
    cut.type = TRI_ACK_PHASE_REJECT;
    cut.code = TRI_ERROR_BUSY;
    cr_expect_not(tri_answer_fits(TRI_SEND_PREPARE, &cut));
}

Test(order, P10_already_applied_is_said_with_an_ok_alone)
{
    struct tri_answer answer = answer_of(TRI_ACK_PHASE_COMMIT_OK, TRI_ERROR_NONE);

    answer.already_applied = true;
    cr_expect(tri_answer_fits(TRI_SEND_COMMIT, &answer));
    answer = answer_of(TRI_ACK_PHASE_REJECT, TRI_ERROR_BUSY);
    answer.already_applied = true;
    cr_expect_not(tri_answer_fits(TRI_SEND_COMMIT, &answer));
    answer = answer_of(TRI_ACK_PROCESSED, TRI_ERROR_NONE);
    answer.already_applied = true;
    cr_expect_not(tri_answer_fits(TRI_SEND_ABORT, &answer));
}

Test(order, a_code_beyond_the_list_is_no_code)
{
    struct tri_answer answer =
        answer_of(TRI_ACK_PHASE_REJECT, (enum tri_error)(TRI_ERROR_VALUE_MAX + 1));

    cr_expect_not(tri_answer_fits(TRI_SEND_COMMIT, &answer));
    answer.type = TRI_ACK_FAILED;
    cr_expect_not(tri_answer_fits(TRI_SEND_ABORT, &answer));
}

/* type, subtype, assets, payload, envelope, signature */
#define INNER          \
    "\x01\x00\x91\xa4" \
    "bond"             \
    "\xc4\x03"         \
    "pay"              \
    "\xc0\xc0"

Test(order, H01_a_content_is_read_whole_or_not_at_all)
{
    static const uint8_t inner[] = INNER "\xc0";
    const uint32_t bytes = sizeof(INNER) - 1;
    struct tri_order order = {.ticket = {.kind = TRI_SEND_COMMIT}, .inner = {inner, bytes}};
    struct tri_content content;

    for (uint32_t count = 0; count <= bytes + 1; count++) {
        uint8_t *cut = malloc(count + 1); /* its end is where the sanitizer looks */

        memcpy(cut, inner, count);
        cr_expect_eq(tri_inner_is_whole((struct tri_bytes){cut, count}), count == bytes, "%u bytes",
                     count);
        free(cut);
    }
    tri_order_content(&order, &content);
    cr_expect_eq(content.type, TRI_TYPE_REGULATORY_ACTION);
    cr_expect_eq(content.asset_count, 1);
    cr_expect_eq(content.payload.bytes, 3);
}

Test(order, P05_the_longest_token_fills_its_room)
{
    static const char longest[TRI_TOKEN_BYTES_MAX + 1] = "abcdefghijklmnopqrstuvwxyz0123456789ABC";
    struct tri_answer answer = answer_of(TRI_ACK_PHASE_PREPARE_OK, TRI_ERROR_NONE);
    struct tri_text tokens[TRI_TOKENS_MAX];

    tri_answer_token(&answer, text(longest));
    cr_assert_eq(answer.token_bytes, TRI_TOKENS_BYTES_MAX);
    cr_assert_eq(tri_tokens_get((struct tri_bytes){answer.tokens, answer.token_bytes}, tokens), 1);
    cr_expect_eq(tokens[0].bytes, 39);
    cr_expect_arr_eq(tokens[0].at, longest, 39);
    cr_expect(tri_answer_fits(TRI_SEND_PREPARE, &answer));
}
