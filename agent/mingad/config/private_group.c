// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/config/private_group.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* Of one entry: a group with more members than fit is nobody's own. */
enum { GROUP_BYTES_MAX = 65536, USER_BYTES_MAX = 16384 };

/* The group knows members by name, the user database knows whose primary group it is. */
static bool has_other_member(const struct group *group, const char *owner)
{
    for (char *const *member = group->gr_mem; *member != NULL; member++) {
        if (strcmp(*member, owner) != 0) {
            return true;
        }
    }
    return false;
}

/*
 * Directories such as LDAP need not list their users: therefore the group's name counts, too. Also true when the
 * list cannot be read to its end.
 */
static bool is_primary_of_another(gid_t gid, uid_t owner, char *bytes, size_t length_bytes)
{
    struct passwd user;
    struct passwd *found = NULL;
    bool is_other = false;
    int r = 0;

    setpwent();
    while (!is_other && (r = getpwent_r(&user, bytes, length_bytes, &found)) == 0) {
        is_other = found->pw_gid == gid && found->pw_uid != owner;
    }
    endpwent();
    return is_other || r != ENOENT;
}

static bool is_private(gid_t gid, uid_t owner)
{
    CLEANUP(cleanup_free) char *group_bytes = malloc(GROUP_BYTES_MAX);
    CLEANUP(cleanup_free) char *owner_bytes = malloc(USER_BYTES_MAX);
    CLEANUP(cleanup_free) char *other_bytes = malloc(USER_BYTES_MAX);
    struct group group;
    struct group *found_group = NULL;
    struct passwd user;
    struct passwd *found_user = NULL;

    if (group_bytes == NULL || owner_bytes == NULL || other_bytes == NULL ||
        getgrgid_r(gid, &group, group_bytes, GROUP_BYTES_MAX, &found_group) != 0 ||
        getpwuid_r(owner, &user, owner_bytes, USER_BYTES_MAX, &found_user) != 0 ||
        found_group == NULL || found_user == NULL) {
        return false;
    }
    return user.pw_gid == gid && strcmp(group.gr_name, user.pw_name) == 0 &&
           !has_other_member(&group, user.pw_name) &&
           !is_primary_of_another(gid, owner, other_bytes, USER_BYTES_MAX);
}

bool others_can_write(const struct stat *status)
{
    return (status->st_mode & S_IWOTH) != 0 ||
           ((status->st_mode & S_IWGRP) != 0 && !is_private(status->st_gid, status->st_uid));
}
