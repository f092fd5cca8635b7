/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tricast-chain: a participant as a program.
 *
 * One thread, one epoll.  A turn takes what is there on every connection,
 * lets time pass, starts one write of the journal, and sends what earlier
 * writes have made durable: so one receive, one write and one send carry as
 * many messages as have arrived, and no turn waits for the disk.
 */
#include <argp.h>
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "io/chain_admin.h"
#include "io/chain_link.h"
#include "io/chain_options.h"
#include "io/clock.h"
#include "io/log.h"

#define EVENTS_MAX    32
#define TICKS_MAX     256U /* per turn: the connections are not kept waiting */
#define EXIT_TROUBLE  1
#define TAG_SIGNAL    0U
#define TAG_LINK      1U /* .. TAG_LINK + TRI_LINKS_MAX - 1 */
#define TAG_STORE     99U
#define TAG_ADMIN     100U
#define DISCARD_BYTES (2U * TRI_DESK_OUT_BYTES)

static_assert(TAG_STORE >= TAG_LINK + TRI_LINKS_MAX, "tags name one thing each");

struct chain {
    struct tri_chain_options options;
    struct tri_store store;
    struct tri_desk *desk;
    struct tri_admin admin;
    struct tri_link links[TRI_LINKS_MAX];
    uint32_t wanted; /* links: the first, and as many as the coordinator has shards */
    int epoll_fd;
    int signal_fd;
    bool is_stopping;
    uint64_t old_failed;            /* of the store, as it was said */
    uint8_t discard[DISCARD_BYTES]; /* answers that nobody is connected to hear */
};

/* One record on its way back. */
struct replay {
    struct chain *chain;
    uint64_t now_ns;
    uint64_t wall_ms;
    uint64_t records;
    char why[TRI_STORE_WHY_BYTES];
};

static int chain_take(void *context, const struct tri_journal_entry *entry)
{
    struct replay *replay = context;

    replay->records++;
    return tri_desk_replay(replay->chain->desk, &entry->record, replay->now_ns, replay->wall_ms,
                           replay->why);
}

/* What was under way goes on.  Nobody is connected to hear what it says. */
static int chain_resume(struct chain *chain, const struct replay *replay,
                        char why[TRI_STORE_WHY_BYTES])
{
    bool is_more = true;
    int failed = 0;

    while (is_more && failed == 0) {
        struct tri_writer writer = {chain->discard, chain->discard + sizeof(chain->discard), false};

        if (!tri_desk_is_full(chain->desk)) {
            is_more = tri_desk_resume(chain->desk, replay->now_ns, replay->wall_ms, &writer);
        }
        failed = tri_store_turn(&chain->store, tri_clock_now_ns(), why);
    }
    return failed;
}

/* Takes the journal back and begins a new part of it, or ends the program. */
static void chain_recover(struct chain *chain, const char *name)
{
    const struct tri_chain_options *options = &chain->options;
    struct replay replay = {
        .chain = chain,
        .now_ns = tri_clock_now_ns(),
        .wall_ms = tri_clock_wall_ms(),
    };
    uint64_t begin_ns = replay.now_ns;
    int failed = tri_store_replay(&chain->store, chain_take, &replay, replay.why);

    if (failed == 0) {
        failed = tri_store_begin(&chain->store, replay.why);
    }
    if (failed == 0) {
        failed = chain_resume(chain, &replay, replay.why);
    }
    if (failed != 0) {
        tri_flags_fail(name, "journal '%s': %s", options->journal, replay.why);
    }
    if (options->journal != NULL) {
        TRI_LOG(TRI_LOG_INFO, "journal", "chain=%s mode=%s records=%llu ms=%llu", options->chain,
                tri_journal_dir_mode(chain->store.dir), (unsigned long long)replay.records,
                (unsigned long long)((tri_clock_now_ns() - begin_ns) / TRI_NS_PER_MS));
    }
}

