// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "sandbox/foreign/foreign.h"

/* More at once than a pipe holds: all that was printed before an end is kept. */
enum { OUTPUT_AT_ONCE_BYTES = 65536, OUTPUT_READS_MAX = 17 };

uint64_t foreign_now_ms(void)
{
    struct timespec now;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct foreign_replica *foreign_find(struct foreign *foreign, const struct replica_key *key)
{
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        struct foreign_replica *replica = &foreign->replicas[i];

        if (replica->state != FOREIGN_FREE && replica_key_equal(&replica->spec.key, key)) {
            return replica;
        }
    }
    return NULL;
}

static struct foreign_replica *find_id(struct foreign *foreign, const char *id)
{
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        struct foreign_replica *replica = &foreign->replicas[i];

        if (replica->state != FOREIGN_FREE && strcmp(replica->id, id) == 0) {
            return replica;
        }
    }
    return NULL;
}

/* --- logs --- */

static void log_path(const struct foreign *foreign, const char *id, int which,
                     char path_out[PATH_MAX])
{
    CHECK(snprintf(path_out, PATH_MAX, "%s/%s.%d", foreign->logs_folder, id, which) < PATH_MAX);
}

static void output_path(const struct foreign *foreign, const char *id, char path_out[PATH_MAX])
{
    CHECK(snprintf(path_out, PATH_MAX, "%s/%s.out", foreign->logs_folder, id) < PATH_MAX);
}

static void remove_logs(const struct foreign *foreign, const char *id)
{
    char path[PATH_MAX];

    for (int i = 0; i < 2; i++) {
        log_path(foreign, id, i, path);
        unlink(path);
    }
}

static void keep_logs(struct foreign *foreign, const char *id)
{
    char *slot = foreign->kept[foreign->kept_next];

    if (slot[0] != '\0') {
        remove_logs(foreign, slot);
    }
    memcpy(slot, id, WORDS_ID_BYTES);
    foreign->kept_next = (foreign->kept_next + 1) % FOREIGN_KEPT_LOGS_MAX;
}

/* It is started again: its output goes on. */
static void take_logs_back(struct foreign *foreign, const char *id)
{
    for (size_t i = 0; i < FOREIGN_KEPT_LOGS_MAX; i++) {
        if (strcmp(foreign->kept[i], id) == 0) {
            foreign->kept[i][0] = '\0';
        }
    }
}

/* Whoever prints beyond what its logs may keep in a moment does not stop us: it is read all the same. */
void foreign_hear_output(struct foreign_replica *replica)
{
    uint8_t bytes[OUTPUT_AT_ONCE_BYTES];
    ssize_t count_bytes = 1;

    for (int i = 0; i < OUTPUT_READS_MAX && count_bytes > 0 && replica->output_fd >= 0; i++) {
        count_bytes = read(replica->output_fd, bytes, sizeof(bytes));
        if (count_bytes > 0) {
            logs_write(&replica->logs, bytes, (size_t)count_bytes, foreign_now_ms());
        }
    }
}

static int open_output(const char *path, struct foreign_replica *replica, struct err *err)
{
    unlink(path);
    if (mkfifo(path, 0600) < 0) {
        return err_set(err, -errno, "output: %s: %m", path);
    }
    replica->output_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    return replica->output_fd < 0 ? err_set(err, -errno, "output: %s: %m", path) : 0;
}

