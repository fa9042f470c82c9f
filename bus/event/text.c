#include "bus/event/text.h"

#include <stdint.h>
#include <strings.h>

// --- UTF-8 ----------------------------------------------------------------------------------------

static uint64_t load8(const char *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

// Decodes one character that starts with a byte >= 0x80; returns its length, 0 when malformed.
static size_t decode_wide(const unsigned char *s, size_t left, uint32_t *out)
{
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || left < len)
        return 0;
    uint32_t c = s[0] & (0xffU >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3fU);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *out = c;
    return len;
}

const char *bus_text_utf8(bus_view text, size_t *at)
{
    size_t i = 0;
    while (i < text.len) {
        if (text.len - i >= 8 && !(load8(text.ptr + i) & 0x8080808080808080ULL)) {
            i += 8;
            continue;
        }
        unsigned char c = (unsigned char)text.ptr[i];
        uint32_t wide;
        size_t len =
            c < 0x80 ? 1 : decode_wide((const unsigned char *)text.ptr + i, text.len - i, &wide);
        if (len == 0) {
            *at = i;
            return "must be UTF-8";
        }
        i += len;
    }
    return NULL;
}

// Are all eight bytes in 0x20..0x7e? Sets the high bit of each byte that is not (or of a neighbour,
// which costs only a slower second look).
static bool plain8(uint64_t v)
{
    const uint64_t ones = 0x0101010101010101ULL, high = 0x8080808080808080ULL;
    uint64_t below = (v - ones * 0x20) & ~v;
    uint64_t del = v ^ (ones * 0x7f);
    uint64_t is_del = (del - ones) & ~del;
    return !((v | below | is_del) & high);
}

static bool wide_forbidden(uint32_t c)
{
    return c < 0xa0 || (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef);
}

// Nearly all attributes are plain ASCII: eight bytes at a time, the last step overlapping.
static bool all_plain(bus_view text)
{
    if (text.len < 8)
        return false;
    for (size_t i = 0; i + 8 <= text.len; i += 8)
        if (!plain8(load8(text.ptr + i)))
            return false;
    return plain8(load8(text.ptr + text.len - 8));
}

const char *bus_text_attribute(bus_view text, size_t *at)
{
    size_t i = 0;
    if (all_plain(text))
        return NULL;
    while (i < text.len) {
        if (text.len - i >= 8 && plain8(load8(text.ptr + i))) {
            i += 8;
            continue;
        }
        unsigned char c = (unsigned char)text.ptr[i];
        *at = i;
        if (c < 0x80) {
            if (c < 0x20 || c == 0x7f)
                return "must hold no control characters";
            i++;
            continue;
        }
        uint32_t wide = 0;
        size_t len = decode_wide((const unsigned char *)text.ptr + i, text.len - i, &wide);
        if (len == 0)
            return "must be UTF-8";
        if (wide_forbidden(wide))
            return "must hold no control characters and no noncharacters";
        i += len;
    }
    return NULL;
}

// --- RFC 3339 -------------------------------------------------------------------------------------

static int two_digits(const char *s)
{
    unsigned high = (unsigned)(s[0] - '0'), low = (unsigned)(s[1] - '0');
    return high > 9 || low > 9 ? -1 : (int)(high * 10 + low);
}

static bool date_ok(const char *s)
{
    static const int days[] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int century = two_digits(s), year = two_digits(s + 2);
    int month = two_digits(s + 5), day = two_digits(s + 8);
    if (century < 0 || year < 0 || s[4] != '-' || s[7] != '-')
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days[month])
        return false;
    year += century * 100;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month != 2 || day < 29 || leap;
}

static bool clock_ok(const char *s)
{
    int hour = two_digits(s), minute = two_digits(s + 3), second = two_digits(s + 6);
    return s[2] == ':' && s[5] == ':' && hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59 &&
           second >= 0 && second <= 60;
}

static bool offset_ok(const char *s, size_t len)
{
    if (len == 1)
        return s[0] == 'Z' || s[0] == 'z';
    if (len != 6 || (s[0] != '+' && s[0] != '-') || s[3] != ':')
        return false;
    int hour = two_digits(s + 1), minute = two_digits(s + 4);
    return hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59;
}

const char *bus_text_time(bus_view text, size_t *at)
{
    const char *s = text.ptr;
    *at = 0;
    if (text.len < 20 || !date_ok(s))
        return "must be an RFC 3339 time";
    *at = 10;
    if ((s[10] != 'T' && s[10] != 't') || !clock_ok(s + 11))
        return "must be an RFC 3339 time";
    size_t i = 19;
    *at = i;
    if (s[i] == '.') {
        size_t digits = 0;
        for (i++; i < text.len && s[i] >= '0' && s[i] <= '9'; i++)
            digits++;
        if (digits < 1 || digits > 9)
            return "must be an RFC 3339 time with at most 9 fractional digits";
    }
    *at = i;
    return offset_ok(s + i, text.len - i) ? NULL : "must be an RFC 3339 time with an offset";
}

// --- URIs, media types, names ---------------------------------------------------------------------

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

