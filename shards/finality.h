/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finality: the primary finality record as bytes, and the proof that a message is in one (F01,
 * F02).
 *
 * docs/finality.md describes every byte.  In short:
 *
 *     leaf     what a record says of one message, canonical msgpack
 *     tree     RFC 9162 over the leaves, in the order in which the messages were applied; its root
 *              is the record's ossStateRoot
 *     header   the record's fields with that root and the hash of the record before it in its
 *              stream; what is hashed and signed
 *
 * So a header, a leaf and at most 12 hashes prove a message to whoever trusts the key.
 *
 * Bytes come from files and strangers here: the readers check every length, range and form, and two
 * different values never have the same bytes.
 *
 * Threads: no state; any function may run anywhere.  Nothing allocates.
 */
#ifndef TRI_SHARDS_FINALITY_H
#define TRI_SHARDS_FINALITY_H

#include "engine/limits.h"
#include "shards/digest.h"

/* The first element of every header: format and version, and what tells its signature from others.
 */
#define TRI_FINALITY_FORMAT "tricast-finality-1"

#define TRI_FINALITY_MESSAGES_MAX    4096U
#define TRI_FINALITY_PATH_MAX        12U /* hashes of an inclusion proof */
#define TRI_FINALITY_CHAINS_MAX      1024U
#define TRI_FINALITY_SIGNATURE_BYTES 64U
#define TRI_FINALITY_KEY_BYTES       32U /* a public key */
#define TRI_FINALITY_ARCHIVE_BYTES   16U /* what tells archives apart */

/* What a record says of one message. */
struct tri_leaf {
    struct tri_text id;   /* originalMessageId */
    struct tri_hash hash; /* its content hash (R02) */
    tri_attempt attempt;  /* that was applied */
    uint64_t issued_at_ms;
    uint32_t chain_count;                    /* 1..TRI_TARGETS_MAX */
    struct tri_text chains[TRI_TARGETS_MAX]; /* participatingChains, in the message's own order */
    uint64_t applied; /* one bit per chain: appliedChains (A03); all of them in most records */
    bool is_forced;   /* F06 */
};

/* 64 chains of 41 bytes, and 63 of them once more. */
#define TRI_LEAF_BYTES_MAX 5632U

/* tri_leaf_put writes the canonical bytes into `to`, TRI_LEAF_BYTES_MAX bytes of room; returns
 * their number.  The leaf must be within its ranges. */
uint32_t tri_leaf_put(const struct tri_leaf *leaf, uint8_t *to);
/* tri_leaf_get takes canonical bytes apart; `leaf` borrows them.  False: *fault is a static
 * sentence. */
bool tri_leaf_get(struct tri_bytes bytes, struct tri_leaf *leaf, const char **fault);
/* tri_leaf_is_forced looks at nothing but the last element.  Of bytes that are no leaf it says
 * anything. */
bool tri_leaf_is_forced(struct tri_bytes leaf);

/* ---- the tree: RFC 9162, section 2.1 ---- */

/* SHA-256(0x00 || leaf). */
void tri_tree_leaf(struct tri_bytes leaf, uint8_t hash[TRI_DIGEST_BYTES]);

/* A tree that grows leaf by leaf; one hash for each of its perfect subtrees. */
struct tri_tree {
    uint32_t count; /* leaves so far, at most TRI_FINALITY_MESSAGES_MAX */
    uint8_t subtrees[TRI_FINALITY_PATH_MAX + 1][TRI_DIGEST_BYTES];
};
void tri_tree_init(struct tri_tree *tree);
void tri_tree_add(struct tri_tree *tree, const uint8_t leaf_hash[TRI_DIGEST_BYTES]);
/* The root of the leaves so far, at least one; more may follow. */
void tri_tree_root(const struct tri_tree *tree, uint8_t root[TRI_DIGEST_BYTES]);

/* tri_tree_path writes the inclusion path of leaf `index` of `count` (2.1.3.1); returns its length,
 * at most TRI_FINALITY_PATH_MAX.  `leaves` are the leaves' hashes. */
uint32_t tri_tree_path(const uint8_t (*leaves)[TRI_DIGEST_BYTES], uint32_t count, uint32_t index,
                       uint8_t path[TRI_FINALITY_PATH_MAX][TRI_DIGEST_BYTES]);
/* tri_tree_verify tells whether the path leads from the leaf to the root (2.1.3.2).  Any values are
 * taken. */
bool tri_tree_verify(const uint8_t leaf_hash[TRI_DIGEST_BYTES], uint32_t index, uint32_t count,
                     const uint8_t (*path)[TRI_DIGEST_BYTES], uint32_t path_count,
                     const uint8_t root[TRI_DIGEST_BYTES]);

/* ---- the header ---- */

struct tri_finality_header {
    uint8_t archive[TRI_FINALITY_ARCHIVE_BYTES];
    struct tri_text stream;
    uint64_t oss_epoch; /* from 1, consecutive in its stream */
    /* Of the record before; of the first one the chain value of the manifest line that opened the
     * stream. */
    uint8_t previous[TRI_DIGEST_BYTES];
    uint64_t issued_at_ms;          /* the latest of its messages' */
    uint8_t root[TRI_DIGEST_BYTES]; /* ossStateRoot */
    bool has_proof;                 /* false: gkrProofHash is null */
    uint8_t proof[TRI_DIGEST_BYTES];
    uint32_t chain_count; /* 1..TRI_FINALITY_CHAINS_MAX */
    const struct tri_text
        *chains;                /* all its messages' participatingChains, each once, in bytewise
                                   order.  Written only; read them by tri_finality_chain_next() */
    struct tri_bytes chains_at; /* read only: their encoded texts, borrowed */
    uint32_t message_count;     /* 1..TRI_FINALITY_MESSAGES_MAX */
    uint8_t key[TRI_FINALITY_KEY_BYTES]; /* that signs it */
};

#define TRI_FINALITY_HEADER_BYTES_MAX 45056U

/* As for leaves. */
uint32_t tri_finality_header_put(const struct tri_finality_header *header, uint8_t *to);
bool tri_finality_header_get(struct tri_bytes bytes, struct tri_finality_header *header,
                             const char **fault);
/* tri_finality_chain_next walks the chains of a header that was read; *rest begins as chains_at;
 * false at the end. */
bool tri_finality_chain_next(struct tri_bytes *rest, struct tri_text *chain);
/* The order of a header's chains: bytewise, below 0, 0 or above as memcmp() says it. */
int tri_finality_chain_order(struct tri_text one, struct tri_text other);
/* What the next record of the stream names: SHA-256 of the header's bytes. */
void tri_finality_header_hash(struct tri_bytes header, uint8_t hash[TRI_DIGEST_BYTES]);

/* "EPOCH-SHARD" into `to`; returns its bytes. */
uint32_t tri_stream_put(uint32_t epoch, uint32_t shard, char to[TRI_STREAM_BYTES_MAX]);
/* False: the text is no stream's name. */
bool tri_stream_get(struct tri_text stream, uint32_t *epoch, uint32_t *shard);

#endif
