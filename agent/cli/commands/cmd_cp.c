// SPDX-License-Identifier: GPL-3.0-or-later
/* minga cp NAME[/REPLICA]:PATH LOCAL, minga cp LOCAL NAME[/REPLICA]:PATH */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cli/beneath.h"
#include "agent/cli/replicas.h"
#include "agent/cli/resolve.h"
#include "agent/cli/screen/text.h"
#include "agent/cli/signals.h"
#include "base/cleanup.h"
#include "sandbox/tree_copy.h"

enum { TIME_MS_DEFAULT = 3600000, SERVICE_BYTES = 128, PIPE_BYTES = 1 << 18 };

/* One copy: a child that reads or writes files here, beside the job that does so there. */
struct part {
    char path[PATH_BYTES_MAX]; /* here */
    pid_t child;
    int pipe_fd; /* our end */
    bool failed; /* the child */
    struct sink bytes;
    struct sink errors;
};

struct copy {
    struct session *session;
    struct remote_pace pace;
    bool is_fetch;
    char service[SERVICE_BYTES];
    const char *remote_path;
    const char *local_path;
    struct replicas replicas;
    struct sink stderr_sink;
    struct bar bar;
    struct part parts[REPLICAS_PER_SERVICE_MAX];
};

/* ------------------------------------------------------------------ from where to where */

/* "wiki/1:/srv": the part before the first ":" is a service or replica. Else it is a file here. */
static bool split_remote(const char *text, char service_out[SERVICE_BYTES], const char **path_out)
{
    const char *colon = strchr(text, ':');
    struct problem ignored = {0};
    struct service_name name;

    if (colon == NULL || (size_t)(colon - text) >= SERVICE_BYTES || colon[1] == '\0') {
        return false;
    }
    memcpy(service_out, text, (size_t)(colon - text));
    service_out[colon - text] = '\0';
    *path_out = colon + 1;
    return service_name_parse(service_out, true, &name, &ignored) == EXIT_DONE;
}

static int read_sides(struct copy *copy, const char *from, const char *to)
{
    struct problem *problem = &copy->session->problem;
    char other[SERVICE_BYTES];
    const char *ignored;

    if (split_remote(from, copy->service, &copy->remote_path)) {
        copy->is_fetch = true;
        copy->local_path = to;
        if (!split_remote(to, other, &ignored)) {
            return EXIT_DONE;
        }
    } else if (split_remote(to, copy->service, &copy->remote_path)) {
        copy->local_path = from;
        return EXIT_DONE;
    }
    problem_set(problem, EXIT_USAGE, "cp", "exactly one of the two is NAME:PATH or NAME/N:PATH");
    return problem_advise(problem, "a file here with a colon in its name is ./NAME");
}

/* Each "@" becomes the replica's name, with "-" for "/": "wiki-1". */
static int expand(struct copy *copy, const char *path, const char *name, char *path_out)
{
    size_t used = 0;

    for (; *path != '\0'; path++) {
        size_t length = *path == '@' ? strlen(name) : 1;

        if (used + length >= PATH_BYTES_MAX) {
            return problem_set(&copy->session->problem, EXIT_USAGE, "cp", "a path is too long");
        }
        memcpy(path_out + used, *path == '@' ? name : path, length);
        used += length;
    }
    path_out[used] = '\0';
    return EXIT_DONE;
}

/* What the thing at the end of a path is called; "" for what is in it. */
static void last_part(const char *path, char name_out[TREE_COPY_NAME_BYTES])
{
    size_t length = strlen(path);
    const char *slash;

    while (length > 0 && path[length - 1] == '/') {
        length--;
    }
    slash = length == 0 ? NULL : memrchr(path, '/', length);
    slash = slash == NULL ? path : slash + 1;
    length -= (size_t)(slash - path);
    if (length >= TREE_COPY_NAME_BYTES || (length == 1 && slash[0] == '.') ||
        (length == 2 && slash[0] == '.' && slash[1] == '.')) {
        length = 0;
    }
    memcpy(name_out, slash, length);
    name_out[length] = '\0';
}

/* ------------------------------------------------------------------ the child */

static void say_left_out(void *context, const char *path, const char *why)
{
    char line[PATH_BYTES_MAX + 64];

    snprintf(line, sizeof(line), "%s", path);
    text_clean(line);
    remark("minga: %s: %s: left out: %s", (const char *)context, line, why);
}

static int receive(const struct copy *copy, const struct part *part, struct tree_copy *files,
                   int fd, struct err *err)
{
    char name[TREE_COPY_NAME_BYTES];
    char leaf[TREE_COPY_NAME_BYTES] = "";

    last_part(copy->remote_path, name);
    CLEANUP(cleanup_close) int folder_fd = tree_copy_place(part->path, name, leaf, err);
    int r = folder_fd < 0 ? folder_fd : beneath_only(folder_fd);

    if (folder_fd >= 0 && r < 0 && r != -EOPNOTSUPP) {
        errno = -r;
        return err_set(err, r, "landlock: %m");
    }
    return folder_fd < 0 ? folder_fd : tree_receive(files, fd, folder_fd, leaf, err);
}

