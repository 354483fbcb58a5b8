// SPDX-License-Identifier: GPL-3.0-or-later
/* Handlers that answer from what this node knows by itself. */
#include <string.h>

#include "agent/api/documents.h"
#include "agent/api/moment.h"
#include "agent/api/route.h"

void handle_version(struct exchange *exchange)
{
    exchange_reply(exchange, 200, json_pack("{ss si}", "version", MINGA_VERSION, "api", 1));
}

/* The core has given the word; whoever holds the sandboxes may not have followed it yet. */
static void say_freezing(json_t *node)
{
    json_t *reason = json_object_get(node, "reason");
    const char *state = json_string_value(json_object_get(node, "state"));

    if (state == NULL || strcmp(state, "paused") != 0) {
        return;
    }
    json_object_set_new(node, "state", json_string("pausing"));
    json_object_set_new(
        node, "reason",
        json_is_string(reason) && json_string_length(reason) > 0
            ? json_sprintf("what runs here is not frozen yet: %s", json_string_value(reason))
            : json_string("what runs here is not frozen yet"));
}

void handle_node(struct exchange *exchange)
{
    const struct api_host *host = exchange_host(exchange);
    json_t *document = document_node(exchange_core(exchange), host->node_key(host->self),
                                     exchange_moment(exchange));

    json_object_set_new(document, "you_may", json_string(exchange_right(exchange)));
    if (host->node_name != NULL) {
        json_object_set_new(document, "node_name", document_text(host->node_name(host->self)));
    }
    if (host->is_freezing != NULL && host->is_freezing(host->self)) {
        say_freezing(document);
    }
    if (host->port_mapping != NULL) {
        json_object_set_new(document, "port_mapping",
                            document_port_mapping(host->port_mapping(host->self, false)));
        json_object_set_new(document, "port_mapping_ipv6",
                            document_port_mapping(host->port_mapping(host->self, true)));
    }
    if (host->line != NULL) {
        struct owner_line_report report;

        host->line(host->self, &report);
        json_object_set_new(document, "line", document_line(&report));
    }
    exchange_reply(exchange, 200, document);
}

void handle_node_history(struct exchange *exchange)
{
    exchange_reply(exchange, 200, document_node_history(exchange_core(exchange)));
}

void handle_nodes(struct exchange *exchange)
{
    exchange_reply(exchange, 200,
                   document_nodes(exchange_core(exchange), exchange_moment(exchange)));
}

void handle_ring(struct exchange *exchange)
{
    exchange_reply(exchange, 200,
                   document_ring(exchange_core(exchange), exchange_moment(exchange)));
}

static json_t *contact(const struct overlay_peer *peer)
{
    json_t *addresses = json_array();

    for (size_t i = 0; i < peer->address_count; i++) {
        json_array_append_new(addresses, document_text(peer->addresses[i]));
    }
    return json_pack("{so so so}", "node", document_id(&peer->node.id), "key",
                     document_base64((struct bytes){peer->key.bytes, PUBLIC_KEY_BYTES}),
                     "addresses", addresses);
}

/* What a token needs besides the invitation, which the community's key makes in the command. */
void handle_invitation(struct exchange *exchange)
{
    const struct api_host *host = exchange_host(exchange);
    const struct overlay *overlay = core_overlay(exchange_core(exchange));
    struct overlay_peer peers[TOKEN_MEMBERS_MAX];
    uint32_t count = host->contacts(host->self, peers, TOKEN_MEMBERS_MAX);
    json_t *contacts = json_array();

    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(contacts, contact(&peers[i]));
    }
    exchange_reply(exchange, 200,
                   json_pack("{so so so}", "name", document_text(overlay_community_name(overlay)),
                             "community", document_base64(overlay_community_record(overlay)),
                             "contacts", contacts));
}
