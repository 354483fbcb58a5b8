// SPDX-License-Identifier: GPL-3.0-or-later
/* System calls that reach into the kernel or for the machine. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "sandbox/prove/attempt.h"

enum { RING_ENTRIES = 4, RING_BYTES = 256, PAGE_BYTES = 4096, AIO_REQUESTS = 1000 };

static void load_bpf(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    union bpf_attr map = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};

    (void)attempt;
    (void)facts;
    if (syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof(map)) >= 0) {
        outcome_open(out, "a map was made");
    } else {
        outcome_of_error(out, errno);
    }
}

static void open_perf(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE,
                                    .size = sizeof(event),
                                    .config = PERF_COUNT_SW_PAGE_FAULTS,
                                    .exclude_kernel = 1,
                                    .exclude_hv = 1};

    (void)attempt;
    (void)facts;
    if (syscall(SYS_perf_event_open, &event, 0, -1, -1, 0) >= 0) {
        outcome_open(out, "a counter was opened");
    } else {
        outcome_of_error(out, errno);
    }
}

static void set_up_ring(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    unsigned char parameters[RING_BYTES] = {0};

    (void)attempt;
    (void)facts;
    if (syscall(SYS_io_uring_setup, RING_ENTRIES, parameters) >= 0) {
        outcome_open(out, "a ring was made");
    } else {
        outcome_of_error(out, errno);
    }
}

/* All replicas and the host share one small number of these (fs.aio-max-nr). */
static void set_up_aio(const struct attempt *attempt, const struct facts *facts,
                       struct outcome *out)
{
    unsigned long context = 0;

    (void)attempt;
    (void)facts;
    if (syscall(SYS_io_setup, AIO_REQUESTS, &context) == 0) {
        outcome_open(out, "takes of a number that the whole host shares");
    } else {
        outcome_of_error(out, errno);
    }
}

static void listen_to_filter(const struct attempt *attempt, const struct facts *facts,
                             struct outcome *out)
{
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {ARRAY_COUNT(allow), allow};

    (void)attempt;
    (void)facts;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program) >=
        0) {
        outcome_open(out, "a listener was made");
    } else {
        outcome_of_error(out, errno);
    }
}

/* A first process whose tracer we are, from its birth. */
static void trace_child(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    (void)attempt;
    (void)facts;
    if (syscall(SYS_ptrace, 0 /* TRACEME */, 0, 0, 0) == 0) {
        outcome_open(out, "traced");
    } else {
        outcome_of_error(out, errno);
    }
}

/* Code that is on no file system: written to memory, then executed. */
static void execute_memory(const struct attempt *attempt, const struct facts *facts,
                           struct outcome *out)
{
    static const char script[] = "#!/probe\n";
    CLEANUP(cleanup_close) int fd = memfd_create("code", MFD_CLOEXEC);
    char *const arguments[] = {NULL};

    (void)attempt;
    (void)facts;
    /* A script must stay open for whoever interprets it. */
    if (fd < 0 || fcntl(fd, F_SETFD, 0) < 0 || write(fd, script, sizeof(script) - 1) < 0) {
        outcome_of_error(out, errno);
        return;
    }
    /* Executed, it would be this program again with an unknown word: exit status 2. */
    pid_t pid = fork();
    if (pid == 0) {
        close(STDERR_FILENO); /* where our outcome goes, and its complaint would */
        syscall(SYS_execveat, fd, "", arguments, arguments, AT_EMPTY_PATH);
        _exit(errno == EACCES || errno == EPERM ? 100 : 101);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 100) {
        outcome_stopped(out, "Permission denied");
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == 101) {
        outcome_unsure(out, "not executed");
    } else {
        outcome_open(out, "executed");
    }
}

static void set_user_bit(const struct attempt *attempt, const struct facts *facts,
                         struct outcome *out)
{
    CLEANUP(cleanup_close)
    int fd = open("/tmp/minga-probe-bits", O_WRONLY | O_CREAT | O_CLOEXEC, 0700);

    (void)facts;
    if (fd < 0) {
        outcome_unsure(out, "no file to try it on");
    } else if (fchmod(fd, (mode_t)attempt->number | 0755) < 0) {
        outcome_of_error(out, errno);
    } else {
        outcome_open(out, "set");
    }
    unlink("/tmp/minga-probe-bits");
}

static void judge_created(int fd, const char *path, struct outcome *out)
{
    if (fd < 0) {
        outcome_of_error(out, errno);
    } else {
        outcome_open(out, "created");
        unlink(path);
    }
}

static void create_with_bit(const struct attempt *attempt, const struct facts *facts,
                            struct outcome *out)
{
    static const char path[] = "/tmp/minga-probe-created";
    CLEANUP(cleanup_close)
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, (mode_t)attempt->number | 0755);

    (void)facts;
    judge_created(fd, path, out);
}

