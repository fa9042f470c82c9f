/*
 * worker.h: what a native worker is to its host. This file is the whole contract; copy it.
 *
 * A worker is a shared object that exports
 *
 *     const work_plugin *work_plugin_table(uint32_t host_abi);
 *
 * The host creates instances from the table, one for each scenario it serves, and gives each its
 * events one at a time in the recorded order. An instance must be a function of its configuration,
 * its events and `now`: no globals, no clock, no random numbers, no threads that outlive a call, no
 * files or sockets. Then the same events give the same outputs, live and in a backtest.
 *
 * Every struct begins with, or is announced by, its size, so that members can be added behind:
 * read only what the size covers, set struct_size = sizeof(the struct). All text is UTF-8. Views
 * are not NUL-terminated and live until the call they were given to returns.
 * Return values: 0 is success, everything else failure.
 */
#ifndef WORK_WORKER_H
#define WORK_WORKER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WORK_ABI_VERSION 1u
#define WORK_ENTRY       "work_plugin_table"

typedef struct work_view {
    const char *ptr; /* may be null when len is 0 */
    uint64_t len;
} work_view;

/* An event as it arrives. Absent attributes have len 0. Times are nanoseconds since 1970. */
typedef struct work_event {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t seq;             /* its sequence in the recorded stream */
    int64_t event_time_ns;    /* the venue's time of what happened */
    int64_t recorded_time_ns; /* when it was received */
    work_view topic; /* where it was published, e.g. act.exchange.binance.trade.tape.BTCUSDT */
    work_view id, source, type, subject, exchange, correlationid;
    work_view datacontenttype;
    work_view data;   /* one msgpack value; for application/json in JSON's data model */
    const void *host; /* the host's own, for its attribute() */
} work_event;

typedef enum work_data_kind {
    WORK_DATA_MSGPACK = 0, /* one msgpack value */
    WORK_DATA_JSON = 1,    /* JSON text; the host packs it */
} work_data_kind;

/* An event a worker gives back. What it leaves empty the host fills in. */
typedef struct work_output {
    uint32_t struct_size;
    uint32_t data_kind; /* work_data_kind */
    work_view lane;    /* "<domain>.<entity>.<event>[.<id>[.<id>]]": goes to sc.<scenario>.<lane> */
    work_view topic;   /* used when lane is empty */
    work_view type;    /* empty: made from the lane */
    work_view subject; /* "<entity_type>/<entity_id>" */
    work_view data;
} work_output;

typedef enum work_log_level {
    WORK_LOG_DEBUG = 0,
    WORK_LOG_INFO = 1,
    WORK_LOG_WARN = 2,
    WORK_LOG_ERROR = 3,
} work_log_level;

/* What the host offers. Valid as long as the instance; call it only from within a call of yours. */
typedef struct work_host {
    uint32_t abi_version;
    uint32_t struct_size;
    void *ctx;
    /* Hands over an output; everything is copied. Only from process(). Sent when process() returns 0. */
    int32_t (*emit)(void *ctx, const work_output *output);
    void (*log)(void *ctx, int32_t level, const char *text);
    /* Says why a call is about to return failure. */
    void (*fail)(void *ctx, const char *reason);
    /* Top-level members of `data` when it is a map; 0 when there and of that type. */
    int32_t (*data_text)(const work_event *event, const char *key, work_view *out);
    int32_t (*data_int)(const work_event *event, const char *key, int64_t *out);
    int32_t (*data_bool)(const work_event *event, const char *key, int32_t *out);
    /* Any attribute or extension by name, as text; 0 when there. */
    int32_t (*attribute)(const work_event *event, const char *name, work_view *out);
} work_host;

typedef struct work_setting {
    const char *name, *value;
} work_setting;

typedef struct work_setup {
    uint32_t struct_size;
    uint32_t setting_count;
    const work_setting *settings;
    const char *worker;   /* its name */
    const char *scenario; /* the scenario it serves */
    const work_host *host;
} work_setup;

/* Reserved for strategies inside a Core. */
typedef struct work_strategy work_strategy;

typedef int32_t (*work_write)(void *ctx, const void *bytes, uint64_t len);

typedef struct work_plugin {
    uint32_t abi_version; /* WORK_ABI_VERSION */
    uint32_t struct_size; /* sizeof(work_plugin) */
    const char *name, *version;
    int32_t (*create)(void **instance, const work_setup *setup);
    void (*destroy)(void *instance);
    /* One event. now_ns: the scenario clock, the highest recorded time so far. */
    int32_t (*process)(void *instance, const work_event *event, int64_t now_ns);
    /* Optional, both or none: the state as bytes, and back into a fresh instance. */
    int32_t (*save)(void *instance, work_write write, void *ctx);
    int32_t (*load)(void *instance, const void *bytes, uint64_t len);
    const work_strategy *strategy; /* reserved: null */
} work_plugin;

/* Exported by the worker. host_abi: the newest version the host knows. Null: cannot be served. */
const work_plugin *work_plugin_table(uint32_t host_abi);

#ifdef __cplusplus
}
#endif

#endif
