#include "bus/lane/lane.h"

#include <ctype.h>

enum { LANE_TOKENS_MAX = 12 };

static const char *const domains[] = {"trading", "position", "risk", "pnl", "strategy", "control"};

static bool is_name_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool is_plain_byte(unsigned char c)
{
    return is_name_byte(c) || (c >= 'A' && c <= 'Z');
}

static bool is_live(bus_view v)
{
    static const char live[] = "live";
    if (v.len != 4)
        return false;
    for (int i = 0; i < 4; i++)
        if (tolower((unsigned char)v.ptr[i]) != live[i])
            return false;
    return true;
}

static bus_err check_token(bus_view token, const char *what, bool (*allowed)(unsigned char),
                           const char *rule)
{
    if (token.len == 0)
        return bus_fail(BUS_EINVAL, "%s is empty, expected %s", what, rule);
    if (token.len > BUS_LANE_NAME_MAX)
        return bus_fail(BUS_EINVAL, "%s '%.32s…' has %zu characters, at most %d are allowed", what,
                        token.ptr, token.len, BUS_LANE_NAME_MAX);
    for (size_t i = 0; i < token.len; i++)
        if (!allowed((unsigned char)token.ptr[i]))
            return bus_fail(BUS_EINVAL, "%s '%.*s': byte 0x%02x at %zu is outside %s", what,
                            BUS_VIEW_ARG(token), (unsigned char)token.ptr[i], i, rule);
    return BUS_OK;
}

bus_err bus_lane_check_name(bus_view token, const char *what)
{
    return check_token(token, what, is_name_byte, "[a-z0-9_-]{1,32}");
}

bus_err bus_lane_check_selector(bus_view token, const char *what)
{
    bus_err err = check_token(token, what, is_plain_byte, "[A-Za-z0-9_-]{1,32}");
    if (!err && is_live(token))
        err = bus_fail(BUS_EINVAL, "%s '%.*s' is reserved", what, BUS_VIEW_ARG(token));
    return err;
}

bus_err bus_lane_check_scenario(bus_view token)
{
    if (bus_view_is(token, "LIVE"))
        return BUS_OK;
    return bus_lane_check_selector(token, "scenario id");
}

static bus_err check_domain(bus_view token)
{
    for (size_t i = 0; i < sizeof domains / sizeof *domains; i++)
        if (bus_view_is(token, domains[i]))
            return BUS_OK;
    return bus_fail(BUS_EINVAL,
                    "domain '%.*s' is none of trading, position, risk, pnl, strategy, control",
                    BUS_VIEW_ARG(token));
}

bool bus_lane_is_lane(bus_view subject)
{
    const char *dot = subject.len ? memchr(subject.ptr, '.', subject.len) : NULL;
    bus_view head = {subject.ptr, dot ? (size_t)(dot - subject.ptr) : subject.len};
    return bus_view_is(head, "act") || bus_view_is(head, "hyp") || bus_view_is(head, "sc");
}

// --- escape ---------------------------------------------------------------------------------------

bus_err bus_token_escape(char *buf, size_t cap, bus_view raw, char mark, size_t *len)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t at = 0;
    if (raw.len == 0)
        return bus_fail(BUS_EINVAL, "a token cannot be made from an empty name");
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.ptr[i];
        size_t need = is_plain_byte(c) ? 1 : 3;
        if (at + need >= cap)
            return bus_fail(BUS_EINVAL, "'%.*s' escaped is longer than %zu characters",
                            BUS_VIEW_ARG(raw), cap - 1);
        if (need == 1) {
            buf[at++] = (char)c;
        } else {
            buf[at++] = mark;
            buf[at++] = hex[c >> 4];
            buf[at++] = hex[c & 15];
        }
    }
    buf[at] = '\0';
    if (len)
        *len = at;
    return BUS_OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The raw byte at *at of an escaped token, or -1 for what escape would not have written.
