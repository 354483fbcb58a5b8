// SPDX-License-Identifier: GPL-3.0-or-later
/* Who holds too much in connections: /proc is a folder of ours. */
#include "sandbox/helper/streams.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PID = 41, OTHER_PID = 42, PORTS = 2, CONNECTIONS = 100, SLOT = 3 };

static char folder[] = "/tmp/minga-streams.XXXXXX";
static char path[128];
static struct helper helper;

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static FILE *file_new(const char *name)
{
    FILE *file = fopen(in_folder(name), "we");

    cr_assert_not_null(file);
    return file;
}

static void write_host(uint64_t bytes)
{
    FILE *file = file_new("net/sockstat");

    fprintf(file,
            "sockets: used 76\nTCP: inuse 1 orphan 0 tw 0 alloc 223 mem %" PRIu64
            "\nUDP: inuse 0 mem 88\n",
            bytes / (uint64_t)sysconf(_SC_PAGESIZE));
    fclose(file);
}

static void put_line(FILE *file, unsigned state, uint64_t held_bytes, unsigned inode)
{
    fprintf(file,
            "   7: 0100007F:0BB8 0200007F:C350 %02X %08" PRIX64
            ":%08X 00:00000000 00000000     0        0 %u 1 0000000000000000 20 0 0 10 -1\n",
            state, held_bytes - held_bytes / 2, (unsigned)(held_bytes / 2), inode);
}

/* One line of `held_bytes` in `state`, below the heading. */
static void write_one(const char *name, unsigned state, uint64_t held_bytes, unsigned inode)
{
    FILE *file = file_new(name);

    fputs("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "
          "timeout inode\n",
          file);
    put_line(file, state, held_bytes, inode);
    fclose(file);
}

static void begin(void)
{
    static const char *const folders[] = {"net", "41", "41/net", "42", "42/net"};

    cr_assert_not_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        cr_assert_eq(mkdir(in_folder(folders[i]), 0700), 0);
    }
    for (size_t i = 0; i < REPLICAS_PER_NODE_MAX; i++) {
        replica_init(&helper.replicas[i]);
    }
    helper.limits.connections_max = CONNECTIONS;
    helper.replicas[SLOT].state = REPLICA_RUNNING;
    helper.replicas[SLOT].init_pid = PID;
    helper.replicas[SLOT].spec.limits.memory_bytes = 64 << 20;
    helper.replicas[SLOT].spec.port_count = PORTS;
    write_host(STREAMS_CALM_BYTES);
}

static void end(void)
{
    static const char *const names[] = {"net/sockstat", "41/net/tcp", "41/net/tcp6",
                                        "41/net/sockstat", "42/net/tcp"};
    static const char *const folders[] = {"42/net", "42", "41/net", "41", "net"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unlink(in_folder(names[i]));
    }
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        rmdir(in_folder(folders[i]));
    }
    rmdir(folder);
}

Test(streams, what_may_be_held_grows_with_memory_and_ports, .init = begin, .fini = end)
{
    cr_assert_eq(streams_allowed(&helper, &helper.replicas[SLOT]),
                 (16 << 20) + STREAMS_OWN_BYTES +
                     (uint64_t)CONNECTIONS * PORTS * STREAMS_CONNECTION_BYTES);
}

Test(streams, a_connection_holds_its_bytes_and_itself, .init = begin, .fini = end)
{
    write_one("41/net/tcp", 1, 100000, 4711);
    cr_assert_eq(streams_held(folder, PID, UINT64_MAX).bytes, 100000 + 4096);
    write_one("41/net/tcp6", 8, 0x123456789, 4712);
    cr_assert_eq(streams_held(folder, PID, UINT64_MAX).bytes, 100000 + 0x123456789 + 2 * 4096);
    cr_assert_eq(streams_held(folder, PID, 1000).bytes, 100000 + 4096, "enough is enough");
    cr_assert_eq(streams_held(folder, OTHER_PID, UINT64_MAX).bytes, 0, "not another's");
}

Test(streams, one_that_nobody_accepted_weighs_more, .init = begin, .fini = end)
{
    write_one("41/net/tcp", 1, 0, 0);
    cr_assert_eq(streams_held(folder, PID, UINT64_MAX).bytes, 64 << 10);
    write_one("41/net/tcp", 8, 0, 0);
    cr_assert_eq(streams_held(folder, PID, UINT64_MAX).bytes, 64 << 10,
                 "also when its peer has gone");
    write_one("41/net/tcp", 4, 0, 0);
    cr_assert_eq(streams_held(folder, PID, UINT64_MAX).bytes, 4096, "closed, and not sent yet");
}

