/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no number is given out twice, the secret stays the same, one process owns
 * a directory, and a damaged file stops the start.
 *
 * Method: a fresh directory per test; fsync() is the test's own, so that it sees what is flushed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/state.h"

static char directory[32];
static char trouble[512];
static ino_t watched; /* an inode */
static uint32_t watched_flushes;

int fsync(int file)
{
    struct stat about;

    cr_assert_eq(fstat(file, &about), 0);
    watched_flushes += about.st_ino == watched ? 1 : 0;
    return (int)syscall(SYS_fsync, file);
}

static void setup(void)
{
    (void)snprintf(directory, sizeof(directory), "/tmp/tricast-state-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
}

static const char *path_of(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void teardown(void)
{
    static const char *const names[] = {"lock", "epoch", "hash-secret"};

    for (uint32_t index = 0; index < 3; index++) {
        (void)unlink(path_of(names[index]));
    }
    cr_assert_eq(rmdir(directory), 0, "something else was left behind");
}

TestSuite(state, .init = setup, .fini = teardown);

static struct tri_state opened(void)
{
    struct tri_state state;

    cr_assert_eq(tri_state_open(&state, directory, trouble, sizeof(trouble)), 0, "%s", trouble);
    return state;
}

static uint32_t raised(void)
{
    struct tri_state state = opened();
    uint32_t value = 0;

    cr_assert_eq(tri_state_counter(&state, "epoch", &value, trouble, sizeof(trouble)), 0, "%s",
                 trouble);
    tri_state_close(&state);
    return value;
}

static void put(const char *name, const char *text, mode_t mode)
{
    int file = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, mode);

    cr_assert_geq(file, 0);
    cr_assert_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(fchmod(file, mode), 0);
    cr_assert_eq(close(file), 0);
}

Test(state, P10_the_epoch_rises_with_every_start)
{
    cr_expect_eq(raised(), 1);
    cr_expect_eq(raised(), 2);
    cr_expect_eq(raised(), 3);
}

Test(state, P10_a_damaged_epoch_is_never_begun_anew)
{
    static const char *const damaged[] = {
        "", "x", "-1", "1 2", "4294967295", "99999999999", "00000000000000000000001"};
    struct tri_state state = opened();
    uint32_t value = 0;

    for (uint32_t index = 0; index < 7; index++) {
        put("epoch", damaged[index], 0600);
        cr_expect_eq(tri_state_counter(&state, "epoch", &value, trouble, sizeof(trouble)), -EINVAL,
                     "'%s'", damaged[index]);
        cr_expect_not_null(strstr(trouble, "epoch"));
    }
    put("epoch", "41", 0600);
    cr_expect_eq(tri_state_counter(&state, "epoch", &value, trouble, sizeof(trouble)), 0);
    cr_expect_eq(value, 42);
    tri_state_close(&state);
}

Test(state, D06_the_secret_is_made_once_for_its_owner_alone)
{
    struct tri_state state = opened();
    uint8_t first[32] = {0};
    uint8_t second[32] = {0};
    struct stat about;

    cr_assert_eq(tri_state_secret(&state, "hash-secret", first, trouble, sizeof(trouble)), 0);
    cr_assert_eq(tri_state_secret(&state, "hash-secret", second, trouble, sizeof(trouble)), 0);
    cr_expect_eq(memcmp(first, second, 32), 0);
    cr_assert_eq(stat(path_of("hash-secret"), &about), 0);
    cr_expect_eq(about.st_mode & 0777, 0600);
    cr_expect_eq(about.st_size, 32);
    tri_state_close(&state);
}

Test(state, D06_a_secret_of_another_size_or_open_to_others_stops_the_start)
{
    struct tri_state state = opened();
    uint8_t secret[32];

    put("hash-secret", "short", 0600);
    cr_expect_eq(tri_state_secret(&state, "hash-secret", secret, trouble, sizeof(trouble)),
                 -EINVAL);
    put("hash-secret", "0123456789abcdef0123456789abcdefx", 0600);
    cr_expect_eq(tri_state_secret(&state, "hash-secret", secret, trouble, sizeof(trouble)),
                 -EINVAL);
    put("hash-secret", "0123456789abcdef0123456789abcdef", 0644);
    cr_expect_eq(tri_state_secret(&state, "hash-secret", secret, trouble, sizeof(trouble)), -EPERM);
    tri_state_close(&state);
}

Test(state, a_directory_has_one_owner)
{
    struct tri_state first = opened();
    struct tri_state second;

    cr_expect_eq(tri_state_open(&second, directory, trouble, sizeof(trouble)), -EWOULDBLOCK);
    cr_expect_not_null(strstr(trouble, "another process uses this data directory"));
    tri_state_close(&first);
    cr_expect_eq(tri_state_open(&second, directory, trouble, sizeof(trouble)), 0);
    tri_state_close(&second);
}

Test(state, P10_the_name_of_a_new_directory_is_durable)
{
    struct tri_state state;
    struct stat about;

    cr_assert_eq(stat(directory, &about), 0);
    watched = about.st_ino;
    cr_assert_eq(tri_state_open(&state, path_of("d"), trouble, sizeof(trouble)), 0, "%s", trouble);
    cr_expect_eq(watched_flushes, 1);
    tri_state_close(&state);
    cr_assert_eq(unlink(path_of("d/lock")), 0);
    cr_assert_eq(rmdir(path_of("d")), 0);
}

Test(state, a_directory_that_cannot_be_made_is_named)
{
    struct tri_state state;

    cr_expect_eq(tri_state_open(&state, path_of("a/b"), trouble, sizeof(trouble)), -ENOENT);
    cr_expect_not_null(strstr(trouble, "a/b"));
    cr_expect_eq(state.directory, -1);
}
