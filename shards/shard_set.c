/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shard set: the memory of all shards, carved from one piece.
 *
 * The same walk measures and formats: without memory it only adds up.  Every
 * part starts on a cache line of its own, so no two shards share one.
 */
#include <string.h>

#include "shards/handle.h"
#include "shards/local.h"
#include "shards/state.h"

/* Few shards get many blocks; with many, most pairs are quiet. */
#define BLOCKS_FEW_SHARDS  8U
#define BLOCKS_MANY_SHARDS 2U
#define SHARDS_FEW         4U
/* Of a handle towards a shard: room for about as many usual messages as may be in flight. */
#define HANDLE_BLOCKS_MIN  4U
#define HANDLE_BLOCKS_MAX  32U
#define HANDLE_PER_BLOCK   48U
/* As many as rounding up may add over all shards, and enough for the chance of small numbers. */
#define ENVELOPES_FEW      64U
static_assert(ENVELOPES_FEW >= TRI_SHARDS_MAX, "what rounding up has added fits into one shard");

#define HOLD_BYTES_MIN (2 * TRI_MESH_RECORD_BYTES_MAX)
#define HOLD_BYTES_MAX (UINT32_C(1) << 30)

static uint32_t set_share(uint32_t whole, uint32_t shards)
{
    return whole / shards + (whole % shards == 0 ? 0 : 1);
}

/* Ids fall upon shards by chance, so after a start with another number of shards one of them may
 * have more open envelopes than its share; that it has twice as many and a few more is out of the
 * question.  Slots that are never taken cost address space alone. */
static uint32_t set_slack(uint32_t envelopes)
{
    uint32_t slack = envelopes == 0 ? 0 : envelopes + ENVELOPES_FEW;

    return slack < TRI_ENVELOPES_MAX - envelopes ? slack : TRI_ENVELOPES_MAX - envelopes;
}

/* The engine of one shard: an even share of every capacity, rounded up. */
static struct tri_engine_options set_engine_options(const struct tri_shard_set_options *options)
{
    struct tri_engine_options engine = options->engine;

    engine.rounds_max = set_share(engine.rounds_max, options->shards);
    engine.dedup_entries_max = set_share(engine.dedup_entries_max, options->shards);
    engine.envelopes_max = set_share(engine.envelopes_max, options->shards);
    engine.envelopes_slack = set_slack(engine.envelopes_max);
    engine.waiters_max = set_share(engine.waiters_max, options->shards);
    for (uint32_t i = 0; i < TRI_ENGINE_BODY_CLASSES; i++) {
        engine.body_counts[i] = set_share(engine.body_counts[i], options->shards);
    }
    return engine;
}

static uint32_t set_blocks(const struct tri_shard_set_options *options)
{
    if (options->ports != NULL) {
        return 0; /* whoever has something for a message goes to its shard himself */
    }
    if (options->mesh_blocks != 0) {
        return options->mesh_blocks;
    }
    return options->shards <= SHARDS_FEW ? BLOCKS_FEW_SHARDS : BLOCKS_MANY_SHARDS;
}

static uint32_t set_handle_blocks(const struct tri_shard_set_options *options)
{
    uint32_t blocks = HANDLE_BLOCKS_MIN + options->in_flight_max / HANDLE_PER_BLOCK;

    if (options->handle_blocks != 0) {
        return options->handle_blocks;
    }
    return blocks < HANDLE_BLOCKS_MAX ? blocks : HANDLE_BLOCKS_MAX;
}

static uint32_t set_hold_bytes(const struct tri_shard_set_options *options)
{
    return options->hold_bytes == 0 ? TRI_HOLD_BYTES : options->hold_bytes / 8 * 8;
}

const char *tri_shard_set_check(const struct tri_shard_set_options *options)
{
    struct tri_engine_options engine;

    if (options->shards < 1 || options->shards > TRI_SHARDS_MAX) {
        return "shards: must be 1..64";
    }
    if (options->mesh_blocks > TRI_MESH_BLOCKS_MAX) {
        return "mesh_blocks: must be 0..64";
    }
    if (options->hold_bytes != 0 &&
        (options->hold_bytes < HOLD_BYTES_MIN || options->hold_bytes > HOLD_BYTES_MAX)) {
        return "hold_bytes: must be 0 or 180096..2^30";
    }
    if (options->handles_max > TRI_HANDLES_MAX) {
        return "handles_max: must be 0..64";
    }
    if (options->handles_max > 0 &&
        (options->in_flight_max < 1 || options->in_flight_max > TRI_IN_FLIGHT_MAX)) {
        return "in_flight_max: must be 1..2^20";
    }
    if (options->handle_blocks > TRI_MESH_BLOCKS_MAX) {
        return "handle_blocks: must be 0..64";
    }
    engine = set_engine_options(options);
    return tri_engine_check(&engine);
}

