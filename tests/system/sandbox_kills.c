// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * SIGKILL at random moments, while sandboxes come and go: of the helper, of what it has forked, of
 * minga-init and of services; sometimes SIGSTOP first, so that the others run on meanwhile. After
 * each the helper's list must be all that there is. The seed repeats the choices, though not the
 * kernel's moments.
 */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "base/random.h"
#include "tests/system/sandbox_checks.h"

enum {
    ALIVE_MAX = 32, /* of which a list is kept */
    WANTED_MAX = 3, /* more are stopped: each takes half a core of one and a half */
    SETTLE_MS = 5000,
    ACTIONS_MAX = 4,
    LAUNCH_US = 25000, /* about what a launch takes: most moments lie in it */
    PIDS_MAX = 256,
    EVENT_MS = 3000,
    DEATH_MS = 20000, /* of a killed helper: a busy machine frees its memory late */
};

struct kills {
    struct world *world;
    struct random random;
    struct replica_key alive[ALIVE_MAX];
    size_t alive_count;
    uint64_t killed_count;
    char left[256]; /* what there is too much of */
};

static uint64_t below(struct kills *kills, uint64_t bound)
{
    return random_below(&kills->random, bound);
}

static void pause_us(uint64_t us)
{
    usleep((useconds_t)us);
}

/* --- what there is --- */

/* Every replica that the helper knows. Returns false when it does not answer. */
static bool take_list(struct kills *kills)
{
    static struct helper_answer answer;
    uint64_t until_ms = time_ms() + world_patience_ms(kills->world, EVENT_MS);

    kills->alive_count = 0;
    if (sandbox_client_list(&kills->world->client) < 0) {
        return false;
    }
    while (time_ms() < until_ms) {
        int r = sandbox_client_receive(&kills->world->client, &answer);

        if (r < 0) {
            return false;
        }
        if (r == 0) {
            wait_a_little(1);
        } else if (answer.kind == ANSWER_LIST_END) {
            return true;
        } else if (answer.kind == ANSWER_EVENT && answer.event.kind == SANDBOX_LISTED &&
                   kills->alive_count < ALIVE_MAX) {
            kills->alive[kills->alive_count++] = answer.event.key;
        }
    }
    return false;
}

static const char *parent_name;
static size_t groups_seen;
static bool tells_groups; /* rather than only to count them */

static int see_group(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    size_t length = strlen(parent_name);
    const char *before = path + place->base - 1; /* the slash */

    (void)status;
    bool is_group = kind == FTW_D && before - path > (ptrdiff_t)length && before[0] == '/' &&
                    strncmp(before - length, parent_name, length) == 0 &&
                    before[-(ptrdiff_t)length - 1] == '/' &&
                    strchr(path + place->base, '-') != NULL;

    groups_seen += is_group;
    if (is_group && tells_groups) {
        printf("#   %s\n", path);
    }
    return 0;
}

/* Groups of replicas, in all hierarchies together. */
static size_t count_replica_groups(const struct world *world)
{
    parent_name = world->limits.cgroup;
    groups_seen = 0;
    nftw("/sys/fs/cgroup", see_group, 16, FTW_PHYS);
    return groups_seen;
}

static bool is_of_alive(const struct kills *kills, pid_t pid)
{
    CLEANUP(cleanup_fclose) FILE *file = NULL;
    char path[64];
    char line[512];
    char group[64];

    snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        for (size_t i = 0; i < kills->alive_count; i++) {
            snprintf(group, sizeof(group), "/7700000000000000-%u-", kills->alive[i].slot);
            if (strstr(line, group) != NULL) {
                return true;
            }
        }
    }
    return false;
}

