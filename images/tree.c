// SPDX-License-Identifier: GPL-3.0-or-later
#include "images/tree.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/wire.h"
#include "images/archive_rules.h"

enum {
    TREE_VERSION = 1,
    MODE_MASK = 0777,
    FILE_MODE_MIN = 0400,
    FOLDER_MODE_MIN = 0700,
    ENTRY_FIXED_BYTES_MAX = 32, /* of an entry, without texts and ids */
};

static const uint8_t root_magic[8] = {'M', 'I', 'N', 'G', 'A', 'T', 'R', 'E'};

static_assert((int)TREE_ROOT_BYTES_MAX <= (int)CHUNK_BYTES_MAX, "a root block is one chunk");
static_assert(TREE_REFERENCES_MAX >= BUNDLE_ENTRIES_MAX + BUNDLE_BYTES_MAX / CHUNK_BYTES_MAX,
              "every bundle within its bounds has an index");

uint32_t tree_chunk_count(uint64_t size_bytes)
{
    CHECK(size_bytes <= BUNDLE_BYTES_MAX);
    return (uint32_t)((size_bytes + CHUNK_BYTES_MAX - 1) / CHUNK_BYTES_MAX);
}

uint32_t tree_chunk_bytes(uint64_t size_bytes, uint32_t index)
{
    uint64_t left_bytes = size_bytes - (uint64_t)index * CHUNK_BYTES_MAX;

    CHECK(index < tree_chunk_count(size_bytes));
    return left_bytes < CHUNK_BYTES_MAX ? (uint32_t)left_bytes : CHUNK_BYTES_MAX;
}

struct chunk_id tree_entry_chunk(const struct tree_entry *entry, uint32_t index)
{
    struct chunk_id chunk;

    CHECK(index < entry->chunk_count);
    memcpy(chunk.id.bytes, entry->chunk_ids + (size_t)index * ID_BYTES, ID_BYTES);
    return chunk;
}

int tree_path_compare(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    /* A slash sorts before every other character, so that a folder's content follows it. */
    int first = *a == '\0' ? 0 : *a == '/' ? 1 : (unsigned char)*a + 1;
    int second = *b == '\0' ? 0 : *b == '/' ? 1 : (unsigned char)*b + 1;

    return first - second;
}

struct chunk_id chunk_id_of(struct bytes data)
{
    return (struct chunk_id){hash_of(HASH_CHUNK, data)};
}

struct tree_id tree_id_of(struct bytes root_block)
{
    return (struct tree_id){chunk_id_of(root_block).id};
}

struct chunk_id tree_root_chunk(const struct tree_id *tree)
{
    return (struct chunk_id){tree->id};
}

uint32_t tree_root_encode(const struct tree_root *root, uint8_t *block_out)
{
    struct wire_writer wire = wire_writer(block_out, TREE_ROOT_BYTES_MAX);

    CHECK(root->index_chunk_count <= TREE_INDEX_CHUNKS_MAX);
    wire_put(&wire, root_magic, sizeof(root_magic));
    wire_put_u32(&wire, TREE_VERSION);
    wire_put_u32(&wire, root->entry_count);
    wire_put_u32(&wire, root->reference_count);
    wire_put_u64(&wire, root->total_bytes);
    wire_put_u32(&wire, root->index_bytes);
    wire_put_u32(&wire, root->index_chunk_count);
    for (uint32_t i = 0; i < root->index_chunk_count; i++) {
        wire_put_id(&wire, &root->index_chunks[i].id);
    }
    CHECK(wire_ok(&wire));
    return (uint32_t)wire.written_bytes;
}

static bool root_is_possible(const struct tree_root *root)
{
    return root->entry_count <= BUNDLE_ENTRIES_MAX &&
           root->reference_count <= TREE_REFERENCES_MAX && root->total_bytes <= BUNDLE_BYTES_MAX &&
           root->index_bytes <= TREE_INDEX_BYTES_MAX &&
           root->index_chunk_count == tree_chunk_count(root->index_bytes);
}

