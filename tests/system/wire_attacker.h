// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What the attacks share, and those that are not in wire_attacker.c. */
#include <stdint.h>

#include "base/keys.h"
#include "overlay/message.h"

struct attacker {
    const char *host;
    uint16_t port;
    uint64_t end_ms;
    uint8_t server_curve[32];
    struct public_key server_key;
    struct secret_key own_key;
    struct curve_keypair curve;
    void *zmq;
    uint64_t sent_count;
    uint64_t answered_count;
};

uint64_t attacker_now_ms(void);
void attacker_breathe(void);
void attacker_draw(void *bytes_out, size_t length_bytes);
/* A connecting socket, or -1. */
int attacker_dial(const struct attacker *attacker);
/* A greeting of the owner of `key`. */
void attacker_hello(minga_Message *message, const struct public_key *key);

/* wire_more.c: by hand, below ZeroMQ's own sockets. */
void attack_greetings(struct attacker *attacker);
void attack_hellos(struct attacker *attacker);
void attack_churn(struct attacker *attacker);
void attack_shake(struct attacker *attacker);
void attack_silent(struct attacker *attacker);
void attack_partial(struct attacker *attacker);
void attack_unfinished(struct attacker *attacker);
void attack_deaf(struct attacker *attacker);
void attack_endless_greeted(struct attacker *attacker);
