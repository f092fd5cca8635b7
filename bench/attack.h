/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attack: peers that behave badly, in processes of their own.
 *
 * They run with what all others leave of their CPU (SCHED_IDLE): on a network they would have
 * machines of their own, and what is measured is what they take from the server, not what they take
 * from the client beside them.
 */
#ifndef TRI_BENCH_ATTACK_H
#define TRI_BENCH_ATTACK_H

#include <sys/types.h>

#include "bench/bench.h"

enum attack_kind {
    ATTACK_NEVER_READS, /* ask without end and read no answer */
    ATTACK_DRIP,        /* a byte a second of a frame */
    ATTACK_IDLE,        /* greet and say nothing */
    ATTACK_HALVES,      /* half a frame each */
    ATTACK_HELLOS,      /* greet with a wrong secret, again and again */
    ATTACK_SUBMITS,     /* submit to a chain that is not there, as fast as it goes */
    ATTACK_STORM,       /* connect and close, again and again */
    ATTACK_COUNT,
};

/* Four identities of the attackers: elements of `clients: []`, each after a comma. */
extern const char attack_clients[];
/* The chain that is not there, likewise. */
extern const char attack_chains[];

struct attack_options {
    enum attack_kind kind;
    uint16_t port;
    uint32_t connections; /* of all processes together */
    uint32_t processes;   /* 1..ATTACK_PROCESSES_MAX */
};

#define ATTACK_PROCESSES_MAX 16U
struct attack_shared;
struct attack {
    pid_t pids[ATTACK_PROCESSES_MAX];
    struct attack_shared *shared;
};

/* attack_rest stops the attackers, or lets them go on; what stands stays. */
void attack_rest(const struct attack *attack, bool is_resting);
/* attack_start begins it and returns when all connections stand (those that come and go need not);
 * false after a message.  attack_stop ends it and returns how often it did its worst: connections,
 * or frames; accepts a zeroed attack. */
bool attack_start(struct attack *attack, const struct attack_options *options);
uint64_t attack_stop(struct attack *attack);

#endif
