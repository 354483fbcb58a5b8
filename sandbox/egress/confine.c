// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/egress/confine.h"

#include <errno.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/attributes.h"

static int load(scmp_filter_ctx context, int r)
{
    if (r == 0) {
        r = seccomp_load(context);
    }
    seccomp_release(context);
    return r;
}

int confine_pump(void)
{
    static const int calls[] = {
        SCMP_SYS(read),
        SCMP_SYS(write),
        SCMP_SYS(recvfrom),
        SCMP_SYS(sendto),
        SCMP_SYS(poll),
        SCMP_SYS(ppoll),
        SCMP_SYS(ppoll_time64),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(sigreturn),
        SCMP_SYS(recv),
        SCMP_SYS(send),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_gettime64),
        SCMP_SYS(restart_syscall),
    };
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int r = 0;

    if (context == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < ARRAY_COUNT(calls) && r == 0; i++) {
        r = seccomp_rule_add(context, SCMP_ACT_ALLOW, calls[i], 0);
        r = r == -EDOM ? 0 : r; /* not a call of this architecture */
    }
    if (r == 0) { /* how much passt has not read yet */
        r = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                             SCMP_A1_64(SCMP_CMP_MASKED_EQ, 0xffffffff, SIOCOUTQ));
    }
    return load(context, r);
}

int confine_stack(void)
{
    static const int forbidden[] = {
        SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
        SCMP_SYS(keyctl), SCMP_SYS(add_key),          SCMP_SYS(request_key),
        SCMP_SYS(bpf),    SCMP_SYS(io_uring_setup),   SCMP_SYS(userfaultfd)};
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
    int r;

    if (context == NULL) {
        return -ENOMEM;
    }
    r = seccomp_rule_add(context, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                         SCMP_A0_64(SCMP_CMP_MASKED_EQ, 0xffffffff, AF_UNIX));
    for (size_t i = 0; i < ARRAY_COUNT(forbidden) && r == 0; i++) {
        r = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), forbidden[i], 0);
        r = r == -EDOM ? 0 : r;
    }
    return load(context, r);
}
