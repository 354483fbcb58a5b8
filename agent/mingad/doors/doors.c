// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/mingad/doors/doors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/mingad/clock.h"
#include "agent/mingad/doors/pace.h"
#include "agent/mingad/doors/visits.h"
#include "agent/mingad/relays/relay_pipe.h"
#include "agent/mingad/replicas/ports.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/keep_alive.h"
#include "base/log.h"
#include "base/wire.h"

enum {
    BACKLOG = 64,
    GREETING_MAX = 64,
    GREETING_MS_MAX = 5000,
    /* Those let in, those who are not yet, and as many of them who have just been hung up on. */
    PIPES_MAX = DOORS_VISITS_MAX + 2 * GREETING_MAX,
};

struct door {
    uv_tcp_t tcp; /* first */
    struct doors *doors;
    struct door *next;
    struct door_place place;
};

struct missing { /* a door that cannot be opened */
    struct door_place place;
    uint64_t since_ms;
    uint64_t tried_ms; /* 0: none */
};

struct doors {
    struct doors_config config;
    struct pipe_owner owner;
    uv_timer_t timer;
    struct pace pace; /* of flows */
    int folder_fd;
    bool is_closing;
    bool is_ticking;
    uint32_t door_count;
    struct door *doors;
    uint32_t pipe_count;
    struct pipe *pipes; /* the newest first; their context is the door */
    uint64_t refused_count;
    struct door_place places[DOORS_MAX]; /* of a review */
    struct missing missing[DOORS_MAX];
};

static void on_timer(uv_timer_t *timer);

static bool is_same(const struct door_place *a, const struct door_place *b)
{
    return a->host_port == b->host_port && a->is_udp == b->is_udp &&
           a->replica.slot == b->replica.slot && a->replica.incarnation == b->replica.incarnation &&
           id_equal(&a->replica.service.id, &b->replica.service.id);
}

/* ------------------------------------------------------------------ visits */

static struct pipe *add_visit(struct doors *doors, struct door *door)
{
    struct pipe *pipe = doors->pipe_count < PIPES_MAX ? pipe_new(&doors->owner, false) : NULL;

    if (pipe == NULL || uv_tcp_init(doors->config.loop, &pipe->sealed) < 0) {
        free(pipe);
        doors->refused_count++;
        return NULL;
    }
    pipe->sealed.data = pipe;
    pipe->context = door;
    pipe->next = doors->pipes;
    doors->pipes = pipe;
    doors->pipe_count++;
    return pipe;
}

static void on_gone(void *self, struct pipe *pipe)
{
    struct doors *doors = self;
    struct pipe **place = &doors->pipes;

    while (*place != pipe) {
        CHECK(*place != NULL);
        place = &(*place)->next;
    }
    *place = pipe->next;
    doors->pipe_count--;
}

/* Has this member a place, or would one of its own flows give one up? It is counted again when it has
 * shown that it is the member. */
static bool has_place(const struct doors *doors, const struct node_id *member)
{
    return visits_count(doors->pipes, member) < DOORS_VISITS_PER_MEMBER_MAX ||
           visits_may_yield(doors->pipes, member, clock_now_ms());
}

/* What it says first can be checked cheaply: only a member's pass that is not over is made again. */
static bool find_secret(void *self, const struct pipe *pipe, const struct relay_hello *hello,
                        uint8_t secret_out[RELAY_SECRET_BYTES])
{
    struct doors *doors = self;
    const struct door *door = pipe->context;
    struct wire_reader wire = wire_reader((struct bytes){hello->nonce, sizeof(hello->nonce)});
    uint64_t now_ms = clock_now_ms();
    struct pass pass = {.member = hello->leaf,
                        .replica = door->place.replica,
                        .host_port = door->place.host_port,
                        .until_ms = wire_u64(&wire)};

    if (pass.until_ms < now_ms || pass.until_ms - now_ms > PASS_MS ||
        !doors->config.is_welcome(doors->config.context, &pass.member) ||
        !has_place(doors, &pass.member)) {
        doors->refused_count++;
        return false;
    }
    doors->config.secret(doors->config.context, &pass, secret_out);
    return true;
}

static void on_inside(uv_connect_t *connect, int status)
{
    struct pipe *pipe = connect->handle->data;
    const struct door *door;
    uv_stream_t *plain;

    free(connect);
    if (pipe == NULL || pipe->phase != PIPE_IDLE) { /* it has been closed, and the socket with it */
        return;
    }
    if (status < 0) { /* the replica does not run any more, or not yet */
        pipe_close(pipe);
        return;
    }
    door = pipe->context;
    plain = pipe->plain;
    pipe->plain = NULL;
    pipe_pass(pipe, plain, door->place.host_port);
}

