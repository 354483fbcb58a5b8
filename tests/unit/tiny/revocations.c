// SPDX-License-Identifier: GPL-3.0-or-later
/* Room for four revocations: which goes for a fifth, when, and that all come to the same ones. */
#include "../overlay/network.h"
#include "overlay/members/admission.h"
#include "overlay/state.h"

#define DAY_S ((uint64_t)86400)

static size_t sign_revocation(uint32_t invitation, uint64_t revoked_unix_s, uint64_t expires_unix_s,
                              uint8_t encoded_out[BAN_BYTES_MAX])
{
    minga_Revocation body = minga_Revocation_init_zero;
    minga_Signed envelope = minga_Signed_init_zero;
    struct public_key community = keys_public(&net.community_key);
    struct secret_key secret = test_key("invitation", invitation);
    struct public_key key = keys_public(&secret);
    int length;

    memcpy(body.community, community.bytes, 32);
    memcpy(body.invitation_key, key.bytes, 32);
    body.revoked_unix_s = revoked_unix_s;
    body.expires_unix_s = expires_unix_s;
    cr_assert_eq(signed_make(minga_Revocation_fields, &body, PURPOSE_REVOCATION, &net.community_key,
                             &envelope),
                 0);
    length = signed_encode(&envelope, encoded_out, BAN_BYTES_MAX);
    cr_assert_gt(length, 0);
    return (size_t)length;
}

/* Of an invitation that expired so many days ago; 0: nobody knows when. */
static int revoke(uint32_t by, uint32_t invitation, uint64_t expired_days)
{
    struct overlay_event now = now_event();
    uint8_t encoded[BAN_BYTES_MAX];
    size_t length =
        sign_revocation(invitation, net.wall_unix_s - 1000 * DAY_S,
                        expired_days == 0 ? 0 : net.wall_unix_s - expired_days * DAY_S, encoded);
    int r = overlay_revoke(net.nodes[by].overlay, &now, 0, (struct bytes){encoded, length},
                           &net.nodes[by].effects);

    perform(by);
    run_for(1000);
    return r;
}

static struct id point_of(uint32_t invitation)
{
    struct secret_key secret = test_key("invitation", invitation);
    struct public_key key = keys_public(&secret);

    return membership_invitation_id(&key);
}

static bool is_revoked_at(uint32_t node, uint32_t invitation)
{
    struct id point = point_of(invitation);

    return membership_banned(&net.nodes[node].overlay->membership.revocations, &point) != NULL;
}

static uint32_t count_blobs(uint32_t node)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < net.nodes[node].blob_count; i++) {
        count += net.nodes[node].blobs[i].kind == BLOB_REVOCATION ? 1 : 0;
    }
    return count;
}

Test(revocations, in_a_full_table_that_goes_whose_invitation_expired_first)
{
    make_members(3);
    run_for(3000);
    cr_assert_eq(revoke(0, 11, 95), 0);
    cr_assert_eq(revoke(0, 12, 100), 0);
    cr_assert_eq(revoke(0, 13, 1), 0);
    cr_assert_eq(revoke(0, 14, 91), 0);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(is_revoked_at(i, 11) && is_revoked_at(i, 12) && is_revoked_at(i, 13) &&
                  is_revoked_at(i, 14));
    }
    cr_assert_eq(revoke(1, 15, 92), 0);
    cr_assert_eq(revoke(2, 16, 2), 0);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_not(is_revoked_at(i, 12), "node %u: 100 days", i);
        cr_assert_not(is_revoked_at(i, 11), "then 95");
        cr_assert(is_revoked_at(i, 13) && is_revoked_at(i, 14) && is_revoked_at(i, 15) &&
                  is_revoked_at(i, 16));
        cr_assert_eq(count_blobs(i), BANS_MAX, "what is forgotten is not on the disk, either");
    }
    cr_assert_eq(revoke(0, 12, 100), -ENOSPC, "it would be the first to go");
    kill_node(1, false);
    start_node(1);
    run_for(3000);
    cr_assert(is_revoked_at(1, 16));
    cr_assert(id_equal(&net.nodes[0].overlay->membership.digest_bans,
                       &net.nodes[1].overlay->membership.digest_bans));
    end_network();
}

