// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once
/* What the modes of bench_overlay_probe share. */
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/ids.h"
#include "base/keys.h"
#include "tests/bench/http.h"

enum { AGENTS_MAX = 256, SAMPLES_MAX = 100000, POLL_NS = 2000000, CLIENTS_MAX = 64 };

struct agent {
    unsigned number;
    int pid;
    struct http *http;
    char node[ID_HEX_CHARS + 1];
    char position[ID_HEX_CHARS + 1];
    bool is_victim;
    bool is_neighbour; /* of a victim */
    bool has_noticed;  /* no victim among its neighbours */
    bool has_missed;   /* counts only those that are left */
};

struct probe {
    uint32_t count;
    struct agent agents[AGENTS_MAX];
    bool has_complained;
    char switch_namespace[128]; /* where all their packets pass */
    uint32_t sample_count;
    uint64_t samples_us[SAMPLES_MAX];
};

/* overlay_probe.c */
uint64_t probe_clock_us(clockid_t clock);
uint64_t probe_now_us(void);
void probe_breathe(void);
void probe_add(struct probe *probe, uint64_t us);
/* Sorts the samples. */
uint64_t probe_quantile(struct probe *probe, uint32_t permille);
/* NAME_p50_us and NAME_p99_us; forgets the samples. */
void probe_print(struct probe *probe, const char *name);
const char *probe_first_of(const json_t *array);
/* Asks; one that is answered well adds its time to the samples. GET when there is no body. */
bool probe_timed(struct probe *probe, struct http *http, const char *path, const char *body);

struct probe_record { /* the first version of a service, as often as it is written */
    const struct secret_key *owner;
    char name[32];
    uint64_t sequence;
};
/* The body of its put. Returns 0 or -EMSGSIZE. */
int probe_make_record(const struct probe_record *record, char *body_out, size_t capacity_bytes,
                      struct service_id *service_out);

/* overlay_rings.c, overlay_load.c, record_load.c, storage_probe.c: one mode each; words are what follows its name. */
int run_ideal(struct probe *probe, char **words);
int run_notice(struct probe *probe, char **words);
int run_lookups(struct probe *probe, char **words);
int run_rate(struct probe *probe, char **words);
int run_records(struct probe *probe, char **words);
int run_health(struct probe *probe, char **words);
int run_idle(struct probe *probe, char **words);
int run_alarms(struct probe *probe, char **words);
int run_puts(struct probe *probe, char **words);
int run_survive(struct probe *probe, char **words);
int run_write(struct probe *probe, char **words);
int run_check(struct probe *probe, char **words);
