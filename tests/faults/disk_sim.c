// SPDX-License-Identifier: GPL-3.0-or-later
/* The suite's subject: the simulator's disk, in a world that has one node and nothing else. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/faults/disk_suite.h"
#include "tests/sim/queue.h"
#include "tests/sim/world.h"

/* One for the program: the functions of the world have no other place. */
static struct world the_world;
static struct sim_node the_node;
static struct core_stand_in *the_core;
static struct held *the_held;
static uint64_t draws;
static bool keeps_nothing;
static bool is_refusing; /* as the core was last told */
static struct core_event the_event;

/* ------------------------------------------------------------------ the world */

/* splitmix64 (Steele, Lea and Flood, 2014). */
uint64_t world_draw(const struct world *world, const char *purpose, uint64_t a, uint64_t b)
{
    uint64_t mixed = draws += UINT64_C(0x9e3779b97f4a7c15);

    (void)world;
    (void)a;
    (void)b;
    if (keeps_nothing && strcmp(purpose, "survives") == 0) {
        return 0;
    }
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

uint64_t world_draw_between(uint64_t drawn, uint64_t from, uint64_t to)
{
    return from + drawn % (to - from + 1);
}

void world_after_process(struct world *world, uint64_t delay_ms, struct event event)
{
    event.at_ms = world->now_ms + delay_ms;
    event.life = the_node.life;
    queue_push(&world->queue, &event);
}

void world_trace(struct world *world, const char *format, ...)
{
    (void)world;
    (void)format;
}

void world_power_off(struct world *world, uint32_t node)
{
    (void)world;
    (void)node;
    abort(); /* the suite says when */
}

void world_step_overlay(struct world *world, uint32_t node, struct overlay_event *event)
{
    (void)world;
    (void)node;
    disk_core_tell(the_core, event);
}

void world_step(struct world *world, uint32_t node, struct core_event *event)
{
    (void)world;
    (void)node;
    CHECK(event->kind == CORE_DISK);
    is_refusing = event->reason[0] != '\0';
}

void checker_stored(struct world *world, uint32_t node, const struct overlay_blob *blob)
{
    (void)world;
    (void)node;
    (void)blob;
}

const struct overlay *__wrap_core_overlay(const struct core *core);
bool __wrap_overlay_chunk_next(const struct overlay *overlay, bool is_bad, uint32_t *cursor,
                               struct chunk_id *chunk_out);

const struct overlay *__wrap_core_overlay(const struct core *core)
{
    (void)core;
    return NULL;
}

/* Nothing is known of what was loaded. */
bool __wrap_overlay_chunk_next(const struct overlay *overlay, bool is_bad, uint32_t *cursor,
                               struct chunk_id *chunk_out)
{
    (void)overlay;
    (void)is_bad;
    (void)cursor;
    (void)chunk_out;
    return false;
}

int core_load(struct core *core, const struct overlay_blob *blob)
{
    (void)core;
    held_add_blob(the_held, blob);
    return 0;
}

int core_load_chunk(struct core *core, const struct chunk_id *chunk, uint64_t bytes)
{
    (void)core;
    held_add_chunk(the_held, chunk, bytes);
    return 0;
}

/* ------------------------------------------------------------------ the subject */

static void subject_begin(struct core_stand_in *core)
{
    the_world = (struct world){
        .now_ms = 1000, .node_count = 1, .nodes = &the_node, .core_event = &the_event};
    the_node = (struct sim_node){.life = 1};
    the_core = core;
    is_refusing = false;
}

static void subject_end(void)
{
    disk_wipe(&the_node.disk);
    queue_done(&the_world.queue);
}

static void subject_perform(const struct overlay_effect *effect)
{
    disk_core_asks(the_core, effect);
    if (effect->kind == OVERLAY_STORE) {
        disk_store(&the_world, 0, effect);
    } else if (effect->kind == OVERLAY_STORE_CHUNK) {
        disk_store_chunk(&the_world, 0, effect);
    } else {
        disk_drop_chunk(&the_world, 0, effect);
    }
}

static void subject_read(const struct chunk_id *chunk)
{
    struct overlay_event event = {
        .kind = OVERLAY_CHUNK_READ, .chunk = *chunk, .outcome = OVERLAY_CHUNK_OK};

    if (disk_read_chunk(&the_world, 0, chunk)) {
        disk_core_tell(the_core, &event);
    }
}

static void subject_wait(uint64_t ms)
{
    uint64_t end_ms = the_world.now_ms + ms;
    struct event event;

    while (the_world.queue.count > 0 && the_world.queue.heap[0].at_ms <= end_ms) {
        CHECK(queue_pop(&the_world.queue, &event));
        the_world.now_ms = event.at_ms;
        if (event.life == the_node.life) {
            event.run(&the_world, &event);
        }
        free(event.payload);
    }
    the_world.now_ms = end_ms;
}

static void subject_crash(enum disk_crash crash)
{
    keeps_nothing = crash == DISK_CRASH_POWER;
    disk_process_ended(&the_world, 0);
    the_node.life++;
    the_node.disk.is_refusing = false; /* as disk_begin() */
    is_refusing = false;
    the_core->known_count = 0;
}

static void subject_load(struct held *held_out)
{
    the_held = held_out;
    CHECK(disk_load(&the_node.disk, NULL));
}

static void subject_set_fault(enum disk_fault fault)
{
    struct disk *disk = &the_node.disk;

    disk->full_until_ms = fault == DISK_FAULT_FULL ? UINT64_MAX : 0;
    disk->bad_write = fault == DISK_FAULT_WRITE_ONCE ? disk->write_count + 1 : 0;
    disk->bad_read = fault == DISK_FAULT_READ_ONCE ? disk->read_count + 1 : 0;
}

static bool subject_refuses(void)
{
    return is_refusing;
}

static void subject_rot(const struct chunk_id *chunk)
{
    (void)chunk;
    disk_rot(&the_node.disk);
}

const struct disk_subject disk_subject = {
    .name = "the simulator's disk",
    .begin = subject_begin,
    .end = subject_end,
    .perform = subject_perform,
    .read = subject_read,
    .wait = subject_wait,
    .crash = subject_crash,
    .load = subject_load,
    .set_fault = subject_set_fault,
    .refuses = subject_refuses,
    .rot = subject_rot,
};
