// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A core and an overlay with views only, of a community of two: "oak" (this node) and "elm". One
 * program includes this once; the API links to it instead of the real ones.
 */
#include <string.h>

#include "agent/core/core.h"

enum { FAKE_MEMBERS_MAX = 40 };

struct core {
    bool belongs;
    bool has_chunks; /* every chunk is here */
    bool paused;
    uint32_t replica_count;
    const char *community; /* its name; NULL: "allotment" */
    uint32_t member_count; /* two, or more without names of their own */
    struct overlay_member members[FAKE_MEMBERS_MAX];
};

static struct core the_core;

static void fake_member(struct overlay_member *member, uint8_t seed_byte, const char *name)
{
    uint8_t seed[KEY_SEED_BYTES] = {seed_byte};
    struct secret_key secret;

    memset(member, 0, sizeof(*member));
    keys_from_seed(seed, &secret);
    member->key = keys_public(&secret);
    member->node = keys_node_id(&member->key);
    member->owner = keys_owner_id(&member->key);
    member->owner_key = member->key;
    strcpy(member->owner_name, name);
    strcpy(member->record.name, name);
    strcpy(member->record.arch, "amd64");
    strcpy(member->record.addresses[0], "10.77.0.3:7400");
    member->record.addresses_count = 1;
    member->record.reachable = minga_Reachable_REACHABLE_DIRECT;
    member->state = MEMBER_UP;
    member->since_unix_s = 1700000000;
}

__attribute__((unused)) static void fake_core_init(void)
{
    memset(&the_core, 0, sizeof(the_core));
    the_core.belongs = true;
    fake_member(&the_core.members[0], 1, "oak");
    fake_member(&the_core.members[1], 2, "elm");
    the_core.members[0].is_self = true;
    the_core.member_count = 2;
}

const struct overlay *core_overlay(const struct core *core)
{
    return (const struct overlay *)(const void *)core;
}

static const struct core *core_of(const struct overlay *overlay)
{
    return (const struct core *)(const void *)overlay;
}

bool overlay_belongs(const struct overlay *overlay)
{
    return core_of(overlay)->belongs;
}

const char *overlay_community_name(const struct overlay *overlay)
{
    const char *name = core_of(overlay)->community;

    return name != NULL ? name : "allotment";
}

struct bytes overlay_community_record(const struct overlay *overlay)
{
    (void)overlay;
    return bytes_of_text("record");
}

bool overlay_local_lookup(const struct overlay *overlay, const struct ring_key *key,
                          struct node_id *node_out)
{
    (void)key;
    *node_out = overlay_self(overlay);
    return true;
}

struct node_id overlay_self(const struct overlay *overlay)
{
    return core_of(overlay)->members[0].node;
}

uint32_t overlay_member_count(const struct overlay *overlay)
{
    return core_of(overlay)->belongs ? core_of(overlay)->member_count : 0;
}

const struct overlay_member *overlay_member(const struct overlay *overlay, uint32_t index)
{
    return &core_of(overlay)->members[index];
}

const struct overlay_member *overlay_member_by_id(const struct overlay *overlay,
                                                  const struct node_id *node)
{
    for (uint32_t i = 0; i < overlay_member_count(overlay); i++) {
        if (id_equal(&core_of(overlay)->members[i].node.id, &node->id)) {
            return &core_of(overlay)->members[i];
        }
    }
    return NULL;
}

/* One service's tree, one copy on its way, one member away. */
void overlay_stock(const struct overlay *overlay, struct overlay_stock *stock_out,
                   struct overlay_stock_line *lines_out)
{
    (void)overlay;
    *stock_out = (struct overlay_stock){.chunk_count = 3,
                                        .bytes = 12000,
                                        .bytes_max = 50000,
                                        .spare_count = 1,
                                        .spare_bytes = 4000,
                                        .bad_count = 1,
                                        .bad_bytes = 900,
                                        .home_bytes = 8000,
                                        .position_count = 2,
                                        .part_permille = 1040,
                                        .rotten_count = 2};
    lines_out[7] = (struct overlay_stock_line){.used = true,
                                               .is_confirmed = true,
                                               .owner = {{{5}}},
                                               .name = "wiki",
                                               .version = 4,
                                               .chunk_count = 3,
                                               .bytes = 11000,
                                               .copies_least = 1,
                                               .copies_most = 3,
                                               .scarce_count = 1};
}

