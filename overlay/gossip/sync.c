// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Anti-entropy: two members compare page by page what they have. One session at a time is begun
 * here; sync_answer.c answers any number.
 */
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

enum { IDLE_MS_MAX = SYNC_MS }; /* between sessions with one member that bring nothing */

void sync_want(struct overlay *overlay, int index)
{
    if (index != MEMBER_NONE && index != overlay->self_index && !overlay->sync_wanted[index]) {
        overlay->sync_wanted[index] = true;
        overlay->sync_wanted_count++;
    }
}

void sync_forget(struct overlay *overlay, int index)
{
    if (overlay->sync_wanted[index]) {
        overlay->sync_wanted[index] = false;
        overlay->sync_wanted_count--;
    }
}

void sync_brought(struct overlay *overlay, int index)
{
    if (index != MEMBER_NONE) {
        overlay->membership.list[index].has_brought = true;
    }
}

/* --- the asking side */

static struct record_key key_of_entry(const minga_Entry *entry)
{
    return (struct record_key){{message_id(entry->id)}, entry->number};
}

struct section sync_section(const struct overlay *overlay)
{
    const struct sync_session *sync = &overlay->sync;
    bool of_records = sync->section == minga_SyncSection_SYNC_RECORDS;

    return (struct section){sync->section, sync->peer, of_records ? sync->record_arc : sync->arc,
                            sync->is_handing};
}

static void fill_page(struct overlay *overlay, minga_Summary *summary)
{
    struct sync_session *sync = &overlay->sync;
    struct record_key after = sync->after;
    bool has_after = sync->has_after;
    struct section section = sync_section(overlay);
    minga_Entry entry;

    sync->page_count = 0;
    while (sync->page_count < ARRAY_COUNT(sync->page)) {
        if (!section_next(overlay, &section, has_after ? &after : NULL, &entry)) {
            summary->to_end = true;
            break;
        }
        after = key_of_entry(&entry);
        has_after = true;
        sync->page[sync->page_count++] = entry;
    }
}

void sync_send_page(struct overlay *overlay)
{
    struct sync_session *sync = &overlay->sync;
    struct section section = sync_section(overlay);
    minga_Message message;
    minga_Summary *summary = &message.kind.summary;

    message_init(&message, minga_Message_summary_tag);
    summary->section = sync->section;
    fill_page(overlay, summary);
    if (sync->has_after) {
        summary->has_after = true;
        message_put_id(summary->after.id, &sync->after.service.id);
        summary->after.number = sync->after.number;
    }
    if (section.arc.used) {
        summary->has_arc = true;
        message_put_id(summary->arc.from, &section.arc.from.id);
        message_put_id(summary->arc.to, &section.arc.to.id);
    }
    summary->handed = section.handed;
    memcpy(summary->entries, sync->page, sync->page_count * sizeof(sync->page[0]));
    summary->entries_count = (pb_size_t)sync->page_count;
    if (peer_request(overlay, REQUEST_SYNC, &sync->peer, &message, SYNC_PAGE_MS) == NULL) {
        sync->active = false;
    }
}

static void begin_section(struct overlay *overlay)
{
    if (overlay->sync.section == minga_SyncSection_SYNC_RECORDS) {
        sync_records_begin(overlay);
    } else {
        sync_send_page(overlay);
    }
}

/* What a successor must know as well as we: those of its own arc, where leaves may be, and from
 * there to the end of our list. */
static void choose_arc(const struct overlay *overlay, struct sync_session *sync)
{
    const struct ring *ring = &overlay->ring;

    for (uint32_t i = 0; overlay->large && i < ring->successor_count; i++) {
        if (!id_equal(&ring->successors[i].node.id, &sync->peer.id)) {
            continue;
        }
        sync->arc.used = true;
        sync->arc.from = i == 0 ? ring->self.position : ring->successors[i - 1].position;
        sync->arc.to = ring->successor_count < SUCCESSORS_MAX
                           ? sync->arc.from
                           : ring->successors[SUCCESSORS_MAX - 1].position;
    }
}

