// SPDX-License-Identifier: GPL-3.0-or-later
/* One operation on many keys: groups, the way over several hops, and offers of many chunks. */
#include "overlay/routing/bulk.h"

#include "network.h"

static struct node_id node_of(uint8_t number)
{
    return (struct node_id){{{number}}};
}

static struct bulk_key key_of(uint32_t number)
{
    struct bulk_key key = {.token = number};

    seed_of("bulk key", number, key.key.bytes);
    return key;
}

Test(bulk, keys_with_one_way_are_one_group_and_others_are_not_in_it)
{
    struct bulk *bulk = calloc(1, sizeof(*bulk));
    uint32_t counts[3] = {0};

    for (uint32_t i = 0; i < 30; i++) {
        struct node_id to = node_of((uint8_t)(1 + i % 3));
        struct bulk_key key = key_of(i);

        cr_assert(bulk_add(bulk, &to, &key, 100));
    }
    cr_assert_eq(bulk_wake(bulk), 100 + BULK_WAIT_MS);
    cr_assert_null(bulk_take(bulk, 100 + BULK_WAIT_MS - 1));
    for (uint32_t i = 0; i < 3; i++) {
        struct bulk_group *group = bulk_take(bulk, 100 + BULK_WAIT_MS);

        cr_assert_not_null(group);
        cr_assert_eq(group->count, 10);
        counts[group->to.id.bytes[0] - 1]++;
        for (uint32_t k = 0; k < group->count; k++) {
            cr_assert_eq(1 + group->keys[k].token % 3, group->to.id.bytes[0]);
        }
        cr_assert_eq(bulk_asked(bulk, bulk_number(bulk, group)), group);
    }
    cr_assert(counts[0] == 1 && counts[1] == 1 && counts[2] == 1);
    cr_assert_null(bulk_take(bulk, 1000));
    cr_assert_eq(bulk_wake(bulk), 0);
    free(bulk);
}

Test(bulk, a_full_group_goes_at_once_and_a_full_table_says_so)
{
    struct bulk *bulk = calloc(1, sizeof(*bulk));
    struct bulk_group *group;
    struct node_id to = node_of(1);

    for (uint32_t i = 0; i < BULK_KEYS_MAX; i++) {
        struct bulk_key key = key_of(i);

        cr_assert_null(bulk_take(bulk, 100));
        cr_assert(bulk_add(bulk, &to, &key, 100));
    }
    group = bulk_take(bulk, 100);
    cr_assert_eq(group->count, BULK_KEYS_MAX);
    for (uint32_t i = 1; i < BULK_GROUPS_MAX; i++) {
        struct node_id other = node_of((uint8_t)(1 + i));
        struct bulk_key key = key_of(i);

        cr_assert(bulk_add(bulk, &other, &key, 100));
    }
    cr_assert(!bulk_add(bulk, &to, &(struct bulk_key){.token = 1}, 100));
    cr_assert_eq(bulk_asked(bulk, BULK_GROUPS_MAX), NULL);
    bulk_end(group);
    cr_assert(bulk_add(bulk, &to, &(struct bulk_key){.token = 1}, 100));
    free(bulk);
}

/* --- over several hops: each node knows the ones 1, 2, 4, ... places ahead, as in Chord */

enum { PLACES = 128, HOPS_LOG2 = 7, OPERATION_KEYS = 64 };

static struct bulk *bulks; /* one of each node */
static uint32_t message_count;
static uint32_t reached_count[OPERATION_KEYS];

static uint32_t owner_of(const struct bulk_key *key)
{
    return key->key.bytes[5] % PLACES;
}

static void take_in(uint32_t self, const struct bulk_key *key)
{
    uint32_t ahead = (owner_of(key) + PLACES - self) % PLACES;
    uint32_t step = 1;
    struct node_id next;

    if (ahead == 0) {
        reached_count[key->token]++;
        return;
    }
    while (2 * step <= ahead) {
        step *= 2;
    }
    next = node_of((uint8_t)((self + step) % PLACES));
    cr_assert(bulk_add(&bulks[self], &next, key, 1));
}

/* All messages that are due go one hop. Returns whether there were any. */
static bool run_round(void)
{
    static struct bulk_group under_way[PLACES * 8];
    uint32_t count = 0;

    for (uint32_t i = 0; i < PLACES; i++) {
        struct bulk_group *group;

        while ((group = bulk_take(&bulks[i], 1000)) != NULL) {
            under_way[count++] = *group;
            bulk_end(group);
        }
    }
    message_count += count;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < under_way[i].count; k++) {
            take_in(under_way[i].to.id.bytes[0], &under_way[i].keys[k]);
        }
    }
    return count > 0;
}

