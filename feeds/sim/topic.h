// topic: what the exchange can send: one (symbol, channel) pair each, found by name. The table is filled
// before the first connection and stays. Thread: the owner's. Source: schemas/specs/simexd.md.
#ifndef FEEDS_SIM_TOPIC_H
#define FEEDS_SIM_TOPIC_H

#include <stddef.h>
#include <stdint.h>

#include "bus/base/err.h"
#include "feeds/sim/frame.h"

struct sim_client;

typedef struct {
    struct sim_client *client;
    uint32_t sub; // index in the client's subscriptions
} sim_listener;

typedef struct {
    char symbol[SIM_SYMBOL_MAX];
    char channel[SIM_CHANNEL_MAX];
    char name[SIM_STREAM_MAX]; // the venue's stream name
    int symbol_no;             // index in sim_topics.symbols
    uint64_t total;            // frames the capture holds; 0 in the synthetic market
    uint64_t played;
    sim_listener *listeners;
    size_t listener_count, listener_cap;
} sim_topic;

typedef struct {
    char name[SIM_SYMBOL_MAX];
} sim_symbol_name;

typedef struct {
    sim_topic *topic;
    size_t count, cap;
    sim_symbol_name *symbol;
    size_t symbol_count, symbol_cap;
    int32_t *slot; // open addressing over topic indices; -1 free
    size_t slots;
} sim_topics;

enum { SIM_TOPICS_MAX = 65536, SIM_SYMBOLS_MAX = 4096 };

void sim_topics_release(sim_topics *topics);
// sim_topics_add: finds or makes the pair; symbol in upper case. BUS_ELIMIT beyond the bounds above.
bus_err sim_topics_add(sim_topics *topics, const char *symbol, const char *channel, int *out);
int sim_topics_find(const sim_topics *topics, const char *symbol, const char *channel); // -1: none
int sim_topics_symbol(const sim_topics *topics, bus_view name);                         // -1: none
bus_err sim_topic_listen(sim_topic *topic, struct sim_client *client, uint32_t sub);
void sim_topic_leave(sim_topic *topic, const struct sim_client *client, uint32_t sub);

#endif
