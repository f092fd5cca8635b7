/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what goes into a ring comes out once, in order, whole, also where the
 * indices wrap around, and its contents need no other synchronisation.
 *
 * Method: a producer thread and a consumer thread over rings of every small
 * size, starting just below the wrap-around.  Each token is written right
 * before it is pushed and read right after it is popped, so under the thread
 * sanitizer a missing order is a report, and anywhere a torn token is seen.
 */
#undef NDEBUG
#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>

#include "shards/ring.h"
#include "tests/tap.h"

#define TOKENS    200000U
#define SLOTS_MAX 64U

struct token {
    uint64_t number;
    uint64_t check; /* always ~number */
};

TRI_RING_TYPED(token_ring, struct token);

struct run {
    struct token_ring ring;
    struct ck_ring_buffer slots[SLOTS_MAX];
    struct token *tokens;
    uint64_t wrong;
    uint64_t taken;
};

static void *produce(void *argument)
{
    struct run *run = argument;

    for (uint32_t i = 0; i < TOKENS; i++) {
        run->tokens[i].number = i;
        run->tokens[i].check = ~(uint64_t)i;
        while (!token_ring_push(&run->ring, &run->tokens[i])) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void *consume(void *argument)
{
    struct run *run = argument;

    while (run->taken < TOKENS) {
        struct token *token = token_ring_pop(&run->ring);

        if (token == NULL) {
            (void)sched_yield();
            continue;
        }
        run->wrong += token->number != run->taken || token->check != ~run->taken ||
                      token != &run->tokens[run->taken];
        token->number = UINT64_MAX; /* the consumer's from here on */
        run->taken++;
    }
    return NULL;
}

static void stress(unsigned int slots, unsigned int start)
{
    struct run *run = aligned_alloc(TRI_CACHE_LINE, sizeof(*run));
    pthread_t threads[2];
    int failed = 0;

    assert(run != NULL);
    run->tokens = calloc(TOKENS, sizeof(*run->tokens));
    assert(run->tokens != NULL);
    run->wrong = 0;
    run->taken = 0;
    token_ring_init(&run->ring, run->slots, slots, start);
    failed |= pthread_create(&threads[0], NULL, produce, run);
    failed |= pthread_create(&threads[1], NULL, consume, run);
    assert(failed == 0);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    tri_tap_ok(run->wrong == 0 && token_ring_is_empty(&run->ring),
               "%u tokens through %u slots from index %u: once, in order, whole", TOKENS, slots,
               start);
    free(run->tokens);
    free(run);
}

int main(void)
{
    stress(2, 0);
    stress(2, UINT_MAX);
    stress(4, UINT_MAX - 100);
    stress(16, UINT_MAX - 1000);
    stress(64, UINT_MAX - 100000);
    stress(64, INT_MAX - 1000U);
    return tri_tap_done();
}
