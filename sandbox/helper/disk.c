// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sandbox/helper/mounts.h"
#include "sandbox/helper/worker.h"

enum { LOOP_ATTEMPTS = 32, PATH_TEXT_BYTES = 64, COPY_BYTES = 65536, SEQUENCE_TEXT_BYTES = 24 };

static int make_file(const char *state, struct err *err)
{
    int fd = open(state, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    return fd >= 0 ? fd : err_set(err, -errno, "disk image in %s: %m", state);
}

static int make_image(const struct disk_plan *plan, struct err *err)
{
    CLEANUP(cleanup_close) int fd = make_file(plan->state, err);
    int r;

    if (fd < 0) {
        return fd;
    }
    /* Not sparse: a promise that a full host breaks later ends in EIO and an aborted journal. */
    do {
        r = fallocate(fd, 0, 0, (off_t)plan->size_bytes);
    } while (r < 0 && errno == EINTR);
    if (r < 0) {
        return err_set(err, -errno, "disk image of %llu bytes in %s: %m",
                       (unsigned long long)plan->size_bytes, plan->state);
    }
    return take_fd(&fd);
}

/* One stretch of the template. Read and written, not cloned: the image's blocks are its own. */
static int copy_stretch(int template_fd, int image_fd, off_t from, off_t to)
{
    uint8_t buffer[COPY_BYTES];

    while (from < to) {
        size_t wanted_bytes = to - from < COPY_BYTES ? (size_t)(to - from) : COPY_BYTES;
        ssize_t count_bytes = pread(template_fd, buffer, wanted_bytes, from);

        if (count_bytes <= 0) {
            return count_bytes < 0 ? -errno : -EIO;
        }
        ssize_t written_bytes = pwrite(image_fd, buffer, (size_t)count_bytes, from);
        if (written_bytes <= 0) {
            return written_bytes < 0 ? -errno : -EIO;
        }
        from += written_bytes;
    }
    return 0;
}

/*
 * The blocks that mkfs wrote; the others of the image read as zeros already. The device is there
 * before them: to attach one the kernel first writes to the host's disk what the file has, and
 * waits for that. Whoever has looked at the new device by now (udev) saw nothing yet, which the
 * kernel is to forget.
 */
static int copy_template(const struct disk_plan *plan, int image_fd, int loop_fd, struct err *err)
{
    off_t from = 0;
    int r = 0;

    while (r == 0 && (from = lseek(plan->template_fd, from, SEEK_DATA)) >= 0) {
        off_t to = lseek(plan->template_fd, from, SEEK_HOLE);

        r = to < 0 ? -errno : copy_stretch(plan->template_fd, image_fd, from, to);
        from = to;
    }
    if (r == 0 && errno != ENXIO) { /* ENXIO: no more data */
        r = -errno;
    }
    if (r == 0 && ioctl(loop_fd, BLKFLSBUF, 0) < 0) {
        r = -errno;
    }
    errno = -r;
    return r < 0 ? err_set(err, r, "disk image: %m") : 0;
}

/*
 * No journal: the file system does not outlive the replica. No reserved blocks: nobody inside is
 * root of the host. An inode for every two blocks of 4 KiB: mkfs's own choice for small disks
 * would spend twice as much of what was promised. `nodiscard` keeps the blocks allocated.
 */
static int make_file_system(int image_fd, uid_t maker, struct err *err)
{
    /* clang-format off */
    static const char *const arguments[] = {
        "mkfs.ext4", "-q", "-F", "-m", "0", "-i", "8192", "-O", "^has_journal,^resize_inode",
        "-E", "lazy_itable_init=1,nodiscard", "/proc/self/fd/3", NULL};
    /* clang-format on */
    int r;

    /* It opens the file anew by its /proc name, as `maker`. */
    if (fchown(image_fd, maker, maker) < 0) {
        return err_set(err, -errno, "disk image: %m");
    }
    r = worker_run("/sbin/mkfs.ext4", arguments, maker, image_fd, err);
    if (r < 0) {
        err_wrap(err, "disk image");
        return r == -ENOENT ? err_hint(err, "install e2fsprogs") : r;
    }
    if (fchown(image_fd, 0, 0) < 0) {
        return err_set(err, -errno, "disk image: %m");
    }
    return 0;
}

/* Takes a free device; another program may be faster, then the next one. */
static int attach_loop(int image_fd, int *number_out, struct err *err)
{
    CLEANUP(cleanup_close) int control_fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    struct loop_config config = {.fd = (uint32_t)image_fd,
                                 .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
    char path[PATH_TEXT_BYTES];

    if (control_fd < 0) {
        return err_set(err, -errno, "/dev/loop-control: %m");
    }
    for (int attempt = 0; attempt < LOOP_ATTEMPTS; attempt++) {
        int number = ioctl(control_fd, LOOP_CTL_GET_FREE);

        if (number < 0) {
            return err_set(err, -errno, "loop device: %m");
        }
        snprintf(path, sizeof(path), "/dev/loop%d", number);
        CLEANUP(cleanup_close) int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0) {
            return err_set(err, -errno, "%s: %m", path);
        }
        if (ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
            *number_out = number;
            return take_fd(&fd);
        }
        if (errno != EBUSY) {
            return err_set(err, -errno, "%s: %m", path);
        }
    }
    return err_set(err, -EBUSY, "loop devices: each was taken by somebody else");
}

/* One line of a device's folder. */
static int read_line(int loop_number, const char *name, char *text_out, size_t capacity_bytes)
{
    char path[PATH_TEXT_BYTES];

    snprintf(path, sizeof(path), "/sys/block/loop%d/%s", loop_number, name);
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count_bytes = fd < 0 ? -1 : read(fd, text_out, capacity_bytes - 1);
    if (count_bytes < 0) {
        return -errno;
    }
    text_out[count_bytes] = '\0';
    text_out[strcspn(text_out, "\n")] = '\0';
    return 0;
}

/*
 * What is attached now, and never was before: numbers of devices and of inodes come again, and with
 * them the file's name; the sequence number (kernel 5.15) does not.
 */
static int read_backing(int loop_number, char backing_out[LOOP_TEXT_BYTES_MAX])
{
    char file[LOOP_TEXT_BYTES_MAX - SEQUENCE_TEXT_BYTES];
    char sequence[SEQUENCE_TEXT_BYTES];
    int r = read_line(loop_number, "loop/backing_file", file, sizeof(file));

    if (r == 0 && read_line(loop_number, "diskseq", sequence, sizeof(sequence)) < 0) {
        sequence[0] = '\0';
    }
    if (r == 0) {
        snprintf(backing_out, LOOP_TEXT_BYTES_MAX, "%s %s", sequence, file);
    }
    return r;
}

static int mount_loop(int loop_number, struct err *err)
{
    char source[PATH_TEXT_BYTES];
    /*
     * noinit_itable: no kernel thread that goes on writing zeros behind the replica's back.
     * nobarrier: nothing waits for the host's disk, since nothing of this one outlives its replica.
     */
    const struct mount_option options[] = {
        {"source", source}, {"noinit_itable", NULL}, {"nobarrier", NULL}, {NULL, NULL}};

    snprintf(source, sizeof(source), "/dev/loop%d", loop_number);
    return mount_make("ext4", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME,
                      err);
}

/* What was written is in the file when this returns: the last to let go of the mount waits. */
static int fill_template(int template_fd, int (*fill)(int mount_fd, struct err *err),
                         struct err *err)
{
    int loop_number = -1;
    CLEANUP(cleanup_close) int loop_fd = attach_loop(template_fd, &loop_number, err);

    if (loop_fd < 0) {
        return loop_fd;
    }
    CLEANUP(cleanup_close) int mount_fd = mount_loop(loop_number, err);
    return mount_fd < 0 ? mount_fd : fill(mount_fd, err);
}

int disk_template_make(const struct disk_plan *plan, int (*fill)(int mount_fd, struct err *err),
                       struct err *err)
{
    CLEANUP(cleanup_close) int fd = make_file(plan->state, err);

    if (fd < 0) {
        return fd;
    }
    if (ftruncate(fd, (off_t)plan->size_bytes) < 0) {
        return err_set(err, -errno, "disk image: %m");
    }
    int r = make_file_system(fd, plan->maker, err);
    if (r == 0) {
        r = fill_template(fd, fill, err);
    }
    return r < 0 ? r : take_fd(&fd);
}

int disk_make(const struct disk_plan *plan, struct disk *disk_out, struct err *err)
{
    struct disk disk = {.mount_fd = -1, .loop_number = -1, .network_fd = -1};
    CLEANUP(cleanup_close) int image_fd = make_image(plan, err);

    if (image_fd < 0) {
        return image_fd;
    }
    CLEANUP(cleanup_close) int loop_fd = attach_loop(image_fd, &disk.loop_number, err);
    if (loop_fd < 0) {
        return loop_fd;
    }
    int r = copy_template(plan, image_fd, loop_fd, err);
    if (r < 0) {
        return r;
    }
    r = read_backing(disk.loop_number, disk.backing);
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "loop device %d: %m", disk.loop_number);
    }
    disk.mount_fd = mount_loop(disk.loop_number, err);
    if (disk.mount_fd < 0) {
        return disk.mount_fd;
    }
    *disk_out = disk;
    return 0;
}

