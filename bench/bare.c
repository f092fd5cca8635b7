/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bare.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench.h"

#define SLOTS        8192U
#define BUFFER_BYTES (1U << 20)
#define PHASES       3U

/* As long as tricast's own frames with the same content. */
struct request {
    uint32_t slot;
    uint32_t phase;
    uint8_t content[168];
};
struct answer {
    uint32_t slot;
    uint32_t phase;
    uint8_t content[56];
};

/* One end of a connection: whole structs in, whole structs out. */
struct end {
    int fd;
    uint32_t in_bytes;
    uint32_t out_bytes;
    uint8_t in[BUFFER_BYTES];
    uint8_t out[BUFFER_BYTES];
};

static void end_put(struct end *end, const void *frame, uint32_t bytes)
{
    assert(end->out_bytes + bytes <= BUFFER_BYTES);
    memcpy(end->out + end->out_bytes, frame, bytes);
    end->out_bytes += bytes;
}

static bool end_flush(struct end *end)
{
    uint32_t sent = 0;

    while (sent < end->out_bytes) {
        ssize_t result = send(end->fd, end->out + sent, end->out_bytes - sent, MSG_NOSIGNAL);

        if (result <= 0) {
            return false;
        }
        sent += (uint32_t)result;
    }
    end->out_bytes = 0;
    return true;
}

static bool end_receive(struct end *end)
{
    ssize_t result = recv(end->fd, end->in + end->in_bytes, BUFFER_BYTES - end->in_bytes, 0);

    if (result <= 0) {
        return false;
    }
    end->in_bytes += (uint32_t)result;
    return true;
}

/* Takes `used` bytes from the front. */
static void end_consume(struct end *end, uint32_t used)
{
    memmove(end->in, end->in + used, end->in_bytes - used);
    end->in_bytes -= used;
}

static void participant(int fd)
{
    static struct end end;

    end.fd = fd;
    while (end_receive(&end)) {
        uint32_t at = 0;

        for (; at + sizeof(struct request) <= end.in_bytes; at += sizeof(struct request)) {
            struct request request;
            struct answer answer = {0};

            memcpy(&request, end.in + at, sizeof(request));
            answer.slot = request.slot;
            answer.phase = request.phase;
            end_put(&end, &answer, sizeof(answer));
        }
        end_consume(&end, at);
        if (!end_flush(&end)) {
            return;
        }
    }
}

static struct end ends[1 + BARE_CHAINS]; /* of the coordinator: client, then chains */
static uint8_t answered[SLOTS];

static void coordinator_broadcast(const struct request *request)
{
    for (uint32_t chain = 1; chain <= BARE_CHAINS; chain++) {
        end_put(&ends[chain], request, sizeof(*request));
    }
}

static void coordinator_answer(const struct answer *answer)
{
    struct request request = {.slot = answer->slot, .phase = answer->phase + 1};

    if (++answered[answer->slot] < BARE_CHAINS) {
        return;
    }
    answered[answer->slot] = 0;
    if (request.phase < PHASES) {
        coordinator_broadcast(&request);
    } else {
        end_put(&ends[0], answer, sizeof(*answer));
    }
}

static void coordinator_take(uint32_t from)
{
    struct end *end = &ends[from];
    uint32_t size = from == 0 ? sizeof(struct request) : sizeof(struct answer);
    uint32_t at = 0;

    for (; at + size <= end->in_bytes; at += size) {
        if (from == 0) {
            struct request request;

            memcpy(&request, end->in + at, sizeof(request));
            coordinator_broadcast(&request);
        } else {
            struct answer answer;

            memcpy(&answer, end->in + at, sizeof(answer));
            coordinator_answer(&answer);
        }
    }
    end_consume(end, at);
}

