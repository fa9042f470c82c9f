// How a participant learns of runs, joins them and reports: the replay's record, the join, the reports.
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/nats/participant_impl.h"
#include "bus/nats/service_impl.h"

enum { JOIN_TIMEOUT_MS = 2000, JOIN_AGAIN_MS = 300, FLOW_MS = 20 };

// --- filters -----------------------------------------------------------------------------------------

// One filter can be handed to the source stream; several could overlap, which the broker refuses.
static void choose_source_filter(bus_participant *part, const bus_participant_opts *opts)
{
    const char *filter = opts->filter_count == 1 ? opts->filters[0] : "";
    size_t prefix = sizeof "hyp.." - 1 + strlen(part->selector);
    snprintf(part->source_filter, sizeof part->source_filter, "act.exchange.>");
    if (strlen(filter) > prefix && strncmp(filter + prefix, "exchange.", 9) == 0)
        snprintf(part->source_filter, sizeof part->source_filter, "act.%s", filter + prefix);
}

bus_err bus_part_filters(bus_participant *part, const bus_participant_opts *opts)
{
    bus_view views[BUS_CREDIT_FILTERS_MAX];
    if (opts->filter_count > BUS_CREDIT_FILTERS_MAX)
        return bus_fail(BUS_EINVAL, "%zu filters, at most %d", opts->filter_count,
                        BUS_CREDIT_FILTERS_MAX);
    json_t *list = json_array();
    for (size_t i = 0; i < opts->filter_count; i++) {
        views[i] = bus_view_of(opts->filters[i]);
        json_array_append_new(list, json_string(opts->filters[i]));
    }
    part->filters_json = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    if (!part->filters_json)
        return bus_fail(BUS_ENOMEM, "filters");
    choose_source_filter(part, opts);
    return bus_proof_open(&part->proof, bus_view_of(part->selector), bus_view_of(part->name), views,
                          opts->filter_count);
}

// --- the record --------------------------------------------------------------------------------------

static void copy_text(const json_t *object, const char *key, char *out, size_t cap)
{
    const char *text = json_string_value(json_object_get(object, key));
    snprintf(out, cap, "%s", text ? text : "");
}

// A number, or one in a string, under either spelling of its name.
static uint64_t number_of(const json_t *object, const char *key, const char *other)
{
    const json_t *value = json_object_get(object, key);
    uint64_t out = 0;
    if (!value)
        value = json_object_get(object, other);
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        return (uint64_t)json_integer_value(value);
    const char *text = json_string_value(value);
    return text && bus_view_u64(bus_view_of(text), &out) ? out : 0;
}

bool bus_part_record_read(replay_record *out, bus_view value)
{
    json_t *object = json_loadb(value.ptr, value.len, 0, NULL);
    copy_text(object, "runid", out->runid, sizeof out->runid);
    copy_text(object, "stream", out->stream, sizeof out->stream);
    copy_text(object, "state", out->state, sizeof out->state);
    copy_text(object, "error", out->error, sizeof out->error);
    out->first_seq = number_of(object, "first_seq", "firstSeq");
    out->end_seq = number_of(object, "end_seq", "endSeq");
    out->ended = strcmp(out->state, "finished") == 0 || strcmp(out->state, "stopped") == 0 ||
                 strcmp(out->state, "failed") == 0;
    json_decref(object);
    return *out->runid && *out->stream && *out->state;
}

// The owner is told of another run and begins anew: should the one to go on in come back (a store that went back), it is
// one like any other.
static void forget_resumed(bus_participant *part)
{
    part->resume_run[0] = '\0';
}

// A run of which we had finished a part ended while we were away, or one for which we waited was over before we
// had joined it: there is nothing to join, but all or the rest is owed, from the source.
static void take_part_without_join(bus_participant *part)
{
    bool resumed = strcmp(part->record.runid, part->resume_run) == 0;
    bus_proof_run run = {
        .runid = bus_view_of(part->record.runid),
        .first_seq = part->record.first_seq,
        .base_seq = part->record.end_seq,
        .done_seq = resumed ? part->resume_after : 0,
    };
    bus_part_drop(part);
    if (bus_proof_join(part->proof, &run, bus_machine_mono()))
        return;
    if (!resumed)
        forget_resumed(part);
    snprintf(part->run, sizeof part->run, "%s", part->record.runid);
    snprintf(part->stream, sizeof part->stream, "%s", part->record.stream);
    part->state = PART_PLAYING;
    part->tell_run = !resumed;
    part->tell_end = false;
    part->told_mark = 0;
}

