// broker: a nats-server with JetStream of a bench's own, on a free port; it ends with the program.
// Program: $TL_NATS_SERVER, else build/nats-server of the tree, else nats-server on PATH.
#ifndef TEST_BENCH_COMMON_BROKER_H
#define TEST_BENCH_COMMON_BROKER_H

#include <stddef.h>

void bench_broker_start(char *url, size_t cap); // ends the program, with a word why, when it fails

#endif
