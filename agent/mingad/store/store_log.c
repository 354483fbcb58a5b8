// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * SQLite's write-ahead log, so that a commit costs one sync of pages that the file has already.
 *
 * A log that grows makes the file system commit its journal at every sync, for the new length: many
 * times the price, and a wait for everything else that is being written. So the log is filled with
 * zeros at the start (no frame: SQLite goes by its own count and the frames' salts), and emptied
 * into the database when nobody waits, long before it is used up; then it begins anew in place.
 */
#include <sys/statvfs.h>

#include "agent/mingad/store/store_internal.h"

enum {
    LOG_BYTES = 2 << 20,
    LOG_PAGES = LOG_BYTES / 4160, /* a page of 4 KiB, its header and some reserve */
    LOG_PAGES_LONG = LOG_PAGES / 2,
    LOG_PAGES_MAX = LOG_PAGES - 64, /* what one commit may add */
    BLOCK_BYTES = 65536,
    ROOM_BYTES_MIN = 16 * LOG_BYTES,
};

static int on_commit(void *context, sqlite3 *database, const char *name, int page_count)
{
    struct store *store = context;

    (void)database;
    (void)name;
    store->log_pages = (uint32_t)page_count;
    return SQLITE_OK;
}

static int fill(sqlite3_file *file)
{
    static const uint8_t zeros[BLOCK_BYTES];
    sqlite3_int64 length_bytes = 0;
    int result = file->pMethods->xFileSize(file, &length_bytes);

    if (result != SQLITE_OK || length_bytes >= LOG_BYTES) {
        return result;
    }
    while (result == SQLITE_OK && length_bytes < LOG_BYTES) {
        sqlite3_int64 left_bytes = LOG_BYTES - length_bytes;
        int part_bytes = left_bytes < BLOCK_BYTES ? (int)left_bytes : BLOCK_BYTES;

        result = file->pMethods->xWrite(file, zeros, part_bytes, length_bytes);
        length_bytes += part_bytes;
    }
    return result == SQLITE_OK ? file->pMethods->xSync(file, SQLITE_SYNC_FULL) : result;
}

/* On a disk that is nearly full the last room is not for zeros. */
static bool has_room(const struct store *store)
{
    struct statvfs disk;

    return statvfs(store->path, &disk) == 0 &&
           (uint64_t)disk.f_bavail * disk.f_frsize >= (uint64_t)ROOM_BYTES_MIN;
}

/* What fails here only makes commits slower, and is found again by them. */
void store_log_open(struct store *store)
{
    sqlite3_file *file = NULL;
    int keeps_log = 1;

    (void)sqlite3_wal_hook(store->database, on_commit, store);
    (void)sqlite3_file_control(store->database, "main", SQLITE_FCNTL_PERSIST_WAL, &keeps_log);
    if (has_room(store) &&
        sqlite3_file_control(store->database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file) ==
            SQLITE_OK &&
        file != NULL && file->pMethods != NULL) {
        (void)fill(file);
    }
}

enum store_log store_log_state(const struct store *store)
{
    if (store->log_pages >= LOG_PAGES_MAX) {
        return STORE_LOG_TOO_LONG;
    }
    return store->log_pages >= LOG_PAGES_LONG ? STORE_LOG_LONG : STORE_LOG_SHORT;
}

int store_checkpoint(struct store *store, struct err *err)
{
    if (sqlite3_wal_checkpoint_v2(store->database, "main", SQLITE_CHECKPOINT_RESTART, NULL, NULL) !=
        SQLITE_OK) {
        return store_failed(store, "checkpoint", err);
    }
    store->log_pages = 0;
    return 0;
}
