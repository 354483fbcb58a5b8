// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/system/sandbox_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/ids.h"

enum { HELPER_START_MS_MAX = 20000, READY_MS_MAX = 5000, SLOW_FACTOR = 6 };

uint64_t time_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t world_patience_ms(const struct world *world, uint64_t ms)
{
    return world->slow ? ms * SLOW_FACTOR : ms;
}

void wait_a_little(uint64_t ms)
{
    poll(NULL, 0, (int)ms);
}

bool check_saying(struct world *world, bool passed, const char *sentence, const char *remark)
{
    world->checks++;
    world->failures += !passed;
    printf("%s - %s%s%s%s\n", passed ? "ok" : "not ok", sentence, passed ? "" : " (",
           passed ? "" : remark, passed ? "" : ")");
    fflush(stdout);
    return passed;
}

bool check(struct world *world, bool passed, const char *sentence)
{
    return check_saying(world, passed, sentence, "no");
}

static void path_in(const struct world *world, const char *name, char path_out[PATH_MAX])
{
    snprintf(path_out, PATH_MAX, "%s/%s", world->folder, name);
}

static void must(bool passed, const char *what)
{
    if (!passed) {
        printf("Bail out! %s: %s\n", what, err_text(errno));
        exit(1); // NOLINT(concurrency-mt-unsafe): one thread
    }
}

static struct tree_id tree_of_world(void)
{
    struct tree_id tree = {{{0x5a, 0x01}}};

    return tree;
}

static void copy_file(const char *from, const char *to, mode_t mode, uid_t owner)
{
    struct buffer buffer = {.bytes_max = 64 << 20};
    struct err err = {0};
    int fd;

    must(file_read(AT_FDCWD, from, &buffer, &err) == 0, from);
    fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    must(fd >= 0 && file_write_all(fd, buffer_bytes(&buffer)) == 0, to);
    must(fchmod(fd, mode) == 0 && fchown(fd, owner, owner) == 0, to);
    close(fd);
    buffer_done(&buffer);
}

static void write_text(const char *path, const char *text, uid_t owner)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    must(fd >= 0 && file_write_all(fd, bytes_of_text(text)) == 0, path);
    must(fchown(fd, owner, owner) == 0, path);
    close(fd);
}

/* As images/ would leave it: every file owned by the agent. */
static void make_tree(const struct world *world)
{
    static const char *const folders[] = {"", "/bin", "/www"};
    uid_t owner = world->limits.agent_uid;
    struct tree_id tree = tree_of_world();
    char name[ID_HEX_CHARS + 1];
    char root[PATH_BYTES_MAX + ID_HEX_CHARS + 2];
    char path[PATH_MAX];

    id_to_hex(&tree.id, name);
    must(mkdir(world->limits.trees, 0755) == 0 || errno == EEXIST, world->limits.trees);
    snprintf(root, sizeof(root), "%s/%s", world->limits.trees, name);
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", root, folders[i]);
        must(mkdir(path, 0755) == 0 && chown(path, owner, owner) == 0, path);
    }
    snprintf(path, sizeof(path), "%s/bin/busybox", root);
    copy_file("/bin/busybox", path, 0755, owner);
    snprintf(path, sizeof(path), "%s/www/index.html", root);
    write_text(path, "hello from the sandbox\n", owner);
}

void world_make_odd_tree(const struct world *world, const struct tree_id *tree, const char *target)
{
    char name[ID_HEX_CHARS + 1];
    char path[PATH_MAX];

    id_to_hex(&tree->id, name);
    snprintf(path, sizeof(path), "%s/%s", world->limits.trees, name);
    must((target == NULL ? mkdir(path, 0755) : symlink(target, path)) == 0, path);
}

bool world_has_tree(const struct world *world, const struct tree_id *tree)
{
    char name[ID_HEX_CHARS + 1];
    char path[PATH_MAX];

    id_to_hex(&tree->id, name);
    snprintf(path, sizeof(path), "%s/%s", world->limits.trees, name);
    return access(path, F_OK) == 0;
}

