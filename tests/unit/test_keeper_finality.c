/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever primary records a start finds in the journals, by however many shards they are
 * read, become the finality records that the shards of then would have made, each once (D04); and
 * what cannot become one is refused with a sentence that says what to do.
 * Method: an archive as a crash leaves it (archive_stand.h), and records as the journals give them.
 */
#include <criterion/criterion.h>

#include "io/keeper_finality.h"
#include "tests/unit/archive_stand.h"

#define ISSUED_MS UINT64_C(1700000000000)

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

static const struct tri_engine_chain chains[] = {{{"eip155:1", 8}}, {{"eip155:10", 9}}};
static const struct tri_keeper_options keeper = {.chains = chains, .chain_count = 2};
static struct tri_target targets[2] = {{.chain = 0}, {.chain = 1}};

TestSuite(keeper_finality, .init = setup, .fini = teardown);

/* Record `lsn` of the journal of (epoch, stream), which is of message "m<lsn>". */
static const char *add(struct tri_finality_list *list, uint32_t epoch, uint32_t stream,
                       uint64_t lsn, uint64_t oss_epoch)
{
    char content[64];
    char id[32];
    struct tri_journal_entry entry = {.epoch = epoch, .stream = stream, .record = {.lsn = lsn}};
    struct tri_replayed replayed = {
        .oss_epoch = oss_epoch, .issued_at_ms = ISSUED_MS + lsn, .is_known = true};
    struct tri_round_view *round = &replayed.round;
    int bytes = snprintf(content, sizeof(content), "content of m%u", (unsigned)lsn);

    round->canonical = (struct tri_bytes){(const uint8_t *)content, (uint32_t)bytes};
    round->hash = tri_digest_content(round->canonical);
    round->id = (struct tri_text){id, (uint32_t)snprintf(id, sizeof(id), "m%u", (unsigned)lsn)};
    round->targets = targets;
    round->target_count = 2;
    round->attempt = TRI_ATTEMPT(epoch, 1);
    round->applied_mask = 3;
    return tri_finality_list_add(list, &entry, &replayed, &keeper);
}

static void add_all(struct tri_finality_list *list, uint32_t epoch, uint32_t stream,
                    const uint64_t lsns[][2], uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_null(add(list, epoch, stream, lsns[i][0], lsns[i][1]));
    }
}

/* An archive whose streams of `epoch` a crash has left open. */
static struct tri_archive *crashed(uint32_t epoch, uint32_t streams)
{
    tri_archive_close(begun(epoch, streams));
    return opened();
}

/* The messages of the stream's first file: those of one record apart from the next by "/". */
static const char *messages(uint32_t epoch, uint32_t shard)
{
    static char text[512];
    char name[TRI_ARCHIVE_NAME_BYTES_MAX];
    struct copy copy;
    size_t used = 0;

    tri_archive_name_put(epoch, shard, 1, name);
    copy = copy_of(name);
    text[0] = '\0';
    for (size_t at = 0; at < copy.bytes;) {
        uint32_t bytes = tri_archive_frame_get(copy.at + at);
        struct tri_bytes body = {copy.at + at + TRI_ARCHIVE_FRAME_BYTES, bytes};
        struct tri_archive_record record;
        struct tri_archive_entry entry;
        const char *fault = "";

        cr_assert(tri_archive_record_get(body, &record, &fault), "%s", fault);
        while (tri_archive_entry_next(&record.entries, &entry)) {
            struct tri_leaf leaf;

            cr_assert(tri_leaf_get(entry.leaf, &leaf, &fault), "%s", fault);
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%.*s ", (int)leaf.id.bytes,
                                     leaf.id.at);
        }
        used += (size_t)snprintf(text + used, sizeof(text) - used, "/");
        at += TRI_ARCHIVE_FRAME_BYTES + bytes;
    }
    free(copy.at);
    return text;
}

/* ---- what becomes of them ---- */

