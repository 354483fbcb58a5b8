// SPDX-License-Identifier: GPL-3.0-or-later
/* Garbage among chunks: what no version needs goes, and nothing else does. */
#include "garbage.h"

enum { NODES = 5, NODES_MANY = 24 };

static void restart_all(void)
{
    for (uint32_t i = 0; i < net.node_count; i++) {
        kill_node(i, false);
    }
    for (uint32_t i = 0; i < net.node_count; i++) {
        start_node(i);
    }
    run_for(5000);
}

Test(collect, what_is_current_fallback_or_pushed_since_stays_and_the_rest_goes)
{
    struct chunk_id only[6];
    struct chunk_id shared;

    make_members(NODES);
    run_for(2 * MINUTE_MS); /* all have taken their positions */
    for (uint8_t i = 1; i <= 5; i++) {
        char text[32];

        snprintf(text, sizeof(text), "version %u", i);
        only[i] = push(text, i);
        shared = push("in all of them", i);
        put_version(i, i);
    }
    put_service(1, 3, 2, false);
    pass_hours(2);
    for (uint8_t i = 2; i <= 5; i++) {
        cr_assert_geq(count_holders(&only[i]), CHUNK_COPIES, "version %u", i);
    }
    pass_hours(24); /* nobody has ever seen version 1 in use */
    cr_assert_eq(count_holders(&only[1]), 0);
    put_service(2, 4, 3, false);
    pass_hours(14);
    cr_assert_eq(count_holders(&only[2]), 0);
    for (uint8_t i = 3; i <= 5; i++) {
        cr_assert_geq(count_holders(&only[i]), CHUNK_COPIES, "version %u", i);
    }
    cr_assert_geq(count_holders(&shared), CHUNK_COPIES);
    end_network();
}

Test(collect, a_removed_service_goes_also_after_a_restart)
{
    struct chunk_id chunk;

    make_members(NODES);
    run_for(2 * MINUTE_MS); /* all have taken their positions */
    chunk = push("to be removed", 1);
    put_version(1, 1);
    put_service(1, 1, 0, false);
    run_for(10 * MINUTE_MS);
    put_service(2, 1, 0, true);
    restart_all();
    cr_assert_geq(count_holders(&chunk), CHUNK_COPIES);
    pass_hours(2);
    pass_hours(8);
    cr_assert_eq(count_holders(&chunk), 0);
    end_network();
}

Test(collect, a_push_under_way_keeps_what_it_needs_of_a_service_that_was_removed)
{
    struct chunk_id chunk;

    make_members(NODES);
    run_for(2 * MINUTE_MS); /* all have taken their positions */
    chunk = push("removed and pushed again", 1);
    put_version(1, 1);
    put_service(1, 1, 0, false);
    run_for(3 * MINUTE_MS);
    put_service(2, 1, 0, true);
    for (uint32_t i = 0; i < 12; i++) {
        pass_hours(1);
        (void)push("removed and pushed again", 1);
        cr_assert_geq(count_holders(&chunk), CHUNK_COPIES, "after %u hours", i + 1);
    }
    end_network();
}

Test(collect, what_was_dropped_can_be_pushed_again_at_once)
{
    struct chunk_id chunk;

    make_members(NODES);
    run_for(2 * MINUTE_MS); /* all have taken their positions */
    chunk = push("comes back", 1);
    put_version(1, 1);
    put_service(1, 1, 0, false);
    run_for(10 * MINUTE_MS);
    put_service(2, 1, 0, true);
    pass_hours(9);
    cr_assert_eq(count_holders(&chunk), 0);
    (void)push("comes back", 1);
    cr_assert_geq(count_holders(&chunk), CHUNK_COPIES);
    put_service(3, 1, 0, false);
    pass_hours(9);
    cr_assert_geq(count_holders(&chunk), CHUNK_COPIES);
    end_network();
}

