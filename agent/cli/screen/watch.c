// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/screen/watch.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/cli/screen/text.h"
#include "base/cleanup.h"
#include "base/limits.h"

enum {
    SCREEN_BYTES_MAX = 4 * 1048576,
    PERIOD_S = 1,
    PATIENCE_S = OWNER_REQUEST_MS / 1000 + 2, /* it answers before, or not at all */
};

#define HOME       "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_REST "\033[J"

static uint32_t rows_of(struct bytes frame)
{
    uint32_t count = 0;

    for (size_t i = 0; i < frame.length_bytes; i++) {
        count += frame.data[i] == '\n' ? 1 : 0;
    }
    return count;
}

static int append_text(struct buffer *out, const char *text)
{
    return buffer_append(out, text, strlen(text));
}

int watch_lay(struct bytes frame, uint32_t row_count, struct buffer *out)
{
    uint32_t all_count = rows_of(frame);
    /* The last row stays free: a line end there would scroll the first one away. */
    uint32_t room_count = row_count > 2 ? row_count - 1 : UINT32_MAX;
    uint32_t shown_count = all_count <= room_count ? all_count : room_count - 1;
    const uint8_t *line = frame.data;
    char more[64];
    int r = append_text(out, HOME);

    for (uint32_t i = 0; i < shown_count && r == 0; i++) {
        const uint8_t *end = memchr(line, '\n', frame.length_bytes - (size_t)(line - frame.data));

        r = buffer_append(out, line, (size_t)(end - line));
        r = r == 0 ? append_text(out, CLEAR_LINE "\n") : r;
        line = end + 1;
    }
    if (r == 0 && shown_count < all_count) {
        snprintf(more, sizeof(more), "... and %u lines more" CLEAR_LINE "\n",
                 all_count - shown_count);
        r = append_text(out, more);
    }
    return r == 0 ? append_text(out, CLEAR_REST) : r;
}

/* ------------------------------------------------------------------ one look after the other */

struct view {
    struct session *session;
    watch_print *print;
    json_t *document;   /* what the agent said last */
    time_t lost_unix_s; /* it has not answered since; 0: it does */
};

static bool is_in_place(const struct session *session)
{
    return session->interactive_output && session->draws && !session->json;
}

/* Above the frame, where it is seen however long that is; never wider than the window. */
static void append_lost(const struct view *view, struct buffer *frame)
{
    const struct session *session = view->session;
    char line[ERR_TEXT_BYTES_MAX + 64];
    char since[16] = "";
    struct tm local;

    if (localtime_r(&view->lost_unix_s, &local) != NULL) {
        (void)strftime(since, sizeof(since), "%H:%M:%S", &local);
    }
    snprintf(line, sizeof(line), "NO ANSWER since %s, shown as then: %s", since,
             session->problem.why);
    text_clean(line);
    if (session->width_columns > 0) {
        line[text_prefix_bytes(line, session->width_columns)] = '\0';
    }
    (void)append_text(frame, line);
    (void)append_text(frame, "\n");
}

static void show_frame(const struct view *view)
{
    CLEANUP(cleanup_buffer) struct buffer frame = {.bytes_max = SCREEN_BYTES_MAX};
    CLEANUP(cleanup_buffer) struct buffer screen = {.bytes_max = 2 * SCREEN_BYTES_MAX};
    struct session *session = view->session;

    session_measure(session); /* it may have another size now */
    if (view->lost_unix_s != 0) {
        append_lost(view, &frame);
    }
    session->frame = &frame;
    view->print(session, view->document);
    session->frame = NULL;
    if (watch_lay(buffer_bytes(&frame), session->row_count, &screen) == 0) {
        fwrite(screen.data, 1, screen.length_bytes, stdout);
        fflush(stdout);
    }
}

static void show(const struct view *view)
{
    if (view->session->json) {
        print_line(view->document);
    } else if (is_in_place(view->session)) {
        show_frame(view);
    } else {
        view->print(view->session, view->document);
        fflush(stdout);
    }
}

static void tell_lost(struct view *view)
{
    bool is_new = view->lost_unix_s == 0;

    view->lost_unix_s = is_new ? time(NULL) : view->lost_unix_s;
    if (is_in_place(view->session)) {
        show_frame(view);
    } else if (is_new) {
        remark("no answer: %s; waiting", view->session->problem.why);
    }
}

static void tell_back(struct view *view)
{
    if (view->lost_unix_s != 0 && !is_in_place(view->session)) {
        remark("answers again");
    }
    view->lost_unix_s = 0;
}

static int look(struct view *view, const char *path)
{
    json_t *document = NULL;
    int status = session_get(view->session, path, &document);

    if (status == EXIT_DONE) {
        json_decref(view->document);
        view->document = document;
        tell_back(view);
        show(view);
    } else if (view->document != NULL && session_may_pass(view->session, status)) {
        tell_lost(view);
        status = EXIT_DONE;
    }
    return status;
}

int watch(struct session *session, const char *path, watch_print *print)
{
    struct view view = {.session = session, .print = print};
    int status = EXIT_DONE;

    if (is_in_place(session)) {
        fputs(HOME CLEAR_REST, stdout);
    }
    while (status == EXIT_DONE && ferror(stdout) == 0) {
        status = look(&view, path);
        session->patience_s = PATIENCE_S;
        if (status == EXIT_DONE) {
            nanosleep(&(struct timespec){.tv_sec = PERIOD_S}, NULL);
        }
    }
    json_decref(view.document);
    return status;
}
