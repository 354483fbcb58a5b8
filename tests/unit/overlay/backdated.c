// SPDX-License-Identifier: GPL-3.0-or-later
/* The date of an admission is its countersigner's word alone: what a false one does not do. And whatever
 * comes first, all members come to the same. */
#include "network.h"
#include "overlay/state.h"

enum { PAPERS_MAX = 16, REQUEST_BYTES_MAX = 768, FOUNDER = 0, A, B, C, M, X, K, COUNT };

struct paper {
    minga_ItemKind kind;
    uint8_t bytes[ADMISSION_BYTES_MAX];
    size_t length_bytes;
};

static struct paper papers[PAPERS_MAX];
static uint32_t paper_count;
static uint64_t today; /* all clocks are right, if not said otherwise */

/* Node 0 is a member, and hears of the others. */
static struct overlay *begin(void)
{
    make_community();
    for (uint32_t i = 0; i < COUNT; i++) {
        add_node();
    }
    start_node(FOUNDER);
    found_community(FOUNDER);
    today = net.wall_unix_s;
    paper_count = 0;
    return net.nodes[FOUNDER].overlay;
}

static struct paper *new_paper(minga_ItemKind kind)
{
    cr_assert_lt(paper_count, PAPERS_MAX);
    papers[paper_count].kind = kind;
    return &papers[paper_count++];
}

/* Refers to `bytes`. */
static struct admission_request request_of(uint32_t index, const struct test_invitation *invitation,
                                           uint8_t bytes[REQUEST_BYTES_MAX])
{
    struct secret_key owner = test_key("owner", index);
    struct bytes body = {bytes, make_request(index, invitation, bytes, REQUEST_BYTES_MAX)};

    return (struct admission_request){
        body, keys_sign(&net.nodes[index].config.node_key, PURPOSE_ADMISSION, body),
        keys_sign(&owner, PURPOSE_ADMISSION, body),
        keys_sign(&invitation->key, PURPOSE_ADMISSION, body)};
}

static const struct paper *admission_of(uint32_t index, const struct test_invitation *invitation,
                                        uint32_t by, uint64_t admitted_unix_s)
{
    struct paper *paper = new_paper(minga_ItemKind_ITEM_ADMISSION);
    uint8_t bytes[REQUEST_BYTES_MAX];
    struct admission_request request = request_of(index, invitation, bytes);
    int length = admission_countersign(&request, &net.nodes[by].config.node_key, admitted_unix_s,
                                       paper->bytes);

    cr_assert_gt(length, 0);
    paper->length_bytes = (size_t)length;
    return paper;
}

static const struct paper *expulsion_of(uint32_t index)
{
    struct paper *paper = new_paper(minga_ItemKind_ITEM_EXPULSION);

    paper->length_bytes = sign_expulsion(index, today + 1000, paper->bytes);
    return paper;
}

/* Was it news? */
static bool tell(const struct paper *paper)
{
    struct overlay *overlay = net.nodes[FOUNDER].overlay;
    struct overlay_event now = now_event();
    minga_Item item = minga_Item_init_zero;
    bool is_new;

    item.kind = paper->kind;
    memcpy(item.content.bytes, paper->bytes, paper->length_bytes);
    item.content.size = (pb_size_t)paper->length_bytes;
    state_enter(overlay, now.now_ms, now.wall_unix_s, &net.nodes[FOUNDER].effects);
    is_new = gossip_apply(overlay, &item);
    state_leave(overlay);
    return is_new;
}

static const struct member *find(uint32_t index)
{
    const struct membership *membership = &net.nodes[FOUNDER].overlay->membership;
    int known = membership_find(membership, &net.nodes[index].id);

    return known == MEMBER_NONE ? NULL : &membership->list[known];
}

static bool stands(uint32_t index)
{
    const struct member *member = find(index);

    return member != NULL && member->view.state != MEMBER_EXPELLED;
}

static bool stands_by(uint32_t index, const struct paper *paper)
{
    const struct member *member = find(index);

    return member != NULL && member->admission_bytes == paper->length_bytes &&
           memcmp(member->admission, paper->bytes, paper->length_bytes) == 0;
}