Test(collect, a_push_that_failed_is_gone_after_a_day_and_one_in_a_split_is_not)
{
    struct chunk_id chunk;

    make_members(NODES);
    run_for(2 * MINUTE_MS); /* all have taken their positions */
    chunk = push("never finished", 1);
    for (uint32_t i = 1; i < 4; i++) {
        net.nodes[i].side = 1; /* three of five are out of sight: silence proves nothing */
    }
    pass_hours(26);
    cr_assert(overlay_has_chunk(net.nodes[0].overlay, &chunk));
    for (uint32_t i = 1; i < 4; i++) {
        net.nodes[i].side = 0;
    }
    run_for(5 * MINUTE_MS);
    for (uint32_t i = 0; i < 5; i++) {
        pass_hours(7);
    }
    cr_assert_eq(count_holders(&chunk), 0);
    end_network();
}

/* ------------------------------------------------------------------ what is shown of it */

static struct overlay_stock_line lines[OVERLAY_STOCK_LINES_MAX];

static const struct overlay_stock_line *line_at(uint32_t index)
{
    struct overlay_stock stock;

    overlay_stock(net.nodes[index].overlay, &stock, lines);
    for (uint32_t i = 0; i < OVERLAY_STOCK_LINES_MAX; i++) {
        if (lines[i].used) {
            return &lines[i];
        }
    }
    return NULL;
}

static uint32_t count_confirmed(uint32_t copies)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < net.node_count; i++) {
        const struct overlay_stock_line *line = line_at(i);

        count += line == NULL || (line->is_confirmed && strcmp(line->name, "wiki") == 0 &&
                                  line->version == 1 && line->copies_least >= copies)
                     ? 1
                     : 0;
    }
    return count;
}

/* Is this node one of its homes? */
static bool lives_at(const struct chunk_id *chunk, uint32_t node)
{
    return chunk_is_home(net.nodes[0].overlay, chunk, &net.nodes[node].id);
}

typedef bool is_wanted_function(const struct chunk_id *chunk);

/* Pushes so many that live where it is wanted (NULL: anywhere). */
static void push_wanted(is_wanted_function *is_wanted, struct chunk_id *chunks_out, uint32_t count)
{
    uint32_t found = 0;

    for (uint32_t number = 0; found < count; number++) {
        struct chunk_id chunk;
        char text[32];

        snprintf(text, sizeof(text), "chunk number %u", number);
        chunk = (struct chunk_id){hash_of(HASH_CHUNK, bytes_of_text(text))};
        cr_assert_lt(number, 100000, "there are none");
        if (is_wanted == NULL || is_wanted(&chunk)) {
            chunks_out[found++] = push(text, 1);
        }
    }
}

/* Who has to compare chunks with whom, as it is before any push. */
static bool partners[NODES_MANY][NODES_MANY];

static void find_partners(void)
{
    memset(partners, 0, sizeof(partners));
    for (uint32_t number = 0; number < 1000; number++) {
        struct chunk_id chunk = {{{(uint8_t)(number % 256), (uint8_t)(number / 4)}}};

        for (uint32_t i = 0; i < NODES_MANY; i++) {
            for (uint32_t k = 0; lives_at(&chunk, i) && k < NODES_MANY; k++) {
                partners[i][k] = partners[i][k] || (k != i && lives_at(&chunk, k));
            }
        }
    }
}

static int place_of(uint32_t node, uint32_t of)
{
    return membership_find(&net.nodes[node].overlay->membership, &net.nodes[of].id);
}

/* Does it have more partners than are asked after a push, and this one behind those? */
static bool is_late(uint32_t node, uint32_t partner)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < NODES_MANY; i++) {
        count += partners[node][i] && place_of(node, i) < place_of(node, partner) ? 1 : 0;
    }
    return count >= REPAIR_PUSHED_MAX;
}

static bool lives_with_a_late_partner(const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < NODES_MANY; i++) {
        for (uint32_t k = 0; lives_at(chunk, i) && k < NODES_MANY; k++) {
            if (k != i && lives_at(chunk, k) && is_late(i, k)) {
                return true;
            }
        }
    }
    return false;
}

