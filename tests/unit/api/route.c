// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/api/route.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/api/fake_core.h"

static char parameters[ROUTE_PARAMETERS_MAX][ROUTE_PARAMETER_CHARS_MAX + 1];

static enum route_match find(const char *method, const char *path)
{
    const struct route *route = NULL;

    return route_find(method, path, &route, parameters);
}

Test(route, parts_behind_a_star_become_parameters)
{
    const struct route *route = NULL;

    cr_assert_eq(route_find("GET", "/v1/services/abc/versions/7", &route, parameters), ROUTE_FOUND);
    cr_assert_str_eq(route->path, "/v1/services/*/versions/*");
    cr_assert_str_eq(parameters[0], "abc");
    cr_assert_str_eq(parameters[1], "7");
}

Test(route, unknown_paths_and_methods_are_told_apart)
{
    cr_assert_eq(find("GET", "/v1/version"), ROUTE_FOUND);
    cr_assert_eq(find("POST", "/v1/version"), ROUTE_NO_METHOD);
    cr_assert_eq(find("GET", "/v2/version"), ROUTE_NO_PATH);
    cr_assert_eq(find("GET", "/v1/versions"), ROUTE_NO_PATH);
    cr_assert_eq(find("GET", "/v1/versio"), ROUTE_NO_PATH);
    cr_assert_eq(find("GET", ""), ROUTE_NO_PATH);
}

Test(route, a_star_is_neither_empty_nor_endless_nor_two_parts)
{
    char path[200] = "/v1/services/";

    cr_assert_eq(find("GET", "/v1/services/"), ROUTE_NO_PATH);
    cr_assert_eq(find("GET", "/v1/services/a/b"), ROUTE_NO_PATH);
    memset(path + strlen(path), 'a', ROUTE_PARAMETER_CHARS_MAX);
    cr_assert_eq(find("GET", path), ROUTE_FOUND);
    strcat(path, "a");
    cr_assert_eq(find("GET", path), ROUTE_NO_PATH);
}

Test(route, what_changes_something_is_never_open_to_everyone)
{
    for (uint32_t i = 0; i < route_count(); i++) {
        const struct route *route = route_at(i);

        if (strcmp(route->method, "POST") == 0) {
            cr_expect_gt(route->right, API_LOOK, "%s", route->path);
            cr_expect_gt(route->body_bytes_max, 0, "%s", route->path);
        } else {
            cr_expect_eq(route->right, API_LOOK, "%s", route->path);
            cr_expect_eq(route->body_bytes_max, 0, "%s", route->path);
        }
    }
}

Test(route, membership_is_for_root)
{
    static const char *const paths[] = {"/v1/community", "/v1/community/sign", "/v1/join",
                                        "/v1/leave",     "/v1/expulsions",     "/v1/revocations"};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const struct route *route = NULL;

        cr_assert_eq(route_find("POST", paths[i], &route, parameters), ROUTE_FOUND);
        cr_expect_eq(route->right, API_GOVERN, "%s", paths[i]);
    }
}
