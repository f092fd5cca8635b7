/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec of the round frames against msgpack-c on the same bytes.
 *
 * Estimate: a PHASE of 180 bytes has 18 elements; the cursor reads a byte of type for each and
 * skips what it does not look into: about 30 ns.  Encoding copies the message's own run and writes
 * the rest: about 20 ns.  msgpack-c builds an object tree in a zone (unpack), or writes element by
 * element through its packer.
 */
#include <assert.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "engine/wire.h"

#define FRAMES      64U
#define FRAME_BYTES 512U

/* Some frames of one kind that differ in id and attempt, so that no branch predictor learns one by
 * heart. */
struct corpus {
    const char *decode_name;
    const char *encode_name;
    uint32_t bytes[FRAMES]; /* with the length in front */
    uint8_t at[FRAMES][FRAME_BYTES];
    struct tri_frame frame[FRAMES]; /* decoded: what is encoded again */
};

static struct corpus phases = {.decode_name = "wire.decode_phase",
                               .encode_name = "wire.encode_phase"};
static struct corpus acks = {.decode_name = "wire.decode_phase_ack",
                             .encode_name = "wire.encode_phase_ack"};
static struct corpus submits = {.decode_name = "wire.decode_submit",
                                .encode_name = "wire.encode_submit"};

static struct tri_text text(const char *it)
{
    return (struct tri_text){it, (uint32_t)strlen(it)};
}

static const char *corpus_id(uint32_t i)
{
    static char id[37];

    (void)snprintf(id, sizeof(id), "%08x-5c1f-4b7e-9d3a-%012x", i * 2654435761U, i);
    return id;
}

static void corpus_add(struct corpus *corpus, uint32_t i, const struct tri_frame *frame)
{
    struct tri_wire_fault fault;

    corpus->bytes[i] = tri_wire_encode(frame, corpus->at[i], FRAME_BYTES);
    assert(corpus->bytes[i] > 0);
    if (tri_wire_decode(corpus->at[i] + 4, corpus->bytes[i] - 4, &corpus->frame[i], &fault) !=
        TRI_OK) {
        (void)fprintf(stderr, "tricast-bench: %s at byte %u\n", fault.field, fault.at);
        abort();
    }
}

static void corpora_init(void)
{
    static const uint8_t payload[64];
    static const uint8_t token[] = {0x91, 0xaa, '1', '-', '0', '0', '1', '2', '3', '4', '5', '6'};
    static const uint8_t none[] = {0x90};

    for (uint32_t i = 0; i < FRAMES; i++) {
        struct tri_frame frame = {.type = TRI_FRAME_PHASE};

        frame.phase = (struct tri_phase_frame){.id = text(corpus_id(i)),
                                               .phase = TRI_PHASE_COMMIT,
                                               .attempt = TRI_ATTEMPT(7, 1 + i % 3),
                                               .atomicity = TRI_GUARANTEED,
                                               .expires_at_ms = 1700000000000U + i,
                                               .type = TRI_TYPE_REGULATORY_ACTION,
                                               .asset_count = 1,
                                               .assets = {text("bond-0001")},
                                               .payload = {payload, sizeof(payload)},
                                               .tokens = {token, sizeof(token)}};
        corpus_add(&phases, i, &frame);
        frame = (struct tri_frame){.type = TRI_FRAME_PHASE_ACK};
        frame.phase_ack = (struct tri_phase_ack){
            .id = text(corpus_id(i)),
            .type = i % 2 == 0 ? TRI_ACK_PHASE_PREPARE_OK : TRI_ACK_PHASE_COMMIT_OK,
            .phase = i % 2 == 0 ? TRI_PHASE_PREPARE : TRI_PHASE_COMMIT,
            .attempt = TRI_ATTEMPT(7, 1 + i % 3),
            .chain = text("eip155:42161"),
            .tokens = {i % 2 == 0 ? token : none, i % 2 == 0 ? sizeof(token) : 1}};
        corpus_add(&acks, i, &frame);
        frame = (struct tri_frame){.type = TRI_FRAME_SUBMIT};
        frame.submit = (struct tri_message){
            .id = text(corpus_id(i)),
            .type = TRI_TYPE_REGULATORY_ACTION,
            .priority = TRI_PRIORITY_HIGH,
            .atomicity = TRI_ALL_OR_NOTHING,
            .ttl_s = 60,
            .timestamp_ms = 1700000000000U + i,
            .source_chain = text("eip155:1"),
            .source_node = text("node-1"),
            .target_count = 3,
            .targets = {text("eip155:8453"), text("eip155:42161"), text("eip155:10")},
            .asset_count = 1,
            .assets = {text("bond-0001")},
            .payload = {payload, sizeof(payload)}};
        corpus_add(&submits, i, &frame);
    }
}

/* ---- one sample each: nanoseconds per frame; `sum` proves that the work was done ---- */

