// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "sandbox/helper/helper.h"
#include "sandbox/helper/lines.h"
#include "sandbox/helper/locks.h"
#include "sandbox/helper/process.h"
#include "sandbox/helper/streams.h"

enum source_kind {
    SOURCE_SIGNAL,
    SOURCE_LISTENER,
    SOURCE_CLIENT,
    SOURCE_MADE,
    SOURCE_SETUP,
    SOURCE_CONTROL,
    SOURCE_INIT,
    SOURCE_OUT_OF_MEMORY,
    SOURCE_DISKS,
};

enum {
    SOURCES_MAX = 3 + 7 * REPLICAS_PER_NODE_MAX + DISK_JOBS_MAX + MAKERS_IDLE_MAX,
    TICK_MS = 1000,
    IDLE_MS = 1000,
    BUSY_TICK_MS = 50, /* while something has a deadline */
};

struct sources {
    struct pollfd polled[SOURCES_MAX];
    struct {
        enum source_kind kind;
        struct replica *replica;
    } of[SOURCES_MAX];
    nfds_t count;
};

static void watch(struct sources *sources, int fd, enum source_kind kind, struct replica *replica)
{
    if (fd < 0) {
        return;
    }
    CHECK(sources->count < SOURCES_MAX);
    sources->polled[sources->count] = (struct pollfd){.fd = fd, .events = POLLIN};
    sources->of[sources->count].kind = kind;
    sources->of[sources->count].replica = replica;
    sources->count++;
}

static void watch_launch(struct sources *sources, struct replica *replica)
{
    if (replica->state == REPLICA_STARTING) {
        watch(sources, replica->launch.maker.answer_fd, SOURCE_MADE, replica);
        watch(sources, replica->init_pid == 0 ? -1 : replica->launch.setup_fds[0], SOURCE_SETUP,
              replica);
    }
}

static void watch_disks(void *sources, int fd)
{
    watch(sources, fd, SOURCE_DISKS, NULL);
}

static void watch_all(struct helper *helper, int signal_fd, struct sources *sources)
{
    sources->count = 0;
    watch(sources, signal_fd, SOURCE_SIGNAL, NULL);
    watch(sources, helper->listen_fd, SOURCE_LISTENER, NULL);
    watch(sources, helper->client_fd, SOURCE_CLIENT, NULL);
    disks_each_fd(&helper->disks, watch_disks, sources);
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        struct replica *replica = &helper->replicas[i];

        /* What init said last comes before that it is over. */
        if (replica->state != REPLICA_FREE) {
            watch_launch(sources, replica);
            watch(sources, replica->control_fd, SOURCE_CONTROL, replica);
            watch(sources, replica->oom_fd, SOURCE_OUT_OF_MEMORY, replica);
            watch(sources, replica->pidfd, SOURCE_INIT, replica);
        }
    }
}

static uint64_t wait_ms(const struct helper *helper)
{
    const uint64_t at_ms = now_ms();
    uint64_t wait = disks_rest(&helper->disks) ? TICK_MS : DISK_SPARES_MS;

    if (helper->line_busy && wait > LINES_BUSY_MS) {
        wait = LINES_BUSY_MS;
    }
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        enum replica_state state = helper->replicas[i].state;

        if (state == REPLICA_ENDING) {
            bool is_soon = at_ms - helper->replicas[i].deadline_ms < ENDING_SOON_MS;

            wait = is_soon || wait == ENDING_POLL_SOON_MS ? ENDING_POLL_SOON_MS : ENDING_POLL_MS;
            continue;
        }
        if ((state == REPLICA_STARTING || state == REPLICA_STOPPING ||
             helper->replicas[i].oom_until_ms > at_ms) &&
            wait > BUSY_TICK_MS) {
            wait = BUSY_TICK_MS;
        }
        if (state == REPLICA_RUNNING && wait > STREAMS_EVERY_MS) {
            wait = STREAMS_EVERY_MS;
        }
    }
    return wait;
}

static size_t count_replicas(const struct helper *helper)
{
    size_t count = 0;

    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        count += helper->replicas[i].state != REPLICA_FREE;
    }
    return count;
}

static void end_all(struct helper *helper, enum sandbox_end end, const char *reason)
{
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        struct replica *replica = &helper->replicas[i];

        if (replica->state != REPLICA_FREE && replica->state != REPLICA_ENDING) {
            replica_end(replica, end, 0, reason);
        }
    }
}

/* Returns true when we have to go at once. */
static bool on_signal(struct helper *helper, int signal_fd)
{
    struct signalfd_siginfo info;

    if (read(signal_fd, &info, sizeof(info)) != sizeof(info)) {
        return false;
    }
    if (info.ssi_signo == SIGUSR2) {
        log_event(LOG_LEVEL_INFO, "restarting", "leaving; %zu replicas live on",
                  count_replicas(helper));
        return true;
    }
    log_event(LOG_LEVEL_INFO, "stopping", "signal %u: ending %zu replicas", info.ssi_signo,
              count_replicas(helper));
    helper->leaving = true;
    end_all(helper, SANDBOX_END_STOPPED, "the sandbox helper was told to stop");
    return false;
}

