// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/config/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attributes.h"

static const struct machine machine = {"oak", 2000, (uint64_t)1000 << 20, (uint64_t)100 << 30,
                                       MANIFEST_ARCH_AMD64};

static int parse(const char *yaml, struct config *config_out, struct err *err)
{
    return config_parse(bytes_of_text(yaml), "minga.yaml", config_out, err);
}

static void refused(const char *yaml, const char *expected)
{
    struct config config;
    struct err err = {0};

    cr_assert_eq(parse(yaml, &config, &err), -EINVAL, "accepted: %s", yaml);
    cr_assert_not_null(strstr(err.text, expected), "\"%s\" is not in \"%s\"", expected, err.text);
}

Test(config, an_empty_file_means_the_defaults_of_the_design)
{
    struct config config;
    struct contribution contribution;
    struct err err = {0};

    cr_assert_eq(parse("", &config, &err), 0, "%s", err.text);
    cr_assert_str_eq(config.name, "");
    cr_assert_eq(config.listen_port, 7400);
    cr_assert_str_eq(config.listen_host, "*");
    cr_assert_str_eq(config.advertise, "auto");
    cr_assert_str_eq(config.bind, "*");
    cr_assert_eq(config.port_first, 31000);
    cr_assert_eq(config.port_last, 31999);
    cr_assert_eq(config.pid_count, 512);
    cr_assert_eq(config.weight_percent, 10);
    cr_assert_eq(config.upload_bytes_per_s, 2 << 20);
    cr_assert_eq(config.uid_first, 1879048192);
    cr_assert_eq(config.uid_last, 2147483647);
    cr_assert_str_eq(config.user, "minga");
    cr_assert_str_eq(config.cgroup, "minga");
    cr_assert_str_eq(config.state, "/var/lib/minga");
    cr_assert_str_eq(config.run, "/run/minga");
    cr_assert(config_has_role(&config, CONFIG_ROLE_RUN));
    cr_assert(config_has_role(&config, CONFIG_ROLE_STORE));
    cr_assert(config_has_role(&config, CONFIG_ROLE_MANAGE));
    cr_assert_eq(config_resolve(&config, &machine, &contribution, &err), 0, "%s", err.text);
    cr_assert_eq(contribution.limits.cpu_permille, 500);
    cr_assert_eq(contribution.limits.memory_bytes, machine.memory_bytes / 100 * 25);
    cr_assert_eq(contribution.limits.disk_bytes, machine.disk_bytes / 100 * 10);
    cr_assert_eq(contribution.storage_bytes, machine.disk_bytes / 100 * 5);
    cr_assert_eq(contribution.keep_free_bytes, machine.disk_bytes / 100 * 10);
}

Test(config, every_key_of_the_design_is_understood)
{
    struct config config;
    struct contribution contribution;
    struct err err = {0};

    cr_assert_eq(parse("name: oak\n"
                       "labels: [ssd, room=lab3]\n"
                       "zone: shed\n"
                       "contribute:\n"
                       "  cpu: 1.5\n"
                       "  memory: 512M\n"
                       "  disk: 2G\n"
                       "  storage: 1G\n"
                       "  keep_free: 0\n"
                       "  pids: 100\n"
                       "  weight: 100\n"
                       "  upload: 0\n"
                       "  download: 0\n"
                       "network:\n"
                       "  listen: \"[fd00::1]:7500\"\n"
                       "  advertise: oak.example:7500\n"
                       "  ports: 32000-32010\n"
                       "  bind: 10.0.0.1\n"
                       "  egress: internet\n"
                       "  port_mapping: auto\n"
                       "  connections: 4096\n"
                       "roles: [store]\n"
                       "rules: []\n"
                       "members:\n"
                       "  allow: []\n"
                       "  deny: [\"00000000000000000000000000000000000000000000000000000000000000"
                       "ff\"]\n"
                       "user: 4321\n"
                       "uids: 65536-131071\n"
                       "cgroup: allotment\n"
                       "paths: {state: /tmp/state, run: /tmp/run}\n",
                       &config, &err),
                 0, "%s", err.text);
    cr_assert_str_eq(config.labels[1], "room=lab3");
    cr_assert_eq(config.label_count, 2);
    cr_assert_str_eq(config.listen_host, "fd00::1");
    cr_assert_eq(config.listen_port, 7500);
    cr_assert_eq(config.egress, 1);
    cr_assert_eq(config.port_mapping, 1);
    cr_assert_eq(config.connections_max, 4096);
    cr_assert_eq(config.role_count, 1);
    cr_assert(!config_has_role(&config, CONFIG_ROLE_RUN));
    cr_assert(config_has_role(&config, CONFIG_ROLE_STORE));
    cr_assert_eq(config.allow_count, 0);
    cr_assert_eq(config.deny_count, 1);
    cr_assert_eq(config.deny[0].guest.id.bytes[31], 0xff);
    cr_assert_eq(config.uid_last, 131071);
    cr_assert_eq(config_resolve(&config, &machine, &contribution, &err), 0, "%s", err.text);
    cr_assert_eq(contribution.limits.cpu_permille, 1500);
    cr_assert_eq(contribution.limits.memory_bytes, 512 << 20);
}

