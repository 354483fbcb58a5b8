// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The owner's signed records of a service: read, changed by one step, written back. A write that
 * meets a newer record is tried once more on top of it, unless that one has changed the same thing
 * to something else: then it is refused.
 */
#include "agent/cli/session.h"
#include "overlay/protocol.pb.h"

struct owned_service {
    struct secret_key secret; /* the owner's: forget with owned_service_done */
    struct public_key owner;
    struct service_id id;
    char id_hex[ID_HEX_CHARS + 1];
    char name[33];
    uint64_t sequence; /* of the stored record; 0: there is none */
    bool removed;      /* the stored record is a tombstone */
    minga_Service service;
};

/* Reads the record of the caller's own service; sequence 0 when there is none. */
int owned_service_read(struct session *session, const char *name, struct owned_service *owned_out);
void owned_service_done(struct owned_service *owned);
/* Writes `owned->service` (or a tombstone) as the next record; owned->sequence grows. */
int owned_service_write(struct session *session, struct owned_service *owned, bool removed);

/* How a record is to be changed; returns EXIT_DONE or a status with the problem. */
typedef int owned_change(struct session *session, struct owned_service *owned, void *context);
/* Read, change, write; once more when someone else wrote meanwhile. */
int owned_service_change(struct session *session, struct owned_service *owned, bool removed,
                         owned_change *change, void *context);

/* Reads version `number`; *found_out false when there is none. `version_out` is large. */
int version_read(struct session *session, const struct owned_service *owned, uint64_t number,
                 minga_Version *version_out, bool *found_out);
int version_write(struct session *session, const struct owned_service *owned, uint64_t number,
                  const minga_Version *version);
