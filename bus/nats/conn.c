#include "bus/nats/conn.h"
