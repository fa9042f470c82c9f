#include "bus/nats/frame.h"

#include <stdlib.h>

typedef struct {
    uint32_t payload_len;
    uint16_t subject_len, headers;
} frame_head;

enum {
    START_LEN = 14,
    LINE_LEN = 2
}; // "NATS/1.0" and the line ends around all; ": " and line end less two NULs

bus_frame bus_frame_at(bus_view bytes)
{
    frame_head head;
    memcpy(&head, bytes.ptr, sizeof head);
    bus_frame f = {.subject = bytes.ptr + sizeof head, .count = head.headers};
    f.headers = f.subject + head.subject_len + 1;
    f.payload = (bus_view){bytes.ptr + bytes.len - head.payload_len, head.payload_len};
    size_t texts = (size_t)(f.payload.ptr - f.headers);
    f.headers_len = head.headers ? texts + (size_t)head.headers * LINE_LEN + START_LEN : 0;
    return f;
}

size_t bus_frame_head_len(const char *subject, const bus_header_pair *headers, size_t count)
{
    size_t len = sizeof(frame_head) + strlen(subject) + 1;
    for (size_t i = 0; i < count; i++)
        len += strlen(headers[i].name) + strlen(headers[i].value) + 2;
    return len;
}

static uint8_t *append(uint8_t *at, const char *text)
{
    size_t len = strlen(text) + 1;
    memcpy(at, text, len);
    return at + len;
}

uint8_t *bus_frame_write_head(uint8_t *at, const char *subject, const bus_header_pair *headers,
                              size_t count, uint32_t payload_len)
{
    frame_head head = {.payload_len = payload_len,
                       .subject_len = (uint16_t)strlen(subject),
                       .headers = (uint16_t)count};
    memcpy(at, &head, sizeof head);
    at = append(at + sizeof head, subject);
    for (size_t i = 0; i < count; i++) {
        at = append(at, headers[i].name);
        at = append(at, headers[i].value);
    }
    return at;
}

bus_view bus_frame_id(const bus_frame *frame)
{
    const char *at = frame->headers;
    for (uint16_t i = 0; i < frame->count; i++) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, "Nats-Msg-Id") == 0)
            return bus_view_of(value);
        at = value + strlen(value) + 1;
    }
    return (bus_view){0};
}