static void coordinator(void)
{
    struct pollfd polls[1 + BARE_CHAINS];

    for (uint32_t i = 0; i <= BARE_CHAINS; i++) {
        polls[i] = (struct pollfd){.fd = ends[i].fd, .events = POLLIN};
    }
    for (;;) {
        if (poll(polls, 1 + BARE_CHAINS, -1) < 0) {
            return;
        }
        for (uint32_t i = 0; i <= BARE_CHAINS; i++) {
            if (polls[i].revents != 0) {
                if (!end_receive(&ends[i])) {
                    return;
                }
                coordinator_take(i);
            }
        }
        for (uint32_t i = 0; i <= BARE_CHAINS; i++) {
            if (ends[i].out_bytes > 0 && !end_flush(&ends[i])) {
                return;
            }
        }
    }
}

/* A connected pair of TCP sockets over loopback. */
static bool tcp_pair(int pair[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || pair[0] < 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &bytes) != 0 ||
        connect(pair[0], (struct sockaddr *)&address, sizeof(address)) != 0) {
        return false;
    }
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    (void)close(listener);
    for (int i = 0; i < 2; i++) {
        (void)setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    return pair[1] >= 0;
}

bool bare_start(struct bare *bare)
{
    int pairs[1 + BARE_CHAINS][2];

    *bare = (struct bare){.client_fd = -1};
    for (uint32_t i = 0; i <= BARE_CHAINS; i++) {
        if (!tcp_pair(pairs[i])) {
            perror("tricast-bench: loopback");
            return false;
        }
    }
    for (uint32_t i = 0; i <= BARE_CHAINS; i++) {
        pid_t pid = fork();

        if (pid < 0) {
            perror("tricast-bench: fork");
            return false;
        }
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            bench_pin(i == 0 ? 0 : 1);
            for (uint32_t k = 0; k <= BARE_CHAINS; k++) {
                ends[k].fd = pairs[k][1];
                (void)close(i == 0 || k != i ? pairs[k][0] : pairs[k][1]);
            }
            if (i == 0) {
                coordinator();
            } else {
                participant(pairs[i][0]);
            }
            _exit(0);
        }
        bare->pids[i] = pid;
    }
    for (uint32_t i = 0; i <= BARE_CHAINS; i++) {
        (void)close(pairs[i][1]);
        if (i > 0) {
            (void)close(pairs[i][0]);
        }
    }
    bare->client_fd = pairs[0][0];
    return true;
}

uint64_t bare_run(struct bare *bare, uint32_t in_flight, uint64_t duration_ns)
{
    static struct end end;
    uint64_t end_ns = bench_now_ns() + duration_ns;
    uint64_t ended = 0;
    uint32_t open = in_flight;

    assert(in_flight <= SLOTS);
    end = (struct end){.fd = bare->client_fd};
    for (uint32_t slot = 0; slot < in_flight; slot++) {
        struct request request = {.slot = slot};

        end_put(&end, &request, sizeof(request));
    }
    while (open > 0 && end_flush(&end) && end_receive(&end)) {
        bool is_over = bench_now_ns() >= end_ns;
        uint32_t at = 0;

        for (; at + sizeof(struct answer) <= end.in_bytes; at += sizeof(struct answer)) {
            struct answer answer;
            struct request request = {0};

            memcpy(&answer, end.in + at, sizeof(answer));
            ended += is_over ? 0 : 1;
            request.slot = answer.slot;
            if (is_over) {
                open--;
            } else {
                end_put(&end, &request, sizeof(request));
            }
        }
        end_consume(&end, at);
    }
    return ended;
}

double bare_alone_us(struct bare *bare, uint32_t rounds)
{
    static double values_us[BARE_ALONE_MAX];

    assert(rounds > 0 && rounds <= BARE_ALONE_MAX);
    for (uint32_t i = 0; i < rounds; i++) {
        uint64_t start_ns = bench_now_ns();

        (void)bare_run(bare, 1, 0);
        values_us[i] = (double)(bench_now_ns() - start_ns) / 1e3;
    }
    return bench_middle(values_us, rounds);
}

void bare_stop(struct bare *bare)
{
    for (uint32_t i = 0; i <= BARE_CHAINS; i++) {
        if (bare->pids[i] > 0) {
            (void)kill(bare->pids[i], SIGKILL);
            (void)waitpid(bare->pids[i], NULL, 0);
        }
    }
    if (bare->pids[0] > 0) {
        (void)close(bare->client_fd);
    }
}
