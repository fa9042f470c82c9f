// native: shared objects of the C ABI in workhost/devkit/worker.h.
// Source: schemas/specs/workers.md, "Native engine".
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "workhost/engines/engine.h"

typedef struct {
    void *handle;
    work_plugin table; // a copy, with zeros for what the worker's own does not cover
} native_code;

typedef struct {
    const work_plugin *table;
    void *self;
} native_instance;

static bus_err check_table(const work_plugin *given)
{
    if (!given)
        return bus_fail(BUS_EINVAL, "'%s' refused the host's ABI version %u", WORK_ENTRY,
                        WORK_ABI_VERSION);
    if (given->abi_version != WORK_ABI_VERSION)
        return bus_fail(BUS_EINVAL, "the worker's ABI version is %u; the host knows %u",
                        given->abi_version, WORK_ABI_VERSION);
    if (given->struct_size < offsetof(work_plugin, process) + sizeof given->process)
        return bus_fail(BUS_EINVAL, "the worker's table has %u bytes and ends before 'process'",
                        given->struct_size);
    if (!given->create || !given->destroy || !given->process)
        return bus_fail(BUS_EINVAL, "the worker's table lacks create, destroy or process");
    return BUS_OK;
}

static bus_err native_load(void **out, const char *path)
{
    bus_err err = BUS_OK;
    native_code *code = calloc(1, sizeof *code);
    if (!code)
        return bus_fail(BUS_ENOMEM, "native code");
    code->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!code->handle) {
        err = bus_fail(BUS_EINVAL, "not a shared object for this machine: %s", dlerror());
        goto done;
    }
    const work_plugin *(*entry)(uint32_t) = NULL;
    void *symbol = dlsym(code->handle, WORK_ENTRY);
    if (!symbol) {
        err = bus_fail(BUS_EINVAL, "it does not export '%s'", WORK_ENTRY);
        goto done;
    }
    memcpy(&entry, &symbol, sizeof entry); // ISO C has no cast from an object to a function
    const work_plugin *given = entry(WORK_ABI_VERSION);
    err = check_table(given);
    if (err)
        goto done;
    size_t size = given->struct_size < sizeof code->table ? given->struct_size : sizeof code->table;
    memcpy(&code->table, given, size);
    if (!code->table.save != !code->table.load) {
        err = bus_fail(BUS_EINVAL, "the worker's table has one of save and load without the other");
        goto done;
    }
    *out = code;
    code = NULL;
done:
    if (code && code->handle)
        dlclose(code->handle);
    free(code);
    return err;
}

static void native_unload(void *ctx)
{
    native_code *code = ctx;
    dlclose(code->handle);
    free(code);
}

static bus_err native_create(void **out, void *ctx, const work_setup *setup)
{
    native_code *code = ctx;
    native_instance *instance = calloc(1, sizeof *instance);
    if (!instance)
        return bus_fail(BUS_ENOMEM, "native instance");
    instance->table = &code->table;
    if (code->table.create(&instance->self, setup) != 0) {
        free(instance);
        return bus_fail(BUS_EINVAL, "the worker refused to be created and gave no reason");
    }
    *out = instance;
    return BUS_OK;
}

static void native_destroy(void *ctx)
{
    native_instance *instance = ctx;
    instance->table->destroy(instance->self);
    free(instance);
}

static int32_t native_process(void *ctx, const work_event *event, int64_t now_ns)
{
    native_instance *instance = ctx;
    return instance->table->process(instance->self, event, now_ns);
}

static bool native_can_save(void *ctx)
{
    native_instance *instance = ctx;
    return instance->table->save != NULL;
}

static int32_t native_save(void *ctx, work_write write, void *write_ctx)
{
    native_instance *instance = ctx;
    return instance->table->save(instance->self, write, write_ctx);
}

static int32_t native_load_state(void *ctx, const void *bytes, uint64_t len)
{
    native_instance *instance = ctx;
    return instance->table->load(instance->self, bytes, len);
}

const work_engine work_engine_native = {
    .mime = "application/x-native-dll",
    .load = native_load,
    .unload = native_unload,
    .create = native_create,
    .destroy = native_destroy,
    .process = native_process,
    .can_save = native_can_save,
    .save = native_save,
    .load_state = native_load_state,
};
