#include "counter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef TL_SANITIZED

bool counter_works(void)
{
    return false;
}

uint64_t counter_allocations(void)
{
    return 0;
}

#else

// What glibc calls its own.
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *ptr);

static _Thread_local uint64_t allocations;

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *ptr, size_t size)
{
    allocations++;
    return __libc_realloc(ptr, size);
}

void *memalign(size_t alignment, size_t size)
{
    allocations++;
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    *out = memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

void free(void *ptr)
{
    __libc_free(ptr);
}

bool counter_works(void)
{
    uint64_t before = counter_allocations();
    char *copy = strdup("a call of libc's own"); // it allocates inside of the library
    free(copy);
    return counter_allocations() == before + 1;
}

uint64_t counter_allocations(void)
{
    return allocations;
}

#endif
