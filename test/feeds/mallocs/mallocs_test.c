// No frame costs an allocation once a connection has had its first thousand: from the frame's bytes to the encoded
// event, with the book applied, counted in every library that is called.
#include <stdio.h>
#include <zlib.h>

#include "bus/base/err.h"
#include "bus/event/event.h"
#include "player.h" // of test/feeds/venues
#include "test/support/alloc/alloc.h"
#include "test/support/data.h"
#include "test/support/test.h"

enum { WARM = 1000, LINE_BYTES_MAX = 1 << 20 };

static uint8_t encoded[BUS_EVENT_SIZE_MAX];
static uint64_t events;

static void on_event(void *ctx, const char *subject, const bus_event *event)
{
    bus_pack p = bus_pack_to(encoded, sizeof encoded);
    (void)ctx, (void)subject;
    events += bus_event_encode(&p, event) == BUS_OK;
}

// Plays the frames; returns the allocations of those after the first thousand. Each is named.
static uint64_t play(const char *symbol, const char *path, uint64_t *frames)
{
    static player p;
    static char line[LINE_BYTES_MAX];
    static const char *const channels[] = {"trade", "bookTicker", "depth@100ms", NULL};
    const char *symbols[] = {symbol, NULL};
    uint64_t made = 0;
    gzFile file = gzopen(path, "rb");
    cr_assert(file != NULL, "%s", path);
    player_open(&p, "binance", symbols, channels, on_event, NULL);
    player_up(&p);
    for (*frames = 0; gzgets(file, line, sizeof line);) {
        char *text = strchr(line, ' ') + 1;
        text[strcspn(text, "\n")] = 0;
        if (strncmp(text, "{\"lastUpdateId\"", 15) == 0) {
            player_answer(&p, 0, 200, text);
            continue;
        }
        bus_view view = bus_view_of(text);
        p.now.received.ns = p.now.wall.ns = p.now.mono.ns += 1000000;
        uint64_t before = alloc_count();
        feed_frame_result result = p.session->venue->frame(p.session, view, &p.now);
        uint64_t more = alloc_count() - before;
        cr_assert(result == FEED_FRAME_EVENT, "%.100s", text);
        if (++*frames > WARM && more) {
            made += more;
            fprintf(stderr, "frame %llu: %llu allocations: %.100s\n", (unsigned long long)*frames,
                    (unsigned long long)more, text);
        }
    }
    gzclose(file);
    player_close(&p);
    return made;
}

static void given_a_counter(void)
{
    test_skip_under_valgrind("its allocator is in front of the one that counts");
    cr_assert(alloc_works(), "another allocator is in front of the one that counts");
}

Test(mallocs, no_frame_of_the_seeded_capture_allocates_after_the_first_thousand)
{
    uint64_t frames;
    given_a_counter();
    cr_expect(play("TESTUSDT", TL_BUILD_DIR "/test/data/small.gz", &frames) == 0);
    cr_expect(frames > 2 * WARM, "only %llu frames", (unsigned long long)frames);
    cr_expect(events >= frames);
}

Test(mallocs, no_frame_of_the_captured_market_allocates_after_the_first_thousand)
{
    uint64_t frames;
    given_a_counter();
    cr_expect(play("BTCUSDT", test_data("binance_spot/btcusdt_20240808.gz"), &frames) == 0);
    cr_expect(frames > 40 * WARM);
}
