/* SPDX-License-Identifier: Apache-2.0 */
/*
 * malloc_seal counts what a program's threads allocate, before and after a
 * moment that somebody outside chooses.
 *
 * It is preloaded (LD_PRELOAD) and stands between the program and the C
 * library's allocator.  The file that MALLOC_SEAL names is mapped by both
 * sides: the outside writes the command, this library writes one row per
 * thread.  Everything in it is a little-endian u64:
 *
 *     word 0         command: 0 = not sealed, 1 = sealed, 2 = sealed, and plant
 *     word 1         rows in use
 *     words 8 + 8n   row n: thread id; allocations before the seal; allocations,
 *                    frees and mappings behind it; three unused words
 *
 * A thread has its row from pthread_create() on, so a row that stays at 0 is
 * a thread that was watched and allocated nothing.  Under the command "plant"
 * each getrandom() allocates once: in a program that calls it on the threads
 * in question, that shows that the counting reaches them.
 *
 * The first allocations behind the seal are reported on stderr, with the
 * calls that led to them.
 *
 * Threads: any.  A row is written by its own thread only.
 */
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SEAL_ROWS          255U
#define SEAL_REPORTS_MAX   4U
#define SEAL_FRAMES_MAX    24
#define SEAL_LINE_BYTES    128U
#define SEAL_COMMAND_OPEN  0U
#define SEAL_COMMAND_PLANT 2U

struct seal_row {
    _Atomic uint64_t thread;
    _Atomic uint64_t before;
    _Atomic uint64_t allocations;
    _Atomic uint64_t frees;
    _Atomic uint64_t maps;
    uint64_t unused[3];
};

struct seal_page {
    _Atomic uint64_t command;
    _Atomic uint64_t row_count;
    uint64_t unused[6];
    struct seal_row rows[SEAL_ROWS];
};

static_assert(sizeof(struct seal_row) == 64, "a row is eight words");
static_assert(sizeof(struct seal_page) == 16384, "the file has so many bytes");

/* What stands behind the C library's own names. */
void *libc_malloc(size_t bytes) __asm__("__libc_malloc");
void *libc_calloc(size_t count, size_t bytes) __asm__("__libc_calloc");
void *libc_realloc(void *memory, size_t bytes) __asm__("__libc_realloc");
void *libc_memalign(size_t alignment, size_t bytes) __asm__("__libc_memalign");
void libc_free(void *memory) __asm__("__libc_free");

typedef int seal_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

/* A thread on its way to its first instruction. */
struct seal_start {
    void *(*routine)(void *);
    void *argument;
};

static struct seal_page *seal_page;
static bool seal_is_off;
static seal_create *seal_create_next;
static struct seal_start seal_starts[SEAL_ROWS];
static atomic_uint seal_start_count;
static atomic_uint seal_reports;
/* initial-exec: found without a call, and so without an allocation. */
static _Thread_local struct seal_row *seal_own __attribute__((tls_model("initial-exec")));

/* The first call comes from the loader, before there is a second thread. */
static struct seal_page *seal_page_open(void)
{
    const char *path = NULL;
    long at = 0;
    int file = -1;

