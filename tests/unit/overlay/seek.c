// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/routing/seek.h"

#include "large_ring.h"

enum { DELAY_MS = 50, AWAITED_MAX = 64 };

static bool silent[NODES];
static bool lies[NODES];
static struct seek seek;
static struct seek_effects effects;
static uint64_t now_ms;
static struct { /* answers under way */
    uint64_t at_ms;
    uint32_t from;
} awaited[AWAITED_MAX];
static uint32_t awaited_count;
static uint32_t asks_total;
/* What some answer instead of the truth: these places. */
static struct {
    uint32_t from;
    uint32_t count;
    uint32_t contacts[SEEK_CONTACTS];
} stale[2];

static void start_world(void)
{
    begin();
    memset(stale, 0, sizeof(stale));
    memset(silent, 0, sizeof(silent));
    memset(lies, 0, sizeof(lies));
    memset(&seek, 0, sizeof(seek));
    now_ms = 1000;
    awaited_count = 0;
    asks_total = 0;
}

static uint32_t place_of(const struct ring_node *node)
{
    for (uint32_t i = 0; i < NODES; i++) {
        if (id_equal(&nodes[i].position.id, &node->position.id)) {
            return i;
        }
    }
    cr_assert_fail("a node that does not exist");
    return 0;
}

/* The first at or behind the key that is not silent, or that is honest. */
static uint32_t owner_of(const struct ring_key *key)
{
    for (uint32_t i = 0; i < NODES; i++) {
        if (id_compare(&key->id, &nodes[i].position.id) <= 0) {
            return i;
        }
    }
    return 0;
}

/* All liars act together: the nearest of them behind the key claims it, the others name liars. */
static void lie(uint32_t place, struct seek_answer *answer)
{
    uint32_t owner = owner_of(&seek.key);

    memset(answer, 0, sizeof(*answer));
    for (uint32_t i = 0; i < NODES && answer->contact_count < 4; i++) {
        uint32_t other = (owner + i) % NODES;

        if (lies[other]) {
            if (other == place && answer->contact_count == 0) {
                answer->owns = true;
                answer->has_arc = true;
                answer->from = nodes[(owner + NODES - 1) % NODES].position;
            }
            answer->contacts[answer->contact_count++] = nodes[other];
        }
    }
    answer->presumed = true;
    for (uint32_t i = 1; i < NODES && answer->contact_count < SEEK_CONTACTS_MAX; i++) {
        uint32_t other = (owner + NODES - i) % NODES;

        if (lies[other]) {
            answer->contacts[answer->contact_count++] = nodes[other];
        }
    }
}

static void answer_from(uint32_t place, struct seek_answer *answer)
{
    struct router router = router_at(place);

    for (uint32_t i = 0; i < 2; i++) {
        if (stale[i].count > 0 && stale[i].from == place) {
            memset(answer, 0, sizeof(*answer));
            answer->contact_count = stale[i].count;
            for (uint32_t k = 0; k < stale[i].count; k++) {
                answer->contacts[k] = nodes[stale[i].contacts[k]];
            }
            return;
        }
    }
    seek_fill_answer(&router, &seek.key, effects.contacts_wanted, answer);
}

static void perform(void)
{
    for (uint32_t i = 0; i < effects.ask_count; i++) {
        uint32_t place = place_of(&effects.asks[i]);

        asks_total++;
        if (!silent[place]) {
            cr_assert_lt(awaited_count, AWAITED_MAX);
            awaited[awaited_count].at_ms = now_ms + DELAY_MS;
            awaited[awaited_count++].from = place;
        }
    }
}

static void step(struct seek_event event)
{
    event.now_ms = now_ms;
    seek_step(&seek, &event, &effects);
    perform();
}

static void start(uint32_t from, struct ring_key key, uint32_t witness_count)
{
    struct router router = router_at(from);

    awaited_count = 0;
    step((struct seek_event){
        .kind = SEEK_START, .key = key, .router = &router, .witness_count = witness_count});
}

