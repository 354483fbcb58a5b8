// SPDX-License-Identifier: GPL-3.0-or-later
/* Members of a large community that claim every key, and refuse every newcomer. */
#include "large_community.h"
#include "overlay/state.h"

enum { PLACES = 22, COUNT = 22, LIAR_EVERY = 5, LOOKUPS = 40 };

static bool is_liar(uint32_t node)
{
    return node % LIAR_EVERY == LIAR_EVERY - 1 && node < COUNT;
}

static void name_liars(minga_SeekReply *reply)
{
    reply->contacts_count = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        if (is_liar(i)) {
            minga_Contact *contact = &reply->contacts[reply->contacts_count++];

            *contact = (minga_Contact)minga_Contact_init_zero;
            memcpy(contact->node_key, net.nodes[i].key.bytes, PUBLIC_KEY_BYTES);
            contact->addresses_count = 1;
            strcpy(contact->addresses[0], net.nodes[i].config.description.addresses[0]);
        }
    }
}

/* Its arc is the whole ring; it has forgotten everyone but its friends. */
static void lie(uint32_t from, minga_Message *message)
{
    struct ring_key position = keys_position(&net.nodes[from].key, 0);

    if (!is_liar(from)) {
        return;
    }
    if (message->which_kind == minga_Message_seek_reply_tag) {
        message->kind.seek_reply.owns = true;
        message->kind.seek_reply.waiting = false;
        message->kind.seek_reply.has_arc = true;
        memcpy(message->kind.seek_reply.from, position.id.bytes, ID_BYTES);
        name_liars(&message->kind.seek_reply);
    } else if (message->which_kind == minga_Message_lookup_reply_tag) {
        minga_LookupReply *reply = &message->kind.lookup_reply;

        memcpy(reply->path[0], net.nodes[from].id.id.bytes, ID_BYTES);
        reply->path_count = 1;
    } else if (message->which_kind == minga_Message_join_reply_tag) {
        message->kind.join_reply = (minga_JoinReply)minga_JoinReply_init_zero;
        strcpy(message->kind.join_reply.reason, "the invitation was revoked");
    }
}

static void make_lied_to(void)
{
    make_large(COUNT, PLACES);
    net.lie = lie;
}

/* What the upkeep of fingers, which believes everyone, may have taken in. */
static void mislead(uint32_t who)
{
    struct overlay *overlay = net.nodes[who].overlay;

    fingers_init(&overlay->fingers, &overlay->place);
    locations_init(&overlay->locations);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct ring_node liar = {net.nodes[i].id, keys_position(&net.nodes[i].key, 0)};

        if (is_liar(i)) {
            locations_learn(&overlay->locations, &liar, &liar.position);
        }
    }
}

static uint32_t owner_of(const struct ring_key *key)
{
    for (uint32_t i = 0; i < net.node_count; i++) {
        if (overlay_responsible(net.nodes[i].overlay, key, net.now_ms)) {
            return i;
        }
    }
    cr_assert_fail("nobody answers for a key");
    return 0;
}

/* Somebody honest answers for the key, but the tables of `who` lead to a liar. */
static bool is_ambushed(uint32_t who, const struct ring_key *key)
{
    struct overlay *overlay = net.nodes[who].overlay;
    struct node_id next;

    mislead(who);
    return !search_is_known(overlay, key) && !is_liar(owner_of(key)) &&
           overlay->routing->next_hop(&overlay->router, key, &next) &&
           is_liar((uint32_t)find_node(&next));
}

static void far_key(uint32_t who, uint32_t *number, struct ring_key *key_out)
{
    do {
        cr_assert_lt(*number, 20000);
        seed_of("far", (*number)++, key_out->id.bytes);
    } while (!is_ambushed(who, key_out));
}

Test(liars, more_look_ups_than_there_is_room_for_wait_and_are_right, .timeout = 300)
{
    struct ring_key keys[LOOKUPS];
    uint32_t number = 0;

    static_assert(LOOKUPS > 2 * SEEKS_MAX, "most have to wait");
    make_lied_to();
    for (uint32_t i = 0; i < LOOKUPS; i++) {
        struct overlay_event now = now_event();

        far_key(0, &number, &keys[i]);
        overlay_lookup(net.nodes[0].overlay, &now, 10 + i, &keys[i], &net.nodes[0].effects);
        perform(0);
    }
    run_for(ROUTE_MS + 2000);
    for (uint32_t i = 0; i < LOOKUPS; i++) {
        const struct done *done = &net.nodes[0].done[10 + i];

        cr_assert(done->ended);
        cr_assert_eq(done->outcome, OVERLAY_OK, "%u: %s", i, done->reason);
        cr_assert_eq(find_node(&done->lookup.responsible), (int)owner_of(&keys[i]), "%u", i);
    }
    end_network();
}

