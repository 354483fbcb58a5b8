// SPDX-License-Identifier: GPL-3.0-or-later
/* minga try DIR|BUNDLE|- [--port P]: one replica in its sandbox, without a community */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/screen/text.h"
#include "agent/cli/signals.h"
#include "agent/cli/trial/trial.h"
#include "agent/executor/spec.h"
#include "agent/mingad/replicas/ports.h"
#include "base/cleanup.h"
#include "base/units.h"
#include "sandbox/client.h"

#define TRY_HOST "127.0.0.1" /* what is only tried is nobody else's business */

enum {
    LOOK_MS = 50, /* between two looks at the output */
    TRY_SLOT = 1,
};

struct
try {
    struct session *session;
    struct trial trial;
    struct manifest manifest;
    struct sandbox_spec spec;
    struct ports ports;
    struct sandbox_client client;
    struct helper_answer answer;
    int signal_fd;
    uint32_t stop_count; /* Ctrl-C so often */
    uint64_t renew_ms;   /* when the replica is renewed next */
    uint64_t look_ms;    /* when its output is looked at next */
    uint64_t logs_offset;
    bool logs_asked;
    bool logs_over; /* it has ended, and all it printed has been shown */
    bool has_ended;
    struct sandbox_event end;
};

static uint64_t now_ms(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ ports */

/* One that is free at this moment; 0: none. */
static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof(address);
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &address_bytes) < 0) {
        return 0;
    }
    return ntohs(address.sin_port);
}

/* `asked`: of the first port, 0 when it does not matter. */
static int bind_ports(struct try *try, uint16_t asked)
{
    struct problem *problem = &try->session->problem;
    struct sandbox_spec *spec = &try->spec;
    const struct ports_where where = {TRY_HOST, -1};
    uint16_t refused = 0;

    for (uint32_t i = 0; i < spec->port_count; i++) {
        spec->ports[i].host_port = spec->ports[i].container_port;
        /* There is no community, and TRY_HOST is ours. */
        spec->ports[i].protocol =
            sandbox_is_udp(spec->ports[i].protocol) ? SANDBOX_UDP : SANDBOX_TCP;
    }
    if (asked != 0) {
        spec->ports[0].host_port = asked;
    }
    for (uint32_t tries = 0; tries <= 2 * PORTS_PER_SERVICE_MAX; tries++) {
        int r = ports_bind(spec, &where, &try->ports, &refused);
        char what[32];

        if (r == 0) {
            return EXIT_DONE;
        }
        snprintf(what, sizeof(what), "port %u", refused);
        if (refused == asked) {
            problem_set(problem, EXIT_REFUSED, what, "%s", err_text(r));
            return problem_advise(problem, "choose another with --port, or none");
        }
        for (uint32_t i = 0; i < spec->port_count; i++) {
            if (spec->ports[i].host_port == refused) {
                spec->ports[i].host_port = free_port();
            }
        }
    }
    return problem_set(problem, EXIT_REFUSED, "ports", "none is free on " TRY_HOST);
}

static int take_port(struct session *session, const char *text, uint16_t *port_out)
{
    uint64_t number = 0;

    *port_out = 0;
    if (text == NULL) {
        return EXIT_DONE;
    }
    if (units_parse_number(text, &number) < 0 || number == 0 || number > UINT16_MAX) {
        problem_set(&session->problem, EXIT_USAGE, "--port", "%s is no port", text);
        return problem_advise(&session->problem, "ports are 1 to 65535");
    }
    *port_out = (uint16_t)number;
    return EXIT_DONE;
}

static int make_spec(struct try *try, const struct tree_id *tree, uint16_t port)
{
    struct problem *problem = &try->session->problem;

    if (port != 0 && try->manifest.port_count == 0) {
        return problem_set(problem, EXIT_USAGE, "--port", "%s publishes no port",
                           try->manifest.name);
    }
    spec_of_manifest(&try->manifest, TRY_SLOT, &try->spec);
    try->spec.key.slot = TRY_SLOT;
    try->spec.key.incarnation = 1;
    try->spec.tree = *tree;
    return bind_ports(try, port);
}

/* ------------------------------------------------------------------ what it says */

static void say(const struct try *try, const char *state, const char *reason)
{
    json_t *line;

    if (!try->session->json) {
        remark("minga: %s%s%s", state, reason[0] != '\0' ? ": " : "", reason);
        return;
    }
    line = json_pack("{ss ss ss}", "replica", try->manifest.name, "state", state, "reason", reason);
    print_line(line);
    json_decref(line);
}