/* Of a socket, which it takes, or of none (-errno). NULL: it cannot be had. */
static uv_stream_t *new_plain(struct doors *doors, int socket_fd)
{
    CLEANUP(cleanup_close) int fd = socket_fd;
    uv_pipe_t *plain = fd < 0 ? NULL : calloc(1, sizeof(*plain));

    if (plain == NULL || uv_pipe_init(doors->config.loop, plain, 0) < 0) {
        free(plain);
        return NULL;
    }
    if (uv_pipe_open(plain, fd) < 0) {
        plain_close((uv_stream_t *)plain);
        return NULL;
    }
    (void)take_fd(&fd);
    return (uv_stream_t *)plain;
}

static void let_in_packets(struct doors *doors, struct pipe *pipe)
{
    const struct door_place *place = &((const struct door *)pipe->context)->place;
    int fd = place->is_running ? ports_members_connect(doors->folder_fd, place->host_port) : -1;
    uv_stream_t *plain = new_plain(doors, fd);

    if (plain == NULL) {
        pipe_close(pipe);
        return;
    }
    pipe_pass_packets(pipe, plain, place->host_port);
}

static void let_in(struct doors *doors, struct pipe *pipe)
{
    const struct door *door = pipe->context;
    char path[PORTS_PATH_BYTES];
    uv_connect_t *connect = calloc(1, sizeof(*connect));
    uv_stream_t *plain =
        connect == NULL ? NULL : new_plain(doors, ports_members_socket(SOCK_STREAM));

    if (plain == NULL) {
        free(connect);
        pipe_close(pipe);
        return;
    }
    plain->data = pipe;
    pipe->plain = plain;
    ports_members_path(doors->folder_fd, door->place.host_port, path);
    uv_pipe_connect(connect, (uv_pipe_t *)plain, path, on_inside);
}

/* It is counted by now, and may have greeted when there was room still. */
static bool make_room(struct doors *doors, const struct pipe *newest)
{
    bool has_too_many = visits_count(doors->pipes, &newest->other) > DOORS_VISITS_PER_MEMBER_MAX;
    struct pipe *yields;

    if (!has_too_many && visits_count(doors->pipes, NULL) <= DOORS_VISITS_MAX) {
        return true;
    }
    yields = visits_to_yield(doors->pipes, newest, has_too_many, clock_now_ms());
    if (yields == NULL) {
        return false;
    }
    pipe_close(yields);
    return true;
}

static void on_changed(void *self, struct pipe *pipe)
{
    struct doors *doors = self;

    if (doors->is_closing || pipe->phase != PIPE_IDLE) {
        return;
    }
    if (!make_room(doors, pipe)) {
        doors->refused_count++;
        pipe_close(pipe);
    } else if (((const struct door *)pipe->context)->place.is_udp) {
        let_in_packets(doors, pipe);
    } else {
        let_in(doors, pipe);
    }
}

/* A connection's queue fills when the replica's minga-init holds it to this volunteer's line. */
static bool on_count(void *self, struct pipe *pipe, size_t count_bytes)
{
    struct doors *doors = self;

    return !pipe->has_packets || pace_count(&doors->pace, pipe, count_bytes);
}

/* Between relay and leaf another connection takes over at once, as a flow's does; here a person's is
 * lost with it, who may have walked from one network's edge to the other. */
static void be_patient(const uv_tcp_t *tcp)
{
    static const struct keep_alive patient = {.silence_s = 60, .every_s = 20, .count = 3};
    uv_os_fd_t fd;

    if (uv_fileno((const uv_handle_t *)tcp, &fd) == 0) {
        keep_alive_set(fd, &patient);
    }
}

/* When too many stand at the doors whom nobody knows yet, one has to go: who floods them does not
 * keep members out. */
static void limit_greeting(struct doors *doors)
{
    struct pipe *one = pipes_to_turn_away(doors->pipes, GREETING_MAX);

    if (one != NULL) {
        doors->refused_count++;
        pipe_close(one);
    }
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct door *door = (struct door *)(void *)stream;
    struct pipe *pipe;

    if (status < 0 || door->doors->is_closing) {
        return;
    }
    pipe = add_visit(door->doors, door);
    if (pipe == NULL) {
        plain_refuse(stream);
        return;
    }
    if (uv_accept(stream, (uv_stream_t *)&pipe->sealed) < 0) {
        pipe_close(pipe);
        return;
    }
    pipe_begin(pipe);
    if (!door->place.is_udp) {
        be_patient(&pipe->sealed);
    }
    limit_greeting(door->doors);
}

/* ------------------------------------------------------------------ doors */

