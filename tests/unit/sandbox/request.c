// SPDX-License-Identifier: GPL-3.0-or-later
#include "sandbox/request.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/attributes.h"

static struct sandbox_spec small_spec(void)
{
    struct sandbox_spec spec = {
        .key = {.service = {{{1, 2, 3}}}, .slot = 2, .incarnation = 9},
        .tree = {{{4, 5}}},
        .argument_count = 1,
        .arguments = "/bin/true",
        .workdir = "/",
        .user = 65534,
        .limits = {100, 1 << 24, 1 << 24, 16},
        .port_count = 1,
        .ports = {{8080, 31000}},
        .stop_signal = SIGTERM,
        .logs_bytes = 65536,
        .hostname = "wiki-2",
    };

    return spec;
}

static int encode(const struct helper_request *request, uint8_t *bytes_out)
{
    return helper_request_encode(request, bytes_out, HELPER_MESSAGE_BYTES_MAX);
}

Test(request, every_kind_comes_back_as_it_was_sent)
{
    for (int kind = REQUEST_HELLO; kind < REQUEST_KIND_COUNT; kind++) {
        struct helper_request request = {.kind = (enum helper_request_kind)kind,
                                         .version = 7,
                                         .spec = small_spec(),
                                         .offset = 1ULL << 40,
                                         .bytes_max = LOGS_WINDOW_BYTES_MAX,
                                         .allowance = {1 << 20, 1ULL << 41, 7, UINT64_MAX}};
        struct helper_request back;
        uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
        uint8_t again[HELPER_MESSAGE_BYTES_MAX];
        int length_bytes = encode(&request, bytes);

        cr_assert_gt(length_bytes, 0);
        cr_assert_eq(helper_request_decode((struct bytes){bytes, (size_t)length_bytes}, &back), 0);
        cr_assert_eq(back.kind, request.kind);
        if (kind != REQUEST_HELLO && kind != REQUEST_LIST && kind != REQUEST_ALLOW &&
            kind != REQUEST_PROGRAMS) {
            cr_assert(replica_key_equal(&back.spec.key, &request.spec.key));
        }
        if (kind == REQUEST_ALLOW) {
            cr_assert_eq(back.allowance.cpu_permille, 1 << 20);
            cr_assert_eq(back.allowance.memory_bytes, 1ULL << 41);
            cr_assert_eq(back.allowance.upload_bytes_per_s, 7);
            cr_assert_eq(back.allowance.download_bytes_per_s, UINT64_MAX);
        }
        cr_assert_eq(encode(&back, again), length_bytes);
        cr_assert_eq(memcmp(bytes, again, (size_t)length_bytes), 0);
    }
}

Test(request, every_shorter_or_longer_message_is_refused)
{
    for (int kind = REQUEST_HELLO; kind < REQUEST_KIND_COUNT; kind++) {
        struct helper_request request = {.kind = (enum helper_request_kind)kind,
                                         .spec = small_spec()};
        struct helper_request back;
        uint8_t bytes[HELPER_MESSAGE_BYTES_MAX + 1] = {0};
        int length_bytes = encode(&request, bytes);

        for (int cut = 0; cut < length_bytes; cut++) {
            cr_assert_eq(helper_request_decode((struct bytes){bytes, (size_t)cut}, &back),
                         -EBADMSG);
        }
        bytes[length_bytes] = 0;
        cr_assert_eq(helper_request_decode((struct bytes){bytes, (size_t)length_bytes + 1}, &back),
                     -EBADMSG);
    }
}

Test(request, an_unknown_kind_is_refused)
{
    struct helper_request back;
    const uint8_t kinds[] = {0, REQUEST_KIND_COUNT, 255};

    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        cr_assert_eq(helper_request_decode((struct bytes){&kinds[i], 1}, &back), -EBADMSG);
    }
}

Test(request, a_window_of_logs_larger_than_an_answer_is_refused)
{
    struct helper_request request = {.kind = REQUEST_LOGS, .bytes_max = LOGS_WINDOW_BYTES_MAX + 1};
    struct helper_request back;
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    int length_bytes = encode(&request, bytes);

    cr_assert_eq(helper_request_decode((struct bytes){bytes, (size_t)length_bytes}, &back),
                 -EBADMSG);
}

