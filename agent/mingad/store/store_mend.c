// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A damaged database: its whole rows go into a new one.
 *
 * Safe for what was acknowledged: after each start a node compares with the other holders before
 * it answers for its records alone, so what is missing here comes back or is asked for. What only
 * this node knows (its own counters and state, the community's record) must be among the rows.
 *
 * Three names, so that it may end at any point: X.mending is being written; X.mended is complete
 * and takes the place of X and its log at the next start at the latest; X.damaged is what was.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/mingad/store/store_internal.h"
#include "base/cleanup.h"

enum { KEY_PARTS = 256, KINDS_MAX = 32 /* more than there are */ };

struct mending {
    struct store *from;
    struct store *to;
    sqlite3_stmt *rows[2]; /* of a part, from its beginning and from its end */
    sqlite3_stmt *put;
    bool kinds[KINDS_MAX]; /* found whole */
    uint32_t damaged_count;
};

struct name {
    char text[STORE_PATH_BYTES_MAX + 16];
};

static struct name beside(const char *path, const char *suffix)
{
    struct name name;

    (void)snprintf(name.text, sizeof(name.text), "%s%s", path, suffix);
    return name;
}

static int remove_file(const char *path, struct err *err)
{
    if (unlink(path) < 0 && errno != ENOENT) {
        return err_set(err, -errno, "%s: %m", path);
    }
    return 0;
}

static int move(const char *from, const char *to, struct err *err)
{
    if (rename(from, to) < 0) {
        return err_set(err, -errno, "%s to %s: %m", from, to);
    }
    return 0;
}

static int sync_folder_of(const char *path, struct err *err)
{
    char folder[STORE_PATH_BYTES_MAX];

    (void)text_copy(folder, sizeof(folder), path);
    CLEANUP(cleanup_close) int fd = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0) {
        return err_set(err, -errno, "the folder of %s: %m", path);
    }
    return 0;
}

int store_mend_finish(const char *path, struct err *err)
{
    struct name mended = beside(path, ".mended");
    struct name log = beside(path, "-wal");
    struct name damaged = beside(path, ".damaged");
    int r;

    if (access(mended.text, F_OK) < 0) {
        return 0;
    }
    r = remove_file(log.text, err);
    if (r == 0 && access(path, F_OK) == 0) {
        r = move(path, damaged.text, err);
    }
    if (r == 0) {
        r = move(mended.text, path, err);
    }
    return r == 0 ? sync_folder_of(path, err) : r;
}

/* ------------------------------------------------------------------ rows */

/* Rows of one query, until the damage. Those that are there already stay as they are. */
static int copy_rows(struct mending *mending, sqlite3_stmt *rows, struct err *err)
{
    struct overlay_blob blob;

    while (sqlite3_step(rows) == SQLITE_ROW) {
        if (store_read_row(rows, &blob) < 0 || (int)blob.kind >= KINDS_MAX) {
            mending->damaged_count++;
            continue;
        }
        if (store_write_row(mending->put, &blob) < 0) {
            return store_failed(mending->to, "mend", err);
        }
        mending->kinds[blob.kind] = true;
    }
    return 0;
}

/* From both ends of each part: what is damaged hides as little as can be. */
static int copy_part(struct mending *mending, int kind, uint8_t part, struct err *err)
{
    uint8_t low[ID_BYTES] = {part};
    uint8_t high[ID_BYTES];
    int r = 0;

    memset(high, 0xff, sizeof(high));
    high[0] = part;
    for (int i = 0; r == 0 && i < 2; i++) {
        sqlite3_stmt *rows = mending->rows[i];

        sqlite3_bind_int(rows, 1, kind);
        sqlite3_bind_blob(rows, 2, low, ID_BYTES, SQLITE_STATIC);
        sqlite3_bind_blob(rows, 3, high, ID_BYTES, SQLITE_STATIC);
        r = copy_rows(mending, rows, err);
        sqlite3_reset(rows);
        sqlite3_clear_bindings(rows);
    }
    return r;
}

static int copy_all(struct mending *mending, struct err *err)
{
    static const char *const orders[2] = {
        STORE_ROWS " WHERE kind=?1 AND key BETWEEN ?2 AND ?3 ORDER BY kind, key, number",
        STORE_ROWS " WHERE kind=?1 AND key BETWEEN ?2 AND ?3"
                   " ORDER BY kind DESC, key DESC, number DESC"};
    int r = store_prepare(mending->to, STORE_PUT, &mending->put, err);

    for (int i = 0; r == 0 && i < 2; i++) {
        r = store_prepare(mending->from, orders[i], &mending->rows[i], err);
    }
    for (int kind = BLOB_SELF; r == 0 && kind < KINDS_MAX; kind++) {
        for (int part = 0; r == 0 && part < KEY_PARTS; part++) {
            r = copy_part(mending, kind, (uint8_t)part, err);
        }
    }
    sqlite3_finalize(mending->rows[0]);
    sqlite3_finalize(mending->rows[1]);
    sqlite3_finalize(mending->put);
    return r;
}

/* ------------------------------------------------------------------ all of it */

static int count_rows(struct store *store, uint32_t *count_out, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "SELECT count(*) FROM blobs", &statement, err);

    if (r == 0 && sqlite3_step(statement) == SQLITE_ROW) {
        *count_out = (uint32_t)sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return r;
}

static int write_new(struct mending *mending, const char *path, uint32_t *count_out,
                     struct err *err)
{
    int r = store_connect(path, &mending->to, err);

    if (r == 0) {
        r = store_run(mending->to, "PRAGMA synchronous=FULL;BEGIN;" STORE_SCHEMA, err);
    }
    if (r == 0) {
        r = copy_all(mending, err);
    }
    if (r == 0) {
        r = count_rows(mending->to, count_out, err);
    }
    return r == 0 ? store_run(mending->to, "COMMIT", err) : r;
}

/* A member keeps its counters and the community's record; of them there is no second copy. */
static bool has_what_nobody_else_has(const struct mending *mending)
{
    return mending->kinds[BLOB_SELF] && mending->kinds[BLOB_COMMUNITY] &&
           mending->kinds[BLOB_ADMISSION];
}

int store_mend(struct store *damaged, struct store_mend *mend_out, struct err *err)
{
    struct mending mending = {.from = damaged};
    struct name path = beside(damaged->path, "");
    struct name unfinished = beside(damaged->path, ".mending");
    struct name mended = beside(damaged->path, ".mended");
    struct err ours = {0};
    uint32_t count = 0;
    int r = remove_file(unfinished.text, &ours);

    if (r == 0) {
        r = write_new(&mending, unfinished.text, &count, &ours);
    }
    store_close(mending.to);
    store_close(damaged);
    if (r < 0 || !has_what_nobody_else_has(&mending)) {
        (void)unlink(unfinished.text);
        return err->code; /* what is damaged, and what a person can do */
    }
    r = move(unfinished.text, mended.text, err);
    if (r == 0) {
        r = sync_folder_of(path.text, err);
    }
    if (r == 0) {
        r = store_mend_finish(path.text, err);
    }
    if (r == 0) {
        *mend_out = (struct store_mend){
            .is_mended = true, .kept_count = count, .damaged_count = mending.damaged_count};
        *err = (struct err){0};
    }
    return r;
}
