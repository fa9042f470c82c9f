#include "bus/nats/watermark.h"

#include <inttypes.h>
#include <stdio.h>

#include "bus/event/event.h"

// --- headers -----------------------------------------------------------------------------------------

static char *put(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

static char *put_number(char *at, uint64_t v)
{
    char digits[20];
    int n = sizeof digits;
    do
        digits[--n] = (char)('0' + v % 10);
    while (v /= 10);
    return put(at, digits + n, sizeof digits - (size_t)n);
}

#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

bus_err bus_lane_block_init(bus_lane_block *out, bus_view runid)
{
    // behind the run id: three names and numbers
    int len = snprintf(out->text, sizeof out->text - 128,
                       "NATS/1.0\r\nContent-Type: " BUS_CONTENT_MSGPACK
                       "\r\nLane-Run: %.*s\r\nLane-Seq: ",
                       BUS_VIEW_ARG(runid));
    if (len < 0 || len >= (int)sizeof out->text - 128)
        return bus_fail(BUS_EINVAL, "runid '%.*s' is too long for a header", BUS_VIEW_ARG(runid));
    out->fixed = (size_t)len;
    return BUS_OK;
}

bus_view bus_lane_block_of(bus_lane_block *block, const bus_lane_stamp *stamp)
{
    char *at = put_number(block->text + block->fixed, stamp->seq);
    at = put_number(PUT(at, "\r\nLane-Prev: "), stamp->prev);
    at = put_number(PUT(at, "\r\nLane-Count: "), stamp->count);
    at = PUT(at, "\r\n\r\n");
    return (bus_view){block->text, (size_t)(at - block->text)};
}

static bool read_number(const bus_msg *msg, const char *name, uint64_t *out)
{
    bus_view value;
    return bus_msg_header(msg, name, &value) && bus_view_u64(value, out);
}

bool bus_lane_headers_read(const bus_msg *msg, bus_lane_stamp *stamp, bus_view *run)
{
    return bus_msg_header(msg, "Lane-Run", run) && read_number(msg, "Lane-Seq", &stamp->seq) &&
           read_number(msg, "Lane-Prev", &stamp->prev) &&
           read_number(msg, "Lane-Count", &stamp->count);
}

// --- the watermark event -----------------------------------------------------------------------------

void bus_watermark_subject(char out[BUS_SUBJECT_BUF], bus_view selector)
{
    snprintf(out, BUS_SUBJECT_BUF, "hyp.%.*s.control.watermark", BUS_VIEW_ARG(selector));
}

bool bus_watermark_is(bus_view subject)
{
    static const char tail[] = ".control.watermark";
    size_t len = sizeof tail - 1;
    if (subject.len <= 4 + len || memcmp(subject.ptr, "hyp.", 4) != 0 ||
        memcmp(subject.ptr + subject.len - len, tail, len) != 0)
        return false;
    return !memchr(subject.ptr + 4, '.', subject.len - 4 - len);
}

static void pack_part(bus_pack *p, const bus_watermark_part *part)
{
    bus_pack_str(p, part->name);
    bus_pack_map(p, 3);
    bus_pack_key(p, "base");
    bus_pack_uint(p, part->base);
    bus_pack_key(p, "count");
    bus_pack_uint(p, part->count);
    bus_pack_key(p, "done");
    bus_pack_uint(p, part->done);
}

static void pack_data(bus_pack *p, const bus_watermark *mark)
{
    bus_pack_map(p, 5);
    bus_pack_key(p, "seq");
    bus_pack_uint(p, mark->seq);
    bus_pack_key(p, "sent");
    bus_pack_uint(p, mark->sent);
    bus_pack_key(p, "end");
    bus_pack_bool(p, mark->end);
    bus_pack_key(p, "state");
    bus_pack_str(p, mark->state);
    bus_pack_key(p, "participants");
    bus_pack_map(p, mark->part_count);
    for (uint32_t i = 0; i < mark->part_count; i++)
        pack_part(p, &mark->part[i]);
}

bus_err bus_watermark_encode(bus_pack *p, const bus_watermark *mark,
                             const bus_watermark_envelope *envelope)
{
    uint8_t data[BUS_WATERMARK_BYTES_MAX];
    char id[80], recorded[BUS_TIME_TEXT], walltime[BUS_TIME_TEXT];
    bus_pack inner = bus_pack_to(data, sizeof data);
    pack_data(&inner, mark);
    if (inner.overflow)
        return bus_fail(BUS_ELIMIT, "a watermark of more than %zu bytes", sizeof data);
    snprintf(id, sizeof id, "%.*s.%" PRIu64, BUS_VIEW_ARG(envelope->runid), envelope->n);
    bus_time_format(envelope->walltime.ns, walltime);
    bus_time_format(envelope->recorded.ns ? envelope->recorded.ns : envelope->walltime.ns,
                    recorded);
    bus_event event = {
        .id = bus_view_of(id),
        .source = BUS_VIEW(BUS_WATERMARK_SOURCE),
        .type = BUS_VIEW(BUS_WATERMARK_TYPE),
        .time = bus_view_of(recorded),
        .eventtime = bus_view_of(recorded),
        .recordedtime = bus_view_of(recorded),
        .walltime = bus_view_of(walltime),
        .clocktype = BUS_VIEW("historical"),
        .runid = envelope->runid,
        .marketlane = BUS_VIEW("hyp"),
        .marketselector = envelope->selector,
        .data = {(const char *)data, inner.len},
    };
    return bus_note(bus_event_encode(p, &event), "watermark of run '%.*s'",
                    BUS_VIEW_ARG(envelope->runid));
}

// A sequence or a count: an integer that is not negative.
static bus_err read_count(bus_view map, const char *key, uint64_t *out)
{
    int64_t value = 0;
    if (!bus_map_int(map, key, &value) || value < 0)
        return bus_fail(BUS_EINVAL, "watermark: '%s' must be an integer of at least 0", key);
    *out = (uint64_t)value;
    return BUS_OK;
}

static bus_err read_part(bus_cursor *c, bus_watermark_part *out)
{
    bus_pack_value key;
    bus_view map;
    if (!bus_cursor_next(c, &key) || key.kind != BUS_PACK_STR || !bus_cursor_skip(c, &map))
        return bus_fail(BUS_EINVAL, "watermark: 'participants' must be a map by name");
    bus_err err = bus_participant_name_check(key.as.bytes);
    if (!err)
        err = read_count(map, "base", &out->base);
    if (!err)
        err = read_count(map, "count", &out->count);
    if (!err)
        err = read_count(map, "done", &out->done);
    out->name = key.as.bytes;
    return bus_note(err, "participant '%.*s'", BUS_VIEW_ARG(key.as.bytes));
}

static bus_err read_parts(bus_view data, bus_watermark *out)
{
    bus_cursor c;
    bus_pack_value value;
    if (!bus_map_find(data, "participants", &c) || !bus_cursor_next(&c, &value) ||
        value.kind != BUS_PACK_MAP)
        return bus_fail(BUS_EINVAL, "watermark: 'participants' must be a map");
    if (value.as.count > BUS_PARTICIPANTS_MAX)
        return bus_fail(BUS_EINVAL, "watermark: %u participants, at most %d", value.as.count,
                        BUS_PARTICIPANTS_MAX);
    for (out->part_count = 0; out->part_count < value.as.count; out->part_count++) {
        bus_err err = read_part(&c, &out->part[out->part_count]);
        if (err)
            return err;
    }
    return BUS_OK;
}

bus_err bus_watermark_decode(bus_watermark *out, bus_view payload)
{
    bus_event event;
    bus_pack_value kind;
    bus_err err = bus_event_decode_msgpack(&event, payload);
    if (err)
        return bus_note(err, "watermark");
    if (!bus_view_is(event.type, BUS_WATERMARK_TYPE))
        return bus_fail(BUS_EINVAL, "watermark: its type is '%.*s'", BUS_VIEW_ARG(event.type));
    bus_cursor c = bus_cursor_of(event.data);
    if (!bus_cursor_next(&c, &kind) || kind.kind != BUS_PACK_MAP)
        return bus_fail(BUS_EINVAL, "watermark: 'data' must be a map");
    err = read_count(event.data, "seq", &out->seq);
    if (!err)
        err = read_count(event.data, "sent", &out->sent);
    if (err)
        return err;
    if (!bus_map_bool(event.data, "end", &out->end))
        return bus_fail(BUS_EINVAL, "watermark: 'end' must be true or false");
    if (!bus_map_str(event.data, "state", &out->state))
        return bus_fail(BUS_EINVAL, "watermark: 'state' must be a string");
    return read_parts(event.data, out);
}

const bus_watermark_part *bus_watermark_find(const bus_watermark *mark, bus_view name)
{
    for (uint32_t i = 0; i < mark->part_count; i++)
        if (bus_view_eq(mark->part[i].name, name))
            return &mark->part[i];
    return NULL;
}

// --- done reports ------------------------------------------------------------------------------------

bus_err bus_done_subject(char out[BUS_SUBJECT_BUF], bus_view runid, bus_view participant)
{
    int len = snprintf(out, BUS_SUBJECT_BUF, "replay.%.*s.done.%.*s", BUS_VIEW_ARG(runid),
                       BUS_VIEW_ARG(participant));
    if (len < 0 || len >= BUS_SUBJECT_BUF)
        return bus_fail(BUS_EINVAL, "runid '%.*s' is too long for a subject", BUS_VIEW_ARG(runid));
    return BUS_OK;
}

bus_err bus_done_subject_read(bus_view subject, bus_view *runid, bus_view *participant)
{
    static const char head[] = "replay.", middle[] = ".done.";
    const char *at = NULL;
    if (subject.len > sizeof head - 1 && memcmp(subject.ptr, head, sizeof head - 1) == 0)
        at = memmem(subject.ptr, subject.len, middle, sizeof middle - 1);
    if (!at || at < subject.ptr + sizeof head - 1)
        return bus_fail(BUS_EINVAL, "subject '%.*s' is not replay.<runid>.done.<participant>",
                        BUS_VIEW_ARG(subject));
    const char *name = at + sizeof middle - 1, *run = subject.ptr + sizeof head - 1;
    *runid = (bus_view){run, (size_t)(at - run)};
    *participant = (bus_view){name, (size_t)(subject.ptr + subject.len - name)};
    return bus_participant_name_check(*participant);
}

int bus_done_format(char buf[64], uint64_t seq, bool leave)
{
    return snprintf(buf, 64, "{\"seq\":%" PRIu64 "%s}", seq, leave ? ",\"leave\":true" : "");
}

bus_err bus_done_parse(bus_view payload, uint64_t *seq, bool *leave)
{
    uint8_t packed[256];
    int64_t number = 0;
    bool leaves = false;
    bus_pack_value kind;
    bus_pack p = bus_pack_to(packed, sizeof packed);
    bus_err err = bus_pack_from_json(&p, payload);
    if (err)
        return bus_note(err, "done report");
    bus_view map = {(const char *)packed, p.len};
    bus_cursor c = bus_cursor_of(map);
    if (!bus_cursor_next(&c, &kind) || kind.kind != BUS_PACK_MAP)
        return bus_fail(BUS_EINVAL, "done report: a JSON object is expected");
    if (!bus_map_int(map, "seq", &number) || number < 0)
        return bus_fail(BUS_EINVAL, "done report: 'seq' must be an integer of at least 0");
    if (bus_map_find(map, "leave", &c) && !bus_map_bool(map, "leave", &leaves))
        return bus_fail(BUS_EINVAL, "done report: 'leave' must be true or false");
    *seq = (uint64_t)number;
    *leave = leaves;
    return BUS_OK;
}

bus_err bus_participant_name_check(bus_view name)
{
    if (name.len == 0 || name.len > BUS_PARTICIPANT_NAME_MAX)
        return bus_fail(BUS_EINVAL, "participant '%.*s' must have 1 to %d characters",
                        BUS_VIEW_ARG(name), BUS_PARTICIPANT_NAME_MAX);
    for (size_t i = 0; i < name.len; i++) {
        char b = name.ptr[i];
        bool fine = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') ||
                    b == '_' || b == '-';
        if (!fine)
            return bus_fail(BUS_EINVAL, "participant '%.*s' must match [A-Za-z0-9_-]{1,%d}",
                            BUS_VIEW_ARG(name), BUS_PARTICIPANT_NAME_MAX);
    }
    return BUS_OK;
}
