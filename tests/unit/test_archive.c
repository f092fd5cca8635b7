/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the archive is what was appended, once and in order; streams are opened and closed once;
 * what does not belong to it is named and nothing of it is changed.
 *
 * Method: real files, and flushes that are counted (archive_stand.h).  What tears or fails is in
 * test_archive_tear.c.
 */
#include <criterion/criterion.h>

#include "tests/unit/archive_stand.h"

int fsync(int file)
{
    (void)file;
    return flush();
}

int fdatasync(int file)
{
    (void)file;
    return flush();
}

TestSuite(archive, .init = setup, .fini = teardown);

/* ---- appending ---- */

Test(archive, F02_records_are_chained_signed_and_whole)
{
    struct tri_archive *archive = begun(12, 2);
    struct tri_archive_counts counts;

    cr_expect_eq(tri_archive_last(archive, 12, 0), 0);
    for (uint64_t n = 1; n <= 10; n++) {
        append_all(archive, 12, 0, n, n);
        append_all(archive, 12, 1, n, n);
    }
    cr_expect_not(exists("12-0.1.fin"), "nothing is written before it is asked for");
    cr_assert_eq(tri_archive_write(archive, trouble), 0);
    cr_expect(exists("12-0.1.fin"));
    append_all(archive, 12, 0, 11, 11);
    synced(archive);
    cr_expect_eq(tri_archive_last(archive, 12, 0), 11);
    counts = tri_archive_counts(archive);
    cr_expect_eq(counts.records, 21);
    cr_expect_eq(counts.messages, 43);
    cr_expect_eq(counts.syncs, 1);
    tri_archive_close(archive);
    expect_stream(12, 0, 11, 23);
    expect_stream(12, 1, 10, 20);
}

Test(archive, D04_append_of_what_is_there_does_nothing)
{
    struct tri_archive *archive = begun(1, 1);
    struct copy before;

    append_all(archive, 1, 0, 1, 5);
    synced(archive);
    before = copy_of("1-0.1.fin");
    append_all(archive, 1, 0, 1, 5);
    synced(archive);
    cr_expect_eq(tri_archive_counts(archive).records, 5);
    cr_expect(is_same("1-0.1.fin", &before));
    tri_archive_close(archive);
    archive = opened();
    cr_expect_eq(tri_archive_last(archive, 1, 0), 5);
    append_all(archive, 1, 0, 1, 5);
    synced(archive);
    cr_expect_eq(tri_archive_counts(archive).records, 0);
    cr_expect(is_same("1-0.1.fin", &before));
    tri_archive_close(archive);
    free(before.at);
}

Test(archive, D04_a_record_cannot_be_left_out)
{
    struct tri_archive *archive = begun(1, 1);

    cr_expect_eq(append(archive, 1, 0, 2), -EEXIST);
    append_all(archive, 1, 0, 1, 3);
    cr_expect_eq(append(archive, 1, 0, 5), -EEXIST);
    cr_expect_not_null(strstr(trouble, "record 5 of stream 1-0"), "%s", trouble);
    append_all(archive, 1, 0, 4, 5);
    cr_expect_eq(append(archive, 1, 1, 1), -ENOENT, "a stream that was never opened");
    cr_expect_eq(append(archive, 2, 0, 1), -ENOENT);
    synced(archive);
    tri_archive_close(archive);
    expect_stream(1, 0, 5, 11);
}

Test(archive, F02_what_nobody_could_verify_is_not_written)
{
    struct tri_archive *archive = begun(1, 1);
    struct tri_archive_entry entries[2];

    kit_make(1, 2, true);
    memcpy(entries, kit_entries, sizeof(entries));
    entries[1].leaf.bytes--;
    cr_expect_eq(tri_archive_append(archive, 1, 0, 1, entries, 2, trouble), -EBADMSG);
    cr_expect_not_null(strstr(trouble, "entry 1 of record 1 of stream 1-0"), "%s", trouble);
    entries[1].leaf.bytes++;
    entries[0].content.bytes--;
    cr_expect_eq(tri_archive_append(archive, 1, 0, 1, entries, 2, trouble), -EBADMSG);
    cr_expect_not_null(strstr(trouble, "entry 0"), "%s", trouble);
    append_all(archive, 1, 0, 1, 2);
    synced(archive);
    tri_archive_close(archive);
    expect_stream(1, 0, 2, 5);
}

