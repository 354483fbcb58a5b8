// SPDX-License-Identifier: GPL-3.0-or-later
/* Lists that members put together, where one of them lies, or nobody waits for them any more. */
#include "tests/unit/api/server_fixture.h"

TestSuite(listings, .init = set_up, .fini = tear_down, .timeout = 60);

static bool is_elm(const struct core_request *request)
{
    return id_equal(&request->node.id, &the_core.members[1].node.id);
}

/* Eight services that nobody has seen yet, of the one who is asked. */
static void invent(const struct core_request *request, struct core_answer *answer,
                   struct service_status *list)
{
    static uint32_t invented_count;

    for (uint32_t i = 0; i < SERVICES_PAGE_MAX; i++) {
        list[i] = (struct service_status){
            .name = "x", .state = SERVICE_ACTIVE, .epoch_generation = 1, .manager = request->node};
        invented_count++;
        memcpy(list[i].owner_key.bytes, &invented_count, sizeof(invented_count));
        list[i].service = keys_service_id(&list[i].owner_key, list[i].name);
    }
    answer->status = list;
    answer->status_count = SERVICES_PAGE_MAX;
}

static size_t services_count(void)
{
    return json_array_size(json_object_get(answer.json, "services"));
}

static bool is_incomplete(void)
{
    return json_is_true(json_object_get(answer.json, "incomplete"));
}

static void ask_with(void (*liar)(const struct core_request *request, struct core_answer *answer,
                                  struct service_status *list),
                     const char *path)
{
    world.host.later = true;
    world.host.liar = liar;
    get(path);
    cr_assert_eq(answer.status, 200);
}

/* ------------------------------------------------------------------ pages of services */

static void same_cursor(const struct core_request *request, struct core_answer *answer,
                        struct service_status *list)
{
    if (is_elm(request)) {
        invent(request, answer, list);
        answer->next_cursor = 1;
    }
}

Test(listings, a_cursor_that_does_not_grow_ends_a_members_pages)
{
    ask_with(same_cursor, "/v1/services");
    cr_assert_eq(world.host.asked_count, 3, "one of oak, two of elm");
    cr_assert_eq(services_count(), 1 + 2 * SERVICES_PAGE_MAX);
    cr_assert(is_incomplete());
    done();
}

static void endless(const struct core_request *request, struct core_answer *answer,
                    struct service_status *list)
{
    invent(request, answer, list);
    answer->next_cursor = request->cursor + 1;
}

Test(listings, a_member_is_asked_for_so_many_pages_and_no_more)
{
    ask_with(endless, "/v1/services");
    cr_assert_eq(world.host.asked_count, 2 * API_MEMBER_PAGES_MAX);
    cr_assert_eq(services_count(), 2 * API_MEMBER_PAGES_MAX * SERVICES_PAGE_MAX);
    cr_assert(is_incomplete());
    done();
}

static void whole(const struct core_request *request, struct core_answer *answer,
                  struct service_status *list)
{
    invent(request, answer, list);
    answer->next_cursor = request->cursor + 1 < API_MEMBER_PAGES_MAX ? request->cursor + 1 : 0;
}

Test(listings, what_one_member_can_manage_is_listed_in_full)
{
    ask_with(whole, "/v1/services");
    cr_assert_eq(services_count(), 2 * API_MEMBER_PAGES_MAX * SERVICES_PAGE_MAX);
    cr_assert(!is_incomplete());
    done();
}

static void in_oaks_name(const struct core_request *request, struct core_answer *answer,
                         struct service_status *list)
{
    list[0] = *answer->status;
    list[0].manager = the_core.members[0].node;
    list[0].epoch_generation = is_elm(request) ? 99 : 7;
    answer->status = list;
}

Test(listings, a_member_does_not_speak_for_another_manager)
{
    ask_with(in_oaks_name, "/v1/services");
    cr_assert_eq(services_count(), 1);
    cr_assert_eq(json_integer_value(json_object_get(
                     json_array_get(json_object_get(answer.json, "services"), 0), "epoch")),
                 7);
    cr_assert(is_incomplete());
    done();
}

static void no_epoch_yet(const struct core_request *request, struct core_answer *answer,
                         struct service_status *list)
{
    (void)request;
    list[0] = *answer->status;
    list[0].manager = (struct node_id){0};
    list[0].epoch_generation = 0;
    answer->status = list;
}

