// alloc: every allocation of this program, also of the libraries it calls and of libc itself, is counted and fails on
// command: this program's malloc family takes the place of libc's, or of the sanitizer's, to which it hands on.
// Thread: counts and commands are those of the calling thread.
#ifndef TEST_SUPPORT_ALLOC_ALLOC_H
#define TEST_SUPPORT_ALLOC_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

bool alloc_works(void);     // false: somebody else's family was in front of this one
uint64_t alloc_count(void); // allocations so far, the failed ones too
int64_t alloc_blocks(
    void); // allocated less freed, here: a difference of 0 is an operation that kept nothing
void alloc_fail_at(
    int n); // the n-th from now on fails (1-based), later ones succeed; 0: none fails
void alloc_fail_from(int n); // the n-th and every later one fails, until alloc_fail_at(0)
bool alloc_failed(void);     // whether that allocation was reached

#endif
