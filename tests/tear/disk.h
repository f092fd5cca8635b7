/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that tears.
 *
 * What was begun and has not ended is pending.  At a power cut each pending write
 * arrives as a whole, in part, sector by sector, or not at all, in any order;
 * a pending file is there, shorter, or not there; a pending manifest is the old one
 * or the new one; a removed file comes back unless the directory was flushed
 * since.  What has ended is durable.
 *
 * A disk is a value: disk_copy() gives another one with its own future.
 */
#ifndef TRI_TESTS_TEAR_DISK_H
#define TRI_TESTS_TEAR_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/random.h"

#define DISK_SECTOR_BYTES   512U
#define DISK_FILE_BYTES     20480U
#define DISK_FILES_MAX      48U
#define DISK_PENDING_MAX    16U
#define DISK_WRITE_BYTES    16384U
#define DISK_MANIFEST_BYTES 2048U

struct disk_file {
    uint32_t epoch; /* 0 = no file */
    uint32_t number;
    uint32_t count;
    bool is_ghost; /* removed, but not yet durably */
    _Alignas(8) uint8_t bytes[DISK_FILE_BYTES];
};

enum disk_kind {
    DISK_NOTHING,
    DISK_WRITE,
    DISK_CREATE,
    DISK_RENAME,
    DISK_MANIFEST,
};

struct disk_pending {
    enum disk_kind kind;
    uint32_t ticket; /* the caller's */
    uint32_t epoch;
    uint32_t number;
    uint32_t from; /* RENAME: the number before */
    uint32_t offset;
    uint32_t count;
    uint64_t order;
    uint8_t bytes[DISK_WRITE_BYTES];
};

struct disk {
    uint64_t order;
    uint32_t manifest_bytes; /* 0 = there is none */
    char manifest[DISK_MANIFEST_BYTES];
    struct disk_pending pending[DISK_PENDING_MAX];
    struct disk_file files[DISK_FILES_MAX];
};

/* How a power cut treats what is pending. */
enum disk_tear {
    DISK_TEAR_NONE,        /* nothing arrived */
    DISK_TEAR_ALL,         /* everything did */
    DISK_TEAR_LAST,        /* only what was begun last */
    DISK_TEAR_FRONT,       /* the first half of each write */
    DISK_TEAR_BACK,        /* the second half */
    DISK_TEAR_RANDOM,      /* any sectors */
    DISK_TEAR_RANDOM_FLIP, /* and in one of them a bit is wrong */
    DISK_TEAR_COUNT,
};

void disk_copy(struct disk *to, const struct disk *from);

struct disk_file *disk_file(struct disk *disk, uint32_t epoch, uint32_t number);

/* Beginnings; each gives the place of what is pending. */
uint32_t disk_write(struct disk *disk, uint32_t ticket, uint32_t epoch, uint32_t number,
                    uint32_t offset, const uint8_t *bytes, uint32_t count);
uint32_t disk_create(struct disk *disk, uint32_t ticket, uint32_t epoch, uint32_t number,
                     uint32_t count);
uint32_t disk_rename(struct disk *disk, uint32_t ticket, uint32_t epoch, uint32_t from,
                     uint32_t number);
uint32_t disk_manifest(struct disk *disk, uint32_t ticket, const char *text, uint32_t bytes);
/* At once, but not durable before the next file or manifest is. */
void disk_remove(struct disk *disk, uint32_t epoch, uint32_t number);

/* The end of what is pending there: it is durable. */
void disk_end(struct disk *disk, uint32_t pending);

/* The power goes. */
void disk_tear(struct disk *disk, enum disk_tear tear, struct sim_random *random);

#endif
