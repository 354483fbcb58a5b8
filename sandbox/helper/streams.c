// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/helper/streams.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/cleanup.h"
#include "base/units.h"
#include "sandbox/helper/process.h"

enum {
    LOOK_SHARE = 20, /* of our time: the host may have very many connections of its own */
    LINE_BYTES_MAX = 256,
    SOCKET_BYTES = 4096,         /* of one that holds nothing */
    UNACCEPTED_BYTES = 64 << 10, /* small pieces hold many times their length */
    STATE_ESTABLISHED = 1,
    STATE_CLOSE_WAIT = 8,
    STATE_TIME_WAIT = 6,
    STATE_LISTEN = 10,
};

/*
 * A number in one of the small files of a network: "TCP: inuse 1 orphan 0 tw 0 alloc 223 mem 9",
 * of which the last is the whole host's, whatever the network. UINT64_MAX: it is not there.
 */
static uint64_t counted(const char *folder, const char *name, const char *kind, const char *what)
{
    char path[PATH_MAX];
    char line[LINE_BYTES_MAX];
    uint64_t number = UINT64_MAX;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    CLEANUP(cleanup_fclose) FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const char *at = strncmp(line, kind, strlen(kind)) == 0 ? strstr(line, what) : NULL;

        if (at != NULL && sscanf(at + strlen(what), "%" SCNu64, &number) == 1) {
            break;
        }
    }
    return number;
}

