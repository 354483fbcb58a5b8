// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * The environment's program: started, spoken to in lines, killed with all that it has started.
 * It may be as buggy or hostile as it likes: lines, their number at once, and what waits for it
 * are bounded.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "sandbox/foreign/words.h"

enum { PROGRAM_WAITING_BYTES_MAX = 1 << 20 };

struct program {
    pid_t pid; /* of the process that guards it, see program.c; 0: none */
    int fd;    /* a socket: both its stdin and its stdout */
    char line[WORDS_LINE_BYTES_MAX];
    size_t line_bytes;
    char *waiting; /* owned: what it has not taken yet */
    size_t waiting_bytes;
};

void program_init(struct program *program);
/* `arguments` ends with NULL. */
int program_start(struct program *program, char *const *arguments, struct err *err);
/* It, and whatever it left behind; waits until they are gone. Harmless when there is none. */
void program_kill(struct program *program);
/* It has ended, and all that it had started. Its socket need not tell: what it started may hold that. */
bool program_is_over(const struct program *program);
/* Takes `line` (NULL: out of memory) and sends it when it can. -errno: it has to be killed. */
int program_tell(struct program *program, char *line, struct err *err);
int program_flush(struct program *program, struct err *err);
/* Reads what there is and calls `hear` with each line. -errno, also from `hear`: kill it. */
int program_hear(struct program *program,
                 int (*hear)(void *context, const char *line, size_t length_bytes, struct err *err),
                 void *context, struct err *err);
