/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names: the enums of tricast.h as views, logs and documents write them.
 */
#include "engine/wire.h"

struct error_row {
    const char *name;
    const char *meaning;
    enum tri_handling handling;
};

static const struct error_row errors[TRI_ERROR_VALUE_MAX + 1] = {
#define ERROR_ROW(name, value, handling, meaning) \
    [value] = {#name, meaning, TRI_HANDLING_##handling},
    TRI_ERROR_LIST(ERROR_ROW)
#undef ERROR_ROW
};

bool tri_error_known(uint32_t value)
{
    return value <= TRI_ERROR_VALUE_MAX && errors[value].name != NULL;
}

const char *tri_error_name(enum tri_error error)
{
    return tri_error_known((uint32_t)error) ? errors[error].name : "?";
}

const char *tri_error_meaning(enum tri_error error)
{
    return tri_error_known((uint32_t)error) ? errors[error].meaning : "?";
}

enum tri_handling tri_error_handling(enum tri_error error)
{
    /* What nobody knows must not be tried again. */
    return tri_error_known((uint32_t)error) ? errors[error].handling : TRI_HANDLING_REJECT;
}

/* A name function over the enum's values in order; the count is checked at compile time. */
#define NAMES(function, enum_type, count, ...)                                               \
    const char *function(enum_type value)                                                    \
    {                                                                                        \
        static const char *const names[] = {__VA_ARGS__};                                    \
        static_assert(sizeof names / sizeof names[0] == (count), #function " lacks a name"); \
        return (uint32_t)value < (count) ? names[value] : "?";                               \
    }

NAMES(tri_phase_name, enum tri_phase, TRI_PHASE_COUNT, "PREPARE", "COMMIT", "FINALIZE")
NAMES(tri_ack_type_name, enum tri_ack_type, TRI_ACK_COUNT, "RECEIVED", "PROCESSED", "FAILED",
      "REJECTED", "PHASE_PREPARE_OK", "PHASE_COMMIT_OK", "PHASE_FINALIZE_OK", "PHASE_REJECT")
NAMES(tri_atomicity_name, enum tri_atomicity, TRI_ATOMICITY_COUNT, "BEST_EFFORT", "GUARANTEED",
      "ALL_OR_NOTHING")
NAMES(tri_priority_name, enum tri_priority, TRI_PRIORITY_COUNT, "LOW", "NORMAL", "HIGH", "CRITICAL")
NAMES(tri_scope_name, enum tri_scope, TRI_SCOPE_COUNT, "TARGETS", "ALL_CHAINS")
NAMES(tri_message_type_name, enum tri_message_type, TRI_TYPE_COUNT, "STATE_SYNC",
      "REGULATORY_ACTION", "GOVERNANCE", "HEARTBEAT", "ACK", "QUERY")
NAMES(tri_subtype_name, enum tri_subtype, TRI_SUBTYPE_COUNT, "NONE", "EXECUTE")
NAMES(tri_role_name, enum tri_role, TRI_ROLE_COUNT, "CLIENT", "CHAIN", "OPERATOR", "SETTLEMENT")
NAMES(tri_target_state_name, enum tri_target_state, TRI_TARGET_STATE_COUNT, "OPEN", "PREPARED",
      "APPLIED", "FINAL", "REFUSED", "UNKNOWN", "UNDONE")
