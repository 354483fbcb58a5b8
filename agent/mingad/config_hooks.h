// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Inside config.c: the values of minga.yaml that need more than a row of the table. */
#include "images/yaml_table.h"

/* Each is a yaml_hook. `read` stores the value, `check` looks at one that is stored already. */
yaml_hook config_check_name;
yaml_hook config_check_label;
yaml_hook config_check_zone;
yaml_hook config_check_download;
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
yaml_hook config_read_owner;
yaml_hook config_read_uids;
