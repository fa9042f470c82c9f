// subject: what NATS itself says of subjects: legal characters and wildcard matching.
#include "bus/lane/lane.h"

static bus_view next_token(bus_view *rest)
{
    const char *dot = rest->len ? memchr(rest->ptr, '.', rest->len) : NULL;
    bus_view token = {rest->ptr, dot ? (size_t)(dot - rest->ptr) : rest->len};
    size_t used = token.len + (dot ? 1 : 0);
    // A trailing dot leaves one more, empty, token: ptr stays set, and NULL means "no more".
    *rest = dot ? (bus_view){rest->ptr + used, rest->len - used} : (bus_view){0};
    return token;
}

bool bus_subject_match(bus_view pattern, bus_view subject)
{
    while (pattern.ptr && subject.ptr) {
        bus_view want = next_token(&pattern);
        if (bus_view_is(want, ">"))
            return !pattern.ptr && subject.len > 0;
        bus_view got = next_token(&subject);
        if (got.len == 0 || (!bus_view_is(want, "*") && !bus_view_eq(want, got)))
            return false;
    }
    return !pattern.ptr && !subject.ptr;
}

bool bus_subject_overlap(bus_view a, bus_view b)
{
    while (a.ptr && b.ptr) {
        bus_view x = next_token(&a), y = next_token(&b);
        if (bus_view_is(x, ">") || bus_view_is(y, ">"))
            return true;
        if (!bus_view_is(x, "*") && !bus_view_is(y, "*") && !bus_view_eq(x, y))
            return false;
    }
    return !a.ptr && !b.ptr;
}

size_t bus_subject_join(char buf[BUS_SUBJECT_BUF], bus_view a, bus_view b)
{
    size_t len = 0;
    while (a.ptr && b.ptr) {
        bus_view x = next_token(&a), y = next_token(&b);
        bool rest = bus_view_is(x, ">") || bus_view_is(y, ">");
        bus_view token = bus_view_eq(x, y) ? x : bus_view_of(rest ? ">" : "*");
        if (len)
            buf[len++] = '.';
        memcpy(buf + len, token.ptr, token.len);
        len += token.len;
        if (rest)
            break;
    }
    buf[len] = '\0';
    return len;
}

static bus_err check_subject_token(bus_view token, bool wildcards, bool last)
{
    if (token.len == 0)
        return bus_fail(BUS_EINVAL, "has an empty token");
    if (wildcards && (bus_view_is(token, "*") || (bus_view_is(token, ">") && last)))
        return BUS_OK;
    for (size_t i = 0; i < token.len; i++) {
        unsigned char c = (unsigned char)token.ptr[i];
        if (c == '*' || c == '>')
            return bus_fail(BUS_EINVAL, "%s",
                            wildcards ? "'*' must be a whole token, '>' the whole last one"
                                      : "a wildcard is not allowed here");
        if (c <= ' ' || c == 0x7f)
            return bus_fail(BUS_EINVAL, "byte 0x%02x (space or control) is not allowed", c);
    }
    return BUS_OK;
}

bus_err bus_subject_check(bus_view subject, bool wildcards)
{
    if (subject.len == 0 || subject.len > BUS_SUBJECT_MAX)
        return bus_fail(BUS_EINVAL, "subject of %zu bytes, expected 1 to %d", subject.len,
                        BUS_SUBJECT_MAX);
    bus_view rest = subject;
    while (rest.ptr) {
        bus_view token = next_token(&rest);
        bus_err err = check_subject_token(token, wildcards, !rest.ptr);
        if (err)
            return bus_note(err, "subject '%.*s'", BUS_VIEW_ARG(subject));
    }
    return BUS_OK;
}
