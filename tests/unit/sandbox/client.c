// SPDX-License-Identifier: GPL-3.0-or-later
/* The client against a helper that is played by the test. */
#include "sandbox/client.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct fake {
    char folder[32];
    char path[64];
    int listen_fd;
    int fd;
    struct sandbox_client client;
};

static struct fake *fake_new(void)
{
    struct fake *fake = calloc(1, sizeof(*fake));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct err err = {0};

    strcpy(fake->folder, "/tmp/minga-client-XXXXXX");
    cr_assert_not_null(mkdtemp(fake->folder));
    snprintf(fake->path, sizeof(fake->path), "%s/socket", fake->folder);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", fake->path);
    fake->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fake->listen_fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(fake->listen_fd, 1), 0);
    sandbox_client_init(&fake->client);
    cr_assert_eq(sandbox_client_connect(&fake->client, fake->path, &err), 0, "%s", err.text);
    fake->fd = accept(fake->listen_fd, NULL, NULL);
    cr_assert_geq(fake->fd, 0);
    return fake;
}

static void fake_free(struct fake *fake)
{
    sandbox_client_done(&fake->client);
    close(fake->fd);
    close(fake->listen_fd);
    unlink(fake->path);
    rmdir(fake->folder);
    free(fake);
}

/* Receives one request, and at most one descriptor (-1: none). */
static struct helper_request next_request(struct fake *fake, int *fd_out)
{
    static uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec vector = {bytes, sizeof(bytes)};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    struct helper_request request;
    ssize_t count_bytes = recvmsg(fake->fd, &message, MSG_DONTWAIT);

    cr_assert_gt(count_bytes, 0);
    cr_assert_eq(helper_request_decode((struct bytes){bytes, (size_t)count_bytes}, &request), 0);
    *fd_out = -1;
    if (CMSG_FIRSTHDR(&message) != NULL) {
        memcpy(fd_out, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    }
    return request;
}

static void say(struct fake *fake, const struct helper_answer *answer)
{
    static uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    int length_bytes = helper_answer_encode(answer, bytes, sizeof(bytes));

    cr_assert_gt(length_bytes, 0);
    cr_assert_eq(send(fake->fd, bytes, (size_t)length_bytes, 0), length_bytes);
}

enum { SAID_FDS_MAX = 2 };

static void say_with_all(struct fake *fake, const struct helper_answer *answer, const int *fds,
                         size_t count)
{
    uint8_t bytes[HELPER_MESSAGE_BYTES_MAX];
    int length_bytes = helper_answer_encode(answer, bytes, sizeof(bytes));
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * SAID_FDS_MAX)] = {0};
    struct iovec vector = {bytes, (size_t)length_bytes};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
    cr_assert_eq(sendmsg(fake->fd, &message, 0), length_bytes);
}

static void say_with(struct fake *fake, const struct helper_answer *answer, int fd)
{
    say_with_all(fake, answer, &fd, 1);
}

static struct sandbox_spec small_spec(void)
{
    struct sandbox_spec spec = {
        .key = {.service = {{{1}}}, .slot = 1, .incarnation = 1},
        .argument_count = 1,
        .arguments = "/bin/true",
        .workdir = "/",
        .limits = {100, 1 << 24, 1 << 24, 16},
        .port_count = 1,
        .ports = {{8080, 31000}},
        .stop_signal = SIGTERM,
        .logs_bytes = 65536,
        .hostname = "wiki-1",
    };

    return spec;
}

Test(client, hello_comes_first)
{
    struct fake *fake = fake_new();
    int fd;
    struct helper_request request = next_request(fake, &fd);

    cr_assert_eq(request.kind, REQUEST_HELLO);
    cr_assert_eq(request.version, HELPER_PROTOCOL_VERSION);
    fake_free(fake);
}

Test(client, a_start_carries_the_very_socket_that_was_given)
{
    struct fake *fake = fake_new();
    struct sandbox_spec spec = small_spec();
    int given_fd = socket(AF_INET, SOCK_STREAM, 0);
    struct stat given;
    struct stat got;
    int fd;

    next_request(fake, &fd);
    cr_assert_eq(fstat(given_fd, &given), 0);
    cr_assert_eq(sandbox_client_start(&fake->client, &spec, &given_fd), 0);
    close(given_fd); /* the caller's to close at once */
    struct helper_request request = next_request(fake, &fd);
    cr_assert_eq(request.kind, REQUEST_START);
    cr_assert_str_eq(request.spec.arguments, "/bin/true");
    cr_assert_eq(fstat(fd, &got), 0);
    cr_assert_eq(got.st_ino, given.st_ino);
    close(fd);
    fake_free(fake);
}

