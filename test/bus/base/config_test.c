#include "bus/base/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "test/support/test.h"

// Source: schemas/specs/daemons.md, "Settings".
typedef struct {
    const char *name, *password, *format;
    int64_t window, size;
    bus_span wait;
    bool fast;
    bus_config_list venues;
} settings;

#define AT(field) BUS_CONFIG_FIELD(settings, field)
static const bus_config_row rows[] = {
    {.name = "name", .offset = AT(name), .preset = "lane", .help = "a name", .letter = 'n'},
    {.name = "password", .offset = AT(password), .help = "a secret", .secret = true},
    {.name = "format",
     .offset = AT(format),
     .preset = "text",
     .choices = "text|json",
     .help = "a form"},
    {.name = "ack_window",
     .kind = BUS_CONFIG_INT,
     .offset = AT(window),
     .preset = "4096",
     .min = 1,
     .max = 65536,
     .help = "a number"},
    {.name = "size",
     .kind = BUS_CONFIG_SIZE,
     .offset = AT(size),
     .preset = "64KiB",
     .min = 1024,
     .max = 1 << 30,
     .help = "a size"},
    {.name = "wait",
     .kind = BUS_CONFIG_SPAN,
     .offset = AT(wait),
     .preset = "5s",
     .min = 1,
     .max = 60000,
     .help = "a time"},
    {.name = "fast",
     .kind = BUS_CONFIG_BOOL,
     .offset = AT(fast),
     .preset = "true",
     .help = "a switch"},
    {.name = "venues",
     .kind = BUS_CONFIG_LIST,
     .offset = AT(venues),
     .preset = "binance",
     .help = "a list"},
    {.name = NULL},
};
static const bus_config_spec spec = {.program = "testd", .purpose = "tests", .rows = rows};

typedef struct {
    bus_config *config;
    settings set;
    bus_config_list rest;
    bool finished;
    bus_err err;
    char *argv[24];
} loaded;

// Loads with the words of `line` (blank-separated) as the command line.
static void load(loaded *l, const char *line)
{
    static char words[1024];
    int argc = 0;
    *l = (loaded){0};
    snprintf(words, sizeof words, "testd %s", line);
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " "))
        l->argv[argc++] = w;
    l->err = bus_config_load(&l->config, &spec, &l->set, argc, l->argv, &l->rest, &l->finished);
}

static const char *given_file(const char *text)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/testd.yaml", test_tmp());
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
    chmod(path, 0600);
    return path;
}

static void load_file(loaded *l, const char *text, const char *more)
{
    char line[800];
    snprintf(line, sizeof line, "--config %s %s", given_file(text), more);
    load(l, line);
}

Test(config, takes_defaults_where_nothing_is_said)
{
    loaded l;
    load(&l, "");
    test_ok(l.err);
    cr_expect_str_eq(l.set.name, "lane");
    cr_expect_str_eq(l.set.password, "");
    cr_expect_eq(l.set.window, 4096);
    cr_expect_eq(l.set.size, 65536);
    cr_expect_eq(l.set.wait.ns, 5000000000);
    cr_expect(l.set.fast);
    cr_expect_eq(l.set.venues.count, 1);
    cr_expect_str_eq(l.set.venues.item[0], "binance");
    bus_config_free(l.config);
}

