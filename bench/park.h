/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Park: messages that stay open because their chains never connect, and what a process takes.
 *
 * Three targets, 64 bytes of payload, ids of 36 bytes.
 */
#ifndef TRI_BENCH_PARK_H
#define TRI_BENCH_PARK_H

#include <sys/types.h>

#include "bench/stage.h"

#define PARK_CHAINS        3U
#define PARK_PAYLOAD_BYTES 64U

extern const char *const park_chain_ids[PARK_CHAINS];
/* For stage_options.chains. */
extern const char park_chains[];

/* A connection that parks messages; its client's name is "park". */
struct park {
    struct tri_client client;
    enum tri_message_type type; /* whose policy of retries it is */
    uint32_t ttl_s;
    uint64_t next;  /* number of the next message */
    uint64_t heard; /* messages whose RECEIVED has come */
    uint64_t ended;
    uint64_t refused;
    enum tri_error code; /* of the last that was not RECEIVED */
};

/* park_frame writes the next message; returns the bytes of its frame.  park_open opens `count`
 * messages whose PREPARE waits for `timeout_ms`, and returns false after a message if one is not
 * RECEIVED; the caller closes the client in any case.  park_receive waits for one frame more;
 * park_take counts the frame in the client. */
uint32_t park_frame(const struct park *park, uint32_t timeout_ms, uint8_t *to);
bool park_open(struct park *park, const struct stage *stage, uint32_t count, uint32_t timeout_ms);
bool park_receive(struct park *park, uint64_t deadline_ns);
void park_take(struct park *park);

/* The number behind `name` in a file of /proc/pid, in bytes; 0 if it is not there. */
double park_proc_bytes(pid_t pid, const char *file_name, const char *name);
double park_resident(pid_t pid);

#endif
