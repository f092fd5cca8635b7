/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a session opens for a configured identity that proves its secret, on
 * the connection whose nonce it has signed, and for nobody else; and a peer
 * accepts only a server that knows the secret as well.
 *
 * Method: both sides of the handshake, joined by buffers.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "io/session.h"

#define ROOM TRI_SESSION_FRAME_BYTES_MAX

static const uint8_t server_nonce[TRI_NONCE_BYTES] = {1, 1, 1};
static const uint8_t other_nonce[TRI_NONCE_BYTES] = {2, 2, 2};

static struct tri_identity identities[3];

static void setup(void)
{
    identities[0] = (struct tri_identity){.role = TRI_ROLE_CHAIN,
                                          .chain = 7,
                                          .name = {"eip155:1", 8},
                                          .secret = {16, "0123456789abcdef"}};
    identities[1] = (struct tri_identity){
        .role = TRI_ROLE_CLIENT, .name = {"bank", 4}, .secret = {16, "bankbankbankbank"}};
    identities[2] = (struct tri_identity){.role = TRI_ROLE_CLIENT, .name = {"open", 4}};
}

TestSuite(session, .init = setup);

static struct tri_session_peer peer_of(const struct tri_identity *identity)
{
    struct tri_session_peer peer = {
        .role = identity->role,
        .identity = identity->name,
        .secret = &identity->secret,
        .instance = identity->role == TRI_ROLE_CHAIN ? 5 : 0,
        .shard = 2,
        .nonce = {9, 9},
    };

    return peer;
}

/* Sends CHALLENGE with `nonce` to the peer and returns its HELLO, without the length. */
static uint32_t hello_of(struct tri_session_peer *peer, struct tri_session *session,
                         const uint8_t *nonce, uint8_t *hello)
{
    uint8_t challenge[ROOM];
    uint8_t answer[ROOM];
    uint32_t bytes = tri_session_challenge(session, nonce, challenge, ROOM);
    uint32_t answer_bytes = 0;
    struct tri_wire_fault fault;

    cr_assert_eq(
        tri_session_peer_frame(peer, challenge + 4, bytes - 4, answer, ROOM, &answer_bytes, &fault),
        TRI_MORE);
    cr_assert_gt(answer_bytes, 4);
    memcpy(hello, answer + 4, answer_bytes - 4);
    return answer_bytes - 4;
}

static enum tri_error judge(struct tri_session_peer *peer)
{
    struct tri_session session;
    uint8_t hello[ROOM];
    uint32_t bytes = hello_of(peer, &session, server_nonce, hello);

    return tri_session_hello(&session, identities, 3, hello, bytes);
}

Test(session, both_sides_open_and_agree)
{
    struct tri_session_peer peer = peer_of(&identities[0]);
    struct tri_session session;
    uint8_t frame[ROOM];
    uint8_t unused[ROOM];
    uint32_t unused_bytes = 1;
    uint32_t bytes = hello_of(&peer, &session, server_nonce, frame);
    struct tri_welcome welcome = {.epoch = 3, .shard = 1, .shards = 2, .frame_bytes_max = 81920};
    struct tri_wire_fault fault;

    cr_assert_eq(tri_session_hello(&session, identities, 3, frame, bytes), TRI_ERROR_NONE);
    cr_expect_eq(session.state, TRI_SESSION_PROVED);
    cr_expect_eq(session.identity, &identities[0]);
    cr_expect_eq(session.instance, 5);
    cr_expect_eq(session.shard, 2);
    bytes = tri_session_welcome(&session, &welcome, frame, ROOM);
    cr_expect_eq(session.state, TRI_SESSION_OPEN);
    cr_assert_eq(
        tri_session_peer_frame(&peer, frame + 4, bytes - 4, unused, ROOM, &unused_bytes, &fault),
        TRI_OK);
    cr_expect_eq(unused_bytes, 0);
    cr_expect(peer.is_open);
    cr_expect_eq(peer.welcome.epoch, 3);
    cr_expect_eq(peer.welcome.shard, 1);
    cr_expect_eq(peer.welcome.shards, 2);
}

