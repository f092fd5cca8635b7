/* SPDX-License-Identifier: Apache-2.0 */
#include "io/clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
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

/* The days from 1970-01-01 to a date from then on. */
static uint64_t clock_days_to(uint32_t year, uint32_t month, uint32_t day)
{
    uint32_t years = month > 2 ? year : year - 1; /* which begin in March, as above */
    uint32_t months = month > 2 ? month - 3 : month + 9;

    return (uint64_t)years * 365 + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 +
           day - 1 - 719468;
}

static uint32_t clock_number(const char *text, uint32_t digits)
{
    uint32_t number = 0;

    for (uint32_t index = 0; index < digits; index++) {
        number = number * 10 + (uint32_t)(text[index] - '0');
    }
    return number;
}

bool tri_clock_parse(const char *text, uint64_t *wall_ms)
{
    static const char form[TRI_CLOCK_TEXT_BYTES] = "0000-00-00T00:00:00.000Z";
    char again[TRI_CLOCK_TEXT_BYTES];
    uint32_t year = 0;
    uint32_t month = 0;
    uint32_t day = 0;

    assert(text != NULL && wall_ms != NULL);
    for (uint32_t index = 0; index < TRI_CLOCK_TEXT_BYTES - 1; index++) {
        if (form[index] == '0' ? text[index] < '0' || text[index] > '9'
                               : text[index] != form[index]) {
            return false;
        }
    }
    year = clock_number(text, 4);
    month = clock_number(text + 5, 2);
    day = clock_number(text + 8, 2);
    if (year < 1970 || month < 1 || month > 12 || day < 1) {
        return false;
    }
    *wall_ms = clock_days_to(year, month, day) * CLOCK_DAY_MS +
               clock_number(text + 11, 2) * UINT64_C(3600000) +
               clock_number(text + 14, 2) * UINT64_C(60000) +
               clock_number(text + 17, 2) * UINT64_C(1000) + clock_number(text + 20, 3);
    tri_clock_text(*wall_ms, again); /* differs where there is no such day or hour */
    return memcmp(again, text, TRI_CLOCK_TEXT_BYTES - 1) == 0;
}
