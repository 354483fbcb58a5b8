// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * Writes to the store from the loop without waiting for the disk.
 *
 * All changes of one turn of the loop, and those that came while a commit was running, become one
 * transaction. Their ends are reported in the order in which they were asked for. What nobody waits
 * for is written with the next change that somebody waits for, or UNHURRIED_MS later.
 *
 * What could not be written (a full disk) is reported as failed and tried again, once a second and
 * before whatever comes, until it is on the disk or a later change has taken its place: the core goes
 * on with what it knows, and its disk must not fall behind for good. What waits behind it fails with
 * it: nothing is durable before what was asked for earlier.
 *
 * More than one transaction's changes wait in several; beyond STORE_WAITING_MAX what comes is lost.
 */
#include <uv.h>

#include "agent/mingad/store/store.h"

struct store_writer;

enum { STORE_WAITING_MAX = 16 * STORE_BATCH_MAX }; /* changes */

/* A change is durable, or (failed) is not yet. Never called for token 0. */
typedef void store_stored(void *context, uint64_t token, bool failed);

/* Borrows loop and store. Returns NULL without memory. */
struct store_writer *store_writer_new(uv_loop_t *loop, struct store *store, store_stored *stored,
                                      void *context);
/* Only while store_writer_is_idle. */
void store_writer_free(struct store_writer *writer);
/* Copies the blob. What finds no room is reported as failed with the next commit, and logged. */
void store_writer_put(struct store_writer *writer, const struct overlay_blob *blob, uint64_t token);
/* The same of what nobody waits for. */
void store_writer_put_unhurried(struct store_writer *writer, const struct overlay_blob *blob,
                                uint64_t token);
/* Begins a commit if there is something to write and none is running: once per turn. */
void store_writer_flush(struct store_writer *writer);
/* When store_writer_flush is to be called again, by clock_now_ms; 0: with the next turn. */
uint64_t store_writer_wake_ms(const struct store_writer *writer);
/* Writes what waits; nothing waits from now on. */
void store_writer_end(struct store_writer *writer);
bool store_writer_is_idle(const struct store_writer *writer);
