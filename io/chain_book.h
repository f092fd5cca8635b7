/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Book: a chain's asset ids and the ledger of their states.
 *
 * The ids are sorted when the book is opened and added to the ledger in that
 * order, so the ledger's cursor is the position in the sorted list and a page
 * of the ledger can start behind any id.
 *
 * Memory is acquired by tri_book_open() and the collecting calls before it;
 * afterwards nothing grows.
 *
 * Threads: one at a time.
 */
#ifndef TRI_IO_CHAIN_BOOK_H
#define TRI_IO_CHAIN_BOOK_H

#include "engine/ledger.h"

#define TRI_BOOK_ASSETS_MAX (UINT32_C(1) << 24)

struct tri_book {
    struct tri_text *ids; /* sorted by bytes once open */
    uint32_t count;
    uint32_t capacity;
    uint64_t seed; /* of the hash of asset ids */
    char *series;  /* the generated ids */
    struct tri_ledger *ledger;
};

/* tri_book_collect adds an id, borrowed for the book's life.  Returns NULL, or a static sentence
 * that says what is wrong. */
const char *tri_book_collect(struct tri_book *book, struct tri_text id);
/* tri_book_collect_series adds prefix000000, prefix000001, ...; `count` >= 1; once for a book. */
const char *tri_book_collect_series(struct tri_book *book, const char *prefix, uint32_t count);
/* tri_book_collect_file adds a file's lines; empty lines and lines that begin with '#' are skipped.
 * *line is the line of the mistake, 0 if the file cannot be read. */
const char *tri_book_collect_file(struct tri_book *book, const char *path, uint32_t *line);

/* tri_book_open sorts the ids and makes the ledger, every asset AVAILABLE.  Returns NULL, or a
 * static sentence: no assets, an id twice, no memory. */
const char *tri_book_open(struct tri_book *book, uint64_t seed);

uint64_t tri_book_hash(const struct tri_book *book, struct tri_text asset);

/* tri_book_after returns the position of the first id greater than `after`; count if there is none.
 */
uint32_t tri_book_after(const struct tri_book *book, struct tri_text after);

#endif
