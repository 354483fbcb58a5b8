// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/tar.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "base/check.h"

enum { NAME_BYTES = 100, PREFIX_BYTES = 155 };

struct block { /* POSIX.1-2017, pax, "ustar Interchange Format" */
    char name[NAME_BYTES];
    char mode[8];
    char uid[8];
    char gid[8];
    char bytes[12];
    char modified[12];
    char checksum[8];
    char type;
    char target[NAME_BYTES];
    char magic[6];
    char version[2];
    char user[32];
    char group[32];
    char major[8];
    char minor[8];
    char prefix[PREFIX_BYTES];
    char unused[12];
};
static_assert(sizeof(struct block) == TAR_BLOCK_BYTES, "as the standard says");

static const char type_file = '0';
static const char type_link = '2';
static const char type_folder = '5';
static const char type_pax = 'x';

/* ------------------------------------------------------------------ rules */

bool tar_path_is_good(const char *path)
{
    uint32_t depth = 0;

    if (strlen(path) >= PATH_BYTES_MAX) {
        return false;
    }
    for (;;) {
        size_t length = strcspn(path, "/");

        if (length == 0 || length > 255 || (length == 1 && path[0] == '.') ||
            (length == 2 && path[0] == '.' && path[1] == '.') || ++depth > TAR_DEPTH_MAX) {
            return false;
        }
        if (path[length] == '\0') {
            return true;
        }
        path += length + 1;
    }
}

bool tar_link_stays(const char *path, const char *target)
{
    int depth = -1; /* 0: in the outermost folder */
    bool is_down = false;

    if (target[0] == '/' || target[0] == '\0') {
        return false;
    }
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        depth++;
    }
    while (depth >= 0 && *target != '\0') {
        size_t length = strcspn(target, "/");

        if (length == 2 && target[0] == '.' && target[1] == '.') {
            /* What it went down through may be a link itself, which this would be counted from. */
            depth = is_down ? -1 : depth - 1;
        } else if (length > 0 && !(length == 1 && target[0] == '.')) {
            is_down = true;
        }
        target += length + (target[length] == '/' ? 1 : 0);
    }
    return depth >= 0;
}

