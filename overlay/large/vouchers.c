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

bool vouchers_knows(const struct vouchers *vouchers, const struct node_id *node)
{
    for (uint32_t i = 0; i < vouchers->vouched_count; i++) {
        if (id_equal(&vouchers->vouched[i].id, &node->id)) {
            return true;
        }
    }
    return false;
}

void vouchers_note(struct vouchers *vouchers, const struct node_id *node)
{
    if (vouchers_knows(vouchers, node)) {
        return;
    }
    vouchers->vouched[vouchers->vouched_next] = *node;
    vouchers->vouched_next = (vouchers->vouched_next + 1) % VOUCHED_MAX;
    if (vouchers->vouched_count < VOUCHED_MAX) {
        vouchers->vouched_count++;
    }
}
