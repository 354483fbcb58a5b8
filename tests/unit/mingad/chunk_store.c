// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/store/chunk_store.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/limits.h"

static char folder[] = "/tmp/minga-chunks-XXXXXX";
static struct chunk_store store;
static int read_fails_with; /* 0: not at all */

/* A disk that cannot be read, for a while or for good: in place of the library's. */
ssize_t pread(int fd, void *data, size_t length_bytes, off_t from_bytes)
{
    if (read_fails_with != 0) {
        errno = read_fails_with;
        return -1;
    }
    return preadv(fd, &(struct iovec){data, length_bytes}, 1, from_bytes);
}

#if __SIZEOF_POINTER__ == 4 /* where offsets are wider than that, it has another name */
#define __pread_chk __pread64_chk
#endif

ssize_t __pread_chk(int fd, void *data, size_t length_bytes, off_t from_bytes, size_t room_bytes);
ssize_t __pread_chk(int fd, void *data, size_t length_bytes, off_t from_bytes, size_t room_bytes)
{
    cr_assert_leq(length_bytes, room_bytes);
    return pread(fd, data, length_bytes, from_bytes);
}

static void open_store(void)
{
    struct err err = {0};

    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chunk_store_open(folder, 0, &store, &err), 0, "%s", err.text);
}

static void drop_visited(void *context, const struct chunk_id *chunk, uint64_t length_bytes)
{
    (void)context;
    (void)length_bytes;
    chunk_store_drop(&store, chunk);
}

static void close_store(void)
{
    struct err err = {0};

    chunk_store_scan(&store, drop_visited, NULL, &err);
    chunk_store_close(&store);
    rmdir(folder);
}

TestSuite(chunk_store, .init = open_store, .fini = close_store);

static struct chunk_id put_text(const char *text)
{
    struct chunk_id chunk = chunk_store_id(bytes_of_text(text));

    cr_assert_eq(chunk_store_put(&store, &chunk, bytes_of_text(text)), 0);
    return chunk;
}

Test(chunk_store, a_chunk_comes_back_as_it_was_put)
{
    struct chunk_id chunk = put_text("hello");
    uint8_t *data = NULL;
    size_t length_bytes = 0;

    cr_assert(chunk_store_has(&store, &chunk));
    cr_assert_eq(chunk_store_get(&store, &chunk, &data, &length_bytes), 0);
    cr_assert_eq(length_bytes, 5);
    cr_assert_eq(memcmp(data, "hello", 5), 0);
    free(data);
    cr_assert_eq(chunk_store_put(&store, &chunk, bytes_of_text("hello")), CHUNK_WAS_THERE);
    cr_assert_eq(chunk_store_drop(&store, &chunk), 0);
    cr_assert_eq(chunk_store_drop(&store, &chunk), 0);
    cr_assert_not(chunk_store_has(&store, &chunk));
    cr_assert_eq(chunk_store_get(&store, &chunk, &data, &length_bytes), -ENOENT);
}

Test(chunk_store, wrong_bytes_and_wrong_lengths_are_never_kept)
{
    struct chunk_id chunk = chunk_store_id(bytes_of_text("hello"));
    uint8_t *big = calloc(1, CHUNK_BYTES_MAX + 1);

    cr_assert_eq(chunk_store_put(&store, &chunk, bytes_of_text("hellO")), -EBADMSG);
    cr_assert_not(chunk_store_has(&store, &chunk));
    chunk = chunk_store_id((struct bytes){big, 0});
    cr_assert_eq(chunk_store_put(&store, &chunk, (struct bytes){big, 0}), -EBADMSG);
    chunk = chunk_store_id((struct bytes){big, CHUNK_BYTES_MAX + 1});
    cr_assert_eq(chunk_store_put(&store, &chunk, (struct bytes){big, CHUNK_BYTES_MAX + 1}),
                 -EBADMSG);
    chunk = chunk_store_id((struct bytes){big, CHUNK_BYTES_MAX});
    cr_assert_eq(chunk_store_put(&store, &chunk, (struct bytes){big, CHUNK_BYTES_MAX}), 0);
    free(big);
}

static int get_result(const struct chunk_id *chunk)
{
    uint8_t *data = NULL;
    size_t length_bytes = 0;
    int r = chunk_store_get(&store, chunk, &data, &length_bytes);

    cr_assert_eq(r == 0, data != NULL);
    free(data);
    return r;
}

