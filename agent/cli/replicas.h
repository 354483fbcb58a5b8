// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Which replicas a command is meant for: jobs for remote.h, one each. */
#include "agent/cli/remote.h"

/* How `minga exec` and `minga cp` go about it: --parallel, --delay, --timeout. */
struct remote_pace {
    uint32_t parallel;
    uint64_t delay_ms;
    uint64_t time_ms;
};
/* `time_ms`: unless --timeout says otherwise. */
int remote_pace_read(struct session *session, const struct arguments *arguments, uint64_t time_ms,
                     struct remote_pace *pace_out);

struct replicas {
    bool is_one; /* a replica was named, not a service */
    uint32_t count;
    struct remote_job jobs[REPLICAS_PER_SERVICE_MAX]; /* name, node and replica are filled in */
};

/* Those of `text`, "wiki" or "wiki/1", that run. EXIT_NOT_FOUND when there are none. */
int replicas_find(struct session *session, const char *text, struct replicas *replicas_out);
/* Sets the words of a job; EXIT_USAGE when they are too many. */
int replicas_words(struct session *session, struct remote_job *job, const char *const *words,
                   uint32_t count);

/* "exit status 2", "killed by signal 9", "its node does not answer"; true: it went well. */
bool remote_judge(const struct remote_job *job, uint64_t time_ms, char *text_out,
                  size_t capacity_bytes);
