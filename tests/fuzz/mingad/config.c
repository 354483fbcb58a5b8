// SPDX-License-Identifier: GPL-3.0-or-later
/* Any bytes as minga.yaml: refused with a place, or within all bounds. */
#include "agent/mingad/config/config.h"

#include <string.h>

#include "base/check.h"

/* Rules that were accepted can be lived by: a few days, with senses that change. */
static void live_by(const struct owner_rules *rules)
{
    struct owner_senses senses = {.input_ms = 1000, .zone = {3600, 1, {{1790100000, 7200}}}};
    struct owner_clock clock = {1000, 1790000000};
    struct owner_policy policy;

    owner_policy_init(&policy);
    owner_policy_rules(&policy, rules);
    for (uint32_t i = 0; i < 64; i++) {
        uint64_t wake_ms;

        senses.on_battery = (enum owner_truth)(i % 3);
        senses.celsius = i * 3;
        owner_policy_sense(&policy, &senses);
        (void)owner_policy_step(&policy, clock);
        wake_ms = owner_policy_wake_ms(&policy);
        CHECK(wake_ms > clock.now_ms && policy.allowance.then.mode <= OWNER_FREEZE);
        clock.now_ms = i % 2 == 0 && wake_ms != UINT64_MAX ? wake_ms : clock.now_ms + 1000000;
        clock.unix_s = 1790000000 + clock.now_ms / 1000;
    }
    (void)owner_policy_left_ms(&policy, clock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length_bytes)
{
    const struct machine machine = {"fuzz", 4000, (uint64_t)8 << 30, (uint64_t)64 << 30,
                                    MANIFEST_ARCH_AMD64};
    struct contribution contribution;
    struct config config;
    struct err err = {0};

    if (config_parse((struct bytes){data, length_bytes}, "minga.yaml", &config, &err) < 0) {
        CHECK(err.code < 0 && err.text[0] != '\0');
        return 0;
    }
    CHECK(config.label_count <= LABELS_MAX && config.rule_count <= OWNER_RULES_MAX);
    CHECK(config.port_first >= 1024 && config.port_first <= config.port_last);
    CHECK(config.listen_port != 0 && config.state[0] == '/' && config.run[0] == '/');
    CHECK(config.uid_first <= config.uid_last && strlen(config.user) > 0);
    if (config_resolve(&config, &machine, &contribution, &err) == 0) {
        CHECK(contribution.limits.memory_bytes <= machine.memory_bytes);
        CHECK(contribution.limits.cpu_permille <= machine.cpu_permille);
        live_by(&contribution.rules);
    }
    return 0;
}
