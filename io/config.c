/* SPDX-License-Identifier: Apache-2.0 */
#include "io/config_internal.h"

#include <assert.h>
#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_LOG_BYTES  2048U
#define CONFIG_PATH_BYTES 256U
#define CONFIG_LIST_MAX   1000000U /* elements of a list; the real limits are checked later */

/* The schema.  Texts are checked for their length and form later, with better words. */

#define CONFIG_TEXT(structure, member, key, flags) \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | (flags), structure, member, 0, CYAML_UNLIMITED)
#define CONFIG_LIST(structure, member, key, entry)                                                \
    CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, member, entry, \
                         0, CONFIG_LIST_MAX)
#define CONFIG_NUMBER(structure, member, key) \
    CYAML_FIELD_UINT(key, CYAML_FLAG_OPTIONAL, structure, member)

static const cyaml_schema_field_t config_listen_fields[] = {
    CONFIG_TEXT(struct tri_config_listen, address, "address", CYAML_FLAG_OPTIONAL),
#define FIELD(member, key, ...) CONFIG_NUMBER(struct tri_config_listen, member, key),
    TRI_CONFIG_LISTEN_NUMBERS(FIELD)
#undef FIELD
        CYAML_FIELD_END,
};
static const cyaml_schema_field_t config_maxima_fields[] = {
#define FIELD(member, key, ...) CONFIG_NUMBER(struct tri_config_maxima, member, key),
    TRI_CONFIG_MAXIMA_NUMBERS(FIELD)
#undef FIELD
        CYAML_FIELD_END,
};
static const cyaml_schema_field_t config_timeouts_fields[] = {
#define FIELD(member, key, ...) CONFIG_NUMBER(struct tri_config_timeouts, member, key),
    TRI_CONFIG_TIMEOUTS_NUMBERS(FIELD)
#undef FIELD
        CYAML_FIELD_MAPPING("maxima", CYAML_FLAG_OPTIONAL, struct tri_config_timeouts, maxima,
                            config_maxima_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t config_limits_fields[] = {
#define FIELD(member, key, ...) CONFIG_NUMBER(struct tri_config_limits, member, key),
    TRI_CONFIG_LIMITS_NUMBERS(FIELD)
#undef FIELD
        CYAML_FIELD_END,
};
static const cyaml_schema_field_t config_capacities_fields[] = {
#define FIELD(member, key, ...) CONFIG_NUMBER(struct tri_config_capacities, member, key),
    TRI_CONFIG_CAPACITIES_NUMBERS(FIELD)
#undef FIELD
        CYAML_FIELD_END,
};
static const cyaml_schema_field_t config_finality_fields[] = {
#define FIELD(member, key, ...) CONFIG_NUMBER(struct tri_config_finality, member, key),
    TRI_CONFIG_FINALITY_NUMBERS(FIELD)
#undef FIELD
        CYAML_FIELD_END,
};
static const cyaml_schema_field_t config_log_fields[] = {
    CONFIG_TEXT(struct tri_config_log, level, "level", CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t config_chain_fields[] = {
    CONFIG_TEXT(struct tri_config_identity, name, "id", CYAML_FLAG_DEFAULT),
    CONFIG_TEXT(struct tri_config_identity, secret, "secret", CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t config_chain = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct tri_config_identity, config_chain_fields),
};
static const cyaml_schema_field_t config_peer_fields[] = {
    CONFIG_TEXT(struct tri_config_identity, name, "name", CYAML_FLAG_DEFAULT),
    CONFIG_TEXT(struct tri_config_identity, secret, "secret", CYAML_FLAG_OPTIONAL),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t config_peer = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct tri_config_identity, config_peer_fields),
};
static const cyaml_schema_value_t config_text = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, CYAML_UNLIMITED),
};
static const cyaml_schema_field_t config_location_fields[] = {
    CONFIG_TEXT(struct tri_config_location, asset, "asset", CYAML_FLAG_DEFAULT),
    CYAML_FIELD_SEQUENCE("chains", CYAML_FLAG_POINTER, struct tri_config_location, chains,
                         &config_text, 0, CONFIG_LIST_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t config_location = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct tri_config_location, config_location_fields),
};
static const cyaml_schema_field_t config_locations_fields[] = {
#define FIELD(member, key, ...) CONFIG_NUMBER(struct tri_config_locations, member, key),
    TRI_CONFIG_LOCATIONS_NUMBERS(FIELD)
#undef FIELD
        CONFIG_LIST(struct tri_config_locations, entries, "entries", &config_location),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t config_retry_fields[] = {
    CONFIG_TEXT(struct tri_config_retry, type, "type", CYAML_FLAG_DEFAULT),
    CONFIG_TEXT(struct tri_config_retry, subtype, "subtype", CYAML_FLAG_OPTIONAL),
#define FIELD(member, key, ...) CONFIG_NUMBER(struct tri_config_retry, member, key),
    TRI_CONFIG_RETRY_NUMBERS(FIELD)
#undef FIELD
        CYAML_FIELD_END,
};
static const cyaml_schema_value_t config_retry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct tri_config_retry, config_retry_fields),
};
static const cyaml_schema_field_t config_root_fields[] = {
    CONFIG_TEXT(struct tri_config_file, data_dir, "dataDir", CYAML_FLAG_DEFAULT),
    CONFIG_TEXT(struct tri_config_file, journal, "journal", CYAML_FLAG_OPTIONAL),
#define FIELD(member, key, ...) CONFIG_NUMBER(struct tri_config_file, member, key),
    TRI_CONFIG_ROOT_NUMBERS(FIELD)
#undef FIELD
        CYAML_FIELD_MAPPING("listen", CYAML_FLAG_OPTIONAL, struct tri_config_file, listen,
                            config_listen_fields),
    CYAML_FIELD_MAPPING("timeouts", CYAML_FLAG_OPTIONAL, struct tri_config_file, timeouts,
                        config_timeouts_fields),
    CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct tri_config_file, limits,
                        config_limits_fields),
    CYAML_FIELD_MAPPING("capacities", CYAML_FLAG_OPTIONAL, struct tri_config_file, capacities,
                        config_capacities_fields),
    CYAML_FIELD_MAPPING("log", CYAML_FLAG_OPTIONAL, struct tri_config_file, log, config_log_fields),
    CYAML_FIELD_MAPPING("finality", CYAML_FLAG_OPTIONAL, struct tri_config_file, finality,
                        config_finality_fields),
    CYAML_FIELD_MAPPING("locations", CYAML_FLAG_OPTIONAL, struct tri_config_file, locations,
                        config_locations_fields),
    CONFIG_LIST(struct tri_config_file, chains, "chains", &config_chain),
    CONFIG_LIST(struct tri_config_file, clients, "clients", &config_peer),
    CONFIG_LIST(struct tri_config_file, operators, "operators", &config_peer),
    CONFIG_LIST(struct tri_config_file, settlements, "settlements", &config_peer),
    CONFIG_LIST(struct tri_config_file, retries, "retries", &config_retry),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t config_root = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct tri_config_file, config_root_fields),
};

