// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * struct sandbox_spec in fixed form (base/wire.h), as it travels from mingad to minga-sandboxd
 * and from there, in a sealed memory file, to minga-init.
 *
 * Pure. spec_decode accepts only what spec_problem finds nothing wrong with, so whoever holds a
 * decoded spec may rely on all of its bounds; encoding is canonical (decode, encode: same bytes).
 */
#include <stddef.h>

#include "base/bytes.h"
#include "sandbox/environment.h"

enum {
    SPEC_BYTES_MAX = 8192, /* an encoded spec is never longer */
    SPEC_USER_MAX = 65534, /* 65535 is minga-init's own */
    SPEC_STOP_GRACE_MS_MAX = 600000,
    SPEC_HEALTH_MS_MAX = 3600000, /* interval, timeout, grace */
    SPEC_LOGS_BYTES_MIN = 16384,
    SPEC_LOGS_BYTES_MAX = 64 << 20, /* beside the disk, which counts in the contribution */
};

/*
 * What is wrong with the spec, in words for people, or NULL. Rules: slot, incarnation, limits
 * above 0; 1..ARGUMENTS_MAX words, the first not empty; environment entries NAME=value with
 * distinct, non-empty names; absolute workdir; user at most SPEC_USER_MAX; ports non-zero,
 * container and host ports distinct within a protocol, at most CONNECTIONS_PER_PORT_MAX connections; health fields within their bounds and its path "" or
 * beginning with "/" and printable; stop_signal 1..31; logs_bytes within its bounds; host name of letters, digits and "-".
 * Unused tails of the word lists are zero.
 */
const char *spec_problem(const struct sandbox_spec *spec);

/* Writes at most SPEC_BYTES_MAX bytes. Returns 0, -EINVAL (spec_problem), -ENOBUFS (no room). */
int spec_encode(const struct sandbox_spec *spec, uint8_t *data_out, size_t capacity_bytes,
                size_t *length_bytes_out);
/* Returns 0, -EBADMSG (form) or -EINVAL (spec_problem). spec_out is written only on success. */
int spec_decode(struct bytes bytes, struct sandbox_spec *spec_out);

/*
 * Points words_out[0..word_count-1] at the words of a list of a valid spec and words_out[
 * word_count] to NULL, as execve wants it. words_out has room for word_count + 1.
 */
void spec_words(char *list, uint32_t word_count, char **words_out);
