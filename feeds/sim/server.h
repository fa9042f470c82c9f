// server: the exchange on a port: WebSocket and HTTP by libwebsockets, on a thread of its own, which is
// the exchange's thread too. Thread: open, stop and close on one thread (the daemon's main one).
// Bound: 500 connections at a time. Source: schemas/specs/simexd.md, "Venue endpoints: WebSocket".
#ifndef FEEDS_SIM_SERVER_H
#define FEEDS_SIM_SERVER_H

#include "bus/base/loop.h"
#include "feeds/sim/exchange.h"

typedef struct sim_server sim_server;

typedef struct {
    const char *listen;             // address:port; port 0: any free one
    const char *tls_cert, *tls_key; // PEM files; both or none
} sim_server_opts;

// sim_server_open binds the port and starts the thread. It owns `exchange` from then on.
bus_err sim_server_open(sim_server **out, const sim_server_opts *opts, sim_exchange *exchange);
int sim_server_port(const sim_server *server);
bool sim_server_serves(const sim_server *server);            // the thread turns
sim_exchange_figures sim_server_figures(sim_server *server); // as of the last turn
// sim_server_stop begins the orderly end: serverShutdown, close, the thread ends and wakes `done`.
void sim_server_stop(sim_server *server, bus_wake done);
void sim_server_close(sim_server *server); // waits for the thread; takes NULL

#endif
