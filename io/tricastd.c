/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tricastd: the server.
 *
 * main() puts the parts together: the file becomes options, the data directory
 * gives the epoch and the hash secret, one thread per shard takes turns.  The
 * main thread runs shard 0, which also reads the signals.
 *
 * Exit codes: 0 ended in good order, 1 something failed at run time, 2 the
 * command line or the configuration is wrong.
 */
#include <argp.h>
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "io/config.h"
#include "io/flags.h"
#include "io/place.h"
#include "io/server.h"
#include "io/state.h"
#include "io/vault.h"

#define DAEMON_EXIT_FAILED   1
#define DAEMON_FILES_SPARE   32U
/* Beside its connections a shard has its ring, its listener, one that is accepted to be refused,
 * of its journal eight segments at most, the next one, a manifest that is read and one that is
 * written, and of its archive the file that grows and the next one. */
#define DAEMON_FILES_SHARD   18U
#define DAEMON_STACK_BYTES   (UINT32_C(1) << 20)
#define DAEMON_PATH_BYTES    4096U
#define DAEMON_ADDRESS_BYTES 64U

enum daemon_flag {
    DAEMON_CONFIG = 'c',
    DAEMON_LISTEN = 'l',
    DAEMON_PORT_FILE = 'p',
    DAEMON_CHECK = 256,
};

static const struct argp_option daemon_options[] = {
    {"config", DAEMON_CONFIG, "FILE", 0, "The configuration (docs/config.md)", 0},
    {"check-config", DAEMON_CHECK, NULL, 0, "Check the configuration, say what it amounts to, end",
     0},
    {"listen", DAEMON_LISTEN, "ADDRESS:PORT", 0, "Listen here instead of listen.address and .port",
     0},
    {"port-file", DAEMON_PORT_FILE, "FILE", 0, "Write the port to FILE once it is open", 0},
    {0},
};

struct daemon {
    const char *config_path;
    const char *port_path;
    bool is_check;
    bool has_listen;
    char address[DAEMON_ADDRESS_BYTES];
    uint16_t port;
    char files[64]; /* how many may be needed, of how many that may be open */
    struct tri_config config;
    struct tri_state state;
    struct tri_house house;
    void *set_memory;
    size_t set_bytes;
    struct tri_vault vault;
    struct tri_vault_options vault_options;
};

static void daemon_parse_listen(const char *text, struct daemon *daemon)
{
    const char *colon = strrchr(text, ':');
    size_t bytes = colon == NULL ? 0 : (size_t)(colon - text);
    uint64_t port = 0;

    if (bytes > 1 && text[0] == '[' && text[bytes - 1] == ']') {
        text++;
        bytes -= 2;
    }
    if (colon == NULL || bytes == 0 || bytes >= sizeof(daemon->address) ||
        !tri_flags_decimal(colon + 1, 0, 65535, &port)) {
        tri_flags_fail("tricastd", "--listen: '%s' is no ADDRESS:PORT such as 127.0.0.1:7411",
                       text);
    }
    memcpy(daemon->address, text, bytes);
    daemon->address[bytes] = '\0';
    if (!tri_config_is_address(daemon->address)) {
        tri_flags_fail("tricastd", "--listen: '%s' is no numeric IPv4 or IPv6 address",
                       daemon->address);
    }
    daemon->port = (uint16_t)port;
    daemon->has_listen = true;
}

