/* SPDX-License-Identifier: Apache-2.0 */
#include "io/clock.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "engine/limits.h"

#define CLOCK_DAY_MS   UINT64_C(86400000)
#define CLOCK_DAYS_MAX UINT64_C(2932896) /* 9999-12-31 */

static uint64_t clock_read_ns(clockid_t id)
{
    struct timespec time;
    int failed = clock_gettime(id, &time);

    assert(failed == 0);
    return (uint64_t)time.tv_sec * TRI_NS_PER_S + (uint64_t)time.tv_nsec;
}

uint64_t tri_clock_now_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

uint64_t tri_clock_wall_ms(void)
{
    return clock_read_ns(CLOCK_REALTIME) / TRI_NS_PER_MS;
}

/* gmtime_r() would do, but its first call reads the time zone's file, and so allocates on whatever
 * thread writes the first line of the log. */
struct clock_date {
    uint32_t year;
    uint32_t month; /* 1..12 */
    uint32_t day;   /* 1..31 */
};

/* The Gregorian calendar, counted in years that begin in March, so that the leap day is the last
 * one of its year. */
static struct clock_date clock_date_of(uint32_t days)
{
    const uint32_t era_days = 146097; /* 400 years */
    uint32_t since = days + 719468;   /* 0000-03-01 */
    uint32_t in_era = since % era_days;
    uint32_t years = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    uint32_t in_year = in_era - (365 * years + years / 4 - years / 100);
    uint32_t month = (5 * in_year + 2) / 153; /* 0 = March */

    assert(in_year < 366 && month < 12);
    return (struct clock_date){
        .year = since / era_days * 400 + years + (month < 10 ? 0 : 1),
        .month = month < 10 ? month + 3 : month - 9,
        .day = in_year - (153 * month + 2) / 5 + 1,
    };
}

void tri_clock_text(uint64_t wall_ms, char text[TRI_CLOCK_TEXT_BYTES])
{
    uint64_t days = wall_ms / CLOCK_DAY_MS;
    uint32_t second = (uint32_t)(wall_ms % CLOCK_DAY_MS / 1000);
    struct clock_date date;
    char whole[64];
    int written = 0;

    assert(text != NULL);
    if (days > CLOCK_DAYS_MAX) {
        days = CLOCK_DAYS_MAX;
        second = 0;
    }
    date = clock_date_of((uint32_t)days);
    written = snprintf(whole, sizeof(whole), "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", date.year,
                       date.month, date.day, second / 3600, second / 60 % 60, second % 60,
                       (uint32_t)(wall_ms % 1000));
    assert(written == TRI_CLOCK_TEXT_BYTES - 1);
    for (uint32_t index = 0; index < TRI_CLOCK_TEXT_BYTES; index++) {
        text[index] = whole[index];
    }
}
