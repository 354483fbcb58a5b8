// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Keeps the owner's line: measures what chunks, replicas and what is passed on for others use of
 * it, divides it among them every second (policy/line.h), and tells each its part.
 *
 * What this machine's own users have just pushed is theirs and does not count. Nor does what is
 * small: the overlay's messages.
 */
#include <uv.h>

#include "agent/policy/line.h"
#include "sandbox/environment.h"

struct edge;
struct keeper;

/* NULL without memory. The edge's configuration is there. */
struct keeper *keeper_new(struct edge *edge);
/* What the core allows, or what is configured, is something else now: all are told. */
void keeper_review(struct keeper *keeper);
void keeper_note_chunk(struct keeper *keeper, enum owner_way way, uint64_t count_bytes);
/* A chunk has to wait. */
void keeper_note_wait(struct keeper *keeper, enum owner_way way);
/* What a replica was measured to have sent and received; others are not looked at. */
void keeper_note_replica(struct keeper *keeper, const struct sandbox_event *event);
/* The chunks' part; 0: no limit. */
uint64_t keeper_chunk_rate(const struct keeper *keeper, enum owner_way way);

void keeper_report(const struct keeper *keeper, struct owner_line_report *report_out);
/* The loop must run on until the timer is closed, then free. */
void keeper_close(struct keeper *keeper);
void keeper_free(struct keeper *keeper);
