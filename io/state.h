/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State: the small files of a data directory.
 *
 *     lock         held (flock) while a process owns the directory
 *     epoch        a decimal number, raised at every start (P10)
 *     hash-secret  32 random bytes, mode 0600, made at the first start (D06)
 *
 * A file is replaced whole: written beside its old self, flushed, renamed, and
 * the directory flushed; so a crash leaves the old number or the new one.  A
 * number counts as taken only when all of that is done: an epoch is never told
 * to anybody before it is durable.
 *
 * Threads: call at the start, from one thread.
 */
#ifndef TRI_IO_STATE_H
#define TRI_IO_STATE_H

#include <stddef.h>
#include <stdint.h>

struct tri_state {
    int directory; /* descriptors; -1 = none */
    int lock;
};

/*
 * tri_state_open makes the directory `path` if it is missing (its parent must exist), durably, and
 * locks it.
 *
 * Returns 0; -EWOULDBLOCK if another process owns it; else -errno.  On failure `trouble` holds one
 * line that says what to do.
 */
int tri_state_open(struct tri_state *state, const char *path, char *trouble, size_t trouble_bytes);

/*
 * tri_state_counter raises the number in the file `name` ("epoch", "instance") and returns it in
 * *value, 1 for the first time.  Returns 0 or -errno with a line in `trouble`: a file that holds no
 * number is never repaired by itself, because a number used twice breaks P10.
 */
int tri_state_counter(struct tri_state *state, const char *name, uint32_t *value, char *trouble,
                      size_t trouble_bytes);

/* tri_state_secret reads the 32 bytes of the file `name`, or makes it.  Returns 0 or -errno with a
 * line in `trouble`: wrong size, or readable by others than its owner. */
int tri_state_secret(struct tri_state *state, const char *name, uint8_t secret[32], char *trouble,
                     size_t trouble_bytes);

/* tri_state_replace writes the file `name` whole and durably, mode 0600.  Returns 0 or -errno. */
int tri_state_replace(struct tri_state *state, const char *name, const void *bytes, size_t count);

/* tri_state_settle makes the name of the directory itself durable: that of one that was just made
 * is not.  tri_state_open() does so.  Returns 0 or -errno. */
int tri_state_settle(const struct tri_state *state);

/* tri_state_file opens a file that anybody may have put there, for reading: no link is followed,
 * and no pipe waited for.  Returns a descriptor; -EMEDIUMTYPE: it is no regular file; or -errno.
 * tri_state_why is a sentence for such a failure. */
int tri_state_file(int directory, const char *name);
const char *tri_state_why(int failed);

/* Gives the directory back; accepts a zeroed object with descriptors -1 or 0. */
void tri_state_close(struct tri_state *state);

#endif
