// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The control API: HTTP and JSON on a unix socket (docs/control-api.md), for the command and for
 * anyone's programs. Runs on mingad's loop: the loop polls api_fd() and calls api_run().
 *
 * Who may do what is decided here, by the peer's credentials: looking is open to every local
 * user, acting to root, group minga and mingad's own user, membership to root.
 */
#include <sys/types.h>

#include "agent/core/core.h"
#include "agent/policy/line.h"
#include "agent/portmap/plan.h"

struct api;

/* What the API needs of mingad. `self` is handed back. */
struct api_room { /* for chunks, on the file system */
    uint64_t free_bytes;
    const char *refuses; /* why none is taken; "" */
};

struct api_host {
    void *self;
    /* Submits a request to the core; the answer comes later (or at once) by api_answer. What the
     * request points to is borrowed for this call only. */
    void (*request)(void *self, const struct core_request *request);
    /* The same for PUT_CHUNK of bytes that are new here, and are copied: which chunk they are is said
     * by them. They are stored durably, or carried where that fails, and spread. */
    void (*push_chunk)(void *self, const struct core_request *request, struct bytes bytes);
    /* The core, for views. */
    const struct core *(*core)(void *self);
    uint64_t (*now_ms)(void *self);
    const struct public_key *(*node_key)(void *self);
    /* Addresses for a token: this node's own first. Returns how many. */
    uint32_t (*contacts)(void *self, struct overlay_peer *peers_out, uint32_t count_max);
    /* Signs an encoded AdmissionRequest as this node, purpose PURPOSE_ADMISSION: for the founder
     * of a community only (a joining node's signature is added by the overlay). The API has
     * checked that the request names this node's key and that the node has no community. */
    struct signature (*sign_admission)(void *self, struct bytes request);
    /* The configured name of this node, known before it has a community. May be NULL. */
    const char *(*node_name)(void *self);
    struct api_room (*room)(void *self); /* may be NULL */
    /* Ports that a router opens for this node. May be NULL. */
    const struct plan *(*port_mapping)(void *self, bool is_ipv6);
    /* Is it not known yet that all is frozen that was to be? May be NULL. */
    bool (*is_freezing)(void *self);
    /* How the owner's line is used. May be NULL. */
    void (*line)(void *self, struct owner_line_report *report_out);
};

/* Tokens of the API's requests have this bit set; the host's own must not. Answers to
 * other tokens are ignored. */
#define API_TOKEN_BIT ((uint64_t)1 << 63)

struct api_config {
    int listen_fd; /* a listening unix socket; owned by the API from here on */
    gid_t group;   /* of group minga; (gid_t)-1: none */
    struct api_host host;
};

int api_new(const struct api_config *config, struct api **api_out, struct err *err);
void api_free(struct api *api);
int api_fd(const struct api *api);
/* Handles whatever is ready. */
void api_run(struct api *api);
/* Would api_run send a reply now? api_fd is readable then, too: asking here saves a turn. */
bool api_has_replies(const struct api *api);
/* Milliseconds until api_run is due though nothing is ready; -1: none. */
int api_timeout_ms(const struct api *api);
void api_answer(struct api *api, const struct core_answer *answer);
