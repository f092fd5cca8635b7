/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/order.h"

#include "engine/wire_cursor.h"

/* Whether the tokens are one whole array of 1..4. */
static bool answer_has_tokens(const struct tri_answer *answer)
{
    struct tri_text tokens[TRI_TOKENS_MAX];
    struct tri_bytes encoded = {.at = answer->tokens, .bytes = answer->token_bytes};
    uint32_t count = 0;

    if (answer->token_bytes > TRI_TOKENS_BYTES_MAX) {
        return false;
    }
    count = tri_tokens_get(encoded, tokens);
    return count > 0 && (const uint8_t *)tokens[count - 1].at + tokens[count - 1].bytes ==
                            encoded.at + encoded.bytes;
}

static bool answer_fits_phase(enum tri_send kind, const struct tri_answer *answer)
{
    if (answer->type == TRI_ACK_PHASE_REJECT) {
        return tri_error_known(answer->code) && answer->code != TRI_ERROR_NONE &&
               !answer->already_applied && answer->token_bytes == 0;
    }
    if ((int)answer->type != (int)TRI_ACK_PHASE_PREPARE_OK + (int)kind ||
        answer->code != TRI_ERROR_NONE) {
        return false;
    }
    return kind == TRI_SEND_PREPARE ? answer_has_tokens(answer) : answer->token_bytes == 0;
}

bool tri_answer_fits(enum tri_send kind, const struct tri_answer *answer)
{
    bool is_done = answer->type == TRI_ACK_PROCESSED;

    if (kind <= TRI_SEND_FINALIZE) {
        return answer_fits_phase(kind, answer);
    }
    if (kind >= TRI_SEND_COUNT || answer->token_bytes != 0 || answer->already_applied) {
        return false;
    }
    return (is_done || answer->type == TRI_ACK_FAILED || answer->type == TRI_ACK_REJECTED) &&
           tri_error_known(answer->code) && is_done == (answer->code == TRI_ERROR_NONE);
}

static_assert((int)TRI_ACK_PHASE_PREPARE_OK + (int)TRI_SEND_COMMIT ==
                      (int)TRI_ACK_PHASE_COMMIT_OK &&
                  (int)TRI_ACK_PHASE_PREPARE_OK + (int)TRI_SEND_FINALIZE ==
                      (int)TRI_ACK_PHASE_FINALIZE_OK,
              "the OK of a phase follows from its number");

void tri_order_content(const struct tri_order *order, struct tri_content *content)
{
    struct tri_wire_fault fault;
    struct tri_cursor cursor;
    struct tri_inner inner;
    bool is_read = false;

    assert(order->ticket.kind <= TRI_SEND_FINALIZE);
    assert(order->inner.at != NULL);
    cursor = (struct tri_cursor){order->inner.at, order->inner.at,
                                 order->inner.at + order->inner.bytes, &fault};
    is_read =
        tri_get_inner(&cursor, &inner, content->assets, &content->envelope, &content->signature);
    assert(is_read); /* it was read whole when the message was submitted */
    content->type = inner.type;
    content->subtype = inner.subtype;
    content->asset_count = inner.asset_count;
    content->payload = inner.payload;
}

void tri_answer_token(struct tri_answer *answer, struct tri_text token)
{
    struct tri_writer writer = {
        .at = answer->tokens, .end = answer->tokens + sizeof(answer->tokens), .failed = false};

    assert(token.bytes >= 1);
    assert(token.bytes <= TRI_TOKEN_BYTES_MAX);
    tri_put_array(&writer, 1);
    tri_put_text(&writer, token);
    assert(!writer.failed);
    answer->token_bytes = (uint8_t)(writer.at - answer->tokens);
}

static_assert(TRI_TOKEN_BYTES_MAX + 3 == TRI_TOKENS_BYTES_MAX,
              "an array of one, a str, its length");
