// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init/loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "sandbox/init/privileges.h"

enum {
    EVENTS_PER_ROUND = 64,
    OUTPUT_BLOCK_BYTES = 16384,
    OUTPUT_BLOCKS_PER_TURN = 8,
    SEND_AGAIN_MS = 50,
    SEND_MS_MAX = 1000,
    REAP_MS_MAX = 2000,
    COUNTS_MS = 1000, /* at least, between two of them */
};

/* The highest byte of an event's tag says whose it is; forward.c uses the rest of its own. */
enum tag_kind {
    TAG_CONTROL = 1,
    TAG_LISTEN,
    TAG_SIGNAL,
    TAG_OUTPUT,
    TAG_REPORT,
    TAG_PROBE,
    TAG_FORWARD,
    TAG_EXEC,
    TAG_DATAGRAM
};

static uint64_t tag_of(enum tag_kind kind)
{
    return (uint64_t)kind << 56;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int watch(struct init *init, int fd, enum tag_kind kind)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag_of(kind)};

    return epoll_ctl(init->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* --- telling minga-sandboxd --- */

static void control_close(struct init *init)
{
    if (init->control_fd >= 0) {
        close(init->control_fd);
        init->control_fd = -1;
        if (init->phase == INIT_PHASE_RUNNING) {
            init->linger_ms = now_ms() + INIT_ALONE_MS;
        }
    }
}

/* Important enough to wait a little for. Returns 0, or -errno when nobody will read it. */
static int tell_surely(struct init *init, const struct init_message *message)
{
    for (unsigned waited_ms = 0; init->control_fd >= 0; waited_ms += SEND_AGAIN_MS) {
        struct pollfd poll_fd = {init->control_fd, POLLOUT, 0};
        int r = init_message_send(init->control_fd, message);

        if (r == 0) {
            return 0;
        }
        if (r != -EAGAIN || waited_ms >= SEND_MS_MAX) {
            control_close(init);
            return r;
        }
        (void)poll(&poll_fd, 1, SEND_AGAIN_MS);
    }
    return -ENOTCONN;
}

static void tell_health(struct init *init)
{
    const struct init_message message = {.kind = INIT_HEALTH,
                                         .healthy = init->health.state == HEALTH_OK};

    if (init->health.state == HEALTH_UNKNOWN || init->control_fd < 0) {
        init->health_unsent = false; /* repeated to whoever connects */
        return;
    }
    init->health_unsent = init_message_send(init->control_fd, &message) == -EAGAIN;
}

static struct counts counts_of(const struct init *init)
{
    return (struct counts){
        .connection_count = init->forward.connection_count + init->datagrams.flows.count,
        .refused_count = init->forward.refused_count + init->datagrams.refused_count,
    };
}

static bool counts_differ(const struct init *init)
{
    struct counts present = counts_of(init);

    return present.connection_count != init->told.connection_count ||
           present.refused_count != init->told.refused_count;
}

/* Not more often than people look. What could not be sent is told the next time. */
static void tell_counts(struct init *init, uint64_t present_ms)
{
    struct counts present = counts_of(init);
    const struct init_message message = {.kind = INIT_COUNTS,
                                         .connection_count = present.connection_count,
                                         .refused_count = present.refused_count};

    if (init->control_fd < 0 || !counts_differ(init) || present_ms < init->told_ms + COUNTS_MS) {
        return;
    }
    init->told_ms = present_ms;
    if (init_message_send(init->control_fd, &message) == 0) {
        init->told = present;
    }
}

static void tell_started(struct init *init)
{
    const struct init_message message = {.kind = INIT_STARTED, .started_ms = init->started_ms};

    (void)tell_surely(init, &message);
    tell_health(init);
    init->told = (struct counts){0}; /* whoever is new knows of none */
}

static void tell_end(struct init *init)
{
    if (tell_surely(init, &init->end) == 0) {
        init->phase = INIT_PHASE_TOLD;
    }
}

void loop_refuse(struct init *init, const struct err *err)
{
    init->end = (struct init_message){.kind = INIT_REFUSED};
    (void)snprintf(init->end.reason, sizeof(init->end.reason), "%.*s", REASON_CHARS_MAX, err->text);
    (void)tell_surely(init, &init->end);
    init->phase = INIT_PHASE_TOLD;
}

/* --- the service's output --- */

/* Returns whether there may be more. */
static bool copy_output(struct init *init)
{
    uint8_t block[OUTPUT_BLOCK_BYTES];
    ssize_t count_bytes;

    if (init->start.output_fd < 0) {
        return false;
    }
    count_bytes = read(init->start.output_fd, block, sizeof(block));
    if (count_bytes < 0) {
        return errno == EINTR;
    }
    if (count_bytes == 0) { /* nobody can write there any more */
        close(init->start.output_fd);
        init->start.output_fd = -1;
        return false;
    }
    logs_write(&init->logs, block, (size_t)count_bytes, now_ms());
    return true;
}

static void on_output(struct init *init)
{
    for (unsigned i = 0; i < OUTPUT_BLOCKS_PER_TURN && copy_output(init); i++) {
    }
}

/* --- start, end --- */

static void on_started(struct init *init)
{
    int listen_fds[PORTS_PER_SERVICE_MAX];
    struct err err = {0};
    int r;

    init->phase = INIT_PHASE_RUNNING;
    init->started_ms = now_ms();
    r = privileges_when_started(&err);
    init->forward.line = &init->line;
    init->datagrams.line = &init->line;
    for (int i = 0; i < PORTS_PER_SERVICE_MAX; i++) {
        listen_fds[i] = INIT_FD_PORTS + i;
    }
    if (r == 0) {
        r = forward_init(&init->forward, init->epoll_fd, tag_of(TAG_FORWARD), &init->spec,
                         listen_fds);
        if (r == 0) {
            r = datagrams_init(&init->datagrams, init->epoll_fd, tag_of(TAG_DATAGRAM), &init->spec,
                               listen_fds);
        }
        if (r < 0) {
            errno = -r;
            (void)err_set(&err, r, "forward ports: %m");
        }
    }
    if (r < 0) {
        loop_refuse(init, &err);
        return;
    }
    health_init(&init->health, &init->spec, init->started_ms);
    tell_started(init);
    start_forget_code();
}

static void on_report(struct init *init)
{
    struct err err = {0};
    int r;

    if (init->phase != INIT_PHASE_STARTING || init->start.report_fd < 0) {
        return;
    }
    r = start_outcome(&init->start, &err);
    if (r == -EAGAIN) {
        return;
    }
    if (r < 0) {
        loop_refuse(init, &err);
    } else {
        on_started(init);
    }
}

static void kill_all(void)
{
    (void)kill(-1, SIGKILL); /* all of this pid namespace but ourselves */
}

/* Ends what the main process left behind, so that its output and its memory are complete. */
static void end_the_rest(struct init *init)
{
    const struct timespec pause = {.tv_nsec = 2000000};

    for (unsigned waited_ms = 0; waited_ms < REAP_MS_MAX; waited_ms += 2) {
        pid_t pid;

        kill_all();
        do {
            pid = waitpid(-1, NULL, WNOHANG);
        } while (pid > 0);
        if (pid < 0 && errno == ECHILD) {
            break;
        }
        (void)copy_output(init);
        (void)nanosleep(&pause, NULL);
    }
    while (copy_output(init)) {
    }
}

static void on_end(struct init *init, int wait_status)
{
    on_report(init); /* it may have failed to start, and reported that just now */
    if (init->phase != INIT_PHASE_RUNNING) {
        return;
    }
    init->phase = INIT_PHASE_ENDED;
    init->kill_ms = UINT64_MAX;
    probe_cancel(&init->probe);
    forward_done(&init->forward);
    datagrams_done(&init->datagrams);
    end_the_rest(init);
    execs_done(&init->execs);
    init->end = (struct init_message){
        .kind = INIT_ENDED,
        .signalled = WIFSIGNALED(wait_status),
        .stopped = init->stop_asked,
        .status = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status),
        .lost_bytes = init->logs.lost_bytes,
    };
    init->linger_ms = now_ms() + INIT_LINGER_MS;
    tell_end(init);
}