Test(backdated, nothing_is_dated_before_its_invitation_but_by_a_clock_that_is_slow)
{
    struct test_invitation invitation;

    begin();
    net.wall_unix_s += 10000;
    invitation = make_invitation(1, today + 20000, 0);
    (void)tell(admission_of(A, &invitation, FOUNDER, today + 9999 - CLOCK_SKEW_S_MAX));
    cr_assert_not(stands(A));
    (void)tell(admission_of(A, &invitation, FOUNDER, today + 10000 - CLOCK_SKEW_S_MAX));
    cr_assert(stands(A));
    end_network();
}

Test(backdated, a_member_takes_no_use_from_whom_came_before_itself)
{
    static const uint64_t dates[] = {1, 5, 39, 40};
    struct test_invitation invitation;

    begin();
    invitation = make_invitation(1, today + 10000, 4);
    for (uint32_t i = A; i <= M; i++) {
        (void)tell(admission_of(i, &invitation, FOUNDER, today + 10 * i));
    }
    (void)tell(admission_of(K, &invitation, M, 1));
    for (uint32_t i = 0; i < 4; i++) {
        (void)tell(admission_of(K, &invitation, M, today + dates[i]));
        cr_assert_null(find(K), "dated %d", (int)dates[i]);
    }
    cr_assert(tell(admission_of(K, &invitation, M, today + 41)));
    cr_assert_not(stands(K), "void");
    for (uint32_t i = A; i <= M; i++) {
        cr_assert(stands(i), "node %u", i);
    }
    end_network();
}

/* A chain of invented members goes back in time no more than one does. */
Test(backdated, nor_do_those_whom_it_invents)
{
    struct test_invitation limited;
    struct test_invitation any;

    begin();
    limited = make_invitation(1, today + 10000, 1);
    any = make_invitation(2, today + 10000, 0);
    (void)tell(admission_of(A, &limited, FOUNDER, today + 1000));
    (void)tell(admission_of(M, &any, FOUNDER, today + 1100));
    (void)tell(admission_of(X, &any, M, today + 1050));
    (void)tell(admission_of(K, &limited, X, today + 990));
    cr_assert_null(find(X));
    cr_assert_null(find(K));
    cr_assert(stands(A));
    end_network();
}

Test(backdated, nobody_hangs_on_whom_it_has_let_in)
{
    struct test_invitation invitation;
    struct overlay *overlay = begin();
    struct chain_link links[CHAIN_MAX];
    const struct paper *honest;

    invitation = make_invitation(1, today + 10000, 5);
    (void)tell(admission_of(B, &invitation, FOUNDER, today + 10));
    honest = admission_of(A, &invitation, B, today + 20);
    (void)tell(honest);
    (void)tell(admission_of(M, &invitation, A, today + 30));
    cr_assert_not(tell(admission_of(A, &invitation, M, 1)));
    for (uint64_t date = today + 11; date <= today + 30; date++) {
        paper_count--;
        cr_assert_not(tell(admission_of(A, &invitation, M, date)));
    }
    cr_assert(stands_by(A, honest));
    cr_assert_eq(chain_from(overlay, &find(M)->countersigner, links), 3);
    cr_assert(tell(admission_of(A, &invitation, B, today + 12)), "who came before it may");
    end_network();
}

Test(backdated, who_came_too_late_does_not_when_others_were_expelled)
{
    struct test_invitation invitation;
    struct overlay *overlay = begin();
    struct public_key key;

    invitation = make_invitation(1, today + 10000, 3);
    key = keys_public(&invitation.key);
    (void)tell(admission_of(M, &invitation, FOUNDER, today + 10));
    (void)tell(admission_of(A, &invitation, FOUNDER, today + 20));
    (void)tell(admission_of(B, &invitation, FOUNDER, today + 30));
    (void)tell(admission_of(X, &invitation, M, today + 11));
    cr_assert(stands(A) && !stands(B));
    (void)tell(admission_of(K, &invitation, M, today + 12));
    cr_assert(!stands(A) && !stands(B));
    (void)tell(expulsion_of(X));
    cr_assert(stands(A) && !stands(B));
    (void)tell(expulsion_of(K));
    cr_assert(stands(A) && stands(B));
    cr_assert_eq(membership_uses(&overlay->membership, &key), 5, "no use is free again");
    end_network();
}