static void expect_known_within_seconds(is_wanted_function *is_wanted)
{
    const struct overlay_stock_line *line;
    struct chunk_id chunks[6];

    make_members(NODES_MANY); /* more than hold a record */
    run_for(2 * MINUTE_MS);   /* all have taken their positions */
    find_partners();
    push_wanted(is_wanted, chunks, 6);
    line = line_at(0);
    cr_assert(line != NULL && line->copies_least >= CHUNK_COPIES, "all that acknowledged have it");
    cr_assert(line != NULL && !line->is_confirmed);
    put_service(1, 0, 0, false);
    put_version(1, 1);
    run_for(8000);
    cr_assert_eq(count_confirmed(1), NODES_MANY, "%u", count_confirmed(1));
    run_for(6000);
    cr_assert_eq(count_confirmed(CHUNK_COPIES), NODES_MANY, "%u", count_confirmed(CHUNK_COPIES));
    end_network();
}

Test(collect, whose_a_push_is_and_how_many_have_it_is_known_within_seconds)
{
    expect_known_within_seconds(NULL);
}

Test(collect, it_is_known_as_soon_to_homes_with_many_partners)
{
    expect_known_within_seconds(lives_with_a_late_partner);
}

static void expect_copies(uint32_t least, uint32_t most)
{
    for (uint32_t i = 0; i < net.node_count; i++) {
        const struct overlay_stock_line *line = net.nodes[i].running ? line_at(i) : NULL;

        cr_assert(line == NULL || (line->copies_least >= least && line->copies_least <= most),
                  "node %u shows %u of %u to %u", i, line->copies_least, least, most);
    }
}

/* Homes compare with one of the others a minute, whoever is drawn. */
static void run_until_shown(uint32_t least)
{
    uint32_t behind_count = 1;

    for (uint32_t i = 0; i < 60 && behind_count > 0; i++) {
        behind_count = 0;
        run_for(MINUTE_MS);
        for (uint32_t k = 0; k < net.node_count; k++) {
            const struct overlay_stock_line *line = net.nodes[k].running ? line_at(k) : NULL;

            behind_count += line != NULL && line->copies_least < least ? 1 : 0;
        }
    }
}

/* What a node shows is of the chunks that it has itself. */
static void expect_no_more_than_there_are(const struct chunk_id *chunks, uint32_t count)
{
    for (uint32_t i = 0; i < net.node_count; i++) {
        const struct overlay_stock_line *line = net.nodes[i].running ? line_at(i) : NULL;
        uint32_t fewest = line == NULL ? 0 : fewest_holders(&net.nodes[i], chunks, count);

        cr_assert(line == NULL || line->copies_least <= fewest, "node %u shows %u of %u", i,
                  line->copies_least, fewest);
    }
}

/* Who keeps a chunk in place of a full member is known to its homes; where it was pushed as well, if
 * that is one of them. */
static bool is_known_to_the_pusher(const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < net.node_count; i++) {
        if (net.nodes[i].disk_full && lives_at(chunk, i)) {
            return lives_at(chunk, 0);
        }
    }
    return true;
}

static bool lives_at_0_and_3(const struct chunk_id *chunk)
{
    return lives_at(chunk, 0) && lives_at(chunk, 3);
}

Test(collect, who_keeps_a_chunk_in_place_of_a_disk_that_fails_is_counted_at_once)
{
    const struct overlay_stock_line *line;
    struct chunk_id chunk;

    make_members(6);
    run_for(2 * MINUTE_MS);
    net.nodes[3].disk_full = true; /* it has said so to nobody yet */
    push_wanted(lives_at_0_and_3, &chunk, 1);
    cr_assert_eq(count_holders(&chunk), CHUNK_COPIES);
    line = line_at(0);
    cr_assert(line != NULL && line->copies_least == 2, "not compared with the third yet");
    end_network();
}