/* The next answer, or a tick when one is due before. */
static void go_on(void)
{
    struct seek_answer answer;
    uint32_t place;

    if (awaited_count == 0 || awaited[0].at_ms > effects.wake_ms) {
        cr_assert_geq(effects.wake_ms, now_ms);
        now_ms = effects.wake_ms > now_ms ? effects.wake_ms : now_ms + 1;
        step((struct seek_event){.kind = SEEK_TICK});
        return;
    }
    now_ms = awaited[0].at_ms;
    place = awaited[0].from;
    awaited_count--;
    memmove(&awaited[0], &awaited[1], awaited_count * sizeof(awaited[0]));
    if (lies[place]) {
        lie(place, &answer);
    } else {
        answer_from(place, &answer);
    }
    step((struct seek_event){.kind = SEEK_ANSWER, .node = nodes[place], .answer = &answer});
}

static void run(uint32_t from, struct ring_key key, uint32_t witness_count)
{
    start(from, key, witness_count);
    while (!effects.done) {
        go_on();
    }
}

TestSuite(seek, .init = start_world, .fini = end);

Test(seek, every_key_is_found_at_its_owner_with_a_path_that_leads_there)
{
    for (uint32_t i = 0; i < 2000; i++) {
        struct ring_key key = key_of(300000 + i);
        uint32_t owner = owner_of(&key);

        if (owner == i % NODES) {
            continue;
        }
        run(i % NODES, key, 0);
        cr_assert(seek.found);
        cr_assert_eq(place_of(&seek.owner), owner);
        cr_assert(id_equal(&seek.owner_from.id, &nodes[(owner + NODES - 1) % NODES].position.id));
        cr_assert_leq(seek.hop_count, 5);
        cr_assert(id_equal(&seek.path[seek.hop_count - 1].position.id, &seek.owner.position.id));
    }
}

Test(seek, the_first_time_out_asks_the_same_again_and_another_beside_it)
{
    struct ring_key key = nodes[150].position;
    uint64_t begun_ms = now_ms;

    fingers_init(&places[0].fingers, &nodes[0]);
    start(0, key, 0);
    cr_assert_eq(effects.ask_count, 1);
    silent[place_of(&effects.asks[0])] = true;
    awaited_count = 0;
    go_on();
    cr_assert_eq(now_ms, begun_ms + SEEK_PATIENCE_MS);
    cr_assert_eq(effects.ask_count, 2);
    while (!effects.done) {
        go_on();
    }
    cr_assert(seek.found);
    cr_assert_eq(place_of(&seek.owner), 150);
    cr_assert_lt(now_ms, begun_ms + SEEK_PATIENCE_MS + 6 * DELAY_MS + SEEK_PATIENCE_MS);
}

Test(seek, an_answer_that_nobody_asked_for_changes_nothing)
{
    struct seek_answer answer = {.owns = true, .has_arc = true};
    struct ring_key key = nodes[150].position;

    fingers_init(&places[0].fingers, &nodes[0]);
    start(0, key, 0);
    cr_assert_neq(place_of(&effects.asks[0]), 150);
    answer.from = nodes[149].position;
    step((struct seek_event){.kind = SEEK_ANSWER, .node = nodes[150], .answer = &answer});
    cr_assert(!effects.done);
}

Test(seek, a_claim_whose_arc_does_not_hold_the_key_is_none)
{
    struct seek_answer answer = {.owns = true, .has_arc = true};
    struct ring_key key = nodes[150].position;
    struct ring_node asked;

    fingers_init(&places[0].fingers, &nodes[0]);
    start(0, key, 0);
    asked = effects.asks[0];
    answer.from = asked.position;
    answer.from.id.bytes[ID_BYTES - 1]--;
    awaited_count = 0;
    step((struct seek_event){.kind = SEEK_ANSWER, .node = asked, .answer = &answer});
    cr_assert(!effects.done);
}

