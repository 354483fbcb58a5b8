// SPDX-License-Identifier: GPL-3.0-or-later
/* disk_suite_real, disk_suite_sim [WORDS]: those behaviours whose name has the words in it. */
#include "tests/faults/disk_suite.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/faults/disk_expect.h"

struct core_stand_in core;
struct held held;
static uint32_t wrong_count;
static const char *behaviour;

void expect(bool is_right, const char *format, ...)
{
    va_list list;

    if (is_right) {
        return;
    }
    wrong_count++;
    va_start(list, format);
    printf("# %s: ", behaviour);
    vprintf(format, list);
    printf("\n");
    va_end(list);
}

void load(void)
{
    held.blob_count = 0;
    held.chunk_count = 0;
    disk_subject.load(&held);
}

void crash_and_load(enum disk_crash crash)
{
    disk_subject.crash(crash);
    load();
}

/* ------------------------------------------------------------------ what was told */

uint32_t told(enum overlay_event_kind kind, uint64_t token)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < core.heard_count; i++) {
        count += core.heard[i].kind == kind && core.heard[i].token == token ? 1 : 0;
    }
    return count;
}

static const struct overlay_event *answer(enum overlay_event_kind kind, uint64_t token)
{
    for (uint32_t i = 0; i < core.heard_count; i++) {
        if (core.heard[i].kind == kind && core.heard[i].token == token) {
            return &core.heard[i];
        }
    }
    return NULL;
}

const struct overlay_event *wait_for(enum overlay_event_kind kind, uint64_t token)
{
    const struct overlay_event *event;

    for (uint32_t ms = 0; ms < PATIENCE_MS; ms += 5) {
        event = answer(kind, token);
        if (event != NULL) {
            return event;
        }
        disk_subject.wait(5);
    }
    expect(false, "no event %d of token %lu", (int)kind, (unsigned long)token);
    return NULL;
}

/* Those whose name has `wanted` in it. */
static uint32_t run(const struct behaviour *one, const char *wanted)
{
    uint32_t before = wrong_count;

    if (strstr(one->name, wanted) == NULL) {
        return 0;
    }
    behaviour = one->name;
    memset(&core, 0, sizeof(core));
    memset(&held, 0, sizeof(held));
    disk_subject.begin(&core);
    one->run();
    disk_subject.end();
    printf("%s - %s\n", wrong_count > before ? "not ok" : "ok", behaviour);
    return wrong_count > before ? 1 : 0;
}

int main(int argc, char **argv)
{
    uint32_t bad_count = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("# %s\n", disk_subject.name);
    for (uint32_t i = 0; i < disk_blobs_count; i++) {
        bad_count += run(&disk_blobs[i], argc > 1 ? argv[1] : "");
    }
    for (uint32_t i = 0; i < disk_chunks_count; i++) {
        bad_count += run(&disk_chunks[i], argc > 1 ? argv[1] : "");
    }
    return bad_count == 0 ? 0 : 1;
}
