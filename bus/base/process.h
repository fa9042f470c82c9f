// process: what the operating system says of this process. Thread: any; reads /proc, so not on the path of an
// event.
#ifndef BUS_BASE_PROCESS_H
#define BUS_BASE_PROCESS_H

#include <stdint.h>

typedef struct {
    int64_t resident_bytes, cpu_ns; // cpu: user and system, of all threads
    int64_t fds, fds_max, threads;  // descriptors open, and how many may be
} bus_process;

void bus_process_read(bus_process *out); // what cannot be read is 0

#endif
