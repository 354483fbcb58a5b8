// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * minga connect NAME[/REPLICA] [PORT]: connections to a port of this machine go to a replica's.
 *
 * Each connection is a process of its own, which asks the agent afresh where replicas are, and goes
 * on to the next when one does not answer: so it follows them as they move. Of a UDP port each client's
 * flow is such a connection.
 */
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/connect/clients.h"
#include "agent/cli/connect/places.h"
#include "agent/cli/connect/tunnel.h"
#include "agent/cli/resolve.h"
#include "agent/cli/screen/text.h"
#include "agent/cli/signals.h"
#include "base/check.h"
#include "base/cleanup.h"

enum {
    CONNECTIONS_MAX = 64, /* at once; more wait */
    BACKLOG = 16,
    TRY_S_MAX = 5, /* for one connection, from replica to replica */
    PAUSE_MS = 300,
};

struct forward {
    struct session *session;
    const char *text; /* the service or replica, as typed */
    char id[ID_HEX_CHARS + 1];
    struct places_port port;
    struct places_wanted wanted;
    uint64_t number; /* of this forwarder: it stays with one replica */
    struct places places;
    struct tunnel tunnel;
    struct clients *clients; /* of UDP; else NULL */
    int signal_fd;
    uint32_t child_count;
};

/* ------------------------------------------------------------------ one connection */

static int look(struct forward *forward, bool is_first)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    struct problem *problem = &forward->session->problem;
    const json_t *service;
    char path[160];
    int status;

    snprintf(path, sizeof(path), "/v1/services/%s", forward->id);
    status = session_get(forward->session, path, &document);
    if (status != EXIT_DONE) {
        return status;
    }
    service = json_array_get(json_object_get(document, "services"), 0);
    if (is_first) {
        status = places_port(service, &forward->wanted, &forward->port, problem);
        forward->wanted.port_name = forward->port.name;
        forward->wanted.is_udp = forward->port.is_udp;
    }
    if (status != EXIT_DONE) {
        return status;
    }
    places_find(service, &forward->wanted, &forward->places);
    places_order(&forward->places, forward->number);
    if (forward->places.count > 0) {
        return EXIT_DONE;
    }
    status = resolve_slot(service, forward->wanted.slot, forward->text, problem);
    if (status != EXIT_DONE) {
        return status;
    }
    problem_set(problem, EXIT_LATE, forward->text,
                forward->wanted.slot != 0 ? "this replica does not run now, or is not healthy"
                                          : "no healthy replica with this port");
    return problem_advise(problem, "minga status %s says why", forward->wanted.service);
}

static int read_pass(const json_t *document, struct tunnel_pass *pass_out)
{
    pass_out->until = (uint64_t)number_of(document, "until");
    return id_from_hex(text_of(document, "member"), &pass_out->member.id) == 0 &&
                   bytes_from_base64(text_of(document, "secret"), pass_out->secret,
                                     sizeof(pass_out->secret)) == RELAY_SECRET_BYTES
               ? 0
               : -EBADMSG;
}

static int ask_pass(struct forward *forward, const struct place *place,
                    struct tunnel_pass *pass_out)
{
    CLEANUP(cleanup_json) json_t *document = NULL;
    json_t *body = json_pack("{ss ss si ss}", "node", place->node, "service", forward->id, "slot",
                             (int)place->slot, "port_name", forward->port.name);
    int status = session_post(forward->session, "/v1/passes", body, &document);

    if (status != EXIT_DONE) {
        return status;
    }
    return read_pass(document, pass_out) == 0
               ? EXIT_DONE
               : problem_set(&forward->session->problem, EXIT_REFUSED, forward->text,
                             "replica %u: the pass cannot be read", place->slot);
}

/* The pass first: at the door who has not said its name yet is the first to go. */
static int try_place(struct forward *forward, const struct place *place)
{
    struct tunnel_pass pass;
    int status = place->for_members ? ask_pass(forward, place, &pass) : EXIT_DONE;
    int r;

    if (status != EXIT_DONE) {
        return status;
    }
    r = tunnel_dial(&forward->tunnel, place->address, place->port);
    if (r < 0) {
        char at[96];

        print_place(place->address, place->port, at, sizeof(at));
        return problem_set(&forward->session->problem, EXIT_LATE, forward->text, "%s: %s", at,
                           err_text(r));
    }
    if (place->for_members && tunnel_greet(&forward->tunnel, &pass) < 0) {
        tunnel_hang_up(&forward->tunnel);
        return problem_set(&forward->session->problem, EXIT_REFUSED, forward->text,
                           "replica %u does not take the connection", place->slot);
    }
    return EXIT_DONE;
}

