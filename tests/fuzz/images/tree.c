// SPDX-License-Identifier: GPL-3.0-or-later
/* Any bytes as root block and index: the first byte says how long the root block is. */
#include "images/tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "images/archive_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Counts and sums are hard to guess: an index is also read against those that it really has. */
static void read_index(struct tree_root root, struct bytes index)
{
    static struct tree_reader reader;
    struct tree_entry entry;
    struct buffer again = {.bytes_max = TREE_INDEX_BYTES_MAX};
    int r;

    tree_reader_init(&reader, &root, index);
    while ((r = tree_next(&reader, &entry)) > 0) {
        CHECK(archive_path_fault(entry.path) == NULL);
        CHECK(tree_append(&again, &entry) == 0);
    }
    CHECK(r == 0 || reader.fault != NULL);
    CHECK(again.length_bytes <= index.length_bytes);
    CHECK(again.length_bytes == 0 || memcmp(again.data, index.data, again.length_bytes) == 0);
    buffer_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tree_root root = {0};
    size_t root_bytes = size == 0 ? 0 : data[0];
    uint8_t block[TREE_ROOT_BYTES_MAX];

    if (size == 0 || size - 1 < root_bytes) {
        return 0;
    }
    struct bytes index = {data + 1 + root_bytes, size - 1 - root_bytes};
    if (tree_root_decode((struct bytes){data + 1, root_bytes}, &root) == 0) {
        CHECK(tree_root_encode(&root, block) == root_bytes);
        CHECK(memcmp(block, data + 1, root_bytes) == 0);
        struct chunk_id *wanted = calloc((size_t)root.reference_count + 1, sizeof(*wanted));
        CHECK(wanted != NULL);
        CHECK(tree_wanted(&root, index, wanted, root.reference_count) <= TREE_CHUNKS_MAX);
        free(wanted);
    }
    read_index(root, index);
    return 0;
}
