// SPDX-License-Identifier: GPL-3.0-or-later
/* Who is let in, who is refused and why; and that nothing changes on refusal. */
#include "overlay/members/admission.h"

#include "network.h"

struct asked {
    uint8_t bytes[768];
    struct admission_request request;
};

static struct asked ask(uint32_t index, const struct test_invitation *invitation)
{
    static struct asked asked;
    struct secret_key owner = test_key("owner", index);
    size_t length = make_request(index, invitation, asked.bytes, sizeof(asked.bytes));

    asked.request.request = (struct bytes){asked.bytes, length};
    asked.request.node_signature =
        keys_sign(&net.nodes[index].config.node_key, PURPOSE_ADMISSION, asked.request.request);
    asked.request.owner_signature = keys_sign(&owner, PURPOSE_ADMISSION, asked.request.request);
    asked.request.invitation_signature =
        keys_sign(&invitation->key, PURPOSE_ADMISSION, asked.request.request);
    return asked;
}

static struct membership *membership;
static char reason[REASON_CHARS_MAX + 1];

static void begin(void)
{
    make_community();
    membership = calloc(1, sizeof(*membership));
    for (uint32_t i = 0; i < 6; i++) {
        add_node();
    }
}

static void end(void)
{
    free(membership);
    end_network();
}

static int judge(const struct asked *asked, uint64_t wall_unix_s)
{
    struct public_key community = keys_public(&net.community_key);
    struct admission_request request = asked->request;
    struct admission_verdict verdict = {0};

    request.request.data = asked->bytes;
    int r = admission_judge(membership, &community, &request, wall_unix_s, &verdict);
    memcpy(reason, verdict.reason, sizeof(reason));
    return r;
}

/* Node `index` becomes a member by the hand of node `voucher`. */
static int admit(uint32_t index, const struct test_invitation *invitation, uint32_t voucher,
                 uint64_t wall_unix_s, uint8_t *encoded_out)
{
    struct asked asked = ask(index, invitation);
    struct public_key community = keys_public(&net.community_key);
    struct admission admission;
    bool added;
    int length;

    asked.request.request.data = asked.bytes;
    length = admission_countersign(&asked.request, &net.nodes[voucher].config.node_key, wall_unix_s,
                                   encoded_out);
    cr_assert_gt(length, 0);
    cr_assert_eq(
        admission_open((struct bytes){encoded_out, (size_t)length}, &community, &admission), 0);
    cr_assert_geq(membership_admit(membership, &admission,
                                   (struct bytes){encoded_out, (size_t)length}, &added),
                  0);
    return length;
}

TestSuite(admission, .init = begin, .fini = end);

Test(admission, a_good_request_is_accepted_until_the_last_second_and_not_after)
{
    struct test_invitation invitation = make_invitation(0, 1795132800, 0);
    struct asked asked = ask(1, &invitation);

    cr_assert_eq(judge(&asked, 1795132800), 0);
    cr_assert_eq(judge(&asked, 1795132801), -EACCES);
    cr_assert_str_eq(reason, "the invitation expired on 2026-11-20");
}

Test(admission, any_altered_bit_is_refused)
{
    struct test_invitation invitation = make_invitation(0, 1795132800, 0);
    struct asked asked = ask(1, &invitation);
    size_t length = asked.request.request.length_bytes;

    for (size_t i = 0; i < length; i++) {
        struct asked altered = asked;

        altered.bytes[i] ^= 1;
        cr_assert_eq(judge(&altered, net.wall_unix_s), -EACCES, "byte %zu", i);
    }
    for (size_t i = 0; i < SIGNATURE_BYTES; i += 7) {
        struct asked altered = asked;

        altered.request.node_signature.bytes[i] ^= 1;
        cr_assert_eq(judge(&altered, net.wall_unix_s), -EACCES);
        altered = asked;
        altered.request.owner_signature.bytes[i] ^= 1;
        cr_assert_eq(judge(&altered, net.wall_unix_s), -EACCES);
        altered = asked;
        altered.request.invitation_signature.bytes[i] ^= 1;
        cr_assert_eq(judge(&altered, net.wall_unix_s), -EACCES);
        cr_assert_str_eq(reason, "the token is not of this community or was altered");
    }
}