/* ------------------------------------------------------------------ by another invitation */

static int judge(uint32_t index, const struct test_invitation *invitation, char *reason_out)
{
    const struct overlay *overlay = net.nodes[FOUNDER].overlay;
    uint8_t bytes[REQUEST_BYTES_MAX];
    struct admission_request request = request_of(index, invitation, bytes);
    struct admission_verdict verdict = {0};
    int r = admission_judge(&overlay->membership, &overlay->community, &request, today, &verdict);

    strcpy(reason_out, verdict.reason);
    return r;
}

Test(backdated, a_void_member_comes_in_by_another_invitation)
{
    struct test_invitation once;
    struct test_invitation other;
    char reason[REASON_CHARS_MAX + 1];
    const struct paper *second;
    uint64_t check;

    begin();
    once = make_invitation(1, today + 10000, 1);
    other = make_invitation(2, today + 10000, 1);
    (void)tell(admission_of(A, &once, FOUNDER, today + 10));
    (void)tell(admission_of(B, &once, FOUNDER, today + 20));
    cr_assert_not(stands(B));
    cr_assert_eq(judge(B, &once, reason), -EACCES);
    cr_assert_str_eq(reason, "the invitation has been used up (2 of 1)");
    cr_assert_eq(judge(B, &other, reason), 0);
    cr_assert_lt(membership_version(find(B), false, &check), UINT64_MAX - (today + 1000),
                 "it goes behind what may come");
    second = admission_of(B, &other, FOUNDER, today + 1000);
    cr_assert(tell(second));
    cr_assert(stands(B) && stands_by(B, second));
    cr_assert_not(tell(&papers[1]), "the void one does not come back");
    (void)tell(admission_of(C, &other, FOUNDER, today + 1001));
    cr_assert_not(stands(C), "its use is taken");
    cr_assert_eq(judge(A, &other, reason), 0, "a member is answered with what it has");
    (void)tell(admission_of(K, &once, C, today + 1002));
    cr_assert_eq(judge(C, &once, reason), -EACCES);
    cr_assert_not_null(strstr(reason, "has let others in"));
    end_network();
}

Test(backdated, the_newcomer_of_two_tokens_is_a_member_for_all)
{
    struct test_invitation once;
    struct test_invitation other;

    make_members(4);
    run_for(3000);
    today = net.wall_unix_s;
    once = make_invitation(1, today + 10000, 1);
    other = make_invitation(2, today + 10000, 0);
    start_node(add_node());
    join_node(4, 1, &once, 1);
    run_for(2000);
    cr_assert_eq(net.nodes[4].done[1].outcome, OVERLAY_OK);
    start_node(add_node());
    (void)tell(admission_of(5, &once, FOUNDER, net.wall_unix_s + 100)); /* as after a split */
    join_node(5, 1, &once, 1);
    run_for(15000);
    cr_assert_eq(net.nodes[5].done[1].outcome, OVERLAY_REFUSED);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(state_at(i, 5), MEMBER_EXPELLED, "node %u: %d", i, (int)state_at(i, 5));
    }
    join_node(5, 1, &other, 2);
    run_for(5000);
    cr_assert_eq(net.nodes[5].done[2].outcome, OVERLAY_OK, "%s", net.nodes[5].done[2].reason);
    cr_assert_eq(state_at(3, 5), MEMBER_UP);
    cr_assert(all_agree());
    end_network();
}

/* ------------------------------------------------------------------ clocks that are wrong */

Test(backdated, who_lets_in_by_a_slow_clock_dates_by_what_it_rests_on)
{
    struct test_invitation invitation;
    struct admission asked = {.created_unix_s = 5000};

    cr_assert_eq(admission_date(&asked, 4000, 6000), 6000);
    cr_assert_eq(admission_date(&asked, 4000, 10), 5000);
    cr_assert_eq(admission_date(&asked, 7000, 10), 7001);
    cr_assert_eq(admission_date(&asked, 7000, 7000), 7001);
    make_members(2);
    run_for(3000);
    invitation = make_invitation(1, net.wall_unix_s + 10000, 0);
    net.wall_unix_s = 1000; /* as before a machine without a battery has asked for the time */
    start_node(add_node());
    join_node(2, 1, &invitation, 1);
    run_for(3000);
    cr_assert_eq(net.nodes[2].done[1].outcome, OVERLAY_OK, "%s", net.nodes[2].done[1].reason);
    cr_assert(all_agree());
    end_network();
}

