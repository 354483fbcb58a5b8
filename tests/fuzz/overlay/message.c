// SPDX-License-Identifier: GPL-3.0-or-later
/* Any bytes either are refused or decode to a message that encodes again and decodes the same. */
#include "overlay/message.h"

#include <string.h>

#include "base/check.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    minga_Message message = minga_Message_init_zero;
    minga_Message again = minga_Message_init_zero;
    uint8_t first[MESSAGE_BYTES_MAX];
    uint8_t second[MESSAGE_BYTES_MAX];
    int length;

    if (message_decode((struct bytes){data, size}, &message) < 0) {
        return 0;
    }
    length = message_encode(&message, first, sizeof(first));
    CHECK(length > 0);
    CHECK(message_decode((struct bytes){first, (size_t)length}, &again) == 0);
    CHECK(message_encode(&again, second, sizeof(second)) == length);
    CHECK(memcmp(first, second, (size_t)length) == 0);
    return 0;
}
