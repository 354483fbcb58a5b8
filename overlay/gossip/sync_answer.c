// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Anti-entropy, the answering side: walks a page of somebody else's sorted list along the own one, sends
 * what is newer here, and names what it wants. Without state: any number of members may ask.
 */
#include <string.h>

#include "overlay/state.h"

struct comparison {
    struct overlay *overlay;
    const struct arrival *arrival;
    const minga_Summary *summary;
    minga_SummaryReply *answer;
    uint32_t sent_count;
    struct section section;
};

static void send_item(struct comparison *comparison, const minga_Entry *entry)
{
    minga_Message message;
    struct asker asker = comparison->arrival->asker;

    if (section_message(comparison->overlay, comparison->summary->section, entry, &message)) {
        asker.request = 0;
        peer_reply(comparison->overlay, &asker, &message, NULL);
        comparison->sent_count++;
    }
}

static int compare_entries(const minga_Entry *a, const minga_Entry *b)
{
    int order = memcmp(a->id, b->id, ID_BYTES);

    if (order != 0) {
        return order;
    }
    return a->number < b->number ? -1 : a->number > b->number;
}

/* Two node records with one sequence: the version of either may be higher for the death it tells. */
static bool are_two_of_one_sequence(const minga_Entry *ours, const minga_Entry *theirs)
{
    return ours->version != 0 && ours->version >> 1 == theirs->version >> 1 &&
           ours->check != theirs->check;
}

/* Both have it: whoever has the older one gets the other. Equal sequence: lower hash stands. */
static void weigh(struct comparison *comparison, const minga_Entry *ours, uint32_t their_index)
{
    const minga_Entry *theirs = &comparison->summary->entries[their_index];
    bool ours_newer = ours->version != theirs->version ? ours->version > theirs->version
                                                       : ours->check < theirs->check;

    bool are_torn = comparison->summary->section == minga_SyncSection_SYNC_NODES &&
                    are_two_of_one_sequence(ours, theirs);

    if (ours->version == theirs->version && ours->check == theirs->check) {
        return;
    }
    if (ours_newer || are_torn) {
        send_item(comparison, ours);
    }
    if (!ours_newer || are_torn) {
        comparison->answer->wanted[comparison->answer->wanted_count++] = their_index;
    }
}

static void set_resume(minga_SummaryReply *answer, const minga_Entry *entry)
{
    answer->has_resume = true;
    memcpy(answer->resume.id, entry->id, ID_BYTES);
    answer->resume.number = entry->number;
}

/* Puts one entry of both sorted lists aside: ours when it comes first, else theirs. */
static void compare_one(struct comparison *comparison, const minga_Entry *ours, int order,
                        pb_size_t *next)
{
    const minga_Summary *summary = comparison->summary;

    if (order < 0) {
        if (section_for_peer(comparison->overlay, &comparison->section, ours)) {
            send_item(comparison, ours);
        }
        set_resume(comparison->answer, ours);
        return;
    }
    if (order == 0) {
        weigh(comparison, ours, *next);
    } else if (section_wants(comparison->overlay, summary->section, &summary->entries[*next])) {
        comparison->answer->wanted[comparison->answer->wanted_count++] = *next;
    }
    set_resume(comparison->answer, &summary->entries[*next]);
    (*next)++;
}

/* Walks both sorted lists together up to the end of the page. Returns whether it got there. */
static bool compare_page(struct comparison *comparison)
{
    const minga_Summary *summary = comparison->summary;
    struct record_key after = {{message_id(summary->after.id)}, summary->after.number};
    bool has_after = summary->has_after;
    pb_size_t next = 0;

    while (comparison->sent_count < SYNC_ITEMS_MAX) {
        minga_Entry ours;
        bool have = section_next(comparison->overlay, &comparison->section,
                                 has_after ? &after : NULL, &ours);
        const minga_Entry *theirs = next < summary->entries_count ? &summary->entries[next] : NULL;
        int order = theirs == NULL ? -1 : (have ? compare_entries(&ours, theirs) : 1);

        if (theirs == NULL && (!have || !summary->to_end)) {
            return true;
        }
        compare_one(comparison, &ours, order, &next);
        after = (struct record_key){{message_id(comparison->answer->resume.id)},
                                    comparison->answer->resume.number};
        has_after = true;
    }
    return false;
}

/* What the asker does not hold: of ours, only those that it names matter. */
static bool compare_handed(struct comparison *comparison)
{
    const minga_Summary *summary = comparison->summary;
    minga_SummaryReply *answer = comparison->answer;

    for (pb_size_t i = 0; i < summary->entries_count; i++) {
        minga_Entry ours;

        if (comparison->sent_count == SYNC_ITEMS_MAX) {
            return false;
        }
        if (section_find_record(comparison->overlay, &summary->entries[i], &ours)) {
            weigh(comparison, &ours, i);
        } else if (section_wants(comparison->overlay, summary->section, &summary->entries[i])) {
            answer->wanted[answer->wanted_count++] = i;
        }
        set_resume(answer, &summary->entries[i]);
    }
    return true;
}

static bool is_sorted(const minga_Summary *summary)
{
    for (pb_size_t i = 1; i < summary->entries_count; i++) {
        if (compare_entries(&summary->entries[i - 1], &summary->entries[i]) >= 0) {
            return false;
        }
    }
    return true;
}

void sync_on_summary(struct overlay *overlay, const struct arrival *arrival)
{
    const minga_Summary *summary = &arrival->message->kind.summary;
    minga_Message message;
    minga_SummaryReply *answer = &message.kind.summary_reply;
    bool is_handed = summary->handed && summary->section == minga_SyncSection_SYNC_RECORDS;
    struct comparison comparison = {overlay, arrival, summary, answer, 0, {0}};
    struct sync_arc arc = {
        summary->has_arc, {message_id(summary->arc.from)}, {message_id(summary->arc.to)}};

    if (arrival->member == MEMBER_NONE) {
        return;
    }
    if (summary->section == minga_SyncSection_SYNC_CHUNKS) {
        compare_on_list(overlay, arrival);
        return;
    }
    message_init(&message, minga_Message_summary_reply_tag);
    answer->section = summary->section;
    answer->has_digest = true;
    gossip_fill_digest(overlay, &answer->digest);
    comparison.section = (struct section){summary->section, arrival->asker.node, arc, is_handed};
    if (arc.used && summary->section != minga_SyncSection_SYNC_RECORDS) {
        gossip_arc_digest(overlay, &arc, &answer->digest);
    }
    if (!is_sorted(summary)) {
        answer->done = true;
    } else {
        answer->done = (is_handed ? compare_handed(&comparison) : compare_page(&comparison)) &&
                       summary->to_end;
    }
    answer->sent = comparison.sent_count;
    peer_reply(overlay, &arrival->asker, &message, NULL);
}