static void say_started(const struct try *try)
{
    say(try, "running", "");
    for (uint32_t i = 0; i < try->spec.port_count; i++) {
        uint16_t port = try->spec.ports[i].host_port;

        if (!try->session->json) {
            bool is_udp = try->spec.ports[i].protocol == SANDBOX_UDP;

            remark("minga: port %s: %s" TRY_HOST ":%u%s", try->manifest.ports[i].name,
                   is_udp ? "udp://" : "http://", port, is_udp ? "" : "/");
            continue;
        }
        json_t *line = json_pack("{ss ss si}", "port", try->manifest.ports[i].name, "address",
                                 TRY_HOST, "host_port", (int)port);

        print_line(line);
        json_decref(line);
    }
    if (!try->session->json && try->session->progress) {
        remark("minga: Ctrl-C ends it");
    }
}

static void show_logs(struct try *try, struct sandbox_logs *logs)
{
    char *text = (char *)logs->bytes;

    try->logs_asked = false;
    if (logs->length_bytes == 0) {
        try->logs_over = try->has_ended;
        return;
    }
    try->logs_offset = logs->offset + logs->length_bytes;
    try->look_ms = 0; /* there may be more */
    if (try->session->json || try->session->interactive_output) {
        text_clean_output(text, logs->length_bytes);
    }
    if (try->session->json) {
        json_t *line = json_pack("{ss sI ss#}", "replica", try->manifest.name, "offset",
                                 (json_int_t)logs->offset, "text", text, (int)logs->length_bytes);

        print_line(line);
        json_decref(line);
        return;
    }
    fwrite(text, 1, logs->length_bytes, stdout);
    fflush(stdout);
}

static void take_event(struct try *try, const struct sandbox_event *event)
{
    if (event->kind == SANDBOX_STARTED) {
        say_started(try);
    } else if (event->kind == SANDBOX_HEALTH && try->manifest.has_health) {
        say(try, event->healthy != 0 ? "healthy" : "failing", "");
    } else if (event->kind == SANDBOX_ENDED) {
        try->has_ended = true;
        try->end = *event;
        try->look_ms = 0;
    }
}

/* ------------------------------------------------------------------ the loop */