static int unescape_one(bus_view token, char mark, size_t *at)
{
    unsigned char c = (unsigned char)token.ptr[*at];
    if (is_plain_byte(c)) {
        *at += 1;
        return c;
    }
    if (c != (unsigned char)mark || token.len - *at < 3)
        return -1;
    int high = hex_digit(token.ptr[*at + 1]), low = hex_digit(token.ptr[*at + 2]);
    if (high < 0 || low < 0 || is_plain_byte((unsigned char)(high << 4 | low)))
        return -1;
    *at += 3;
    return high << 4 | low;
}

static bus_err bad_escape(bus_view token, size_t at, char mark)
{
    return bus_fail(BUS_EINVAL,
                    "token '%.*s': at %zu neither [A-Za-z0-9_-] nor %c and two upper-case hex "
                    "digits of another byte",
                    BUS_VIEW_ARG(token), at, mark);
}

bus_err bus_token_unescape(char *buf, size_t cap, bus_view token, char mark, size_t *len)
{
    size_t out = 0;
    for (size_t i = 0; i < token.len;) {
        size_t at = i;
        int byte = unescape_one(token, mark, &i);
        if (byte < 0)
            return bad_escape(token, at, mark);
        if (out + 1 >= cap)
            return bus_fail(BUS_EINVAL, "token '%.*s' is longer than %zu bytes",
                            BUS_VIEW_ARG(token), cap - 1);
        buf[out++] = (char)byte;
    }
    if (out == 0)
        return bus_fail(BUS_EINVAL, "token is empty");
    buf[out] = '\0';
    if (len)
        *len = out;
    return BUS_OK;
}

static bus_err check_id(bus_view token)
{
    if (token.len == 0 || token.len > BUS_LANE_ID_MAX)
        return bus_fail(BUS_EINVAL, "id '%.*s' has %zu characters, expected 1 to %d",
                        (int)(token.len > 80 ? 80 : token.len), token.ptr ? token.ptr : "",
                        token.len, BUS_LANE_ID_MAX);
    for (size_t i = 0; i < token.len;) {
        size_t at = i;
        if (unescape_one(token, '~', &i) < 0)
            return bad_escape(token, at, '~');
    }
    return BUS_OK;
}

// --- parse ----------------------------------------------------------------------------------------

// Splits at dots; -1 when there are more than LANE_TOKENS_MAX.
static int split(bus_view subject, bus_view token[LANE_TOKENS_MAX])
{
    int count = 0;
    const char *at = subject.ptr, *end = subject.ptr + subject.len;
    for (;;) {
        const char *dot = memchr(at, '.', (size_t)(end - at));
        if (count == LANE_TOKENS_MAX)
            return -1;
        token[count++] = (bus_view){at, (size_t)((dot ? dot : end) - at)};
        if (!dot)
            return count;
        at = dot + 1;
    }
}

static bus_err take_ids(bus_lane *lane, const bus_view *token, int count)
{
    if (count > 2)
        return bus_fail(BUS_EINVAL, "has %d tokens after the event, at most 2 are allowed", count);
    for (int i = 0; i < count; i++) {
        bus_err err = check_id(token[i]);
        if (err)
            return err;
        lane->id[i] = token[i];
    }
    lane->ids = count;
    return BUS_OK;
}

// <venue>.<entity>.<event>[.<id>[.<id>]], after "exchange"
static bus_err take_market(bus_lane *lane, const bus_view *token, int count)
{
    if (count < 3)
        return bus_fail(BUS_EINVAL, "ends early: <venue>.<entity>.<event> must follow 'exchange'");
    lane->venue = token[0];
    lane->entity = token[1];
    lane->event = token[2];
    bus_err err = bus_lane_check_name(token[0], "venue");
    if (!err)
        err = bus_lane_check_name(token[1], "entity");
    if (!err)
        err = bus_lane_check_name(token[2], "event");
    return err ? err : take_ids(lane, token + 3, count - 3);
}

