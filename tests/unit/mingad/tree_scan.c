// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/replicas/tree_scan.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "images/tree.h"

static char folder[] = "/tmp/minga-scan-XXXXXX";
static struct chunk_store store;
static struct chunk_id file_chunk;
static struct chunk_id index_chunk;
static struct chunk_id root_chunk;
static struct tree_id tree;

static struct chunk_id put(struct bytes data)
{
    struct chunk_id chunk = chunk_store_id(data);

    cr_assert_eq(chunk_store_put(&store, &chunk, data), 0);
    return chunk;
}

/* A tree of one file, "hello", all of whose chunks are in the store. */
static void make_tree(void)
{
    struct buffer index = {.bytes_max = TREE_INDEX_BYTES_MAX};
    struct tree_entry entry = {
        .kind = TREE_FILE, .mode = 0644, .size_bytes = 5, .path = "hello", .chunk_count = 1};
    struct tree_root root = {
        .entry_count = 1, .reference_count = 1, .total_bytes = 5, .index_chunk_count = 1};
    uint8_t block[TREE_ROOT_BYTES_MAX];
    struct err err = {0};

    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chunk_store_open(folder, 0, &store, &err), 0);
    file_chunk = put(bytes_of_text("hello"));
    entry.chunk_ids = file_chunk.id.bytes;
    cr_assert_eq(tree_append(&index, &entry), 0);
    index_chunk = put(buffer_bytes(&index));
    root.index_bytes = (uint32_t)index.length_bytes;
    root.index_chunks[0] = index_chunk;
    struct bytes root_block = {block, tree_root_encode(&root, block)};

    tree = tree_id_of(root_block);
    root_chunk = tree_root_chunk(&tree);
    cr_assert_eq(chunk_store_put(&store, &root_chunk, root_block), 0);
    buffer_done(&index);
}

static void remove_tree(void)
{
    chunk_store_drop(&store, &file_chunk);
    chunk_store_drop(&store, &index_chunk);
    chunk_store_drop(&store, &root_chunk);
    chunk_store_close(&store);
    rmdir(folder);
}

TestSuite(tree_scan, .init = make_tree, .fini = remove_tree);

static void expect_missing(const struct chunk_id *chunk)
{
    struct tree_scan scan;
    struct err err = {0};

    chunk_store_drop(&store, chunk);
    cr_assert_eq(tree_scan(&store, &tree, &scan, &err), 0, "%s", err.text);
    cr_assert_eq(scan.missing_count, 1);
    cr_assert_eq(scan.here_count, 0);
    cr_assert(id_equal(&scan.missing[0].id, &chunk->id));
}

Test(tree_scan, nothing_is_missing_of_a_whole_tree)
{
    struct tree_scan scan;
    struct err err = {0};

    cr_assert_eq(tree_scan(&store, &tree, &scan, &err), 0, "%s", err.text);
    cr_assert_eq(scan.missing_count, 0);
    cr_assert(scan.here_count == 1 && scan.chunk_count == 1);
}

Test(tree_scan, root_block_index_and_files_are_asked_for_in_this_order)
{
    expect_missing(&file_chunk);
    expect_missing(&index_chunk);
    expect_missing(&root_chunk);
}

Test(tree_scan, a_root_block_that_is_none_is_invalid)
{
    struct chunk_id garbage = put(bytes_of_text("no root block"));
    struct tree_id other = {garbage.id};
    struct tree_scan scan;
    struct err err = {0};

    cr_assert_eq(tree_scan(&store, &other, &scan, &err), -EBADMSG);
    cr_assert_neq(err.text[0], '\0');
    chunk_store_drop(&store, &garbage);
}

Test(tree_scan, an_index_that_breaks_the_rules_is_invalid)
{
    struct tree_root root = {.entry_count = 1, .index_chunk_count = 1, .index_bytes = 7};
    uint8_t block[TREE_ROOT_BYTES_MAX];
    struct tree_scan scan;
    struct err err = {0};

    root.index_chunks[0] = put(bytes_of_text("garbage"));
    struct bytes root_block = {block, tree_root_encode(&root, block)};
    struct tree_id other = tree_id_of(root_block);
    struct chunk_id other_chunk = put(root_block);

    cr_assert_eq(tree_scan(&store, &other, &scan, &err), -EBADMSG);
    chunk_store_drop(&store, &root.index_chunks[0]);
    chunk_store_drop(&store, &other_chunk);
}
