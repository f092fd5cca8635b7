/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random: the one generator of a run (splitmix64).
 *
 * Threads: a generator belongs to its run.
 */
#ifndef TRI_TESTS_SIM_RANDOM_H
#define TRI_TESTS_SIM_RANDOM_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

struct sim_random {
    uint64_t state;
};

static inline uint64_t sim_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static inline uint64_t sim_random(struct sim_random *random)
{
    random->state += UINT64_C(0x9e3779b97f4a7c15);
    return sim_mix(random->state);
}

/* 0..count-1 */
static inline uint32_t sim_below(struct sim_random *random, uint32_t count)
{
    assert(count > 0);
    return (uint32_t)((sim_random(random) >> 32) * count >> 32);
}

/* low..high */
static inline uint32_t sim_between(struct sim_random *random, uint32_t low, uint32_t high)
{
    assert(low <= high);
    return low + sim_below(random, high - low + 1);
}

static inline bool sim_chance(struct sim_random *random, uint32_t permille)
{
    return sim_below(random, 1000) < permille;
}

#endif
