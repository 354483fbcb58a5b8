// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/programs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { COMM_CHARS_MAX = 15 };

/* Returns false when it is gone, or of no interest. */
static bool read_name(int process_fd, char name_out[COMM_CHARS_MAX + 1])
{
    CLEANUP(cleanup_close) int fd = openat(process_fd, "comm", O_RDONLY | O_CLOEXEC);
    ssize_t count_bytes = fd < 0 ? -1 : read(fd, name_out, COMM_CHARS_MAX);

    if (count_bytes <= 0) {
        return false;
    }
    name_out[count_bytes] = '\0';
    name_out[strcspn(name_out, "\n")] = '\0';
    return name_out[0] != '\0';
}

static bool is_replica(const struct host_limits *limits, uid_t uid)
{
    for (uint32_t i = 0; i < limits->uid_span_count; i++) {
        if (uid >= limits->uid_spans[i].first && uid <= limits->uid_spans[i].last) {
            return true;
        }
    }
    return false;
}

static void look_at(int process_fd, const struct host_limits *limits,
                    bool runs[SANDBOX_PROGRAMS_MAX])
{
    char name[COMM_CHARS_MAX + 1] = "";
    struct stat status;

    if (fstat(process_fd, &status) < 0 || is_replica(limits, status.st_uid) ||
        !read_name(process_fd, name)) {
        return;
    }
    for (uint32_t i = 0; i < limits->programs.count; i++) {
        runs[i] = runs[i] || strncmp(limits->programs.names[i], name, COMM_CHARS_MAX) == 0;
    }
}

void programs_look(const char *proc_path, const struct host_limits *limits,
                   struct sandbox_programs *running_out)
{
    CLEANUP(cleanup_closedir) DIR *proc = limits->programs.count == 0 ? NULL : opendir(proc_path);
    bool runs[SANDBOX_PROGRAMS_MAX] = {false};
    const struct dirent *entry;

    while (proc != NULL && (entry = readdir(proc)) != NULL) { // NOLINT(concurrency-mt-unsafe)
        CLEANUP(cleanup_close) int process_fd = -1;

        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') {
            process_fd = openat(dirfd(proc), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
        if (process_fd >= 0) {
            look_at(process_fd, limits, runs);
        }
    }
    *running_out = (struct sandbox_programs){0};
    for (uint32_t i = 0; i < limits->programs.count; i++) {
        if (runs[i]) {
            memcpy(running_out->names[running_out->count++], limits->programs.names[i],
                   sizeof(running_out->names[0]));
        }
    }
}
