// Any bytes as a server's answer to a GET of `lane`, as they stand and from a socket: its body is JSON, or there is none.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/http.h"
#include "played_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int status;
    json_t *body = NULL;
    char *answer = malloc(size + 1);
    if (!answer)
        return 0;
    if (size)
        memcpy(answer, data, size);
    answer[size] = '\0';
    if (lane_http_answer_read(answer, size, &status, &body) == BUS_OK)
        json_decref(body);
    free(answer);
    body = NULL;
    peer_says = (bus_view){(const char *)data, size};
    if (lane_http_json(1, "/x", &status, &body) == BUS_OK)
        json_decref(body);
    return 0;
}
