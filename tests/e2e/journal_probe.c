/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer of a journal for tests/e2e/test_journal.py: what it says on stdout is
 * what it would have announced.
 *
 *     journal_probe DIR EPOCH RECORDS end|kill [SPACE_WAIT_MS [FILE_BYTES_MAX]]
 *
 * Small segments, records of 100 bytes, a few per turn.  "durable N" comes whenever
 * more has become durable, "starved WHY" when records wait for a segment, "failed
 * LSN WHY" when the journal has failed, "begun" when the new set rules.  With
 * FILE_BYTES_MAX no file may grow or be written beyond that size once the set is
 * begun.  Exit code 0: all records are durable; 1: failed; 2: it could not begin.
 */
#undef NDEBUG
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "engine/limits.h"
#include "io/clock.h"
#include "io/journal.h"

#define RECORD_BYTES     100U
#define RECORDS_PER_TURN 20U

static char trouble[TRI_JOURNAL_TROUBLE_BYTES];

static int probe_failed(void)
{
    (void)printf("failed 0 %s\n", trouble);
    return 2;
}

static struct tri_journal_dir *probe_begin(const char *path, uint32_t epoch)
{
    static const struct tri_journal_dir_options options = {
        .kind = "coordinator",
        .segment_bytes = 65536,
        .segment_bytes_first = 32768,
        .block_bytes_max = 16384,
    };
    struct tri_journal_dir *dir = NULL;

    if (tri_journal_dir_open(&dir, path, &options, trouble) != 0 ||
        tri_journal_dir_scan_all(dir, trouble) != 0 ||
        tri_journal_dir_begin(dir, epoch, 1, trouble) != 0) {
        tri_journal_dir_close(dir);
        return NULL;
    }
    return dir;
}

static void probe_append(struct tri_log *log, uint64_t records)
{
    for (uint32_t i = 0; i < RECORDS_PER_TURN && tri_log_last_lsn(log) < records; i++) {
        uint64_t lsn = tri_log_last_lsn(log) + 1;
        uint8_t *payload = tri_log_reserve(log, RECORD_BYTES);

        if (payload == NULL) {
            return;
        }
        memset(payload, (int)(lsn & 0xff), RECORD_BYTES);
        tri_log_commit(log, 1, (uint16_t)(lsn % 4096), lsn, RECORD_BYTES);
    }
}

/* Turns until all records are durable or the journal has failed. */
static int probe_run(struct tri_journal *journal, uint64_t records)
{
    struct tri_log *log = tri_journal_log(journal);
    bool was_starved = false;
    uint64_t said = 0;

    while (said < records) {
        bool is_starved = tri_log_is_starved(log) && tri_journal_trouble(journal)[0] != '\0';

        probe_append(log, records);
        if (tri_journal_turn(journal, tri_clock_now_ns()) == 0) {
            (void)tri_journal_wait(journal, 5 * TRI_NS_PER_MS);
        }
        if (tri_log_durable_lsn(log) > said) {
            said = tri_log_durable_lsn(log);
            (void)printf("durable %llu\n", (unsigned long long)said);
        }
        if (is_starved && !was_starved) {
            (void)printf("starved %s\n", tri_journal_trouble(journal));
        }
        was_starved = is_starved;
        if (tri_log_failed_lsn(log) != 0) {
            (void)printf("failed %llu %s\n", (unsigned long long)tri_log_failed_lsn(log),
                         tri_journal_trouble(journal));
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct tri_journal_options options = {0};
    struct tri_journal *journal = NULL;
    struct tri_journal_dir *dir = NULL;
    int result = 0;

    assert(argc >= 5);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    dir = probe_begin(argv[1], (uint32_t)strtoul(argv[2], NULL, 10));
    if (dir == NULL) {
        return probe_failed();
    }
    options.space_wait_ms = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 0;
    if (tri_journal_open(&journal, dir, &options, trouble) != 0) {
        return probe_failed();
    }
    (void)printf("begun %s\n", tri_journal_dir_mode(dir));
    if (argc > 6) {
        struct rlimit limit = {strtoul(argv[6], NULL, 10), strtoul(argv[6], NULL, 10)};

        assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    }
    result = probe_run(journal, strtoull(argv[3], NULL, 10));
    if (strcmp(argv[4], "end") == 0) {
        tri_journal_end(journal);
        while (!tri_journal_is_ended(journal)) {
            (void)tri_journal_turn(journal, tri_clock_now_ns());
            (void)tri_journal_wait(journal, TRI_NS_PER_MS);
        }
    }
    tri_journal_close(journal);
    tri_journal_dir_close(dir);
    return result;
}