Test(listings, a_manager_that_has_no_epoch_yet_is_believed)
{
    ask_with(no_epoch_yet, "/v1/services");
    cr_assert_eq(services_count(), 1);
    cr_assert(!is_incomplete());
    done();
}

static const json_t *first_service(void)
{
    return json_array_get(json_object_get(answer.json, "services"), 0);
}

static void renamed(const struct core_request *request, struct core_answer *answer,
                    struct service_status *list)
{
    list[0] = *answer->status;
    if (is_elm(request)) {
        list[0].epoch_generation = 99;
        strcpy(list[0].name, "x");
    }
    answer->status = list;
}

Test(listings, nobody_renames_a_service)
{
    ask_with(renamed, "/v1/services");
    cr_assert_eq(services_count(), 1);
    cr_assert_str_eq(json_string_value(json_object_get(first_service(), "name")), "wiki");
    cr_assert(is_incomplete());
    done();
}

static void of_another_owner(const struct core_request *request, struct core_answer *answer,
                             struct service_status *list)
{
    list[0] = *answer->status;
    if (is_elm(request)) {
        list[0].owner_key.bytes[0] ^= 1;
    }
    answer->status = list;
}

Test(listings, nobody_gives_a_service_to_another_owner)
{
    ask_with(of_another_owner, "/v1/services");
    cr_assert_eq(services_count(), 1);
    cr_assert_eq(json_integer_value(json_object_get(first_service(), "epoch")), 7);
    cr_assert(is_incomplete());
    done();
}

static uint64_t elms_generation;

static void of_generation(const struct core_request *request, struct core_answer *answer,
                          struct service_status *list)
{
    list[0] = *answer->status;
    if (is_elm(request)) {
        list[0].epoch_generation = elms_generation;
    }
    answer->status = list;
}

Test(listings, a_generation_that_cannot_be_is_not_believed)
{
    elms_generation = COUNTER_END;
    ask_with(of_generation, "/v1/services");
    cr_assert_eq(services_count(), 1);
    cr_assert_eq(json_integer_value(json_object_get(first_service(), "epoch")), 7);
    cr_assert(is_incomplete());
    done();
    elms_generation = COUNTER_END - 1;
    ask_with(of_generation, "/v1/services");
    cr_assert_eq(json_integer_value(json_object_get(first_service(), "epoch")), COUNTER_END - 1);
    cr_assert(!is_incomplete());
    done();
}

/* ------------------------------------------------------------------ pages of slots */

static size_t replicas_count(void)
{
    return json_array_size(
        json_object_get(json_array_get(json_object_get(answer.json, "services"), 0), "replicas"));
}

static void full_page(const struct core_request *request, struct core_answer *answer,
                      struct service_status *list, uint32_t first)
{
    list[0] = *answer->status;
    answer->status = list;
    if (request->history) {
        return;
    }
    list[0].slot_count = UINT32_MAX;
    list[0].replica_count = STATUS_PAGE_REPLICAS_MAX;
    for (uint32_t i = 0; i < STATUS_PAGE_REPLICAS_MAX; i++) {
        list[0].replicas[i] = (struct replica_status){.slot = first + i};
    }
}

static void same_slots(const struct core_request *request, struct core_answer *answer,
                       struct service_status *list)
{
    full_page(request, answer, list, 1);
}

Test(listings, slots_that_were_told_already_end_the_pages)
{
    ask_with(same_slots, "/v1/services/" ID64);
    cr_assert_eq(world.host.asked_count, 3, "two pages and the history");
    cr_assert_eq(replicas_count(), STATUS_PAGE_REPLICAS_MAX);
    cr_assert(is_incomplete());
    done();
}

Test(listings, locations_say_that_they_were_cut)
{
    ask_with(same_slots, "/v1/services/" ID64 "/locations");
    cr_assert(is_incomplete());
    done();
    ask_with(NULL, "/v1/services/" ID64 "/locations");
    cr_assert(json_is_false(json_object_get(answer.json, "incomplete")));
    done();
}

static void endless_slots(const struct core_request *request, struct core_answer *answer,
                          struct service_status *list)
{
    full_page(request, answer, list, request->slot);
}

