// config_value: one setting's text as its typed value, and the text of its rule. Part of config.h.
// Thread: any. Source: schemas/specs/daemons.md, "Settings".
#ifndef BUS_BASE_CONFIG_VALUE_H
#define BUS_BASE_CONFIG_VALUE_H

#include "bus/base/config.h"

// Writes the value of `text` to the row's field in settings. TEXT keeps the pointer; LIST is not for
// this function. Errors: BUS_EINVAL naming the setting, the text (never a secret's) and the rule.
bus_err bus_config_value_set(const bus_config_row *row, const char *text, void *settings);
// The range as text, "1..65536" or "1ms..10m"; "" when there is none.
void bus_config_value_range(const bus_config_row *row, char *buf, size_t cap);
// What stands for the value in --help: "N", "TIME", …; "" for BOOL.
const char *bus_config_value_sign(const bus_config_row *row);
// ack_window -> --ack-window without the dashes in front.
void bus_config_flag_name(const char *name, char *buf, size_t cap);
// ack_window -> TRADELANE_FEEDD_ACK_WINDOW; without the program when it is shared by all.
void bus_config_env_name(const char *program, const char *name, bool shared, char *buf, size_t cap);

#endif
