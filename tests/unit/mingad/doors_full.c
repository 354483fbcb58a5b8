// SPDX-License-Identifier: GPL-3.0-or-later
/* Doors of which all places are taken, and flows that send more than there is time for. */
#include <sys/resource.h>

#include "agent/mingad/doors/doors.h"
#include "agent/mingad/doors/visits.h"
#include "base/descriptors.h"
#include "sandbox/init/udp.h"
#include "tests/unit/mingad/door_visit.h"

enum { IN_MAX = DOORS_VISITS_MAX };

static struct visit visits[IN_MAX + 1];
static int inside[IN_MAX + 1];

static bool enters(struct fixture *fixture, struct visit *visit, uint8_t number)
{
    static struct relay_opened opened;
    struct node_id of = member;

    of.id.bytes[1] = number;
    visit_begin(fixture, visit);
    if (!visit_greet(fixture, visit, &of, clock_now_ms() + PASS_MS / 2)) {
        return false;
    }
    visit_send(visit, RELAY_READY, "");
    return visit_frame(fixture, visit, &opened) && opened.type == RELAY_OPEN;
}

static struct fixture *full_of(enum sandbox_protocol protocol)
{
    struct rlimit files = {4096, 4096};
    struct fixture *fixture;

    (void)setrlimit(RLIMIT_NOFILE, &files);
    fixture = fixture_new_of(protocol);
    fixture->has_many_members = true;
    for (uint32_t i = 0; i < IN_MAX; i++) {
        cr_assert(enters(fixture, &visits[i], (uint8_t)(i / DOORS_VISITS_PER_MEMBER_MAX)));
        inside[i] = accept_inside(fixture);
    }
    return fixture;
}

static void empty(struct fixture *fixture, uint32_t count)
{
    fixture_free(fixture);
    for (uint32_t i = 0; i < count; i++) {
        close(visits[i].fd);
        close(inside[i]);
    }
}

static void let_pass(struct fixture *fixture, uint64_t wait_ms)
{
    uint64_t until_ms = clock_now_ms() + wait_ms;

    while (clock_now_ms() < until_ms) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
}

Test(doors_full, a_flow_that_is_silent_gives_way_to_one_more)
{
    struct fixture *fixture = full_of(SANDBOX_MEMBERS_UDP);

    let_pass(fixture, VISITS_YIELD_MS + 10);
    visit_send(&visits[0], RELAY_DATAGRAM, "I am here");
    let_pass(fixture, 10);
    cr_assert(enters(fixture, &visits[IN_MAX], UINT8_MAX), "of another member");
    inside[IN_MAX] = accept_inside(fixture);
    cr_assert(!visit_hears(fixture, &visits[1]), "the one silent longest");
    cr_assert_eq(doors_counters(fixture->doors).visit_count, IN_MAX);
    empty(fixture, IN_MAX + 1);
}

Test(doors_full, a_member_with_too_many_loses_one_of_its_own)
{
    struct fixture *fixture = full_of(SANDBOX_MEMBERS_UDP);

    let_pass(fixture, VISITS_YIELD_MS + 10);
    cr_assert(enters(fixture, &visits[IN_MAX], 2));
    inside[IN_MAX] = accept_inside(fixture);
    cr_assert(!visit_hears(fixture, &visits[2 * DOORS_VISITS_PER_MEMBER_MAX]));
    cr_assert_eq(doors_counters(fixture->doors).visit_count, IN_MAX);
    empty(fixture, IN_MAX + 1);
}

Test(doors_full, connections_of_tcp_stay_and_who_comes_is_refused)
{
    struct fixture *fixture = full_of(SANDBOX_MEMBERS);

    let_pass(fixture, VISITS_YIELD_MS + 10);
    cr_assert(!enters(fixture, &visits[IN_MAX], UINT8_MAX));
    close(visits[IN_MAX].fd);
    cr_assert_eq(doors_counters(fixture->doors).visit_count, IN_MAX);
    empty(fixture, IN_MAX);
}

