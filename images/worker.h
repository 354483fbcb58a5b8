// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Starting minga-unpack, the confined worker that touches hostile archives and indexes, and
 * taking its result. For the edge only.
 *
 * Blocking:      worker_start_unpack(...) or worker_start_build(...), then worker_wait(...).
 * With a loop:   start; when message_fd is readable, worker_read(): 0 means that the worker has
 *                ended, then worker_finish(). A timer that is over calls worker_kill().
 *
 * A job that fails leaves nothing behind: worker_finish removes the staging folder (which takes
 * a while for big ones: call it from a worker thread of the loop).
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/ids.h"

enum {
    WORKER_NAME_BYTES_MAX = 80,
    WORKER_MESSAGES_BYTES_MAX = 65536,
    WORKER_UNPACK_MS = 300000, /* worker_wait's time for the slowest machine and largest bundle */
};

struct worker {
    pid_t pid;      /* -1: none */
    int message_fd; /* read end, non-blocking; what the worker says about its job */
    int parent_fd;  /* own copy: the folder that holds staging and result */
    bool killed;    /* by worker_kill */
    char staging[WORKER_NAME_BYTES_MAX]; /* name in parent_fd, made by start */
    char result[WORKER_NAME_BYTES_MAX];  /* name in parent_fd, "": the staging folder stays */
    uint32_t message_bytes;
    char messages[WORKER_MESSAGES_BYTES_MAX]; /* lines; terminated */
};

/* Can this process start the worker? Returns 0, or -ENOENT with err saying where it should be. */
int worker_check(struct err *err);

/*
 * Unpacks the tar stream (plain, gzip, xz, zstd) readable from archive_fd into the new folder
 * `staging` of parent_fd. Both descriptors are borrowed for the call only.
 */
int worker_start_unpack(struct worker *worker, int archive_fd, int parent_fd, const char *staging,
                        struct err *err);

/*
 * Builds the tree from the chunk files of chunks_fd (each named by its id, 64 hexadecimal digits,
 * in that folder itself) as the folder named by the tree's id, 64 digits, in trees_fd: complete,
 * synced and renamed into place, or not at all. An existing one is left as it is. -EEXIST where a
 * crash has left a half of it, see below.
 */
int worker_start_build(struct worker *worker, const struct tree_id *tree, int chunks_fd,
                       int trees_fd, struct err *err);
/* Did a crash leave a half of this tree? Nobody else may be building it in the same folder. */
bool worker_has_half(const struct tree_id *tree, int trees_fd);
/*
 * Removes it, which takes a while for a big one: call it from a worker thread of the loop. Returns
 * 0, also where there is none, or -errno.
 */
int worker_remove_half(const struct tree_id *tree, int trees_fd);

/* Takes what the worker said so far. Returns 1 when there may be more later, 0 at its end. */
int worker_read(struct worker *worker);

/*
 * Reaps the ended worker, renames the result into place or removes the staging folder, and
 * releases everything. Returns 0, or a negative code with the worker's own words in err
 * (-EINVAL: refused; -ETIMEDOUT: killed). Messages stay readable: see worker_note.
 */
int worker_finish(struct worker *worker, struct err *err);

/* Ends the worker at once; its end is seen through message_fd as usual. */
void worker_kill(struct worker *worker);

/* Reads until the end or until timeout_ms is over, then finishes. */
int worker_wait(struct worker *worker, uint32_t timeout_ms, struct err *err);
/* The same; `look` is called some ten times a second meanwhile. */
int worker_wait_looking(struct worker *worker, uint32_t timeout_ms, void (*look)(void *context),
                        void *context, struct err *err);

/*
 * After worker_finish: the index-th line of what was dropped ("usr/bin/su: setuid bit dropped"),
 * or NULL behind the last. Borrowed from the worker.
 */
const char *worker_note(const struct worker *worker, uint32_t index);

/*
 * Removes a tree of the folder trees_fd, and what is left of a build of it: under the name of a half
 * one, for what is cut off on the way must not pass for complete. Returns 0, also where there is
 * none, or -errno.
 */
int worker_remove_tree(const struct tree_id *tree, int trees_fd);

/* Removes the folder `name` of parent_fd and all that is in it. Returns 0 or -errno. */
int worker_remove_folder(int parent_fd, const char *name);
/* The same, but no more than so many files and folders. Returns 1 when there are more. */
int worker_remove_some(int parent_fd, const char *name, uint32_t count_max);
