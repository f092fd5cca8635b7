/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers are chains of tri_get_*, as those of frames are; what they name as the field of a fault
 * is the whole sentence here.
 */
#include "shards/finality.h"

#include <assert.h>
#include <string.h>

#include "engine/limits.h"
#include "engine/wire_cursor.h"

#define LEAF_ELEMENTS   7U
#define LEAF_TRUE       0xc3U /* as msgpack writes it */
#define HEADER_ELEMENTS 11U
#define TREE_LEAF_TAG   0x00U
#define TREE_NODE_TAG   0x01U

static_assert(TRI_LEAF_BYTES_MAX >= 1 + (TRI_ID_BYTES_MAX + 2) + 18 + 11 + 9 +
                                        (3 + TRI_TARGETS_MAX * (TRI_CHAIN_ID_BYTES_MAX + 2)) +
                                        (3 + (TRI_TARGETS_MAX - 1) * (TRI_CHAIN_ID_BYTES_MAX + 2)) +
                                        1,
              "the largest leaf must fit");
static_assert(TRI_FINALITY_HEADER_BYTES_MAX >=
                  1 + sizeof(TRI_FINALITY_FORMAT) + 18 + (1 + TRI_STREAM_BYTES_MAX) + 9 + 34 + 9 +
                      34 + 34 + (3 + TRI_FINALITY_CHAINS_MAX * (TRI_CHAIN_ID_BYTES_MAX + 2)) + 3 +
                      34,
              "the largest header must fit");
static_assert(TRI_FINALITY_CHAINS_MAX >= TRI_CHAINS_MAX, "a record may concern every chain");
static_assert(TRI_FINALITY_MESSAGES_MAX == 1U << TRI_FINALITY_PATH_MAX,
              "a path has a hash for every level of the largest tree");

static struct tri_cursor finality_cursor(struct tri_bytes bytes, struct tri_wire_fault *fault)
{
    *fault = (struct tri_wire_fault){.field = ""};
    return (struct tri_cursor){
        .body = bytes.at, .at = bytes.at, .end = bytes.at + bytes.bytes, .fault = fault};
}

static bool finality_get_fixed(struct tri_cursor *cursor, uint32_t bytes, uint8_t *to,
                               const char *fault)
{
    struct tri_bytes bin;

    if (!tri_get_bin(cursor, bytes, bytes, &bin, fault)) {
        return false;
    }
    memcpy(to, bin.at, bytes);
    return true;
}

static bool finality_get_end(struct tri_cursor *cursor, const char *fault)
{
    return cursor->at == cursor->end || tri_cursor_fail(cursor, TRI_ERROR_MALFORMED_FRAME, fault);
}

/* ---- leaves ---- */

static uint64_t leaf_all(const struct tri_leaf *leaf)
{
    assert(leaf->chain_count >= 1 && leaf->chain_count <= TRI_TARGETS_MAX);
    return UINT64_MAX >> (TRI_TARGETS_MAX - leaf->chain_count);
}

uint32_t tri_leaf_put(const struct tri_leaf *leaf, uint8_t *to)
{
    struct tri_writer writer = {.at = to, .end = to + TRI_LEAF_BYTES_MAX, .failed = false};

    assert(leaf->id.bytes >= 1 && leaf->id.bytes <= TRI_ID_BYTES_MAX);
    assert(leaf->chain_count >= 1 && leaf->chain_count <= TRI_TARGETS_MAX);
    assert(leaf->applied != 0);
    assert((leaf->applied & ~leaf_all(leaf)) == 0);
    assert(TRI_ATTEMPT_EPOCH(leaf->attempt) != 0);
    assert(TRI_ATTEMPT_N(leaf->attempt) != 0);
    tri_put_array(&writer, LEAF_ELEMENTS);
    tri_put_text(&writer, leaf->id);
    tri_put_bin(&writer, (struct tri_bytes){leaf->hash.at, sizeof(leaf->hash.at)});
    tri_put_attempt(&writer, leaf->attempt);
    tri_put_uint(&writer, leaf->issued_at_ms);
    tri_put_array(&writer, leaf->chain_count);
    for (uint32_t i = 0; i < leaf->chain_count; i++) {
        tri_put_text(&writer, leaf->chains[i]);
    }
    if (leaf->applied == leaf_all(leaf)) {
        tri_put_nil(&writer);
    } else {
        tri_put_array(&writer, (uint32_t)__builtin_popcountll(leaf->applied));
        for (uint64_t rest = leaf->applied; rest != 0; rest &= rest - 1) {
            tri_put_text(&writer, leaf->chains[__builtin_ctzll(rest)]);
        }
    }
    tri_put_bool(&writer, leaf->is_forced);
    assert(!writer.failed);
    return (uint32_t)(writer.at - to);
}

