// SPDX-License-Identifier: GPL-3.0-or-later
/* A community without services: what is left of a schedule when only the overlay is of interest. */
#include "tests/sim/schedule.h"

static bool concerns_overlay(enum fault_kind kind)
{
    switch ((int)kind) {
    case FAULT_END_REPLICA:
    case FAULT_SICKEN:
    case FAULT_REFUSE_STARTS:
    case FAULT_PAUSE:
    case FAULT_DRAIN:
    case FAULT_PUSH:
    case FAULT_START:
    case FAULT_STOP:
    case FAULT_SCALE:
    case FAULT_REMOVE:
    case FAULT_UPDATE:
    case FAULT_WIPE_WRITER:
    case FAULT_WIPE_HOLDERS:
        return false;
    default:
        return true;
    }
}

void schedule_overlay_only(struct schedule *schedule)
{
    uint32_t kept_count = 0;

    schedule->service_count = 0;
    for (uint32_t i = 0; i < schedule->fault_count; i++) {
        if (concerns_overlay(schedule->faults[i].kind)) {
            schedule->faults[kept_count++] = schedule->faults[i];
        }
    }
    schedule->fault_count = kept_count;
}
