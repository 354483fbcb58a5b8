// SPDX-License-Identifier: GPL-3.0-or-later
/* Symmetric placement: records of a large community have copies in several neighbourhoods. */
#include "large_community.h"
#include "owners.h"

enum { NODES = 24 };

static const struct ring_key *place_of(const struct service_id *service)
{
    static struct ring_key key;

    key.id = service->id;
    return &key;
}

static uint32_t responsible_for(const struct ring_key *key)
{
    for (uint32_t i = 0; i < NODES; i++) {
        if (net.nodes[i].running && overlay_responsible(net.nodes[i].overlay, key, net.now_ms)) {
            return i;
        }
    }
    cr_assert_fail("nobody answers for the key");
    return NODES;
}

static bool has_copy(uint32_t node, const struct service_id *service)
{
    return net.nodes[node].running &&
           overlay_record(net.nodes[node].overlay, service, minga_RecordKind_RECORD_SERVICE, 0)
                   .length_bytes > 0;
}

static uint32_t sequence_at(uint32_t node, const struct service_id *service)
{
    struct record_key key = record_key(service, minga_RecordKind_RECORD_SERVICE, 0);
    const struct record *record = records_find(&net.nodes[node].overlay->records, &key);

    return record == NULL ? 0 : (uint32_t)record->sequence;
}

/* How many of the neighbourhood `turn` have it, in the version of that sequence? */
static uint32_t copies_in(const struct service_id *service, uint32_t turn, uint32_t sequence)
{
    struct ring_key image = holders_image(place_of(service), turn);
    struct node_id holders[RECORD_COPIES];
    uint32_t count =
        holders_of(net.nodes[responsible_for(&image)].overlay, place_of(service), turn, holders);
    uint32_t found_count = 0;

    for (uint32_t i = 0; i < count; i++) {
        found_count += sequence_at((uint32_t)find_node(&holders[i]), service) == sequence;
    }
    return found_count;
}

static void kill_holders(const struct service_id *service)
{
    struct node_id holders[RECORD_COPIES];
    uint32_t owner = responsible_for(place_of(service));
    uint32_t count = holders_of(net.nodes[owner].overlay, place_of(service), 0, holders);

    cr_assert_eq(count, RECORD_COPIES);
    for (uint32_t i = 0; i < count; i++) {
        kill_node((uint32_t)find_node(&holders[i]), false);
    }
}

static uint32_t survivor(void)
{
    for (uint32_t i = 0; i < NODES; i++) {
        if (net.nodes[i].running) {
            return i;
        }
    }
    cr_assert_fail("nobody is left");
    return NODES;
}

Test(images, a_key_and_its_images_divide_the_ring_and_are_images_of_each_other)
{
    struct ring_key key = {{{0xf0, 1, 2}}};

    for (uint32_t turn = 0; turn < SYMMETRY; turn++) {
        struct ring_key image = holders_image(&key, turn);
        struct ring_key back = holders_image(&image, SYMMETRY - turn);

        cr_assert_eq(image.id.bytes[0], (uint8_t)(0xf0 + 64 * turn));
        cr_assert_eq(memcmp(&image.id.bytes[1], &key.id.bytes[1], ID_BYTES - 1), 0);
        cr_assert(id_equal(&back.id, &key.id));
    }
}

Test(images, in_a_small_community_there_are_none)
{
    struct service_id service = service_of(1, "wiki");

    make_members(12);
    run_for(3000);
    cr_assert_eq(put(1, 1, 1, "wiki", 1, "content")->outcome, OVERLAY_OK);
    run_for(60000);
    cr_assert_eq(count_copies(&service), RECORD_COPIES);
    end_network();
}

Test(images, a_write_reaches_every_neighbourhood_soon, .timeout = 300)
{
    struct service_id service = service_of(1, "wiki");

    make_large(NODES, NODES);
    cr_assert_eq(put(1, 2, 1, "wiki", 1, "content")->outcome, OVERLAY_OK);
    run_for(2000);
    cr_assert_eq(copies_in(&service, 0, 1), RECORD_COPIES);
    for (uint32_t turn = 1; turn < SYMMETRY; turn++) {
        cr_assert_eq(copies_in(&service, turn, 1), SYMMETRIC_COPIES, "neighbourhood %u", turn);
    }
    end_network();
}

