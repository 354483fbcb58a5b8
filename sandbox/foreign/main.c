// SPDX-License-Identifier: GPL-3.0-or-later
/* minga-environment: another execution environment behind minga-sandboxd's door. See foreign.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "sandbox/foreign/foreign.h"

enum { STATUS_FAILED = 1, STATUS_USAGE = 2, TICK_MS = 100 };
enum { POLLED_OUTPUTS = 4, POLLED_COUNT = POLLED_OUTPUTS + REPLICAS_PER_NODE_MAX };

static const char usage[] =
    "Usage: minga-environment --run DIR --state DIR --trees DIR -- PROGRAM [ARGUMENT]...\n"
    "Runs replicas by PROGRAM instead of minga-sandboxd (docs/environment.md).\n"
    "\n"
    "  --run DIR     listens on DIR/sandbox.sock\n"
    "  --state DIR   logs are kept in DIR/environment\n"
    "  --trees DIR   folder of the services' trees\n"
    "\n"
    "SIGTERM ends every replica, then the program, then this one. It must not be root.\n";

struct options {
    const char *run;
    const char *state;
    const char *trees;
    char *const *program;
};

static bool take_options(char **arguments, struct options *options)
{
    struct {
        const char *name;
        const char **value;
    } named[] = {
        {"--run", &options->run}, {"--state", &options->state}, {"--trees", &options->trees}};

    for (; *arguments != NULL && strcmp(*arguments, "--") != 0; arguments += 2) {
        size_t i = 0;

        while (i < ARRAY_COUNT(named) && strcmp(named[i].name, *arguments) != 0) {
            i++;
        }
        if (i == ARRAY_COUNT(named) || arguments[1] == NULL) {
            return false;
        }
        *named[i].value = arguments[1];
    }
    options->program = *arguments == NULL ? NULL : arguments + 1;
    return options->run != NULL && options->state != NULL && options->trees != NULL &&
           options->program != NULL && options->program[0] != NULL;
}

/* Logs of an earlier life: nobody asks for them any more. */
static void empty_folder(const char *path)
{
    CLEANUP(cleanup_closedir) DIR *dir = opendir(path);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
}

static int listen_on(const char *run, char path_out[PATH_MAX], struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP(cleanup_close)
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (snprintf(path_out, PATH_MAX, "%s/sandbox.sock", run) >= PATH_MAX ||
        text_copy(address.sun_path, sizeof(address.sun_path), path_out) < 0) {
        return err_set(err, -ENAMETOOLONG, "%s: too long for a socket", run);
    }
    unlink(path_out);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(path_out, 0600) < 0 || listen(fd, 8) < 0) {
        return err_set(err, -errno, "%s: %m", path_out);
    }
    return take_fd(&fd);
}

static int open_signals(struct err *err)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR2);
    if (pthread_sigmask(SIG_BLOCK, &signals, NULL) != 0) {
        return err_set(err, -EINVAL, "signals");
    }
    int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? err_set(err, -errno, "signals: %m") : fd;
}

static int set_up(const struct options *options, struct foreign *foreign, char socket_out[PATH_MAX],
                  struct err *err)
{
    foreign->trees = options->trees;
    foreign->arguments = options->program;
    foreign->listen_fd = -1;
    foreign->client_fd = -1;
    foreign->alone_since_ms = foreign_now_ms();
    program_init(&foreign->program);
    if (geteuid() == 0) {
        return err_set(err, -EPERM, "an environment does not run as root");
    }
    if (snprintf(foreign->logs_folder, sizeof(foreign->logs_folder), "%s/environment",
                 options->state) >= PATH_MAX ||
        strlen(options->trees) + ID_HEX_CHARS + 2 > PATH_MAX ||
        strlen(foreign->logs_folder) + WORDS_ID_BYTES + sizeof(".out") > PATH_MAX) {
        return err_set(err, -ENAMETOOLONG, "%s: path too long", options->state);
    }
    int r = file_make_folders(foreign->logs_folder, 0700, err);

    if (r == 0) {
        empty_folder(foreign->logs_folder);
        r = foreign->listen_fd = listen_on(options->run, socket_out, err);
    }
    if (r >= 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
        r = err_set(err, -errno, "children: %m");
    }
    return r < 0 ? r : open_signals(err);
}

