/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What settlement and operators ask of the archive, and the messages that are driven forward again.
 *
 * A report is answered when it is durable, so reports are taken in batches: noted one after the
 * other and flushed together; their answers are kept here until then.
 */
#include <string.h>

#include "io/archivist_internal.h"
#include "io/clock.h"
#include "io/log.h"

#define DESK_IDLE_NS    (1U * TRI_NS_PER_S)
/* Of one shard's questions, before the tapes are looked at again: one that reads a file can take
 * long. */
#define DESK_ASKED_NS   (2U * TRI_NS_PER_MS)
/* Bytes of a list: the frame's other parts and the heads of its elements have room beside. */
#define DESK_LIST_BYTES (TRI_FRAME_BYTES_MAX - 4096U)

static_assert(DESK_LIST_BYTES >= TRI_FINALITY_HEADER_BYTES_MAX + TRI_FINALITY_SIGNATURE_BYTES,
              "a list has room for the longest header");
static_assert((int)TRI_SETTLED_FINAL == (int)TRI_PENDING_FINAL &&
                  (int)TRI_SETTLED_DIFFERENT == (int)TRI_PENDING_DIFFERENT &&
                  (int)TRI_SETTLED_UNKNOWN == (int)TRI_PENDING_UNKNOWN &&
                  (int)TRI_SETTLED_HELD == (int)TRI_PENDING_HELD,
              "a verdict is the same on the wire");

static struct tri_text desk_text(const char *text)
{
    return (struct tri_text){.at = text, .bytes = (uint32_t)strlen(text)};
}

/* ---- answers ---- */

static void desk_error(struct tri_archivist *archivist, enum tri_error code, const char *detail)
{
    archivist->answer.type = TRI_FRAME_ERROR;
    archivist->answer.error = (struct tri_error_frame){
        .id = {.at = "", .bytes = 0}, .code = code, .detail = desk_text(detail)};
}

static void desk_row(struct tri_archivist *archivist, const char *name, const char *help,
                     uint64_t value)
{
    struct tri_finality_frame *finality = &archivist->answer.finality;

    assert(finality->count < TRI_FINALITY_ROWS_MAX);
    finality->rows[finality->count++] =
        (struct tri_finality_row){.name = desk_text(name), .help = desk_text(help), .value = value};
}

static int desk_view(struct tri_archivist *archivist)
{
    struct tri_archive_counts counts = tri_archive_counts(archivist->options.archive);
    struct tri_pending_view view;
    int failed = tri_pending_look(archivist->options.pending, tri_clock_wall_ms(), &view);

    if (failed != 0) {
        return failed;
    }
    archivist->answer.type = TRI_FRAME_FINALITY;
    archivist->answer.finality.count = 0;
    desk_row(archivist, "settlement", "1: one is configured; 0: the pending sync queue is off",
             view.is_on ? 1 : 0);
    desk_row(archivist, "sequencerUp", "0: forced messages are held back from the settlement",
             view.is_sequencer_up ? 1 : 0);
    desk_row(archivist, "gap", "1: the settlement lags, messages are driven forward again",
             view.is_gap ? 1 : 0);
    desk_row(archivist, "lagSeconds", "as its last HEARTBEAT said", view.lag_s);
    desk_row(archivist, "oldestPendingMs", "issuedAt of the oldest record that waits; 0: none does",
             view.oldest_ms);
    desk_row(archivist, "pendingRecords", "records without secondary finality", view.records);
    desk_row(archivist, "pendingMessages", "messages in them", view.messages);
    desk_row(archivist, "heldRecords", "of these, held until the sequencer is up",
             view.held_records);
    desk_row(archivist, "recordsBefore", "made without contents kept: not in the queue",
             view.records_before);
    desk_row(archivist, "settledRecords", "records with secondary finality", view.settled);
    desk_row(archivist, "differences", "reports of another root than the record's",
             view.differences);
    desk_row(archivist, "contestedRecords", "records whose last report was one",
             view.contested_records);
    desk_row(archivist, "reconciliation", "messages handed over to reconciliation",
             view.handed_messages);
    desk_row(archivist, "redeliveries", "messages driven forward again, since the start",
             view.redeliveries);
    desk_row(archivist, "redeliveriesFailed", "of these, some chain did not answer OK",
             view.failures);
    desk_row(archivist, "alarms", "messages that stay pending and are not driven any more",
             view.alarms);
    desk_row(archivist, "records", "finality records made since the start", counts.records);
    desk_row(archivist, "messages", "messages in them", counts.messages);
    desk_row(archivist, "bytes", "bytes of them", counts.bytes);
    return 0;
}

