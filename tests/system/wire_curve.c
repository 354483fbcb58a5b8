// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/system/wire_curve.h"

#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    GREETING_BYTES = 64,
    HELLO_BYTES = 200,
    WELCOME_BYTES = 168,
    COOKIE_BYTES = 96,
    LONG_NONCE_BYTES = 16,
    WAIT_S = 2,
    FRAME_COMMAND = 4,
    FRAME_LONG = 2,
};

static int send_all(int fd, const void *bytes, size_t length_bytes)
{
    for (size_t done = 0; done < length_bytes;) {
        ssize_t count = send(fd, (const uint8_t *)bytes + done, length_bytes - done, MSG_NOSIGNAL);

        if (count <= 0) {
            return -1;
        }
        done += (size_t)count;
    }
    return 0;
}

static int receive_all(int fd, void *bytes_out, size_t length_bytes)
{
    return recv(fd, bytes_out, length_bytes, MSG_WAITALL) == (ssize_t)length_bytes ? 0 : -1;
}

static void fill_nonce(uint8_t nonce_out[24], const char *prefix, const uint8_t *rest)
{
    size_t prefix_bytes = strlen(prefix);

    // NOLINTNEXTLINE(bugprone-not-null-terminated-result): bytes of a frame, no text
    memcpy(nonce_out, prefix, prefix_bytes);
    memcpy(nonce_out + prefix_bytes, rest, 24 - prefix_bytes);
}

static void put_short_nonce(struct wire_curve *link, uint8_t out[8])
{
    link->nonce++;
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)(link->nonce >> (56 - 8 * i));
    }
}

static int exchange_greetings(int fd)
{
    static const uint8_t greeting[GREETING_BYTES] = {0xff, 0, 0, 0,   0,   0,   0,   0,  1,
                                                     0x7f, 3, 1, 'C', 'U', 'R', 'V', 'E'};
    uint8_t answer[GREETING_BYTES];

    if (send_all(fd, greeting, sizeof(greeting)) < 0) {
        return -1;
    }
    return receive_all(fd, answer, sizeof(answer));
}

static int send_hello(struct wire_curve *link, const struct curve_keypair *transient,
                      const uint8_t server_key[32])
{
    uint8_t frame[2 + HELLO_BYTES] = {FRAME_COMMAND, HELLO_BYTES, 5, 'H', 'E', 'L', 'L', 'O', 1};
    const uint8_t zeros[64] = {0};
    uint8_t nonce[24];

    memcpy(frame + 2 + 80, transient->public_bytes, 32);
    put_short_nonce(link, frame + 2 + 112);
    fill_nonce(nonce, "CurveZMQHELLO---", frame + 2 + 112);
    if (crypto_box_easy(frame + 2 + 120, zeros, sizeof(zeros), nonce, server_key,
                        transient->secret_bytes) < 0) {
        return -1;
    }
    return send_all(link->fd, frame, sizeof(frame));
}

/* Yields the server's transient key and its cookie. */
static int receive_welcome(const struct wire_curve *link, const struct curve_keypair *transient,
                           const uint8_t server_key[32], uint8_t plain_out[128])
{
    uint8_t frame[2 + WELCOME_BYTES];
    uint8_t nonce[24];

    if (receive_all(link->fd, frame, sizeof(frame)) < 0 || frame[1] != WELCOME_BYTES) {
        return -1;
    }
    fill_nonce(nonce, "WELCOME-", frame + 2 + 8);
    return crypto_box_open_easy(plain_out, frame + 2 + 24, 144, nonce, server_key,
                                transient->secret_bytes);
}

