// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Owners who write and read records through the nodes of network.h; owner N has node N. */
#include "network.h"

HELPER size_t make_record(uint32_t owner, const char *name, uint64_t sequence, const char *content,
                          uint8_t *encoded_out)
{
    struct secret_key secret = test_key("owner", owner);
    struct public_key key = keys_public(&secret);
    minga_Record body = minga_Record_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    int length;

    body.kind = minga_RecordKind_RECORD_SERVICE;
    memcpy(body.owner_key, key.bytes, 32);
    strcpy(body.name, name);
    body.sequence = sequence;
    body.removed = content[0] == '\0'; /* a tombstone */
    memcpy(body.content.bytes, content, strlen(content));
    body.content.size = (pb_size_t)strlen(content);
    cr_assert_eq(signed_make(minga_Record_fields, &body, PURPOSE_RECORD, &secret, &envelope), 0);
    length = signed_encode(&envelope, encoded_out, 3328);
    cr_assert_gt(length, 0);
    return (size_t)length;
}

HELPER struct service_id service_of(uint32_t owner, const char *name)
{
    struct secret_key secret = test_key("owner", owner);
    struct public_key key = keys_public(&secret);

    return keys_service_id(&key, name);
}

HELPER const struct done *put(uint32_t node, uint64_t token, uint32_t owner, const char *name,
                              uint64_t sequence, const char *content)
{
    struct overlay_event now = now_event();
    uint8_t encoded[3328];
    size_t length = make_record(owner, name, sequence, content, encoded);

    overlay_record_put(net.nodes[node].overlay, &now, token, (struct bytes){encoded, length},
                       &net.nodes[node].effects);
    perform(node);
    run_for(1000);
    cr_assert(net.nodes[node].done[token].ended);
    return &net.nodes[node].done[token];
}

HELPER const struct done *get(uint32_t node, uint64_t token, const struct service_id *service)
{
    struct overlay_event now = now_event();
    struct record_key key = record_key(service, minga_RecordKind_RECORD_SERVICE, 0);

    overlay_record_get(net.nodes[node].overlay, &now, token, &key, &net.nodes[node].effects);
    perform(node);
    run_for(3000);
    cr_assert(net.nodes[node].done[token].ended);
    return &net.nodes[node].done[token];
}

HELPER uint32_t count_copies(const struct service_id *service)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < net.node_count; i++) {
        count += net.nodes[i].running &&
                 overlay_record(net.nodes[i].overlay, service, minga_RecordKind_RECORD_SERVICE, 0)
                         .length_bytes > 0;
    }
    return count;
}
