// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/cleanup.h"

enum { BUSY_MS_MAX = 5000, SCHEMA_VERSION = 1, SOFT_HEAP_BYTES = 2 << 20 };

struct store {
    sqlite3 *database;
    sqlite3_stmt *put;
    sqlite3_stmt *remove;
    char path[512];
};

/* ------------------------------------------------------------------ batches */

int store_batch_add(struct store_batch *batch, const struct overlay_blob *blob, uint64_t token)
{
    struct store_change change = {.kind = blob->kind,
                                  .key = blob->key,
                                  .number = blob->number,
                                  .length_bytes = blob->bytes.length_bytes,
                                  .token = token};

    if (batch->count == STORE_BATCH_MAX) {
        return -ENOBUFS;
    }
    if (blob->bytes.length_bytes > 0) {
        CHECK(blob->bytes.length_bytes <= STORE_BLOB_BYTES_MAX);
        change.data = malloc(blob->bytes.length_bytes);
        if (change.data == NULL) {
            return -ENOMEM;
        }
        memcpy(change.data, blob->bytes.data, blob->bytes.length_bytes);
    }
    batch->changes[batch->count++] = change;
    return 0;
}

void store_batch_clear(struct store_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        free(batch->changes[i].data);
    }
    batch->count = 0;
}

/* ------------------------------------------------------------------ open */

/* The errno that says to callers what SQLite's code means. */
static int code_of(int result)
{
    switch (result & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return -EACCES;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    default:
        return -EIO;
    }
}

static int damaged(const char *path, const char *why, struct err *err)
{
    err_set(err, -EBADMSG, "database %s is damaged: %s", path, why);
    return err_hint(err, "stop mingad, move the file away and start it again: the node's key and "
                         "chunks stay, its records come back from the other members");
}

static int store_failed(struct store *store, const char *doing, struct err *err)
{
    int code = code_of(sqlite3_extended_errcode(store->database));

    if (code == -EBADMSG) {
        return damaged(store->path, sqlite3_errmsg(store->database), err);
    }
    return err_set(err, code, "database %s: %s: %s", store->path, doing,
                   sqlite3_errmsg(store->database));
}

static int run(struct store *store, const char *sql, struct err *err)
{
    if (sqlite3_exec(store->database, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return store_failed(store, sql, err);
    }
    return 0;
}

static int prepare(struct store *store, const char *sql, sqlite3_stmt **statement_out,
                   struct err *err)
{
    if (sqlite3_prepare_v3(store->database, sql, -1, SQLITE_PREPARE_PERSISTENT, statement_out,
                           NULL) != SQLITE_OK) {
        return store_failed(store, "prepare", err);
    }
    return 0;
}

/* The first row's first column of a query, as text; "" when there is none. */
static int ask_text(struct store *store, const char *sql, char *text_out, size_t capacity_bytes,
                    struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(store, sql, &statement, err);

    if (r < 0) {
        return r;
    }
    text_out[0] = '\0';
    int step = sqlite3_step(statement);

    if (step == SQLITE_ROW && sqlite3_column_text(statement, 0) != NULL) {
        (void)text_copy(text_out, capacity_bytes, (const char *)sqlite3_column_text(statement, 0));
    } else if (step != SQLITE_DONE && step != SQLITE_ROW) {
        r = store_failed(store, sql, err);
    }
    sqlite3_finalize(statement);
    return r;
}

static int check_database(struct store *store, struct err *err)
{
    char text[128];
    int r = ask_text(store, "PRAGMA quick_check(1)", text, sizeof(text), err);

    if (r < 0) {
        return r;
    }
    if (strcmp(text, "ok") != 0) {
        return damaged(store->path, text, err);
    }
    r = ask_text(store, "PRAGMA user_version", text, sizeof(text), err);
    if (r < 0) {
        return r;
    }
    if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0) {
        return err_set(err, -EPROTO, "database %s: written by a newer mingad (version %s)",
                       store->path, text);
    }
    return 0;
}

/*
 * FULL with WAL syncs the log at every commit: what was acknowledged to other nodes survives a
 * power cut. Small caches: the overlay holds everything in memory, SQLite only writes it.
 */
static int set_up(struct store *store, struct err *err)
{
    static const char *const steps[] = {
        "PRAGMA cache_size=-128",
        "PRAGMA temp_store=MEMORY",
        "PRAGMA secure_delete=OFF",
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "PRAGMA wal_autocheckpoint=256",
        "PRAGMA journal_size_limit=2097152",
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof(steps) / sizeof(steps[0]); i++) {
        r = run(store, steps[i], err);
    }
    if (r == 0) {
        r = check_database(store, err);
    }
    if (r == 0) {
        r = run(store,
                "CREATE TABLE IF NOT EXISTS blobs(kind INTEGER NOT NULL, key BLOB NOT NULL,"
                " number INTEGER NOT NULL, bytes BLOB NOT NULL,"
                " PRIMARY KEY(kind, key, number)) WITHOUT ROWID;"
                "PRAGMA user_version=1",
                err);
    }
    if (r == 0) {
        r = prepare(store, "INSERT OR REPLACE INTO blobs VALUES(?1, ?2, ?3, ?4)", &store->put, err);
    }
    if (r == 0) {
        r = prepare(store, "DELETE FROM blobs WHERE kind=?1 AND key=?2 AND number=?3",
                    &store->remove, err);
    }
    return r;
}

