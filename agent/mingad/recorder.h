// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * `mingad --record FILE`: all that the core is told, in the form of agent/core/recording.h, so that
 * a failure in the field can be run again with `./dev replay FILE`.
 *
 * The file is its owner's only (0600) and never longer than the limit: then recording ends, and the
 * node goes on. A file of that name is kept as FILE.1. Each event is written before the core is
 * stepped: what made the process end is the last one.
 *
 * Whoever is called with a recorder may be called with NULL, which records nothing.
 */
#include "agent/core/recording.h"
#include "base/err.h"

struct recorder;

int recorder_open(const char *path, uint64_t bytes_max, struct recorder **recorder_out,
                  struct err *err);
void recorder_close(struct recorder *recorder);

/* A core is about to be made of `config`, whose key signs through the recorder from now on. */
void recorder_life(struct recorder *recorder, struct core_config *config);
void recorder_blob(struct recorder *recorder, const struct overlay_blob *blob);
void recorder_chunk(struct recorder *recorder, const struct chunk_id *chunk, uint64_t bytes);
void recorder_start(struct recorder *recorder, uint64_t now_ms, uint64_t wall_unix_s);
void recorder_event(struct recorder *recorder, const struct core_event *event);
/* The step is over. */
void recorder_done(struct recorder *recorder, const struct core_effects *effects);
