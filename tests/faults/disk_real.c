// SPDX-License-Identifier: GPL-3.0-or-later
/* The suite's subject: SQLite and files, as mingad has them, in front of a disk that can fail. */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/edge.h"
#include "base/check.h"
#include "base/log.h"
#include "tests/faults/disk_suite.h"
#include "tests/faults/fault_calls.h"
#include "tests/faults/power_cut.h"

enum { FOLDER_BYTES_MAX = 128, NAME_BYTES_MAX = 256, TURN_MS = 2 };

/* One for the program: what the core's functions are replaced with has no other place. */
static struct edge the_edge;
static struct core_stand_in *the_core; /* NULL: nobody listens any more */
static char base[FOLDER_BYTES_MAX];
static char folder[FOLDER_BYTES_MAX + 32];
static unsigned life;
static uv_timer_t turn;

/* ------------------------------------------------------------------ the core */

void __wrap_edge_event(struct edge *edge, const struct core_event *event);
void __wrap_edge_overlay_event(struct edge *edge, const struct overlay_event *event);
const struct overlay *__wrap_core_overlay(const struct core *core);
bool __wrap_overlay_has_chunk(const struct overlay *overlay, const struct chunk_id *chunk);
bool __wrap_overlay_chunk_next(const struct overlay *overlay, bool is_bad, uint32_t *cursor,
                               struct chunk_id *chunk_out);

/* CORE_DISK: there is no core. */
void __wrap_edge_event(struct edge *edge, const struct core_event *event)
{
    (void)edge;
    (void)event;
}

void __wrap_edge_overlay_event(struct edge *edge, const struct overlay_event *event)
{
    (void)edge;
    if (the_core != NULL) {
        disk_core_tell(the_core, event);
    }
}

const struct overlay *__wrap_core_overlay(const struct core *core)
{
    (void)core;
    return NULL;
}

bool __wrap_overlay_has_chunk(const struct overlay *overlay, const struct chunk_id *chunk)
{
    const struct known *known = the_core == NULL ? NULL : disk_core_knows(the_core, chunk);

    (void)overlay;
    return known != NULL && !known->is_bad;
}

bool __wrap_overlay_chunk_next(const struct overlay *overlay, bool is_bad, uint32_t *cursor,
                               struct chunk_id *chunk_out)
{
    (void)overlay;
    while (the_core != NULL && *cursor < the_core->known_count) {
        const struct known *known = &the_core->known[(*cursor)++];

        if (known->is_bad == is_bad) {
            *chunk_out = known->chunk;
            return true;
        }
    }
    return false;
}

static void on_stored(void *context, uint64_t token, bool failed)
{
    struct overlay_event event = {.kind = OVERLAY_STORED, .token = token, .failed = failed};

    edge_overlay_event(context, &event);
}

/* ------------------------------------------------------------------ one process */

static void on_turn(uv_timer_t *timer)
{
    (void)timer; /* the loop never waits longer */
}

static void open_all(void)
{
    struct err err = {0};
    char path[NAME_BYTES_MAX];

    snprintf(path, sizeof(path), "%.160s/platter-%u", base, life);
    power_cut_watch(folder, path); /* before anything is synced */
    snprintf(path, sizeof(path), "%s/minga.db", folder);
    if (store_open(path, &the_edge.store, &err) < 0) {
        log_error("%s", err.text);
        abort();
    }
    CHECK(!store_mended(the_edge.store)->is_mended);
    snprintf(path, sizeof(path), "%s/chunks", folder);
    CHECK(chunk_store_open(path, 0, &the_edge.chunks, &err) == 0);
    CHECK(uv_loop_init(&the_edge.loop) == 0 && uv_timer_init(&the_edge.loop, &turn) == 0);
    uv_timer_start(&turn, on_turn, TURN_MS, TURN_MS);
    the_edge.writer = store_writer_new(&the_edge.loop, the_edge.store, on_stored, &the_edge);
    the_edge.scrub = scrub_new(&the_edge);
    own_disk_open(&the_edge);
    CHECK(the_edge.writer != NULL && the_edge.scrub != NULL);
}

