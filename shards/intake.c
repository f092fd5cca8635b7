/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intake: from frames to events.
 *
 * The shard that owns a connection reads no more of a frame than its type and
 * id; the shard that owns the message decodes it, once.  What a peer's role
 * allows is tested first, on the connection's shard.  A frame that is refused
 * changes nothing but a counter, and its sender is told.
 */
#include <stdio.h>
#include <string.h>

#include "shards/delivery.h"
#include "shards/frames.h"
#include "shards/state.h"

#define DETAIL_BYTES 128U

/* A frame on its way to the shard that owns its message; the body follows. */
struct forward {
    tri_port port;
    struct tri_key key;
    uint32_t body_bytes;
    uint8_t role;
    uint8_t is_own; /* a delivery that the node submits for the port */
    uint16_t who;   /* the peer's chain or submitter */
};

static_assert(sizeof(struct forward) + TRI_FRAME_BYTES_MAX <= TRI_MESH_RECORD_BYTES_MAX,
              "the largest frame can be forwarded");
static_assert(TRI_REPLY_BYTES_MAX >= 1024 + TRI_TARGETS_MAX * (TRI_CHAIN_ID_BYTES_MAX + 2 +
                                                               TRI_TOKENS_BYTES_MAX + 1 + 8),
              "room for a reply holds the largest STATUS");

/* After these the peer has lost its place in the protocol, or never had one. */
bool tri_shard_fault_closes(enum tri_error code)
{
    switch (code) {
    case TRI_ERROR_MALFORMED_FRAME:
    case TRI_ERROR_FRAME_TOO_LONG:
    case TRI_ERROR_UNKNOWN_FRAME:
    case TRI_ERROR_WRONG_ROLE:
        return true;
    default:
        return false;
    }
}

static bool intake_is_allowed(enum tri_frame_type type, enum tri_role role)
{
    switch (type) {
    case TRI_FRAME_SUBMIT:
    case TRI_FRAME_ENVELOPE:
    case TRI_FRAME_STATUS_GET:
        return role == TRI_ROLE_CLIENT || role == TRI_ROLE_OPERATOR;
    case TRI_FRAME_WATCH:
    case TRI_FRAME_STATS_GET:
    case TRI_FRAME_SEQUENCER:
    case TRI_FRAME_FORCE:
    case TRI_FRAME_VERDICT:
        return role == TRI_ROLE_OPERATOR;
    case TRI_FRAME_PENDING_GET:
    case TRI_FRAME_FINALITY_GET:
        return role == TRI_ROLE_SETTLEMENT || role == TRI_ROLE_OPERATOR;
    case TRI_FRAME_SETTLE:
    case TRI_FRAME_HEARTBEAT:
        return role == TRI_ROLE_SETTLEMENT;
    case TRI_FRAME_PHASE_ACK:
    case TRI_FRAME_CONTROL_ACK:
    case TRI_FRAME_ASK:
        return role == TRI_ROLE_CHAIN;
    default:
        return false;
    }
}

/* Answers ERROR; a peer on another shard is also closed from here, a local one by the caller. */
static enum tri_result intake_refuse(struct tri_shard *shard, tri_port port, struct tri_text id,
                                     const struct tri_wire_fault *fault)
{
    char detail[DETAIL_BYTES];
    bool is_remote = TRI_PORT_SHARD(port) != shard->index;

    if (id.bytes > TRI_ID_BYTES_MAX || !tri_text_is_utf8(id)) {
        id = (struct tri_text){.at = "", .bytes = 0};
    }
    (void)snprintf(detail, sizeof(detail), "%s at offset %u", fault->field, fault->at);
    shard->counters.frames_refused++;
    tri_delivery_error(shard, port, id, fault->code, detail,
                       is_remote && tri_shard_fault_closes(fault->code));
    return TRI_VIOLATION;
}