static int desk_pending_get(struct tri_archivist *archivist)
{
    const struct tri_pending_get *get = &archivist->question.pending_get;
    struct tri_pending_frame *pending = &archivist->answer.pending;
    struct tri_pending_item *items = archivist->items;
    uint32_t epoch = 0;
    uint32_t shard = 0;
    uint32_t more = 0;
    int failed = 0;

    if (get->stream.bytes > 0 && !tri_stream_get(get->stream, &epoch, &shard)) {
        desk_error(archivist, TRI_ERROR_FIELD_OUT_OF_RANGE, "stream");
        return 0;
    }
    if (get->stream.bytes == 0 && get->oss_epoch > 0) { /* a number in no stream */
        desk_error(archivist, TRI_ERROR_FIELD_OUT_OF_RANGE, "ossEpoch");
        return 0;
    }
    archivist->answer.type = TRI_FRAME_PENDING;
    pending->count = 0;
    pending->has_more = false;
    failed = tri_pending_list(archivist->options.pending, epoch, shard, get->oss_epoch, items,
                              get->limit, archivist->list, DESK_LIST_BYTES, &pending->count);
    if (failed != 0 || pending->count == 0) {
        return failed;
    }
    for (uint32_t i = 0; i < pending->count; i++) {
        pending->rows[i] = (struct tri_pending_row){
            .header = items[i].header,
            .signature = {.at = items[i].signature, .bytes = TRI_FINALITY_SIGNATURE_BYTES},
        };
    }
    items += pending->count - 1;
    failed =
        tri_pending_list(archivist->options.pending, items->epoch, items->shard, items->oss_epoch,
                         archivist->items, 1, archivist->frame, sizeof(archivist->frame), &more);
    pending->has_more = more > 0;
    return failed;
}

static int desk_settle(struct tri_archivist *archivist, const struct tri_desk_question *asked)
{
    const struct tri_settle *settle = &archivist->question.settle;
    struct tri_pending_report report = {
        .oss_epoch = settle->oss_epoch,
        .root = settle->root.at,
        .settled_at_ms = settle->settled_at_ms,
        .reference = settle->reference,
        .reporter = asked->name,
    };
    enum tri_pending_verdict verdict = TRI_PENDING_UNKNOWN;
    bool is_new = false;
    int failed = 0;

    if (!tri_stream_get(settle->stream, &report.epoch, &report.shard)) {
        desk_error(archivist, TRI_ERROR_FIELD_OUT_OF_RANGE, "stream");
        return 0;
    }
    failed = tri_pending_settle(archivist->options.pending, &report, tri_clock_wall_ms(), &verdict,
                                &is_new);
    assert(verdict != TRI_PENDING_OFF); /* else nobody could have this role */
    if (is_new && verdict == TRI_PENDING_DIFFERENT) {
        TRI_LOG(TRI_LOG_ERROR, "finality-differs",
                "stream=%.*s ossEpoch=%llu reporter=\"%s\" effect=\"the primary record stands\"",
                (int)settle->stream.bytes, settle->stream.at, (unsigned long long)settle->oss_epoch,
                tri_log_quote(asked->name).at);
    }
    archivist->answer.type = TRI_FRAME_SETTLED;
    archivist->answer.settled = (struct tri_settled){
        .stream = settle->stream,
        .oss_epoch = settle->oss_epoch,
        .verdict = (enum tri_settled_verdict)verdict,
    };
    return failed;
}

