// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * What mingad keeps on its disk, when the disk fails and when it is killed.
 *
 *   store_faults faults [STEP]        each call (or each STEP-th) of each kind fails once, and all
 *                                     from there on
 *   store_faults kills COUNT [SEED]   SIGKILL at so many moments
 *
 * Each time: clear errors, nothing that was acknowledged is lost, and the next start is clean.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/faults/fault_calls.h"
#include "tests/faults/store_world.h"

enum { ROUNDS = 16, POINTS_MAX = 20000, START_MS_MAX = 2000, KILL_US_MAX = 12000 };

static const char *const kind_names[FAULT_KINDS] = {
    [FAULT_OPEN] = "open", [FAULT_READ] = "read",     [FAULT_WRITE] = "write",
    [FAULT_SYNC] = "sync", [FAULT_RENAME] = "rename", [FAULT_MEMORY] = "memory",
};

/* What the store finds at the start. */
enum beginning { BEGINNING_NOTHING, BEGINNING_KILLED, BEGINNING_DAMAGED, BEGINNINGS };
static const char *const beginning_names[] = {"nothing", "killed", "damaged"};

/* ------------------------------------------------------------------ memory */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_malloc(size_t size)
{
    return fault_memory() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fault_memory() ? NULL : __real_calloc(count, size);
}

static struct sqlite3_mem_methods plain_memory;

static void *sqlite_malloc(int size)
{
    return fault_memory() ? NULL : plain_memory.xMalloc(size);
}

static void *sqlite_realloc(void *old, int size)
{
    return fault_memory() ? NULL : plain_memory.xRealloc(old, size);
}

static void count_memory(void)
{
    struct sqlite3_mem_methods memory;

    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain_memory);
    memory = plain_memory;
    memory.xMalloc = sqlite_malloc;
    memory.xRealloc = sqlite_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &memory);
    sqlite3_initialize();
}

