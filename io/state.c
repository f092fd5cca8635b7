/* SPDX-License-Identifier: Apache-2.0 */
#include "io/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/secret.h"

#define STATE_NAME_BYTES_MAX   64U
#define STATE_NUMBER_BYTES_MAX 16U

static int state_trouble(char *trouble, size_t trouble_bytes, const char *name, int failed,
                         const char *advice)
{
    (void)snprintf(trouble, trouble_bytes, "%s: %s%s%s", name, strerror(-failed),
                   advice[0] == '\0' ? "" : "; ", advice);
    return failed;
}

int tri_state_file(int directory, const char *name)
{
    int file = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat about;
    int failed = 0;

    if (file < 0) {
        return errno == ELOOP || errno == ENXIO ? -EMEDIUMTYPE : -errno; /* a link; a socket */
    }
    if (fstat(file, &about) != 0) {
        failed = -errno;
    } else if (!S_ISREG(about.st_mode)) {
        failed = -EMEDIUMTYPE;
    }
    if (failed != 0) {
        (void)close(file);
        return failed;
    }
    return file;
}

const char *tri_state_why(int failed)
{
    return failed == -EMEDIUMTYPE ? "it is a link, a pipe or the like, and no file"
                                  : strerror(-failed);
}

int tri_state_settle(const struct tri_state *state)
{
    int parent = openat(state->directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = 0;

    if (parent < 0 && errno == EACCES) { /* it may be passed through but not read */
        return syncfs(state->directory) == 0 ? 0 : -errno;
    }
    if (parent < 0) {
        return -errno;
    }
    failed = fsync(parent) == 0 ? 0 : -errno;
    (void)close(parent);
    /* The parent of a mount may be of a file system that has nothing to flush. */
    return failed == -EINVAL || failed == -EROFS ? 0 : failed;
}

int tri_state_open(struct tri_state *state, const char *path, char *trouble, size_t trouble_bytes)
{
    int failed = 0;

    assert(state != NULL && path != NULL);
    *state = (struct tri_state){-1, -1};
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return state_trouble(trouble, trouble_bytes, path, -errno,
                             "make the data directory's parent, or name another directory");
    }
    state->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state->directory < 0) {
        return state_trouble(trouble, trouble_bytes, path, -errno,
                             "the data directory cannot be opened");
    }
    state->lock = openat(state->directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (state->lock < 0) {
        failed = state_trouble(trouble, trouble_bytes, path, -errno,
                               "the data directory must be writable for this user");
    } else if (flock(state->lock, LOCK_EX | LOCK_NB) != 0) {
        failed = -errno;
        if (failed == -EWOULDBLOCK) {
            (void)snprintf(trouble, trouble_bytes,
                           "%s: another process uses this data directory; stop it first", path);
        } else {
            (void)state_trouble(trouble, trouble_bytes, path, failed, "the lock cannot be taken");
        }
    } else if ((failed = tri_state_settle(state)) != 0) {
        (void)state_trouble(trouble, trouble_bytes, path, failed, "its parent cannot be flushed");
    }
    if (failed != 0) {
        tri_state_close(state);
    }
    return failed;
}

void tri_state_close(struct tri_state *state)
{
    assert(state != NULL);
    if (state->lock > 0) {
        (void)close(state->lock);
    }
    if (state->directory > 0) {
        (void)close(state->directory);
    }
    *state = (struct tri_state){-1, -1};
}

static int state_write_all(int file, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;

    while (count > 0) {
        ssize_t written = write(file, at, count);

        if (written < 0 && errno != EINTR) {
            return -errno;
        }
        if (written > 0) {
            at += written;
            count -= (size_t)written;
        }
    }
    return 0;
}

int tri_state_replace(struct tri_state *state, const char *name, const void *bytes, size_t count)
{
    char beside[STATE_NAME_BYTES_MAX];
    int file = -1;
    int failed = 0;
    int named = snprintf(beside, sizeof(beside), "%s.new", name);

    assert(state->directory >= 0);
    assert(named > 0 && (size_t)named < sizeof(beside));
    file = openat(state->directory, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                  0600);
    if (file < 0) {
        return -errno;
    }
    failed = state_write_all(file, bytes, count);
    if (failed == 0 && fsync(file) != 0) {
        failed = -errno;
    }
    if (close(file) != 0 && failed == 0) {
        failed = -errno;
    }
    if (failed == 0 && renameat(state->directory, beside, state->directory, name) != 0) {
        failed = -errno;
    }
    if (failed == 0 && fsync(state->directory) != 0) {
        failed = -errno;
    }
    return failed;
}