static error_t daemon_parse(int key, char *value, struct argp_state *state)
{
    struct daemon *daemon = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        tri_flags_begin(state);
        return 0;
    case DAEMON_CONFIG:
        daemon->config_path = value;
        return 0;
    case DAEMON_LISTEN:
        daemon_parse_listen(value, daemon);
        return 0;
    case DAEMON_PORT_FILE:
        daemon->port_path = value;
        return 0;
    case DAEMON_CHECK:
        daemon->is_check = true;
        return 0;
    case ARGP_KEY_ARG:
        tri_flags_fail("tricastd", "'%s': unexpected argument", value);
    case ARGP_KEY_END:
        if (daemon->config_path == NULL) {
            tri_flags_fail("tricastd", "--config: missing; name the configuration file");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The command line may move the server; the rule of loopback holds there too. */
static void daemon_place_listen(struct daemon *daemon)
{
    struct tri_text name;

    if (!daemon->has_listen) {
        (void)snprintf(daemon->address, sizeof(daemon->address), "%s", daemon->config.address);
        daemon->port = (uint16_t)daemon->config.file->listen.port;
        return;
    }
    if (!tri_config_is_loopback(daemon->address) &&
        !tri_config_all_secret(&daemon->config, &name)) {
        tri_flags_fail("tricastd",
                       "--listen: must be a loopback address while '%.*s' has no secret",
                       (int)name.bytes, name.at);
    }
}

/* The options of one shard's net; pools that are given for the whole node are divided. */
static struct tri_net_options daemon_net_options(const struct tri_config *config)
{
    const struct tri_config_capacities *capacities = &config->file->capacities;
    uint64_t partial_bytes = capacities->partial_frame_bytes / config->shards;
    uint64_t send_bytes = capacities->send_bytes / config->shards;
    uint64_t least = UINT64_C(1) << 20;

    return (struct tri_net_options){
        .connections_max = (uint32_t)capacities->connections,
        .recv_buffers = (uint32_t)capacities->recv_buffers,
        .recv_buffer_bytes = (uint32_t)capacities->recv_buffer_bytes,
        .partial_bytes = partial_bytes < least ? least : partial_bytes,
        .send_bytes = send_bytes < least ? least : send_bytes,
        .handshake_ms = (uint32_t)config->file->limits.handshake_ms,
        .peer_timeout_ms = (uint32_t)config->file->limits.peer_timeout_ms,
        .handshakes_max = (uint32_t)(capacities->handshakes < capacities->recv_buffers / 2
                                         ? capacities->handshakes
                                         : capacities->recv_buffers / 2),
        .accepts_per_s = (uint32_t)config->file->limits.accepts_per_s,
        .accounts = config->identity_count,
        .account_share_permille = (uint32_t)config->file->peer_share_permille,
        .charges_per_s = (uint32_t)config->file->limits.fruitless_per_s,
        .turn_frames_max = (uint32_t)config->file->limits.turn_frames,
    };
}

static void daemon_house(struct daemon *daemon, uint32_t epoch)
{
    const struct tri_config *config = &daemon->config;
    struct tri_house *house = &daemon->house;

    house->shards = config->shards;
    house->epoch = epoch;
    house->identities = config->identities;
    house->identity_count = config->identity_count;
    house->net = daemon_net_options(config);
    house->chain_send_bytes = (uint32_t)config->file->capacities.chain_send_bytes;
    house->peer_send_bytes = (uint32_t)config->file->capacities.peer_send_bytes;
    house->drain_ms = (uint32_t)config->file->drain_ms;
    house->signals = -1;
    for (uint32_t shard = 0; shard < TRI_SHARDS_MAX; shard++) {
        atomic_init(&house->open_counts[shard], UINT32_MAX);
    }
}

static void daemon_node_options(const struct daemon *daemon, uint32_t epoch,
                                struct tri_shard_set_options *options)
{
    *options = (struct tri_shard_set_options){
        .shards = daemon->config.shards,
        .engine = daemon->config.engine,
    };
    options->engine.epoch = epoch;
}

/* R06: ended messages stay in the table for a window, so no more than table / window can come in
 * for long. */
static uint64_t daemon_rate(const struct tri_config *config, uint64_t *window_ms)
{
    *window_ms = 0;
    for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
        for (uint32_t subtype = 0; subtype < TRI_SUBTYPE_COUNT; subtype++) {
            uint64_t here_ms = config->engine.policies[type][subtype].dedup_window_ms;

            *window_ms = here_ms > *window_ms ? here_ms : *window_ms;
        }
    }
    return (uint64_t)config->engine.dedup_entries_max * 1000 / *window_ms;
}

/* Every connection is a file, and not only they.  Raises the limit as far as it may be raised;
 * false after a message if that is not enough. */
static bool daemon_raise_files(struct daemon *daemon)
{
    const struct tri_house *house = &daemon->house;
    uint64_t wanted = (uint64_t)house->shards * (house->net.connections_max + DAEMON_FILES_SHARD) +
                      DAEMON_FILES_SPARE;
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_max == RLIM_INFINITY) {
        (void)snprintf(daemon->files, sizeof(daemon->files), "%llu", (unsigned long long)wanted);
    } else {
        (void)snprintf(daemon->files, sizeof(daemon->files), "%llu of %llu",
                       (unsigned long long)wanted, (unsigned long long)limit.rlim_max);
    }
    if (limit.rlim_cur < wanted) {
        (void)fprintf(
            stderr,
            "tricastd: only %llu files may be open, capacities.connections needs %llu; raise "
            "`ulimit -n` or LimitNOFILE=, or lower capacities.connections\n",
            (unsigned long long)limit.rlim_cur, (unsigned long long)wanted);
        return false;
    }
    return true;
}