Test(config, an_empty_list_of_roles_is_a_member_without_resources)
{
    struct config config;
    struct err err = {0};

    cr_assert_eq(parse("roles: []\n", &config, &err), 0, "%s", err.text);
    cr_assert_eq(config.role_count, 0);
}

Test(config, mistakes_are_told_with_line_and_column)
{
    refused("name: oak\nconribute: {cpu: 1}\n", "minga.yaml:2:1: ");
    refused("contribute:\n  memory: 12 bananas\n", "minga.yaml:2:11: contribute.memory: ");
    refused("contribute: {cpu: 101%}\n", "contribute.cpu");
    refused("contribute: {pids: 0}\n", "contribute.pids");
    refused("contribute: {upload: 16000T}\n", "contribute.upload");
    refused("contribute: {download: 2T}\n", "contribute.download");
    refused("network: {relay: 2T}\n", "network.relay");
    refused("rules: [{name: a, when: {}, then: {upload: 2T}}]\n", "upload");
    refused("network: {listen: 0}\n", "network.listen");
    refused("network: {listen: 65536}\n", "network.listen");
    refused("network: {listen: \"fd00::1:7400\"}\n", "network.listen");
    refused("network: {ports: 1023-2000}\n", "network.ports");
    refused("network: {ports: 2000-1999}\n", "network.ports");
    refused("network: {ports: 7000-8000}\n", "network.listen");
    refused("network: {advertise: oak}\n", "network.advertise");
    refused("network: {bind: oak}\n", "network.bind");
    refused("network: {egress: lan}\n", "network.egress");
    refused("network: {port_mapping: on}\n", "network.port_mapping");
    refused("network: {connections: 0}\n", "network.connections");
    refused("network: {connections: 4097}\n", "network.connections");
    refused("roles: [run, run]\n", "minga.yaml:1:14: roles: run is named twice");
    refused("name: oak\ncontribute:\n  cpu: 1\1\n", "minga.yaml:3:9: ");
    refused("name: oak\nzone: caf\xe9 \n", "minga.yaml:2:11: ");
    refused("contribute:\n\tcpu: 1\n", "a tab");
    refused("roles: [dance]\n", "roles");
    refused("members: {allow: [k7f3ab21]}\n", "members.allow");
    refused("user: root\n", "user");
    refused("user: 0\n", "user");
    refused("uids: 1000-2000\n", "uids");
    refused("uids: 0-65535\n", "uids");
    refused("cgroup: ../system\n", "cgroup");
    refused("paths: {state: var/lib}\n", "paths.state");
    refused("paths: {run: /var/../run}\n", "paths.run");
    refused("paths: {state: /tmp/a, run: /tmp/a}\n", "two folders");
    refused("name: a b\n", "name");
    refused("name: oak\nname: elm\n", "minga.yaml:2:1: ");
}

Test(config, a_role_that_does_not_exist_is_refused)
{
    refused("roles: [dance]\n", "roles");
}

static struct owner_rules rules_of(const char *yaml)
{
    struct config config;
    struct contribution contribution;
    struct err err = {0};

    cr_assert_eq(parse(yaml, &config, &err), 0, "%s", err.text);
    cr_assert_eq(config_resolve(&config, &machine, &contribution, &err), 0, "%s", err.text);
    return contribution.rules;
}

