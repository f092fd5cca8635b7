/* SPDX-License-Identifier: Apache-2.0 */
#include "io/chain_book.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "engine/limits.h"
#include "engine/wire.h"

#define SERIES_DIGITS 8U /* of a count up to 2^24 */

const char *tri_book_collect(struct tri_book *book, struct tri_text id)
{
    assert(book != NULL);
    assert(book->ledger == NULL);
    if (id.bytes == 0U || id.bytes > TRI_ASSET_ID_BYTES_MAX || !tri_text_is_utf8(id)) {
        return "an asset id has 1 to 128 bytes of UTF-8";
    }
    if (book->count == TRI_BOOK_ASSETS_MAX) {
        return "at most 16777216 assets";
    }
    if (book->count == book->capacity) {
        uint32_t capacity = book->capacity == 0U ? 64U : book->capacity * 2U;
        struct tri_text *ids = reallocarray(book->ids, capacity, sizeof(*ids));

        if (ids == NULL) {
            return "no memory for the assets";
        }
        book->ids = ids;
        book->capacity = capacity;
    }
    book->ids[book->count++] = id;
    return NULL;
}

const char *tri_book_collect_series(struct tri_book *book, const char *prefix, uint32_t count)
{
    size_t stride = strlen(prefix) + SERIES_DIGITS + 1U;
    const char *wrong = NULL;

    assert(count > 0U);
    assert(book->series == NULL);
    book->series = calloc(count, stride);
    if (book->series == NULL) {
        return "no memory for the assets";
    }
    for (uint32_t i = 0; i < count && wrong == NULL; i++) {
        char *name = book->series + i * stride;

        (void)snprintf(name, stride, "%s%06u", prefix, i);
        wrong = tri_book_collect(book, (struct tri_text){name, (uint32_t)strlen(name)});
    }
    return wrong;
}

const char *tri_book_collect_file(struct tri_book *book, const char *path, uint32_t *line)
{
    FILE *file = fopen(path, "re");
    const char *wrong = NULL;
    char *text = NULL;
    size_t room = 0;
    ssize_t bytes;

    *line = 0;
    if (file == NULL) {
        return strerror(errno);
    }
    while (wrong == NULL && (bytes = getline(&text, &room, file)) >= 0) {
        char *id;

        (*line)++;
        if (bytes > 0 && text[bytes - 1] == '\n') {
            text[--bytes] = '\0';
        }
        if (bytes == 0 || text[0] == '#') {
            continue;
        }
        if (bytes > (ssize_t)TRI_ASSET_ID_BYTES_MAX) {
            wrong = "an asset id has 1 to 128 bytes of UTF-8";
            break;
        }
        id = strdup(text);
        wrong = id == NULL ? "no memory for the assets"
                           : tri_book_collect(book, (struct tri_text){id, (uint32_t)bytes});
    }
    free(text);
    (void)fclose(file);
    return wrong;
}

static int id_compare(const void *a, const void *b)
{
    const struct tri_text *one = a;
    const struct tri_text *other = b;
    uint32_t common = one->bytes < other->bytes ? one->bytes : other->bytes;
    int order = memcmp(one->at, other->at, common);

    if (order != 0) {
        return order;
    }
    return (one->bytes > other->bytes) - (one->bytes < other->bytes);
}

const char *tri_book_open(struct tri_book *book, uint64_t seed)
{
    struct tri_ledger_options options = {.assets_max = book->count, .asset_id_bytes_max = 8};
    size_t footprint;
    void *memory;

    assert(book->ledger == NULL);
    if (book->count == 0U) {
        return "a chain needs at least one asset";
    }
    book->seed = seed;
    qsort(book->ids, book->count, sizeof(*book->ids), id_compare);
    for (uint32_t i = 0; i < book->count; i++) {
        if (i > 0U && id_compare(&book->ids[i - 1U], &book->ids[i]) == 0) {
            return "an asset id is named twice";
        }
        if (book->ids[i].bytes > options.asset_id_bytes_max) {
            options.asset_id_bytes_max = book->ids[i].bytes;
        }
    }
    footprint = tri_ledger_footprint(&options);
    assert(footprint > 0U);
    memory = aligned_alloc(TRI_CACHE_LINE, footprint);
    if (memory == NULL) {
        return "no memory for the ledger";
    }
    book->ledger = tri_ledger_init(memory, &options);
    for (uint32_t i = 0; i < book->count; i++) {
        enum tri_result added =
            tri_ledger_add(book->ledger, tri_book_hash(book, book->ids[i]), book->ids[i]);

        assert(added == TRI_OK);
    }
    return NULL;
}

uint64_t tri_book_hash(const struct tri_book *book, struct tri_text asset)
{
    return XXH3_64bits_withSeed(asset.at, asset.bytes, book->seed);
}

uint32_t tri_book_after(const struct tri_book *book, struct tri_text after)
{
    uint32_t low = 0;
    uint32_t high = book->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2U;

        if (id_compare(&book->ids[middle], &after) > 0) {
            high = middle;
        } else {
            low = middle + 1U;
        }
    }
    return low;
}
