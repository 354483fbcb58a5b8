// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/remote.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/signals.h"
#include "base/check.h"
#include "overlay/signed.h"

enum {
    STREAM_BYTES_MAX = 256 << 10,
    SILENT_MS_MAX = 8000, /* of a node: then it is gone */
    KEEP_MS = 2000,       /* to say that we are there, when nothing else is asked */
    WRITE_AGAIN_MS = 20,  /* after nothing of the input was taken */
    POLL_MS = 100,
    GRACE_MS = 15000, /* beyond a job's time, until we give up ourselves */
};

static uint64_t now_ms(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ the end of a job */

static void give_up(struct remote *remote, struct remote_job *job, const char *why)
{
    if (job->why[0] == '\0' && !job->has_end) {
        snprintf(job->why, sizeof(job->why), "%s", why);
    }
    if (job->writing.busy) {
        curl_multi_remove_handle(remote->multi, job->writing.easy);
        job->writing.busy = false;
    }
    if (job->session[0] == '\0' || job->state == REMOTE_CLOSING) {
        job->state = REMOTE_OVER;
        return;
    }
    if (job->reading.busy) {
        curl_multi_remove_handle(remote->multi, job->reading.easy);
        job->reading.busy = false;
    }
    job->reading.body_bytes = 0;
    job->state = REMOTE_CLOSING;
    if (!call_begin(remote, job, &job->reading, "close")) {
        job->state = REMOTE_OVER;
    }
}

/* ------------------------------------------------------------------ beginning */

static void greet(struct remote *remote, struct remote_job *job)
{
    job->state = REMOTE_GREETING;
    job->heard_ms = now_ms();
    if (!call_begin(remote, job, &job->reading, "hello")) {
        give_up(remote, job, "no memory");
    }
}

static size_t words_bytes(const struct exec_begin *begin)
{
    size_t length = 0;

    for (uint32_t i = 0; i < begin->word_count; i++) {
        length += strlen(begin->words + length) + 1;
    }
    return length;
}

/* The owner's word that this may be run, in this session only. */
static bool sign(const struct remote *remote, struct remote_job *job)
{
    minga_ExecRequest request = minga_ExecRequest_init_zero;
    minga_Signed signed_thing;
    struct id node;
    int length;

    if (job->reading.reply.length_bytes != sizeof(request.session) ||
        id_from_hex(job->node, &node) < 0) {
        return false;
    }
    memcpy(request.session, job->reading.reply.data, sizeof(request.session));
    memcpy(request.node, node.bytes, ID_BYTES);
    memcpy(request.service, job->replica.service.id.bytes, ID_BYTES);
    request.slot = job->replica.slot;
    request.incarnation = job->replica.incarnation;
    request.kind = (uint32_t)job->begin.kind;
    request.time_ms = job->begin.time_ms;
    request.words.size = (pb_size_t)words_bytes(&job->begin);
    memcpy(request.words.bytes, job->begin.words, request.words.size);
    if (signed_make(minga_ExecRequest_fields, &request, PURPOSE_EXEC, remote->owner,
                    &signed_thing) < 0) {
        return false;
    }
    length = signed_encode(&signed_thing, job->reading.body, sizeof(job->reading.body));
    job->reading.body_bytes = length < 0 ? 0 : (size_t)length;
    return length >= 0;
}

static void open_session(struct remote *remote, struct remote_job *job)
{
    if (!sign(remote, job)) {
        give_up(remote, job, "its node answers in an unknown way");
        return;
    }
    bytes_to_hex(buffer_bytes(&job->reading.reply), job->session);
    job->state = REMOTE_OPENING;
    if (!call_begin(remote, job, &job->reading, "open")) {
        give_up(remote, job, "no memory");
    }
}

/* ------------------------------------------------------------------ the streams */

static bool sinks_are_empty(const struct remote_job *job)
{
    return sink_is_empty(job->output) && sink_is_empty(job->errors);
}

static void take_frame(struct remote_job *job, const struct exec_frame *frame)
{
    if (frame->kind == EXEC_END) {
        job->has_end = exec_end_decode(frame->bytes, &job->end) == 0;
        sink_end(job->output);
        sink_end(job->errors);
        return;
    }
    job->output_bytes += frame->bytes.length_bytes;
    sink_put(frame->kind == EXEC_OUTPUT ? job->output : job->errors, frame->bytes.data,
             frame->bytes.length_bytes);
}

/* Frame by frame, as the sinks take them. */
static void take_frames(struct remote *remote, struct remote_job *job)
{
    struct bytes left = buffer_bytes(&job->stream);
    struct exec_frame frame;
    int r = 1;

    while (!job->has_end && sinks_are_empty(job) && (r = exec_frame_next(&left, &frame)) > 0) {
        take_frame(job, &frame);
        sink_flush(job->output);
        sink_flush(job->errors);
    }
    if (left.length_bytes > 0) {
        memmove(job->stream.data, left.data, left.length_bytes);
    }
    job->stream.length_bytes = left.length_bytes;
    if (r < 0) {
        give_up(remote, job, "its node answers in an unknown way");
    } else if (job->has_end && sinks_are_empty(job)) {
        give_up(remote, job, "");
    } else if (r == 0 && job->stream_over) {
        give_up(remote, job, "the replica ended, or its node did");
    } else if (sink_is_over(job->output)) {
        give_up(remote, job, "nobody takes its output");
    }
}

static void read_more(struct remote *remote, struct remote_job *job)
{
    bool is_full = job->stream.length_bytes > REMOTE_BODY_BYTES_MAX;
    const char *what = is_full || job->stream_over ? "keep" : "read";

    if (job->reading.busy || (what[0] == 'k' && now_ms() < job->asked_ms + KEEP_MS)) {
        return;
    }
    job->reading.body_bytes = 0;
    job->asked_ms = now_ms();
    if (!call_begin(remote, job, &job->reading, what)) {
        give_up(remote, job, "no memory");
    }
}

/* Input is read no faster than it is taken. */
static void write_more(struct remote *remote, struct remote_job *job)
{
    struct remote_call *call = &job->writing;
    struct pollfd polled = {job->input_fd, POLLIN, 0};

    if (call->busy || job->input_closed || now_ms() < job->write_again_ms) {
        return;
    }
    if (call->body_bytes == 0 && !job->input_over && poll(&polled, 1, 0) > 0) {
        ssize_t count = read(job->input_fd, call->body, sizeof(call->body));

        if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        job->input_over = count <= 0;
        call->body_bytes = count > 0 ? (size_t)count : 0;
    }
    if ((call->body_bytes > 0 || job->input_over) && !call_begin(remote, job, call, "write")) {
        give_up(remote, job, "no memory");
    }
}

static void on_written(struct remote_job *job)
{
    struct remote_call *call = &job->writing;
    uint64_t taken =
        call->window.offset > job->written_bytes ? call->window.offset - job->written_bytes : 0;

    taken = taken < call->body_bytes ? taken : call->body_bytes;
    job->input_closed = call->body_bytes == 0;
    job->write_again_ms = taken == 0 ? now_ms() + WRITE_AGAIN_MS : 0;
    job->written_bytes += taken;
    call->body_bytes -= (size_t)taken;
    memmove(call->body, call->body + taken, call->body_bytes);
}

static void on_read(struct remote *remote, struct remote_job *job)
{
    struct remote_call *call = &job->reading;

    if (strcmp(call->what, "keep") == 0) {
        return;
    }
    if (call->window.offset == job->read_bytes) {
        if (buffer_append(&job->stream, call->reply.data, call->reply.length_bytes) < 0) {
            give_up(remote, job, "no memory");
            return;
        }
        job->read_bytes += call->reply.length_bytes;
        job->stream_over = call->window.ended;
    }
}

/* ------------------------------------------------------------------ answers */

/* Everything that is asked in a session may be asked again. */
static bool is_worth_repeating(const struct remote_job *job, const struct call_result *result)
{
    return job->state == REMOTE_RUNNING && (result->status == 504 || result->status == 503) &&
           now_ms() < job->heard_ms + SILENT_MS_MAX;
}

static void on_result(struct remote *remote, const struct call_result *result)
{
    struct remote_job *job = result->job;

    if (job->state == REMOTE_CLOSING) {
        job->state = REMOTE_OVER;
        return;
    }
    if (result->status != 200) {
        if (!is_worth_repeating(job, result)) {
            job->is_late = result->status == 504;
            give_up(remote, job, job->is_late ? "its node does not answer" : result->why);
        }
        return;
    }
    job->heard_ms = now_ms();
    if (job->state == REMOTE_GREETING) {
        open_session(remote, job);
    } else if (job->state == REMOTE_OPENING) {
        job->state = REMOTE_RUNNING;
        job->late_ms = job->heard_ms + job->begin.time_ms + GRACE_MS;
    } else if (result->call == &job->writing) {
        on_written(job);
    } else {
        on_read(remote, job);
    }
}

/* ------------------------------------------------------------------ the loop */

/* Its node has to end it in time, whatever it says meanwhile. Whoever takes the output may be slow:
 * what waits for that is not late, nor what comes soon after. */
static bool is_over_due(struct remote_job *job)
{
    uint64_t now = now_ms();

    if (!sinks_are_empty(job) && job->late_ms < now + GRACE_MS) {
        job->late_ms = now + GRACE_MS;
    }
    return now > job->late_ms;
}

static void step_job(struct remote *remote, struct remote_job *job)
{
    sink_flush(job->output);
    sink_flush(job->errors);
    take_frames(remote, job);
    if (job->state == REMOTE_RUNNING) {
        read_more(remote, job);
    }
    if (job->state == REMOTE_RUNNING) {
        write_more(remote, job);
    }
    if (job->state == REMOTE_RUNNING && is_over_due(job)) {
        job->is_late = true;
        give_up(remote, job, "its node does not end it");
    }
}

static void begin_more(struct remote *remote)
{
    uint32_t running = 0;

    for (uint32_t i = 0; i < remote->count; i++) {
        enum remote_state state = remote->jobs[i].state;

        running += state != REMOTE_WAITING && state != REMOTE_OVER ? 1 : 0;
    }
    for (uint32_t i = 0; i < remote->count; i++) {
        if (remote->jobs[i].state == REMOTE_WAITING && running < remote->parallel &&
            now_ms() >= remote->next_ms) {
            greet(remote, &remote->jobs[i]);
            remote->next_ms = now_ms() + remote->delay_ms;
            running++;
        }
    }
}

/* Returns whether anything is left to do. */
static bool step(struct remote *remote)
{
    bool left = false;

    if (remote->signal_number == 0) {
        begin_more(remote);
    }
    for (uint32_t i = 0; i < remote->count; i++) {
        struct remote_job *job = &remote->jobs[i];

        if (job->state == REMOTE_RUNNING) {
            step_job(remote, job);
        }
        left = left || (job->state != REMOTE_OVER &&
                        (job->state != REMOTE_WAITING || remote->signal_number == 0));
    }
    return left;
}

static void on_signal(struct remote *remote)
{
    struct signalfd_siginfo info;

    if (read(remote->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
        return;
    }
    remote->signal_number = (int)info.ssi_signo;
    for (uint32_t i = 0; i < remote->count; i++) {
        struct remote_job *job = &remote->jobs[i];

        if (job->state != REMOTE_OVER && job->state != REMOTE_WAITING) {
            give_up(remote, job, "interrupted");
        }
    }
}

/* What the loop waits for besides the agent. Returns how many. */
static unsigned fill_waits(struct remote *remote, struct curl_waitfd *waits, unsigned capacity)
{
    unsigned count = 0;

    waits[count++] = (struct curl_waitfd){remote->signal_fd, CURL_WAIT_POLLIN, 0};
    for (uint32_t i = 0; i < remote->count && count + 3 <= capacity; i++) {
        const struct remote_job *job = &remote->jobs[i];

        if (job->state != REMOTE_RUNNING) {
            continue;
        }
        if (!sink_is_empty(job->output)) {
            waits[count++] = (struct curl_waitfd){sink_fd(job->output), CURL_WAIT_POLLOUT, 0};
        }
        if (!sink_is_empty(job->errors)) {
            waits[count++] = (struct curl_waitfd){sink_fd(job->errors), CURL_WAIT_POLLOUT, 0};
        }
        if (!job->input_over && !job->writing.busy && job->writing.body_bytes == 0) {
            waits[count++] = (struct curl_waitfd){job->input_fd, CURL_WAIT_POLLIN, 0};
        }
    }
    return count;
}

static bool is_eager(const struct remote *remote)
{
    for (uint32_t i = 0; i < remote->count; i++) {
        if (remote->jobs[i].state == REMOTE_RUNNING && remote->jobs[i].write_again_ms != 0) {
            return true;
        }
    }
    return false;
}

static void turn(struct remote *remote)
{
    enum { WAITS_MAX = 1 + 3 * REPLICAS_PER_SERVICE_MAX };
    struct curl_waitfd waits[WAITS_MAX];
    unsigned count = fill_waits(remote, waits, WAITS_MAX);
    struct call_result result;
    int running = 0;

    curl_multi_perform(remote->multi, &running);
    curl_multi_poll(remote->multi, waits, count, is_eager(remote) ? WRITE_AGAIN_MS : POLL_MS, NULL);
    curl_multi_perform(remote->multi, &running);
    if (waits[0].revents != 0) {
        on_signal(remote);
    }
    while (call_next(remote, &result)) {
        on_result(remote, &result);
    }
    if (remote->progress != NULL) {
        remote->progress(remote->context);
    }
}

static int open_signals(void)
{
    sigset_t signals;

    signals_of_end(&signals);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0) {
        return -errno;
    }
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

int remote_run(struct remote *remote)
{
    remote->multi = curl_multi_init();
    remote->signal_fd = open_signals();
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    if (remote->multi == NULL || remote->signal_fd < 0) {
        return problem_set(&remote->session->problem, EXIT_REFUSED, "exec", "no memory");
    }
    for (uint32_t i = 0; i < remote->count; i++) {
        remote->jobs[i].stream.bytes_max = STREAM_BYTES_MAX;
        remote->jobs[i].input_over = remote->jobs[i].input_fd < 0;
    }
    while (step(remote)) {
        turn(remote);
    }
    return EXIT_DONE;
}

void remote_done(struct remote *remote)
{
    for (uint32_t i = 0; i < remote->count && remote->multi != NULL; i++) {
        call_done(remote, &remote->jobs[i].reading);
        call_done(remote, &remote->jobs[i].writing);
        buffer_done(&remote->jobs[i].stream);
    }
    curl_multi_cleanup(remote->multi);
    remote->multi = NULL;
    if (remote->signal_fd > 0) {
        close(remote->signal_fd);
    }
}

void remote_die(const struct remote *remote)
{
    sigset_t none;

    if (remote->signal_number != 0) {
        sigemptyset(&none);
        sigaction(remote->signal_number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
        raise(remote->signal_number);
        sigprocmask(SIG_SETMASK, &none, NULL);
    }
}
