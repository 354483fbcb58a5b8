// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Raw ZMTP (RFC 23) and CurveZMQ (RFC 26): greetings and handshakes of all wrong forms, floods of
 * connections, links that are shaken and then misused.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/limits.h"
#include "tests/system/wire_attacker.h"
#include "tests/system/wire_curve.h"

enum {
    SILENT_COUNT = 400,
    PARTIAL_COUNT = 60,
    UNFINISHED_COUNT = 100,
    DEAF_COUNT = 4,
    ENDLESS_COUNT = 4,
    PIECE_BYTES = 1 << 20,
    GREETING_BYTES = 64,
};

/* Waits until it is connected, sends, and closes after a moment in which the other side reacts. */
static void say(struct attacker *attacker, const void *bytes, size_t length_bytes)
{
    int fd = attacker_dial(attacker);
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    char answer[256];

    if (fd < 0) {
        attacker_breathe();
        return;
    }
    if (poll(&wait, 1, 200) == 1 && send(fd, bytes, length_bytes, MSG_NOSIGNAL) > 0) {
        attacker->sent_count++;
        wait.events = POLLIN;
        if (poll(&wait, 1, 5) == 1 && recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0) {
            attacker->answered_count++;
        }
    }
    close(fd);
}

/* ------------------------------------------------------------------ greetings */

static const struct {
    const char *bytes;
    size_t length_bytes;
} greetings[] = {
#define GREETING(text)         \
    {                          \
        text, sizeof(text) - 1 \
    }
    GREETING("\x01\0"),                             /* ZMTP 1.0, anonymous */
    GREETING("\x05\0\0\0\0\x01"),                   /* 1.0, an identity of ours */
    GREETING("\xff\0\0\0\0\0\0\0\x01\x7f\x01\x05"), /* 2.0 */
    GREETING("\xff\0\0\0\0\0\0\0\x01\x7f\x02\x05"), /* 2.1 */
    GREETING("\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL"),
    GREETING("\xff\0\0\0\0\0\0\0\x01\x7f\x03\0PLAIN"),
    GREETING("\xff\0\0\0\0\0\0\0\x01\x7f\x03\0GSSAPI"),
    GREETING("\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01"
             "CURVELONGERTHANTWENTYBYTES"),
    GREETING("\xff\0\0\0\0\0\0\0\x01\x7f\x09\x09"
             "CURVE"),
    GREETING("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x03\x01"
             "CURVE"),
    GREETING("\xff"),
    GREETING("\xff\0\0\0\0\0\0\0\x01"),
    GREETING("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    GREETING("GET / HTTP/1.1\r\nHost: minga\r\n\r\n"),
    GREETING("SSH-2.0-OpenSSH_9.2p1\r\n"),
    GREETING("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"), /* TLS */
#undef GREETING
};

/* Each greeting alone, filled up with zeros, and with noise behind it. */
void attack_greetings(struct attacker *attacker)
{
    for (size_t i = 0; attacker_now_ms() < attacker->end_ms; i++) {
        size_t which = i / 3 % ARRAY_COUNT(greetings);
        uint8_t bytes[GREETING_BYTES + 512] = {0};
        size_t length_bytes = greetings[which].length_bytes;

        memcpy(bytes, greetings[which].bytes, length_bytes);
        if (i % 3 == 1) {
            length_bytes = GREETING_BYTES;
        } else if (i % 3 == 2) {
            length_bytes = sizeof(bytes);
            attacker_draw(bytes + GREETING_BYTES, sizeof(bytes) - GREETING_BYTES);
        }
        say(attacker, bytes, length_bytes);
    }
}

/* ------------------------------------------------------------------ handshakes */

static const uint8_t right_greeting[GREETING_BYTES] = {0xff, 0, 0, 0,   0,   0,   0,   0,  1,
                                                       0x7f, 3, 1, 'C', 'U', 'R', 'V', 'E'};

static const struct {
    const char *head; /* of the first frame: flags, length, command */
    size_t head_bytes;
    size_t noise_bytes;
} hellos[] = {
#define HELLO(text, noise)            \
    {                                 \
        text, sizeof(text) - 1, noise \
    }
    HELLO("\x04\xc8\x05HELLO\x01\0", 192),               /* a forged box */
    HELLO("\x04\xc8\x05HELLO\x02\0", 192),               /* another version of CurveZMQ */
    HELLO("\x04\xc7\x05HELLO\x01\0", 191),               /* too short */
    HELLO("\x04\xff\x05HELLO\x01\0", 247),               /* too long */
    HELLO("\x06\0\0\0\0\0\0\0\xc8\x05HELLO\x01\0", 192), /* a long frame for a short one */
    HELLO("\0\xc8\x05HELLO\x01\0", 192),                 /* a message, no command */
    HELLO("\x05\xc8\x05HELLO\x01\0", 192),               /* a command with more to come */
    HELLO("\x04\x04\xffHEL", 0),                         /* a name longer than the frame */
    HELLO("\x04\0", 0),                                  /* nothing */
    HELLO("\x04\x10\x07WELCOME", 8),                     /* the other side's words */
    HELLO("\x04\x10\x08INITIATE", 7),                    /* out of turn */
    HELLO("\x04\x20\x05READY", 26),
    HELLO("\x04\x20\x07MESSAGE", 24),
    HELLO("\x04\x07\x05"
          "ERROR\0",
          0),
    HELLO("\x04\x07\x04PING\0\x01", 0),
    HELLO("\x06\x7f\xff\xff\xff\xff\xff\xff\xff", 512), /* of 2^63 bytes */
    HELLO("\x06\xff\xff\xff\xff\xff\xff\xff\xff", 512),
    HELLO("\x06\0\0\0\0\x80\0\0\0", 512),     /* of 2 GiB */
    HELLO("\x06\0\0\0\0\0\x10\x10\x01", 512), /* one byte more than any may have */
    HELLO("\x02\0\0\0\0\0\x10\x10\0", 512),   /* just as many */
    HELLO("\xff\xff", 512),                   /* all flags */
    HELLO("\xf8\x20", 512),                   /* reserved flags */
#undef HELLO
};

void attack_hellos(struct attacker *attacker)
{
    for (size_t i = 0; attacker_now_ms() < attacker->end_ms; i++) {
        size_t which = i % ARRAY_COUNT(hellos);
        uint8_t bytes[GREETING_BYTES + 32 + 512];
        size_t length_bytes = GREETING_BYTES + hellos[which].head_bytes;

        memcpy(bytes, right_greeting, GREETING_BYTES);
        memcpy(bytes + GREETING_BYTES, hellos[which].head, hellos[which].head_bytes);
        attacker_draw(bytes + length_bytes, hellos[which].noise_bytes);
        say(attacker, bytes, length_bytes + hellos[which].noise_bytes);
    }
}

/* ------------------------------------------------------------------ floods of connections */

void attack_churn(struct attacker *attacker)
{
    while (attacker_now_ms() < attacker->end_ms) {
        int fd = attacker_dial(attacker);

        if (fd >= 0) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};

            (void)poll(&wait, 1, 5);
            attacker->sent_count++;
            close(fd);
        }
    }
}

