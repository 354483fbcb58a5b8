// SPDX-License-Identifier: GPL-3.0-or-later
/* What this machine has: for shares of it, and for what the node says about itself. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/mingad/config/config.h"

/*
 * Of the agent itself, as the filter of a sandbox knows that machine's calls only. (uname(2) tells the kernel's,
 * which may be of 64 bits below a system of 32.)
 */
#if defined(__x86_64__) && defined(__LP64__)
static const enum manifest_arch own_arch = MANIFEST_ARCH_AMD64;
#elif defined(__aarch64__)
static const enum manifest_arch own_arch = MANIFEST_ARCH_ARM64;
#elif defined(__ARM_PCS_VFP) && __ARM_ARCH >= 7
static const enum manifest_arch own_arch = MANIFEST_ARCH_ARMHF;
#elif defined(__i386__)
static const enum manifest_arch own_arch = MANIFEST_ARCH_I386;
#elif defined(__riscv) && __riscv_xlen == 64
static const enum manifest_arch own_arch = MANIFEST_ARCH_RISCV64;
#else
static const enum manifest_arch own_arch = MANIFEST_ARCH_ANY;
#endif

/* The nearest folder above `path` that exists: there the state will lie. */
static int file_system_of(const char *path, struct statvfs *file_system_out)
{
    char folder[CONFIG_STATE_BYTES_MAX];

    if (text_copy(folder, sizeof(folder), path) < 0) {
        return -ENAMETOOLONG;
    }
    while (statvfs(folder, file_system_out) < 0) {
        char *slash = strrchr(folder, '/');

        if (errno != ENOENT || slash == NULL) {
            return -errno;
        }
        slash[slash == folder ? 1 : 0] = '\0';
    }
    return 0;
}

/* The first label of the host's name, as far as it has letters that a node's name may have. */
static void copy_host_name(const char *host, char name_out[NODE_NAME_CHARS_MAX + 1])
{
    size_t length_chars = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789-_");

    if (length_chars > NODE_NAME_CHARS_MAX) {
        length_chars = NODE_NAME_CHARS_MAX;
    }
    if (length_chars == 0) {
        (void)text_copy(name_out, NODE_NAME_CHARS_MAX + 1, "node");
        return;
    }
    memcpy(name_out, host, length_chars);
    name_out[length_chars] = '\0';
}

int machine_inspect(const char *state, struct machine *machine_out, struct err *err)
{
    struct machine machine = {0};
    struct statvfs file_system;
    struct sysinfo info;
    struct utsname names;
    cpu_set_t cpus;
    int r = file_system_of(state, &file_system);

    if (r < 0) {
        errno = -r;
        return err_set(err, r, "%s: %m", state);
    }
    if (sysinfo(&info) < 0 || uname(&names) < 0) {
        return err_set(err, -errno, "this machine: %m");
    }
    long cpu_count = sysconf(_SC_NPROCESSORS_ONLN);

    CPU_ZERO(&cpus);
    if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < cpu_count) {
        cpu_count = CPU_COUNT(&cpus);
    }
    machine.cpu_permille = (uint64_t)(cpu_count < 1 ? 1 : cpu_count) * 1000;
    machine.memory_bytes = (uint64_t)info.totalram * info.mem_unit;
    machine.disk_bytes = (uint64_t)file_system.f_blocks * file_system.f_frsize;
    machine.arch = own_arch;
    copy_host_name(names.nodename, machine.host_name);
    *machine_out = machine;
    return 0;
}
