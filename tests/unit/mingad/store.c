// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/store/store.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/mingad/store/store_writer.h"

static char folder[] = "/tmp/minga-store-XXXXXX";
static char path[128];

static void make_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/minga.db", folder);
}

static void remove_folder(void)
{
    static const char *const names[] = {"minga.db", "minga.db-wal", "minga.db-shm"};

    for (size_t i = 0; i < 3; i++) {
        char file[160];

        snprintf(file, sizeof(file), "%s/%s", folder, names[i]);
        unlink(file);
    }
    (void)umount2(folder, MNT_DETACH); /* the small file system of one test, in its own namespace */
    rmdir(folder);
}

struct seen {
    uint32_t count;
    struct overlay_blob last;
    uint8_t bytes[64]; /* the first ones */
};

static void see(void *context, const struct overlay_blob *blob)
{
    struct seen *seen = context;
    size_t length = blob->bytes.length_bytes;

    seen->count++;
    seen->last = *blob;
    memcpy(seen->bytes, blob->bytes.data,
           length < sizeof(seen->bytes) ? length : sizeof(seen->bytes));
}

static struct overlay_blob blob_of(uint8_t key, uint64_t number, const char *text)
{
    struct overlay_blob blob = {.kind = BLOB_RECORD, .number = number};

    blob.key.bytes[0] = key;
    blob.bytes = bytes_of_text(text);
    return blob;
}

static int apply_one(struct store *store, struct overlay_blob blob, struct err *err)
{
    struct store_batch *batch = calloc(1, sizeof(*batch));
    int r = store_batch_add(batch, &blob, 1);

    if (r == 0) {
        r = store_apply(store, batch, err);
    }
    store_batch_clear(batch);
    free(batch);
    return r;
}

TestSuite(store, .init = make_folder, .fini = remove_folder);

Test(store, what_was_applied_is_there_after_opening_again)
{
    struct store *store = NULL;
    struct seen seen = {0};
    struct err err = {0};

    cr_assert_eq(store_open(path, &store, &err), 0, "%s", err.text);
    cr_assert_eq(apply_one(store, blob_of(1, UINT64_MAX, "one"), &err), 0, "%s", err.text);
    cr_assert_eq(apply_one(store, blob_of(2, 7, "two"), &err), 0);
    cr_assert_eq(apply_one(store, blob_of(2, 7, "new"), &err), 0);
    store_close(store);
    cr_assert_eq(store_open(path, &store, &err), 0, "%s", err.text);
    cr_assert_eq(store_load(store, see, &seen, &err), 0, "%s", err.text);
    cr_assert_eq(seen.count, 2);
    cr_assert_eq(seen.last.kind, BLOB_RECORD);
    cr_assert_eq(seen.last.key.bytes[0], 2);
    cr_assert_eq(seen.last.number, 7);
    cr_assert_eq(memcmp(seen.bytes, "new", 3), 0);
    store_close(store);
}

Test(store, an_empty_blob_deletes)
{
    struct store *store = NULL;
    struct seen seen = {0};
    struct err err = {0};

    cr_assert_eq(store_open(path, &store, &err), 0);
    cr_assert_eq(apply_one(store, blob_of(1, 1, "one"), &err), 0);
    cr_assert_eq(apply_one(store, blob_of(1, 2, "two"), &err), 0);
    cr_assert_eq(apply_one(store, blob_of(1, 1, ""), &err), 0);
    cr_assert_eq(store_load(store, see, &seen, &err), 0);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.last.number, 2);
    store_close(store);
}

Test(store, a_batch_takes_its_maximum_and_not_one_more)
{
    struct store_batch *batch = calloc(1, sizeof(*batch));
    struct overlay_blob blob = blob_of(1, 1, "x");

    for (uint32_t i = 0; i < STORE_BATCH_MAX; i++) {
        cr_assert_eq(store_batch_add(batch, &blob, i), 0);
    }
    cr_assert_eq(store_batch_add(batch, &blob, 0), -ENOBUFS);
    store_batch_clear(batch);
    cr_assert_eq(batch->count, 0);
    free(batch);
}

Test(store, a_damaged_database_is_named_with_what_to_do)
{
    struct store *store = NULL;
    struct err err = {0};
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(write(fd, "this is no database ", 20), 20);
    }
    close(fd);
    cr_assert_eq(store_open(path, &store, &err), -EBADMSG);
    cr_assert_not_null(strstr(err.text, "is damaged"));
    cr_assert_neq(err.hint[0], '\0');
    cr_assert_null(store);
}

