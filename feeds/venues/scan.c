#include "feeds/venues/scan.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64 };

bool feed_scan_fail(feed_scan *s, const char *rule)
{
    if (!s->rule)
        s->rule = rule;
    return false;
}

bus_err feed_scan_error(const feed_scan *s, const char *what)
{
    if (!s->rule)
        return BUS_OK;
    return bus_fail(BUS_EINVAL, "%s, byte %zu of %zu: %s", what, (size_t)(s->at - s->start),
                    (size_t)(s->end - s->start), s->rule);
}

void feed_scan_blank(feed_scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

bool feed_scan_if(feed_scan *s, char c)
{
    if (s->rule)
        return false;
    if (s->at < s->end && *s->at == c) { // the common case: no blanks
        s->at++;
        return true;
    }
    feed_scan_blank(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

bool feed_scan_char(feed_scan *s, char c)
{
    if (feed_scan_if(s, c))
        return true;
    switch (c) {
    case '{':
        return feed_scan_fail(s, "'{' is expected");
    case '[':
        return feed_scan_fail(s, "'[' is expected");
    case ']':
        return feed_scan_fail(s, "']' is expected");
    case ',':
        return feed_scan_fail(s, "',' is expected");
    case ':':
        return feed_scan_fail(s, "':' is expected");
    case '"':
        return feed_scan_fail(s, "a string is expected");
    default:
        return feed_scan_fail(s, "another character is expected");
    }
}

bool feed_scan_string(feed_scan *s, bus_view *out)
{
    if (!feed_scan_char(s, '"'))
        return false;
    const char *from = s->at, *p = from;
    while (p < s->end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    s->at = p;
    if (p == s->end)
        return feed_scan_fail(s, "a string without an end");
    if (*p != '"')
        return feed_scan_fail(s, *p == '\\' ? "an escape in a plain string"
                                            : "a control character in a string");
    *out = (bus_view){from, (size_t)(p - from)};
    s->at = p + 1;
    return true;
}

bool feed_scan_u64(feed_scan *s, uint64_t *out)
{
    if (s->rule)
        return false;
    feed_scan_blank(s);
    const char *from = s->at;
    uint64_t v = 0;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9') {
        uint64_t digit = (uint64_t)(*s->at - '0');
        if (s->at - from >= 18 && v > (INT64_MAX - digit) / 10)
            return feed_scan_fail(s, "a number beyond 2^63");
        v = v * 10 + digit;
        s->at++;
    }
    if (s->at == from)
        return feed_scan_fail(s, "an unsigned integer is expected");
    if (s->at - from > 1 && *from == '0')
        return feed_scan_fail(s, "a number with a leading zero");
    if (s->at < s->end && (*s->at == '.' || *s->at == 'e' || *s->at == 'E'))
        return feed_scan_fail(s, "an integer is expected");
    *out = v;
    return true;
}

// A string whose content does not matter: escapes are stepped over.
static bool skip_string(feed_scan *s)
{
    s->at++;
    while (s->at < s->end && *s->at != '"') {
        if ((unsigned char)*s->at < 0x20)
            return feed_scan_fail(s, "a control character in a string");
        s->at += *s->at == '\\' ? 2 : 1;
    }
    if (s->at >= s->end) {
        s->at = s->end;
        return feed_scan_fail(s, "a string without an end");
    }
    s->at++;
    return true;
}

static bool literal(feed_scan *s, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return feed_scan_fail(s, "a JSON value is expected");
    s->at += len;
    return true;
}

static bool digits(feed_scan *s)
{
    const char *from = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > from || feed_scan_fail(s, "a digit is expected");
}

static bool skip_number(feed_scan *s)
{
    if (*s->at == '-')
        s->at++;
    if (!digits(s))
        return false;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!digits(s))
            return false;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        return digits(s);
    }
    return true;
}

static bool skip_scalar(feed_scan *s)
{
    switch (*s->at) {
    case '"':
        return skip_string(s);
    case 't':
        return literal(s, "true");
    case 'f':
        return literal(s, "false");
    case 'n':
        return literal(s, "null");
    default:
        return skip_number(s);
    }
}

// Steps over one value with a stack of one bit a level: object or array.
bool feed_scan_skip(feed_scan *s)
{
    uint64_t objects = 0;
    int depth = 0;
    do {
        feed_scan_blank(s);
        if (s->rule || s->at == s->end)
            return feed_scan_fail(s, "a JSON value is expected");
        if (*s->at == '{' || *s->at == '[') {
            bool object = *s->at++ == '{';
            if (depth == DEPTH_MAX)
                return feed_scan_fail(s, "more than 64 levels deep");
            objects = objects << 1 | object;
            depth++;
            if (!feed_scan_if(s, object ? '}' : ']')) {
                bus_view key;
                if (object && (!feed_scan_string(s, &key) || !feed_scan_char(s, ':')))
                    return false;
                continue;
            }
            objects >>= 1;
            depth--;
        } else if (!skip_scalar(s)) {
            return false;
        }
        while (depth && feed_scan_if(s, objects & 1 ? '}' : ']')) {
            objects >>= 1;
            depth--;
        }
        if (depth) {
            bus_view key;
            if (!feed_scan_char(s, ',') ||
                (objects & 1 && (!feed_scan_string(s, &key) || !feed_scan_char(s, ':'))))
                return false;
        }
    } while (depth);
    return true;
}

bool feed_scan_value(feed_scan *s, bus_view *out)
{
    feed_scan_blank(s);
    const char *from = s->at;
    if (!feed_scan_skip(s))
        return false;
    *out = (bus_view){from, (size_t)(s->at - from)};
    return true;
}

bool feed_scan_end(feed_scan *s)
{
    feed_scan_blank(s);
    return !s->rule && (s->at == s->end || feed_scan_fail(s, "the end of the text is expected"));
}

bool feed_scan_key(feed_scan *s, bus_view *key, bool *first)
{
    if (feed_scan_if(s, '}'))
        return false;
    if (!*first && !feed_scan_char(s, ','))
        return false;
    *first = false;
    return feed_scan_string(s, key) && feed_scan_char(s, ':');
}

bool feed_scan_element(feed_scan *s, bool *first)
{
    if (feed_scan_if(s, ']'))
        return false;
    if (!*first && !feed_scan_char(s, ','))
        return false;
    *first = false;
    return !s->rule;
}

bool feed_scan_decimal(feed_scan *s, feed_decimal *out)
{
    if (!feed_scan_char(s, '"'))
        return false;
    const char *p = s->at, *end = s->end, *from = p;
    uint64_t whole = 0, fraction = 0;
    int digits_behind = 0;
    for (; p < end && (unsigned)(*p - '0') < 10; p++)
        whole = whole * 10 + (uint64_t)(*p - '0');
    bool fine = p > from && p - from <= 18;
    if (p < end && *p == '.') {
        const char *point = p++;
        for (; p < end && (unsigned)(*p - '0') < 10; p++)
            fraction = fraction * 10 + (uint64_t)(*p - '0');
        digits_behind = (int)(p - point - 1);
        fine = fine && digits_behind > 0 && digits_behind <= 18;
    }
    s->at = p;
    if (!fine || p == end || *p != '"')
        return feed_scan_fail(s, "a decimal is expected");
    *out = (feed_decimal){{from, (size_t)(p - from)}, whole, fraction, digits_behind};
    s->at = p + 1;
    return true;
}

void feed_level_list_release(feed_level_list *list)
{
    free(list->item);
    *list = (feed_level_list){NULL, 0, 0};
}

// Eight bytes at once, the first in the lowest: little-endian machines only, see usual_level.
static inline uint64_t eight_bytes(const char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

#define EACH(byte) (0x0101010101010101 * (uint64_t)(byte))

// The number that eight digits make, each a byte of 0 to 9.
static inline uint64_t eight_digits(uint64_t v)
{
    v = v * 2561 >> 8 & 0x00ff00ff00ff00ff;     // pairs
    v = v * 6553601 >> 16 & 0x0000ffff0000ffff; // fours
    return v * 42949672960001 >> 32;            // all eight
}

// Where the first point of eight bytes is; 7 when there is none.
static inline unsigned point_of(uint64_t v)
{
    uint64_t points = v ^ EACH('.');
    points = (points - EACH(1)) & ~points & EACH(0x80); // the lowest bit is the first one's
    return (unsigned)__builtin_ctzll(points | 1ull << 63) / 8;
}

// `<1 to 7 digits>.<8 digits>"` at p, as the venues write: returns what follows, and *odd is not 0 when it
// looks otherwise. At least 24 bytes are readable. *digits: how many stood in front of the point the last
// time, mostly as many as here: then the next number is begun before this one is read.
static inline const char *usual_decimal(const char *p, feed_decimal *out, uint64_t *odd,
                                        unsigned *digits)
{
    uint64_t v = eight_bytes(p);
    if (p[*digits] != '.')
        *digits = point_of(v);
    unsigned len = *digits, bits = len * 8;
    // the digits in front of the point, with zeros before them: `& 63` for the case that is odd anyway
    uint64_t whole = (v ^ EACH('0')) << (-bits & 63),
             fraction = eight_bytes(p + len + 1) ^ EACH('0');
    *odd |= (whole | (whole + EACH(0x76)) | fraction | (fraction + EACH(0x76))) & EACH(0x80);
    *odd |= (uint64_t)(len == 0 || p[len] != '.' || p[len + 9] != '"');
    *out = (feed_decimal){{p, len + 9}, eight_digits(whole), eight_digits(fraction), 8};
    return p + len + 10;
}

// A level as nearly all are, `["123.12345678","0.12345678"]`, in a third of the steps; NULL leaves
// everything to the general way.
static inline const char *usual_level(const char *at, const char *end, feed_level *out,
                                      unsigned digits[2])
{
    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || end - at < 64)
        return NULL;
    uint64_t odd = (uint64_t)(at[0] != '[' || at[1] != '"');
    const char *p = usual_decimal(at + 2, &out->price, &odd, &digits[0]);
    odd |= (uint64_t)(p[0] != ',' || p[1] != '"');
    p = usual_decimal(p + 2, &out->quantity, &odd, &digits[1]);
    return odd || *p != ']' ? NULL : p + 1;
}

static bool more_room(feed_scan *s, feed_level_list *list)
{
    uint32_t cap = list->cap ? list->cap * 2 : 256;
    feed_level *item = realloc(list->item, cap * sizeof *item);
    if (!item)
        return feed_scan_fail(s, "no memory for so many levels");
    list->item = item;
    list->cap = cap;
    return true;
}

// The usual levels that stand at s->at, while there is room, with a comma in front of all but the first.
static void usual_levels(feed_scan *s, feed_level_list *list, bool *first)
{
    const char *at = s->at;
    unsigned digits[2] = {1, 1};
    while (list->count < list->cap) {
        if (!*first && (at == s->end || *at != ','))
            break;
        const char *next = usual_level(at + !*first, s->end, &list->item[list->count], digits);
        if (!next)
            break;
        list->count++;
        *first = false;
        at = next;
    }
    s->at = at;
}

static bool level(feed_scan *s, feed_level *out)
{
    if (!feed_scan_char(s, '[') || !feed_scan_decimal(s, &out->price) || !feed_scan_char(s, ',') ||
        !feed_scan_decimal(s, &out->quantity))
        return false;
    while (feed_scan_if(s, ','))
        if (!feed_scan_skip(s))
            return false;
    return feed_scan_char(s, ']');
}

bool feed_scan_levels(feed_scan *s, feed_level_list *list)
{
    bool first = true;
    if (!feed_scan_char(s, '['))
        return false;
    usual_levels(s, list, &first);
    while (feed_scan_element(s, &first)) {
        if (list->count == list->cap && !more_room(s, list))
            return false;
        if (!level(s, &list->item[list->count]))
            return false;
        list->count++;
        usual_levels(s, list, &first);
    }
    return !s->rule;
}
