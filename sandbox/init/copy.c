// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init/copy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sandbox/tree_copy.h"

static void say(void *context, const char *path, const char *why)
{
    (void)context;
    dprintf(STDERR_FILENO, "%s: left out: %s\n", path, why);
}

/* The disk's size bounds what comes, the service's rights what goes. */
static struct tree_copy unbounded(void)
{
    return (struct tree_copy){.say = say, .bytes_max = UINT64_MAX};
}

static int judge(const struct tree_copy *copy, int result, struct err *err)
{
    if (result == 0 && copy->left_out_count > 0) {
        return err_set(err, -EPERM, "%u left out", copy->left_out_count);
    }
    return result;
}

int copy_fetch(const char *path, struct err *err)
{
    struct tree_copy copy = unbounded();
    int r = tree_send(&copy, path, STDOUT_FILENO, err);

    return judge(&copy, r, err);
}

int copy_store(const char *path, const char *name, struct err *err)
{
    char leaf[TREE_COPY_NAME_BYTES] = "";
    struct tree_copy copy = unbounded();

    if (strchr(name, '/') != NULL || strcmp(name, "..") == 0) {
        return err_set(err, -EINVAL, "%s: not a name", name);
    }
    CLEANUP(cleanup_close) int folder_fd = tree_copy_place(path, name, leaf, err);
    int r = folder_fd < 0 ? folder_fd : tree_receive(&copy, STDIN_FILENO, folder_fd, leaf, err);

    return judge(&copy, r, err);
}