static int desk_sequencer(struct tri_archivist *archivist, const struct tri_desk_question *asked)
{
    bool is_up = archivist->question.is_sequencer_up;
    bool is_new = false;
    int failed = 0;

    if (!archivist->options.is_settled) { /* nothing would keep it: it must not look as if */
        desk_error(archivist, TRI_ERROR_NOT_ALLOWED, "no settlement is configured");
        return 0;
    }
    failed = tri_pending_sequencer(archivist->options.pending, is_up, asked->name,
                                   tri_clock_wall_ms(), &is_new);
    archivist->learn_due_ns = 0;
    if (failed == 0 && is_new) {
        TRI_LOG(TRI_LOG_WARN, "sequencer", "up=%d operator=\"%s\"", is_up ? 1 : 0,
                tri_log_quote(asked->name).at);
        failed = tri_pending_sync(archivist->options.pending);
    }
    return failed != 0 ? failed : desk_view(archivist);
}

/* Makes the answer to one question; -errno: the queue has failed. */
static int desk_answer(struct tri_archivist *archivist, const struct tri_desk_question *asked)
{
    struct tri_wire_fault fault;

    if (archivist_has_failed(archivist)) {
        desk_error(archivist, TRI_ERROR_JOURNAL_FAILED, "the archive has failed");
        return 0;
    }
    if (tri_wire_decode(asked->frame.at, asked->frame.bytes, &archivist->question, &fault) !=
        TRI_OK) {
        desk_error(archivist, fault.code, fault.field); /* the shard has let it pass: not reached */
        return 0;
    }
    switch (archivist->question.type) {
    case TRI_FRAME_PENDING_GET:
        return desk_pending_get(archivist);
    case TRI_FRAME_SETTLE:
        return desk_settle(archivist, asked);
    case TRI_FRAME_SEQUENCER:
        return desk_sequencer(archivist, asked);
    case TRI_FRAME_HEARTBEAT:
        tri_pending_heartbeat(archivist->options.pending, archivist->question.heartbeat_lag_s);
        archivist->forward_due_ms = 0;
        return desk_view(archivist);
    default:
        assert(archivist->question.type == TRI_FRAME_FINALITY_GET);
        return desk_view(archivist);
    }
}

/* What has failed?  A read leaves everything as it is, and who asked is told; a write or a flush is
 * the end (D03). */
static void desk_unreadable(struct tri_archivist *archivist)
{
    const char *trouble = tri_pending_trouble(archivist->options.pending);

    if (tri_pending_sync(archivist->options.pending) != 0) {
        tri_archivist_fail_pending(archivist);
    } else {
        TRI_LOG(TRI_LOG_ERROR, "archive-unreadable", "reason=\"%s\"", trouble);
    }
    desk_error(archivist, TRI_ERROR_JOURNAL_FAILED, "the archive cannot be read");
}

static void desk_put(struct tri_archivist *archivist, uint32_t shard, tri_port port)
{
    struct tri_desk_order order = {.kind = TRI_DESK_REPLY, .port = port};

    order.bytes.bytes =
        tri_wire_encode(&archivist->answer, archivist->frame, sizeof(archivist->frame));
    order.bytes.at = archivist->frame;
    assert(order.bytes.bytes > 0);
    tri_desk_order_put(&archivist->options.desks[shard], &order);
}

/* Shows the shard what was put. */
static void desk_show(struct tri_archivist *archivist, uint32_t shard)
{
    if (tri_desk_publish(&archivist->options.desks[shard])) {
        archivist->options.wake(archivist->options.context, &archivist->loop, shard);
    }
}

/* Flushes what was noted; then, and not before, the answers that tell of it are put. */
static void desk_flush(struct tri_archivist *archivist, uint32_t shard)
{
    if (archivist->kept_count > 0 && tri_pending_sync(archivist->options.pending) != 0) {
        tri_archivist_fail_pending(archivist);
    }
    for (uint32_t i = 0; i < archivist->kept_count; i++) {
        const struct archivist_kept *kept = &archivist->kept[i];

        if (archivist_has_failed(archivist)) {
            desk_error(archivist, TRI_ERROR_JOURNAL_FAILED, "the archive has failed");
        } else {
            archivist->answer.type = TRI_FRAME_SETTLED;
            archivist->answer.settled = kept->settled;
            archivist->answer.settled.stream.at = kept->stream;
        }
        desk_put(archivist, shard, kept->port);
    }
    archivist->kept_count = 0;
    desk_show(archivist, shard);
}

