// SPDX-License-Identifier: GPL-3.0-or-later
/* Any bytes as service.yaml: refused with a message, or a manifest that survives its own bytes. */
#include "images/manifest.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest manifest;
    struct manifest decoded;
    struct err err = {0};
    uint8_t first[MANIFEST_BYTES_MAX];
    uint8_t second[MANIFEST_BYTES_MAX];

    if (manifest_parse((struct bytes){data, size}, "service.yaml", &manifest, &err) < 0) {
        CHECK(strncmp(err.text, "service.yaml:", 13) == 0);
        return 0;
    }
    int length_bytes = manifest_encode(&manifest, first);
    CHECK(length_bytes > 0);
    CHECK(manifest_decode((struct bytes){first, (size_t)length_bytes}, &decoded) == 0);
    CHECK(manifest_encode(&decoded, second) == length_bytes);
    CHECK(memcmp(first, second, (size_t)length_bytes) == 0);
    return 0;
}