Test(streams, who_listens_or_only_remembers_holds_nothing, .init = begin, .fini = end)
{
    write_one("41/net/tcp", 10, 4096, 4711);
    cr_assert_eq(streams_held(folder, PID, UINT64_MAX).bytes, 0, "these are counts, not bytes");
    write_one("41/net/tcp", 6, 0, 0);
    cr_assert_eq(streams_held(folder, PID, UINT64_MAX).bytes, 0);
}

Test(streams, a_few_are_not_looked_at, .init = begin, .fini = end)
{
    FILE *file = file_new("41/net/sockstat");

    fprintf(file, "sockets: used 9\nTCP: inuse %d orphan 0 tw 0 alloc 2 mem 3\n", STREAMS_FEW);
    fclose(file);
    write_one("41/net/tcp", 1, 100000, 4711);
    cr_assert_eq(streams_held(folder, PID, UINT64_MAX).bytes, 0);
    write_one("41/net/tcp6", 1, 200000, 4711);
    cr_assert_eq(streams_held(folder, PID, UINT64_MAX).bytes, 200000 + 4096,
                 "of these it is not known");
    file = file_new("41/net/sockstat");
    fprintf(file, "TCP: inuse %d orphan 0 tw 0 alloc 2 mem 3\n", STREAMS_FEW + 1);
    fclose(file);
    cr_assert_eq(streams_held(folder, PID, UINT64_MAX).bytes, 300000 + 2 * 4096);
}

Test(streams, a_replica_with_more_than_it_may_is_found, .init = begin, .fini = end)
{
    const uint64_t allowed_bytes = streams_allowed(&helper, &helper.replicas[SLOT]);

    write_one("41/net/tcp", 1, allowed_bytes - 4096, 4711);
    cr_assert_null(streams_find(&helper, folder).replica, "as much as it may");
    write_one("41/net/tcp", 1, allowed_bytes - 4096 + 1, 4711);
    cr_assert_eq(streams_find(&helper, folder).replica, &helper.replicas[SLOT]);
    write_host(STREAMS_CALM_BYTES / 2);
    cr_assert_null(streams_find(&helper, folder).replica, "the host has room");
}

