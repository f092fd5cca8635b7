/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/order.h"

#include "engine/wire_cursor.h"

bool tri_tokens_are_whole(struct tri_bytes tokens)
{
    struct tri_text texts[TRI_TOKENS_MAX];
    uint32_t count = 0;

    if (tokens.bytes > TRI_TOKENS_BYTES_MAX) {
        return false;
    }
    count = tri_tokens_get(tokens, texts);
    return count > 0 && (const uint8_t *)texts[count - 1].at + texts[count - 1].bytes ==
                            tokens.at + tokens.bytes;
}

static bool answer_has_tokens(const struct tri_answer *answer)
{
    return tri_tokens_are_whole(
        (struct tri_bytes){.at = answer->tokens, .bytes = answer->token_bytes});
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

static bool content_get(struct tri_bytes bytes, struct tri_content *content)
{
    struct tri_wire_fault fault;
    struct tri_cursor cursor = {bytes.at, bytes.at, bytes.at + bytes.bytes, &fault};
    struct tri_inner inner;

    if (!tri_get_inner(&cursor, &inner, content->assets, &content->envelope, &content->signature) ||
        cursor.at != cursor.end) {
        return false;
    }
    content->type = inner.type;
    content->subtype = inner.subtype;
    content->asset_count = inner.asset_count;
    content->payload = inner.payload;
    return true;
}

bool tri_inner_is_whole(struct tri_bytes inner)
{
    struct tri_content content;

    return content_get(inner, &content);
}

void tri_order_content(const struct tri_order *order, struct tri_content *content)
{
    bool is_read = false;

    assert(order->ticket.kind <= TRI_SEND_FINALIZE);
    assert(order->inner.at != NULL);
    is_read = content_get(order->inner, content);
    assert(is_read); /* it was read whole when the message was submitted, or taken back */
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