static bool leaf_get_attempt(struct tri_cursor *cursor, tri_attempt *attempt)
{
    static const char fault[] = "the leaf's attempt is not [epoch, n], both from 1";
    uint32_t count = 0;
    uint32_t epoch = 0;
    uint32_t n = 0;

    if (!tri_get_array(cursor, 2, 2, &count, fault) ||
        !tri_get_u32(cursor, 1, UINT32_MAX, &epoch, fault) ||
        !tri_get_u32(cursor, 1, UINT32_MAX, &n, fault)) {
        return false;
    }
    *attempt = TRI_ATTEMPT(epoch, n);
    return true;
}

/* nil for all of them, so that a list of all would be a second form of the same value. */
static bool leaf_get_applied(struct tri_cursor *cursor, struct tri_leaf *leaf)
{
    static const char fault[] = "the leaf's appliedChains are neither null nor some, but not all, "
                                "of its participatingChains in their order";
    struct tri_text chain = {0};
    uint32_t count = 0;
    uint32_t at = 0;

    if (tri_get_nil(cursor)) {
        leaf->applied = leaf_all(leaf);
        return true;
    }
    leaf->applied = 0;
    if (!tri_get_array(cursor, 1, TRI_TARGETS_MAX, &count, fault)) {
        return false;
    }
    for (; count > 0; count--) {
        if (!tri_get_chain(cursor, &chain, fault)) {
            return false;
        }
        while (at < leaf->chain_count && !tri_text_equals(leaf->chains[at], chain)) {
            at++;
        }
        if (at == leaf->chain_count) {
            return tri_cursor_fail(cursor, TRI_ERROR_FIELD_OUT_OF_RANGE, fault);
        }
        leaf->applied |= UINT64_C(1) << at;
        at++;
    }
    return leaf->applied != leaf_all(leaf) ||
           tri_cursor_fail(cursor, TRI_ERROR_FIELD_OUT_OF_RANGE, fault);
}

bool tri_leaf_get(struct tri_bytes bytes, struct tri_leaf *leaf, const char **fault)
{
    struct tri_wire_fault found;
    struct tri_cursor cursor = finality_cursor(bytes, &found);
    uint32_t count = 0;

    assert(leaf != NULL && fault != NULL);
    if (!tri_get_array(&cursor, LEAF_ELEMENTS, LEAF_ELEMENTS, &count,
                       "the leaf is not an array of 7") ||
        !tri_get_text(&cursor, 1, TRI_ID_BYTES_MAX, &leaf->id,
                      "the leaf's originalMessageId is not text of 1 to 64 bytes") ||
        !finality_get_fixed(&cursor, sizeof(leaf->hash.at), leaf->hash.at,
                            "the leaf's contentHash is not 16 bytes") ||
        !leaf_get_attempt(&cursor, &leaf->attempt) ||
        !tri_get_uint(&cursor, 0, UINT64_MAX, &leaf->issued_at_ms,
                      "the leaf's issuedAt is not a time in ms") ||
        !tri_get_list(&cursor, 1, TRI_TARGETS_MAX, true, leaf->chains, &leaf->chain_count,
                      "the leaf's participatingChains are not 1 to 64 different CAIP-2 ids") ||
        !leaf_get_applied(&cursor, leaf) ||
        !tri_get_bool(&cursor, &leaf->is_forced,
                      "the leaf's mark of the forced path is no boolean") ||
        !finality_get_end(&cursor, "behind the leaf stand more bytes")) {
        *fault = found.field;
        return false;
    }
    return true;
}

/* The mark is the last element, and a boolean is one byte. */
bool tri_leaf_is_forced(struct tri_bytes leaf)
{
    return leaf.bytes > 0 && leaf.at[leaf.bytes - 1] == LEAF_TRUE;
}

/* ---- the tree ---- */

void tri_tree_leaf(struct tri_bytes leaf, uint8_t hash[TRI_DIGEST_BYTES])
{
    static const uint8_t none = 0;

    tri_digest_tagged(TREE_LEAF_TAG, leaf.bytes == 0 ? &none : leaf.at, leaf.bytes, hash);
}