Test(client, an_impossible_spec_is_not_sent)
{
    struct fake *fake = fake_new();
    struct sandbox_spec spec = small_spec();

    spec.port_count = 0;
    spec.limits.memory_bytes = 0;
    cr_assert_eq(sandbox_client_start(&fake->client, &spec, NULL), -EINVAL);
    cr_assert_not(sandbox_client_wants_write(&fake->client));
    fake_free(fake);
}

Test(client, a_full_queue_refuses_and_nothing_is_lost_or_reordered)
{
    struct fake *fake = fake_new();
    struct replica_key key = {.slot = 1};
    uint64_t sent = 0;
    int fd;

    next_request(fake, &fd);
    for (;;) {
        key.incarnation = sent;
        int r = sandbox_client_renew(&fake->client, &key);

        if (r == -ENOBUFS) {
            break;
        }
        cr_assert_eq(r, 0);
        sent++;
    }
    cr_assert_gt(sent, SANDBOX_CLIENT_QUEUE_MAX - 1);
    cr_assert(sandbox_client_wants_write(&fake->client));
    for (uint64_t i = 0; i < sent; i++) {
        struct helper_request request = next_request(fake, &fd);

        cr_assert_eq(request.spec.key.incarnation, i);
        cr_assert_eq(sandbox_client_flush(&fake->client), 0);
    }
    cr_assert_not(sandbox_client_wants_write(&fake->client));
    fake_free(fake);
}

Test(client, events_come_one_by_one_then_nothing)
{
    struct fake *fake = fake_new();
    struct helper_answer answer = {.kind = ANSWER_EVENT, .event = {.kind = SANDBOX_ENDED}};
    static struct helper_answer got;

    cr_assert_eq(sandbox_client_receive(&fake->client, &got), 0);
    strcpy(answer.event.reason, "exit status 1");
    say(fake, &answer);
    answer.kind = ANSWER_LIST_END;
    say(fake, &answer);
    cr_assert_eq(sandbox_client_receive(&fake->client, &got), SANDBOX_CLIENT_MESSAGE);
    cr_assert_eq(got.event.kind, SANDBOX_ENDED);
    cr_assert_str_eq(got.event.reason, "exit status 1");
    cr_assert_eq(sandbox_client_receive(&fake->client, &got), SANDBOX_CLIENT_MESSAGE);
    cr_assert_eq(got.kind, ANSWER_LIST_END);
    cr_assert_eq(sandbox_client_receive(&fake->client, &got), 0);
    fake_free(fake);
}

Test(client, nonsense_and_another_version_are_told_apart)
{
    struct fake *fake = fake_new();
    struct helper_answer answer = {.kind = ANSWER_READY, .version = HELPER_PROTOCOL_VERSION + 1};
    static struct helper_answer got;

    cr_assert_eq(send(fake->fd, "nonsense", 8, 0), 8);
    cr_assert_eq(sandbox_client_receive(&fake->client, &got), -EBADMSG);
    say(fake, &answer);
    cr_assert_eq(sandbox_client_receive(&fake->client, &got), -EPROTO);
    fake_free(fake);
}

Test(client, a_way_into_a_sandbox_comes_as_a_descriptor)
{
    struct fake *fake = fake_new();
    struct helper_answer answer = {.kind = ANSWER_EXEC, .exec = {.key = {.slot = 3}}};
    static struct helper_answer got;
    int ends[2];
    int fd = -1;
    char letter = 0;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    say_with(fake, &answer, ends[1]);
    cr_assert_eq(sandbox_client_receive_fd(&fake->client, &got, &fd), SANDBOX_CLIENT_MESSAGE);
    cr_assert(got.kind == ANSWER_EXEC && got.exec.key.slot == 3 && got.exec.reason[0] == '\0');
    cr_assert_geq(fd, 0);
    cr_assert_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(ends[1]);
    cr_assert_eq(write(fd, "x", 1), 1);
    cr_assert_eq(read(ends[0], &letter, 1), 1);
    close(fd);
    /* Who does not ask for it does not keep it. */
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    say_with(fake, &answer, ends[1]);
    close(ends[1]);
    cr_assert_eq(sandbox_client_receive(&fake->client, &got), SANDBOX_CLIENT_MESSAGE);
    cr_assert_eq(read(ends[0], &letter, 1), 0);
    fake_free(fake);
}

Test(client, a_refused_way_has_a_reason_and_no_other_answer_a_descriptor)
{
    struct fake *fake = fake_new();
    struct helper_answer answer = {.kind = ANSWER_EXEC};
    static struct helper_answer got;
    int fd = 5;

    strcpy(answer.exec.reason, "the replica does not run");
    say(fake, &answer);
    cr_assert_eq(sandbox_client_receive_fd(&fake->client, &got, &fd), SANDBOX_CLIENT_MESSAGE);
    cr_assert_str_eq(got.exec.reason, answer.exec.reason);
    cr_assert_eq(fd, -1);
    answer.exec.reason[0] = '\0';
    say(fake, &answer); /* the descriptor was lost on the way */
    cr_assert_eq(sandbox_client_receive_fd(&fake->client, &got, &fd), SANDBOX_CLIENT_MESSAGE);
    cr_assert_neq(got.exec.reason[0], '\0');
    answer = (struct helper_answer){.kind = ANSWER_LIST_END};
    say_with(fake, &answer, STDIN_FILENO);
    cr_assert_eq(sandbox_client_receive_fd(&fake->client, &got, &fd), -EBADMSG);
    cr_assert_eq(fd, -1);
    fake_free(fake);
}

