// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/papers.h"

#include <string.h>

#include "base/check.h"
#include "overlay/signed.h"
#include "tests/sim/world.h"

enum { EXPIRED_S = 500 }; /* before the beginning: clocks are skewed by less */

static uint64_t wall_s(const struct world *world)
{
    return SIM_WALL_START_S + world->now_ms / 1000;
}

static void copy_key(uint8_t *key_out, const struct secret_key *secret)
{
    struct public_key key = keys_public(secret);

    memcpy(key_out, key.bytes, PUBLIC_KEY_BYTES);
}

static uint32_t seal(const minga_Signed *signed_thing, uint8_t *bytes_out, size_t capacity_bytes)
{
    int length_bytes = signed_encode(signed_thing, bytes_out, capacity_bytes);

    CHECK(length_bytes > 0);
    return (uint32_t)length_bytes;
}

void papers_community(struct world *world)
{
    struct client *client = &world->client;
    minga_Community community = minga_Community_init_zero;
    minga_Signed sealed = minga_Signed_init_zero;

    CHECK(text_copy(community.name, sizeof(community.name), "allotment") == 0);
    copy_key(community.key, &client->community);
    community.created_unix_s = SIM_WALL_START_S - 1000;
    CHECK(signed_make(minga_Community_fields, &community, PURPOSE_COMMUNITY, &client->community,
                      &sealed) == 0);
    client->community_record_bytes =
        seal(&sealed, client->community_record, sizeof(client->community_record));
}

static const struct secret_key *invitation_key(const struct world *world, enum papers_flaw flaw)
{
    return flaw == PAPERS_LIMITED ? &world->client.invited.key : &world->client.invitation;
}

static void make_invitation(const struct world *world, uint32_t node, enum papers_flaw flaw,
                            minga_Signed *sealed_out)
{
    const struct secret_key *own = &world->nodes[node].secret;
    bool is_forged = flaw == PAPERS_FORGED;
    minga_Invitation invitation = minga_Invitation_init_zero;

    copy_key(invitation.community, &world->client.community);
    copy_key(invitation.key, is_forged ? own : invitation_key(world, flaw));
    invitation.uses_max = flaw == PAPERS_LIMITED ? (uint32_t)world->client.invited.uses_max : 0;
    invitation.created_unix_s = SIM_WALL_START_S - 1000;
    invitation.expires_unix_s =
        flaw == PAPERS_EXPIRED ? SIM_WALL_START_S - EXPIRED_S : SIM_WALL_START_S + 7 * 86400;
    CHECK(signed_make(minga_Invitation_fields, &invitation, PURPOSE_INVITATION,
                      is_forged ? own : &world->client.community, sealed_out) == 0);
}

/* Returns the length of the encoded request, which lies in papers->request. */
static size_t make_request(struct world *world, uint32_t node, enum papers_flaw flaw,
                           struct papers *papers)
{
    const struct sim_node *volunteer = &world->nodes[node];
    minga_AdmissionRequest request = minga_AdmissionRequest_init_zero;
    int length_bytes;

    copy_key(request.community, &world->client.community);
    memcpy(request.node_key, volunteer->key.bytes, PUBLIC_KEY_BYTES);
    copy_key(request.owner_key, &world->client.owners[volunteer->owner]);
    CHECK(text_copy(request.node_name, sizeof(request.node_name), volunteer->name) == 0);
    CHECK(text_copy(request.owner_name, sizeof(request.owner_name), "ana") == 0);
    request.positions = 1;
    request.requested_unix_s = wall_s(world);
    request.has_invitation = true;
    make_invitation(world, node, flaw, &request.invitation);
    length_bytes = signed_encode_body(minga_AdmissionRequest_fields, &request, papers->request,
                                      sizeof(papers->request));
    CHECK(length_bytes > 0);
    return (size_t)length_bytes;
}

