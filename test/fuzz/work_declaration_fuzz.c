// Any bytes as the declaration of a worker, YAML: read or refused; what was read becomes a record that is read again.
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "workhost/declaration.h"

static void read_again(const work_record *record)
{
    work_record *again = NULL;
    char *text = work_record_to_json(record);
    if (!text)
        return;
    if (work_record_from_json(&again, bus_view_of(text)) || strcmp(again->name, record->name) != 0)
        abort();
    work_record_free(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    work_record *record = NULL;
    char *code = NULL;
    if (fd < 0) {
        fd = memfd_create("declaration", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        return 0;
    if (work_declaration_read(&record, &code, path, "/workers"))
        return 0;
    if (!*record->name || !code || !record->input_count)
        abort();
    read_again(record);
    work_record_free(record);
    free(code);
    return 0;
}
