// simdjson_parse: one document by simdjson's DOM parser, for whoever compares with it. There when libsimdjson-dev and a
// C++ compiler are (TL_SIMDJSON is defined then). Thread: one.
#ifndef TEST_BENCH_COMMON_SIMDJSON_PARSE_H
#define TEST_BENCH_COMMON_SIMDJSON_PARSE_H

#include <stddef.h>

enum { BENCH_SIMDJSON_PADDING = 64 }; // readable bytes behind the text

#ifdef __cplusplus
extern "C" {
#endif
const char *bench_simdjson_name(void);
int bench_simdjson_parse(const char *text, size_t len); // 0: it is JSON
#ifdef __cplusplus
}
#endif

#endif
