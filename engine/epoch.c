/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/epoch.h"

static bool epoch_takes(const struct tri_epoch *epoch, bool is_forced)
{
    return epoch->first_lsn != 0 && epoch->count < TRI_EPOCH_MESSAGES_MAX &&
           epoch->bytes < TRI_EPOCH_BYTES_MAX && epoch->is_forced == is_forced;
}

uint64_t tri_epoch_join(struct tri_epoch *epoch, uint64_t lsn, uint32_t bytes, bool is_forced)
{
    assert(lsn > epoch->first_lsn);
    if (!epoch_takes(epoch, is_forced)) {
        *epoch = (struct tri_epoch){
            .number = epoch->number + 1, .first_lsn = lsn, .is_forced = is_forced};
    }
    epoch->count++;
    epoch->bytes += bytes;
    return epoch->number;
}

void tri_epoch_durable(struct tri_epoch *epoch, uint64_t durable_lsn)
{
    if (epoch->first_lsn <= durable_lsn) {
        epoch->first_lsn = 0;
    }
}