size_t tar_padding(uint64_t size_bytes)
{
    return (TAR_BLOCK_BYTES - (size_t)(size_bytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
}

/* ------------------------------------------------------------------ writing */

static uint32_t checksum_of(const uint8_t *bytes)
{
    const size_t first = offsetof(struct block, checksum);
    uint32_t sum = 0;

    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
        sum += i >= first && i < first + sizeof(((struct block *)NULL)->checksum) ? ' ' : bytes[i];
    }
    return sum;
}

static void put_octal(char *field, size_t field_bytes, uint64_t number)
{
    char text[24];
    int length = snprintf(text, sizeof(text), "%0*" PRIo64, (int)field_bytes - 1, number);

    CHECK(length == (int)field_bytes - 1);
    memcpy(field, text, (size_t)length);
}

static void fill_block(const struct tar_entry *entry, char type, uint64_t size_bytes,
                       uint8_t *bytes_out)
{
    struct block block = {.magic = "ustar", .version = {'0', '0'}, .type = type};
    char sum[8];

    memcpy(block.name, entry->path, strnlen(entry->path, sizeof(block.name)));
    if (type == type_link) {
        memcpy(block.target, entry->target, strnlen(entry->target, sizeof(block.target)));
    }
    put_octal(block.mode, sizeof(block.mode), entry->mode & 0777);
    put_octal(block.uid, sizeof(block.uid), 0);
    put_octal(block.gid, sizeof(block.gid), 0);
    put_octal(block.bytes, sizeof(block.bytes), size_bytes);
    put_octal(block.modified, sizeof(block.modified), entry->modified_s & TAR_FILE_BYTES_MAX);
    memcpy(bytes_out, &block, sizeof(block));
    snprintf(sum, sizeof(sum), "%06" PRIo32, checksum_of(bytes_out));
    memcpy(bytes_out + offsetof(struct block, checksum), sum, 7);
    bytes_out[offsetof(struct block, checksum) + 7] = ' ';
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts itself, too. */
static size_t put_record(uint8_t *bytes_out, const char *key, const char *value)
{
    size_t rest = 1 + strlen(key) + 1 + strlen(value) + 1;
    size_t length = rest + 1;
    char digits[16];

    for (int i = 0; i < 3; i++) {
        length = rest + (size_t)snprintf(digits, sizeof(digits), "%zu", length);
    }
    return (size_t)snprintf((char *)bytes_out, length + 1, "%zu %s=%s\n", length, key, value);
}

static char type_of(enum tar_kind kind)
{
    return kind == TAR_FILE ? type_file : kind == TAR_FOLDER ? type_folder : type_link;
}

size_t tar_head(const struct tar_entry *entry, uint8_t bytes_out[TAR_HEAD_BYTES_MAX])
{
    size_t path_length = strlen(entry->path);
    size_t target_length = entry->kind == TAR_LINK ? strlen(entry->target) : 0;
    size_t head_bytes = 0;
    size_t pax_bytes = 0;

    CHECK(entry->kind != TAR_FILE || entry->size_bytes <= TAR_FILE_BYTES_MAX);
    if (path_length >= PATH_BYTES_MAX || target_length >= PATH_BYTES_MAX) {
        return 0;
    }
    memset(bytes_out, 0, TAR_HEAD_BYTES_MAX);
    if (path_length > NAME_BYTES) {
        pax_bytes += put_record(bytes_out + TAR_BLOCK_BYTES, "path", entry->path);
    }
    if (target_length > NAME_BYTES) {
        pax_bytes += put_record(bytes_out + TAR_BLOCK_BYTES + pax_bytes, "linkpath", entry->target);
    }
    if (pax_bytes > 0) {
        fill_block(entry, type_pax, pax_bytes, bytes_out);
        head_bytes = TAR_BLOCK_BYTES + pax_bytes + tar_padding(pax_bytes);
    }
    fill_block(entry, type_of(entry->kind), entry->kind == TAR_FILE ? entry->size_bytes : 0,
               bytes_out + head_bytes);
    return head_bytes + TAR_BLOCK_BYTES;
}

/* ------------------------------------------------------------------ reading */

void tar_reader_init(struct tar_reader *reader)
{
    memset(reader, 0, sizeof(*reader));
}

/* Octal digits, then a space or NUL. False: no number. */
static bool get_octal(const char *field, size_t field_bytes, uint64_t *number_out)
{
    uint64_t number = 0;
    size_t digits = 0;

    while (digits < field_bytes && field[digits] >= '0' && field[digits] <= '7') {
        number = number << 3 | (uint64_t)(field[digits++] - '0');
    }
    if (digits == 0 || digits > 12 ||
        (digits < field_bytes && field[digits] != ' ' && field[digits] != '\0')) {
        return false;
    }
    *number_out = number;
    return true;
}

/* Returns the record's length, 0 when it is none. */
static size_t split_record(const char *text, size_t left_bytes, const char **key_out,
                           const char **value_out)
{
    size_t length = 0;
    size_t at = 0;
    const char *equals;

    while (at < left_bytes && at < 5 && text[at] >= '0' && text[at] <= '9') {
        length = length * 10 + (size_t)(text[at++] - '0');
    }
    if (at == 0 || at >= left_bytes || text[at] != ' ' || length > left_bytes || length < at + 4 ||
        text[length - 1] != '\n') {
        return 0;
    }
    equals = memchr(text + at + 1, '=', length - at - 2);
    if (equals == NULL || memchr(text, '\0', length) != NULL) {
        return 0;
    }
    *key_out = text + at + 1;
    *value_out = equals + 1;
    return length;
}

static bool copy_value(const char *value, size_t length, char *text_out)
{
    if (length == 0 || length >= PATH_BYTES_MAX) {
        return false;
    }
    memcpy(text_out, value, length);
    text_out[length] = '\0';
    return true;
}

static bool read_records(struct tar_reader *reader)
{
    const char *text = (const char *)reader->pax;
    size_t left_bytes = reader->pax_bytes;

    while (left_bytes > 0) {
        const char *key = NULL;
        const char *value = NULL;
        size_t length = split_record(text, left_bytes, &key, &value);
        size_t value_length;

        if (length == 0) {
            return false;
        }
        value_length = (size_t)(text + length - 1 - value);
        if (strncmp(key, "path=", 5) == 0) {
            reader->has_path = copy_value(value, value_length, reader->path);
        } else if (strncmp(key, "linkpath=", 9) == 0) {
            reader->has_target = copy_value(value, value_length, reader->target);
        }
        text += length;
        left_bytes -= length;
    }
    return true;
}

static bool is_zero(const uint8_t *block)
{
    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
        if (block[i] != 0) {
            return false;
        }
    }
    return true;
}

static void take_names(struct tar_reader *reader, const struct block *block,
                       struct tar_entry *entry)
{
    size_t length;

    if (reader->has_path) {
        memcpy(entry->path, reader->path, sizeof(entry->path));
    } else if (block->prefix[0] != '\0') {
        snprintf(entry->path, sizeof(entry->path), "%.*s/%.*s", PREFIX_BYTES, block->prefix,
                 NAME_BYTES, block->name);
    } else {
        snprintf(entry->path, sizeof(entry->path), "%.*s", NAME_BYTES, block->name);
    }
    if (reader->has_target) {
        memcpy(entry->target, reader->target, sizeof(entry->target));
    } else {
        snprintf(entry->target, sizeof(entry->target), "%.*s", NAME_BYTES, block->target);
    }
    reader->has_path = reader->has_target = false;
    length = strlen(entry->path);
    if (entry->kind == TAR_FOLDER && length > 1 && entry->path[length - 1] == '/') {
        entry->path[length - 1] = '\0';
    }
}

static int bad(const char *fault, const char **fault_out)
{
    *fault_out = fault;
    return -EBADMSG;
}

static int take_entry(struct tar_reader *reader, const struct block *block, struct tar_entry *entry,
                      const char **fault_out)
{
    uint64_t mode = 0;

    if (block->type != type_file && block->type != type_folder && block->type != type_link) {
        return bad("neither file, folder nor link", fault_out);
    }
    memset(entry, 0, sizeof(*entry));
    entry->kind = block->type == type_file     ? TAR_FILE
                  : block->type == type_folder ? TAR_FOLDER
                                               : TAR_LINK;
    if (!get_octal(block->mode, sizeof(block->mode), &mode) ||
        !get_octal(block->bytes, sizeof(block->bytes), &entry->size_bytes) ||
        !get_octal(block->modified, sizeof(block->modified), &entry->modified_s) ||
        entry->size_bytes > TAR_FILE_BYTES_MAX ||
        (entry->kind != TAR_FILE && entry->size_bytes > 0)) {
        return bad("a number is none", fault_out);
    }
    entry->mode = (uint16_t)(mode & 0777);
    take_names(reader, block, entry);
    if (!tar_path_is_good(entry->path)) {
        return bad("a path that does not go down", fault_out);
    }
    return TAR_ENTRY;
}

static int take_pax(struct tar_reader *reader, const uint8_t *block, const char **fault_out)
{
    uint32_t part = reader->left_bytes < TAR_BLOCK_BYTES ? reader->left_bytes : TAR_BLOCK_BYTES;

    memcpy(reader->pax + reader->pax_bytes - reader->left_bytes, block, part);
    reader->left_bytes -= part;
    return reader->left_bytes > 0 || read_records(reader) ? TAR_MORE
                                                          : bad("a bad record", fault_out);
}

int tar_take(struct tar_reader *reader, const uint8_t bytes[TAR_BLOCK_BYTES],
             struct tar_entry *entry_out, const char **fault_out)
{
    struct block block;
    uint64_t number = 0;

    if (reader->left_bytes > 0) {
        return take_pax(reader, bytes, fault_out);
    }
    if (is_zero(bytes)) {
        if (reader->ended_once) {
            return TAR_END;
        }
        reader->ended_once = true;
        return TAR_MORE;
    }
    memcpy(&block, bytes, sizeof(block));
    if (reader->ended_once || memcmp(block.magic, "ustar", sizeof(block.magic)) != 0 ||
        !get_octal(block.checksum, sizeof(block.checksum), &number) ||
        number != checksum_of(bytes)) {
        return bad("no tar archive", fault_out);
    }
    if (block.type != type_pax) {
        return take_entry(reader, &block, entry_out, fault_out);
    }
    if (!get_octal(block.bytes, sizeof(block.bytes), &number) || number == 0 ||
        number > TAR_PAX_BYTES_MAX) {
        return bad("a record is too long", fault_out);
    }
    reader->pax_bytes = (uint32_t)number;
    reader->left_bytes = (uint32_t)number;
    return TAR_MORE;
}
