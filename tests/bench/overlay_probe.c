// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The measuring hand of overlay.sh: asks many agents through their control sockets, fast enough
 * that the asking does not show.
 *
 *   bench_overlay_probe LIST ideal SECONDS SINCE_MS    until all have one ideal ring
 *   bench_overlay_probe LIST notice SECONDS A,B COMMAND...   runs it; until A and B are missed
 *   bench_overlay_probe LIST lookups COUNT             latency of lookups, and of the API alone
 *   bench_overlay_probe LIST rate SECONDS CLIENTS      lookups a second
 *   bench_overlay_probe LIST records KEY_FILE COUNT    puts and gets: latency, packets
 *   bench_overlay_probe LIST health SECONDS            the first: worst answer to its user, to others
 *   bench_overlay_probe LIST idle SECONDS              traffic, memory, false alarms
 *   bench_overlay_probe LIST puts KEY_FILE SECONDS CLIENTS   puts a second
 *   bench_overlay_probe LIST survive KEY_FILE COUNT MS A,B   puts; kills A and B; MS later, gets
 *   bench_overlay_probe LIST write KEY_FILE            puts for ever; prints what is acknowledged
 *   bench_overlay_probe LIST check FILE SECONDS        are all those there?
 *
 * LIST has a line for each agent: NUMBER PID SOCKET, and one `switch FILE`: the network namespace that all
 * their packets pass. Prints lines `NAME VALUE`.
 */
#include "tests/bench/overlay_probe.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"

uint64_t probe_clock_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t probe_now_us(void)
{
    return probe_clock_us(CLOCK_MONOTONIC);
}

void probe_breathe(void)
{
    nanosleep(&(struct timespec){0, POLL_NS}, NULL);
}

static int read_list(struct probe *probe, const char *path)
{
    FILE *file = fopen(path, "re");
    char line[256];

    while (file != NULL && fgets(line, sizeof(line), file) != NULL && probe->count < AGENTS_MAX) {
        struct agent *agent = &probe->agents[probe->count];
        char socket[128];

        if (sscanf(line, "%u %d %127s", &agent->number, &agent->pid, socket) == 3) {
            agent->http = http_new(socket);
            probe->count++;
        } else {
            (void)sscanf(line, "switch %127s", probe->switch_namespace);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return probe->count > 0 ? 0 : -EINVAL;
}

/* ------------------------------------------------------------------ samples */

static int compare_samples(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

void probe_add(struct probe *probe, uint64_t us)
{
    if (probe->sample_count < SAMPLES_MAX) {
        probe->samples_us[probe->sample_count++] = us;
    }
}

uint64_t probe_quantile(struct probe *probe, uint32_t permille)
{
    qsort(probe->samples_us, probe->sample_count, sizeof(probe->samples_us[0]), compare_samples);
    uint64_t index = (uint64_t)probe->sample_count * permille / 1000;

    return probe->sample_count == 0
               ? 0
               : probe->samples_us[index < probe->sample_count ? index : probe->sample_count - 1];
}

void probe_print(struct probe *probe, const char *name)
{
    printf("%s_p50_us %" PRIu64 "\n", name, probe_quantile(probe, 500));
    printf("%s_p99_us %" PRIu64 "\n", name, probe_quantile(probe, 990));
    probe->sample_count = 0;
}

const char *probe_first_of(const json_t *array)
{
    const char *text = json_string_value(json_array_get(array, 0));

    return text == NULL ? "" : text;
}

/* ------------------------------------------------------------------ */

static const struct {
    const char *name;
    int words;
    int (*run)(struct probe *probe, char **words);
} modes[] = {
    {"ideal", 2, run_ideal}, {"notice", 3, run_notice},   {"lookups", 1, run_lookups},
    {"rate", 2, run_rate},   {"health", 1, run_health},   {"records", 2, run_records},
    {"idle", 1, run_idle},   {"alarms", 1, run_alarms},   {"write", 1, run_write},
    {"check", 2, run_check}, {"survive", 4, run_survive}, {"puts", 3, run_puts},
};

int main(int count, char **words)
{
    static struct probe probe;

    if (count < 3 || sodium_init() < 0 || read_list(&probe, words[1]) < 0) {
        fprintf(stderr, "usage: bench_overlay_probe LIST MODE ... (see the source)\n");
        return 2;
    }
    for (size_t i = 0; i < ARRAY_COUNT(modes); i++) {
        if (strcmp(words[2], modes[i].name) == 0 && count - 3 >= modes[i].words) {
            int r = modes[i].run(&probe, words + 3);

            for (uint32_t a = 0; a < probe.count; a++) {
                http_free(probe.agents[a].http);
            }
            return r;
        }
    }
    fprintf(stderr, "bench_overlay_probe: no such mode: %s\n", words[2]);
    return 2;
}
