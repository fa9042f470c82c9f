// alloc: allocations of the library under test that fail on command (the linker wraps them).
#ifndef TEST_BUS_BASE_ALLOC_H
#define TEST_BUS_BASE_ALLOC_H

// The n-th allocation from now on fails (1-based), later ones succeed; 0: none fails.
void alloc_fail_at(int n);
// Whether that allocation was reached.
int alloc_failed(void);

#endif
