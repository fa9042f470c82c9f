// credit: flow control of a replay as two pure state machines, without I/O: the replay's side decides how
// far it may send, the participant's side proves what it has received. The daemons and the model test run
// the same code. Source: schemas/specs/replay.md, "Credit".
#ifndef BUS_NATS_CREDIT_H
#define BUS_NATS_CREDIT_H
// (declared by its owner; see schemas/specs/replay.md)
#endif