void world_add_to_tree(const struct world *world, const char *name, const char *text)
{
    struct tree_id tree = tree_of_world();
    char tree_name[ID_HEX_CHARS + 1];
    char path[PATH_MAX];

    id_to_hex(&tree.id, tree_name);
    snprintf(path, sizeof(path), "%s/%s/%s", world->limits.trees, tree_name, name);
    write_text(path, text, world->limits.agent_uid);
}

void world_add_program(const struct world *world, const char *program, const char *name)
{
    struct tree_id tree = tree_of_world();
    char tree_name[ID_HEX_CHARS + 1];
    char path[PATH_MAX];

    id_to_hex(&tree.id, tree_name);
    snprintf(path, sizeof(path), "%s/%s/%s", world->limits.trees, tree_name, name);
    copy_file(program, path, 0755, world->limits.agent_uid);
}

void world_init(struct world *world, const char *folder, const char *bin)
{
    world_init_giving(world, folder, bin, 1500);
}

void world_init_giving(struct world *world, const char *folder, const char *bin,
                       uint64_t cpu_permille)
{
    struct err err = {0};
    char path[PATH_MAX];

    memset(world, 0, sizeof(*world));
    sandbox_client_init(&world->client);
    snprintf(world->folder, sizeof(world->folder), "%s", folder);
    snprintf(world->bin, sizeof(world->bin), "%s", bin);
    world->limits = (struct host_limits){
        .contribution = {.cpu_permille = cpu_permille,
                         .memory_bytes = 256 << 20,
                         .disk_bytes = 256 << 20,
                         .pid_count = 200},
        .agent_uid = 64321,
        .agent_gid = 64321,
        .uid_span_count = 1,
        .uid_spans = {{1879048192, 2147483647}},
        .port_first = WORLD_PORT_FIRST,
        .port_last = WORLD_PORT_FIRST + 99,
    };
    snprintf(world->limits.cgroup, sizeof(world->limits.cgroup), "minga-test-%d", getpid());
    snprintf(world->limits.trees, sizeof(world->limits.trees), "%s/trees", folder);
    make_tree(world);
    path_in(world, "limits", path);
    must(sandbox_limits_write(path, &world->limits, &err) == 0, err.text);
}

/* The script ends what this file names when we cannot any more. */
static void note_helper(const struct world *world)
{
    char path[PATH_MAX];
    char text[32];

    path_in(world, "helper.pid", path);
    snprintf(text, sizeof(text), "%d\n", world->helper_pid);
    write_text(path, text, 0);
}

/* As the user that mingad would have given root up for. */
static void exec_environment(const struct world *world)
{
    char program[PATH_MAX];
    char state[PATH_MAX];
    char run[PATH_MAX];
    uid_t user = world->limits.agent_uid;

    snprintf(program, sizeof(program), "%s/minga-environment", world->bin);
    path_in(world, "state", state);
    path_in(world, "run", run);
    must((mkdir(state, 0755) == 0 || errno == EEXIST) && chown(state, user, user) == 0, state);
    must((mkdir(run, 0755) == 0 || errno == EEXIST) && chown(run, user, user) == 0, run);
    must(setgroups(0, NULL) == 0 && setgid(user) == 0 && setuid(user) == 0, "setuid");
    execl(program, program, "--run", run, "--state", state, "--trees", world->limits.trees, "--",
          world->environment, NULL);
    _exit(127);
}

static void exec_helper(const struct world *world, const char *option)
{
    char program[PATH_MAX];
    char limits[PATH_MAX];
    char state[PATH_MAX];
    char run[PATH_MAX];
    char uids[PATH_MAX];
    char log[PATH_MAX];

    snprintf(program, sizeof(program), "%s/minga-sandboxd", world->bin);
    path_in(world, "limits", limits);
    path_in(world, "state", state);
    path_in(world, "run", run);
    path_in(world, "uids", uids);
    path_in(world, "helper.log", log);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);

    dup2(fd, 2);
    if (world->environment != NULL) {
        exec_environment(world);
    }
    execl(program, program, "--limits", limits, "--state", state, "--run", run, "--uids", uids,
          option, NULL);
    _exit(127);
}