Test(keeper_finality, D04_what_the_shards_of_today_have_read_becomes_the_records_of_then)
{
    struct tri_archive *archive = crashed(7, 2);
    struct tri_finality_list lists[3] = {0};
    uint64_t records = 0;

    /* Two shards of then, three of today: an epoch's messages have come to all of them. */
    add_all(&lists[0], 7, 0, (const uint64_t[][2]){{12, 2}, {33, 3}}, 2);
    add_all(&lists[0], 7, 1, (const uint64_t[][2]){{5, 1}}, 1);
    add_all(&lists[1], 7, 0, (const uint64_t[][2]){{3, 1}, {11, 2}}, 2);
    add_all(&lists[2], 7, 1, (const uint64_t[][2]){{4, 1}, {6, 1}}, 2);
    add_all(&lists[2], 7, 0, (const uint64_t[][2]){{10, 2}, {30, 3}}, 2);
    cr_assert_eq(tri_finality_list_join(&lists[0], &lists[1], trouble), 0);
    cr_assert_eq(tri_finality_list_join(&lists[0], &lists[2], trouble), 0);
    cr_assert_eq(lists[0].count, 9);
    cr_assert_eq(lists[1].count, 0);
    cr_assert_null(lists[1].items);
    cr_assert_eq(tri_finality_list_archive(&lists[0], archive, &records, trouble), 0, "%s",
                 trouble);
    cr_expect_eq(records, 4);
    cr_expect_gt(flushes, 0);
    cr_expect_str_eq(messages(7, 0), "m3 /m10 m11 m12 /m30 m33 /");
    cr_expect_str_eq(messages(7, 1), "m4 m5 m6 /");
    cr_expect_eq(tri_archive_last(archive, 7, 0), 3);
    cr_expect_eq(tri_archive_last(archive, 7, 1), 1);
    tri_finality_list_free(&lists[0]);
    tri_archive_close(archive);
    expect_stream(7, 0, 3, 6);
    expect_stream(7, 1, 1, 3);
}

Test(keeper_finality, D04_streams_of_several_starts_are_completed_each_by_its_own)
{
    struct tri_archive *archive = crashed(7, 1);
    struct tri_finality_list list = {0};
    uint64_t records = 0;

    add_all(&list, 7, 0, (const uint64_t[][2]){{1, 1}, {2, 2}}, 2);
    cr_assert_eq(tri_finality_list_archive(&list, archive, &records, trouble), 0);
    cr_assert_eq(tri_archive_begin(archive, 9, 1, true, trouble), 0);
    tri_archive_close(archive);
    archive = opened();
    add_all(&list, 9, 0, (const uint64_t[][2]){{1, 1}}, 1);
    cr_assert_eq(tri_finality_list_archive(&list, archive, &records, trouble), 0, "%s", trouble);
    cr_expect_str_eq(messages(7, 0), "m1 /m2 /");
    cr_expect_str_eq(messages(9, 0), "m1 /");
    tri_finality_list_free(&list);
    tri_archive_close(archive);
}

Test(keeper_finality, D04_what_the_archive_has_is_not_written_again)
{
    struct tri_archive *archive = crashed(7, 1);
    struct tri_finality_list list = {0};
    struct copy before;
    uint64_t records = 0;

    add_all(&list, 7, 0, (const uint64_t[][2]){{1, 1}, {2, 1}, {3, 2}}, 3);
    cr_assert_eq(tri_finality_list_archive(&list, archive, &records, trouble), 0);
    before = copy_of("7-0.1.fin");
    cr_assert_eq(tri_finality_list_archive(&list, archive, &records, trouble), 0);
    cr_expect(is_same("7-0.1.fin", &before));
    free(before.at);
    tri_finality_list_free(&list);
    tri_archive_close(archive);
}

Test(keeper_finality, nothing_is_archived_of_an_empty_list)
{
    struct tri_archive *archive = crashed(7, 1);
    struct tri_finality_list list = {0};
    struct tri_finality_list other = {0};
    uint64_t records = 1;

    cr_assert_eq(tri_finality_list_join(&list, &other, trouble), 0);
    cr_assert_eq(tri_finality_list_archive(&list, archive, &records, trouble), 0);
    cr_expect_eq(records, 0);
    tri_finality_list_free(&list);
    tri_archive_close(archive);
    cr_expect_not(exists("7-0.1.fin"));
}