static double sample_decode(const struct corpus *corpus, uint32_t turns, uint64_t *sum)
{
    static struct tri_frame frame;
    uint64_t start_ns = bench_now_ns();

    for (uint32_t turn = 0; turn < turns; turn++) {
        for (uint32_t i = 0; i < FRAMES; i++) {
            struct tri_wire_fault fault;

            *sum +=
                (uint64_t)tri_wire_decode(corpus->at[i] + 4, corpus->bytes[i] - 4, &frame, &fault);
            *sum += (uint64_t)frame.type + corpus->bytes[i];
        }
    }
    return (double)(bench_now_ns() - start_ns) / turns / FRAMES;
}

static double sample_msgpack_decode(const struct corpus *corpus, uint32_t turns, uint64_t *sum)
{
    msgpack_zone zone;
    uint64_t start_ns = bench_now_ns();

    if (!msgpack_zone_init(&zone, 4096)) {
        abort();
    }
    for (uint32_t turn = 0; turn < turns; turn++) {
        for (uint32_t i = 0; i < FRAMES; i++) {
            msgpack_object object;
            size_t offset = 0;

            (void)msgpack_unpack((const char *)corpus->at[i] + 4, corpus->bytes[i] - 4, &offset,
                                 &zone, &object);
            *sum += object.via.array.ptr[0].via.u64 + corpus->bytes[i];
            msgpack_zone_clear(&zone);
        }
    }
    start_ns = bench_now_ns() - start_ns;
    msgpack_zone_destroy(&zone);
    return (double)start_ns / turns / FRAMES;
}

static double sample_encode(const struct corpus *corpus, uint32_t turns, uint64_t *sum)
{
    static uint8_t to[FRAME_BYTES];
    uint64_t start_ns = bench_now_ns();

    for (uint32_t turn = 0; turn < turns; turn++) {
        for (uint32_t i = 0; i < FRAMES; i++) {
            *sum += tri_wire_encode(&corpus->frame[i], to, sizeof(to));
        }
    }
    return (double)(bench_now_ns() - start_ns) / turns / FRAMES;
}

/* The same elements again through msgpack-c's packer, from its own object trees. */
static double sample_msgpack_encode(const struct corpus *corpus, uint32_t turns, uint64_t *sum)
{
    static msgpack_object objects[FRAMES];
    msgpack_zone zone;
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    uint64_t start_ns;

    if (!msgpack_zone_init(&zone, 65536)) {
        abort();
    }
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    for (uint32_t i = 0; i < FRAMES; i++) {
        size_t offset = 0;

        (void)msgpack_unpack((const char *)corpus->at[i] + 4, corpus->bytes[i] - 4, &offset, &zone,
                             &objects[i]);
    }
    start_ns = bench_now_ns();
    for (uint32_t turn = 0; turn < turns; turn++) {
        for (uint32_t i = 0; i < FRAMES; i++) {
            msgpack_sbuffer_clear(&buffer);
            (void)msgpack_pack_object(&packer, objects[i]);
            *sum += buffer.size + 4;
        }
    }
    start_ns = bench_now_ns() - start_ns;
    msgpack_sbuffer_destroy(&buffer);
    msgpack_zone_destroy(&zone);
    return (double)start_ns / turns / FRAMES;
}

int bench_wire(const struct bench_run *run)
{
    struct corpus *const all[] = {&phases, &acks, &submits};
    uint32_t turns = run->is_smoke ? 100 : 20000;

    bench_pin(0);
    corpora_init();
    for (uint32_t c = 0; c < 3; c++) {
        struct bench_series decode = {0};
        struct bench_series decode_base = {0};
        struct bench_series encode = {0};
        struct bench_series encode_base = {0};
        uint64_t sums[4] = {0};

        for (uint32_t i = 0; i <= run->sample_count; i++) {
            double ours = sample_decode(all[c], turns, &sums[0]);
            double theirs = sample_msgpack_decode(all[c], turns, &sums[1]);
            double our_encode = sample_encode(all[c], turns, &sums[2]);
            double their_encode = sample_msgpack_encode(all[c], turns, &sums[3]);

            if (i > 0) {
                bench_add(&decode, ours);
                bench_add(&decode_base, theirs);
                bench_add(&encode, our_encode);
                bench_add(&encode_base, their_encode);
            }
        }
        if (sums[0] != sums[1] || sums[2] != sums[3]) {
            (void)fprintf(stderr, "tricast-bench: %s: the two codecs did different work\n",
                          all[c]->decode_name);
            return 1;
        }
        bench_report(all[c]->decode_name, &decode, "ns/frame", BENCH_LOWER,
                     "msgpack_unpack into a zone", &decode_base);
        bench_report(all[c]->encode_name, &encode, "ns/frame", BENCH_LOWER, "msgpack_packer",
                     &encode_base);
        bench_note("frames of %u bytes, work %016llx", all[c]->bytes[1],
                   (unsigned long long)sums[0]);
    }
    return 0;
}
