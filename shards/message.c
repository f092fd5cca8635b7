/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message made ready for the engine: it is written and read back.  The reader
 * is what knows every rule of a message (engine/wire_message.c), and what it
 * returns points into the bytes that were written, as the engine wants it.
 */
#include "shards/message.h"

#include <assert.h>

#include "engine/wire.h"
#include "shards/digest.h"
#include "tricast/keys.h"

/* What a message takes at most beside its texts and bytes: heads of arrays and of fields. */
#define FIELD_HEAD_BYTES_MAX 5U
#define FIXED_BYTES_MAX      256U

static_assert(TRI_MESSAGE_BYTES_MAX == TRI_FRAME_BYTES_MAX, "room for the longest message");

static bool text_fits(struct tri_text text, uint32_t bytes_max, uint32_t *sum)
{
    *sum += text.bytes + FIELD_HEAD_BYTES_MAX;
    return text.bytes <= bytes_max;
}

static bool list_fits(const struct tri_text *list, uint32_t count, uint32_t count_max,
                      uint32_t bytes_max, uint32_t *sum)
{
    if (count > count_max) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!text_fits(list[i], bytes_max, sum)) {
            return false;
        }
    }
    return true;
}

static const char *signature_fault(const struct tri_signature *signature, uint32_t *sum)
{
    if (!signature->is_given) {
        return NULL;
    }
    *sum += signature->bytes.bytes;
    if (signature->bytes.bytes > TRI_SIGNATURE_BYTES_MAX) {
        return "signature";
    }
    return text_fits(signature->signer_set, TRI_ID_BYTES_MAX, sum) ? NULL : "signerSet";
}

const char *tri_message_fault(const struct tri_message *message, uint32_t *bytes_max)
{
    uint32_t *sum = bytes_max;

    *sum = FIXED_BYTES_MAX + message->payload.bytes;
    if (!text_fits(message->id, TRI_ID_BYTES_MAX, sum)) {
        return "originalMessageId";
    }
    if (!text_fits(message->source_chain, TRI_CHAIN_ID_BYTES_MAX, sum)) {
        return "sourceChainId";
    }
    if (!text_fits(message->source_node, TRI_NODE_ID_BYTES_MAX, sum)) {
        return "sourceNodeId";
    }
    if (!list_fits(message->targets, message->target_count, TRI_TARGETS_MAX, TRI_CHAIN_ID_BYTES_MAX,
                   sum)) {
        return "targets";
    }
    if (!list_fits(message->assets, message->asset_count, TRI_ASSETS_MAX, TRI_ASSET_ID_BYTES_MAX,
                   sum)) {
        return "assets";
    }
    if (message->payload.bytes > TRI_PAYLOAD_BYTES_MAX) {
        return "payload";
    }
    if (message->envelope.is_given && !text_fits(message->envelope.id, TRI_ID_BYTES_MAX, sum)) {
        return "envelope";
    }
    return signature_fault(&message->signature, sum);
}

enum tri_result tri_message_encode(const struct tri_message *message, uint8_t *to,
                                   uint32_t bytes_max, struct tri_message *encoded,
                                   struct tri_hash *hash, const char **field)
{
    struct tri_writer writer = {.at = to, .end = to + bytes_max, .failed = false};
    struct tri_wire_fault fault;
    struct tri_frame frame;
    uint32_t wanted = 0;

    assert(to != NULL || bytes_max == 0);
    assert(encoded != NULL && hash != NULL && field != NULL);
    *field = tri_message_fault(message, &wanted);
    if (*field != NULL) {
        return TRI_VIOLATION;
    }
    (void)tri_wire_put_submit(&writer, message);
    if (writer.failed) {
        return TRI_FULL;
    }
    if (tri_wire_decode(to, (uint32_t)(writer.at - to), &frame, &fault) != TRI_OK) {
        *field = fault.field;
        return TRI_VIOLATION;
    }
    *encoded = frame.submit;
    *hash = tri_digest_content(encoded->canonical);
    return TRI_OK;
}
