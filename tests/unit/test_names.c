/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names, and that docs/wire.md lists the same error codes as tricast/message.h.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/wire.h"

Test(names, errors_have_name_meaning_and_handling)
{
    cr_assert_str_eq(tri_error_name(TRI_ERROR_NONE), "NONE");
    cr_assert_str_eq(tri_error_name(TRI_ERROR_BUSY), "BUSY");
    cr_assert_str_eq(tri_error_name((enum tri_error)74), "HANDSHAKE_TIMEOUT");
    cr_assert_str_eq(tri_error_meaning(TRI_ERROR_PHASE_MISMATCH),
                     "phase and phaseSequence disagree");
    cr_assert_eq(tri_error_handling(TRI_ERROR_INVALID_STATE_TRANSITION), TRI_HANDLING_REJECT);
    cr_assert_eq(tri_error_handling(TRI_ERROR_ESCALATION_SEQUENCE), TRI_HANDLING_REJECT);
    cr_assert_eq(tri_error_handling(TRI_ERROR_CROSS_CHAIN_STATE_CONFLICT), TRI_HANDLING_RETRY);
    cr_assert_eq(tri_error_handling(TRI_ERROR_LOCK_EXPIRED), TRI_HANDLING_RETRY);
    cr_assert_eq(tri_error_handling(TRI_ERROR_MAX_RETRIES_EXCEEDED), TRI_HANDLING_DEAD_LETTER);
}

Test(names, unknown_values_have_no_name)
{
    cr_assert(!tri_error_known(12));
    cr_assert(!tri_error_known(31));
    cr_assert(!tri_error_known(120));
    cr_assert(!tri_error_known(UINT32_MAX));
    cr_assert(tri_error_known(0));
    cr_assert_str_eq(tri_error_name((enum tri_error)20), "?");
    cr_assert_str_eq(tri_error_meaning((enum tri_error)120), "?");
    cr_assert_eq(tri_error_handling((enum tri_error)120), TRI_HANDLING_REJECT);
    cr_assert_str_eq(tri_phase_name((enum tri_phase)3), "?");
    cr_assert_str_eq(tri_ack_type_name((enum tri_ack_type)8), "?");
    cr_assert_str_eq(tri_target_state_name((enum tri_target_state)7), "?");
}

Test(names, enums_are_named_as_the_protocol_writes_them)
{
    cr_assert_str_eq(tri_phase_name(TRI_PHASE_FINALIZE), "FINALIZE");
    cr_assert_str_eq(tri_ack_type_name(TRI_ACK_REJECTED), "REJECTED");
    cr_assert_str_eq(tri_ack_type_name(TRI_ACK_PHASE_REJECT), "PHASE_REJECT");
    cr_assert_str_eq(tri_atomicity_name(TRI_ALL_OR_NOTHING), "ALL_OR_NOTHING");
    cr_assert_str_eq(tri_priority_name(TRI_PRIORITY_CRITICAL), "CRITICAL");
    cr_assert_str_eq(tri_scope_name(TRI_SCOPE_ALL_CHAINS), "ALL_CHAINS");
    cr_assert_str_eq(tri_message_type_name(TRI_TYPE_QUERY), "QUERY");
    cr_assert_str_eq(tri_subtype_name(TRI_SUBTYPE_EXECUTE), "EXECUTE");
    cr_assert_str_eq(tri_role_name(TRI_ROLE_OPERATOR), "OPERATOR");
    cr_assert_str_eq(tri_target_state_name(TRI_TARGET_UNDONE), "UNDONE");
}

/* The page as text, from the source tree. */
static const char *wire_page(void)
{
    static char page[128 * 1024];
    const char *source = getenv("TRI_SOURCE_DIR");
    char path[4096];
    FILE *file;
    size_t bytes;

    (void)snprintf(path, sizeof path, "%s/docs/wire.md", source == NULL ? "." : source);
    file = fopen(path, "rb");
    cr_assert_not_null(file, "cannot open %s", path);
    bytes = fread(page, 1, sizeof page - 1, file);
    (void)fclose(file);
    cr_assert_lt(bytes, sizeof page - 1);
    page[bytes] = '\0';
    return page;
}

Test(names, the_wire_page_lists_every_error_code)
{
    static const struct {
        uint32_t value;
        const char *name;
        const char *handling;
    } rows[] = {
#define ROW(name, value, handling, meaning) {(value), #name, #handling},
        TRI_ERROR_LIST(ROW)
#undef ROW
    };
    const char *page = wire_page();
    size_t listed = 0;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char row[512];

        (void)snprintf(row, sizeof row, "\n| %u | `%s` | %s | %s |", rows[i].value, rows[i].name,
                       rows[i].handling, tri_error_meaning((enum tri_error)rows[i].value));
        cr_expect_not_null(strstr(page, row), "the page lacks:%s", row);
    }
    for (const char *at = strstr(page, "## Error codes"); at != NULL; at = strstr(at + 1, "\n| ")) {
        listed += at[3] >= '0' && at[3] <= '9';
    }
    cr_assert_eq(listed, sizeof rows / sizeof rows[0]);
}
