/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: what a record costs, what becomes durable in a second, how long a
 * lone record takes, and how fast all of it is read again.
 *
 * Baselines: the copy and the hash that a record cannot do without; the same
 * blocks written by a bare ring, O_DIRECT and durable, into a file of zeros, as
 * many at once; the same bytes read into a buffer.
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

#include "bench/bench.h"
#include "engine/limits.h"
#include "io/journal.h"
#include "io/place.h"

#define RECORD_BYTES     100U
#define BLOCK_BYTES      131072U
#define SEGMENT_BYTES    (16U << 20)
#define CHECKPOINT_BYTES (32U << 20)
#define FLIGHT           TRI_LOG_FLIGHT_MAX
#define LONE_MAX         2000U

static struct {
    char path[4096];
    char trouble[TRI_JOURNAL_TROUBLE_BYTES];
    struct tri_journal_dir *dir;
    struct tri_journal *journal;
    uint32_t epoch;
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

/* What a checkpoint leaves behind is dropped, so that segments are used again. */
static void journal_checkpoint(struct tri_log *log)
{
    if (tri_log_wants_checkpoint(log)) {
        tri_log_checkpointed(log, tri_log_checkpoint_begin(log), 0);
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
static int ascending(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return (left > right) - (left < right);
}

static double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof(*values), ascending);
    return values[count / 2];
}

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
    return median(values, records);
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
    return median(values, writes);
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

/* ---- recovery ---- */

static int count_record(void *context, const struct tri_journal_entry *entry)
{
    uint64_t *records = context;

    *records += entry->record.type < TRI_LOG_TYPE_OWN ? 1U : 0U;
    it.hash ^= entry->record.payload[0];
    return 0;
}

/* Records per second that are checked and given back. */
static double sample_recover(uint64_t *read)
{
    static const struct tri_journal_dir_options options = {.is_read_only = true};
    struct tri_journal_dir *dir = NULL;
    uint64_t records = 0;
    uint64_t start_ns = bench_now_ns();

    if (tri_journal_dir_open(&dir, it.path, &options, it.trouble) != 0 ||
        tri_journal_dir_scan_all(dir, it.trouble) != 0 ||
        tri_journal_dir_replay(dir, 0, TRI_SLOT_COUNT - 1, count_record, &records, it.trouble) !=
            0) {
        fail("recovery");
    }
    start_ns = bench_now_ns() - start_ns;
    *read = records;
    tri_journal_dir_close(dir);
    return (double)records * 1e9 / (double)start_ns;
}

/* Reads all segments once, 512 KiB at a time; records per second if that were all. */
static double sample_read(uint64_t records)
{
    static uint8_t buffer[512U * 1024U];
    uint64_t start_ns = bench_now_ns();

    for (uint32_t segment = 1;; segment++) {
        char name[4200];
        ssize_t got = 1;
        int file = 0;

        (void)snprintf(name, sizeof(name), "%s/%u-0-%u.seg", it.path, it.epoch, segment);
        file = open(name, O_RDONLY);
        if (file < 0) {
            break;
        }
        while (got > 0) {
            got = read(file, buffer, sizeof(buffer));
        }
        (void)close(file);
    }
    return (double)records * 1e9 / (double)(bench_now_ns() - start_ns);
}

/* Takes the files out of the page cache. */
static void forget(void)
{
    for (uint32_t segment = 1;; segment++) {
        char name[4200];
        int file = 0;

        (void)snprintf(name, sizeof(name), "%s/%u-0-%u.seg", it.path, it.epoch, segment);
        file = open(name, O_RDONLY);
        if (file < 0) {
            break;
        }
        (void)posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        (void)close(file);
    }
}

static void recover_all(const struct bench_run *run)
{
    struct bench_series warm = {0};
    struct bench_series cold = {0};
    struct bench_series read_warm = {0};
    struct bench_series read_cold = {0};
    uint64_t wanted = run->is_smoke ? 20000 : 4000000;
    uint64_t records = 0;

    journal_begin();
    while (tri_log_durable_lsn(tri_journal_log(it.journal)) < wanted) {
        struct tri_log *log = tri_journal_log(it.journal);

        if (journal_append(log, wanted - tri_log_last_lsn(log)) == 0 &&
            tri_journal_turn(it.journal, 0) == 0) {
            (void)tri_journal_wait(it.journal, TRI_NS_PER_S);
        }
        (void)tri_journal_turn(it.journal, 0);
    }
    journal_close();
    for (uint32_t i = 0; i <= run->sample_count; i++) {
        double figures[4];

        figures[0] = sample_recover(&records);
        figures[1] = sample_read(records);
        forget();
        figures[2] = sample_recover(&records);
        forget();
        figures[3] = sample_read(records);
        if (i > 0) {
            bench_add(&warm, figures[0]);
            bench_add(&read_warm, figures[1]);
            bench_add(&cold, figures[2]);
            bench_add(&read_cold, figures[3]);
        }
    }
    if (records < wanted) {
        fail("records were lost");
    }
    bench_note("%llu records of %u bytes read, every block and record checked",
               (unsigned long long)records, RECORD_BYTES);
    bench_report("journal.recover.warm", &warm, "records/s", BENCH_HIGHER, "read() of the bytes",
                 &read_warm);
    bench_report("journal.recover.cold", &cold, "records/s", BENCH_HIGHER, "read() of the bytes",
                 &read_cold);
}

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
    (void)close(it.file);
    tri_loop_fini(&it.loop);
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
    (void)snprintf(it.path, sizeof(it.path), "%s/journal-XXXXXX", run->build_dir);
    if (mkdtemp(it.path) == NULL) {
        fail(it.path);
    }
    memset(it.payload, 0x5a, sizeof(it.payload));
    bench_pin(0);
    write_all(run);
    recover_all(run);
    clean();
    return 0;
}