/* A file system of 1 MiB in a mount namespace of our own: nothing to clean up, ever. */
static bool enter_tiny_file_system(void)
{
    return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", folder, "tmpfs", 0, "size=1m") == 0;
}

static void fill_disk(void)
{
    static uint8_t block[4096];
    char file[160];

    snprintf(file, sizeof(file), "%s/ballast", folder);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    while (write(fd, block, sizeof(block)) > 0) {
    }
    close(fd);
}

static void free_disk(void)
{
    char file[160];

    snprintf(file, sizeof(file), "%s/ballast", folder);
    unlink(file);
}

Test(store, a_full_disk_fails_the_whole_batch_and_later_ones_work_again)
{
    struct store_batch *batch = calloc(1, sizeof(*batch));
    struct overlay_blob big = {.kind = BLOB_RECORD};
    struct store *store = NULL;
    struct seen seen = {0};
    struct err err = {0};
    static uint8_t content[16384];

    if (!enter_tiny_file_system()) {
        free(batch);
        cr_skip_test("needs root");
    }
    cr_assert_eq(store_open(path, &store, &err), 0, "%s", err.text);
    cr_assert_eq(apply_one(store, blob_of(1, 1, "before"), &err), 0, "%s", err.text);
    fill_disk();
    big.bytes = (struct bytes){content, sizeof(content)};
    for (uint64_t i = 0; i < 40; i++) {
        big.number = i;
        cr_assert_eq(store_batch_add(batch, &big, i + 1), 0);
    }
    cr_assert_lt(store_apply(store, batch, &err), 0);
    cr_assert_neq(err.text[0], '\0');
    free_disk();
    cr_assert_eq(apply_one(store, blob_of(1, 2, "after"), &err), 0, "%s", err.text);
    cr_assert_eq(store_load(store, see, &seen, &err), 0, "%s", err.text);
    cr_assert_eq(seen.count, 2, "nothing of the failed batch is there");
    store_batch_clear(batch);
    free(batch);
    store_close(store);
}

/* ------------------------------------------------------------------ the writer */

struct ends {
    uint32_t count;
    uint64_t tokens[STORE_WAITING_MAX + 8];
    uint32_t failed_count;
};

static void on_end(void *context, uint64_t token, bool failed)
{
    struct ends *ends = context;

    ends->tokens[ends->count++] = token;
    ends->failed_count += failed ? 1 : 0;
}

/* A writer over a new store, and all that it reports. */
struct desk {
    uv_loop_t loop;
    struct store *store;
    struct store_writer *writer;
    struct ends ends;
};

static struct desk *desk_new(void)
{
    struct desk *desk = calloc(1, sizeof(*desk));
    struct err err = {0};

    uv_loop_init(&desk->loop);
    cr_assert_eq(store_open(path, &desk->store, &err), 0, "%s", err.text);
    desk->writer = store_writer_new(&desk->loop, desk->store, on_end, &desk->ends);
    return desk;
}

static void desk_free(struct desk *desk)
{
    store_writer_free(desk->writer);
    store_close(desk->store);
    uv_loop_close(&desk->loop);
    free(desk);
}

/* What waits is written, and reported. */
static void desk_write(struct desk *desk)
{
    store_writer_flush(desk->writer);
    uv_run(&desk->loop, UV_RUN_DEFAULT);
}

static struct seen desk_load(struct desk *desk)
{
    struct seen seen = {0};
    struct err err = {0};

    cr_assert_eq(store_load(desk->store, see, &seen, &err), 0, "%s", err.text);
    return seen;
}

Test(store, the_writer_reports_in_order_and_never_for_token_0)
{
    struct desk *desk = desk_new();

    for (uint64_t i = 0; i < 10; i++) {
        struct overlay_blob blob = blob_of(1, i, "x");

        store_writer_put(desk->writer, &blob, i);
        if (i == 4) {
            store_writer_flush(desk->writer); /* the others come while it runs */
        }
    }
    cr_assert_not(store_writer_is_idle(desk->writer));
    uv_run(&desk->loop, UV_RUN_DEFAULT);
    cr_assert(store_writer_is_idle(desk->writer));
    cr_assert_eq(desk->ends.count, 9);
    for (uint64_t i = 0; i < 9; i++) {
        cr_assert_eq(desk->ends.tokens[i], i + 1);
    }
    cr_assert_eq(desk->ends.failed_count, 0);
    struct seen seen = desk_load(desk);

    cr_assert_eq(seen.count, 10);
    desk_free(desk);
}

