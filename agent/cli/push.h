// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* From a folder to stored chunks, version record and service record. */
#include "agent/cli/session.h"

enum { PUSH_NOTES_MAX = 64, PUSH_NOTE_CHARS_MAX = 255 };

/* What was dropped from the bundle; those beyond the max are only counted. */
struct push_notes {
    uint32_t count;
    char lines[PUSH_NOTES_MAX][PUSH_NOTE_CHARS_MAX + 1];
};

void push_note(struct push_notes *notes, const char *line);
/* `name`: of file or folder, for messages. Prints the result. */
int push_folder(struct session *session, const char *name, int folder_fd, struct push_notes *notes);
