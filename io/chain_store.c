/* SPDX-License-Identifier: Apache-2.0 */
#include "io/chain_store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/clock.h"
#include "io/secret.h"

#define END_WAIT_NS (UINT64_C(100) * TRI_NS_PER_MS)

/* What stands before a payload that waits. */
struct waiting {
    uint64_t lsn;
    uint16_t type;
    uint16_t slot;
    uint32_t bytes;
};

static int store_fail(char why[TRI_STORE_WHY_BYTES], const char *what, int error)
{
    (void)snprintf(why, TRI_STORE_WHY_BYTES, "%s: %s", what, strerror(error));
    return -error;
}

/* The first start writes the chain's name; a later one of another chain is refused. */
static int store_claim(struct tri_store *store, const char *chain, char why[TRI_STORE_WHY_BYTES])
{
    char known[TRI_CHAIN_ID_BYTES_MAX + 2U];
    int fd = openat(store->state.directory, "chain", O_RDONLY | O_CLOEXEC);
    ssize_t bytes;
    int failed;

    if (fd < 0 && errno == ENOENT) {
        failed = tri_state_replace(&store->state, "chain", chain, strlen(chain));
        return failed == 0 ? 0 : store_fail(why, "chain", -failed);
    }
    if (fd < 0) {
        return store_fail(why, "chain", errno);
    }
    bytes = read(fd, known, sizeof(known) - 1U);
    (void)close(fd);
    known[bytes < 0 ? 0 : bytes] = '\0';
    if (strcmp(known, chain) != 0) {
        (void)snprintf(why, TRI_STORE_WHY_BYTES, "the directory belongs to '%s'", known);
        return -EINVAL;
    }
    return 0;
}

/* Nothing is kept: what has to differ from start to start comes from elsewhere. */
static int store_open_none(struct tri_store *store, char why[TRI_STORE_WHY_BYTES])
{
    int failed = tri_secret_random(store->secret, sizeof(store->secret));

    store->instance = (uint32_t)(tri_clock_wall_ms() / 1000U);
    return failed == 0 ? 0 : store_fail(why, "secret", -failed);
}

static int store_open_files(struct tri_store *store, const char *path, const char *chain,
                            char why[TRI_STORE_WHY_BYTES])
{
    int failed = tri_state_open(&store->state, path, why, TRI_STORE_WHY_BYTES);

    if (failed == 0) {
        failed = store_claim(store, chain, why);
    }
    if (failed == 0) {
        failed =
            tri_state_secret(&store->state, "hash-secret", store->secret, why, TRI_STORE_WHY_BYTES);
    }
    if (failed == 0) {
        failed = tri_state_counter(&store->state, "instance", &store->instance, why,
                                   TRI_STORE_WHY_BYTES);
    }
    return failed;
}

int tri_store_open(struct tri_store *store, const char *path, const char *chain,
                   uint64_t segment_bytes, char why[TRI_STORE_WHY_BYTES])
{
    struct tri_journal_dir_options options = {
        .kind = "participant",
        .secret = store->secret,
        .segment_bytes = segment_bytes,
        .segment_bytes_first = segment_bytes,
    };
    int failed;

    assert(store != NULL);
    assert(strlen(chain) <= TRI_CHAIN_ID_BYTES_MAX);
    memset(store, 0, sizeof(*store));
    store->state = (struct tri_state){-1, -1};
    store->segment_bytes = segment_bytes;
    if (path == NULL) {
        return store_open_none(store, why);
    }
    failed = store_open_files(store, path, chain, why);
    if (failed == 0) {
        failed = tri_journal_dir_open(&store->dir, path, &options, why);
    }
    if (failed == 0) {
        failed = tri_journal_dir_scan_all(store->dir, why);
    }
    return failed;
}

void tri_store_close(struct tri_store *store)
{
    tri_journal_close(store->journal);
    tri_journal_dir_close(store->dir);
    tri_state_close(&store->state);
    free(store->waiting);
    *store = (struct tri_store){.state = {-1, -1}};
}

int tri_store_replay(const struct tri_store *store, tri_journal_take *take, void *context,
                     char why[TRI_STORE_WHY_BYTES])
{
    if (store->dir == NULL) {
        return 0;
    }
    return tri_journal_dir_replay(store->dir, 0, TRI_SLOT_COUNT - 1U, take, context, why);
}

