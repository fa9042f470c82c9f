// raw: what benches do with nats.c itself, where it is the reference. Every failure ends the bench.
// Thread: as nats.c says.
#ifndef TEST_BENCH_COMMON_RAW_H
#define TEST_BENCH_COMMON_RAW_H

#include <nats/nats.h>
#include <stdbool.h>
#include <stdint.h>

void bench_raw_must(natsStatus s, const char *what);
// bench_raw_connect: asap writes every message at once (for latency), else the library gathers them.
void bench_raw_connect(natsConnection **nc, const char *url, bool asap);
void bench_raw_jetstream(jsCtx **js, natsConnection *nc, int64_t window);
void bench_raw_stream(jsCtx *js, const char *name, const char *subject); // file store, as ours
// bench_raw_publish: asynchronous, with a message id and a content type, as our events have them.
void bench_raw_publish(jsCtx *js, const char *subject, const char *id, const void *bytes, int len);
// bench_raw_ordered subscribes by an ordered consumer, from the stream's next message on.
void bench_raw_ordered(natsSubscription **sub, jsCtx *js, const char *subject, natsMsgHandler fn,
                       void *ctx);
uint64_t bench_raw_count(jsCtx *js, const char *stream); // messages stored so far; 0: no stream yet

#endif
