/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bare: the least that three phases over TCP can cost, as a baseline.
 *
 * One coordinator process, three participant processes and the caller as client; frames are fixed
 * structs, sends are coalesced per peer and turn, and there is no codec, no table, no timer, no
 * identity and no refusal.  It promises nothing: it is the limit to be near.
 */
#ifndef TRI_BENCH_BARE_H
#define TRI_BENCH_BARE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BARE_CHAINS    3U
#define BARE_ALONE_MAX 1000U

struct bare {
    pid_t pids[1 + BARE_CHAINS];
    int client_fd;
};

/* bare_start forks the processes: the coordinator on CPU 0, all others on CPU 1.  False after a
 * message if it cannot. */
bool bare_start(struct bare *bare);
/* bare_run keeps `in_flight` rounds open for `duration_ns` and returns the rounds that ended. */
uint64_t bare_run(struct bare *bare, uint32_t in_flight, uint64_t duration_ns);
/* bare_alone_us plays `rounds` (1..BARE_ALONE_MAX) one after the other; returns the median of their
 * times in microseconds. */
double bare_alone_us(struct bare *bare, uint32_t rounds);
/* bare_stop ends the processes.  Accepts a zeroed object. */
void bare_stop(struct bare *bare);

#endif
