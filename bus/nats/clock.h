// clock: moves the program's virtual clock by what arrives on the subject of `--clock bus:<subject>`.
// Payload: the new instant as decimal nanoseconds since 1970. Who asks (a message with a reply subject) gets
// the instant the clock stands at, after it was set. Thread: the loop's.
// Source: schemas/specs/recording.md, "Virtual clock".
#ifndef BUS_NATS_CLOCK_H
#define BUS_NATS_CLOCK_H

#include "bus/nats/conn.h"

typedef struct bus_clock_feed bus_clock_feed;

// bus_clock_feed_open: `setting` as in bus_daemon_settings.clock. With "machine" nothing is opened and *out is
// NULL. The daemon frame has switched to the virtual clock by then (bus_daemon_main does).
bus_err bus_clock_feed_open(bus_clock_feed **out, bus_conn *conn, bus_loop *loop,
                            const char *setting);
void bus_clock_feed_close(bus_clock_feed *feed); // NULL is fine; before the connection and the loop
// bus_clock_instant_parse reads a payload: 1 to 19 digits and nothing else. BUS_EINVAL.
bus_err bus_clock_instant_parse(bus_view payload, bus_wall *out);

#endif