Test(admission, an_invitation_of_another_community_is_refused)
{
    struct secret_key ours = net.community_key;
    struct test_invitation foreign;
    struct asked asked;

    net.community_key = test_key("community", 1);
    foreign = make_invitation(0, 1795132800, 0);
    asked = ask(1, &foreign);
    net.community_key = ours;
    cr_assert_eq(judge(&asked, net.wall_unix_s), -EACCES);
    asked = ask(1, &foreign); /* names our community, but another one signed the invitation */
    cr_assert_eq(judge(&asked, net.wall_unix_s), -EACCES);
}

Test(admission, a_use_limit_counts_admissions)
{
    struct test_invitation invitation = make_invitation(0, 1795132800, 3);
    uint8_t encoded[ADMISSION_BYTES_MAX];
    struct asked asked;

    for (uint32_t i = 1; i <= 3; i++) {
        asked = ask(i, &invitation);
        cr_assert_eq(judge(&asked, net.wall_unix_s), 0);
        admit(i, &invitation, 0, net.wall_unix_s, encoded);
    }
    asked = ask(4, &invitation);
    cr_assert_eq(judge(&asked, net.wall_unix_s), -EACCES);
    cr_assert_str_eq(reason, "the invitation has been used up (3 of 3)");
    asked = ask(2, &invitation);
    cr_assert_eq(judge(&asked, net.wall_unix_s), 0, "a member may ask again");
}

Test(admission, uses_beyond_the_limit_are_void_in_the_same_order_everywhere)
{
    struct test_invitation invitation = make_invitation(0, 1795132800, 2);
    uint8_t encoded[ADMISSION_BYTES_MAX];
    static const uint32_t orders[2][4] = {{1, 2, 3, 4}, {4, 3, 2, 1}};
    bool is_void[2][5];

    for (int round = 0; round < 2; round++) {
        memset(membership, 0, sizeof(*membership));
        for (int i = 0; i < 4; i++) {
            uint32_t index = orders[round][i];

            /* 1 and 2 in the same second */
            admit(index, &invitation, 0, net.wall_unix_s + (index == 1 ? 2 : index), encoded);
        }
        for (uint32_t i = 1; i <= 4; i++) {
            is_void[round][i] =
                membership->list[membership_find(membership, &net.nodes[i].id)].is_void;
        }
    }
    cr_assert_eq(memcmp(&is_void[0][1], &is_void[1][1], 4), 0);
    cr_assert(!is_void[0][1]);
    cr_assert(!is_void[0][2]);
    cr_assert(is_void[0][3]);
    cr_assert(is_void[0][4]);
}

/* Countersigned by another member, on another day. */
static bool admit_again(uint32_t index, const struct test_invitation *invitation, uint64_t wall_s)
{
    struct public_key community = keys_public(&net.community_key);
    struct asked asked = ask(index, invitation);
    int known = membership_find(membership, &net.nodes[index].id);
    uint8_t encoded[ADMISSION_BYTES_MAX];
    struct admission admission;
    struct bytes bytes;

    asked.request.request.data = asked.bytes;
    bytes = (struct bytes){encoded, (size_t)admission_countersign(&asked.request,
                                                                  &net.nodes[5].config.node_key,
                                                                  wall_s, encoded)};
    cr_assert_eq(admission_open(bytes, &community, &admission), 0);
    if (!membership_prefers(membership, known, &admission, bytes)) {
        return false;
    }
    membership_readmit(membership, known, &admission, bytes);
    return true;
}