static void start_at(struct overlay *overlay, const struct node_id *peer, minga_SyncSection section,
                     bool hands_over)
{
    struct sync_session *sync = &overlay->sync;

    memset(sync, 0, sizeof(*sync));
    sync->active = true;
    sync->peer = *peer;
    choose_arc(overlay, sync);
    sync->section = section;
    sync->is_whole = section == minga_SyncSection_SYNC_EXPULSIONS;
    sync->hands_over = hands_over;
    begin_section(overlay);
}

void sync_start(struct overlay *overlay, const struct node_id *peer)
{
    start_at(overlay, peer, minga_SyncSection_SYNC_EXPULSIONS,
             overlay->large || overlay->now_ms < overlay->sync_hasty_ms);
}

/* One that is said to have what we lack, while it does not come or is not taken in (it may be of no
 * right owner, or the disk is full), is asked again ever later. The others are asked meanwhile. */
static void space_out(struct overlay *overlay)
{
    const struct sync_session *sync = &overlay->sync;
    int index = membership_find(&overlay->membership, &sync->peer);
    struct member *member;

    if (index == MEMBER_NONE) {
        return;
    }
    member = &overlay->membership.list[index];
    if (sync->sent_count == 0 || member->has_brought) {
        member->idle_ms = 0;
    } else if (member->idle_ms < IDLE_MS_MAX) {
        member->idle_ms = member->idle_ms == 0 ? 2 * SYNC_PAUSE_MS : 2 * member->idle_ms;
    }
    member->has_brought = false;
    member->compare_ms = overlay->now_ms + member->idle_ms;
}

static void end_session(struct overlay *overlay, bool ok)
{
    struct sync_session *sync = &overlay->sync;

    sync->active = false;
    if (ok && overlay->phase == PHASE_MEMBER) {
        space_out(overlay);
    }
    if (sync->is_image) {
        images_compared(overlay, ok && sync->sent_count == 0 && !sync->ranges.is_short);
    }
    if (ok && !sync->is_whole && sync->has_digest && peer_digest_differs(overlay, &sync->digest)) {
        sync_want(overlay, membership_find(&overlay->membership, &sync->peer));
    }
    if (overlay->phase == PHASE_ENTERING) {
        joining_synced(overlay, ok);
    }
}

static bool is_equal_part(const struct overlay *overlay, minga_SyncSection section)
{
    const struct sync_session *sync = &overlay->sync;
    minga_Digest ours = minga_Digest_init_zero;

    if (!sync->arc.used) {
        return true; /* not one to compare members with */
    }
    gossip_arc_digest(overlay, &sync->arc, &ours);
    return section == minga_SyncSection_SYNC_ADMISSIONS
               ? memcmp(sync->digest.admissions, ours.admissions, ID_BYTES) == 0
               : memcmp(sync->digest.nodes, ours.nodes, ID_BYTES) == 0;
}

/* Does the peer's digest already tell that this section is equal? */
static bool is_equal_section(const struct overlay *overlay, minga_SyncSection section)
{
    const struct sync_session *sync = &overlay->sync;
    const struct membership *membership = &overlay->membership;

    if (overlay->large &&
        (section == minga_SyncSection_SYNC_ADMISSIONS || section == minga_SyncSection_SYNC_NODES)) {
        return is_equal_part(overlay, section);
    }
    switch (section) {
    case minga_SyncSection_SYNC_EXPULSIONS:
    case minga_SyncSection_SYNC_REVOCATIONS:
        return memcmp(sync->digest.bans, membership->digest_bans.bytes, ID_BYTES) == 0;
    case minga_SyncSection_SYNC_ADMISSIONS:
        return memcmp(sync->digest.admissions, membership->digest_admissions.bytes, ID_BYTES) == 0;
    case minga_SyncSection_SYNC_NODES:
        return memcmp(sync->digest.nodes, membership->digest_nodes.bytes, ID_BYTES) == 0;
    case minga_SyncSection_SYNC_RECORDS:
        return overlay->phase == PHASE_ENTERING;
    case minga_SyncSection_SYNC_CHUNKS: /* see compare.c */
    default:
        return true;
    }
}

