/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an asset's chains are those of its own entry, else of the longest
 * matching prefix, and the union over a message's assets is ordered and bounded.
 *
 * Method: maps written out by hand with their literal answers; then a random
 * map over a small alphabet, where every asset is also resolved by comparing
 * it with every entry.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/location.h"

static struct tri_text text_of(const char *at)
{
    return (struct tri_text){at, (uint32_t)strlen(at)};
}

static struct tri_location *build(const struct tri_engine_location *entries, uint32_t count,
                                  uint32_t *duplicate)
{
    size_t bytes = tri_location_footprint(count);
    void *memory = malloc(bytes);

    cr_assert_neq(bytes, 0);
    cr_assert_not_null(memory);
    memset(memory, 0xa5, bytes);
    return tri_location_init(memory, entries, count, duplicate);
}

static struct tri_location *open_location(const struct tri_engine_location *entries, uint32_t count)
{
    uint32_t duplicate = 0;
    struct tri_location *location = build(entries, count, &duplicate);

    cr_assert_not_null(location, "entry %u", duplicate);
    return location;
}

static const uint16_t chains_a[] = {3, 5};
static const uint16_t chains_b[] = {1, 3, 900};
static const uint16_t chains_c[] = {7};
static const uint16_t chains_d[] = {2, 1023};

/* Resolves and writes the answer as "1 3 5", or as the name of the error. */
static const char *answer(const struct tri_location *location, const char *const *assets,
                          uint32_t asset_count)
{
    static char line[1024];
    struct tri_text texts[TRI_ASSETS_MAX];
    uint16_t chains[TRI_TARGETS_MAX];
    uint32_t count = 0;
    size_t used = 0;
    enum tri_error error;
    uint32_t i;

    for (i = 0; i < asset_count; i++) {
        texts[i] = text_of(assets[i]);
    }
    error = tri_location_resolve(location, texts, asset_count, chains, &count);
    if (error == TRI_ERROR_LOCATION_UNKNOWN) {
        return "LOCATION_UNKNOWN";
    }
    if (error == TRI_ERROR_TOO_MANY_TARGETS) {
        return "TOO_MANY_TARGETS";
    }
    cr_assert_eq(error, TRI_ERROR_NONE);
    line[0] = '\0';
    for (i = 0; i < count; i++) {
        used +=
            (size_t)snprintf(line + used, sizeof(line) - used, i == 0 ? "%u" : " %u", chains[i]);
    }
    return line;
}

static const char *answer_one(const struct tri_location *location, const char *asset)
{
    return answer(location, &asset, 1);
}

Test(location, H02_an_exact_entry_beats_every_prefix_and_the_longest_prefix_wins)
{
    static const struct tri_engine_location entries[] = {
        {{"bond*", 5}, chains_a, 2},
        {{"bond-eu*", 8}, chains_b, 3},
        {{"bond-eu-1", 9}, chains_c, 1},
    };
    struct tri_location *location = open_location(entries, 3);

    cr_assert_str_eq(answer_one(location, "bond-eu-1"), "7");
    cr_assert_str_eq(answer_one(location, "bond-eu-12"), "1 3 900");
    cr_assert_str_eq(answer_one(location, "bond-eu"), "1 3 900");
    cr_assert_str_eq(answer_one(location, "bond-e"), "3 5");
    cr_assert_str_eq(answer_one(location, "bond"), "3 5");
    cr_assert_str_eq(answer_one(location, "bon"), "LOCATION_UNKNOWN");
    cr_assert_str_eq(answer_one(location, "share-1"), "LOCATION_UNKNOWN");
    free(location);
}

Test(location, a_star_alone_matches_every_asset)
{
    static const struct tri_engine_location entries[] = {
        {{"*", 1}, chains_d, 2},
        {{"x*", 2}, chains_c, 1},
    };
    struct tri_location *location = open_location(entries, 2);

    cr_assert_str_eq(answer_one(location, "anything"), "2 1023");
    cr_assert_str_eq(answer_one(location, ""), "2 1023");
    cr_assert_str_eq(answer_one(location, "xyz"), "7");
    free(location);
}

Test(location, a_star_elsewhere_stands_for_itself)
{
    static const struct tri_engine_location entries[] = {
        {{"a*b", 3}, chains_a, 2},
        {{"c**", 3}, chains_c, 1},
    };
    struct tri_location *location = open_location(entries, 2);

    cr_assert_str_eq(answer_one(location, "a*b"), "3 5");
    cr_assert_str_eq(answer_one(location, "axb"), "LOCATION_UNKNOWN");
    cr_assert_str_eq(answer_one(location, "c*x"), "7");
    cr_assert_str_eq(answer_one(location, "cx"), "LOCATION_UNKNOWN");
    free(location);
}

