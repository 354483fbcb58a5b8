// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Starts a replica's minga-egress: see sandbox/egress/main.c for what that is. */
#include "sandbox/helper/helper.h"

/*
 * While the helper is set up: keeps the host's network namespace, which the helper itself leaves,
 * and minga-egress, also where no egress is given yet (a reload may give it). Where something is
 * missing each START that asks for egress is refused with way_out_problem's words.
 */
void way_out_keep(struct helper *helper);
/* Why a replica cannot have egress here; NULL: it can. */
const char *way_out_problem(const struct helper *helper);
/*
 * Starts it, in the host's network, in the replica's group, as an id of its range without rights.
 * It ends with the replica's first process, or with its group.
 */
int way_out_start(struct helper *helper, struct replica *replica, struct err *err);