// An ended run that the record names: is it one of ours all the same? What had ended before we came is not, nor
// what failed.
static bool is_owed(const bus_participant *part, const replay_record *fresh)
{
    bool other = !part->record_known || strcmp(fresh->runid, part->record.runid) != 0;
    if (part->state == PART_IDLE && strcmp(fresh->runid, part->resume_run) == 0)
        return true;
    return strcmp(fresh->state, "failed") != 0 &&
           (part->state == PART_JOINING || (part->watch_current && other));
}

static void take_record(bus_participant *part, const bus_kv_entry *entry)
{
    replay_record fresh;
    if (entry->deleted || !bus_part_record_read(&fresh, entry->value))
        return;
    bool ours = strcmp(fresh.runid, part->run) == 0;
    bool owed = !ours && fresh.ended && is_owed(part, &fresh);
    part->record = fresh;
    part->record_known = true;
    if (ours)
        return; // an end is acted on when the lane has nothing more
    if (!fresh.ended)
        bus_part_join(part);
    else if (owed)
        take_part_without_join(part);
    else if (part->state == PART_JOINING)
        part->state = PART_IDLE;
}

void bus_part_watch(bus_participant *part)
{
    bus_kv_entry entry = {0};
    for (;;) {
        bus_kv_result r = bus_kv_watch_next(part->watch, (bus_span){0}, &entry);
        if (r == BUS_KV_NOTHING)
            return;
        if (r == BUS_KV_ENTRY)
            take_record(part, &entry);
        part->watch_current |= r == BUS_KV_CURRENT;
        bus_kv_entry_release(&entry);
    }
}

// --- joining -----------------------------------------------------------------------------------------

// Requests and answers are JSON: the types of the replay service are its owner's, not this library's.
static char *join_text(const bus_participant *part)
{
    const char *runid = part->run;
    uint64_t done = bus_proof_done_seq(part->proof);
    if (!*runid) {
        runid = part->resume_run;
        done = part->resume_after;
    }
    char number[24];
    json_t *filters = json_loads(part->filters_json, 0, NULL);
    snprintf(number, sizeof number, "%" PRIu64, done);
    json_t *request =
        json_pack("{s:s, s:s, s:o, s:s, s:s}", "replay", part->selector, "participant", part->name,
                  "filters", filters, "runid", runid, "doneSeq", number);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    return text;
}

void bus_part_join(bus_participant *part)
{
    static const bus_header_pair json = {"Content-Type", BUS_JSON_TYPE};
    char reply[96];
    bus_mono now = bus_machine_mono();
    bus_part_drop(part);
    part->state = PART_JOINING;
    part->epoch = bus_conn_epoch(part->conn);
    part->join_at = now;
    part->join_again_at = bus_mono_add(now, BUS_SPAN_MS(FLOW_MS));
    if (bus_conn_state_of(part->flow) != BUS_CONN_UP)
        return;
    bus_conn_push(part->flow); // the subscription stands before any join
    part->join_again_at = bus_mono_add(now, BUS_SPAN_MS(JOIN_TIMEOUT_MS));
    snprintf(reply, sizeof reply, "%s.%" PRIu64, part->inbox, ++part->join_number);
    char *text = join_text(part);
    if (!text || bus_publish(part->conn, "svc.virtufin.api.v1.Replay.Join", reply, &json, 1,
                             bus_view_of(text)))
        part->join_again_at = bus_mono_add(now, BUS_SPAN_MS(JOIN_AGAIN_MS));
    free(text);
}

static bool is_newest_answer(const bus_participant *part, const bus_msg *msg)
{
    char expected[96];
    snprintf(expected, sizeof expected, "%s.%" PRIu64, part->inbox, part->join_number);
    return bus_view_is(bus_msg_subject(msg), expected);
}

