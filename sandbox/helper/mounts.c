// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { KERNEL_WORDS_BYTES_MAX = 200 };

/* What the kernel wrote into the file system context, without its "e " and newline. */
static void kernel_words(int context_fd, char words_out[KERNEL_WORDS_BYTES_MAX])
{
    ssize_t count_bytes = read(context_fd, words_out, KERNEL_WORDS_BYTES_MAX - 1);

    words_out[count_bytes < 0 ? 0 : count_bytes] = '\0';
    words_out[strcspn(words_out, "\n")] = '\0';
}

static int context_error(int context_fd, const char *type, const char *doing, struct err *err)
{
    char words[KERNEL_WORDS_BYTES_MAX];
    int code = -errno;

    kernel_words(context_fd, words);
    errno = -code;
    return err_set(err, code, "mount %s: %s: %m%s%s", type, doing, *words == '\0' ? "" : ": ",
                   words);
}

int mount_make(const char *type, const struct mount_option *options, uint64_t attributes,
               struct err *err)
{
    CLEANUP(cleanup_close) int context_fd = fsopen(type, FSOPEN_CLOEXEC);

    if (context_fd < 0) {
        return err_set(err, -errno, "mount %s: %m", type);
    }
    for (; options->name != NULL; options++) {
        unsigned int command = options->value == NULL ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;

        if (fsconfig(context_fd, command, options->name, options->value, 0) < 0) {
            return context_error(context_fd, type, options->name, err);
        }
    }
    if (fsconfig(context_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
        return context_error(context_fd, type, "create", err);
    }
    int mount_fd = fsmount(context_fd, FSMOUNT_CLOEXEC, (unsigned int)attributes);
    if (mount_fd < 0) {
        return context_error(context_fd, type, "mount", err);
    }
    return mount_fd;
}

int mount_attach(int mount_fd, const char *path, struct err *err)
{
    if (move_mount(mount_fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0) {
        return err_set(err, -errno, "attach a mount to %s: %m", path);
    }
    return 0;
}

int mount_copy(const char *path, struct err *err)
{
    int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);

    return fd >= 0 ? fd : err_set(err, -errno, "copy the mount of %s: %m", path);
}

static int open_resolved(int dir_fd, const char *path, uint64_t resolve, struct err *err)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
                           .resolve = resolve | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
                                      RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));

    return fd >= 0 ? (int)fd : err_set(err, -errno, "%s: %m", path);
}

int open_beneath(int dir_fd, const char *path, struct err *err)
{
    return open_resolved(dir_fd, path, RESOLVE_NO_XDEV, err);
}

int open_no_links(int dir_fd, const char *path, struct err *err)
{
    return open_resolved(dir_fd, path, 0, err);
}