/* Opens the directory, the ledger and the desk, or ends the program. */
static void chain_open(struct chain *chain, const char *name)
{
    struct tri_chain_options *options = &chain->options;
    char why[TRI_STORE_WHY_BYTES];
    uint64_t seed;
    const char *wrong;

    if (tri_store_open(&chain->store, options->journal, options->chain, options->segment_bytes,
                       why) != 0) {
        tri_flags_fail(name, "journal '%s': %s",
                       options->journal == NULL ? "none" : options->journal, why);
    }
    memcpy(&seed, chain->store.secret, sizeof(seed));
    wrong = tri_book_open(&options->book, seed);
    if (wrong != NULL) {
        tri_flags_fail(name, "assets: %s", wrong);
    }
    chain->desk = tri_desk_open(&(struct tri_desk_options){
        .chain = {options->chain, (uint32_t)strlen(options->chain)},
        .participant = {.entries_max = options->entries_max,
                        .instance = chain->store.instance,
                        .dedup_window_ms = options->dedup_window_ms,
                        .reservation_ttl_ms_max = options->reservation_ttl_ms_max},
        .book = &options->book,
        .store = &chain->store,
        .faults = &options->faults,
    });
    if (chain->desk == NULL) {
        tri_flags_fail(name, "entries: no memory for %u of them", options->entries_max);
    }
    chain_recover(chain, name);
}

/* Writes the port, whole or not at all: a reader that finds the file can trust it. */
static int port_write(const char *path, uint16_t port)
{
    char aside[4096];
    FILE *file;
    int failed;

    if (snprintf(aside, sizeof(aside), "%s.new", path) >= (int)sizeof(aside)) {
        return -ENAMETOOLONG;
    }
    file = fopen(aside, "we");
    if (file == NULL) {
        return -errno;
    }
    failed = fprintf(file, "%u\n", port) < 0 ? -EIO : 0;
    if (fclose(file) != 0 || (failed == 0 && rename(aside, path) != 0)) {
        failed = -errno;
    }
    return failed;
}

static void chain_listen(struct chain *chain, const char *name)
{
    struct tri_chain_options *options = &chain->options;
    struct tri_admin_options admin = {
        .chain = {options->chain, (uint32_t)strlen(options->chain)},
        .secret = &options->secret,
        .instance = chain->store.instance,
        .book = &options->book,
        .desk = chain->desk,
        .epoll_fd = chain->epoll_fd,
        .tag = TAG_ADMIN,
    };
    int failed = tri_admin_open(&chain->admin, &admin, &options->admin);

    if (failed != 0) {
        tri_flags_fail(name, "admin: %s", strerror(-failed));
    }
    if (options->port_file != NULL) {
        failed = port_write(options->port_file, chain->admin.port);
        if (failed != 0) {
            tri_flags_fail(name, "port-file '%s': %s", options->port_file, strerror(-failed));
        }
    }
    TRI_LOG(TRI_LOG_INFO, "listening", "chain=%s admin_port=%u", options->chain, chain->admin.port);
}

static void chain_start(struct chain *chain, const char *name)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = TAG_SIGNAL}};
    uint64_t now_ns = tri_clock_now_ns();
    sigset_t signals;
    int failed = 0;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    chain->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    chain->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (chain->epoll_fd < 0 || chain->signal_fd < 0 ||
        epoll_ctl(chain->epoll_fd, EPOLL_CTL_ADD, chain->signal_fd, &event) != 0) {
        tri_flags_fail(name, "epoll: %s", strerror(errno));
    }
    if (tri_store_descriptor(&chain->store) >= 0) {
        event.data.u64 = TAG_STORE;
        if (epoll_ctl(chain->epoll_fd, EPOLL_CTL_ADD, tri_store_descriptor(&chain->store),
                      &event) != 0) {
            tri_flags_fail(name, "epoll: %s", strerror(errno));
        }
    }
    for (uint32_t i = 0; i < chain->options.connections && failed == 0; i++) {
        struct tri_link_options link = {
            .server = chain->options.server,
            .chain = {chain->options.chain, (uint32_t)strlen(chain->options.chain)},
            .secret = &chain->options.secret,
            .instance = chain->store.instance,
            .shard = chain->options.connections > 1U ? i + 1U : 0U,
            .epoll_fd = chain->epoll_fd,
            .tag = TAG_LINK + i,
        };

        failed = tri_link_init(&chain->links[i], &link, now_ns);
    }
    chain->wanted = 1;
    if (failed != 0) {
        tri_flags_fail(name, "connections: %s", strerror(-failed));
    }
    if (chain->options.has_admin) {
        chain_listen(chain, name);
    }
}

