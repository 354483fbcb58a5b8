// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Who started us, where that is systemd (sd_notify(3)'s protocol): it hears that we are ready, and
 * again and again that the loop turns; a helper that stands still it ends and starts again, and the
 * next one adopts what runs.
 */
#include <stdint.h>

struct supervisor {
    int fd;            /* owned: connected; -1: nobody wants to hear */
    uint64_t every_ms; /* 0: not whether the loop turns */
    uint64_t told_ms;
};

/* From $NOTIFY_SOCKET and the like, which no child is to find; while the host's files are seen. */
void supervisor_open(struct supervisor *supervisor);
/* Closes the descriptor. */
void supervisor_done(struct supervisor *supervisor);
void supervisor_ready(struct supervisor *supervisor);
/* Each turn of the loop; it must turn once a second at least. */
void supervisor_tick(struct supervisor *supervisor, uint64_t at_ms);
