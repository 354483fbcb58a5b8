// SPDX-License-Identifier: GPL-3.0-or-later
/* Frames between a leaf and its relay. */
#include "agent/mingad/relays/relay_seal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static const uint8_t secret[RELAY_SECRET_BYTES] = "of the two";
static const uint8_t nonce_a[RELAY_NONCE_BYTES] = "leaf's";
static const uint8_t nonce_b[RELAY_NONCE_BYTES] = "relay's";

static void make_both(struct relay_seal *leaf, struct relay_seal *relay)
{
    relay_seal_init(leaf, secret, (struct relay_nonces){nonce_a, nonce_b}, true);
    relay_seal_init(relay, secret, (struct relay_nonces){nonce_a, nonce_b}, false);
}

static struct bytes text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

Test(relay_seal, what_one_seals_the_other_opens_both_ways_in_order)
{
    struct relay_seal leaf;
    struct relay_seal relay;
    struct relay_opened opened;
    uint8_t frame[RELAY_FRAME_BYTES_MAX];

    make_both(&leaf, &relay);
    for (int i = 0; i < 3; i++) {
        size_t length = relay_seal_frame(&leaf, RELAY_DATA, text("beans"), frame);

        cr_assert_eq(relay_open_frame(&relay, (struct bytes){frame, length}, &opened), (int)length);
        cr_assert_eq(opened.type, RELAY_DATA);
        cr_assert_eq(relay_body(&opened).length_bytes, 5);
        cr_assert_eq(memcmp(relay_body(&opened).data, "beans", 5), 0);
        length = relay_seal_frame(&relay, RELAY_END, (struct bytes){0}, frame);
        cr_assert_eq(relay_open_frame(&leaf, (struct bytes){frame, length}, &opened), (int)length);
        cr_assert_eq(opened.type, RELAY_END);
        cr_assert_eq(relay_body(&opened).length_bytes, 0);
    }
}

Test(relay_seal, the_longest_body_fits_and_a_part_of_a_frame_waits_for_the_rest)
{
    static uint8_t body[RELAY_BODY_BYTES_MAX];
    static uint8_t frame[RELAY_FRAME_BYTES_MAX];
    static struct relay_opened opened;
    struct relay_seal leaf;
    struct relay_seal relay;

    make_both(&leaf, &relay);
    size_t length = relay_seal_frame(&leaf, RELAY_DATA, (struct bytes){body, sizeof(body)}, frame);

    cr_assert_eq(length, RELAY_FRAME_BYTES_MAX);
    for (size_t part = 0; part < length; part += 977) {
        cr_assert_eq(relay_open_frame(&relay, (struct bytes){frame, part}, &opened), 0);
    }
    cr_assert_eq(relay_open_frame(&relay, (struct bytes){frame, length}, &opened), (int)length);
    cr_assert_eq(opened.body_bytes, RELAY_BODY_BYTES_MAX);
}

Test(relay_seal, a_changed_a_repeated_and_an_overlong_frame_are_refused)
{
    struct relay_seal leaf;
    struct relay_seal relay;
    struct relay_opened opened;
    uint8_t frame[RELAY_FRAME_BYTES_MAX];

    make_both(&leaf, &relay);
    size_t length = relay_seal_frame(&leaf, RELAY_DATA, text("beans"), frame);
    struct bytes whole = {frame, length};

    for (size_t i = 2; i < length; i++) {
        frame[i] ^= 1;
        cr_assert_eq(relay_open_frame(&relay, whole, &opened), -EBADMSG, "byte %zu", i);
        frame[i] ^= 1;
    }
    cr_assert_eq(relay_open_frame(&relay, whole, &opened), (int)length);
    cr_assert_eq(relay_open_frame(&relay, whole, &opened), -EBADMSG, "again");
    cr_assert_eq(relay_open_frame(&leaf, whole, &opened), -EBADMSG, "to its sender");
    cr_assert_eq(relay_open_frame(&relay, (struct bytes){(const uint8_t *)"\xff\xff", 2}, &opened),
                 -EBADMSG);
    cr_assert_eq(relay_open_frame(&relay, (struct bytes){(const uint8_t *)"\0\x10", 2}, &opened),
                 -EBADMSG);
}

Test(relay_seal, what_was_said_on_another_connection_does_not_open)
{
    struct relay_seal leaf;
    struct relay_seal relay;
    struct relay_opened opened;
    uint8_t frame[RELAY_FRAME_BYTES_MAX];

    relay_seal_init(&leaf, secret, (struct relay_nonces){nonce_a, nonce_b}, true);
    relay_seal_init(&relay, secret, (struct relay_nonces){nonce_a, nonce_a}, false);
    size_t length = relay_seal_frame(&leaf, RELAY_READY, (struct bytes){0}, frame);

    cr_assert_eq(relay_open_frame(&relay, (struct bytes){frame, length}, &opened), -EBADMSG);
}

Test(relay_seal, a_greeting_says_who_and_another_magic_is_none)
{
    struct relay_hello hello = {.leaf.id.bytes = {7}, .nonce = {9}};
    struct relay_hello read = {0};
    uint8_t bytes[RELAY_HELLO_BYTES];

    relay_hello_write(&hello, bytes);
    cr_assert(relay_hello_read(bytes, &read));
    cr_assert_eq(memcmp(&hello, &read, sizeof(hello)), 0);
    bytes[0] ^= 1;
    cr_assert_not(relay_hello_read(bytes, &read));
}
