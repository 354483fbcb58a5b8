// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/mingad/store/store_internal.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"

enum { BUSY_MS_MAX = 5000, SOFT_HEAP_BYTES = 2 << 20 };

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

/* ------------------------------------------------------------------ errors */

int store_code_of(int result)
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

int store_damaged(const char *path, const char *why, struct err *err)
{
    err_set(err, -EBADMSG, "database %s is damaged: %s", path, why);
    return err_hint(err, "stop mingad, move the file away and start it again: the node's key and "
                         "chunks stay, its records come back from the other members");
}

static int explain(int code, struct err *err)
{
    switch (code) {
    case -ENOSPC:
        return err_hint(err, "free some room on its file system; nothing that is stored is lost");
    case -EACCES:
        return err_hint(err, "is its file system mounted read-only, or does the file belong to "
                             "another user?");
    case -EBUSY:
        return err_hint(err, "another program has it open");
    case -EIO:
        return err_hint(err, "the kernel's log says what the disk has");
    default:
        return code;
    }
}

int store_failed(struct store *store, const char *doing, struct err *err)
{
    int code = store_code_of(sqlite3_extended_errcode(store->database));
    int cause = sqlite3_system_errno(store->database);

    if (code == -EBADMSG) {
        return store_damaged(store->path, sqlite3_errmsg(store->database), err);
    }
    if (code == -EIO && (cause == ENOSPC || cause == EDQUOT)) {
        code = -ENOSPC;
    }
    err_set(err, code, "database %s: %s: %s%s%s", store->path, doing,
            sqlite3_errmsg(store->database), cause != 0 ? ": " : "",
            cause != 0 ? err_text(cause) : "");
    return explain(code, err);
}

int store_run(struct store *store, const char *sql, struct err *err)
{
    if (sqlite3_exec(store->database, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return store_failed(store, sql, err);
    }
    return 0;
}

int store_prepare(struct store *store, const char *sql, sqlite3_stmt **statement_out,
                  struct err *err)
{
    if (sqlite3_prepare_v3(store->database, sql, -1, SQLITE_PREPARE_PERSISTENT, statement_out,
                           NULL) != SQLITE_OK) {
        return store_failed(store, "prepare", err);
    }
    return 0;
}

/* ------------------------------------------------------------------ open */

/*
 * FULL with WAL syncs the log at every commit: what was acknowledged to other nodes survives a
 * power cut. EXCLUSIVE: one process alone uses it, without locks and shared memory. The log is
 * emptied by store_checkpoint alone. Small caches: the overlay holds everything in memory, SQLite
 * only writes it.
 */
static int set_up(struct store *store, struct err *err)
{
    static const char *const steps[] = {
        "PRAGMA cache_size=-128",      "PRAGMA temp_store=MEMORY",
        "PRAGMA secure_delete=OFF",    "PRAGMA locking_mode=EXCLUSIVE",
        "PRAGMA journal_mode=WAL",     "PRAGMA synchronous=FULL",
        "PRAGMA wal_autocheckpoint=0", "PRAGMA journal_size_limit=4194304",
    };
    int r = 0;

    sqlite3_busy_timeout(store->database, BUSY_MS_MAX);
    for (size_t i = 0; r == 0 && i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (sqlite3_exec(store->database, steps[i], NULL, NULL, NULL) != SQLITE_OK) {
            r = store_failed(store, "open", err);
        }
    }
    return r;
}

int store_connect(const char *path, struct store **store_out, struct err *err)
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

    if (result != SQLITE_OK) {
        int code = store_code_of(result);

        err_set(err, code, "database %s: %s", path, sqlite3_errstr(result));
        store_close(store);
        return explain(code, err);
    }
    *store_out = store;
    return 0;
}

static int open_once(const char *path, struct store **store_out, struct err *err)
{
    struct store *store = NULL;
    int r = store_connect(path, &store, err);

    if (r == 0) {
        CHECK(store != NULL);
        *store_out = store; /* also when it is damaged: to be mended */
        r = set_up(store, err);
    }
    if (r == 0) {
        r = store_migrate(store, err);
    }
    return r == 0 ? store_check(store, err) : r;
}

/* A damaged one is opened a second time when it is mended, and never a third time. */
static int open_whole(const char *path, struct store **store_out, struct err *err)
{
    struct store_mend mend = {0};
    int r = store_mend_finish(path, err);
    bool is_log_damaged = r == 0 && store_log_is_damaged(path);

    if (r == 0) {
        r = open_once(path, store_out, err);
    }
    if (r == -EBADMSG) {
        struct store *damaged = *store_out;

        *store_out = NULL;
        r = store_mend(damaged, &mend, err);
        if (r == 0) {
            r = open_once(path, store_out, err);
        }
    }
    if (r == 0) {
        CHECK(*store_out != NULL);
        mend.is_log_damaged = is_log_damaged;
        (*store_out)->mend = mend;
    }
    return r;
}