static void close_all(void)
{
    store_writer_end(the_edge.writer);
    scrub_close(&the_edge);
    own_disk_close(&the_edge);
    while (!store_writer_is_idle(the_edge.writer) || the_edge.chunk_jobs_count > 0) {
        uv_run(&the_edge.loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&turn, NULL);
    uv_run(&the_edge.loop, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&the_edge.loop) == 0);
    scrub_free(the_edge.scrub);
    store_writer_free(the_edge.writer);
    store_close(the_edge.store);
    chunk_store_close(&the_edge.chunks);
    the_edge = (struct edge){0};
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static void subject_begin(struct core_stand_in *core)
{
    char path[NAME_BYTES_MAX];
    const char *place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/var/tmp";

    log_set_level(LOG_LEVEL_ERROR);
    snprintf(base, sizeof(base), "%s/minga-disk-XXXXXX", place);
    CHECK(mkdtemp(base) != NULL);
    snprintf(folder, sizeof(folder), "%s/life-0", base);
    snprintf(path, sizeof(path), "%s/chunks", folder);
    CHECK(mkdir(folder, 0700) == 0 && mkdir(path, 0700) == 0);
    life = 0;
    the_core = core;
    open_all();
}

static void subject_end(void)
{
    fault_set(&(struct fault){0});
    the_core = NULL;
    close_all();
    fault_on_sync(NULL);
    (void)nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void subject_perform(const struct overlay_effect *effect)
{
    disk_core_asks(the_core, effect);
    if (effect->kind == OVERLAY_STORE && effect->is_unhurried) {
        store_writer_put_unhurried(the_edge.writer, &effect->blob, effect->token);
    } else if (effect->kind == OVERLAY_STORE) {
        store_writer_put(the_edge.writer, &effect->blob, effect->token);
    } else if (effect->kind == OVERLAY_STORE_CHUNK) {
        chunk_jobs_store(&the_edge, effect);
    } else {
        chunk_jobs_drop(&the_edge, &effect->chunk);
    }
}

static struct chunk_read the_read;
static size_t read_bytes;

static void subject_begin_read(const struct chunk_id *chunk)
{
    uint8_t *data = NULL;

    the_read.written_count = the_edge.chunks_written_count;
    the_read.result = chunk_store_get(&the_edge.chunks, chunk, &data, &read_bytes);
    free(data);
}

static void subject_end_read(const struct chunk_id *chunk)
{
    if (chunk_store_lacks(the_read.result)) {
        chunk_jobs_tell_lacking(&the_edge, chunk, the_read);
    } else {
        CHECK(the_read.result == 0);
        chunk_jobs_tell_good(&the_edge, chunk, read_bytes);
    }
}

static void subject_read(const struct chunk_id *chunk)
{
    subject_begin_read(chunk);
    subject_end_read(chunk);
}

static void subject_wait(uint64_t ms)
{
    uint64_t end_ms = clock_now_ms() + ms;

    do {
        store_writer_flush(the_edge.writer);
        uv_run(&the_edge.loop, UV_RUN_ONCE);
    } while (clock_now_ms() < end_ms);
}

static void subject_set_fault(enum disk_fault wanted)
{
    struct fault fault = {.at = 1};

    if (wanted == DISK_FAULT_FULL) {
        fault.kind = FAULT_WRITE;
        fault.is_lasting = true;
    } else if (wanted == DISK_FAULT_WRITE_ONCE) {
        fault.kind = FAULT_SYNC;
    } else if (wanted == DISK_FAULT_READ_ONCE) {
        fault.kind = FAULT_READ;
    }
    snprintf(fault.folder, sizeof(fault.folder), "%.200s", folder);
    fault_set(&fault);
}

static bool subject_refuses(void)
{
    return the_edge.own_disk.result < 0;
}

static void subject_fail_opens(void)
{
    struct fault fault = {.kind = FAULT_OPEN, .at = 1, .is_lasting = true};

    snprintf(fault.folder, sizeof(fault.folder), "%.200s", folder);
    fault_set(&fault);
}

/* ------------------------------------------------------------------ the next process */

/* As it is; only what a power cut leaves is exact, for here threads may be writing. */
static void copy_live(const char *to)
{
    char command[NAME_BYTES_MAX * 3];

    /* The index of the log is in memory only, and made anew. */
    snprintf(command, sizeof(command), "cp -a %s %s && rm -f %s/minga.db-shm", folder, to, to);
    pid_t pid = fork();

    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status = 0;

    CHECK(waitpid(pid, &status, 0) == pid);
}

static void subject_crash(enum disk_crash crash)
{
    char next[sizeof(folder)];

    snprintf(next, sizeof(next), "%s/life-%u", base, ++life);
    if (crash == DISK_CRASH_KILL) {
        copy_live(next);
    } else {
        power_cut_take(next);
    }
    struct core_stand_in *core = the_core;

    the_core = NULL;
    close_all();
    memcpy(folder, next, sizeof(folder));
    the_core = core;
    core->known_count = 0;
    open_all();
}

static void see_blob(void *context, const struct overlay_blob *blob)
{
    held_add_blob(context, blob);
}

static void see_chunk(void *context, const struct chunk_id *chunk, uint64_t length_bytes)
{
    held_add_chunk(context, chunk, length_bytes);
}

static void subject_load(struct held *held_out)
{
    struct err err = {0};

    CHECK(store_load(the_edge.store, see_blob, held_out, &err) == 0);
    CHECK(chunk_store_scan(&the_edge.chunks, see_chunk, held_out, &err) == 0);
}

static void subject_rot(const struct chunk_id *chunk)
{
    char name[ID_HEX_CHARS + 1];
    char path[NAME_BYTES_MAX];
    char byte = 0;

    id_to_hex(&chunk->id, name);
    snprintf(path, sizeof(path), "%.160s/chunks/%s", folder, name);
    int fd = open(path, O_RDWR | O_CLOEXEC);

    CHECK(fd >= 0 && read(fd, &byte, 1) == 1);
    byte ^= 1;
    CHECK(pwrite(fd, &byte, 1, 0) == 1);
    close(fd);
}

const struct disk_subject disk_subject = {
    .name = "SQLite and files",
    .begin = subject_begin,
    .end = subject_end,
    .perform = subject_perform,
    .read = subject_read,
    .wait = subject_wait,
    .crash = subject_crash,
    .load = subject_load,
    .set_fault = subject_set_fault,
    .begin_read = subject_begin_read,
    .end_read = subject_end_read,
    .fail_opens = subject_fail_opens,
    .refuses = subject_refuses,
    .rot = subject_rot,
};
