// SPDX-License-Identifier: GPL-3.0-or-later
/* A command on a node that says what it likes: an agent that this test plays, in a child. */
#include "agent/cli/remote.h"

#include <criterion/criterion.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GRACE_S = 15, OUTPUT_BYTES = 200000, SESSION_BYTES = 16 };

/* What its stream holds: bytes of output, and perhaps an end. */
static uint8_t stream[2 * OUTPUT_BYTES];
static size_t stream_bytes;
static bool stream_ended;

static struct session session;
static struct remote_job job;
static struct sink output;
static struct sink errors;
static char folder[] = "/tmp/minga-remote-XXXXXX";
static pid_t agent;

/* ------------------------------------------------------------------ the agent */

static void put_frame(enum exec_frame_kind kind, const void *bytes, size_t length)
{
    exec_frame_header(kind, length, stream + stream_bytes);
    memcpy(stream + stream_bytes + EXEC_FRAME_HEADER_BYTES, bytes, length);
    stream_bytes += EXEC_FRAME_HEADER_BYTES + length;
}

static void reply(int fd, const void *body, size_t length, unsigned long long offset)
{
    char head[256];
    bool ended = stream_ended && offset + length >= stream_bytes;
    int head_length = snprintf(head, sizeof(head),
                               "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nMinga-Offset: %llu\r\n"
                               "Minga-Ended: %d\r\nConnection: close\r\n\r\n",
                               length, offset, ended ? 1 : 0);

    (void)!write(fd, head, (size_t)head_length);
    (void)!write(fd, body, length);
}

/* Nothing is sent with a request here, but with OPEN, whose bytes nobody looks at. */
static void answer(int fd)
{
    static const char nothing[SESSION_BYTES];
    char request[8192] = "";
    ssize_t count = read(fd, request, sizeof(request) - 1);
    unsigned long long offset = 0;
    size_t length;

    if (count > 0 && strstr(request, "what=hello") != NULL) {
        reply(fd, nothing, SESSION_BYTES, 0);
    } else if (count > 0 && strstr(request, "what=read") != NULL) {
        sscanf(strstr(request, "&offset="), "&offset=%llu", &offset);
        length = stream_bytes > offset ? stream_bytes - offset : 0;
        length = length < REMOTE_BODY_BYTES_MAX ? length : REMOTE_BODY_BYTES_MAX;
        usleep(length == 0 ? 100000 : 0);
        reply(fd, stream + offset, length, offset);
    } else if (count > 0) {
        reply(fd, nothing, 0, 0);
    }
    /* What of the request has not been read would be a reset to the client. */
    while (count > 0) {
        count = read(fd, request, sizeof(request));
    }
    close(fd);
}

static void begin_agent(void)
{
    static struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_not_null(mkdtemp(folder));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", folder);
    session.socket_path = address.sun_path;
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(fd, 16), 0);
    agent = fork();
    cr_assert_geq(agent, 0);
    if (agent == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN); /* a client has its whole answer before we have written nothing */
        for (;;) {
            answer(accept(fd, NULL, NULL));
        }
    }
    close(fd);
}

/* ------------------------------------------------------------------ the command */

static uint64_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec;
}

/* Runs it with a time of a millisecond; returns how many seconds it took. */
static uint64_t run(int output_fd)
{
    static const uint8_t seed[KEY_SEED_BYTES] = {1};
    struct secret_key owner;
    struct remote remote = {
        .session = &session, .owner = &owner, .count = 1, .jobs = &job, .parallel = 1};
    uint64_t begin_s = now_s();

    keys_from_seed(seed, &owner);
    begin_agent();
    memset(job.node, 'a', ID_HEX_CHARS);
    job.begin = (struct exec_begin){.time_ms = 1, .word_count = 1, .words = "true"};
    job.input_fd = -1;
    sink_init(&output, output_fd, false);
    sink_init(&errors, -1, false);
    job.output = &output;
    job.errors = &errors;
    cr_assert_eq(remote_run(&remote), EXIT_DONE);
    remote_done(&remote);
    kill(agent, SIGKILL);
    waitpid(agent, NULL, 0);
    unlink(session.socket_path);
    rmdir(folder);
    sink_done(&output);
    sink_done(&errors);
    return now_s() - begin_s;
}

Test(remote, a_node_that_answers_and_never_ends_it_is_given_up, .timeout = 60)
{
    uint64_t took_s = run(-1);

    cr_assert(!job.has_end);
    cr_assert(job.is_late, "%s", job.why);
    cr_assert_str_eq(job.why, "its node does not end it");
    cr_assert_geq(took_s, GRACE_S);
    cr_assert_leq(took_s, GRACE_S + 10);
}

Test(remote, a_reader_that_takes_longer_than_the_commands_time_gets_it_all, .timeout = 60)
{
    static const uint8_t text[4000] = "text";
    struct exec_end end = {.kind = EXEC_EXITED, .status = 3};
    uint8_t encoded[EXEC_FRAME_BYTES_MAX];
    char taken[4096];
    size_t taken_bytes = 0;
    ssize_t count;
    int pipe_fds[2];
    pid_t reader;
    int status;

    while (stream_bytes < OUTPUT_BYTES) {
        put_frame(EXEC_OUTPUT, text, sizeof(text));
    }
    put_frame(EXEC_END, encoded, exec_end_encode(&end, encoded));
    stream_ended = true;
    cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
    reader = fork();
    if (reader == 0) {
        close(pipe_fds[1]);
        sleep(GRACE_S + 3);
        while ((count = read(pipe_fds[0], taken, sizeof(taken))) > 0) {
            taken_bytes += (size_t)count;
        }
        _exit(taken_bytes == 50 * sizeof(text) ? 0 : 1);
    }
    close(pipe_fds[0]);
    fcntl(pipe_fds[1], F_SETFL, O_NONBLOCK);
    cr_assert_geq(run(pipe_fds[1]), GRACE_S + 2, "%s", job.why);
    close(pipe_fds[1]);
    cr_assert(job.has_end, "%s", job.why);
    cr_assert_eq(job.end.status, 3);
    cr_assert_eq(waitpid(reader, &status, 0), reader);
    cr_assert_eq(status, 0);
}
