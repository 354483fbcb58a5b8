// SPDX-License-Identifier: GPL-3.0-or-later
/* A database that something else has written to: mended, or refused with what to do. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/mingad/store/store.h"

enum { RECORD_COUNT = 200, CONTENT_BYTES = 300, FLIPS = 80 };

static char folder[] = "/tmp/minga-damage-XXXXXX";
static char path[128];
static char log_path[128];
static char damaged_path[128];

static void make_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/minga.db", folder);
    snprintf(log_path, sizeof(log_path), "%s/minga.db-wal", folder);
    snprintf(damaged_path, sizeof(damaged_path), "%s/minga.db.damaged", folder);
}

static void remove_folder(void)
{
    static const char *const names[] = {"minga.db",         "minga.db-wal",    "minga.db-shm",
                                        "minga.db.damaged", "minga.db.mended", "minga.db.mending"};

    (void)umount2(folder, MNT_DETACH);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char file[160];

        snprintf(file, sizeof(file), "%s/%s", folder, names[i]);
        unlink(file);
    }
    rmdir(folder);
}

TestSuite(damage, .init = make_folder, .fini = remove_folder);

/* The same for the same number: recognised again. */
static void content_of(uint64_t number, uint8_t bytes[CONTENT_BYTES])
{
    for (size_t i = 0; i < CONTENT_BYTES; i++) {
        bytes[i] = (uint8_t)(number * 31 + i * 7 + 1);
    }
}

static void apply_blob(struct store *store, enum overlay_blob_kind kind, uint64_t number)
{
    struct overlay_blob blob = {.kind = kind, .number = number};
    struct store_batch *batch = calloc(1, sizeof(*batch));
    uint8_t bytes[CONTENT_BYTES];
    struct err err = {0};

    content_of(number, bytes);
    for (int i = 0; i < ID_BYTES; i++) {
        blob.key.bytes[i] = (uint8_t)(number * (uint64_t)(i + 97));
    }
    blob.bytes = (struct bytes){bytes, sizeof(bytes)};
    cr_assert_eq(store_batch_add(batch, &blob, 1), 0);
    cr_assert_eq(store_apply(store, batch, &err), 0, "%s", err.text);
    store_batch_clear(batch);
    free(batch);
}

/* As a member has one; closed, so that all is in the file itself. */
static void make_database(bool is_member)
{
    struct store *store = NULL;
    struct err err = {0};

    cr_assert_eq(store_open(path, &store, &err), 0, "%s", err.text);
    if (is_member) {
        apply_blob(store, BLOB_SELF, 0);
        apply_blob(store, BLOB_COMMUNITY, 0);
        apply_blob(store, BLOB_ADMISSION, 0);
    }
    for (uint64_t i = 1; i <= RECORD_COUNT; i++) {
        apply_blob(store, BLOB_RECORD, i);
    }
    store_close(store);
}

struct seen {
    uint32_t record_count;
    uint32_t wrong_count;
};

static void see(void *context, const struct overlay_blob *blob)
{
    struct seen *seen = context;
    uint8_t bytes[CONTENT_BYTES];

    content_of(blob->number, bytes);
    seen->record_count += blob->kind == BLOB_RECORD;
    seen->wrong_count += blob->bytes.length_bytes != sizeof(bytes) ||
                         memcmp(blob->bytes.data, bytes, sizeof(bytes)) != 0;
}

static off_t size_of(const char *file)
{
    struct stat status;

    return stat(file, &status) < 0 ? -1 : status.st_size;
}

static void write_at(const char *file, off_t offset, const void *bytes, size_t length_bytes)
{
    int fd = open(file, O_WRONLY | O_CLOEXEC);

    cr_assert_eq(pwrite(fd, bytes, length_bytes, offset), (ssize_t)length_bytes);
    close(fd);
}

static struct bytes read_whole(const char *file)
{
    size_t length_bytes = (size_t)size_of(file);
    uint8_t *bytes = malloc(length_bytes);
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    cr_assert_eq(pread(fd, bytes, length_bytes, 0), (ssize_t)length_bytes);
    close(fd);
    return (struct bytes){bytes, length_bytes};
}