static void intake_fault(struct tri_wire_fault *fault, enum tri_error code, const char *field)
{
    *fault = (struct tri_wire_fault){.code = code, .at = 0, .field = field};
}

static bool intake_is_own_chain(const struct tri_shard *shard, const struct tri_peer *peer,
                                struct tri_text chain)
{
    struct tri_text own = shard->chains[peer->chain].id;

    return chain.bytes == own.bytes && memcmp(chain.at, own.at, own.bytes) == 0;
}

/* Makes the event of a chain's answer; false: *fault says why not. */
static bool intake_answer(struct tri_shard *shard, const struct tri_peer *peer, struct tri_key key,
                          struct tri_event *event, struct tri_wire_fault *fault)
{
    const struct tri_frame *frame = &shard->decoded;
    struct tri_text chain;

    if (frame->type == TRI_FRAME_PHASE_ACK) {
        const struct tri_phase_ack *ack = &frame->phase_ack;

        chain = ack->chain;
        event->type = TRI_EVENT_PHASE_ACK;
        event->phase_ack.key = key;
        event->phase_ack.id = ack->id;
        event->phase_ack.chain = peer->chain;
        event->phase_ack.phase = ack->phase;
        event->phase_ack.attempt = ack->attempt;
        event->phase_ack.type = ack->type;
        event->phase_ack.code = ack->code;
        event->phase_ack.already_applied = ack->already_applied;
        event->phase_ack.tokens = ack->tokens;
    } else if (frame->type == TRI_FRAME_CONTROL_ACK) {
        const struct tri_control_ack *ack = &frame->control_ack;

        chain = ack->chain;
        event->type = TRI_EVENT_CONTROL_ACK;
        event->control_ack.key = key;
        event->control_ack.id = ack->id;
        event->control_ack.chain = peer->chain;
        event->control_ack.kind = ack->kind;
        event->control_ack.attempt = ack->attempt;
        event->control_ack.type = ack->type;
        event->control_ack.code = ack->code;
    } else {
        assert(frame->type == TRI_FRAME_ASK);
        chain = frame->ask.chain;
        event->type = TRI_EVENT_ASK;
        event->ask.key = key;
        event->ask.id = frame->ask.id;
        event->ask.chain = peer->chain;
        event->ask.attempt = frame->ask.attempt;
    }
    if (!intake_is_own_chain(shard, peer, chain)) {
        shard->counters.foreign_answers++;
        intake_fault(fault, TRI_ERROR_NOT_YOUR_CHAIN, "chainId");
        return false;
    }
    if (frame->type == TRI_FRAME_PHASE_ACK && frame->phase_ack.type < TRI_ACK_PHASE_PREPARE_OK) {
        /* P04: refused, counted, and changes nothing. */
        shard->counters.terminal_phase_acks++;
        intake_fault(fault, TRI_ERROR_TERMINAL_ACK_FOR_PHASE, "ackType");
        return false;
    }
    return true;
}

static struct tri_text intake_answer_id(const struct tri_frame *frame)
{
    static_assert(offsetof(struct tri_phase_ack, id) == 0 &&
                      offsetof(struct tri_control_ack, id) == 0 &&
                      offsetof(struct tri_ask, id) == 0,
                  "every answer begins with its id");
    return frame->phase_ack.id;
}

static void intake_status(struct tri_shard *shard, tri_port port, struct tri_key key,
                          struct tri_text id)
{
    struct tri_engine_status status;
    struct tri_delivery delivery;
    uint32_t bytes = 0;
    bool is_posted = false;

    if (tri_engine_status(shard->engine, key, id, shard->now_ns, &status) != TRI_OK) {
        tri_delivery_error(shard, port, id, TRI_ERROR_UNKNOWN_MESSAGE, "", false);
        return;
    }
    tri_frames_status(&status, shard->chains, &shard->encoded);
    bytes = tri_wire_encode(&shard->encoded, shard->scratch, TRI_SCRATCH_BYTES);
    assert(bytes > 0);
    tri_delivery_frame(&delivery, port, shard->scratch, bytes);
    delivery.head.is_fruitless = 1;
    is_posted = tri_delivery_post(shard, TRI_PORT_SHARD(port), 0, &delivery);
    assert(is_posted);
}

