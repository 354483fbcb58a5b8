// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init/start.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "sandbox/init/copy.h"
#include "sandbox/init/privileges.h"
#include "sandbox/init_protocol.h"
#include "sandbox/spec.h"

#ifdef __GLIBC__ /* which has a type for it, and musl none */
#define RESOURCE(number) ((__rlimit_resource_t)(number))
#else
#define RESOURCE(number) (number)
#endif

enum { DEFAULTS_MAX = 3, EXIT_NO_EXEC = 126, EXIT_NO_PROGRAM = 127 };

int start_prepare(struct start *start, const struct sandbox_spec *spec, int *output_write_fd_out,
                  struct err *err)
{
    int ends[2];

    *start = (struct start){.go_fd = -1, .report_fd = -1, .output_fd = -1};
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return err_set(err, -errno, "output: %m");
    }
    start->output_fd = ends[0];
    *output_write_fd_out = ends[1];
    /* Only our end must not block: the other one would make the service's prints fail. */
    if (fchown(ends[1], spec->user, spec->user) < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) {
        return err_set(err, -errno, "output: %m");
    }
    return 0;
}

static bool spec_sets(const struct sandbox_spec *spec, const char *name)
{
    const char *entry = spec->environment;
    size_t length = strlen(name);

    for (uint32_t i = 0; i < spec->environment_count; i++, entry += strlen(entry) + 1) {
        if (strncmp(entry, name, length) == 0 && entry[length] == '=') {
            return true;
        }
    }
    return false;
}

/* A clean environment: three defaults unless the manifest says otherwise, then the manifest's. */
static void build_environment(struct sandbox_spec *spec, char *hostname_entry, char **words_out)
{
    static char path_entry[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    static char home_entry[] = "HOME=/";
    unsigned count = 0;

    if (!spec_sets(spec, "PATH")) {
        words_out[count++] = path_entry;
    }
    if (!spec_sets(spec, "HOME")) {
        words_out[count++] = home_entry;
    }
    if (!spec_sets(spec, "HOSTNAME")) {
        words_out[count++] = hostname_entry;
    }
    spec_words(spec->environment, spec->environment_count, words_out + count);
}

/*
 * Whatever whoever started us had: the same everywhere, and never more than it was. Of memory,
 * processes and files on disk the control group and the disk are the limits.
 */
static int set_limits(struct err *err)
{
    static const struct {
        int resource;
        rlim_t soft;
        rlim_t hard;
    } limits[] = {
        {RLIMIT_NOFILE, 1024, 65536}, /* what programs expect; select(2) breaks beyond */
        {RLIMIT_CORE, CORE_BYTES_MAX, CORE_BYTES_MAX},
        {RLIMIT_MEMLOCK, 8 << 20, 8 << 20},
        {RLIMIT_MSGQUEUE, 163840, 163840}, /* two usual ones: they count for the host's root too */
        {RLIMIT_SIGPENDING, 4096, 4096},
        {RLIMIT_RTPRIO, 0, 0},
        {RLIMIT_NICE, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_COUNT(limits); i++) {
        struct rlimit limit;

        if (getrlimit(RESOURCE(limits[i].resource), &limit) < 0) {
            return err_set(err, -errno, "limits: %m");
        }
        limit.rlim_max = limit.rlim_max < limits[i].hard ? limit.rlim_max : limits[i].hard;
        limit.rlim_cur = limit.rlim_max < limits[i].soft ? limit.rlim_max : limits[i].soft;
        if (setrlimit(RESOURCE(limits[i].resource), &limit) < 0) {
            return err_set(err, -errno, "limits: %m");
        }
    }
    return 0;
}

/* -1: nowhere. Copies first: what is given may have one of the three numbers. */
static int set_output(const struct exec_pipes *pipes, struct err *err)
{
    enum { SAFE_FD = 64 };
    CLEANUP(cleanup_close) int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int given[] = {pipes->input_fd, pipes->output_fd, pipes->error_fd};
    int safe[3];

    if (null_fd < 0) {
        return err_set(err, -errno, "/dev/null: %m");
    }
    for (int i = 0; i < 3; i++) {
        safe[i] = fcntl(given[i] < 0 ? null_fd : given[i], F_DUPFD_CLOEXEC, SAFE_FD);
    }
    for (int i = 0; i < 3; i++) {
        if (safe[i] < 0 || dup2(safe[i], i) < 0) { /* NOLINT: across an exec it is to stay */
            return err_set(err, -errno, "output: %m");
        }
    }
    return 0;
}

/* With the service's own rights. After the pivot every path is inside; say so if it were not. */
static int enter_workdir(const char *workdir, struct err *err)
{
    char present[PATH_BYTES_MAX];

    if (chdir(workdir) < 0) {
        return err_set(err, -errno, "workdir %s: %m", workdir);
    }
    if (syscall(SYS_getcwd, present, sizeof(present)) < 0) {
        return err_set(err, -errno, "workdir %s: %m", workdir);
    }
    if (present[0] != '/') { /* "(unreachable)...": outside of our root */
        return err_set(err, -EXDEV, "workdir %s: outside of the sandbox", workdir);
    }
    return 0;
}

static int reset_signals(struct err *err)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++) {
        struct sigaction action = {.sa_handler = SIG_DFL};

        /* SIGKILL, SIGSTOP and those of libc refuse; they are at their default anyway. */
        (void)sigaction(number, &action, NULL);
    }
    sigemptyset(&none);
    errno = pthread_sigmask(SIG_SETMASK, &none, NULL);
    if (errno != 0) {
        return err_set(err, -errno, "signals: %m");
    }
    return 0;
}

