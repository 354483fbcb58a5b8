// SPDX-License-Identifier: GPL-3.0-or-later
/* Expulsions reach everyone, and hold for those who were away. */
#include "overlay/state.h"
#include "owners.h"

/* Node `by` expels node `whom`, as the community's founder would. */
static void expel(uint32_t by, uint32_t whom)
{
    struct overlay_event now = now_event();
    uint8_t encoded[BAN_BYTES_MAX];
    struct bytes bytes = {encoded, sign_expulsion(whom, net.wall_unix_s, encoded)};

    cr_assert_eq(overlay_expel(net.nodes[by].overlay, &now, 0, bytes, &net.nodes[by].effects), 0);
    perform(by);
    encoded[20] ^= 1;
    cr_assert_eq(overlay_expel(net.nodes[by].overlay, &now, 0, bytes, &net.nodes[by].effects),
                 -EBADMSG);
}

Test(expulsion, an_expelled_node_is_refused_and_knows_why)
{
    make_members(4);
    run_for(3000);
    expel(0, 2);
    run_for(3000);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(state_at(i, 2), MEMBER_EXPELLED);
    }
    end_network();
}

Test(expulsion, an_expulsion_reaches_everyone_at_once_though_the_expelled_one_is_silent)
{
    make_members(20);
    run_for(5000);
    net.nodes[7].side = 1; /* it would pass nothing on */
    expel(0, 7);
    run_for(50);
    for (uint32_t i = 0; i < 20; i++) {
        cr_assert(i == 7 || state_at(i, 7) == MEMBER_EXPELLED, "node %u", i);
    }
    end_network();
}

static void ask_often(uint32_t from, uint32_t to, uint64_t token)
{
    struct overlay_event now = now_event();

    overlay_ask(net.nodes[from].overlay, &now, &net.nodes[to].id,
                (struct overlay_question){token, bytes_of_text("let me in")},
                &net.nodes[from].effects);
    perform(from);
}

Test(expulsion, one_who_was_away_refuses_the_expelled_from_its_first_greeting_with_anyone)
{
    make_members(6);
    run_for(5000);
    kill_node(3, false); /* both are away, and hear nothing of it */
    kill_node(2, false);
    run_for(2000);
    expel(0, 2);
    run_for(2000);
    for (uint32_t i = 0; i < 6; i++) {
        if (i != 1 && i != 2 && i != 3) {
            kill_node(i, false);
        }
    }
    start_node(3); /* hears one greeting, of a member other than the one who expelled */
    run_for(8);
    cr_assert_eq(state_at(3, 2), MEMBER_EXPELLED);
    start_node(2);
    for (uint32_t i = 0; i < 40; i++) {
        if (overlay_belongs(net.nodes[2].overlay)) {
            ask_often(2, 3, 10 + i);
        }
        run_for(50);
    }
    cr_assert_eq(net.nodes[3].delivered_count, 0);
    cr_assert_eq(state_at(2, 2), MEMBER_EXPELLED, "and it is shown why");
    end_network();
}

Test(expulsion, nobody_goes_on_dialling_one_that_was_expelled_while_it_was_away)
{
    const struct membership *membership;
    int index;

    make_members(4);
    run_for(3000);
    net.nodes[2].side = 1;
    membership = &net.nodes[1].overlay->membership;
    index = membership_find(membership, &net.nodes[2].id);
    cr_assert_neq(index, MEMBER_NONE);
    for (uint32_t i = 0;
         i < 400 && (state_at(1, 2) != MEMBER_DOWN || !membership->list[index].linked); i++) {
        run_for(50);
    }
    cr_assert(membership->list[index].linked, "it is dialled now and then");
    expel(0, 2);
    run_for(50);
    cr_assert_eq(state_at(1, 2), MEMBER_EXPELLED);
    cr_assert_not(membership->list[index].linked);
    end_network();
}

static uint32_t compared_count(void)
{
    return net.sent_count[minga_Message_summary_tag] +
           net.sent_count[minga_Message_chunk_ranges_tag];
}

