/* SPDX-License-Identifier: Apache-2.0 */
#include "io/place.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

/* From this size on a mapping asks for huge pages: tables that are hit at random miss the TLB less.
 */
#define PLACE_HUGE_BYTES (UINT64_C(4) << 20)

uint32_t tri_place_cpus(void)
{
    cpu_set_t allowed;

    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || CPU_COUNT(&allowed) < 1) {
        return 1;
    }
    return (uint32_t)CPU_COUNT(&allowed);
}

int tri_place_pin(uint32_t index)
{
    cpu_set_t allowed;
    cpu_set_t chosen;
    uint32_t wanted = 0;

    CPU_ZERO(&allowed);
    CPU_ZERO(&chosen);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return -errno;
    }
    if (CPU_COUNT(&allowed) < 1) {
        return -ENOENT;
    }
    wanted = index % (uint32_t)CPU_COUNT(&allowed);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET((size_t)cpu, &allowed)) {
            if (wanted == 0) {
                CPU_SET((size_t)cpu, &chosen);
                break;
            }
            wanted--;
        }
    }
    assert(CPU_COUNT(&chosen) == 1);
    return sched_setaffinity(0, sizeof(chosen), &chosen) == 0 ? 0 : -errno;
}

void *tri_place_map(size_t bytes)
{
    void *memory = NULL;

    assert(bytes > 0);
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                  -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    if (bytes >= PLACE_HUGE_BYTES) {
        /* A wish: without huge pages everything works the same. */
        (void)madvise(memory, bytes, MADV_HUGEPAGE);
    }
    return memory;
}

void tri_place_scatter(void *memory, size_t bytes)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

    assert((uintptr_t)memory % page_bytes == 0);
    /* A wish, too. */
    (void)madvise(memory, bytes / page_bytes * page_bytes, MADV_NOHUGEPAGE);
}

int tri_place_fill(void *memory, size_t bytes)
{
    size_t before = (uintptr_t)memory % (size_t)sysconf(_SC_PAGESIZE);

    assert(memory != NULL);
    if (madvise((uint8_t *)memory - before, bytes + before, MADV_POPULATE_WRITE) == 0) {
        return 0;
    }
    if (errno != EINVAL) { /* EINVAL: a kernel before 5.14; pages then come when they are touched */
        return -errno;
    }
    return 0;
}

void tri_place_unmap(void *memory, size_t bytes)
{
    if (memory != NULL) {
        int failed = munmap(memory, bytes);

        assert(failed == 0);
    }
}
