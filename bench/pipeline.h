/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipeline: what rounds cost between two threads that do nothing else.
 *
 * A coordinator on CPU 0 and three participants on CPU 1: three phases, an
 * answer each, 18 messages a round, BENCH_IN_FLIGHT rounds at a time.  The
 * coordinator counts answers in an array; there is no codec, no hash, no table
 * of what was seen, no timer and no client.  Messages are pointers to lines
 * that were made beforehand.
 */
#ifndef TRI_BENCH_PIPELINE_H
#define TRI_BENCH_PIPELINE_H

#include <stdint.h>

#define BENCH_IN_FLIGHT 1024U

/* Rounds per second over a ck_ring per participant and direction, which both sides poll. */
double bench_pipeline_rings(uint64_t rounds);
/* The same over two queues with a mutex and a condition, on which both sides block. */
double bench_pipeline_mutex(uint64_t rounds);

#endif
