// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/api/documents.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/attributes.h"
#include "base/check.h"

enum { TEXT_BYTES_MAX = 256, BASE64_CHARS_MAX = 6144 };

void document_release(json_t **document)
{
    json_decref(*document);
}

json_t *document_id(const struct id *id)
{
    char hex[ID_HEX_CHARS + 1];

    id_to_hex(id, hex);
    return json_string(hex);
}

json_t *document_text(const char *text)
{
    json_t *string = json_string(text);
    char ascii[TEXT_BYTES_MAX];
    size_t i;

    if (string != NULL) {
        return string;
    }
    for (i = 0; text[i] != '\0' && i < sizeof(ascii) - 1; i++) {
        bool is_plain = text[i] >= 0x20 && text[i] < 0x7f;

        ascii[i] = text[i];
        if (!is_plain) {
            ascii[i] = '?';
        }
    }
    ascii[i] = '\0';
    return json_string(ascii);
}

json_t *document_moment(uint64_t unix_s)
{
    time_t seconds = (time_t)unix_s;
    struct tm parts;
    char text[32];

    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        return json_null();
    }
    return json_string(text);
}

json_t *document_base64(struct bytes bytes)
{
    char text[BASE64_CHARS_MAX];

    return bytes_to_base64(bytes, text, sizeof(text)) < 0 ? NULL : json_string(text);
}

json_t *document_copies(uint32_t copies)
{
    return copies == 0 ? json_null() : json_integer((json_int_t)copies);
}

static json_t *cores(uint64_t cpu_permille)
{
    return json_real((double)cpu_permille / 1000.0);
}

json_t *document_limits(const struct sandbox_limits *limits)
{
    return json_pack("{so sI sI sI}", "cpu_cores", cores(limits->cpu_permille), "memory_bytes",
                     (json_int_t)limits->memory_bytes, "disk_bytes", (json_int_t)limits->disk_bytes,
                     "pids", (json_int_t)limits->pid_count);
}

static json_t *age(uint64_t age_ms, struct document_time time)
{
    uint64_t age_s = age_ms / 1000;

    return document_moment(age_s > time.wall_unix_s ? 0 : time.wall_unix_s - age_s);
}

json_t *document_service(const struct service_status *status, struct document_time time)
{
    struct owner_id owner = keys_owner_id(&status->owner_key);

    return json_pack("{so so so sI sI ss so sI sI so sI so}", "name", document_text(status->name),
                     "id", document_id(&status->service.id), "owner", document_id(&owner.id),
                     "version", (json_int_t)status->version, "sequence",
                     (json_int_t)status->sequence, "state", service_state_name(status->state),
                     "reason", document_text(status->reason), "wanted",
                     (json_int_t)status->wanted_count, "running", (json_int_t)status->running_count,
                     "manager", document_id(&status->manager.id), "epoch",
                     (json_int_t)status->epoch_generation, "since", age(status->age_ms, time));
}

static json_t *ports(const struct replica_status *replica)
{
    json_t *object = json_object();

    for (uint32_t i = 0; i < replica->port_count; i++) {
        if (replica->ports[i].host_port != 0) { /* 0: not bound yet */
            json_object_set_new(object, replica->ports[i].name,
                                json_integer(replica->ports[i].host_port));
        }
    }
    return object;
}

static json_t *protocols(const struct replica_status *replica)
{
    json_t *object = json_object();

    for (uint32_t i = 0; i < replica->port_count; i++) {
        if (replica->ports[i].host_port != 0) {
            json_object_set_new(object, replica->ports[i].name,
                                json_string(replica->ports[i].is_udp ? "udp" : "tcp"));
        }
    }
    return object;
}

static json_t *visibilities(const struct replica_status *replica)
{
    json_t *object = json_object();

    for (uint32_t i = 0; i < replica->port_count; i++) {
        if (replica->ports[i].host_port != 0) {
            json_object_set_new(object, replica->ports[i].name,
                                json_string(replica->ports[i].for_members ? "members" : "public"));
        }
    }
    return object;
}

static json_t *replica_name(const char *service_name, uint32_t slot)
{
    return json_sprintf("%s/%u", service_name, slot);
}

static json_t *replica_place(const struct replica_status *replica)
{
    if (!replica->placed) {
        return json_pack("{sn sn sn s{} s{} s{}}", "node", "node_name", "address", "ports",
                         "protocols", "visibilities");
    }
    return json_pack("{so so so so so so}", "node", document_id(&replica->node.id), "node_name",
                     document_text(replica->node_name), "address", document_text(replica->address),
                     "ports", ports(replica), "protocols", protocols(replica), "visibilities",
                     visibilities(replica));
}

