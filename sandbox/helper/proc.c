// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "sandbox/helper/mounts.h"
#include "sandbox/helper/network.h"

enum {
    PATH_TEXT_BYTES = 300,
    CONTENT_BYTES = 8192,
    INOTIFY_INSTANCES = 8,
    INOTIFY_WATCHES = 8192,
    CPUS_SHOWN_MAX = 64,
};

/* Of the kernel's, and harmless: the processes (by number) are, too. */
static const char *const kept[] = {"self", "thread-self", "mounts", "net", "sysvipc"};

static int write_file(const char *path, const char *text, mode_t mode, struct err *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    int r = fd < 0 ? -errno : file_write_all(fd, bytes_of_text(text));

    if (r < 0) {
        errno = -r;
        return err_set(err, r, "%s: %m", path);
    }
    return 0;
}

static int PRINTF_LIKE(4, 5)
    append(char *text, size_t capacity_bytes, size_t *used_bytes, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text + *used_bytes, capacity_bytes - *used_bytes, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= capacity_bytes - *used_bytes) {
        return -ENOBUFS;
    }
    *used_bytes += (size_t)length;
    return 0;
}

/* --- what is said in place of the host's figures --- */

static unsigned cpu_count(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1U : (unsigned)CPU_COUNT(&set);
}

/* As many as sched_getaffinity tells anyway, of no make: programs count them. */
static int make_cpuinfo(struct err *err)
{
    char text[CONTENT_BYTES] = "";
    size_t used_bytes = 0;
    int r = 0;

    for (unsigned i = 0; i < cpu_count() && i < CPUS_SHOWN_MAX && r == 0; i++) {
        r = append(text, sizeof(text), &used_bytes,
                   "processor\t: %u\nvendor_id\t: minga\nmodel name\t: minga\n"
                   "cpu MHz\t\t: 1000.000\ncache size\t: 0 KB\n\n",
                   i);
    }
    return write_file("cpuinfo", text, 0444, err);
}

static int make_stat(struct err *err)
{
    static const char zeros[] = "0 0 0 0 0 0 0 0 0 0";
    char text[CONTENT_BYTES];
    size_t used_bytes = 0;
    int r = append(text, sizeof(text), &used_bytes, "cpu  %s\n", zeros);

    for (unsigned i = 0; i < cpu_count() && i < CPUS_SHOWN_MAX && r == 0; i++) {
        r = append(text, sizeof(text), &used_bytes, "cpu%u %s\n", i, zeros);
    }
    (void)append(text, sizeof(text), &used_bytes,
                 "intr 0\nctxt 0\nbtime 0\nprocesses 0\nprocs_running 1\nprocs_blocked 0\n");
    return write_file("stat", text, 0444, err);
}

/* The replica's own memory: whoever sizes a heap by it is right. */
static int make_meminfo(const struct proc_plan *plan, struct err *err)
{
    static const char *const names[] = {"MemTotal:", "MemFree:", "MemAvailable:"};
    static const char *const empty[] = {
        "Buffers:", "Cached:", "SwapCached:", "SwapTotal:", "SwapFree:", "Shmem:"};
    char text[CONTENT_BYTES];
    size_t used_bytes = 0;

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        (void)append(text, sizeof(text), &used_bytes, "%-15s %8" PRIu64 " kB\n", names[i],
                     plan->memory_bytes / 1024);
    }
    for (size_t i = 0; i < ARRAY_COUNT(empty); i++) {
        (void)append(text, sizeof(text), &used_bytes, "%-15s        0 kB\n", empty[i]);
    }
    return write_file("meminfo", text, 0444, err);
}

/* The few settings that services read, with what the kernel would say by default. */
static int make_settings(const struct proc_plan *plan, struct err *err)
{
    static const char *const folders[] = {"",    "/kernel", "/kernel/random",
                                          "/vm", "/net",    "/net/core"};
    char name[CONTENT_BYTES];
    char pids[32];
    const struct {
        const char *path;
        const char *text;
    } files[] = {
        {"/kernel/hostname", name},        {"/kernel/pid_max", pids},
        {"/kernel/threads-max", pids},     {"/kernel/ngroups_max", "65536\n"},
        {"/vm/overcommit_memory", "0\n"},  {"/vm/max_map_count", "65530\n"},
        {"/net/core/somaxconn", "4096\n"}, {"/kernel/random/uuid", ""},
    };
    char path[PATH_TEXT_BYTES];
    int r = 0;

    snprintf(name, sizeof(name), "%s\n", plan->hostname);
    snprintf(pids, sizeof(pids), "%" PRIu64 "\n", plan->pid_count);
    for (size_t i = 0; i < ARRAY_COUNT(folders) && r == 0; i++) {
        snprintf(path, sizeof(path), "sys%s", folders[i]);
        r = mkdir(path, 0755) < 0 ? err_set(err, -errno, "%s: %m", path) : 0;
    }
    for (size_t i = 0; i < ARRAY_COUNT(files) && r == 0; i++) {
        snprintf(path, sizeof(path), "sys%s", files[i].path);
        r = write_file(path, files[i].text, 0444, err);
    }
    return r;
}