Test(revocations, none_goes_before_90_days_nor_one_that_does_not_say_when_it_expired)
{
    make_members(1);
    run_for(3000);
    cr_assert_eq(revoke(0, 11, 0), 0);
    cr_assert_eq(revoke(0, 12, 89), 0);
    cr_assert_eq(revoke(0, 13, 90), 0);
    cr_assert_eq(revoke(0, 14, 1), 0);
    net.wall_unix_s -= 100; /* still less than 90 days, by the node's clock */
    cr_assert_eq(revoke(0, 15, 1), -ENOSPC);
    net.wall_unix_s += 100 + 1;
    cr_assert_eq(revoke(0, 15, 1), 0);
    cr_assert_not(is_revoked_at(0, 13));
    cr_assert(is_revoked_at(0, 11) && is_revoked_at(0, 12) && is_revoked_at(0, 14));
    end_network();
}

Test(revocations, whoever_was_away_comes_to_the_same_ones_as_the_others)
{
    make_members(3);
    run_for(3000);
    for (uint32_t i = 0; i < BANS_MAX; i++) {
        cr_assert_eq(revoke(0, 11 + i, 100 + i), 0);
    }
    kill_node(2, false);
    run_for(3000);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(revoke(0, 21 + i, 50), 0);
    }
    start_node(2);
    run_for(20000);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(is_revoked_at(i, 11), "node %u: 100 days, the last of the old ones", i);
        cr_assert(is_revoked_at(i, 21) && is_revoked_at(i, 22) && is_revoked_at(i, 23));
        cr_assert_eq(count_blobs(i), BANS_MAX);
    }
    end_network();
}

/* Without the field, as an older minga signs it, and with one that cannot be. */
Test(revocations, an_expiry_that_is_absent_or_mistaken_makes_none_go_early)
{
    uint8_t encoded[BAN_BYTES_MAX];
    struct public_key community;
    struct ban ban;
    size_t length;

    make_community();
    community = keys_public(&net.community_key);
    length = sign_revocation(1, 5000, 0, encoded);
    cr_assert_eq(admission_open_revocation((struct bytes){encoded, length}, &community, &ban), 0);
    cr_assert_eq(ban.over_unix_s, 0);
    length = sign_revocation(1, 5000, 7000, encoded);
    cr_assert_eq(admission_open_revocation((struct bytes){encoded, length}, &community, &ban), 0);
    cr_assert_eq(ban.over_unix_s, 7000);
    length = sign_revocation(1, 5000, 1, encoded);
    cr_assert_eq(admission_open_revocation((struct bytes){encoded, length}, &community, &ban), 0);
    cr_assert_eq(ban.over_unix_s, 5000, "not before it was revoked");
}

Test(revocations, two_full_tables_do_not_take_turns)
{
    struct membership *membership = calloc(1, sizeof(*membership));
    struct ban comes = {.key.bytes = {9}, .over_unix_s = 500};
    const struct ban *outlived;
    const uint64_t wall_unix_s = 1000 * DAY_S;

    for (uint32_t i = 0; i < BANS_MAX; i++) {
        struct ban ban = {.key.bytes = {(uint8_t)(i + 1)}, .over_unix_s = 500};

        cr_assert_null(membership_outlived(membership, &comes, wall_unix_s), "there is room");
        cr_assert_eq(membership_ban(membership, &membership->revocations, &ban), 1);
    }
    outlived = membership_outlived(membership, &comes, wall_unix_s);
    cr_assert_eq(outlived, &membership->revocations.list[0], "of two alike the lower one");
    comes.key = outlived->key;
    cr_assert_null(membership_outlived(membership, &comes, wall_unix_s), "it is there");
    membership_unban(membership, &membership->revocations, &outlived->key);
    cr_assert_null(membership_banned(&membership->revocations, &comes.key));
    cr_assert_eq(membership->revocations.count, BANS_MAX - 1);
    comes.key.bytes[0] = 9;
    cr_assert_eq(membership_ban(membership, &membership->revocations, &comes), 1);
    comes.key.bytes[0] = 1;
    cr_assert_null(membership_outlived(membership, &comes, wall_unix_s), "it does not come back");
    comes.over_unix_s = 501;
    cr_assert_not_null(membership_outlived(membership, &comes, wall_unix_s));
    free(membership);
}
