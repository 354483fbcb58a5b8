// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Asks logind to wait a moment before this machine sleeps or is switched off: delay inhibitor
 * locks (systemd-inhibit(1)), over the system bus and on the loop. They are taken again after each
 * sleep, and when bus or logind have been started again. Where they are not there nobody asks us:
 * that is said once in the log.
 */
#include <stdint.h>
#include <uv.h>

struct inhibitor;

struct inhibitor_events {
    void *context;
    /* The machine waits for inhibitor_release, but no longer than within_ms. */
    void (*aside)(void *context, uint64_t within_ms);
    /* It is awake again, or goes on after all. */
    void (*back)(void *context);
};

/* NULL without memory. */
struct inhibitor *inhibitor_new(uv_loop_t *loop, const struct inhibitor_events *events);
/* After `aside`: the machine need not wait any longer. */
void inhibitor_release(struct inhibitor *inhibitor);
/* Lets the locks go. Frees it when the loop has closed its handles. NULL is fine. */
void inhibitor_close(struct inhibitor *inhibitor);