Test(store, what_nobody_waits_for_is_written_with_the_next_or_soon)
{
    struct overlay_blob blob = blob_of(1, 1, "x");
    struct overlay_blob next = blob_of(1, 2, "y");
    struct desk *desk = desk_new();

    cr_assert_eq(store_writer_wake_ms(desk->writer), 0);
    store_writer_put_unhurried(desk->writer, &blob, 1);
    desk_write(desk);
    cr_assert_eq(desk->ends.count, 0, "it waits for company");
    cr_assert_gt(store_writer_wake_ms(desk->writer), 0);
    store_writer_put(desk->writer, &next, 2);
    desk_write(desk);
    cr_assert_eq(desk->ends.count, 2);
    cr_assert_eq(store_writer_wake_ms(desk->writer), 0);
    store_writer_put_unhurried(desk->writer, &blob, 3);
    usleep((UNHURRIED_MS + 10) * 1000);
    desk_write(desk);
    cr_assert_eq(desk->ends.count, 3, "not for long");
    store_writer_put_unhurried(desk->writer, &blob, 4);
    store_writer_end(desk->writer);
    uv_run(&desk->loop, UV_RUN_DEFAULT);
    cr_assert_eq(desk->ends.count, 4, "nor at the end");
    cr_assert(store_writer_is_idle(desk->writer));
    desk_free(desk);
}

Test(store, changes_beyond_a_transaction_are_the_next_and_those_beyond_all_room_fail)
{
    struct desk *desk = desk_new();

    for (uint64_t i = 1; i <= STORE_WAITING_MAX + 2; i++) {
        struct overlay_blob blob = blob_of(1, i, "x");

        store_writer_put(desk->writer, &blob, i);
    }
    desk_write(desk);
    cr_assert_eq(desk->ends.count, STORE_WAITING_MAX + 2);
    cr_assert_eq(desk->ends.failed_count, 2);
    desk_free(desk);
}

/* Writes twenty changes that do not fit, and then goes on until they are reported. */
static void fail_to_write(struct desk *desk)
{
    struct overlay_blob big = {.kind = BLOB_RECORD};
    static uint8_t content[16384] = {1};

    fill_disk();
    big.bytes = (struct bytes){content, sizeof(content)};
    for (uint64_t i = 1; i <= 20; i++) {
        big.number = i;
        store_writer_put(desk->writer, &big, i);
    }
    desk_write(desk);
}

Test(store, what_failed_is_written_when_there_is_room_again)
{
    if (!enter_tiny_file_system()) {
        cr_skip_test("needs root");
    }
    struct desk *desk = desk_new();
    struct overlay_blob newer = {.kind = BLOB_RECORD, .number = 20, .bytes = bytes_of_text("new")};

    fail_to_write(desk);
    cr_assert_eq(desk->ends.count, 20);
    cr_assert_eq(desk->ends.failed_count, 20);
    cr_assert(store_writer_is_idle(desk->writer), "it does not keep the agent from stopping");
    store_writer_flush(desk->writer);
    cr_assert(store_writer_is_idle(desk->writer), "not at once again");
    free_disk();
    store_writer_put(desk->writer, &newer, 21); /* the newer one of two stands */
    desk_write(desk);
    cr_assert_eq(desk->ends.count, 21, "each is reported once");
    cr_assert_eq(desk->ends.failed_count, 20);
    struct seen seen = desk_load(desk);

    cr_assert_eq(seen.count, 20);
    cr_assert_eq(seen.last.number, 20);
    cr_assert_eq(memcmp(seen.bytes, "new", 3), 0);
    desk_free(desk);
}

Test(store, without_anything_new_it_is_tried_again_after_a_second)
{
    if (!enter_tiny_file_system()) {
        cr_skip_test("needs root");
    }
    struct desk *desk = desk_new();

    fail_to_write(desk);
    free_disk();
    usleep(1100 * 1000);
    uv_update_time(&desk->loop);
    store_writer_flush(desk->writer);
    cr_assert_not(store_writer_is_idle(desk->writer));
    uv_run(&desk->loop, UV_RUN_DEFAULT);
    struct seen seen = desk_load(desk);

    cr_assert_eq(seen.count, 20);
    desk_free(desk);
}
