/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finality: what the archive costs, for one message and for a server under load.
 *
 * Baselines: the two SHA-256 that a message's leaf and its node in the tree cannot do without;
 * the signature that a record cannot do without; the server's whole CPU time.
 *
 * Estimate: a leaf of 100 bytes is two blocks of SHA-256 and its node another two, about 300 ns
 * together; a signature is about 25 us, so with 100 messages in a record it adds as much again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/stage.h"
#include "engine/limits.h"
#include "io/archive.h"

#define MESSAGES_MAX     1024U
#define IDS_BYTES        40U
#define ROUNDS_IN_FLIGHT 1024U

static struct {
    char path[4096];
    char trouble[TRI_ARCHIVE_TROUBLE_BYTES];
    struct tri_signer signer;
    struct tri_archive *archive;
    uint32_t epoch;
    uint64_t oss_epoch;
    char ids[MESSAGES_MAX][IDS_BYTES];
    uint8_t leaves[MESSAGES_MAX][256];
    struct tri_archive_entry entries[MESSAGES_MAX];
    uint64_t sum;
} it;

static void fail(const char *what)
{
    (void)fprintf(stderr, "tricast-bench: finality: %s: %s\n", what,
                  it.trouble[0] != '\0' ? it.trouble : strerror(errno));
    exit(1);
}

/* Removes what a directory holds, and the directory. */
static void clean(const char *path)
{
    DIR *names = opendir(path);
    const struct dirent *entry = NULL;

    while (names != NULL && (entry = readdir(names)) != NULL) {
        if (entry->d_name[0] != '.') {
            (void)unlinkat(dirfd(names), entry->d_name, 0);
        }
    }
    if (names != NULL) {
        (void)closedir(names);
    }
    (void)rmdir(path);
}

static struct tri_text text(const char *at)
{
    return (struct tri_text){.at = at, .bytes = (uint32_t)strlen(at)};
}

/* ---- one message ---- */

static void sum_add(const uint8_t *bytes)
{
    uint64_t value = 0;

    memcpy(&value, bytes, sizeof(value));
    it.sum = (it.sum + value) * 1099511628211U;
}

/* The same key in each run, so that the work is the same. */
static bool key_make(const char *path)
{
    static const char key[] =
        "tricast-key 1 ed25519\n"
        "secret 0707070707070707070707070707070707070707070707070707070707070707\n"
        "public ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c\n";
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool is_made = file >= 0 && write(file, key, sizeof(key) - 1) == (ssize_t)sizeof(key) - 1;

    return file >= 0 && close(file) == 0 && is_made;
}

static void archive_begin(void)
{
    struct tri_archive_options options = {.signer = &it.signer};
    char key[4200];

    (void)snprintf(key, sizeof(key), "%s.key", it.path);
    (void)unlink(key);
    if (!key_make(key) || tri_signer_open(&it.signer, key, it.trouble, sizeof(it.trouble)) != 0 ||
        tri_archive_open(&it.archive, it.path, &options, it.trouble) != 0 ||
        tri_archive_begin(it.archive, 1, 1, false, it.trouble) != 0) {
        fail("begin");
    }
    (void)unlink(key);
}

static void leaves_make(void)
{
    struct tri_leaf leaf = {.attempt = TRI_ATTEMPT(1, 1), .issued_at_ms = 1763700000000};

    leaf.chain_count = STAGE_CHAINS;
    leaf.applied = 7;
    for (uint32_t i = 0; i < STAGE_CHAINS; i++) {
        leaf.chains[i] = text(stage_chain_ids[i]);
    }
    for (uint32_t i = 0; i < MESSAGES_MAX; i++) {
        (void)snprintf(it.ids[i], IDS_BYTES, "%08x-4f89-41d3-9a0c-0305e82c3301", i);
        leaf.id = text(it.ids[i]);
        it.entries[i].leaf =
            (struct tri_bytes){.at = it.leaves[i], .bytes = tri_leaf_put(&leaf, it.leaves[i])};
    }
}

