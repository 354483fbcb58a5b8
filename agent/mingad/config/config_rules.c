// SPDX-License-Identifier: GPL-3.0-or-later
/* The owner's rules in minga.yaml: each value, and what a rule must say as a whole. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/mingad/config/config_hooks.h"
#include "base/units.h"

static struct owner_rule *rule_of(const struct yaml_value *value)
{
    return &((struct config_rule *)value->base)->rule;
}

int config_check_rule_name(const struct yaml_value *value, struct err *err)
{
    const struct config *config = value->target;
    const struct config_rule *rule = value->base;

    for (const char *letter = value->text; *letter != '\0'; letter++) {
        if ((unsigned char)*letter < ' ' || *letter == 127) {
            return err_set(err, -EINVAL, "expected a name without control characters");
        }
    }
    for (const struct config_rule *other = config->rules; other < rule; other++) {
        if (value->text[0] != '\0' && strcmp(other->rule.name, value->text) == 0) {
            return err_set(err, -EINVAL, "two are named \"%s\"", value->text);
        }
    }
    return 0;
}

int config_read_hours(const struct yaml_value *value, struct err *err)
{
    return hours_parse(value->text, &rule_of(value)->when.hours) == 0
               ? 0
               : err_set(err, -EINVAL,
                         "expected hours like \"Mon-Fri 08:00-18:00, Sat\", got \"%.48s\"",
                         value->text);
}

/* ------------------------------------------------------------------ conditions */

static int read_percent(const struct yaml_value *value, uint32_t *percent_out, struct err *err)
{
    uint32_t percent = 0;

    if (units_parse_percent(value->text, &percent) < 0 || percent == 0) {
        return err_set(err, -EINVAL, "expected a share from 1%% to 100%%, got \"%.32s\"",
                       value->text);
    }
    *percent_out = percent;
    return 0;
}

int config_read_busy(const struct yaml_value *value, struct err *err)
{
    uint32_t percent = 0;
    int r = read_percent(value, &percent, err);

    if (r == 0) {
        rule_of(value)->when.busy_permille = percent * 10;
    }
    return r;
}

int config_read_battery_below(const struct yaml_value *value, struct err *err)
{
    return read_percent(value, &rule_of(value)->when.battery_below_percent, err);
}

static int read_truth(const struct yaml_value *value, enum owner_truth *truth_out, struct err *err)
{
    bool is_yes = strcmp(value->text, "true") == 0;

    if (!is_yes && strcmp(value->text, "false") != 0) {
        return err_set(err, -EINVAL, "expected true or false, got \"%.32s\"", value->text);
    }
    *truth_out = is_yes ? OWNER_YES : OWNER_NO;
    return 0;
}

int config_read_on_battery(const struct yaml_value *value, struct err *err)
{
    return read_truth(value, &rule_of(value)->when.on_battery, err);
}

int config_read_metered(const struct yaml_value *value, struct err *err)
{
    return read_truth(value, &rule_of(value)->when.metered, err);
}

/* ------------------------------------------------------------------ effects */

static int read_part(const struct yaml_value *value, struct config_share *share_out,
                     int (*parse)(const char *text, uint64_t *number_out), struct err *err)
{
    int r = config_parse_share(value->text, share_out, parse, err);

    if (r == 0 && (share_out->is_percent ? share_out->percent : share_out->value) == 0) {
        return err_set(err, -EINVAL, "nothing at all is said by replicas: freeze or drain");
    }
    return r;
}

int config_read_rule_cpu(const struct yaml_value *value, struct err *err)
{
    return read_part(value, &((struct config_rule *)value->base)->cpu, units_parse_cores, err);
}

int config_read_rule_memory(const struct yaml_value *value, struct err *err)
{
    return read_part(value, &((struct config_rule *)value->base)->memory, units_parse_bytes, err);
}

/* In contribute 0 means no limit, which no rule can give: whoever writes it here means nothing. */
int config_check_rule_rate(const struct yaml_value *value, struct err *err)
{
    uint64_t bytes_per_s = 0;

    if (units_parse_bytes(value->text, &bytes_per_s) == 0 && bytes_per_s == 0) {
        return err_set(err, -EINVAL,
                       "0 would be no limit, and a rule only lowers: leave it out, or say "
                       "replicas: freeze");
    }
    return 0;
}

/* ------------------------------------------------------------------ a rule as a whole */

static bool says_share(const struct config_share *share)
{
    return share->is_percent || share->value != 0;
}

static bool says_something(const struct config_rule *rule)
{
    const struct owner_then *then = &rule->rule.then;

    return then->mode != OWNER_RUN || says_share(&rule->cpu) || says_share(&rule->memory) ||
           then->upload_bytes_per_s != 0 || then->download_bytes_per_s != 0;
}

int config_check_then(const struct yaml_value *value, struct err *err)
{
    return says_something(value->base)
               ? 0
               : err_set(err, -EINVAL,
                         "has no effect: say replicas, cpu, memory, upload or download");
}

static bool is_named_twice(const struct config *config, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++) {
        if (strcmp(config->rules[i].rule.name, config->rules[index].rule.name) == 0) {
            return true;
        }
    }
    return false;
}

int config_finish_rules(struct config *config, const struct yaml_marks *marks, struct err *err)
{
    for (uint32_t i = 0; i < config->rule_count; i++) {
        struct owner_rule *rule = &config->rules[i].rule;

        if (rule->name[0] == '\0') {
            (void)snprintf(rule->name, sizeof(rule->name), "rule %u", i + 1);
        }
        if (is_named_twice(config, i)) {
            err_set(err, -EINVAL, "two are named \"%s\"", rule->name);
            return yaml_wrap_at(marks, "rules", err);
        }
    }
    return 0;
}

/* As everywhere, 0 is written for "no limit". */
static uint64_t rate_of(uint64_t bytes_per_s)
{
    return bytes_per_s == 0 ? OWNER_NO_LIMIT : bytes_per_s;
}

void config_resolve_rules(const struct config *config, const struct machine *machine,
                          struct owner_rules *rules_out)
{
    memset(rules_out, 0, sizeof(*rules_out));
    rules_out->count = config->rule_count;
    for (uint32_t i = 0; i < config->rule_count; i++) {
        const struct config_rule *from = &config->rules[i];
        struct owner_then *then = &rules_out->list[i].then;

        rules_out->list[i] = from->rule;
        then->cpu_permille = OWNER_NO_LIMIT;
        then->memory_bytes = OWNER_NO_LIMIT;
        if (says_share(&from->cpu)) {
            then->cpu_permille = from->cpu.is_percent
                                     ? machine->cpu_permille * from->cpu.percent / 100
                                     : from->cpu.value;
        }
        if (says_share(&from->memory)) {
            then->memory_bytes = config_share_of(&from->memory, machine->memory_bytes);
        }
        then->upload_bytes_per_s = rate_of(then->upload_bytes_per_s);
        then->download_bytes_per_s = rate_of(then->download_bytes_per_s);
    }
}
