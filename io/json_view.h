/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON views: what people and scripts see of a frame.
 *
 * Names are those of the specification: camelCase keys, SCREAMING_SNAKE_CASE
 * values, ISO 8601 times in UTC with milliseconds.  An absent error is null,
 * not "NONE".  Every view is an object whose first key, "view", names it.
 *
 * Each function returns a new reference that the caller owns, or NULL when
 * memory ran out.  Nothing of the frame is kept.
 *
 * Threads: no state; any function may run anywhere.
 */
#ifndef TRI_IO_JSON_VIEW_H
#define TRI_IO_JSON_VIEW_H

#include <jansson.h>

#include "engine/wire.h"

/* The frames that a client or operator receives. */
json_t *tri_json_ack(const struct tri_ack *ack);
json_t *tri_json_envelope_ack(const struct tri_envelope_ack *ack);
json_t *tri_json_notice(const struct tri_notice *notice);
json_t *tri_json_status(const struct tri_status *status);
json_t *tri_json_event(const struct tri_event_frame *event);
json_t *tri_json_error(const struct tri_error_frame *error);

/*
 * tri_json_stats makes the view of a STATS frame.
 *
 * rest  in; the elements after the type, as tri_wire_decode() left them.
 *
 * Returns NULL when the elements are not a list of counters, too.
 */
json_t *tri_json_stats(struct tri_bytes rest);

/*
 * tri_json_ledger adds one LEDGER page to a view.
 *
 * view  in/out; NULL on the first page, else what the call before returned; ownership moves to the
 *       callee.
 * rest  in; the elements after the type, as tri_wire_decode() left them.
 * more  out; whether a page follows.
 *
 * Returns the view {view, chainId, instance, assets, counters}; NULL, with the view freed, when the
 * elements are not a page of the same chain.
 */
json_t *tri_json_ledger(json_t *view, struct tri_bytes rest, bool *more);

#endif