/* Ctrl-C is for all of this terminal: we end when our input does, and take away what is not complete. */
static void hold_signals(void)
{
    sigset_t held;

    signals_of_end(&held);
    sigprocmask(SIG_SETMASK, &held, NULL);
}

static bool is_interrupted(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, SIGINT) == 1;
}

static _Noreturn void run_child(const struct copy *copy, const struct part *part, char *name,
                                int fd)
{
    struct tree_copy files = {.say = say_left_out, .context = name, .bytes_max = BUNDLE_BYTES_MAX};
    struct err err = {0};
    int r;

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    hold_signals();
    if (dup2(fd, STDIN_FILENO) < 0 || close_range(3, ~0U, 0) < 0) {
        _exit(EXIT_REFUSED);
    }
    r = copy->is_fetch ? receive(copy, part, &files, STDIN_FILENO, &err)
                       : tree_send(&files, part->path, STDIN_FILENO, &err);
    /* Where nothing came at all, the other side says why; who interrupted it knows. */
    if (r < 0 && r != -EPIPE && !(r == -ENODATA && (files.entry_count == 0 || is_interrupted()))) {
        text_clean(err.text);
        remark("minga: %s: %s", name, err.text);
    }
    _exit(r < 0 || files.left_out_count > 0 ? EXIT_REFUSED : EXIT_DONE);
}

static int start_child(struct copy *copy, struct part *part, struct remote_job *job)
{
    int ends[2];
    int own = copy->is_fetch ? 1 : 0;

    if (pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[own], F_SETFL, O_NONBLOCK) < 0) {
        return problem_set(&copy->session->problem, EXIT_REFUSED, "cp", "%m");
    }
    (void)fcntl(ends[own], F_SETPIPE_SZ, PIPE_BYTES);
    fflush(stdout);
    part->child = fork();
    if (part->child == 0) {
        run_child(copy, part, job->name, ends[1 - own]);
    }
    close(ends[1 - own]);
    part->pipe_fd = ends[own];
    if (part->child < 0) {
        return problem_set(&copy->session->problem, EXIT_REFUSED, "cp", "%m");
    }
    sink_init(&part->bytes, copy->is_fetch ? part->pipe_fd : -1, false);
    sink_init_into(&part->errors, SINK_LINES, &copy->stderr_sink, job->name, "stderr");
    job->output = &part->bytes;
    job->errors = &part->errors;
    job->input_fd = copy->is_fetch ? -1 : part->pipe_fd;
    return EXIT_DONE;
}

static void await_children(struct copy *copy)
{
    for (uint32_t i = 0; i < copy->replicas.count; i++) {
        struct part *part = &copy->parts[i];
        int status = 0;

        sink_done(&part->bytes);
        sink_done(&part->errors);
        cleanup_close(&part->pipe_fd);
        if (part->child > 0) {
            while (waitpid(part->child, &status, 0) < 0 && errno == EINTR) {
            }
            part->failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        }
    }
}

/* ------------------------------------------------------------------ the jobs */

static int prepare_job(struct copy *copy, uint32_t index)
{
    struct remote_job *job = &copy->replicas.jobs[index];
    char path[PATH_BYTES_MAX];
    char name[REMOTE_NAME_BYTES];
    char leaf[TREE_COPY_NAME_BYTES];
    const char *words[2] = {path, leaf};
    int status;

    snprintf(name, sizeof(name), "%s", job->name);
    *strchr(name, '/') = '-';
    status = expand(copy, copy->remote_path, name, path);
    if (status == EXIT_DONE) {
        status = expand(copy, copy->local_path, name, copy->parts[index].path);
    }
    last_part(copy->parts[index].path, leaf);
    job->begin.kind = copy->is_fetch ? EXEC_FETCH : EXEC_STORE;
    job->begin.time_ms = copy->pace.time_ms;
    return status == EXIT_DONE ? replicas_words(copy->session, job, words, copy->is_fetch ? 1 : 2)
                               : status;
}

static int check_local(struct copy *copy)
{
    struct problem *problem = &copy->session->problem;
    struct stat status;

    if (copy->is_fetch && copy->replicas.count > 1 && strchr(copy->local_path, '@') == NULL) {
        problem_set(problem, EXIT_USAGE, copy->local_path, "%u replicas cannot all go there",
                    copy->replicas.count);
        return problem_advise(problem, "write @ where the replica's name is to stand: %s/@",
                              copy->local_path);
    }
    for (uint32_t i = 0; !copy->is_fetch && i < copy->replicas.count; i++) {
        if (stat(copy->parts[i].path, &status) < 0) {
            return problem_set(problem, EXIT_NOT_FOUND, copy->parts[i].path, "%m");
        }
    }
    return EXIT_DONE;
}

