// SPDX-License-Identifier: GPL-3.0-or-later
/* Life of an overlay, and the frame of each call: time in, housekeeping, the next wake-up out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

static uint32_t table_size(uint32_t full_members_max)
{
    uint32_t wanted = full_members_max + BOOK_SPARE;

    if (wanted < BOOK_MEMBERS_MIN) {
        wanted = BOOK_MEMBERS_MIN;
    }
    return wanted > MEMBERS_MAX ? (uint32_t)MEMBERS_MAX : wanted;
}

struct overlay *overlay_new(const struct overlay_config *config)
{
    struct overlay *overlay = calloc(1, sizeof(*overlay));

    if (overlay == NULL) {
        return NULL;
    }
    overlay->secret = config->node_key;
    overlay->key = keys_public(&config->node_key);
    overlay->self = keys_node_id(&overlay->key);
    overlay->place = (struct ring_node){overlay->self, keys_position(&overlay->key, 0)};
    overlay->record = config->description;
    overlay->record.sequence = 0;
    overlay->record.incarnation = 0;
    overlay->self_index = MEMBER_NONE;
    overlay->speaker = MEMBER_NONE;
    overlay->full_members_max =
        config->full_members_max == 0 ? FULL_MEMBERS_MAX : config->full_members_max;
    overlay->members_max = table_size(overlay->full_members_max);
    overlay->chunks.bytes_max = config->storage_bytes_max;
    overlay->record.storage_kib = overlay->record.stores ? rebalance_capacity_kib(overlay) : 0;
    overlay->upload_bytes_per_s = config->upload_bytes_per_s;
    overlay->repair.download.bytes_per_s = config->download_bytes_per_s;
    overlay->routing = &router_full;
    overlay->router = (struct router){
        .membership = &overlay->membership, .ring = &overlay->ring, .self = MEMBER_NONE};
    random_init(&overlay->random, config->seed, "overlay");
    /* Ids of an earlier life must not be taken for this one's. */
    overlay->requests.last_id = random_u64(&overlay->random) >> 40;
    overlay->last_token = overlay->requests.last_id;
    ring_init(&overlay->ring, &overlay->place, 0);
    far_init(overlay);
    reach_init(overlay, config);
    return overlay;
}

void overlay_free(struct overlay *overlay)
{
    if (overlay != NULL) {
        keys_forget(&overlay->secret);
        free(overlay);
    }
}

/* This machine, or this process got no time. */
uint64_t state_slept_ms(const struct overlay *overlay, uint64_t now_ms)
{
    bool is_late = overlay->due_ms != 0 && now_ms > overlay->due_ms + DETECTOR_STALL_MS;

    return is_late ? now_ms - overlay->due_ms : 0;
}

void state_enter(struct overlay *overlay, uint64_t now_ms, uint64_t wall_unix_s,
                 struct overlay_effects *effects)
{
    CHECK(effects != NULL);
    CHECK(effects->count <= OVERLAY_EFFECTS_MAX);
    overlay->heard_ms += state_slept_ms(overlay, now_ms);
    overlay->due_ms = 0;
    /* Time does not go back, whatever the caller says. */
    if (now_ms > overlay->now_ms) {
        overlay->now_ms = now_ms;
        overlay->router.now_ms = now_ms;
    }
    overlay->wall_unix_s = wall_unix_s;
    overlay->effects = effects;
    overlay->speaker = MEMBER_NONE;
    overlay->named_count = 0;
}

static void sooner(uint64_t *wake_ms, uint64_t other_ms)
{
    if (other_ms != 0 && (*wake_ms == 0 || other_ms < *wake_ms)) {
        *wake_ms = other_ms;
    }
}

static uint64_t next_wake(const struct overlay *overlay)
{
    uint64_t wake_ms = requests_wake(&overlay->requests);

    sooner(&wake_ms, overlay->goodbye_ms);
    sooner(&wake_ms, overlay->keep.again_ms);
    sooner(&wake_ms, record_put_wake(overlay));
    sooner(&wake_ms, record_get_wake(overlay));
    sooner(&wake_ms, chunk_get_wake(overlay));
    sooner(&wake_ms, bulk_wake(&overlay->offers));
    sooner(&wake_ms, seeks_wake(overlay));
    if (overlay->phase == PHASE_MEMBER && overlay->started) {
        sooner(&wake_ms, detector_wake(&overlay->detector));
        sooner(&wake_ms, overlay->redial_ms);
        sooner(&wake_ms, overlay->describe_ms);
        sooner(&wake_ms, dials_wake(overlay));
        sooner(&wake_ms, digests_wake(overlay));
        sooner(&wake_ms, sync_wake(overlay));
        sooner(&wake_ms, images_wake(overlay));
        sooner(&wake_ms, repair_wake(overlay));
        sooner(&wake_ms, collect_wake(overlay));
        sooner(&wake_ms, reach_wake(overlay));
        sooner(&wake_ms, leaf_wake(overlay));
        sooner(&wake_ms, relaying_wake(overlay));
        if (overlay->ring.phase != RING_OUT) {
            sooner(&wake_ms, place_wake(overlay));
        }
    }
    return wake_ms;
}

