// SPDX-License-Identifier: GPL-3.0-or-later
/* Modes that ask, or do not: latencies, rates, and what idling costs. */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/overlay_probe.h"

/* ------------------------------------------------------------------ lookups */

static void draw_lookup(char path_out[128])
{
    char hex[ID_HEX_CHARS + 1];
    struct id id;

    randombytes_buf(&id, sizeof(id));
    id_to_hex(&id, hex);
    snprintf(path_out, 128, "/v1/lookup/%s", hex);
}

bool probe_timed(struct probe *probe, struct http *http, const char *path, const char *body)
{
    uint64_t began_us = probe_now_us();
    bool is_done = http_ask(http, path, body) == 0 && http->status == 200;

    if (is_done) {
        probe_add(probe, probe_now_us() - began_us);
    } else if (!probe->has_complained) {
        probe->has_complained = true;
        fprintf(stderr, "%s: %d %s\n", path, http->status, http->body);
    }
    return is_done;
}

int run_lookups(struct probe *probe, char **words)
{
    uint32_t count = (uint32_t)strtoul(words[0], NULL, 10);
    uint32_t failed = 0;
    char path[128];

    for (uint32_t i = 0; i < count; i++) {
        (void)probe_timed(probe, probe->agents[i % probe->count].http, "/v1/version", NULL);
    }
    probe_print(probe, "api");
    for (uint32_t i = 0; i < count; i++) {
        draw_lookup(path);
        failed += !probe_timed(probe, probe->agents[i % probe->count].http, path, NULL);
    }
    probe_print(probe, "lookup");
    printf("lookup_failed %u\n", failed);
    return 0;
}

static void client(struct probe *probe, uint32_t first, uint64_t end_us, int result_fd)
{
    uint64_t done = 0;
    char path[128];

    for (uint32_t i = first; probe_now_us() < end_us; i += 7) {
        draw_lookup(path);
        done += probe_timed(probe, probe->agents[i % probe->count].http, path, NULL);
    }
    _exit(write(result_fd, &done, sizeof(done)) == sizeof(done) ? 0 : 1);
}

int run_rate(struct probe *probe, char **words)
{
    uint64_t seconds = strtoull(words[0], NULL, 10);
    uint32_t client_count = (uint32_t)strtoul(words[1], NULL, 10);
    uint64_t total = 0;
    int ends[2];

    if (pipe(ends) < 0 || client_count > CLIENTS_MAX || seconds == 0) {
        return 1;
    }
    for (uint32_t i = 0; i < client_count; i++) {
        if (fork() == 0) {
            client(probe, i, probe_now_us() + seconds * 1000000, ends[1]);
        }
    }
    for (uint32_t i = 0; i < client_count; i++) {
        uint64_t done = 0;

        total += read(ends[0], &done, sizeof(done)) == sizeof(done) ? done : 0;
    }
    while (wait(NULL) > 0) {
    }
    printf("lookups_per_s %" PRIu64 "\n", total / seconds);
    return 0;
}

/* ------------------------------------------------------------------ counters of interfaces */

struct traffic {
    uint64_t sent_bytes;
    uint64_t sent_packets;
};

/* What all agents' interfaces have sent; each packet is counted once. */
static struct traffic traffic_now(const struct probe *probe)
{
    struct traffic sum = {0};

    for (uint32_t i = 0; i < probe->count; i++) {
        char path[64];
        char line[256];
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%d/net/dev", probe->agents[i].pid);
        file = fopen(path, "re");
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
            uint64_t bytes;
            uint64_t packets;
            const char *counters = strstr(line, "eth0:");

            if (counters != NULL &&
                sscanf(counters + 5, "%*u %*u %*u %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &bytes,
                       &packets) == 2) {
                sum.sent_bytes += bytes;
                sum.sent_packets += packets;
            }
        }
        if (file != NULL) {
            fclose(file);
        }
    }
    return sum;
}

/* ------------------------------------------------------------------ health */

