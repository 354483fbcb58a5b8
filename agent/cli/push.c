// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/push.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/record.h"
#include "base/cleanup.h"
#include "base/wire.h"
#include "images/bundle.h"

enum {
    CHECK_COUNT_MAX = 4096,        /* ids in one question */
    BATCH_BYTES_MAX = 4 * 1048576, /* chunks in one upload, with their lengths */
    BATCH_CHUNKS_MAX = 4096,
    LATER_VERSIONS_MAX = 10000, /* pushed since the one in use */
    SEND_TRIES_MAX = 3,
    PATH_CHARS_MAX = 200,
};

struct push {
    struct session *session;
    const struct bundle *bundle;
    struct bar bar;
    uint64_t sent_bytes;
    uint64_t wanted_bytes; /* to be sent: at first all, less what turns out to be stored already */
    uint64_t new_bytes;
    char chunks_path[PATH_CHARS_MAX + 1];
    char check_path[PATH_CHARS_MAX + 1];
    uint8_t *batch; /* BATCH_BYTES_MAX */
    size_t batch_bytes;
    uint32_t batch_count;
};

void push_note(struct push_notes *notes, const char *line)
{
    if (notes->count < PUSH_NOTES_MAX) {
        snprintf(notes->lines[notes->count], sizeof(notes->lines[0]), "%s", line);
    }
    notes->count++;
}

/* ------------------------------------------------------------------ chunks */

/* On a slow or busy link copies may not be confirmed in time: what is stored stays stored. */
static int send_batch(struct push *push, json_t **answer_out)
{
    int status = EXIT_LATE;

    for (int i = 0; i < SEND_TRIES_MAX && status == EXIT_LATE; i++) {
        status = session_post_bytes(push->session, push->chunks_path,
                                    (struct bytes){push->batch, push->batch_bytes}, answer_out);
    }
    return status;
}

static int flush(struct push *push)
{
    CLEANUP(cleanup_json) json_t *answer = NULL;
    int status;

    if (push->batch_count == 0) {
        return EXIT_DONE;
    }
    status = send_batch(push, &answer);
    push->new_bytes += (uint64_t)number_of(answer, "new_bytes");
    session_note_copies(push->session, answer);
    push->sent_bytes += push->batch_bytes - (size_t)4 * push->batch_count;
    push->batch_bytes = 0;
    push->batch_count = 0;
    progress_bar(push->session, &push->bar, push->sent_bytes, push->wanted_bytes);
    return status;
}

static int add_chunk(struct push *push, uint32_t index)
{
    uint32_t length_bytes = bundle_chunk_bytes(push->bundle, index);
    struct wire_writer wire;
    struct err err;
    int r;

    if (push->batch_bytes + 4 + length_bytes > BATCH_BYTES_MAX ||
        push->batch_count == BATCH_CHUNKS_MAX) {
        int status = flush(push);

        if (status != EXIT_DONE) {
            return status;
        }
    }
    r = bundle_read_chunk(push->bundle, index, push->batch + push->batch_bytes + 4, &err);
    if (r < 0) {
        return problem_from_err(&push->session->problem, EXIT_REFUSED, &err);
    }
    wire = wire_writer(push->batch + push->batch_bytes, 4);
    wire_put_u32(&wire, (uint32_t)r);
    push->batch_bytes += 4 + (size_t)r;
    push->batch_count++;
    return EXIT_DONE;
}

static uint64_t bytes_of_range(const struct push *push, uint32_t first, uint32_t count)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < count; i++) {
        bytes += bundle_chunk_bytes(push->bundle, first + i);
    }
    return bytes;
}

/* What is stored already need not be sent. */
static void want_missing(struct push *push, const json_t *missing, uint32_t first, uint32_t count)
{
    const json_t *index;
    size_t i;

    push->wanted_bytes -= bytes_of_range(push, first, count);
    json_array_foreach(missing, i, index)
    {
        json_int_t number = json_integer_value(index);

        if (number >= 0 && number < (json_int_t)count) {
            push->wanted_bytes += bytes_of_range(push, first + (uint32_t)number, 1);
        }
    }
    progress_bar(push->session, &push->bar, push->sent_bytes, push->wanted_bytes);
}

