// reports: what a replay and its participants tell each other: joins and reports in, watermarks out; and
// the picture of it all that the owner sees. Thread: the replay's. Source: schemas/specs/replay.md,
// "Taking part".
#ifndef STORE_REPORTS_H
#define STORE_REPORTS_H

#include "store/player.h"

void store_player_join(store_player *player, const store_replay_command *c); // answers the call
void store_player_report(store_player *player, bus_view participant, uint64_t seq, bool leave);
// store_player_reports takes what arrived (bounded) and lets lapse whose lease ended.
void store_player_reports(store_player *player);
// state NULL: the replay's own
void store_player_watermark(store_player *player, bool end, const char *state);
// store_player_missing names, comma-separated, the expected that have not joined; returns how many.
size_t store_player_missing(store_player *player, char *names, size_t cap);
void store_player_picture(store_player *player, bus_mono now); // fills player->info

#endif
