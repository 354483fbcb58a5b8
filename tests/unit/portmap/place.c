// SPDX-License-Identifier: GPL-3.0-or-later
/* Where minga-portmap may be sent by what it hears, and where not. */
#include "agent/portmap/place.h"

#include <criterion/criterion.h>
#include <string.h>

#include "agent/portmap/line.h"

#define ROUTER "192.168.1.1"

Test(place, the_routers_own_is_taken)
{
    cr_assert(place_is_at("http://192.168.1.1:5000/rootDesc.xml", ROUTER));
    cr_assert(place_is_at("http://192.168.1.1/", ROUTER));
    cr_assert(place_is_at("http://192.168.1.1:65535/a?b=c&d", ROUTER));
}

Test(place, nobody_elses_is)
{
    static const char *const urls[] = {
        "http://127.0.0.1:631/x",
        "http://192.168.1.10:80/x",
        "http://192.168.1.1.evil.example/x",
        "http://192.168.1.1@10.0.0.1/x",
        "http://10.0.0.1/192.168.1.1/",
        "http://0300.0250.1.1/x", /* octal, as some resolvers read it */
        "http://3232235777/x",
        "http://192.168.001.1/x",
        "http://[::1]/x",
        "http:///x",
        "https://192.168.1.1/x",
        "HTTP://192.168.1.1/x",
        "ftp://192.168.1.1/x",
        "192.168.1.1/x",
        "",
    };

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        cr_assert_not(place_is_at(urls[i], ROUTER), "%s", urls[i]);
    }
}

Test(place, what_would_break_a_request_is_refused)
{
    cr_assert_not(place_is_at("http://192.168.1.1/x y", ROUTER));
    cr_assert_not(place_is_at("http://192.168.1.1/x\r\nHost: a", ROUTER));
    cr_assert_not(place_is_at("http://192.168.1.1/\xff", ROUTER));
    cr_assert_not(place_is_at("http://192.168.1.1:/x", ROUTER));
    cr_assert_not(place_is_at("http://192.168.1.1:0/x", ROUTER));
    cr_assert_not(place_is_at("http://192.168.1.1:65536/x", ROUTER));
    cr_assert_not(place_is_at("http://192.168.1.1:80", ROUTER));
}

Test(place, its_length_is_bounded)
{
    char url[PORTMAP_PLACE_CHARS_MAX + 2] = "http://192.168.1.1/";
    size_t length = strlen(url);

    memset(url + length, 'x', sizeof(url) - 1 - length);
    cr_assert_not(place_is_at(url, ROUTER));
    url[PORTMAP_PLACE_CHARS_MAX] = '\0';
    cr_assert(place_is_at(url, ROUTER));
}
