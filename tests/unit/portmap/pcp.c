// SPDX-License-Identifier: GPL-3.0-or-later
/* Datagrams of RFC 6887, written out by hand. */
#include "agent/portmap/pcp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static const struct pcp_map map = {.nonce = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
                                   .lifetime_s = 3600,
                                   .client = {192, 168, 1, 10},
                                   .port = {false, 7400, 7401}};

/* A router's answer: 7402 at 203.0.113.7 for 1800 s. */
static const uint8_t good[PCP_MAP_BYTES] = {
    2,    0x81, 0,    0,    0, 0, 0x07, 0x08, 0, 0, 0, 9, 0, 0,  0,    0,    0,   0, 0,   0,
    0,    0,    0,    0,    1, 2, 3,    4,    5, 6, 7, 8, 9, 10, 11,   12,   6,   0, 0,   0,
    0x1c, 0xe8, 0x1c, 0xea, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0,  0xff, 0xff, 203, 0, 113, 7};

static int decode(const uint8_t *data, size_t length, struct pcp_mapped *mapped_out)
{
    return pcp_decode((struct bytes){data, length}, &map, mapped_out);
}

static int decode_with(size_t place, uint8_t value)
{
    struct pcp_mapped mapped;
    uint8_t data[PCP_MAP_BYTES];

    memcpy(data, good, sizeof(data));
    data[place] = value;
    return decode(data, sizeof(data), &mapped);
}

Test(pcp, a_request_is_as_the_rfc_draws_it)
{
    static const uint8_t wanted[PCP_MAP_BYTES] = {
        2,    1,    0,    0,    0, 0, 0x0e, 0x10, 0, 0, 0, 0, 0, 0,  0,    0,    0, 0, 0xff, 0xff,
        192,  168,  1,    10,   1, 2, 3,    4,    5, 6, 7, 8, 9, 10, 11,   12,   6, 0, 0,    0,
        0x1c, 0xe8, 0x1c, 0xe9, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0,  0xff, 0xff, 0, 0, 0,    0};
    uint8_t data[PCP_MAP_BYTES];

    pcp_encode(&map, data);
    cr_assert_eq(memcmp(data, wanted, sizeof(wanted)), 0);
}

Test(pcp, its_answer_is_read)
{
    static const uint8_t host[4] = {203, 0, 113, 7};
    struct pcp_mapped mapped;

    cr_assert_eq(decode(good, sizeof(good), &mapped), 0);
    cr_assert_eq(mapped.result, PCP_SUCCESS);
    cr_assert_eq(mapped.lifetime_s, 1800);
    cr_assert_eq(mapped.epoch_s, 9);
    cr_assert_eq(mapped.outside, 7402);
    cr_assert_eq(memcmp(mapped.host, host, sizeof(host)), 0);
}

static const struct pcp_map hole = {
    .nonce = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
    .lifetime_s = 3600,
    .is_ipv6 = true,
    .client = {0x20, 0x01, 0x0d, 0xb8, 0, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10},
    .port = {false, 7400, 7400}};

Test(pcp, a_request_for_ipv6_names_the_address_as_it_is)
{
    static const uint8_t wanted[PCP_MAP_BYTES] = {
        2,    1,    0,    0,    0, 0, 0x0e, 0x10, 0x20, 1, 0x0d, 0xb8, 0, 0x88, 0,  0,  0, 0, 0, 0,
        0,    0,    0,    0x10, 1, 2, 3,    4,    5,    6, 7,    8,    9, 10,   11, 12, 6, 0, 0, 0,
        0x1c, 0xe8, 0x1c, 0xe8, 0, 0, 0,    0,    0,    0, 0,    0,    0, 0,    0,  0,  0, 0, 0, 0};
    uint8_t data[PCP_MAP_BYTES];

    pcp_encode(&hole, data);
    cr_assert_eq(memcmp(data, wanted, sizeof(wanted)), 0);
}

Test(pcp, an_answer_for_ipv6_says_which_address_is_open)
{
    struct pcp_mapped mapped;
    uint8_t data[PCP_MAP_BYTES];

    pcp_encode(&hole, data);
    data[1] = 0x81;
    memcpy(data + 44, hole.client, sizeof(hole.client));
    cr_assert_eq(pcp_decode((struct bytes){data, sizeof(data)}, &hole, &mapped), 0);
    cr_assert_eq(mapped.result, PCP_SUCCESS);
    cr_assert_eq(mapped.outside, 7400);
    cr_assert_eq(memcmp(mapped.host, hole.client, sizeof(mapped.host)), 0);
    data[24] ^= 1; /* the nonce */
    cr_assert_eq(pcp_decode((struct bytes){data, sizeof(data)}, &hole, &mapped), -EBADMSG);
}

Test(pcp, a_refusal_is_an_answer)
{
    struct pcp_mapped mapped;
    uint8_t data[PCP_MAP_BYTES];

    memcpy(data, good, sizeof(data));
    data[3] = PCP_NOT_AUTHORIZED;
    cr_assert_eq(decode(data, sizeof(data), &mapped), 0);
    cr_assert_eq(mapped.result, PCP_NOT_AUTHORIZED);
}

Test(pcp, no_length_but_the_right_ones_is_read)
{
    uint8_t data[PCP_DATAGRAM_BYTES_MAX + 4] = {0};
    struct pcp_mapped mapped;

    memcpy(data, good, sizeof(good));
    for (size_t length = 0; length < PCP_MAP_BYTES; length++) {
        cr_assert_eq(decode(data, length, &mapped), -EBADMSG, "%zu", length);
    }
    cr_assert_eq(decode(data, PCP_MAP_BYTES + 1, &mapped), -EBADMSG);
    cr_assert_eq(decode(data, PCP_MAP_BYTES + 4, &mapped), 0, "options may follow");
    cr_assert_eq(decode(data, PCP_DATAGRAM_BYTES_MAX, &mapped), 0);
    cr_assert_eq(decode(data, PCP_DATAGRAM_BYTES_MAX + 4, &mapped), -EBADMSG);
}

Test(pcp, only_the_answer_to_this_request_is_read)
{
    cr_assert_eq(decode_with(1, 0x01), -EBADMSG, "a request");
    cr_assert_eq(decode_with(1, 0x82), -EBADMSG, "of another opcode");
    cr_assert_eq(decode_with(24, 99), -EBADMSG, "another nonce");
    cr_assert_eq(decode_with(35, 99), -EBADMSG, "its last byte");
    cr_assert_eq(decode_with(36, 17), -EBADMSG, "another protocol");
    cr_assert_eq(decode_with(41, 0xe9), -EBADMSG, "another port");
    cr_assert_eq(decode_with(54, 0), -EBADMSG, "no IPv4 address");
}

Test(pcp, a_router_of_another_version_is_told_apart)
{
    static const uint8_t natpmp[] = {0, 0x81, 0, 1, 0, 0, 0, 0};
    struct pcp_mapped mapped;

    cr_assert_eq(decode(natpmp, sizeof(natpmp), &mapped), -EPROTONOSUPPORT);
    cr_assert_eq(decode_with(0, 1), -EPROTONOSUPPORT);
}