static int load_filter(struct err *err)
{
    static struct sock_filter program[BPF_MAXINSNS];
    ssize_t length_bytes = pread(INIT_FD_FILTER, program, sizeof(program), 0);
    struct sock_fprog filter;

    if (length_bytes <= 0 || (size_t)length_bytes % sizeof(program[0]) != 0) {
        return err_set(err, -EBADMSG, "seccomp: no filter");
    }
    filter =
        (struct sock_fprog){(unsigned short)((size_t)length_bytes / sizeof(program[0])), program};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0) {
        return err_set(err, -errno, "seccomp: %m");
    }
    return 0;
}

/* What every process of the service's has been through before any byte of it runs. */
static int become_service(const struct sandbox_spec *spec, const struct exec_pipes *pipes,
                          struct err *err)
{
    int r;

    if (setsid() < 0) {
        return err_set(err, -errno, "session: %m");
    }
    umask(022);
    r = set_output(pipes, err);
    if (r == 0) {
        r = set_limits(err);
    }
    if (r == 0) {
        r = privileges_of_service(spec->user, err);
    }
    if (r == 0) {
        r = enter_workdir(spec->workdir, err);
    }
    if (r == 0) {
        r = reset_signals(err);
    }
    if (r == 0 && syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) < 0) {
        r = err_set(err, -errno, "close descriptors: %m");
    }
    return r == 0 ? load_filter(err) : r;
}

struct words { /* of a process to come */
    char hostname_entry[sizeof("HOSTNAME=") + sizeof(((struct sandbox_spec *)NULL)->hostname)];
    char *environment[ENVIRONMENT_MAX + DEFAULTS_MAX + 1];
};

static void fill_words(struct sandbox_spec *spec, struct words *words)
{
    CHECK(snprintf(words->hostname_entry, sizeof(words->hostname_entry), "HOSTNAME=%s",
                   spec->hostname) > 0);
    build_environment(spec, words->hostname_entry, words->environment);
}

/* Executes `arguments` as the service. Returns only when it has failed. */
static int execute_service(struct sandbox_spec *spec, char *const *arguments, int output_write_fd,
                           struct err *err)
{
    const struct exec_pipes pipes = {-1, output_write_fd, output_write_fd};
    struct words words;
    int r;

    fill_words(spec, &words);
    r = become_service(spec, &pipes, err);
    if (r == 0) {
        execve(arguments[0], arguments, words.environment);
        r = err_set(err, -errno, "%s: %m", arguments[0]);
    }
    return r;
}

static int enter_cgroup(struct err *err)
{
    for (int i = 0; i < INIT_ENTRIES; i++) {
        if (write(INIT_FD_ENTRIES + i, "0", 1) < 0) {
            return err_set(err, -errno, "enter the control group: %m");
        }
    }
    return 0;
}

static _Noreturn void run_child(struct sandbox_spec *spec, int output_write_fd, int go_fd,
                                int report_fd)
{
    char *arguments[ARGUMENTS_MAX + 1];
    struct err err = {0};
    char go;
    int r = enter_cgroup(&err);

    if (r == 0 && read(go_fd, &go, 1) != 1) {
        _exit(1); /* init is gone, and with it everybody who could want to know */
    } else if (r == 0) {
        spec_words(spec->arguments, spec->argument_count, arguments);
        (void)execute_service(spec, arguments, output_write_fd, &err);
    }
    /* Short enough for a pipe to take at once. */
    if (write(report_fd, err.text, strlen(err.text)) < 0) {
        _exit(1);
    }
    _exit(1);
}

