// broken: shared objects that a host must refuse; BROKEN says how.
#include "workhost/devkit/worker.h"

enum { NO_ENTRY = 1, OTHER_ABI, SHORT_TABLE, NO_PROCESS, HALF_STATE, NULL_TABLE };

#if BROKEN == 1
int unrelated(void);
int unrelated(void)
{
    return 0;
}
#else

static int32_t create(void **out, const work_setup *setup)
{
    (void)setup;
    *out = (void *)1;
    return 0;
}

static void destroy(void *self)
{
    (void)self;
}

static int32_t process(void *self, const work_event *event, int64_t now_ns)
{
    (void)self;
    (void)event;
    (void)now_ns;
    return 0;
}

static int32_t save(void *self, work_write write, void *ctx)
{
    (void)self;
    return write(ctx, "", 0);
}

const work_plugin *work_plugin_table(uint32_t host_abi)
{
    static const work_plugin table = {
        .abi_version = BROKEN == OTHER_ABI ? 7 : WORK_ABI_VERSION,
        .struct_size = BROKEN == SHORT_TABLE ? 24 : sizeof table,
        .name = "broken",
        .version = "1",
        .create = create,
        .destroy = destroy,
        .process = BROKEN == NO_PROCESS ? 0 : process,
        .save = BROKEN == HALF_STATE ? save : 0,
    };
    (void)host_abi;
    return BROKEN == NULL_TABLE ? 0 : &table;
}
#endif
