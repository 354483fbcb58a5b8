// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A token from the terminal, from standard input ("-"), or from --token-file. */
#include "agent/cli/session.h"
#include "agent/cli/token.h"

int read_token(struct session *session, const struct arguments *arguments, struct token *token_out,
               struct token_content *content_out);