/* What one that has them and one that takes none have in common is equal. */
Test(expulsion, nobody_compares_the_records_of_an_expelled_owner_again_and_again)
{
    struct test_invitation invitation = {0};
    struct service_id service = service_of(2, "wiki");
    uint32_t before;

    make_members(3);
    run_for(3000);
    cr_assert_eq(put(2, 10, 2, "wiki", 1, "one")->outcome, OVERLAY_OK);
    cr_assert_eq(put(1, 10, 1, "blog", 1, "one")->outcome, OVERLAY_OK);
    run_for(2000);
    expel(0, 2);
    run_for(2000);
    invitation = make_invitation(0, net.wall_unix_s + 1000000, 0);
    start_node(add_node());
    join_node(3, 0, &invitation, 1);
    run_for(70000);
    cr_assert(overlay_belongs(net.nodes[3].overlay));
    cr_assert_eq(count_copies(&service), 3, "the others keep it");
    before = compared_count();
    run_for(10000);
    cr_assert_lt(compared_count() - before, 100);
    end_network();
}

/* Started again it still knows whose records nobody takes. */
Test(expulsion, a_node_that_starts_again_offers_no_records_of_an_expelled_owner)
{
    const struct record *record;
    struct service_id service = service_of(2, "wiki");
    struct record_key key = record_key(&service, minga_RecordKind_RECORD_SERVICE, 0);

    make_members(3);
    run_for(3000);
    cr_assert_eq(put(2, 10, 2, "wiki", 1, "one")->outcome, OVERLAY_OK);
    run_for(2000);
    record = records_find(&net.nodes[0].overlay->records, &key);
    cr_assert_not(record->is_orphan);
    expel(0, 2);
    run_for(1000);
    cr_assert(record->is_orphan);
    kill_node(0, false);
    start_node(0);
    run_for(1000);
    record = records_find(&net.nodes[0].overlay->records, &key);
    cr_assert_not_null(record);
    cr_assert(record->is_orphan);
    end_network();
}

/* Its disk takes nothing: what the others send it is as new the next time. */
Test(expulsion, who_cannot_take_what_it_is_sent_asks_for_it_ever_less_often)
{
    struct service_id service = service_of(1, "wiki");
    uint32_t before;

    make_members(4);
    run_for(3000);
    net.nodes[3].side = 1;
    run_for(5000);
    cr_assert_eq(put(1, 10, 1, "wiki", 1, "one")->outcome, OVERLAY_OK);
    net.nodes[3].disk_full = true;
    net.nodes[3].side = 0;
    run_for(20000);
    before = compared_count();
    run_for(10000);
    cr_assert_lt(compared_count() - before, 100);
    net.nodes[3].disk_full = false;
    run_for(10000);
    cr_assert_eq(count_copies(&service), 4);
    end_network();
}

/* A node of keys that were just made shows an admission that `countersigner` has signed, and what that
 * one knows. Returns the newcomer. */
static uint32_t mint(uint32_t countersigner, const struct test_invitation *invitation,
                     uint64_t admitted_unix_s)
{
    const struct node *known = &net.nodes[countersigner];
    uint32_t newcomer = add_node();
    struct node *node = &net.nodes[newcomer];
    struct stored_blob *own = &node->blobs[0];
    struct secret_key owner = test_key("owner", newcomer);
    uint8_t bytes[768];
    struct bytes body = {bytes, make_request(newcomer, invitation, bytes, sizeof(bytes))};
    struct admission_request request = {body,
                                        keys_sign(&node->config.node_key, PURPOSE_ADMISSION, body),
                                        keys_sign(&owner, PURPOSE_ADMISSION, body),
                                        keys_sign(&invitation->key, PURPOSE_ADMISSION, body)};
    int length =
        admission_countersign(&request, &known->config.node_key, admitted_unix_s, own->bytes);

    cr_assert_gt(length, 0);
    own->kind = BLOB_ADMISSION;
    own->key = node->id.id;
    own->length_bytes = (size_t)length;
    node->blob_count = 1;
    for (uint32_t i = 0; i < known->blob_count; i++) {
        enum overlay_blob_kind kind = known->blobs[i].kind;

        if (kind == BLOB_COMMUNITY || kind == BLOB_ADMISSION || kind == BLOB_NODE) {
            node->blobs[node->blob_count++] = known->blobs[i];
        }
    }
    start_node(newcomer);
    return newcomer;
}

