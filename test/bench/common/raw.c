#include "test/bench/common/raw.h"

#include <stdio.h>
#include <stdlib.h>

void bench_raw_must(natsStatus s, const char *what)
{
    if (s == NATS_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, natsStatus_GetText(s));
    exit(1);
}

void bench_raw_connect(natsConnection **nc, const char *url, bool asap)
{
    natsOptions *opts = NULL;
    bench_raw_must(natsOptions_Create(&opts), "raw options");
    bench_raw_must(natsOptions_SetURL(opts, url), "raw URL");
    bench_raw_must(natsOptions_SetSendAsap(opts, asap), "raw send asap");
    bench_raw_must(natsConnection_Connect(nc, opts), "raw connect");
    natsOptions_Destroy(opts);
}

void bench_raw_jetstream(jsCtx **js, natsConnection *nc, int64_t window)
{
    jsOptions opts;
    bench_raw_must(jsOptions_Init(&opts), "raw options");
    opts.PublishAsync.MaxPending = window;
    opts.PublishAsync.StallWait = 60000;
    bench_raw_must(natsConnection_JetStream(js, nc, &opts), "raw JetStream");
}

void bench_raw_stream(jsCtx *js, const char *name, const char *subject)
{
    jsStreamConfig config;
    const char *subjects[] = {subject};
    bench_raw_must(jsStreamConfig_Init(&config), "raw stream");
    config.Name = name;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.AllowDirect = true;
    bench_raw_must(js_AddStream(NULL, js, &config, NULL, NULL), name);
}

void bench_raw_publish(jsCtx *js, const char *subject, const char *id, const void *bytes, int len)
{
    natsMsg *msg = NULL;
    bench_raw_must(natsMsg_Create(&msg, subject, NULL, bytes, len), "raw message");
    bench_raw_must(natsMsgHeader_Set(msg, "Nats-Msg-Id", id), "raw header");
    bench_raw_must(natsMsgHeader_Set(msg, "Content-Type", "application/cloudevents+msgpack"),
                   "raw header");
    bench_raw_must(js_PublishMsgAsync(js, &msg, NULL), "raw publish");
    natsMsg_Destroy(msg);
}

void bench_raw_ordered(natsSubscription **sub, jsCtx *js, const char *subject, natsMsgHandler fn,
                       void *ctx)
{
    jsSubOptions opts;
    jsSubOptions_Init(&opts);
    opts.Ordered = true;
    opts.Config.DeliverPolicy = js_DeliverNew;
    bench_raw_must(js_Subscribe(sub, js, subject, fn, ctx, NULL, &opts, NULL),
                   "raw ordered consumer");
    natsSubscription_SetPendingLimits(*sub, -1, -1);
}

uint64_t bench_raw_count(jsCtx *js, const char *stream)
{
    jsStreamInfo *info = NULL;
    uint64_t count = 0;
    if (js_GetStreamInfo(&info, js, stream, NULL, NULL) == NATS_OK)
        count = info->State.LastSeq;
    jsStreamInfo_Destroy(info);
    return count;
}
