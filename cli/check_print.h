// check_print: the figures of `lane feed check` for people. Thread: main.
#ifndef CLI_CHECK_PRINT_H
#define CLI_CHECK_PRINT_H

#include <jansson.h>

void lane_check_print(json_t *figures); // takes over

#endif
