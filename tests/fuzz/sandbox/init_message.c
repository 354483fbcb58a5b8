// SPDX-License-Identifier: GPL-3.0-or-later
/* What a sandbox's first process says to the privileged helper: decodes soundly or not at all. */
#include <string.h>

#include "base/check.h"
#include "sandbox/init_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length_bytes)
{
    struct init_message message;
    uint8_t again[INIT_MESSAGE_BYTES_MAX];

    if (init_message_decode((struct bytes){data, length_bytes}, &message) < 0) {
        return 0;
    }
    CHECK(memchr(message.reason, '\0', sizeof(message.reason)) != NULL);
    CHECK(init_message_encode(&message, again) == length_bytes);
    CHECK(memcmp(again, data, length_bytes) == 0);
    return 0;
}
