// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * ZeroMQ's authentication protocol (RFC 27), served on our own loop: every key that CURVE proved
 * is admitted and noted as the connection's User-Id. Who it belongs to, and whether that member
 * is welcome, is the overlay's to say.
 */
#include <errno.h>
#include <string.h>

#include "agent/mingad/transport/transport_internal.h"
#include "base/check.h"

enum {
    ZAP_FRAMES_MIN = 6, /* version, request, domain, address, identity, mechanism, */
    ZAP_FRAMES_MAX = 8, /* and the mechanism's credentials */
    ZAP_REQUEST_BYTES_MAX = 64,
    ZAP_REQUESTS_PER_TURN = 64,
};

struct zap_request {
    uint8_t id[ZAP_REQUEST_BYTES_MAX];
    size_t id_bytes;
    uint8_t key[CURVE_KEY_BYTES];
    bool is_curve;
    bool has_key;
};

static void read_frame(struct zap_request *request, int index, zmq_msg_t *frame)
{
    size_t length_bytes = zmq_msg_size(frame);
    const uint8_t *data = zmq_msg_data(frame);

    if (index == 1 && length_bytes <= sizeof(request->id)) {
        memcpy(request->id, data, length_bytes);
        request->id_bytes = length_bytes;
    } else if (index == 5) {
        request->is_curve = length_bytes == 5 && memcmp(data, "CURVE", 5) == 0;
    } else if (index == 6 && length_bytes == CURVE_KEY_BYTES) {
        memcpy(request->key, data, CURVE_KEY_BYTES);
        request->has_key = true;
    }
}

/* Returns 0 or -EAGAIN. Comes from libzmq's own I/O thread, yet nothing in it is trusted. */
static int receive_request(void *socket, struct zap_request *request_out)
{
    bool more = true;

    *request_out = (struct zap_request){0};
    for (int i = 0; more; i++) {
        zmq_msg_t frame;

        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            return -EAGAIN;
        }
        read_frame(request_out, i, &frame);
        more = zmq_msg_more(&frame) != 0;
        zmq_msg_close(&frame);
    }
    return 0;
}

static void answer(struct transport *transport, const struct zap_request *request)
{
    void *socket = transport->zap.socket;
    bool is_admitted =
        request->is_curve && request->has_key && guard_admits(transport, request->key);
    const char *status = is_admitted ? "200" : "400"; /* libzmq 4.3 retries on anything else */
    char user[CURVE_KEY_HEX_CHARS + 1] = "";

    if (is_admitted) {
        bytes_to_hex((struct bytes){request->key, sizeof(request->key)}, user);
    }
    zmq_send(socket, "1.0", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(socket, request->id, request->id_bytes, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(socket, status, 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(socket, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(socket, user, strlen(user), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(socket, "", 0, ZMQ_DONTWAIT);
}

static void settle_zap(struct watch *watch)
{
    struct zap_request request;

    for (int i = 0; i < ZAP_REQUESTS_PER_TURN; i++) {
        if (!door_answers(watch->transport)) {
            break;
        }
        if (receive_request(watch->socket, &request) < 0) {
            return;
        }
        answer(watch->transport, &request);
    }
    watch_mark(watch);
}

int zap_open(struct transport *transport, struct err *err)
{
    void *socket = zmq_socket(transport->zmq, ZMQ_REP);
    int r = -ENOMEM;

    if (socket != NULL) {
        r = zmq_bind(socket, "inproc://zeromq.zap.01") < 0 ? -errno : 0;
    }
    if (r == 0) {
        r = watch_open(transport, &transport->zap, socket, settle_zap);
    }
    if (r < 0) {
        if (socket != NULL) {
            zmq_close(socket);
        }
        return err_set(err, r, "transport: authentication: %s", zmq_strerror(-r));
    }
    return 0;
}