/* What was sent may have been lost on the way: only who had nothing to send has nothing newer. */
static void end_records(struct overlay *overlay)
{
    const struct sync_session *sync = &overlay->sync;

    if (sync->term != overlay->settled.term) {
        return;
    }
    if (!sync->covers) {
        return; /* it is no holder of what we answer for: to ask again would bring nothing */
    }
    if (sync->sent_count == 0 && !sync->ranges.is_short) {
        settled_add(overlay, &sync->peer);
    } else {
        settled_want(overlay, &sync->peer);
    }
}

static void next_section(struct overlay *overlay)
{
    struct sync_session *sync = &overlay->sync;

    sync->has_after = false;
    while (sync->section < minga_SyncSection_SYNC_RECORDS) {
        sync->section = (minga_SyncSection)(sync->section + 1);
        if (!is_equal_section(overlay, sync->section)) {
            begin_section(overlay);
            return;
        }
    }
    end_session(overlay, true);
}

void sync_end_records(struct overlay *overlay)
{
    end_records(overlay);
    end_session(overlay, true);
}

static void send_wanted(struct overlay *overlay, const minga_SummaryReply *answer)
{
    const struct sync_session *sync = &overlay->sync;
    minga_Message message;

    for (pb_size_t i = 0; i < answer->wanted_count; i++) {
        uint32_t wanted = answer->wanted[i];

        if (wanted >= sync->page_count) {
            return;
        }
        if (section_message(overlay, sync->section, &sync->page[wanted], &message)) {
            peer_send(overlay, &sync->peer, &message, NULL);
        }
    }
}

static void end_pages(struct overlay *overlay)
{
    if (overlay->sync.section == minga_SyncSection_SYNC_RECORDS) {
        sync_records_go_on(overlay);
    } else {
        next_section(overlay);
    }
}

void sync_on_reply(struct overlay *overlay, const struct request *request,
                   const struct arrival *arrival)
{
    struct sync_session *sync = &overlay->sync;
    const minga_SummaryReply *answer = &arrival->message->kind.summary_reply;

    if (!sync->active || !id_equal(&request->to.id, &sync->peer.id)) {
        return;
    }
    if (arrival->message->which_kind == minga_Message_chunk_ranges_reply_tag &&
        sync->section == minga_SyncSection_SYNC_RECORDS) {
        sync_records_on_ranges(overlay, &arrival->message->kind.chunk_ranges_reply);
        return;
    }
    if (arrival->message->which_kind != minga_Message_summary_reply_tag ||
        answer->section != sync->section) {
        end_session(overlay, false); /* nonsense: nothing else would end it */
        return;
    }
    if (answer->has_digest) {
        sync->has_digest = true;
        sync->digest = answer->digest;
        scale_hear(overlay, &answer->digest);
    }
    sync->sent_count += answer->sent;
    send_wanted(overlay, answer);
    if (answer->done || !answer->has_resume) {
        end_pages(overlay);
    } else {
        struct record_key resume = {{message_id(answer->resume.id)}, answer->resume.number};

        sync->has_after = true;
        sync->after = resume;
        /* A page that does not move on would never end. */
        if (++sync->pages > SYNC_PAGES_MAX) {
            end_session(overlay, true);
        } else {
            sync_send_page(overlay);
        }
    }
}

void sync_on_timeout(struct overlay *overlay, const struct request *request)
{
    if (overlay->sync.active && id_equal(&request->to.id, &overlay->sync.peer.id)) {
        end_session(overlay, false);
    }
}

/* Each in its turn: none keeps the others from theirs. */
static int pick_wanted(struct overlay *overlay)
{
    uint32_t count = overlay->sync_wanted_count > 0 ? overlay->membership.count : 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = (overlay->sync_turn + i) % count;

        if (overlay->sync_wanted[index] &&
            overlay->membership.list[index].compare_ms <= overlay->now_ms) {
            overlay->sync_turn = index + 1;
            sync_forget(overlay, (int)index);
            return (int)index;
        }
    }
    return MEMBER_NONE;
}

