// SPDX-License-Identifier: GPL-3.0-or-later
/* Becoming a member: the newcomer's side, and the side of those who let it in. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "overlay/signed.h"
#include "overlay/state.h"

enum { JOIN_PASSES_MAX = 8 }; /* over the membership, until all admissions are vouched for */

/* --- those who let it in */

static void answer_join(struct overlay *overlay, const struct asker *asker, const char *reason,
                        int index, uint32_t link)
{
    minga_Message message;
    minga_JoinReply *answer = &message.kind.join_reply;
    const struct member *member;
    struct chain_link links[CHAIN_MAX];
    int count;

    message_init(&message, minga_Message_join_reply_tag);
    (void)snprintf(answer->reason, sizeof(answer->reason), "%s", reason);
    if (index != MEMBER_NONE) {
        member = &overlay->membership.list[index];
        memcpy(answer->admission.bytes, member->admission, member->admission_bytes);
        answer->admission.size = (pb_size_t)member->admission_bytes;
        count = chain_from(overlay, &member->countersigner, links);
        if (count > 0 && link < (uint32_t)count) {
            memcpy(answer->countersigner_admission.bytes, links[link].encoded.data,
                   links[link].encoded.length_bytes);
            answer->countersigner_admission.size = (pb_size_t)links[link].encoded.length_bytes;
        }
        answer->link_count = overlay->large && count > 0 ? (uint32_t)count : 0;
    }
    if (index != MEMBER_NONE) { /* it is kept until it knows what it needs */
        overlay->guest = overlay->membership.list[index].view.node;
        overlay->guest_ms = overlay->now_ms;
    }
    peer_reply(overlay, asker, &message, NULL);
}

static void refuse_join(struct overlay *overlay, const struct asker *asker, const char *reason)
{
    answer_join(overlay, asker, reason, MEMBER_NONE, 0);
}

/* A void member may have come by another invitation: did that help? */
static bool let_in(struct overlay *overlay, const struct node_id *node, struct bytes encoded)
{
    return gossip_admit(overlay, encoded, ADMIT_MET) &&
           !overlay->membership.list[membership_find(&overlay->membership, node)].is_void;
}

static void countersign(struct overlay *overlay, const struct asker *asker,
                        const struct admission_request *request, const struct admission *asked)
{
    const struct member *self = &overlay->membership.list[overlay->self_index];
    uint64_t date = admission_date(asked, self->view.since_unix_s, overlay->wall_unix_s);
    minga_Item item = minga_Item_init_zero;
    uint8_t encoded[ADMISSION_BYTES_MAX];
    int length = admission_countersign(request, &overlay->secret, date, encoded);

    if (chain_is_long(overlay)) {
        refuse_join(overlay, asker, "too many members stand between the founder and this one");
        return;
    }
    if (length < 0 || !let_in(overlay, &asked->node, (struct bytes){encoded, (size_t)length})) {
        refuse_join(overlay, asker,
                    length < 0         ? "the request is too large"
                    : overlay->no_room ? "this member has no room for another one now"
                                       : "this member was let in by a clock that is ahead of the "
                                         "invitation's expiry");
        return;
    }
    item.kind = minga_ItemKind_ITEM_ADMISSION;
    memcpy(item.content.bytes, encoded, (size_t)length);
    item.content.size = (pb_size_t)length;
    tell_everyone(overlay, &item);
    effect_trace(overlay, "admitted node %02x%02x", asked->node.id.bytes[0],
                 asked->node.id.bytes[1]);
    answer_join(overlay, asker, "", membership_find(&overlay->membership, &asked->node), 0);
}

static void answer_busy(struct overlay *overlay, const struct asker *asker)
{
    minga_Message message;

    message_init(&message, minga_Message_busy_tag);
    peer_reply(overlay, asker, &message, NULL);
}