static void on_probe_outcome(struct init *init, enum probe_outcome outcome)
{
    if (outcome != PROBE_PENDING &&
        health_result(&init->health, outcome == PROBE_SUCCEEDED, now_ms())) {
        tell_health(init);
    }
}

static void on_children(struct init *init)
{
    struct signalfd_siginfo ignored;
    int status = 0;

    while (read(init->signal_fd, &ignored, sizeof(ignored)) > 0) {
    }
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
        if (pid == init->start.pid) {
            on_end(init, status);
            return; /* there is nobody left to reap */
        }
        if (execs_reaped(&init->execs, pid, status, now_ms())) {
            continue;
        }
        if (pid == init->probe_pid) {
            init->probe_pid = 0;
            on_probe_outcome(init, WIFEXITED(status) && WEXITSTATUS(status) == 0 ? PROBE_SUCCEEDED
                                                                                 : PROBE_FAILED);
        }
    }
}

/* --- what minga-sandboxd wants --- */

static void on_stop(struct init *init)
{
    if (init->stop_asked || init->phase == INIT_PHASE_ENDED) {
        return;
    }
    init->stop_asked = true;
    init->kill_ms = now_ms() + init->spec.stop_grace_ms;
    /* Its whole group; before it has made one, itself. */
    if (kill(-init->start.pid, init->spec.stop_signal) < 0) {
        (void)kill(init->start.pid, init->spec.stop_signal);
    }
}

