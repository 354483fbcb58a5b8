// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

enum { PATH_BYTES = 4096, LAST_ENTRY_BYTES = 8 };

struct recorder {
    int fd; /* -1: over */
    uint64_t left_bytes;
    struct signer signer;
    struct recording_entry entry;
    uint8_t bytes[RECORDING_ENTRY_BYTES_MAX];
};

static void stop(struct recorder *recorder)
{
    cleanup_close(&recorder->fd);
    recorder->fd = -1;
}

static void write_all(struct recorder *recorder, size_t length_bytes)
{
    size_t done = 0;

    while (done < length_bytes) {
        ssize_t count = write(recorder->fd, recorder->bytes + done, length_bytes - done);

        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            log_error("recording has ended: %s", err_text(errno));
            stop(recorder);
            return;
        }
        done += (size_t)count;
    }
    recorder->left_bytes -= length_bytes;
}

static void put(struct recorder *recorder)
{
    int length = recording_encode(&recorder->entry, recorder->bytes, sizeof(recorder->bytes));

    if (length > 0 && (uint64_t)length + LAST_ENTRY_BYTES <= recorder->left_bytes) {
        write_all(recorder, (size_t)length);
        return;
    }
    log_warning("recording has ended: %s",
                length > 0 ? "the file is as long as it may be" : "an event of unusual length");
    recorder->entry.kind = RECORDING_FULL;
    length = recording_encode(&recorder->entry, recorder->bytes, sizeof(recorder->bytes));
    write_all(recorder, (size_t)length);
    stop(recorder);
}

static bool is_on(const struct recorder *recorder)
{
    return recorder != NULL && recorder->fd >= 0;
}

/* The key's own bytes sign; the signature is written down. */
static struct signature sign(void *self, const struct secret_key *secret, const char *purpose,
                             struct bytes body)
{
    struct recorder *recorder = self;
    struct secret_key bare = *secret;
    struct signature signature;

    bare.signer = NULL;
    signature = keys_sign(&bare, purpose, body);
    keys_forget(&bare);
    if (is_on(recorder)) {
        recorder->entry.kind = RECORDING_SIGNATURE;
        recorder->entry.signature = signature;
        put(recorder);
    }
    return signature;
}

/* ------------------------------------------------------------------ the file */

/* What was recorded before the process ended, and was started again, is what is wanted most. */
static int keep_older(const char *path, struct err *err)
{
    char kept[PATH_BYTES];

    if (snprintf(kept, sizeof(kept), "%s.1", path) >= (int)sizeof(kept)) {
        return err_set(err, -ENAMETOOLONG, "--record %s: path too long", path);
    }
    if (rename(path, kept) < 0 && errno != ENOENT) {
        return err_set(err, -errno, "--record: %s cannot become %s: %m", path, kept);
    }
    return 0;
}

int recorder_open(const char *path, uint64_t bytes_max, struct recorder **recorder_out,
                  struct err *err)
{
    const size_t magic_bytes = sizeof(RECORDING_MAGIC) - 1;
    CLEANUP(cleanup_free) struct recorder *recorder = calloc(1, sizeof(*recorder));
    int r = keep_older(path, err);

    if (r < 0) {
        return r;
    }
    if (recorder == NULL || bytes_max < magic_bytes + LAST_ENTRY_BYTES) {
        return err_set(err, -EINVAL, "--record: no room for a recording");
    }
    recorder->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (recorder->fd < 0) {
        return err_set(err, -errno, "--record %s: %m", path);
    }
    recorder->left_bytes = bytes_max;
    recorder->signer = (struct signer){sign, recorder};
    memcpy(recorder->bytes, RECORDING_MAGIC, magic_bytes);
    write_all(recorder, magic_bytes);
    log_info("all that this node is told is recorded in %s", path);
    *recorder_out = take_ptr(recorder);
    return 0;
}

void recorder_close(struct recorder *recorder)
{
    if (recorder != NULL) {
        stop(recorder);
        free(recorder);
    }
}

/* ------------------------------------------------------------------ entries */

void recorder_life(struct recorder *recorder, struct core_config *config)
{
    struct recording_entry *entry;

    if (!is_on(recorder)) {
        return;
    }
    entry = &recorder->entry;
    entry->kind = RECORDING_LIFE;
    (void)text_copy(entry->version, sizeof(entry->version), MINGA_VERSION);
    entry->config = *config;
    put(recorder); /* of the key its public half */
    keys_forget(&entry->config.overlay.node_key);
    config->overlay.node_key.signer = &recorder->signer;
}

void recorder_blob(struct recorder *recorder, const struct overlay_blob *blob)
{
    if (is_on(recorder)) {
        recorder->entry.kind = RECORDING_BLOB;
        recorder->entry.blob = *blob;
        put(recorder);
    }
}

void recorder_chunk(struct recorder *recorder, const struct chunk_id *chunk, uint64_t bytes)
{
    if (is_on(recorder)) {
        recorder->entry.kind = RECORDING_CHUNK;
        recorder->entry.chunk = *chunk;
        recorder->entry.chunk_bytes = bytes;
        put(recorder);
    }
}

void recorder_start(struct recorder *recorder, uint64_t now_ms, uint64_t wall_unix_s)
{
    if (is_on(recorder)) {
        recorder->entry.kind = RECORDING_START;
        recorder->entry.now_ms = now_ms;
        recorder->entry.wall_unix_s = wall_unix_s;
        put(recorder);
    }
}

void recorder_event(struct recorder *recorder, const struct core_event *event)
{
    if (is_on(recorder)) {
        recording_event(&recorder->entry, event);
        put(recorder);
    }
}

void recorder_done(struct recorder *recorder, const struct core_effects *effects)
{
    if (is_on(recorder)) {
        recorder->entry.kind = RECORDING_DONE;
        recorder->entry.effect_count = effects->count;
        recorder->entry.digest = effects_digest(effects);
        put(recorder);
    }
}
