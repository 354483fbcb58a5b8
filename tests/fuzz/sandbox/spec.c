// SPDX-License-Identifier: GPL-3.0-or-later
/* Whatever decodes is sound, and encodes to the same bytes. */
#include "sandbox/spec.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length_bytes)
{
    struct sandbox_spec spec;
    uint8_t again[SPEC_BYTES_MAX];
    size_t again_bytes = 0;

    if (spec_decode((struct bytes){data, length_bytes}, &spec) < 0) {
        return 0;
    }
    CHECK(spec_problem(&spec) == NULL);
    CHECK(spec_encode(&spec, again, sizeof(again), &again_bytes) == 0);
    CHECK(again_bytes == length_bytes && memcmp(again, data, length_bytes) == 0);
    return 0;
}
