// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* Files in memory that nobody can change once they are sealed: what a sandbox is handed. */
#include "base/bytes.h"
#include "base/err.h"

int memory_file_new(const char *name, struct err *err);
int memory_file_seal(int fd, struct err *err);
/* All in one: a sealed one with this content. */
int memory_file_of(const char *name, struct bytes content, struct err *err);
/* A sealed copy of a program's file. */
int memory_file_copy(const char *path, struct err *err);