/* Nanoseconds for each message of records of `count`, handed to the kernel. */
static double sample_archive(uint32_t records, uint32_t count)
{
    uint64_t start_ns = bench_now_ns();

    for (uint32_t i = 0; i < records; i++) {
        if (tri_archive_append(it.archive, 1, 0, ++it.oss_epoch, it.entries, count, it.trouble) !=
            0) {
            fail("append");
        }
    }
    if (tri_archive_write(it.archive, it.trouble) != 0) {
        fail("write");
    }
    return (double)(bench_now_ns() - start_ns) / records / count;
}

static double sample_hashes(uint32_t messages)
{
    uint8_t hash[TRI_DIGEST_BYTES];
    uint8_t node[2 * TRI_DIGEST_BYTES + 1] = {1};
    uint64_t start_ns = bench_now_ns();

    for (uint32_t i = 0; i < messages; i++) {
        const struct tri_bytes *leaf = &it.entries[i % MESSAGES_MAX].leaf;

        tri_digest_sha256(leaf->at, leaf->bytes, hash);
        memcpy(node + 1, hash, sizeof(hash));
        tri_digest_sha256(node, sizeof(node), hash);
        sum_add(hash);
    }
    return (double)(bench_now_ns() - start_ns) / messages;
}

static double sample_signature(uint32_t signatures)
{
    uint8_t signature[TRI_SIGNER_SIGNATURE_BYTES];
    uint64_t start_ns = bench_now_ns();

    for (uint32_t i = 0; i < signatures; i++) {
        tri_signer_sign(&it.signer, it.leaves[i % MESSAGES_MAX], 256, signature);
        sum_add(signature);
    }
    return (double)(bench_now_ns() - start_ns) / signatures;
}

static void write_all(const struct bench_run *run)
{
    uint32_t messages = run->is_smoke ? 4096 : 262144;
    struct bench_series full = {0};
    struct bench_series some = {0};
    struct bench_series alone = {0};
    struct bench_series hashes = {0};
    struct bench_series signature = {0};

    archive_begin();
    leaves_make();
    for (uint32_t i = 0; i <= run->sample_count; i++) {
        double figures[5] = {
            sample_hashes(messages),
            sample_archive(messages / MESSAGES_MAX, MESSAGES_MAX),
            sample_archive(messages / 128, 128),
            sample_signature(messages / 128),
            sample_archive(messages / 128, 1),
        };

        if (i > 0) {
            bench_add(&hashes, figures[0]);
            bench_add(&full, figures[1]);
            bench_add(&some, figures[2]);
            bench_add(&signature, figures[3]);
            bench_add(&alone, figures[4]);
        }
    }
    bench_note("work: %llu records, hashes and signatures hash %016llx",
               (unsigned long long)it.oss_epoch, (unsigned long long)it.sum);
    bench_note("leaves of %u bytes, no contents", it.entries[0].leaf.bytes);
    bench_report("finality.message_of_1024", &full, "ns", BENCH_LOWER, "two SHA-256", &hashes);
    bench_report("finality.message_of_128", &some, "ns", BENCH_LOWER, "two SHA-256", &hashes);
    bench_report("finality.message_alone", &alone, "ns", BENCH_LOWER, "a signature", &signature);
    tri_archive_close(it.archive);
    tri_signer_close(&it.signer);
    clean(it.path);
}

/* ---- a server under load ---- */

/* CPU time so far of the server's thread "archivist", in microseconds; -1: there is none. */
static double thread_cpu_us(pid_t pid)
{
    char path[300];
    DIR *tasks = NULL;
    const struct dirent *entry = NULL;
    double used_us = -1;

    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    while (tasks != NULL && used_us < 0 && (entry = readdir(tasks)) != NULL) {
        char name[32] = "";
        char run_ns[64] = "";
        FILE *file = NULL;

        (void)snprintf(path, sizeof(path), "/proc/%d/task/%.20s/comm", (int)pid, entry->d_name);
        file = fopen(path, "r");
        if (file == NULL) {
            continue;
        }
        if (fgets(name, sizeof(name), file) != NULL && strcmp(name, "archivist\n") == 0) {
            (void)snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", (int)pid,
                           entry->d_name);
            (void)fclose(file);
            file = fopen(path, "r");
            if (file != NULL && fgets(run_ns, sizeof(run_ns), file) != NULL) {
                used_us = (double)strtoull(run_ns, NULL, 10) / 1e3;
            }
        }
        if (file != NULL) {
            (void)fclose(file);
        }
    }
    if (tasks != NULL) {
        (void)closedir(tasks);
    }
    return used_us;
}

