// SPDX-License-Identifier: GPL-3.0-or-later
/* Datagrams from where the router is. */
#include "agent/portmap/pcp.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static const struct pcp_map map = {.nonce = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
                                       .lifetime_s = 3600,
                                       .client = {192, 168, 1, 10},
                                       .port = {false, 7400, 7400}};
    struct pcp_mapped mapped;

    if (pcp_decode((struct bytes){data, length}, &map, &mapped) == 0 &&
        (length < PCP_MAP_BYTES || length > PCP_DATAGRAM_BYTES_MAX)) {
        abort();
    }
    return 0;
}
