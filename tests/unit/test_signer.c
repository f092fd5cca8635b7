/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: signatures are Ed25519, and a key file is made once, for its owner alone.
 * Method: the second and third vector of RFC 8032, and files in a fresh directory.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/signer.h"

/* RFC 8032, section 7.1, TEST 2. */
static const char key_text[] =
    "tricast-key 1 ed25519\n"
    "secret 4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb\n"
    "public 3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c\n";

static char directory[32];
static char path[64];
static char trouble[512];

static void setup(void)
{
    (void)snprintf(directory, sizeof(directory), "/tmp/tricast-signer-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/key", directory);
}

static void teardown(void)
{
    (void)unlink(path);
    cr_assert_eq(rmdir(directory), 0, "something else was left behind");
}

TestSuite(signer, .init = setup, .fini = teardown);

static void put(const char *text, size_t bytes, mode_t mode)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    cr_assert_geq(file, 0);
    cr_assert_eq(write(file, text, bytes), (ssize_t)bytes);
    cr_assert_eq(fchmod(file, mode), 0);
    cr_assert_eq(close(file), 0);
}

static int opened(struct tri_signer *signer)
{
    trouble[0] = '\0';
    return tri_signer_open(signer, path, trouble, sizeof(trouble));
}

Test(signer, F02_a_signature_is_that_of_rfc_8032)
{
    static const uint8_t expected[TRI_SIGNER_SIGNATURE_BYTES] = {
        0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8, 0x72, 0x0e, 0x82, 0x0b, 0x5f,
        0x64, 0x25, 0x40, 0xa2, 0xb2, 0x7b, 0x54, 0x16, 0x50, 0x3f, 0x8f, 0xb3, 0x76,
        0x22, 0x23, 0xeb, 0xdb, 0x69, 0xda, 0x08, 0x5a, 0xc1, 0xe4, 0x3e, 0x15, 0x99,
        0x6e, 0x45, 0x8f, 0x36, 0x13, 0xd0, 0xf1, 0x1d, 0x8c, 0x38, 0x7b, 0x2e, 0xae,
        0xb4, 0x30, 0x2a, 0xee, 0xb0, 0x0d, 0x29, 0x16, 0x12, 0xbb, 0x0c, 0x00};
    struct tri_signer signer;
    uint8_t signature[TRI_SIGNER_SIGNATURE_BYTES];

    put(key_text, sizeof(key_text) - 1, 0600);
    cr_assert_eq(opened(&signer), 0, "%s", trouble);
    tri_signer_sign(&signer, "\x72", 1, signature);
    cr_expect_eq(memcmp(signature, expected, sizeof(expected)), 0);
    cr_expect(tri_signer_verify(signer.public_key, "\x72", 1, signature));
    cr_expect_not(tri_signer_verify(signer.public_key, "\x73", 1, signature));
    cr_expect_not(tri_signer_verify(signer.public_key, "\x72", 0, signature));
    tri_signer_close(&signer);
}

