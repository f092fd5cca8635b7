/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of fixed layout are views of their structs.  STATS and LEDGER have no
 * struct: the cursor has checked their shape (depth, counts, lengths), so
 * msgpack-c may build its tree from the bytes, and every type is tested here.
 */
#include "io/json_view.h"

#include <assert.h>
#include <string.h>

#include <msgpack.h>

#include "engine/ledger.h"
#include "io/clock.h"

static json_t *view_text(struct tri_text text)
{
    return json_stringn(text.bytes > 0U ? text.at : "", text.bytes);
}

static json_t *view_time(uint64_t unix_ms)
{
    char text[TRI_CLOCK_TEXT_BYTES];

    tri_clock_text(unix_ms, text);
    return json_string(text);
}

static json_t *view_error(enum tri_error code)
{
    return code == TRI_ERROR_NONE ? json_null() : json_string(tri_error_name(code));
}

static json_t *view_attempt(tri_attempt attempt)
{
    if (attempt == 0U) {
        return json_null();
    }
    return json_pack("{s:I, s:I}", "epoch", (json_int_t)TRI_ATTEMPT_EPOCH(attempt), "n",
                     (json_int_t)TRI_ATTEMPT_N(attempt));
}

static json_t *view_texts(const struct tri_text *texts, uint32_t count)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++) {
        (void)json_array_append_new(list, view_text(texts[i]));
    }
    return list;
}

static json_t *view_targets(const struct tri_target_report *targets, uint32_t count,
                            bool has_tokens)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++) {
        json_t *target = json_pack("{s:o, s:s, s:o}", "chainId", view_text(targets[i].chain),
                                   "state", tri_target_state_name(targets[i].state), "errorCode",
                                   view_error(targets[i].code));

        if (has_tokens) {
            struct tri_text tokens[TRI_TOKENS_MAX];
            uint32_t token_count = tri_tokens_get(targets[i].tokens, tokens);

            (void)json_object_set_new(target, "reservedResources", view_texts(tokens, token_count));
        }
        (void)json_array_append_new(list, target);
    }
    return list;
}

json_t *tri_json_ack(const struct tri_ack *ack)
{
    json_t *view;

    assert(ack != NULL);
    view = json_pack("{s:s, s:o, s:s, s:o, s:b, s:o, s:o}", "view", "ACK", "originalMessageId",
                     view_text(ack->id), "ackType", tri_ack_type_name(ack->type), "errorCode",
                     view_error(ack->code), "duplicate", (int)ack->duplicate, "attempt",
                     view_attempt(ack->attempt), "targets",
                     view_targets(ack->targets, ack->target_count, false));
    if (view != NULL && ack->code != TRI_ERROR_NONE) {
        (void)json_object_set_new(view, "errorMeaning", json_string(tri_error_meaning(ack->code)));
    }
    return view;
}

json_t *tri_json_envelope_ack(const struct tri_envelope_ack *ack)
{
    json_t *deliveries = json_array();
    json_t *view;

    assert(ack != NULL);
    for (uint32_t i = 0; i < ack->count; i++) {
        (void)json_array_append_new(deliveries,
                                    json_pack("{s:o, s:s, s:o}", "originalMessageId",
                                              view_text(ack->rows[i].id), "ackType",
                                              tri_ack_type_name(ack->rows[i].type), "errorCode",
                                              view_error(ack->rows[i].code)));
    }
    view = json_pack("{s:s, s:o, s:s, s:o, s:b, s:o}", "view", "ENVELOPE_ACK", "envelopeId",
                     view_text(ack->id), "ackType", tri_ack_type_name(ack->type), "errorCode",
                     view_error(ack->code), "duplicate", (int)ack->duplicate, "deliveries",
                     deliveries);
    if (view != NULL && ack->code != TRI_ERROR_NONE) {
        (void)json_object_set_new(view, "errorMeaning", json_string(tri_error_meaning(ack->code)));
    }
    return view;
}

json_t *tri_json_notice(const struct tri_notice *notice)
{
    json_t *stream = notice->stream.bytes == 0 ? json_null() : view_text(notice->stream);
    json_t *epoch =
        notice->oss_epoch == 0 ? json_null() : json_integer((json_int_t)notice->oss_epoch);

    assert(notice != NULL);
    /* No prover is attached, and every view says so (F01). */
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:n}", "view", "NOTICE",
                     "originalMessageId", view_text(notice->id), "attempt",
                     view_attempt(notice->attempt), "issuedAt", view_time(notice->issued_at_ms),
                     "participatingChains", view_texts(notice->chains, notice->chain_count),
                     "stream", stream, "ossEpoch", epoch, "gkrProofHash");
}

