// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What the managers know. A listing asks every member that is up for the services it manages,
 * page by page; where replicas are wanted too, each service is then asked for in its turn, its
 * history (the replicas that ended last) behind its slots. A service that two managers name (a
 * takeover under way) is shown as the higher epoch has it.
 *
 * Members say what they like: each names what it manages itself only, in so many pages at most,
 * and there is an end to the list and to the time for all of it, of which the members' pages have
 * a part where replicas are wanted too. What is left out makes the list incomplete.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/api/documents.h"
#include "agent/api/limits.h"
#include "agent/api/moment.h"
#include "agent/api/route.h"
#include "base/check.h"

static_assert((int)API_MEMBER_PAGES_MAX * (int)SERVICES_PAGE_MAX >= (int)SERVICES_MAX,
              "all that a member can manage is listed");

typedef void listing_finish(struct exchange *exchange);

struct asked_node {
    struct node_id node;
    uint64_t asked_ms; /* for the first page */
    uint32_t cursor;   /* of the page that is asked for */
    uint32_t page_count;
};

struct listing {
    listing_finish *finish;
    bool lists;         /* stage 1: ask the members */
    bool with_replicas; /* stage 2: ask for each service */
    bool with_history;  /* ... and, once its slots are known, for what ended */
    bool single;        /* stage 2 for one service: its failure is the reply */
    bool incomplete;    /* a member did not answer, or more than is believed */
    bool is_late;       /* its time is over: nothing more is asked for */
    bool pumping;
    uint32_t in_flight;
    uint32_t next; /* into nodes, then into services */
    uint64_t started_ms;
    json_t *services; /* array */
    json_t *by_id;    /* the same, where members list them */
    uint32_t node_count;
    struct asked_node nodes[MEMBERS_MAX];
};

static void listing_free(void *work)
{
    struct listing *listing = work;

    json_decref(listing->services);
    json_decref(listing->by_id);
    free(listing);
}

static uint64_t now_ms(const struct exchange *exchange)
{
    const struct api_host *host = exchange_host(exchange);

    return host->now_ms(host->self);
}

static struct listing *listing_new(struct exchange *exchange, listing_finish *finish)
{
    struct listing *listing = calloc(1, sizeof(*listing));

    if (listing == NULL || (listing->services = json_array()) == NULL ||
        (listing->by_id = json_object()) == NULL) {
        if (listing != NULL) {
            listing_free(listing);
        }
        exchange_fail(exchange, 500, "services", "no memory", "");
        return NULL;
    }
    listing->finish = finish;
    listing->started_ms = now_ms(exchange);
    exchange->work = listing;
    exchange->work_free = listing_free;
    return listing;
}

/* Whether anything more is to be asked for. */
static bool may_ask(struct exchange *exchange)
{
    struct listing *listing = exchange->work;

    if (exchange->status == 0 && !exchange_is_awaited(exchange)) {
        exchange_fail(exchange, 503, "services", "nobody waits for them any more", "");
    }
    if (exchange->status == 0 && now_ms(exchange) - listing->started_ms >= API_LISTING_MS_MAX) {
        listing->is_late = true;
        listing->incomplete = true;
    }
    return exchange->status == 0 && !listing->is_late;
}

/* One service has an end of its own, and is told whatever others' lists have used up. */
static bool add_entry(struct exchange *exchange)
{
    const struct listing *listing = exchange->work;

    return listing->single || exchange_add_entry(exchange);
}

static void pump(struct exchange *exchange);

static void step_done(struct exchange *exchange)
{
    struct listing *listing = exchange->work;

    CHECK(listing->in_flight > 0);
    listing->in_flight--;
    pump(exchange);
}

/* ------------------------------------------------------------------ stage 1: who manages what */

