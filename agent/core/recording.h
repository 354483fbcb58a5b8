// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What a core was told, written down so that another core can be told the same: `mingad --record`
 * writes it, `minga-replay` (./dev replay) runs it again. Pure: bytes in, bytes out.
 *
 * A recording is RECORDING_MAGIC and then entries: kind (one byte), length (LEB128), body. A life
 * of a process is
 *
 *     LIFE  { BLOB | CHUNK | SIGNATURE }  START  { SIGNATURE }  DONE
 *     { EVENT  { SIGNATURE }  DONE }
 *
 * An event is written before the core is stepped and DONE afterwards: where the process died, the
 * last event has none. DONE holds a digest of all effects; the replay's must be equal.
 *
 * The node's secret key is not in it. The core signs with a `struct signer` that notes each
 * signature; the replay has the public key, and gives the noted signatures back. Chunks' data is
 * not in it either (the core never looks at it), only its length.
 */
#include "agent/core/core.h"

#define RECORDING_MAGIC "minga recording 5\n"

enum recording_kind {
    RECORDING_LIFE = 1,  /* a process begins: version, config */
    RECORDING_BLOB,      /* core_load */
    RECORDING_CHUNK,     /* core_load_chunk */
    RECORDING_START,     /* core_start */
    RECORDING_EVENT,     /* core_step */
    RECORDING_SIGNATURE, /* made meanwhile */
    RECORDING_DONE,      /* of START or EVENT: what came out */
    RECORDING_FULL,      /* the file's limit was reached: the node ran on unrecorded */
    RECORDING_KINDS
};

enum {
    RECORDING_ENTRY_BYTES_MAX = 96 << 10, /* with kind and length */
    RECORDING_BLOB_BYTES_MAX = 64 << 10,
    RECORDING_LOGS_BYTES_MAX = 64 << 10,
};

/* An event with all that it points to; bytes are borrowed. Do not copy it: it points to itself. */
struct recorded_event {
    struct core_event event;
    struct overlay_event overlay;
    struct core_request request;
    struct overlay_join join;
    minga_NodeRecord description;
    struct sandbox_event sandbox;
    struct owner_senses senses;
    struct core_config config; /* CONFIGURED: what may change while running; no key */
};

struct recording_entry {
    enum recording_kind kind;
    char version[32];            /* LIFE: of the program that recorded */
    struct core_config config;   /* LIFE; its node_key has no secret half */
    struct overlay_blob blob;    /* BLOB */
    struct chunk_id chunk;       /* CHUNK */
    uint64_t chunk_bytes;        /* CHUNK */
    uint64_t now_ms;             /* START */
    uint64_t wall_unix_s;        /* START */
    struct recorded_event event; /* EVENT; an overlay event's data has a length, but no bytes */
    struct signature signature;  /* SIGNATURE */
    uint32_t effect_count;       /* DONE */
    uint64_t digest;             /* DONE */
};

/* Makes `entry` an EVENT that borrows what `event` points to. */
void recording_event(struct recording_entry *entry, const struct core_event *event);

/* Returns the length, or -EMSGSIZE when it does not fit. Writes no secret. */
int recording_encode(struct recording_entry *entry, uint8_t *bytes_out, size_t capacity_bytes);

/* Checks the magic and steps over it. Returns 0 or -EBADMSG. */
int recording_open(struct bytes *file);
/*
 * Reads the next entry and steps over it; it borrows from the file. Returns 0, -ENODATA at the
 * end, -EAGAIN when the last entry was cut off (the process died while it was written), -EBADMSG.
 */
int recording_next(struct bytes *file, struct recording_entry *entry_out);

/* A digest of all that the effects ask for: equal on every machine and compiler. Of chunks' data
 * only the length counts. */
uint64_t effects_digest(const struct core_effects *effects);
