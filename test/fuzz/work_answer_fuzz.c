// Any bytes as a web server's answer to the request for code: the body lies within, or it is refused.
#include <stdlib.h>

#include "workhost/fetch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t body = 0;
    if (work_answer_read((bus_view){(const char *)data, size}, "host", &body) == BUS_OK &&
        body > size)
        abort();
    return 0;
}
