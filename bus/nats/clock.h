// clock: moves the program's virtual clock by what arrives on the subject of `--clock bus:<subject>`.
// Payload: the new instant as decimal nanoseconds since 1970. Who asks (a message with a reply subject) gets
// the instant the clock stands at, after it was set. Thread: the loop's, or the owner's who has no loop.
// Source: schemas/specs/recording.md, "Virtual clock".
#ifndef BUS_NATS_CLOCK_H
#define BUS_NATS_CLOCK_H

#include "bus/nats/conn.h"

typedef struct bus_clock_feed bus_clock_feed;

// bus_clock_feed_open: `setting` as in bus_daemon_settings.clock. With "machine" nothing is opened and *out is
// NULL. The program has switched to the virtual clock by then (bus_daemon_main does).
//   loop  NULL: the owner calls bus_clock_feed_poll itself
bus_err bus_clock_feed_open(bus_clock_feed **out, bus_conn *conn, bus_loop *loop,
                            const char *setting);
// bus_clock_feed_poll takes what has arrived; NULL is fine.
void bus_clock_feed_poll(bus_clock_feed *feed);
// bus_clock_is_fed: whether this setting is of the virtual clock.
bool bus_clock_is_fed(const char *setting);
void bus_clock_feed_close(bus_clock_feed *feed); // NULL is fine; before the connection and the loop
// bus_clock_instant_parse reads a payload: 1 to 19 digits and nothing else. BUS_EINVAL.
bus_err bus_clock_instant_parse(bus_view payload, bus_wall *out);

#endif
