// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* From the command line to a helper that is ready to run. */
#include "base/err.h"
#include "sandbox/helper/helper.h"

struct options {
    const char *limits; /* the limits file */
    const char *state;  /* root's folder; ours is "sandbox" in it: disk images, logs */
    const char *run;    /* root's folder; "sandbox.sock" and, ours, "sandbox" in it */
    const char *trees;  /* NULL: as the limits file says */
    const char *init;   /* NULL: minga-init beside this program */
    const char *uids;   /* folder of uid ranges, one for the host */
    bool exit_when_idle;
    bool end_all; /* only clear away what an earlier helper left */
};

/*
 * Reads the limits, makes folders, private mounts, filter and parent group. helper_out is all
 * zeros (a static one); the caller owns what is in it until it exits. -EADDRINUSE when another helper runs on these folders.
 */
int helper_setup(const struct options *options, struct helper *helper_out, struct err *err);
/* A sealed copy of the program of that name in the folder that ours is in. */
int setup_open_beside(const char *name, struct err *err);
/* Opens the socket. After adoption, so that the first LIST is complete. */
int helper_listen(struct helper *helper, struct err *err);
