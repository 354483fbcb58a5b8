// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * minga plan NAME: where replicas would go, and why not elsewhere. Each node is asked what a manager
 * would ask it, and chosen from as a manager does; nothing is placed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/resolve.h"
#include "agent/cli/screen/text.h"
#include "agent/cli/session.h"
#include "agent/manager/placement.h"
#include "base/cleanup.h"
#include "base/units.h"

enum { NOTE_BYTES = 256, URL_BYTES_MAX = 256 };

enum standing { STANDS_RUNS, STANDS_NEXT, STANDS_COULD, STANDS_NO, STANDS_SILENT, STANDS_COUNT };

static const char *const standings[STANDS_COUNT] = {
    [STANDS_RUNS] = "runs it", [STANDS_NEXT] = "next",        [STANDS_COULD] = "could",
    [STANDS_NO] = "no",        [STANDS_SILENT] = "no answer",
};

struct candidate {
    const json_t *node;  /* of /v1/nodes */
    json_t *offer;       /* its answer, or NULL */
    const char *replica; /* of the service that it has, or NULL; borrowed */
    enum standing standing;
    uint32_t order;       /* among NEXT and COULD */
    char why[NOTE_BYTES]; /* it could not be asked; "": it is silent */
};

struct plan {
    struct session *session;
    json_t *service; /* of its status; borrowed from `document` */
    json_t *document;
    json_t *nodes;
    json_t *need; /* of one replica; borrowed; NULL: nobody has answered */
    const char *spread;
    uint64_t wanted_count;
    uint64_t placed_count;
    uint64_t next_count; /* of those still wanted, that would find a node */
    size_t left_out_count;
    struct problem refusal; /* the last one */
    uint32_t candidate_count;
    struct candidate candidates[OFFERS_MAX];
    struct offer offers[OFFERS_MAX];
};

static void plan_done(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->candidate_count; i++) {
        json_decref(plan->candidates[i].offer);
    }
    json_decref(plan->document);
    json_decref(plan->nodes);
}

/* ------------------------------------------------------------------ asking */

static const char *replica_on(const json_t *service, const char *node)
{
    const json_t *replica;
    size_t i;

    json_array_foreach(json_object_get(service, "replicas"), i, replica)
    {
        if (strcmp(text_of(replica, "node"), node) == 0) {
            return text_of(replica, "id");
        }
    }
    return NULL;
}

/* Those that run it first, so that they are among the asked ones in a large community. */
static void add_candidates(struct plan *plan, bool runs)
{
    const json_t *node;
    size_t i;

    json_array_foreach(json_object_get(plan->nodes, "nodes"), i, node)
    {
        const char *replica = replica_on(plan->service, text_of(node, "node"));

        if (strcmp(text_of(node, "state"), "up") != 0 || (replica != NULL) != runs) {
            continue;
        }
        if (plan->candidate_count == OFFERS_MAX) {
            plan->left_out_count++;
            continue;
        }
        plan->candidates[plan->candidate_count++] =
            (struct candidate){.node = node, .replica = replica, .standing = STANDS_SILENT};
    }
}

/* One that is silent, or that the agent could not ask, is told as such: it ends no plan. */
static int ask(struct plan *plan, struct candidate *candidate)
{
    struct session *session = plan->session;
    char path[URL_BYTES_MAX];
    int status;

    snprintf(path, sizeof(path), "/v1/services/%s/versions/%" PRIi64 "/offers/%s",
             text_of(plan->service, "id"), number_of(plan->service, "version"),
             text_of(candidate->node, "node"));
    status = session_get(session, path, &candidate->offer);
    if (status == EXIT_REFUSED) { /* there may have been no room in that moment */
        status = session_get(session, path, &candidate->offer);
    }
    if (status == EXIT_DONE) {
        plan->need = json_object_get(candidate->offer, "need");
        plan->spread = text_of(candidate->offer, "spread");
    } else if (status != EXIT_LATE && session->answered) {
        plan->refusal = session->problem;
        snprintf(candidate->why, sizeof(candidate->why), "%.*s", NOTE_BYTES - 1,
                 session->problem.why);
        text_clean_output(candidate->why, strlen(candidate->why));
    } else if (status != EXIT_LATE) {
        return status;
    }
    memset(&session->problem, 0, sizeof(session->problem));
    return EXIT_DONE;
}

static int ask_all(struct plan *plan)
{
    int status = EXIT_DONE;

    add_candidates(plan, true);
    add_candidates(plan, false);
    for (uint32_t i = 0; i < plan->candidate_count && status == EXIT_DONE; i++) {
        progress(plan->session, "asking %u of %u ...", i + 1, plan->candidate_count);
        status = ask(plan, &plan->candidates[i]);
    }
    progress(plan->session, "%s", "");
    return status;
}

/* ------------------------------------------------------------------ choosing */

