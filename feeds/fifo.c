#include "feeds/fifo.h"

#include <stdlib.h>
#include <string.h>

void feed_fifo_init(feed_fifo *f, size_t bytes_max)
{
    *f = (feed_fifo){.max = bytes_max};
}

void feed_fifo_release(feed_fifo *f)
{
    free(f->bytes);
    *f = (feed_fifo){.max = f->max};
}

// Room for `need` more bytes at the tail: by moving what is left to the front, or by growing.
static bool make_room(feed_fifo *f, size_t need)
{
    size_t used = f->tail - f->head;
    if (used + need > f->max)
        return false;
    if (f->head > 0 && (used + need <= f->cap / 2 || f->cap >= f->max)) {
        memmove(f->bytes, f->bytes + f->head, used);
        f->tail = used;
        f->head = 0;
    }
    if (f->cap - f->tail >= need)
        return true;
    size_t cap = f->cap ? f->cap : 65536;
    while (cap - f->tail < need)
        cap *= 2;
    char *grown = realloc(f->bytes, cap);
    if (!grown)
        return false;
    f->bytes = grown;
    f->cap = cap;
    return true;
}

bool feed_fifo_push(feed_fifo *f, int64_t at, const bus_view piece[3])
{
    feed_fifo_head head = {
        at, {(uint32_t)piece[0].len, (uint32_t)piece[1].len, (uint32_t)piece[2].len}};
    size_t need = sizeof head + piece[0].len + piece[1].len + piece[2].len;
    if (f->cap - f->tail < need && !make_room(f, need))
        return false;
    if (feed_fifo_bytes(f) + need > f->max)
        return false;
    memcpy(f->bytes + f->tail, &head, sizeof head);
    f->tail += sizeof head;
    for (int i = 0; i < 3; i++) {
        if (piece[i].len)
            memcpy(f->bytes + f->tail, piece[i].ptr, piece[i].len);
        f->tail += piece[i].len;
    }
    f->count++;
    return true;
}

bool feed_fifo_front(const feed_fifo *f, feed_fifo_record *out)
{
    feed_fifo_head head;
    if (f->count == 0)
        return false;
    memcpy(&head, f->bytes + f->head, sizeof head);
    const char *at = f->bytes + f->head + sizeof head;
    out->at = head.at;
    for (int i = 0; i < 3; i++) {
        out->piece[i] = (bus_view){at, head.len[i]};
        at += head.len[i];
    }
    return true;
}

void feed_fifo_pop(feed_fifo *f)
{
    feed_fifo_head head;
    memcpy(&head, f->bytes + f->head, sizeof head);
    f->head += sizeof head + head.len[0] + head.len[1] + head.len[2];
    if (--f->count == 0)
        f->head = f->tail = 0;
}
