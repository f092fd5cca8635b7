/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal in a fresh directory under /tmp, for tests of io/journal.
 *
 * The payload of a record tells its epoch, LSN and slot, 1 to 300 bytes of it, so
 * that a reader can check each one by itself.
 */
#ifndef TRI_TESTS_JOURNAL_KIT_H
#define TRI_TESTS_JOURNAL_KIT_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/limits.h"
#include "io/clock.h"
#include "io/journal.h"

#define KIT_STREAMS_MAX 4U

static char directory[64];
static char trouble[TRI_JOURNAL_TROUBLE_BYTES];

__attribute__((unused)) static void kit_setup(void)
{
    (void)snprintf(directory, sizeof(directory), "/tmp/tricast-journal-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
}

/* Calls `each` for every file of the directory; returns how many there are. */
static inline uint32_t kit_files(void (*each)(const char *path))
{
    DIR *names = opendir(directory);
    const struct dirent *entry = NULL;
    uint32_t count = 0;

    cr_assert_not_null(names);
    while ((entry = readdir(names)) != NULL) {
        char path[512];

        if (entry->d_name[0] == '.') {
            continue;
        }
        (void)snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        count++;
        if (each != NULL) {
            each(path);
        }
    }
    (void)closedir(names);
    return count;
}

static inline void kit_remove(const char *path)
{
    (void)unlink(path);
}

__attribute__((unused)) static void kit_teardown(void)
{
    (void)kit_files(kit_remove);
    (void)rmdir(directory);
}

__attribute__((unused)) static const char *kit_path(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

__attribute__((unused)) static bool kit_exists(const char *name)
{
    return access(kit_path(name), F_OK) == 0;
}

__attribute__((unused)) static struct tri_journal_dir_options kit_options(void)
{
    static const uint8_t secret[32] = "the hash secret of this journal";

    return (struct tri_journal_dir_options){
        .kind = "coordinator",
        .secret = secret,
        .segment_bytes = 65536,
        .segment_bytes_first = 32768,
        .block_bytes_max = 16384,
    };
}

/* One start: the old streams are scanned, the new set is begun and its streams are open. */
struct kit {
    struct tri_journal_dir *dir;
    struct tri_journal *journals[KIT_STREAMS_MAX];
    uint32_t streams;
    uint32_t epoch;
};

__attribute__((unused)) static struct tri_journal_dir *kit_look(void)
{
    struct tri_journal_dir_options options = kit_options();
    struct tri_journal_dir *dir = NULL;

    cr_assert_eq(tri_journal_dir_open(&dir, directory, &options, trouble), 0, "%s", trouble);
    cr_assert_eq(tri_journal_dir_scan_all(dir, trouble), 0, "%s", trouble);
    return dir;
}

__attribute__((unused)) static struct kit
kit_start_with(const struct tri_journal_dir_options *options, uint32_t epoch, uint32_t streams)
{
    struct kit kit = {.streams = streams, .epoch = epoch};

    cr_assert_eq(tri_journal_dir_open(&kit.dir, directory, options, trouble), 0, "%s", trouble);
    cr_assert_eq(tri_journal_dir_scan_all(kit.dir, trouble), 0, "%s", trouble);
    cr_assert_eq(tri_journal_dir_begin(kit.dir, epoch, streams, trouble), 0, "%s", trouble);
    for (uint32_t i = 0; i < streams; i++) {
        struct tri_journal_options stream = {
            .stream = i, .chains = "chains", .chains_bytes = 6, .checkpoint_bytes = 100000};

        cr_assert_eq(tri_journal_open(&kit.journals[i], kit.dir, &stream, trouble), 0, "%s",
                     trouble);
    }
    return kit;
}

__attribute__((unused)) static struct kit kit_start(uint32_t epoch, uint32_t streams)
{
    struct tri_journal_dir_options options = kit_options();

    return kit_start_with(&options, epoch, streams);
}

/* As after kill -9: nothing is ended. */
__attribute__((unused)) static void kit_kill(struct kit *kit)
{
    for (uint32_t i = 0; i < kit->streams; i++) {
        tri_journal_close(kit->journals[i]);
    }
    tri_journal_dir_close(kit->dir);
}

static inline uint32_t kit_fill(uint8_t *payload, uint32_t epoch, uint64_t lsn, uint16_t slot)
{
    uint32_t bytes = (uint32_t)(lsn * 37 % 300) + 1;

    for (uint32_t i = 0; i < bytes; i++) {
        payload[i] = (uint8_t)(epoch * 31 + lsn * 7 + slot + i);
    }
    return bytes;
}

/* Takes turns until `is_so` or, if NULL, everything is durable. */
__attribute__((unused)) static void kit_run(struct kit *kit, uint32_t stream,
                                            bool (*is_so)(const struct kit *kit))
{
    struct tri_journal *journal = kit->journals[stream];
    struct tri_log *log = tri_journal_log(journal);
    uint64_t end_ns = tri_clock_now_ns() + 20 * TRI_NS_PER_S;

    while (is_so != NULL ? !is_so(kit) : tri_log_durable_lsn(log) < tri_log_last_lsn(log)) {
        cr_assert_lt(tri_clock_now_ns(), end_ns, "it never came about: %s",
                     tri_journal_trouble(journal));
        if (tri_journal_turn(journal, tri_clock_now_ns()) == 0) {
            (void)tri_journal_wait(journal, 10 * TRI_NS_PER_MS);
        }
    }
}

/* Appends records of slots of the stream, and waits where there is no room. */
__attribute__((unused)) static void kit_append(struct kit *kit, uint32_t stream, uint32_t records)
{
    struct tri_log *log = tri_journal_log(kit->journals[stream]);
    uint32_t slot_first = 0;
    uint32_t slot_last = 0;

    tri_journal_slots(stream, kit->streams, &slot_first, &slot_last);
    for (uint32_t i = 0; i < records; i++) {
        uint64_t lsn = tri_log_last_lsn(log) + 1;
        uint16_t slot = (uint16_t)(slot_first + lsn * 11 % (slot_last - slot_first + 1));
        uint8_t *payload = NULL;

        while ((payload = tri_log_reserve(log, 300)) == NULL) {
            (void)tri_journal_turn(kit->journals[stream], tri_clock_now_ns());
            (void)tri_journal_wait(kit->journals[stream], 10 * TRI_NS_PER_MS);
        }
        tri_log_commit(log, (uint16_t)(lsn % 5), slot, lsn,
                       kit_fill(payload, kit->epoch, lsn, slot));
    }
}

__attribute__((unused)) static void kit_write(struct kit *kit, uint32_t stream, uint32_t records)
{
    kit_append(kit, stream, records);
    kit_run(kit, stream, NULL);
}

/* A whole checkpoint of two records. */
__attribute__((unused)) static void kit_checkpoint(struct kit *kit, uint32_t stream)
{
    struct tri_log *log = tri_journal_log(kit->journals[stream]);
    uint64_t begin_lsn = tri_log_checkpoint_begin(log);

    kit_write(kit, stream, 2);
    tri_log_checkpointed(log, begin_lsn, 600);
    while (tri_log_needed_lsn(log) != begin_lsn) {
        (void)tri_journal_turn(kit->journals[stream], tri_clock_now_ns());
        (void)tri_journal_wait(kit->journals[stream], 10 * TRI_NS_PER_MS);
    }
}

/* Ends all streams in order. */
__attribute__((unused)) static void kit_end(struct kit *kit)
{
    for (uint32_t i = 0; i < kit->streams; i++) {
        tri_journal_end(kit->journals[i]);
        while (!tri_journal_is_ended(kit->journals[i])) {
            (void)tri_journal_turn(kit->journals[i], tri_clock_now_ns());
            (void)tri_journal_wait(kit->journals[i], 10 * TRI_NS_PER_MS);
        }
    }
    kit_kill(kit);
}

/* What a replay gave. */
struct kit_taken {
    uint32_t records;
    uint32_t chains;
    uint32_t sets;      /* epochs seen, in order */
    uint32_t epoch;     /* the last one */
    uint32_t stream;    /* of the last record */
    uint64_t lsn;       /* of the last record */
    uint64_t lsn_first; /* of the first one */
    uint16_t slot_min;
    uint16_t slot_max;
};

static inline int kit_take(void *context, const struct tri_journal_entry *entry)
{
    struct kit_taken *taken = context;
    const struct tri_log_record *record = &entry->record;
    uint8_t payload[300];

    if (record->type == TRI_LOG_TYPE_CHAINS) {
        cr_assert_eq(record->bytes, 6);
        cr_assert_arr_eq(record->payload, "chains", 6);
        taken->chains++;
        return 0;
    }
    cr_assert_lt(record->type, 5);
    cr_assert_geq(entry->epoch, taken->epoch, "sets come in order");
    if (entry->epoch != taken->epoch) {
        taken->sets++;
        taken->lsn = 0;
    }
    if (entry->epoch == taken->epoch && entry->stream == taken->stream) {
        cr_assert_gt(record->lsn, taken->lsn, "records come in order");
    }
    cr_assert_eq(record->bytes, kit_fill(payload, entry->epoch, record->lsn, record->slot));
    cr_assert_arr_eq(record->payload, payload, record->bytes);
    taken->epoch = entry->epoch;
    taken->stream = entry->stream;
    taken->lsn = record->lsn;
    taken->lsn_first = taken->lsn_first == 0 ? record->lsn : taken->lsn_first;
    taken->slot_min = record->slot < taken->slot_min ? record->slot : taken->slot_min;
    taken->slot_max = record->slot > taken->slot_max ? record->slot : taken->slot_max;
    taken->records++;
    return 0;
}

__attribute__((unused)) static struct kit_taken kit_replay(const struct tri_journal_dir *dir,
                                                           uint32_t slot_first, uint32_t slot_last)
{
    struct kit_taken taken = {.slot_min = UINT16_MAX};

    cr_assert_eq(tri_journal_dir_replay(dir, slot_first, slot_last, kit_take, &taken, trouble), 0,
                 "%s", trouble);
    return taken;
}

#endif
