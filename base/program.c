// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

enum { NAME_BYTES_MAX = 64 };

int program_find(const char *name, char path_out[PROGRAM_BYTES_MAX], struct err *err)
{
    static const char *const places[] = {"", "/../lib/minga"};
    char own[PROGRAM_BYTES_MAX - NAME_BYTES_MAX];
    ssize_t length_bytes = readlink("/proc/self/exe", own, sizeof(own) - 1);
    char *slash;

    CHECK(strlen(name) < NAME_BYTES_MAX / 2);
    if (length_bytes < 0) {
        return err_set(err, -errno, "/proc/self/exe: %m");
    }
    own[length_bytes] = '\0';
    slash = strrchr(own, '/');
    CHECK(slash != NULL);
    *slash = '\0';
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path_out, PROGRAM_BYTES_MAX, "%s%s/%s", own, places[i], name);
        if (access(path_out, X_OK) == 0) {
            return 0;
        }
    }
    return err_set(err, -ENOENT, "%s is not beside the program in %s", name, own);
}
