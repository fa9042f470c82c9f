// Any bytes as the saved state of the worker sma: loaded or refused; what was loaded is saved to be loaded again.
#include <stdlib.h>
#include <string.h>

#include "workhost/devkit/worker.h"

const work_plugin *work_plugin_table(uint32_t host_abi);

static void on_fail(void *ctx, const char *reason)
{
    (void)ctx;
    (void)reason;
}

static const work_plugin *table;
static const work_host host = {.fail = on_fail};

static void *given_worker(void)
{
    void *worker = NULL;
    work_setup setup = {.host = &host};
    table = work_plugin_table(WORK_ABI_VERSION);
    if (!table || table->create(&worker, &setup))
        abort();
    return worker;
}

static int32_t load_again(void *ctx, const void *bytes, uint64_t len)
{
    (void)ctx;
    void *other = given_worker();
    if (table->load(other, bytes, len))
        abort();
    table->destroy(other);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *worker = given_worker();
    if (table->load(worker, data, size) == 0)
        table->save(worker, load_again, NULL);
    table->destroy(worker);
    return 0;
}
