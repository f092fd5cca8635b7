/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An archive and its pending sync queue in a fresh directory, for tests of io/pending.
 *
 * A record is described by a few numbers; its messages are told apart by stream, ossEpoch and
 * index.
 */
#ifndef TRI_TESTS_PENDING_KIT_H
#define TRI_TESTS_PENDING_KIT_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/archive_record.h"
#include "io/pending.h"

#define KIT_MESSAGES_MAX 64U
#define KIT_START_MS     UINT64_C(1700000000000)

static char directory[64];
static char trouble[TRI_ARCHIVE_TROUBLE_BYTES];
static struct tri_signer signer;
static struct tri_archive *archive;
static struct tri_pending *pending;
static struct tri_pending_options options;
static uint32_t kit_epoch;    /* of the streams that are open */
static bool kit_is_omitted;   /* streams are opened without contents */
static bool kit_is_unlearned; /* nothing is looked at after a start */
static uint64_t kit_file_bytes;
static uint8_t kit_appended[TRI_DIGEST_BYTES]; /* the root of the record that was appended last */

struct kit_record {
    uint32_t count;
    uint64_t issued_at_ms;
    const char *chains[2]; /* NULL: none */
    bool is_forced;        /* its last message */
};

static void kit_setup(void)
{
    uint8_t seed[crypto_sign_SEEDBYTES] = {7};

    (void)snprintf(directory, sizeof(directory), "/tmp/tricast-pending-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    cr_assert_eq(crypto_sign_seed_keypair(signer.public_key, signer.secret_key, seed), 0);
    options = (struct tri_pending_options){.is_on = true, .window_ms = UINT64_C(86400000)};
    kit_epoch = 0;
    kit_is_omitted = false;
    kit_is_unlearned = false;
    kit_file_bytes = 4096;
}

static void kit_teardown(void)
{
    DIR *names = opendir(directory);
    const struct dirent *entry = NULL;

    tri_pending_close(pending);
    tri_archive_close(archive);
    pending = NULL;
    archive = NULL;
    cr_assert_not_null(names);
    while ((entry = readdir(names)) != NULL) {
        char path[512];

        (void)snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        (void)unlink(path);
    }
    (void)closedir(names);
    cr_assert_eq(rmdir(directory), 0);
}

static uint32_t kit_id(uint32_t epoch, uint32_t shard, uint64_t oss_epoch, uint32_t index,
                       char to[48])
{
    return (uint32_t)snprintf(to, 48, "m-%u-%u-%llu-%u", epoch, shard,
                              (unsigned long long)oss_epoch, index);
}

/* Looks at all records of which it is not known whether they are to be held; returns the calls. */
static uint32_t kit_learn(struct tri_pending *of)
{
    uint32_t calls = 0;
    bool is_more = true;

    while (is_more) {
        cr_assert_eq(tri_pending_learn(of, &is_more), 0, "%s", tri_pending_trouble(of));
        calls++;
    }
    return calls;
}

/* Begins a new start with two streams; small files, so that there are many. */
static void kit_start(void)
{
    struct tri_archive_options made = {.signer = &signer, .file_bytes = kit_file_bytes};

    kit_epoch++;
    cr_assert_eq(tri_archive_open(&archive, directory, &made, trouble), 0, "%s", trouble);
    cr_assert_eq(tri_archive_begin(archive, kit_epoch, 2, !kit_is_omitted, trouble), 0, "%s",
                 trouble);
    cr_assert_eq(tri_pending_open(&pending, directory, &options, trouble), 0, "%s", trouble);
    if (!kit_is_unlearned) {
        (void)kit_learn(pending);
    }
}

static void kit_stop(void)
{
    tri_pending_close(pending);
    pending = NULL;
    cr_assert_eq(tri_archive_sync(archive, trouble), 0, "%s", trouble);
    tri_archive_close(archive);
    archive = NULL;
}

__attribute__((unused)) static void kit_restart(void)
{
    kit_stop();
    kit_start();
}

/* Appends a record and tells the queue; it is not in its file yet. */
static uint64_t kit_append(uint32_t shard, const struct kit_record *record)
{
    static uint8_t leaves[KIT_MESSAGES_MAX][512];
    static uint8_t contents[KIT_MESSAGES_MAX][64];
    struct tri_archive_entry entries[KIT_MESSAGES_MAX];
    uint64_t oss_epoch = tri_archive_last(archive, kit_epoch, shard) + 1;

    uint64_t first = 0;
    uint64_t end = 0;
    struct tri_tree tree;
    uint8_t hash[TRI_DIGEST_BYTES];

    tri_tree_init(&tree);
    cr_assert_leq(record->count, KIT_MESSAGES_MAX);
    for (uint32_t i = 0; i < record->count; i++) {
        char id[48];
        struct tri_leaf leaf = {.attempt = TRI_ATTEMPT(kit_epoch, 1),
                                .issued_at_ms = record->issued_at_ms,
                                .is_forced = record->is_forced && i + 1 == record->count};
        struct tri_bytes content = {contents[i], 0};

        leaf.id = (struct tri_text){id, kit_id(kit_epoch, shard, oss_epoch, i, id)};
        content.bytes = (uint32_t)snprintf((char *)contents[i], sizeof(contents[i]), "of %s", id);
        leaf.hash = tri_digest_content(content);
        while (leaf.chain_count < 2 && record->chains[leaf.chain_count] != NULL) {
            const char *chain = record->chains[leaf.chain_count];

            leaf.chains[leaf.chain_count] = (struct tri_text){chain, (uint32_t)strlen(chain)};
            leaf.chain_count++;
        }
        leaf.applied = leaf.chain_count == 2 ? 3 : 1;
        entries[i] = (struct tri_archive_entry){
            .leaf = {leaves[i], tri_leaf_put(&leaf, leaves[i])},
            .content = content,
        };
        tri_tree_leaf(entries[i].leaf, hash);
        tri_tree_add(&tree, hash);
    }
    tri_tree_root(&tree, kit_appended);
    cr_assert_eq(
        tri_archive_append(archive, kit_epoch, shard, oss_epoch, entries, record->count, trouble),
        0, "%s", trouble);
    cr_assert_eq(tri_pending_recorded(pending, kit_epoch, shard, oss_epoch, entries, record->count),
                 0);
    tri_archive_end_at(archive, kit_epoch, shard, &first, &end);
    cr_assert_eq(tri_pending_placed(pending, kit_epoch, shard, oss_epoch, first, end), 0);
    return oss_epoch;
}

static void kit_write(void)
{
    cr_assert_eq(tri_archive_write(archive, trouble), 0, "%s", trouble);
    tri_pending_written(pending);
}

/* One record of one message, written. */
__attribute__((unused)) static uint64_t kit_one(uint32_t shard, uint64_t issued_at_ms,
                                                const char *chain, bool is_forced)
{
    const struct kit_record record = {
        .count = 1, .issued_at_ms = issued_at_ms, .chains = {chain}, .is_forced = is_forced};
    uint64_t oss_epoch = kit_append(shard, &record);

    kit_write();
    return oss_epoch;
}

/* The root of a record, by the list of what is pending: it has to be there. */
__attribute__((unused)) static void kit_root(uint32_t epoch, uint32_t shard, uint64_t oss_epoch,
                                             uint8_t root[TRI_DIGEST_BYTES])
{
    static uint8_t buffer[TRI_FINALITY_HEADER_BYTES_MAX + TRI_FINALITY_SIGNATURE_BYTES];
    struct tri_pending_item item;
    struct tri_finality_header header;
    const char *fault = NULL;
    uint32_t count = 0;

    cr_assert_eq(tri_pending_list(pending, epoch, shard, oss_epoch - 1, &item, 1, buffer,
                                  sizeof(buffer), &count),
                 0);
    cr_assert_eq(count, 1);
    cr_assert_eq(item.oss_epoch, oss_epoch);
    cr_assert(tri_finality_header_get(item.header, &header, &fault), "%s", fault);
    memcpy(root, header.root, TRI_DIGEST_BYTES);
}

__attribute__((unused)) static enum tri_pending_verdict
kit_settle(uint32_t epoch, uint32_t shard, uint64_t oss_epoch, const uint8_t *root, bool *is_new)
{
    const struct tri_pending_report report = {.epoch = epoch,
                                              .shard = shard,
                                              .oss_epoch = oss_epoch,
                                              .root = root,
                                              .settled_at_ms = KIT_START_MS,
                                              .reference = {"", 0},
                                              .reporter = {"bridge", 6}};
    enum tri_pending_verdict verdict = TRI_PENDING_OFF;

    cr_assert_eq(tri_pending_settle(pending, &report, KIT_START_MS, &verdict, is_new), 0, "%s",
                 tri_pending_trouble(pending));
    return verdict;
}

__attribute__((unused)) static bool kit_sequencer(bool is_up)
{
    bool is_new = false;

    cr_assert_eq(
        tri_pending_sequencer(pending, is_up, (struct tri_text){"op", 2}, KIT_START_MS, &is_new), 0,
        "%s", tri_pending_trouble(pending));
    if (!kit_is_unlearned) {
        (void)kit_learn(pending);
    }
    return is_new;
}

__attribute__((unused)) static struct tri_pending_view kit_view(uint64_t now_ms)
{
    struct tri_pending_view view;

    cr_assert_eq(tri_pending_look(pending, now_ms, &view), 0, "%s", tri_pending_trouble(pending));
    return view;
}

/* The next redelivery, going over calls that only look at a part; false: none before *again_ms. */
__attribute__((unused)) static bool kit_next(uint64_t now_ms, struct tri_pending_redelivery *what,
                                             uint64_t *again_ms)
{
    for (;;) {
        int got = tri_pending_next(pending, now_ms, what, again_ms);

        cr_assert_geq(got, 0, "%s", tri_pending_trouble(pending));
        if (got > 0 || *again_ms > now_ms) {
            return got > 0;
        }
    }
}

__attribute__((unused)) static enum tri_pending_outcome
kit_redelivered(const struct tri_pending_redelivery *what, enum tri_redelivered result,
                uint64_t now_ms)
{
    enum tri_pending_outcome outcome = TRI_PENDING_KEPT;

    cr_assert_eq(tri_pending_redelivered(pending, what, result, (struct tri_text){"eip155:9", 8},
                                         TRI_ERROR_NONE, now_ms, &outcome),
                 0, "%s", tri_pending_trouble(pending));
    return outcome;
}

#endif
