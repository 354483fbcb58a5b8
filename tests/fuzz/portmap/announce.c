// SPDX-License-Identifier: GPL-3.0-or-later
/* What anybody in the local network may send to all: read or refused. */
#include "agent/portmap/epoch.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length_bytes)
{
    uint32_t router_s = 0;

    if (announce_decode((struct bytes){data, length_bytes}, &router_s) == 0) {
        struct router_epoch epoch = {true, router_s, 1000};

        CHECK(epoch_goes_on(&epoch, router_s, 1000));
    }
    return 0;
}
