/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order: what a chain in the same process is told, and whether its answer
 * belongs to it.  tri_order_content() stands in tricast.h.
 *
 * Threads: no state.
 */
#ifndef TRI_ENGINE_ORDER_H
#define TRI_ENGINE_ORDER_H

#include "tricast.h"

/* tri_answer_fits tells whether an answer may follow an order of `kind`: its type, its code and its
 * tokens (P04, A07). */
bool tri_answer_fits(enum tri_send kind, const struct tri_answer *answer);

#endif