/* What libcyaml says about an error, as text: a message, then a backtrace, innermost first:
 *
 *     Load: Invalid uint64_t value: 'x5'
 *     Load: Backtrace:
 *       in mapping field 'prepareMs' (line: 2, column: 6)
 *       in mapping field 'timeouts' (line: 2, column: 3)
 */
struct config_said {
    char text[CONFIG_LOG_BYTES];
    size_t used;
};

static void config_listen_to_cyaml(cyaml_log_t level, void *context, const char *format,
                                   va_list arguments)
{
    struct config_said *said = context;
    size_t room = sizeof(said->text) - said->used;
    int written = 0;

    if (level < CYAML_LOG_ERROR) {
        return;
    }
    written = vsnprintf(said->text + said->used, room, format, arguments);
    if (written > 0) {
        said->used += (size_t)written < room ? (size_t)written : room - 1;
    }
}

static const cyaml_config_t config_cyaml = {
    .log_fn = config_listen_to_cyaml,
    .mem_fn = cyaml_mem,
    .log_level = CYAML_LOG_ERROR,
    .flags = CYAML_CFG_NO_ALIAS,
};

bool config_refuse(struct config_reading *reading, const char *key, const char *format, ...)
{
    char parent[CONFIG_PATH_BYTES];
    char what[TRI_CONFIG_TROUBLE_BYTES / 2];
    uint32_t line = tri_config_lines_find(reading->lines, key);
    va_list arguments;
    char *dot = NULL;

    (void)snprintf(parent, sizeof(parent), "%s", key);
    dot = strrchr(parent, '.');
    while (line == 0 && dot != NULL) {
        *dot = '\0';
        line = tri_config_lines_find(reading->lines, parent);
        dot = strrchr(parent, '.');
    }
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    (void)snprintf(reading->trouble, TRI_CONFIG_TROUBLE_BYTES, "%s:%u: %s%s%s", reading->path,
                   line == 0 ? 1 : line, key, key[0] == '\0' ? "" : ": ", what);
    return false;
}