Test(keeper_finality, D04_many_records_are_kept_whole_until_all_have_been_read)
{
    struct tri_archive *archive = crashed(7, 1);
    struct tri_finality_list lists[2] = {0};
    uint64_t records = 0;
    uint64_t found = 0;

    for (uint64_t lsn = 1; lsn <= 6000; lsn++) { /* both lists grow, several times */
        cr_assert_null(add(&lists[lsn % 2], 7, 0, lsn, (lsn + 1) / 2));
    }
    cr_assert_eq(tri_finality_list_join(&lists[0], &lists[1], trouble), 0);
    cr_assert_eq(tri_finality_list_archive(&lists[0], archive, &records, trouble), 0, "%s",
                 trouble);
    cr_expect_eq(records, 3000);
    tri_finality_list_free(&lists[0]);
    tri_archive_close(archive);
    cr_expect_eq(stream_check(7, 0, &found), 3000);
    cr_expect_eq(found, 6000);
}

/* ---- what is refused ---- */

Test(keeper_finality, D04_a_record_of_an_unknown_message_is_refused)
{
    struct tri_finality_list list = {0};
    struct tri_journal_entry entry = {.epoch = 7, .record = {.lsn = 1}};
    struct tri_replayed replayed = {.oss_epoch = 1};
    const char *fault = tri_finality_list_add(&list, &entry, &replayed, &keeper);

    cr_assert_str_eq(fault,
                     "the archive lacks this primary record, and its message is not in the journal "
                     "any more; put the archive's newest copy back");
    cr_assert_eq(list.count, 0);
    tri_finality_list_free(&list);
}

Test(keeper_finality, D04_a_record_whose_target_is_not_configured_any_more_is_refused)
{
    struct tri_finality_list list = {0};
    const char *fault = NULL;

    targets[1].chain = UINT16_MAX;
    fault = add(&list, 7, 0, 1, 1);
    cr_assert_not_null(fault);
    cr_expect_not_null(strstr(fault, "configure its chain again"), "%s", fault);
    cr_expect_eq(list.count, 0);
    targets[1].chain = 1;
    cr_assert_null(add(&list, 7, 0, 1, 1));
    cr_expect_eq(list.count, 1);
    tri_finality_list_free(&list);
}

Test(keeper_finality, F08_a_stream_that_the_archive_never_had_is_refused)
{
    struct tri_archive *archive = crashed(7, 1);
    struct tri_finality_list list = {0};
    uint64_t records = 0;

    add_all(&list, 7, 0, (const uint64_t[][2]){{1, 1}}, 1);
    add_all(&list, 7, 1, (const uint64_t[][2]){{1, 1}}, 1);
    cr_assert_eq(tri_finality_list_archive(&list, archive, &records, trouble), -ENOENT);
    cr_expect_not_null(strstr(trouble, "record 1 of stream 7-1: the stream was never opened; the "
                                       "archive is older than the journal: put its newest copy "
                                       "back"),
                       "%s", trouble);
    tri_finality_list_free(&list);
    tri_archive_close(archive);
}

Test(keeper_finality, D04_a_gap_behind_what_the_archive_has_is_refused)
{
    struct tri_archive *archive = crashed(7, 1);
    struct tri_finality_list list = {0};
    uint64_t records = 0;

    add_all(&list, 7, 0, (const uint64_t[][2]){{1, 1}, {9, 3}}, 2);
    cr_assert_eq(tri_finality_list_archive(&list, archive, &records, trouble), -EEXIST);
    cr_expect_not_null(strstr(trouble, "put the archive's newest copy back"), "%s", trouble);
    tri_finality_list_free(&list);
    tri_archive_close(archive);
}

Test(keeper_finality, an_epoch_of_more_messages_than_a_record_takes_is_refused)
{
    struct tri_archive *archive = crashed(7, 1);
    struct tri_finality_list list = {0};
    uint64_t records = 0;

    for (uint64_t lsn = 1; lsn <= TRI_FINALITY_MESSAGES_MAX + 1; lsn++) {
        cr_assert_null(add(&list, 7, 0, lsn, 1));
    }
    cr_assert_eq(tri_finality_list_archive(&list, archive, &records, trouble), -EBADMSG);
    cr_expect_not_null(strstr(trouble, "stream 0 of epoch 7: ossEpoch 1 holds 4097 messages"), "%s",
                       trouble);
    tri_finality_list_free(&list);
    tri_archive_close(archive);
}