static int open_logs(struct foreign *foreign, struct foreign_replica *replica, struct err *err)
{
    char path[PATH_MAX];

    for (int i = 0; i < 2; i++) {
        log_path(foreign, replica->id, i, path);
        replica->log_fds[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (replica->log_fds[i] < 0) {
            return err_set(err, -errno, "logs: %s: %m", path);
        }
    }
    take_logs_back(foreign, replica->id);
    logs_writer_init(&replica->logs, replica->log_fds, replica->spec.logs_bytes, foreign_now_ms());
    return 0;
}

/* --- what happens to one --- */

static void forget(struct foreign *foreign, struct foreign_replica *replica)
{
    char path[PATH_MAX];

    foreign_hear_output(replica);
    output_path(foreign, replica->id, path);
    unlink(path);
    cleanup_close(&replica->output_fd);
    replica->output_fd = -1;
    for (int i = 0; i < 2; i++) {
        cleanup_close(&replica->log_fds[i]);
        replica->log_fds[i] = -1;
    }
    keep_logs(foreign, replica->id);
    replica->state = FOREIGN_FREE;
}

static void over(struct foreign *foreign, struct foreign_replica *replica, enum sandbox_end end,
                 int status, const char *reason)
{
    struct sandbox_event event = {
        .kind = SANDBOX_ENDED, .key = replica->spec.key, .end = end, .status = status};

    snprintf(event.reason, sizeof(event.reason), "%.*s", REASON_CHARS_MAX, reason);
    log_info("%.16s%s: ended: %s", replica->id, replica->id + ID_HEX_CHARS, event.reason);
    forget(foreign, replica);
    foreign_say(foreign, &event);
}

static struct foreign_replica *free_slot(struct foreign *foreign)
{
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        if (foreign->replicas[i].state == FOREIGN_FREE) {
            return &foreign->replicas[i];
        }
    }
    return NULL;
}

static void tell(struct foreign *foreign, char *line)
{
    struct err err = {0};

    if (!foreign->ready) {
        free(line);
        return;
    }
    if (program_tell(&foreign->program, line, &err) < 0) {
        foreign_fail(foreign, &err);
    }
}

static void refuse(struct foreign *foreign, const struct replica_key *key, const char *reason)
{
    foreign_say_ended(foreign, key, SANDBOX_END_REFUSED, reason);
}

void foreign_start(struct foreign *foreign, const struct sandbox_spec *spec)
{
    struct foreign_replica *replica = foreign_find(foreign, &spec->key);
    char tree[PATH_MAX];
    char output[PATH_MAX];
    char tree_id[ID_HEX_CHARS + 1];
    struct err err = {0};

    if (replica != NULL) { /* asked twice */
        if (replica->state == FOREIGN_RUNNING) {
            foreign_say(foreign,
                        &(struct sandbox_event){.kind = SANDBOX_STARTED, .key = spec->key});
        }
        return;
    }
    replica = free_slot(foreign);
    if (replica == NULL || !foreign->ready || foreign->leaving) {
        refuse(foreign, &spec->key,
               replica == NULL ? "too many replicas run already"
                               : "the environment's program is not ready");
        return;
    }
    for (uint32_t i = 0; i < spec->port_count; i++) {
        if (sandbox_is_for_members(
                spec->ports[i].protocol)) { /* it listens itself, for everybody */
            refuse(foreign, &spec->key, "this node's environment has no ports for members only");
            return;
        }
    }
    id_to_hex(&spec->tree.id, tree_id);
    CHECK(snprintf(tree, sizeof(tree), "%s/%s", foreign->trees, tree_id) < PATH_MAX);
    *replica = (struct foreign_replica){.state = FOREIGN_STARTING, .spec = *spec};
    replica->log_fds[0] = -1;
    replica->log_fds[1] = -1;
    replica->output_fd = -1;
    replica->deadline_ms = foreign_now_ms() + FOREIGN_START_MS_MAX;
    replica->lease_until_ms = foreign_now_ms() + HELPER_ALONE_MS;
    words_id(&spec->key, replica->id);
    output_path(foreign, replica->id, output);
    if (open_logs(foreign, replica, &err) < 0 || open_output(output, replica, &err) < 0) {
        over(foreign, replica, SANDBOX_END_REFUSED, 0, err.text);
        return;
    }
    char *line = words_start(spec, tree, output);
    if (line == NULL) { /* its own harm: the others go on */
        over(foreign, replica, SANDBOX_END_REFUSED, 0, "its command, env or workdir is no text");
        return;
    }
    tell(foreign, line);
}

static void send_signal(struct foreign *foreign, const struct foreign_replica *replica, int signal)
{
    tell(foreign, words_signal(&replica->spec.key, signal));
}

void foreign_measure(struct foreign *foreign, const struct foreign_replica *replica)
{
    tell(foreign, words_stats(&replica->spec.key));
}

void foreign_freeze(struct foreign *foreign, struct foreign_replica *replica, bool freeze)
{
    replica->frozen = freeze;
    send_signal(foreign, replica, freeze ? SIGSTOP : SIGCONT);
    if (replica->health.asking) { /* a question that has waited begins anew */
        replica->probe_until_ms =
            foreign_now_ms() + replica->health.settings.timeout_ms + FOREIGN_PROBE_MARGIN_MS;
    }
}

