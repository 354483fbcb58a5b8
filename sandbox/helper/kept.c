// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What a replica printed before it ended: kept until it is started again (then it goes on behind
 * that), or until KEPT_LOGS_MAX others have ended since, and one more begins or ends. Why a service
 * fails at once is in there.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/log.h"
#include "sandbox/helper/helper.h"

static const char *const suffixes[] = {".0", ".1"};

static void log_path(const struct helper *helper, const struct cgroup_name *name,
                     const char *suffix, char path_out[PATH_MAX])
{
    snprintf(path_out, PATH_MAX, "%s/%s%s", helper->folders.logs, name->text, suffix);
}

static void remove_logs(const struct helper *helper, const struct cgroup_name *name)
{
    char path[PATH_MAX];

    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        log_path(helper, name, suffixes[i], path);
        if (unlink(path) < 0 && errno != ENOENT) {
            log_warning("%s: %m", path);
        }
    }
}

bool kept_has(const struct helper *helper, const struct cgroup_name *name)
{
    for (size_t i = 0; i < KEPT_LOGS_MAX; i++) {
        if (strcmp(helper->kept[i].text, name->text) == 0) {
            return true;
        }
    }
    return false;
}

void kept_add(struct helper *helper, const struct cgroup_name *name)
{
    struct cgroup_name *place = &helper->kept[helper->kept_next];

    helper->kept_next = (helper->kept_next + 1) % KEPT_LOGS_MAX;
    if (place->text[0] != '\0') {
        remove_logs(helper, place);
    }
    *place = *name;
}

void kept_reuse(struct helper *helper, const struct cgroup_name *name)
{
    struct cgroup_name *oldest = &helper->kept[helper->kept_next];
    char from[PATH_MAX];
    char to[PATH_MAX];

    if (oldest->text[0] == '\0') {
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        log_path(helper, oldest, suffixes[i], from);
        log_path(helper, name, suffixes[i], to);
        if (rename(from, to) < 0 && errno != ENOENT) {
            log_warning("%s: %m", from);
        }
    }
    oldest->text[0] = '\0';
}

void kept_take(struct helper *helper, const struct cgroup_name *name)
{
    for (size_t i = 0; i < KEPT_LOGS_MAX; i++) {
        if (strcmp(helper->kept[i].text, name->text) == 0) {
            helper->kept[i].text[0] = '\0';
        }
    }
}

void kept_remove_all(struct helper *helper)
{
    for (size_t i = 0; i < KEPT_LOGS_MAX; i++) {
        if (helper->kept[i].text[0] != '\0') {
            remove_logs(helper, &helper->kept[i]);
            helper->kept[i].text[0] = '\0';
        }
    }
}
