// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/links/links.h"

#include <stddef.h>

enum { PROBES_MAX = 16 }; /* a link lies within this many places of its hash */

static uint32_t place_of(uint64_t number)
{
    return (uint32_t)((number * 0x9e3779b97f4a7c15U) >> 40) % LINKS_MAX;
}

static struct link *find(struct links *links, uint64_t number)
{
    uint32_t place = place_of(number);

    for (uint32_t i = 0; i < PROBES_MAX; i++) {
        struct link *link = &links->list[(place + i) % LINKS_MAX];

        if (link->used && link->number == number) {
            return link;
        }
    }
    return NULL;
}

int links_member(struct links *links, uint64_t number, uint64_t now_ms)
{
    struct link *link = find(links, number);

    if (link == NULL) {
        return LINK_NOBODY;
    }
    link->heard_ms = now_ms;
    return link->member;
}

/* A free place near the hash, else that of the link that was silent for longest. */
static struct link *make_room(struct links *links, uint64_t number)
{
    uint32_t place = place_of(number);
    struct link *oldest = &links->list[place];

    for (uint32_t i = 0; i < PROBES_MAX; i++) {
        struct link *link = &links->list[(place + i) % LINKS_MAX];

        if (!link->used) {
            return link;
        }
        if (link->heard_ms < oldest->heard_ms) {
            oldest = link;
        }
    }
    return oldest;
}

void links_greeted(struct links *links, uint64_t number, int member, uint64_t now_ms)
{
    struct link *link = find(links, number);

    if (link == NULL) {
        link = make_room(links, number);
    }
    *link = (struct link){true, number, now_ms, member};
}

void links_forget(struct links *links, int member)
{
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        if (links->list[i].used && links->list[i].member == member) {
            links->list[i].used = false;
        }
    }
}

bool links_admit_stranger(struct links *links, uint64_t now_ms)
{
    uint64_t gained = (now_ms - links->tokens_ms) / JOIN_INTERVAL_MS;

    if (gained > 0) {
        uint64_t tokens =
            links->stranger_tokens + (gained > JOINS_BURST_MAX ? JOINS_BURST_MAX : gained);

        links->stranger_tokens = tokens > JOINS_BURST_MAX ? JOINS_BURST_MAX : (uint32_t)tokens;
        links->tokens_ms = now_ms;
    }
    if (links->stranger_tokens == 0) {
        return false;
    }
    links->stranger_tokens--;
    return true;
}
