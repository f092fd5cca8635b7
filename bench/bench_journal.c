/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: what a record costs, what becomes durable in a second, how long a
 * lone record takes, and what all of that costs rounds over TCP.
 *
 * Baselines: the copy and the hash that a record cannot do without; the same
 * blocks written by a bare ring, O_DIRECT and durable, into a file of zeros, as
 * many at once; the same server without a journal.
 *
 * Estimate: a record of 100 bytes takes 128 in its block, so 1,000 of them fill
 * one of 128 KiB; the disk, not the processor, is the limit.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "bench/bare.h"
#include "bench/bench.h"
#include "bench/stage.h"
#include "engine/limits.h"
#include "io/journal.h"
#include "io/place.h"

#define RECORD_BYTES     100U
#define BLOCK_BYTES      131072U
#define SEGMENT_BYTES    (16U << 20)
#define CHECKPOINT_BYTES (32U << 20)
#define FLIGHT           TRI_LOG_FLIGHT_MAX
#define LONE_MAX         2000U
#define ROUNDS_IN_FLIGHT 1024U
#define ROUNDS_FLUSHES   2 /* one after the other: the decision's and the primary record's */

static struct {
    char path[4096];
    char trouble[TRI_JOURNAL_TROUBLE_BYTES];
    struct tri_journal_dir *dir;
    struct tri_journal *journal;
    uint32_t epoch;
    uint64_t begin_lsn; /* of the checkpoint that is going on, 0 = none */
    uint8_t payload[RECORD_BYTES];
    /* The bare ring. */
    struct tri_loop loop;
    int file;
    uint8_t *block;
    uint64_t hash;
} it;

static void fail(const char *what)
{
    (void)fprintf(stderr, "tricast-bench: journal: %s: %s\n", what,
                  it.trouble[0] != '\0' ? it.trouble : strerror(errno));
    exit(1);
}

/* ---- one record, no disk ---- */

static double sample_copy(uint64_t records)
{
    static uint8_t to[BLOCK_BYTES];
    uint64_t start_ns = bench_now_ns();

    for (uint64_t i = 0; i < records; i++) {
        uint8_t *at = to + i % 1000 * 128;

        memcpy(at + 24, it.payload, RECORD_BYTES);
        it.hash ^= XXH3_64bits(at + 8, RECORD_BYTES + 16);
    }
    return (double)(bench_now_ns() - start_ns) / (double)records;
}

/* Every request ends at once. */
static double sample_append(uint64_t records)
{
    static const struct tri_log_options options = {.epoch = 1, .streams = 1, .slot_last = 4095};
    size_t bytes = tri_log_footprint(&options);
    void *memory = tri_place_map(bytes);
    struct tri_log_request request;
    struct tri_log *log = NULL;
    uint64_t start_ns = 0;

    if (memory == NULL || tri_place_fill(memory, bytes) != 0) {
        fail("memory");
    }
    log = tri_log_init(memory, &options);
    start_ns = bench_now_ns();
    for (uint64_t lsn = 1; lsn <= records; lsn++) {
        uint8_t *to = tri_log_reserve(log, RECORD_BYTES);

        memcpy(to, it.payload, RECORD_BYTES);
        tri_log_commit(log, 1, 7, lsn, RECORD_BYTES);
        if (lsn % 250 == 0) { /* a turn */
            while (tri_log_next(log, &request)) {
                tri_log_done(log, request.ticket, TRI_LOG_DONE);
            }
        }
    }
    start_ns = bench_now_ns() - start_ns;
    if (tri_log_counts(log).records != records) {
        fail("records");
    }
    tri_place_unmap(memory, bytes);
    return (double)start_ns / (double)records;
}

/* ---- the journal ---- */

static void journal_begin(void)
{
    static const struct tri_journal_dir_options options = {
        .kind = "coordinator", .segment_bytes = SEGMENT_BYTES, .block_bytes_max = BLOCK_BYTES};
    static const struct tri_journal_options stream = {.checkpoint_bytes = CHECKPOINT_BYTES};

    if (tri_journal_dir_open(&it.dir, it.path, &options, it.trouble) != 0 ||
        tri_journal_dir_scan_all(it.dir, it.trouble) != 0 ||
        tri_journal_dir_begin(it.dir, ++it.epoch, 1, it.trouble) != 0 ||
        tri_journal_open(&it.journal, it.dir, &stream, it.trouble) != 0) {
        fail("begin");
    }
}

