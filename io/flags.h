/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flags: what the programs' command lines have in common.
 *
 * A wrong flag ends the program with exit code 2 and one line on stderr that
 * names the program, the flag and what is wrong with it.
 *
 * Threads: main's, before others run.
 */
#ifndef TRI_IO_FLAGS_H
#define TRI_IO_FLAGS_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/socket.h>

#include "io/secret.h"

#define TRI_FLAGS_EXIT 2

struct tri_address {
    struct sockaddr_storage at;
    socklen_t bytes;
};

/*
 * tri_flags_parse runs argp with this project's habits.
 *
 * argp   in; its parser calls tri_flags_begin() on ARGP_KEY_INIT.
 * argv   in/out; argv[0] is the name that messages begin with.
 * input  in/out; reaches the parser as state->input.
 *
 * Returns when everything was understood; --help exits with 0, mistakes with TRI_FLAGS_EXIT.
 */
void tri_flags_parse(const struct argp *argp, int argc, char **argv, void *input);
void tri_flags_begin(struct argp_state *state);

/* tri_flags_files opens /dev/null as every one of stdin, stdout and stderr that is closed, or ends
 * the program: the next file or socket would take its number, and what is meant for stderr would go
 * there.  Call it first. */
void tri_flags_files(void);

/* tri_flags_fail prints "name: text" as one line on stderr and exits with TRI_FLAGS_EXIT. */
noreturn void tri_flags_fail(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* tri_flags_uint reads a decimal number in [min, max], or fails naming `flag`. */
uint64_t tri_flags_uint(const char *name, const char *flag, const char *text, uint64_t min,
                        uint64_t max);
/* tri_flags_decimal is the same without failing: false if `text` is no such number. */
bool tri_flags_decimal(const char *text, uint64_t min, uint64_t max, uint64_t *value);

/* tri_flags_address reads HOST:PORT or [V6]:PORT, or fails naming `flag`. */
void tri_flags_address(const char *name, const char *flag, const char *text,
                       struct tri_address *address);

bool tri_address_is_loopback(const struct tri_address *address);

/* The bytes of the flag's value, TRI_SECRET_BYTES_MIN..TRI_SECRET_BYTES_MAX; of a file: without its
 * last newline. */
void tri_flags_secret(const char *name, const char *flag, const char *text,
                      struct tri_secret *secret);
void tri_flags_secret_file(const char *name, const char *flag, const char *path,
                           struct tri_secret *secret);

#endif
