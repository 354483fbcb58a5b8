// SPDX-License-Identifier: GPL-3.0-or-later
/* Would that node run one more? What of the version and of the node comes together in the answer. */
#include "agent/core/message.h"
#include "overlay/signed.h"
#include "tests/unit/api/server_fixture.h"

TestSuite(offer, .init = set_up, .fini = tear_down, .timeout = 60);

static const char wiki[] = "name: wiki\ncommand: [/bin/wiki]\nspread: node\n"
                           "resources: {cpu: 0.5, memory: 128M, disk: 64M, pids: 64}\n";

static uint8_t record[3400];
static size_t record_bytes;
static minga_Offer offer;
static minga_Find asked_for;
static char path[400];

/* A version record of the owner's, and the path of the question whether "elm" would run it. */
static void make_record(void)
{
    struct secret_key owner;
    uint8_t seed[KEY_SEED_BYTES] = {9};
    uint8_t canonical[MANIFEST_BYTES_MAX];
    minga_Record plain = {.kind = minga_RecordKind_RECORD_VERSION, .number = 7, .name = "wiki"};
    minga_Version version = minga_Version_init_zero;
    struct public_key key;
    struct service_id service;
    struct manifest manifest;
    minga_Signed envelope;
    char service_hex[ID_HEX_CHARS + 1], node_hex[ID_HEX_CHARS + 1];
    struct err err = {0};
    int length;

    keys_from_seed(seed, &owner);
    key = keys_public(&owner);
    service = keys_service_id(&key, "wiki");
    cr_assert_eq(manifest_parse(bytes_of_text(wiki), "service.yaml", &manifest, &err), 0, "%s",
                 err.text);
    length = manifest_encode(&manifest, canonical);
    cr_assert_gt(length, 0);
    version.manifest.size = (pb_size_t)length;
    memcpy(version.manifest.bytes, canonical, (size_t)length);
    length = signed_encode_body(minga_Version_fields, &version, plain.content.bytes,
                                sizeof(plain.content.bytes));
    cr_assert_gt(length, 0);
    plain.content.size = (pb_size_t)length;
    memcpy(plain.owner_key, key.bytes, PUBLIC_KEY_BYTES);
    cr_assert_eq(signed_make(minga_Record_fields, &plain, PURPOSE_RECORD, &owner, &envelope), 0);
    length = signed_encode(&envelope, record, sizeof(record));
    cr_assert_gt(length, 0);
    record_bytes = (size_t)length;
    id_to_hex(&service.id, service_hex);
    id_to_hex(&the_core.members[1].node.id, node_hex);
    snprintf(path, sizeof(path), "/v1/services/%s/versions/7/offers/%s", service_hex, node_hex);
}

static void answers(const struct core_request *request, struct core_answer *answer,
                    struct service_status *list)
{
    static uint8_t encoded[minga_Offer_size];

    (void)list;
    if (request->kind == CORE_GET_RECORD) {
        cr_assert_eq(request->number, 7);
        answer->record = (struct bytes){record, record_bytes};
        return;
    }
    cr_assert_eq(request->kind, CORE_ASK_OFFER);
    cr_assert(id_equal(&request->node.id, &the_core.members[1].node.id));
    cr_assert_eq(signed_decode_body(minga_Find_fields, request->signed_bytes, &asked_for), 0);
    answer->data = (struct bytes){
        encoded, (size_t)signed_encode_body(minga_Offer_fields, &offer, encoded, sizeof(encoded))};
}

static const char *text(const char *name)
{
    return json_string_value(json_object_get(answer.json, name));
}

Test(offer, a_node_is_asked_what_the_version_needs_and_its_answer_is_told)
{
    make_record();
    world.host.liar = answers;
    offer = (minga_Offer){.refusal = REFUSAL_MEMORY,
                          .reason = "not enough memory is free",
                          .has_free = true,
                          .free.memory_bytes = 1 << 20,
                          .uptime_ms = 5000,
                          .replica_count = 2};
    get(path);
    cr_assert_eq(answer.status, 200, "%s", answer.body);
    cr_assert_eq(asked_for.need.memory_bytes, 128 << 20);
    cr_assert(json_is_false(json_object_get(answer.json, "admitted")));
    cr_assert_str_eq(text("reason"), "not enough memory is free");
    cr_assert_str_eq(text("spread"), "node");
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(answer.json, "need"), "pids")),
                 64);
    cr_assert_eq(
        json_integer_value(json_object_get(json_object_get(answer.json, "free"), "memory_bytes")),
        1 << 20);
    cr_assert_eq(json_integer_value(json_object_get(answer.json, "replicas")), 2);
    done();
    offer = (minga_Offer){.uptime_ms = 1};
    get(path);
    cr_assert(json_is_true(json_object_get(answer.json, "admitted")));
    done();
}

static void forgets(const struct core_request *request, struct core_answer *answer,
                    struct service_status *list)
{
    answers(request, answer, list);
    if (request->kind == CORE_ASK_OFFER) {
        answer->data = (struct bytes){0}; /* no room for it */
    }
}

static void lies(const struct core_request *request, struct core_answer *answer,
                 struct service_status *list)
{
    answers(request, answer, list);
    record[record_bytes - 1] ^= 1;
}

Test(offer, no_answer_is_no_yes)
{
    make_record();
    world.host.liar = forgets;
    get(path);
    cr_assert_eq(answer.status, 503);
    done();
    world.host.liar = lies; /* whoever kept the record */
    get(path);
    cr_assert_eq(answer.status, 422);
    done();
    path[strlen(path) - 1] = 'x';
    world.host.asked_count = 0;
    get(path);
    cr_assert_eq(answer.status, 400);
    done();
    get("/v1/services/" ID64 "/versions/0/offers/" ID64);
    cr_assert_eq(answer.status, 400);
    done();
    cr_assert_eq(world.host.asked_count, 0);
}