static_assert(HOLD_BYTES_MIN == 180096, "the sentence of tri_shard_set_check names it");

/* Memory as it is given out; without `at` it is only counted. */
struct carver {
    uint8_t *at;
    size_t bytes;
};

static void *carver_take(struct carver *carver, size_t bytes)
{
    void *taken = carver->at == NULL ? NULL : carver->at + carver->bytes;

    carver->bytes += (bytes + TRI_CACHE_LINE - 1) / TRI_CACHE_LINE * TRI_CACHE_LINE;
    return taken;
}

/* Where the parts of one shard lie. */
struct shard_parts {
    void *seats;
    void *watchers;
    void *registry;
    void *scratch;
    void *hold;
    void *local;
    void *envelopes;
    void *envelope_body;
    void *engine;
};

static struct shard_parts
set_carve_shard(struct carver *carver, const struct tri_shard_set_options *options, uint32_t index)
{
    struct tri_engine_options engine = set_engine_options(options);
    uint32_t chains = options->engine.chain_count;
    struct shard_parts parts;

    parts.seats = carver_take(carver, chains * sizeof(struct tri_chain_seat));
    parts.watchers = carver_take(carver, (size_t)options->shards * TRI_WATCHERS_MAX *
                                             sizeof(struct tri_watcher));
    parts.registry =
        index == 0 ? carver_take(carver, tri_registry_footprint(chains, options->shards)) : NULL;
    parts.scratch = carver_take(carver, TRI_SCRATCH_BYTES);
    parts.hold = carver_take(carver, set_hold_bytes(options));
    parts.local =
        options->ports == NULL ? NULL : carver_take(carver, tri_local_footprint(engine.rounds_max));
    parts.envelopes = carver_take(carver, (engine.envelopes_max + engine.envelopes_slack) *
                                              sizeof(struct tri_envelope_seat));
    parts.envelope_body =
        engine.envelopes_max == 0 ? NULL : carver_take(carver, TRI_FRAME_BYTES_MAX);
    parts.engine = NULL;
    return parts;
}

/* Where everything lies; the sum stands in carver->bytes.  Rings, holds and the like come first: of
 * them only what is in use at a time is touched.  The engines' tables come last. */
struct set_parts {
    size_t tables_at;
    struct tri_shard_set *set;
    struct tri_shard *members;
    struct tri_published_counters *published;
    void *mesh;
    void *handles;
    struct shard_parts shards[TRI_SHARDS_MAX];
};

static void set_carve(struct carver *carver, const struct tri_shard_set_options *options,
                      struct set_parts *parts)
{
    struct tri_engine_options engine = set_engine_options(options);

    parts->set = carver_take(carver, sizeof(struct tri_shard_set));
    parts->members = carver_take(carver, options->shards * sizeof(struct tri_shard));
    parts->published = carver_take(carver, options->shards * sizeof(struct tri_published_counters));
    parts->mesh = carver_take(carver, tri_mesh_footprint(options->shards, set_blocks(options)));
    parts->handles =
        options->handles_max == 0
            ? NULL
            : carver_take(carver, tri_handles_footprint(options->shards, options->handles_max,
                                                        options->in_flight_max,
                                                        set_handle_blocks(options)));
    for (uint32_t i = 0; i < options->shards; i++) {
        parts->shards[i] = set_carve_shard(carver, options, i);
    }
    parts->tables_at = carver->bytes;
    for (uint32_t i = 0; i < options->shards; i++) {
        parts->shards[i].engine = carver_take(carver, tri_engine_footprint(&engine));
    }
}

size_t tri_shard_set_footprint(const struct tri_shard_set_options *options)
{
    struct carver carver = {.at = NULL, .bytes = 0};
    struct set_parts parts;

    if (tri_shard_set_check(options) != NULL) {
        return 0;
    }
    set_carve(&carver, options, &parts);
    return carver.bytes;
}