static void intake_submit(struct tri_shard *shard, tri_port port, const struct tri_peer *peer,
                          struct tri_key key, struct tri_event *event)
{
    event->type = TRI_EVENT_SUBMIT;
    event->submit.key = key;
    event->submit.hash = tri_digest_content(shard->decoded.submit.canonical);
    event->submit.message = &shard->decoded.submit;
    event->submit.client = port;
    event->submit.submitter = peer->submitter;
    event->submit.is_forced = shard->decoded.type == TRI_FRAME_FORCE; /* F06 */
}

/* F06: steps the operator's verdict; false: *fault says why it does not count. */
static bool intake_verdict(struct tri_shard *shard, tri_port port, struct tri_key key,
                           struct tri_wire_fault *fault)
{
    struct tri_event event = {.type = TRI_EVENT_VERDICT};
    enum tri_result result;

    event.verdict.key = key;
    event.verdict.id = shard->decoded.verdict.id;
    event.verdict.client = port;
    event.verdict.has_passed = shard->decoded.verdict.has_passed;
    shard->answered = port;
    result = tri_shard_step(shard, &event);
    if (result == TRI_OK) {
        return true;
    }
    if (result == TRI_GONE) {
        intake_fault(fault, TRI_ERROR_UNKNOWN_MESSAGE, "originalMessageId");
    } else {
        intake_fault(fault,
                     shard->failed_lsn != 0 ? TRI_ERROR_JOURNAL_FAILED : TRI_ERROR_NOT_ALLOWED,
                     "passed");
    }
    return false;
}

static void intake_envelope(struct tri_shard *shard, tri_port port, const struct tri_peer *peer,
                            struct tri_key key, struct tri_event *event)
{
    const struct tri_envelope_frame *frame = &shard->decoded.envelope;

    event->type = TRI_EVENT_ENVELOPE;
    event->envelope.key = key;
    event->envelope.hash = tri_digest_content(frame->content);
    event->envelope.id = frame->id;
    event->envelope.deliveries = frame->deliveries;
    event->envelope.count = frame->count;
    event->envelope.client = port;
    event->envelope.submitter = peer->submitter;
}

/* Gives one frame, of this shard's own port or forwarded, to the engine; the shard is ready.  The
 * peer has been answered when this returns TRI_VIOLATION. */
static enum tri_result intake_take(struct tri_shard *shard, tri_port port,
                                   const struct tri_peer *peer, struct tri_key key,
                                   struct tri_bytes body, bool is_own, struct tri_wire_fault *fault)
{
    struct tri_frame *frame = &shard->decoded;
    enum tri_result result = TRI_OK;
    struct tri_event event;

