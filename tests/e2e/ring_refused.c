/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring_refused is preloaded (LD_PRELOAD) and lets the RING_REFUSED-th ring of a
 * process, from 1, not be enabled: as if memory had run out at that moment.  It
 * comes late, when all others have been enabled and had time to fall asleep.
 * All rings wait until there is a file of the name RING_GATE, if that is set.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define REFUSED_ENABLE_RINGS 12L /* IORING_REGISTER_ENABLE_RINGS */
#define REFUSED_WORDS        6

long syscall(long number, ...)
{
    static atomic_uint rings;
    const struct timespec short_pause = {.tv_sec = 0, .tv_nsec = 1000L * 1000};
    const char *gate = getenv("RING_GATE");
    const char *wanted = getenv("RING_REFUSED");
    long (*next)(long, ...) = NULL;
    long words[REFUSED_WORDS];
    va_list arguments;

    va_start(arguments, number);
    for (int i = 0; i < REFUSED_WORDS; i++) {
        words[i] = va_arg(arguments, long);
    }
    va_end(arguments);
    while (number == SYS_io_uring_register && words[1] == REFUSED_ENABLE_RINGS && gate != NULL &&
           access(gate, F_OK) != 0) {
        (void)nanosleep(&short_pause, NULL);
    }
    if (number == SYS_io_uring_register && words[1] == REFUSED_ENABLE_RINGS &&
        atomic_fetch_add(&rings, 1) + 1 ==
            (wanted == NULL ? 0 : (unsigned)strtoul(wanted, NULL, 10))) {
        struct timespec pause = {.tv_sec = 0, .tv_nsec = 300L * 1000 * 1000};

        (void)nanosleep(&pause, NULL);
        errno = ENOMEM;
        return -1;
    }
    *(void **)&next = dlsym(RTLD_NEXT, "syscall");
    return next(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}