/* Nobody holds the other end of what came any more. */
static bool is_closed_everywhere(int ends[2])
{
    char letter = 0;

    close(ends[1]);
    bool is = recv(ends[0], &letter, 1, MSG_DONTWAIT) == 0;
    close(ends[0]);
    return is;
}

Test(client, two_descriptors_where_one_belongs_are_nonsense_and_stay_with_nobody)
{
    struct fake *fake = fake_new();
    struct helper_answer answer = {.kind = ANSWER_EXEC, .exec = {.key = {.slot = 3}}};
    static struct helper_answer got;
    int first[2];
    int second[2];
    int fd = -1;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, first), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, second), 0);
    say_with_all(fake, &answer, (const int[]){first[1], second[1]}, 2);
    cr_expect_eq(sandbox_client_receive_fd(&fake->client, &got, &fd), -EBADMSG);
    cr_expect_eq(fd, -1);
    cr_expect(is_closed_everywhere(first));
    cr_expect(is_closed_everywhere(second));
    fake_free(fake);
}

static int opened_file(void)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int read_end_of_a_pipe(void)
{
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    close(ends[1]);
    return ends[0];
}

static int udp_socket(void)
{
    return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int tcp_listener(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(listen(fd, 1), 0); /* at a port of the kernel's choice */
    return fd;
}

static int tcp_connection(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof(address);
    int listen_fd = tcp_listener();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(getsockname(listen_fd, (struct sockaddr *)&address, &address_bytes), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(listen_fd);
    return fd;
}

static int unix_listener(void)
{
    const struct sockaddr_un nowhere = {.sun_family = AF_UNIX}; /* a name of the kernel's choice */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(fd, (const struct sockaddr *)&nowhere, sizeof(nowhere.sun_family)), 0);
    cr_assert_eq(listen(fd, 1), 0);
    return fd;
}

static int unix_unconnected(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int unix_packets(void)
{
    int ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    close(ends[0]);
    return ends[1];
}

Test(client, nothing_but_one_end_of_a_stream_is_a_way_into_a_sandbox)
{
    static const struct {
        const char *name;
        int (*make)(void);
    } rows[] = {
        {"a file", opened_file},
        {"a pipe", read_end_of_a_pipe},
        {"a UDP socket", udp_socket},
        {"a listening TCP socket", tcp_listener},
        {"a TCP connection", tcp_connection},
        {"a listening unix socket", unix_listener},
        {"an unconnected unix socket", unix_unconnected},
        {"a socket of packets", unix_packets},
    };
    const struct helper_answer answer = {.kind = ANSWER_EXEC, .exec = {.key = {.slot = 3}}};
    static struct helper_answer got;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake *fake = fake_new();
        int given_fd = rows[i].make();
        int fd = -1;

        cr_assert_geq(given_fd, 0, "%s", rows[i].name);
        say_with(fake, &answer, given_fd);
        cr_expect_eq(sandbox_client_receive_fd(&fake->client, &got, &fd), -EBADMSG, "%s",
                     rows[i].name);
        cr_expect_eq(fd, -1, "%s", rows[i].name);
        close(given_fd);
        fake_free(fake);
    }
}

Test(client, a_dead_helper_is_noticed)
{
    struct fake *fake = fake_new();
    struct replica_key key = {.slot = 1};
    static struct helper_answer got;
    int fd;

    next_request(fake, &fd);
    close(fake->fd);
    fake->fd = -1;
    cr_assert_lt(sandbox_client_receive(&fake->client, &got), 0);
    cr_assert_lt(sandbox_client_stop(&fake->client, &key), 0);
    sandbox_client_done(&fake->client);
    cr_assert_eq(sandbox_client_stop(&fake->client, &key), -ENOTCONN);
    cr_assert_eq(sandbox_client_fd(&fake->client), -1);
    fake_free(fake);
}

Test(client, where_nobody_listens_it_says_so)
{
    struct sandbox_client client;
    struct err err = {0};

    sandbox_client_init(&client);
    cr_assert_eq(sandbox_client_connect(&client, "/tmp/minga-nobody/socket", &err), -ENOENT);
    cr_assert_neq(err.text[0], '\0');
    cr_assert_eq(sandbox_client_fd(&client), -1);
}
