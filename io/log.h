/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log: one line of key=value pairs per event, on stderr.
 *
 *     ts=2026-01-02T03:04:05.678Z mono=12.345678 level=info event=listening port=7411
 *
 * Each call site writes at most TRI_LOG_LINES_PER_S lines a second; what was
 * left out is counted and told by the site's next line (suppressed=N), so a
 * flood of bad frames cannot become a flood of lines.
 *
 * A line is formatted on the stack and leaves in one write(2).
 *
 * Threads: any.
 */
#ifndef TRI_IO_LOG_H
#define TRI_IO_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tricast/message.h"

enum tri_log_level {
    TRI_LOG_ERROR = 0,
    TRI_LOG_WARN = 1,
    TRI_LOG_INFO = 2,
    TRI_LOG_DEBUG = 3,
    TRI_LOG_LEVEL_COUNT = 4,
};

#define TRI_LOG_LINES_PER_S 10U
#define TRI_LOG_LINE_BYTES  1024U

/* What a call site remembers; zeroed at first. */
struct tri_log_site {
    _Atomic uint64_t second;     /* the monotonic second that `lines` counts */
    _Atomic uint32_t lines;      /* written or suppressed in this second */
    _Atomic uint32_t suppressed; /* since the site's last written line */
};

/* Lines above `level` are not written.  Call before other threads run. */
void tri_log_level_set(enum tri_log_level level);
/* The level of that name ("error", "warn", "info", "debug"); TRI_LOG_LEVEL_COUNT if there is none.
 */
enum tri_log_level tri_log_level_of(const char *name);

/* tri_log_site_allows counts one line at `now_ns`.  Returns whether it may be written; then
 * *suppressed is the number of lines left out before it. */
bool tri_log_site_allows(struct tri_log_site *site, uint64_t now_ns, uint32_t *suppressed);

/* tri_log_write writes one line; use TRI_LOG.  `event` and `format` are literals. */
void tri_log_write(struct tri_log_site *site, enum tri_log_level level, const char *event,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

#define TRI_LOG(level, event, ...)                                        \
    do {                                                                  \
        static struct tri_log_site tri_log_site_here;                     \
        tri_log_write(&tri_log_site_here, (level), (event), __VA_ARGS__); \
    } while (0)

/* Text of a peer, fit for a quoted value: quotes, backslashes and everything that is not printable
 * ASCII become \xNN; cut after TRI_ID_BYTES_MAX bytes. */
struct tri_log_quoted {
    char at[TRI_ID_BYTES_MAX * 4 + 1];
};
struct tri_log_quoted tri_log_quote(struct tri_text text);

#endif
