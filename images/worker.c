// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/program.h"

enum {
    CHILD_STAGING_FD = 3,
    CHILD_CHUNKS_FD = 4,
    CHILD_FD_COUNT = 5,
    FD_SAFE_MIN = 16, /* above all numbers that the worker gets */
    STAGING_MODE = 0700,
    WORKER_REFUSED = 1, /* its exit status: the input is at fault */
};

struct launch {
    char program[PROGRAM_BYTES_MAX];
    char job[8];
    char tree[ID_HEX_CHARS + 1]; /* "" for none */
    int fds[CHILD_FD_COUNT];     /* what the worker gets as 0, 1, ...; -1: not given */
};

int worker_check(struct err *err)
{
    char program[PROGRAM_BYTES_MAX];

    return program_find("minga-unpack", program, err);
}

/* Between fork and exec: async-signal-safe calls only. */
static _Noreturn void run_child(struct launch *launch)
{
    static char locale[] = "LC_ALL=C.UTF-8";
    char *environment[] = {locale, NULL};
    char *arguments[] = {launch->program, launch->job,
                         launch->tree[0] == '\0' ? NULL : launch->tree, NULL};
    int safe[CHILD_FD_COUNT];
    sigset_t none;

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    for (int i = 0; i < CHILD_FD_COUNT; i++) {
        safe[i] = launch->fds[i] < 0 ? -1 : fcntl(launch->fds[i], F_DUPFD_CLOEXEC, FD_SAFE_MIN);
    }
    for (int i = 0; i < CHILD_FD_COUNT; i++) {
        if (safe[i] >= 0 && dup2(safe[i], i) < 0) {
            _exit(127);
        }
        if (safe[i] < 0 && i != STDERR_FILENO) {
            close(i);
        }
    }
    close_range(CHILD_FD_COUNT, ~0U, 0);
    execve(launch->program, arguments, environment);
    _exit(127);
}

static int make_staging(struct worker *worker, int parent_fd, const char *staging, struct err *err)
{
    worker->pid = -1;
    worker->message_fd = -1;
    if (text_copy(worker->staging, sizeof(worker->staging), staging) < 0) {
        return err_set(err, -ENAMETOOLONG, "staging folder: name too long");
    }
    worker->parent_fd = fcntl(parent_fd, F_DUPFD_CLOEXEC, FD_SAFE_MIN);
    if (worker->parent_fd < 0) {
        return err_set(err, -errno, "staging folder: %m");
    }
    if (mkdirat(worker->parent_fd, staging, STAGING_MODE) < 0) {
        err_set(err, -errno, "staging folder %s: %m", staging);
        cleanup_close(&worker->parent_fd);
        return err->code;
    }
    return 0;
}

static int launch_worker(struct worker *worker, struct launch *launch, struct err *err)
{
    int pipe_fds[2];

    if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
        return err_set(err, -errno, "start minga-unpack: %m");
    }
    CLEANUP(cleanup_close) int read_fd = pipe_fds[0];
    CLEANUP(cleanup_close) int write_fd = pipe_fds[1];
    CLEANUP(cleanup_close)
    int staging_fd =
        openat(worker->parent_fd, worker->staging, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    launch->fds[STDOUT_FILENO] = write_fd;
    launch->fds[STDERR_FILENO] = -1;
    launch->fds[CHILD_STAGING_FD] = staging_fd;
    if (staging_fd < 0 || fcntl(read_fd, F_SETFL, O_NONBLOCK) < 0) {
        return err_set(err, -errno, "start minga-unpack: %m");
    }
    worker->pid = fork();
    if (worker->pid == 0) {
        run_child(launch);
    }
    if (worker->pid < 0) {
        return err_set(err, -errno, "start minga-unpack: %m");
    }
    worker->message_fd = take_fd(&read_fd);
    return 0;
}

/* Makes the staging folder and starts; takes the folder away again if that fails. */
static int start(struct worker *worker, struct launch *launch, struct err *err)
{
    int r = program_find("minga-unpack", launch->program, err);

    if (r == 0) {
        r = launch_worker(worker, launch, err);
    }
    if (r < 0) {
        worker_remove_folder(worker->parent_fd, worker->staging);
        cleanup_close(&worker->parent_fd);
        worker->parent_fd = -1;
    }
    return r;
}