Test(listings, no_service_has_more_slots_than_there_can_be)
{
    ask_with(endless_slots, "/v1/services/" ID64);
    cr_assert_eq(replicas_count(), REPLICAS_PER_SERVICE_MAX);
    cr_assert_eq(world.host.asked_count, REPLICAS_PER_SERVICE_MAX / STATUS_PAGE_REPLICAS_MAX + 1);
    done();
}

static void another_service(const struct core_request *request, struct core_answer *answer,
                            struct service_status *list)
{
    (void)request;
    list[0] = *answer->status;
    list[0].service.id.bytes[0] ^= 1;
    answer->status = list;
}

Test(listings, an_answer_about_another_service_is_none)
{
    world.host.later = true;
    world.host.liar = another_service;
    get("/v1/services/" ID64);
    cr_assert_eq(answer.status, 500);
    cr_assert_eq(world.host.asked_count, 1);
    done();
}

/* ------------------------------------------------------------------ all together */

/* As much as one member may say: 512 services of 32 replicas each. */
static void as_much_as_can_be(const struct core_request *request, struct core_answer *answer,
                              struct service_status *list)
{
    if (request->kind == CORE_SERVICES) {
        whole(request, answer, list);
    } else {
        full_page(request, answer, list, request->slot);
        list[0].slot_count = REPLICAS_PER_SERVICE_MAX;
    }
}

static size_t entries_count(void)
{
    json_t *services = json_object_get(answer.json, "services");
    size_t count = json_array_size(services);
    json_t *service;
    size_t i;

    json_array_foreach(services, i, service)
    {
        count += json_array_size(json_object_get(service, "replicas"));
        count += json_array_size(json_object_get(service, "history"));
    }
    return count;
}

Test(listings, a_list_has_so_many_entries_and_no_more)
{
    ask_with(as_much_as_can_be, "/v1/status");
    cr_assert_eq(entries_count(), API_LISTING_ENTRIES_MAX);
    cr_assert(is_incomplete());
    done();
}

/* A request under way, with its first questions not answered yet. */
static int begin(const char *path)
{
    uint32_t asked_count = world.host.asked_count;
    char text[128];
    int fd = dial();
    int length = snprintf(text, sizeof(text),
                          "GET %s HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n", path);

    world.host.later = true;
    cr_assert_eq(send(fd, text, (size_t)length, MSG_NOSIGNAL), length);
    for (int i = 0; i < 100 && world.host.asked_count == asked_count; i++) {
        struct pollfd poll_fd = {.fd = api_fd(world.api), .events = POLLIN};

        poll(&poll_fd, 1, 1);
        api_run(world.api);
    }
    cr_assert_eq(world.host.asked_count, asked_count + 2);
    return fd;
}

Test(listings, all_lists_at_once_have_so_many_entries_and_no_more)
{
    size_t sum = 0;
    int fds[3];

    world.host.liar = as_much_as_can_be;
    for (int i = 0; i < 3; i++) {
        fds[i] = begin("/v1/status");
    }
    for (int i = 0; i < 3; i++) {
        talk(fds[i], "", 0);
        cr_assert_eq(answer.status, 200);
        cr_assert(is_incomplete());
        sum += entries_count();
        done();
    }
    cr_assert_eq(sum, API_ENTRIES_MAX);
    ask_with(as_much_as_can_be, "/v1/status");
    cr_assert_eq(entries_count(), API_LISTING_ENTRIES_MAX, "what they had is free again");
    done();
}

Test(listings, one_service_is_told_whatever_the_lists_hold)
{
    int fds[2];

    world.host.liar = as_much_as_can_be;
    for (int i = 0; i < 2; i++) {
        fds[i] = begin("/v1/status");
    }
    turn(); /* both are put together, and nobody has read them yet */
    ask_with(as_much_as_can_be, "/v1/status");
    cr_assert_eq(entries_count(), 0, "the lists hold all there is");
    done();
    ask_with(as_much_as_can_be, "/v1/services/" ID64);
    cr_assert_eq(replicas_count(), REPLICAS_PER_SERVICE_MAX);
    cr_assert(!is_incomplete());
    done();
    ask_with(NULL, "/v1/services/" ID64 "/locations");
    cr_assert_eq(json_array_size(json_object_get(answer.json, "locations")), 2);
    cr_assert(!is_incomplete());
    done();
    for (int i = 0; i < 2; i++) {
        talk(fds[i], "", 0);
        cr_assert_eq(entries_count(), API_LISTING_ENTRIES_MAX);
        done();
    }
}