static struct door *find(const struct doors *doors, const struct door_place *place)
{
    for (struct door *door = doors->doors; door != NULL; door = door->next) {
        if (is_same(&door->place, place)) {
            return door;
        }
    }
    return NULL;
}

static void on_door_closed(uv_handle_t *handle)
{
    free(handle);
}

static void shut(struct doors *doors, struct door *door, bool keeps_socket)
{
    struct door **place = &doors->doors;
    char name[PORTS_PATH_BYTES];

    for (struct pipe *pipe = doors->pipes; pipe != NULL; pipe = pipe->next) {
        if (pipe->context == door) {
            pipe_close(pipe); /* leaves the list later */
            pipe->context = NULL;
        }
    }
    while (*place != door) {
        place = &(*place)->next;
    }
    *place = door->next;
    doors->door_count--;
    if (!keeps_socket) {
        ports_members_name(door->place.host_port, name);
        (void)unlinkat(doors->folder_fd, name, 0);
    }
    uv_close((uv_handle_t *)&door->tcp, on_door_closed);
}

static void wake(struct doors *doors, uint64_t after_ms)
{
    doors->is_ticking = true;
    uv_timer_start(&doors->timer, on_timer, after_ms, DOORS_TICK_MS);
}

/* A port is given out once: the replica that had it is over. Its socket is this one's by now. */
static void shut_earlier(struct doors *doors, uint16_t host_port, bool keeps_socket)
{
    for (struct door *door = doors->doors; door != NULL; door = door->next) {
        if (door->place.host_port == host_port) {
            shut(doors, door, keeps_socket);
            return;
        }
    }
}

void doors_leave(struct doors *doors, uint16_t host_port)
{
    shut_earlier(doors, host_port, false);
}

int doors_open(struct doors *doors, const struct door_place *place)
{
    CLEANUP(cleanup_close) int fd = -1;
    struct door *door;
    int r;

    if (find(doors, place) != NULL) { /* it is started once more */
        return 0;
    }
    if (doors->door_count >= DOORS_MAX) {
        return -EMFILE;
    }
    shut_earlier(doors, place->host_port, true);
    fd = ports_listen(doors->config.bind, place->host_port, SOCK_STREAM);
    if (fd < 0) {
        return fd;
    }
    door = calloc(1, sizeof(*door));
    if (door == NULL || uv_tcp_init(doors->config.loop, &door->tcp) < 0) {
        free(door);
        return -ENOMEM;
    }
    door->doors = doors;
    door->place = *place;
    door->next = doors->doors;
    doors->doors = door;
    doors->door_count++;
    r = uv_tcp_open(&door->tcp, fd);
    if (r == 0) {
        (void)take_fd(&fd);
        r = uv_listen((uv_stream_t *)&door->tcp, BACKLOG, on_connection);
    }
    if (r < 0) {
        shut(doors, door, true);
        return r;
    }
    wake(doors, DOORS_TICK_MS);
    return 0;
}

/* Of the places of a review. An earlier replica with the same port may be among them still. */
static bool has_port(const struct doors *doors, uint32_t count, uint16_t host_port)
{
    bool is_there = false;

    for (uint32_t i = 0; i < count; i++) {
        is_there = is_there || doors->places[i].host_port == host_port;
    }
    return is_there;
}

/* The door's own of a review; whether its replica runs is known by that. */
static bool renew(const struct doors *doors, uint32_t count, struct door *door)
{
    for (uint32_t i = 0; i < count; i++) {
        if (is_same(&doors->places[i], &door->place)) {
            door->place = doors->places[i];
            return true;
        }
    }
    return false;
}

static bool is_stale(const struct missing *missing, uint64_t now_ms)
{
    return missing->tried_ms == 0 || now_ms - missing->tried_ms > DOORS_LOST_MS;
}

/* The one noted for this place, or a free one. There are as many as places: one is found. */
static struct missing *find_missing(struct doors *doors, const struct door_place *place,
                                    uint64_t now_ms)
{
    struct missing *free_one = NULL;

    for (uint32_t i = 0; i < DOORS_MAX; i++) {
        if (!is_stale(&doors->missing[i], now_ms)) {
            if (is_same(&doors->missing[i].place, place)) {
                return &doors->missing[i];
            }
        } else if (free_one == NULL) {
            free_one = &doors->missing[i];
        }
    }
    return free_one;
}