static void on_control(struct init *init)
{
    struct init_message message;
    CLEANUP(cleanup_close) int passed_fd = -1;
    int r;

    if (init->control_fd < 0) {
        return;
    }
    r = init_message_receive_fd(init->control_fd, &message, &passed_fd);
    if (r == -EAGAIN || r == -EBADMSG) {
        return;
    }
    if (r < 0) {
        control_close(init);
        if (init->phase == INIT_PHASE_STARTING) {
            init->phase = INIT_PHASE_TOLD; /* without a cgroup there is no service */
        }
        return;
    }
    if (message.kind == INIT_ATTACHED && init->phase == INIT_PHASE_STARTING) {
        (void)start_release(&init->start);
    } else if (message.kind == INIT_STOP) {
        on_stop(init);
    } else if (message.kind == INIT_EXEC && init->phase == INIT_PHASE_RUNNING && passed_fd >= 0) {
        execs_begin(&init->execs, take_fd(&passed_fd), now_ms());
    }
}

static void on_listen(struct init *init)
{
    int fd = accept4(INIT_FD_LISTEN, NULL, NULL, SOCK_CLOEXEC);

    /* While the service is being started the first helper alone may decide. */
    if (fd < 0 || init->phase == INIT_PHASE_STARTING) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    control_close(init);
    init->control_fd = fd;
    if (watch(init, fd, TAG_CONTROL) < 0) {
        control_close(init);
        return;
    }
    if (init->phase == INIT_PHASE_RUNNING) {
        init->linger_ms = UINT64_MAX;
    }
    tell_started(init);
    if (init->phase == INIT_PHASE_ENDED) {
        tell_end(init);
    }
}

/* --- health --- */

/* A command is over when it is reaped; what takes too long is killed, and fails by that. */
static enum probe_outcome begin_probe(struct init *init, uint64_t present_ms)
{
    pid_t pid;

    if (!start_probes(&init->spec)) {
        return probe_begin(&init->probe, &init->health.settings, present_ms);
    }
    pid = start_probe(&init->spec);
    if (pid < 0) {
        return PROBE_FAILED;
    }
    init->probe_pid = pid;
    init->probe_kill_ms = present_ms + init->health.settings.timeout_ms;
    return PROBE_PENDING;
}

static void end_slow_command(struct init *init, uint64_t present_ms)
{
    if (init->probe_pid == 0 || present_ms < init->probe_kill_ms) {
        return;
    }
    init->probe_kill_ms = present_ms + SEND_MS_MAX;
    if (kill(-init->probe_pid, SIGKILL) < 0) {
        (void)kill(init->probe_pid, SIGKILL); /* it has made no group of its own yet */
    }
}

static void on_probe(struct init *init)
{
    if (init->probe.fd >= 0) {
        on_probe_outcome(init, probe_step(&init->probe, now_ms()));
    }
}

/* --- the loop --- */

