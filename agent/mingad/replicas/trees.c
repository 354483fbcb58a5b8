// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * Trees of bundles: which chunks are missing, building by minga-unpack, removing.
 *
 * What concerns one tree happens in the order in which it was asked for; several trees go on at
 * the same time, a few at once.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/mingad/edge.h"
#include "agent/mingad/pool.h"
#include "agent/mingad/replicas/tree_scan.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "images/worker.h"

enum { RUNNING_MAX = 4, WAITING_MAX = 256 };

enum tree_task { TREE_SCAN, TREE_BUILD, TREE_DROP };

struct tree_job {
    struct pool_job pool; /* first */
    struct tree_job *next;
    struct edge *edge;
    enum tree_task task;
    struct tree_id tree;
    bool is_running;
    bool awaits_pool;
    pool_function *run;     /* there */
    uint64_t written_count; /* the edge's, of chunks, when it began to run there */
    struct tree_scan scan;
    int result;
    struct err err;
    bool is_clearing;      /* BUILD: what a crash has left, before it begins */
    struct worker *worker; /* BUILD: once it has begun */
    uv_poll_t poll;        /* BUILD: its messages */
    uv_timer_t timer;      /* BUILD: its time */
    uint32_t handle_count; /* open ones of poll and timer */
};

struct trees {
    int folder_fd;
    struct tree_job *first;
    uint32_t job_count;
    uint32_t running_count;
    bool is_pooled; /* one of them is in the pool */
    bool is_closed;
};

static void pump(struct edge *edge);

/* ------------------------------------------------------------------ ends */

static void unlink_job(struct trees *trees, struct tree_job *job)
{
    struct tree_job **place = &trees->first;

    while (*place != job) {
        CHECK(*place != NULL);
        place = &(*place)->next;
    }
    *place = job->next;
    trees->job_count--;
    if (job->is_running) {
        trees->running_count--;
    }
}

/* What the overlay believes to be here is not: else it would not be fetched again. */
static void tell_lacking(struct tree_job *job)
{
    const struct overlay *overlay = core_overlay(job->edge->core);

    for (uint32_t i = 0; i < job->scan.missing_count; i++) {
        if (overlay_has_chunk(overlay, &job->scan.missing[i])) {
            chunk_jobs_tell_lacking(job->edge, &job->scan.missing[i],
                                    (struct chunk_read){job->scan.why[i], job->written_count});
        }
    }
}

static void tell(struct tree_job *job)
{
    struct core_event event = {.kind = job->task == TREE_SCAN ? CORE_TREE_SCANNED : CORE_TREE_BUILT,
                               .tree = job->tree,
                               .failed = job->result < 0};

    if (job->task == TREE_DROP) {
        if (job->result < 0) {
            log_warning("%s; the next start tries again", job->err.text);
        }
        return;
    }
    tell_lacking(job);
    if (job->result < 0) {
        snprintf(event.reason, sizeof(event.reason), "%.*s", (int)sizeof(event.reason) - 1,
                 job->err.text); /* said of each replica that waits for it */
    } else if (job->task == TREE_SCAN) {
        event.missing_count = job->scan.missing_count;
        memcpy(event.missing, job->scan.missing, sizeof(event.missing));
        event.here_count = job->scan.here_count;
        event.chunk_count = job->scan.chunk_count;
    }
    edge_event(job->edge, &event);
}

/* Takes the job. */
static void finish(struct tree_job *job)
{
    struct trees *trees = job->edge->trees;

    CHECK(job->handle_count == 0);
    unlink_job(trees, job);
    if (!trees->is_closed) {
        tell(job);
    }
    free(job->worker);
    free(job);
}

/* ------------------------------------------------------------------ in the pool */

static void job_done(struct pool_job *pool);

/* What reads or removes a large tree takes long, and a commit must not wait for two of them: of the
 * pool's threads they have one. */
static void run_next(struct edge *edge)
{
    struct tree_job *job = edge->trees->first;

    while (job != NULL && !job->awaits_pool) {
        job = job->next;
    }
    if (job != NULL && !edge->trees->is_pooled) {
        edge->trees->is_pooled = true;
        job->awaits_pool = false;
        job->written_count = edge->chunks_written_count;
        pool_start(&edge->loop, &job->pool, job->run, job_done);
    }
}

static void run_in_pool(struct tree_job *job, pool_function *run)
{
    job->run = run;
    job->awaits_pool = true;
    run_next(job->edge);
}