/* Asks which chunks from `first` on are missing, and sends those. */
static int push_range(struct push *push, uint32_t first, uint32_t count)
{
    CLEANUP(cleanup_json) json_t *answer = NULL;
    CLEANUP(cleanup_free) uint8_t *ids = malloc((size_t)count * ID_BYTES);
    const json_t *missing;
    const json_t *index;
    size_t i;
    int status;

    if (ids == NULL) {
        return problem_set(&push->session->problem, EXIT_REFUSED, "push", "no memory");
    }
    for (uint32_t j = 0; j < count; j++) {
        struct chunk_id id = bundle_chunk_id(push->bundle, first + j);

        memcpy(ids + (size_t)j * ID_BYTES, id.id.bytes, ID_BYTES);
    }
    status = session_post_bytes(push->session, push->check_path,
                                (struct bytes){ids, (size_t)count * ID_BYTES}, &answer);
    missing = json_object_get(answer, "missing");
    session_note_copies(push->session, answer);
    want_missing(push, missing, first, count);
    json_array_foreach(missing, i, index)
    {
        json_int_t number = json_integer_value(index);

        if (status == EXIT_DONE && number >= 0 && number < (json_int_t)count) {
            status = add_chunk(push, first + (uint32_t)number);
        }
    }
    return status == EXIT_DONE ? flush(push) : status;
}

/* For whom the chunks are: without that they could not be told from garbage. */
static int make_paths(struct push *push)
{
    struct tree_id tree = bundle_tree(push->bundle);
    char service_hex[ID_HEX_CHARS + 1];
    char tree_hex[ID_HEX_CHARS + 1];
    struct secret_key secret;
    struct public_key key;
    struct service_id service;
    int status = session_owner_key(push->session, &secret);

    if (status != EXIT_DONE) {
        return status;
    }
    key = keys_public(&secret);
    keys_forget(&secret);
    service = keys_service_id(&key, bundle_manifest(push->bundle)->name);
    id_to_hex(&service.id, service_hex);
    id_to_hex(&tree.id, tree_hex);
    (void)snprintf(push->chunks_path, sizeof(push->chunks_path), "/v1/chunks?service=%s&tree=%s",
                   service_hex, tree_hex);
    (void)snprintf(push->check_path, sizeof(push->check_path),
                   "/v1/chunks/check?service=%s&tree=%s", service_hex, tree_hex);
    return EXIT_DONE;
}

static int push_chunks(struct push *push)
{
    uint32_t chunk_count = bundle_chunk_count(push->bundle);
    int status = make_paths(push);

    push->wanted_bytes = bytes_of_range(push, 0, chunk_count);
    progress_begin(&push->bar, "pushing");
    push->batch = malloc(BATCH_BYTES_MAX);
    if (push->batch == NULL) {
        return problem_set(&push->session->problem, EXIT_REFUSED, "push", "no memory");
    }
    for (uint32_t first = 0; first < chunk_count && status == EXIT_DONE; first += CHECK_COUNT_MAX) {
        uint32_t left = chunk_count - first;

        status = push_range(push, first, left < CHECK_COUNT_MAX ? left : CHECK_COUNT_MAX);
    }
    free(push->batch);
    push->batch = NULL;
    if (status == EXIT_DONE && push->sent_bytes > 0) {
        progress_total(push->session, &push->bar, "pushed", push->sent_bytes);
    }
    return status;
}

/* ------------------------------------------------------------------ records */

static int make_version(struct session *session, const struct bundle *bundle,
                        minga_Version *version_out)
{
    struct tree_id tree = bundle_tree(bundle);
    struct bundle_totals totals = bundle_totals(bundle);
    int length_bytes = manifest_encode(bundle_manifest(bundle), version_out->manifest.bytes);

    if (length_bytes < 0) {
        return problem_set(&session->problem, EXIT_REFUSED, "service.yaml", "too long");
    }
    memcpy(version_out->tree, tree.id.bytes, ID_BYTES);
    version_out->manifest.size = (pb_size_t)length_bytes;
    version_out->files = totals.file_count;
    version_out->bytes = totals.bytes;
    return EXIT_DONE;
}