/*
 * What was said of replicas may be a moment old: looks again until one takes the connection. An agent
 * that answered a moment ago and does not now has too many of us at once, or is being replaced.
 */
static int reach(struct forward *forward)
{
    time_t until_s = time(NULL) + TRY_S_MAX;
    int status;

    for (;;) {
        status = look(forward, false);
        for (uint32_t i = 0; status == EXIT_DONE && i < forward->places.count; i++) {
            if (!tunnel_is_wanted(&forward->tunnel, 0)) {
                return EXIT_LATE;
            }
            status = try_place(forward, &forward->places.list[i]);
            if (status == EXIT_DONE) {
                return EXIT_DONE;
            }
            if (i + 1 < forward->places.count && status != EXIT_NO_AGENT) {
                status = EXIT_DONE;
            }
        }
        if (status == EXIT_NOT_FOUND || time(NULL) >= until_s) {
            return status;
        }
        if (!tunnel_is_wanted(&forward->tunnel, PAUSE_MS)) {
            return EXIT_LATE;
        }
    }
}

static int serve(struct forward *forward, int from_fd, int to_fd)
{
    int status;
    int r;

    if (forward->port.is_udp) {
        tunnel_init_packets(&forward->tunnel, from_fd);
    } else {
        tunnel_init(&forward->tunnel, from_fd, to_fd);
    }
    status = reach(forward);
    if (status != EXIT_DONE) { /* which concerns nobody, of a flow that was given up meanwhile */
        return tunnel_is_wanted(&forward->tunnel, 0) ? status : EXIT_DONE;
    }
    session_done(forward->session); /* the agent has few places, and others want one */
    r = tunnel_run(&forward->tunnel);
    tunnel_hang_up(&forward->tunnel);
    if (r == 0 || forward->port.is_udp) { /* the next datagram begins another flow */
        return EXIT_DONE;
    }
    return problem_set(&forward->session->problem, EXIT_REFUSED, forward->text,
                       "the connection was cut: %s", err_text(r));
}

/* ------------------------------------------------------------------ many */

/* In the child. Whoever has connected is to see that it was not the service that hung up. */
static void reset(int fd)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static _Noreturn void be_child(struct forward *forward, int fd, pid_t parent)
{
    sigset_t none;
    int status;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent) {
        _exit(EXIT_REFUSED);
    }
    forward->session->curl = NULL; /* the parent's connection to the agent */
    status = serve(forward, fd, fd);
    if (status != EXIT_DONE) {
        problem_print(&forward->session->problem, false, stderr);
        reset(fd);
    }
    _exit(status);
}

/* A process that serves `fd`, and does not have `ours` nor what else is the parent's. Returns 0 or
 * -errno. */
static int fork_child(struct forward *forward, int fd, int ours)
{
    pid_t parent = getpid();
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child < 0) {
        return -errno;
    }
    if (child > 0) {
        forward->child_count++;
        return 0;
    }
    close(ours);
    close(forward->signal_fd);
    if (forward->clients != NULL) {
        clients_leave(forward->clients);
    }
    be_child(forward, fd, parent);
}

/* False: a signal says that it is enough. */
static bool take_signals(struct forward *forward)
{
    struct signalfd_siginfo signal;

    if (read(forward->signal_fd, &signal, sizeof(signal)) > 0 && signal.ssi_signo != SIGCHLD) {
        return false;
    }
    while (forward->child_count > 0 && waitpid(-1, NULL, WNOHANG) > 0) {
        forward->child_count--;
    }
    return true;
}

static void take_connection(struct forward *forward, int listen_fd)
{
    CLEANUP(cleanup_close) int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    int r;

    if (fd < 0) {
        if (errno != EAGAIN && errno != ECONNABORTED) { /* it waits on, and would be told at once */
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
        }
        return;
    }
    r = fork_child(forward, fd, listen_fd);
    if (r < 0) {
        remark("minga: a connection is refused: %s", err_text(r));
        reset(fd);
    }
}

/* Until a signal says that it is enough. Children end with us. */
static int serve_all(struct forward *forward, int listen_fd)
{
    for (;;) {
        bool has_room = forward->child_count < CONNECTIONS_MAX;
        struct pollfd pollers[2] = {{forward->signal_fd, POLLIN, 0},
                                    {has_room ? listen_fd : -1, POLLIN, 0}};

        if (poll(pollers, 2, -1) < 0 && errno != EINTR) {
            return problem_set(&forward->session->problem, EXIT_REFUSED, "poll", "%m");
        }
        if (pollers[0].revents != 0 && !take_signals(forward)) {
            return EXIT_DONE;
        }
        if (pollers[1].revents != 0) {
            take_connection(forward, listen_fd);
        }
    }
}

