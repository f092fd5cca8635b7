/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/tear/disk.h"

#undef NDEBUG
#include <assert.h>
#include <stddef.h>
#include <string.h>

void disk_copy(struct disk *to, const struct disk *from)
{
    to->order = from->order;
    to->manifest_bytes = from->manifest_bytes;
    memcpy(to->manifest, from->manifest, from->manifest_bytes);
    for (uint32_t i = 0; i < DISK_PENDING_MAX; i++) {
        const struct disk_pending *pending = &from->pending[i];

        memcpy(&to->pending[i], pending, offsetof(struct disk_pending, bytes));
        if (pending->kind == DISK_WRITE || pending->kind == DISK_MANIFEST) {
            memcpy(to->pending[i].bytes, pending->bytes, pending->count);
        }
    }
    for (uint32_t i = 0; i < DISK_FILES_MAX; i++) {
        const struct disk_file *file = &from->files[i];

        memcpy(&to->files[i], file, offsetof(struct disk_file, bytes));
        if (file->epoch != 0) {
            memcpy(to->files[i].bytes, file->bytes, file->count);
        }
    }
}

struct disk_file *disk_file(struct disk *disk, uint32_t epoch, uint32_t number)
{
    for (uint32_t i = 0; i < DISK_FILES_MAX; i++) {
        struct disk_file *file = &disk->files[i];

        if (file->epoch == epoch && file->number == number && !file->is_ghost) {
            return file;
        }
    }
    return NULL;
}

static uint32_t disk_pend(struct disk *disk, enum disk_kind kind, uint32_t ticket)
{
    for (uint32_t i = 0; i < DISK_PENDING_MAX; i++) {
        struct disk_pending *pending = &disk->pending[i];

        if (pending->kind == DISK_NOTHING) {
            pending->kind = kind;
            pending->ticket = ticket;
            pending->order = disk->order++;
            return i;
        }
    }
    assert(0);
    return 0;
}

uint32_t disk_write(struct disk *disk, uint32_t ticket, uint32_t epoch, uint32_t number,
                    uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    uint32_t place = disk_pend(disk, DISK_WRITE, ticket);
    struct disk_pending *pending = &disk->pending[place];
    const struct disk_file *file = disk_file(disk, epoch, number);

    assert(file != NULL);
    assert(offset + count <= file->count);
    assert(count <= DISK_WRITE_BYTES);
    pending->epoch = epoch;
    pending->number = number;
    pending->offset = offset;
    pending->count = count;
    memcpy(pending->bytes, bytes, count);
    return place;
}

uint32_t disk_create(struct disk *disk, uint32_t ticket, uint32_t epoch, uint32_t number,
                     uint32_t count)
{
    uint32_t place = disk_pend(disk, DISK_CREATE, ticket);

    assert(count <= DISK_FILE_BYTES);
    disk->pending[place].epoch = epoch;
    disk->pending[place].number = number;
    disk->pending[place].count = count;
    return place;
}

uint32_t disk_rename(struct disk *disk, uint32_t ticket, uint32_t epoch, uint32_t from,
                     uint32_t number)
{
    uint32_t place = disk_pend(disk, DISK_RENAME, ticket);

    assert(disk_file(disk, epoch, from) != NULL);
    disk->pending[place].epoch = epoch;
    disk->pending[place].from = from;
    disk->pending[place].number = number;
    return place;
}

uint32_t disk_manifest(struct disk *disk, uint32_t ticket, const char *text, uint32_t bytes)
{
    uint32_t place = disk_pend(disk, DISK_MANIFEST, ticket);

    assert(bytes <= DISK_MANIFEST_BYTES);
    disk->pending[place].count = bytes;
    memcpy(disk->pending[place].bytes, text, bytes);
    return place;
}

void disk_remove(struct disk *disk, uint32_t epoch, uint32_t number)
{
    struct disk_file *file = disk_file(disk, epoch, number);

    assert(file != NULL);
    file->is_ghost = true;
}

/* The directory is flushed: what was removed stays so. */
static void disk_flush(struct disk *disk)
{
    for (uint32_t i = 0; i < DISK_FILES_MAX; i++) {
        if (disk->files[i].is_ghost) {
            disk->files[i].epoch = 0;
            disk->files[i].is_ghost = false;
        }
    }
}

static void disk_file_add(struct disk *disk, uint32_t epoch, uint32_t number, uint32_t count)
{
    struct disk_file *file = disk_file(disk, 0, 0);

    for (uint32_t i = 0; i < DISK_FILES_MAX && file == NULL; i++) {
        if (disk->files[i].epoch == 0) {
            file = &disk->files[i];
        }
    }
    assert(file != NULL);
    file->epoch = epoch;
    file->number = number;
    file->count = count;
    file->is_ghost = false;
    memset(file->bytes, 0, count);
}

