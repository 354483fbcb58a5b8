// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* One more rule of the owner's: its name and its mode; the test says the rest. */
#include <criterion/criterion.h>
#include <string.h>

#include "agent/policy/rules.h"
#include "base/bytes.h"

/* It lowers no limit, and holds always. Returns it, in `rules`. */
static inline struct owner_rule *rule_add(struct owner_rules *rules, const char *name,
                                          enum owner_mode mode)
{
    struct owner_rule *rule = &rules->list[rules->count++];

    cr_assert_leq(rules->count, OWNER_RULES_MAX);
    memset(rule, 0, sizeof(*rule));
    cr_assert_eq(text_copy(rule->name, sizeof(rule->name), name), 0);
    rule->then = (struct owner_then){.mode = mode,
                                     .within_ms = OWNER_WITHIN_MS,
                                     .cpu_permille = OWNER_NO_LIMIT,
                                     .memory_bytes = OWNER_NO_LIMIT,
                                     .upload_bytes_per_s = OWNER_NO_LIMIT,
                                     .download_bytes_per_s = OWNER_NO_LIMIT};
    return rule;
}
