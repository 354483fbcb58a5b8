// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/connect/places.h"

#include <criterion/criterion.h>
#include <string.h>

static struct problem problem;

static json_t *replica(uint32_t slot, const char *health)
{
    return json_pack("{so ss ss s{si si si si} s{ss ss ss ss} s{ss ss ss ss} ss ss}", "id",
                     json_sprintf("wiki/%u", slot), "node", "ab", "address", "192.0.2.7", "ports",
                     "http", 31000 + slot, "club", 32000 + slot, "dns", 33000, "voice",
                     34000 + slot, "protocols", "http", "tcp", "club", "tcp", "dns", "udp", "voice",
                     "udp", "visibilities", "http", "public", "club", "members", "dns", "public",
                     "voice", "members", "state", "running", "health", health);
}

static json_t *service(uint32_t count)
{
    json_t *replicas = json_array();

    for (uint32_t slot = 1; slot <= count; slot++) {
        json_array_append_new(replicas, replica(slot, "ok"));
    }
    return json_pack("{ss so}", "state", "active", "replicas", replicas);
}

static int port_of(json_t *of, const char *name, struct places_port *port_out)
{
    const struct places_wanted wanted = {.service = "wiki", .port_name = name};

    memset(&problem, 0, sizeof(problem));
    return places_port(of, &wanted, port_out, &problem);
}

Test(places, a_port_is_known_by_its_name)
{
    struct places_port port = {0};
    json_t *wiki = service(2);

    cr_assert_eq(port_of(wiki, "club", &port), EXIT_DONE);
    cr_assert_str_eq(port.name, "club");
    cr_assert_eq(port_of(wiki, "ssh", &port), EXIT_NOT_FOUND);
    cr_assert_str_eq(problem.advice, "its ports: http, club, voice (udp)");
    cr_assert(!port.is_udp);
    cr_assert_eq(port_of(wiki, "voice", &port), EXIT_DONE);
    cr_assert_str_eq(port.name, "voice");
    cr_assert(port.is_udp);
    cr_assert_eq(port_of(wiki, "dns", &port), EXIT_REFUSED);
    cr_assert_str_eq(problem.why, "a public port of UDP: clients send to it by themselves");
    cr_assert_eq(port_of(wiki, NULL, &port), EXIT_USAGE);
    cr_assert_str_eq(problem.why, "it has several ports: http, club, voice (udp)");
    json_decref(wiki);
}

Test(places, the_only_port_needs_no_name)
{
    struct places_port port = {0};
    json_t *wiki = json_pack("{ss s[{s{si si} s{ss ss}}]}", "state", "active", "replicas", "ports",
                             "dns", 53, "web", 80, "protocols", "dns", "udp", "web", "tcp");

    cr_assert_eq(port_of(wiki, NULL, &port), EXIT_DONE);
    cr_assert_str_eq(port.name, "web");
    json_decref(wiki);
}

Test(places, the_only_one_for_members_needs_none_either)
{
    struct places_port port = {0};
    json_t *wiki = json_pack("{ss s[{s{si si} s{ss ss} s{ss ss}}]}", "state", "active", "replicas",
                             "ports", "dns", 53, "voice", 80, "protocols", "dns", "udp", "voice",
                             "udp", "visibilities", "dns", "public", "voice", "members");
    json_t *lone = json_pack("{ss s[{s{si} s{ss} s{ss}}]}", "state", "active", "replicas", "ports",
                             "dns", 53, "protocols", "dns", "udp", "visibilities", "dns", "public");

    cr_assert_eq(port_of(wiki, NULL, &port), EXIT_DONE);
    cr_assert_str_eq(port.name, "voice");
    cr_assert(port.is_udp);
    cr_assert_eq(port_of(lone, NULL, &port), EXIT_REFUSED);
    json_decref(wiki);
    json_decref(lone);
}

Test(places, one_whose_protocol_has_changed_is_no_place)
{
    static struct places places;
    struct places_wanted wanted = {.service = "wiki", .port_name = "voice", .is_udp = true};
    json_t *wiki = service(2);

    places_find(wiki, &wanted, &places);
    cr_assert_eq(places.count, 2);
    cr_assert(places.list[0].for_members);
    wanted.is_udp = false;
    places_find(wiki, &wanted, &places);
    cr_assert_eq(places.count, 0);
    wanted = (struct places_wanted){.service = "wiki", .port_name = "dns", .is_udp = true};
    places_find(wiki, &wanted, &places);
    cr_assert_eq(places.count, 0, "a public one is not dialled as a door");
    json_decref(wiki);
}

