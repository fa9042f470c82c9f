// secrets: what keeps passwords where they belong. A URL with a login in it is found, a file with loose permissions
// is named, a process that holds a secret leaves no core dump.
// Thread: main, before others start. Source: schemas/specs/access.md, "Credentials".
#ifndef BUS_BASE_SECRETS_H
#define BUS_BASE_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

// Whether one of the comma-separated URLs has a user or password before its host.
bool bus_secrets_in_url(const char *urls);

typedef enum {
    BUS_FILE_ANY,     // nothing depends on it
    BUS_FILE_SECRET,  // only its owner may read it
    BUS_FILE_TRUSTED, // only its owner may write it
} bus_file_use;

// bus_secrets_loose: whether others may do with the file what they must not; `why` then names file, mode and
// remedy. A file that is not there is not loose.
bool bus_secrets_loose(const char *path, bus_file_use use, char *why, size_t why_cap);

// bus_secrets_protect: no new privileges; where a secret is held, no core dump and no debugger of the same user.
void bus_secrets_protect(bool held);

// bus_secrets_wipe removes a variable from the environment, and its text from where /proc shows it.
void bus_secrets_wipe(const char *name);

#endif