static void merge(struct exchange *exchange, json_t *entry)
{
    struct listing *listing = exchange->work;
    const char *id = json_string_value(json_object_get(entry, "id"));
    json_t *known = id == NULL ? NULL : json_object_get(listing->by_id, id);

    if (known != NULL) {
        if (json_integer_value(json_object_get(entry, "epoch")) >
            json_integer_value(json_object_get(known, "epoch"))) {
            json_object_update(known, entry);
        }
    } else if (id == NULL || json_array_size(listing->services) >= API_LISTING_SERVICES_MAX ||
               !exchange_add_entry(exchange) || json_object_set(listing->by_id, id, entry) < 0 ||
               json_array_append(listing->services, entry) < 0) {
        listing->incomplete = true; /* no room, or no memory */
    }
    json_decref(entry);
}

/* While it asks what was there before, a manager has no epoch, and does not name itself yet. */
static bool is_its_own(const struct service_status *head, const struct node_id *from)
{
    return id_equal(&head->manager.id, &from->id) ||
           (head->epoch_generation == 0 && id_is_zero(&head->manager.id));
}

/* Its name is part of a service's id: nobody renames another's. */
static bool can_be(const struct service_status *head)
{
    struct service_id service = keys_service_id(&head->owner_key, head->name);

    return id_equal(&head->service.id, &service.id) && head->epoch_generation < COUNTER_END;
}

static void on_services(struct exchange *exchange, uint64_t context,
                        const struct core_answer *answer);

static int ask_node(struct exchange *exchange, uint32_t index)
{
    struct listing *listing = exchange->work;
    struct asked_node *asked = &listing->nodes[index];
    struct core_request request = {
        .kind = CORE_SERVICES, .node = asked->node, .cursor = asked->cursor};

    if (asked->page_count == 0) {
        asked->asked_ms = now_ms(exchange);
    }
    asked->page_count++;
    return exchange_request(exchange, &request, on_services, index);
}

/* Members that answer slowly leave time for the replicas. `asked`: NULL for one not asked yet. */
static bool has_time(const struct exchange *exchange, const struct asked_node *asked)
{
    const struct listing *listing = exchange->work;
    uint64_t now = now_ms(exchange);

    return !listing->with_replicas ||
           (now - listing->started_ms < API_LISTING_MEMBERS_MS_MAX &&
            (asked == NULL || now - asked->asked_ms < API_LISTING_MEMBER_MS_MAX));
}

/* Whether there is a next page of this member, which is then the one to ask for. */
static bool turn_page(struct exchange *exchange, struct asked_node *asked, uint32_t next_cursor)
{
    struct listing *listing = exchange->work;

    if (next_cursor == 0) {
        return false;
    }
    if (next_cursor <= asked->cursor || asked->page_count >= API_MEMBER_PAGES_MAX ||
        !has_time(exchange, asked)) {
        listing->incomplete = true;
        return false;
    }
    asked->cursor = next_cursor;
    return true;
}

static void on_services(struct exchange *exchange, uint64_t context,
                        const struct core_answer *answer)
{
    struct listing *listing = exchange->work;
    struct asked_node *asked = &listing->nodes[context];
    bool came = answer->outcome == OVERLAY_OK;

    listing->incomplete = listing->incomplete || !came;
    for (uint32_t i = 0; came && exchange->status == 0 && i < answer->status_count; i++) {
        if (is_its_own(&answer->status[i], &asked->node) && can_be(&answer->status[i])) {
            merge(exchange, document_service(&answer->status[i], exchange_moment(exchange)));
        } else {
            listing->incomplete = true;
        }
    }
    if (!came || !turn_page(exchange, asked, answer->next_cursor) || !may_ask(exchange) ||
        ask_node(exchange, (uint32_t)context) < 0) {
        step_done(exchange);
    }
}

/* ------------------------------------------------------------------ stage 2: replicas */

static void on_status(struct exchange *exchange, uint64_t context,
                      const struct core_answer *answer);

