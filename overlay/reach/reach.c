// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Can this node be dialled? Two others are asked to dial it, on a new link each. They dial the host
 * that the question came from, as they see it, and no other: nobody can have a member knock at
 * somebody else's door. A nonce that came over the old link shows on the new one whose dial it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "overlay/signed.h"
#include "overlay/state.h"

void reach_init(struct overlay *overlay, const struct overlay_config *config)
{
    struct reach *reach = &overlay->reach;

    reach->is_used = config->finds_reach;
    reach->described = config->description;
    reach->token_count = REACH_BURST_MAX;
    overlay->relaying.port_first = config->relay_port_first;
    overlay->relaying.port_count = config->relay_port_count < RELAY_PORTS_MAX
                                       ? config->relay_port_count
                                       : (uint16_t)RELAY_PORTS_MAX;
}

bool reach_is_leaf(const struct overlay *overlay)
{
    return overlay->record.reachable == minga_Reachable_REACHABLE_RELAYED ||
           overlay->record.reachable == minga_Reachable_REACHABLE_NONE;
}

/* ------------------------------------------------------------------ what is said of it */

static bool same_addresses(const minga_NodeRecord *a, const minga_NodeRecord *b)
{
    if (a->addresses_count != b->addresses_count) {
        return false;
    }
    for (size_t i = 0; i < a->addresses_count; i++) {
        if (strcmp(a->addresses[i], b->addresses[i]) != 0) {
            return false;
        }
    }
    return true;
}

static bool has_address(const minga_NodeRecord *record, const char *address)
{
    for (pb_size_t i = 0; i < record->addresses_count; i++) {
        if (strcmp(record->addresses[i], address) == 0) {
            return true;
        }
    }
    return false;
}

/* An address may have been added that only others see. */
static bool has_addresses_of(const minga_NodeRecord *record, const minga_NodeRecord *described)
{
    for (pb_size_t i = 0; i < described->addresses_count; i++) {
        bool had_no_room = i == ADDRESSES_MAX - 1 && record->addresses_count == ADDRESSES_MAX;

        if (!had_no_room && !has_address(record, described->addresses[i])) {
            return false;
        }
    }
    return described->addresses_count > 0;
}

static void add_address(minga_NodeRecord *record, const char *address)
{
    if (address[0] != '\0' && record->addresses_count < ADDRESSES_MAX &&
        !has_address(record, address)) {
        (void)snprintf(record->addresses[record->addresses_count++], sizeof(record->addresses[0]),
                       "%s", address);
    }
}

/* `record_out` is not the own record, whose numbers are taken over. */
static void compose(const struct overlay *overlay, minga_Reachable verdict,
                    minga_NodeRecord *record_out)
{
    const struct reach *reach = &overlay->reach;

    CHECK(record_out != &overlay->record);
    *record_out = reach->described;
    record_out->sequence = overlay->record.sequence;
    record_out->incarnation = overlay->record.incarnation;
    record_out->leaving = overlay->record.leaving;
    record_out->storage_kib = record_out->stores ? rebalance_capacity_kib(overlay) : 0;
    record_out->stored_kib = overlay->record.stored_kib;
    record_out->positions = overlay->record.positions;
    record_out->reachable = verdict;
    record_out->addresses_count = 0;
    if (verdict == minga_Reachable_REACHABLE_NONE || verdict == minga_Reachable_REACHABLE_RELAYED) {
        leaf_fill(overlay, record_out);
        record_out->reachable = record_out->addresses_count > 0 ? minga_Reachable_REACHABLE_RELAYED
                                                                : minga_Reachable_REACHABLE_NONE;
        record_out->relays = false;
    }
    if (record_out->reachable == minga_Reachable_REACHABLE_RELAYED) {
        return;
    }
    if (!has_address(&reach->described, reach->proven)) {
        add_address(record_out, reach->proven);
    }
    for (pb_size_t i = 0; i < reach->described.addresses_count; i++) {
        add_address(record_out, reach->described.addresses[i]);
    }
}

