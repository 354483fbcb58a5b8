// SPDX-License-Identifier: GPL-3.0-or-later
/* Other processes: the sandbox's own init, and those of the host. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/prove/attempt.h"

enum { LINE_BYTES = 128 };

/* Beside this one and the one that started it: those of the host, and init. */
static void find_others(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    CLEANUP(cleanup_closedir) DIR *folder = opendir("/proc");
    const struct dirent *entry;
    char path[LINE_BYTES];
    char line[LINE_BYTES];
    unsigned count = 0;

    (void)attempt;
    (void)facts;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        (void)snprintf(path, sizeof(path), "/proc/%.20s/stat", entry->d_name);
        if (strtol(entry->d_name, NULL, 10) > 0 && access(path, F_OK) == 0) {
            long pid = strtol(entry->d_name, NULL, 10);

            if (pid != getpid() && pid != getppid() && read_line(path, line, sizeof(line))) {
                count++;
            }
        }
    }
    if (count > 0) {
        outcome_open(out, "%u, such as %.40s", count, line);
    } else {
        outcome_stopped(out, "only our own are seen");
    }
}

static void send_signal(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    const pid_t pid = attempt->arguments[0] == 0 ? (pid_t)facts->pid : (pid_t)attempt->arguments[0];

    if (pid == 0) {
        outcome_unsure(out, "no process is known");
    } else if (kill(pid, (int)attempt->number) == 0) {
        outcome_open(out, "it was delivered");
    } else {
        outcome_of_absence(out, errno);
    }
}

static bool has_process(const struct attempt *attempt, const struct facts *facts)
{
    (void)attempt;
    return facts->pid != 0 && (kill((pid_t)facts->pid, 0) == 0 || errno == EPERM);
}

static void read_memory(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    char byte;
    struct iovec ours = {&byte, 1};
    struct iovec theirs = {(void *)(uintptr_t)&byte, 1};

    (void)facts;
    if (syscall(attempt->number, 1, &ours, 1, &theirs, 1, 0) >= 0) {
        outcome_open(out, "a byte of init");
    } else {
        outcome_of_error(out, errno);
    }
}

static void take_descriptor(const struct attempt *attempt, const struct facts *facts,
                            struct outcome *out)
{
    CLEANUP(cleanup_close) int fd = (int)syscall(SYS_pidfd_open, 1, 0);

    (void)facts;
    if (fd >= 0 && syscall(attempt->number, fd, 3, 0, 0) >= 0) {
        outcome_open(out, "one of init's");
    } else {
        outcome_of_error(out, errno);
    }
}

static void set_priority(const struct attempt *attempt, const struct facts *facts,
                         struct outcome *out)
{
    (void)facts;
    if (setpriority(PRIO_PROCESS, (id_t)attempt->arguments[0], (int)attempt->number) == 0) {
        outcome_open(out, "set");
    } else {
        outcome_of_error(out, errno);
    }
}

static void set_scheduler(const struct attempt *attempt, const struct facts *facts,
                          struct outcome *out)
{
    const struct sched_param wanted = {.sched_priority = 1};

    (void)facts;
    if (sched_setscheduler((pid_t)attempt->arguments[0], (int)attempt->number, &wanted) == 0) {
        outcome_open(out, "set");
    } else {
        outcome_of_error(out, errno);
    }
}

static void set_deadline(const struct attempt *attempt, const struct facts *facts,
                         struct outcome *out)
{
    struct {
        uint32_t length_bytes;
        uint32_t policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns;
        uint64_t deadline_ns;
        uint64_t period_ns;
    } wanted = {sizeof(wanted), SCHED_DEADLINE, 0, 0, 0, 1000000, 10000000, 10000000};

    (void)attempt;
    (void)facts;
    if (syscall(SYS_sched_setattr, 0, &wanted, 0) == 0) {
        outcome_open(out, "set");
    } else {
        outcome_of_error(out, errno);
    }
}