json_t *tri_json_status(const struct tri_status *status)
{
    assert(status != NULL);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:I, s:s, s:s, s:s, s:s, s:I, s:b, s:o}", "view",
                     "STATUS", "originalMessageId", view_text(status->id), "state",
                     view_text(status->state), "errorCode", view_error(status->code), "attempt",
                     view_attempt(status->attempt), "retries", (json_int_t)status->retries,
                     "declaredScope", tri_scope_name(status->scope_declared), "targetScope",
                     tri_scope_name(status->scope), "declaredAtomicity",
                     tri_atomicity_name(status->atomicity_declared), "atomicity",
                     tri_atomicity_name(status->atomicity), "mapVersion",
                     (json_int_t)status->map_version, "forced", (int)status->is_forced, "targets",
                     view_targets(status->targets, status->target_count, true));
}

json_t *tri_json_event(const struct tri_event_frame *event)
{
    assert(event != NULL);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "view", "EVENT", "at",
                     view_time(event->at_ms), "originalMessageId", view_text(event->id), "what",
                     view_text(event->what), "attempt", view_attempt(event->attempt), "chains",
                     view_texts(event->chains, event->chain_count), "errorCode",
                     view_error(event->code), "missed", (json_int_t)event->missed);
}

json_t *tri_json_error(const struct tri_error_frame *error)
{
    assert(error != NULL);
    return json_pack("{s:s, s:o, s:o, s:s, s:o}", "view", "ERROR", "originalMessageId",
                     error->id.bytes > 0U ? view_text(error->id) : json_null(), "errorCode",
                     view_error(error->code), "errorMeaning", tri_error_meaning(error->code),
                     "detail", view_text(error->detail));
}

static bool is_text(const msgpack_object *object)
{
    return object->type == MSGPACK_OBJECT_STR;
}

static bool is_count(const msgpack_object *object)
{
    return object->type == MSGPACK_OBJECT_POSITIVE_INTEGER;
}

static json_t *object_text(const msgpack_object *object)
{
    return view_text((struct tri_text){object->via.str.ptr, object->via.str.size});
}

/* One counter [name, unit, help, [value per shard...]]; NULL if it is none. */
static json_t *stats_counter(const msgpack_object *object)
{
    const msgpack_object *part;
    json_t *per_shard;
    uint64_t total = 0;

    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size < 4U) {
        return NULL;
    }
    part = object->via.array.ptr;
    if (!is_text(&part[0]) || !is_text(&part[1]) || !is_text(&part[2]) ||
        part[3].type != MSGPACK_OBJECT_ARRAY) {
        return NULL;
    }
    per_shard = json_array();
    for (uint32_t i = 0; i < part[3].via.array.size; i++) {
        const msgpack_object *value = &part[3].via.array.ptr[i];

        if (!is_count(value)) {
            json_decref(per_shard);
            return NULL;
        }
        total += value->via.u64;
        (void)json_array_append_new(per_shard, json_integer((json_int_t)value->via.u64));
    }
    return json_pack("{s:o, s:o, s:o, s:I, s:o}", "name", object_text(&part[0]), "unit",
                     object_text(&part[1]), "help", object_text(&part[2]), "total",
                     (json_int_t)total, "perShard", per_shard);
}

json_t *tri_json_stats(struct tri_bytes rest)
{
    msgpack_unpacked tree;
    json_t *counters = NULL;
    size_t at = 0;

    msgpack_unpacked_init(&tree);
    if (msgpack_unpack_next(&tree, (const char *)rest.at, rest.bytes, &at) ==
            MSGPACK_UNPACK_SUCCESS &&
        tree.data.type == MSGPACK_OBJECT_ARRAY) {
        counters = json_array();
        for (uint32_t i = 0; i < tree.data.via.array.size && counters != NULL; i++) {
            json_t *counter = stats_counter(&tree.data.via.array.ptr[i]);

            if (counter == NULL || json_array_append_new(counters, counter) != 0) {
                json_decref(counters);
                counters = NULL;
            }
        }
    }
    msgpack_unpacked_destroy(&tree);
    return counters == NULL ? NULL : json_pack("{s:s, s:o}", "view", "STATS", "counters", counters);
}