/* In a large community one of the next few, who must know the same neighbours. */
static int pick_successor(struct overlay *overlay)
{
    const struct ring *ring = &overlay->ring;
    uint32_t count =
        ring->successor_count < SYNC_NEXT ? ring->successor_count : (uint32_t)SYNC_NEXT;

    if (count == 0) {
        return MEMBER_NONE;
    }
    return membership_find(&overlay->membership,
                           &ring->successors[random_below(&overlay->random, count)].node);
}

/* One of those who hold some of the records that we hold. */
static int pick_neighbour(struct overlay *overlay)
{
    struct node_id nodes[2 * RECORD_COPIES];
    uint32_t count = overlay->routing->neighbour_set(&overlay->router, 2 * RECORD_COPIES, nodes);

    return count == 0 ? MEMBER_NONE
                      : membership_find(&overlay->membership,
                                        &nodes[random_below(&overlay->random, count)]);
}

static int pick_random(struct overlay *overlay)
{
    uint32_t start = (uint32_t)random_below(&overlay->random, overlay->membership.count);

    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        int index = (int)((start + i) % overlay->membership.count);

        if (index != overlay->self_index &&
            overlay->membership.list[index].view.state == MEMBER_UP) {
            return index;
        }
    }
    return MEMBER_NONE;
}

void sync_hasten(struct overlay *overlay)
{
    overlay->sync_hasty_ms = overlay->now_ms + SYNC_HASTY_MS;
    if (overlay->sync_ms > overlay->now_ms + SYNC_MS) {
        overlay->sync_ms = overlay->now_ms + SYNC_MS;
    }
}

/* Where all know all, neighbours on the ring compare their memberships with every word: a round is
 * for the records. Now and then it goes to anybody, who may have kept what it holds no more. */
static void start_round(struct overlay *overlay)
{
    bool is_hasty = overlay->large || overlay->now_ms < overlay->sync_hasty_ms;
    bool is_far = random_below(&overlay->random, SYNC_FAR_EVERY) == 0;
    int index;

    overlay->sync_ms = overlay->now_ms + (uint64_t)(is_hasty ? SYNC_MS : SYNC_QUIET_MS);
    if (overlay->large) {
        index = pick_successor(overlay);
    } else {
        index = is_far ? pick_random(overlay) : pick_neighbour(overlay);
        if (!is_far && overlay->records.count == 0) {
            index = MEMBER_NONE; /* whoever has some will ask */
        }
    }
    if (index != MEMBER_NONE && membership_is_up(&overlay->membership.list[index])) {
        overlay->sync_next_ms = overlay->now_ms + SYNC_PAUSE_MS;
        start_at(overlay, &overlay->membership.list[index].view.node,
                 overlay->large ? minga_SyncSection_SYNC_EXPULSIONS
                                : minga_SyncSection_SYNC_RECORDS,
                 is_hasty || is_far);
    }
}

void sync_tick(struct overlay *overlay)
{
    int index;

    if (overlay->phase != PHASE_MEMBER || overlay->sync.active ||
        overlay->now_ms < overlay->sync_next_ms) {
        return;
    }
    index = pick_wanted(overlay);
    if (index == MEMBER_NONE) {
        if (overlay->now_ms >= overlay->sync_ms) {
            start_round(overlay);
        }
        return;
    }
    if (membership_is_up(&overlay->membership.list[index])) {
        overlay->sync_next_ms = overlay->now_ms + SYNC_PAUSE_MS;
        sync_start(overlay, &overlay->membership.list[index].view.node);
    }
}

uint64_t sync_wake(const struct overlay *overlay)
{
    uint64_t first_ms =
        overlay->sync_next_ms > overlay->now_ms ? overlay->sync_next_ms : overlay->now_ms + 1;
    uint64_t wake_ms = overlay->sync_ms;

    if (overlay->sync.active) {
        return overlay->now_ms + SYNC_PAGE_MS;
    }
    for (uint32_t i = 0; i < overlay->membership.count && overlay->sync_wanted_count > 0; i++) {
        if (overlay->sync_wanted[i] && overlay->membership.list[i].compare_ms < wake_ms) {
            wake_ms = overlay->membership.list[i].compare_ms;
        }
    }
    return wake_ms > first_ms ? wake_ms : first_ms;
}