Test(signer, F02_every_bit_of_signature_and_key_counts)
{
    struct tri_signer signer;
    uint8_t signature[TRI_SIGNER_SIGNATURE_BYTES];

    put(key_text, sizeof(key_text) - 1, 0600);
    cr_assert_eq(opened(&signer), 0);
    tri_signer_sign(&signer, "record", 6, signature);
    for (uint32_t bit = 0; bit < 8 * sizeof(signature); bit++) {
        signature[bit / 8] ^= (uint8_t)(1U << bit % 8);
        cr_expect_not(tri_signer_verify(signer.public_key, "record", 6, signature), "bit %u", bit);
        signature[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (uint32_t bit = 0; bit < 8 * sizeof(signer.public_key); bit++) {
        signer.public_key[bit / 8] ^= (uint8_t)(1U << bit % 8);
        cr_expect_not(tri_signer_verify(signer.public_key, "record", 6, signature), "bit %u", bit);
        signer.public_key[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    cr_expect(tri_signer_verify(signer.public_key, "record", 6, signature));
}

Test(signer, F02_a_new_key_is_read_back_and_is_its_owners_alone)
{
    struct tri_signer made;
    struct tri_signer again;
    struct stat about;
    uint8_t one[TRI_SIGNER_SIGNATURE_BYTES];
    uint8_t other[TRI_SIGNER_SIGNATURE_BYTES];

    cr_assert_eq(tri_signer_new(&made, path, trouble, sizeof(trouble)), 0, "%s", trouble);
    cr_assert_eq(stat(path, &about), 0);
    cr_expect_eq(about.st_mode & 0777, 0600);
    cr_expect_eq(about.st_nlink, 1);
    cr_expect_eq(about.st_size, 166);
    cr_assert_eq(opened(&again), 0, "%s", trouble);
    cr_expect_eq(memcmp(&made, &again, sizeof(made)), 0);
    tri_signer_sign(&made, "x", 1, one);
    tri_signer_sign(&again, "x", 1, other);
    cr_expect_eq(memcmp(one, other, sizeof(one)), 0, "the same bytes have one signature");
    tri_signer_close(&made);
    tri_signer_close(&again);
    cr_expect_eq(made.secret_key[0] | made.secret_key[31], 0, "the secret is wiped");
}

Test(signer, a_key_is_never_replaced)
{
    struct tri_signer first;
    struct tri_signer second;
    struct tri_signer kept;

    cr_assert_eq(tri_signer_new(&first, path, trouble, sizeof(trouble)), 0);
    cr_expect_eq(tri_signer_new(&second, path, trouble, sizeof(trouble)), -EEXIST);
    cr_expect_not_null(strstr(trouble, "never replaced"));
    cr_assert_eq(opened(&kept), 0);
    cr_expect_eq(memcmp(first.public_key, kept.public_key, sizeof(kept.public_key)), 0);
}

Test(signer, two_keys_differ)
{
    struct tri_signer first;
    struct tri_signer second;

    cr_assert_eq(tri_signer_new(&first, path, trouble, sizeof(trouble)), 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(tri_signer_new(&second, path, trouble, sizeof(trouble)), 0);
    cr_expect_neq(memcmp(first.public_key, second.public_key, sizeof(first.public_key)), 0);
}

Test(signer, a_key_that_others_may_read_is_refused)
{
    static const mode_t modes[] = {0644, 0640, 0604, 0660, 0601};
    struct tri_signer signer;

    for (uint32_t i = 0; i < 5; i++) {
        put(key_text, sizeof(key_text) - 1, modes[i]);
        cr_expect_eq(opened(&signer), -EPERM);
        cr_expect_not_null(strstr(trouble, "chmod 600"));
    }
    put(key_text, sizeof(key_text) - 1, 0400);
    cr_expect_eq(opened(&signer), 0);
}

Test(signer, a_missing_key_is_named)
{
    struct tri_signer signer;

    cr_expect_eq(opened(&signer), -ENOENT);
    cr_expect_not_null(strstr(trouble, path));
    cr_expect_eq(
        tri_signer_new(&signer, "/tmp/tricast-no-such-directory/key", trouble, sizeof(trouble)),
        -ENOENT);
    cr_expect_not_null(strstr(trouble, "tricast-no-such-directory"));
}

/* Nearly every change breaks the form or the pair of halves. */
Test(signer, F02_a_changed_key_file_is_none)
{
    struct tri_signer signer;
    char text[sizeof(key_text) + 1];

    for (uint32_t i = 0; i < sizeof(key_text) - 1; i++) {
        memcpy(text, key_text, sizeof(key_text));
        text[i] ^= 1;
        put(text, sizeof(key_text) - 1, 0600);
        cr_expect_eq(opened(&signer), -EBADMSG, "byte %u", i);
        put(key_text, i, 0600);
        cr_expect_eq(opened(&signer), -EBADMSG, "%u bytes", i);
    }
    memcpy(text, key_text, sizeof(key_text));
    text[sizeof(key_text) - 1] = '\n';
    put(text, sizeof(key_text), 0600);
    cr_expect_eq(opened(&signer), -EBADMSG, "a line more");
}

Test(signer, F02_a_public_half_of_another_key_is_refused)
{
    struct tri_signer signer;
    char text[sizeof(key_text)];

    memcpy(text, key_text, sizeof(key_text));
    text[sizeof(key_text) - 3] = text[sizeof(key_text) - 3] == '0' ? '1' : '0';
    put(text, sizeof(key_text) - 1, 0600);
    cr_expect_eq(opened(&signer), -EBADMSG);
    cr_expect_not_null(strstr(trouble, "does not belong to its secret"));
}
