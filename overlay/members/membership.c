// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/members/membership.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "overlay/members/uses.h"

#define HASH_ITEM       "minga item"
#define HASH_INVITATION "minga invitation"
/* The highest bit, which dates leave, is that of those that are not void. */
#define VERSION_VOID (UINT64_MAX >> 1)

static void digest_toggle(struct id *digest, const struct id *item)
{
    for (int i = 0; i < ID_BYTES; i++) {
        digest->bytes[i] = (uint8_t)(digest->bytes[i] ^ item->bytes[i]);
    }
}

/* The first place in by_id whose node is not below `node`. */
static uint32_t place_by_id(const struct membership *membership, const struct id *node)
{
    uint32_t low = 0;
    uint32_t high = membership->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct member *member = &membership->list[membership->by_id[middle]];

        if (id_compare(&member->view.node.id, node) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint32_t place_by_position(const struct membership *membership, const struct id *key)
{
    uint32_t low = 0;
    uint32_t high = membership->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct member *member = &membership->list[membership->by_position[middle]];

        if (id_compare(&member->position.id, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t membership_place(const struct membership *membership, const struct id *key)
{
    uint32_t place = place_by_position(membership, key);

    CHECK(membership->count > 0);
    return place == membership->count ? 0 : place;
}

int membership_find(const struct membership *membership, const struct node_id *node)
{
    uint32_t place = place_by_id(membership, &node->id);

    if (place < membership->count &&
        id_equal(&membership->list[membership->by_id[place]].view.node.id, &node->id)) {
        return membership->by_id[place];
    }
    return MEMBER_NONE;
}

static uint64_t check_of(struct bytes encoded)
{
    struct id hash = hash_of(HASH_ITEM, encoded);

    return id_top(&hash);
}

static void insert_sorted(struct membership *membership, uint16_t index)
{
    struct member *member = &membership->list[index];
    uint32_t id_place = place_by_id(membership, &member->view.node.id);
    uint32_t ring_place = place_by_position(membership, &member->position.id);
    uint32_t count = membership->count;

    memmove(&membership->by_id[id_place + 1], &membership->by_id[id_place],
            (count - id_place) * sizeof(membership->by_id[0]));
    memmove(&membership->by_position[ring_place + 1], &membership->by_position[ring_place],
            (count - ring_place) * sizeof(membership->by_position[0]));
    membership->by_id[id_place] = index;
    membership->by_position[ring_place] = index;
    membership->count++;
}

static void fill_member(struct member *member, const struct admission *admission)
{
    struct overlay_member *view = &member->view;

    view->node = admission->node;
    view->key = admission->node_key;
    view->owner = keys_owner_id(&admission->owner_key);
    view->owner_key = admission->owner_key;
    memcpy(view->owner_name, admission->owner_name, sizeof(view->owner_name));
    memcpy(view->record.name, admission->node_name, sizeof(view->record.name));
    view->since_unix_s = admission->admitted_unix_s;
    view->state = MEMBER_DOWN;
    member->position = keys_position(&admission->node_key, 0);
    member->countersigner = admission->countersigner;
    if (admission->has_invitation) {
        member->invitation = admission->invitation_key;
        member->uses_max = admission->uses_max;
    }
}

static uint64_t version_of(const struct admission *admission)
{
    return admission->has_invitation ? UINT64_MAX - admission->admitted_unix_s : UINT64_MAX;
}

static struct id item_of(const struct member *member)
{
    return hash_of(HASH_ITEM, (struct bytes){member->admission, member->admission_bytes});
}

static struct id arc_item_of(const struct member *member)
{
    return member->uses_max == 0
               ? hash_of(HASH_ITEM, (struct bytes){member->view.node.id.bytes, ID_BYTES})
               : item_of(member);
}

uint64_t membership_version(const struct member *member, bool in_arc, uint64_t *check_out)
{
    bool is_any = in_arc && member->uses_max == 0;

    *check_out = is_any ? 0 : member->admission_check;
    if (is_any) {
        return 0;
    }
    return member->is_void ? member->admission_version & VERSION_VOID : member->admission_version;
}

static void keep_admission(struct membership *membership, struct member *member,
                           const struct admission *admission, struct bytes encoded)
{
    struct id item;

    memcpy(member->admission, encoded.data, encoded.length_bytes);
    member->admission_bytes = encoded.length_bytes;
    member->admission_version = version_of(admission);
    member->admission_check = check_of(encoded);
    member->is_void = false;
    uses_recount(membership, &member->invitation, member->uses_max);
    item = item_of(member);
    digest_toggle(&membership->digest_admissions, &item);
}

static void put_at(struct membership *membership, uint32_t index, const struct admission *admission,
                   struct bytes encoded)
{
    struct member *member = &membership->list[index];

    memset(member, 0, sizeof(*member));
    fill_member(member, admission);
    member->is_expelled = membership_banned(&membership->expulsions, &admission->node.id) != NULL;
    insert_sorted(membership, (uint16_t)index);
    keep_admission(membership, member, admission, encoded);
}

bool membership_prefers(const struct membership *membership, int index,
                        const struct admission *admission, struct bytes encoded)
{
    const struct member *member = &membership->list[index];
    struct use use = {admission->invitation_key, admission->admitted_unix_s, admission->node};
    uint64_t version = version_of(admission);
    bool is_void = uses_are_up(membership, &use, admission->uses_max);

    if (is_void != member->is_void) {
        return !is_void;
    }
    if (version != member->admission_version) {
        return version > member->admission_version;
    }
    return check_of(encoded) < member->admission_check;
}

void membership_readmit(struct membership *membership, int index, const struct admission *admission,
                        struct bytes encoded)
{
    struct member *member = &membership->list[index];
    struct public_key invitation = member->invitation;
    uint32_t uses_max = member->uses_max;
    struct id item = item_of(member);

    CHECK(id_equal(&member->view.node.id, &admission->node.id));
    CHECK(encoded.length_bytes <= ADMISSION_BYTES_MAX);
    digest_toggle(&membership->digest_admissions, &item);
    member->view.since_unix_s = admission->admitted_unix_s;
    member->countersigner = admission->countersigner;
    member->invitation = admission->invitation_key;
    member->uses_max = admission->uses_max;
    keep_admission(membership, member, admission, encoded);
    uses_recount(membership, &invitation, uses_max);
}

int membership_admit(struct membership *membership, const struct admission *admission,
                     struct bytes encoded, bool *added_out)
{
    int known = membership_find(membership, &admission->node);

    if (known != MEMBER_NONE || membership->count == MEMBERS_MAX ||
        encoded.length_bytes > ADMISSION_BYTES_MAX) {
        *added_out = false;
        return known != MEMBER_NONE ? known : -ENOSPC;
    }
    put_at(membership, membership->count, admission, encoded);
    *added_out = true;
    return (int)membership->count - 1;
}

static void remove_from(uint16_t *order, uint32_t count, uint16_t index)
{
    uint32_t place = 0;

    while (order[place] != index) {
        place++;
        CHECK(place < count);
    }
    memmove(&order[place], &order[place + 1], (count - place - 1) * sizeof(order[0]));
}

int membership_replace(struct membership *membership, int index, const struct admission *admission,
                       struct bytes encoded)
{
    struct member *member = &membership->list[index];
    struct id item = item_of(member);

    CHECK(index >= 0 && (uint32_t)index < membership->count);
    CHECK(membership_find(membership, &admission->node) == MEMBER_NONE);
    if (encoded.length_bytes > ADMISSION_BYTES_MAX) {
        return -ENOSPC;
    }
    digest_toggle(&membership->digest_admissions, &item);
    digest_toggle(&membership->digest_nodes, &member->node_hash);
    remove_from(membership->by_id, membership->count, (uint16_t)index);
    remove_from(membership->by_position, membership->count, (uint16_t)index);
    positions_set(&membership->positions, (uint32_t)index, &member->view.key, 0);
    membership->count--;
    put_at(membership, (uint32_t)index, admission, encoded);
    return index;
}

void membership_digest_arc(const struct membership *membership, const struct ring_key *from,
                           const struct ring_key *to, struct id *admissions_out,
                           struct id *nodes_out)
{
    memset(admissions_out, 0, sizeof(*admissions_out));
    memset(nodes_out, 0, sizeof(*nodes_out));
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct member *member = &membership->list[i];
        struct id item;

        if (membership_is_up(member) && id_in_arc(&member->position.id, &from->id, &to->id)) {
            item = arc_item_of(member);
            digest_toggle(admissions_out, &item);
            digest_toggle(nodes_out, &member->node_hash);
        }
    }
}

/* Both views of a member hash alike when they know the same record and agree on its death. */
static void rehash_node(struct membership *membership, struct member *member)
{
    struct hash hash;
    uint8_t life = (uint8_t)member->life;
    uint8_t incarnation[8];

    for (int i = 0; i < 8; i++) {
        incarnation[i] = (uint8_t)(member->incarnation >> (8 * i));
    }
    digest_toggle(&membership->digest_nodes, &member->node_hash);
    hash_init(&hash, HASH_ITEM);
    hash_add(&hash, (struct bytes){member->record, member->record_bytes});
    hash_add(&hash, (struct bytes){incarnation, sizeof(incarnation)});
    hash_add(&hash, (struct bytes){&life, 1});
    hash_done(&hash, &member->node_hash);
    digest_toggle(&membership->digest_nodes, &member->node_hash);
}

bool membership_is_other(const struct member *member, const minga_NodeRecord *record,
                         struct bytes encoded)
{
    if (member->record_bytes == 0 || record->sequence != member->view.record.sequence) {
        return member->record_bytes == 0 || record->sequence > member->view.record.sequence;
    }
    return encoded.length_bytes != member->record_bytes ||
           memcmp(encoded.data, member->record, encoded.length_bytes) != 0;
}

bool membership_describe(struct membership *membership, int index, const minga_NodeRecord *record,
                         struct bytes encoded)
{
    struct member *member = &membership->list[index];

    if (encoded.length_bytes > NODE_RECORD_BYTES_MAX ||
        !membership_is_other(member, record, encoded) ||
        (member->record_bytes > 0 && record->sequence == member->view.record.sequence &&
         check_of(encoded) > member->record_check)) {
        return false;
    }
    member->view.record = *record;
    memcpy(member->record, encoded.data, encoded.length_bytes);
    member->record_bytes = encoded.length_bytes;
    member->record_check = check_of(encoded);
    if (record->incarnation > member->incarnation) {
        member->incarnation = record->incarnation;
        if (member->life == LIFE_DEAD) {
            member->life = LIFE_UNKNOWN;
        }
    }
    positions_set(&membership->positions, (uint32_t)index, &member->view.key,
                  record->stores ? positions_mask(record->positions) : 0);
    rehash_node(membership, member);
    return true;
}

bool membership_may_die(const struct member *member, uint64_t incarnation)
{
    uint64_t own = member->view.record.incarnation;

    return incarnation <= own || incarnation - own <= INCARNATION_STEP_MAX;
}

bool membership_bury(struct membership *membership, int index, uint64_t incarnation)
{
    struct member *member = &membership->list[index];

    if (incarnation < member->incarnation ||
        (incarnation > member->incarnation && !membership_may_die(member, incarnation)) ||
        (member->life == LIFE_DEAD && incarnation == member->incarnation)) {
        return false;
    }
    member->incarnation = incarnation;
    member->life = LIFE_DEAD;
    rehash_node(membership, member);
    return true;
}

bool membership_revive(struct membership *membership, int index)
{
    struct member *member = &membership->list[index];

    if (member->life == LIFE_ALIVE) {
        return false;
    }
    member->life = LIFE_ALIVE;
    rehash_node(membership, member);
    return true;
}

static uint32_t ban_place(const struct ban_table *table, const struct id *key)
{
    uint32_t place = 0;

    while (place < table->count && id_compare(&table->list[place].key, key) < 0) {
        place++;
    }
    return place;
}

static void toggle_ban(struct membership *membership, const struct id *key)
{
    struct id item = hash_of(HASH_ITEM, (struct bytes){key->bytes, ID_BYTES});

    digest_toggle(&membership->digest_bans, &item);
}

static void expel(struct membership *membership, const struct id *key)
{
    int index = membership_find(membership, &(struct node_id){*key});

    if (index != MEMBER_NONE) {
        struct member *member = &membership->list[index];

        member->is_expelled = true;
        uses_recount(membership, &member->invitation, member->uses_max);
    }
}

int membership_ban(struct membership *membership, struct ban_table *table, const struct ban *ban)
{
    uint32_t place = ban_place(table, &ban->key);

    if (place < table->count && id_equal(&table->list[place].key, &ban->key)) {
        return 0;
    }
    if (table->count == BANS_MAX) {
        return -ENOSPC;
    }
    memmove(&table->list[place + 1], &table->list[place],
            (table->count - place) * sizeof(table->list[0]));
    table->list[place] = *ban;
    table->count++;
    toggle_ban(membership, &ban->key);
    if (table == &membership->expulsions) {
        expel(membership, &ban->key);
    }
    return 1;
}

static bool is_over(const struct ban *revocation, uint64_t wall_unix_s)
{
    const uint64_t age_s = (uint64_t)REVOCATION_DAYS_MIN * 86400;

    return revocation->over_unix_s > 0 && wall_unix_s > age_s &&
           revocation->over_unix_s < wall_unix_s - age_s;
}

static bool was_over_before(const struct ban *a, const struct ban *b)
{
    return a->over_unix_s != b->over_unix_s ? a->over_unix_s < b->over_unix_s
                                            : id_compare(&a->key, &b->key) < 0;
}

const struct ban *membership_outlived(const struct membership *membership, const struct ban *comes,
                                      uint64_t wall_unix_s)
{
    const struct ban_table *table = &membership->revocations;
    const struct ban *first = NULL;

    if (membership_has_room(table, &comes->key)) {
        return NULL;
    }
    for (uint32_t i = 0; i < table->count; i++) {
        const struct ban *ban = &table->list[i];

        if (is_over(ban, wall_unix_s) && (first == NULL || was_over_before(ban, first))) {
            first = ban;
        }
    }
    return first != NULL && is_over(comes, wall_unix_s) && was_over_before(comes, first) ? NULL
                                                                                         : first;
}

void membership_unban(struct membership *membership, struct ban_table *table, const struct id *key)
{
    struct id gone = *key; /* it may lie in the table */
    uint32_t place = ban_place(table, &gone);

    CHECK(place < table->count && id_equal(&table->list[place].key, &gone));
    table->count--;
    memmove(&table->list[place], &table->list[place + 1],
            (table->count - place) * sizeof(table->list[0]));
    toggle_ban(membership, &gone);
}

const struct ban *membership_banned(const struct ban_table *table, const struct id *key)
{
    uint32_t place = ban_place(table, key);

    if (place < table->count && id_equal(&table->list[place].key, key)) {
        return &table->list[place];
    }
    return NULL;
}

bool membership_has_room(const struct ban_table *table, const struct id *key)
{
    return table->count < BANS_MAX || membership_banned(table, key) != NULL;
}

struct id membership_invitation_id(const struct public_key *invitation)
{
    return hash_of(HASH_INVITATION, (struct bytes){invitation->bytes, PUBLIC_KEY_BYTES});
}

enum member_state membership_state(const struct membership *membership, int index)
{
    const struct member *member = &membership->list[index];

    if (member->is_void ||
        membership_banned(&membership->expulsions, &member->view.node.id) != NULL) {
        return MEMBER_EXPELLED;
    }
    if (member->view.record.leaving) {
        return MEMBER_LEFT;
    }
    if (member->life != LIFE_ALIVE) {
        return MEMBER_DOWN;
    }
    return member->view.state == MEMBER_SUSPECT ? MEMBER_SUSPECT : MEMBER_UP;
}

bool membership_is_up(const struct member *member)
{
    return member->view.state == MEMBER_UP || member->view.state == MEMBER_SUSPECT;
}

bool membership_is_leaf(const struct member *member)
{
    return member->view.record.reachable == minga_Reachable_REACHABLE_RELAYED ||
           member->view.record.reachable == minga_Reachable_REACHABLE_NONE;
}

bool membership_in_ring(const struct member *member)
{
    return membership_is_up(member) && !membership_is_leaf(member);
}

/* Parts of the membership differ, as they should: bans only, and the last bit says so. */
uint64_t membership_digest(const struct membership *membership)
{
    uint64_t digest = 0;

    for (int i = 0; i < 8; i++) {
        uint8_t byte = membership->digest_bans.bytes[i];

        if (!membership->is_part) {
            byte = (uint8_t)(byte ^ membership->digest_admissions.bytes[i] ^
                             membership->digest_nodes.bytes[i]);
        }
        digest = digest << 8 | byte;
    }
    return (digest & ~(uint64_t)1) | (membership->is_part ? 1 : 0);
}

bool membership_differs(const struct membership *membership, uint64_t theirs)
{
    uint64_t ours = membership_digest(membership);

    return (ours & 1) == (theirs & 1) && ours != theirs;
}
