// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/egress/filter.h"
#include "sandbox/egress/packet.h"

enum { NOW_MS = 1000000, FIRST = 61000, TCP_SYN = 2, TCP_ACK = 16 };

struct sample {
    uint8_t bytes[256];
    size_t length_bytes;
};

struct ends {
    const char *from;
    uint16_t from_port;
    const char *to;
    uint16_t to_port;
};

static uint32_t pseudo_sum(const struct sample *sample, size_t header_bytes)
{
    bool is_ipv6 = header_bytes == PACKET_IPV6_BYTES;
    size_t at = is_ipv6 ? 8 : 12;

    return packet_sum(sample->bytes + at, is_ipv6 ? 32 : 8,
                      sample->bytes[is_ipv6 ? 6 : 9] +
                          (uint32_t)(sample->length_bytes - header_bytes));
}

/* 0 when the checksum of the segment is right. */
static uint16_t checksum_fault(const struct sample *sample)
{
    size_t header_bytes = sample->bytes[0] >> 4 == 6 ? PACKET_IPV6_BYTES : PACKET_IPV4_BYTES;

    return packet_fold(packet_sum(sample->bytes + header_bytes, sample->length_bytes - header_bytes,
                                  pseudo_sum(sample, header_bytes)));
}

static struct sample make(uint8_t protocol, struct ends ends, uint8_t tcp_flags)
{
    bool is_ipv6 = strchr(ends.from, ':') != NULL;
    size_t header_bytes = is_ipv6 ? PACKET_IPV6_BYTES : PACKET_IPV4_BYTES;
    size_t segment_bytes = protocol == PACKET_TCP ? PACKET_TCP_BYTES : PACKET_UDP_BYTES + 5;
    struct sample sample = {.length_bytes = header_bytes + segment_bytes};
    uint8_t *segment = sample.bytes + header_bytes;

    if (is_ipv6) {
        sample.bytes[0] = 0x60;
        packet_put_u16(sample.bytes + 4, (uint16_t)segment_bytes);
        sample.bytes[6] = protocol;
        cr_assert_eq(inet_pton(AF_INET6, ends.from, sample.bytes + 8), 1);
        cr_assert_eq(inet_pton(AF_INET6, ends.to, sample.bytes + 24), 1);
    } else {
        sample.bytes[0] = 0x45;
        packet_put_u16(sample.bytes + 2, (uint16_t)sample.length_bytes);
        sample.bytes[9] = protocol;
        cr_assert_eq(inet_pton(AF_INET, ends.from, sample.bytes + 12), 1);
        cr_assert_eq(inet_pton(AF_INET, ends.to, sample.bytes + 16), 1);
    }
    packet_put_u16(segment, ends.from_port);
    packet_put_u16(segment + 2, ends.to_port);
    if (protocol == PACKET_TCP) {
        segment[12] = 0x50;
        segment[13] = tcp_flags;
        packet_put_u16(segment + 16, checksum_fault(&sample));
    } else {
        packet_put_u16(segment + 4, (uint16_t)segment_bytes);
        memcpy(segment + PACKET_UDP_BYTES, "hello", 5);
        packet_put_u16(segment + 6, checksum_fault(&sample));
    }
    return sample;
}

static struct egress_filter *filter_new(void)
{
    struct egress_filter *filter = calloc(1, sizeof(*filter));

    egress_filter_init(filter, FIRST, 0x1234567890abcdef);
    egress_rules_init(&filter->rules);
    return filter;
}

static bool goes(struct egress_filter *filter, struct sample *sample)
{
    return egress_out(filter, sample->bytes, sample->length_bytes, NOW_MS);
}

static bool comes(struct egress_filter *filter, struct sample *sample)
{
    return egress_in(filter, sample->bytes, sample->length_bytes, NOW_MS);
}

static struct sample tcp_to(const char *address, uint16_t port)
{
    bool is_ipv6 = strchr(address, ':') != NULL;

    return make(PACKET_TCP,
                (struct ends){is_ipv6 ? EGRESS_OWN_IPV6 : EGRESS_OWN_IPV4, 40000, address, port},
                TCP_SYN);
}

static struct sample udp_to(uint16_t from_port, const char *address, uint16_t port)
{
    bool is_ipv6 = strchr(address, ':') != NULL;

    return make(
        PACKET_UDP,
        (struct ends){is_ipv6 ? EGRESS_OWN_IPV6 : EGRESS_OWN_IPV4, from_port, address, port}, 0);
}

Test(egress_filter, before_the_rules_are_known_nothing_passes)
{
    struct egress_filter *filter = calloc(1, sizeof(*filter));
    struct sample sample = tcp_to("8.8.8.8", 443);

    egress_filter_init(filter, FIRST, 1);
    cr_assert_not(goes(filter, &sample));
    cr_assert_eq(filter->dropped_count, 1);
    free(filter);
}