void state_leave(struct overlay *overlay)
{
    struct overlay_effect *effect;
    uint64_t wake_ms;

    digests_note(overlay);
    wake_ms = next_wake(overlay);
    if (wake_ms != 0) {
        effect = effect_add(overlay, OVERLAY_WAKE);
        if (effect != NULL) {
            effect->wake_ms = wake_ms > overlay->now_ms ? wake_ms : overlay->now_ms + 1;
            overlay->due_ms = effect->wake_ms;
        }
    }
    overlay->effects = NULL;
}

/* Partitions heal because everyone keeps dialling whom it lost, one at a time, for ever. */
static void redial(struct overlay *overlay)
{
    uint32_t count = overlay->membership.count;
    uint64_t wait_ms;
    uint32_t start;

    if (overlay->now_ms < overlay->redial_ms) {
        return;
    }
    wait_ms = scale_redial_ms(scale_seen(overlay));
    overlay->redial_ms = overlay->now_ms + wait_ms / 2 + random_below(&overlay->random, wait_ms);
    start = (uint32_t)random_below(&overlay->random, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = (start + i) % count;
        const struct member *member = &overlay->membership.list[index];
        bool is_lost = member->view.state == MEMBER_DOWN || member->view.state == MEMBER_LEFT;

        if (!is_lost || (int)index == overlay->self_index) {
            continue;
        }
        if (member->linked) {
            peer_hang_up(overlay, &member->view.node); /* and what waits in it */
        }
        peer_greet(overlay, &member->view.node);
        return;
    }
}

/* Links that nothing was sent on for long are given back. */
static void close_idle(struct overlay *overlay)
{
    if (overlay->now_ms < overlay->idle_ms) {
        return;
    }
    overlay->idle_ms = overlay->now_ms + IDLE_LINK_MS / 4;
    for (uint32_t i = 0; i < overlay->membership.count; i++) {
        const struct member *member = &overlay->membership.list[i];

        if (member->linked && overlay->now_ms - member->sent_ms > IDLE_LINK_MS &&
            !watch_is_neighbour(overlay, &member->view.node) &&
            !leaf_is_relay(overlay, &member->view.node)) {
            peer_hang_up(overlay, &member->view.node);
        }
    }
}

static void describe(struct overlay *overlay)
{
    if (overlay->describe_ms != 0 && overlay->now_ms >= overlay->describe_ms) {
        uint64_t incarnation = overlay->record.incarnation;

        gossip_describe(overlay, overlay->refute_above >= incarnation ? overlay->refute_above + 1
                                                                      : incarnation);
    }
}

static void housekeeping(struct overlay *overlay)
{
    dispatch_expire(overlay);
    goodbye_tick(overlay);
    keep_tick(overlay);
    record_put_tick(overlay);
    record_get_tick(overlay);
    chunk_get_tick(overlay);
    chunk_offers_tick(overlay);
    seeks_tick(overlay);
    if (overlay->phase != PHASE_MEMBER || overlay->record.leaving) {
        return;
    }
    watch_event(overlay, DETECTOR_TICK, 0);
    place_tick(overlay);
    scale_tick(overlay);
    contacts_tick(overlay);
    digests_tick(overlay);
    sync_tick(overlay);
    images_tick(overlay);
    repair_tick(overlay);
    collect_tick(overlay);
    dials_tick(overlay);
    describe(overlay);
    reach_tick(overlay);
    leaf_tick(overlay);
    relaying_tick(overlay);
    redial(overlay);
    close_idle(overlay);
}

void overlay_start(struct overlay *overlay, uint64_t now_ms, uint64_t wall_unix_s,
                   struct overlay_effects *effects)
{
    state_enter(overlay, now_ms, wall_unix_s, effects);
    CHECK(!overlay->started);
    overlay->started = true;
    load_finish(overlay);
    repair_begin(overlay);
    collect_begin(overlay);
    reach_begin(overlay);
    if (overlay->community_bytes > 0 && overlay->self_index != MEMBER_NONE) {
        joining_begin(overlay);
    } else {
        gossip_describe(overlay, 1);
    }
    state_leave(overlay);
}

static void on_stored(struct overlay *overlay, const struct overlay_event *event)
{
    if (!place_on_stored(overlay, event->token, event->failed) &&
        !keep_on_stored(overlay, event->token, event->failed) &&
        !chunk_receive_on_noted(overlay, event->token, event->failed)) {
        record_copy_on_stored(overlay, event->token, event->failed);
    }
}

static void on_chunk_stored(struct overlay *overlay, const struct overlay_event *event)
{
    if (event->outcome == OVERLAY_CHUNK_OK && event->chunk_bytes <= CHUNK_BYTES_MAX) {
        repair_stored(overlay, &event->chunk, (uint32_t)event->chunk_bytes);
    }
    if (!event->was_there) {
        storage_written(overlay, event->outcome);
    }
    if (!chunk_receive_on_stored(overlay, event)) {
        (void)chunk_get_on_stored(overlay, event);
    }
}