static void journal_close(void)
{
    tri_journal_close(it.journal);
    tri_journal_dir_close(it.dir);
}

/* Appends while there is room and what is still to do; returns how many records. */
static uint64_t journal_append(struct tri_log *log, uint64_t records)
{
    uint64_t done = 0;

    while (done < records) {
        uint8_t *to = tri_log_reserve(log, RECORD_BYTES);

        if (to == NULL) {
            break;
        }
        memcpy(to, it.payload, RECORD_BYTES);
        tri_log_commit(log, 1, 7, tri_log_last_lsn(log) + 1, RECORD_BYTES);
        done++;
    }
    return done;
}

/* A checkpoint of nothing; what it leaves behind is dropped, so that segments are used again. */
static void journal_checkpoint(struct tri_log *log)
{
    if (tri_log_wants_checkpoint(log)) {
        it.begin_lsn = tri_log_checkpoint_begin(log);
    }
    if (it.begin_lsn != 0 && tri_log_durable_lsn(log) + 1 >= it.begin_lsn) {
        tri_log_checkpointed(log, it.begin_lsn, 0);
        it.begin_lsn = 0;
    }
}

/* Records per second until all are durable. */
static double sample_journal(uint64_t records)
{
    struct tri_log *log = tri_journal_log(it.journal);
    uint64_t end_lsn = tri_log_last_lsn(log) + records;
    uint64_t start_ns = bench_now_ns();

    while (tri_log_durable_lsn(log) < end_lsn) {
        uint64_t done = journal_append(log, end_lsn - tri_log_last_lsn(log));

        journal_checkpoint(log);
        if (tri_journal_turn(it.journal, start_ns) == 0 && done == 0) {
            (void)tri_journal_wait(it.journal, TRI_NS_PER_S);
        }
        if (tri_log_failed_lsn(log) != 0) {
            fail(tri_journal_trouble(it.journal));
        }
    }
    return (double)records * 1e9 / (double)(bench_now_ns() - start_ns);
}

/* Microseconds from the append of one record to its being durable, the median. */
static double sample_lone(uint32_t records)
{
    static double values[LONE_MAX];
    struct tri_log *log = tri_journal_log(it.journal);

    for (uint32_t i = 0; i < records; i++) {
        uint64_t start_ns = bench_now_ns();

        (void)journal_append(log, 1);
        journal_checkpoint(log);
        (void)tri_journal_turn(it.journal, start_ns);
        while (tri_log_durable_lsn(log) < tri_log_last_lsn(log)) {
            (void)tri_journal_wait(it.journal, TRI_NS_PER_S);
        }
        values[i] = (double)(bench_now_ns() - start_ns) / 1e3;
    }
    return bench_middle(values, records);
}

/* ---- the bare ring ---- */

static void bare_write(uint64_t offset, uint32_t bytes, uint64_t number)
{
    struct io_uring_sqe *request = tri_loop_request(&it.loop);

    io_uring_prep_write(request, it.file, it.block, bytes, offset);
    request->rw_flags = RWF_DSYNC;
    request->user_data = number;
}

struct bare_end {
    uint32_t bytes;
    uint32_t count;
};

static void bare_complete(void *context, uint64_t user_data, int32_t result, uint32_t flags)
{
    struct bare_end *end = context;

    (void)user_data;
    (void)flags;
    if (result != (int32_t)end->bytes) {
        fail("a bare write");
    }
    end->count++;
}

