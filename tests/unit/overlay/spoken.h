// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A part of transport.h: what nodes say, and what it becomes on the way. */
#include "transport_base.h"

HELPER void count_kind(const struct overlay_effect *effect)
{
    minga_Message message = minga_Message_init_zero;

    cr_assert_eq(message_decode(effect->message, &message), 0);
    cr_assert_lt(message.which_kind, KINDS_MAX);
    net.sent_count[message.which_kind] += !message.reply;
}

HELPER struct bytes spoken(uint32_t from, struct bytes said)
{
    minga_Message message = minga_Message_init_zero;
    uint8_t bytes[MESSAGE_BYTES_MAX];
    int length;

    if (net.lie == NULL) {
        return copy_bytes(said);
    }
    cr_assert_eq(message_decode(said, &message), 0);
    net.lie(from, &message);
    length = message_encode(&message, bytes, sizeof(bytes));
    cr_assert_gt(length, 0);
    return copy_bytes((struct bytes){bytes, (size_t)length});
}
