// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * An invitation as text: "minga1" and base64 of
 *     version, community (Signed), invitation (Signed), the invitation's secret seed,
 *     addresses of some members, checksum.
 * Whoever holds the text may join: it is as secret as a key. Pure.
 */
#include "base/err.h"
#include "base/keys.h"
#include "base/limits.h"
#include "overlay/overlay.h"
#include "overlay/protocol.pb.h"

enum { TOKEN_SIGNED_BYTES_MAX = 512, TOKEN_BYTES_MAX = 3072, TOKEN_CHARS_MAX = 4095 };

struct token {
    minga_Signed community;  /* Signed{Community} */
    minga_Signed invitation; /* Signed{Invitation} */
    struct secret_key secret;
    uint32_t contact_count;
    struct overlay_peer contacts[TOKEN_MEMBERS_MAX];
};

/* Returns 0, or -EMSGSIZE with err. */
int token_encode(const struct token *token, char text_out[TOKEN_CHARS_MAX + 1], struct err *err);

/* What a token says, opened. */
struct token_content {
    minga_Community community;
    minga_Invitation invitation;
};

/*
 * Reads a token (white space around and inside it is ignored), checks the checksum, both
 * signatures and that all parts belong together. Dates are not checked here.
 * Returns 0, or -EBADMSG with err.
 */
int token_decode(const char *text, struct token *token_out, struct token_content *content_out,
                 struct err *err);