/* In a large community the way to that member is looked up with care, and is one step. */
static bool may_go_on(const struct overlay *overlay, const minga_Join *join,
                      const struct ring_key *key)
{
    return !join->relayed ||
           (overlay->large && join->hops < JOIN_HOPS_MAX && !search_is_wanted(overlay, key));
}

static bool is_relayed(const struct overlay *overlay, const struct asker *asker)
{
    for (uint32_t i = 0; i < overlay->requests.top; i++) {
        const struct request *request = &overlay->requests.list[i];

        if (request->kind == REQUEST_JOIN_RELAY && request->asker.inbound == asker->inbound &&
            request->asker.link == asker->link && request->asker.request == asker->request) {
            return true;
        }
    }
    return false;
}

/* One member counts the uses of an invitation: the one responsible for its key. */
static void relay_join(struct overlay *overlay, const struct arrival *arrival,
                       const struct ring_key *key)
{
    minga_Message message = *arrival->message;
    bool looks_first = search_is_wanted(overlay, key);
    struct node_id next = overlay->self;
    struct request *request;

    if (looks_first && is_relayed(overlay, &arrival->asker)) {
        return; /* it repeats, and the way is being looked up */
    }
    if (!may_go_on(overlay, &message.kind.join, key) ||
        !requests_may_ask_for(&overlay->requests, &arrival->asker) ||
        (!looks_first && !overlay->routing->next_hop(&overlay->router, key, &next))) {
        answer_busy(overlay, &arrival->asker);
        return;
    }
    message.kind.join.relayed = true;
    message.kind.join.hops++;
    request = peer_request(overlay, REQUEST_JOIN_RELAY, &next, &message, JOIN_CONTACT_MS);
    if (request == NULL) {
        return;
    }
    request->repeat_ms = 0; /* the newcomer repeats */
    request->asker = arrival->asker;
    request->key = *key;
    request->reroute = looks_first;
    if (looks_first && !search_first(overlay, request)) {
        requests_end(&overlay->requests, request);
    }
}

static struct admission_request request_of(const minga_Join *join)
{
    struct admission_request request;

    request.request = (struct bytes){join->request.bytes, join->request.size};
    memcpy(request.node_signature.bytes, join->node_signature, SIGNATURE_BYTES);
    memcpy(request.owner_signature.bytes, join->owner_signature, SIGNATURE_BYTES);
    memcpy(request.invitation_signature.bytes, join->invitation_signature, SIGNATURE_BYTES);
    return request;
}

/* A newcomer asks for itself: the key that CURVE proved must be that of the node to be admitted. */
static bool asks_for_itself(const struct arrival *arrival, const struct admission *admission)
{
    uint8_t curve_key[32];

    if (arrival->message->kind.join.relayed) {
        return arrival->member != MEMBER_NONE;
    }
    return keys_curve_public(&admission->node_key, curve_key) == 0 && arrival->source->inbound &&
           memcmp(curve_key, arrival->source->curve_key, sizeof(curve_key)) == 0;
}

/* Its admission alone, or a link of its chain of countersigners too, if everyone does not know it
 * anyway. The founder's has none. */
static bool knows_link(const struct overlay *overlay, int index, uint32_t link)
{
    const struct member *member = &overlay->membership.list[index];
    struct chain_link links[CHAIN_MAX];
    int count = overlay->large ? chain_from(overlay, &member->countersigner, links) : 0;

    return count == 0 || count > (int)(link < CHAIN_MAX ? link : 0);
}