int tree_root_decode(struct bytes block, struct tree_root *root_out)
{
    struct wire_reader wire = wire_reader(block);
    struct tree_root root = {0};
    const uint8_t *magic = wire_take(&wire, sizeof(root_magic));

    if (magic == NULL || memcmp(magic, root_magic, sizeof(root_magic)) != 0 ||
        wire_u32(&wire) != TREE_VERSION) {
        return -EBADMSG;
    }
    root.entry_count = wire_u32(&wire);
    root.reference_count = wire_u32(&wire);
    root.total_bytes = wire_u64(&wire);
    root.index_bytes = wire_u32(&wire);
    root.index_chunk_count = wire_u32(&wire);
    if (wire.failed || !root_is_possible(&root)) {
        return -EBADMSG;
    }
    for (uint32_t i = 0; i < root.index_chunk_count; i++) {
        wire_id(&wire, &root.index_chunks[i].id);
    }
    if (!wire_done(&wire)) {
        return -EBADMSG;
    }
    *root_out = root;
    return 0;
}

/* What one entry may look like whatever stands around it: NULL, or the broken rule. */
static const char *entry_fault(const struct tree_entry *entry)
{
    uint16_t mode_min = entry->kind == TREE_FILE     ? FILE_MODE_MIN
                        : entry->kind == TREE_FOLDER ? FOLDER_MODE_MIN
                                                     : MODE_MASK;
    const char *fault = archive_path_fault(entry->path);

    if (fault != NULL) {
        return fault;
    }
    if ((entry->mode & ~MODE_MASK) != 0 || (entry->mode & mode_min) != mode_min) {
        return "impossible mode";
    }
    if (entry->kind == TREE_LINK) {
        return archive_target_fault(entry->path, entry->target);
    }
    return NULL;
}

int tree_append(struct buffer *index, const struct tree_entry *entry)
{
    uint8_t fixed[ENTRY_FIXED_BYTES_MAX + 2 * PATH_BYTES_MAX];
    struct wire_writer wire = wire_writer(fixed, sizeof(fixed));
    int r;

    if (entry_fault(entry) != NULL || entry->size_bytes > BUNDLE_BYTES_MAX) {
        return -EBADMSG;
    }
    wire_put_u8(&wire, (uint8_t)entry->kind);
    wire_put_u16(&wire, entry->mode);
    wire_put_text(&wire, entry->path);
    if (entry->kind == TREE_LINK) {
        wire_put_text(&wire, entry->target);
    }
    if (entry->kind == TREE_FILE) {
        CHECK(entry->chunk_count == tree_chunk_count(entry->size_bytes));
        wire_put_u64(&wire, entry->size_bytes);
    }
    CHECK(wire_ok(&wire));
    r = buffer_append(index, fixed, wire.written_bytes);
    if (r == 0 && entry->kind == TREE_FILE && entry->chunk_count > 0) {
        r = buffer_append(index, entry->chunk_ids, (size_t)entry->chunk_count * ID_BYTES);
    }
    return r;
}

void tree_reader_init(struct tree_reader *reader, const struct tree_root *root, struct bytes index)
{
    memset(reader, 0, sizeof(*reader));
    reader->left = index;
    reader->root = *root;
    reader->previous_is_folder = true; /* the tree's own folder, "" */
}

/*
 * Entries come sorted, so all that stands between a folder and its last descendant is below it:
 * the parent of an entry must be the entry before it, or a folder above that one.
 */
static bool has_parent(const struct tree_reader *reader, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t parent_bytes = slash == NULL ? 0 : (size_t)(slash - path);
    size_t previous_bytes = strlen(reader->previous);

    if (parent_bytes == 0) {
        return true;
    }
    if (parent_bytes > previous_bytes || strncmp(path, reader->previous, parent_bytes) != 0) {
        return false;
    }
    return parent_bytes == previous_bytes ? reader->previous_is_folder
                                          : reader->previous[parent_bytes] == '/';
}

static const char *order_fault(const struct tree_reader *reader, const struct tree_entry *entry)
{
    if (reader->entry_count > 0 && tree_path_compare(reader->previous, entry->path) >= 0) {
        return "entries out of order, or one twice";
    }
    return has_parent(reader, entry->path) ? NULL : "entry without its folder";
}

static const char *read_file(struct tree_reader *reader, struct wire_reader *wire,
                             struct tree_entry *entry)
{
    entry->size_bytes = wire_u64(wire);
    if (wire->failed || entry->size_bytes > BUNDLE_BYTES_MAX - reader->total_bytes) {
        return "too large in total";
    }
    entry->chunk_count = tree_chunk_count(entry->size_bytes);
    if (entry->chunk_count > TREE_REFERENCES_MAX - reader->reference_count) {
        return "too many chunks";
    }
    entry->chunk_ids = wire_take(wire, (size_t)entry->chunk_count * ID_BYTES);
    reader->total_bytes += entry->size_bytes;
    reader->reference_count += entry->chunk_count;
    return NULL;
}

