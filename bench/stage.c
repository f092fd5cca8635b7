/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/stage.h"

#include <assert.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/wire.h"

#define CLOCK_EVERY  16U /* answers between two looks at the clock */
#define PORT_TRIES   10000U
#define PORT_WAIT_MS 1

const char *const stage_chain_ids[STAGE_CHAINS] = {"eip155:8453", "eip155:42161", "eip155:10"};

struct stage_options stage_rounds(const struct bench_run *run)
{
    return (struct stage_options){
        .capacities = "rounds: 16384, dedupEntries: 4194304, waiters: 16384, bodies416: 16384",
        .more = "chainSharePermille: 1000\npeerSharePermille: 1000\n",
        .chains = "",
        .clients = "",
        .entries = run->is_smoke ? 262144U : 2097152U,
    };
}

/* ---- processes ---- */

pid_t stage_spawn(const char *program, const char *const arguments[], uint32_t cpu)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (cpu == STAGE_ANY_CPU) {
            bench_unpin();
        } else {
            bench_pin(cpu);
        }
        (void)execv(program, (char *const *)arguments);
        (void)fprintf(stderr, "tricast-bench: %s: %s\n", program, strerror(errno));
        _exit(127);
    }
    return pid;
}

void stage_end(pid_t pid)
{
    if (pid > 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
    }
}

static bool stage_config(const struct stage *stage, const struct stage_options *options,
                         const char *path)
{
    FILE *file = fopen(path, "we");

    if (file == NULL) {
        perror(path);
        return false;
    }
    (void)fprintf(file,
                  "shards: %u\ndataDir: %s/data\njournal: %s\nrollbackWindowMs: 500\n"
                  "clockAllowanceMs: 500\n"
                  "listen: {address: 127.0.0.1, port: 0}\n"
                  "timeouts: {prepareMs: 500, commitMs: 500, finalizeMs: 500}\n"
                  "capacities: {%s}\n"
                  "log: {level: %s}\n"
                  "clients: [{name: bench}%s]\noperators: [{name: bench}]\n"
                  "locations: {version: 1, entries: [{asset: \"bond-*\", chains: [\"%s\", \"%s\", "
                  "\"%s\"]}]}\n"
                  "retries:\n  - {type: REGULATORY_ACTION, maxRetries: 0, initialBackoffMs: 1, "
                  "maxBackoffMs: 1, dedupWindowMs: 3500}\n"
                  "chains: [{id: \"%s\"}, {id: \"%s\"}, {id: \"%s\"}%s]\n%s",
                  options->shards == 0 ? 1 : options->shards, stage->directory,
                  options->is_durable ? "file" : "none", options->capacities,
                  options->is_talkative ? "info" : "error", options->clients, stage_chain_ids[0],
                  stage_chain_ids[1], stage_chain_ids[2], stage_chain_ids[0], stage_chain_ids[1],
                  stage_chain_ids[2], options->chains, options->more);
    return fclose(file) == 0;
}

static uint16_t stage_port(const char *path)
{
    for (uint32_t i = 0; i < PORT_TRIES; i++) {
        FILE *file = fopen(path, "re");
        char text[16] = "";

        if (file != NULL) {
            unsigned long port =
                fgets(text, sizeof(text), file) == NULL ? 0 : strtoul(text, NULL, 10);

            (void)fclose(file);
            if (port > 0 && port < 65536) {
                return (uint16_t)port;
            }
        }
        (void)poll(NULL, 0, PORT_WAIT_MS);
    }
    return 0;
}

static void stage_chains(struct stage *stage, const struct stage_options *options,
                         const struct bench_run *run)
{
    char program[4096];
    char server[32];
    char entries[16];
    char assets[16];
    char connections[16];

    (void)snprintf(program, sizeof(program), "%s/tricast-chain", run->build_dir);
    (void)snprintf(server, sizeof(server), "127.0.0.1:%u", stage->port);
    (void)snprintf(entries, sizeof(entries), "%u", options->entries);
    (void)snprintf(assets, sizeof(assets), "%u", stage->assets + 1);
    (void)snprintf(connections, sizeof(connections), "%u",
                   options->chain_connections == 0 ? 1 : options->chain_connections);
    for (uint32_t i = 0; i < STAGE_CHAINS; i++) {
        const char *const arguments[] = {program,
                                         "--connect",
                                         server,
                                         "--chain",
                                         stage_chain_ids[i],
                                         "--journal",
                                         "none",
                                         "--asset-count",
                                         assets,
                                         "--asset-prefix",
                                         "bond-",
                                         "--entries",
                                         entries,
                                         "--dedup-window-ms",
                                         "1000",
                                         "--connections",
                                         connections,
                                         NULL};

        stage->chains[i] = stage_spawn(program, arguments, 1);
    }
}

/* ---- the load ---- */

static bool find_run(const uint8_t *bytes, uint32_t count, const char *what, uint32_t from,
                     uint32_t *at)
{
    const uint8_t *found = memmem(bytes + from, count - from, what, strlen(what));

    if (found == NULL) {
        return false;
    }
    *at = (uint32_t)(found - bytes);
    return true;
}