static uint64_t held_by_host(const char *proc_path)
{
    char folder[PATH_MAX];

    snprintf(folder, sizeof(folder), "%s/net", proc_path);
    const uint64_t pages = counted(folder, "sockstat", "TCP:", " mem ");
    return pages == UINT64_MAX ? 0 : pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* "0: 0100007F:0BB8 00000000:0000 01 TX:RX 00:00000000 00000000 0 0 INODE ..." */
static struct streams held_by_line(const char *line)
{
    static const struct streams nothing = {0};
    uint64_t sending = 0;
    uint64_t received = 0;
    unsigned long inode = 0;
    unsigned state = STATE_LISTEN;

    if (sscanf(line, "%*s %*s %*s %x %" SCNx64 ":%" SCNx64 " %*s %*s %*s %*s %lu", &state, &sending,
               &received, &inode) != 4 ||
        state == STATE_LISTEN || state == STATE_TIME_WAIT) {
        return nothing;
    }
    const bool is_unaccepted =
        inode == 0 && (state == STATE_ESTABLISHED || state == STATE_CLOSE_WAIT);

    const uint64_t bytes = sending + received + (is_unaccepted ? UNACCEPTED_BYTES : SOCKET_BYTES);

    return (struct streams){bytes, is_unaccepted ? bytes : 0};
}

/* The list of them all takes the kernel some ms: it looks through those of the whole host. */
static void add_list(const char *path, uint64_t enough_bytes, struct streams *held)
{
    char line[LINE_BYTES_MAX];
    CLEANUP(cleanup_fclose) FILE *file = fopen(path, "re");

    while (held->bytes <= enough_bytes && file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const struct streams one = held_by_line(line);

        held->bytes += one.bytes;
        held->unaccepted_bytes += one.unaccepted_bytes;
    }
}

struct streams streams_held(const char *proc_path, pid_t pid, uint64_t enough_bytes)
{
    static const struct {
        const char *counts;
        const char *kind;
        const char *list;
    } families[] = {{"sockstat", "TCP:", "tcp"}, {"sockstat6", "TCP6:", "tcp6"}};
    char folder[PATH_MAX / 2];
    char path[PATH_MAX];
    struct streams held = {0};

    snprintf(folder, sizeof(folder), "%s/%d/net", proc_path, pid);
    for (size_t i = 0; i < ARRAY_COUNT(families) && held.bytes <= enough_bytes; i++) {
        if (counted(folder, families[i].counts, families[i].kind, " inuse ") > STREAMS_FEW) {
            snprintf(path, sizeof(path), "%s/%s", folder, families[i].list);
            add_list(path, enough_bytes, &held);
        }
    }
    return held;
}

uint64_t streams_allowed(const struct helper *helper, const struct replica *replica)
{
    const uint64_t connections =
        (uint64_t)helper->limits.connections_max * replica->spec.port_count;

    return replica->spec.limits.memory_bytes / 4 + STREAMS_OWN_BYTES +
           connections * STREAMS_CONNECTION_BYTES;
}

static uint64_t share_of_host(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / STREAMS_HOST_SHARE;
}

struct streams_verdict streams_find(struct helper *helper, const char *proc_path)
{
    const uint64_t host_bytes = held_by_host(proc_path);
    struct streams_verdict heaviest = {.held.unaccepted_bytes = STREAMS_SUSPECT_BYTES,
                                       .is_hosts = true,
                                       .limit_bytes = share_of_host()};

    for (size_t i = 0; host_bytes >= STREAMS_CALM_BYTES && i < REPLICAS_PER_NODE_MAX; i++) {
        struct replica *replica = &helper->replicas[i];

        if ((replica->state != REPLICA_RUNNING && replica->state != REPLICA_STOPPING) ||
            replica->init_pid <= 0) {
            continue;
        }
        const uint64_t allowed_bytes = streams_allowed(helper, replica);
        const struct streams held = streams_held(proc_path, replica->init_pid, allowed_bytes);

        if (held.bytes > allowed_bytes) {
            return (struct streams_verdict){replica, held, false, allowed_bytes};
        }
        if (held.unaccepted_bytes > heaviest.held.unaccepted_bytes) {
            heaviest.replica = replica;
            heaviest.held = held;
        }
    }
    if (host_bytes <= heaviest.limit_bytes) {
        heaviest.replica = NULL;
    }
    return heaviest;
}

void streams_reason(const struct streams_verdict *verdict, char reason_out[REASON_CHARS_MAX + 1])
{
    char limit[UNITS_TEXT_BYTES_MAX];
    char held[UNITS_TEXT_BYTES_MAX];
    char unaccepted[UNITS_TEXT_BYTES_MAX];

    units_print_bytes(verdict->limit_bytes, limit);
    units_print_bytes(verdict->held.bytes, held);
    units_print_bytes(verdict->held.unaccepted_bytes, unaccepted);
    if (verdict->is_hosts) {
        snprintf(
            reason_out, REASON_CHARS_MAX + 1,
            "out of memory for connections: limit %.6s of the machine's; it holds %.6s, %.6s of it "
            "not accepted, the most of all here",
            limit, held, unaccepted);
    } else {
        snprintf(
            reason_out, REASON_CHARS_MAX + 1,
            "out of memory for connections: limit %.6s, it holds %.6s, %.6s of it not accepted",
            limit, held, unaccepted);
    }
}

void streams_look(struct helper *helper, const char *proc_path, uint64_t at_ms)
{
    const struct streams_verdict greedy = streams_find(helper, proc_path);
    char reason[REASON_CHARS_MAX + 1];

    if (greedy.replica == NULL || (greedy.is_hosts && at_ms < helper->streams_host_due_ms)) {
        return;
    }
    helper->streams_host_due_ms = at_ms + STREAMS_ENDING_MS;
    streams_reason(&greedy, reason);
    replica_end(greedy.replica, SANDBOX_END_OUT_OF_MEMORY, 0, reason);
}

void streams_tick(struct helper *helper, uint64_t at_ms)
{
    if (at_ms < helper->streams_due_ms) {
        return;
    }
    const uint64_t begun_ms = now_ms(); /* at_ms lies before what else the tick had to do */
    streams_look(helper, "/proc", at_ms);
    const uint64_t pause_ms = (now_ms() - begun_ms) * LOOK_SHARE;

    helper->streams_due_ms = at_ms + (pause_ms > STREAMS_EVERY_MS ? pause_ms : STREAMS_EVERY_MS);
}
