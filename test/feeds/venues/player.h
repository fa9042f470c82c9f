// player: plays a capture file through an adapter's session, in this process: frames as they were
// received, and recorded REST snapshots as answers once they have been asked for.
#ifndef TEST_FEEDS_VENUES_PLAYER_H
#define TEST_FEEDS_VENUES_PLAYER_H

#include "feeds/venues/session.h"

typedef struct {
    feed_session *session;
    feed_now now;
    uint64_t lines, frames, errors, duplicates;
    char symbols[16][32]; // as opened
    uint32_t symbol_count;
    bool asked[16];
    feed_request request[16];
    char *waiting[16];       // a snapshot that came before it was asked for
    char instruments[65536]; // body of exchangeInfo; "": there is none
    uint64_t instrument_requests;
    feed_request instruments_asked;                           // the last one
    void (*line)(void *ctx, uint64_t line, const char *text); // before each frame; may be NULL
    feed_event_fn event;
    void *ctx;
} player;

// player_open: symbols and channels NULL-terminated. Events go to fn(ctx).
void player_open(player *p, const char *venue, const char *const *symbols,
                 const char *const *channels, feed_event_fn fn, void *ctx);
void player_up(player *p); // a connection whose subscriptions stand
void player_down(player *p);
void player_close(player *p);
feed_frame_result player_frame(player *p, const char *text);
void player_answer(player *p, uint32_t symbol, int status, const char *body);

// player_hftbacktest: the collector's format. player_cryptofeed: ws and http files merged by time.
void player_hftbacktest(player *p, const char *path);
void player_cryptofeed(player *p, const char *ws, const char *http);

#endif