static json_t *replica_use(const struct replica_status *replica)
{
    const struct sandbox_limits *used = &replica->used;
    const struct sandbox_limits *limits = &replica->limits;
    static const char *const egress[] = {
        [SANDBOX_EGRESS_NONE] = "none",
        [SANDBOX_EGRESS_UP] = "internet",
        [SANDBOX_EGRESS_LOST] = "lost",
    };

    return json_pack("{so so sI sI sI sI sI sI sI sI sI sI ss}", "cpu_cores",
                     cores(used->cpu_permille), "cpu_limit_cores", cores(limits->cpu_permille),
                     "memory_bytes", (json_int_t)used->memory_bytes, "memory_limit_bytes",
                     (json_int_t)limits->memory_bytes, "disk_bytes", (json_int_t)used->disk_bytes,
                     "disk_limit_bytes", (json_int_t)limits->disk_bytes, "pids",
                     (json_int_t)used->pid_count, "pids_limit", (json_int_t)limits->pid_count,
                     "connections", (json_int_t)replica->activity.connection_count,
                     "connections_refused", (json_int_t)replica->activity.refused_count,
                     "io_read_bytes", (json_int_t)replica->activity.io_read_bytes,
                     "io_written_bytes", (json_int_t)replica->activity.io_written_bytes, "egress",
                     egress[replica->activity.egress]);
}

json_t *document_replica(const char *service_name, const struct replica_status *replica,
                         struct document_time time)
{
    json_t *object = json_pack(
        "{so sI ss ss so so sI sI}", "id", replica_name(service_name, replica->slot), "incarnation",
        (json_int_t)replica->incarnation, "state", replica_state_name(replica->state), "health",
        replica_health_name(replica->health), "reason", document_text(replica->reason), "since",
        age(replica->age_ms, time), "restarts", (json_int_t)replica->restart_count, "age_ms",
        (json_int_t)replica->heard_ms);

    json_object_set_new(object, "version",
                        replica->version == 0 ? json_null()
                                              : json_integer((json_int_t)replica->version));
    json_object_set_new(object, "next_try",
                        replica->next_try_s == 0
                            ? json_null()
                            : document_moment(time.wall_unix_s + replica->next_try_s));
    json_object_update_new(object, replica_place(replica));
    json_object_update_new(object, replica_use(replica));
    return object;
}

json_t *document_ended(const char *service_name, const struct replica_status *replica,
                       struct document_time time)
{
    return json_pack("{so sI so so ss so so sI}", "id", replica_name(service_name, replica->slot),
                     "incarnation", (json_int_t)replica->incarnation, "node",
                     replica->placed ? document_id(&replica->node.id) : json_null(), "node_name",
                     document_text(replica->node_name), "state", replica_state_name(replica->state),
                     "reason", document_text(replica->reason), "since", age(replica->age_ms, time),
                     "restarts", (json_int_t)replica->restart_count);
}

/* ------------------------------------------------------------------ this node */

static const char *reachable_name(minga_Reachable reachable)
{
    switch (reachable) {
    case minga_Reachable_REACHABLE_DIRECT:
        return "direct";
    case minga_Reachable_REACHABLE_RELAYED:
        return "relayed";
    case minga_Reachable_REACHABLE_NONE:
        return "none";
    case minga_Reachable_REACHABLE_UNKNOWN:
    default:
        return "unknown";
    }
}

static json_t *community_name(const struct overlay *overlay)
{
    return overlay_belongs(overlay) ? document_text(overlay_community_name(overlay)) : json_null();
}

static json_t *share(const struct sandbox_limits *limits, uint64_t storage_bytes)
{
    json_t *object = document_limits(limits);

    json_object_set_new(object, "storage_bytes", json_integer((json_int_t)storage_bytes));
    return object;
}