void disk_done(struct disk *disk)
{
    cleanup_close(&disk->mount_fd);
    disk->mount_fd = -1;
    cleanup_close(&disk->network_fd);
    disk->network_fd = -1;
}

bool disk_attached(int loop_number, const char *backing)
{
    char now[LOOP_TEXT_BYTES_MAX];

    return loop_number >= 0 && read_backing(loop_number, now) == 0 && strcmp(now, backing) == 0;
}

int disk_activity(int loop_number, uint64_t *read_bytes_out, uint64_t *written_bytes_out)
{
    enum { SECTOR_BYTES = 512, STAT_BYTES = 512, READ_FIELD = 2, WRITTEN_FIELD = 6 };
    char path[PATH_TEXT_BYTES];
    char text[STAT_BYTES];
    uint64_t fields[WRITTEN_FIELD + 1] = {0};
    char *rest = text;

    if (loop_number < 0) {
        return -ENODEV;
    }
    snprintf(path, sizeof(path), "/sys/block/loop%d/stat", loop_number);
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count_bytes = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (count_bytes < 0) {
        return -errno;
    }
    text[count_bytes] = '\0';
    for (size_t i = 0; i <= WRITTEN_FIELD; i++) {
        fields[i] = strtoull(rest, &rest, 10);
    }
    *read_bytes_out = fields[READ_FIELD] * SECTOR_BYTES;
    *written_bytes_out = fields[WRITTEN_FIELD] * SECTOR_BYTES;
    return 0;
}
