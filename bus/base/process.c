#include "bus/base/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int64_t entries_of(const char *path)
{
    int64_t count = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return 0;
    for (const struct dirent *e; (e = readdir(folder));)
        count += e->d_name[0] != '.';
    closedir(folder);
    return count;
}

static int64_t resident_bytes(void)
{
    char text[128] = "";
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (!fgets(text, sizeof text, file) || sscanf(text, "%*s %lld", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

static int64_t nanoseconds(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000;
}

void bus_process_read(bus_process *out)
{
    struct rusage usage;
    struct rlimit files;
    memset(out, 0, sizeof *out);
    out->resident_bytes = resident_bytes();
    out->fds = entries_of("/proc/self/fd") - 1; // without the one that looks
    out->threads = entries_of("/proc/self/task");
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        out->cpu_ns = nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        out->fds_max = (int64_t)files.rlim_cur;
}
