/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Config, inside: what config.c (reading), config_check.c (ranges and rules) and
 * config_keys.c (the table of keys) share.  No other file includes this.
 */
#ifndef TRI_IO_CONFIG_INTERNAL_H
#define TRI_IO_CONFIG_INTERNAL_H

#include "io/config.h"
#include "io/config_lines.h"

/* A number of the file; `path` has "[]" for an element of retries. */
struct config_number {
    const char *path;
    const char *unit;
    uint64_t standard;
    uint64_t lowest;
    uint64_t highest;
    const char *help;
    size_t offset; /* in struct tri_config_file, or in struct tri_config_retry */
};
/* The numbers outside of lists, then those of a retry policy. */
const struct config_number *config_numbers(uint32_t *count);
const struct config_number *config_retry_numbers(uint32_t *count);

/* One check of a file. */
struct config_reading {
    const char *path; /* of the file */
    struct tri_config_lines *lines;
    char *trouble; /* TRI_CONFIG_TROUBLE_BYTES */
};

/* Writes the one line; `key` "" = none; a key that the file lacks gets its parent's line.  Always
 * false. */
bool config_refuse(struct config_reading *reading, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Refuses a number that is not written as one, with what is allowed.  Always false. */
bool config_refuse_number(struct config_reading *reading, const char *key,
                          const struct config_number *number);

/* Fills in defaults, checks every rule and derives config's other fields from config->file. */
bool config_check(struct tri_config *config, struct config_reading *reading);

#endif