void joining_on_join(struct overlay *overlay, const struct arrival *arrival)
{
    struct admission_request request = request_of(&arrival->message->kind.join);
    struct admission_verdict verdict;
    const struct admission *admission = &verdict.admission;
    uint32_t link = arrival->message->kind.join.link;
    struct ring_key key;
    int index;

    /* Admitted a moment ago, and others know it before this node itself: it will be a member soon. */
    if (overlay->phase == PHASE_ENTERING ||
        (overlay->phase == PHASE_OUTSIDE && overlay->join.active)) {
        answer_busy(overlay, &arrival->asker);
        return;
    }
    if (overlay->phase != PHASE_MEMBER) {
        refuse_join(overlay, &arrival->asker, "this node belongs to no community");
        return;
    }
    if (arrival->member == MEMBER_NONE && !links_admit_stranger(&overlay->links, overlay->now_ms)) {
        return; /* it repeats */
    }
    if (admission_judge(&overlay->membership, &overlay->community, &request, overlay->wall_unix_s,
                        &verdict) < 0) {
        effect_trace(overlay, "join refused: %.100s", verdict.reason);
        refuse_join(overlay, &arrival->asker, verdict.reason);
        return;
    }
    if (!asks_for_itself(arrival, admission)) {
        overlay->counters.refused_messages++;
        return;
    }
    index = membership_find(&overlay->membership, &admission->node);
    if (index != MEMBER_NONE && overlay->membership.list[index].is_void) {
        index = MEMBER_NONE; /* it comes by another invitation */
    }
    key = (struct ring_key){membership_invitation_id(&admission->invitation_key)};
    if (index != MEMBER_NONE && knows_link(overlay, index, link)) {
        answer_join(overlay, &arrival->asker, "", index, link);
    } else if (index != MEMBER_NONE && ring_responsible(&overlay->ring, &key, overlay->now_ms)) {
        answer_join(overlay, &arrival->asker, "", index, link);
    } else if (index == MEMBER_NONE && (ring_responsible(&overlay->ring, &key, overlay->now_ms) ||
                                        (admission->uses_max == 0 && !chain_is_long(overlay)))) {
        countersign(overlay, &arrival->asker, &request, admission); /* nothing to count */
    } else {
        relay_join(overlay, arrival, &key);
    }
}

void joining_on_relay_reply(struct overlay *overlay, const struct request *request,
                            const struct arrival *arrival)
{
    minga_Message onward = *arrival->message;

    if (onward.which_kind == minga_Message_join_reply_tag ||
        onward.which_kind == minga_Message_busy_tag) {
        peer_reply(overlay, &request->asker, &onward, NULL);
    }
}

/* --- the newcomer */

static void ask_contact(struct overlay *overlay)
{
    struct join_state *join = &overlay->join;
    minga_Message message;
    struct request *request;

    message_init(&message, minga_Message_join_tag);
    message.kind.join = join->request;
    message.kind.join.link = join->link;
    request = peer_request(overlay, REQUEST_JOIN, &join->contacts[join->contact].node, &message,
                           JOIN_CONTACT_MS);
    CHECK(request != NULL);
    request->repeat_every_ms = JOIN_REPEAT_MS;
    request->repeat_ms = overlay->now_ms + JOIN_REPEAT_MS;
}

/* Nothing changes on refusal: whatever came in meanwhile is forgotten. */
static void give_up(struct overlay *overlay, enum overlay_outcome outcome, const char *reason)
{
    uint64_t token = overlay->join.token;

    memset(&overlay->join, 0, sizeof(overlay->join));
    memset(&overlay->membership, 0, sizeof(overlay->membership));
    memset(&overlay->community, 0, sizeof(overlay->community));
    memset(&overlay->detector, 0, sizeof(overlay->detector));
    memset(&overlay->vouchers, 0, sizeof(overlay->vouchers));
    memset(&overlay->links, 0, sizeof(overlay->links)); /* they name members by index */
    memset(overlay->sync_wanted, 0, sizeof(overlay->sync_wanted));
    overlay->sync_wanted_count = 0;
    ring_init(&overlay->ring, &overlay->place, overlay->ring.epoch);
    overlay->community_bytes = 0;
    overlay->community_name[0] = '\0';
    overlay->self_index = MEMBER_NONE;
    overlay->router.self = MEMBER_NONE;
    overlay->sync.active = false;
    overlay->phase = PHASE_OUTSIDE;
    (void)effect_done(overlay, token, outcome, reason);
}

