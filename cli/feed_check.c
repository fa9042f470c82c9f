#include "cli/session.h"
#include "cli/verbs.h"
const lane_verb lane_feed_verbs[] = {{0}};
