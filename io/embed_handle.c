/* SPDX-License-Identifier: Apache-2.0 */
/* What of a handle needs the system: its event, and waiting for it. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/clock.h"
#include "io/embed.h"

int tri_node_events_open(struct tri_node *node)
{
    for (uint32_t i = 0; i < node->handles_max; i++) {
        node->events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (node->events[i] < 0) {
            return -errno;
        }
    }
    return 0;
}

void tri_node_events_close(struct tri_node *node)
{
    for (uint32_t i = 0; i < TRI_HANDLES_MAX; i++) {
        if (node->events[i] >= 0) {
            (void)close(node->events[i]);
            node->events[i] = -1;
        }
    }
}

/* Any thread. */
static void node_wake(void *context, uint32_t shard)
{
    const struct tri_node *node = context;
    uint64_t one = 1;

    assert(shard < node->shards);
    (void)!write(node->runners[shard].bell, &one, sizeof(one)); /* full: it rings already */
}

static void node_signal(void *context, uint32_t handle)
{
    const struct tri_node *node = context;
    uint64_t one = 1;
    ssize_t written = write(node->events[handle], &one, sizeof(one));

    assert(written == (ssize_t)sizeof(one)); /* a handle has a handful of signals due at most */
}

static uint32_t node_quiet(void *context, uint32_t handle)
{
    const struct tri_node *node = context;
    uint64_t signals = 0;
    ssize_t got = read(node->events[handle], &signals, sizeof(signals));

    assert(got == (ssize_t)sizeof(signals) || errno == EAGAIN);
    return got < 0 ? 0 : (uint32_t)signals;
}

const struct tri_handle_ops tri_node_handle_ops = {
    .wake = node_wake,
    .signal = node_signal,
    .quiet = node_quiet,
};

enum tri_result tri_handle_open(struct tri_node *node, struct tri_handle **handle)
{
    struct tri_handle *claimed = tri_handle_claim(node->set);

    if (claimed == NULL) {
        return TRI_FULL;
    }
    *handle = claimed;
    return TRI_OK;
}

int tri_handle_fd(const struct tri_handle *handle)
{
    const struct tri_node *node = tri_handle_context(handle);

    return node->events[handle->index];
}

/* Blocks until the handle's event is readable; false: not before `until_ns`. */
static bool handle_block(const struct tri_handle *handle, uint64_t until_ns)
{
    struct pollfd event = {.fd = tri_handle_fd(handle), .events = POLLIN};
    uint64_t now_ns = until_ns == TRI_NEVER ? 0 : tri_clock_now_ns();
    struct timespec left;
    int ready = 0;

    if (until_ns <= now_ns) {
        return false;
    }
    left.tv_sec = (time_t)((until_ns - now_ns) / TRI_NS_PER_S);
    left.tv_nsec = (long)((until_ns - now_ns) % TRI_NS_PER_S);
    ready = ppoll(&event, 1, until_ns == TRI_NEVER ? NULL : &left, NULL);
    assert(ready >= 0 || errno == EINTR);
    return true;
}

bool tri_handle_wait(struct tri_handle *handle, int timeout_ms)
{
    uint64_t until_ns = TRI_NEVER;

    tri_handle_flush(handle);
    if (timeout_ms >= 0) {
        until_ns = tri_clock_now_ns() + (uint64_t)timeout_ms * TRI_NS_PER_MS;
    }
    while (!tri_handle_arm(handle)) {
        if (!handle_block(handle, until_ns)) {
            return false;
        }
    }
    tri_handle_waited(handle);
    return true;
}

void tri_handle_close(struct tri_handle *handle)
{
    tri_handle_leave(handle);
    while (!tri_handle_is_left(handle)) {
        (void)handle_block(handle, TRI_NEVER);
    }
    tri_handle_free(handle);
}