/* The same descriptor may mean something else by now: each is looked up again. */
static bool handle(struct helper *helper, const struct sources *sources, nfds_t index)
{
    struct replica *replica = sources->of[index].replica;
    int fd = sources->polled[index].fd;

    switch (sources->of[index].kind) {
    case SOURCE_SIGNAL:
        return on_signal(helper, fd);
    case SOURCE_LISTENER:
        helper_on_connection(helper);
        break;
    case SOURCE_CLIENT:
        if (fd == helper->client_fd) {
            helper_on_client(helper);
        }
        break;
    case SOURCE_MADE:
        if (fd == replica->launch.maker.answer_fd && replica->state == REPLICA_STARTING) {
            replica_on_made(helper, replica);
        }
        break;
    case SOURCE_SETUP:
        if (fd == replica->launch.setup_fds[0] && replica->state == REPLICA_STARTING) {
            replica_on_setup(helper, replica);
        }
        break;
    case SOURCE_CONTROL:
        if (fd == replica->control_fd) {
            replica_on_control(helper, replica);
        }
        break;
    case SOURCE_OUT_OF_MEMORY:
        if (fd == replica->oom_fd) {
            replica_on_out_of_memory(helper, replica);
        }
        break;
    case SOURCE_INIT:
        if (fd == replica->pidfd) {
            replica_on_init_over(helper, replica);
        }
        break;
    case SOURCE_DISKS:
        break; /* each round looks after them */
    }
    return false;
}

/*
 * Nobody renews anything any more: a dead agent leaves no replica behind. With nothing to hold on
 * to, a helper that was started for one agent leaves at once with it.
 */
static void check_alone(struct helper *helper, uint64_t at_ms)
{
    uint64_t alone_ms = helper->client_fd >= 0 ? 0 : at_ms - helper->alone_since_ms;

    if (count_replicas(helper) == 0) {
        if (helper->exit_when_idle && alone_ms >= IDLE_MS) {
            helper->leaving = true;
        }
    } else if (alone_ms >= HELPER_ALONE_MS) {
        end_all(helper, SANDBOX_END_LOST, "no agent");
    }
}

/*
 * Whoever of a killed helper's children had not yet died when we adopted held its group, or the
 * lock of a uid range on. Others on this host may leave such locks, too.
 */
static void sweep(struct helper *helper, uint64_t at_ms)
{
    uint64_t every_ms =
        at_ms - helper->started_ms < SWEEP_SOON_MS ? SWEEP_SOON_EVERY_MS : SWEEP_EVERY_MS;

    if (at_ms - helper->swept_ms >= every_ms) {
        helper->swept_ms = at_ms;
        uid_range_sweep(helper->folders.uids);
        helper_end_unknown_groups(helper, 1);
    }
}

static void tick_all(struct helper *helper)
{
    uint64_t at_ms = now_ms();

    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        if (helper->replicas[i].state != REPLICA_FREE) {
            replica_tick(helper, &helper->replicas[i], at_ms);
        }
    }
    disks_tick(helper, at_ms);
    lines_tick(helper, at_ms);
    if (count_replicas(helper) > 0) {
        locks_tick(helper, at_ms);
        streams_tick(helper, at_ms);
    }
    check_alone(helper, at_ms);
    sweep(helper, at_ms);
    supervisor_tick(&helper->supervisor, at_ms);
}

/* Nothing of ours is left. The lock goes last: the next helper may begin at once. */
static void leave(struct helper *helper)
{
    struct err err = {0};

    kept_remove_all(helper);
    unlink(helper->folders.socket);
    uid_range_sweep(helper->folders.uids);
    if (cgroups_remove_parent(helper->cgroups, &err) < 0) {
        log_warning("%s", err.text);
    }
    log_event(LOG_LEVEL_INFO, "stopped", "all ended; leaving");
    unlink(helper->folders.lock);
}

int helper_run(struct helper *helper, int signal_fd)
{
    struct sources sources;

    helper->started_ms = now_ms();
    supervisor_ready(&helper->supervisor);
    if (helper->leaving) {
        end_all(helper, SANDBOX_END_STOPPED, "left over");
    }
    for (;;) {
        if (helper->leaving && count_replicas(helper) == 0 && disks_over(helper)) {
            break;
        }
        watch_all(helper, signal_fd, &sources);
        int ready = poll(sources.polled, sources.count, (int)wait_ms(helper));

        if (ready < 0 && errno != EINTR) {
            log_error("poll: %m");
            return 1;
        }
        for (nfds_t i = 0; ready > 0 && i < sources.count; i++) {
            if (sources.polled[i].revents != 0 && handle(helper, &sources, i)) {
                unlink(helper->folders.socket);
                return 0;
            }
        }
        tick_all(helper);
    }
    leave(helper);
    return 0;
}
