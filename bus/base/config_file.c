#include "bus/base/config_file.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

enum { FILE_BYTES_MAX = 1 << 20, TEXT_MAX = 256 };

// What libcyaml fills for one row: a string, or a list and its count.
typedef struct {
    void *value; // char * or char **
    uint64_t count;
} slot;

struct bus_config_file {
    const char *path;
    const bus_config_row *rows;
    size_t row_count;
    char *bytes;
    size_t len;
    int *line; // of each row's key
    cyaml_schema_field_t *fields;
    slot *slots;
    // The first complaint of libcyaml and the field its backtrace names.
    char complaint[TEXT_MAX];
    char field[TEXT_MAX];
};

static void keep_complaint(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    (void)level;
    bus_config_file *file = ctx;
    char text[TEXT_MAX];
    vsnprintf(text, sizeof text, fmt, args);
    text[strcspn(text, "\n")] = '\0';
    if (strstr(text, "Backtrace:"))
        return;
    if (sscanf(text, "  in mapping field '%255[^']'", file->field) == 1)
        return;
    const char *sentence = strncmp(text, "Load: ", 6) == 0 ? text + 6 : text;
    if (!file->complaint[0] && sentence[0] != ' ')
        snprintf(file->complaint, sizeof file->complaint, "%s", sentence);
}

static const cyaml_schema_value_t list_item = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED)};

// Every scalar is taken as a string: the rule for its text is the same as for flags and variables.
static void make_schema(bus_config_file *file)
{
    for (size_t i = 0; i < file->row_count; i++) {
        cyaml_schema_field_t *f = &file->fields[i];
        f->key = file->rows[i].name;
        f->data_offset = (uint32_t)(i * sizeof(slot) + offsetof(slot, value));
        if (file->rows[i].kind != BUS_CONFIG_LIST) {
            f->value = (cyaml_schema_value_t){CYAML_VALUE_STRING(
                CYAML_FLAG_POINTER_NULL | CYAML_FLAG_OPTIONAL, char, 0, CYAML_UNLIMITED)};
            continue;
        }
        f->count_offset = (uint32_t)(i * sizeof(slot) + offsetof(slot, count));
        f->count_size = sizeof(uint64_t);
        f->value = (cyaml_schema_value_t){CYAML_VALUE_SEQUENCE(
            CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char *, &list_item, 0, CYAML_UNLIMITED)};
    }
}

static cyaml_schema_value_t top_schema(const bus_config_file *file)
{
    cyaml_schema_value_t top = {.type = CYAML_MAPPING,
                                .flags = CYAML_FLAG_POINTER_NULL,
                                .data_size = (uint32_t)(file->row_count * sizeof(slot))};
    top.mapping.fields = file->fields;
    return top;
}

static cyaml_config_t cyaml_settings(bus_config_file *file)
{
    return (cyaml_config_t){.log_fn = keep_complaint,
                            .log_ctx = file,
                            .mem_fn = cyaml_mem,
                            .log_level = CYAML_LOG_ERROR,
                            .flags = CYAML_CFG_NO_ALIAS};
}

static bus_err read_bytes(bus_config_file *file)
{
    bus_err err = BUS_OK;
    struct stat st;
    FILE *f = fopen(file->path, "re");
    if (!f)
        return bus_fail(errno == ENOENT ? BUS_ENOTFOUND : BUS_EIO, "%s", strerror(errno));
    if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode)) {
        err = bus_fail(BUS_EINVAL, "not a regular file");
        goto done;
    }
    if (st.st_size > FILE_BYTES_MAX) {
        err = bus_fail(BUS_ELIMIT, "%lld bytes; the limit is %d", (long long)st.st_size,
                       FILE_BYTES_MAX);
        goto done;
    }
    file->bytes = malloc((size_t)st.st_size + 1);
    if (!file->bytes) {
        err = bus_fail(BUS_ENOMEM, "file buffer");
        goto done;
    }
    file->len = fread(file->bytes, 1, (size_t)st.st_size, f);
    file->bytes[file->len] = '\0';
    if (ferror(f)) // half of the settings are not those that were meant
        err = bus_fail(BUS_EIO, "reading: %s", strerror(errno));
done:
    fclose(f);
    return err;
}

static int row_of(const bus_config_file *file, const char *key)
{
    for (size_t i = 0; i < file->row_count; i++) {
        if (strcmp(file->rows[i].name, key) == 0)
            return (int)i;
    }
    return -1;
}

// One key of the top mapping: known once, or an error that names its line.
static bus_err note_key(bus_config_file *file, const char *key, int line)
{
    int row = row_of(file, key);
    if (row < 0)
        return bus_fail(BUS_EINVAL, "line %d: '%s' is not a setting of this program", line, key);
    if (file->line[row])
        return bus_fail(BUS_EINVAL, "line %d: '%s' was set in line %d already", line, key,
                        file->line[row]);
    file->line[row] = line;
    return BUS_OK;
}

