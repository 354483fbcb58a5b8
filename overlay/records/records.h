// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The local table of owners' records, sorted by (service, kind and number). Pure.
 *
 * Merge rule: the higher sequence stands; of two with equal sequence the one with the lower hash,
 * so that all holders choose alike.
 *
 * Tombstones stay: what was removed is not brought back by a holder that was away. Only a full
 * table forgets, for a new record; what, and in which order, is in records_room.c.
 */
#include <stdbool.h>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/keys.h"
#include "base/limits.h"
#include "overlay/chunks/chunks.h"
#include "overlay/protocol.pb.h"

enum {
    RECORD_BYTES_MAX = 3328, /* encoded Signed{Record} */
    TOMBSTONE_DAYS_MIN = 90,
    SUPERSEDED_KEPT = LIMIT(4, 1), /* versions before the first one that may run */
    RECORDS_OF_ONE_MAX =
        LIMIT(RECORDS_MAX / 4, 3), /* of one owner, in the last quarter of the room */
};

struct record_key {
    struct service_id service;
    uint64_t number; /* kind << 56 | number */
};

struct record {
    struct record_key key;
    struct public_key owner;
    uint64_t sequence;
    struct id hash;
    bool removed;
    bool is_orphan;            /* its owner has no node any more; see record_owners.c */
    uint64_t written_unix_s;   /* as its owner says */
    uint64_t version;          /* of a service: the one in use, 0: none ... */
    uint64_t fallback_version; /* ... and the one before it */
    size_t length_bytes;
    uint8_t bytes[RECORD_BYTES_MAX];
};

struct records {
    uint32_t count;
    uint16_t order[RECORDS_MAX];
    struct record list[RECORDS_MAX];
};

enum record_merge { RECORD_OLDER, RECORD_SAME, RECORD_NEWER, RECORD_NO_ROOM };

struct record_key record_key(const struct service_id *service, minga_RecordKind kind,
                             uint64_t number);
minga_RecordKind record_kind(const struct record_key *key);
uint64_t record_number(const struct record_key *key);

/* Checks signature and form of an encoded Signed{Record}; fills `record_out` with its bytes.
 * Returns 0 or -EBADMSG. */
int record_open(struct bytes encoded, struct record *record_out);
/* The same, whoever signed it: for what is only handed on to a node that checks it. */
int record_glance(struct bytes encoded, struct record *record_out);

const struct record *records_find(const struct records *records, const struct record_key *key);
/* The first record behind `after`, or the very first when `after` is NULL; NULL at the end. Orphans are
 * passed over, as in records_next_in and records_sum. */
const struct record *records_next(const struct records *records, const struct record_key *after);
/* The first record behind `after`, as above, whose service lies in (from, to]; round the ring, too. */
const struct record *records_next_in(const struct records *records, const struct record_key *after,
                                     const struct id *from, const struct id *to);
/* A fingerprint of all versions that stand and whose service lies in (from, to]. */
struct chunks_sum records_sum(const struct records *records, const struct id *from,
                              const struct id *to, uint64_t nonce);
/* What records_merge would say, were there room. */
enum record_merge records_weigh(const struct records *records, const struct record *record);
/* Of two versions of one record: NEWER when `comes` is to stand. */
enum record_merge record_compare(const struct record *stands, const struct record *comes);
void records_forget(struct records *records, const struct record_key *key);
/* Keeps it if it is newer than what stands. */
enum record_merge records_merge(struct records *records, const struct record *record);

/* --- records_room.c */

enum record_room { ROOM_FREE, ROOM_INSTEAD, ROOM_NONE };

struct records_moment {
    uint64_t wall_unix_s;
    uint32_t coming_count; /* records on their way to the disk that have no place yet */
    /* Is one with that key on its way there? It is not forgotten: what comes would be deleted after it was
     * written. NULL: none is. */
    bool (*is_coming)(const void *context, const struct record_key *key);
    const void *context;
};

/* Is there a place for a record that has none? When it is INSTEAD of another one, that one is to be
 * forgotten for it. Who has a quarter of a table that is nearly full gets places only instead of its own,
 * or one owner could end all writing. */
enum record_room records_room(const struct records *records, const struct record *record,
                              const struct records_moment *moment,
                              struct record_key *forgotten_out);
/* For people, after ROOM_NONE. */
const char *records_why_no_room(const struct records *records, const struct public_key *owner);