void overlay_step(struct overlay *overlay, const struct overlay_event *event,
                  struct overlay_effects *effects)
{
    CHECK(overlay->started);
    CHECK(event->now_ms != 0);
    state_enter(overlay, event->now_ms, event->wall_unix_s, effects);
    switch (event->kind) {
    case OVERLAY_TICK:
        break;
    case OVERLAY_RECEIVED:
        dispatch_received(overlay, event);
        break;
    case OVERLAY_LINK_UP:
        peer_on_link_up(overlay, &event->node);
        break;
    case OVERLAY_LINK_LOST:
        peer_on_link_lost(overlay, &event->node, event->refused);
        break;
    case OVERLAY_STORED:
        on_stored(overlay, event);
        break;
    case OVERLAY_CHUNK_STORED:
        on_chunk_stored(overlay, event);
        break;
    case OVERLAY_CHUNK_ABSENT:
        repair_lost(overlay, &event->chunk);
        break;
    case OVERLAY_CHUNK_READ:
        repair_read(overlay, event);
        break;
    case OVERLAY_RELAY_UP:
    case OVERLAY_RELAY_DOWN:
        leaf_on_edge(overlay, &event->node, event->kind == OVERLAY_RELAY_UP);
        break;
    case OVERLAY_PORT_REFUSED:
        relaying_port_refused(overlay, event->port);
        break;
    case OVERLAY_PORT_MAPPED:
        mapped_on_edge(overlay, event);
        break;
    case OVERLAY_CALLER_LOST:
        peer_caller_lost(overlay, event->source.link);
        break;
    }
    housekeeping(overlay);
    state_leave(overlay);
}

void overlay_describe(struct overlay *overlay, const struct overlay_event *now,
                      const minga_NodeRecord *description, struct overlay_effects *effects)
{
    bool stored = overlay->record.stores;

    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    if (reach_describe(overlay, description)) {
        gossip_describe(overlay, overlay->record.incarnation);
    }
    if (stored != overlay->record.stores && overlay->started) {
        shed_begin(overlay);
    }
    reach_tick(overlay);
    state_leave(overlay);
}

static bool has_room_for(const struct overlay *overlay, minga_ItemKind kind, const struct ban *ban,
                         uint64_t wall_unix_s)
{
    const struct membership *membership = &overlay->membership;

    return kind == minga_ItemKind_ITEM_EXPULSION
               ? membership_has_room(&membership->expulsions, &ban->key)
               : membership_has_room(&membership->revocations, &ban->key) ||
                     membership_outlived(membership, ban, wall_unix_s) != NULL;
}

static int tell_ban(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                    const minga_Item *item, struct overlay_effects *effects)
{
    const bool is_expulsion = item->kind == minga_ItemKind_ITEM_EXPULSION;
    const struct bytes encoded = {item->content.bytes, item->content.size};
    minga_Message message;
    struct ban ban;
    int r = is_expulsion ? admission_open_expulsion(encoded, &overlay->community, &ban)
                         : admission_open_revocation(encoded, &overlay->community, &ban);

    if (r < 0 || overlay->phase != PHASE_MEMBER) {
        return -EBADMSG;
    }
    if (!has_room_for(overlay, item->kind, &ban, now->wall_unix_s)) {
        return -ENOSPC; /* it would hold nowhere: all have the same */
    }
    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    /* The expelled one is told as well, while it can be; it is no link in the others' chain. */
    message_init(&message, minga_Message_item_tag);
    message.kind.item = *item;
    if (is_expulsion) {
        peer_send(overlay, &(struct node_id){ban.key}, &message, NULL);
    }
    (void)gossip_apply(overlay, item);
    effect_store(overlay,
                 &(struct overlay_blob){.kind = is_expulsion ? BLOB_EXPULSION : BLOB_REVOCATION,
                                        .key = ban.key,
                                        .bytes = encoded},
                 token);
    tell_everyone(overlay, item);
    state_leave(overlay);
    return 0;
}

static minga_Item ban_item(minga_ItemKind kind, struct bytes encoded)
{
    minga_Item item = minga_Item_init_zero;

    item.kind = kind;
    if (encoded.length_bytes <= sizeof(item.content.bytes)) { /* else it is none */
        item.content.size = (pb_size_t)encoded.length_bytes;
        memcpy(item.content.bytes, encoded.data, encoded.length_bytes);
    }
    return item;
}

int overlay_expel(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                  struct bytes expulsion, struct overlay_effects *effects)
{
    minga_Item item = ban_item(minga_ItemKind_ITEM_EXPULSION, expulsion);

    return tell_ban(overlay, now, token, &item, effects);
}

int overlay_revoke(struct overlay *overlay, const struct overlay_event *now, uint64_t token,
                   struct bytes revocation, struct overlay_effects *effects)
{
    minga_Item item = ban_item(minga_ItemKind_ITEM_REVOCATION, revocation);

    return tell_ban(overlay, now, token, &item, effects);
}
