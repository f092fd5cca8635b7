/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verdict: the promises that can be judged only when everything has ended, from the chains' final
 * books and what the clients were told.
 */
#include "tests/sim/sim.h"

/* Which chains must have the effect, and which must not; the rest is a named exception. */
static void expect(const struct check_message *it, uint32_t *must, uint32_t *must_not)
{
    *must = 0;
    *must_not = UINT32_MAX; /* no result, or a clean end: nobody */
    if (!it->has_result) {
        return;
    }
    if (it->atomicity == TRI_BEST_EFFORT || it->told.code == TRI_ERROR_RECONCILIATION_REQUIRED) {
        *must = it->told.applied;
        *must_not = ~it->targets | it->told.refused;
        return;
    }
    if (it->told.type == TRI_ACK_PROCESSED) {
        *must = it->targets;
        *must_not = ~it->targets;
        return;
    }
    if (it->told.code == TRI_ERROR_ROLLBACK_INCOMPLETE) {
        *must_not = ~it->targets | it->told.undone | it->told.refused;
    }
}

static const char *statement_of(const struct check_message *it)
{
    if (!it->has_result) {
        return "P14";
    }
    switch (it->atomicity) {
    case TRI_BEST_EFFORT:
        return "A01";
    case TRI_GUARANTEED:
        return "A03";
    default:
        return "all-or-none";
    }
}

static void check_effects(struct sim_world *world, uint32_t index)
{
    struct check_message *it = &world->checker.messages[index];
    uint32_t applied = 0;
    uint32_t must;
    uint32_t must_not;

    for (uint32_t chain = 0; chain < world->swarm.chain_count; chain++) {
        int32_t net = world->chains[chain].books->net[index];

        if (net != 0 && net != 1) {
            sim_break(world, "P10", "chain %u has applied m%u %d times", chain, index, net);
        }
        applied |= (uint32_t)(net != 0) << chain;
    }
    if (!it->has_result && it->kept.stage == CHECK_ENDED) {
        it->has_result = true; /* a restart has cut off everybody who waited */
        it->told = it->kept.end;
    }
    if (!it->has_result && world->coordinator.is_broken) {
        return; /* a restart would recover it */
    }
    if (!it->has_result && it->accept_lsn != 0) {
        sim_break(world, "C04", "m%u was accepted and has not ended", index);
    }
    if (it->has_primary && it->told.type != TRI_ACK_PROCESSED) {
        sim_break(world, "A08", "m%u has a primary record and ended %s %s", index,
                  tri_ack_type_name(it->told.type), tri_error_name(it->told.code));
    }
    expect(it, &must, &must_not);
    if ((applied & must) != must || (applied & must_not) != 0) {
        sim_break(world, statement_of(it),
                  "m%u (%s, targets %#x) ended %s %s: applied on %#x, must be on %#x, must not on "
                  "%#x",
                  index, tri_atomicity_name(it->atomicity), it->targets,
                  it->has_result ? tri_ack_type_name(it->told.type) : "without a result",
                  tri_error_name(it->told.code), applied, must, must_not & it->targets);
    }
    if (it->has_result && it->atomicity != TRI_BEST_EFFORT &&
        it->told.code == TRI_ERROR_RECONCILIATION_REQUIRED && it->atomicity != TRI_GUARANTEED) {
        sim_break(world, "A03", "m%u is not GUARANTEED and waits for reconciliation", index);
    }
}

/* R09: every submit is answered at once, and every accepted one has one end. */
static void check_clients(struct sim_world *world, uint32_t index)
{
    const struct check_message *it = &world->checker.messages[index];

    for (uint32_t client = 0; client < world->swarm.client_count; client++) {
        const struct check_client *told = &it->clients[client];

        if (told->receipts + told->repeats + told->refusals != told->submits) {
            sim_break(world, "R09",
                      "client %u submitted m%u %u times: %u receipts, %u results "
                      "again, %u refusals",
                      client, index, told->submits, told->receipts, told->repeats, told->refusals);
        }
        if (told->results != (told->receipts > 0 ? 1U : 0U)) {
            sim_break(world, "R09", "client %u was told the end of m%u %u times", client, index,
                      told->results);
        }
    }
}

static void check_books(struct sim_world *world, uint32_t chain)
{
    const struct sim_chain *it = &world->chains[chain];
    struct tri_asset_view view;
    uint32_t cursor = 0;

    for (uint32_t i = 0; i < SIM_PENDING_MAX; i++) {
        if (it->books->pending[i].is_used) {
            sim_break(world, "C04", "an operation is still at the ledger of chain %u", chain);
        }
    }
    while (tri_ledger_next(it->ledger, &cursor, &view)) {
        uint32_t asset = sim_message_of((struct tri_text){view.id.at + 5, view.id.bytes - 5});

        assert(asset < world->swarm.asset_count);
        if (view.is_reserved) {
            sim_break(world, "L06", "chain %u still holds a reservation of %.*s", chain,
                      (int)view.id.bytes, view.id.at);
        }
        if (view.version != it->books->changes[asset]) {
            sim_break(world, "S04", "chain %u has changed %.*s %u times, its version is %llu",
                      chain, (int)view.id.bytes, view.id.at, it->books->changes[asset],
                      (unsigned long long)view.version);
        }
    }
}

