#include "bus/nats/frame.h"

#include <stdlib.h>

typedef struct {
    uint32_t payload_len, lines_len;
    uint16_t subject_len, id_len;
} frame_head;

static const char start[] = "NATS/1.0\r\n", id_name[] = "Nats-Msg-Id: ", line_end[] = "\r\n";
enum { START_LEN = sizeof start - 1, ID_NAME_LEN = sizeof id_name - 1, END_LEN = 2, COLON_LEN = 2 };

bus_frame bus_frame_at(bus_view bytes)
{
    frame_head head;
    memcpy(&head, bytes.ptr, sizeof head);
    bus_frame f = {.subject = {bytes.ptr + sizeof head, head.subject_len}};
    f.id = (bus_view){f.subject.ptr + head.subject_len + 1, head.id_len};
    f.lines = (bus_view){f.id.ptr + head.id_len + 1, head.lines_len};
    f.payload = (bus_view){bytes.ptr + bytes.len - head.payload_len, head.payload_len};
    return f;
}

static size_t lines_len(const bus_frame_head *head)
{
    size_t len = 0;
    for (size_t i = 0; i < head->count; i++)
        len += strlen(head->headers[i].name) + strlen(head->headers[i].value) + COLON_LEN + END_LEN;
    return len;
}

size_t bus_frame_head_len(const bus_frame_head *head)
{
    return sizeof(frame_head) + strlen(head->subject) + 1 + (head->id ? strlen(head->id) : 0) + 1 +
           lines_len(head);
}

static char *append(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

static char *append_value(char *at, const char *value)
{
    for (; *value; value++)
        *at++ = *value == '\r' || *value == '\n' ? ' ' : *value;
    return at;
}

uint8_t *bus_frame_write_head(uint8_t *to, const bus_frame_head *head, uint32_t payload_len)
{
    frame_head h = {.payload_len = payload_len,
                    .lines_len = (uint32_t)lines_len(head),
                    .subject_len = (uint16_t)strlen(head->subject),
                    .id_len = (uint16_t)(head->id ? strlen(head->id) : 0)};
    memcpy(to, &h, sizeof h);
    char *at = append((char *)to + sizeof h, head->subject, h.subject_len);
    *at++ = '\0';
    if (head->id)
        at = append_value(at, head->id);
    *at++ = '\0';
    for (size_t i = 0; i < head->count; i++) {
        at = append(at, head->headers[i].name, strlen(head->headers[i].name));
        at = append(at, ": ", COLON_LEN);
        at = append_value(at, head->headers[i].value);
        at = append(at, line_end, END_LEN);
    }
    return (uint8_t *)at;
}

size_t bus_frame_block_len(const bus_frame *frame, bool with_id, bus_view more)
{
    size_t id = with_id && frame->id.len ? ID_NAME_LEN + frame->id.len + END_LEN : 0;
    size_t len = id + more.len + frame->lines.len;
    return len ? START_LEN + len + END_LEN : 0;
}

void bus_frame_block(char *at, const bus_frame *frame, bool with_id, bus_view more)
{
    at = append(at, start, START_LEN);
    if (with_id && frame->id.len) {
        at = append(at, id_name, ID_NAME_LEN);
        at = append(at, frame->id.ptr, frame->id.len);
        at = append(at, line_end, END_LEN);
    }
    if (more.len)
        at = append(at, more.ptr, more.len);
    at = append(at, frame->lines.ptr, frame->lines.len);
    append(at, line_end, END_LEN);
}
