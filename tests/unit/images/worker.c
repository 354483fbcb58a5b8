// SPDX-License-Identifier: GPL-3.0-or-later
/* With the real minga-unpack, which the build puts beside the tests. */
#include "images/worker.h"

#include "tests/unit/images/box.h"

enum { WAIT_MS = 60000 };

/* One header of a tar archive and its content. */
static size_t put_tar(uint8_t *out, const char *name, const char *mode, char kind, const char *text)
{
    size_t length_bytes = strlen(text);
    unsigned sum = 8 * ' ';

    memset(out, 0, 1024);
    memcpy(out, name, strlen(name));
    snprintf((char *)out + 100, 8, "%s", mode);
    snprintf((char *)out + 108, 8, "0000000");
    snprintf((char *)out + 116, 8, "0000000");
    snprintf((char *)out + 124, 12, "%011o", (unsigned)(length_bytes & 0777));
    snprintf((char *)out + 136, 12, "00000000000");
    out[156] = (uint8_t)kind;
    memcpy(out + 257, "ustar\00000", 8);
    for (size_t i = 0; i < 512; i++) {
        sum += out[i];
    }
    snprintf((char *)out + 148, 8, "%06o", sum);
    out[155] = ' ';
    memcpy(out + 512, text, length_bytes);
    return length_bytes == 0 ? 512 : 1024;
}

/* An archive of one file, with its end; read from the returned descriptor. */
static int archive_of(struct box *box, const char *name, const char *mode, char kind)
{
    static uint8_t archive[4096];
    size_t length_bytes = put_tar(archive, name, mode, kind, "hello");

    memset(archive + length_bytes, 0, 1024);
    box_file(box->fd, "archive", (struct bytes){archive, length_bytes + 1024}, 0600);
    return openat(box->fd, "archive", O_RDONLY | O_CLOEXEC);
}

static int unpack(struct box *box, struct worker *worker, int archive_fd, struct err *err)
{
    int r = worker_start_unpack(worker, archive_fd, box->fd, "staging", err);

    close(archive_fd);
    return r < 0 ? r : worker_wait(worker, WAIT_MS, err);
}

Test(worker, an_archive_is_unpacked_and_dropped_bits_are_said)
{
    static struct worker worker;
    struct box box = box_open();
    struct err err = {0};

    cr_assert_eq(unpack(&box, &worker, archive_of(&box, "bin/su", "0004755", '0'), &err), 0, "%s",
                 err.text);
    cr_assert_str_eq(worker_note(&worker, 0), "bin/su: setuid bit dropped");
    cr_assert_null(worker_note(&worker, 1));
    struct stat status;
    cr_assert_eq(fstatat(box.fd, "staging/bin/su", &status, 0), 0);
    cr_assert_eq(status.st_mode & 07777U, 0755);
    cr_assert_eq(status.st_size, 5);
    box_close(&box);
}

Test(worker, a_refused_archive_leaves_nothing_and_names_entry_and_rule)
{
    static struct worker worker;
    struct box box = box_open();
    struct err err = {0};

    cr_assert_eq(unpack(&box, &worker, archive_of(&box, "../evil", "0000644", '0'), &err), -EINVAL);
    cr_assert_str_eq(err.text, "../evil: path leads out of the tree");
    cr_assert_eq(unpack(&box, &worker, archive_of(&box, "pipe", "0000644", '6'), &err), -EINVAL);
    cr_assert_str_eq(err.text, "pipe: device, FIFO, socket or unknown kind");
    cr_assert_eq(box_count(box.fd), 1, "only the archive itself");
    box_close(&box);
}

Test(worker, a_staging_folder_that_is_there_is_left_alone)
{
    static struct worker worker;
    struct box box = box_open();
    struct err err = {0};

    close(box_folder(box.fd, "staging"));
    cr_assert_eq(unpack(&box, &worker, archive_of(&box, "a", "0000644", '0'), &err), -EEXIST);
    cr_assert_eq(faccessat(box.fd, "staging", F_OK, 0), 0);
    box_close(&box);
}

Test(worker, one_that_takes_too_long_is_ended_and_leaves_nothing)
{
    static struct worker worker;
    struct box box = box_open();
    struct err err = {0};
    int pipe_fds[2];

    cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    cr_assert_eq(worker_start_unpack(&worker, pipe_fds[0], box.fd, "staging", &err), 0);
    cr_assert_eq(worker_wait(&worker, 20, &err), -ETIMEDOUT);
    cr_assert_eq(box_count(box.fd), 0);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    box_close(&box);
}

/* A bundle's chunks in a store, ready to be built. */
struct stored {
    struct box box;
    int chunks_fd;
    int trees_fd;
    struct tree_id tree;
    char hex[ID_HEX_CHARS + 1];
};

static struct stored store_bundle(void)
{
    static uint8_t big[CHUNK_BYTES_MAX + 9];
    struct stored stored = {.box = box_open()};
    int fd = box_bundle(stored.box.fd);
    struct bundle *bundle = NULL;
    struct err err;