static int send_initiate(struct wire_curve *link, const struct curve_keypair *transient,
                         const struct curve_keypair *own, const uint8_t server_key[32],
                         const uint8_t welcome[128])
{
    static const uint8_t metadata[] = "\x0bSocket-Type\0\0\0\x06"
                                      "DEALER\x08Identity\0\0\0\0";
    enum { PLAIN_BYTES = 32 + LONG_NONCE_BYTES + 80 + sizeof(metadata) - 1 };
    uint8_t plain[PLAIN_BYTES];
    uint8_t frame[9 + 9 + COOKIE_BYTES + 8 + PLAIN_BYTES + 16] = {FRAME_COMMAND | FRAME_LONG};
    uint8_t vouched[64];
    uint8_t nonce[24];
    const size_t body_bytes = sizeof(frame) - 9;
    uint8_t *body = frame + 9;

    memcpy(plain, own->public_bytes, 32);
    randombytes_buf(plain + 32, LONG_NONCE_BYTES);
    fill_nonce(nonce, "VOUCH---", plain + 32);
    memcpy(vouched, transient->public_bytes, 32);
    memcpy(vouched + 32, server_key, 32);
    if (crypto_box_easy(plain + 48, vouched, sizeof(vouched), nonce, welcome, own->secret_bytes) <
        0) {
        return -1;
    }
    memcpy(plain + 128, metadata, sizeof(metadata) - 1);
    frame[7] = (uint8_t)(body_bytes >> 8);
    frame[8] = (uint8_t)body_bytes;
    memcpy(body, "\x08INITIATE", 9);
    memcpy(body + 9, welcome + 32, COOKIE_BYTES);
    put_short_nonce(link, body + 9 + COOKIE_BYTES);
    fill_nonce(nonce, "CurveZMQINITIATE", body + 9 + COOKIE_BYTES);
    if (crypto_box_easy(body + 9 + COOKIE_BYTES + 8, plain, sizeof(plain), nonce, welcome,
                        transient->secret_bytes) < 0) {
        return -1;
    }
    return send_all(link->fd, frame, sizeof(frame));
}

static int shake_hands(struct wire_curve *link, const struct curve_keypair *own,
                       const uint8_t server_key[32])
{
    struct curve_keypair transient;
    uint8_t welcome[128];
    uint8_t ready[2];
    uint8_t rest[255];

    crypto_box_keypair(transient.public_bytes, transient.secret_bytes);
    if (exchange_greetings(link->fd) < 0 || send_hello(link, &transient, server_key) < 0 ||
        receive_welcome(link, &transient, server_key, welcome) < 0 ||
        send_initiate(link, &transient, own, server_key, welcome) < 0 ||
        receive_all(link->fd, ready, 2) < 0 || receive_all(link->fd, rest, ready[1]) < 0 ||
        memcmp(rest, "\x05READY", 6) != 0) {
        return -1;
    }
    return crypto_box_beforenm(link->shared, welcome, transient.secret_bytes);
}

int wire_curve_open(struct wire_curve *link, int fd, const struct curve_keypair *own,
                    const uint8_t server_key[32])
{
    const struct timeval wait = {.tv_sec = WAIT_S};
    struct pollfd connected = {.fd = fd, .events = POLLOUT};

    *link = (struct wire_curve){.fd = fd};
    if (poll(&connected, 1, WAIT_S * 1000) == 1 && fcntl(fd, F_SETFL, 0) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == 0 &&
        shake_hands(link, own, server_key) == 0) {
        return 0;
    }
    wire_curve_close(link);
    return -1;
}

int wire_curve_send(struct wire_curve *link, const uint8_t *bytes, size_t length_bytes, bool more)
{
    const size_t body_bytes = 16 + 16 + 1 + length_bytes;
    uint8_t *frame = malloc(9 + body_bytes);
    uint8_t *plain = malloc(1 + length_bytes);
    uint8_t nonce[24];
    int r = -1;

    if (frame != NULL && plain != NULL) {
        frame[0] = FRAME_LONG;
        for (int i = 0; i < 8; i++) {
            frame[1 + i] = (uint8_t)((uint64_t)body_bytes >> (56 - 8 * i));
        }
        // NOLINTNEXTLINE(bugprone-not-null-terminated-result): bytes of a frame, no text
        memcpy(frame + 9, "\x07MESSAGE", 8);
        put_short_nonce(link, frame + 17);
        fill_nonce(nonce, "CurveZMQMESSAGEC", frame + 17);
        plain[0] = more ? 1 : 0;
        memcpy(plain + 1, bytes, length_bytes);
        r = crypto_box_easy_afternm(frame + 25, plain, 1 + length_bytes, nonce, link->shared);
        r = r == 0 ? send_all(link->fd, frame, 9 + body_bytes) : r;
    }
    free(plain);
    free(frame);
    return r;
}

void wire_curve_close(struct wire_curve *link)
{
    if (link->fd >= 0) {
        close(link->fd);
        link->fd = -1;
    }
}
