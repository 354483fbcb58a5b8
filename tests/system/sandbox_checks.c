// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/system/sandbox_checks.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attributes.h"

static uint16_t port_of(const struct sandbox_spec *spec)
{
    return spec->ports[0].host_port;
}

static void check_process(struct world *world, pid_t pid)
{
    char value[128];
    unsigned long uid = strtoul(status_value(pid, "Uid", value, sizeof(value)), NULL, 10);

    check_saying(world, uid >= 1879048192 + 65534UL && uid <= 2147483647UL,
                 "its uid on the host is of a range of its own", value);
    for (const char *const *name =
             (const char *const[]){"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", NULL};
         *name != NULL; name++) {
        check_saying(
            world, strcmp(status_value(pid, *name, value, sizeof(value)), "0000000000000000") == 0,
            "it has no capability", *name);
    }
    check(world, strcmp(status_value(pid, "NoNewPrivs", value, sizeof(value)), "1") == 0,
          "it can get no new privileges");
    check(world, strcmp(status_value(pid, "Seccomp", value, sizeof(value)), "2") == 0,
          "a seccomp filter is on");
}

void check_serving(struct world *world)
{
    struct sandbox_spec spec = web_spec(world);
    struct sandbox_event event;
    uint64_t began_ms = time_ms();
    pid_t pid = 0;

    if (!check(world, world_start(world, &spec), "a replica starts")) {
        return;
    }
    printf("# started after %" PRIu64 " ms\n", time_ms() - began_ms);
    check(world, serves(world, &spec, 2000), "it serves a page through its published port");
    printf("# served after %" PRIu64 " ms\n", time_ms() - began_ms);
    check(world, count_mounts(world) == 0, "the host's mount table shows nothing of it");
    if (check(world, world_pids(world, 0, false, &pid, 1) == 1, "the host sees its process")) {
        check_process(world, pid);
    }
    check(world,
          world_stats(world, &spec, &event) && event.used.pid_count > 0 &&
              event.used.memory_bytes > 0 && event.used.disk_bytes > 0,
          "its use is measured");
    check(world, world_stop(world, &spec, &event) && event.end == SANDBOX_END_STOPPED,
          "it stops when asked");
    check(world, !fetch_contains(port_of(&spec), "hello", 300), "then nobody serves the port");
    check(world, world_pids(world, 0, true, &pid, 1) == 0, "and no process is left of it");
}

