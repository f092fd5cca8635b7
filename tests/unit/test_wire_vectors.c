/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The published vectors, tests/vectors/wire.json, which Python made.
 *
 * A valid one is decoded, shown as JSON under the names of docs/wire.md and
 * compared with the vector's fields, and encoded back to the same bytes.  A
 * refused one must give the vector's code, offset and field.  Macs and content
 * hashes are computed again with OpenSSL.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/wire_oracle.h"

static struct tri_frame frame;
static struct tri_wire_fault fault;

static json_t *text(struct tri_text value)
{
    return json_stringn(value.at, value.bytes);
}

static json_t *hex(const uint8_t *at, uint32_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    static char to[2 * TRI_FRAME_BYTES_MAX];

    for (size_t i = 0; i < bytes; i++) {
        to[2 * i] = digits[at[i] >> 4];
        to[2 * i + 1] = digits[at[i] & 15];
    }
    return json_stringn(to, 2 * (size_t)bytes);
}

static json_t *bin(struct tri_bytes value)
{
    return hex(value.at, value.bytes);
}

static json_t *attempt(tri_attempt value)
{
    return json_pack("[I,I]", (json_int_t)TRI_ATTEMPT_EPOCH(value),
                     (json_int_t)TRI_ATTEMPT_N(value));
}

static json_t *texts(const struct tri_text *values, uint32_t count)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(list, text(values[i]));
    }
    return list;
}

static json_t *tokens(struct tri_bytes encoded)
{
    struct tri_text found[TRI_TOKENS_MAX];

    return texts(found, tri_tokens_get(encoded, found));
}

