/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options: the command line of tricast-chain.
 *
 * Threads: main's, before anything runs.
 */
#ifndef TRI_IO_CHAIN_OPTIONS_H
#define TRI_IO_CHAIN_OPTIONS_H

#include "io/chain_book.h"
#include "io/chain_faults.h"
#include "io/flags.h"

#define TRI_LINKS_MAX 16U

struct tri_chain_options {
    struct tri_address server;
    const char *chain;
    const char *journal; /* the directory; NULL = nothing is kept */
    bool has_admin;
    struct tri_address admin;
    const char *port_file;
    struct tri_secret secret;
    struct tri_book book; /* ids collected, not yet open */
    struct tri_faults faults;
    uint32_t connections;
    uint32_t entries_max;
    uint64_t dedup_window_ms;
    uint64_t reservation_ttl_ms_max;
    uint64_t segment_bytes; /* 0 = the journal's default */
};

/* tri_chain_options_parse fills *options with defaults and flags, or exits with TRI_FLAGS_EXIT and
 * one line. */
void tri_chain_options_parse(int argc, char **argv, struct tri_chain_options *options);

#endif
