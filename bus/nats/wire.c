#include "bus/nats/wire.h"

static const char start_line[] = "NATS/1.0\r\n";
enum { START_LEN = sizeof start_line - 1, VERSION_LEN = START_LEN - 2, TOKENS_MAX = 6 };

// --- out -------------------------------------------------------------------------------------------------

static uint8_t *text(uint8_t *at, bus_view v)
{
    if (v.len)
        memcpy(at, v.ptr, v.len);
    return at + v.len;
}

static uint8_t *number(uint8_t *at, size_t v)
{
    char digits[20];
    int n = 0;
    do
        digits[n++] = (char)('0' + v % 10);
    while (v /= 10);
    while (n)
        *at++ = (uint8_t)digits[--n];
    return at;
}

size_t bus_wire_publish(uint8_t *to, const bus_wire_out *m)
{
    uint8_t *at = text(to, m->headers.len ? BUS_VIEW("HPUB ") : BUS_VIEW("PUB "));
    at = text(at, m->subject);
    *at++ = ' ';
    if (m->reply.len) {
        at = text(at, m->reply);
        *at++ = ' ';
    }
    if (m->headers.len) {
        at = number(at, m->headers.len);
        *at++ = ' ';
    }
    at = number(at, m->headers.len + m->payload.len);
    at = text(at, BUS_VIEW("\r\n"));
    at = text(at, m->headers);
    at = text(at, m->payload);
    at = text(at, BUS_VIEW("\r\n"));
    return (size_t)(at - to);
}

size_t bus_wire_headers_len(const bus_header_pair *headers, size_t count)
{
    size_t len = count ? START_LEN + 2 : 0;
    for (size_t i = 0; i < count; i++)
        len += strlen(headers[i].name) + strlen(headers[i].value) + 4;
    return len;
}

void bus_wire_headers(char *to, const bus_header_pair *headers, size_t count)
{
    uint8_t *at = (uint8_t *)to;
    if (count == 0)
        return;
    at = text(at, BUS_VIEW(start_line));
    for (size_t i = 0; i < count; i++) {
        at = text(at, bus_view_of(headers[i].name));
        at = text(at, BUS_VIEW(": "));
        at = text(at, bus_view_of(headers[i].value));
        at = text(at, BUS_VIEW("\r\n"));
    }
    text(at, BUS_VIEW("\r\n"));
}

bool bus_wire_header_next(bus_view block, size_t *at, bus_view *name, bus_view *value)
{
    const char *end = block.ptr + block.len;
    for (;;) {
        const char *line = block.ptr + *at;
        const char *stop = line < end ? memmem(line, (size_t)(end - line), "\r\n", 2) : NULL;
        if (!stop)
            return false;
        bool first = *at == 0; // the version, perhaps with a status
        *at = (size_t)(stop + 2 - block.ptr);
        const char *colon = memchr(line, ':', (size_t)(stop - line));
        if (first || !colon)
            continue;
        *name = (bus_view){line, (size_t)(colon - line)};
        *value = bus_view_trimmed(colon + 1, stop);
        return true;
    }
}

// --- in --------------------------------------------------------------------------------------------------

// The parts of a line between blanks; more than `max` of them is -1.
static int split(const char *at, const char *end, bus_view *out, int max)
{
    int count = 0;
    while (at < end) {
        const char *stop = memchr(at, ' ', (size_t)(end - at));
        if (!stop)
            stop = end;
        if (stop > at) {
            if (count == max)
                return -1;
            out[count++] = (bus_view){at, (size_t)(stop - at)};
        }
        at = stop + 1;
    }
    return count;
}

// "<subject> <sid> [<reply>] [<header bytes>] <all bytes>" and then those bytes and a line end.
static bus_wire_result take_message(bus_wire_frame *out, bus_view bytes, const char *line_end,
                                    bool headers, size_t *len)
{
    bus_view part[TOKENS_MAX];
    size_t skip = headers ? 5 : 4, line = (size_t)(line_end + 2 - bytes.ptr);
    int count = split(bytes.ptr + skip, line_end, part, TOKENS_MAX), fixed = headers ? 4 : 3;
    uint64_t header_len = 0, all = 0;
    if (count != fixed && count != fixed + 1)
        return BUS_WIRE_BAD;
    if (!bus_view_u64(part[1], &out->sid) || !bus_view_u64(part[count - 1], &all) ||
        (headers && !bus_view_u64(part[count - 2], &header_len)) || header_len > all ||
        all > INT32_MAX)
        return BUS_WIRE_BAD;
    *len = line + all + 2;
    if (bytes.len < *len)
        return BUS_WIRE_PART;
    const char *body = bytes.ptr + line;
    if (memcmp(body + all, "\r\n", 2) != 0)
        return BUS_WIRE_BAD;
    out->kind = BUS_WIRE_MSG;
    out->subject = part[0];
    out->reply = count > fixed ? part[2] : (bus_view){0};
    // The broker looks at their length alone: what a sender put there need not be headers.
    bool usual = header_len >= START_LEN && memcmp(body, start_line, VERSION_LEN) == 0;
    out->headers = (bus_view){body, usual ? header_len : 0};
    out->payload = (bus_view){body + header_len, all - header_len};
    return BUS_WIRE_WHOLE;
}

static bool begins(bus_view bytes, const char *word)
{
    size_t len = strlen(word);
    return bytes.len >= len && memcmp(bytes.ptr, word, len) == 0;
}

bus_wire_result bus_wire_take(bus_wire_frame *out, bus_view bytes, size_t *len)
{
    const char *end = bytes.len ? memchr(bytes.ptr, '\n', bytes.len) : NULL;
    if (!end) {
        *len = bytes.len + 1;
        return bytes.len > BUS_WIRE_LINE_MAX ? BUS_WIRE_BAD : BUS_WIRE_PART;
    }
    if (end == bytes.ptr || end[-1] != '\r')
        return BUS_WIRE_BAD;
    end--;
    *len = (size_t)(end + 2 - bytes.ptr);
    if (begins(bytes, "HMSG "))
        return take_message(out, bytes, end, true, len);
    if (begins(bytes, "MSG "))
        return take_message(out, bytes, end, false, len);
    if (begins(bytes, "PING")) {
        out->kind = BUS_WIRE_PING;
    } else if (begins(bytes, "PONG")) {
        out->kind = BUS_WIRE_PONG;
    } else if (begins(bytes, "-ERR ")) {
        out->kind = BUS_WIRE_ERR;
        out->text = (bus_view){bytes.ptr + 5, *len - 7};
    } else if (begins(bytes, "INFO ") || begins(bytes, "+OK")) {
        out->kind = BUS_WIRE_OTHER;
    } else {
        return BUS_WIRE_BAD;
    }
    return BUS_WIRE_WHOLE;
}
