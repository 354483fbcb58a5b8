// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What an ordinary volunteer gives: two cores, a gibibyte of each, ports, and all roles. */
#include "agent/core/core.h"

static inline void volunteer(struct core_config *config_out)
{
    *config_out = (struct core_config){
        .contribution = {2000, (uint64_t)1 << 30, (uint64_t)1 << 30, 512},
        .storage_bytes = (uint64_t)1 << 30,
        .port_first = 31000,
        .port_last = 31099,
        .runs = true,
        .stores = true,
        .manages = true,
        .arch = MANIFEST_ARCH_AMD64,
    };
}
