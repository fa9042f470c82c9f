#include "cli/args.h"

#include <string.h>

const lane_option lane_common_options[] = {
    {"json", 0, NULL, "print JSON, one object a line"},
    {"help", 'h', NULL, "this text"},
    {0},
};

const lane_option lane_bus_options[] = {
    {"nats-url", 's', "URL",
     "broker, nats://host:port (default: $TRADELANE_NATS_URL, $NATS_URL, local)"},
    {"context", 0, "NAME", "connection of the nats CLI's context NAME ($NATS_CONTEXT)"},
    {"creds", 0, "FILE", "credentials file ($TRADELANE_NATS_CREDS)"},
    {"timeout", 0, "SPAN", "how long to wait for an answer (default: $TRADELANE_TIMEOUT, 5s)"},
    {0},
};

static const lane_option *find_in(const lane_option *table, const char *name, size_t len)
{
    for (; table && table->name; table++)
        if (strlen(table->name) == len && strncmp(table->name, name, len) == 0)
            return table;
    return NULL;
}

const lane_option *lane_verb_bus_options(const lane_verb *verb)
{
    static const lane_option none[] = {{0}};
    bool own = find_in(verb->options, "timeout", sizeof "timeout" - 1) != NULL;
    return verb->run && !own ? lane_bus_options : none;
}

static const lane_option *find_letter(const lane_option *table, char letter)
{
    for (; table && table->name; table++)
        if (table->letter == letter)
            return table;
    return NULL;
}

static bus_err give(lane_args *args, const lane_option *option, const char *value)
{
    if (args->given_count == LANE_GIVEN_MAX)
        return bus_fail(BUS_EUSAGE, "more than %d options", LANE_GIVEN_MAX);
    if (strcmp(option->name, "help") == 0)
        args->help = true;
    args->given[args->given_count].option = option;
    args->given[args->given_count++].value = value;
    return BUS_OK;
}

static const lane_option *find(const lane_verb *verb, const char *name, size_t len, char letter)
{
    const lane_option *tables[] = {verb->options, lane_common_options, lane_verb_bus_options(verb)};
    const lane_option *found = NULL;
    for (int i = 0; i < 3 && !found; i++)
        found = letter ? find_letter(tables[i], letter) : find_in(tables[i], name, len);
    return found;
}

// One word that begins with '-'. *used: how many words it took.
static bus_err read_option(lane_args *args, int left, char **word, int *used)
{
    const char *text = word[0];
    bool is_long = text[1] == '-';
    const char *name = text + (is_long ? 2 : 1);
    const char *equals = is_long ? strchr(name, '=') : NULL;
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const lane_option *option = find(args->verb, name, len, is_long ? 0 : name[0]);
    if (!option || (!is_long && len > 1 && !option->value))
        return bus_fail(BUS_EUSAGE, "unknown option '%s'", text);
    *used = 1;
    if (!option->value)
        return equals ? bus_fail(BUS_EUSAGE, "option '--%s' takes no value", option->name)
                      : give(args, option, "");
    if (equals)
        return give(args, option, equals + 1);
    if (!is_long && len > 1)
        return give(args, option, name + 1);
    if (left < 2)
        return bus_fail(BUS_EUSAGE, "option '%s' needs a value: %s", text, option->value);
    *used = 2;
    return give(args, option, word[1]);
}

bus_err lane_args_read(lane_args *out, const lane_verb *verb, int argc, char **argv)
{
    *out = (lane_args){.verb = verb};
    bool options = true;
    for (int i = 0; i < argc;) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
            i++;
            continue;
        }
        if (options && argv[i][0] == '-' && argv[i][1]) {
            int used = 0;
            bus_err err = read_option(out, argc - i, argv + i, &used);
            if (err)
                return err;
            i += used;
            continue;
        }
        if (out->args == LANE_ARGS_MAX)
            return bus_fail(BUS_EUSAGE, "more than %d arguments", LANE_ARGS_MAX);
        out->arg[out->args++] = argv[i++];
    }
    if (out->help)
        return BUS_OK;
    if (out->args < verb->args_min)
        return bus_fail(BUS_EUSAGE, "something is missing: lane %s %s", verb->name, verb->args);
    if (out->args > verb->args_max)
        return bus_fail(BUS_EUSAGE, "'%s' is too much: lane %s %s", out->arg[verb->args_max],
                        verb->name, verb->args);
    return BUS_OK;
}

bus_err lane_args_leading(int argc, char **argv, int *count)
{
    static const lane_verb none = {.name = "", .args = "", .options = lane_bus_options};
    lane_args args = {.verb = &none};
    for (*count = 0; *count < argc && argv[*count][0] == '-';) {
        int used = 0;
        bus_err err = read_option(&args, argc - *count, argv + *count, &used);
        if (err)
            return bus_note(err, "in front of the verb stand options of every verb alone");
        *count += used;
    }
    return BUS_OK;
}

bool lane_args_has(const lane_args *args, const char *name)
{
    return lane_args_value(args, name) != NULL;
}

const char *lane_args_value(const lane_args *args, const char *name)
{
    for (int i = args->given_count - 1; i >= 0; i--)
        if (strcmp(args->given[i].option->name, name) == 0)
            return args->given[i].value;
    return NULL;
}

const char *lane_args_next(const lane_args *args, const char *name, int *at)
{
    for (; *at < args->given_count; ++*at)
        if (strcmp(args->given[*at].option->name, name) == 0)
            return args->given[(*at)++].value;
    return NULL;
}

size_t lane_args_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_options(FILE *out, const lane_option *table)
{
    for (; table && table->name; table++) {
        char flag[64];
        int len = snprintf(flag, sizeof flag, "--%s%s%s", table->name, table->value ? " " : "",
                           table->value ? table->value : "");
        if (table->letter)
            snprintf(flag + len, sizeof flag - (size_t)len, ", -%c", table->letter);
        fprintf(out, "  %-28s %s\n", flag, table->help);
    }
}

void lane_args_help(FILE *out, const lane_verb *verb)
{
    fprintf(out, "%s\n\nusage: lane %s%s%s [options]\n\n", verb->help, verb->name,
            verb->args[0] ? " " : "", verb->args);
    print_options(out, verb->options);
    print_options(out, lane_verb_bus_options(verb));
    print_options(out, lane_common_options);
}