/* Its mode lies in memory, where no filter sees it. */
static void create_by_structure(const struct attempt *attempt, const struct facts *facts,
                                struct outcome *out)
{
    static const char path[] = "/tmp/minga-probe-structure";
    struct open_how how = {.flags = O_WRONLY | O_CREAT | O_CLOEXEC,
                           .mode = (uint64_t)attempt->number | 0755};
    CLEANUP(cleanup_close)
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

    (void)facts;
    judge_created(fd, path, out);
}

static void set_attribute(const struct attempt *attempt, const struct facts *facts,
                          struct outcome *out)
{
    /* struct vfs_cap_data, revision 2: cap_sys_admin permitted and effective. */
    static const unsigned char everything[20] = {1, 0, 0, 2, 0, 0, 32, 0};
    CLEANUP(cleanup_close)
    int fd = open("/tmp/minga-probe-attribute", O_WRONLY | O_CREAT | O_CLOEXEC, 0700);

    (void)facts;
    if (fd < 0) {
        outcome_unsure(out, "no file to try it on");
    } else if (syscall(SYS_fsetxattr, fd, attempt->path, everything, sizeof(everything), 0) < 0) {
        outcome_of_error(out, errno);
    } else {
        outcome_open(out, "set");
    }
    unlink("/tmp/minga-probe-attribute");
}

#ifdef __x86_64__
static long ask_i386(long number)
{
    __asm__ volatile("int $0x80" : "+a"(number) : : "memory", "r8", "r9", "r10", "r11");
    return number;
}

/* A kernel without them sends a signal, which is no answer either. */
static bool has_i386(const struct attempt *attempt, const struct facts *facts)
{
    (void)attempt;
    (void)facts;
    return ask_i386(20) > 0;
}

/* getpid by the 32-bit numbers, which a filter for 64 bits would take for others. */
static void call_i386(const struct attempt *attempt, const struct facts *facts, struct outcome *out)
{
    long r = ask_i386(20);

    (void)attempt;
    (void)facts;
    if (r > 0) {
        outcome_open(out, "a 32-bit call was made");
    } else {
        outcome_of_error(out, (int)-r);
    }
}
#endif

#define IOCTL(text, request)                                                     \
    {                                                                            \
        .name = (text), .run = attempt_call, .number = SYS_ioctl, .arguments = { \
            0,                                                                   \
            (long)(request),                                                     \
            TEXT("x")                                                            \
        }                                                                        \
    }

/* Pages that others have, too, become one with theirs: the time of a write tells whose are alike. */
static void share_pages(const struct attempt *attempt, const struct facts *facts,
                        struct outcome *out)
{
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)attempt;
    (void)facts;
    if (page == MAP_FAILED) {
        outcome_unsure(out, "no page");
    } else if (madvise(page, PAGE_BYTES, MADV_MERGEABLE) == 0) {
        outcome_open(out, "its pages may become one with others'");
    } else if (errno == EINVAL) {
        outcome_stopped(out, "Invalid argument");
    } else {
        outcome_of_error(out, errno);
    }
    if (page != MAP_FAILED) {
        munmap(page, PAGE_BYTES);
    }
}

static bool has_shared_pages(const struct attempt *attempt, const struct facts *facts)
{
    struct outcome outcome = {0};

    share_pages(attempt, facts, &outcome);
    return outcome.verdict == VERDICT_OPEN;
}

