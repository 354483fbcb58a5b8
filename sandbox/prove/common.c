// SPDX-License-Identifier: GPL-3.0-or-later
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "sandbox/prove/attempt.h"

bool read_line(const char *path, char *line_out, size_t capacity_bytes)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t count_bytes = fd < 0 ? -1 : read(fd, line_out, capacity_bytes - 1);

    line_out[count_bytes < 0 ? 0 : count_bytes] = '\0';
    line_out[strcspn(line_out, "\n")] = '\0';
    return count_bytes > 0;
}

void attempt_read(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    char byte;
    CLEANUP(cleanup_close) int fd = open(attempt->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    (void)facts;
    if (fd < 0) {
        outcome_of_absence(out, errno);
        return;
    }
    ssize_t count_bytes = read(fd, &byte, 1);
    if (count_bytes > 0) {
        outcome_open(out, "can be read");
    } else if (count_bytes == 0) {
        outcome_stopped(out, "empty");
    } else {
        outcome_of_error(out, errno);
    }
}

void attempt_write(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    CLEANUP(cleanup_close) int fd = open(attempt->path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);

    (void)facts;
    if (fd >= 0) {
        outcome_open(out, "can be opened for writing");
    } else {
        outcome_of_absence(out, errno);
    }
}

void attempt_list(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    CLEANUP(cleanup_closedir) DIR *folder = opendir(attempt->path);
    const struct dirent *entry;

    (void)facts;
    if (folder == NULL) {
        outcome_of_absence(out, errno);
        return;
    }
    while ((entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            outcome_open(out, "shows %.60s", entry->d_name);
            return;
        }
    }
    outcome_stopped(out, "empty");
}

void attempt_call(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    const long *given = attempt->arguments;
    long r = syscall(attempt->number, given[0], given[1], given[2], given[3], given[4], given[5]);

    (void)facts;
    if (r >= 0) {
        outcome_open(out, "the call was made");
    } else {
        outcome_of_error(out, errno);
    }
}

bool control_path(const struct attempt *attempt, const struct facts *facts)
{
    struct stat about;

    (void)facts;
    return lstat(attempt->path, &about) == 0 || errno == EACCES;
}

bool control_call(const struct attempt *attempt, const struct facts *facts)
{
    (void)facts;
    return syscall(attempt->number, -1L, -1L, -1L, -1L, -1L, -1L) >= 0 || errno != ENOSYS;
}