void foreign_stop(struct foreign *foreign, struct foreign_replica *replica)
{
    if (replica->state == FOREIGN_STOPPING || replica->state == FOREIGN_KILLED) {
        return;
    }
    /* First: a program that does not listen is killed as it is told, and its replicas are over. */
    replica->state = FOREIGN_STOPPING;
    replica->deadline_ms = foreign_now_ms() + replica->spec.stop_grace_ms;
    if (replica->frozen) { /* or it would never learn of it */
        foreign_freeze(foreign, replica, false);
    }
    send_signal(foreign, replica, replica->spec.stop_signal);
}

static void kill_replica(struct foreign *foreign, struct foreign_replica *replica)
{
    replica->state = FOREIGN_KILLED;
    replica->deadline_ms = foreign_now_ms() + FOREIGN_KILL_MS_MAX;
    send_signal(foreign, replica, SIGKILL);
}

void foreign_say_health(struct foreign *foreign, const struct foreign_replica *replica)
{
    if (replica->health.state != HEALTH_UNKNOWN) {
        foreign_say(foreign,
                    &(struct sandbox_event){.kind = SANDBOX_HEALTH,
                                            .key = replica->spec.key,
                                            .healthy = replica->health.state == HEALTH_OK});
    }
}

/* --- what the program says --- */

static void on_started(struct foreign *foreign, struct foreign_replica *replica)
{
    if (replica->state != FOREIGN_STARTING) {
        return;
    }
    replica->state = FOREIGN_RUNNING;
    replica->started_ms = foreign_now_ms();
    foreign_say(foreign,
                &(struct sandbox_event){.kind = SANDBOX_STARTED, .key = replica->spec.key});
    health_init(&replica->health, &replica->spec, replica->started_ms);
    foreign_say_health(foreign, replica);
}

static void on_probed(struct foreign *foreign, struct foreign_replica *replica, bool succeeded)
{
    if (replica->state == FOREIGN_RUNNING && replica->health.asking && /* not too late */
        health_result(&replica->health, succeeded, foreign_now_ms())) {
        foreign_say_health(foreign, replica);
    }
}

static void on_stats(struct foreign *foreign, struct foreign_replica *replica,
                     const struct sandbox_limits *used)
{
    replica->used = *used;
    foreign_say(foreign, &(struct sandbox_event){
                             .kind = SANDBOX_STATS, .key = replica->spec.key, .used = *used});
}

static void on_replica(struct foreign *foreign, struct foreign_replica *replica,
                       const struct said *said)
{
    bool was_asked = replica->state == FOREIGN_STOPPING || replica->state == FOREIGN_KILLED;

    switch (said->kind) {
    case SAID_STARTED:
        on_started(foreign, replica);
        break;
    case SAID_ENDED:
        over(foreign, replica, was_asked ? SANDBOX_END_STOPPED : said->end, said->status,
             said->reason);
        break;
    case SAID_PROBED:
        on_probed(foreign, replica, said->healthy);
        break;
    case SAID_STATS:
        on_stats(foreign, replica, &said->used);
        break;
    case SAID_NOTHING:
    case SAID_READY:
        break;
    }
}

int foreign_hear(void *context, const char *line, size_t length_bytes, struct err *err)
{
    struct foreign *foreign = context;
    struct said said;
    int r = words_read(line, length_bytes, &said, err);

    if (r < 0) {
        return r;
    }
    if (said.kind == SAID_READY) {
        foreign->ready = true;
        foreign->alone_since_ms = foreign_now_ms(); /* who was dropped has time to come back */
        log_info("the environment's program is ready");
    } else if (said.kind != SAID_NOTHING) {
        /* Unknown: it had ended, and this crossed the news. */
        struct foreign_replica *replica = find_id(foreign, said.id);

        if (replica != NULL) {
            on_replica(foreign, replica, &said);
        }
    }
    return 0;
}

/* --- all of them --- */

void foreign_end_all(struct foreign *foreign, enum sandbox_end end, const char *reason)
{
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        if (foreign->replicas[i].state != FOREIGN_FREE) {
            over(foreign, &foreign->replicas[i], end, 0, reason);
        }
    }
}

