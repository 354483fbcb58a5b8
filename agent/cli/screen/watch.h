// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What a command shows, again every second: on a terminal in place, in a pipe one after the other,
 * with --json one document a line.
 */
#include "agent/cli/session.h"

typedef void watch_print(const struct session *session, const json_t *document);

/*
 * Ends when the agent refuses, or when nobody reads any more; else with the command itself. An agent
 * that has answered and then does not is waited for: a line above what it said last says so, in
 * place; in a pipe and with --json one on stderr.
 */
int watch(struct session *session, const char *path, watch_print *print);

/*
 * Puts a printed frame on a window of that many rows: from its first row, each row cleared behind
 * its text, what stood below removed; of a longer one the last row says how many are not shown.
 * Appends to `out`; returns 0 or as buffer_append.
 */
int watch_lay(struct bytes frame, uint32_t row_count, struct buffer *out);
