// SPDX-License-Identifier: GPL-3.0-or-later
/* How much a relay passes on, and for how many. */
#include "agent/mingad/relays/relays.h"
#include "agent/mingad/relays/relays_internal.h"
#include "tests/unit/mingad/relay_pair.h"

/* Of 1 MiB/s since then: 1 MiB saved up, half of one on its way in buffers. A machine may be slow. */
static uint64_t passed_max(uint64_t since_ns)
{
    uint64_t ms = (uv_hrtime() - since_ns) / 1000000;

    return (3 << 19) + ms * (1 << 20) / 1000;
}

Test(relays_limits, the_relay_takes_no_more_than_its_volunteer_allows)
{
    static struct fixture fixture;
    uint64_t since_ns = uv_hrtime();

    begin(&fixture, 1 << 20);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_for(&fixture, 1500);
    cr_assert_gt(fixture.echoed_bytes, 100 << 10, "some passes");
    cr_assert_leq(relays_counters(fixture.relay).passed_bytes, passed_max(since_ns), "both ways");
    end(&fixture);
}

Test(relays_limits, nor_more_than_is_left_of_its_line_and_all_again_when_that_is_over)
{
    static struct fixture fixture;

    begin(&fixture, 1U << 30);
    run_for(&fixture, 200); /* what it saves up meanwhile, it must not spend */
    uint64_t since_ns = uv_hrtime();

    relays_limit(fixture.relay, 1 << 20);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_for(&fixture, 1500);
    cr_assert_gt(fixture.echoed_bytes, 100 << 10, "some passes");
    cr_assert_leq(relays_counters(fixture.relay).relayed_bytes, passed_max(since_ns));
    run_until(&fixture, is_waiting);
    cr_assert(is_waiting(&fixture));
    cr_assert_eq(relays_counters(fixture.leaf).relayed_bytes, 0, "it passes on for nobody");
    relays_limit(fixture.relay, 0);
    run_until(&fixture, has_ended);
    cr_assert_eq(fixture.echoed_bytes, LARGE_BYTES);
    end(&fixture);
}

Test(relays_limits, who_floods_the_door_does_not_keep_the_leaf_out)
{
    static struct fixture fixture;
    struct sockaddr_in address;
    int fds[200];

    begin(&fixture, 1U << 30);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    uv_ip4_addr("127.0.0.1", fixture.grant.door, &address);
    for (int i = 0; i < 200; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fds[i], (struct sockaddr *)&address, sizeof(address));
        uv_run(&fixture.loop, UV_RUN_NOWAIT);
    }
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_for(&fixture, 1000);
    cr_assert_eq(fixture.up_count, 1);
    for (int i = 0; i < 200; i++) {
        close(fds[i]);
    }
    end(&fixture);
}

/* What is not accepted is told no more: the door would be dead. */
Test(relays_limits, a_door_that_had_no_place_left_opens_again)
{
    static struct fixture fixture;
    struct sockaddr_in address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte;

    begin(&fixture, 1U << 30);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    uv_ip4_addr("127.0.0.1", fixture.grant.door, &address);
    fixture.relay->pipe_count += PIPES_MAX;
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    run_for(&fixture, 200);
    cr_expect_eq(recv(fd, &byte, 1, MSG_DONTWAIT), 0, "who is refused is told so");
    fixture.relay->pipe_count -= PIPES_MAX;
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, is_up);
    cr_assert_eq(fixture.up_count, 1);
    close(fd);
    end(&fixture);
}

static void have_open_pipes(struct fixture *fixture, struct pipe *pipes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        pipes[i].phase = PIPE_OPEN;
        pipes[i].other = leaf_id;
        pipes[i].next = fixture->relay->pipes;
        fixture->relay->pipes = &pipes[i];
    }
}

static void forget_pipes(struct fixture *fixture, const struct pipe *pipes, uint32_t count)
{
    struct pipe **place = &fixture->relay->pipes;

    while (*place != NULL) {
        bool is_one = *place >= pipes && *place < pipes + count;

        if (is_one) {
            *place = (*place)->next;
        } else {
            place = &(*place)->next;
        }
    }
}

static void check_connections_of_one_leaf(uint32_t open_count, bool is_let_in)
{
    static struct fixture fixture;
    static struct pipe pipes[PIPES_PER_LEAF_MAX];

    begin(&fixture, 1U << 30);
    relays_pass_on(fixture.relay, &leaf_id, &fixture.grant);
    have_open_pipes(&fixture, pipes, open_count);
    connect_client(&fixture, fixture.grant.ports[0].at_relay);
    run_for(&fixture, 100); /* it waits before the leaf is there */
    relays_be_passed_on(fixture.leaf, &fixture.peer, &fixture.grant);
    run_until(&fixture, has_ended);
    forget_pipes(&fixture, pipes, open_count);
    cr_assert(has_ended(&fixture));
    cr_assert_eq(fixture.echoed_bytes, is_let_in ? LARGE_BYTES : 0);
    end(&fixture);
}

Test(relays_limits, one_leaf_takes_no_more_than_its_part_also_of_those_who_wait)
{
    check_connections_of_one_leaf(PIPES_PER_LEAF_MAX - 1, true);
    check_connections_of_one_leaf(PIPES_PER_LEAF_MAX, false);
}