static bool prove(void *context, const struct tri_finality_header *header,
                  uint8_t proof[TRI_DIGEST_BYTES])
{
    cr_assert_eq(header->chain_count, 3);
    cr_assert_eq(header->chains[0].bytes, 8);
    memset(proof, *(const int *)context, TRI_DIGEST_BYTES);
    return header->oss_epoch == 1;
}

Test(archive, F01_a_prover_gives_the_proof_hash)
{
    static const uint8_t expected[34] = {0xc4, 0x20, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a,
                                         0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a,
                                         0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a,
                                         0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a};
    int byte = 0x5a;
    struct tri_archive_prover prover = {prove, &byte};
    struct tri_archive *archive = NULL;
    struct copy copy;

    options.prover = &prover;
    archive = begun(1, 1);
    kit_make(10, 2, true);
    cr_assert_eq(tri_archive_append(archive, 1, 0, 1, kit_entries, 2, trouble), 0);
    cr_assert_eq(tri_archive_append(archive, 1, 0, 2, kit_entries, 2, trouble), 0);
    synced(archive);
    tri_archive_close(archive);
    copy = copy_of("1-0.1.fin");
    cr_expect_not_null(memmem(copy.at, offset_of(&copy, 2), expected, sizeof(expected)));
    cr_expect_null(memmem(copy.at + offset_of(&copy, 2), copy.bytes - offset_of(&copy, 2), expected,
                          sizeof(expected)),
                   "the second has none");
    free(copy.at);
    expect_stream(1, 0, 2, 4);
}

/* ---- starts ---- */

Test(archive, F08_a_start_closes_the_streams_before_it_and_opens_its_own)
{
    struct tri_archive *archive = begun(1, 3);

    append_all(archive, 1, 0, 1, 4);
    append_all(archive, 1, 2, 1, 2);
    synced(archive);
    tri_archive_close(archive); /* as if it had been killed */
    archive = opened();
    append_all(archive, 1, 0, 4, 6); /* the journal has more */
    append_all(archive, 1, 1, 1, 1);
    cr_assert_eq(tri_archive_begin(archive, 2, 2, false, trouble), 0, "%s", trouble);
    append_all(archive, 2, 1, 1, 2);
    cr_expect_eq(tri_archive_last(archive, 1, 0), 6);
    cr_expect_eq(append(archive, 1, 0, 6), 0);
    cr_expect_eq(append(archive, 1, 0, 7), -ESTALE);
    cr_expect_not_null(strstr(trouble, "closed with fewer records"), "%s", trouble);
    cr_assert_eq(tri_archive_end(archive, trouble), 0);
    tri_archive_close(archive);
    expect_stream(1, 0, 6, 12);
    expect_stream(1, 1, 1, 2);
    expect_stream(1, 2, 2, 5);
    expect_stream(2, 0, 0, 0);
    expect_stream(2, 1, 2, 5);
    archive = begun(3, 1);
    cr_expect_eq(tri_archive_last(archive, 2, 1), 2);
    cr_expect_eq(tri_archive_last(archive, 1, 0), 6);
    tri_archive_close(archive);
}