void papers_founder(struct world *world, uint32_t node, struct papers *papers)
{
    const struct sim_node *founder = &world->nodes[node];
    struct bytes request = {papers->request, make_request(world, node, PAPERS_FINE, papers)};
    minga_Countersigned admission = minga_Countersigned_init_zero;
    minga_Signed sealed = minga_Signed_init_zero;
    struct signature signature;

    CHECK(request.length_bytes <= sizeof(admission.request.bytes));
    memcpy(admission.request.bytes, request.data, request.length_bytes);
    admission.request.size = (pb_size_t)request.length_bytes;
    signature = keys_sign(&founder->secret, PURPOSE_ADMISSION, request);
    memcpy(admission.node_signature, signature.bytes, SIGNATURE_BYTES);
    signature = keys_sign(&world->client.owners[founder->owner], PURPOSE_ADMISSION, request);
    memcpy(admission.owner_signature, signature.bytes, SIGNATURE_BYTES);
    signature = keys_sign(&world->client.invitation, PURPOSE_ADMISSION, request);
    memcpy(admission.invitation_signature, signature.bytes, SIGNATURE_BYTES);
    admission.admitted_unix_s = wall_s(world);
    CHECK(signed_make(minga_Countersigned_fields, &admission, PURPOSE_COUNTERSIGNATURE,
                      &world->client.community, &sealed) == 0);
    papers->signed_length_bytes = seal(&sealed, papers->signed_bytes, sizeof(papers->signed_bytes));
}

static void add_contact(const struct sim_node *contact, struct overlay_join *join)
{
    struct overlay_peer *peer = &join->contacts[join->contact_count++];

    *peer = (struct overlay_peer){.node = contact->id, .key = contact->key, .address_count = 1};
    CHECK(text_copy(peer->addresses[0], sizeof(peer->addresses[0]), contact->address) == 0);
}

void papers_intrude(struct world *world, uint32_t node, uint32_t contact, enum papers_flaw flaw,
                    struct papers *papers)
{
    struct overlay_join *join = &papers->join;
    const struct client *client = &world->client;
    bool has_key = flaw != PAPERS_FORGED && flaw != PAPERS_STOLEN;

    *join = (struct overlay_join){0};
    join->community = (struct bytes){client->community_record, client->community_record_bytes};
    join->request = (struct bytes){papers->request, make_request(world, node, flaw, papers)};
    join->owner_signature =
        keys_sign(&client->owners[world->nodes[node].owner], PURPOSE_ADMISSION, join->request);
    join->invitation_signature =
        keys_sign(has_key ? invitation_key(world, flaw) : &world->nodes[node].secret,
                  PURPOSE_ADMISSION, join->request);
    add_contact(&world->nodes[contact], join);
}

void papers_join(struct world *world, uint32_t node, uint32_t contact, struct papers *papers)
{
    struct overlay_join *join = &papers->join;

    papers_intrude(world, node, contact,
                   invited_is_guest(world, node) ? PAPERS_LIMITED : PAPERS_FINE, papers);
    if (contact != 0 && node != 0) {
        add_contact(&world->nodes[0], join);
    }
}

void papers_expulsion_by(struct world *world, uint32_t node, const struct secret_key *by,
                         struct papers *papers)
{
    minga_Expulsion expulsion = minga_Expulsion_init_zero;
    minga_Signed sealed = minga_Signed_init_zero;

    copy_key(expulsion.community, &world->client.community);
    memcpy(expulsion.node_key, world->nodes[node].key.bytes, PUBLIC_KEY_BYTES);
    CHECK(text_copy(expulsion.reason, sizeof(expulsion.reason), "noise") == 0);
    expulsion.expelled_unix_s = wall_s(world);
    CHECK(signed_make(minga_Expulsion_fields, &expulsion, PURPOSE_EXPULSION, by, &sealed) == 0);
    papers->signed_length_bytes = seal(&sealed, papers->signed_bytes, sizeof(papers->signed_bytes));
}

void papers_expulsion(struct world *world, uint32_t node, struct papers *papers)
{
    papers_expulsion_by(world, node, &world->client.community, papers);
}

void papers_revocation(struct world *world, struct papers *papers)
{
    minga_Revocation revocation = minga_Revocation_init_zero;
    minga_Signed sealed = minga_Signed_init_zero;

    copy_key(revocation.community, &world->client.community);
    copy_key(revocation.invitation_key, &world->client.invited.key);
    revocation.revoked_unix_s = wall_s(world);
    CHECK(signed_make(minga_Revocation_fields, &revocation, PURPOSE_REVOCATION,
                      &world->client.community, &sealed) == 0);
    papers->signed_length_bytes = seal(&sealed, papers->signed_bytes, sizeof(papers->signed_bytes));
}

