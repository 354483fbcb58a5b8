// SPDX-License-Identifier: GPL-3.0-or-later
/* What mingad takes from minga-portmap, and what it does not. */
#include "agent/portmap/line.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct portmap_port asked[] = {
    {false, 7400, 7400}, {false, 31000, 31000}, {true, 31001, 31001}};
static struct portmap_answer answer;

static int parse(const char *text)
{
    return portmap_line_parse(bytes_of_text(text), asked, 3, &answer);
}

static void refused(const char *text)
{
    cr_assert_eq(parse(text), -EBADMSG, "%s", text);
}

Test(line, what_is_said_is_understood)
{
    struct portmap_answer said = {
        .method = PORTMAP_UPNP,
        .host = "203.0.113.7",
        .place = "http://192.168.1.1:5000/rootDesc.xml",
        .lease_s = 3600,
        .port_count = 3,
        .ports = {{false, 7400, 7401}, {false, 31000, 0}, {true, 31001, 31001}}};
    char line[PORTMAP_LINE_BYTES_MAX + 1];

    cr_assert_eq(portmap_line_print(&said, line), strlen(line));
    cr_assert_str_eq(line, "mapped upnp 203.0.113.7 3600 - http://192.168.1.1:5000/rootDesc.xml "
                           "tcp:7400:7401 tcp:31000:0 udp:31001:31001\n");
    cr_assert_eq(parse(line), 0);
    cr_assert_eq(answer.method, PORTMAP_UPNP);
    cr_assert_str_eq(answer.host, said.host);
    cr_assert_str_eq(answer.place, said.place);
    cr_assert_eq(answer.lease_s, 3600);
    cr_assert_eq(answer.port_count, 3);
    cr_assert_eq(memcmp(answer.ports, said.ports, 3 * sizeof(said.ports[0])), 0);
}

Test(line, a_full_answer_fits)
{
    struct portmap_answer said = {
        .method = PORTMAP_NATPMP, .lease_s = PORTMAP_LEASE_S_MAX, .port_count = PORTMAP_PORTS_MAX};
    char line[PORTMAP_LINE_BYTES_MAX + 1];

    memset(said.place, 'x', PORTMAP_PLACE_CHARS_MAX);
    memset(said.host, '1', PORTMAP_HOST_CHARS_MAX);
    for (uint32_t i = 0; i < PORTMAP_PORTS_MAX; i++) {
        said.ports[i] = (struct portmap_port){true, 65535, 65535};
    }
    cr_assert_leq(portmap_line_print(&said, line), PORTMAP_LINE_BYTES_MAX);
}

Test(line, a_reason_is_kept_whole)
{
    cr_assert_eq(parse("none no router answers\n"), 0);
    cr_assert_eq(answer.method, PORTMAP_NONE);
    cr_assert_str_eq(answer.why, "no router answers");
}

Test(line, nothing_and_half_of_it_is_refused)
{
    refused("");
    refused("\n");
    refused("mapped");
    refused("mapped pcp - 3600 - - tcp:7400:7400"); /* the end may be missing */
    refused("mapped pcp - 3600\n");
    refused("none\n");
}

Test(line, two_lines_are_refused)
{
    refused("none a\nnone b\n");
    refused("mapped pcp - 3600 - - tcp:7400:7400\n\n");
}

Test(line, what_does_not_print_is_refused)
{
    const uint8_t zero[] = "none a\0b\n";

    refused("none \x1b[2J\n");
    refused("none \x80\n");
    refused("none a\tb\n");
    cr_assert_eq(portmap_line_parse((struct bytes){zero, sizeof(zero) - 1}, asked, 3, &answer),
                 -EBADMSG);
}

Test(line, ports_that_nobody_asked_for_are_refused)
{
    refused("mapped pcp - 3600 - - tcp:22:22\n");
    refused("mapped pcp - 3600 - - udp:7400:7400\n");
    refused("mapped pcp - 3600 - - tcp:7400:7400 tcp:7400:7401\n");
}

Test(line, numbers_are_digits_within_their_bounds)
{
    refused("mapped pcp - 3600 - - tcp:7400:65536\n");
    refused("mapped pcp - 3600 - - tcp:7400:-1\n");
    refused("mapped pcp - 3600 - - tcp:7400:\n");
    refused("mapped pcp - 3600 - - tcp:7400:7400x\n");
    refused("mapped pcp - 3600 - - tcp:007400:7400\n");
    refused("mapped pcp - 4294967297 - - tcp:7400:7400\n");
    refused("mapped pcp - 86401 - - tcp:7400:7400\n");
    cr_assert_eq(parse("mapped pcp - 86400 - - tcp:7400:65535\n"), 0);
}

Test(line, hosts_and_places_are_numeric_and_plain)
{
    refused("mapped pcp 1.2.3 3600 - - tcp:7400:7400\n");
    refused("mapped pcp evil.example 3600 - - tcp:7400:7400\n");
    refused("mapped upnp - 3600 - http://evil.example/x tcp:7400:7400\n");
    refused("mapped upnp - 3600 - file:///etc/passwd tcp:7400:7400\n");
    refused("mapped upnp - 3600 - http://1.2.3.4:0/x tcp:7400:7400\n");
    refused("mapped telnet - 3600 - - tcp:7400:7400\n");
}

Test(line, too_long_a_line_is_refused)
{
    static char text[PORTMAP_LINE_BYTES_MAX + 2];

    memset(text, 'a', sizeof(text) - 2);
    memcpy(text, "none ", 5);
    text[sizeof(text) - 2] = '\n';
    refused(text);
    text[5 + PORTMAP_WHY_CHARS_MAX] = '\n';
    text[6 + PORTMAP_WHY_CHARS_MAX] = '\0';
    cr_assert_eq(parse(text), 0);
    text[5 + PORTMAP_WHY_CHARS_MAX] = 'a';
    text[6 + PORTMAP_WHY_CHARS_MAX] = '\n';
    text[7 + PORTMAP_WHY_CHARS_MAX] = '\0';
    refused(text);
}

Test(line, an_epoch_is_a_number_of_32_bits_or_none)
{
    struct portmap_answer answer = {
        .method = PORTMAP_PCP, .has_epoch = true, .epoch_s = UINT32_MAX, .lease_s = 60};
    char line[PORTMAP_LINE_BYTES_MAX + 1];

    (void)portmap_line_print(&answer, line);
    cr_assert_str_eq(line, "mapped pcp - 60 4294967295 -\n");
    cr_assert_eq(parse("mapped pcp - 3600 4294967295 - tcp:7400:7400\n"), 0);
    cr_assert_eq(parse("mapped pcp - 3600 0 - tcp:7400:7400\n"), 0);
    refused("mapped pcp - 3600 4294967296 - tcp:7400:7400\n");
    refused("mapped pcp - 3600 00 - tcp:7400:7400\n");
    refused("mapped pcp - 3600 -1 - tcp:7400:7400\n");
    refused("mapped pcp - 3600 99999999999999999999 - tcp:7400:7400\n");
}