static uint64_t patience_ms(const struct join_state *join)
{
    return join->is_met ? JOIN_MS_MAX : JOIN_MS_MIN;
}

void joining_met(struct overlay *overlay, const struct node_id *node)
{
    struct join_state *join = &overlay->join;

    for (uint32_t i = 0; join->active && i < join->contact_count; i++) {
        join->is_met |= id_equal(&join->contacts[i].node.id, &node->id);
    }
}

/* The next contact's turn; false when all had theirs, and the time is over. Many may join at once,
 * one of few contacts be slow, or a busy machine give none of them any time for long. */
static bool next_contact(struct overlay *overlay)
{
    struct join_state *join = &overlay->join;

    join->contact++;
    if (join->contact == join->contact_count && join->reason[0] == '\0' &&
        overlay->now_ms - join->since_ms < patience_ms(join)) {
        join->contact = 0;
    }
    return join->contact < join->contact_count;
}

static void end_refused(struct overlay *overlay)
{
    char reason[REASON_CHARS_MAX + 1];

    memcpy(reason, overlay->join.reason, sizeof(reason)); /* it is forgotten with the rest */
    give_up(overlay, OVERLAY_REFUSED, reason);
}

/* One contact may lie: only when all refuse, or do not answer, it is a refusal. The first is told. */
static void refused_by_contact(struct overlay *overlay, const char *reason)
{
    struct join_state *join = &overlay->join;

    if (join->reason[0] == '\0') {
        (void)snprintf(join->reason, sizeof(join->reason), "%s", reason);
    }
    if (++join->contact < join->contact_count) {
        ask_contact(overlay);
    } else {
        end_refused(overlay);
    }
}

void joining_on_timeout(struct overlay *overlay, const struct request *request)
{
    struct join_state *join = &overlay->join;

    if (!join->active || !id_equal(&request->to.id, &join->contacts[join->contact].node.id)) {
        return;
    }
    if (next_contact(overlay)) {
        ask_contact(overlay);
    } else if (join->reason[0] != '\0') {
        end_refused(overlay);
    } else {
        give_up(overlay, OVERLAY_TIMED_OUT, "none of the members named in the token answered");
    }
}

bool joining_take_community(struct overlay *overlay, struct bytes encoded)
{
    minga_Signed envelope = minga_Signed_init_zero;
    minga_Community body = minga_Community_init_zero;

    if (encoded.length_bytes > sizeof(overlay->community_encoded) ||
        signed_decode(encoded, &envelope) < 0 ||
        signed_open(&envelope, PURPOSE_COMMUNITY, minga_Community_fields, &body) < 0 ||
        memcmp(envelope.key, body.key, PUBLIC_KEY_BYTES) != 0) {
        return false;
    }
    memcpy(overlay->community.bytes, body.key, PUBLIC_KEY_BYTES);
    memcpy(overlay->community_name, body.name, sizeof(overlay->community_name));
    memcpy(overlay->community_encoded, encoded.data, encoded.length_bytes);
    overlay->community_bytes = encoded.length_bytes;
    return true;
}

static bool take_request(struct overlay *overlay, const struct overlay_join *join)
{
    minga_Join *request = &overlay->join.request;
    struct signature own;

    if (join->request.length_bytes > sizeof(request->request.bytes) || join->contact_count == 0 ||
        join->contact_count > TOKEN_MEMBERS_MAX) {
        return false;
    }
    own = keys_sign(&overlay->secret, PURPOSE_ADMISSION, join->request);
    memcpy(request->request.bytes, join->request.data, join->request.length_bytes);
    request->request.size = (pb_size_t)join->request.length_bytes;
    memcpy(request->node_signature, own.bytes, SIGNATURE_BYTES);
    memcpy(request->owner_signature, join->owner_signature.bytes, SIGNATURE_BYTES);
    memcpy(request->invitation_signature, join->invitation_signature.bytes, SIGNATURE_BYTES);
    overlay->join.contact_count = join->contact_count;
    memcpy(overlay->join.contacts, join->contacts, sizeof(overlay->join.contacts));
    return true;
}