    shard->counters.frames++;
    if (tri_wire_decode(body.at, body.bytes, frame, fault) != TRI_OK) {
        enum tri_frame_type type;
        struct tri_wire_fault ignored;
        struct tri_text id = {.at = "", .bytes = 0};

        if (tri_wire_peek(body.at, body.bytes, &type, &id, &ignored) != TRI_OK) {
            id.bytes = 0;
        }
        return intake_refuse(shard, port, id, fault);
    }
    if (frame->type == TRI_FRAME_STATUS_GET) {
        intake_status(shard, port, key, frame->status_get);
        return TRI_OK;
    }
    if (frame->type == TRI_FRAME_VERDICT) {
        if (!intake_verdict(shard, port, key, fault)) {
            return intake_refuse(shard, port, frame->verdict.id, fault);
        }
        (void)tri_shard_ready(shard, false);
        return TRI_OK;
    }
    if (frame->type == TRI_FRAME_SUBMIT || frame->type == TRI_FRAME_FORCE) {
        intake_submit(shard, port, peer, key, &event);
    } else if (frame->type == TRI_FRAME_ENVELOPE) {
        intake_envelope(shard, port, peer, key, &event);
    } else if (!intake_answer(shard, peer, key, &event, fault)) {
        return intake_refuse(shard, port, intake_answer_id(frame), fault);
    }
    shard->answered = port;
    result = tri_shard_step(shard, &event);
    shard->pending.is_own = is_own;
    if (result == TRI_VIOLATION) {
        /* Before the effects: the room that was made sure of is for this answer. */
        intake_fault(fault, TRI_ERROR_FIELD_OUT_OF_RANGE, "ackType");
        (void)intake_refuse(shard, port, intake_answer_id(frame), fault);
    }
    (void)tri_shard_ready(shard, false);
    return result == TRI_VIOLATION ? TRI_VIOLATION : TRI_OK;
}

enum tri_role tri_intake_role(const void *record)
{
    return (enum tri_role)((const struct forward *)record)->role;
}

uint32_t tri_intake_shard(const void *record)
{
    return TRI_PORT_SHARD(((const struct forward *)record)->port);
}

void tri_intake_forwarded(struct tri_shard *shard, const void *record, uint32_t bytes)
{
    const struct forward *head = record;
    struct tri_peer peer = {.role = (enum tri_role)head->role};
    struct tri_wire_fault fault;

    assert(bytes == sizeof(*head) + head->body_bytes);
    assert(tri_route_shard(shard->route, head->key) == shard->index);
    if (peer.role == TRI_ROLE_CHAIN) {
        peer.chain = head->who;
    } else {
        peer.submitter = head->who;
    }
    (void)intake_take(
        shard, head->port, &peer, head->key,
        (struct tri_bytes){.at = (const uint8_t *)(head + 1), .bytes = head->body_bytes},
        head->is_own != 0, &fault);
}

static enum tri_result intake_forward(struct tri_shard *shard, uint32_t owner, tri_port port,
                                      const struct tri_peer *peer, struct tri_key key,
                                      struct tri_bytes body, bool is_own)
{
    uint32_t bytes = (uint32_t)sizeof(struct forward) + body.bytes;
    struct forward *head = tri_mesh_reserve(shard->mesh, shard->index, owner, TRI_LANE_STEP, bytes);

    if (head == NULL) {
        /* Only the connection is stuck, not the shard: time goes on and steps are taken. */
        shard->counters.mesh_stalls++;
        return TRI_FULL;
    }
    *head = (struct forward){.port = port,
                             .key = key,
                             .body_bytes = body.bytes,
                             .role = (uint8_t)peer->role,
                             .is_own = is_own ? 1 : 0,
                             .who = peer->role == TRI_ROLE_CHAIN ? peer->chain : peer->submitter};
    memcpy(head + 1, body.at, body.bytes);
    tri_mesh_commit(shard->mesh, shard->index, owner, TRI_LANE_STEP, bytes);
    shard->counters.frames_forwarded++;
    shard->counters.answers_forwarded += peer->role == TRI_ROLE_CHAIN ? 1 : 0;
    return TRI_OK;
}

/* Frames that are about no message, so that no shard owns them. */
static bool intake_is_look(enum tri_frame_type type)
{
    switch (type) {
    case TRI_FRAME_WATCH:
    case TRI_FRAME_STATS_GET:
    case TRI_FRAME_SEQUENCER:
    case TRI_FRAME_PENDING_GET:
    case TRI_FRAME_FINALITY_GET:
    case TRI_FRAME_SETTLE:
    case TRI_FRAME_HEARTBEAT:
        return true;
    default:
        return false;
    }
}

