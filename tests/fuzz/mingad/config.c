// SPDX-License-Identifier: GPL-3.0-or-later
/* Any bytes as minga.yaml: refused with a place, or within all bounds. */
#include "agent/mingad/config.h"

#include <string.h>

#include "base/check.h"

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
    CHECK(config.label_count <= LABELS_MAX && config.rule_count == 0);
    CHECK(config.port_first >= 1024 && config.port_first <= config.port_last);
    CHECK(config.listen_port != 0 && config.state[0] == '/' && config.run[0] == '/');
    CHECK(config.uid_first <= config.uid_last && strlen(config.user) > 0);
    if (config_resolve(&config, &machine, &contribution, &err) == 0) {
        CHECK(contribution.limits.memory_bytes <= machine.memory_bytes);
        CHECK(contribution.limits.cpu_permille <= machine.cpu_permille);
    }
    return 0;
}