// Depth and place while walking the file: keys are the scalars of depth 1 at even places.
typedef struct {
    int depth, documents;
    bool key_next, ended;
} walk;

static bus_err walk_event(bus_config_file *file, walk *w, const yaml_event_t *event)
{
    int line = (int)event->start_mark.line + 1;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++w->documents > 1)
            return bus_fail(BUS_EINVAL, "line %d: a second document", line);
        break;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        if (w->depth++ == 0)
            w->key_next = event->type == YAML_MAPPING_START_EVENT;
        else if (w->depth == 2)
            w->key_next = true; // behind this value
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        w->depth--;
        break;
    case YAML_SCALAR_EVENT:
        if (w->depth != 1)
            break;
        if (w->key_next) {
            w->key_next = false;
            return note_key(file, (const char *)event->data.scalar.value, line);
        }
        w->key_next = true;
        break;
    case YAML_STREAM_END_EVENT:
        w->ended = true;
        break;
    default:
        break;
    }
    return BUS_OK;
}

static bus_err find_lines(bus_config_file *file)
{
    bus_err err = BUS_OK;
    yaml_parser_t parser;
    walk w = {0};
    if (!yaml_parser_initialize(&parser))
        return bus_fail(BUS_ENOMEM, "YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)file->bytes, file->len);
    while (!err && !w.ended) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            err = parser.problem // without one it is memory
                      ? bus_fail(BUS_EINVAL, "line %zu: %s", parser.problem_mark.line + 1,
                                 parser.problem)
                      : bus_fail(BUS_ENOMEM, "YAML");
            break;
        }
        err = walk_event(file, &w, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return err;
}

static bus_err load_values(bus_config_file *file)
{
    make_schema(file);
    cyaml_schema_value_t top = top_schema(file);
    cyaml_config_t cfg = cyaml_settings(file);
    cyaml_err_t result = cyaml_load_data((const uint8_t *)file->bytes, file->len, &cfg, &top,
                                         (cyaml_data_t **)&file->slots, NULL);
    if (result == CYAML_OK)
        return BUS_OK;
    // It has been parsed once: what libyaml now has against it is memory.
    if (result == CYAML_ERR_OOM || result == CYAML_ERR_LIBYAML_PARSER_INIT ||
        result == CYAML_ERR_LIBYAML_PARSER)
        return bus_fail(BUS_ENOMEM, "YAML values");
    const char *why = file->complaint[0] ? file->complaint : cyaml_strerror(result);
    int row = row_of(file, file->field);
    if (row >= 0 && file->line[row])
        return bus_fail(BUS_EINVAL, "line %d: '%s': %s", file->line[row], file->field, why);
    return bus_fail(BUS_EINVAL, "%s (the file is a mapping of settings)", why);
}

bus_err bus_config_file_open(bus_config_file **out, const char *path, const bus_config_row *rows)
{
    bus_err err = BUS_OK;
    bus_config_file *file = calloc(1, sizeof *file);
    if (!file)
        return bus_fail(BUS_ENOMEM, "configuration file");
    file->path = path;
    file->rows = rows;
    while (rows[file->row_count].name)
        file->row_count++;
    file->line = calloc(file->row_count + 1, sizeof *file->line);
    file->fields = calloc(file->row_count + 1, sizeof *file->fields);
    if (!file->line || !file->fields) {
        err = bus_fail(BUS_ENOMEM, "configuration file");
        goto done;
    }
    err = read_bytes(file);
    if (!err)
        err = find_lines(file);
    if (!err)
        err = load_values(file);
    if (err)
        goto done;
    *out = file;
    file = NULL;
done:
    bus_config_file_close(file);
    return bus_note(err, "config %s", path);
}

void bus_config_file_close(bus_config_file *file)
{
    if (!file)
        return;
    if (file->slots) {
        cyaml_schema_value_t top = top_schema(file);
        cyaml_config_t cfg = cyaml_settings(file);
        cyaml_free(&cfg, &top, file->slots, 0);
    }
    free(file->bytes);
    free(file->line);
    free(file->fields);
    free(file);
}

int bus_config_file_line(const bus_config_file *file, size_t index)
{
    return file->line[index];
}

const char *bus_config_file_text(const bus_config_file *file, size_t index)
{
    const char *text = file->slots ? file->slots[index].value : NULL;
    return text ? text : ""; // libcyaml gives NULL for an empty scalar
}

size_t bus_config_file_list(const bus_config_file *file, size_t index, char ***items)
{
    if (!file->slots || !file->slots[index].value)
        return 0;
    *items = file->slots[index].value;
    return file->slots[index].count;
}
