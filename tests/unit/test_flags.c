/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flags: what is a number, an address, loopback.
 */
#include <criterion/criterion.h>
#include <signal.h>

#include "io/flags.h"

Test(flags, a_number_is_digits_in_a_range)
{
    static const char *const bad[] = {
        "", " 1", "+1", "-1", "1 ", "0x1", "4", "1e3", "99999999999999999999999"};
    uint64_t value = 77;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_not(tri_flags_decimal(bad[i], 5, 9, &value), "'%s' was taken", bad[i]);
    }
    cr_assert_eq(value, 77);
    cr_assert(tri_flags_decimal("5", 5, 9, &value));
    cr_assert_eq(value, 5);
    cr_assert(tri_flags_decimal("18446744073709551615", 0, UINT64_MAX, &value));
    cr_assert_eq(value, UINT64_MAX);
}

Test(flags, loopback_is_127_or_1)
{
    struct tri_address address = {0};

    tri_flags_address("test", "flag", "127.9.9.9:1", &address);
    cr_assert(tri_address_is_loopback(&address));
    tri_flags_address("test", "flag", "[::1]:65535", &address);
    cr_assert(tri_address_is_loopback(&address));
    tri_flags_address("test", "flag", "10.0.0.1:1", &address);
    cr_assert_not(tri_address_is_loopback(&address));
}

Test(flags, an_address_without_port_ends_the_program, .exit_code = 2)
{
    struct tri_address address = {0};

    tri_flags_address("test", "flag", "127.0.0.1", &address);
}

Test(flags, a_short_secret_ends_the_program, .exit_code = 2)
{
    struct tri_secret secret = {0};

    tri_flags_secret("test", "flag", "fifteen bytes..", &secret);
}