static bool is_known_at(uint32_t viewer, uint32_t node)
{
    return overlay_member_by_id(net.nodes[viewer].overlay, &net.nodes[node].id) != NULL;
}

Test(expulsion, an_expelled_member_lets_itself_in_under_no_other_key)
{
    struct test_invitation invitation = {0};
    uint32_t minted;

    make_members(4);
    run_for(3000);
    invitation = make_invitation(0, net.wall_unix_s + 1000000, 0);
    expel(0, 2);
    run_for(1000);
    minted = mint(2, &invitation, net.wall_unix_s - 1);
    run_for(15000);
    cr_assert_not(is_known_at(0, minted));
    cr_assert_not(is_known_at(1, minted));
    cr_assert_not(is_known_at(3, minted));
    end_network();
}

/* A countersigner's clock is the one that the expiry was compared with. */
Test(expulsion, nobody_is_let_in_by_an_admission_of_after_its_invitation_had_expired)
{
    struct test_invitation invitation = {0};
    uint32_t late;
    uint32_t just;

    make_members(4);
    run_for(3000);
    invitation = make_invitation(1, net.wall_unix_s + 10, 0);
    just = mint(2, &invitation, net.wall_unix_s + 10 + CLOCK_SKEW_S_MAX);
    late = mint(2, &invitation, net.wall_unix_s + 11 + CLOCK_SKEW_S_MAX);
    run_for(15000);
    cr_assert(is_known_at(1, just));
    cr_assert_not(is_known_at(1, late));
    end_network();
}

static void revoke(uint32_t by, const struct test_invitation *invitation)
{
    minga_Revocation body = minga_Revocation_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key community = keys_public(&net.community_key);
    struct public_key key = keys_public(&invitation->key);
    struct overlay_event now = now_event();
    uint8_t encoded[BAN_BYTES_MAX];
    int length;

    memcpy(body.community, community.bytes, 32);
    memcpy(body.invitation_key, key.bytes, 32);
    body.revoked_unix_s = net.wall_unix_s;
    cr_assert_eq(signed_make(minga_Revocation_fields, &body, PURPOSE_REVOCATION, &net.community_key,
                             &envelope),
                 0);
    length = signed_encode(&envelope, encoded, sizeof(encoded));
    cr_assert_eq(overlay_revoke(net.nodes[by].overlay, &now, 0,
                                (struct bytes){encoded, (size_t)length}, &net.nodes[by].effects),
                 0);
    perform(by);
}

Test(expulsion, a_revoked_invitation_lets_nobody_in_by_an_admission_of_before)
{
    struct test_invitation invitation = {0};
    uint32_t minted;

    make_members(4);
    run_for(3000);
    invitation = make_invitation(1, net.wall_unix_s + 1000000, 0);
    revoke(0, &invitation);
    run_for(1000);
    minted = mint(2, &invitation, net.wall_unix_s - 1);
    run_for(15000);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_not(is_known_at(i, minted), "node %u", i);
    }
    end_network();
}

Test(expulsion, whom_the_expelled_one_has_let_in_before_is_a_member_for_those_who_were_away)
{
    struct test_invitation invitation = {0};

    make_members(4);
    run_for(3000);
    invitation = make_invitation(0, net.wall_unix_s + 1000000, 0);
    kill_node(1, false);
    start_node(add_node());
    join_node(4, 2, &invitation, 1);
    run_for(3000);
    cr_assert_eq(net.nodes[4].done[1].outcome, OVERLAY_OK);
    expel(0, 2);
    run_for(3000);
    start_node(1);
    run_for(5000);
    cr_assert_eq(state_at(1, 4), MEMBER_UP);
    cr_assert_eq(state_at(4, 1), MEMBER_UP);
    end_network();
}

