/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines: where each key of a YAML text stands.
 *
 * libcyaml says where a value breaks the schema, but forgets the lines of what
 * it has read; this index remembers them for the checks that follow, and tells
 * which keys are present at all.  Paths are written "timeouts.maxima.commitMs"
 * and "retries[0].type".
 *
 * Threads: call at the start, from one thread.
 */
#ifndef TRI_IO_CONFIG_LINES_H
#define TRI_IO_CONFIG_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tri_config_lines;

/*
 * tri_config_lines_make reads `text`.
 *
 * line, trouble  out; on NULL where and what: a syntax error, an alias, a second document, too
 * deep, no memory.
 */
struct tri_config_lines *tri_config_lines_make(const char *text, size_t bytes, uint32_t *line,
                                               char *trouble, size_t trouble_bytes);
void tri_config_lines_free(struct tri_config_lines *lines);

/* The line of a path, from 1; 0 if the text has no such key. */
uint32_t tri_config_lines_find(const struct tri_config_lines *lines, const char *path);
/* The text of a scalar as it was written; NULL if there is none. */
const char *tri_config_lines_value(const struct tri_config_lines *lines, const char *path);
/* The line of its last appearance: the second one of a key given twice; 0 as above. */
uint32_t tri_config_lines_last(const struct tri_config_lines *lines, const char *path);
/* The path of the first key named `key` at or behind `line`, NULL if there is none. */
const char *tri_config_lines_named(const struct tri_config_lines *lines, const char *key,
                                   uint32_t line);

#endif
