#include "bus/base/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/config_file.h"
#include "bus/base/config_help.h"
#include "bus/base/config_value.h"

enum { NAME_CAP = 80, WARNINGS_MAX = 8, WARNING_CAP = 1200 };

// What one row holds: its text (a list's items are parts of one buffer) and where it came from.
typedef struct {
    char *text;         // as typed; for a list the items, each NUL-terminated
    const char **items; // LIST
    size_t item_count;
    char *flag_text; // collected from the command line, applied last
    bool changed;
} value;

struct bus_config {
    const bus_config_spec *spec;
    void *settings;
    size_t row_count;
    value *values;
    char *path;        // the file's, or NULL
    bool path_is_must; // named, so it has to exist
    char *warning[WARNINGS_MAX];
};

// --- values ------------------------------------------------------------------------------------------

static void publish_list(bus_config *config, size_t i)
{
    value *v = &config->values[i];
    bus_config_list list = {v->items, v->item_count};
    memcpy((char *)config->settings + config->spec->rows[i].offset, &list, sizeof list);
}

// The items of a comma-separated text. Takes text over. Blanks around an item do not count.
static bus_err set_list(bus_config *config, size_t i, char *text)
{
    value *v = &config->values[i];
    size_t count = *text != '\0';
    for (const char *p = text; *p; p++)
        count += *p == ',';
    const char **items = calloc(count + 1, sizeof *items);
    if (!items) {
        free(text);
        return bus_fail(BUS_ENOMEM, "list '%s'", config->spec->rows[i].name);
    }
    free(v->text);
    free(v->items);
    *v = (value){.text = text, .items = items, .flag_text = v->flag_text, .changed = v->changed};
    char *rest = text;
    for (char *item = strsep(&rest, ","); item; item = strsep(&rest, ",")) {
        item += strspn(item, " \t");
        item[strcspn(item, " \t")] = '\0';
        if (*item)
            items[v->item_count++] = item;
    }
    publish_list(config, i);
    return BUS_OK;
}

static bus_err set_text(bus_config *config, size_t i, const char *text)
{
    const bus_config_row *row = &config->spec->rows[i];
    value *v = &config->values[i];
    char *copy = strdup(text);
    if (!copy)
        return bus_fail(BUS_ENOMEM, "setting '%s'", row->name);
    if (row->kind == BUS_CONFIG_LIST)
        return set_list(config, i, copy);
    bus_err err = bus_config_value_set(row, copy, config->settings);
    if (err) {
        free(copy);
        return err;
    }
    free(v->text);
    v->text = copy;
    return BUS_OK;
}

static bus_err set_changed(bus_config *config, size_t i, const char *text)
{
    bus_err err = set_text(config, i, text);
    const char *preset = config->spec->rows[i].preset;
    config->values[i].changed = !err && strcmp(text, preset ? preset : "") != 0;
    return err;
}

static bus_err apply_presets(bus_config *config)
{
    bus_err err = BUS_OK;
    for (size_t i = 0; i < config->row_count && !err; i++) {
        const bus_config_row *row = &config->spec->rows[i];
        bool empty = !row->preset || !*row->preset;
        if (empty && row->kind != BUS_CONFIG_TEXT && row->kind != BUS_CONFIG_LIST)
            continue; // stays 0
        err = set_text(config, i, row->preset ? row->preset : "");
    }
    return bus_note(err, "default");
}

// --- permissions -------------------------------------------------------------------------------------

static void warn_of(bus_config *config, const char *path, bus_file_use use, const char *setting)
{
    char why[WARNING_CAP];
    int at = 0;
    while (at < WARNINGS_MAX && config->warning[at])
        at++;
    if (at == WARNINGS_MAX || !bus_secrets_loose(path, use, why, sizeof why))
        return;
    if (asprintf(&config->warning[at], "%s %s", setting, why) < 0)
        config->warning[at] = NULL;
}

static bool is_set(const bus_config *config, size_t i)
{
    return config->values[i].text && *config->values[i].text;
}

static void check_files(bus_config *config, bool secret_in_file)
{
    if (config->path)
        warn_of(config, config->path, secret_in_file ? BUS_FILE_SECRET : BUS_FILE_TRUSTED,
                "config");
    for (size_t i = 0; i < config->row_count; i++) {
        if (is_set(config, i))
            warn_of(config, config->values[i].text, config->spec->rows[i].file,
                    config->spec->rows[i].name);
    }
}