/* Blocks per second, FLIGHT at once. */
static double sample_bare(uint64_t blocks)
{
    struct bare_end end = {BLOCK_BYTES, 0};
    uint64_t start_ns = bench_now_ns();
    uint64_t begun = 0;

    while (end.count < blocks) {
        while (begun < blocks && begun - end.count < FLIGHT) {
            bare_write(begun % (SEGMENT_BYTES / BLOCK_BYTES) * BLOCK_BYTES, BLOCK_BYTES, begun);
            begun++;
        }
        tri_loop_wait(&it.loop, TRI_NS_PER_S);
        (void)tri_loop_reap(&it.loop, bare_complete, &end);
    }
    return (double)blocks * 1e9 / (double)(bench_now_ns() - start_ns);
}

static double sample_bare_lone(uint32_t writes)
{
    static double values[LONE_MAX];
    struct bare_end end = {TRI_LOG_PAGE_BYTES, 0};

    for (uint32_t i = 0; i < writes; i++) {
        uint64_t start_ns = bench_now_ns();

        bare_write((uint64_t)i * TRI_LOG_PAGE_BYTES % SEGMENT_BYTES, TRI_LOG_PAGE_BYTES, i);
        while (end.count <= i) {
            tri_loop_wait(&it.loop, TRI_NS_PER_S);
            (void)tri_loop_reap(&it.loop, bare_complete, &end);
        }
        values[i] = (double)(bench_now_ns() - start_ns) / 1e3;
    }
    return bench_middle(values, writes);
}