/* There is an end to what all can hold: who acts is told, and nobody believes what does not hold. */
Test(expulsion, one_more_than_there_is_room_for_is_refused_in_so_many_words)
{
    struct overlay_event now;
    struct membership *membership;
    uint8_t encoded[BAN_BYTES_MAX];
    struct bytes bytes = {encoded, 0};

    make_members(3);
    run_for(3000);
    membership = &net.nodes[0].overlay->membership;
    for (uint32_t i = 0; i < BANS_MAX; i++) {
        struct ban ban = {.key.bytes = {(uint8_t)(i >> 8), (uint8_t)i, 1}};

        cr_assert_eq(membership_ban(membership, &membership->expulsions, &ban), 1);
    }
    now = now_event();
    bytes.length_bytes = sign_expulsion(2, net.wall_unix_s, encoded);
    cr_assert_eq(overlay_expel(net.nodes[0].overlay, &now, 0, bytes, &net.nodes[0].effects),
                 -ENOSPC);
    perform(0);
    run_for(1000);
    cr_assert_eq(state_at(1, 2), MEMBER_UP, "nobody else was told, either");
    end_network();
}

static void fill_records(uint32_t node, uint32_t owner)
{
    struct records *records = &net.nodes[node].overlay->records;
    struct secret_key secret = test_key("owner", owner);
    struct record record = {.owner = keys_public(&secret), .sequence = 1, .length_bytes = 1};

    for (uint32_t i = 0; records->count < RECORDS_MAX; i++) {
        seed_of("service", i, record.key.service.id.bytes);
        record.key = record_key(&record.key.service, minga_RecordKind_RECORD_SERVICE, 0);
        record.hash = record.key.service.id;
        cr_assert_eq(records_merge(records, &record), RECORD_NEWER);
    }
}

Test(expulsion, where_an_expelled_owner_has_filled_the_table_others_write_again)
{
    make_members(3);
    run_for(3000);
    for (uint32_t i = 0; i < 3; i++) {
        fill_records(i, 2);
    }
    cr_assert_neq(put(1, 10, 1, "wiki", 1, "one")->outcome, OVERLAY_OK);
    expel(0, 2);
    run_for(1000);
    cr_assert_eq(put(1, 11, 1, "wiki", 1, "one")->outcome, OVERLAY_OK);
    end_network();
}

static bool is_writing(uint32_t node)
{
    bool is_any = false;

    for (uint32_t i = 0; i < STORES_MAX; i++) {
        is_any |= net.nodes[node].overlay->stores[i].used;
    }
    return is_any;
}

Test(expulsion, what_is_being_written_when_its_owner_is_expelled_is_compared_with_nobody_either)
{
    struct service_id service = service_of(2, "wiki");
    struct record_key key = record_key(&service, minga_RecordKind_RECORD_SERVICE, 0);
    uint8_t encoded[3328];
    struct bytes bytes = {encoded, make_record(2, "wiki", 1, "one", encoded)};
    struct overlay_event now;
    const struct record *record;

    make_members(3);
    run_for(3000);
    now = now_event();
    overlay_record_put(net.nodes[2].overlay, &now, 10, bytes, &net.nodes[2].effects);
    perform(2);
    for (uint32_t i = 0; i < 100 && !is_writing(1); i++) {
        run_for(1);
    }
    cr_assert(is_writing(1));
    cr_assert_null(records_find(&net.nodes[1].overlay->records, &key));
    expel(1, 2);
    run_for(1000);
    record = records_find(&net.nodes[1].overlay->records, &key);
    cr_assert_not_null(record);
    cr_assert(record->is_orphan);
    end_network();
}
