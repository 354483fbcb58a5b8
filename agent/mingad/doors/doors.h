// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Ports of replicas here that are for members only.
 *
 * mingad listens at the published port itself. Who comes says the same as a leaf at its relay's door
 * (relays/relay_seal.h), with the member's node id and a nonce of which the first 8 bytes are the
 * `until` of its pass (agent/core/pass.h); whoever does not show that it knows the pass's secret is
 * hung up on. What follows is sealed, and goes on, plain, to a unix socket in a folder of mingad's
 * own, of which the replica's minga-init has the listening end: it counts, limits and forwards as it
 * does for any port. Of a port of UDP each connection is one flow, each frame a datagram, and the
 * unix socket one of packets (sandbox/init/udp.h); minga-init ends flows that are silent.
 *
 * A door is there as long as its replica is (`places`): those of replicas that this mingad has
 * started are opened with their ports, those of replicas that an earlier one has left are found by
 * a review. A member that is expelled is hung up on within DOORS_TICK_MS; so are flows to a replica
 * that does not run (it is paused, frozen, or being stopped), since who sends datagrams would not
 * notice, and could go to another one; new ones are hung up on before they are told that it waits.
 *
 * When all places are taken, of all or of a member, a flow that is silent gives way (visits.h).
 *
 * On the edge's loop. Memory, connections and doors are bounded; strangers have
 * GREETING_MS_MAX for each of the two things that they have to say.
 */
#include <uv.h>

#include "agent/core/pass.h"

enum {
    DOORS_MAX = 256,
    DOORS_VISITS_MAX = 256, /* let in, at all doors */
    DOORS_VISITS_PER_MEMBER_MAX = 64,
    DOORS_TICK_MS = 1000,
    DOORS_LOST_MS = 10000,
};

struct door_place {
    struct replica_key replica;
    uint16_t host_port;
    bool is_udp;
    bool is_running; /* else nothing is opened, but what is open stays, flows excepted */
};

struct doors_config {
    uv_loop_t *loop;
    const char *bind;          /* borrowed; where replicas' ports are */
    const char *folder;        /* of mingad alone; made when it is missing */
    uint32_t flow_bytes_per_s; /* of all flows of UDP together (pace.h) */
    /* The ports for members of the replicas here; returns how many, at most `count_max`. */
    uint32_t (*places)(void *context, uint32_t count_max, struct door_place *places_out);
    bool (*is_welcome)(void *context, const struct node_id *member);
    /* A door that should be open cannot be, for DOORS_LOST_MS, and again after as long. */
    void (*lost)(void *context, const struct door_place *place);
    void (*secret)(void *context, const struct pass *pass, uint8_t secret_out[RELAY_SECRET_BYTES]);
    void *context;
};

struct doors;

/* NULL with err set. */
struct doors *doors_new(const struct doors_config *config, struct err *err);
/* Where ports_bind() puts the sockets of ports for members. */
int doors_folder(const struct doors *doors);
/* Opens the door of a replica that is started now. Returns 0 or -errno. */
int doors_open(struct doors *doors, const struct door_place *place);
/* A port is a public one's now: the replica whose door it was is over. */
void doors_leave(struct doors *doors, uint16_t host_port);
/* What runs here may be something else now: looks in the loop's next turn. */
void doors_review(struct doors *doors);
/* The loop runs on until its handles are closed, then free. */
void doors_close(struct doors *doors);
void doors_free(struct doors *doors);

struct doors_counters {
    uint32_t door_count;
    uint32_t visit_count; /* members let in, at present */
    uint64_t refused_count;
};
struct doors_counters doors_counters(const struct doors *doors);