/* WATCH, and those that the caller answers. */
static enum tri_result intake_look(struct tri_shard *shard, tri_port port, struct tri_bytes body,
                                   struct tri_wire_fault *fault)
{
    if (tri_wire_decode(body.at, body.bytes, &shard->decoded, fault) != TRI_OK) {
        return intake_refuse(shard, port, (struct tri_text){.at = "", .bytes = 0}, fault);
    }
    if (shard->decoded.type != TRI_FRAME_WATCH) {
        return TRI_OK;
    }
    if (!tri_seats_watch(shard, port)) {
        intake_fault(fault, TRI_ERROR_BUSY, "watchers");
        return intake_refuse(shard, port, (struct tri_text){.at = "", .bytes = 0}, fault);
    }
    shard->counters.frames++;
    return TRI_OK;
}

void tri_shard_prefetch(const struct tri_shard *shard, const uint8_t *body, uint32_t bytes)
{
    struct tri_wire_fault ignored;
    enum tri_frame_type type;
    struct tri_text id;

    if (tri_wire_peek(body, bytes, &type, &id, &ignored) == TRI_OK && id.bytes > 0) {
        tri_engine_prefetch(shard->engine, tri_route_key(shard->route, id));
    }
}

enum tri_result tri_shard_frame(struct tri_shard *shard, tri_port port, const struct tri_peer *peer,
                                const uint8_t *body, uint32_t bytes, uint64_t now_ns,
                                uint64_t wall_ms, struct tri_wire_fault *fault)
{
    struct tri_text id = {.at = "", .bytes = 0};
    enum tri_frame_type type;
    struct tri_key key;
    uint32_t owner = 0;

    assert(TRI_PORT_SHARD(port) == shard->index);
    assert(peer->role != TRI_ROLE_CHAIN || peer->chain < shard->chain_count);
    tri_shard_time(shard, now_ns, wall_ms);
    if (tri_wire_peek(body, bytes, &type, &id, fault) != TRI_OK) {
        return intake_refuse(shard, port, (struct tri_text){.at = "", .bytes = 0}, fault);
    }
    if (!intake_is_allowed(type, peer->role)) {
        shard->counters.wrong_roles++;
        intake_fault(fault, TRI_ERROR_WRONG_ROLE, "type");
        return intake_refuse(shard, port, id, fault);
    }
    if (intake_is_look(type)) {
        return intake_look(shard, port, (struct tri_bytes){.at = body, .bytes = bytes}, fault);
    }
    key = tri_route_key(shard->route, id);
    owner = tri_route_shard(shard->route, key);
    if (owner != shard->index) {
        return intake_forward(shard, owner, port, peer, key,
                              (struct tri_bytes){.at = body, .bytes = bytes}, false);
    }
    if (!tri_shard_ready(shard, peer->role == TRI_ROLE_CHAIN)) {
        return TRI_FULL;
    }
    return intake_take(shard, port, peer, key, (struct tri_bytes){.at = body, .bytes = bytes},
                       false, fault);
}

enum tri_result tri_intake_deliver(struct tri_shard *shard, tri_port port,
                                   const struct tri_peer *peer, struct tri_text id,
                                   struct tri_bytes body)
{
    struct tri_key key = tri_route_key(shard->route, id);
    uint32_t owner = tri_route_shard(shard->route, key);
    uint32_t answered = TRI_PORT_SHARD(port);
    struct tri_wire_fault fault;

    if (owner != shard->index) {
        return intake_forward(shard, owner, port, peer, key, body, true);
    }
    if (!tri_shard_ready(shard, false)) {
        return TRI_FULL;
    }
    if (answered != shard->index &&
        tri_mesh_reserve(shard->mesh, shard->index, answered, TRI_LANE_DELIVER,
                         TRI_REPLY_BYTES_MAX) == NULL) {
        shard->is_blocked = true;
        return TRI_FULL;
    }
    (void)intake_take(shard, port, peer, key, body, true, &fault);
    return TRI_OK;
}
