// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/tree.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static uint8_t ids[4 * ID_BYTES];

static struct tree_entry entry_of(enum tree_kind kind, const char *path)
{
    struct tree_entry entry = {.kind = kind, .mode = kind == TREE_LINK ? 0777 : 0755};

    text_copy(entry.path, sizeof(entry.path), path);
    return entry;
}

static struct tree_entry file_of(const char *path, uint64_t size_bytes)
{
    struct tree_entry entry = entry_of(TREE_FILE, path);

    entry.size_bytes = size_bytes;
    entry.chunk_count = tree_chunk_count(size_bytes);
    entry.chunk_ids = ids;
    return entry;
}

static void append(struct buffer *index, struct tree_root *root, struct tree_entry entry)
{
    index->bytes_max = TREE_INDEX_BYTES_MAX;
    cr_assert_eq(tree_append(index, &entry), 0, "%s", entry.path);
    root->entry_count++;
    root->reference_count += entry.chunk_count;
    root->total_bytes += entry.size_bytes;
}

/* Reads all; the fault, or "" */
static const char *read_all(const struct tree_root *root, const struct buffer *index)
{
    static struct tree_reader reader;
    struct tree_entry entry;
    int r;

    tree_reader_init(&reader, root, buffer_bytes(index));
    while ((r = tree_next(&reader, &entry)) > 0) {
    }
    return r == 0 ? "" : reader.fault;
}

Test(tree, a_file_has_one_chunk_for_each_mebibyte_begun)
{
    cr_assert_eq(tree_chunk_count(0), 0);
    cr_assert_eq(tree_chunk_count(1), 1);
    cr_assert_eq(tree_chunk_count(CHUNK_BYTES_MAX), 1);
    cr_assert_eq(tree_chunk_count(CHUNK_BYTES_MAX + 1), 2);
    cr_assert_eq(tree_chunk_bytes(CHUNK_BYTES_MAX, 0), CHUNK_BYTES_MAX);
    cr_assert_eq(tree_chunk_bytes(CHUNK_BYTES_MAX + 1, 1), 1);
}

Test(tree, a_folder_sorts_right_before_what_is_in_it)
{
    cr_assert_lt(tree_path_compare("a", "a/b"), 0);
    cr_assert_lt(tree_path_compare("a/b", "a-b"), 0);
    cr_assert_lt(tree_path_compare("a/z", "a b"), 0);
    cr_assert_lt(tree_path_compare("a", "\xc3\xa4"), 0);
    cr_assert_eq(tree_path_compare("a/b", "a/b"), 0);
}

Test(tree, what_was_written_is_read_again)
{
    struct buffer index = {0};
    struct tree_root root = {0};
    struct tree_reader reader;
    struct tree_entry entry;
    struct tree_entry link = entry_of(TREE_LINK, "bin/sh");

    text_copy(link.target, sizeof(link.target), "busybox");
    append(&index, &root, entry_of(TREE_FOLDER, "bin"));
    append(&index, &root, file_of("bin/busybox", CHUNK_BYTES_MAX + 7));
    append(&index, &root, link);
    append(&index, &root, file_of("empty", 0));
    tree_reader_init(&reader, &root, buffer_bytes(&index));
    cr_assert_eq(tree_next(&reader, &entry), 1);
    cr_assert_eq(entry.kind, TREE_FOLDER);
    cr_assert_eq(tree_next(&reader, &entry), 1);
    cr_assert_str_eq(entry.path, "bin/busybox");
    cr_assert_eq(entry.mode, 0755);
    cr_assert_eq(entry.chunk_count, 2);
    cr_assert_eq(tree_next(&reader, &entry), 1);
    cr_assert_str_eq(entry.target, "busybox");
    cr_assert_eq(tree_next(&reader, &entry), 1);
    cr_assert_eq(entry.chunk_count, 0);
    cr_assert_eq(tree_next(&reader, &entry), 0);
    buffer_done(&index);
}

Test(tree, an_index_cut_anywhere_is_refused)
{
    struct buffer index = {0};
    struct tree_root root = {0};

    append(&index, &root, entry_of(TREE_FOLDER, "bin"));
    append(&index, &root, file_of("bin/busybox", 9));
    size_t whole_bytes = index.length_bytes;
    for (size_t i = 0; i < whole_bytes; i++) {
        index.length_bytes = i;
        cr_assert_str_neq(read_all(&root, &index), "");
    }
    buffer_done(&index);
}

static void assert_refused(struct tree_entry first, struct tree_entry second, const char *fault)
{
    struct buffer index = {0};
    struct tree_root root = {0};

    append(&index, &root, first);
    append(&index, &root, second);
    cr_assert_str_eq(read_all(&root, &index), fault);
    buffer_done(&index);
}

Test(tree, order_duplicates_and_missing_folders_are_refused)
{
    assert_refused(file_of("b", 0), file_of("a", 0), "entries out of order, or one twice");
    assert_refused(file_of("a", 0), file_of("a", 0), "entries out of order, or one twice");
    assert_refused(file_of("a", 0), file_of("a/b", 0), "entry without its folder");
    assert_refused(file_of("a", 0), file_of("b/c", 0), "entry without its folder");
    assert_refused(entry_of(TREE_FOLDER, "ab"), file_of("abc/d", 0), "entry without its folder");
    struct tree_entry link = entry_of(TREE_LINK, "a");
    text_copy(link.target, sizeof(link.target), "b");
    assert_refused(link, file_of("a/b", 0), "entry without its folder");
}

