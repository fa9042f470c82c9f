#include "bus/nats/denied.h"

#include <string.h>

void bus_denied_init(bus_denied *d, bus_wake wake)
{
    bus_gate_init(&d->gate);
    d->wake = wake;
}

void bus_denied_release(bus_denied *d)
{
    bus_gate_release(&d->gate);
}

void bus_denied_anew(bus_denied *d)
{
    bus_gate_lock(&d->gate);
    d->since = d->count;
    bus_gate_unlock(&d->gate);
}

static const char *find(bus_view text, const char *words)
{
    return text.len ? memmem(text.ptr, text.len, words, strlen(words)) : NULL;
}

// Permissions Violation for Publish to "a.b"; … for Subscription to "a.b" using queue "q". The quotes at the very end
// may be missing: the library takes them for those around all of it.
static bool read_subject(bus_view words, bus_view *subject)
{
    static const char violation[] = "ermissions Violation", to[] = " to \"";
    if (!find(words, violation))
        return false;
    const char *at = find(words, to), *end = words.ptr + words.len;
    if (!at)
        return false;
    at += sizeof to - 1;
    const char *quote = memchr(at, '"', (size_t)(end - at));
    *subject = (bus_view){at, (size_t)((quote ? quote : end) - at)};
    return subject->len > 0;
}

// Holds the gate.
static bool find_on_link(const bus_denied *d, const char *subject, uint64_t after)
{
    uint64_t i = after > d->since ? after : d->since;
    if (d->count > BUS_DENIED_MAX && i < d->count - BUS_DENIED_MAX)
        i = d->count - BUS_DENIED_MAX;
    for (; i < d->count; i++)
        if (strcmp(d->subject[i % BUS_DENIED_MAX], subject) == 0)
            return true;
    return false;
}

bool bus_denied_note(bus_denied *d, bus_view words)
{
    bus_view view;
    char subject[BUS_SUBJECT_BUF];
    if (!read_subject(words, &view) || !bus_view_copy(view, subject, sizeof subject))
        return true;
    bus_gate_lock(&d->gate);
    bool known = find_on_link(d, subject, 0);
    memcpy(d->subject[d->count++ % BUS_DENIED_MAX], subject, sizeof subject);
    bus_gate_signal(&d->gate);
    bus_gate_unlock(&d->gate);
    if (d->wake.fn)
        d->wake.fn(d->wake.ctx);
    return !known;
}

uint64_t bus_denied_count(bus_denied *d)
{
    bus_gate_lock(&d->gate);
    uint64_t count = d->count;
    bus_gate_unlock(&d->gate);
    return count;
}

bool bus_denied_wait(bus_denied *d, bus_span timeout)
{
    bus_mono until = bus_mono_add(bus_machine_mono(), timeout);
    bus_gate_lock(&d->gate);
    while (d->count == d->since && bus_gate_wait(&d->gate, until))
        ;
    bool said = d->count > d->since;
    bus_gate_unlock(&d->gate);
    return said;
}

bool bus_denied_has(bus_denied *d, const char *subject, uint64_t after)
{
    bus_gate_lock(&d->gate);
    bool found = find_on_link(d, subject, after);
    bus_gate_unlock(&d->gate);
    return found;
}