static json_t *own_replicas(const struct core *core, struct document_time time)
{
    json_t *array = json_array();

    for (uint32_t i = 0; i < core_replica_count(core); i++) {
        struct core_replica replica;
        struct owner_id owner;
        json_t *object;

        core_replica(core, i, time.now_ms, &replica);
        owner = keys_owner_id(&replica.owner_key);
        object = document_replica(replica.service_name, &replica.status, time);
        json_object_set_new(object, "service", document_id(&replica.key.service.id));
        json_object_set_new(object, "owner", document_id(&owner.id));
        json_object_set_new(object, "sent_bytes",
                            json_integer((json_int_t)replica.status.activity.sent_bytes));
        json_object_set_new(object, "received_bytes",
                            json_integer((json_int_t)replica.status.activity.received_bytes));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *rate(uint64_t bytes_per_s)
{
    return bytes_per_s == OWNER_NO_LIMIT ? json_null() : json_integer((json_int_t)bytes_per_s);
}

static json_t *name_or_null(const char *name)
{
    return name[0] != '\0' ? document_text(name) : json_null();
}

/* What the owner's word leaves of the contribution, and until when. */
static void add_rule(json_t *object, const struct node_status *status, struct document_time time)
{
    const struct core_allowed *allowed = &status->allowed;

    json_object_set_new(object, "rule_mode", json_string(status->rule_mode));
    json_object_set_new(object, "rule_until",
                        status->rule_left_ms == UINT64_MAX
                            ? json_null()
                            : document_moment(time.wall_unix_s + status->rule_left_ms / 1000));
    json_object_set_new(object, "allowed",
                        json_pack("{sf sI so so}", "cpu_cores",
                                  (double)allowed->cpu_permille / 1000, "memory_bytes",
                                  (json_int_t)allowed->memory_bytes, "upload_bytes_per_s",
                                  rate(allowed->upload_bytes_per_s), "download_bytes_per_s",
                                  rate(allowed->download_bytes_per_s)));
    json_object_set_new(object, "allowed_by",
                        json_pack("{so so so so}", "cpu", name_or_null(status->named.cpu), "memory",
                                  name_or_null(status->named.memory), "upload",
                                  name_or_null(status->named.upload), "download",
                                  name_or_null(status->named.download)));
}

json_t *document_node_history(const struct core *core)
{
    json_t *array = json_array();

    for (uint32_t i = 0; i < core_ended_count(core); i++) {
        struct core_ended ended;
        char replica[NAME_CHARS_MAX + 16];

        core_ended(core, i, &ended);
        (void)snprintf(replica, sizeof(replica), "%s/%u", ended.service_name, ended.key.slot);
        json_array_append_new(
            array,
            json_pack("{so so so sI so so sf ss so}", "id", document_text(replica), "service",
                      document_id(&ended.key.service.id), "owner", document_id(&ended.owner.id),
                      "incarnation", (json_int_t)ended.key.incarnation, "began",
                      document_moment(ended.began_unix_s), "ended",
                      document_moment(ended.ended_unix_s), "cpu_s", (double)ended.cpu_ms / 1000,
                      "state", ended.failed ? "failed" : "ended", "reason",
                      document_text(ended.reason)));
    }
    return json_pack("{so}", "history", array);
}

json_t *document_node(const struct core *core, const struct public_key *node_key,
                      struct document_time time)
{
    const struct overlay *overlay = core_overlay(core);
    struct node_id self = overlay_self(overlay);
    const struct overlay_member *member = overlay_member_by_id(overlay, &self);
    struct node_status status;
    json_t *object;

    core_node_status(core, &status);
    object =
        json_pack("{so so so ss so so ss so so so so}", "node", document_id(&self.id), "node_name",
                  member == NULL ? json_null() : document_text(member->record.name), "community",
                  community_name(overlay), "state", status.state, "rule",
                  document_text(status.rule), "reason", document_text(status.reason), "reachable",
                  member == NULL ? "unknown" : reachable_name(member->record.reachable),
                  "contribution", share(&status.contribution, status.storage_bytes), "used",
                  share(&status.used, status.storage_used_bytes), "promised",
                  document_limits(&status.promised), "replicas", own_replicas(core, time));
    add_rule(object, &status, time);
    json_object_set_new(object, "node_key",
                        document_base64((struct bytes){node_key->bytes, PUBLIC_KEY_BYTES}));
    json_object_set_new(object, "owner",
                        member == NULL ? json_null() : document_id(&member->owner.id));
    return object;
}

/* ------------------------------------------------------------------ the community */

const char *document_member_state(enum member_state state)
{
    static const char *const names[] = {
        [MEMBER_UP] = "up",     [MEMBER_SUSPECT] = "suspect",   [MEMBER_DOWN] = "down",
        [MEMBER_LEFT] = "down", [MEMBER_EXPELLED] = "expelled",
    };

    CHECK(state < ARRAY_COUNT(names));
    return names[state];
}

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* What a member has left to give; null while nothing is known. */
static json_t *free_of(const struct core *core, const struct overlay_member *member)
{
    struct sandbox_limits left;
    struct node_status own;

    if (member->state != MEMBER_UP && member->state != MEMBER_SUSPECT) {
        return json_null();
    }
    if (member->is_self) {
        core_node_status(core, &own);
        left = (struct sandbox_limits){
            less(own.contribution.cpu_permille, own.promised.cpu_permille),
            less(own.contribution.memory_bytes, own.promised.memory_bytes),
            less(own.contribution.disk_bytes, own.promised.disk_bytes),
            less(own.contribution.pid_count, own.promised.pid_count),
        };
        return document_limits(&left);
    }
    return core_member_free(core, &member->node, &left) ? document_limits(&left) : json_null();
}

static json_t *node_of(const struct core *core, const struct overlay_member *member,
                       struct document_time time)
{
    const minga_NodeRecord *record = &member->record;
    json_t *since = member->changed_ms == 0 ? document_moment(member->since_unix_s)
                                            : age(less(time.now_ms, member->changed_ms), time);

    return json_pack(
        "{so so so so so ss sb ss so so so so sb so}", "node", document_id(&member->node.id),
        "node_name", document_text(record->name), "zone", document_text(record->zone), "address",
        record->addresses_count > 0 ? document_text(record->addresses[0]) : json_null(), "owner",
        document_id(&member->owner.id), "state", document_member_state(member->state), "left",
        member->state == MEMBER_LEFT, "reachable", reachable_name(record->reachable), "arch",
        document_text(record->arch), "version", document_text(record->version), "free",
        free_of(core, member), "since", since, "self", member->is_self, "key",
        document_base64((struct bytes){member->key.bytes, PUBLIC_KEY_BYTES}));
}

json_t *document_nodes(const struct core *core, struct document_time time)
{
    const struct overlay *overlay = core_overlay(core);
    json_t *nodes = json_array();

    for (uint32_t i = 0; i < overlay_member_count(overlay); i++) {
        json_array_append_new(nodes, node_of(core, overlay_member(overlay, i), time));
    }
    return json_pack("{so so}", "community", community_name(overlay), "nodes", nodes);
}

static json_int_t services_of(const json_t *services, const char *owner)
{
    json_int_t count = 0;
    json_t *service;
    size_t i;

    json_array_foreach(services, i, service)
    {
        const char *id = json_string_value(json_object_get(service, "owner"));

        count += id != NULL && strcmp(id, owner) == 0 ? 1 : 0;
    }
    return count;
}

/* One entry per person: nodes with the same owner are one member's. */
json_t *document_members(const struct core *core, const json_t *services)
{
    const struct overlay *overlay = core_overlay(core);
    json_t *members = json_object();
    json_t *array = json_array();
    json_t *entry;
    const char *key;

    for (uint32_t i = 0; i < overlay_member_count(overlay); i++) {
        const struct overlay_member *member = overlay_member(overlay, i);
        char owner[ID_HEX_CHARS + 1];

        if (member->state == MEMBER_EXPELLED) {
            continue;
        }
        id_to_hex(&member->owner.id, owner);
        entry = json_object_get(members, owner);
        if (entry == NULL) {
            entry = json_pack("{ss so s[s] s[] sI so}", "owner", owner, "name",
                              document_text(member->owner_name), "rights", "member", "nodes",
                              "services", services_of(services, owner), "since",
                              document_moment(member->since_unix_s));
            json_object_set_new(members, owner, entry);
        }
        json_array_append_new(json_object_get(entry, "nodes"), document_id(&member->node.id));
    }
    json_object_foreach(members, key, entry)
    {
        json_array_append(array, entry);
    }
    json_decref(members);
    return json_pack("{so so}", "community", community_name(overlay), "members", array);
}

/* ------------------------------------------------------------------ locations */

static bool is_healthy(const json_t *replica)
{
    const char *state = json_string_value(json_object_get(replica, "state"));
    const char *health = json_string_value(json_object_get(replica, "health"));

    return state != NULL && health != NULL &&
           strcmp(state, replica_state_name(REPLICA_RUNNING)) == 0 &&
           strcmp(health, replica_health_name(HEALTH_OK)) == 0;
}

static void add_locations(json_t *locations, json_t *replica, const char *port_name)
{
    const char *name;
    json_t *port;

    json_object_foreach(json_object_get(replica, "ports"), name, port)
    {
        if (port_name == NULL || strcmp(name, port_name) == 0) {
            json_array_append_new(
                locations,
                json_pack("{sO sO sO sO ss sO sO sO sO}", "replica", json_object_get(replica, "id"),
                          "node", json_object_get(replica, "node"), "address",
                          json_object_get(replica, "address"), "port", port, "port_name", name,
                          "protocol", json_object_get(json_object_get(replica, "protocols"), name),
                          "visibility",
                          json_object_get(json_object_get(replica, "visibilities"), name), "health",
                          json_object_get(replica, "health"), "age_ms",
                          json_object_get(replica, "age_ms")));
        }
    }
}

json_t *document_locations(const json_t *service, const char *port_name)
{
    json_t *locations = json_array();
    json_t *replica;
    size_t i;

    json_array_foreach(json_object_get(service, "replicas"), i, replica)
    {
        if (is_healthy(replica)) {
            add_locations(locations, replica, port_name);
        }
    }
    return json_pack("{sO so}", "service", json_object_get(service, "name"), "locations",
                     locations);
}
