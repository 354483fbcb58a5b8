// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * mingad: Minga's agent. It starts as root to make folders, limits and the control socket and to
 * get a sandbox helper; then it gives root up, before it opens its state or the network.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/mingad/config/config.h"
#include "agent/mingad/edge.h"
#include "agent/mingad/folders.h"
#include "agent/mingad/options.h"
#include "agent/mingad/owner/keeper.h"
#include "agent/mingad/owner/senses.h"
#include "agent/mingad/recorder.h"
#include "agent/mingad/replicas/helper_start.h"
#include "agent/mingad/replicas/replica_log.h"
#include "agent/mingad/user.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "images/worker.h"

enum {
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    MMAP_BYTES_MIN = 256 << 10, /* a chunk's buffer goes back to the kernel when freed */
    DESCRIPTORS_MAX = 8192,     /* four per link, and some */
};

struct preparation {
    struct config config;
    struct machine machine;
    struct contribution contribution;
    struct user user;
};

static int fail(const struct err *err)
{
    log_error("%s%s%s", err->text, err->hint[0] == '\0' ? "" : "; ", err->hint);
    return STATUS_FAILED;
}

/* What is allowed, but may not be what was meant, is said beside it. */
static void say_config(const char *path, const struct owner_rules *rules)
{
    if (path == NULL && access(CONFIG_PATH_DEFAULT, F_OK) < 0 && errno == ENOENT) {
        puts("there is no " CONFIG_PATH_DEFAULT ": all is as minga.yaml(5) says of defaults");
        return;
    }
    for (uint32_t i = 0; i < rules->count; i++) {
        if (owner_when_is_always(&rules->list[i].when)) {
            printf("note: \"%s\" has no condition, it acts at all times\n", rules->list[i].name);
        }
    }
    puts("the configuration is fine");
}

static int prepare(const struct options *options, struct preparation *preparation, struct err *err)
{
    int r = config_load(options->config_path, &preparation->config, err);

    if (r == 0) {
        r = machine_inspect(preparation->config.state, &preparation->machine, err);
    }
    if (r == 0) {
        r = config_resolve(&preparation->config, &preparation->machine, &preparation->contribution,
                           err);
    }
    bool is_needed = geteuid() == 0 && options->action != OPTIONS_CHECK_CONFIG;
    /* A file may be checked before the package's own user is there. */
    bool is_checked =
        options->action == OPTIONS_CHECK_CONFIG && strcmp(preparation->config.user, "minga") != 0;

    if (r == 0 && (is_needed || is_checked)) {
        r = user_find(preparation->config.user, &preparation->user, err);
        if (r < 0) {
            err_wrap(err, "user");
        }
    } else {
        preparation->user = (struct user){.uid = geteuid(), .gid = getegid()};
    }
    return r;
}

static int write_limits(const struct preparation *preparation, struct err *err)
{
    int r = folders_make(&preparation->config, &preparation->user, err);

    return r < 0 ? r
                 : folders_write_limits(&preparation->config, &preparation->contribution,
                                        &preparation->user, err);
}

static int renew_state(const struct preparation *preparation, struct err *err)
{
    int r = folders_make(&preparation->config, &preparation->user, err);

    if (r == 0) {
        r = folders_lock(&preparation->config, err);
    }
    if (r == 0 && geteuid() == 0) {
        r = user_become(&preparation->user, err);
    }
    if (r == 0) {
        r = folders_renew(&preparation->config, err);
    }
    if (r == 0) {
        puts("this machine is a new node from its next start on; it belongs to no community");
    }
    return r;
}

/* Where a home folder is closed to others, the user that we have become cannot start it. */
static int check_worker(const struct user *user, struct err *err)
{
    if (worker_check(err) < 0) {
        err_wrap(err, "user %u cannot start minga-unpack", user->uid);
        return err_hint(err, "install the programs where everybody can read them: /usr/local/bin");
    }
    return 0;
}

/* A member may do without running anything: said, not fatal. */
static void start_helper(const struct preparation *preparation, struct edge_start *start,
                         struct sandbox_link *sandbox)
{
    struct err err = {0};

    if (config_has_role(&preparation->config, CONFIG_ROLE_RUN) &&
        helper_start(&preparation->config, sandbox, &start->helper_pid, &err) < 0) {
        log_error("run is off: %s", err.text);
    }
}

static bool has_environment(const struct preparation *preparation)
{
    return preparation->config.environment[0] != '\0';
}

/* Everything that needs root, and then no more root. */
static int use_root(const struct preparation *preparation, struct edge_start *start,
                    struct sandbox_link *sandbox, struct err *err)
{
    int r = folders_make(&preparation->config, &preparation->user, err);

