/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record whose length says more bytes than the file has is torn only if it looks like that: the
 * msgpack of its body must run out of bytes too.  Otherwise a single flipped bit in a length would
 * hide all records behind it in a stream that is still open.
 */
#include "io/finality_files.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/state.h"

#define READ_BYTES   (UINT32_C(256) << 10) /* at once, unless a record is longer */
#define BUFFER_BYTES (TRI_ARCHIVE_FRAME_BYTES + TRI_ARCHIVE_RECORD_BYTES_MAX + READ_BYTES)
#define FILE_SUFFIX  ".fin"

/* ---- the directory ---- */

static int file_order(const void *a, const void *b)
{
    const struct tri_finality_file *x = a;
    const struct tri_finality_file *y = b;

    if (x->epoch != y->epoch) {
        return x->epoch < y->epoch ? -1 : 1;
    }
    if (x->shard != y->shard) {
        return x->shard < y->shard ? -1 : 1;
    }
    return x->first == y->first ? 0 : x->first < y->first ? -1 : 1;
}

static bool name_is_records(const char *name)
{
    size_t bytes = strlen(name);

    return bytes >= sizeof(FILE_SUFFIX) - 1 &&
           strcmp(name + bytes - (sizeof(FILE_SUFFIX) - 1), FILE_SUFFIX) == 0;
}

static int dir_add(struct tri_finality_dir *dir, const struct tri_finality_file *file)
{
    if ((dir->count & (dir->count - 1)) == 0) { /* full at every power of two */
        size_t room = dir->count == 0 ? 1 : 2 * (size_t)dir->count;
        struct tri_finality_file *more = realloc(dir->files, room * sizeof(*more));

        if (more == NULL) {
            return -ENOMEM;
        }
        dir->files = more;
    }
    dir->files[dir->count] = *file;
    dir->count++;
    return 0;
}

static int dir_list(struct tri_finality_dir *dir, DIR *names,
                    void (*stranger)(void *context, const char *name), void *context)
{
    for (;;) {
        struct tri_finality_file file;
        const struct dirent *entry;
        int failed = 0;

        errno = 0;
        entry = readdir(names);
        if (entry == NULL) {
            return -errno;
        }
        if (tri_archive_name_get(entry->d_name, &file.epoch, &file.shard, &file.first)) {
            failed = dir_add(dir, &file);
        } else if (name_is_records(entry->d_name)) {
            stranger(context, entry->d_name);
        }
        if (failed != 0) {
            return failed;
        }
    }
}

int tri_finality_dir_open(struct tri_finality_dir *dir, const char *path,
                          void (*stranger)(void *context, const char *name), void *context)
{
    DIR *names = NULL;
    int copy = -1;
    int failed = 0;

    assert(dir != NULL && path != NULL);
    assert(stranger != NULL);
    *dir = (struct tri_finality_dir){.at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (dir->at < 0) {
        return -errno;
    }
    copy = fcntl(dir->at, F_DUPFD_CLOEXEC, 0);
    names = copy < 0 ? NULL : fdopendir(copy);
    if (names == NULL) {
        failed = -errno;
        if (copy >= 0) {
            (void)close(copy);
        }
    } else {
        failed = dir_list(dir, names, stranger, context);
        (void)closedir(names);
    }
    if (failed != 0) {
        tri_finality_dir_close(dir);
        return failed;
    }
    if (dir->count > 0) {
        qsort(dir->files, dir->count, sizeof(dir->files[0]), file_order);
    }
    return 0;
}

void tri_finality_dir_close(struct tri_finality_dir *dir)
{
    assert(dir != NULL);
    if (dir->at >= 0) {
        (void)close(dir->at);
    }
    free(dir->files);
    *dir = (struct tri_finality_dir){.at = -1};
}

int tri_finality_read_all(int file, size_t bytes_max, char **text, size_t *bytes)
{
    size_t room = 0;
    char *all = NULL;

    *bytes = 0;
    for (;;) {
        ssize_t got;

        if (*bytes == room) {
            char *more = realloc(all, room == 0 ? READ_BYTES : 2 * room);

            if (more == NULL) {
                free(all);
                return -ENOMEM;
            }
            all = more;
            room = room == 0 ? READ_BYTES : 2 * room;
        }
        got = read(file, all + *bytes, room - *bytes);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 || *bytes + (size_t)got > bytes_max) {
            int failed = got < 0 ? -errno : -EFBIG;

            free(all);
            return failed;
        }
        if (got == 0) {
            *text = all;
            return 0;
        }
        *bytes += (size_t)got;
    }
}

/* ---- where a body ends ---- */

struct shape {
    const uint8_t *at;
    const uint8_t *end;
    bool is_cut;
};

/* Passes `count` bytes of any value. */
static bool shape_pass(struct shape *shape, uint32_t count)
{
    if ((size_t)(shape->end - shape->at) < count) {
        shape->is_cut = true;
        return false;
    }
    shape->at += count;
    return true;
}

/* Passes one byte in [low, high]. */
static bool shape_byte(struct shape *shape, uint8_t low, uint8_t high)
{
    const uint8_t *at = shape->at;

    return shape_pass(shape, 1) && *at >= low && *at <= high;
}

