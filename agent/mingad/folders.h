// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * State and runtime folders: each root's, with "agent" (the daemon's, 0700) and "sandbox" (root's,
 * 0700) in it. And what lies beside them: the control socket and the sandbox limits.
 */
#include "agent/mingad/config/config.h"
#include "agent/mingad/user.h"
#include "base/err.h"

enum { FOLDERS_PATH_BYTES_MAX = CONFIG_STATE_BYTES_MAX + 32 };

/* As root: with their owners. Otherwise: what the caller may make, all its own. */
int folders_make(const struct config *config, const struct user *user, struct err *err);

/*
 * Keeps every other mingad away from these folders, until this process ends. Before the helper is
 * asked for: it obeys the newest agent. -EADDRINUSE when another mingad has them.
 */
int folders_lock(const struct config *config, struct err *err);

/*
 * Forgets what is kept of a community below STATE/agent. Records are deleted; chunks and trees, of
 * which there may be many, are put away for folders_remove_gone. The node's key stays. Nobody else
 * must be using it.
 */
int folders_forget(const struct config *config, struct err *err);
/* Removes so many files and folders of what was put away, also by an earlier process. Returns 0, 1 when
 * there are more, or -errno. For a worker thread. */
int folders_remove_gone(const struct config *config, uint32_t count_max);
/* The node's key and its bond to a machine, too: the next start makes a new node. */
int folders_renew(const struct config *config, struct err *err);
#define FOLDERS_BOND_FILE "machine" /* below STATE/agent: machine_bond.h */

/* RUN/limits, for minga-sandboxd --limits. As root only. */
void folders_limits_path(const struct config *config, char path_out[FOLDERS_PATH_BYTES_MAX]);
int folders_write_limits(const struct config *config, const struct contribution *contribution,
                         const struct user *user, struct err *err);

/* RUN/sandbox.sock, where minga-sandboxd listens; RUN/agent/sandbox.sock: minga-environment. */
void folders_helper_path(const struct config *config, char path_out[FOLDERS_PATH_BYTES_MAX]);

/*
 * RUN/agent.sock, open to every local user (rights are checked by peer credentials): the one that
 * systemd listens on for us (mingad.socket), else bound here.
 * Returns the listening descriptor; -EADDRINUSE when another mingad answers there.
 */
int folders_bind_control(const struct config *config, struct err *err);
