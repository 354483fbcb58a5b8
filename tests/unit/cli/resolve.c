// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/resolve.h"

#include <criterion/criterion.h>
#include <string.h>

#define OWN   "aa11111111111111111111111111111111111111111111111111111111111111"
#define OTHER "aa22222222222222222222222222222222222222222222222222222222222222"
#define THIRD "bb33333333333333333333333333333333333333333333333333333333333333"

static struct problem problem;

static json_t *services(void)
{
    return json_pack("[{ss ss ss} {ss ss ss} {ss ss ss} {ss ss ss}]", "name", "wiki", "owner",
                     OTHER, "id", "1", "name", "wiki", "owner", OWN, "id", "2", "name", "blog",
                     "owner", THIRD, "id", "3", "name", "wiki", "owner", THIRD, "id", "4");
}

/* The id of the service that `text` means to `own`, or "" with the problem. */
static const char *meant(const char *text, const char *own)
{
    static char id[16];
    json_t *list = services();
    const json_t *service = NULL;
    struct service_name name;

    memset(&problem, 0, sizeof(problem));
    cr_assert_eq(service_name_parse(text, true, &name, &problem), EXIT_DONE, "%s", text);
    id[0] = '\0';
    if (resolve_among(list, &name, own, &service, &problem) == EXIT_DONE) {
        snprintf(id, sizeof(id), "%s", text_of(service, "id"));
    }
    json_decref(list);
    return id;
}

Test(resolve, ones_own_service_comes_first)
{
    cr_assert_str_eq(meant("wiki", OWN), "2");
}

Test(resolve, the_only_one_of_that_name_is_meant)
{
    cr_assert_str_eq(meant("blog", OWN), "3");
    cr_assert_str_eq(meant("blog", ""), "3");
}

Test(resolve, several_are_listed_with_their_owners)
{
    cr_assert_str_eq(meant("wiki", ""), "");
    cr_assert_eq(problem.status, EXIT_NOT_FOUND);
    cr_assert_not_null(strstr(problem.why, "wiki@aa222222, wiki@aa111111, wiki@bb333333"));
}

Test(resolve, an_owner_behind_an_at_sign_decides_any_case)
{
    cr_assert_str_eq(meant("wiki@aa2", OWN), "1");
    cr_assert_str_eq(meant("wiki@BB", OWN), "4");
    cr_assert_str_eq(meant("wiki@aa", ""), "");
    cr_assert_str_eq(meant("wiki@cc", OWN), "");
    cr_assert_eq(problem.status, EXIT_NOT_FOUND);
}

Test(resolve, an_unknown_name_is_no_such_thing)
{
    cr_assert_str_eq(meant("nothing", OWN), "");
    cr_assert_eq(problem.status, EXIT_NOT_FOUND);
}

Test(resolve, names_follow_the_rule)
{
    cr_assert(name_is_valid("a"));
    cr_assert(name_is_valid("a-1"));
    cr_assert(name_is_valid("abcdefghijklmnopqrstuvwxyz012345"));
    cr_assert(!name_is_valid("abcdefghijklmnopqrstuvwxyz0123456"));
    cr_assert(!name_is_valid(""));
    cr_assert(!name_is_valid("-a"));
    cr_assert(!name_is_valid("A"));
    cr_assert(!name_is_valid("a/b"));
    cr_assert(!name_is_valid("../a"));
}

Test(resolve, replicas_and_owners_are_read_off_a_name)
{
    struct service_name name;

    cr_assert_eq(service_name_parse("wiki@aa11/3", true, &name, &problem), EXIT_DONE);
    cr_assert_str_eq(name.name, "wiki");
    cr_assert_str_eq(name.owner, "aa11");
    cr_assert_eq(name.slot, 3);
}

Test(resolve, wrong_names_are_wrong_usage)
{
    static const char *const texts[] = {"",        "wiki/", "wiki/0",    "wiki/x",
                                        "wiki/33", "wiki@", "wiki@g",    "Wiki",
                                        "@aa",     "/1",    "wiki/1@aa", "wiki@" OWN "0"};
    struct service_name name;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_expect_eq(service_name_parse(texts[i], true, &name, &problem), EXIT_USAGE, "%s",
                     texts[i]);
    }
    cr_expect_eq(service_name_parse("wiki/1", false, &name, &problem), EXIT_USAGE);
}

Test(resolve, a_number_beyond_those_that_are_wanted_is_no_replica)
{
    json_t *service = json_pack("{si}", "wanted", 3);
    json_t *off = json_pack("{si}", "wanted", 0);

    cr_expect_eq(resolve_slot(service, 0, "wiki", &problem), EXIT_DONE);
    cr_expect_eq(resolve_slot(service, 3, "wiki/3", &problem), EXIT_DONE);
    cr_expect_eq(resolve_slot(service, 4, "wiki/4", &problem), EXIT_NOT_FOUND);
    cr_expect_str_eq(problem.what, "wiki/4");
    cr_expect_str_eq(problem.advice, "the service has 3: 1 to 3");
    json_object_set_new(service, "wanted", json_integer(1));
    cr_expect_eq(resolve_slot(service, 2, "wiki/2", &problem), EXIT_NOT_FOUND);
    cr_expect_str_eq(problem.advice, "the service has one, number 1");
    cr_expect_eq(resolve_slot(off, 1, "wiki/1", &problem), EXIT_DONE);
    json_decref(off);
    json_decref(service);
}