bool world_start_helper(struct world *world, bool exit_when_idle)
{
    const char *option = exit_when_idle ? "--exit-when-idle" : NULL;
    uint64_t until_ms = time_ms() + world_patience_ms(world, HELPER_START_MS_MAX);

    if (world->units && !units_start_helper(world, option)) {
        return false;
    }
    world->helper_pid = world->units ? 0 : fork();
    if (world->helper_pid == 0 && !world->units) {
        exec_helper(world, option);
    }
    note_helper(world);
    while (time_ms() < until_ms) {
        if (world_connect(world)) {
            world->helper_pid = units_helper_pid(world);
            note_helper(world);
            return true;
        }
        wait_a_little(20);
    }
    return false;
}

bool world_end_all(struct world *world)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        exec_helper(world, "--end-all");
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool world_end_helper(struct world *world, int signal_number, uint64_t ms_max)
{
    uint64_t until_ms = time_ms() + world_patience_ms(world, ms_max);

    sandbox_client_done(&world->client);
    if (world->helper_pid == 0) {
        return false;
    }
    if (signal_number != 0) {
        kill(world->helper_pid, signal_number);
    }
    while (time_ms() < until_ms) {
        if (world->units ? units_helper_over(world->helper_pid)
                         : waitpid(world->helper_pid, NULL, WNOHANG) == world->helper_pid) {
            world->helper_pid = 0;
            return true;
        }
        wait_a_little(10);
    }
    return false;
}

void world_set_command(struct sandbox_spec *spec, const char *const *words)
{
    size_t used_bytes = 0;

    memset(spec->arguments, 0, sizeof(spec->arguments));
    spec->argument_count = 0;
    for (; *words != NULL; words++) {
        size_t length_bytes = strlen(*words) + 1;

        must(used_bytes + length_bytes <= sizeof(spec->arguments), "command too long");
        memcpy(spec->arguments + used_bytes, *words, length_bytes);
        used_bytes += length_bytes;
        spec->argument_count++;
    }
}

struct sandbox_spec world_spec(struct world *world, const char *shell_command)
{
    const char *const words[] = {"/bin/busybox", "sh", "-c", shell_command, NULL};
    struct sandbox_spec spec = {
        .key = {.service = {{{0x77}}}, .slot = ++world->slot, .incarnation = 1},
        .tree = tree_of_world(),
        .workdir = "/",
        .user = 65534,
        .limits = {.cpu_permille = 500,
                   .memory_bytes = 32 << 20,
                   .disk_bytes = 16 << 20,
                   .pid_count = 32},
        .stop_signal = SIGTERM,
        .stop_grace_ms = 1000,
        .logs_bytes = 65536,
    };

    snprintf(spec.hostname, sizeof(spec.hostname), "test-%u", world->slot);
    world_set_command(&spec, words);
    return spec;
}

void world_publish(struct world *world, struct sandbox_spec *spec, uint16_t container_port)
{
    spec->ports[spec->port_count++] = (struct sandbox_port){
        container_port, (uint16_t)(WORLD_PORT_FIRST + world->slot % 100), SANDBOX_TCP};
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 16) == 0,
         "listen");
    return fd;
}

bool world_ask_start(struct world *world, const struct sandbox_spec *spec)
{
    int fds[PORTS_PER_SERVICE_MAX];

    for (uint32_t i = 0; i < spec->port_count; i++) {
        fds[i] = listen_on(spec->ports[i].host_port);
    }
    int r = sandbox_client_start(&world->client, spec, fds);

    for (uint32_t i = 0; i < spec->port_count; i++) {
        close(fds[i]);
    }
    return r == 0;
}

/* Returns false when the time is over or the connection is. */
static bool next_answer(struct world *world, uint64_t until_ms, struct helper_answer *answer)
{
    for (;;) {
        uint64_t at_ms = time_ms();
        struct pollfd wanted = {.fd = sandbox_client_fd(&world->client), .events = POLLIN};
        int r = sandbox_client_receive(&world->client, answer);

        if (r != 0) {
            return r == SANDBOX_CLIENT_MESSAGE;
        }
        if (at_ms >= until_ms) {
            return false;
        }
        poll(&wanted, 1, (int)(until_ms - at_ms));
    }
}

/*
 * A helper that was killed may have left a child that holds its listening socket for a moment:
 * who is let in there hears nothing, so READY is waited for.
 */