/* `to` may be either side. */
static void tree_node(const uint8_t left[TRI_DIGEST_BYTES], const uint8_t right[TRI_DIGEST_BYTES],
                      uint8_t to[TRI_DIGEST_BYTES])
{
    uint8_t both[2 * TRI_DIGEST_BYTES];

    memcpy(both, left, TRI_DIGEST_BYTES);
    memcpy(both + TRI_DIGEST_BYTES, right, TRI_DIGEST_BYTES);
    tri_digest_tagged(TREE_NODE_TAG, both, sizeof(both), to);
}

void tri_tree_init(struct tri_tree *tree)
{
    tree->count = 0;
}

/* subtrees[n] is the root of a perfect tree of 2^n leaves, and counts if bit n of `count` is set; a
 * new leaf is carried upwards as one is added to a binary number. */
void tri_tree_add(struct tri_tree *tree, const uint8_t leaf_hash[TRI_DIGEST_BYTES])
{
    uint8_t carry[TRI_DIGEST_BYTES];
    uint32_t level = 0;

    assert(tree->count < TRI_FINALITY_MESSAGES_MAX);
    memcpy(carry, leaf_hash, sizeof(carry));
    for (; (tree->count >> level & 1) != 0; level++) {
        tree_node(tree->subtrees[level], carry, carry);
    }
    assert(level <= TRI_FINALITY_PATH_MAX);
    memcpy(tree->subtrees[level], carry, sizeof(carry));
    tree->count++;
}

void tri_tree_root(const struct tri_tree *tree, uint8_t root[TRI_DIGEST_BYTES])
{
    uint32_t level = 0;

    assert(tree->count >= 1 && tree->count <= TRI_FINALITY_MESSAGES_MAX);
    level = (uint32_t)__builtin_ctz(tree->count);
    memcpy(root, tree->subtrees[level], TRI_DIGEST_BYTES);
    for (level++; tree->count >> level != 0; level++) {
        if ((tree->count >> level & 1) != 0) {
            tree_node(tree->subtrees[level], root, root);
        }
    }
}

static void tree_range(const uint8_t (*leaves)[TRI_DIGEST_BYTES], uint32_t count,
                       uint8_t root[TRI_DIGEST_BYTES])
{
    struct tri_tree tree;

    tri_tree_init(&tree);
    for (uint32_t i = 0; i < count; i++) {
        tri_tree_add(&tree, leaves[i]);
    }
    tri_tree_root(&tree, root);
}

/* From the root down to the leaf: what is beside the way is the path, its last hash first. */
uint32_t tri_tree_path(const uint8_t (*leaves)[TRI_DIGEST_BYTES], uint32_t count, uint32_t index,
                       uint8_t path[TRI_FINALITY_PATH_MAX][TRI_DIGEST_BYTES])
{
    uint8_t down[TRI_FINALITY_PATH_MAX][TRI_DIGEST_BYTES];
    uint32_t steps = 0;

    assert(index < count);
    assert(count <= TRI_FINALITY_MESSAGES_MAX);
    while (count > 1) {
        uint32_t left = UINT32_C(1) << (31 - __builtin_clz(count - 1));

        assert(steps < TRI_FINALITY_PATH_MAX);
        if (index < left) {
            tree_range(leaves + left, count - left, down[steps]);
            count = left;
        } else {
            tree_range(leaves, left, down[steps]);
            leaves += left;
            index -= left;
            count -= left;
        }
        steps++;
    }
    for (uint32_t i = 0; i < steps; i++) {
        memcpy(path[i], down[steps - 1 - i], TRI_DIGEST_BYTES);
    }
    return steps;
}

bool tri_tree_verify(const uint8_t leaf_hash[TRI_DIGEST_BYTES], uint32_t index, uint32_t count,
                     const uint8_t (*path)[TRI_DIGEST_BYTES], uint32_t path_count,
                     const uint8_t root[TRI_DIGEST_BYTES])
{
    uint8_t hash[TRI_DIGEST_BYTES];
    uint32_t last = count - 1; /* the right edge's index on the level that the hash has reached */

    if (index >= count) {
        return false;
    }
    memcpy(hash, leaf_hash, sizeof(hash));
    for (uint32_t i = 0; i < path_count; i++) {
        if (last == 0) {
            return false;
        }
        if ((index & 1) != 0 || index == last) {
            tree_node(path[i], hash, hash);
            while ((index & 1) == 0 && index != 0) { /* levels where the edge has no sibling */
                index >>= 1;
                last >>= 1;
            }
        } else {
            tree_node(hash, path[i], hash);
        }
        index >>= 1;
        last >>= 1;
    }
    return last == 0 && memcmp(hash, root, sizeof(hash)) == 0;
}

/* ---- the header ---- */

