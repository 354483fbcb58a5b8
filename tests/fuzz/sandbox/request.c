// SPDX-License-Identifier: GPL-3.0-or-later
/* What mingad may send to the helper: decoded or refused, and canonical when decoded. */
#include "sandbox/request.h"

#include <string.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length_bytes)
{
    static uint8_t again[HELPER_MESSAGE_BYTES_MAX];
    static struct helper_answer answer;
    struct helper_request request;

    if (length_bytes <= sizeof(again) &&
        helper_request_decode((struct bytes){data, length_bytes}, &request) == 0) {
        int again_bytes = helper_request_encode(&request, again, sizeof(again));

        CHECK(again_bytes == (int)length_bytes && memcmp(again, data, length_bytes) == 0);
    }
    /* What another version says behind its number is left alone. */
    if (helper_answer_decode((struct bytes){data, length_bytes}, &answer) == 0 &&
        (answer.kind != ANSWER_READY || answer.version == HELPER_PROTOCOL_VERSION)) {
        CHECK(helper_answer_encode(&answer, again, sizeof(again)) == (int)length_bytes);
    }
    return 0;
}
