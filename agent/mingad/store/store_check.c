// SPDX-License-Identifier: GPL-3.0-or-later
/* Is the database whole, and of a form that this program knows? */
#include <errno.h>
#include <string.h>

#include "agent/mingad/store/store_internal.h"
#include "base/bytes.h"

/* The first row's first column of a query, as text; "" when there is none. */
static int ask_text(struct store *store, const char *sql, char *text_out, size_t capacity_bytes,
                    struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, sql, &statement, err);

    if (r < 0) {
        return r;
    }
    text_out[0] = '\0';
    int step = sqlite3_step(statement);

    if (step == SQLITE_ROW && sqlite3_column_text(statement, 0) != NULL) {
        (void)text_copy(text_out, capacity_bytes, (const char *)sqlite3_column_text(statement, 0));
    } else if (step != SQLITE_DONE) {
        r = store_failed(store, sql, err);
    }
    sqlite3_finalize(statement);
    return r;
}

int store_migrate(struct store *store, struct err *err)
{
    char version[32];
    int r = ask_text(store, "PRAGMA user_version", version, sizeof(version), err);

    if (r < 0 || strcmp(version, "2") == 0) {
        return r;
    }
    if (strcmp(version, "0") == 0) {
        return store_run(store, "BEGIN IMMEDIATE;" STORE_SCHEMA ";COMMIT", err);
    }
    if (strcmp(version, "1") == 0) {
        return store_run(store,
                         "BEGIN IMMEDIATE;ALTER TABLE blobs ADD COLUMN checksum INTEGER;"
                         "PRAGMA user_version=2;COMMIT",
                         err);
    }
    err_set(err, -EPROTO, "database %s: written by a newer mingad (version %s)", store->path,
            version);
    return err_hint(err, "install that mingad again, or move the file away: the node's key and "
                         "chunks stay, its records come back from the other members");
}

static int check_rows(struct store *store, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    struct overlay_blob blob;
    int r = store_prepare(store, STORE_ROWS, &statement, err);
    int step = SQLITE_ROW;

    while (r == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        if (store_read_row(statement, &blob) < 0) {
            r = sqlite3_errcode(store->database) == SQLITE_NOMEM
                    ? store_failed(store, "check", err)
                    : store_damaged(store->path, "a row is not whole", err);
        }
    }
    if (r == 0 && step != SQLITE_DONE) {
        r = store_failed(store, "check", err);
    }
    sqlite3_finalize(statement);
    return r;
}

int store_check(struct store *store, struct err *err)
{
    char text[128];
    int r = ask_text(store, "PRAGMA quick_check(1)", text, sizeof(text), err);

    if (r < 0) {
        return r;
    }
    if (strcmp(text, "ok") != 0) {
        return store_damaged(store->path, text, err);
    }
    return check_rows(store, err);
}
