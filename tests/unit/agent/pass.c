// SPDX-License-Identifier: GPL-3.0-or-later
/* Passes for ports that are for members only: for whom, for what, and for how long. */
#include "agent/core/pass.h"

#include "agent/core/internal.h"
#include "tests/unit/agent/alone.h"

static enum overlay_outcome ask(struct edge *edge, uint32_t slot, const char *port_name)
{
    uint8_t bytes[minga_PassAsk_size];
    minga_PassAsk asked = {.slot = slot};
    struct core_request request = {.kind = CORE_ASK_PASS,
                                   .node = overlay_self(core_overlay(edge->core))};
    int length;

    memcpy(asked.service, edge->service.id.bytes, ID_BYTES);
    cr_assert_eq(text_copy(asked.port_name, sizeof(asked.port_name), port_name), 0);
    length = signed_encode_body(minga_PassAsk_fields, &asked, bytes, sizeof(bytes));
    cr_assert_gt(length, 0);
    request.signed_bytes = (struct bytes){bytes, (size_t)length};
    return outcome_of(edge, &request);
}

/* What the door of the port makes of what the caller says. */
static struct pass at_the_door(const struct edge *edge, uint64_t until_ms)
{
    struct core_replica replica;

    core_replica(edge->core, 0, edge->now_ms, &replica);
    cr_assert(replica.status.ports[1].for_members);
    cr_assert(!replica.status.ports[0].for_members);
    return (struct pass){.member = overlay_self(core_overlay(edge->core)),
                         .replica = replica.key,
                         .host_port = replica.status.ports[1].host_port,
                         .until_ms = until_ms};
}

static bool opens(const struct edge *edge, const struct pass *pass)
{
    uint8_t secret[RELAY_SECRET_BYTES];

    pass_secret(edge->core, pass, secret);
    return memcmp(secret, edge->logs, sizeof(secret)) == 0;
}

Test(pass, a_member_gets_the_secret_that_the_door_makes_again)
{
    struct edge *edge = edge_running();

    cr_assert_eq(ask(edge, 1, "club"), OVERLAY_OK, "%s", edge->answer.reason);
    cr_assert_eq(edge->answer.data.length_bytes, RELAY_SECRET_BYTES);
    struct pass pass = at_the_door(edge, edge->answer.pass_until);

    cr_assert_leq(pass.until_ms, edge->now_ms + PASS_MS);
    cr_assert_gt(pass.until_ms, edge->now_ms);
    cr_assert(opens(edge, &pass));
    edge_free(edge);
}

/* To the kernel, to relays and to routers a door is TCP, whatever passes there. */
Test(pass, a_port_of_udp_is_given_out_as_a_door)
{
    struct edge *edge = edge_running();
    struct overlay_port published[4];
    struct core_replica replica;

    core_replica(edge->core, 0, edge->now_ms, &replica);
    cr_assert(replica.status.ports[2].for_members);
    cr_assert(replica.status.ports[2].is_udp);
    cr_assert_eq(ask(edge, 1, "voice"), OVERLAY_OK, "%s", edge->answer.reason);
    const struct pass pass = {.member = overlay_self(core_overlay(edge->core)),
                              .replica = replica.key,
                              .host_port = replica.status.ports[2].host_port,
                              .until_ms = edge->answer.pass_until};

    cr_assert(opens(edge, &pass));
    cr_assert_eq(executor_published(edge->core->executor, 4, published), 3);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(!published[i].is_udp);
    }
    edge_free(edge);
}

Test(pass, it_is_good_for_nothing_else)
{
    struct edge *edge = edge_running();

    cr_assert_eq(ask(edge, 1, "club"), OVERLAY_OK);
    const struct pass given = at_the_door(edge, edge->answer.pass_until);
    struct pass other = given;

    other.member.id.bytes[0] ^= 1;
    cr_expect(!opens(edge, &other), "somebody else's");
    other = given;
    other.until_ms++;
    cr_expect(!opens(edge, &other), "for longer");
    other = given;
    other.host_port++;
    cr_expect(!opens(edge, &other), "at another port");
    other = given;
    other.replica.incarnation++;
    cr_expect(!opens(edge, &other), "for who comes after");
    other = given;
    other.replica.slot++;
    cr_expect(!opens(edge, &other), "for another replica");
    other = given;
    other.replica.service.id.bytes[31] ^= 1;
    cr_expect(!opens(edge, &other), "for another service");
    edge_free(edge);
}

/* The clock that it ends by begins again with the machine. */
Test(pass, one_from_before_the_node_s_start_is_good_for_nothing)
{
    struct edge *edge = edge_running();

    cr_assert_eq(ask(edge, 1, "club"), OVERLAY_OK);
    const struct pass pass = at_the_door(edge, edge->answer.pass_until);

    cr_assert(opens(edge, &pass));
    edge->core->config.overlay.seed++;
    cr_assert(!opens(edge, &pass));
    edge_free(edge);
}

Test(pass, there_is_none_for_what_is_not_there_or_public)
{
    struct edge *edge = edge_running();

    cr_assert_eq(ask(edge, 1, "http"), OVERLAY_REFUSED);
    cr_expect_str_eq(edge->answer.reason, "the port is public: nobody needs a pass");
    cr_assert_eq(ask(edge, 1, "nothing"), OVERLAY_REFUSED);
    cr_expect_str_eq(edge->answer.reason, "the replica has no such port");
    cr_assert_eq(ask(edge, 2, "club"), OVERLAY_REFUSED);
    cr_expect_str_eq(edge->answer.reason, "this replica does not run there, or not any more");
    edge_free(edge);
}

Test(pass, a_frozen_replica_lets_nobody_in)
{
    struct edge *edge = edge_running();
    struct core_request pause = {.kind = CORE_PAUSE, .at_once = true};

    cr_assert_eq(outcome_of(edge, &pause), OVERLAY_OK);
    cr_assert_eq(ask(edge, 1, "club"), OVERLAY_REFUSED);
    cr_expect_not_null(strstr(edge->answer.reason, "frozen"), "%s", edge->answer.reason);
    edge_free(edge);
}

Test(pass, oneself_is_welcome_and_a_stranger_is_not)
{
    struct edge *edge = edge_running();
    const struct overlay *overlay = core_overlay(edge->core);
    struct node_id node = overlay_self(overlay);

    cr_assert(overlay_is_welcome(overlay, &node));
    node.id.bytes[0] ^= 1;
    cr_assert(!overlay_is_welcome(overlay, &node));
    edge_free(edge);
}
