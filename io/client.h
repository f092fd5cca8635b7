/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client: a connection to a tricastd, or to a chain's admin listener, for
 * programs that may wait.
 *
 * Every call that waits has a deadline.  After a failure the connection is
 * closed and `trouble` holds one line that says why; only tri_client_close()
 * may follow.
 *
 * Threads: one at a time.
 */
#ifndef TRI_IO_CLIENT_H
#define TRI_IO_CLIENT_H

#include "io/flags.h"
#include "io/line.h"
#include "io/session.h"

#define TRI_CLIENT_TROUBLE_BYTES 256U

struct tri_client_options {
    struct tri_address server;
    enum tri_role role;
    struct tri_text identity;
    const struct tri_secret *secret; /* no bytes: proves nothing */
    uint32_t timeout_ms;             /* to connect and to greet */
};

struct tri_client {
    struct tri_line line;
    struct tri_welcome welcome; /* of the server, once connected */
    struct tri_frame frame;     /* what tri_client_receive() gave */
    char trouble[TRI_CLIENT_TROUBLE_BYTES];
};

/* tri_client_open connects and greets.  Returns 0, or -errno with `trouble` (-EACCES: the server
 * refused). */
int tri_client_open(struct tri_client *client, const struct tri_client_options *options);
/* Accepts a zeroed client. */
void tri_client_close(struct tri_client *client);

/* tri_client_send queues a frame; it leaves with the next receive that has to wait, so many frames
 * share a send.  Waits until `deadline_ns` if there is no room.  Returns 0, -ETIMEDOUT, or another
 * -errno. */
int tri_client_send(struct tri_client *client, const struct tri_frame *frame, uint64_t deadline_ns);

/* tri_client_request queues a frame that has only elements: `count` of them, already encoded, after
 * the type.  As tri_client_send(). */
int tri_client_request(struct tri_client *client, enum tri_frame_type type, uint32_t count,
                       struct tri_bytes elements, uint64_t deadline_ns);

/* tri_client_receive gives the next frame in client->frame, borrowed until the next call.  Returns
 * 0, -ETIMEDOUT, or another -errno; frames that wait are sent meanwhile. */
int tri_client_receive(struct tri_client *client, uint64_t deadline_ns);

/* tri_client_poll is the same without waiting: 0 with a frame, -EAGAIN if none has arrived. */
int tri_client_poll(struct tri_client *client);

#endif