Test(archive, F08_lines_of_many_starts)
{
    struct tri_archive_manifest manifest;
    const char *fault = NULL;
    struct copy text;

    for (uint32_t epoch = 1; epoch <= 20; epoch++) {
        struct tri_archive *archive = begun(epoch, 64);

        append_all(archive, epoch, epoch % 64, 1, 3);
        if (epoch % 2 == 0) {
            cr_assert_eq(tri_archive_end(archive, trouble), 0);
        } else {
            cr_assert_eq(tri_archive_write(archive, trouble), 0);
        }
        tri_archive_close(archive);
    }
    text = copy_of("manifest");
    cr_assert_eq(tri_archive_manifest_read(&manifest, (const char *)text.at, text.bytes, &fault),
                 0);
    cr_expect_eq(manifest.line_count, 1 + 20 * 64 * 2);
    cr_expect_eq(manifest.stream_count, 20 * 64);
    tri_archive_manifest_fini(&manifest);
    free(text.at);
    expect_stream(7, 7, 3, 6);
}

Test(archive, F08_a_stream_is_never_opened_twice)
{
    struct tri_archive *archive = begun(5, 2);
    struct copy before;

    cr_assert_eq(tri_archive_end(archive, trouble), 0);
    before = copy_of("manifest");
    cr_expect_eq(tri_archive_begin(archive, 5, 1, true, trouble), -EEXIST);
    cr_expect_not_null(strstr(trouble, "stream 5-0 was opened before"), "%s", trouble);
    cr_expect(is_same("manifest", &before));
    tri_archive_close(archive);
    tri_archive_close(begun(6, 1));
    free(before.at);
}

Test(archive, F08_every_changed_byte_of_the_manifest_stops_the_start)
{
    struct tri_archive *archive = begun(1, 1);
    struct copy whole;

    append_all(archive, 1, 0, 1, 1);
    cr_assert_eq(tri_archive_end(archive, trouble), 0);
    tri_archive_close(archive);
    whole = copy_of("manifest");
    for (size_t at = 0; at < whole.bytes; at++) {
        flip("manifest", (off_t)at, (uint8_t)(1U << at % 8));
        cr_assert_eq(open_fails(), -EBADMSG, "byte %zu", at);
        cr_assert_not_null(strstr(trouble, "manifest: line "), "%s", trouble);
        flip("manifest", (off_t)at, (uint8_t)(1U << at % 8));
    }
    cr_expect(is_same("manifest", &whole));
    cr_expect_eq(open_fails(), 0);
    free(whole.at);
}

Test(archive, F08_a_torn_line_is_cut_and_written_anew)
{
    struct tri_archive *archive = begun(1, 1);
    struct copy whole;
    size_t opening = 0;
    size_t closing = 0;

    append_all(archive, 1, 0, 1, 1);
    synced(archive);
    opening = size_of("manifest");
    cr_assert_eq(tri_archive_end(archive, trouble), 0);
    tri_archive_close(archive);
    whole = copy_of("manifest");
    closing = whole.bytes;
    for (size_t bytes = opening; bytes < closing; bytes += 3) {
        put_back("manifest", &whole, bytes);
        archive = opened();
        cr_assert_eq(tri_archive_last(archive, 1, 0), 1);
        cr_assert_eq(tri_archive_begin(archive, 2, 1, true, trouble), 0, "%s", trouble);
        tri_archive_close(archive);
        expect_stream(1, 0, 1, 2);
        expect_stream(2, 0, 0, 0);
    }
    free(whole.at);
}

Test(archive, F08_an_archive_whose_first_line_is_torn_is_begun_anew)
{
    struct copy whole;

    tri_archive_close(opened());
    whole = copy_of("manifest");
    for (size_t bytes = 0; bytes < whole.bytes; bytes++) {
        put_back("manifest", &whole, bytes);
        cr_assert_eq(open_fails(), 0, "%zu bytes: %s", bytes, trouble);
    }
    tri_archive_close(begun(1, 1));
    free(whole.at);
}