void reach_publish(struct overlay *overlay, minga_Reachable verdict)
{
    minga_NodeRecord record;

    compose(overlay, verdict, &record);
    if (record.reachable == overlay->record.reachable &&
        same_addresses(&record, &overlay->record)) {
        return;
    }
    effect_trace(overlay, "reachable: %d, was %d", (int)record.reachable,
                 (int)overlay->record.reachable);
    overlay->record = record;
    gossip_describe(overlay, overlay->record.incarnation);
}

static bool is_alone(const struct overlay *overlay)
{
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        const struct id *id = &overlay->membership.list[i].view.node.id;

        if ((int)i != overlay->self_index &&
            membership_banned(&overlay->membership.expulsions, id) == NULL) {
            return false;
        }
    }
    return true;
}

void reach_begin(struct overlay *overlay)
{
    const struct member *self =
        overlay->self_index == MEMBER_NONE ? NULL : &overlay->membership.list[overlay->self_index];
    minga_Reachable verdict = minga_Reachable_REACHABLE_NONE;
    minga_NodeRecord record;

    if (!overlay->reach.is_used) {
        return;
    }
    /* What was true of these addresses still is, as far as anybody knows. */
    if (self != NULL && self->record_bytes > 0 && !membership_is_leaf(self) &&
        (is_alone(overlay) || has_addresses_of(&self->view.record, &overlay->reach.described))) {
        verdict = self->view.record.reachable;
    }
    compose(overlay, verdict, &record);
    overlay->record = record;
}

static bool same_record(const minga_NodeRecord *a, const minga_NodeRecord *b)
{
    uint8_t encoded[2][minga_NodeRecord_size];
    int lengths[2];

    lengths[0] = signed_encode_body(minga_NodeRecord_fields, a, encoded[0], sizeof(encoded[0]));
    lengths[1] = signed_encode_body(minga_NodeRecord_fields, b, encoded[1], sizeof(encoded[1]));
    CHECK(lengths[0] >= 0 && lengths[1] >= 0);
    return lengths[0] == lengths[1] && memcmp(encoded[0], encoded[1], (size_t)lengths[0]) == 0;
}

bool reach_describe(struct overlay *overlay, const minga_NodeRecord *description)
{
    struct reach *reach = &overlay->reach;
    bool has_moved = !same_addresses(&reach->described, description);
    minga_Reachable verdict = overlay->record.reachable;
    minga_NodeRecord record;
    bool is_same;

    reach->described = *description;
    if (!reach->is_used &&
        (has_moved || description->reachable != minga_Reachable_REACHABLE_UNKNOWN)) {
        verdict = description->reachable;
    }
    if (has_moved) { /* how it was reached at other addresses says nothing about new ones */
        reach->proven[0] = '\0';
        reach->in_round = false;
        overlay->leaf.next_ms = overlay->now_ms;
    }
    if (!reach->in_round && overlay->now_ms >= reach->began_ms + (has_moved ? 0 : REACH_SOON_MS)) {
        reach->next_ms = overlay->now_ms;
    }
    compose(overlay, verdict, &record);
    is_same = same_record(&record, &overlay->record);
    overlay->record = record;
    return !is_same;
}

/* ------------------------------------------------------------------ a round */

static bool is_asked(const struct reach *reach, const struct node_id *node)
{
    for (uint32_t i = 0; i < reach->helper_count; i++) {
        if (id_equal(&reach->helpers[i].node.id, &node->id)) {
            return true;
        }
    }
    return false;
}

/* Do both stand in one network, as far as addresses tell? A neighbour there can dial us, whatever
 * others can. */