/* Adds the records and bytes of one file of the archive. */
static void archive_file(int directory, const char *name, uint64_t *records, uint64_t *bytes)
{
    int file = openat(directory, name, O_RDONLY | O_CLOEXEC);
    uint8_t head[4];
    off_t at = 0;

    while (file >= 0 && pread(file, head, sizeof(head), at) == (ssize_t)sizeof(head)) {
        at += 4 + ((off_t)head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3]);
        (*records)++;
    }
    *bytes += (uint64_t)at;
    if (file >= 0) {
        (void)close(file);
    }
}

static void archive_size(const char *data, uint64_t *records, uint64_t *bytes)
{
    char path[4200];
    DIR *names = NULL;
    const struct dirent *entry = NULL;

    *records = 0;
    *bytes = 0;
    (void)snprintf(path, sizeof(path), "%s/data/finality", data);
    names = opendir(path);
    while (names != NULL && (entry = readdir(names)) != NULL) {
        if (strstr(entry->d_name, ".fin") != NULL) {
            archive_file(dirfd(names), entry->d_name, records, bytes);
        }
    }
    if (names != NULL) {
        (void)closedir(names);
    }
}

struct load {
    struct bench_series records; /* for 1,000 messages */
    struct bench_series bytes;   /* of a message */
    struct bench_series cpu_us;  /* of a message: the archive's thread */
    struct bench_series all_us;  /* the whole server */
};

static bool load_sample(struct stage *stage, uint64_t duration_ns, struct load *load)
{
    uint64_t records[2];
    uint64_t bytes[2];
    double cpu_us = thread_cpu_us(stage->server);
    double all_us = stage_cpu_us(stage->server);
    uint64_t before = stage->processed;
    double messages = 0;

    archive_size(stage->directory, &records[0], &bytes[0]);
    if (stage_run(stage, ROUNDS_IN_FLIGHT, duration_ns) <= 0 || stage->others > 0) {
        return false;
    }
    (void)usleep(400000); /* what is on the tapes reaches the files */
    archive_size(stage->directory, &records[1], &bytes[1]);
    messages = (double)(stage->processed - before);
    if (load != NULL && cpu_us >= 0) {
        bench_add(&load->records, (double)(records[1] - records[0]) * 1000 / messages);
        bench_add(&load->bytes, (double)(bytes[1] - bytes[0]) / messages);
        bench_add(&load->cpu_us, (thread_cpu_us(stage->server) - cpu_us) / messages);
        bench_add(&load->all_us, (stage_cpu_us(stage->server) - all_us) / messages);
    }
    return cpu_us >= 0;
}

static int load_all(const struct bench_run *run)
{
    static struct stage stage;
    static struct load load;
    struct stage_options options = stage_rounds(run);
    bool is_good = false;

    options.is_durable = true;
    is_good = stage_open(&stage, &options, run);
    for (uint32_t i = 0; is_good && i <= run->sample_count; i++) {
        is_good =
            load_sample(&stage, run->is_smoke ? 50000000U : 1000000000U, i > 0 ? &load : NULL);
    }
    if (is_good) {
        bench_note("GUARANTEED, 3 chains, %u in flight, a journal, no settlement: contents omitted",
                   ROUNDS_IN_FLIGHT);
        bench_report("finality.records", &load.records, "per 1,000 messages", BENCH_LOWER, NULL,
                     NULL);
        bench_report("finality.bytes", &load.bytes, "B/message", BENCH_LOWER, NULL, NULL);
        bench_report("finality.cpu", &load.cpu_us, "us/message", BENCH_LOWER, "the whole server",
                     &load.all_us);
    } else {
        (void)fprintf(stderr, "tricast-bench: finality: the load has broken off\n");
    }
    stage_close(&stage);
    return is_good ? 0 : 1;
}

int bench_finality(const struct bench_run *run)
{
    (void)snprintf(it.path, sizeof(it.path), "%s/finality-XXXXXX", run->build_dir);
    if (mkdtemp(it.path) == NULL) {
        fail(it.path);
    }
    bench_pin(0);
    write_all(run);
    bench_pin(1);
    return load_all(run);
}
