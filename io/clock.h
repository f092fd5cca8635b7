/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clock: the two times that the engine is told.
 *
 * The monotonic time drives timers and never goes back; the wall time is for
 * dates and ages only, because an operator may set it (L07).  Both are read
 * once per turn and handed on as arguments.
 *
 * Threads: no state.
 */
#ifndef TRI_IO_CLOCK_H
#define TRI_IO_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Nanoseconds, monotonic. */
uint64_t tri_clock_now_ns(void);
/* Unix time in milliseconds. */
uint64_t tri_clock_wall_ms(void);

#define TRI_CLOCK_TEXT_BYTES 25U
/* tri_clock_text writes `wall_ms` as ISO 8601 in UTC, "2026-01-02T03:04:05.678Z", terminated. */
void tri_clock_text(uint64_t wall_ms, char text[TRI_CLOCK_TEXT_BYTES]);
/* tri_clock_parse reads such a text, of TRI_CLOCK_TEXT_BYTES - 1 characters.  False: it is no time
 * that tri_clock_text() could have written. */
bool tri_clock_parse(const char *text, uint64_t *wall_ms);

#endif