// Characters of RFC 3986 that stand for themselves.
static const bool uri_plain[256] = {
    ['a'] = true, ['b'] = true, ['c'] = true, ['d'] = true,  ['e'] = true, ['f'] = true,
    ['g'] = true, ['h'] = true, ['i'] = true, ['j'] = true,  ['k'] = true, ['l'] = true,
    ['m'] = true, ['n'] = true, ['o'] = true, ['p'] = true,  ['q'] = true, ['r'] = true,
    ['s'] = true, ['t'] = true, ['u'] = true, ['v'] = true,  ['w'] = true, ['x'] = true,
    ['y'] = true, ['z'] = true, ['A'] = true, ['B'] = true,  ['C'] = true, ['D'] = true,
    ['E'] = true, ['F'] = true, ['G'] = true, ['H'] = true,  ['I'] = true, ['J'] = true,
    ['K'] = true, ['L'] = true, ['M'] = true, ['N'] = true,  ['O'] = true, ['P'] = true,
    ['Q'] = true, ['R'] = true, ['S'] = true, ['T'] = true,  ['U'] = true, ['V'] = true,
    ['W'] = true, ['X'] = true, ['Y'] = true, ['Z'] = true,  ['0'] = true, ['1'] = true,
    ['2'] = true, ['3'] = true, ['4'] = true, ['5'] = true,  ['6'] = true, ['7'] = true,
    ['8'] = true, ['9'] = true, ['-'] = true, ['.'] = true,  ['_'] = true, ['~'] = true,
    [':'] = true, ['/'] = true, ['?'] = true, ['['] = true,  [']'] = true, ['@'] = true,
    ['!'] = true, ['$'] = true, ['&'] = true, ['\''] = true, ['('] = true, [')'] = true,
    ['*'] = true, ['+'] = true, [','] = true, [';'] = true,  ['='] = true,
};

const char *bus_text_uri_ref(bus_view text, size_t *at)
{
    bool fragment = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (uri_plain[(unsigned char)c])
            continue;
        *at = i;
        if (c == '%') {
            if (text.len - i < 3 || !is_hex(text.ptr[i + 1]) || !is_hex(text.ptr[i + 2]))
                return "must be a URI-reference: '%' needs two hex digits";
        } else if (c == '#') {
            if (fragment)
                return "must be a URI-reference: a second '#'";
            fragment = true;
        } else {
            return "must be a URI-reference (RFC 3986)";
        }
    }
    return NULL;
}

const char *bus_text_uri(bus_view text, size_t *at)
{
    size_t i = 0;
    while (i < text.len && (is_alpha(text.ptr[i]) ||
                            (i && (is_digit(text.ptr[i]) || is_one_of(text.ptr[i], "+-.")))))
        i++;
    if (i == 0 || i == text.len || text.ptr[i] != ':') {
        *at = i;
        return "must be an absolute URI";
    }
    return bus_text_uri_ref(text, at);
}

static size_t token_end(bus_view text, size_t from)
{
    while (from < text.len && (is_alpha(text.ptr[from]) || is_digit(text.ptr[from]) ||
                               is_one_of(text.ptr[from], "!#$%&'*+-.^_`{|}~")))
        from++;
    return from;
}

static size_t skip_blanks(bus_view text, size_t from)
{
    while (from < text.len && (text.ptr[from] == ' ' || text.ptr[from] == '\t'))
        from++;
    return from;
}

static size_t parameter_value_end(bus_view text, size_t from)
{
    if (from == text.len || text.ptr[from] != '"')
        return token_end(text, from);
    for (size_t i = from + 1; i < text.len; i++) {
        if (text.ptr[i] == '\\')
            i++;
        else if (text.ptr[i] == '"')
            return i + 1;
    }
    return from; // no closing quote
}

// Takes what stands between *i and the next ';' or the end; false when that is no token.
static bool take_token(bus_view text, size_t *i)
{
    size_t end = token_end(text, *i);
    bool some = end > *i;
    *i = end;
    return some;
}

const char *bus_text_media_type(bus_view text, size_t *at)
{
    static const char rule[] = "must be a media type (RFC 2046): type/subtype";
    size_t i = 0;
    if (bus_view_eq(text, BUS_VIEW("application/json")))
        return NULL;
    bool ok = take_token(text, &i);
    *at = i;
    if (!ok || i == text.len || text.ptr[i++] != '/')
        return rule;
    ok = take_token(text, &i);
    *at = i;
    if (!ok)
        return rule;
    for (i = skip_blanks(text, i); i < text.len; i = skip_blanks(text, i)) {
        *at = i;
        if (text.ptr[i] != ';')
            return rule;
        i = skip_blanks(text, i + 1);
        if (!take_token(text, &i) || i == text.len || text.ptr[i] != '=')
            return rule;
        size_t end = parameter_value_end(text, i + 1);
        if (end == i + 1)
            return rule;
        i = end;
    }
    return NULL;
}

const char *bus_text_name(bus_view text, size_t *at)
{
    *at = 0;
    if (text.len == 0)
        return "must not be empty";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        *at = i;
        if (!is_digit(c) && !(c >= 'a' && c <= 'z'))
            return "must be of [a-z0-9]";
    }
    return NULL;
}

static bool media_is(bus_view type, const char *whole, const char *suffix)
{
    size_t len = token_end(type, 0);
    if (len < type.len && type.ptr[len] == '/')
        len = token_end(type, len + 1);
    size_t suffix_len = strlen(suffix), whole_len = strlen(whole);
    if (len == whole_len && strncasecmp(type.ptr, whole, len) == 0)
        return true;
    return len > suffix_len && strncasecmp(type.ptr + len - suffix_len, suffix, suffix_len) == 0;
}

bool bus_media_is_json(bus_view type)
{
    return media_is(type, "application/json", "+json") || media_is(type, "text/json", "/json");
}

bool bus_media_is_msgpack(bus_view type)
{
    return media_is(type, "application/msgpack", "+msgpack") ||
           media_is(type, "application/x-msgpack", "/msgpack");
}
