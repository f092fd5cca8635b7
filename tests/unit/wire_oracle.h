/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Oracle: what msgpack-c makes of a frame, and frames drawn from a seed.
 *
 * The packer writes the body field by field with msgpack-c and shares no code
 * with engine/wire*.c but the structs.  Frames with `rest` are not known here.
 */
#ifndef TRI_TESTS_WIRE_ORACLE_H
#define TRI_TESTS_WIRE_ORACLE_H

#include <msgpack.h>

#include "engine/wire.h"

/* tri_oracle_pack appends the frame's body (no length) to `buffer`. */
void tri_oracle_pack(const struct tri_frame *frame, msgpack_sbuffer *buffer);

/* tri_oracle_sees is true if msgpack-c reads exactly these bytes as one value, and would write the
 * same bytes for it.  Only for bytes that tri_wire_decode accepted: others could make it allocate
 * without bound. */
bool tri_oracle_sees(const uint8_t *body, uint32_t bytes);

/* tri_oracle_strip makes the encoder write every field itself instead of copying a canonical run.
 */
void tri_oracle_strip(struct tri_frame *frame);

/* Room for what a drawn frame points to. */
struct tri_oracle_memory {
    uint64_t state; /* the generator's */
    uint32_t used;
    uint8_t at[131072];
};

/* tri_oracle_draw makes a legal frame of one of the types that tri_wire_encode knows; the same seed
 * gives the same frame.  Valid as long as `memory`. */
void tri_oracle_draw(uint64_t seed, struct tri_oracle_memory *memory, struct tri_frame *frame);

/* A number in [0, below) from the memory's generator. */
uint32_t tri_oracle_below(struct tri_oracle_memory *memory, uint32_t below);

#endif
