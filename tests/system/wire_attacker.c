// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What a stranger, an expelled node or a lying member can send to an agent's port.
 *
 *   wire_attacker HOST PORT SERVER_KEY_FILE ATTACK [SECONDS [OWN_KEY_FILE]]
 *
 * SERVER_KEY_FILE is the attacked node's key, of which only the public half is used (every holder
 * of a token has it); without OWN_KEY_FILE the attacker has a key of its own, made for the day.
 * Prints one line of figures and ends with 0 unless it could not even begin.
 */
#include "tests/system/wire_attacker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "base/attributes.h"
#include "base/keys.h"
#include "base/limits.h"
#include "overlay/message.h"
#include "tests/system/wire_curve.h"

enum {
    HALF_OPEN_COUNT = 600,
    LINK_COUNT = 300,
    BYTE_BY_BYTE_COUNT = 100,
    CHUNK_PIECE_BYTES = 1 << 20,
    FIRST_KIND = minga_Message_hello_tag,
    LAST_KIND = minga_Message_chunk_absent_tag,
    SOCKETS_MAX = 4096,
    PAUSE_NS = 1000000,
};

uint64_t attacker_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void attacker_breathe(void)
{
    nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
}

void attacker_draw(void *bytes_out, size_t length_bytes)
{
    for (size_t done = 0; done < length_bytes;) {
        ssize_t count = getrandom((uint8_t *)bytes_out + done, length_bytes - done, 0);

        done += count > 0 ? (size_t)count : 0;
    }
}

/* ------------------------------------------------------------------ plain TCP */

int attacker_dial(const struct attacker *attacker)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(attacker->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || inet_pton(AF_INET, attacker->host, &address.sin_addr) != 1 ||
        (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS)) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

/* Connections that say nothing, opened anew as fast as they are closed. */
static void attack_half_open(struct attacker *attacker)
{
    int fds[HALF_OPEN_COUNT];

    for (size_t i = 0; i < HALF_OPEN_COUNT; i++) {
        fds[i] = attacker_dial(attacker);
    }
    while (attacker_now_ms() < attacker->end_ms) {
        for (size_t i = 0; i < HALF_OPEN_COUNT; i++) {
            char greeting[64];

            if (fds[i] < 0 || recv(fds[i], greeting, sizeof(greeting), 0) == 0) {
                close(fds[i]);
                fds[i] = attacker_dial(attacker);
                attacker->sent_count++;
            }
        }
        attacker_breathe();
    }
}

/* A right greeting, one byte in ten ms, so that a handshake never ends. */
static void attack_slow(struct attacker *attacker)
{
    static const uint8_t greeting[64] = {0xff, 0, 0, 0,   0,   0,   0,   0,  1,
                                         0x7f, 3, 1, 'C', 'U', 'R', 'V', 'E'};
    int fds[BYTE_BY_BYTE_COUNT];
    size_t done[BYTE_BY_BYTE_COUNT] = {0};

    for (size_t i = 0; i < BYTE_BY_BYTE_COUNT; i++) {
        fds[i] = attacker_dial(attacker);
    }
    while (attacker_now_ms() < attacker->end_ms) {
        for (size_t i = 0; i < BYTE_BY_BYTE_COUNT; i++) {
            uint8_t byte = done[i] < sizeof(greeting) ? greeting[done[i]] : 0;

            if (fds[i] < 0 || (send(fds[i], &byte, 1, MSG_NOSIGNAL) < 0 && errno != EAGAIN)) {
                close(fds[i]);
                fds[i] = attacker_dial(attacker);
                done[i] = 0;
            } else {
                done[i]++;
                attacker->sent_count++;
            }
        }
        nanosleep(&(struct timespec){0, 10L * PAUSE_NS}, NULL);
    }
}

/* Nonsense behind a right greeting and without one. */
static void attack_raw(struct attacker *attacker)
{
    static const uint8_t greeting[12] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0};
    uint8_t noise[4096];

    while (attacker_now_ms() < attacker->end_ms) {
        int fd = attacker_dial(attacker);
        struct pollfd wait = {.fd = fd, .events = POLLOUT};

        attacker_draw(noise, sizeof(noise));
        if (attacker->sent_count % 2 == 0) {
            memcpy(noise, greeting, sizeof(greeting));
            memcpy(noise + 12, "CURVE", 6);
        }
        if (fd >= 0 && poll(&wait, 1, 100) == 1) {
            send(fd, noise, 1 + (size_t)noise[4000] * 15, MSG_NOSIGNAL);
            attacker->sent_count++;
        }
        close(fd);
    }
}

