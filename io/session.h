/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session: the handshake of a connection, without sockets.
 *
 *     server                            peer
 *     CHALLENGE version, nonce   ---->
 *                                <----  HELLO version, role, identity, instance, nonce, shard, mac
 *     WELCOME epoch, shard, mac  ---->
 *
 * Both macs are HMAC-SHA256 under the identity's secret: the peer's covers the
 * server's nonce, so a HELLO that was overheard proves nothing on another
 * connection; the server's covers the peer's nonce, so a peer does not talk to
 * somebody who only listens on the right address.
 *
 * The caller owns the memory, the randomness and the wire.  A session never
 * allocates and makes no system call.
 *
 * Threads: a session belongs to one thread at a time.
 */
#ifndef TRI_IO_SESSION_H
#define TRI_IO_SESSION_H

#include "engine/wire.h"
#include "io/secret.h"
#include "tricast/message.h"

/* No frame of a handshake is longer; so much and no more is read from a peer that has not yet
 * proved who it is. */
#define TRI_SESSION_FRAME_BYTES_MAX 512U

/* Who may connect. */
struct tri_identity {
    enum tri_role role;
    uint16_t chain;           /* CHAIN: its index in the configuration */
    uint16_t submitter;       /* CLIENT, OPERATOR: its number among them, from 1 */
    struct tri_text name;     /* borrowed from the configuration */
    struct tri_secret secret; /* bytes 0: proves nothing, for loopback only */
};

enum tri_session_state {
    TRI_SESSION_CHALLENGED = 0, /* waits for HELLO */
    TRI_SESSION_PROVED = 1,     /* the identity is known; WELCOME is not yet sent */
    TRI_SESSION_OPEN = 2,       /* frames flow */
};

/* The server's side of one connection. */
struct tri_session {
    enum tri_session_state state;
    const struct tri_identity *identity; /* from PROVED on */
    uint64_t instance;                   /* P15; CHAIN only */
    uint32_t shard;                      /* wished shard + 1, 0 = any */
    uint8_t nonce[TRI_NONCE_BYTES];
    uint8_t peer_nonce[TRI_NONCE_BYTES];
};

/* tri_session_challenge begins a session with the nonce, fresh random bytes, and writes CHALLENGE.
 * Returns its bytes; `bytes_max` >= TRI_SESSION_FRAME_BYTES_MAX. */
uint32_t tri_session_challenge(struct tri_session *session, const uint8_t nonce[TRI_NONCE_BYTES],
                               uint8_t *to, uint32_t bytes_max);

/*
 * tri_session_hello judges the first frame of a peer.
 *
 * identities  in; `count` of them; the one that is proved stays borrowed by the session.
 * body        in; the frame without its length; borrowed until the call returns.
 *
 * Returns TRI_ERROR_NONE: the session is PROVED; or the code to refuse the peer with, then close:
 * HANDSHAKE_EXPECTED, VERSION_NOT_SUPPORTED, AUTHENTICATION_FAILED (an unknown name, a wrong secret
 * or a replayed HELLO: the peer is not told which), CHAIN_NOT_SUPPORTED, or what is wrong with the
 * frame.
 */
enum tri_error tri_session_hello(struct tri_session *session, const struct tri_identity *identities,
                                 uint32_t count, const uint8_t *body, uint32_t bytes);

/* tri_session_welcome writes WELCOME (its mac is made here) and opens the session, which must be
 * PROVED.  Returns the bytes; `bytes_max` >= TRI_SESSION_FRAME_BYTES_MAX. */
uint32_t tri_session_welcome(struct tri_session *session, const struct tri_welcome *welcome,
                             uint8_t *to, uint32_t bytes_max);

/* The peer's side of one connection.  The caller fills in the first six fields, zeroes the rest. */
struct tri_session_peer {
    enum tri_role role;
    struct tri_text identity;        /* borrowed */
    const struct tri_secret *secret; /* borrowed; NULL or no bytes: proves nothing */
    uint64_t instance;               /* CHAIN: >= 1, durable, raised at every start; else 0 */
    uint32_t shard;                  /* wished shard + 1, 0 = any */
    uint8_t nonce[TRI_NONCE_BYTES];  /* fresh random bytes for each connection */
    bool is_challenged;
    bool is_open;
    uint8_t server_nonce[TRI_NONCE_BYTES];
    struct tri_welcome welcome; /* once is_open; `mac` and `proved` are empty */
};

/*
 * tri_session_peer_frame takes one frame of the handshake.
 *
 * body   in; the frame without its length; borrowed until the call returns.
 * to     out; room for the answer, `bytes_max` >= TRI_SESSION_FRAME_BYTES_MAX.
 * bytes_out  out; the bytes to send, 0 = none.
 * fault  out; written on TRI_VIOLATION: the code of the server's ERROR, or what is wrong with its
 *        frame; AUTHENTICATION_FAILED if the server could not prove itself.
 *
 * Returns TRI_OK: the session is open; TRI_MORE: another frame is needed; TRI_VIOLATION: close.
 */
enum tri_result tri_session_peer_frame(struct tri_session_peer *peer, const uint8_t *body,
                                       uint32_t bytes, uint8_t *to, uint32_t bytes_max,
                                       uint32_t *bytes_out, struct tri_wire_fault *fault);

#endif
