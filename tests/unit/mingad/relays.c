// SPDX-License-Identifier: GPL-3.0-or-later
/* What a relay passes on to its leaf, and what not. */
#include "agent/mingad/relays/relays.h"

#include "tests/unit/mingad/relay_pair.h"

Test(relays, what_is_said_to_the_relays_port_reaches_the_leafs_and_back_to_the_last_byte)
{
    static struct fixture fixture;

    begin(&fixture, 1U << 30);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    cr_assert_eq(fixture.up_count, 1);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_until(&fixture, has_ended);
    cr_assert_eq(fixture.echoed_bytes, LARGE_BYTES);
    cr_assert_not(fixture.echo_is_wrong);
    cr_assert_eq(fixture.client_code, UV_EOF);
    cr_assert_not(fixture.service_was_reset);
    cr_assert_geq(relays_counters(fixture.relay).passed_bytes, 2UL * LARGE_BYTES);
    end(&fixture);
}

static bool has_some(const struct fixture *fixture)
{
    return fixture->echoed_bytes > 0;
}

static bool service_has_ended(const struct fixture *fixture)
{
    return fixture->service_ended;
}

/* Half of a file is not to look like all of it, at either end. */
Test(relays, one_that_is_cut_is_no_end)
{
    static struct fixture fixture;
    struct overlay_relay none = {0};

    begin(&fixture, 1U << 20);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_until(&fixture, has_some);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &none);
    run_until(&fixture, service_has_ended);
    run_until(&fixture, has_ended);
    cr_expect(fixture.service_was_reset);
    cr_expect_lt(fixture.echoed_bytes, LARGE_BYTES);
    cr_expect_neq(fixture.client_code, UV_EOF);
    end(&fixture);
}

Test(relays, one_that_does_not_answer_at_its_first_address_is_reached_at_the_second)
{
    static struct fixture fixture;

    begin(&fixture, 1U << 30);
    strcpy(fixture.peer.addresses[0], "127.0.0.2:7400");
    strcpy(fixture.peer.addresses[1], "127.0.0.1:7400");
    fixture.peer.address_count = 2;
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    cr_assert_eq(fixture.up_count, 1);
    end(&fixture);
}

/* The second host of the name, and only when it has been asked for some times. */
static int numeric(void *context, const char *address, size_t which,
                   char address_out[TRANSPORT_ADDRESS_BYTES_MAX])
{
    struct fixture *fixture = context;

    cr_assert_str_eq(address, "relay.example:7400");
    if (++fixture->asked_count < 5) {
        return -EAGAIN;
    }
    strcpy(address_out, which == 0 ? "[::1]:7400" : "127.0.0.1:7400");
    return 0;
}

Test(relays, one_that_is_known_by_a_name_is_found)
{
    static struct fixture fixture;

    leaf_numeric = numeric;
    begin(&fixture, 1U << 30);
    strcpy(fixture.peer.addresses[0], "relay.example:7400");
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    cr_assert_eq(fixture.up_count, 1);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_until(&fixture, has_ended);
    cr_assert_eq(fixture.echoed_bytes, LARGE_BYTES);
    end(&fixture);
}

Test(relays, one_who_comes_before_the_leaf_waits_for_it)
{
    static struct fixture fixture;

    begin(&fixture, 1U << 30);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_for(&fixture, 100);
    cr_assert_eq(fixture.echoed_bytes, 0);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, has_ended);
    cr_assert_eq(fixture.echoed_bytes, LARGE_BYTES);
    end(&fixture);
}

Test(relays, who_does_not_know_the_secret_gets_nothing_passed_on)
{
    static struct fixture fixture;
    struct overlay_relay other;

    begin(&fixture, 1U << 30);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    other = fixture.grant;
    other.secret[0] ^= 1;
    relays_be_passed_on(fixture.leaf, &fixture.peer, &other);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_for(&fixture, 500);
    cr_assert_eq(fixture.service_count, 0);
    cr_assert_eq(fixture.echoed_bytes, 0);
    end(&fixture);
}

Test(relays, a_relay_cannot_have_the_leaf_open_a_port_that_it_did_not_ask_for)
{
    static struct fixture fixture;
    struct overlay_relay lying;

    begin(&fixture, 1U << 30);
    lying = fixture.grant;
    lying.ports[1] = (struct overlay_relay_port){free_port(SOCK_STREAM), 22, false};
    lying.port_count = 2;
    relays_pass_on(fixture.relay, &leaf_id, &lying);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    connect_client(&fixture, lying.ports[1].at_relay);
    run_until(&fixture, has_ended);
    cr_assert_eq(fixture.echoed_bytes, 0);
    cr_assert_eq(relays_counters(fixture.leaf).refused_count, 1);
    end(&fixture);
}

Test(relays, when_the_relay_ends_the_leaf_hears_of_it)
{
    static struct fixture fixture;
    struct overlay_relay none = {0};

    begin(&fixture, 1U << 30);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    relays_pass_on(fixture.relay, &leaf_id, &none);
    run_until(&fixture, is_down);
    cr_assert_eq(fixture.down_count, 1);
    end(&fixture);
}

Test(relays, a_port_that_something_else_has_is_told)
{
    static struct fixture fixture;
    struct sockaddr_in address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    begin(&fixture, 1U << 30);
    uv_ip4_addr("127.0.0.1", fixture.grant.ports[0].at_relay, &address);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(fd, 1), 0);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    cr_assert_eq(fixture.refused_count, 1);
    close(fd);
    end(&fixture);
}
