/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/park.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/wire.h"

#define UNHEARD_MAX 8192U /* messages on their way */

const char *const park_chain_ids[PARK_CHAINS] = {"eip155:137", "eip155:43114", "eip155:56"};
const char park_chains[] = ", {id: \"eip155:137\"}, {id: \"eip155:43114\"}, {id: \"eip155:56\"}";

double park_proc_bytes(pid_t pid, const char *file_name, const char *name)
{
    char line[256];
    double kib = 0;
    FILE *file = NULL;

    (void)snprintf(line, sizeof(line), "/proc/%d/%s", (int)pid, file_name);
    file = fopen(line, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            kib = strtod(line + strlen(name), NULL);
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return kib * 1024.0;
}

double park_resident(pid_t pid)
{
    return park_proc_bytes(pid, "status", "VmRSS:");
}

uint32_t park_frame(const struct park *park, uint32_t timeout_ms, uint8_t *to)
{
    static const uint8_t payload[PARK_PAYLOAD_BYTES];
    struct tri_frame frame = {.type = TRI_FRAME_SUBMIT};
    struct timespec wall;
    char id[64];

    (void)snprintf(id, sizeof(id), "%08llu-5f1d-4e0a-9000-parked000000",
                   (unsigned long long)park->next);
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    frame.submit = (struct tri_message){.id = {id, 36},
                                        .type = park->type,
                                        .priority = TRI_PRIORITY_NORMAL,
                                        .atomicity = TRI_GUARANTEED,
                                        .ttl_s = park->ttl_s,
                                        .timestamp_ms = (uint64_t)wall.tv_sec * 1000U,
                                        .source_chain = {"eip155:1", 8},
                                        .source_node = {"node-1", 6},
                                        .target_count = PARK_CHAINS,
                                        .asset_count = 1,
                                        .assets = {{"00000000-0000-4000-8000-000000000000", 36}},
                                        .timeout_ms = {timeout_ms, 0, 0},
                                        .payload = {payload, sizeof(payload)}};
    for (uint32_t i = 0; i < PARK_CHAINS; i++) {
        frame.submit.targets[i] =
            (struct tri_text){park_chain_ids[i], (uint32_t)strlen(park_chain_ids[i])};
    }
    return tri_wire_encode(&frame, to, STAGE_FRAME_BYTES);
}

void park_take(struct park *park)
{
    const struct tri_frame *frame = &park->client.frame;

    if (frame->type != TRI_FRAME_ACK) {
        return;
    }
    if (frame->ack.type == TRI_ACK_RECEIVED) {
        park->heard++;
        return;
    }
    park->code = frame->ack.code;
    if (frame->ack.type == TRI_ACK_REJECTED) {
        park->refused++;
    } else {
        park->ended++;
    }
}

bool park_receive(struct park *park, uint64_t deadline_ns)
{
    if (tri_client_receive(&park->client, deadline_ns) != 0) {
        (void)fprintf(stderr, "tricast-bench: %llu parked, %llu ended: %s\n",
                      (unsigned long long)park->heard, (unsigned long long)park->ended,
                      park->client.trouble);
        return false;
    }
    park_take(park);
    return true;
}

bool park_open(struct park *park, const struct stage *stage, uint32_t count, uint32_t timeout_ms)
{
    static const struct tri_secret no_secret;
    uint64_t deadline_ns = bench_now_ns() + UINT64_C(120000000000);
    struct tri_client_options options = {.role = TRI_ROLE_CLIENT,
                                         .identity = {"park", 4},
                                         .secret = &no_secret,
                                         .timeout_ms = 10000};
    char server[32];

    (void)snprintf(server, sizeof(server), "127.0.0.1:%u", stage->port);
    tri_flags_address("tricast-bench", "server", server, &options.server);
    if (tri_client_open(&park->client, &options) != 0) {
        (void)fprintf(stderr, "tricast-bench: %s\n", park->client.trouble);
        return false;
    }
    while (park->heard + park->refused < count) {
        while (park->next < count && park->next - park->heard < UNHEARD_MAX) {
            struct tri_writer writer = tri_line_room(&park->client.line, STAGE_FRAME_BYTES);
            uint8_t frame[STAGE_FRAME_BYTES];

            if (writer.at == NULL) {
                break;
            }
            tri_put_raw(&writer, frame, park_frame(park, timeout_ms, frame));
            tri_line_put(&park->client.line, &writer);
            park->next++;
        }
        if (!park_receive(park, deadline_ns)) {
            return false;
        }
    }
    if (park->refused > 0 || park->ended > 0) {
        (void)fprintf(stderr, "tricast-bench: %llu messages refused, %llu ended too early: %s\n",
                      (unsigned long long)park->refused, (unsigned long long)park->ended,
                      tri_error_name(park->code));
        return false;
    }
    return true;
}
