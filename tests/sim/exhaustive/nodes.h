// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A few nodes of the shipped overlay/. A step is a function: of what the node knows, of what arrives,
 * of the time, of who runs, and of whom it has a connection to. Each is computed once, and looked up
 * from then on. Built with MINGA_TINY_LIMITS, so that a node is small.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/ids.h"

enum {
    NODES_COUNT_MAX = 5,
    NODES_LOOKUP_TOKEN = 400,
    LINK_BEFORE = 255, /* a connection from before the search; else they count from 1 */
};

enum node_channel { CHANNEL_DIALLED, CHANNEL_REPLIES, CHANNELS };

enum node_input_kind { INPUT_MESSAGE, INPUT_LOST, INPUT_TIME, INPUT_START, INPUT_LOOKUP };

struct node_input { /* compared as bytes: fill it with zeros first */
    uint64_t now_ms;
    uint32_t local;   /* what it knows: a number of locals.h */
    uint32_t message; /* nodes_message tells more */
    uint8_t kind;
    uint8_t node;
    uint8_t from;
    uint8_t channel;
    uint8_t link;    /* on which it came; 0: a reply */
    uint8_t running; /* nodes, a bit each */
    uint8_t linked;  /* the same: those it has dialled */
    uint8_t zero;
};

enum node_op_kind { OP_SEND, OP_REPLY, OP_HANG_UP };

struct node_op { /* what it does to the world, in order */
    uint8_t kind;
    uint8_t to;
    uint8_t link; /* OP_REPLY: on that connection, which `to` has dialled */
    uint32_t message;
};

/* What a step depends on, and changes, besides what the node knows: see scene.h. */
struct footprint {
    uint64_t taken;   /* queues, from the front */
    uint64_t waiting; /* the same: where a message not of the ring waits behind others */
    uint32_t changed; /* connections: bit dialler * NODES_COUNT_MAX + dialled */
    uint32_t replied; /* the same: on which it replies */
    uint8_t touched;  /* nodes that take a step */
};

struct node_outcome {
    uint64_t wake_ms;
    uint32_t local;
    uint32_t op_first;
    uint32_t op_count;
    bool has_wake;
    bool answered; /* the lookup has ended */
    struct footprint footprint;
};

struct node_view { /* what the checks see of one */
    bool is_in;    /* the ring */
    bool is_led;   /* it knows more than one successor */
    uint8_t owned; /* positions of nodes, a bit each, that it answers for */
    uint8_t successor_count;
    uint8_t successors[NODES_COUNT_MAX];
    const char *problem;
};

/* Makes a community of `count` whose last `absent_count` nodes are members that do not run; all of
 * them are watched from now on. */
void nodes_make(uint32_t count, uint32_t absent_count);
void nodes_done(void);
struct nodes_begun {
    uint64_t now_ms;
    uint64_t wake_ms; /* 0: not */
    uint32_t local;
    uint8_t linked;
    bool is_running;
};
struct nodes_begun nodes_begun(uint32_t node);
struct id nodes_position(uint32_t node);

/* Whether none of the ring's own: a greeting, a ping, a comparison. */
bool nodes_is_background(uint32_t message);

/* Valid until the next one, as are its operations. */
const struct node_outcome *nodes_step(const struct node_input *input);
const struct node_op *nodes_ops(const struct node_outcome *outcome);
const struct node_view *nodes_view(uint32_t node, uint32_t local, uint64_t now_ms);
/* Whether steps are looked up; else each is computed again, and must come to the same. */
void nodes_set_memory(bool remembers);

/* What comes between these two is not kept. */
void nodes_mark(void);
void nodes_forget(void);
uint32_t nodes_step_count(void); /* different ones */
