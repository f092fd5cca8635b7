/* SPDX-License-Identifier: Apache-2.0 */
#include "io/flags.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOST_BYTES_MAX 256U

void tri_flags_files(void)
{
    for (int file = 0; file <= STDERR_FILENO; file++) {
        /* What is opened gets the lowest number that is free.  The wrong way round: what is written
         * there, or read, still fails as it does where nothing is open. */
        if (fcntl(file, F_GETFD) < 0 &&
            open("/dev/null", file == STDIN_FILENO ? O_WRONLY : O_RDONLY) != file) {
            exit(TRI_FLAGS_EXIT); /* nobody could be told why */
        }
    }
}

void tri_flags_begin(struct argp_state *state)
{
    assert(state != NULL);
    /* getopt has already printed the one line; argp's hint after it goes nowhere. */
    state->err_stream = fopen("/dev/null", "we");
}

void tri_flags_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    error_t failed;

    assert(argp != NULL);
    assert(argc >= 1);
    argp_err_exit_status = TRI_FLAGS_EXIT;
    failed = argp_parse(argp, argc, argv, 0, NULL, input);
    if (failed != 0) {
        tri_flags_fail(argv[0], "%s", strerror(failed));
    }
}

noreturn void tri_flags_fail(const char *name, const char *format, ...)
{
    char line[512];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "%s: %s\n", name, line);
    exit(TRI_FLAGS_EXIT);
}

bool tri_flags_decimal(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
    char *end = NULL;
    unsigned long long number;

    assert(text != NULL);
    assert(min <= max);
    if (text[0] < '0' || text[0] > '9') {
        return false; /* strtoull would take signs and spaces */
    }
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || number < min || number > max) {
        return false;
    }
    *value = number;
    return true;
}

uint64_t tri_flags_uint(const char *name, const char *flag, const char *text, uint64_t min,
                        uint64_t max)
{
    uint64_t value = 0;

    if (!tri_flags_decimal(text, min, max, &value)) {
        tri_flags_fail(name, "%s '%s': expected a number from %llu to %llu", flag, text,
                       (unsigned long long)min, (unsigned long long)max);
    }
    return value;
}

void tri_flags_address(const char *name, const char *flag, const char *text,
                       struct tri_address *address)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    const char *colon = strrchr(text, ':');
    const char *begin = text;
    struct addrinfo *found = NULL;
    char host[HOST_BYTES_MAX];
    size_t bytes;
    uint64_t port;
    int failed;

    if (colon == NULL || colon == text || !tri_flags_decimal(colon + 1, 0, UINT16_MAX, &port)) {
        tri_flags_fail(name, "%s '%s': expected HOST:PORT", flag, text);
    }
    bytes = (size_t)(colon - text);
    if (text[0] == '[' && text[bytes - 1U] == ']') {
        begin++;
        bytes -= 2U;
    }
    if (bytes == 0U || bytes >= sizeof(host)) {
        tri_flags_fail(name, "%s '%s': expected HOST:PORT", flag, text);
    }
    memcpy(host, begin, bytes);
    host[bytes] = '\0';
    failed = getaddrinfo(host, colon + 1, &hints, &found);
    if (failed != 0) {
        tri_flags_fail(name, "%s '%s': %s", flag, text, gai_strerror(failed));
    }
    memcpy(&address->at, found->ai_addr, found->ai_addrlen);
    address->bytes = found->ai_addrlen;
    freeaddrinfo(found);
}

bool tri_address_is_loopback(const struct tri_address *address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (address->at.ss_family == AF_INET) {
        memcpy(&v4, &address->at, sizeof(v4));
        return ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    memcpy(&v6, &address->at, sizeof(v6));
    return address->at.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

void tri_flags_secret(const char *name, const char *flag, const char *text,
                      struct tri_secret *secret)
{
    size_t bytes = strlen(text);

    if (bytes < TRI_SECRET_BYTES_MIN || bytes > TRI_SECRET_BYTES_MAX) {
        tri_flags_fail(name, "%s: a secret has %u to %u bytes", flag, TRI_SECRET_BYTES_MIN,
                       TRI_SECRET_BYTES_MAX);
    }
    memcpy(secret->at, text, bytes);
    secret->bytes = (uint32_t)bytes;
}

void tri_flags_secret_file(const char *name, const char *flag, const char *path,
                           struct tri_secret *secret)
{
    char text[TRI_SECRET_BYTES_MAX + 2U];
    FILE *file = fopen(path, "re");
    size_t bytes;

    if (file == NULL) {
        tri_flags_fail(name, "%s '%s': %s", flag, path, strerror(errno));
    }
    bytes = fread(text, 1, sizeof(text) - 1U, file);
    (void)fclose(file);
    if (bytes > 0U && text[bytes - 1U] == '\n') {
        bytes--;
    }
    if (bytes < TRI_SECRET_BYTES_MIN || bytes > TRI_SECRET_BYTES_MAX) {
        tri_flags_fail(name, "%s '%s': a secret has %u to %u bytes", flag, path,
                       TRI_SECRET_BYTES_MIN, TRI_SECRET_BYTES_MAX);
    }
    memcpy(secret->at, text, bytes);
    secret->bytes = (uint32_t)bytes;
}
