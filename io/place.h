/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Place: on which CPU a shard runs and where its memory lies.
 *
 * Memory is mapped before the first turn.  What every message touches is filled
 * in at once, so that no turn waits for the kernel to clear pages and a machine
 * that is too small says so at the start; buffers that only crowds need are left
 * to be touched when they come.
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
/* tri_place_scatter says that little of the first `bytes` of a map will be touched, here and there:
 * huge pages would make all of it real. */
void tri_place_scatter(void *memory, size_t bytes);
/* tri_place_fill has the kernel provide all pages that `bytes` of a map lie in now.  Returns 0, or
 * -errno (-ENOMEM: the machine does not have that much). */
int tri_place_fill(void *memory, size_t bytes);
/* tri_place_unmap accepts NULL. */
void tri_place_unmap(void *memory, size_t bytes);

#endif
