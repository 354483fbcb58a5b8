// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/transport/addresses.h"

#include <criterion/criterion.h>
#include <string.h>

#include "agent/mingad/user.h"

static struct config config_of(const char *yaml)
{
    struct config config;
    struct err err = {0};

    cr_assert_eq(config_parse(bytes_of_text(yaml), "minga.yaml", &config, &err), 0, "%s", err.text);
    return config;
}

Test(addresses, what_the_owner_says_is_taken_as_it_is)
{
    struct config config = config_of("network: {advertise: \"oak.example:7500\"}\n");
    struct addresses addresses;

    addresses_find(&config, &addresses);
    cr_assert_eq(addresses.count, 1);
    cr_assert_str_eq(addresses.list[0], "oak.example:7500");
    config = config_of("network: {advertise: none}\n");
    addresses_find(&config, &addresses);
    cr_assert_eq(addresses.count, 0);
}

Test(addresses, a_single_address_that_is_listened_on_is_the_one)
{
    struct config config = config_of("network: {listen: \"10.1.2.3:7500\"}\n");
    struct addresses addresses;

    addresses_find(&config, &addresses);
    cr_assert_eq(addresses.count, 1);
    cr_assert_str_eq(addresses.list[0], "10.1.2.3:7500");
    config = config_of("network: {listen: \"[fd00::1]:7500\"}\n");
    addresses_find(&config, &addresses);
    cr_assert_str_eq(addresses.list[0], "[fd00::1]:7500");
}

Test(addresses, otherwise_the_machine_has_at_least_one_each_once)
{
    struct config config = config_of("");
    struct addresses addresses;

    addresses_find(&config, &addresses);
    cr_assert_gt(addresses.count, 0);
    cr_assert_leq(addresses.count, ADDRESSES_MAX);
    for (size_t i = 0; i < addresses.count; i++) {
        const char *colon = strrchr(addresses.list[i], ':');

        cr_assert_not_null(colon);
        cr_assert_str_eq(colon, ":7400");
        for (size_t j = 0; j < i; j++) {
            cr_assert_str_neq(addresses.list[i], addresses.list[j]);
        }
    }
}

Test(user, root_and_unknown_names_are_refused_numbers_are_taken)
{
    struct user user;
    struct err err = {0};

    cr_assert_lt(user_find("root", &user, &err), 0);
    cr_assert_lt(user_find("0", &user, &err), 0);
    cr_assert_lt(user_find("nobody-of-this-name", &user, &err), 0);
    cr_assert_neq(err.hint[0], '\0');
    cr_assert_eq(user_find("54321", &user, &err), 0, "%s", err.text);
    cr_assert_eq(user.uid, 54321);
    cr_assert_eq(user.gid, 54321);
    cr_assert_eq(user_find("minga", &user, &err), 0, "%s", err.text);
    cr_assert_neq(user.uid, 0);
}
