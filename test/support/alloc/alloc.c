#include "alloc.h"

#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local struct {
    uint64_t allocations;
    int64_t blocks;
    int left;           // allocations until the one that fails; 0: none does
    bool failed, stays; // stays: and all behind it
} here;

// What this family hands on to: the sanitizer's by the names that it has for that, or what glibc calls its own.
#ifdef TL_SANITIZED
#define REAL(name) __interceptor_##name
#else
#define REAL(name) __libc_##name
#endif

void *REAL(malloc)(size_t size);
void *REAL(calloc)(size_t count, size_t size);
void *REAL(realloc)(void *ptr, size_t size);
void *REAL(memalign)(size_t alignment, size_t size);
void REAL(free)(void *ptr);

static bool fails(void)
{
    here.allocations++;
    if (here.left == 0 || --here.left > 0)
        return false;
    here.left = here.stays ? 1 : 0;
    here.failed = true;
    errno = ENOMEM;
    return true;
}

static void *counted(void *ptr)
{
    here.blocks += ptr != NULL;
    return ptr;
}

void *malloc(size_t size)
{
    return fails() ? NULL : counted(REAL(malloc)(size));
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(REAL(calloc)(count, size));
}

void *realloc(void *ptr, size_t size)
{
    if (ptr && size == 0) { // a free, whatever it returns
        free(ptr);
        return NULL;
    }
    if (fails())
        return NULL;
    void *moved = REAL(realloc)(ptr, size);
    here.blocks += !ptr && moved;
    return moved;
}

void *reallocarray(void *ptr, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(ptr, bytes);
}

void *memalign(size_t alignment, size_t size)
{
    return fails() ? NULL : counted(REAL(memalign)(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *ptr = memalign(alignment, size);
    if (!ptr)
        return ENOMEM;
    *out = ptr;
    return 0;
}

void free(void *ptr)
{
    int kept = errno;
    here.blocks -= ptr != NULL;
    REAL(free)(ptr);
    errno = kept;
}

#ifdef TL_SANITIZED
// The sanitizers' own do not call malloc.
char *strndup(const char *text, size_t len_max)
{
    size_t len = strnlen(text, len_max);
    char *copy = malloc(len + 1);
    if (!copy)
        return NULL;
    copy[len] = '\0';
    return memcpy(copy, text, len);
}

char *strdup(const char *text)
{
    return strndup(text, strlen(text));
}
#endif

bool alloc_works(void)
{
    uint64_t before = alloc_count();
    char *copy = strdup("a call of libc's own"); // it allocates inside of the library
    free(copy);
    return alloc_count() == before + 1;
}

uint64_t alloc_count(void)
{
    return here.allocations;
}

int64_t alloc_blocks(void)
{
    return here.blocks;
}

void alloc_fail_at(int n)
{
    here.left = n;
    here.failed = here.stays = false;
}

void alloc_fail_from(int n)
{
    alloc_fail_at(n);
    here.stays = true;
}

bool alloc_failed(void)
{
    return here.failed;
}
