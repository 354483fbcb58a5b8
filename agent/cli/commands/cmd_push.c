// SPDX-License-Identifier: GPL-3.0-or-later
/* minga push FILE|DIR|- */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/push.h"
#include "agent/cli/signals.h"
#include "base/cleanup.h"
#include "images/worker.h"

enum { TMPDIR_BYTES_MAX = 1024, REMOVE_TRIES_MAX = 100 };

/* An archive's content in a staging folder, which goes away again. */
struct staged {
    int parent_fd; /* of the staging folder; -1: none was made */
    int folder_fd;
    char parent[TMPDIR_BYTES_MAX + 32];
};

#define STAGING_NAME "bundle"

static void staged_done(struct staged *staged)
{
    cleanup_close(&staged->folder_fd);
    if (staged->parent_fd >= 0) {
        /* A worker that was killed with the one who had started it may write a moment longer. */
        for (int i = 0; i < REMOVE_TRIES_MAX; i++) {
            worker_remove_folder(staged->parent_fd, STAGING_NAME);
            if (rmdir(staged->parent) == 0 || errno != ENOTEMPTY) {
                break;
            }
            nanosleep(&(struct timespec){.tv_nsec = 20 * 1000000L}, NULL);
        }
        cleanup_close(&staged->parent_fd);
    }
}