Test(seek, when_the_owner_is_silent_its_successor_is_asked_until_it_has_taken_over)
{
    struct ring_key key = nodes[150].position;

    silent[150] = true;
    start(0, key, 0);
    while (!effects.done && now_ms < 4000) {
        go_on();
    }
    cr_assert(!effects.done, "nobody answers for the key");
    places[151].ring.predecessors[0] = nodes[149];
    while (!effects.done) {
        go_on();
    }
    cr_assert(seek.found);
    cr_assert_eq(place_of(&seek.owner), 151);
    cr_assert_lt(now_ms, 4000 + 8 * SEEK_RETRY_MS + SEEK_PATIENCE_MS);
}

/* The link may have broken without anybody noticing: what was said on it was lost. */
static void owner_is_deaf_for_a_while(uint32_t witness_count)
{
    uint64_t begun_ms = now_ms;

    silent[150] = true;
    start(0, nodes[150].position, witness_count);
    while (now_ms < begun_ms + 4 * SEEK_PATIENCE_MS) {
        go_on();
    }
    cr_assert(!effects.done);
    silent[150] = false;
    while (!effects.done) {
        go_on();
    }
    cr_assert(seek.found);
    cr_assert_eq(place_of(&seek.owner), 150);
    cr_assert_lt(now_ms, begun_ms + 4 * SEEK_PATIENCE_MS + 2 * SEEK_RETRY_MS_MAX);
}

Test(seek, an_owner_that_did_not_answer_is_asked_again_later)
{
    owner_is_deaf_for_a_while(0);
    owner_is_deaf_for_a_while(SEEK_WITNESSES);
}

/* One near the key names only such as have died; others farther away know more. */
Test(seek, a_node_near_the_key_that_names_only_the_dead_does_not_end_the_way)
{
    enum { OWNER = 200, NEAR = 193, NEAR_HERE = 20 };
    uint64_t begun_ms = now_ms;

    places[0].fingers.count = NEAR_HERE;
    start(0, nodes[OWNER].position, 0);
    stale[0].from = awaited[0].from;
    stale[0].count = SEEK_CONTACTS;
    memcpy(stale[0].contacts, (uint32_t[]){NEAR, NEAR - 11, NEAR - 24, NEAR - 34},
           sizeof(stale[0].contacts));
    stale[1].from = NEAR;
    for (uint32_t i = NEAR + 1; i <= NEAR + SEEK_CONTACTS; i++) {
        silent[i] = true;
        stale[1].contacts[stale[1].count++] = i;
    }
    while (!effects.done) {
        go_on();
    }
    cr_assert(seek.found);
    cr_assert_eq(place_of(&seek.owner), OWNER);
    cr_assert_lt(now_ms, begun_ms + 8 * SEEK_PATIENCE_MS + SEEK_RETRY_MS_MAX);
}

Test(seek, one_whose_own_lease_is_gone_asks_others_and_never_itself)
{
    struct ring_key key = nodes[0].position;

    places[0].ring.lease_ms = 0;
    start(0, key, 0);
    for (uint32_t i = 0; i < 200 && !effects.done; i++) {
        for (uint32_t k = 0; k < effects.ask_count; k++) {
            cr_assert_neq(place_of(&effects.asks[k]), 0);
        }
        go_on();
    }
    cr_assert_gt(asks_total, 0);
    cr_assert(!seek.found, "nobody answers for it");
}

Test(seek, everyone_silent_ends_at_the_deadline)
{
    uint64_t begun_ms = now_ms;

    memset(silent, true, sizeof(silent));
    run(0, nodes[150].position, 0);
    cr_assert(!seek.found);
    cr_assert_eq(now_ms, begun_ms + SEEK_DEADLINE_MS);
    cr_assert_leq(asks_total, SEEK_ASKS_MAX);
    begun_ms = now_ms;
    run(0, nodes[150].position, SEEK_WITNESSES);
    cr_assert(!seek.found);
    cr_assert_eq(now_ms, begun_ms + SEEK_DEADLINE_MS);
}

