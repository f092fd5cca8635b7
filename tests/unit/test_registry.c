/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: P15.  One instance speaks for a chain; its connections may lie on any
 * shard, come and go, and every shard finds one that is up.
 *
 * Method: stories over a node of three shards; then the registry alone where
 * the order of messages matters.
 */
#include <criterion/criterion.h>

#include "shards/registry.h"
#include "tests/unit/shard_kit.h"

#define CLIENT 0U

static void submit_and_rest(struct kit *kit, const char *id)
{
    cr_assert_eq(kit_submit(kit, kit_port(0, CLIENT), id, 10), TRI_OK);
    kit_rest(kit);
}

static struct kit *kit_of_three(void)
{
    struct kit *kit = kit_new(3);

    kit_start(kit);
    kit_chain_up(kit, kit_port(0, 1), 1, 1);
    kit_chain_up(kit, kit_port(0, 2), 2, 1);
    (void)kit_words(kit, kit_port(0, 1));
    return kit;
}

static void gone(struct kit *kit, tri_port port, uint16_t chain)
{
    struct tri_peer peer = {.role = TRI_ROLE_CHAIN, .chain = chain};

    kit_at(kit, port)->is_gone = true;
    tri_shard_port_gone(kit_shard(kit, TRI_PORT_SHARD(port)), port, &peer);
    kit_rest(kit);
}

Test(registry, P15_lower_instance_is_refused_on_every_shard)
{
    struct kit *kit = kit_of_three();

    kit_chain_up(kit, kit_port(1, 5), 0, 9);
    cr_expect_eq(kit_at(kit, kit_port(1, 5))->welcomes, 1);
    for (uint32_t shard = 0; shard < 3; shard++) {
        tri_port port = kit_port(shard, 6);

        kit_chain_up(kit, port, 0, 8);
        cr_expect_eq(kit_at(kit, port)->welcomes, 0);
        cr_expect_str_eq(kit_words(kit, port), "E:INSTANCE_SUPERSEDED");
        cr_expect_eq(kit_at(kit, port)->closes, 1);
        cr_expect_eq(kit_at(kit, port)->why, TRI_ERROR_INSTANCE_SUPERSEDED);
    }
    cr_expect_eq(kit_at(kit, kit_port(1, 5))->closes, 0);
    submit_and_rest(kit, "m");
    cr_expect_str_eq(kit_words(kit, kit_port(1, 5)), "PREPARE#1[]");
    kit_free(kit);
}

Test(registry, P15_lower_instance_is_refused_also_after_the_higher_has_gone)
{
    struct kit *kit = kit_of_three();

    kit_chain_up(kit, kit_port(1, 5), 0, 9);
    gone(kit, kit_port(1, 5), 0);
    kit_chain_up(kit, kit_port(2, 6), 0, 8);
    cr_expect_eq(kit_at(kit, kit_port(2, 6))->welcomes, 0);
    cr_expect_str_eq(kit_words(kit, kit_port(2, 6)), "E:INSTANCE_SUPERSEDED");
    kit_free(kit);
}

Test(registry, P15_higher_instance_closes_all_connections_of_the_lower)
{
    struct kit *kit = kit_of_three();

    for (uint32_t shard = 0; shard < 3; shard++) {
        kit_chain_up(kit, kit_port(shard, 5), 0, 3);
        cr_expect_eq(kit_at(kit, kit_port(shard, 5))->welcomes, 1);
    }
    kit_chain_up(kit, kit_port(1, 6), 0, 4);
    cr_expect_eq(kit_at(kit, kit_port(1, 6))->welcomes, 1);
    for (uint32_t shard = 0; shard < 3; shard++) {
        cr_expect_str_eq(kit_words(kit, kit_port(shard, 5)), "E:INSTANCE_SUPERSEDED");
        cr_expect_eq(kit_at(kit, kit_port(shard, 5))->closes, 1);
        gone(kit, kit_port(shard, 5), 0);
    }
    for (uint32_t i = 0; i < 6; i++) {
        char id[] = "m0";

        id[1] = (char)('0' + i);
        submit_and_rest(kit, id);
        cr_expect_str_eq(kit_words(kit, kit_port(1, 6)), "PREPARE#1[]");
    }
    kit_free(kit);
}