/* Children of `parent`, without zombies. */
static size_t children_of(pid_t parent, pid_t *pids_out, size_t capacity)
{
    CLEANUP(cleanup_closedir) DIR *dir = opendir("/proc");
    struct dirent *entry;
    size_t count = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL && count < capacity) {
        char value[64];
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid > 0 &&
            strtol(status_value(pid, "PPid", value, sizeof(value)), NULL, 10) == parent &&
            *status_value(pid, "State", value, sizeof(value)) != 'Z') {
            pids_out[count++] = pid;
        }
    }
    return count;
}

/* Whatever loses its parent becomes ours: nothing that the helper forked can hide. */
static size_t count_orphans(const struct kills *kills)
{
    pid_t pids[PIDS_MAX];
    size_t count = children_of(getpid(), pids, ARRAY_COUNT(pids));
    size_t orphans = 0;

    for (size_t i = 0; i < count; i++) {
        orphans += pids[i] != kills->world->helper_pid && !is_of_alive(kills, pids[i]);
    }
    return orphans;
}

static void reap_orphans(const struct kills *kills)
{
    siginfo_t over = {0};

    while (waitid(P_ALL, 0, &over, WEXITED | WNOHANG | WNOWAIT) == 0 && over.si_pid != 0 &&
           over.si_pid != kills->world->helper_pid) {
        waitpid(over.si_pid, NULL, 0);
        over.si_pid = 0;
    }
}

static size_t files_in(const struct world *world, const char *name)
{
    char folder[PATH_MAX];

    snprintf(folder, sizeof(folder), "%s/%s", world->folder, name);
    return count_files(folder);
}

static bool is_all(struct kills *kills)
{
    const struct world *world = kills->world;
    const size_t alive = kills->alive_count;
    size_t length = 0;

    reap_orphans(kills);
    const struct {
        const char *name;
        size_t count;
        size_t expected;
    } rows[] = {
        {"control groups", count_replica_groups(world), alive * count_groups(world)},
        {"loop devices", count_loops(world), alive},
        {"mounts", count_mounts(world), 0},
        {"records", files_in(world, "run/sandbox/replicas"), alive},
        {"sockets", files_in(world, "run/sandbox/inits"), alive},
        {"uid ranges", files_in(world, "uids"), alive},
        {"orphans", world->units ? 0 : count_orphans(kills), 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (rows[i].count != rows[i].expected && length < sizeof(kills->left)) {
            length += (size_t)snprintf(kills->left + length, sizeof(kills->left) - length,
                                       "%zu %s, ", rows[i].count, rows[i].name);
        }
    }
    if (length > 0 && length < sizeof(kills->left)) {
        snprintf(kills->left + length, sizeof(kills->left) - length, "%zu replicas", alive);
    }
    return length == 0;
}

/* What it does, and where in the kernel it waits. */
static void tell_process(const char *whose, pid_t pid)
{
    static const char *const files[] = {"cgroup", "stack"};
    char name[64];
    char state[64];

    printf("# %s %d %s: %s\n", whose, pid, status_value(pid, "Name", name, sizeof(name)),
           status_value(pid, "State", state, sizeof(state)));
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        CLEANUP(cleanup_fclose) FILE *file = NULL;
        char path[64];
        char line[256];

        snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
        file = fopen(path, "re");
        for (int k = 0; file != NULL && k < 8 && fgets(line, sizeof(line), file) != NULL; k++) {
            printf("#     %s", line);
        }
    }
}

/* Of the whole machine: who waits for its disks may be what an end waits for. */
static void tell_blocked(void)
{
    CLEANUP(cleanup_closedir) DIR *dir = opendir("/proc");
    struct dirent *entry;
    char state[64];

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid > 0 && *status_value(pid, "State", state, sizeof(state)) == 'D') {
            tell_process("blocked", pid);
        }
    }
}