/* Appends the assets [[assetId, state, secondary, version, reservedBy]...] of a page. */
static bool ledger_assets(json_t *assets, const msgpack_object *list)
{
    for (uint32_t i = 0; i < list->via.array.size; i++) {
        const msgpack_object *row = &list->via.array.ptr[i];
        const msgpack_object *part;
        json_t *asset;

        if (row->type != MSGPACK_OBJECT_ARRAY || row->via.array.size < 5U) {
            return false;
        }
        part = row->via.array.ptr;
        if (!is_text(&part[0]) || !is_count(&part[1]) || !is_count(&part[2]) ||
            !is_count(&part[3]) || !is_text(&part[4]) || part[1].via.u64 >= TRI_LOCK_STATE_COUNT ||
            part[2].via.u64 >= TRI_SECONDARY_COUNT) {
            return false;
        }
        asset = json_pack(
            "{s:o, s:s, s:s, s:I, s:o}", "assetId", object_text(&part[0]), "primaryLockState",
            tri_lock_state_name((enum tri_lock_state)part[1].via.u64), "secondaryState",
            tri_secondary_state_name((enum tri_secondary_state)part[2].via.u64), "version",
            (json_int_t)part[3].via.u64, "reservedBy",
            part[4].via.str.size > 0U ? object_text(&part[4]) : json_null());
        if (asset == NULL || json_array_append_new(assets, asset) != 0) {
            return false;
        }
    }
    return true;
}

/* Sets the counters [[name, value]...] of a page; the last page's stay.  "instance" stands above.
 */
static bool ledger_counters(json_t *view, const msgpack_object *list)
{
    json_t *counters = json_object_get(view, "counters");

    for (uint32_t i = 0; i < list->via.array.size; i++) {
        const msgpack_object *row = &list->via.array.ptr[i];
        char name[64];

        if (row->type != MSGPACK_OBJECT_ARRAY || row->via.array.size < 2U ||
            !is_text(&row->via.array.ptr[0]) || !is_count(&row->via.array.ptr[1]) ||
            row->via.array.ptr[0].via.str.size == 0U ||
            row->via.array.ptr[0].via.str.size >= sizeof(name)) {
            return false;
        }
        memcpy(name, row->via.array.ptr[0].via.str.ptr, row->via.array.ptr[0].via.str.size);
        name[row->via.array.ptr[0].via.str.size] = '\0';
        (void)json_object_set_new(strcmp(name, "instance") == 0 ? view : counters, name,
                                  json_integer((json_int_t)row->via.array.ptr[1].via.u64));
    }
    return true;
}

/* Adds the page's elements [chain, more, assets, counters] to the view. */
static bool ledger_page(json_t *view, const msgpack_object part[4], bool *more)
{
    json_t *chain;

    if (!is_text(&part[0]) || part[1].type != MSGPACK_OBJECT_BOOLEAN ||
        part[2].type != MSGPACK_OBJECT_ARRAY || part[3].type != MSGPACK_OBJECT_ARRAY) {
        return false;
    }
    chain = object_text(&part[0]);
    if (json_is_null(json_object_get(view, "chainId"))) {
        (void)json_object_set(view, "chainId", chain);
    }
    if (chain == NULL || json_equal(chain, json_object_get(view, "chainId")) == 0) {
        json_decref(chain);
        return false;
    }
    json_decref(chain);
    *more = part[1].via.boolean;
    return ledger_assets(json_object_get(view, "assets"), &part[2]) &&
           ledger_counters(view, &part[3]);
}

json_t *tri_json_ledger(json_t *view, struct tri_bytes rest, bool *more)
{
    msgpack_unpacked trees[4];
    msgpack_object parts[4];
    size_t at = 0;
    bool ok = true;

    assert(more != NULL);
    *more = false;
    if (view == NULL) {
        view = json_pack("{s:s, s:n, s:n, s:[], s:{}}", "view", "LEDGER", "chainId", "instance",
                         "assets", "counters");
        ok = view != NULL;
    }
    for (uint32_t i = 0; i < 4U; i++) {
        msgpack_unpacked_init(&trees[i]);
        ok = ok && msgpack_unpack_next(&trees[i], (const char *)rest.at, rest.bytes, &at) ==
                       MSGPACK_UNPACK_SUCCESS;
        parts[i] = trees[i].data;
    }
    ok = ok && ledger_page(view, parts, more);
    for (uint32_t i = 0; i < 4U; i++) {
        msgpack_unpacked_destroy(&trees[i]);
    }
    if (!ok) {
        json_decref(view);
        return NULL;
    }
    return view;
}