Test(session, a_wrong_secret_is_refused)
{
    struct tri_identity wrong = identities[1];
    struct tri_session_peer peer;

    wrong.secret.at[15] ^= 1;
    peer = peer_of(&wrong);
    cr_expect_eq(judge(&peer), TRI_ERROR_AUTHENTICATION_FAILED);
}

Test(session, no_secret_is_refused_where_one_is_configured)
{
    struct tri_identity wrong = identities[1];
    struct tri_session_peer peer;

    wrong.secret.bytes = 0;
    peer = peer_of(&wrong);
    cr_expect_eq(judge(&peer), TRI_ERROR_AUTHENTICATION_FAILED);
}

Test(session, a_secret_is_refused_where_none_is_configured)
{
    struct tri_identity wrong = identities[2];
    struct tri_session_peer peer;

    wrong.secret = identities[1].secret;
    peer = peer_of(&wrong);
    cr_expect_eq(judge(&peer), TRI_ERROR_AUTHENTICATION_FAILED);
}

Test(session, a_replayed_hello_is_refused)
{
    struct tri_session_peer peer = peer_of(&identities[1]);
    struct tri_session first;
    struct tri_session second;
    uint8_t hello[ROOM];
    uint8_t challenge[ROOM];
    uint32_t bytes = hello_of(&peer, &first, server_nonce, hello);

    (void)tri_session_challenge(&second, other_nonce, challenge, ROOM);
    cr_expect_eq(tri_session_hello(&second, identities, 3, hello, bytes),
                 TRI_ERROR_AUTHENTICATION_FAILED);
    cr_expect_eq(tri_session_hello(&first, identities, 3, hello, bytes), TRI_ERROR_NONE);
}

Test(session, every_changed_byte_of_a_hello_is_refused)
{
    struct tri_session_peer peer = peer_of(&identities[0]);
    struct tri_session session;
    uint8_t hello[ROOM];
    uint32_t bytes = hello_of(&peer, &session, server_nonce, hello);

    for (uint32_t index = 0; index < bytes; index++) {
        uint8_t challenge[ROOM];

        (void)tri_session_challenge(&session, server_nonce, challenge, ROOM);
        hello[index] ^= 1;
        cr_expect_neq(tri_session_hello(&session, identities, 3, hello, bytes), TRI_ERROR_NONE,
                      "byte %u", index);
        hello[index] ^= 1;
    }
}

Test(session, one_identity_cannot_speak_for_another)
{
    struct tri_identity wrong = identities[1];
    struct tri_session_peer peer;

    wrong.name = (struct tri_text){"open", 4};
    peer = peer_of(&wrong);
    cr_expect_eq(judge(&peer), TRI_ERROR_AUTHENTICATION_FAILED);
    wrong.name = (struct tri_text){"nobody", 6};
    peer = peer_of(&wrong);
    cr_expect_eq(judge(&peer), TRI_ERROR_AUTHENTICATION_FAILED);
    wrong = identities[1];
    wrong.role = TRI_ROLE_OPERATOR;
    peer = peer_of(&wrong);
    cr_expect_eq(judge(&peer), TRI_ERROR_AUTHENTICATION_FAILED);
}

Test(session, a_chain_that_is_not_configured_is_told_so)
{
    struct tri_identity wrong = identities[0];
    struct tri_session_peer peer;

    wrong.name = (struct tri_text){"eip155:2", 8};
    peer = peer_of(&wrong);
    cr_expect_eq(judge(&peer), TRI_ERROR_CHAIN_NOT_SUPPORTED);
}

Test(session, P15_a_chain_needs_an_instance_and_others_have_none)
{
    struct tri_session_peer chain = peer_of(&identities[0]);
    struct tri_session_peer client = peer_of(&identities[1]);

    chain.instance = 0;
    client.instance = 1;
    cr_expect_eq(judge(&chain), TRI_ERROR_FIELD_OUT_OF_RANGE);
    cr_expect_eq(judge(&client), TRI_ERROR_FIELD_OUT_OF_RANGE);
}

