/* SPDX-License-Identifier: Apache-2.0 */
#include "io/log.h"

#include <assert.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/limits.h"
#include "io/clock.h"

static const char *const log_names[TRI_LOG_LEVEL_COUNT] = {
    [TRI_LOG_ERROR] = "error",
    [TRI_LOG_WARN] = "warn",
    [TRI_LOG_INFO] = "info",
    [TRI_LOG_DEBUG] = "debug",
};
/* Set once by main before any thread starts, only read afterwards. */
static enum tri_log_level log_level = TRI_LOG_INFO;

void tri_log_level_set(enum tri_log_level level)
{
    assert(level < TRI_LOG_LEVEL_COUNT);
    log_level = level;
}

enum tri_log_level tri_log_level_of(const char *name)
{
    uint32_t level = 0;

    assert(name != NULL);
    while (level < TRI_LOG_LEVEL_COUNT && strcmp(log_names[level], name) != 0) {
        level++;
    }
    return (enum tri_log_level)level;
}

/* The three numbers are only a throttle: relaxed, because a line more or less at the turn of a
 * second between two threads does no harm. */
bool tri_log_site_allows(struct tri_log_site *site, uint64_t now_ns, uint32_t *suppressed)
{
    uint64_t second = now_ns / TRI_NS_PER_S + 1;

    assert(site != NULL);
    assert(suppressed != NULL);
    if (atomic_load_explicit(&site->second, memory_order_relaxed) != second) {
        atomic_store_explicit(&site->second, second, memory_order_relaxed);
        atomic_store_explicit(&site->lines, 0, memory_order_relaxed);
    }
    if (atomic_fetch_add_explicit(&site->lines, 1, memory_order_relaxed) >= TRI_LOG_LINES_PER_S) {
        atomic_fetch_add_explicit(&site->suppressed, 1, memory_order_relaxed);
        return false;
    }
    *suppressed = atomic_exchange_explicit(&site->suppressed, 0, memory_order_relaxed);
    return true;
}

/* What snprintf wrote, bounded by what it had room for. */
static size_t log_bounded(int written, size_t room)
{
    if (written < 0) {
        return 0;
    }
    return (size_t)written < room ? (size_t)written : room - 1;
}

void tri_log_write(struct tri_log_site *site, enum tri_log_level level, const char *event,
                   const char *format, ...)
{
    char line[TRI_LOG_LINE_BYTES];
    char date[TRI_CLOCK_TEXT_BYTES];
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    uint64_t now_ns = tri_clock_now_ns();
    uint32_t suppressed = 0;
    size_t used = 0;
    va_list arguments;

    assert(level < TRI_LOG_LEVEL_COUNT);
    assert(event != NULL);
    if (level > log_level || !tri_log_site_allows(site, now_ns, &suppressed)) {
        return;
    }
    tri_clock_text(tri_clock_wall_ms(), date);
    used = log_bounded(snprintf(line, sizeof(line), "ts=%s mono=%llu.%06llu level=%s event=%s ",
                                date, (unsigned long long)(now_ns / TRI_NS_PER_S),
                                (unsigned long long)(now_ns % TRI_NS_PER_S / 1000),
                                log_names[level], event),
                       sizeof(line));
    va_start(arguments, format);
    used += log_bounded(vsnprintf(line + used, sizeof(line) - used, format, arguments),
                        sizeof(line) - used);
    va_end(arguments);
    if (suppressed > 0) {
        used +=
            log_bounded(snprintf(line + used, sizeof(line) - used, " suppressed=%u", suppressed),
                        sizeof(line) - used);
    }
    line[used] = '\n';
    /* A log that nobody reads must not stop the server: a full pipe takes no line. */
    if (poll(&room, 1, 0) <= 0 || write(STDERR_FILENO, line, used + 1) < 0) {
        atomic_fetch_add_explicit(&site->suppressed, suppressed + 1, memory_order_relaxed);
    }
}

struct tri_log_quoted tri_log_quote(struct tri_text text)
{
    static const char digits[] = "0123456789abcdef";
    struct tri_log_quoted quoted;
    uint32_t bytes = text.bytes < TRI_ID_BYTES_MAX ? text.bytes : TRI_ID_BYTES_MAX;
    size_t used = 0;

    assert(text.bytes == 0 || text.at != NULL);
    for (uint32_t index = 0; index < bytes; index++) {
        uint8_t byte = (uint8_t)text.at[index];

        if (byte < 0x20 || byte > 0x7e || byte == '"' || byte == '\\') {
            quoted.at[used++] = '\\';
            quoted.at[used++] = 'x';
            quoted.at[used++] = digits[byte >> 4];
            quoted.at[used++] = digits[byte & 15];
        } else {
            quoted.at[used++] = (char)byte;
        }
    }
    assert(used < sizeof(quoted.at));
    quoted.at[used] = '\0';
    return quoted;
}
