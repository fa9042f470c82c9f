// JSON text -> msgpack in one pass, without a tree: the container's header is written when its end is
// known, and moved aside in the rare case that it needs more than one byte. Unlike a general parser
// this keeps the whole unsigned 64-bit range that venues use, and allocates nothing.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bus/event/pack.h"
#include "bus/event/text.h"

enum { DEPTH_MAX = 32, NUMBER_MAX = 400 };

typedef struct {
    size_t header; // offset of its one-byte header in the output
    uint32_t count;
    bool map;
} level;

typedef struct {
    const char *start, *at, *end;
    bus_pack *p;
    level levels[DEPTH_MAX];
    int depth;
} reader;

static bus_err bad(const reader *r, const char *rule)
{
    if (r->at < r->end)
        return bus_fail(BUS_EINVAL, "JSON at byte %zu (0x%02x): %s", (size_t)(r->at - r->start),
                        (unsigned char)*r->at, rule);
    return bus_fail(BUS_EINVAL, "JSON ends at byte %zu: %s", (size_t)(r->at - r->start), rule);
}

static void skip_blanks(reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

static bool take(reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

// --- strings --------------------------------------------------------------------------------------

static int read_hex4(const char *at)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

static size_t write_utf8(uint8_t *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (uint8_t)(lead[len] | c);
    return len;
}

// \uXXXX, or two of them for a character beyond 16 bits; r->at is behind the 'u'.
static bus_err read_unicode(reader *r, uint32_t *out)
{
    int high = r->end - r->at >= 4 ? read_hex4(r->at) : -1;
    if (high < 0)
        return bad(r, "\\u needs four hex digits");
    if (high >= 0xdc00 && high < 0xe000)
        return bad(r, "a low surrogate stands alone");
    if (high < 0xd800 || high >= 0xe000) {
        r->at += 4;
        *out = (uint32_t)high;
        return BUS_OK;
    }
    bool pair = r->end - r->at >= 10 && r->at[4] == '\\' && r->at[5] == 'u';
    int low = pair ? read_hex4(r->at + 6) : -1;
    if (low < 0xdc00 || low >= 0xe000)
        return bad(r, "a high surrogate stands alone");
    r->at += 10;
    *out = 0x10000 + (((uint32_t)high - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    return BUS_OK;
}

static bus_err read_escape(reader *r, uint8_t out[4], size_t *len)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    r->at++; // the backslash
    if (r->at == r->end)
        return bad(r, "an escape is not finished");
    char c = *r->at;
    if (c == 'u') {
        r->at++;
        uint32_t wide = 0;
        bus_err err = read_unicode(r, &wide);
        *len = err ? 0 : write_utf8(out, wide);
        return err;
    }
    const char *hit = c ? strchr(from, c) : NULL;
    if (!hit)
        return bad(r, "no such escape");
    r->at++;
    out[0] = (uint8_t)to[hit - from];
    *len = 1;
    return BUS_OK;
}

// The closing quote of the string whose text begins at r->at; NULL when there is none.
static const char *find_quote(const reader *r, bool *escapes)
{
    *escapes = false;
    for (const char *s = r->at; s < r->end; s++) {
        if (*s == '"')
            return s;
        if (*s == '\\') {
            *escapes = true;
            s++;
        }
    }
    return NULL;
}

static bus_err check_raw_text(reader *r, const char *quote)
{
    for (const char *s = r->at; s < quote; s++)
        if ((unsigned char)*s < 0x20) {
            r->at = s;
            return bad(r, "control characters must be escaped");
        }
    size_t at;
    const char *rule = bus_text_utf8((bus_view){r->at, (size_t)(quote - r->at)}, &at);
    if (rule) {
        r->at += at;
        return bad(r, rule);
    }
    return BUS_OK;
}

// The text without its escapes is no longer than with them: written behind the longest header that may
// be needed, then moved to where the real one ends.
static bus_err read_escaped_text(reader *r, const char *quote)
{
    bus_pack *p = r->p;
    size_t bound = (size_t)(quote - r->at);
    if (p->overflow || p->cap - p->len < bound + 5) {
        p->overflow = true;
        r->at = quote;
        return BUS_OK;
    }
    uint8_t *text = p->buf + p->len + 5;
    size_t len = 0;
    while (r->at < quote) {
        if (*r->at != '\\') {
            text[len++] = (uint8_t)*r->at++;
            continue;
        }
        uint8_t wide[4];
        size_t used = 0;
        bus_err err = read_escape(r, wide, &used);
        if (err)
            return err;
        memcpy(text + len, wide, used);
        len += used;
    }
    bus_pack_str(p, (bus_view){(const char *)text, len}); // moves it down to its header
    return BUS_OK;
}

static bus_err read_string(reader *r)
{
    bool escapes;
    r->at++; // the opening quote
    const char *quote = find_quote(r, &escapes);
    if (!quote) {
        r->at = r->end;
        return bad(r, "a string is not closed");
    }
    bus_err err = check_raw_text(r, quote);
    if (err)
        return err;
    if (escapes) {
        err = read_escaped_text(r, quote);
        if (err)
            return err;
    } else {
        bus_pack_str(r->p, (bus_view){r->at, (size_t)(quote - r->at)});
    }
    r->at = quote + 1;
    return BUS_OK;
}

// --- numbers --------------------------------------------------------------------------------------

static bool take_digits(reader *r)
{
    const char *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > from;
}

// Packs [-]digits when it fits 64 bits; false when it does not.
static bool pack_integer(bus_pack *p, bus_view text)
{
    bool negative = text.ptr[0] == '-';
    uint64_t v;
    if (!bus_view_u64((bus_view){text.ptr + negative, text.len - negative}, &v))
        return false;
    if (!negative)
        bus_pack_uint(p, v);
    else if (v <= (uint64_t)INT64_MAX + 1)
        bus_pack_int(p, (int64_t)(0 - v));
    else
        return false;
    return true;
}

static bus_err read_number(reader *r)
{
    const char *from = r->at;
    bool whole = true;
    take(r, '-');
    if (take(r, '0')) {
        if (r->at < r->end && *r->at >= '0' && *r->at <= '9')
            return bad(r, "a number must not begin with 0");
    } else if (!take_digits(r)) {
        return bad(r, "a digit is expected");
    }
    if (take(r, '.')) {
        whole = false;
        if (!take_digits(r))
            return bad(r, "a digit is expected");
    }
    if (take(r, 'e') || take(r, 'E')) {
        whole = false;
        if (!take(r, '-'))
            take(r, '+');
        if (!take_digits(r))
            return bad(r, "a digit is expected");
    }
    bus_view text = {from, (size_t)(r->at - from)};
    if (whole && pack_integer(r->p, text))
        return BUS_OK;
    char copy[NUMBER_MAX + 1]; // strtod wants a NUL
    if (!bus_view_copy(text, copy, sizeof copy))
        return bad(r, "a number has more than 400 characters");
    double v = strtod(copy, NULL);
    if (!isfinite(v))
        return bad(r, "a number is too large for a double");
    bus_pack_double(r->p, v);
    return BUS_OK;
}

// --- values ---------------------------------------------------------------------------------------

static bus_err read_word(reader *r)
{
    static const char *const words[] = {"null", "true", "false"};
    for (int i = 0; i < 3; i++) {
        size_t len = strlen(words[i]);
        if ((size_t)(r->end - r->at) < len || memcmp(r->at, words[i], len) != 0)
            continue;
        r->at += len;
        if (i == 0)
            bus_pack_nil(r->p);
        else
            bus_pack_bool(r->p, i == 1);
        return BUS_OK;
    }
    return bad(r, "a value is expected");
}

static bus_err open_level(reader *r, bool map)
{
    if (r->depth == DEPTH_MAX)
        return bad(r, "nested deeper than 32");
    r->at++;
    r->levels[r->depth++] = (level){r->p->len, 0, map};
    bus_pack_array(r->p, 0); // room for the header
    return BUS_OK;
}

// Writes the header of the container that ends here, now that its count is known.
static void close_level(reader *r)
{
    level l = r->levels[--r->depth];
    bus_pack *p = r->p;
    uint8_t bytes[5];
    bus_pack header = bus_pack_to(bytes, sizeof bytes);
    if (l.map)
        bus_pack_map(&header, l.count);
    else
        bus_pack_array(&header, l.count);
    if (p->overflow)
        return;
    size_t more = header.len - 1;
    if (p->cap - p->len < more) {
        p->overflow = true;
        return;
    }
    uint8_t *at = p->buf + l.header;
    if (more)
        memmove(at + header.len, at + 1, p->len - l.header - 1);
    memcpy(at, bytes, header.len);
    p->len += more;
}

static bus_err read_key(reader *r)
{
    skip_blanks(r);
    if (r->at == r->end || *r->at != '"')
        return bad(r, "a key in double quotes is expected");
    bus_err err = read_string(r);
    if (err)
        return err;
    skip_blanks(r);
    return take(r, ':') ? BUS_OK : bad(r, "':' is expected");
}

// After a value: closes what ends here, else takes the comma (and key) before the next value.
static bus_err after_value(reader *r)
{
    while (r->depth) {
        level *l = &r->levels[r->depth - 1];
        skip_blanks(r);
        if (take(r, ',')) {
            l->count++;
            return l->map ? read_key(r) : BUS_OK;
        }
        if (!take(r, l->map ? '}' : ']'))
            return bad(r, l->map ? "',' or '}' is expected" : "',' or ']' is expected");
        close_level(r);
    }
    return BUS_OK;
}

// One value; a container that is not empty is only opened: its first value comes next.
static bus_err read_value(reader *r, bool *opened)
{
    *opened = false;
    skip_blanks(r);
    char c = r->at < r->end ? *r->at : '\0';
    if (c == '"')
        return read_string(r);
    if (c == '-' || (c >= '0' && c <= '9'))
        return read_number(r);
    if (c != '{' && c != '[')
        return read_word(r);
    bool map = c == '{';
    bus_err err = open_level(r, map);
    if (err)
        return err;
    skip_blanks(r);
    if (take(r, map ? '}' : ']')) {
        close_level(r);
        return BUS_OK;
    }
    r->levels[r->depth - 1].count = 1;
    *opened = true;
    return map ? read_key(r) : BUS_OK;
}

bus_err bus_pack_from_json(bus_pack *p, bus_view json)
{
    reader r = {.start = json.ptr, .at = json.ptr, .end = json.ptr + json.len, .p = p};
    bus_pack before = *p;
    bus_err err = BUS_OK;
    do {
        bool opened;
        err = read_value(&r, &opened);
        if (!err && !opened)
            err = after_value(&r);
    } while (!err && r.depth && !p->overflow);
    skip_blanks(&r);
    if (!err && p->overflow)
        err = bus_fail(BUS_ELIMIT, "JSON of %zu bytes does not fit %zu bytes of msgpack", json.len,
                       before.cap - before.len);
    if (!err && r.at != r.end)
        err = bad(&r, "something follows the value");
    if (!err) // what is left to find: a key given twice
        err = bus_pack_validate((bus_view){(const char *)p->buf + before.len, p->len - before.len},
                                &(bus_pack_limits){.depth_max = DEPTH_MAX,
                                                   .nodes_max = UINT32_MAX,
                                                   .json_len = json.len});
    if (err)
        *p = before;
    return err;
}
