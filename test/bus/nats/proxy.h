// proxy: a TCP relay between a client and a broker that can keep the bytes of either side back and cut connections.
// Runs on a thread of its own; the verbs may be called from the test's.
#ifndef TEST_BUS_NATS_PROXY_H
#define TEST_BUS_NATS_PROXY_H

#include <pthread.h>
#include <stdatomic.h>

typedef struct {
    pthread_t thread;
    int listener, to_port, port;
    _Atomic int deaf; // the broker's bytes are thrown away
    _Atomic int cut;  // every connection is closed, once
    // What the clients of the connections that are there now send is kept back, also when they go away; new
    // connections are not meant. Let go: what was kept is delivered, and then the end.
    _Atomic int hold;
    _Atomic int ending;
    char url[64];
} test_proxy;

void test_proxy_start(test_proxy *proxy, int to_port);
void test_proxy_stop(test_proxy *proxy);

#endif