Test(request, a_spec_with_something_wrong_is_not_even_sent)
{
    struct helper_request request = {.kind = REQUEST_START, .spec = small_spec()};
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];

    request.spec.user = 65535;
    cr_assert_eq(encode(&request, bytes), -EMSGSIZE);
}

Test(request, an_event_comes_back_as_it_was_sent)
{
    struct helper_answer answer = {
        .kind = ANSWER_EVENT,
        .event = {.kind = SANDBOX_LISTED,
                  .key = {.service = {{{9}}}, .slot = 1, .incarnation = 3},
                  .end = SANDBOX_END_LOST,
                  .status = -5,
                  .healthy = 1,
                  .reason = "out of memory: limit 128M",
                  .used = {1, 2, 3, 4},
                  .limits = {5, 6, 7, 8},
                  .tree = {{{8}}},
                  .port_count = PORTS_PER_SERVICE_MAX,
                  .ports = {{1, 2, SANDBOX_TCP}, {3, 4, SANDBOX_UDP}},
                  .age_ms = 77,
                  .activity = {.connection_count = 78,
                               .refused_count = 79,
                               .io_read_bytes = 80,
                               .io_written_bytes = 81,
                               .sent_bytes = 82,
                               .received_bytes = 83,
                               .receive_waits = true,
                               .egress = SANDBOX_EGRESS_LOST}},
    };
    static struct helper_answer back;
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    int length_bytes = helper_answer_encode(&answer, bytes, sizeof(bytes));

    cr_assert_gt(length_bytes, 0);
    cr_assert_eq(helper_answer_decode((struct bytes){bytes, (size_t)length_bytes}, &back), 0);
    cr_assert_eq(back.event.kind, SANDBOX_LISTED);
    cr_assert_eq(back.event.end, SANDBOX_END_LOST);
    cr_assert_eq(back.event.status, -5);
    cr_assert_eq(back.event.healthy, 1);
    cr_assert_str_eq(back.event.reason, answer.event.reason);
    cr_assert_eq(memcmp(&back.event.used, &answer.event.used, sizeof(answer.event.used)), 0);
    cr_assert_eq(memcmp(&back.event.limits, &answer.event.limits, sizeof(answer.event.limits)), 0);
    cr_assert_eq(memcmp(back.event.ports, answer.event.ports, sizeof(answer.event.ports)), 0);
    cr_assert_eq(back.event.age_ms, 77);
    cr_assert_eq(back.event.activity.connection_count, 78);
    cr_assert_eq(back.event.activity.refused_count, 79);
    cr_assert_eq(back.event.activity.io_read_bytes, 80);
    cr_assert_eq(back.event.activity.io_written_bytes, 81);
    cr_assert_eq(back.event.activity.sent_bytes, 82);
    cr_assert_eq(back.event.activity.received_bytes, 83);
    cr_assert_not(back.event.activity.send_waits);
    cr_assert(back.event.activity.receive_waits);
    cr_assert_eq(back.event.activity.egress, SANDBOX_EGRESS_LOST);
    for (int cut = 0; cut < length_bytes; cut++) {
        cr_assert_eq(helper_answer_decode((struct bytes){bytes, (size_t)cut}, &back), -EBADMSG);
    }
}

Test(request, an_event_with_more_ports_than_there_can_be_is_refused)
{
    struct helper_answer answer = {.kind = ANSWER_EVENT};
    static struct helper_answer back;
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    int length_bytes = helper_answer_encode(&answer, bytes, sizeof(bytes));

    /* The count is followed by no port here, by the age, six numbers and three bytes. */
    bytes[length_bytes - 60] = PORTS_PER_SERVICE_MAX + 1;
    cr_assert_eq(helper_answer_decode((struct bytes){bytes, (size_t)length_bytes}, &back),
                 -EBADMSG);
}