Test(admission, of_several_by_an_invitation_with_a_limit_the_earliest_stands_for_all)
{
    struct test_invitation invitation = make_invitation(0, 1795132800, 1);
    uint8_t encoded[ADMISSION_BYTES_MAX];
    struct id digests[2];

    for (int round = 0; round < 2; round++) {
        memset(membership, 0, sizeof(*membership));
        admit(1, &invitation, 0, net.wall_unix_s + 5, encoded);
        admit(2, &invitation, 0, net.wall_unix_s + (round == 0 ? 1 : 9), encoded);
        cr_assert_eq(membership->list[round == 0 ? 0 : 1].is_void, true, "the later one is void");
        cr_assert(admit_again(2, &invitation, net.wall_unix_s + 1) || round == 0);
        cr_assert(admit_again(2, &invitation, net.wall_unix_s));
        cr_assert_not(admit_again(2, &invitation, net.wall_unix_s), "the same one");
        cr_assert_not(admit_again(2, &invitation, net.wall_unix_s + 3));
        cr_assert(membership->list[0].is_void);
        cr_assert_not(membership->list[1].is_void);
        digests[round] = membership->digest_admissions;
    }
    cr_assert(id_equal(&digests[0], &digests[1]));
}

Test(admission, of_several_by_an_invitation_without_a_limit_the_earliest_stands_too)
{
    struct test_invitation invitation = make_invitation(0, 1795132800, 0);
    uint8_t encoded[ADMISSION_BYTES_MAX];
    uint64_t check;

    admit(1, &invitation, 0, net.wall_unix_s + 5, encoded);
    cr_assert_not(admit_again(1, &invitation, net.wall_unix_s + 6));
    cr_assert(admit_again(1, &invitation, net.wall_unix_s));
    cr_assert_eq(membership_version(&membership->list[0], false, &check),
                 UINT64_MAX - net.wall_unix_s);
    cr_assert_eq(membership_version(&membership->list[0], true, &check), 0,
                 "not where some know no countersigner");
    cr_assert_eq(check, 0);
}

Test(admission, a_void_member_that_asks_again_is_told_why_it_is_none)
{
    struct test_invitation invitation = make_invitation(0, 1795132800, 1);
    uint8_t encoded[ADMISSION_BYTES_MAX];
    uint16_t before[2];
    struct asked asked;

    admit(1, &invitation, 0, net.wall_unix_s, encoded);
    admit(2, &invitation, 0, net.wall_unix_s + 1, encoded);
    asked = ask(2, &invitation);
    cr_assert_eq(judge(&asked, net.wall_unix_s), -EACCES);
    cr_assert_str_eq(reason, "the invitation has been used up (2 of 1)");
    cr_assert_eq(membership_let_in_before(membership, 1, 2, before), 1);
    cr_assert_eq(before[0], 0);
    cr_assert_eq(membership_let_in_before(membership, 0, 2, before), 0);
}

Test(admission, a_revoked_invitation_and_an_expelled_node_are_refused_with_the_reason)
{
    struct test_invitation invitation = make_invitation(0, 1795132800, 0);
    struct public_key key = keys_public(&invitation.key);
    struct asked asked = ask(1, &invitation);
    struct ban ban;

    memset(&ban, 0, sizeof(ban));
    ban.key = membership_invitation_id(&key);
    cr_assert_eq(membership_ban(membership, &membership->revocations, &ban), 1);
    cr_assert_eq(membership_ban(membership, &membership->revocations, &ban), 0);
    cr_assert_eq(judge(&asked, net.wall_unix_s), -EACCES);
    cr_assert_str_eq(reason, "the invitation was revoked");
    ban.key = net.nodes[1].id.id;
    strcpy(ban.reason, "mines coins");
    cr_assert_eq(membership_ban(membership, &membership->expulsions, &ban), 1);
    cr_assert_eq(judge(&asked, net.wall_unix_s), -EACCES);
    cr_assert_str_eq(reason, "this node was expelled: mines coins");
}

