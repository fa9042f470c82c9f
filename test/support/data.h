// data: where the venue captures are. Source: test/README.md.
#ifndef TEST_SUPPORT_DATA_H
#define TEST_SUPPORT_DATA_H

#include <stdbool.h>

// test_data returns the path of a file of the captures, e.g. "binance_spot/btcusdt_20240808.gz"
// (kept until the process ends). Without captures the test ends as "skipped: no captures".
const char *test_data(const char *name);
bool test_have_data(void);
// test_tree returns the path of a file of the source tree, e.g. "test/feeds/venues/small.json".
const char *test_tree(const char *name);

#endif
