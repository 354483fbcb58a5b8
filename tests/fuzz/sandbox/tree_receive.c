// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * A hostile member's files, unpacked on the owner's machine: nothing may change outside of the
 * target. Blocks get the right magic and checksum, or nothing would come past the first look.
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length_bytes)
{
    struct tree_copy copy = {.bytes_max = 1 << 20};
    uint8_t block[TAR_BLOCK_BYTES];
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
    for (size_t at = 0; at + TAR_BLOCK_BYTES <= length_bytes; at += TAR_BLOCK_BYTES) {
        memcpy(block, data + at, TAR_BLOCK_BYTES);
        if (block[511] % 2 == 0 && block[0] != 0) {
            mend(block);
        }
        CHECK(write(stream_fd, block, sizeof(block)) == (ssize_t)sizeof(block));
    }
    CHECK(lseek(stream_fd, 0, SEEK_SET) == 0);
    (void)tree_receive(&copy, stream_fd, target_fd, length_bytes % 2 == 0 ? "" : "name", &err);
    CHECK(copy.bytes <= copy.bytes_max);
    close(target_fd);
    close(folder_fd);
    close(stream_fd);
    CHECK(clear_folder() == 0);
    return 0;
}
