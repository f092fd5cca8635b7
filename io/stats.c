/* SPDX-License-Identifier: Apache-2.0 */
#include "io/stats.h"

#include <assert.h>
#include <msgpack.h>
#include <string.h>

/* The tables of net and server, with the place of each value. */
struct stats_row {
    const char *name;
    const char *unit;
    const char *help;
    size_t offset;
};

static const struct stats_row stats_net_rows[] = {
#define STATS_ROW(name, unit, help) {#name, unit, help, offsetof(struct tri_net_counters, name)},
    TRI_NET_COUNTERS(STATS_ROW)
#undef STATS_ROW
};
static const struct stats_row stats_server_rows[] = {
#define STATS_ROW(name, unit, help) {#name, unit, help, offsetof(struct tri_server_counters, name)},
    TRI_SERVER_COUNTERS(STATS_ROW)
#undef STATS_ROW
};

#define STATS_NET_COUNT    (sizeof(stats_net_rows) / sizeof(stats_net_rows[0]))
#define STATS_SERVER_COUNT (sizeof(stats_server_rows) / sizeof(stats_server_rows[0]))
#define STATS_OWN_COUNT    (STATS_NET_COUNT + STATS_SERVER_COUNT)

static_assert(sizeof(struct tri_net_counters) == STATS_NET_COUNT * sizeof(uint64_t),
              "a counter without a row would never be shown");
static_assert(sizeof(struct tri_server_counters) == STATS_SERVER_COUNT * sizeof(uint64_t),
              "a counter without a row would never be shown");

static void stats_view(const struct stats_row *row, const void *counters,
                       struct tri_counter_view *view)
{
    const void *at = (const uint8_t *)counters + row->offset;

    *view = (struct tri_counter_view){
        .name = row->name,
        .unit = row->unit,
        .help = row->help,
        .value = atomic_load_explicit((const _Atomic uint64_t *)at, memory_order_relaxed),
    };
}

bool tri_stats_next(const struct tri_house *house, uint32_t shard, uint32_t *index,
                    struct tri_counter_view *view)
{
    const struct tri_server *server = house->servers[shard];
    uint32_t at = *index;

    assert(shard < house->shards);
    if (at < STATS_NET_COUNT) {
        stats_view(&stats_net_rows[at], tri_net_counters(tri_server_net(server)), view);
        *index = at + 1;
        return true;
    }
    if (at < STATS_OWN_COUNT) {
        stats_view(&stats_server_rows[at - STATS_NET_COUNT], tri_server_counters(server), view);
        *index = at + 1;
        return true;
    }
    at -= (uint32_t)STATS_OWN_COUNT;
    if (!tri_shard_set_counter_next(house->set, shard, &at, view)) {
        return false;
    }
    *index = at + (uint32_t)STATS_OWN_COUNT;
    return true;
}

/* The packer's sink: a bounded writer, so that nothing is allocated. */
static int stats_put(void *data, const char *bytes, size_t count)
{
    struct tri_writer *writer = data;

    tri_put_raw(writer, bytes, count);
    return writer->failed ? -1 : 0;
}

static void stats_put_text(msgpack_packer *packer, const char *text)
{
    size_t bytes = strlen(text);

    (void)msgpack_pack_str(packer, bytes);
    (void)msgpack_pack_str_body(packer, text, bytes);
}

static void stats_put_row(const struct tri_house *house, msgpack_packer *packer, uint32_t index,
                          const struct tri_counter_view *first)
{
    (void)msgpack_pack_array(packer, 4);
    stats_put_text(packer, first->name);
    stats_put_text(packer, first->unit);
    stats_put_text(packer, first->help);
    (void)msgpack_pack_array(packer, house->shards);
    for (uint32_t shard = 0; shard < house->shards; shard++) {
        struct tri_counter_view view = {0};
        uint32_t at = index;
        bool is_there = tri_stats_next(house, shard, &at, &view);

        assert(is_there && strcmp(view.name, first->name) == 0);
        (void)msgpack_pack_uint64(packer, view.value);
    }
}

uint32_t tri_stats_write(const struct tri_house *house, uint8_t *to, uint32_t bytes_max)
{
    struct tri_writer writer = {to, to + bytes_max, false};
    struct tri_counter_view view;
    msgpack_packer packer;
    uint32_t index = 0;
    uint32_t rows = 0;
    uint32_t body_bytes = 0;

    while (tri_stats_next(house, 0, &index, &view)) {
        rows++;
    }
    tri_put_raw(&writer, "\0\0\0\0", TRI_FRAME_HEADER_BYTES);
    msgpack_packer_init(&packer, &writer, stats_put);
    (void)msgpack_pack_array(&packer, 2);
    (void)msgpack_pack_uint8(&packer, TRI_FRAME_STATS);
    (void)msgpack_pack_array(&packer, rows);
    for (uint32_t row = 0, at = 0; row < rows; row++) {
        uint32_t here = at;
        bool is_there = tri_stats_next(house, 0, &at, &view);

        assert(is_there);
        stats_put_row(house, &packer, here, &view);
    }
    if (writer.failed) {
        return 0;
    }
    body_bytes = (uint32_t)(writer.at - to) - TRI_FRAME_HEADER_BYTES;
    for (uint32_t byte = 0; byte < TRI_FRAME_HEADER_BYTES; byte++) {
        to[byte] = (uint8_t)(body_bytes >> (24 - 8 * byte));
    }
    return (uint32_t)(writer.at - to);
}
