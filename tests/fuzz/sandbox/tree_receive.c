// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A hostile member's files, unpacked on the owner's machine: nothing may change outside of the
 * target. Even inputs are blocks, which get the right magic and checksum, or nothing would come
 * past the first look; odd ones say which entries are made of a few names.
 */
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "sandbox/tar.h"
#include "sandbox/tree_copy.h"

static char folder[64];

static void begin(void)
{
    snprintf(folder, sizeof(folder), "/tmp/minga-fuzz-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
}

/* Everything below the folder goes; returns how many things lay beside the target. */
static unsigned clear_folder(void)
{
    char *const paths[] = {folder, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    FTSENT *entry;
    unsigned beside = 0;

    CHECK(walk != NULL);
    while ((entry = fts_read(walk)) != NULL) {
        if (entry->fts_info == FTS_D || entry->fts_level == 0) {
            continue;
        }
        beside += entry->fts_level == 1 && strcmp(entry->fts_name, "target") != 0;
        CHECK(S_ISREG(entry->fts_statp->st_mode) || S_ISDIR(entry->fts_statp->st_mode) ||
              S_ISLNK(entry->fts_statp->st_mode));
        CHECK(remove(entry->fts_path) == 0);
    }
    fts_close(walk);
    return beside;
}

static void mend(uint8_t *block)
{
    unsigned sum = 0;

    memcpy(block + 257, "ustar\00000", 8);
    memset(block + 148, ' ', 8);
    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
        sum += block[i];
    }
    snprintf((char *)block + 148, 8, "%06o", sum);
}

static void put(int fd, const void *bytes, size_t length_bytes)
{
    CHECK(write(fd, bytes, length_bytes) == (ssize_t)length_bytes);
}

static void put_blocks(int fd, const uint8_t *data, size_t length_bytes)
{
    uint8_t block[TAR_BLOCK_BYTES];

    for (size_t at = 0; at + TAR_BLOCK_BYTES <= length_bytes; at += TAR_BLOCK_BYTES) {
        memcpy(block, data + at, TAR_BLOCK_BYTES);
        if (block[511] % 2 == 0 && block[0] != 0) {
            mend(block);
        }
        put(fd, block, sizeof(block));
    }
}

/* Names by the bits of a number, three each. */
static void name_of(char *text, uint32_t number)
{
    static const char *const parts[] = {"a", "b", "..", ".", "", "root", "c", "long-name"};

    text[0] = '\0';
    for (int i = 0; i < 4 && number != 0; i++, number >>= 4) {
        if (i > 0) {
            strncat(text, "/", PATH_BYTES_MAX - strlen(text) - 1);
        }
        strncat(text, parts[number & 7], PATH_BYTES_MAX - strlen(text) - 1);
    }
}

static void put_entries(int fd, const uint8_t *data, size_t length_bytes)
{
    static const uint8_t zeros[2 * TAR_BLOCK_BYTES];
    uint8_t head[TAR_HEAD_BYTES_MAX];
    struct tar_entry entry = {.kind = TAR_FOLDER, .mode = 0755, .path = TREE_COPY_ROOT};

    put(fd, head, tar_head(&entry, head));
    for (; length_bytes >= 6; data += 6, length_bytes -= 6) {
        char path[PATH_BYTES_MAX];

        memset(&entry, 0, sizeof(entry));
        entry.kind = (enum tar_kind)(data[0] % 3);
        entry.mode = (uint16_t)(data[1] << 2);
        name_of(path, (uint32_t)data[2] << 8 | data[3]);
        snprintf(entry.path, sizeof(entry.path), "root/%.1000s", path);
        name_of(entry.target, (uint32_t)data[4] << 8 | data[5]);
        entry.size_bytes = entry.kind == TAR_FILE ? data[4] % 3 : 0;
        put(fd, head, tar_head(&entry, head));
        if (entry.size_bytes > 0) {
            put(fd, zeros, TAR_BLOCK_BYTES);
        }
    }
    put(fd, zeros, sizeof(zeros));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length_bytes)
{
    struct tree_copy copy = {.bytes_max = 1 << 20};
    struct err err = {0};
    int stream_fd = memfd_create("stream", MFD_CLOEXEC);
    int folder_fd;
    int target_fd;

    if (folder[0] == '\0') {
        begin();
    }
    folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(stream_fd >= 0 && folder_fd >= 0 && mkdirat(folder_fd, "target", 0755) == 0);
    target_fd = openat(folder_fd, "target", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(target_fd >= 0);
    if (length_bytes % 2 == 0) {
        put_blocks(stream_fd, data, length_bytes);
    } else {
        put_entries(stream_fd, data, length_bytes);
    }
    CHECK(lseek(stream_fd, 0, SEEK_SET) == 0);
    (void)tree_receive(&copy, stream_fd, target_fd, length_bytes % 4 < 2 ? "" : "name", &err);
    CHECK(copy.bytes <= copy.bytes_max);
    close(target_fd);
    close(folder_fd);
    close(stream_fd);
    CHECK(clear_folder() == 0);
    return 0;
}