static void desk_keep(struct tri_archivist *archivist, tri_port port)
{
    struct archivist_kept *kept = &archivist->kept[archivist->kept_count++];
    const struct tri_settled *settled = &archivist->answer.settled;

    assert(settled->stream.bytes <= sizeof(kept->stream));
    kept->port = port;
    kept->settled = *settled;
    memcpy(kept->stream, settled->stream.at, settled->stream.bytes);
}

static bool desk_is_report(const struct tri_desk_question *asked)
{
    struct tri_wire_fault ignored;
    enum tri_frame_type type;
    struct tri_text id;

    return tri_wire_peek(asked->frame.at, asked->frame.bytes, &type, &id, &ignored) == TRI_OK &&
           type == TRI_FRAME_SETTLE;
}

/* Answers what was asked.  Reports are kept until their flush, all that have come together; looking
 * for room sends what was put, and room for one answer of any size is room for all of theirs. */
static uint32_t desk_questions(struct tri_archivist *archivist, uint32_t shard)
{
    struct tri_desk *desk = &archivist->options.desks[shard];
    struct tri_desk_question asked;
    uint64_t begun_ns = tri_clock_now_ns();
    uint32_t taken = 0;

    assert(archivist->kept_count == 0);
    while (archivist->kept_count < ARCHIVIST_KEPT_MAX &&
           (taken == 0 || tri_clock_now_ns() - begun_ns < DESK_ASKED_NS) &&
           tri_desk_has_room(desk) && tri_desk_question(desk, &asked)) {
        if (archivist->kept_count > 0 && !desk_is_report(&asked)) {
            break; /* theirs first */
        }
        if (desk_answer(archivist, &asked) != 0) {
            desk_unreadable(archivist);
        }
        if (archivist->answer.type == TRI_FRAME_SETTLED) {
            desk_keep(archivist, asked.port);
        } else {
            desk_put(archivist, shard, asked.port);
        }
        tri_desk_question_done(desk);
        taken++;
    }
    desk_flush(archivist, shard);
    return taken;
}

/* ---- messages that are driven forward again ---- */

/* Who did not answer OK, of a result that is FAILED. */
static void desk_culprit(const struct tri_ack *ack, struct tri_text *chain, enum tri_error *code)
{
    *chain = desk_text("");
    *code = ack->code;
    for (uint32_t i = 0; i < ack->target_count; i++) {
        if (ack->targets[i].state != TRI_TARGET_FINAL) {
            *chain = ack->targets[i].chain;
            *code = ack->targets[i].code == TRI_ERROR_NONE ? ack->code : ack->targets[i].code;
            return;
        }
    }
}

static int desk_redelivered(struct tri_archivist *archivist,
                            const struct archivist_forward *forward, const struct tri_ack *ack)
{
    const struct tri_pending_redelivery *what = &forward->what;
    bool is_lost = ack->code == TRI_ERROR_CHAIN_NOT_SUPPORTED; /* of a chain that has left */
    enum tri_redelivered result = ack->type == TRI_ACK_PROCESSED ? TRI_REDELIVERED_AGREED
                                  : ack->type == TRI_ACK_REJECTED && !is_lost
                                      ? TRI_REDELIVERED_NOT_SENT
                                      : TRI_REDELIVERED_FAILED;
    enum tri_pending_outcome outcome = TRI_PENDING_KEPT;
    enum tri_error code = TRI_ERROR_NONE;
    struct tri_text chain;
    int failed = 0;

    desk_culprit(ack, &chain, &code);
    failed = tri_pending_redelivered(archivist->options.pending, what, result, chain, code,
                                     tri_clock_wall_ms(), &outcome);
    if (failed == 0 && outcome != TRI_PENDING_KEPT) {
        failed = tri_pending_sync(archivist->options.pending);
        TRI_LOG(TRI_LOG_ERROR, outcome == TRI_PENDING_HANDED ? "reconciliation" : "finality-alarm",
                "message=\"%s\" stream=%u-%u ossEpoch=%llu chain=%.*s code=%s reason=\"%s\"",
                tri_log_quote((struct tri_text){forward->id, forward->id_bytes}).at, what->epoch,
                what->shard, (unsigned long long)what->oss_epoch, (int)chain.bytes, chain.at,
                tri_error_name(code),
                is_lost                         ? "a chain of it is not configured any more"
                : outcome == TRI_PENDING_HANDED ? "a chain did not answer OK"
                                                : "all chains agree, the settlement is silent");
    }
    return failed;
}