static struct sandbox_limits limits_from(const json_t *limits)
{
    return (struct sandbox_limits){
        .cpu_permille = (uint32_t)(real_of(limits, "cpu_cores") * 1000.0 + 0.5),
        .memory_bytes = (uint64_t)number_of(limits, "memory_bytes"),
        .disk_bytes = (uint64_t)number_of(limits, "disk_bytes"),
        .pid_count = (uint32_t)number_of(limits, "pids"),
    };
}

static void use_zone(struct placement_request *request, const struct offer *offer)
{
    if (request->used_zone_count < REPLICAS_PER_SERVICE_MAX) {
        memcpy(request->used_zones[request->used_zone_count++], offer->zone, sizeof(offer->zone));
    }
}

static void read_offers(struct plan *plan, struct placement_request *request)
{
    for (uint32_t i = 0; i < plan->candidate_count; i++) {
        struct candidate *candidate = &plan->candidates[i];
        const json_t *said = candidate->offer;
        struct offer *offer = &plan->offers[i];
        bool admitted = json_is_true(json_object_get(said, "admitted"));

        (void)text_copy(offer->zone, sizeof(offer->zone), text_of(candidate->node, "zone"));
        (void)id_from_hex(text_of(candidate->node, "node"), &offer->node.id);
        offer->answered = said != NULL;
        offer->refusal = admitted ? REFUSAL_NONE : REFUSAL_ROLE;
        offer->free = limits_from(json_object_get(said, "free"));
        offer->contribution = limits_from(json_object_get(said, "contribution"));
        offer->uptime_ms = (uint64_t)number_of(said, "uptime_ms");
        offer->taken = candidate->replica != NULL;
        candidate->standing = offer->taken ? STANDS_RUNS : said == NULL ? STANDS_SILENT : STANDS_NO;
        if (offer->taken) {
            plan->placed_count++;
            use_zone(request, offer);
        }
    }
}

/* As the manager would, one after the other, and beyond what is wanted: who would replace a lost one. */
static void choose(struct plan *plan)
{
    static struct placement_request request;
    uint32_t order = 0;
    int chosen;

    request = (struct placement_request){.need = limits_from(plan->need)};
    request.spread =
        strcmp(plan->spread, "node") == 0 ? MANIFEST_SPREAD_NODE : MANIFEST_SPREAD_ZONE;
    read_offers(plan, &request);
    while ((chosen = placement_scored.choose(&request, plan->offers, plan->candidate_count)) >= 0) {
        struct candidate *candidate = &plan->candidates[chosen];
        bool is_wanted = plan->placed_count + plan->next_count < plan->wanted_count;

        candidate->standing = is_wanted ? STANDS_NEXT : STANDS_COULD;
        candidate->order = ++order;
        plan->next_count += is_wanted;
        plan->offers[chosen].taken = true;
        use_zone(&request, &plan->offers[chosen]);
    }
}

static int by_standing(const void *a, const void *b)
{
    const struct candidate *one = a;
    const struct candidate *other = b;

    if (one->standing != other->standing) {
        return one->standing < other->standing ? -1 : 1;
    }
    if (one->order != other->order) {
        return one->order < other->order ? -1 : 1;
    }
    return strcmp(text_of(one->node, "node_name"), text_of(other->node, "node_name"));
}

/* ------------------------------------------------------------------ telling */

static bool is_enough(const struct plan *plan)
{
    return plan->placed_count + plan->next_count >= plan->wanted_count;
}

static void add_row(struct table *table, const struct candidate *candidate)
{
    struct sandbox_limits free = limits_from(json_object_get(candidate->offer, "free"));
    char cpu[UNITS_TEXT_BYTES_MAX] = "-";
    char memory[UNITS_TEXT_BYTES_MAX] = "-";
    char disk[UNITS_TEXT_BYTES_MAX] = "-";
    char note[NOTE_BYTES];

    if (candidate->offer != NULL) {
        units_print_cores(free.cpu_permille, cpu);
        units_print_bytes(free.memory_bytes, memory);
        units_print_bytes(free.disk_bytes, disk);
    }
    snprintf(note, sizeof(note), "%s",
             candidate->replica != NULL         ? candidate->replica
             : candidate->standing == STANDS_NO ? text_of(candidate->offer, "reason")
                                                : candidate->why);
    table_add(table, (const char *const[]){
                         text_of(candidate->node, "node_name"), text_of(candidate->node, "zone"),
                         standings[candidate->standing], cpu, memory, disk, note});
}

static void print_sum(const struct plan *plan)
{
    const char *spare = "";

    if (!is_enough(plan)) {
        printf("no node for %" PRIu64 " of %" PRIu64 " replicas\n",
               plan->wanted_count - plan->placed_count - plan->next_count, plan->wanted_count);
        return;
    }
    for (uint32_t i = 0; i < plan->candidate_count && spare[0] == '\0'; i++) {
        if (plan->candidates[i].standing == STANDS_COULD) {
            spare = text_of(plan->candidates[i].node, "node_name");
        }
    }
    printf("if one is lost: %s\n", spare[0] != '\0' ? spare : "no other node would take its place");
}