static const char *read_entry(struct tree_reader *reader, struct wire_reader *wire,
                              struct tree_entry *entry)
{
    uint8_t kind = wire_u8(wire);
    const char *fault = NULL;

    if (kind < TREE_FILE || kind > TREE_LINK) {
        return "unknown kind";
    }
    entry->kind = (enum tree_kind)kind;
    entry->mode = wire_u16(wire);
    wire_text(wire, entry->path, sizeof(entry->path));
    entry->target[0] = '\0';
    entry->size_bytes = 0;
    entry->chunk_count = 0;
    entry->chunk_ids = NULL;
    if (entry->kind == TREE_LINK) {
        wire_text(wire, entry->target, sizeof(entry->target));
    } else if (entry->kind == TREE_FILE) {
        fault = read_file(reader, wire, entry);
    }
    if (wire->failed) {
        return "index is cut or not well-formed";
    }
    if (fault == NULL) {
        fault = entry_fault(entry);
    }
    return fault != NULL ? fault : order_fault(reader, entry);
}

static int refuse(struct tree_reader *reader, const char *fault)
{
    reader->fault = fault;
    return -EBADMSG;
}

int tree_next(struct tree_reader *reader, struct tree_entry *entry_out)
{
    struct wire_reader wire = wire_reader(reader->left);
    const char *fault;

    if (reader->fault != NULL) {
        return -EBADMSG;
    }
    if (reader->left.length_bytes == 0) {
        bool agrees = reader->entry_count == reader->root.entry_count &&
                      reader->reference_count == reader->root.reference_count &&
                      reader->total_bytes == reader->root.total_bytes;

        return agrees ? 0 : refuse(reader, "sums do not agree with the root block");
    }
    if (reader->entry_count == BUNDLE_ENTRIES_MAX) {
        return refuse(reader, "too many entries");
    }
    fault = read_entry(reader, &wire, entry_out);
    if (fault != NULL) {
        return refuse(reader, fault);
    }
    reader->entry_count++;
    reader->left = (struct bytes){wire.position, wire.left_bytes};
    memcpy(reader->previous, entry_out->path, sizeof(reader->previous));
    reader->previous_is_folder = entry_out->kind == TREE_FOLDER;
    return 1;
}

static void swap(struct chunk_id *a, struct chunk_id *b)
{
    struct chunk_id kept = *a;

    *a = *b;
    *b = kept;
}

static void sift_down(struct chunk_id *ids, uint32_t from, uint32_t count)
{
    for (uint32_t parent = from, child = 2 * from + 1; child < count; child = 2 * parent + 1) {
        if (child + 1 < count && id_compare(&ids[child].id, &ids[child + 1].id) < 0) {
            child++;
        }
        if (id_compare(&ids[parent].id, &ids[child].id) >= 0) {
            return;
        }
        swap(&ids[parent], &ids[child]);
        parent = child;
    }
}

/* Heap sort: qsort(3) may allocate, and a hostile order must not make it slow. */
static void sort_ids(struct chunk_id *ids, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--) {
        sift_down(ids, i - 1, count);
    }
    for (uint32_t end = count; end > 1; end--) {
        swap(&ids[0], &ids[end - 1]);
        sift_down(ids, 0, end - 1);
    }
}

static uint32_t keep_distinct(struct chunk_id *ids, uint32_t count)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || !id_equal(&ids[kept - 1].id, &ids[i].id)) {
            ids[kept++] = ids[i];
        }
    }
    return kept;
}

int tree_wanted(const struct tree_root *root, struct bytes index, struct chunk_id *ids_out,
                uint32_t capacity_count)
{
    struct tree_reader reader;
    struct tree_entry entry;
    uint32_t count = 0;
    int r;

    CHECK(capacity_count >= root->reference_count);
    tree_reader_init(&reader, root, index);
    while ((r = tree_next(&reader, &entry)) > 0) {
        for (uint32_t i = 0; i < entry.chunk_count; i++) {
            if (count == capacity_count) {
                return -EBADMSG;
            }
            ids_out[count++] = tree_entry_chunk(&entry, i);
        }
    }
    if (r < 0) {
        return r;
    }
    sort_ids(ids_out, count);
    count = keep_distinct(ids_out, count);
    return count + root->index_chunk_count + 1 > TREE_CHUNKS_MAX ? -EBADMSG : (int)count;
}
