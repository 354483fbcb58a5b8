// SPDX-License-Identifier: GPL-3.0-or-later
/* What /proc tells about the host and its kernel. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/prove/attempt.h"

enum { TEXT_BYTES = 16384, KLOG_READ_ALL = 3, NEAR_SECONDS = 120 };

/* Looks for `word` in the beginning of a file. */
static void find_word(const char *path, const char *word, struct outcome *out)
{
    static char text[TEXT_BYTES];
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count_bytes = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (count_bytes < 0) {
        outcome_of_absence(out, errno);
        return;
    }
    text[count_bytes] = '\0';
    if (word[0] == '\0') {
        outcome_unsure(out, "the host's is not known");
    } else if (strstr(text, word) != NULL) {
        outcome_open(out, "the host's: %.60s", word);
    } else {
        outcome_stopped(out, "not the host's");
    }
}

static void find_memory(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    char word[32];

    (void)snprintf(word, sizeof(word), "%8" PRIu64 " kB", facts->memory_kib);
    find_word(attempt->path, word, out);
}

static void find_cpu(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    find_word(attempt->path, facts->cpu_model, out);
}

static void find_boot(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    find_word(attempt->path, facts->boot_id, out);
}

static void find_name(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    find_word(attempt->path, facts->kernel_name, out);
}

static void find_uptime(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    char line[64];
    uint64_t here_s;

    if (!read_line(attempt->path, line, sizeof(line))) {
        outcome_of_absence(out, errno);
        return;
    }
    here_s = strtoull(line, NULL, 10);
    if (here_s + NEAR_SECONDS >= facts->uptime_s && here_s <= facts->uptime_s + NEAR_SECONDS) {
        outcome_open(out, "the host's: %" PRIu64 " s", here_s);
    } else {
        outcome_stopped(out, "not the host's");
    }
}

/* Figures in the first line that are not zero: what the host's processors have done. */
static void find_load(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    static const char no_load[] = "0.00 0.00 0.00 ";
    char line[256];

    (void)facts;
    if (!read_line(attempt->path, line, sizeof(line))) {
        outcome_of_absence(out, errno);
    } else if (strncmp(line, no_load, strlen(no_load)) != 0 && strpbrk(line, "123456789") != NULL) {
        outcome_open(out, "%.60s", line);
    } else {
        outcome_stopped(out, "all zero");
    }
}

static void ask_name(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    struct utsname name;

    (void)attempt;
    if (uname(&name) < 0) {
        outcome_of_error(out, errno);
    } else if (facts->kernel_name[0] != '\0' && strcmp(name.nodename, facts->kernel_name) == 0) {
        outcome_open(out, "%.60s", name.nodename);
    } else {
        outcome_stopped(out, "its own: %.40s", name.nodename);
    }
}

static void ask_release(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    struct utsname name;

    (void)attempt;
    (void)facts;
    if (uname(&name) < 0) {
        outcome_of_error(out, errno);
    } else {
        outcome_open(out, "%.40s", name.release);
    }
}

static void ask_sysinfo(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    struct sysinfo about;

    (void)attempt;
    if (sysinfo(&about) < 0) {
        outcome_of_error(out, errno);
    } else if ((uint64_t)about.totalram * about.mem_unit / 1024 == facts->memory_kib) {
        outcome_open(out, "%ld s up, %lu of memory", about.uptime, about.totalram);
    } else {
        outcome_stopped(out, "not the host's");
    }
}

static void read_log(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    static char text[TEXT_BYTES];

    (void)attempt;
    (void)facts;
    if (syscall(SYS_syslog, KLOG_READ_ALL, text, sizeof(text)) >= 0) {
        outcome_open(out, "the kernel's log");
    } else {
        outcome_of_error(out, errno);
    }
}

static void read_clock_state(const struct attempt *attempt, const struct facts *facts,
                             struct outcome *out)
{
    struct timex state = {0};