int tri_store_begin(struct tri_store *store, char why[TRI_STORE_WHY_BYTES])
{
    struct tri_journal_options options = {.checkpoint_bytes = store->segment_bytes};
    int failed;

    assert(store->journal == NULL);
    if (store->dir == NULL) {
        return 0;
    }
    store->waiting = malloc(TRI_STORE_WAIT_BYTES);
    if (store->waiting == NULL) {
        return store_fail(why, "journal", ENOMEM);
    }
    failed = tri_journal_dir_begin(store->dir, store->instance, 1, why);
    if (failed == 0) {
        failed = tri_journal_open(&store->journal, store->dir, &options, why);
    }
    if (failed == 0) {
        store->log = tri_journal_log(store->journal);
    }
    return failed;
}

/* Hands a record to the log; false if it has no room. */
static bool store_commit(struct tri_store *store, const struct waiting *head,
                         const uint8_t *payload)
{
    uint8_t *to = tri_log_reserve(store->log, head->bytes);

    if (to == NULL) {
        return false;
    }
    memcpy(to, payload, head->bytes);
    tri_log_commit(store->log, head->type, head->slot, head->lsn, head->bytes);
    return true;
}

void tri_store_append(struct tri_store *store, uint16_t type, uint16_t slot, uint64_t lsn,
                      const uint8_t *payload, uint32_t bytes)
{
    struct waiting head = {.lsn = lsn, .type = type, .slot = slot, .bytes = bytes};

    assert(bytes <= TRI_STORE_RECORD_BYTES);
    assert(lsn == store->noted_lsn + 1U);
    store->noted_lsn = lsn;
    if (store->dir == NULL) {
        return;
    }
    assert(store->log != NULL);
    if (store->waiting_to == 0U && store_commit(store, &head, payload)) {
        return;
    }
    assert(TRI_STORE_WAIT_BYTES - store->waiting_to >= sizeof(head) + bytes);
    memcpy(store->waiting + store->waiting_to, &head, sizeof(head));
    memcpy(store->waiting + store->waiting_to + sizeof(head), payload, bytes);
    store->waiting_to += (uint32_t)sizeof(head) + bytes;
}

bool tri_store_is_full(const struct tri_store *store)
{
    return store->waiting_to > 0U;
}

/* Hands over what has waited, as far as there is room. */
static void store_hand_over(struct tri_store *store)
{
    struct waiting head;

    while (store->waiting_from < store->waiting_to) {
        memcpy(&head, store->waiting + store->waiting_from, sizeof(head));
        if (!store_commit(store, &head, store->waiting + store->waiting_from + sizeof(head))) {
            return;
        }
        store->waiting_from += (uint32_t)sizeof(head) + head.bytes;
    }
    store->waiting_from = 0;
    store->waiting_to = 0;
}

int tri_store_turn(struct tri_store *store, uint64_t now_ns, char why[TRI_STORE_WHY_BYTES])
{
    if (store->journal == NULL) {
        return 0;
    }
    store_hand_over(store);
    (void)tri_journal_turn(store->journal, now_ns);
    if (store->waiting_to > 0U) { /* room may have come with what has completed */
        store_hand_over(store);
        (void)tri_journal_turn(store->journal, now_ns);
    }
    if (tri_log_failed_lsn(store->log) != 0U) {
        (void)snprintf(why, TRI_STORE_WHY_BYTES, "%s", tri_journal_trouble(store->journal));
        return -EIO;
    }
    return 0;
}

uint64_t tri_store_durable_lsn(const struct tri_store *store)
{
    return store->log == NULL ? store->noted_lsn : tri_log_durable_lsn(store->log);
}

uint64_t tri_store_deadline_ns(const struct tri_store *store)
{
    return store->journal == NULL ? TRI_NEVER : tri_journal_deadline_ns(store->journal);
}

uint64_t tri_store_old_failed(const struct tri_store *store, const char **why)
{
    *why = store->journal == NULL ? "" : tri_journal_old_trouble(store->journal);
    return store->journal == NULL ? 0 : tri_journal_counts(store->journal).retires_failed;
}

int tri_store_descriptor(const struct tri_store *store)
{
    return store->journal == NULL ? -1 : tri_journal_descriptor(store->journal);
}

int tri_store_end(struct tri_store *store, char why[TRI_STORE_WHY_BYTES])
{
    bool is_marked = false;
    int failed = 0;

    if (store->journal == NULL) {
        return 0;
    }
    while (failed == 0 && (!is_marked || !tri_journal_is_ended(store->journal))) {
        failed = tri_store_turn(store, tri_clock_now_ns(), why);
        if (failed == 0 && !is_marked && store->waiting_to == 0U) {
            tri_journal_end(store->journal);
            is_marked = true;
        } else if (failed == 0) {
            (void)tri_journal_wait(store->journal, END_WAIT_NS);
        }
    }
    return failed;
}