/* Reads at most `count` bytes; returns how many there are (count + 1 = more), or -errno. */
static ssize_t state_read(struct tri_state *state, const char *name, void *bytes, size_t count,
                          struct stat *about)
{
    uint8_t *at = bytes;
    size_t used = 0;
    ssize_t got = 1;
    uint8_t extra = 0;
    int file = openat(state->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (file < 0) {
        return -errno;
    }
    if (fstat(file, about) != 0) {
        got = -1;
    }
    while (got > 0 && used <= count) {
        got = used < count ? read(file, at + used, count - used) : read(file, &extra, 1);
        if (got < 0 && errno == EINTR) {
            got = 1;
            continue;
        }
        used += got > 0 ? (size_t)got : 0;
    }
    got = got < 0 ? -errno : (ssize_t)used;
    (void)close(file);
    return got;
}

/* A decimal number of 1..10 digits and at most one newline, at most 2^32 - 2 so that it can be
 * raised. */
static bool state_number(const char *text, size_t bytes, uint32_t *value)
{
    uint64_t sum = 0;

    if (bytes > 0 && text[bytes - 1] == '\n') {
        bytes--;
    }
    if (bytes == 0 || bytes > 10) {
        return false;
    }
    for (size_t index = 0; index < bytes; index++) {
        if (text[index] < '0' || text[index] > '9') {
            return false;
        }
        sum = sum * 10 + (uint64_t)(text[index] - '0');
    }
    *value = (uint32_t)sum;
    return sum < UINT32_MAX;
}

int tri_state_counter(struct tri_state *state, const char *name, uint32_t *value, char *trouble,
                      size_t trouble_bytes)
{
    char text[STATE_NUMBER_BYTES_MAX] = "";
    struct stat about;
    ssize_t got = 0;
    int failed = 0;

    assert(state != NULL && value != NULL);
    got = state_read(state, name, text, sizeof(text), &about);
    if (got < 0 && got != -ENOENT) {
        return state_trouble(trouble, trouble_bytes, name, (int)got, "the file cannot be read");
    }
    *value = 0;
    if (got != -ENOENT && ((size_t)got > sizeof(text) || !state_number(text, (size_t)got, value))) {
        return state_trouble(trouble, trouble_bytes, name, -EINVAL,
                             "the file must hold one number below 4294967295; write the highest "
                             "number ever used into it");
    }
    *value += 1;
    got = snprintf(text, sizeof(text), "%u\n", *value);
    assert(got > 0 && (size_t)got < sizeof(text));
    failed = tri_state_replace(state, name, text, (size_t)got);
    if (failed != 0) {
        return state_trouble(trouble, trouble_bytes, name, failed, "the file cannot be written");
    }
    return 0;
}

int tri_state_secret(struct tri_state *state, const char *name, uint8_t secret[32], char *trouble,
                     size_t trouble_bytes)
{
    struct stat about = {0};
    ssize_t got = 0;
    int failed = 0;

    assert(state != NULL && secret != NULL);
    got = state_read(state, name, secret, 32, &about);
    if (got == -ENOENT) {
        failed = tri_secret_random(secret, 32);
        if (failed == 0) {
            failed = tri_state_replace(state, name, secret, 32);
        }
        if (failed != 0) {
            return state_trouble(trouble, trouble_bytes, name, failed, "the file cannot be made");
        }
        return 0;
    }
    if (got < 0) {
        return state_trouble(trouble, trouble_bytes, name, (int)got, "the file cannot be read");
    }
    if (got != 32) {
        return state_trouble(trouble, trouble_bytes, name, -EINVAL,
                             "the file must hold exactly 32 bytes; restore it from a backup");
    }
    if ((about.st_mode & 077) != 0) {
        return state_trouble(trouble, trouble_bytes, name, -EPERM,
                             "others may read the file; chmod 600 it");
    }
    return 0;
}