Test(config, a_rule_with_everything_is_understood)
{
    struct owner_rules rules = rules_of("rules:\n"
                                        "  - name: at work\n"
                                        "    when:\n"
                                        "      hours: Mon-Fri 08:00-18:00, Sat\n"
                                        "      in_use: 5m\n"
                                        "      busy: 50%\n"
                                        "      on_battery: true\n"
                                        "      battery_below: 30%\n"
                                        "      metered: false\n"
                                        "      networks: [home, Cafe WLAN]\n"
                                        "      not_networks: [office]\n"
                                        "      hotter_than: 80\n"
                                        "      programs: [steam, blender]\n"
                                        "    then: {replicas: drain, within: 5m, cpu: 5%,\n"
                                        "           memory: 10%, upload: 200K, download: 1M}\n"
                                        "  - {when: {idle: 10m}, then: {cpu: 0.25}}\n");
    const struct owner_when *when = &rules.list[0].when;
    const struct owner_then *then = &rules.list[0].then;

    cr_assert_eq(rules.count, 2);
    cr_assert_str_eq(rules.list[0].name, "at work");
    cr_assert_eq(when->hours.count, 6);
    cr_assert_eq(when->in_use_ms, 300000);
    cr_assert_eq(when->idle_ms, 0);
    cr_assert_eq(when->busy_permille, 500);
    cr_assert_eq(when->on_battery, OWNER_YES);
    cr_assert_eq(when->battery_below_percent, 30);
    cr_assert_eq(when->metered, OWNER_NO);
    cr_assert_eq(when->networks.count, 2);
    cr_assert_str_eq(when->networks.list[1], "Cafe WLAN");
    cr_assert_eq(when->not_networks.count, 1);
    cr_assert_eq(when->hotter_than_celsius, 80);
    cr_assert_str_eq(when->programs.list[1], "blender");
    cr_assert_eq(then->mode, OWNER_DRAIN);
    cr_assert_eq(then->within_ms, 300000);
    cr_assert_eq(then->cpu_permille, 100, "of the machine's two cores");
    cr_assert_eq(then->memory_bytes, machine.memory_bytes / 100 * 10);
    cr_assert_eq(then->upload_bytes_per_s, 200 << 10);
    cr_assert_eq(then->download_bytes_per_s, 1 << 20);
    cr_assert_str_eq(rules.list[1].name, "rule 2");
    cr_assert_eq(rules.list[1].then.mode, OWNER_RUN);
    cr_assert_eq(rules.list[1].then.cpu_permille, 250);
    cr_assert_eq(rules.list[1].then.memory_bytes, OWNER_NO_LIMIT);
    cr_assert_eq(rules.list[1].then.upload_bytes_per_s, OWNER_NO_LIMIT);
    cr_assert_eq(rules.list[1].when.on_battery, OWNER_UNKNOWN);
}

Test(config, what_is_wrong_in_a_rule_is_told_with_its_place)
{
    refused("rules: [at-night]\n", "minga.yaml:1:9: rules");
    refused("rules:\n  - when: battery\n", "minga.yaml:2:11: rules[].when");
    refused("rules:\n  - then: {cpu: 5%}\n", "rules[].when: missing");
    refused("rules:\n  - when: {idle: 5m}\n", "rules[].then: missing");
    refused("rules:\n  - {when: {}, then: {cpu: 5%}}\n"
            "  - {when: {idle: 5m}, then: {replicas: run}}\n",
            "minga.yaml:3:30: rules[].then: has no effect");
    refused("rules:\n  - {when: {}, then: {}}\n", "minga.yaml:2:22: rules[].then: has no effect");
    refused("rules:\n  - {when: {hours: 8-18}, then: {cpu: 5%}}\n",
            "minga.yaml:2:20: rules[].when.hours");
    refused("rules:\n  - {when: {idle: 5}, then: {cpu: 5%}}\n", "rules[].when.idle");
    refused("rules:\n  - {when: {idle: 25h}, then: {cpu: 5%}}\n", "rules[].when.idle");
    refused("rules:\n  - {when: {busy: 0%}, then: {cpu: 5%}}\n", "rules[].when.busy");
    refused("rules:\n  - {when: {on_battery: maybe}, then: {cpu: 5%}}\n", "true or false");
    refused("rules:\n  - {when: {hotter_than: 151}, then: {cpu: 5%}}\n", "hotter_than");
    refused("rules:\n  - {when: {networks: []}, then: {cpu: 5%}}\n", "must not be empty");
    refused("rules:\n  - {when: {programs: [a, b, c, d, e]}, then: {cpu: 5%}}\n", "at most 4");
    refused("rules:\n  - {when: {}, then: {cpu: 0}}\n", "replicas: freeze or drain");
    refused("rules:\n  - {when: {}, then: {cpu: 0%}}\n", "replicas: freeze or drain");
    refused("rules:\n  - {when: {}, then: {cpu: 5%, memory: 0}}\n", "rules[].then.memory");
    refused("rules:\n  - {when: {}, then: {cpu: 5%, memory: 0%}}\n", "replicas: freeze or drain");
    refused("rules:\n  - {when: {}, then: {cpu: 5%, upload: 0}}\n", "no limit");
    refused("rules:\n  - {when: {}, then: {cpu: 5%, download: 0}}\n", "no limit");
    refused("rules:\n  - {when: {}, then: {replicas: dance}}\n", "rules[].then.replicas");
    refused("rules:\n  - {name: a, when: {}, then: {cpu: 1}}\n"
            "  - {name: a, when: {}, then: {cpu: 2}}\n",
            "minga.yaml:3:12: rules[].name: two are named");
    refused(
        "rules:\n  - {when: {}, then: {cpu: 1}}\n  - {name: rule 1, when: {}, then: {cpu: 2}}\n",
        "two are named");
    refused("members: {allow: [label=]}\n", "members.allow");
}

