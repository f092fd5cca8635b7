/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message: what a program gives us, before the writer may be trusted with it.
 * tri_message_encode() stands in tricast.h.
 *
 * Threads: no state.
 */
#ifndef TRI_SHARDS_MESSAGE_H
#define TRI_SHARDS_MESSAGE_H

#include "tricast/message.h"

/* tri_message_fault holds everything that has a length or a count against its bound.  Returns the
 * name of the first field that is too long, static; NULL if there is none: the body of the SUBMIT
 * then takes at most *bytes_max. */
const char *tri_message_fault(const struct tri_message *message, uint32_t *bytes_max);

#endif
