// time: the four kinds of time, one type each, all in nanoseconds; and the only clock of the program.
// Instants are since 1970-01-01T00:00:00Z. Thread: any. Source: schemas/specs/daemons.md, "Time".
#ifndef BUS_BASE_TIME_H
#define BUS_BASE_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/base/err.h"
#include "bus/base/view.h"

typedef struct {
    int64_t ns;
} bus_wall; // real instant: publish time, lease, log lines
typedef struct {
    int64_t ns;
} bus_recorded_time; // receive instant at the socket; replay paces on it
typedef struct {
    int64_t ns;
} bus_event_time; // the venue's own time of what happened
typedef struct {
    int64_t ns;
} bus_mono; // monotonic instant, unrelated to 1970
typedef struct {
    int64_t ns;
} bus_span; // a length of time

#define BUS_SPAN_MS(n) ((bus_span){(int64_t)(n)*1000000})
#define BUS_SPAN_S(n)  ((bus_span){(int64_t)(n)*1000000000})

// The clock is the machine's until bus_clock_virtual is called (before any thread is started).
// A virtual clock stands still until bus_clock_set moves it; it never goes back. Whoever waits on
// time registers with bus_clock_on_change (bus/base/loop does) and is called by bus_clock_set.
bus_wall bus_now_wall(void);
bus_mono bus_now_mono(void);     // under a virtual clock: the same instant as the wall clock's
bus_mono bus_machine_mono(void); // never virtual: limits on real waiting (shutdown, start-up)
void bus_clock_virtual(bus_wall start);
bool bus_clock_is_virtual(void);
// bus_clock_is_told: false while a virtual clock stands at 0: what happens now has no date.
bool bus_clock_is_told(void);
void bus_clock_set(bus_wall now);
void bus_clock_on_change(void (*fn)(void *ctx), void *ctx);  // at most 16 listeners; must not block
void bus_clock_off_change(void (*fn)(void *ctx), void *ctx); // does not return while fn runs

static inline bus_mono bus_mono_add(bus_mono t, bus_span d)
{
    return (bus_mono){t.ns + d.ns};
}
static inline bus_span bus_mono_since(bus_mono now, bus_mono then)
{
    return (bus_span){now.ns - then.ns};
}

enum { BUS_TIME_TEXT = 36 }; // "2024-08-08T23:54:13.937085768Z" and a NUL fit
// bus_time_format writes RFC 3339, UTC, always nine fractional digits; returns the length (30).
// Years outside 1..9999 do not occur: ns is clamped to what int64 holds (1677..2262).
int bus_time_format(int64_t ns, char buf[BUS_TIME_TEXT]);
// bus_time_parse reads RFC 3339 with any offset and 0..9 fractional digits (more are refused).
bus_err bus_time_parse(bus_view text, int64_t *ns);
// bus_span_parse reads "250us" "15ms" "1.5s" "10m" "24h"; a bare number is refused (no unit).
bus_err bus_span_parse(bus_view text, bus_span *out);

#endif