Test(tree, entries_against_the_rules_of_archives_are_not_written)
{
    struct buffer index = {.bytes_max = TREE_INDEX_BYTES_MAX};
    struct tree_entry link = entry_of(TREE_LINK, "a");
    struct tree_entry setuid = file_of("su", 0);
    struct tree_entry unreadable = file_of("x", 0);

    cr_assert_eq(tree_append(&index, &(struct tree_entry){.kind = TREE_FILE, .mode = 0644}),
                 -EBADMSG);
    struct tree_entry climbing = file_of("../x", 0);
    cr_assert_eq(tree_append(&index, &climbing), -EBADMSG);
    text_copy(link.target, sizeof(link.target), "../etc");
    cr_assert_eq(tree_append(&index, &link), -EBADMSG);
    setuid.mode = 04755;
    cr_assert_eq(tree_append(&index, &setuid), -EBADMSG);
    unreadable.mode = 0;
    cr_assert_eq(tree_append(&index, &unreadable), -EBADMSG);
    cr_assert_eq(index.length_bytes, 0);
}

/* A hostile owner writes bytes, not entries: change them in place. */
Test(tree, bytes_against_the_rules_are_not_read)
{
    struct buffer index = {0};
    struct tree_root root = {0};

    append(&index, &root, file_of("ab", 0));
    index.data[0] = 9;
    cr_assert_str_eq(read_all(&root, &index), "unknown kind");
    index.data[0] = TREE_FILE;
    index.data[1] = 0x09; /* 04000 of the mode's upper byte */
    cr_assert_str_eq(read_all(&root, &index), "impossible mode");
    index.data[1] = 0x01;
    index.data[7] = '/';
    cr_assert_str_eq(read_all(&root, &index), "absolute path");
    index.data[7] = '.';
    index.data[8] = '.';
    cr_assert_str_eq(read_all(&root, &index), "path leads out of the tree");
    index.data[3] = 0xff; /* the length of the path */
    cr_assert_str_eq(read_all(&root, &index), "index is cut or not well-formed");
    buffer_done(&index);
}

Test(tree, sums_have_to_agree_with_the_root_block)
{
    struct buffer index = {0};
    struct tree_root root = {0};
    struct tree_root other;

    append(&index, &root, file_of("a", 5));
    cr_assert_str_eq(read_all(&root, &index), "");
    other = root;
    other.entry_count++;
    cr_assert_str_eq(read_all(&other, &index), "sums do not agree with the root block");
    other = root;
    other.total_bytes--;
    cr_assert_str_eq(read_all(&other, &index), "sums do not agree with the root block");
    other = root;
    other.reference_count++;
    cr_assert_str_eq(read_all(&other, &index), "sums do not agree with the root block");
    buffer_done(&index);
}

Test(tree, a_root_block_is_read_as_it_was_written_and_not_otherwise)
{
    struct tree_root root = {.entry_count = 3,
                             .reference_count = 4,
                             .total_bytes = 5,
                             .index_bytes = CHUNK_BYTES_MAX + 1,
                             .index_chunk_count = 2};
    struct tree_root read;
    uint8_t block[TREE_ROOT_BYTES_MAX + 1] = {0};

    root.index_chunks[1].id.bytes[0] = 7;
    uint32_t length_bytes = tree_root_encode(&root, block);
    cr_assert_eq(tree_root_decode((struct bytes){block, length_bytes}, &read), 0);
    cr_assert_eq(read.index_chunks[1].id.bytes[0], 7);
    cr_assert_eq(read.total_bytes, 5);
    for (uint32_t i = 0; i < length_bytes; i++) {
        cr_assert_eq(tree_root_decode((struct bytes){block, i}, &read), -EBADMSG);
    }
    cr_assert_eq(tree_root_decode((struct bytes){block, length_bytes + 1}, &read), -EBADMSG);
    block[0] ^= 1;
    cr_assert_eq(tree_root_decode((struct bytes){block, length_bytes}, &read), -EBADMSG);
    root.index_chunk_count = 1;
    length_bytes = tree_root_encode(&root, block);
    cr_assert_eq(tree_root_decode((struct bytes){block, length_bytes}, &read), -EBADMSG);
    root.index_chunk_count = 2;
    root.entry_count = BUNDLE_ENTRIES_MAX + 1;
    length_bytes = tree_root_encode(&root, block);
    cr_assert_eq(tree_root_decode((struct bytes){block, length_bytes}, &read), -EBADMSG);
}

Test(tree, wanted_chunks_are_distinct_and_sorted)
{
    struct buffer index = {0};
    struct tree_root root = {0};
    struct chunk_id wanted[16];

    for (size_t i = 0; i < 4; i++) {
        ids[i * ID_BYTES] = (uint8_t)(9 - i);
    }
    append(&index, &root, file_of("a", 4ULL * CHUNK_BYTES_MAX));
    append(&index, &root, file_of("b", 2ULL * CHUNK_BYTES_MAX));
    cr_assert_eq(tree_wanted(&root, buffer_bytes(&index), wanted, 16), 4);
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(wanted[i].id.bytes[0], 6 + i);
    }
    buffer_done(&index);
}
