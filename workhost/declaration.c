#include "workhost/declaration.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "bus/base/log.h"

// The file as a tree of nodes, each with its line.
typedef struct {
    const char *path, *builtin;
    yaml_document_t doc;
    bool loaded;
    work_record *record;
    char *code;
    uint32_t seen; // one bit a key
} reading;

static int line_of(const yaml_node_t *node)
{
    return (int)node->start_mark.line + 1;
}

static const char *scalar(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static bus_err wants(const yaml_node_t *node, const char *key, const char *rule)
{
    return bus_fail(BUS_EINVAL, "line %d: '%s': %s", line_of(node), key, rule);
}

typedef bus_err (*take_fn)(reading *r, const char *key, yaml_node_t *value);

static bus_err take_mime(reading *r, const char *key, yaml_node_t *value)
{
    if (!scalar(value) || strlen(scalar(value)) >= sizeof r->record->mime)
        return wants(value, key, "a MIME type is wanted");
    snprintf(r->record->mime, sizeof r->record->mime, "%s", scalar(value));
    return BUS_OK;
}

// The path: absolute, or from the file's own folder; ${workers} in front is the built-in ones' folder.
static bus_err take_code(reading *r, const char *key, yaml_node_t *value)
{
    static const char mark[] = "${workers}";
    const char *text = scalar(value);
    const char *slash = strrchr(r->path, '/');
    int n;
    if (!text || !*text)
        return wants(value, key, "the path of the code is wanted");
    if (strncmp(text, mark, sizeof mark - 1) == 0)
        n = asprintf(&r->code, "%s%s", r->builtin, text + sizeof mark - 1);
    else if (*text == '/' || !slash)
        n = asprintf(&r->code, "%s", text);
    else
        n = asprintf(&r->code, "%.*s/%s", (int)(slash - r->path), r->path, text);
    if (n < 0) {
        r->code = NULL;
        return bus_fail(BUS_ENOMEM, "path");
    }
    return BUS_OK;
}

static bus_err take_list(reading *r, const char *key, yaml_node_t *value,
                         bus_err (*add)(work_record *record, const char *text))
{
    if (value->type != YAML_SEQUENCE_NODE)
        return wants(value, key, "a sequence of texts is wanted");
    for (yaml_node_item_t *i = value->data.sequence.items.start; i < value->data.sequence.items.top;
         i++) {
        yaml_node_t *item = yaml_document_get_node(&r->doc, *i);
        if (!scalar(item))
            return wants(item, key, "a sequence of texts is wanted");
        bus_err err = add(r->record, scalar(item));
        if (err)
            return bus_note(err, "line %d: '%s'", line_of(item), key);
    }
    return BUS_OK;
}

static bus_err take_inputs(reading *r, const char *key, yaml_node_t *value)
{
    return take_list(r, key, value, work_record_add_input);
}

static bus_err take_scenarios(reading *r, const char *key, yaml_node_t *value)
{
    return take_list(r, key, value, work_record_add_scenario);
}

static bus_err take_config(reading *r, const char *key, yaml_node_t *value)
{
    if (value->type != YAML_MAPPING_NODE)
        return wants(value, key, "a mapping of names to values is wanted");
    for (yaml_node_pair_t *p = value->data.mapping.pairs.start; p < value->data.mapping.pairs.top;
         p++) {
        yaml_node_t *name = yaml_document_get_node(&r->doc, p->key);
        yaml_node_t *set = yaml_document_get_node(&r->doc, p->value);
        if (!scalar(name) || !scalar(set))
            return wants(name, key, "names and values are single texts");
        if (json_object_size(r->record->config) == WORK_RECORD_CONFIG)
            return wants(name, key, "at most 64 pairs");
        json_object_set_new(r->record->config, scalar(name), json_string(scalar(set)));
    }
    return BUS_OK;
}

static bus_err take_start(reading *r, const char *key, yaml_node_t *value)
{
    const char *text = scalar(value);
    if (!text || (strcmp(text, "next") != 0 && strcmp(text, "first") != 0))
        return wants(value, key, "it is one of next, first");
    r->record->start_first = *text == 'f';
    return BUS_OK;
}

static bus_err take_name(reading *r, const char *key, yaml_node_t *value)
{
    (void)r;
    return scalar(value) ? BUS_OK : wants(value, key, "a name is wanted");
}

static const struct {
    const char *key;
    take_fn take;
    bool required;
} keys[] = {
    {"name", take_name, true},
    {"code", take_code, true},
    {"inputs", take_inputs, true},
    {"mime", take_mime, false},
    {"scenarios", take_scenarios, false},
    {"config", take_config, false},
    {"start", take_start, false},
};

enum { KEYS = sizeof keys / sizeof *keys };

static int key_index(const char *name)
{
    for (int i = 0; i < KEYS; i++) {
        if (name && strcmp(keys[i].key, name) == 0)
            return i;
    }
    return -1;
}

static bus_err take_pair(reading *r, yaml_node_pair_t *pair)
{
    yaml_node_t *key = yaml_document_get_node(&r->doc, pair->key);
    int i = key_index(scalar(key));
    if (i < 0)
        return bus_fail(BUS_EINVAL,
                        "line %d: '%s' is not a key of a worker (name mime code inputs scenarios "
                        "config start)",
                        line_of(key), scalar(key) ? scalar(key) : "…");
    if (r->seen & (1u << i))
        return bus_fail(BUS_EINVAL, "line %d: '%s' was given already", line_of(key), keys[i].key);
    r->seen |= 1u << i;
    return keys[i].take(r, keys[i].key, yaml_document_get_node(&r->doc, pair->value));
}

// The name comes first, whatever the order in the file: everything else goes into its record.
static bus_err make_record(reading *r, yaml_node_t *root)
{
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top;
         p++) {
        yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);
        yaml_node_t *value = yaml_document_get_node(&r->doc, p->value);
        if (key_index(scalar(key)) == 0 && scalar(value))
            return bus_note(work_record_new(&r->record, scalar(value)), "line %d: 'name'",
                            line_of(value));
    }
    return bus_fail(BUS_EINVAL, "line %d: 'name' is missing", line_of(root));
}