static int prepare(struct copy *copy, const struct arguments *arguments)
{
    int status = remote_pace_read(copy->session, arguments, TIME_MS_DEFAULT, &copy->pace);

    if (status == EXIT_DONE) {
        status = read_sides(copy, arguments->words[0], arguments->words[1]);
    }
    if (status == EXIT_DONE) {
        status = replicas_find(copy->session, copy->service, &copy->replicas);
    }
    for (uint32_t i = 0; i < REPLICAS_PER_SERVICE_MAX; i++) {
        copy->parts[i].pipe_fd = -1;
    }
    for (uint32_t i = 0; status == EXIT_DONE && i < copy->replicas.count; i++) {
        status = prepare_job(copy, i);
    }
    if (status == EXIT_DONE) {
        status = check_local(copy);
    }
    sink_init(&copy->stderr_sink, STDERR_FILENO, isatty(STDERR_FILENO) != 0);
    return status;
}

/* ------------------------------------------------------------------ all of it */

static uint64_t bytes_of(const struct copy *copy, const struct remote_job *job)
{
    return copy->is_fetch ? job->output_bytes : job->written_bytes;
}

static uint64_t bytes_of_all(const struct copy *copy)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < copy->replicas.count; i++) {
        bytes += bytes_of(copy, &copy->replicas.jobs[i]);
    }
    return bytes;
}

static void show_progress(void *context)
{
    struct copy *copy = context;

    progress_bar(copy->session, &copy->bar, bytes_of_all(copy), 0);
}

static void say_json(const struct copy *copy, const struct remote_job *job, bool good,
                     const char *text)
{
    json_t *line = json_pack("{ss ss sb ss sI}", "replica", job->name, "node_name", job->node_name,
                             "ok", good, "end", text, "bytes", (json_int_t)bytes_of(copy, job));

    print_line(line);
    json_decref(line);
}

static int judge(struct copy *copy)
{
    uint32_t failed_count = 0;
    bool is_late = false;

    progress(copy->session, "%s", "");
    for (uint32_t i = 0; i < copy->replicas.count; i++) {
        const struct remote_job *job = &copy->replicas.jobs[i];
        char text[REMOTE_WHY_BYTES];
        bool good = remote_judge(job, copy->pace.time_ms, text, sizeof(text));

        if (good && copy->parts[i].failed) {
            good = false;
            snprintf(text, sizeof(text), "not all could be %s here",
                     copy->is_fetch ? "written" : "read");
        }
        failed_count += good ? 0 : 1;
        is_late = is_late || job->is_late || (job->has_end && job->end.kind == EXEC_TOO_LATE);
        if (copy->session->json) {
            say_json(copy, job, good, good ? "copied" : text);
        } else if (!good && copy->replicas.count > 1) {
            remark("minga: %s on %s: %s", job->name, job->node_name, text);
        }
        if (!good && copy->replicas.count == 1) {
            return problem_set(&copy->session->problem, is_late ? EXIT_LATE : EXIT_REFUSED,
                               job->name, "%s", text);
        }
    }
    if (failed_count == 0) {
        progress_total(copy->session, &copy->bar, "copied", bytes_of_all(copy));
        return EXIT_DONE;
    }
    return problem_set(&copy->session->problem, is_late ? EXIT_LATE : EXIT_REFUSED, "cp",
                       "%u of %u failed", failed_count, copy->replicas.count);
}

static int run_all(struct copy *copy, const struct secret_key *secret)
{
    struct remote remote = {.session = copy->session,
                            .owner = secret,
                            .count = copy->replicas.count,
                            .jobs = copy->replicas.jobs,
                            .parallel = copy->pace.parallel,
                            .delay_ms = copy->pace.delay_ms,
                            .signal_fd = -1,
                            .progress = show_progress,
                            .context = copy};
    int status = EXIT_DONE;

    progress_begin(&copy->bar, "copying");
    for (uint32_t i = 0; status == EXIT_DONE && i < copy->replicas.count; i++) {
        status = start_child(copy, &copy->parts[i], &copy->replicas.jobs[i]);
    }
    if (status == EXIT_DONE) {
        status = remote_run(&remote);
    }
    await_children(copy);
    if (status == EXIT_DONE && remote.signal_number == 0) {
        status = judge(copy);
    }
    remote_done(&remote);
    remote_die(&remote);
    return status;
}

int run_cp(struct session *session, const struct arguments *arguments)
{
    CLEANUP(cleanup_free) struct copy *copy = calloc(1, sizeof(*copy));
    struct secret_key secret;
    int status;

    if (copy == NULL) {
        return problem_set(&session->problem, EXIT_REFUSED, "cp", "no memory");
    }
    copy->session = session;
    status = prepare(copy, arguments);
    if (status == EXIT_DONE) {
        status = session_owner_key_if_any(session, &secret);
    }
    if (status == EXIT_DONE) {
        status = run_all(copy, &secret);
        keys_forget(&secret);
    }
    sink_done(&copy->stderr_sink);
    return status;
}
