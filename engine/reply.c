/* SPDX-License-Identifier: Apache-2.0 */
/* A chain's plain yes and no to an order (P04, A07). */
#include <assert.h>

#include "tricast.h"

#define TOKEN_DIGITS 32U /* of 6 bits: a key and an attempt are 192 bits */

/* Writes 192 bits as digits, the lowest first; a digit may reach from one word into the next. */
static void put_digits(uint8_t to[TOKEN_DIGITS], const uint64_t words[3])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

    static_assert(sizeof(digits) == 65, "a digit for each of 64 values");
    for (uint32_t i = 0; i < TOKEN_DIGITS; i++) {
        uint32_t bit = 6 * i;
        uint64_t value = words[bit / 64] >> bit % 64;

        if (bit % 64 > 58) {
            value |= words[bit / 64 + 1] << (64 - bit % 64);
        }
        to[i] = (uint8_t)digits[value & 63U];
    }
}

enum tri_reply tri_answer_accept(const struct tri_ticket *ticket, struct tri_answer *answer)
{
    static const enum tri_ack_type yes[TRI_SEND_COUNT] = {
        [TRI_SEND_PREPARE] = TRI_ACK_PHASE_PREPARE_OK,
        [TRI_SEND_COMMIT] = TRI_ACK_PHASE_COMMIT_OK,
        [TRI_SEND_FINALIZE] = TRI_ACK_PHASE_FINALIZE_OK,
        [TRI_SEND_ABORT] = TRI_ACK_PROCESSED,
        [TRI_SEND_ROLLBACK] = TRI_ACK_PROCESSED,
    };

    assert(ticket->kind < TRI_SEND_COUNT);
    *answer = (struct tri_answer){.type = yes[ticket->kind]};
    if (ticket->kind == TRI_SEND_PREPARE) {
        const uint64_t words[3] = {ticket->key.lo, ticket->key.hi, ticket->attempt};

        static_assert(3 + TOKEN_DIGITS <= TRI_TOKENS_BYTES_MAX, "the token fits");
        answer->tokens[0] = 0x91; /* an array of one str */
        answer->tokens[1] = 0xd9;
        answer->tokens[2] = TOKEN_DIGITS;
        put_digits(answer->tokens + 3, words);
        answer->token_bytes = 3 + TOKEN_DIGITS;
    }
    return TRI_REPLY_NOW;
}

enum tri_reply tri_answer_refuse(const struct tri_ticket *ticket, enum tri_error code,
                                 struct tri_answer *answer)
{
    assert(ticket->kind < TRI_SEND_COUNT);
    assert(code != TRI_ERROR_NONE);
    *answer = (struct tri_answer){
        .type = ticket->kind <= TRI_SEND_FINALIZE ? TRI_ACK_PHASE_REJECT : TRI_ACK_FAILED,
        .code = code,
    };
    return TRI_REPLY_NOW;
}
