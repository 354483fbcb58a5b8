// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/*
 * A real minga-sandboxd with folders, limits and a control group of its own, a tree made from
 * busybox, and a client: what the system test of the sandbox acts on.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/client.h"
#include "sandbox/environment.h"
#include "sandbox/limits_file.h"

enum {
    WORLD_NETWORKS_MAX = 128,
    WORLD_PATH_BYTES = 256,
    WORLD_TEXT_BYTES = 32768,
    WORLD_PORT_FIRST = 31500
};

struct world {
    char folder[WORLD_PATH_BYTES]; /* given by the script, which removes it */
    char bin[WORLD_PATH_BYTES];
    struct host_limits limits;
    bool units;              /* systemd runs the helper, as a unit */
    bool slow;               /* an emulated machine: everything may take longer */
    const char *environment; /* the program of minga-environment; NULL: minga-sandboxd */
    uint64_t seed;           /* of what is random */
    uint32_t kill_count;
    pid_t helper_pid; /* 0: none */
    struct sandbox_client client;
    uint32_t checks;
    uint32_t failures;
    const struct replica_key *neighbour;   /* renewed while waiting for another; or NULL */
    uint32_t slot;                         /* of the newest replica */
    uint64_t networks[WORLD_NETWORKS_MAX]; /* cookies of namespaces */
    uint32_t network_count;
};

/* Prints "ok - sentence" or "not ok - sentence" and counts. Returns `passed`. */
bool check(struct world *world, bool passed, const char *sentence);
/* The same with a remark in brackets when it failed. */
bool check_saying(struct world *world, bool passed, const char *sentence, const char *remark);

void world_init(struct world *world, const char *folder, const char *bin);
/* The same with another contribution of cpu than 1.5 cores. */
void world_init_giving(struct world *world, const char *folder, const char *bin,
                       uint64_t cpu_permille);
/* Copies a program of the host, linked statically, into the tree. */
void world_add_program(const struct world *world, const char *program, const char *name);
/* Writes one more file into the tree. */
void world_add_to_tree(const struct world *world, const char *name, const char *text);
/* A tree that is none: a link to `target`, or (NULL) a folder of root's. */
void world_make_odd_tree(const struct world *world, const struct tree_id *tree, const char *target);
bool world_has_tree(const struct world *world, const struct tree_id *tree);
/* Starts a helper (not exiting when idle unless said) and waits until it can be connected to. */
bool world_start_helper(struct world *world, bool exit_when_idle);
/* The same as a unit, beside one that holds the replicas' groups (sandbox_units.c). */
bool units_start_helper(const struct world *world, const char *option);
pid_t units_helper_pid(const struct world *world);
bool units_helper_over(pid_t pid);
void units_remove(const struct world *world);
/* Runs minga-sandboxd --end-all. */
bool world_end_all(struct world *world);
/* Sends the signal and waits for its end. */
bool world_end_helper(struct world *world, int signal_number, uint64_t ms_max);
bool world_connect(struct world *world);
/* The same, or more on a slow machine. */
uint64_t world_patience_ms(const struct world *world, uint64_t ms);

/* A spec with one shell command, a new slot, and small limits; no ports. */
struct sandbox_spec world_spec(struct world *world, const char *shell_command);
/* A spec whose command are these words, NULL at the end. */
void world_set_command(struct sandbox_spec *spec, const char *const *words);
void world_publish(struct world *world, struct sandbox_spec *spec, uint16_t container_port);
/* Opens the listening sockets and asks for the start. */
bool world_ask_start(struct world *world, const struct sandbox_spec *spec);
/* Waits for the next event of that kind about that replica; others are dropped. */
bool world_await(struct world *world, const struct replica_key *key, enum sandbox_event_kind kind,
                 uint64_t ms_max, struct sandbox_event *event_out);
/* Waits for the next event, whatever it is about. */
bool world_next_event(struct world *world, uint64_t ms_max, struct sandbox_event *event_out);
/* ask_start and await STARTED. Prints what went wrong. */
bool world_start(struct world *world, const struct sandbox_spec *spec);
/* Stops and waits for ENDED. */
bool world_stop(struct world *world, const struct sandbox_spec *spec, struct sandbox_event *event);
bool world_stats(struct world *world, const struct sandbox_spec *spec, struct sandbox_event *event);
/* What it printed up to now. */
const char *world_output(struct world *world, const struct sandbox_spec *spec, char *text_out);
/* Waits until the output contains `text`. */
bool world_await_output(struct world *world, const struct sandbox_spec *spec, const char *text,
                        uint64_t ms_max);

/* A spec of one that serves a page at its published port. */
struct sandbox_spec web_spec(struct world *world);
/* Does it serve the page? It needs a moment until it listens. */
bool serves(const struct world *world, const struct sandbox_spec *spec, uint64_t ms_max);
/* GETs / from 127.0.0.1:port; true when the answer contains `text`. */
bool fetch_contains(uint16_t port, const char *text, uint64_t ms_max);
/*
 * Host pids of the processes in the control group of a slot (0: of all), without zombies, and
 * without minga-init unless wanted.
 */
size_t world_pids(const struct world *world, uint32_t slot, bool with_inits, pid_t *pids_out,
                  size_t capacity);
/* The value of "Name:" in /proc/PID/status, or "". */
const char *status_value(pid_t pid, const char *name, char *value_out, size_t capacity_bytes);
/* Lines of the host's mount table that are ours. */
size_t count_mounts(const struct world *world);
/* Attached loop devices with a file of ours. */
size_t count_loops(const struct world *world);
/* What the helper has written to, which each fork for a start copies; UINT64_MAX: not told. */
uint64_t world_helper_own_kib(const struct world *world);
/*
 * What names the network namespace of a process for ever (numbers of namespaces are given again,
 * perhaps to somebody else's); 0: it is gone.
 */
uint64_t network_cookie(const char *pid);
/* Remembers the network namespace of the newest replica; counts processes in any of them. */
void world_note_network(struct world *world);
size_t count_networks(const struct world *world);
/* Files (not folders) below `folder`. */
size_t count_files(const char *folder);
/* Folders with our group's name in any hierarchy. */
size_t count_groups(const struct world *world);
void wait_a_little(uint64_t ms);
uint64_t time_ms(void);
