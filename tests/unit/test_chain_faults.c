/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of misbehaviour: what is understood, what is refused and why, and which
 * rule a frame meets.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "io/chain_faults.h"

static struct tri_text text(const char *at)
{
    return (struct tri_text){at, (uint32_t)strlen(at)};
}

Test(chain_faults, a_rule_says_step_action_and_filters)
{
    struct tri_faults faults = {0};
    const struct tri_fault_rule *rule = &faults.rules[0];

    cr_assert_null(tri_faults_add(&faults, "COMMIT:refuse=LOCK_EXPIRED:p=0.25:count=7:id=abc"));
    cr_assert_eq(faults.count, 1);
    cr_assert_eq(rule->step, TRI_STEP_COMMIT);
    cr_assert_eq(rule->fault, TRI_FAULT_REFUSE);
    cr_assert_eq(rule->code, TRI_ERROR_LOCK_EXPIRED);
    cr_assert_float_eq(rule->probability, 0.25, 1e-9);
    cr_assert_eq(rule->left, 7);
    cr_assert_eq(rule->prefix_bytes, 3);
}

Test(chain_faults, what_makes_no_sense_is_refused_and_adds_nothing)
{
    static const char *const bad[] = {
        "",
        "PREPARE",
        "prepare:drop",
        "PREPARE:",
        "PREPARE:vanish",
        "PREPARE:refuse",
        "PREPARE:refuse=",
        "PREPARE:refuse=NONE",
        "PREPARE:refuse=NO_SUCH_ERROR",
        "FINALIZE:refuse=BUSY",
        "ABORT:refuse=BUSY",
        "ROLLBACK:terminal",
        "PREPARE:drop=1",
        "PREPARE:hold",
        "PREPARE:hold=0",
        "PREPARE:delay=3600001",
        "PREPARE:delay=-1",
        "PREPARE:drop:p=0",
        "PREPARE:drop:p=1.5",
        "PREPARE:drop:p=nan",
        "PREPARE:drop:count=0",
        "PREPARE:drop:colour=red",
        "PREPARE:drop:p",
        "PREPARE:drop:id=12345678901234567890123456789012345678901234567890123456789012345",
    };
    struct tri_faults faults = {0};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_not_null(tri_faults_add(&faults, bad[i]), "'%s' was taken", bad[i]);
    }
    cr_assert_eq(faults.count, 0);
}

Test(chain_faults, the_first_rule_that_fits_decides)
{
    struct tri_faults faults = {.random = 1};

    cr_assert_null(tri_faults_add(&faults, "PREPARE:drop:count=2:id=a"));
    cr_assert_null(tri_faults_add(&faults, "PREPARE:duplicate"));
    cr_assert_null(tri_faults_pick(&faults, TRI_STEP_COMMIT, text("a1")));
    cr_assert_eq(tri_faults_pick(&faults, TRI_STEP_PREPARE, text("a1"))->fault, TRI_FAULT_DROP);
    cr_assert_eq(tri_faults_pick(&faults, TRI_STEP_PREPARE, text("b"))->fault, TRI_FAULT_DUPLICATE);
    cr_assert_eq(tri_faults_pick(&faults, TRI_STEP_PREPARE, text("a2"))->fault, TRI_FAULT_DROP);
    cr_assert_eq(tri_faults_pick(&faults, TRI_STEP_PREPARE, text("a3"))->fault, TRI_FAULT_DUPLICATE,
                 "the first rule is used up");
}

Test(chain_faults, more_rules_than_there_is_room_for_are_refused)
{
    struct tri_faults faults = {0};

    for (uint32_t i = 0; i < 32; i++) {
        cr_assert_null(tri_faults_add(&faults, "PREPARE:drop"));
    }
    cr_assert_not_null(tri_faults_add(&faults, "PREPARE:drop"));
    cr_assert_eq(faults.count, 32);
}

Test(chain_faults, a_probability_comes_true_about_as_often_as_it_says)
{
    struct tri_faults faults = {.random = 42};
    uint32_t hits = 0;

    cr_assert_null(tri_faults_add(&faults, "ABORT:drop:p=0.1"));
    for (uint32_t i = 0; i < 10000; i++) {
        hits += tri_faults_pick(&faults, TRI_STEP_ABORT, text("m")) != NULL ? 1 : 0;
    }
    cr_assert_gt(hits, 850);
    cr_assert_lt(hits, 1150);
}