Test(egress_filter, the_internet_is_open_but_for_mail)
{
    struct egress_filter *filter = filter_new();
    static const struct {
        const char *address;
        uint16_t port;
        bool passes;
    } cases[] = {
        {"8.8.8.8", 443, true},         {"8.8.8.8", 53, true},    {"8.8.8.8", 25, false},
        {"8.8.8.8", 465, false},        {"8.8.8.8", 587, false},  {"8.8.8.8", 24, true},
        {"2a00:1::1", 443, true},       {"2a00:1::1", 25, false}, {"192.168.1.1", 80, false},
        {"169.254.169.254", 80, false}, {"127.0.0.1", 80, false}, {"fe80::1", 80, false},
        {"8.8.8.8", 0, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sample tcp = tcp_to(cases[i].address, cases[i].port);
        struct sample udp = udp_to(5000, cases[i].address, cases[i].port);

        cr_expect_eq(goes(filter, &tcp), cases[i].passes, "tcp %s %u", cases[i].address,
                     cases[i].port);
        cr_expect_eq(goes(filter, &udp), cases[i].passes, "udp %s %u", cases[i].address,
                     cases[i].port);
    }
    free(filter);
}

Test(egress_filter, the_resolvers_stand_in_answers_questions_and_nothing_else)
{
    struct egress_filter *filter = filter_new();
    struct sample question = udp_to(5000, EGRESS_RESOLVER_IPV4, 53);
    struct sample other = udp_to(5000, EGRESS_RESOLVER_IPV4, 54);
    struct sample stream = tcp_to(EGRESS_RESOLVER_IPV4, 53);
    struct sample question6 = udp_to(5000, EGRESS_RESOLVER_IPV6, 53);

    cr_assert_not(goes(filter, &question), "the host has none");
    filter->dns4 = true;
    cr_assert(goes(filter, &question));
    cr_assert_not(goes(filter, &other));
    cr_assert_not(goes(filter, &stream));
    cr_assert_not(goes(filter, &question6));
    filter->dns6 = true;
    cr_assert(goes(filter, &question6));
    free(filter);
}

Test(egress_filter, another_source_address_does_not_pass)
{
    struct egress_filter *filter = filter_new();
    struct sample sample =
        make(PACKET_TCP, (struct ends){"192.0.0.3", 40000, "8.8.8.8", 443}, TCP_SYN);
    struct sample other = make(PACKET_TCP, (struct ends){"2a00::1", 40000, "2a00:1::1", 443}, 0);

    cr_assert_not(goes(filter, &sample));
    cr_assert_not(goes(filter, &other));
    free(filter);
}

Test(egress_filter, fragments_options_and_wrong_lengths_do_not_pass)
{
    static const struct {
        size_t at;
        uint8_t value;
    } faults[] = {{0, 0x46}, {0, 0x44}, {0, 0x55}, {3, 200},   {6, 0x20}, {6, 0x80},
                  {7, 1},    {9, 1},    {9, 47},   {32, 0x40}, {32, 0xf0}};
    struct egress_filter *filter = filter_new();
    struct sample sound = tcp_to("8.8.8.8", 443);

    cr_assert(goes(filter, &sound));
    sound.bytes[6] = 0x40; /* "do not fragment" is fine */
    cr_assert(goes(filter, &sound));
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct sample sample = tcp_to("8.8.8.8", 443);

        sample.bytes[faults[i].at] = faults[i].value;
        cr_expect_not(goes(filter, &sample), "byte %zu", faults[i].at);
    }
    for (size_t cut = 0; cut < sound.length_bytes; cut++) {
        struct sample sample = tcp_to("8.8.8.8", 443);

        sample.length_bytes = cut;
        cr_expect_not(goes(filter, &sample), "cut at %zu", cut);
    }
    free(filter);
}

Test(egress_filter, extension_headers_of_ipv6_do_not_pass)
{
    static const uint8_t headers[] = {0, 43, 44, 50, 51, 58, 60, 135, 139, 140};
    struct egress_filter *filter = filter_new();

    for (size_t i = 0; i < sizeof(headers); i++) {
        struct sample sample = tcp_to("2a00:1::1", 443);

        sample.bytes[6] = headers[i];
        cr_expect_not(goes(filter, &sample), "header %u", headers[i]);
    }
    free(filter);
}

static struct sample answer_to(const struct sample *question, const char *from, uint16_t port)
{
    bool is_ipv6 = strchr(from, ':') != NULL;
    const uint8_t *segment = question->bytes + (is_ipv6 ? PACKET_IPV6_BYTES : PACKET_IPV4_BYTES);

    return make(
        PACKET_UDP,
        (struct ends){from, port, is_ipv6 ? EGRESS_OWN_IPV6 : EGRESS_OWN_IPV4, packet_u16(segment)},
        0);
}

static void check_datagrams(const char *address, size_t header_bytes)
{
    struct egress_filter *filter = filter_new();
    struct sample question = udp_to(5000, address, 123);

    cr_assert(goes(filter, &question));
    cr_assert_eq(packet_u16(question.bytes + header_bytes), FIRST);
    cr_assert_eq(checksum_fault(&question), 0);
    struct sample answer = answer_to(&question, address, 123);
    cr_assert(comes(filter, &answer));
    cr_assert_eq(packet_u16(answer.bytes + header_bytes + 2), 5000);
    cr_assert_eq(checksum_fault(&answer), 0);
    answer = answer_to(&question, address, 124);
    cr_assert_not(comes(filter, &answer), "a port that was not asked");
    free(filter);
}

