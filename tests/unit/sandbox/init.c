// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * minga-init itself, as pid 1 of real namespaces, with busybox as the service and this test in
 * the place of minga-sandboxd. Skipped without root or busybox. Cgroups, mounts and the real
 * seccomp filter are minga-sandboxd's, and tested with it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"
#include "sandbox/init_protocol.h"
#include "sandbox/line.h"
#include "sandbox/logs.h"
#include "sandbox/spec.h"

enum { UID_BASE = 1879048192, SERVICE_PORT = 8080, WAIT_MS = 5000, DESCRIPTORS = 14 };

static const char BUSYBOX[] = "/usr/bin/busybox";

struct sandbox {
    pid_t pid; /* of init, in our namespace */
    int control_fd;
    int log_fds[2];
    struct sockaddr_un address; /* of init's listening socket */
    socklen_t address_bytes;
    uint16_t host_port;
    pid_t service_pid;
};

/* A failed test must not leave a sandbox behind, and a started one outlives its helper. */
static pid_t launched_pid;

static void end_launched(void)
{
    if (launched_pid > 0 && kill(launched_pid, SIGKILL) == 0) {
        (void)waitpid(launched_pid, NULL, 0);
    }
}

TestSuite(init, .fini = end_launched);

static struct sandbox_spec spec_of(const char *script)
{
    struct sandbox_spec spec;
    size_t used = 0;
    const char *const words[] = {BUSYBOX, "sh", "-c", script};

    memset(&spec, 0, sizeof(spec));
    spec.key = (struct replica_key){.slot = 1, .incarnation = 1};
    spec.argument_count = 4;
    for (unsigned i = 0; i < 4; i++) {
        CHECK(used + strlen(words[i]) + 1 <= sizeof(spec.arguments));
        memcpy(spec.arguments + used, words[i], strlen(words[i]) + 1);
        used += strlen(words[i]) + 1;
    }
    memcpy(spec.environment, "GREETING=hello", sizeof("GREETING=hello"));
    spec.environment_count = 1;
    memcpy(spec.workdir, "/tmp", sizeof("/tmp"));
    spec.user = 1234;
    spec.limits = (struct sandbox_limits){1000, 1 << 26, 1 << 26, 64};
    spec.stop_signal = SIGTERM;
    spec.stop_grace_ms = 300;
    spec.logs_bytes = 65536;
    memcpy(spec.hostname, "wiki-1", sizeof("wiki-1"));
    return spec;
}

static int memory_file(const void *data, size_t length_bytes)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    CHECK(fd >= 0);
    CHECK(file_write_all(fd, (struct bytes){data, length_bytes}) == 0);
    return fd;
}

/* The program that was built beside this test. */
static int open_program(void)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 16);

    CHECK(length > 0);
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    CHECK(slash != NULL);
    memcpy(slash, "/minga-init", sizeof("/minga-init"));
    return open(path, O_RDONLY | O_CLOEXEC);
}

static int filter_file(void)
{
    const struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};

    return memory_file(allow, sizeof(allow));
}

static int listen_for_helper(struct sandbox *sandbox)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    sandbox->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    /* Bound without a name, the kernel chooses an abstract one. */
    CHECK(bind(fd, (struct sockaddr *)&sandbox->address, sizeof(sa_family_t)) == 0);
    sandbox->address_bytes = sizeof(sandbox->address);
    CHECK(getsockname(fd, (struct sockaddr *)&sandbox->address, &sandbox->address_bytes) == 0);
    CHECK(listen(fd, 4) == 0);
    return fd;
}

static int listen_for_clients(struct sandbox *sandbox)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 64) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &address_bytes) == 0);
    sandbox->host_port = ntohs(address.sin_port);
    return fd;
}

static void loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    CHECK(ioctl(fd, SIOCSIFFLAGS, &request) == 0);
    close(fd);
}

