// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/config/config_folder.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/mingad/config/private_group.h"
#include "base/bytes.h"

static int check_folder(const char *path, bool holds_it, struct err *err)
{
    struct stat status;

    if (stat(path, &status) < 0) {
        return err_set(err, -errno, "%s: %m", path);
    }
    if (status.st_uid != 0 && status.st_uid != geteuid()) {
        err_set(err, -EPERM,
                "%s: this folder belongs to user %u, who could change what this machine gives",
                path, status.st_uid);
        return err_hint(err, "chown root %s", path);
    }
    if ((holds_it || (status.st_mode & S_ISVTX) == 0) && others_can_write(&status)) {
        err_set(err, -EPERM,
                "%s: others can write to this folder, and so change what this machine gives", path);
        return err_hint(err, "chmod go-w %s", path);
    }
    return 0;
}

/* `folder`, and each one above it: it is cut on the way. */
static int check_up(char *folder, struct err *err)
{
    int r = check_folder(folder, true, err);

    while (r == 0 && strcmp(folder, "/") != 0) {
        char *slash = strrchr(folder, '/');

        slash[slash == folder ? 1 : 0] = '\0';
        r = check_folder(folder, false, err);
    }
    return r;
}

/* The last step of `path` is left out; what is before it is not empty afterwards. */
static void cut_last(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash == NULL) {
        path[0] = '.';
        path[1] = '\0';
    } else {
        slash[slash == path ? 1 : 0] = '\0';
    }
}

int config_check_folders(const char *path, struct err *err)
{
    char folder[PATH_MAX];
    char resolved[PATH_MAX];
    int r = text_copy(folder, sizeof(folder), path);

    if (r < 0) {
        return err_set(err, -ENAMETOOLONG, "%s: %s", path, err_text(-ENAMETOOLONG));
    }
    cut_last(folder);
    if (realpath(folder, resolved) == NULL) {
        return err_set(err, -errno, "%s: %m", folder);
    }
    r = check_up(resolved, err);
    if (r < 0) {
        return r;
    }
    /* Where it is a link, also those of the file. */
    if (realpath(path, resolved) == NULL) {
        return err_set(err, -errno, "%s: %m", path);
    }
    cut_last(resolved);
    return check_up(resolved, err);
}
