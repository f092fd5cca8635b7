/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/attack.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/stage.h"
#include "engine/wire.h"

#define NAMES           4U
#define FRAMES_AT_ONCE  64U
#define FRAME_BYTES     512U
#define HALF_OF         4000U /* a frame in pieces, of which this many bytes are missing half */
#define DRIP_OF         80000U
#define START_MS        60000U
#define GREET_MS        10000U
#define SMALL_RECEIVE   4096
#define ATTACK_CPU      1U
#define ATTACK_STUCK_MS 50
#define NICE_MOST       (-20)

const char attack_clients[] = ", {name: hostile-0, secret: secret-of-the-hostile}"
                              ", {name: hostile-1, secret: secret-of-the-hostile}"
                              ", {name: hostile-2, secret: secret-of-the-hostile}"
                              ", {name: hostile-3, secret: secret-of-the-hostile}";
const char attack_chains[] = ", {id: \"solana:dead\"}";

static const struct tri_secret right = {21, "secret-of-the-hostile"};
static const struct tri_secret wrong = {21, "secret-of-the-wronged"};

struct attack_shared {
    _Atomic uint32_t standing; /* connections that are as far as they have to be */
    _Atomic uint32_t failed;
    _Atomic uint64_t done;
};

/* One process of an attack. */
struct attacker {
    struct attack_options options;
    struct tri_client_options client;
    struct attack_shared *shared;
    uint32_t index;
    uint32_t count; /* its connections */
    int *sockets;
};

static void attacker_did(struct attacker *attacker, uint64_t count)
{
    (void)atomic_fetch_add_explicit(&attacker->shared->done, count, memory_order_relaxed);
}

/* ---- those that come and go ---- */

static void attacker_storm(struct attacker *attacker)
{
    for (;;) {
        int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (connect(descriptor, (const struct sockaddr *)&attacker->client.server.at,
                    attacker->client.server.bytes) == 0) {
            attacker_did(attacker, 1);
        }
        (void)close(descriptor);
    }
}

static void attacker_hellos(struct attacker *attacker)
{
    attacker->client.secret = &wrong;
    for (;;) {
        struct tri_client client;

        if (tri_client_open(&client, &attacker->client) == -EACCES) {
            attacker_did(attacker, 1);
        }
        tri_client_close(&client);
    }
}

/* ---- those that stay ---- */

/* A greeted socket, -1 after a failure. */
static int attacker_greet(struct attacker *attacker, uint32_t number)
{
    static const char *const names[NAMES] = {"hostile-0", "hostile-1", "hostile-2", "hostile-3"};
    struct tri_client client;
    int descriptor = -1;

    attacker->client.identity = (struct tri_text){names[number % NAMES], 9};
    if (tri_client_open(&client, &attacker->client) == 0) {
        descriptor = dup(client.line.fd);
    } else {
        (void)fprintf(stderr, "tricast-bench: connection %u: %s\n", number, client.trouble);
    }
    tri_client_close(&client);
    return descriptor;
}

