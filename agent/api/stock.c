// SPDX-License-Identifier: GPL-3.0-or-later
/* GET /v1/storage: what is stored here and for whom, copies alive, repair. */
#include <errno.h>
#include <stdlib.h>

#include "agent/api/documents.h"
#include "agent/api/moment.h"
#include "agent/api/route.h"
#include "base/attributes.h"
#include "base/cleanup.h"

static json_t *node_name(const struct overlay *overlay, const struct node_id *node)
{
    const struct overlay_member *member = overlay_member_by_id(overlay, node);

    return member == NULL ? json_null() : document_text(member->record.name);
}

static const char *state_of(const struct overlay_stock_line *line)
{
    if (line->is_dead) {
        return "garbage";
    }
    return line->is_confirmed ? "kept" : "unconfirmed";
}

static json_t *line_document(const struct overlay_stock_line *line)
{
    bool is_read = !id_is_zero(&line->owner.id);

    return json_pack("{so so so so sI ss si sI si si si}", "service",
                     document_id(&line->reference.service.id), "name",
                     is_read ? document_text(line->name) : json_null(), "owner",
                     is_read ? document_id(&line->owner.id) : json_null(), "tree",
                     document_id(&line->reference.tree.id), "version", (json_int_t)line->version,
                     "state", state_of(line), "chunks", (int)line->chunk_count, "bytes",
                     (json_int_t)line->bytes, "copies_least", (int)line->copies_least,
                     "copies_most", (int)line->copies_most, "scarce", (int)line->scarce_count);
}

static json_t *stored(const struct overlay_stock_line *lines)
{
    json_t *array = json_array();

    for (uint32_t i = 0; i < OVERLAY_STOCK_LINES_MAX; i++) {
        if (lines[i].used) {
            json_array_append_new(array, line_document(&lines[i]));
        }
    }
    return array;
}

static const char *why_text(enum overlay_repair_why why)
{
    static const char *const texts[] = {
        [OVERLAY_REPAIR_LACKS] = "it was away, or has lost it",
        [OVERLAY_REPAIR_FEW_UP] = "fewer than two copies are up",
        [OVERLAY_REPAIR_GONE] = "a holder is gone for longer than its habit",
        [OVERLAY_REPAIR_SHED] = "this machine gives less than before",
    };

    return texts[why];
}

static json_t *copies_under_way(const struct overlay *overlay, struct document_time time)
{
    struct overlay_repair repair;
    json_t *array = json_array();
    uint32_t cursor = 0;

    while (overlay_repair_next(overlay, &cursor, &repair)) {
        uint64_t age_s = time.now_ms > repair.since_ms ? (time.now_ms - repair.since_ms) / 1000 : 0;

        json_array_append_new(array,
                              json_pack("{so so so ss so}", "chunk", document_id(&repair.chunk.id),
                                        "to", document_id(&repair.to.id), "to_name",
                                        node_name(overlay, &repair.to), "why", why_text(repair.why),
                                        "since", document_moment(time.wall_unix_s - age_s)));
    }
    return array;
}

static json_t *absences(const struct overlay *overlay)
{
    struct overlay_absence absence;
    json_t *array = json_array();
    uint32_t cursor = 0;

    while (overlay_absence_next(overlay, &cursor, &absence)) {
        json_array_append_new(array,
                              json_pack("{so so sI sI ss}", "node", document_id(&absence.node.id),
                                        "node_name", node_name(overlay, &absence.node), "away_s",
                                        (json_int_t)absence.away_s, "patience_s",
                                        (json_int_t)absence.patience_s, "state",
                                        absence.is_gone ? "gone" : "expected"));
    }
    return array;
}

static json_t *repair_document(const struct overlay *overlay, const struct overlay_stock *stock,
                               struct document_time time)
{
    return json_pack("{so sI sb sI sI sI so}", "under_way", copies_under_way(overlay, time),
                     "wait_ms", (json_int_t)stock->repair_wait_ms, "comparing",
                     (int)stock->is_comparing, "moved_chunks", (json_int_t)stock->moved_count,
                     "moved_bytes", (json_int_t)stock->moved_bytes, "rotten_chunks",
                     (json_int_t)stock->rotten_count, "absent", absences(overlay));
}

static json_t *garbage_document(const struct overlay_stock *stock)
{
    return json_pack("{sb sI sI}", "collecting", (int)stock->is_collecting, "collected_chunks",
                     (json_int_t)stock->collected_count, "collected_bytes",
                     (json_int_t)stock->collected_bytes);
}

static json_t *share_document(struct exchange *exchange, const struct overlay_stock *stock)
{
    const struct api_host *host = exchange_host(exchange);
    struct api_room room = {0, ""};
    json_t *positions = json_array();

    if (host->room != NULL) {
        room = host->room(host->self);
    }
    for (uint32_t i = 0; i < stock->position_count; i++) {
        json_array_append_new(positions, document_id(&stock->positions[i].id));
    }
    return json_pack("{sI sI sI sI sI sI sI sI sI sI so sI sI ss sb}", "limit_bytes",
                     (json_int_t)stock->bytes_max, "used_bytes", (json_int_t)stock->bytes, "chunks",
                     (json_int_t)stock->chunk_count, "spare_chunks", (json_int_t)stock->spare_count,
                     "spare_bytes", (json_int_t)stock->spare_bytes, "nameless_chunks",
                     (json_int_t)stock->nameless_count, "nameless_bytes",
                     (json_int_t)stock->nameless_bytes, "bad_chunks", (json_int_t)stock->bad_count,
                     "bad_bytes", (json_int_t)stock->bad_bytes, "home_bytes",
                     (json_int_t)stock->home_bytes, "positions", positions, "part_permille",
                     (json_int_t)stock->part_permille, "free_bytes", (json_int_t)room.free_bytes,
                     "refuses", room.refuses, "shedding", (int)stock->is_shedding);
}

void handle_storage(struct exchange *exchange)
{
    const struct core *core = exchange_core(exchange);
    const struct overlay *overlay = core_overlay(core);
    struct document_time time = exchange_moment(exchange);
    struct node_id self = overlay_self(overlay);
    struct overlay_stock stock;
    CLEANUP(cleanup_free)
    struct overlay_stock_line *lines = calloc(OVERLAY_STOCK_LINES_MAX, sizeof(*lines));

    if (lines == NULL) {
        exchange_fail(exchange, 500, "storage", "no memory", "");
        return;
    }
    overlay_stock(overlay, &stock, lines);
    exchange_reply(exchange, 200,
                   json_pack("{so so so so so}", "node", document_id(&self.id), "share",
                             share_document(exchange, &stock), "stored", stored(lines), "repair",
                             repair_document(overlay, &stock, time), "garbage",
                             garbage_document(&stock)));
}