/* ------------------------------------------------------------------ descriptors */

/* One that was taken over: it could pass one whose end mingad's loop would have to wait for. */
Test(doors_full, who_serves_a_port_can_pass_no_descriptor)
{
    static const enum sandbox_protocol protocols[] = {SANDBOX_MEMBERS, SANDBOX_MEMBERS_UDP};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control = {0};
    struct iovec bytes = {(char[2]){0, 'x'}, 2};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (!descriptors_refuse(probe)) {
        cr_skip_test("a kernel before 6.16");
    }
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &probe, sizeof(probe));
    for (size_t i = 0; i < 2; i++) {
        struct fixture *fixture = fixture_new_of(protocols[i]);

        cr_assert(visit_enters(fixture, &visits[0]));
        inside[0] = accept_inside(fixture);
        cr_assert_eq(sendmsg(inside[0], &message, MSG_NOSIGNAL), -1);
        cr_assert_eq(errno, EPERM);
        empty(fixture, 1);
    }
    close(probe);
}

/* ------------------------------------------------------------------ the loop's time */

/* Less than the slowest machine can pour, while it does all else as well. */
enum { FLOODS = 4, FLOWS = FLOODS + 1, POURED_BYTES_PER_S = 1 << 20, POURED_BYTES = 4000 };

struct flood {
    uint8_t frame[RELAY_FRAME_BYTES_MAX];
    size_t length_bytes;
    size_t at;
};

/* More than its part, each turn of the loop. */
static void pour(struct visit *visit, struct flood *flood)
{
    static const uint8_t body[POURED_BYTES];
    ssize_t sent;

    if (flood->at == flood->length_bytes) {
        flood->at = 0;
        flood->length_bytes = relay_seal_frame(&visit->seal, RELAY_DATAGRAM,
                                               (struct bytes){body, sizeof(body)}, flood->frame);
    }
    sent = send(visit->fd, flood->frame + flood->at, flood->length_bytes - flood->at,
                MSG_NOSIGNAL | MSG_DONTWAIT);
    flood->at += sent > 0 ? (size_t)sent : 0;
}

static uint32_t take_packets(int fd)
{
    uint32_t count = 0;
    char byte;

    while (recv(fd, &byte, 1, MSG_DONTWAIT) > 0) {
        count++;
    }
    return count;
}

Test(doors_full, a_member_with_many_flows_has_no_more_of_the_loop_than_one_with_one)
{
    enum { POURED_MS = 2000 };
    struct fixture *fixture = fixture_new_paced(SANDBOX_MEMBERS_UDP, POURED_BYTES_PER_S);
    static struct flood floods[FLOWS];
    uint64_t taken[2] = {0};
    uint64_t at_ms;

    fixture->has_many_members = true;
    for (uint32_t i = 0; i < FLOWS; i++) {
        cr_assert(enters(fixture, &visits[i], i < FLOODS ? 0 : 1));
        inside[i] = accept_inside(fixture);
    }
    at_ms = clock_now_ms();
    while (clock_now_ms() - at_ms < POURED_MS) {
        bool is_warm = clock_now_ms() - at_ms > POURED_MS / 4; /* the burst is spent */

        for (uint32_t i = 0; i < FLOWS; i++) {
            pour(&visits[i], &floods[i]);
        }
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        for (uint32_t i = 0; i < FLOWS; i++) {
            taken[i < FLOODS ? 0 : 1] += take_packets(inside[i]) * is_warm;
        }
    }
    cr_assert_gt(taken[1], taken[0] / 2, "%lu and %lu", (unsigned long)taken[0],
                 (unsigned long)taken[1]);
    cr_assert_gt(taken[0], taken[1] / 2, "%lu and %lu", (unsigned long)taken[0],
                 (unsigned long)taken[1]);
    empty(fixture, FLOWS);
}
