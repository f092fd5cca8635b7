/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a leaf and a header are exactly one run of bytes each, and a path proves that a leaf is in
 * a tree at its place and nothing else.
 *
 * Method: the roots of Certificate Transparency's test vectors; all paths of all trees up to 64
 * leaves, and what is beside them; every truncation and every flipped bit of leaves and headers
 * that use each field.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "shards/finality.h"

static struct tri_text text_of(const char *text)
{
    return (struct tri_text){text, (uint32_t)strlen(text)};
}

static void expect_hex(const uint8_t *bytes, uint32_t count, const char *hex)
{
    char found[256];

    cr_assert_lt(2 * count, sizeof(found));
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(found + (size_t)2 * i, 3, "%02x", bytes[i]);
    }
    cr_expect_str_eq(found, hex);
}

/* ---- the tree ---- */

/* The leaves of Certificate Transparency's own tests. */
static const struct {
    const char *bytes;
    uint32_t count;
} ct_leaves[8] = {
    {"", 0},
    {"\x00", 1},
    {"\x10", 1},
    {"\x20\x21", 2},
    {"\x30\x31", 2},
    {"\x40\x41\x42\x43", 4},
    {"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
    {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16},
};

static const char *const ct_roots[8] = {
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

Test(finality, F02_roots_are_those_of_certificate_transparency)
{
    struct tri_tree tree;

    tri_tree_init(&tree);
    for (uint32_t i = 0; i < 8; i++) {
        uint8_t hash[TRI_DIGEST_BYTES];

        tri_tree_leaf((struct tri_bytes){(const uint8_t *)ct_leaves[i].bytes, ct_leaves[i].count},
                      hash);
        tri_tree_add(&tree, hash);
        tri_tree_root(&tree, hash);
        expect_hex(hash, sizeof(hash), ct_roots[i]);
    }
}

/* RFC 6962's example: leaf 0 of 8, leaf 5 of 8, leaf 2 of 3 and leaf 1 of 5. */
Test(finality, F02_paths_are_those_of_certificate_transparency)
{
    static const struct {
        uint32_t index;
        uint32_t count;
        const char *path[4];
    } cases[] = {
        {0,
         8,
         {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
          "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
          "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
        {5,
         8,
         {"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
          "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
          "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
        {2, 3, {"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"}},
        {1,
         5,
         {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
          "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
          "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}},
    };
    uint8_t leaves[8][TRI_DIGEST_BYTES];
    uint8_t path[TRI_FINALITY_PATH_MAX][TRI_DIGEST_BYTES];

    for (uint32_t i = 0; i < 8; i++) {
        tri_tree_leaf((struct tri_bytes){(const uint8_t *)ct_leaves[i].bytes, ct_leaves[i].count},
                      leaves[i]);
    }
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t steps = tri_tree_path((const uint8_t(*)[TRI_DIGEST_BYTES])leaves, cases[i].count,
                                       cases[i].index, path);
        uint32_t expected = 0;

        for (; cases[i].path[expected] != NULL; expected++) {
            expect_hex(path[expected], TRI_DIGEST_BYTES, cases[i].path[expected]);
        }
        cr_expect_eq(steps, expected);
    }
}

static uint8_t many[TRI_FINALITY_MESSAGES_MAX][TRI_DIGEST_BYTES];

static void many_make(uint32_t count, uint8_t root[TRI_DIGEST_BYTES])
{
    struct tri_tree tree;

    tri_tree_init(&tree);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t leaf[2] = {(uint8_t)(i >> 8), (uint8_t)i};

        tri_tree_leaf((struct tri_bytes){leaf, sizeof(leaf)}, many[i]);
        tri_tree_add(&tree, many[i]);
    }
    tri_tree_root(&tree, root);
}

static bool verify(uint32_t leaf, uint32_t index, uint32_t count,
                   const uint8_t (*path)[TRI_DIGEST_BYTES], uint32_t steps,
                   const uint8_t root[TRI_DIGEST_BYTES])
{
    return tri_tree_verify(many[leaf], index, count, path, steps, root);
}

Test(finality, F02_a_path_proves_its_leaf_at_its_place_and_no_other)
{
    uint8_t root[TRI_DIGEST_BYTES];
    uint8_t path[TRI_FINALITY_PATH_MAX][TRI_DIGEST_BYTES];
    const uint8_t(*way)[TRI_DIGEST_BYTES] = (const uint8_t(*)[TRI_DIGEST_BYTES])path;

    for (uint32_t count = 1; count <= 64; count++) {
        many_make(count, root);
        for (uint32_t index = 0; index < count; index++) {
            uint32_t steps =
                tri_tree_path((const uint8_t(*)[TRI_DIGEST_BYTES])many, count, index, path);

            cr_assert(verify(index, index, count, way, steps, root), "%u of %u", index, count);
            for (uint32_t other = 0; other < 2 * count; other++) {
                if (other != index) {
                    cr_assert_not(verify(index, other, count, way, steps, root), "%u as %u of %u",
                                  index, other, count);
                    cr_assert_not(verify(other % count == index ? (index + 1) % 64 : other % count,
                                         index, count, way, steps, root));
                }
            }
            cr_assert_not(verify(index, index, count, way, steps + 1, root));
            if (steps > 0) {
                cr_assert_not(verify(index, index, count, way, steps - 1, root));
            }
            for (uint32_t bit = 0; bit < steps * 256; bit += 31) {
                path[bit / 256][bit % 256 / 8] ^= (uint8_t)(1U << bit % 8);
                cr_assert_not(verify(index, index, count, way, steps, root));
                path[bit / 256][bit % 256 / 8] ^= (uint8_t)(1U << bit % 8);
            }
        }
    }
}

/* A size is told from another where the path or the way along it differs: the header, which is
 * signed, has it. */
Test(finality, F02_no_path_proves_anything_in_an_empty_tree_or_beyond_its_end)
{
    uint8_t root[TRI_DIGEST_BYTES];
    uint8_t path[40][TRI_DIGEST_BYTES] = {{0}};

    many_make(1, root);
    cr_expect(verify(0, 0, 1, NULL, 0, root));
    cr_expect_not(verify(0, 0, 0, NULL, 0, root));
    cr_expect_not(verify(0, 1, 1, NULL, 0, root));
    cr_expect_not(verify(0, 0, 2, NULL, 0, root));
    cr_expect_not(
        verify(0, UINT32_MAX, UINT32_MAX, (const uint8_t(*)[TRI_DIGEST_BYTES])path, 40, root));
    cr_expect_not(
        verify(0, UINT32_MAX - 1, UINT32_MAX, (const uint8_t(*)[TRI_DIGEST_BYTES])path, 40, root));
}

Test(finality, F02_the_largest_tree_has_paths_of_12)
{
    uint8_t root[TRI_DIGEST_BYTES];
    uint8_t path[TRI_FINALITY_PATH_MAX][TRI_DIGEST_BYTES];
    static const uint32_t indices[] = {0, 1, 2047, 2048, 4095};

    many_make(4096, root);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(
            tri_tree_path((const uint8_t(*)[TRI_DIGEST_BYTES])many, 4096, indices[i], path), 12);
        cr_expect(verify(indices[i], indices[i], 4096, (const uint8_t(*)[TRI_DIGEST_BYTES])path, 12,
                         root));
    }
    many_make(4095, root);
    cr_assert_eq(tri_tree_path((const uint8_t(*)[TRI_DIGEST_BYTES])many, 4095, 4094, path), 11);
    cr_expect(verify(4094, 4094, 4095, (const uint8_t(*)[TRI_DIGEST_BYTES])path, 11, root));
}

/* ---- leaves ---- */

static struct tri_leaf leaf_make(uint64_t applied)
{
    struct tri_leaf leaf = {.id = text_of("0190c1f3-7d50-7e3c-8a21-5f2b9d1c0e47"),
                            .hash = {{0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff}},
                            .attempt = TRI_ATTEMPT(3, 70000),
                            .issued_at_ms = UINT64_C(1795256430123),
                            .chain_count = 3,
                            .applied = applied,
                            .is_forced = applied == 6};

    leaf.chains[0] = text_of("eip155:10");
    leaf.chains[1] = text_of("cosmos:cosmoshub-4");
    leaf.chains[2] = text_of("eip155:1");
    return leaf;
}

static bool leaf_get(const uint8_t *bytes, uint32_t count, struct tri_leaf *leaf)
{
    const char *fault = NULL;
    bool is_leaf = tri_leaf_get((struct tri_bytes){bytes, count}, leaf, &fault);

    cr_assert(is_leaf || (fault != NULL && strlen(fault) > 10), "a refusal says why");
    return is_leaf;
}

Test(finality, F01_a_leaf_is_these_bytes)
{
    struct tri_leaf leaf = leaf_make(7);
    uint8_t bytes[TRI_LEAF_BYTES_MAX];
    uint32_t count = tri_leaf_put(&leaf, bytes);

    expect_hex(
        bytes, count,
        "97d92430313930633166332d376435302d376533632d386132312d356632623964316330653437"
        "c410a00102030405060708090a0b0c0d0eff9203ce00011170cf000001a1fd9f2e2b"
        "93a96569703135353a3130b2636f736d6f733a636f736d6f736875622d34a86569703135353a31c0c2");
    cr_expect_not(tri_leaf_is_forced((struct tri_bytes){bytes, count}));
    leaf.applied = 5;
    leaf.is_forced = true;
    count = tri_leaf_put(&leaf, bytes);
    expect_hex(bytes + count - 21, 21, "92a96569703135353a3130a86569703135353a31c3");
    cr_expect(tri_leaf_is_forced((struct tri_bytes){bytes, count}));
    cr_expect_not(tri_leaf_is_forced((struct tri_bytes){bytes, 0}));
}

static void expect_same_leaf(const struct tri_leaf *one, const struct tri_leaf *other)
{
    cr_expect_eq(tri_finality_chain_order(one->id, other->id), 0);
    cr_expect_eq(memcmp(one->hash.at, other->hash.at, 16), 0);
    cr_expect_eq(one->attempt, other->attempt);
    cr_expect_eq(one->issued_at_ms, other->issued_at_ms);
    cr_expect_eq(one->applied, other->applied);
    cr_expect_eq(one->is_forced, other->is_forced);
    cr_assert_eq(one->chain_count, other->chain_count);
    for (uint32_t i = 0; i < one->chain_count; i++) {
        cr_expect_eq(tri_finality_chain_order(one->chains[i], other->chains[i]), 0);
    }
}

Test(finality, F01_a_leaf_is_read_as_it_was_written)
{
    for (uint64_t applied = 1; applied <= 7; applied++) {
        struct tri_leaf leaf = leaf_make(applied);
        struct tri_leaf again;
        uint8_t bytes[TRI_LEAF_BYTES_MAX];
        uint32_t count = tri_leaf_put(&leaf, bytes);

        cr_assert(leaf_get(bytes, count, &again));
        expect_same_leaf(&leaf, &again);
    }
}

Test(finality, F01_the_largest_leaf_fits)
{
    struct tri_leaf leaf = leaf_make(0);
    struct tri_leaf again;
    char names[TRI_TARGETS_MAX][TRI_CHAIN_ID_BYTES_MAX + 1];
    uint8_t bytes[TRI_LEAF_BYTES_MAX];
    uint32_t count = 0;

    leaf.id = text_of("0123456789012345678901234567890123456789012345678901234567890123");
    leaf.attempt = UINT64_MAX;
    leaf.issued_at_ms = UINT64_MAX;
    leaf.chain_count = TRI_TARGETS_MAX;
    leaf.applied = UINT64_MAX - 1;
    for (uint32_t i = 0; i < TRI_TARGETS_MAX; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "abcdefgh:%032u", i);
        leaf.chains[i] = text_of(names[i]);
    }
    count = tri_leaf_put(&leaf, bytes);
    cr_expect_eq(count, 5573);
    cr_assert(leaf_get(bytes, count, &again));
    expect_same_leaf(&leaf, &again);
    leaf.applied = UINT64_MAX;
    count = tri_leaf_put(&leaf, bytes);
    cr_assert(leaf_get(bytes, count, &again));
    cr_expect_eq(again.applied, UINT64_MAX);
}

/* No two runs of bytes may mean the same: what is read is written as it was. */
static void expect_leaf_is_strict(uint8_t *bytes, uint32_t count)
{
    struct tri_leaf leaf;
    uint8_t again[TRI_LEAF_BYTES_MAX];
    uint32_t read = 0;

    for (uint32_t cut = 0; cut < count; cut++) {
        cr_expect_not(leaf_get(bytes, cut, &leaf), "%u of %u bytes", cut, count);
    }
    for (uint32_t bit = 0; bit < count * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        if (leaf_get(bytes, count, &leaf)) {
            read++;
            cr_assert_eq(tri_leaf_put(&leaf, again), count, "bit %u", bit);
            cr_assert_eq(memcmp(again, bytes, count), 0, "bit %u", bit);
        }
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    cr_expect_gt(read, 200, "other ids, hashes, attempts and times are leaves too");
}

Test(finality, F01_a_leaf_cut_short_is_none_and_a_changed_one_is_another)
{
    for (uint64_t applied = 5; applied <= 7; applied++) {
        struct tri_leaf leaf = leaf_make(applied);
        uint8_t bytes[TRI_LEAF_BYTES_MAX];

        expect_leaf_is_strict(bytes, tri_leaf_put(&leaf, bytes));
    }
}

Test(finality, F01_a_second_form_of_a_leaf_is_refused)
{
    static const struct {
        const char *bytes;
        uint32_t count;
        const char *fault;
    } cases[] = {
    /* clang-format off */
#define CASE(bytes, fault) {bytes, sizeof(bytes) - 1, fault}
#define HEAD "\x97\xa1x\xc4\x10" "0123456789abcdef"
#define TWO  HEAD "\x92\x01\x01\x05\x92\xa5" "aaa:1\xa5" "aaa:2"
        CASE(TWO "\xc0\xc2", NULL),
        CASE(TWO "\x91\xa5" "aaa:2\xc3", NULL),
        CASE(TWO "\xc0\xc0", "forced"),
        CASE(TWO "\xc0\x01", "forced"),
        CASE(TWO "\x92\xa5" "aaa:1\xa5" "aaa:2", "appliedChains"), /* all of them are null */
        CASE(TWO "\x90", "appliedChains"),
        CASE(TWO "\x91\xa5" "aaa:3", "appliedChains"),
        CASE(TWO "\x92\xa5" "aaa:2\xa5" "aaa:2", "appliedChains"),
        CASE(HEAD "\x92\x01\x01\x05\x93\xa5" "aaa:1\xa5" "aaa:2\xa5" "aaa:3" /* not in order */
             "\x92\xa5" "aaa:2\xa5" "aaa:1", "appliedChains"),
        CASE(HEAD "\x92\x01\x01\x05\x92\xa5" "aaa:1\xa5" "aaa:1\xc0", "participatingChains"),
        CASE(HEAD "\x92\x01\x01\x05\x90\xc0", "participatingChains"),
        CASE(HEAD "\x92\x00\x01\x05\x91\xa5" "aaa:1\xc0", "attempt"),
        CASE(HEAD "\x92\x01\x00\x05\x91\xa5" "aaa:1\xc0", "attempt"),
        CASE(HEAD "\x92\x01\x01\xcc\x05\x91\xa5" "aaa:1\xc0", "issuedAt"),
        CASE(TWO "\xc0\xc2\xc2", "more bytes"),
        CASE("\x96" "\xa1x\xc4\x10" "0123456789abcdef" "\x92\x01\x01\x05\x91\xa5" "aaa:1\xc0",
             "array of 7"),
#undef TWO
#undef HEAD
#undef CASE
        /* clang-format on */
    };

    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tri_leaf leaf;
        const char *fault = NULL;
        struct tri_bytes bytes = {(const uint8_t *)cases[i].bytes, cases[i].count};
        bool is_leaf = tri_leaf_get(bytes, &leaf, &fault);

        cr_expect_eq(is_leaf, cases[i].fault == NULL, "case %u: %s", i, is_leaf ? "read" : fault);
        if (cases[i].fault != NULL && !is_leaf) {
            cr_expect_not_null(strstr(fault, cases[i].fault), "case %u: %s", i, fault);
        }
    }
}

/* ---- headers ---- */

static const struct tri_text header_chains[] = {
    {"cosmos:cosmoshub-4", 18}, {"eip155:1", 8}, {"eip155:10", 9}};

static struct tri_finality_header header_make(bool has_proof)
{
    struct tri_finality_header header = {.stream = text_of("12-0"),
                                         .oss_epoch = 70000,
                                         .issued_at_ms = UINT64_C(1795256430123),
                                         .has_proof = has_proof,
                                         .chain_count = 3,
                                         .chains = header_chains,
                                         .message_count = 4096};

    memset(header.archive, 0xa1, sizeof(header.archive));
    memset(header.previous, 0xb2, sizeof(header.previous));
    memset(header.root, 0xc3, sizeof(header.root));
    memset(header.key, 0xe5, sizeof(header.key));
    if (has_proof) {
        memset(header.proof, 0xd4, sizeof(header.proof));
    }
    return header;
}

static bool header_get(const uint8_t *bytes, uint32_t count, struct tri_finality_header *header)
{
    const char *fault = NULL;
    bool is_header = tri_finality_header_get((struct tri_bytes){bytes, count}, header, &fault);

    cr_assert(is_header || (fault != NULL && strlen(fault) > 10), "a refusal says why");
    return is_header;
}

static uint8_t header_bytes[TRI_FINALITY_HEADER_BYTES_MAX];

Test(finality, F02_a_header_is_read_as_it_was_written)
{
    for (uint32_t has_proof = 0; has_proof < 2; has_proof++) {
        struct tri_finality_header header = header_make(has_proof == 1);
        struct tri_finality_header again;
        uint32_t count = tri_finality_header_put(&header, header_bytes);
        struct tri_text chain = {0};
        uint32_t chains = 0;

        cr_assert(header_get(header_bytes, count, &again));
        cr_expect_eq(memcmp(again.archive, header.archive, sizeof(header.archive)), 0);
        cr_expect_eq(tri_finality_chain_order(again.stream, header.stream), 0);
        cr_expect_eq(again.oss_epoch, 70000);
        cr_expect_eq(memcmp(again.previous, header.previous, 32), 0);
        cr_expect_eq(again.issued_at_ms, UINT64_C(1795256430123));
        cr_expect_eq(memcmp(again.root, header.root, 32), 0);
        cr_expect_eq(again.has_proof, has_proof == 1);
        cr_expect_eq(memcmp(again.proof, header.proof, 32), 0);
        cr_expect_eq(again.chain_count, 3);
        cr_expect_eq(again.message_count, 4096);
        cr_expect_eq(memcmp(again.key, header.key, 32), 0);
        while (tri_finality_chain_next(&again.chains_at, &chain)) {
            cr_assert_lt(chains, 3);
            cr_expect_eq(tri_finality_chain_order(chain, header_chains[chains]), 0);
            chains++;
        }
        cr_expect_eq(chains, 3);
    }
}

Test(finality, F02_a_header_is_these_bytes)
{
    struct tri_finality_header header = header_make(false);
    uint32_t count = tri_finality_header_put(&header, header_bytes);
    uint8_t hash[TRI_DIGEST_BYTES];

    expect_hex(header_bytes, 50,
               "9bb2747269636173742d66696e616c6974792d31c410a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"
               "a431322d30ce00011170c420");
    cr_expect_eq(count, 202);
    tri_finality_header_hash((struct tri_bytes){header_bytes, count}, hash);
    expect_hex(hash, 32, "f0b711193b621caaee9d18947ca17a555ceb23aa6cbeb7b5c00c4539de110c82");
}

Test(finality, F02_a_header_cut_short_is_none_and_a_changed_one_is_another)
{
    for (uint32_t has_proof = 0; has_proof < 2; has_proof++) {
        static uint8_t again[TRI_FINALITY_HEADER_BYTES_MAX];
        struct tri_finality_header header = header_make(has_proof == 1);
        uint32_t count = tri_finality_header_put(&header, header_bytes);
        struct tri_finality_header found;
        uint32_t read = 0;

        for (uint32_t cut = 0; cut < count; cut++) {
            cr_expect_not(header_get(header_bytes, cut, &found), "%u of %u bytes", cut, count);
        }
        for (uint32_t bit = 0; bit < count * 8; bit++) {
            header_bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
            if (header_get(header_bytes, count, &found)) {
                struct tri_text chains[3];

                read++;
                cr_assert_eq(found.chain_count, 3);
                for (uint32_t i = 0; i < 3; i++) {
                    cr_assert(tri_finality_chain_next(&found.chains_at, &chains[i]));
                }
                found.chains = chains;
                cr_assert_eq(tri_finality_header_put(&found, again), count, "bit %u", bit);
                cr_assert_eq(memcmp(again, header_bytes, count), 0, "bit %u", bit);
            }
            header_bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
        cr_expect_gt(read, 900, "other hashes and numbers are headers too");
    }
}

Test(finality, F02_the_largest_header_fits)
{
    static char names[TRI_FINALITY_CHAINS_MAX][TRI_CHAIN_ID_BYTES_MAX + 1];
    static struct tri_text chains[TRI_FINALITY_CHAINS_MAX];
    struct tri_finality_header header = header_make(true);
    struct tri_finality_header again;
    uint32_t count = 0;

    for (uint32_t i = 0; i < TRI_FINALITY_CHAINS_MAX; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "abcdefgh:%032u", i);
        chains[i] = text_of(names[i]);
    }
    header.stream = text_of("4294967295-63");
    header.oss_epoch = UINT64_MAX;
    header.issued_at_ms = UINT64_MAX;
    header.chains = chains;
    header.chain_count = TRI_FINALITY_CHAINS_MAX;
    count = tri_finality_header_put(&header, header_bytes);
    cr_expect_eq(count, 44244);
    cr_assert(header_get(header_bytes, count, &again));
    cr_expect_eq(again.chain_count, TRI_FINALITY_CHAINS_MAX);
    for (uint32_t cut = count - 300; cut < count; cut++) {
        cr_expect_not(header_get(header_bytes, cut, &again));
    }
}

Test(finality, F02_chains_of_a_header_are_in_bytewise_order_each_once)
{
    struct tri_finality_header header = header_make(false);
    struct tri_finality_header again;
    const char *fault = NULL;
    uint32_t count = tri_finality_header_put(&header, header_bytes);
    uint8_t *last = memmem(header_bytes, count, "eip155:10", 9);

    cr_assert_not_null(last);
    last[7] = '0';
    cr_expect_not(tri_finality_header_get((struct tri_bytes){header_bytes, count}, &again, &fault));
    cr_expect_not_null(strstr(fault, "bytewise order"));
    last[7] = '2';
    cr_expect(tri_finality_header_get((struct tri_bytes){header_bytes, count}, &again, &fault));
    cr_expect_lt(tri_finality_chain_order(header_chains[1], header_chains[2]), 0,
                 "what begins like a longer one comes before it");
    cr_expect_eq(tri_finality_chain_order(header_chains[1], header_chains[1]), 0);
}

/* ---- names of streams ---- */

Test(finality, F08_a_stream_is_an_epoch_and_a_shard)
{
    char name[TRI_STREAM_BYTES_MAX];
    uint32_t bytes = tri_stream_put(4294967295U, 63, name);
    uint32_t epoch = 0;
    uint32_t shard = 99;

    cr_expect_eq(bytes, 13);
    cr_expect_eq(memcmp(name, "4294967295-63", 13), 0);
    cr_assert(tri_stream_get((struct tri_text){name, bytes}, &epoch, &shard));
    cr_expect_eq(epoch, 4294967295U);
    cr_expect_eq(shard, 63);
    cr_assert_eq(tri_stream_put(1, 0, name), 3);
    cr_assert(tri_stream_get((struct tri_text){name, 3}, &epoch, &shard));
    cr_expect_eq(epoch, 1);
    cr_expect_eq(shard, 0);
}

Test(finality, F08_other_names_are_none)
{
    static const char *const names[] = {
        "",     "1",    "1-",   "-1",           "0-1",  "1-64",  "01-0", "1-00", "1-01",
        "1-0 ", " 1-0", "1--0", "4294967296-0", "+1-0", "1-0-0", "1-0.", "a-b",  "99999999999-0"};
    uint32_t epoch = 0;
    uint32_t shard = 0;

    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cr_expect_not(tri_stream_get(text_of(names[i]), &epoch, &shard), "'%s'", names[i]);
    }
}
