// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/furniture.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/helper/mounts.h"

enum { PATH_TEXT_BYTES = 64, SIZE_TEXT_BYTES = 32 };

struct tmpfs { /* options as the kernel reads them */
    const char *size;
    const char *inodes;
    const char *mode;
    uint64_t attributes;
};

/* Makes a tmpfs; a copy of nothing, so its size is all that it can take. */
static int attach_tmpfs(const char *path, struct tmpfs wanted, struct err *err)
{
    const struct mount_option options[] = {
        {"size", wanted.size}, {"nr_inodes", wanted.inodes}, {"mode", wanted.mode}, {NULL, NULL}};
    CLEANUP(cleanup_close)
    int fd = mount_make("tmpfs", options, wanted.attributes | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
                        err);

    return fd < 0 ? fd : mount_attach(fd, path, err);
}

static int set_attributes(const char *path, uint64_t attributes, struct err *err)
{
    struct mount_attr wanted = {.attr_set = attributes};

    if (mount_setattr(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &wanted, sizeof(wanted)) < 0) {
        return err_set(err, -errno, "%s: %m", path);
    }
    return 0;
}

static int attach_copy(const char *source, const char *path, uint64_t attributes, struct err *err)
{
    CLEANUP(cleanup_close) int fd = mount_copy(source, err);
    int r = fd < 0 ? fd : mount_attach(fd, path, err);

    if (r == 0 && attributes != 0) {
        r = set_attributes(path, attributes, err);
    }
    return r;
}

static int make_device(const char *name, struct err *err)
{
    char source[PATH_TEXT_BYTES];
    char path[PATH_TEXT_BYTES];

    snprintf(source, sizeof(source), "/dev/%s", name);
    snprintf(path, sizeof(path), "dev/%s", name);
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0) {
        return err_set(err, -errno, "%s: %m", path);
    }
    return attach_copy(source, path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);
}

static int make_dev(uint64_t shm_bytes_max, struct err *err)
{
    static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
    static const struct {
        const char *target;
        const char *path;
    } links[] = {{"/proc/self/fd", "dev/fd"},
                 {"/proc/self/fd/0", "dev/stdin"},
                 {"/proc/self/fd/1", "dev/stdout"},
                 {"/proc/self/fd/2", "dev/stderr"}};
    char size[SIZE_TEXT_BYTES];
    int r = attach_tmpfs("dev", (struct tmpfs){"64k", "32", "0755", 0}, err);

    for (size_t i = 0; i < ARRAY_COUNT(devices) && r == 0; i++) {
        r = make_device(devices[i], err);
    }
    for (size_t i = 0; i < ARRAY_COUNT(links) && r == 0; i++) {
        if (symlink(links[i].target, links[i].path) < 0) {
            r = err_set(err, -errno, "%s: %m", links[i].path);
        }
    }
    if (r == 0 && mkdir("dev/shm", 01777) < 0) {
        r = err_set(err, -errno, "dev/shm: %m");
    }
    if (r == 0) {
        snprintf(size, sizeof(size), "%" PRIu64, shm_bytes_max);
        r = attach_tmpfs("dev/shm", (struct tmpfs){size, "1024", "1777", MOUNT_ATTR_NODEV}, err);
    }
    return r < 0 ? r : set_attributes("dev", MOUNT_ATTR_RDONLY, err);
}

/* What of /proc tells about the host's memory, keys, timers and devices. */
static const char *const masked_files[] = {
    "proc/kcore",      "proc/keys",       "proc/key-users",   "proc/kallsyms",
    "proc/kmsg",       "proc/timer_list", "proc/sched_debug", "proc/latency_stats",
    "proc/kpagecount", "proc/kpageflags", "proc/kpagecgroup", "proc/vmallocinfo",
    "proc/slabinfo",   "proc/iomem",      "proc/ioports",     "proc/sysrq-trigger",
    "proc/config.gz",  "proc/modules"};
enum { MASK_COUNT = ARRAY_COUNT(masked_files) };

/* A mount can only be copied while it is attached somewhere, so all copies of one empty file that
 * nobody may open are made before /proc takes its place. (A mask of /dev/null could be read.) */
