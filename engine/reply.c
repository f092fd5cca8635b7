/* SPDX-License-Identifier: Apache-2.0 */
/* A chain's plain yes and no to an order (P04, A07). */
#include <assert.h>

#include "tricast/order.h"

#define TOKEN_DIGITS 32U /* of 6 bits: a key and an attempt are 192 bits */
#define EACH(byte)   (UINT64_C(0x0101010101010101) * (byte))

/* 1 in every byte of `values` (each below 64) that is at least `least`. */
static uint64_t bytes_from(uint64_t values, uint32_t least)
{
    return ((values + EACH(128 - least)) & EACH(0x80)) >> 7;
}

/* Writes 48 bits as eight digits of 0-9 A-Z a-z - _, the lowest first, all eight together: a token
 * is made for every PREPARE. */
static void put_eight(uint8_t to[8], uint64_t bits)
{
    uint64_t at = bits & UINT64_C(0xffffffffffff);

    /* Two halves of 24 bits, four quarters of 12, eight bytes of 6. */
    at = (at & UINT64_C(0x0000000000ffffff)) | (at & UINT64_C(0x0000ffffff000000)) << 8;
    at = (at & UINT64_C(0x00000fff00000fff)) | (at & UINT64_C(0x00fff00000fff000)) << 4;
    at = (at & UINT64_C(0x003f003f003f003f)) | (at & UINT64_C(0x0fc00fc00fc00fc0)) << 2;
    /* No byte ever leaves 0..127, so none touches its neighbour. */
    at += EACH('0') + bytes_from(at, 10) * ('A' - '9' - 1) + bytes_from(at, 36) * ('a' - 'Z' - 1) -
          bytes_from(at, 62) * ('z' + 1 - '-') + bytes_from(at, 63) * ('_' - '-' - 1);
    for (uint32_t i = 0; i < 8; i++) {
        to[i] = (uint8_t)(at >> 8 * i);
    }
}

static void put_digits(uint8_t to[TOKEN_DIGITS], const uint64_t words[3])
{
    put_eight(to, words[0]);
    put_eight(to + 8, words[0] >> 48 | words[1] << 16);
    put_eight(to + 16, words[1] >> 32 | words[2] << 32);
    put_eight(to + 24, words[2] >> 16);
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
