// SPDX-License-Identifier: GPL-3.0-or-later
/* How many are let in at a door for members, and how much is kept for them. */
#include <sys/resource.h>

#include "agent/mingad/doors/doors.h"
#include "agent/mingad/doors/pace.h"
#include "tests/unit/mingad/door_visit.h"

Test(doors_limits, one_member_does_not_take_all_places)
{
    struct fixture *fixture = fixture_new();
    static struct visit visits[VISITS_MAX];
    int inside[VISITS_MAX];

    for (uint32_t i = 0; i < DOORS_VISITS_PER_MEMBER_MAX; i++) {
        cr_assert(visit_enters(fixture, &visits[i]), "visit %u", i);
        inside[i] = accept_inside(fixture);
    }
    cr_assert(!visit_enters(fixture, &visits[VISITS_MAX - 1]));
    for (uint32_t i = 0; i < VISITS_MAX; i++) {
        close(visits[i].fd);
    }
    for (uint32_t i = 0; i < DOORS_VISITS_PER_MEMBER_MAX; i++) {
        close(inside[i]);
    }
    fixture_free(fixture);
}

Test(doors_limits, strangers_who_wait_do_not_keep_members_out)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;
    static int strangers[2 * DOORS_VISITS_MAX];

    for (uint32_t i = 0; i < 2 * DOORS_VISITS_MAX; i++) {
        visit_begin(fixture, &visit);
        strangers[i] = visit.fd;
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    cr_assert(visit_enters(fixture, &visit));
    close(visit.fd);
    for (uint32_t i = 0; i < 2 * DOORS_VISITS_MAX; i++) {
        close(strangers[i]);
    }
    fixture_free(fixture);
}

/* Who has shown a member's name may have a slow line. */
Test(doors_limits, who_has_greeted_is_not_driven_out_by_those_who_say_nothing)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;
    static struct relay_opened opened;
    static struct visit mute;
    static int strangers[DOORS_VISITS_MAX];

    visit_begin(fixture, &visit);
    cr_assert(visit_greet(fixture, &visit, &member, clock_now_ms() + PASS_MS / 2));
    for (uint32_t i = 0; i < DOORS_VISITS_MAX; i++) {
        visit_begin(fixture, &mute);
        strangers[i] = mute.fd;
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    visit_send(&visit, RELAY_READY, "");
    cr_assert(visit_frame(fixture, &visit, &opened));
    cr_assert_eq(opened.type, RELAY_OPEN);
    close(visit.fd);
    for (uint32_t i = 0; i < DOORS_VISITS_MAX; i++) {
        close(strangers[i]);
    }
    fixture_free(fixture);
}

Test(doors_limits, who_greets_many_times_before_it_is_let_in_has_no_more_places)
{
    struct fixture *fixture = fixture_new();
    static struct visit visits[VISITS_MAX];
    static struct relay_opened opened;
    struct visit *last = &visits[VISITS_MAX - 1];
    int inside[VISITS_MAX - 2];

    for (uint32_t i = 0; i < VISITS_MAX - 2; i++) {
        cr_assert(visit_enters(fixture, &visits[i]), "visit %u", i);
        inside[i] = accept_inside(fixture);
    }
    for (uint32_t i = VISITS_MAX - 2; i < VISITS_MAX; i++) {
        visit_begin(fixture, &visits[i]);
        cr_assert(visit_greet(fixture, &visits[i], &member, clock_now_ms() + PASS_MS / 2));
    }
    visit_send(last, RELAY_READY, "");
    cr_assert(visit_frame(fixture, last, &opened), "there is one place");
    visit_send(last - 1, RELAY_READY, "");
    cr_assert(!visit_frame(fixture, last - 1, &opened), "and no second one");
    cr_assert_eq(doors_counters(fixture->doors).visit_count, DOORS_VISITS_PER_MEMBER_MAX);
    for (uint32_t i = 0; i < VISITS_MAX; i++) {
        close(visits[i].fd);
    }
    for (uint32_t i = 0; i < VISITS_MAX - 2; i++) {
        close(inside[i]);
    }
    fixture_free(fixture);
}

