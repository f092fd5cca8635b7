/* SPDX-License-Identifier: Apache-2.0 */
#include "io/config_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEYS_COUNT(rows) ((uint32_t)(sizeof(rows) / sizeof((rows)[0])))

static const struct config_number keys_numbers[] = {
#define ROW(member, key, unit, standard, lowest, highest, help) \
    {key, unit, standard, lowest, highest, help, offsetof(struct tri_config_file, member)},
    TRI_CONFIG_ROOT_NUMBERS(ROW)
#undef ROW
#define ROW(member, key, unit, standard, lowest, highest, help) \
    {"listen." key,                                             \
     unit,                                                      \
     standard,                                                  \
     lowest,                                                    \
     highest,                                                   \
     help,                                                      \
     offsetof(struct tri_config_file, listen.member)},
        TRI_CONFIG_LISTEN_NUMBERS(ROW)
#undef ROW
#define ROW(member, key, unit, standard, lowest, highest, help) \
    {"timeouts." key,                                           \
     unit,                                                      \
     standard,                                                  \
     lowest,                                                    \
     highest,                                                   \
     help,                                                      \
     offsetof(struct tri_config_file, timeouts.member)},
            TRI_CONFIG_TIMEOUTS_NUMBERS(ROW)
#undef ROW
#define ROW(member, key, unit, standard, lowest, highest, help) \
    {"timeouts.maxima." key,                                    \
     unit,                                                      \
     standard,                                                  \
     lowest,                                                    \
     highest,                                                   \
     help,                                                      \
     offsetof(struct tri_config_file, timeouts.maxima.member)},
                TRI_CONFIG_MAXIMA_NUMBERS(ROW)
#undef ROW
#define ROW(member, key, unit, standard, lowest, highest, help) \
    {"limits." key,                                             \
     unit,                                                      \
     standard,                                                  \
     lowest,                                                    \
     highest,                                                   \
     help,                                                      \
     offsetof(struct tri_config_file, limits.member)},
                    TRI_CONFIG_LIMITS_NUMBERS(ROW)
#undef ROW
#define ROW(member, key, unit, standard, lowest, highest, help) \
    {"capacities." key,                                         \
     unit,                                                      \
     standard,                                                  \
     lowest,                                                    \
     highest,                                                   \
     help,                                                      \
     offsetof(struct tri_config_file, capacities.member)},
                        TRI_CONFIG_CAPACITIES_NUMBERS(ROW)
#undef ROW
#define ROW(member, key, unit, standard, lowest, highest, help) \
    {"finality." key,                                           \
     unit,                                                      \
     standard,                                                  \
     lowest,                                                    \
     highest,                                                   \
     help,                                                      \
     offsetof(struct tri_config_file, finality.member)},
                            TRI_CONFIG_FINALITY_NUMBERS(ROW)
#undef ROW
#define ROW(member, key, unit, standard, lowest, highest, help) \
    {"locations." key,                                          \
     unit,                                                      \
     standard,                                                  \
     lowest,                                                    \
     highest,                                                   \
     help,                                                      \
     offsetof(struct tri_config_file, locations.member)},
                                TRI_CONFIG_LOCATIONS_NUMBERS(ROW)
#undef ROW
};

static const struct config_number keys_retry_numbers[] = {
#define ROW(member, key, unit, standard, lowest, highest, help) \
    {"retries[]." key,                                          \
     unit,                                                      \
     standard,                                                  \
     lowest,                                                    \
     highest,                                                   \
     help,                                                      \
     offsetof(struct tri_config_retry, member)},
    TRI_CONFIG_RETRY_NUMBERS(ROW)
#undef ROW
};

static const struct keys_text {
    const char *path;
    const char *range;
    const char *standard;
    const char *help;
} keys_texts[] = {
#define ROW(path, range, standard, help) {path, range, standard, help},
    TRI_CONFIG_TEXTS(ROW)
#undef ROW
};

const struct config_number *config_numbers(uint32_t *count)
{
    *count = KEYS_COUNT(keys_numbers);
    return keys_numbers;
}

const struct config_number *config_retry_numbers(uint32_t *count)
{
    *count = KEYS_COUNT(keys_retry_numbers);
    return keys_retry_numbers;
}

bool tri_config_key_next(uint32_t *index, struct tri_config_key *key)
{
    uint32_t at = *index;
    const struct config_number *number = NULL;

    assert(key != NULL);
    if (at < KEYS_COUNT(keys_texts)) {
        const struct keys_text *text = &keys_texts[at];

        *key = (struct tri_config_key){.unit = "", .help = text->help};
        (void)snprintf(key->path, sizeof(key->path), "%s", text->path);
        (void)snprintf(key->range, sizeof(key->range), "%s", text->range);
        (void)snprintf(key->standard, sizeof(key->standard), "%s",
                       text->standard[0] == '\0' ? "required" : text->standard);
        *index = at + 1;
        return true;
    }
    at -= KEYS_COUNT(keys_texts);
    if (at < KEYS_COUNT(keys_numbers)) {
        number = &keys_numbers[at];
    } else if (at - KEYS_COUNT(keys_numbers) < KEYS_COUNT(keys_retry_numbers)) {
        number = &keys_retry_numbers[at - KEYS_COUNT(keys_numbers)];
    } else {
        return false;
    }
    *key = (struct tri_config_key){.unit = number->unit, .help = number->help};
    (void)snprintf(key->path, sizeof(key->path), "%s", number->path);
    (void)snprintf(key->range, sizeof(key->range), "%" PRIu64 "..%" PRIu64, number->lowest,
                   number->highest);
    (void)snprintf(key->standard, sizeof(key->standard), "%" PRIu64, number->standard);
    *index += 1;
    return true;
}
