// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/give_up.h"

#include <errno.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attributes.h"

/* Each with what it is for. New user namespaces begin with all of their own, whatever we have. */
static const unsigned int kept[] = {
    CAP_SYS_ADMIN,                         /* namespaces, mounts, loop devices, seccomp */
    CAP_SETUID,       CAP_SETGID,          /* maps of a sandbox's ids; mkfs as somebody else */
    CAP_SETPCAP,                           /* this function */
    CAP_MKNOD,                             /* a sandbox's own /dev/null and its like */
    CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, /* the agent's folder of trees */
    CAP_CHOWN,        CAP_FOWNER,          /* the layers of a root are the service's */
    CAP_KILL,                              /* ends what runs as other ids */
    CAP_SYS_RESOURCE,                      /* control groups' limits, a sandbox's number of files */
    CAP_NET_ADMIN,                         /* the send buffer of mingad's socket */
};

/*
 * A list of what is forbidden, since a service inherits it in front of its own list of what is
 * allowed: the kernel's code (modules, kexec, bpf), other processes' memory, the machine's state,
 * the key rings, and large surfaces that neither we nor mkfs need.
 */
static const char *const forbidden[] = {
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "kexec_load",
    "kexec_file_load",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "pidfd_getfd",
    "kcmp",
    "add_key",
    "request_key",
    "keyctl",
    "reboot",
    "swapon",
    "swapoff",
    "settimeofday",
    "clock_settime",
    "clock_settime64",
    "clock_adjtime",
    "clock_adjtime64",
    "adjtimex",
    "stime",
    "acct",
    "quotactl",
    "quotactl_fd",
    "syslog",
    "iopl",
    "ioperm",
    "modify_ldt",
    "vhangup",
    "fanotify_init",
    "open_by_handle_at",
    "lookup_dcookie",
    "uselib",
    "nfsservctl",
    "setdomainname",
    "migrate_pages",
    "move_pages",
};

static bool is_kept(unsigned int capability)
{
    for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
        if (kept[i] == capability) {
            return true;
        }
    }
    return false;
}

static int drop_capabilities(struct err *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};

    /* A kernel may know more than our headers: it says so by accepting the number. */
    for (unsigned int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
        if (!is_kept(i) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0) {
            return err_set(err, -errno, "drop capability %u: %m", i);
        }
    }
    if (syscall(SYS_capget, &header, sets) < 0) {
        return err_set(err, -errno, "capabilities: %m");
    }
    for (size_t word = 0; word < ARRAY_COUNT(sets); word++) {
        uint32_t mask = 0;

        for (size_t i = 0; i < ARRAY_COUNT(kept); i++) {
            mask |= kept[i] / 32 == word ? 1U << (kept[i] % 32) : 0;
        }
        sets[word].permitted &= mask;
        sets[word].effective &= mask;
        sets[word].inheritable = 0;
    }
    return syscall(SYS_capset, &header, sets) < 0 ? err_set(err, -errno, "capabilities: %m") : 0;
}

static int forbid_calls(struct err *err)
{
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
    int r = context == NULL ? -ENOMEM : 0;

    for (size_t i = 0; i < ARRAY_COUNT(forbidden) && r == 0; i++) {
        int call = seccomp_syscall_resolve_name(forbidden[i]);

        /* Not every architecture, nor every libseccomp, has them all. */
        if (call != __NR_SCMP_ERROR) {
            r = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), call, 0);
            r = r == -EDOM ? 0 : r;
        }
    }
    if (r == 0) {
        r = seccomp_load(context);
    }
    seccomp_release(context);
    errno = -r;
    return r < 0 ? err_set(err, r, "our own seccomp filter: %m") : 0;
}

int give_up_privileges(struct err *err)
{
    int r = drop_capabilities(err);

    return r < 0 ? r : forbid_calls(err);
}
