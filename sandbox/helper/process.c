// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/units.h"

enum { PROC_PATH_BYTES = 64, PROC_TEXT_BYTES = 1024, STAT_FIELDS_UNTIL_START = 19 };

static int write_map(pid_t pid, const char *name, struct id_map map, struct err *err)
{
    char path[PROC_PATH_BYTES];
    char text[PROC_PATH_BYTES];
    int length = snprintf(text, sizeof(text), "%u %u %u\n", map.inside, map.outside, map.count);

    /* The host's root is in no sandbox, whatever went wrong before. */
    CHECK(map.outside != 0 || map.count == 1);
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, (size_t)length) != length) {
        return err_set(err, -errno, "%s: %m", path);
    }
    return 0;
}

int process_write_maps(pid_t pid, struct id_map uids, struct id_map gids, struct err *err)
{
    int r = write_map(pid, "uid_map", uids, err);

    return r < 0 ? r : write_map(pid, "gid_map", gids, err);
}

int process_write_project_map(pid_t pid, struct id_map projects, struct err *err)
{
    return write_map(pid, "projid_map", projects, err);
}

int process_offer_to_oom_killer(pid_t pid, struct err *err)
{
    static const char score[] = "500";
    char path[PROC_PATH_BYTES];

    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, score, sizeof(score) - 1) != sizeof(score) - 1) {
        return err_set(err, -errno, "%s: %m", path);
    }
    return 0;
}

static int read_text(const char *path, char *text_out, size_t capacity_bytes)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count_bytes = fd < 0 ? -1 : read(fd, text_out, capacity_bytes - 1);

    if (count_bytes < 0) {
        return errno == ENOENT ? -ESRCH : -errno;
    }
    text_out[count_bytes] = '\0';
    return 0;
}

int process_start_ticks(pid_t pid, uint64_t *ticks_out)
{
    char path[PROC_PATH_BYTES];
    char text[PROC_TEXT_BYTES];
    char *field;
    uint64_t ticks;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int r = read_text(path, text, sizeof(text));
    if (r < 0) {
        return r;
    }
    /* proc(5): pid (name) state ... starttime is field 22; the name may hold anything. */
    field = strrchr(text, ')');
    if (field == NULL || field[1] == '\0' || field[2] == 'Z' || field[2] == 'X') {
        return -ESRCH;
    }
    field += 2;
    for (int i = 0; i < STAT_FIELDS_UNTIL_START && field != NULL; i++) {
        field = strchr(field + 1, ' ');
    }
    if (field == NULL) {
        return -EIO;
    }
    field++;
    field[strcspn(field, " \n")] = '\0';
    if (units_parse_number(field, &ticks) < 0) {
        return -EIO;
    }
    *ticks_out = ticks;
    return 0;
}

int process_boot_id(char boot_id_out[BOOT_ID_BYTES_MAX])
{
    int r = read_text("/proc/sys/kernel/random/boot_id", boot_id_out, BOOT_ID_BYTES_MAX);

    if (r == 0) {
        boot_id_out[strcspn(boot_id_out, "\n")] = '\0';
    }
    return r;
}

int process_root_usage(pid_t pid, uint64_t *used_bytes_out)
{
    char path[PROC_PATH_BYTES];
    struct statvfs usage;

    snprintf(path, sizeof(path), "/proc/%d/root", pid);
    if (statvfs(path, &usage) < 0) {
        return -errno;
    }
    *used_bytes_out = (usage.f_blocks - usage.f_bfree) * usage.f_frsize;
    return 0;
}

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;

    CHECK(clock_gettime(clock, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

uint64_t boot_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}