/* Each line of the script prints "yes NAME" when the sandbox is as it should be. */
void check_inside(struct world *world)
{
    static const char script[] =
        "cd /; b=/bin/busybox; t() { n=$1; shift; if \"$@\" 2>/dev/null; then echo yes $n; "
        "else echo no $n; fi; }; f() { n=$1; shift; t $n eval \"! $*\"; };"
        "t user [ $($b id -u) = 65534 ];"
        "t write eval '$b touch /mine && $b touch /tmp/a && $b touch /www/new';"
        "t shm $b touch /dev/shm/a; f dev $b touch /dev/a; t null eval '(echo >/dev/null)';"
        "t random eval '[ $($b head -c 9 /dev/urandom | $b wc -c) = 9 ]';"
        "f sys [ -e /sys/kernel ]; f sysctl '(echo x >/proc/sys/kernel/hostname)';"
        "t kcore [ $($b head -c 1 /proc/kcore 2>/dev/null | $b wc -c) = 0 ];"
        "f mount $b mount -t tmpfs x /tmp;"
        "f unshare $b unshare -U true; f chroot $b chroot / true;"
        "f init '(read a </proc/1/mem)'; f kill1 $b kill -9 1;"
        "t net [ $($b ls /sys/class/net 2>/dev/null | $b wc -l) = 0 ];"
        "t lo [ $($b grep -c : /proc/net/dev) = 1 ];"
        "t name [ $($b hostname) = $HOSTNAME_WANTED ];"
        "t env [ $($b env | $b grep -vcE '^(PWD|OLDPWD|SHLVL|_|PATH|HOSTNAME|HOME)=') = 1 ];"
        "t core [ $($b grep -c 'core file size  *1  *1 ' /proc/self/limits) = 1 ];"
        "f touch $b touch -c /dev/null; f devtmpfs $b grep -q devtmpfs /proc/self/mountinfo;"
        "t fds [ $($b ls /proc/self/fd | $b wc -l) -le 4 ];"
        "t cgroup [ $($b grep -c minga /proc/self/cgroup) = 0 ];"
        "$b httpd -p 80 -h /www; t low eval '$b wget -qO- http://localhost/ | $b grep -q hello';"
        "$b env >&2; echo end; exec $b sleep 1000";
    static const char *const wanted[] = {
        "user",  "write", "shm",     "dev",    "null",   "random", "sys",   "sysctl",
        "kcore", "mount", "unshare", "chroot", "init",   "kill1",  "net",   "lo",
        "name",  "env",   "fds",     "low",    "cgroup", "core",   "touch", "devtmpfs"};
    static char output[WORLD_TEXT_BYTES];
    struct sandbox_spec spec = world_spec(world, ". /look.sh");
    struct sandbox_event event;
    bool failed = false;
    char line[64];

    world_add_to_tree(world, "look.sh", script);
    spec.environment_count = 1;
    snprintf(spec.environment, sizeof(spec.environment), "HOSTNAME_WANTED=%s", spec.hostname);
    if (!check(world, world_start(world, &spec) && world_await_output(world, &spec, "end\n", 5000),
               "a replica looks around inside")) {
        return;
    }
    world_output(world, &spec, output);
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++) {
        snprintf(line, sizeof(line), "yes %s\n", wanted[i]);
        failed |= !check_saying(world, strstr(output, line) != NULL,
                                "inside, it is as it should be", wanted[i]);
    }
    if (failed) {
        printf("# %s\n", output);
    }
    world_stop(world, &spec, &event);
}

static void check_end(struct world *world, const char *command, enum sandbox_end end, int status,
                      const char *reason)
{
    struct sandbox_spec spec = world_spec(world, command);
    struct sandbox_event event = {0};
    char remark[256];

    check(world, world_start(world, &spec), "a replica starts that ends by itself");
    world_await(world, &spec.key, SANDBOX_ENDED, 5000, &event);
    snprintf(remark, sizeof(remark), "end %d, status %d: %s; want: %s", (int)event.end,
             event.status, event.reason, reason);
    check_saying(world,
                 event.end == end && event.status == status && strcmp(event.reason, reason) == 0,
                 "it is told how it ended", remark);
}

void check_ends(struct world *world)
{
    static const char *const missing[] = {"/bin/nothing", NULL};
    struct sandbox_spec spec;
    struct sandbox_event event = {0};

    check_end(world, "exit 0", SANDBOX_END_EXITED, 0, "exit status 0");
    check_end(world, "echo first; echo boom >&2; exit 3", SANDBOX_END_EXITED, 3,
              "exit status 3: boom");
    check_end(world, "kill -SEGV $$", SANDBOX_END_SIGNALLED, SIGSEGV, "killed by signal 11 (SEGV)");
    spec = world_spec(world, "");
    world_set_command(&spec, missing);
    world_ask_start(world, &spec);
    world_await(world, &spec.key, SANDBOX_ENDED, 5000, &event);
    check_saying(world,
                 event.end == SANDBOX_END_REFUSED && strstr(event.reason, "No such file") != NULL,
                 "a missing command is named", event.reason);
    spec = world_spec(world, "trap '' TERM; while :; do /bin/busybox sleep 1; done");
    spec.stop_grace_ms = 300;
    check(world, world_start(world, &spec), "a replica starts that does not want to stop");
    wait_a_little(200);
    uint64_t began_ms = time_ms();
    check(world,
          world_stop(world, &spec, &event) && event.end == SANDBOX_END_STOPPED &&
              time_ms() - began_ms >= 250 && time_ms() - began_ms < 2500,
          "it is killed when the grace is over");
}