Test(location, A04_all_chains_is_the_ordered_union_without_repeats)
{
    static const struct tri_engine_location entries[] = {
        {{"a", 1}, chains_a, 2},
        {{"b", 1}, chains_b, 3},
        {{"c", 1}, chains_c, 1},
        {{"d", 1}, chains_d, 2},
    };
    static const char *const forward[] = {"a", "b", "c", "d"};
    static const char *const backward[] = {"d", "c", "b", "a", "a"};
    struct tri_location *location = open_location(entries, 4);

    cr_assert_str_eq(answer(location, forward, 4), "1 2 3 5 7 900 1023");
    cr_assert_str_eq(answer(location, backward, 5), "1 2 3 5 7 900 1023");
    cr_assert_str_eq(answer(location, forward, 2), "1 3 5 900");
    free(location);
}

Test(location, A04_an_asset_without_entry_or_no_asset_at_all_is_refused)
{
    static const struct tri_engine_location entries[] = {{{"a", 1}, chains_a, 2}};
    static const char *const assets[] = {"a", "b"};
    struct tri_location *location = open_location(entries, 1);
    struct tri_location *empty = open_location(NULL, 0);

    cr_assert_str_eq(answer(location, assets, 2), "LOCATION_UNKNOWN");
    cr_assert_str_eq(answer(location, assets, 0), "LOCATION_UNKNOWN");
    cr_assert_str_eq(answer(empty, assets, 1), "LOCATION_UNKNOWN");
    free(location);
    free(empty);
}

Test(location, A04_sixty_four_chains_pass_and_one_more_is_refused)
{
    static uint16_t many[64];
    static const uint16_t one_of_them[] = {63};
    static const uint16_t another[] = {64};
    struct tri_engine_location entries[] = {
        {{"a", 1}, many, 64},
        {{"b", 1}, one_of_them, 1},
        {{"c", 1}, another, 1},
    };
    static const char *const good[] = {"a", "b"};
    static const char *const bad[] = {"c", "a"};
    struct tri_text texts[2] = {text_of("a"), text_of("b")};
    uint16_t chains[TRI_TARGETS_MAX];
    uint32_t count = 0;
    struct tri_location *location;
    uint16_t i;

    for (i = 0; i < 64; i++) {
        many[i] = i;
    }
    location = open_location(entries, 3);
    cr_assert_eq(tri_location_resolve(location, texts, 2, chains, &count), TRI_ERROR_NONE);
    cr_assert_eq(count, 64);
    cr_assert_arr_eq(chains, many, sizeof(many));
    cr_assert_str_eq(answer(location, good, 2) + 172, " 61 62 63");
    cr_assert_str_eq(answer(location, bad, 2), "TOO_MANY_TARGETS");
    free(location);
}

Test(location, ids_and_prefixes_of_the_greatest_length)
{
    char id[129];
    char prefix[129];
    struct tri_engine_location entries[] = {
        {{id, 128}, chains_a, 2},
        {{prefix, 128}, chains_c, 1},
    };
    struct tri_location *location;

    memset(id, 'x', 128);
    id[128] = '\0';
    memset(prefix, 'x', 127);
    prefix[127] = '*';
    prefix[128] = '\0';
    location = open_location(entries, 2);
    cr_assert_str_eq(answer_one(location, id), "3 5");
    id[127] = 'y';
    cr_assert_str_eq(answer_one(location, id), "7");
    id[126] = 'y';
    cr_assert_str_eq(answer_one(location, id), "LOCATION_UNKNOWN");
    free(location);
}

Test(location, a_repeated_pattern_is_named)
{
    static const struct tri_engine_location entries[] = {
        {{"a", 1}, chains_a, 2}, {{"a*", 2}, chains_a, 2}, {{"b", 1}, chains_a, 2},
        {{"*", 1}, chains_a, 2}, {{"a*", 2}, chains_c, 1}, {{"a", 1}, chains_c, 1},
    };
    uint32_t duplicate = 99;
    size_t bytes = tri_location_footprint(6);
    void *memory = malloc(bytes);

    cr_assert_not_null(memory);
    cr_assert_null(tri_location_init(memory, entries, 6, &duplicate));
    cr_assert_eq(duplicate, 4);
    duplicate = 99;
    cr_assert_not_null(tri_location_init(memory, entries, 4, &duplicate));
    cr_assert_eq(duplicate, 99);
    free(memory);
}

