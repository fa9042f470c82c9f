// The scanner against jsmn as its oracle, and its refusals.
#include <string.h>
#include <zlib.h>

#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

#include "bus/base/err.h"
#include "feeds/venues/scan.h"
#include "test/support/data.h"
#include "test/support/test.h"

enum { TOKENS = 65536 };

// The first array of levels below key `name`, by tokens: price and quantity texts in order.
static int levels_by_tokens(const char *text, size_t len, const char *name, bus_view *out)
{
    static jsmntok_t token[TOKENS];
    jsmn_parser parser;
    jsmn_init(&parser);
    int count = jsmn_parse(&parser, text, len, token, TOKENS), found = 0;
    for (int i = 0; i + 1 < count; i++) {
        if (token[i].type != JSMN_STRING || token[i].size != 1 ||
            (size_t)(token[i].end - token[i].start) != strlen(name) ||
            strncmp(text + token[i].start, name, strlen(name)) != 0)
            continue;
        for (int j = i + 2; j < count && token[j].start < token[i + 1].end; j++)
            if (token[j].type == JSMN_STRING)
                out[found++] =
                    (bus_view){text + token[j].start, (size_t)(token[j].end - token[j].start)};
        return found;
    }
    return count < 0 ? -1 : 0;
}

// The same by the scanner, through any nesting of objects down to the key.
static bool levels_by_scan(feed_scan *s, const char *name, feed_level_list *list)
{
    bus_view key;
    bool first = true;
    if (!feed_scan_char(s, '{'))
        return false;
    while (feed_scan_key(s, &key, &first)) {
        if (bus_view_is(key, name))
            feed_scan_levels(s, list);
        else if (bus_view_is(key, "data"))
            levels_by_scan(s, name, list);
        else
            feed_scan_skip(s);
    }
    return !s->rule;
}

static void compare(const char *text, size_t len, const char *name, feed_level_list *list)
{
    static bus_view oracle[TOKENS];
    int count = levels_by_tokens(text, len, name, oracle);
    feed_scan s = feed_scan_of((bus_view){text, len});
    list->count = 0;
    cr_assert(levels_by_scan(&s, name, list), "%s", s.rule);
    cr_assert(count == (int)list->count * 2, "%d texts by tokens, %u levels", count, list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        cr_assert(bus_view_eq(oracle[2 * i], list->item[i].price.text));
        cr_assert(bus_view_eq(oracle[2 * i + 1], list->item[i].quantity.text));
    }
}

static void compare_file(const char *path)
{
    static char line[1 << 20];
    feed_level_list list = {0};
    gzFile file = gzopen(path, "rb");
    cr_assert(file != NULL, "%s", path);
    while (gzgets(file, line, sizeof line)) {
        char *text = strchr(line, ' ') + 1;
        size_t len = strlen(text);
        bool snapshot = strncmp(text, "{\"lastUpdateId\"", 15) == 0;
        if (!snapshot && !strstr(text, "depthUpdate"))
            continue;
        compare(text, len, snapshot ? "bids" : "b", &list);
        compare(text, len, snapshot ? "asks" : "a", &list);
    }
    gzclose(file);
    feed_level_list_release(&list);
}

Test(scan, reads_the_same_levels_as_jsmn_in_the_seeded_capture)
{
    compare_file(TL_BUILD_DIR "/test/data/gap.gz");
}

Test(scan, reads_the_same_levels_as_jsmn_in_the_spot_capture, .timeout = 60)
{
    compare_file(test_data("binance_spot/btcusdt_20240808.gz"));
}

Test(scan, steps_over_any_value)
{
    static const char *const values[] = {"0",
                                         "-1.5e+3",
                                         "true",
                                         "null",
                                         "\"a\\\"b\"",
                                         "[]",
                                         "{}",
                                         "[ [ ] ]",
                                         "{\"a\":[1,{\"b\":null}]}",
                                         " [1 , 2 , \"x\"] ",
                                         "{\"a\" : {} , \"b\":[[]]}"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        feed_scan s = feed_scan_of(bus_view_of(values[i]));
        cr_expect(feed_scan_skip(&s) && feed_scan_end(&s), "%s: %s", values[i], s.rule);
    }
}

Test(scan, refuses_what_is_no_value)
{
    static const char *const values[] = {
        "",       "[",   "{", "]",  "[1", "{\"a\"}", "{1:2}",      "[1 2]", "{\"a\":}",
        "\"open", "tru", "-", "1.", "1e", "[1,]",    "{\"a\":1,}", "[}",    "{]"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        feed_scan s = feed_scan_of(bus_view_of(values[i]));
        cr_expect(!(feed_scan_skip(&s) && feed_scan_end(&s)), "%s", values[i]);
        cr_expect(s.rule != NULL);
    }
}

Test(scan, refuses_nesting_beyond_its_bound)
{
    char deep[200];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    feed_scan s = feed_scan_of((bus_view){deep, sizeof deep});
    cr_expect(!feed_scan_skip(&s));
}

Test(scan, reads_integers_up_to_the_bound_and_no_further)
{
    static const struct {
        const char *text;
        bool fine;
        uint64_t value;
    } row[] = {{"0", true, 0},
               {"50093239202", true, 50093239202},
               {"9223372036854775807", true, INT64_MAX},
               {"9223372036854775808", false, 0},
               {"99999999999999999999999", false, 0},
               {"01", false, 0},
               {"1.5", false, 0},
               {"1e3", false, 0},
               {"-1", false, 0},
               {"\"1\"", false, 0}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        uint64_t v = 0;
        feed_scan s = feed_scan_of(bus_view_of(row[i].text));
        cr_expect(feed_scan_u64(&s, &v) == row[i].fine, "%s", row[i].text);
        cr_expect(v == row[i].value, "%s", row[i].text);
    }
}

Test(scan, an_error_names_the_text_the_byte_and_the_rule)
{
    feed_scan s = feed_scan_of(BUS_VIEW("{\"b\":[[\"1.x\",\"2\"]]}"));
    feed_level_list list = {0};
    levels_by_scan(&s, "b", &list);
    test_expect_err(feed_scan_error(&s, "a frame"), BUS_EINVAL);
    cr_expect_str_eq(bus_err_text(), "a frame, byte 10 of 19: a decimal is expected");
    feed_level_list_release(&list);
}