bool config_refuse_number(struct config_reading *reading, const char *key,
                          const struct config_number *number)
{
    const char *text = tri_config_lines_value(reading->lines, key);
    bool is_octal = text != NULL && text[0] == '0' && text[1] >= '0' && text[1] <= '9';

    return config_refuse(reading, key, "must be a whole number%s, %llu..%llu",
                         is_octal ? " without a leading zero" : "",
                         (unsigned long long)number->lowest, (unsigned long long)number->highest);
}

/* Goes past `word`, if the text at *at begins with it. */
static bool config_said_word(const char **at, const char *word)
{
    size_t bytes = strlen(word);

    if (strncmp(*at, word, bytes) != 0) {
        return false;
    }
    *at += bytes;
    return true;
}

/* Puts what one line of the backtrace names before `path`: "  in mapping field 'a' (line: 7, ...",
 * "  in sequence entry '1' (line: ..." or, without a name, "  in mapping (line: ...".  Returns its
 * line of the file, 0 if it names no place. */
static uint32_t config_said_place(const char *at, char path[CONFIG_PATH_BYTES])
{
    char longer[CONFIG_PATH_BYTES + 80];
    const char *dot = path[0] != '\0' && path[0] != '[' ? "." : "";
    char *behind = NULL;

    at += strspn(at, " ");
    if (config_said_word(&at, "in mapping field '")) {
        int name_bytes = (int)strcspn(at, "'\n");

        (void)snprintf(longer, sizeof(longer), "%.*s%s%s", name_bytes, at, dot, path);
        at += name_bytes;
    } else if (config_said_word(&at, "in sequence entry '")) {
        unsigned long entry = strtoul(at, &behind, 10);

        (void)snprintf(longer, sizeof(longer), "[%lu]%s%s", entry == 0 ? 0 : entry - 1, dot, path);
        at = behind;
    } else if (config_said_word(&at, "in mapping")) {
        (void)snprintf(longer, sizeof(longer), "%s", path);
    } else {
        return 0;
    }
    (void)config_said_word(&at, "'");
    if (!config_said_word(&at, " (line: ")) {
        return 0;
    }
    (void)snprintf(path, CONFIG_PATH_BYTES, "%.*s", (int)CONFIG_PATH_BYTES - 1, longer);
    return (uint32_t)strtoul(at, NULL, 10);
}

/* Puts the path of the innermost value together from the backtrace, which names the outermost last.
 */
static uint32_t config_said_path(const char *text, char path[CONFIG_PATH_BYTES])
{
    uint32_t line = 0;
    const char *at = strstr(text, "Backtrace:");

    path[0] = '\0';
    while (at != NULL && (at = strchr(at, '\n')) != NULL) {
        uint32_t here = config_said_place(++at, path);

        line = line == 0 ? here : line;
    }
    return line;
}

/* The number's row for "retries[3].maxRetries", whose index the table does not have. */
static const struct config_number *config_number_of(const char *path)
{
    const char *dot = strchr(path, '.');
    uint32_t count = 0;
    const struct config_number *rows = config_numbers(&count);

    if (strncmp(path, "retries[", 8) == 0 && dot != NULL) {
        rows = config_retry_numbers(&count);
        for (uint32_t index = 0; index < count; index++) {
            if (strcmp(strchr(rows[index].path, '.'), dot) == 0) {
                return &rows[index];
            }
        }
        return NULL;
    }
    for (uint32_t index = 0; index < count; index++) {
        if (strcmp(rows[index].path, path) == 0) {
            return &rows[index];
        }
    }
    return NULL;
}

