// broker: a real nats-server with JetStream, a port and a store of its own.
// Program: $TL_NATS_SERVER, else build/nats-server of the tree, else nats-server on PATH.
// Thread: the one that started it (it dies with it). Failures here fail the test.
#ifndef TEST_SUPPORT_BROKER_H
#define TEST_SUPPORT_BROKER_H

#include <stdbool.h>

#include "test/support/proc.h"

typedef struct {
    const char *config;    // lines added to the server's configuration, or NULL
    const char *jetstream; // lines added to its jetstream block, or NULL
    bool no_jetstream;
    int port; // 0: a free one
} test_broker_opts;

typedef struct {
    test_proc proc;
    int port;
    char url[64];    // nats://127.0.0.1:<port>
    const char *dir; // store, configuration and log
    test_broker_opts opts;
} test_broker;

void test_broker_start(test_broker *broker, const test_broker_opts *opts); // opts NULL: defaults
void test_broker_kill(test_broker *broker);    // SIGKILL; the store stays
void test_broker_restart(test_broker *broker); // same store, same port; kills it if it still runs
void test_broker_freeze(test_broker *broker);  // SIGSTOP
void test_broker_thaw(test_broker *broker);    // SIGCONT
void test_broker_stop(test_broker *broker);    // orderly end; nothing when not started

#endif
