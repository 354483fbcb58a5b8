// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* For tests: one service whose chunks and records node 0 writes, and how many have a chunk. */
#include <criterion/criterion.h>

#include "network.h"
#include "overlay/state.h"

enum { MINUTE_MS = 60000, HOUR_MS = 60 * MINUTE_MS };

static uint64_t last_token;

static inline struct service_id wiki(void)
{
    struct secret_key owner = test_key("owner", 0);
    struct public_key key = keys_public(&owner);

    return keys_service_id(&key, "wiki");
}

static inline struct tree_id tree_of(uint8_t number)
{
    return (struct tree_id){{{number, 9}}};
}

/* Returns its token. */
static inline uint64_t send_record(minga_RecordKind kind, uint64_t number, uint64_t sequence,
                                   const minga_Record *like)
{
    struct secret_key owner = test_key("owner", 0);
    struct public_key key = keys_public(&owner);
    minga_Record body = *like;
    minga_Signed envelope = minga_Signed_init_zero;
    struct overlay_event now = now_event();
    uint8_t encoded[3328];
    int length;

    body.kind = kind;
    body.number = number;
    body.sequence = sequence;
    memcpy(body.owner_key, key.bytes, 32);
    strcpy(body.name, "wiki");
    cr_assert_eq(signed_make(minga_Record_fields, &body, PURPOSE_RECORD, &owner, &envelope), 0);
    length = signed_encode(&envelope, encoded, sizeof(encoded));
    cr_assert_gt(length, 0);
    overlay_record_put(net.nodes[0].overlay, &now, ++last_token,
                       (struct bytes){encoded, (size_t)length}, &net.nodes[0].effects);
    perform(0);
    return last_token;
}

static inline void put_record(minga_RecordKind kind, uint64_t number, uint64_t sequence,
                              const minga_Record *like)
{
    const struct done *done = &net.nodes[0].done[send_record(kind, number, sequence, like)];

    run_for(500);
    cr_assert_eq(done->outcome, OVERLAY_OK, "%s", done->reason);
}

static inline void put_service(uint64_t sequence, uint64_t version, uint64_t fallback, bool removed)
{
    minga_Record body = minga_Record_init_zero;
    minga_Service service = minga_Service_init_zero;
    int length;

    service.active = true;
    service.version = version;
    service.fallback_version = fallback;
    body.removed = removed;
    length = signed_encode_body(minga_Service_fields, &service, body.content.bytes,
                                sizeof(body.content.bytes));
    body.content.size = (pb_size_t)(removed ? 0 : length);
    put_record(minga_RecordKind_RECORD_SERVICE, 0, sequence, &body);
}

static inline uint64_t send_version(uint64_t number, uint8_t tree)
{
    minga_Record body = minga_Record_init_zero;
    minga_Version version = minga_Version_init_zero;
    struct tree_id id = tree_of(tree);

    memcpy(version.tree, id.id.bytes, ID_BYTES);
    body.content.size = (pb_size_t)signed_encode_body(
        minga_Version_fields, &version, body.content.bytes, sizeof(body.content.bytes));
    return send_record(minga_RecordKind_RECORD_VERSION, number, 1, &body);
}

static inline const struct done *try_version(uint64_t number, uint8_t tree)
{
    const struct done *done = &net.nodes[0].done[send_version(number, tree)];

    run_for(500);
    return done;
}

static inline void put_version(uint64_t number, uint8_t tree)
{
    const struct done *done = try_version(number, tree);

    cr_assert_eq(done->outcome, OVERLAY_OK, "%s", done->reason);
}

/* Node 0 pushes a chunk of the tree. */
static inline struct chunk_id push(const char *text, uint8_t tree)
{
    struct node *node = &net.nodes[0];
    struct overlay_event event = now_event();
    struct chunk_id id = {hash_of(HASH_CHUNK, bytes_of_text(text))};
    struct overlay_spread spread = {.chunk = id, .reference = {wiki(), tree_of(tree)}};

    if (find_chunk(node, &id) == NULL) {
        struct kept_chunk *chunk = &node->chunks[node->chunk_count++];

        chunk->length_bytes = strlen(text);
        memcpy(chunk->bytes, text, strlen(text));
        chunk->id = id;
    }
    event.kind = OVERLAY_CHUNK_STORED;
    event.chunk = id;
    event.chunk_bytes = strlen(text);
    overlay_step(node->overlay, &event, &node->effects);
    perform(0);
    event = now_event();
    overlay_chunk_put(node->overlay, &event, ++last_token, &spread, &node->effects);
    perform(0);
    run_for(300);
    cr_assert_eq(node->done[last_token].outcome, OVERLAY_OK);
    return id;
}

static inline uint32_t count_holders(const struct chunk_id *chunk)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < net.node_count; i++) {
        count += net.nodes[i].running && overlay_has_chunk(net.nodes[i].overlay, chunk) ? 1 : 0;
    }
    return count;
}

/* All sleep for most of it, which is cheap. */
static inline void pass_hours(uint64_t hours)
{
    net.now_ms += hours * HOUR_MS - 15 * MINUTE_MS;
    run_for(15 * MINUTE_MS);
}

/* How many have the one of which there are the fewest, of those that are at a node (NULL: of all)? */
static inline uint32_t fewest_holders(const struct node *at, const struct chunk_id *chunks,
                                      uint32_t count)
{
    uint32_t fewest = UINT32_MAX;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t holders = count_holders(&chunks[i]);

        if (holders < fewest && (at == NULL || overlay_has_chunk(at->overlay, &chunks[i]))) {
            fewest = holders;
        }
    }
    return fewest;
}
