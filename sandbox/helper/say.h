// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Log lines about one replica, with the fields that mingad's have, so that one question to the
 * journal (MINGA_REPLICA=wiki/1) is answered by both.
 */
#include "base/log.h"
#include "sandbox/helper/helper.h"

/* `event` goes into MINGA_EVENT; the line begins with the name of the replica's group. */
void say_replica(const struct replica *replica, enum log_level level, const char *event,
                 const char *format, ...) PRINTF_LIKE(4, 5);