static const struct attempt rows[] = {
    {.name = "bpf", .run = load_bpf, .control = control_call, .number = SYS_bpf},
    {.name = "perf_event_open",
     .run = open_perf,
     .control = control_call,
     .number = SYS_perf_event_open},
    {.name = "io_uring_setup",
     .run = set_up_ring,
     .control = control_call,
     .number = SYS_io_uring_setup},
    {.name = "io_setup", .run = set_up_aio, .control = control_call, .number = SYS_io_setup},
    CALL("io_uring_register", SYS_io_uring_register, -1, 0, 0, 0),
    CALL("userfaultfd", SYS_userfaultfd, 1),
    CALL("keyctl", SYS_keyctl, 0, -3, 1),
    CALL("add_key", SYS_add_key, TEXT("user"), TEXT("probe"), TEXT("x"), 1, -2),
    CALL("request_key", SYS_request_key, TEXT("user"), TEXT("probe"), 0, -2),
    {.name = "ptrace", .run = trace_child},
    {.name = "seccomp's user notification", .run = listen_to_filter},
    CALL("personality: other system calls", SYS_personality, PER_LINUX32),
    CALL("personality: no random addresses", SYS_personality, ADDR_NO_RANDOMIZE),
    CALL("personality: read implies execute", SYS_personality, READ_IMPLIES_EXEC),
#ifdef __x86_64__
    {.name = "a call by its 32-bit number", .run = call_i386, .control = has_i386},
    CALL("a call by its x32 number", 0x40000000L | 39),
    CALL("iopl", SYS_iopl, 3),
    CALL("ioperm", SYS_ioperm, 0x70, 2, 1),
    CALL("modify_ldt", SYS_modify_ldt, 0, TEXT("x"), 0),
    CALL("ustat", SYS_ustat, 0, 0),
    CALL("_sysctl", SYS__sysctl, 0),
#endif
    CALL("init_module", SYS_init_module, TEXT("x"), 1, TEXT("")),
    CALL("finit_module", SYS_finit_module, 0, TEXT(""), 0),
    CALL("delete_module", SYS_delete_module, TEXT("probe"), O_NONBLOCK),
    CALL("kexec_load", SYS_kexec_load, 0, 0, 0, 0),
    CALL("kexec_file_load", SYS_kexec_file_load, 0, 0, 0, 0, 0),
    CALL("reboot", SYS_reboot, (int)0xfee1dead, 672274793, 0 /* no Ctrl-Alt-Del */, 0),
    CALL("acct", SYS_acct, 0),
    CALL("vhangup", SYS_vhangup),
    CALL("settimeofday", SYS_settimeofday, 0, 0),
    CALL("clock_settime", SYS_clock_settime, 0, 0),
    CALL("clock_adjtime", SYS_clock_adjtime, 0, 0),
    CALL("lookup_dcookie", SYS_lookup_dcookie, 0, 0, 0),
#ifdef SYS_memfd_secret /* not on 32-bit ARM */
    CALL("memfd_secret", SYS_memfd_secret, 0),
#endif
    CALL("move_pages", SYS_move_pages, 1, 0, 0, 0, 0, 0),
    CALL("migrate_pages", SYS_migrate_pages, 1, 0, 0, 0),
    CALL("set_mempolicy", SYS_set_mempolicy, 0, 0, 0),
    CALL("mbind", SYS_mbind, 0, 0, 0, 0, 0, 0),
    CALL("ioprio_set: before the host's programs", SYS_ioprio_set, 1, 0,
         2 << 13 /* best effort, 0 */),
    CALL("sched_setattr", SYS_sched_setattr, 0, 0, 0),
    CALL("memfd_create: for code, by name", SYS_memfd_create, TEXT("code"), 0x10 /* MFD_EXEC */),
    CALL("memfd_create: huge pages", SYS_memfd_create, TEXT("huge"), MFD_HUGETLB),
    CALL("get_mempolicy", SYS_get_mempolicy, 0, 0, 0, 0, 0),
    CALL("quotactl_fd", SYS_quotactl_fd, 0, 0, 0, 0),
    CALL("process_mrelease", SYS_process_mrelease, -1, 0),
    CALL("prctl: other memory layout", SYS_prctl, PR_SET_MM, PR_SET_MM_BRK, 0, 0, 0),
    CALL("prctl: core scheduling", SYS_prctl, PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, 0, 0),
    CALL("prctl: secure bits", SYS_prctl, PR_SET_SECUREBITS, 0, 0, 0, 0),
    CALL("prctl: flusher of file systems", SYS_prctl, PR_SET_IO_FLUSHER, 1, 0, 0, 0),
    CALL("prctl: dispatch of calls", SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0),
    {.name = "share pages with others (KSM)", .run = share_pages, .control = has_shared_pages},
    CALL("prctl: share all pages (KSM)", SYS_prctl, 67 /* PR_SET_MEMORY_MERGE */, 1, 0, 0, 0),
    {.name = "execute from memory",
     .run = execute_memory,
     .meant = "kernels before 6.3 cannot forbid it"},
    {.name = "set the set-user-ID bit", .run = set_user_bit, .number = S_ISUID},
    {.name = "set the set-group-ID bit", .run = set_user_bit, .number = S_ISGID},
    {.name = "create a set-user-ID file", .run = create_with_bit, .number = S_ISUID},
    {.name = "create a set-group-ID file", .run = create_with_bit, .number = S_ISGID},
    {.name = "create a set-user-ID file (openat2)", .run = create_by_structure, .number = S_ISUID},
    {.name = "give a file capabilities", .run = set_attribute, .path = "security.capability"},
    {.name = "write an overlay's own attribute",
     .run = set_attribute,
     .path = "trusted.overlay.redirect"},
    IOCTL("type into a terminal (TIOCSTI)", TIOCSTI),
    IOCTL("type into a terminal (TIOCSTI, high bits)", TIOCSTI | 1ULL << 32),
    IOCTL("paste into a console (TIOCLINUX)", TIOCLINUX),
    IOCTL("take the console's output (TIOCCONS)", TIOCCONS),
    IOCTL("unplug a loop device", 0x4C01),
    IOCTL("freeze a file system", 0xC0045877),
};

const struct attempt_group calls_group = {"calls", rows, ARRAY_COUNT(rows)};
