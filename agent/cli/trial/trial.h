// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The surroundings of `minga try`: folders of its own, a minga-sandboxd of its own, and a guard
 * that ends the helper and removes the folders when this process is over, however it ends.
 *
 *     minga try --socketpair--> guard --fork--> minga-sandboxd --> the one sandbox
 *
 * The helper of an agent on this machine is neither needed nor asked: its door stays as it is.
 * What a killed guard left behind is removed by the next trial.
 */
#include <sys/types.h>

#include "agent/cli/session.h"
#include "images/manifest.h"
#include "sandbox/client.h"
#include "sandbox/environment.h"

enum { TRIAL_PATH_BYTES_MAX = 96 };

struct trial {
    char state[TRIAL_PATH_BYTES_MAX]; /* both root's, 0755, of the same last name */
    char run[TRIAL_PATH_BYTES_MAX];
    int state_fd; /* locked while this trial lives */
    uid_t uid;    /* of the tree's files */
    gid_t gid;
    int guard_fd; /* the guard ends everything when it is closed */
    pid_t guard_pid;
};

/* Neither folders nor guard yet; trial_close() is harmless. */
void trial_init(struct trial *trial);
/* Makes the folders and starts the guard. As root only. */
int trial_open(struct session *session, struct trial *trial);
/* Ends what runs, at once, and removes the folders. */
void trial_close(struct trial *trial);

/*
 * Makes the tree of the bundle in `fd`, an archive or a folder, below STATE/trees. `name` is for
 * messages. Says on stderr what the rules dropped.
 */
int trial_make_tree(struct session *session, const struct trial *trial, const char *name, int fd,
                    struct manifest *manifest_out, struct tree_id *tree_out);

/* Writes down what the one replica needs, and has the guard start the helper. */
int trial_start_helper(struct session *session, const struct trial *trial,
                       const struct sandbox_spec *spec);
/*
 * Waits until the helper answers at its socket, and connects `client_out` to it. EXIT_REFUSED: it
 * has ended, see below; EXIT_LATE: it does not answer. The problem is set.
 */
int trial_connect(struct session *session, const struct trial *trial,
                  struct sandbox_client *client_out);
/* The helper has ended, or its connection has: the problem is its last words. Returns EXIT_REFUSED. */
int trial_helper_failed(struct session *session, const struct trial *trial);
