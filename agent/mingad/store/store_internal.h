// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * What the files of the store share; see store.h. For store*.c only.
 */
#include <sqlite3.h>
#include <stdbool.h>

#include "agent/mingad/store/store.h"

enum { STORE_PATH_BYTES_MAX = 512 };

struct store {
    sqlite3 *database;
    sqlite3_stmt *put;
    sqlite3_stmt *remove;
    uint32_t log_pages;     /* in the log, not yet in the database */
    struct store_mend mend; /* what had to be done at the start */
    char path[STORE_PATH_BYTES_MAX];
};

/* ------------------------------------------------------------------ store.c */

/* The errno that says to callers what SQLite's code means. */
int store_code_of(int result);
int store_failed(struct store *store, const char *doing, struct err *err);
int store_damaged(const char *path, const char *why, struct err *err);
int store_run(struct store *store, const char *sql, struct err *err);
int store_prepare(struct store *store, const char *sql, sqlite3_stmt **statement_out,
                  struct err *err);
/* A connection with the settings of every use; not yet looked at. */
int store_connect(const char *path, struct store **store_out, struct err *err);
int store_write_row(sqlite3_stmt *put, const struct overlay_blob *blob);
/* The present row of SELECT kind, key, number, bytes, checksum. Returns 0 or -EBADMSG. */
int store_read_row(sqlite3_stmt *row, struct overlay_blob *blob_out);

#define STORE_SCHEMA                                                             \
    "CREATE TABLE IF NOT EXISTS blobs(kind INTEGER NOT NULL, key BLOB NOT NULL," \
    " number INTEGER NOT NULL, bytes BLOB NOT NULL, checksum INTEGER,"           \
    " PRIMARY KEY(kind, key, number)) WITHOUT ROWID;"                            \
    "PRAGMA user_version=2"
#define STORE_PUT    "INSERT OR REPLACE INTO blobs VALUES(?1, ?2, ?3, ?4, ?5)"
#define STORE_REMOVE "DELETE FROM blobs WHERE kind=?1 AND key=?2 AND number=?3"
#define STORE_ROWS   "SELECT kind, key, number, bytes, checksum FROM blobs"

/* ------------------------------------------------------------------ store_check.c */

/* Brings an older form of the tables to the present one. */
int store_migrate(struct store *store, struct err *err);
/* Is every page and every row whole? Returns 0, -EBADMSG or another -errno. */
int store_check(struct store *store, struct err *err);

/* ------------------------------------------------------------------ store_mend.c */

/* Brings what an interrupted mending has left to its end. */
int store_mend_finish(const char *path, struct err *err);
/*
 * Puts all whole rows of the damaged database into a new one in its place; closes `damaged`. The
 * damaged file is kept beside it. Returns -EBADMSG when what only this node knew is not among them.
 */
int store_mend(struct store *damaged, struct store_mend *mend_out, struct err *err);

/* ------------------------------------------------------------------ store_wal.c */

/* Lie commits in the log of this database that SQLite will not see, though they were durable? */
bool store_log_is_damaged(const char *path);

/* ------------------------------------------------------------------ store_log.c */

/* The log's room on the disk is taken beforehand: then a commit changes no metadata. */
void store_log_open(struct store *store);
