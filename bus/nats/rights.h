// rights: what the broker lets the user of a connection do, asked beforehand, so that nothing is tried that can only be
// refused. Internal to bus/nats. Thread: any. Source: schemas/specs/recording.md, "Buckets".
#ifndef BUS_NATS_RIGHTS_H
#define BUS_NATS_RIGHTS_H

#include <stdbool.h>

#include "bus/nats/conn.h"

// bus_rights_publish: may he publish on this subject? True also where the broker does not say.
bool bus_rights_publish(bus_conn *conn, const char *subject);
// bus_rights_read is the answer to it from what the broker says of a user (the answer of $SYS.REQ.USER.INFO).
bool bus_rights_read(bus_view info, const char *subject);

#endif
