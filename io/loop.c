/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/limits.h"

static const char *loop_advice(int failed)
{
    switch (-failed) {
    case EPERM:
    case EACCES:
        return "io_uring is forbidden here: run `sysctl kernel.io_uring_disabled=0` as root; in a "
               "container allow it too, e.g. `docker run --security-opt seccomp=unconfined`";
    case ENOSYS:
        return "this kernel has no io_uring: run Linux 6.0 or newer";
    case ENOMEM:
        return "too little memory may be locked: raise it with `ulimit -l` or LimitMEMLOCK=";
    case EMFILE:
    case ENFILE:
        return "too many open files: raise the limit with `ulimit -n` or LimitNOFILE=";
    default:
        return "io_uring cannot be set up: run Linux 6.0 or newer";
    }
}

int tri_loop_init(struct tri_loop *loop, uint32_t entries, uint32_t completions,
                  const char **advice)
{
    /* The best that the kernel has: 6.1, then 5.19 and later. */
    static const uint32_t wishes[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_COOP_TASKRUN,
    };
    int failed = -EINVAL;

    assert(loop != NULL && advice != NULL);
    assert(entries > 0 && (entries & (entries - 1)) == 0);
    assert(completions >= entries && (completions & (completions - 1)) == 0);
    memset(loop, 0, sizeof(*loop));
    for (uint32_t index = 0; index < 2 && failed == -EINVAL; index++) {
        struct io_uring_params params = {
            .flags = wishes[index] | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE |
                     IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL,
            .cq_entries = completions,
        };

        failed = io_uring_queue_init_params(entries, &loop->ring, &params);
        loop->is_deferred = (wishes[index] & IORING_SETUP_DEFER_TASKRUN) != 0;
    }
    if (failed != 0) {
        *advice = loop_advice(failed);
        return failed;
    }
    loop->is_ready = true;
    return 0;
}

int tri_loop_enable(struct tri_loop *loop)
{
    assert(loop->is_ready);
    /* liburing 2.3 declares io_uring_enable_rings() without exporting it. */
    return syscall(__NR_io_uring_register, loop->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL,
                   0) < 0
               ? -errno
               : 0;
}

void tri_loop_fini(struct tri_loop *loop)
{
    assert(loop != NULL);
    if (loop->is_ready) {
        io_uring_queue_exit(&loop->ring);
        loop->is_ready = false;
    }
}

/* Entering fails only for a moment (EINTR, EBUSY while completions overflow, EAGAIN) or because of
 * our own mistake. */
static void loop_entered(struct tri_loop *loop, int result)
{
    loop->enters++;
    assert(result >= 0 || result == -EINTR || result == -ETIME || result == -EBUSY ||
           result == -EAGAIN);
}

struct io_uring_sqe *tri_loop_request(struct tri_loop *loop)
{
    struct io_uring_sqe *request = io_uring_get_sqe(&loop->ring);

    while (request == NULL) {
        loop_entered(loop, io_uring_submit(&loop->ring));
        request = io_uring_get_sqe(&loop->ring);
    }
    memset(request, 0, sizeof(*request));
    return request;
}

uint32_t tri_loop_reap(struct tri_loop *loop, tri_loop_complete *complete, void *context)
{
    struct io_uring_cqe *completions[64];
    uint32_t reaped = 0;
    uint32_t count = 0;

    do {
        count = io_uring_peek_batch_cqe(&loop->ring, completions, 64);
        for (uint32_t index = 0; index < count; index++) {
            complete(context, completions[index]->user_data, completions[index]->res,
                     completions[index]->flags);
        }
        io_uring_cq_advance(&loop->ring, count);
        reaped += count;
    } while (count > 0);
    return reaped;
}

void tri_loop_submit(struct tri_loop *loop)
{
    loop_entered(loop, io_uring_submit_and_get_events(&loop->ring));
}

void tri_loop_wait(struct tri_loop *loop, uint64_t timeout_ns)
{
    struct __kernel_timespec timeout = {
        .tv_sec = (long long)(timeout_ns / TRI_NS_PER_S),
        .tv_nsec = (long long)(timeout_ns % TRI_NS_PER_S),
    };
    struct io_uring_cqe *completion = NULL;

    loop_entered(loop,
                 io_uring_submit_and_wait_timeout(&loop->ring, &completion, 1,
                                                  timeout_ns == TRI_NEVER ? NULL : &timeout, NULL));
}

void tri_loop_post(struct tri_loop *loop, const struct tri_loop *other, uint64_t user_data,
                   uint32_t result)
{
    struct io_uring_sqe *request = tri_loop_request(loop);

    assert(loop != other);
    io_uring_prep_msg_ring(request, other->ring.ring_fd, result, user_data, 0);
    request->flags |= IOSQE_CQE_SKIP_SUCCESS;
    request->user_data = TRI_LOOP_DATA(TRI_LOOP_KIND_WAKE, 0);
}

void tri_loop_wake(struct tri_loop *loop, const struct tri_loop *other)
{
    tri_loop_post(loop, other, TRI_LOOP_DATA(TRI_LOOP_KIND_WAKE, 0), 0);
}
