#include "bus/nats/readdress.h"

enum { RUNID, CLOCKTYPE, WALLTIME, MARKETLANE, MARKETSELECTOR, KEYS };

static const struct {
    const char *name, *dotted;
    uint8_t len;
} keys[KEYS] = {
    [RUNID] = {"runid", NULL, 5},
    [CLOCKTYPE] = {"clocktype", NULL, 9},
    [WALLTIME] = {"walltime", NULL, 8},
    [MARKETLANE] = {"marketlane", "market.lane", 10},
    [MARKETSELECTOR] = {"marketselector", "market.selector", 14},
};

// One place of the old envelope that is replaced: from..to, by key and value.
typedef struct {
    int key;
    bool whole; // the key is written too: it had a dot
    const uint8_t *from, *to;
} edit;

typedef struct {
    edit at[KEYS];
    uint32_t count, pairs;
    unsigned found; // bit per key
    const uint8_t *body;
} edits;

static bool is_key(bus_view name, int k)
{
    if (name.len == keys[k].len && memcmp(name.ptr, keys[k].name, name.len) == 0)
        return true;
    return keys[k].dotted && bus_view_is(name, keys[k].dotted);
}

static int key_of(bus_view name)
{
    int k = -1;
    // most keys of an envelope are told apart by their first letter
    switch (name.len ? name.ptr[0] : 0) {
    case 'r':
        k = RUNID;
        break;
    case 'c':
        k = CLOCKTYPE;
        break;
    case 'w':
        k = WALLTIME;
        break;
    case 'm':
        k = is_key(name, MARKETLANE) ? MARKETLANE : MARKETSELECTOR;
        break;
    default:
        return -1;
    }
    return is_key(name, k) ? k : -1;
}

// The usual envelope: every pair is a known attribute, and those to be changed are strings with the shortest
// header behind their plain key. Then the decoder's views tell the places. False: they do not.
static bool usual_edits(edits *out, bus_view payload, const bus_event *event)
{
    const bus_view at[KEYS] = {event->runid, event->clocktype, event->walltime, event->marketlane,
                               event->marketselector};
    bus_cursor c = bus_cursor_of(payload);
    bus_pack_value map;
    bus_cursor_next(&c, &map);
    if (map.as.count != bus_event_pairs(event))
        return false; // something is there but unset
    *out = (edits){.pairs = map.as.count, .body = c.at};
    for (int key = 0; key < KEYS; key++) {
        if (at[key].len == 0)
            continue;
        const uint8_t *value = (const uint8_t *)at[key].ptr;
        size_t head = at[key].len < 32 ? 1 : 2, len = keys[key].len;
        const uint8_t *name = value - head - len;
        uint8_t first = (uint8_t)(head == 1 ? 0xa0 | at[key].len : at[key].len);
        if (at[key].len > UINT8_MAX || value[-1] != first || (head == 2 && value[-2] != 0xd9) ||
            name <= c.at || name[-1] != (0xa0 | len) || memcmp(name, keys[key].name, len) != 0 ||
            (out->count && name <= out->at[out->count - 1].to))
            return false;
        out->at[out->count++] = (edit){key, false, value - head, value + at[key].len};
        out->found |= 1u << key;
    }
    return true;
}

// The envelope was validated, so the cursor cannot fail; `data` is stepped over without walking it.
static bus_err find_edits(edits *out, bus_view payload, bus_view data)
{
    bus_cursor c = bus_cursor_of(payload);
    bus_pack_value value;
    bus_cursor_next(&c, &value);
    *out = (edits){.pairs = value.as.count, .body = c.at};
    for (uint32_t i = 0; i < out->pairs; i++) {
        const uint8_t *pair = c.at;
        bus_cursor_next(&c, &value);
        int key = key_of(value.as.bytes);
        const uint8_t *from = c.at;
        if (data.len && c.at == (const uint8_t *)data.ptr)
            c.at += data.len;
        else
            bus_cursor_skip(&c, NULL);
        if (key < 0)
            continue;
        // An unset (nil) attribute beside its dotted spelling is the one pair the decoder lets pass.
        if (out->found & 1u << key)
            return bus_fail(BUS_EINVAL, "attribute '%s' is given twice", keys[key].name);
        bool dotted = value.as.bytes.len != keys[key].len;
        out->at[out->count++] = (edit){key, dotted, dotted ? pair : from, c.at};
        out->found |= 1u << key;
    }
    return BUS_OK;
}

static void pack_value(bus_pack *p, int key, const bus_readdress_to *to, bus_view walltime)
{
    switch (key) {
    case RUNID:
        bus_pack_str(p, to->runid);
        break;
    case CLOCKTYPE:
        bus_pack_str(p, BUS_VIEW("historical"));
        break;
    case WALLTIME:
        bus_pack_str(p, walltime);
        break;
    case MARKETLANE:
        bus_pack_str(p, BUS_VIEW("hyp"));
        break;
    default:
        bus_pack_str(p, to->selector);
    }
}

static void pack_key(bus_pack *p, int key)
{
    bus_pack_str(p, (bus_view){keys[key].name, keys[key].len});
}