static struct core_request status_request(const struct listing *listing, uint64_t index)
{
    const json_t *service = json_array_get(listing->services, index);
    struct core_request request = {.kind = CORE_STATUS};
    int r = id_from_hex(json_string_value(json_object_get(service, "id")), &request.service.id);

    CHECK(r == 0);
    return request;
}

/* The context of on_status: which service, and from which slot on. */
static int ask_status(struct exchange *exchange, uint32_t index, uint32_t slot)
{
    struct core_request request = status_request(exchange->work, index);

    request.slot = slot;
    return exchange_request(exchange, &request, on_status, (uint64_t)slot << 32 | index);
}

static void on_history(struct exchange *exchange, uint64_t context,
                       const struct core_answer *answer)
{
    struct listing *listing = exchange->work;
    json_t *service = json_array_get(listing->services, context);
    json_t *history = json_array();
    bool came = answer->outcome == OVERLAY_OK && answer->status != NULL;

    listing->incomplete = listing->incomplete || !came;
    for (uint32_t i = 0; came && i < answer->status->replica_count && i < STATUS_PAGE_REPLICAS_MAX;
         i++) {
        if (!add_entry(exchange)) {
            listing->incomplete = true;
            break;
        }
        json_array_append_new(history,
                              document_ended(answer->status->name, &answer->status->replicas[i],
                                             exchange_moment(exchange)));
    }
    json_object_set_new(service, "history", history);
    step_done(exchange);
}

static int ask_history(struct exchange *exchange, uint64_t index)
{
    struct core_request request = status_request(exchange->work, index);

    request.history = true;
    return exchange_request(exchange, &request, on_history, index);
}

static json_t *replicas_of(json_t *service)
{
    json_t *replicas = json_object_get(service, "replicas");

    if (replicas == NULL) {
        replicas = json_array();
        json_object_set_new(service, "replicas", replicas);
    }
    return replicas;
}

/* Takes in a page of the slots from `slot` on; returns where the next one begins, or 0 at the end. */
static uint32_t add_page(struct exchange *exchange, json_t *service, uint32_t slot,
                         const struct service_status *status)
{
    struct document_time time = exchange_moment(exchange);
    struct listing *listing = exchange->work;
    json_t *replicas = replicas_of(service);

    json_object_update_new(service, document_service(status, time));
    for (uint32_t i = 0; i < status->replica_count && i < STATUS_PAGE_REPLICAS_MAX; i++) {
        const struct replica_status *replica = &status->replicas[i];

        if (replica->slot < slot || replica->slot > REPLICAS_PER_SERVICE_MAX ||
            !add_entry(exchange)) {
            listing->incomplete = true;
            return 0;
        }
        json_array_append_new(replicas, document_replica(status->name, replica, time));
        slot = replica->slot + 1;
    }
    return status->replica_count == STATUS_PAGE_REPLICAS_MAX && slot <= status->slot_count &&
                   slot <= REPLICAS_PER_SERVICE_MAX
               ? slot
               : 0;
}

static void on_status(struct exchange *exchange, uint64_t context, const struct core_answer *answer)
{
    struct listing *listing = exchange->work;
    uint32_t index = (uint32_t)context;
    json_t *service = json_array_get(listing->services, index);
    struct core_request request = status_request(listing, index);
    uint32_t slot_next = 0;
    int asked = -1;

    /* An answer about another service would take the place of this one. */
    if (answer->outcome == OVERLAY_OK && answer->status != NULL &&
        id_equal(&answer->status->service.id, &request.service.id)) {
        slot_next = add_page(exchange, service, (uint32_t)(context >> 32), answer->status);
        if (!may_ask(exchange)) {
            asked = -1;
        } else if (slot_next != 0) {
            asked = ask_status(exchange, index, slot_next);
        } else if (listing->with_history) {
            asked = ask_history(exchange, index);
        }
    } else if (listing->single) {
        exchange_fail_answer(exchange, "service", answer);
    } else {
        listing->incomplete = true;
        (void)replicas_of(service);
    }
    if (asked < 0) {
        step_done(exchange);
    }
}

