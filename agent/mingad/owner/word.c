// SPDX-License-Identifier: GPL-3.0-or-later
/* Why replicas stop or go, for who reads the log: the rule or order that acts, and the community. */
#include <string.h>

#include "agent/mingad/edge.h"
#include "base/bytes.h"
#include "base/log.h"

static const char *effect_of(enum owner_mode mode)
{
    switch (mode) {
    case OWNER_KEEP:
        return "nothing new is run here";
    case OWNER_DRAIN:
        return "what runs here is started elsewhere first, then ends here";
    case OWNER_FREEZE:
        return "all that runs here is frozen";
    case OWNER_RUN:
        break;
    }
    return "the community gets less";
}

static void say_word(struct edge *edge)
{
    struct core_word word = core_word(edge->core);

    /* Without a name it is no rule's: nothing acts, or nothing can be judged yet. */
    if (strcmp(word.rule, edge->rule) == 0 &&
        (word.mode == edge->rule_mode || word.rule[0] == '\0')) {
        return;
    }
    if (word.rule[0] != '\0') {
        log_event(LOG_LEVEL_INFO, "rule", "%s: %s", word.rule, effect_of(word.mode));
    } else {
        log_event(LOG_LEVEL_INFO, "rule", "%s is over: what is given may be used", edge->rule);
    }
    edge->rule_mode = word.mode;
    (void)text_copy(edge->rule, sizeof(edge->rule), word.rule);
}

void say_changes(struct edge *edge)
{
    const struct overlay *overlay = core_overlay(edge->core);
    bool belongs = overlay_belongs(overlay);

    say_word(edge);
    if (belongs && !edge->belongs) {
        log_event(LOG_LEVEL_INFO, "member", "this node belongs to the community %s",
                  overlay_community_name(overlay));
    }
    edge->belongs = belongs;
}