bool bus_config_holds_secret(const bus_config *config)
{
    for (size_t i = 0; i < config->row_count; i++) {
        const bus_config_row *row = &config->spec->rows[i];
        if ((row->secret || row->file == BUS_FILE_SECRET) && is_set(config, i))
            return true;
    }
    return false;
}

// --- file and environment ----------------------------------------------------------------------------

// A sequence's items become one comma-separated text; an item with a comma in it cannot.
static bus_err join_items(const bus_config_row *row, char **items, size_t count, char **out)
{
    size_t len = 1;
    for (size_t i = 0; i < count; i++) {
        if (strchr(items[i], ','))
            return bus_fail(BUS_EINVAL, "'%s' has an item with a comma, '%.80s'", row->name,
                            items[i]);
        len += strlen(items[i]) + 1;
    }
    char *text = malloc(len);
    if (!text)
        return bus_fail(BUS_ENOMEM, "list '%s'", row->name);
    char *end = text;
    *end = '\0';
    for (size_t i = 0; i < count; i++)
        end += sprintf(end, "%s%s", i ? "," : "", items[i]);
    *out = text;
    return BUS_OK;
}

static bus_err apply_file_row(bus_config *config, const bus_config_file *file, size_t i)
{
    const bus_config_row *row = &config->spec->rows[i];
    bus_err err;
    if (row->kind == BUS_CONFIG_LIST) {
        char **items = NULL, *text = NULL;
        size_t count = bus_config_file_list(file, i, &items);
        err = join_items(row, items, count, &text);
        if (!err)
            err = set_changed(config, i, text);
        free(text);
    } else {
        err = set_changed(config, i, bus_config_file_text(file, i));
    }
    return bus_note(err, "config %s: line %d", config->path, bus_config_file_line(file, i));
}

static bus_err apply_file(bus_config *config, bool *has_secret)
{
    bus_config_file *file = NULL;
    if (!config->path)
        return BUS_OK;
    bus_err err = bus_config_file_open(&file, config->path, config->spec->rows);
    if (err == BUS_ENOTFOUND)
        return config->path_is_must ? BUS_EINVAL : BUS_OK;
    for (size_t i = 0; i < config->row_count && !err; i++) {
        if (!bus_config_file_line(file, i))
            continue;
        err = apply_file_row(config, file, i);
        *has_secret = *has_secret || config->spec->rows[i].secret;
    }
    bus_config_file_close(file);
    return err;
}

static bus_err apply_environment(bus_config *config)
{
    bus_err err = BUS_OK;
    for (size_t i = 0; i < config->row_count && !err; i++) {
        char name[NAME_CAP];
        const bus_config_row *row = &config->spec->rows[i];
        bus_config_env_name(config->spec->program, row->name, row->shared, name, sizeof name);
        const char *text = getenv(name);
        if (text)
            err = bus_note(set_changed(config, i, text), "environment %s", name);
        if (row->secret)
            bus_secrets_wipe(name);
    }
    return err;
}

// --- flags -------------------------------------------------------------------------------------------

typedef struct {
    int argc, at;
    char **argv;
} line;

static bus_err usage_flag(bus_config *config, const char *name)
{
    char near[NAME_CAP];
    const char *hint = bus_config_nearest(config->spec, name, near, sizeof near);
    if (hint)
        return bus_fail(BUS_EUSAGE, "'--%s' is not a flag of %s; did you mean '--%s'?", name,
                        config->spec->program, hint);
    return bus_fail(BUS_EUSAGE, "'--%s' is not a flag of %s; see --help", name,
                    config->spec->program);
}

// The row of a flag's name (not NUL-terminated), -1: none. Rows are found by letter with len 0.
static int find_row(const bus_config *config, const char *name, size_t len, char letter)
{
    for (size_t i = 0; i < config->row_count; i++) {
        char flag[NAME_CAP];
        const bus_config_row *row = &config->spec->rows[i];
        bus_config_flag_name(row->name, flag, sizeof flag);
        if (letter ? row->letter == letter : strlen(flag) == len && memcmp(flag, name, len) == 0)
            return (int)i;
    }
    return -1;
}

