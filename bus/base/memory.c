#include "bus/base/memory.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bus/base/log.h"

void bus_memory_out(size_t bytes, const char *what)
{
    bus_error("out of memory: %s, %zu bytes; this process ends", what, bytes);
    abort();
}

void *bus_memory(void *ptr, size_t bytes, const char *what)
{
    void *got = realloc(ptr, bytes ? bytes : 1);
    if (!got)
        bus_memory_out(bytes, what);
    return got;
}

char *bus_memory_copy(const char *text, const char *what)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(bus_memory(NULL, bytes, what), text, bytes);
}

static void *for_json(size_t bytes)
{
    return bus_memory(NULL, bytes, "a value of JSON");
}

void bus_memory_json(void)
{
    json_set_alloc_funcs(for_json, free);
}
