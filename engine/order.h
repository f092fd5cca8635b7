/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order: what a chain in the same process is told, and whether its answer
 * belongs to it.  tri_order_content() stands in tricast/order.h.  A journal's bytes are
 * asked here first whether they will do for an order.
 *
 * Threads: no state.
 */
#ifndef TRI_ENGINE_ORDER_H
#define TRI_ENGINE_ORDER_H

#include "tricast/order.h"

/* tri_answer_fits tells whether an answer may follow an order of `kind`: its type, its code and its
 * tokens (P04, A07). */
bool tri_answer_fits(enum tri_send kind, const struct tri_answer *answer);

/* tri_tokens_are_whole tells whether the bytes are one array of 1..4 tokens and nothing else. */
bool tri_tokens_are_whole(struct tri_bytes tokens);

/* tri_inner_is_whole tells whether the bytes are the content of one message and nothing else:
 * tri_order_content() can read it. */
bool tri_inner_is_whole(struct tri_bytes inner);

/* tri_message_dated reads when a message was made, from its canonical bytes; false: they are none.
 */
bool tri_message_dated(struct tri_bytes canonical, uint64_t *timestamp_ms);

#endif