    if (r == 0) {
        r = folders_lock(&preparation->config, err);
    }
    if (r == 0) {
        r = folders_write_limits(&preparation->config, &preparation->contribution,
                                 &preparation->user, err);
    }
    if (r < 0) {
        return r;
    }
    if (!has_environment(preparation)) {
        start_helper(preparation, start, sandbox);
    }
    start->control_fd = folders_bind_control(&preparation->config, err);
    if (start->control_fd < 0) {
        return start->control_fd;
    }
    r = user_become(&preparation->user, err);
    if (r == 0 && has_environment(preparation)) {
        start_helper(preparation, start, sandbox);
    }
    return r == 0 ? check_worker(&preparation->user, err) : r;
}

static int use_what_there_is(const struct preparation *preparation, struct edge_start *start,
                             struct sandbox_link *sandbox, struct err *err)
{
    struct err helper_err = {0};
    int r = folders_make(&preparation->config, &preparation->user, err);

    if (r == 0) {
        r = folders_lock(&preparation->config, err);
    }
    if (r < 0) {
        return r;
    }
    if (has_environment(preparation)) {
        start_helper(preparation, start, sandbox);
    } else if (config_has_role(&preparation->config, CONFIG_ROLE_RUN) &&
               sandbox_link_connect(sandbox, &helper_err) < 0) {
        log_warning("not started as root, and no sandbox helper answers: run is off until "
                    "minga-sandboxd runs");
    }
    start->control_fd = folders_bind_control(&preparation->config, err);
    return start->control_fd < 0 ? start->control_fd : 0;
}

/* After leaving a community: root is gone, socket and folders are ours already. */
static int use_what_is_kept(const struct preparation *preparation, struct edge_start *start,
                            struct sandbox_link *sandbox, struct err *err)
{
    struct err helper_err = {0};

    if (config_has_role(&preparation->config, CONFIG_ROLE_RUN) &&
        sandbox_link_connect(sandbox, &helper_err) < 0) {
        log_warning("run is off until minga-sandboxd runs: %s", helper_err.text);
    }
    start->control_fd = take_fd(&start->kept_fd);
    return start->control_fd < 0 ? err_set(err, -EBADF, "control socket: %m") : 0;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < DESCRIPTORS_MAX) {
        limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* ------------------------------------------------------------------ the sandbox's events */

static void on_up(void *context)
{
    edge_event(context, &(struct core_event){.kind = CORE_SANDBOX_UP});
}

static void on_listed(void *context)
{
    edge_event(context, &(struct core_event){.kind = CORE_SANDBOX_LISTED});
}

static void on_down(void *context, const char *reason)
{
    struct core_event event = {.kind = CORE_SANDBOX_DOWN};

    (void)text_copy(event.reason, sizeof(event.reason), reason);
    edge_event(context, &event);
}

/* minga-environment has no rights that this process lacks: whatever ended it, here is the next. */
static void on_absent(void *context)
{
    struct edge *edge = context;
    struct err err = {0};

    if (edge->config.environment[0] != '\0' && edge->helper_pid == 0 &&
        environment_start(&edge->config, &edge->helper_pid, &err) < 0) {
        log_warning("%s", err.text);
    }
}

static void on_sandbox(void *context, const struct sandbox_event *sandbox)
{
    const struct edge *edge = context;

    replica_log_sandbox(context, sandbox);
    keeper_note_replica(edge->keeper, sandbox);
    edge_event(context, &(struct core_event){.kind = CORE_SANDBOX, .sandbox = sandbox});
}

static void on_logs(void *context, uint64_t token, struct bytes bytes, uint64_t offset_bytes,
                    bool ended)
{
    edge_event(context, &(struct core_event){.kind = CORE_LOGS_READ,
                                             .token = token,
                                             .logs = bytes,
                                             .logs_offset_bytes = offset_bytes,
                                             .logs_ended = ended});
}

static void on_exec(void *context, uint64_t number, int fd, const char *reason)
{
    execs_opened(context, number, fd, reason);
}

static void on_programs(void *context, const struct sandbox_programs *running)
{
    const struct edge *edge = context;

    senses_programs(edge->senses, running);
}

static struct sandbox_link *make_sandbox_link(struct edge *edge, const struct config *config)
{
    const char *down_reason =
        config->environment[0] != '\0'
            ? "the execution environment does not answer: see mingad's log"
            : "no sandbox helper: start minga-sandboxd, or restart mingad as root";
    char path[FOLDERS_PATH_BYTES_MAX];
    struct sandbox_link_config link = {.loop = &edge->loop,
                                       .socket_path = path,
                                       .down_reason = down_reason,
                                       .events = {.context = edge,
                                                  .up = on_up,
                                                  .listed = on_listed,
                                                  .down = on_down,
                                                  .absent = on_absent,
                                                  .event = on_sandbox,
                                                  .logs = on_logs,
                                                  .exec = on_exec,
                                                  .programs = on_programs}};

    folders_helper_path(config, path);
    return sandbox_link_new(&link);
}

/* ------------------------------------------------------------------ main */

static int run_edge(struct edge *edge, struct edge_start *start,
                    const struct preparation *preparation, struct err *err)
{
    edge->sandbox = make_sandbox_link(edge, &preparation->config);
    if (edge->sandbox == NULL) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    int r;

    if (start->kept_fd >= 0) {
        r = use_what_is_kept(preparation, start, edge->sandbox, err);
    } else if (geteuid() == 0) {
        r = use_root(preparation, start, edge->sandbox, err);
    } else {
        r = use_what_there_is(preparation, start, edge->sandbox, err);
    }
    if (r < 0) {
        return r;
    }
    start->kept_fd = fcntl(start->control_fd, F_DUPFD_CLOEXEC, 0);
    r = edge_init(edge, start, err);
    if (r == 0) {
        edge_run(edge);
    }
    return r;
}

/* One life, from empty to empty. *again_out: another one begins, without the community. */
static int live(struct edge *edge, struct edge_start *start, const struct preparation *preparation,
                bool *again_out, struct err *err)
{
    int r = edge_open(edge, err);

    if (r < 0) {
        return r;
    }
    r = run_edge(edge, start, preparation, err);
    *again_out = r == 0 && edge->has_left && !edge->is_told_to_end;
    /* A helper that we started goes when its agent's connection does, unless it holds replicas
     * for the next agent, or that agent is us. */
    pid_t helper_pid = edge->is_restart || *again_out ? 0 : edge->helper_pid;

    edge_done(edge);
    helper_await_end(helper_pid);
    return r;
}

/* What was reloaded, and a helper that was started anew, are the next life's, too. */
static void carry_over(const struct edge *edge, struct preparation *preparation,
                       struct edge_start *start)
{
    memcpy(&preparation->config, &edge->config, sizeof(edge->config)); /* its padding, too */
    preparation->contribution = edge->contribution;
    start->helper_pid = edge->helper_pid;
}

static int run(const struct options *options, struct preparation *preparation, struct err *err)
{
    CLEANUP(cleanup_free) struct edge *edge = calloc(1, sizeof(*edge));
    struct edge_start start = {.config_path = options->config_path,
                               .config = &preparation->config,
                               .senses_root = options->senses_root,
                               .machine = &preparation->machine,
                               .contribution = &preparation->contribution,
                               .control_fd = -1,
                               .kept_fd = -1,
                               .api_group = user_group()};
    bool again = true;
    int r = 0;

    if (edge == NULL) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    if (options->record_path != NULL) { /* root's file, where there is root */
        r = recorder_open(options->record_path, options->record_bytes_max, &start.recorder, err);
    }
    while (again && r == 0) {
        memset(edge, 0, sizeof(*edge));
        r = live(edge, &start, preparation, &again, err);
        if (r == 0 && edge->has_left) {
            carry_over(edge, preparation, &start);
            r = folders_forget(&preparation->config, err);
        }
    }
    cleanup_close(&start.kept_fd);
    recorder_close(start.recorder);
    return r;
}

/* A peer that closes its end is seen where it is written to. */
static void ignore_broken_pipes(void)
{
    struct sigaction action = {.sa_handler = SIG_IGN};

    sigaction(SIGPIPE, &action, NULL);
}

/* Before any library starts a thread or allocates much. */
static void set_up_process(void)
{
    /* No thread has been started yet. */
    // NOLINTBEGIN(concurrency-mt-unsafe)
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, MMAP_BYTES_MIN);
    setenv("UV_THREADPOOL_SIZE", "2", 0);
    setenv("RES_OPTIONS", "timeout:1 attempts:2", 0); /* else an end waits for names for long */
    // NOLINTEND(concurrency-mt-unsafe)
    log_open(NULL);
    ignore_broken_pipes();
    umask(022);
    raise_descriptor_limit();
}

