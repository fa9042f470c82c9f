// commands: what the owner of a replay has it do, each answered once. Part of the player.
// Thread: the replay's. Source: schemas/specs/replay.md.
#ifndef STORE_COMMANDS_H
#define STORE_COMMANDS_H

#include "store/player.h"

void store_player_commands(store_player *player); // carries out what the mailbox holds
// store_player_end_step answers whoever waits for a step that is under way, if any.
void store_player_end_step(store_player *player, bus_err err);

#endif