static uint32_t desk_results(struct tri_archivist *archivist, uint32_t shard)
{
    struct tri_desk *desk = &archivist->options.desks[shard];
    struct tri_bytes frame;
    uint32_t taken = 0;
    tri_port port;

    while (!archivist_has_failed(archivist) && tri_desk_result_next(desk, &port, &frame)) {
        struct archivist_forward *forward = &archivist->forwards[TRI_PORT_INTERNAL_NUMBER(port)];
        struct tri_wire_fault fault;

        if (forward->is_taken && forward->generation == TRI_PORT_GENERATION(port) &&
            tri_wire_decode(frame.at, frame.bytes, &archivist->question, &fault) == TRI_OK &&
            archivist->question.type == TRI_FRAME_ACK &&
            archivist->question.ack.type != TRI_ACK_RECEIVED) {
            forward->is_taken = false;
            archivist->forward_due_ms = 0;
            if (desk_redelivered(archivist, forward, &archivist->question.ack) != 0) {
                tri_archivist_fail_pending(archivist);
            }
        }
        tri_desk_result_done(desk);
        taken++;
    }
    return taken;
}

/* A free place for a redelivery by shard `owner`; NULL: it has as many as it may. */
static struct archivist_forward *desk_place(struct tri_archivist *archivist, uint32_t owner)
{
    struct archivist_forward *places = &archivist->forwards[(size_t)owner * TRI_DESK_FORWARDS_MAX];

    for (uint32_t i = 0; i < TRI_DESK_FORWARDS_MAX; i++) {
        if (!places[i].is_taken) {
            return &places[i];
        }
    }
    return NULL;
}

/* The attempt of a redelivery: of this start, above the recorded one and all redeliveries' (P10).
 */
static tri_attempt desk_attempt(struct tri_archivist *archivist, tri_attempt recorded)
{
    uint32_t epoch = archivist->options.epoch;
    uint32_t base = TRI_ATTEMPT_EPOCH(recorded) == epoch ? TRI_ATTEMPT_N(recorded) : 0;

    archivist->forward_count++;
    return TRI_ATTEMPT(epoch, base + archivist->forward_count);
}

/* Returns whether the message is on its way to the shard that owns it. */
static bool desk_forward(struct tri_archivist *archivist, const struct tri_pending_redelivery *what)
{
    struct tri_desk_order order = {
        .kind = TRI_DESK_FORWARD, .leaf = what->leaf, .bytes = what->content};
    struct archivist_forward *place = NULL;
    const char *fault = NULL;
    struct tri_leaf leaf;
    uint32_t owner = 0;

    if (!tri_leaf_get(what->leaf, &leaf, &fault)) {
        return false;
    }
    owner = tri_shard_set_owner(archivist->options.set, leaf.id);
    place = desk_place(archivist, owner);
    if (place == NULL || !tri_desk_has_room(&archivist->options.desks[owner])) {
        return false;
    }
    place->is_taken = true;
    place->generation = (place->generation + 1) & 0xffffffU;
    place->id_bytes = (uint8_t)leaf.id.bytes;
    memcpy(place->id, leaf.id.at, leaf.id.bytes);
    place->what = *what;
    place->what.leaf = place->what.content = (struct tri_bytes){.at = NULL, .bytes = 0};
    order.attempt = desk_attempt(archivist, leaf.attempt);
    order.since_ms = leaf.issued_at_ms;
    order.port = TRI_PORT_INTERNAL(owner, place->generation, TRI_INTERNAL_OWNER,
                                   place - archivist->forwards);
    tri_desk_order_put(&archivist->options.desks[owner], &order);
    desk_show(archivist, owner);
    return true;
}