static _Noreturn void be_init(int program_fd, const int fds[DESCRIPTORS], int go_fd)
{
    char *arguments[] = {(char[]){"minga-init"}, NULL};
    char *environment[] = {NULL};
    int high[DESCRIPTORS];
    char byte;

    CHECK(read(go_fd, &byte, 1) == 1);
    CHECK(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0);
    loopback_up();
    CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CHECK(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0);
    program_fd = fcntl(program_fd, F_DUPFD_CLOEXEC, 200);
    for (int i = 0; i < DESCRIPTORS; i++) {
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 100);
    }
    for (int i = 0; i < DESCRIPTORS; i++) {
        CHECK(dup2(high[i], INIT_FD_CONTROL + i) == INIT_FD_CONTROL + i);
    }
    syscall(SYS_execveat, program_fd, "", arguments, environment, AT_EMPTY_PATH);
    _exit(127);
}

static void write_map(pid_t pid, const char *file)
{
    char path[64];
    char text[64];

    CHECK(snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file) > 0);
    CHECK(snprintf(text, sizeof(text), "0 %u 65536", (unsigned)UID_BASE) > 0);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) > 0);
    close(fd);
}

static void launch(struct sandbox *sandbox, const struct sandbox_spec *spec)
{
    const unsigned long flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS |
                                CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD;
    const struct line_file line = {0};
    uint8_t encoded[SPEC_BYTES_MAX];
    size_t encoded_bytes = 0;
    int control[2];
    int go[2];

    CHECK(spec_encode(spec, encoded, sizeof(encoded), &encoded_bytes) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) == 0);
    CHECK(pipe2(go, O_CLOEXEC) == 0);
    sandbox->log_fds[0] = memory_file("", 0);
    sandbox->log_fds[1] = memory_file("", 0);
    int program_fd = open_program();
    CHECK(program_fd >= 0);
    const int fds[DESCRIPTORS] = {control[1],
                                  listen_for_helper(sandbox),
                                  memory_file(encoded, encoded_bytes),
                                  filter_file(),
                                  sandbox->log_fds[0],
                                  sandbox->log_fds[1],
                                  memory_file("", 0), /* stands for the uid range's lock */
                                  memory_file("", 0), /* and these for the doors of a cgroup */
                                  memory_file("", 0),
                                  memory_file("", 0),
                                  memory_file("", 0),
                                  memory_file("", 0),
                                  memory_file(&line, sizeof(line)),
                                  listen_for_clients(sandbox)};
    sandbox->control_fd = control[0];
    sandbox->pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, 0UL);
    if (sandbox->pid == 0) {
        be_init(program_fd, fds, go[0]);
    }
    CHECK(sandbox->pid > 0);
    launched_pid = sandbox->pid;
    write_map(sandbox->pid, "uid_map");
    write_map(sandbox->pid, "gid_map");
    CHECK(write(go[1], "", 1) == 1);
    close(go[0]);
    close(go[1]);
    close(program_fd);
    close(control[1]);
    for (int i = 1; i < DESCRIPTORS; i++) {
        if (fds[i] != sandbox->log_fds[0] && fds[i] != sandbox->log_fds[1]) {
            close(fds[i]);
        }
    }
}

static struct init_message hear(struct sandbox *sandbox)
{
    struct init_message message = {.kind = INIT_ENDED};
    struct pollfd poll_fd = {sandbox->control_fd, POLLIN, 0};

    do { /* counts of connections come in between */
        cr_assert_eq(poll(&poll_fd, 1, WAIT_MS), 1, "init says nothing");
        cr_assert_eq(init_message_receive(sandbox->control_fd, &message), 0);
    } while (message.kind == INIT_COUNTS);
    if (message.kind == INIT_REFUSED) {
        fprintf(stderr, "refused: %s\n", message.reason);
    }
    return message;
}

static void say(const struct sandbox *sandbox, enum init_message_kind kind)
{
    cr_assert_eq(init_message_send(sandbox->control_fd, &(struct init_message){.kind = kind}), 0);
}

static pid_t child_of(pid_t pid)
{
    char path[64];
    char text[32] = "";

    CHECK(snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid) > 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && read(fd, text, sizeof(text) - 1) >= 0);
    close(fd);
    return (pid_t)strtol(text, NULL, 10); /* "": 0 */
}

/* Until there is the service's process, which waits for ATTACHED. */
static void await_fork(struct sandbox *sandbox)
{
    for (int waited_ms = 0; sandbox->service_pid == 0 && waited_ms < WAIT_MS; waited_ms += 5) {
        (void)poll(NULL, 0, 5);
        sandbox->service_pid = child_of(sandbox->pid);
    }
    cr_assert_gt(sandbox->service_pid, 1, "init has no child");
}