Test(registry, P15_reconnect_goes_on_where_it_was)
{
    struct kit *kit = kit_of_three();

    kit_chain_up(kit, kit_port(1, 5), 0, 3);
    submit_and_rest(kit, "m");
    cr_expect_str_eq(kit_words(kit, kit_port(1, 5)), "PREPARE#1[]");
    gone(kit, kit_port(1, 5), 0);
    kit_chain_up(kit, kit_port(2, 6), 0, 3);
    cr_expect_str_eq(kit_words(kit, kit_port(2, 6)), "PREPARE#1[]"); /* the same attempt, resent */
    gone(kit, kit_port(2, 6), 0);
    submit_and_rest(kit, "n"); /* open at once, sent when the chain connects */
    kit_chain_up(kit, kit_port(0, 7), 0, 4);
    cr_expect_str_eq(kit_words(kit, kit_port(0, 7)), "PREPARE#1[] PREPARE#1[]");
    kit_free(kit);
}

Test(registry, each_shard_uses_its_own_connection_and_falls_back_to_another)
{
    struct kit *kit = kit_of_three();
    uint32_t direct[3] = {0};

    for (uint32_t shard = 0; shard < 3; shard++) {
        kit_chain_up(kit, kit_port(shard, 5), 0, 3);
    }
    for (uint32_t i = 0; i < 30; i++) {
        char id[8];

        (void)snprintf(id, sizeof(id), "m%u", i);
        submit_and_rest(kit, id);
    }
    for (uint32_t shard = 0; shard < 3; shard++) {
        direct[shard] = kit_at(kit, kit_port(shard, 5))->frames;
        cr_expect_eq(direct[shard], tri_shard_open_count(kit_shard(kit, shard)));
        cr_expect_gt(direct[shard], 0);
    }
    /* Its messages are sent again over another connection; the others are not. */
    gone(kit, kit_port(1, 5), 0);
    cr_expect_eq(kit_at(kit, kit_port(0, 5))->frames, direct[0] + direct[1]);
    cr_expect_eq(kit_at(kit, kit_port(2, 5))->frames, direct[2]);
    kit_free(kit);
}

Test(registry, nearer_connection_takes_over_without_a_resend)
{
    struct kit *kit = kit_of_three();

    kit_chain_up(kit, kit_port(1, 5), 0, 3);
    for (uint32_t i = 0; i < 12; i++) {
        char id[8];

        (void)snprintf(id, sizeof(id), "m%u", i);
        submit_and_rest(kit, id);
    }
    cr_expect_eq(kit_at(kit, kit_port(1, 5))->frames, 12);
    kit_chain_up(kit, kit_port(2, 6), 0, 3);
    cr_expect_eq(kit_at(kit, kit_port(2, 6))->frames, 0);
    cr_expect_eq(kit_at(kit, kit_port(1, 5))->frames, 12);
    kit_free(kit);
}

Test(registry, pause_without_loss_sends_only_what_was_not_sent)
{
    struct kit *kit = kit_of_three();
    tri_port port = kit_port(1, 5);

    kit_chain_up(kit, port, 0, 3);
    submit_and_rest(kit, "before");
    tri_shard_chain_down(kit_shard(kit, 1), port, 0);
    kit_rest(kit);
    submit_and_rest(kit, "during");
    cr_expect_eq(kit_at(kit, port)->frames, 1);
    tri_shard_chain_up(kit_shard(kit, 1), port, 0, false);
    kit_rest(kit);
    cr_expect_eq(kit_at(kit, port)->frames, 2);
    kit_free(kit);
}

Test(registry, same_instance_on_the_same_shard_replaces_the_older_connection)
{
    struct kit *kit = kit_of_three();

    kit_chain_up(kit, kit_port(1, 5), 0, 3);
    kit_chain_up(kit, kit_port(1, 6), 0, 3);
    cr_expect_eq(kit_at(kit, kit_port(1, 5))->closes, 1);
    cr_expect_eq(kit_at(kit, kit_port(1, 6))->welcomes, 1);
    gone(kit, kit_port(1, 5), 0); /* late news of the old one harm nobody */
    tri_shard_chain_up(kit_shard(kit, 1), kit_port(1, 5), 0, true);
    tri_shard_chain_down(kit_shard(kit, 1), kit_port(1, 5), 0);
    kit_rest(kit);
    submit_and_rest(kit, "m");
    cr_expect_str_eq(kit_words(kit, kit_port(1, 6)), "PREPARE#1[]");
    kit_free(kit);
}

