/* SPDX-License-Identifier: Apache-2.0 */
#include "io/vault.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "io/archive_id.h"
#include "io/archive_manifest.h"
#include "io/log.h"
#include "io/place.h"

#define VAULT_PATH_BYTES 4096U

static void vault_path(char path[VAULT_PATH_BYTES], const char *data_dir, const char *name)
{
    (void)snprintf(path, VAULT_PATH_BYTES, "%s/%s", data_dir, name);
}

/* Whether the directory has anything of an archive; a disk's own directories are nothing of it. */
static bool vault_is_begun(const char *path)
{
    DIR *names = opendir(path);
    const struct dirent *entry = NULL;
    bool is_begun = names == NULL && errno != ENOENT;

    while (names != NULL && !is_begun && (entry = readdir(names)) != NULL) {
        const char *suffix = strrchr(entry->d_name, '.');

        is_begun = strcmp(entry->d_name, TRI_ARCHIVE_MANIFEST_NAME) == 0 ||
                   strcmp(entry->d_name, TRI_SECONDARY_NAME) == 0 ||
                   (suffix != NULL && strcmp(suffix, ".fin") == 0);
    }
    if (names != NULL) {
        (void)closedir(names);
    }
    return is_begun;
}

/* Opens the key.  A new one would not be known to whoever checks what was signed before, so it is
 * made for a new archive alone. */
static int vault_open_key(struct tri_vault *vault, const char *data_dir,
                          char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    char archive[VAULT_PATH_BYTES];
    char path[VAULT_PATH_BYTES];
    int failed = 0;

    vault_path(archive, data_dir, "finality");
    vault_path(path, data_dir, "finality-key");
    failed = tri_signer_open(&vault->signer, path, trouble, TRI_ARCHIVE_TROUBLE_BYTES);
    if (failed != -ENOENT) {
        return failed;
    }
    if (!vault_is_begun(archive)) {
        return tri_signer_new(&vault->signer, path, trouble, TRI_ARCHIVE_TROUBLE_BYTES);
    }
    (void)snprintf(trouble, TRI_ARCHIVE_TROUBLE_BYTES,
                   "%s/finality-key: the key is missing, but the archive is there; put its copy "
                   "back; or, if there is none, make another by tricast key new %s/finality-key, "
                   "and tell everyone who verifies",
                   data_dir, data_dir);
    return -ENOKEY;
}

/* Which key signs from now on, and which one did before. */
static void vault_say_key(const struct tri_vault *vault)
{
    uint8_t before[TRI_SIGNER_PUBLIC_BYTES];
    char before_text[2 * TRI_SIGNER_PUBLIC_BYTES];
    char text[2 * TRI_SIGNER_PUBLIC_BYTES];

    tri_archive_key(vault->archive, before);
    tri_hex_put(vault->signer.public_key, TRI_SIGNER_PUBLIC_BYTES, text);
    tri_hex_put(before, TRI_SIGNER_PUBLIC_BYTES, before_text);
    if (memcmp(before, vault->signer.public_key, sizeof(before)) == 0) {
        TRI_LOG(TRI_LOG_INFO, "signer", "key=%.*s", (int)sizeof(text), text);
    } else {
        TRI_LOG(TRI_LOG_WARN, "signer", "key=%.*s before=%.*s", (int)sizeof(text), text,
                (int)sizeof(before_text), before_text);
    }
}

int tri_vault_open(struct tri_vault *vault, const char *data_dir,
                   char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct tri_archive_options options = {.signer = &vault->signer};
    char path[VAULT_PATH_BYTES];
    uint64_t cut_bytes = 0;
    bool is_kept = false;
    int failed = tri_archive_id_check(data_dir, "finality", &is_kept, trouble);

    if (failed != 0) {
        return failed;
    }
    failed = vault_open_key(vault, data_dir, trouble);
    if (failed == 0) {
        vault_path(path, data_dir, "finality");
        failed = tri_archive_open(&vault->archive, path, &options, trouble);
    }
    if (failed == 0 && !is_kept) {
        failed = tri_archive_id_keep(data_dir, vault->archive, trouble);
    }
    if (failed != 0) {
        return failed;
    }
    vault_say_key(vault);
    cut_bytes = tri_archive_counts(vault->archive).cut_bytes;
    if (cut_bytes > 0) {
        TRI_LOG(TRI_LOG_INFO, "archive", "cut=%llu", (unsigned long long)cut_bytes);
    }
    return 0;
}

static bool vault_map(struct tri_vault *vault, const struct tri_vault_options *options)
{
    size_t tapes_bytes = options->shards * sizeof(struct tri_tape);
    size_t desks_bytes = options->shards * sizeof(struct tri_desk);
    uint8_t *at = NULL;

    static_assert(sizeof(struct tri_tape) % TRI_CACHE_LINE == 0 &&
                      sizeof(struct tri_desk) % TRI_CACHE_LINE == 0,
                  "what lies behind them is aligned");
    vault->bytes =
        tapes_bytes + desks_bytes + options->shards * (tri_tape_footprint() + tri_desk_footprint());
    vault->memory = tri_place_map(vault->bytes);
    if (vault->memory == NULL) {
        return false;
    }
    at = vault->memory;
    vault->tapes = (struct tri_tape *)(void *)at;
    vault->desks = (struct tri_desk *)(void *)(at + tapes_bytes);
    at += tapes_bytes + desks_bytes;
    for (uint32_t shard = 0; shard < options->shards; shard++) {
        tri_tape_init(&vault->tapes[shard], at, options->epoch, shard, options->pending.is_on);
        at += tri_tape_footprint();
        tri_desk_init(&vault->desks[shard], at);
        at += tri_desk_footprint();
    }
    return true;
}

int tri_vault_begin(struct tri_vault *vault, const struct tri_vault_options *options,
                    char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    char path[VAULT_PATH_BYTES];

    if (!vault_map(vault, options)) {
        (void)snprintf(trouble, TRI_ARCHIVE_TROUBLE_BYTES, "no memory for the archive's tapes");
        return -ENOMEM;
    }
    vault_path(path, options->data_dir, "finality");
    return tri_pending_open(&vault->pending, path, &options->pending, trouble);
}

int tri_vault_run(struct tri_vault *vault, const struct tri_vault_options *options,
                  char trouble[TRI_ARCHIVE_TROUBLE_BYTES])
{
    struct tri_archivist_options archivist = {
        .archive = vault->archive,
        .set = options->set,
        .is_settled = options->pending.is_on,
        .wake = options->wake,
        .context = options->context,
        .shards = options->shards,
        .epoch = options->epoch,
        .tapes = vault->tapes,
        .desks = vault->desks,
        .pending = vault->pending,
    };

    return tri_archivist_begin(&vault->archivist, &archivist, trouble);
}

void tri_vault_end(struct tri_vault *vault)
{
    tri_archivist_end(vault->archivist);
    tri_pending_close(vault->pending);
    tri_archive_close(vault->archive);
    tri_signer_close(&vault->signer);
    tri_place_unmap(vault->memory, vault->bytes);
    *vault = (struct tri_vault){0};
}