static void build(struct tree_job *job);

static void job_done(struct pool_job *pool)
{
    struct tree_job *job = (struct tree_job *)pool;
    struct edge *edge = job->edge;

    edge->trees->is_pooled = false;
    if (job->is_clearing && job->result == 0 && !edge->trees->is_closed) {
        job->is_clearing = false;
        build(job);
    } else {
        finish(job);
    }
    run_next(edge);
    pump(edge);
}

/* ------------------------------------------------------------------ scan and drop */

static void scan_tree(struct pool_job *pool)
{
    struct tree_job *job = (struct tree_job *)pool;
    char name[ID_HEX_CHARS + 1];
    struct stat status;

    id_to_hex(&job->tree.id, name);
    if (fstatat(job->edge->trees->folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        /* Built already: complete, or it would not have its name. */
        job->scan = (struct tree_scan){0};
        job->result = 0;
        return;
    }
    job->result = tree_scan(&job->edge->chunks, &job->tree, &job->scan, &job->err);
}

static void drop_tree(struct pool_job *pool)
{
    struct tree_job *job = (struct tree_job *)pool;

    job->result = worker_remove_tree(&job->tree, job->edge->trees->folder_fd);
    errno = -job->result;
    if (job->result < 0) {
        err_set(&job->err, job->result, "remove a tree: %m");
    }
}

/* ------------------------------------------------------------------ build */

static void clear_half(struct pool_job *pool)
{
    struct tree_job *job = (struct tree_job *)pool;
    int r = worker_remove_half(&job->tree, job->edge->trees->folder_fd);

    errno = -r;
    job->result = r < 0 ? err_set(&job->err, r, "remove what is left of a build: %m") : 0;
}

static void finish_worker(struct pool_job *pool)
{
    struct tree_job *job = (struct tree_job *)pool;

    job->result = worker_finish(job->worker, &job->err);
    if (job->result < 0) { /* perhaps of a chunk that went bad: those are fetched again */
        struct err err = {0};

        (void)tree_verify(&job->edge->chunks, &job->tree, &job->scan, &err);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct tree_job *job = handle->data;

    CHECK(job->handle_count > 0);
    job->handle_count--;
    if (job->handle_count == 0) {
        run_in_pool(job, finish_worker);
    }
}

static void on_message(uv_poll_t *poll, int status, int events)
{
    struct tree_job *job = poll->data;

    (void)events;
    if (status == 0 && worker_read(job->worker) > 0) {
        return;
    }
    uv_poll_stop(&job->poll);
    uv_timer_stop(&job->timer);
    uv_close((uv_handle_t *)&job->poll, on_handle_closed);
    uv_close((uv_handle_t *)&job->timer, on_handle_closed);
}

static void on_late(uv_timer_t *timer)
{
    struct tree_job *job = timer->data;

    worker_kill(job->worker);
}

static int start_worker(struct tree_job *job)
{
    struct edge *edge = job->edge;

    job->worker = calloc(1, sizeof(*job->worker));
    if (job->worker == NULL) {
        return err_set(&job->err, -ENOMEM, "build a tree: out of memory");
    }
    int r = worker_start_build(job->worker, &job->tree, edge->chunks.folder_fd,
                               edge->trees->folder_fd, &job->err);

    if (r < 0) {
        return r;
    }
    if (uv_poll_init(&edge->loop, &job->poll, job->worker->message_fd) < 0) {
        worker_kill(job->worker);
        return worker_finish(job->worker, &job->err);
    }
    uv_timer_init(&edge->loop, &job->timer);
    job->poll.data = job;
    job->timer.data = job;
    job->handle_count = 2;
    uv_poll_start(&job->poll, UV_READABLE, on_message);
    uv_timer_start(&job->timer, on_late, WORKER_UNPACK_MS, 0);
    return 0;
}

static void build(struct tree_job *job)
{
    job->result = start_worker(job);
    if (job->result < 0) {
        finish(job);
    }
}

/* ------------------------------------------------------------------ the queue */

static void start(struct tree_job *job)
{
    job->is_running = true;
    job->edge->trees->running_count++;
    switch (job->task) {
    case TREE_SCAN:
        run_in_pool(job, scan_tree);
        break;
    case TREE_DROP:
        run_in_pool(job, drop_tree);
        break;
    case TREE_BUILD:
        job->is_clearing = worker_has_half(&job->tree, job->edge->trees->folder_fd);
        if (job->is_clearing) {
            run_in_pool(job, clear_half);
        } else {
            build(job);
        }
        break;
    }
}

/* The first waiting job before which nothing of the same tree waits or runs. */
static struct tree_job *next_job(struct trees *trees)
{
    for (struct tree_job *job = trees->first; job != NULL; job = job->next) {
        bool is_free = !job->is_running;

        for (struct tree_job *other = trees->first; is_free && other != job; other = other->next) {
            is_free = !id_equal(&other->tree.id, &job->tree.id);
        }
        if (is_free) {
            return job;
        }
    }
    return NULL;
}

static void pump(struct edge *edge)
{
    struct tree_job *job;

    while (!edge->trees->is_closed && edge->trees->running_count < RUNNING_MAX &&
           (job = next_job(edge->trees)) != NULL) {
        start(job);
    }
}

static void add(struct edge *edge, enum tree_task task, const struct tree_id *tree)
{
    struct trees *trees = edge->trees;
    struct tree_job *job = NULL;
    struct tree_job **place = &trees->first;

    if (trees->job_count < WAITING_MAX && !trees->is_closed) {
        job = calloc(1, sizeof(*job));
    }
    if (job == NULL) {
        struct tree_job failed = {.edge = edge, .task = task, .tree = *tree};

        failed.result = err_set(&failed.err, -ENOBUFS, "too much to do at once");
        tell(&failed);
        return;
    }
    job->edge = edge;
    job->task = task;
    job->tree = *tree;
    while (*place != NULL) {
        place = &(*place)->next;
    }
    *place = job;
    trees->job_count++;
    pump(edge);
}

void trees_scan(struct edge *edge, const struct tree_id *tree)
{
    add(edge, TREE_SCAN, tree);
}

void trees_build(struct edge *edge, const struct tree_id *tree)
{
    add(edge, TREE_BUILD, tree);
}

void trees_drop(struct edge *edge, const struct tree_id *tree)
{
    add(edge, TREE_DROP, tree);
}

struct trees *trees_new(struct edge *edge, const char *folder, struct err *err)
{
    struct trees *trees = calloc(1, sizeof(*trees));

    (void)edge;
    if (trees == NULL) {
        err_set(err, -ENOMEM, "trees: out of memory");
        return NULL;
    }
    trees->folder_fd = -1;
    if (mkdir(folder, 0700) == 0 || errno == EEXIST) {
        trees->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (trees->folder_fd < 0) {
        err_set(err, -errno, "%s: %m", folder);
        free(trees);
        return NULL;
    }
    return trees;
}

/* A tree's, or that of half a one? */
static bool tree_of_name(const char *name, struct tree_id *tree_out)
{
    char hex[ID_HEX_CHARS + 1] = "";
    size_t length = strnlen(name, ID_HEX_CHARS);

    memcpy(hex, name, length);
    return id_from_hex(hex, &tree_out->id) == 0 &&
           (name[length] == '\0' || strcmp(name + length, ".new") == 0);
}

void trees_tell_found(struct edge *edge)
{
    CLEANUP(cleanup_close)
    int fd = openat(edge->trees->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (folder == NULL) {
        log_warning("look for trees: %m");
        return;
    }
    take_fd(&fd);
    /* One DIR is read by one thread, which is what readdir asks for. */
    while ((entry = readdir(folder)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
        struct core_event event = {.kind = CORE_TREE_FOUND};

        if (tree_of_name(entry->d_name, &event.tree)) {
            edge_event(edge, &event);
        }
    }
    closedir(folder);
}

void trees_close(struct edge *edge)
{
    struct trees *trees = edge->trees;
    struct tree_job **place;

    if (trees == NULL) {
        return;
    }
    trees->is_closed = true;
    place = &trees->first;
    while (*place != NULL) {
        struct tree_job *job = *place;

        if (job->is_running && (!job->awaits_pool || job->worker != NULL)) {
            if (job->handle_count > 0) {
                worker_kill(job->worker);
            }
            place = &job->next;
        } else {
            *place = job->next;
            trees->job_count--;
            trees->running_count -= job->is_running ? 1 : 0;
            free(job);
        }
    }
}

void trees_free(struct trees *trees)
{
    if (trees != NULL) {
        CHECK(trees->job_count == 0);
        cleanup_close(&trees->folder_fd);
        free(trees);
    }
}