/* A second link to a shard would end the first one, which would come back and end the second. */
static void chain_count_wanted(struct chain *chain)
{
    const struct tri_link *first = &chain->links[0];

    if (first->state == TRI_LINK_OPEN) {
        uint32_t shards = first->peer.welcome.shards;

        chain->wanted = shards < chain->options.connections ? shards : chain->options.connections;
    }
}

/* The first open link, for answers that belong to no connection; NULL if none is open. */
static struct tri_link *chain_speaker(struct chain *chain)
{
    for (uint32_t i = 0; i < chain->options.connections; i++) {
        if (chain->links[i].state == TRI_LINK_OPEN) {
            return &chain->links[i];
        }
    }
    return NULL;
}

/* A writer for what the desk says by itself.  Without a connection it leads nowhere, as a cable
 * that was cut would: the coordinator asks again when the chain is back (P15). */
static struct tri_writer chain_writer(struct chain *chain, struct tri_link *speaker)
{
    if (speaker == NULL) {
        return (struct tri_writer){chain->discard, chain->discard + sizeof(chain->discard), false};
    }
    return tri_line_room(&speaker->line, TRI_DESK_OUT_BYTES);
}

/* Lets time pass at the desk. */
static void chain_tick(struct chain *chain, uint64_t now_ns, uint64_t wall_ms)
{
    struct tri_link *speaker = chain_speaker(chain);

    for (uint32_t i = 0; i < TICKS_MAX && tri_desk_deadline_ns(chain->desk) <= now_ns; i++) {
        struct tri_writer writer = chain_writer(chain, speaker);

        if (writer.at == NULL) {
            return; /* the connection is full: time waits for it */
        }
        tri_desk_tick(chain->desk, now_ns, wall_ms, &writer);
        if (speaker != NULL) {
            tri_line_put(&speaker->line, &writer);
        }
    }
}

/* Says that old files stay, once for each attempt to remove them. */
static void chain_say_old(struct chain *chain)
{
    const char *why = "";
    uint64_t failed = tri_store_old_failed(&chain->store, &why);

    if (failed != chain->old_failed) {
        chain->old_failed = failed;
        TRI_LOG(TRI_LOG_WARN, "journal-old-sets", "chain=%s why=\"%s\"", chain->options.chain, why);
    }
}

