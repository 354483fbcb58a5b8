// SPDX-License-Identifier: GPL-3.0-or-later
/* Successor lists told and heard as changes. */
#include <string.h>

#include "tests/sim/rings/rings.h"

void lists_fill(struct host *host, uint32_t known, struct ring_payload *reply)
{
    struct list_change change;

    reply->version = list_version(&host->ring);
    reply->has_list = reply->version != known;
    list_history_note(&host->lists, &host->ring);
    if (!reply->has_list) {
        return;
    }
    reply->is_change = list_history_change(&host->lists, &host->ring, known, &change);
    if (reply->is_change) {
        reply->kept = change.kept;
        reply->list_count = change.added_count;
        memcpy(reply->list, change.added, sizeof(change.added));
    } else {
        reply->list_count = host->ring.successor_count;
        memcpy(reply->list, host->ring.successors, sizeof(reply->list));
    }
}

/* On the wire a position follows from the key; here it is looked for where it was told. */
static void note_told(struct host *host, const struct ring_payload *reply)
{
    struct ring_node told[SUCCESSORS_MAX] = {0};

    for (uint32_t i = 0; i < host->list.count; i++) {
        for (uint32_t k = 0; k < SUCCESSORS_MAX; k++) {
            if (id_equal(&host->told[k].node.id, &host->list.nodes[i].id)) {
                told[i] = host->told[k];
            }
            if (k < reply->list_count &&
                id_equal(&reply->list[k].node.id, &host->list.nodes[i].id)) {
                told[i] = reply->list[k];
            }
        }
    }
    memcpy(host->told, told, sizeof(told));
}

void lists_hear(struct host *host, uint32_t known, const struct message *message)
{
    const struct ring_payload *reply = message->ring;
    struct node_id nodes[SUCCESSORS_MAX];

    for (uint32_t i = 0; i < reply->list_count; i++) {
        nodes[i] = reply->list[i].node;
    }
    if (reply->has_list && !reply->is_change) {
        host->list_from = message->from_node.node;
        list_copy_set(&host->list, reply->version, nodes, reply->list_count);
    } else if (reply->has_list && id_equal(&host->list_from.id, &message->from_node.node.id) &&
               host->list.version == known) {
        (void)list_copy_change(&host->list, reply->version, reply->kept, nodes, reply->list_count);
    }
    note_told(host, reply);
}
