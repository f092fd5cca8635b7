/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages for tests of the archive, told apart by a number, and the key that signs them.
 *
 * Message n concerns the chains eip155:1 and eip155:(n mod 5 + 2); of every seventh only the first
 * applied it.
 */
#ifndef TRI_TESTS_ARCHIVE_KIT_H
#define TRI_TESTS_ARCHIVE_KIT_H

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "io/archive_record.h"

#define KIT_MESSAGES_MAX      16U
#define KIT_CONTENT_BYTES_MAX 64U

static struct kit_message {
    uint8_t leaf[512];
    uint8_t content[KIT_CONTENT_BYTES_MAX];
} kit_messages[KIT_MESSAGES_MAX];
static struct tri_archive_entry kit_entries[KIT_MESSAGES_MAX];

__attribute__((unused)) static struct tri_signer kit_signer(uint8_t seed)
{
    struct tri_signer signer;
    uint8_t seeds[crypto_sign_SEEDBYTES];

    memset(seeds, seed, sizeof(seeds));
    cr_assert_eq(crypto_sign_seed_keypair(signer.public_key, signer.secret_key, seeds), 0);
    return signer;
}

static void kit_message(uint32_t number, bool is_kept, struct kit_message *to,
                        struct tri_archive_entry *entry)
{
    char chain[16];
    char id[32];
    struct tri_leaf leaf = {.attempt = TRI_ATTEMPT(1, 1),
                            .issued_at_ms = 1700000000000 + number,
                            .chain_count = 2,
                            .applied = number % 7 == 0 ? 1 : 3,
                            .is_forced = number % 3 == 0};
    int bytes = snprintf((char *)to->content, sizeof(to->content), "content of message %u", number);
    struct tri_bytes content = {to->content, (uint32_t)bytes};

    leaf.id = (struct tri_text){id, (uint32_t)snprintf(id, sizeof(id), "message-%u", number)};
    leaf.hash = tri_digest_content(content);
    leaf.chains[0] = (struct tri_text){"eip155:1", 8};
    leaf.chains[1] = (struct tri_text){
        chain, (uint32_t)snprintf(chain, sizeof(chain), "eip155:%u", number % 5 + 2)};
    *entry = (struct tri_archive_entry){.leaf = {to->leaf, tri_leaf_put(&leaf, to->leaf)},
                                        .content = is_kept ? content : (struct tri_bytes){0}};
}

/* kit_make fills kit_entries with `count` messages from number `first` on. */
__attribute__((unused)) static void kit_make(uint32_t first, uint32_t count, bool is_kept)
{
    cr_assert_leq(count, KIT_MESSAGES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        kit_message(first + i, is_kept, &kit_messages[i], &kit_entries[i]);
    }
}

#endif
