/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The book: ids in order, whatever order they came in, and pages that begin
 * behind any id.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/chain_book.h"

static struct tri_text text(const char *at)
{
    return (struct tri_text){at, (uint32_t)strlen(at)};
}

Test(chain_book, ids_are_sorted_by_bytes_and_the_ledger_follows)
{
    static const char *const sorted[] = {"Z", "a", "ab", "b"};
    struct tri_book book = {0};
    struct tri_asset_view view;
    uint32_t cursor = 0;

    cr_assert_null(tri_book_collect(&book, text("b")));
    cr_assert_null(tri_book_collect(&book, text("ab")));
    cr_assert_null(tri_book_collect(&book, text("Z")));
    cr_assert_null(tri_book_collect(&book, text("a")));
    cr_assert_null(tri_book_open(&book, 7));
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert(tri_ledger_next(book.ledger, &cursor, &view));
        cr_assert_eq(view.id.bytes, strlen(sorted[i]));
        cr_assert_eq(memcmp(view.id.at, sorted[i], view.id.bytes), 0);
        cr_assert_eq(view.state, TRI_LOCK_AVAILABLE);
    }
    cr_assert_not(tri_ledger_next(book.ledger, &cursor, &view));
    cr_assert_eq(tri_book_after(&book, text("")), 0);
    cr_assert_eq(tri_book_after(&book, text("Z")), 1);
    cr_assert_eq(tri_book_after(&book, text("aa")), 2);
    cr_assert_eq(tri_book_after(&book, text("b")), 4);
}

Test(chain_book, a_series_is_numbered_with_six_digits)
{
    struct tri_book book = {0};

    cr_assert_null(tri_book_collect_series(&book, "bond-", 12));
    cr_assert_null(tri_book_open(&book, 1));
    cr_assert_eq(book.count, 12);
    cr_assert_str_eq(book.ids[11].at, "bond-000011");
}

Test(chain_book, what_is_no_set_of_ids_is_refused)
{
    static const char long_id[] =
        "0123456789012345678901234567890123456789012345678901234567890123"
        "01234567890123456789012345678901234567890123456789012345678901234";
    struct tri_book book = {0};

    cr_assert_not_null(tri_book_open(&book, 1), "no assets");
    cr_assert_not_null(tri_book_collect(&book, text("")));
    cr_assert_not_null(tri_book_collect(&book, text("\xff")));
    cr_assert_not_null(tri_book_collect(&book, text(long_id)), "129 bytes");
    cr_assert_null(tri_book_collect(&book, text("twice")));
    cr_assert_null(tri_book_collect(&book, text("twice")));
    cr_assert_not_null(tri_book_open(&book, 1));
}

Test(chain_book, a_file_has_an_id_on_each_line)
{
    char path[] = "/tmp/test_chain_book_XXXXXX";
    static const char lines[] = "# assets\none\n\ntwo";
    struct tri_book book = {0};
    uint32_t line;
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, lines, sizeof(lines) - 1), (ssize_t)sizeof(lines) - 1);
    cr_assert_null(tri_book_collect_file(&book, path, &line));
    cr_assert_eq(book.count, 2);
    cr_assert_str_eq(book.ids[1].at, "two");
    cr_assert_eq(write(fd, "\n\xff\n", 3), 3);
    cr_assert_not_null(tri_book_collect_file(&book, path, &line));
    cr_assert_eq(line, 5);
    (void)close(fd);
    (void)unlink(path);
    cr_assert_not_null(tri_book_collect_file(&book, path, &line));
    cr_assert_eq(line, 0);
}