/* Opens whatever is there: 0 and what is in it, or the error. */
static int open_and_see(struct seen *seen_out, struct store_mend *mend_out, struct err *err)
{
    struct store *store = NULL;
    int r = store_open(path, &store, err);

    *seen_out = (struct seen){0};
    if (r < 0) {
        return r;
    }
    *mend_out = *store_mended(store);
    cr_assert_eq(store_load(store, see, seen_out, err), 0, "%s", err->text);
    store_close(store);
    return 0;
}

Test(damage, a_flipped_byte_anywhere_is_mended_or_refused_and_never_believed)
{
    struct store_mend mend = {0};
    struct seen seen = {0};
    struct err err = {0};
    uint32_t mended_count = 0;
    uint32_t refused_count = 0;

    make_database(true);
    struct bytes whole = read_whole(path);

    srandom(1);
    for (int i = 0; i < FLIPS; i++) {
        off_t offset = (off_t)((uint64_t)random() % whole.length_bytes);
        uint8_t flipped = whole.data[offset] ^ (uint8_t)(1U << (random() % 8));
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        cr_assert_eq(write(fd, whole.data, whole.length_bytes), (ssize_t)whole.length_bytes);
        close(fd);
        unlink(log_path);
        write_at(path, offset, &flipped, 1);
        err = (struct err){0};
        int r = open_and_see(&seen, &mend, &err);

        cr_assert_eq(seen.wrong_count, 0, "byte %ld", (long)offset);
        if (r < 0) {
            refused_count++;
            cr_assert_neq(err.text[0], '\0', "byte %ld", (long)offset);
            cr_assert_neq(err.hint[0], '\0', "byte %ld: %s", (long)offset, err.text);
            continue;
        }
        mended_count += mend.is_mended;
        cr_assert(mend.is_mended || seen.record_count == RECORD_COUNT, "byte %ld", (long)offset);
    }
    cr_assert_gt(mended_count, FLIPS / 4, "%u", mended_count);
    cr_assert_lt(refused_count, FLIPS / 4, "%u", refused_count);
    free((void *)(uintptr_t)whole.data);
}

Test(damage, a_row_that_is_not_whole_is_left_out_and_the_old_file_is_kept)
{
    uint8_t content[CONTENT_BYTES];
    struct store_mend mend = {0};
    struct seen seen = {0};
    struct err err = {0};

    make_database(true);
    struct bytes whole = read_whole(path);

    content_of(7, content);
    const uint8_t *place = memmem(whole.data, whole.length_bytes, content, sizeof(content));

    cr_assert_not_null(place);
    write_at(path, place - whole.data + 100, "?", 1);
    free((void *)(uintptr_t)whole.data);
    cr_assert_eq(open_and_see(&seen, &mend, &err), 0, "%s", err.text);
    cr_assert(mend.is_mended);
    cr_assert_eq(mend.damaged_count, 2, "it is met from both sides");
    cr_assert_eq(mend.kept_count, RECORD_COUNT + 3 - 1);
    cr_assert_eq(seen.record_count, RECORD_COUNT - 1);
    cr_assert_gt(size_of(damaged_path), 0);
    cr_assert_eq(open_and_see(&seen, &mend, &err), 0, "%s", err.text);
    cr_assert_not(mend.is_mended, "once is enough");
}

Test(damage, a_page_of_rubbish_costs_only_what_lay_on_it)
{
    struct store_mend mend = {0};
    struct seen seen = {0};
    struct err err = {0};
    uint8_t rubbish[4096];

    make_database(true);
    memset(rubbish, 0x5a, sizeof(rubbish));
    write_at(path, 4096L * 9, rubbish, sizeof(rubbish));
    cr_assert_eq(open_and_see(&seen, &mend, &err), 0, "%s", err.text);
    cr_assert(mend.is_mended);
    cr_assert_gt(seen.record_count, RECORD_COUNT * 8 / 10, "%u", seen.record_count);
    cr_assert_lt(seen.record_count, RECORD_COUNT);
    cr_assert_eq(seen.wrong_count, 0);
}