/* A link of ours, or one with fd -1. */
static struct wire_curve shake(struct attacker *attacker)
{
    struct wire_curve link = {.fd = -1};
    int fd = attacker_dial(attacker);

    if (fd >= 0 && wire_curve_open(&link, fd, &attacker->curve, attacker->server_curve) == 0) {
        attacker->answered_count++;
    }
    return link;
}

void attack_shake(struct attacker *attacker)
{
    while (attacker_now_ms() < attacker->end_ms) {
        struct wire_curve link = shake(attacker);

        attacker->sent_count++;
        wire_curve_close(&link);
    }
}

static bool is_closed(const struct wire_curve *link)
{
    char byte;

    return link->fd < 0 || recv(link->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

/* Links that say nothing, as many as there can be; whichever is closed is opened again. */
void attack_silent(struct attacker *attacker)
{
    static struct wire_curve links[SILENT_COUNT];

    for (size_t i = 0; i < SILENT_COUNT; i++) {
        links[i].fd = -1;
    }
    while (attacker_now_ms() < attacker->end_ms) {
        for (size_t i = 0; i < SILENT_COUNT && attacker_now_ms() < attacker->end_ms; i++) {
            if (is_closed(&links[i])) {
                wire_curve_close(&links[i]);
                links[i] = shake(attacker);
                attacker->sent_count++;
            }
        }
        attacker_breathe();
    }
    for (size_t i = 0; i < SILENT_COUNT; i++) {
        wire_curve_close(&links[i]);
    }
}

/* ------------------------------------------------------------------ memory */

/* Frames as long as may be, of which the last byte never comes. */
void attack_partial(struct attacker *attacker)
{
    static struct wire_curve links[PARTIAL_COUNT];
    uint8_t head[9] = {2, 0, 0, 0, 0, 0, 0x10, 0x10, 0};
    uint8_t *piece = calloc(1, FRAME_BYTES_MAX);

    for (size_t i = 0; i < PARTIAL_COUNT; i++) {
        links[i].fd = -1;
    }
    while (piece != NULL && attacker_now_ms() < attacker->end_ms) {
        for (size_t i = 0; i < PARTIAL_COUNT && attacker_now_ms() < attacker->end_ms; i++) {
            if (!is_closed(&links[i])) {
                continue;
            }
            wire_curve_close(&links[i]);
            links[i] = shake(attacker);
            if (links[i].fd >= 0 && send(links[i].fd, head, sizeof(head), MSG_NOSIGNAL) > 0 &&
                send(links[i].fd, piece, FRAME_BYTES_MAX - 1, MSG_NOSIGNAL) > 0) {
                attacker->sent_count++;
            }
        }
        attacker_breathe();
    }
    for (size_t i = 0; i < PARTIAL_COUNT; i++) {
        wire_curve_close(&links[i]);
    }
    free(piece);
}

/* The same before any handshake: a command that grows and grows. */
void attack_unfinished(struct attacker *attacker)
{
    uint8_t head[GREETING_BYTES + 9];
    int fds[UNFINISHED_COUNT];
    static uint8_t piece[32768];

    memcpy(head, right_greeting, GREETING_BYTES);
    memcpy(head + GREETING_BYTES, "\x06\0\0\0\0\0\x10\x0f\0", 9);
    memset(fds, -1, sizeof(fds));
    while (attacker_now_ms() < attacker->end_ms) {
        for (size_t i = 0; i < UNFINISHED_COUNT; i++) {
            if (fds[i] < 0) {
                fds[i] = attacker_dial(attacker);
                if (fds[i] >= 0) {
                    struct pollfd wait = {.fd = fds[i], .events = POLLOUT};

                    (void)poll(&wait, 1, 50);
                    (void)send(fds[i], head, sizeof(head), MSG_NOSIGNAL);
                }
            } else if (send(fds[i], piece, sizeof(piece), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
                attacker->sent_count++;
            } else {
                close(fds[i]);
                fds[i] = -1;
            }
        }
        attacker_breathe();
    }
    for (size_t i = 0; i < UNFINISHED_COUNT; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

static int greet(struct attacker *attacker, struct wire_curve *link)
{
    struct public_key key = keys_public(&attacker->own_key);
    uint8_t bytes[MESSAGE_BYTES_MAX];
    minga_Message message;
    int length;

    attacker_hello(&message, &key);
    length = message_encode(&message, bytes, sizeof(bytes));
    return length < 0 ? -1 : wire_curve_send(link, bytes, (size_t)length, false);
}

/* A member that asks and asks, and never reads what it is answered. */
void attack_deaf(struct attacker *attacker)
{
    struct wire_curve links[DEAF_COUNT];
    uint8_t bytes[MESSAGE_BYTES_MAX];
    minga_Message message;
    int length;

    for (size_t i = 0; i < DEAF_COUNT; i++) {
        links[i].fd = -1;
    }
    for (size_t i = 0; attacker_now_ms() < attacker->end_ms; i++) {
        struct wire_curve *link = &links[i % DEAF_COUNT];

        if (link->fd < 0) {
            *link = shake(attacker);
            if (link->fd < 0 || greet(attacker, link) < 0) {
                wire_curve_close(link);
                attacker_breathe();
                continue;
            }
        }
        message_init(&message, minga_Message_lookup_tag);
        message.request = i + 1;
        attacker_draw(message.kind.lookup.key, ID_BYTES);
        length = message_encode(&message, bytes, sizeof(bytes));
        if (length < 0 || wire_curve_send(link, bytes, (size_t)length, false) < 0) {
            wire_curve_close(link);
        }
        attacker->sent_count++;
    }
    for (size_t i = 0; i < DEAF_COUNT; i++) {
        wire_curve_close(&links[i]);
    }
}

/* A member that has greeted, and then sends a message that never ends. */
void attack_endless_greeted(struct attacker *attacker)
{
    struct wire_curve links[ENDLESS_COUNT];
    uint8_t *piece = calloc(1, PIECE_BYTES);

    for (size_t i = 0; i < ENDLESS_COUNT; i++) {
        links[i].fd = -1;
    }
    for (size_t i = 0; piece != NULL && attacker_now_ms() < attacker->end_ms; i++) {
        struct wire_curve *link = &links[i % ENDLESS_COUNT];

        if (link->fd < 0) {
            *link = shake(attacker);
            if (link->fd < 0 || greet(attacker, link) < 0) {
                wire_curve_close(link);
                attacker_breathe();
                continue;
            }
        }
        if (wire_curve_send(link, piece, PIECE_BYTES, true) < 0) {
            wire_curve_close(link);
        } else {
            attacker->sent_count++;
        }
    }
    for (size_t i = 0; i < ENDLESS_COUNT; i++) {
        wire_curve_close(&links[i]);
    }
    free(piece);
}