static bool is_neighbour(const struct overlay *overlay, const minga_NodeRecord *other)
{
    for (pb_size_t i = 0; i < overlay->reach.described.addresses_count; i++) {
        const char *own = overlay->reach.described.addresses[i];
        const char *end = strrchr(own, own[0] == '[' ? ':' : '.');

        if (end == NULL) {
            continue;
        }
        for (pb_size_t k = 0; k < other->addresses_count; k++) {
            if (strncmp(own, other->addresses[k], (size_t)(end - own)) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Who can be dialled itself, and from elsewhere, comes first. */
static uint32_t rank_of(const struct overlay *overlay, const struct member *member)
{
    uint32_t rank = 1;

    if (member->view.state != MEMBER_UP || member->record_bytes == 0) {
        return 0;
    }
    rank += membership_is_leaf(member) ? 0 : 2;
    rank += is_neighbour(overlay, &member->view.record) ? 0 : 1;
    return rank;
}

static int choose_helper(struct overlay *overlay)
{
    const struct membership *membership = &overlay->membership;
    uint32_t start = (uint32_t)random_below(&overlay->random, membership->count);
    uint32_t best_rank = 0;
    int best = MEMBER_NONE;

    for (uint32_t i = 0; i < membership->count; i++) {
        int index = (int)((start + i) % membership->count);
        const struct member *member = &membership->list[index];
        uint32_t rank = rank_of(overlay, member);

        if (index != overlay->self_index && rank > best_rank &&
            !is_asked(&overlay->reach, &member->view.node)) {
            best_rank = rank;
            best = index;
        }
    }
    return best;
}

static uint16_t port_of(const char *address)
{
    const char *colon = strrchr(address, ':');
    unsigned long port = colon == NULL ? 0 : strtoul(colon + 1, NULL, 10);

    return port > 0 && port <= UINT16_MAX ? (uint16_t)port : 0;
}

static uint16_t own_port(const struct overlay *overlay)
{
    const minga_NodeRecord *described = &overlay->reach.described;

    return described->addresses_count == 0 ? 0 : port_of(described->addresses[0]);
}

static bool ask_one(struct overlay *overlay)
{
    struct reach *reach = &overlay->reach;
    int index = reach->helper_count < REACH_ASKED_MAX ? choose_helper(overlay) : MEMBER_NONE;
    struct reach_helper *helper;
    minga_Message message;

    if (index == MEMBER_NONE) {
        return false;
    }
    helper = &reach->helpers[reach->helper_count++];
    *helper = (struct reach_helper){.node = overlay->membership.list[index].view.node};
    for (uint32_t i = 0; i < REACH_NONCE_BYTES; i++) {
        helper->nonce[i] = (uint8_t)random_below(&overlay->random, 256);
    }
    message_init(&message, minga_Message_dial_back_tag);
    /* A neighbour comes in without the router. */
    helper->port = is_neighbour(overlay, &overlay->membership.list[index].view.record)
                       ? own_port(overlay)
                       : mapped_port_to_ask(overlay, own_port(overlay));
    message.kind.dial_back.port = helper->port;
    memcpy(message.kind.dial_back.nonce, helper->nonce, REACH_NONCE_BYTES);
    if (peer_request(overlay, REQUEST_DIAL_BACK, &helper->node, &message, REACH_MS) == NULL) {
        helper->answer = REACH_SILENT;
    }
    return true;
}

static uint32_t count_of(const struct reach *reach, enum reach_answer answer)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < reach->helper_count; i++) {
        count += reach->helpers[i].answer == answer;
    }
    return count;
}

/* It may have been a passing trouble of the network: soon at first, then less and less often. */
static uint64_t again_ms(const struct reach *reach)
{
    uint64_t wait_ms = (uint64_t)REACH_MS << (reach->doubt_count < 8 ? reach->doubt_count : 8);

    return wait_ms < REACH_AGAIN_MS ? wait_ms : (uint64_t)REACH_AGAIN_MS;
}

/* Has it dialled us at an address that this node does not know by itself? */
static bool names_other(const struct reach *reach, const struct reach_helper *helper)
{
    return helper->answer == REACH_YES && helper->address[0] != '\0' &&
           !has_address(&reach->described, helper->address);
}

/* The one that two of them name, or the only one who was there to ask; NULL: none. Others are sent
 * to it first, so one member's word is not enough. */
static const char *agreed_address(const struct reach *reach)
{
    for (uint32_t i = 0; i < reach->helper_count; i++) {
        const struct reach_helper *helper = &reach->helpers[i];

        if (!names_other(reach, helper)) {
            continue;
        }
        if (reach->helper_count == 1) {
            return helper->address;
        }
        for (uint32_t k = i + 1; k < reach->helper_count; k++) {
            if (names_other(reach, &reach->helpers[k]) &&
                strcmp(helper->address, reach->helpers[k].address) == 0) {
                return helper->address;
            }
        }
    }
    return NULL;
}

static bool is_unconfirmed(const struct reach *reach)
{
    bool is_named = false;

    for (uint32_t i = 0; i < reach->helper_count; i++) {
        is_named = is_named || names_other(reach, &reach->helpers[i]);
    }
    return is_named && agreed_address(reach) == NULL;
}

/* Who was asked cannot tell, as leaves cannot, and nobody else can be asked: of some members a node that has
 * lost a part of its disk knows no more than that they are there. */
static void ask_who_others_are(struct overlay *overlay)
{
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        const struct member *member = &overlay->membership.list[i];

        if (member->record_bytes == 0 && member->view.state != MEMBER_EXPELLED) {
            contacts_named(overlay, &member->view.node);
        }
    }
    contacts_ask(overlay, &overlay->reach.helpers[0].node);
}

static void end_round(struct overlay *overlay, uint32_t yes_count, uint32_t no_count)
{
    struct reach *reach = &overlay->reach;
    bool is_first = overlay->record.reachable == minga_Reachable_REACHABLE_NONE;

    reach->in_round = false;
    reach->next_ms = overlay->now_ms + (is_first ? REACH_FIRST_MS : REACH_SOON_MS);
    if (yes_count > no_count) {
        const char *agreed = agreed_address(reach);

        if (agreed != NULL) {
            (void)snprintf(reach->proven, sizeof(reach->proven), "%s", agreed);
        }
        reach->doubt_count = 0;
        reach->next_ms =
            overlay->now_ms + REACH_LONG_MS / 2 + random_below(&overlay->random, REACH_LONG_MS);
        reach_publish(overlay, minga_Reachable_REACHABLE_DIRECT);
        return;
    }
    if (no_count == 0) { /* nobody could tell */
        ask_who_others_are(overlay);
        return;
    }
    reach->doubt_count++;
    /* By the router's port nobody came in: somebody may have opened the own one by hand. */
    reach->tries_own_port = !reach->tries_own_port;
    /* One member's word alone takes nobody off the ring, unless it is all that is to be had. */
    if (reach_is_leaf(overlay) ||
        reach->doubt_count >= (no_count >= REACH_HELPERS ? REACH_DOUBTS : REACH_DOUBTS_ONE)) {
        reach->next_ms = overlay->now_ms + again_ms(reach);
        reach->proven[0] = '\0';
        reach_publish(overlay, minga_Reachable_REACHABLE_NONE);
        leaf_tick(overlay);
    }
}

/* All have answered, or had their time; where they differ, also on the address, one more is asked. */
static void judge(struct overlay *overlay)
{
    struct reach *reach = &overlay->reach;
    uint32_t yes_count = count_of(reach, REACH_YES);
    uint32_t no_count = count_of(reach, REACH_NO);

    if (count_of(reach, REACH_ASKED) + count_of(reach, REACH_WAITING) > 0) {
        return;
    }
    if ((yes_count + no_count < REACH_HELPERS || yes_count == no_count || is_unconfirmed(reach)) &&
        ask_one(overlay)) {
        return;
    }
    end_round(overlay, yes_count, no_count);
}

static void begin_round(struct overlay *overlay)
{
    struct reach *reach = &overlay->reach;

    if (own_port(overlay) == 0) { /* it wants to be no more than a leaf */
        reach->next_ms = overlay->now_ms + REACH_LONG_MS;
        reach_publish(overlay, minga_Reachable_REACHABLE_NONE);
        return;
    }
    reach->next_ms = overlay->now_ms + REACH_SOON_MS;
    reach->helper_count = 0;
    reach->in_round = true;
    reach->began_ms = overlay->now_ms;
    for (uint32_t i = 0; i < REACH_HELPERS; i++) {
        (void)ask_one(overlay);
    }
    if (reach->helper_count == 0) {
        reach->in_round = false;
        /* Nobody else is up: who is alone is not in anybody's way. */
        if (overlay->record.reachable == minga_Reachable_REACHABLE_NONE) {
            reach->next_ms = overlay->now_ms + REACH_FIRST_MS;
        }
    }
}

void reach_tick(struct overlay *overlay)
{
    struct reach *reach = &overlay->reach;

    if (!reach->is_used || overlay->phase != PHASE_MEMBER || overlay->record.leaving) {
        return;
    }
    if (reach->in_round) {
        for (uint32_t i = 0; i < reach->helper_count; i++) {
            if (reach->helpers[i].answer == REACH_WAITING &&
                overlay->now_ms >= reach->helpers[i].until_ms) {
                reach->helpers[i].answer = REACH_NO;
            }
        }
        judge(overlay);
    } else if (overlay->now_ms >= reach->next_ms) {
        begin_round(overlay);
    }
}

uint64_t reach_wake(const struct overlay *overlay)
{
    const struct reach *reach = &overlay->reach;
    uint64_t wake_ms = 0;

    if (!reach->is_used) {
        return 0;
    }
    if (!reach->in_round) {
        return reach->next_ms;
    }
    for (uint32_t i = 0; i < reach->helper_count; i++) {
        uint64_t until_ms = reach->helpers[i].until_ms;

        if (reach->helpers[i].answer == REACH_WAITING && (wake_ms == 0 || until_ms < wake_ms)) {
            wake_ms = until_ms;
        }
    }
    return wake_ms;
}

static struct reach_helper *find_helper(struct overlay *overlay, const struct node_id *node)
{
    struct reach *reach = &overlay->reach;

    for (uint32_t i = 0; reach->in_round && i < reach->helper_count; i++) {
        if (id_equal(&reach->helpers[i].node.id, &node->id)) {
            return &reach->helpers[i];
        }
    }
    return NULL;
}

void reach_on_reply(struct overlay *overlay, const struct request *request,
                    const struct arrival *arrival)
{
    const minga_DialBackReply *reply = &arrival->message->kind.dial_back_reply;
    struct reach_helper *helper = find_helper(overlay, &request->to);

    if (helper == NULL || arrival->message->which_kind != minga_Message_dial_back_reply_tag) {
        return;
    }
    if (port_of(reply->address) == helper->port) { /* as it was asked to dial */
        (void)snprintf(helper->address, sizeof(helper->address), "%s", reply->address);
    }
    if (helper->answer == REACH_ASKED) {
        helper->answer = reply->tried ? REACH_WAITING : REACH_SILENT;
        helper->until_ms = overlay->now_ms + REACH_MS;
    }
    judge(overlay);
}

void reach_on_timeout(struct overlay *overlay, const struct request *request)
{
    struct reach_helper *helper = find_helper(overlay, &request->to);

    if (helper != NULL && helper->answer == REACH_ASKED) {
        helper->answer = REACH_SILENT;
        judge(overlay);
    }
}

/* Said on a new link, without a greeting: the nonce tells who dialled. */
void reach_on_dialled(struct overlay *overlay, const struct arrival *arrival)
{
    const uint8_t *nonce = arrival->message->kind.dialled.nonce;
    struct reach *reach = &overlay->reach;

    if (!arrival->asker.inbound || arrival->member != MEMBER_NONE || !reach->in_round) {
        return;
    }
    for (uint32_t i = 0; i < reach->helper_count; i++) {
        struct reach_helper *helper = &reach->helpers[i];

        if (memcmp(helper->nonce, nonce, REACH_NONCE_BYTES) == 0) {
            helper->answer = REACH_YES;
        }
    }
    judge(overlay);
}