static bool config_refuse_said(struct config_reading *reading, const char *said)
{
    char path[CONFIG_PATH_BYTES];
    char key[CONFIG_PATH_BYTES + 80];
    char name[64] = "";
    uint32_t line = config_said_path(said, path);
    const char *found = NULL;
    const struct config_number *number = config_number_of(path);
    int bytes = (int)strcspn(said, "\n");

    if (sscanf(said, "Load: Unexpected key: %63s", name) == 1) {
        found = tri_config_lines_named(reading->lines, name, line);
        return config_refuse(reading, found == NULL ? name : found,
                             "no such key; docs/config.md lists all");
    }
    if (sscanf(said, "Load: Missing required mapping field: %63s", name) == 1) {
        /* The backtrace names the last field of the mapping, if it is not empty. */
        char *last = strrchr(path, '.');

        if (last == NULL && path[0] != '\0' && path[strlen(path) - 1] != ']') {
            path[0] = '\0';
        } else if (last != NULL) {
            *last = '\0';
        }
        (void)snprintf(key, sizeof(key), "%s%s%s", path, path[0] == '\0' ? "" : ".", name);
        return config_refuse(reading, key, "missing");
    }
    if (strncmp(said, "Load: Mapping field already seen", 32) == 0) {
        (void)snprintf(reading->trouble, TRI_CONFIG_TROUBLE_BYTES, "%s:%u: %s: given twice",
                       reading->path, tri_config_lines_last(reading->lines, path), path);
        return false;
    }
    if (number != NULL) {
        return config_refuse_number(reading, path, number);
    }
    if (strncmp(said, "Load: ", 6) == 0) {
        said += 6;
        bytes -= 6;
    }
    return config_refuse(reading, path, "%.*s", bytes, said);
}

/* Reads the whole file; NULL with `trouble` filled in. */
static char *config_slurp(const char *path, size_t *bytes, char *trouble)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t room = 65536;
    size_t used = 0;
    bool is_good = file != NULL;

    while (is_good) {
        char *longer = realloc(text, room);
        size_t got = 0;

        is_good = longer != NULL;
        text = is_good ? longer : text;
        got = is_good ? fread(text + used, 1, room - used, file) : 0;
        used += got;
        if (got == 0) {
            break;
        }
        room = used == room ? room * 2 : room;
        if (used > TRI_CONFIG_FILE_BYTES_MAX) {
            errno = EFBIG;
            is_good = false;
        }
    }
    if (file != NULL && ferror(file) != 0) {
        is_good = false;
    }
    if (!is_good) {
        (void)snprintf(trouble, TRI_CONFIG_TROUBLE_BYTES, "%s: %s", path, strerror(errno));
        free(text);
        text = NULL;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    *bytes = used;
    return text;
}

static bool config_read(struct tri_config *config, struct config_reading *reading, const char *text,
                        size_t bytes)
{
    struct config_said said = {.used = 0};
    cyaml_config_t cyaml = config_cyaml;
    cyaml_data_t *file = NULL;
    char what[256];
    uint32_t line = 1;

    reading->lines = tri_config_lines_make(text, bytes, &line, what, sizeof(what));
    if (reading->lines == NULL) {
        (void)snprintf(reading->trouble, TRI_CONFIG_TROUBLE_BYTES, "%s:%u: %s", reading->path, line,
                       what);
        return false;
    }
    cyaml.log_ctx = &said;
    if (cyaml_load_data((const uint8_t *)text, bytes, &cyaml, &config_root, &file, NULL) !=
        CYAML_OK) {
        return config_refuse_said(reading, said.text);
    }
    if (file == NULL) {
        return config_refuse(reading, "", "the file is empty; docs/config.md lists the keys");
    }
    config->file = file;
    return config_check(config, reading);
}

bool tri_config_load(struct tri_config *config, const char *path,
                     char trouble[TRI_CONFIG_TROUBLE_BYTES])
{
    struct config_reading reading = {.path = path, .trouble = trouble};
    size_t bytes = 0;
    char *text = NULL;
    bool is_good = false;

    assert(config != NULL && path != NULL && trouble != NULL);
    memset(config, 0, sizeof(*config));
    text = config_slurp(path, &bytes, trouble);
    if (text == NULL) {
        return false;
    }
    is_good = config_read(config, &reading, text, bytes);
    tri_config_lines_free(reading.lines);
    free(text);
    if (!is_good) {
        tri_config_free(config);
    }
    return is_good;
}

void tri_config_free(struct tri_config *config)
{
    assert(config != NULL);
    if (config->file != NULL) {
        (void)cyaml_free(&config_cyaml, &config_root, config->file, 0);
    }
    free(config->identities);
    free(config->chains);
    free(config->locations);
    free(config->location_chains);
    memset(config, 0, sizeof(*config));
}
