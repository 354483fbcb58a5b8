// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/screen/changes.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static char told[4096];

static void note(void *self, const struct change *change)
{
    size_t length = strlen(told);

    (void)self;
    snprintf(told + length, sizeof(told) - length, "%s %s %s|", change->event, change->subject,
             change->detail);
}

/* `before` and `now` with ' for ". */
static json_t *parse(const char *text)
{
    char json[4096];
    json_error_t error;
    json_t *document;

    snprintf(json, sizeof(json), "%s", text);
    for (char *c = json; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    document = json_loads(json, 0, &error);
    cr_assert_not_null(document, "%s: %s", text, error.text);
    return document;
}

static const char *nodes_between(const char *before, const char *now)
{
    struct sight was = {.nodes = parse(before)};
    struct sight is = {.nodes = parse(now)};

    told[0] = '\0';
    changes_between(&was, &is, note, NULL);
    json_decref(was.nodes);
    json_decref(is.nodes);
    return told;
}

static const char *services_between(const char *before, const char *now)
{
    struct sight was = {.services = parse(before)};
    struct sight is = {.services = parse(now)};

    told[0] = '\0';
    changes_between(&was, &is, note, NULL);
    json_decref(was.services);
    json_decref(is.services);
    return told;
}

#define NODE(id, name, state)                                 \
    "{'node':'" id "','node_name':'" name "','state':'" state \
    "','left':false,'address':'10.0.0." id ":7400','owner':'aabbccddeeff'}"
#define NODES(list) "{'nodes':[" list "]}"

Test(changes, nothing_is_told_of_what_stays)
{
    const char *nodes = NODES(NODE("1", "oak", "up"));

    cr_assert_str_eq(nodes_between(nodes, nodes), "");
}

Test(changes, a_node_joins_is_missed_and_comes_back)
{
    const char *one = NODES(NODE("1", "oak", "up"));
    const char *two = NODES(NODE("1", "oak", "up") "," NODE("2", "elm", "up"));
    const char *down = NODES(NODE("1", "oak", "up") "," NODE("2", "elm", "down"));

    cr_assert_str_eq(nodes_between(one, two), "node.joined elm at 10.0.0.2:7400, of aabbccdd|");
    cr_assert_str_eq(nodes_between(two, down), "node.down elm was up|");
    cr_assert_str_eq(nodes_between(down, two), "node.up elm was down|");
    cr_assert_str_eq(nodes_between(two, one), "node.forgotten elm |");
}

Test(changes, a_node_that_says_goodbye_has_left_and_is_not_down)
{
    cr_assert_str_eq(
        nodes_between(NODES(NODE("1", "oak", "up")),
                      "{'nodes':[{'node':'1','node_name':'oak','state':'down','left':true,"
                      "'address':'10.0.0.1:7400'}]}"),
        "node.left oak was up|");
}

#define REPLICA(incarnation, state, restarts)                                                   \
    "{'id':'wiki/1','incarnation':" incarnation ",'node':'1','node_name':'oak','state':'" state \
    "','health':'ok','reason':'','restarts':" restarts "}"
#define SERVICE(state, version, replicas, history)                                          \
    "{'name':'wiki','id':'77','owner':'aabbccddeeff','version':" version ",'state':'" state \
    "','reason':'','wanted':1,'running':1,'manager':'1','replicas':[" replicas              \
    "],'history':[" history "]}"
#define SERVICES(list) "{'incomplete':false,'services':[" list "]}"

Test(changes, a_service_is_registered)
{
    const char *none = SERVICES("");
    const char *one = SERVICES(SERVICE("off", "1", "", ""));

    cr_assert_str_eq(services_between(none, one),
                     "service.registered wiki version 1, of aabbccdd|");
}

Test(changes, a_service_is_removed_when_two_looks_in_a_row_have_not_seen_it)
{
    struct sight was = {.services = parse(SERVICES(SERVICE("off", "1", "", "")))};
    struct sight once = {.services = parse(SERVICES(""))};
    struct sight twice = {.services = parse(SERVICES(""))};

    told[0] = '\0';
    changes_between(&was, &once, note, NULL);
    cr_assert_str_eq(told, "");
    changes_between(&once, &twice, note, NULL);
    cr_assert_str_eq(told, "service.removed wiki |");
    json_decref(was.services);
    json_decref(once.services);
    json_decref(twice.services);
}

Test(changes, a_service_that_nobody_named_for_a_moment_has_not_changed)
{
    const char *text = SERVICES(SERVICE("active", "1", REPLICA("1", "running", "0"), ""));
    struct sight was = {.services = parse(text)};
    struct sight gone = {.services = parse(SERVICES(""))};
    struct sight back = {.services = parse(text)};

    told[0] = '\0';
    changes_between(&was, &gone, note, NULL);
    changes_between(&gone, &back, note, NULL);
    cr_assert_str_eq(told, "");
    json_decref(was.services);
    json_decref(gone.services);
    json_decref(back.services);
}

Test(changes, a_start_is_told_as_state_of_service_and_replica)
{
    cr_assert_str_eq(
        services_between(SERVICES(SERVICE("off", "1", "", "")),
                         SERVICES(SERVICE("active", "2", REPLICA("1", "running", "0"), ""))),
        "service.updated wiki version 2, was 1|service.active wiki 1/1|"
        "replica.running wiki/1 on oak|");
}

#define LACKING(reason)                                                                            \
    "{'incomplete':false,'services':[{'name':'wiki','id':'77','owner':'aabbccddeeff','version':1," \
    "'state':'degraded','reason':'" reason                                                         \
    "','wanted':3,'running':2,'manager':'1','replicas':[],'history':[]}]}"

Test(changes, how_many_run_is_said_once)
{
    cr_expect_str_eq(services_between(SERVICES(SERVICE("active", "1", "", "")),
                                      LACKING("2/3: only 3 nodes can run it")),
                     "service.scaled wiki wanted 3, was 1|"
                     "service.degraded wiki 2/3: only 3 nodes can run it|");
    cr_expect_str_eq(services_between(SERVICES(SERVICE("active", "1", "", "")),
                                      LACKING("its manager is not heard")),
                     "service.scaled wiki wanted 3, was 1|"
                     "service.degraded wiki 2/3: its manager is not heard|");
}

#define AGAIN                                                                                      \
    "{'id':'wiki/1','incarnation':1,'node':'1','node_name':'oak','state':'running','health':'ok'," \
    "'reason':'ended by signal 9','restarts':2}"

Test(changes, a_restart_in_place_is_told_though_the_state_is_the_same)
{
    cr_assert_str_eq(
        services_between(SERVICES(SERVICE("active", "1", REPLICA("1", "running", "0"), "")),
                         SERVICES(SERVICE("active", "1", AGAIN, ""))),
        "replica.restarted wiki/1 2 times since: ended by signal 9|");
}

Test(changes, a_replaced_replica_ends_for_the_reason_that_history_has)
{
    cr_assert_str_eq(
        services_between(
            SERVICES(SERVICE("active", "1", REPLICA("1", "running", "0"), "")),
            SERVICES(SERVICE("active", "1", REPLICA("2", "starting", "0"),
                             "{'id':'wiki/1','incarnation':1,'node_name':'elm','state':'failed',"
                             "'reason':'its node is down'}"))),
        "replica.failed wiki/1 on elm: its node is down|replica.starting wiki/1 on oak|");
}

#define ENDED(incarnation)                                                                      \
    "{'id':'wiki/1','incarnation':" incarnation ",'node_name':'elm','state':'failed','reason':" \
    "'no " incarnation "'}"
#define RUNS(incarnation, history) \
    SERVICES(SERVICE("active", "1", REPLICA(incarnation, "running", "0"), history))

Test(changes, replicas_that_came_and_went_between_two_looks_are_told_in_order)
{
    cr_assert_str_eq(services_between(RUNS("1", ""), RUNS("4", ENDED("3") "," ENDED("2"))),
                     "replica.failed wiki/1 on elm: no 2|replica.failed wiki/1 on elm: no 3|"
                     "replica.ended wiki/1 |replica.running wiki/1 on oak|");
    cr_assert_str_eq(services_between(RUNS("1", ""), RUNS("3", ENDED("2") "," ENDED("1"))),
                     "replica.failed wiki/1 on elm: no 1|replica.failed wiki/1 on elm: no 2|"
                     "replica.running wiki/1 on oak|");
}

Test(changes, an_end_is_told_once_though_its_slot_is_read_before_the_history)
{
    const char *first = RUNS("1", "");
    const char *second = RUNS("1", ENDED("1"));
    const char *third = RUNS("2", ENDED("1"));

    cr_assert_str_eq(services_between(first, second), "replica.failed wiki/1 on elm: no 1|");
    cr_assert_str_eq(services_between(second, third), "replica.running wiki/1 on oak|");
    cr_assert_str_eq(services_between(third, third), "");
}

Test(changes, a_manager_that_remembers_older_ends_tells_none_of_them_again)
{
    cr_assert_str_eq(services_between(RUNS("3", ""), RUNS("3", ENDED("2") "," ENDED("1"))), "");
}

Test(changes, more_ends_than_a_manager_remembers_are_said_to_be_missed)
{
    const char *told_now = services_between(
        RUNS("2", ENDED("1")),
        RUNS("11", ENDED("10") "," ENDED("9") "," ENDED("8") "," ENDED("7") "," ENDED(
                       "6") "," ENDED("5") "," ENDED("4") "," ENDED("3")));

    cr_assert_eq(strstr(told_now, "service.missed wiki"), told_now, "%s", told_now);
    cr_assert_not_null(strstr(told_now, "no 3|"));
}

Test(changes, a_history_that_did_not_come_is_not_told_anew_later)
{
    struct sight was = {.services = parse(RUNS("2", ENDED("1")))};
    struct sight none = {.services = parse("{'incomplete':true,'services':[" SERVICE(
                             "active", "1", REPLICA("2", "running", "0"), "") "]}")};
    struct sight is = {.services = parse(RUNS("2", ENDED("1")))};

    told[0] = '\0';
    changes_between(&was, &none, note, NULL);
    changes_between(&none, &is, note, NULL);
    cr_expect_str_eq(told, "");
    json_decref(was.services);
    json_decref(none.services);
    json_decref(is.services);
}

Test(changes, an_incomplete_answer_removes_nothing_and_is_filled_up)
{
    struct sight was = {
        .services = parse(SERVICES(SERVICE("active", "1", REPLICA("1", "running", "0"), "")))};
    struct sight is = {.services = parse("{'incomplete':true,'services':[]}")};

    told[0] = '\0';
    changes_between(&was, &is, note, NULL);
    cr_assert_str_eq(told, "");
    cr_assert_eq(json_array_size(json_object_get(is.services, "services")), 1);
    json_decref(was.services);
    json_decref(is.services);
}

Test(changes, a_manager_that_answered_without_replicas_ends_none)
{
    char before[1024];
    char now[1024];

    snprintf(before, sizeof(before), "%s",
             SERVICES(SERVICE("active", "1", REPLICA("1", "running", "0"), "")));
    snprintf(now, sizeof(now), "{'incomplete':true,'services':[%s]}",
             SERVICE("active", "1", "", ""));
    cr_assert_str_eq(services_between(before, now), "");
}

Test(changes, documents_of_another_shape_tell_nothing)
{
    cr_assert_str_eq(nodes_between("{}", "{'nodes':[{}]}"), "");
    cr_assert_str_eq(services_between("{'services':3}", "{'services':[]}"), "");
}
