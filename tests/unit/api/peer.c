// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/api/peer.h"

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GROUP = 700, OWN_UID = 64321 };

static struct api_peer peer_of(uid_t uid, gid_t gid, gid_t other)
{
    struct api_peer peer = {.known = true, .uid = uid, .gid = gid, .group_count = 1};

    peer.groups[0] = other;
    return peer;
}

Test(peer, every_row_of_the_table_of_rights)
{
    static const struct {
        uid_t uid;
        gid_t gid;
        gid_t other;
        bool may[3]; /* look, act, govern */
    } rows[] = {
        {0, 0, 0, {true, true, true}},
        {OWN_UID, 1000, 1000, {true, true, true}},
        {1000, GROUP, 1000, {true, true, false}},
        {1000, 1000, GROUP, {true, true, false}},
        {1000, 1000, 1000, {true, false, false}},
        {65534, 65534, 65534, {true, false, false}},
        {1000, 0, 0, {true, false, false}}, /* root's group is not root */
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_peer peer = peer_of(rows[i].uid, rows[i].gid, rows[i].other);

        for (int right = API_LOOK; right <= API_GOVERN; right++) {
            cr_expect_eq(peer_may(&peer, (enum api_right)right, GROUP, OWN_UID), rows[i].may[right],
                         "row %zu right %d", i, right);
        }
    }
}

Test(peer, without_a_group_minga_no_group_may_act)
{
    struct api_peer peer = peer_of(1000, (gid_t)-1, (gid_t)-1);

    cr_assert(!peer_may(&peer, API_ACT, (gid_t)-1, OWN_UID));
}

Test(peer, one_of_whom_the_kernel_tells_nothing_may_only_look)
{
    struct api_peer peer = {.known = false, .uid = 0};

    cr_assert(peer_may(&peer, API_LOOK, GROUP, OWN_UID));
    cr_assert(!peer_may(&peer, API_ACT, GROUP, OWN_UID));
    cr_assert(!peer_may(&peer, API_GOVERN, GROUP, OWN_UID));
}

Test(peer, the_kernel_says_who_is_at_the_other_end)
{
    struct api_peer peer;
    gid_t groups[API_GROUPS_MAX];
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    peer_read(fds[0], &peer);
    cr_assert(peer.known);
    cr_assert_eq(peer.uid, geteuid());
    cr_assert_eq(peer.gid, getegid());
    cr_assert_eq((int)peer.group_count, getgroups(API_GROUPS_MAX, groups));
    close(fds[0]);
    close(fds[1]);
}

Test(peer, what_is_no_socket_is_unknown)
{
    struct api_peer peer;

    peer_read(STDIN_FILENO, &peer);
    cr_assert(!peer.known);
}
