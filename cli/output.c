// Output of verbs: JSON lines, or tables and "field: value" lines for people.
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/memory.h"
#include "cli/session.h"
#include "cli/units.h"

bus_err lane_flush(void)
{
    static bool told; // only the first failure has its errno: later ones find the stream marked
    if (fflush(stdout) == 0 && !ferror(stdout))
        return BUS_OK;
    const char *why = errno && !told ? strerror(errno) : "what was printed is not whole";
    told = true;
    return bus_fail(BUS_EIO, "stdout: %s", why);
}

// malloc'ed.
static char *plain(const char *text)
{
    size_t cap = strlen(text) + 1;
    char *out = bus_memory(NULL, cap, "a line of output");
    lane_units_plain(out, cap, text);
    return out;
}

void lane_say(FILE *to, const char *format, ...)
{
    va_list args;
    char *text;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        bus_memory_out(strlen(format), "a line of output");
    bool ends = len > 0 && format[strlen(format) - 1] == '\n';
    if (ends)
        text[len - 1] = '\0';
    char *shown = plain(text);
    fprintf(to, "%s%s", shown, ends ? "\n" : "");
    free(shown);
    free(text);
}

void lane_json_line(json_t *value)
{
    json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    putchar('\n');
    fflush(stdout);
    json_decref(value);
}

// "a.b.c" in nested objects; borrowed.
static json_t *at_path(const json_t *object, const char *path)
{
    json_t *value = json_object_get(object, path);
    const char *dot = strchr(path, '.');
    if (value || !dot)
        return value;
    char head[64];
    snprintf(head, sizeof head, "%.*s", (int)(dot - path), path);
    return at_path(json_object_get(object, head), dot + 1);
}

// malloc'ed.
static char *to_text(const json_t *value)
{
    if (!value || json_is_null(value))
        return plain("");
    if (json_is_string(value))
        return plain(json_string_value(value));
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        bus_memory_out(0, "a line of output");
    char *shown = plain(text);
    free(text);
    return shown;
}

static void print_cell(const char *text, size_t width, bool last)
{
    fputs(text, stdout);
    if (!last)
        for (size_t i = lane_args_width(text); i < width + 2; i++)
            putchar(' ');
}

enum { COLUMNS_MAX = 16 };

static void print_table(const lane_column *columns, const json_t *rows)
{
    size_t width[COLUMNS_MAX] = {0}, i;
    int count = 0;
    json_t *row;
    for (; columns[count].title && count < COLUMNS_MAX; count++)
        width[count] = lane_args_width(columns[count].title);
    json_array_foreach (rows, i, row) {
        for (int c = 0; c < count; c++) {
            char *text = to_text(at_path(row, columns[c].field));
            width[c] = lane_args_width(text) > width[c] ? lane_args_width(text) : width[c];
            free(text);
        }
    }
    for (int c = 0; c < count; c++)
        print_cell(columns[c].title, width[c], c == count - 1);
    putchar('\n');
    json_array_foreach (rows, i, row) {
        for (int c = 0; c < count; c++) {
            char *text = to_text(at_path(row, columns[c].field));
            print_cell(text, width[c], c == count - 1);
            free(text);
        }
        putchar('\n');
    }
}

void lane_rows(const lane_cli *cli, const lane_column *columns, json_t *rows)
{
    size_t i;
    json_t *row;
    if (cli->json) {
        json_array_foreach (rows, i, row)
            lane_json_line(json_incref(row));
    } else if (json_array_size(rows) == 0) {
        puts("(none)");
    } else {
        print_table(columns, rows);
    }
    json_decref(rows);
}

// {"name", "value"} and nothing else: a setting, shown as one.
static bool is_setting(const json_t *value)
{
    return json_object_size(value) == 2 && json_is_string(json_object_get(value, "name")) &&
           json_object_get(value, "value");
}

static void print_field(const char *path, const json_t *value);

// "path.name: value"; a list's parts are numbered from 1 where they have no name of their own.
static void print_part(const char *path, const char *name, const json_t *value)
{
    char longer[256];
    snprintf(longer, sizeof longer, "%s%s%s", path, path[0] ? "." : "", name);
    print_field(longer, value);
}

