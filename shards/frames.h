/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: what the engine shows of a message, as frames for chains, clients
 * and watchers.
 *
 * Frames for several peers are written as a template: the bytes before the
 * field that differs and the bytes after it (shards/delivery.h).
 *
 * Threads: no state.
 */
#ifndef TRI_SHARDS_FRAMES_H
#define TRI_SHARDS_FRAMES_H

#include "engine/wire.h"
#include "tricast_engine.h"

/* Two runs of body bytes around a field. */
struct tri_template {
    uint32_t before_bytes;
    uint32_t after_bytes; /* stand right behind the first run */
};

/* tri_frames_send writes PHASE or CONTROL of a SEND effect around the tokens. */
struct tri_template tri_frames_send(const struct tri_effect *effect,
                                    const struct tri_engine_chain *chains, uint8_t *to,
                                    uint32_t bytes_max);

/* tri_frames_event writes EVENT of an effect before its last field, `missed`. */
struct tri_template tri_frames_event(const struct tri_effect *effect,
                                     const struct tri_engine_chain *chains, uint64_t at_ms,
                                     uint8_t *to, uint32_t bytes_max);

/* tri_frames_notify fills *frame with ACK or NOTICE of a NOTIFY effect; borrowed from the effect.
 * `stream` is where the shard's finality records go, empty if nowhere. */
void tri_frames_notify(const struct tri_effect *effect, const struct tri_engine_chain *chains,
                       struct tri_text stream, struct tri_frame *frame);

/* tri_frames_status fills *frame with STATUS; borrowed from *status. */
void tri_frames_status(const struct tri_engine_status *status,
                       const struct tri_engine_chain *chains, struct tri_frame *frame);

/* Whether watchers are told of an effect. */
bool tri_frames_is_event(const struct tri_effect *effect);

#endif