Test(damage, without_what_nobody_else_knows_it_is_refused_and_left_as_it_is)
{
    struct store_mend mend = {0};
    struct seen seen = {0};
    struct err err = {0};
    uint8_t rubbish[4096];

    make_database(false);
    memset(rubbish, 0x5a, sizeof(rubbish));
    write_at(path, 4096L * 9, rubbish, sizeof(rubbish));
    cr_assert_eq(open_and_see(&seen, &mend, &err), -EBADMSG);
    cr_assert_not_null(strstr(err.text, "is damaged"), "%s", err.text);
    cr_assert_not_null(strstr(err.hint, "move the file away"), "%s", err.hint);
    cr_assert_null(strchr(err.text, '\n'));
    cr_assert_eq(size_of(damaged_path), -1);
    cr_assert_gt(size_of(path), 0);
}

Test(damage, an_interrupted_mending_is_brought_to_its_end)
{
    struct store_mend mend = {0};
    struct seen seen = {0};
    struct err err = {0};
    char mended[160];

    make_database(true);
    snprintf(mended, sizeof(mended), "%s.mended", path);
    cr_assert_eq(rename(path, mended), 0);
    int fd = open(log_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* the damaged one's */

    cr_assert_eq(write(fd, "old", 3), 3);
    close(fd);
    cr_assert_eq(open_and_see(&seen, &mend, &err), 0, "%s", err.text);
    cr_assert_eq(seen.record_count, RECORD_COUNT);
    cr_assert_eq(size_of(mended), -1);
}

/* Leaves the log as a killed process does. */
static void leave_log(void)
{
    make_database(true);
    if (fork() == 0) {
        struct store *store = NULL;
        struct err err = {0};

        if (store_open(path, &store, &err) < 0) {
            _exit(1);
        }
        for (uint64_t i = RECORD_COUNT + 1; i <= RECORD_COUNT + 50; i++) {
            apply_blob(store, BLOB_RECORD, i);
        }
        _exit(0);
    }
    int status = 0;

    cr_assert_geq(wait(&status), 0);
    cr_assert_eq(status, 0);
}

Test(damage, a_log_cut_anywhere_opens_with_what_is_whole_of_it)
{
    struct store_mend mend = {0};
    struct seen seen = {0};
    struct err err = {0};

    leave_log();
    struct bytes database = read_whole(path);
    struct bytes log = read_whole(log_path);

    for (size_t length = 0; length < log.length_bytes && length < 300000; length += 7919) {
        int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

        cr_assert_eq(write(fd, database.data, database.length_bytes),
                     (ssize_t)database.length_bytes);
        close(fd);
        fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        cr_assert_eq(write(fd, log.data, length), (ssize_t)length);
        close(fd);
        cr_assert_eq(open_and_see(&seen, &mend, &err), 0, "%zu: %s", length, err.text);
        cr_assert_not(mend.is_mended);
        cr_assert_not(mend.is_log_damaged);
        cr_assert_eq(seen.wrong_count, 0);
        cr_assert_geq(seen.record_count, RECORD_COUNT);
    }
    free((void *)(uintptr_t)database.data);
    free((void *)(uintptr_t)log.data);
}

Test(damage, the_whole_log_of_a_killed_process_is_there)
{
    struct store_mend mend = {0};
    struct seen seen = {0};
    struct err err = {0};

    leave_log();
    cr_assert_eq(open_and_see(&seen, &mend, &err), 0, "%s", err.text);
    cr_assert_eq(seen.record_count, RECORD_COUNT + 50);
    cr_assert_not(mend.is_log_damaged);
}

/* The first frame of the log: its page, behind the log's and the frame's headers. */
static const off_t first_page = 32 + 24;

Test(damage, a_rotten_byte_in_the_log_with_commits_behind_it_is_said)
{
    struct store_mend mend = {0};
    struct seen seen = {0};
    struct err err = {0};

    leave_log();
    struct bytes log = read_whole(log_path);
    uint8_t rotten = log.data[first_page + 100] ^ 1;

    write_at(log_path, first_page + 100, &rotten, 1);
    cr_assert_eq(open_and_see(&seen, &mend, &err), 0, "%s", err.text);
    cr_assert(mend.is_log_damaged, "%u records", seen.record_count);
    cr_assert_lt(seen.record_count, RECORD_COUNT + 50);
    cr_assert_not(mend.is_mended);
    cr_assert_eq(open_and_see(&seen, &mend, &err), 0, "%s", err.text);
    cr_assert_not(mend.is_log_damaged, "said once");
    free((void *)(uintptr_t)log.data);
}

static void run_sql(const char *sql)
{
    sqlite3 *database = NULL;

    cr_assert_eq(sqlite3_open(path, &database), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK, "%s",
                 sqlite3_errmsg(database));
    sqlite3_close(database);
}

Test(damage, the_first_version_is_brought_up_to_date)
{
    struct store_mend mend = {0};
    struct seen seen = {0};
    struct err err = {0};
    uint8_t content[CONTENT_BYTES];
    char sql[2 * CONTENT_BYTES + 400];
    int length = 0;

    content_of(5, content);
    length = snprintf(sql, sizeof(sql),
                      "CREATE TABLE blobs(kind INTEGER NOT NULL, key BLOB NOT NULL,"
                      " number INTEGER NOT NULL, bytes BLOB NOT NULL,"
                      " PRIMARY KEY(kind, key, number)) WITHOUT ROWID;PRAGMA user_version=1;"
                      "INSERT INTO blobs VALUES(%d, zeroblob(32), 5, x'",
                      BLOB_RECORD);
    for (int i = 0; i < CONTENT_BYTES; i++) {
        length += snprintf(sql + length, sizeof(sql) - (size_t)length, "%02x", content[i]);
    }
    snprintf(sql + length, sizeof(sql) - (size_t)length, "')");
    run_sql(sql);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(open_and_see(&seen, &mend, &err), 0, "%s", err.text);
        cr_assert_eq(seen.record_count, 1);
        cr_assert_eq(seen.wrong_count, 0);
    }
}

