/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Place: on which CPU a shard runs and where its memory lies.
 *
 * Memory is mapped before the first turn and touched lazily: a pool that is
 * never full never costs its whole size, and a page lands on the node of the
 * thread that touches it first.
 *
 * Threads: no state.
 */
#ifndef TRI_IO_PLACE_H
#define TRI_IO_PLACE_H

#include <stddef.h>
#include <stdint.h>

/* CPUs that this process may use, at least 1. */
uint32_t tri_place_cpus(void);

/* tri_place_pin binds the calling thread to the (index modulo count)-th CPU that the process may
 * use. Returns 0, or -errno: the thread then runs wherever the kernel puts it. */
int tri_place_pin(uint32_t index);

/* tri_place_map returns `bytes` (> 0) of zeroed, page-aligned memory, NULL if the address space or
 * a limit does not allow it. */
void *tri_place_map(size_t bytes);
/* tri_place_unmap accepts NULL. */
void tri_place_unmap(void *memory, size_t bytes);

#endif
