/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What malloc_seal has to see: a program that allocates in every way, before
 * and behind the seal, on its main thread; a second thread allocates once behind it,
 * a third one never.  It seals itself.
 *
 * Exit code 0: it did what it says below.  tests/e2e/test_seal.py knows the
 * numbers.
 */
#undef NDEBUG
#include <assert.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The compiler may not leave out what nobody reads. */
static void *volatile seen;
static pthread_barrier_t is_sealed;

static void seal(void)
{
    static const uint64_t sealed = 1;
    const char *path = getenv("MALLOC_SEAL");
    int file = -1;
    ssize_t written = 0;

    assert(path != NULL);
    file = open(path, O_WRONLY | O_CLOEXEC);
    assert(file >= 0);
    written = pwrite(file, &sealed, sizeof(sealed), 0);
    assert(written == (ssize_t)sizeof(sealed));
    (void)close(file);
}

/* Eight allocations (the copy of the text is one), six frees, one mapping. */
static void allocate_in_every_way(void)
{
    void *memory = malloc(10);
    int failed = 0;

    seen = memory;
    memory = realloc(memory, 100000);
    seen = memory;
    memory = reallocarray(memory, 3, 100);
    seen = memory;
    free(memory);
    seen = calloc(3, 100);
    free(seen);
    seen = aligned_alloc(64, 128);
    free(seen);
    seen = memalign(64, 128);
    free(seen);
    failed = posix_memalign(&memory, 64, 128);
    assert(failed == 0);
    seen = memory;
    free(memory);
    seen = strdup("text");
    free(seen);
    memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(memory != MAP_FAILED);
    failed = munmap(memory, 4096);
    assert(failed == 0);
}

static void *allocate_once(void *unused)
{
    (void)pthread_barrier_wait(&is_sealed);
    seen = malloc(1);
    return unused;
}

static void *allocate_nothing(void *unused)
{
    (void)pthread_barrier_wait(&is_sealed);
    return unused;
}

int main(void)
{
    pthread_t threads[2];
    int failed = 0;

    allocate_in_every_way();
    failed |= pthread_barrier_init(&is_sealed, NULL, 3);
    failed |= pthread_create(&threads[0], NULL, allocate_once, NULL);
    failed |= pthread_create(&threads[1], NULL, allocate_nothing, NULL);
    assert(failed == 0);
    seal();
    allocate_in_every_way();
    (void)pthread_barrier_wait(&is_sealed);
    failed |= pthread_join(threads[0], NULL);
    failed |= pthread_join(threads[1], NULL);
    assert(failed == 0);
    return 0;
}
