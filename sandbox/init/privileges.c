// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/init_protocol.h"

enum { CAPABILITY_LAST = 63 };

static int set_capabilities(uint32_t permitted)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = permitted, .permitted = permitted}};

    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* Nothing that is executed from here on can gain a capability, whatever its files say. */
static int close_ways_up(void)
{
    unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                         SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

    for (unsigned long capability = 0; capability <= CAPABILITY_LAST; capability++) {
        /* The kernel knows fewer than 64: EINVAL ends the list. */
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
            if (errno != EINVAL) {
                return -errno;
            }
            break;
        }
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return -errno;
    }
    return 0;
}

static int become(uint32_t user)
{
    if (setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 ||
        setresuid(user, user, user) < 0) {
        return -errno;
    }
    return 0;
}

static int fail(struct err *err, int code, const char *what)
{
    errno = -code;
    return err_set(err, code, "%s: %m", what);
}

/* Also while the service runs: probes and execs are started beside it, as its user. */
static const uint32_t to_start = 1U << CAP_KILL | 1U << CAP_SETUID | 1U << CAP_SETGID;

int privileges_of_init(struct err *err)
{
    int r;

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        return fail(err, -errno, "init: prctl");
    }
    r = close_ways_up();
    /* After the secure bits, of which this is one. */
    if (r == 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) {
        r = -errno;
    }
    if (r == 0) {
        r = become(INIT_UID);
    }
    if (r == 0) {
        r = set_capabilities(to_start);
    }
    if (r < 0) {
        return fail(err, r, "init: give up privileges");
    }
    /* Both are reset by the kernel when the credentials change. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) {
        return fail(err, -errno, "init: prctl");
    }
    return 0;
}

int privileges_when_started(struct err *err)
{
    if (prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        return fail(err, -errno, "init: prctl");
    }
    return 0;
}

int privileges_of_service(uint32_t user, struct err *err)
{
    int r = prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0 ? -errno : 0;

    if (r == 0) {
        r = become(user);
    }
    /* uid 0 would have got the effective ones back, another uid has kept init's. */
    if (r == 0) {
        r = set_capabilities(0);
    }
    /* Until an execve the memory is init's, whatever the host has fs.suid_dumpable say. */
    if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        r = -errno;
    }
    return r < 0 ? fail(err, r, "user") : 0;
}
