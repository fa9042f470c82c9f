// asyncapi: the AsyncAPI 3 document of the bus, from the table of streams and buckets and the event schemas.
// Pure but for reading the schema files. Thread: any. Source: schemas/specs/streams.md, "AsyncAPI".
#ifndef STORE_ASYNCAPI_H
#define STORE_ASYNCAPI_H

#include <stddef.h>

#include "bus/base/err.h"

// store_asyncapi_text makes the document (malloc'ed, ends with a line break). schemas: the folder of
// <entity>.<event>.schema.json files. version: of the product. Errors name the file.
bus_err store_asyncapi_text(char **out, size_t *len, const char *schemas, const char *version);

#endif