int tri_finality_chain_order(struct tri_text one, struct tri_text other)
{
    int order = memcmp(one.at, other.at, one.bytes < other.bytes ? one.bytes : other.bytes);

    return order != 0 ? order : (one.bytes > other.bytes) - (one.bytes < other.bytes);
}

static void header_put_bin(struct tri_writer *writer, const uint8_t *bytes, uint32_t count)
{
    tri_put_bin(writer, (struct tri_bytes){bytes, count});
}

uint32_t tri_finality_header_put(const struct tri_finality_header *header, uint8_t *to)
{
    static const char format[] = TRI_FINALITY_FORMAT;
    struct tri_writer writer = {
        .at = to, .end = to + TRI_FINALITY_HEADER_BYTES_MAX, .failed = false};

    assert(header->stream.bytes >= 1 && header->stream.bytes <= TRI_STREAM_BYTES_MAX);
    assert(header->oss_epoch >= 1);
    assert(header->chain_count >= 1 && header->chain_count <= TRI_FINALITY_CHAINS_MAX);
    assert(header->message_count >= 1 && header->message_count <= TRI_FINALITY_MESSAGES_MAX);
    tri_put_array(&writer, HEADER_ELEMENTS);
    tri_put_text(&writer, (struct tri_text){format, sizeof(format) - 1});
    header_put_bin(&writer, header->archive, sizeof(header->archive));
    tri_put_text(&writer, header->stream);
    tri_put_uint(&writer, header->oss_epoch);
    header_put_bin(&writer, header->previous, sizeof(header->previous));
    tri_put_uint(&writer, header->issued_at_ms);
    header_put_bin(&writer, header->root, sizeof(header->root));
    if (header->has_proof) {
        header_put_bin(&writer, header->proof, sizeof(header->proof));
    } else {
        tri_put_nil(&writer);
    }
    tri_put_array(&writer, header->chain_count);
    for (uint32_t i = 0; i < header->chain_count; i++) {
        assert(i == 0 || tri_finality_chain_order(header->chains[i - 1], header->chains[i]) < 0);
        tri_put_text(&writer, header->chains[i]);
    }
    tri_put_uint(&writer, header->message_count);
    header_put_bin(&writer, header->key, sizeof(header->key));
    assert(!writer.failed);
    return (uint32_t)(writer.at - to);
}

static bool header_get_format(struct tri_cursor *cursor)
{
    static const char format[] = TRI_FINALITY_FORMAT;
    static const char fault[] = "the header does not begin with \"" TRI_FINALITY_FORMAT "\"";
    struct tri_text found = {0};

    return tri_get_text(cursor, sizeof(format) - 1, sizeof(format) - 1, &found, fault) &&
           (memcmp(found.at, format, sizeof(format) - 1) == 0 ||
            tri_cursor_fail(cursor, TRI_ERROR_FIELD_OUT_OF_RANGE, fault));
}

static bool header_get_stream(struct tri_cursor *cursor, struct tri_text *stream)
{
    static const char fault[] = "the header's stream is not EPOCH-SHARD";
    uint32_t epoch = 0;
    uint32_t shard = 0;

    return tri_get_text(cursor, 1, TRI_STREAM_BYTES_MAX, stream, fault) &&
           (tri_stream_get(*stream, &epoch, &shard) ||
            tri_cursor_fail(cursor, TRI_ERROR_FIELD_OUT_OF_RANGE, fault));
}

static bool header_get_proof(struct tri_cursor *cursor, struct tri_finality_header *header)
{
    header->has_proof = false;
    if (tri_get_nil(cursor)) {
        memset(header->proof, 0, sizeof(header->proof));
        return true;
    }
    header->has_proof = true;
    return finality_get_fixed(cursor, sizeof(header->proof), header->proof,
                              "the header's gkrProofHash is neither null nor 32 bytes");
}

static bool header_get_chains(struct tri_cursor *cursor, struct tri_finality_header *header)
{
    static const char fault[] = "the header's participatingChains are not 1 to 1024 CAIP-2 ids in "
                                "bytewise order, each once";
    struct tri_text before = {0};
    struct tri_text chain = {0};

    header->chains = NULL;
    if (!tri_get_array(cursor, 1, TRI_FINALITY_CHAINS_MAX, &header->chain_count, fault)) {
        return false;
    }
    header->chains_at.at = cursor->at;
    for (uint32_t i = 0; i < header->chain_count; i++) {
        if (!tri_get_chain(cursor, &chain, fault)) {
            return false;
        }
        if (i > 0 && tri_finality_chain_order(before, chain) >= 0) {
            return tri_cursor_fail(cursor, TRI_ERROR_FIELD_OUT_OF_RANGE, fault);
        }
        before = chain;
    }
    header->chains_at.bytes = (uint32_t)(cursor->at - header->chains_at.at);
    return true;
}

