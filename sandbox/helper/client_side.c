// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "sandbox/helper/helper.h"
#include "sandbox/helper/lines.h"
#include "sandbox/helper/process.h"
#include "sandbox/helper/say.h"

void client_drop(struct helper *helper, const char *why)
{
    if (helper->client_fd < 0) {
        return;
    }
    log_event(LOG_LEVEL_INFO, "agent-disconnected", "agent disconnected: %s", why);
    cleanup_close(&helper->client_fd);
    helper->client_fd = -1;
    helper->greeted = false;
    helper->alone_since_ms = now_ms();
}

/*
 * The socket's own buffer holds hundreds of answers. A mingad that does not read that many is
 * cut off rather than waited for or queued for; when it is back it asks for the list.
 */
void say_answer_fd(struct helper *helper, const struct helper_answer *answer, int passed_fd)
{
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    int length_bytes = helper_answer_encode(answer, bytes, sizeof(bytes));
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec vector = {bytes, (size_t)(length_bytes < 0 ? 0 : length_bytes)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

    if (helper->client_fd < 0 || !helper->greeted) {
        return;
    }
    if (passed_fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &passed_fd, sizeof(int));
    }
    if (length_bytes < 0 ||
        sendmsg(helper->client_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) != length_bytes) {
        client_drop(helper, length_bytes < 0 ? "an answer is too long" : err_text(errno));
    }
}

void say_answer(struct helper *helper, const struct helper_answer *answer)
{
    say_answer_fd(helper, answer, -1);
}

/* False where mingad is not there, or breaks off over this. */
static bool is_told(struct helper *helper, const struct sandbox_event *event)
{
    struct helper_answer answer = {.kind = ANSWER_EVENT, .event = *event};

    say_answer(helper, &answer);
    return helper->client_fd >= 0 && helper->greeted;
}

void say_event(struct helper *helper, const struct sandbox_event *event)
{
    if (!is_told(helper, event) && event->kind == SANDBOX_ENDED &&
        helper->missed_count < REPLICAS_PER_NODE_MAX) {
        helper->missed[helper->missed_count++] = *event;
    }
}

void say_missed(struct helper *helper)
{
    uint32_t told_count = 0;

    while (told_count < helper->missed_count && is_told(helper, &helper->missed[told_count])) {
        told_count++;
    }
    helper->missed_count -= told_count;
    memmove(helper->missed, helper->missed + told_count,
            helper->missed_count * sizeof(helper->missed[0]));
}

void say_ended(struct helper *helper, const struct replica_key *key, enum sandbox_end end,
               const char *reason)
{
    struct sandbox_event event = {.kind = SANDBOX_ENDED, .key = *key, .end = end};

    strncat(event.reason, reason, sizeof(event.reason) - 1);
    say_event(helper, &event);
}

void say_health(struct helper *helper, const struct replica *replica)
{
    struct sandbox_event event = {
        .kind = SANDBOX_HEALTH, .key = replica->spec.key, .healthy = replica->healthy};

    say_event(helper, &event);
}

void say_state(struct helper *helper, const struct replica *replica, enum sandbox_event_kind kind)
{
    struct sandbox_event event = {.kind = kind, .key = replica->spec.key};

    say_event(helper, &event);
}

static uint64_t cpu_permille_since_last(struct replica *replica, uint64_t cpu_us)
{
    uint64_t at_ms = now_ms();
    uint64_t elapsed_ms =
        replica->stats_ms != 0 ? at_ms - replica->stats_ms : boot_ms() - replica->started_ms;
    uint64_t spent_us = cpu_us > replica->stats_cpu_us ? cpu_us - replica->stats_cpu_us : 0;

    replica->stats_ms = at_ms;
    replica->stats_cpu_us = cpu_us;
    return spent_us / (elapsed_ms == 0 ? 1 : elapsed_ms);
}

/* minga-egress and its parts live beside minga-init, and end together. */
static enum sandbox_egress egress_of(const struct helper *helper, const struct replica *replica)
{
    uint64_t count = 0;
    struct err err = {0};

    if (!replica->spec.egress) {
        return SANDBOX_EGRESS_NONE;
    }
    return cgroup_count(helper->cgroups, &replica->name, CGROUP_INIT, &count, &err) == 0 &&
                   count < 2
               ? SANDBOX_EGRESS_LOST
               : SANDBOX_EGRESS_UP;
}

void say_measured(struct helper *helper, struct replica *replica, enum sandbox_event_kind kind)
{
    struct sandbox_event event = {
        .kind = kind,
        .key = replica->spec.key,
        .limits = replica->spec.limits,
        .tree = replica->spec.tree,
        .port_count = replica->spec.port_count,
        .activity = {.connection_count = replica->connection_count,
                     .refused_count = replica->refused_count,
                     .egress = egress_of(helper, replica)},
    };
    struct cgroup_stats stats = {0};
    struct err err = {0};

    memcpy(event.ports, replica->spec.ports, sizeof(event.ports));
    if (cgroup_stats(helper->cgroups, &replica->name, &stats, &err) < 0) {
        say_replica(replica, LOG_LEVEL_WARNING, "measure-failed", "%s", err.text);
    }
    event.used.cpu_permille = cpu_permille_since_last(replica, stats.cpu_us);
    event.used.memory_bytes = stats.memory_bytes;
    event.used.pid_count = stats.pid_count;
    if (replica->pidfd >= 0) {
        process_root_usage(replica->init_pid, &event.used.disk_bytes);
    }
    if (disk_activity(replica->disk.loop_number, &event.activity.io_read_bytes,
                      &event.activity.io_written_bytes) == 0) {
        event.activity.io_read_bytes -= replica->io_read_before;
        event.activity.io_written_bytes -= replica->io_written_before;
    }
    lines_measure(helper, replica, &event.activity);
    if (replica->started_ms != 0) {
        event.age_ms = boot_ms() - replica->started_ms;
    }
    say_event(helper, &event);
}
