// simdjson_parse: one document by simdjson's DOM parser, for whoever compares with it.
#include <simdjson.h>

#include "test/bench/common/simdjson_parse.h"

const char *bench_simdjson_name(void)
{
    return "simdjson " SIMDJSON_VERSION_TEXT ", DOM";
}

int bench_simdjson_parse(const char *text, size_t len)
{
    static simdjson::dom::parser parser;
    simdjson::dom::element root;
    return parser.parse(text, len, false).get(root) == simdjson::SUCCESS ? 0 : -1;
}
