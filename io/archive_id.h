/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archive id: which archive belongs to a data directory.
 *
 *     DATA/finality-id   the archiveId: 32 hexadecimal digits and a newline
 *
 * An archive is looked for at every start, and what is in neither it nor the journal any more is
 * lost.  A directory that is not there, because a disk was not mounted or somebody has removed it,
 * must not look like that of a first start.
 *
 * Threads: call at the start, from one thread.
 */
#ifndef TRI_IO_ARCHIVE_ID_H
#define TRI_IO_ARCHIVE_ID_H

#include "io/archive.h"

#define TRI_ARCHIVE_ID_NAME "finality-id"

/*
 * tri_archive_id_check compares the archive `name` of a data directory with the id that is kept.
 * It looks and changes nothing: call it before anything is made.
 *
 * is_kept  out, on 0: an id is kept, and the archive has it.  Else there is none yet.
 *
 * Returns 0; else -errno with a line in `trouble` that says what to do: -ENOENT: the archive is
 * missing; -EKEYREJECTED: it is another one; -EBADMSG: its first line is none; -EINVAL: the file
 * holds no id; or what reading gave.
 */
int tri_archive_id_check(const char *data_dir, const char *name, bool *is_kept,
                         char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);

/* tri_archive_id_keep keeps the id of an archive that is open; durable when it returns.  Returns 0
 * or -errno with a line in `trouble`. */
int tri_archive_id_keep(const char *data_dir, const struct tri_archive *archive,
                        char trouble[TRI_ARCHIVE_TROUBLE_BYTES]);

#endif