static void stage_templates(struct stage *stage)
{
    static const char *const actions[2] = {"FREEZE", "RELEASE"};

    for (uint32_t k = 0; k < 2; k++) {
        struct tri_action_payload action = {
            {"bond-000000", 11}, {actions[k], (uint32_t)strlen(actions[k])}, {"benchmark", 9}};
        struct tri_frame frame = {.type = TRI_FRAME_SUBMIT};
        struct timespec wall;
        uint8_t payload[256];
        bool is_found;

        (void)clock_gettime(CLOCK_REALTIME, &wall);
        frame.submit = (struct tri_message){
            .id = {"00000000-7c1e-4f00-8000-bench0000000", 36},
            .type = TRI_TYPE_REGULATORY_ACTION,
            .priority = TRI_PRIORITY_NORMAL,
            .atomicity = TRI_GUARANTEED,
            .ttl_s = 1,
            .timestamp_ms = (uint64_t)wall.tv_sec * 1000U,
            .source_chain = {"eip155:1", 8},
            .source_node = {"bench", 5},
            .target_count = STAGE_CHAINS,
            .asset_count = 1,
            .assets = {{"bond-000000", 11}},
            .payload = {payload, tri_action_encode(&action, payload, sizeof(payload))}};
        for (uint32_t i = 0; i < STAGE_CHAINS; i++) {
            frame.submit.targets[i] =
                (struct tri_text){stage_chain_ids[i], (uint32_t)strlen(stage_chain_ids[i])};
        }
        stage->submit_bytes[k] = tri_wire_encode(&frame, stage->submit[k], STAGE_FRAME_BYTES);
        assert(stage->submit_bytes[k] > 0);
        is_found = find_run(stage->submit[k], stage->submit_bytes[k], "00000000-7c1e", 0,
                            &stage->id_at[k]) &&
                   find_run(stage->submit[k], stage->submit_bytes[k], "bond-000000", 0,
                            &stage->asset_at[k][0]) &&
                   find_run(stage->submit[k], stage->submit_bytes[k], "bond-000000",
                            stage->asset_at[k][0] + 1, &stage->asset_at[k][1]);
        assert(is_found);
        (void)is_found;
    }
}

static void put_digits(uint8_t *at, uint64_t number, uint32_t digits)
{
    while (digits-- > 0) {
        at[digits] = (uint8_t)('0' + number % 10);
        number /= 10;
    }
}

/* The age of a message is tested when it arrives, so its timestamp must be of now (a u64 after
 * 0xcf). */
void stage_clock(struct stage *stage)
{
    struct timespec wall;
    uint64_t now_ms;

    (void)clock_gettime(CLOCK_REALTIME, &wall);
    now_ms = (uint64_t)wall.tv_sec * 1000U + (uint64_t)wall.tv_nsec / 1000000U;
    for (uint32_t k = 0; k < 2; k++) {
        uint8_t *at = memchr(stage->submit[k] + stage->id_at[k] + 36, 0xcf, 32);

        assert(at != NULL);
        for (uint32_t i = 0; i < 8; i++) {
            at[1 + i] = (uint8_t)(now_ms >> (8 * (7 - i)));
        }
    }
}

bool stage_submit(struct stage *stage)
{
    uint32_t k = (uint32_t)(stage->next / stage->assets % 2);
    struct tri_writer writer = tri_line_room(&stage->client.line, STAGE_FRAME_BYTES);
    /* One more, of its own, while the chains are awaited. */
    uint64_t asset = stage->is_waiting ? stage->assets : stage->next % stage->assets;

    if (writer.at == NULL) {
        return false;
    }
    put_digits(stage->submit[k] + stage->id_at[k], stage->next, STAGE_NUMBER_DIGITS);
    put_digits(stage->submit[k] + stage->asset_at[k][0] + 5, asset, 6);
    put_digits(stage->submit[k] + stage->asset_at[k][1] + 5, asset, 6);
    tri_put_raw(&writer, stage->submit[k], stage->submit_bytes[k]);
    tri_line_put(&stage->client.line, &writer);
    stage->next++;
    return true;
}

bool stage_take(struct stage *stage)
{
    const struct tri_frame *frame = &stage->client.frame;

    if (frame->type != TRI_FRAME_ACK || frame->ack.type == TRI_ACK_RECEIVED) {
        return false;
    }
    if (frame->ack.type == TRI_ACK_PROCESSED) {
        stage->processed++;
    } else {
        stage->others++;
        stage->other_code = frame->ack.code;
    }
    return true;
}

