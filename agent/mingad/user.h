// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* The user that mingad becomes, and the end of its privileges. */
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

enum { USER_UID_DEFAULT = 64321 }; /* where user minga does not exist */

struct user {
    uid_t uid;
    gid_t gid;
    char name[33]; /* "": the number has no name */
};

/* `user` of minga.yaml: a name or a number. Only "minga" may be missing: then a warning. */
int user_find(const char *user, struct user *user_out, struct err *err);
/* Group "minga" of the control API; (gid_t)-1 when there is none. */
gid_t user_group(void);

/*
 * For good: supplementary groups, uid and gid, every capability, new privileges by exec, core
 * dumps. Only as root. Fails rather than keeping anything.
 */
int user_become(const struct user *user, struct err *err);
