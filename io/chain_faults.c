/* SPDX-License-Identifier: Apache-2.0 */
#include "io/chain_faults.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "io/flags.h"

#define RULE_BYTES_MAX 256U

static const char *const step_names[TRI_STEP_COUNT] = {"PREPARE", "COMMIT", "FINALIZE", "ABORT",
                                                       "ROLLBACK"};

static const char *const fault_names[TRI_FAULT_COUNT] = {
    [TRI_FAULT_NONE] = "",           [TRI_FAULT_REFUSE] = "refuse",
    [TRI_FAULT_DELAY] = "delay",     [TRI_FAULT_HOLD] = "hold",
    [TRI_FAULT_DROP] = "drop",       [TRI_FAULT_DUPLICATE] = "duplicate",
    [TRI_FAULT_REORDER] = "reorder", [TRI_FAULT_TERMINAL] = "terminal",
    [TRI_FAULT_DIE] = "die",
};

static bool error_parse(const char *name, enum tri_error *code)
{
    for (uint32_t value = 1; value <= TRI_ERROR_VALUE_MAX; value++) {
        if (tri_error_known(value) && strcmp(tri_error_name((enum tri_error)value), name) == 0) {
            *code = (enum tri_error)value;
            return true;
        }
    }
    return false;
}

/* Splits "key=value" in place; value is NULL without '='. */
static void split(char *word, char **value)
{
    *value = strchr(word, '=');
    if (*value != NULL) {
        **value = '\0';
        (*value)++;
    }
}

static const char *rule_action(struct tri_fault_rule *rule, char *word)
{
    char *value;
    uint64_t ms;
    bool has_value;

    split(word, &value);
    for (uint32_t i = TRI_FAULT_NONE + 1U; i < TRI_FAULT_COUNT; i++) {
        if (strcmp(word, fault_names[i]) == 0) {
            rule->fault = (enum tri_fault)i;
        }
    }
    has_value = rule->fault == TRI_FAULT_REFUSE || rule->fault == TRI_FAULT_DELAY ||
                rule->fault == TRI_FAULT_HOLD;
    if (rule->fault == TRI_FAULT_NONE) {
        return "the action is none of refuse, delay, hold, drop, duplicate, reorder, terminal, die";
    }
    if (has_value != (value != NULL)) {
        return "refuse needs =CODE, delay and hold need =MS, the other actions take no value";
    }
    if (rule->fault == TRI_FAULT_REFUSE) {
        if (rule->step == TRI_STEP_FINALIZE || rule->step == TRI_STEP_ABORT) {
            return "FINALIZE and ABORT cannot be refused";
        }
        return error_parse(value, &rule->code) ? NULL : "no error has this name";
    }
    if (rule->fault == TRI_FAULT_TERMINAL && rule->step > TRI_STEP_FINALIZE) {
        return "terminal is for phases: ABORT and ROLLBACK are answered with a terminal ackType";
    }
    if (has_value) {
        if (!tri_flags_decimal(value, 1, TRI_FAULT_MS_MAX, &ms)) {
            return "milliseconds lie between 1 and 3600000";
        }
        rule->ms = (uint32_t)ms;
    }
    return NULL;
}

static const char *rule_filter(struct tri_fault_rule *rule, char *word)
{
    char *value;

    split(word, &value);
    if (value == NULL) {
        return "a filter is p=PROBABILITY, count=N or id=PREFIX";
    }
    if (strcmp(word, "p") == 0) {
        char *end = NULL;

        rule->probability = strtod(value, &end);
        if (end == value || *end != '\0' || !(rule->probability > 0.0) || rule->probability > 1.0) {
            return "a probability lies above 0 and up to 1";
        }
        return NULL;
    }
    if (strcmp(word, "count") == 0) {
        return tri_flags_decimal(value, 1, UINT32_MAX, &rule->left) ? NULL
                                                                    : "count is a number from 1";
    }
    if (strcmp(word, "id") == 0) {
        rule->prefix_bytes = (uint32_t)strnlen(value, TRI_ID_BYTES_MAX + 1U);
        if (rule->prefix_bytes > TRI_ID_BYTES_MAX) {
            return "an id has at most 64 bytes";
        }
        memcpy(rule->prefix, value, rule->prefix_bytes);
        return NULL;
    }
    return "a filter is p=PROBABILITY, count=N or id=PREFIX";
}

const char *tri_faults_add(struct tri_faults *faults, const char *text)
{
    struct tri_fault_rule rule = {.probability = 1.0, .left = UINT64_MAX};
    char copy[RULE_BYTES_MAX];
    char *rest = copy;
    char *word;
    const char *wrong;
    uint32_t step = 0;

    assert(faults != NULL);
    if (faults->count == TRI_FAULT_RULES_MAX) {
        return "at most 32 rules";
    }
    if (strlen(text) >= sizeof(copy)) {
        return "a rule has at most 255 bytes";
    }
    memcpy(copy, text, strlen(text) + 1U);
    word = strsep(&rest, ":");
    while (step < TRI_STEP_COUNT && strcmp(word, step_names[step]) != 0) {
        step++;
    }
    if (step == TRI_STEP_COUNT) {
        return "the step is none of PREPARE, COMMIT, FINALIZE, ABORT, ROLLBACK";
    }
    rule.step = (enum tri_step)step;
    word = strsep(&rest, ":");
    wrong = word == NULL ? "a rule is STEP:ACTION[:FILTER...]" : rule_action(&rule, word);
    while (wrong == NULL && (word = strsep(&rest, ":")) != NULL) {
        wrong = rule_filter(&rule, word);
    }
    if (wrong == NULL) {
        faults->rules[faults->count++] = rule;
    }
    return wrong;
}

/* splitmix64: the next 64 random bits, as a number in [0, 1). */
static double draw(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1.0p-53;
}

const struct tri_fault_rule *tri_faults_pick(struct tri_faults *faults, enum tri_step step,
                                             struct tri_text id)
{
    assert(faults != NULL);
    assert(step < TRI_STEP_COUNT);
    for (uint32_t i = 0; i < faults->count; i++) {
        struct tri_fault_rule *rule = &faults->rules[i];

        if (rule->step != step || rule->left == 0U || rule->prefix_bytes > id.bytes ||
            (rule->prefix_bytes > 0U && memcmp(rule->prefix, id.at, rule->prefix_bytes) != 0)) {
            continue;
        }
        if (rule->probability < 1.0 && draw(&faults->random) >= rule->probability) {
            continue;
        }
        if (rule->left != UINT64_MAX) {
            rule->left--;
        }
        return rule;
    }
    return NULL;
}