static size_t count_replicas(const struct foreign *foreign)
{
    size_t count = 0;

    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        count += foreign->replicas[i].state != FOREIGN_FREE;
    }
    return count;
}

static void stop_all(struct foreign *foreign)
{
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        if (foreign->replicas[i].state != FOREIGN_FREE) {
            foreign_stop(foreign, &foreign->replicas[i]);
        }
    }
}

/* As minga-sandboxd: a dead agent leaves no replica behind, nor an environment. */
static bool has_to_leave(struct foreign *foreign, uint64_t now_ms, uint64_t leave_ms)
{
    uint64_t alone_ms = foreign->client_fd >= 0 ? 0 : now_ms - foreign->alone_since_ms;

    if (alone_ms >= HELPER_ALONE_MS && !foreign->leaving) {
        return true;
    }
    if (foreign->served && foreign->ready && count_replicas(foreign) == 0 &&
        alone_ms >= FOREIGN_IDLE_MS) {
        return true; /* with the agent that it was started for */
    }
    return foreign->leaving && (count_replicas(foreign) == 0 || now_ms >= leave_ms);
}

static void hear_outputs(struct foreign *foreign, const struct pollfd *outputs)
{
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        if (outputs[i].revents != 0) {
            foreign_hear_output(&foreign->replicas[i]);
        }
    }
}

static void handle(struct foreign *foreign, const struct pollfd polled[POLLED_COUNT])
{
    struct err err = {0};
    bool speaks = (polled[3].revents & (POLLIN | POLLHUP | POLLERR)) != 0;

    hear_outputs(foreign, polled + POLLED_OUTPUTS); /* before their ends are told */
    if (foreign->program.pid != 0 && polled[3].fd == foreign->program.fd &&
        polled[3].revents != 0 &&
        (program_flush(&foreign->program, &err) < 0 ||
         (speaks && program_hear(&foreign->program, foreign_hear, foreign, &err) < 0))) {
        foreign_fail(foreign, &err);
    }
    if (polled[2].revents != 0 && polled[2].fd == foreign->client_fd) {
        foreign_on_client(foreign);
    }
    /* Before it is ready nobody is let in: to mingad the environment is down. */
    if (polled[1].revents != 0) {
        foreign_on_connection(foreign);
    }
}

static void run(struct foreign *foreign, int signal_fd)
{
    uint64_t leave_ms = UINT64_MAX;

    while (!has_to_leave(foreign, foreign_now_ms(), leave_ms)) {
        const struct program *program = &foreign->program;
        struct pollfd polled[POLLED_COUNT] = {
            {.fd = signal_fd, .events = POLLIN},
            {.fd = foreign->ready ? foreign->listen_fd : -1, .events = POLLIN},
            {.fd = foreign->client_fd, .events = POLLIN},
            {.fd = program->fd,
             .events = (short)(POLLIN | (program->waiting_bytes > 0 ? POLLOUT : 0))},
        };

        for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
            const struct foreign_replica *replica = &foreign->replicas[i];

            polled[POLLED_OUTPUTS + i] = (struct pollfd){
                .fd = replica->state == FOREIGN_FREE ? -1 : replica->output_fd, .events = POLLIN};
        }
        if (poll(polled, POLLED_COUNT, TICK_MS) > 0) {
            handle(foreign, polled);
        }
        if (polled[0].revents != 0 && !foreign->leaving) {
            stop_all(foreign);
            foreign->leaving = true;
            leave_ms = foreign_now_ms() + FOREIGN_END_MS_MAX;
        }
        foreign_tick(foreign, foreign_now_ms());
    }
}

int main(int argument_count, char **arguments)
{
    static struct foreign foreign; /* too large for the stack */
    struct options options = {0};
    char socket_path[PATH_MAX];
    struct err err = {0};

    if (argument_count < 1 || !take_options(arguments + 1, &options)) {
        fputs(usage, stderr);
        return STATUS_USAGE;
    }
    umask(077);
    int signal_fd = set_up(&options, &foreign, socket_path, &err);
    if (signal_fd < 0) {
        log_error("%s", err.text);
        return STATUS_FAILED;
    }
    log_info("ready on %s", socket_path);
    run(&foreign, signal_fd);
    program_kill(&foreign.program);
    foreign_end_all(&foreign, SANDBOX_END_STOPPED, "the environment was told to stop");
    unlink(socket_path);
    empty_folder(foreign.logs_folder);
    return 0;
}
