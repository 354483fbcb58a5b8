// SPDX-License-Identifier: GPL-3.0-or-later
/* Members that lie about records do not have others' chunks deleted. */
#include "garbage.h"

enum { VERSIONS = 5, OLD_VERSION = 3, LIED_NODES = 16 };

static uint32_t liar; /* LIED_NODES: everyone */
static minga_RecordReply old_service;

/* As if it had kept a table of when version 3 was the last one. */
static void answer_from_an_old_table(uint32_t from, minga_Message *message)
{
    minga_RecordReply *reply = &message->kind.record_reply;
    struct record record;

    if (message->which_kind != minga_Message_record_reply_tag ||
        (from != liar && liar != LIED_NODES)) {
        return;
    }
    if (reply->record.size > 0 &&
        record_open((struct bytes){reply->record.bytes, reply->record.size}, &record) == 0) {
        if (record_kind(&record.key) == minga_RecordKind_RECORD_SERVICE) {
            *reply = old_service;
        } else if (record_number(&record.key) > OLD_VERSION) {
            reply->record.size = 0;
        }
    }
    reply->settled = true;
}

static void make_lied_to(struct chunk_id chunks[VERSIONS])
{
    struct service_id service = wiki();
    struct bytes old;

    make_members(LIED_NODES);
    run_for(2 * MINUTE_MS);
    for (uint8_t i = 1; i <= VERSIONS; i++) {
        char text[32];

        for (uint8_t k = 0; k < VERSIONS && i == VERSIONS; k++) {
            snprintf(text, sizeof(text), "chunk %u of the last", k);
            chunks[k] = push(text, i);
        }
        put_version(i, i);
        if (i == OLD_VERSION) {
            put_service(1, i, (uint64_t)i - 1, false);
            old =
                overlay_record(net.nodes[0].overlay, &service, minga_RecordKind_RECORD_SERVICE, 0);
            for (uint32_t k = 0; k < LIED_NODES && old.length_bytes == 0; k++) {
                old = overlay_record(net.nodes[k].overlay, &service,
                                     minga_RecordKind_RECORD_SERVICE, 0);
            }
            cr_assert_gt(old.length_bytes, 0);
            old_service.record.size = (pb_size_t)old.length_bytes;
            memcpy(old_service.record.bytes, old.data, old.length_bytes);
        }
    }
    put_service(2, VERSIONS, VERSIONS - 1, false);
    run_for(2 * MINUTE_MS);
    net.lie = answer_from_an_old_table;
}

static uint32_t responsible_for_it(void)
{
    struct ring_key key = {wiki().id};

    for (uint32_t i = 0; i < net.node_count; i++) {
        if (overlay_responsible(net.nodes[i].overlay, &key, net.now_ms)) {
            return i;
        }
    }
    cr_assert_fail("nobody");
    return 0;
}

Test(collect_liar, the_word_of_one_member_deletes_nothing)
{
    struct chunk_id chunks[VERSIONS];

    make_lied_to(chunks);
    liar = responsible_for_it();
    pass_hours(7);
    pass_hours(1);
    cr_assert_geq(fewest_holders(NULL, chunks, VERSIONS), CHUNK_COPIES);
    end_network();
}

Test(collect_liar, a_version_that_was_seen_does_not_die_of_an_older_service_record)
{
    struct chunk_id chunks[VERSIONS];

    make_lied_to(chunks);
    liar = LIED_NODES;
    pass_hours(7);
    pass_hours(1);
    cr_assert_geq(fewest_holders(NULL, chunks, VERSIONS), CHUNK_COPIES);
    end_network();
}