static json_t *reports(const struct tri_target_report *rows, uint32_t count, bool have_tokens)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++) {
        json_t *row = json_pack("[o,s,s]", text(rows[i].chain),
                                tri_target_state_name(rows[i].state), tri_error_name(rows[i].code));

        if (have_tokens) {
            json_array_append_new(row, tokens(rows[i].tokens));
        }
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *envelope(const struct tri_envelope *e)
{
    return e->is_given ? json_pack("[o,I,I]", text(e->id), (json_int_t)e->n, (json_int_t)e->m)
                       : json_null();
}

static json_t *signature(const struct tri_signature *s)
{
    return s->is_given ? json_pack("[i,o,o,I]", (int)s->type, bin(s->bytes), text(s->signer_set),
                                   (json_int_t)s->threshold)
                       : json_null();
}

static json_t *submit_view(const struct tri_message *m)
{
    json_t *view = json_pack(
        "{s:o,s:s,s:s,s:s,s:s,s:I,s:I,s:o,s:o,s:o,s:[I,I,I],s:b,s:s,s:s,s:o,s:o,s:o,s:o}",
        "originalMessageId", text(m->id), "version", TRI_PROTOCOL_VERSION, "priority",
        tri_priority_name(m->priority), "targetScope", tri_scope_name(m->scope), "atomicity",
        tri_atomicity_name(m->atomicity), "ttlSeconds", (json_int_t)m->ttl_s, "timestampMs",
        (json_int_t)m->timestamp_ms, "sourceChainId", text(m->source_chain), "sourceNodeId",
        text(m->source_node), "targets", texts(m->targets, m->target_count), "timeouts",
        (json_int_t)m->timeout_ms[0], (json_int_t)m->timeout_ms[1], (json_int_t)m->timeout_ms[2],
        "finalizeRequested", m->finalize_requested, "type", tri_message_type_name(m->type),
        "subtype", tri_subtype_name(m->subtype), "assets", texts(m->assets, m->asset_count),
        "payload", bin(m->payload), "envelope", envelope(&m->envelope), "signature",
        signature(&m->signature));

    return view;
}

static json_t *round_view(void)
{
    const struct tri_phase_frame *p = &frame.phase;
    const struct tri_phase_ack *a = &frame.phase_ack;
    const struct tri_control_frame *c = &frame.control;
    const struct tri_control_ack *d = &frame.control_ack;

    switch ((uint32_t)frame.type) {
    case TRI_FRAME_PHASE:
        return json_pack(
            "{s:o,s:s,s:i,s:o,s:s,s:o,s:I,s:I,s:b,s:s,s:s,s:o,s:o,s:o,s:o,s:o}",
            "originalMessageId", text(p->id), "phase", tri_phase_name(p->phase), "phaseSequence",
            (int)p->phase, "attempt", attempt(p->attempt), "atomicity",
            tri_atomicity_name(p->atomicity), "contentHash", hex(p->hash.at, 16), "expiresAtMs",
            (json_int_t)p->expires_at_ms, "reservationTtlMs", (json_int_t)p->reservation_ttl_ms,
            "system", p->system, "type", tri_message_type_name(p->type), "subtype",
            tri_subtype_name(p->subtype), "assets", texts(p->assets, p->asset_count), "payload",
            bin(p->payload), "envelope", envelope(&p->envelope), "signature",
            signature(&p->signature), "reservedResources", tokens(p->tokens));
    case TRI_FRAME_PHASE_ACK:
        return json_pack("{s:o,s:s,s:s,s:o,s:o,s:s,s:b,s:o,s:I}", "originalMessageId", text(a->id),
                         "ackType", tri_ack_type_name(a->type), "phase", tri_phase_name(a->phase),
                         "attempt", attempt(a->attempt), "chainId", text(a->chain), "errorCode",
                         tri_error_name(a->code), "alreadyApplied", a->already_applied,
                         "reservedResources", tokens(a->tokens), "retryAfterMs",
                         (json_int_t)a->retry_after_ms);
    case TRI_FRAME_CONTROL:
        return json_pack("{s:o,s:s,s:o,s:o,s:I,s:o,s:o,s:o,s:I}", "originalMessageId", text(c->id),
                         "kind", c->kind == TRI_CONTROL_ABORT ? "ABORT" : "ROLLBACK", "attempt",
                         attempt(c->attempt), "contentHash", hex(c->hash.at, 16), "expiresAtMs",
                         (json_int_t)c->expires_at_ms, "reservedResources", tokens(c->tokens),
                         "rollbackReason", text(c->reason), "affectedChains",
                         texts(c->chains, c->chain_count), "rollbackDeadline",
                         (json_int_t)c->deadline_ms);
    case TRI_FRAME_CONTROL_ACK:
        return json_pack("{s:o,s:s,s:s,s:o,s:o,s:s}", "originalMessageId", text(d->id), "ackType",
                         tri_ack_type_name(d->type), "kind",
                         d->kind == TRI_CONTROL_ABORT ? "ABORT" : "ROLLBACK", "attempt",
                         attempt(d->attempt), "chainId", text(d->chain), "errorCode",
                         tri_error_name(d->code));
    default:
        return json_pack("{s:o,s:o,s:o}", "originalMessageId", text(frame.ask.id), "attempt",
                         attempt(frame.ask.attempt), "chainId", text(frame.ask.chain));
    }
}

static json_t *envelope_view(void)
{
    static struct tri_frame inner;
    static uint8_t body[TRI_FRAME_BYTES_MAX];
    const struct tri_envelope_frame *e = &frame.envelope;
    json_t *deliveries = json_array();

    for (uint32_t i = 0; i < e->count; i++) {
        struct tri_writer writer = {.at = body, .end = body + sizeof body};

        tri_wire_put_delivery(&writer, e->deliveries[i].canonical);
        cr_assert_eq(tri_wire_decode(body, (uint32_t)(writer.at - body), &inner, &fault), TRI_OK);
        json_array_append_new(deliveries, submit_view(&inner.submit));
    }
    return json_pack("{s:o,s:o}", "envelopeId", text(e->id), "deliveries", deliveries);
}

static json_t *envelope_ack_view(void)
{
    const struct tri_envelope_ack *a = &frame.envelope_ack;
    json_t *rows = json_array();

    for (uint32_t i = 0; i < a->count; i++) {
        json_array_append_new(rows, json_pack("[o,s,s]", text(a->rows[i].id),
                                              tri_ack_type_name(a->rows[i].type),
                                              tri_error_name(a->rows[i].code)));
    }
    return json_pack("{s:o,s:s,s:s,s:b,s:o}", "envelopeId", text(a->id), "ackType",
                     tri_ack_type_name(a->type), "errorCode", tri_error_name(a->code), "duplicate",
                     a->duplicate, "deliveries", rows);
}

static json_t *client_view(void)
{
    const struct tri_status *s = &frame.status;
    const struct tri_event_frame *e = &frame.event;

    switch ((uint32_t)frame.type) {
    case TRI_FRAME_SUBMIT:
    case TRI_FRAME_FORCE:
        return submit_view(&frame.submit);
    case TRI_FRAME_ACK:
        return json_pack("{s:o,s:s,s:s,s:b,s:o,s:o}", "originalMessageId", text(frame.ack.id),
                         "ackType", tri_ack_type_name(frame.ack.type), "errorCode",
                         tri_error_name(frame.ack.code), "duplicate", frame.ack.duplicate,
                         "attempt", attempt(frame.ack.attempt), "targets",
                         reports(frame.ack.targets, frame.ack.target_count, false));
    case TRI_FRAME_NOTICE:
        return json_pack("{s:o,s:o,s:I,s:o,s:o,s:I}", "originalMessageId", text(frame.notice.id),
                         "attempt", attempt(frame.notice.attempt), "issuedAtMs",
                         (json_int_t)frame.notice.issued_at_ms, "participatingChains",
                         texts(frame.notice.chains, frame.notice.chain_count), "stream",
                         text(frame.notice.stream), "ossEpoch", (json_int_t)frame.notice.oss_epoch);
    case TRI_FRAME_ENVELOPE:
        return envelope_view();
    case TRI_FRAME_ENVELOPE_ACK:
        return envelope_ack_view();
    case TRI_FRAME_STATUS_GET:
        return json_pack("{s:o}", "originalMessageId", text(frame.status_get));
    case TRI_FRAME_STATUS:
        return json_pack(
            "{s:o,s:o,s:s,s:o,s:I,s:s,s:s,s:s,s:s,s:I,s:o,s:b}", "originalMessageId", text(s->id),
            "state", text(s->state), "errorCode", tri_error_name(s->code), "attempt",
            attempt(s->attempt), "retries", (json_int_t)s->retries, "declaredScope",
            tri_scope_name(s->scope_declared), "effectiveScope", tri_scope_name(s->scope),
            "declaredAtomicity", tri_atomicity_name(s->atomicity_declared), "effectiveAtomicity",
            tri_atomicity_name(s->atomicity), "mapVersion", (json_int_t)s->map_version, "targets",
            reports(s->targets, s->target_count, true), "forced", s->is_forced);
    case TRI_FRAME_VERDICT:
        return json_pack("{s:o,s:b}", "originalMessageId", text(frame.verdict.id), "passed",
                         frame.verdict.has_passed);
    default:
        return json_pack("{s:o,s:I,s:o,s:o,s:o,s:s,s:I}", "originalMessageId", text(e->id), "atMs",
                         (json_int_t)e->at_ms, "what", text(e->what), "attempt",
                         attempt(e->attempt), "chains", texts(e->chains, e->chain_count),
                         "errorCode", tri_error_name(e->code), "missed", (json_int_t)e->missed);
    }
}

static json_t *session_view(void)
{
    const struct tri_hello *h = &frame.hello;
    const struct tri_welcome *w = &frame.welcome;

    switch ((uint32_t)frame.type) {
    case TRI_FRAME_CHALLENGE:
        return json_pack("{s:o,s:o}", "version", text(frame.challenge.version), "nonce",
                         bin(frame.challenge.nonce));
    case TRI_FRAME_HELLO:
        return json_pack("{s:o,s:s,s:o,s:I,s:o,s:I,s:o}", "version", text(h->version), "role",
                         tri_role_name(h->role), "identity", text(h->identity), "instance",
                         (json_int_t)h->instance, "nonce", bin(h->nonce), "shard",
                         (json_int_t)h->shard, "mac", bin(h->mac));
    case TRI_FRAME_WELCOME:
        return json_pack("{s:I,s:I,s:I,s:I,s:o}", "epoch", (json_int_t)w->epoch, "shard",
                         (json_int_t)w->shard, "shards", (json_int_t)w->shards, "frameBytesMax",
                         (json_int_t)w->frame_bytes_max, "mac", bin(w->mac));
    default:
        return json_pack("{s:o,s:s,s:o}", "originalMessageId", text(frame.error.id), "errorCode",
                         tri_error_name(frame.error.code), "detail", text(frame.error.detail));
    }
}

static json_t *rows_view(void)
{
    json_t *rows = json_array();

    if (frame.type == TRI_FRAME_PENDING) {
        for (uint32_t i = 0; i < frame.pending.count; i++) {
            const struct tri_pending_row *row = &frame.pending.rows[i];

            json_array_append_new(rows, json_pack("[o,o]", bin(row->header), bin(row->signature)));
        }
        return json_pack("{s:b,s:o}", "more", frame.pending.has_more, "records", rows);
    }
    for (uint32_t i = 0; i < frame.finality.count; i++) {
        const struct tri_finality_row *row = &frame.finality.rows[i];

        json_array_append_new(
            rows, json_pack("[o,o,I]", text(row->name), text(row->help), (json_int_t)row->value));
    }
    return json_pack("{s:o}", "rows", rows);
}

static json_t *finality_view(void)
{
    static const char *const verdicts[] = {"FINAL", "DIFFERENT", "UNKNOWN", "HELD"};
    const struct tri_settle *s = &frame.settle;

    switch ((uint32_t)frame.type) {
    case TRI_FRAME_PENDING_GET:
        return json_pack("{s:o,s:I,s:I}", "stream", text(frame.pending_get.stream), "ossEpoch",
                         (json_int_t)frame.pending_get.oss_epoch, "limit",
                         (json_int_t)frame.pending_get.limit);
    case TRI_FRAME_SETTLE:
        return json_pack("{s:o,s:I,s:o,s:I,s:o}", "stream", text(s->stream), "ossEpoch",
                         (json_int_t)s->oss_epoch, "ossStateRoot", bin(s->root), "settledAtMs",
                         (json_int_t)s->settled_at_ms, "reference", text(s->reference));
    case TRI_FRAME_SETTLED:
        return json_pack("{s:o,s:I,s:s}", "stream", text(frame.settled.stream), "ossEpoch",
                         (json_int_t)frame.settled.oss_epoch, "verdict",
                         verdicts[frame.settled.verdict]);
    case TRI_FRAME_HEARTBEAT:
        return json_pack("{s:I}", "lagSeconds", (json_int_t)frame.heartbeat_lag_s);
    case TRI_FRAME_SEQUENCER:
        return json_pack("{s:b}", "up", frame.is_sequencer_up);
    case TRI_FRAME_FINALITY_GET:
        return json_object();
    default:
        return rows_view();
    }
}

/* The frame as the vectors show it. */
static json_t *frame_view(void)
{
    return frame.type < TRI_FRAME_SUBMIT        ? session_view()
           : frame.type < TRI_FRAME_PHASE       ? client_view()
           : frame.type < TRI_FRAME_PENDING_GET ? round_view()
                                                : finality_view();
}

static json_t *load(void)
{
    const char *source = getenv("TRI_SOURCE_DIR");
    json_error_t error;
    char path[4096];
    json_t *vectors;

    (void)snprintf(path, sizeof path, "%s/tests/vectors/wire.json", source == NULL ? "." : source);
    vectors = json_load_file(path, 0, &error);
    cr_assert_not_null(vectors, "%s: %s", path, error.text);
    return vectors;
}

static const char *string_of(const json_t *vector, const char *key)
{
    const char *value = json_string_value(json_object_get(vector, key));

    cr_assert_not_null(value, "a vector lacks %s", key);
    return value;
}

/* Hexadecimal to a heap block of exactly that size; freed by the caller. */
static uint8_t *bytes_of(const json_t *vector, const char *key, uint32_t *bytes)
{
    const char *digits = string_of(vector, key);
    size_t count = strlen(digits) / 2;
    uint8_t *to = malloc(count);

    for (size_t i = 0; i < count; i++) {
        const char pair[] = {digits[2 * i], digits[2 * i + 1], '\0'};

        to[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    *bytes = (uint32_t)count;
    return to;
}

static bool is_shape_only(void)
{
    return frame.type == TRI_FRAME_WATCH ||
           (frame.type >= TRI_FRAME_STATS_GET && frame.type <= TRI_FRAME_LEDGER);
}

/* What the encoder makes of the decoded fields, without the trailing elements. */
static void check_encoded(const char *name, const uint8_t *body, uint32_t bytes, bool has_trailing)
{
    static uint8_t to[TRI_FRAME_BYTES_MAX + TRI_FRAME_HEADER_BYTES];
    msgpack_sbuffer buffer;
    uint32_t written;

    tri_oracle_strip(&frame);
    written = tri_wire_encode(&frame, to, sizeof to) - TRI_FRAME_HEADER_BYTES;
    msgpack_sbuffer_init(&buffer);
    tri_oracle_pack(&frame, &buffer);
    cr_assert(buffer.size == written && memcmp(buffer.data, to + 4, written) == 0, "%s", name);
    msgpack_sbuffer_destroy(&buffer);
    cr_assert_eq(to[2] << 8 | to[3], (int)written, "%s", name);
    if (has_trailing) {
        cr_assert(written < bytes && memcmp(to + 5, body + 1, written - 1) == 0, "%s", name);
    } else {
        cr_assert(written == bytes && memcmp(to + 4, body, bytes) == 0, "%s", name);
    }
}

Test(wire_vectors, valid_frames_mean_what_the_vector_says)
{
    json_t *vectors = load();
    size_t valid_count = 0;
    json_t *vector;
    size_t i;

    json_array_foreach(vectors, i, vector)
    {
        const char *name = string_of(vector, "name");
        uint32_t bytes;
        uint8_t *body;

        if (json_object_get(vector, "frame") == NULL) {
            continue;
        }
        valid_count++;
        body = bytes_of(vector, "hex", &bytes);
        cr_assert(tri_wire_decode(body, bytes, &frame, &fault) == TRI_OK, "%s: %s at %u", name,
                  fault.field, fault.at);
        cr_assert(tri_oracle_sees(body, bytes), "%s", name);
        if (is_shape_only()) {
            cr_assert_eq(frame.rest.at + frame.rest.bytes, body + bytes);
        } else {
            json_t *view = frame_view();

            cr_assert(json_equal(view, json_object_get(vector, "frame")), "%s is read as %s", name,
                      json_dumps(view, 0));
            json_decref(view);
            check_encoded(name, body, bytes, json_object_get(vector, "trailing") != NULL);
        }
        free(body);
    }
    cr_assert_eq(valid_count, 67);
    json_decref(vectors);
}

Test(wire_vectors, refused_frames_name_code_offset_and_field)
{
    json_t *vectors = load();
    size_t refused_count = 0;
    json_t *vector;
    size_t i;

    json_array_foreach(vectors, i, vector)
    {
        const char *name = string_of(vector, "name");
        uint32_t bytes;
        uint8_t *body;

        if (json_object_get(vector, "frame") != NULL) {
            continue;
        }
        refused_count++;
        body = bytes_of(vector, "hex", &bytes);
        cr_assert(tri_wire_decode(body, bytes, &frame, &fault) == TRI_VIOLATION, "%s", name);
        cr_expect_str_eq(tri_error_name(fault.code), string_of(vector, "code"), "%s", name);
        cr_expect_str_eq(fault.field, string_of(vector, "field"), "%s", name);
        cr_expect_eq(fault.at, json_integer_value(json_object_get(vector, "at")), "%s: at %u", name,
                     fault.at);
        free(body);
    }
    cr_assert_eq(refused_count, 260);
    json_decref(vectors);
}

/* HMAC over label with its zero byte, nonces, and the proved bytes. */
static void check_mac(const json_t *vector, const char *label, struct tri_bytes peer_nonce,
                      struct tri_bytes server_nonce, struct tri_bytes proved, struct tri_bytes mac)
{
    const uint8_t *runs[] = {(const uint8_t *)label, peer_nonce.at, server_nonce.at, proved.at};
    const size_t sizes[] = {strlen(label) + 1, peer_nonce.bytes, server_nonce.bytes, proved.bytes};
    uint8_t message[512];
    uint8_t expected[TRI_MAC_BYTES];
    uint32_t secret_bytes;
    uint8_t *secret = bytes_of(vector, "secret", &secret_bytes);
    size_t used = 0;

    for (size_t i = 0; i < 4; i++) {
        if (sizes[i] != 0) {
            memcpy(message + used, runs[i], sizes[i]);
        }
        used += sizes[i];
    }
    cr_assert_not_null(
        HMAC(EVP_sha256(), secret, (int)secret_bytes, message, used, expected, NULL));
    cr_assert_eq(mac.bytes, TRI_MAC_BYTES);
    cr_assert_eq(memcmp(mac.at, expected, TRI_MAC_BYTES), 0);
    free(secret);
}

Test(wire_vectors, macs_cover_the_proved_bytes)
{
    json_t *vectors = load();
    uint32_t checked = 0;
    json_t *vector;
    size_t i;

    json_array_foreach(vectors, i, vector)
    {
        struct tri_bytes server_nonce = {NULL, 0};
        struct tri_bytes peer_nonce = {NULL, 0};
        uint8_t *server;
        uint8_t *peer = NULL;
        uint32_t bytes;
        uint8_t *body;

        if (json_object_get(vector, "secret") == NULL) {
            continue;
        }
        body = bytes_of(vector, "hex", &bytes);
        cr_assert_eq(tri_wire_decode(body, bytes, &frame, &fault), TRI_OK);
        server_nonce.at = server = bytes_of(vector, "serverNonce", &server_nonce.bytes);
        if (frame.type == TRI_FRAME_HELLO) {
            check_mac(vector, "tricast hello", peer_nonce, server_nonce, frame.hello.proved,
                      frame.hello.mac);
        } else {
            peer_nonce.at = peer = bytes_of(vector, "peerNonce", &peer_nonce.bytes);
            check_mac(vector, "tricast welcome", peer_nonce, server_nonce, frame.welcome.proved,
                      frame.welcome.mac);
        }
        checked++;
        free(peer);
        free(server);
        free(body);
    }
    cr_assert_eq(checked, 2);
    json_decref(vectors);
}

Test(wire_vectors, R02_content_hash_covers_the_canonical_bytes)
{
    json_t *vectors = load();
    uint32_t checked = 0;
    json_t *vector;
    size_t i;

    json_array_foreach(vectors, i, vector)
    {
        uint8_t digest[SHA256_DIGEST_LENGTH];
        struct tri_bytes content;
        uint32_t hash_bytes;
        uint8_t *hash;
        uint32_t bytes;
        uint8_t *body;

        if (json_object_get(vector, "contentHash") == NULL) {
            continue;
        }
        body = bytes_of(vector, "hex", &bytes);
        hash = bytes_of(vector, "contentHash", &hash_bytes);
        cr_assert_eq(tri_wire_decode(body, bytes, &frame, &fault), TRI_OK);
        content =
            frame.type == TRI_FRAME_ENVELOPE ? frame.envelope.content : frame.submit.canonical;
        (void)SHA256(content.at, content.bytes, digest);
        cr_assert_eq(hash_bytes, 16);
        cr_assert_eq(memcmp(hash, digest, 16), 0);
        checked++;
        free(hash);
        free(body);
    }
    cr_assert_eq(checked, 5);
    json_decref(vectors);
}