/* Up to STARTED. */
static void start(struct sandbox *sandbox, const struct sandbox_spec *spec)
{
    if (geteuid() != 0 || access(BUSYBOX, X_OK) < 0) {
        cr_skip_test("needs root and busybox");
    }
    launch(sandbox, spec);
    await_fork(sandbox);
    cr_assert_eq(poll(&(struct pollfd){sandbox->control_fd, POLLIN, 0}, 1, 0), 0, "it waits");
    say(sandbox, INIT_ATTACHED);
    cr_assert_eq(hear(sandbox).kind, INIT_STARTED);
}

/* Everything of it is gone, and init with it. */
static void must_be_over(const struct sandbox *sandbox)
{
    int status = -1;

    cr_assert_eq(waitpid(sandbox->pid, &status, 0), sandbox->pid);
    launched_pid = 0;
    cr_assert(kill(sandbox->service_pid, 0) == -1 && errno == ESRCH);
}

static void read_logs(const struct sandbox *sandbox, char *text_out, size_t capacity_bytes)
{
    uint64_t offset_bytes = 0;
    int64_t count =
        logs_read(sandbox->log_fds, &offset_bytes, (uint8_t *)text_out, capacity_bytes - 1);

    cr_assert_geq(count, 0);
    text_out[count] = '\0';
}

Test(init, the_end_of_the_service_is_told_and_its_output_is_kept)
{
    struct sandbox_spec spec = spec_of("echo out $GREETING $HOSTNAME; echo err >&2; sleep 100 &"
                                       " exit 7");
    struct sandbox sandbox = {0};
    struct init_message message;
    char text[256];

    start(&sandbox, &spec);
    message = hear(&sandbox);
    cr_assert(message.kind == INIT_HEALTH && message.healthy);
    message = hear(&sandbox);
    cr_assert_eq(message.kind, INIT_ENDED);
    cr_assert(!message.signalled && !message.stopped);
    cr_assert_eq(message.status, 7);
    must_be_over(&sandbox);
    read_logs(&sandbox, text, sizeof(text));
    cr_assert_str_eq(text, "out hello wiki-1\nerr\n");
}

Test(init, the_service_has_its_user_and_nothing_else)
{
    struct sandbox_spec spec =
        spec_of("id -u; id -g; id -G; pwd; umask; ulimit -n; ulimit -c; echo x >/dev/stderr;"
                "grep -E '^(Uid|Cap|NoNewPrivs|Seccomp:|SigBlk|SigIgn)' /proc/self/status;"
                "echo /proc/self/fd/*;" /* 3 is the shell's own look into that folder */
                "grep -E '^(Uid|CapPrm|CapEff)' /proc/1/status;"
                "cat /proc/1/maps /proc/1/environ 2>/dev/null; ls /proc/1/fd 2>/dev/null;"
                "kill -9 1 2>/dev/null || echo init lives");
    static const char expected[] =
        "1234\n1234\n1234\n/tmp\n0022\n1024\n0\nx\n"
        "Uid:\t1234\t1234\t1234\t1234\n"
        "SigBlk:\t0000000000000000\n"
        "SigIgn:\t0000000000000000\n"
        "CapInh:\t0000000000000000\n"
        "CapPrm:\t0000000000000000\n"
        "CapEff:\t0000000000000000\n"
        "CapBnd:\t0000000000000000\n"
        "CapAmb:\t0000000000000000\n"
        "NoNewPrivs:\t1\n"
        "Seccomp:\t2\n"
        "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n"
        "Uid:\t65535\t65535\t65535\t65535\n"
        "CapPrm:\t00000000000000e0\n" /* CAP_KILL, CAP_SETGID, CAP_SETUID */
        "CapEff:\t00000000000000e0\n"
        "init lives\n";
    struct sandbox sandbox = {0};
    char text[2048];

    start(&sandbox, &spec);
    while (hear(&sandbox).kind != INIT_ENDED) {
    }
    must_be_over(&sandbox);
    read_logs(&sandbox, text, sizeof(text));
    cr_assert_str_eq(text, expected);
}

