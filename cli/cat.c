#include "cli/cat.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/event/event.h"
#include "cli/units.h"

enum { INPUT_MAX = 64 << 20, HEADERS_MAX = 64 };

static const lane_option options[] = {
    {"to", 0, "FORM",
     "json (default), msgpack, or headers (as 'name: value' lines, then the payload)"},
    {"data", 0, NULL, "print the data alone"},
    {0},
};

const lane_verb lane_cat_verb = {
    "cat",   "",  0, 0, "one event from stdin (msgpack, JSON or headers) as one line of JSON",
    options, NULL};

static bus_err read_all(char **out, size_t *len)
{
    size_t cap = 64 * 1024, at = 0;
    char *buf = malloc(cap);
    for (;;) {
        if (!buf)
            return bus_fail(BUS_ENOMEM, "input of %zu bytes", cap);
        ssize_t got = read(STDIN_FILENO, buf + at, cap - at);
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR) {
            free(buf);
            return bus_fail(BUS_EIO, "reading stdin: %s", strerror(errno));
        }
        at += got > 0 ? (size_t)got : 0;
        if (at == cap && cap < INPUT_MAX)
            buf = realloc(buf, cap *= 2);
        else if (at == cap) {
            free(buf);
            return bus_fail(BUS_ELIMIT, "stdin holds more than %d bytes", INPUT_MAX);
        }
    }
    *out = buf;
    *len = at;
    return BUS_OK;
}

// --- headers as text: "NATS/1.0" (optional), "name: value" lines, a blank line, the payload ----------

// A first line "name:" can be neither msgpack nor JSON.
static bool looks_like_headers(bus_view text)
{
    size_t i = 0;
    while (i < text.len && i < 128 && (isalnum((unsigned char)text.ptr[i]) || text.ptr[i] == '-'))
        i++;
    return (text.len > 5 && memcmp(text.ptr, "NATS/", 5) == 0) ||
           (i > 0 && i < text.len && text.ptr[i] == ':');
}

static bus_view take_line(bus_view *rest)
{
    const char *end = memchr(rest->ptr, '\n', rest->len);
    size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
    bus_view line = {rest->ptr, len};
    size_t used = end ? len + 1 : len;
    *rest = (bus_view){rest->ptr + used, rest->len - used};
    if (line.len && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

static bus_header split_header(bus_view line)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    size_t name = colon ? (size_t)(colon - line.ptr) : line.len;
    size_t from = colon ? name + 1 : line.len;
    while (from < line.len && line.ptr[from] == ' ')
        from++;
    return (bus_header){{line.ptr, name}, {line.ptr + from, line.len - from}};
}

static bus_err decode_header_text(bus_event *out, bus_view text, bus_scratch *scratch)
{
    bus_header headers[HEADERS_MAX];
    size_t count = 0;
    if (memcmp(text.ptr, "NATS/", 5) == 0)
        take_line(&text);
    while (text.len) {
        bus_view line = take_line(&text);
        if (line.len == 0)
            break;
        if (count == HEADERS_MAX)
            return bus_fail(BUS_ELIMIT, "more than %d headers", HEADERS_MAX);
        headers[count++] = split_header(line);
    }
    return bus_event_decode_headers(out, headers, count, text, scratch);
}

// --- output --------------------------------------------------------------------------------------------

static void print_header(void *ctx, const char *name, const char *value)
{
    (void)ctx;
    printf("%s: %s\n", name, value);
}

static bus_err write_headers(const bus_event *event)
{
    bus_scratch scratch = {0};
    bus_view payload;
    bus_err err = bus_event_encode_headers(event, &scratch, &payload, print_header, NULL);
    if (!err) {
        putchar('\n');
        fwrite(payload.ptr ? payload.ptr : "", 1, payload.len, stdout);
    }
    bus_scratch_release(&scratch);
    return err;
}

static bus_err write_msgpack(const bus_event *event)
{
    size_t cap = 2 * bus_event_size_max();
    uint8_t *buf = malloc(cap);
    if (!buf)
        return bus_fail(BUS_ENOMEM, "output of %zu bytes", cap);
    bus_pack p = bus_pack_to(buf, cap);
    bus_err err = bus_event_encode(&p, event);
    if (!err)
        fwrite(buf, 1, p.len, stdout);
    free(buf);
    return err;
}

static bus_err write_json(const bus_event *event, bool data_alone)
{
    char *text;
    size_t len;
    bus_err err = BUS_OK;
    if (data_alone && !event->data.len)
        return bus_fail(BUS_ENOTFOUND, "the event has no data");
    err = data_alone ? bus_pack_to_json(&text, &len, event->data)
                     : bus_event_encode_json(&text, &len, event);
    if (err)
        return err;
    text[len] = '\n';
    fwrite(text, 1, len + 1, stdout);
    free(text);
    return BUS_OK;
}

static bus_err write_event(const lane_args *args, const bus_event *event)
{
    const char *form = lane_args_value(args, "to");
    if (!form || strcmp(form, "json") == 0)
        return write_json(event, lane_args_has(args, "data"));
    if (strcmp(form, "msgpack") == 0)
        return write_msgpack(event);
    if (strcmp(form, "headers") == 0)
        return write_headers(event);
    return bus_fail(BUS_EUSAGE, "--to '%s' is none of json, msgpack, headers", form);
}

int lane_cat(const lane_args *args)
{
    bus_scratch scratch = {0};
    bus_event event;
    char *input = NULL;
    size_t len = 0;
    bus_event_set_size_max(INPUT_MAX); // what a broker let through is shown
    bus_err err = read_all(&input, &len);
    if (!err) {
        bus_view text = {input, len};
        err = looks_like_headers(text) ? decode_header_text(&event, text, &scratch)
                                       : bus_event_decode(&event, (bus_view){0}, text, &scratch);
    }
    if (!err)
        err = write_event(args, &event);
    bus_scratch_release(&scratch);
    free(input);
    if (!err && (fflush(stdout) != 0 || ferror(stdout)))
        err = bus_fail(BUS_EIO, "writing: %s", strerror(errno));
    if (err) { // which may name what came in
        char words[1024];
        lane_units_plain(words, sizeof words, bus_err_text());
        fprintf(stderr, "lane cat: %s\n", words);
    }
    return err == BUS_OK ? 0 : err == BUS_EUSAGE ? 2 : 1;
}
