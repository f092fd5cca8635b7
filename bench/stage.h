/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage: the programs as they are deployed, for benchmarks over sockets: one tricastd on CPU 0,
 * three tricast-chain with real ledgers on CPU 1, and a client of this process that submits
 * GUARANTEED rounds for all three.
 *
 * Everything lies in a directory of its own under /tmp and ends with the stage.
 */
#ifndef TRI_BENCH_STAGE_H
#define TRI_BENCH_STAGE_H

#include <sys/types.h>

#include "bench/bench.h"
#include "io/client.h"

#define STAGE_CHAINS        3U
#define STAGE_FRAME_BYTES   512U
#define STAGE_NUMBER_DIGITS 8U
#define STAGE_ASSETS        4095U
#define STAGE_ALONE_MAX     1000U

extern const char *const stage_chain_ids[STAGE_CHAINS];

struct stage_options {
    const char *capacities; /* inside of `capacities: {}` */
    const char *more;       /* further lines of the configuration; "" = none */
    const char *chains;     /* further elements of `chains: []`, each after a comma; "" = none */
    const char *clients;    /* likewise of `clients: []` */
    uint32_t entries;       /* of each chain's table */
    uint32_t assets;        /* more than are ever open at once, 0 = STAGE_ASSETS: no message waits
                             * for another's */
    uint32_t shards;        /* 0 = one; more may use every CPU */
    uint32_t chain_connections; /* of each chain, 0 = one */
    bool is_alone;              /* without its chains: nothing is PROCESSED */
    bool is_durable;            /* the server keeps a journal, in the directory's data/journal */
    bool is_talkative;          /* the server's log, on stderr, from the level info on */
};

/* Room for 1,024 rounds in flight, shares that nobody meets, and a table that remembers all of a
 * run. */
struct stage_options stage_rounds(const struct bench_run *run);

struct stage {
    char directory[64];
    uint16_t port;
    pid_t server;
    pid_t chains[STAGE_CHAINS];
    struct tri_client client;
    uint32_t assets;
    bool is_waiting; /* the chains have not answered yet */
    uint64_t next;   /* number of the next message */
    uint64_t processed;
    uint64_t others; /* results that are not PROCESSED */
    enum tri_error other_code;
    /* A SUBMIT of each kind, in which only digits change. */
    uint8_t submit[2][STAGE_FRAME_BYTES];
    uint32_t submit_bytes[2];
    uint32_t id_at[2];
    uint32_t asset_at[2][2];
};

/* stage_spawn begins a program on a CPU; it dies with this process. */
#define STAGE_ANY_CPU UINT32_MAX
pid_t stage_spawn(const char *program, const char *const arguments[], uint32_t cpu);
/* stage_end ends a process that stage_spawn or fork() began; accepts 0. */
void stage_end(pid_t pid);

/* stage_open begins everything and waits until rounds are PROCESSED; false after a message.
 * stage_close accepts a zeroed stage, and one that stage_open gave up. */
bool stage_open(struct stage *stage, const struct stage_options *options,
                const struct bench_run *run);
void stage_close(struct stage *stage);

/* stage_serve begins the server of a stage again, once it has ended, on a CPU, and waits until it
 * listens; false after a message. */
bool stage_serve(struct stage *stage, uint32_t cpu, const struct bench_run *run);

/* stage_clock sets the timestamp of the submits to now; their age is tested when they arrive. */
void stage_clock(struct stage *stage);
/* stage_submit queues the next message; false: no room, or the connection is gone.  Its id begins
 * with its number, STAGE_NUMBER_DIGITS digits. */
bool stage_submit(struct stage *stage);
/* stage_take counts the frame in stage->client.frame; true if it ends a message. */
bool stage_take(struct stage *stage);
/* stage_run keeps `in_flight` messages open for a while; returns those PROCESSED within it, -1
 * after a message if it broke. */
int64_t stage_run(struct stage *stage, uint32_t in_flight, uint64_t duration_ns);
/* stage_alone_us plays `rounds` (1..STAGE_ALONE_MAX) one after the other; returns the median of
 * their times from submit to result, in microseconds, -1 after a message if it broke. */
double stage_alone_us(struct stage *stage, uint32_t rounds);

/* CPU time of a process so far, in microseconds. */
double stage_cpu_us(pid_t pid);

#endif
