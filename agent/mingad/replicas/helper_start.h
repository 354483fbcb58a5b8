// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Getting a minga-sandboxd while still root, or a minga-environment when not any more. */
#include <sys/types.h>

#include "agent/mingad/config/config.h"
#include "agent/mingad/replicas/sandbox_link.h"
#include "base/err.h"

/*
 * Connects `link` to the helper that answers on this agent's socket; where none does, starts the
 * one beside this program (--exit-when-idle; minga-environment where minga.yaml names a program)
 * and waits until it answers. *pid_out is the started
 * process, 0 when there was one. On failure the agent may go on without the run role.
 */
int helper_start(const struct config *config, struct sandbox_link *link, pid_t *pid_out,
                 struct err *err);
/* Starts a minga-environment, when none of ours is there; whoever calls connects to it in time. */
int environment_start(const struct config *config, pid_t *pid_out, struct err *err);
/* Waits a while for a helper of ours to end after its agent's connection did. */
void helper_await_end(pid_t pid);