int worker_start_unpack(struct worker *worker, int archive_fd, int parent_fd, const char *staging,
                        struct err *err)
{
    struct launch launch = {.job = "unpack", .fds = {archive_fd, -1, -1, -1, -1}};

    memset(worker, 0, sizeof(*worker));
    if (make_staging(worker, parent_fd, staging, err) < 0) {
        return err->code;
    }
    return start(worker, &launch, err);
}

/* What it is called until it is complete. */
static void half_name(const struct tree_id *tree, char name_out[WORKER_NAME_BYTES_MAX])
{
    char hex[ID_HEX_CHARS + 1];

    id_to_hex(&tree->id, hex);
    snprintf(name_out, WORKER_NAME_BYTES_MAX, "%s.new", hex);
}

bool worker_has_half(const struct tree_id *tree, int trees_fd)
{
    char name[WORKER_NAME_BYTES_MAX];
    struct stat status;

    half_name(tree, name);
    return fstatat(trees_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

int worker_remove_half(const struct tree_id *tree, int trees_fd)
{
    char name[WORKER_NAME_BYTES_MAX];

    half_name(tree, name);
    int r = worker_remove_folder(trees_fd, name);
    return r == -ENOENT ? 0 : r;
}

int worker_remove_tree(const struct tree_id *tree, int trees_fd)
{
    char name[WORKER_NAME_BYTES_MAX];
    char half[WORKER_NAME_BYTES_MAX];
    int r = worker_remove_half(tree, trees_fd);

    if (r < 0) {
        return r;
    }
    id_to_hex(&tree->id, name);
    half_name(tree, half);
    if (renameat(trees_fd, name, trees_fd, half) < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    return worker_remove_half(tree, trees_fd);
}

int worker_start_build(struct worker *worker, const struct tree_id *tree, int chunks_fd,
                       int trees_fd, struct err *err)
{
    char staging[WORKER_NAME_BYTES_MAX];
    struct launch launch = {.job = "build", .fds = {-1, -1, -1, -1, chunks_fd}};

    memset(worker, 0, sizeof(*worker));
    id_to_hex(&tree->id, launch.tree);
    half_name(tree, staging);
    if (make_staging(worker, trees_fd, staging, err) < 0) {
        return err->code;
    }
    memcpy(worker->result, launch.tree, sizeof(launch.tree));
    return start(worker, &launch, err);
}

int worker_read(struct worker *worker)
{
    char dropped[4096];

    for (;;) {
        size_t room_bytes = sizeof(worker->messages) - 1 - worker->message_bytes;
        /* A worker gone wild may say more than it should: taken and thrown away. */
        char *place = room_bytes == 0 ? dropped : worker->messages + worker->message_bytes;
        ssize_t count_bytes =
            read(worker->message_fd, place, room_bytes == 0 ? sizeof(dropped) : room_bytes);

        if (count_bytes < 0 && errno == EINTR) {
            continue;
        }
        if (count_bytes < 0 && errno == EAGAIN) {
            return 1;
        }
        if (count_bytes <= 0) {
            return 0;
        }
        worker->message_bytes += room_bytes == 0 ? 0 : (uint32_t)count_bytes;
    }
}

/* The last line that says "refused: " or "failed: ", without that word; or NULL. */
static const char *last_words(const struct worker *worker, char *line_out, size_t capacity_bytes)
{
    const char *found = NULL;
    const char *line = worker->messages;

    while (*line != '\0') {
        size_t length_bytes = strcspn(line, "\n");
        const char *text = strncmp(line, "refused: ", 9) == 0  ? line + 9
                           : strncmp(line, "failed: ", 8) == 0 ? line + 8
                                                               : NULL;

        if (text != NULL) {
            snprintf(line_out, capacity_bytes, "%.*s", (int)(line + length_bytes - text), text);
            found = line_out;
        }
        line += length_bytes + (line[length_bytes] == '\n' ? 1 : 0);
    }
    return found;
}

static int judge_end(const struct worker *worker, int status, struct err *err)
{
    char line[ERR_TEXT_BYTES_MAX];
    const char *words = last_words(worker, line, sizeof(line));

    if (worker->killed) {
        return err_set(err, -ETIMEDOUT, "minga-unpack took too long and was ended");
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return 0;
    }
    if (words != NULL) {
        bool is_refused = WIFEXITED(status) && WEXITSTATUS(status) == WORKER_REFUSED;

        return err_set(err, is_refused ? -EINVAL : -EIO, "%s", words);
    }
    if (WIFSIGNALED(status)) {
        return err_set(err, WTERMSIG(status) == SIGXCPU ? -EINVAL : -EIO,
                       "minga-unpack was ended by signal %d (%s)", WTERMSIG(status),
                       WTERMSIG(status) == SIGXCPU ? "the archive takes too long to unpack"
                                                   : "it tried what it may not, or crashed");
    }
    return err_set(err, -EIO, "minga-unpack ended with status %d", WEXITSTATUS(status));
}

/* Another worker may have been faster: its tree has the same content. */
static int publish(const struct worker *worker, struct err *err)
{
    if (worker->result[0] == '\0') {
        return 0;
    }
    if (renameat(worker->parent_fd, worker->staging, worker->parent_fd, worker->result) < 0) {
        if (errno != EEXIST && errno != ENOTEMPTY) {
            return err_set(err, -errno, "%s: %m", worker->result);
        }
        worker_remove_folder(worker->parent_fd, worker->staging);
        return 0;
    }
    if (fsync(worker->parent_fd) < 0) {
        return err_set(err, -errno, "sync: %m");
    }
    return 0;
}

int worker_finish(struct worker *worker, struct err *err)
{
    int status = 0;
    int r;

    CHECK(worker->pid > 0);
    while (waitpid(worker->pid, &status, 0) < 0) {
        CHECK(errno == EINTR);
    }
    r = judge_end(worker, status, err);
    if (r == 0) {
        r = publish(worker, err);
    }
    if (r < 0) {
        worker_remove_folder(worker->parent_fd, worker->staging);
    }
    for (uint32_t i = 0; i < worker->message_bytes; i++) {
        /* From here on each line is a text of its own: see worker_note. */
        if (worker->messages[i] == '\n') {
            worker->messages[i] = '\0';
        }
    }
    worker->pid = -1;
    cleanup_close(&worker->message_fd);
    cleanup_close(&worker->parent_fd);
    worker->message_fd = -1;
    worker->parent_fd = -1;
    return r;
}

void worker_kill(struct worker *worker)
{
    CHECK(worker->pid > 0);
    worker->killed = true;
    kill(worker->pid, SIGKILL);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int worker_wait(struct worker *worker, uint32_t timeout_ms, struct err *err)
{
    return worker_wait_looking(worker, timeout_ms, NULL, NULL, err);
}

int worker_wait_looking(struct worker *worker, uint32_t timeout_ms, void (*look)(void *context),
                        void *context, struct err *err)
{
    enum { LOOK_MS = 100 };
    uint64_t deadline_ms = now_ms() + timeout_ms;

    while (worker_read(worker) > 0) {
        struct pollfd poll_fd = {.fd = worker->message_fd, .events = POLLIN};
        uint64_t present_ms = now_ms();

        if (present_ms >= deadline_ms && !worker->killed) {
            worker_kill(worker);
        }
        uint64_t left_ms = deadline_ms > present_ms ? deadline_ms - present_ms : 0;

        if (look != NULL) {
            look(context);
            left_ms = left_ms < LOOK_MS ? left_ms : LOOK_MS;
        }
        /* A killed worker closes its end at once. */
        poll(&poll_fd, 1, worker->killed ? -1 : (int)left_ms);
    }
    return worker_finish(worker, err);
}

const char *worker_note(const struct worker *worker, uint32_t index)
{
    static const char mark[] = "note: ";
    const char *end = worker->messages + worker->message_bytes;

    for (const char *line = worker->messages; line < end; line += strlen(line) + 1) {
        if (strncmp(line, mark, sizeof(mark) - 1) != 0) {
            continue;
        }
        if (index == 0) {
            return line + sizeof(mark) - 1;
        }
        index--;
    }
    return NULL;
}
