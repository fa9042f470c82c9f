// Whole captures through the adapter, judged by a reader of its events: test/feeds/venues/tally.c.
#include <stdlib.h>

#include "player.h"
#include "tally.h"
#include "test/support/data.h"
#include "test/support/test.h"

static json_t *load(const char *path)
{
    json_error_t error;
    json_t *json = json_load_file(path, 0, &error);
    cr_assert(json != NULL, "%s: %s", path, error.text);
    return json;
}

// The seeded capture that the build makes (test/data/make_capture.py).
#define SMALL(name) TL_BUILD_DIR "/test/data/" name

static const char *const small_symbols[] = {"TESTUSDT", NULL};
static const char *const spot_symbols[] = {"BTCUSDT", NULL};
static const char *const spot_channels[] = {"trade", "bookTicker", "depth@100ms", NULL};

static void play(tally *t, const char *const *symbols, const char *path, player *p)
{
    player_open(p, "binance", symbols, spot_channels, tally_event, t);
    player_up(p);
    player_hftbacktest(p, path);
    cr_expect(p->errors == 0);
    cr_expect(p->duplicates == 0);
}

Test(capture, the_small_seeded_capture_gives_the_independently_computed_values)
{
    static player p;
    static tally t;
    json_t *expected = load(SMALL("expected.json"));
    play(&t, small_symbols, SMALL("small.gz"), &p);
    tally_expect(&t, json_object_get(json_object_get(expected, "small.gz"), "symbols"));
    player_close(&p);
    tally_release(&t);
    json_decref(expected);
}

static void expect_gap(tally_symbol *s, const json_t *gap)
{
    cr_expect(s->gaps == 1);
    cr_expect(s->resyncs == 1);
    cr_expect(s->wholes == 2);
    cr_expect(s->gap_first ==
              (uint64_t)json_integer_value(json_object_get(gap, "dropped_first_U")));
    cr_expect(s->gap_last == (uint64_t)json_integer_value(json_object_get(gap, "dropped_last_u")));
}

Test(capture, frames_left_out_of_the_small_capture_are_one_named_gap_and_one_resync)
{
    static player p;
    static tally t;
    json_t *expected = load(SMALL("expected.json")), *gap = json_object_get(expected, "gap.gz");
    play(&t, small_symbols, SMALL("gap.gz"), &p);
    tally_expect(&t, json_object_get(gap, "symbols"));
    expect_gap(tally_of(&t, "TESTUSDT"), json_array_get(json_object_get(gap, "gaps"), 0));
    player_close(&p);
    tally_release(&t);
    json_decref(expected);
}

Test(capture, the_spot_capture_gives_golden_counts_book_and_sums, .timeout = 120)
{
    static player p;
    static tally t;
    const char *path = test_data("binance_spot/btcusdt_20240808.gz");
    json_t *golden = load(test_data("golden.json"));
    play(&t, spot_symbols, path, &p);
    tally_expect(&t, json_object_get(json_object_get(golden, "binance_spot/btcusdt_20240808.gz"),
                                     "symbols"));
    cr_expect(p.session->stats.wholes == 1);
    player_close(&p);
    tally_release(&t);
    json_decref(golden);
}

Test(capture, the_spot_capture_with_a_gap_ends_with_the_right_book_and_names_the_gap, .timeout = 60)
{
    static player p;
    static tally t;
    const char *path = test_data("derived_gap/btcusdt_spot_gap1.gz");
    json_t *golden = load(test_data("derived_gap/golden.json"));
    const json_t *want = json_object_get(json_object_get(golden, "files"), "btcusdt_spot_gap1.gz");
    play(&t, spot_symbols, path, &p);
    tally_symbol *s = tally_of(&t, "BTCUSDT");
    expect_gap(s, json_array_get(json_object_get(want, "gaps"), 0));
    cr_expect(s->depth == (uint64_t)json_integer_value(json_object_get(want, "depth_frames")));
    json_t *like = json_pack("{s:{s:O,s:[i,i],s:O}}", "BTCUSDT", "final_u",
                             json_object_get(want, "final_u"), "snapshot_levels", 1000, 1000,
                             "final_book", json_object_get(want, "true_final_top10"));
    tally_expect(&t, like);
    json_decref(like);
    player_close(&p);
    tally_release(&t);
    json_decref(golden);
}

Test(capture, four_thin_symbols_give_golden_values_each)
{
    static player p;
    static tally t;
    static const char *const symbols[] = {"NKNUSDT", "BLZETH", "LRCBTC", "RUNEEUR", NULL};
    static const char *const channels[] = {"depth@100ms", "bookTicker", "aggTrade", "kline_1m",
                                           NULL};
    const char *ws = test_data("cryptofeed/BINANCE.ws.1.0.gz");
    const char *http = test_data("cryptofeed/BINANCE.http.0.0.gz");
    json_t *golden = load(test_data("golden.json"));
    player_open(&p, "binance", symbols, channels, tally_event, &t);
    player_up(&p);
    player_cryptofeed(&p, ws, http);
    cr_expect(p.errors == 0);
    tally_expect(&t, json_object_get(json_object_get(golden, "cryptofeed/BINANCE.ws.1.0.gz + "
                                                             "BINANCE.http.0.0.gz"),
                                     "symbols"));
    player_close(&p);
    tally_release(&t);
    json_decref(golden);
}
