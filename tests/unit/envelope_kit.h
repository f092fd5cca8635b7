/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bench with a journal and a pool of four envelopes (F07).
 *
 * The deliveries are not driven here: a test says what became of them, as the runtime does.
 */
#ifndef TRI_TESTS_ENVELOPE_KIT_H
#define TRI_TESTS_ENVELOPE_KIT_H

#include "tests/unit/restore_kit.h"

static struct kit kit;
static uint32_t ttl_s; /* of the deliveries */

static inline void open_bench(void)
{
    kit_options(&kit);
    ttl_s = 60;
    kit.options.envelopes_max = 4;
    kit_start(&kit);
    kit.on_append = kept_keep;
    kept_count = 0;
    for (uint16_t i = 0; i < KEPT_CHAINS; i++) {
        kept_chains[i] = i;
    }
}

static inline void close_bench(void)
{
    kept_close(&kit);
}

/* Submits an envelope of `count` deliveries "ID.n" by `client`. */
static inline enum tri_result submit(const char *id, uint32_t count, uint64_t client,
                                     const char *payload)
{
    static uint8_t bytes[TRI_ENVELOPE_MAX][1024];
    static char ids[TRI_ENVELOPE_MAX][TRI_ID_BYTES_MAX];
    struct tri_envelope_part parts[TRI_ENVELOPE_MAX];
    struct tri_event event = {.type = TRI_EVENT_ENVELOPE};
    uint64_t sum = 14695981039346656037U;

    for (uint32_t i = 0; i < count; i++) {
        struct tri_writer writer = {.at = bytes[i], .end = bytes[i] + sizeof(bytes[i])};
        struct tri_message message = kit_message(ids[i], TRI_GUARANTEED);

        (void)snprintf(ids[i], sizeof(ids[i]), "%s.%u", id, i + 1);
        message.id = kit_text(ids[i]);
        message.ttl_s = ttl_s;
        message.payload = (struct tri_bytes){(const uint8_t *)payload, (uint32_t)strlen(payload)};
        message.envelope =
            (struct tri_envelope){.is_given = true, .id = kit_text(id), .n = i + 1, .m = count};
        parts[i].id = message.id;
        parts[i].canonical.at = tri_wire_put_submit(&writer, &message);
        parts[i].canonical.bytes = (uint32_t)(writer.at - parts[i].canonical.at);
        for (uint32_t k = 0; k < parts[i].canonical.bytes; k++) {
            sum = (sum ^ parts[i].canonical.at[k]) * 1099511628211U;
        }
    }
    memcpy(event.envelope.hash.at, &sum, sizeof(sum));
    event.envelope.key = kit_key(kit_text(id));
    event.envelope.id = kit_text(id);
    event.envelope.deliveries = parts;
    event.envelope.count = count;
    event.envelope.client = client;
    event.envelope.submitter = kit.submitter;
    return kit_step(&kit, &event);
}

static inline struct tri_event news_of(uint32_t slot, uint32_t generation, uint32_t position)
{
    struct tri_event event = {.type = TRI_EVENT_DELIVERY};

    event.delivery.slot = slot;
    event.delivery.generation = generation;
    event.delivery.position = position;
    return event;
}

static inline enum tri_result recorded(uint32_t generation, uint32_t position)
{
    struct tri_event event = news_of(0, generation, position);

    event.delivery.is_recorded = true;
    return kit_step(&kit, &event);
}

static inline enum tri_result ended(uint32_t generation, uint32_t position, enum tri_ack_type type,
                                    enum tri_error code)
{
    struct tri_event event = news_of(0, generation, position);

    event.delivery.type = type;
    event.delivery.code = code;
    return kit_step(&kit, &event);
}

/* The server has refused it at admission. */
static inline enum tri_result refused(uint32_t generation, uint32_t position, enum tri_error code)
{
    struct tri_event event = news_of(0, generation, position);

    event.delivery.type = TRI_ACK_REJECTED;
    event.delivery.code = code;
    event.delivery.is_refusal = true;
    return kit_step(&kit, &event);
}

#define PROCESSED TRI_ACK_PROCESSED, TRI_ERROR_NONE
#define FAILED    TRI_ACK_FAILED, TRI_ERROR_MAX_RETRIES_EXCEEDED
#define REJECTED  TRI_ACK_REJECTED, TRI_ERROR_STALE

#endif
