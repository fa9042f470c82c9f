// The plan a runtime gets: read or refused, never more.
#include <stddef.h>

#include "workhost/runtime/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    work_plan plan;
    if (work_plan_parse(&plan, (const char *)data, size) == BUS_OK)
        work_plan_release(&plan);
    return 0;
}
