// counter: every allocation of this program, also of the libraries it calls and of libc itself: this program's
// malloc family takes the place of libc's. Thread: counts are per thread.
#ifndef TEST_FEEDS_MALLOCS_COUNTER_H
#define TEST_FEEDS_MALLOCS_COUNTER_H

#include <stdbool.h>
#include <stdint.h>

bool counter_works(void);           // false: this build's allocator is the sanitizer's
uint64_t counter_allocations(void); // of the calling thread so far

#endif