bool overlay_repair_next(const struct overlay *overlay, uint32_t *cursor,
                         struct overlay_repair *repair_out)
{
    if ((*cursor)++ > 0) {
        return false;
    }
    *repair_out = (struct overlay_repair){
        .to = core_of(overlay)->members[1].node, .why = OVERLAY_REPAIR_FEW_UP, .since_ms = 1};
    return true;
}

bool overlay_absence_next(const struct overlay *overlay, uint32_t *cursor,
                          struct overlay_absence *absence_out)
{
    if ((*cursor)++ > 0) {
        return false;
    }
    *absence_out = (struct overlay_absence){
        .node = core_of(overlay)->members[1].node, .away_s = 100, .patience_s = 7200};
    return true;
}

uint32_t overlay_rtt_ms(const struct overlay *overlay, const struct node_id *node)
{
    (void)overlay;
    (void)node;
    return UINT32_MAX;
}

void overlay_ring(const struct overlay *overlay, struct overlay_ring_view *view_out)
{
    memset(view_out, 0, sizeof(*view_out));
    view_out->position_count = 1;
    view_out->positions[0] = keys_position(&core_of(overlay)->members[0].key, 0);
    view_out->successor_count = 1;
    view_out->successors[0] = core_of(overlay)->members[1].node;
    view_out->predecessor_count = 1;
    view_out->predecessors[0] = core_of(overlay)->members[1].node;
}

bool overlay_has_chunk(const struct overlay *overlay, const struct chunk_id *chunk)
{
    (void)chunk;
    return core_of(overlay)->has_chunks;
}

void core_node_status(const struct core *core, struct node_status *status_out)
{
    (void)core;
    *status_out = (struct node_status){
        .state = the_core.paused ? "paused" : "ready",
        .rule = "office",
        .rule_mode = "keep",
        .rule_left_ms = 60000,
        .allowed = {500, 1 << 29, 1000, OWNER_NO_LIMIT},
        .runs = true,
        .contribution = {1500, 1 << 30, 2 << 20, 512},
        .storage_bytes = 1 << 20,
        .promised = {500, 1 << 29, 1 << 20, 64},
        .used = {10, 1 << 20, 1 << 10, 3},
    };
}

bool overlay_lost(const struct overlay *overlay, uint32_t index, struct overlay_lost *lost_out)
{
    (void)overlay;
    (void)index;
    (void)lost_out;
    return false;
}

uint32_t core_ended_count(const struct core *core)
{
    (void)core;
    return 1;
}

void core_ended(const struct core *core, uint32_t index, struct core_ended *ended_out)
{
    (void)core;
    (void)index;
    *ended_out = (struct core_ended){.key = {.slot = 2, .incarnation = 7},
                                     .service_name = "wiki",
                                     .began_unix_s = 1790000000,
                                     .ended_unix_s = 1790000060,
                                     .cpu_ms = 1500,
                                     .reason = "stopped"};
}

uint32_t core_replica_count(const struct core *core)
{
    return core->replica_count;
}

void core_replica(const struct core *core, uint32_t index, uint64_t now_ms,
                  struct core_replica *replica_out)
{
    (void)core;
    (void)now_ms;
    memset(replica_out, 0, sizeof(*replica_out));
    strcpy(replica_out->service_name, "wiki");
    replica_out->status.slot = index + 1;
    replica_out->status.state = REPLICA_RUNNING;
    replica_out->status.used = (struct sandbox_limits){1230, 4096, 0, 2};
}

uint32_t core_manager_count(const struct core *core)
{
    (void)core;
    return 2;
}

void core_manager(const struct core *core, uint32_t index, struct core_manager_view *view_out)
{
    (void)core;
    *view_out =
        (struct core_manager_view){.leading = index == 0, .wanted_count = 3, .running_count = 1};
}

struct overlay_counters overlay_counters(const struct overlay *overlay)
{
    (void)overlay;
    return (struct overlay_counters){.sent_messages = 7, .record_count = 5};
}

bool core_member_free(const struct core *core, const struct node_id *node,
                      struct sandbox_limits *free_out)
{
    (void)core;
    (void)node;
    (void)free_out;
    return false;
}

const char *service_state_name(enum service_state state)
{
    return state == SERVICE_ACTIVE ? "active" : "other";
}

const char *replica_state_name(enum replica_state state)
{
    return state == REPLICA_RUNNING ? "running" : "other";
}

const char *replica_health_name(enum replica_health health)
{
    return health == HEALTH_OK ? "ok" : "failing";
}
