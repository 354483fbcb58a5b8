// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Where the keys lie that the agent asks for again and again (who manages this service?) in a
 * community of which only a part is known: looked up, kept for a short time, looked up again.
 */
#include <string.h>

#include "overlay/state.h"

enum {
    FRESH_MS = 5000,  /* then it is looked up again */
    STALE_MS = 10000, /* and not used any more */
    AGAIN_MS = 500,   /* between two tries */
    DOUBT_MS = 60000, /* then whoever has answered so far may be a liar */
};

static int index_of(const struct overlay *overlay, const struct ring_key *key)
{
    for (int i = 0; i < LOCATED_MAX; i++) {
        if (overlay->located[i].used && id_equal(&overlay->located[i].key.id, &key->id)) {
            return i;
        }
    }
    return -1;
}

static struct located *make_room(struct overlay *overlay, const struct ring_key *key)
{
    struct located *oldest = &overlay->located[0];

    for (uint32_t i = 1; i < LOCATED_MAX; i++) {
        struct located *located = &overlay->located[i];

        if (oldest->used && (!located->used || located->wanted_ms < oldest->wanted_ms)) {
            oldest = located;
        }
    }
    memset(oldest, 0, sizeof(*oldest));
    oldest->used = true;
    oldest->key = *key;
    return oldest;
}

static bool is_fresh(const struct overlay *overlay, const struct located *located)
{
    return located->count > 0 && overlay->now_ms - located->found_ms < FRESH_MS &&
           (peer_is_self(overlay, &located->holders[0]) ||
            peer_is_reachable(overlay, &located->holders[0]));
}

bool located_is_doubtful(const struct overlay *overlay, const struct ring_key *key)
{
    int index = index_of(overlay, key);
    const struct located *located = index < 0 ? NULL : &overlay->located[index];

    return located == NULL || located->count == 0 || located->careful_ms == 0 ||
           overlay->now_ms - located->careful_ms >= DOUBT_MS;
}

bool located_is_fresh(const struct overlay *overlay, const struct ring_key *key)
{
    int index = index_of(overlay, key);

    return index >= 0 && is_fresh(overlay, &overlay->located[index]);
}

static void locate(struct overlay *overlay, const struct ring_key *key, bool is_anew)
{
    int index = index_of(overlay, key);
    struct located *located = index < 0 ? make_room(overlay, key) : &overlay->located[index];

    located->wanted_ms = overlay->now_ms;
    if ((is_anew || !is_fresh(overlay, located)) &&
        (located->asked_ms == 0 || overlay->now_ms - located->asked_ms >= AGAIN_MS)) {
        bool is_careful = located_is_doubtful(overlay, key);

        located->asked_ms = overlay->now_ms;
        if (search_start(overlay, key, SEARCH_LOCATE, 0) && is_careful) {
            located->careful_ms = overlay->now_ms;
        }
    }
}

void overlay_locate(struct overlay *overlay, const struct overlay_event *now,
                    const struct ring_key *key, struct overlay_effects *effects)
{
    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    if (overlay->phase == PHASE_MEMBER && !search_is_known(overlay, key)) {
        locate(overlay, key, false);
    }
    state_leave(overlay);
}

void overlay_locate_anew(struct overlay *overlay, const struct overlay_event *now,
                         const struct ring_key *key, struct overlay_effects *effects)
{
    state_enter(overlay, now->now_ms, now->wall_unix_s, effects);
    if (overlay->phase == PHASE_MEMBER && !search_is_known(overlay, key)) {
        locate(overlay, key, true);
    }
    state_leave(overlay);
}

void overlay_mislocated(struct overlay *overlay, const struct overlay_event *now,
                        const struct ring_key *key, struct overlay_effects *effects)
{
    int index = index_of(overlay, key);

    if (index >= 0) {
        overlay->located[index].count = 0;
    }
    overlay_locate(overlay, now, key, effects);
}

void located_found(struct overlay *overlay, const struct ring_key *key,
                   const struct node_id *holders, uint32_t count)
{
    int index = index_of(overlay, key);
    struct located *located;

    if (index < 0) {
        return;
    }
    located = &overlay->located[index];
    if (count == 0) {
        located->careful_ms = 0; /* whoever was asked knows no more */
        return;
    }
    located->found_ms = overlay->now_ms;
    located->count = count;
    for (uint32_t i = 0; i < count; i++) {
        located->holders[i] = holders[i];
    }
}

/* Without the first one, who answers for the key, the others would be taken for it. */
uint32_t located_holders(const struct overlay *overlay, const struct ring_key *key,
                         uint32_t count_max, struct node_id *nodes_out)
{
    int index = index_of(overlay, key);
    const struct located *located = index < 0 ? NULL : &overlay->located[index];
    uint32_t count = 0;

    if (located == NULL || overlay->now_ms - located->found_ms >= STALE_MS) {
        return 0;
    }
    if (located->count > 0 && peer_is_self(overlay, &located->holders[0]) &&
        !ring_has(&overlay->ring, key)) {
        return 0; /* the arc has gone to another one since */
    }
    for (uint32_t i = 0; i < located->count && count < count_max; i++) {
        const struct node_id *node = &located->holders[i];

        if (peer_is_self(overlay, node) || peer_is_reachable(overlay, node)) {
            nodes_out[count++] = *node;
        } else if (i == 0) {
            return 0;
        }
    }
    return count;
}