/* ------------------------------------------------------------------ datagrams */

/* A flow is a connection of its own; its datagrams wait in the socket until that stands. */
static int begin_flow(void *context)
{
    struct forward *forward = context;
    int ends[2];
    int r;

    if (forward->child_count >= CONNECTIONS_MAX) { /* some are on their way to their end */
        return -EAGAIN;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        return -errno;
    }
    r = fork_child(forward, ends[1], ends[0]);
    close(ends[1]);
    if (r < 0) {
        close(ends[0]);
        return r;
    }
    return ends[0];
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int until(uint64_t due_ms)
{
    uint64_t at_ms = now_ms();

    if (due_ms == UINT64_MAX) {
        return -1;
    }
    return due_ms > at_ms ? (int)(due_ms - at_ms) : 0;
}

static int serve_clients(struct forward *forward)
{
    struct pollfd pollers[1 + CLIENTS_POLLERS_MAX];

    for (;;) {
        uint64_t due_ms = clients_tick(forward->clients, now_ms());
        uint32_t count = clients_pollers(forward->clients, pollers + 1);

        pollers[0] = (struct pollfd){forward->signal_fd, POLLIN, 0};
        if (poll(pollers, 1 + count, until(due_ms)) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return problem_set(&forward->session->problem, EXIT_REFUSED, "poll", "%m");
        }
        if (pollers[0].revents != 0 && !take_signals(forward)) {
            return EXIT_DONE;
        }
        clients_turn(forward->clients, pollers + 1, now_ms());
    }
}

static int serve_datagrams(struct forward *forward, int fd)
{
    CLEANUP(cleanup_free) struct clients *clients = calloc(1, sizeof(*clients));
    int status;
    int r = clients == NULL ? -ENOMEM : 0;

    if (r == 0) {
        clients->fd = fd;
        clients->begin = begin_flow;
        clients->context = forward;
        r = clients_init(clients, forward->number);
    }
    if (r < 0) {
        return problem_set(&forward->session->problem, EXIT_REFUSED, "datagrams", "%s",
                           err_text(r));
    }
    forward->clients = clients;
    status = serve_clients(forward);
    forward->clients = NULL;
    clients_done(clients);
    return status;
}

static int hold_signals(struct problem *problem, int *fd_out)
{
    sigset_t signals;

    signals_of_end(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, NULL); /* may come ignored */
    sigprocmask(SIG_BLOCK, &signals, NULL);
    *fd_out = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return *fd_out < 0 ? problem_set(problem, EXIT_REFUSED, "signals", "%m") : EXIT_DONE;
}

/* ------------------------------------------------------------------ listening */

/* Of datagrams SO_REUSEADDR would share the port with whoever else asks for that. */
static int listen_at(const struct addrinfo *at, int *fd_out)
{
    const int on = 1;
    bool is_udp = at->ai_socktype == SOCK_DGRAM;
    CLEANUP(cleanup_close)
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || (!is_udp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
        bind(fd, at->ai_addr, at->ai_addrlen) < 0 || (!is_udp && listen(fd, BACKLOG) < 0)) {
        return -errno;
    }
    *fd_out = take_fd(&fd);
    return 0;
}

static int open_listener(const char *text, bool is_udp, int *fd_out, struct problem *problem)
{
    const struct addrinfo hints = {.ai_socktype = is_udp ? SOCK_DGRAM : SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *list = NULL;
    struct places_listen at;
    char service[8];
    int r;

    if (!places_read_listen(text, &at)) {
        problem_set(problem, EXIT_USAGE, text, "not a place to listen");
        return problem_advise(problem, "for example --listen 8080, or 127.0.0.1:8080");
    }
    snprintf(service, sizeof(service), "%u", at.port);
    if (getaddrinfo(at.host, service, &hints, &list) != 0) {
        problem_set(problem, EXIT_USAGE, at.host, "not an address of this machine");
        return problem_advise(problem, "for example --listen 127.0.0.1:8080");
    }
    r = listen_at(list, fd_out);
    freeaddrinfo(list);
    if (r < 0) {
        problem_set(problem, EXIT_REFUSED, text, "%s", err_text(r));
        return problem_advise(problem, "choose another with --listen, or none");
    }
    return EXIT_DONE;
}

static void say(const struct forward *forward, int listen_fd)
{
    struct sockaddr_storage address = {0};
    socklen_t address_bytes = sizeof(address);
    bool for_members = forward->places.list[0].for_members;
    char host[NI_MAXHOST] = "";
    char port[NI_MAXSERV] = "0";
    char place[NI_MAXHOST + 16];

    (void)getsockname(listen_fd, (struct sockaddr *)&address, &address_bytes);
    (void)getnameinfo((struct sockaddr *)&address, address_bytes, host, sizeof(host), port,
                      sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
    print_place(host, strtoll(port, NULL, 10), place, sizeof(place));
    if (forward->session->json) {
        json_t *line =
            json_pack("{ss ss ss ss ss}", "service", forward->text, "port_name", forward->port.name,
                      "protocol", forward->port.is_udp ? "udp" : "tcp", "visibility",
                      for_members ? "members" : "public", "listen", place);

        print_line(line);
        json_decref(line);
    } else {
        printf("%s\n", place);
        fflush(stdout);
    }
    if (for_members && strcmp(host, "127.0.0.1") != 0 && strcmp(host, "::1") != 0) {
        remark("minga: port %s of %s is for members only; whoever reaches %s gets in now",
               forward->port.name, forward->text, place);
    }
    if (forward->session->progress) {
        remark("minga: %s to it go to %s, port %s; Ctrl-C ends it",
               forward->port.is_udp ? "datagrams (UDP)" : "connections", forward->text,
               forward->port.name);
    }
}

static int listen_and_serve(struct forward *forward, const char *text)
{
    CLEANUP(cleanup_close) int listen_fd = -1;
    CLEANUP(cleanup_close) int signal_fd = -1;
    struct problem *problem = &forward->session->problem;
    bool is_udp = forward->port.is_udp;
    int status = open_listener(text != NULL ? text : "0", is_udp, &listen_fd, problem);

    if (status == EXIT_DONE) {
        status = hold_signals(problem, &signal_fd);
    }
    if (status != EXIT_DONE) {
        return status;
    }
    forward->signal_fd = signal_fd;
    say(forward, listen_fd);
    return is_udp ? serve_datagrams(forward, listen_fd) : serve_all(forward, listen_fd);
}

static int forward(struct forward *forward, const struct arguments *arguments)
{
    const char *listen_text = arguments->options[OPTION_LISTEN];
    bool is_stdio = arguments->options[OPTION_STDIO] != NULL;
    int status = look(forward, true);

    if (status != EXIT_DONE) {
        return status;
    }
    if (is_stdio && forward->port.is_udp) {
        problem_set(&forward->session->problem, EXIT_USAGE, "--stdio",
                    "port %s is one of UDP, whose datagrams have borders", forward->port.name);
        return problem_advise(&forward->session->problem, "without it, or with --listen");
    }
    return is_stdio ? serve(forward, STDIN_FILENO, STDOUT_FILENO)
                    : listen_and_serve(forward, listen_text);
}

int run_connect(struct session *session, const struct arguments *arguments)
{
    const char *port_name = arguments->word_count > 1 ? arguments->words[1] : NULL;
    struct forward *made;
    CLEANUP(cleanup_free)
    char *service = strndup(arguments->words[0], strcspn(arguments->words[0], "/"));
    struct service_name name;
    int status = service_name_parse(arguments->words[0], true, &name, &session->problem);

    if (status == EXIT_DONE && port_name != NULL && !name_is_valid(port_name)) {
        return problem_set(&session->problem, EXIT_USAGE, port_name, "not a port's name");
    }
    if (status == EXIT_DONE && arguments->options[OPTION_STDIO] != NULL &&
        arguments->options[OPTION_LISTEN] != NULL) {
        return problem_set(&session->problem, EXIT_USAGE, "--stdio", "not with --listen");
    }
    if (status != EXIT_DONE) {
        return status;
    }
    made = calloc(1, sizeof(*made));
    if (made == NULL || service == NULL) {
        free(made);
        return problem_set(&session->problem, EXIT_REFUSED, "connect", "no memory");
    }
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    made->session = session;
    made->text = arguments->words[0];
    made->wanted =
        (struct places_wanted){.service = service, .slot = name.slot, .port_name = port_name};
    if (getrandom(&made->number, sizeof(made->number), 0) < 0) {
        made->number = (uint64_t)getpid();
    }
    status = resolve_service(session, &name, made->id);
    if (status == EXIT_DONE) {
        status = forward(made, arguments);
    }
    free(made);
    return status;
}