/* Whoever looks for the cause of a leak needs to know who holds on to it. */
static void tell_what_is_left(const struct kills *kills)
{
    pid_t pids[PIDS_MAX];
    size_t count = world_pids(kills->world, 0, true, pids, ARRAY_COUNT(pids));

    printf("# %s; the helper lists %zu\n", kills->left, kills->alive_count);
    tells_groups = true;
    count_replica_groups(kills->world);
    tells_groups = false;
    for (size_t i = 0; i < kills->alive_count; i++) {
        printf("#   replica %u\n", kills->alive[i].slot);
    }
    tell_process("helper", kills->world->helper_pid);
    for (size_t i = 0; i < count; i++) {
        tell_process("inside", pids[i]);
    }
    count = children_of(kills->world->helper_pid, pids, ARRAY_COUNT(pids));
    for (size_t i = 0; i < count; i++) {
        tell_process("child of the helper", pids[i]);
    }
    count = children_of(getpid(), pids, ARRAY_COUNT(pids));
    for (size_t i = 0; i < count; i++) {
        tell_process("child of ours", pids[i]);
    }
    tell_blocked();
    fflush(stdout);
}

/* What is under way may take a moment. */
static bool settles(struct kills *kills)
{
    uint64_t until_ms = time_ms() + world_patience_ms(kills->world, SETTLE_MS);

    do {
        if (!take_list(kills)) {
            snprintf(kills->left, sizeof(kills->left), "the helper does not answer");
            world_connect(kills->world);
        } else if (is_all(kills)) {
            return true;
        }
        wait_a_little(10);
    } while (time_ms() < until_ms);
    return false;
}

/* --- what happens --- */

/* Another one may hold it still: slots go round, and some replicas live long. */
static bool is_free(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_ANY)};
    const int on = 1;
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0;
}

static void start_one(struct kills *kills)
{
    static const char *const commands[] = {
        "exec sleep 1000",
        "exit 3",
        "trap '' TERM; while :; do sleep 1; done",
        "(sleep 1000 &) ; (sleep 1000 &) ; while :; do sleep 0.01; done",
        "while :; do /bin/busybox true; done",
    };
    struct sandbox_spec spec =
        world_spec(kills->world, commands[below(kills, ARRAY_COUNT(commands))]);

    spec.stop_grace_ms = below(kills, 200);
    spec.limits.cpu_permille = 300;
    const uint16_t port = (uint16_t)(WORLD_PORT_FIRST + kills->world->slot % 90);

    if (below(kills, 2) == 0 && is_free(port)) {
        world_publish(kills->world, &spec, 8080);
        spec.ports[0].host_port = port;
    }
    world_ask_start(kills->world, &spec);
}

static void act(struct kills *kills)
{
    struct sandbox_client *client = &kills->world->client;
    bool has_any = kills->alive_count > 0;
    const struct replica_key *key =
        has_any ? &kills->alive[below(kills, kills->alive_count)] : NULL;

    switch (has_any ? below(kills, 6) : 0) {
    case 0:
    case 1:
        start_one(kills);
        break;
    case 2:
    case 3:
        sandbox_client_stop(client, key);
        break;
    case 4:
        sandbox_client_freeze(client, key);
        sandbox_client_thaw(client, key);
        break;
    default:
        sandbox_client_stats(client, key);
        break;
    }
}

/* Of the helper's children (makers, first processes), or in a sandbox; 0: there is none. */
static pid_t some_process(struct kills *kills)
{
    pid_t pids[PIDS_MAX];
    size_t count = below(kills, 2) == 0
                       ? children_of(kills->world->helper_pid, pids, ARRAY_COUNT(pids))
                       : world_pids(kills->world, 0, true, pids, ARRAY_COUNT(pids));

    return count == 0 ? 0 : pids[below(kills, count)];
}

static void kill_one(struct kills *kills, pid_t pid, bool stop_first)
{
    if (pid > 1 && stop_first) {
        kill(pid, SIGSTOP);
        pause_us(below(kills, LAUNCH_US));
    }
    if (pid > 1) {
        kills->killed_count++;
        kill(pid, SIGKILL);
    }
}

