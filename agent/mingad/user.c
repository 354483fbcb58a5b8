// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/user.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/units.h"

int user_find(const char *user, struct user *user_out, struct err *err)
{
    uint64_t number = 0;
    bool is_number = units_parse_number(user, &number) == 0;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread is started
    const struct passwd *entry = is_number ? getpwuid((uid_t)number) : getpwnam(user);
    struct user found = {0};

    if (entry != NULL) {
        found.uid = entry->pw_uid;
        found.gid = entry->pw_gid;
        (void)text_copy(found.name, sizeof(found.name), entry->pw_name);
    } else if (is_number) {
        found.uid = (uid_t)number;
        found.gid = (gid_t)number;
    } else if (strcmp(user, "minga") == 0) {
        found.uid = USER_UID_DEFAULT;
        found.gid = USER_UID_DEFAULT;
        log_warning("there is no user minga: running as uid %d", USER_UID_DEFAULT);
    } else {
        err_set(err, -ENOENT, "user %s does not exist", user);
        return err_hint(err, "adduser --system --group %s, or set user in minga.yaml", user);
    }
    if (found.uid == 0 || found.gid == 0) {
        return err_set(err, -EINVAL, "user %s is root or in its group", user);
    }
    *user_out = found;
    return 0;
}

gid_t user_group(void)
{
    // NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread is started
    const struct group *group = getgrnam("minga");

    return group == NULL ? (gid_t)-1 : group->gr_gid;
}

/* What root could still get back by executing a file with capabilities: the bounding set. */
static int drop_bounding_set(void)
{
    for (unsigned long capability = 0; capability <= 63; capability++) {
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
            /* EINVAL: behind the last one that this kernel knows. */
            return errno == EINVAL ? 0 : -errno;
        }
    }
    return 0;
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};

    return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static bool has_kept_something(const struct user *user)
{
    uid_t real = 0;
    uid_t effective = 0;
    uid_t saved = 0;

    return getresuid(&real, &effective, &saved) < 0 || real != user->uid ||
           effective != user->uid || saved != user->uid || setuid(0) == 0 || setgid(0) == 0;
}

int user_become(const struct user *user, struct err *err)
{
    int r = drop_bounding_set();

    if (r < 0) {
        errno = -r;
        return err_set(err, r, "drop capabilities: %m");
    }
    if ((user->name[0] != '\0' ? initgroups(user->name, user->gid) : setgroups(0, NULL)) < 0 ||
        setresgid(user->gid, user->gid, user->gid) < 0 ||
        setresuid(user->uid, user->uid, user->uid) < 0) {
        return err_set(err, -errno, "become user %u: %m", user->uid);
    }
    r = drop_capabilities();
    if (r < 0) {
        errno = -r;
        return err_set(err, r, "drop capabilities: %m");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        return err_set(err, -errno, "drop privileges: %m");
    }
    return has_kept_something(user) ? err_set(err, -EPERM, "root was not given up") : 0;
}