/* P14: every message has ended and nothing is on its way.  Where only a broken link can lose a
 * frame, each reservation that outlived its attempt has been asked about and given back, long
 * before its TTL; what was applied keeps it for FINALIZE. */
void check_calm(struct sim_world *world)
{
    if (world->swarm.is_datagram || world->swarm.blocks > 0 || world->coordinator.is_broken) {
        return;
    }
    for (uint32_t chain = 0; chain < world->swarm.chain_count; chain++) {
        for (uint32_t i = 0; i < world->swarm.message_count; i++) {
            tri_attempt attempt;

            if (tri_participant_state(world->chains[chain].participant, world->messages[i].key,
                                      &attempt) == TRI_PARTICIPANT_RESERVED) {
                sim_break(world, "P14", "chain %u still waits for m%u, which has ended", chain, i);
            }
        }
    }
}

/* Nothing is sent, taken in or ended without its counter. */
static void check_counters(struct sim_world *world)
{
    const struct tri_engine_counters *counters = tri_engine_counters(world->coordinator.engine);
    const struct sim_checker *checker = &world->checker;
    uint64_t judged = counters->acks_counted + counters->acks_repeated + counters->acks_late +
                      counters->acks_stranger + counters->acks_invalid;
    uint64_t ended = counters->processed + counters->failed + counters->rejected;

    if (counters->acks != checker->acks || counters->acks != judged) {
        sim_break(world, "P07", "%llu answers arrived, %llu were taken in and %llu judged",
                  (unsigned long long)checker->acks, (unsigned long long)counters->acks,
                  (unsigned long long)judged);
    }
    if (counters->control_acks != checker->control_acks || counters->asks != checker->asks ||
        counters->submits != checker->submits || counters->strays_aborted != checker->strays) {
        sim_break(
            world, "counters",
            "control answers %llu/%llu asks %llu/%llu submits %llu/%llu "
            "strays %llu/%llu",
            (unsigned long long)counters->control_acks, (unsigned long long)checker->control_acks,
            (unsigned long long)counters->asks, (unsigned long long)checker->asks,
            (unsigned long long)counters->submits, (unsigned long long)checker->submits,
            (unsigned long long)counters->strays_aborted, (unsigned long long)checker->strays);
    }
    if (checker->repeats > counters->resends) {
        sim_break(world, "counters", "%llu frames were sent again, %llu are counted",
                  (unsigned long long)checker->repeats, (unsigned long long)counters->resends);
    }
    if (!world->coordinator.is_broken &&
        counters->accepted + world->coordinator.recovered_count != ended) {
        sim_break(world, "R09", "%llu messages accepted, %u taken over, %llu ended",
                  (unsigned long long)counters->accepted, world->coordinator.recovered_count,
                  (unsigned long long)ended);
    }
}

/* R06 */
static void check_memory(struct sim_world *world, uint32_t index)
{
    const struct check_message *it = &world->checker.messages[index];
    const struct sim_message *message = &world->messages[index];
    struct tri_engine_status status;
    bool is_known = tri_engine_status(world->coordinator.engine, message->key, message->id,
                                      world->now_ns, &status) == TRI_OK;

    if (!is_known && check_must_know(world, it)) {
        sim_break(world, "R06", "m%u is forgotten too early", index);
    }
    if (is_known && check_must_forget(world, it)) {
        sim_break(world, "R06", "m%u is remembered too long", index);
    }
    world->coverage.results_forgotten += !is_known && it->ended_last_ns != 0;
}

void check_end(struct sim_world *world)
{
    for (uint32_t i = 0; i < world->swarm.message_count; i++) {
        check_effects(world, i);
        if (!world->coordinator.is_broken) {
            check_memory(world, i);
            check_clients(world, i);
        }
    }
    for (uint32_t chain = 0; chain < world->swarm.chain_count; chain++) {
        const struct tri_participant_counters *counters =
            tri_participant_counters(world->chains[chain].participant);

        check_books(world, chain);
        world->coverage.expired += counters->expired;
        world->coverage.forgotten += counters->forgotten;
    }
    check_counters(world);
    world->coverage.stray_aborts += world->checker.strays;
    world->coverage.fenced_attempts += tri_engine_counters(world->coordinator.engine)->fences;
}