Test(config, a_seventeenth_rule_is_one_too_many)
{
    char yaml[1024] = "rules:\n";

    for (int i = 0; i < OWNER_RULES_MAX; i++) {
        strcat(yaml, " - {when: {}, then: {cpu: 1}}\n");
    }
    cr_assert_eq(rules_of(yaml).count, OWNER_RULES_MAX);
    strcat(yaml, " - {when: {}, then: {cpu: 1}}\n");
    refused(yaml, "at most 16 items");
}

Test(config, guests_are_named_by_owner_service_or_label)
{
    struct config config;
    struct err err = {0};

    cr_assert_eq(parse("members: {allow: [label=gpu]}\n", &config, &err), 0, "%s", err.text);
    cr_assert_str_eq(config.allow[0].guest.label, "gpu");
}

Test(config, more_than_the_machine_has_is_refused)
{
    struct contribution contribution;
    struct config config;
    struct err err = {0};

    cr_assert_eq(parse("contribute: {memory: 1000M}\n", &config, &err), 0, "%s", err.text);
    cr_assert_eq(config_resolve(&config, &machine, &contribution, &err), 0);
    cr_assert_eq(parse("contribute: {memory: 1001M}\n", &config, &err), 0);
    cr_assert_eq(config_resolve(&config, &machine, &contribution, &err), -ERANGE);
    cr_assert_not_null(strstr(err.text, "contribute.memory"));
    cr_assert_not_null(strstr(err.text, "minga.yaml:1:22: "), "%s", err.text);
    cr_assert_eq(parse("contribute: {cpu: 2.001}\n", &config, &err), 0);
    cr_assert_eq(config_resolve(&config, &machine, &contribution, &err), -ERANGE);
}

static void write_config(const char *path, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "name: oak\n", 10), 10);
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
}

enum { STRANGE_GROUP = 54321 };

/* A folder of its own below /tmp, where all may write, and only owners may rename. */
static char folder[32];
static char inner[48];
static char path[64];

