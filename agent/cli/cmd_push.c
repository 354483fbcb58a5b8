// SPDX-License-Identifier: GPL-3.0-or-later
/* minga push FILE|DIR|- */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/cli/push.h"
#include "base/cleanup.h"
#include "images/worker.h"

/* A bundle in a folder, its own or a staging one that goes away again. */
struct staged {
    int parent_fd; /* of the staging folder; -1: none was made */
    int folder_fd;
    char parent[64];
};

#define STAGING_NAME "bundle"

static void staged_done(struct staged *staged)
{
    cleanup_close(&staged->folder_fd);
    if (staged->parent_fd >= 0) {
        worker_remove_folder(staged->parent_fd, STAGING_NAME);
        cleanup_close(&staged->parent_fd);
        rmdir(staged->parent);
    }
}

static int make_parent(struct session *session, struct staged *staged)
{
    const char *temporary = getenv("TMPDIR");

    if (temporary == NULL || strlen(temporary) > 32 || temporary[0] != '/') {
        temporary = "/var/tmp"; /* on disk: a bundle may be larger than memory */
    }
    snprintf(staged->parent, sizeof(staged->parent), "%s/minga-push-XXXXXX", temporary);
    if (mkdtemp(staged->parent) == NULL) {
        return problem_set(&session->problem, EXIT_REFUSED, temporary, "%m");
    }
    staged->parent_fd = open(staged->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return staged->parent_fd < 0
               ? problem_set(&session->problem, EXIT_REFUSED, staged->parent, "%m")
               : EXIT_DONE;
}

static int unpack(struct session *session, const char *name, int archive_fd, struct staged *staged,
                  struct push_notes *notes)
{
    CLEANUP(cleanup_free) struct worker *worker = calloc(1, sizeof(*worker));
    struct err err;
    int status = make_parent(session, staged);

    if (status != EXIT_DONE) {
        return status;
    }
    if (worker == NULL) {
        return problem_set(&session->problem, EXIT_REFUSED, name, "no memory");
    }
    progress(session, "unpacking %s ...", name);
    if (worker_start_unpack(worker, archive_fd, staged->parent_fd, STAGING_NAME, &err) < 0 ||
        worker_wait(worker, WORKER_UNPACK_MS, &err) < 0) {
        progress(session, "%s", "");
        err_wrap(&err, "%s", name);
        return problem_from_err(&session->problem, EXIT_REFUSED, &err);
    }
    for (uint32_t i = 0; worker_note(worker, i) != NULL; i++) {
        push_note(notes, worker_note(worker, i));
    }
    staged->folder_fd =
        openat(staged->parent_fd, STAGING_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return staged->folder_fd < 0 ? problem_set(&session->problem, EXIT_REFUSED, name, "%m")
                                 : EXIT_DONE;
}

/* A folder is read in place; everything else is an archive for the confined worker. */
static int stage(struct session *session, const char *name, struct staged *staged,
                 struct push_notes *notes)
{
    CLEANUP(cleanup_close) int fd = -1;
    struct stat status;

    if (strcmp(name, "-") == 0) {
        return unpack(session, "standard input", STDIN_FILENO, staged, notes);
    }
    fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) < 0) {
        return problem_set(&session->problem, errno == ENOENT ? EXIT_NOT_FOUND : EXIT_REFUSED, name,
                           "%m");
    }
    if (S_ISDIR(status.st_mode)) {
        staged->folder_fd = take_fd(&fd);
        return EXIT_DONE;
    }
    if (!S_ISREG(status.st_mode)) {
        problem_set(&session->problem, EXIT_REFUSED, name, "neither a file nor a folder");
        return problem_advise(&session->problem, "pipe it: minga push - < %s", name);
    }
    return unpack(session, name, fd, staged, notes);
}

int run_push(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_free) struct push_notes *notes = calloc(1, sizeof(*notes));
    struct staged staged = {.parent_fd = -1, .folder_fd = -1};
    int status;

    if (notes == NULL) {
        return problem_set(&session->problem, EXIT_REFUSED, "push", "no memory");
    }
    /* Without an agent nothing needs to be unpacked. */
    status = session_get(session, "/v1/version", NULL);
    if (status == EXIT_DONE) {
        status = stage(session, arguments->words[0], &staged, notes);
    }
    if (status == EXIT_DONE) {
        status = push_folder(session, arguments->words[0], staged.folder_fd, notes);
    }
    progress(session, "%s", "");
    staged_done(&staged);
    return status;
}
