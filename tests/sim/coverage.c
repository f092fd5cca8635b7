/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/coverage.h"

#include <assert.h>

#include "engine/round.h"

static_assert(TRI_ROUND_STATE_COUNT <= 32, "the matrix of moves has room for every state");

/* Moves of the round table that thousands of seeds must make (engine/round_table.def). */
static const uint8_t must_move[][2] = {
    {TRI_ROUND_B_COMMITTING, TRI_ROUND_CLOSING},
    {TRI_ROUND_BF_COMMITTING, TRI_ROUND_BF_FINALIZING},
    {TRI_ROUND_BF_COMMITTING, TRI_ROUND_CLOSING},
    {TRI_ROUND_BF_FINALIZING, TRI_ROUND_CLOSING},
    {TRI_ROUND_G_PREPARING, TRI_ROUND_G_COMMITTING},
    {TRI_ROUND_G_PREPARING, TRI_ROUND_G_BACKOFF},
    {TRI_ROUND_G_PREPARING, TRI_ROUND_CLOSING},
    {TRI_ROUND_G_COMMITTING, TRI_ROUND_G_RECORDING},
    {TRI_ROUND_G_COMMITTING, TRI_ROUND_G_BACKOFF},
    {TRI_ROUND_G_COMMITTING, TRI_ROUND_CLOSING},
    {TRI_ROUND_G_RECORDING, TRI_ROUND_G_FINALIZING},
    {TRI_ROUND_G_BACKOFF, TRI_ROUND_G_PREPARING},
    {TRI_ROUND_A_PREPARING, TRI_ROUND_A_COMMITTING},
    {TRI_ROUND_A_PREPARING, TRI_ROUND_A_BACKOFF},
    {TRI_ROUND_A_PREPARING, TRI_ROUND_CLOSING},
    {TRI_ROUND_A_COMMITTING, TRI_ROUND_A_RECORDING},
    {TRI_ROUND_A_COMMITTING, TRI_ROUND_A_BACKOFF},
    {TRI_ROUND_A_COMMITTING, TRI_ROUND_A_ROLLING_BACK},
    {TRI_ROUND_A_COMMITTING, TRI_ROUND_CLOSING},
    {TRI_ROUND_A_ROLLING_BACK, TRI_ROUND_A_BACKOFF},
    {TRI_ROUND_A_ROLLING_BACK, TRI_ROUND_CLOSING},
    {TRI_ROUND_A_RECORDING, TRI_ROUND_A_FINALIZING},
    {TRI_ROUND_A_BACKOFF, TRI_ROUND_A_PREPARING},
    {TRI_ROUND_G_HELD, TRI_ROUND_G_PREPARING},
    {TRI_ROUND_G_HELD, TRI_ROUND_CLOSING},
    {TRI_ROUND_A_HELD, TRI_ROUND_A_PREPARING},
    {TRI_ROUND_A_HELD, TRI_ROUND_CLOSING},
    {TRI_ROUND_R_PREPARING, TRI_ROUND_R_COMMITTING},
    {TRI_ROUND_R_COMMITTING, TRI_ROUND_R_FINALIZING},
};
#define MUST_MOVE_COUNT (sizeof(must_move) / sizeof(must_move[0]))
#define MUST_MOVE_SEEDS 1000U

static const char *const state_names[TRI_ROUND_STATE_COUNT] = {
#define STATE_NAME(name, shown, phase, frames) #name,
    TRI_ROUND_STATES(STATE_NAME)
#undef STATE_NAME
};

void sim_coverage_add(struct sim_coverage *sum, const struct sim_coverage *run)
{
#define ADD(name, seeds, help) sum->name += run->name;
    SIM_COVERAGE(ADD)
#undef ADD
    for (uint32_t from = 0; from < 32; from++) {
        for (uint32_t to = 0; to < 32; to++) {
            sum->moves[from][to] += run->moves[from][to];
        }
    }
}

void sim_coverage_print(const struct sim_coverage *sum, FILE *to, const char *prefix)
{
#define PRINT(name, seeds, help) \
    (void)fprintf(to, "%s%10llu %s\n", prefix, (unsigned long long)sum->name, help);
    SIM_COVERAGE(PRINT)
#undef PRINT
    for (uint32_t from = 0; from < TRI_ROUND_STATE_COUNT; from++) {
        for (uint32_t next = 0; next < TRI_ROUND_STATE_COUNT; next++) {
            if (sum->moves[from][next] != 0) {
                (void)fprintf(to, "%s%10llu %s -> %s\n", prefix,
                              (unsigned long long)sum->moves[from][next], state_names[from],
                              state_names[next]);
            }
        }
    }
}

bool sim_coverage_is_enough(const struct sim_coverage *sum, uint64_t seeds, FILE *to,
                            const char *prefix)
{
    bool is_enough = true;

#define LOOK(name, needed, help)                                   \
    if (seeds >= (needed) && sum->name == 0) {                     \
        (void)fprintf(to, "%snever occurred: %s\n", prefix, help); \
        is_enough = false;                                         \
    }
    SIM_COVERAGE(LOOK)
#undef LOOK
    for (uint32_t i = 0; i < MUST_MOVE_COUNT && seeds >= MUST_MOVE_SEEDS; i++) {
        if (sum->moves[must_move[i][0]][must_move[i][1]] == 0) {
            (void)fprintf(to, "%snever occurred: %s -> %s\n", prefix, state_names[must_move[i][0]],
                          state_names[must_move[i][1]]);
            is_enough = false;
        }
    }
    return is_enough;
}