/* Returns false when there is nothing more to do. */
static bool take_signal(struct try *try)
{
    struct signalfd_siginfo info;

    if (read(try->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
        return true;
    }
    try->stop_count++;
    if (try->stop_count > 1) {
        say(try, "killed", "");
        return false; /* the guard ends the helper, and with it everything */
    }
    say(try, "stopping", try->session->progress ? "Ctrl-C again kills it" : "");
    (void)sandbox_client_stop(&try->client, &try->spec.key);
    return true;
}

static int take_answers(struct try *try)
{
    int r = sandbox_client_flush(&try->client);

    while (r >= 0 && (r = sandbox_client_receive(&try->client, &try->answer)) > 0) {
        if (try->answer.kind == ANSWER_EVENT) {
            take_event(try, &try->answer.event);
        } else if (try->answer.kind == ANSWER_LOGS) {
            show_logs(try, &try->answer.logs);
        }
    }
    return r < 0 ? trial_helper_failed(try->session, &try->trial) : EXIT_DONE;
}

static void ask(struct try *try)
{
    uint64_t present_ms = now_ms();

    if (present_ms >= try->renew_ms && !try->has_ended) {
        try->renew_ms = present_ms + RENEW_MS;
        (void)sandbox_client_renew(&try->client, &try->spec.key);
    }
    if (present_ms >= try->look_ms && !try->logs_asked) {
        try->look_ms = present_ms + LOOK_MS;
        try->logs_asked = sandbox_client_logs(&try->client, &try->spec.key, try->logs_offset,
                                              LOGS_WINDOW_BYTES_MAX) == 0;
    }
}

/* Until it has ended and everything is shown, or Ctrl-C came twice. */
static int watch(struct try *try)
{
    while (!try->logs_over && ferror(stdout) == 0) {
        struct pollfd polled[2] = {{try->signal_fd, POLLIN, 0},
                                   {sandbox_client_fd(&try->client), POLLIN, 0}};
        int status;

        ask(try);
        if (poll(polled, 2, LOOK_MS) < 0 && errno != EINTR) {
            return problem_set(&try->session->problem, EXIT_REFUSED, "try", "%m");
        }
        if (polled[0].revents != 0 && !take_signal(try)) {
            return EXIT_DONE;
        }
        status = take_answers(try);
        if (status != EXIT_DONE) {
            return status;
        }
    }
    return EXIT_DONE;
}

/* How it ended decides how we end. */
static int judge(struct try *try)
{
    const struct sandbox_event *end = &try->end;
    struct problem *problem = &try->session->problem;
    const char *name = try->manifest.name;

    if (!try->has_ended) {
        return EXIT_DONE;
    }
    switch (end->end) {
    case SANDBOX_END_STOPPED:
        say(try, "stopped", strcmp(end->reason, "stopped") == 0 ? "" : end->reason);
        return EXIT_DONE;
    case SANDBOX_END_EXITED:
        if (end->status == 0) {
            say(try, "ended", "exit status 0");
            return EXIT_DONE;
        }
        return problem_set(problem, EXIT_REFUSED, name, "exit status %d", end->status);
    case SANDBOX_END_SIGNALLED:
        return problem_set(problem, EXIT_REFUSED, name, "ended by signal %d", end->status);
    case SANDBOX_END_OUT_OF_MEMORY:
        problem_set(problem, EXIT_REFUSED, name, "%s", end->reason);
        return problem_advise(problem, "resources.memory in service.yaml says how much");
    case SANDBOX_END_REFUSED:
        return problem_set(problem, EXIT_REFUSED, name, "cannot be started: %s", end->reason);
    case SANDBOX_END_LOST:
        break;
    }
    return problem_set(problem, EXIT_REFUSED, name, "%s", end->reason);
}

/* ------------------------------------------------------------------ all of it */

static int open_signals(struct try *try)
{
    sigset_t signals;

    signals_of_end(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    try->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return try->signal_fd < 0 ? problem_set(&try->session->problem, EXIT_REFUSED, "try", "%m")
                              : EXIT_DONE;
}

static int start(struct try *try)
{
    int status = trial_start_helper(try->session, &try->trial, &try->spec);
    int r;

    if (status == EXIT_DONE) {
        status = trial_connect(try->session, &try->trial, &try->client);
    }
    if (status == EXIT_DONE) {
        status = open_signals(try);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    r = sandbox_client_start(&try->client, &try->spec, try->ports.fds);
    ports_close(&try->ports);
    try->renew_ms = now_ms() + RENEW_MS;
    return r < 0 ? trial_helper_failed(try->session, &try->trial) : EXIT_DONE;
}

static int run(struct try *try, const char *name, int fd, uint16_t port)
{
    struct tree_id tree;
    int status = trial_open(try->session, &try->trial);

    if (status == EXIT_DONE) {
        status = trial_make_tree(try->session, &try->trial, name, fd, &try->manifest, &tree);
    }
    if (status == EXIT_DONE) {
        status = make_spec(try, &tree, port);
    }
    if (status == EXIT_DONE) {
        status = start(try);
    }
    if (status == EXIT_DONE) {
        status = watch(try);
    }
    return status == EXIT_DONE ? judge(try) : status;
}

int run_try(struct session *session, const struct arguments *arguments)
{
    static struct try try; /* too large for the stack */
    const char *name = arguments->words[0];
    bool is_input = strcmp(name, "-") == 0;
    CLEANUP(cleanup_close) int fd = -1;
    struct stat state;
    uint16_t port;
    int status = take_port(session, arguments->options[OPTION_PORT], &port);

    if (status != EXIT_DONE) {
        return status;
    }
    fd = is_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                  : open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &state) < 0) {
        return problem_set(&session->problem, errno == ENOENT ? EXIT_NOT_FOUND : EXIT_REFUSED, name,
                           "%m");
    }
    if (!is_input && !S_ISDIR(state.st_mode) && !S_ISREG(state.st_mode)) {
        problem_set(&session->problem, EXIT_REFUSED, name, "neither a file nor a folder");
        return problem_advise(&session->problem, "pipe it: minga try - < %s", name);
    }
    try.session = session;
    try.signal_fd = -1;
    trial_init(&try.trial);
    sandbox_client_init(&try.client);
    status = run(&try, is_input ? "standard input" : name, fd, port);
    ports_close(&try.ports);
    sandbox_client_done(&try.client);
    trial_close(&try.trial);
    cleanup_close(&try.signal_fd);
    return status;
}