/* ------------------------------------------------------------------ behind CURVE */

static void *dial_as(struct attacker *attacker, const struct curve_keypair *curve)
{
    void *socket = zmq_socket(attacker->zmq, ZMQ_DEALER);
    char endpoint[64];
    const int none = 0;

    if (socket == NULL) {
        return NULL;
    }
    snprintf(endpoint, sizeof(endpoint), "tcp://%s:%u", attacker->host, attacker->port);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none));
    zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, attacker->server_curve, 32);
    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, curve->public_bytes, 32);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, curve->secret_bytes, 32);
    if (zmq_connect(socket, endpoint) < 0) {
        zmq_close(socket);
        return NULL;
    }
    return socket;
}

static void *dial(struct attacker *attacker)
{
    return dial_as(attacker, &attacker->curve);
}

static void drain(struct attacker *attacker, void *socket)
{
    char bytes[4096];

    while (zmq_recv(socket, bytes, sizeof(bytes), ZMQ_DONTWAIT) >= 0) {
        attacker->answered_count++;
    }
}

static void send_frame(struct attacker *attacker, void *socket, const void *bytes,
                       size_t length_bytes, int flags)
{
    if (zmq_send(socket, bytes, length_bytes, flags | ZMQ_DONTWAIT) >= 0) {
        attacker->sent_count++;
    } else {
        attacker_breathe();
    }
    if ((flags & ZMQ_SNDMORE) == 0) {
        drain(attacker, socket);
    }
}

static void attack_garbage(struct attacker *attacker)
{
    void *socket = dial(attacker);
    uint8_t noise[8192];

    while (attacker_now_ms() < attacker->end_ms) {
        uint16_t chosen[2];

        attacker_draw(noise, sizeof(noise));
        attacker_draw(chosen, sizeof(chosen));
        for (unsigned i = chosen[1] % 4; i > 0; i--) {
            send_frame(attacker, socket, noise, chosen[0] % 512, ZMQ_SNDMORE);
        }
        send_frame(attacker, socket, noise, chosen[0] % sizeof(noise), 0);
    }
    zmq_close(socket);
}

/* One byte over the limit: the agent must cut the link; ZeroMQ dials again. */
static void attack_oversize(struct attacker *attacker)
{
    void *socket = dial(attacker);
    uint8_t *large = calloc(1, FRAME_BYTES_MAX + 1);

    while (large != NULL && attacker_now_ms() < attacker->end_ms) {
        send_frame(attacker, socket, large, FRAME_BYTES_MAX + 1, 0);
        nanosleep(&(struct timespec){0, 20L * PAUSE_NS}, NULL);
    }
    free(large);
    zmq_close(socket);
}

/* Hundreds of links of as many strangers, kept and used. */
static void attack_many(struct attacker *attacker)
{
    void *sockets[LINK_COUNT];
    uint8_t noise[2000];

    for (size_t i = 0; i < LINK_COUNT; i++) {
        struct secret_key key;
        struct curve_keypair curve;

        keys_generate(&key);
        sockets[i] = keys_curve(&key, &curve) == 0 ? dial_as(attacker, &curve) : NULL;
    }
    while (attacker_now_ms() < attacker->end_ms) {
        attacker_draw(noise, sizeof(noise));
        for (size_t i = 0; i < LINK_COUNT; i++) {
            if (sockets[i] != NULL) {
                send_frame(attacker, sockets[i], noise, sizeof(noise), 0);
            }
        }
    }
    for (size_t i = 0; i < LINK_COUNT; i++) {
        if (sockets[i] != NULL) {
            zmq_close(sockets[i]);
        }
    }
}

/* A message that never ends: frame after frame, each announcing one more. ZeroMQ's own sockets do
 * not send the parts of a message before the last one is there, so this speaks CURVE by hand. */
static void attack_endless(struct attacker *attacker)
{
    enum { MESSAGES = 8 };
    struct wire_curve links[MESSAGES];
    uint8_t *piece = malloc(CHUNK_PIECE_BYTES);

    if (piece == NULL) {
        return;
    }
    attacker_draw(piece, CHUNK_PIECE_BYTES);
    for (size_t i = 0; i < MESSAGES; i++) {
        links[i].fd = -1;
    }
    for (size_t i = 0; attacker_now_ms() < attacker->end_ms; i++) {
        struct wire_curve *link = &links[i % MESSAGES];

        if (link->fd < 0) {
            int fd = attacker_dial(attacker);

            attacker->answered_count += fd >= 0;
            if (fd < 0 || wire_curve_open(link, fd, &attacker->curve, attacker->server_curve) < 0) {
                attacker_breathe();
                continue;
            }
        }
        if (wire_curve_send(link, piece, CHUNK_PIECE_BYTES, true) < 0) {
            wire_curve_close(link);
        } else {
            attacker->sent_count++;
        }
    }
    for (size_t i = 0; i < MESSAGES; i++) {
        wire_curve_close(&links[i]);
    }
    free(piece);
}

