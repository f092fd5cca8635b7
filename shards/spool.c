/* SPDX-License-Identifier: Apache-2.0 */
#include "shards/spool.h"

#define RECORDS_MAX (UINT32_C(1) << 30)

uint32_t tri_spool_places(uint32_t records)
{
    uint32_t places = 1;

    assert(records >= 1);
    assert(records <= RECORDS_MAX);
    while (places < records) {
        places *= 2;
    }
    return places;
}

void tri_spool_init(struct tri_spool *spool, void *memory, uint32_t places, uint32_t start)
{
    assert((uintptr_t)memory % TRI_CACHE_LINE == 0);
    assert(places >= 1 && (places & (places - 1)) == 0);
    memset(spool, 0, sizeof(*spool));
    spool->records = memory;
    spool->mask = places - 1;
    atomic_init(&spool->tail, start);
    spool->written = start;
    spool->head_seen = start;
    atomic_init(&spool->head, start);
    spool->read = start;
    spool->tail_seen = start;
}