static void print_list(const char *path, const json_t *list)
{
    size_t i;
    json_t *one;
    bool nested = false;
    json_array_foreach (list, i, one)
        nested |= json_is_object(one) || json_is_array(one);
    if (!nested && json_array_size(list))
        lane_say(stdout, "%s: ", path);
    json_array_foreach (list, i, one) {
        char number[24], *text = nested ? NULL : to_text(one);
        snprintf(number, sizeof number, "%zu", i + 1);
        if (!nested)
            printf("%s%s", i ? ", " : "", text);
        else if (is_setting(one))
            print_part(path, json_string_value(json_object_get(one, "name")),
                       json_object_get(one, "value"));
        else
            print_part(path, number, one);
        free(text);
    }
    if (!nested && json_array_size(list))
        putchar('\n');
}

static void print_field(const char *path, const json_t *value)
{
    const char *name;
    json_t *part;
    if (json_is_object(value)) {
        json_object_foreach ((json_t *)value, name, part)
            print_part(path, name, part);
    } else if (json_is_array(value)) {
        print_list(path, value);
    } else {
        char *text = to_text(value);
        if (text[0])
            lane_say(stdout, "%s: %s\n", path, text);
        free(text);
    }
}

void lane_object(const lane_cli *cli, json_t *object)
{
    if (cli->json) {
        lane_json_line(object);
        return;
    }
    print_field("", object);
    json_decref(object);
}

// A packed value's text in JSON, for what the codec writes anyway: strings and base64.
static void print_packed(void (*pack)(bus_pack *, bus_view), bus_view v)
{
    size_t cap = v.len + 16;
    uint8_t *buf =
        bus_memory(NULL, cap, "a line of output"); // without it the line would be no JSON
    char *text = NULL;
    bus_pack p = bus_pack_to(buf, cap);
    pack(&p, v);
    bus_err err = bus_pack_to_json(&text, NULL, (bus_view){(const char *)buf, p.len});
    if (err == BUS_ENOMEM)
        bus_memory_out(cap, "a line of output");
    if (!err)
        fputs(text, stdout);
    free(text);
    free(buf);
}

static bus_err read_event(bus_event *event, const bus_msg *msg, bus_view payload,
                          bus_scratch *scratch)
{
    return msg ? bus_msg_event(msg, event, scratch)
               : bus_event_decode(event, (bus_view){0}, payload, scratch);
}

void lane_event_line(uint64_t seq, bus_view subject, const bus_msg *msg, bus_view payload,
                     bus_scratch *scratch)
{
    bus_event event;
    char *text = NULL;
    bus_err err = read_event(&event, msg, payload, scratch);
    if (!err)
        err = bus_event_encode_json(&text, NULL, &event);
    if (err == BUS_ENOMEM) // it is no bad event
        bus_memory_out(payload.len, "an event");
    putchar('{');
    if (seq)
        printf("\"seq\":%llu,", (unsigned long long)seq);
    fputs("\"subject\":", stdout);
    print_packed(bus_pack_str, subject);
    if (!err) {
        printf(",\"event\":%s}\n", text);
    } else {
        fputs(",\"error\":", stdout);
        print_packed(bus_pack_str, bus_view_of(bus_err_text()));
        fputs(",\"payload_base64\":", stdout);
        print_packed(bus_pack_bin, payload);
        puts("}");
    }
    free(text);
}

void lane_event_people(uint64_t seq, bus_view subject, const bus_msg *msg, bus_view payload,
                       bus_scratch *scratch)
{
    bus_event event;
    char *text = NULL;
    bus_err err = read_event(&event, msg, payload, scratch);
    if (!err && event.data.len)
        err = bus_pack_to_json(&text, NULL, event.data);
    if (seq)
        printf("%llu  ", (unsigned long long)seq);
    if (err)
        lane_say(stdout, "%.*s  (%s)\n", BUS_VIEW_ARG(subject), bus_err_text());
    else
        lane_say(stdout, "%.*s  %.*s  %.*s  %s\n", BUS_VIEW_ARG(event.time), BUS_VIEW_ARG(subject),
                 BUS_VIEW_ARG(event.id), text ? text : "");
    free(text);
}
