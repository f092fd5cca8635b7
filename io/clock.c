/* SPDX-License-Identifier: Apache-2.0 */
#include "io/clock.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "engine/limits.h"

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

void tri_clock_text(uint64_t wall_ms, char text[TRI_CLOCK_TEXT_BYTES])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm date;
    char whole[64];
    int written = 0;

    assert(text != NULL);
    if (gmtime_r(&seconds, &date) == NULL || date.tm_year > 9999 - 1900) {
        date = (struct tm){.tm_year = 9999 - 1900, .tm_mon = 11, .tm_mday = 31};
    }
    written = snprintf(whole, sizeof(whole), "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ",
                       date.tm_year + 1900, date.tm_mon + 1, date.tm_mday, date.tm_hour,
                       date.tm_min, date.tm_sec, (unsigned)(wall_ms % 1000));
    assert(written == TRI_CLOCK_TEXT_BYTES - 1);
    for (uint32_t index = 0; index < TRI_CLOCK_TEXT_BYTES; index++) {
        text[index] = whole[index];
    }
}
