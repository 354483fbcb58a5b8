// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Many small communities through random faults: crashes, restarts, partitions, losses, a few at a
 * time; then a calm phase in which everything must converge. A failure prints its seed;
 * SWARM_SEED=N runs that one alone, SWARM_COUNT=N so many.
 */
#include "network.h"

enum { SWARM_NODES = 9, FAULTS = 25, SEEDS = 12, CALM_MS = 40000 };

static uint64_t acknowledged_sum; /* so that the test does not pass for want of writes */

static void apply_fault(void)
{
    uint32_t victim = (uint32_t)random_below(&net.random, net.node_count);

    switch (random_below(&net.random, 6)) {
    case 0:
    case 1:
        if (net.nodes[victim].running) {
            kill_node(victim, random_below(&net.random, 2) == 0);
        } else {
            start_node(victim);
        }
        break;
    case 2:
        net.nodes[victim].side = (uint32_t)random_below(&net.random, 3);
        break;
    case 3:
        for (uint32_t i = 0; i < net.node_count; i++) {
            net.nodes[i].side = (uint32_t)random_below(&net.random, 2);
        }
        break;
    case 4:
        net.loss_percent = (uint32_t)random_below(&net.random, 20);
        break;
    default:
        for (uint32_t i = 0; i < net.node_count; i++) {
            net.nodes[i].side = 0;
        }
        break;
    }
}

/* The sequence of the copy that a node has of the owner's record; 0 without one. */
static uint64_t known_sequence(uint32_t index, const struct public_key *owner)
{
    struct service_id service = keys_service_id(owner, "wiki");
    struct bytes here =
        overlay_record(net.nodes[index].overlay, &service, minga_RecordKind_RECORD_SERVICE, 0);
    minga_Signed envelope = minga_Signed_init_zero;
    minga_Record body = minga_Record_init_zero;

    if (here.length_bytes == 0) {
        return 0;
    }
    cr_assert_eq(signed_decode(here, &envelope), 0);
    cr_assert_eq(signed_open(&envelope, PURPOSE_RECORD, minga_Record_fields, &body), 0);
    return body.sequence;
}

/* Writes what follows on the writer's own copy; returns its sequence. */
static uint64_t write_record(uint64_t token)
{
    uint32_t writer = (uint32_t)random_below(&net.random, net.node_count);
    struct secret_key secret = test_key("owner", 0);
    struct public_key key = keys_public(&secret);
    struct overlay_event now = now_event();
    minga_Record body = minga_Record_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    uint8_t encoded[3328];
    int length;

    if (!net.nodes[writer].running) {
        return 0;
    }
    body.kind = minga_RecordKind_RECORD_SERVICE;
    memcpy(body.owner_key, key.bytes, 32);
    strcpy(body.name, "wiki");
    body.sequence = known_sequence(writer, &key) + 1;
    body.written_unix_s = net.now_ms; /* no two writes are the same */
    cr_assert_eq(signed_make(minga_Record_fields, &body, PURPOSE_RECORD, &secret, &envelope), 0);
    length = signed_encode(&envelope, encoded, sizeof(encoded));
    overlay_record_put(net.nodes[writer].overlay, &now, token,
                       (struct bytes){encoded, (size_t)length}, &net.nodes[writer].effects);
    perform(writer);
    return body.sequence;
}

/* The acknowledged writes of the owner must be there on every node at the end, or a later one. */
static void check_records(uint64_t acknowledged)
{
    struct secret_key secret = test_key("owner", 0);
    struct public_key key = keys_public(&secret);
    struct service_id service = keys_service_id(&key, "wiki");
    struct ring_key place = {service.id};
    struct node_id holders[RECORD_COPIES];
    uint32_t count;
    struct bytes first = {NULL, 0};

    if (acknowledged == 0) {
        return;
    }
    count = overlay_replica_set(net.nodes[0].overlay, &place, RECORD_COPIES, holders);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t holder = (uint32_t)find_node(&holders[i]);
        struct bytes here =
            overlay_record(net.nodes[holder].overlay, &service, minga_RecordKind_RECORD_SERVICE, 0);

        cr_assert_geq(known_sequence(holder, &key), acknowledged);
        cr_assert(i == 0 || bytes_equal(first, here));
        first = here;
    }
}

static uint64_t count_acknowledged(uint64_t *sequences, uint32_t count)
{
    uint64_t acknowledged = 0;

    for (uint32_t i = 0; i < net.node_count; i++) {
        for (uint32_t token = 10; token < 10 + count; token++) {
            const struct done *done = &net.nodes[i].done[token];

            if (done->ended && done->outcome == OVERLAY_OK &&
                sequences[token - 10] > acknowledged) {
                acknowledged = sequences[token - 10];
            }
        }
    }
    return acknowledged;
}

static void run_seed(uint64_t seed)
{
    uint64_t sequences[FAULTS] = {0};
    uint32_t least;
    uint32_t most;

    make_members(SWARM_NODES);
    random_init(&net.random, seed, "swarm");
    run_for(2000);
    for (uint32_t i = 0; i < FAULTS; i++) {
        apply_fault();
        sequences[i] = write_record(10 + i);
        run_for(random_below(&net.random, 6000));
    }
    net.loss_percent = 0;
    for (uint32_t i = 0; i < net.node_count; i++) {
        net.nodes[i].side = 0;
        if (!net.nodes[i].running) {
            start_node(i);
        }
    }
    run_for(CALM_MS);
    cr_assert(all_agree(), "seed %llu: views differ", (unsigned long long)seed);
    count_responsible(&least, &most);
    cr_assert_eq(least, 1, "seed %llu: a key has nobody", (unsigned long long)seed);
    cr_assert_eq(most, 1, "seed %llu: a key has two", (unsigned long long)seed);
    acknowledged_sum += count_acknowledged(sequences, FAULTS);
    check_records(count_acknowledged(sequences, FAULTS));
    end_network();
}

Test(swarm, after_any_faults_the_calm_brings_everyone_together, .timeout = 300)
{
    const char *one = getenv("SWARM_SEED");
    const char *many = getenv("SWARM_COUNT");
    uint64_t count = many == NULL ? SEEDS : strtoull(many, NULL, 10);

    if (one != NULL) {
        run_seed(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= count; seed++) {
        run_seed(seed);
    }
    cr_assert_gt(acknowledged_sum, 3 * count);
}
