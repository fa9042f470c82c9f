#include "bus/lane/lane.h"