void overlay_join(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                  const struct overlay_join *join, struct overlay_effects *effects)
{
    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    if (overlay->phase != PHASE_OUTSIDE || overlay->join.active) {
        (void)effect_done(overlay, token, OVERLAY_REFUSED,
                          "this node already belongs to a community");
    } else if (!joining_take_community(overlay, join->community) || !take_request(overlay, join)) {
        overlay->join.token = token;
        give_up(overlay, OVERLAY_REFUSED, "the token is not of this community or was altered");
    } else {
        overlay->join.active = true;
        overlay->join.since_ms = overlay->now_ms;
        overlay->join.token = token;
        ask_contact(overlay);
    }
    state_leave(overlay);
}

static bool take_admission(struct overlay *overlay, const minga_JoinReply *answer)
{
    struct bytes encoded = {answer->admission.bytes, answer->admission.size};
    struct admission admission;

    if (admission_open(encoded, &overlay->community, &admission) < 0 ||
        !id_equal(&admission.node.id, &overlay->self.id)) {
        return false;
    }
    memcpy(overlay->join.admission, encoded.data, encoded.length_bytes);
    overlay->join.admission_bytes = encoded.length_bytes;
    memcpy(overlay->join.countersigner, answer->countersigner_admission.bytes,
           answer->countersigner_admission.size);
    overlay->join.countersigner_bytes = answer->countersigner_admission.size;
    overlay->join.countersigner_key = admission.countersigner;
    return true;
}

/* The next link of the chain of countersigners. Returns whether there is another one to ask for. */
static bool take_link(struct overlay *overlay, const minga_JoinReply *answer)
{
    struct join_state *join = &overlay->join;
    struct bytes encoded = {answer->countersigner_admission.bytes,
                            answer->countersigner_admission.size};
    struct admission admission;

    if (answer->link_count == 0 || answer->link_count > CHAIN_MAX ||
        admission_open(encoded, &overlay->community, &admission) < 0 ||
        !vouchers_keep(&overlay->vouchers, &admission, encoded)) {
        return false;
    }
    return ++join->link < answer->link_count;
}

/* The whole chain has come: whatever its links sign now counts. */
static void believe_chain(struct overlay *overlay)
{
    struct chain_link links[CHAIN_MAX];
    int count = chain_from(overlay, &overlay->join.countersigner_key, links);

    while (count > 0) {
        (void)chain_take(overlay, links[--count].encoded);
    }
}

/* First those who vouch: what they have signed need not come, nor be looked at, twice. */
static void admit_self(struct overlay *overlay)
{
    const struct join_state *join = &overlay->join;
    int contact;

    (void)gossip_admit(overlay, (struct bytes){join->countersigner, join->countersigner_bytes},
                       ADMIT_MET);
    (void)gossip_admit(overlay, (struct bytes){join->admission, join->admission_bytes}, ADMIT_MET);
    contact = membership_find(&overlay->membership, &join->contacts[join->contact].node);
    /* The link over which it let us in was up before it was a member. */
    if (contact != MEMBER_NONE) {
        overlay->membership.list[contact].linked = true;
        overlay->membership.list[contact].is_up = true;
    }
}

