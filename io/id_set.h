/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Id set: which ids were seen, 16 bytes for each, for as many as memory holds.
 *
 * An id is known by the first half of its SHA-256: that two ids share it does not happen.  The
 * table is open addressing in a power of two, at most three quarters full; where a digest begins to
 * look depends on a random number, so nobody can choose ids that crowd.
 *
 * Threads: one at a time.
 */
#ifndef TRI_IO_ID_SET_H
#define TRI_IO_ID_SET_H

#include "tricast/message.h"

struct tri_id_set {
    struct tri_hash *digests; /* owned; zeros: a free place */
    uint64_t room;            /* a power of two, or 0 */
    uint64_t count;
    uint64_t factor; /* odd */
};

/* Random: any odd number. */
void tri_id_set_init(struct tri_id_set *set, uint64_t random);
void tri_id_set_fini(struct tri_id_set *set);

/* tri_id_set_add returns 1 if the id is new, 0 if it was there, or -ENOMEM. */
int tri_id_set_add(struct tri_id_set *set, struct tri_text id);

#endif
