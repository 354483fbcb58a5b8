// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void cleanup_close(const int *fd)
{
    int saved_errno = errno;

    if (*fd >= 0) {
        close(*fd);
    }
    errno = saved_errno;
}

void cleanup_free(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

void cleanup_fclose(void *pointer_to_file)
{
    int saved_errno = errno;
    FILE *file = *(FILE **)pointer_to_file;

    if (file != NULL) {
        fclose(file);
    }
    errno = saved_errno;
}

void cleanup_closedir(void *pointer_to_dir)
{
    int saved_errno = errno;
    DIR *dir = *(DIR **)pointer_to_dir;

    if (dir != NULL) {
        closedir(dir);
    }
    errno = saved_errno;
}

int take_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}
