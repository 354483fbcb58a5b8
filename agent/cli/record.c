// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/record.h"

#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "overlay/signed.h"

enum { SIGNED_BYTES_MAX = 4096 };

static int bad_record(struct session *session, const char *name)
{
    return problem_set(&session->problem, EXIT_REFUSED, name,
                       "the agent's record of it is not what its owner signed");
}

/* Opens a record as the agent sent it; it must be the owner's own. */
static int open_record(struct session *session, const struct owned_service *owned,
                       const json_t *document, minga_Record *record_out)
{
    uint8_t bytes[SIGNED_BYTES_MAX];
    minga_Signed envelope = minga_Signed_init_zero;
    int length_bytes = bytes_from_base64(text_of(document, "record"), bytes, sizeof(bytes));

    if (length_bytes < 0 ||
        signed_decode((struct bytes){bytes, (size_t)length_bytes}, &envelope) < 0 ||
        memcmp(envelope.key, owned->owner.bytes, PUBLIC_KEY_BYTES) != 0 ||
        signed_open(&envelope, PURPOSE_RECORD, minga_Record_fields, record_out) < 0 ||
        strcmp(record_out->name, owned->name) != 0) {
        return bad_record(session, owned->name);
    }
    return EXIT_DONE;
}

static int read_stored(struct session *session, struct owned_service *owned)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    minga_Record record = minga_Record_init_zero;
    char path[160];
    int status;

    owned->sequence = 0;
    owned->removed = false;
    owned->service = (minga_Service)minga_Service_init_zero;
    snprintf(path, sizeof(path), "/v1/services/%s/record", owned->id_hex);
    status = session_find(session, path, &document);
    if (status != EXIT_DONE || document == NULL) {
        return status;
    }
    status = open_record(session, owned, document, &record);
    if (status != EXIT_DONE) {
        return status;
    }
    owned->sequence = record.sequence;
    owned->removed = record.removed;
    if (signed_decode_body(minga_Service_fields,
                           (struct bytes){record.content.bytes, record.content.size},
                           &owned->service) < 0) {
        return bad_record(session, owned->name);
    }
    return EXIT_DONE;
}

int owned_service_read(struct session *session, const char *name, struct owned_service *owned_out)
{
    int status;

    memset(owned_out, 0, sizeof(*owned_out));
    /* push has made one by now; who has none yet owns nothing. */
    status = session_owner_key_if_any(session, &owned_out->secret);
    if (status == EXIT_NOT_FOUND && session->key_path == NULL) {
        problem_set(&session->problem, EXIT_NOT_FOUND, name, "you have no such service");
        return problem_advise(&session->problem, "minga push makes one; minga services lists all");
    }
    if (status != EXIT_DONE) {
        return status;
    }
    owned_out->owner = keys_public(&owned_out->secret);
    if (text_copy(owned_out->name, sizeof(owned_out->name), name) < 0) {
        return problem_set(&session->problem, EXIT_USAGE, name, "too long for a name");
    }
    owned_out->id = keys_service_id(&owned_out->owner, name);
    id_to_hex(&owned_out->id.id, owned_out->id_hex);
    return read_stored(session, owned_out);
}

void owned_service_done(struct owned_service *owned)
{
    keys_forget(&owned->secret);
}

static int put(struct session *session, const struct owned_service *owned, minga_Record *record)
{
    uint8_t bytes[SIGNED_BYTES_MAX];
    minga_Signed envelope = minga_Signed_init_zero;
    CLEANUP(cleanup_json) json_t *answer = NULL;
    int length_bytes;
    int status;

    memcpy(record->owner_key, owned->owner.bytes, PUBLIC_KEY_BYTES);
    snprintf(record->name, sizeof(record->name), "%s", owned->name);
    record->written_unix_s = (uint64_t)time(NULL);
    if (signed_make(minga_Record_fields, record, PURPOSE_RECORD, &owned->secret, &envelope) < 0 ||
        (length_bytes = signed_encode(&envelope, bytes, sizeof(bytes))) < 0) {
        return problem_set(&session->problem, EXIT_REFUSED, owned->name,
                           "its record is longer than may be stored");
    }
    status = session_post(
        session, "/v1/records",
        json_pack("{so}", "record", json_base64((struct bytes){bytes, (size_t)length_bytes})),
        &answer);
    session_note_copies(session, answer);
    return status;
}