    big[CHUNK_BYTES_MAX + 3] = 'x';
    box_file(fd, "big", (struct bytes){big, sizeof(big)}, 0640);
    box_text(fd, "empty", "", 0400);
    cr_assert_eq(symlinkat("../bin/wiki", fd, "bin/link"), 0);
    stored.chunks_fd = box_folder(stored.box.fd, "chunks");
    stored.trees_fd = box_folder(stored.box.fd, "trees");
    cr_assert_eq(box_open_bundle(fd, &bundle, &err), 0, "%s", err.text);
    box_store(bundle, stored.chunks_fd);
    stored.tree = bundle_tree(bundle);
    id_to_hex(&stored.tree.id, stored.hex);
    bundle_free(bundle);
    close(fd);
    return stored;
}

static void stored_close(struct stored *stored)
{
    close(stored->chunks_fd);
    close(stored->trees_fd);
    box_close(&stored->box);
}

static int build(struct stored *stored, struct err *err)
{
    static struct worker worker;
    int r = worker_start_build(&worker, &stored->tree, stored->chunks_fd, stored->trees_fd, err);

    return r < 0 ? r : worker_wait(&worker, WAIT_MS, err);
}

Test(worker, a_tree_is_built_from_its_chunks_as_it_was_pushed)
{
    struct stored stored = store_bundle();
    struct bundle *again = NULL;
    struct err err = {0};

    cr_assert_eq(build(&stored, &err), 0, "%s", err.text);
    cr_assert_eq(box_count(stored.trees_fd), 1);
    int fd = openat(stored.trees_fd, stored.hex, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    /* With a manifest beside it, it pushes as the same tree: names, modes, content. */
    box_text(fd, "service.yaml", "name: wiki\ncommand: [/bin/wiki]\n", 0600);
    cr_assert_eq(box_open_bundle(fd, &again, &err), 0, "%s", err.text);
    struct tree_id tree = bundle_tree(again);
    cr_assert(id_equal(&tree.id, &stored.tree.id));
    bundle_free(again);
    close(fd);
    stored_close(&stored);
}

Test(worker, a_tree_that_is_there_stays)
{
    struct stored stored = store_bundle();
    struct err err = {0};

    cr_assert_eq(build(&stored, &err), 0, "%s", err.text);
    cr_assert_eq(build(&stored, &err), 0, "%s", err.text);
    cr_assert_eq(box_count(stored.trees_fd), 1);
    stored_close(&stored);
}

/* Removing may take seconds, starting must not. */
Test(worker, a_half_built_one_is_removed_when_that_is_asked_not_when_a_build_starts)
{
    struct stored stored = store_bundle();
    struct err err = {0};
    char half[ID_HEX_CHARS + 8];

    cr_assert_not(worker_has_half(&stored.tree, stored.trees_fd));
    cr_assert_eq(worker_remove_half(&stored.tree, stored.trees_fd), 0);
    snprintf(half, sizeof(half), "%s.new", stored.hex);
    int half_fd = box_folder(stored.trees_fd, half);
    box_text(half_fd, "file", "of before", 0600);
    cr_assert_eq(build(&stored, &err), -EEXIST);
    cr_assert_eq(box_count(half_fd), 1);
    close(half_fd);
    cr_assert(worker_has_half(&stored.tree, stored.trees_fd));
    cr_assert_eq(worker_remove_half(&stored.tree, stored.trees_fd), 0);
    cr_assert_not(worker_has_half(&stored.tree, stored.trees_fd));
    cr_assert_eq(build(&stored, &err), 0, "%s", err.text);
    cr_assert_eq(box_count(stored.trees_fd), 1);
    stored_close(&stored);
}

Test(worker, a_tree_is_removed_with_what_is_left_of_its_build)
{
    struct stored stored = store_bundle();
    struct err err = {0};
    char half[ID_HEX_CHARS + 8];

    cr_assert_eq(worker_remove_tree(&stored.tree, stored.trees_fd), 0);
    cr_assert_eq(build(&stored, &err), 0, "%s", err.text);
    snprintf(half, sizeof(half), "%s.new", stored.hex);
    close(box_folder(stored.trees_fd, half));
    cr_assert_eq(box_count(stored.trees_fd), 2);
    cr_assert_eq(worker_remove_tree(&stored.tree, stored.trees_fd), 0);
    cr_assert_eq(box_count(stored.trees_fd), 0);
    stored_close(&stored);
}

/* Else the next replica would run with what a power cut has left of it. */
Test(worker, a_tree_whose_removal_does_not_come_to_its_end_is_complete_no_more)
{
    struct stored stored = store_bundle();
    struct err err = {0};
    int middle_fd = -1;
    int fd;

    cr_assert_eq(build(&stored, &err), 0, "%s", err.text);
    fd = openat(stored.trees_fd, stored.hex, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < BUNDLE_DEPTH_MAX + 4; i++) { /* deeper than any, so that it stops there */
        int inner_fd = box_folder(fd, "deep");

        middle_fd = i == BUNDLE_DEPTH_MAX / 2 ? dup(inner_fd) : middle_fd;
        close(fd);
        fd = inner_fd;
    }
    close(fd);
    cr_assert_eq(worker_remove_tree(&stored.tree, stored.trees_fd), -ENAMETOOLONG);
    cr_assert_eq(faccessat(stored.trees_fd, stored.hex, F_OK, 0), -1);
    cr_assert(worker_has_half(&stored.tree, stored.trees_fd));
    cr_assert_eq(renameat(middle_fd, "deep", stored.trees_fd, "deep"), 0);
    close(middle_fd);
    stored_close(&stored);
}

Test(worker, a_chunk_with_wrong_bytes_builds_nothing)
{
    struct stored stored = store_bundle();
    struct err err = {0};
    char name[ID_HEX_CHARS + 1];
    struct chunk_id chunk = chunk_id_of(box_program());

    id_to_hex(&chunk.id, name);
    box_text(stored.chunks_fd, name, "wrong", 0600);
    cr_assert_eq(build(&stored, &err), -EIO);
    cr_assert_eq(strncmp(err.text, name, ID_HEX_CHARS), 0);
    cr_assert_not_null(strstr(err.text, "wrong bytes"));
    cr_assert_eq(unlinkat(stored.chunks_fd, name, 0), 0);
    cr_assert_eq(build(&stored, &err), -EIO);
    cr_assert_not_null(strstr(err.text, "No such file"));
    cr_assert_eq(box_count(stored.trees_fd), 0);
    stored_close(&stored);
}

/* Stores an index of these bytes and its root block; the tree's id comes back in stored. */
static void store_index(struct stored *stored, struct bytes index, struct tree_root root)
{
    uint8_t block[TREE_ROOT_BYTES_MAX];
    char name[ID_HEX_CHARS + 1];

    root.index_bytes = (uint32_t)index.length_bytes;
    root.index_chunk_count = 1;
    root.index_chunks[0] = chunk_id_of(index);
    id_to_hex(&root.index_chunks[0].id, name);
    box_file(stored->chunks_fd, name, index, 0600);
    struct bytes root_block = {block, tree_root_encode(&root, block)};
    stored->tree = tree_id_of(root_block);
    id_to_hex(&stored->tree.id, name);
    box_file(stored->chunks_fd, name, root_block, 0600);
}

Test(worker, a_hostile_index_builds_nothing)
{
    struct stored stored = store_bundle();
    struct buffer index = {.bytes_max = TREE_INDEX_BYTES_MAX};
    struct tree_entry link = {.kind = TREE_LINK, .mode = 0777, .path = "d", .target = "e"};
    struct tree_entry file = {.kind = TREE_FILE, .mode = 0644, .path = "d/f"};
    struct err err = {0};

    cr_assert_eq(tree_append(&index, &link), 0);
    cr_assert_eq(tree_append(&index, &file), 0);
    store_index(&stored, buffer_bytes(&index), (struct tree_root){.entry_count = 2});
    cr_assert_eq(build(&stored, &err), -EINVAL);
    cr_assert_str_eq(err.text, "tree index, entry 2: entry without its folder");
    index.length_bytes = 0;
    cr_assert_eq(tree_append(&index, &file), 0);
    memcpy(index.data + 7, "../", 3); /* the path */
    store_index(&stored, buffer_bytes(&index), (struct tree_root){.entry_count = 1});
    cr_assert_eq(build(&stored, &err), -EINVAL);
    cr_assert_eq(box_count(stored.trees_fd), 0);
    buffer_done(&index);
    stored_close(&stored);
}

Test(worker, a_chunk_shorter_than_the_index_says_builds_nothing)
{
    struct stored stored = store_bundle();
    struct buffer index = {.bytes_max = TREE_INDEX_BYTES_MAX};
    struct chunk_id chunk = chunk_id_of(box_program());
    struct tree_entry file = {.kind = TREE_FILE,
                              .mode = 0644,
                              .path = "f",
                              .size_bytes = 65,
                              .chunk_count = 1,
                              .chunk_ids = chunk.id.bytes};
    struct err err = {0};

    cr_assert_eq(tree_append(&index, &file), 0);
    store_index(&stored, buffer_bytes(&index),
                (struct tree_root){.entry_count = 1, .reference_count = 1, .total_bytes = 65});
    cr_assert_eq(build(&stored, &err), -EINVAL);
    cr_assert_str_eq(err.text, "f: chunk is not as long as the index says");
    cr_assert_eq(box_count(stored.trees_fd), 0);
    buffer_done(&index);
    stored_close(&stored);
}

Test(worker, a_root_block_that_is_none_builds_nothing)
{
    struct stored stored = store_bundle();
    struct err err = {0};

    stored.tree = tree_id_of(box_program());
    cr_assert_eq(build(&stored, &err), -EINVAL);
    cr_assert_str_eq(err.text, "tree index: not a root block");
    cr_assert_eq(box_count(stored.trees_fd), 0);
    stored_close(&stored);
}