Test(archive, F08_files_without_their_lines_and_lines_without_their_files_stop_the_start)
{
    struct tri_archive *archive = begun(1, 2);
    struct copy manifest;
    struct copy records;
    size_t opening = 0;

    opening = size_of("manifest");
    append_all(archive, 1, 0, 1, 3);
    cr_assert_eq(tri_archive_end(archive, trouble), 0);
    tri_archive_close(archive);
    manifest = copy_of("manifest");
    records = copy_of("1-0.1.fin");

    cr_assert_eq(unlink(path_of("manifest")), 0);
    cr_expect_eq(open_fails(), -EBADMSG);
    cr_expect_not_null(strstr(trouble, "missing or empty"), "%s", trouble);
    put_back("manifest", &manifest, manifest.bytes);

    put_back("7-0.1.fin", &records, records.bytes);
    cr_expect_eq(open_fails(), -EBADMSG);
    cr_expect_not_null(strstr(trouble, "7-0.1.fin: the manifest has no such stream"), "%s",
                       trouble);
    cr_assert_eq(unlink(path_of("7-0.1.fin")), 0);

    put_back("1-1.1.fin", &records, records.bytes);
    cr_expect_eq(open_fails(), -EBADMSG, "it was closed without records");
    cr_assert_eq(unlink(path_of("1-1.1.fin")), 0);

    cr_assert_eq(unlink(path_of("1-0.1.fin")), 0);
    cr_expect_eq(open_fails(), -EBADMSG);
    cr_expect_not_null(strstr(trouble, "stream 1-0 was closed with 3 records"), "%s", trouble);
    put_back("1-0.4.fin", &records, records.bytes);
    cr_expect_eq(open_fails(), -EBADMSG, "it is no file of the first three records");
    cr_assert_eq(unlink(path_of("1-0.4.fin")), 0);
    put_back("1-0.1.fin", &records, records.bytes);
    cr_expect_eq(open_fails(), 0);

    put_back("manifest", &manifest, opening);
    put_back("1-0.2.fin", &records, records.bytes);
    cr_expect_eq(open_fails(), -EBADMSG);
    cr_expect_not_null(strstr(trouble, "1-0.2.fin: the stream has record 2 in the file before"),
                       "%s", trouble);
    cr_assert_eq(unlink(path_of("1-0.2.fin")), 0);
    cr_assert_eq(rename(path_of("1-0.1.fin"), path_of("1-0.3.fin")), 0);
    cr_expect_eq(open_fails(), -EBADMSG);
    cr_expect_not_null(strstr(trouble, "1-0.3.fin: records 1 to 2"), "%s", trouble);
    free(manifest.at);
    free(records.at);
}

Test(archive, one_process_writes_an_archive)
{
    struct tri_archive *archive = begun(1, 1);

    cr_expect_eq(open_fails(), -EWOULDBLOCK);
    cr_expect_not_null(strstr(trouble, "another process"), "%s", trouble);
    tri_archive_close(archive);
    cr_expect_eq(open_fails(), 0);
}

Test(archive, an_archive_whose_parent_is_missing_is_named)
{
    struct tri_archive *archive = NULL;

    cr_expect_eq(tri_archive_open(&archive, path_of("a/b"), &options, trouble), -ENOENT);
    cr_expect_not_null(strstr(trouble, "a/b"));
    cr_expect_null(archive);
}

/* Whether all of a file's messages have contents, or none of them. */
static bool file_has_contents(const char *name, uint32_t messages)
{
    struct copy copy = copy_of(name);
    uint32_t count = 0;
    uint32_t kept = 0;

    for (size_t at = 0; at < copy.bytes;) {
        uint32_t bytes = tri_archive_frame_get(copy.at + at);
        struct tri_archive_record record;
        struct tri_archive_entry entry;
        const char *fault = NULL;

        at += TRI_ARCHIVE_FRAME_BYTES;
        cr_assert(tri_archive_record_get((struct tri_bytes){copy.at + at, bytes}, &record, &fault));
        for (at += bytes; tri_archive_entry_next(&record.entries, &entry); count++) {
            kept += entry.content.bytes > 0 ? 1 : 0;
        }
    }
    free(copy.at);
    cr_assert_eq(count, messages, "%s", name);
    cr_assert(kept == 0 || kept == count, "%s: %u of %u", name, kept, count);
    return kept > 0;
}