Test(init, a_command_that_does_not_exist_is_refused_by_name)
{
    struct sandbox_spec spec = spec_of("true");
    struct sandbox sandbox = {0};
    struct init_message message;

    if (geteuid() != 0) {
        cr_skip_test("needs root");
    }
    memset(spec.arguments, 0, sizeof(spec.arguments));
    memcpy(spec.arguments, "/no/such", sizeof("/no/such"));
    spec.argument_count = 1;
    launch(&sandbox, &spec);
    await_fork(&sandbox);
    say(&sandbox, INIT_ATTACHED);
    message = hear(&sandbox);
    cr_assert_eq(message.kind, INIT_REFUSED);
    cr_assert_str_eq(message.reason, "/no/such: No such file or directory");
    must_be_over(&sandbox);
}

/* How it ends that is stopped when it has said something: that its trap is set. */
static struct init_message end_of_stopped(const char *script)
{
    struct sandbox_spec spec = spec_of(script);
    struct sandbox sandbox = {0};
    struct init_message message;
    char text[64] = "";

    start(&sandbox, &spec);
    cr_assert_eq(hear(&sandbox).kind, INIT_HEALTH);
    for (int i = 0; i < 2000 && text[0] == '\0'; i++) {
        (void)usleep(10000);
        read_logs(&sandbox, text, sizeof(text));
    }
    say(&sandbox, INIT_STOP);
    message = hear(&sandbox);
    cr_assert(message.kind == INIT_ENDED && message.stopped);
    must_be_over(&sandbox);
    return message;
}

Test(init, a_service_is_stopped_by_its_signal)
{
    struct init_message message =
        end_of_stopped("trap 'exit 3' TERM; echo set; while :; do sleep 0.05; done");

    cr_assert(!message.signalled && message.status == 3, "status %d", message.status);
}

Test(init, a_service_that_ignores_its_signal_is_killed_after_the_grace)
{
    struct init_message message =
        end_of_stopped("trap '' TERM; echo set; while :; do sleep 0.05; done");

    cr_assert(message.signalled && message.status == SIGKILL);
}

/* Asks the published port; returns the count of bytes of the answer. */
static ssize_t ask(const struct sandbox *sandbox, char *answer_out, size_t capacity_bytes)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(sandbox->host_port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t count;

    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_gt(send(fd, "GET /etc/hostname HTTP/1.0\r\n\r\n", 30, 0), 0);
    count = recv(fd, answer_out, capacity_bytes - 1, MSG_WAITALL);
    answer_out[count < 0 ? 0 : count] = '\0';
    close(fd);
    return count;
}

static struct sandbox_spec web_server(void)
{
    struct sandbox_spec spec = spec_of("exec /usr/bin/busybox httpd -f -p 127.0.0.1:8080 -h /");

    spec.port_count = 1;
    spec.ports[0] = (struct sandbox_port){SERVICE_PORT, 31000, SANDBOX_TCP};
    return spec;
}

Test(init, a_web_server_is_well_and_answers_through_the_published_port)
{
    struct sandbox_spec spec = web_server();
    struct sandbox sandbox = {0};
    struct init_message message;
    char answer[512];

    spec.health = (struct sandbox_health){.container_port = SERVICE_PORT,
                                          .http_path = "/etc/hostname",
                                          .interval_ms = 100,
                                          .timeout_ms = 1000,
                                          .failures_max = 3};
    start(&sandbox, &spec);
    message = hear(&sandbox);
    cr_assert(message.kind == INIT_HEALTH && message.healthy);
    cr_assert_gt(ask(&sandbox, answer, sizeof(answer)), 12);
    cr_assert_not_null(strstr(answer, " 200 "), "%s", answer);
    say(&sandbox, INIT_STOP);
    message = hear(&sandbox);
    cr_assert(message.kind == INIT_ENDED && message.stopped);
    must_be_over(&sandbox);
}

/* As long as `script` says so with its exit status. */
static void ask_by_command(struct sandbox_spec *spec, const char *script)
{
    size_t used = 0;
    const char *const words[] = {BUSYBOX, "sh", "-c", script};

    spec->health = (struct sandbox_health){
        .argument_count = 4, .interval_ms = 50, .timeout_ms = 200, .failures_max = 2};
    for (unsigned i = 0; i < 4; i++) {
        CHECK(used + strlen(words[i]) + 1 <= sizeof(spec->health.arguments));
        memcpy(spec->health.arguments + used, words[i], strlen(words[i]) + 1);
        used += strlen(words[i]) + 1;
    }
}