/* The share of right answers, in permille, for keys with an honest owner. */
static uint32_t right_permille(uint32_t witness_count, uint32_t *asks_out)
{
    uint32_t right_count = 0;
    uint32_t count = 0;

    asks_total = 0;
    for (uint32_t i = 0; i < 600; i++) {
        struct ring_key key = key_of(400000 + i);
        uint32_t owner = owner_of(&key);
        uint32_t from = (i * 7) % NODES;

        if (lies[owner] || lies[from] || from == owner) {
            continue;
        }
        run(from, key, witness_count);
        count++;
        right_count += seek.found && place_of(&seek.owner) == owner;
    }
    *asks_out = asks_total / count;

    return right_count * 1000 / count;
}

Test(seek, a_fifth_of_all_lying_together_is_seen_through_by_a_careful_look_up)
{
    uint32_t asks;

    for (uint32_t i = 0; i < NODES; i++) {
        lies[i] = key_of(500000 + i).id.bytes[0] < 51;
    }
    cr_assert_lt(right_permille(0, &asks), 900, "the liars do harm");
    cr_assert_geq(right_permille(SEEK_WITNESSES, &asks), 990);
    cr_assert_leq(asks, 25);
}

Test(seek, a_careful_look_up_among_the_honest_is_right_and_not_dear)
{
    uint32_t asks;

    cr_assert_eq(right_permille(SEEK_WITNESSES, &asks), 1000);
    cr_assert_leq(asks, 18);
}

Test(seek, made_up_contacts_do_not_keep_the_owner_from_being_found)
{
    struct ring_key key = nodes[150].position;
    struct seek_answer answer = {.presumed = true, .contact_count = SEEK_CONTACTS_MAX};
    struct ring_node first;

    start(0, key, SEEK_WITNESSES);
    first = effects.asks[0];
    for (uint32_t i = 0; i < SEEK_CONTACTS_MAX; i++) {
        answer.contacts[i].position = key;
        answer.contacts[i].position.id.bytes[ID_BYTES - 1]++;
        answer.contacts[i].position.id.bytes[ID_BYTES - 2] = (uint8_t)i;
        answer.contacts[i].node.id.bytes[0] = (uint8_t)i;
    }
    seek_step(&seek,
              &(struct seek_event){
                  .kind = SEEK_ANSWER, .now_ms = now_ms, .node = first, .answer = &answer},
              &effects);
    while (!effects.done) {
        now_ms += 10;
        for (uint32_t i = 0; i < effects.ask_count; i++) {
            cr_assert_lt(awaited_count, AWAITED_MAX);
        }
        if (awaited_count > 0) {
            struct router router = router_at(awaited[0].from);

            seek_fill_answer(&router, &key, SEEK_CONTACTS_MAX, &answer);
            first = nodes[awaited[0].from];
            awaited_count--;
            memmove(&awaited[0], &awaited[1], awaited_count * sizeof(awaited[0]));
            seek_step(&seek,
                      &(struct seek_event){
                          .kind = SEEK_ANSWER, .now_ms = now_ms, .node = first, .answer = &answer},
                      &effects);
        } else {
            seek_step(&seek, &(struct seek_event){.kind = SEEK_TICK, .now_ms = now_ms}, &effects);
        }
        for (uint32_t i = 0; !effects.done && i < effects.ask_count; i++) {
            for (uint32_t k = 0; k < NODES; k++) {
                if (id_equal(&nodes[k].position.id, &effects.asks[i].position.id)) {
                    awaited[awaited_count++].from = k;
                }
            }
        }
    }
    cr_assert(seek.found);
    cr_assert_eq(place_of(&seek.owner), 150);
}
