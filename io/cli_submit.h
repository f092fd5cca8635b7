/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Submit: what the verbs submit and envelope, and a burst, share.
 *
 * Threads: one.
 */
#ifndef TRI_IO_CLI_SUBMIT_H
#define TRI_IO_CLI_SUBMIT_H

#include "engine/ledger.h"
#include "io/cli.h"

#define TRI_BURST_MAX     10000000U
#define TRI_IN_FLIGHT_MAX 65536U

struct tri_submission {
    struct tri_cli cli;
    struct tri_message message; /* as the flags say; its texts are the flags' */
    bool has_action;
    enum tri_asset_action action;
    struct tri_text reason;
    char id[TRI_ID_BYTES_MAX + 1U]; /* generated, if none was given */
    uint8_t *payload;               /* TRI_PAYLOAD_BYTES_MAX + 1 */
    uint32_t burst;                 /* 0 = one message */
    uint32_t in_flight;
    bool is_forced; /* F06 */
};

/* tri_submission_parse fills *submission from the flags of the verb submit; free its payload.
 * False: no memory. */
bool tri_submission_parse(struct tri_submission *submission, int argc, char **argv);

/* tri_submission_payload encodes {assetId, action, reason} for `asset` into the message's payload.
 */
void tri_submission_payload(struct tri_submission *submission, struct tri_text asset);

/*
 * tri_cli_burst submits `burst` messages, at most `in_flight` unanswered.
 *
 * Message n has the id ID-n and, with n as six digits, the asset ASSETn for every --asset ASSET.
 * Prints one summary.  Returns the exit code: 0 if every message was answered, whatever the answer.
 */
int tri_cli_burst(struct tri_submission *submission, struct tri_client *client);

#endif