static void make_folders(void)
{
    strcpy(folder, "/tmp/minga-config-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(inner, sizeof(inner), "%s/etc", folder);
    snprintf(path, sizeof(path), "%s/minga.yaml", inner);
    cr_assert_eq(mkdir(inner, 0755), 0);
    write_config(path, 0644);
}

static void remove_folders(void)
{
    unlink(path);
    rmdir(inner);
    rmdir(folder);
}

TestSuite(config_file, .init = make_folders, .fini = remove_folders);

static void load_is(int result, const char *named, const char *mended_by)
{
    struct config config;
    struct err err = {0};

    cr_assert_eq(config_load(path, &config, &err), result, "%s", err.text);
    cr_assert_not_null(strstr(err.text, named), "%s", err.text);
    cr_assert_not_null(strstr(err.hint, mended_by), "%s", err.hint);
}

Test(config_file, that_others_can_change_is_refused)
{
    struct config config;
    struct err err = {0};

    load_is(0, "", "");
    write_config(path, 0646);
    load_is(-EPERM, path, "chmod go-w ");
    write_config(path, 0644);
    if (geteuid() == 0) {
        cr_assert_eq(chown(path, 0, STRANGE_GROUP), 0);
        write_config(path, 0664);
        load_is(-EPERM, path, "chmod go-w ");
        cr_assert_eq(chown(path, 12345, 0), 0);
        load_is(-EPERM, "12345", "chown root ");
    }
    unlink(path);
    load_is(-ENOENT, path, "");
    cr_assert_eq(config_load("/tmp", &config, &err), -EINVAL);
}

Test(config_file, in_a_folder_that_others_can_write_to_is_refused)
{
    static const mode_t modes[] = {0777, 01777, 0757};

    for (size_t i = 0; i < ARRAY_COUNT(modes); i++) {
        cr_assert_eq(chmod(inner, modes[i]), 0);
        load_is(-EPERM, inner, "chmod go-w ");
    }
    cr_assert_eq(chmod(inner, 0755), 0);
    load_is(0, "", "");
    cr_assert_eq(chmod(folder, 0777), 0);
    load_is(-EPERM, folder, "chmod go-w ");
    cr_assert_eq(chmod(folder, 01777), 0); /* as /tmp above it is */
    load_is(0, "", "");
}

/* tests/system/test_check.sh has the groups that are somebody's own. */
Test(config_file, in_a_folder_of_a_group_that_nobody_knows_is_refused)
{
    if (geteuid() != 0) {
        cr_skip_test("only root gives folders away");
    }
    cr_assert_eq(chown(inner, 0, STRANGE_GROUP), 0);
    cr_assert_eq(chmod(inner, 0775), 0);
    load_is(-EPERM, inner, "chmod go-w ");
    cr_assert_eq(chmod(inner, 0755), 0);
    load_is(0, "", "");
}

Test(config_file, in_a_folder_of_somebody_elses_is_refused)
{
    if (geteuid() != 0) {
        cr_skip_test("only root gives folders away");
    }
    cr_assert_eq(chown(folder, 12345, 0), 0);
    load_is(-EPERM, "12345", "chown root ");
    cr_assert_eq(chown(folder, 0, 0), 0);
    cr_assert_eq(chown(inner, 12345, 0), 0);
    load_is(-EPERM, "12345", "chown root ");
}

Test(config_file, is_not_read_by_a_link_that_others_can_change)
{
    char elsewhere[64];

    snprintf(elsewhere, sizeof(elsewhere), "%s/real.yaml", folder);
    cr_assert_eq(rename(path, elsewhere), 0);
    cr_assert_eq(symlink("../real.yaml", path), 0);
    load_is(0, "", "");
    cr_assert_eq(chmod(inner, 0777), 0);
    load_is(-EPERM, inner, "chmod go-w ");
    cr_assert_eq(chmod(inner, 0755), 0);
    cr_assert_eq(chmod(folder, 01777), 0); /* where the file lies */
    load_is(-EPERM, folder, "chmod go-w ");
    unlink(elsewhere);
}

Test(config, another_environment_is_a_label_as_well)
{
    struct config config;
    struct err err = {0};

    cr_assert_eq(parse("labels: [ssd]\nenvironment: {name: vm, command: [/opt/vm, --fast]}\n",
                       &config, &err),
                 0, "%s", err.text);
    cr_assert_eq(config.label_count, 2);
    cr_assert_str_eq(config.labels[1], "environment=vm");
    cr_assert_eq(config.environment_word_count, 2);
    cr_assert_str_eq(config.environment_words[1], "--fast");
}

Test(config, half_an_environment_is_refused)
{
    struct config config;
    struct err err = {0};

    cr_assert_eq(parse("environment: {name: vm}\n", &config, &err), -EINVAL);
    cr_assert_eq(parse("environment: {command: [/opt/vm]}\n", &config, &err), -EINVAL);
    cr_assert_eq(parse("environment: {name: vm, command: [vm]}\n", &config, &err), -EINVAL);
    cr_assert_eq(parse("environment: {name: a=b, command: [/vm]}\n", &config, &err), -EINVAL);
    cr_assert_eq(parse("labels: [a, b, c, d, e, f, g, h]\n"
                       "environment: {name: vm, command: [/vm]}\n",
                       &config, &err),
                 -EINVAL);
}