static bool is_same(const minga_Version *a, const minga_Version *b)
{
    return memcmp(a->tree, b->tree, ID_BYTES) == 0 && a->manifest.size == b->manifest.size &&
           memcmp(a->manifest.bytes, b->manifest.bytes, a->manifest.size) == 0;
}

/* The latest version that is stored, from the one in use on; 0: there is none. */
static int find_latest(struct session *session, const struct owned_service *owned,
                       uint64_t *number_out, minga_Version *latest_out)
{
    uint64_t number = owned->service.version > 0 ? owned->service.version - 1 : 0;
    uint64_t last = number + LATER_VERSIONS_MAX;
    bool found = true;
    int status = EXIT_DONE;

    while (status == EXIT_DONE && found && number < last) {
        status = version_read(session, owned, number + 1, latest_out, &found);
        number += found ? 1 : 0;
    }
    *number_out = number;
    return status;
}

/* Writes the version unless the latest one is the same. */
static int put_version(struct session *session, const struct owned_service *owned,
                       const minga_Version *version, uint64_t *number_out, bool *same_out)
{
    minga_Version latest = minga_Version_init_zero;
    uint64_t number = 0;
    int status = find_latest(session, owned, &number, &latest);

    if (status != EXIT_DONE) {
        return status;
    }
    *same_out = number > 0 && is_same(&latest, version);
    *number_out = *same_out ? number : number + 1;
    return *same_out ? EXIT_DONE : version_write(session, owned, *number_out, version);
}

struct wanted {
    uint64_t version;
    uint32_t replica_count;
};

static int apply(struct session *session, struct owned_service *owned, void *context)
{
    const struct wanted *wanted = context;

    (void)session;
    if (owned->sequence == 0 || owned->removed) {
        owned->service = (minga_Service)minga_Service_init_zero;
        owned->service.replicas = wanted->replica_count;
    } else if (!owned->service.active) {
        owned->service.fallback_version = owned->service.version;
    }
    if (!owned->service.active) {
        owned->service.version = wanted->version;
    }
    return EXIT_DONE;
}

/* A new service is known but off. What runs is not changed; what is off starts with the newest. */
static int put_service(struct session *session, struct owned_service *owned,
                       const struct bundle *bundle, uint64_t version)
{
    struct wanted wanted = {version, bundle_manifest(bundle)->replica_count};

    if (owned->sequence > 0 && !owned->removed &&
        (owned->service.active || owned->service.version == version)) {
        return EXIT_DONE;
    }
    return owned_service_change(session, owned, false, apply, &wanted);
}

/* ------------------------------------------------------------------ telling */

static void say_notes(const struct push_notes *notes)
{
    for (uint32_t i = 0; i < notes->count && i < PUSH_NOTES_MAX; i++) {
        remark("minga: %s", notes->lines[i]);
    }
    if (notes->count > PUSH_NOTES_MAX) {
        remark("minga: and %u more like these", notes->count - PUSH_NOTES_MAX);
    }
}

static json_t *notes_of(const struct push_notes *notes)
{
    json_t *array = json_array();

    for (uint32_t i = 0; i < notes->count && i < PUSH_NOTES_MAX; i++) {
        json_array_append_new(array, json_string(notes->lines[i]));
    }
    return array;
}

static void say(const struct push *push, const struct owned_service *owned, uint64_t version,
                const struct push_notes *notes)
{
    struct bundle_totals totals = bundle_totals(push->bundle);
    struct tree_id tree = bundle_tree(push->bundle);
    struct owner_id owner = keys_owner_id(&owned->owner);
    char hex[ID_HEX_CHARS + 1];
    char owner_hex[ID_HEX_CHARS + 1];
    json_t *document;

    id_to_hex(&tree.id, hex);
    id_to_hex(&owner.id, owner_hex);
    if (!push->session->json) {
        printf("%s %" PRIu64 " %.*s\n", owned->name, version, ID_SHORT_CHARS, hex);
        return;
    }
    document = json_pack("{ss ss ss sI ss sI sI sI so so}", "name", owned->name, "id",
                         owned->id_hex, "owner", owner_hex, "version", (json_int_t)version, "tree",
                         hex, "files", (json_int_t)totals.file_count, "bytes",
                         (json_int_t)totals.bytes, "new_bytes", (json_int_t)push->new_bytes,
                         "copies", session_copies(push->session), "notes", notes_of(notes));
    print_document(document);
    json_decref(document);
}