static int make_covers(const struct proc_plan *plan, struct err *err)
{
    int r = write_file("file", "", 0, err);

    if (r == 0 && mkdir("folder", 0) < 0) {
        r = err_set(err, -errno, "cover: %m");
    }
    r = r < 0 ? r : make_cpuinfo(err);
    r = r < 0 ? r : make_stat(err);
    r = r < 0 ? r : make_meminfo(plan, err);
    r = r < 0 ? r : write_file("loadavg", "0.00 0.00 0.00 1/1 1\n", 0444, err);
    r = r < 0 ? r : write_file("uptime", "0.00 0.00\n", 0444, err);
    return r < 0 ? r : make_settings(plan, err);
}

/* From here on nothing in it can be changed, and neither in what is copied from it. */
static int close_stage(struct err *err)
{
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};

    if (mount_setattr(AT_FDCWD, ".", 0, &read_only, sizeof(read_only)) < 0) {
        return err_set(err, -errno, "covers of /proc: %m");
    }
    return 0;
}

/* --- the kernel's files --- */

static bool is_kept(const struct dirent *entry)
{
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        if (strcmp(kept[i], entry->d_name) == 0) {
            return true;
        }
    }
    return entry->d_name[0] == '.' || isdigit((unsigned char)entry->d_name[0]);
}

/*
 * A made file of that name where there is one, else nothing that could be opened. By mount(2): of
 * both names we have made the folder, nobody else is here yet, and for each of some 50 the newer
 * calls cost three times as much (a namespace for each detached copy).
 */
static int cover(const struct dirent *entry, struct err *err)
{
    static const char *const made[] = {"cpuinfo", "stat", "meminfo", "loadavg", "uptime", "sys"};
    const char *source = entry->d_type == DT_DIR ? "folder" : "file";
    char from[PATH_TEXT_BYTES];
    char path[PATH_TEXT_BYTES];

    for (size_t i = 0; i < ARRAY_COUNT(made); i++) {
        source = strcmp(made[i], entry->d_name) == 0 ? made[i] : source;
    }
    snprintf(from, sizeof(from), "%s", source);
    snprintf(path, sizeof(path), "proc/%s", entry->d_name);
    if (mount(from, path, NULL, MS_BIND, NULL) < 0) {
        return err_set(err, -errno, "cover %s: %m", path);
    }
    return 0;
}

static int cover_all(struct err *err)
{
    CLEANUP(cleanup_closedir) DIR *folder = opendir("proc");
    const struct dirent *entry;
    int r = 0;

    if (folder == NULL) {
        return err_set(err, -errno, "list it: %m");
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    while (r == 0 && (entry = readdir(folder)) != NULL) {
        /* A link leads to what is kept or covered by itself. */
        if (!is_kept(entry) && entry->d_type != DT_LNK) {
            r = cover(entry, err);
        }
    }
    return r;
}

/* --- settings of the namespaces, written before they are covered --- */

static int put(const char *path, const char *text, struct err *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CLOEXEC);

    /* A kernel without the setting is fine as it is. */
    if (fd < 0 ? errno != ENOENT : write(fd, text, strlen(text)) < 0) {
        return err_set(err, -errno, "%s: %m", path);
    }
    return 0;
}

static int settle_namespaces(const struct proc_plan *plan, struct err *err)
{
    char text[32];
    int r = plan->settles_network ? network_settle("proc", err) : 0;

    /* The second wall behind the filter. */
    r = r < 0 ? r : put("proc/sys/user/max_user_namespaces", "0", err);
    /* These count for the user who made the namespace too: the host's root, who has 128. */
    snprintf(text, sizeof(text), "%d", INOTIFY_INSTANCES);
    r = r < 0 ? r : put("proc/sys/user/max_inotify_instances", text, err);
    snprintf(text, sizeof(text), "%d", INOTIFY_WATCHES);
    return r < 0 ? r : put("proc/sys/user/max_inotify_watches", text, err);
}

/* The one setting that is another each time it is read; nothing about the host is in it. */
static int attach_uuid(int fd, struct err *err)
{
    return fd < 0 ? 0 : mount_attach(fd, "proc/sys/kernel/random/uuid", err);
}

static int attach_proc(struct err *err)
{
    /* Of other users' processes, which is minga-init, nothing is seen. */
    static const struct mount_option options[] = {{"hidepid", "invisible"}, {NULL, NULL}};
    CLEANUP(cleanup_close)
    int fd =
        mount_make("proc", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);

    return fd < 0 ? fd : mount_attach(fd, "proc", err);
}

int proc_make(const struct proc_plan *plan, struct err *err)
{
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    int r = make_covers(plan, err);

    r = r < 0 ? r : close_stage(err);
    r = r < 0 ? r : attach_proc(err);
    r = r < 0 ? r : settle_namespaces(plan, err);
    if (r < 0) {
        return r;
    }
    CLEANUP(cleanup_close) int uuid_fd = mount_copy("proc/sys/kernel/random/uuid", err);
    if (uuid_fd >= 0 &&
        mount_setattr(uuid_fd, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) < 0) {
        return err_set(err, -errno, "random/uuid: %m");
    }
    r = cover_all(err);
    return r < 0 ? r : attach_uuid(uuid_fd, err);
}