static bus_err take_act(bus_lane *lane, const bus_view *token, int count)
{
    lane->kind = BUS_LANE_ACT;
    if (count > 2 && bus_view_is(token[2], "exchange"))
        return bus_fail(BUS_EINVAL, "act topics must not carry a selector ('%.*s')",
                        BUS_VIEW_ARG(token[1]));
    if (count < 2 || !bus_view_is(token[1], "exchange"))
        return bus_fail(BUS_EINVAL, "'act' must be followed by 'exchange'");
    return take_market(lane, token + 2, count - 2);
}

static bus_err take_hyp(bus_lane *lane, const bus_view *token, int count)
{
    lane->kind = BUS_LANE_HYP;
    if (count < 3 || (bus_view_is(token[1], "exchange") && !bus_view_is(token[2], "exchange")))
        return bus_fail(BUS_EINVAL, "hyp topics must carry a selector: hyp.<selector>.exchange.…");
    bus_err err = bus_lane_check_selector(token[1], "selector");
    if (err)
        return err;
    lane->selector = token[1];
    if (bus_view_is(token[2], "exchange"))
        return take_market(lane, token + 3, count - 3);
    if (!bus_view_is(token[2], "control") || count != 4)
        return bus_fail(BUS_EINVAL,
                        "hyp.<selector> must be followed by exchange.… or control.<event>");
    lane->entity = token[2];
    lane->event = token[3];
    return bus_lane_check_name(token[3], "event");
}

static bus_err take_sc(bus_lane *lane, const bus_view *token, int count)
{
    lane->kind = BUS_LANE_SC;
    if (count < 5)
        return bus_fail(BUS_EINVAL, "ends early: sc.<scenario>.<domain>.<entity>.<event> expected");
    lane->scenario = token[1];
    lane->domain = token[2];
    lane->entity = token[3];
    lane->event = token[4];
    bus_err err = bus_lane_check_scenario(token[1]);
    if (!err)
        err = check_domain(token[2]);
    if (!err)
        err = bus_lane_check_name(token[3], "entity");
    if (!err)
        err = bus_lane_check_name(token[4], "event");
    return err ? err : take_ids(lane, token + 5, count - 5);
}

bus_err bus_lane_parse(bus_lane *out, bus_view subject)
{
    bus_lane lane = {0};
    bus_view token[LANE_TOKENS_MAX];
    bus_err err;
    if (subject.len == 0 || subject.len > BUS_SUBJECT_MAX)
        return bus_fail(BUS_EINVAL, "subject of %zu bytes, expected 1 to %d", subject.len,
                        BUS_SUBJECT_MAX);
    int count = split(subject, token);
    if (count < 0)
        err = bus_fail(BUS_EINVAL, "has more than %d tokens", LANE_TOKENS_MAX);
    else if (bus_view_is(token[0], "act"))
        err = take_act(&lane, token, count);
    else if (bus_view_is(token[0], "hyp"))
        err = take_hyp(&lane, token, count);
    else if (bus_view_is(token[0], "sc"))
        err = take_sc(&lane, token, count);
    else
        err = bus_fail(BUS_EINVAL, "is no lane: the first token must be act, hyp or sc");
    if (err)
        return bus_note(err, "subject '%.*s'", BUS_VIEW_ARG(subject));
    *out = lane;
    return BUS_OK;
}

// --- format ---------------------------------------------------------------------------------------

typedef struct {
    char *buf;
    size_t len;
    bus_err err;
} subject_writer;

static void add_token(subject_writer *w, bus_view token)
{
    if (w->err)
        return;
    if (w->len + token.len + 1 > BUS_SUBJECT_MAX) {
        w->err = bus_fail(BUS_EINVAL, "subject is longer than %d bytes", BUS_SUBJECT_MAX);
        return;
    }
    if (w->len)
        w->buf[w->len++] = '.';
    memcpy(w->buf + w->len, token.ptr, token.len);
    w->len += token.len;
}

static void add_name(subject_writer *w, bus_view token, const char *what)
{
    if (!w->err)
        w->err = bus_lane_check_name(token, what);
    add_token(w, token);
}

