// SPDX-License-Identifier: GPL-3.0-or-later
/* One identity at two places, or with an older disk: what it signed twice. And a damaged disk. */
#include "network.h"
#include "overlay/state.h"

enum { NODES = 5, DOUBLE = 4 };

static void cut(uint32_t node, bool is_cut)
{
    for (uint32_t other = 0; other < NODES; other++) {
        net.is_cut[node][other] = is_cut && other != node;
        net.is_cut[other][node] = is_cut && other != node;
    }
}

/* It signs a record of another description, as it would of its own accord. */
static void describe(const char *label)
{
    struct overlay_event now = now_event();
    minga_NodeRecord description = net.nodes[DOUBLE].config.description;

    description.labels_count = 1;
    strcpy(description.labels[0], label);
    overlay_describe(net.nodes[DOUBLE].overlay, &now, &description, &net.nodes[DOUBLE].effects);
    perform(DOUBLE);
}

/* The next one, signed elsewhere by the same key, is told to `heard`. */
static void hear_of_double(uint32_t heard, const char *address)
{
    minga_NodeRecord record =
        overlay_member_by_id(net.nodes[heard].overlay, &net.nodes[DOUBLE].id)->record;
    minga_Signed envelope = minga_Signed_init_zero;
    minga_Message message;
    minga_Item *item = &message.kind.item;
    int length;

    record.sequence++;
    strcpy(record.addresses[0], address);
    cr_assert_eq(signed_make(minga_NodeRecord_fields, &record, PURPOSE_NODE,
                             &net.nodes[DOUBLE].config.node_key, &envelope),
                 0);
    message_init(&message, minga_Message_item_tag);
    item->kind = minga_ItemKind_ITEM_NODE;
    item->life = minga_Life_LIFE_ALIVE;
    length = signed_encode(&envelope, item->content.bytes, sizeof(item->content.bytes));
    cr_assert_gt(length, 0);
    item->content.size = (pb_size_t)length;
    for (uint32_t from = 0; from < DOUBLE; from++) {
        if (net.nodes[from].links[heard] != 0) {
            say_to(from, heard, &message);
        }
    }
}

Test(doubles, two_records_of_one_sequence_do_not_part_those_who_know_them)
{
    make_members(NODES);
    run_for(3000);
    for (uint32_t i = 0; i < 6; i++) { /* of some the double's stands, of some the own one */
        char address[32];
        char label[8];

        snprintf(address, sizeof(address), "10.9.9.%u:7400", i);
        snprintf(label, sizeof(label), "l%u", i);
        cut(i % 2, true);
        describe(label);
        hear_of_double(i % 2, address);
        run_for(500);
        cr_assert_str_eq(overlay_member_by_id(net.nodes[i % 2].overlay, &net.nodes[DOUBLE].id)
                             ->record.addresses[0],
                         address);
        cut(i % 2, false);
        run_for(8000);
        cr_assert(all_agree());
        for (uint32_t where = 0; where < NODES; where++) {
            const struct overlay_member *known =
                overlay_member_by_id(net.nodes[where].overlay, &net.nodes[DOUBLE].id);

            cr_assert_str_neq(known->record.addresses[0], address, "%u at %u", i, where);
            cr_assert_eq(known->state, MEMBER_UP, "%u at %u", i, where);
        }
    }
    end_network();
}

/* It is the first thing that is read, and no longer says which community it is of. */
static void damage_first(struct node *node)
{
    for (uint32_t i = node->blob_count; i > 0; i--) {
        struct stored_blob *blob = &node->blobs[i - 1];

        if (blob->kind == BLOB_ADMISSION) {
            struct stored_blob last = node->blobs[node->blob_count - 1];
            struct public_key community = keys_public(&net.community_key);
            uint8_t *key = memmem(blob->bytes, blob->length_bytes, community.bytes, 32);

            cr_assert_not_null(key);
            key[7] ^= 1;
            node->blobs[node->blob_count - 1] = *blob;
            *blob = last;
            return;
        }
    }
}

Test(doubles, a_damaged_admission_does_not_name_the_community)
{
    struct node *node = &net.nodes[DOUBLE];
    uint32_t refused_count = 0;

    make_members(NODES);
    run_for(3000);
    kill_node(DOUBLE, false);
    damage_first(node);
    node->overlay = overlay_new(&node->config);
    for (uint32_t i = node->blob_count; i > 0; i--) {
        struct stored_blob *blob = &node->blobs[i - 1];
        struct overlay_blob loaded = {
            blob->kind, blob->key, blob->number, {blob->bytes, blob->length_bytes}};

        refused_count += overlay_load(node->overlay, &loaded) < 0;
    }
    cr_assert_eq(refused_count, 1);
    end_network();
}

static void assert_one_answers(void)
{
    uint32_t least;
    uint32_t most;

    count_responsible(&least, &most);
    cr_assert_eq(least, 1, "some key has nobody");
    cr_assert_eq(most, 1, "some key has two");
}

/* Of two connections of one node the older one may be read later. */
Test(doubles, a_goodbye_that_comes_after_its_node_has_returned_means_nothing)
{
    struct overlay_event now;
    minga_Message late;
    uint8_t bytes[4096];
    struct overlay_effect effect = {.kind = OVERLAY_SEND};
    struct overlay *leaver;

    make_members(2);
    run_for(3000);
    leaver = net.nodes[1].overlay;
    message_init(&late, minga_Message_goodbye_tag);
    place_fill_goodbye(leaver, &late.kind.goodbye);
    now = now_event();
    overlay_goodbye(leaver, &now, 5, true, &net.nodes[1].effects);
    late.kind.goodbye.node_record.size = (pb_size_t)leaver->record_bytes;
    memcpy(late.kind.goodbye.node_record.bytes, leaver->record_encoded, leaver->record_bytes);
    perform(1);
    run_for(50);
    kill_node(1, false);
    run_for(500);
    start_node(1);
    run_for(3000);
    assert_one_answers();
    effect.message = (struct bytes){bytes, (size_t)message_encode(&late, bytes, sizeof(bytes))};
    carry(1, 0, &effect, true);
    for (uint32_t i = 0; i < 30; i++) {
        run_for(10);
        assert_one_answers();
    }
    end_network();
}

Test(doubles, after_lost_commits_epochs_go_on_past_those_that_may_have_been_used)
{
    uint8_t self[OVERLAY_SELF_BYTES] = {[6] = 0xff, [7] = 0xff};

    overlay_skip_epochs(self); /* by two stretches of 1024 */
    cr_assert_eq(self[5], 1);
    cr_assert_eq(self[6], 7);
    cr_assert_eq(self[7], 0xff);
}