static void overwrite(const struct chunk_id *chunk, const char *text)
{
    char name[ID_HEX_CHARS + 1];

    id_to_hex(&chunk->id, name);
    int fd = openat(store.folder_fd, name, O_WRONLY | O_TRUNC | O_CLOEXEC);

    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

Test(chunk_store, a_chunk_that_cannot_be_read_for_a_while_is_there_afterwards)
{
    struct chunk_id chunk = put_text("hello");
    uint64_t length_bytes = 0;

    read_fails_with = EIO;
    cr_assert_eq(get_result(&chunk), -EIO);
    cr_assert_eq(chunk_store_look(&store, &chunk, &length_bytes), -EIO);
    cr_assert(chunk_store_has(&store, &chunk));
    read_fails_with = 0;
    cr_assert_eq(get_result(&chunk), 0);
    cr_assert_eq(chunk_store_look(&store, &chunk, &length_bytes), 0);
    cr_assert_eq(length_bytes, 5);
}

Test(chunk_store, whatever_the_disk_says_instead_of_a_chunk_is_that_it_cannot_be_read)
{
    struct chunk_id chunk = put_text("hello");

    read_fails_with = ENODATA; /* a medium error, as some drivers have it */
    cr_assert_eq(get_result(&chunk), -EIO);
    read_fails_with = EUCLEAN; /* a file system that is damaged */
    cr_assert_eq(get_result(&chunk), -EIO);
    read_fails_with = ENOMEM; /* that says nothing of the chunk */
    cr_assert_eq(get_result(&chunk), -ENOMEM);
}

Test(chunk_store, a_copy_takes_the_place_of_one_that_cannot_be_read)
{
    struct chunk_id chunk = put_text("hello");
    struct stat before;
    struct stat after;
    char name[ID_HEX_CHARS + 1];

    id_to_hex(&chunk.id, name);
    cr_assert_eq(fstatat(store.folder_fd, name, &before, 0), 0);
    read_fails_with = EIO;
    cr_assert_eq(chunk_store_put(&store, &chunk, bytes_of_text("hello")), 0);
    cr_assert_eq(fstatat(store.folder_fd, name, &after, 0), 0);
    cr_assert_neq(before.st_ino, after.st_ino, "its blocks are bad ones");
    read_fails_with = 0;
    cr_assert_eq(get_result(&chunk), 0);
}

Test(chunk_store, a_rotten_chunk_is_noticed_kept_and_replaced_by_a_good_copy)
{
    struct chunk_id chunk = put_text("hello");

    overwrite(&chunk, "Jello");
    cr_assert_eq(get_result(&chunk), -EBADMSG);
    overwrite(&chunk, "hello"); /* it was the memory that lied */
    cr_assert_eq(get_result(&chunk), 0);
    overwrite(&chunk, "Jello");
    cr_assert_eq(chunk_store_put(&store, &chunk, bytes_of_text("hello")), 0);
    cr_assert_eq(get_result(&chunk), 0);
    overwrite(&chunk, "hell"); /* cut short */
    cr_assert_eq(get_result(&chunk), -EBADMSG);
    cr_assert_eq(chunk_store_put(&store, &chunk, bytes_of_text("hello")), 0);
    cr_assert_eq(get_result(&chunk), 0);
}

Test(chunk_store, nothing_is_taken_when_the_disk_must_stay_free)
{
    struct chunk_id chunk = chunk_store_id(bytes_of_text("hello"));

    store.keep_free_bytes = UINT64_MAX / 2;
    cr_assert_eq(chunk_store_put(&store, &chunk, bytes_of_text("hello")), -ENOSPC);
    cr_assert_not(chunk_store_has(&store, &chunk));
    store.keep_free_bytes = 0;
    cr_assert_eq(chunk_store_put(&store, &chunk, bytes_of_text("hello")), 0);
}

struct found {
    uint32_t count;
    uint64_t bytes;
};

static void count_visited(void *context, const struct chunk_id *chunk, uint64_t length_bytes)
{
    struct found *found = context;

    (void)chunk;
    found->count++;
    found->bytes += length_bytes;
}

Test(chunk_store, a_scan_finds_chunks_and_clears_away_what_was_interrupted)
{
    struct found found = {0};
    struct err err = {0};

    put_text("one");
    put_text("three");
    int fd = openat(store.folder_fd, ".new-12", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(chunk_store_scan(&store, count_visited, &found, &err), 0);
    cr_assert_eq(found.count, 2);
    cr_assert_eq(found.bytes, 8);
    cr_assert_eq(faccessat(store.folder_fd, ".new-12", F_OK, 0), -1);
}
