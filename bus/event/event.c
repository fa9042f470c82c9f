#include "bus/event/event.h"