/* What a start completes was opened by another one, which may have kept what this one does not. */
Test(archive, F02_the_line_that_opens_a_stream_decides_about_its_contents)
{
    struct tri_archive *archive = begun(1, 1);

    append_all(archive, 1, 0, 1, 1);
    synced(archive);
    tri_archive_close(archive);
    archive = opened();
    kit_make(500, 3, true);
    kit_entries[1].content = (struct tri_bytes){0};
    cr_expect_eq(tri_archive_append(archive, 1, 0, 2, kit_entries, 3, trouble), -EBADMSG);
    cr_expect_not_null(strstr(trouble, "entry 1 of record 2 of stream 1-0"), "%s", trouble);
    cr_expect_not_null(strstr(trouble, "content is missing"), "%s", trouble);
    append_all(archive, 1, 0, 2, 3);
    cr_assert_eq(tri_archive_begin(archive, 2, 1, false, trouble), 0, "%s", trouble);
    append_all(archive, 2, 0, 1, 1);
    synced(archive);
    tri_archive_close(archive);
    archive = opened();
    append_all(archive, 2, 0, 2, 2);
    kit_make(600, 1, false);
    cr_assert_eq(tri_archive_append(archive, 2, 0, 3, kit_entries, 1, trouble), 0, "%s", trouble);
    kit_make(700, 1, true);
    kit_entries[0].content.bytes--;
    cr_expect_eq(tri_archive_append(archive, 2, 0, 4, kit_entries, 1, trouble), -EBADMSG,
                 "what is dropped must be right as well");
    cr_assert_eq(tri_archive_begin(archive, 3, 1, true, trouble), 0, "%s", trouble);
    cr_assert_eq(tri_archive_end(archive, trouble), 0);
    tri_archive_close(archive);
    expect_stream(1, 0, 3, 6);
    expect_stream(2, 0, 3, 6);
    cr_expect(file_has_contents("1-0.1.fin", 6));
    cr_expect_not(file_has_contents("2-0.1.fin", 6));
}

/* ---- large records ---- */

static struct tri_archive_entry large_entries[TRI_FINALITY_MESSAGES_MAX];
static struct kit_message large_messages[TRI_FINALITY_MESSAGES_MAX];

static void large_content(const uint8_t *bytes, uint32_t count, struct tri_archive_entry *to,
                          uint8_t *leaf_bytes)
{
    struct tri_bytes content = {bytes, count};
    struct tri_leaf leaf = {.id = {"large", 5},
                            .hash = tri_digest_content(content),
                            .attempt = TRI_ATTEMPT(1, 1),
                            .chain_count = 1,
                            .applied = 1};

    leaf.chains[0] = (struct tri_text){"eip155:1", 8};
    *to = (struct tri_archive_entry){.leaf = {leaf_bytes, tri_leaf_put(&leaf, leaf_bytes)},
                                     .content = content};
}

Test(archive, F02_a_record_of_4096_messages_is_one)
{
    struct tri_archive *archive = begun(1, 2);

    for (uint32_t i = 0; i < TRI_FINALITY_MESSAGES_MAX; i++) {
        kit_message(i, true, &large_messages[i], &large_entries[i]);
    }
    for (uint64_t n = 1; n <= 40; n++) { /* far more than the buffer holds */
        cr_assert_eq(tri_archive_append(archive, 1, (uint32_t)(n % 2), (n + 1) / 2, large_entries,
                                        TRI_FINALITY_MESSAGES_MAX, trouble),
                     0, "%s", trouble);
    }
    synced(archive);
    tri_archive_close(archive);
    expect_stream(1, 0, 20, 81920);
    expect_stream(1, 1, 20, 81920);
    archive = opened();
    cr_expect_eq(tri_archive_last(archive, 1, 1), 20);
    tri_archive_close(archive);
}

