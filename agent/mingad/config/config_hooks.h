// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Inside config.c: the values of minga.yaml that need more than a row of the table. */
#include "agent/mingad/config/config.h"
#include "images/yaml_table.h"

/* Each is a yaml_hook. `read` stores the value, `check` looks at one that is stored already. */
yaml_hook config_check_name;
yaml_hook config_check_label;
yaml_hook config_check_zone;
yaml_hook config_check_advertise;
yaml_hook config_check_user;
yaml_hook config_check_cgroup;
yaml_hook config_check_path;
yaml_hook config_read_cpu;
yaml_hook config_read_memory;
yaml_hook config_read_disk;
yaml_hook config_read_storage;
yaml_hook config_read_keep_free;
yaml_hook config_read_listen;
yaml_hook config_read_ports;
yaml_hook config_read_bind;
yaml_hook config_read_guest;
yaml_hook config_read_uids;
/* config_rules.c */
yaml_hook config_check_rule_name;
yaml_hook config_check_rule_rate;
yaml_hook config_check_then;
yaml_hook config_check_role;
yaml_hook config_read_hours;
yaml_hook config_read_busy;
yaml_hook config_read_on_battery;
yaml_hook config_read_battery_below;
yaml_hook config_read_metered;
yaml_hook config_read_rule_cpu;
yaml_hook config_read_rule_memory;

/* "25%" or what `parse` takes. */
int config_parse_share(const char *text, struct config_share *share_out,
                       int (*parse)(const char *text, uint64_t *number_out), struct err *err);
uint64_t config_share_of(const struct config_share *share, uint64_t whole);
/* Names those without a name; refuses one name twice. */
int config_finish_rules(struct config *config, const struct yaml_marks *marks, struct err *err);
void config_resolve_rules(const struct config *config, const struct machine *machine,
                          struct owner_rules *rules_out);
