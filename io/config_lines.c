/* SPDX-License-Identifier: Apache-2.0 */
#include "io/config_lines.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define LINES_DEPTH_MAX  8U
#define LINES_PATH_BYTES 256U

struct lines_entry {
    char *path;
    char *value; /* of a scalar, else NULL */
    uint32_t line;
};

struct tri_config_lines {
    struct lines_entry *entries;
    size_t count;
    size_t room;
};

/* One open mapping or sequence. */
struct lines_level {
    bool is_mapping;
    bool is_value_next; /* mapping: a key was read */
    uint32_t index;     /* sequence: of the next element */
    size_t path_bytes;  /* of the container itself */
};

struct lines_walk {
    struct tri_config_lines *lines;
    struct lines_level levels[LINES_DEPTH_MAX];
    uint32_t depth;
    uint32_t documents;
    char path[LINES_PATH_BYTES];
    const char *trouble;
};

static bool lines_add(struct lines_walk *walk, uint32_t line)
{
    struct tri_config_lines *lines = walk->lines;

    if (lines->count == lines->room) {
        size_t room = lines->room == 0 ? 64 : lines->room * 2;
        struct lines_entry *entries = realloc(lines->entries, room * sizeof(*entries));

        if (entries == NULL) {
            walk->trouble = "out of memory";
            return false;
        }
        lines->entries = entries;
        lines->room = room;
    }
    lines->entries[lines->count].value = NULL;
    lines->entries[lines->count].path = strdup(walk->path);
    if (lines->entries[lines->count].path == NULL) {
        walk->trouble = "out of memory";
        return false;
    }
    lines->entries[lines->count++].line = line;
    return true;
}

static bool lines_extend(struct lines_walk *walk, size_t from, const char *format, const char *text,
                         uint32_t number)
{
    int written = text != NULL
                      ? snprintf(walk->path + from, sizeof(walk->path) - from, format, text)
                      : snprintf(walk->path + from, sizeof(walk->path) - from, format, number);

    if (written < 0 || (size_t)written >= sizeof(walk->path) - from) {
        walk->trouble = "the key is too long";
        return false;
    }
    return true;
}

/* A value begins: an element of a sequence has a path of its own. */
static bool lines_value(struct lines_walk *walk, uint32_t line)
{
    struct lines_level *level = NULL;

    if (walk->depth == 0) {
        return true;
    }
    level = &walk->levels[walk->depth - 1];
    if (level->is_mapping) {
        if (!level->is_value_next) {
            walk->trouble = "a key must be a text";
            return false;
        }
        level->is_value_next = false;
        return true;
    }
    walk->path[level->path_bytes] = '\0';
    return lines_extend(walk, level->path_bytes, "[%u]", NULL, level->index++) &&
           lines_add(walk, line);
}

static bool lines_scalar(struct lines_walk *walk, const yaml_event_t *event, uint32_t line)
{
    struct lines_level *level = walk->depth == 0 ? NULL : &walk->levels[walk->depth - 1];

    if (level == NULL || !level->is_mapping || level->is_value_next) {
        struct lines_entry *last = NULL;

        if (!lines_value(walk, line) || walk->lines->count == 0) {
            return walk->trouble == NULL;
        }
        last = &walk->lines->entries[walk->lines->count - 1];
        last->value = strdup((const char *)event->data.scalar.value);
        walk->trouble = last->value == NULL ? "out of memory" : NULL;
        return last->value != NULL;
    }
    level->is_value_next = true;
    walk->path[level->path_bytes] = '\0';
    return lines_extend(walk, level->path_bytes, level->path_bytes == 0 ? "%s" : ".%s",
                        (const char *)event->data.scalar.value, 0) &&
           lines_add(walk, line);
}