void disk_end(struct disk *disk, uint32_t place)
{
    struct disk_pending *pending = &disk->pending[place];
    struct disk_file *file = NULL;

    switch (pending->kind) {
    case DISK_WRITE:
        file = disk_file(disk, pending->epoch, pending->number);
        assert(file != NULL);
        memcpy(file->bytes + pending->offset, pending->bytes, pending->count);
        break;
    case DISK_CREATE:
        disk_file_add(disk, pending->epoch, pending->number, pending->count);
        disk_flush(disk);
        break;
    case DISK_RENAME:
        file = disk_file(disk, pending->epoch, pending->from);
        assert(file != NULL);
        file->number = pending->number;
        disk_flush(disk);
        break;
    case DISK_MANIFEST:
        memcpy(disk->manifest, pending->bytes, pending->count);
        disk->manifest_bytes = pending->count;
        disk_flush(disk);
        break;
    case DISK_NOTHING:
    default:
        assert(0);
        break;
    }
    pending->kind = DISK_NOTHING;
}

/* Whether a sector of a write arrives. */
static bool tear_takes(enum disk_tear tear, bool is_last, uint32_t sector, uint32_t sectors,
                       struct sim_random *random)
{
    switch (tear) {
    case DISK_TEAR_ALL:
        return true;
    case DISK_TEAR_LAST:
        return is_last;
    case DISK_TEAR_FRONT:
        return sector < sectors / 2;
    case DISK_TEAR_BACK:
        return sector >= sectors / 2;
    case DISK_TEAR_RANDOM:
    case DISK_TEAR_RANDOM_FLIP:
        return sim_chance(random, 500);
    case DISK_TEAR_NONE:
    case DISK_TEAR_COUNT:
    default:
        return false;
    }
}

static void tear_write(struct disk *disk, const struct disk_pending *pending, enum disk_tear tear,
                       bool is_last, struct sim_random *random)
{
    struct disk_file *file = disk_file(disk, pending->epoch, pending->number);
    uint32_t sectors = pending->count / DISK_SECTOR_BYTES;

    assert(file != NULL);
    for (uint32_t sector = 0; sector < sectors; sector++) {
        uint32_t at = sector * DISK_SECTOR_BYTES;

        if (tear_takes(tear, is_last, sector, sectors, random)) {
            memcpy(file->bytes + pending->offset + at, pending->bytes + at, DISK_SECTOR_BYTES);
        }
    }
    if (tear == DISK_TEAR_RANDOM_FLIP) {
        file->bytes[pending->offset + sim_below(random, pending->count)] ^=
            (uint8_t)(1U << sim_below(random, 8));
    }
}

/* What is left of something that is not a write: all, nothing, or (a new file) a part. */
static void tear_other(struct disk *disk, uint32_t place, enum disk_tear tear, bool is_last,
                       struct sim_random *random)
{
    struct disk_pending *pending = &disk->pending[place];
    struct disk_file *file = NULL;
    uint32_t whole = pending->count;
    uint32_t number = pending->number;
    uint32_t epoch = pending->epoch;

    if (pending->kind == DISK_CREATE &&
        (tear == DISK_TEAR_FRONT || (tear >= DISK_TEAR_RANDOM && sim_chance(random, 500)))) {
        disk_file_add(disk, epoch, number, whole);
        file = disk_file(disk, epoch, number);
        file->count = sim_below(random, whole);
        return;
    }
    if (tear_takes(tear, is_last, 0, 2, random)) {
        disk_end(disk, place);
    }
}

void disk_tear(struct disk *disk, enum disk_tear tear, struct sim_random *random)
{
    uint64_t last = 0;

    for (uint32_t i = 0; i < DISK_PENDING_MAX; i++) {
        if (disk->pending[i].kind != DISK_NOTHING && disk->pending[i].order >= last) {
            last = disk->pending[i].order;
        }
    }
    for (uint32_t i = 0; i < DISK_PENDING_MAX; i++) { /* into files that a rename may still move */
        if (disk->pending[i].kind == DISK_WRITE) {
            tear_write(disk, &disk->pending[i], tear, disk->pending[i].order == last, random);
        }
    }
    for (uint32_t i = 0; i < DISK_FILES_MAX; i++) {
        if (disk->files[i].is_ghost) {
            disk->files[i].is_ghost = false;
            if (tear_takes(tear, false, 0, 2, random)) {
                disk->files[i].epoch = 0;
            }
        }
    }
    for (uint32_t i = 0; i < DISK_PENDING_MAX; i++) {
        if (disk->pending[i].kind != DISK_NOTHING && disk->pending[i].kind != DISK_WRITE) {
            tear_other(disk, i, tear, disk->pending[i].order == last, random);
        }
        disk->pending[i].kind = DISK_NOTHING;
    }
}
