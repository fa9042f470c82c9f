#include "player.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "test/support/test.h"

enum { LINE_MAX_BYTES = 1 << 20 };

static void on_event(void *ctx, const char *subject, const bus_event *event)
{
    player *p = ctx;
    p->event(p->ctx, subject, event);
}

static void on_request(void *ctx, const feed_request *request)
{
    player *p = ctx;
    if (request->kind == FEED_REQUEST_INSTRUMENTS) {
        p->instrument_requests++;
        p->instruments_asked = *request;
        return;
    }
    cr_assert(!p->asked[request->symbol], "asked twice at once");
    p->asked[request->symbol] = true;
    p->request[request->symbol] = *request;
}

void player_open(player *p, const char *venue, const char *const *symbols,
                 const char *const *channels, feed_event_fn fn, void *ctx)
{
    memset(p, 0, sizeof *p);
    p->event = fn;
    p->ctx = ctx;
    feed_opts opts = {.symbols = symbols,
                      .channels = channels,
                      .snapshot_every = BUS_SPAN_S(3600),
                      .snapshot_limit = 1000,
                      .event = on_event,
                      .request = on_request,
                      .ctx = p};
    for (; symbols[opts.symbol_count]; opts.symbol_count++)
        snprintf(p->symbols[opts.symbol_count], 32, "%s", symbols[opts.symbol_count]);
    while (channels[opts.channel_count])
        opts.channel_count++;
    p->symbol_count = opts.symbol_count;
    const feed_venue *v = feed_venue_find(venue);
    cr_assert(v != NULL);
    test_ok(v->open(&p->session, &opts));
    p->now = (feed_now){.received = {1}, .mono = {1}, .wall = {1000000000}};
}

void player_up(player *p)
{
    feed_link link = {.connection_id = "test-1", .url = "ws://127.0.0.1:1/stream", .streams = 1};
    feed_session_opened(p->session, &p->now);
    feed_session_up(p->session, &link, &p->now);
}

void player_down(player *p)
{
    feed_link link = {.connection_id = "test-1", .url = "ws://127.0.0.1:1/stream"};
    feed_session_down(p->session, &link, "lost", "the test says so", &p->now);
}

void player_close(player *p)
{
    p->session->venue->close(p->session);
    for (uint32_t i = 0; i < 16; i++)
        free(p->waiting[i]);
}

static void settle(player *p)
{
    for (uint32_t i = 0; i < p->symbol_count; i++)
        if (p->asked[i] && p->waiting[i]) {
            char *body = p->waiting[i];
            p->waiting[i] = NULL;
            player_answer(p, i, 200, body);
            free(body);
        }
}

feed_frame_result player_frame(player *p, const char *text)
{
    // the bytes alone in a block of their own, so that a sanitizer sees a step beyond them
    size_t len = strlen(text);
    char *copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    feed_frame_result result = p->session->venue->frame(p->session, (bus_view){copy, len}, &p->now);
    free(copy);
    p->frames++;
    p->errors += result == FEED_FRAME_ERROR;
    p->duplicates += result == FEED_FRAME_DUPLICATE;
    return result;
}

void player_answer(player *p, uint32_t symbol, int status, const char *body)
{
    cr_assert(p->asked[symbol], "nobody asked for a snapshot of symbol %u", symbol);
    p->asked[symbol] = false;
    p->session->venue->response(p->session, &p->request[symbol], status, bus_view_of(body),
                                &p->now);
}

static void advance(player *p, int64_t received_ns)
{
    p->now.received.ns = received_ns;
    p->now.wall.ns = received_ns;
    p->now.mono.ns = received_ns;
    p->session->venue->tick(p->session, &p->now);
}

static void snapshot(player *p, uint32_t symbol, const char *body)
{
    free(p->waiting[symbol]);
    p->waiting[symbol] = strdup(body);
}

static void play_line(player *p, const char *text)
{
    p->lines++;
    if (p->line)
        p->line(p->ctx, p->lines, text);
    player_frame(p, text);
}

void player_hftbacktest(player *p, const char *path)
{
    char *line = malloc(LINE_MAX_BYTES);
    gzFile file = gzopen(path, "rb");
    cr_assert(file != NULL, "no capture '%s'", path);
    while (gzgets(file, line, LINE_MAX_BYTES)) {
        char *text = strchr(line, ' ') + 1;
        text[strcspn(text, "\n")] = 0;
        advance(p, strtoll(line, NULL, 10));
        if (strncmp(text, "{\"lastUpdateId\"", 15) == 0) {
            snapshot(p, 0, text);
            settle(p);
        } else {
            play_line(p, text);
            settle(p);
        }
    }
    gzclose(file);
    free(line);
}

// A line of a cryptofeed file: its time and what follows.
typedef struct {
    gzFile file;
    char *line, *text;
    double at;
    uint32_t symbol; // of a snapshot
    bool more, http;
} source;

static uint32_t symbol_in(const player *p, const char *url)
{
    const char *name = strstr(url, "symbol=");
    for (uint32_t i = 0; name && i < p->symbol_count; i++)
        if (strncmp(name + 7, p->symbols[i], strlen(p->symbols[i])) == 0)
            return i;
    return UINT32_MAX;
}

static void source_next(const player *p, source *s)
{
    while ((s->more = gzgets(s->file, s->line, LINE_MAX_BYTES) != NULL)) {
        s->line[strcspn(s->line, "\n")] = 0;
        char *at = s->line;
        if (s->http) {
            at = strstr(s->line, " -> ");
            s->symbol = at ? symbol_in(p, s->line) : UINT32_MAX;
            if (s->symbol == UINT32_MAX)
                continue;
            at += 4;
        } else if (!isdigit((unsigned char)*at)) {
            continue;
        }
        s->at = strtod(at, &s->text);
        s->text += 2;
        char *header = s->http ? strstr(s->text, " header: ") : NULL;
        if (header)
            *header = 0;
        return;
    }
}

void player_cryptofeed(player *p, const char *ws, const char *http)
{
    source s[2] = {{.file = gzopen(ws, "rb"), .line = malloc(LINE_MAX_BYTES)},
                   {.file = gzopen(http, "rb"), .line = malloc(LINE_MAX_BYTES), .http = true}};
    source_next(p, &s[0]);
    source_next(p, &s[1]);
    while (s[0].more || s[1].more) {
        source *next = !s[1].more || (s[0].more && s[0].at <= s[1].at) ? &s[0] : &s[1];
        advance(p, (int64_t)(next->at * 1e9));
        if (next->http)
            snapshot(p, next->symbol, next->text);
        else
            play_line(p, next->text);
        settle(p);
        source_next(p, next);
    }
    for (int i = 0; i < 2; i++) {
        gzclose(s[i].file);
        free(s[i].line);
    }
}