Test(egress_filter, datagrams_leave_from_the_replicas_own_ports_and_answers_come_back)
{
    check_datagrams("8.8.8.8", PACKET_IPV4_BYTES);
    check_datagrams("2a00:1::1", PACKET_IPV6_BYTES);
}

Test(egress_filter, who_was_not_asked_is_not_heard)
{
    struct egress_filter *filter = filter_new();
    struct sample question = udp_to(5000, "8.8.8.8", 123);
    struct sample lan;

    cr_assert(goes(filter, &question));
    struct sample stranger = answer_to(&question, "9.9.9.9", 123);
    cr_assert_not(comes(filter, &stranger));
    lan = answer_to(&question, "192.168.1.1", 123);
    cr_assert_not(comes(filter, &lan));
    struct sample syn =
        make(PACKET_TCP, (struct ends){"8.8.8.8", 443, EGRESS_OWN_IPV4, 80}, TCP_SYN);
    cr_assert_not(comes(filter, &syn), "nobody connects to a replica this way");
    syn = make(PACKET_TCP, (struct ends){"8.8.8.8", 443, EGRESS_OWN_IPV4, 80}, TCP_SYN | TCP_ACK);
    cr_assert(comes(filter, &syn));
    free(filter);
}

Test(egress_filter, a_replica_has_so_many_udp_ports_and_silent_ones_are_used_again)
{
    struct egress_filter *filter = filter_new();

    for (uint16_t i = 0; i < EGRESS_UDP_PORTS; i++) {
        struct sample sample = udp_to((uint16_t)(5000 + i), "8.8.8.8", 123);

        cr_assert(goes(filter, &sample));
        cr_assert_eq(packet_u16(sample.bytes + PACKET_IPV4_BYTES), FIRST + i);
    }
    struct sample known = udp_to(5001, "9.9.9.9", 123);
    cr_assert(goes(filter, &known));
    cr_assert_eq(packet_u16(known.bytes + PACKET_IPV4_BYTES), FIRST + 1);
    struct sample more = udp_to(6000, "8.8.8.8", 123);
    cr_assert_not(goes(filter, &more));
    cr_assert_not(
        egress_out(filter, more.bytes, more.length_bytes, NOW_MS + EGRESS_UDP_MS_MAX - 1));
    cr_assert(egress_out(filter, more.bytes, more.length_bytes, NOW_MS + EGRESS_UDP_MS_MAX));
    free(filter);
}

Test(egress_filter, a_refusal_names_the_packet_that_was_refused)
{
    uint8_t answer[EGRESS_REFUSAL_BYTES_MAX];
    struct sample sample = tcp_to("10.0.0.1", 80);

    cr_assert_eq(egress_refusal(sample.bytes, sample.length_bytes, answer), 56);
    cr_assert_eq(memcmp(answer + 12, sample.bytes + 16, 4), 0, "from where it was to go");
    cr_assert_eq(packet_fold(packet_sum(answer, 20, 0)), 0);
    cr_assert_eq(packet_fold(packet_sum(answer + 20, 36, 0)), 0);
    cr_assert_eq(memcmp(answer + 28, sample.bytes, 28), 0);
    sample = tcp_to("fd00::1", 80);
    cr_assert_eq(egress_refusal(sample.bytes, sample.length_bytes, answer), 96);
    cr_assert_eq(memcmp(answer + 48, sample.bytes, 48), 0);
    for (size_t cut = 0; cut < 48; cut++) {
        cr_assert_eq(egress_refusal(sample.bytes, cut, answer), 0);
    }
    sample.bytes[6] = 58; /* no answer to an ICMP message */
    cr_assert_eq(egress_refusal(sample.bytes, sample.length_bytes, answer), 0);
}

Test(egress_filter, first_packets_and_datagrams_go_alone)
{
    struct sample syn = tcp_to("8.8.8.8", 80);
    struct sample ack =
        make(PACKET_TCP, (struct ends){EGRESS_OWN_IPV4, 40000, "8.8.8.8", 80}, TCP_ACK);
    struct sample syn6 = tcp_to("2a00:1::1", 80);
    struct sample udp6 = udp_to(5000, "2a00:1::1", 80);

    cr_assert(egress_goes_alone(syn.bytes, syn.length_bytes));
    cr_assert_not(egress_goes_alone(ack.bytes, ack.length_bytes));
    cr_assert(egress_goes_alone(syn6.bytes, syn6.length_bytes));
    cr_assert(egress_goes_alone(udp6.bytes, udp6.length_bytes));
}

Test(egress_filter, the_addresses_of_the_table_are_those_of_the_text)
{
    struct egress_filter *filter = filter_new();
    struct sample out4 = tcp_to("8.8.8.8", 80);
    struct sample out6 = tcp_to("2a00:1::1", 80);

    cr_assert(goes(filter, &out4));
    cr_assert(goes(filter, &out6));
    free(filter);
}
