/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: dates are written as the specification writes them, and the time that
 * drives timers never goes back.
 *
 * Method: literal dates, the last one beyond what four digits of a year can say, and every day of a
 * calendar's period against the C library.
 */
#include <criterion/criterion.h>
#include <time.h>

#include "io/clock.h"

Test(clock, dates_are_iso_8601_in_utc)
{
    char text[TRI_CLOCK_TEXT_BYTES];

    tri_clock_text(0, text);
    cr_expect_str_eq(text, "1970-01-01T00:00:00.000Z");
    tri_clock_text(UINT64_C(951827696789), text);
    cr_expect_str_eq(text, "2000-02-29T12:34:56.789Z");
    tri_clock_text(UINT64_C(253402300799999), text);
    cr_expect_str_eq(text, "9999-12-31T23:59:59.999Z");
    tri_clock_text(UINT64_MAX, text);
    cr_expect_str_eq(text, "9999-12-31T00:00:00.615Z");
}

/* Each day from 1970 to 2400: 400 years, after which the calendar repeats. */
Test(clock, every_day_of_the_calendar_is_the_one_of_the_library)
{
    for (time_t day = 0; day < 157060; day++) {
        time_t seconds = day * 86400 + 86399;
        char text[TRI_CLOCK_TEXT_BYTES];
        char expected[TRI_CLOCK_TEXT_BYTES];
        struct tm date;

        cr_assert_not_null(gmtime_r(&seconds, &date));
        cr_assert_gt(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.001Z", &date), 0);
        tri_clock_text((uint64_t)seconds * 1000 + 1, text);
        cr_assert_str_eq(text, expected);
    }
}

Test(clock, monotonic_time_never_goes_back)
{
    uint64_t last_ns = tri_clock_now_ns();

    for (uint32_t index = 0; index < 10000; index++) {
        uint64_t now_ns = tri_clock_now_ns();

        cr_assert_geq(now_ns, last_ns);
        last_ns = now_ns;
    }
}

Test(clock, a_date_is_read_as_it_was_written)
{
    static const uint64_t times[] = {0, UINT64_C(951827696789), UINT64_C(951868799999),
                                     UINT64_C(1767323045678), UINT64_C(253402300799999)};

    for (uint32_t index = 0; index < 5; index++) {
        char text[TRI_CLOCK_TEXT_BYTES];
        uint64_t again = 1;

        tri_clock_text(times[index], text);
        cr_expect(tri_clock_parse(text, &again), "%s", text);
        cr_expect_eq(again, times[index], "%s", text);
    }
    for (uint64_t day = 0; day < 157060; day++) {
        char text[TRI_CLOCK_TEXT_BYTES];
        uint64_t again = 1;

        tri_clock_text(day * 86400000, text);
        cr_assert(tri_clock_parse(text, &again), "%s", text);
        cr_assert_eq(again, day * 86400000, "%s", text);
    }
}

Test(clock, what_no_calendar_has_is_no_date)
{
    static const char *const texts[] = {
        "2026-02-29T00:00:00.000Z", "2026-02-30T00:00:00.000Z", "2026-00-10T00:00:00.000Z",
        "2026-13-10T00:00:00.000Z", "2026-01-00T00:00:00.000Z", "2026-01-32T00:00:00.000Z",
        "2026-01-01T24:00:00.000Z", "2026-01-01T00:60:00.000Z", "2026-01-01T00:00:60.000Z",
        "1969-12-31T23:59:59.999Z", "2026-01-01 00:00:00.000Z", "2026-01-01T00:00:00.000z",
        "2026-1-001T00:00:00.000Z", "0000-01-01T00:00:00.000Z", "+026-01-01T00:00:00.000Z"};
    uint64_t wall_ms = 0;

    for (uint32_t index = 0; index < sizeof(texts) / sizeof(texts[0]); index++) {
        cr_expect_not(tri_clock_parse(texts[index], &wall_ms), "%s", texts[index]);
    }
}