static bus_err take_all(reading *r)
{
    yaml_node_t *root = yaml_document_get_root_node(&r->doc);
    if (!root || root->type != YAML_MAPPING_NODE)
        return bus_fail(BUS_EINVAL, "line 1: a mapping of the worker's keys is wanted");
    bus_err err = make_record(r, root);
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start;
         !err && p < root->data.mapping.pairs.top; p++)
        err = take_pair(r, p);
    for (int i = 0; i < KEYS && !err; i++) {
        if (keys[i].required && !(r->seen & (1u << i)))
            err = bus_fail(BUS_EINVAL, "line %d: '%s' is missing", line_of(root), keys[i].key);
    }
    if (!err && r->record->input_count == 0)
        err = bus_fail(BUS_EINVAL, "line %d: 'inputs' is empty", line_of(root));
    return err;
}

static bus_err load_file(reading *r)
{
    yaml_parser_t parser;
    bus_err err = BUS_OK;
    FILE *file = fopen(r->path, "re");
    if (!file)
        return bus_fail(BUS_EIO, "%s", strerror(errno));
    if (!yaml_parser_initialize(&parser)) {
        fclose(file);
        return bus_fail(BUS_ENOMEM, "YAML parser");
    }
    yaml_parser_set_input_file(&parser, file);
    r->loaded = yaml_parser_load(&parser, &r->doc);
    if (!r->loaded)
        err =
            parser.problem // without one it is memory
                ? bus_fail(BUS_EINVAL, "line %zu: %s", parser.problem_mark.line + 1, parser.problem)
                : bus_fail(BUS_ENOMEM, "YAML");
    yaml_parser_delete(&parser);
    fclose(file);
    return err;
}

bus_err work_declaration_read(work_record **out, char **code, const char *path, const char *builtin)
{
    reading r = {.path = path, .builtin = builtin};
    bus_err err = load_file(&r);
    if (!err)
        err = take_all(&r);
    if (r.loaded)
        yaml_document_delete(&r.doc);
    if (err) {
        work_record_free(r.record);
        free(r.code);
        return bus_note(err, "worker declaration %s", path);
    }
    r.record->declared = r.record->running = true;
    snprintf(r.record->file, sizeof r.record->file, "%s", path);
    *out = r.record;
    *code = r.code;
    return BUS_OK;
}

static int is_yaml(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && *entry->d_name != '.' && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

bus_err work_declarations_each(const char *folder, const char *builtin, work_declaration_fn fn,
                               void *ctx)
{
    struct dirent **names = NULL;
    int count = scandir(folder, &names, is_yaml, alphasort);
    if (count < 0)
        return bus_fail(BUS_EIO, "workers_dir '%s': %s", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        char path[1024];
        work_record *record = NULL;
        char *code = NULL;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (work_declaration_read(&record, &code, path, builtin))
            bus_error("%s: left out", bus_err_text());
        else
            fn(ctx, record, code);
        free(code);
        free(names[i]);
    }
    free(names);
    return BUS_OK;
}
