#include "workhost/code.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/base/file.h"

bus_err work_code_hash(bus_view bytes, char out[WORK_SHA256_TEXT])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    if (!EVP_Digest(bytes.ptr, bytes.len, digest, &len, EVP_sha256(), NULL))
        return bus_fail(BUS_ENOMEM, "the hash of %zu bytes", bytes.len);
    for (unsigned int i = 0; i < len && i < 32; i++)
        sprintf(out + 2 * i, "%02x", digest[i]);
    return BUS_OK;
}

// Every folder of the path, as mkdir -p does.
static bus_err make_folder(const char *folder)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/", folder);
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return bus_fail(BUS_EIO, "folder '%s': %s", path, strerror(errno));
        *p = '/';
    }
    return BUS_OK;
}

bus_err work_code_put(const char *folder, bus_view bytes, char sha256[WORK_SHA256_TEXT])
{
    char path[1024];
    if (bytes.len == 0)
        return bus_fail(BUS_EINVAL, "the code is empty");
    if (bytes.len > WORK_CODE_BYTES_MAX)
        return bus_fail(BUS_ELIMIT, "the code has %zu bytes; the limit is %d", bytes.len,
                        WORK_CODE_BYTES_MAX);
    bus_err err = make_folder(folder);
    if (!err)
        err = work_code_hash(bytes, sha256);
    if (err)
        return err;
    snprintf(path, sizeof path, "%s/%s.so", folder, sha256);
    if (access(path, R_OK) == 0)
        return BUS_OK;                        // named by its content, so it is the same
    return bus_file_write(path, bytes, 0600); // code is known by its name alone: never half of it
}

bus_err work_code_put_file(const char *folder, const char *path, char sha256[WORK_SHA256_TEXT],
                           uint64_t *bytes)
{
    bus_err err = BUS_OK;
    struct stat st;
    char *text = NULL;
    FILE *file = fopen(path, "re");
    if (!file)
        return bus_fail(BUS_EIO, "code '%s': %s", path, strerror(errno));
    if (fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > WORK_CODE_BYTES_MAX) {
        err = bus_fail(BUS_EINVAL, "not a regular file of at most %d bytes", WORK_CODE_BYTES_MAX);
        goto done;
    }
    text = malloc((size_t)st.st_size + 1);
    if (!text) {
        err = bus_fail(BUS_ENOMEM, "code");
        goto done;
    }
    *bytes = fread(text, 1, (size_t)st.st_size, file);
    if (*bytes != (uint64_t)st.st_size) { // half of it would have a name like whole code
        err = bus_fail(BUS_EIO, "%llu of %lld bytes could be read", (unsigned long long)*bytes,
                       (long long)st.st_size);
        goto done;
    }
    err = work_code_put(folder, (bus_view){text, *bytes}, sha256);
done:
    free(text);
    fclose(file);
    return bus_note(err, "code '%s'", path);
}

bus_err work_code_path(const char *folder, const char *sha256, char *path, size_t cap)
{
    snprintf(path, cap, "%s/%s.so", folder, sha256);
    if (!*sha256 || access(path, R_OK) != 0)
        return bus_fail(BUS_ENOTFOUND, "code %s is not in '%s'", *sha256 ? sha256 : "(none)",
                        folder);
    return BUS_OK;
}
