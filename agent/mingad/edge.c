// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/edge.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/doors/pace.h"
#include "agent/mingad/folders.h"
#include "agent/mingad/machine_bond.h"
#include "agent/mingad/owner/keeper.h"
#include "agent/mingad/owner/senses.h"
#include "agent/mingad/recorder.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "sandbox/egress/egress.h"

enum { PATH_MAX_BYTES = CONFIG_STATE_BYTES_MAX + 32 };

static void state_path(const struct edge *edge, const char *name, char path_out[PATH_MAX_BYTES])
{
    int chars = snprintf(path_out, PATH_MAX_BYTES, "%s/agent/%s", edge->config.state, name);

    CHECK(chars > 0 && chars < PATH_MAX_BYTES); /* the table bounds paths.state */
}

/* ------------------------------------------------------------------ what is kept */

static int load_key(struct edge *edge, struct err *err)
{
    char path[PATH_MAX_BYTES];
    char name[ID_HEX_CHARS + 1];
    struct stat status;

    state_path(edge, "node.key", path);
    if (lstat(path, &status) < 0 && errno == ENOENT) {
        keys_generate(&edge->node_key);
        int r = keys_save(path, &edge->node_key, err);

        if (r < 0) {
            return r;
        }
        log_info("this node's key has been made: %s", path);
    } else {
        int r = keys_load(path, &edge->node_key, err);

        if (r < 0) {
            return r;
        }
    }
    edge->node_public = keys_public(&edge->node_key);
    struct node_id node = keys_node_id(&edge->node_public);
    id_to_hex(&node.id, name);
    log_set_common("MINGA_NODE", name);
    return 0;
}

static void say_mended(const struct store_mend *mend, const char *path)
{
    if (mend->is_mended) {
        log_warning("database %s was damaged: %u rows are whole and kept, %u were seen that are "
                    "not; the old file is beside it as .damaged, what others know comes back",
                    path, mend->kept_count, mend->damaged_count);
    }
    if (mend->is_log_damaged) {
        log_warning("database %s: its log was damaged, and the last commits are lost; what others "
                    "know comes back: look at the disk",
                    path);
    }
}

static int open_stores(struct edge *edge, struct err *err)
{
    char path[PATH_MAX_BYTES];

    state_path(edge, "minga.db", path);
    int r = store_open(path, &edge->store, err);

    if (r < 0) {
        return r;
    }
    say_mended(store_mended(edge->store), path);
    state_path(edge, "chunks", path);
    r = chunk_store_open(path, edge->contribution.keep_free_bytes, &edge->chunks, err);
    if (r < 0) {
        return r;
    }
    state_path(edge, "trees", path);
    edge->trees = trees_new(edge, path, err);
    return edge->trees == NULL ? err->code : 0;
}

/* ------------------------------------------------------------------ the core */

static void describe(const struct edge *edge, minga_NodeRecord *description_out)
{
    const struct config *config = &edge->config;
    minga_NodeRecord description = minga_NodeRecord_init_zero;

    description.addresses_count = (pb_size_t)edge->addresses.count;
    for (size_t i = 0; i < edge->addresses.count; i++) {
        memcpy(description.addresses[i], edge->addresses.list[i], sizeof(description.addresses[i]));
    }
    (void)text_copy(description.name, sizeof(description.name),
                    config->name[0] != '\0' ? config->name : edge->machine.host_name);
    (void)text_copy(description.arch, sizeof(description.arch),
                    manifest_arch_name(edge->machine.arch));
    (void)text_copy(description.version, sizeof(description.version), MINGA_VERSION);
    (void)text_copy(description.zone, sizeof(description.zone), config->zone);
    description.labels_count = (pb_size_t)config->label_count;
    for (uint32_t i = 0; i < config->label_count; i++) {
        (void)text_copy(description.labels[i], sizeof(description.labels[i]), config->labels[i]);
    }
    description.runs = config_has_role(config, CONFIG_ROLE_RUN);
    description.stores = config_has_role(config, CONFIG_ROLE_STORE);
    description.manages = config_has_role(config, CONFIG_ROLE_MANAGE);
    description.relays = config->relay_bytes_per_s > 0;
    *description_out = description;
}

void edge_describe(struct edge *edge, bool forced)
{
    struct addresses addresses;
    minga_NodeRecord description;
    struct core_request request = {
        .kind = CORE_DESCRIBE, .token = TOKEN_DESCRIBE, .description = &description};

    addresses_find(&edge->config, &addresses);
    bool has_moved = memcmp(&addresses, &edge->addresses, sizeof(addresses)) != 0;

    if (!forced && !has_moved) {
        return;
    }
    edge->addresses = addresses;
    describe(edge, &description);
    if (has_moved) {
        relays_move(edge->relays);
        log_event(LOG_LEVEL_INFO, "address", "this node is now known as %s",
                  addresses.count > 0 ? addresses.list[0] : "nothing (a leaf)");
    }
    edge_request(edge, &request);
}