static bus_err keep_flag(bus_config *config, size_t i, const char *text)
{
    value *v = &config->values[i];
    char *kept = NULL;
    if (v->flag_text && config->spec->rows[i].kind == BUS_CONFIG_LIST) {
        if (asprintf(&kept, "%s,%s", v->flag_text, text) < 0)
            kept = NULL;
    } else {
        kept = strdup(text);
    }
    if (!kept)
        return bus_fail(BUS_ENOMEM, "flag");
    free(v->flag_text);
    v->flag_text = kept;
    return BUS_OK;
}

// The value of a flag: behind '=', or the next word.
static bus_err flag_value(line *l, const char *shown, const char *equals, const char **out)
{
    if (equals) {
        *out = equals + 1;
        return BUS_OK;
    }
    if (l->at + 1 >= l->argc)
        return bus_fail(BUS_EUSAGE, "'%s' needs a value; see --help", shown);
    *out = l->argv[++l->at];
    return BUS_OK;
}

static bus_err take_config(bus_config *config, line *l, const char *equals)
{
    const char *path;
    bus_err err = flag_value(l, "--config", equals, &path);
    if (err)
        return err;
    free(config->path);
    config->path = strdup(path);
    config->path_is_must = true;
    return config->path ? BUS_OK : bus_fail(BUS_ENOMEM, "path");
}

static bus_err take_row(bus_config *config, line *l, size_t i, const char *shown,
                        const char *equals)
{
    const bus_config_row *row = &config->spec->rows[i];
    char env[NAME_CAP];
    const char *text = "true";
    if (row->secret) {
        bus_config_env_name(config->spec->program, row->name, row->shared, env, sizeof env);
        return bus_fail(BUS_EUSAGE,
                        "'%.*s' is a secret and not accepted on a command line: set %s or '%s' in "
                        "the file",
                        (int)strcspn(shown, "="), shown, env, row->name);
    }
    bus_err err = BUS_OK;
    if (row->kind != BUS_CONFIG_BOOL || equals)
        err = flag_value(l, shown, equals, &text);
    return err ? err : keep_flag(config, i, text);
}

static bus_err take_long(bus_config *config, line *l, bool *finished)
{
    const char *shown = l->argv[l->at], *name = shown + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    if (strcmp(name, "help") == 0 || strcmp(name, "version") == 0) {
        (*name == 'h' ? bus_config_help : bus_config_version)(config->spec, stdout);
        *finished = true;
        return BUS_OK;
    }
    if (len == 6 && memcmp(name, "config", 6) == 0)
        return take_config(config, l, equals);
    int row = find_row(config, name, len, 0);
    if (row >= 0)
        return take_row(config, l, (size_t)row, shown, equals);
    if (len > 3 && memcmp(name, "no-", 3) == 0 && !equals) {
        row = find_row(config, name + 3, len - 3, 0);
        if (row >= 0 && config->spec->rows[row].kind == BUS_CONFIG_BOOL)
            return keep_flag(config, (size_t)row, "false");
    }
    char plain[NAME_CAP];
    snprintf(plain, sizeof plain, "%.*s", (int)(len < NAME_CAP ? len : NAME_CAP - 1), name);
    return usage_flag(config, plain);
}

static bus_err take_short(bus_config *config, line *l, bool *finished)
{
    const char *shown = l->argv[l->at];
    const char *equals = shown[2] == '=' ? shown + 2 : NULL;
    int row = shown[2] == '\0' || equals ? find_row(config, NULL, 0, shown[1]) : -1;
    if (row >= 0)
        return take_row(config, l, (size_t)row, shown, equals);
    if (strcmp(shown, "-h") == 0) {
        bus_config_help(config->spec, stdout);
        *finished = true;
        return BUS_OK;
    }
    if (shown[1] == 'c' && (shown[2] == '\0' || equals))
        return take_config(config, l, equals);
    return bus_fail(BUS_EUSAGE, "'%s' is not a flag of %s; see --help", shown,
                    config->spec->program);
}

