/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "shards/journal.h"

static bool none_append(void *context, const struct tri_effect *effect)
{
    struct tri_journal_none *journal = context;

    assert(effect->type == TRI_EFFECT_APPEND);
    assert(effect->append.lsn == journal->lsn + 1);
    journal->lsn = effect->append.lsn;
    return true;
}

static uint64_t none_durable(void *context)
{
    const struct tri_journal_none *journal = context;

    return journal->lsn;
}

static uint64_t none_failed(void *context)
{
    (void)context;
    return 0;
}

const struct tri_journal_ops tri_journal_none_ops = {
    .append = none_append,
    .durable = none_durable,
    .failed = none_failed,
};