Test(session, another_frame_before_hello_is_refused)
{
    struct tri_frame frame = {.type = TRI_FRAME_STATUS_GET, .status_get = {"m", 1}};
    struct tri_session session;
    uint8_t bytes[ROOM];
    uint32_t count = 0;

    (void)tri_session_challenge(&session, server_nonce, bytes, ROOM);
    count = tri_wire_encode(&frame, bytes, ROOM);
    cr_expect_eq(tri_session_hello(&session, identities, 3, bytes + 4, count - 4),
                 TRI_ERROR_HANDSHAKE_EXPECTED);
    cr_expect_eq(tri_session_hello(&session, identities, 3, (const uint8_t *)"\xc1", 1),
                 TRI_ERROR_MALFORMED_FRAME);
}

Test(session, another_version_is_refused)
{
    struct tri_frame frame = {.type = TRI_FRAME_HELLO};
    struct tri_session session;
    uint8_t bytes[ROOM];
    uint8_t nonce[TRI_NONCE_BYTES] = {0};
    uint32_t count = 0;

    (void)tri_session_challenge(&session, server_nonce, bytes, ROOM);
    frame.hello.version = (struct tri_text){"9.0.0", 5};
    frame.hello.role = TRI_ROLE_CLIENT;
    frame.hello.identity = identities[2].name;
    frame.hello.nonce = (struct tri_bytes){nonce, TRI_NONCE_BYTES};
    frame.hello.mac = (struct tri_bytes){nonce, 0};
    count = tri_wire_encode(&frame, bytes, ROOM);
    cr_expect_eq(tri_session_hello(&session, identities, 3, bytes + 4, count - 4),
                 TRI_ERROR_VERSION_NOT_SUPPORTED);
}

Test(session, a_server_without_the_secret_is_not_trusted)
{
    struct tri_session_peer peer = peer_of(&identities[1]);
    struct tri_session session;
    uint8_t frame[ROOM];
    uint8_t unused[ROOM];
    uint32_t unused_bytes = 0;
    uint32_t bytes = hello_of(&peer, &session, server_nonce, frame);
    struct tri_welcome welcome = {.epoch = 1, .shards = 1, .frame_bytes_max = 81920};
    struct tri_wire_fault fault;

    cr_assert_eq(tri_session_hello(&session, identities, 3, frame, bytes), TRI_ERROR_NONE);
    identities[1].secret.at[0] ^= 1; /* the server signs with something else */
    bytes = tri_session_welcome(&session, &welcome, frame, ROOM);
    identities[1].secret.at[0] ^= 1;
    cr_expect_eq(
        tri_session_peer_frame(&peer, frame + 4, bytes - 4, unused, ROOM, &unused_bytes, &fault),
        TRI_VIOLATION);
    cr_expect_eq(fault.code, TRI_ERROR_AUTHENTICATION_FAILED);
    cr_expect_not(peer.is_open);
}

Test(session, a_refusal_reaches_the_peer_with_its_code)
{
    struct tri_session_peer peer = peer_of(&identities[1]);
    struct tri_frame frame = {.type = TRI_FRAME_ERROR,
                              .error = {{"", 0}, TRI_ERROR_TOO_MANY_CONNECTIONS, {"", 0}}};
    uint8_t bytes[ROOM];
    uint8_t unused[ROOM];
    uint32_t unused_bytes = 0;
    uint32_t count = tri_wire_encode(&frame, bytes, ROOM);
    struct tri_wire_fault fault;

    cr_expect_eq(
        tri_session_peer_frame(&peer, bytes + 4, count - 4, unused, ROOM, &unused_bytes, &fault),
        TRI_VIOLATION);
    cr_expect_eq(fault.code, TRI_ERROR_TOO_MANY_CONNECTIONS);
}