static void bare_open(void)
{
    char name[4200];
    const char *advice = "";
    uint8_t *zeros = tri_place_map(SEGMENT_BYTES);

    (void)snprintf(name, sizeof(name), "%s/bare", it.path);
    it.file = open(name, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
    if (it.file < 0) { /* as the journal does */
        it.file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    }
    it.block = tri_place_map(BLOCK_BYTES);
    if (it.file < 0 || zeros == NULL || it.block == NULL ||
        pwrite(it.file, zeros, SEGMENT_BYTES, 0) != (ssize_t)SEGMENT_BYTES || fsync(it.file) != 0 ||
        tri_loop_init(&it.loop, 64, 128, &advice) != 0 || tri_loop_enable(&it.loop) != 0) {
        fail("the bare file");
    }
    memset(it.block, 0x55, BLOCK_BYTES);
    tri_place_unmap(zeros, SEGMENT_BYTES);
}

/* ---- all of it ---- */

static void write_all(const struct bench_run *run)
{
    uint64_t records = run->is_smoke ? 20000 : 1000000;
    uint32_t lone = run->is_smoke ? 50 : 1000;
    uint64_t per_block = (BLOCK_BYTES - 128) / 128;
    struct bench_series append = {0};
    struct bench_series copy = {0};
    struct bench_series journal = {0};
    struct bench_series bare = {0};
    struct bench_series alone = {0};
    struct bench_series bare_alone = {0};

    journal_begin();
    bare_open();
    for (uint32_t i = 0; i <= run->sample_count; i++) {
        double figures[6];

        figures[0] = sample_copy(records);
        figures[1] = sample_append(records);
        figures[2] = sample_bare(records / per_block + 1) * (double)per_block;
        figures[3] = sample_journal(records);
        figures[4] = sample_bare_lone(lone);
        figures[5] = sample_lone(lone);
        if (i > 0) {
            bench_add(&copy, figures[0]);
            bench_add(&append, figures[1]);
            bench_add(&bare, figures[2]);
            bench_add(&journal, figures[3]);
            bench_add(&bare_alone, figures[4]);
            bench_add(&alone, figures[5]);
        }
    }
    bench_note("records of %u bytes, blocks of %u KiB, %s, %llu segments used again", RECORD_BYTES,
               BLOCK_BYTES / 1024, tri_journal_dir_mode(it.dir),
               (unsigned long long)tri_journal_counts(it.journal).segments_recycled);
    bench_report("journal.append", &append, "ns", BENCH_LOWER, "memcpy and XXH3-64", &copy);
    bench_report("journal.durable", &journal, "records/s", BENCH_HIGHER, "bare ring", &bare);
    bench_report("journal.lone.p50", &alone, "us", BENCH_LOWER, "bare ring, 4 KiB", &bare_alone);
    journal_close();
}

/* ---- rounds over TCP ---- */

struct sides {
    struct bench_series rate;
    struct bench_series cpu_us;
    struct bench_series alone_us;
};

/* One sample of a server; false after a message. */
static bool rounds_sample(struct stage *stage, uint64_t duration_ns, uint32_t alone_rounds,
                          struct sides *sides)
{
    double cpu_us = stage_cpu_us(stage->server);
    int64_t ended = stage_run(stage, ROUNDS_IN_FLIGHT, duration_ns);
    double lone_us = 0;

    cpu_us = stage_cpu_us(stage->server) - cpu_us;
    lone_us = ended > 0 ? stage_alone_us(stage, alone_rounds) : -1;
    if (lone_us <= 0 || stage->others > 0) {
        (void)fprintf(stderr, "tricast-bench: %llu rounds PROCESSED, %llu not: %s\n",
                      (unsigned long long)stage->processed, (unsigned long long)stage->others,
                      tri_error_name(stage->other_code));
        return false;
    }
    if (sides != NULL) {
        bench_add(&sides->rate, (double)ended * 1e9 / (double)duration_ns);
        bench_add(&sides->cpu_us, cpu_us / (double)ended);
        bench_add(&sides->alone_us, lone_us);
    }
    return true;
}

static int rounds_all(const struct bench_run *run)
{
    static struct stage none;
    static struct stage kept;
    static struct bare bare;
    static struct sides without;
    static struct sides with;
    struct bench_series limit = {0};
    struct stage_options options = stage_rounds(run);
    uint64_t duration_ns = run->is_smoke ? 50000000U : 1000000000U;
    uint32_t alone = run->is_smoke ? 20 : 1000;
    bool is_good = bare_start(&bare) && stage_open(&none, &options, run);

    options.is_durable = true;
    is_good = is_good && stage_open(&kept, &options, run);
    for (uint32_t i = 0; is_good && i <= run->sample_count; i++) {
        is_good = rounds_sample(&none, duration_ns, alone, i > 0 ? &without : NULL) &&
                  rounds_sample(&kept, duration_ns, alone, i > 0 ? &with : NULL);
        if (i > 0 && is_good) {
            bench_add(&limit,
                      bare_alone_us(&bare, alone) + ROUNDS_FLUSHES * sample_bare_lone(alone));
        }
    }
    if (is_good) {
        bench_note("GUARANTEED, 3 chains without a journal, %u in flight, ttlSeconds 1, retries 0, "
                   "dedup window 3.5 s, table 4194304",
                   ROUNDS_IN_FLIGHT);
        bench_report("journal.rounds", &with.rate, "rounds/s", BENCH_HIGHER, "journal none",
                     &without.rate);
        bench_report("journal.rounds_server_cpu", &with.cpu_us, "us/round", BENCH_LOWER,
                     "journal none", &without.cpu_us);
        bench_report("journal.rounds_alone", &with.alone_us, "us p50", BENCH_LOWER,
                     "bare limit and 2 writes", &limit);
    }
    stage_close(&none);
    stage_close(&kept);
    bare_stop(&bare);
    return is_good ? 0 : 1;
}

/* Removes what the directory holds, and the directory. */
static void clean(void)
{
    DIR *names = opendir(it.path);
    const struct dirent *entry = NULL;

    while (names != NULL && (entry = readdir(names)) != NULL) {
        if (entry->d_name[0] != '.') {
            (void)unlinkat(dirfd(names), entry->d_name, 0);
        }
    }
    if (names != NULL) {
        (void)closedir(names);
    }
    (void)rmdir(it.path);
}

int bench_journal(const struct bench_run *run)
{
    int result = 0;

    (void)snprintf(it.path, sizeof(it.path), "%s/journal-XXXXXX", run->build_dir);
    if (mkdtemp(it.path) == NULL) {
        fail(it.path);
    }
    memset(it.payload, 0x5a, sizeof(it.payload));
    bench_pin(0);
    write_all(run);
    bench_pin(1);
    result = rounds_all(run);
    (void)close(it.file);
    tri_loop_fini(&it.loop);
    clean();
    return result;
}