void joining_on_reply(struct overlay *overlay, const struct request *request,
                      const struct arrival *arrival)
{
    const minga_Message *message = arrival->message;

    (void)request;
    if (!overlay->join.active || overlay->phase != PHASE_OUTSIDE) {
        return;
    }
    if (message->which_kind == minga_Message_refused_tag) {
        refused_by_contact(overlay, message->kind.refused.reason);
    } else if (message->which_kind != minga_Message_join_reply_tag) {
        refused_by_contact(overlay, "the member's answer makes no sense");
    } else if (message->kind.join_reply.reason[0] != '\0') {
        refused_by_contact(overlay, message->kind.join_reply.reason);
    } else if (overlay->join.link == 0 && !take_admission(overlay, &message->kind.join_reply)) {
        refused_by_contact(overlay, "the member's admission does not verify");
    } else if (take_link(overlay, &message->kind.join_reply)) {
        ask_contact(overlay);
    } else {
        believe_chain(overlay);
        overlay->phase = PHASE_ENTERING;
        admit_self(overlay);
        sync_start(overlay, &arrival->asker.node);
    }
}

static void become_member(struct overlay *overlay)
{
    uint64_t token = overlay->join.token;

    overlay->sponsor = overlay->join.contacts[overlay->join.contact].node;
    memset(&overlay->join, 0, sizeof(overlay->join));
    chain_store(overlay);
    joining_begin(overlay);
    if (overlay->sync.digest.large) {
        scale_up(overlay, overlay->sync.digest.size / SCALE_ONE);
    }
    keep_membership(overlay, token);
}

/* The membership has been compared with the contact's once more. Admissions come in any order, so
 * one whose countersigner came later needs another pass. */
void joining_synced(struct overlay *overlay, bool ok)
{
    struct join_state *join = &overlay->join;
    struct node_id contact = join->contacts[join->contact].node;
    bool equal;

    if (!ok && next_contact(overlay)) {
        sync_start(overlay, &join->contacts[join->contact].node);
        return;
    }
    if (!ok) {
        give_up(overlay, OVERLAY_TIMED_OUT, "the contact stopped answering");
        return;
    }
    admit_self(overlay); /* whose countersigner may only have come now */
    /* Of a large community a part will do. None came when all that the contact sent was vouched for
     * by this node itself, whose own admission was not there yet. */
    equal = overlay->sync.digest.large
                ? overlay->membership.count > 1
                : memcmp(overlay->sync.digest.admissions,
                         overlay->membership.digest_admissions.bytes, ID_BYTES) == 0;
    /* Others join meanwhile: that race is not won, nor need it be. */
    equal =
        equal || (join->passes > 0 && !overlay->sync.digest.large &&
                  memcmp(overlay->sync.digest.admissions, join->seen_admissions, ID_BYTES) != 0);
    memcpy(join->seen_admissions, overlay->sync.digest.admissions, ID_BYTES);
    join->passes++;
    if (overlay->self_index != MEMBER_NONE && (equal || join->passes >= JOIN_PASSES_MAX)) {
        become_member(overlay);
    } else if (join->passes >= JOIN_PASSES_MAX) {
        give_up(overlay, OVERLAY_REFUSED, "the member's admission does not verify");
    } else {
        sync_start(overlay, &contact);
    }
}

/* --- the first member of all */

int overlay_create(struct overlay *overlay, const struct overlay_event *now, struct bytes community,
                   struct bytes admission, struct overlay_effects *effects)
{
    struct admission opened;
    int r = 0;

    if (overlay->phase != PHASE_OUTSIDE || overlay->join.active) {
        return -EEXIST;
    }
    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    if (!joining_take_community(overlay, community) ||
        admission_open(admission, &overlay->community, &opened) < 0 ||
        !id_equal(&opened.node.id, &overlay->self.id) ||
        !gossip_admit(overlay, admission, ADMIT_MET)) {
        give_up(overlay, OVERLAY_FAILED, "");
        r = -EBADMSG;
    } else {
        /* Nobody is there to tell whether it can be dialled. */
        if (overlay->record.reachable == minga_Reachable_REACHABLE_NONE) {
            overlay->record.reachable = minga_Reachable_REACHABLE_UNKNOWN;
        }
        joining_begin(overlay);
        keep_membership(overlay, 0);
    }
    state_leave(overlay);
    return r;
}