Test(archive, F02_a_record_of_4_mib_fits_and_a_longer_one_is_refused)
{
    static uint8_t content[80000];
    static uint8_t leaf[512];
    struct tri_archive *archive = begun(1, 1);
    struct tri_archive_counts counts;

    for (uint32_t i = 0; i < 53; i++) {
        large_content(content, sizeof(content), &large_entries[i], leaf);
    }
    cr_expect_eq(tri_archive_append(archive, 1, 0, 1, large_entries, 53, trouble), -EMSGSIZE);
    cr_expect_not_null(strstr(trouble, "more than 4194308"), "%s", trouble);
    cr_assert_eq(tri_archive_append(archive, 1, 0, 1, large_entries, 52, trouble), 0, "%s",
                 trouble);
    cr_assert_eq(tri_archive_append(archive, 1, 0, 2, large_entries, 52, trouble), 0, "%s",
                 trouble);
    cr_assert_eq(tri_archive_append(archive, 1, 0, 3, large_entries, 52, trouble), 0, "%s",
                 trouble);
    synced(archive);
    counts = tri_archive_counts(archive);
    cr_expect_gt(counts.bytes, 12480000);
    tri_archive_close(archive);
    expect_stream(1, 0, 3, 156);
    archive = opened();
    cr_expect_eq(tri_archive_last(archive, 1, 0), 3);
    tri_archive_close(archive);
}

/* Streams that take turns make a piece of the buffer each. */
Test(archive, F02_small_records_of_many_streams_are_written_in_order)
{
    struct tri_archive *archive = begun(1, 64);

    for (uint64_t n = 1; n <= 40; n++) {
        for (uint32_t shard = 0; shard < 64; shard++) {
            append_all(archive, 1, shard, n, n);
        }
    }
    synced(archive);
    tri_archive_close(archive);
    for (uint32_t shard = 0; shard < 64; shard++) {
        expect_stream(1, shard, 40, 80);
    }
}

Test(archive, D04_sync_flushes_what_was_written_since_and_nothing_else)
{
    struct tri_archive *archive = begun(1, 3);

    append_all(archive, 1, 0, 1, 3);
    append_all(archive, 1, 1, 1, 3);
    flushes = 0;
    synced(archive);
    cr_expect_eq(flushes, 3, "two files and the directory that names them");
    flushes = 0;
    synced(archive);
    cr_expect_eq(flushes, 0);
    append_all(archive, 1, 1, 4, 4);
    cr_assert_eq(tri_archive_write(archive, trouble), 0);
    cr_expect_eq(flushes, 0);
    synced(archive);
    cr_expect_eq(flushes, 1);
    tri_archive_close(archive);
}

Test(archive, is_read_only_changes_nothing)
{
    struct tri_archive *archive = begun(1, 2);
    struct copy torn;
    struct copy manifest;

    append_all(archive, 1, 0, 1, 4);
    synced(archive);
    options.is_read_only = true;
    options.signer = NULL;
    tri_archive_close(opened()); /* beside a writer */
    tri_archive_close(archive);
    cr_assert_eq(truncate(path_of("1-0.1.fin"), 1500), 0);
    cr_assert_eq(truncate(path_of("manifest"), 900), 0);
    torn = copy_of("1-0.1.fin");
    manifest = copy_of("manifest");
    flushes = 0;
    archive = opened();
    cr_expect_gt(tri_archive_last(archive, 1, 0), 0);
    cr_expect_lt(tri_archive_last(archive, 1, 0), 4);
    tri_archive_close(archive);
    cr_expect_eq(flushes, 0);
    cr_expect(is_same("1-0.1.fin", &torn));
    cr_expect(is_same("manifest", &manifest));
    free(torn.at);
    free(manifest.at);
    (void)each_file(remove_one);
    cr_expect_eq(open_fails(), -ENOENT, "it makes no archive either");
}