/* ------------------------------------------------------------------ how long */

static void slow(const struct core_request *request, struct core_answer *answer,
                 struct service_status *list)
{
    if (request->kind == CORE_SERVICES) {
        endless(request, answer, list);
    }
    world.host.now_ms += 1000;
}

Test(listings, after_its_time_a_list_is_what_has_come)
{
    json_t *services;
    json_t *service;
    size_t i;

    ask_with(slow, "/v1/status");
    cr_assert_leq(world.host.asked_count, API_LISTING_MS_MAX / 1000 + API_WINDOW_MAX);
    cr_assert_gt(services_count(), SERVICES_PAGE_MAX);
    cr_assert(is_incomplete());
    services = json_object_get(answer.json, "services");
    json_array_foreach(services, i, service)
    {
        cr_assert(json_is_array(json_object_get(service, "replicas")));
    }
    done();
}

static uint32_t asked_for_services(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < world.host.asked_count; i++) {
        count += world.host.asked[i].request.kind == CORE_SERVICES ? 1 : 0;
    }
    return count;
}

/* Just in time, page by page, and always the same: no bound on entries is met. */
static void just_in_time(const struct core_request *request, struct core_answer *answer,
                         struct service_status *list)
{
    if (request->kind == CORE_SERVICES && is_elm(request)) {
        list[0] = *answer->status;
        list[0].epoch_generation = 7;
        answer->status = list;
        answer->next_cursor = request->cursor + 1;
        world.host.now_ms += 550;
    }
}

Test(listings, a_slow_member_leaves_time_for_the_replicas)
{
    uint64_t before_ms = world.host.now_ms;

    ask_with(just_in_time, "/v1/status");
    cr_assert_eq(services_count(), 1);
    cr_assert_eq(replicas_count(), 3);
    cr_assert(is_incomplete());
    cr_assert_lt(world.host.now_ms - before_ms, API_LISTING_MEMBER_MS_MAX + 550 + 1);
    done();
}

Test(listings, where_no_replicas_are_wanted_a_slow_member_has_all_the_time)
{
    ask_with(just_in_time, "/v1/services");
    cr_assert_eq(asked_for_services(), 1 + (API_LISTING_MS_MAX + 549) / 550);
    cr_assert(is_incomplete());
    done();
}

static void one_stalls(const struct core_request *request, struct core_answer *answer,
                       struct service_status *list)
{
    (void)answer;
    (void)list;
    if (request->kind == CORE_SERVICES && is_elm(request)) {
        world.host.now_ms += API_LISTING_MEMBERS_MS_MAX;
    }
}

Test(listings, after_their_part_of_the_time_members_are_not_asked_any_more)
{
    for (uint32_t i = 2; i < FAKE_MEMBERS_MAX; i++) {
        fake_member(&the_core.members[i], (uint8_t)(i + 1), "ash");
    }
    the_core.member_count = FAKE_MEMBERS_MAX;
    ask_with(one_stalls, "/v1/status");
    /* Oak's answer let the next one be asked. */
    cr_assert_eq(asked_for_services(), API_WINDOW_MAX + 1);
    cr_assert_eq(replicas_count(), 3);
    cr_assert(is_incomplete());
    done();
    world.host.asked_count = world.host.answered_count = 0;
    ask_with(one_stalls, "/v1/services");
    cr_assert_eq(asked_for_services(), FAKE_MEMBERS_MAX);
    cr_assert(!is_incomplete());
    done();
}

Test(listings, when_the_client_hangs_up_nobody_is_asked_any_more)
{
    world.host.liar = endless;
    close(begin("/v1/status"));
    for (int i = 0; i < 20; i++) {
        turn();
    }
    cr_assert_eq(world.host.asked_count, 2);
    world.host.liar = NULL;
    get("/v1/version");
    cr_assert_eq(answer.status, 200);
    done();
}

Test(listings, a_client_that_has_said_all_may_still_listen)
{
    int fd;

    world.host.liar = endless;
    fd = begin("/v1/services");
    shutdown(fd, SHUT_WR);
    talk(fd, "", 0);
    cr_assert_eq(answer.status, 200);
    cr_assert_eq(services_count(), 2 * API_MEMBER_PAGES_MAX * SERVICES_PAGE_MAX);
    done();
}