static void note_missing(struct doors *doors, const struct door_place *place, int code)
{
    uint64_t now_ms = clock_now_ms();
    struct missing *missing = find_missing(doors, place, now_ms);

    if (missing == NULL) { /* those of a moment ago are not over yet */
        return;
    }
    if (is_stale(missing, now_ms)) {
        *missing = (struct missing){*place, now_ms, 0};
        log_warning("port %u, for members only, cannot be opened again: %s", place->host_port,
                    err_text(code));
    }
    missing->tried_ms = now_ms;
    if (now_ms - missing->since_ms >= DOORS_LOST_MS) {
        missing->since_ms = now_ms;
        doors->config.lost(doors->config.context, place);
    }
}

/* Doors as there are replicas. Returns whether one that should be open is not. */
static bool review(struct doors *doors)
{
    uint32_t count = doors->config.places(doors->config.context, DOORS_MAX, doors->places);
    struct door *next;
    bool some_miss = false;

    for (struct door *door = doors->doors; door != NULL; door = next) {
        next = door->next;
        if (!renew(doors, count, door)) {
            shut(doors, door, has_port(doors, count, door->place.host_port));
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (doors->places[i].is_running && find(doors, &doors->places[i]) == NULL) {
            int r = doors_open(doors, &doors->places[i]);

            if (r < 0) {
                some_miss = true;
                note_missing(doors, &doors->places[i], r);
            }
        }
    }
    return some_miss;
}

/* ------------------------------------------------------------------ time */

static bool is_flow_over(struct pipe *pipe, uint64_t now_ms)
{
    const struct door *door = pipe->context;

    return !door->place.is_running || pipe_is_unanswered(pipe, now_ms);
}

static bool is_over(const struct doors *doors, struct pipe *pipe, uint64_t now_ms)
{
    if (pipe->phase == PIPE_OPEN) {
        return !doors->config.is_welcome(doors->config.context, &pipe->other) ||
               (pipe->has_packets && is_flow_over(pipe, now_ms));
    }
    return pipe->phase != PIPE_CLOSING && now_ms - pipe->since_ms > GREETING_MS_MAX;
}

static void on_timer(uv_timer_t *timer)
{
    struct doors *doors = timer->data;
    uint64_t now_ms = clock_now_ms();
    bool some_miss = review(doors);

    for (struct pipe *pipe = doors->pipes; pipe != NULL; pipe = pipe->next) {
        if (is_over(doors, pipe, now_ms)) {
            doors->refused_count += !pipe->has_packets; /* a flow is begun anew */
            pipe_close(pipe);
        }
    }
    if (doors->doors == NULL && doors->pipes == NULL && !some_miss) {
        doors->is_ticking = false;
        uv_timer_stop(timer);
    }
}

void doors_review(struct doors *doors)
{
    if (!doors->is_closing) {
        wake(doors, 0);
    }
}

/* ------------------------------------------------------------------ life */

int doors_folder(const struct doors *doors)
{
    return doors->folder_fd;
}

static int open_folder(const char *path, int *fd_out, struct err *err)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        return err_set(err, -errno, "%s: %m", path);
    }
    *fd_out = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *fd_out < 0 ? err_set(err, -errno, "%s: %m", path) : 0;
}

struct doors *doors_new(const struct doors_config *config, struct err *err)
{
    struct doors *doors = calloc(1, sizeof(*doors));

    if (doors == NULL || uv_timer_init(config->loop, &doors->timer) < 0) {
        free(doors);
        (void)err_set(err, -ENOMEM, "out of memory");
        return NULL;
    }
    doors->config = *config;
    doors->folder_fd = -1;
    doors->timer.data = doors;
    pace_init(&doors->pace, config->loop, &doors->pipes, config->flow_bytes_per_s);
    /* A member is no leaf, and carries no others' flows: what is missing here is never called. */
    doors->owner = (struct pipe_owner){.self = doors,
                                       .secret = find_secret,
                                       .changed = on_changed,
                                       .count = on_count,
                                       .gone = on_gone};
    if (open_folder(config->folder, &doors->folder_fd, err) < 0) {
        doors_close(doors);
        (void)uv_run(config->loop, UV_RUN_NOWAIT);
        doors_free(doors);
        return NULL;
    }
    return doors;
}

void doors_close(struct doors *doors)
{
    if (doors == NULL || doors->is_closing) {
        return;
    }
    doors->is_closing = true;
    while (doors->doors != NULL) {
        shut(doors, doors->doors, true); /* the replica lives on, and the next mingad finds it */
    }
    uv_close((uv_handle_t *)&doors->timer, NULL);
    pace_close(&doors->pace);
}

void doors_free(struct doors *doors)
{
    if (doors != NULL) {
        cleanup_close(&doors->folder_fd);
        free(doors);
    }
}

struct doors_counters doors_counters(const struct doors *doors)
{
    return (struct doors_counters){doors->door_count, visits_count(doors->pipes, NULL),
                                   doors->refused_count};
}
