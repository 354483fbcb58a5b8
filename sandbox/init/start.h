// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The service's first process: forked, held until it is in its cgroup, then executed. */
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "sandbox/environment.h"
#include "sandbox/exec_protocol.h"

struct start {
    pid_t pid;     /* of the service's main process; 0: none */
    int go_fd;     /* writing end: a byte lets the child go on */
    int report_fd; /* reading end, non-blocking: an error's text, or the end when execve worked */
    int output_fd; /* reading end, non-blocking: stdout and stderr */
};

/*
 * Makes the pipe for the output, as root of the sandbox still: it belongs to the service's user,
 * so that /dev/stdout can be opened by programs that log there.
 */
int start_prepare(struct start *start, const struct sandbox_spec *spec, int *output_write_fd_out,
                  struct err *err);
/* Has the specification a health command? */
bool start_probes(const struct sandbox_spec *spec);
/*
 * Starts the spec's health command beside the service: same user, group, filter, environment and
 * folder, in a process group of its own; it reads and prints nothing. Returns its pid or -errno.
 */
pid_t start_probe(struct sandbox_spec *spec);
/* What an exec reads and prints to: pipes, borrowed. */
struct exec_pipes {
    int input_fd;
    int output_fd;
    int error_fd;
};
/*
 * The same for what `begin` says: a command, or (in this very program) the copying of files. What
 * goes wrong is printed to error_fd, as by a shell; then the exit status is 126 or 127.
 */
pid_t start_exec(struct sandbox_spec *spec, struct exec_begin *begin,
                 const struct exec_pipes *pipes);
/* Forks. The child reports itself on INIT_FD_CONTROL and waits. Closes output_write_fd. */
int start_fork(struct start *start, struct sandbox_spec *spec, int output_write_fd,
               struct err *err);
/* The child is in its group: let it go on. */
int start_release(struct start *start);
/*
 * Has it been executed? 0: yes. -EAGAIN: not known yet. Another -errno: failed, err says why.
 * report_fd is closed unless -EAGAIN.
 */
int start_outcome(struct start *start, struct err *err);
/*
 * Most of our code has been used for the last time now. The pages are the program file's, clean,
 * and shared by all sandboxes of this helper; those needed again come back one by one.
 */
void start_forget_code(void);