// A value that is right for one program would be wrong for another (a port, a file).
Test(config, reads_its_own_variables_and_those_that_all_share)
{
    loaded l;
    static const bus_config_row two[] = {
        {.name = "name", .offset = AT(name), .preset = "lane"},
        {.name = "format", .offset = AT(format), .preset = "text", .shared = true},
        {.name = NULL},
    };
    static const bus_config_spec of_two = {.program = "test-d", .purpose = "tests", .rows = two};
    char *argv[] = {"test-d", NULL};
    setenv("TRADELANE_NAME", "of somebody else", 1);
    setenv("TRADELANE_CONFIG", "/no/such/file/of/somebody/else", 1);
    setenv("TRADELANE_FORMAT", "json", 1);
    l = (loaded){0};
    test_ok(bus_config_load(&l.config, &of_two, &l.set, 1, argv, &l.rest, &l.finished));
    cr_expect_str_eq(l.set.name, "lane");
    cr_expect_str_eq(l.set.format, "json");
    bus_config_free(l.config);
    setenv("TRADELANE_TEST_D_NAME", "ours", 1);
    setenv("TRADELANE_TEST_D_FORMAT", "not read", 1);
    test_ok(bus_config_load(&l.config, &of_two, &l.set, 1, argv, &l.rest, &l.finished));
    cr_expect_str_eq(l.set.name, "ours");
    cr_expect_str_eq(l.set.format, "json");
    bus_config_free(l.config);
    setenv("TRADELANE_TEST_D_CONFIG", "/no/such/file", 1);
    test_expect_err(bus_config_load(&l.config, &of_two, &l.set, 1, argv, &l.rest, &l.finished),
                    BUS_EINVAL);
}

Test(config, prefers_flag_to_environment_to_file_to_default)
{
    loaded l;
    const char *file = "ack_window: 1\nsize: 1MiB\nwait: 1s\n";
    setenv("TRADELANE_TESTD_SIZE", "2MiB", 1);
    setenv("TRADELANE_TESTD_WAIT", "2s", 1);
    load_file(&l, file, "--wait 3s");
    test_ok(l.err);
    cr_expect_eq(l.set.window, 1);
    cr_expect_eq(l.set.size, 2 << 20);
    cr_expect_eq(l.set.wait.ns, 3000000000);
    cr_expect_str_eq(l.set.name, "lane");
    bus_config_free(l.config);
}

Test(config, reads_flags_in_all_their_forms_and_leaves_the_rest)
{
    loaded l;
    load(&l, "start --name=x -n y --no-fast ACT --venues a,b --venues c -- --not-a-flag");
    test_ok(l.err);
    cr_expect_str_eq(l.set.name, "y");
    cr_expect(!l.set.fast);
    cr_expect_eq(l.set.venues.count, 3);
    cr_expect_str_eq(l.set.venues.item[2], "c");
    cr_assert_eq(l.rest.count, 3);
    cr_expect_str_eq(l.rest.item[0], "start");
    cr_expect_str_eq(l.rest.item[1], "ACT");
    cr_expect_str_eq(l.rest.item[2], "--not-a-flag");
    bus_config_free(l.config);
}

Test(config, reads_every_kind_from_a_file)
{
    loaded l;
    load_file(&l,
              "# a comment\nname: \"quoted: name\"\npassword: hidden\nack_window: 7\n"
              "size: 2KiB\nwait: 15ms\nfast: off\nvenues: [a, b]\n",
              "");
    test_ok(l.err);
    cr_expect_str_eq(l.set.name, "quoted: name");
    cr_expect_str_eq(l.set.password, "hidden");
    cr_expect_eq(l.set.window, 7);
    cr_expect_eq(l.set.size, 2048);
    cr_expect_eq(l.set.wait.ns, 15000000);
    cr_expect(!l.set.fast);
    cr_expect_eq(l.set.venues.count, 2);
    cr_expect_null(bus_config_warning(l.config, 0));
    bus_config_free(l.config);
}

Test(config, accepts_an_empty_file_and_empty_values)
{
    loaded l;
    load_file(&l, "", "");
    test_ok(l.err);
    bus_config_free(l.config);
    load_file(&l, "# nothing\n", "");
    test_ok(l.err);
    bus_config_free(l.config);
    load_file(&l, "name:\nvenues: []\n", "");
    test_ok(l.err);
    cr_expect_str_eq(l.set.name, "");
    cr_expect_eq(l.set.venues.count, 0);
    bus_config_free(l.config);
}

