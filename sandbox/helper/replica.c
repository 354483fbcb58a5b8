// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "sandbox/helper/helper.h"
#include "sandbox/helper/process.h"
#include "sandbox/helper/say.h"
#include "sandbox/init_protocol.h"

void replica_init(struct replica *replica)
{
    memset(replica, 0, sizeof(*replica));
    replica->uids.lock_fd = -1;
    replica->pidfd = -1;
    replica->control_fd = -1;
    replica->oom_fd = -1;
    replica->line_fd = -1;
    replica->disk.mount_fd = -1;
    replica->disk.loop_number = -1;
    replica->disk.network_fd = -1;
    launch_init(&replica->launch);
}

struct replica *replica_find(struct helper *helper, const struct replica_key *key)
{
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        struct replica *replica = &helper->replicas[i];

        if (replica->state != REPLICA_FREE && replica_key_equal(&replica->spec.key, key)) {
            return replica;
        }
    }
    return NULL;
}

int replicas_take_uids(struct helper *helper, struct uid_range *range_out, struct err *err)
{
    struct uid_firsts own = {0};

    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        const struct replica *replica = &helper->replicas[i];

        if (replica->state != REPLICA_FREE && replica->uids.first != 0) {
            own.list[own.count++] = replica->uids.first;
        }
    }
    return uid_range_take(helper->folders.uids, &helper->limits, &own, range_out, err);
}

struct cgroup_name replica_name(const struct replica_key *key)
{
    char service[ID_HEX_CHARS + 1];
    struct cgroup_name name;

    id_to_hex(&key->service.id, service);
    snprintf(name.text, sizeof(name.text), "%.16s-%u-%" PRIu64, service, key->slot,
             key->incarnation);
    return name;
}

void replica_end(struct replica *replica, enum sandbox_end end, int status, const char *reason)
{
    CHECK(replica->state != REPLICA_FREE);
    if (!replica->end_known) {
        replica->end_known = true;
        replica->end = end;
        replica->end_status = status;
        snprintf(replica->reason, sizeof(replica->reason), "%s", reason);
    }
    if (replica->state != REPLICA_ENDING) {
        replica->state = REPLICA_ENDING;
        replica->deadline_ms = now_ms();
    }
}

int replica_freeze(struct helper *helper, struct replica *replica, bool frozen, struct err *err)
{
    int r = cgroup_freeze(helper->cgroups, &replica->name, frozen, err);

    return r == -ETIMEDOUT ? 0 : r; /* then it will be */
}

void replica_hold(struct helper *helper, struct replica *replica)
{
    char reason[REASON_CHARS_MAX + 1];
    struct err err = {0};

    if (replica_freeze(helper, replica, true, &err) < 0) {
        say_replica(replica, LOG_LEVEL_WARNING, "freeze-failed", "freeze: %s", err.text);
        snprintf(reason, sizeof(reason), "ended, as it cannot be frozen: %.70s", err.text);
        replica_end(replica, SANDBOX_END_LOST, 0, reason);
    }
}

void replica_stop(struct helper *helper, struct replica *replica)
{
    const struct init_message stop = {.kind = INIT_STOP};
    struct err err = {0};

    if (replica->state == REPLICA_STOPPING || replica->state == REPLICA_ENDING) {
        return;
    }
    /* What is frozen hears nothing; perhaps an earlier helper has frozen it. */
    if (replica_freeze(helper, replica, false, &err) < 0) {
        say_replica(replica, LOG_LEVEL_WARNING, "thaw-failed", "thaw: %s", err.text);
    }
    if (replica->state == REPLICA_STARTING || replica->control_fd < 0 ||
        init_message_send(replica->control_fd, &stop) < 0) {
        replica_end(replica, SANDBOX_END_STOPPED, 0, "stopped");
        return;
    }
    replica->state = REPLICA_STOPPING;
    replica->deadline_ms = now_ms() + replica->spec.stop_grace_ms + STOP_MARGIN_MS;
}

/* Who may is not ours to know: what runs there is mingad's choice anyway, and this is no more. */
int replica_exec(struct replica *replica, struct err *err)
{
    const struct init_message exec = {.kind = INIT_EXEC};
    int ends[2];
    int r;

    if (replica->state != REPLICA_RUNNING || replica->control_fd < 0) {
        return err_set(err, -ESRCH, "the replica does not run");
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
        return err_set(err, -errno, "socket: %m");
    }
    CLEANUP(cleanup_close) int own_fd = ends[0];
    CLEANUP(cleanup_close) int their_fd = ends[1];

    (void)descriptors_refuse(own_fd);
    r = init_message_send_fd(replica->control_fd, &exec, their_fd);
    if (r < 0) {
        return err_set(err, r, "minga-init does not listen");
    }
    return take_fd(&own_fd);
}

