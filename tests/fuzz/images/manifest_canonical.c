// SPDX-License-Identifier: GPL-3.0-or-later
/* Any bytes as a canonical manifest: refused, or exactly the bytes that encoding gives again. */
#include <string.h>

#include "base/check.h"
#include "images/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest manifest;
    uint8_t canonical[MANIFEST_BYTES_MAX];

    if (manifest_decode((struct bytes){data, size}, &manifest) < 0) {
        return 0;
    }
    CHECK(manifest_encode(&manifest, canonical) == (int)size);
    CHECK(memcmp(canonical, data, size) == 0);
    CHECK(manifest_word(&manifest.command, 0)[0] == '/');
    return 0;
}
