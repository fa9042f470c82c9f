// engine: how code of one MIME type becomes instances that take events. One ops table an engine; the
// conformance suite (test/workhost/engines) runs over all of them. Adding one: a file here and a line in
// engine.c. Thread: the one that loads. Source: schemas/specs/workers.md, "Native engine".
#ifndef WORKHOST_ENGINES_ENGINE_H
#define WORKHOST_ENGINES_ENGINE_H

#include "bus/base/err.h"
#include "bus/event/event.h"
#include "workhost/devkit/worker.h"

enum {
    WORK_OUTPUTS_MAX = 16384,          // a call
    WORK_OUTPUT_BYTES_MAX = 8 << 20,   // a call
    WORK_OUTPUT_DATA_MAX = 60 * 1024,  // one output, so that the whole event stays within its bound
    WORK_STATE_BYTES_MAX = 384 * 1024, // saved state
    WORK_SETTINGS_MAX = 64,
};

// An output as the host keeps it: views into the instance's arena, until the next call.
typedef struct {
    bus_view lane, topic, type, subject;
    bus_view data; // packed
} work_result;

typedef struct work_code work_code;         // loaded code
typedef struct work_instance work_instance; // one worker in one scenario

typedef struct {
    const char *worker, *scenario;
    const work_setting *settings;
    uint32_t setting_count;
} work_instance_opts;

// One event as the engine's caller has it.
typedef struct {
    uint64_t seq;
    bus_view topic;
    const bus_event *event;
} work_input;

typedef struct {
    const char *mime;
    // load: errors are BUS_EINVAL with the reason (no entry, wrong ABI, …).
    bus_err (*load)(void **code, const char *path);
    void (*unload)(void *code);
    bus_err (*create)(void **instance, void *code, const work_setup *setup);
    void (*destroy)(void *instance);
    int32_t (*process)(void *instance, const work_event *event, int64_t now_ns);
    bool (*can_save)(void *instance);
    int32_t (*save)(void *instance, work_write write, void *ctx);
    int32_t (*load_state)(void *instance, const void *bytes, uint64_t len);
} work_engine;

const work_engine *work_engine_for(const char *mime); // NULL: none has it

bus_err work_code_load(work_code **out, const work_engine *engine, const char *path);
void work_code_release(work_code *code); // after its instances

bus_err work_instance_open(work_instance **out, work_code *code, const work_instance_opts *opts);
void work_instance_close(work_instance *instance);
// work_instance_process: BUS_EINVAL with the worker's reason when the call failed or gave what is no
// output; then there are no results.
bus_err work_instance_process(work_instance *instance, const work_input *input, int64_t now_ns,
                              const work_result **results, uint32_t *count);
bool work_instance_can_save(const work_instance *instance);
// The state's bytes, in the instance's buffer until the next save. BUS_ELIMIT beyond WORK_STATE_BYTES_MAX.
bus_err work_instance_save(work_instance *instance, bus_view *state);
bus_err work_instance_load(work_instance *instance, bus_view state); // into a fresh instance

extern const work_engine work_engine_native;

#endif
