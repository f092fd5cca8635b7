/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The published vectors, tests/vectors/finality.json, which Python made by docs/finality.md alone.
 *
 * A leaf and a header are taken apart, shown as JSON and compared with the vector's view, and put
 * together again from their fields, byte for byte; trees give the vector's root and paths; refused
 * bytes are refused; proofs hold.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "io/archive_manifest.h"
#include "io/json_finality.h"

#define PATH_BYTES_MAX 4096U

static uint8_t raw[TRI_FINALITY_HEADER_BYTES_MAX];

static json_t *load(void)
{
    static char path[PATH_BYTES_MAX];
    const char *source = getenv("TRI_SOURCE_DIR");
    json_error_t error;
    json_t *vectors;

    (void)snprintf(path, sizeof(path), "%s/tests/vectors/finality.json",
                   source == NULL ? "." : source);
    vectors = json_load_file(path, 0, &error);
    cr_assert_not_null(vectors, "%s: %s", path, error.text);
    return vectors;
}

static const char *field(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));

    cr_assert_not_null(text, "%s", name);
    return text;
}

/* The bytes of hexadecimal text, in `to`. */
static struct tri_bytes unhex(const char *text, uint8_t *to, size_t bytes_max)
{
    size_t digits = strlen(text);

    cr_assert_leq(digits / 2, bytes_max);
    cr_assert(tri_hex_get(text, (uint32_t)digits, to), "%s", text);
    return (struct tri_bytes){to, (uint32_t)(digits / 2)};
}

static struct tri_bytes hex(const json_t *row, const char *name)
{
    return unhex(field(row, name), raw, sizeof(raw));
}

static void expect_hash(const uint8_t hash[TRI_DIGEST_BYTES], const char *expected,
                        const char *what)
{
    char text[2 * TRI_DIGEST_BYTES + 1] = "";

    tri_hex_put(hash, TRI_DIGEST_BYTES, text);
    cr_assert_str_eq(text, expected, "%s", what);
}

static void expect_view(json_t *view, const json_t *expected, const char *what)
{
    char *text = json_dumps(view, 0);

    cr_assert(json_equal(view, expected) == 1, "%s: %s", what, text);
    free(text);
    json_decref(view);
}

Test(finality_vectors, F02_every_leaf_has_these_bytes_and_this_hash)
{
    static uint8_t again[TRI_LEAF_BYTES_MAX];
    json_t *vectors = load();
    const json_t *rows = json_object_get(vectors, "leaves");
    const json_t *row;
    size_t i;

    cr_assert_eq(json_array_size(rows), 19);
    json_array_foreach(rows, i, row)
    {
        struct tri_bytes bytes = hex(row, "hex");
        const char *name = field(row, "name");
        const char *fault = NULL;
        struct tri_leaf leaf;
        uint8_t hash[TRI_DIGEST_BYTES];

        cr_assert(tri_leaf_get(bytes, &leaf, &fault), "%s: %s", name, fault);
        cr_assert_eq(tri_leaf_put(&leaf, again), bytes.bytes, "%s", name);
        cr_assert_arr_eq(again, bytes.at, bytes.bytes, "%s", name);
        tri_tree_leaf(bytes, hash);
        expect_hash(hash, field(row, "leafHash"), name);
        expect_view(tri_json_leaf(&leaf), json_object_get(row, "view"), name);
    }
    json_decref(vectors);
}

Test(finality_vectors, F01_every_header_has_these_bytes_this_hash_and_this_signature)
{
    static struct tri_text chains[TRI_FINALITY_CHAINS_MAX];
    static uint8_t again[TRI_FINALITY_HEADER_BYTES_MAX];
    json_t *vectors = load();
    const json_t *rows = json_object_get(vectors, "headers");
    const json_t *row;
    size_t i;

    cr_assert_eq(json_array_size(rows), 6);
    json_array_foreach(rows, i, row)
    {
        struct tri_bytes bytes = hex(row, "hex");
        const char *name = field(row, "name");
        const char *fault = NULL;
        struct tri_finality_header header;
        uint8_t signature[TRI_FINALITY_SIGNATURE_BYTES];
        uint8_t hash[TRI_DIGEST_BYTES];
        struct tri_bytes rest;

        cr_assert(tri_finality_header_get(bytes, &header, &fault), "%s: %s", name, fault);
        rest = header.chains_at;
        for (uint32_t c = 0; c < header.chain_count; c++) {
            cr_assert(tri_finality_chain_next(&rest, &chains[c]));
        }
        cr_assert_not(tri_finality_chain_next(&rest, &chains[0]), "%s", name);
        rest = header.chains_at;
        cr_assert(tri_finality_chain_next(&rest, &chains[0]));
        header.chains = chains;
        cr_assert_eq(tri_finality_header_put(&header, again), bytes.bytes, "%s", name);
        cr_assert_arr_eq(again, bytes.at, bytes.bytes, "%s", name);
        tri_finality_header_hash(bytes, hash);
        expect_hash(hash, field(row, "hash"), name);
        (void)unhex(field(row, "signature"), signature, sizeof(signature));
        cr_assert(tri_signer_verify(header.key, bytes.at, bytes.bytes, signature), "%s", name);
        expect_view(tri_json_finality_header(&header, bytes), json_object_get(row, "view"), name);
    }
    json_decref(vectors);
}