static bool lines_open(struct lines_walk *walk, bool is_mapping, uint32_t line)
{
    if (!lines_value(walk, line)) {
        return false;
    }
    if (walk->depth == LINES_DEPTH_MAX) {
        walk->trouble = "nested too deep";
        return false;
    }
    walk->levels[walk->depth++] = (struct lines_level){
        .is_mapping = is_mapping,
        .path_bytes = strlen(walk->path),
    };
    return true;
}

static bool lines_event(struct lines_walk *walk, const yaml_event_t *event)
{
    uint32_t line = (uint32_t)event->start_mark.line + 1;

    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (walk->documents++ > 0) {
            walk->trouble = "only one document is allowed";
            return false;
        }
        return true;
    case YAML_ALIAS_EVENT:
        walk->trouble = "aliases are not allowed";
        return false;
    case YAML_SCALAR_EVENT:
        return lines_scalar(walk, event, line);
    case YAML_MAPPING_START_EVENT:
        return lines_open(walk, true, line);
    case YAML_SEQUENCE_START_EVENT:
        return lines_open(walk, false, line);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        assert(walk->depth > 0);
        walk->depth--;
        walk->path[walk->levels[walk->depth].path_bytes] = '\0';
        return true;
    default:
        return true;
    }
}

struct tri_config_lines *tri_config_lines_make(const char *text, size_t bytes, uint32_t *line,
                                               char *trouble, size_t trouble_bytes)
{
    struct lines_walk walk = {.lines = calloc(1, sizeof(struct tri_config_lines))};
    yaml_parser_t parser;
    yaml_event_t event;
    bool is_good = true;
    bool is_ended = false;

    *line = 1;
    if (walk.lines == NULL || yaml_parser_initialize(&parser) == 0) {
        (void)snprintf(trouble, trouble_bytes, "out of memory");
        free(walk.lines);
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    while (is_good && !is_ended) {
        if (yaml_parser_parse(&parser, &event) == 0) {
            is_good = false;
            *line = (uint32_t)parser.problem_mark.line + 1;
            walk.trouble = parser.problem != NULL ? parser.problem : "the text is not UTF-8";
            break;
        }
        is_good = lines_event(&walk, &event);
        *line = (uint32_t)event.start_mark.line + 1;
        is_ended = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    if (!is_good) {
        (void)snprintf(trouble, trouble_bytes, "%s", walk.trouble);
        tri_config_lines_free(walk.lines);
        walk.lines = NULL;
    }
    yaml_parser_delete(&parser);
    return walk.lines;
}

void tri_config_lines_free(struct tri_config_lines *lines)
{
    if (lines == NULL) {
        return;
    }
    for (size_t index = 0; index < lines->count; index++) {
        free(lines->entries[index].path);
        free(lines->entries[index].value);
    }
    free(lines->entries);
    free(lines);
}

uint32_t tri_config_lines_find(const struct tri_config_lines *lines, const char *path)
{
    for (size_t index = 0; index < lines->count; index++) {
        if (strcmp(lines->entries[index].path, path) == 0) {
            return lines->entries[index].line;
        }
    }
    return 0;
}

const char *tri_config_lines_value(const struct tri_config_lines *lines, const char *path)
{
    for (size_t index = 0; index < lines->count; index++) {
        if (strcmp(lines->entries[index].path, path) == 0) {
            return lines->entries[index].value;
        }
    }
    return NULL;
}

uint32_t tri_config_lines_last(const struct tri_config_lines *lines, const char *path)
{
    for (size_t index = lines->count; index > 0; index--) {
        if (strcmp(lines->entries[index - 1].path, path) == 0) {
            return lines->entries[index - 1].line;
        }
    }
    return 0;
}

const char *tri_config_lines_named(const struct tri_config_lines *lines, const char *key,
                                   uint32_t line)
{
    for (size_t index = 0; index < lines->count; index++) {
        const char *path = lines->entries[index].path;
        const char *last = strrchr(path, '.');

        if (lines->entries[index].line >= line &&
            strcmp(last == NULL ? path : last + 1, key) == 0) {
            return path;
        }
    }
    return NULL;
}
