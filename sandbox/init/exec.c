// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/init/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/wire.h"
#include "sandbox/init/start.h"

enum {
    PASSES_PER_TURN = 32,
    BEGIN_MS_MAX = 5000, /* for a client to say what it wants */
    KILL_AGAIN_MS = 1000,
    TIDY_MS_MAX = 1000,
    LENGTH_BYTES = 4,
};
static_assert((int)EXEC_INPUT_BYTES >= (int)EXEC_BEGIN_BYTES_MAX, "BEGIN fits the same place");

void execs_init(struct execs *execs, int epoll_fd, uint64_t epoll_tag, struct sandbox_spec *spec)
{
    execs->epoll_fd = epoll_fd;
    execs->epoll_tag = epoll_tag;
    execs->spec = spec;
}

static void close_fd(int *fd)
{
    cleanup_close(fd); /* epoll forgets it with that: no other descriptor means the same file */
    *fd = -1;
}

static void free_exec(struct exec *exec)
{
    close_fd(&exec->socket_fd);
    close_fd(&exec->input_fd);
    close_fd(&exec->output_fds[0]);
    close_fd(&exec->output_fds[1]);
    exec->used = false;
}

static void kill_exec(struct exec *exec)
{
    if (exec->pid == 0 || exec->over) {
        return;
    }
    if (kill(-exec->pid, SIGKILL) < 0) {
        (void)kill(exec->pid, SIGKILL); /* it has made no group of its own yet */
    }
}

