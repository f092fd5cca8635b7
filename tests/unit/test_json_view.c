/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON views: the specification's names, and bytes of a peer that are not what
 * they should be.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "io/json_view.h"

static void assert_json(json_t *view, const char *expected)
{
    char *text;

    cr_assert_not_null(view);
    text = json_dumps(view, JSON_COMPACT);
    cr_assert_str_eq(text, expected);
    free(text);
    json_decref(view);
}

Test(json_view, an_absent_error_is_null)
{
    struct tri_ack ack = {.id = {"m", 1}, .type = TRI_ACK_RECEIVED};

    assert_json(tri_json_ack(&ack),
                "{\"view\":\"ACK\",\"originalMessageId\":\"m\",\"ackType\":\"RECEIVED\","
                "\"errorCode\":null,\"duplicate\":false,\"attempt\":null,\"targets\":[]}");
}

Test(json_view, F07_an_envelope_shows_what_became_of_each_delivery)
{
    struct tri_envelope_ack ack = {.id = {"e", 1},
                                   .type = TRI_ACK_FAILED,
                                   .code = TRI_ERROR_ROLLED_BACK,
                                   .duplicate = true,
                                   .count = 2,
                                   .rows = {{{"a", 1}, TRI_ACK_PROCESSED, TRI_ERROR_NONE},
                                            {{"b", 1}, TRI_ACK_FAILED, TRI_ERROR_ROLLED_BACK}}};

    assert_json(tri_json_envelope_ack(&ack),
                "{\"view\":\"ENVELOPE_ACK\",\"envelopeId\":\"e\",\"ackType\":\"FAILED\","
                "\"errorCode\":\"ROLLED_BACK\",\"duplicate\":true,\"deliveries\":["
                "{\"originalMessageId\":\"a\",\"ackType\":\"PROCESSED\",\"errorCode\":null},"
                "{\"originalMessageId\":\"b\",\"ackType\":\"FAILED\","
                "\"errorCode\":\"ROLLED_BACK\"}],"
                "\"errorMeaning\":\"COMMIT failed on a chain and was undone on the others\"}");
}

Test(json_view, F01_a_notice_says_that_no_prover_is_attached)
{
    struct tri_notice notice = {.id = {"m", 1},
                                .attempt = TRI_ATTEMPT(2, 3),
                                .issued_at_ms = 1,
                                .chain_count = 1,
                                .chains = {{"eip155:1", 8}}};

    assert_json(tri_json_notice(&notice),
                "{\"view\":\"NOTICE\",\"originalMessageId\":\"m\",\"attempt\":{\"epoch\":2,\"n\":3}"
                ",\"issuedAt\":\"1970-01-01T00:00:00.001Z\",\"participatingChains\":[\"eip155:1\"]"
                ",\"stream\":null,\"ossEpoch\":null,\"gkrProofHash\":null}");
    notice.stream = (struct tri_text){"2-0", 3};
    notice.oss_epoch = 7;
    assert_json(tri_json_notice(&notice),
                "{\"view\":\"NOTICE\",\"originalMessageId\":\"m\",\"attempt\":{\"epoch\":2,\"n\":3}"
                ",\"issuedAt\":\"1970-01-01T00:00:00.001Z\",\"participatingChains\":[\"eip155:1\"]"
                ",\"stream\":\"2-0\",\"ossEpoch\":7,\"gkrProofHash\":null}");
}

#define BYTES(text)                               \
    (struct tri_bytes)                            \
    {                                             \
        (const uint8_t *)(text), sizeof(text) - 1 \
    }

Test(json_view, pages_of_a_ledger_become_one_view)
{
    bool more = false;
    json_t *view = tri_json_ledger(NULL,
                                   BYTES("\xa3"
                                         "c:1\xc3\x91\x95\xa1"
                                         "a\x02\x01\x05\xa1"
                                         "m\x91\x92\xa8instance\x07"),
                                   &more);

    cr_assert(more);
    view = tri_json_ledger(view,
                           BYTES("\xa3"
                                 "c:1\xc2\x91\x95\xa1"
                                 "b\x00\x00\x00\xa0\x91\x92\xa1n\x09"),
                           &more);
    cr_assert_not(more);
    assert_json(view,
                "{\"view\":\"LEDGER\",\"chainId\":\"c:1\",\"instance\":7,\"assets\":["
                "{\"assetId\":\"a\",\"primaryLockState\":\"RESTRICTED\",\"secondaryState\":"
                "\"FROZEN\",\"version\":5,\"reservedBy\":\"m\"},{\"assetId\":\"b\","
                "\"primaryLockState\":\"AVAILABLE\",\"secondaryState\":\"NONE\",\"version\":0,"
                "\"reservedBy\":null}],\"counters\":{\"n\":9}}");
}

Test(json_view, what_is_no_page_gives_no_view)
{
    bool more;

    cr_assert_null(tri_json_ledger(NULL, BYTES(""), &more));
    cr_assert_null(tri_json_ledger(NULL, BYTES("\xa1x\xc3\x90"), &more), "an element is missing");
    cr_assert_null(tri_json_ledger(NULL, BYTES("\x01\xc3\x90\x90"), &more), "no text");
    cr_assert_null(
        tri_json_ledger(NULL, BYTES("\xa1x\xc3\x91\x95\xa1y\x05\x00\x00\xa0\x90"), &more),
        "no such state");
    cr_assert_null(tri_json_stats(BYTES("\x91\x94\xa1n\xa1u\xa1h\x01")));
    cr_assert_null(tri_json_stats(BYTES("")));
}

Test(json_view, pages_of_two_chains_are_no_view)
{
    bool more;
    json_t *view = tri_json_ledger(NULL, BYTES("\xa1x\xc3\x90\x90"), &more);

    cr_assert_not_null(view);
    cr_assert_null(tri_json_ledger(view, BYTES("\xa1y\xc2\x90\x90"), &more));
}