Test(collect, who_keeps_a_chunk_in_place_of_a_full_member_is_counted)
{
    struct chunk_id chunks[16];

    make_members(6);
    run_for(2 * MINUTE_MS);
    net.nodes[3].disk_full = true;
    push_wanted(is_known_to_the_pusher, chunks, 16);
    run_for(10 * MINUTE_MS);
    run_until_shown(CHUNK_COPIES);
    cr_assert_geq(fewest_holders(NULL, chunks, 16), CHUNK_COPIES);
    expect_copies(CHUNK_COPIES, 6);
    kill_node(1, false); /* it stands in for some */
    run_for(5000);
    for (uint32_t i = 0; i < 300; i++) {
        run_for(1000);
        expect_copies(1, 6);
        expect_no_more_than_there_are(chunks, 16);
    }
    expect_copies(2, 6);
    net.nodes[3].disk_full = false;
    start_node(1);
    run_for(20 * MINUTE_MS);
    run_until_shown(CHUNK_COPIES);
    expect_copies(CHUNK_COPIES, 6);
    expect_no_more_than_there_are(chunks, 16);
    end_network();
}

/* Both full members are homes of the chunk: does the third one count those in their places? */
static bool is_counted_at_its_home(const struct chunk_id *chunk)
{
    for (uint32_t i = 0; i < net.node_count; i++) {
        const struct overlay *overlay = net.nodes[i].overlay;
        const struct chunk *here =
            net.nodes[i].running ? chunks_find(&overlay->chunks, chunk) : NULL;

        if (here != NULL && chunk_is_home(overlay, chunk, &net.nodes[i].id) &&
            chunk_is_home(overlay, chunk, &net.nodes[3].id) &&
            chunk_is_home(overlay, chunk, &net.nodes[4].id)) {
            return here->stand_ins[0] != 0 && here->stand_ins[1] != 0 &&
                   here->stand_ins[0] != here->stand_ins[1];
        }
    }
    return true; /* another one's */
}

Test(collect, each_of_two_full_members_has_somebody_in_its_place)
{
    struct chunk_id chunks[16];

    make_members(7);
    run_for(2 * MINUTE_MS);
    net.nodes[3].disk_full = true;
    net.nodes[4].disk_full = true;
    push_wanted(is_known_to_the_pusher, chunks, 16);
    run_for(10 * MINUTE_MS);
    cr_assert_geq(fewest_holders(NULL, chunks, 16), CHUNK_COPIES);
    for (uint32_t i = 0; i < 16; i++) {
        cr_assert(is_counted_at_its_home(&chunks[i]), "chunk %u", i);
    }
    kill_node(1, false); /* it stands in for some */
    for (uint32_t i = 0; i < 120; i++) {
        run_for(1000);
        expect_copies(1, 6);
        expect_no_more_than_there_are(chunks, 16);
    }
    end_network();
}

Test(collect, a_push_whose_record_comes_later_is_known_half_a_minute_after)
{
    make_members(14);
    run_for(5000);
    (void)push("only one", 1);
    run_for(10000); /* looked for, and not there yet */
    put_service(1, 0, 0, false);
    put_version(1, 1);
    run_for(40000);
    cr_assert_eq(count_confirmed(1), 14);
    end_network();
}

static void expect_common_copies(const struct chunk_id *chunk, uint32_t count_min)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < net.node_count; i++) {
        const struct chunk *here =
            net.nodes[i].running ? chunks_find(&net.nodes[i].overlay->chunks, chunk) : NULL;

        cr_assert(here == NULL || here->is_common, "node %u may take it for garbage", i);
        count += here != NULL ? 1 : 0;
    }
    cr_assert_geq(count, count_min);
}