static void set_content(minga_Record *record, const pb_msgdesc_t *fields, const void *message)
{
    int length_bytes =
        signed_encode_body(fields, message, record->content.bytes, sizeof(record->content.bytes));

    CHECK(length_bytes >= 0);
    record->content.size = (pb_size_t)length_bytes;
}

int owned_service_write(struct session *session, struct owned_service *owned, bool removed)
{
    minga_Record record = minga_Record_init_zero;
    int status;

    record.kind = minga_RecordKind_RECORD_SERVICE;
    record.sequence = owned->sequence + 1;
    record.removed = removed;
    set_content(&record, minga_Service_fields, &owned->service);
    status = put(session, owned, &record);
    if (status == EXIT_DONE) {
        owned->sequence++;
        owned->removed = removed;
    }
    return status;
}

static bool differs(uint64_t base, uint64_t ours, uint64_t theirs)
{
    return ours != base && theirs != base && theirs != ours;
}

/* Two people may want two things at once, but not two values of the same thing. */
static int check_others(struct session *session, const struct owned_service *owned,
                        const minga_Service *base, const minga_Service *ours)
{
    const minga_Service *theirs = &owned->service;
    char what[64] = "";

    if (differs(base->replicas, ours->replicas, theirs->replicas)) {
        (void)snprintf(what, sizeof(what), "%u replicas are wanted now", theirs->replicas);
    } else if (differs(base->version, ours->version, theirs->version)) {
        (void)snprintf(what, sizeof(what), "version %llu is wanted now",
                       (unsigned long long)theirs->version);
    } else {
        return EXIT_DONE;
    }
    problem_set(&session->problem, EXIT_REFUSED, owned->name,
                "another command changed it at the same moment: %s", what);
    return problem_advise(&session->problem, "say it again if yours is to stand");
}

int owned_service_change(struct session *session, struct owned_service *owned, bool removed,
                         owned_change *change, void *context)
{
    uint64_t sequence = owned->sequence;
    minga_Service base = owned->service;
    int status = change(session, owned, context);
    minga_Service ours = owned->service;
    struct problem first;

    if (status == EXIT_DONE) {
        status = owned_service_write(session, owned, removed);
    }
    if (status != EXIT_REFUSED) {
        return status;
    }
    /* Did someone else write meanwhile? Then once more, on top of that. */
    first = session->problem;
    status = read_stored(session, owned);
    if (status != EXIT_DONE || owned->sequence == sequence) {
        session->problem = first;
        return first.status;
    }
    if (!removed && !owned->removed) {
        status = check_others(session, owned, &base, &ours);
    }
    if (status == EXIT_DONE) {
        status = change(session, owned, context);
    }
    return status == EXIT_DONE ? owned_service_write(session, owned, removed) : status;
}

int version_read(struct session *session, const struct owned_service *owned, uint64_t number,
                 minga_Version *version_out, bool *found_out)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    minga_Record record = minga_Record_init_zero;
    char path[192];
    int status;

    snprintf(path, sizeof(path), "/v1/services/%s/versions/%llu", owned->id_hex,
             (unsigned long long)number);
    *found_out = false;
    status = session_find(session, path, &document);
    if (status != EXIT_DONE || document == NULL) {
        return status;
    }
    status = open_record(session, owned, document, &record);
    if (status != EXIT_DONE) {
        return status;
    }
    *version_out = (minga_Version)minga_Version_init_zero;
    if (record.number != number ||
        signed_decode_body(minga_Version_fields,
                           (struct bytes){record.content.bytes, record.content.size},
                           version_out) < 0) {
        return bad_record(session, owned->name);
    }
    *found_out = true;
    return EXIT_DONE;
}

int version_write(struct session *session, const struct owned_service *owned, uint64_t number,
                  const minga_Version *version)
{
    minga_Record record = minga_Record_init_zero;

    record.kind = minga_RecordKind_RECORD_VERSION;
    record.number = number;
    record.sequence = 1;
    set_content(&record, minga_Version_fields, version);
    return put(session, owned, &record);
}