static void pack_edited(bus_pack *p, bus_view payload, const edits *e, const bus_readdress_to *to)
{
    char text[BUS_TIME_TEXT];
    bus_view walltime = {text, (size_t)bus_time_format(to->walltime.ns, text)};
    const uint8_t *at = (const uint8_t *)payload.ptr, *end = at + payload.len;
    uint32_t added = KEYS - (uint32_t)__builtin_popcount(e->found);
    if (added) { // else even the map's header stays
        bus_pack_map(p, e->pairs + added);
        at = e->body;
    }
    for (uint32_t i = 0; i < e->count; i++) {
        const edit *one = &e->at[i];
        bus_pack_raw(p, (bus_view){(const char *)at, (size_t)(one->from - at)});
        if (one->whole)
            pack_key(p, one->key);
        pack_value(p, one->key, to, walltime);
        at = one->to;
    }
    bus_pack_raw(p, (bus_view){(const char *)at, (size_t)(end - at)});
    for (int key = 0; key < KEYS; key++) {
        if (e->found & 1u << key)
            continue;
        pack_key(p, key);
        pack_value(p, key, to, walltime);
    }
}

// --- subjects -------------------------------------------------------------------------------------------

static size_t place_of(bus_view subject)
{
    uint64_t head, tail; // neighbours differ in their last bytes, kinds somewhere in the middle
    if (subject.len < 32)
        return subject.len;
    memcpy(&head, subject.ptr + 20, 8);
    memcpy(&tail, subject.ptr + subject.len - 8, 8);
    uint64_t h = (head ^ tail * 0x9e3779b97f4a7c15u ^ subject.len) * 0xff51afd7ed558ccdu;
    return h >> 57; // of BUS_READDRESS_KNOWN
}

static bus_err to_hyp(char out[BUS_SUBJECT_BUF], bus_view act, const bus_readdress_to *to)
{
    size_t at = place_of(act), len = 0;
    if (!to->memo)
        return bus_lane_to_hyp(out, act, to->selector, NULL);
    if (act.len && to->memo->at[at].act_len == act.len &&
        memcmp(to->memo->at[at].act, act.ptr, act.len) == 0) {
        memcpy(out, to->memo->at[at].hyp, to->memo->at[at].hyp_len + 1u);
        return BUS_OK;
    }
    bus_err err = bus_lane_to_hyp(out, act, to->selector, &len);
    if (err)
        return err;
    to->memo->at[at].act_len = (uint16_t)act.len;
    to->memo->at[at].hyp_len = (uint16_t)len;
    memcpy(to->memo->at[at].act, act.ptr, act.len);
    memcpy(to->memo->at[at].hyp, out, len + 1);
    return BUS_OK;
}

static bus_recorded_time recorded_of(const bus_event *event)
{
    int64_t ns = 0;
    if (event->recordedtime.len == 0 || bus_time_parse(event->recordedtime, &ns) != BUS_OK)
        ns = 0;
    return (bus_recorded_time){ns};
}

static bus_err full(bus_pack *p, bus_pack before)
{
    *p = before;
    return bus_fail(BUS_ELIMIT, "a re-addressed event does not fit in %zu bytes",
                    before.cap - before.len);
}

bus_err bus_readdress(bus_pack *p, char subject_out[BUS_SUBJECT_BUF], bus_view act_subject,
                      bus_view payload, const bus_readdress_to *to, bus_recorded_time *recorded)
{
    bus_event event;
    edits e;
    bus_pack before = *p;
    bus_err err = to_hyp(subject_out, act_subject, to);
    if (!err)
        err = bus_event_decode_msgpack(&event, payload);
    if (!err && !usual_edits(&e, payload, &event))
        err = find_edits(&e, payload, event.data);
    if (err)
        return bus_note(err, "re-addressing '%.*s'", BUS_VIEW_ARG(act_subject));
    pack_edited(p, payload, &e, to);
    if (p->overflow)
        return full(p, before);
    if (recorded)
        *recorded = recorded_of(&event);
    return BUS_OK;
}

static bool is_packed(const bus_record *record)
{
    bus_view type, v;
    if (bus_msg_header(record->msg, "Content-Type", &type))
        return bus_view_is(type, BUS_CONTENT_MSGPACK);
    if (bus_msg_header(record->msg, "ce-specversion", &v) || record->payload.len == 0)
        return false;
    unsigned char first = (unsigned char)record->payload.ptr[0];
    return (first >= 0x80 && first <= 0x8f) || first == 0xde || first == 0xdf;
}

// Stored in JSON or as headers: there are no packed bytes to keep.
static bus_err rewrite(bus_pack *p, bus_event *event, const bus_readdress_to *to)
{
    char walltime[BUS_TIME_TEXT];
    bus_time_format(to->walltime.ns, walltime);
    event->runid = to->runid;
    event->clocktype = BUS_VIEW("historical");
    event->walltime = bus_view_of(walltime);
    event->marketlane = BUS_VIEW("hyp");
    event->marketselector = to->selector;
    bus_err err = bus_event_encode(p, event);
    event->walltime = (bus_view){0}; // its text ends here
    return err;
}

bus_err bus_readdress_record(bus_pack *p, char subject_out[BUS_SUBJECT_BUF],
                             const bus_record *record, const bus_readdress_to *to,
                             bus_scratch *scratch, bus_recorded_time *recorded)
{
    bus_event event;
    if (is_packed(record))
        return bus_readdress(p, subject_out, record->subject, record->payload, to, recorded);
    bus_err err = to_hyp(subject_out, record->subject, to);
    if (!err)
        err = bus_msg_event(record->msg, &event, scratch);
    if (!err)
        err = rewrite(p, &event, to);
    if (err)
        return bus_note(err, "re-addressing '%.*s'", BUS_VIEW_ARG(record->subject));
    if (recorded)
        *recorded = recorded_of(&event);
    return BUS_OK;
}
