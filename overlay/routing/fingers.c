// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/routing/fingers.h"

#include <string.h>

#include "base/check.h"

void fingers_init(struct fingers *fingers, const struct ring_node *self)
{
    memset(fingers, 0, sizeof(*fingers));
    fingers->self = *self;
    memset(&fingers->near_distance, 0xff, sizeof(fingers->near_distance));
    memset(fingers->stale, true, sizeof(fingers->stale));
    fingers->period_ms = FINGERS_PERIOD_MS_MIN;
}

static struct id distance_of(const struct fingers *fingers, const struct ring_key *key)
{
    return id_distance(&fingers->self.position.id, &key->id);
}

static uint8_t nibble(const struct id *id, uint32_t index)
{
    uint8_t byte = id->bytes[index / 2];

    return index % 2 == 0 ? byte >> 4 : byte & 0x0f;
}

int fingers_slot(const struct id *distance)
{
    for (uint32_t level = 0; level < FINGER_LEVELS_MAX; level++) {
        uint8_t digit = nibble(distance, level);

        if (digit != 0) {
            return (int)(level * 15 + digit - 1);
        }
    }
    return FINGER_SLOT_NONE;
}

/* The first and the last distance of a slot. */
static struct id slot_distance(uint32_t slot, bool last)
{
    struct id distance;
    uint32_t level = slot / 15;
    uint32_t digit = slot % 15 + 1;

    memset(&distance, 0, sizeof(distance));
    if (last) {
        memset(distance.bytes + level / 2, 0xff, ID_BYTES - level / 2);
    }
    if (level % 2 == 0) {
        distance.bytes[level / 2] = (uint8_t)(digit << 4 | (last ? 0x0f : 0));
    } else {
        distance.bytes[level / 2] = (uint8_t)digit;
    }
    return distance;
}

struct ring_key fingers_slot_start(const struct ring_key *self, uint32_t slot)
{
    struct id distance = slot_distance(slot, false);
    struct ring_key start;
    unsigned int carry = 0;

    CHECK(slot < FINGER_SLOTS);
    for (int i = ID_BYTES - 1; i >= 0; i--) {
        unsigned int sum = (unsigned int)self->id.bytes[i] + distance.bytes[i] + carry;

        start.id.bytes[i] = (uint8_t)(sum & 0xff);
        carry = sum >> 8;
    }
    return start;
}

static bool slot_is_needed(const struct fingers *fingers, uint32_t slot)
{
    struct id last = slot_distance(slot, true);

    return id_compare(&last, &fingers->near_distance) > 0;
}