/* What was decided in this turn is on its way to the disk; what has arrived there leaves. */
static int chain_settle(struct chain *chain, uint64_t now_ns, uint64_t wall_ms)
{
    struct tri_link *speaker = chain_speaker(chain);
    struct tri_writer writer = chain_writer(chain, speaker);
    char why[TRI_STORE_WHY_BYTES];
    int failed = tri_store_turn(&chain->store, now_ns, why);

    if (failed != 0) {
        TRI_LOG(TRI_LOG_ERROR, "journal", "chain=%s why=\"%s\"", chain->options.chain, why);
        return failed;
    }
    chain_say_old(chain);
    if (writer.at != NULL) {
        tri_desk_settle(chain->desk, now_ns, wall_ms, &writer);
        if (speaker != NULL) {
            tri_line_put(&speaker->line, &writer);
        }
    }
    for (uint32_t i = 0; i < chain->options.connections; i++) {
        tri_link_flush(&chain->links[i], tri_desk_noted_lsn(chain->desk),
                       tri_desk_durable_lsn(chain->desk), now_ns);
    }
    if (chain->options.has_admin) {
        tri_admin_tick(&chain->admin, now_ns);
    }
    return 0;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Milliseconds until something is due, rounded up; -1 = nothing is. */
static int chain_wait_ms(const struct chain *chain, uint64_t now_ns)
{
    uint64_t due_ns = tri_desk_is_busy(chain->desk) ? 0 : tri_desk_deadline_ns(chain->desk);

    due_ns = earlier(due_ns, tri_store_deadline_ns(&chain->store));
    for (uint32_t i = 0; i < chain->wanted; i++) {
        due_ns = earlier(due_ns, tri_link_deadline_ns(&chain->links[i], chain->desk));
    }
    if (chain->options.has_admin) {
        due_ns = earlier(due_ns, tri_admin_deadline_ns(&chain->admin));
    }
    if (due_ns == TRI_NEVER) {
        return -1;
    }
    if (due_ns <= now_ns) {
        return 0;
    }
    due_ns = (due_ns - now_ns + TRI_NS_PER_MS - 1U) / TRI_NS_PER_MS;
    return due_ns > 60000U ? 60000 : (int)due_ns;
}

/* One turn: 0, or -errno when the chain cannot go on. */
static int chain_turn(struct chain *chain)
{
    struct epoll_event events[EVENTS_MAX];
    int count =
        epoll_wait(chain->epoll_fd, events, EVENTS_MAX, chain_wait_ms(chain, tri_clock_now_ns()));
    uint64_t now_ns = tri_clock_now_ns();
    uint64_t wall_ms = tri_clock_wall_ms();

    if (count < 0 && errno != EINTR) {
        return -errno;
    }
    for (int i = 0; i < count; i++) {
        uint64_t tag = events[i].data.u64;

        if (tag == TAG_SIGNAL) {
            chain->is_stopping = true;
        } else if (tag == TAG_STORE) {
            continue; /* the store's turn takes what has arrived */
        } else if (tag >= TAG_ADMIN) {
            tri_admin_event(&chain->admin, tag - TAG_ADMIN, now_ns);
        } else {
            assert(tag - TAG_LINK < chain->options.connections);
            tri_link_event(&chain->links[tag - TAG_LINK], chain->desk, now_ns, wall_ms);
        }
    }
    chain_count_wanted(chain);
    for (uint32_t i = 0; i < chain->wanted; i++) {
        tri_link_tick(&chain->links[i], chain->desk, now_ns, wall_ms);
    }
    chain_tick(chain, now_ns, wall_ms);
    return chain_settle(chain, now_ns, wall_ms);
}

/* What was decided becomes durable and leaves. */
static int chain_end(struct chain *chain)
{
    char why[TRI_STORE_WHY_BYTES];
    int failed = tri_store_end(&chain->store, why);

    if (failed != 0) {
        TRI_LOG(TRI_LOG_ERROR, "journal", "chain=%s why=\"%s\"", chain->options.chain, why);
        return failed;
    }
    for (uint32_t i = 0; i < chain->options.connections; i++) {
        tri_link_flush(&chain->links[i], tri_desk_noted_lsn(chain->desk),
                       tri_desk_durable_lsn(chain->desk), tri_clock_now_ns());
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct chain chain;
    static char name[] = "tricast-chain";
    int failed = 0;

    argv[0] = name;
    argp_program_version = "tricast-chain " TRI_PROGRAM_VERSION;
    tri_flags_files();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit fails, as on a full disk */
    tri_chain_options_parse(argc, argv, &chain.options);
    chain_open(&chain, name);
    chain_start(&chain, name);
    while (!chain.is_stopping && failed == 0) {
        failed = chain_turn(&chain);
    }
    if (failed == 0) {
        failed = chain_end(&chain);
    }
    TRI_LOG(TRI_LOG_INFO, "stopped", "chain=%s failed=%d", chain.options.chain, failed);
    tri_admin_close(&chain.admin);
    for (uint32_t i = 0; i < chain.options.connections; i++) {
        tri_link_fini(&chain.links[i]);
    }
    tri_desk_close(chain.desk);
    tri_store_close(&chain.store);
    return failed == 0 ? EXIT_SUCCESS : EXIT_TROUBLE;
}