Test(registry, chain_that_leaves_before_its_verdict_is_not_welcomed)
{
    struct kit *kit = kit_of_three();

    tri_shard_chain_hello(kit_shard(kit, 2), kit_port(2, 5), 0, 3);
    (void)tri_shard_turn(kit_shard(kit, 2), kit->now_ns, KIT_WALL_MS);
    gone(kit, kit_port(2, 5), 0);
    cr_expect_eq(kit_at(kit, kit_port(2, 5))->welcomes, 0);
    kit_chain_up(kit, kit_port(0, 6), 0, 3);
    submit_and_rest(kit, "m");
    cr_expect_str_eq(kit_words(kit, kit_port(0, 6)), "PREPARE#1[]");
    kit_free(kit);
}

/* The registry alone: two shards, one chain. */

static struct tri_registry *fresh_registry(void)
{
    void *memory = aligned_alloc(TRI_CACHE_LINE, 4096);

    cr_assert_leq(tri_registry_footprint(1, 2), 4096);
    return tri_registry_init(memory, 1, 2);
}

static void claim(struct tri_registry *registry, uint32_t shard, tri_port port, uint64_t instance,
                  bool is_up, bool is_fresh)
{
    struct tri_claim made = {
        .chain = 0, .is_up = is_up, .is_fresh = is_fresh, .port = port, .instance = instance};

    tri_registry_claim(registry, shard, &made);
}

static void told(struct tri_registry *registry)
{
    for (uint32_t shard = 0; shard < 2; shard++) {
        tri_registry_verdict_told(registry, shard, 0);
        tri_registry_route_told(registry, shard, 0);
    }
    cr_expect_not(tri_registry_has_news(registry));
}

Test(registry, claim_that_is_told_twice_changes_nothing)
{
    struct tri_registry *registry = fresh_registry();
    tri_port port = TRI_PORT(1, 1, 1);

    claim(registry, 1, port, 5, false, false);
    cr_expect(tri_registry_has_news(registry));
    told(registry);
    claim(registry, 1, port, 5, true, true);
    told(registry);
    claim(registry, 1, port, 5, true, false);
    cr_expect_not(tri_registry_has_news(registry));
    free(registry);
}

Test(registry, news_that_were_not_told_melt_into_the_next)
{
    struct tri_registry *registry = fresh_registry();
    struct tri_route_news news;
    struct tri_verdict verdict;
    tri_port old_port = TRI_PORT(1, 1, 1);
    tri_port new_port = TRI_PORT(1, 2, 1);

    claim(registry, 1, old_port, 5, false, false);
    claim(registry, 1, old_port, 5, true, true);
    claim(registry, 1, 0, 5, false, false);
    claim(registry, 1, new_port, 6, false, false);
    claim(registry, 1, new_port, 6, true, true);
    cr_assert(tri_registry_verdict(registry, 1, 0, &verdict));
    cr_expect_eq(verdict.port, new_port);
    cr_expect_eq(verdict.code, TRI_ERROR_NONE);
    for (uint32_t shard = 0; shard < 2; shard++) {
        cr_assert(tri_registry_route(registry, shard, 0, &news));
        cr_expect_eq(news.port, new_port);
        cr_expect(news.is_up);
        cr_expect(news.is_fresh);
    }
    cr_expect_not(tri_registry_verdict(registry, 0, 0, &verdict));
    told(registry);
    free(registry);
}

Test(registry, loss_at_a_port_is_told_to_all_who_may_have_used_it)
{
    struct tri_registry *registry = fresh_registry();
    struct tri_route_news news;
    tri_port port = TRI_PORT(1, 1, 1);

    claim(registry, 1, port, 5, true, true);
    told(registry);
    claim(registry, 1, port, 5, false, false);
    told(registry);
    claim(registry, 1, port, 5, true, true);
    for (uint32_t shard = 0; shard < 2; shard++) {
        cr_assert(tri_registry_route(registry, shard, 0, &news));
        cr_expect(news.is_up);
        cr_expect(news.is_fresh);
    }
    free(registry);
}
