// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Bounds of the control API. */
#include <assert.h>

#include "base/limits.h"

enum {
    API_CONNECTIONS_MAX = 128,
    API_CONNECTIONS_PER_USER_MAX = 48, /* root and mingad's user excepted */
    API_CONNECTION_BYTES_MAX = 32768,  /* of MHD's own memory: headers */
    API_IDLE_S_MAX = 15,               /* a client that neither reads nor writes */
    API_PENDING_MAX = 192,             /* requests to the host, of all connections */
    API_WINDOW_MAX = 24,               /* of them, of one connection */
    API_BODY_BYTES_MAX = 32768,        /* JSON */
    API_JSON_DEPTH_MAX = 8,
    API_BATCH_BYTES_MAX = 4 * 1048576, /* chunks, each with its length in front */
    API_BATCH_CHUNKS_MAX = 4096,
    API_CHECK_CHUNKS_MAX = 4096,
    API_CHECK_BYTES_MAX = API_CHECK_CHUNKS_MAX * 32,
    API_BODIES_BYTES_MAX = 5 * API_BATCH_BYTES_MAX, /* of all connections at once */
    API_SIGNED_BYTES_MAX = 4096,
    API_EXEC_WINDOWS_MAX = 16, /* of a command's output or input, of one request */
    API_EXEC_BYTES_MAX = API_EXEC_WINDOWS_MAX * 3072,
    API_MEMBER_PAGES_MAX = 64, /* of what one member manages, of one listing */
    API_LISTING_SERVICES_MAX = 4096,
    API_LISTING_ENTRIES_MAX = 12288, /* services, replicas and what ended: up to 5 KiB each */
    API_ENTRIES_MAX =
        2 * API_LISTING_ENTRIES_MAX, /* of all listings at once, but for one service's */
    API_LISTING_MS_MAX = 30000,      /* then nothing more is asked for; what is there is the list */
    /* Where replicas are wanted as well: of it for asking members, and for the pages of one. */
    API_LISTING_MEMBERS_MS_MAX = 15000,
    API_LISTING_MEMBER_MS_MAX = 5000,
    API_ANSWER_MS_MAX = 45000, /* the core answers long before: see OWNER_REQUEST_MS, joining */
};

static_assert((int)API_BATCH_BYTES_MAX >= (int)CHUNK_BYTES_MAX + 4, "every chunk fits one batch");
static_assert((int)API_PENDING_MAX < (int)REQUESTS_MAX,
              "a busy API leaves the core room for its own");
static_assert((int)API_ANSWER_MS_MAX > 4 * (int)OWNER_REQUEST_MS, "no answer is cut short");
static_assert((int)API_LISTING_MS_MAX + (int)OWNER_REQUEST_MS < (int)API_ANSWER_MS_MAX,
              "what was asked for last is waited for");
static_assert((int)API_LISTING_MEMBERS_MS_MAX + (int)OWNER_REQUEST_MS < (int)API_LISTING_MS_MAX,
              "whatever members do, replicas are asked for");
static_assert(API_WINDOW_MAX * 8 <= API_PENDING_MAX, "one client cannot take all slots");