/* Holds one tree's root and paths against the vector. */
static void expect_tree(const json_t *row)
{
    static uint8_t leaves[TRI_FINALITY_MESSAGES_MAX][TRI_DIGEST_BYTES];
    const json_t *list = json_object_get(row, "leaves");
    const json_t *paths = json_object_get(row, "paths");
    uint32_t count = (uint32_t)json_array_size(list);
    uint8_t root[TRI_DIGEST_BYTES];
    struct tri_tree tree;

    tri_tree_init(&tree);
    for (uint32_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));

        tri_tree_leaf(unhex(text, raw, sizeof(raw)), leaves[i]);
        tri_tree_add(&tree, leaves[i]);
    }
    tri_tree_root(&tree, root);
    expect_hash(root, field(row, "root"), "root");
    for (uint32_t i = 0; i < count; i++) {
        const json_t *expected = json_array_get(paths, i);
        uint8_t path[TRI_FINALITY_PATH_MAX][TRI_DIGEST_BYTES];
        uint32_t hashes = tri_tree_path((const uint8_t(*)[TRI_DIGEST_BYTES])leaves, count, i, path);

        cr_assert_eq(hashes, json_array_size(expected), "leaf %u of %u", i, count);
        for (uint32_t h = 0; h < hashes; h++) {
            expect_hash(path[h], json_string_value(json_array_get(expected, h)), "path");
        }
        cr_assert(tri_tree_verify(leaves[i], i, count, (const uint8_t(*)[TRI_DIGEST_BYTES])path,
                                  hashes, root));
    }
}

Test(finality_vectors, F02_every_tree_has_this_root_and_these_paths)
{
    json_t *vectors = load();
    const json_t *rows = json_object_get(vectors, "trees");
    const json_t *row;
    size_t i;

    cr_assert_eq(json_array_size(rows), 6);
    json_array_foreach(rows, i, row)
    {
        expect_tree(row);
    }
    json_decref(vectors);
}

Test(finality_vectors, F02_bytes_that_are_no_leaf_or_header_are_refused)
{
    json_t *vectors = load();
    const json_t *refused = json_object_get(vectors, "refused");
    const json_t *row;
    size_t i;

    cr_assert_eq(json_array_size(json_object_get(refused, "leaves")), 31);
    cr_assert_eq(json_array_size(json_object_get(refused, "headers")), 28);
    json_array_foreach(json_object_get(refused, "leaves"), i, row)
    {
        const char *fault = NULL;
        struct tri_leaf leaf;

        cr_expect_not(tri_leaf_get(hex(row, "hex"), &leaf, &fault), "%s", field(row, "name"));
        cr_expect_not_null(fault, "%s", field(row, "name"));
    }
    json_array_foreach(json_object_get(refused, "headers"), i, row)
    {
        const char *fault = NULL;
        struct tri_finality_header header;

        cr_expect_not(tri_finality_header_get(hex(row, "hex"), &header, &fault), "%s",
                      field(row, "name"));
        cr_expect_not_null(fault, "%s", field(row, "name"));
    }
    json_decref(vectors);
}

Test(finality_vectors, F02_every_proof_holds_and_names_its_record)
{
    json_t *vectors = load();
    const json_t *rows = json_object_get(vectors, "proofs");
    const json_t *row;
    size_t i;

    cr_assert_eq(json_array_size(rows), 6);
    json_array_foreach(rows, i, row)
    {
        char *text = json_dumps(row, 0);
        const char *fault = NULL;
        struct tri_proof proof = {0};

        cr_assert_eq(tri_proof_check(text, strlen(text), &proof, &fault), 0, "%s", fault);
        expect_hash(proof.hash, field(json_object_get(row, "record"), "recordHash"), text);
        expect_hash(proof.key, field(vectors, "publicKey"), text);
        json_decref(proof.view);
        free(text);
    }
    json_decref(vectors);
}