static void on_time(struct init *init)
{
    uint64_t present_ms = now_ms();

    if (init->kill_ms <= present_ms) {
        init->kill_ms = present_ms + SEND_MS_MAX; /* again, should one slip through */
        kill_all();
    }
    if (init->linger_ms <= present_ms) {
        init->phase = INIT_PHASE_TOLD;
    }
    if (init->health_unsent) {
        tell_health(init);
    }
    if (init->phase != INIT_PHASE_RUNNING) {
        return;
    }
    init->datagrams_due_ms = datagrams_tick(&init->datagrams, present_ms);
    uint64_t line_ms = forward_release(&init->forward);

    init->line_due_ms = line_ms == UINT64_MAX ? UINT64_MAX : present_ms + line_ms;
    tell_counts(init, present_ms);
    if (init->probe.fd >= 0 && init->probe.deadline_ms <= present_ms) {
        on_probe(init);
    }
    end_slow_command(init, present_ms);
    execs_tick(&init->execs, present_ms);
    if (health_due(&init->health, present_ms)) {
        on_probe_outcome(init, begin_probe(init, present_ms));
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* While the service runs. */
static uint64_t running_due_ms(const struct init *init)
{
    uint64_t due_ms = earlier(init->health.wakeup_ms, init->datagrams_due_ms);

    if (init->control_fd >= 0 && counts_differ(init)) {
        due_ms = earlier(due_ms, init->told_ms + COUNTS_MS);
    }
    return earlier(due_ms, init->line_due_ms);
}

static int wait_ms(const struct init *init)
{
    uint64_t present_ms = now_ms();
    uint64_t due_ms = earlier(init->kill_ms, init->linger_ms);

    due_ms = earlier(due_ms, execs_wake_ms(&init->execs));
    if (init->phase == INIT_PHASE_RUNNING) {
        due_ms = earlier(due_ms, running_due_ms(init));
    }
    if (init->probe.fd >= 0) {
        due_ms = earlier(due_ms, init->probe.deadline_ms);
    }
    if (init->probe_pid != 0) {
        due_ms = earlier(due_ms, init->probe_kill_ms);
    }
    if (init->health_unsent) {
        due_ms = earlier(due_ms, present_ms + SEND_AGAIN_MS);
    }
    if (due_ms == UINT64_MAX) {
        return -1;
    }
    if (due_ms <= present_ms) {
        return 0;
    }
    return due_ms - present_ms > INT32_MAX ? INT32_MAX : (int)(due_ms - present_ms);
}

static void dispatch(struct init *init, const struct epoll_event *event)
{
    static void (*const handlers[])(struct init *) = {
        [TAG_CONTROL] = on_control, [TAG_LISTEN] = on_listen, [TAG_SIGNAL] = on_children,
        [TAG_OUTPUT] = on_output,   [TAG_REPORT] = on_report, [TAG_PROBE] = on_probe,
    };
    unsigned kind = (unsigned)(event->data.u64 >> 56);

    if (kind == TAG_FORWARD) {
        forward_event(&init->forward, event->data.u64, event->events);
        return;
    }
    if (kind == TAG_EXEC) {
        execs_event(&init->execs, event->data.u64, event->events, now_ms());
        return;
    }
    if (kind == TAG_DATAGRAM) {
        datagrams_event(&init->datagrams, event->data.u64, now_ms());
        return;
    }
    CHECK(kind >= TAG_CONTROL && kind < TAG_FORWARD);
    handlers[kind](init);
}

int loop_init(struct init *init, struct err *err)
{
    const int log_fds[2] = {INIT_FD_LOG, INIT_FD_LOG_OTHER};
    sigset_t children;
    int r;

    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    init->kill_ms = UINT64_MAX;
    init->linger_ms = UINT64_MAX;
    init->datagrams_due_ms = UINT64_MAX;
    init->line_due_ms = UINT64_MAX;
    line_init(&init->line);
    r = line_map(&init->line, INIT_FD_LINE, LINE_PORTS);
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "init: the line: %m");
    }
    init->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    init->signal_fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    if (init->epoll_fd < 0 || init->signal_fd < 0) {
        return err_set(err, -errno, "init: %m");
    }
    probe_init(&init->probe, init->epoll_fd, tag_of(TAG_PROBE));
    execs_init(&init->execs, init->epoll_fd, tag_of(TAG_EXEC), &init->spec);
    logs_writer_init(&init->logs, log_fds, init->spec.logs_bytes, now_ms());
    r = watch(init, init->control_fd, TAG_CONTROL);
    r = r < 0 ? r : watch(init, INIT_FD_LISTEN, TAG_LISTEN);
    r = r < 0 ? r : watch(init, init->signal_fd, TAG_SIGNAL);
    r = r < 0 ? r : watch(init, init->start.output_fd, TAG_OUTPUT);
    r = r < 0 ? r : watch(init, init->start.report_fd, TAG_REPORT);
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "init: %m");
    }
    return 0;
}

void loop_run(struct init *init)
{
    struct epoll_event events[EVENTS_PER_ROUND];

    while (init->phase != INIT_PHASE_TOLD) {
        bool more = forward_turn(&init->forward);

        more = execs_turn(&init->execs, now_ms()) || more;
        int count = epoll_wait(init->epoll_fd, events, EVENTS_PER_ROUND, more ? 0 : wait_ms(init));

        CHECK(count >= 0 || errno == EINTR);
        for (int i = 0; i < count && init->phase != INIT_PHASE_TOLD; i++) {
            dispatch(init, &events[i]);
        }
        if (init->phase != INIT_PHASE_TOLD) {
            on_time(init);
        }
    }
}
