// A worker's record (key worker.<name> of the bucket `workers`), and the same bytes as a URL of code: read or
// refused, never more.
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "workhost/fetch.h"
#include "workhost/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    work_record *record = NULL;
    work_url url;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    if (work_record_from_json(&record, (bus_view){text, size}) == BUS_OK)
        work_record_free(record);
    work_url_parse(&url, text);
    free(text);
    return 0;
}