Test(config, names_line_key_and_rule_of_what_is_wrong_in_a_file)
{
    static const struct {
        const char *file, *says;
    } cases[] = {
        {"name: x\n\nack_windw: 3\n", "line 3: 'ack_windw' is not a setting of this program"},
        {"name: x\nack_window: 0\n", "line 2: 'ack_window' is 0; the range is 1..65536"},
        {"\nack_window: many\n", "line 2: 'ack_window' is 'many'; a whole number is wanted"},
        {"ack_window:\n", "line 1: 'ack_window' is ''; a whole number is wanted"},
        {"size: 1\n", "line 1: 'size' is 1; the range is 1KiB..1GiB"},
        {"wait: 5\n", "line 1: 'wait' is '5'; a time with its unit is wanted"},
        {"wait: 2h\n", "line 1: 'wait' is 2h; the range is 1ms..1m"},
        {"fast: perhaps\n", "line 1: 'fast' is 'perhaps'; true or false is wanted"},
        {"format: xml\n", "line 1: 'format' is 'xml'; it is one of text|json"},
        {"name: x\nsize: 1MiB\nname: y\n", "line 3: 'name' was set in line 1 already"},
        {"name: [x]\n", "line 1: 'name': Expecting STRING"},
        {"\nvenues: x\n", "line 2: 'venues': Expecting SEQUENCE"},
        {"venues:\n  - a\n  - [b]\n", "line 1: 'venues': Expecting STRING"},
        {"venues: ['a,b']\n", "'venues' has an item with a comma"},
        {"name: x: y\n", "line 1: mapping values are not allowed"},
        {"name: 'x\n", "line 2: found unexpected end of stream"},
        {"- name\n", "Expecting MAPPING"},
        {"name: x\n---\nname: y\n", "line 2: a second document"},
        {"name: &a x\nformat: *a\n", "alias"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        loaded l;
        load_file(&l, cases[i].file, "");
        cr_expect(l.err == BUS_EINVAL, "%s", cases[i].file);
        cr_expect(strstr(bus_err_text(), cases[i].says) != NULL, "wanted '%s' in '%s'",
                  cases[i].says, bus_err_text());
        cr_expect(strstr(bus_err_text(), "testd.yaml") != NULL, "%s", bus_err_text());
    }
}

Test(config, names_a_file_that_is_not_there)
{
    loaded l;
    load(&l, "--config /nonexistent/testd.yaml");
    cr_expect_eq(l.err, BUS_EINVAL);
    cr_expect_not_null(strstr(bus_err_text(), "/nonexistent/testd.yaml"));
}

Test(config, says_what_is_wrong_with_a_flag)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"--ack-windw 3", "did you mean '--ack-window'?"},
        {"--unheard-of", "'--unheard-of' is not a flag of testd"},
        {"--name", "'--name' needs a value"},
        {"-x", "'-x' is not a flag"},
        {"--ack-window x", "flag --ack-window: 'ack_window' is 'x'"},
        {"--ack-window 65537", "the range is 1..65536"},
        {"--ack-window -1", "the range is 1..65536"},
        {"--ack-window 99999999999999999999", "a whole number is wanted"},
        {"--size 9999999TiB", "a size is wanted"},
        {"--no-name", "'--no-name' is not a flag"},
        {"--password x", "is a secret and not accepted on a command line"},
        {"--password=x", "TRADELANE_TESTD_PASSWORD"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        loaded l;
        load(&l, cases[i].line);
        cr_expect(l.err == BUS_EUSAGE, "%s", cases[i].line);
        cr_expect(strstr(bus_err_text(), cases[i].says) != NULL, "wanted '%s' in '%s'",
                  cases[i].says, bus_err_text());
        cr_expect(strstr(bus_err_text(), "=x") == NULL, "a secret's value is not repeated");
    }
}

