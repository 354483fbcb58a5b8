// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/relays/relay_flows.h"

void relay_flow_write(struct relay_flow_id id, uint8_t header_out[RELAY_FLOW_HEADER_BYTES])
{
    header_out[0] = (uint8_t)(id.port_at_leaf >> 8);
    header_out[1] = (uint8_t)id.port_at_leaf;
    header_out[2] = (uint8_t)(id.index >> 8);
    header_out[3] = (uint8_t)id.index;
    for (int i = 0; i < 4; i++) {
        header_out[4 + i] = (uint8_t)(id.version >> (24 - 8 * i));
    }
}

bool relay_flow_read(struct bytes body, struct relay_flow_id *id_out, struct bytes *datagram_out)
{
    const uint8_t *data = body.data;

    if (body.length_bytes < RELAY_FLOW_HEADER_BYTES) {
        return false;
    }
    *id_out = (struct relay_flow_id){
        (uint16_t)(data[0] << 8 | data[1]), (uint16_t)(data[2] << 8 | data[3]),
        (uint32_t)data[4] << 24 | (uint32_t)data[5] << 16 | (uint32_t)data[6] << 8 | data[7]};
    *datagram_out =
        (struct bytes){data + RELAY_FLOW_HEADER_BYTES, body.length_bytes - RELAY_FLOW_HEADER_BYTES};
    return true;
}