bool tri_finality_header_get(struct tri_bytes bytes, struct tri_finality_header *header,
                             const char **fault)
{
    struct tri_wire_fault found;
    struct tri_cursor cursor = finality_cursor(bytes, &found);
    uint32_t count = 0;

    assert(header != NULL && fault != NULL);
    if (!tri_get_array(&cursor, HEADER_ELEMENTS, HEADER_ELEMENTS, &count,
                       "the header is not an array of 11") ||
        !header_get_format(&cursor) ||
        !finality_get_fixed(&cursor, sizeof(header->archive), header->archive,
                            "the header's archive is not 16 bytes") ||
        !header_get_stream(&cursor, &header->stream) ||
        !tri_get_uint(&cursor, 1, UINT64_MAX, &header->oss_epoch,
                      "the header's ossEpoch is not a number from 1") ||
        !finality_get_fixed(&cursor, sizeof(header->previous), header->previous,
                            "the header's hash of the record before is not 32 bytes") ||
        !tri_get_uint(&cursor, 0, UINT64_MAX, &header->issued_at_ms,
                      "the header's issuedAt is not a time in ms") ||
        !finality_get_fixed(&cursor, sizeof(header->root), header->root,
                            "the header's ossStateRoot is not 32 bytes") ||
        !header_get_proof(&cursor, header) || !header_get_chains(&cursor, header) ||
        !tri_get_u32(&cursor, 1, TRI_FINALITY_MESSAGES_MAX, &header->message_count,
                     "the header's messageCount is not 1 to 4096") ||
        !finality_get_fixed(&cursor, sizeof(header->key), header->key,
                            "the header's publicKey is not 32 bytes") ||
        !finality_get_end(&cursor, "behind the header stand more bytes")) {
        *fault = found.field;
        return false;
    }
    return true;
}

bool tri_finality_chain_next(struct tri_bytes *rest, struct tri_text *chain)
{
    struct tri_wire_fault fault;
    struct tri_cursor cursor = finality_cursor(*rest, &fault);

    if (rest->bytes == 0 || !tri_get_chain(&cursor, chain, "participatingChains")) {
        return false;
    }
    *rest = (struct tri_bytes){cursor.at, (uint32_t)(cursor.end - cursor.at)};
    return true;
}

void tri_finality_header_hash(struct tri_bytes header, uint8_t hash[TRI_DIGEST_BYTES])
{
    tri_digest_sha256(header.at, header.bytes, hash);
}

/* ---- names of streams ---- */

static uint32_t stream_put_number(uint32_t number, char *to)
{
    char digits[10];
    uint32_t count = 0;

    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    for (uint32_t i = 0; i < count; i++) {
        to[i] = digits[count - 1 - i];
    }
    return count;
}

uint32_t tri_stream_put(uint32_t epoch, uint32_t shard, char to[TRI_STREAM_BYTES_MAX])
{
    uint32_t bytes = 0;

    assert(epoch >= 1);
    assert(shard < TRI_SHARDS_MAX);
    bytes = stream_put_number(epoch, to);
    to[bytes++] = '-';
    bytes += stream_put_number(shard, to + bytes);
    assert(bytes <= TRI_STREAM_BYTES_MAX);
    return bytes;
}

/* Reads a number without leading zeros up to `max`; returns its digits, 0 = there is none. */
static uint32_t stream_get_number(const char *text, uint32_t bytes, uint64_t max, uint32_t *number)
{
    uint64_t value = 0;
    uint32_t digits = 0;

    while (digits < bytes && text[digits] >= '0' && text[digits] <= '9') {
        value = value * 10 + (uint64_t)(text[digits] - '0');
        digits++;
        if (value > max || (digits == 2 && text[0] == '0')) {
            return 0;
        }
    }
    *number = (uint32_t)value;
    return digits;
}

bool tri_stream_get(struct tri_text stream, uint32_t *epoch, uint32_t *shard)
{
    uint32_t digits = stream_get_number(stream.at, stream.bytes, UINT32_MAX, epoch);
    uint32_t behind = digits + 1;

    if (digits == 0 || *epoch == 0 || digits >= stream.bytes || stream.at[digits] != '-') {
        return false;
    }
    digits =
        stream_get_number(stream.at + behind, stream.bytes - behind, TRI_SHARDS_MAX - 1, shard);
    return digits != 0 && behind + digits == stream.bytes;
}