static int make_parent(struct session *session, struct staged *staged)
{
    const char *temporary = getenv("TMPDIR");

    if (temporary == NULL || strlen(temporary) > TMPDIR_BYTES_MAX || temporary[0] != '/') {
        temporary = "/var/tmp"; /* on disk: a bundle may be larger than memory */
    }
    snprintf(staged->parent, sizeof(staged->parent), "%s/minga-push-XXXXXX", temporary);
    if (mkdtemp(staged->parent) == NULL) {
        problem_set(&session->problem, EXIT_REFUSED, temporary, "%m");
        return problem_advise(&session->problem, "archives are unpacked there; TMPDIR=FOLDER names "
                                                 "another");
    }
    staged->parent_fd = open(staged->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return staged->parent_fd < 0
               ? problem_set(&session->problem, EXIT_REFUSED, staged->parent, "%m")
               : EXIT_DONE;
}

struct unpacking {
    const struct session *session;
    struct bar bar;
    int archive_fd;
    uint64_t archive_bytes;
};

/* The worker reads through a descriptor of ours: where it is in the file is how far it is. */
static void show_unpacking(void *context)
{
    struct unpacking *unpacking = context;
    off_t offset = lseek(unpacking->archive_fd, 0, SEEK_CUR);

    if (offset >= 0 && unpacking->archive_bytes > 0) {
        progress_bar(unpacking->session, &unpacking->bar, (uint64_t)offset,
                     unpacking->archive_bytes);
    }
}

static void begin_unpacking(const struct session *session, const char *name, int archive_fd,
                            struct unpacking *unpacking_out)
{
    struct stat status;

    *unpacking_out = (struct unpacking){.session = session, .archive_fd = archive_fd};
    if (fstat(archive_fd, &status) == 0 && S_ISREG(status.st_mode)) {
        unpacking_out->archive_bytes = (uint64_t)status.st_size;
    }
    progress_begin(&unpacking_out->bar, "unpacking");
    progress(session, "unpacking %s ...", name);
}

/* A full disk is one of this machine's: which, and what other. */
static int no_unpacking(struct session *session, const char *name, const struct staged *staged,
                        struct err *err)
{
    /* The worker's own words: it says no number. */
    bool is_full =
        strstr(err->text, err_text(ENOSPC)) != NULL || strstr(err->text, err_text(EDQUOT)) != NULL;

    err_wrap(err, "%s", name);
    problem_from_err(&session->problem, EXIT_REFUSED, err);
    return is_full ? problem_advise(
                         &session->problem, "it is unpacked in %.*s; TMPDIR=FOLDER names another",
                         (int)(strrchr(staged->parent, '/') - staged->parent), staged->parent)
                   : EXIT_REFUSED;
}

static int unpack(struct session *session, const char *name, int archive_fd, struct staged *staged,
                  struct push_notes *notes)
{
    CLEANUP(cleanup_free) struct worker *worker = calloc(1, sizeof(*worker));
    struct unpacking unpacking;
    struct err err;

    if (worker == NULL) {
        return problem_set(&session->problem, EXIT_REFUSED, name, "no memory");
    }
    begin_unpacking(session, name, archive_fd, &unpacking);
    if (worker_start_unpack(worker, archive_fd, staged->parent_fd, STAGING_NAME, &err) < 0 ||
        worker_wait_looking(worker, WORKER_UNPACK_MS, show_unpacking, &unpacking, &err) < 0) {
        progress(session, "%s", "");
        return no_unpacking(session, name, staged, &err);
    }
    for (uint32_t i = 0; worker_note(worker, i) != NULL; i++) {
        push_note(notes, worker_note(worker, i));
    }
    staged->folder_fd =
        openat(staged->parent_fd, STAGING_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return staged->folder_fd < 0 ? problem_set(&session->problem, EXIT_REFUSED, name, "%m")
                                 : EXIT_DONE;
}

static int push_archive(struct session *session, const char *name, int archive_fd,
                        struct staged *staged)
{
    CLEANUP(cleanup_free) struct push_notes *notes = calloc(1, sizeof(*notes));
    int status;

    if (notes == NULL) {
        return problem_set(&session->problem, EXIT_REFUSED, "push", "no memory");
    }
    status = unpack(session, name, archive_fd, staged, notes);
    if (status == EXIT_DONE) {
        status = push_folder(session, name, staged->folder_fd, notes);
    }
    progress(session, "%s", "");
    return status;
}

static void block_signals(bool block, sigset_t *before)
{
    sigset_t signals;

    signals_of_end(&signals);
    sigaddset(&signals, SIGCHLD);
    pthread_sigmask(block ? SIG_BLOCK : SIG_SETMASK, block ? &signals : before,
                    block ? before : NULL);
}

/* Waits for the child; what was meant to end this process ends the child first. */
static int await_child(pid_t child, const sigset_t *before)
{
    int status = 0;
    pid_t ended = 0;
    sigset_t signals;

    signals_of_end(&signals);
    sigaddset(&signals, SIGCHLD);
    while (ended != child) {
        int number = sigwaitinfo(&signals, NULL);

        if (number > 0 && number != SIGCHLD && sigismember(before, number) == 0) {
            kill(child, number);
        }
        ended = waitpid(child, &status, WNOHANG);
    }
    /* Its worker dies with it, a moment later: until then it may still write. */
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
    }
    return status;
}

/*
 * The work is a child's, so that somebody is left to remove the staging folder when a Ctrl-C or
 * anything else ends it. Returns the child's exit status; a signal is passed on to ourselves.
 */
static int push_minded(struct session *session, const char *name, int archive_fd)
{
    struct staged staged = {.parent_fd = -1, .folder_fd = -1};
    sigset_t before;
    pid_t child;
    int status;

    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, NULL); /* may come ignored */
    block_signals(true, &before); /* before there is anything that one could leave behind */
    status = make_parent(session, &staged);
    if (status != EXIT_DONE || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
        block_signals(false, &before);
        staged_done(&staged);
        return status != EXIT_DONE ? status
                                   : problem_set(&session->problem, EXIT_REFUSED, "push", "%m");
    }
    fflush(stdout);
    child = fork();
    if (child < 0) {
        status = problem_set(&session->problem, EXIT_REFUSED, "push", "%m");
        block_signals(false, &before);
        staged_done(&staged);
        return status;
    }
    if (child == 0) {
        block_signals(false, &before);
        status = push_archive(session, name, archive_fd, &staged);
        staged_done(&staged);
        return status;
    }
    status = await_child(child, &before);
    staged_done(&staged);
    block_signals(false, &before);
    if (WIFSIGNALED(status)) {
        raise(WTERMSIG(status));
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_REFUSED;
}

static int push_in_place(struct session *session, const char *name, int folder_fd)
{
    CLEANUP(cleanup_free) struct push_notes *notes = calloc(1, sizeof(*notes));
    int status;

    if (notes == NULL) {
        return problem_set(&session->problem, EXIT_REFUSED, "push", "no memory");
    }
    status = push_folder(session, name, folder_fd, notes);
    progress(session, "%s", "");
    return status;
}

/* A folder is read in place; everything else is an archive for the confined worker. */
int run_push(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_close) int fd = -1;
    const char *name = arguments->words[0];
    struct stat state;
    /* Without an agent nothing needs to be unpacked. */
    int status = session_get(session, "/v1/version", NULL);

    if (status != EXIT_DONE) {
        return status;
    }
    if (strcmp(name, "-") == 0) {
        return push_minded(session, "standard input", STDIN_FILENO);
    }
    fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &state) < 0) {
        return problem_set(&session->problem, errno == ENOENT ? EXIT_NOT_FOUND : EXIT_REFUSED, name,
                           "%m");
    }
    if (S_ISDIR(state.st_mode)) {
        return push_in_place(session, name, fd);
    }
    if (!S_ISREG(state.st_mode)) {
        problem_set(&session->problem, EXIT_REFUSED, name, "neither a file nor a folder");
        return problem_advise(&session->problem, "pipe it: minga push - < %s", name);
    }
    return push_minded(session, name, fd);
}
