/* SPDX-License-Identifier: Apache-2.0 */
#include "io/session.h"

#include <assert.h>
#include <string.h>

/* With their terminating zero, which is part of what is signed. */
static const char session_hello_label[] = "tricast hello";
static const char session_welcome_label[] = "tricast welcome";

static struct tri_text session_version(void)
{
    return (struct tri_text){TRI_PROTOCOL_VERSION, sizeof(TRI_PROTOCOL_VERSION) - 1};
}

static bool session_text_equal(struct tri_text one, struct tri_text other)
{
    return one.bytes == other.bytes && memcmp(one.at, other.at, one.bytes) == 0;
}

static void session_hello_mac(const struct tri_secret *secret, const uint8_t *server_nonce,
                              struct tri_bytes proved, uint8_t mac[TRI_MAC_BYTES])
{
    const struct tri_bytes parts[] = {
        {(const uint8_t *)session_hello_label, sizeof(session_hello_label)},
        {server_nonce, TRI_NONCE_BYTES},
        proved,
    };

    tri_secret_mac(secret, parts, sizeof(parts) / sizeof(parts[0]), mac);
}

static void session_welcome_mac(const struct tri_secret *secret, const uint8_t *peer_nonce,
                                const uint8_t *server_nonce, struct tri_bytes proved,
                                uint8_t mac[TRI_MAC_BYTES])
{
    const struct tri_bytes parts[] = {
        {(const uint8_t *)session_welcome_label, sizeof(session_welcome_label)},
        {peer_nonce, TRI_NONCE_BYTES},
        {server_nonce, TRI_NONCE_BYTES},
        proved,
    };

    tri_secret_mac(secret, parts, sizeof(parts) / sizeof(parts[0]), mac);
}

uint32_t tri_session_challenge(struct tri_session *session, const uint8_t nonce[TRI_NONCE_BYTES],
                               uint8_t *to, uint32_t bytes_max)
{
    struct tri_frame frame = {.type = TRI_FRAME_CHALLENGE};
    uint32_t bytes = 0;

    assert(session != NULL);
    assert(bytes_max >= TRI_SESSION_FRAME_BYTES_MAX);
    *session = (struct tri_session){.state = TRI_SESSION_CHALLENGED};
    memcpy(session->nonce, nonce, TRI_NONCE_BYTES);
    frame.challenge.version = session_version();
    frame.challenge.nonce = (struct tri_bytes){session->nonce, TRI_NONCE_BYTES};
    bytes = tri_wire_encode(&frame, to, bytes_max);
    assert(bytes > 0);
    return bytes;
}

static const struct tri_identity *session_find(const struct tri_identity *identities,
                                               uint32_t count, const struct tri_hello *hello)
{
    for (uint32_t index = 0; index < count; index++) {
        if (identities[index].role == hello->role &&
            session_text_equal(identities[index].name, hello->identity)) {
            return &identities[index];
        }
    }
    return NULL;
}

/* An identity without a secret proves nothing, and a peer that brings a mac for it believes in a
 * secret that this server does not have: refused as well. */
static bool session_proves(const struct tri_session *session, const struct tri_identity *identity,
                           const struct tri_hello *hello)
{
    uint8_t mac[TRI_MAC_BYTES];

    if (identity->secret.bytes == 0) {
        return hello->mac.bytes == 0;
    }
    if (hello->mac.bytes != TRI_MAC_BYTES) {
        return false;
    }
    session_hello_mac(&identity->secret, session->nonce, hello->proved, mac);
    return tri_secret_equal(mac, hello->mac.at);
}

enum tri_error tri_session_hello(struct tri_session *session, const struct tri_identity *identities,
                                 uint32_t count, const uint8_t *body, uint32_t bytes)
{
    struct tri_frame frame;
    struct tri_wire_fault fault;
    enum tri_frame_type type;
    struct tri_text id;
    const struct tri_identity *identity = NULL;

    assert(session != NULL);
    assert(session->state == TRI_SESSION_CHALLENGED);
    if (tri_wire_peek(body, bytes, &type, &id, &fault) != TRI_OK) {
        return fault.code;
    }
    if (type != TRI_FRAME_HELLO) {
        return TRI_ERROR_HANDSHAKE_EXPECTED;
    }
    if (tri_wire_decode(body, bytes, &frame, &fault) != TRI_OK) {
        return fault.code;
    }
    if (!session_text_equal(frame.hello.version, session_version())) {
        return TRI_ERROR_VERSION_NOT_SUPPORTED;
    }
    identity = session_find(identities, count, &frame.hello);
    if (identity == NULL) {
        return frame.hello.role == TRI_ROLE_CHAIN ? TRI_ERROR_CHAIN_NOT_SUPPORTED
                                                  : TRI_ERROR_AUTHENTICATION_FAILED;
    }
    if ((frame.hello.instance == 0) == (identity->role == TRI_ROLE_CHAIN)) {
        return TRI_ERROR_FIELD_OUT_OF_RANGE;
    }
    if (!session_proves(session, identity, &frame.hello)) {
        return TRI_ERROR_AUTHENTICATION_FAILED;
    }
    assert(frame.hello.nonce.bytes == TRI_NONCE_BYTES);
    session->state = TRI_SESSION_PROVED;
    session->identity = identity;
    session->instance = frame.hello.instance;
    session->shard = frame.hello.shard;
    memcpy(session->peer_nonce, frame.hello.nonce.at, TRI_NONCE_BYTES);
    return TRI_ERROR_NONE;
}

