// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "overlay/state.h"

static bool is_send(enum overlay_effect_kind kind)
{
    return kind == OVERLAY_SEND || kind == OVERLAY_REPLY || kind == OVERLAY_TRACE;
}

static void count_dropped(struct overlay *overlay)
{
    overlay->effects->dropped_count++;
    overlay->counters.dropped_effects++;
}

void effect_drop(struct overlay *overlay)
{
    CHECK(overlay->effects->count > 0);
    overlay->effects->count--;
    count_dropped(overlay);
}

struct overlay_effect *effect_add(struct overlay *overlay, enum overlay_effect_kind kind)
{
    struct overlay_effects *effects = overlay->effects;
    uint32_t count_max = is_send(kind) ? SENDS_MAX : OVERLAY_EFFECTS_MAX;
    struct overlay_effect *effect;

    CHECK(effects != NULL);
    if (effects->count >= count_max) {
        count_dropped(overlay);
        return NULL;
    }
    effect = &effects->list[effects->count++];
    memset(effect, 0, sizeof(*effect));
    effect->kind = kind;
    return effect;
}

struct bytes effect_keep(struct overlay *overlay, struct bytes bytes)
{
    struct overlay_effects *effects = overlay->effects;
    const bool sends = effects->count > 0 && is_send(effects->list[effects->count - 1].kind);
    const size_t room_bytes =
        sends ? sizeof(effects->arena) / OVERLAY_EFFECTS_MAX * SENDS_MAX : sizeof(effects->arena);
    uint8_t *kept = &effects->arena[effects->arena_used_bytes];

    if (bytes.length_bytes == 0 || effects->arena_used_bytes > room_bytes ||
        bytes.length_bytes > room_bytes - effects->arena_used_bytes) {
        return (struct bytes){NULL, 0};
    }
    memcpy(kept, bytes.data, bytes.length_bytes);
    effects->arena_used_bytes += bytes.length_bytes;
    return (struct bytes){kept, bytes.length_bytes};
}

struct overlay_effect *effect_store(struct overlay *overlay, const struct overlay_blob *blob,
                                    uint64_t token)
{
    struct overlay_effect *effect = effect_add(overlay, OVERLAY_STORE);

    if (effect != NULL) {
        effect->blob = *blob;
        effect->blob.bytes = effect_keep(overlay, blob->bytes);
        effect->is_unhurried = token == 0;
        effect->token = token;
        if (effect->blob.bytes.length_bytes < blob->bytes.length_bytes) {
            effect_drop(overlay); /* without its bytes it would be a removal */
            return NULL;
        }
    }
    return effect;
}

struct overlay_effect *effect_done(struct overlay *overlay, uint64_t token,
                                   enum overlay_outcome outcome, const char *reason)
{
    struct overlay_effect *effect;

    if (token == 0) {
        return NULL;
    }
    effect = effect_add(overlay, OVERLAY_DONE);
    if (effect != NULL) {
        effect->token = token;
        effect->outcome = outcome;
        (void)snprintf(effect->reason, sizeof(effect->reason), "%s", reason);
    }
    return effect;
}

void effect_trace(struct overlay *overlay, const char *format, ...)
{
    struct overlay_effect *effect = effect_add(overlay, OVERLAY_TRACE);
    char text[160];
    va_list arguments;
    int length;

    if (effect == NULL) {
        return;
    }
    va_start(arguments, format);
    length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length > 0) {
        effect->message = effect_keep(overlay, bytes_of_text(text));
    }
}