/* ------------------------------------------------------------------ both stages */

static bool has_next(struct exchange *exchange)
{
    struct listing *listing = exchange->work;

    if (listing->is_late) {
        return false;
    }
    if (listing->lists && listing->next < listing->node_count && !has_time(exchange, NULL)) {
        listing->next = listing->node_count;
        listing->incomplete = true;
    }
    if (listing->lists) {
        return listing->next < listing->node_count;
    }
    return listing->with_replicas && listing->next < json_array_size(listing->services);
}

/* Also what was not asked for any more has its list of replicas. */
static void complete(struct listing *listing)
{
    json_t *service;
    size_t i;

    json_array_foreach(listing->services, i, service)
    {
        if (listing->with_replicas) {
            (void)replicas_of(service);
        }
    }
}

static void pump(struct exchange *exchange)
{
    struct listing *listing = exchange->work;

    if (listing->pumping) {
        return;
    }
    listing->pumping = true;
    while (exchange->status == 0) {
        if (has_next(exchange) && listing->in_flight < API_WINDOW_MAX) {
            uint32_t index = listing->next;
            int r;

            if (!may_ask(exchange)) {
                continue;
            }
            listing->next++;
            listing->in_flight++;
            r = listing->lists ? ask_node(exchange, index) : ask_status(exchange, index, 1);
            listing->in_flight -= r < 0 ? 1 : 0;
        } else if (listing->in_flight > 0) {
            break;
        } else if (listing->lists) {
            listing->lists = false;
            listing->next = 0;
        } else {
            complete(listing);
            listing->finish(exchange);
        }
    }
    listing->pumping = false;
}

static void ask_members(struct exchange *exchange, struct listing *listing)
{
    const struct overlay *overlay = core_overlay(exchange_core(exchange));

    for (uint32_t i = 0; i < overlay_member_count(overlay) && listing->node_count < MEMBERS_MAX;
         i++) {
        const struct overlay_member *member = overlay_member(overlay, i);

        if (member->state == MEMBER_UP || member->state == MEMBER_SUSPECT || member->is_self) {
            listing->nodes[listing->node_count++].node = member->node;
        }
    }
    listing->lists = true;
    pump(exchange);
}

static int compare_services(const void *a, const void *b)
{
    json_t *const *left = a;
    json_t *const *right = b;
    int order = strcmp(json_string_value(json_object_get(*left, "name")),
                       json_string_value(json_object_get(*right, "name")));

    return order != 0 ? order
                      : strcmp(json_string_value(json_object_get(*left, "id")),
                               json_string_value(json_object_get(*right, "id")));
}

/* Takes the listing's services, by name. */
static json_t *sorted_services(struct listing *listing)
{
    size_t count = json_array_size(listing->services);
    json_t **entries = calloc(count + 1, sizeof(json_t *));
    json_t *sorted = json_array();

    for (size_t i = 0; entries != NULL && i < count; i++) {
        entries[i] = json_array_get(listing->services, i);
    }
    if (entries != NULL) {
        qsort(entries, count, sizeof(json_t *), compare_services);
    }
    for (size_t i = 0; entries != NULL && i < count; i++) {
        json_array_append(sorted, entries[i]);
    }
    free(entries);
    return sorted;
}

/* What the owner of this node may not know: a write of theirs does not stand. */
static json_t *lost_writes(const struct overlay *overlay)
{
    json_t *list = json_array();
    struct overlay_lost lost;

    for (uint32_t i = 0; overlay_lost(overlay, i, &lost); i++) {
        char id[ID_HEX_CHARS + 1];

        id_to_hex(&lost.service.id, id);
        json_array_append_new(
            list, json_pack("{ss so sI sI sI}", "id", id, "name", document_text(lost.name),
                            "version", (json_int_t)lost.number, "sequence",
                            (json_int_t)lost.sequence, "lost", (json_int_t)lost.lost_unix_s));
    }
    return list;
}