static int daemon_check(struct daemon *daemon)
{
    struct tri_shard_set_options options;
    const struct tri_config *config = &daemon->config;
    const char *fault = NULL;
    uint64_t window_ms = 0;
    uint64_t rate = daemon_rate(config, &window_ms);
    uint64_t bytes = 0;

    daemon_node_options(daemon, 1, &options);
    fault = tri_shard_set_check(&options);
    if (fault != NULL) {
        (void)fprintf(stderr, "%s:1: %s\n", daemon->config_path, fault);
        return TRI_FLAGS_EXIT;
    }
    daemon_house(daemon, 1);
    if (!daemon_raise_files(daemon)) {
        return TRI_FLAGS_EXIT;
    }
    bytes = tri_shard_set_footprint(&options) + config->shards * tri_server_bytes(&daemon->house);
    (void)printf("%s: OK\n", daemon->config_path);
    (void)printf("  listen     %s:%u\n", daemon->address, daemon->port);
    (void)printf("  shards     %u\n", config->shards);
    (void)printf("  chains     %u, clients %u, operators %u, locations %u (map version %u)\n",
                 config->file->chains_count, config->file->clients_count,
                 config->file->operators_count, config->engine.location_count,
                 config->engine.map_version);
    (void)printf("  memory     at most %llu MiB, touched as it is needed\n",
                 (unsigned long long)((bytes + (1 << 20) - 1) >> 20));
    (void)printf("  files      %s\n", daemon->files);
    (void)printf("  rate       at most %llu messages/s for long: %u remembered messages / %llu s "
                 "window (R06)\n",
                 (unsigned long long)rate, config->engine.dedup_entries_max,
                 (unsigned long long)(window_ms / 1000));
    if (config->is_journal_kept) {
        (void)printf("  journal    %s/journal, segments of %lld MiB a shard\n",
                     config->file->data_dir,
                     (long long)(config->file->capacities.segment_bytes >> 20));
    } else {
        (void)printf("  journal    none: a crash forgets open messages\n");
    }
    return 0;
}

static bool daemon_signals(struct tri_house *house)
{
    sigset_t set;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit fails, as on a full disk */
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0) {
        return false;
    }
    house->signals = signalfd(-1, &set, SFD_CLOEXEC);
    return house->signals >= 0;
}

static bool daemon_open_state(struct daemon *daemon, struct tri_shard_set_options *options)
{
    char trouble[TRI_CONFIG_TROUBLE_BYTES];
    uint32_t epoch = 0;

    if (tri_state_open(&daemon->state, daemon->config.file->data_dir, trouble, sizeof(trouble)) !=
            0 ||
        tri_state_secret(&daemon->state, "hash-secret", options->hash_secret, trouble,
                         sizeof(trouble)) != 0 ||
        tri_state_counter(&daemon->state, "epoch", &epoch, trouble, sizeof(trouble)) != 0) {
        (void)fprintf(stderr, "tricastd: %s\n", trouble);
        return false;
    }
    options->engine.epoch = epoch;
    return true;
}