int store_open(const char *path, struct store **store_out, struct err *err)
{
    struct store *store = NULL;
    int r = open_whole(path, &store, err);

    if (r == 0) {
        r = store_prepare(store, STORE_PUT, &store->put, err);
    }
    if (r == 0) {
        r = store_prepare(store, STORE_REMOVE, &store->remove, err);
    }
    if (r < 0) {
        store_close(store);
        return r;
    }
    store_log_open(store);
    *store_out = store;
    return 0;
}

const struct store_mend *store_mended(const struct store *store)
{
    return &store->mend;
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

/* ------------------------------------------------------------------ rows */

/* SQLite does not see a changed byte inside of a row. */
static sqlite3_int64 checksum_of(const struct overlay_blob *blob)
{
    struct hash hash;
    struct id id;
    uint8_t place[9] = {(uint8_t)blob->kind};

    for (int i = 0; i < 8; i++) {
        place[1 + i] = (uint8_t)(blob->number >> 8 * i);
    }
    hash_init(&hash, "minga row");
    hash_add(&hash, (struct bytes){place, sizeof(place)});
    hash_add(&hash, (struct bytes){blob->key.bytes, ID_BYTES});
    hash_add(&hash, blob->bytes);
    hash_done(&hash, &id);
    return (sqlite3_int64)id_top(&id);
}

int store_write_row(sqlite3_stmt *put, const struct overlay_blob *blob)
{
    bool is_bound =
        sqlite3_bind_int(put, 1, (int)blob->kind) == SQLITE_OK &&
        sqlite3_bind_blob(put, 2, blob->key.bytes, ID_BYTES, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_bind_int64(put, 3, (sqlite3_int64)blob->number) == SQLITE_OK;

    if (is_bound && blob->bytes.data != NULL) {
        is_bound = sqlite3_bind_blob(put, 4, blob->bytes.data, (int)blob->bytes.length_bytes,
                                     SQLITE_STATIC) == SQLITE_OK &&
                   sqlite3_bind_int64(put, 5, checksum_of(blob)) == SQLITE_OK;
    }
    int step = is_bound ? sqlite3_step(put) : SQLITE_ERROR;

    sqlite3_reset(put);
    sqlite3_clear_bindings(put);
    return step == SQLITE_DONE ? 0 : -EIO;
}

int store_read_row(sqlite3_stmt *row, struct overlay_blob *blob_out)
{
    int key_bytes = sqlite3_column_bytes(row, 1);
    int length_bytes = sqlite3_column_bytes(row, 3);
    struct overlay_blob blob = {.kind = BLOB_SELF};

    if (key_bytes != ID_BYTES || length_bytes <= 0 || length_bytes > STORE_BLOB_BYTES_MAX ||
        sqlite3_column_type(row, 3) != SQLITE_BLOB || sqlite3_column_blob(row, 3) == NULL) {
        return -EBADMSG;
    }
    blob.kind = (enum overlay_blob_kind)sqlite3_column_int(row, 0);
    memcpy(blob.key.bytes, sqlite3_column_blob(row, 1), ID_BYTES);
    blob.number = (uint64_t)sqlite3_column_int64(row, 2);
    blob.bytes = (struct bytes){sqlite3_column_blob(row, 3), (size_t)length_bytes};
    /* None: written by the first version. */
    if (sqlite3_column_type(row, 4) != SQLITE_NULL &&
        sqlite3_column_int64(row, 4) != checksum_of(&blob)) {
        return -EBADMSG;
    }
    *blob_out = blob;
    return 0;
}

int store_load(struct store *store, store_visit *visit, void *context, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    struct overlay_blob blob;
    int r = store_prepare(store, STORE_ROWS " ORDER BY kind, key, number", &statement, err);

    if (r < 0) {
        return r;
    }
    int step = sqlite3_step(statement);

    while (r == 0 && step == SQLITE_ROW) {
        r = store_read_row(statement, &blob);
        if (r == 0) {
            visit(context, &blob);
            step = sqlite3_step(statement);
        }
    }
    if (r < 0) {
        r = store_damaged(store->path, "a row is not whole", err);
    } else if (step != SQLITE_DONE) {
        r = store_failed(store, "load", err);
    }
    sqlite3_finalize(statement);
    return r;
}

/* ------------------------------------------------------------------ apply */

static int apply_one(struct store *store, const struct store_change *change)
{
    struct overlay_blob blob = {.kind = change->kind,
                                .key = change->key,
                                .number = change->number,
                                .bytes = {change->data, change->length_bytes}};

    return store_write_row(change->data == NULL ? store->remove : store->put, &blob);
}

int store_apply(struct store *store, const struct store_batch *batch, struct err *err)
{
    int r = store_run(store, "BEGIN IMMEDIATE", err);

    for (uint32_t i = 0; r == 0 && i < batch->count; i++) {
        if (apply_one(store, &batch->changes[i]) < 0) {
            r = store_failed(store, "write", err);
        }
    }
    if (r == 0) {
        r = store_run(store, "COMMIT", err);
    }
    if (r < 0 && sqlite3_get_autocommit(store->database) == 0) {
        /* Best effort: SQLite rolls back by itself on most failures. */
        sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
    }
    return r;
}