static bool kill_helper(struct kills *kills)
{
    struct world *world = kills->world;
    pid_t stopped = below(kills, 4) == 0 ? some_process(kills) : 0;

    if (stopped > 1) {
        kill(stopped, SIGSTOP); /* it cannot act when it is orphaned */
    }
    kill_one(kills, world->helper_pid, below(kills, 4) == 0);
    bool dead = world_end_helper(world, 0, DEATH_MS);
    bool restarted = dead && world_start_helper(world, false);

    snprintf(kills->left, sizeof(kills->left), "%s",
             dead ? "no new helper answers" : "the old helper does not die");

    if (stopped > 1) {
        kill(stopped, SIGCONT);
    }
    return restarted;
}

/* Returns false when no helper answers any more. */
static bool kill_something(struct kills *kills)
{
    switch (below(kills, 8)) {
    case 0:
        /* The agent is dead, long live the agent. */
        snprintf(kills->left, sizeof(kills->left), "a new agent is not let in");
        return world_connect(kills->world);
    case 1:
    case 2:
    case 3:
        kill_one(kills, some_process(kills), below(kills, 4) == 0);
        return true;
    default:
        return kill_helper(kills);
    }
}

static bool run_round(struct kills *kills)
{
    for (uint64_t i = below(kills, ACTIONS_MAX); i < ACTIONS_MAX; i++) {
        act(kills);
        pause_us(below(kills, 2000));
    }
    pause_us(below(kills, below(kills, 8) == 0 ? 10 * LAUNCH_US : LAUNCH_US));
    if (!kill_something(kills) || !settles(kills)) {
        return false;
    }
    world_note_network(kills->world);
    for (size_t i = 0; i < kills->alive_count; i++) {
        sandbox_client_renew(&kills->world->client, &kills->alive[i]);
        if (i >= WANTED_MAX) {
            sandbox_client_stop(&kills->world->client, &kills->alive[i]);
        }
    }
    return true;
}

static void stop_all(struct kills *kills)
{
    for (size_t i = 0; i < kills->alive_count; i++) {
        sandbox_client_stop(&kills->world->client, &kills->alive[i]);
    }
}

/* As an agent does: what was told to a connection that broke is told again to the next. */
static bool all_stop(struct kills *kills)
{
    uint64_t until_ms = time_ms() + world_patience_ms(kills->world, 2ULL * SETTLE_MS);
    bool told = false;

    do {
        if (!take_list(kills)) {
            snprintf(kills->left, sizeof(kills->left), "the helper does not answer");
            world_connect(kills->world);
            told = false;
        } else if (kills->alive_count > 0) {
            snprintf(kills->left, sizeof(kills->left), "%zu replicas", kills->alive_count);
            if (!told) {
                stop_all(kills);
            }
            told = true;
        } else if (is_all(kills)) {
            return true;
        }
        wait_a_little(10);
    } while (time_ms() < until_ms);
    tell_what_is_left(kills);
    return false;
}

void check_kills(struct world *world)
{
    struct kills kills = {.world = world};
    char remark[384];
    uint32_t failed_count = 0;
    uint32_t round = 0;

    random_init(&kills.random, world->seed, "kills");
    printf("# seed %lu, %u kills\n", (unsigned long)world->seed, world->kill_count);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    while (kills.killed_count < world->kill_count && failed_count < 5) {
        round++;
        if (!run_round(&kills)) {
            failed_count++;
            snprintf(remark, sizeof(remark), "seed %lu, round %u: %s", (unsigned long)world->seed,
                     round, kills.left);
            tell_what_is_left(&kills);
            check_saying(world, false, "what is killed leaves nothing", remark);
        }
    }
    printf("# %u rounds\n", round);
    check(world, failed_count == 0, "whatever is killed, whenever: the next helper takes over all");
    check_saying(world, all_stop(&kills), "what is told to stop is gone", kills.left);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}
