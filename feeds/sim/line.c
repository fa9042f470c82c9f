// One line of a capture.
//   collector    1723161253937085768 {"stream":…}            19 digits: ns, 16: us
//   cryptofeed   1633998512.0633569: {"stream":…}            inbound
//                wss://… <-> 1633998511.159679               connect        (skipped)
//                wss://… <- 1633998511.2: {"op":…}           outbound       (skipped)
//                https://… -> 1633998512.320639: {…} header: {…}   a REST body
// Source: schemas/specs/simexd.md, "Capture play".
#include "feeds/sim/capture.h"

static size_t digits(bus_view text)
{
    size_t n = 0;
    while (n < text.len && text.ptr[n] >= '0' && text.ptr[n] <= '9')
        n++;
    return n;
}

static bus_view after(bus_view text, size_t n)
{
    return (bus_view){text.ptr + n, text.len - n};
}

sim_format sim_line_format(bus_view line)
{
    size_t n = digits(line);
    if ((n == 19 || n == 16) && n < line.len && line.ptr[n] == ' ')
        return SIM_FORMAT_COLLECTOR;
    if (n == 10 && n < line.len && (line.ptr[n] == '.' || line.ptr[n] == ':'))
        return SIM_FORMAT_CRYPTOFEED;
    if (line.len > 6 && (memcmp(line.ptr, "wss://", 6) == 0 || memcmp(line.ptr, "http", 4) == 0))
        return SIM_FORMAT_CRYPTOFEED;
    return SIM_FORMAT_UNKNOWN;
}

static bus_view find(bus_view text, const char *mark)
{
    const char *at = text.len ? memmem(text.ptr, text.len, mark, strlen(mark)) : NULL;
    return at ? after(text, (size_t)(at - text.ptr)) : (bus_view){NULL, 0};
}

static void classify(sim_line *out)
{
    static const char snapshot[] = "{\"lastUpdateId\"";
    if (out->url.len) {
        out->kind = find(out->url, "/depth").len         ? SIM_LINE_SNAPSHOT
                    : find(out->url, "exchangeInfo").len ? SIM_LINE_INFO
                                                         : SIM_LINE_SKIP;
        return;
    }
    bool bare = out->text.len > sizeof snapshot - 1 &&
                memcmp(out->text.ptr, snapshot, sizeof snapshot - 1) == 0;
    out->kind = bare ? SIM_LINE_SNAPSHOT : SIM_LINE_FRAME;
}

static bus_err parse_collector(sim_line *out, bus_view line)
{
    size_t n = digits(line);
    uint64_t stamp;
    if ((n != 19 && n != 16) || n >= line.len || line.ptr[n] != ' ' ||
        !bus_view_u64((bus_view){line.ptr, n}, &stamp) || stamp > INT64_MAX)
        return bus_fail(BUS_EINVAL, "a line begins with 16 (us) or 19 (ns) digits and a blank");
    out->recorded_ns = (int64_t)(n == 16 ? stamp * 1000 : stamp);
    out->text = after(line, n + 1);
    classify(out);
    return BUS_OK;
}

// "1633998512.0633569" -> ns; the number of bytes used, 0 when it is none.
static size_t parse_seconds(bus_view text, int64_t *ns)
{
    size_t n = digits(text);
    uint64_t seconds;
    if (n == 0 || n > 10 || !bus_view_u64((bus_view){text.ptr, n}, &seconds) ||
        seconds > 9000000000u)
        return 0;
    int64_t fraction = 0, unit = 100000000;
    if (n < text.len && text.ptr[n] == '.')
        for (n++; n < text.len && text.ptr[n] >= '0' && text.ptr[n] <= '9'; n++, unit /= 10)
            fraction += (text.ptr[n] - '0') * unit;
    *ns = (int64_t)seconds * 1000000000 + fraction;
    return n;
}

static bus_err parse_stamped(sim_line *out, bus_view line)
{
    size_t n = parse_seconds(line, &out->recorded_ns);
    if (n == 0 || n + 2 > line.len || line.ptr[n] != ':' || line.ptr[n + 1] != ' ')
        return bus_fail(BUS_EINVAL, "a line begins with unix seconds, ':' and a blank");
    out->text = after(line, n + 2);
    return BUS_OK;
}

static bus_err parse_cryptofeed(sim_line *out, bus_view line)
{
    if (digits(line)) {
        bus_err err = parse_stamped(out, line);
        if (!err)
            classify(out);
        return err;
    }
    bus_view body = find(line, " -> ");
    if (!body.len) {
        out->kind = SIM_LINE_SKIP;
        return find(line, " <-").len
                   ? BUS_OK
                   : bus_fail(BUS_EINVAL, "a line is inbound, ' -> ', ' <- ' or ' <-> '");
    }
    out->url = (bus_view){line.ptr, (size_t)(body.ptr - line.ptr)};
    bus_err err = parse_stamped(out, after(body, 4));
    if (err)
        return err;
    bus_view header = find(out->text, " header: {");
    out->text.len -= header.len;
    classify(out);
    return BUS_OK;
}

bus_err sim_line_parse(sim_line *out, sim_format format, bus_view line)
{
    *out = (sim_line){.kind = SIM_LINE_SKIP};
    while (line.len && (line.ptr[line.len - 1] == '\r' || line.ptr[line.len - 1] == ' '))
        line.len--;
    if (line.len == 0)
        return BUS_OK;
    return format == SIM_FORMAT_COLLECTOR ? parse_collector(out, line)
                                          : parse_cryptofeed(out, line);
}