/* minga-sandboxd judges for itself; this is so that nobody sends us what it would refuse. */
static bool has_egress(const struct config *config)
{
    if (config->egress == 0) {
        return false;
    }
    if (access(EGRESS_STACK_PROGRAM, X_OK) < 0) {
        log_warning("network.egress: " EGRESS_STACK_PROGRAM
                    " is missing, so no replica reaches the Internet: install the package passt");
        return false;
    }
    return true;
}

/* The last quarter of the replicas' ports. */
static uint16_t relay_port_count(const struct config *config)
{
    uint32_t count = ((uint32_t)config->port_last - config->port_first + 1) / 4;

    return (uint16_t)(count < RELAY_PORTS_MAX ? count : RELAY_PORTS_MAX);
}

void edge_terms(struct edge *edge, struct core_config *core_out)
{
    const struct config *config = &edge->config;

    core_out->contribution = edge->contribution.limits;
    core_out->storage_bytes = edge->contribution.storage_bytes;
    core_out->overlay.storage_bytes_max = edge->contribution.storage_bytes;
    core_out->port_first = config->port_first;
    core_out->port_last = config->port_last;
    core_out->overlay.relay_port_count = relay_port_count(config);
    core_out->overlay.relay_port_first =
        (uint16_t)(config->port_last + 1 - core_out->overlay.relay_port_count);
    core_out->runs = config_has_role(config, CONFIG_ROLE_RUN);
    core_out->stores = config_has_role(config, CONFIG_ROLE_STORE);
    core_out->manages = config_has_role(config, CONFIG_ROLE_MANAGE);
    core_out->overlay.upload_bytes_per_s = config->upload_bytes_per_s;
    core_out->overlay.download_bytes_per_s = config->download_bytes_per_s;
    core_out->connections_max = config->connections_max;
    core_out->egress = has_egress(config);
    core_out->allow_count = config->allow_count;
    for (uint32_t i = 0; i < config->allow_count; i++) {
        core_out->allow[i] = config->allow[i].guest;
    }
    core_out->deny_count = config->deny_count;
    for (uint32_t i = 0; i < config->deny_count; i++) {
        core_out->deny[i] = config->deny[i].guest;
    }
    core_out->rules = edge->contribution.rules;
}

static int make_core(struct edge *edge, struct err *err)
{
    struct core_config core = {
        .overlay = {.node_key = edge->node_key, .finds_reach = true},
        .arch = edge->machine.arch,
    };

    randombytes_buf(&core.overlay.seed, sizeof(core.overlay.seed));
    describe(edge, &core.overlay.description);
    edge_terms(edge, &core);
    recorder_life(edge->recorder, &core);
    edge->core = core_new(&core);
    keys_forget(&core.overlay.node_key);
    /* Only what is touched of it takes memory: calloc of so much comes from fresh pages. */
    edge->effects = calloc(1, sizeof(*edge->effects));
    if (edge->core == NULL || edge->effects == NULL) {
        return err_set(err, -ENOMEM, "the core: out of memory");
    }
    return 0;
}

static void load_blob(void *context, const struct overlay_blob *blob)
{
    struct edge *edge = context;
    struct overlay_blob loaded = *blob;
    uint8_t self[OVERLAY_SELF_BYTES];
    int r;

    if (blob->kind == BLOB_SELF && blob->bytes.length_bytes == sizeof(self) &&
        store_mended(edge->store)->is_log_damaged) {
        memcpy(self, blob->bytes.data, sizeof(self));
        overlay_skip_epochs(self);
        loaded.bytes = (struct bytes){self, sizeof(self)};
    }
    recorder_blob(edge->recorder, &loaded);
    r = core_load(edge->core, &loaded);

    if (r < 0) {
        log_warning("a stored record of kind %d was not taken: %s", (int)blob->kind, err_text(r));
    }
}

static void load_chunk(void *context, const struct chunk_id *chunk, uint64_t length_bytes)
{
    struct edge *edge = context;

    recorder_chunk(edge->recorder, chunk, length_bytes);
    if (core_load_chunk(edge->core, chunk, length_bytes) < 0) {
        (void)chunk_store_drop(&edge->chunks, chunk); /* more than the core keeps account of */
    }
}

static int load_all(struct edge *edge, struct err *err)
{
    int r = store_load(edge->store, load_blob, edge, err);

    return r < 0 ? r : chunk_store_scan(&edge->chunks, load_chunk, edge, err);
}

/* ------------------------------------------------------------------ what tells the core */