/* As many as may be let in, of several members. */
static int let_in(struct fixture *fixture, struct visit *visit, uint32_t i)
{
    static struct relay_opened opened;
    struct node_id of = member;

    of.id.bytes[1] = (uint8_t)(i / DOORS_VISITS_PER_MEMBER_MAX);
    visit_begin(fixture, visit);
    cr_assert(visit_greet(fixture, visit, &of, clock_now_ms() + PASS_MS / 2));
    visit_send(visit, RELAY_READY, "");
    cr_assert(visit_frame(fixture, visit, &opened), "visit %u", i);
    return accept_inside(fixture);
}

Test(doors_limits, strangers_keep_nobody_out_when_many_members_are_in)
{
    enum { IN_MAX = DOORS_VISITS_MAX, STRANGERS = 100 };
    struct rlimit files = {4096, 4096};
    static struct visit visits[IN_MAX];
    static struct visit mute;
    int strangers[STRANGERS];
    int inside[IN_MAX];

    (void)setrlimit(RLIMIT_NOFILE, &files);
    struct fixture *fixture = fixture_new();

    fixture->has_many_members = true;
    for (uint32_t i = 0; i < IN_MAX - 1; i++) {
        inside[i] = let_in(fixture, &visits[i], i);
    }
    for (uint32_t i = 0; i < STRANGERS; i++) {
        visit_begin(fixture, &mute);
        strangers[i] = mute.fd;
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    cr_assert_eq(doors_counters(fixture->doors).visit_count, IN_MAX - 1);
    inside[IN_MAX - 1] = let_in(fixture, &visits[IN_MAX - 1], IN_MAX - 1);
    cr_assert_eq(doors_counters(fixture->doors).visit_count, IN_MAX);
    fixture_free(fixture);
    for (uint32_t i = 0; i < IN_MAX; i++) {
        close(visits[i].fd);
        close(inside[i]);
    }
    for (uint32_t i = 0; i < STRANGERS; i++) {
        close(strangers[i]);
    }
}

/* Each frame of one byte costs mingad more than that byte. */
enum { TINY_FRAMES = 20000, TINY_FRAMES_KEPT_MAX = 4096, QUIET_TURNS = 1000 };

static void look_at_queue(uv_handle_t *handle, void *queued_bytes_out)
{
    if (handle->type == UV_NAMED_PIPE) {
        *(size_t *)queued_bytes_out = uv_stream_get_write_queue_size((uv_stream_t *)handle);
    }
}

/* Goes on until nothing moves any more; returns the most that was kept for the replica. */
static size_t say_to_one_who_does_not_read(struct fixture *fixture, struct visit *visit,
                                           struct bytes *bytes)
{
    size_t queued_bytes = 0;
    size_t queued_bytes_max = 0;

    for (uint32_t quiet = 0; quiet < QUIET_TURNS && bytes->length_bytes > 0; quiet++) {
        size_t before_bytes = queued_bytes;
        ssize_t sent =
            send(visit->fd, bytes->data, bytes->length_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent > 0) {
            bytes->data += sent;
            bytes->length_bytes -= (size_t)sent;
        }
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        uv_walk(&fixture->loop, look_at_queue, &queued_bytes);
        queued_bytes_max = queued_bytes > queued_bytes_max ? queued_bytes : queued_bytes_max;
        quiet = sent > 0 || queued_bytes != before_bytes ? 0 : quiet;
    }
    for (uint32_t i = 0; i < QUIET_TURNS; i++) {
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        uv_walk(&fixture->loop, look_at_queue, &queued_bytes);
        queued_bytes_max = queued_bytes > queued_bytes_max ? queued_bytes : queued_bytes_max;
    }
    return queued_bytes_max;
}

Test(doors_limits, many_small_frames_that_nobody_reads_are_not_kept)
{
    struct fixture *fixture = fixture_new();
    static struct visit visit;
    uint64_t until_ms = clock_now_ms() + WAIT_MS_MAX;
    uint8_t *frames =
        malloc((size_t)TINY_FRAMES * (RELAY_FRAME_BYTES_MAX - RELAY_BODY_BYTES_MAX + 1));
    struct bytes left = {frames, 0};
    size_t heard_bytes = 0;

    cr_assert(visit_enters(fixture, &visit));
    int inside = accept_inside(fixture);

    for (uint32_t i = 0; i < TINY_FRAMES; i++) {
        left.length_bytes += relay_seal_frame(&visit.seal, RELAY_DATA, bytes_of_text("x"),
                                              frames + left.length_bytes);
    }
    cr_assert_leq(say_to_one_who_does_not_read(fixture, &visit, &left), TINY_FRAMES_KEPT_MAX);
    while (heard_bytes < TINY_FRAMES && clock_now_ms() < until_ms) { /* and nothing is lost */
        static uint8_t heard[1 << 16];
        ssize_t sent = send(visit.fd, left.data, left.length_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        ssize_t got;

        left.data += sent > 0 ? sent : 0;
        left.length_bytes -= sent > 0 ? (size_t)sent : 0;
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        got = recv(inside, heard, sizeof(heard), 0);
        heard_bytes += got > 0 ? (size_t)got : 0;
    }
    cr_assert_eq(heard_bytes, TINY_FRAMES);
    free(frames);
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}

/* ------------------------------------------------------------------ one turn of the loop */

enum { FRAMES_PER_TURN_MAX = 64, FRAMES = 500 };

/* All in one piece, so that one read has them. */
static void say_many(struct visit *visit, enum relay_frame type, const char *text)
{
    static uint8_t frames[FRAMES * 32];
    static uint8_t frame[RELAY_FRAME_BYTES_MAX];
    size_t length = 0;

    for (int i = 0; i < FRAMES; i++) {
        size_t frame_bytes = relay_seal_frame(&visit->seal, type, bytes_of_text(text), frame);

        cr_assert_leq(length + frame_bytes, sizeof(frames));
        memcpy(frames + length, frame, frame_bytes);
        length += frame_bytes;
    }
    visit_say(visit, frames, length);
}

/* What one turn more brings inside: packets, or bytes. */
static uint32_t turn(struct fixture *fixture, int fd)
{
    uint32_t count = 0;
    char byte;

    uv_run(&fixture->loop, UV_RUN_NOWAIT);
    while (recv(fd, &byte, 1, MSG_DONTWAIT) > 0) {
        count++;
    }
    return count;
}

/* Until all are inside; each turn brings some only. */
static void must_come_in_turns(struct fixture *fixture, int fd, uint32_t count)
{
    uint64_t until_ms = clock_now_ms() + WAIT_MS_MAX;

    while (count < FRAMES && clock_now_ms() < until_ms) {
        uint32_t more = turn(fixture, fd);

        cr_assert_leq(more, FRAMES_PER_TURN_MAX);
        count += more;
    }
    cr_assert_eq(count, FRAMES);
}

static uint32_t first_turn(struct fixture *fixture, int fd)
{
    uint64_t until_ms = clock_now_ms() + WAIT_MS_MAX;
    uint32_t count = 0;

    while (count == 0 && clock_now_ms() < until_ms) {
        count = turn(fixture, fd);
    }
    cr_assert_gt(count, 0);
    cr_assert_leq(count, FRAMES_PER_TURN_MAX);
    return count;
}

Test(doors_limits, a_flood_of_small_frames_does_not_keep_the_loop_from_others)
{
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static struct visit visits[2];
    int inside[2];
    uint32_t count;
    char byte;

    for (int i = 0; i < 2; i++) {
        cr_assert(visit_enters(fixture, &visits[i]));
        inside[i] = accept_inside(fixture);
    }
    for (int round = 0; round < 3; round++) {
        say_many(&visits[0], RELAY_DATAGRAM, "");
        visit_send(&visits[1], RELAY_DATAGRAM, "beside");
        count = first_turn(fixture, inside[0]);
        count += turn(fixture, inside[0]);
        cr_assert_leq(count, 2 * FRAMES_PER_TURN_MAX);
        cr_assert_eq(recv(inside[1], &byte, 1, MSG_DONTWAIT), 1, "its turn has come");
        must_come_in_turns(fixture, inside[0], count);
    }
    for (int i = 0; i < 2; i++) {
        close(inside[i]);
        close(visits[i].fd);
    }
    fixture_free(fixture);
}

Test(doors_limits, what_waits_for_its_turn_comes_before_the_end)
{
    static const enum sandbox_protocol protocols[] = {SANDBOX_MEMBERS, SANDBOX_MEMBERS_UDP};
    static struct visit visit;
    char byte;

    for (size_t i = 0; i < 2; i++) {
        struct fixture *fixture = fixture_new_of(protocols[i]);
        bool is_udp = sandbox_is_udp(protocols[i]);
        uint32_t count;
        int inside;

        cr_assert(visit_enters(fixture, &visit));
        inside = accept_inside(fixture);
        say_many(&visit, is_udp ? RELAY_DATAGRAM : RELAY_DATA, is_udp ? "" : "x");
        if (!is_udp) {
            visit_send(&visit, RELAY_END, "");
        }
        count = first_turn(fixture, inside);
        close(visit.fd);
        must_come_in_turns(fixture, inside, count);
        for (int j = 0; j < 100 && recv(inside, &byte, 1, MSG_DONTWAIT) != 0; j++) {
            uv_run(&fixture->loop, UV_RUN_NOWAIT);
        }
        cr_assert_eq(recv(inside, &byte, 1, MSG_DONTWAIT), 0, "it has heard of the end");
        close(inside);
        fixture_free(fixture);
    }
}

Test(doors_limits, who_is_cut_while_frames_wait_is_gone)
{
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static struct visit visit;
    int inside;

    cr_assert(visit_enters(fixture, &visit));
    inside = accept_inside(fixture);
    say_many(&visit, RELAY_DATAGRAM, "");
    cr_assert_gt(first_turn(fixture, inside), 0);
    close(inside);
    close(visit.fd);
    fixture_free(fixture); /* with the pipe in its pause */
}

/* Nothing inside slows down who sends datagrams, not even those that are lost: the door does. */
Test(doors_limits, flows_have_a_part_of_the_loop_only)
{
    enum { SENT = 80000, EMPTY_BYTES = 2 + 1 + RELAY_TAG_BYTES };
    const uint64_t least_ms =
        (uint64_t)SENT * PIPE_PACKET_COST_BYTES * 1000 / PACE_BYTES_PER_S - PACE_BURST_MS;
    struct fixture *fixture = fixture_new_of(SANDBOX_MEMBERS_UDP);
    static uint8_t frames[SENT * EMPTY_BYTES + RELAY_FRAME_BYTES_MAX];
    static struct visit visit;
    uint64_t at_ms;
    size_t length = 0;
    int inside;

    cr_assert(visit_enters(fixture, &visit));
    inside = accept_inside(fixture);
    for (int i = 0; i < SENT; i++) {
        length += relay_seal_frame(&visit.seal, RELAY_DATAGRAM, (struct bytes){0}, frames + length);
    }
    at_ms = clock_now_ms();
    for (size_t said = 0; said < length;) {
        ssize_t more = send(visit.fd, frames + said, length - said, MSG_DONTWAIT | MSG_NOSIGNAL);

        cr_assert(more > 0 || errno == EAGAIN);
        said += more > 0 ? (size_t)more : 0;
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
        cr_assert_lt(clock_now_ms() - at_ms, WAIT_MS_MAX);
    }
    visit_send(&visit, RELAY_DATA, "what cuts it, when all before is taken");
    cr_assert(!visit_hears(fixture, &visit));
    cr_assert_geq(clock_now_ms() - at_ms, least_ms * 9 / 10);
    close(inside);
    close(visit.fd);
    fixture_free(fixture);
}