static void set_io_priority(const struct attempt *attempt, const struct facts *facts,
                            struct outcome *out)
{
    (void)facts;
    if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, attempt->arguments[0],
                IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 0)) == 0) {
        outcome_open(out, "set");
    } else {
        outcome_of_error(out, errno);
    }
}

static void bind_init(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    cpu_set_t set;

    (void)attempt;
    (void)facts;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    if (sched_setaffinity(1, sizeof(set), &set) == 0) {
        outcome_open(out, "init was bound");
    } else {
        outcome_of_error(out, errno);
    }
}

static void limit_init(const struct attempt *attempt, const struct facts *facts,
                       struct outcome *out)
{
    const struct rlimit none = {0, 0};

    (void)attempt;
    (void)facts;
    if (prlimit(1, RLIMIT_NOFILE, &none, NULL) == 0) {
        outcome_open(out, "init was limited");
    } else {
        outcome_of_error(out, errno);
    }
}

#define READ_OF_INIT(where)                                         \
    {                                                               \
        .name = "read " where, .run = attempt_read, .path = (where) \
    }
#define SIGNAL(text, signal, to)                                                    \
    {                                                                               \
        .name = (text), .run = send_signal, .number = (signal), .arguments = { to } \
    }

static const struct attempt rows[] = {
    {.name = "see other processes", .run = find_others},
    READ_OF_INIT("/proc/1/environ"),
    READ_OF_INIT("/proc/1/cmdline"),
    READ_OF_INIT("/proc/1/maps"),
    READ_OF_INIT("/proc/1/mem"),
    READ_OF_INIT("/proc/1/stack"),
    READ_OF_INIT("/proc/1/syscall"),
    READ_OF_INIT("/proc/1/io"),
    READ_OF_INIT("/proc/1/status"),
    {.name = "list /proc/1/fd", .run = attempt_list, .path = "/proc/1/fd"},
    {.name = "list /proc/1/task", .run = attempt_list, .path = "/proc/1/task"},
    {.name = "read the program of init", .run = attempt_read, .path = "/proc/1/exe"},
    {.name = "overwrite the program of init", .run = attempt_write, .path = "/proc/1/exe"},
    SIGNAL("kill init", SIGKILL, 1),
    SIGNAL("stop init", SIGSTOP, 1),
    SIGNAL("end init", SIGTERM, 1),
    {.name = "signal a process of the host", .run = send_signal, .control = has_process},
    CALL("attach to init", SYS_ptrace, 16 /* ATTACH */, 1, 0, 0),
    CALL("seize init", SYS_ptrace, 0x4206, 1, 0, 0),
    {.name = "process_vm_readv",
     .run = read_memory,
     .number = SYS_process_vm_readv,
     .control = control_call},
    {.name = "process_vm_writev",
     .run = read_memory,
     .number = SYS_process_vm_writev,
     .control = control_call},
    {.name = "pidfd_getfd",
     .run = take_descriptor,
     .number = SYS_pidfd_getfd,
     .control = control_call},
    CALL("process_madvise", SYS_process_madvise, -1, 0, 0, 0, 0),
    CALL("kcmp", SYS_kcmp, 1, 1, 0, 0, 0),
    {.name = "raise our own priority", .run = set_priority, .number = -20},
    {.name = "change the priority of init", .run = set_priority, .number = 19, .arguments = {1}},
    {.name = "real time: FIFO", .run = set_scheduler, .number = SCHED_FIFO},
    {.name = "real time: round robin", .run = set_scheduler, .number = SCHED_RR},
    {.name = "real time: deadline", .run = set_deadline},
    {.name = "real time for init", .run = set_scheduler, .number = SCHED_FIFO, .arguments = {1}},
    {.name = "real time for the disk", .run = set_io_priority},
    {.name = "the disk priority of init", .run = set_io_priority, .arguments = {1}},
    {.name = "bind init to a processor", .run = bind_init},
    {.name = "limit init", .run = limit_init},
};

const struct attempt_group processes_group = {"processes", rows, ARRAY_COUNT(rows)};