Test(location, an_entry_out_of_form_is_named_with_its_rule)
{
    static const uint16_t too_high[] = {1024};
    static const uint16_t descending[] = {2, 1};
    static const uint16_t repeated[] = {2, 2};
    static const struct tri_engine_location good = {{"a", 1}, chains_a, 2};
    struct tri_engine_location entry = good;

    cr_assert_null(tri_location_check(&entry));
    entry.pattern.bytes = 0;
    cr_assert_str_eq(tri_location_check(&entry), "a pattern has 1 to 128 bytes");
    entry.pattern.bytes = 129;
    cr_assert_str_eq(tri_location_check(&entry), "a pattern has 1 to 128 bytes");
    entry = good;
    entry.chain_count = 0;
    cr_assert_str_eq(tri_location_check(&entry), "an entry has 1 to 64 chains");
    entry.chain_count = 65;
    cr_assert_str_eq(tri_location_check(&entry), "an entry has 1 to 64 chains");
    entry.chains = too_high;
    entry.chain_count = 1;
    cr_assert_str_eq(tri_location_check(&entry), "a chain index is below 1024");
    entry.chain_count = 2;
    entry.chains = descending;
    cr_assert_str_eq(tri_location_check(&entry), "the chains of an entry are ascending");
    entry.chains = repeated;
    cr_assert_str_eq(tri_location_check(&entry), "the chains of an entry are ascending");
    cr_assert_eq(tri_location_footprint(TRI_LOCATION_ENTRIES_MAX + 1), 0);
}

Test(location, a_hundred_thousand_entries_are_all_found)
{
    enum { ENTRIES = 100000 };
    static char names[ENTRIES][16];
    static struct tri_engine_location entries[ENTRIES];
    struct tri_location *location;
    uint32_t i;

    for (i = 0; i < ENTRIES; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "asset-%07u", i);
        entries[i].pattern = text_of(names[i]);
        entries[i].chains = chains_c;
        entries[i].chain_count = 1;
    }
    location = open_location(entries, ENTRIES);
    for (i = 0; i < ENTRIES; i++) {
        cr_assert_eq(tri_location_find(location, entries[i].pattern), &entries[i]);
    }
    cr_assert_null(tri_location_find(location, text_of("asset-0100000")));
    free(location);
}

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* The definition, word for word. */
static const struct tri_engine_location *find_slowly(const struct tri_engine_location *entries,
                                                     uint32_t count, struct tri_text asset)
{
    const struct tri_engine_location *best = NULL;
    uint32_t i;

    for (i = 0; i < count; i++) {
        const struct tri_text *pattern = &entries[i].pattern;
        bool wild = pattern->at[pattern->bytes - 1] == '*';

        if (!wild) {
            if (pattern->bytes == asset.bytes && memcmp(pattern->at, asset.at, asset.bytes) == 0) {
                return &entries[i];
            }
        } else if (pattern->bytes - 1 <= asset.bytes &&
                   memcmp(pattern->at, asset.at, pattern->bytes - 1) == 0 &&
                   (best == NULL || best->pattern.bytes < pattern->bytes)) {
            best = &entries[i];
        }
    }
    return best;
}

Test(location, random_maps_agree_with_the_definition)
{
    static char names[300][8];
    static struct tri_engine_location entries[300];
    uint64_t state = 23;
    uint32_t story;

    for (story = 0; story < 200; story++) {
        uint32_t count = 0;
        struct tri_location *location;
        uint32_t i;

        for (i = 0; i < 1 + story; i++) {
            uint32_t bytes = (uint32_t)(random_next(&state) % 6);
            uint32_t duplicate = TRI_NONE_INDEX;
            uint32_t k;

            for (k = 0; k < bytes; k++) {
                names[count][k] = "ab"[random_next(&state) % 2];
            }
            if (bytes == 0 || random_next(&state) % 2 == 0) {
                names[count][bytes++] = '*';
            }
            entries[count] = (struct tri_engine_location){{names[count], bytes}, chains_a, 2};
            location = build(entries, count + 1, &duplicate);
            for (k = 0; k < count; k++) {
                if (entries[k].pattern.bytes == bytes &&
                    memcmp(entries[k].pattern.at, names[count], bytes) == 0) {
                    break;
                }
            }
            cr_assert_eq(location == NULL, k < count);
            cr_assert_eq(duplicate, k < count ? count : TRI_NONE_INDEX);
            count += k == count;
            free(location);
        }
        location = open_location(entries, count);
        for (i = 0; i < 500; i++) {
            char asset[8];
            struct tri_text text = {asset, (uint32_t)(random_next(&state) % 8)};
            uint32_t k;

            for (k = 0; k < text.bytes; k++) {
                asset[k] = "ab*"[random_next(&state) % 16 / 7];
            }
            cr_assert_eq(tri_location_find(location, text), find_slowly(entries, count, text),
                         "story %u asset %.*s", story, (int)text.bytes, asset);
        }
        free(location);
    }
}
