/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload of the bundled asset ledger: a map of three texts.  Its bytes
 * are opaque to the coordinator; a chain reads them.
 */
#include "engine/wire_cursor.h"

static const struct tri_text keys[] = {
    {"assetId", 7},
    {"action", 6},
    {"reason", 6},
};
#define KEY_COUNT             3U
#define ACTION_NAME_BYTES_MAX 32U

static bool key_is(struct tri_text key, uint32_t index)
{
    return tri_text_equals(key, keys[index]);
}

enum tri_result tri_action_decode(struct tri_bytes payload, struct tri_action_payload *action)
{
    struct tri_wire_fault fault;
    struct tri_cursor cursor = {payload.at, payload.at, payload.at + payload.bytes, &fault};
    struct tri_text key;
    uint32_t seen = 0;
    uint32_t i;
    bool is_read;

    assert(action != NULL);
    if (payload.bytes == 0 || cursor.at[0] != (0x80 | KEY_COUNT)) {
        return TRI_VIOLATION;
    }
    cursor.at++;
    for (i = 0; i < KEY_COUNT; i++) {
        if (!tri_get_text(&cursor, 1, TRI_ID_BYTES_MAX, &key, "key")) {
            return TRI_VIOLATION;
        }
        if (key_is(key, 0)) {
            is_read = tri_get_text(&cursor, 1, TRI_ASSET_ID_BYTES_MAX, &action->asset, "assetId");
            seen |= 1;
        } else if (key_is(key, 1)) {
            is_read = tri_get_text(&cursor, 1, ACTION_NAME_BYTES_MAX, &action->action, "action");
            seen |= 2;
        } else if (key_is(key, 2)) {
            is_read = tri_get_text(&cursor, 0, TRI_REASON_BYTES_MAX, &action->reason, "reason");
            seen |= 4;
        } else {
            return TRI_VIOLATION;
        }
        if (!is_read) {
            return TRI_VIOLATION;
        }
    }
    return seen == 7 && cursor.at == cursor.end ? TRI_OK : TRI_VIOLATION;
}

uint32_t tri_action_encode(const struct tri_action_payload *action, uint8_t *to, uint32_t bytes_max)
{
    static const uint8_t head = 0x80 | KEY_COUNT;
    struct tri_writer writer = {to, to + bytes_max, false};

    assert(action != NULL && to != NULL);
    tri_put_raw(&writer, &head, 1);
    tri_put_text(&writer, keys[0]);
    tri_put_text(&writer, action->asset);
    tri_put_text(&writer, keys[1]);
    tri_put_text(&writer, action->action);
    tri_put_text(&writer, keys[2]);
    tri_put_text(&writer, action->reason);
    return writer.failed ? 0 : (uint32_t)(writer.at - to);
}