Test(images, when_all_holders_of_a_neighbourhood_are_lost_at_once_the_others_have_it,
     .timeout = 300)
{
    struct service_id service = service_of(1, "wiki");
    uint32_t node;

    make_large(NODES, NODES);
    cr_assert_eq(put(1, 2, 1, "wiki", 1, "content")->outcome, OVERLAY_OK);
    cr_assert_eq(put(1, 3, 1, "wiki", 2, "more")->outcome, OVERLAY_OK);
    run_for(2000);
    kill_holders(&service);
    run_for(1000); /* nobody has taken the arc over */
    node = survivor();
    cr_assert_eq(get(node, 4, &service)->outcome, OVERLAY_OK);
    run_for(30000);
    cr_assert(has_copy(responsible_for(place_of(&service)), &service), "brought back");
    cr_assert_eq(put(node, 5, 1, "wiki", 1, "again")->outcome, OVERLAY_CONFLICT);
    cr_assert_eq(put(node, 6, 1, "wiki", 3, "next")->outcome, OVERLAY_OK);
    end_network();
}

/* Of a service: who takes its arc over when all holders are lost has no copy for another reason. */
static void find_name(char name_out[8])
{
    for (uint32_t i = 0; i < 1000; i++) {
        struct node_id nodes[RECORD_COPIES + 1];
        struct service_id service;
        uint32_t owner;

        (void)snprintf(name_out, 8, "wiki%u", i);
        service = service_of(1, name_out);
        owner = responsible_for(place_of(&service));
        cr_assert_eq(overlay_replica_set(net.nodes[owner].overlay, place_of(&service),
                                         RECORD_COPIES + 1, nodes),
                     RECORD_COPIES + 1);
        if (!holders_has_any(net.nodes[find_node(&nodes[RECORD_COPIES])].overlay,
                             place_of(&service), &nodes[RECORD_COPIES])) {
            return;
        }
    }
    cr_assert_fail("no such name");
}

static bool is_answered_for(const struct ring_key *key)
{
    for (uint32_t i = 0; i < NODES; i++) {
        if (net.nodes[i].running && overlay_responsible(net.nodes[i].overlay, key, net.now_ms)) {
            return true;
        }
    }
    return false;
}

Test(images, a_write_right_after_the_loss_of_a_neighbourhood_is_weighed_against_what_stood,
     .timeout = 300)
{
    struct service_id service;
    char name[8];

    make_large(NODES, NODES);
    find_name(name);
    service = service_of(1, name);
    cr_assert_eq(put(1, 2, 1, name, 1, "content")->outcome, OVERLAY_OK);
    run_for(2000);
    kill_holders(&service);
    for (uint32_t i = 0; i < 1000 && !is_answered_for(place_of(&service)); i++) {
        run_for(20);
    }
    cr_assert_not(has_copy(responsible_for(place_of(&service)), &service), "it was too late");
    cr_assert_eq(put(responsible_for(place_of(&service)), 5, 1, name, 1, "again")->outcome,
                 OVERLAY_CONFLICT);
    end_network();
}

Test(images, what_a_neighbourhood_missed_it_is_told_later, .timeout = 300)
{
    struct service_id service = service_of(1, "wiki");
    struct ring_key key = *place_of(&service);
    uint32_t far;

    make_large(NODES, NODES);
    cr_assert_eq(put(1, 2, 1, "wiki", 1, "content")->outcome, OVERLAY_OK);
    run_for(2000);
    key = holders_image(&key, 2);
    far = responsible_for(&key);
    if (holders_has(net.nodes[far].overlay, place_of(&service), 0, &net.nodes[far].id)) {
        cr_skip_test("one of the first neighbourhood");
    }
    for (uint32_t i = 0; i < NODES; i++) {
        net.is_cut[i][far] = net.is_cut[far][i] = i != far;
    }
    cr_assert_eq(put(1, 3, 1, "wiki", 2, "")->outcome, OVERLAY_OK, "a tombstone");
    run_for(6000);
    cr_assert_eq(sequence_at(far, &service), 1);
    memset(net.is_cut, 0, sizeof(net.is_cut));
    run_for(120000);
    for (uint32_t turn = 1; turn < SYMMETRY; turn++) {
        cr_assert_eq(copies_in(&service, turn, 2), SYMMETRIC_COPIES, "neighbourhood %u", turn);
    }
    end_network();
}
