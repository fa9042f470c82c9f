// memory: the few allocations that can be neither done without nor told as an error: values of JSON, which are built and
// read piece by piece and would be taken for whole; what would leave a book wrong; where a command connects to. There the
// process ends, by name; everywhere else a failed allocation is BUS_ENOMEM.
// Thread: any. Source: schemas/specs/daemons.md, "Memory".
#ifndef BUS_BASE_MEMORY_H
#define BUS_BASE_MEMORY_H

#include <stddef.h>

void *bus_memory(void *ptr, size_t bytes, const char *what); // as realloc, but never NULL
char *bus_memory_copy(const char *text, const char *what);
_Noreturn void bus_memory_out(size_t bytes, const char *what);
// bus_memory_json: from now on every value of JSON of this process comes from bus_memory. First thing in main.
void bus_memory_json(void);

#endif