/* ------------------------------------------------------------------ folders */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_folder(const char *folder)
{
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void copy_file(const char *from_folder, const char *to_folder, const char *name)
{
    char from[300];
    char to[300];
    static char bytes[4 << 20];

    snprintf(from, sizeof(from), "%s/%s", from_folder, name);
    snprintf(to, sizeof(to), "%s/%s", to_folder, name);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t length = read(in, bytes, sizeof(bytes));

    if (length < 0 || write(out, bytes, (size_t)length) != length) {
        abort();
    }
    close(in);
    close(out);
}

/* A process that ended without closing anything: the log is full. */
static void make_killed(struct world *world, const char *folder)
{
    mkdir(folder, 0700);
    pid_t pid = fork();

    if (pid == 0) {
        (void)world_work(world, folder, WORLD_ROUNDS_ENDLESS);
        _exit(1);
    }
    while (world->acknowledged[WORLD_RECORDS - 1] < 3) {
        usleep(1000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* In the list of free pages: every row is whole, and so found by mending. */
static void damage(const struct world *world, const char *folder)
{
    char path[300];

    /* Opened and closed: the log is empty. */
    if (world_look(world, folder, false) != NULL) {
        abort();
    }
    snprintf(path, sizeof(path), "%s/minga.db", folder);
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || pwrite(fd, "\0\0\177\1\0\0\0\3", 8, 32) != 8) {
        abort();
    }
    close(fd);
}

/* ------------------------------------------------------------------ one point */

struct run {
    struct world *world;
    struct world before; /* of the beginning */
    enum beginning beginning;
    char model[256];
    char folder[256];
    uint64_t start_ms_max;
    uint32_t step;
};

static uint64_t now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static void begin(struct run *run)
{
    remove_folder(run->folder);
    mkdir(run->folder, 0700);
    *run->world = run->before;
    memset(run->world->has_chunk, 0, sizeof(run->world->has_chunk)); /* not copied */
    if (run->beginning == BEGINNING_NOTHING) {
        return;
    }
    copy_file(run->model, run->folder, "minga.db");
    copy_file(run->model, run->folder, "minga.db-wal");
    if (run->beginning == BEGINNING_DAMAGED) {
        damage(run->world, run->folder);
    }
}

static const char *look(struct run *run)
{
    uint64_t began_ms = now_ms();
    const char *wrong = world_look(run->world, run->folder, run->beginning == BEGINNING_DAMAGED);
    uint64_t took_ms = now_ms() - began_ms;

    run->start_ms_max = took_ms > run->start_ms_max ? took_ms : run->start_ms_max;
    if (wrong == NULL && took_ms > START_MS_MAX) {
        wrong = "the next start takes too long";
    }
    return wrong;
}

/* Returns false when the point lies behind the end; *wrong_out: NULL, or what is wrong. */
static bool one_fault(struct run *run, const struct fault *fault, const char **wrong_out)
{
    int status = 0;

    begin(run);
    pid_t pid = fork();

    if (pid == 0) {
        struct fault armed = *fault;

        snprintf(armed.folder, sizeof(armed.folder), "%s", run->folder);
        fault_set(&armed);
        int result = world_work(run->world, run->folder, ROUNDS);
        bool has_happened = fault_has_happened();

        fault_set(&(struct fault){0});
        _exit(has_happened ? 10 + result : result);
    }
    waitpid(pid, &status, 0);
    *wrong_out = !WIFEXITED(status)              ? "it crashed"
                 : WEXITSTATUS(status) % 10 == 2 ? "an error without words, or a wrong content"
                 : WEXITSTATUS(status) == 1      ? "it does not even start without a fault"
                                                 : look(run);
    return !WIFEXITED(status) || WEXITSTATUS(status) >= 10;
}

static int all_points(struct run *run, enum fault_kind kind, bool is_lasting)
{
    const char *wrong = NULL;
    uint32_t wrong_count = 0;
    uint32_t point_count = 0;
    uint32_t at;

    for (at = 1; at < POINTS_MAX; at += run->step) {
        struct fault fault = {.kind = kind, .at = at, .is_lasting = is_lasting};
        bool has_happened = one_fault(run, &fault, &wrong);

        if (wrong != NULL) {
            wrong_count++;
            printf("not ok - %s, %s %u %s: %s (said: %s)\n", beginning_names[run->beginning],
                   kind_names[kind], at, is_lasting ? "lasting" : "once", wrong, run->world->text);
        }
        if (!has_happened) {
            break;
        }
        point_count++;
    }
    printf("%s - %s: %u points where %s fails %s\n", wrong_count == 0 ? "ok" : "not ok",
           beginning_names[run->beginning], point_count, kind_names[kind],
           is_lasting ? "from there on" : "once");
    return wrong_count == 0 && at > 1 && at < POINTS_MAX ? 0 : 1;
}

static int all_faults(struct run *run)
{
    int bad = 0;

    for (int beginning = 0; beginning < BEGINNINGS; beginning++) {
        run->beginning = (enum beginning)beginning;
        if (beginning == BEGINNING_KILLED) {
            make_killed(run->world, run->model);
            run->before = *run->world;
            run->before.errors = 0;
        }
        for (int kind = FAULT_OPEN; kind < FAULT_KINDS; kind++) {
            if (kind == FAULT_RENAME && beginning == BEGINNING_KILLED) {
                continue; /* nothing but what the first beginning has */
            }
            bad |= all_points(run, (enum fault_kind)kind, false);
            if (kind != FAULT_MEMORY) {
                bad |= all_points(run, (enum fault_kind)kind, true);
            }
        }
    }
    return bad;
}

/* ------------------------------------------------------------------ kills */

static int kills(struct run *run, uint32_t count, unsigned seed)
{
    uint32_t wrong_count = 0;

    srandom(seed);
    begin(run);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t first = run->world->acknowledged[0];
        pid_t pid = fork();

        if (pid == 0) {
            _exit(world_work(run->world, run->folder, WORLD_ROUNDS_ENDLESS));
        }
        /* Some at the very start, most when it writes. */
        while (i % 4 != 0 && run->world->acknowledged[0] == first &&
               waitpid(pid, NULL, WNOHANG) == 0) {
            usleep(200);
        }
        usleep((useconds_t)(random() % KILL_US_MAX));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        const char *wrong = run->world->errors > 0 ? run->world->text : look(run);

        if (wrong != NULL) {
            wrong_count++;
            printf("not ok - kill %u of seed %u: %s\n", i, seed, wrong);
        }
    }
    uint32_t acknowledged_count = 0;

    for (uint32_t i = 0; i < WORLD_RECORDS; i++) {
        acknowledged_count += run->world->acknowledged[i];
    }
    printf("%s - %u times killed, %u writes acknowledged\n", wrong_count == 0 ? "ok" : "not ok",
           count, acknowledged_count);
    return wrong_count == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    /* Many points, whose syncs need not wait for a disk; a few kills, on a real one. */
    bool is_fast = argc >= 2 && strcmp(argv[1], "faults") == 0 && access("/dev/shm", W_OK) == 0;
    char folder[64];
    struct run run = {.world = world_new()};
    int bad = 2;

    snprintf(folder, sizeof(folder), "%s/minga-faults-XXXXXX", is_fast ? "/dev/shm" : "/var/tmp");
    count_memory();
    if (run.world == NULL || mkdtemp(folder) == NULL) {
        perror("store_faults");
        return 2;
    }
    snprintf(run.folder, sizeof(run.folder), "%s/agent", folder);
    snprintf(run.model, sizeof(run.model), "%s/model", folder);
    run.step = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (run.step > 0 && argc <= 3 && argc >= 2 && strcmp(argv[1], "faults") == 0) {
        bad = all_faults(&run);
    } else if (argc >= 3 && strcmp(argv[1], "kills") == 0) {
        bad = kills(&run, (uint32_t)strtoul(argv[2], NULL, 10),
                    argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : (unsigned)getpid());
    } else {
        fprintf(stderr, "store_faults: expected \"faults\" or \"kills COUNT [SEED]\"\n");
    }
    printf("# the longest start took %lu ms\n", (unsigned long)run.start_ms_max);
    remove_folder(folder);
    return bad;
}