bool world_connect(struct world *world)
{
    static struct helper_answer answer;
    struct err err = {0};
    char path[PATH_MAX];

    sandbox_client_done(&world->client);
    path_in(world, "run/sandbox.sock", path);
    if (sandbox_client_connect(&world->client, path, &err) == 0 &&
        next_answer(world, time_ms() + world_patience_ms(world, READY_MS_MAX), &answer) &&
        answer.kind == ANSWER_READY) {
        return true;
    }
    sandbox_client_done(&world->client);
    return false;
}

bool world_await(struct world *world, const struct replica_key *key, enum sandbox_event_kind kind,
                 uint64_t ms_max, struct sandbox_event *event_out)
{
    static struct helper_answer answer;
    uint64_t until_ms = time_ms() + world_patience_ms(world, ms_max);

    while (next_answer(world, until_ms, &answer)) {
        if (answer.kind == ANSWER_EVENT && replica_key_equal(&answer.event.key, key) &&
            (answer.event.kind == kind || answer.event.kind == SANDBOX_ENDED)) {
            *event_out = answer.event;
            return answer.event.kind == kind;
        }
    }
    memset(event_out, 0, sizeof(*event_out));
    snprintf(event_out->reason, sizeof(event_out->reason), "nothing heard");
    return false;
}

bool world_next_event(struct world *world, uint64_t ms_max, struct sandbox_event *event_out)
{
    static struct helper_answer answer;
    uint64_t until_ms = time_ms() + world_patience_ms(world, ms_max);

    while (next_answer(world, until_ms, &answer)) {
        if (answer.kind == ANSWER_EVENT) {
            *event_out = answer.event;
            return true;
        }
    }
    return false;
}

bool world_start(struct world *world, const struct sandbox_spec *spec)
{
    struct sandbox_event event;

    if (!world_ask_start(world, spec)) {
        printf("# the request could not be sent\n");
        return false;
    }
    if (!world_await(world, &spec->key, SANDBOX_STARTED, 15000, &event)) {
        printf("# not started: %s\n", event.reason);
        return false;
    }
    world_note_network(world);
    return true;
}

bool world_stop(struct world *world, const struct sandbox_spec *spec, struct sandbox_event *event)
{
    return sandbox_client_stop(&world->client, &spec->key) == 0 &&
           world_await(world, &spec->key, SANDBOX_ENDED, 10000, event);
}

bool world_stats(struct world *world, const struct sandbox_spec *spec, struct sandbox_event *event)
{
    return sandbox_client_stats(&world->client, &spec->key) == 0 &&
           world_await(world, &spec->key, SANDBOX_STATS, 3000, event);
}

const char *world_output(struct world *world, const struct sandbox_spec *spec, char *text_out)
{
    static struct helper_answer answer;
    size_t used_bytes = 0;
    uint64_t offset = 0;

    while (sandbox_client_logs(&world->client, &spec->key, offset, LOGS_WINDOW_BYTES_MAX) == 0) {
        do {
            if (!next_answer(world, time_ms() + world_patience_ms(world, 3000), &answer)) {
                break;
            }
        } while (answer.kind != ANSWER_LOGS);
        if (answer.kind != ANSWER_LOGS || answer.logs.length_bytes == 0 ||
            used_bytes + answer.logs.length_bytes >= WORLD_TEXT_BYTES) {
            break;
        }
        memcpy(text_out + used_bytes, answer.logs.bytes, answer.logs.length_bytes);
        used_bytes += answer.logs.length_bytes;
        offset = answer.logs.offset + answer.logs.length_bytes;
    }
    text_out[used_bytes] = '\0';
    return text_out;
}

bool world_await_output(struct world *world, const struct sandbox_spec *spec, const char *text,
                        uint64_t ms_max)
{
    static char output[WORLD_TEXT_BYTES];
    uint64_t until_ms = time_ms() + world_patience_ms(world, ms_max);

    while (time_ms() < until_ms) {
        if (strstr(world_output(world, spec, output), text) != NULL) {
            return true;
        }
        sandbox_client_renew(&world->client, &spec->key);
        if (world->neighbour != NULL) {
            sandbox_client_renew(&world->client, world->neighbour);
        }
        wait_a_little(50);
    }
    printf("# its output: %.400s\n", output);
    return false;
}
