// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* A temporary folder for tests of what touches files; removed with all that is in it. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "images/bundle.h"
#include "images/tree.h"
#include "images/worker.h"

struct box {
    char path[64];
    int fd;
};

static inline struct box box_open(void)
{
    struct box box = {.path = "/tmp/minga-unit-XXXXXX"};

    cr_assert_not_null(mkdtemp(box.path));
    box.fd = open(box.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(box.fd, 0);
    return box;
}

static inline void box_close(struct box *box)
{
    close(box->fd);
    cr_assert_eq(worker_remove_folder(AT_FDCWD, box->path), 0);
    cr_assert_neq(access(box->path, F_OK), 0);
}

static inline int box_folder(int parent_fd, const char *name)
{
    cr_assert_eq(mkdirat(parent_fd, name, 0755), 0);
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    return fd;
}

static inline void box_file(int folder_fd, const char *name, struct bytes content, mode_t mode)
{
    int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    cr_assert_eq(file_write_all(fd, content), 0);
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
}

static inline void box_text(int folder_fd, const char *name, const char *text, mode_t mode)
{
    box_file(folder_fd, name, bytes_of_text(text), mode);
}

/* How many names a folder has. */
static inline int box_count(int folder_fd)
{
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fdopendir(fd);
    int count = -2;

    cr_assert_not_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count;
}

/* The head of a static ELF program for amd64. */
static inline struct bytes box_program(void)
{
    static const uint8_t head[64] = {0x7f, 'E', 'L', 'F', 2, 1, 1, [16] = 2, [18] = 62};

    return (struct bytes){head, sizeof(head)};
}

/* A small valid bundle in a new folder. */
static inline int box_bundle(int parent_fd)
{
    int fd = box_folder(parent_fd, "bundle");
    int bin_fd = box_folder(fd, "bin");

    box_text(fd, "service.yaml", "name: wiki\ncommand: [/bin/wiki]\n", 0644);
    box_file(bin_fd, "wiki", box_program(), 0755);
    close(bin_fd);
    return fd;
}

static inline int box_open_bundle(int folder_fd, struct bundle **bundle_out, struct err *err)
{
    struct bundle_source source = {.folder_fd = folder_fd, .name = "wiki.tar"};

    memset(err, 0, sizeof(*err));
    return bundle_open(&source, bundle_out, err);
}

/* Writes all chunks of a bundle as a node's chunk store has them. */
static inline void box_store(const struct bundle *bundle, int chunks_fd)
{
    static uint8_t data[CHUNK_BYTES_MAX];
    char name[ID_HEX_CHARS + 1];
    struct err err;

    for (uint32_t i = 0; i < bundle_chunk_count(bundle); i++) {
        struct chunk_id id = bundle_chunk_id(bundle, i);
        int length_bytes = bundle_read_chunk(bundle, i, data, &err);

        cr_assert_eq(length_bytes, (int)bundle_chunk_bytes(bundle, i), "%s", err.text);
        id_to_hex(&id.id, name);
        box_file(chunks_fd, name, (struct bytes){data, (size_t)length_bytes}, 0600);
    }
}