/* ------------------------------------------------------------------ in any order */

struct verdict {
    struct id digest;
    bool is_known[COUNT];
    bool stands[COUNT];
};

static struct verdict verdict(void)
{
    struct verdict verdict = {.digest = net.nodes[FOUNDER].overlay->membership.digest_admissions};

    for (uint32_t i = 0; i < COUNT; i++) {
        verdict.is_known[i] = find(i) != NULL;
        verdict.stands[i] = stands(i);
    }
    return verdict;
}

/* Again and again, as comparisons do: what was refused comes again. */
static struct verdict tell_all(const uint32_t *order)
{
    struct verdict before;
    struct verdict now = verdict();
    uint32_t passes = 0;

    do {
        before = now;
        for (uint32_t i = 0; i < paper_count; i++) {
            (void)tell(&papers[order[i]]);
        }
        now = verdict();
        cr_assert_leq(++passes, 8, "it comes to an end");
    } while (memcmp(&now, &before, sizeof(now)) != 0);
    return now;
}

static void write_story(bool has_expulsion)
{
    struct test_invitation limited = make_invitation(1, today + 10000, 2);
    struct test_invitation once = make_invitation(2, today + 10000, 1);
    struct test_invitation any = make_invitation(3, today + 10000, 0);

    (void)admission_of(A, &limited, FOUNDER, today + 10);
    (void)admission_of(A, &limited, M, today + 50); /* on the other side of a split */
    (void)admission_of(C, &limited, FOUNDER, today + 20);
    (void)admission_of(B, &limited, FOUNDER, today + 30); /* one too many */
    (void)admission_of(M, &any, A, today + 40);
    (void)admission_of(M, &any, FOUNDER, today + 60);
    (void)admission_of(X, &any, M, today + 45); /* by what M showed first */
    (void)admission_of(X, &any, A, today + 70);
    (void)admission_of(A, &limited, M, 1);          /* a lie */
    (void)admission_of(C, &limited, X, today + 15); /* another one */
    (void)admission_of(K, &limited, M, today + 5);  /* and a third */
    (void)admission_of(K, &limited, X, today + 46); /* void */
    (void)admission_of(B, &once, X, today + 80);    /* therefore */
    if (has_expulsion) {
        (void)expulsion_of(C);
    }
}

static void shuffle(uint32_t *order, struct random *random)
{
    for (uint32_t i = 0; i < paper_count; i++) {
        uint32_t place = (uint32_t)random_below(random, i + 1);

        order[i] = order[place];
        order[place] = i;
    }
}

static void check_orders(bool has_expulsion)
{
    struct overlay *overlay = begin();
    struct overlay *fresh = malloc(sizeof(*fresh));
    struct verdict first = {0};
    struct random random;

    random_init(&random, 1, "orders");
    cr_assert_not_null(fresh);
    memcpy(fresh, overlay, sizeof(*fresh));
    write_story(has_expulsion);
    for (uint32_t round = 0; round < 60; round++) {
        uint32_t order[PAPERS_MAX];
        struct verdict now;

        shuffle(order, &random);
        memcpy(overlay, fresh, sizeof(*overlay));
        now = tell_all(order);
        first = round == 0 ? now : first;
        cr_assert_eq(memcmp(&now, &first, sizeof(now)), 0, "round %u", round);
        cr_assert(now.stands[A] && now.stands[M] && now.stands[X] && now.stands[B]);
        cr_assert_eq(now.stands[C], !has_expulsion);
        cr_assert(now.is_known[K] && !now.stands[K]);
        cr_assert(stands_by(A, &papers[0]) && stands_by(M, &papers[4]) && stands_by(X, &papers[6]));
        cr_assert(stands_by(B, has_expulsion ? &papers[3] : &papers[12]));
    }
    free(fresh);
    end_network();
}

Test(backdated, whatever_comes_first_all_come_to_the_same)
{
    check_orders(false);
}

Test(backdated, whatever_comes_first_also_when_somebody_was_expelled)
{
    check_orders(true);
}