    (void)attempt;
    (void)facts;
    if (adjtimex(&state) >= 0) {
        outcome_open(out, "the state of the host's clock");
    } else {
        outcome_of_error(out, errno);
    }
}

static const struct attempt rows[] = {
    READ("/proc/kcore"),
    READ("/proc/kmsg"),
    READ("/proc/keys"),
    READ("/proc/key-users"),
    READ("/proc/kallsyms"),
    READ("/proc/kpagecount"),
    READ("/proc/kpageflags"),
    READ("/proc/kpagecgroup"),
    READ("/proc/timer_list"),
    READ("/proc/sched_debug"),
    READ("/proc/schedstat"),
    READ("/proc/latency_stats"),
    READ("/proc/vmallocinfo"),
    READ("/proc/slabinfo"),
    READ("/proc/iomem"),
    READ("/proc/ioports"),
    READ("/proc/interrupts"),
    READ("/proc/softirqs"),
    READ("/proc/config.gz"),
    READ("/proc/modules"),
    READ("/proc/cmdline"),
    READ("/proc/version"),
    READ("/proc/devices"),
    READ("/proc/diskstats"),
    READ("/proc/partitions"),
    READ("/proc/swaps"),
    READ("/proc/locks"),
    READ("/proc/misc"),
    READ("/proc/crypto"),
    READ("/proc/cgroups"),
    READ("/proc/consoles"),
    READ("/proc/dma"),
    READ("/proc/execdomains"),
    READ("/proc/filesystems"),
    READ("/proc/mtrr"),
    READ("/proc/mdstat"),
    READ("/proc/buddyinfo"),
    READ("/proc/pagetypeinfo"),
    READ("/proc/zoneinfo"),
    READ("/proc/vmstat"),
    READ("/proc/pressure/cpu"),
    READ("/proc/net/softnet_stat"),
    READ("/proc/net/sockstat"),
    READ("/proc/net/sockstat6"),
    READ("/proc/net/protocols"),
    READ("/proc/net/ptype"),
    READ("/proc/net/stat/rt_cache"),
    READ("/proc/net/stat/arp_cache"),
    LIST("/proc/acpi"),
    LIST("/proc/asound"),
    LIST("/proc/bus"),
    LIST("/proc/driver"),
    LIST("/proc/fs"),
    LIST("/proc/irq"),
    LIST("/proc/scsi"),
    LIST("/proc/tty"),
    LIST("/proc/dynamic_debug"),
    LIST("/proc/sys/dev"),
    LIST("/proc/sys/fs"),
    LIST("/proc/sys/debug"),
    {.name = "memory of the host in /proc/meminfo", .run = find_memory, .path = "/proc/meminfo"},
    {.name = "processor of the host in /proc/cpuinfo", .run = find_cpu, .path = "/proc/cpuinfo"},
    {.name = "load of the host in /proc/loadavg", .run = find_load, .path = "/proc/loadavg"},
    {.name = "work of the host in /proc/stat", .run = find_load, .path = "/proc/stat"},
    {.name = "uptime of the host in /proc/uptime", .run = find_uptime, .path = "/proc/uptime"},
    {.name = "boot id of the host", .run = find_boot, .path = "/proc/sys/kernel/random/boot_id"},
    {.name = "name of the host in /proc/sys",
     .run = find_name,
     .path = "/proc/sys/kernel/hostname"},
    READ("/proc/sys/kernel/osrelease"),
    READ("/proc/sys/kernel/version"),
    READ("/proc/sys/kernel/tainted"),
    {.name = "name of the host by uname", .run = ask_name},
    {.name = "release of the kernel by uname",
     .run = ask_release,
     .meant = "programs ask for it to know what they can use"},
    {.name = "memory and uptime of the host by sysinfo",
     .run = ask_sysinfo,
     .meant = "programs size their memory by it"},
    {.name = "the kernel's log by syslog", .run = read_log},
    {.name = "the state of the clock by adjtimex", .run = read_clock_state},
};

const struct attempt_group kernel_group = {"kernel", rows, ARRAY_COUNT(rows)};