static void check_refused(struct world *world, const struct sandbox_spec *spec, const char *why)
{
    struct sandbox_event event = {0};

    world_ask_start(world, spec);
    world_await(world, &spec->key, SANDBOX_ENDED, 3000, &event);
    check_saying(world, event.end == SANDBOX_END_REFUSED && strstr(event.reason, why) != NULL,
                 "it is refused with the reason", event.reason);
}

/* What mingad is no judge of: the helper looks at the sockets and the tree itself. */
static void check_foreign_things(struct world *world)
{
    struct sandbox_spec spec = world_spec(world, "exit 0");
    struct sandbox_event event = {0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    world_publish(world, &spec, 8080);
    sandbox_client_start(&world->client, &spec, &fd);
    close(fd);
    world_await(world, &spec.key, SANDBOX_ENDED, 3000, &event);
    check_saying(world,
                 event.end == SANDBOX_END_REFUSED &&
                     strstr(event.reason, "not a listening TCP socket") != NULL,
                 "a socket that does not listen is refused", event.reason);
    spec = world_spec(world, "exit 0");
    spec.tree = (struct tree_id){{{0x70}}};
    world_make_odd_tree(world, &spec.tree, "/");
    check_refused(world, &spec, "not a folder of the agent's");
    spec = world_spec(world, "exit 0");
    spec.tree = (struct tree_id){{{0x71}}};
    world_make_odd_tree(world, &spec.tree, NULL);
    check_refused(world, &spec, "not a folder of the agent's");
}

void check_refusals(struct world *world)
{
    struct sandbox_spec spec = world_spec(world, "exit 0");
    struct sandbox_event event;

    spec.limits.memory_bytes = world->limits.contribution.memory_bytes + 1;
    check_refused(world, &spec, "memory: ");
    spec = world_spec(world, "exit 0");
    spec.limits.disk_bytes = world->limits.contribution.disk_bytes + 1;
    check_refused(world, &spec, "disk: ");
    spec = world_spec(world, "exit 0");
    spec.limits.cpu_permille = 2000;
    check_refused(world, &spec, "cpu");
    spec = world_spec(world, "exit 0");
    spec.limits.pid_count = 201;
    check_refused(world, &spec, "pids: ");
    spec = world_spec(world, "exit 0");
    spec.tree.id.bytes[5] = 1;
    check_refused(world, &spec, "No such file");
    spec = world_spec(world, "exit 0");
    spec.port_count = 1;
    spec.ports[0] = (struct sandbox_port){8080, 29999, SANDBOX_TCP};
    check_refused(world, &spec, "port 29999 is not among");
    spec = world_spec(world, "exec sleep 1000");
    spec.limits.memory_bytes = 200 << 20;
    check(world, world_start(world, &spec), "most of the contribution can be used");
    struct sandbox_spec other = world_spec(world, "exit 0");
    other.limits.memory_bytes = 100 << 20;
    check_refused(world, &other, "memory: ");
    world_stop(world, &spec, &event);
    check(world, event.kind == SANDBOX_ENDED, "and given back");
    check_foreign_things(world);
}

void check_freezing(struct world *world)
{
    struct sandbox_spec spec = web_spec(world);
    struct sandbox_event event;

    check(world, world_start(world, &spec) && serves(world, &spec, 2000), "a replica serves");
    sandbox_client_freeze(&world->client, &spec.key);
    world_stats(world, &spec, &event);
    check(world, !fetch_contains(port_of(&spec), "hello", 500), "frozen, it does not");
    sandbox_client_thaw(&world->client, &spec.key);
    check(world, serves(world, &spec, 2000), "thawed, it does again");
    sandbox_client_freeze(&world->client, &spec.key);
    check(world, world_stop(world, &spec, &event), "frozen, it can still be ended");
}

static void check_one_restart(struct world *world, int signal_number)
{
    struct sandbox_spec spec = web_spec(world);
    struct sandbox_event event = {0};
    pid_t before = 0;
    pid_t after = 0;

    check(world, world_start(world, &spec) && serves(world, &spec, 2000), "a replica serves");
    world_pids(world, 0, false, &before, 1);
    check(world, world_end_helper(world, signal_number, 3000),
          signal_number == SIGKILL ? "the helper is killed" : "SIGUSR2 ends the helper");
    check(world, serves(world, &spec, 500), "the replica serves on");
    check(world, world_start_helper(world, false), "a new helper starts");
    sandbox_client_list(&world->client);
    check(world,
          world_await(world, &spec.key, SANDBOX_LISTED, 3000, &event) && event.port_count == 1 &&
              event.ports[0].host_port == port_of(&spec) &&
              event.limits.memory_bytes == spec.limits.memory_bytes,
          "it lists the replica as it was started");
    world_pids(world, 0, false, &after, 1);
    check(world, before == after && before != 0, "the service is the same process");
    check(world, serves(world, &spec, 500), "and serves");
    check(world, world_stop(world, &spec, &event) && event.end == SANDBOX_END_STOPPED,
          "an adopted replica stops when asked");
    check(world, world_pids(world, 0, true, &after, 1) == 0, "and nothing is left of it");
}

/* What ended while there was no helper is cleared away by the next one. */
static void check_death_between(struct world *world)
{
    struct sandbox_spec spec = web_spec(world);
    struct sandbox_spec second = world_spec(world, "sleep 1; exit 4");
    struct sandbox_event event = {0};
    pid_t pids[8];
    size_t count;

    check(world, world_start(world, &spec) && world_start(world, &second), "two replicas run");
    check(world, world_end_helper(world, SIGKILL, 3000), "the helper is killed");
    count = world_pids(world, spec.key.slot, false, pids, ARRAY_COUNT(pids));
    for (size_t i = 0; i < count; i++) {
        kill(pids[i], SIGKILL);
    }
    wait_a_little(1500);
    check(world, world_start_helper(world, false), "a new helper starts");
    wait_a_little(500);
    sandbox_client_list(&world->client);
    check(world,
          world_await(world, &second.key, SANDBOX_ENDED, 1000, &event) &&
              event.end == SANDBOX_END_EXITED && event.status == 4,
          "how it ended is told to the agent that comes later");
    sandbox_client_list(&world->client);
    check(world, count == 1 && !world_await(world, &spec.key, SANDBOX_LISTED, 500, &event),
          "what died in between is not listed");
    check(world, world_pids(world, 0, true, pids, ARRAY_COUNT(pids)) == 0, "nothing is left of it");
}

/* At another moment each time: nothing half-made may stay. */
static void check_death_in_launch(struct world *world)
{
    struct sandbox_event event = {0};
    pid_t pids[8];
    bool clean = true;

    for (uint64_t ms = 0; ms < 40; ms += world->slow ? 13 : 4) {
        struct sandbox_spec spec = web_spec(world);

        world_ask_start(world, &spec);
        wait_a_little(ms);
        clean = world_end_helper(world, SIGKILL, 3000) && world_start_helper(world, false) && clean;
        if (world_stop(world, &spec, &event)) {
            wait_a_little(50);
        }
        clean = world_pids(world, 0, true, pids, ARRAY_COUNT(pids)) == 0 && clean;
    }
    check(world, clean, "a helper killed during a launch leaves nothing to the next one");
}

/* A dead helper's replica and a helper that only clears away. */
static void check_end_all(struct world *world)
{
    struct sandbox_spec spec = web_spec(world);
    pid_t pid;

    check(world, world_start(world, &spec), "a replica runs");
    check(world, !world_end_all(world), "what has a helper is not cleared away by another");
    check(world, world_end_helper(world, SIGKILL, 3000), "the helper is killed");
    check(world, world_end_all(world), "what it left is cleared away");
    check(world, world_pids(world, 0, true, &pid, 1) == 0 && count_groups(world) == 0,
          "no process and no control group is left");
    check(world, world_start_helper(world, false), "a new helper starts");
}

void check_restarts(struct world *world)
{
    check_end_all(world);
    check_death_in_launch(world);
    check_one_restart(world, SIGKILL);
    check_one_restart(world, SIGUSR2);
    check_death_between(world);
}

/* Connects as that user in a child. */
static bool user_is_let_in(const struct world *world, uid_t user)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/run/sandbox.sock",
                 world->folder);
        if (setuid(user) < 0) {
            _exit(1);
        }
        _exit(connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? 1 : 0);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void check_door(struct world *world)
{
    static const uint8_t garbage[] = {REQUEST_START, 0, 0, 255, 255, 1, 2, 3};
    static const uint8_t second_hello[] = {REQUEST_HELLO, 0, 0, 0, HELPER_PROTOCOL_VERSION};
    struct sandbox_spec spec = world_spec(world, "exec sleep 1000");
    struct sandbox_event event = {0};
    struct helper_answer answer;

    check(world, !user_is_let_in(world, 12345), "no other user can connect");
    check(world, user_is_let_in(world, world->limits.agent_uid), "the agent's user can");
    wait_a_little(50);
    check(world, world_connect(world), "the newest connection counts");
    check(world, world_start(world, &spec), "a replica runs");
    for (int i = 0; i < 2; i++) {
        const uint8_t *bytes = i == 0 ? garbage : second_hello;
        size_t length_bytes = i == 0 ? sizeof(garbage) : sizeof(second_hello);
        int r;

        send(sandbox_client_fd(&world->client), bytes, length_bytes, MSG_NOSIGNAL);
        do {
            wait_a_little(20);
            r = sandbox_client_receive(&world->client, &answer);
        } while (r >= 0);
        check(world, r == -EPIPE || r == -ECONNRESET, "who breaks the rules is cut off");
        check(world, world_connect(world), "and may come back");
    }
    sandbox_client_list(&world->client);
    check(world, world_await(world, &spec.key, SANDBOX_LISTED, 3000, &event),
          "the replica has noticed nothing");
    sandbox_client_renew(&world->client, &spec.key);
    world_stop(world, &spec, &event);
    sandbox_client_renew(&world->client, &spec.key);
    check(world,
          world_await(world, &spec.key, SANDBOX_ENDED, 1000, &event) &&
              event.end == SANDBOX_END_LOST,
          "a request about an unknown replica is answered with its end");
}