int64_t stage_run(struct stage *stage, uint32_t in_flight, uint64_t duration_ns)
{
    uint64_t end_ns = bench_now_ns() + duration_ns;
    uint64_t patience_ns = end_ns + 20000000000U;
    uint32_t open = 0;
    uint32_t answers = 0;
    uint64_t processed = stage->processed;
    uint64_t ended = 0; /* PROCESSED in time */
    bool is_over = false;

    stage_clock(stage);
    while (open < in_flight && stage_submit(stage)) {
        open++;
    }
    while (open > 0) {
        int result = tri_client_receive(&stage->client, patience_ns);

        if (result != 0) {
            (void)fprintf(stderr, "tricast-bench: %u rounds open: %s\n", open,
                          stage->client.trouble);
            return -1;
        }
        if (stage_take(stage)) {
            open--;
            ended = is_over ? ended : stage->processed - processed;
            if (++answers % CLOCK_EVERY == 0) {
                stage_clock(stage);
                is_over = is_over || bench_now_ns() >= end_ns;
            }
            if (!is_over && stage_submit(stage)) {
                open++;
            } else {
                is_over = true;
            }
        }
    }
    return (int64_t)ended;
}

double stage_alone_us(struct stage *stage, uint32_t rounds)
{
    static double values_us[STAGE_ALONE_MAX];

    assert(rounds > 0 && rounds <= STAGE_ALONE_MAX);
    for (uint32_t i = 0; i < rounds; i++) {
        uint64_t start_ns = bench_now_ns();
        int result = 0;

        stage_clock(stage);
        result = stage_submit(stage) ? 0 : -1;
        do {
            result = result != 0
                         ? result
                         : tri_client_receive(&stage->client, start_ns + UINT64_C(20000000000));
        } while (result == 0 && !stage_take(stage));
        if (result != 0) {
            (void)fprintf(stderr, "tricast-bench: a round alone: %s\n", stage->client.trouble);
            return -1;
        }
        values_us[i] = (double)(bench_now_ns() - start_ns) / 1e3;
    }
    return bench_middle(values_us, rounds);
}

/* Until the three chains are there and answer. */
static bool stage_wait(struct stage *stage)
{
    stage->is_waiting = true;
    for (uint32_t i = 0; i < 50; i++) {
        if (stage_run(stage, 1, 1) < 0) {
            return false;
        }
        if (stage->processed > 0) {
            stage->others = 0;
            stage->is_waiting = false;
            /* From here on FREEZE and RELEASE alternate. */
            stage->next = 2 * (uint64_t)stage->assets;
            return true;
        }
    }
    (void)fprintf(stderr, "tricast-bench: the chains do not answer: %s\n",
                  tri_error_name(stage->other_code));
    return false;
}

double stage_cpu_us(pid_t pid)
{
    struct timespec used;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) {
        return 0;
    }
    return (double)used.tv_sec * 1e6 + (double)used.tv_nsec / 1e3;
}

bool stage_serve(struct stage *stage, uint32_t cpu, const struct bench_run *run)
{
    char program[4096];
    char config[128];
    char port_file[128];
    const char *const arguments[] = {program, "--config", config, "--port-file", port_file, NULL};

    (void)snprintf(program, sizeof(program), "%s/tricastd", run->build_dir);
    (void)snprintf(config, sizeof(config), "%s/tricastd.yaml", stage->directory);
    (void)snprintf(port_file, sizeof(port_file), "%s/port", stage->directory);
    (void)unlink(port_file);
    stage->server = stage_spawn(program, arguments, cpu);
    stage->port = stage_port(port_file);
    if (stage->port == 0) {
        (void)fprintf(stderr, "tricast-bench: tricastd did not start\n");
        return false;
    }
    return true;
}

bool stage_open(struct stage *stage, const struct stage_options *wanted,
                const struct bench_run *run)
{
    static const struct tri_secret no_secret;
    char config[128];
    char server[32];
    struct tri_client_options options = {.role = TRI_ROLE_CLIENT,
                                         .identity = {"bench", 5},
                                         .secret = &no_secret,
                                         .timeout_ms = 10000};

    stage->assets = wanted->assets == 0 ? STAGE_ASSETS : wanted->assets;
    (void)snprintf(stage->directory, sizeof(stage->directory), "/tmp/tricast-bench-XXXXXX");
    if (mkdtemp(stage->directory) == NULL) {
        perror("tricast-bench: /tmp");
        return false;
    }
    (void)snprintf(config, sizeof(config), "%s/tricastd.yaml", stage->directory);
    if (!stage_config(stage, wanted, config) ||
        !stage_serve(stage, wanted->shards > 1 ? STAGE_ANY_CPU : 0, run)) {
        return false;
    }
    (void)snprintf(server, sizeof(server), "127.0.0.1:%u", stage->port);
    tri_flags_address("tricast-bench", "server", server, &options.server);
    if (tri_client_open(&stage->client, &options) != 0) {
        (void)fprintf(stderr, "tricast-bench: %s\n", stage->client.trouble);
        return false;
    }
    if (wanted->is_alone) {
        return true;
    }
    stage_templates(stage);
    stage_chains(stage, wanted, run);
    return stage_wait(stage);
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about;
    (void)kind;
    (void)where;
    return remove(path);
}

void stage_close(struct stage *stage)
{
    tri_client_close(&stage->client);
    for (uint32_t i = 0; i < STAGE_CHAINS; i++) {
        stage_end(stage->chains[i]);
    }
    stage_end(stage->server);
    if (stage->directory[0] != '\0' &&
        nftw(stage->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0) {
        (void)fprintf(stderr, "tricast-bench: %s is left behind\n", stage->directory);
    }
}