static void add_id(subject_writer *w, bus_view raw)
{
    char escaped[BUS_LANE_ID_MAX + 1];
    size_t len = 0;
    if (!w->err)
        w->err = bus_token_escape(escaped, sizeof escaped, raw, '~', &len);
    add_token(w, (bus_view){escaped, len});
}

static void add_head(subject_writer *w, const bus_lane *lane)
{
    if (lane->kind == BUS_LANE_SC) {
        add_token(w, BUS_VIEW("sc"));
        if (!w->err)
            w->err = bus_lane_check_scenario(lane->scenario);
        add_token(w, lane->scenario);
        if (!w->err)
            w->err = check_domain(lane->domain);
        add_token(w, lane->domain);
        return;
    }
    add_token(w, lane->kind == BUS_LANE_ACT ? BUS_VIEW("act") : BUS_VIEW("hyp"));
    if (lane->kind == BUS_LANE_HYP) {
        if (!w->err)
            w->err = bus_lane_check_selector(lane->selector, "selector");
        add_token(w, lane->selector);
    } else if (lane->selector.len && !w->err) {
        w->err = bus_fail(BUS_EINVAL, "act topics must not carry a selector ('%.*s')",
                          BUS_VIEW_ARG(lane->selector));
    }
    bool own_signal =
        lane->kind == BUS_LANE_HYP && lane->venue.len == 0 && bus_view_is(lane->entity, "control");
    if (own_signal)
        return;
    add_token(w, BUS_VIEW("exchange"));
    add_name(w, lane->venue, "venue");
}

bus_err bus_lane_format(char buf[BUS_SUBJECT_BUF], const bus_lane *lane, size_t *len)
{
    char text[BUS_SUBJECT_BUF];
    subject_writer w = {.buf = text};
    if (lane->ids < 0 || lane->ids > 2)
        return bus_fail(BUS_EINVAL, "a lane has 0 to 2 ids, got %d", lane->ids);
    add_head(&w, lane);
    add_name(&w, lane->entity, "entity");
    add_name(&w, lane->event, "event");
    for (int i = 0; i < lane->ids; i++)
        add_id(&w, lane->id[i]);
    if (w.err)
        return bus_note(w.err, "building a lane");
    text[w.len] = '\0';
    memcpy(buf, text, w.len + 1);
    if (len)
        *len = w.len;
    return BUS_OK;
}

// --- re-address -----------------------------------------------------------------------------------

static bus_err join(char buf[BUS_SUBJECT_BUF], bus_view a, bus_view b, bus_view c, size_t *len)
{
    size_t total = a.len + b.len + c.len;
    if (total > BUS_SUBJECT_MAX)
        return bus_fail(BUS_EINVAL, "subject would have %zu bytes, at most %d are allowed", total,
                        BUS_SUBJECT_MAX);
    char text[BUS_SUBJECT_BUF]; // buf may be what the views point into
    memcpy(text, a.ptr, a.len);
    if (b.len)
        memcpy(text + a.len, b.ptr, b.len);
    memcpy(text + a.len + b.len, c.ptr, c.len);
    memcpy(buf, text, total);
    buf[total] = '\0';
    if (len)
        *len = total;
    return BUS_OK;
}

bus_err bus_lane_to_hyp(char buf[BUS_SUBJECT_BUF], bus_view act_subject, bus_view selector,
                        size_t *len)
{
    bus_lane lane;
    bus_err err = bus_lane_parse(&lane, act_subject);
    if (!err && lane.kind != BUS_LANE_ACT)
        err = bus_fail(BUS_EINVAL, "subject '%.*s' is not on act.exchange",
                       BUS_VIEW_ARG(act_subject));
    if (!err)
        err = bus_lane_check_selector(selector, "selector");
    if (err)
        return bus_note(err, "re-addressing to hyp");
    bus_view rest = {act_subject.ptr + 3, act_subject.len - 3}; // ".exchange.…"
    return join(buf, BUS_VIEW("hyp."), selector, rest, len);
}