static void print_plan(const struct plan *plan)
{
    static const char *const headings[] = {"NODE",     "ZONE",      "ANSWER", "CPU FREE",
                                           "MEM FREE", "DISK FREE", "NOTE"};
    struct sandbox_limits need = limits_from(plan->need);
    char cpu[UNITS_TEXT_BYTES_MAX];
    char memory[UNITS_TEXT_BYTES_MAX];
    char disk[UNITS_TEXT_BYTES_MAX];
    struct table table;

    units_print_cores(need.cpu_permille, cpu);
    units_print_bytes(need.memory_bytes, memory);
    units_print_bytes(need.disk_bytes, disk);
    printf("%s: %" PRIu64 " replica%s wanted, each with %s cpu, %s memory, %s disk\n",
           text_of(plan->service, "name"), plan->wanted_count, plan->wanted_count == 1 ? "" : "s",
           cpu, memory, disk);
    table_init(&table, headings, ARRAY_COUNT(headings));
    table.expendable = ",ZONE,DISK FREE,CPU FREE,MEM FREE,";
    for (uint32_t i = 0; i < plan->candidate_count; i++) {
        add_row(&table, &plan->candidates[i]);
    }
    print_table(plan->session, &table);
    print_sum(plan);
    if (plan->left_out_count > 0) {
        printf("%zu more machines were not asked\n", plan->left_out_count);
    }
}

static json_t *document_of(const struct candidate *candidate)
{
    static const char *const words[STANDS_COUNT] = {
        [STANDS_RUNS] = "runs", [STANDS_NEXT] = "next",   [STANDS_COULD] = "could",
        [STANDS_NO] = "no",     [STANDS_SILENT] = "none",
    };
    json_t *document = candidate->offer != NULL ? json_deep_copy(candidate->offer)
                                                : json_pack("{ss}", "reason", candidate->why);

    json_object_del(document, "need");
    json_object_del(document, "spread");
    json_object_update_new(
        document,
        json_pack("{sO sO sO ss so so}", "node", json_object_get(candidate->node, "node"),
                  "node_name", json_object_get(candidate->node, "node_name"), "zone",
                  json_object_get(candidate->node, "zone"), "answer", words[candidate->standing],
                  "order", candidate->order == 0 ? json_null() : json_integer(candidate->order),
                  "replica",
                  candidate->replica == NULL ? json_null() : json_string(candidate->replica)));
    return document;
}

static void print_json(const struct plan *plan)
{
    CLEANUP(cleanup_json)
    json_t *document = json_pack(
        "{sO sO sO sI sI sb sO ss s[]}", "service", json_object_get(plan->service, "name"), "id",
        json_object_get(plan->service, "id"), "version", json_object_get(plan->service, "version"),
        "wanted", (json_int_t)plan->wanted_count, "placed", (json_int_t)plan->placed_count,
        "enough", is_enough(plan), "need", plan->need, "spread", plan->spread, "nodes");

    for (uint32_t i = 0; i < plan->candidate_count; i++) {
        json_array_append_new(json_object_get(document, "nodes"),
                              document_of(&plan->candidates[i]));
    }
    print_document(document);
}

/* ------------------------------------------------------------------ */

static int read_wanted(struct plan *plan, const char *replicas)
{
    if (replicas == NULL) {
        plan->wanted_count = (uint64_t)number_of(plan->service, "wanted");
        return EXIT_DONE;
    }
    return replica_count_parse(plan->session, replicas, &plan->wanted_count);
}

static int make(struct plan *plan, const struct arguments *arguments)
{
    char path[URL_BYTES_MAX];
    int status = resolve_path(plan->session, arguments->words[0], path, sizeof(path));

    if (status == EXIT_DONE) {
        status = session_get(plan->session, path, &plan->document);
    }
    if (status == EXIT_DONE) {
        plan->service = json_array_get(json_object_get(plan->document, "services"), 0);
        status = read_wanted(plan, arguments->options[OPTION_REPLICAS]);
    }
    if (status == EXIT_DONE) {
        status = session_get(plan->session, "/v1/nodes", &plan->nodes);
    }
    if (status == EXIT_DONE) {
        status = ask_all(plan);
    }
    if (status != EXIT_DONE || plan->need != NULL) {
        return status;
    }
    if (plan->refusal.status == EXIT_DONE) {
        return problem_set(&plan->session->problem, EXIT_LATE, arguments->words[0],
                           "no node has answered");
    }
    plan->session->problem = plan->refusal;
    return plan->refusal.status;
}

int run_plan(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_free) struct plan *plan = calloc(1, sizeof(*plan));
    int status;

    if (plan == NULL) {
        return problem_set(&session->problem, EXIT_REFUSED, "plan", "no memory");
    }
    plan->session = session;
    status = make(plan, arguments);
    if (status == EXIT_DONE) {
        choose(plan);
        qsort(plan->candidates, plan->candidate_count, sizeof(plan->candidates[0]), by_standing);
        session->json ? print_json(plan) : print_plan(plan);
        status = is_enough(plan) ? EXIT_DONE : EXIT_LATE;
    }
    plan_done(plan);
    return status;
}
