// What kind a frame is, by its outline, and who takes it.
#include "feeds/venues/binance/binance.h"

typedef struct {
    bus_view stream, data, e, error, code, msg, id;
    bool result;
} outline;

static bool outline_read(feed_scan *s, outline *o)
{
    bool first = true;
    bus_view key, value;
    if (!feed_scan_char(s, '{'))
        return false;
    while (feed_scan_key(s, &key, &first)) {
        if (!feed_scan_value(s, &value))
            return false;
        if (bus_view_is(key, "stream"))
            o->stream = value;
        else if (bus_view_is(key, "data"))
            o->data = value;
        else if (bus_view_is(key, "e"))
            o->e = value;
        else if (bus_view_is(key, "error"))
            o->error = value;
        else if (bus_view_is(key, "code"))
            o->code = value;
        else if (bus_view_is(key, "msg"))
            o->msg = value;
        else if (bus_view_is(key, "id"))
            o->id = value;
        else if (bus_view_is(key, "result"))
            o->result = true;
    }
    return feed_scan_end(s);
}

static feed_frame_result by_name(binance *b, bool depth, bus_view data, const feed_now *now)
{
    return depth ? feed_binance_depth(b, data, now) : feed_binance_small(b, data, now);
}

// What an outline without data says; EVENT when it is no answer to a request.
static feed_frame_result answer_of(const outline *o)
{
    if (o->error.len || (o->code.len && o->msg.len)) {
        bus_view why = o->error.len ? o->error : o->msg;
        bus_fail(BUS_EINVAL, "binance refuses message %.*s: %.*s", BUS_VIEW_ARG(o->id),
                 (int)(why.len > 256 ? 256 : why.len), why.ptr);
        return FEED_FRAME_REFUSED;
    }
    return o->result && o->id.len ? FEED_FRAME_ACK : FEED_FRAME_EVENT;
}

feed_frame_result feed_binance_control(bus_view text)
{
    outline o = {0};
    feed_scan s = feed_scan_of(text);
    if (text.len > 4096 || !outline_read(&s, &o))
        return FEED_FRAME_EVENT;
    if (bus_view_is(o.e, "\"serverShutdown\"") ||
        (o.data.len && memmem(o.data.ptr, o.data.len, "\"serverShutdown\"", 16)))
        return FEED_FRAME_SHUTDOWN;
    return o.data.len ? FEED_FRAME_EVENT : answer_of(&o);
}

// Any order of keys, answers to requests, and what is no frame at all.
static feed_frame_result thorough(binance *b, bus_view text, const feed_now *now)
{
    outline o = {0};
    feed_scan s = feed_scan_of(text);
    if (!outline_read(&s, &o)) {
        feed_scan_error(&s, "binance frame");
        return feed_binance_failed(b);
    }
    if (o.data.len)
        return by_name(b, o.stream.len && memmem(o.stream.ptr, o.stream.len, "@depth", 6), o.data,
                       now);
    feed_frame_result answer = answer_of(&o);
    if (answer != FEED_FRAME_EVENT)
        return answer;
    return by_name(b, bus_view_is(o.e, "\"depthUpdate\""), text, now);
}

// The usual shapes, without walking the frame twice: {"stream":"…","data":{…}} and {"e":"…",…}.
feed_frame_result feed_binance_frame(feed_session *session, bus_view text, const feed_now *now)
{
    binance *b = (binance *)session;
    bool first = true;
    bus_view key, name;
    feed_scan s = feed_scan_of(text);
    session->stats.frames++;
    if (!feed_scan_char(&s, '{') || !feed_scan_key(&s, &key, &first))
        return thorough(b, text, now);
    if (bus_view_is(key, "e") && feed_scan_string(&s, &name))
        return by_name(b, bus_view_is(name, "depthUpdate"), text, now);
    if (!bus_view_is(key, "stream") || !feed_scan_string(&s, &name) ||
        !feed_scan_key(&s, &key, &first) || !bus_view_is(key, "data") ||
        text.ptr[text.len - 1] != '}')
        return thorough(b, text, now);
    feed_scan_blank(&s);
    bus_view data = {s.at, (size_t)(s.end - s.at) - 1};
    return by_name(b, memmem(name.ptr, name.len, "@depth", 6) != NULL, data, now);
}