static void on_stored(void *context, uint64_t token, bool failed)
{
    struct overlay_event event = {.kind = OVERLAY_STORED, .token = token, .failed = failed};

    edge_overlay_event(context, &event);
}

static void on_transport(void *context, const struct overlay_event *event)
{
    struct edge *edge = context;

    if (event->kind == OVERLAY_RECEIVED && event->data.length_bytes > 0) {
        keeper_note_chunk(edge->keeper, OWNER_DOWN, event->data.length_bytes);
    }
    edge_overlay_event(context, event);
}

static bool is_member(void *context, const uint8_t curve_key[32])
{
    const struct edge *edge = context;

    return overlay_has_greeted(core_overlay(edge->core), curve_key);
}

static int numeric(void *context, const char *address, size_t which,
                   char address_out[TRANSPORT_ADDRESS_BYTES_MAX])
{
    const struct edge *edge = context;

    return transport_numeric(edge->transport, address, which, address_out);
}

static int open_relays(struct edge *edge, struct err *err)
{
    struct relays_config config = {.loop = &edge->loop,
                                   .node = keys_node_id(&edge->node_public),
                                   .listen_host = edge->config.listen_host,
                                   .listen_port = transport_port(edge->transport),
                                   .bind = edge->config.bind,
                                   .bytes_per_s = edge->config.relay_bytes_per_s,
                                   .event = on_transport,
                                   .numeric = numeric,
                                   .context = edge};

    edge->relays = relays_new(&config);
    return edge->relays == NULL ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* ------------------------------------------------------------------ ports for members */

static uint32_t members_places(void *context, uint32_t count_max, struct door_place *places_out)
{
    const struct edge *edge = context;
    uint32_t count = 0;

    for (uint32_t i = 0; i < core_replica_count(edge->core); i++) {
        struct core_replica replica;

        core_replica(edge->core, i, clock_now_ms(), &replica);
        if (replica.status.state == REPLICA_ENDED || replica.status.state == REPLICA_FAILED) {
            continue; /* told of for a while, but its ports are free */
        }
        for (uint32_t k = 0; k < replica.status.port_count && count < count_max; k++) {
            const struct replica_port *port = &replica.status.ports[k];

            if (port->for_members && port->host_port != 0) {
                places_out[count++] = (struct door_place){
                    replica.key, port->host_port, port->is_udp,
                    replica.status.state == REPLICA_RUNNING && !replica.is_frozen};
            }
        }
    }
    return count;
}

static bool is_welcome(void *context, const struct node_id *member)
{
    return overlay_is_welcome(core_overlay(((struct edge *)context)->core), member);
}

/* Something else has the port: the replica gets another one. */
static void on_door_lost(void *context, const struct door_place *place)
{
    struct core_event event = {
        .kind = CORE_PORTS_REFUSED, .replica = place->replica, .host_port = place->host_port};

    edge_event(context, &event);
}

static void make_pass(void *context, const struct pass *pass,
                      uint8_t secret_out[RELAY_SECRET_BYTES])
{
    pass_secret(((struct edge *)context)->core, pass, secret_out);
}

static int open_doors(struct edge *edge, struct err *err)
{
    char folder[PATH_MAX_BYTES];
    struct doors_config config = {.loop = &edge->loop,
                                  .bind = edge->config.bind,
                                  .folder = folder,
                                  .flow_bytes_per_s = PACE_BYTES_PER_S,
                                  .places = members_places,
                                  .is_welcome = is_welcome,
                                  .lost = on_door_lost,
                                  .secret = make_pass,
                                  .context = edge};

    state_path(edge, "doors", folder);
    edge->doors = doors_new(&config, err);
    return edge->doors == NULL ? err->code : 0;
}

static int open_workers(struct edge *edge, struct err *err)
{
    struct transport_config config = {.loop = &edge->loop,
                                      .node_key = &edge->node_key,
                                      .listen_host = edge->config.listen_host,
                                      .listen_port = edge->config.listen_port,
                                      .event = on_transport,
                                      .is_member = is_member,
                                      .context = edge};

    edge->writer = store_writer_new(&edge->loop, edge->store, on_stored, edge);
    edge->keeper = keeper_new(edge);
    edge->upload = edge->keeper == NULL ? NULL : upload_new(edge);
    edge->scrub = scrub_new(edge);
    edge->execs = execs_new(edge);
    edge->senses = senses_new(edge, edge->senses_root);
    if (edge->writer == NULL || edge->upload == NULL || edge->scrub == NULL ||
        edge->execs == NULL || edge->senses == NULL) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    /* Bound before anyone is dialled, or first replies would wait. */
    int r = transport_open(&config, &edge->transport, err);

    if (r == 0) {
        r = open_relays(edge, err);
    }
    if (r == 0) {
        r = open_doors(edge, err);
    }
    return r == 0 ? portmap_link_open(edge, err) : r;
}

static int open_state(struct edge *edge, struct err *err)
{
    char path[PATH_MAX_BYTES];

    state_path(edge, FOLDERS_BOND_FILE, path);
    int r = machine_bond_check(path, NULL, err);

    if (r == 0) {
        r = load_key(edge, err);
    }
    if (r == 0) {
        r = open_stores(edge, err);
    }
    if (r == 0) {
        r = make_core(edge, err);
    }
    return r == 0 ? load_all(edge, err) : r;
}

int edge_open(struct edge *edge, struct err *err)
{
    int r = uv_loop_init(&edge->loop);

    edge->chunks.folder_fd = -1;
    edge->wake_fd = -1;
    edge->queue_end = &edge->queue;
    return r < 0 ? err_set(err, r, "loop: %s", uv_strerror(r)) : 0;
}

int edge_init(struct edge *edge, const struct edge_start *start, struct err *err)
{
    CLEANUP(cleanup_close) int control_fd = start->control_fd;

    edge->config_path = start->config_path;
    memcpy(&edge->config, start->config, sizeof(edge->config));
    edge->machine = *start->machine;
    edge->contribution = *start->contribution;
    edge->api_group = start->api_group;
    edge->helper_pid = start->helper_pid;
    edge->recorder = start->recorder;
    edge->senses_root = start->senses_root;
    addresses_find(&edge->config, &edge->addresses);
    int r = open_state(edge, err);

    if (r == 0) {
        r = open_workers(edge, err);
    }
    if (r == 0) {
        r = loop_open(edge, err);
    }
    if (r == 0) {
        r = signals_open(edge, err);
    }
    if (r == 0) {
        r = api_link_open(edge, take_fd(&control_fd), err);
    }
    return r;
}

void edge_begin_running(struct edge *edge)
{
    sandbox_link_start(edge->sandbox);
    if (edge->senses_root == NULL) { /* this machine, not a test's */
        aside_open(edge);
    }
}

void edge_run(struct edge *edge)
{
    char name[ID_SHORT_CHARS + 1];
    struct node_id node = keys_node_id(&edge->node_public);

    id_to_short(&node.id, name);
    log_event(LOG_LEVEL_INFO, "ready", "node %s listens on port %u, known as %s", name,
              transport_port(edge->transport),
              edge->addresses.count > 0 ? edge->addresses.list[0] : "nothing (a leaf)");
    edge_start_core(edge);
    trees_tell_found(edge);
    senses_rules(edge->senses);
    portmap_link_configure(edge);
    own_disk_look(edge);
    gone_remove(edge);
    if (config_has_role(&edge->config, CONFIG_ROLE_RUN)) { /* else nobody would ask it anything */
        edge_begin_running(edge);
    }
    sd_notify(0, "READY=1");
    uv_run(&edge->loop, UV_RUN_DEFAULT);
}

static void close_all(struct edge *edge)
{
    edge->phase = EDGE_CLOSING;
    api_link_close(edge);
    keeper_close(edge->keeper);
    upload_close(edge);
    scrub_close(edge);
    trees_close(edge);
    execs_close(edge);
    senses_close(edge->senses);
    aside_close(edge);
    relays_close(edge->relays);
    doors_close(edge->doors);
    portmap_close(edge->portmap, edge->is_restart);
    portmap_close(edge->portmap_ipv6, edge->is_restart);
    if (edge->sandbox != NULL) {
        sandbox_link_close(edge->sandbox);
    }
    if (edge->signals[0].data != NULL) {
        signals_close(edge);
    }
    if (edge->prepare.data != NULL) {
        loop_close(edge);
    }
    if (edge->transport != NULL) {
        transport_close(edge->transport);
    }
}

void edge_done(struct edge *edge)
{
    close_all(edge);
    if (edge->writer != NULL) {
        store_writer_end(edge->writer);
    }
    uv_run(&edge->loop, UV_RUN_DEFAULT); /* until jobs are done and handles closed */
    transport_free(edge->transport);
    sandbox_link_free(edge->sandbox);
    upload_free(edge->upload);
    carry_clear(&edge->carry);
    keeper_free(edge->keeper);
    scrub_free(edge->scrub);
    trees_free(edge->trees);
    execs_free(edge->execs);
    senses_free(edge->senses);
    relays_free(edge->relays);
    doors_free(edge->doors);
    portmap_free(edge->portmap);
    portmap_free(edge->portmap_ipv6);
    store_writer_free(edge->writer);
    store_close(edge->store);
    chunk_store_close(&edge->chunks);
    core_free(edge->core);
    free(edge->effects);
    events_clear(edge);
    keys_forget(&edge->node_key);
    CHECK(uv_loop_close(&edge->loop) == 0); /* no handle was forgotten */
}
