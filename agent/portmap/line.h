// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What mingad and its worker minga-portmap say to each other: a few words on the command line, one
 * line back. The worker has read what anything in the local network sent, so mingad takes no byte
 * of that line on trust. Pure.
 *
 *     mapped METHOD HOST LEASE_S EPOCH_S PLACE tcp:INSIDE:OUTSIDE ...     "-" for no HOST, EPOCH_S or PLACE
 *     none WHY
 *
 * Ports that were asked for and are not named: the router did not answer.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* How a reason begins where there is nothing to open. */
#define PORTMAP_NOT_HIDDEN "no router hides this machine"

enum portmap_method { PORTMAP_NONE, PORTMAP_PCP, PORTMAP_NATPMP, PORTMAP_UPNP, PORTMAP_METHODS };

enum {
    PORTMAP_PORTS_MAX = 32,
    PORTMAP_HOST_CHARS_MAX = 15,   /* numeric IPv4 */
    PORTMAP_PLACE_CHARS_MAX = 127, /* of UPnP's description: http://GATEWAY:PORT/PATH */
    PORTMAP_WHY_CHARS_MAX = 127,
    PORTMAP_LINE_BYTES_MAX = 1024,
    PORTMAP_NONCE_BYTES = 12,
    PORTMAP_LEASE_S_MAX = 24 * 3600,
};

struct portmap_port {
    bool is_udp;
    uint16_t inside;
    uint16_t outside; /* in a question: wanted; in an answer: given, 0 when refused */
};

struct portmap_answer {
    enum portmap_method method;              /* NONE: nobody maps; see why */
    char host[PORTMAP_HOST_CHARS_MAX + 1];   /* what the router says of itself; "": nothing */
    char place[PORTMAP_PLACE_CHARS_MAX + 1]; /* to be asked at again; "": none */
    uint32_t lease_s;                        /* the shortest; 0: for ever */
    bool has_epoch;                          /* the last one: epoch.h */
    uint32_t epoch_s;
    uint32_t port_count;
    struct portmap_port ports[PORTMAP_PORTS_MAX];
    char why[PORTMAP_WHY_CHARS_MAX + 1];
};

/* "pcp", "nat-pmp", "upnp"; "" for PORTMAP_NONE. */
const char *portmap_method_name(enum portmap_method method);
bool portmap_method_of(const char *name, enum portmap_method *method_out);

/* "udp:7400:7401". */
enum { PORTMAP_PORT_CHARS_MAX = 15 };
void portmap_port_print(const struct portmap_port *port, char text_out[PORTMAP_PORT_CHARS_MAX + 1]);
/* An inside port of 0 is none. */
bool portmap_port_parse(const char *text, struct portmap_port *port_out);

/* Terminated, with its newline. Returns the length. */
size_t portmap_line_print(const struct portmap_answer *answer,
                          char line_out[PORTMAP_LINE_BYTES_MAX + 1]);
/* The whole of what the worker said. Returns 0, or -EBADMSG: not one line of that form, or it
 * speaks of ports that are not among `asked`. */
int portmap_line_parse(struct bytes said, const struct portmap_port *asked, uint32_t asked_count,
                       struct portmap_answer *answer_out);