/* How many fingers are nearer to self than the distance: the place of the first that is not. */
static uint32_t place_of(const struct fingers *fingers, const struct id *distance)
{
    uint32_t low = 0;
    uint32_t high = fingers->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        struct id other = distance_of(fingers, &fingers->list[middle].node.position);

        if (id_compare(&other, distance) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int find(const struct fingers *fingers, const struct ring_node *node)
{
    struct id distance = distance_of(fingers, &node->position);
    uint32_t place = place_of(fingers, &distance);

    if (place < fingers->count &&
        id_equal(&fingers->list[place].node.position.id, &node->position.id)) {
        return (int)place;
    }
    return -1;
}

const struct finger *fingers_find(const struct fingers *fingers, const struct ring_node *node)
{
    int place = find(fingers, node);

    return place < 0 ? NULL : &fingers->list[place];
}

bool finger_is_constrained(const struct fingers *fingers, const struct finger *finger)
{
    struct id distance = distance_of(fingers, &finger->node.position);
    struct id from = distance_of(fingers, &finger->from);
    struct id first;
    int slot = fingers_slot(&distance);

    if (!finger->has_from || slot == FINGER_SLOT_NONE) {
        return false;
    }
    /* `from` behind the node's own distance: the arc passes self, and so holds the first point. */
    first = slot_distance((uint32_t)slot, false);
    return id_compare(&from, &first) < 0 || id_compare(&from, &distance) >= 0;
}

static void remove_at(struct fingers *fingers, uint32_t place)
{
    fingers->count--;
    memmove(&fingers->list[place], &fingers->list[place + 1],
            (fingers->count - place) * sizeof(fingers->list[0]));
}

/* Lower is better; the constrained one is better than all. */
static uint32_t rank(const struct fingers *fingers, const struct finger *finger)
{
    if (finger_is_constrained(fingers, finger)) {
        return 0;
    }
    return finger->rtt_ms != 0 ? finger->rtt_ms : fingers->rtt_mean_ms + 1;
}

/* Where the slot of a finger at `place` begins, and how many it holds. */
static uint32_t slot_extent(const struct fingers *fingers, int slot, uint32_t place,
                            uint32_t *first_out)
{
    uint32_t first = place;
    uint32_t end = place;

    for (; first > 0; first--) {
        struct id distance = distance_of(fingers, &fingers->list[first - 1].node.position);

        if (fingers_slot(&distance) != slot) {
            break;
        }
    }
    for (; end < fingers->count; end++) {
        struct id distance = distance_of(fingers, &fingers->list[end].node.position);

        if (fingers_slot(&distance) != slot) {
            break;
        }
    }
    *first_out = first;
    return end - first;
}

/* The worst of `count` fingers from `first` on. */
static uint32_t worst_of(const struct fingers *fingers, uint32_t first, uint32_t count)
{
    uint32_t worst = first;

    for (uint32_t i = first + 1; i < first + count; i++) {
        if (rank(fingers, &fingers->list[i]) > rank(fingers, &fingers->list[worst])) {
            worst = i;
        }
    }
    return worst;
}

/* The table is full: a second or third candidate of some slot makes room, never an only one. */
static bool make_room(struct fingers *fingers)
{
    uint32_t worst = FINGERS_MAX;

    for (uint32_t place = 0; place < fingers->count;) {
        struct id distance = distance_of(fingers, &fingers->list[place].node.position);
        uint32_t first;
        uint32_t count = slot_extent(fingers, fingers_slot(&distance), place, &first);
        uint32_t candidate = worst_of(fingers, first, count);

        if (count > 1 && (worst == FINGERS_MAX || rank(fingers, &fingers->list[candidate]) >
                                                      rank(fingers, &fingers->list[worst]))) {
            worst = candidate;
        }
        place = first + count;
    }
    if (worst == FINGERS_MAX) {
        return false;
    }
    remove_at(fingers, worst);
    return true;
}

/* Takes a new finger in if its slot has room for it, or a worse one. */
static void insert(struct fingers *fingers, const struct finger *finger)
{
    struct id distance = distance_of(fingers, &finger->node.position);
    int slot = fingers_slot(&distance);
    uint32_t first;
    uint32_t place = place_of(fingers, &distance);

    if (slot == FINGER_SLOT_NONE || id_compare(&distance, &fingers->near_distance) <= 0) {
        return;
    }
    if (slot_extent(fingers, slot, place, &first) >= FINGER_SLOT_CANDIDATES) {
        uint32_t worst = worst_of(fingers, first, FINGER_SLOT_CANDIDATES);

        if (rank(fingers, finger) >= rank(fingers, &fingers->list[worst])) {
            return;
        }
        remove_at(fingers, worst);
    } else if (fingers->count == FINGERS_MAX && !make_room(fingers)) {
        return;
    }
    place = place_of(fingers, &distance);
    memmove(&fingers->list[place + 1], &fingers->list[place],
            (fingers->count - place) * sizeof(fingers->list[0]));
    fingers->list[place] = *finger;
    fingers->count++;
}

/* Smoothed as RFC 6298 does, a fourth faster: there are few samples. */
static void measure(struct fingers *fingers, struct finger *finger, uint32_t rtt_ms)
{
    if (rtt_ms == 0) {
        return;
    }
    finger->rtt_ms = finger->rtt_ms == 0 ? rtt_ms : (3 * finger->rtt_ms + rtt_ms) / 4;
    fingers->rtt_mean_ms =
        fingers->rtt_mean_ms == 0 ? rtt_ms : (15 * fingers->rtt_mean_ms + rtt_ms + 8) / 16;
}

static void on_known(struct fingers *fingers, const struct fingers_event *event)
{
    int place = find(fingers, &event->node);
    struct finger fresh = {.node = event->node};
    struct finger *finger = place < 0 ? &fresh : &fingers->list[place];

    if (id_equal(&event->node.position.id, &fingers->self.position.id)) {
        return;
    }
    measure(fingers, finger, event->rtt_ms);
    if (event->has_from) {
        finger->has_from = true;
        finger->from = event->from;
    }
    if (place < 0) {
        insert(fingers, &fresh);
    }
}

static void on_lost(struct fingers *fingers, const struct fingers_event *event)
{
    struct id distance = distance_of(fingers, &event->node.position);
    int place = find(fingers, &event->node);
    int slot = fingers_slot(&distance);
    uint32_t first;

    if (place < 0) {
        return;
    }
    remove_at(fingers, (uint32_t)place);
    if (slot != FINGER_SLOT_NONE && slot_extent(fingers, slot, (uint32_t)place, &first) == 0) {
        fingers->stale[slot] = true; /* else another candidate does until the next round */
    }
}

static void on_rtt(struct fingers *fingers, const struct fingers_event *event)
{
    int place = find(fingers, &event->node);

    if (place >= 0) {
        measure(fingers, &fingers->list[place], event->rtt_ms);
    }
}

/* On news 7/10 of the period, else 21/20: even when one look-up in eight brings some. */
static void adapt(struct fingers *fingers, bool news)
{
    uint32_t period_ms = news ? fingers->period_ms / 10 * 7 : fingers->period_ms / 20 * 21;

    if (period_ms < FINGERS_PERIOD_MS_MIN) {
        period_ms = FINGERS_PERIOD_MS_MIN;
    } else if (period_ms > FINGERS_PERIOD_MS_MAX) {
        period_ms = FINGERS_PERIOD_MS_MAX;
    }
    fingers->period_ms = period_ms;
}

static void on_found(struct fingers *fingers, const struct fingers_event *event)
{
    const struct finger *before = fingers_owner(fingers, &event->target);
    struct id distance = distance_of(fingers, &event->target);
    int slot = fingers_slot(&distance);

    adapt(fingers,
          before == NULL || !id_equal(&before->node.position.id, &event->node.position.id));
    if (slot != FINGER_SLOT_NONE) {
        fingers->stale[slot] = false;
    }
    on_known(fingers, event);
}

/* The next slot in turn that is needed; of those the next stale one, if there is any. */
static int next_slot(const struct fingers *fingers, bool *stale_out)
{
    int routine = FINGER_SLOT_NONE;

    *stale_out = false;
    for (uint32_t step = 1; step <= FINGER_SLOTS; step++) {
        uint32_t slot = (fingers->cursor + step) % FINGER_SLOTS;

        if (!slot_is_needed(fingers, slot)) {
            continue;
        }
        if (fingers->stale[slot]) {
            *stale_out = true;
            return (int)slot;
        }
        if (routine == FINGER_SLOT_NONE) {
            routine = (int)slot;
        }
    }
    return routine;
}

/* Those that the successor list has come to cover are not needed any more. */
static void drop_near(struct fingers *fingers)
{
    uint32_t place = place_of(fingers, &fingers->near_distance);

    memmove(fingers->list, fingers->list + place,
            (fingers->count - place) * sizeof(fingers->list[0]));
    fingers->count -= place;
}

static void on_tick(struct fingers *fingers, const struct fingers_event *event,
                    struct fingers_effects *effects)
{
    bool stale;
    int slot;

    if (!id_equal(&fingers->near_distance, &event->near_distance)) {
        fingers->near_distance = event->near_distance;
        drop_near(fingers);
    }
    if (event->now_ms < fingers->looked_ms + FINGERS_FILL_MS) {
        return;
    }
    slot = next_slot(fingers, &stale);
    if (slot == FINGER_SLOT_NONE ||
        (!stale && event->now_ms < fingers->looked_ms + fingers->period_ms)) {
        return;
    }
    fingers->looked_ms = event->now_ms;
    fingers->cursor = (uint32_t)slot;
    fingers->stale[slot] =
        false; /* until FOUND or the next round: no slot keeps the others waiting */
    effects->look_up = true;
    effects->target = fingers_slot_start(&fingers->self.position, (uint32_t)slot);
}

uint64_t fingers_wake_ms(const struct fingers *fingers)
{
    bool stale;

    (void)next_slot(fingers, &stale);
    return fingers->looked_ms + (stale ? FINGERS_FILL_MS : fingers->period_ms);
}

void fingers_step(struct fingers *fingers, const struct fingers_event *event,
                  struct fingers_effects *effects_out)
{
    effects_out->look_up = false;
    switch (event->kind) {
    case FINGERS_KNOWN:
        on_known(fingers, event);
        break;
    case FINGERS_LOST:
        on_lost(fingers, event);
        break;
    case FINGERS_RTT:
        on_rtt(fingers, event);
        break;
    case FINGERS_FOUND:
        on_found(fingers, event);
        break;
    case FINGERS_TICK:
        on_tick(fingers, event, effects_out);
        break;
    }
    CHECK(fingers->count <= FINGERS_MAX);
    CHECK(fingers->period_ms >= FINGERS_PERIOD_MS_MIN);
}

const struct finger *fingers_owner(const struct fingers *fingers, const struct ring_key *key)
{
    struct id distance = distance_of(fingers, key);
    uint32_t place = place_of(fingers, &distance);
    const struct finger *finger = &fingers->list[place];

    if (place == fingers->count || !finger->has_from ||
        !id_in_arc(&key->id, &finger->from.id, &finger->node.position.id)) {
        return NULL;
    }
    return finger;
}

uint32_t fingers_before(const struct fingers *fingers, const struct ring_key *key,
                        uint32_t count_max, const struct finger **fingers_out)
{
    struct id distance = distance_of(fingers, key);
    /* a newcomer looks for its own place: everyone is before it */
    uint32_t place = id_is_zero(&distance) ? fingers->count : place_of(fingers, &distance);
    uint32_t count = 0;

    while (count < count_max && place > 0) {
        fingers_out[count++] = &fingers->list[--place];
    }
    return count;
}