Test(places, without_a_replica_it_says_why)
{
    struct places_port port = {0};
    json_t *off = json_pack("{ss s[]}", "state", "off", "replicas");
    json_t *waiting = service(0);

    cr_assert_eq(port_of(off, NULL, &port), EXIT_LATE);
    cr_assert_str_eq(problem.why, "the service is off");
    cr_assert_eq(port_of(waiting, NULL, &port), EXIT_LATE);
    cr_assert_str_eq(problem.advice, "minga status wiki says why");
    json_decref(off);
    json_decref(waiting);
}

Test(places, only_healthy_replicas_with_an_address_count)
{
    static struct places places;
    const struct places_wanted any = {.service = "wiki", .port_name = "club"};
    const struct places_wanted second = {"wiki", 2, "club", false};
    json_t *wiki = service(3);
    json_t *homeless = replica(5, "ok");

    json_object_set_new(homeless, "address", json_null());
    json_array_append_new(json_object_get(wiki, "replicas"), replica(4, "failing"));
    json_array_append_new(json_object_get(wiki, "replicas"), homeless);
    places_find(wiki, &any, &places);
    cr_assert_eq(places.count, 3);
    cr_assert_eq(places.list[0].port, 32001);
    cr_assert(places.list[0].for_members);
    cr_assert_str_eq(places.list[0].address, "192.0.2.7");
    places_find(wiki, &second, &places);
    cr_assert_eq(places.count, 1);
    cr_assert_eq(places.list[0].slot, 2);
    json_decref(wiki);
}

/* The slots in the order in which `number` tries them. */
static void order_of(uint64_t number, uint32_t without, uint32_t slots_out[8])
{
    static struct places places;

    places.count = 0;
    for (uint32_t slot = 8; slot >= 1; slot--) {
        if (slot != without) {
            places.list[places.count++] = (struct place){.slot = slot};
        }
    }
    places_order(&places, number);
    for (uint32_t i = 0; i < places.count; i++) {
        slots_out[i] = places.list[i].slot;
    }
}

Test(places, who_asks_again_stays_with_its_replica_whoever_else_goes)
{
    uint32_t whole[8] = {0};
    uint32_t less[8] = {0};

    for (uint64_t number = 0; number < 100; number++) {
        order_of(number, 0, whole);
        order_of(number, whole[5], less);
        cr_assert_eq(memcmp(whole, less, 5 * sizeof(whole[0])), 0);
        order_of(number, whole[0], less);
        cr_assert_eq(memcmp(whole + 1, less, 7 * sizeof(whole[0])), 0);
    }
}

Test(places, askers_spread_over_replicas)
{
    uint32_t counts[9] = {0};
    uint32_t slots[8] = {0};

    for (uint64_t number = 0; number < 8000; number++) {
        order_of(number, 0, slots);
        counts[slots[0]]++;
    }
    for (uint32_t slot = 1; slot <= 8; slot++) {
        cr_expect(counts[slot] > 800 && counts[slot] < 1200, "slot %u: %u", slot, counts[slot]);
    }
}

static const struct {
    const char *text;
    const char *host; /* NULL: refused */
    uint16_t port;
} listens[] = {
    {"8080", "127.0.0.1", 8080},
    {"0", "127.0.0.1", 0},
    {"127.0.0.1:65535", "127.0.0.1", 65535},
    {"[::1]:22", "::1", 22},
    {"localhost:1", "localhost", 1},
    {"", NULL, 0},
    {":8080", NULL, 0},
    {"65536", NULL, 0},
    {"-1", NULL, 0},
    {"::1:22", NULL, 0},
    {"[]:22", NULL, 0},
    {"[::1:22", NULL, 0},
    {"host:", NULL, 0},
    {"host:80x", NULL, 0},
    {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx:1",
     NULL, 0},
};

Test(places, where_to_listen_is_read)
{
    for (size_t i = 0; i < sizeof(listens) / sizeof(listens[0]); i++) {
        struct places_listen listen;
        bool is_fine = places_read_listen(listens[i].text, &listen);

        cr_assert_eq(is_fine, listens[i].host != NULL, "%s", listens[i].text);
        if (is_fine) {
            cr_expect_str_eq(listen.host, listens[i].host);
            cr_expect_eq(listen.port, listens[i].port);
        }
    }
}