static void say_remarks(const struct session *session, const struct owned_service *owned,
                        uint64_t version, bool same, const struct push_notes *notes)
{
    if (session->json) {
        return;
    }
    progress(session, "%s", "");
    say_notes(notes);
    session_warn_alone(session);
    if (same) {
        remark("minga: the same as version %" PRIu64 ": nothing new was stored", version);
    } else {
        remark("minga: state: none: what a replica writes is lost when it ends or moves");
    }
    if (owned->service.active && owned->service.version != version) {
        remark("minga: version %" PRIu64
               " goes on running; stop, push again and start for this one",
               owned->service.version);
    }
}

/* ------------------------------------------------------------------ all of it */

static int push_records(struct push *push, struct push_notes *notes)
{
    struct owned_service owned;
    minga_Version version = minga_Version_init_zero;
    uint64_t number = 0;
    bool same = false;
    int status = make_version(push->session, push->bundle, &version);

    if (status == EXIT_DONE) {
        status = owned_service_read(push->session, bundle_manifest(push->bundle)->name, &owned);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    status = put_version(push->session, &owned, &version, &number, &same);
    if (status == EXIT_DONE) {
        status = put_service(push->session, &owned, push->bundle, number);
    }
    if (status == EXIT_DONE) {
        say_remarks(push->session, &owned, number, same, notes);
        say(push, &owned, number, notes);
    }
    owned_service_done(&owned);
    return status;
}

/* Whose services the community runs: those of people with a machine in it. Asked before anything
 * is sent, so that nothing of a stranger's is stored. */
static int check_member(struct session *session)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    struct secret_key secret;
    struct public_key key;
    struct owner_id owner;
    char hex[ID_HEX_CHARS + 1];
    const json_t *node;
    size_t i;
    int status = session_owner_key(session, &secret);

    if (status == EXIT_DONE) {
        key = keys_public(&secret);
        keys_forget(&secret);
        owner = keys_owner_id(&key);
        id_to_hex(&owner.id, hex);
        status = session_get(session, "/v1/nodes", &document);
    }
    json_array_foreach(json_object_get(document, "nodes"), i, node)
    {
        if (strcmp(text_of(node, "owner"), hex) == 0 &&
            strcmp(text_of(node, "state"), "expelled") != 0) {
            return EXIT_DONE;
        }
    }
    if (status != EXIT_DONE) {
        return status;
    }
    problem_set(&session->problem, EXIT_REFUSED, "push", "you (%.*s) are no member of %s",
                ID_SHORT_CHARS, hex, text_of(document, "community"));
    return problem_advise(&session->problem,
                          "members are the owners of its machines: sudo minga join, or --key FILE");
}

static void on_progress(void *context, uint64_t hashed_bytes, uint64_t all_bytes)
{
    struct push *push = context;

    progress_bar(push->session, &push->bar, hashed_bytes, all_bytes);
}

int push_folder(struct session *session, const char *name, int folder_fd, struct push_notes *notes)
{
    struct push push = {.session = session};
    struct bundle_source source = {folder_fd, name, on_progress, &push};
    struct bundle *bundle = NULL;
    struct err err;
    int status;

    progress_begin(&push.bar, "hashing");
    if (bundle_open(&source, &bundle, &err) < 0) {
        progress(session, "%s", "");
        return problem_from_err(&session->problem, EXIT_REFUSED, &err);
    }
    for (uint32_t i = 0; i < bundle_note_count(bundle); i++) {
        push_note(notes, bundle_note(bundle, i));
    }
    push.bundle = bundle;
    status = check_member(session);
    if (status == EXIT_DONE) {
        status = push_chunks(&push);
    }
    if (status == EXIT_DONE) {
        status = push_records(&push, notes);
    }
    bundle_free(bundle);
    return status;
}