int main(int argument_count, char **arguments)
{
    struct preparation preparation;
    struct options options;
    struct err err = {0};

    memset(&preparation, 0, sizeof(preparation));
    if (file_hold_standard() < 0) {
        return STATUS_USAGE;
    }
    if (options_parse(argument_count, arguments, &options) < 0) {
        fputs("Try: mingad --help\n", stderr);
        return STATUS_USAGE;
    }
    if (options.action == OPTIONS_HELP || options.action == OPTIONS_VERSION) {
        fputs(options.action == OPTIONS_HELP ? options_usage : "mingad " MINGA_VERSION "\n",
              stdout);
        return 0;
    }
    if (options.is_verbose) {
        log_set_level(LOG_LEVEL_DEBUG);
    }
    if (sodium_init() < 0) {
        return STATUS_FAILED;
    }
    set_up_process();
    int r = prepare(&options, &preparation, &err);

    if (r == 0 && options.action == OPTIONS_CHECK_CONFIG) {
        say_config(options.config_path, &preparation.contribution.rules);
    } else if (r == 0 && options.action == OPTIONS_WRITE_LIMITS) {
        r = geteuid() == 0 ? write_limits(&preparation, &err)
                           : err_set(&err, -EPERM, "--write-limits: only root may do that");
    } else if (r == 0 && options.action == OPTIONS_RENEW_STATE) {
        r = renew_state(&preparation, &err);
    } else if (r == 0) {
        r = run(&options, &preparation, &err);
    }
    return r < 0 ? fail(&err) : 0;
}
