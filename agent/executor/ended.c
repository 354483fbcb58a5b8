// SPDX-License-Identifier: GPL-3.0-or-later
/* What ran here in the last days: a bounded ring, kept on disk. */
#include <errno.h>
#include <string.h>

#include "agent/executor/internal.h"
#include "base/check.h"
#include "overlay/signed.h"

static void ended_keep(struct turn *turn, const struct core_ended *ended, uint64_t sequence)
{
    minga_KeptEnded kept = minga_KeptEnded_init_zero;
    uint8_t encoded[minga_KeptEnded_size];
    struct overlay_blob blob = {.kind = BLOB_AGENT, .number = ENDED_NUMBER + sequence % ENDED_MAX};
    int length;

    kept.sequence = sequence;
    memcpy(kept.service, ended->key.service.id.bytes, ID_BYTES);
    kept.slot = ended->key.slot;
    kept.incarnation = ended->key.incarnation;
    (void)text_copy(kept.name, sizeof(kept.name), ended->service_name);
    memcpy(kept.owner, ended->owner.id.bytes, ID_BYTES);
    kept.began_unix_s = ended->began_unix_s;
    kept.ended_unix_s = ended->ended_unix_s;
    kept.cpu_ms = ended->cpu_ms;
    kept.failed = ended->failed;
    (void)text_copy(kept.reason, sizeof(kept.reason), ended->reason);
    length = signed_encode_body(minga_KeptEnded_fields, &kept, encoded, sizeof(encoded));
    CHECK(length > 0);
    blob.bytes = (struct bytes){encoded, (size_t)length};
    outbox_store(turn, &blob);
}

void ended_note(struct executor *executor, struct turn *turn, const struct replica *replica)
{
    uint32_t sequence = executor->ended_count;
    struct core_ended *ended = &executor->ended[sequence % ENDED_MAX];

    if (replica->began_unix_s == 0) {
        return; /* it never ran */
    }
    *ended = (struct core_ended){.key = replica->key,
                                 .owner = keys_owner_id(&replica->owner_key),
                                 .began_unix_s = replica->began_unix_s,
                                 .ended_unix_s = turn->wall_unix_s,
                                 .cpu_ms = replica->cpu_ms,
                                 .failed = replica->failed && replica->phase != PHASE_STOPPING};
    (void)text_copy(ended->service_name, sizeof(ended->service_name), replica->manifest.name);
    (void)text_copy(ended->reason, sizeof(ended->reason), replica->reason);
    executor->ended_count++;
    ended_keep(turn, ended, sequence);
}

int ended_load(struct executor *executor, uint64_t number, struct bytes bytes)
{
    minga_KeptEnded kept;
    struct core_ended *ended;

    if (signed_decode_body(minga_KeptEnded_fields, bytes, &kept) < 0 ||
        kept.sequence >= UINT32_MAX || number != ENDED_NUMBER + kept.sequence % ENDED_MAX) {
        return -EBADMSG;
    }
    ended = &executor->ended[kept.sequence % ENDED_MAX];
    memset(ended, 0, sizeof(*ended));
    memcpy(ended->key.service.id.bytes, kept.service, ID_BYTES);
    ended->key.slot = kept.slot;
    ended->key.incarnation = kept.incarnation;
    (void)text_copy(ended->service_name, sizeof(ended->service_name), kept.name);
    memcpy(ended->owner.id.bytes, kept.owner, ID_BYTES);
    ended->began_unix_s = kept.began_unix_s;
    ended->ended_unix_s = kept.ended_unix_s;
    ended->cpu_ms = kept.cpu_ms;
    ended->failed = kept.failed;
    (void)text_copy(ended->reason, sizeof(ended->reason), kept.reason);
    if (kept.sequence >= executor->ended_count) {
        executor->ended_count = (uint32_t)kept.sequence + 1;
    }
    return 0;
}

uint32_t executor_ended_count(const struct executor *executor)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < ENDED_MAX; i++) {
        count += executor->ended[i].key.slot != 0 ? 1 : 0;
    }
    return count;
}

void executor_ended(const struct executor *executor, uint32_t index, struct core_ended *ended_out)
{
    CHECK(index < ENDED_MAX);
    for (uint32_t i = 1; i <= ENDED_MAX; i++) {
        const struct core_ended *ended =
            &executor->ended[(executor->ended_count + ENDED_MAX - i) % ENDED_MAX];

        if (ended->key.slot != 0 && index-- == 0) {
            *ended_out = *ended;
            return;
        }
    }
    CHECK(false); /* index < executor_ended_count() */
}