Test(config, names_the_variable_that_is_wrong)
{
    loaded l;
    setenv("TRADELANE_TESTD_ACK_WINDOW", "0", 1);
    load(&l, "");
    cr_expect_eq(l.err, BUS_EINVAL);
    cr_expect_str_eq(bus_err_text(),
                     "environment TRADELANE_TESTD_ACK_WINDOW: 'ack_window' is 0; the "
                     "range is 1..65536");
}

static void collect(void *ctx, const char *name, const char *value)
{
    char *text = ctx;
    sprintf(text + strlen(text), "%s=%s ", name, value);
}

Test(config, reports_what_differs_from_the_default_and_hides_secrets)
{
    loaded l;
    char text[512] = "";
    setenv("TRADELANE_TESTD_PASSWORD", "hunter2", 1);
    load(&l, "--ack-window 5 --wait 5s --venues a,b");
    test_ok(l.err);
    cr_expect_str_eq(l.set.password, "hunter2");
    bus_config_each(l.config, collect, text);
    cr_expect_str_eq(text, "password=*** ack_window=5 venues=a,b ");
    bus_config_free(l.config);
}

Test(config, warns_of_a_secret_in_a_file_that_others_may_read)
{
    loaded l;
    char line[400];
    const char *path = given_file("password: hidden\n");
    chmod(path, 0644);
    snprintf(line, sizeof line, "-c %s", path);
    load(&l, line);
    test_ok(l.err);
    cr_assert_not_null(bus_config_warning(l.config, 0));
    cr_expect_not_null(strstr(bus_config_warning(l.config, 0), "mode 644"));
    cr_expect_null(strstr(bus_config_warning(l.config, 0), "hidden"));
    cr_expect_null(bus_config_warning(l.config, 1));
    bus_config_free(l.config);
}

Test(config, refuses_a_url_with_a_login_and_does_not_repeat_it)
{
    loaded l;
    load(&l, "--name nats://somebody:hunter2@host");
    test_expect_err(l.err, BUS_EUSAGE);
    cr_expect_not_null(strstr(bus_err_text(), "'name' is a URL with a user or password in it"));
    cr_expect_null(strstr(bus_err_text(), "hunter2"));
    load(&l, "--name nats://host/a@b");
    test_ok(l.err);
    bus_config_free(l.config);
}

Test(config, knows_whether_it_holds_a_secret_and_leaves_none_in_the_environment)
{
    loaded l;
    load(&l, "");
    test_ok(l.err);
    cr_expect(!bus_config_holds_secret(l.config));
    bus_config_free(l.config);
    setenv("TRADELANE_TESTD_PASSWORD", "hunter2", 1);
    load(&l, "");
    test_ok(l.err);
    cr_expect_str_eq(l.set.password, "hunter2");
    cr_expect(bus_config_holds_secret(l.config));
    cr_expect_null(getenv("TRADELANE_TESTD_PASSWORD"));
    bus_config_free(l.config);
}

Test(config, help_shows_default_range_and_variable_of_every_row)
{
    char path[300], text[8192];
    snprintf(path, sizeof path, "%s/help", test_tmp());
    cr_assert_not_null(freopen(path, "w", stdout));
    loaded l;
    load(&l, "--ack-window 1 --help");
    fflush(stdout);
    test_ok(l.err);
    cr_expect(l.finished);
    cr_expect_null(l.config);
    FILE *f = fopen(path, "r");
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    fclose(f);
    cr_expect_not_null(strstr(text, "testd: tests"));
    cr_expect_not_null(strstr(text, "-n, --name TEXT"));
    cr_expect_not_null(strstr(text, "[default 4096; 1..65536; TRADELANE_TESTD_ACK_WINDOW]"));
    cr_expect_not_null(strstr(text, "[default text; text|json; TRADELANE_TESTD_FORMAT]"));
    cr_expect_not_null(strstr(text, "(password)"));
    cr_expect_null(strstr(text, "--password"));
}
