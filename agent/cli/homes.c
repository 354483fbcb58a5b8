// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Keys of the person at the keyboard. Under sudo that is the one who called sudo, and everything
 * in that home is done with that one's rights: a link planted there leads root nowhere.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/session.h"
#include "base/check.h"
#include "base/file.h"
#include "base/units.h"

enum { KEY_PATH_BYTES_MAX = 1024 };

struct home {
    bool borrowed; /* effective ids and groups were changed */
    int group_count;
    gid_t groups[256]; /* to go back to */
    char folder[KEY_PATH_BYTES_MAX];
};

/* The number in a variable that sudo sets; false when there is none. */
static bool sudo_number(const char *name, uint32_t *number_out)
{
    const char *text = getenv(name);
    uint64_t number = 0;

    if (geteuid() != 0 || text == NULL || units_parse_number(text, &number) < 0 || number == 0 ||
        number >= UINT32_MAX) {
        return false;
    }
    *number_out = (uint32_t)number;
    return true;
}

static int home_unknown(struct session *session)
{
    problem_set(&session->problem, EXIT_REFUSED, "keys", "your home folder is not known");
    return problem_advise(&session->problem, "choose a key with --key FILE");
}

/* Root's further groups are put aside, too: a link in that home must not lead where they may write. */
static int become(struct home *home, uint32_t uid, uint32_t gid)
{
    gid_t group = gid;

    home->group_count = getgroups(ARRAY_COUNT(home->groups), home->groups);
    return home->group_count < 0 || setgroups(1, &group) < 0 || setegid(gid) < 0 || seteuid(uid) < 0
               ? -1
               : 0;
}

static int home_enter(struct session *session, struct home *home_out)
{
    uint32_t uid = 0;
    uint32_t gid = 0;
    const char *config = getenv("XDG_CONFIG_HOME");
    const char *folder = getenv("HOME");

    memset(home_out, 0, sizeof(*home_out));
    if (sudo_number("SUDO_UID", &uid) && sudo_number("SUDO_GID", &gid)) {
        // NOLINTNEXTLINE(concurrency-mt-unsafe): the command has one thread
        const struct passwd *person = getpwuid(uid);

        config = NULL;
        folder = person != NULL ? person->pw_dir : NULL;
        if (folder == NULL || become(home_out, uid, gid) < 0) {
            return home_unknown(session);
        }
        home_out->borrowed = true;
    }
    if (config != NULL && config[0] == '/') {
        snprintf(home_out->folder, sizeof(home_out->folder), "%s/minga", config);
    } else if (folder != NULL && folder[0] == '/') {
        snprintf(home_out->folder, sizeof(home_out->folder), "%s/.config/minga", folder);
    } else {
        return home_unknown(session);
    }
    return EXIT_DONE;
}

static void home_leave(const struct home *home)
{
    if (home->borrowed) {
        CHECK(seteuid(0) == 0);
        CHECK(setegid(0) == 0);
        CHECK(setgroups((size_t)home->group_count, home->groups) == 0);
    }
}

static int key_problem(struct session *session, const struct err *err)
{
    int status = err->code == -ENOENT ? EXIT_NOT_FOUND : EXIT_REFUSED;

    return problem_from_err(&session->problem, status, err);
}

/* Makes a key and its folders. */
static int make_key(struct session *session, const char *folder, const char *path,
                    struct secret_key *secret_out)
{
    struct err err;

    keys_generate(secret_out);
    if (file_make_folders(folder, 0700, &err) < 0 || keys_save(path, secret_out, &err) < 0) {
        return key_problem(session, &err);
    }
    return EXIT_DONE;
}

static int owner_key(struct session *session, bool makes, struct secret_key *secret_out)
{
    char path[KEY_PATH_BYTES_MAX + 16];
    struct home home;
    struct err err;
    int status = EXIT_DONE;

    if (session->key_path != NULL) {
        return keys_load(session->key_path, secret_out, &err) < 0 ? key_problem(session, &err)
                                                                  : EXIT_DONE;
    }
    status = home_enter(session, &home);
    if (status == EXIT_DONE) {
        snprintf(path, sizeof(path), "%s/owner.key", home.folder);
        if (keys_load(path, secret_out, &err) < 0) {
            status = key_problem(session, &err);
        }
    }
    if (status == EXIT_NOT_FOUND && makes) {
        status = make_key(session, home.folder, path, secret_out);
        if (status == EXIT_DONE) {
            memset(&session->problem, 0, sizeof(session->problem));
            remark("minga: made your owner key %s: keep it safe, it alone governs your services",
                   path);
        }
    }
    home_leave(&home);
    return status;
}

int session_owner_key(struct session *session, struct secret_key *secret_out)
{
    return owner_key(session, true, secret_out);
}

int session_owner_key_if_any(struct session *session, struct secret_key *secret_out)
{
    int status = owner_key(session, false, secret_out);

    return status != EXIT_NOT_FOUND
               ? status
               : problem_advise(&session->problem,
                                "you own no service; who does has this key, or names it by --key");
}

static void community_paths(const struct home *home, const char *community, char *folder_out,
                            char *path_out)
{
    snprintf(folder_out, KEY_PATH_BYTES_MAX + 16, "%s/community", home->folder);
    snprintf(path_out, KEY_PATH_BYTES_MAX + 64, "%s/community/%s.key", home->folder, community);
}

int session_community_key(struct session *session, const char *community,
                          struct secret_key *secret_out)
{
    char folder[KEY_PATH_BYTES_MAX + 16];
    char path[KEY_PATH_BYTES_MAX + 64];
    struct home home = {0};
    struct err err;
    int status = EXIT_DONE;

    if (session->key_path != NULL) {
        snprintf(path, sizeof(path), "%s", session->key_path);
    } else {
        status = home_enter(session, &home);
        if (status == EXIT_DONE) {
            community_paths(&home, community, folder, path);
        }
    }
    if (status == EXIT_DONE && keys_load(path, secret_out, &err) < 0) {
        status = err.code == -ENOENT ? EXIT_NO_AGENT : EXIT_REFUSED;
        problem_from_err(&session->problem, status, &err);
        problem_advise(&session->problem, "only who holds the key of community %s can do this",
                       community);
    }
    home_leave(&home);
    return status;
}

int session_community_key_new(struct session *session, const char *community,
                              struct secret_key *secret_out, char *path_out, size_t capacity_bytes)
{
    char folder[KEY_PATH_BYTES_MAX + 16];
    char path[KEY_PATH_BYTES_MAX + 64];
    struct home home = {0};
    struct err err;
    int status = home_enter(session, &home);

    if (status == EXIT_DONE) {
        community_paths(&home, community, folder, path);
        if (session->key_path != NULL) {
            snprintf(path, sizeof(path), "%s", session->key_path);
        }
        snprintf(path_out, capacity_bytes, "%s", path);
        keys_generate(secret_out);
        if (session->key_path == NULL && file_make_folders(folder, 0700, &err) < 0) {
            status = key_problem(session, &err);
        } else if (keys_save(path, secret_out, &err) < 0) {
            status = key_problem(session, &err);
            problem_advise(&session->problem,
                           "a key of that name is never replaced: choose another name");
        }
    }
    home_leave(&home);
    return status;
}

void session_community_key_drop(const char *path)
{
    unlink(path);
}

void session_person(char *name_out, size_t capacity_bytes)
{
    uint32_t uid = (uint32_t)geteuid();
    const struct passwd *person;

    sudo_number("SUDO_UID", &uid);
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the command has one thread
    person = getpwuid(uid);
    snprintf(name_out, capacity_bytes, "%s", person != NULL ? person->pw_name : "");
}
