#include "bus/base/log.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test/support/test.h"

// Source: schemas/specs/daemons.md, "Logs".
static char captured[65536];

// What `message` becomes on stderr.
static const char *log_of(bus_log_format format, bus_log_level level, const char *message)
{
    char path[300];
    snprintf(path, sizeof path, "%s/log", test_tmp());
    int saved = dup(STDERR_FILENO);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDERR_FILENO);
    bus_log_init("testd", BUS_LOG_INFO, format);
    bus_log(level, "%s", message);
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t n = pread(fd, captured, sizeof captured - 1, 0);
    captured[n < 0 ? 0 : n] = '\0';
    close(fd);
    return captured;
}

Test(log, writes_one_line_of_text_a_record)
{
    const char *line = log_of(BUS_LOG_TEXT, BUS_LOG_WARN, "hello\nforged \x1b[31m");
    cr_expect_str_eq(line + 30, " WARN  testd: hello\\x0aforged \\x1b[31m\n");
}

Test(log, leaves_out_what_is_below_the_level)
{
    cr_expect_str_eq(log_of(BUS_LOG_TEXT, BUS_LOG_DEBUG, "quiet"), "");
}

Test(log, writes_json_that_parses_whatever_the_bytes)
{
    const char *line = log_of(BUS_LOG_JSON, BUS_LOG_ERROR,
                              "a \"quote\" \\ \n \x01 \xc3\xa9 \xff \xed\xa0\x80 end");
    json_t *record = json_loads(line, 0, NULL);
    cr_assert_not_null(record, "%s", line);
    cr_expect_str_eq(json_string_value(json_object_get(record, "level")), "error");
    cr_expect_str_eq(json_string_value(json_object_get(record, "program")), "testd");
    const char *message = json_string_value(json_object_get(record, "message"));
    cr_expect_str_eq(message, "a \"quote\" \\ \n \x01 \xc3\xa9 \xef\xbf\xbd "
                              "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd end");
    json_decref(record);
}

Test(log, cuts_long_messages_between_characters)
{
    char *message = malloc(9001);
    for (int i = 0; i < 9000; i += 2)
        memcpy(message + i, "\xc3\xa9", 2);
    message[9000] = '\0';
    const char *line = log_of(BUS_LOG_JSON, BUS_LOG_INFO, message);
    json_t *record = json_loads(line, 0, NULL);
    cr_assert_not_null(record);
    const char *text = json_string_value(json_object_get(record, "message"));
    cr_expect(strlen(text) <= 4000);
    cr_expect_str_eq(text + strlen(text) - 5, "\xc3\xa9\xe2\x80\xa6");
    json_decref(record);
    free(message);
}

Test(log, counts_records_by_level)
{
    int64_t before = bus_log_count(BUS_LOG_WARN);
    log_of(BUS_LOG_TEXT, BUS_LOG_WARN, "one");
    cr_expect_eq(bus_log_count(BUS_LOG_WARN), before + 1);
    bus_log_level level = BUS_LOG_INFO;
    test_ok(bus_log_level_parse("error", &level));
    cr_expect_eq(level, BUS_LOG_ERROR);
    test_expect_err(bus_log_level_parse("loud", &level), BUS_EINVAL);
}
