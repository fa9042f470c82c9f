#include "workhost/declaration.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/test.h"

// Source: schemas/specs/workers.md, "Declaration".
static const char *given_file(const char *name, const char *text)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", test_tmp(), name);
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
    return path;
}

Test(declaration, is_read_into_a_record)
{
    work_record *r = NULL;
    char *code = NULL;
    const char *path =
        given_file("sma.yaml", "inputs: [exchange.*.trade.tape.>, act.exchange.x.y.z]\n"
                               "code: ${workers}/sma.so\n"
                               "name: sma\n"
                               "scenarios:\n  - LIVE\n  - bt1\n"
                               "config: {fast: 5, slow: '20'}\n"
                               "start: first\n");
    test_ok(work_declaration_read(&r, &code, path, "/built/in"));
    cr_expect_str_eq(r->name, "sma");
    cr_expect_str_eq(code, "/built/in/sma.so");
    cr_expect_str_eq(r->mime, "application/x-native-dll");
    cr_expect_eq(r->input_count, 2);
    cr_expect_str_eq(r->inputs[1], "exchange.x.y.z");
    cr_expect(work_record_serves(r, "LIVE") && work_record_serves(r, "bt1"));
    cr_expect(!work_record_serves(r, "bt2"));
    cr_expect_str_eq(json_string_value(json_object_get(r->config, "slow")), "20");
    cr_expect(r->start_first && r->running && r->declared);
    work_record_free(r);
    free(code);
}

Test(declaration, names_line_key_and_rule_of_what_is_wrong)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "line 1: a mapping of the worker's keys is wanted"},
        {"- x\n", "a mapping of the worker's keys is wanted"},
        {"code: x\ninputs: [exchange.a]\n", "'name' is missing"},
        {"name: sma\ninputs: [exchange.a]\n", "'code' is missing"},
        {"name: sma\ncode: x\n", "'inputs' is missing"},
        {"name: sma\ncode: x\ninputs: []\n", "'inputs' is empty"},
        {"name: sma\ncode: x\ninputs: exchange.a\n", "line 3: 'inputs': a sequence of texts"},
        {"name: sma\ncode: x\ninputs: [sc.LIVE.x]\n", "line 3: 'inputs': input 'sc.LIVE.x'"},
        {"name: sma\ncode: x\ninputs:\n  - exchange.a\n  - exchange..b\n", "line 5: 'inputs'"},
        {"name: Sma Worker\ncode: x\n", "line 1: 'name'"},
        {"name: sma\nspeed: 3\n", "line 2: 'speed' is not a key of a worker"},
        {"name: sma\nname: smb\n", "line 2: 'name' was given already"},
        {"name: sma\nstart: now\n", "line 2: 'start': it is one of next, first"},
        {"name: sma\nscenarios: ['a b']\n", "line 2: 'scenarios'"},
        {"name: sma\nconfig: 5\n", "line 2: 'config': a mapping"},
        {"name: sma\nconfig: {a: [1]}\n", "line 2: 'config': names and values are single texts"},
        {"name: 'sma\n", "line 2: found unexpected end of stream"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        work_record *r = NULL;
        char *code = NULL;
        bus_err err = work_declaration_read(&r, &code, given_file("w.yaml", cases[i].text), "/b");
        cr_expect(err != BUS_OK && r == NULL, "%s", cases[i].text);
        cr_expect(strstr(bus_err_text(), cases[i].says) && strstr(bus_err_text(), "w.yaml"),
                  "wanted '%s' in '%s'", cases[i].says, bus_err_text());
    }
}

static void collect(void *ctx, work_record *record, const char *code)
{
    strcat(ctx, record->name);
    strcat(ctx, " ");
    (void)code;
    work_record_free(record);
}

Test(declaration, a_folder_is_read_in_order_of_name_and_bad_files_are_left_out)
{
    char seen[200] = "", folder[600];
    const char *path = given_file("b.yaml", "name: b\ncode: x\ninputs: [exchange.a]\n");
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    static const char *const others[][2] = {
        {"a.yml", "name: a\ncode: x\ninputs: [exchange.a]\n"},
        {"c.yaml", "name: C\n"},
        {"d.txt", "name: d\ncode: x\ninputs: [exchange.a]\n"},
    };
    for (size_t i = 0; i < 3; i++) {
        char other[700];
        snprintf(other, sizeof other, "%s/%s", folder, others[i][0]);
        FILE *f = fopen(other, "w");
        fputs(others[i][1], f);
        fclose(f);
    }
    test_ok(work_declarations_each(folder, "/b", collect, seen));
    cr_expect_str_eq(seen, "a b ");
    test_expect_err(work_declarations_each("/nonexistent", "/b", collect, seen), BUS_EIO);
}

Test(declaration, the_example_is_one)
{
    work_record *r = NULL;
    char *code = NULL;
    test_ok(work_declaration_read(&r, &code, TL_SOURCE_DIR "/examples/workers/sma.yaml", "/b"));
    cr_expect_str_eq(r->name, "sma");
    work_record_free(r);
    free(code);
}
