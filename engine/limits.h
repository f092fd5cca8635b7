/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every bound that is not part of the public vocabulary (tricast.h), once.
 * Relations between bounds are asserted at compile time with their reason.
 */
#ifndef TRI_ENGINE_LIMITS_H
#define TRI_ENGINE_LIMITS_H

#include <assert.h>

#include "tricast/message.h"

#define TRI_CACHE_LINE 64U

/* A frame body.  The largest is a SUBMIT with everything at its maximum. */
#define TRI_FRAME_BYTES_MAX    81920U
#define TRI_FRAME_HEADER_BYTES 4U
#define TRI_WIRE_DEPTH_MAX     8U

static_assert(TRI_FRAME_BYTES_MAX >= TRI_PAYLOAD_BYTES_MAX +
                                         TRI_TARGETS_MAX * (TRI_CHAIN_ID_BYTES_MAX + 3) +
                                         TRI_ASSETS_MAX * (TRI_ASSET_ID_BYTES_MAX + 3) +
                                         TRI_SIGNATURE_BYTES_MAX + 1024,
              "the largest legal SUBMIT must fit into a frame");
static_assert(TRI_TARGETS_MAX == 64, "who has answered is one bit per target in a uint64_t");

#define TRI_NONE_INDEX UINT32_MAX /* no slot, no node, no entry */

#define TRI_CHAINS_MAX       1024U
#define TRI_SHARDS_MAX       64U
#define TRI_SLOT_COUNT       4096U  /* hash -> slot -> shard */
#define TRI_ENVELOPES_MAX    65536U /* slots, open and remembered (F07) */
#define TRI_STREAM_BYTES_MAX 16U    /* of a stream's name, "EPOCH-SHARD" (F08) */
#define TRI_WAITERS_MAX      8U     /* clients attached to one message (R01) */
#define TRI_REDELIVERIES_MAX 64U    /* of one shard at a time (F04) */

#define TRI_FORCE_AHEAD_MS_MAX \
    UINT64_C(86400000) /* how far ahead a forced message is dated (F06) */

#define TRI_NS_PER_MS UINT64_C(1000000)
#define TRI_NS_PER_S  UINT64_C(1000000000)

#endif