static void desk_say_gap(struct tri_archivist *archivist, bool is_gap)
{
    if (is_gap == archivist->was_gap) {
        return;
    }
    archivist->was_gap = is_gap;
    TRI_LOG(is_gap ? TRI_LOG_ERROR : TRI_LOG_INFO, "finality-gap", "open=%d", is_gap ? 1 : 0);
}

/* A message that stays pending and is not driven (any more). */
static void desk_alarm(void *context, const struct tri_pending_alarm *alarm)
{
    (void)context;
    TRI_LOG(TRI_LOG_ERROR, "finality-alarm",
            "message=\"%s\" stream=%u-%u ossEpoch=%llu reason=\"%s\"", tri_log_quote(alarm->id).at,
            alarm->epoch, alarm->shard, (unsigned long long)alarm->oss_epoch, alarm->reason);
}

/* Looks at records of which it is not known whether they are to be held; returns the work done. */
static uint32_t desk_learn(struct tri_archivist *archivist)
{
    uint64_t now_ns = tri_clock_now_ns();
    bool is_more = false;

    if (now_ns < archivist->learn_due_ns) {
        return 0;
    }
    if (tri_pending_learn(archivist->options.pending, &is_more) != 0) { /* they stay held */
        TRI_LOG(TRI_LOG_ERROR, "archive-unreadable", "reason=\"%s\"",
                tri_pending_trouble(archivist->options.pending));
        archivist->learn_due_ns = now_ns + DESK_IDLE_NS;
        return 0;
    }
    return is_more ? 1 : 0;
}

static uint32_t desk_forwards(struct tri_archivist *archivist)
{
    struct tri_pending_redelivery what;
    struct tri_pending_view view;
    uint64_t now_ms = tri_clock_wall_ms();
    uint64_t again_ms = TRI_NEVER;
    uint32_t begun = 0;
    int got = 1;

    if (now_ms < archivist->forward_due_ms) {
        return 0;
    }
    tri_pending_watch(archivist->options.pending, desk_alarm, archivist);
    got = tri_pending_look(archivist->options.pending, now_ms, &view) == 0 ? 1 : -1;
    if (got > 0) {
        desk_say_gap(archivist, view.is_gap);
    }
    while (got > 0 && !archivist_has_failed(archivist)) {
        got = tri_pending_next(archivist->options.pending, now_ms, &what, &again_ms);
        if (got > 0 && !desk_forward(archivist, &what)) {
            enum tri_pending_outcome outcome;

            got =
                tri_pending_redelivered(archivist->options.pending, &what, TRI_REDELIVERED_NOT_SENT,
                                        desk_text(""), TRI_ERROR_BUSY, now_ms, &outcome);
        } else {
            begun += got > 0 ? 1 : 0;
        }
    }
    if (got < 0) {
        tri_archivist_fail_pending(archivist);
    }
    archivist->forward_due_ms = again_ms;
    if (again_ms > now_ms + DESK_IDLE_NS / TRI_NS_PER_MS) {
        archivist->forward_due_ms = now_ms + DESK_IDLE_NS / TRI_NS_PER_MS;
    }
    return begun;
}

uint32_t tri_archivist_desks(struct tri_archivist *archivist)
{
    uint32_t work = 0;

    for (uint32_t shard = 0; shard < archivist->options.shards; shard++) {
        work += desk_questions(archivist, shard);
        work += desk_results(archivist, shard);
    }
    if (archivist->options.is_settled && !archivist_has_failed(archivist)) {
        work += desk_learn(archivist);
        work += desk_forwards(archivist);
    }
    return work;
}

uint64_t tri_archivist_desks_idle_ns(const struct tri_archivist *archivist)
{
    uint64_t now_ms = tri_clock_wall_ms();
    uint64_t due_ms = archivist->forward_due_ms;

    if (!archivist->options.is_settled || archivist_has_failed(archivist)) {
        return TRI_NEVER;
    }
    if (due_ms <= now_ms) {
        return 0;
    }
    due_ms -= now_ms; /* a clock that steps back makes nothing wait for long */
    return due_ms * TRI_NS_PER_MS < DESK_IDLE_NS ? due_ms * TRI_NS_PER_MS : DESK_IDLE_NS;
}