    if (seal_page != NULL || seal_is_off) {
        return seal_page;
    }
    path = getenv("MALLOC_SEAL");
    seal_is_off = true;
    if (path == NULL) {
        return NULL;
    }
    file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) {
        return NULL;
    }
    at = syscall(SYS_mmap, NULL, sizeof(*seal_page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    (void)close(file);
    if (at != -1) {
        seal_page = (struct seal_page *)at; /* NOLINT(performance-no-int-to-ptr): a system call's */
    }
    return seal_page;
}

static struct seal_row *seal_row(void)
{
    if (seal_own == NULL && seal_page_open() != NULL) {
        uint64_t row = atomic_fetch_add(&seal_page->row_count, 1U);

        assert(row < SEAL_ROWS);
        seal_own = &seal_page->rows[row];
        atomic_store(&seal_own->thread, (uint64_t)syscall(SYS_gettid));
    }
    return seal_own;
}

static bool seal_is_sealed(void)
{
    return atomic_load(&seal_page->command) != SEAL_COMMAND_OPEN;
}

static void seal_report(const char *what, size_t bytes)
{
    void *frames[SEAL_FRAMES_MAX];
    char line[SEAL_LINE_BYTES];
    int written = 0;

    if (atomic_load(&seal_page->command) == SEAL_COMMAND_PLANT ||
        atomic_fetch_add(&seal_reports, 1U) >= SEAL_REPORTS_MAX) {
        return;
    }
    written = snprintf(line, sizeof(line), "malloc_seal: thread %ld: %s of %zu bytes\n",
                       syscall(SYS_gettid), what, bytes);
    if (write(STDERR_FILENO, line, (size_t)written) == written) {
        backtrace_symbols_fd(frames, backtrace(frames, SEAL_FRAMES_MAX), STDERR_FILENO);
    }
}

static void seal_count(const char *what, size_t bytes)
{
    struct seal_row *row = seal_row();

    if (row == NULL) {
        return;
    }
    if (!seal_is_sealed()) {
        (void)atomic_fetch_add(&row->before, 1U);
        return;
    }
    (void)atomic_fetch_add(&row->allocations, 1U);
    seal_report(what, bytes);
}

__attribute__((constructor)) static void seal_begin(void)
{
    void *frames[1];
    void *next = dlsym(RTLD_NEXT, "pthread_create");

    memcpy(&seal_create_next, &next, sizeof(seal_create_next));
    assert(seal_create_next != NULL);
    (void)seal_row();
    (void)backtrace(frames, 1); /* its first call allocates */
}

void *malloc(size_t bytes)
{
    seal_count("malloc", bytes);
    return libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    seal_count("calloc", count * bytes);
    return libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    seal_count("realloc", bytes);
    return libc_realloc(memory, bytes);
}

void *reallocarray(void *memory, size_t count, size_t bytes)
{
    size_t all = 0;

    seal_count("reallocarray", count * bytes);
    if (__builtin_mul_overflow(count, bytes, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    return libc_realloc(memory, all);
}

void *memalign(size_t alignment, size_t bytes)
{
    seal_count("memalign", bytes);
    return libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    seal_count("aligned_alloc", bytes);
    return libc_memalign(alignment, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    void *found = NULL;

    seal_count("posix_memalign", bytes);
    if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0) {
        return EINVAL;
    }
    found = libc_memalign(alignment, bytes);
    if (found == NULL) {
        return ENOMEM;
    }
    *memory = found;
    return 0;
}

void free(void *memory)
{
    struct seal_row *row = memory == NULL ? NULL : seal_row();

    if (row != NULL && seal_is_sealed()) {
        (void)atomic_fetch_add(&row->frees, 1U);
    }
    libc_free(memory);
}

static void *seal_map(void *address, size_t bytes, int protection, int flags, int file,
                      int64_t offset)
{
    struct seal_row *row = seal_row();

    if (row != NULL && seal_is_sealed()) {
        (void)atomic_fetch_add(&row->maps, 1U);
        seal_report("mmap", bytes);
    }
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): a system call's */
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, file, offset);
}

/* Under names of their own, because the headers may have turned one name into the other. */
void *seal_mmap(void *address, size_t bytes, int protection, int flags, int file,
                int64_t offset) __asm__("mmap");
void *seal_mmap64(void *address, size_t bytes, int protection, int flags, int file,
                  int64_t offset) __asm__("mmap64");

void *seal_mmap(void *address, size_t bytes, int protection, int flags, int file, int64_t offset)
{
    return seal_map(address, bytes, protection, flags, file, offset);
}

void *seal_mmap64(void *address, size_t bytes, int protection, int flags, int file, int64_t offset)
{
    return seal_map(address, bytes, protection, flags, file, offset);
}

ssize_t getrandom(void *to, size_t bytes, unsigned flags)
{
    if (seal_page != NULL && atomic_load(&seal_page->command) == SEAL_COMMAND_PLANT) {
        free(malloc(1));
    }
    return syscall(SYS_getrandom, to, bytes, flags);
}

static void *seal_thread(void *argument)
{
    const struct seal_start *start = argument;

    (void)seal_row();
    return start->routine(start->argument);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*routine)(void *),
                   void *argument)
{
    unsigned at = atomic_fetch_add(&seal_start_count, 1U);

    assert(at < SEAL_ROWS);
    seal_starts[at] = (struct seal_start){routine, argument};
    return seal_create_next(thread, attributes, seal_thread, &seal_starts[at]);
}