Test(request, an_event_with_an_egress_that_there_is_not_is_refused)
{
    struct helper_answer answer = {.kind = ANSWER_EVENT};
    static struct helper_answer back;
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    int length_bytes = helper_answer_encode(&answer, bytes, sizeof(bytes));

    bytes[length_bytes - 1] = SANDBOX_EGRESS_LOST;
    cr_assert_eq(helper_answer_decode((struct bytes){bytes, (size_t)length_bytes}, &back), 0);
    bytes[length_bytes - 1] = SANDBOX_EGRESS_LOST + 1;
    cr_assert_eq(helper_answer_decode((struct bytes){bytes, (size_t)length_bytes}, &back),
                 -EBADMSG);
}

Test(request, a_helper_says_why_it_can_start_nothing)
{
    const struct helper_answer answer = {.kind = ANSWER_READY,
                                         .version = HELPER_PROTOCOL_VERSION,
                                         .problem = "no memory controller"};
    static struct helper_answer back;
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    int length_bytes = helper_answer_encode(&answer, bytes, sizeof(bytes));

    cr_assert_eq(helper_answer_decode((struct bytes){bytes, (size_t)length_bytes}, &back), 0);
    cr_assert_str_eq(back.problem, answer.problem);
    cr_assert_eq(helper_answer_decode((struct bytes){bytes, (size_t)length_bytes - 1}, &back),
                 -EBADMSG);
    bytes[4] = HELPER_PROTOCOL_VERSION + 1; /* whatever that says behind its number */
    cr_assert_eq(helper_answer_decode((struct bytes){bytes, (size_t)length_bytes}, &back), 0);
    cr_assert_eq(back.version, HELPER_PROTOCOL_VERSION + 1);
}

Test(request, a_full_window_of_logs_comes_back_as_it_was_sent)
{
    static struct helper_answer answer = {.kind = ANSWER_LOGS};
    static struct helper_answer back;
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];

    answer.logs.offset = 12345;
    answer.logs.length_bytes = LOGS_WINDOW_BYTES_MAX;
    memset(answer.logs.bytes, 'x', sizeof(answer.logs.bytes));
    int length_bytes = helper_answer_encode(&answer, bytes, sizeof(bytes));
    cr_assert_gt(length_bytes, LOGS_WINDOW_BYTES_MAX);
    cr_assert_eq(helper_answer_decode((struct bytes){bytes, (size_t)length_bytes}, &back), 0);
    cr_assert_eq(back.logs.offset, 12345);
    cr_assert_eq(back.logs.length_bytes, LOGS_WINDOW_BYTES_MAX);
    cr_assert_eq(memcmp(back.logs.bytes, answer.logs.bytes, LOGS_WINDOW_BYTES_MAX), 0);
}

Test(request, which_programs_run_comes_back_as_it_was_sent_and_no_more_than_can_be)
{
    static struct helper_answer answer = {.kind = ANSWER_PROGRAMS};
    static struct helper_answer back;
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    int length_bytes;

    answer.programs.count = SANDBOX_PROGRAMS_MAX;
    for (uint32_t i = 0; i < SANDBOX_PROGRAMS_MAX; i++) {
        memset(answer.programs.names[i], 'a', SANDBOX_PROGRAM_CHARS_MAX);
    }
    length_bytes = helper_answer_encode(&answer, bytes, sizeof(bytes));
    cr_assert_gt(length_bytes, 0);
    cr_assert_eq(helper_answer_decode((struct bytes){bytes, (size_t)length_bytes}, &back), 0);
    cr_assert_eq(memcmp(&back.programs, &answer.programs, sizeof(back.programs)), 0);
    bytes[1] = SANDBOX_PROGRAMS_MAX + 1;
    cr_assert_eq(helper_answer_decode((struct bytes){bytes, (size_t)length_bytes}, &back),
                 -EBADMSG);
    bytes[1] = SANDBOX_PROGRAMS_MAX;
    cr_assert_eq(helper_answer_decode((struct bytes){bytes, (size_t)length_bytes - 1}, &back),
                 -EBADMSG);
}