int start_fork(struct start *start, struct sandbox_spec *spec, int output_write_fd, struct err *err)
{
    CLEANUP(cleanup_close) int write_fd = output_write_fd;
    int go[2] = {-1, -1};
    int report[2] = {-1, -1};
    pid_t pid;

    if (pipe2(go, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0) {
        return err_set(err, -errno, "start: %m");
    }
    pid = fork();
    if (pid == 0) {
        close(go[1]);
        close(report[0]);
        run_child(spec, write_fd, go[0], report[1]);
    }
    close(go[0]);
    close(report[1]);
    start->go_fd = go[1];
    start->report_fd = report[0];
    if (pid < 0 || fcntl(report[0], F_SETFL, O_NONBLOCK) < 0) {
        return err_set(err, -errno, "start: %m");
    }
    start->pid = pid;
    return 0;
}

bool start_probes(const struct sandbox_spec *spec)
{
    return spec->health.argument_count > 0;
}

pid_t start_probe(struct sandbox_spec *spec)
{
    char *arguments[HEALTH_ARGUMENTS_MAX + 1];
    struct err err = {0};
    pid_t pid = fork();

    if (pid != 0) {
        return pid < 0 ? -errno : pid;
    }
    spec_words(spec->health.arguments, spec->health.argument_count, arguments);
    if (enter_cgroup(&err) == 0) {
        (void)execute_service(spec, arguments, -1, &err);
    }
    _exit(1);
}

/* By the PATH that the environment says, as the service itself would. */
static void execute_found(char *const *arguments, char *const *environment)
{
    const char *path = "";
    int first_errno = ENOENT;

    if (strchr(arguments[0], '/') != NULL) {
        execve(arguments[0], arguments, environment);
        return;
    }
    for (char *const *entry = environment; *entry != NULL; entry++) {
        path = strncmp(*entry, "PATH=", 5) == 0 ? *entry + 5 : path;
    }
    while (*path != '\0') {
        int length = (int)strcspn(path, ":");
        char program[PATH_BYTES_MAX];

        if (snprintf(program, sizeof(program), "%.*s/%s", length, path, arguments[0]) <
            (int)sizeof(program)) {
            execve(program, arguments, environment);
        }
        if (errno != ENOENT && errno != ENOTDIR && first_errno == ENOENT) {
            first_errno = errno;
        }
        path += length + (path[length] == ':' ? 1 : 0);
    }
    errno = first_errno;
}

static _Noreturn void run_command(char *const *arguments, char *const *environment)
{
    execute_found(arguments, environment);
    dprintf(STDERR_FILENO, "minga: %s: %m\n", arguments[0]);
    _exit(errno == ENOENT ? EXIT_NO_PROGRAM : EXIT_NO_EXEC);
}

/* This program's own code goes on, as the service: nothing of init's may stay within reach. */
static _Noreturn void run_copy(const struct exec_begin *begin, char *const *arguments)
{
    struct err err = {0};
    int r;

    if (syscall(SYS_close_range, 3, ~0U, 0) < 0) {
        _exit(EXIT_NO_EXEC);
    }
    r = begin->kind == EXEC_FETCH ? copy_fetch(arguments[0], &err)
                                  : copy_store(arguments[0], arguments[1], &err);
    if (r < 0) {
        dprintf(STDERR_FILENO, "%s\n", err.text);
    }
    _exit(r < 0 ? 1 : 0);
}

pid_t start_exec(struct sandbox_spec *spec, struct exec_begin *begin,
                 const struct exec_pipes *pipes)
{
    char *arguments[EXEC_WORDS_MAX + 1];
    struct words words;
    struct err err = {0};
    pid_t pid = fork();

    if (pid != 0) {
        return pid < 0 ? -errno : pid;
    }
    spec_words(begin->words, begin->word_count, arguments);
    fill_words(spec, &words);
    if (enter_cgroup(&err) == 0 && become_service(spec, pipes, &err) == 0) {
        if (begin->kind == EXEC_RUN) {
            run_command(arguments, words.environment);
        }
        run_copy(begin, arguments);
    }
    dprintf(pipes->error_fd, "minga: %s\n", err.text);
    _exit(EXIT_NO_EXEC);
}

int start_release(struct start *start)
{
    ssize_t written_bytes;

    CHECK(start->pid > 0);
    if (start->go_fd < 0) {
        return -EALREADY;
    }
    written_bytes = write(start->go_fd, "", 1);
    close(start->go_fd);
    start->go_fd = -1;
    return written_bytes == 1 ? 0 : -EPIPE;
}

int start_outcome(struct start *start, struct err *err)
{
    char text[ERR_TEXT_BYTES_MAX];
    ssize_t count_bytes = read(start->report_fd, text, sizeof(text) - 1);

    if (count_bytes < 0 && errno == EAGAIN) {
        return -EAGAIN;
    }
    close(start->report_fd);
    start->report_fd = -1;
    if (count_bytes == 0 && start->go_fd >= 0) {
        return err_set(err, -ECANCELED, "killed before it was started");
    }
    if (count_bytes == 0) {
        return 0;
    }
    text[count_bytes < 0 ? 0 : count_bytes] = '\0';
    return err_set(err, -ECANCELED, "%s", text);
}

/* By the linker: where our code begins and ends in memory. */
extern const char __executable_start[];
extern const char etext[];

void start_forget_code(void)
{
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = (uintptr_t)__executable_start & ~(page_bytes - 1);
    uintptr_t end = (uintptr_t)etext & ~(page_bytes - 1);

    CHECK(begin < end);
    (void)syscall(SYS_madvise, begin, end - begin, MADV_DONTNEED);
}