static bool attacker_gather(struct attacker *attacker)
{
    static const int small = SMALL_RECEIVE;

    for (uint32_t i = 0; i < attacker->count; i++) {
        attacker->sockets[i] = attacker_greet(attacker, i);
        if (attacker->sockets[i] < 0) {
            return false;
        }
        if (attacker->options.kind == ATTACK_NEVER_READS) {
            (void)setsockopt(attacker->sockets[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        }
    }
    return true;
}

static void put_head(uint8_t head[4], uint32_t bytes)
{
    for (uint32_t i = 0; i < 4; i++) {
        head[i] = (uint8_t)(bytes >> (24 - 8 * i));
    }
}

static void attacker_halves(struct attacker *attacker)
{
    static uint8_t bytes[HALF_OF / 2];

    put_head(bytes, HALF_OF);
    for (uint32_t i = 0; i < attacker->count; i++) {
        if (send(attacker->sockets[i], bytes, sizeof(bytes), MSG_NOSIGNAL) > 0) {
            attacker_did(attacker, 1);
        }
    }
}

static void attacker_drip(struct attacker *attacker)
{
    uint8_t head[4];

    put_head(head, DRIP_OF);
    for (uint32_t second = 0;; second++) {
        for (uint32_t i = 0; i < attacker->count; i++) {
            if (send(attacker->sockets[i], &head[second < 4 ? second : 3], 1, MSG_NOSIGNAL) != 1) {
                (void)close(attacker->sockets[i]);
                attacker->sockets[i] = attacker_greet(attacker, i);
            }
            attacker_did(attacker, 1);
            (void)poll(NULL, 0, (int)(1000 / attacker->count));
        }
    }
}

/* A SUBMIT for the chain that is not there, or a STATUS_GET; the id begins with eight digits. */
static uint32_t attacker_frame(enum attack_kind kind, uint8_t to[FRAME_BYTES], uint32_t *id_at)
{
    static const char id[] = "00000000-dead";
    struct tri_frame frame = {.type = TRI_FRAME_STATUS_GET, .status_get = {id, sizeof(id) - 1}};
    struct timespec wall;
    uint32_t bytes = 0;
    const uint8_t *found = NULL;

    (void)clock_gettime(CLOCK_REALTIME, &wall);
    if (kind == ATTACK_SUBMITS) {
        frame.type = TRI_FRAME_SUBMIT;
        frame.submit = (struct tri_message){
            .id = {id, sizeof(id) - 1},
            .type = TRI_TYPE_REGULATORY_ACTION,
            .priority = TRI_PRIORITY_NORMAL,
            .atomicity = TRI_GUARANTEED,
            .ttl_s = 3600,
            .timestamp_ms = (uint64_t)wall.tv_sec * 1000U,
            .source_chain = {"eip155:1", 8},
            .source_node = {"hostile", 7},
            .target_count = 1,
            .targets = {{"solana:dead", 11}},
            .asset_count = 1,
            .assets = {{"dead", 4}},
        };
    }
    bytes = tri_wire_encode(&frame, to, FRAME_BYTES);
    assert(bytes > 0);
    found = memmem(to, bytes, id, sizeof(id) - 1);
    assert(found != NULL);
    *id_at = (uint32_t)(found - to);
    return bytes;
}

/* A block of frames with the next numbers. */
static uint32_t attacker_block(uint8_t *to, const uint8_t *frame, uint32_t bytes, uint32_t id_at,
                               uint64_t *number)
{
    for (uint32_t i = 0; i < FRAMES_AT_ONCE; i++, to += bytes) {
        uint64_t rest = (*number)++;

        memcpy(to, frame, bytes);
        for (uint32_t digit = STAGE_NUMBER_DIGITS; digit-- > 0; rest /= 10) {
            to[id_at + digit] = (uint8_t)('0' + rest % 10);
        }
    }
    return FRAMES_AT_ONCE * bytes;
}

/* Sends frames on every connection for as long as it takes some; reads what comes back, or not. */
static void attacker_flood(struct attacker *attacker)
{
    static uint8_t block[FRAMES_AT_ONCE * FRAME_BYTES];
    static uint8_t answers[1 << 18];
    bool reads = attacker->options.kind != ATTACK_NEVER_READS;
    struct pollfd *waits = calloc(attacker->count, sizeof(*waits));
    uint32_t *sent = calloc(attacker->count, sizeof(*sent)); /* of the block, which is for all */
    uint64_t number = (uint64_t)attacker->index * 10000000U;
    uint8_t frame[FRAME_BYTES];
    uint32_t id_at = 0;
    uint32_t bytes = attacker_frame(attacker->options.kind, frame, &id_at);
    uint32_t block_bytes = attacker_block(block, frame, bytes, id_at, &number);

    for (;;) {
        bool is_out = true;

        for (uint32_t i = 0; i < attacker->count; i++) {
            ssize_t now = send(attacker->sockets[i], block + sent[i], block_bytes - sent[i],
                               MSG_NOSIGNAL | MSG_DONTWAIT);

            sent[i] += now > 0 ? (uint32_t)now : 0;
            is_out = is_out && sent[i] == block_bytes;
            while (reads &&
                   recv(attacker->sockets[i], answers, sizeof(answers), MSG_DONTWAIT) > 0) {
                /* what it says does not matter */
            }
            waits[i] = (struct pollfd){
                .fd = attacker->sockets[i],
                .events = (short)((sent[i] < block_bytes ? POLLOUT : 0) | (reads ? POLLIN : 0))};
            if (now < 0 && errno != EAGAIN) {
                (void)close(attacker->sockets[i]);
                attacker->sockets[i] = attacker_greet(attacker, i);
                sent[i] = block_bytes;
            }
        }
        if (is_out) {
            attacker_did(attacker, (uint64_t)FRAMES_AT_ONCE * attacker->count);
            (void)attacker_block(block, frame, bytes, id_at, &number);
            memset(sent, 0, attacker->count * sizeof(*sent));
        } else {
            (void)poll(waits, attacker->count, ATTACK_STUCK_MS);
        }
    }
}

/* Takes what the others leave; where they are realtime, because the machine is busy (`chrt -r 1`),
 * before whatever keeps it busy. */
static void attacker_yield(void)
{
    static const struct sched_param none;
    bool is_realtime = sched_getscheduler(0) != SCHED_OTHER;

    (void)sched_setscheduler(0, is_realtime ? SCHED_OTHER : SCHED_IDLE, &none);
    if (is_realtime) {
        (void)setpriority(PRIO_PROCESS, 0, NICE_MOST);
    }
}

static void attacker_run(struct attacker *attacker)
{
    enum attack_kind kind = attacker->options.kind;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    bench_pin(ATTACK_CPU);
    attacker->sockets = calloc(attacker->count + 1, sizeof(*attacker->sockets));
    if (kind != ATTACK_STORM && kind != ATTACK_HELLOS && !attacker_gather(attacker)) {
        atomic_store_explicit(&attacker->shared->failed, 1, memory_order_release);
        return;
    }
    if (kind == ATTACK_HALVES) {
        attacker_halves(attacker);
    }
    /* pairs with the acquire in attack_start */
    (void)atomic_fetch_add_explicit(&attacker->shared->standing, attacker->count,
                                    memory_order_release);
    attacker_yield();
    switch (kind) {
    case ATTACK_STORM:
        attacker_storm(attacker);
        break;
    case ATTACK_HELLOS:
        attacker_hellos(attacker);
        break;
    case ATTACK_DRIP:
        attacker_drip(attacker);
        break;
    case ATTACK_NEVER_READS:
    case ATTACK_SUBMITS:
        attacker_flood(attacker);
        break;
    default:
        for (;;) {
            (void)pause();
        }
    }
}

bool attack_start(struct attack *attack, const struct attack_options *options)
{
    char server[32];
    struct attacker attacker = {
        .options = *options,
        .client = {.role = TRI_ROLE_CLIENT,
                   .identity = {"hostile-0", 9},
                   .secret = &right,
                   .timeout_ms = GREET_MS},
        .count = options->connections / options->processes,
    };

    assert(options->processes >= 1 && options->processes <= ATTACK_PROCESSES_MAX);
    *attack = (struct attack){0};
    attack->shared = mmap(NULL, sizeof(*attack->shared), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (attack->shared == MAP_FAILED) {
        attack->shared = NULL;
        perror("tricast-bench: mmap");
        return false;
    }
    (void)snprintf(server, sizeof(server), "127.0.0.1:%u", options->port);
    tri_flags_address("tricast-bench", "server", server, &attacker.client.server);
    attacker.shared = attack->shared;
    (void)fflush(NULL);
    for (attacker.index = 0; attacker.index < options->processes; attacker.index++) {
        attack->pids[attacker.index] = fork();
        if (attack->pids[attacker.index] == 0) {
            attacker_run(&attacker);
            _exit(1);
        }
    }
    for (uint32_t ms = 0; ms < START_MS; ms += 5) {
        /* pairs with the release in attacker_run */
        uint32_t standing = atomic_load_explicit(&attack->shared->standing, memory_order_acquire);

        if (standing >= attacker.count * options->processes) {
            return true;
        }
        if (atomic_load_explicit(&attack->shared->failed, memory_order_acquire) != 0) {
            break;
        }
        (void)poll(NULL, 0, 5);
    }
    (void)fprintf(stderr, "tricast-bench: the attackers do not get in\n");
    return false;
}

void attack_rest(const struct attack *attack, bool is_resting)
{
    for (uint32_t i = 0; i < ATTACK_PROCESSES_MAX; i++) {
        if (attack->pids[i] > 0) {
            (void)kill(attack->pids[i], is_resting ? SIGSTOP : SIGCONT);
        }
    }
}

uint64_t attack_stop(struct attack *attack)
{
    uint64_t done = 0;

    for (uint32_t i = 0; i < ATTACK_PROCESSES_MAX; i++) {
        stage_end(attack->pids[i]);
    }
    if (attack->shared != NULL) {
        done = atomic_load_explicit(&attack->shared->done, memory_order_relaxed);
        (void)munmap(attack->shared, sizeof(*attack->shared));
    }
    *attack = (struct attack){0};
    return done;
}