/* Returns the ms that it took; counts it as failed when there was no right answer. */
static uint64_t ask_timed(struct http *http, const char *path, uint32_t *failed)
{
    uint64_t began_us = probe_now_us();

    *failed += http_ask(http, path, NULL) < 0 || http->status != 200;
    return (probe_now_us() - began_us) / 1000;
}

/* Through the others, keys for which the first is responsible: it has to answer them. */
int run_health(struct probe *probe, char **words)
{
    uint64_t end_us = probe_now_us() + strtoull(words[0], NULL, 10) * 1000000;
    struct http *first = probe->agents[0].http;
    json_t *ring = http_get(first, "/v1/ring");
    uint64_t worst_ms = 0;
    uint64_t worst_far_ms = 0;
    uint32_t failed = 0;
    char path[128];

    snprintf(path, sizeof(path), "/v1/lookup/%s",
             probe_first_of(json_object_get(ring, "positions")));
    json_decref(ring);
    for (uint32_t i = 0; probe_now_us() < end_us; i++) {
        uint64_t ms = ask_timed(first, "/v1/ring", &failed);

        worst_ms = ms > worst_ms ? ms : worst_ms;
        if (probe->count > 1) {
            ms = ask_timed(probe->agents[1 + i % (probe->count - 1)].http, path, &failed);
            worst_far_ms = ms > worst_far_ms ? ms : worst_far_ms;
        }
        http_hang_up(first); /* the next one has to be let in */
        usleep(20000);
    }
    printf("worst_ms %" PRIu64 "\nworst_member_ms %" PRIu64 "\nfailed %u\n", worst_ms, worst_far_ms,
           failed);
    return 0;
}

/* ------------------------------------------------------------------ idle */

static uint64_t private_kib(int pid)
{
    char path[64];
    char line[256];
    uint64_t sum = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        uint64_t kib;

        if (strncmp(line, "Private_", 8) == 0 && sscanf(line, "%*s %" SCNu64, &kib) == 1) {
            sum += kib;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return sum;
}

static uint32_t count_alarms(const struct probe *probe)
{
    uint32_t alarms = 0;

    for (uint32_t i = 0; i < probe->count; i++) {
        json_t *document = http_get(probe->agents[i].http, "/v1/nodes");
        const json_t *node;
        size_t index;

        json_array_foreach(json_object_get(document, "nodes"), index, node)
        {
            const char *state = json_string_value(json_object_get(node, "state"));

            alarms += state == NULL || strcmp(state, "up") != 0;
        }
        json_decref(document);
    }
    return alarms;
}

/* Asks nobody anything meanwhile: answers cost an agent more than its rest. */
int run_idle(struct probe *probe, char **words)
{
    uint64_t seconds = strtoull(words[0], NULL, 10);
    struct traffic before = traffic_now(probe);
    uint64_t began_us = probe_now_us();

    sleep((unsigned)seconds);
    struct traffic after = traffic_now(probe);
    double took_s = (double)(probe_now_us() - began_us) / 1e6;

    printf("idle_bytes_per_s %.0f\n",
           (double)(after.sent_bytes - before.sent_bytes) / took_s / probe->count);
    printf("idle_packets_per_s %.1f\n",
           (double)(after.sent_packets - before.sent_packets) / took_s / probe->count);
    for (uint32_t i = 0; i < probe->count; i++) {
        probe_add(probe, private_kib(probe->agents[i].pid));
    }
    printf("private_kib %" PRIu64 "\n", probe_quantile(probe, 500));
    printf("private_most_kib %" PRIu64 "\n", probe_quantile(probe, 1000));
    return 0;
}

int run_alarms(struct probe *probe, char **words)
{
    uint64_t seconds = strtoull(words[0], NULL, 10);
    uint64_t began_us = probe_now_us();
    uint32_t alarms = 0;

    while (probe_now_us() - began_us < seconds * 1000000) {
        alarms += count_alarms(probe);
        sleep(2);
    }
    printf("false_alarms %u\n", alarms);
    return 0;
}
