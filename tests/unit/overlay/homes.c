// SPDX-License-Identifier: GPL-3.0-or-later
#include "overlay/chunks/homes.h"

#include <criterion/criterion.h>
#include <string.h>

/* 'u' up, 'w' just went, 'a' away, 'g' gone; capitals are not steady. Answers with one character each:
 * 'h' a home, '-' none. */
static const char *homes(const char *lives, enum home_why *last_out)
{
    static char answer[64];
    struct homes_walk walk = {0};
    uint32_t i = 0;

    for (; lives[i] != '\0' && !homes_done(&walk); i++) {
        char letter = (char)(lives[i] | 0x20);
        enum home_life life = letter == 'u'   ? HOME_UP
                              : letter == 'w' ? HOME_WENT
                              : letter == 'a' ? HOME_AWAY
                                              : HOME_IS_GONE;

        answer[i] = homes_take(&walk, life, lives[i] == letter) ? 'h' : '-';
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

Test(homes, where_some_are_not_steady_two_that_are_have_it_too)
{
    enum home_why why;

    cr_assert_str_eq(homes("UuuU", NULL), "hhh");
    cr_assert_str_eq(homes("UUuUu", &why), "hhhhh");
    cr_assert_eq(why, HOME_FEW_UP);
    cr_assert_str_eq(homes("AAuAu", NULL), "hhhhh", "and nothing changes at night");
}

Test(homes, where_nobody_is_steady_six_are_enough)
{
    cr_assert_str_eq(homes("UUUUUUUU", NULL), "hhhhhh");
    cr_assert_str_eq(homes("UAAAAUUU", NULL), "hhhhhh");
}

Test(homes, one_that_went_some_minutes_ago_counts_as_up_and_two_do_not)
{
    cr_assert_str_eq(homes("uwauu", NULL), "hhh");
    cr_assert_str_eq(homes("uwwuu", NULL), "hhhh");
    cr_assert_str_eq(homes("wauu", NULL), "hhh");
    cr_assert_str_eq(homes("waauu", NULL), "hhhh");
}

Test(homes, a_life_ends_in_steps)
{
    cr_assert_eq(homes_life(0, false), HOME_UP);
    cr_assert_eq(homes_life(HOMES_RESTART_MS - 1, false), HOME_UP);
    cr_assert_eq(homes_life(HOMES_RESTART_MS, false), HOME_WENT);
    cr_assert_eq(homes_life(HOMES_LATELY_MS - 1, true), HOME_WENT);
    cr_assert_eq(homes_life(HOMES_LATELY_MS, false), HOME_AWAY);
    cr_assert_eq(homes_life(HOMES_LATELY_MS, true), HOME_IS_GONE);
}