static bus_err take_flags(bus_config *config, line *l, bus_config_list *rest, bool *finished)
{
    // The words that are no flags move to the front of argv, behind the program's name.
    int kept = 1;
    bus_err err = BUS_OK;
    bool flags_over = false;
    for (l->at = 1; l->at < l->argc && !err && !*finished; l->at++) {
        char *word = l->argv[l->at];
        if (flags_over || word[0] != '-' || word[1] == '\0')
            l->argv[kept++] = word;
        else if (strcmp(word, "--") == 0)
            flags_over = true;
        else if (word[1] == '-')
            err = take_long(config, l, finished);
        else
            err = take_short(config, l, finished);
    }
    if (rest)
        *rest = (bus_config_list){(const char **)(l->argv + 1), (size_t)(kept - 1)};
    return err;
}

static bus_err apply_flags(bus_config *config)
{
    for (size_t i = 0; i < config->row_count; i++) {
        if (!config->values[i].flag_text)
            continue;
        bus_err err = set_changed(config, i, config->values[i].flag_text);
        char flag[NAME_CAP];
        bus_config_flag_name(config->spec->rows[i].name, flag, sizeof flag);
        if (err) {
            bus_note(err, "flag --%s", flag);
            return err == BUS_ENOMEM ? err : BUS_EUSAGE;
        }
    }
    return BUS_OK;
}

// --- all of it ---------------------------------------------------------------------------------------

static bus_err choose_path(bus_config *config)
{
    char env[NAME_CAP];
    bus_config_env_name(config->spec->program, "config", false, env, sizeof env);
    const char *named = getenv(env);
    if (config->path)
        return BUS_OK;
    if (!(named && *named) && !config->spec->file_preset)
        return BUS_OK;
    config->path_is_must = named && *named;
    config->path = strdup(config->path_is_must ? named : config->spec->file_preset);
    return config->path ? BUS_OK : bus_fail(BUS_ENOMEM, "path");
}

bus_err bus_config_load(bus_config **out, const bus_config_spec *spec, void *settings, int argc,
                        char **argv, bus_config_list *rest, bool *finished)
{
    bus_err err = BUS_OK;
    bool secret_in_file = false;
    line l = {.argc = argc, .argv = argv};
    *finished = false;
    bus_config *config = calloc(1, sizeof *config);
    if (!config)
        return bus_fail(BUS_ENOMEM, "settings");
    config->spec = spec;
    config->settings = settings;
    while (spec->rows[config->row_count].name)
        config->row_count++;
    config->values = calloc(config->row_count + 1, sizeof *config->values);
    if (!config->values) {
        err = bus_fail(BUS_ENOMEM, "settings");
        goto done;
    }
    err = take_flags(config, &l, rest, finished);
    if (err || *finished)
        goto done;
    if ((err = apply_presets(config)) || (err = choose_path(config)) ||
        (err = apply_file(config, &secret_in_file)) || (err = apply_environment(config)) ||
        (err = apply_flags(config)))
        goto done;
    check_files(config, secret_in_file);
    *out = config;
    config = NULL;
done:
    bus_config_free(config);
    return err;
}

void bus_config_free(bus_config *config)
{
    if (!config)
        return;
    for (size_t i = 0; config->values && i < config->row_count; i++) {
        free(config->values[i].text);
        free(config->values[i].items);
        free(config->values[i].flag_text);
    }
    for (int i = 0; i < WARNINGS_MAX; i++)
        free(config->warning[i]);
    free(config->values);
    free(config->path);
    free(config);
}

const char *bus_config_warning(const bus_config *config, int i)
{
    return i < WARNINGS_MAX ? config->warning[i] : NULL;
}

void bus_config_each(const bus_config *config,
                     void (*fn)(void *ctx, const char *name, const char *value), void *ctx)
{
    for (size_t i = 0; i < config->row_count; i++) {
        const bus_config_row *row = &config->spec->rows[i];
        const value *v = &config->values[i];
        char joined[512] = "";
        if (!v->changed)
            continue;
        for (size_t k = 0; k < v->item_count; k++) {
            size_t used = strlen(joined);
            snprintf(joined + used, sizeof joined - used, "%s%s", k ? "," : "", v->items[k]);
        }
        const char *shown = row->kind == BUS_CONFIG_LIST ? joined : v->text;
        fn(ctx, row->name, row->secret ? "***" : shown);
    }
}
