// SPDX-License-Identifier: GPL-3.0-or-later
/* From a bundle to a tree for one trial: the way of push and of a node, by the same rules. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/cli/trial/trial.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "images/bundle.h"
#include "images/worker.h"

#define STAGING_NAME "bundle"
#define CHUNKS_NAME  "chunks"
#define TREES_NAME   "trees"

static int wait_for(struct worker *worker, const char *name, struct err *err)
{
    return worker_wait(worker, WORKER_UNPACK_MS, err) < 0 ? err_wrap(err, "%s", name) : 0;
}

/* An archive's content in a folder below STATE. Returns its descriptor. */
static int unpack(const struct trial *trial, const char *name, int archive_fd, struct err *err)
{
    CLEANUP(cleanup_free) struct worker *worker = calloc(1, sizeof(*worker));

    if (worker == NULL) {
        return err_set(err, -ENOMEM, "%s: no memory", name);
    }
    if (worker_start_unpack(worker, archive_fd, trial->state_fd, STAGING_NAME, err) < 0 ||
        wait_for(worker, name, err) < 0) {
        return err->code;
    }
    for (uint32_t i = 0; worker_note(worker, i) != NULL; i++) {
        remark("minga: %s", worker_note(worker, i));
    }
    int fd = openat(trial->state_fd, STAGING_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? err_set(err, -errno, "%s: %m", name) : fd;
}

static int make_folder(const struct trial *trial, const char *name, struct err *err)
{
    if (mkdirat(trial->state_fd, name, 0700) < 0) {
        return err_set(err, -errno, "%s/%s: %m", trial->state, name);
    }
    int fd = openat(trial->state_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? err_set(err, -errno, "%s/%s: %m", trial->state, name) : fd;
}

static int write_chunks(const struct bundle *bundle, int chunks_fd, struct err *err)
{
    CLEANUP(cleanup_free) uint8_t *data = malloc(CHUNK_BYTES_MAX);

    if (data == NULL) {
        return err_set(err, -ENOMEM, "chunks: no memory");
    }
    for (uint32_t i = 0; i < bundle_chunk_count(bundle); i++) {
        struct chunk_id id = bundle_chunk_id(bundle, i);
        int length_bytes = bundle_read_chunk(bundle, i, data, err);
        char name[ID_HEX_CHARS + 1];

        if (length_bytes < 0) {
            return length_bytes;
        }
        id_to_hex(&id.id, name);
        CLEANUP(cleanup_close)
        int fd = openat(chunks_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        int r = fd < 0 ? -errno : file_write_all(fd, (struct bytes){data, (size_t)length_bytes});

        if (r < 0) {
            errno = -r;
            return err_set(err, r, "chunks: %m");
        }
    }
    return 0;
}

/* On a node mingad's user has built it; here root has. */
static int give_away(const struct trial *trial, struct err *err)
{
    char path[TRIAL_PATH_BYTES_MAX + 16];
    char *const paths[] = {path, NULL};
    FTSENT *entry;
    int r = 0;

    snprintf(path, sizeof(path), "%s/" TREES_NAME, trial->state);
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    if (walk == NULL) {
        return err_set(err, -errno, "%s: %m", path);
    }
    while (r == 0 && (entry = fts_read(walk)) != NULL) {
        if (entry->fts_info != FTS_DP && lchown(entry->fts_path, trial->uid, trial->gid) < 0) {
            r = err_set(err, -errno, "%s: %m", entry->fts_path);
        }
    }
    fts_close(walk);
    return r;
}

static int build(const struct trial *trial, const char *name, const struct bundle *bundle,
                 struct err *err)
{
    CLEANUP(cleanup_free) struct worker *worker = calloc(1, sizeof(*worker));
    struct tree_id tree = bundle_tree(bundle);
    CLEANUP(cleanup_close) int chunks_fd = make_folder(trial, CHUNKS_NAME, err);
    CLEANUP(cleanup_close) int trees_fd = -1;

    if (worker == NULL) {
        return err_set(err, -ENOMEM, "%s: no memory", name);
    }
    if (chunks_fd < 0) {
        return chunks_fd;
    }
    trees_fd = make_folder(trial, TREES_NAME, err);
    if (trees_fd < 0 || write_chunks(bundle, chunks_fd, err) < 0 ||
        worker_start_build(worker, &tree, chunks_fd, trees_fd, err) < 0 ||
        wait_for(worker, name, err) < 0) {
        return err->code;
    }
    (void)worker_remove_folder(trial->state_fd, CHUNKS_NAME);
    return give_away(trial, err);
}

struct hashing {
    const struct session *session;
    struct bar bar;
};

static void on_progress(void *context, uint64_t hashed_bytes, uint64_t all_bytes)
{
    struct hashing *hashing = context;

    progress_bar(hashing->session, &hashing->bar, hashed_bytes, all_bytes);
}

static int make(struct session *session, const struct trial *trial,
                const struct bundle_source *source, struct bundle **bundle_out, struct err *err)
{
    int r = bundle_open(source, bundle_out, err);

    if (r < 0) {
        return r;
    }
    for (uint32_t i = 0; i < bundle_note_count(*bundle_out); i++) {
        remark("minga: %s", bundle_note(*bundle_out, i));
    }
    progress(session, "building the tree ...");
    return build(trial, source->name, *bundle_out, err);
}

int trial_make_tree(struct session *session, const struct trial *trial, const char *name, int fd,
                    struct manifest *manifest_out, struct tree_id *tree_out)
{
    struct hashing hashing = {.session = session};
    struct bundle_source source = {fd, name, on_progress, &hashing};
    CLEANUP(cleanup_close) int unpacked_fd = -1;
    struct bundle *bundle = NULL;
    struct stat status;
    struct err err = {0};
    int r = fstat(fd, &status) < 0 ? err_set(&err, -errno, "%s: %m", name) : 0;

    if (r == 0 && !S_ISDIR(status.st_mode)) {
        progress(session, "unpacking %s ...", name);
        r = unpacked_fd = unpack(trial, name, fd, &err);
        source.folder_fd = unpacked_fd;
    }
    if (r >= 0) {
        progress_begin(&hashing.bar, "hashing");
        r = make(session, trial, &source, &bundle, &err);
    }
    progress(session, "%s", "");
    if (r == 0) {
        *manifest_out = *bundle_manifest(bundle);
        *tree_out = bundle_tree(bundle);
    }
    bundle_free(bundle);
    if (unpacked_fd >= 0) {
        (void)worker_remove_folder(trial->state_fd, STAGING_NAME);
    }
    return r < 0 ? problem_from_err(&session->problem, EXIT_REFUSED, &err) : EXIT_DONE;
}
