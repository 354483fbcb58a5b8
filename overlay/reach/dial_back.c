// SPDX-License-Identifier: GPL-3.0-or-later
/* The other side of reach.c: dialling those who ask, and nobody else. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

static bool take_token(struct overlay *overlay)
{
    struct reach *reach = &overlay->reach;
    uint64_t gained = (overlay->now_ms - reach->tokens_ms) / REACH_INTERVAL_MS;

    if (gained > 0) {
        uint64_t token_count =
            reach->token_count + (gained < REACH_BURST_MAX ? gained : REACH_BURST_MAX);

        reach->token_count =
            token_count < REACH_BURST_MAX ? (uint32_t)token_count : (uint32_t)REACH_BURST_MAX;
        reach->tokens_ms = overlay->now_ms;
    }
    if (reach->token_count == 0) {
        return false;
    }
    reach->token_count--;
    return true;
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
           strncmp(host, "::ffff:127.", 11) == 0 || strcmp(host, "localhost") == 0;
}

static bool is_own(const struct overlay *overlay, const char *host)
{
    const minga_NodeRecord *described = &overlay->reach.described;
    size_t length = strlen(host);

    for (pb_size_t i = 0; i < described->addresses_count; i++) {
        const char *own = described->addresses[i] + (described->addresses[i][0] == '[' ? 1 : 0);

        if (strncmp(own, host, length) == 0 && (own[length] == ':' || own[length] == ']')) {
            return true;
        }
    }
    return false;
}

/* What comes from this very host may have come through a relay of ours: who sent it is elsewhere. */
static bool may_dial(const struct overlay *overlay, const struct overlay_source *source)
{
    const minga_NodeRecord *described = &overlay->reach.described;

    return source->host[0] != '\0' && !(reach_is_leaf(overlay) && is_own(overlay, source->host)) &&
           (!is_loopback(source->host) ||
            (described->addresses_count > 0 && strncmp(described->addresses[0], "127.", 4) == 0));
}

static bool dial_back(struct overlay *overlay, const struct arrival *arrival,
                      char address_out[ADDRESS_CHARS_MAX + 1])
{
    const minga_DialBack *question = &arrival->message->kind.dial_back;
    const char *host = arrival->source->host;
    bool is_v6 = strchr(host, ':') != NULL;
    struct overlay_effect *effect;
    uint8_t bytes[64];
    minga_Message message;
    int length;

    if (question->port == 0 || question->port > UINT16_MAX || !may_dial(overlay, arrival->source) ||
        !take_token(overlay)) {
        return false;
    }
    effect = effect_add(overlay, OVERLAY_DIAL_BACK);
    if (effect == NULL) {
        return false;
    }
    (void)snprintf(address_out, ADDRESS_CHARS_MAX + 1, "%s%s%s:%u", is_v6 ? "[" : "", host,
                   is_v6 ? "]" : "", question->port);
    message_init(&message, minga_Message_dialled_tag);
    memcpy(message.kind.dialled.nonce, question->nonce, REACH_NONCE_BYTES);
    length = message_encode(&message, bytes, sizeof(bytes));
    CHECK(length > 0);
    effect->message = effect_keep(overlay, (struct bytes){bytes, (size_t)length});
    effect->peer.node = overlay->membership.list[arrival->member].view.node;
    effect->peer.key = overlay->membership.list[arrival->member].view.key;
    effect->peer.address_count = 1;
    memcpy(effect->peer.addresses[0], address_out, sizeof(effect->peer.addresses[0]));
    return true;
}

void reach_on_dial_back(struct overlay *overlay, const struct arrival *arrival)
{
    minga_Message message;
    minga_DialBackReply *reply = &message.kind.dial_back_reply;

    if (arrival->member == MEMBER_NONE) {
        return;
    }
    message_init(&message, minga_Message_dial_back_reply_tag);
    reply->tried = dial_back(overlay, arrival, reply->address);
    peer_reply(overlay, &arrival->asker, &message, NULL);
}
