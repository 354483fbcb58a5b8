// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/homes.h"

#include <criterion/criterion.h>
#include <string.h>

/* 'u' up, 'a' away, 'g' gone; answers with one character each: 'h' a home, '-' none. */
static const char *homes(const char *lives, enum home_why *last_out)
{
    static char answer[64];
    struct homes_walk walk = {0};
    uint32_t i = 0;

    for (; lives[i] != '\0' && !homes_done(&walk); i++) {
        enum home_life life = lives[i] == 'u'   ? HOME_UP
                              : lives[i] == 'a' ? HOME_AWAY
                                                : HOME_IS_GONE;

        answer[i] = homes_take(&walk, life) ? 'h' : '-';
    }
    answer[i] = '\0';
    if (last_out != NULL) {
        *last_out = homes_why(&walk);
    }
    return answer;
}

Test(homes, three_that_are_up_are_enough)
{
    enum home_why why;

    cr_assert_str_eq(homes("uuuuu", &why), "hhh");
    cr_assert_eq(why, HOME_LACKS);
}

Test(homes, one_that_sleeps_stays_counted)
{
    enum home_why why;

    cr_assert_str_eq(homes("auuuu", NULL), "hhh");
    cr_assert_str_eq(homes("uauuu", NULL), "hhh");
    cr_assert_str_eq(homes("uuauu", &why), "hhh");
    cr_assert_eq(why, HOME_LACKS);
}

Test(homes, when_one_alone_is_up_the_next_join_in_until_two_are)
{
    enum home_why why;

    cr_assert_str_eq(homes("auauu", &why), "hhhh");
    cr_assert_eq(why, HOME_FEW_UP);
    cr_assert_str_eq(homes("aaauauu", &why), "hhhhhh");
}

Test(homes, the_place_of_one_that_is_gone_is_taken)
{
    enum home_why why;

    cr_assert_str_eq(homes("guuuu", &why), "-hhh");
    cr_assert_eq(why, HOME_GONE);
    cr_assert_str_eq(homes("ugaguu", NULL), "h-h-h");
}

Test(homes, where_few_store_all_that_count_are_homes)
{
    cr_assert_str_eq(homes("a", NULL), "h");
    cr_assert_str_eq(homes("aga", NULL), "h-h");
}

Test(homes, a_run_has_an_end_whoever_sleeps)
{
    char lives[HOMES_MAX + 8];
    char all[HOMES_MAX + 1];

    memset(lives, 'a', sizeof(lives) - 1);
    lives[sizeof(lives) - 1] = '\0';
    memset(all, 'h', HOMES_MAX);
    all[HOMES_MAX] = '\0';
    cr_assert_str_eq(homes(lives, NULL), all);
}