Test(admission, an_admission_counts_only_if_a_member_in_good_standing_vouched)
{
    struct test_invitation invitation = make_invitation(0, 1795132800, 0);
    struct public_key community = keys_public(&net.community_key);
    uint8_t first[ADMISSION_BYTES_MAX];
    uint8_t second[ADMISSION_BYTES_MAX];
    struct admission admission;
    struct ban ban;
    int length;

    length = admit(1, &invitation, 5, 1000, first);
    cr_assert_eq(admission_open((struct bytes){first, (size_t)length}, &community, &admission), 0);
    cr_assert(!admission_is_vouched(membership, &community, &admission), "5 is no member");
    length = admit(2, &invitation, 1, 2000, second);
    cr_assert_eq(admission_open((struct bytes){second, (size_t)length}, &community, &admission), 0);
    cr_assert(admission_is_vouched(membership, &community, &admission));
    memset(&ban, 0, sizeof(ban));
    ban.key = net.nodes[1].id.id;
    ban.since_unix_s = 2000;
    membership_ban(membership, &membership->expulsions, &ban);
    cr_assert(admission_is_vouched(membership, &community, &admission), "before it was expelled");
    admission.admitted_unix_s = 2000 + CLOCK_SKEW_S_MAX;
    cr_assert(admission_is_vouched(membership, &community, &admission), "by a clock that is fast");
    admission.admitted_unix_s = UINT64_MAX;
    cr_assert(!admission_is_vouched(membership, &community, &admission));
    admission.admitted_unix_s = 2001 + CLOCK_SKEW_S_MAX;
    cr_assert(!admission_is_vouched(membership, &community, &admission));
}

Test(admission, any_altered_bit_of_an_admission_is_found)
{
    struct test_invitation invitation = make_invitation(0, 1795132800, 0);
    struct public_key community = keys_public(&net.community_key);
    uint8_t encoded[ADMISSION_BYTES_MAX];
    struct admission admission;
    int length = admit(1, &invitation, 5, 1000, encoded);

    for (int i = 0; i < length; i++) {
        encoded[i] ^= 4;
        cr_assert_eq(
            admission_open((struct bytes){encoded, (size_t)length}, &community, &admission),
            -EBADMSG, "byte %d", i);
        encoded[i] ^= 4;
    }
    cr_assert_eq(admission_open((struct bytes){encoded, (size_t)length}, &community, &admission),
                 0);
}

/* --- the whole way, over links */

Test(joining, refusals_reach_the_newcomer_and_change_nothing)
{
    struct test_invitation expired;
    struct test_invitation once;
    uint32_t late;

    make_members(3);
    run_for(2000);
    expired = make_invitation(1, net.wall_unix_s - 1, 0);
    once = make_invitation(2, net.wall_unix_s + 10000, 1);
    for (uint32_t i = 0; i < 3; i++) {
        late = add_node();
        start_node(late);
    }
    join_node(3, 1, &expired, 1);
    run_for(1000);
    cr_assert(net.nodes[3].done[1].ended);
    cr_assert_eq(net.nodes[3].done[1].outcome, OVERLAY_REFUSED);
    cr_assert_eq(strncmp(net.nodes[3].done[1].reason, "the invitation expired on", 25), 0);
    cr_assert(!overlay_belongs(net.nodes[3].overlay));
    cr_assert_eq(net.nodes[3].blob_count, 0);
    cr_assert_eq(overlay_member_count(net.nodes[1].overlay), 3);
    join_node(4, 1, &once, 1);
    run_for(1000);
    cr_assert_eq(net.nodes[4].done[1].outcome, OVERLAY_OK);
    join_node(5, 2, &once, 1);
    run_for(1000);
    cr_assert_eq(net.nodes[5].done[1].outcome, OVERLAY_REFUSED);
    cr_assert_str_eq(net.nodes[5].done[1].reason, "the invitation has been used up (1 of 1)");
    cr_assert_eq(overlay_member_count(net.nodes[0].overlay), 4);
    end_network();
}

Test(joining, works_with_the_founder_off_and_through_any_member)
{
    struct test_invitation invitation;

    make_members(4);
    run_for(2000);
    invitation = make_invitation(3, net.wall_unix_s + 10000, 0);
    kill_node(0, false);
    run_for(2000);
    start_node(add_node());
    join_node(4, 2, &invitation, 1);
    run_for(1000);
    cr_assert_eq(net.nodes[4].done[1].outcome, OVERLAY_OK, "%s", net.nodes[4].done[1].reason);
    cr_assert_eq(overlay_member_count(net.nodes[4].overlay), 5);
    end_network();
}

