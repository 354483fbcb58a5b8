// SPDX-License-Identifier: GPL-3.0-or-later
#include "agent/cli/watch.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"

enum { FRAME_BYTES_MAX = 4 * 1048576, PERIOD_S = 1 };

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

static void show_frame(struct session *session, const json_t *document, watch_print *print)
{
    CLEANUP(cleanup_buffer) struct buffer frame = {.bytes_max = FRAME_BYTES_MAX};
    CLEANUP(cleanup_buffer) struct buffer screen = {.bytes_max = 2 * FRAME_BYTES_MAX};

    session_measure(session); /* it may have another size now */
    session->frame = &frame;
    print(session, document);
    session->frame = NULL;
    if (watch_lay(buffer_bytes(&frame), session->row_count, &screen) == 0) {
        fwrite(screen.data, 1, screen.length_bytes, stdout);
        fflush(stdout);
    }
}

static void show(struct session *session, const json_t *document, watch_print *print)
{
    if (session->json) {
        print_line(document);
    } else if (session->interactive_output && session->draws) {
        show_frame(session, document, print);
    } else {
        print(session, document);
        fflush(stdout);
    }
}

int watch(struct session *session, const char *path, watch_print *print)
{
    int status = EXIT_DONE;

    if (session->interactive_output && session->draws && !session->json) {
        fputs(HOME CLEAR_REST, stdout);
    }
    while (status == EXIT_DONE && ferror(stdout) == 0) {
        CLEANUP(cleanup_json) json_t *document = NULL;

        status = session_get(session, path, &document);
        if (status == EXIT_DONE) {
            show(session, document, print);
            nanosleep(&(struct timespec){.tv_sec = PERIOD_S}, NULL);
        }
    }
    return status;
}