static void on_started(struct helper *helper, struct replica *replica,
                       const struct init_message *message)
{
    struct err err = {0};

    /* An adopted replica's init says so again: we knew. */
    if (replica->state != REPLICA_STARTING) {
        return;
    }
    replica->state = REPLICA_RUNNING;
    replica->started_ms = message->started_ms;
    if (record_write(helper, replica, &err) < 0) {
        say_replica(replica, LOG_LEVEL_WARNING, "not-adoptable", "not adoptable: %s", err.text);
    }
    say_replica(replica, LOG_LEVEL_INFO, "started", "started (uids from %u)", replica->uids.first);
    say_state(helper, replica, SANDBOX_STARTED);
}

/* Out of memory is found out later, from the counts of the group. */
static void on_ended(struct replica *replica, const struct init_message *message)
{
    enum sandbox_end end = SANDBOX_END_EXITED;

    if (message->stopped || replica->state == REPLICA_STOPPING) {
        end = SANDBOX_END_STOPPED;
    } else if (message->signalled) {
        end = SANDBOX_END_SIGNALLED;
    }
    replica_end(replica, end, message->status, "");
    replica->init_leaves = true;
}

/* Returns false when there is nothing more to hear for now. */
static bool hear_init(struct helper *helper, struct replica *replica)
{
    struct init_message message;
    int r = replica->control_fd < 0 ? -EPIPE : init_message_receive(replica->control_fd, &message);

    if (r == -EAGAIN) {
        return false;
    }
    if (r < 0) {
        /* pidfd tells when it is over; without its socket we can neither stop nor hear it. */
        cleanup_close(&replica->control_fd);
        replica->control_fd = -1;
        return false;
    }
    switch (message.kind) {
    case INIT_STARTED:
        on_started(helper, replica, &message);
        break;
    case INIT_REFUSED:
        replica_end(replica, SANDBOX_END_REFUSED, 0, message.reason);
        replica->init_leaves = true;
        break;
    case INIT_HEALTH:
        replica->health_known = true;
        replica->healthy = message.healthy;
        say_health(helper, replica);
        break;
    case INIT_COUNTS:
        replica->connection_count = message.connection_count;
        replica->refused_count = message.refused_count;
        break;
    case INIT_ENDED:
        on_ended(replica, &message);
        break;
    case INIT_ATTACHED:
    case INIT_STOP:
    case INIT_EXEC:
    case INIT_KIND_COUNT:
        break; /* ours; an init that says so is broken, and only to its own replica's harm */
    }
    return true;
}

void replica_on_control(struct helper *helper, struct replica *replica)
{
    enum { MESSAGES_AT_ONCE_MAX = 16 };

    for (int i = 0; i < MESSAGES_AT_ONCE_MAX && hear_init(helper, replica); i++) {
    }
}

void replica_on_init_over(struct helper *helper, struct replica *replica)
{
    siginfo_t ignored;

    /* Its last words may still lie in the socket. */
    replica_on_control(helper, replica);
    /* ECHILD when it is adopted: then whoever inherited it waits for it. */
    waitid(P_PIDFD, (id_t)replica->pidfd, &ignored, WEXITED | WNOHANG);
    cleanup_close(&replica->pidfd);
    replica->pidfd = -1;
    if (replica->state == REPLICA_STOPPING) {
        replica_end(replica, SANDBOX_END_STOPPED, 0, "stopped");
    } else {
        replica_end(replica, SANDBOX_END_LOST, 0, "killed from outside");
    }
}

static void look_for_oom(struct helper *helper, struct replica *replica)
{
    uint64_t count = 0;
    struct err err = {0};

    if (cgroup_oom_kills(helper->cgroups, &replica->name, &count, &err) == 0 && count > 0) {
        replica_end(replica, SANDBOX_END_OUT_OF_MEMORY, 0, "");
    }
}

/* The kernel tells before it kills, so the count may rise only after we have looked. */
void replica_on_out_of_memory(struct helper *helper, struct replica *replica)
{
    uint64_t count;

    if (read(replica->oom_fd, &count, sizeof(count)) == sizeof(count)) {
        replica->oom_until_ms = now_ms() + OOM_LOOK_MS;
        look_for_oom(helper, replica);
    }
}

void replica_tick(struct helper *helper, struct replica *replica, uint64_t at_ms)
{
    if (replica->state == REPLICA_STARTING && at_ms >= replica->deadline_ms) {
        replica_end(replica, SANDBOX_END_REFUSED, 0, "did not start in time");
    } else if (replica->state == REPLICA_STOPPING && at_ms >= replica->deadline_ms) {
        replica_end(replica, SANDBOX_END_STOPPED, 0, "killed: did not stop in time");
    } else if (replica->state != REPLICA_ENDING && at_ms >= replica->lease_until_ms) {
        replica_end(replica, SANDBOX_END_LOST, 0, "the agent did not renew it");
    } else if (replica->state != REPLICA_ENDING && replica->forbidden_ms != 0 &&
               at_ms >= replica->forbidden_ms) {
        replica_end(replica, SANDBOX_END_STOPPED, 0,
                    "its port or its way out is not given any more");
    }
    if (replica->state != REPLICA_ENDING && at_ms < replica->oom_until_ms) {
        look_for_oom(helper, replica);
    }
    if (replica->state == REPLICA_ENDING) {
        replica_clear(helper, replica, at_ms);
    }
}