/* ------------------------------------------------------------------ well-formed messages */

static void send_message(struct attacker *attacker, void *socket, minga_Message *message)
{
    uint8_t bytes[MESSAGE_BYTES_MAX];
    int length = message_encode(message, bytes, sizeof(bytes));

    if (length > 0) {
        send_frame(attacker, socket, bytes, (size_t)length, 0);
    }
}

/* Random content within each field's bounds is what random bytes give when some decode. */
static void fill(minga_Message *message, pb_size_t kind)
{
    message_init(message, kind);
    attacker_draw(&message->request, sizeof(message->request));
    if (message->request % 3 == 0) {
        message->request %= 64;
    }
    message->reply = message->request % 2 == 0;
    if (kind == minga_Message_ask_tag || kind == minga_Message_route_tag) {
        minga_Payload *payload = kind == minga_Message_ask_tag ? &message->kind.ask.payload
                                                               : &message->kind.route.payload;

        payload->bytes.size = 200;
        attacker_draw(payload->bytes.bytes, 200);
        message->kind.ask.has_payload = true;
    } else if (kind == minga_Message_record_put_tag || kind == minga_Message_record_copy_tag) {
        message->kind.record_put.record.size = 300;
        attacker_draw(message->kind.record_put.record.bytes, 300);
    } else if (kind == minga_Message_item_tag) {
        message->kind.item.kind = (minga_ItemKind)(message->request % 7);
        message->kind.item.content.size = 300;
        attacker_draw(message->kind.item.content.bytes, 300);
        attacker_draw(message->kind.item.node, 32);
        attacker_draw(&message->kind.item.incarnation, 8);
    } else if (kind == minga_Message_chunk_offers_tag) {
        minga_ChunkOffers *offers = &message->kind.chunk_offers;

        offers->offers_count = (pb_size_t)(message->request % 64 + 1);
        for (pb_size_t i = 0; i < offers->offers_count; i++) {
            attacker_draw(offers->offers[i].chunk, 32);
            attacker_draw(&offers->offers[i].bytes, 4);
            attacker_draw(&offers->offers[i].references, 1);
        }
        offers->named_count = (pb_size_t)(message->request % 8);
        attacker_draw(offers->named, sizeof(offers->named));
    } else if (kind == minga_Message_chunk_ranges_tag) {
        minga_ChunkRanges *ranges = &message->kind.chunk_ranges;

        ranges->ranges_count = (pb_size_t)(message->request % 8 + 1);
        attacker_draw(ranges->ranges, sizeof(ranges->ranges));
    }
}

static void send_kinds(struct attacker *attacker, void *socket)
{
    static const uint8_t data[1000];
    minga_Message message;

    for (int kind = FIRST_KIND; kind <= LAST_KIND; kind++) {
        uint8_t bytes[MESSAGE_BYTES_MAX];

        fill(&message, (pb_size_t)kind);
        int length = message_encode(&message, bytes, sizeof(bytes));
        if (length > 0) {
            uint8_t place[4];

            attacker_draw(place, sizeof(place));
            if (place[0] < 128) { /* one byte altered */
                bytes[(size_t)(place[1] | place[2] << 8) % (size_t)length] ^= place[3];
            }
            send_frame(attacker, socket, bytes, (size_t)length,
                       kind == minga_Message_chunk_data_tag ? ZMQ_SNDMORE : 0);
            if (kind == minga_Message_chunk_data_tag) {
                send_frame(attacker, socket, data, sizeof(data), 0);
            }
        }
    }
}

/* Every kind of message, by somebody who never greeted. */
static void attack_kinds(struct attacker *attacker)
{
    void *socket = dial(attacker);

    while (attacker_now_ms() < attacker->end_ms) {
        send_kinds(attacker, socket);
    }
    zmq_close(socket);
}

void attacker_hello(minga_Message *message, const struct public_key *key)
{
    message_init(message, minga_Message_hello_tag);
    message->request = 1;
    memcpy(message->kind.hello.node_key, key->bytes, PUBLIC_KEY_BYTES);
    message->kind.hello.has_digest = true;
    attacker_draw(message->kind.hello.digest.bans, 32);
}