Test(init, a_command_says_whether_the_service_is_well_with_its_user_and_environment)
{
    struct sandbox_spec spec = spec_of("exec sleep 1000");
    struct sandbox sandbox = {0};
    struct init_message message;

    ask_by_command(&spec, "[ $GREETING = hello ] && [ $(id -u) = 1234 ] && [ $PWD = /tmp ]");
    start(&sandbox, &spec);
    message = hear(&sandbox);
    cr_assert(message.kind == INIT_HEALTH && message.healthy);
    say(&sandbox, INIT_STOP);
    cr_assert_eq(hear(&sandbox).kind, INIT_ENDED);
    must_be_over(&sandbox);
}

Test(init, a_command_that_never_ends_is_killed_and_means_failing)
{
    struct sandbox_spec spec = spec_of("exec sleep 1000");
    struct sandbox sandbox = {0};
    struct init_message message;

    ask_by_command(&spec, "sleep 1000 & sleep 1000");
    start(&sandbox, &spec);
    message = hear(&sandbox);
    cr_assert(message.kind == INIT_HEALTH && !message.healthy);
    say(&sandbox, INIT_STOP);
    cr_assert_eq(hear(&sandbox).kind, INIT_ENDED);
    must_be_over(&sandbox);
}

Test(init, a_page_that_is_not_there_is_failing)
{
    struct sandbox_spec spec = web_server();
    struct sandbox sandbox = {0};
    struct init_message message;

    spec.health = (struct sandbox_health){.container_port = SERVICE_PORT,
                                          .http_path = "/no/such/page",
                                          .interval_ms = 50,
                                          .timeout_ms = 1000,
                                          .failures_max = 3};
    start(&sandbox, &spec);
    message = hear(&sandbox);
    cr_assert(message.kind == INIT_HEALTH && !message.healthy);
    close(sandbox.control_fd);
    cr_assert_eq(kill(sandbox.pid, SIGKILL), 0);
    must_be_over(&sandbox);
}

Test(init, a_restarted_helper_is_told_the_state_and_may_stop_it)
{
    struct sandbox_spec spec = web_server();
    struct sandbox sandbox = {0};
    struct init_message message;
    char answer[512];

    start(&sandbox, &spec);
    cr_assert_eq(hear(&sandbox).kind, INIT_HEALTH);
    close(sandbox.control_fd);
    cr_assert_gt(ask(&sandbox, answer, sizeof(answer)), 12); /* goes on alone */
    sandbox.control_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert_eq(
        connect(sandbox.control_fd, (struct sockaddr *)&sandbox.address, sandbox.address_bytes), 0);
    message = hear(&sandbox);
    cr_assert(message.kind == INIT_STARTED && message.started_ms > 0);
    message = hear(&sandbox);
    cr_assert(message.kind == INIT_HEALTH && message.healthy);
    say(&sandbox, INIT_STOP);
    cr_assert_eq(hear(&sandbox).kind, INIT_ENDED);
    must_be_over(&sandbox);
}

Test(init, an_end_that_nobody_heard_is_told_to_the_next_helper)
{
    struct sandbox_spec spec = spec_of("sleep 0.3; exit 5");
    struct sandbox sandbox = {0};
    struct init_message message;

    start(&sandbox, &spec);
    close(sandbox.control_fd);
    (void)usleep(600000);
    sandbox.control_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert_eq(
        connect(sandbox.control_fd, (struct sockaddr *)&sandbox.address, sandbox.address_bytes), 0);
    do {
        message = hear(&sandbox);
    } while (message.kind != INIT_ENDED);
    cr_assert_eq(message.status, 5);
    must_be_over(&sandbox);
}

Test(init, a_helper_that_goes_before_the_start_takes_init_along)
{
    struct sandbox_spec spec = spec_of("sleep 100");
    struct sandbox sandbox = {0};

    if (geteuid() != 0) {
        cr_skip_test("needs root");
    }
    launch(&sandbox, &spec);
    await_fork(&sandbox);
    close(sandbox.control_fd);
    must_be_over(&sandbox);
}