static bool daemon_open_servers(struct daemon *daemon)
{
    struct tri_house *house = &daemon->house;
    const char *advice = "";
    char trouble[TRI_JOURNAL_TROUBLE_BYTES];
    int failed = tri_net_probe(daemon->address, daemon->port);

    for (uint32_t shard = 0; failed == 0 && shard < house->shards; shard++) {
        failed = tri_server_open(house, shard, &advice, trouble);
        if (failed != 0) {
            (void)fprintf(stderr, "tricastd: %s (%s)\n", advice, strerror(-failed));
            return false;
        }
        failed = tri_server_listen(house->servers[shard], daemon->address, &daemon->port);
    }
    if (failed != 0) {
        (void)fprintf(stderr, "tricastd: cannot listen on %s:%u: %s\n", daemon->address,
                      daemon->port, strerror(-failed));
    }
    return failed == 0;
}

/* Whole or not at all: whoever waits for the file reads a whole number. */
static bool daemon_write_port(const struct daemon *daemon)
{
    char beside[DAEMON_PATH_BYTES];
    FILE *file = NULL;
    bool is_good = false;

    if (daemon->port_path == NULL) {
        return true;
    }
    if (snprintf(beside, sizeof(beside), "%s.new", daemon->port_path) < (int)sizeof(beside)) {
        file = fopen(beside, "w");
    }
    if (file != NULL) {
        is_good = fprintf(file, "%u\n", daemon->port) > 0;
        is_good = fclose(file) == 0 && is_good && rename(beside, daemon->port_path) == 0;
    }
    if (!is_good) {
        (void)fprintf(stderr, "tricastd: --port-file: %s: %s\n", daemon->port_path,
                      strerror(errno));
    }
    return is_good;
}

static void *daemon_thread(void *context)
{
    tri_server_run(context);
    return NULL;
}

/* Runs every shard to its end.  The threads are begun before the main thread is pinned: a thread
 * inherits where it may run. */
static bool daemon_run(struct tri_house *house)
{
    pthread_t threads[TRI_SHARDS_MAX];
    pthread_attr_t attributes;
    uint32_t begun = 1;
    int failed = house->vault == NULL ? 0 : tri_archivist_wait(house->vault->archivist);
    bool is_good = pthread_attr_init(&attributes) == 0 &&
                   pthread_attr_setstacksize(&attributes, DAEMON_STACK_BYTES) == 0;

    if (failed != 0) {
        (void)fprintf(stderr, "tricastd: archive: io_uring cannot be enabled: %s\n",
                      strerror(-failed));
        return false;
    }
    while (is_good && begun < house->shards) {
        is_good =
            pthread_create(&threads[begun], &attributes, daemon_thread, house->servers[begun]) == 0;
        begun += is_good ? 1 : 0;
    }
    if (!is_good) {
        (void)fprintf(stderr, "tricastd: no thread for a shard; raise `ulimit -u`\n");
        tri_server_give_up(house, house->shards - begun);
    }
    tri_server_run(house->servers[0]);
    for (uint32_t shard = 1; shard < begun; shard++) {
        (void)pthread_join(threads[shard], NULL);
    }
    return is_good && atomic_load_explicit(&house->failed, memory_order_relaxed) == 0;
}

static void daemon_wake(void *context, struct tri_loop *loop, uint32_t shard)
{
    const struct tri_house *house = context;

    if (house->servers[shard] != NULL) {
        tri_server_wake(house->servers[shard], loop);
    }
}

/* The longest time for which every chain remembers a message that has ended (P13). */
static uint64_t daemon_window_ms(const struct tri_config *config)
{
    uint64_t least_ms = UINT64_MAX;

    for (uint32_t type = 0; type < TRI_TYPE_COUNT; type++) {
        for (uint32_t subtype = 0; subtype < TRI_SUBTYPE_COUNT; subtype++) {
            uint64_t here_ms = config->engine.policies[type][subtype].dedup_window_ms;

            least_ms = here_ms < least_ms ? here_ms : least_ms;
        }
    }
    return least_ms;
}

