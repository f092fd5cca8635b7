/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a flood of events does not become a flood of lines, nothing is left out
 * without being counted, and no peer can write a line of its own.
 *
 * Method: the throttle with times of the test; whole lines through a pipe in
 * the place of stderr.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/limits.h"
#include "io/log.h"

Test(log, ten_lines_a_second_then_a_count)
{
    struct tri_log_site site = {0};
    uint64_t now_ns = 5 * TRI_NS_PER_S;
    uint32_t suppressed = 99;

    for (uint32_t line = 0; line < 10; line++) {
        cr_expect(tri_log_site_allows(&site, now_ns + line, &suppressed));
        cr_expect_eq(suppressed, 0);
    }
    for (uint32_t line = 0; line < 1234; line++) {
        cr_expect_not(tri_log_site_allows(&site, now_ns + line, &suppressed));
    }
    cr_expect(tri_log_site_allows(&site, now_ns + TRI_NS_PER_S, &suppressed));
    cr_expect_eq(suppressed, 1234);
    cr_expect(tri_log_site_allows(&site, now_ns + TRI_NS_PER_S, &suppressed));
    cr_expect_eq(suppressed, 0);
}

Test(log, a_peers_text_stays_inside_its_quotes)
{
    struct tri_log_quoted quoted = tri_log_quote((struct tri_text){"a\" event=x\n\\\xff", 13});
    char longest[TRI_ID_BYTES_MAX + 10];

    cr_expect_str_eq(quoted.at, "a\\x22 event=x\\x0a\\x5c\\xff");
    memset(longest, '\n', sizeof(longest));
    quoted = tri_log_quote((struct tri_text){longest, sizeof(longest)});
    cr_expect_eq(strlen(quoted.at), 4 * TRI_ID_BYTES_MAX);
}

/* Writes a line and returns it. */
static const char *line_of(enum tri_log_level level, const char *value)
{
    static char line[2048];
    int ends[2];
    int kept = dup(STDERR_FILENO);
    ssize_t got = 0;

    cr_assert_eq(pipe(ends), 0);
    cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
    TRI_LOG(level, "test", "value=\"%s\"", value);
    cr_assert_geq(dup2(kept, STDERR_FILENO), 0);
    cr_assert_eq(close(ends[1]), 0);
    cr_assert_eq(close(kept), 0);
    got = read(ends[0], line, sizeof(line) - 1);
    cr_assert_geq(got, 0);
    line[got] = '\0';
    cr_assert_eq(close(ends[0]), 0);
    return line;
}

Test(log, a_line_has_times_level_event_and_values)
{
    const char *line = line_of(TRI_LOG_WARN, "x");

    cr_expect_eq(strncmp(line, "ts=20", 5), 0, "%s", line);
    cr_expect_not_null(strstr(line, "Z mono="), "%s", line);
    cr_expect_not_null(strstr(line, " level=warn event=test value=\"x\"\n"), "%s", line);
}

Test(log, a_line_is_cut_but_always_ends)
{
    char longest[3000];
    const char *line = NULL;

    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    line = line_of(TRI_LOG_ERROR, longest);
    cr_expect_leq(strlen(line), TRI_LOG_LINE_BYTES);
    cr_expect_eq(line[strlen(line) - 1], '\n');
}

Test(log, lines_above_the_level_are_not_written)
{
    tri_log_level_set(TRI_LOG_WARN);
    cr_expect_str_eq(line_of(TRI_LOG_INFO, "x"), "");
    cr_expect_str_neq(line_of(TRI_LOG_WARN, "x"), "");
    cr_expect_eq(tri_log_level_of("debug"), TRI_LOG_DEBUG);
    cr_expect_eq(tri_log_level_of("loud"), TRI_LOG_LEVEL_COUNT);
}

static void say_something(void)
{
    TRI_LOG(TRI_LOG_ERROR, "test", "value=1");
}

Test(log, a_line_that_nobody_reads_stops_nobody, .timeout = 10)
{
    static char bytes[65536];
    int kept = dup(STDERR_FILENO);
    int ends[2];
    ssize_t got = 0;

    cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
    while (write(ends[1], bytes, sizeof(bytes)) > 0) {
        /* until it is full */
    }
    cr_assert_eq(fcntl(ends[1], F_SETFL, 0), 0);
    cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
    say_something();
    while (read(ends[0], bytes, sizeof(bytes)) > 0) {
        /* until it is empty */
    }
    say_something();
    cr_assert_geq(dup2(kept, STDERR_FILENO), 0);
    got = read(ends[0], bytes, sizeof(bytes) - 1);
    cr_assert_gt(got, 0);
    bytes[got] = '\0';
    cr_expect_not_null(strstr(bytes, " event=test value=1 suppressed=1\n"), "%s", bytes);
}