Test(streams, where_the_host_has_no_more_who_accepts_least_is_found, .init = begin, .fini = end)
{
    const uint64_t host_bytes =
        (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / STREAMS_HOST_SHARE;

    helper.replicas[SLOT + 1].state = REPLICA_RUNNING;
    helper.replicas[SLOT + 1].init_pid = OTHER_PID;
    helper.replicas[SLOT + 1].spec.limits.memory_bytes = 64 << 20;
    write_one("41/net/tcp", 1, STREAMS_SUSPECT_BYTES - (64 << 10), 0);
    write_host(host_bytes + (1 << 20));
    cr_assert_null(streams_find(&helper, folder).replica, "none holds much");
    write_one("41/net/tcp6", 1, 8 * STREAMS_SUSPECT_BYTES, 4711);
    cr_assert_null(streams_find(&helper, folder).replica, "what it has accepted is in its group");
    write_one("42/net/tcp", 1, STREAMS_SUSPECT_BYTES, 0);
    cr_assert_eq(streams_find(&helper, folder).replica, &helper.replicas[SLOT + 1]);
    write_one("41/net/tcp", 1, STREAMS_SUSPECT_BYTES + 1, 0);
    cr_assert_eq(streams_find(&helper, folder).replica, &helper.replicas[SLOT]);
    write_host(host_bytes - (1 << 20));
    cr_assert_null(streams_find(&helper, folder).replica, "the host has room");
}

/* What the first one held is still in the host's sum while it ends. */
Test(streams, nobody_else_is_blamed_for_who_is_ending, .init = begin, .fini = end)
{
    const uint64_t host_bytes =
        (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / STREAMS_HOST_SHARE;
    const uint64_t at_ms = 5000;

    helper.replicas[SLOT + 1].state = REPLICA_RUNNING;
    helper.replicas[SLOT + 1].init_pid = OTHER_PID;
    helper.replicas[SLOT + 1].spec.limits.memory_bytes = 64 << 20;
    helper.streams_host_due_ms = 0;
    write_one("41/net/tcp", 1, 8 * STREAMS_SUSPECT_BYTES, 0);
    write_one("42/net/tcp", 1, 2 * STREAMS_SUSPECT_BYTES, 0);
    write_host(host_bytes + (1 << 20));
    streams_look(&helper, folder, at_ms);
    cr_assert_eq(helper.replicas[SLOT].state, REPLICA_ENDING);
    streams_look(&helper, folder, at_ms + STREAMS_ENDING_MS - 1);
    cr_assert_eq(helper.replicas[SLOT + 1].state, REPLICA_RUNNING);
    streams_look(&helper, folder, at_ms + STREAMS_ENDING_MS);
    cr_assert_eq(helper.replicas[SLOT + 1].state, REPLICA_ENDING, "it was not the first one alone");
}

/* Its own limit is its own affair. */
Test(streams, who_has_too_much_itself_is_ended_meanwhile, .init = begin, .fini = end)
{
    helper.streams_host_due_ms = 9000;
    write_one("41/net/tcp", 1, streams_allowed(&helper, &helper.replicas[SLOT]), 4711);
    streams_look(&helper, folder, 5000);
    cr_assert_eq(helper.replicas[SLOT].state, REPLICA_ENDING);
}

Test(streams, who_ends_already_is_left_alone, .init = begin, .fini = end)
{
    write_one("41/net/tcp", 1, UINT32_MAX, 4711);
    helper.replicas[SLOT].state = REPLICA_STOPPING;
    cr_assert_eq(streams_find(&helper, folder).replica, &helper.replicas[SLOT]);
    helper.replicas[SLOT].state = REPLICA_ENDING;
    cr_assert_null(streams_find(&helper, folder).replica);
    helper.replicas[SLOT].state = REPLICA_RUNNING;
    unlink(in_folder("net/sockstat"));
    cr_assert_null(streams_find(&helper, folder).replica, "nothing known");
}

Test(streams, what_is_not_accepted_is_counted_apart, .init = begin, .fini = end)
{
    write_one("41/net/tcp", 1, 100000, 0);
    write_one("41/net/tcp6", 1, 200000, 4711);
    const struct streams held = streams_held(folder, PID, UINT64_MAX);

    cr_assert_eq(held.bytes, 300000 + (64 << 10) + 4096);
    cr_assert_eq(held.unaccepted_bytes, 100000 + (64 << 10));
}

Test(streams, the_reason_says_which_limit_it_was, .init = begin, .fini = end)
{
    const uint64_t allowed_bytes = streams_allowed(&helper, &helper.replicas[SLOT]);
    const uint64_t host_bytes =
        (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / STREAMS_HOST_SHARE;
    char reason[REASON_CHARS_MAX + 1];
    struct streams_verdict verdict;

    write_one("41/net/tcp", 1, allowed_bytes, 4711);
    verdict = streams_find(&helper, folder);
    cr_assert_not(verdict.is_hosts);
    cr_assert_eq(verdict.limit_bytes, allowed_bytes);
    write_one("41/net/tcp", 1, 8 << 20, 0);
    write_host(host_bytes + (1 << 20));
    verdict = streams_find(&helper, folder);
    cr_assert(verdict.is_hosts);
    cr_assert_eq(verdict.limit_bytes, host_bytes);
    cr_assert_eq(verdict.held.unaccepted_bytes, (8 << 20) + (64 << 10));

    verdict = (struct streams_verdict){
        .held = {300 << 20, 8 << 20}, .is_hosts = true, .limit_bytes = 1000 << 20};
    streams_reason(&verdict, reason);
    cr_assert_str_eq(reason,
                     "out of memory for connections: limit 1000M of the machine's; it holds "
                     "300M, 8M of it not accepted, the most of all here");
    verdict.is_hosts = false;
    streams_reason(&verdict, reason);
    cr_assert_str_eq(reason, "out of memory for connections: limit 1000M, it holds 300M, 8M of it "
                             "not accepted");
}

Test(streams, the_longest_reason_is_not_cut, .init = begin, .fini = end)
{
    const struct streams_verdict verdict = {
        .held = {UINT64_MAX - 1, UINT64_MAX - 3}, .is_hosts = true, .limit_bytes = UINT64_MAX - 5};
    char reason[REASON_CHARS_MAX + 1];

    streams_reason(&verdict, reason);
    cr_assert(strstr(reason, "of all here") != NULL, "%s", reason);
}