int store_open(const char *path, struct store **store_out, struct err *err)
{
    struct store *store = calloc(1, sizeof(*store));

    if (store == NULL) {
        return err_set(err, -ENOMEM, "database %s: out of memory", path);
    }
    if (text_copy(store->path, sizeof(store->path), path) < 0) {
        free(store);
        return err_set(err, -ENAMETOOLONG, "database %s: path too long", path);
    }
    sqlite3_soft_heap_limit64(SOFT_HEAP_BYTES);
    int result = sqlite3_open_v2(path, &store->database,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                     SQLITE_OPEN_NOFOLLOW,
                                 NULL);
    int r = 0;

    if (result != SQLITE_OK) {
        r = err_set(err, code_of(result), "database %s: %s", path, sqlite3_errstr(result));
    } else {
        sqlite3_busy_timeout(store->database, BUSY_MS_MAX);
        r = set_up(store, err);
    }
    if (r < 0) {
        store_close(store);
        return r;
    }
    *store_out = store;
    return 0;
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    sqlite3_finalize(store->put);
    sqlite3_finalize(store->remove);
    sqlite3_close(store->database);
    free(store);
}

/* ------------------------------------------------------------------ load */

static int visit_row(sqlite3_stmt *statement, store_visit *visit, void *context)
{
    int key_bytes = sqlite3_column_bytes(statement, 1);
    int length_bytes = sqlite3_column_bytes(statement, 3);
    struct overlay_blob blob = {.kind = BLOB_SELF};

    if (key_bytes != ID_BYTES || length_bytes <= 0 || length_bytes > STORE_BLOB_BYTES_MAX ||
        sqlite3_column_type(statement, 3) != SQLITE_BLOB) {
        return -EBADMSG;
    }
    blob.kind = (enum overlay_blob_kind)sqlite3_column_int(statement, 0);
    memcpy(blob.key.bytes, sqlite3_column_blob(statement, 1), ID_BYTES);
    blob.number = (uint64_t)sqlite3_column_int64(statement, 2);
    blob.bytes = (struct bytes){sqlite3_column_blob(statement, 3), (size_t)length_bytes};
    visit(context, &blob);
    return 0;
}

int store_load(struct store *store, store_visit *visit, void *context, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int r = prepare(store, "SELECT kind, key, number, bytes FROM blobs ORDER BY kind, key, number",
                    &statement, err);

    if (r < 0) {
        return r;
    }
    int step = sqlite3_step(statement);

    while (r == 0 && step == SQLITE_ROW) {
        r = visit_row(statement, visit, context);
        step = sqlite3_step(statement);
    }
    if (r < 0) {
        r = damaged(store->path, "a row has another form", err);
    } else if (step != SQLITE_DONE) {
        r = store_failed(store, "load", err);
    }
    sqlite3_finalize(statement);
    return r;
}

/* ------------------------------------------------------------------ apply */

static int apply_one(struct store *store, const struct store_change *change)
{
    sqlite3_stmt *statement = change->data == NULL ? store->remove : store->put;
    bool is_bound =
        sqlite3_bind_int(statement, 1, (int)change->kind) == SQLITE_OK &&
        sqlite3_bind_blob(statement, 2, change->key.bytes, ID_BYTES, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_bind_int64(statement, 3, (sqlite3_int64)change->number) == SQLITE_OK;

    if (is_bound && change->data != NULL) {
        is_bound = sqlite3_bind_blob(statement, 4, change->data, (int)change->length_bytes,
                                     SQLITE_STATIC) == SQLITE_OK;
    }
    int step = is_bound ? sqlite3_step(statement) : SQLITE_ERROR;

    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return step == SQLITE_DONE ? 0 : -EIO;
}

int store_apply(struct store *store, const struct store_batch *batch, struct err *err)
{
    int r = run(store, "BEGIN IMMEDIATE", err);

    for (uint32_t i = 0; r == 0 && i < batch->count; i++) {
        if (apply_one(store, &batch->changes[i]) < 0) {
            r = store_failed(store, "write", err);
        }
    }
    if (r == 0) {
        r = run(store, "COMMIT", err);
    }
    if (r < 0 && sqlite3_get_autocommit(store->database) == 0) {
        /* Best effort: SQLite rolls back by itself on most failures. */
        sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
    }
    return r;
}