/* Passes a big-endian number. */
static bool shape_number(struct shape *shape, uint32_t width, uint32_t *value)
{
    const uint8_t *at = shape->at;

    *value = 0;
    if (!shape_pass(shape, width)) {
        return false;
    }
    for (uint32_t i = 0; i < width; i++) {
        *value = *value << 8 | at[i];
    }
    return true;
}

static bool shape_bin(struct shape *shape)
{
    const uint8_t *head = shape->at;
    uint32_t count = 0;

    return shape_byte(shape, 0xc4, 0xc6) && shape_number(shape, 1U << (*head - 0xc4), &count) &&
           shape_pass(shape, count);
}

static bool shape_count(struct shape *shape, uint32_t *count)
{
    const uint8_t *head = shape->at;

    if (!shape_byte(shape, 0x91, 0xdc)) {
        return false;
    }
    *count = *head & 0x0f;
    return *head <= 0x9f || (*head == 0xdc && shape_number(shape, 2, count));
}

static bool shape_message(struct shape *shape)
{
    if (!shape_byte(shape, 0x92, 0x92) || !shape_bin(shape)) {
        return false;
    }
    if (shape->at < shape->end && *shape->at == 0xc0) {
        shape->at++;
        return true;
    }
    return shape_bin(shape);
}

/* Whether these bytes begin a body and end within it. */
static bool shape_is_torn(struct tri_bytes bytes)
{
    struct shape shape = {bytes.at, bytes.at + bytes.bytes, false};
    uint32_t count = 0;
    bool is_whole = shape_byte(&shape, 0x93, 0x93) && shape_bin(&shape) && shape_bin(&shape) &&
                    shape_count(&shape, &count);

    for (uint32_t i = 0; i < count && is_whole; i++) {
        is_whole = shape_message(&shape);
    }
    return !is_whole && shape.is_cut;
}

/* ---- a file ---- */

int tri_finality_reader_init(struct tri_finality_reader *reader)
{
    assert(reader != NULL);
    *reader = (struct tri_finality_reader){.file = -1, .buffer = malloc(BUFFER_BYTES)};
    return reader->buffer == NULL ? -ENOMEM : 0;
}

void tri_finality_reader_fini(struct tri_finality_reader *reader)
{
    assert(reader != NULL);
    if (reader->buffer != NULL && reader->file >= 0) {
        (void)close(reader->file);
    }
    free(reader->buffer);
    *reader = (struct tri_finality_reader){.file = -1};
}

int tri_finality_reader_open(struct tri_finality_reader *reader, int dir, const char *name)
{
    assert(reader->buffer != NULL);
    if (reader->file >= 0) {
        (void)close(reader->file);
    }
    reader->file = tri_state_file(dir, name);
    reader->from = 0;
    reader->to = 0;
    reader->given = 0;
    reader->offset = 0;
    return reader->file < 0 ? reader->file : 0;
}

/* Has `count` bytes from `from` on in the buffer, or all that the file has.  Returns 0 or -errno.
 */
static int reader_fill(struct tri_finality_reader *reader, uint32_t count)
{
    assert(count <= BUFFER_BYTES - READ_BYTES);
    if (reader->from + count > BUFFER_BYTES) {
        memmove(reader->buffer, reader->buffer + reader->from, reader->to - reader->from);
        reader->to -= reader->from;
        reader->from = 0;
    }
    while (reader->to - reader->from < count) {
        uint32_t wanted = reader->from + count - reader->to;
        uint32_t room = BUFFER_BYTES - reader->to;
        ssize_t got;

        wanted = wanted < READ_BYTES ? READ_BYTES : wanted;
        got = read(reader->file, reader->buffer + reader->to, wanted < room ? wanted : room);
        if (got == 0) {
            return 0;
        }
        if (got > 0) {
            reader->to += (uint32_t)got;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

int tri_finality_reader_next(struct tri_finality_reader *reader, struct tri_bytes *body)
{
    uint32_t there;
    uint32_t count = 0;
    int failed;

    assert(reader->file >= 0);
    assert(body != NULL);
    reader->from += reader->given;
    reader->offset += reader->given;
    reader->given = 0;
    failed = reader_fill(reader, TRI_ARCHIVE_FRAME_BYTES);
    there = reader->to - reader->from;
    if (failed != 0 || there == 0) {
        return failed != 0 ? failed : TRI_FINALITY_NEXT_END;
    }
    if (there < TRI_ARCHIVE_FRAME_BYTES) {
        return TRI_FINALITY_NEXT_TORN;
    }
    count = tri_archive_frame_get(reader->buffer + reader->from);
    if (count == 0) {
        return TRI_FINALITY_NEXT_NONE;
    }
    failed = reader_fill(reader, TRI_ARCHIVE_FRAME_BYTES + count);
    if (failed != 0) {
        return failed;
    }
    there = reader->to - reader->from - TRI_ARCHIVE_FRAME_BYTES;
    *body = (struct tri_bytes){reader->buffer + reader->from + TRI_ARCHIVE_FRAME_BYTES,
                               there < count ? there : count};
    if (there < count) {
        return shape_is_torn(*body) ? TRI_FINALITY_NEXT_TORN : TRI_FINALITY_NEXT_CUT;
    }
    reader->given = TRI_ARCHIVE_FRAME_BYTES + count;
    return TRI_FINALITY_NEXT_RECORD;
}