Test(damage, a_newer_version_is_refused_with_what_to_do)
{
    struct store_mend mend = {0};
    struct seen seen = {0};
    struct err err = {0};

    make_database(true);
    run_sql("PRAGMA user_version=77");
    cr_assert_eq(open_and_see(&seen, &mend, &err), -EPROTO);
    cr_assert_not_null(strstr(err.text, "newer mingad (version 77)"), "%s", err.text);
    cr_assert_not_null(strstr(err.hint, "install"), "%s", err.hint);
}

Test(damage, a_file_system_that_is_read_only_is_said)
{
    struct store_mend mend = {0};
    struct seen seen = {0};
    struct err err = {0};

    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", folder, "tmpfs", 0, "size=8m") < 0) {
        cr_skip_test("needs root");
    }
    make_database(true);
    cr_assert_eq(mount(NULL, folder, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    cr_assert_eq(open_and_see(&seen, &mend, &err), -EACCES, "%s", err.text);
    cr_assert_not_null(strstr(err.hint, "read-only"), "%s", err.hint);
    cr_assert_eq(mount(NULL, folder, NULL, MS_REMOUNT, NULL), 0);
    cr_assert_eq(open_and_see(&seen, &mend, &err), 0, "%s", err.text);
    cr_assert_eq(seen.record_count, RECORD_COUNT);
}

Test(damage, the_log_is_moved_before_it_is_used_up_and_nothing_is_lost)
{
    struct store *store = NULL;
    struct seen seen = {0};
    struct err err = {0};
    uint32_t moved_count = 0;
    off_t log_bytes;

    cr_assert_eq(store_open(path, &store, &err), 0, "%s", err.text);
    log_bytes = size_of(log_path);
    for (uint64_t i = 1; i <= 900; i++) {
        apply_blob(store, BLOB_RECORD, i);
        if (store_log_state(store) != STORE_LOG_SHORT) {
            cr_assert_eq(store_checkpoint(store, &err), 0, "%s", err.text);
            cr_assert_eq(store_log_state(store), STORE_LOG_SHORT);
            moved_count++;
        }
        cr_assert_eq(size_of(log_path), log_bytes, "its length is the same all the time");
    }
    cr_assert_gt(moved_count, 2);
    cr_assert_lt(moved_count, 100);
    cr_assert_eq(store_load(store, see, &seen, &err), 0, "%s", err.text);
    cr_assert_eq(seen.record_count, 900);
    cr_assert_eq(seen.wrong_count, 0);
    store_close(store);
}