Test(bulk, many_keys_over_many_hops_cost_fewer_messages_than_keys_times_log_n)
{
    uint32_t hop_count = 0;

    bulks = calloc(PLACES, sizeof(*bulks));
    for (uint32_t i = 0; i < OPERATION_KEYS; i++) {
        struct bulk_key key = key_of(i);

        hop_count += (uint32_t)__builtin_popcount((owner_of(&key) + PLACES - 9) % PLACES);
        take_in(9, &key);
    }
    while (run_round()) {
    }
    for (uint32_t i = 0; i < OPERATION_KEYS; i++) {
        cr_assert_eq(reached_count[i], 1, "key %u", i);
    }
    cr_assert_lt(message_count, OPERATION_KEYS * HOPS_LOG2);
    cr_assert_lt(message_count, hop_count / 2, "%u of %u one by one", message_count, hop_count);
    free(bulks);
}

/* --- what it is for: is all of a bundle held by enough members already? */

enum { BUNDLE_CHUNKS = 40 };

static void keep_chunk(uint32_t index, uint32_t number)
{
    struct node *node = &net.nodes[index];
    struct kept_chunk *chunk = &node->chunks[node->chunk_count++];
    struct overlay_event event = now_event();

    chunk->length_bytes = (size_t)snprintf((char *)chunk->bytes, 64, "chunk %u", number);
    chunk->id =
        (struct chunk_id){hash_of(HASH_CHUNK, (struct bytes){chunk->bytes, chunk->length_bytes})};
    event.kind = OVERLAY_CHUNK_STORED;
    event.chunk = chunk->id;
    event.chunk_bytes = chunk->length_bytes;
    overlay_step(node->overlay, &event, &node->effects);
    perform(index);
}

static void spread_all(uint32_t index, uint64_t first_token)
{
    struct overlay_event now = now_event();

    for (uint32_t i = 0; i < BUNDLE_CHUNKS; i++) {
        overlay_chunk_put(net.nodes[index].overlay, &now, first_token + i,
                          &(struct overlay_spread){.chunk = net.nodes[index].chunks[i].id},
                          &net.nodes[index].effects);
        perform(index);
    }
}

static uint32_t count_outcomes(uint32_t index, uint64_t first_token, enum overlay_outcome outcome)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < BUNDLE_CHUNKS; i++) {
        const struct done *done = &net.nodes[index].done[first_token + i];

        cr_assert(done->ended, "chunk %u", i);
        count += done->outcome == outcome;
    }
    return count;
}

static uint32_t offers_sent(void)
{
    return net.sent_count[minga_Message_chunk_offers_tag];
}

Test(bulk, a_bundle_is_offered_with_one_message_to_each_holder)
{
    make_members(6);
    run_for(5000);
    for (uint32_t i = 0; i < BUNDLE_CHUNKS; i++) {
        keep_chunk(1, i);
    }
    memset(net.sent_count, 0, sizeof(net.sent_count));
    spread_all(1, 10);
    run_for(3000);
    cr_assert_eq(count_outcomes(1, 10, OVERLAY_OK), BUNDLE_CHUNKS);
    cr_assert_leq(offers_sent(), 2 * 5);
    memset(net.sent_count, 0, sizeof(net.sent_count));
    spread_all(1, 100); /* the second push finds all there */
    run_for(100);
    cr_assert_eq(count_outcomes(1, 100, OVERLAY_OK), BUNDLE_CHUNKS);
    cr_assert_leq(offers_sent(), 5);
    cr_assert_eq(net.sent_count[minga_Message_chunk_data_tag], 0);
    end_network();
}

Test(bulk, each_key_has_its_own_result_when_holders_fail)
{
    uint32_t ok_count;

    make_members(6);
    run_for(5000);
    for (uint32_t i = 0; i < BUNDLE_CHUNKS; i++) {
        keep_chunk(1, i);
    }
    spread_all(1, 10);
    kill_node(4, false); /* with offers on their way to it */
    net.loss_percent = 20;
    run_for(30000);
    net.loss_percent = 0;
    run_for(60000);
    ok_count = count_outcomes(1, 10, OVERLAY_OK);
    cr_assert_geq(ok_count, BUNDLE_CHUNKS * 3 / 4, "%u", ok_count);
    end_network();
}