/* A greeting in another node's name; then what only members may say. */
static void attack_impostor(struct attacker *attacker)
{
    void *socket = dial(attacker);
    minga_Message message;

    while (attacker_now_ms() < attacker->end_ms) {
        attacker_hello(&message, &attacker->server_key);
        send_message(attacker, socket, &message);
        send_kinds(attacker, socket);
    }
    zmq_close(socket);
}

/* A greeting with the own key, then all kinds: OWN_KEY_FILE is a member's, or an expelled one's. */
static void attack_greeted(struct attacker *attacker)
{
    struct public_key key = keys_public(&attacker->own_key);
    void *socket = dial(attacker);
    minga_Message message;

    while (attacker_now_ms() < attacker->end_ms) {
        attacker_hello(&message, &key);
        send_message(attacker, socket, &message);
        for (int i = 0; i < 20 && attacker_now_ms() < attacker->end_ms; i++) {
            send_kinds(attacker, socket);
        }
    }
    zmq_close(socket);
}

/* Requests to be let in, as fast as they go. */
static void attack_joins(struct attacker *attacker)
{
    void *socket = dial(attacker);
    minga_Message message;

    while (attacker_now_ms() < attacker->end_ms) {
        message_init(&message, minga_Message_join_tag);
        message.request = attacker->sent_count + 1;
        message.kind.join.request.size = 700;
        attacker_draw(message.kind.join.request.bytes, 700);
        send_message(attacker, socket, &message);
    }
    zmq_close(socket);
}

/* ------------------------------------------------------------------ */

static const struct attack {
    const char *name;
    void (*run)(struct attacker *attacker);
} attacks[] = {
    {"half-open", attack_half_open},
    {"slow", attack_slow},
    {"raw", attack_raw},
    {"garbage", attack_garbage},
    {"oversize", attack_oversize},
    {"endless", attack_endless},
    {"many", attack_many},
    {"kinds", attack_kinds},
    {"impostor", attack_impostor},
    {"greetings", attack_greetings},
    {"hellos", attack_hellos},
    {"churn", attack_churn},
    {"shake", attack_shake},
    {"silent", attack_silent},
    {"partial", attack_partial},
    {"unfinished", attack_unfinished},
    {"deaf", attack_deaf},
    {"endless-greeted", attack_endless_greeted},
    {"greeted", attack_greeted},
    {"joins", attack_joins},
};

static int prepare(struct attacker *attacker, char **words, int count)
{
    struct secret_key server;
    struct err err = {0};
    uint64_t seconds = count > 5 ? strtoull(words[5], NULL, 10) : 3;

    attacker->host = words[1];
    attacker->port = (uint16_t)strtoul(words[2], NULL, 10);
    attacker->end_ms = attacker_now_ms() + seconds * 1000;
    if (keys_load(words[3], &server, &err) < 0 ||
        (count > 6 && keys_load(words[6], &attacker->own_key, &err) < 0)) {
        fprintf(stderr, "wire_attacker: %s\n", err.text);
        return -1;
    }
    if (count <= 6) {
        keys_generate(&attacker->own_key);
    }
    attacker->server_key = keys_public(&server);
    keys_forget(&server);
    attacker->zmq = zmq_ctx_new();
    if (attacker->zmq == NULL || zmq_ctx_set(attacker->zmq, ZMQ_MAX_SOCKETS, SOCKETS_MAX) < 0) {
        return -1;
    }
    return keys_curve(&attacker->own_key, &attacker->curve) == 0 &&
                   keys_curve_public(&attacker->server_key, attacker->server_curve) == 0
               ? 0
               : -1;
}

int main(int count, char **words)
{
    struct attacker attacker = {0};
    struct rlimit files = {SOCKETS_MAX, SOCKETS_MAX};

    (void)setrlimit(RLIMIT_NOFILE, &files);
    if (count < 5 || prepare(&attacker, words, count) < 0) {
        fprintf(stderr, "usage: wire_attacker HOST PORT SERVER_KEY_FILE ATTACK [SECONDS [KEY]]\n");
        return 2;
    }
    for (size_t i = 0; i < ARRAY_COUNT(attacks); i++) {
        if (strcmp(words[4], attacks[i].name) == 0) {
            attacks[i].run(&attacker);
            printf("%s: %llu sent, %llu answered\n", words[4],
                   (unsigned long long)attacker.sent_count,
                   (unsigned long long)attacker.answered_count);
            zmq_ctx_term(attacker.zmq);
            return 0;
        }
    }
    fprintf(stderr, "wire_attacker: no attack is called %s\n", words[4]);
    return 2;
}
