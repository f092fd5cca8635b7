/* SPDX-License-Identifier: Apache-2.0 */
#include "io/archive_id.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/archive_manifest.h"
#include "io/state.h"

#define ID_DIGITS     ((size_t)2 * TRI_FINALITY_ARCHIVE_BYTES)
#define ID_TEXT_BYTES (ID_DIGITS + 1U) /* with its newline */

static int id_say(const char *data_dir, int failed, const char *what,
                  char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    (void)snprintf(trouble, TRI_ARCHIVE_TROUBLE_BYTES, "%s/%s: %s: %s", data_dir,
                   TRI_ARCHIVE_ID_NAME, what, strerror(-failed));
    return failed;
}

/* Reads the beginning of a file.  Returns how many bytes it has, `count` at most, or -errno. */
static ssize_t id_read(int directory, const char *name, char *to, size_t count)
{
    int file = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    size_t used = 0;
    ssize_t got = 1;

    if (file < 0) {
        return -errno;
    }
    while (got != 0 && used < count) {
        got = pread(file, to + used, count - used, (off_t)used);
        if (got < 0 && errno != EINTR) {
            used = 0;
            break;
        }
        used += got > 0 ? (size_t)got : 0;
    }
    got = got < 0 ? -errno : (ssize_t)used;
    (void)close(file);
    return got;
}

/* What is kept.  Returns 0; -ENOENT: nothing; -EINVAL: no id; or what reading gave. */
static int id_kept(int directory, uint8_t id[TRI_FINALITY_ARCHIVE_BYTES])
{
    char text[ID_TEXT_BYTES + 1] = "";
    ssize_t bytes = id_read(directory, TRI_ARCHIVE_ID_NAME, text, sizeof(text));

    if (bytes < 0) {
        return (int)bytes;
    }
    return (size_t)bytes == ID_TEXT_BYTES && text[ID_DIGITS] == '\n' &&
                   tri_hex_get(text, ID_DIGITS, id)
               ? 0
               : -EINVAL;
}

/* What the archive's first line says.  Returns 0; -ENOENT: there is none; -EBADMSG: it says no id;
 * or what reading gave. */
static int id_found(int directory, const char *archive, uint8_t id[TRI_FINALITY_ARCHIVE_BYTES])
{
    char name[TRI_ARCHIVE_LINE_BYTES_MAX];
    char text[TRI_ARCHIVE_LINE_BYTES_MAX];
    struct tri_archive_line line;
    const char *fault = "";
    const char *end = NULL;
    ssize_t bytes = 0;

    (void)snprintf(name, sizeof(name), "%s/%s", archive, TRI_ARCHIVE_MANIFEST_NAME);
    bytes = id_read(directory, name, text, sizeof(text));
    if (bytes < 0) {
        return bytes == -ENOTDIR ? -ENOENT : (int)bytes;
    }
    end = memchr(text, '\n', (size_t)bytes);
    if (end == NULL) {
        return -ENOENT; /* it was never begun: its first line is written before anything else */
    }
    if (!tri_archive_line_get((struct tri_text){text, (uint32_t)(end - text)}, &line, &fault) ||
        line.fact != TRI_ARCHIVE_FACT_ARCHIVE) {
        return -EBADMSG;
    }
    memcpy(id, line.archive, TRI_FINALITY_ARCHIVE_BYTES);
    return 0;
}

static int id_refuse(const char *data_dir, const char *archive,
                     const uint8_t kept[TRI_FINALITY_ARCHIVE_BYTES], int failed,
                     char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    char digits[ID_DIGITS];
    const char *why = failed == -ENOENT         ? "is missing"
                      : failed == -EKEYREJECTED ? "is missing, another one is in its place"
                      : failed == -EBADMSG      ? "cannot be known, its first line is none"
                                                : strerror(-failed);

    tri_hex_put(kept, TRI_FINALITY_ARCHIVE_BYTES, digits);
    (void)snprintf(trouble, TRI_ARCHIVE_TROUBLE_BYTES,
                   "%s/%s: the archive %.*s %s; put its newest copy back; or, to begin anew and "
                   "lose its records, remove %s/%s",
                   data_dir, archive, (int)ID_DIGITS, digits, why, data_dir, TRI_ARCHIVE_ID_NAME);
    return failed;
}

int tri_archive_id_check(const char *data_dir, const char *name, bool *is_kept,
                         char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    uint8_t kept[TRI_FINALITY_ARCHIVE_BYTES];
    uint8_t found[TRI_FINALITY_ARCHIVE_BYTES];
    int directory = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = directory < 0 ? -errno : id_kept(directory, kept);
    int there = 0;

    *is_kept = failed == 0;
    if (failed == 0) {
        there = id_found(directory, name, found);
        if (there == 0 && memcmp(kept, found, sizeof(kept)) != 0) {
            there = -EKEYREJECTED;
        }
    }
    if (directory >= 0) {
        (void)close(directory);
    }
    if (there != 0) {
        return id_refuse(data_dir, name, kept, there, trouble);
    }
    if (failed == -EINVAL) {
        return id_say(data_dir, failed,
                      "it must hold the archiveId, 32 hexadecimal digits; the archive's manifest "
                      "begins with it",
                      trouble);
    }
    return failed == 0 || failed == -ENOENT
               ? 0
               : id_say(data_dir, failed, "the file cannot be read", trouble);
}

int tri_archive_id_keep(const char *data_dir, const struct tri_archive *archive,
                        char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    uint8_t id[TRI_FINALITY_ARCHIVE_BYTES];
    char text[ID_TEXT_BYTES];
    struct tri_state place = {-1, -1};
    int failed = 0;

    tri_archive_id(archive, id);
    tri_hex_put(id, sizeof(id), text);
    text[ID_DIGITS] = '\n';
    place.directory = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    failed = place.directory < 0
                 ? -errno
                 : tri_state_replace(&place, TRI_ARCHIVE_ID_NAME, text, sizeof(text));
    tri_state_close(&place);
    return failed == 0 ? 0 : id_say(data_dir, failed, "the file cannot be written", trouble);
}