Test(joining, a_contact_that_is_off_is_passed_over_and_nobody_there_is_said)
{
    struct test_invitation invitation;

    make_members(3);
    run_for(2000);
    invitation = make_invitation(3, net.wall_unix_s + 10000, 0);
    kill_node(1, false);
    start_node(add_node());
    join_node(3, 1, &invitation, 1);
    run_for(11000); /* the contact may only have been slow */
    cr_assert(net.nodes[3].done[1].ended);
    cr_assert_eq(net.nodes[3].done[1].outcome, OVERLAY_TIMED_OUT);
    cr_assert(!overlay_belongs(net.nodes[3].overlay));
    join_node(3, 2, &invitation, 2);
    run_for(1000);
    cr_assert_eq(net.nodes[3].done[2].outcome, OVERLAY_OK);
    end_network();
}

/* Whatever step of the join it is in, and however long that is: its link stands, so it is there. */
Test(joining, a_contact_that_gets_no_time_for_ten_seconds_is_waited_for)
{
    struct test_invitation invitation;

    make_members(3);
    run_for(2000);
    invitation = make_invitation(3, net.wall_unix_s + 10000, 0);
    for (uint32_t i = 3; i < 15; i++) {
        start_node(add_node());
        join_node(i, 1, &invitation, 1);
        run_for(i - 2);
        if (net.nodes[i].done[1].ended) {
            break;
        }
        net.nodes[1].stalled_until_ms = net.now_ms + 10000;
        run_for(18000);
        cr_assert(net.nodes[i].done[1].ended, "after %u ms", i - 2);
        cr_assert_eq(net.nodes[i].done[1].outcome, OVERLAY_OK, "after %u ms: %s", i - 2,
                     net.nodes[i].done[1].reason);
    }
    cr_assert_geq(net.node_count, 7, "there are some steps");
    end_network();
}

Test(joining, a_node_that_lost_its_disk_joins_again)
{
    struct test_invitation invitation;

    make_members(3);
    run_for(2000);
    invitation = make_invitation(3, net.wall_unix_s + 10000, 0);
    kill_node(2, false);
    net.nodes[2].blob_count = 0;
    run_for(3000);
    start_node(2);
    cr_assert(!overlay_belongs(net.nodes[2].overlay));
    join_node(2, 1, &invitation, 3);
    run_for(3000);
    cr_assert_eq(net.nodes[2].done[3].outcome, OVERLAY_OK);
    cr_assert_eq(overlay_member_count(net.nodes[0].overlay), 3);
    cr_assert(all_agree());
    end_network();
}

Test(joining, a_stranger_gets_nothing_but_a_request_to_greet)
{
    struct overlay_event event;
    uint8_t bytes[64] = {0x08, 0x01, 0x10, 0x05, 0x7a, 0x00}; /* version 1, request 5, a ping */

    make_members(2);
    run_for(2000);
    event = now_event();
    event.kind = OVERLAY_RECEIVED;
    event.source.inbound = true;
    event.source.link = 4711;
    event.message = (struct bytes){bytes, 6};
    overlay_step(net.nodes[0].overlay, &event, &net.nodes[0].effects);
    for (uint32_t i = 0; i < net.nodes[0].effects.count; i++) {
        const struct overlay_effect *effect = &net.nodes[0].effects.list[i];
        minga_Message message;
        pb_size_t kind;

        if (effect->kind != OVERLAY_REPLY) {
            continue;
        }
        cr_assert_eq(effect->link, 4711);
        cr_assert_eq(signed_decode_body(minga_Message_fields, effect->message, &message), 0);
        kind = message.which_kind;
        cr_assert_eq(kind, minga_Message_refused_tag);
        cr_assert_eq(message.kind.refused.code, minga_RefusedCode_REFUSED_HELLO_FIRST);
    }
    perform(0);
    cr_assert_geq(overlay_counters(net.nodes[0].overlay).refused_messages, 1);
    end_network();
}
