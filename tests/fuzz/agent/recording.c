// SPDX-License-Identifier: GPL-3.0-or-later
/* A file that claims to be a recording: its entries are read, and written again. */
#include "agent/core/recording.h"

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct recording_entry entry;
    static uint8_t bytes[RECORDING_ENTRY_BYTES_MAX];
    struct bytes file = {data, size};

    while (recording_next(&file, &entry) == 0) {
        CHECK(recording_encode(&entry, bytes, sizeof(bytes)) > 0);
    }
    return 0;
}