/* What the configuration lets pass, the queue takes. */
enum {
#define FINALITY_MOST(member, key, unit, usual, least, most, help) finality_most_##member = (most),
    TRI_CONFIG_FINALITY_NUMBERS(FINALITY_MOST)
#undef FINALITY_MOST
};
static_assert((uint32_t)finality_most_redeliveries_per_s == TRI_PENDING_REDELIVERIES_PER_S_MAX &&
                  (uint32_t)finality_most_redeliveries_max == TRI_PENDING_REDELIVERIES_MAX,
              "a configuration that was checked starts");

/* What has primary finality goes to the archive from now on. */
static bool daemon_begin_vault(struct daemon *daemon, char trouble[TRI_JOURNAL_TROUBLE_BYTES])
{
    struct tri_house *house = &daemon->house;
    const struct tri_config_file *file = daemon->config.file;

    daemon->vault_options = (struct tri_vault_options){
        .data_dir = file->data_dir,
        .shards = house->shards,
        .epoch = house->epoch,
        .pending =
            {
                .is_on = file->settlements_count > 0,
                .gap_s = file->finality.gap_s,
                .window_ms = daemon_window_ms(&daemon->config),
                .redeliveries_per_s = (uint32_t)file->finality.redeliveries_per_s,
                .redeliveries_max = (uint32_t)file->finality.redeliveries_max,
                .redelivery_pause_s = file->finality.redelivery_pause_s,
            },
        .set = house->set,
        .wake = daemon_wake,
        .context = house,
    };

    house->vault = &daemon->vault;
    return tri_vault_begin(&daemon->vault, &daemon->vault_options, trouble) == 0;
}

/* The archive's thread wakes servers: they are there now. */
static bool daemon_run_vault(struct daemon *daemon)
{
    char trouble[TRI_JOURNAL_TROUBLE_BYTES];

    if (daemon->house.vault != NULL &&
        tri_vault_run(&daemon->vault, &daemon->vault_options, trouble) != 0) {
        (void)fprintf(stderr, "tricastd: archive: %s\n", trouble);
        return false;
    }
    return true;
}

/* D06: what was open comes back before anybody can connect. */
static bool daemon_recover(struct daemon *daemon, const struct tri_shard_set_options *options)
{
    const struct tri_config *config = &daemon->config;
    const struct tri_config_capacities *capacities = &config->file->capacities;
    char path[DAEMON_PATH_BYTES];
    char trouble[TRI_JOURNAL_TROUBLE_BYTES];
    struct tri_recovery recovery;
    struct tri_keeper_options keeper = {
        .path = path,
        .secret = options->hash_secret,
        .epoch = options->engine.epoch,
        .shards = options->shards,
        .chains = options->engine.chains,
        .chain_count = options->engine.chain_count,
        .segment_bytes = (uint64_t)capacities->segment_bytes,
        .checkpoint_bytes = (uint64_t)capacities->checkpoint_bytes,
    };

    if (!config->is_journal_kept) {
        return true;
    }
    if (tri_vault_open(&daemon->vault, config->file->data_dir, trouble) != 0) {
        (void)fprintf(stderr, "tricastd: %s\n", trouble);
        return false;
    }
    keeper.archive = daemon->vault.archive;
    keeper.is_content_kept = config->file->settlements_count > 0;
    (void)snprintf(path, sizeof(path), "%s/journal", config->file->data_dir);
    if (tri_keeper_open(&daemon->house.keeper, &keeper, daemon->house.set, &recovery, trouble) !=
            0 ||
        !daemon_begin_vault(daemon, trouble)) {
        (void)fprintf(stderr, "tricastd: %s\n", trouble);
        return false;
    }
    if (recovery.streams == 0) {
        return true; /* a new journal */
    }
    TRI_LOG(TRI_LOG_INFO, "recovered",
            "streams=%u torn=%u records=%llu skipped=%llu bytes=%llu open=%u archived=%llu ms=%llu "
            "mode=%s",
            recovery.streams, recovery.streams_torn, (unsigned long long)recovery.records,
            (unsigned long long)recovery.skipped, (unsigned long long)recovery.bytes,
            recovery.open_messages, (unsigned long long)recovery.archived,
            (unsigned long long)recovery.elapsed_ms, tri_keeper_mode(daemon->house.keeper));
    return true;
}