/* Edge-triggered: each pass goes on until nothing moves. */
static int watch(struct execs *execs, const struct exec *exec, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events | EPOLLET,
                                .data.u64 = execs->epoll_tag | (uint64_t)(exec - execs->list)};

    return epoll_ctl(execs->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* ------------------------------------------------------------------ the beginning */

static int open_pipe(int ends_out[2], int own_end)
{
    if (pipe2(ends_out, O_CLOEXEC) < 0) {
        ends_out[0] = ends_out[1] = -1;
        return -errno;
    }
    return fcntl(ends_out[own_end], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static void fail_to_begin(struct exec *exec, int code, const char *what)
{
    exec->begun = true;
    exec->over = true;
    exec->end = (struct exec_end){.kind = EXEC_FAILED};
    snprintf(exec->end.reason, sizeof(exec->end.reason), "%s: %s", what, err_text(-code));
}

static void start(struct execs *execs, struct exec *exec, struct exec_begin *begin, uint64_t now_ms)
{
    int pipes[3][2];
    pid_t pid = 0;
    int r = open_pipe(pipes[0], 1);

    for (int i = 1; i < 3; i++) {
        int opened = open_pipe(pipes[i], 0);

        r = r < 0 ? r : opened;
    }
    if (r == 0) {
        const struct exec_pipes theirs = {pipes[0][0], pipes[1][1], pipes[2][1]};

        pid = start_exec(execs->spec, begin, &theirs);
        r = pid < 0 ? pid : 0;
    }
    close_fd(&pipes[0][0]);
    close_fd(&pipes[1][1]);
    close_fd(&pipes[2][1]);
    exec->input_fd = pipes[0][1];
    exec->output_fds[0] = pipes[1][0];
    exec->output_fds[1] = pipes[2][0];
    if (r < 0) {
        fail_to_begin(exec, r, "start");
        return;
    }
    exec->begun = true;
    exec->pid = pid;
    exec->stores = begin->kind == EXEC_STORE;
    exec->kill_ms = now_ms + begin->time_ms;
    r = watch(execs, exec, exec->input_fd, EPOLLOUT);
    r = r < 0 ? r : watch(execs, exec, exec->output_fds[0], EPOLLIN);
    r = r < 0 ? r : watch(execs, exec, exec->output_fds[1], EPOLLIN);
    if (r < 0) {
        exec->gone = true;
    }
}

/* Exactly BEGIN is read, so that what follows is input from its first byte on. */
static bool read_begin(struct execs *execs, struct exec *exec, uint64_t now_ms)
{
    struct wire_reader wire = wire_reader((struct bytes){exec->in, exec->in_bytes});
    uint32_t wanted_bytes = LENGTH_BYTES;
    struct exec_begin begin;
    ssize_t count_bytes;

    if (exec->in_bytes >= LENGTH_BYTES) {
        uint32_t length_bytes = wire_u32(&wire);

        if (length_bytes > EXEC_BEGIN_BYTES_MAX - LENGTH_BYTES) {
            exec->gone = true;
            return false;
        }
        wanted_bytes += length_bytes;
    }
    if (exec->in_bytes < wanted_bytes) {
        count_bytes = recv(exec->socket_fd, exec->in + exec->in_bytes,
                           wanted_bytes - exec->in_bytes, MSG_DONTWAIT);
        exec->gone = count_bytes == 0 || (count_bytes < 0 && errno != EAGAIN);
        exec->in_bytes += count_bytes > 0 ? (uint32_t)count_bytes : 0;
        return count_bytes > 0;
    }
    exec->in_bytes = 0;
    if (exec_begin_decode((struct bytes){wire.position, wire.left_bytes}, &begin) < 0) {
        fail_to_begin(exec, -EBADMSG, "begin");
    } else {
        start(execs, exec, &begin, now_ms);
    }
    return true;
}

void execs_begin(struct execs *execs, int socket_fd, uint64_t now_ms)
{
    for (uint32_t i = 0; i < EXECS_PER_REPLICA_MAX; i++) {
        struct exec *exec = &execs->list[i];

        if (exec->used) {
            continue;
        }
        memset(exec, 0, offsetof(struct exec, in));
        exec->used = true;
        exec->socket_fd = socket_fd;
        exec->input_fd = exec->output_fds[0] = exec->output_fds[1] = -1;
        exec->kill_ms = now_ms + BEGIN_MS_MAX;
        if (watch(execs, exec, socket_fd, EPOLLIN | EPOLLOUT) < 0) {
            free_exec(exec);
        }
        return;
    }
    close(socket_fd);
}

/* ------------------------------------------------------------------ what flows */

/* Each returns whether something has moved. */
static bool send_out(struct exec *exec)
{
    ssize_t count_bytes;

    if (exec->out_sent_bytes == exec->out_bytes || exec->gone) {
        return false;
    }
    count_bytes = send(exec->socket_fd, exec->out + exec->out_sent_bytes,
                       exec->out_bytes - exec->out_sent_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count_bytes < 0) {
        exec->gone = errno != EAGAIN && errno != EINTR;
        return false;
    }
    exec->out_sent_bytes += (uint32_t)count_bytes;
    return true;
}

static void put_frame(struct exec *exec, enum exec_frame_kind kind, size_t length_bytes)
{
    exec_frame_header(kind, length_bytes, exec->out);
    exec->out_bytes = (uint32_t)(EXEC_FRAME_HEADER_BYTES + length_bytes);
    exec->out_sent_bytes = 0;
}

static bool read_output(struct exec *exec, int which)
{
    ssize_t count_bytes;

    if (exec->output_fds[which] < 0) {
        return false;
    }
    count_bytes =
        read(exec->output_fds[which], exec->out + EXEC_FRAME_HEADER_BYTES, EXEC_FRAME_BYTES_MAX);
    if (count_bytes <= 0) {
        if (count_bytes == 0 || errno != EAGAIN) {
            close_fd(&exec->output_fds[which]);
        }
        return false;
    }
    put_frame(exec, which == 0 ? EXEC_OUTPUT : EXEC_ERROR, (size_t)count_bytes);
    return true;
}

/* Neither of the two can keep the other from being heard. */
static bool take_output(struct exec *exec)
{
    if (exec->out_sent_bytes < exec->out_bytes || exec->end_said) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        exec->turn = 1 - exec->turn;
        if (read_output(exec, exec->turn)) {
            return true;
        }
    }
    if (!exec->over) {
        return false;
    }
    /* Everything that it printed has been passed on. What it left running may print elsewhere. */
    put_frame(exec, EXEC_END, exec_end_encode(&exec->end, exec->out + EXEC_FRAME_HEADER_BYTES));
    exec->end_said = true;
    return true;
}

static bool receive_input(struct exec *exec)
{
    ssize_t count_bytes;

    if (exec->in_sent_bytes < exec->in_bytes || exec->gone) {
        return false;
    }
    count_bytes = recv(exec->socket_fd, exec->in, sizeof(exec->in), MSG_DONTWAIT);
    if (count_bytes < 0) {
        exec->gone = errno != EAGAIN && errno != EINTR;
        return false;
    }
    if (count_bytes == 0) {
        close_fd(&exec->input_fd); /* its end of file */
        return false;
    }
    exec->in_bytes = (uint32_t)count_bytes;
    exec->in_sent_bytes = 0;
    return true;
}

static bool write_input(struct exec *exec)
{
    ssize_t count_bytes;

    if (exec->in_sent_bytes == exec->in_bytes) {
        return false;
    }
    if (exec->input_fd < 0) { /* nobody reads it: taken and thrown away */
        exec->in_sent_bytes = exec->in_bytes;
        return true;
    }
    count_bytes =
        write(exec->input_fd, exec->in + exec->in_sent_bytes, exec->in_bytes - exec->in_sent_bytes);
    if (count_bytes < 0) {
        if (errno == EAGAIN) {
            return false;
        }
        close_fd(&exec->input_fd);
        return true;
    }
    exec->in_sent_bytes += (uint32_t)count_bytes;
    return true;
}

static bool pass(struct execs *execs, struct exec *exec, uint64_t now_ms)
{
    bool moved = false;

    if (!exec->begun) {
        return read_begin(execs, exec, now_ms);
    }
    moved = send_out(exec);
    moved = take_output(exec) || moved;
    moved = write_input(exec) || moved;
    return receive_input(exec) || moved;
}

/* Nobody listens any more. */
static void end_gone(struct exec *exec, uint64_t now_ms)
{
    const bool is_news = exec->socket_fd >= 0;

    close_fd(&exec->socket_fd);
    if (!exec->stores) {
        kill_exec(exec);
    } else if (is_news) {
        close_fd(&exec->input_fd);
        exec->kill_ms = now_ms + TIDY_MS_MAX;
    }
}

static void work(struct execs *execs, struct exec *exec, uint64_t now_ms)
{
    bool moved = true;

    for (int i = 0; i < PASSES_PER_TURN && moved && !exec->gone; i++) {
        moved = pass(execs, exec, now_ms);
    }
    if (exec->gone) {
        end_gone(exec, now_ms);
    }
    if (exec->gone ? exec->over || exec->pid == 0
                   : exec->end_said && exec->out_sent_bytes == exec->out_bytes) {
        free_exec(exec);
        return;
    }
    execs->busy = execs->busy || (moved && !exec->gone);
}

void execs_event(struct execs *execs, uint64_t tag, uint32_t events, uint64_t now_ms)
{
    uint64_t index = tag & UINT32_MAX;
    struct exec *exec;

    CHECK(index < EXECS_PER_REPLICA_MAX);
    exec = &execs->list[index];
    if (!exec->used) {
        return; /* an event of the same round, of what was freed in it */
    }
    /* A pipe's HUP is for read() to find; the socket's says that the client has closed it. */
    if ((events & EPOLLHUP) != 0 && exec->socket_fd >= 0) {
        exec->gone = send(exec->socket_fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) < 0;
    }
    work(execs, exec, now_ms);
}

bool execs_turn(struct execs *execs, uint64_t now_ms)
{
    if (!execs->busy) {
        return false;
    }
    execs->busy = false;
    for (uint32_t i = 0; i < EXECS_PER_REPLICA_MAX; i++) {
        if (execs->list[i].used) {
            work(execs, &execs->list[i], now_ms);
        }
    }
    return execs->busy;
}

/* ------------------------------------------------------------------ the end */

bool execs_reaped(struct execs *execs, pid_t pid, int wait_status, uint64_t now_ms)
{
    for (uint32_t i = 0; i < EXECS_PER_REPLICA_MAX; i++) {
        struct exec *exec = &execs->list[i];

        if (!exec->used || exec->pid != pid || exec->over) {
            continue;
        }
        (void)kill(-pid, SIGKILL); /* what it left behind in its group */
        exec->over = true;
        if (exec->end.kind != EXEC_TOO_LATE) {
            bool signalled = WIFSIGNALED(wait_status);

            exec->end.kind = signalled ? EXEC_SIGNALLED : EXEC_EXITED;
            exec->end.status =
                (uint32_t)(signalled ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
        }
        work(execs, exec, now_ms);
        return true;
    }
    return false;
}

void execs_tick(struct execs *execs, uint64_t now_ms)
{
    for (uint32_t i = 0; i < EXECS_PER_REPLICA_MAX; i++) {
        struct exec *exec = &execs->list[i];

        if (!exec->used || exec->over || now_ms < exec->kill_ms) {
            continue;
        }
        exec->kill_ms = now_ms + KILL_AGAIN_MS;
        if (exec->begun) {
            exec->end.kind = EXEC_TOO_LATE;
            kill_exec(exec);
        } else {
            exec->gone = true;
            work(execs, exec, now_ms);
        }
    }
}

uint64_t execs_wake_ms(const struct execs *execs)
{
    uint64_t wake_ms = UINT64_MAX;

    for (uint32_t i = 0; i < EXECS_PER_REPLICA_MAX; i++) {
        const struct exec *exec = &execs->list[i];

        if (exec->used && !exec->over && exec->kill_ms < wake_ms) {
            wake_ms = exec->kill_ms;
        }
    }
    return wake_ms;
}

void execs_done(struct execs *execs)
{
    for (uint32_t i = 0; i < EXECS_PER_REPLICA_MAX; i++) {
        struct exec *exec = &execs->list[i];

        if (!exec->used) {
            continue;
        }
        if (exec->begun && !exec->end_said && exec->out_sent_bytes == exec->out_bytes) {
            exec->end = (struct exec_end){.kind = EXEC_FAILED, .reason = "the replica has ended"};
            put_frame(exec, EXEC_END,
                      exec_end_encode(&exec->end, exec->out + EXEC_FRAME_HEADER_BYTES));
            (void)send_out(exec);
        }
        free_exec(exec);
    }
}
