// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/large/vouchers.h"

#include <string.h>

const struct voucher *vouchers_find(const struct vouchers *vouchers, const struct node_id *node)
{
    for (uint32_t i = 0; i < vouchers->count; i++) {
        if (id_equal(&vouchers->list[i].node.id, &node->id)) {
            return &vouchers->list[i];
        }
    }
    return NULL;
}

bool vouchers_keep(struct vouchers *vouchers, const struct admission *admission,
                   struct bytes encoded)
{
    struct voucher *voucher;

    if (vouchers->count == CHAIN_MAX || encoded.length_bytes > ADMISSION_BYTES_MAX ||
        vouchers_find(vouchers, &admission->node) != NULL) {
        return false;
    }
    voucher = &vouchers->list[vouchers->count++];
    voucher->node = admission->node;
    voucher->countersigner = admission->countersigner;
    memcpy(voucher->bytes, encoded.data, encoded.length_bytes);
    voucher->length_bytes = encoded.length_bytes;
    return true;
}

/* Its place, or VOUCHED_MAX. */
static uint32_t place_of(const struct vouchers *vouchers, const struct node_id *node)
{
    for (uint32_t i = 0; i < vouchers->vouched_count; i++) {
        if (id_equal(&vouchers->vouched[i].id, &node->id)) {
            return i;
        }
    }
    return VOUCHED_MAX;
}

uint64_t vouchers_since(const struct vouchers *vouchers, const struct node_id *node)
{
    uint32_t place = place_of(vouchers, node);

    return place == VOUCHED_MAX ? UINT64_MAX : vouchers->since_unix_s[place];
}

void vouchers_note(struct vouchers *vouchers, const struct node_id *node, uint64_t since_unix_s)
{
    uint32_t place = place_of(vouchers, node);

    if (place != VOUCHED_MAX) {
        if (since_unix_s < vouchers->since_unix_s[place]) {
            vouchers->since_unix_s[place] = since_unix_s;
        }
        return;
    }
    vouchers->vouched[vouchers->vouched_next] = *node;
    vouchers->since_unix_s[vouchers->vouched_next] = since_unix_s;
    vouchers->vouched_next = (vouchers->vouched_next + 1) % VOUCHED_MAX;
    if (vouchers->vouched_count < VOUCHED_MAX) {
        vouchers->vouched_count++;
    }
}