/* ------------------------------------------------------------------ an owner's records */

static void make_manifest(const struct client_service *service, struct manifest *manifest_out)
{
    struct manifest *manifest = manifest_out;

    *manifest = (struct manifest){.replica_count = service->wish.replicas, .user = 65534};
    CHECK(text_copy(manifest->name, sizeof(manifest->name), service->name) == 0);
    memcpy(manifest->command.text, "/bin/wiki", sizeof("/bin/wiki"));
    manifest->command.count = 1;
    manifest->command.used_bytes = sizeof("/bin/wiki");
    CHECK(text_copy(manifest->workdir, sizeof(manifest->workdir), "/") == 0);
    manifest->spread = MANIFEST_SPREAD_NODE;
    manifest->cpu_permille = 100;
    manifest->memory_bytes = SIM_REPLICA_BYTES;
    manifest->disk_bytes = 64U << 20;
    manifest->pid_count = 64;
    manifest->arch_count = 1;
    manifest->archs[0] = MANIFEST_ARCH_AMD64;
    manifest->port_count = 1;
    CHECK(text_copy(manifest->ports[0].name, sizeof(manifest->ports[0].name), "http") == 0);
    manifest->ports[0].container_port = 8080;
    manifest->has_health = true;
    manifest->health_interval_ms = 5000;
    manifest->health_timeout_ms = 2000;
    manifest->health_failures_max = 3;
    manifest->health_grace_ms = 10000;
    manifest->stop_signal = 15;
    manifest->stop_grace_ms = 5000;
    manifest->logs_bytes = 8U << 20;
}

static void seal_record(struct world *world, uint32_t service, minga_Record *record,
                        struct papers *papers)
{
    const struct client_service *wanted = &world->client.services[service];
    const struct secret_key *owner = &world->client.owners[wanted->owner];
    minga_Signed sealed = minga_Signed_init_zero;

    copy_key(record->owner_key, owner);
    CHECK(text_copy(record->name, sizeof(record->name), wanted->name) == 0);
    record->written_unix_s = SIM_WALL_START_S; /* the same bytes when it is sent again */
    CHECK(signed_make(minga_Record_fields, record, PURPOSE_RECORD, owner, &sealed) == 0);
    papers->signed_length_bytes = seal(&sealed, papers->signed_bytes, sizeof(papers->signed_bytes));
}

static void put_content(const pb_msgdesc_t *fields, const void *content, minga_Record *record)
{
    int length_bytes =
        signed_encode_body(fields, content, record->content.bytes, sizeof(record->content.bytes));

    CHECK(length_bytes >= 0);
    record->content.size = (pb_size_t)length_bytes;
}

void papers_version(struct world *world, uint32_t service, struct papers *papers)
{
    const struct client_service *wanted = &world->client.services[service];
    const struct sim_tree *tree = client_tree(world, service);
    minga_Record record = minga_Record_init_zero;
    minga_Version version = minga_Version_init_zero;
    struct manifest manifest;
    int length_bytes;

    make_manifest(wanted, &manifest);
    length_bytes = manifest_encode(&manifest, version.manifest.bytes);
    CHECK(length_bytes > 0);
    version.manifest.size = (pb_size_t)length_bytes;
    memcpy(version.tree, tree->id.id.bytes, ID_BYTES);
    version.files = tree->chunk_count - 1;
    version.bytes = 100;
    record.kind = minga_RecordKind_RECORD_VERSION;
    record.number = wanted->version;
    record.sequence = wanted->version_sequence + 1;
    put_content(minga_Version_fields, &version, &record);
    seal_record(world, service, &record, papers);
}

void papers_service(struct world *world, uint32_t service, struct papers *papers)
{
    const struct client_service *wanted = &world->client.services[service];
    minga_Record record = minga_Record_init_zero;
    minga_Service content = minga_Service_init_zero;

    content.active = wanted->sending.active;
    content.replicas = wanted->sending.replicas;
    content.version = wanted->sending.version;
    record.kind = minga_RecordKind_RECORD_SERVICE;
    record.sequence = wanted->known_sequence + 1;
    record.removed = wanted->sending.removed;
    put_content(minga_Service_fields, &content, &record);
    seal_record(world, service, &record, papers);
}
