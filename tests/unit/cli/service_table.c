// SPDX-License-Identifier: GPL-3.0-or-later
/* What of many services and replicas is seen in a window that is refreshed in place. */
#include "agent/cli/screen/service_table.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void add(json_t *services, const char *state, unsigned count, unsigned replica_count)
{
    for (unsigned i = 0; i < count; i++) {
        char name[32];
        char id[48];
        json_t *replicas = json_array();

        snprintf(name, sizeof(name), "%s%u", state, i);
        for (unsigned k = 0; k < replica_count; k++) {
            snprintf(id, sizeof(id), "%s/%u", name, k + 1);
            json_array_append_new(replicas, json_pack("{ss ss}", "id", id, "state", "running"));
        }
        json_array_append_new(
            services, json_pack("{ss ss so}", "name", name, "state", state, "replicas", replicas));
    }
}

/* The frame for a window of that many rows; 0: no window. Takes `services`. */
static const char *frame_of(json_t *services, uint32_t row_count)
{
    static char text[65536];
    struct buffer frame = {.bytes_max = sizeof(text) - 1};
    struct session session = {.frame = &frame, .row_count = row_count};

    print_services(&session, services, true);
    memcpy(text, frame.data, frame.length_bytes);
    text[frame.length_bytes] = '\0';
    buffer_done(&frame);
    json_decref(services);
    return text;
}

static unsigned lines_of(const char *text)
{
    unsigned count = 0;

    for (; (text = strchr(text, '\n')) != NULL; text++) {
        count++;
    }
    return count;
}

Test(service_table, what_fits_is_whole)
{
    json_t *services = json_array();

    add(services, "off", 5, 0);
    add(services, "active", 2, 2);
    const char *frame = frame_of(services, 24);

    cr_assert_not_null(strstr(frame, "off4"));
    cr_assert_not_null(strstr(frame, "active1/2"));
    cr_assert_null(strstr(frame, "more"));
}

Test(service_table, what_is_off_makes_room_for_replicas)
{
    json_t *services = json_array();

    add(services, "off", 51, 0);
    add(services, "active", 4, 3);
    const char *frame = frame_of(services, 24);

    cr_assert_not_null(strstr(frame, "active3/3"), "%s", frame);
    cr_assert_not_null(strstr(frame, "off0"), "what room is left is theirs: %s", frame);
    cr_assert_not_null(strstr(frame, "services more"));
    cr_assert_lt(lines_of(frame), 24, "%s", frame);
}

Test(service_table, of_more_that_run_than_fit_both_tables_are_seen)
{
    json_t *services = json_array();

    add(services, "degraded", 30, 1);
    const char *frame = frame_of(services, 24);

    cr_assert_not_null(strstr(frame, "degraded8 "), "%s", frame);
    cr_assert_not_null(strstr(frame, "... and 21 services more"), "%s", frame);
    cr_assert_not_null(strstr(frame, "degraded8/1"), "%s", frame);
}

Test(service_table, without_a_known_window_everything_is_shown)
{
    json_t *services = json_array();

    add(services, "off", 51, 0);
    add(services, "active", 51, 1);
    cr_assert_eq(lines_of(frame_of(services, 0)), 1 + 102 + 1 + 51);
}

Test(service_table, the_smallest_window_shows_something)
{
    for (uint32_t rows = 1; rows < 12; rows++) {
        json_t *services = json_array();

        add(services, "degraded", 9, 1);
        cr_assert_not_null(strstr(frame_of(services, rows), "degraded0"));
    }
}