static bool daemon_start(struct daemon *daemon)
{
    struct tri_shard_set_options options;
    struct tri_house *house = &daemon->house;
    uint64_t window_ms = 0;
    uint64_t rate = daemon_rate(&daemon->config, &window_ms);

    daemon_node_options(daemon, 1, &options);
    if (!daemon_open_state(daemon, &options)) {
        return false;
    }
    daemon_house(daemon, options.engine.epoch);
    if (!daemon_raise_files(daemon) || !daemon_signals(house)) {
        return false;
    }
    daemon->set_bytes = tri_shard_set_footprint(&options);
    daemon->set_memory = daemon->set_bytes == 0 ? NULL : tri_place_map(daemon->set_bytes);
    if (daemon->set_memory == NULL) {
        (void)fprintf(stderr, "tricastd: no memory for %zu MiB of tables; lower capacities\n",
                      daemon->set_bytes >> 20);
        return false;
    }
    if (tri_place_fill(daemon->set_memory, daemon->set_bytes) != 0) {
        (void)fprintf(stderr, "tricastd: the machine lacks %zu MiB for tables; lower capacities\n",
                      daemon->set_bytes >> 20);
        return false;
    }
    house->set = tri_shard_set_init(daemon->set_memory, &options);
    if (!daemon_recover(daemon, &options) || !daemon_open_servers(daemon) ||
        !daemon_run_vault(daemon) || !daemon_write_port(daemon)) {
        return false;
    }
    (void)printf("tricastd " TRI_PROGRAM_VERSION
                 " listens on %s:%u: shards %u, epoch %u, journal %s, files %s, at most %llu "
                 "messages/s for long (%u / %llu s)\n",
                 daemon->address, daemon->port, house->shards, house->epoch,
                 house->keeper == NULL ? "none" : tri_keeper_mode(house->keeper), daemon->files,
                 (unsigned long long)rate, daemon->config.engine.dedup_entries_max,
                 (unsigned long long)(window_ms / 1000));
    (void)fflush(stdout);
    return true;
}

static void daemon_end(struct daemon *daemon)
{
    tri_vault_end(&daemon->vault);
    for (uint32_t shard = 0; shard < TRI_SHARDS_MAX; shard++) {
        tri_server_close(daemon->house.servers[shard]);
    }
    tri_keeper_close(daemon->house.keeper);
    if (daemon->house.signals > 0) {
        (void)close(daemon->house.signals);
    }
    tri_place_unmap(daemon->set_memory, daemon->set_bytes);
    tri_state_close(&daemon->state);
    tri_config_free(&daemon->config);
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = daemon_options,
        .parser = daemon_parse,
        .doc = "Coordinates PREPARE, COMMIT and FINALIZE of messages over many chains.",
    };
    static struct daemon daemon;
    char trouble[TRI_CONFIG_TROUBLE_BYTES];
    int code = DAEMON_EXIT_FAILED;

    tri_flags_files();
    argp_program_version = "tricastd " TRI_PROGRAM_VERSION;
    daemon.state = (struct tri_state){-1, -1};
    daemon.house.signals = -1;
    tri_flags_parse(&argp, argc, argv, &daemon);
    if (!tri_config_load(&daemon.config, daemon.config_path, trouble)) {
        (void)fprintf(stderr, "%s\n", trouble);
        return TRI_FLAGS_EXIT;
    }
    daemon_place_listen(&daemon);
    tri_log_level_set(daemon.config.log_level);
    if (daemon.is_check) {
        code = daemon_check(&daemon);
    } else if (daemon_start(&daemon)) {
        code = daemon_run(&daemon.house) ? 0 : DAEMON_EXIT_FAILED;
        TRI_LOG(TRI_LOG_INFO, "ended", "code=%d", code);
    }
    daemon_end(&daemon);
    return code;
}