Test(liars, a_question_for_a_key_reaches_who_answers_for_it_and_no_liar, .timeout = 300)
{
    uint32_t number = 1000;

    make_lied_to();
    for (uint32_t i = 0; i < LOOKUPS / 2; i++) {
        struct overlay_event now = now_event();
        struct ring_key key;
        uint32_t owner;
        uint32_t before;

        far_key(1, &number, &key);
        owner = owner_of(&key);
        before = net.nodes[owner].delivered_count;
        overlay_route(net.nodes[1].overlay, &now, &key,
                      (struct overlay_question){100 + i, bytes_of_text("there?")},
                      &net.nodes[1].effects);
        perform(1);
        run_for(ROUTE_MS + 100);
        cr_assert_eq(net.nodes[1].done[100 + i].outcome, OVERLAY_OK, "%s",
                     net.nodes[1].done[100 + i].reason);
        cr_assert_eq(net.nodes[owner].delivered_count, before + 1);
    }
    end_network();
}

/* One use is counted by the member responsible for the invitation's point, which must be found. */
static struct test_invitation counted_by_honest(uint32_t contact, uint32_t *number)
{
    for (;;) {
        cr_assert_lt(*number, 2000);

        struct test_invitation invitation = make_invitation(++*number, net.wall_unix_s + 9999, 1);
        struct public_key key = keys_public(&invitation.key);
        struct ring_key point = {membership_invitation_id(&key)};

        if (is_ambushed(contact, &point)) {
            return invitation;
        }
    }
}

Test(liars, a_newcomer_is_let_in_past_liars_and_once, .timeout = 300)
{
    static const uint32_t contacts[] = {LIAR_EVERY - 1, 1};
    struct test_invitation invitation;
    uint32_t number = 100;

    make_lied_to();
    invitation = counted_by_honest(1, &number);
    cr_assert(is_liar(contacts[0]) && !is_liar(contacts[1]));
    start_node(add_node());
    join_through(COUNT, contacts, 2, &invitation, 1);
    run_for(8000);
    cr_assert_eq(net.nodes[COUNT].done[1].outcome, OVERLAY_OK, "%s",
                 net.nodes[COUNT].done[1].reason);
    start_node(add_node());
    join_node(COUNT + 1, 1, &invitation, 1);
    run_for(8000);
    cr_assert_eq(net.nodes[COUNT + 1].done[1].outcome, OVERLAY_REFUSED);
    cr_assert_str_eq(net.nodes[COUNT + 1].done[1].reason,
                     "the invitation has been used up (1 of 1)");
    end_network();
}

/* It answers the comparison with something else, once the newcomer is admitted. */
static void talk_nonsense(uint32_t from, minga_Message *message)
{
    if (from == 1 && message->which_kind == minga_Message_summary_reply_tag) {
        message->which_kind = minga_Message_pong_tag;
        message->kind.pong = (minga_Pong)minga_Pong_init_zero;
    }
}

Test(liars, a_contact_that_talks_nonsense_does_not_keep_a_newcomer_waiting_for_ever)
{
    static const uint32_t contacts[] = {1, 2};
    struct test_invitation invitation;

    make_members(3);
    invitation = make_invitation(7, net.wall_unix_s + 9999, 0);
    net.lie = talk_nonsense;
    start_node(add_node());
    join_through(3, contacts, 2, &invitation, 1);
    run_for(8000);
    cr_assert(net.nodes[3].done[1].ended);
    cr_assert_eq(net.nodes[3].done[1].outcome, OVERLAY_OK, "%s", net.nodes[3].done[1].reason);
    end_network();
}

static struct public_key invented_key;

/* Asked who somebody is, it names somebody else, at an address that it wants dialled. */
static void invent(uint32_t from, minga_Message *message)
{
    minga_Contacts *answer = &message->kind.contacts;

    (void)from;
    if (message->which_kind == minga_Message_contacts_tag) {
        answer->contacts_count = 1;
        answer->contacts[0] = (minga_Contact)minga_Contact_init_zero;
        memcpy(answer->contacts[0].node_key, invented_key.bytes, PUBLIC_KEY_BYTES);
        answer->contacts[0].addresses_count = 1;
        strcpy(answer->contacts[0].addresses[0], "192.0.2.1:80");
    }
}

Test(liars, whoever_was_not_asked_for_is_not_dialled, .timeout = 300)
{
    struct secret_key secret = test_key("invented", 0);
    struct overlay *overlay;
    struct overlay_event now;
    struct node_id invented;

    make_large(COUNT, PLACES);
    overlay = net.nodes[0].overlay;
    run_for(2000);
    invented_key = keys_public(&secret);
    invented = keys_node_id(&invented_key);
    net.lie = invent;
    now = now_event();
    net.nodes[0].effects.count = 0;
    overlay_named(overlay, &now, &(struct node_id){{{9, 9, 9}}}, &net.nodes[1].id,
                  &net.nodes[0].effects);
    cr_assert_eq(overlay->membership.is_part, true);
    perform(0);
    run_for(1000);
    cr_assert_gt(net.sent_count[minga_Message_who_tag], 0, "it was asked");
    cr_assert_null(contact_look(overlay, &invented));
    end_network();
}