static void finish_services(struct exchange *exchange)
{
    const struct overlay *overlay = core_overlay(exchange_core(exchange));
    struct listing *listing = exchange->work;

    exchange_reply(exchange, 200,
                   json_pack("{so so so sb}", "community",
                             document_text(overlay_community_name(overlay)), "services",
                             sorted_services(listing), "lost_writes", lost_writes(overlay),
                             "incomplete", listing->incomplete));
}

static void finish_members(struct exchange *exchange)
{
    struct listing *listing = exchange->work;

    exchange_reply(exchange, 200, document_members(exchange_core(exchange), listing->services));
}

static void finish_locations(struct exchange *exchange)
{
    struct listing *listing = exchange->work;

    json_t *document =
        document_locations(json_array_get(listing->services, 0), exchange_query(exchange, "port"));

    json_object_set_new(document, "incomplete", json_boolean(listing->incomplete));
    exchange_reply(exchange, 200, document);
}

static void list(struct exchange *exchange, listing_finish *finish, bool with_replicas)
{
    struct listing *listing = listing_new(exchange, finish);

    if (listing != NULL) {
        listing->with_replicas = with_replicas;
        listing->with_history = with_replicas;
        ask_members(exchange, listing);
    }
}

static void one(struct exchange *exchange, listing_finish *finish, bool with_history)
{
    struct listing *listing;
    struct id id;

    if (exchange_parameter_id(exchange, 0, &id) < 0 ||
        (listing = listing_new(exchange, finish)) == NULL) {
        return;
    }
    json_array_append_new(listing->services, json_pack("{so}", "id", document_id(&id)));
    listing->with_replicas = true;
    listing->with_history = with_history;
    listing->single = true;
    pump(exchange);
}

void handle_services(struct exchange *exchange)
{
    list(exchange, finish_services, false);
}

void handle_status(struct exchange *exchange)
{
    list(exchange, finish_services, true);
}

void handle_members(struct exchange *exchange)
{
    list(exchange, finish_members, false);
}

void handle_service(struct exchange *exchange)
{
    one(exchange, finish_services, true);
}

void handle_locate(struct exchange *exchange)
{
    one(exchange, finish_locations, false);
}

/* ------------------------------------------------------------------ logs */

static void on_logs(struct exchange *exchange, uint64_t context, const struct core_answer *answer)
{
    (void)context;
    if (answer->outcome != OVERLAY_OK) {
        exchange_fail_answer(exchange, "logs", answer);
        return;
    }
    exchange->bytes.bytes_max = LOGS_WINDOW_BYTES_MAX;
    if (exchange->status == 0 &&
        buffer_append(&exchange->bytes, answer->data.data, answer->data.length_bytes) < 0) {
        exchange_fail(exchange, 500, "logs", "a window is too long", "");
        return;
    }
    exchange->bytes_offset = answer->data_offset_bytes;
    exchange->bytes_ended = answer->data_ended;
    if (exchange->status == 0) {
        exchange->status = 200; /* bytes, no document */
    }
}

void handle_logs(struct exchange *exchange)
{
    struct core_request request = {.kind = CORE_LOGS};
    uint64_t slot = 0;

    if (exchange_parameter_id(exchange, 0, &request.service.id) < 0 ||
        exchange_query_number(exchange, "slot", 1, &slot) < 0 ||
        exchange_query_number(exchange, "offset", 0, &request.offset_bytes) < 0) {
        return;
    }
    if (slot == 0 || slot > UINT32_MAX) {
        exchange_fail(exchange, 400, "slot", "not a replica's number", "");
        return;
    }
    request.slot = (uint32_t)slot;
    exchange_request(exchange, &request, on_logs, 0);
}