static bus_err accept_join(bus_participant *part, const json_t *answer)
{
    char runid[BUS_RUNID_BUF];
    copy_text(answer, "runid", runid, sizeof runid);
    copy_text(answer, "stream", part->stream, sizeof part->stream);
    bool resumed = strcmp(runid, part->resume_run) == 0;
    bool fresh = strcmp(runid, part->run) != 0;
    bus_proof_run run = {
        .runid = bus_view_of(runid),
        .first_seq = number_of(answer, "firstSeq", "first_seq"),
        .base_seq = number_of(answer, "baseSeq", "base_seq"),
        .done_seq = resumed ? part->resume_after : 0,
        .window_events = (uint32_t)number_of(answer, "windowEvents", "window_events"),
    };
    if (!*part->stream)
        return bus_fail(BUS_EINVAL, "the answer names no stream");
    bus_err err = bus_proof_join(part->proof, &run, bus_machine_mono());
    if (err)
        return err;
    if (!resumed)
        forget_resumed(part);
    snprintf(part->run, sizeof part->run, "%s", runid);
    part->state = PART_PLAYING;
    if (fresh) {
        part->tell_run = !resumed;
        part->tell_end = false;
        part->told_mark = 0;
    }
    return BUS_OK;
}

static void take_answer(bus_participant *part, const bus_msg *msg)
{
    bus_view payload = bus_msg_payload(msg);
    bus_err err = bus_msg_no_responders(msg) ? BUS_EUNAVAILABLE : bus_reply_error(msg);
    json_t *answer = err ? NULL : json_loadb(payload.ptr, payload.len, 0, NULL);
    if (!err)
        err = answer ? accept_join(part, answer) : BUS_EINVAL;
    json_decref(answer);
    // Not yet, not any more, or nobody there: the record tells when it is no use to go on asking.
    if (err)
        part->join_again_at = bus_mono_add(bus_machine_mono(), BUS_SPAN_MS(JOIN_AGAIN_MS));
}

static bool wants_to_join(const bus_participant *part)
{
    if (!part->record_known || part->record.ended)
        return false;
    return true;
}

void bus_part_answers(bus_participant *part)
{
    bus_msg *msg;
    while ((msg = bus_sub_next(part->answers, (bus_span){0}))) {
        if (part->state == PART_JOINING && is_newest_answer(part, msg))
            take_answer(part, msg);
        bus_msg_release(msg);
    }
    bool lost = (part->state == PART_PLAYING || part->state == PART_OVER) &&
                part->epoch != bus_conn_epoch(part->conn) &&
                bus_conn_state_of(part->conn) == BUS_CONN_UP;
    if (lost && !part->record.ended)
        bus_part_join(part); // another connection: renew the lease and say what is done
    if (part->state != PART_JOINING ||
        bus_mono_since(bus_machine_mono(), part->join_again_at).ns < 0)
        return;
    if (wants_to_join(part))
        bus_part_join(part);
    else if (*part->run && strcmp(part->run, part->record.runid) == 0)
        part->state = PART_PLAYING; // it ended meanwhile: the rest comes from the source
    else
        part->state = PART_IDLE;
}

// --- reports -----------------------------------------------------------------------------------------

static void publish_report(bus_participant *part, uint64_t seq, bool leave)
{
    char subject[BUS_SUBJECT_BUF], text[64];
    int len = bus_done_format(text, seq, leave);
    if (bus_done_subject(subject, bus_view_of(part->run), bus_view_of(part->name)) == BUS_OK)
        bus_publish(part->conn, subject, NULL, NULL, 0, (bus_view){text, (size_t)len});
}

void bus_part_report(bus_participant *part, bus_mono now)
{
    uint64_t seq = 0;
    if ((part->state == PART_PLAYING || part->state == PART_OVER) && !part->record.ended &&
        bus_proof_report_due(part->proof, now, &seq))
        publish_report(part, seq, false);
}

void bus_part_leave(bus_participant *part)
{
    if (part->state == PART_PLAYING || part->state == PART_OVER || part->state == PART_STUCK)
        publish_report(part, bus_proof_done_seq(part->proof), true);
}