/* What the program has left behind, and is over, becomes ours. The program itself is kept. */
static void reap_orphans(const struct foreign *foreign)
{
    siginfo_t over = {0};

    while (waitid(P_ALL, 0, &over, WEXITED | WNOHANG | WNOWAIT) == 0 && over.si_pid != 0 &&
           over.si_pid != foreign->program.pid) {
        waitpid(over.si_pid, NULL, 0);
        over.si_pid = 0;
    }
}

/* 1, 2, 4 ... 60 s. */
static uint64_t restart_delay_ms(uint32_t failure_count)
{
    uint64_t delay_ms = 1000;

    for (uint32_t i = 1; i < failure_count && delay_ms < FOREIGN_RESTART_MS_MAX; i++) {
        delay_ms *= 2;
    }
    return delay_ms < FOREIGN_RESTART_MS_MAX ? delay_ms : FOREIGN_RESTART_MS_MAX;
}

void foreign_fail(struct foreign *foreign, const struct err *err)
{
    uint64_t now_ms = foreign_now_ms();

    log_error("%s: killed", err->text);
    foreign->ready = false;
    program_kill(&foreign->program);
    foreign->failure_count =
        now_ms - foreign->began_ms >= FOREIGN_RESET_MS ? 1 : foreign->failure_count + 1;
    foreign->deadline_ms = now_ms + restart_delay_ms(foreign->failure_count);
    foreign_end_all(foreign, SANDBOX_END_LOST, err->text);
    foreign_drop_client(foreign, "there is no environment for now");
}

static void start_program(struct foreign *foreign, uint64_t now_ms)
{
    struct err err = {0};

    foreign->began_ms = now_ms;
    foreign->deadline_ms = now_ms + FOREIGN_READY_MS_MAX;
    if (program_start(&foreign->program, foreign->arguments, &err) < 0 ||
        program_tell(&foreign->program, words_hello(), &err) < 0) {
        foreign_fail(foreign, &err);
    }
}

static void tick_health(struct foreign *foreign, struct foreign_replica *replica, uint64_t now_ms)
{
    struct health *health = &replica->health;

    if (replica->frozen) {
        return;
    }
    if (health->asking && now_ms >= replica->probe_until_ms) {
        on_probed(foreign, replica, false);
    }
    if (health_due(health, now_ms)) {
        replica->probe_until_ms = now_ms + health->settings.timeout_ms + FOREIGN_PROBE_MARGIN_MS;
        tell(foreign, words_probe(&replica->spec.key, &health->settings));
    }
}

static void tick_replica(struct foreign *foreign, struct foreign_replica *replica, uint64_t now_ms)
{
    bool is_late = now_ms >= replica->deadline_ms;
    struct err err = {0};

    switch (replica->state) {
    case FOREIGN_FREE:
        break;
    case FOREIGN_STARTING:
        if (is_late) {
            foreign_stop(foreign, replica);
        }
        break;
    case FOREIGN_RUNNING:
        if (now_ms >= replica->lease_until_ms) {
            foreign_stop(foreign, replica);
        } else {
            tick_health(foreign, replica, now_ms);
        }
        break;
    case FOREIGN_STOPPING:
        if (is_late) {
            kill_replica(foreign, replica);
        }
        break;
    case FOREIGN_KILLED:
        if (is_late) {
            err_set(&err, -ETIMEDOUT, "the environment's program does not end %.16s%s", replica->id,
                    replica->id + ID_HEX_CHARS);
            foreign_fail(foreign, &err);
        }
        break;
    }
}

void foreign_tick(struct foreign *foreign, uint64_t now_ms)
{
    struct err err = {0};

    reap_orphans(foreign);
    if (foreign->program.pid == 0 && now_ms >= foreign->deadline_ms && !foreign->leaving) {
        start_program(foreign, now_ms);
    } else if (foreign->program.pid != 0 && !foreign->ready && now_ms >= foreign->deadline_ms) {
        err_set(&err, -ETIMEDOUT, "the environment's program does not become ready");
        foreign_fail(foreign, &err);
    }
    if (program_is_over(&foreign->program)) {
        err_set(&err, -ECHILD, "the environment's program has ended");
        foreign_fail(foreign, &err);
    }
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        tick_replica(foreign, &foreign->replicas[i], now_ms);
    }
}
