/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery: how soon a server that was killed with a million messages open listens again, and with
 * how much memory.
 *
 * The messages are parked (bench/park.h), so that all of them are open at every kill.  Every sample
 * starts the server on what the one before left, and kills it as soon as it listens, before it has
 * taken the old sets over: what is read is the same each time, and what few records of its
 * checkpoint it had written by then.  The time is that of the whole program, from its fork until it
 * listens: memory mapped and filled, journal read, checked and replayed, new set begun.
 *
 * Estimate: a record or two for a message, 0.6 GB for a million: 0.1 s to hash, 0.2 s to read from
 * the page cache; for each message a body copied, a round and an entry of the table opened and a
 * timer armed, 0.5 us that are mostly cache misses; 0.3 s to fill the memory: 0.8 s on two threads.
 *
 * Baselines: the same server starting with nothing to recover; read() of the same bytes by one
 * thread.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/park.h"

#define GIB        (1024.0 * 1024.0 * 1024.0)
#define SHARDS     2U
#define SPARE      32768U /* room beyond the parked ones: shards do not get equal shares */
#define TTL_S      290U   /* they must not end before the last sample */
#define TIMEOUT_MS 30000U

static bool recover_open(struct stage *stage, uint32_t parked, const struct bench_run *run)
{
    char capacities[256];
    uint32_t rounds = parked + SPARE;
    struct stage_options options = {
        .capacities = capacities,
        .more = "chainSharePermille: 1000\npeerSharePermille: 1000\n",
        .chains = park_chains,
        .clients = ", {name: park}",
        .shards = SHARDS,
        .is_alone = true,
        .is_durable = true,
        .is_talkative = true,
    };

    (void)snprintf(capacities, sizeof(capacities),
                   "rounds: %u, dedupEntries: %u, waiters: 1024, bodies416: %u, bodies1024: 64, "
                   "bodies4096: 16, bodies16384: 4, bodies86016: 4",
                   rounds, rounds, rounds);
    return stage_open(stage, &options, run);
}

/* The number behind `key` in the line of the log that tells of the recovery; 0 = there is none. */
static uint64_t recovered(const char *log_path, const char *key)
{
    FILE *file = fopen(log_path, "re");
    char line[1024];
    uint64_t number = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const char *at = strstr(line, "event=recovered") == NULL ? NULL : strstr(line, key);

        if (at != NULL) {
            number = strtoull(at + strlen(key), NULL, 10);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return number;
}

/* Starts the stage's server with what it says in a file; seconds until it listens, negative after a
 * message. */
static double sample_start(struct stage *stage, const char *log_path, const struct bench_run *run)
{
    int log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int kept[2] = {dup(STDOUT_FILENO), dup(STDERR_FILENO)};
    uint64_t start_ns = bench_now_ns();
    bool is_good = false;

    if (log < 0 || kept[0] < 0 || kept[1] < 0) {
        perror(log_path);
        return -1;
    }
    (void)fflush(stdout);
    (void)dup2(log, STDOUT_FILENO);
    (void)dup2(log, STDERR_FILENO);
    is_good = stage_serve(stage, STAGE_ANY_CPU, run);
    start_ns = bench_now_ns() - start_ns;
    (void)dup2(kept[0], STDOUT_FILENO);
    (void)dup2(kept[1], STDERR_FILENO);
    (void)close(kept[0]);
    (void)close(kept[1]);
    (void)close(log);
    return is_good ? (double)start_ns / 1e9 : -1;
}

/* Seconds to read all files of a directory once, 512 KiB at a time, and their bytes. */
static double sample_read(const char *path, uint64_t *bytes)
{
    static uint8_t buffer[512U * 1024U];
    uint64_t start_ns = bench_now_ns();
    DIR *names = opendir(path);
    const struct dirent *entry = NULL;

    *bytes = 0;
    while (names != NULL && (entry = readdir(names)) != NULL) {
        int file = openat(dirfd(names), entry->d_name, O_RDONLY | O_CLOEXEC);
        ssize_t got = 0;

        while (file >= 0 && (got = read(file, buffer, sizeof(buffer))) > 0) {
            *bytes += (uint64_t)got;
        }
        if (file >= 0) {
            (void)close(file);
        }
    }
    if (names != NULL) {
        (void)closedir(names);
    }
    return (double)(bench_now_ns() - start_ns) / 1e9;
}

static bool measure(struct stage *empty, struct stage *full, uint32_t parked,
                    const struct bench_run *run)
{
    struct bench_series took = {0};
    struct bench_series nothing = {0};
    struct bench_series reading = {0};
    struct bench_series memory = {0};
    char empty_log[128];
    char log[128];
    char journal[128];
    uint64_t bytes = 0;

    (void)snprintf(empty_log, sizeof(empty_log), "%s/log", empty->directory);
    (void)snprintf(log, sizeof(log), "%s/log", full->directory);
    (void)snprintf(journal, sizeof(journal), "%s/data/journal", full->directory);
    for (uint32_t i = 0; i <= run->sample_count; i++) {
        double read_s = sample_read(journal, &bytes);
        double empty_s = 0;
        double full_s = 0;
        double resident = 0;

        stage_end(empty->server);
        empty_s = sample_start(empty, empty_log, run);
        stage_end(empty->server);
        full_s = sample_start(full, log, run);
        resident = park_resident(full->server);
        stage_end(full->server);
        empty->server = 0;
        full->server = 0;
        if (empty_s < 0 || full_s < 0 || recovered(log, " open=") != parked) {
            (void)fprintf(stderr, "tricast-bench: %llu of %u messages came back; %s\n",
                          (unsigned long long)recovered(log, " open="), parked, log);
            return false;
        }
        if (i > 0) {
            bench_add(&took, full_s);
            bench_add(&nothing, empty_s);
            bench_add(&reading, read_s);
            bench_add(&memory, resident / GIB);
        }
    }
    bench_note(
        "%u messages open, %u shards; %.2f GB of journal, %llu records taken back in %llu ms",
        parked, SHARDS, (double)bytes / 1e9, (unsigned long long)recovered(log, " records="),
        (unsigned long long)recovered(log, " ms="));
    bench_report("recover.start", &took, "s", BENCH_LOWER, "nothing to recover", &nothing);
    bench_report("recover.start_over_read", &took, "s", BENCH_LOWER, "read() of the bytes",
                 &reading);
    bench_report("recover.resident", &memory, "GiB", BENCH_LOWER, NULL, NULL);
    return true;
}

int bench_recover(const struct bench_run *run)
{
    static struct stage empty;
    static struct stage full;
    static struct park park = {.type = TRI_TYPE_STATE_SYNC, .ttl_s = TTL_S};
    uint32_t parked = run->is_smoke ? 20000 : 1000000;
    bool is_good = recover_open(&empty, parked, run) && recover_open(&full, parked, run) &&
                   park_open(&park, &full, parked, TIMEOUT_MS);

    tri_client_close(&park.client);
    if (is_good) {
        stage_end(full.server);
        full.server = 0;
        is_good = measure(&empty, &full, parked, run);
    }
    stage_close(&empty);
    stage_close(&full);
    return is_good ? 0 : 1;
}