uint32_t tri_session_welcome(struct tri_session *session, const struct tri_welcome *welcome,
                             uint8_t *to, uint32_t bytes_max)
{
    struct tri_frame frame = {.type = TRI_FRAME_WELCOME, .welcome = *welcome};
    uint8_t proved[TRI_SESSION_FRAME_BYTES_MAX];
    uint8_t mac[TRI_MAC_BYTES];
    struct tri_writer writer = {proved, proved + sizeof(proved), false};
    uint32_t bytes = 0;

    assert(session != NULL);
    assert(session->state == TRI_SESSION_PROVED);
    assert(bytes_max >= TRI_SESSION_FRAME_BYTES_MAX);
    frame.welcome.mac = (struct tri_bytes){mac, 0};
    if (session->identity->secret.bytes > 0) {
        tri_put_uint(&writer, welcome->epoch);
        tri_put_uint(&writer, welcome->shard);
        tri_put_uint(&writer, welcome->shards);
        tri_put_uint(&writer, welcome->frame_bytes_max);
        assert(!writer.failed);
        session_welcome_mac(&session->identity->secret, session->peer_nonce, session->nonce,
                            (struct tri_bytes){proved, (uint32_t)(writer.at - proved)}, mac);
        frame.welcome.mac.bytes = TRI_MAC_BYTES;
    }
    bytes = tri_wire_encode(&frame, to, bytes_max);
    assert(bytes > 0);
    session->state = TRI_SESSION_OPEN;
    return bytes;
}

/* Writes HELLO; its mac covers elements 1..6, so these are encoded twice. */
static uint32_t session_peer_hello(struct tri_session_peer *peer, uint8_t *to, uint32_t bytes_max)
{
    struct tri_frame frame = {.type = TRI_FRAME_HELLO};
    uint8_t proved[TRI_SESSION_FRAME_BYTES_MAX];
    uint8_t mac[TRI_MAC_BYTES];
    struct tri_writer writer = {proved, proved + sizeof(proved), false};
    struct tri_bytes nonce = {peer->nonce, TRI_NONCE_BYTES};
    uint32_t bytes = 0;

    frame.hello = (struct tri_hello){
        .version = session_version(),
        .role = peer->role,
        .identity = peer->identity,
        .instance = peer->instance,
        .nonce = nonce,
        .shard = peer->shard,
        .mac = {mac, 0},
    };
    if (peer->secret != NULL && peer->secret->bytes > 0) {
        tri_put_text(&writer, session_version());
        tri_put_uint(&writer, (uint64_t)peer->role);
        tri_put_text(&writer, peer->identity);
        tri_put_uint(&writer, peer->instance);
        tri_put_bin(&writer, nonce);
        tri_put_uint(&writer, peer->shard);
        assert(!writer.failed);
        session_hello_mac(peer->secret, peer->server_nonce,
                          (struct tri_bytes){proved, (uint32_t)(writer.at - proved)}, mac);
        frame.hello.mac.bytes = TRI_MAC_BYTES;
    }
    bytes = tri_wire_encode(&frame, to, bytes_max);
    assert(bytes > 0);
    return bytes;
}

static bool session_peer_trusts(const struct tri_session_peer *peer,
                                const struct tri_welcome *welcome)
{
    uint8_t mac[TRI_MAC_BYTES];

    if (peer->secret == NULL || peer->secret->bytes == 0) {
        return welcome->mac.bytes == 0;
    }
    if (welcome->mac.bytes != TRI_MAC_BYTES) {
        return false;
    }
    session_welcome_mac(peer->secret, peer->nonce, peer->server_nonce, welcome->proved, mac);
    return tri_secret_equal(mac, welcome->mac.at);
}

static enum tri_result session_peer_refuse(struct tri_wire_fault *fault, enum tri_error code,
                                           const char *field)
{
    *fault = (struct tri_wire_fault){.code = code, .at = 0, .field = field};
    return TRI_VIOLATION;
}

enum tri_result tri_session_peer_frame(struct tri_session_peer *peer, const uint8_t *body,
                                       uint32_t bytes, uint8_t *to, uint32_t bytes_max,
                                       uint32_t *bytes_out, struct tri_wire_fault *fault)
{
    struct tri_frame frame;

    assert(peer != NULL && !peer->is_open);
    assert(bytes_max >= TRI_SESSION_FRAME_BYTES_MAX);
    *bytes_out = 0;
    if (tri_wire_decode(body, bytes, &frame, fault) != TRI_OK) {
        return TRI_VIOLATION;
    }
    if (frame.type == TRI_FRAME_ERROR) {
        return session_peer_refuse(fault, frame.error.code, "refused by the server");
    }
    if (!peer->is_challenged) {
        if (frame.type != TRI_FRAME_CHALLENGE) {
            return session_peer_refuse(fault, TRI_ERROR_HANDSHAKE_EXPECTED, "CHALLENGE");
        }
        if (!session_text_equal(frame.challenge.version, session_version())) {
            return session_peer_refuse(fault, TRI_ERROR_VERSION_NOT_SUPPORTED, "version");
        }
        memcpy(peer->server_nonce, frame.challenge.nonce.at, TRI_NONCE_BYTES);
        peer->is_challenged = true;
        *bytes_out = session_peer_hello(peer, to, bytes_max);
        return TRI_MORE;
    }
    if (frame.type != TRI_FRAME_WELCOME) {
        return session_peer_refuse(fault, TRI_ERROR_HANDSHAKE_EXPECTED, "WELCOME");
    }
    if (!session_peer_trusts(peer, &frame.welcome)) {
        return session_peer_refuse(fault, TRI_ERROR_AUTHENTICATION_FAILED, "mac");
    }
    peer->is_open = true;
    peer->welcome = frame.welcome;
    peer->welcome.mac = (struct tri_bytes){NULL, 0};
    peer->welcome.proved = (struct tri_bytes){NULL, 0};
    return TRI_OK;
}