Test(collect, what_more_trees_need_than_can_be_noted_is_kept_for_good_in_every_copy)
{
    struct overlay_event lost;
    struct chunk_id chunk = {0};
    uint32_t holder = 1;

    make_members(NODES);
    run_for(2 * MINUTE_MS);
    for (uint8_t tree = 1; tree <= CHUNK_REFERENCES_MAX + 1; tree++) {
        chunk = push("in all of them", tree);
    }
    run_for(2 * MINUTE_MS);
    expect_common_copies(&chunk, CHUNK_COPIES);
    while (!overlay_has_chunk(net.nodes[holder].overlay, &chunk)) {
        holder++;
    }
    lost = now_event();
    lost.kind = OVERLAY_CHUNK_ABSENT;
    lost.chunk = chunk;
    overlay_step(net.nodes[holder].overlay, &lost, &net.nodes[holder].effects);
    perform(holder);
    run_for(MINUTE_MS);
    cr_assert(overlay_has_chunk(net.nodes[holder].overlay, &chunk), "not fetched again");
    expect_common_copies(&chunk, CHUNK_COPIES);
    lost = now_event();
    state_enter(net.nodes[holder].overlay, lost.now_ms, lost.wall_unix_s,
                &net.nodes[holder].effects);
    collect_forget(net.nodes[holder].overlay, &chunk); /* as after a wiped disk */
    state_leave(net.nodes[holder].overlay);
    perform(holder);
    run_for(5 * MINUTE_MS);
    cr_assert(overlay_has_chunk(net.nodes[holder].overlay, &chunk), "not brought by another");
    expect_common_copies(&chunk, CHUNK_COPIES);
    end_network();
}

/* ------------------------------------------------------------------ by two ways at once */

/* Node 0 offers node 1 a chunk of the tree, or sends it. */
static minga_ChunkAnswer offer(const struct chunk_id *chunk, const char *text, uint8_t tree)
{
    struct overlay *overlay = net.nodes[1].overlay;
    struct overlay_event now = now_event();
    struct tree_id named = tree_of(tree);
    struct service_id service = wiki();
    minga_ChunkOffer offered = {.bytes = (uint32_t)strlen(text), .references = 1};
    minga_Message message;
    struct arrival arrival = {.message = &message, .asker.node = net.nodes[0].id};
    minga_ChunkAnswer answer;

    message_init(&message, minga_Message_chunk_offers_tag);
    message.kind.chunk_offers.named_count = 1;
    message_put_id(message.kind.chunk_offers.named[0].service, &service.id);
    message_put_id(message.kind.chunk_offers.named[0].tree, &named.id);
    message_put_id(offered.chunk, &chunk->id);
    state_enter(overlay, now.now_ms, now.wall_unix_s, &net.nodes[1].effects);
    answer = chunk_receive_judge(overlay, &arrival, &offered);
    state_leave(overlay);
    perform(1);
    return answer;
}

static void send_data(const struct chunk_id *chunk, const char *text)
{
    struct overlay *overlay = net.nodes[1].overlay;
    struct overlay_event now = now_event();
    minga_Message message;
    struct arrival arrival = {
        .message = &message, .asker.node = net.nodes[0].id, .data = bytes_of_text(text)};

    message_init(&message, minga_Message_chunk_data_tag);
    message_put_id(message.kind.chunk_data.chunk, &chunk->id);
    state_enter(overlay, now.now_ms, now.wall_unix_s, &net.nodes[1].effects);
    chunk_receive_on_data(overlay, &arrival);
    state_leave(overlay);
    perform(1);
}

Test(collect, a_pushed_chunk_that_has_come_by_another_way_is_noted_for_whom)
{
    static const char text[] = "fetched for another service";
    struct chunk_id chunk = {hash_of(HASH_CHUNK, bytes_of_text(text))};
    const struct chunks *chunks;

    make_members(2);
    run_for(5000);
    chunks = &net.nodes[1].overlay->chunks;
    cr_assert_eq(offer(&chunk, text, 7), minga_ChunkAnswer_CHUNK_SEND);
    (void)keep_text(1, text);
    cr_assert_eq(chunks_find(chunks, &chunk)->reference_count, 0);
    send_data(&chunk, text);
    cr_assert(net.nodes[1].overlay->chunk_receives[0].used, "not before it is durable");
    cr_assert_eq(chunks_find(chunks, &chunk)->reference_count, 1);
    run_for(100);
    cr_assert_not(net.nodes[1].overlay->chunk_receives[0].used);
    end_network();
}