static int make_masks(int mask_fds[MASK_COUNT], struct err *err)
{
    int r = attach_tmpfs("proc", (struct tmpfs){"4k", "2", "0755", MOUNT_ATTR_NODEV}, err);

    if (r < 0) {
        return r;
    }
    CLEANUP(cleanup_close) int fd = open("proc/mask", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    if (fd < 0) {
        return err_set(err, -errno, "proc/mask: %m");
    }
    for (size_t i = 0; i < MASK_COUNT && r == 0; i++) {
        mask_fds[i] = mount_copy("proc/mask", err);
        r = mask_fds[i] < 0 ? mask_fds[i] : 0;
    }
    if (r == 0 && umount2("proc", MNT_DETACH) < 0) {
        r = err_set(err, -errno, "proc: %m");
    }
    return r;
}

/* A path that this kernel does not have needs no mask. */
static int mask_files(const int mask_fds[MASK_COUNT], struct err *err)
{
    int r = 0;

    for (size_t i = 0; i < MASK_COUNT && r == 0; i++) {
        if (access(masked_files[i], F_OK) < 0 && errno == ENOENT) {
            continue;
        }
        r = mount_attach(mask_fds[i], masked_files[i], err);
        r = r < 0 ? r : set_attributes(masked_files[i], MOUNT_ATTR_RDONLY, err);
    }
    return r;
}

static int mask_folder(const char *path, struct err *err)
{
    if (access(path, F_OK) < 0 && errno == ENOENT) {
        return 0;
    }
    return attach_tmpfs(
        path, (struct tmpfs){"4k", "2", "0555", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV}, err);
}

static int protect(const char *path, struct err *err)
{
    if (access(path, F_OK) < 0 && errno == ENOENT) {
        return 0;
    }
    return attach_copy(path, path,
                       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                       err);
}

/*
 * Ports below 1024 are special on a host with users; the network here has one service. (Before
 * /proc/sys becomes read-only; a kernel without the setting is fine as it is.)
 */
static int open_low_ports(struct err *err)
{
    CLEANUP(cleanup_close)
    int fd = open("proc/sys/net/ipv4/ip_unprivileged_port_start", O_WRONLY | O_CLOEXEC);

    if (fd < 0 ? errno != ENOENT : write(fd, "0", 1) != 1) {
        return err_set(err, -errno, "ports below 1024: %m");
    }
    return 0;
}

static int protect_proc(struct err *err)
{
    static const char *const folders[] = {"proc/acpi", "proc/scsi", "proc/tty", "proc/driver"};
    static const char *const read_only[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys"};
    int r = 0;

    for (size_t i = 0; i < ARRAY_COUNT(folders) && r == 0; i++) {
        r = mask_folder(folders[i], err);
    }
    for (size_t i = 0; i < ARRAY_COUNT(read_only) && r == 0; i++) {
        r = protect(read_only[i], err);
    }
    return r;
}

/*
 * What tells about the host is hidden; what sets the kernel is read-only. (Its owner is the host's
 * root, who is nobody in here; this is the second wall.)
 */
static int make_proc(struct err *err)
{
    static const struct mount_option none[] = {{NULL, NULL}};
    int mask_fds[MASK_COUNT];
    int r;

    for (size_t i = 0; i < MASK_COUNT; i++) {
        mask_fds[i] = -1;
    }
    r = make_masks(mask_fds, err);
    if (r == 0) {
        CLEANUP(cleanup_close)
        int fd =
            mount_make("proc", none, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);

        r = fd < 0 ? fd : mount_attach(fd, "proc", err);
    }
    r = r < 0 ? r : open_low_ports(err);
    r = r < 0 ? r : mask_files(mask_fds, err);
    for (size_t i = 0; i < MASK_COUNT; i++) {
        cleanup_close(&mask_fds[i]);
    }
    return r < 0 ? r : protect_proc(err);
}

int furniture_make(uint64_t shm_bytes_max, struct err *err)
{
    int r = make_dev(shm_bytes_max, err);

    if (r < 0) {
        return err_wrap(err, "/dev");
    }
    r = make_proc(err);
    return r < 0 ? err_wrap(err, "/proc") : 0;
}