size_t tri_shard_set_tables_at(const struct tri_shard_set_options *options)
{
    struct carver carver = {.at = NULL, .bytes = 0};
    struct set_parts parts;

    assert(tri_shard_set_check(options) == NULL);
    set_carve(&carver, options, &parts);
    return parts.tables_at;
}

static void set_init_shard(struct tri_shard_set *set, const struct tri_shard_set_options *options,
                           const struct shard_parts *parts, uint32_t index)
{
    struct tri_engine_options engine = set_engine_options(options);
    struct tri_shard *shard = &set->members[index];

    memset(shard, 0, sizeof(*shard));
    shard->set = set;
    shard->index = index;
    shard->shards = options->shards;
    shard->chain_count = options->engine.chain_count;
    shard->inbox_drain_max =
        options->inbox_drain_max == 0 ? TRI_INBOX_DRAIN_MAX : options->inbox_drain_max;
    shard->mesh = set->mesh;
    shard->route = &set->route;
    shard->chains = options->engine.chains;
    shard->journal = &tri_journal_none_ops;
    shard->journal_context = &shard->journal_none;
    shard->published = &set->published[index];
    shard->seats = parts->seats;
    memset(shard->seats, 0, shard->chain_count * sizeof(struct tri_chain_seat));
    shard->watchers = parts->watchers;
    shard->scratch = parts->scratch;
    if (parts->registry != NULL) {
        shard->registry = tri_registry_init(parts->registry, shard->chain_count, options->shards);
    }
    tri_hold_init(&shard->hold, parts->hold, set_hold_bytes(options));
    tri_envelope_desk_init(&shard->envelopes, parts->envelopes,
                           engine.envelopes_max + engine.envelopes_slack, parts->envelope_body);
    if (parts->local != NULL) {
        shard->local = tri_local_init(parts->local, engine.rounds_max, options->ports);
        for (uint32_t chain = 0; chain < shard->chain_count; chain++) {
            tri_seats_route(shard,
                            &(struct tri_route_news){.chain = (uint16_t)chain, .is_up = true});
        }
    }
    if (set->handles != NULL) {
        shard->lanes = &set->handles->lanes[(size_t)index * options->handles_max];
    }
    tri_counters_init(shard->published);
    shard->engine = tri_engine_init(parts->engine, &engine);
}

struct tri_shard_set *tri_shard_set_init(void *memory, const struct tri_shard_set_options *options)
{
    struct carver carver = {.at = memory, .bytes = 0};
    struct set_parts parts;
    struct tri_shard_set *set = NULL;

    assert((uintptr_t)memory % TRI_CACHE_LINE == 0);
    assert(tri_shard_set_check(options) == NULL);
    set_carve(&carver, options, &parts);
    assert(carver.bytes == tri_shard_set_footprint(options));
    set = parts.set;
    memset(set, 0, sizeof(*set));
    set->shards = options->shards;
    set->members = parts.members;
    set->published = parts.published;
    atomic_init(&set->is_draining, false);
    set->mesh = tri_mesh_init(parts.mesh, options->shards, set_blocks(options), 0);
    tri_route_init(&set->route, options->hash_secret, options->shards);
    if (parts.handles != NULL) {
        set->handles = tri_handles_init(parts.handles, set, options->shards, options->handles_max,
                                        options->in_flight_max, set_handle_blocks(options));
    }
    for (uint32_t i = 0; i < options->shards; i++) {
        set_init_shard(set, options, &parts.shards[i], i);
    }
    return set;
}

struct tri_shard *tri_shard_set_at(struct tri_shard_set *set, uint32_t shard)
{
    assert(shard < set->shards);
    return &set->members[shard];
}

uint32_t tri_shard_set_owner(const struct tri_shard_set *set, struct tri_text id)
{
    return tri_route_shard(&set->route, tri_route_key(&set->route, id));
}

uint64_t tri_shard_set_open_count(const struct tri_shard_set *set, uint32_t shard)
{
    assert(shard < set->shards);
    return tri_counters_open_messages(&set->published[shard]);
}

bool tri_shard_set_counter_next(const struct tri_shard_set *set, uint32_t shard, uint32_t *index,
                                struct tri_counter_view *view)
{
    assert(shard < set->shards);
    if (!tri_counters_get(&set->published[shard], *index, view)) {
        return false;
    }
    ++*index;
    return true;
}
