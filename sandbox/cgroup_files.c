// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "sandbox/cgroup_backend.h"

enum {
    CPU_PERIOD_US = 20000,       /* short, so that a throttled service answers again soon */
    CPU_PERIOD_US_LONG = 100000, /* for shares whose quota would fall below the kernel's minimum */
    CPU_QUOTA_US_MIN = 1000,
};

static int open_file(int base_fd, const char *group, const char *file, int flags)
{
    char path[CGROUP_PATH_BYTES_MAX];
    int length = snprintf(path, sizeof(path), "%s/%s", group, file);

    CHECK(length > 0 && (size_t)length < sizeof(path));
    int fd = openat(base_fd, path, flags | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

int cgroup_base(const struct cgroups *cgroups, enum cgroup_resource controller)
{
    int index = cgroups->hierarchy_of[controller];

    return index < 0 ? -1 : cgroups->base_fds[index];
}

int cgroup_put(int base_fd, const char *group, const char *file, const char *text)
{
    CLEANUP(cleanup_close) int fd = open_file(base_fd, group, file, O_WRONLY);

    if (fd < 0) {
        return fd;
    }
    /* One write is one command to the kernel: a short one cannot be continued. */
    if (write(fd, text, strlen(text)) < 0) {
        return -errno;
    }
    return 0;
}

int cgroup_put_number(int base_fd, const char *group, const char *file, uint64_t number)
{
    char text[24];

    CHECK(snprintf(text, sizeof(text), "%" PRIu64, number) > 0);
    return cgroup_put(base_fd, group, file, text);
}

int cgroup_get(int base_fd, const char *group, const char *file, char *text_out)
{
    CLEANUP(cleanup_close) int fd = open_file(base_fd, group, file, O_RDONLY);
    size_t length_bytes = 0;

    if (fd < 0) {
        return fd;
    }
    while (length_bytes < CGROUP_TEXT_BYTES_MAX - 1) {
        ssize_t count_bytes =
            read(fd, text_out + length_bytes, CGROUP_TEXT_BYTES_MAX - 1 - length_bytes);

        if (count_bytes < 0 && errno != EINTR) {
            return -errno;
        }
        if (count_bytes == 0) {
            break;
        }
        length_bytes += count_bytes > 0 ? (size_t)count_bytes : 0;
    }
    text_out[length_bytes] = '\0';
    return 0;
}

int cgroup_get_number(int base_fd, const char *group, const char *file, uint64_t *number_out)
{
    char text[CGROUP_TEXT_BYTES_MAX];
    char *end = NULL;
    int r = cgroup_get(base_fd, group, file, text);

    if (r < 0) {
        return r;
    }
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (errno != 0 || end == text) {
        return -EBADMSG;
    }
    *number_out = number;
    return 0;
}

int cgroup_get_key(int base_fd, const char *group, const char *file, const char *key,
                   uint64_t *number_out)
{
    char text[CGROUP_TEXT_BYTES_MAX];
    size_t key_length = strlen(key);
    int r = cgroup_get(base_fd, group, file, text);

    if (r < 0) {
        return r;
    }
    *number_out = 0;
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n' ? 1 : 0;
        if (strncmp(line, key, key_length) == 0 && line[key_length] == ' ') {
            *number_out = strtoull(line + key_length + 1, NULL, 10);
            return 0;
        }
    }
    return 0;
}

bool cgroup_has(int base_fd, const char *group, const char *file)
{
    CLEANUP(cleanup_close) int fd = base_fd < 0 ? -1 : open_file(base_fd, group, file, O_PATH);

    return fd >= 0;
}

int cgroup_signal(int base_fd, const char *group, int signal_number)
{
    CLEANUP(cleanup_fclose) FILE *procs = NULL;
    CLEANUP(cleanup_close) int fd = open_file(base_fd, group, "cgroup.procs", O_RDONLY);
    char line[32];

    if (fd < 0) {
        return fd;
    }
    procs = fdopen(fd, "re");
    if (procs == NULL) {
        return -errno;
    }
    (void)take_fd(&fd); /* the stream owns it now */
    while (fgets(line, sizeof(line), procs) != NULL) {
        long pid = strtol(line, NULL, 10);

        /* 0: a process of another pid namespace; 1 and ourselves: never. */
        if (pid > 1 && pid != (long)getpid()) {
            (void)kill((pid_t)pid, signal_number);
        }
    }
    return 0;
}

int cgroup_fail(struct err *err, int code, const char *group, const char *file)
{
    errno = -code;
    return err_set(err, code, "cgroup %s: %s: %m", group, file);
}

bool cgroup_machine_swaps(void)
{
    CLEANUP(cleanup_fclose) FILE *swaps = fopen("/proc/swaps", "re");
    char line[256];
    unsigned line_count = 0;

    while (swaps != NULL && fgets(line, sizeof(line), swaps) != NULL) {
        line_count++;
    }
    return line_count > 1; /* the first is the heading */
}

void cgroup_cpu_share(uint64_t cpu_permille, uint64_t *period_us_out, uint64_t *quota_us_out)
{
    uint64_t period_us = CPU_PERIOD_US;

    if (cpu_permille * period_us / 1000 < CPU_QUOTA_US_MIN) {
        period_us = CPU_PERIOD_US_LONG;
    }
    uint64_t quota_us = cpu_permille * period_us / 1000;
    *period_us_out = period_us;
    *quota_us_out = quota_us < CPU_QUOTA_US_MIN ? CPU_QUOTA_US_MIN : quota_us;
}

int cgroup_wait(bool (*is_done)(const struct cgroups *cgroups, const char *group),
                const struct cgroups *cgroups, const char *group)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (unsigned waited_ms = 0; !is_done(cgroups, group); waited_ms++) {
        if (waited_ms >= CGROUP_FREEZE_MS_MAX) {
            return -ETIMEDOUT;
        }
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
    return 0;
}