static size_t helper_descriptors(const struct world *world)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/fd", world->helper_pid);
    return count_files(path);
}

/*
 * Disks made ahead for the next replicas go when none comes, and so do the processes that made and
 * cleared them: half a second after the last of each.
 */
static size_t settled_descriptors(const struct world *world)
{
    size_t before = 0;
    size_t count = helper_descriptors(world);

    for (int i = 0; i < 12 && (count_loops(world) > 0 || count != before); i++) {
        wait_a_little(800);
        before = count;
        count = helper_descriptors(world);
    }
    return count;
}

/* Good, ending by itself, and failing starts in turn. */
void check_repeating(struct world *world)
{
    static const char *const missing[] = {"/bin/nothing", NULL};
    size_t before = 0;
    struct sandbox_event event;
    bool all_ended = true;

    for (int i = 0; i < 24; i++) {
        if (i == 3) { /* the template of their disks is there */
            before = settled_descriptors(world);
        }
        struct sandbox_spec spec = i % 3 == 0 ? web_spec(world) : world_spec(world, "exit 1");

        if (i % 3 == 2) {
            world_set_command(&spec, missing);
        }
        world_ask_start(world, &spec);
        if (i % 3 == 0) {
            all_ended = world_await(world, &spec.key, SANDBOX_STARTED, 5000, &event) && all_ended;
            sandbox_client_stop(&world->client, &spec.key);
        }
        all_ended = world_await(world, &spec.key, SANDBOX_ENDED, 5000, &event) && all_ended;
    }
    check(world, all_ended, "replicas come and go");
    check(world, before > 0 && settled_descriptors(world) == before && count_loops(world) == 0,
          "the helper has as many descriptors open as before");
    check(world, world_helper_own_kib(world) < 640, "it has little memory that forks would copy");
}
