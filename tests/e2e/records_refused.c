/* SPDX-License-Identifier: Apache-2.0 */
/*
 * records_refused is preloaded (LD_PRELOAD) and lets writes to files of finality records (*.fin)
 * fail as soon as there is a file of the name FIN_GATE: with the error FIN_ERROR, a number, and if
 * FIN_TORN is set only behind the first bytes of the first of them.  The error comes late, when
 * shards that have nothing else to do are asleep.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define TORN_BYTES 10U

static bool is_of_records(int file)
{
    char link[64];
    char path[4096];
    ssize_t bytes = 0;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
    bytes = readlink(link, path, sizeof(path));
    return bytes >= 4 && memcmp(path + bytes - 4, ".fin", 4) == 0;
}

static bool is_refused(int file)
{
    const char *gate = getenv("FIN_GATE");

    return gate != NULL && access(gate, F_OK) == 0 && is_of_records(file);
}

static ssize_t refuse(void)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 200L * 1000 * 1000};
    const char *wanted = getenv("FIN_ERROR");

    (void)nanosleep(&pause, NULL);
    errno = wanted == NULL ? EIO : (int)strtol(wanted, NULL, 10);
    return -1;
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset)
{
    ssize_t (*next)(int, const void *, size_t, off_t) = NULL;

    if (is_refused(file)) {
        return refuse();
    }
    *(void **)&next = dlsym(RTLD_NEXT, "pwrite64");
    return next(file, bytes, count, offset);
}

ssize_t pwritev(int file, const struct iovec *vectors, int count, off_t offset)
{
    static atomic_bool was_refused;
    ssize_t (*next)(int, const struct iovec *, int, off_t) = NULL;
    struct iovec torn = {.iov_base = vectors[0].iov_base, .iov_len = TORN_BYTES};

    *(void **)&next = dlsym(RTLD_NEXT, "pwritev64");
    if (!is_refused(file)) {
        return next(file, vectors, count, offset);
    }
    if (getenv("FIN_TORN") != NULL && !atomic_exchange(&was_refused, true)) {
        return next(file, &torn, 1, offset);
    }
    return refuse();
}
